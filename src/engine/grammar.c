/* grammar.c - grammars as the library offers them: compiled for a model, held by a sampler.
 *
 * A sampler's matcher follows the session's text: tokens that were added since the last look are read, those that are gone are
 * taken back.  So picks stay a function of the logits, the text and the options. */
#include <string.h>

#include "base/mem.h"
#include "engine/engine.h"
#include "text/matcher.h"

struct hearth_grammar {
    struct hearth_model *m;
    struct grammar *g;
};

struct held {
    const struct hearth_grammar *g;
    char *after;
    struct matcher *matcher;
    size_t from;                    /* where the answer begins */
    struct ids seen;                /* the answer so far, as the matcher has read it */
    float *logits;                  /* [n_vocab] */
    int32_t n_vocab;
    struct err err;                 /* code 0: all is well */
};

/* ---- grammars ---- */

static int with_vocab(struct hearth_model *m, struct err *err)
{
    int rc = 0;
    lock_take(&m->lock);
    if (!m->vocab) rc = vocab_open(&m->vocab, m->tokenizer, (int32_t)m->h.n_vocab, err);
    lock_give(&m->lock);
    return rc;
}

static int open_for(struct hearth_grammar **out, struct hearth_model *m, struct grammar *g, int rc, struct err *err)
{
    *out = NULL;
    if (rc == 0) rc = with_vocab(m, err);
    if (rc == 0 && !(*out = mem_new_array(struct hearth_grammar, 1))) rc = err_set(err, ERR_NOMEM, "out of memory for a grammar");
    if (rc < 0) {
        grammar_free(g);
        return rc;
    }
    **out = (struct hearth_grammar){ m, g };
    return 0;
}

int hearth_grammar_open(struct hearth_grammar **out, struct hearth_model *m, int kind, const char *text, size_t n,
                        struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct grammar *g = NULL;
    int rc;
    switch (kind) {
    case HEARTH_GRAMMAR_GBNF: rc = grammar_from_gbnf(&g, text, n, err); break;
    case HEARTH_GRAMMAR_SCHEMA: rc = grammar_from_schema(&g, text, n, err); break;
    case HEARTH_GRAMMAR_REGEX: rc = grammar_from_regex(&g, text, n, err); break;
    case HEARTH_GRAMMAR_JSON: rc = grammar_from_json(&g, true, err); break;
    default: rc = err_set(err, ERR_ARG, "there is no kind %d of grammar", kind);
    }
    return open_for(out, m, g, rc, err);
}

int hearth_grammar_open_choices(struct hearth_grammar **out, struct hearth_model *m, const char *const *choices, size_t n,
                                struct hearth_error *e)
{
    struct grammar *g = NULL;
    int rc = grammar_from_choices(&g, choices, n, err_of(e));
    return open_for(out, m, g, rc, err_of(e));
}

void hearth_grammar_close(struct hearth_grammar *g)
{
    if (!g) return;
    grammar_free(g->g);
    mem_free(g);
}

/* ---- what a sampler holds ---- */

void held_free(struct held *h)
{
    if (!h) return;
    matcher_close(h->matcher);
    ids_release(&h->seen);
    mem_free(h->logits);
    mem_free(h->after);
    mem_free(h);
}

static int begin(struct held *h, struct err *err)
{
    struct matcher_options o = { .trigger = h->after };
    matcher_close(h->matcher);
    h->seen.n = 0;
    return matcher_open(&h->matcher, h->g->g, h->g->m->vocab, &o, err);
}

int hearth_sampler_set_grammar(struct hearth_sampler *s, const struct hearth_grammar *g, size_t from, const char *after,
                               struct hearth_error *e)
{
    struct err *err = err_of(e);
    held_free(s->held);
    s->held = NULL;
    if (!g) return 0;
    struct held *h = mem_new_array(struct held, 1);
    int rc = h ? 0 : ERR_NOMEM;
    if (rc == 0) {
        *h = (struct held){ .g = g, .from = from, .n_vocab = (int32_t)g->m->h.n_vocab };
        h->logits = mem_new_array(float, g->m->h.n_vocab);
        if (after) h->after = mem_strdup(after, strlen(after));
        if (!h->logits || (after && !h->after)) rc = ERR_NOMEM;
    }
    if (rc < 0) err_set(err, rc, "out of memory for a grammar");
    else rc = begin(h, err);
    if (rc < 0) held_free(h);
    else s->held = h;
    return rc;
}

