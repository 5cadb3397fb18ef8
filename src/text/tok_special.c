/* tok_special.c - cuts special tokens out of text.
 *
 * The rule: candidates in order of rank (longest text first, then lower id); each cuts every occurrence, left to right,
 * out of what is still text.  So an occurrence is taken exactly when it overlaps none that comes earlier in the order
 * (rank, position).  Overlapping occurrences form clusters that do not touch each other, so the text is read once from
 * left to right: an occurrence that nothing inside it can precede is taken at once, and a cluster is settled by
 * sorting its occurrences. */
#include <string.h>

#include "base/mem.h"
#include "base/sort.h"
#include "text/tok.h"

#define NO_RANK UINT32_MAX

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool has_blank(struct gguf_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (blank(s.s[i])) return true;
    return false;
}

static bool candidate(const struct tokenizer *t, int32_t id)
{
    return (t->flag[id] & (TF_HIDDEN | TF_PLAIN)) && t->text[id].n;
}

/* Candidates sorted by rank into s->id. */
static bool rank_candidates(const struct tokenizer *t, struct special *s)
{
    uint64_t *key = mem_new_array(uint64_t, 2 * (size_t)s->n + 1);
    s->id = mem_new_array(int32_t, (size_t)s->n + 1);
    if (!key || !s->id) {
        mem_free(key);
        return false;
    }
    uint32_t n = 0;
    for (int32_t i = 0; i < t->n_vocab; i++)
        if (candidate(t, i)) key[n++] = (uint64_t)(UINT32_MAX - (uint32_t)t->text[i].n) << 32 | (uint32_t)i;
    sort_u64(key, key + n, n);
    for (uint32_t r = 0; r < n; r++) s->id[r] = (int32_t)(uint32_t)key[r];
    mem_free(key);
    return true;
}

int special_open(struct tokenizer *t, struct err *err)
{
    struct special *s = &t->special;
    size_t bytes = 0;
    bool strips = false, blanks = false;
    for (int32_t i = 0; i < t->n_vocab; i++) {
        if (!candidate(t, i)) continue;
        s->n++;
        bytes += t->text[i].n;
        strips |= (t->flag[i] & (TF_LSTRIP | TF_RSTRIP)) != 0;
        blanks |= has_blank(t->text[i]);
    }
    s->strips_space = strips && blanks;
    memset(s->first, 0xff, sizeof s->first);
    if (bytes >= 1u << 24) return err_set(err, ERR_LIMIT, "special tokens have %zu bytes of text, more than 16 MB", bytes);
    if (!rank_candidates(t, s) || !trie_init(&s->trie, bytes)) return err_set(err, ERR_NOMEM, "out of memory");
    for (uint32_t r = s->n; r--;) {                     /* backwards: of equal texts the lower id stays */
        struct gguf_str x = t->text[s->id[r]];
        if (!trie_put(&s->trie, x.s, x.n, (int32_t)r)) return err_set(err, ERR_NOMEM, "out of memory");
        s->first[1][(uint8_t)x.s[0]] = r;
        if (t->flag[s->id[r]] & TF_PLAIN) s->first[0][(uint8_t)x.s[0]] = r;
    }
    return 0;
}

void special_close(struct special *s)
{
    trie_release(&s->trie);
    mem_free(s->id);
}

/* ---- splitting ---- */

struct cut { size_t at; uint32_t rank; };

struct split {
    const struct tokenizer *t;
    const struct special_text *x;
    special_piece *piece;
    void *arg;
    size_t done;                        /* everything before it has been passed on */
};

/* Bytes from `at` to the next barrier inside the text. */
static size_t clear_bytes(const struct special_text *x, size_t at)
{
    size_t lo = 0, hi = x->n_bar;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (x->bar[mid] > at) hi = mid;
        else lo = mid + 1;
    }
    return lo < x->n_bar ? x->bar[lo] - at : SIZE_MAX;
}

