/* Reference vectors: every vocabulary and text of the reference folder must give the reference's ids and text. */
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "tests/testing.h"
#include "text/tokenizer.h"

struct vocab {
    struct buf bytes;
    struct gguf *g;
    struct tokenizer *t;
};

static bool unpack(struct vocab *v, const char *name)
{
    char path[512], command[600];
    *v = (struct vocab){ 0 };
    if (!ref_path(path, sizeof path, name)) return false;
    snprintf(command, sizeof command, "xz -dc '%s' 2>/dev/null", path);
    FILE *f = popen(command, "r");
    if (!f) return false;
    static char chunk[1 << 16];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f));) buf_put(&v->bytes, chunk, n);
    return pclose(f) == 0 && !v->bytes.bad;
}

static bool open_vocab(struct vocab *v, const char *name)
{
    struct err err = { 0 };
    if (!unpack(v, name)) return false;
    if (gguf_parse(&v->g, v->bytes.data, v->bytes.len, name, &err) || tokenizer_open(&v->t, v->g, &err)) {
        print_error("%s\n", err.msg);
        fail();
    }
    return true;
}

static void close_vocab(struct vocab *v)
{
    tokenizer_close(v->t);
    gguf_close(v->g);
    buf_release(&v->bytes);
}

static struct json *read_json(const char *name)
{
    char path[512], *text;
    size_t n;
    struct json *j;
    if (!ref_path(path, sizeof path, name)) return NULL;
    assert_int_equal(os_read_file(path, 64u << 20, &text, &n, NULL), 0);
    assert_int_equal(json_parse(&j, text, n, NULL), 0);
    mem_free(text);
    return j;
}

static void from_hex(struct buf *out, const char *s)
{
    for (; s[0] && s[1]; s += 2) {
        unsigned v;
        sscanf(s, "%2x", &v);
        buf_putc(out, (char)v);
    }
}

/* The bytes under key, or under key_hex; false when neither is there. */
static bool bytes_of(struct buf *out, const struct json *c, const char *key, const char *key_hex)
{
    size_t n;
    buf_clear(out);
    buf_put(out, "", 0);
    const char *s = json_str(json_get(c, key), &n);
    if (s) buf_put(out, s, n);
    else if ((s = json_str(json_get(c, key_hex), NULL))) from_hex(out, s);
    return s != NULL;
}

struct tally {
    unsigned checked, wrong;
    unsigned original;              /* differ from the reference as the model's own tokenizer does */
    const char *vocab, *pre;
    struct json *golden;
};

/* Whether ids are what the original tokenizer gives where the reference is known to be wrong. */
static bool is_original(const struct tally *y, const struct tokenizer *t, const struct buf *text)
{
    struct json *cases = json_get(y->golden, "cases");
    struct ids got = { 0 };
    bool same = false;
    for (size_t i = 0; i < json_len(cases) && !same; i++) {
        struct json *c = json_at(cases, i), *ids = json_get(c, "ids");
        size_t n;
        const char *s = json_str(json_get(c, "text"), &n);
        if (strcmp(json_str(json_get(c, "vocab"), NULL), y->vocab) != 0 || n != text->len || memcmp(s, text->data, n) != 0 ||
            strcmp(json_str(json_get(c, "pre"), NULL), y->pre) != 0)
            continue;
        assert_int_equal(tokenizer_encode(t, text->data, text->len, 0, &got, NULL), 0);
        same = got.n == json_len(ids);
        for (size_t k = 0; same && k < got.n; k++) same = got.id[k] == json_int(json_at(ids, k));
    }
    ids_release(&got);
    return same;
}

static struct json *read_golden(void)
{
    char *text;
    size_t n;
    struct json *j = NULL;
    if (os_read_file("tests/golden/tokenizer/original.json", 1 << 20, &text, &n, NULL)) return NULL;
    assert_int_equal(json_parse(&j, text, n, NULL), 0);
    mem_free(text);
    return j;
}

static void show(const char *what, const struct buf *text, const struct ids *got, const struct json *want)
{
    struct buf b = { 0 };
    json_write_str(text->data, text->len, &b);
    buf_puts(&b, "\n  got ");
    for (size_t i = 0; i < got->n; i++) buf_printf(&b, "%d,", (int)got->id[i]);
    buf_puts(&b, "\n  want ");
    for (size_t i = 0; i < json_len(want); i++) buf_printf(&b, "%d,", (int)json_int(json_at(want, i)));
    print_error("%s: %s\n", what, b.data);
    buf_release(&b);
}

