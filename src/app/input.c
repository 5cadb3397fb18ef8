#include "app/input.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/signals.h"

bool input_waits(void)
{
    struct stat st;
    return fstat(0, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode));
}

/* Appends what is there; *eof at the end. */
static int more(struct buf *b, bool *eof, struct err *err)
{
    enum { PIECE = 65536 };
    struct pollfd fd[2] = { { .fd = 0, .events = POLLIN }, { .fd = signals_fd(), .events = POLLIN } };
    while (poll(fd, 2, -1) < 0 && errno == EINTR) { }
    if (signals_pending()) return err_set(err, ERR_CANCELLED, "interrupted");
    if (b->len > INPUT_MAX) return err_set(err, ERR_LIMIT, "standard input: more than %d MB", INPUT_MAX >> 20);
    if (!buf_reserve(b, PIECE)) return err_set(err, ERR_NOMEM, "standard input: out of memory");
    ssize_t n = read(0, b->data + b->len, PIECE);
    if (n < 0 && errno != EINTR && errno != EAGAIN) return err_set(err, ERR_IO, "standard input: %s", strerror(errno));
    if (n > 0) b->len += (size_t)n;
    b->data[b->len] = 0;
    *eof = n == 0;
    return 0;
}

int input_all(struct buf *out, struct err *err)
{
    bool eof = false;
    int rc = 0;
    while (rc == 0 && !eof) rc = more(out, &eof, err);
    return rc;
}

int input_line(struct input_lines *l, const char **line, size_t *n, bool *has, struct err *err)
{
    size_t seen = l->at;
    for (;;) {
        char *end = l->data.len > seen ? memchr(l->data.data + seen, '\n', l->data.len - seen) : NULL;
        if (end || l->eof) {
            size_t stop = end ? (size_t)(end - l->data.data) : l->data.len;
            *has = end || stop > l->at;
            *line = l->data.data ? l->data.data + l->at : "";
            *n = stop - l->at;
            l->at = stop + (end != NULL);
            return 0;
        }
        if (l->at) {
            memmove(l->data.data, l->data.data + l->at, l->data.len - l->at + 1);
            l->data.len -= l->at;
            l->at = 0;
        }
        seen = l->data.len;
        int rc = more(&l->data, &l->eof, err);
        if (rc < 0) return rc;
    }
}