/* The longest candidate at `at` that has at most `room` bytes. */
static uint32_t longest(struct split *p, size_t at, size_t room)
{
    const struct special *s = &p->t->special;
    const struct special_text *x = p->x;
    if (room > x->n - at) room = x->n - at;
    if (!room || s->first[x->parse][(uint8_t)x->s[at]] == NO_RANK) return NO_RANK;
    size_t clear = clear_bytes(x, at);
    uint32_t node = 0, best = NO_RANK;
    for (size_t i = 0; i < room && (node = trie_step(&s->trie, node, (uint8_t)x->s[at + i]));) {
        i++;
        int32_t rank = s->trie.leaf[node];
        if (rank < 0) continue;
        unsigned flag = p->t->flag[s->id[rank]];
        if ((x->parse || (flag & TF_PLAIN)) && (i <= clear || !(flag & TF_GUARD))) best = (uint32_t)rank;
    }
    return best;
}

static size_t rank_len(const struct split *p, uint32_t rank) { return p->t->text[p->t->special.id[rank]].n; }

/* Passes on the text before an occurrence, and the token. */
static void take(struct split *p, size_t at, uint32_t rank)
{
    const struct special_text *x = p->x;
    int32_t id = p->t->special.id[rank];
    size_t end = at, next = at + rank_len(p, rank);
    if (p->t->flag[id] & TF_LSTRIP)
        while (end > p->done && blank(x->s[end - 1])) end--;
    if (end > p->done) p->piece(p->arg, x->s + p->done, end - p->done, -1);
    p->piece(p->arg, x->s + at, next - at, id);
    p->done = next;
}

/* White space that a token swallows on its right, up to the next token. */
static void strip_right(struct split *p, uint32_t rank, size_t limit)
{
    if (!(p->t->flag[p->t->special.id[rank]] & TF_RSTRIP)) return;
    while (p->done < limit && blank(p->x->s[p->done])) p->done++;
}

/* Whether nothing that begins inside the occurrence can come before it in the order. */
static bool settled(const struct split *p, size_t at, uint32_t rank)
{
    const uint32_t *first = p->t->special.first[p->x->parse];
    size_t len = rank_len(p, rank);
    for (size_t i = 1; i < len; i++)
        if (first[(uint8_t)p->x->s[at + i]] < rank) return false;
    return true;
}

/* ---- clusters ---- */

struct cluster {
    size_t lo, hi;
    uint64_t *key;                      /* rank << 32 | position - lo, sorted */
    size_t n, cap;
    struct { uint64_t *key; size_t n, cap; } late;   /* heap of occurrences that had to become shorter */
    uint8_t *taken;                     /* by byte */
};

static bool grow(uint64_t **v, size_t n, size_t *cap)
{
    if (n < *cap) return true;
    size_t more = *cap ? *cap * 2 : 64;
    uint64_t *d = mem_resize(*v, more, sizeof *d);
    if (!d) return false;
    *v = d;
    *cap = more;
    return true;
}

static bool late_push(struct cluster *c, uint64_t key)
{
    if (!grow(&c->late.key, c->late.n, &c->late.cap)) return false;
    size_t i = c->late.n++;
    for (; i && c->late.key[(i - 1) / 2] > key; i = (i - 1) / 2) c->late.key[i] = c->late.key[(i - 1) / 2];
    c->late.key[i] = key;
    return true;
}

static uint64_t late_pop(struct cluster *c)
{
    uint64_t *h = c->late.key, top = h[0], last = h[--c->late.n];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < c->late.n; i = k) {
        if (k + 1 < c->late.n && h[k + 1] < h[k]) k++;
        if (h[k] >= last) break;
        h[i] = h[k];
    }
    if (c->late.n) h[i] = last;
    return top;
}

/* Marks the bytes of an occurrence, and the white space it swallows inside the cluster. */
static void mark(struct split *p, struct cluster *c, size_t at, uint32_t rank)
{
    unsigned flag = p->t->flag[p->t->special.id[rank]];
    size_t end = at + rank_len(p, rank), n = c->hi - c->lo;
    memset(c->taken + at, 1, end - at);
    if (flag & TF_LSTRIP)
        for (size_t i = at; i-- && !c->taken[i] && blank(p->x->s[c->lo + i]);) c->taken[i] = 1;
    if (flag & TF_RSTRIP)
        for (size_t i = end; i < n && !c->taken[i] && blank(p->x->s[c->lo + i]); i++) c->taken[i] = 1;
}

