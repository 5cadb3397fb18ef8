#include "server/uri.h"

#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool plain_text(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f) return false;
    return utf8_valid(s, n);
}

/* Decoded and terminated, in the arena; NULL when it is malformed (or out of memory). */
static const char *decode(struct arena *a, const char *s, size_t n, bool plus)
{
    char *out = arena_push(a, n + 1, 1);
    size_t k = 0;
    if (!out) return NULL;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '%') {
            if (n - i < 3 || hex(s[i + 1]) < 0 || hex(s[i + 2]) < 0) return NULL;
            c = (char)(hex(s[i + 1]) << 4 | hex(s[i + 2]));
            i += 2;
        } else if (c == '+' && plus)
            c = ' ';
        out[k++] = c;
    }
    return plus || plain_text(out, k) ? out : NULL;
}

static int parse_path(struct uri *u, struct arena *a, size_t n, struct err *err)
{
    for (const char *at = u->path + 1, *end = u->path + n; at < end;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        size_t len = slash ? (size_t)(slash - at) : (size_t)(end - at);
        if (!len) return err_set(err, ERR_ARG, "the path has an empty part");
        if (u->n_segments == URI_SEGMENTS) return err_set(err, ERR_LIMIT, "the path has more than %d parts", URI_SEGMENTS);
        const char *s = decode(a, at, len, false);
        if (!s || !strcmp(s, ".") || !strcmp(s, ".."))
            return err_set(err, ERR_ARG, "part %zu of the path is malformed", u->n_segments + 1);
        u->segment[u->n_segments++] = s;
        at += len + 1;
    }
    return 0;
}

static int parse_query(struct uri *u, struct arena *a, const char *q, struct err *err)
{
    for (; *q; q += *q == '&') {
        size_t len = strcspn(q, "&"), name = strcspn(q, "=&");
        if (len) {
            if (u->n_pairs == URI_PAIRS) return err_set(err, ERR_LIMIT, "the query has more than %d fields", URI_PAIRS);
            u->pair[u->n_pairs].name = decode(a, q, name, true);
            u->pair[u->n_pairs].value = name == len ? "" : decode(a, q + name + 1, len - name - 1, true);
            const char *value = u->pair[u->n_pairs].value;
            if (!u->pair[u->n_pairs].name || !value || !utf8_valid(value, strlen(value)))
                return err_set(err, ERR_ARG, "field %zu of the query is malformed", u->n_pairs + 1);
            u->n_pairs++;
        }
        q += len;
    }
    return 0;
}

int uri_parse(struct uri *u, struct arena *a, const char *raw, struct err *err)
{
    *u = (struct uri){ .path = "" };
    size_t n = strlen(raw), path = strcspn(raw, "?");
    if (n > URI_MAX) return err_set(err, ERR_LIMIT, "the address has %zu bytes; at most %d", n, URI_MAX);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)raw[i] <= 0x20 || raw[i] == 0x7f || raw[i] == '\\' || raw[i] == '#')
            return err_set(err, ERR_ARG, "the address has a byte 0x%02x, which must be escaped", (unsigned char)raw[i]);
    if (!(u->path = arena_strdup(a, raw, path))) return err_set(err, ERR_NOMEM, "out of memory");
    if (*raw != '/') return err_set(err, ERR_ARG, "the address must begin with /");
    int rc = parse_path(u, a, path, err);
    if (rc == 0 && raw[path]) rc = parse_query(u, a, raw + path + 1, err);
    return rc;
}

const char *uri_query(const struct uri *u, const char *name)
{
    for (size_t i = 0; i < u->n_pairs; i++)
        if (!strcmp(u->pair[i].name, name)) return u->pair[i].value;
    return NULL;
}

/* Walks pattern and segments together; `want` (may be NULL): stops at that parameter; *index: its segment, *rest: and all
 * behind it. */
static bool walk(const struct uri *u, const char *pattern, const char *want, size_t *index, bool *rest)
{
    size_t i = 0;
    for (const char *p = pattern; *p == '/' && p[1]; i++) {
        p++;
        size_t len = strcspn(p, "/");
        if (i == u->n_segments) return false;
        if (*p == '{') {
            size_t name = strcspn(p + 1, "*}");
            bool all = p[1 + name] == '*';
            if (want && strlen(want) == name && !memcmp(want, p + 1, name)) {
                *index = i;
                *rest = all;
                return true;
            }
            if (all) return !want;
        } else if (strlen(u->segment[i]) != len || memcmp(u->segment[i], p, len))
            return false;
        p += len;
    }
    return !want && i == u->n_segments;
}

bool uri_match(const struct uri *u, const char *pattern) { return walk(u, pattern, NULL, NULL, NULL); }

const char *uri_param(const struct uri *u, struct arena *a, const char *pattern, const char *name)
{
    size_t i, n = 0;
    bool rest;
    if (!walk(u, pattern, name, &i, &rest)) return NULL;
    if (!rest) return u->segment[i];
    for (size_t k = i; k < u->n_segments; k++) n += strlen(u->segment[k]) + 1;
    char *all = arena_push(a, n + 1, 1), *at = all;
    for (size_t k = i; all && k < u->n_segments; k++) {
        size_t len = strlen(u->segment[k]);
        memcpy(at, u->segment[k], len);
        at += len;
        if (k + 1 < u->n_segments) *at++ = '/';
    }
    return all;
}

/* ---- hosts ---- */

static bool parse_port(const char *s, uint16_t *out)
{
    uint32_t v = 0;
    size_t n = strlen(s);
    if (!n || n > 5 || s[strspn(s, "0123456789")]) return false;
    for (; *s; s++) v = v * 10 + (uint32_t)(*s - '0');
    *out = (uint16_t)v;
    return v <= 65535;
}

bool uri_host(struct uri_host *out, const char *text)
{
    *out = (struct uri_host){ 0 };
    bool six = *text == '[';
    const char *name = text + six;
    size_t n = strcspn(name, six ? "]" : ":");
    if (!n || n >= sizeof out->name || (six && name[n] != ']')) return false;
    out->number = true;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'z';
        if (!(digit || letter || c == '.' || (six ? c == ':' : c == '-' || c == '_'))) return false;
        if (!six && !digit && c != '.') out->number = false;
        out->name[i] = c;
    }
    name += n + six;
    return !*name || (*name == ':' && parse_port(name + 1, &out->port));
}

int uri_listen(struct uri_listen *out, const char *text, uint16_t port, struct err *err)
{
    *out = (struct uri_listen){ .port = port };
    struct uri_host h;
    if (!strncmp(text, "unix:", 5)) {
        out->local = true;
        if (strlen(text + 5) >= sizeof out->host) return err_set(err, ERR_ARG, "the path is too long: %.100s", text);
        fmt_into(out->host, sizeof out->host, "%s", text + 5);
        return 0;
    }
    if (*text == ':' && parse_port(text + 1, &out->port)) {
        fmt_into(out->host, sizeof out->host, "0.0.0.0");
        return 0;
    }
    if (parse_port(text, &out->port)) {
        fmt_into(out->host, sizeof out->host, "127.0.0.1");
        return 0;
    }
    if (!uri_host(&h, text))
        return err_set(err, ERR_ARG, "\"%.100s\" is nothing to listen on; write 127.0.0.1:11434, [::1]:11434, :11434 (all "
                       "addresses) or unix:/path; ports are numbers up to 65535", text);
    out->port = strrchr(text, ':') && text[strlen(text) - 1] != ']' ? h.port : port;
    fmt_into(out->host, sizeof out->host, "%s", strcmp(h.name, "localhost") ? h.name : "127.0.0.1");
    return 0;
}
