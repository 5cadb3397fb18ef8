#include "text/matcher.h"

#include <string.h>

#include "base/mem.h"
#include "text/gram_run.h"

enum {
    MASKS = 256,                /* masks that are kept */
    BASES = 24,                 /* ... of plain tokens */
    FAR = 16                    /* plain text is followed for so many characters */
};

struct base { struct vocab_set plain; unsigned chars; uint32_t used; uint64_t *bits; };

/* A text that is looked for; fail[k]: the longest border of its first k bytes. */
struct mark { char *s; size_t n; uint8_t *fail; };

/* What clones share. */
struct shared {
    struct grun run;
    const struct vocab *v;
    const struct grammar *g;
    int32_t *token;             /* by token symbol of the grammar: its id */
    struct mark trigger, open, close;       /* the last two: of what is skipped */
    struct ids crossing;        /* tokens in which the trigger may end before they do (never: at all) */
    bool optional, never;
    uint32_t armed;             /* the config behind the trigger */
    uint64_t *mask[MASKS];
    uint32_t of[MASKS], next;   /* the config of each; where the next goes */
    struct base base[BASES];
    uint32_t clock;
    uint64_t *waiting;          /* mask while waiting */
    struct matcher *first;      /* all clones */
};

/* config counts once armed; before, seen bytes of the trigger, and of the mark that begins or ends what is skipped. */
struct position { uint32_t config; uint8_t seen, other; bool armed, ended, skipping; };

struct matcher {
    struct shared *s;
    struct matcher *next, *prev;
    struct position now, past[MATCHER_HISTORY];     /* past: a ring */
    size_t n_past, at;
};

static bool in(const uint64_t *mask, int32_t id) { return mask[id >> 6] >> (id & 63) & 1; }
static void put(uint64_t *mask, int32_t id) { mask[id >> 6] |= (uint64_t)1 << (id & 63); }
static void take(uint64_t *mask, int32_t id) { mask[id >> 6] &= ~((uint64_t)1 << (id & 63)); }

static int limit(const struct grun *r, struct err *err)
{
    if (r->rc == ERR_NOMEM) return err_set(err, ERR_NOMEM, "out of memory for the grammar");
    return err_set(err, ERR_LIMIT, "the grammar is too ambiguous: more than %d ways to read the text so far, or %d MB",
        GRUN_STACKS,
                   GRUN_BYTES >> 20);
}

/* ---- plain text ----
 *
 * Of a config in the middle of a string nearly every character leads to one and the same config.  Those characters are its
 * plain text: a subtree of the trie that has only such characters needs no walk. */

/* The config to which every byte lo..hi leads from c; GRAM_NONE when they differ or none may come. */
static uint32_t all_lead(struct grun *r, uint32_t c, unsigned lo, unsigned hi)
{
    const uint8_t *class_of = r->g->class_of;
    uint32_t to = grun_byte(r, c, (uint8_t)lo);
    for (unsigned b = lo + 1; b <= hi; b++)
        if (class_of[b] != class_of[b - 1] && grun_byte(r, c, (uint8_t)b) != to) return GRAM_NONE;
    return to == GRUN_DEAD ? GRAM_NONE : to;
}

/* Where every character of several bytes leads from c; GRAM_NONE when they differ. */
static uint32_t many_lead(struct grun *r, uint32_t c)
{
    static const struct { uint8_t from, to, lo, hi, rest; } row[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 0 }, { 0xe0, 0xe0, 0xa0, 0xbf, 1 }, { 0xe1, 0xec, 0x80, 0xbf, 1 }, { 0xed, 0xed, 0x80,
            0x9f, 1 },
        { 0xee, 0xef, 0x80, 0xbf, 1 }, { 0xf0, 0xf0, 0x90, 0xbf, 2 }, { 0xf1, 0xf3, 0x80, 0xbf, 2 }, { 0xf4, 0xf4, 0x80,
            0x8f, 2 },
    };
    uint32_t result = GRAM_NONE;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint32_t to = all_lead(r, c, row[i].from, row[i].to);
        if (to != GRAM_NONE) to = all_lead(r, to, row[i].lo, row[i].hi);
        for (unsigned k = 0; k < row[i].rest && to != GRAM_NONE; k++) to = all_lead(r, to, 0x80, 0xbf);
        if (to == GRAM_NONE || (i && to != result)) return GRAM_NONE;
        result = to;
    }
    return result;
}

