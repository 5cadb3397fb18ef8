/* hf_tok.c - tokenizer.json becomes the keys of a GGUF vocabulary.
 *
 * The file can have half a million merges, so it is read as a stream; only its small parts (normalizer, pre-tokenizer,
 * post-processor, decoder) become trees.  What they ask for and Hearth does not do is an error that names it. */
#include <string.h>

#include "base/jscan.h"
#include "base/mem.h"
#include "format/hf_impl.h"

#define BLOCK "\xe2\x96\x81"                 /* U+2581, which stands for a space */

enum { MAX_MERGES = 1 << 21, MAX_PART = 8 << 20 };

enum model { MODEL_NONE, MODEL_BPE, MODEL_UNIGRAM, MODEL_WORDPIECE };

struct tok {
    struct hf *h;
    const char *path;
    struct jscan j;
    struct buf key, text;
    struct hf_vocab v;
    struct json *normalizer, *pre, *post, *decoder;
    enum model model;
    char unk[256], prefix[16];              /* of the model: unknown token, continuing_subword_prefix */
    uint64_t unk_id;
    bool has_unk_id, byte_fallback, ignore_merges, seen_vocab;
    int rc;
};

static int bad(struct tok *t, int code, const char *what, const char *value)
{
    struct gguf_shown s = gguf_show((struct gguf_str){ value ? value : "", value ? strlen(value) : 0 });
    return t->rc = err_set(t->h->err, code, "%s: %s%s%s%s", t->path, what, value ? " '" : "", s.s, value ? "'" : "");
}

static int unsupported(struct tok *t, const char *what, const char *value)
{
    char full[128];
    fmt_into(full, sizeof full, "unsupported %s", what);
    return bad(t, ERR_UNSUPPORTED, full, value);
}

static const char *type_of(const struct json *j)
{
    const char *s = json_str(json_get(j, "type"), NULL);
    return s ? s : "(none)";
}

static bool is_type(const struct json *j, const char *type) { return !strcmp(type_of(j), type); }

/* The members of a Sequence under key, or the one thing itself; NULL past the end. */
static const struct json *member(const struct json *j, const char *key, size_t i)
{
    if (json_type(j) != JSON_OBJECT) return NULL;
    return is_type(j, "Sequence") ? json_at(json_get(j, key), i) : i ? NULL : j;
}

/* ---- reading ---- */

/* A part of the file as a tree. */
static void read_part(struct tok *t, struct json **out)
{
    jscan_peek(&t->j);
    const char *from = t->j.at;
    jscan_skip(&t->j);
    if (t->j.bad) return;
    if (t->j.at - from > MAX_PART) bad(t, ERR_LIMIT, "a part of more than 8 MB:", t->key.data);
    else if (*out) bad(t, ERR_FORMAT, "a key occurs twice:", t->key.data);
    else if ((t->rc = json_parse(out, from, (size_t)(t->j.at - from), t->h->err)) < 0)
        err_prefix(t->h->err, t->rc, "%s: %s: ", t->path, t->key.data);
}

static void read_text(struct tok *t, char *dst, size_t n)
{
    if (jscan_null(&t->j)) return;
    if (jscan_peek(&t->j) != '"') {         /* some files have an object with the text as content */
        jscan_skip(&t->j);
        return;
    }
    buf_clear(&t->text);
    jscan_str(&t->j, &t->text);
    if (!t->j.bad) fmt_into(dst, n, "%s", t->text.data ? t->text.data : "");
}

/* { "text": id, ... } */
static void read_vocab_object(struct tok *t)
{
    jscan_open(&t->j, '{');
    while (t->rc == 0 && jscan_key(&t->j, &t->key)) {
        uint64_t id = jscan_u64(&t->j);
        if (t->j.bad) return;
        if (id < t->v.n && t->v.text[id].s) bad(t, ERR_FORMAT, "two tokens have the same id:", t->key.data);
        else t->rc = hf_vocab_put(t->h, &t->v, id, (struct gguf_str){ t->key.data, t->key.len }, HF_NORMAL, 0);
    }
}

