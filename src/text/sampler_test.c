#include "tests/testing.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/detmath.h"
#include "text/order.h"
#include "text/sampler.h"

static struct sampler_options off(void)
{
    return (struct sampler_options){ .temperature = 1, .top_p = 1, .typical_p = 1, .repeat_penalty = 1 };
}

static struct sampler *opened(struct sampler_options o, int32_t n)
{
    struct sampler *s;
    struct err e = { 0 };
    if (sampler_open(&s, &o, &(struct sampler_vocab){ n, NULL }, &e) < 0) fail_msg("%s", e.msg);
    return s;
}

static int32_t pick(struct sampler *s, const float *z, uint64_t position)
{
    return sampler_pick(s, &(struct sampler_input){ .logits = z, .n = (size_t)position });
}

static uint64_t state = 1;
static double rnd(void) { return det_uniform(77, state++, 5); }

/* ---- arithmetic ---- */

static void math_is_close_to_libm(void **unused)
{
    (void)unused;
    for (int i = 0; i < 20000; i++) {
        double x = (rnd() - 0.5) * 1400, y = exp(x);
        assert_true(fabs(det_exp(x) - y) <= 1e-14 * y);
        x = rnd() * 4 - 2;
        assert_true(fabs(det_exp(x) - exp(x)) <= 1e-15 * exp(x));
        double v = exp((rnd() - 0.5) * 1000);
        assert_true(fabs(det_log(v) - log(v)) <= 1e-15 * (1 + fabs(log(v))));
    }
    assert_true(det_exp(0) == 1);
    assert_true(det_exp(-INFINITY) == 0);
    assert_true(det_log(1) == 0);
}

/* Known answers of the generator's authors (Random123, kat_vectors, philox4x32 10). */
static void philox_known_answers(void **unused)
{
    (void)unused;
    static const struct { uint32_t c[4], k[2], out[4]; } kat[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        det_philox(kat[i].c, kat[i].k, out);
        assert_memory_equal(out, kat[i].out, sizeof out);
    }
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void order_sorts_prefixes(void **unused)
{
    (void)unused;
    static uint64_t a[3000], b[3000];
    for (int t = 0; t < 300; t++) {
        size_t n = (size_t)(rnd() * 3000), want = (size_t)(rnd() * (double)(n + 2));
        for (size_t i = 0; i < n; i++) {
            uint64_t high = t % 4 == 0 ? i : t % 4 == 1 ? n - i : t % 4 == 2 ? (i * 7919) % 13 : (uint64_t)(rnd() * 1e9);
            a[i] = b[i] = high << 32 | i;
        }
        qsort(b, n, sizeof *b, by_key);
        struct order o = { a, n, 0 };
        order_upto(&o, 1);
        order_upto(&o, want);
        assert_true(o.sorted >= (want < n ? want : n));
        if (o.sorted) assert_memory_equal(a, b, o.sorted * sizeof *a);
    }
}

/* ---- against a naive implementation of the definitions ---- */

struct naive { int32_t id; double z, p, d; };

static int by_logit(const void *a, const void *b)
{
    const struct naive *x = a, *y = b;
    return x->z != y->z ? (x->z > y->z ? -1 : 1) : x->id - y->id;
}
static int by_distance(const void *a, const void *b)
{
    const struct naive *x = a, *y = b;
    return (float)x->d != (float)y->d ? ((float)x->d < (float)y->d ? -1 : 1) : x->id - y->id;
}

static void softmax(struct naive *c, size_t n, double t)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) max = c[i].z > max ? c[i].z : max;
    for (size_t i = 0; i < n; i++) sum += c[i].p = exp((c[i].z - max) / t);
    for (size_t i = 0; i < n; i++) c[i].p /= sum;
}

static size_t naive_typical(struct naive *c, size_t n, double typical, size_t keep)
{
    softmax(c, n, 1);
    double h = 0, seen = 0;
    for (size_t i = 0; i < n; i++) h -= c[i].p > 0 ? c[i].p * log(c[i].p) : 0;
    for (size_t i = 0; i < n; i++) c[i].d = fabs(-log(c[i].p) - h);
    qsort(c, n, sizeof *c, by_distance);
    size_t i = 0;
    while (i < n && (i < keep || !(seen > typical))) seen += c[i++].p;
    qsort(c, i, sizeof *c, by_logit);
    return i;
}

