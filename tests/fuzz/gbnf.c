/* Fuzz target: GBNF compiles or is refused with a message; what compiles is run over the end of the input, byte by byte and, with
 * a small vocabulary, by masks of tokens, which must agree with it.
 * Input: the grammar, a zero byte, a text. */
#include "tests/grammar.h"
#include "tests/tiny_vocab.h"

#include "base/mem.h"
#include "text/matcher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
    if (!ok) abort();
}

static void walk(const struct grammar *g, const struct vocab *v, const uint8_t *text, size_t n)
{
    struct matcher *m;
    struct err e = { 0 };
    const uint64_t *mask;
    struct buf out = { 0 };
    if (matcher_open(&m, g, v, NULL, &e) < 0) return;
    for (size_t k = 0; k < n && k < 40 && matcher_mask(m, &mask, &e) == 0; k++) {
        int32_t id = -1;
        for (int32_t i = 0; i < v->n_vocab; i++) {
            int32_t x = (i + text[k]) % v->n_vocab;
            bool yes = mask[x >> 6] >> (x & 63) & 1;
            if (k < 4) check(yes == matcher_allows(m, x));
            if (yes && id < 0) id = x;
        }
        check(id >= 0 && matcher_accept(m, id, &e) == 0);
        if (tokenizer_is_eog(v->tokenizer, id)) break;
        tokenizer_piece(v->tokenizer, id, false, &out);
    }
    if (!g->n_tokens) check(grammar_verdict(g, out.data ? out.data : "", out.len) != V_DEAD);
    buf_release(&out);
    matcher_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct tiny_vocab tiny;
    static struct vocab *v;
    if (!v) {
        tiny = tiny_open(TINY_BPE, "qwen2");
        check(vocab_open(&v, tiny.t, tokenizer_n_vocab(tiny.t), NULL) == 0);
    }
    const uint8_t *zero = n ? memchr(data, 0, n) : NULL;
    size_t len = zero ? (size_t)(zero - data) : n;
    struct grammar *g;
    struct err e = { 0 };
    int rc = grammar_from_gbnf(&g, (const char *)data, len, &e);
    if (rc < 0) {
        check(!g && e.code == rc && !strncmp(e.msg, "grammar: ", 9));
        return 0;
    }
    if (zero) walk(g, v, zero + 1, n - len - 1);
    grammar_free(g);
    return 0;
}
