#include "store/download.h"

#include <stdatomic.h>
#include <string.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/fetch.h"

enum { PIECE = DOWNLOAD_PIECE, HEAD = 24, MAX_WORKERS = 8, SPAN = 64, ATTEMPTS = 3 };
static const char magic[8] = { 'H', 'E', 'A', 'R', 'T', 'H', 'M', 'P' };

struct job {
    const struct download *d;
    char *part_path, *map_path;
    struct fs_file *part, *map;
    uint64_t n;                            /* pieces */
    uint64_t *sum;                         /* of each; 0: not there */
    uint8_t *taken;                        /* some worker is at it */
    struct lock lock;
    _Atomic uint64_t loose;                /* bytes of unfinished pieces, for the progress */
    _Atomic bool stop;
    _Atomic unsigned live;
    bool single;                           /* the server does no ranges */
    uint64_t present;                      /* bytes of finished pieces */
    unsigned fails;                        /* tries in a row that brought nothing */
    int rc;
    struct err err;
};

struct worker {
    struct job *j;
    struct os_thread *thread;
    struct fetch *fetch;
    char *piece;
    char *span;                            /* by chunks: the pieces of the range, which come in any order, */
    uint32_t *fill;                        /* and how much of each is there */
    struct xorb_room *room;
    uint64_t first, end;                   /* the pieces that it has taken */
    uint64_t at;                           /* where the next byte belongs */
    size_t filled;                         /* of the piece at at - filled; by chunks: of all pieces */
    bool streams;                          /* reads the whole file from its beginning */
    bool brought;
    const char *wrong;
};

static uint64_t piece_bytes(const struct job *j, uint64_t i)
{
    uint64_t from = i * PIECE;
    return j->d->size - from < PIECE ? j->d->size - from : PIECE;
}

/* Tells a piece from one that a loss of power left half written; the digest of the whole is what counts. */
static uint64_t sum_of(const char *p, size_t n)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ n, w;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&w, p + i, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    for (; i < n; i++) h = (h ^ (uint8_t)p[i]) * 0xff51afd7ed558ccdu;
    return h ? h : 1;
}

/* ---- the map ---- */

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static int set_sum(struct job *j, uint64_t i, uint64_t sum, struct err *err)
{
    uint8_t b[8];
    put_u64(b, sum);
    return fs_file_write(j->map, HEAD + 8 * i, b, 8, err);
}

static void head_of(const struct job *j, uint8_t h[HEAD])
{
    memcpy(h, magic, 8);
    put_u64(h + 8, j->d->size);
    put_u64(h + 16, PIECE);
}

static int clear_map(struct job *j, struct err *err)
{
    uint8_t h[HEAD];
    head_of(j, h);
    memset(j->sum, 0, (size_t)j->n * 8);
    j->present = 0;
    int rc = fs_file_resize(j->map, 0, err);
    if (rc == 0) rc = fs_file_resize(j->map, HEAD + 8 * j->n, err);
    return rc == 0 ? fs_file_write(j->map, 0, h, HEAD, err) : rc;
}

static int read_map(struct job *j, struct err *err)
{
    uint8_t h[HEAD], want[HEAD];
    head_of(j, want);
    bool fits = fs_file_size(j->map) == HEAD + 8 * j->n && fs_file_size(j->part) == j->d->size &&
                fs_file_read(j->map, 0, h, HEAD, NULL) == 0 && !memcmp(h, want, HEAD);
    if (!fits) {
        int rc = clear_map(j, err);
        return rc == 0 ? fs_file_resize(j->part, j->d->size, err) : rc;
    }
    int rc = j->n ? fs_file_read(j->map, HEAD, j->sum, (size_t)j->n * 8, err) : 0;
    for (uint64_t i = 0; rc == 0 && i < j->n; i++) {
        j->sum[i] = get_u64((const uint8_t *)&j->sum[i]);
        if (j->sum[i]) j->present += piece_bytes(j, i);
    }
    return rc;
}