/* Leaves the candidates with their final probabilities in c, the most likely first. */
static size_t naive_filter(struct naive *c, size_t n, const struct sampler_options *o)
{
    qsort(c, n, sizeof *c, by_logit);
    size_t keep = o->min_keep > 1 ? (size_t)o->min_keep : 1;
    if (keep > n) keep = n;
    if (o->top_k > 0) {
        size_t k = (size_t)o->top_k > keep ? (size_t)o->top_k : keep;
        n = k < n ? k : n;
    }
    if (o->typical_p < 1) n = naive_typical(c, n, o->typical_p, keep);
    if (o->top_p < 1) {
        softmax(c, n, 1);
        double seen = 0;
        size_t i = 0;
        while (i < n && (i < keep || seen < o->top_p)) seen += c[i++].p;
        n = i;
    }
    if (o->min_p > 0) {
        size_t i = 0;
        while (i < n && (i < keep || c[i].z >= c[0].z + log(o->min_p))) i++;
        n = i;
    }
    softmax(c, n, o->temperature);
    return n;
}

static int32_t naive_pick(struct naive *c, size_t n, const struct sampler_options *o, uint64_t position)
{
    n = naive_filter(c, n, o);
    double u = det_uniform(o->seed, position, 0), seen = 0;
    for (size_t i = 0; i < n; i++)
        if ((seen += c[i].p) > u) return c[i].id;
    return c[n - 1].id;
}

static void random_options(struct sampler_options *o, int t)
{
    *o = off();
    o->seed = (uint64_t)t * 1234567891011u;
    if (t & 1) o->top_k = 1 + (int32_t)(rnd() * 60);
    if (t & 2) o->top_p = (float)rnd();
    if (t & 4) o->min_p = (float)(rnd() * 0.3);
    if (t & 8) o->typical_p = (float)rnd();
    if (t & 16) o->min_keep = (int32_t)(rnd() * 10);
    o->temperature = (float)(0.1 + rnd() * 3);
}

static void filters_match_the_definitions(void **unused)
{
    (void)unused;
    static float z[1500];
    static struct naive c[1500];
    for (int t = 0; t < 3000; t++) {
        struct sampler_options o;
        random_options(&o, t);
        int32_t n = 1 + (int32_t)(rnd() * (t % 7 ? 200 : 1499));
        for (int32_t i = 0; i < n; i++) {
            double v = (rnd() + rnd() - 1) * (t % 5 ? 12 : 2);
            z[i] = (float)(t % 3 ? v : floor(v));              /* every third case is full of ties */
            c[i] = (struct naive){ .id = i, .z = z[i] };
        }
        struct sampler *s = opened(o, n);
        assert_int_equal(pick(s, z, (uint64_t)t), naive_pick(c, (size_t)n, &o, (uint64_t)t));
        sampler_close(s);
    }
}

static void penalties_match_the_definition(void **unused)
{
    (void)unused;
    enum { N = 40, T = 300 };
    int32_t text[T];
    float z[N];
    for (int t = 0; t < 400; t++) {
        struct sampler_options o = off();
        o.temperature = 0;
        o.repeat_penalty = (float)(0.5 + rnd() * 2);
        o.frequency_penalty = (float)(rnd() - 0.3);
        o.presence_penalty = (float)(rnd() - 0.3);
        o.repeat_last_n = t % 5 == 0 ? -1 : (int32_t)(rnd() * 50);
        struct sampler *s = opened(o, N);
        int len = (int)(rnd() * T), first = o.repeat_last_n < 0 || o.repeat_last_n > len ? 0 : len - o.repeat_last_n;
        for (int i = 0; i < len; i++) text[i] = (int32_t)(rnd() * (N + 2)) - 1;   /* also bad ids */
        int best = -1;
        float best_z = 0;
        for (int i = 0; i < N; i++) {
            int count = 0;
            for (int j = first; j < len; j++) count += text[j] == i;
            float v = z[i] = (float)(rnd() * 10 - 5);
            if (count) {
                v = v > 0 ? v / o.repeat_penalty : v * o.repeat_penalty;
                v -= (float)count * o.frequency_penalty + o.presence_penalty;
            }
            if (best < 0 || v > best_z) best = i, best_z = v;
        }
        assert_int_equal(sampler_pick(s, &(struct sampler_input){ z, text, (size_t)len }), best);
        best = 0;
        for (int i = 1; i < N; i++)
            if (z[i] > z[best]) best = i;
        assert_int_equal(pick(s, z, 0), best);
        sampler_close(s);
    }
}

