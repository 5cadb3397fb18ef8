/* sched_test.c - the engine that serves many: each answer is what it would be alone, whatever runs beside it; queue, priorities,
 * limits, cancels and deadlines; nothing is left behind. */
#include <stdatomic.h>
#include <unistd.h>

#include "tests/engine_fixture.h"

enum { MOST = 24 };

/* What came back for one request. */
struct answer {
    int32_t id[4][MOST];
    uint32_t n[4], kept[4], events;
    int finish[4];
    uint64_t hash;                     /* of the rows of the first completion */
    uint32_t stop_after;               /* false from the callback after so many tokens; 0: never */
    _Atomic uint32_t order;            /* when its first token came */
    char error[512];
};

static _Atomic uint32_t clock_;

static bool keep(void *arg, const struct hearth_event *ev)
{
    struct answer *a = arg;
    uint32_t c = ev->completion;
    a->events++;
    a->kept[c] = ev->n_kept;
    if (ev->id >= 0) {
        assert_non_null(ev->session);
        if (c == 0) a->hash = hash_add(a->n[0] ? a->hash : HASH_START, hearth_session_logits(ev->session), TINY_VOCAB * 4);
        if (a->n[c] < MOST) a->id[c][a->n[c]] = ev->id;
        a->n[c]++;
        if (!atomic_load(&a->order)) atomic_store(&a->order, atomic_fetch_add(&clock_, 1) + 1);
        assert_int_equal(ev->n_answer, a->n[c]);
    }
    if (ev->finish) a->finish[c] = ev->finish;
    if (ev->error) snprintf(a->error, sizeof a->error, "%s", ev->error->message);
    return !a->stop_after || a->n[c] < a->stop_after;
}

static struct hearth_engine *open_engine(struct hearth_model *m, struct hearth_engine_options o)
{
    struct hearth_engine *g;
    struct hearth_error e;
    if (!o.n_ctx) o.n_ctx = 256;
    if (hearth_engine_open(&g, m, &o, &e) < 0) fail_msg("%s", e.message);
    return g;
}

static struct hearth_sampler_options hot(uint64_t seed)
{
    struct hearth_sampler_options o;
    hearth_sampler_defaults(NULL, &o);
    o.temperature = 1;
    o.top_k = 0;
    o.seed = seed;
    return o;
}

/* The text of request k, and what it answers. */
static struct hearth_request_options request(uint32_t k, int32_t *text, struct hearth_sampler_options *so, struct answer *a)
{
    uint32_t n = 3 + k * 37 % 130;
    for (uint32_t i = 0; i < n; i++) text[i] = (int32_t)((i * (k % 3 + 1) + k / 5) % TINY_VOCAB);
    *so = hot(k);
    return (struct hearth_request_options){ .ids = text, .n = n, .max_tokens = 5 + k % 7, .sampler = so, .ignore_end = true,
                                            .event = keep, .arg = a };
}

/* The same with a session of its own. */
static struct answer alone(struct hearth_model *m, uint32_t k, uint32_t completion)
{
    int32_t text[N + 40];
    struct hearth_sampler_options so;
    struct answer a = { 0 };
    struct hearth_request_options o = request(k, text, &so, &a);
    struct hearth_session *s;
    struct hearth_sampler *p;
    struct hearth_error e;
    so.seed += completion;
    assert_int_equal(hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 256, .no_cache = true }, &e), 0);
    assert_int_equal(hearth_sampler_open(&p, m, &so, &e), 0);
    assert_int_equal(hearth_session_sync(s, text, o.n, &e), 0);
    a.hash = HASH_START;
    for (uint32_t i = 0; i < o.max_tokens; i++) {
        a.hash = hash_add(a.hash, hearth_session_logits(s), TINY_VOCAB * 4);
        int32_t id = a.id[0][a.n[0]++] = hearth_sampler_pick(p, s);
        assert_int_equal(hearth_session_append(s, &id, 1, &e), 0);
    }
    hearth_sampler_close(p);
    hearth_session_close(s);
    return a;
}

static void check_same(const struct answer *got, const struct answer *want, uint32_t completion)
{
    assert_int_equal(got->n[completion], want->n[0]);
    assert_memory_equal(got->id[completion], want->id[0], want->n[0] * sizeof *want->id[0]);
    if (!completion) assert_true(got->hash == want->hash);
}

