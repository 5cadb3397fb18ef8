/* tok_bpe.c - byte-level BPE (GPT-2 and after), and the variant of Gemma 4 that works on characters. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tok.h"

/* A character without symbol: it cannot merge, only its bytes count. */
#define LOOSE 0x80000000u

/* ---- the byte alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100.. in order ---- */

static bool printable(unsigned b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; }

uint32_t tok_byte_char(uint8_t b)
{
    if (printable(b)) return b;
    return b <= 32 ? 0x100u + b : b <= 160 ? 0x121u + (b - 127u) : 0x143u;
}

int tok_char_byte(uint32_t cp)
{
    if (cp < 256) return printable(cp) ? (int)cp : -1;
    if (cp <= 0x120) return (int)(cp - 0x100);
    if (cp <= 0x142) return (int)(cp - 0x121 + 127);
    return cp == 0x143 ? 173 : -1;
}

/* ---- characters ---- */

uint32_t tok_char(const char *s, size_t n, size_t *len)
{
    const uint8_t *u = (const uint8_t *)s;
    *len = 1;
    if (u[0] < 0x80) return u[0];
    size_t want = u[0] < 0xc0 || u[0] >= 0xf8 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    if (!want || want > n) return UTF8_REPLACEMENT;
    uint32_t cp = u[0] & (0xffu >> (want + 1));
    for (size_t i = 1; i < want; i++) {
        if ((u[i] & 0xc0) != 0x80) return UTF8_REPLACEMENT;
        cp = cp << 6 | (u[i] & 0x3fu);
    }
    if (cp > 0x10ffff) return UTF8_REPLACEMENT;
    *len = want;
    return cp;
}

bool tok_repair(const char **s, size_t *n, struct buf *b)
{
    size_t ok = utf8_valid_prefix(*s, *n), len;
    if (ok == *n) return true;
    buf_clear(b);
    if (!buf_reserve(b, ok + (*n - ok) * 3)) return false;      /* a bad byte takes three */
    memcpy(b->data, *s, ok);
    b->len = ok;
    for (size_t i = ok; i < *n; i += len) {
        char c[4];
        size_t k = utf8_encode(tok_char(*s + i, *n - i, &len), c);
        memcpy(b->data + b->len, c, k);
        b->len += k;
    }
    b->data[b->len] = 0;
    *s = b->data;
    *n = b->len;
    return true;
}

/* ---- encoding ---- */

void tok_put_bytes(struct encoder *e, const char *s, size_t n)
{
    bool unknown = false;
    for (size_t i = 0; i < n; i++) {
        int32_t id = e->t->byte_id[(uint8_t)s[i]];
        if (id >= 0) ids_push(e->out, id);
        else unknown = true;
    }
    if (unknown && e->t->unk >= 0) ids_push(e->out, e->t->unk);
}

/* A symbol of byte-level BPE that is no token: its bytes are what its characters stand for. */
static void put_symbol(struct encoder *e, uint32_t sym)
{
    const struct tokenizer *t = e->t;
    if (sym < (uint32_t)t->n_vocab) {
        ids_push(e->out, (int32_t)sym);
        return;
    }
    if (sym & LOOSE) {
        char c[4];
        tok_put_bytes(e, c, utf8_encode(sym & ~LOOSE, c));
        return;
    }
    struct gguf_str s = t->text[sym];
    size_t len;
    for (size_t i = 0; i < s.n; i += len) {
        int b = t->model == TOK_BPE ? tok_char_byte(tok_char(s.s + i, s.n - i, &len)) : -1;
        if (t->model != TOK_BPE) len = 1;
        char c = b < 0 ? s.s[i] : (char)b;
        tok_put_bytes(e, &c, 1);
    }
}

static void merge_word(struct encoder *e, uint32_t *sym, size_t n)
{
    struct merge_job job = { e->t, NULL, e->work };
    sym[n] = TOK_NONE;
    if (!merge_run(&job, sym, &n)) e->bad = true;
    for (size_t i = 0; !e->bad && i < n; i++) put_symbol(e, sym[i]);
}

static void byte_word(void *arg, const char *s, size_t n)
{
    struct encoder *e = arg;
    const struct tokenizer *t = e->t;
    if (e->bad) return;
    if (t->ignore_merges && n <= t->max_text) {
        buf_clear(&e->word);
        for (size_t i = 0; i < n; i++) {
            char c[4];
            buf_put(&e->word, c, utf8_encode(tok_byte_char((uint8_t)s[i]), c));
        }
        e->bad |= e->word.bad;
        int32_t id = e->bad ? -1 : tokenizer_find(t, e->word.data, e->word.len);
        if (id >= 0) {
            ids_push(e->out, id);
            return;
        }
    }
    uint32_t *sym = merge_symbols(e->work, n);
    if (!sym) {
        e->bad = true;
        return;
    }
    for (size_t i = 0; i < n; i++) sym[i] = t->byte_sym[(uint8_t)s[i]];
    merge_word(e, sym, n);
}

void tok_bpe_encode(struct encoder *e, const char *s, size_t n)
{
    if (!tok_repair(&s, &n, &e->text)) e->bad = true;
    if (!e->bad) pre_split(e->t, s, n, byte_word, e);
}

/* ---- Gemma 4 ---- */

static bool is_block(const char *s, size_t n) { return n >= 3 && memcmp(s, "\xe2\x96\x81", 3) == 0; }

/* The end of the part of s[n] from `at` on in which all merges stay. */
static size_t part_end(const struct tokenizer *t, const char *s, size_t n, size_t at)
{
    if (!t->words_apart) return n;
    while (is_block(s + at, n - at)) at += 3;
    for (size_t i = at; i + 3 <= n; i++)
        if (is_block(s + i, n - i)) return i;
    return n;
}

static void char_word(void *arg, const char *s, size_t n)
{
    struct encoder *e = arg;
    const struct tokenizer *t = e->t;
    if (e->bad) return;
    if (s[0] == '\n' && !t->whole) {
        int32_t id = n <= t->max_text ? tokenizer_find(t, s, n) : -1;
        if (id >= 0) {
            ids_push(e->out, id);
            return;
        }
    }
    for (size_t at = 0, end; at < n && !e->bad; at = end) {
        end = part_end(t, s, n, at);
        uint32_t *sym = merge_symbols(e->work, end - at);
        if (!sym) {
            e->bad = true;
            return;
        }
        size_t k = 0, len;
        for (size_t i = at; i < end; i += len) {
            uint32_t cp = tok_char(s + i, end - i, &len), id = tok_find(t, s + i, len);
            sym[k++] = id == TOK_NONE ? LOOSE | cp : id;
        }
        merge_word(e, sym, k);
    }
}

void tok_gemma4_encode(struct encoder *e, const char *s, size_t n, bool space_first)
{
    if (!tok_repair(&s, &n, &e->text)) e->bad = true;
    buf_clear(&e->word);
    if (space_first) buf_put(&e->word, "\xe2\x96\x81", 3);
    for (size_t i = 0; i < n && !e->bad; i++) {
        if (s[i] == ' ') buf_put(&e->word, "\xe2\x96\x81", 3);
        else buf_putc(&e->word, s[i]);
    }
    e->bad |= e->word.bad;
    if (!e->bad && e->t->whole) char_word(e, e->word.data, e->word.len);
    else if (!e->bad) pre_split(e->t, e->word.data, e->word.len, char_word, e);
}
