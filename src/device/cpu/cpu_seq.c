/* cpu_seq.c - operations whose state goes from token to token: threads divide channels or rows of the state, and each takes the
 * tokens of a sequence in order. */
#include <string.h>

#include "device/cpu/cpu.h"

/* Channels, and rows of a state, that a thread takes at once. */
enum { CHANNELS = 64, ROWS = 16 };

/* Tokens [t, t + n) follow each other in one sequence; its state at their end, before position `end`, may be wanted. */
struct span { size_t t, n; const struct kv_view *kv; bool fresh; int64_t end; };

static bool is_wanted(const struct span *s, int i) { return s->kv->saved[i] && s->end == s->kv->save_at[i]; }

static void save(const struct span *s, size_t at, size_t n)
{
    for (int i = 0; i < 2; i++)
        if (is_wanted(s, i)) memcpy(s->kv->saved[i] + at, s->kv->state + at, n * sizeof(float));
}

static bool next_span(const struct run *r, struct span *s)
{
    const struct params *v = r->v;
    s->t += s->n;
    if (s->t >= v->T) return false;
    s->kv = &v->kv[v->seq[s->t]];
    s->fresh = v->pos[s->t] == 0;
    for (s->n = 1;; s->n++) {
        size_t t = s->t + s->n;
        s->end = v->pos[t - 1] + 1;
        if (is_wanted(s, 0) || is_wanted(s, 1) || t == v->T || v->seq[t] != v->seq[t - 1] || v->pos[t] != s->end) return true;
    }
}

static void conv_channels(const struct run *r, const struct op *o, size_t c0, size_t c1)
{
    const struct value *x = &r->p->value[o->in[0]], *y = &r->p->value[o->out];
    const size_t C = x->width, past = (size_t)o->n[1] - 1;
    for (struct span s = { 0 }; next_span(r, &s);) {
        float *state = s.kv->state + o->n[0];
        for (size_t j = 0; s.fresh && j < past; j++) memset(state + j * C + c0, 0, (c1 - c0) * sizeof *state);
        struct conv_run run = {
            .x = float_row(r, o->in[0], s.t),
            .y = float_row(r, o->out, s.t),
            .x_step = x->row_bytes / sizeof(float),
            .y_step = y->row_bytes / sizeof(float),
            .n = s.n,
            .w = (const float *)(const void *)o->w->data,
            .state = state,
            .channels = (uint32_t)C,
            .taps = (uint32_t)o->n[1],
        };
        r->d->vec->conv(&run, c0, c1);
        for (size_t j = 0; j < past; j++) save(&s, (size_t)o->n[0] + j * C + c0, c1 - c0);
    }
}

static void delta_head(const struct run *r, const struct op *o, uint32_t head, size_t i0, size_t i1)
{
    const struct recurrence *c = o->recur;
    const size_t keys = (size_t)c->n_key * c->dk, one = (size_t)c->dv * c->dk, at = i0 * c->dk, n = (i1 - i0) * c->dk;
    const size_t key = (size_t)(c->tiled ? head % c->n_key : head / (c->n_value / c->n_key)) * c->dk;
    for (struct span s = { 0 }; next_span(r, &s);) {
        float *state = s.kv->state + o->n[0] + head * one;
        if (s.fresh) memset(state + at, 0, n * sizeof *state);
        const float *x = float_row(r, o->in[0], s.t), *gate = float_row(r, o->in[1], s.t);
        struct delta_run run = {
            .q = x + key,
            .k = x + keys + key,
            .v = x + 2 * keys + (size_t)head * c->dv,
            .decay = gate + head,
            .beta = gate + c->n_value + head,
            .o = float_row(r, o->out, s.t) + (size_t)head * c->dv,
            .step = r->p->value[o->in[0]].row_bytes / sizeof(float),
            .gate_step = r->p->value[o->in[1]].row_bytes / sizeof(float),
            .o_step = r->p->value[o->out].row_bytes / sizeof(float),
            .n = s.n,
            .state = state,
            .dk = c->dk,
        };
        r->d->vec->delta(&run, i0, i1);
        save(&s, (size_t)o->n[0] + head * one + at, n);
    }
}

void cpu_run_seq(const struct run *r, const struct op *o)
{
    size_t lo, hi;
    if (o->kind == OP_CONV) {
        size_t C = r->p->value[o->in[0]].width;
        while (pool_take(r->d->pool, (C + CHANNELS - 1) / CHANNELS, &lo, &hi))
            conv_channels(r, o, lo * CHANNELS, hi * CHANNELS < C ? hi * CHANNELS : C);
        return;
    }
    size_t dv = o->recur->dv, parts = (dv + ROWS - 1) / ROWS;
    while (pool_take(r->d->pool, o->recur->n_value * parts, &lo, &hi))
        for (size_t i = lo; i < hi; i++) {
            size_t i0 = i % parts * ROWS;
            delta_head(r, o, (uint32_t)(i / parts), i0, i0 + ROWS < dv ? i0 + ROWS : dv);
        }
}