uint64_t download_done(const char *path)
{
    struct buf name = { 0 };
    struct fs_file *f = NULL;
    uint8_t h[HEAD], b[8];
    uint64_t done = 0, size, n;
    buf_printf(&name, "%s.part.map", path);
    if (!name.bad && fs_file_open(&f, name.data, FS_READ, NULL) == 0 && fs_file_read(f, 0, h, HEAD, NULL) == 0 &&
        !memcmp(h, magic, 8) && get_u64(h + 16) == PIECE) {
        size = get_u64(h + 8);
        n = fs_file_size(f) / 8 - HEAD / 8;
        for (uint64_t i = 0; i < n && i * PIECE < size; i++)
            if (fs_file_read(f, HEAD + 8 * i, b, 8, NULL) == 0 && get_u64(b))
                done += size - i * PIECE < PIECE ? size - i * PIECE : PIECE;
    }
    fs_file_close(f);
    buf_release(&name);
    return done;
}

/* ---- a worker ---- */

static void fail(struct job *j, int rc, const struct err *e)
{
    lock_take(&j->lock);
    if (j->rc == 0) {
        j->rc = rc;
        j->err = *e;
    }
    lock_give(&j->lock);
    atomic_store(&j->stop, true);
}

/* Takes the next run of pieces that nobody is at; false: none is left. */
static bool take(struct worker *w, unsigned workers)
{
    struct job *j = w->j;
    lock_take(&j->lock);
    uint64_t left = (j->d->size - j->present) / PIECE / (2 * workers) + 1, most = left < SPAN ? left : SPAN, i = 0;
    while (i < j->n && (j->sum[i] || j->taken[i])) i++;
    w->first = w->end = i;
    while (w->end < j->n && !j->sum[w->end] && !j->taken[w->end] && w->end - i < most) j->taken[w->end++] = 1;
    lock_give(&j->lock);
    return w->end > w->first;
}

static void give_back(struct worker *w)
{
    struct job *j = w->j;
    lock_take(&j->lock);
    for (uint64_t i = w->first; i < w->end; i++) j->taken[i] = 0;
    lock_give(&j->lock);
    atomic_fetch_sub(&j->loose, w->filled);
    w->filled = 0;
}

/* A piece in memory goes to the disk, then into the map. */
static bool store_piece(struct worker *w, uint64_t i, const char *p)
{
    struct job *j = w->j;
    struct err e;
    size_t n = (size_t)piece_bytes(j, i);
    uint64_t sum = sum_of(p, n);
    int rc = fs_file_write(j->part, i * PIECE, p, n, &e);
    if (rc == 0) rc = set_sum(j, i, sum, &e);
    if (rc < 0) {
        fail(j, rc, &e);
        return false;
    }
    lock_take(&j->lock);
    if (!j->sum[i]) j->present += n;
    j->sum[i] = sum;
    j->fails = 0;
    lock_give(&j->lock);
    atomic_fetch_sub(&j->loose, n);
    w->filled -= n;
    w->brought = true;
    return true;
}

static bool is_there(struct job *j, uint64_t i)
{
    lock_take(&j->lock);
    bool there = j->sum[i] != 0;
    lock_give(&j->lock);
    return there;
}

static bool on_bytes(void *arg, const void *p, size_t n)
{
    struct worker *w = arg;
    struct job *j = w->j;
    uint64_t end = w->streams ? j->d->size : w->end * PIECE < j->d->size ? w->end * PIECE : j->d->size;
    if (n > end - w->at) {
        w->wrong = "sends more bytes than it was asked for";
        return false;
    }
    for (const char *from = p; n;) {
        uint64_t i = w->at / PIECE;
        size_t room = (size_t)(piece_bytes(j, i) - w->at % PIECE), k = n < room ? n : room;
        if (w->streams && !w->filled && is_there(j, i)) {       /* again, because the server has no ranges */
            w->at += k;
        } else if (w->streams && !w->filled && w->at % PIECE) {
            w->at += k;                                         /* it was lost while it went by */
        } else {
            memcpy(w->piece + w->filled, from, k);
            w->filled += k;
            w->at += k;
            atomic_fetch_add(&j->loose, k);
            if (w->filled == piece_bytes(j, i) && !store_piece(w, i, w->piece)) return false;
        }
        from += k;
        n -= k;
    }
    return true;
}

