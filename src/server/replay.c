#include "server/replay.h"

#include <string.h>

#include "base/mem.h"
#include "server/http_impl.h"

enum { KEPT = 4 << 20 };
#define KEPT_NS ((uint64_t)300000000000)

struct replay {
    uint64_t number;
    char id[REPLAY_ID + 1], user[KEY_NAME + 1];
    struct exchange *x;            /* whose stream it is; NULL once that has ended */
    bool sse, starts, ended, alone;               /* starts: the next byte begins an event; alone: its client has gone */
    char last;                     /* the byte before the next */
    uint64_t base, base_event, n_events;          /* what was forgotten: bytes, events */
    struct buf kept;
    struct exchange *reader[REPLAY_READERS];
    size_t n_readers;
    uint64_t idle_since;           /* ended, or without a reader; 0: neither */
};

static void unlist(struct replays *all, size_t i)
{
    struct replay *r = all->v[i];
    all->v[i] = NULL;
    buf_release(&r->kept);
    mem_free(r);
}

static struct replay *find(struct replays *all, const char *id, const char *user, size_t *at)
{
    for (size_t i = 0; i < REPLAYS; i++)
        if (all->v[i] && !strcmp(all->v[i]->id, id) && !strcmp(all->v[i]->user, user)) {
            *at = i;
            return all->v[i];
        }
    return NULL;
}

/* A free place: of those that have ended, the oldest goes. */
static size_t place(struct replays *all)
{
    size_t oldest = REPLAYS;
    for (size_t i = 0; i < REPLAYS; i++) {
        if (!all->v[i]) return i;
        bool over = all->v[i]->ended && !all->v[i]->n_readers;
        if (over && (oldest == REPLAYS || all->v[i]->idle_since < all->v[oldest]->idle_since)) oldest = i;
    }
    if (oldest < REPLAYS) unlist(all, oldest);
    return oldest;
}

static bool good_id(const char *s)
{
    size_t n = strlen(s);
    return n && n <= REPLAY_ID && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")];
}

static struct replay *numbered(struct replays *all, uint64_t number)
{
    for (size_t i = 0; i < REPLAYS; i++)
        if (all->v[i] && all->v[i]->number == number) return all->v[i];
    return NULL;
}

uint64_t replay_begin(struct replays *all, struct exchange *x, const char *id, bool sse)
{
    size_t at = REPLAYS;
    struct replay *r = NULL;
    uint64_t number = 0;
    if (!good_id(id)) return 0;
    lock_take(&all->lock);
    r = find(all, id, x->user, &at);
    bool busy = r && (!r->ended || r->n_readers);             /* its owner goes on; this one is not kept */
    if (r && !busy) unlist(all, at);
    r = NULL;
    if (!busy && (at = place(all)) < REPLAYS && (r = mem_new(1, sizeof *r)) != NULL) {
        fmt_into(r->id, sizeof r->id, "%s", id);
        fmt_into(r->user, sizeof r->user, "%s", x->user);
        r->x = x;
        r->sse = r->starts = sse;
        r->number = number = ++all->n_made;
        all->v[at] = r;
    }
    lock_give(&all->lock);
    return number;
}

/* Half of what is kept goes, up to the end of an event. */
static void forget(struct replay *r)
{
    size_t cut = 0;
    for (size_t i = 1; i < r->kept.len && cut < KEPT / 2; i++)
        if (r->kept.data[i] == '\n' && (!r->sse || r->kept.data[i - 1] == '\n')) {
            cut = i + 1;
            r->base_event++;
        }
    if (!cut) cut = r->kept.len;
    memmove(r->kept.data, r->kept.data + cut, r->kept.len - cut);
    r->kept.len -= cut;
    r->base += cut;
}

static void put_numbers(struct replay *r, const char *bytes, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (r->sse && r->starts) buf_printf(out, "id: %llu\n", (unsigned long long)++r->n_events);
        r->starts = false;
        buf_putc(out, bytes[i]);
        if (bytes[i] == '\n' && r->last == '\n') r->starts = true;
        r->last = r->starts ? 0 : bytes[i];
    }
}

