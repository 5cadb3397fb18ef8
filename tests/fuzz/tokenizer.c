/* Any bytes encode with every kind of vocabulary, and byte-level BPE gives valid text back.
 * Input: kind and pre-tokenizer, flags, then the text. */
#include "tests/tiny_vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const pres[] = {
    "default", "llama3", "qwen2", "qwen35", "gpt-4o", "tekken", "deepseek-v3", "deepseek-coder", "deepseek-llm", "gpt-2",
    "starcoder", "falcon", "bloom", "viking", "seed-coder", "kimi-k2", "superbpe", "tiny_aya", "jais-2", "exaone-moe",
    "youtu", "chameleon", "afmoe"
};
enum { N_PRE = sizeof pres / sizeof pres[0], N_VOCAB = N_PRE + N_TINY - 1 };

static void check(bool ok)
{
    if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct tiny_vocab all[N_VOCAB];
    if (n < 2) return 0;
    unsigned which = data[0] % N_VOCAB, flags = data[1] & 7;
    enum tiny kind = which < N_PRE ? TINY_BPE : (enum tiny)(which - N_PRE + 1);
    if (!all[which].t) all[which] = tiny_open(kind, which < N_PRE ? pres[which] : "");
    const struct tokenizer *t = all[which].t;
    const char *text = (const char *)data + 2;
    n -= 2;
    struct ids ids = { 0 };
    struct buf whole = { 0 }, stream = { 0 }, valid = { 0 };
    check(tokenizer_encode(t, text, n, flags, &ids, NULL) == 0);
    for (size_t i = 0; i < ids.n; i++) check(ids.id[i] >= 0 && ids.id[i] < tokenizer_n_vocab(t));
    tokenizer_decode(t, ids.id, ids.n, true, &whole);
    if (kind == TINY_BPE && !t->clean_spaces && !(flags & TOK_SPECIAL) && utf8_valid(text, n))
        check(whole.len == n && (!n || memcmp(whole.data, text, n) == 0));
    struct detok d = { .t = t, .special = true };
    for (size_t i = 0; i < ids.n; i++) {
        detok_push(&d, ids.id[i], &stream);
        check(utf8_valid(stream.data, stream.len));
    }
    detok_flush(&d, &stream);
    utf8_put_valid(&valid, whole.data, whole.len);
    if (!t->clean_spaces)
        check(valid.len == stream.len && (!valid.len || memcmp(valid.data, stream.data, valid.len) == 0));
    buf_release(&whole);
    buf_release(&stream);
    buf_release(&valid);
    ids_release(&ids);
    return 0;
}