/* ---- distributions ---- */

static double chi_square(const struct sampler_options *o, const float *z, int32_t n, const double *p, int draws)
{
    struct sampler *s = opened(*o, n);
    int seen[64] = { 0 };
    for (int i = 0; i < draws; i++) seen[pick(s, z, (uint64_t)i)]++;
    sampler_close(s);
    double x = 0;
    for (int32_t i = 0; i < n; i++) {
        double want = p[i] * draws;
        if (want == 0)
            assert_int_equal(seen[i], 0);
        else
            x += (seen[i] - want) * (seen[i] - want) / want;
    }
    return x;
}

static void draws_follow_the_distribution(void **unused)
{
    (void)unused;
    enum { N = 8, DRAWS = 200000 };
    float z[N];
    double p[N], sum = 0;
    for (int i = 0; i < N; i++) sum += p[i] = i + 1;
    for (int i = 0; i < N; i++) z[i] = (float)log(p[i] /= sum);
    for (uint64_t seed = 0; seed < 5; seed++) {                /* 7 degrees of freedom: 24.3 is passed once in 1000 */
        struct sampler_options o = off();
        o.seed = seed;
        assert_true(chi_square(&o, z, N, p, DRAWS) < 24.3);
        o.top_k = 3;                                           /* 6, 7, 8 of 21 */
        double top[N] = { 0, 0, 0, 0, 0, 6 / 21.0, 7 / 21.0, 8 / 21.0 };
        assert_true(chi_square(&o, z, N, top, DRAWS) < 13.8);
        o.top_k = 0;
        o.temperature = 0.5f;                                  /* squares: 1, 4, ..., 64 of 204 */
        double cold[N];
        for (int i = 0; i < N; i++) cold[i] = (i + 1) * (i + 1) / 204.0;
        assert_true(chi_square(&o, z, N, cold, DRAWS) < 24.3);
    }
}

static void exact_filters(void **unused)
{
    (void)unused;
    static const float z[4] = { 0.0f, -0.69314718f, -1.3862944f, -2.0794415f };   /* 8 : 4 : 2 : 1 */
    const double all[4] = { 8 / 15., 4 / 15., 2 / 15., 1 / 15. }, three[4] = { 8 / 14., 4 / 14., 2 / 14., 0 },
                 two[4] = { 8 / 12., 4 / 12., 0, 0 }, one[4] = { 1, 0, 0, 0 };
    struct { float top_p, min_p; int32_t min_keep; const double *p; } row[] = {
        { 1, 0, 0, all }, { 0.9f, 0, 0, three }, { 0.79f, 0, 0, two }, { 0.5f, 0, 0, one }, { 0, 0, 0, one },
        { 1, 0.2f, 0, three }, { 1, 0.3f, 0, two }, { 1, 0.6f, 0, one }, { 1, 5, 0, one }, { 0.5f, 0, 3, three },
        { 1, 1, 2, two }, { 0.9f, 0.3f, 0, two },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct sampler_options o = off();
        o.top_p = row[i].top_p;
        o.min_p = row[i].min_p;
        o.min_keep = row[i].min_keep;
        assert_true(chi_square(&o, z, 4, row[i].p, 20000) < 16.3);
    }
}

