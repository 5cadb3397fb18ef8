/* buf.h - growing bytes.  Failure (out of memory, limit) is sticky in `bad`; check once at the end.
 * data is NUL-terminated whenever it is not NULL.  A zeroed struct is ready.  Threads: one at a time. */
#ifndef HEARTH_BASE_BUF_H
#define HEARTH_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;
    size_t len, cap;
    size_t limit;             /* 0 = none; more bytes than this set bad */
    bool bad, full;           /* full: for the limit */
};

bool buf_reserve(struct buf *b, size_t more);                     /* room for `more` bytes past len */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_clear(struct buf *b);                                    /* len = 0, keeps the memory */
void buf_release(struct buf *b);                                  /* frees; ready again, limit kept */
char *buf_take(struct buf *b);                                    /* the bytes become the caller's (mem_free); NULL when bad */

/* printf into dst[n], always terminated, cut when longer; allocates nothing. */
void fmt_into(char *dst, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Growing array of token ids, same rules. */
struct ids {
    int32_t *id;
    size_t n, cap;
    bool bad;
};
void ids_push(struct ids *v, int32_t id);
void ids_release(struct ids *v);

#endif
