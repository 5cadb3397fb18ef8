/* grammar.c - grammars as the library offers them: compiled for a model, held by a sampler.
 *
 * A sampler's matcher follows the session's text: tokens that were added since the last look are read, those that are gone are
 * taken back.  So picks stay a function of the logits, the text and the options. */
#include <stdatomic.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "text/matcher.h"

struct hearth_grammar {
    _Atomic uint32_t refs;              /* its own, and samplers' */
    struct hearth_model *m;
    struct grammar *g;
};

struct held {
    struct hearth_grammar *g;
    struct matcher_options how;
    char *text[4];                      /* the strings of how */
    struct matcher *matcher;
    size_t from;                    /* where the answer begins */
    struct ids seen;                /* the answer so far, as the matcher has read it, ... */
    bool cut;                       /* ... but for a part that is no longer in the text: it cannot be read again */
    float *logits;                  /* [n_vocab] */
    int32_t n_vocab;
    struct err err;                 /* code 0: all is well */
};

/* ---- grammars ---- */

static int with_vocab(struct hearth_model *m, struct err *err)
{
    int rc = 0;
    lock_take(&m->lock);
    const int64_t before = mem_thread_bytes();
    if (!m->vocab) rc = vocab_open(&m->vocab, m->tokenizer, (int32_t)m->h.n_vocab, err);
    engine_heap(m, before);
    lock_give(&m->lock);
    return rc;
}

int engine_grammar(struct hearth_grammar **out, struct hearth_model *m, struct grammar *g, struct err *err)
{
    *out = NULL;
    int rc = g ? with_vocab(m, err) : ERR_ARG;
    if (rc == 0 && !(*out = mem_new_array(struct hearth_grammar, 1))) rc = err_set(err, ERR_NOMEM, "out of memory for a grammar");
    if (rc < 0) {
        grammar_free(g);
        return rc;
    }
    **out = (struct hearth_grammar){ .m = m, .g = g };
    atomic_store(&(*out)->refs, 1);
    return 0;
}

struct hearth_grammar *engine_grammar_share(const struct hearth_grammar *g)
{
    struct hearth_grammar *own = (struct hearth_grammar *)(uintptr_t)g;
    if (own) atomic_fetch_add(&own->refs, 1);
    return own;
}

/* Choices as a JSON array. */
static int from_list(struct grammar **out, const char *text, size_t n, struct err *err)
{
    struct json *list = NULL;
    int rc = json_parse(&list, text, n, err);
    size_t many = json_len(list);
    const char **word = rc == 0 ? mem_new_array(const char *, many + 1) : NULL;
    if (rc == 0 && !word) rc = err_set(err, ERR_NOMEM, "out of memory for the choices");
    for (size_t i = 0; rc == 0 && i < many; i++)
        if (!(word[i] = json_str(json_at(list, i), NULL))) rc = err_set(err, ERR_ARG, "choices: number %zu is no string", i + 1);
    if (rc == 0) rc = grammar_from_choices(out, word, many, err);
    mem_free(word);
    json_free(list);
    return rc;
}

static int compile(struct grammar **g, int kind, const char *text, size_t n, struct err *err)
{
    switch (kind) {
    case HEARTH_GRAMMAR_GBNF: return grammar_from_gbnf(g, text, n, err);
    case HEARTH_GRAMMAR_SCHEMA: return grammar_from_schema(g, text, n, err);
    case HEARTH_GRAMMAR_REGEX: return grammar_from_regex(g, text, n, err);
    case HEARTH_GRAMMAR_JSON: return grammar_from_json(g, true, err);
    case HEARTH_GRAMMAR_CHOICES: return from_list(g, text, n, err);
    default: return err_set(err, ERR_ARG, "there is no kind %d of grammar", kind);
    }
}

int hearth_grammar_open(struct hearth_grammar **out, struct hearth_model *m, int kind, const char *text, size_t n,
                        struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct grammar *g = NULL;
    struct buf key = { 0 }, none = { 0 };
    *out = NULL;
    buf_printf(&key, "form %d ", kind);
    if (text) buf_put(&key, text, n);
    int rc = 0;
    if (!gram_cache_get(&m->grammars, &key, &g, &none)) {
        rc = compile(&g, kind, text, n, err);
        if (rc == 0) engine_grew(m, gram_cache_put(&m->grammars, &key, g, &none));
    }
    buf_release(&key);
    buf_release(&none);
    return rc < 0 ? rc : engine_grammar(out, m, g, err);
}

int hearth_grammar_open_choices(struct hearth_grammar **out, struct hearth_model *m, const char *const *choices, size_t n,
                                struct hearth_error *e)
{
    struct grammar *g = NULL;
    *out = NULL;
    int rc = grammar_from_choices(&g, choices, n, err_of(e));
    return rc < 0 ? rc : engine_grammar(out, m, g, err_of(e));
}

void hearth_grammar_close(struct hearth_grammar *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) != 1) return;
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
    for (int i = 0; i < 4; i++) mem_free(h->text[i]);
    hearth_grammar_close(h->g);
    mem_free(h);
}

static int begin(struct held *h, struct err *err)
{
    matcher_close(h->matcher);
    h->matcher = NULL;
    h->seen.n = 0;
    return matcher_open(&h->matcher, h->g->g, h->g->m->vocab, &h->how, err);
}

