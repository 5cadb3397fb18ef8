#include <string.h>

#include "app/bench.h"
#include "app/model_name.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/engine.h"

enum { CHUNK = 512 };                      /* tokens that prefill evaluates at once */

/* ---- numbers ---- */

struct samples { double *v; size_t n, cap; bool bad; };

static void add_sample(struct samples *s, double x)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        double *v = mem_resize(s->v, cap, sizeof *v);
        s->bad |= !v;
        if (!v) return;
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = x;
}

/* Sorts n samples; returns their median. */
static double median_of(double *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        double x = v[i];
        size_t k = i;
        for (; k > 0 && v[k - 1] > x; k--) v[k] = v[k - 1];
        v[k] = x;
    }
    return (v[n / 2] + v[(n - 1) / 2]) / 2;
}

/* Forgets them. */
static struct bench_stat take_stat(struct samples *s)
{
    struct bench_stat r = { 0 };
    if (s->n) {
        size_t quarter = (s->n + 3) / 4;
        r.first = median_of(s->v, quarter);
        r.last = median_of(s->v + s->n - quarter, quarter);
        r.median = median_of(s->v, s->n);
        r.min = s->v[0];
        r.max = s->v[s->n - 1];
    }
    mem_free(s->v);
    *s = (struct samples){ 0 };
    return r;
}

static uint32_t largest(const struct bench_list *l)
{
    uint32_t m = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i] > m) m = l->v[i];
    return m;
}

/* ---- one group of tests: they share sessions ---- */

struct rates { double read, int8, int16, f32; };

struct group {
    struct bench *b;
    struct hearth_model *model;
    struct adapters adapters;
    struct hearth_model_info info;
    struct samples read, int8, int16, f32; /* of all tests with this number of threads */
    int kv;
    uint32_t depth, n_ctx;
    struct hearth_session **session;
    struct hearth_batch_item *item;
    struct hearth_engine *engine;          /* while it is measured */
    uint32_t n_sessions;
    int32_t *ids, *next;                   /* [n_ctx]; next: a token for each session */
    uint64_t random;
};

static int32_t random_id(struct group *g)
{
    g->random = g->random * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((g->random >> 33) % g->info.n_vocab);
}

static bool go_on(void *arg, size_t done, size_t total)
{
    (void)arg, (void)done, (void)total;
    return !signals_pending();
}

static int failed(const struct hearth_error *e, struct err *err) { return err_set(err, e->code, "%s", e->message); }

static int stopped(struct err *err) { return err_set(err, ERR_CANCELLED, "stopped"); }

static struct rates measure_rates(struct group *g)
{
    struct rates r = { engine_limit(g->model, DEVICE_READ), engine_limit(g->model, DEVICE_INT8),
                       engine_limit(g->model, DEVICE_INT16), engine_limit(g->model, DEVICE_F32) };
    add_sample(&g->read, r.read);
    add_sample(&g->int8, r.int8);
    add_sample(&g->int16, r.int16);
    add_sample(&g->f32, r.f32);
    return r;
}

/* ---- tests ---- */

struct test {
    struct bench_result r;
    struct engine_work work;               /* what all of it needs */
};

static void add_work(const struct group *g, struct test *t, struct engine_step s)
{
    struct engine_work w;
    s.kv_type = g->kv & 255;
    s.kv_type_v = g->kv >> 8;
    engine_work(g->model, &s, &w);
    t->work.int_macs += w.int_macs;
    t->work.wide_macs += w.wide_macs;
    t->work.float_macs += w.float_macs;
    t->work.bytes += w.bytes;
}

/* The text of a session becomes the first n ids. */
static int rewind_to(struct group *g, uint32_t i, uint32_t n, struct err *err)
{
    struct hearth_error e;
    return hearth_session_sync(g->session[i], g->ids, n, &e) < 0 ? failed(&e, err) : 0;
}

/* Decoding cannot begin with nothing: depth 0 is behind one token. */
static uint32_t begin_of(const struct group *g) { return g->depth ? g->depth : 1; }

static int decode_step(struct group *g, uint32_t batch, struct err *err)
{
    struct hearth_error e;
    for (uint32_t i = 0; i < batch; i++) {
        g->next[i] = random_id(g);
        g->item[i] = (struct hearth_batch_item){ g->session[i], &g->next[i], 1 };
    }
    if (signals_pending()) return stopped(err);
    return hearth_batch_append(g->item, batch, &e) < 0 ? failed(&e, err) : 0;
}

