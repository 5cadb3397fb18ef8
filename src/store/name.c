#include "store/name.h"

#include <string.h>

/* ---- characters, whatever the locale ---- */

static bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static bool starts(const char *s, const char *with) { return !strncmp(s, with, strlen(with)); }

static bool equal_n(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i])) return false;
    return true;
}

bool name_equal(const char *a, const char *b)
{
    size_t n = strlen(a);
    return n == strlen(b) && equal_n(a, b, n);
}

bool name_contains(const char *text, const char *part)
{
    size_t n = strlen(text), k = strlen(part);
    for (size_t i = 0; i + k <= n; i++)
        if (equal_n(text + i, part, k)) return true;
    return false;
}

bool name_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && equal_n(text + n - k, end, k);
}

bool name_is_safe_path(const char *path, size_t max)
{
    size_t n = strlen(path), part = 0;
    if (!n || n > max || *path == '/' || path[n - 1] == '/') return false;
    for (size_t i = 0; i <= n; i++) {
        char c = path[i];
        if (c && (c < 32 || c == 127) && (unsigned char)c < 128) return false;
        if (c && strchr("\\:*?\"<>|", c)) return false;
        if (c && c != '/') continue;
        size_t len = i - part;
        if (!len || len > 255 || (len == 1 && path[part] == '.') || (len == 2 && !memcmp(path + part, "..", 2))) return false;
        part = i + 1;
    }
    return true;
}

/* The host without its port. */
static size_t host_length(const char *host)
{
    if (*host == '[') return strcspn(host, "]") + (strchr(host, ']') != NULL);
    return strcspn(host, ":");
}

bool name_is_loopback(const char *host)
{
    size_t n = host_length(host);
    if (n == 9 && equal_n(host, "localhost", 9)) return true;
    if (n == 5 && !memcmp(host, "[::1]", 5)) return true;
    if (n < 9 || n > 15 || !starts(host, "127.")) return false;
    unsigned dots = 0, digits = 0;
    for (size_t i = 0; i < n; i++) {
        if (host[i] == '.') {
            if (!digits) return false;
            dots++;
            digits = 0;
        } else if (host[i] < '0' || host[i] > '9' || ++digits > 3)
            return false;
    }
    return dots == 3 && digits;
}

static bool private_v4(const char *ip)
{
    unsigned v[4], n = 0;
    for (const char *p = ip; n < 4; p++) {
        unsigned x = 0, digits = 0;
        for (; *p >= '0' && *p <= '9' && digits < 3; p++, digits++) x = 10 * x + (unsigned)(*p - '0');
        if (!digits || x > 255) return true;                     /* no address at all: not one to trust */
        v[n++] = x;
        if (*p != (n < 4 ? '.' : 0)) return true;
    }
    return v[0] == 0 || v[0] == 10 || v[0] == 127 || (v[0] == 100 && v[1] >= 64 && v[1] < 128) || (v[0] == 169 && v[1] == 254) ||
           (v[0] == 172 && v[1] >= 16 && v[1] < 32) || (v[0] == 192 && v[1] == 168) || v[0] >= 224;
}

bool name_is_private_address(const char *ip)
{
    if (!strchr(ip, ':')) return private_v4(ip);
    const char *last = strrchr(ip, ':');
    if (strchr(last, '.')) return private_v4(last + 1);          /* ::ffff:10.0.0.1, 64:ff9b::10.0.0.1 */
    if (starts(ip, "::")) return true;                           /* ::, ::1, ::ffff:a00:1 */
    char first[5] = { 0 };
    for (int i = 0; i < 4 && ip[i] && ip[i] != ':'; i++) first[i] = lower(ip[i]);
    if (strlen(first) < 4) return false;
    return starts(first, "fc") || starts(first, "fd") || starts(first, "ff") || (starts(first, "fe") && first[2] >= '8');
}

/* ---- parts ---- */

struct part { const char *what, *others; size_t max; };

static int take(char *dst, const char *s, size_t n, struct part p, struct err *err)
{
    if (!n) return err_set(err, ERR_ARG, "the %s is empty", p.what);
    if (n > p.max) return err_set(err, ERR_ARG, "the %s has %zu characters, at most %zu are allowed", p.what, n, p.max);
    if (!is_alnum(*s) && *s != '_')
        return err_set(err, ERR_ARG, "the %s \"%.*s\" does not begin with a letter, a digit or _", p.what, (int)n, s);
    for (size_t i = 0; i < n; i++)
        if (!is_alnum(s[i]) && !strchr(p.others, s[i]))
            return err_set(err, ERR_ARG, "the %s \"%.*s\" has a character that is not allowed: letters, digits and %s are",
                           p.what, (int)n, s, p.others);
    memcpy(dst, s, n);
    dst[n] = 0;
    return 0;
}