void replay_write(struct replays *all, uint64_t number, const char *bytes, size_t n, struct buf *out)
{
    struct exchange *reader[REPLAY_READERS];
    lock_take(&all->lock);
    struct replay *r = numbered(all, number);
    if (r) put_numbers(r, bytes, n, out);
    if (r && !out->bad) {
        buf_put(&r->kept, out->data, out->len);
        if (r->kept.len > KEPT) forget(r);
    }
    size_t k = r ? r->n_readers : 0;
    for (size_t i = 0; i < k; i++) exchange_share(reader[i] = r->reader[i]);
    lock_give(&all->lock);
    for (size_t i = 0; i < k; i++) {
        if (!out->bad) exchange_write(reader[i], out->data, out->len);
        exchange_free(reader[i]);
    }
}

void replay_end(struct replays *all, uint64_t number)
{
    struct exchange *reader[REPLAY_READERS];
    lock_take(&all->lock);
    struct replay *r = numbered(all, number);
    size_t k = r ? r->n_readers : 0;
    if (r) {
        r->ended = true;
        r->x = NULL;
        r->idle_since = os_now_ns();
        memcpy(reader, r->reader, sizeof reader);
        r->n_readers = 0;
    }
    lock_give(&all->lock);
    for (size_t i = 0; i < k; i++) {
        exchange_end(reader[i]);
        exchange_release(reader[i]);
    }
}

bool replay_left(struct replays *all, uint64_t number)
{
    lock_take(&all->lock);
    struct replay *r = numbered(all, number);
    bool goes_on = r && !r->ended;
    if (goes_on) r->alone = true;
    if (goes_on && !r->n_readers) r->idle_since = os_now_ns();
    lock_give(&all->lock);
    return goes_on;
}

/* idle_ns 0: all that go on. */
static void end_idle(struct replays *all, uint64_t now, uint64_t idle_ns)
{
    struct exchange *stale[REPLAYS];
    size_t n = 0;
    lock_take(&all->lock);
    for (size_t i = 0; i < REPLAYS; i++) {
        struct replay *r = all->v[i];
        if (!r || (idle_ns && (!r->idle_since || now < r->idle_since + idle_ns || r->n_readers))) continue;
        if (r->ended && idle_ns) unlist(all, i);
        else if ((r->alone || !idle_ns) && r->x) exchange_share(stale[n++] = r->x);
    }
    lock_give(&all->lock);
    for (size_t i = 0; i < n; i++) {
        exchange_end(stale[i]);
        exchange_free(stale[i]);
    }
}

void replays_look(struct replays *all, uint64_t now) { end_idle(all, now, KEPT_NS); }
void replays_stop(struct replays *all) { end_idle(all, 0, 0); }

void replays_free(struct replays *all)
{
    for (size_t i = 0; i < REPLAYS; i++)
        if (all->v[i]) unlist(all, i);
}

/* ---- asking for it ---- */

static void reader_gone(struct exchange *x)
{
    struct replays *all = &x->s->replays;
    bool found = false;
    lock_take(&all->lock);
    for (size_t i = 0; i < REPLAYS && !found; i++) {
        struct replay *r = all->v[i];
        for (size_t k = 0; r && k < r->n_readers && !found; k++) {
            if (r->reader[k] != x) continue;
            found = true;
            r->reader[k] = r->reader[--r->n_readers];
            if (!r->n_readers && r->alone) r->idle_since = os_now_ns();
        }
    }
    lock_give(&all->lock);
    if (found) exchange_release(x);
}

static bool parse_u64(const char *s, uint64_t *v)
{
    *v = 0;
    if (!*s || strlen(s) > 18 || s[strspn(s, "0123456789")]) return false;
    for (; *s; s++) *v = *v * 10 + (uint64_t)(*s - '0');
    return true;
}

/* Where in what is kept the event behind number `after` begins; SIZE_MAX: it was forgotten, or never was. */
static size_t event_at(const struct replay *r, uint64_t after)
{
    uint64_t event = r->base_event;
    if (after < event || after > r->n_events) return SIZE_MAX;
    size_t i = 0;
    for (; event < after && i < r->kept.len; i++)
        if (i && r->kept.data[i] == '\n' && r->kept.data[i - 1] == '\n') event++;
    return event == after ? i : SIZE_MAX;
}

