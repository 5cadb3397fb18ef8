/* cpu_row.c - operations that work on one token's row at a time. */
#include <math.h>
#include <string.h>

#include "base/detmath.h"
#include "device/cpu/cpu.h"
#include "quant/quant.h"

static void embed(const struct run *r, const struct op *o, size_t t)
{
    float *y = float_row(r, o->out, t);
    uint64_t row;
    size_t n = (size_t)o->w->ne[0];
    dtype_row_bytes(o->w->type, n, &row);
    if (dtype_info(o->w->type)->family == DTF_SPLIT)
        split_unpack((const struct split *)(const void *)o->w->data, (uint64_t)r->v->token[t], y, n);
    else
        quant_unpack(o->w->type)(o->w->data + (uint64_t)r->v->token[t] * row, y, n);
    if (o->f[0] != 1) r->d->vec->scale(y, y, o->f[0], n);
}

/* Row i of a table of any type. */
static void table_row(const struct run *r, const struct op *o, size_t i, size_t t)
{
    uint64_t row;
    size_t n = (size_t)o->w->ne[0];
    dtype_row_bytes(o->w->type, n, &row);
    quant_unpack(o->w->type)(o->w->data + (uint64_t)i * row, float_row(r, o->out, t), n);
}

static void angles(const struct run *r, const struct op *o, size_t t)
{
    size_t n = r->p->value[o->out].width / 2;
    float *y = float_row(r, o->out, t);
    rope_angles(y, y + n, o->freq, n, r->v->pos[t], o->f[0]);
}

static void head_norm(const struct run *r, const struct op *o, size_t t)
{
    const float *w = o->w ? (const float *)(const void *)o->w->data : NULL;
    float *x = float_row(r, o->in[0], t);
    for (int32_t h = 0; h < o->n[0]; h++, x += o->n[1]) r->d->vec->rms_norm(x, x, w, (size_t)o->n[1], o->f[0]);
}

static void l2_norm(const struct run *r, const struct op *o, size_t t)
{
    float *x = float_row(r, o->in[0], t);
    size_t n = (size_t)o->n[1];
    for (int32_t h = 0; h < o->n[0]; h++, x += n)
        r->d->vec->scale(x, x, o->f[1] / sqrtf(r->d->vec->dot(x, x, n) + o->f[0]), n);
}

static void split(const struct run *r, const struct op *o, size_t t)
{
    const float *x = float_row(r, o->in[0], t);
    float *a = float_row(r, o->out, t), *b = float_row(r, o->out2, t);
    size_t n = (size_t)o->n[1];
    for (int32_t h = 0; h < o->n[0]; h++, x += 2 * n, a += n, b += n) {
        memcpy(a, x, n * sizeof *a);
        memcpy(b, x + n, n * sizeof *b);
    }
}

static double softplus(double x)
{
    if (x > 30) return x;
    return x < -15 ? det_exp(x) : det_log(1 + det_exp(x));
}

static void decay(const struct run *r, const struct op *o, size_t t)
{
    const struct recurrence *c = o->recur;
    const float *beta = float_row(r, o->in[0], t), *a = c->grouped ? NULL : float_row(r, o->in[1], t);
    const float *rate = (const float *)(const void *)o->w->data, *dt = (const float *)(const void *)o->b->data;
    float *y = float_row(r, o->out, t);
    uint32_t H = c->n_value, per = H / c->n_key;
    for (uint32_t h = 0; h < H; h++) {
        uint32_t at = c->grouped ? h / per * 2 * per + h % per : h;
        double step = softplus((double)(a ? a[h] : beta[at + per]) + (double)dt[h]);
        y[h] = (float)det_exp((double)rate[h] * step);
        y[H + h] = (float)(1 / (1 + det_exp(-(double)beta[at])));
    }
}

