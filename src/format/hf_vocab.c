/* hf_vocab.c - tokens, from whichever file they came, become the keys of a GGUF vocabulary. */
#include <string.h>

#include "base/mem.h"
#include "format/hf_impl.h"

/* ---- collecting ---- */

static bool grow(struct hf_vocab *v, uint32_t n)
{
    if (n <= v->cap) return true;
    uint32_t cap = v->cap ? v->cap : 4096;
    while (cap < n) cap *= 2;
    struct gguf_str *text = mem_resize(v->text, cap, sizeof *text);
    if (text) v->text = text;
    float *score = mem_resize(v->score, cap, sizeof *score);
    if (score) v->score = score;
    int32_t *type = mem_resize(v->type, cap, sizeof *type);
    if (type) v->type = type;
    if (!text || !score || !type) return false;
    memset(v->text + v->cap, 0, (cap - v->cap) * sizeof *text);
    v->cap = cap;
    return true;
}

int hf_vocab_put(struct hf *h, struct hf_vocab *v, uint64_t id, struct gguf_str text, int32_t type, float score)
{
    if (id >= HF_MAX_IDS)
        return err_set(h->err, ERR_LIMIT, "%s: token id %llu, the limit is %d", h->folder, (unsigned long long)id, HF_MAX_IDS);
    if (text.n > GGUF_MAX_STRING)
        return err_set(h->err, ERR_LIMIT, "%s: token %llu has %zu bytes, the limit is %d", h->folder, (unsigned long long)id,
                       text.n,
                       GGUF_MAX_STRING);
    if (!grow(v, (uint32_t)id + 1)) return hf_nomem(h);
    char *s = arena_strdup(&v->arena, text.n ? text.s : "", text.n);
    if (!s) return hf_nomem(h);
    v->text[id] = (struct gguf_str){ s, text.n };
    v->type[id] = type;
    v->score[id] = score;
    if (id >= v->n) v->n = (uint32_t)id + 1;
    return 0;
}

bool hf_vocab_strip(struct hf_vocab *v, uint32_t id, int32_t flags)
{
    if (!flags) return true;
    if (v->n_strip + 2 > v->cap_strip) {
        size_t cap = v->cap_strip ? v->cap_strip * 2 : 64;
        int32_t *s = mem_resize(v->strip, cap, sizeof *s);
        if (!s) return false;
        v->strip = s;
        v->cap_strip = cap;
    }
    v->strip[v->n_strip++] = (int32_t)id;
    v->strip[v->n_strip++] = flags;
    return true;
}

int32_t hf_vocab_find(const struct hf_vocab *v, const char *text)
{
    size_t n = strlen(text);
    for (uint32_t i = v->n; i--;)                        /* added tokens come last, and are the ones that are looked for */
        if (v->text[i].s && v->text[i].n == n && !memcmp(v->text[i].s, text, n)) return (int32_t)i;
    return -1;
}

void hf_vocab_release(struct hf_vocab *v)
{
    mem_free(v->text);
    mem_free(v->score);
    mem_free(v->type);
    mem_free(v->merge);
    mem_free(v->strip);
    arena_release(&v->arena);
}

/* ---- ids with a meaning ---- */

/* "bos_token" of the small files: a text, or an object with the text as content. */
static int32_t named_token(const struct hf *h, const struct hf_vocab *v, const char *key)
{
    const struct json *in[] = { h->tokenizer, h->special };
    for (size_t i = 0; i < 2; i++) {
        const struct json *t = json_get(in[i], key);
        if (json_type(t) == JSON_OBJECT) t = json_get(t, "content");
        const char *s = json_str(t, NULL);
        int32_t id = s ? hf_vocab_find(v, s) : -1;
        if (id >= 0) return id;
    }
    return -1;
}

/* The i-th id under key, which is a number or a list; -1 when there is none. */
static int32_t id_of(const struct hf_vocab *v, const struct json *j, const char *key, size_t i)
{
    const struct json *x = json_get(j, key);
    if (json_type(x) == JSON_ARRAY) x = json_at(x, i);
    else if (i) return -1;
    return json_type(x) == JSON_INT && json_int(x) >= 0 && json_int(x) < v->n ? (int32_t)json_int(x) : -1;
}

