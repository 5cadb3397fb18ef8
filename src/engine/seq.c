#include "engine/seq.h"

#include <string.h>

#include "base/mem.h"

static int no_memory(struct err *err) { return err_set(err, ERR_NOMEM, "out of memory opening a session"); }

/* Both numbers, and what to do. */
static int no_pages(const struct seq *s, struct err *err)
{
    const struct kv_pool *p = s->pool;
    if (p->budget && atomic_load(&p->budget->used) + s->layout->bytes[KV_FULL] > p->budget->limit)
        return err_set(err, ERR_LIMIT, "no memory is left for keys and values: %.1f MB are in use, and all models together have "
                       "%.1f MB of at most %.1f MB; use smaller contexts, or raise the limit", (double)p->used / 1e6,
                       (double)atomic_load(&p->budget->used) / 1e6, (double)p->budget->limit / 1e6);
    return err_set(err, ERR_LIMIT, "no memory is left for keys and values: %.1f MB of at most %.1f MB are in use; close "
                   "sessions, use smaller contexts, or raise the limit (kv_limit)", (double)p->used / 1e6,
                   (double)p->limit / 1e6);
}

int seq_open(struct seq *s, struct kv_pool *pool, const struct seq_options *o, struct err *err)
{
    *s = (struct seq){ .pool = pool, .key = o->key, .alone = o->alone, .n_max = o->n_max };
    enum dtype type[2] = { (enum dtype)o->key.type[0], (enum dtype)o->key.type[1] };
    s->layout = kv_layout_of(pool, type);
    s->n_page = (o->n_max + KV_PAGE - 1) / KV_PAGE;
    s->ids = mem_new_array(int32_t, o->n_max ? o->n_max : 1);
    if (!s->layout || !s->ids) return no_memory(err);
    for (int c = 0; c < N_KV_CLASS; c++) {
        s->page[c] = mem_new_array(struct kv_page *, s->n_page + 1);
        s->data[c] = mem_new_array(uint8_t *, s->n_page + 1);
        if (!s->page[c] || !s->data[c]) return no_memory(err);
    }
    const uint32_t width = pool->graph->n_kept;
    if (width && !(s->kept = mem_new((size_t)KEPT_ROWS * width, sizeof *s->kept))) return no_memory(err);
    s->view = (struct kv_view){ .page = { s->data[0], s->data[1] }, .k_at = s->layout->k_at, .v_at = s->layout->v_at,
                                .k_type = type[0], .v_type = type[1], .kept = s->kept };
    return 0;
}

static bool has_state(const struct seq *s) { return s->layout->bytes[KV_STATE] > 0; }

/* ---- pages, with the lock held ---- */

static void put_page(struct seq *s, int class, uint32_t i, struct kv_page *page)
{
    kv_drop(s->pool, s->page[class][i]);
    s->page[class][i] = page;
    s->data[class][i] = page ? page->data : NULL;
}

/* Gives back the pages behind the first n tokens. */
static void cut(struct seq *s, uint32_t n)
{
    for (uint32_t i = (n + KV_PAGE - 1) / KV_PAGE; i < s->n_page; i++)
        for (int c = 0; c < N_KV_CLASS; c++)
            if (s->page[c][i]) put_page(s, c, i, NULL);
    s->n_kept = s->n < n + s->n_kept ? n + s->n_kept - s->n : 0;
    s->n = n;
    if (s->n_saved > n) s->n_saved = 0;
    if (s->n_back > n) s->n_back = 0;
    if (s->n_published > n) s->n_published = 0;
    if (!n) s->window_from = 0;
}

/* A page that may be written: a new one, or a copy of what is shared. */
static bool own_page(struct seq *s, int class, uint32_t i)
{
    struct kv_page *old = s->page[class][i];
    if (!s->layout->bytes[class] || (old && old->refs == 1)) return true;
    struct kv_page *page = kv_take(s->pool, s->layout, class);
    if (!page) return false;
    if (old) memcpy(page->data, old->data, s->layout->bytes[class]);
    put_page(s, class, i, page);
    return true;
}

