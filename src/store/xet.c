#include "store/xet.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "store/recon.h"

enum { MOST_STEPS = 1 << 30 };             /* chunks times terms: a second, which no honest list comes near */

/* One range at work. */
struct work {
    struct xet *x;
    struct fetch *f;
    const struct xet_range *r;
    struct recon recon;
    char store[XET_HOST], *key;            /* copies: others may renew them */
    bool inside;
    const struct recon_fetch *fetch;       /* under way: */
    bool seen[RECON_RANGES];               /* of its ranges */
    const struct recon_range *range;
    struct xorb xorb;
    struct multipart parts;
    bool multipart;
    uint64_t steps;
    int rc;
    struct err err;
};

void xet_release(struct xet *x)
{
    mem_free(x->key);
    x->key = NULL;
}

static int bad_status(const struct fetch *f, const char *what, struct err *err)
{
    const struct fetch_answer *a = fetch_answer(f);
    return err_set(err, a->status == 404 ? ERR_NOTFOUND : ERR_IO, "%s: HTTP status %ld%s%s", what, a->status,
                   a->why[0] ? ", " : "", a->why);
}

/* ---- permission ---- */

static int read_key(struct xet *x, const struct buf *text, bool inside, struct err *err)
{
    struct json *j;
    size_t n, n_url;
    int rc = json_parse(&j, text->data, text->len, err);
    if (rc < 0) return err_prefix(err, rc, "the Hub's token for chunks: ");
    const char *key = json_str(json_get(j, "accessToken"), &n), *url = json_str(json_get(j, "casUrl"), &n_url);
    bool good = key && n && n <= 64000 && url && strlen(url) == n_url && n_url < XET_HOST - 128;
    for (size_t i = 0; good && i < n; i++) good = key[i] > 32 && key[i] < 127;
    char *copy = good ? mem_strdup(key, n) : NULL;
    if (!good) rc = err_set(err, ERR_FORMAT, "the Hub gave no good token for chunks");
    else if (!copy) rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0) {
        while (n_url && url[n_url - 1] == '/') n_url--;
        lock_take(&x->lock);
        mem_free(x->key);
        x->key = copy;
        x->inside = inside;
        fmt_into(x->store, sizeof x->store, "%.*s", (int)n_url, url);
        lock_give(&x->lock);
    }
    json_free(j);
    return rc;
}

static int get_key(struct work *w, struct err *err)
{
    struct buf text = { 0 };
    struct fetch_request q = { .url = w->x->hub, .token = w->x->token, .alive = w->r->alive, .arg = w->r->arg,
                               .stall_s = w->r->stall_s };
    int rc = fetch_text(w->f, &q, 1 << 20, &text, err);
    if (rc == 0 && fetch_answer(w->f)->status != 200) rc = bad_status(w->f, w->x->hub, err);
    if (rc == 0) rc = read_key(w->x, &text, fetch_was_inside(w->f), err);
    buf_release(&text);
    return rc;
}

/* Copies what is known; false: nothing is. */
static bool know(struct work *w)
{
    lock_take(&w->x->lock);
    mem_free(w->key);
    w->key = w->x->key ? mem_strdup(w->x->key, strlen(w->x->key)) : NULL;
    fmt_into(w->store, sizeof w->store, "%s", w->x->store);
    w->inside = w->x->inside;
    lock_give(&w->x->lock);
    return w->key != NULL;
}

/* ---- of what the range consists ---- */

static int ask(struct work *w, bool v1, struct buf *text, struct err *err)
{
    char url[FETCH_URL];
    fmt_into(url, sizeof url, "%s/v%d/reconstructions/%s", w->store, v1 ? 1 : 2, w->x->hash);
    struct fetch_request q = { .url = url, .token = w->key, .range = true, .from = w->r->from, .to = w->r->to - 1,
                               .origin = w->x->hub, .origin_inside = w->inside, .alive = w->r->alive, .arg = w->r->arg,
                               .stall_s = w->r->stall_s };
    return fetch_text(w->f, &q, RECON_TEXT, text, err);
}

static int get_recon(struct work *w, struct err *err)
{
    struct buf text = { 0 };
    int rc = know(w) ? 0 : get_key(w, err);
    if (rc == 0 && !w->key && !know(w)) rc = err_set(err, ERR_NOMEM, "out of memory");
    lock_take(&w->x->lock);
    bool v1 = w->x->v1;
    lock_give(&w->x->lock);
    for (int attempt = 0; rc == 0; attempt++) {
        buf_release(&text);
        if ((rc = ask(w, v1, &text, err)) < 0) break;
        long status = fetch_answer(w->f)->status;
        if (status == 200 || status == 206) break;
        if (!v1 && (status == 404 || status == 501)) v1 = true;
        else if (status == 401 && attempt < 2) {
            if ((rc = get_key(w, err)) == 0 && !know(w)) rc = err_set(err, ERR_NOMEM, "out of memory");
        } else
            rc = bad_status(w->f, w->store, err);
    }
    if (rc == 0) rc = recon_parse(&w->recon, text.data, text.len, err);
    buf_release(&text);
    if (rc < 0) return rc;
    lock_take(&w->x->lock);
    w->x->v1 = v1;
    lock_give(&w->x->lock);
    uint64_t bytes = w->r->to - w->r->from;
    if (w->recon.skip > w->r->from || w->recon.length < w->recon.skip || w->recon.length - w->recon.skip < bytes)
        return err_set(err, ERR_FORMAT, "the list of chunks: has %llu bytes from %llu on, not %llu",
                       (unsigned long long)w->recon.length, (unsigned long long)w->recon.skip, (unsigned long long)bytes);
    return 0;
}