/* Everything that was taken has been given back. */
static void check_idle(struct hearth_model *m, struct hearth_engine *g)
{
    struct hearth_engine_stats s;
    struct hearth_memory mem;
    for (int i = 0; i < 2000; i++) {
        hearth_engine_stats(g, &s);
        if (!s.n_running && !s.n_queued) break;
        usleep(1000);
    }
    if (s.n_running || s.n_queued || s.n_finished != s.n_requests)
        fail_msg("%u run, %u wait, %d of %d have ended", s.n_running, s.n_queued, (int)s.n_finished, (int)s.n_requests);
    hearth_cache_clear(m);
    hearth_model_memory(m, &mem);
    assert_int_equal(mem.n_pages, 0);
    assert_int_equal(mem.kv_used, 0);
}

/* D1: many at once, admitted at different times, in chunks of prompts; alone each gives the same bits. */
static void answers_do_not_depend_on_the_others(void **state)
{
    (void)state;
    enum { R = 10 };
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 1);
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .max_running = 7, .budget_ms = 1 });
        struct hearth_request *r[R];
        struct hearth_error e;
        static struct answer a[R];
        memset(a, 0, sizeof a);
        for (uint32_t k = 0; k < R; k++) {
            int32_t text[N + 40];
            struct hearth_sampler_options so;
            struct hearth_request_options o = request(k, text, &so, &a[k]);
            if (hearth_request_submit(&r[k], g, &o, &e) < 0) fail_msg("%s", e.message);
        }
        for (uint32_t k = 0; k < R; k++) {
            assert_int_equal(hearth_request_wait(r[k]), HEARTH_FINISH_LENGTH);
            hearth_request_close(r[k]);
            struct answer want = alone(m, k, 0);
            check_same(&a[k], &want, 0);
        }
        check_idle(m, g);
        hearth_engine_close(g);
        hearth_model_close(m);
    }
}

/* One prompt is evaluated once for several completions; each has the seed of its own. */
static void completions_share_their_prompt(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 1);
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ 0 });
        struct hearth_engine_stats s;
        struct answer a = { 0 };
        int32_t text[N + 40];
        struct hearth_sampler_options so;
        struct hearth_request_options o = request(11, text, &so, &a);
        struct hearth_request *r;
        struct hearth_error e;
        o.n_completions = 4;
        assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
        assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_LENGTH);
        hearth_request_close(r);
        hearth_engine_stats(g, &s);
        assert_int_equal(s.n_prompt_tokens, o.n);
        for (uint32_t c = 0; c < 4; c++) {
            struct answer want = alone(m, 11, c);
            check_same(&a, &want, c);
            assert_int_equal(a.finish[c], HEARTH_FINISH_LENGTH);
        }
        assert_memory_not_equal(a.id[0], a.id[1], a.n[0] * sizeof *a.id[0]);
        check_idle(m, g);
        hearth_engine_close(g);
        hearth_model_close(m);
    }
}

static void the_cache_serves_requests(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(1, NULL, 1);
    struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ 0 });
    struct answer a[2] = { { .events = 0 } };
    for (int k = 0; k < 2; k++) {
        int32_t text[N + 40];
        struct hearth_sampler_options so;
        struct hearth_request_options o = request(3, text, &so, &a[k]);
        struct hearth_request *r;
        struct hearth_error e;
        assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
        hearth_request_wait(r);
        hearth_request_close(r);
        assert_int_equal(a[k].kept[0], k ? o.n - 1 : 0);
    }
    check_same(&a[1], &a[0], 0);
    hearth_engine_close(g);
    hearth_model_close(m);
}

