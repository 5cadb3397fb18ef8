/* gram_compile.c - rules to a finished grammar: a frame for each rule that is called, bytes in classes. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/gram.h"

struct counted { const struct gnode *body; uint32_t min, max; };

/* Frames by number: rules first, then what repeats, then the bodies of that. */
struct compile {
    struct gram *g;
    struct ginfo *info;
    struct nfa nfa;
    struct dfa dfa;
    struct counted *counted;
    uint32_t n_counted, cap_counted;
    uint32_t *start;            /* by rule: its first state; GRAM_NONE: not wanted yet */
    uint32_t *body;             /* by counted: the first state of what repeats */
    uint32_t *queue, n_queue;
    uint32_t dead;              /* a rule whose frame matches nothing, or GRAM_NONE */
};

enum { NOT_WANTED = GRAM_NONE, QUEUED = GRAM_NONE - 1 };

static uint32_t counted(void *arg, const struct gnode *body, uint32_t min, uint32_t max)
{
    struct compile *c = arg;
    for (uint32_t i = 0; i < c->n_counted; i++)
        if (c->counted[i].body == body && c->counted[i].min == min && c->counted[i].max == max) return GRAM_RULES + i;
    if (c->n_counted == c->cap_counted) {
        uint32_t cap = c->cap_counted ? c->cap_counted * 2 : 32;
        struct counted *p = c->n_counted < GRAM_RULES ? mem_resize(c->counted, cap, sizeof *p) : NULL;
        if (!p) {
            gram_fail(c->g, c->n_counted < GRAM_RULES ? ERR_NOMEM : ERR_LIMIT, "too many repetitions");
            return GRAM_NONE;
        }
        c->counted = p;
        c->cap_counted = cap;
    }
    c->counted[c->n_counted] = (struct counted){ body, min, max };
    return GRAM_RULES + c->n_counted++;
}

static void want(struct compile *c, uint32_t rule)
{
    if (c->start[rule] != NOT_WANTED) return;
    c->start[rule] = QUEUED;
    c->queue[c->n_queue++] = rule;
}

/* Appends the frame of x; the rules it calls become wanted.  Returns its first state. */
static uint32_t frame(struct compile *c, const struct gnode *x)
{
    uint32_t first, last, start = GRAM_NONE, from = c->dfa.n_edges;
    if (nfa_build(&c->nfa, x, &first, &last) < 0 || dfa_build(&c->dfa, &c->nfa, first, last, false, &start) < 0) return GRAM_NONE;
    for (uint32_t e = from; e < c->dfa.n_edges; e++) {
        uint32_t label = c->dfa.edge[e].label;
        if (label & ON_CALL && (label & ON_INDEX) < GRAM_RULES) want(c, label & ON_INDEX);
    }
    return start;
}

static int frames(struct compile *c, uint32_t root)
{
    struct gram *g = c->g;
    c->dead = GRAM_NONE;
    want(c, root);
    for (uint32_t i = 0, k = 0; !g->rc && c->dead == GRAM_NONE && (i < c->n_queue || k < c->n_counted);) {
        if (i < c->n_queue) {
            uint32_t rule = c->queue[i++];
            c->start[rule] = frame(c, g->rule[rule].body);
            if (!g->rc && c->start[rule] == GRAM_NONE) c->dead = rule;
            continue;
        }
        const struct gnode *body = c->counted[k].body;
        uint32_t *p = mem_resize(c->body, k + 1, sizeof *p);
        if (!p) return gram_nomem(g);
        c->body = p;
        c->body[k] = frame(c, body);
        if (!g->rc && c->body[k] == GRAM_NONE) gram_fail(g, ERR_FORMAT, "a repetition of what cannot match");
        k++;
    }
    return g->rc;
}

/* ---- classes of bytes ---- */

