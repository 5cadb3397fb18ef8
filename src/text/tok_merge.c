/* tok_merge.c - merges neighbouring symbols: always the pair of lowest rank, the leftmost among equals.
 *
 * Few symbols: the ranks of all pairs lie in an array and the smallest is searched for each merge.
 * Many symbols: a doubly linked list; each pair that can merge is also in the bin of its rank, a doubly linked list
 * ordered by position.  Bins with something in them are in a heap of ranks.  In a trained vocabulary merging makes only
 * pairs of higher rank, so each bin is sorted at most once, when its turn comes, and all is linear but for the heap of bins. */
#include <string.h>

#include "base/mem.h"
#include "base/sort.h"
#include "text/tok.h"

enum { FEW = 96 };

struct node {
    uint32_t sym, prev, next;
    uint32_t rank;                  /* of the pair (this, next); TOK_NONE: no such pair, or the node is gone */
    uint32_t bin_prev, bin_next;
};

struct bin { uint32_t head, tail, dirty, queued; };

struct merge_work {
    uint32_t *sym;
    size_t cap_sym;
    struct node *node;
    size_t cap_node;
    struct bin *bin;                /* by rank, all empty between calls */
    uint32_t *heap;
    size_t n_heap, cap_heap;
    uint64_t *key;
    size_t cap_key;
};

struct merge_work *merge_work_new(void) { return mem_new(1, sizeof(struct merge_work)); }

void merge_work_free(struct merge_work *w)
{
    if (!w) return;
    mem_free(w->sym);
    mem_free(w->node);
    mem_free(w->bin);
    mem_free(w->heap);
    mem_free(w->key);
    mem_free(w);
}

/* Room for n elements; the old ones are lost. */
static void *room(void *old, size_t n, size_t size, size_t *cap)
{
    if (n <= *cap) return old;
    size_t more = n + n / 4 + 64;
    mem_free(old);
    void *p = mem_new(more, size);
    *cap = p ? more : 0;
    return p;
}

uint32_t *merge_symbols(struct merge_work *w, size_t n)
{
    if (n >= UINT32_MAX / 2) return NULL;
    return w->sym = room(w->sym, n + 1, sizeof *w->sym, &w->cap_sym);
}

/* ---- ranks of pairs ---- */

static uint32_t pair_by_id(const struct tokenizer *t, uint32_t a, uint32_t b)
{
    /* no list of merges: the rank of a pair is the id of the token that it spells */
    if (a >= t->n_sym || b >= t->n_sym) return TOK_NONE;
    struct gguf_str x = t->text[a], y = t->text[b];
    char s[256];
    if (x.n + y.n > sizeof s || x.n + y.n > t->max_text) return TOK_NONE;
    memcpy(s, x.s, x.n);
    memcpy(s + x.n, y.s, y.n);
    uint32_t id = tok_find(t, s, x.n + y.n);
    return id < (uint32_t)t->n_vocab ? id : TOK_NONE;
}

/* The rank of symbols a and b; `after` is the symbol behind them, which for SPM is where b ends. */
static uint32_t pair_rank(const struct merge_job *job, uint32_t a, uint32_t b, uint32_t after)
{
    const struct tokenizer *t = job->t;
    if (t->model == TOK_SPM) {
        if (after - a > t->max_text) return TOK_NONE;
        uint32_t id = tok_find(t, job->text + a, after - a);
        return id == TOK_NONE ? TOK_NONE : t->rank_of[id];
    }
    return t->merges.n ? merge_find(&t->merges, a, b) : pair_by_id(t, a, b);
}

static uint32_t merged(const struct tokenizer *t, uint32_t left, uint32_t rank)
{
    return t->model == TOK_SPM ? left : t->merges.n ? t->merges.result[rank] : rank;
}

/* ---- few symbols ---- */

