/* hf_tekken.c - tekken.json, the vocabulary of Mistral's newer models, becomes the keys of a GGUF vocabulary.
 *
 *   { "config": { "pattern", "default_vocab_size", "default_num_special_tokens", ... },
 *     "vocab": [{ "rank", "token_bytes" (base64), ... }, ...], "special_tokens": [{ "rank", "token_str", ... }, ...] }
 * Special tokens come first, up to their number; token `rank` of the vocabulary has the id behind them.  Two neighbours are
 * joined when what they make is a token, the one of lowest rank first: every way to cut a token into two is a merge. */
#include <string.h>

#include "base/jscan.h"
#include "base/mem.h"
#include "format/hf_impl.h"

enum { MAX_TOKEN = 256, MAX_PATTERN = 4096, MAX_MERGES = 1 << 22 };

struct tekken {
    struct hf *h;
    const char *path;
    struct jscan j;
    struct buf key, text;
    struct hf_vocab v;
    char pattern[MAX_PATTERN];
    uint64_t n_vocab, n_special;               /* the numbers of the configuration; 0: not said */
    struct gguf_str *raw;                      /* by rank: the bytes; .s NULL: none */
    size_t n_raw, cap_raw;
    const char *config, *vocab, *special;      /* where the parts begin */
    int rc;
};

static int bad(struct tekken *t, int code, const char *what)
{
    return t->rc = err_set(t->h->err, code, "%s: %s", t->path, what);
}

/* ---- reading ---- */

static void read_config(struct tekken *t)
{
    jscan_open(&t->j, '{');
    while (jscan_key(&t->j, &t->key)) {
        const char *k = t->key.data;
        if (!strcmp(k, "pattern")) {
            buf_clear(&t->text);
            jscan_str(&t->j, &t->text);
            if (!t->j.bad && t->text.len < sizeof t->pattern) memcpy(t->pattern, t->text.data, t->text.len + 1);
        } else if (!strcmp(k, "default_vocab_size")) t->n_vocab = jscan_u64(&t->j);
        else if (!strcmp(k, "default_num_special_tokens")) t->n_special = jscan_u64(&t->j);
        else jscan_skip(&t->j);
    }
}

static int digit64(char c)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(digit, c) : NULL;
    return p ? (int)(p - digit) : -1;
}

/* The bytes that a base64 text stands for; -1 when it is none, or they are too many. */
static int decode64(const char *s, size_t n, uint8_t *out)
{
    uint32_t bits = 0, have = 0;
    int k = 0;
    while (n && s[n - 1] == '=') n--;
    for (size_t i = 0; i < n; i++) {
        int d = digit64(s[i]);
        if (d < 0) return -1;
        bits = bits << 6 | (uint32_t)d;
        if ((have += 6) < 8) continue;
        have -= 8;
        if (k == MAX_TOKEN) return -1;
        out[k++] = (uint8_t)(bits >> have);
    }
    return k;
}

static bool grow(struct tekken *t, size_t n)
{
    if (n <= t->cap_raw) return true;
    size_t cap = t->cap_raw ? t->cap_raw : 4096;
    while (cap < n) cap *= 2;
    struct gguf_str *v = mem_resize(t->raw, cap, sizeof *v);
    if (!v) return false;
    memset(v + t->cap_raw, 0, (cap - t->cap_raw) * sizeof *v);
    t->raw = v;
    t->cap_raw = cap;
    return true;
}

static void put_raw(struct tekken *t, uint64_t rank)
{
    uint8_t bytes[MAX_TOKEN];
    int n = decode64(t->text.data ? t->text.data : "", t->text.len, bytes);
    if (n < 1) bad(t, ERR_FORMAT, "a token_bytes is no base64 text of 1 to 256 bytes");
    else if (rank >= HF_MAX_IDS) bad(t, ERR_LIMIT, "a rank of more than 1,048,575");
    else if (rank < t->n_raw && t->raw[rank].s) bad(t, ERR_FORMAT, "two tokens have the same rank");
    else if (!grow(t, (size_t)rank + 1)) t->rc = hf_nomem(t->h);
    if (t->rc < 0) return;
    char *s = arena_strdup(&t->v.arena, (const char *)bytes, (size_t)n);
    if (!s) {
        t->rc = hf_nomem(t->h);
        return;
    }
    t->raw[rank] = (struct gguf_str){ s, (size_t)n };
    if (rank >= t->n_raw) t->n_raw = (size_t)rank + 1;
}

/* One of the objects in a list: its rank, and the text under `key` in t->text. */
static bool read_item(struct tekken *t, const char *key, uint64_t *rank)
{
    bool has_rank = false, has_text = false;
    jscan_open(&t->j, '{');
    while (jscan_key(&t->j, &t->key)) {
        if (!strcmp(t->key.data, "rank")) {
            *rank = jscan_u64(&t->j);
            has_rank = true;
        } else if (!strcmp(t->key.data, key)) {
            buf_clear(&t->text);
            jscan_str(&t->j, &t->text);
            has_text = true;
        } else jscan_skip(&t->j);
    }
    if (t->j.bad) return false;
    if (!has_rank || !has_text) bad(t, ERR_FORMAT, "a token has no rank, or no text");
    return t->rc == 0;
}