static void learn(struct grun *r, uint32_t c)
{
    static const uint8_t likely[] = "ae0 -";
    uint32_t to[128], best = GRAM_NONE;
    unsigned most = 0;
    for (unsigned b = 2; b < 128; b++) to[b] = grun_byte(r, c, (uint8_t)b);
    to[VOCAB_MANY] = many_lead(r, c);
    to[VOCAB_BAD] = GRAM_NONE;
    for (unsigned i = 0; i < sizeof likely; i++) {          /* its last byte stands for MANY */
        uint32_t t = to[likely[i]];
        unsigned same = 0;
        if (t == GRUN_DEAD || t == GRAM_NONE || t == best) continue;
        for (unsigned b = 0; b < 128; b++) same += to[b] == t;
        if (same > most) {
            most = same;
            best = t;
        }
    }
    struct gconfig *x = &r->config[c];
    x->known = true;
    x->chain = best;
    x->absorbs[0] = x->absorbs[1] = 0;
    for (unsigned b = 0; b < 128 && best != GRAM_NONE; b++)
        if (to[b] == best) x->absorbs[b >> 6] |= (uint64_t)1 << (b & 63);
}

static struct vocab_set plain_of(struct grun *r, uint32_t c)
{
    if (!r->config[c].known) learn(r, c);
    return (struct vocab_set){ { r->config[c].absorbs[0], r->config[c].absorbs[1] } };
}

/* What is known of the next 2^k characters; NULL: no memory, or no plain text. */
static const struct gfar *far_of(struct grun *r, uint32_t c, unsigned k)
{
    if (c == GRAM_NONE) return NULL;
    if (!r->config[c].known) learn(r, c);
    struct gfar *f = r->config[c].far;
    if (!f) {
        if (!(f = arena_new(&r->rows, struct gfar, 1))) return NULL;
        f->n = 1;
        f->set[0][0] = r->config[c].absorbs[0];
        f->set[0][1] = r->config[c].absorbs[1];
        f->to[0] = r->config[c].chain;
        r->config[c].far = f;
    }
    for (; f->n <= k; f->n++) {
        const struct gfar *next = far_of(r, f->to[f->n - 1], f->n - 1);
        for (int w = 0; w < 2; w++) f->set[f->n][w] = next ? f->set[f->n - 1][w] & next->set[f->n - 1][w] : 0;
        f->to[f->n] = next ? next->to[f->n - 1] : GRAM_NONE;
    }
    return f;
}

/* Whether any n characters of this set can follow c, and are plain text there.  May say no of more than 16, or near the end. */
static bool can_take(struct grun *r, uint32_t c, const struct vocab_set *s, unsigned n)
{
    unsigned k = 0;
    while (1u << k < n) k++;
    if (r->config[c].known && r->config[c].chain == c) k = 0;               /* for ever */
    const struct gfar *f = k < GFAR ? far_of(r, c, k) : NULL;
    return f && !(s->w[0] & ~f->set[k][0]) && !(s->w[1] & ~f->set[k][1]);
}

/* The mask of tokens that consist of up to `chars` characters of this set. */
static const uint64_t *base_mask(struct shared *s, const struct vocab_set *plain, unsigned chars)
{
    const struct vocab *v = s->v;
    struct base *b = &s->base[0];
    for (struct base *x = s->base; x < s->base + BASES; x++) {
        if (x->bits && x->chars == chars && !memcmp(&x->plain, plain, sizeof *plain)) {
            x->used = ++s->clock;
            return x->bits;
        }
        if (x->used < b->used) b = x;
    }
    if (!b->bits && !(b->bits = mem_new_array(uint64_t, v->n_words))) return NULL;
    memset(b->bits, 0, v->n_words * sizeof *b->bits);
    for (int32_t id = 0; id < v->n_vocab; id++)
        b->bits[id >> 6] |= (uint64_t)(v->chars[id] <= chars && vocab_set_within(&v->of[id], plain)) << (id & 63);
    b->plain = *plain;
    b->chars = chars;
    b->used = ++s->clock;
    return b->bits;
}