/* Whether the answer is what was asked for; a whole file instead of a range changes how the work is done. */
static bool on_begin(void *arg, const struct fetch *f)
{
    struct worker *w = arg;
    struct job *j = w->j;
    const struct fetch_answer *a = fetch_answer(f);
    if (a->status == 206) {
        if (!a->has_range || a->from != w->first * PIECE) w->wrong = "answers with another range than it was asked for";
        else if (a->total != UINT64_MAX && a->total != j->d->size) w->wrong = "has a file of another size";
        return !w->wrong;
    }
    if (a->status != 200) return false;
    if (a->length != UINT64_MAX && a->length != j->d->size) {
        w->wrong = "has a file of another size";
        return false;
    }
    lock_take(&j->lock);
    w->streams = !j->single;
    j->single = true;
    lock_give(&j->lock);
    w->at = 0;
    return w->streams;
}

/* What came, as an error; whether trying again can help. */
static bool judge(struct worker *w, int rc, struct err *e)
{
    const struct fetch_answer *a = fetch_answer(w->fetch);
    if (w->wrong) {
        err_set(e, ERR_FORMAT, "%.200s: the server %s", w->j->d->url, w->wrong);
        return true;
    }
    if (a->status < 300 || (a->status < 400 && rc < 0)) {
        if (rc == 0) err_set(e, ERR_IO, "%.200s: the answer ended too early", w->j->d->url);
        return rc != ERR_ARG;
    }
    err_set(e, ERR_IO, "%.200s: HTTP status %ld%s%s", w->j->d->url, a->status, a->why[0] ? ", " : "", a->why);
    return a->status == 408 || a->status == 429 || a->status >= 500 || a->status == 403;      /* 403: a signed URL that expired */
}

/* Bytes of a range that comes by chunks. */
static bool on_chunk(void *arg, uint64_t at, const void *bytes, size_t n)
{
    struct worker *w = arg;
    for (const char *p = bytes; n;) {
        uint64_t i = at / PIECE, k = i - w->first;
        size_t room = PIECE - (size_t)(at % PIECE), m = n < room ? n : room;
        memcpy(w->span + (at - w->first * PIECE), p, m);
        w->filled += m;
        atomic_fetch_add(&w->j->loose, m);
        w->fill[k] += (uint32_t)m;
        if (w->fill[k] == piece_bytes(w->j, i) && !store_piece(w, i, w->span + k * PIECE)) return false;
        at += m;
        p += m;
        n -= m;
    }
    return true;
}

static bool on_alive(void *arg) { return !atomic_load(&((struct worker *)arg)->j->stop); }

/* The range of this worker; false: it did not come whole. */
static bool by_chunks(struct worker *w, uint64_t last, bool *again, struct err *e)
{
    if (!w->span) {
        w->span = mem_new(SPAN, PIECE);
        w->fill = mem_new_array(uint32_t, SPAN);
        w->room = mem_new(1, sizeof *w->room);
    }
    *again = false;
    if (!w->span || !w->fill || !w->room) return err_set(e, ERR_NOMEM, "out of memory for chunks"), false;
    memset(w->fill, 0, SPAN * sizeof *w->fill);
    const struct xet_range r = { .from = w->first * PIECE, .to = last, .stall_s = w->j->d->stall_s, .sink = on_chunk,
                                 .alive = on_alive, .arg = w, .room = w->room };
    int rc = xet_bring(w->j->d->xet, w->fetch, &r, e);
    *again = rc == ERR_IO || rc == ERR_FORMAT;
    return rc == 0;
}