static void read_vocab(struct tekken *t)
{
    uint64_t rank = 0;
    jscan_open(&t->j, '[');
    while (t->rc == 0 && jscan_item(&t->j))
        if (read_item(t, "token_bytes", &rank)) put_raw(t, rank);
}

/* Files of the first version name none: these are the ones that all have. */
static const char *const first[] = {
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
    "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
};

static int put_special(struct tekken *t, uint64_t id, const char *text)
{
    return hf_vocab_put(t->h, &t->v, id, (struct gguf_str){ text, strlen(text) }, id ? HF_CONTROL : HF_UNKNOWN, 0);
}

static void read_special(struct tekken *t)
{
    uint64_t rank = 0;
    jscan_open(&t->j, '[');
    while (t->rc == 0 && jscan_item(&t->j)) {
        if (!read_item(t, "token_str", &rank)) continue;
        if (rank >= t->n_special) bad(t, ERR_FORMAT, "a special token behind their number");
        else if (rank < t->v.n && t->v.text[rank].s) bad(t, ERR_FORMAT, "two special tokens have the same rank");
        else t->rc = put_special(t, rank, t->text.data ? t->text.data : "");
    }
}

static void note(struct tekken *t, const char **at)
{
    jscan_peek(&t->j);
    if (*at) jscan_fail(&t->j, "the key occurs twice");
    *at = t->j.at;
    jscan_skip(&t->j);
}

/* The configuration is needed for the lists, wherever the file has it: all is checked, then each part read. */
static void read_all(struct tekken *t)
{
    jscan_open(&t->j, '{');
    while (jscan_key(&t->j, &t->key)) {
        const char *k = t->key.data;
        if (!strcmp(k, "config")) note(t, &t->config);
        else if (!strcmp(k, "vocab")) note(t, &t->vocab);
        else if (!strcmp(k, "special_tokens")) note(t, &t->special);
        else jscan_skip(&t->j);
    }
    if (!jscan_end(&t->j)) return;
    if (!t->config || !t->vocab) {
        bad(t, ERR_FORMAT, "has no config or no vocab; not a tekken.json");
        return;
    }
    t->j.at = t->config;
    read_config(t);
    if (!t->n_special) t->n_special = 1000;
    if (!t->j.bad && (t->n_special < sizeof first / sizeof *first || t->n_special > HF_MAX_IDS || t->n_vocab > HF_MAX_IDS ||
                      t->n_vocab <= t->n_special))
        bad(t, ERR_FORMAT, "default_vocab_size or default_num_special_tokens make no sense");
    if (t->j.bad || t->rc < 0) return;
    t->j.at = t->vocab;
    read_vocab(t);
    if (!t->special || t->j.bad || t->rc < 0) return;
    t->j.at = t->special;
    if (jscan_null(&t->j)) t->special = NULL;           /* as if it were not there */
    else read_special(t);
}

/* ---- keys ---- */

/* Bytes as GGUF's vocabularies write them: those that can be seen as they are, the others from U+0100 on. */
static size_t put_byte(char *dst, uint8_t b)
{
    bool seen = (b >= '!' && b <= '~') || (b >= 0xa1 && b != 0xad);
    unsigned u = b;
    if (!seen) u = b < '!' ? 256u + b : b < 0xa1 ? 256u + 33 + (b - 0x7fu) : 256u + 67;
    if (u < 0x80) {
        dst[0] = (char)u;
        return 1;
    }
    dst[0] = (char)(0xc0 | u >> 6);
    dst[1] = (char)(0x80 | (u & 0x3f));
    return 2;
}

static size_t put_bytes(char *dst, const char *s, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += put_byte(dst + k, (uint8_t)s[i]);
    return k;
}

static int put_tokens(struct tekken *t)
{
    char text[2 * MAX_TOKEN];
    int rc = 0;
    for (size_t i = 0; !t->special && i < sizeof first / sizeof *first && rc == 0; i++) rc = put_special(t, i, first[i]);
    for (uint64_t i = 0; i < t->n_special && rc == 0; i++) {
        if (i < t->v.n && t->v.text[i].s) continue;
        fmt_into(text, sizeof text, "<SPECIAL_%llu>", (unsigned long long)i);
        rc = put_special(t, i, text);
    }
    if (t->n_raw > t->n_vocab - t->n_special) t->n_raw = (size_t)(t->n_vocab - t->n_special);
    for (size_t i = 0; i < t->n_raw && rc == 0; i++) {
        if (!t->raw[i].s) rc = bad(t, ERR_FORMAT, "a rank of the vocabulary has no token");
        else rc = hf_vocab_put(t->h, &t->v, t->n_special + i,
                               (struct gguf_str){ text, put_bytes(text, t->raw[i].s, t->raw[i].n) }, HF_NORMAL, 0);
    }
    return rc;
}