/* ---- a mask ---- */

static void put_tokens(const struct vocab *v, uint64_t *mask, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) put(mask, v->order[i]);
}

/* Whether no character of this set can follow the config to which n characters lead from c. */
static bool closed(struct grun *r, uint32_t c, const struct vocab_set *s, unsigned n)
{
    while (n--) c = r->config[c].chain;
    for (unsigned b = 2; b < 256; b++)
        if (vocab_set_has(s, b < 128 ? b : VOCAB_MANY) && grun_byte(r, c, (uint8_t)b) != GRUN_DEAD) return false;
    return true;
}

/* Tokens whose bytes can follow c, by walking the trie; those of up to `chars` characters of `plain` are in the mask already
 * (chars 0: none are); all: and longer ones of these characters cannot follow. */
static void walk(struct shared *s, uint32_t c, uint64_t *mask, const struct vocab_set *plain, unsigned chars, bool all)
{
    struct grun *r = &s->run;
    const struct vocab *v = s->v;
    const struct vocab_node *node = v->node;
    const uint8_t *class_of = s->g->class_of;
    struct { uint32_t config; bool plain; const uint32_t *row; } at[256];
    at[0].config = c;
    at[0].plain = chars;
    at[0].row = grun_row(r, c);
    for (uint32_t i = 1; i < v->n_nodes && !r->rc;) {
        const struct vocab_node *x = &node[i];
        unsigned up = x->depth - 1u;
        unsigned bit = x->byte >= 0x80 ? VOCAB_MANY : x->byte < 2 ? VOCAB_BAD : x->byte;
        bool is_plain = at[up].plain && vocab_set_has(plain, bit);
        if (is_plain && (all || x->deepest <= chars) &&
            (x->below != VOCAB_UNKNOWN ? vocab_set_within(&v->set[x->below], plain) : x->whole && x->end == i + 1)) {
            i = x->end;
            continue;
        }
        uint32_t to = at[up].row[class_of[x->byte]];
        if (to == GRAM_NONE) to = grun_step(r, at[up].config, class_of[x->byte]);
        if (to == GRUN_DEAD) {
            i = x->end;
            continue;
        }
        if (x->below != VOCAB_UNKNOWN) {
            const struct vocab_set *below = &v->set[x->below];
            unsigned n = (unsigned)(x->deepest - x->chars);
            if (x->whole && can_take(r, to, below, n)) {
                put_tokens(v, mask, x->token, node[x->end].token);
                i = x->end;
                continue;
            }
        }
        put_tokens(v, mask, x->token, node[i + 1].token);
        if (x->end > i + 1) {
            at[x->depth].config = to;
            at[x->depth].plain = is_plain;
            at[x->depth].row = r->config[to].next;
            if (!at[x->depth].row && !(at[x->depth].row = grun_row(r, to))) return;
        }
        i++;
    }
}

/* What the <token>s of the grammar add. */
static void add_symbols(struct shared *s, uint32_t c, uint64_t *mask)
{
    const struct vocab *v = s->v;
    for (uint32_t k = 0; k < s->g->n_tokens; k++) {
        if (grun_token(&s->run, c, k) == GRUN_DEAD) continue;
        if (!s->g->token[k].negated) {
            if (!in(v->ends, s->token[k])) put(mask, s->token[k]);
            continue;
        }
        for (int32_t id = 0; id < v->n_vocab; id++)
            if (id != s->token[k] && !in(v->ends, id)) put(mask, id);
    }
}

static unsigned size_of(const struct vocab_set *s)
{
    return (unsigned)__builtin_popcountll(s->w[0]) + (unsigned)__builtin_popcountll(s->w[1]);
}

