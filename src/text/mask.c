#include "text/mask.h"

#include <string.h>

#include "base/mem.h"

enum {
    FEW = 40,                   /* subtrees of less than such a part of all tokens are walked */
    COST_FIND = 1, COST_FOLLOW = 15,        /* of a token in a list, about nanoseconds */
    COST_GOOD = 15, COST_BAD = 3            /* of a token that is walked over, or that a walk does not come to */
};

/* ---- plain text ---- */

/* The config to which every byte lo..hi leads from c; GRAM_NONE when they differ or none may come. */
static uint32_t all_lead(struct grun *r, uint32_t c, unsigned lo, unsigned hi)
{
    const uint8_t *class_of = r->g->class_of;
    uint32_t to = grun_byte(r, c, (uint8_t)lo);
    for (unsigned b = lo + 1; b <= hi; b++)
        if (class_of[b] != class_of[b - 1] && grun_byte(r, c, (uint8_t)b) != to) return GRAM_NONE;
    return to == GRUN_DEAD ? GRAM_NONE : to;
}

/* Where all characters that begin with this byte lead from c; GRAM_NONE when they differ. */
static uint32_t lead_to(struct grun *r, uint32_t c, unsigned first)
{
    unsigned lo = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80, hi = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    unsigned rest = first < 0xe0 ? 0 : first < 0xf0 ? 1 : 2;
    uint32_t to = grun_byte(r, c, (uint8_t)first);
    to = to == GRUN_DEAD ? GRAM_NONE : all_lead(r, to, lo, hi);
    for (; rest && to != GRAM_NONE; rest--) to = all_lead(r, to, 0x80, 0xbf);
    return to;
}

/* The chain goes to where most characters of the vocabulary's tokens lead. */
static void learn(struct grun *r, const struct vocab *v, uint32_t c)
{
    static const uint8_t likely[] = { 'a', 'e', 'A', '0', ' ', '-', 0xe4, 0xd0 };
    const uint8_t *class_of = r->g->class_of;
    uint32_t to[VOCAB_CLASSES], best = GRAM_NONE;
    uint64_t most = 0;
    for (unsigned b = 0; b < 128; b++) to[b] = grun_byte(r, c, (uint8_t)b);
    for (unsigned b = 128; b < VOCAB_CLASSES; b++) to[b] = GRAM_NONE;
    for (unsigned b = 0xc2; b <= 0xf4; b++) {
        bool alike = (b > 0xc2 && b < 0xe0) || (b > 0xe1 && b < 0xed), same = alike && class_of[b] == class_of[b - 1];
        to[vocab_class((uint8_t)b)] = same ? to[vocab_class((uint8_t)(b - 1))] : lead_to(r, c, b);
    }
    for (unsigned i = 0; i < sizeof likely; i++) {
        uint32_t t = to[vocab_class(likely[i])];
        uint64_t same = 0;
        if (t == GRUN_DEAD || t == GRAM_NONE || t == best) continue;
        for (unsigned b = 0; b < VOCAB_CLASSES; b++) same += to[b] == t ? 1 + v->weight[b] : 0;
        if (same > most) {
            most = same;
            best = t;
        }
    }
    struct gconfig *x = &r->config[c];
    x->known = true;
    x->chain = best;
    x->absorbs = (struct vocab_set){ { 0 } };
    for (unsigned b = 0; b < VOCAB_CLASSES && best != GRAM_NONE; b++)
        if (to[b] == best) vocab_set_add(&x->absorbs, b);
}

static struct vocab_set plain_of(struct masks *m, uint32_t c)
{
    if (!m->run->config[c].known) learn(m->run, m->v, c);
    return m->run->config[c].absorbs;
}

