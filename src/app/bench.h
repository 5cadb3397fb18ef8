/* bench.h - measures a model: prefill and decode in tokens per second, and how near that is to what the machine can do.
 *
 * The limit of a test is the time in which the machine, at the rates measured right before and after it, could read the bytes or
 * do the multiply-adds that the test needs, whichever takes longer (engine_work counts both, attention's arithmetic not).
 *   bench_run.c     measuring
 *   bench_print.c   results as text
 * Threads: main thread. */
#ifndef HEARTH_APP_BENCH_H
#define HEARTH_APP_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/adapters.h"
#include "base/buf.h"
#include "base/err.h"
#include "hearth.h"

enum { BENCH_MAX_LIST = 16, BENCH_MAX_REPEAT = 1000 };

struct bench_list { uint32_t v[BENCH_MAX_LIST]; size_t n; };

struct bench_plan {
    const char *path;                      /* NULL: the embedded model */
    const char *cpu;
    struct adapter_options adapters;
    struct hearth_rope_options rope;
    /* Every combination is measured, in this order; 0 tokens of prefill or decode: none of it. */
    struct bench_list threads, kv, depth, prefill, batch, decode, parallel;
    uint32_t repeat;
    uint64_t seed;
};

/* first, last: medians of the first and the last quarter of the repetitions: whether it slows down. */
struct bench_stat { double median, min, max, first, last; };

/* PARALLEL: decoding through the engine that serves many, sampling included. */
enum bench_kind { BENCH_PREFILL, BENCH_DECODE, BENCH_PARALLEL };

struct bench_result {
    enum bench_kind kind;
    uint32_t tokens;                       /* prompt, or steps of decoding */
    uint32_t depth, batch, threads, repeat;/* repeat: how often it was measured */
    int kv;                                /* HEARTH_KV_* of keys, and of values << 8 */
    struct bench_stat tok_s;               /* of all sequences together */
    struct bench_stat pct;                 /* of the limit */
};

/* What the machine could do while the tests ran. */
struct bench_limits {
    uint32_t threads;
    struct bench_stat read, int8, int16, f32;      /* bytes, multiply-adds per second */
};

struct bench {
    struct bench_plan plan;
    char *model, *name, *arch, *instructions;      /* copies of what hearth_model_info says */
    uint64_t file_bytes, n_parameters, peak_bytes;
    uint64_t huge_bytes;                   /* of the mapped weights in huge pages after the tests; UINT64_MAX: unknown */
    double load_s, first_s;                /* opening; from then to the first logits, of first_tokens tokens */
    uint32_t first_tokens;
    struct bench_result *result;
    size_t n_results, cap_results;
    struct bench_limits limits[BENCH_MAX_LIST];
    size_t n_limits;
};

/* Measures b->plan.  ERR_CANCELLED after a signal: what was measured is there. */
int bench_run(struct bench *b, struct err *err);
void bench_release(struct bench *b);

/* The result that stands for all of its kind: without depth and batch when there is such a one, else the first; NULL: none. */
const struct bench_result *bench_main_result(const struct bench *b, enum bench_kind kind);

extern const char *const bench_kv_name[];       /* by HEARTH_KV_* */

enum bench_format { BENCH_TABLE, BENCH_JSON, BENCH_CSV, BENCH_MARKDOWN };
void bench_print(const struct bench *b, enum bench_format format, struct buf *out);

#endif
