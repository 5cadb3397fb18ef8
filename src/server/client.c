#include "server/client.h"

#include <string.h>

#include "base/dial.h"
#include "base/os.h"

enum { PIECE = 16 << 10 };

/* ---- the answer ---- */

static int wrong(struct err *err, const char *what)
{
    return err_set(err, ERR_FORMAT, "the server's answer is not HTTP: %s", what);
}

static bool same_word(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((a[i] >= 'A' && a[i] <= 'Z' ? a[i] + 32 : a[i]) != b[i]) return false;
    return true;
}

/* The value of a field in head[0..n), lines between CR LF; NULL: not there.  name is in small letters. */
static const char *field(const char *head, size_t n, const char *name, size_t *n_value)
{
    size_t len = strlen(name);
    for (const char *at = head, *end = head + n; at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        size_t line = eol ? (size_t)(eol - at) : (size_t)(end - at);
        if (line > len && at[len] == ':' && same_word(at, name, len)) {
            const char *v = at + len + 1;
            while (v < at + line && (*v == ' ' || *v == '\t')) v++;
            *n_value = (size_t)(at + line - v);
            while (*n_value && (v[*n_value - 1] == '\r' || v[*n_value - 1] == ' ')) --*n_value;
            return v;
        }
        if (!eol) break;
        at = eol + 1;
    }
    return NULL;
}

static int digit(char c, bool hex)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (!hex) return -1;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The number that text begins with; false: none, or too large. */
static bool number(const char *s, size_t n, bool hex, size_t *out, size_t *used)
{
    size_t v = 0, i = 0;
    for (int d; i < n && (d = digit(s[i], hex)) >= 0; i++) {
        if (v > CLIENT_MAX) return false;
        v = v * (hex ? 16 : 10) + (size_t)d;
    }
    *out = v;
    *used = i;
    return i > 0 && v <= CLIENT_MAX;
}

static int read_chunks(const char *p, size_t n, struct buf *body, struct err *err)
{
    for (;;) {
        size_t size, used;
        if (!number(p, n, true, &size, &used)) return wrong(err, "a chunk without a size");
        const char *eol = memchr(p + used, '\n', n - used);
        if (!eol) return wrong(err, "a chunk is cut off");
        n -= (size_t)(eol + 1 - p);
        p = eol + 1;
        if (!size) return 0;
        if (n < size || n - size < 2) return wrong(err, "a chunk is cut off");
        buf_put(body, p, size);
        p += size;
        n -= size;
        if (p[0] != '\r' || p[1] != '\n') return wrong(err, "a chunk that does not end");
        p += 2;
        n -= 2;
    }
}

int client_read(const char *text, size_t n, int *status, struct buf *body, struct err *err)
{
    size_t len, used, v;
    const char *blank = NULL, *value;
    for (size_t i = 0; i + 3 < n && !blank; i++)
        if (!memcmp(text + i, "\r\n\r\n", 4)) blank = text + i;
    if (!blank || n < 12 || memcmp(text, "HTTP/1.", 7) != 0 || text[8] != ' ') return wrong(err, "no head");
    if (!number(text + 9, 3, false, &v, &used) || used != 3) return wrong(err, "no status");
    *status = (int)v;
    size_t n_head = (size_t)(blank - text) + 2;
    const char *rest = blank + 4;
    size_t n_rest = n - n_head - 2;
    int rc = 0;
    if ((value = field(text, n_head, "transfer-encoding", &len)) != NULL) {
        if (len != 7 || !same_word(value, "chunked", 7)) return wrong(err, "an encoding that nobody asked for");
        rc = read_chunks(rest, n_rest, body, err);
    } else {
        if ((value = field(text, n_head, "content-length", &len)) != NULL) {
            if (!number(value, len, false, &v, &used) || used != len) return wrong(err, "a length that is no number");
            if (v > n_rest) return wrong(err, "it is cut off");
            n_rest = v;
        }
        buf_put(body, rest, n_rest);
    }
    return rc == 0 && body->bad ? err_set(err, ERR_NOMEM, "out of memory for the server's answer") : rc;
}

/* ---- asking ---- */

static int send_all(struct chan *c, const struct buf *b, uint64_t end, struct err *err)
{
    for (size_t at = 0; at < b->len;) {
        int64_t k = chan_write(c, b->data + at, b->len - at);
        if (k == CHAN_CLOSED) return err_set(err, ERR_IO, "the server closed the connection");
        if (os_now_ns() > end) return err_set(err, ERR_IO, "the server does not read");
        if (!k) chan_wait(c, true, 100);
        at += (size_t)k;
    }
    return 0;
}

static int read_all(struct chan *c, struct buf *in, uint64_t end, struct err *err)
{
    char piece[PIECE];
    in->limit = CLIENT_MAX + (1 << 16);
    for (int64_t k; (k = chan_read(c, piece, sizeof piece)) != CHAN_CLOSED;) {
        if (os_now_ns() > end) return err_set(err, ERR_IO, "the server does not answer");
        if (!k) chan_wait(c, false, 100);
        buf_put(in, piece, (size_t)k);
        if (in->bad) return err_set(err, ERR_LIMIT, "the server's answer has more than %d bytes", CLIENT_MAX);
    }
    return 0;
}

int client_ask(const struct client_question *q, int *status, struct buf *body, struct err *err)
{
    struct buf out = { 0 }, in = { 0 };
    struct chan *c;
    uint64_t end = os_now_ns() + q->timeout_ms * UINT64_C(1000000);
    int rc = dial(&c, q->address, err);
    if (rc < 0) return rc;
    buf_printf(&out, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nAccept: application/json\r\n", q->method, q->path,
               strncmp(q->address, "unix:", 5) ? q->address : "localhost");
    if (q->key) buf_printf(&out, "Authorization: Bearer %s\r\n", q->key);
    if (q->body) buf_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(q->body));
    buf_puts(&out, "\r\n");
    if (q->body) buf_puts(&out, q->body);
    rc = out.bad ? err_set(err, ERR_NOMEM, "out of memory for the question") : send_all(c, &out, end, err);
    if (rc == 0) rc = read_all(c, &in, end, err);
    if (rc == 0) rc = client_read(in.data ? in.data : "", in.len, status, body, err);
    chan_close(c);
    buf_release(&out);
    buf_release(&in);
    return rc;
}