/* Splits 0..255 by every set that is used. */
static void classify(const struct compile *c, const bool *used, struct grammar *out)
{
    const struct gset_table *t = c->g->sets;
    memset(out->class_of, 0, 256);
    out->n_classes = 1;
    for (uint32_t i = 0; i < t->n; i++) {
        if (!used[i] || out->n_classes == 256) continue;
        int16_t in[256], has_out[256];              /* by class: whether it has bytes within, and outside */
        memset(in, 0, sizeof in);
        memset(has_out, 0, sizeof has_out);
        for (unsigned b = 0; b < 256; b++) {
            if (gbytes_has(&t->set[i], b)) in[out->class_of[b]] = 1;
            else has_out[out->class_of[b]] = 1;
        }
        int16_t fresh[256];
        uint32_t n = out->n_classes;
        for (uint32_t k = 0; k < n; k++) fresh[k] = in[k] && has_out[k] ? (int16_t)out->n_classes++ : -1;
        for (unsigned b = 0; b < 256; b++)
            if (gbytes_has(&t->set[i], b) && fresh[out->class_of[b]] >= 0) out->class_of[b] = (uint8_t)fresh[out->class_of[b]];
    }
}

static void sets_of_classes(const struct compile *c, const uint32_t *number, struct grammar *out)
{
    const struct gset_table *t = c->g->sets;
    for (uint32_t i = 0; i < t->n; i++) {
        if (number[i] == GRAM_NONE) continue;
        for (unsigned b = 0; b < 256; b++)
            if (gbytes_has(&t->set[i], b)) gbytes_add(&out->set[number[i]], out->class_of[b], out->class_of[b]);
    }
}

static bool number_sets(const struct compile *c, struct grammar *out, uint32_t *number)
{
    bool *used = mem_new_array(bool, c->g->sets->n + 1);
    if (!used) return false;
    for (uint32_t e = 0; e < c->dfa.n_edges; e++)
        if (c->dfa.edge[e].label & ON_SET) used[c->dfa.edge[e].label & ON_INDEX] = true;
    for (uint32_t i = 0; i < c->g->sets->n; i++) number[i] = used[i] ? out->n_sets++ : GRAM_NONE;
    classify(c, used, out);
    mem_free(used);
    out->set = arena_new(&out->arena, struct gbytes, out->n_sets);
    if (out->set) sets_of_classes(c, number, out);
    return out->set != NULL;
}

/* ---- the result ---- */

static int copy_state(struct compile *c, uint32_t q, const uint32_t *number, struct grammar *out)
{
    const struct dfa_state *from = &c->dfa.state[q];
    struct gstate *to = &out->state[q];
    if (from->n_edges > UINT16_MAX) return gram_fail(c->g, ERR_LIMIT, "a choice between more than %d things", UINT16_MAX);
    to->edge = out->n_edges;
    to->flags = (uint16_t)(from->accept ? GS_ACCEPT | (from->n_edges ? 0 : GS_TAIL) : 0);
    for (uint32_t e = from->edge; e < from->edge + from->n_edges; e++) {
        struct dfa_edge x = c->dfa.edge[e];
        uint32_t i = x.label & ON_INDEX;
        if (x.label & ON_SET) {
            x.label = number[i];
            to->n_bytes++;
        } else if (x.label & ON_CALL) {
            x.label = i < GRAM_RULES ? c->start[i] : c->dfa.n + (i - GRAM_RULES);
            to->n_calls++;
        } else {
            x.label = i;
            to->n_tokens++;
        }
        out->edge[out->n_edges++] = x;
    }
    return 0;
}

static int copy_tokens(struct compile *c, struct grammar *out)
{
    struct gram *g = c->g;
    out->n_tokens = g->n_tokens;
    out->token = arena_new(&out->arena, struct gtoken, g->n_tokens + 1);
    if (!out->token) return gram_nomem(g);
    for (uint32_t i = 0; i < g->n_tokens; i++) {
        out->token[i] = g->token[i];
        const char *s = g->token[i].text;
        if (s && !(out->token[i].text = arena_strdup(&out->arena, s, strlen(s)))) return gram_nomem(g);
    }
    return 0;
}

static int result(struct compile *c, uint32_t root, struct grammar *out)
{
    struct gram *g = c->g;
    uint32_t *number = mem_new_array(uint32_t, g->sets->n + 1);
    out->state = arena_new(&out->arena, struct gstate, (size_t)c->dfa.n + c->n_counted);
    out->edge = arena_new(&out->arena, struct dfa_edge, c->dfa.n_edges);
    out->count = arena_new(&out->arena, struct gcount, c->n_counted);
    if (!number || !out->state || !out->edge || !out->count || !number_sets(c, out, number)) gram_nomem(g);
    for (uint32_t q = 0; q < c->dfa.n && !g->rc; q++) copy_state(c, q, number, out);
    for (uint32_t i = 0; i < c->n_counted && !g->rc; i++) {
        out->state[c->dfa.n + i] = (struct gstate){ .edge = i, .flags = GS_COUNTED };
        out->count[i] = (struct gcount){ c->body[i], c->counted[i].min, c->counted[i].max };
    }
    out->n_counts = c->n_counted;
    out->n_states = c->dfa.n + c->n_counted;
    out->start = c->start[root];
    mem_free(number);
    return g->rc ? g->rc : copy_tokens(c, out);
}