static void merge_few(const struct merge_job *job, uint32_t *s, size_t *count)
{
    uint32_t rank[FEW];
    size_t n = *count;
    for (size_t i = 0; i + 1 < n; i++) rank[i] = pair_rank(job, s[i], s[i + 1], s[i + 2]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == TOK_NONE) break;
        s[best] = merged(job->t, s[best], rank[best]);
        memmove(s + best + 1, s + best + 2, (n - best - 1) * sizeof *s);      /* with the end behind the last */
        n--;
        memmove(rank + best, rank + best + 1, (n - 1 - best) * sizeof *rank);
        if (best + 1 < n) rank[best] = pair_rank(job, s[best], s[best + 1], s[best + 2]);
        if (best) rank[best - 1] = pair_rank(job, s[best - 1], s[best], s[best + 1]);
    }
    *count = n;
}

/* ---- many symbols ---- */

static bool heap_push(struct merge_work *w, uint32_t rank)
{
    if (w->n_heap == w->cap_heap) {
        size_t cap = w->cap_heap ? w->cap_heap * 2 : 256;
        uint32_t *h = mem_resize(w->heap, cap, sizeof *h);
        if (!h) return false;
        w->heap = h;
        w->cap_heap = cap;
    }
    size_t i = w->n_heap++;
    for (; i && w->heap[(i - 1) / 2] > rank; i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = rank;
    return true;
}

static void heap_pop(struct merge_work *w)
{
    uint32_t *h = w->heap, last = h[--w->n_heap];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < w->n_heap; i = k) {
        if (k + 1 < w->n_heap && h[k + 1] < h[k]) k++;
        if (h[k] >= last) break;
        h[i] = h[k];
    }
    if (w->n_heap) h[i] = last;
}

/* Puts `at` behind entry `prev` of the bin, TOK_NONE: in front. */
static void bin_link(struct merge_work *w, struct bin *b, uint32_t prev, uint32_t at)
{
    uint32_t next = prev == TOK_NONE ? b->head : w->node[prev].bin_next;
    w->node[at].bin_prev = prev;
    w->node[at].bin_next = next;
    if (prev == TOK_NONE) b->head = at;
    else w->node[prev].bin_next = at;
    if (next == TOK_NONE) b->tail = at;
    else w->node[next].bin_prev = at;
}

/* New pairs appear in ascending order, but for two neighbours at a time; and where different pairs share a rank (equal
 * scores), at the front of the bin that is being emptied.  All these places are near an end.  Anywhere else the entry
 * goes to the end and the bin is sorted when its turn comes. */
static bool bin_add(struct merge_work *w, uint32_t at, uint32_t rank)
{
    struct bin *b = &w->bin[rank];
    w->node[at].rank = rank;
    uint32_t head = b->head, tail = b->tail;
    if (tail == TOK_NONE || tail < at) bin_link(w, b, tail, at);
    else if (b->dirty) bin_link(w, b, tail, at);
    else if (at < head) bin_link(w, b, TOK_NONE, at);
    else if (w->node[tail].bin_prev < at) bin_link(w, b, w->node[tail].bin_prev, at);
    else if (w->node[head].bin_next > at) bin_link(w, b, head, at);
    else {
        bin_link(w, b, tail, at);
        b->dirty = 1;
    }
    if (b->queued) return true;
    b->queued = 1;
    return heap_push(w, rank);
}

static void bin_remove(struct merge_work *w, uint32_t at)
{
    struct node *x = &w->node[at];
    if (x->rank == TOK_NONE) return;
    struct bin *b = &w->bin[x->rank];
    if (x->bin_prev == TOK_NONE) b->head = x->bin_next;
    else w->node[x->bin_prev].bin_next = x->bin_next;
    if (x->bin_next == TOK_NONE) b->tail = x->bin_prev;
    else w->node[x->bin_next].bin_prev = x->bin_prev;
    x->rank = TOK_NONE;
}

