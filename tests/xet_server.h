/* xet_server.h - the store of chunks beside registry_server.h: xorbs, of which a file consists, and what it tells of them.
 * `lie` of the server's state is one of the values below. */
#ifndef HEARTH_TESTS_XET_SERVER_H
#define HEARTH_TESTS_XET_SERVER_H

#include "tests/registry_server.h"

enum { XET_XORBS = 5, XET_CHUNKS = 20, XET_TERMS = 40, XET_MOST = 100000 };
enum xet_lie {
    XET_HONEST, XET_V1, XET_OLD_KEY, XET_EXPIRED, XET_WRONG_BYTE, XET_DAMAGED, XET_SHORT_LIST, XET_LONG_TERM, XET_SHORT_TERM,
    XET_OTHER_RANGE, XET_HUGE_CHUNK, XET_CHUNK_VERSION, XET_WHOLE, XET_INWARD, XET_NO_JSON, XET_NO_RANGE, XET_NO_BOUNDARY,
    XET_LACKS_PART, XET_TWICE, XET_CUT, XET_BAD_KEY, XET_ELSEWHERE
};

struct xet_xorb { uint8_t *p; size_t from[XET_CHUNKS + 1], plain[XET_CHUNKS + 1]; uint8_t *text; };
struct xet_term { unsigned xorb, first, end; size_t at; };

static struct xet_file {
    struct xet_xorb xorb[XET_XORBS];
    struct xet_term term[XET_TERMS];
    char *bytes;
    size_t n;
} xet_file;

static inline uint64_t xet_random(void)
{
    static uint64_t s = 11;
    s = s * 6364136223846793005u + 1442695040888963407u;
    return s >> 33;
}

/* An LZ4 frame of one block, packed badly but rightly: matches of what was 4 or 16 bytes before. */
static inline size_t xet_lz4(const uint8_t *p, size_t n, uint8_t *out)
{
    static const uint8_t head[] = { 4, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73 };
    uint8_t *to = out + sizeof head + 4;
    size_t at = 0, from = 0;
    memcpy(out, head, sizeof head);
    for (;;) {
        size_t match = 0, back = 0;
        for (; at + 12 < n && !match; at += !match)
            for (back = 4; back <= 16 && !match; back += 12)
                if (at >= back && !memcmp(p + at, p + at - back, 4)) {
                    for (match = 4; at + match + 5 < n && p[at + match] == p[at + match - back]; match++) continue;
                    break;
                }
        if (!match) at = n;
        size_t plain = at - from, extra = match ? match - 4 : 0;
        *to++ = (uint8_t)((plain < 15 ? plain : 15) << 4 | (extra < 15 ? extra : 15));
        if (plain >= 15) {
            size_t k = plain - 15;
            for (; k >= 255; k -= 255) *to++ = 255;
            *to++ = (uint8_t)k;
        }
        memcpy(to, p + from, plain);
        to += plain;
        if (!match) break;
        *to++ = (uint8_t)back;
        *to++ = 0;
        if (extra >= 15) {
            size_t k = extra - 15;
            for (; k >= 255; k -= 255) *to++ = 255;
            *to++ = (uint8_t)k;
        }
        at += match;
        from = at;
    }
    size_t block = (size_t)(to - out) - sizeof head - 4;
    for (int i = 0; i < 4; i++) {
        out[sizeof head + (size_t)i] = (uint8_t)(block >> (8 * i));
        *to++ = 0;
    }
    return (size_t)(to - out);
}

static inline void xet_u24(uint8_t *p, size_t v)
{
    for (int i = 0; i < 3; i++) p[i] = (uint8_t)(v >> (8 * i));
}

/* Packs a chunk by the scheme, as it is when that makes it larger. */
static inline size_t xet_pack(const uint8_t *p, size_t n, int scheme, uint8_t *out)
{
    uint8_t *grouped = malloc(n), *to = grouped;
    size_t packed = n;
    for (size_t k = 0; k < 4; k++)
        for (size_t i = k; i < n; i += 4) *to++ = p[i];
    if (scheme) packed = xet_lz4(scheme == 2 ? grouped : p, n, out + 8);
    if (!scheme || packed >= n) {
        scheme = 0;
        packed = n;
        memcpy(out + 8, p, n);
    }
    free(grouped);
    out[0] = 0;
    xet_u24(out + 1, packed);
    out[4] = (uint8_t)scheme;
    xet_u24(out + 5, n);
    return packed + 8;
}

