#include "text/matcher.h"

#include <string.h>

#include "base/mem.h"
#include "text/gram_run.h"
#include "text/mask.h"

enum { MASKS = 256 };           /* that are kept */

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
    struct masks make;
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

static int limit(const struct grun *r, struct err *err)
{
    if (r->rc == ERR_NOMEM) return err_set(err, ERR_NOMEM, "out of memory for the grammar");
    return err_set(err, ERR_LIMIT, "the grammar is too ambiguous: more than %d ways to read the text so far, or %d MB",
        GRUN_STACKS,
                   GRUN_BYTES >> 20);
}

/* ---- masks ---- */

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
        if (masks_make(&s->make, c, s->token, s->mask[k - 1]) < 0) return limit(&s->run, err);
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
        mask_take(s->waiting, s->crossing.id[i]);
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
    masks_close(&s->make);
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
    if (masks_open(&s->make, &s->run, s->v) < 0) return nomem(err);
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
    if (mask_has(v->ends, id)) {
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