static void check_ids(struct tally *y, const struct tokenizer *t, const char *what, const struct buf *text, unsigned flags,
                      const struct json *want, struct ids *got)
{
    got->n = 0;
    assert_int_equal(tokenizer_encode(t, text->data, text->len, flags, got, NULL), 0);
    bool same = got->n == json_len(want);
    for (size_t i = 0; same && i < got->n; i++) same = got->id[i] == json_int(json_at(want, i));
    y->checked++;
    if (same) return;
    if (is_original(y, t, text)) {
        y->original++;
        return;
    }
    y->wrong++;
    show(what, text, got, want);
}

static void check_text(struct tally *y, const struct tokenizer *t, const struct json *c, const char *key,
                       const struct buf *text, const struct json *ids, bool special)
{
    struct buf want = { 0 }, got = { 0 };
    char hex[64];
    int32_t id[4096];
    size_t n = json_len(ids);
    assert_true(n <= 4096);
    for (size_t i = 0; i < n; i++) id[i] = (int32_t)json_int(json_at(ids, i));
    snprintf(hex, sizeof hex, "%s_hex", key);
    if (!bytes_of(&want, c, key, hex)) buf_put(&want, text->data, text->len);
    buf_put(&got, "", 0);
    tokenizer_decode(t, id, n, special, &got);
    y->checked++;
    if (got.len != want.len || memcmp(got.data, want.data, got.len) != 0) {
        y->wrong++;
        print_error("%s: %s of '%s'\n  got '%s'\n want '%s'\n", y->vocab, key, text->data, got.data, want.data);
    }
    buf_release(&want);
    buf_release(&got);
}

static void check_case(struct tally *y, const struct tokenizer *t, const char *name, const struct json *c)
{
    struct buf text = { 0 };
    struct ids got = { 0 };
    assert_true(bytes_of(&text, c, "text", "hex"));
    struct json *ids = json_get(c, "ids"), *both = json_get(c, "ids_add_parse"), *parse = json_get(c, "ids_parse");
    check_ids(y, t, name, &text, 0, ids, &got);
    check_ids(y, t, name, &text, TOK_SPECIAL | TOK_PARSE, both, &got);
    check_ids(y, t, name, &text, TOK_PARSE, parse ? parse : ids, &got);
    check_text(y, t, c, "detok", &text, ids, true);
    check_text(y, t, c, "detok_add_parse", &text, both, true);
    check_text(y, t, c, "detok_add_parse_nospecial", &text, both, false);
    ids_release(&got);
    buf_release(&text);
}

static void vectors(void **state)
{
    char file[128];
    const char *name = *state;
    struct vocab v;
    snprintf(file, sizeof file, "tokenizer/%s.gguf.xz", name);
    if (!open_vocab(&v, file)) skip();
    struct tally y = { .vocab = name, .pre = "", .golden = read_golden() };
    snprintf(file, sizeof file, "tokenizer/%s.vectors.json", name);
    struct json *j = read_json(file), *info = json_get(j, "info"), *cases = json_get(j, "cases");
    assert_int_equal(tokenizer_n_vocab(v.t), json_int(json_get(info, "n_tokens")));
    assert_int_equal(tokenizer_bos(v.t), json_int(json_get(info, "bos")));
    assert_int_equal(tokenizer_eos(v.t), json_int(json_get(info, "eos")));
    assert_int_equal(tokenizer_adds_bos(v.t), json_int(json_get(info, "add_bos")));
    for (size_t i = 0; i < json_len(cases); i++) check_case(&y, v.t, name, json_at(cases, i));
    print_message("# %s: %u checks, %u as the original, %u wrong\n", name, y.checked, y.original, y.wrong);
    json_free(j);
    json_free(y.golden);
    close_vocab(&v);
    assert_true(y.checked > 1900);
    assert_int_equal(y.wrong, 0);
}

/* NAME.inp: texts separated by a marker line; NAME.out: a line of ids for each. */
static void lines(void **state)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char file[128], path[512], *in, *out;
    struct vocab v;
    size_t n_in, n_out;
    unsigned count = 0;
    snprintf(file, sizeof file, "tokenizer/%s.inp", (const char *)*state);
    if (!ref_path(path, sizeof path, file)) skip();
    assert_int_equal(os_read_file(path, 1 << 20, &in, &n_in, NULL), 0);
    snprintf(file, sizeof file, "tokenizer/%s.out", (const char *)*state);
    assert_true(ref_path(path, sizeof path, file));
    assert_int_equal(os_read_file(path, 1 << 20, &out, &n_out, NULL), 0);
    snprintf(file, sizeof file, "tokenizer/%s.gguf.xz", (const char *)*state);
    if (!open_vocab(&v, file)) skip();
    char *line = out;
    for (char *at = in, *next; at; at = next) {
        char *end = strstr(at, mark);
        size_t n = end ? (size_t)(end - at) : strlen(at);
        next = end ? end + sizeof mark - 1 : NULL;
        if (!next && !*line) break;
        struct ids got = { 0 };
        assert_int_equal(tokenizer_encode(v.t, at, n, 0, &got, NULL), 0);
        for (size_t i = 0; i < got.n; i++) assert_int_equal(strtol(line, &line, 10), got.id[i]);
        while (*line == ' ') line++;
        assert_true(*line == '\n' || !*line);
        if (*line) line++;
        ids_release(&got);
        count++;
    }
    print_message("# %s: %u texts\n", (const char *)*state, count);
    assert_true(count > 30);
    mem_free(in);
    mem_free(out);
    close_vocab(&v);
}

