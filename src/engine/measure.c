#include "engine/measure.h"

#include <math.h>
#include <string.h>

#include "base/detmath.h"
#include "base/mem.h"
#include "engine/engine.h"

/* Sums of a quantity and its square. */
struct sums { double s, s2; };

struct job {
    const struct measure_options *o;
    struct hearth_session *session[2];     /* of the model and of the base */
    int32_t *chunk;
    uint32_t n_vocab, n_chunk;
    struct sums nll, base_nll, kl;
    double kl_max;
    uint64_t n, same;
};

static void add(struct sums *s, double v)
{
    s->s += v;
    s->s2 += v * v;
}

static struct measure_mean mean_of(struct sums s, uint64_t n)
{
    struct measure_mean m = { n ? s.s / (double)n : 0, 0 };
    double var = n > 1 ? (s.s2 / (double)n - m.mean * m.mean) / (double)(n - 1) : 0;
    m.error = var > 0 ? sqrt(var) : 0;
    return m;
}

/* The largest logit, and the logarithm of the sum of exp(logit - largest). */
struct scale { float top; int32_t at; double log_sum; };

static struct scale scale_of(const float *z, uint32_t n)
{
    struct scale s = { z[0], 0, 0 };
    double sum = 0;
    for (uint32_t i = 1; i < n; i++)
        if (z[i] > s.top) {
            s.top = z[i];
            s.at = (int32_t)i;
        }
    for (uint32_t i = 0; i < n; i++) sum += det_exp((double)z[i] - (double)s.top);
    s.log_sum = det_log(sum);
    return s;
}

static double log_prob(const float *z, const struct scale *s, int32_t id)
{
    return (double)z[id] - (double)s->top - s->log_sum;
}

static void score(struct job *j, const float *z, const float *base, int32_t next)
{
    struct scale s = scale_of(z, j->n_vocab);
    add(&j->nll, -log_prob(z, &s, next));
    j->n++;
    if (!base) return;
    struct scale b = scale_of(base, j->n_vocab);
    double kl = 0;
    for (uint32_t i = 0; i < j->n_vocab; i++) {
        double q = log_prob(base, &b, (int32_t)i);
        kl += det_exp(q) * (q - log_prob(z, &s, (int32_t)i));
    }
    add(&j->base_nll, -log_prob(base, &b, next));
    add(&j->kl, kl);
    if (kl > j->kl_max) j->kl_max = kl;
    j->same += s.at == b.at;
}

/* Chunk c, with BOS in the place of its first token where the model wants it. */
static void take_chunk(struct job *j, const int32_t *ids, uint32_t c, int32_t bos)
{
    memcpy(j->chunk, ids + (size_t)c * j->o->n_ctx, j->o->n_ctx * sizeof *ids);
    if (j->o->bos && bos >= 0) j->chunk[0] = bos;
}

/* Everything up to the token before the last predicts its next one; rows of logits come MAX_OUT at a time. */
static int score_chunk(struct job *j, struct hearth_error *e)
{
    uint32_t n = j->o->n_ctx, first = n / 2;
    int rc = 0;
    for (int k = 0; k < 2 && rc == 0; k++)
        if (j->session[k]) rc = hearth_session_sync(j->session[k], j->chunk, first, e);
    for (uint32_t at = first, step; at < n - 1 && rc == 0; at += step) {
        const float *rows[2] = { NULL, NULL };
        step = n - 1 - at < MAX_OUT ? n - 1 - at : MAX_OUT;
        for (int k = 0; k < 2 && rc == 0; k++) {
            size_t got = 0;
            if (!j->session[k]) continue;
            rc = hearth_session_append(j->session[k], j->chunk + at, step, e);
            rows[k] = hearth_session_logits_rows(j->session[k], &got);
        }
        for (uint32_t i = 0; i < step && rc == 0; i++)
            score(j, rows[0] + (size_t)i * j->n_vocab, rows[1] ? rows[1] + (size_t)i * j->n_vocab : NULL, j->chunk[at + i + 1]);
    }
    return rc;
}

static int open_session(struct job *j, int k, struct hearth_model *m, uint32_t n_logits, struct hearth_error *e)
{
    const struct measure_options *o = j->o;
    struct hearth_session_options so = { .n_ctx = o->n_ctx, .kv_type = o->kv_type, .kv_type_v = o->kv_type_v,
                                         .n_logits = n_logits, .no_cache = true };
    /* What small types cost is a part of the distance to the base. */
    if (k == 1 && (o->kv_type > HEARTH_KV_F32 || o->kv_type_v > HEARTH_KV_F32)) so.kv_type = so.kv_type_v = HEARTH_KV_F32;
    return hearth_session_open(&j->session[k], m, &so, e);
}

