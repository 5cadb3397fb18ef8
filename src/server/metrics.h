/* metrics.h - what the front counts, per model, as Prometheus reads it.  Threads: any. */
#ifndef HEARTH_SERVER_METRICS_H
#define HEARTH_SERVER_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/lock.h"

enum { METRIC_MODELS = 32, METRIC_BOUNDS = 12, METRIC_NAME = 128, METRIC_PLACES = 15 };
struct histogram { uint64_t bucket[METRIC_BOUNDS + 1], count; double sum; };

struct metric_model {
    char name[METRIC_NAME];
    uint64_t jobs, failed, cancelled, prompt_tokens, cached_tokens, answer_tokens, reasoning_tokens, loads;
    uint64_t drafts, draft_tokens, draft_right;       /* of guesses: how often some were checked; how many; right ones */
    double load_s, prompt_s, answer_s;
    struct histogram first, between, waited;   /* seconds: to the first text; between two; in the queues */
};

struct metrics {
    struct lock lock;
    struct metric_model model[METRIC_MODELS];  /* the last one: all others, "other" */
    size_t n_models;
    uint64_t right_at[METRIC_PLACES];          /* guesses that proved right, by their place; of all models */
    uint64_t most_tokens;                      /* of one job: prompt and answer */
    _Atomic uint64_t status[6];                /* answers by hundreds */
    _Atomic uint64_t refused, sent, received;  /* refused: by the queue; bytes of bodies */
};

/* One job that is over, as its events told. */
struct metric_job { const char *model; double first_s, waited_s; bool text, failed, cancelled; const struct json *done; };
void metrics_job(struct metrics *m, const struct metric_job *j);
void metrics_between(struct metrics *m, const char *model, double s);

struct metric_gauges { uint64_t connections, requests, running, waiting, restarts, memory_peak; bool ready, draining; };
/* status: the engine's answer to op "status" (job.h), or NULL; its numbers are written as they are called there. */
void metrics_put(struct metrics *m, const struct metric_gauges *g, const struct json *status, struct buf *out);

#endif
