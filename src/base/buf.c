#include "base/buf.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"

bool buf_reserve(struct buf *b, size_t more)
{
    if (b->bad) return false;
    b->full = more >= SIZE_MAX - b->len || (b->limit && b->len + more > b->limit);
    if (b->full) goto fail;
    size_t need = b->len + more + 1;
    if (need <= b->cap) return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *d = mem_resize(b->data, cap, 1);
    if (!d) goto fail;
    b->data = d;
    b->cap = cap;
    b->data[b->len] = 0;
    return true;
fail:
    b->bad = true;
    return false;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (!buf_reserve(b, n)) return;
    if (n) memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = 0;
}

void buf_puts(struct buf *b, const char *s) { buf_put(b, s, strlen(s)); }
void buf_putc(struct buf *b, char c) { buf_put(b, &c, 1); }

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = os_vformat(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof small)
        buf_put(b, small, (size_t)n);
    else if (n >= 0 && buf_reserve(b, (size_t)n)) {
        os_vformat(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->bad = b->full = false;
    if (b->data) b->data[0] = 0;
}

void buf_release(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){ .limit = b->limit };
}

char *buf_take(struct buf *b)
{
    char *d = NULL;
    if (buf_reserve(b, 0)) {
        d = b->data;
        b->data = NULL;
    }
    buf_release(b);
    return d;
}

void fmt_into(char *dst, size_t n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    os_vformat(dst, n, fmt, ap);
    va_end(ap);
}

void ids_push(struct ids *v, int32_t id)
{
    if (v->bad) return;
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 64;
        int32_t *d = mem_resize(v->id, cap, sizeof *d);
        if (!d) { v->bad = true; return; }
        v->id = d;
        v->cap = cap;
    }
    v->id[v->n++] = id;
}

void ids_release(struct ids *v)
{
    mem_free(v->id);
    *v = (struct ids){ 0 };
}
