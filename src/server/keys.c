#include "server/keys.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"

enum { MAX_FILE = 1 << 20 };

static bool good_name(const char *s)
{
    size_t n = strlen(s);
    return n && n <= KEY_NAME && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")];
}

/* The next word of the line at *at, into dst; false: none, or longer than n - 1. */
static bool word(const char **at, const char *end, char *dst, size_t n)
{
    while (*at < end && (**at == ' ' || **at == '\t')) (*at)++;
    size_t k = 0;
    for (; *at < end && **at != ' ' && **at != '\t' && **at != '\r'; (*at)++) {
        if (k + 1 >= n || !**at) return false;
        dst[k++] = **at;
    }
    dst[k] = 0;
    return k != 0;
}

static int parse_line(struct key *k, const char *at, const char *end, const char *where, struct err *err)
{
    char role[16], rest[2];
    if (!word(&at, end, role, sizeof role) || (strcmp(role, "infer") && strcmp(role, "manage")))
        return err_set(err, ERR_FORMAT, "%s: a line begins with infer or manage", where);
    k->role = !strcmp(role, "manage") ? ROLE_MANAGE : ROLE_INFER;
    if (!word(&at, end, k->name, sizeof k->name) || !good_name(k->name))
        return err_set(err, ERR_FORMAT, "%s: the name is 1 to %d letters, digits, . _ or -", where, KEY_NAME);
    if (!word(&at, end, k->hash, sizeof k->hash) || !sha256_is_hex(k->hash, strlen(k->hash)))
        return err_set(err, ERR_FORMAT, "%s: the third word is a SHA-256 in 64 lower-case digits, not the key itself", where);
    if (word(&at, end, rest, sizeof rest) || (at < end && *at != '\r'))
        return err_set(err, ERR_FORMAT, "%s: there is something behind the hash", where);
    return 0;
}

int keys_parse(struct keys *out, const char *text, size_t n, const char *path, struct err *err)
{
    *out = (struct keys){ 0 };
    out->v = mem_new_array(struct key, KEYS_MAX);
    if (!out->v) return err_set(err, ERR_NOMEM, "%s: out of memory", path);
    int rc = 0;
    unsigned line = 1;
    for (const char *at = text, *end = text + n; rc == 0 && at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at)), *first = at;
        char where[300];
        if (!stop) stop = end;
        while (first < stop && (*first == ' ' || *first == '\t' || *first == '\r')) first++;
        fmt_into(where, sizeof where, "%.200s: line %u", path, line);
        if (first < stop && *first != '#') {
            if (out->n == KEYS_MAX) rc = err_set(err, ERR_LIMIT, "%s: more than %d keys", where, KEYS_MAX);
            else rc = parse_line(&out->v[out->n++], first, stop, where, err);
        }
        for (size_t i = 0; rc == 0 && i + 1 < out->n; i++)
            if (first < stop && *first != '#' && !strcmp(out->v[i].name, out->v[out->n - 1].name))
                rc = err_set(err, ERR_FORMAT, "%s: a second key named %s", where, out->v[i].name);
        at = stop + 1;
    }
    if (rc < 0) keys_release(out);
    return rc;
}

int keys_read(struct keys *out, const char *path, struct err *err)
{
    char *text;
    size_t n;
    *out = (struct keys){ 0 };
    int rc = os_read_file(path, MAX_FILE, &text, &n, err);
    if (rc < 0) return rc;
    rc = keys_parse(out, text, n, path, err);
    mem_free(text);
    return rc;
}

void keys_release(struct keys *k)
{
    mem_free(k->v);
    *k = (struct keys){ 0 };
}

const struct key *keys_find(const struct keys *k, const char *text)
{
    char hash[SHA256_HEX + 1];
    const struct key *found = NULL;
    if (sha256_bytes(text, strlen(text), hash, NULL) < 0) return NULL;
    for (size_t i = 0; i < k->n; i++) {
        unsigned differs = 0;
        for (size_t c = 0; c < SHA256_HEX; c++) differs |= (unsigned)(k->v[i].hash[c] ^ hash[c]);
        if (!differs) found = &k->v[i];
    }
    return found;
}

int key_make(enum role role, const char *name, char key[KEY_TEXT + 1], struct buf *line, struct err *err)
{
    char hash[SHA256_HEX + 1];
    if (!good_name(name))
        return err_set(err, ERR_ARG, "a key's name is 1 to %d letters, digits, . _ or -, not \"%.80s\"", KEY_NAME, name);
    uint64_t r[3] = { os_random64(), os_random64(), os_random64() };
    fmt_into(key, KEY_TEXT + 1, "hearth-%016llx%016llx%016llx", (unsigned long long)r[0], (unsigned long long)r[1],
             (unsigned long long)r[2]);
    int rc = sha256_bytes(key, strlen(key), hash, err);
    if (rc < 0) return rc;
    buf_printf(line, "%s %s %s\n", role == ROLE_MANAGE ? "manage" : "infer", name, hash);
    return line->bad ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}