static inline void xet_make_xorb(struct xet_xorb *x)
{
    x->p = malloc(2 * XET_CHUNKS * XET_MOST);
    x->text = malloc(XET_CHUNKS * XET_MOST);
    for (int i = 0; i < XET_CHUNKS; i++) {
        size_t n = 8000 + xet_random() % (XET_MOST - 8000);
        uint8_t *p = x->text + x->plain[i];
        for (size_t k = 0; k < n; k++) {
            bool noise = i % 3 == 0 || (k % 4 != 3 && k % 100 < 30);
            p[k] = noise ? (uint8_t)xet_random() : (uint8_t)(k % 4);
        }
        x->plain[i + 1] = x->plain[i] + n;
        x->from[i + 1] = x->from[i] + xet_pack(p, n, i % 3, x->p + x->from[i]);
    }
}

/* Rows of chunks in no order, some of them twice. */
static inline void xet_make(void)
{
    struct xet_file *f = &xet_file;
    for (int i = 0; i < XET_XORBS; i++) xet_make_xorb(&f->xorb[i]);
    f->bytes = malloc(XET_TERMS * 8 * XET_MOST);
    for (int i = 0; i < XET_TERMS; i++) {
        unsigned x = (unsigned)(xet_random() % XET_XORBS), a = (unsigned)(xet_random() % (XET_CHUNKS - 8));
        unsigned b = a + 1 + (unsigned)(xet_random() % 7);
        const struct xet_xorb *xorb = &f->xorb[x];
        f->term[i] = (struct xet_term){ x, a, b, f->n };
        memcpy(f->bytes + f->n, xorb->text + xorb->plain[a], xorb->plain[b] - xorb->plain[a]);
        f->n += xorb->plain[b] - xorb->plain[a];
    }
}

/* ---- what it tells ---- */

static inline void xet_name(unsigned xorb, char name[65])
{
    snprintf(name, 65, "%064x", xorb + 10);
}

struct xet_rows { bool has[XET_XORBS][XET_CHUNKS]; };

/* The terms of the bytes a to b, cut to chunks; the skip. */
static inline size_t xet_put_terms(size_t a, size_t b, int lie, struct xet_rows *rows, FILE *out)
{
    size_t skip = 0;
    bool any = false;
    for (int i = 0; i < XET_TERMS; i++) {
        const struct xet_term *t = &xet_file.term[i];
        const struct xet_xorb *x = &xet_file.xorb[t->xorb];
        unsigned first = t->first, end = t->end;
        size_t base = t->at - x->plain[t->first];                /* where the xorb's text would begin in the file */
        while (first < end && base + x->plain[first + 1] <= a) first++;
        while (first < end && base + x->plain[end - 1] > b) end--;
        if (first == end) continue;
        size_t length = x->plain[end] - x->plain[first];
        char name[65];
        xet_name(t->xorb, name);
        if (!any) skip = a - (base + x->plain[first]);
        if (lie == XET_SHORT_LIST && any) break;
        if (lie == XET_LONG_TERM) length += 7;
        if (lie == XET_SHORT_TERM) length -= 7;
        fprintf(out, "%s{\"hash\":\"%s\",\"unpacked_length\":%zu,\"range\":{\"start\":%u,\"end\":%u}}", any ? "," : "", name,
                length, first, end);
        for (unsigned k = first; k < end; k++) rows->has[t->xorb][k] = true;
        any = true;
    }
    return skip;
}

