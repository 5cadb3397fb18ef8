/* fit.h - whether a model fits a machine and how fast it would be there: gathered, and as text.
 *
 *   fit.c        the model's needs (from a file here, or from headers that are fetched), the machine, the forecasts
 *   fit_print.c  results as text and JSON
 * Threads: main thread. */
#ifndef HEARTH_APP_FIT_H
#define HEARTH_APP_FIT_H

#include "advisor/forecast.h"
#include "hearth.h"
#include "store/pull.h"

enum { FIT_QUANTS = 12 };

struct fit_options {
    const char *machine;                   /* NULL: this one, measured */
    const char *registry, *hub;            /* as for a pull */
    float bandwidth, ops;                  /* in the place of what is measured: GB/s, Gop/s; 0: not given */
    uint32_t context, parallel, prompt, threads;
    int kv_type, kv_type_v;                /* HEARTH_KV_* */
    bool offline;                          /* asks no server */
    float price, watts, kwh, tokens_day, prompt_day, month, mtok;
};

struct fit_quant { const char *name; uint64_t bytes; struct forecast f; };

struct fit {
    const struct fit_options *o;
    const char *operand;
    struct machine machine;
    struct hearth_needs needs;
    uint64_t fetched;                      /* bytes, of a model that is not here; else 0 */
    bool here;
    struct load load;
    struct forecast forecast;
    uint32_t most_ctx;                     /* the longest context that fits; 0: not even a short one */
    struct fit_quant quant[FIT_QUANTS];    /* the same model in other mixtures */
    size_t n_quants;
    bool has_cost;
    struct cost cost;
    double watts;                          /* what cost was counted with */
};

/* The machine of the options. */
int fit_machine(struct machine *out, const struct fit_options *o, struct err *err);
/* Fills all of out; out->o and out->operand are set. */
int fit_model(struct fit *out, struct err *err);

void fit_table(const struct fit *f, bool explain, struct buf *out);
bool fit_json(const struct fit *f, struct buf *out);           /* false: out of memory */
/* "12.3", "0.45", "1234": three digits that count. */
void put_speed(double v, struct buf *out);

#endif