/* Takes the occurrences of the cluster in order; those taken are left in c->key as position << 32 | rank, sorted. */
static bool settle(struct split *p, struct cluster *c)
{
    size_t n_taken = 0, next = 0;
    while (next < c->n || c->late.n) {
        bool late = next == c->n || (c->late.n && c->late.key[0] < c->key[next]);
        uint64_t key = late ? late_pop(c) : c->key[next++];
        size_t at = (uint32_t)key;
        uint32_t rank = (uint32_t)(key >> 32);
        if (c->taken[at]) continue;
        const uint8_t *block = memchr(c->taken + at, 1, rank_len(p, rank));
        if (block) {
            uint32_t shorter = longest(p, c->lo + at, (size_t)(block - (c->taken + at)));
            if (shorter != NO_RANK && !late_push(c, (uint64_t)shorter << 32 | at)) return false;
            continue;
        }
        mark(p, c, at, rank);
        /* n_taken <= next holds while sorted keys are read; late ones replace keys that were read before */
        c->key[n_taken++] = (uint64_t)at << 32 | rank;
    }
    c->n = n_taken;
    uint64_t *tmp = mem_new_array(uint64_t, n_taken + 1);
    if (tmp) sort_u64(c->key, tmp, n_taken);
    mem_free(tmp);
    return tmp != NULL;
}

/* Collects the cluster that begins at lo, where `rank` occurs; with all set it is the whole rest of the text. */
static bool collect(struct split *p, struct cluster *c, uint32_t rank, bool all)
{
    const uint32_t *first = p->t->special.first[p->x->parse];
    bool sorted = true;
    c->hi = all ? p->x->n : c->lo + rank_len(p, rank);
    for (size_t at = c->lo; at < c->hi; at++) {
        if (first[(uint8_t)p->x->s[at]] == NO_RANK) continue;
        uint32_t r = longest(p, at, SIZE_MAX);
        if (r == NO_RANK) continue;
        if (at + rank_len(p, r) > c->hi) c->hi = at + rank_len(p, r);
        if (at - c->lo > UINT32_MAX - 1 || !grow(&c->key, c->n, &c->cap)) return false;
        c->key[c->n] = (uint64_t)r << 32 | (uint32_t)(at - c->lo);
        sorted &= !c->n || c->key[c->n - 1] < c->key[c->n];
        c->n++;
    }
    c->taken = mem_new(c->hi - c->lo + 1, 1);
    uint64_t *tmp = sorted ? NULL : mem_new_array(uint64_t, c->n);
    if (tmp) sort_u64(c->key, tmp, c->n);
    mem_free(tmp);
    return c->taken && (sorted || tmp);
}

/* *at moves from the beginning of the cluster to what follows it. */
static bool run_cluster(struct split *p, size_t *at, uint32_t rank, bool all)
{
    struct cluster c = { .lo = *at };
    bool ok = collect(p, &c, rank, all) && settle(p, &c);
    for (size_t i = 0; ok && i < c.n; i++) {
        uint32_t r = (uint32_t)c.key[i];
        size_t limit = i + 1 < c.n ? c.lo + (size_t)(c.key[i + 1] >> 32) : c.hi;
        take(p, c.lo + (size_t)(c.key[i] >> 32), r);
        strip_right(p, r, limit);
        if (p->done == c.hi && i + 1 == c.n) strip_right(p, r, p->x->n);
    }
    *at = p->done > c.hi ? p->done : c.hi;
    mem_free(c.key);
    mem_free(c.late.key);
    mem_free(c.taken);
    return ok;
}

bool special_split(const struct tokenizer *t, const struct special_text *x, special_piece *piece, void *arg)
{
    struct split p = { .t = t, .x = x, .piece = piece, .arg = arg };
    const uint32_t *first = t->special.first[x->parse];
    bool ok = true;
    size_t at = 0;
    if (t->special.strips_space && x->n) ok = run_cluster(&p, &at, 0, true);
    while (ok && at < x->n) {
        uint32_t rank = first[(uint8_t)x->s[at]] == NO_RANK ? NO_RANK : longest(&p, at, SIZE_MAX);
        if (rank == NO_RANK) {
            at++;
        } else if (settled(&p, at, rank)) {
            take(&p, at, rank);
            strip_right(&p, rank, x->n);
            at = p.done;
        } else {
            ok = run_cluster(&p, &at, rank, false);
        }
    }
    if (ok && p.done < x->n) piece(arg, x->s + p.done, x->n - p.done, -1);
    return ok;
}