/* Brings the matcher to the text. */
static int follow(struct held *h, const int32_t *ids, size_t n)
{
    size_t same = 0;
    h->err = (struct err){ 0 };
    if (n < h->from) return err_set(&h->err, ERR_ARG, "the text of %zu tokens ends before the answer begins, at %zu", n, h->from);
    ids += h->from;
    n -= h->from;
    while (same < n && same < h->seen.n && h->seen.id[same] == ids[same]) same++;
    int rc = 0;
    if (same < h->seen.n && matcher_rewind(h->matcher, h->seen.n - same, NULL) < 0) rc = begin(h, &h->err);
    else h->seen.n = same;
    while (rc == 0 && h->seen.n < n) {
        rc = matcher_accept(h->matcher, ids[h->seen.n], &h->err);
        if (rc < 0) break;
        ids_push(&h->seen, ids[h->seen.n]);
        if (h->seen.bad) rc = err_set(&h->err, ERR_NOMEM, "out of memory for a grammar");
    }
    return rc;
}

static int follow_session(struct held *h, const struct hearth_session *session)
{
    size_t n;
    const int32_t *ids = hearth_session_ids(session, &n);
    return follow(h, ids, n);
}

const float *held_logits(struct held *h, const int32_t *ids, size_t n, const float *logits)
{
    const uint64_t *mask;
    const struct vocab *v = h->g->m->vocab;
    if (follow(h, ids, n) < 0 || matcher_mask(h->matcher, &mask, &h->err) < 0) return NULL;
    for (int32_t i = 0; i < h->n_vocab; i += 64) {
        uint64_t w = i < v->n_vocab ? mask[i >> 6] : 0;
        int32_t many = h->n_vocab - i < 64 ? h->n_vocab - i : 64;
        if (w == ~(uint64_t)0) {
            memcpy(h->logits + i, logits + i, (size_t)many * sizeof *logits);
            continue;
        }
        for (int32_t k = 0; k < many; k++) h->logits[i + k] = -__builtin_inff();
        for (; w; w &= w - 1) {
            int32_t k = i + __builtin_ctzll(w);
            /* What is allowed stays possible, however unlikely. */
            h->logits[k] = logits[k] > -3e38f ? logits[k] : -3e38f;
        }
    }
    return h->logits;
}

/* The last word: bans and biases may have left nothing that is allowed. */
bool held_allows(struct held *h, int32_t id)
{
    if (matcher_allows(h->matcher, id)) return true;
    err_set(&h->err, ERR_NOTFOUND, "every token that the grammar allows here is banned");
    return false;
}

int hearth_sampler_grammar_state(struct hearth_sampler *s, const struct hearth_session *session, struct hearth_error *e)
{
    struct held *h = s->held;
    if (!h) return 0;
    if (!h->err.code && follow_session(h, session) == 0) return matcher_is_done(h->matcher);
    if (e) memcpy(e, &h->err, sizeof *e);
    return h->err.code;
}

int hearth_sampler_forced(struct hearth_sampler *s, const struct hearth_session *session, int32_t *ids, size_t most, size_t *n,
                          struct hearth_error *e)
{
    struct held *h = s->held;
    struct ids found = { 0 };
    *n = 0;
    if (!h) return 0;
    int rc = follow_session(h, session);
    if (rc < 0) {
        if (e) memcpy(e, &h->err, sizeof *e);
        return rc;
    }
    rc = matcher_forced_tokens(h->matcher, &found, err_of(e));
    for (; rc == 0 && *n < found.n && *n < most; ++*n) ids[*n] = found.id[*n];
    ids_release(&found);
    return rc;
}