static void put_id(struct hf *h, const char *key, int32_t id)
{
    if (id >= 0) gguf_put_u32(h->w, key, (uint32_t)id);
}

/* Several tokens may end an answer; GGUF has three names for them. */
static void put_ends(struct hf *h, const struct hf_vocab *v, int32_t eos)
{
    static const char *const more[] = { "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
                                        "tokenizer.ggml.fim_pad_token_id", "tokenizer.ggml.fim_rep_token_id" };
    const struct json *from = h->generation && json_get(h->generation, "eos_token_id") ? h->generation : h->text;
    size_t n = 0;
    if (eos < 0) eos = id_of(v, from, "eos_token_id", 0);
    put_id(h, "tokenizer.ggml.eos_token_id", eos);
    for (size_t i = 0; i < 16 && n < sizeof more / sizeof *more; i++) {
        int32_t id = id_of(v, from, "eos_token_id", i);
        if (id >= 0 && id != eos) put_id(h, more[n++], id);
    }
}

static bool has_flag(const struct hf *h, const char *key, int *out)
{
    const struct json *j = json_get(h->tokenizer, key);
    if (json_type(j) != JSON_BOOL) return false;
    *out = json_bool(j);
    return true;
}

/* Only the classes with a SentencePiece past obey these two flags; the others do what the post-processor says. */
static void read_flags(const struct hf *h, struct hf_vocab *v)
{
    const char *class = json_str(json_get(h->tokenizer, "tokenizer_class"), NULL);
    bool obeys = class && (strstr(class, "Llama") || strstr(class, "Gemma"));
    if (obeys || v->add_bos < 0) has_flag(h, "add_bos_token", &v->add_bos);
    if (obeys || v->add_eos < 0) has_flag(h, "add_eos_token", &v->add_eos);
}

/* ---- keys ---- */

static int put_tokens(struct hf *h, struct hf_vocab *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        char pad[24];
        if (v->text[i].s) continue;
        fmt_into(pad, sizeof pad, "[PAD%u]", i);
        int rc = hf_vocab_put(h, v, i, (struct gguf_str){ pad, strlen(pad) }, HF_UNUSED, -1000);
        if (rc < 0) return rc;
    }
    gguf_put_strs(h->w, "tokenizer.ggml.tokens", v->text, v->n);
    gguf_put_array(h->w, "tokenizer.ggml.token_type", GGUF_I32, v->type, v->n);
    return 0;
}

int hf_vocab_keys(struct hf *h, struct hf_vocab *v)
{
    if (!v->n) return err_set(h->err, ERR_FORMAT, "%s: the tokenizer has no tokens", h->folder);
    int rc = put_tokens(h, v);
    if (rc < 0) return rc;
    int32_t bos = named_token(h, v, "bos_token"), eos = named_token(h, v, "eos_token");
    if (v->bos >= 0) bos = v->bos;
    if (bos < 0) bos = id_of(v, h->text, "bos_token_id", 0);
    if (v->eos >= 0 && eos < 0) eos = v->eos;
    put_id(h, "tokenizer.ggml.bos_token_id", bos);
    put_ends(h, v, eos);
    put_id(h, "tokenizer.ggml.unknown_token_id", v->unk >= 0 ? v->unk : named_token(h, v, "unk_token"));
    put_id(h, "tokenizer.ggml.padding_token_id", v->pad >= 0 ? v->pad : named_token(h, v, "pad_token"));
    read_flags(h, v);
    gguf_put_bool(h->w, "tokenizer.ggml.add_bos_token", v->add_bos > 0 && bos >= 0);
    gguf_put_bool(h->w, "tokenizer.ggml.add_eos_token", v->add_eos > 0);
    gguf_put_array(h->w, "hearth.tokenizer.strip", GGUF_I32, v->strip, v->n_strip);
    return 0;
}