static int open_job(struct job *j, struct hearth_model *m, size_t n, uint32_t n_logits, struct hearth_error *e)
{
    const struct measure_options *o = j->o;
    struct err *err = err_of(e);
    if (o->n_ctx < 8) return err_set(err, ERR_ARG, "chunks of %u tokens are too short; at least 8", o->n_ctx);
    if (n < o->n_ctx)
        return err_set(err, ERR_ARG, "the text has only %zu tokens, but one chunk needs %u; take a longer text, or --ctx %zu", n,
                       o->n_ctx, n < 8 ? (size_t)8 : n);
    j->n_vocab = m->h.n_vocab;
    if (o->base && o->base->h.n_vocab != j->n_vocab)
        return err_set(err, ERR_ARG, "%s has a vocabulary of %u tokens, %s one of %u; they cannot be compared",
                       gguf_path(m->gguf), j->n_vocab, gguf_path(o->base->gguf), o->base->h.n_vocab);
    size_t chunks = n / o->n_ctx;
    j->n_chunk = o->max_chunks && o->max_chunks < chunks ? o->max_chunks : (uint32_t)chunks;
    if (!(j->chunk = mem_new_array(int32_t, o->n_ctx))) return err_set(err, ERR_NOMEM, "out of memory for a chunk");
    int rc = open_session(j, 0, m, n_logits, e);
    return rc < 0 || !o->base ? rc : open_session(j, 1, o->base, n_logits, e);
}

static void close_job(struct job *j)
{
    hearth_session_close(j->session[0]);
    hearth_session_close(j->session[1]);
    mem_free(j->chunk);
}

static int go_on(const struct job *j, uint32_t done, struct hearth_error *e)
{
    double ppl = j->n ? det_exp(j->nll.s / (double)j->n) : 0;
    if (!j->o->progress || j->o->progress(j->o->arg, done, j->n_chunk, ppl)) return 0;
    return err_set(err_of(e), ERR_CANCELLED, "stopped after %u of %u chunks", done, j->n_chunk);
}

int measure_text(struct hearth_model *m, const int32_t *ids, size_t n, const struct measure_options *o, struct measure *out,
                 struct hearth_error *e)
{
    struct job j = { .o = o };
    *out = (struct measure){ 0 };
    int rc = open_job(&j, m, n, MAX_OUT, e);
    for (uint32_t c = 0; c < j.n_chunk && rc == 0; c++) {
        take_chunk(&j, ids, c, hearth_token_bos(m));
        rc = score_chunk(&j, e);
        if (rc == 0) rc = go_on(&j, c + 1, e);
    }
    close_job(&j);
    if (rc < 0) return rc;
    out->chunks = j.n_chunk;
    out->n = j.n;
    out->nll = mean_of(j.nll, j.n);
    out->perplexity = det_exp(out->nll.mean);
    out->perplexity_error = out->perplexity * out->nll.error;
    if (!o->base) return 0;
    out->base_nll = mean_of(j.base_nll, j.n);
    out->base_perplexity = det_exp(out->base_nll.mean);
    out->kl = mean_of(j.kl, j.n);
    out->kl_max = j.kl_max;
    out->same_top = (double)j.same / (double)j.n;
    return 0;
}

int measure_observed(struct hearth_model *m, const int32_t *ids, size_t n, const struct measure_options *o, uint32_t *chunks,
                     struct hearth_error *e)
{
    struct job j = { .o = o };
    int rc = open_job(&j, m, n, 1, e);
    for (uint32_t c = 0; c < j.n_chunk && rc == 0; c++) {
        /* Not even a common beginning is kept: what is not evaluated is not seen. */
        hearth_session_close(j.session[0]);
        rc = open_session(&j, 0, m, 1, e);
        take_chunk(&j, ids, c, hearth_token_bos(m));
        if (rc == 0) rc = hearth_session_append(j.session[0], j.chunk, o->n_ctx, e);
        if (rc == 0) rc = go_on(&j, c + 1, e);
    }
    *chunks = j.n_chunk;
    close_job(&j);
    return rc;
}