static inline void xet_put_rows(const struct xet_rows *rows, unsigned i, bool v1, int lie, int port, FILE *out)
{
    const struct xet_xorb *x = &xet_file.xorb[i];
    char sig[2048] = "", list[4096] = "";
    unsigned n = 0;
    for (unsigned a = 0, b; a < XET_CHUNKS; a = b) {
        for (b = a; b < XET_CHUNKS && rows->has[i][b]; b++) continue;
        if (a == b) {
            b++;
            continue;
        }
        char one[64], *sig_end = sig + strlen(sig), *list_end = list + strlen(list);
        snprintf(one, sizeof one, "%zu-%zu", x->from[a], x->from[b] - 1);
        const char *host = lie == XET_INWARD ? "192.0.2.1:" : "localhost:";
        if (v1)
            sprintf(list_end, "%s{\"range\":{\"start\":%u,\"end\":%u},\"url\":\"http://%s%d/xorb/%u?%s\","
                    "\"url_range\":{\"start\":%zu,\"end\":%zu}}", n ? "," : "", a, b, host, port, i, one, x->from[a],
                    x->from[b] - 1);
        else
            sprintf(list_end, "%s{\"chunks\":{\"start\":%u,\"end\":%u},\"bytes\":{\"start\":%zu,\"end\":%zu}}", n ? "," : "",
                    a + (lie == XET_NO_RANGE), b + (lie == XET_NO_RANGE), x->from[a], x->from[b] - 1);
        sprintf(sig_end, "%s%s", n++ ? "," : "", one);
    }
    if (v1) fprintf(out, "[%s]", list);
    else
        fprintf(out, "[{\"url\":\"http://%s:%d/xorb/%u?%s\",\"ranges\":[%s]}]",
                lie == XET_INWARD ? "192.0.2.1" : "localhost", port, i, sig, list);
}

static inline void xet_reconstruct(struct server *s, int fd, const char *request)
{
    int lie = atomic_load(&s->state->lie);
    unsigned version = 0;
    size_t a = 0, b = 0;
    const char *auth = server_field(request, "Authorization: "), *range = server_field(request, "Range: bytes=");
    if (sscanf(request, "GET /cas/v%u/", &version) != 1 || !range || sscanf(range, "%zu-%zu", &a, &b) != 2 || a > b ||
        b >= xet_file.n) {
        server_simple(fd, 416, "", "range");
        return;
    }
    if (!auth || strncmp(auth, "Bearer chunks\r", 14)) {
        server_simple(fd, 401, "", "who?");
        return;
    }
    if (version == 2 && lie == XET_V1) {
        server_simple(fd, 404, "", "what?");
        return;
    }
    struct xet_rows rows = { 0 };
    char *text, *terms;
    size_t n, n_terms;
    FILE *list = open_memstream(&terms, &n_terms), *out = open_memstream(&text, &n);
    size_t skip = xet_put_terms(a, b, lie, &rows, list);
    fclose(list);
    fprintf(out, "{\"offset_into_first_range\":%zu,\"terms\":[%s],\"%s\":{", skip, terms, version == 1 ? "fetch_info" : "xorbs");
    bool any = false;
    for (unsigned i = 0; i < XET_XORBS; i++) {
        char name[65];
        bool has = false;
        for (int k = 0; k < XET_CHUNKS; k++) has = has || rows.has[i][k];
        if (!has) continue;
        xet_name(i, name);
        fprintf(out, "%s\"%s\":", any ? "," : "", name);
        xet_put_rows(&rows, i, version == 1, lie, s->port, out);
        any = true;
    }
    fprintf(out, "}%s", lie == XET_NO_JSON ? "" : "}");
    fclose(out);
    server_simple(fd, 200, "", text);
    free(text);
    free(terms);
}

/* ---- xorbs ---- */

static inline void xet_put_bytes(const struct xet_xorb *x, size_t a, size_t b, int lie, FILE *out)
{
    uint8_t *p = malloc(b - a + 1);
    memcpy(p, x->p + a, b - a + 1);
    if (lie == XET_WRONG_BYTE && !p[4]) p[20] ^= 1;
    if (lie == XET_DAMAGED && p[4]) p[8] ^= 1;
    if (lie == XET_HUGE_CHUNK) memset(p + 1, 0xff, 3), memset(p + 5, 0xff, 3);
    if (lie == XET_CHUNK_VERSION) p[0] = 1;
    fwrite(p, 1, b - a + 1, out);
    free(p);
}

