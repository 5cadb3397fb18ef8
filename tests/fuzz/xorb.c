/* Chunks, and the parts of an answer, come out the same however the bytes are cut; none is larger than a chunk may be.
 * The first byte says how to cut and whether there are parts around. */
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "store/xorb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
    if (!ok) abort();
}

struct seen { struct sha256 *sha; size_t n; };

static int on_chunk(void *arg, uint32_t index, const uint8_t *p, size_t n, struct err *err)
{
    struct seen *s = arg;
    (void)err;
    check(n && n <= XORB_CHUNK && index < 8);
    sha256_add(s->sha, p, n);
    s->n += n;
    return 0;
}

struct whole { struct xorb x; uint64_t in_part, of_part; };

static int on_part(void *arg, uint64_t from, uint64_t to, struct err *err)
{
    struct whole *w = arg;
    (void)err;
    check(from <= to && w->in_part == w->of_part);
    w->in_part = 0;
    w->of_part = to - from + 1;
    return 0;
}

static int on_bytes(void *arg, const void *p, size_t n, struct err *err)
{
    struct whole *w = arg;
    check(n && n <= w->of_part - w->in_part);
    w->in_part += n;
    return xorb_add(&w->x, p, n, err);
}

static int read_all(const uint8_t *p, size_t n, bool parts, size_t step, struct xorb_room *room, char hex[SHA256_HEX + 1])
{
    struct seen s = { 0 };
    struct whole w = { .in_part = 0 };
    struct multipart m = { .part = on_part, .bytes = on_bytes, .arg = &w };
    struct err e = { 0 };
    check(sha256_new(&s.sha, NULL) == 0 && multipart_begin(&m, "Multipart/byteranges; boundary=\"b\""));
    xorb_begin(&w.x, room, 0, 8, on_chunk, &s);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < n; at += step) {
        size_t k = n - at < step ? n - at : step;
        rc = parts ? multipart_add(&m, p + at, k, &e) : xorb_add(&w.x, p + at, k, &e);
    }
    check(sha256_end(s.sha, hex));
    sha256_free(s.sha);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct xorb_room room;
    char a[SHA256_HEX + 1], b[SHA256_HEX + 1];
    if (!n) return 0;
    bool parts = data[0] & 1;
    int rc = read_all(data + 1, n - 1, parts, n, &room, a), again = read_all(data + 1, n - 1, parts, 1 + data[0] / 2u, &room, b);
    check(rc == again && !strcmp(a, b));
    return 0;
}