/* [["text", score], ...] */
static void read_vocab_array(struct tok *t)
{
    jscan_open(&t->j, '[');
    while (t->rc == 0 && jscan_item(&t->j)) {
        double score = 0;
        if (!jscan_open(&t->j, '[') || !jscan_item(&t->j)) break;
        buf_clear(&t->text);
        jscan_str(&t->j, &t->text);
        if (jscan_item(&t->j)) score = jscan_num(&t->j);
        if (jscan_item(&t->j)) jscan_fail(&t->j, "a token has a text and a score");
        if (t->j.bad) return;
        t->rc = hf_vocab_put(t->h, &t->v, t->v.n, (struct gguf_str){ t->text.data, t->text.len }, HF_NORMAL, (float)score);
    }
    t->model = MODEL_UNIGRAM;
}

/* "left right" or ["left", "right"], into t->text. */
static void read_merge(struct tok *t)
{
    buf_clear(&t->text);
    if (jscan_peek(&t->j) != '[') {
        jscan_str(&t->j, &t->text);
        return;
    }
    jscan_open(&t->j, '[');
    for (int i = 0; i < 2; i++) {
        if (!jscan_item(&t->j)) jscan_fail(&t->j, "a merge has two sides");
        if (i) buf_putc(&t->text, ' ');
        jscan_str(&t->j, &t->text);
    }
    if (jscan_item(&t->j)) jscan_fail(&t->j, "a merge has two sides");
}

static void read_merges(struct tok *t)
{
    struct hf_vocab *v = &t->v;
    jscan_open(&t->j, '[');
    while (t->rc == 0 && jscan_item(&t->j)) {
        read_merge(t);
        if (t->j.bad) return;
        if (v->n_merges == v->cap_merges) {
            size_t cap = v->cap_merges ? v->cap_merges * 2 : 4096;
            struct gguf_str *m = mem_resize(v->merge, cap, sizeof *m);
            if (!m) {
                t->rc = hf_nomem(t->h);
                return;
            }
            v->merge = m;
            v->cap_merges = cap;
        }
        char *s = arena_strdup(&v->arena, t->text.data, t->text.len);
        if (!s) t->rc = hf_nomem(t->h);
        else if (v->n_merges == MAX_MERGES) bad(t, ERR_LIMIT, "more than 2,097,152 merges", NULL);
        else v->merge[v->n_merges++] = (struct gguf_str){ s, t->text.len };
    }
}

static void read_model_type(struct tok *t)
{
    char type[32] = "";
    read_text(t, type, sizeof type);
    if (!strcmp(type, "BPE")) t->model = MODEL_BPE;
    else if (!strcmp(type, "Unigram")) t->model = MODEL_UNIGRAM;
    else if (!strcmp(type, "WordPiece")) t->model = MODEL_WORDPIECE;
    else if (!t->j.bad) unsupported(t, "model", type);
}

static void read_model(struct tok *t)
{
    char end[32] = "";
    jscan_open(&t->j, '{');
    while (t->rc == 0 && jscan_key(&t->j, &t->key)) {
        const char *k = t->key.data;
        if (!strcmp(k, "type")) read_model_type(t);
        else if (!strcmp(k, "vocab")) {
            if (t->seen_vocab) bad(t, ERR_FORMAT, "a key occurs twice:", k);
            t->seen_vocab = true;
            if (jscan_peek(&t->j) == '[') read_vocab_array(t);
            else read_vocab_object(t);
        } else if (!strcmp(k, "merges")) read_merges(t);
        else if (!strcmp(k, "unk_token")) read_text(t, t->unk, sizeof t->unk);
        else if (!strcmp(k, "continuing_subword_prefix")) read_text(t, t->prefix, sizeof t->prefix);
        else if (!strcmp(k, "end_of_word_suffix")) read_text(t, end, sizeof end);
        else if (!strcmp(k, "byte_fallback")) t->byte_fallback = !jscan_null(&t->j) && jscan_bool(&t->j);
        else if (!strcmp(k, "ignore_merges")) t->ignore_merges = !jscan_null(&t->j) && jscan_bool(&t->j);
        else if (!strcmp(k, "unk_id") && !jscan_null(&t->j)) {
            t->unk_id = jscan_u64(&t->j);
            t->has_unk_id = true;
        } else if (strcmp(k, "unk_id") != 0) jscan_skip(&t->j);
    }
    if (t->rc == 0 && !t->j.bad && *end) unsupported(t, "end_of_word_suffix", end);
}

