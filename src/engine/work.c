/* work.c - what a model asks of a machine, and what the machine can do: for measuring, never for computing. */
#include "base/os.h"
#include "engine/engine.h"

/* Larger than caches, and read in some milliseconds. */
enum { READ_PART = 256 << 20 };

/* What the CPU makes of F16, BF16 and floats of 8 bits are integers of 16; codes that lie apart are integers of 8 bits where the
 * device packs activations for them. */
static void add_macs(const struct hearth_model *m, struct engine_work *out, const struct weight *w, double rows)
{
    double macs = (double)w->ne[0] * (double)w->ne[1] * rows;
    const bool wide = w->type == DT_F16 || w->type == DT_BF16 || w->type == DT_F8_E4M3 || w->type == DT_MXFP8_ROWS;
    if (!m->ops->target->form(w)) out->float_macs += macs;
    else if (wide) out->wide_macs += macs;
    else out->int_macs += macs;
    out->few_macs += rows * (double)w->ne[1] * m->ops->few_row(w->type, w->ne[0]);
}

/* How many of E experts are chosen by somebody when n tokens choose k each at random. */
static double experts_met(double E, double k, double n)
{
    double none = 1;
    for (double i = 0; i < n && none > 1e-9; i++) none *= 1 - k / E;
    return E * (1 - none);
}

static void add_op(const struct hearth_model *m, const struct op *o, const struct engine_step *s, struct engine_work *out)
{
    const struct graph *g = m->variant[V_TEXT].graph;
    double tokens = (double)s->T * s->S;
    switch (o->kind) {
    case OP_MATMUL:
        add_macs(m, out, o->w, g->value[o->out].rows == ROWS_OUT ? s->n_out : tokens);
        if (g->value[o->out].rows != ROWS_OUT || s->n_out) out->bytes += (double)o->w->bytes;
        return;
    case OP_MATMUL_ID: {
        double E = (double)o->w->ne[2];
        add_macs(m, out, o->w, tokens * g->n_slot);
        out->bytes += (double)o->w->bytes / E * experts_met(E, g->n_slot, tokens);
        return;
    }
    case OP_MATMUL_HEADS:
        for (uint64_t h = 0; h < o->w->ne[2]; h++) add_macs(m, out, o->w, tokens);
        out->bytes += (double)o->w->bytes;
        return;
    case OP_EMBED:
        out->bytes += (double)o->w->bytes / (double)o->w->ne[1] * tokens;
        return;
    case OP_DELTA:
        out->bytes += 2.0 * s->S * o->recur->n_value * o->recur->dv * o->recur->dk * sizeof(float);
        return;
    case OP_ATTN: {
        const struct kv_layer *kv = &g->kv[o->n[0]];
        double seen = s->depth + s->T, window = o->n[1];
        if (window > 0 && seen > window + s->T - 1) seen = window + s->T - 1;
        enum dtype type[2] = { DT_F16, DT_F16 };
        engine_kv_types(s->kv_type, s->kv_type_v, type);
        size_t row = dtype_padded_bytes(type[0], kv->dk) + (kv->v_in_k ? 0 : dtype_padded_bytes(type[1], kv->dv));
        out->bytes += seen * s->S * kv->n_kv * (double)row;
        out->few_macs += seen * s->S * m->ops->few_kv((uint64_t)kv->n_kv * (kv->dk + kv->dv));
        return;
    }
    default: return;
    }
}

void engine_work(const struct hearth_model *m, const struct engine_step *s, struct engine_work *out)
{
    const struct graph *g = m->variant[V_TEXT].graph;
    *out = (struct engine_work){ 0 };
    for (uint32_t i = 0; i < g->n_op; i++) add_op(m, &g->op[i], s, out);
}

double engine_limit(struct hearth_model *m, enum device_limit what)
{
    uint64_t bytes = 0;
    const uint8_t *p = what == DEVICE_READ ? gguf_first_data(m->gguf, &bytes) : NULL;
    if (bytes > READ_PART) {
        if (m->limit_at + READ_PART > bytes) m->limit_at = 0;
        p += m->limit_at;
        m->limit_at += READ_PART;
        bytes = READ_PART;
    }
    lock_take(&m->lock);
    double v = m->ops->limit(m->device, what, p, (size_t)bytes);
    lock_give(&m->lock);
    return v;
}

bool engine_huge_bytes(const struct hearth_model *m, uint64_t *bytes)
{
    uint64_t n = 0;
    const uint8_t *p = gguf_first_data(m->gguf, &n);
    return p && os_huge_bytes(p, n, bytes);
}
