#include "engine/kvfile.h"

#include <string.h>

#include "base/rd.h"

static const char magic[8] = { 'H', 'E', 'A', 'R', 'T', 'H', 'K', 'V' };

/* ---- sums: four chains of multiplications, each of which can be undone, so that no single change is lost ---- */

static uint64_t mix(uint64_t h, uint64_t w)
{
    h = (h ^ w) * 0x9e3779b97f4a7c15u;
    return h << 29 | h >> 35;
}

static void add_block(struct kvfile_sum *s, const uint8_t *p)
{
    for (int i = 0; i < 4; i++) {
        uint64_t w;
        memcpy(&w, p + 8 * i, 8);
        s->lane[i] = mix(s->lane[i], w);
    }
}

void kvfile_sum_add(struct kvfile_sum *s, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    size_t have = s->n % 32;
    s->n += n;
    if (have) {
        size_t k = 32 - have < n ? 32 - have : n;
        memcpy(s->rest + have, p, k);
        if (have + k < 32) return;
        add_block(s, s->rest);
        p += k;
        n -= k;
    }
    for (; n >= 32; p += 32, n -= 32) add_block(s, p);
    memcpy(s->rest, p, n);
}

uint64_t kvfile_sum_of(const struct kvfile_sum *s)
{
    struct kvfile_sum t = *s;
    memset(t.rest + t.n % 32, 0, 32 - t.n % 32);
    add_block(&t, t.rest);
    uint64_t h = t.n;
    for (int i = 0; i < 4; i++) h = mix(h, t.lane[i]);
    return h;
}

/* ---- the head ---- */

static void put(uint8_t **at, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) *(*at)++ = (uint8_t)(v >> (8 * i));
}

void kvfile_put_head(uint8_t out[KVFILE_HEAD], const struct kvfile_head *h)
{
    uint8_t *at = out;
    memcpy(at, magic, 8);
    at += 8;
    put(&at, KVFILE_VERSION, 4);
    put(&at, KV_PAGE, 4);
    put(&at, h->model, 8);
    put(&at, h->salt, 8);
    put(&at, h->adapters, 8);
    put(&at, h->type[0], 4);
    put(&at, h->type[1], 4);
    put(&at, h->variant, 4);
    put(&at, h->n, 4);
    put(&at, h->window_from, 4);
    put(&at, h->n_saved, 4);
    for (int i = 0; i < N_PAGE_CLASS; i++) put(&at, h->bytes[i], 8);
}

static uint64_t ids_bytes(uint64_t n) { return (n * 4 + 7) & ~(uint64_t)7; }

/* How many pages of each kind there are. */
static void count_pages(const struct kvfile_head *h, uint64_t count[N_PAGE_CLASS])
{
    uint64_t pages = ((uint64_t)h->n + KV_PAGE - 1) / KV_PAGE;
    count[KV_FULL] = pages;
    count[KV_WINDOW] = pages - h->window_from;
    count[KV_STATE] = h->n_saved > 0;
}

uint64_t kvfile_bytes(const struct kvfile_head *h)
{
    uint64_t count[N_PAGE_CLASS], sum = KVFILE_HEAD + ids_bytes(h->n) + 8;
    count_pages(h, count);
    for (int i = 0; i < N_PAGE_CLASS; i++) sum += h->bytes[i] ? count[i] * h->bytes[i] : 0;
    return sum;
}

static int bad(struct err *err, const char *name, const char *what)
{
    return err_set(err, ERR_FORMAT, "%s: not a file of keys and values that Hearth wrote: %s", name, what);
}

int kvfile_parse(struct kvfile *out, const uint8_t *data, uint64_t n, const char *name, struct err *err)
{
    struct rd r = { data, data ? data + n : data, false };
    struct kvfile_head *h = &out->head;
    *out = (struct kvfile){ 0 };
    const uint8_t *m = rd_take(&r, 8);
    if (!m || memcmp(m, magic, 8)) return bad(err, name, "it begins differently");
    uint32_t version = rd_u32(&r), page = rd_u32(&r);
    if (version != KVFILE_VERSION || page != KV_PAGE)
        return err_set(err, ERR_UNSUPPORTED, "%s: version %u with pages of %u tokens, expected %d and %d", name, version, page,
                       KVFILE_VERSION, KV_PAGE);
    h->model = rd_u64(&r);
    h->salt = rd_u64(&r);
    h->adapters = rd_u64(&r);
    h->type[0] = rd_u32(&r);
    h->type[1] = rd_u32(&r);
    h->variant = rd_u32(&r);
    h->n = rd_u32(&r);
    h->window_from = rd_u32(&r);
    h->n_saved = rd_u32(&r);
    for (int i = 0; i < N_PAGE_CLASS; i++) h->bytes[i] = rd_u64(&r);
    if (r.bad) return bad(err, name, "it is cut off");
    if (!h->n || h->n > KVFILE_MAX_TOKENS) return bad(err, name, "its number of tokens makes no sense");
    uint64_t pages = ((uint64_t)h->n + KV_PAGE - 1) / KV_PAGE, left = rd_left(&r);
    if (h->window_from > pages || (h->n_saved && h->n_saved != h->n) || (h->n_saved && !h->bytes[KV_STATE]))
        return bad(err, name, "its numbers contradict each other");
    out->ids = rd_take(&r, ids_bytes(h->n));
    if (!out->ids) return bad(err, name, "it is cut off");
    left = rd_left(&r);
    uint64_t count[N_PAGE_CLASS];
    count_pages(h, count);
    for (int i = 0; i < N_PAGE_CLASS; i++) {
        if (count[i] && h->bytes[i] > left / count[i]) return bad(err, name, "it is cut off");
        left -= count[i] * h->bytes[i];
    }
    if (left != 8) return bad(err, name, "its length is not what its pages need");
    out->pages = r.at;
    out->end = r.end - 8;
    return 0;
}

bool kvfile_sum_is_right(const struct kvfile *f, const uint8_t *data)
{
    struct kvfile_sum s = { 0 };
    struct rd r = { f->end, f->end + 8, false };
    kvfile_sum_add(&s, data, (size_t)(f->end - data));
    return kvfile_sum_of(&s) == rd_u64(&r);
}

int32_t kvfile_id(const struct kvfile *f, uint32_t i)
{
    struct rd r = { f->ids + 4 * (size_t)i, f->ids + 4 * (size_t)i + 4, false };
    return (int32_t)rd_u32(&r);
}