struct added { uint64_t id; bool special, lstrip, rstrip, single, normalized, has_id; };

static void read_added_field(struct tok *t, struct added *a)
{
    const char *k = t->key.data;
    if (!strcmp(k, "id")) {
        a->id = jscan_u64(&t->j);
        a->has_id = true;
    } else if (!strcmp(k, "content")) {
        buf_clear(&t->text);
        jscan_str(&t->j, &t->text);
    } else if (!strcmp(k, "special")) a->special = jscan_bool(&t->j);
    else if (!strcmp(k, "lstrip")) a->lstrip = jscan_bool(&t->j);
    else if (!strcmp(k, "rstrip")) a->rstrip = jscan_bool(&t->j);
    else if (!strcmp(k, "single_word")) a->single = jscan_bool(&t->j);
    else if (!strcmp(k, "normalized")) a->normalized = jscan_bool(&t->j);
    else jscan_skip(&t->j);
}

/* Tokens that look like marks of a conversation are control tokens, whatever the file calls them. */
static bool looks_special(const struct buf *s)
{
    static const struct { const char *a, *b; } ends[] = { { "<|", "|>" }, { "<\357\275\234", "\357\275\234>" }, { "<unused",
                                                                                                                  ">" } };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t a = strlen(ends[i].a), b = strlen(ends[i].b);
        if (s->len > a + b && !memcmp(s->data, ends[i].a, a) && !memcmp(s->data + s->len - b, ends[i].b, b)) return true;
    }
    return false;
}

static void read_added(struct tok *t)
{
    jscan_open(&t->j, '[');
    while (t->rc == 0 && jscan_item(&t->j)) {
        struct added a = { 0 };
        buf_clear(&t->text);
        jscan_open(&t->j, '{');
        while (jscan_key(&t->j, &t->key)) read_added_field(t, &a);
        if (t->j.bad) return;
        if (!a.has_id || !t->text.len) {
            bad(t, ERR_FORMAT, "an added token needs id and content", NULL);
            return;
        }
        int32_t type = a.special || looks_special(&t->text) ? HF_CONTROL : a.normalized ? HF_USER : HF_LITERAL;
        if (a.single) unsupported(t, "single_word of token", t->text.data);
        else t->rc = hf_vocab_put(t->h, &t->v, a.id, (struct gguf_str){ t->text.data, t->text.len }, type, 0);
        if (t->rc == 0 && !hf_vocab_strip(&t->v, (uint32_t)a.id, (a.lstrip ? 1 : 0) | (a.rstrip ? 2 : 0))) t->rc = hf_nomem(t->h);
    }
}

/* The model's tokens are read before the added ones replace some of them, wherever the file has them. */
static void read_all(struct tok *t)
{
    const char *added = NULL;
    jscan_open(&t->j, '{');
    while (t->rc == 0 && jscan_key(&t->j, &t->key)) {
        const char *k = t->key.data;
        if (!strcmp(k, "added_tokens")) {
            jscan_peek(&t->j);
            added = t->j.at;
            jscan_skip(&t->j);
        } else if (!strcmp(k, "normalizer")) read_part(t, &t->normalizer);
        else if (!strcmp(k, "pre_tokenizer")) read_part(t, &t->pre);
        else if (!strcmp(k, "post_processor")) read_part(t, &t->post);
        else if (!strcmp(k, "decoder")) read_part(t, &t->decoder);
        else if (!strcmp(k, "model")) read_model(t);
        else jscan_skip(&t->j);
    }
    if (t->rc < 0 || !jscan_end(&t->j) || !added) return;
    t->j.at = added;                        /* it has been checked, and stands alone */
    if (jscan_peek(&t->j) == '[') read_added(t);
}

/* ---- splitting rules of byte-level BPE ---- */