/* The characters that are plain text all along from c, and how many of them can follow: as many as may be without losing most of
 * the set. */
static unsigned common_plain(struct grun *r, uint32_t c, struct vocab_set *plain)
{
    *plain = plain_of(r, c);
    unsigned n = size_of(plain), i = 0, least = n - n / 4;
    for (struct vocab_set all = *plain; n && i < FAR; i++) {
        struct vocab_set here = plain_of(r, c);
        for (int w = 0; w < 2; w++) all.w[w] &= here.w[w];
        if (size_of(&all) < least) break;
        *plain = all;
        if (r->config[c].chain == c) return 255;
        c = r->config[c].chain;
    }
    return i;
}

static int make_mask(struct shared *s, uint32_t c, uint64_t *mask)
{
    struct grun *r = &s->run;
    const struct vocab *v = s->v;
    struct vocab_set plain;
    unsigned far = common_plain(r, c, &plain);
    const uint64_t *base = far ? base_mask(s, &plain, far) : NULL;
    if (base) memcpy(mask, base, v->n_words * sizeof *mask);
    else memset(mask, 0, v->n_words * sizeof *mask);
    if (!grun_row(r, c)) return r->rc;
    walk(s, c, mask, &plain, base ? far : 0, base && far < FAR && closed(r, c, &plain, far));
    if (r->config[c].ends)
        for (uint32_t w = 0; w < v->n_words; w++) mask[w] |= v->ends[w];
    if (grun_wants_tokens(r, c)) add_symbols(s, c, mask);
    return r->rc;
}

static void forget_masks(struct shared *s)
{
    for (unsigned i = 0; i < MASKS; i++) s->of[i] = GRAM_NONE;
}

/* Drops what is known when it has become too much; only between two looks at configs. */
static int bound(struct shared *s, struct err *err)
{
    struct grun *r = &s->run;
    if (r->rc) return limit(r, err);
    if (grun_bytes(r) <= GRUN_BYTES) return 0;
    size_t n = 0;
    for (const struct matcher *m = s->first; m; m = m->next) n += 1 + m->n_past;
    uint32_t **live = mem_new_array(uint32_t *, n + 1);
    if (!live) return err_set(err, ERR_NOMEM, "out of memory for the grammar");
    n = 0;
    live[n++] = &s->armed;
    for (struct matcher *m = s->first; m; m = m->next) {
        live[n++] = &m->now.config;
        for (size_t i = 0; i < m->n_past; i++) live[n++] = &m->past[(m->at + MATCHER_HISTORY - 1 - i) % MATCHER_HISTORY].config;
    }
    int rc = grun_collect(r, live, n);
    mem_free(live);
    forget_masks(s);
    if (rc == 0 && grun_bytes(r) > GRUN_BYTES / 2) r->rc = ERR_LIMIT;
    return r->rc ? limit(r, err) : 0;
}

static int mask_of(struct shared *s, uint32_t c, const uint64_t **mask, struct err *err)
{
    uint32_t k = s->run.config[c].mask;
    if (!k || s->of[k - 1] != c) {
        k = s->next = s->next % MASKS + 1;
        if (!s->mask[k - 1] && !(s->mask[k - 1] = mem_new_array(uint64_t, s->v->n_words)))
            return err_set(err, ERR_NOMEM, "out of memory for a mask of tokens");
        s->of[k - 1] = GRAM_NONE;
        if (make_mask(s, c, s->mask[k - 1]) < 0) return limit(&s->run, err);
        s->of[k - 1] = c;
        s->run.config[c].mask = k;
    }
    *mask = s->mask[k - 1];
    return 0;
}

/* ---- waiting for the trigger ---- */

static uint8_t mark_step(const struct mark *m, uint8_t seen, uint8_t c)
{
    while (seen && (uint8_t)m->s[seen] != c) seen = m->fail[seen];
    return (uint8_t)(seen + ((uint8_t)m->s[seen] == c));
}