/* So many requests with the text before them, which the engine's cache has, and their answers. */
static int answer_all(struct group *g, const struct test *t, struct err *err)
{
    struct hearth_request *r[256] = { NULL };
    struct hearth_error e;
    struct hearth_sampler_options so;
    int rc = 0;
    hearth_sampler_defaults(g->model, &so);
    for (uint32_t i = 0; i < t->r.batch && rc == 0; i++) {
        so.seed = g->random + i;
        struct hearth_request_options o = { .ids = g->ids, .n = begin_of(g), .max_tokens = t->r.tokens, .sampler = &so,
                                            .ignore_end = true };
        if (hearth_request_submit(&r[i], g->engine, &o, &e) < 0) rc = failed(&e, err);
    }
    for (uint32_t i = 0; i < t->r.batch; i++) {
        if (r[i] && hearth_request_wait(r[i]) == HEARTH_FINISH_ERROR && rc == 0)
            rc = err_set(err, ERR_LIMIT, "%s: no memory was left for %u answers at once", g->info.path, t->r.batch);
        hearth_request_close(r[i]);
    }
    return rc == 0 && signals_pending() ? stopped(err) : rc;
}

/* Makes ready what is not measured. */
static int prepare(struct group *g, const struct test *t, struct err *err)
{
    int rc = 0;
    if (t->r.kind == BENCH_PREFILL) {
        if (g->depth) rc = rewind_to(g, 0, g->depth, err);
        /* Another first token: nothing behind it is kept from the last time. */
        g->ids[g->depth] = (int32_t)(((uint32_t)g->ids[g->depth] + 1) % g->info.n_vocab);
        return rc;
    }
    for (uint32_t i = 0; t->r.kind == BENCH_DECODE && i < t->r.batch && rc == 0; i++) rc = rewind_to(g, i, begin_of(g), err);
    return rc;
}

static int perform(struct group *g, const struct test *t, struct err *err)
{
    if (t->r.kind == BENCH_PREFILL) return rewind_to(g, 0, g->depth + t->r.tokens, err);
    if (t->r.kind == BENCH_PARALLEL) return answer_all(g, t, err);
    int rc = 0;
    for (uint32_t i = 0; i < t->r.tokens && rc == 0; i++) rc = decode_step(g, t->r.batch, err);
    return rc;
}

/* The first time compiles plans and touches memory. */
static int warm_up(struct group *g, const struct test *t, struct err *err)
{
    struct test less = *t;
    uint32_t most = t->r.kind == BENCH_PREFILL ? CHUNK : 1;
    if (less.r.tokens > most) less.r.tokens = most;
    int rc = prepare(g, &less, err);
    return rc < 0 ? rc : perform(g, &less, err);
}

static double limit_seconds(const struct test *t, struct rates a, struct rates b)
{
    double reading = t->work.bytes / ((a.read + b.read) / 2);
    double multiplying = t->work.int_macs / ((a.int8 + b.int8) / 2) + t->work.wide_macs / ((a.int16 + b.int16) / 2) +
        t->work.float_macs / ((a.f32 + b.f32) / 2);
    return reading > multiplying ? reading : multiplying;
}

static int keep_result(struct bench *b, const struct bench_result *r, struct err *err)
{
    if (b->n_results == b->cap_results) {
        size_t cap = b->cap_results ? 2 * b->cap_results : 32;
        struct bench_result *v = mem_resize(b->result, cap, sizeof *v);
        if (!v) return err_set(err, ERR_NOMEM, "out of memory for the results");
        b->result = v;
        b->cap_results = cap;
    }
    b->result[b->n_results++] = *r;
    return 0;
}

/* The bandwidth of rented machines changes from second to second, so limits and tests take turns. */
static int run_test(struct group *g, struct test *t, struct err *err)
{
    struct samples tok_s = { 0 }, pct = { 0 };
    uint32_t repeat = g->b->plan.repeat;
    int rc = warm_up(g, t, err);
    for (uint32_t i = 0; i < repeat && rc == 0; i++) {
        static const char *const name[] = { "prefill", "decode", "parallel" };
        term_progress("%s %u, depth %u, batch %u, %u threads: %u of %u", name[t->r.kind], t->r.tokens, t->r.depth, t->r.batch,
                      t->r.threads, i + 1, repeat);
        if ((rc = prepare(g, t, err)) < 0) break;
        struct rates before = measure_rates(g);
        uint64_t start = os_now_ns();
        rc = perform(g, t, err);
        double s = (double)(os_now_ns() - start + 1) * 1e-9;
        if (rc < 0) break;
        add_sample(&tok_s, (double)t->r.tokens * t->r.batch / s);
        add_sample(&pct, 100 * limit_seconds(t, before, measure_rates(g)) / s);
    }
    if (tok_s.bad || pct.bad) rc = err_set(err, ERR_NOMEM, "out of memory for the results");
    t->r.repeat = (uint32_t)tok_s.n;
    t->r.tok_s = take_stat(&tok_s);
    t->r.pct = take_stat(&pct);
    if (!t->r.repeat) return rc;
    struct err more;
    int kept = keep_result(g->b, &t->r, &more);
    if (kept < 0 && rc == 0) return err_set(err, kept, "%s", more.msg);
    return rc;
}

