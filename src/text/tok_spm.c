/* tok_spm.c - SentencePiece BPE: the neighbours whose concatenation is the token of the highest score merge first. */
#include <string.h>

#include "base/mem.h"
#include "base/sort.h"
#include "text/tok.h"

/* A float as an integer that sorts in descending order. */
static uint32_t descending(float f)
{
    uint32_t u;
    f += 0.0f;                              /* -0 becomes 0 */
    memcpy(&u, &f, 4);
    return u & 0x80000000u ? u : ~u & 0x7fffffffu;
}

int tok_spm_open(struct tokenizer *t, struct err *err)
{
    size_t n = (size_t)t->n_vocab;
    uint64_t *key = mem_new_array(uint64_t, 2 * n);
    t->rank_of = mem_new_array(uint32_t, n);
    if (!key || !t->rank_of) {
        mem_free(key);
        return err_set(err, ERR_NOMEM, "out of memory for %zu tokens", n);
    }
    for (size_t i = 0; i < n; i++) key[i] = (uint64_t)descending(t->score[i]) << 32 | i;
    sort_u64(key, key + n, n);
    uint32_t rank = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && key[i] >> 32 != key[i - 1] >> 32) rank++;
        t->rank_of[(uint32_t)key[i]] = rank;
    }
    t->n_ranks = rank + 1;
    mem_free(key);
    return 0;
}

/* Length of the character at s by its first byte alone, as SentencePiece splits. */
static size_t char_len(const char *s, size_t n)
{
    static const uint8_t len[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4 };
    size_t k = len[(uint8_t)s[0] >> 4];
    return k < n ? k : n;
}

static bool is_block(const char *s, size_t n) { return n >= 3 && memcmp(s, "\xe2\x96\x81", 3) == 0; }

/* Merges s[lo..hi) and emits its tokens. */
static void part(struct encoder *e, const char *s, size_t lo, size_t hi)
{
    struct merge_job job = { e->t, s, e->work };
    uint32_t *sym = merge_symbols(e->work, hi - lo);
    size_t n = 0;
    if (!sym) {
        e->bad = true;
        return;
    }
    for (size_t i = lo; i < hi; i += char_len(s + i, hi - i)) sym[n++] = (uint32_t)i;
    sym[n] = (uint32_t)hi;
    if (!merge_run(&job, sym, &n)) {
        e->bad = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        size_t len = sym[i + 1] - sym[i];
        int32_t id = len <= e->t->max_text ? tokenizer_find(e->t, s + sym[i], len) : -1;
        if (id >= 0) ids_push(e->out, id);
        else tok_put_bytes(e, s + sym[i], len);
    }
}

/* Words of a long text that came before: its tokens depend on nothing but the word. */
enum { KNOWN_WORDS = 2048, KNOWN_FROM = 1 << 14 };
struct known_word {
    uint8_t n, n_ids;                       /* n 0: none */
    char s[30];
    int32_t id[8];
};

static void word(struct encoder *e, const char *s, size_t lo, size_t hi)
{
    const size_t n = hi - lo, before = e->out->n;
    struct known_word *k = e->known ? &e->known[str_hash_mix(str_hash(s + lo, n)) % KNOWN_WORDS] : NULL;
    if (!k || n > sizeof k->s) {
        part(e, s, lo, hi);
    } else if (k->n == n && memcmp(k->s, s + lo, n) == 0) {
        for (size_t i = 0; i < k->n_ids; i++) ids_push(e->out, k->id[i]);
    } else {
        part(e, s, lo, hi);
        size_t made = e->out->n - before;
        if (e->bad || e->out->bad || made > sizeof k->id / sizeof *k->id) return;
        *k = (struct known_word){ .n = (uint8_t)n, .n_ids = (uint8_t)made };
        memcpy(k->s, s + lo, n);
        memcpy(k->id, e->out->id + before, made * sizeof *k->id);
    }
}

void tok_spm_encode(struct encoder *e, const char *s, size_t n, bool space_first)
{
    struct buf *b = &e->text;
    buf_clear(b);
    if (space_first) buf_put(b, "\xe2\x96\x81", 3);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == ' ') buf_put(b, "\xe2\x96\x81", 3);
        else buf_putc(b, s[i]);
    }
    e->bad |= b->bad || b->len >= UINT32_MAX / 2;
    if (!e->known && e->t->words_apart && b->len >= KNOWN_FROM) e->known = mem_new_array(struct known_word, KNOWN_WORDS);
    size_t lo = 0;
    bool blocks = true;                     /* only U+2581 since lo */
    for (size_t i = 0, len; !e->bad && i < b->len; i += len) {
        len = char_len(b->data + i, b->len - i);
        bool block = is_block(b->data + i, b->len - i);
        if (block && !blocks && e->t->words_apart) {
            word(e, b->data, lo, i);
            lo = i;
            blocks = true;
        }
        blocks &= block;
    }
    if (!e->bad && lo < b->len) word(e, b->data, lo, b->len);
}