static bool mark_init(struct mark *m, const char *s)
{
    if (!s || !*s) return true;
    size_t n = strlen(s);
    m->s = mem_strdup(s, n);
    m->fail = mem_new_array(uint8_t, n + 1);
    if (!m->s || !m->fail) return false;
    m->n = n;
    for (size_t k = 2; k <= n; k++) m->fail[k] = mark_step(m, m->fail[k - 1], (uint8_t)s[k - 1]);
    return true;
}

static void mark_release(struct mark *m)
{
    mem_free(m->s);
    mem_free(m->fail);
}

/* The bytes of any token, control tokens too. */
static void bytes_of(const struct shared *s, int32_t id, const uint8_t **p, size_t *n, struct buf *control)
{
    const struct vocab *v = s->v;
    *p = v->bytes + v->at[id];
    *n = v->at[id + 1] - v->at[id];
    if (*n || !control) return;
    tokenizer_piece(v->tokenizer, id, true, control);
    *p = (const uint8_t *)control->data;
    *n = control->len;
}

static void wait_byte(const struct shared *s, struct position *p, uint8_t c)
{
    const struct mark *m = p->skipping ? &s->close : &s->open;
    if (m->n) p->other = mark_step(m, p->other, c);
    if (!p->skipping) p->seen = mark_step(&s->trigger, p->seen, c);
    if (!p->skipping && p->seen == s->trigger.n) {
        p->armed = true;
        p->config = s->armed;
    } else if (m->n && p->other == m->n) {
        p->skipping = !p->skipping;
        p->seen = p->other = 0;
    }
}

/* Where a token leads.  Config GRUN_DEAD of an armed position: nowhere. */
static struct position advance(struct shared *s, struct position p, const uint8_t *b, size_t n)
{
    size_t i = 0;
    for (; i < n && !p.armed; i++) wait_byte(s, &p, b[i]);
    for (; i < n && p.config != GRUN_DEAD; i++) p.config = grun_byte(&s->run, p.config, b[i]);
    return p;
}

/* Whether the trigger can end in this text before it does, or (never) with it. */
static bool can_cross(const struct shared *s, const uint8_t *p, size_t n)
{
    size_t most = s->never ? n + 1 : n;
    const struct mark *t = &s->trigger;
    uint8_t seen = 0;
    for (size_t i = 0; i + 1 < most; i++)
        if ((seen = mark_step(t, seen, p[i])) == t->n) return true;
    for (size_t k = 1; k < t->n && k < most; k++)
        if (!memcmp(p, t->s + t->n - k, k)) return true;
    return false;
}

static bool prepare_waiting(struct shared *s)
{
    struct buf b = { 0 };
    s->waiting = mem_new_array(uint64_t, s->v->n_words);
    for (int32_t id = 0; s->waiting && id < s->v->n_vocab; id++) {
        const uint8_t *p;
        size_t n;
        buf_clear(&b);
        bytes_of(s, id, &p, &n, s->never ? &b : NULL);
        if (n && can_cross(s, p, n)) ids_push(&s->crossing, id);
    }
    bool ok = s->waiting && !s->crossing.bad && !b.bad;
    buf_release(&b);
    return ok;
}

static int waiting_mask(struct matcher *m, const uint64_t **mask)
{
    struct shared *s = m->s;
    const struct vocab *v = s->v;
    struct buf b = { 0 };
    bool all = s->optional;
    memset(s->waiting, 0xff, v->n_words * sizeof *s->waiting);
    if (v->n_vocab & 63) s->waiting[v->n_words - 1] = ((uint64_t)1 << (v->n_vocab & 63)) - 1;
    if (!s->optional)
        for (uint32_t w = 0; w < v->n_words; w++) s->waiting[w] &= ~v->ends[w];
    for (size_t i = 0; i < s->crossing.n; i++) {
        const uint8_t *p;
        size_t n;
        buf_clear(&b);
        bytes_of(s, s->crossing.id[i], &p, &n, &b);
        struct position to = advance(s, m->now, p, n);
        if (!to.armed || to.config != GRUN_DEAD) continue;
        take(s->waiting, s->crossing.id[i]);
        all = false;
    }
    *mask = all ? NULL : s->waiting;
    if (b.bad) s->run.rc = ERR_NOMEM;
    buf_release(&b);
    return s->run.rc;
}