static bool has_byte_level(const struct tok *t)
{
    const struct json *p;
    for (size_t i = 0; (p = member(t->pre, "pretokenizers", i)); i++)
        if (is_type(p, "ByteLevel")) return true;
    return is_type(t->decoder, "ByteLevel");
}

/* Line breaks inside an expression are written as their escapes: they mean the same. */
static void put_stage(struct buf *out, const char *stage)
{
    if (out->len) buf_putc(out, '\n');
    for (; *stage; stage++) {
        if (*stage == '\n') buf_puts(out, "\\n");
        else if (*stage == '\r') buf_puts(out, "\\r");
        else buf_putc(out, *stage);
    }
}

static int split_stage(struct tok *t, const struct json *p, struct buf *out)
{
    const char *how = json_str(json_get(p, "behavior"), NULL), *regex = json_str(json_get(json_get(p, "pattern"), "Regex"), NULL);
    bool invert = json_bool(json_get(p, "invert"));
    if (!regex) return unsupported(t, "Split by a plain string", json_str(json_get(json_get(p, "pattern"), "String"), NULL));
    if (!how || !((!strcmp(how, "Isolated") && !invert) || (!strcmp(how, "Removed") && invert)))
        return unsupported(t, "behavior of Split", how ? how : "(none)");
    put_stage(out, regex);
    return 0;
}

static int pre_stage(struct tok *t, const struct json *p, struct buf *out)
{
    if (is_type(p, "ByteLevel")) {
        const struct json *regex = json_get(p, "use_regex");
        if (json_bool(json_get(p, "add_prefix_space"))) return unsupported(t, "add_prefix_space of", "ByteLevel");
        if (json_type(regex) != JSON_BOOL || json_bool(regex)) put_stage(out, hf_pre_gpt2);
        return 0;
    }
    if (is_type(p, "Split")) return split_stage(t, p, out);
    if (is_type(p, "Digits")) {
        put_stage(out, json_bool(json_get(p, "individual_digits")) ? "\\p{N}" : "\\p{N}+");
        return 0;
    }
    if (is_type(p, "Punctuation")) {         /* as falcon has it */
        put_stage(out, "[\\p{P}\\$\\+<=>\\^~\\|`]+");
        return 0;
    }
    return unsupported(t, "pre-tokenizer", type_of(p));
}

static int put_splitting(struct tok *t)
{
    struct buf stages = { 0 };
    const struct json *p;
    int rc = 0;
    for (size_t i = 0; rc == 0 && (p = member(t->pre, "pretokenizers", i)); i++) rc = pre_stage(t, p, &stages);
    if (rc == 0 && stages.bad) rc = t->rc = hf_nomem(t->h);
    const char *text = stages.data ? stages.data : "";
    const char *name = rc == 0 ? hf_pre_name(text, t->ignore_merges) : NULL;
    if (rc == 0 && !name)
        rc = t->rc = err_set(t->h->err, ERR_UNSUPPORTED, "%s: no splitting rule of Hearth does what "
                                                         "this pre-tokenizer does: %.300s",
                             t->path, text);
    if (rc == 0) gguf_put_str(t->h->w, "tokenizer.ggml.pre", name, strlen(name));
    buf_release(&stages);
    return rc;
}

/* ---- kinds of tokenizers ---- */

static void put_model(struct tok *t, const char *name) { gguf_put_str(t->h->w, "tokenizer.ggml.model", name, strlen(name)); }

static int byte_level(struct tok *t)
{
    const struct json *n;
    bool nfc = false;
    for (size_t i = 0; (n = member(t->normalizer, "normalizers", i)); i++) {
        if (!is_type(n, "NFC")) return unsupported(t, "normalizer", type_of(n));
        nfc = true;
    }
    put_model(t, "gpt2");
    gguf_put_strs(t->h->w, "tokenizer.ggml.merges", t->v.merge, t->v.n_merges);
    gguf_put_bool(t->h->w, "hearth.tokenizer.ignore_merges", t->ignore_merges);
    if (nfc) gguf_put_bool(t->h->w, "hearth.tokenizer.nfc", true);
    return put_splitting(t);
}