static size_t wanted(struct exchange *x, const struct replay *r)
{
    const char *last = exchange_header(x, "Last-Event-ID"), *from = exchange_query(x, "from");
    uint64_t v = 0;
    if (last && *last) return r->sse && parse_u64(last, &v) ? event_at(r, v) : SIZE_MAX;
    if (from && !parse_u64(from, &v)) return SIZE_MAX;
    if (!from && r->base) return SIZE_MAX;
    return v < r->base || v - r->base > r->kept.len ? SIZE_MAX : (size_t)(v - r->base);
}

static const char *id_of(struct exchange *x)
{
    const char *id = exchange_query(x, "conv_id");
    return id ? id : exchange_header(x, "X-Conversation-Id");
}

void replay_get(struct exchange *x)
{
    struct replays *all = &x->s->replays;
    const char *id = id_of(x);
    struct buf past = { 0 };
    size_t unused, at = SIZE_MAX;
    bool ended = false, full = false;
    lock_take(&all->lock);
    struct replay *r = id ? find(all, id, x->user, &unused) : NULL;
    if (r) at = wanted(x, r);
    if (r && at != SIZE_MAX) {
        buf_put(&past, r->kept.data + at, r->kept.len - at);
        ended = r->ended;
        full = !ended && r->n_readers == REPLAY_READERS;
        if (!full) exchange_stream(x, r->sse ? "text/event-stream" : "application/x-ndjson");
        x->backlog = past.len;
        if (past.len) exchange_write(x, past.data, past.len);
        if (!ended && !full) {
            exchange_hold(x, reader_gone);
            r->reader[r->n_readers++] = x;
            r->idle_since = 0;
        }
    }
    bool found = r != NULL;
    lock_give(&all->lock);
    buf_release(&past);
    if (!found) exchange_fail(x, 404, "not_found", "there is no stream of that conv_id");
    else if (at == SIZE_MAX) exchange_fail(x, 410, "invalid", "that place of the stream is not kept any more, or not there yet");
    else if (full) exchange_fail(x, 429, "busy", "too many read that stream");
    else if (ended) exchange_end(x);
    else if (exchange_gone(x)) reader_gone(x);
}

void replay_delete(struct exchange *x)
{
    struct replays *all = &x->s->replays;
    const char *id = id_of(x);
    size_t at;
    lock_take(&all->lock);
    struct replay *r = id ? find(all, id, x->user, &at) : NULL;
    struct exchange *source = r ? r->x : NULL;
    if (source) exchange_share(source);
    else if (r && !r->n_readers) unlist(all, at);
    bool found = r != NULL;
    lock_give(&all->lock);
    if (source) {
        exchange_end(source);
        exchange_free(source);
    }
    if (found) exchange_text(x, 200, "application/json; charset=utf-8", "{\"success\":true}", 16);
    else exchange_fail(x, 404, "not_found", "there is no stream of that conv_id");
}

void replay_lookup(struct exchange *x)
{
    struct replays *all = &x->s->replays;
    const struct json *ids = json_get(exchange_body(x), "conv_ids");
    struct json *list = json_new_array(), *o = json_new_object();
    bool ok = list && o;
    lock_take(&all->lock);
    for (size_t i = 0; ok && i < json_len(ids) && i < REPLAYS; i++) {
        const char *id = json_str(json_at(ids, i), NULL);
        size_t at;
        struct replay *r = id ? find(all, id, x->user, &at) : NULL;
        if (!r) continue;
        struct json *s = json_new_object();
        ok = json_put(s, "conv_id", json_new_str(id, strlen(id))) && json_put(s, "active", json_new_bool(!r->ended)) &&
             json_put(s, "from", json_new_int((int64_t)r->base)) && json_put(s, "bytes",
                                                                             json_new_int((int64_t)(r->base + r->kept.len))) &&
             json_put(s, "last_event_id", json_new_int((int64_t)r->n_events));
        ok = json_push(list, s) && ok;
    }
    lock_give(&all->lock);
    ok = json_put(o, "data", list) && ok;
    if (!ok) json_free(o);
    exchange_json(x, 200, ok ? o : NULL);
}
