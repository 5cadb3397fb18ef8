/* forecast.h - whether a model fits a machine, and how fast it will be there.
 *
 * The roofline: a step takes as long as the bytes it must read, or the operations it must do, whichever is longer.  Where both
 * are near each other it takes a little longer than either: the eighth root of the sum of eighth powers (docs/advisor.md).  GPUs
 * need some time for each layer, too.  Threads: pure functions. */
#ifndef HEARTH_ADVISOR_FORECAST_H
#define HEARTH_ADVISOR_FORECAST_H

#include "advisor/machine.h"

/* Bytes that are read; multiply-adds by the kind of weights; on a CPU also the latter at its best integer rate (`few`, for one
 * token; 0: unknown). */
struct work { double bytes, int_macs, float_macs, few_macs; };

/* What a model needs. */
struct load {
    uint64_t weights, kv, compute, other;
    uint32_t n_layer, n_sessions, n_prompt;
    bool experts, encoder;
    struct work prefill, decode;           /* of a prompt; of one token of each session */
};

enum bound { BOUND_READ, BOUND_MULTIPLY };

struct forecast {
    uint64_t need;                         /* bytes */
    bool fits;
    bool fits_raised;                      /* APPLE: when the limit of its GPU is raised */
    uint32_t gpu_layers;                   /* GPU: how many are on the card, of n_layer; the rest with the host */
    double decode, prefill;                /* tokens a second, of all sessions together */
    double first_s;                        /* until the first token of an answer to the prompt */
    enum bound bound;                      /* of decode */
    double read_s, multiply_s, layers_s;   /* of one step of decode, what the forecast consists of */
};

/* share of ops that prefill reaches on this machine */
double forecast_prefill_share(const struct machine *m, bool experts);
void forecast_make(struct forecast *out, const struct machine *m, const struct load *l);

/* ---- what it costs ---- */

struct cost_options {
    double price;                          /* of the machine */
    double watts, kwh;                     /* while it computes; price of a kilowatt-hour */
    double tokens_day;                     /* written */
    double prompt_day;                     /* read, for time and energy */
    double month, mtok;                    /* what is paid otherwise: each month, for a million tokens written; 0: not */
};
struct cost {
    double hours_day;                      /* of computing */
    bool possible;                         /* in one day */
    double kwh_mtok, energy_mtok;          /* for a million tokens: kilowatt-hours, their price */
    double energy_month, otherwise_month;
    double months;                         /* until the price is saved; < 0: never */
};
void cost_make(struct cost *out, const struct cost_options *o, const struct forecast *f);

#endif