/* ---- opening ---- */

static int find_tokens(struct shared *s, struct err *err)
{
    if (!(s->token = mem_new_array(int32_t, s->g->n_tokens + 1))) return err_set(err, ERR_NOMEM, "out of memory for the grammar");
    for (uint32_t i = 0; i < s->g->n_tokens; i++) {
        const struct gtoken *t = &s->g->token[i];
        s->token[i] = t->text ? tokenizer_find(s->v->tokenizer, t->text, strlen(t->text)) : t->id;
        if (s->token[i] < 0 || s->token[i] >= s->v->n_vocab)
            return t->text ? err_set(err, ERR_NOTFOUND, "grammar: %.100s is no single token of this model", t->text)
                           : err_set(err, ERR_NOTFOUND, "grammar: <[%d]>: the tokens of this model are 0 to %d", t->id,
                               s->v->n_vocab - 1);
    }
    return 0;
}

static void shared_free(struct shared *s)
{
    grun_close(&s->run);
    for (unsigned i = 0; i < MASKS; i++) mem_free(s->mask[i]);
    for (unsigned i = 0; i < BASES; i++) mem_free(s->base[i].bits);
    ids_release(&s->crossing);
    mem_free(s->token);
    mark_release(&s->trigger);
    mark_release(&s->open);
    mark_release(&s->close);
    mem_free(s->waiting);
    mem_free(s);
}

static struct matcher *join(struct shared *s)
{
    struct matcher *m = mem_new_array(struct matcher, 1);
    if (!m) return NULL;
    m->s = s;
    m->next = s->first;
    if (s->first) s->first->prev = m;
    s->first = m;
    return m;
}

static int nomem(struct err *err) { return err_set(err, ERR_NOMEM, "out of memory for the grammar"); }

/* The config to which the trigger itself leads. */
static int find_armed(struct shared *s, bool within, struct err *err)
{
    const struct vocab *v = s->v;
    struct ids ids = { 0 };
    s->armed = s->never ? GRUN_DEAD : s->run.start;
    if (!within || s->never) return 0;
    int rc = tokenizer_encode(v->tokenizer, s->trigger.s, s->trigger.n, TOK_PARSE, &ids, err);
    for (size_t i = 0; rc == 0 && i < ids.n; i++) {
        const uint8_t *p;
        size_t n;
        uint32_t to = GRUN_DEAD;
        bytes_of(s, ids.id[i], &p, &n, NULL);
        for (uint32_t k = 0; k < s->g->n_tokens && !n; k++)
            if (s->token[k] == ids.id[i] && !s->g->token[k].negated)
                to = grun_union(&s->run, to, grun_token(&s->run, s->armed, k));
        for (size_t k = 0; k < n; k++) to = grun_byte(&s->run, k ? to : s->armed, p[k]);
        s->armed = to;
    }
    if (rc == 0 && ids.bad) rc = nomem(err);
    ids_release(&ids);
    if (rc == 0 && s->run.rc) rc = limit(&s->run, err);
    if (rc == 0 && s->armed == GRUN_DEAD)
        rc = err_set(err, ERR_ARG, "the grammar does not begin with its trigger \"%.60s\"", s->trigger.s);
    return rc;
}

static int prepare(struct shared *s, const struct matcher_options *o, struct err *err)
{
    const char *all[] = { o->trigger, o->skip_open, o->skip_close };
    for (size_t i = 0; i < 3; i++)
        if (all[i] && strlen(all[i]) > 200)
            return err_set(err, ERR_LIMIT, "the trigger of a grammar has %zu bytes, at most 200 are allowed", strlen(all[i]));
    s->optional = o->optional || o->never;
    s->never = o->never;
    int rc = grun_open(&s->run, s->g) < 0 ? limit(&s->run, err) : find_tokens(s, err);
    if (rc < 0) return rc;
    if (!mark_init(&s->trigger, o->trigger) || !mark_init(&s->open, o->skip_open) || !mark_init(&s->close, o->skip_close))
        return nomem(err);
    if (!s->trigger.n) return 0;
    rc = find_armed(s, o->within, err);
    return rc == 0 && !prepare_waiting(s) ? nomem(err) : rc;
}