static inline void xet_send(struct server *s, int fd, const char *fields, const char *p, size_t n)
{
    char head[512];
    bool cut = atomic_load(&s->state->lie) == XET_CUT;
    snprintf(head, sizeof head, "HTTP/1.1 %d x\r\nContent-Length: %zu\r\n%s\r\n",
             atomic_load(&s->state->lie) == XET_WHOLE ? 200 : 206, n, fields);
    server_send(fd, head, strlen(head));
    for (size_t at = 0; at < (cut ? n / 2 : n);) {
        size_t k = n - at < 16384 ? n - at : 16384;
        uint64_t rate = atomic_load(&s->state->bytes_per_s);
        if (rate) {
            struct timespec t = { 0, (long)(1e9 * (double)k / (double)rate) };
            nanosleep(&t, NULL);
        }
        if (!server_send(fd, p + at, k)) return;
        atomic_fetch_add(&s->state->bytes, k);
        at += k;
    }
}

/* Exactly the ranges that the URL was signed for. */
static inline void xet_xorb(struct server *s, int fd, const char *request)
{
    int lie = atomic_load(&s->state->lie);
    unsigned i = 0;
    char sig[2048] = "", want[2100], *text;
    const char *range = server_field(request, "Range: bytes=");
    size_t n;
    if (server_field(request, "Authorization: ")) atomic_store(&s->state->leaked, 1);
    bool known = sscanf(request, "GET /xorb/%u?%2047s", &i, sig) == 2 && i < XET_XORBS;
    snprintf(want, sizeof want, "%s\r", sig);
    if (!known || !range || strncmp(range, want, strlen(want)) ||
        (lie == XET_EXPIRED && atomic_fetch_add(&s->state->count, 1) < 2)) {
        server_simple(fd, 403, "", "signature");
        return;
    }
    const struct xet_xorb *x = &xet_file.xorb[i];
    FILE *out = open_memstream(&text, &n);
    char fields[128];
    size_t a, b, total = x->from[XET_CHUNKS];
    int used, parts = 0;
    if (!strchr(sig, ',')) {
        sscanf(sig, "%zu-%zu", &a, &b);
        xet_put_bytes(x, a, b, lie, out);
        snprintf(fields, sizeof fields, "Content-Range: bytes %zu-%zu/%zu\r\n", a, b, total);
    } else {
        for (const char *p = sig; sscanf(p, "%zu-%zu%n", &a, &b, &used) == 2; p += p[used] ? used + 1 : used) {
            if (lie == XET_LACKS_PART && parts) break;
            size_t shown = lie == XET_OTHER_RANGE ? a + 1 : a;
            for (int k = 0; k < (lie == XET_TWICE ? 2 : 1); k++) {
                fprintf(out, "%s--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %zu-%zu/%zu\r\n\r\n",
                        parts++ ? "\r\n" : "", lie == XET_NO_BOUNDARY ? "other" : "b0undary", shown, b, total);
                xet_put_bytes(x, a, b, lie, out);
            }
            if (!p[used]) break;
        }
        fprintf(out, "\r\n--b0undary--\r\n");
        snprintf(fields, sizeof fields, "Content-Type: multipart/byteranges; boundary=b0undary\r\n");
    }
    fclose(out);
    xet_send(s, fd, fields, text, n);
    free(text);
}

/* The first key is too old when asked so. */
static inline void xet_key(struct server *s, int fd, const char *request)
{
    int lie = atomic_load(&s->state->lie);
    char text[300];
    (void)request;
    bool old = lie == XET_OLD_KEY && atomic_fetch_add(&s->state->count, 1) == 0;
    snprintf(text, sizeof text, "{\"accessToken\":\"%s\",\"exp\":1848535668,\"casUrl\":\"http://%s:%d/cas/\"}",
             old ? "old" : lie == XET_BAD_KEY ? "a b" : "chunks", lie == XET_ELSEWHERE ? "192.0.2.1" : "127.0.0.1", s->port);
    server_simple(fd, 200, "", text);
}

static inline void xet_add(struct server *s, const char *key)
{
    server_add(s, key, NULL, 0)->answer = xet_key;
    server_add(s, "/cas/v", NULL, 0)->answer = xet_reconstruct;
    server_add(s, "/xorb/", NULL, 0)->answer = xet_xorb;
}

#endif