static bool own_state(struct seq *s)
{
    if (s->state || !has_state(s)) return true;
    s->state = kv_take(s->pool, s->layout, KV_STATE);
    if (s->state) s->view.state = (float *)(void *)s->state->data;
    return s->state != NULL;
}

static void drop_saved(struct seq *s)
{
    kv_drop(s->pool, s->saved);
    s->saved = NULL;
    s->n_saved = 0;
}

/* part: also the last page, when it is not full; nothing will be added to it. */
static void publish(struct seq *s, bool part)
{
    struct prefix_tree *t = s->pool->tree;
    if (s->alone || !t || !s->n) return;
    struct prefix_node *x = prefix_root(t, &s->key), *last = NULL;
    for (uint32_t i = 0; x && i * KV_PAGE < s->n; i++) {
        uint32_t n = s->n - i * KV_PAGE < KV_PAGE ? s->n - i * KV_PAGE : KV_PAGE;
        if (n < KV_PAGE && (!part || has_state(s))) break;    /* no state can be there */
        x = prefix_child(t, x, s->ids + i * KV_PAGE, n);
        if (!x) break;
        last = x;
        for (int c = 0; c < N_KV_CLASS; c++) {
            prefix_keep(t, x, c, s->page[c][i]);
            /* Two that have evaluated the same need only one of the pages. */
            if (n < KV_PAGE || !x->page[c] || !s->page[c][i] || x->page[c] == s->page[c][i]) continue;
            kv_share(x->page[c]);
            put_page(s, c, i, x->page[c]);
        }
        if (s->n_saved && s->n_saved == (i + 1) * KV_PAGE) prefix_keep(t, x, KV_STATE, s->saved);
    }
    s->n_published = s->n_saved;
    if (last) prefix_touch(t, last);
}

void seq_publish(struct seq *s)
{
    lock_take(&s->pool->lock);
    publish(s, false);
    lock_give(&s->pool->lock);
}

void seq_empty(struct seq *s)
{
    lock_take(&s->pool->lock);
    publish(s, true);
    cut(s, 0);
    drop_saved(s);
    kv_drop(s->pool, s->state);
    kv_drop(s->pool, s->back);
    s->state = s->back = NULL;
    s->view.state = NULL;
    lock_give(&s->pool->lock);
}

void seq_release(struct seq *s)
{
    if (s->layout && s->page[0] && s->page[1]) seq_empty(s);
    for (int c = 0; c < N_KV_CLASS; c++) {
        mem_free(s->page[c]);
        mem_free(s->data[c]);
    }
    mem_free(s->ids);
    mem_free(s->kept);
    *s = (struct seq){ 0 };
}

/* ---- beginning ---- */

/* How many of the first n of its own tokens can be gone on from, where states count by the one that is *state. */
static uint32_t reachable(const struct seq *s, uint32_t n, const struct kv_page **state)
{
    *state = s->state;
    if (n == s->n) return n;
    if (has_state(s)) {
        const bool saved = s->n_saved <= n && (s->n_saved > s->n_back || s->n_back > n);
        *state = saved ? s->saved : s->back;
        n = saved ? s->n_saved : s->n_back <= n ? s->n_back : 0;
    }
    return s->layout->bytes[KV_WINDOW] && kv_window_page(s->pool->graph, n) < s->window_from ? 0 : n;
}

/* Goes back to what was found reachable. */
static void go_back(struct seq *s, uint32_t n, const struct kv_page *state)
{
    if (n && state != s->state) memcpy(s->state->data, state->data, s->layout->bytes[KV_STATE]);
    cut(s, n);
}

bool seq_drop(struct seq *s, uint32_t n)
{
    const struct kv_page *state;
    const uint32_t to = s->n - n, at = reachable(s, to, &state);
    if (!n) return true;
    if (has_state(s) ? !s->n_back || at < s->n_back : at != to) return false;
    lock_take(&s->pool->lock);
    go_back(s, at, state);
    lock_give(&s->pool->lock);
    return true;
}