/* The one slot is taken by a long answer; those that wait come by priority, then from who has nothing, then in their order. */
static void the_queue_is_fair(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(1, NULL, 1);
    struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .max_running = 2, .max_queued = 5 });
    static struct answer a[8];
    struct hearth_request *r[8] = { NULL };
    struct hearth_error e;
    memset(a, 0, sizeof a);
    static const struct { uint64_t user; int priority; uint32_t max; } row[8] = {
        { 1, 0, 60 }, { 2, 0, 200 }, { 2, 0, 3 }, { 1, 0, 3 }, { 2, 5, 3 }, { 3, -1, 3 }, { 1, 5, 3 }, { 9, 0, 3 } };
    for (uint32_t k = 0; k < 8; k++) {
        int32_t text[N + 40];
        struct hearth_sampler_options so;
        struct hearth_engine_stats s = { 0 };
        struct hearth_request_options o = request(k, text, &so, &a[k]);
        o.n = 3, o.user = row[k].user, o.priority = row[k].priority, o.max_tokens = row[k].max;
        int rc = hearth_request_submit(&r[k], g, &o, &e);
        assert_int_equal(rc, k == 7 ? HEARTH_ELIMIT : 0);
        for (int i = 0; k < 2 && i < 2000 && s.n_running <= k; i++) {
            hearth_engine_stats(g, &s);
            usleep(100);
        }
    }
    assert_null(r[7]);
    assert_non_null(strstr(e.message, "5 requests are waiting"));
    for (uint32_t k = 0; k < 7; k++) hearth_request_wait(r[k]);
    /* User 1's first ends first; then priority 5 of user 1 (who has nothing running), of user 2; 0 of user 1, of user 2; -1. */
    static const uint32_t order[] = { 6, 4, 3, 2, 5 };
    for (int k = 0; k + 1 < 5; k++) assert_true(atomic_load(&a[order[k]].order) < atomic_load(&a[order[k + 1]].order));
    for (uint32_t k = 0; k < 7; k++) hearth_request_close(r[k]);
    check_idle(m, g);
    hearth_engine_close(g);
    hearth_model_close(m);
}

static void requests_end_early(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(1, NULL, 1);
    struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .max_running = 3 });
    static struct answer a[6];
    struct hearth_request *r[6];
    struct hearth_error e;
    memset(a, 0, sizeof a);
    for (uint32_t k = 0; k < 6; k++) {
        int32_t text[N + 40];
        struct hearth_sampler_options so;
        struct hearth_request_options o = request(k, text, &so, &a[k]);
        o.max_tokens = 0, o.n = 3;
        if (k == 0) a[k].stop_after = 4;
        if (k == 1) o.max_tokens = 6;
        if (k == 2) o.deadline_ms = 1;
        if (k == 5) o.deadline_ms = 1;                             /* while it waits */
        assert_int_equal(hearth_request_submit(&r[k], g, &o, &e), 0);
        if (k == 3) hearth_request_cancel(r[k]);
    }
    assert_int_equal(hearth_request_wait(r[0]), HEARTH_FINISH_STOPPED);
    assert_int_equal(a[0].n[0], 4);
    assert_int_equal(hearth_request_wait(r[1]), HEARTH_FINISH_LENGTH);
    assert_int_equal(hearth_request_wait(r[2]), HEARTH_FINISH_DEADLINE);
    assert_int_equal(hearth_request_wait(r[3]), HEARTH_FINISH_CANCELLED);
    assert_int_equal(hearth_request_wait(r[4]), HEARTH_FINISH_CONTEXT);
    assert_int_equal(a[4].n[0], 256 - 3);
    assert_int_equal(hearth_request_wait(r[5]), HEARTH_FINISH_DEADLINE);
    for (uint32_t k = 0; k < 6; k++) {
        if (k) assert_int_equal(a[k].finish[0], hearth_request_wait(r[k]));
        hearth_request_close(r[k]);
    }
    check_idle(m, g);
    struct hearth_request_options o = { .ids = ids, .n = 256 };
    assert_int_equal(hearth_request_submit(&r[0], g, &o, &e), HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "256"));
    o = (struct hearth_request_options){ .ids = (int32_t[]){ TINY_VOCAB }, .n = 1 };
    assert_int_equal(hearth_request_submit(&r[0], g, &o, &e), HEARTH_EARG);
    o = (struct hearth_request_options){ .ids = ids, .n = 1, .n_completions = 4 };
    assert_int_equal(hearth_request_submit(&r[0], g, &o, &e), HEARTH_ELIMIT);
    hearth_engine_close(g);
    hearth_model_close(m);
}