/* What is known of the next 2^k characters; NULL: no memory, or no plain text. */
static const struct gfar *far_of(struct masks *m, uint32_t c, unsigned k)
{
    struct grun *r = m->run;
    if (c == GRAM_NONE) return NULL;
    struct gfar *f = r->config[c].far;
    if (!f) {
        if (!(f = arena_new(&r->rows, struct gfar, 1))) return NULL;
        f->n = 1;
        f->set[0] = plain_of(m, c);
        f->to[0] = r->config[c].chain;
        r->config[c].far = f;
    }
    for (; f->n <= k; f->n++) {
        const struct gfar *next = far_of(m, f->to[f->n - 1], f->n - 1);
        f->to[f->n] = next ? next->to[f->n - 1] : GRAM_NONE;
        f->set[f->n] = (struct vocab_set){ { 0 } };
        for (unsigned w = 0; next && w < VOCAB_CLASSES / 64; w++)
            f->set[f->n].w[w] = f->set[f->n - 1].w[w] & next->set[f->n - 1].w[w];
    }
    return f;
}

/* Whether any n characters of this set can follow c, and are plain text there.  May say no of many, or near the end. */
static bool can_take(struct masks *m, uint32_t c, const struct vocab_set *s, unsigned n)
{
    const struct grun *r = m->run;
    unsigned k = 0;
    const struct vocab_set plain = plain_of(m, c);
    if (!vocab_set_within(s, &plain)) return false;
    while (1u << k < n) k++;
    if (r->config[c].chain == c) return true;                              /* for ever */
    const struct gfar *f = k < GFAR ? far_of(m, c, k) : NULL;
    return f && vocab_set_within(s, &f->set[k]);
}

/* ---- one token, and subtrees ---- */

static void put_ranks(const struct vocab *v, uint64_t *mask, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) mask_put(mask, v->order[i]);
}

/* Whether the token of this rank can follow: its bytes from `skip` on, from config c. */
static bool can_follow(struct masks *m, uint32_t c, uint32_t rank, unsigned skip)
{
    struct grun *r = m->run;
    const uint8_t *class_of = r->g->class_of, *p = m->v->bytes + m->v->at[m->v->order[rank]] + skip;
    const uint8_t *end = m->v->bytes + m->v->at[m->v->order[rank] + 1];
    for (; p < end; p++)
        if ((c = grun_class(r, c, class_of[*p])) == GRUN_DEAD) return false;
    return true;
}

/* Adds the tokens below a node whose further bytes can follow c. */
static void walk(struct masks *m, uint32_t c, uint32_t top, uint64_t *mask)
{
    struct grun *r = m->run;
    const struct vocab *v = m->v;
    const struct vocab_node *node = v->node;
    const uint8_t *class_of = r->g->class_of;
    const unsigned depth = node[top].depth;
    struct { uint32_t config; const uint32_t *row; } at[256];
    at[0].config = c;
    at[0].row = grun_row(r, c);
    for (uint32_t i = top + 1, end = node[top].end; i < end && !r->rc;) {
        const struct vocab_node *x = &node[i];
        unsigned up = x->depth - depth - 1;
        uint32_t to = at[up].row[class_of[x->byte]];
        if (to == GRAM_NONE) to = grun_step(r, at[up].config, class_of[x->byte]);
        if (to == GRUN_DEAD) {
            i = x->end;
            continue;
        }
        if (x->below != VOCAB_UNKNOWN && x->whole &&
            can_take(m, to, &v->set[x->below], (unsigned)(x->deepest - x->chars))) {
            put_ranks(v, mask, x->token, node[x->end].token);
            i = x->end;
            continue;
        }
        put_ranks(v, mask, x->token, node[i + 1].token);
        if (x->end > i + 1) {
            at[up + 1].config = to;
            at[up + 1].row = r->config[to].next;
            if (!at[up + 1].row && !(at[up + 1].row = grun_row(r, to))) return;
        }
        i++;
    }
}

/* ---- along the chain ---- */

/* What is below a node from which a character can begin. */
struct part { uint32_t config, node, lo, hi; };      /* ranks lo to hi - 1 */

/* The ranks of a part that have this character at this place. */
static const uint32_t *listed(const struct vocab *v, const struct part *p, unsigned place, unsigned class, const uint32_t **end)
{
    const uint32_t i = place * VOCAB_CLASSES + class, *a = v->place + v->begin[i], *z = v->place + v->begin[i + 1];
    if (p->node == v->largest) {
        *end = v->place + v->inner[2 * i + 1];
        return v->place + v->inner[2 * i];
    }
    *end = p->node ? vocab_from(a, z, p->hi) : z;
    return p->node ? vocab_from(a, z, p->lo) : a;
}