static void rope(const struct run *r, const struct op *o, size_t t)
{
    float *x = float_row(r, o->in[0], t);
    const float *a = float_row(r, o->in[1], t);
    size_t n_rot = (size_t)o->n[2];
    for (int32_t h = 0; h < o->n[0]; h++, x += o->n[1])
        r->d->vec->rope(x, a, a + n_rot / 2, n_rot, o->n[3] ? VEC_ROPE_HALF : VEC_ROPE_PAIR);
}

/* The first of its sequence in the batch. */
static bool is_first(const struct params *v, size_t t) { return !t || v->seq[t] != v->seq[t - 1]; }

/* The cache's layout is [kv head][position][number], a row's is [kv head][number]. */
static void kv_row(const struct run *r, const struct op *o, size_t t)
{
    const struct kv_view *kv = &r->v->kv[r->v->seq[t]];
    if (o->n[1] && is_first(r->v, t) && !kv->before) return;
    const struct kv_layer *l = &r->p->kv[o->n[0]];
    uint8_t *page = kv->page[kv_class_of(l)][r->v->pos[t] / KV_PAGE];
    const size_t slot = (size_t)(r->v->pos[t] % KV_PAGE);
    const uint32_t width[2] = { l->dk, l->dv };
    const enum dtype type[2] = { kv->k_type, kv->v_type };
    uint8_t *at[2] = { page + kv->k_at[o->n[0]], page + kv->v_at[o->n[0]] };
    for (int i = 0; i < 2 && o->in[i] >= 0; i++) {
        const float *x = float_row(r, o->in[i], t);
        const size_t row = dtype_padded_bytes(type[i], width[i]);
        const uint32_t turn = cpu_turn(l, type[i], i);
        for (uint32_t h = 0; h < l->n_kv; h++)
            r->d->vec->kv_store(at[i] + (h * (size_t)KV_PAGE + slot) * row, x + (size_t)h * width[i], width[i], type[i], turn);
    }
}

static float score_of(const struct route *rt, const float *s, uint32_t e)
{
    return s[e] + (rt->bias ? ((const float *)(const void *)rt->bias->data)[e] : 0);
}

/* The sum of the two best scores of a group of experts. */
static float group_score(const struct route *rt, const float *s, uint32_t g)
{
    uint32_t per = rt->n_expert / rt->n_group;
    float first = -INFINITY, second = -INFINITY;
    for (uint32_t e = g * per; e < (g + 1) * per; e++) {
        float x = score_of(rt, s, e);
        if (x > first) {
            second = first;
            first = x;
        } else if (x > second) {
            second = x;
        }
    }
    return per > 1 ? first + second : first;
}

/* A bit for each group whose experts may be chosen, the best n_group_used; ties to the smaller index. */
static uint64_t groups_kept(const struct route *rt, const float *s)
{
    if (rt->n_group < 2) return 1;
    uint64_t kept = 0;
    for (uint32_t k = 0; k < rt->n_group_used; k++) {
        int32_t best = -1;
        float best_score = 0;
        for (uint32_t g = 0; g < rt->n_group; g++) {
            float score = group_score(rt, s, g);
            if (kept >> g & 1 || (best >= 0 && !(score > best_score))) continue;
            best = (int32_t)g;
            best_score = score;
        }
        kept |= (uint64_t)1 << best;
    }
    return kept;
}

/* Chooses the n_used experts with the largest score (+ bias), ties to the smaller index. */
static void choose(const struct route *rt, const float *s, int32_t *id, float *w)
{
    uint64_t kept = groups_kept(rt, s);
    uint32_t per = rt->n_group < 2 ? rt->n_expert : rt->n_expert / rt->n_group;
    for (uint32_t k = 0; k < rt->n_used; k++) {
        int32_t best = -1;
        float best_score = 0;
        for (uint32_t e = 0; e < rt->n_expert; e++) {
            bool taken = !(kept >> e / per & 1);
            for (uint32_t j = 0; j < k; j++) taken |= id[j] == (int32_t)e;
            float score = score_of(rt, s, e);
            if (taken || (best >= 0 && !(score > best_score))) continue;
            best = (int32_t)e;
            best_score = score;
        }
        id[k] = best;
        w[k] = s[best];
    }
}

