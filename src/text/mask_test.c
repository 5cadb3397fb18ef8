/* Masks of a vocabulary that is large enough for all ways of making them: every token has the verdict of its bytes. */
#include "tests/testing.h"
#include "tests/tiny_vocab.h"

#include "base/mem.h"
#include "text/mask.h"

enum { TOKENS = 5000, STEPS = 10 };

static uint64_t seed;
static unsigned draw(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % n);
}

/* Words with and without a space before them, numbers, signs, other scripts, and runs of one character. */
static size_t make_token(char *out, unsigned i)
{
    static const char *const any[] = { "a", "e", "t", "x", "y", "z", "b", "q", "A", "T", "Z", "0", "7", "\"", "\\", ",", "-",
                                       "\n", "(", "<", "\xc3\xa9", "\xd1\x8f", "\xd0\xb6", "\xe4\xb8\xad", "\xe5\xad\x97",
                                       "\xf0\x9f\x98\x80" };
    static const char *const runs[] = { " ", "-", "=", "a", "\xe4\xb8\xad" };
    size_t n = 0;
    if (i % 100 == 0) {
        const char *s = runs[draw(5)];
        if (*s == ' ') s = TINY_BLOCK;
        for (unsigned k = 0, many = 20 + draw(40); k < many; k++, n += strlen(s)) memcpy(out + n, s, strlen(s));
        return n;
    }
    if (draw(5) < 2) memcpy(out, TINY_BLOCK, n = 3);
    for (unsigned k = 0, many = 1 + draw(9), kind = draw(8); k < many; k++) {
        if (kind < 5) out[n++] = (char)((kind == 4 && !k ? 'A' : 'a') + (int)draw(26));
        else {
            const char *s = any[draw(sizeof any / sizeof *any)];
            memcpy(out + n, s, strlen(s));
            n += strlen(s);
        }
    }
    return n;
}

static struct tiny_vocab large(void)
{
    static struct gguf_str s[TOKENS];
    static int32_t type[TOKENS];
    static float score[TOKENS];
    static char store[TOKENS][256];
    struct gguf_writer *w;
    if (gguf_writer_open(&w, NULL)) abort();
    for (unsigned i = 0; i < TOKENS; i++) {
        size_t n = i < 3 ? (size_t)snprintf(store[i], 8, "<%u>", i) : i < 259 ? (size_t)snprintf(store[i], 8, "<0x%02X>", i - 3)
                                                                            : make_token(store[i], i);
        s[i] = (struct gguf_str){ store[i], n };
        type[i] = i < 3 ? 3 : i < 259 ? 6 : 1;
        score[i] = -(float)i;
    }
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_str(w, "tokenizer.ggml.model", "llama", 5);
    gguf_put_strs(w, "tokenizer.ggml.tokens", s, TOKENS);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, type, TOKENS);
    gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, score, TOKENS);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
    struct tiny_vocab v = { tiny_gguf(w), NULL };
    struct err e = { 0 };
    if (!v.g || tokenizer_open(&v.t, v.g, &e) < 0) fail_msg("%s", e.msg);
    return v;
}

static bool good(struct grun *r, const struct vocab *v, uint32_t c, int32_t id)
{
    if (mask_has(v->ends, id)) return r->config[c].ends;
    for (uint32_t i = v->at[id]; i < v->at[id + 1] && c != GRUN_DEAD; i++) c = grun_byte(r, c, v->bytes[i]);
    return v->at[id] != v->at[id + 1] && c != GRUN_DEAD;
}

static void walk_and_compare(const struct vocab *v, const char *source, bool schema)
{
    struct grammar *g;
    struct grun r, truth;
    struct masks m;
    struct err e = { 0 };
    uint64_t *mask = mem_new_array(uint64_t, v->n_words);
    int rc = schema ? grammar_from_schema(&g, source, strlen(source), &e) : grammar_from_gbnf(&g, source, strlen(source), &e);
    if (rc < 0) fail_msg("%s: %s", source, e.msg);
    assert_int_equal(grun_open(&r, g) | grun_open(&truth, g) | masks_open(&m, &r, v), 0);
    uint32_t c = r.start, t = truth.start;
    for (unsigned step = 0; step < STEPS; step++) {
        assert_int_equal(masks_make(&m, c, NULL, mask), 0);
        int32_t next = -1;
        for (int32_t k = 0, from = (int32_t)draw(TOKENS); k < v->n_vocab; k++) {
            const int32_t id = (from + k) % v->n_vocab;
            const bool yes = good(&truth, v, t, id);
            if (yes != mask_has(mask, id)) fail_msg("%s, step %u: token %d (%.*s) is %sgood", source, step, id,
                (int)(v->at[id + 1] - v->at[id]), (const char *)v->bytes + v->at[id], yes ? "" : "not ");
            if (yes && next < 0 && !mask_has(v->ends, id)) next = id;
        }
        if (next < 0) break;
        for (uint32_t i = v->at[next]; i < v->at[next + 1]; i++) {
            c = grun_byte(&r, c, v->bytes[i]);
            t = grun_byte(&truth, t, v->bytes[i]);
        }
    }
    masks_close(&m);
    grun_close(&r);
    grun_close(&truth);
    grammar_free(g);
    mem_free(mask);
}

