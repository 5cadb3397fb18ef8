/* detok.c - ids to text, whole or as a stream of complete characters. */
#include <string.h>

#include "base/utf8.h"
#include "text/tok.h"

static void put_unescaped(struct buf *out, struct gguf_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.n - i >= 3 && memcmp(s.s + i, "\xe2\x96\x81", 3) == 0) {
            buf_putc(out, ' ');
            i += 2;
        } else {
            buf_putc(out, s.s[i]);
        }
    }
}

static void put_bytes(struct buf *out, struct gguf_str s)
{
    size_t len;
    for (size_t i = 0; i < s.n; i += len) {
        int b = tok_char_byte(tok_char(s.s + i, s.n - i, &len));
        if (b >= 0) buf_putc(out, (char)b);
        else buf_put(out, s.s + i, len);
    }
}

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* <0xXX>, or one raw byte. */
static void put_byte(struct buf *out, struct gguf_str s)
{
    int hi = s.n == 6 ? hex(s.s[3]) : -1, lo = s.n == 6 ? hex(s.s[4]) : -1;
    if (hi >= 0 && lo >= 0) buf_putc(out, (char)(hi << 4 | lo));
    else buf_put(out, s.s, s.n);
}

void tokenizer_piece(const struct tokenizer *t, int32_t id, bool special, struct buf *out)
{
    if (id < 0 || id >= t->n_vocab || (!special && t->flag[id] & TF_HIDDEN)) return;
    struct gguf_str s = t->text[id];
    switch ((enum token_kind)t->kind[id]) {
    case TOKEN_UNKNOWN: case TOKEN_CONTROL: case TOKEN_USER: buf_put(out, s.s, s.n); break;
    case TOKEN_BYTE: put_byte(out, s); break;
    case TOKEN_UNUSED: break;
    case TOKEN_NORMAL:
        if (t->flag[id] & TF_HIDDEN) buf_put(out, s.s, s.n);
        else if (t->model == TOK_BPE) put_bytes(out, s);
        else put_unescaped(out, s);
        break;
    }
}

/* ---- the spaces that old tokenizers left before punctuation ---- */

static bool one_of(char c, const char *set) { return c && strchr(set, c); }

/* Removes each space that goes(text, n, i) names, i being its place; returns the new length. */
static size_t drop(char *s, size_t n, bool goes(const char *s, size_t n, size_t i))
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ' || !goes(s, n, i)) s[k++] = s[i];
    return k;
}

static bool before_mark(const char *s, size_t n, size_t i) { return i + 1 < n && one_of(s[i + 1], "?!.,"); }

static bool before_contraction(const char *s, size_t n, size_t i)
{
    if (i + 2 >= n || s[i + 1] != '\'') return false;
    char a = s[i + 2], b = i + 3 < n ? s[i + 3] : 0;
    return a == 's' || a == 'm' || ((a == 'r' || a == 'v') && b == 'e');
}

/* " ' " loses both spaces. */
static size_t drop_around_apostrophe(char *s, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + 2 < n && s[i] == ' ' && s[i + 1] == '\'' && s[i + 2] == ' ') {
            s[k++] = '\'';
            i += 2;
        } else {
            s[k++] = s[i];
        }
    }
    return k;
}

static void clean(struct buf *out, size_t from)
{
    if (out->bad || out->len == from) return;
    char *s = out->data + from;
    size_t n = drop(s, out->len - from, before_mark);
    n = drop_around_apostrophe(s, n);
    n = drop(s, n, before_contraction);
    out->len = from + n;
    out->data[out->len] = 0;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool special, struct buf *out)
{
    size_t from = out->len;
    for (size_t i = 0; i < n; i++) {
        tokenizer_piece(t, ids[i], special, out);
        if (i == 0 && t->space_prefix && !out->bad && out->len > from && out->data[from] == ' ') {
            memmove(out->data + from, out->data + from + 1, out->len - from);
            out->len--;
        }
    }
    if (t->clean_spaces) clean(out, from);
}

/* ---- streams ---- */

/* Writes the complete characters of the held bytes and s[n]; holds what is left. */
static void push_bytes(struct detok *d, const char *s, size_t n, struct buf *out)
{
    char small[64];
    while (n) {
        size_t k = n < sizeof small - sizeof d->held ? n : sizeof small - sizeof d->held;
        memcpy(small, d->held, d->n_held);
        memcpy(small + d->n_held, s, k);
        size_t have = d->n_held + k, whole = utf8_complete(small, have);
        utf8_put_valid(out, small, whole);
        d->n_held = (unsigned)(have - whole);
        memcpy(d->held, small + whole, d->n_held);
        s += k;
        n -= k;
    }
}

void detok_push(struct detok *d, int32_t id, struct buf *out)
{
    struct buf b = { 0 };
    tokenizer_piece(d->t, id, d->special, &b);
    size_t skip = !d->started && d->t->space_prefix && b.len && b.data[0] == ' ';
    d->started = true;
    if (b.bad) out->bad = true;
    else if (b.len > skip) push_bytes(d, b.data + skip, b.len - skip, out);
    buf_release(&b);
}

void detok_flush(struct detok *d, struct buf *out)
{
    utf8_put_valid(out, (const char *)d->held, d->n_held);
    d->n_held = 0;
}
