#include "app/table.h"

#include <string.h>

#include "app/term.h"

void table_cell(struct table *t, const char *text)
{
    term_clean(text, strlen(text), &t->text);
    buf_putc(&t->text, 0);
}

void table_release(struct table *t) { buf_release(&t->text); }

/* Characters, not bytes. */
static size_t width(const char *s)
{
    size_t n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void pad(struct buf *out, size_t n)
{
    while (n--) buf_putc(out, ' ');
}

void table_write(const struct table *t, struct buf *out)
{
    size_t w[TABLE_COLUMNS] = { 0 };
    if (t->text.bad) out->bad = true;
    if (t->text.bad || !t->text.len) return;
    const char *end = t->text.data + t->text.len;
    for (int pass = 0; pass < 2; pass++) {
        size_t i = 0;
        for (const char *cell = t->text.data; cell < end; cell += strlen(cell) + 1, i = (i + 1) % t->columns) {
            size_t n = width(cell);
            if (!pass) {
                if (n > w[i]) w[i] = n;
                continue;
            }
            bool right = t->right >> i & 1;
            if (i) buf_puts(out, "  ");
            if (right) pad(out, w[i] - n);
            buf_puts(out, cell);
            if (i + 1 == t->columns) buf_putc(out, '\n');
            else if (!right) pad(out, w[i] - n);
        }
    }
}
