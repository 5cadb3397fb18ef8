/* frame.c - frames between processes, in pieces: the same come out however the stream is cut, and never more than was sent. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "server/frame.h"
#include "server/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct sum { uint64_t hash; size_t bytes; };

static int add(void *arg, uint64_t id, const char *text, size_t n, struct err *err)
{
    struct sum *s = arg;
    (void)err;
    if (!n || n > JOB_MAX_BYTES) abort();
    s->hash = hash_add(hash_add(s->hash, &id, sizeof id), text, n);
    s->bytes += FRAME_HEAD + n;
    return 0;
}

static int read_all(const uint8_t *data, size_t n, size_t piece, struct sum *s)
{
    struct frame_reader r = { 0 };
    struct err e;
    int rc = 0;
    *s = (struct sum){ HASH_START, 0 };
    for (size_t at = 0; at < n && rc == 0; at += piece)
        rc = frame_reader_push(&r, (const char *)data + at, n - at < piece ? n - at : piece, add, s, &e);
    frame_reader_release(&r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sum whole, cut;
    if (n > 1 << 16) return 0;
    int rc = read_all(data, n, n ? n : 1, &whole);
    for (size_t piece = 1; piece < 40; piece = 2 * piece + 1)
        if (read_all(data, n, piece, &cut) != rc || cut.hash != whole.hash || cut.bytes != whole.bytes || cut.bytes > n) abort();
    return 0;
}