/* The config from which the character at each place comes, and the characters that are plain text at any place. */
struct chain { uint32_t at[VOCAB_NEAR]; unsigned first, end; struct vocab_set plain; };

static struct vocab_set not_in(const struct vocab_set *a, const struct vocab_set *b)
{
    return (struct vocab_set){ { a->w[0] & ~b->w[0], a->w[1] & ~b->w[1], a->w[2] & ~b->w[2] } };
}

/* Takes a class out of a set that is not empty. */
static int next_class(struct vocab_set *s)
{
    for (unsigned w = 0; w < VOCAB_CLASSES / 64; w++)
        if (s->w[w]) {
            unsigned bit = (unsigned)__builtin_ctzll(s->w[w]);
            s->w[w] &= s->w[w] - 1;
            return (int)(w * 64 + bit);
        }
    return -1;
}

/* How many tokens have this character at this place. */
static uint32_t how_many(const struct vocab *v, unsigned place, unsigned class)
{
    const uint32_t *begin = &v->begin[place * VOCAB_CLASSES + class];
    return begin[1] - begin[0];
}

static uint32_t how_many_of(const struct vocab *v, unsigned place, struct vocab_set s)
{
    uint32_t n = 0;
    for (int class; (class = next_class(&s)) >= 0;) n += how_many(v, place, (unsigned)class);
    return n;
}

static void find_chain(struct masks *m, uint32_t c, unsigned first, struct chain *chain)
{
    *chain = (struct chain){ .first = first, .end = first };
    while (chain->end < VOCAB_NEAR && c != GRAM_NONE) {
        struct vocab_set plain = plain_of(m, c);
        for (unsigned w = 0; w < VOCAB_CLASSES / 64; w++) chain->plain.w[w] |= plain.w[w];
        chain->at[chain->end++] = c;
        c = m->run->config[c].chain;
    }
}

/* Whether n tokens that begin with plain text are better found by their lists than by walking. */
static bool worth_it(struct masks *m, const struct part *p, const struct chain *chain, uint32_t n)
{
    struct grun *r = m->run;
    const struct vocab *v = m->v;
    const double share = (double)(p->hi - p->lo) / v->n_order, begun = (double)n / (p->hi - p->lo);
    double lists = 0, walk = 0, left = n;               /* left: tokens on the chain that are longer */
    uint32_t before = 0;
    for (unsigned k = chain->first; k < chain->end; k++) {
        const struct vocab_set plain = plain_of(m, chain->at[k]);
        struct vocab_set others = not_in(&v->present[k], &plain);
        const uint32_t *begin = &v->begin[k * VOCAB_CLASSES];
        const uint32_t all = begin[VOCAB_CLASSES] - begin[0], off = how_many_of(v, k, others);
        if (k > chain->first && before) {
            double on = left * all / before;
            walk += (left - on) * COST_GOOD;
            left = all ? on * (all - off) / all : 0;
            walk += (on - left) * COST_BAD;
        }
        before = all;
        for (int class; k > chain->first && (class = next_class(&others)) >= 0;) {
            double here = share * how_many(v, k, (unsigned)class);
            if (grun_byte(r, chain->at[k], vocab_first((unsigned)class)) != GRUN_DEAD)
                lists += here * (COST_FIND + COST_FOLLOW * begun);
            else if (vocab_set_has(&chain->plain, (unsigned)class)) lists += here * COST_FIND;
        }
    }
    return lists < walk + left * COST_GOOD;
}