/* The pages of what was found take the place of its own. */
static bool adopt(struct seq *s, const struct prefix_hit *hit, const int32_t *ids)
{
    uint32_t pages = (hit->n + KV_PAGE - 1) / KV_PAGE, i = pages, from = kv_window_page(s->pool->graph, hit->n);
    cut(s, 0);
    struct prefix_node *x = hit->part ? hit->part : hit->node;
    struct kv_page *state = x->page[KV_STATE];
    for (; i-- > 0; x = x->parent)
        for (int c = 0; c < N_KV_CLASS; c++) {
            if (!x->page[c] || (c == KV_WINDOW && i < from)) continue;
            kv_share(x->page[c]);
            put_page(s, c, i, x->page[c]);
        }
    s->window_from = from;
    s->n = hit->n;
    memcpy(s->ids, ids, hit->n * sizeof *ids);
    if (has_state(s)) {
        if (!own_state(s)) return false;
        memcpy(s->state->data, state->data, s->layout->bytes[KV_STATE]);
        drop_saved(s);
        kv_share(state);
        s->saved = state;
        s->n_saved = s->n_published = hit->n;
    }
    if (hit->n % KV_PAGE == 0) return true;
    return own_page(s, KV_FULL, pages - 1) && own_page(s, KV_WINDOW, pages - 1);
}

/* The state of the last token is only known once that was evaluated again. */
static void step_back(struct seq *s)
{
    if (s->kept && s->n && !s->n_kept && !has_state(s) && !s->layout->bytes[KV_WINDOW]) cut(s, s->n - 1);
}

int seq_begin(struct seq *s, const int32_t *ids, uint32_t keep, struct err *err)
{
    uint32_t common = 0;
    while (common < s->n && common < keep && s->ids[common] == ids[common]) common++;
    if (common == s->n && common == keep) return 0;
    lock_take(&s->pool->lock);
    struct prefix_hit hit = { 0 };
    const struct kv_page *state;
    uint32_t own = reachable(s, common, &state);
    if (own < s->n) publish(s, true);
    if (!s->alone && s->pool->tree) hit = prefix_find(s->pool->tree, &s->key, ids, keep);
    bool good = true;
    if (hit.n > own) {
        good = adopt(s, &hit, ids);
        if (!good) cut(s, 0);
    } else {
        go_back(s, own, state);
    }
    if (good) step_back(s);
    lock_give(&s->pool->lock);
    return good ? 0 : no_pages(s, err);
}

/* ---- growing ---- */

/* The next text often leaves this one near its end. */
enum { SAVE_BEFORE_END = 16 };

uint32_t seq_save_at(const struct seq *s, uint32_t n)
{
    return has_state(s) && n > SAVE_BEFORE_END ? (n - SAVE_BEFORE_END) / KV_PAGE * KV_PAGE : 0;
}

static bool back_room(struct seq *s)
{
    if (!s->back && has_state(s)) s->back = kv_take(s->pool, s->layout, KV_STATE);
    return s->back || !has_state(s);
}

bool seq_back_room(struct seq *s)
{
    lock_take(&s->pool->lock);
    bool there = back_room(s);
    lock_give(&s->pool->lock);
    return there;
}

/* The i-th state to be kept of the next tokens goes to this page. */
static void keep_state(struct seq *s, int i, const struct kv_page *page, uint32_t at)
{
    s->view.saved[i] = page ? (float *)(void *)page->data : NULL;
    s->view.save_at[i] = page ? at : 0;
}

/* Where the states of the next T tokens are kept. */
static void keep_states(struct seq *s, uint32_t T, struct seq_places at)
{
    keep_state(s, 0, NULL, 0);
    keep_state(s, 1, NULL, 0);
    if (at.saved <= s->n || at.saved > s->n + T) at.saved = s->alone ? 0 : (s->n + T) / KV_PAGE * KV_PAGE;
    if (at.saved > s->n) {
        /* A state that the cache has is not written over. Without memory for another, none is saved. */
        if (s->saved && s->saved->refs > 1) drop_saved(s);
        if (!s->saved) s->saved = kv_take(s->pool, s->layout, KV_STATE);
        s->n_saved = 0;
        keep_state(s, 0, s->saved, at.saved);
    }
    if (at.back > s->n && at.back <= s->n + T && back_room(s)) {
        s->n_back = 0;
        keep_state(s, 1, s->back, at.back);
    }
}