int matcher_open(struct matcher **out, const struct grammar *g, const struct vocab *v, const struct matcher_options *o,
                 struct err *err)
{
    static const struct matcher_options none;
    *out = NULL;
    if (!o) o = &none;
    struct shared *s = mem_new_array(struct shared, 1);
    if (!s) return nomem(err);
    s->g = g;
    s->v = v;
    forget_masks(s);
    int rc = prepare(s, o, err);
    struct matcher *m = rc == 0 ? join(s) : NULL;
    if (!m) {
        shared_free(s);
        return rc < 0 ? rc : nomem(err);
    }
    m->now = (struct position){ .config = s->run.start, .armed = !s->trigger.n, .skipping = o->skipping && s->close.n };
    if (o->begun) m->now = advance(s, m->now, (const uint8_t *)o->begun, strlen(o->begun));
    if (!s->run.rc && (!m->now.armed || m->now.config != GRUN_DEAD)) {
        *out = m;
        return 0;
    }
    rc = s->run.rc ? limit(&s->run, err) : err_set(err, ERR_ARG, "what the answer begins with does not fit its form");
    matcher_close(m);
    return rc;
}

int matcher_clone(struct matcher **out, const struct matcher *m, struct err *err)
{
    struct matcher *c = *out = join(m->s);
    if (!c) return err_set(err, ERR_NOMEM, "out of memory for the grammar");
    c->now = m->now;
    memcpy(c->past, m->past, sizeof c->past);
    c->n_past = m->n_past;
    c->at = m->at;
    return 0;
}

void matcher_close(struct matcher *m)
{
    if (!m) return;
    struct shared *s = m->s;
    if (m->prev) m->prev->next = m->next;
    else s->first = m->next;
    if (m->next) m->next->prev = m->prev;
    mem_free(m);
    if (!s->first) shared_free(s);
}

/* ---- using it ---- */

int matcher_mask(struct matcher *m, const uint64_t **mask, struct err *err)
{
    struct shared *s = m->s;
    *mask = NULL;
    int rc = bound(s, err);
    if (rc < 0) return rc;
    if (!m->now.armed) return waiting_mask(m, mask) < 0 ? limit(&s->run, err) : 0;
    if (m->now.ended) return err_set(err, ERR_NOTFOUND, "the text has ended; nothing may follow");
    const uint64_t *found = NULL;
    if ((rc = mask_of(s, m->now.config, &found, err)) < 0) return rc;
    uint64_t any = 0;
    for (uint32_t w = 0; w < s->v->n_words && !any; w++) any |= found[w];
    if (!any) return err_set(err, ERR_NOTFOUND, "no token of this model can continue the text as the grammar wants");
    *mask = found;
    return 0;
}

/* Where id leads; false when it may not come. */
static bool follow(struct matcher *m, int32_t id, struct position *to)
{
    struct shared *s = m->s;
    const struct vocab *v = s->v;
    *to = m->now;
    if (id < 0 || id >= v->n_vocab || m->now.ended || s->run.rc) return false;
    if (in(v->ends, id)) {
        to->ended = true;
        return matcher_may_end(m);
    }
    struct buf control = { 0 };
    const uint8_t *b;
    size_t n;
    bytes_of(s, id, &b, &n, m->now.armed ? NULL : &control);
    if (n || !m->now.armed) *to = advance(s, m->now, b, n);
    else to->config = GRUN_DEAD;
    buf_release(&control);
    if (!m->now.armed) return !to->armed || to->config != GRUN_DEAD;
    if (grun_wants_tokens(&s->run, m->now.config))
        for (uint32_t k = 0; k < s->g->n_tokens; k++)
            if ((id == s->token[k]) != s->g->token[k].negated)
                to->config = grun_union(&s->run, to->config, grun_token(&s->run, m->now.config, k));
    return to->config != GRUN_DEAD && !s->run.rc;
}