/* Takes tokens that leave the chain out, or looks at each when something can follow there. */
static void leave_chain(struct masks *m, const struct part *p, const struct chain *chain, uint64_t *mask)
{
    struct grun *r = m->run;
    const struct vocab *v = m->v;
    const unsigned skip = v->node[p->node].depth;
    const struct vocab_set first = plain_of(m, p->config);
    for (unsigned k = chain->first; k < chain->end && !r->rc; k++) {
        const struct vocab_set plain = plain_of(m, chain->at[k]);
        struct vocab_set others = not_in(&v->present[k], &plain);
        for (int i; (i = next_class(&others)) >= 0;) {
            const unsigned class = (unsigned)i;
            const bool dead = k == chain->first || grun_byte(r, chain->at[k], vocab_first(class)) == GRUN_DEAD;
            if (dead && !vocab_set_has(&chain->plain, class)) continue;
            const uint32_t *end, *x = listed(v, p, k, class, &end);
            for (; dead && x < end; x++)
                if (!mask_has(m->seen, v->order[*x])) mask_take(mask, v->order[*x]);
            for (; x < end; x++) {
                int32_t id = v->order[*x];
                if (mask_has(m->seen, id) || !vocab_set_has(&first, vocab_class(v->bytes[v->at[id] + skip]))) continue;
                mask_put(m->seen, id);
                if (can_follow(m, p->config, *x, skip)) mask_put(mask, id);
                else mask_take(mask, id);
            }
        }
    }
    if (chain->end < VOCAB_NEAR) return;
    const uint32_t last = r->config[chain->at[VOCAB_NEAR - 1]].chain;
    for (uint32_t i = 0; i < v->n_longer && !r->rc; i++) {
        const struct vocab_long *x = &v->longer[i];
        int32_t id = v->order[x->rank];
        if (x->rank < p->lo || x->rank >= p->hi || mask_has(m->seen, id)) continue;
        if (mask_has(mask, id) && last != GRAM_NONE && can_take(m, last, &x->of, x->chars - VOCAB_NEAR)) continue;
        if (can_follow(m, p->config, x->rank, skip)) mask_put(mask, id);
        else mask_take(mask, id);
    }
}

/* ---- tokens of a set of characters ---- */

static void base_by_lists(const struct vocab *v, struct mask_base *b)
{
    memcpy(b->bits, v->text, v->n_words * sizeof *b->bits);
    for (unsigned k = 0; k < VOCAB_NEAR; k++) {
        struct vocab_set others = not_in(&v->present[k], &b->of);
        for (int class; (class = next_class(&others)) >= 0;) {
            const uint32_t *x = &v->place[v->begin[k * VOCAB_CLASSES + (unsigned)class]];
            for (uint32_t n = how_many(v, k, (unsigned)class); n; n--) mask_take(b->bits, v->order[*x++]);
        }
    }
    for (uint32_t i = 0; i < v->n_longer; i++)
        if (!vocab_set_within(&v->longer[i].of, &b->of)) mask_take(b->bits, v->order[v->longer[i].rank]);
}

static void base_by_walking(const struct vocab *v, struct mask_base *b)
{
    memset(b->bits, 0, v->n_words * sizeof *b->bits);
    for (uint32_t i = b->node + 1; i < v->node[b->node].end;) {
        const struct vocab_node *x = &v->node[i];
        bool begins = x->byte < 0x80 || x->byte >= 0xc0, in = !begins || vocab_set_has(&b->of, vocab_class(x->byte));
        bool all = in && x->below != VOCAB_UNKNOWN && vocab_set_within(&v->set[x->below], &b->of);
        if (in) put_ranks(v, b->bits, x->token, all ? v->node[x->end].token : v->node[i + 1].token);
        i = in && !all ? i + 1 : x->end;
    }
}

/* The mask of tokens below a node whose further characters are all in the set; those with a BAD in them may be there or not. */
static const uint64_t *base_of(struct masks *m, uint32_t node, const struct vocab_set *of)
{
    const struct vocab *v = m->v;
    struct mask_base *b = &m->base[0];
    for (struct mask_base *x = m->base; x < m->base + MASK_BASES; x++) {
        if (x->bits && x->node == node && !memcmp(&x->of, of, sizeof *of)) {
            x->used = ++m->clock;
            return x->bits;
        }
        if (x->used < b->used) b = x;
    }
    if (!b->bits && !(b->bits = mem_new_array(uint64_t, v->n_words))) {
        m->run->rc = ERR_NOMEM;
        return NULL;
    }
    uint64_t off = 0;
    for (unsigned k = 0; k < VOCAB_NEAR; k++) off += how_many_of(v, k, not_in(&v->present[k], of));
    b->node = node;
    b->of = *of;
    b->used = ++m->clock;
    if (node || off > v->n_order / 2) base_by_walking(v, b);
    else base_by_lists(v, b);
    return b->bits;
}

/* ---- a mask ---- */