static void route(const struct run *r, const struct op *o, size_t t)
{
    const struct route *rt = o->route;
    float *s = float_row(r, o->in[0], t);
    int32_t *id = (int32_t *)(void *)value_row(r, o->out, t);
    float *w = float_row(r, o->out2, t);
    if (rt->gate == ROUTE_SOFTMAX) r->d->vec->softmax(s, s, rt->n_expert);
    if (rt->gate == ROUTE_SIGMOID) r->d->vec->act(s, s, rt->n_expert, VEC_SIGMOID);
    choose(rt, s, id, w);
    if (rt->gate == ROUTE_SOFTMAX_AFTER) r->d->vec->softmax(w, w, rt->n_used);
    float sum = 0;
    for (uint32_t k = 0; k < rt->n_used; k++) sum += w[k];
    if (rt->norm) {
        if (!(sum >= 6.103515625e-5f)) sum = 6.103515625e-5f;
        for (uint32_t k = 0; k < rt->n_used; k++) w[k] /= sum;
    }
    for (uint32_t k = 0; rt->scale != 1 && k < rt->n_used; k++) w[k] *= rt->scale;
}

static void gate(const struct run *r, const struct op *o, size_t t)
{
    float *x = float_row(r, o->in[0], t), g;
    r->d->vec->act(&g, float_row(r, o->in[1], t), 1, VEC_SIGMOID);
    r->d->vec->scale(x, x, g, r->p->value[o->in[0]].width);
}

static void scale_id(const struct run *r, const struct op *o, size_t t)
{
    const int32_t *id = (const int32_t *)(const void *)value_row(r, o->in[1], t);
    float *weight = float_row(r, o->in[0], t);
    for (size_t k = 0; k < r->p->n_slot; k++) weight[k] *= ((const float *)(const void *)o->w->data)[id[k]];
}

static void copy_heads(const struct run *r, const struct op *o, size_t t)
{
    const float *x = float_row(r, o->in[0], t);
    float *y = float_row(r, o->out, t);
    for (int32_t h = 0; h < o->n[0]; h++, x += o->n[2], y += o->n[3]) memcpy(y, x, (size_t)o->n[1] * sizeof *y);
}

static void pack(const struct run *r, const struct op *o, size_t row)
{
    const float *x = float_row(r, o->in[0], row);
    uint8_t *y = value_row(r, o->out, row);
    const enum act_form form = (enum act_form)o->n[0];
    if (!o->n[1]) {
        act_pack(form, x, y, r->p->value[o->in[0]].width, r->d->features);
        return;
    }
    const size_t K = (size_t)o->n[3], bytes = act_row_bytes(form, K);
    for (int32_t h = 0; h < o->n[1]; h++, x += o->n[2], y += bytes) act_pack(form, x, y, K, r->d->features);
}

static void bias_id(const struct run *r, const struct op *o, size_t t)
{
    const int32_t *id = (const int32_t *)(const void *)value_row(r, o->in[1], t);
    size_t n = r->p->value[o->in[0]].width, K = r->p->n_slot;
    for (size_t k = 0; k < K; k++) {
        float *x = float_row(r, o->in[0], t * K + k);
        r->d->vec->add(x, x, (const float *)(const void *)o->w->data + (size_t)id[k] * n, n);
    }
}

static void combine(const struct run *r, const struct op *o, size_t t)
{
    float *y = float_row(r, o->out, t);
    const float *w = float_row(r, o->in[1], t);
    size_t n = r->p->value[o->out].width, K = r->p->n_slot;
    r->d->vec->scale(y, float_row(r, o->in[0], t * K), w[0], n);
    for (size_t k = 1; k < K; k++) r->d->vec->axpy(y, float_row(r, o->in[0], t * K + k), w[k], n);
}