bool matcher_allows(struct matcher *m, int32_t id)
{
    struct position to;
    return bound(m->s, NULL) == 0 && follow(m, id, &to);
}

int matcher_accept(struct matcher *m, int32_t id, struct err *err)
{
    struct position to;
    int rc = bound(m->s, err);
    if (rc < 0) return rc;
    bool ok = follow(m, id, &to);
    if (m->s->run.rc) return limit(&m->s->run, err);
    if (!ok) return err_set(err, ERR_ARG, "token %d does not continue the text as the grammar wants", id);
    m->past[m->at] = m->now;
    m->at = (m->at + 1) % MATCHER_HISTORY;
    if (m->n_past < MATCHER_HISTORY) m->n_past++;
    m->now = to;
    return 0;
}

int matcher_rewind(struct matcher *m, size_t n, struct err *err)
{
    if (n > m->n_past) return err_set(err, ERR_ARG, "%zu tokens cannot be taken back, only the last %zu", n, m->n_past);
    for (; n; n--) {
        m->at = (m->at + MATCHER_HISTORY - 1) % MATCHER_HISTORY;
        m->now = m->past[m->at];
        m->n_past--;
    }
    return 0;
}

bool matcher_waits(const struct matcher *m) { return !m->now.armed; }

bool matcher_may_end(const struct matcher *m)
{
    return m->now.ended || (m->now.armed ? m->s->run.config[m->now.config].ends : m->s->optional);
}

bool matcher_is_done(struct matcher *m)
{
    struct shared *s = m->s;
    if (!m->now.armed) return false;
    if (m->now.ended) return true;
    /* Only the end: its config has nothing but the bottom. */
    return s->run.config[m->now.config].ends && s->run.config[m->now.config].n == 1;
}

/* The one byte that can follow c; -1: none, several, or the end. */
static int only_byte(struct shared *s, uint32_t c)
{
    struct grun *r = &s->run;
    int only = -1;
    if (r->config[c].ends || grun_wants_tokens(r, c)) return -1;
    for (unsigned b = 0; b < 256; b++) {
        if (grun_byte(r, c, (uint8_t)b) == GRUN_DEAD) continue;
        if (only >= 0) return -1;
        only = (int)b;
    }
    return only;
}

void matcher_forced(struct matcher *m, size_t most, struct buf *out)
{
    if (!m->now.armed || m->now.ended || bound(m->s, NULL) < 0) return;
    uint32_t c = m->now.config;
    for (int b; most-- && (b = only_byte(m->s, c)) >= 0; c = grun_byte(&m->s->run, c, (uint8_t)b)) buf_putc(out, (char)b);
}

int matcher_forced_tokens(struct matcher *m, struct ids *out, struct err *err)
{
    struct buf text = { 0 };
    struct ids ids = { 0 };
    const struct vocab *v = m->s->v;
    int rc = 0;
    matcher_forced(m, 4096, &text);
    if (text.bad) rc = err_set(err, ERR_NOMEM, "out of memory for the grammar");
    if (rc == 0 && text.len > 1) rc = tokenizer_encode(v->tokenizer, text.data, text.len, 0, &ids, err);
    size_t at = 0;
    for (size_t i = 0; rc == 0 && i < ids.n; i++) {
        int32_t id = ids.id[i];
        if (id < 0 || id >= v->n_vocab) break;
        size_t n = v->at[id + 1] - v->at[id], left = text.len - at;
        if (!n || n > left || memcmp(v->bytes + v->at[id], text.data + at, n) != 0) break;
        uint32_t all = vocab_walk(v, 0, (const uint8_t *)text.data + at, left);
        if (all && v->node[all].end - all > 1) break;        /* a longer token may begin with what is left */
        ids_push(out, id);
        at += n;
    }
    if (rc == 0 && out->bad) rc = err_set(err, ERR_NOMEM, "out of memory for the grammar");
    buf_release(&text);
    ids_release(&ids);
    return rc;
}