/* Whether a Replace turns spaces into U+2581. */
static bool is_escape(const struct json *n)
{
    const char *from = json_str(json_get(json_get(n, "pattern"), "String"), NULL), *to = json_str(json_get(n, "content"), NULL);
    return is_type(n, "Replace") && from && to && !strcmp(from, " ") && !strcmp(to, BLOCK);
}

/* Whether a Metaspace puts a space before the text; old files say so by a flag. */
static bool metaspace_prefix(const struct json *n)
{
    const char *scheme = json_str(json_get(n, "prepend_scheme"), NULL);
    const struct json *flag = json_get(n, "add_prefix_space");
    return scheme ? strcmp(scheme, "never") != 0 : !flag || json_bool(flag);
}

/* How SentencePiece vocabularies prepare text: by normalizers, or by a Metaspace. */
static int spaces(struct tok *t, bool *prefix, uint32_t *rule)
{
    const struct json *n;
    bool escapes = false;
    *prefix = false;
    *rule = 0;
    for (size_t i = 0; (n = member(t->normalizer, "normalizers", i)); i++) {
        const char *s = json_str(json_get(n, "prepend"), NULL);
        if (is_type(n, "Prepend") && s && !strcmp(s, BLOCK)) *prefix = true;
        else if (is_escape(n)) escapes = true;
        else return unsupported(t, "normalizer", type_of(n));
    }
    for (size_t i = 0; (n = member(t->pre, "pretokenizers", i)); i++) {
        /* Gemma cuts at spaces that its normalizer has already replaced: nothing happens. */
        if (is_type(n, "Split") && escapes) continue;
        if (!is_type(n, "Metaspace")) return unsupported(t, "pre-tokenizer", type_of(n));
        const char *scheme = json_str(json_get(n, "prepend_scheme"), NULL);
        *prefix = metaspace_prefix(n);
        *rule = scheme && !strcmp(scheme, "first") ? 3 : 2;
        escapes = true;
    }
    return escapes ? 0 : unsupported(t, "BPE that neither maps bytes nor replaces spaces", NULL);
}

/* Scores for programs that merge by score: minus the first rank that makes a token. */
static int put_scores(struct tok *t)
{
    struct hf_vocab *v = &t->v;
    struct arena a = { 0 };
    struct names names;
    struct gguf_kv *item = mem_new_array(struct gguf_kv, v->n + 1);        /* only the names are used */
    size_t dup = 0, n = 0;
    int rc = item ? 0 : hf_nomem(t->h);
    for (uint32_t i = 0; rc == 0 && i < v->n; i++)
        if (v->text[i].s) item[n++] = (struct gguf_kv){ .key = v->text[i], .count = i };
    if (rc == 0) rc = names_build(&names, &a, gguf_kv_name, item, n, &dup);
    if (rc == ERR_NOMEM) hf_nomem(t->h);
    else if (rc < 0) bad(t, ERR_FORMAT, "two tokens have the same text:", v->text[item[dup].count].s);
    for (size_t k = v->n_merges; rc == 0 && k--;) {
        struct gguf_str m = v->merge[k];
        const char *space = m.n > 2 ? memchr(m.s + 1, ' ', m.n - 2) : NULL;
        buf_clear(&t->text);
        if (space) {
            buf_put(&t->text, m.s, (size_t)(space - m.s));
            buf_put(&t->text, space + 1, m.n - 1 - (size_t)(space - m.s));
        }
        size_t at = space && !t->text.bad ? names_find(&names, gguf_kv_name, item, (struct gguf_str){ t->text.data, t->text.len })
                                          : SIZE_MAX;
        if (at == SIZE_MAX) rc = bad(t, ERR_FORMAT, "a merge makes no token:", m.s);
        else v->score[item[at].count] = -(float)(k + 1);
    }
    arena_release(&a);
    mem_free(item);
    if (t->rc < 0) rc = t->rc;
    if (rc == 0) gguf_put_array(t->h->w, "tokenizer.ggml.scores", GGUF_F32, v->score, v->n);
    return rc;
}

/* Where spaces are U+2581 in tokens they are so in added ones.  One that is cut out of the text as it was typed can only be
 * meant literally: the list of merges makes it.  One that is cut out afterwards is given its spaces back. */