/* Answers that do not fit together take turns, and still are what they are alone; an engine that closes ends the rest. */
static void too_little_memory_for_all(void **state)
{
    (void)state;
    enum { R = 5 };
    static const size_t which[] = { 0, 3, 8 };
    for (size_t w = 0; w < 3; w++) {
        struct hearth_model *m = open_model(which[w], NULL, 1);
        struct hearth_memory mem;
        struct hearth_error e;
        struct hearth_session *s = open_session(m, 0);
        sync_hash(s, N);
        hearth_model_memory(m, &mem);
        uint64_t one = mem.kv_used;
        hearth_session_close(s);
        hearth_model_close(m);
        struct hearth_model_options mo = { .threads = 1, .kv_limit = 3 * one + one / 2 + 20 * 4096, .cache_limit = one };
        assert_int_equal(hearth_model_open(&m, model_path(which[w]), &mo, &e), 0);
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .max_running = R });
        struct hearth_engine_stats stats;
        struct hearth_request *r[R];
        static struct answer a[R];
        static int32_t text[R][N];
        memset(a, 0, sizeof a);
        for (uint32_t k = 0; k < R; k++) {
            for (int i = 0; i < N; i++) text[k][i] = (ids[i] + (int32_t)k) % TINY_VOCAB;
            struct hearth_sampler_options so = hot(k);
            struct hearth_request_options o = { .ids = text[k], .n = 100, .max_tokens = 60, .sampler = &so, .ignore_end = true,
                                                .event = keep, .arg = &a[k] };
            if (hearth_request_submit(&r[k], g, &o, &e) < 0) fail_msg("%s", e.message);
        }
        for (uint32_t k = 0; k < R; k++) {
            if (hearth_request_wait(r[k]) != HEARTH_FINISH_LENGTH) fail_msg("%d: %s", hearth_request_wait(r[k]), a[k].error);
            hearth_request_close(r[k]);
        }
        hearth_engine_stats(g, &stats);
        assert_true(stats.n_preempted > 0);
        for (uint32_t k = 0; k < R; k++) {
            struct hearth_sampler_options so = hot(k);
            struct hearth_sampler *p;
            struct hearth_session_options o = { .n_ctx = 256, .no_cache = true };
            assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
            assert_int_equal(hearth_sampler_open(&p, m, &so, &e), 0);
            assert_int_equal(hearth_session_sync(s, text[k], 100, &e), 0);
            for (int i = 0; i < MOST; i++) {
                int32_t id = hearth_sampler_pick(p, s);
                if (id != a[k].id[0][i])
                    fail_msg("model %zu, request %u: token %d is %d, not %d", which[w], k, i, a[k].id[0][i], id);
                assert_int_equal(hearth_session_append(s, &id, 1, &e), 0);
            }
            hearth_sampler_close(p);
            hearth_session_close(s);
        }
        struct hearth_request_options o = { .ids = ids, .n = 3, .ignore_end = true };
        assert_int_equal(hearth_request_submit(&r[0], g, &o, &e), 0);
        hearth_engine_close(g);
        assert_int_equal(hearth_request_wait(r[0]), HEARTH_FINISH_CANCELLED);
        hearth_request_close(r[0]);
        hearth_model_close(m);
    }
}

static int32_t second_best(void *arg, uint32_t completion, const struct hearth_session *s)
{
    const float *z = hearth_session_logits(s);
    int32_t best = 0, next = -1;
    (void)arg, (void)completion;
    for (int32_t i = 1; i < TINY_VOCAB; i++) {
        if (z[i] > z[best]) next = best, best = i;
        else if (next < 0 || z[i] > z[next]) next = i;
    }
    size_t n;
    hearth_session_ids(s, &n);
    return n < 8 ? next : -1;
}

static void a_caller_may_pick(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(2, NULL, 1);
    struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ 0 });
    struct answer a = { 0 };
    struct hearth_request *r;
    struct hearth_error e;
    struct hearth_request_options o = { .ids = ids, .n = 3, .ignore_end = true, .event = keep, .pick = second_best, .arg = &a };
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
    assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_STOPPED);
    assert_int_equal(a.n[0], 5);
    hearth_request_close(r);
    hearth_engine_close(g);
    hearth_model_close(m);
}

/* No allocation in steps that only write. */
static _Atomic uint64_t counted[2];
static bool count_memory(void *arg, const struct hearth_event *ev)
{
    (void)arg;
    if (ev->n_answer == 5) atomic_store(&counted[0], mem_count());
    if (ev->n_answer == 90) atomic_store(&counted[1], mem_count());
    return true;
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i += 2) {
        struct hearth_model *m = open_model(i, NULL, 1);
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ 0 });
        struct hearth_request *r;
        struct hearth_error e;
        struct hearth_request_options o = { .ids = ids, .n = 20, .n_completions = 3, .max_tokens = 100, .ignore_end = true,
                                            .event = count_memory };
        assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
        hearth_request_wait(r);
        assert_true(atomic_load(&counted[0]) > 0);
        assert_int_equal(atomic_load(&counted[1]), atomic_load(&counted[0]));
        hearth_request_close(r);
        hearth_engine_close(g);
        hearth_model_close(m);
    }
}