int seq_room(struct seq *s, uint32_t T, const struct seq_places *at, struct err *err)
{
    s->view.before = s->n_kept > 0;
    if (s->kept && s->n && !s->n_kept && has_state(s)) {          /* page and all are new behind a saved state */
        const uint32_t width = s->pool->graph->n_kept;
        memset(s->kept + (size_t)((s->n - 1) % KEPT_ROWS) * width, 0, width * sizeof *s->kept);
        s->view.before = true;
    }
    lock_take(&s->pool->lock);
    bool good = own_state(s);
    for (uint32_t i = s->n / KV_PAGE; good && i * KV_PAGE < s->n + T; i++)
        good = own_page(s, KV_FULL, i) && own_page(s, KV_WINDOW, i);
    if (good && at && has_state(s)) keep_states(s, T, *at);
    lock_give(&s->pool->lock);
    return good ? 0 : no_pages(s, err);
}

void seq_advance(struct seq *s, const int32_t *ids, uint32_t T)
{
    memmove(s->ids + s->n, ids, T * sizeof *ids);
    s->n += T;
    if (s->kept) s->n_kept = s->n_kept + T < KEPT_ROWS / 2 ? s->n_kept + T : KEPT_ROWS / 2;    /* the others are for guesses */
    if (s->view.save_at[0]) s->n_saved = (uint32_t)s->view.save_at[0];
    if (s->view.save_at[1]) s->n_back = (uint32_t)s->view.save_at[1];
    s->view.save_at[0] = s->view.save_at[1] = 0;
    /* A page more than needed, so that a step back stays possible. */
    uint32_t from = s->layout->bytes[KV_WINDOW] && s->n > KV_PAGE ? kv_window_page(s->pool->graph, s->n - KV_PAGE) : 0;
    if (from <= s->window_from) return;
    lock_take(&s->pool->lock);
    for (; s->window_from < from; s->window_from++)
        if (s->page[KV_WINDOW][s->window_from]) put_page(s, KV_WINDOW, s->window_from, NULL);
    lock_give(&s->pool->lock);
}

int seq_fork(struct seq *to, const struct seq *from, struct err *err)
{
    lock_take(&to->pool->lock);
    bool good = own_state(to);
    for (uint32_t i = 0; good && i * KV_PAGE < from->n; i++)
        for (int c = 0; c < N_KV_CLASS; c++) {
            if (!from->page[c][i]) continue;
            kv_share(from->page[c][i]);
            put_page(to, c, i, from->page[c][i]);
        }
    if (good) {
        memcpy(to->ids, from->ids, from->n * sizeof *from->ids);
        to->n = from->n;
        to->window_from = from->window_from;
        to->n_kept = from->n_kept;
        if (to->kept) memcpy(to->kept, from->kept, (size_t)KEPT_ROWS * to->pool->graph->n_kept * sizeof *to->kept);
        if (has_state(to)) memcpy(to->state->data, from->state->data, from->layout->bytes[KV_STATE]);
    }
    lock_give(&to->pool->lock);
    return good ? 0 : no_pages(to, err);
}

int seq_fill(struct seq *s, uint32_t n, uint32_t window_from, uint32_t n_saved, struct err *err)
{
    bool good = true;
    lock_take(&s->pool->lock);
    for (uint32_t i = 0; good && i * KV_PAGE < n; i++)
        good = own_page(s, KV_FULL, i) && (i < window_from || own_page(s, KV_WINDOW, i));
    if (good && n_saved) good = (s->saved = kv_take(s->pool, s->layout, KV_STATE)) != NULL;
    lock_give(&s->pool->lock);
    if (!good) return no_pages(s, err);
    s->n = n;
    s->window_from = window_from;
    s->n_saved = n_saved;
    return 0;
}
