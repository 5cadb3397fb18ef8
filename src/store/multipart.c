#include <string.h>

#include "base/buf.h"
#include "store/xorb.h"

enum { MAX_FIELDS = 32 };

/* In any case; the key is in lower case and has no characters that | 32 would make equal. */
static bool begins(const char *s, const char *key)
{
    while (*key && (*s | 32) == *key) s++, key++;
    return !*key;
}

bool multipart_begin(struct multipart *m, const char *type)
{
    const char *at = strstr(type, "boundary=");
    if (!begins(type, "multipart/byteranges") || !at) return false;
    at += 9;
    size_t n = *at == '"' ? strcspn(++at, "\"") : strcspn(at, "; \t");
    if (!n || n > MULTIPART_BOUNDARY) return false;
    fmt_into(m->boundary, sizeof m->boundary, "%.*s", (int)n, at);
    m->n_line = m->lines = 0;
    m->state = MULTIPART_BETWEEN;
    m->ranged = false;
    return true;
}

static bool number(const char **s, uint64_t *v)
{
    const char *from = *s;
    for (*v = 0; **s >= '0' && **s <= '9' && *v < UINT64_MAX / 16; ++*s) *v = 10 * *v + (uint64_t)(**s - '0');
    return *s > from;
}

/* "Content-Range: bytes 5-9/100" */
static bool read_range(struct multipart *m)
{
    static const char key[] = "content-range:";
    if (!begins(m->line, key)) return true;
    const char *s = m->line + sizeof key - 1;
    s += strspn(s, " \t");
    if (m->ranged || !begins(s, "bytes ")) return false;
    s += 6;
    m->ranged = number(&s, &m->from) && *s++ == '-' && number(&s, &m->to) && *s == '/' && m->from <= m->to;
    return m->ranged;
}

/* A line without its end. */
static int take_line(struct multipart *m, struct err *err)
{
    size_t n = strlen(m->boundary);
    const char *s = m->line;
    if (m->state == MULTIPART_FIELDS) {
        if (!read_range(m) || ++m->lines > MAX_FIELDS) return err_set(err, ERR_FORMAT, "a part of the answer has bad fields");
        if (*s) return 0;
        if (!m->ranged) return err_set(err, ERR_FORMAT, "a part of the answer does not say which range it is");
        m->state = MULTIPART_BYTES;
        m->left = m->to - m->from + 1;
        return m->part(m->arg, m->from, m->to, err);
    }
    if (!*s) return 0;
    bool mark = !strncmp(s, "--", 2) && !strncmp(s + 2, m->boundary, n), last = mark && !strncmp(s + 2 + n, "--", 2);
    if (!mark || (s[2 + n] && !last)) return err_set(err, ERR_FORMAT, "the parts of the answer are not separated as it says");
    m->state = last ? MULTIPART_END : MULTIPART_FIELDS;
    m->lines = 0;
    m->ranged = false;
    return 0;
}

int multipart_add(struct multipart *m, const void *bytes, size_t n, struct err *err)
{
    const char *p = bytes, *end = p + n;
    int rc = 0;
    while (rc == 0 && p < end && m->state != MULTIPART_END) {
        if (m->state == MULTIPART_BYTES) {
            size_t k = (uint64_t)(end - p) < m->left ? (size_t)(end - p) : (size_t)m->left;
            rc = m->bytes(m->arg, p, k, err);
            p += k;
            if (!(m->left -= k)) m->state = MULTIPART_BETWEEN;
        } else if (*p == '\n') {
            if (m->n_line && m->line[m->n_line - 1] == '\r') m->n_line--;
            m->line[m->n_line] = 0;
            m->n_line = 0;
            p++;
            rc = take_line(m, err);
        } else if (m->n_line == MULTIPART_LINE) {
            rc = err_set(err, ERR_FORMAT, "a line of the answer is longer than %d characters", MULTIPART_LINE);
        } else
            m->line[m->n_line++] = *p++;
    }
    return rc;
}