/* ---- its chunks ---- */

/* To every term that has the chunk. */
static int on_chunk(void *arg, uint32_t index, const uint8_t *p, size_t n, struct err *err)
{
    struct work *w = arg;
    if ((w->steps += w->recon.n_terms) > MOST_STEPS) return err_set(err, ERR_LIMIT, "more chunks than such a file has");
    uint64_t low = w->recon.skip, high = low + (w->r->to - w->r->from);
    for (size_t i = 0; i < w->recon.n_terms; i++) {
        struct recon_term *t = &w->recon.term[i];
        if (t->range != w->range || index < t->first || index >= t->end) continue;
        if (n > t->length - t->done) return err_set(err, ERR_FORMAT, "term %zu is longer than it says", i);
        uint64_t at = t->at + t->done, end = at + n, a = at > low ? at : low, b = end < high ? end : high;
        t->done += n;
        if (a < b && !w->r->sink(w->r->arg, w->r->from + (a - low), p + (a - at), (size_t)(b - a)))
            return err_set(err, ERR_CANCELLED, "interrupted");
    }
    return 0;
}

static int close_range(struct work *w, struct err *err)
{
    if (!w->range || xorb_is_whole(&w->xorb)) return 0;
    return err_set(err, ERR_FORMAT, "chunks %u to %u are not in the bytes that should have them", w->range->first,
                   w->range->end - 1);
}

static int open_range(void *arg, uint64_t from, uint64_t to, struct err *err)
{
    struct work *w = arg;
    int rc = close_range(w, err);
    if (rc < 0) return rc;
    for (size_t i = 0; i < w->fetch->n; i++) {
        const struct recon_range *g = &w->fetch->range[i];
        if (w->seen[i] || g->from != from || g->to != to) continue;
        w->seen[i] = true;
        w->range = g;
        xorb_begin(&w->xorb, w->r->room, g->first, g->end, on_chunk, w);
        return 0;
    }
    return err_set(err, ERR_FORMAT, "the answer has the bytes %llu to %llu, which nobody asked for", (unsigned long long)from,
                   (unsigned long long)to);
}

static int on_part(void *arg, const void *p, size_t n, struct err *err)
{
    return xorb_add(&((struct work *)arg)->xorb, p, n, err);
}

static bool on_begin(void *arg, const struct fetch *f)
{
    struct work *w = arg;
    const struct fetch_answer *a = fetch_answer(f);
    if (a->status >= 400) return true;
    if (a->status != 206) {
        w->rc = err_set(&w->err, ERR_FORMAT, "HTTP status %ld instead of a part of the whole", a->status);
        return false;
    }
    w->parts = (struct multipart){ .part = open_range, .bytes = on_part, .arg = w };
    w->multipart = multipart_begin(&w->parts, a->type);
    if (!w->multipart) w->rc = open_range(w, a->from, a->from + (a->length ? a->length - 1 : 0), &w->err);
    return w->rc == 0;
}

static bool on_bytes(void *arg, const void *p, size_t n)
{
    struct work *w = arg;
    if (fetch_answer(w->f)->status != 206) return true;
    w->rc = w->multipart ? multipart_add(&w->parts, p, n, &w->err) : on_part(w, p, n, &w->err);
    return w->rc == 0;
}

static bool on_alive(void *arg)
{
    const struct work *w = arg;
    return !w->r->alive || w->r->alive(w->r->arg);
}

static int get_fetch(struct work *w, const struct recon_fetch *fetch, struct err *err)
{
    struct buf ranges = { 0 };
    for (size_t i = 0; i < fetch->n; i++)
        buf_printf(&ranges, "%s%llu-%llu", i ? "," : "", (unsigned long long)fetch->range[i].from,
                   (unsigned long long)fetch->range[i].to);
    struct fetch_request q = { .url = fetch->url, .ranges = ranges.data, .origin = w->store, .origin_inside = w->inside,
                               .stall_s = w->r->stall_s, .sink = on_bytes, .begin = on_begin, .alive = on_alive, .arg = w };
    w->fetch = fetch;
    w->range = NULL;
    w->rc = 0;
    memset(w->seen, 0, sizeof w->seen);
    int rc = ranges.bad ? err_set(err, ERR_NOMEM, "out of memory") : fetch_do(w->f, &q, err);
    buf_release(&ranges);
    if (w->rc < 0) {
        if (err) *err = w->err;
        return w->rc;
    }
    if (rc == 0 && fetch_answer(w->f)->status != 206) rc = bad_status(w->f, "a xorb", err);
    if (rc == 0) rc = close_range(w, err);
    for (size_t i = 0; rc == 0 && i < fetch->n; i++)
        if (!w->seen[i]) rc = err_set(err, ERR_FORMAT, "the answer lacks some of the ranges");
    return rc;
}

int xet_bring(struct xet *x, struct fetch *f, const struct xet_range *r, struct err *err)
{
    struct work w = { .x = x, .f = f, .r = r };
    int rc = get_recon(&w, err);
    for (size_t i = 0; rc == 0 && i < w.recon.n_fetch; i++) rc = get_fetch(&w, &w.recon.fetch[i], err);
    for (size_t i = 0; rc == 0 && i < w.recon.n_terms; i++)
        if (w.recon.term[i].done != w.recon.term[i].length) rc = err_set(err, ERR_FORMAT, "term %zu is shorter than it says", i);
    recon_release(&w.recon);
    mem_free(w.key);
    return rc < 0 ? err_prefix(err, rc, "%.16s...: ", x->hash) : 0;
}