/* Operations whose rows all look alike, whether there is one per token or one per chosen expert. */
static void plain_op(const struct run *r, const struct op *o, size_t row)
{
    const struct vec_kernels *k = r->d->vec;
    const float *w = o->w ? (const float *)(const void *)o->w->data : NULL;
    const float *b = o->b ? (const float *)(const void *)o->b->data : NULL;
    float *x = float_row(r, o->in[0], row);
    size_t n = r->p->value[o->in[0]].width;
    switch (o->kind) {
    case OP_NORM: k->rms_norm(float_row(r, o->out, row), x, w, n, o->f[0]); break;
    case OP_LAYERNORM: k->layer_norm(float_row(r, o->out, row), x, w, b, n, o->f[0]); break;
    case OP_BIAS: k->add(x, x, w, n); break;
    case OP_SCALE: k->scale(x, x, o->f[0], n); break;
    case OP_SOFTCAP: k->softcap(x, x, o->f[0], n); break;
    case OP_ADD: k->add(x, x, float_row(r, o->in[1], row), n); break;
    case OP_MUL: k->mul(x, x, float_row(r, o->in[1], row), n); break;
    case OP_ACT: k->act(x, x, n, (enum vec_act)o->n[0]); break;
    case OP_GLU: k->glu(float_row(r, o->out, row), x, float_row(r, o->in[1], row), n, (enum vec_act)o->n[0]); break;
    case OP_GLU_CLAMP:
        k->glu_clamped(float_row(r, o->out, row), x, float_row(r, o->in[1], row), n, o->f[0], o->f[1]);
        break;
    case OP_PACK: pack(r, o, row); break;
    default: break;
    }
}

void cpu_row_op(const struct run *r, const struct op *o, size_t t)
{
    switch (o->kind) {
    case OP_EMBED: embed(r, o, t); return;
    case OP_POSITION: table_row(r, o, (size_t)r->v->pos[t], t); return;
    case OP_TYPE: table_row(r, o, r->v->segment ? r->v->segment[t] : 0, t); return;
    case OP_INPUT: memcpy(value_row(r, o->out, t), r->v->input[t], r->p->value[o->out].width * 4); return;
    case OP_ANGLES: angles(r, o, t); return;
    case OP_HEADNORM: head_norm(r, o, t); return;
    case OP_ROPE: rope(r, o, t); return;
    case OP_KV: kv_row(r, o, t); return;
    case OP_ROUTE: route(r, o, t); return;
    case OP_COMBINE: combine(r, o, t); return;
    case OP_SPLIT: split(r, o, t); return;
    case OP_L2NORM: l2_norm(r, o, t); return;
    case OP_DECAY: decay(r, o, t); return;
    case OP_GATE: gate(r, o, t); return;
    case OP_BIAS_ID: bias_id(r, o, t); return;
    case OP_SCALE_ID: scale_id(r, o, t); return;
    case OP_COPY_HEADS: copy_heads(r, o, t); return;
    case OP_LOW_EMBED: cpu_low_embed(r, o, t); return;
    case OP_STEER: cpu_steer(r, o, t); return;
    case OP_QTEMP: {
        float *x = float_row(r, o->in[0], t);
        float s = (float)(1 + (double)o->f[0] * det_log((double)(1 + r->v->pos[t] / o->n[0])));
        if (s != 1) r->d->vec->scale(x, x, s, r->p->value[o->in[0]].width);
        return;
    }
    case OP_ROWS:
        memcpy(value_row(r, o->out, t), value_row(r, o->in[0], r->v->out_row[t]), r->p->value[o->out].width * 4);
        return;
    default: break;
    }
    if (r->p->value[o->in[0]].rows != ROWS_SLOT) {
        plain_op(r, o, t);
        return;
    }
    for (size_t k = 0; k < r->p->n_slot; k++) plain_op(r, o, t * r->p->n_slot + k);
}