/* Fails the n-th allocation until a request is answered; the engine serves the next all the same. */
static void running_out_of_memory_ends_one_request(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(0, NULL, 1);
    struct answer want = alone(m, 1, 0);
    int finish = 0;
    for (int64_t n = 0; finish != HEARTH_FINISH_LENGTH; n++) {
        struct hearth_engine *g = NULL;
        struct hearth_request *r = NULL;
        struct hearth_error e;
        struct answer a = { 0 };
        int32_t text[N + 40];
        struct hearth_sampler_options so;
        struct hearth_request_options o = request(1, text, &so, &a);
        assert_in_range(n, 0, 200);
        mem_fail_after(n);
        int rc = hearth_engine_open(&g, m, &(struct hearth_engine_options){ .n_ctx = 256 }, &e);
        if (rc == 0) rc = hearth_request_submit(&r, g, &o, &e);
        if (rc == 0) finish = hearth_request_wait(r);
        mem_fail_after(-1);
        if (rc < 0) assert_int_equal(rc, HEARTH_ENOMEM);
        else if (finish != HEARTH_FINISH_LENGTH) assert_int_equal(finish, HEARTH_FINISH_ERROR);
        hearth_request_close(r);
        if (g) {
            memset(&a, 0, sizeof a);
            assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
            assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_LENGTH);
            check_same(&a, &want, 0);
            hearth_request_close(r);
            check_idle(m, g);
        }
        hearth_engine_close(g);
    }
    hearth_model_close(m);
}

/* Random arrivals, cancels and callers that go away, for so many seconds (the program's argument). */
static uint64_t storm_s = 1;

enum { LIVE = 96, KINDS = 16 };

struct storm {
    struct hearth_model *m;
    struct hearth_engine *g;
    struct hearth_request *r[LIVE];
    struct answer a[LIVE], want[KINDS];
    uint32_t kind[LIVE], x;
    bool whole[LIVE];
    uint64_t total, good;
};

static void storm_end(struct storm *w, uint32_t i)
{
    if (w->x >> 28 < 5) {
        w->whole[i] = false;
        hearth_request_cancel(w->r[i]);
    }
    int finish = hearth_request_wait(w->r[i]);
    if (w->whole[i]) {
        assert_int_equal(finish, HEARTH_FINISH_LENGTH);
        check_same(&w->a[i], &w->want[w->kind[i]], 0);
        w->good++;
    }
    hearth_request_close(w->r[i]);
    w->r[i] = NULL;
}

static void storm_begin(struct storm *w, uint32_t i, uint32_t k)
{
    int32_t text[N + 40];
    struct hearth_sampler_options so;
    struct hearth_error e;
    const uint32_t x = w->x;
    memset(&w->a[i], 0, sizeof w->a[i]);
    struct hearth_request_options o = request(k, text, &so, &w->a[i]);
    w->kind[i] = k, w->whole[i] = true;
    o.user = k % 3, o.priority = (int)(x >> 30), o.cache_salt = k % 2, o.no_cache = x >> 29 == 1;
    if (x >> 26 == 7) o.deadline_ms = 1, w->whole[i] = false;
    if (x >> 26 == 9) w->a[i].stop_after = 2, w->whole[i] = false;
    if (x >> 27 == 3) o.n_completions = 3;
    int rc = hearth_request_submit(&w->r[i], w->g, &o, &e);
    if (rc < 0 && rc != HEARTH_ELIMIT) fail_msg("%s", e.message);
    w->total++;
    /* A caller that goes away without waiting: its answer's memory stays. */
    if (w->r[i] && x >> 26 == 11) hearth_request_wait(w->r[i]);
}

/* Bytes on the heap when nothing runs and nothing is remembered, without the spare memory for keys and values. */
static int64_t storm_rest(struct storm *w, struct hearth_memory *mem)
{
    check_idle(w->m, w->g);
    hearth_model_memory(w->m, mem);
    return mem_bytes() - (int64_t)mem->kv_reserved;
}

/* For so long, and until so many requests have come and so many answers were compared, however slow the machine. */
static void storm(struct storm *w, double seconds, uint64_t least, uint64_t good)
{
    const uint64_t end = os_now_ns() + (uint64_t)(seconds * 1e9);
    while (os_now_ns() < end || w->total < least || w->good < good) {
        w->x = w->x * 1664525u + 1013904223u;
        const uint32_t i = (w->x >> 8) % LIVE;
        if (w->r[i]) storm_end(w, i);
        else storm_begin(w, i, (w->x >> 16) % KINDS);
    }
    for (int i = 0; i < LIVE; i++) {
        if (!w->r[i]) continue;
        if (i % 2) hearth_request_cancel(w->r[i]);
        hearth_request_wait(w->r[i]);
        hearth_request_close(w->r[i]);
        w->r[i] = NULL;
    }
}

