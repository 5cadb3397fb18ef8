#include "store/fetch.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/name.h"

struct fetch {
    CURL *curl;
    const struct fetch_request *r;
    struct fetch_answer a;
    char location[FETCH_URL], url[FETCH_URL], error[CURL_ERROR_SIZE];
    bool begun, refused, encoded, stopped;
    bool redirected;                       /* this is not the first request */
    bool inside, inward;                   /* the first host is on our own network; a redirect led there */
};

const struct fetch_answer *fetch_answer(const struct fetch *f) { return &f->a; }

void fetch_close(struct fetch *f)
{
    if (!f) return;
    curl_easy_cleanup(f->curl);
    mem_free(f);
}

int fetch_open(struct fetch **out, struct err *err)
{
    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) return err_set(err, ERR_NOMEM, "libcurl cannot start");
    struct fetch *f = mem_new(1, sizeof *f);
    if (!f || !(f->curl = curl_easy_init())) {
        mem_free(f);
        return err_set(err, ERR_NOMEM, "out of memory for a connection");
    }
    *out = f;
    return 0;
}

bool fetch_was_inside(const struct fetch *f) { return f->inside; }

const char *fetch_library(void) { return curl_version(); }

/* ---- URLs ---- */

static bool is_https(const char *url) { return !strncmp(url, "https://", 8); }

/* The host and port of a URL, "" when it is none of ours. */
static void host_of(const char *url, char host[NAME_HOST + 1])
{
    const char *at = is_https(url) ? url + 8 : !strncmp(url, "http://", 7) ? url + 7 : NULL;
    size_t n = at ? strcspn(at, "/?#") : 0;
    *host = 0;
    if (n && n <= NAME_HOST && !memchr(at, '@', n)) fmt_into(host, NAME_HOST + 1, "%.*s", (int)n, at);
}

bool fetch_same_host(const char *a, const char *b)
{
    char x[NAME_HOST + 1], y[NAME_HOST + 1];
    host_of(a, x);
    host_of(b, y);
    return *x && name_equal(x, y) && is_https(a) == is_https(b);
}

static int check_url(const char *url, const char *from, struct err *err)
{
    char host[NAME_HOST + 1], before[NAME_HOST + 1];
    host_of(url, host);
    if (!*host) return err_set(err, ERR_ARG, "%.200s: is no URL that is fetched from: https:// and a host", url);
    bool here = name_is_loopback(host);
    if (!is_https(url) && !here) return err_set(err, ERR_ARG, "%.200s: only https is good enough for another machine", url);
    if (!from) return 0;
    host_of(from, before);
    if (here && !name_is_loopback(before))
        return err_set(err, ERR_ARG, "%s redirects to this machine (%s); refused", before, host);
    if (is_https(from) && !is_https(url)) return err_set(err, ERR_ARG, "%s redirects from https to http; refused", before);
    return 0;
}

void fetch_escape(const char *text, struct buf *out)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool plain = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || strchr("-._~/", *p);
        if (plain) buf_putc(out, (char)*p);
        else buf_printf(out, "%%%02X", *p);
    }
}

/* Where a redirect leads, relative ones included. */
static bool resolve(const char *base, const char *location, char out[FETCH_URL])
{
    CURLU *u = curl_url();
    char *whole = NULL;
    bool ok = u && !curl_url_set(u, CURLUPART_URL, base, 0) && !curl_url_set(u, CURLUPART_URL, location, 0) &&
              !curl_url_get(u, CURLUPART_URL, &whole, 0) && strlen(whole) < FETCH_URL;
    if (ok) fmt_into(out, FETCH_URL, "%s", whole);
    curl_free(whole);
    curl_url_cleanup(u);
    return ok;
}

/* ---- the header ---- */

static void put_value(char *dst, size_t n, const char *v, size_t len) { fmt_into(dst, n, "%.*s", (int)len, v); }

static uint64_t number(const char *s)
{
    uint64_t v = 0;
    if (*s < '0' || *s > '9') return UINT64_MAX;
    for (; *s >= '0' && *s <= '9'; s++)
        if (v > (UINT64_MAX - 9) / 10) return UINT64_MAX;
        else v = 10 * v + (uint64_t)(*s - '0');
    return v;
}

/* "bytes 5-9/100" */
static void content_range(struct fetch_answer *a, const char *v)
{
    const char *slash = strchr(v, '/');
    if (strncmp(v, "bytes ", 6) || !slash) return;
    a->from = number(v + 6);
    a->total = number(slash + 1);
    a->has_range = a->from != UINT64_MAX;
}

/* <URL>; rel="next" */
static void link_next(struct fetch *f, const char *v)
{
    const char *open = strchr(v, '<'), *end = open ? strchr(open, '>') : NULL;
    char url[FETCH_URL];
    if (!end || !strstr(end, "rel=\"next\"") || (size_t)(end - open) >= sizeof url) return;
    fmt_into(url, sizeof url, "%.*s", (int)(end - open - 1), open + 1);
    if (!resolve(f->url, url, f->a.next)) f->a.next[0] = 0;
}