static int settle_blocks(struct tok *t)
{
    struct hf_vocab *v = &t->v;
    for (uint32_t i = 0; i < v->n; i++) {
        struct gguf_str s = v->text[i];
        bool block = false;
        if (!s.s || (v->type[i] != HF_USER && v->type[i] != HF_LITERAL)) continue;
        buf_clear(&t->text);
        for (size_t k = 0, n; k < s.n; k += n) {
            bool here = s.n - k >= 3 && !memcmp(s.s + k, BLOCK, 3);
            n = here ? 3 : 1;
            buf_putc(&t->text, here ? ' ' : s.s[k]);
            block |= here;
        }
        if (t->text.bad) return hf_nomem(t->h);
        if (block && v->type[i] == HF_LITERAL) v->type[i] = HF_NORMAL;
        else if (block) t->rc = hf_vocab_put(t->h, v, i, (struct gguf_str){ t->text.data, t->text.len }, HF_USER, 0);
        if (t->rc < 0) return t->rc;
    }
    return 0;
}

static bool is_byte(struct gguf_str s)
{
    return s.n == 6 && !memcmp(s.s, "<0x", 3) && s.s[5] == '>' && strspn(s.s + 3, "0123456789ABCDEF") == 2;
}

static int sentencepiece(struct tok *t)
{
    struct hf_vocab *v = &t->v;
    bool prefix;
    uint32_t rule;
    int rc = spaces(t, &prefix, &rule);
    if (rc < 0) return rc;
    if (!t->byte_fallback) return unsupported(t, "BPE without byte_fallback", NULL);
    for (uint32_t i = 0; i < v->n; i++) {
        if (!v->text[i].s) continue;
        if (is_byte(v->text[i])) v->type[i] = HF_BYTE;
        /* What no pair makes must not come out of merging. */
        v->score[i] = -1e9f;
    }
    if (v->unk >= 0) v->type[v->unk] = HF_UNKNOWN;
    put_model(t, "llama");
    gguf_put_str(t->h->w, "tokenizer.ggml.pre", "default", 7);
    gguf_put_bool(t->h->w, "tokenizer.ggml.add_space_prefix", prefix);
    if (prefix && rule) gguf_put_u32(t->h->w, "hearth.tokenizer.prefix", rule);
    gguf_put_strs(t->h->w, "tokenizer.ggml.merges", v->merge, v->n_merges);
    gguf_put_bool(t->h->w, "hearth.tokenizer.merges", true);
    if ((rc = put_scores(t)) == 0) rc = settle_blocks(t);
    return rc;
}

static int put_charsmap(struct tok *t, const struct json *n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len, k = 0;
    const char *s = json_str(json_get(n, "precompiled_charsmap"), &len);
    uint8_t *out = s ? mem_new(len / 4 * 3 + 3, 1) : NULL;
    uint32_t bits = 0, have = 0;
    if (!s) return bad(t, ERR_FORMAT, "Precompiled has no precompiled_charsmap", NULL);
    if (!out) return t->rc = hf_nomem(t->h);
    for (size_t i = 0; i < len && s[i] != '='; i++) {
        const char *p = s[i] ? strchr(digit, s[i]) : NULL;
        if (!p) {
            mem_free(out);
            return bad(t, ERR_FORMAT, "precompiled_charsmap is not base64", NULL);
        }
        bits = bits << 6 | (uint32_t)(p - digit);
        if ((have += 6) < 8) continue;
        have -= 8;
        out[k++] = (uint8_t)(bits >> have);
    }
    gguf_put_array(t->h->w, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, out, k);
    mem_free(out);
    return 0;
}