/* How many tokens of a part begin with plain text. */
static uint32_t plain_ranks(const struct vocab *v, const struct part *p, const struct vocab_set *plain)
{
    uint32_t n = 0;
    for (uint32_t i = p->node + 1; i < v->node[p->node].end; i = v->node[i].end)
        if (vocab_set_has(plain, vocab_class(v->node[i].byte))) n += v->node[v->node[i].end].token - v->node[i].token;
    return n;
}

/* Adds the tokens below a node at which a character is whole; those with a BAD in them come later. */
static void add_part(struct masks *m, uint32_t c, uint32_t node, uint64_t *mask)
{
    struct grun *r = m->run;
    const struct vocab *v = m->v;
    const struct vocab_node *x = &v->node[node];
    const struct part p = { c, node, v->node[node + 1].token, v->node[x->end].token };
    struct chain chain;
    const uint32_t few = v->n_order / FEW;
    if (p.hi - p.lo <= few || x->chars >= VOCAB_NEAR) {
        walk(m, c, node, mask);
        return;
    }
    struct vocab_set plain = plain_of(m, c);
    uint32_t n = plain_ranks(v, &p, &plain);
    if (n > few) find_chain(m, c, x->chars, &chain);
    if (n > few && worth_it(m, &p, &chain, n)) {
        const uint64_t *base = base_of(m, node, &chain.plain);
        for (uint32_t w = 0; base && w < v->n_words; w++) mask[w] |= base[w];
        leave_chain(m, &p, &chain, mask);
    } else plain = (struct vocab_set){ { 0 } };
    for (uint32_t i = node + 1; i < x->end && !r->rc; i = v->node[i].end) {
        const uint8_t byte = v->node[i].byte;
        const bool done = (byte < 0x80 || byte >= 0xc0) && vocab_set_has(&plain, vocab_class(byte));
        const uint32_t to = done ? GRUN_DEAD : grun_byte(r, c, byte);
        if (to == GRUN_DEAD) continue;
        put_ranks(v, mask, v->node[i].token, v->node[i + 1].token);
        if (v->node[i].whole) add_part(m, to, i, mask);
        else walk(m, to, i, mask);
    }
}

/* What the <token>s of the grammar add. */
static void add_symbols(struct masks *m, uint32_t c, const int32_t *token, uint64_t *mask)
{
    const struct vocab *v = m->v;
    const struct grammar *g = m->run->g;
    for (uint32_t k = 0; k < g->n_tokens; k++) {
        if (grun_token(m->run, c, k) == GRUN_DEAD) continue;
        if (!g->token[k].negated) {
            if (!mask_has(v->ends, token[k])) mask_put(mask, token[k]);
            continue;
        }
        for (int32_t id = 0; id < v->n_vocab; id++)
            if (id != token[k] && !mask_has(v->ends, id)) mask_put(mask, id);
    }
}

int masks_make(struct masks *m, uint32_t c, const int32_t *token, uint64_t *mask)
{
    struct grun *r = m->run;
    const struct vocab *v = m->v;
    memset(mask, 0, v->n_words * sizeof *mask);
    memset(m->seen, 0, v->n_words * sizeof *m->seen);
    if (!grun_row(r, c)) return r->rc;
    add_part(m, c, 0, mask);
    for (uint32_t i = 0; i < v->n_bad && !r->rc; i++) {
        mask_take(mask, v->order[v->bad[i]]);
        if (can_follow(m, c, v->bad[i], 0)) mask_put(mask, v->order[v->bad[i]]);
    }
    if (r->config[c].ends)
        for (uint32_t w = 0; w < v->n_words; w++) mask[w] |= v->ends[w];
    if (grun_wants_tokens(r, c)) add_symbols(m, c, token, mask);
    return r->rc;
}

int masks_open(struct masks *m, struct grun *run, const struct vocab *v)
{
    *m = (struct masks){ .run = run, .v = v, .seen = mem_new_array(uint64_t, v->n_words) };
    return m->seen ? 0 : ERR_NOMEM;
}

void masks_close(struct masks *m)
{
    for (unsigned i = 0; i < MASK_BASES; i++) mem_free(m->base[i].bits);
    mem_free(m->seen);
}