static size_t on_header(char *p, size_t one, size_t n, void *arg)
{
    struct fetch *f = arg;
    char v[FETCH_URL];
    size_t bytes = one * n, len = bytes;
    if (len > 5 && !memcmp(p, "HTTP/", 5)) {                    /* another answer begins, after 100 or a proxy's */
        f->a = (struct fetch_answer){ .length = UINT64_MAX, .total = UINT64_MAX, .linked_size = UINT64_MAX };
        f->location[0] = 0;
    }
    const char *colon = memchr(p, ':', len);
    if (!colon) return bytes;
    size_t key = (size_t)(colon - p), at = key + 1;
    while (at < len && (p[at] == ' ' || p[at] == '\t')) at++;
    while (len > at && strchr("\r\n \t", p[len - 1])) len--;
    char name[40];
    if (key >= sizeof name || len - at >= sizeof v || memchr(p + at, 0, len - at)) return bytes;
    put_value(name, sizeof name, p, key);
    put_value(v, sizeof v, p + at, len - at);
    struct fetch_answer *a = &f->a;
    if (name_equal(name, "content-length")) a->length = number(v);
    else if (name_equal(name, "content-range")) content_range(a, v);
    else if (name_equal(name, "content-type")) fmt_into(a->type, sizeof a->type, "%s", v);
    else if (name_equal(name, "location")) fmt_into(f->location, sizeof f->location, "%s", v);
    else if (name_equal(name, "www-authenticate")) fmt_into(a->auth, sizeof a->auth, "%s", v);
    else if (name_equal(name, "link")) link_next(f, v);
    else if (name_equal(name, "etag")) fmt_into(a->etag, sizeof a->etag, "%s", v);
    else if (name_equal(name, "x-linked-etag")) fmt_into(a->linked_etag, sizeof a->linked_etag, "%s", v);
    else if (name_equal(name, "x-linked-size")) a->linked_size = number(v);
    else if (name_equal(name, "x-repo-commit")) fmt_into(a->commit, sizeof a->commit, "%s", v);
    else if (name_equal(name, "x-error-code")) fmt_into(a->why, sizeof a->why, "%s", v);
    else if (name_equal(name, "retry-after")) a->retry_s = number(v) < 3600 ? (unsigned)number(v) : 0;
    else if (name_equal(name, "content-encoding") && !name_equal(v, "identity")) f->encoded = true;
    return bytes;
}

/* ---- the body ---- */

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
    struct fetch *f = arg;
    long status = 0;
    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
    f->a.status = status;
    if (f->encoded) return 0;
    if (status >= 300 && status < 400 && f->location[0]) return one * n;          /* the redirect's own text */
    if (!f->begun) {
        f->begun = true;
        if (f->r->begin && !f->r->begin(f->r->arg, f)) f->refused = true;
    }
    if (f->refused || (f->r->sink && !f->r->sink(f->r->arg, p, one * n))) {
        f->refused = true;
        return 0;
    }
    return one * n;
}

/* A redirect must not reach into our own network, whatever its host is called: known only once it is connected to.  Behind a
 * proxy of our own network all hosts look like it, the first too. */
static int on_connected(void *arg, char *ip, char *local, int port, int local_port)
{
    struct fetch *f = arg;
    (void)local, (void)port, (void)local_port;
    bool private = name_is_private_address(ip);
    if (!f->redirected) f->inside = private;
    f->inward = f->redirected && private && !f->inside;
    return f->inward ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct fetch *f = arg;
    (void)a, (void)b, (void)c, (void)d;
    if (!f->r->alive || f->r->alive(f->r->arg)) return 0;
    f->stopped = true;
    return 1;
}

/* ---- a request ---- */

static struct curl_slist *headers_of(const struct fetch_request *r, bool with_token, bool first, bool *ok)
{
    struct curl_slist *list = NULL, *longer;
    struct buf line = { 0 };
    const char *accept = r->accept ? r->accept : "*/*";
    for (int i = 0; *ok && i < 3; i++) {
        buf_clear(&line);
        if (i == 0) buf_printf(&line, "Accept: %s", accept);
        if (i == 1) buf_puts(&line, "Accept-Encoding: identity");
        if (i == 2 && first && r->signature) buf_printf(&line, "Authorization: %s", r->signature);
        else if (i == 2 && with_token) buf_printf(&line, "Authorization: Bearer %s", r->token);
        if (!line.len) continue;
        longer = line.bad ? NULL : curl_slist_append(list, line.data);
        if (longer) list = longer;
        else *ok = false;
    }
    buf_release(&line);
    return list;
}

static void set_up(struct fetch *f, struct curl_slist *headers)
{
    const struct fetch_request *r = f->r;
    char range[64], host[NAME_HOST + 1];
    CURL *c = f->curl;
    curl_easy_reset(c);
    host_of(f->url, host);
    curl_easy_setopt(c, CURLOPT_URL, f->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, is_https(f->url) ? "https" : "http");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "hearth/" HEARTH_VERSION);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, f);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(c, CURLOPT_PREREQDATA, f);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1000L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)(r->stall_s ? r->stall_s : 30));
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->error);
    if (name_is_loopback(host)) curl_easy_setopt(c, CURLOPT_PROXY, "");
    if (r->head) curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    if (r->range) {
        fmt_into(range, sizeof range, "%llu-%llu", (unsigned long long)r->from, (unsigned long long)r->to);
        curl_easy_setopt(c, CURLOPT_RANGE, range);
    }
    if (r->ranges) curl_easy_setopt(c, CURLOPT_RANGE, r->ranges);
}