static bool bin_sort(struct merge_work *w, struct bin *b)
{
    size_t n = 0;
    for (uint32_t i = b->head; i != TOK_NONE; i = w->node[i].bin_next) n++;
    w->key = room(w->key, 2 * n, sizeof *w->key, &w->cap_key);
    if (!w->key) return false;
    n = 0;
    for (uint32_t i = b->head; i != TOK_NONE; i = w->node[i].bin_next) w->key[n++] = i;
    sort_u64(w->key, w->key + n, n);
    uint32_t prev = TOK_NONE;
    b->head = n ? (uint32_t)w->key[0] : TOK_NONE;
    for (size_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)w->key[i];
        w->node[at].bin_prev = prev;
        w->node[at].bin_next = i + 1 < n ? (uint32_t)w->key[i + 1] : TOK_NONE;
        prev = at;
    }
    b->tail = prev;
    b->dirty = 0;
    return true;
}

/* Gives the pair that begins at node `at` its rank and its place in a bin. */
static bool pair_up(const struct merge_job *job, uint32_t at, uint32_t end)
{
    struct merge_work *w = job->work;
    bin_remove(w, at);
    uint32_t next = w->node[at].next;
    if (next == TOK_NONE) return true;
    uint32_t after = w->node[next].next;
    uint32_t rank = pair_rank(job, w->node[at].sym, w->node[next].sym, after == TOK_NONE ? end : w->node[after].sym);
    return rank == TOK_NONE || bin_add(w, at, rank);
}

static bool merge_at(const struct merge_job *job, uint32_t at, uint32_t end)
{
    struct merge_work *w = job->work;
    struct node *x = &w->node[at];
    uint32_t gone = x->next, rank = x->rank;
    bin_remove(w, at);
    bin_remove(w, gone);
    x->sym = merged(job->t, x->sym, rank);
    x->next = w->node[gone].next;
    if (x->next != TOK_NONE) w->node[x->next].prev = at;
    return (x->prev == TOK_NONE || pair_up(job, x->prev, end)) && pair_up(job, at, end);
}

static bool make_room(struct merge_work *w, size_t n, uint32_t n_ranks)
{
    w->node = room(w->node, n, sizeof *w->node, &w->cap_node);
    if (!w->bin) {
        w->bin = mem_new_array(struct bin, (size_t)n_ranks + 1);
        for (uint32_t i = 0; w->bin && i < n_ranks; i++) w->bin[i] = (struct bin){ TOK_NONE, TOK_NONE, 0, 0 };
    }
    return w->node && w->bin;
}

static bool merge_many(const struct merge_job *job, uint32_t *s, size_t *count)
{
    struct merge_work *w = job->work;
    uint32_t n = (uint32_t)*count, end = s[n];
    if (!make_room(w, n, job->t->n_ranks)) return false;
    for (uint32_t i = 0; i < n; i++)
        w->node[i] = (struct node){ s[i], i ? i - 1 : TOK_NONE, i + 1 < n ? i + 1 : TOK_NONE, TOK_NONE, 0, 0 };
    for (uint32_t i = 0; i + 1 < n; i++)
        if (!pair_up(job, i, end)) return false;
    while (w->n_heap) {
        uint32_t rank = w->heap[0];
        struct bin *b = &w->bin[rank];
        if (b->head == TOK_NONE) {
            b->queued = 0;
            heap_pop(w);
            continue;
        }
        if (b->dirty && !bin_sort(w, b)) return false;
        if (!merge_at(job, b->head, end)) return false;
    }
    size_t k = 0;
    for (uint32_t i = 0; i != TOK_NONE; i = w->node[i].next) s[k++] = w->node[i].sym;
    s[k] = end;
    *count = k;
    return true;
}

bool merge_run(const struct merge_job *job, uint32_t *sym, size_t *n)
{
    if (*n < 2) return true;
    if (*n > FEW) return merge_many(job, sym, n);
    merge_few(job, sym, n);
    return true;
}
