/* tok_wpm.c - WordPiece (BERT, uncased): plain words, each covered greedily by the longest pieces. */
#include <string.h>

#include "base/utf8.h"
#include "text/tok.h"

enum { MAX_WORD_CHARS = 100 };              /* longer words are unknown, as in the original */

/* The file has U+2581 before first pieces and nothing before continuations, so one greedy walk over the word with
 * U+2581 in front finds both. */
static void word(struct encoder *e, size_t chars)
{
    const struct tokenizer *t = e->t;
    struct buf *w = &e->word;
    size_t before = e->out->n;
    bool known = chars <= MAX_WORD_CHARS;
    e->bad |= w->bad;
    for (size_t at = 0; known && !e->bad && at < w->len;) {
        size_t len = w->len - at < t->max_text ? w->len - at : t->max_text;
        int32_t id = -1;
        while (len && (id = tokenizer_find(t, w->data + at, len)) < 0) len--;
        known = id >= 0;
        if (known) ids_push(e->out, id);
        at += len;
    }
    if (!known) {
        e->out->n = before;
        if (t->unk >= 0) ids_push(e->out, t->unk);
    }
}

static bool is_ideograph(uint32_t c)
{
    static const uint32_t r[][2] = {
        { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff }, { 0xf900, 0xfaff }, { 0x20000, 0x2a6df }, { 0x2a700, 0x2b73f },
        { 0x2b740, 0x2b81f }, { 0x2b820, 0x2ceaf }, { 0x2f800, 0x2fa1f }
    };
    for (size_t i = 0; i < sizeof r / sizeof r[0]; i++)
        if (c >= r[i][0] && c <= r[i][1]) return true;
    return false;
}

struct words {
    struct encoder *e;
    size_t chars;                           /* of the word that is being collected */
};

static void finish(struct words *w)
{
    if (w->chars) word(w->e, w->chars);
    w->chars = 0;
}

static void add_char(struct words *w, uint32_t cp)
{
    char c[4];
    if (!w->chars) {
        buf_clear(&w->e->word);
        buf_put(&w->e->word, "\xe2\x96\x81", 3);
    }
    if (w->chars <= MAX_WORD_CHARS) buf_put(&w->e->word, c, utf8_encode(cp, c));
    w->chars++;
}

static void words(struct encoder *e, const char *s, size_t n)
{
    struct words w = { e, 0 };
    size_t len;
    for (size_t i = 0; i < n && !e->bad; i += len) {
        uint32_t cp = tok_char(s + i, n - i, &len);
        unsigned class = tok_class(e->t, cp);
        if (class & UNI_SPACE) {
            finish(&w);
        } else if (!cp || cp == UTF8_REPLACEMENT || class & (UNI_CONTROL | UNI_MN)) {
            continue;
        } else if (class & UNI_P || (cp < 0x7f && class & UNI_S) || is_ideograph(cp)) {
            finish(&w);
            add_char(&w, uni_lower(cp));
            finish(&w);
        } else {
            add_char(&w, uni_lower(cp));
        }
    }
    finish(&w);
}

void tok_wpm_encode(struct encoder *e, const char *s, size_t n)
{
    bool ascii = true;
    for (size_t i = 0; i < n && ascii; i++) ascii = (uint8_t)s[i] < 0x80;
    if (ascii) {
        words(e, s, n);
        return;
    }
    struct buf b = { 0 };
    if (!tok_repair(&s, &n, &e->text)) e->bad = true;
    if (!e->bad) uni_normalize(UNI_NFD, s, n, &b);
    e->bad |= b.bad;
    if (!e->bad && b.len) words(e, b.data, b.len);
    buf_release(&b);
}