static void every_token_is_right(void **unused)
{
    (void)unused;
    static const char *const schema[] = {
        "true", "{\"type\":\"string\",\"maxLength\":300}", "{\"type\":\"string\",\"maxLength\":7}",
        "{\"type\":\"string\",\"minLength\":40}",
        "{\"type\":\"string\",\"pattern\":\"^([A-Z][a-z]+ ){2,40}$\"}", "{\"type\":\"number\"}",
    };
    static const char *const gbnf[] = {
        "root ::= ([^x] [^y] [^z]){1,300}", "root ::= ([^a] [^b] [^c] [^d] [^e]){1,300}", "root ::= [^x]{1,300} [^y]*",
        "root ::= ([a-z]+ \" \"? [A-Z]*){1,300}", "root ::= (. .)*", "root ::= (. | .. | ...)* \"x\" .{0,30}",
        "root ::= ( [^()] | \"(\" root \")\" )*", "root ::= ( [^<] | \"<\" [^/] )* \"</a>\"", "root ::= [a-z ]*",
        "root ::= [\\u0400-\\u04ff\\u4e00-\\u9fff ]+", "root ::= [a-z\\u4e2d]* \"-\" .*", "root ::= .{3}", "root ::= .{33}",
        "root ::= \"x\" \"q\"* | [^x] .{1,300}", "root ::= [a-m] [0-9]* | [^a-m] .{1,300}",
        "root ::= ([a-z]{2} [^a-z]?)* | [A-Z0-9-]*", "root ::= [^\\x00-\\x1f]* \"\\n\" root | \"=\"*",
        "root ::= (\" \"? [a-zA-Z]{1,9} [,.]?){1,50}", "root ::= ([aeiou] | [^aeiou] .{0,3})*",
    };
    struct vocab *v;
    struct err e = { 0 };
    seed = 7;
    struct tiny_vocab tiny = large();
    if (vocab_open(&v, tiny.t, tokenizer_n_vocab(tiny.t), &e) < 0) fail_msg("%s", e.msg);
    assert_true(v->n_longer > 10 && v->n_bad > 50 && v->largest);
    for (size_t i = 0; i < sizeof schema / sizeof *schema; i++) walk_and_compare(v, schema[i], true);
    for (size_t i = 0; i < sizeof gbnf / sizeof *gbnf; i++)
        for (int k = 0; k < 3; k++) walk_and_compare(v, gbnf[i], false);
    vocab_close(v);
    tiny_close(&tiny);
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    static const char source[] = "root ::= ([^x] [^y]){1,300}";
    struct tiny_vocab tiny = large();
    struct err e = { 0 };
    int rc = -1;
    for (int64_t n = 0; rc < 0 && n < 1000; n++) {
        struct vocab *v = NULL;
        struct grammar *g = NULL;
        struct grun r = { 0 };
        struct masks m = { 0 };
        uint64_t mask[TOKENS / 64 + 1];
        mem_fail_after(n);
        rc = vocab_open(&v, tiny.t, TOKENS, &e);
        if (rc == 0) rc = grammar_from_gbnf(&g, source, sizeof source - 1, &e);
        if (rc == 0) rc = grun_open(&r, g);
        if (rc == 0) rc = masks_open(&m, &r, v);
        if (rc == 0) rc = masks_make(&m, r.start, NULL, mask);
        mem_fail_after(-1);
        if (rc < 0) assert_int_equal(rc, ERR_NOMEM);
        masks_close(&m);
        grun_close(&r);
        grammar_free(g);
        vocab_close(v);
    }
    assert_int_equal(rc, 0);
    tiny_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_token_is_right), cmocka_unit_test(memory_runs_out) };
    return run_tests(tests);
}