static int take_host(char *dst, const char *s, size_t n, struct err *err)
{
    if (n >= 5 && !memcmp(s, "[::1]", 5) && n <= NAME_HOST) {
        for (size_t i = 5; i < n; i++)
            if (i == 5 ? s[i] != ':' : s[i] < '0' || s[i] > '9')
                return err_set(err, ERR_ARG, "the host \"%.*s\" has no good port", (int)n, s);
        memcpy(dst, s, n);
        dst[n] = 0;
        return 0;
    }
    int rc = take(dst, s, n, (struct part){ "host", "_.-:", NAME_HOST }, err);
    if (rc < 0) return rc;
    const char *port = strchr(dst, ':');
    if (port && (!port[1] || strlen(port + 1) > 5 || strspn(port + 1, "0123456789") != strlen(port + 1)))
        return err_set(err, ERR_ARG, "the host \"%s\" has no good port", dst);
    return 0;
}

static bool looks_like_file(const char *s, size_t n)
{
    return memchr(s, '/', n) || (n > 5 && equal_n(s + n - 5, ".gguf", 5)) || (n > 12 && equal_n(s + n - 12, ".safetensors", 12));
}

static bool is_hub_host(const char *s, size_t n)
{
    return (n == 5 && equal_n(s, "hf.co", 5)) || (n == 14 && equal_n(s, "huggingface.co", 14));
}

/* user/repo[:quant|:file], or user/repo/resolve/main/file as the web site writes it. */
static int parse_hub(struct name *out, const char *s, struct err *err)
{
    out->kind = NAME_HUB;
    strcpy(out->host, NAME_HUB_HOST);
    const char *slash = strchr(s, '/');
    if (!slash) return err_set(err, ERR_ARG, "a name on the Hugging Face Hub is hf.co/user/repo");
    const struct part user = { "user", "_.-", NAME_HUB_PART }, repo = { "repository", "_.-", NAME_HUB_PART };
    int rc = take(out->space, s, (size_t)(slash - s), user, err);
    if (rc < 0) return rc;
    s = slash + 1;
    size_t n = strcspn(s, "/:");
    if ((rc = take(out->model, s, n, repo, err)) < 0) return rc;
    const char *rest = s + n;
    if (!*rest || !strcmp(rest, "/")) return 0;
    if (*rest == '/') {
        const char *file = starts(rest, "/resolve/main/") ? rest + 14 : starts(rest, "/blob/main/") ? rest + 11 : NULL;
        if (!file) return err_set(err, ERR_ARG, "after hf.co/user/repo comes :quant or :file, not \"%.80s\"", rest);
        rest = file;
    } else
        rest++;
    n = strcspn(rest, "?#");
    bool file = s[strlen(out->model)] == '/' || looks_like_file(rest, n);
    if (!file) return take(out->tag, rest, strlen(rest), (struct part){ "tag", "_.-", NAME_PART }, err);
    if (n > NAME_FILE) return err_set(err, ERR_ARG, "the file has %zu characters, at most %d are allowed", n, NAME_FILE);
    memcpy(out->file, rest, n);
    out->file[n] = 0;
    if (!name_is_safe_path(out->file, NAME_FILE))
        return err_set(err, ERR_ARG, "the file \"%.200s\" is not a plain path inside the repository", out->file);
    return 0;
}

static int parse_registry(struct name *out, const char *s, struct err *err)
{
    out->kind = NAME_REGISTRY;
    const char *last = strrchr(s, '/'), *model = last ? last + 1 : s, *colon = strrchr(model, ':');
    const struct part model_part = { "model", "_.-", NAME_PART }, tag_part = { "tag", "_.-", NAME_PART },
                      space_part = { "namespace", "_-", NAME_PART };
    size_t n = colon ? (size_t)(colon - model) : strlen(model);
    int rc = take(out->model, model, n, model_part, err);
    if (rc == 0) rc = colon ? take(out->tag, colon + 1, strlen(colon + 1), tag_part, err) : 0;
    if (rc < 0) return rc;
    if (!colon) strcpy(out->tag, NAME_DEFAULT_TAG);
    strcpy(out->space, NAME_DEFAULT_SPACE);
    strcpy(out->host, NAME_DEFAULT_HOST);
    if (!last) return 0;
    const char *before = last;
    while (before > s && before[-1] != '/') before--;
    if ((rc = take(out->space, before, (size_t)(last - before), space_part, err)) < 0 || before == s) return rc;
    return take_host(out->host, s, (size_t)(before - 1 - s), err);
}