static int failure(const struct fetch *f, CURLcode code, struct err *err)
{
    char host[NAME_HOST + 1];
    host_of(f->url, host);
    if (f->stopped) return err_set(err, ERR_CANCELLED, "interrupted");
    if (f->inward) return err_set(err, ERR_ARG, "%s: is redirected to, and lies inside our own network; refused", host);
    if (f->encoded) return err_set(err, ERR_FORMAT, "%s: sends a compressed answer that nobody asked for", host);
    if (f->refused) return err_set(err, ERR_CANCELLED, "%s: the answer is not what was asked for", host);
    return err_set(err, ERR_IO, "%s: %s%s", host, f->error[0] ? f->error : curl_easy_strerror(code),
                   code == CURLE_COULDNT_RESOLVE_HOST ? "; is this machine online?" : "");
}

/* One hop; a redirect leaves f->location. */
static int hop(struct fetch *f, bool with_token, struct err *err)
{
    bool ok = true;
    struct curl_slist *headers = headers_of(f->r, with_token, !strcmp(f->url, f->r->url), &ok);
    f->a = (struct fetch_answer){ .length = UINT64_MAX, .total = UINT64_MAX, .linked_size = UINT64_MAX };
    f->location[0] = f->error[0] = 0;
    f->begun = f->refused = f->encoded = f->stopped = f->inward = false;
    if (ok) set_up(f, headers);
    CURLcode code = ok ? curl_easy_perform(f->curl) : CURLE_OUT_OF_MEMORY;
    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &f->a.status);
    curl_slist_free_all(headers);
    return code || f->encoded ? failure(f, code, err) : 0;
}

int fetch_do(struct fetch *f, const struct fetch_request *r, struct err *err)
{
    enum { MAX_HOPS = 10 };
    char next[FETCH_URL];
    uint64_t linked = UINT64_MAX;
    char etag[FETCH_FIELD] = "", commit[128] = "";
    f->r = r;
    f->inside = r->origin && r->origin_inside;
    f->redirected = r->origin != NULL;                          /* a place that the origin named, as a redirect would */
    if (strlen(r->url) >= FETCH_URL) return err_set(err, ERR_ARG, "the URL is longer than %d characters", FETCH_URL - 1);
    fmt_into(f->url, sizeof f->url, "%s", r->url);
    int rc = check_url(f->url, r->origin, err);
    for (int i = 0; rc == 0; i++) {
        if ((rc = hop(f, r->token && fetch_same_host(f->url, r->url), err)) < 0) break;
        /* What the first host says of a file counts, not the place where it lies. */
        if (linked == UINT64_MAX) linked = f->a.linked_size;
        if (!*etag) fmt_into(etag, sizeof etag, "%s", f->a.linked_etag);
        if (!*commit) fmt_into(commit, sizeof commit, "%s", f->a.commit);
        if (f->a.status < 300 || f->a.status >= 400 || !f->location[0]) break;
        if (i == MAX_HOPS) rc = err_set(err, ERR_ARG, "%.200s: more than %d redirects", r->url, MAX_HOPS);
        else if (!resolve(f->url, f->location, next)) rc = err_set(err, ERR_FORMAT, "%.200s: redirects to no URL", f->url);
        else if ((rc = check_url(next, f->url, err)) == 0) fmt_into(f->url, sizeof f->url, "%s", next);
        f->redirected = true;
    }
    f->a.linked_size = linked;
    fmt_into(f->a.linked_etag, sizeof f->a.linked_etag, "%s", etag);
    fmt_into(f->a.commit, sizeof f->a.commit, "%s", commit);
    return rc;
}

/* ---- small answers ---- */

struct text { struct buf *out; const struct fetch_request *r; bool large; };

static bool add_text(void *arg, const void *p, size_t n)
{
    struct text *t = arg;
    buf_put(t->out, p, n);
    if (t->out->bad) t->large = true;
    return !t->out->bad;
}

static bool text_alive(void *arg)
{
    struct text *t = arg;
    return !t->r->alive || t->r->alive(t->r->arg);
}

int fetch_text(struct fetch *f, const struct fetch_request *r, size_t max, struct buf *out, struct err *err)
{
    struct text t = { .out = out, .r = r };
    struct fetch_request mine = *r;
    *out = (struct buf){ .limit = max };
    mine.sink = add_text;
    mine.alive = text_alive;
    mine.begin = NULL;
    mine.arg = &t;
    int rc = fetch_do(f, &mine, err);
    if (rc < 0 && t.large) rc = err_set(err, ERR_LIMIT, "%.200s: the answer has more than %zu bytes", r->url, max);
    if (rc == 0 && !buf_reserve(out, 0)) rc = err_set(err, ERR_NOMEM, "out of memory");
    return rc;
}