static int run_prefill(struct group *g, uint32_t tokens, struct err *err)
{
    struct test t = { .r = { BENCH_PREFILL, tokens, g->depth, 1, g->info.threads, 0, g->kv, { 0 }, { 0 } } };
    for (uint32_t at = 0; at < tokens; at += CHUNK) {
        uint32_t n = tokens - at < CHUNK ? tokens - at : CHUNK;
        add_work(g, &t, (struct engine_step){ n, 1, at + n == tokens, (double)g->depth + at, 0, 0 });
    }
    return run_test(g, &t, err);
}

static int run_decode(struct group *g, uint32_t tokens, uint32_t batch, struct err *err)
{
    struct test t = { .r = { BENCH_DECODE, tokens, g->depth, batch, g->info.threads, 0, g->kv, { 0 }, { 0 } } };
    for (uint32_t i = 0; i < tokens; i++)
        add_work(g, &t, (struct engine_step){ 1, batch, batch, (double)begin_of(g) + i, 0, 0 });
    return run_test(g, &t, err);
}

static int run_parallel(struct group *g, uint32_t tokens, uint32_t requests, struct err *err)
{
    struct test t = { .r = { BENCH_PARALLEL, tokens, g->depth, requests, g->info.threads, 0, g->kv, { 0 }, { 0 } } };
    struct hearth_engine_options o = { .n_ctx = g->n_ctx + 1, .max_running = requests, .kv_type = g->kv & 255,
                                       .kv_type_v = g->kv >> 8 };
    struct hearth_error e;
    if (hearth_engine_open(&g->engine, g->model, &o, &e) < 0) return failed(&e, err);
    for (uint32_t i = 0; i < tokens; i++)
        add_work(g, &t, (struct engine_step){ 1, requests, requests, (double)begin_of(g) + i, 0, 0 });
    int rc = run_test(g, &t, err);
    hearth_engine_close(g->engine);
    return rc;
}

/* ---- sessions ---- */

static void close_sessions(struct group *g)
{
    for (uint32_t i = 0; g->session && i < g->n_sessions; i++) hearth_session_close(g->session[i]);
    mem_free(g->session);
    mem_free(g->item);
    mem_free(g->ids);
    mem_free(g->next);
    g->session = NULL;
    g->item = NULL;
    g->ids = g->next = NULL;
}

/* Nothing comes from a cache: that is not what is measured. */
static struct hearth_session_options session_options(const struct group *g)
{
    return (struct hearth_session_options){ .n_ctx = g->n_ctx, .kv_type = g->kv & 255, .kv_type_v = g->kv >> 8, .n_batch = CHUNK,
                                            .no_cache = true, .progress = go_on };
}

static int check_memory(const struct group *g, struct err *err)
{
    struct hearth_session_options o = session_options(g), least = o;
    least.n_ctx = 1;
    uint64_t one = hearth_session_bytes(g->model, &o), base = hearth_session_bytes(g->model, &least);
    uint64_t need = one + (g->n_sessions - 1) * (one - base), free = os_memory_available();
    if (!free || need < free) return 0;
    return err_set(err, ERR_LIMIT, "%s: %u sessions of %u tokens need %.2f GB, but only %.2f GB of memory are free; use a "
                   "smaller --depth or --batch", g->info.path, g->n_sessions, g->n_ctx, (double)need / 1e9, (double)free / 1e9);
}

static int open_sessions(struct group *g, struct err *err)
{
    const struct bench_plan *p = &g->b->plan;
    uint32_t a = g->depth + largest(&p->prefill), d = begin_of(g) + largest(&p->decode);
    g->n_ctx = a > d ? a : d;
    g->n_sessions = largest(&p->decode) ? largest(&p->batch) : 1;
    int rc = check_memory(g, err);
    if (rc < 0) return rc;
    g->session = mem_new_array(struct hearth_session *, g->n_sessions);
    g->item = mem_new_array(struct hearth_batch_item, g->n_sessions);
    g->next = mem_new_array(int32_t, g->n_sessions);
    g->ids = mem_new_array(int32_t, g->n_ctx);
    if (!g->session || !g->item || !g->next || !g->ids) return err_set(err, ERR_NOMEM, "out of memory for %u sessions",
                                                                       g->n_sessions);
    for (uint32_t i = 0; i < g->n_ctx; i++) g->ids[i] = random_id(g);
    struct hearth_session_options o = session_options(g);
    struct hearth_error e;
    for (uint32_t i = 0; i < g->n_sessions; i++)
        if (hearth_session_open(&g->session[i], g->model, &o, &e) < 0) return failed(&e, err);
    return 0;
}