/* One request; false when this worker is to end. */
static bool work_once(struct worker *w)
{
    struct job *j = w->j;
    const struct download *d = j->d;
    struct err e = { 0 };
    uint64_t last = w->end * PIECE < d->size ? w->end * PIECE : d->size;
    bool again = false;
    struct fetch_request r = { .url = d->url, .token = d->token, .range = true, .from = w->first * PIECE, .to = last - 1,
                               .stall_s = d->stall_s, .sink = on_bytes, .alive = on_alive, .arg = w, .begin = on_begin };
    w->at = w->first * PIECE;
    w->filled = 0;
    w->streams = w->brought = false;
    w->wrong = NULL;
    int rc = d->xet ? 0 : fetch_do(w->fetch, &r, &e);
    bool streamed = w->streams;
    bool whole = d->xet ? by_chunks(w, last, &again, &e) : rc == 0 && !w->filled && w->at == (streamed ? d->size : last);
    give_back(w);
    lock_take(&j->lock);
    bool leave = j->single && !streamed;
    if (streamed) j->single = false;                            /* the next try finds out again */
    unsigned fails = whole || w->brought || leave ? 0 : ++j->fails;
    lock_give(&j->lock);
    if (atomic_load(&j->stop) || leave) return false;
    if (whole) return true;
    if (!d->xet) again = judge(w, rc, &e);
    if (!again || fails >= (d->tries ? d->tries : 6)) {
        fail(j, e.code, &e);
        return false;
    }
    unsigned wait = fetch_answer(w->fetch)->retry_s * 1000, least = 50u << (fails < 7 ? fails : 7);
    for (unsigned ms = 0; fails && ms < (wait > least ? wait : least) && !atomic_load(&j->stop); ms += 50) fs_sleep_ms(50);
    return true;
}

static void work(void *arg)
{
    struct worker *w = arg;
    unsigned workers = w->j->d->workers ? w->j->d->workers : 4;
    while (!atomic_load(&w->j->stop) && take(w, workers))
        if (!work_once(w)) break;
    atomic_fetch_sub(&w->j->live, 1);
}

static int start(struct worker *w, struct job *j, struct err *err)
{
    *w = (struct worker){ .j = j };
    if (!(w->piece = mem_new(PIECE, 1))) return err_set(err, ERR_NOMEM, "out of memory for a piece");
    int rc = fetch_open(&w->fetch, err);
    if (rc < 0) return rc;
    atomic_fetch_add(&j->live, 1);
    if ((rc = os_thread_start(&w->thread, work, w, err)) < 0) atomic_fetch_sub(&j->live, 1);
    return rc;
}

/* ---- the whole ---- */

struct hasher { struct sha256 *sha; uint64_t next; char *piece; };

/* Hashes the pieces that are there in a row; one that is not what the map says is fetched again. */
static int hash_some(struct job *j, struct hasher *h, unsigned most, struct err *err)
{
    for (unsigned k = 0; k < most && h->next < j->n; k++) {
        uint64_t i = h->next;
        lock_take(&j->lock);
        uint64_t sum = j->sum[i];
        lock_give(&j->lock);
        if (!sum) return 0;
        size_t n = (size_t)piece_bytes(j, i);
        int rc = fs_file_read(j->part, i * PIECE, h->piece, n, err);
        if (rc < 0) return rc;
        if (sum_of(h->piece, n) != sum) {
            lock_take(&j->lock);
            j->sum[i] = 0;
            j->present -= n;
            lock_give(&j->lock);
            return set_sum(j, i, 0, err);
        }
        if (!sha256_add(h->sha, h->piece, n)) return err_set(err, ERR_NOMEM, "SHA-256: the library failed");
        h->next++;
    }
    return 0;
}

static bool report(struct job *j)
{
    lock_take(&j->lock);
    uint64_t done = j->present + atomic_load(&j->loose);
    lock_give(&j->lock);
    return !j->d->progress || j->d->progress(j->d->arg, done < j->d->size ? done : j->d->size);
}