static void check_pre(struct tally *y, const struct vocab *base, const char *pre, const struct json *texts,
                      const struct json *ids)
{
    char path[] = "/tmp/hearth-pre-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct gguf_writer *w;
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    for (size_t i = 0; i < gguf_n_kv(base->g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(base->g, i);
        if (kv->key.n != 18 || memcmp(kv->key.s, "tokenizer.ggml.pre", 18) != 0) gguf_copy_kv(w, kv);
    }
    gguf_put_str(w, "tokenizer.ggml.pre", pre, strlen(pre));
    assert_int_equal(gguf_writer_save(w, path, NULL), 0);
    gguf_writer_close(w);
    struct gguf *g;
    struct tokenizer *t;
    struct err err = { 0 };
    assert_int_equal(gguf_open(&g, path, NULL), 0);
    if (tokenizer_open(&t, g, &err)) fail_msg("%s", err.msg);
    struct ids got = { 0 };
    y->pre = pre;
    for (size_t i = 0; i < json_len(texts); i++) {
        struct buf text = { 0 };
        size_t n;
        const char *s = json_str(json_at(texts, i), &n);
        buf_put(&text, s, n);
        check_ids(y, t, pre, &text, 0, json_at(ids, i), &got);
        buf_release(&text);
    }
    ids_release(&got);
    tokenizer_close(t);
    gguf_close(g);
    unlink(path);
}

static void pre_tokenizers(void **state)
{
    char file[128];
    struct vocab v;
    unsigned names = 0;
    snprintf(file, sizeof file, "tokenizer/%s.gguf.xz", (const char *)*state);
    if (!open_vocab(&v, file)) skip();
    struct tally y = { .vocab = *state, .golden = read_golden() };
    snprintf(file, sizeof file, "tokenizer/pre-tokenizers.%s.json", (const char *)*state);
    struct json *j = read_json(file), *texts = json_get(j, "texts"), *entry;
    const char *key;
    for (void *it = NULL; json_next(json_get(j, "pre"), &it, &key, &entry);) {
        struct json *ids = json_get(entry, "ids"), *same = json_get(entry, "same_as_this");
        check_pre(&y, &v, key, texts, ids);
        names += 1 + (unsigned)json_len(same);
        for (size_t i = 0; i < json_len(same); i++) check_pre(&y, &v, json_str(json_at(same, i), NULL), texts, ids);
    }
    print_message("# %s: %u names, %u checks, %u as the original, %u wrong\n", (const char *)*state, names, y.checked,
                  y.original, y.wrong);
    json_free(j);
    json_free(y.golden);
    close_vocab(&v);
    assert_true(names > 40);
    assert_int_equal(y.wrong, 0);
}

#define V(name) { "vectors", vectors, NULL, NULL, name }
#define L(name) { "lines", lines, NULL, NULL, name }
#define P(name) { "pre-tokenizers", pre_tokenizers, NULL, NULL, name }

int main(void)
{
    static char n[][20] = { "bert-bge", "deepseek-coder", "deepseek-llm", "deepseek-v3", "falcon", "gemma-4", "gpt-2",
                            "gpt-oss", "llama-bpe", "llama-spm", "mistral-tekken", "phi-3", "qwen2", "starcoder" };
    const struct CMUnitTest tests[] = {
        V(n[0]), V(n[1]), V(n[2]), V(n[3]), V(n[4]), V(n[5]), V(n[6]), V(n[7]), V(n[8]), V(n[9]), V(n[10]), V(n[11]),
        V(n[12]), V(n[13]), L(n[0]), L(n[1]), L(n[2]), L(n[4]), L(n[5]), L(n[6]), L(n[8]), L(n[9]), L(n[11]), L(n[12]),
        L(n[13]), P(n[6]), P(n[12])
    };
    return run_tests(tests);
}