/* The first text that this process evaluates: nothing is in place yet. */
static int run_first(struct group *g, uint64_t start, struct err *err)
{
    struct bench *b = g->b;
    uint32_t n = b->plan.prefill.n && b->plan.prefill.v[0] ? b->plan.prefill.v[0] : 1;
    b->first_tokens = n < CHUNK ? n : CHUNK;
    int rc = rewind_to(g, 0, b->first_tokens, err);
    b->first_s = (double)(os_now_ns() - start) * 1e-9;
    return rc;
}

static int run_group(struct group *g, uint64_t start, struct err *err)
{
    const struct bench_plan *p = &g->b->plan;
    int rc = open_sessions(g, err);
    if (rc == 0 && !g->b->first_tokens) rc = run_first(g, start, err);
    for (size_t i = 0; i < p->prefill.n && rc == 0; i++)
        if (p->prefill.v[i]) rc = run_prefill(g, p->prefill.v[i], err);
    for (size_t i = 0; i < p->batch.n && rc == 0; i++)
        for (size_t k = 0; k < p->decode.n && rc == 0; k++)
            if (p->decode.v[k]) rc = run_decode(g, p->decode.v[k], p->batch.v[i], err);
    for (size_t i = 0; i < p->parallel.n && rc == 0; i++)
        for (size_t k = 0; k < p->decode.n && rc == 0; k++)
            if (p->decode.v[k]) rc = run_parallel(g, p->decode.v[k], p->parallel.v[i], err);
    close_sessions(g);
    return rc;
}

/* ---- all of it ---- */

static int open_model(struct group *g, uint32_t threads, struct err *err)
{
    struct bench *b = g->b;
    const char *path = b->plan.path;
    struct hearth_model_options o = { .threads = threads, .cpu = b->plan.cpu, .rope = b->plan.rope };
    struct hearth_error e;
    uint64_t start = os_now_ns();
    int rc = path ? named_model_open(&g->model, path, &o, &e) : hearth_model_open_embedded(&g->model, &o, &e);
    if (rc < 0) return failed(&e, err);
    if ((rc = adapters_open(&g->adapters, g->model, &b->plan.adapters, err)) < 0) return rc;
    hearth_model_info(g->model, &g->info);
    if (b->model) return 0;
    b->load_s = (double)(os_now_ns() - start) * 1e-9;
    b->model = mem_strdup(g->info.path, strlen(g->info.path));
    b->name = mem_strdup(g->info.name, strlen(g->info.name));
    b->arch = mem_strdup(g->info.architecture, strlen(g->info.architecture));
    b->instructions = mem_strdup(g->info.cpu, strlen(g->info.cpu));
    b->file_bytes = g->info.file_bytes;
    b->n_parameters = g->info.n_parameters;
    if (!b->model || !b->name || !b->arch || !b->instructions) return err_set(err, ERR_NOMEM, "out of memory");
    return 0;
}

static int run_threads(struct bench *b, uint32_t threads, struct err *err)
{
    const struct bench_plan *p = &b->plan;
    struct group g = { .b = b, .random = p->seed };
    uint64_t start = os_now_ns();
    int rc = open_model(&g, threads, err);
    for (size_t i = 0; i < p->kv.n && rc == 0; i++)
        for (size_t k = 0; k < p->depth.n && rc == 0; k++) {
            g.kv = (int)p->kv.v[i];
            g.depth = p->depth.v[k];
            rc = run_group(&g, start, err);
        }
    if (g.model) {
        if (!engine_huge_bytes(g.model, &b->huge_bytes)) b->huge_bytes = UINT64_MAX;
        struct bench_limits *l = &b->limits[b->n_limits++];
        l->threads = g.info.threads;
        l->read = take_stat(&g.read);
        l->int8 = take_stat(&g.int8);
        l->int16 = take_stat(&g.int16);
        l->f32 = take_stat(&g.f32);
    }
    adapters_close(&g.adapters);
    hearth_model_close(g.model);
    return rc;
}

int bench_run(struct bench *b, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < b->plan.threads.n && rc == 0; i++) rc = run_threads(b, b->plan.threads.v[i], err);
    b->peak_bytes = os_memory_peak();
    term_progress_end();
    return rc;
}

void bench_release(struct bench *b)
{
    mem_free(b->model);
    mem_free(b->name);
    mem_free(b->arch);
    mem_free(b->instructions);
    mem_free(b->result);
    *b = (struct bench){ 0 };
}

const struct bench_result *bench_main_result(const struct bench *b, enum bench_kind kind)
{
    const struct bench_result *first = NULL;
    for (size_t i = 0; i < b->n_results; i++) {
        const struct bench_result *r = &b->result[i];
        if (r->kind != kind) continue;
        if (!r->depth && r->batch == 1) return r;
        if (!first) first = r;
    }
    return first;
}