static void release(struct compile *c)
{
    nfa_release(&c->nfa);
    dfa_release(&c->dfa);
    mem_free(c->info);
    mem_free(c->counted);
    mem_free(c->start);
    mem_free(c->body);
    mem_free(c->queue);
}

/* *dead: a rule that turned out to match nothing, which checking could not see. */
static int attempt(struct gram *g, uint32_t root, struct grammar *out, uint32_t *dead)
{
    struct compile c = { .g = g };
    size_t n = g->n_rules ? g->n_rules : 1;
    c.info = mem_new_array(struct ginfo, n);
    c.start = mem_new_array(uint32_t, n);
    c.queue = mem_new_array(uint32_t, n);
    if (!c.info || !c.start || !c.queue) gram_nomem(g);
    for (uint32_t i = 0; !g->rc && i < g->n_rules; i++) c.start[i] = NOT_WANTED;
    c.nfa = (struct nfa){ .g = g, .info = c.info, .counted = counted, .arg = &c };
    *dead = GRAM_NONE;
    if (!g->rc && gram_check(g, root, c.info) == 0 && frames(&c, root) == 0) {
        *dead = c.dead;
        if (c.dead == GRAM_NONE) result(&c, root, out);
    }
    release(&c);
    return g->rc;
}

int gram_compile(struct gram *g, uint32_t root, struct grammar **out)
{
    *out = NULL;
    if (g->rc) return g->rc;
    struct grammar *r = mem_new_array(struct grammar, 1);
    if (!r) return gram_nomem(g);
    r->arena.limit = GRAMMAR_BYTES / 2;
    r->max_depth = 512;
    for (int tries = 0;; tries++) {
        uint32_t dead;
        if (attempt(g, root, r, &dead) < 0 || dead == GRAM_NONE) break;
        if (dead == root || tries == 8) {
            gram_fail(g, ERR_FORMAT, "no text matches");
            break;
        }
        g->rule[dead].body = &gram_failure;
    }
    if (g->rc) {
        grammar_free(r);
        return g->rc;
    }
    *out = r;
    return 0;
}

struct grammar *grammar_share(struct grammar *g)
{
    if (g) atomic_fetch_add(&g->more, 1);
    return g;
}

size_t grammar_bytes(const struct grammar *g) { return g ? sizeof *g + g->arena.total : 0; }

void grammar_free(struct grammar *g)
{
    if (!g || atomic_fetch_sub(&g->more, 1)) return;
    arena_release(&g->arena);
    mem_free(g);
}

int grammar_from_choices(struct grammar **out, const char *const *choice, size_t n, struct err *err)
{
    *out = NULL;
    struct gram g;
    const struct gnode **kid = NULL;
    size_t total = 0;
    int rc = gram_init(&g, "choices", err);
    if (rc == 0 && !n) rc = gram_fail(&g, ERR_ARG, "there are none");
    if (rc == 0 && !(kid = gram_push(&g, n, sizeof *kid))) rc = g.rc;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        size_t len = strlen(choice[i]);
        if (!len) rc = gram_fail(&g, ERR_ARG, "choice %zu is empty", i + 1);
        else if (!utf8_valid(choice[i], len)) rc = gram_fail(&g, ERR_ARG, "choice %zu is not valid UTF-8", i + 1);
        else if ((total += len) > GRAMMAR_SOURCE) rc = gram_fail(&g, ERR_LIMIT, "more than %d bytes", GRAMMAR_SOURCE);
        else kid[i] = gram_bytes(&g, choice[i], len);
    }
    uint32_t root = rc == 0 ? gram_rule(&g, "root", 0) : GRAM_NONE;
    if (root != GRAM_NONE) g.rule[root].body = gram_alt(&g, kid, n);
    rc = gram_compile(&g, root, out);
    gram_release(&g);
    return rc;
}