static void sort(const struct run *r, const struct op *o)
{
    const struct value *ids = &r->p->value[o->in[0]];
    size_t K = r->p->n_slot, n = r->v->T * K, E = r->p->value[o->out].width - 1;
    int32_t *begin = (int32_t *)(void *)value_row(r, o->out, 0), *slot = begin + E + 1, *token = slot + n;
    memset(begin, 0, (E + 1) * sizeof *begin);
    for (size_t i = 0; i < n; i++) {
        const int32_t *id = (const int32_t *)(const void *)(r->d->arena + ids->offset + i / K * ids->row_bytes);
        begin[id[i % K] + 1]++;
    }
    for (size_t e = 0; e < E; e++) begin[e + 1] += begin[e];
    for (size_t i = 0; i < n; i++) {
        const int32_t *id = (const int32_t *)(const void *)(r->d->arena + ids->offset + i / K * ids->row_bytes);
        int32_t at = begin[id[i % K]]++;
        slot[at] = (int32_t)i;
        token[at] = (int32_t)(i / K);
    }
    for (size_t e = E; e > 0; e--) begin[e] = begin[e - 1];
    begin[0] = 0;
}

/* Experts see the rows of their slots, in the order of the tokens; heads their part of each row. */
static void observe(const struct run *r, const struct op *o)
{
    const struct observer *who = r->v->observer;
    if (!who) return;
    if (o->in[1] < 0) {
        for (size_t t = 0; t < r->v->T; t++)
            for (int32_t h = 0; h < (o->n[1] > 0 ? o->n[1] : 1); h++)
                who->see(who->arg, o->w, (uint32_t)h, float_row(r, o->in[0], t) + (size_t)h * (size_t)o->n[2]);
        return;
    }
    const int32_t *begin = (const int32_t *)(const void *)value_row(r, o->in[1], 0);
    size_t E = r->p->value[o->in[1]].width - 1;
    const int32_t *slot = begin + E + 1, *row = o->n[0] ? slot : slot + r->v->T * r->p->n_slot;
    for (size_t e = 0; e < E; e++)
        for (int32_t i = begin[e]; i < begin[e + 1]; i++)
            who->see(who->arg, o->w, (uint32_t)e, float_row(r, o->in[0], (size_t)row[i]));
}

static float *kept_row(const struct run *r, size_t t, int64_t pos, size_t width)
{
    return r->v->kv[r->v->seq[t]].kept + (size_t)(pos % KEPT_ROWS) * width;
}

static void before(const struct run *r, const struct op *o)
{
    const size_t n = r->p->value[o->out].width;
    for (size_t t = 0; t < r->v->T; t++) {
        const bool first = o->in[0] < 0 || is_first(r->v, t), known = !first || r->v->kv[r->v->seq[t]].before;
        const float *x = !first ? float_row(r, o->in[0], t - 1) : known ? kept_row(r, t, r->v->pos[t] - 1, n) : NULL;
        if (x) memcpy(float_row(r, o->out, t), x, n * sizeof *x);
        else memset(float_row(r, o->out, t), 0, n * sizeof *x);
    }
}

static void keep(const struct run *r, const struct op *o)
{
    const size_t n = r->p->value[o->in[0]].width;
    const struct params *v = r->v;
    for (size_t t = 0; t < v->T; t++)
        if (t + KEPT_ROWS >= v->T || v->seq[t + KEPT_ROWS] != v->seq[t])
            memcpy(kept_row(r, t, v->pos[t], n), float_row(r, o->in[0], t), n * sizeof(float));
}

void cpu_one(const struct run *r, const struct op *o)
{
    switch (o->kind) {
    case OP_OBSERVE: observe(r, o); return;
    case OP_BEFORE: before(r, o); return;
    case OP_KEEP: keep(r, o); return;
    default: sort(r, o); return;
    }
}