static struct gguf_str raw_name(const void *items, size_t i) { return ((const struct gguf_str *)items)[i]; }

static int put_merge(struct tekken *t, struct gguf_str s, size_t cut)
{
    struct hf_vocab *v = &t->v;
    char text[2 * MAX_TOKEN + 1];
    size_t n = put_bytes(text, s.s, cut);
    text[n++] = ' ';
    n += put_bytes(text + n, s.s + cut, s.n - cut);
    if (v->n_merges == v->cap_merges) {
        size_t cap = v->cap_merges ? v->cap_merges * 2 : 4096;
        struct gguf_str *m = mem_resize(v->merge, cap, sizeof *m);
        if (!m) return hf_nomem(t->h);
        v->merge = m;
        v->cap_merges = cap;
    }
    if (v->n_merges == MAX_MERGES) return bad(t, ERR_LIMIT, "more than 4,194,304 ways to cut its tokens");
    char *own = arena_strdup(&v->arena, text, n);
    if (!own) return hf_nomem(t->h);
    v->merge[v->n_merges++] = (struct gguf_str){ own, n };
    return 0;
}

static int put_merges(struct tekken *t)
{
    struct arena a = { 0 };
    struct names names;
    size_t dup = 0;
    int rc = names_build(&names, &a, raw_name, t->raw, t->n_raw, &dup);
    if (rc == ERR_NOMEM) hf_nomem(t->h);
    else if (rc < 0) bad(t, rc, rc == ERR_LIMIT ? "tokens are chosen to collide" : "two tokens have the same bytes");
    for (size_t i = 0; i < t->n_raw && rc == 0; i++) {
        struct gguf_str s = t->raw[i];
        for (size_t k = 1; k < s.n && rc == 0; k++)
            if (names_find(&names, raw_name, t->raw, (struct gguf_str){ s.s, k }) != SIZE_MAX &&
                names_find(&names, raw_name, t->raw, (struct gguf_str){ s.s + k, s.n - k }) != SIZE_MAX)
                rc = put_merge(t, s, k);
    }
    arena_release(&a);
    return rc;
}

/* How these models were trained to converse; a file of the folder that says otherwise comes first. */
static const char conversation[] =
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content }}[/SYSTEM_PROMPT]"
    "{% elif m.role == 'user' %}[INST]{{ m.content }}[/INST]{% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}"
    "{% else %}{{ raise_exception('This template knows system, user and assistant messages only.') }}{% endif %}{% endfor %}";

static int put_keys(struct tekken *t)
{
    struct hf_vocab *v = &t->v;
    const char *name = hf_pre_name(t->pattern, true);
    if (!name)
        return err_set(t->h->err, ERR_UNSUPPORTED, "%s: no splitting rule of Hearth does what this pattern does: %.300s", t->path,
                       t->pattern);
    int rc = put_tokens(t);
    if (rc == 0) rc = put_merges(t);
    if (rc < 0) return rc;
    v->unk = 0;
    v->bos = hf_vocab_find(v, "<s>");
    v->eos = hf_vocab_find(v, "</s>");
    v->pad = hf_vocab_find(v, "<pad>");
    v->add_bos = 1;
    gguf_put_str(t->h->w, "tokenizer.ggml.model", "gpt2", 4);
    gguf_put_str(t->h->w, "tokenizer.ggml.pre", name, strlen(name));
    gguf_put_strs(t->h->w, "tokenizer.ggml.merges", v->merge, v->n_merges);
    gguf_put_bool(t->h->w, "hearth.tokenizer.ignore_merges", true);
    t->h->conversation = hf_vocab_find(v, "[SYSTEM_PROMPT]") >= 0 && hf_vocab_find(v, "[INST]") >= 0 ? conversation : NULL;
    return hf_vocab_keys(t->h, v);
}

int hf_tokenizer_tekken(struct hf *h, const char *path)
{
    struct os_map map;
    struct tekken t = { .h = h, .path = path, .key = { .limit = 4096 }, .text = { .limit = MAX_PATTERN } };
    t.v = (struct hf_vocab){ .bos = -1, .eos = -1, .unk = -1, .pad = -1, .add_bos = -1, .add_eos = -1 };
    int rc = os_map_open(&map, path, h->err);
    if (rc == 0 && map.size > HF_MAX_TOKENIZER)
        rc = err_set(h->err, ERR_LIMIT, "%s: %llu bytes, the limit is %d", path, (unsigned long long)map.size, HF_MAX_TOKENIZER);
    if (rc == 0) {
        jscan_init(&t.j, map.data ? (const char *)map.data : "", (size_t)map.size);
        read_all(&t);
        rc = t.rc < 0 ? t.rc : t.j.bad ? jscan_error(&t.j, path, h->err) : put_keys(&t);
    }
    os_map_close(&map);
    mem_free(t.raw);
    hf_vocab_release(&t.v);
    buf_release(&t.key);
    buf_release(&t.text);
    return rc;
}