/* Workers fetch what is missing while this thread hashes what has come. */
static int round_of(struct job *j, struct hasher *h, struct err *err)
{
    struct worker w[MAX_WORKERS] = { { 0 } };
    unsigned n = j->d->workers ? j->d->workers : 4, started = 0;
    int rc = 0;
    if (n > MAX_WORKERS) n = MAX_WORKERS;
    if (n > j->n) n = (unsigned)j->n;
    j->single = false;
    j->fails = 0;
    for (; rc == 0 && j->present < j->d->size && started < n; started++) rc = start(&w[started], j, err);
    while (rc == 0 && atomic_load(&j->live)) {
        uint64_t before = h->next;
        rc = hash_some(j, h, 64, err);
        if (rc == 0 && !report(j)) rc = err_set(err, ERR_CANCELLED, "interrupted");
        if (before == h->next) fs_sleep_ms(20);
    }
    if (rc < 0) atomic_store(&j->stop, true);
    for (unsigned i = 0; i < started; i++) {
        os_thread_join(w[i].thread);
        fetch_close(w[i].fetch);
        mem_free(w[i].piece);
        mem_free(w[i].span);
        mem_free(w[i].fill);
        mem_free(w[i].room);
    }
    if (rc == 0 && j->rc < 0) {
        rc = j->rc;
        if (err) *err = j->err;
    }
    while (rc == 0 && h->next < j->n && j->sum[h->next]) {
        rc = hash_some(j, h, 64, err);
        if (rc == 0 && !report(j)) rc = err_set(err, ERR_CANCELLED, "interrupted");
    }
    return rc;
}

static int fetch_all(struct job *j, char found[SHA256_HEX + 1], struct err *err)
{
    struct hasher h = { .piece = mem_new(PIECE, 1) };
    int rc = h.piece ? sha256_new(&h.sha, err) : err_set(err, ERR_NOMEM, "out of memory for a piece");
    for (int attempt = 1; rc == 0; attempt++) {
        for (int round = 0; rc == 0 && h.next < j->n; round++) {
            if (round == 1000) rc = err_set(err, ERR_IO, "%s: what is written is not what is read back", j->part_path);
            else rc = round_of(j, &h, err);
        }
        if (rc == 0 && !sha256_end(h.sha, found)) rc = err_set(err, ERR_NOMEM, "SHA-256: the library failed");
        if (rc < 0 || !j->d->digest || !strcmp(found, j->d->digest)) break;
        h.next = 0;
        rc = clear_map(j, err);
        if (rc == 0 && attempt == ATTEMPTS)
            rc = err_set(err, ERR_FORMAT, "%.200s: came with SHA-256 %s instead of %s, %d times; nothing was kept", j->d->url,
                         found, j->d->digest, ATTEMPTS);
    }
    sha256_free(h.sha);
    mem_free(h.piece);
    return rc;
}

/* ---- one of several pullers ---- */

/* *done: somebody else finished it meanwhile. */
static int lock_part(struct job *j, bool *done, struct err *err)
{
    *done = false;
    for (;;) {
        int rc = fs_file_open(&j->part, j->part_path, FS_WRITE, err);
        if (rc < 0) return rc;
        bool mine = fs_file_lock(j->part);
        if (mine && fs_file_is(j->part, j->part_path) && !(j->d->digest && os_file_exists(j->d->path))) return 0;
        *done = j->d->digest && os_file_exists(j->d->path);
        if (*done && mine && fs_file_is(j->part, j->part_path)) os_file_remove(j->part_path);
        fs_file_close(j->part);
        j->part = NULL;
        if (*done) return 0;
        if (mine) continue;                                     /* it was renamed or removed under us */
        if (j->d->progress && !j->d->progress(j->d->arg, download_done(j->d->path)))
            return err_set(err, ERR_CANCELLED, "interrupted");
        fs_sleep_ms(100);
    }
}

static void job_release(struct job *j)
{
    fs_file_close(j->map);
    fs_file_close(j->part);
    mem_free(j->sum);
    mem_free(j->taken);
    mem_free(j->part_path);
    mem_free(j->map_path);
}

static char *joined(const char *a, const char *b)
{
    struct buf s = { 0 };
    buf_printf(&s, "%s%s", a, b);
    return buf_take(&s);
}