static int unigram(struct tok *t)
{
    struct hf_vocab *v = &t->v;
    const struct json *n;
    bool squeeze = false, prefix = true;
    for (size_t i = 0; (n = member(t->normalizer, "normalizers", i)); i++) {
        const char *regex = json_str(json_get(json_get(n, "pattern"), "Regex"), NULL);
        int rc = 0;
        if (is_type(n, "Precompiled")) rc = put_charsmap(t, n);
        else if (is_type(n, "Replace") && regex && !strcmp(regex, " {2,}")) squeeze = true;
        else if (!is_type(n, "Strip")) rc = unsupported(t, "normalizer", type_of(n));
        if (rc < 0) return rc;
    }
    for (size_t i = 0; (n = member(t->pre, "pretokenizers", i)); i++) {
        if (is_type(n, "WhitespaceSplit")) {
            squeeze = true;
            continue;
        }
        if (!is_type(n, "Metaspace")) return unsupported(t, "pre-tokenizer", type_of(n));
        prefix = metaspace_prefix(n);
    }
    if (t->has_unk_id && t->unk_id < v->n) v->unk = (int32_t)t->unk_id;
    if (v->unk >= 0) v->type[v->unk] = HF_UNKNOWN;
    for (uint32_t i = 0; i < v->n; i++)
        if (!v->text[i].s) v->score[i] = 0;
    put_model(t, "t5");
    gguf_put_bool(t->h->w, "tokenizer.ggml.add_space_prefix", prefix);
    gguf_put_bool(t->h->w, "tokenizer.ggml.remove_extra_whitespaces", squeeze);
    gguf_put_array(t->h->w, "tokenizer.ggml.scores", GGUF_F32, v->score, v->n);
    return 0;
}

/* "##ing" is "ing" and "run" is U+2581 "run" in GGUF; marks in brackets stay. */
static int wordpiece(struct tok *t)
{
    struct hf_vocab *v = &t->v;
    const struct json *lower = json_get(t->normalizer, "lowercase");
    size_t k = strlen(t->prefix);
    if (!is_type(t->normalizer, "BertNormalizer")) return unsupported(t, "normalizer", type_of(t->normalizer));
    if (json_type(lower) == JSON_BOOL && !json_bool(lower)) return unsupported(t, "normalizer that keeps upper case", NULL);
    if (!k) fmt_into(t->prefix, sizeof t->prefix, "##"), k = 2;
    for (uint32_t i = 0; i < v->n && t->rc == 0; i++) {
        struct gguf_str s = v->text[i];
        if (!s.s || v->type[i] != HF_NORMAL || (s.n > 1 && s.s[0] == '[' && s.s[s.n - 1] == ']')) continue;
        buf_clear(&t->text);
        bool more = s.n > k && !memcmp(s.s, t->prefix, k);
        if (!more) buf_puts(&t->text, BLOCK);
        buf_put(&t->text, s.s + (more ? k : 0), s.n - (more ? k : 0));
        if (t->text.bad) return t->rc = hf_nomem(t->h);
        t->rc = hf_vocab_put(t->h, v, i, (struct gguf_str){ t->text.data, t->text.len }, HF_NORMAL, 0);
    }
    put_model(t, "bert");
    return t->rc;
}

/* ---- what is put around a text ---- */

static int32_t special_id(struct tok *t, const struct json *post, const struct json *item)
{
    const char *name = json_str(json_get(json_get(item, "SpecialToken"), "id"), NULL);
    const struct json *id = json_at(json_get(json_get(json_get(post, "special_tokens"), name ? name : ""), "ids"), 0);
    if (json_type(id) == JSON_INT && json_int(id) >= 0 && json_int(id) < t->v.n) return (int32_t)json_int(id);
    return name ? hf_vocab_find(&t->v, name) : -1;
}

static int from_template(struct tok *t, const struct json *post)
{
    const struct json *list = json_get(post, "single");
    int32_t first[2] = { -1, -1 }, last = -1;
    size_t n_first = 0, n_last = 0, n = json_len(list);
    bool text = false;
    for (size_t i = 0; i < n; i++) {
        const struct json *item = json_at(list, i);
        if (json_get(item, "Sequence")) text = true;
        else if (!text) first[n_first & 1] = special_id(t, post, item), n_first++;
        else last = special_id(t, post, item), n_last++;
    }
    if (n_first > 2 || n_last > 1) return unsupported(t, "TemplateProcessing with several tokens before or after the text", NULL);
    t->v.add_bos = n_first > 0;
    t->v.add_eos = n_last == 1;
    if (n_first) t->v.bos = first[0];
    if (n_first == 2 && first[1] > 0) gguf_put_u32(t->h->w, "hearth.tokenizer.after_bos", (uint32_t)first[1]);
    if (n_last) t->v.eos = last;
    if (t->model == MODEL_WORDPIECE && last >= 0) gguf_put_u32(t->h->w, "tokenizer.ggml.seperator_token_id", (uint32_t)last);
    if (t->model == MODEL_WORDPIECE) t->v.add_eos = 0;
    return 0;
}