static bool copy_text(struct held *h, int i, const char **s)
{
    if (!*s) return true;
    *s = h->text[i] = mem_strdup(*s, strlen(*s));
    return *s != NULL;
}

int engine_hold(struct hearth_sampler *s, const struct hearth_grammar *g, size_t from, const struct matcher_options *how,
                struct err *err)
{
    held_free(s->held);
    s->held = NULL;
    if (!g) return 0;
    struct held *h = mem_new_array(struct held, 1);
    if (!h) return err_set(err, ERR_NOMEM, "out of memory for a grammar");
    *h = (struct held){ .g = engine_grammar_share(g), .from = from, .n_vocab = (int32_t)g->m->h.n_vocab, .how = *how };
    h->logits = mem_new_array(float, g->m->h.n_vocab);
    bool ok = h->logits && copy_text(h, 0, &h->how.trigger);
    ok = ok && copy_text(h, 1, &h->how.skip_open) && copy_text(h, 2, &h->how.skip_close) && copy_text(h, 3, &h->how.begun);
    int rc = ok ? begin(h, err) : err_set(err, ERR_NOMEM, "out of memory for a grammar");
    if (rc < 0) held_free(h);
    else s->held = h;
    return rc;
}

int hearth_sampler_set_grammar(struct hearth_sampler *s, const struct hearth_grammar *g, size_t from, const char *after,
                               struct hearth_error *e)
{
    struct matcher_options how = { .trigger = after };
    return engine_hold(s, g, from, &how, err_of(e));
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
    const bool stays = h->matcher && (same == h->seen.n || matcher_rewind(h->matcher, h->seen.n - same, NULL) == 0);
    if (stays) h->seen.n = same;
    else if (!h->cut) rc = begin(h, &h->err);
    else rc = err_set(&h->err, ERR_LIMIT, "the answer went back by more tokens than its form can, in a context that was cut");
    while (rc == 0 && h->seen.n < n) {
        rc = matcher_accept(h->matcher, ids[h->seen.n], &h->err);
        if (rc < 0) break;
        ids_push(&h->seen, ids[h->seen.n]);
        if (h->seen.bad) rc = err_set(&h->err, ERR_NOMEM, "out of memory for a grammar");
    }
    return rc;
}

static int follow_session(struct held *h, const struct hearth_session *session, size_t back)
{
    size_t n;
    const int32_t *ids = hearth_session_ids(session, &n);
    return follow(h, ids, back < n ? n - back : 0);
}

const float *held_logits(struct held *h, const int32_t *ids, size_t n, const float *logits)
{
    const uint64_t *mask;
    const struct vocab *v = h->g->m->vocab;
    if (follow(h, ids, n) < 0 || matcher_mask(h->matcher, &mask, &h->err) < 0) return NULL;
    if (!mask) return logits;
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

/* Tokens of the answer leave the text, not what was read of them. */
static void cut_seen(struct held *h, const struct hearth_cut *cut)
{
    const size_t end = cut->from + cut->n;
    size_t a = cut->from > h->from ? cut->from - h->from : 0, b = end > h->from ? end - h->from : 0;
    if (b > h->seen.n) b = h->seen.n;
    if (a < b) {
        memmove(h->seen.id + a, h->seen.id + b, (h->seen.n - b) * sizeof *h->seen.id);
        h->seen.n -= b - a;
        h->cut = true;
    }
    if (cut->from < h->from) h->from = end < h->from ? h->from - cut->n : cut->from;
}

int engine_sampler_cut(struct hearth_sampler *s, const int32_t *ids, size_t n, const struct hearth_cut *cut, struct err *err)
{
    struct held *h = s->held;
    sampler_text_cut(s->s, cut->n);
    if (!h) return 0;
    int rc = follow(h, ids, n);
    if (rc == 0) cut_seen(h, cut);
    else *err = h->err;
    return rc;
}

/* The last word: bans and biases may have left nothing that is allowed. */
bool held_allows(struct held *h, int32_t id)
{
    if (matcher_allows(h->matcher, id)) return true;
    err_set(&h->err, ERR_NOTFOUND, "every token that the grammar allows here is banned");
    return false;
}

int hearth_sampler_grammar_state_at(struct hearth_sampler *s, const struct hearth_session *session, size_t back,
                                    struct hearth_error *e)
{
    struct held *h = s->held;
    if (!h) return 0;
    if (!h->err.code && follow_session(h, session, back) == 0) return matcher_is_done(h->matcher);
    if (e) memcpy(e, &h->err, sizeof *e);
    return h->err.code;
}

int hearth_sampler_grammar_state(struct hearth_sampler *s, const struct hearth_session *session, struct hearth_error *e)
{
    return hearth_sampler_grammar_state_at(s, session, 0, e);
}

int hearth_sampler_forced(struct hearth_sampler *s, const struct hearth_session *session, int32_t *ids, size_t most, size_t *n,
                          struct hearth_error *e)
{
    struct held *h = s->held;
    struct ids found = { 0 };
    *n = 0;
    if (!h) return 0;
    int rc = follow_session(h, session, 0);
    if (rc < 0) {
        if (e) memcpy(e, &h->err, sizeof *e);
        return rc;
    }
    rc = matcher_forced_tokens(h->matcher, &found, err_of(e));
    for (; rc == 0 && *n < found.n && *n < most; ++*n) ids[*n] = found.id[*n];
    ids_release(&found);
    return rc;
}