/* Four equal tokens, so that sums are exact: reaching top_p is enough, typical_p must be exceeded, min_p may be equal. */
static void boundaries(void **unused)
{
    (void)unused;
    static const float z[5] = { 1, 1, 1, 1, 0 };
    static const struct { int32_t top_k; float top_p, typical_p, min_p; int n; } row[] = {
        { 4, 0.5f, 1, 0, 2 }, { 4, 1, 0.5f, 0, 3 }, { 4, 0.75f, 0.75f, 0, 3 }, { 0, 1, 1, 1, 4 }, { 4, 1, 1, 1, 4 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct sampler_options o = off();
        o.top_k = row[i].top_k;
        o.top_p = row[i].top_p;
        o.typical_p = row[i].typical_p;
        o.min_p = row[i].min_p;
        double p[5] = { 0 };
        for (int k = 0; k < row[i].n; k++) p[k] = 1.0 / row[i].n;
        assert_true(chi_square(&o, z, 5, p, 20000) < 16.3);
    }
}

/* ---- promises ---- */

static void ties_go_to_the_smaller_id(void **unused)
{
    (void)unused;
    enum { N = 1000 };
    static float z[N];
    for (int i = 0; i < N; i++) z[i] = (float)(i % 3);         /* 2, 5, 8, ... are best */
    z[0] = -0.0f;
    struct sampler_options o = off();
    o.temperature = 0;
    struct sampler *s = opened(o, N);
    assert_int_equal(pick(s, z, 0), 2);
    sampler_close(s);
    o.temperature = 1;
    for (o.top_k = 1; o.top_k < 40; o.top_k++) {
        s = opened(o, N);
        for (uint64_t i = 0; i < 200; i++) {
            int32_t id = pick(s, z, i);
            assert_true(id % 3 == 2 && id / 3 < o.top_k);
        }
        sampler_close(s);
    }
}

static void a_pick_depends_on_seed_and_position_only(void **unused)
{
    (void)unused;
    enum { N = 5000 };
    static float z[N];
    for (int i = 0; i < N; i++) z[i] = (float)(rnd() * 8);
    struct sampler_options o = off();
    o.seed = 42;
    struct sampler *a = opened(o, N), *b = opened(o, N);
    int32_t id[100];
    for (uint64_t i = 0; i < 100; i++) id[i] = pick(a, z, i);
    int same = 0;
    for (uint64_t i = 100; i-- > 0;) assert_int_equal(pick(b, z, i), id[i]);
    for (int i = 1; i < 100; i++) same += id[i] == id[i - 1];
    assert_true(same < 5);
    sampler_close(a);
    o.seed = 43;
    a = opened(o, N);
    same = 0;
    for (uint64_t i = 0; i < 100; i++) same += pick(a, z, i) == id[i];
    assert_true(same < 5);
    sampler_close(a);
    sampler_close(b);
}

static void hostile_values(void **unused)
{
    (void)unused;
    enum { N = 300 };
    static float z[N + 3];
    static int32_t ids[N + 3];
    for (int t = 0; t < 2000; t++) {
        struct sampler_options o;
        random_options(&o, t);
        if (t % 11 == 0) o.temperature = 1e-38f;
        if (t % 13 == 0) o.temperature = FLT_MAX;
        if (t % 17 == 0) o.repeat_penalty = FLT_MAX, o.repeat_last_n = -1;
        struct sampler *s = opened(o, N);
        for (int i = 0; i < N + 3; i++) {
            static const float odd[] = { NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0, -0.0f, 1e-45f };
            z[i] = odd[(size_t)(rnd() * 8)];
            ids[i] = i / 3;
        }
        z[N] = z[N + 1] = INFINITY;                            /* beyond the vocabulary */
        assert_int_equal(sampler_bias(s, 7, -INFINITY, NULL), 0);
        int32_t id = sampler_pick(s, &(struct sampler_input){ z, ids, (size_t)t % (N + 3) });
        assert_true(id >= 0 && id < N && id != 7);
        assert_false(isnan(z[id]));
        sampler_close(s);
    }
}

static void nothing_possible(void **unused)
{
    (void)unused;
    float z[4] = { NAN, -INFINITY, -INFINITY, NAN };
    for (float t = 0; t < 2; t++) {
        struct sampler_options o = off();
        o.temperature = t;
        struct sampler *s = opened(o, 4);
        assert_int_equal(pick(s, z, 0), 0);
        assert_int_equal(sampler_bias(s, 0, -INFINITY, NULL), 0);
        assert_int_equal(sampler_bias(s, 0, INFINITY, NULL), 0);
        assert_int_equal(pick(s, z, 0), 1);
        z[2] = -3;
        assert_int_equal(pick(s, z, 0), 2);
        z[2] = -INFINITY;
        sampler_close(s);
    }
}

static void bad_options_are_named(void **unused)
{
    (void)unused;
    const struct sampler_vocab five = { 5, NULL };
    struct { size_t at; float v; const char *word; } row[] = {
        { offsetof(struct sampler_options, temperature), NAN, "temperature" },
        { offsetof(struct sampler_options, top_p), -1, "top_p" },
        { offsetof(struct sampler_options, min_p), INFINITY, "min_p" },
        { offsetof(struct sampler_options, typical_p), -0.5f, "typical_p" },
        { offsetof(struct sampler_options, repeat_penalty), 0, "repeat_penalty" },
        { offsetof(struct sampler_options, presence_penalty), NAN, "presence_penalty" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct sampler_options o = off();
        memcpy((char *)&o + row[i].at, &row[i].v, sizeof(float));
        struct sampler *s;
        struct err e = { 0 };
        assert_int_equal(sampler_open(&s, &o, &five, &e), ERR_ARG);
        assert_null(s);
        assert_non_null(strstr(e.msg, row[i].word));
    }
    struct sampler_options o = sampler_defaults();
    struct sampler *s = opened(o, 5);
    assert_int_equal(sampler_bias(s, 5, 1, NULL), ERR_ARG);
    assert_int_equal(sampler_bias(s, -1, 1, NULL), ERR_ARG);
    assert_int_equal(sampler_bias(s, 1, NAN, NULL), ERR_ARG);
    sampler_close(s);
    o.repeat_last_n = -2;
    assert_int_equal(sampler_open(&s, &o, &five, NULL), ERR_ARG);
    for (int64_t n = 0; n < 6; n++) {                          /* each allocation fails in turn */
        o = sampler_defaults();
        o.repeat_penalty = 2;
        mem_fail_after(n);
        int rc = sampler_open(&s, &o, &five, NULL);
        mem_fail_after(-1);
        assert_true(rc == 0 || (rc == ERR_NOMEM && !s));
        sampler_close(s);
    }
}

static void picking_allocates_nothing_and_is_quick(void **unused)
{
    (void)unused;
    enum { N = 151936 };
    float *z = mem_new_array(float, N);
    for (int i = 0; i < N; i++) z[i] = (float)((rnd() + rnd() + rnd() - 1.5) * 10);
    struct { const char *name; int32_t top_k; float top_p, min_p; } row[] = {
        { "defaults", 40, 0.95f, 0.05f }, { "top_k 40", 40, 1, 0 }, { "top_p", 0, 0.9f, 0 }, { "min_p", 0, 1, 0.05f },
        { "none", 0, 1, 0 },
    };
    for (size_t r = 0; r < sizeof row / sizeof *row; r++) {
        struct sampler_options o = off();
        o.top_k = row[r].top_k;
        o.top_p = row[r].top_p;
        o.min_p = row[r].min_p;
        struct sampler *s = opened(o, N);
        uint64_t before = mem_count(), best = UINT64_MAX;
        for (uint64_t i = 0; i < 20; i++) {
            uint64_t t = os_now_ns();
            pick(s, z, i);
            t = os_now_ns() - t;
            best = t < best ? t : best;
        }
        assert_true(mem_count() == before);
        print_message("# %s: %.3f ms of %d logits\n", row[r].name, (double)best / 1e6, N);
        sampler_close(s);
    }
    mem_free(z);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(math_is_close_to_libm),
    cmocka_unit_test(philox_known_answers),
    cmocka_unit_test(order_sorts_prefixes),
    cmocka_unit_test(filters_match_the_definitions),
    cmocka_unit_test(penalties_match_the_definition),
    cmocka_unit_test(draws_follow_the_distribution),
    cmocka_unit_test(exact_filters),
    cmocka_unit_test(boundaries),
    cmocka_unit_test(ties_go_to_the_smaller_id),
    cmocka_unit_test(a_pick_depends_on_seed_and_position_only),
    cmocka_unit_test(hostile_values),
    cmocka_unit_test(nothing_possible),
    cmocka_unit_test(bad_options_are_named),
    cmocka_unit_test(picking_allocates_nothing_and_is_quick),
};
int main(void) { return run_tests(tests); }