/* BertProcessing and RobertaProcessing: ["text", id] for both ends. */
static void from_pair(struct tok *t, const struct json *post)
{
    const struct json *cls = json_at(json_get(post, "cls"), 1), *sep = json_at(json_get(post, "sep"), 1);
    if (json_type(cls) == JSON_INT && json_int(cls) >= 0 && json_int(cls) < t->v.n) t->v.bos = (int32_t)json_int(cls);
    t->v.add_bos = 1;
    if (json_type(sep) == JSON_INT && json_int(sep) >= 0 && json_int(sep) < t->v.n) {
        if (t->model == MODEL_WORDPIECE) gguf_put_u32(t->h->w, "tokenizer.ggml.seperator_token_id", (uint32_t)json_int(sep));
        t->v.eos = (int32_t)json_int(sep);
    }
    t->v.add_eos = t->model != MODEL_WORDPIECE;
}

static int read_post(struct tok *t)
{
    const struct json *p;
    for (size_t i = 0; (p = member(t->post, "processors", i)); i++) {
        if (is_type(p, "ByteLevel")) continue;
        if (is_type(p, "BertProcessing") || is_type(p, "RobertaProcessing")) from_pair(t, p);
        else if (!is_type(p, "TemplateProcessing")) return unsupported(t, "post-processor", type_of(p));
        else if (from_template(t, p) < 0) return t->rc;
    }
    return 0;
}

/* ---- all of it ---- */

static int translate(struct tok *t)
{
    if (t->model == MODEL_NONE) t->model = t->v.n_merges ? MODEL_BPE : MODEL_WORDPIECE;
    if (*t->unk) t->v.unk = hf_vocab_find(&t->v, t->unk);
    int rc = read_post(t);
    if (rc < 0) return rc;
    switch (t->model) {
    case MODEL_UNIGRAM: rc = unigram(t); break;
    case MODEL_WORDPIECE: rc = wordpiece(t); break;
    default: rc = has_byte_level(t) ? byte_level(t) : sentencepiece(t); break;
    }
    for (uint32_t i = 0; i < t->v.n; i++)
        if (t->v.text[i].s && t->v.type[i] == HF_LITERAL) t->v.type[i] = HF_USER;
    return rc < 0 ? rc : hf_vocab_keys(t->h, &t->v);
}

static int read_tokenizer(struct tok *t, const char *text, size_t n)
{
    jscan_init(&t->j, text, n);
    read_all(t);
    if (t->rc < 0) return t->rc;
    return t->j.bad ? jscan_error(&t->j, t->path, t->h->err) : translate(t);
}

int hf_tokenizer_json(struct hf *h, const char *path)
{
    struct os_map map;
    struct tok t = { .h = h, .path = path, .key = { .limit = GGUF_MAX_STRING }, .text = { .limit = 2 * GGUF_MAX_STRING } };
    t.v = (struct hf_vocab){ .bos = -1, .eos = -1, .unk = -1, .pad = -1, .add_bos = -1, .add_eos = -1 };
    int rc = os_map_open(&map, path, h->err);
    if (rc == 0 && map.size > HF_MAX_TOKENIZER)
        rc = err_set(h->err, ERR_LIMIT, "%s: %llu bytes, the limit is %d", path, (unsigned long long)map.size, HF_MAX_TOKENIZER);
    if (rc == 0) rc = read_tokenizer(&t, map.data ? (const char *)map.data : "", (size_t)map.size);
    os_map_close(&map);
    json_free(t.normalizer);
    json_free(t.pre);
    json_free(t.post);
    json_free(t.decoder);
    hf_vocab_release(&t.v);
    buf_release(&t.key);
    buf_release(&t.text);
    return rc;
}
