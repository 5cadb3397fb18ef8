#include "advisor/forecast.h"

#include <math.h>

/* Measured: docs/advisor.md. */
#define CPU_PREFILL          0.57
#define CPU_PREFILL_EXPERTS  0.46
#define CPU_FLOAT            0.35          /* of the integer rate, matrices of 16-bit floats */
#define CPU_FEW              0.13          /* a matrix and one token, when nothing more is known */
#define GPU_PREFILL          0.45
#define GPU_PREFILL_EXPERTS  0.25
#define APPLE_PREFILL        0.65
#define APPLE_PREFILL_EXPERTS 0.42
#define APPLE_LAYER_S        65e-6
#define APPLE_LAYER_EXPERTS_S 100e-6
#define GPU_LAYER_S          20e-6
#define GPU_LAYER_EXPERTS_S  35e-6
#define HOST_READ            60e9          /* of the host beside a GPU, bytes a second */
#define HOST_OPS             1.5e12

static double join(double a, double b)
{
    double most = a > b ? a : b;
    return most > 0 ? most * pow(pow(a / most, 8) + pow(b / most, 8), 0.125) : 0;
}

static bool is_cpu(const struct machine *m) { return m->kind == MACHINE_HOST || m->kind == MACHINE_CPU; }

double forecast_prefill_share(const struct machine *m, bool experts)
{
    if (is_cpu(m)) return experts ? CPU_PREFILL_EXPERTS : CPU_PREFILL;
    if (m->kind == MACHINE_APPLE) return experts ? APPLE_PREFILL_EXPERTS : APPLE_PREFILL;
    return experts ? GPU_PREFILL_EXPERTS : GPU_PREFILL;
}

static double layer_s(const struct machine *m, const struct load *l)
{
    if (is_cpu(m)) return 0;
    if (m->kind == MACHINE_APPLE) return l->n_layer * (l->experts ? APPLE_LAYER_EXPERTS_S : APPLE_LAYER_S);
    return l->n_layer * (l->experts ? GPU_LAYER_EXPERTS_S : GPU_LAYER_S);
}

/* Seconds to multiply with many tokens at once. */
static double many_s(const struct machine *m, const struct work *w, bool experts)
{
    double ops = m->ops * forecast_prefill_share(m, experts);
    if (!is_cpu(m)) return 2 * (w->int_macs + w->float_macs) / ops;
    return 2 * w->int_macs / ops + 2 * w->float_macs / (m->ops * CPU_FLOAT);
}

/* With up to three tokens matrices are multiplied row by row as they come, with more like a prompt. */
static double decode_multiply_s(const struct machine *m, const struct load *l)
{
    const struct work *w = &l->decode;
    if (!is_cpu(m) || l->n_sessions > 3) return many_s(m, w, l->experts);
    double macs = w->few_macs > 0 ? w->few_macs : (w->int_macs + w->float_macs) / CPU_FEW;
    return 2 * macs / m->ops;
}

/* Of a card that is too small, so many layers as fit, each with its keys and values. */
static void place(struct forecast *f, const struct machine *m, const struct load *l)
{
    uint64_t fixed = l->compute, layer = (l->weights + l->kv) / (l->n_layer ? l->n_layer : 1);
    f->gpu_layers = l->n_layer;
    f->fits = f->need <= m->room;
    f->fits_raised = f->need <= m->room_raised;
    if (m->kind != MACHINE_GPU || f->fits || !m->ram) return;
    uint64_t n = m->room > fixed && layer ? (m->room - fixed) / layer : 0;
    f->gpu_layers = n < l->n_layer ? (uint32_t)n : l->n_layer;
    f->fits = f->fits_raised = f->need <= m->room + m->ram;
}

void forecast_make(struct forecast *out, const struct machine *m, const struct load *l)
{
    *out = (struct forecast){ .need = l->weights + l->kv + l->compute + l->other };
    place(out, m, l);
    double here = l->n_layer ? (double)out->gpu_layers / l->n_layer : 1, beside = 1 - here;
    double prefill_read = l->prefill.bytes * (here / m->read + beside / HOST_READ);
    double prefill_host = 2 * (l->prefill.int_macs + l->prefill.float_macs) * beside / HOST_OPS;
    double prefill = join(many_s(m, &l->prefill, l->experts) * here + prefill_host, prefill_read);
    out->prefill = prefill > 0 ? l->n_prompt / prefill : 0;
    out->first_s = prefill;
    if (l->encoder) return;
    out->read_s = l->decode.bytes * (here / (m->read * m->share) + beside / HOST_READ);
    out->multiply_s = decode_multiply_s(m, l) * here;
    out->layers_s = layer_s(m, l);
    out->bound = out->read_s >= out->multiply_s ? BOUND_READ : BOUND_MULTIPLY;
    double step = join(out->read_s, out->multiply_s) + out->layers_s;
    out->decode = step > 0 ? l->n_sessions / step : 0;
}

/* ---- cost ---- */

void cost_make(struct cost *out, const struct cost_options *o, const struct forecast *f)
{
    const double days = 365.25 / 12;
    *out = (struct cost){ .months = -1 };
    if (!(f->decode > 0)) return;
    double seconds = o->tokens_day / f->decode + (f->prefill > 0 ? o->prompt_day / f->prefill : 0);
    out->hours_day = seconds / 3600;
    out->possible = seconds <= 86400;
    out->kwh_mtok = 1e6 / f->decode / 3600 * o->watts / 1000;
    out->energy_mtok = out->kwh_mtok * o->kwh;
    out->energy_month = out->hours_day * days * o->watts / 1000 * o->kwh;
    out->otherwise_month = o->month + o->mtok * o->tokens_day * days / 1e6;
    double saved = out->otherwise_month - out->energy_month;
    if (saved > 0 && o->price >= 0) out->months = o->price / saved;
}