static int parse_path(struct name *out, const char *s, struct err *err)
{
    out->kind = NAME_PATH;
    if (starts(s, "//")) s += 2;
    if (!*s) return err_set(err, ERR_ARG, "the path is empty");
    fmt_into(out->text, sizeof out->text, "%s", s);
    return 0;
}

static int parse_url(struct name *out, const char *text, struct err *err)
{
    out->plain = starts(text, "http://");
    const char *host = text + (out->plain ? 7 : 8);
    size_t n = strcspn(host, "/?#"), whole = strcspn(host, "?#");
    if (memchr(host, '@', n)) return err_set(err, ERR_ARG, "a URL must not carry a user or password");
    bool file = whole > 5 && equal_n(host + whole - 5, ".gguf", 5);
    /* Of the hub only a file of another revision than main is fetched by its URL. */
    bool other = file && strstr(host + n, "/resolve/") && !strstr(host + n, "/resolve/main/");
    if (is_hub_host(host, n) && host[n] == '/' && !other) return parse_hub(out, host + n + 1, err);
    int rc = file ? take_host(out->host, host, n, err) : parse_registry(out, host, err);
    if (rc < 0) return rc;
    if (out->plain && !name_is_loopback(out->host))
        return err_set(err, ERR_ARG, "http:// is good only for this machine itself; use https://%s", host);
    for (const char *p = text; file && *p; p++)
        if (*p <= 32 || *p == 127) return err_set(err, ERR_ARG, "the URL has a character that must be written as %%XX");
    if (!file) return 0;
    out->kind = NAME_URL;
    fmt_into(out->text, sizeof out->text, "%s", text);
    return 0;
}

static int parse(struct name *out, const char *text, struct err *err)
{
    if (starts(text, "file:")) return parse_path(out, text + 5, err);
    if (starts(text, "http://") || starts(text, "https://")) return parse_url(out, text, err);
    if (strstr(text, "://")) return err_set(err, ERR_ARG, "only https://, http:// and file: are known");
    size_t n = strcspn(text, "/");
    if (is_hub_host(text, n) && text[n]) return parse_hub(out, text + n + 1, err);
    if (*text == '/' || *text == '~' || starts(text, "./") || starts(text, "../") || !strcmp(text, ".") || !strcmp(text, "..") ||
        name_ends_with(text, ".gguf"))
        return parse_path(out, text, err);
    return parse_registry(out, text, err);
}

int name_parse(struct name *out, const char *text, struct err *err)
{
    *out = (struct name){ 0 };
    if (!*text) return err_set(err, ERR_ARG, "the name of the model is empty");
    size_t n = strlen(text);
    if (n > NAME_TEXT) return err_set(err, ERR_ARG, "a name of %zu characters: at most %d are allowed", n, NAME_TEXT);
    int rc = parse(out, text, err);
    return rc < 0 ? err_prefix(err, rc, "\"%.120s\": ", text) : 0;
}

/* ---- printing, comparing ---- */

static void put_hub(const struct name *n, struct buf *out)
{
    buf_printf(out, "%s/%s/%s", n->host, n->space, n->model);
    if (n->file[0]) buf_printf(out, "%s%s", looks_like_file(n->file, strlen(n->file)) ? ":" : "/resolve/main/", n->file);
    else if (n->tag[0]) buf_printf(out, ":%s", n->tag);
}

void name_put(const struct name *n, struct buf *out)
{
    if (n->kind == NAME_PATH || n->kind == NAME_URL) buf_puts(out, n->text);
    else if (n->kind == NAME_HUB) put_hub(n, out);
    else buf_printf(out, "%s%s/%s/%s:%s", n->plain ? "http://" : "", n->host, n->space, n->model, n->tag);
}

void name_put_short(const struct name *n, struct buf *out)
{
    if (n->kind != NAME_REGISTRY || n->plain) {
        name_put(n, out);
        return;
    }
    bool host = !name_equal(n->host, NAME_DEFAULT_HOST), space = host || !name_equal(n->space, NAME_DEFAULT_SPACE);
    if (host) buf_printf(out, "%s/", n->host);
    if (space) buf_printf(out, "%s/", n->space);
    buf_printf(out, "%s:%s", n->model, n->tag);
}

bool name_same(const struct name *a, const struct name *b)
{
    if (a->kind != b->kind) return false;
    if (a->kind == NAME_PATH || a->kind == NAME_URL) return !strcmp(a->text, b->text);
    return name_equal(a->host, b->host) && name_equal(a->space, b->space) && name_equal(a->model, b->model) &&
           name_equal(a->tag, b->tag) && !strcmp(a->file, b->file);
}