static void a_storm_of_requests(void **state)
{
    (void)state;
    static struct storm w;
    struct hearth_memory before, after;
    struct hearth_engine_stats s;
    w = (struct storm){ .m = open_model(3, NULL, 1), .x = 7 };
    w.g = open_engine(w.m, (struct hearth_engine_options){ .max_running = 64, .max_queued = 64 });
    for (uint32_t k = 0; k < KINDS; k++) w.want[k] = alone(w.m, k, 0);
    storm(&w, (double)storm_s / 5, 30, 0);              /* tables find their size */
    const int64_t heap = storm_rest(&w, &before);
    storm(&w, (double)storm_s * 4 / 5, 60, 11);
    const int64_t grown = storm_rest(&w, &after) - heap;
    hearth_engine_stats(w.g, &s);
    print_message("# %llu requests, %llu compared; pages in use %llu, then %llu; slots %u; spare KB %llu, then %llu; heap %+lld "
                  "bytes\n", (unsigned long long)w.total, (unsigned long long)w.good, (unsigned long long)before.n_pages,
                  (unsigned long long)after.n_pages, s.n_running, (unsigned long long)before.kv_reserved >> 10,
                  (unsigned long long)after.kv_reserved >> 10, (long long)grown);
    assert_true(w.good > 10);
    assert_true(after.kv_reserved <= before.kv_reserved);
    assert_in_range(grown + (1 << 20), 0, (1 << 20) + (16 << 10));
    hearth_engine_close(w.g);
    hearth_model_close(w.m);
}

struct reading { uint32_t n, done[64], kept, total; struct answer a; };

static void note_reading(void *arg, uint32_t done, uint32_t kept, uint32_t total)
{
    struct reading *r = arg;
    if (r->n < 64) r->done[r->n++] = done;
    r->kept = kept;
    r->total = total;
}

static bool note_answer(void *arg, const struct hearth_event *ev)
{
    struct reading *r = arg;
    assert_true(ev->id < 0 || ev->sampler);
    return keep(&r->a, ev);
}

/* A prompt that takes several steps tells how far it is, from the moment that it has its slot. */
static void reading_is_told(void **unused)
{
    (void)unused;
    enum { LONG = 1200 };
    struct hearth_model *m = open_model(0, NULL, 1);
    struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 1400 });
    struct hearth_request *r;
    struct hearth_error e;
    static int32_t text[LONG];
    struct reading x = { .n = 0 };
    for (int i = 0; i < LONG; i++) text[i] = i * 7 % 256;
    struct hearth_request_options o = { .ids = text, .n = LONG, .max_tokens = 2, .ignore_end = true, .event = note_answer,
                                        .read = note_reading, .arg = &x };
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
    assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_LENGTH);
    assert_true(x.n >= 3);
    assert_int_equal(x.done[0], 0);
    for (uint32_t i = 1; i < x.n; i++) assert_true(x.done[i] > x.done[i - 1] && x.done[i] < LONG);
    assert_int_equal(x.total, LONG);
    assert_int_equal(x.kept, 0);
    hearth_request_close(r);
    text[300]++;                                               /* the same up to here */
    x = (struct reading){ .n = 0 };
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
    assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_LENGTH);
    assert_int_equal(x.kept, x.a.kept[0]);
    assert_in_range(x.kept, 64, 300);
    hearth_request_close(r);
    hearth_engine_close(g);
    hearth_model_close(m);
}

int main(int argc, char **argv)
{
    if (argc > 1) storm_s = strtoull(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_do_not_depend_on_the_others),
        cmocka_unit_test(completions_share_their_prompt),
        cmocka_unit_test(the_cache_serves_requests),
        cmocka_unit_test(the_queue_is_fair),
        cmocka_unit_test(requests_end_early),
        cmocka_unit_test(too_little_memory_for_all),
        cmocka_unit_test(a_caller_may_pick),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(running_out_of_memory_ends_one_request),
        cmocka_unit_test(reading_is_told),
        cmocka_unit_test(a_storm_of_requests),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
