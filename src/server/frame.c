#include "server/frame.h"

#include <string.h>

#include "base/lock.h"
#include "base/mem.h"
#include "server/job.h"

enum { PIECE = 64 << 10, ROUNDS = 16, MUCH = 4 << 20, TOO_MUCH = 256 << 20 };

/* ---- the stream ---- */

static uint64_t little(const char *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = n; i-- > 0;) v = v << 8 | (unsigned char)p[i];
    return v;
}

/* The frames that lie complete in text; how many bytes they are, or an error. */
static int64_t take_frames(const char *text, size_t n, frame_fn *fn, void *arg, struct err *err)
{
    size_t at = 0;
    while (n - at >= FRAME_HEAD) {
        size_t len = (size_t)little(text + at, 4);
        if (!len || len > JOB_MAX_BYTES)
            return err_set(err, ERR_FORMAT, "a frame of %zu bytes; it must have 1 to %d", len, JOB_MAX_BYTES);
        if (n - at - FRAME_HEAD < len) break;
        int rc = fn(arg, little(text + at + 4, 8), text + at + FRAME_HEAD, len, err);
        if (rc < 0) return rc;
        at += FRAME_HEAD + len;
    }
    return (int64_t)at;
}

int frame_reader_push(struct frame_reader *r, const char *bytes, size_t n, frame_fn *fn, void *arg, struct err *err)
{
    struct buf *b = &r->held;
    buf_put(b, bytes, n);
    if (b->bad) return err_set(err, ERR_NOMEM, "out of memory for %zu bytes between processes", b->len + n);
    int64_t used = take_frames(b->data, b->len, fn, arg, err);
    if (used < 0) return (int)used;
    if (!used) return 0;
    memmove(b->data, b->data + used, b->len - (size_t)used);
    b->len -= (size_t)used;
    if (b->cap > MUCH && b->len < PIECE) {                     /* a large one has passed: its memory is wanted elsewhere */
        struct buf small = { 0 };
        buf_put(&small, b->data, b->len);
        if (small.bad) return err_set(err, ERR_NOMEM, "out of memory for %zu bytes between processes", b->len);
        buf_release(b);
        *b = small;
    }
    return 0;
}

void frame_reader_release(struct frame_reader *r) { buf_release(&r->held); }

bool frame_put(struct buf *out, uint64_t id, const char *text, size_t n)
{
    char head[FRAME_HEAD];
    if (!n || n > JOB_MAX_BYTES || !buf_reserve(out, FRAME_HEAD + n)) return false;
    for (unsigned i = 0; i < 4; i++) head[i] = (char)(n >> 8 * i);
    for (unsigned i = 0; i < 8; i++) head[4 + i] = (char)(id >> 8 * i);
    buf_put(out, head, FRAME_HEAD);
    buf_put(out, text, n);
    return true;
}

/* ---- both directions ---- */

struct frames {
    struct chan *chan;
    struct frame_reader in;
    char *piece;                       /* [PIECE] */
    struct buf now;                    /* being written, by the thread */
    size_t n_now;                      /* of it, what was written */
    struct lock lock;                  /* guards the rest */
    struct buf out;
    bool gone, broken;
    _Atomic uint32_t less;             /* counts when unsent bytes have become fewer */
};

int frames_open(struct frames **out, struct chan *c, struct err *err)
{
    struct frames *f = *out = mem_new(1, sizeof *f);
    if (f) f->chan = c;
    else chan_close(c);
    if (f && (f->piece = mem_new(PIECE, 1))) return 0;
    frames_close(f);
    *out = NULL;
    return err_set(err, ERR_NOMEM, "out of memory for a connection");
}

void frames_close(struct frames *f)
{
    if (!f) return;
    chan_close(f->chan);
    frame_reader_release(&f->in);
    buf_release(&f->now);
    buf_release(&f->out);
    mem_free(f->piece);
    mem_free(f);
}

static void fewer(struct frames *f)
{
    atomic_fetch_add(&f->less, 1);
    os_wake_all(&f->less);
}

bool frames_send(struct frames *f, uint64_t id, const char *text, size_t n, bool at_once)
{
    for (;;) {
        uint32_t seen = atomic_load(&f->less);
        lock_take(&f->lock);
        bool gone = f->gone, full = f->out.len > (at_once ? TOO_MUCH : MUCH);
        bool ok = !gone && !full && frame_put(&f->out, id, text, n);
        lock_give(&f->lock);
        if (ok) chan_wake(f->chan);
        if (ok || gone || !full || at_once) return ok;
        os_wait(&f->less, seen);
    }
}

void frames_wake(struct frames *f) { chan_wake(f->chan); }

bool frames_lost(struct frames *f)
{
    lock_take(&f->lock);
    bool gone = f->gone;
    lock_give(&f->lock);
    return gone;
}

void frames_break(struct frames *f)
{
    lock_take(&f->lock);
    f->broken = true;
    lock_give(&f->lock);
    chan_wake(f->chan);
}

/* Nothing can be sent any more; those who wait are told. */
static void lost(struct frames *f)
{
    lock_take(&f->lock);
    f->gone = true;
    lock_give(&f->lock);
    fewer(f);
}

/* false: the other side takes nothing any more. */
static bool write_out(struct frames *f)
{
    for (;;) {
        if (f->n_now == f->now.len) {
            buf_clear(&f->now);
            f->n_now = 0;
            if (f->now.cap > MUCH) buf_release(&f->now);
            lock_take(&f->lock);
            struct buf swap = f->now;
            f->now = f->out;
            f->out = swap;
            lock_give(&f->lock);
            if (!f->now.len) return true;
            fewer(f);
        }
        int64_t n = chan_write(f->chan, f->now.data + f->n_now, f->now.len - f->n_now);
        if (n == CHAN_CLOSED) return false;
        if (n == 0) return true;
        f->n_now += (size_t)n;
    }
}

static bool is_broken(struct frames *f)
{
    lock_take(&f->lock);
    bool broken = f->broken;
    lock_give(&f->lock);
    return broken;
}

static bool has_more(struct frames *f)
{
    lock_take(&f->lock);
    bool more = f->n_now < f->now.len || f->out.len;
    lock_give(&f->lock);
    return more;
}

int frames_step(struct frames *f, int timeout_ms, frame_fn *fn, void *arg, struct err *err)
{
    bool open = write_out(f);
    if (open) {
        chan_wait(f->chan, has_more(f), timeout_ms);
        open = write_out(f);
    }
    if (!open) lost(f);                                        /* what it sent before is still to be read */
    if (is_broken(f)) {
        lost(f);
        return err_set(err, ERR_NOMEM, "out of memory for what must be sent");
    }
    for (int i = 0; i < ROUNDS || !open; i++) {
        int64_t n = chan_read(f->chan, f->piece, PIECE);
        if (n == CHAN_CLOSED) {
            lost(f);
            return 0;
        }
        if (n == 0) return open ? 1 : 0;
        int rc = frame_reader_push(&f->in, f->piece, (size_t)n, fn, arg, err);
        if (rc < 0) {
            lost(f);
            return rc;
        }
    }
    return 1;
}