/* The check sums of the pieces stay beside it: with them a file that went bad later is mended, not fetched again. */
static void publish_map(const struct download *d, const char *from, const char *path)
{
    struct fs_file *f = NULL;
    char *to = d->size > PIECE ? joined(path, ".map") : NULL;
    int rc = to ? fs_file_open(&f, from, FS_WRITE, NULL) : ERR_NOTFOUND;
    if (rc == 0) rc = fs_file_publish(f, from, to, false, NULL);
    if (rc < 0) os_file_remove(from);
    fs_file_close(f);
    mem_free(to);
}

static int publish(const struct download *d, struct fs_file *part, const char *path, struct err *err)
{
    char *from = joined(d->path, ".part"), *map = joined(d->path, ".part.map");
    int rc = from && map ? fs_file_publish(part, from, path, true, err) : err_set(err, ERR_NOMEM, "%s: out of memory", path);
    if (rc == 0) publish_map(d, map, path);
    mem_free(from);
    mem_free(map);
    return rc;
}

int download_run(struct download *d, char found[SHA256_HEX + 1], struct err *err)
{
    struct job j = { .d = d, .n = d->size / PIECE + (d->size % PIECE != 0) };
    char mine[SHA256_HEX + 1];
    bool done = false;
    download_leave(d);
    j.part_path = joined(d->path, ".part");
    j.map_path = joined(d->path, ".part.map");
    j.sum = mem_new_array(uint64_t, (size_t)j.n);
    j.taken = mem_new_array(uint8_t, (size_t)j.n);
    int rc = 0;
    if (!j.part_path || !j.map_path || !j.sum || !j.taken) rc = err_set(err, ERR_NOMEM, "%s: out of memory", d->path);
    if (rc == 0) rc = lock_part(&j, &done, err);
    if (rc == 0 && !done) {
        rc = fs_file_open(&j.map, j.map_path, FS_WRITE, err);
        if (rc == 0) rc = read_map(&j, err);
        if (rc == 0) rc = fetch_all(&j, mine, err);
        if (rc == 0 && d->digest) rc = publish(d, j.part, d->path, err);
    }
    if (rc == 0 && !d->digest) {
        d->part = j.part;
        j.part = NULL;
    }
    if (rc == 0 && found) fmt_into(found, SHA256_HEX + 1, "%s", done ? d->digest : mine);
    job_release(&j);
    return rc;
}

void download_leave(struct download *d)
{
    fs_file_close(d->part);
    d->part = NULL;
}

int download_keep(struct download *d, const char *path, struct err *err)
{
    int rc = publish(d, d->part, path, err);
    download_leave(d);
    return rc;
}

void download_drop(struct download *d)
{
    char *part = joined(d->path, ".part"), *map = joined(d->path, ".part.map");
    if (map) os_file_remove(map);                               /* first: a part without a map is fetched again */
    if (part) os_file_remove(part);
    mem_free(part);
    mem_free(map);
    download_leave(d);
}

void download_forget(const char *path)
{
    char *map = joined(path, ".map");
    if (map) os_file_remove(map);
    mem_free(map);
}

int download_reopen(const char *path, uint64_t size, struct err *err)
{
    char *part = joined(path, ".part"), *map = joined(path, ".map"), *part_map = joined(path, ".part.map");
    struct fs_file *f = NULL;
    int rc = part && map && part_map ? 0 : err_set(err, ERR_NOMEM, "%s: out of memory", path);
    if (rc == 0 && os_file_exists(path)) {
        if (os_file_exists(map)) rc = fs_take_back(map, part_map, err);
        else os_file_remove(part_map);
        if (rc == 0) rc = fs_take_back(path, part, err);
        if (rc == 0) rc = fs_file_open(&f, part, FS_WRITE, err);
        if (rc == 0 && fs_file_size(f) != size) rc = fs_file_resize(f, size, err);
    }
    fs_file_close(f);
    mem_free(part);
    mem_free(map);
    mem_free(part_map);
    return rc;
}
