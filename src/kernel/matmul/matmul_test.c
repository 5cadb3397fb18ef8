/* Every integer kernel against the scalar reference, bit for bit; the reference against real numbers. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "kernel/matmul/act.h"
#include "kernel/matmul/matmul.h"
#include "quant/quant.h"
#include "tests/testing.h"

enum { MAX_T = 513, MAX_K = 2592, MAX_R = 96, GUARD = 64 };


static const uint32_t subsets[] = { 0, CPU_AVX2, CPU_AVX2 | CPU_AVX512, CPU_NEON, CPU_NEON | CPU_I8MM, CPU_AVX2 | CPU_AVXVNNI };
enum { N_SUBSETS = sizeof subsets / sizeof *subsets };

static bool available(uint32_t subset) { return !(subset & ~cpu_features()); }

static uint64_t state = 88172645463325252u;

static uint32_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static float gauss(void)
{
    double u = (rnd() + 1.0) / 4294967297.0, v = rnd() / 4294967296.0;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

static void *take(size_t n)
{
    void *p = NULL;
    assert_int_equal(0, posix_memalign(&p, 64, (n + 63) / 64 * 64 + 64));
    return p;
}

static void put_f16(uint8_t *p, float f)
{
    uint16_t h = f32_to_f16(f);
    memcpy(p, &h, sizeof h);
}

enum pattern { RANDOM, ALL_ONES, ALL_MIN, ZEROS, N_PATTERNS };

static void fill(uint8_t *p, size_t n, enum pattern how, uint8_t min)
{
    for (size_t i = 0; i < n; i++)
        p[i] = how == RANDOM ? (uint8_t)rnd() : how == ALL_ONES ? (uint8_t)(min == 0x80 ? 0x7f : 0xff) : how == ALL_MIN ? min : 0;
}

/* Where the float scales of a block lie, and bytes of signed numbers whose least is 0x80. */
static const struct layout { enum dtype type; int half, half2, signed_from, signed_to; } layouts[] = {
    { DT_Q8_0, 0, -1, 2, 34 },     { DT_Q4_0, 0, -1, 0, 0 },    { DT_Q4_K, 0, 2, 0, 0 },      { DT_Q6_K, 208, -1, 192, 208 },
    { DT_Q4_1, 0, 2, 0, 0 },       { DT_Q5_0, 0, -1, 0, 0 },    { DT_Q5_1, 0, 2, 0, 0 },      { DT_IQ4_NL, 0, -1, 0, 0 },
    { DT_MXFP4, -1, -1, 0, 0 },    { DT_Q1_0, 0, -1, 0, 0 },    { DT_Q2_0, 0, -1, 0, 0 },     { DT_Q2_K, 80, 82, 0, 0 },
    { DT_Q3_K, 108, -1, 0, 0 },    { DT_Q5_K, 0, 2, 0, 0 },     { DT_IQ1_S, 0, -1, 0, 0 },    { DT_IQ1_M, -1, -1, 0, 0 },
    { DT_IQ2_XXS, 0, -1, 0, 0 },   { DT_IQ2_XS, 0, -1, 0, 0 },  { DT_IQ2_S, 0, -1, 0, 0 },    { DT_IQ3_XXS, 0, -1, 0, 0 },
    { DT_NVFP4, -1, -1, 0, 0 },
    { DT_IQ3_S, 0, -1, 0, 0 },     { DT_IQ4_XS, 0, -1, 0, 0 },  { DT_TQ1_0, 52, -1, 0, 0 },   { DT_TQ2_0, 64, -1, 0, 0 },
};
enum { N_LAYOUTS = sizeof layouts / sizeof *layouts };

static const struct layout *layout_of(enum dtype type)
{
    size_t i = 0;
    while (layouts[i].type != type) i++;
    return &layouts[i];
}

/* IQ1_M keeps its scale in the top nibbles of four words. */
static void put_iq1_m_scale(uint8_t *p, float d)
{
    uint16_t h = f32_to_f16(d);
    for (int k = 0; k < 4; k++) p[49 + 2 * k] = (uint8_t)((p[49 + 2 * k] & 15) | (h >> 4 * k & 15) << 4);
}

/* One block of a type: everything but the float scales comes from the pattern. */
static void make_block(enum dtype type, uint8_t *p, enum pattern how)
{
    const struct layout *l = layout_of(type);
    float d = 0.01f * (1.0f + (float)(rnd() % 1000) / 1000.0f) * (rnd() % 2 ? 1.0f : -1.0f);
    if (rnd() % 50 == 0) d = 0x1p-24f * (float)(rnd() % 5);          /* subnormal or zero */
    fill(p, dtype_info(type)->block_bytes, how, 0);
    fill(p + l->signed_from, (size_t)(l->signed_to - l->signed_from), how, 0x80);
    if (l->half >= 0) put_f16(p + l->half, d);
    if (l->half2 >= 0) put_f16(p + l->half2, d * 0.7f);
    if (type == DT_MXFP4) p[0] = (uint8_t)(118 + rnd() % 6);
    if (type == DT_IQ1_M) put_iq1_m_scale(p, d);
}

static uint8_t *make_weights(enum dtype type, size_t R, size_t K, enum pattern how)
{
    const struct dtype_info *info = dtype_info(type);
    size_t n = R * (K / info->block_values);
    uint8_t *w = take(n * info->block_bytes + 1);
    for (size_t i = 0; i < n; i++) make_block(type, w + 1 + i * info->block_bytes, how);      /* not aligned */
    return w;
}

enum x_kind { X_GAUSS, X_OUTLIER, X_EXTREME, X_ODD, N_X };

static float odd(void)
{
    switch (rnd() % 16) {
    case 0: return NAN;
    case 1: return INFINITY;
    case 2: return -INFINITY;
    case 3: return 1e-42f;
    case 4: return -0.0f;
    case 5: return FLT_MAX;
    case 6: return 0.0f;
    case 7: return -1e-38f;
    default: return gauss() * 1e-3f;
    }
}

static void make_x(float *x, size_t K, enum x_kind kind)
{
    int calm = (int)(rnd() % 3);
    for (size_t i = 0; i < K; i++) {
        switch (kind) {
        case X_GAUSS: x[i] = gauss(); break;
        case X_OUTLIER: x[i] = gauss() * (rnd() % 64 ? 1.0f : 50.0f); break;
        case X_EXTREME: x[i] = i / 512 % 2 ? -3.0f : 3.0f; break;
        default: x[i] = calm == 0 ? odd() : calm == 1 ? 1e-40f * gauss() : i % 7 ? 0.0f : 1e-30f * gauss(); break;
        }
    }
}

/* ---- activations ------------------------------------------------------------------------------------------------ */

static void test_act_bits(void **unused)
{
    (void)unused;
    static const size_t sizes[] = { 32, 64, 224, 256, 288, 512, 1056, 2560 };
    float *x = take(MAX_K * sizeof *x);
    size_t room = act_row_bytes(ACT_Q32, MAX_K) + GUARD;
    uint8_t *want = take(room), *got = take(room);
    for (int round = 0; round < 40; round++)
        for (size_t f = ACT_Q32; f <= ACT_Q256; f++)
            for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
                make_x(x, sizes[k], (enum x_kind)(round % N_X));
                memset(want, 0x5a, room);
                act_pack((enum act_form)f, x, want, sizes[k], 0);
                size_t n = act_row_bytes((enum act_form)f, sizes[k]);
                assert_int_equal(0, n % 64);
                for (size_t i = 0; i < GUARD; i++) assert_int_equal(0x5a, want[n + i]);
                for (size_t c = 1; c < N_SUBSETS; c++) {
                    if (!available(subsets[c])) continue;
                    memset(got, 0x5a, room);
                    act_pack((enum act_form)f, x, got, sizes[k], subsets[c]);
                    assert_memory_equal(want, got, room);
                }
            }
    free(x);
    free(want);
    free(got);
}

static void test_act_fields(void **unused)
{
    (void)unused;
    float x[256];
    struct act_block b[2];
    for (int round = 0; round < 200; round++) {
        make_x(x, 256, (enum x_kind)(round % N_X));
        enum act_form form = round % 2 ? ACT_Q32 : ACT_Q256;
        uint8_t *out = take(act_row_bytes(form, 256));
        act_pack(form, x, out, 256, 0);
        memcpy(b, out, sizeof *b);
        free(out);
        int S = form == ACT_Q32 ? ACT_S_Q32 : ACT_S_Q256;
        assert_true(isfinite(b->d) && b->d >= 0);
        for (size_t j = 0; j < ACT_GROUPS; j++) {
            int32_t sum = 0;
            for (size_t i = 0; i < 16; i++) {
                int q = b->q[16 * j + i];
                assert_in_range(q + 127, 0, 254);
                sum += q;
                float v = x[16 * j + i];
                if (isfinite(v) && fabsf(v) < 1e30f)
                    assert_true(fabs(v - (double)b->d * b->s[j] * q) <= 0.5001 * b->d * b->s[j] + ACT_TINY);
            }
            for (size_t i = 0; i < 16; i++) assert_int_equal(b->pairs[act_pair_of(16 * j + i)], b->q[16 * j + i]);
            assert_in_range(b->s[j], 1, S);
            assert_int_equal(b->s8[act_split(j)], b->s[j]);
            assert_int_equal(b->s16[j], b->s[j]);
            assert_int_equal(b->zero[j], -128 * sum);
            if (form == ACT_Q256) assert_int_equal(b->z.z16[j], b->s[j] * sum);
            if (form == ACT_Q256) assert_int_equal(b->split[act_split(j)], b->s[j] * sum);
        }
    }
}

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

struct scene {
    enum dtype type;
    size_t T, R, K;
    enum pattern how;
    enum x_kind kind;
    bool mapped;               /* use in and out maps */
};

/* y of the whole job by one instruction set, rows taken in pieces of `step`. */
static void run_scene(const struct scene *s, const uint8_t *w, const float *x, uint32_t cpu, size_t step, float *y)
{
    struct matmul m;
    matmul_init(&m, s->type, w, s->R, s->K, cpu);
    enum act_form form = matmul_act_form(s->type, NULL);
    size_t stride = act_row_bytes(form, s->K), need = matmul_scratch(&m, s->T);
    size_t rows = s->mapped ? 2 * s->T : s->T;
    uint8_t *act = take(rows * stride), *scratch = take(need + GUARD);
    int32_t in[2 * MAX_T], out[2 * MAX_T];
    for (size_t t = 0; t < s->T; t++) {
        in[t] = (int32_t)(2 * t + 1);
        out[t] = (int32_t)(s->T - 1 - t);
        size_t at = s->mapped ? (size_t)in[t] : t;
        act_pack(form, x + t * s->K, act + at * stride, s->K, cpu);
    }
    assert_int_equal(0, need % 64);
    memset(scratch + need, 0x77, GUARD);
    size_t y_stride = s->R + 3;
    for (size_t i = 0; i < s->T * y_stride + GUARD; i++) y[i] = -12345.0f;
    struct matmul_job j = { .m = &m, .act = act, .act_stride = stride, .T = s->T, .y = y, .y_stride = y_stride,
                            .scratch = scratch };
    if (s->mapped) {
        j.in = in;
        j.out = out;
    }
    for (size_t r = 0; r < s->R; r += step, j.again = true) matmul_rows(&j, r, r + step < s->R ? r + step : s->R);
    for (size_t i = 0; i < GUARD; i++) assert_int_equal(0x77, scratch[need + i]);
    for (size_t t = 0; t < s->T; t++)
        for (size_t i = s->R; i < y_stride; i++) assert_true(y[t * y_stride + i] == -12345.0f);
    for (size_t i = 0; i < GUARD; i++) assert_true(y[s->T * y_stride + i] == -12345.0f);
    free(act);
    free(scratch);
}

static void check_scene(const struct scene *s)
{
    uint8_t *w = make_weights(s->type, s->R, s->K, s->how);
    float *x = take(s->T * s->K * sizeof *x);
    size_t n = s->T * (s->R + 3);
    float *want = take((n + GUARD) * sizeof *want), *got = take((n + GUARD) * sizeof *got);
    for (size_t t = 0; t < s->T; t++) make_x(x + t * s->K, s->K, s->kind);
    run_scene(s, w + 1, x, 0, s->R, want);
    for (size_t c = 1; c < N_SUBSETS; c++) {
        if (!available(subsets[c])) continue;
        size_t step = rnd() % 3 == 0 ? 1 + rnd() % s->R : s->R;
        run_scene(s, w + 1, x, subsets[c], step, got);
        if (memcmp(want, got, n * sizeof *want) == 0) continue;
        for (size_t i = 0; i < n; i++)
            if (memcmp(&want[i], &got[i], sizeof *want))
                fail_msg("%s %s T=%zu R=%zu K=%zu pattern %d x %d mapped %d step %zu: token %zu row %zu: %a is not %a",
                         dtype_info(s->type)->name, cpu_features_name(subsets[c]), s->T, s->R, s->K, s->how, s->kind, s->mapped,
                         step, i / (s->R + 3), i % (s->R + 3), got[i], want[i]);
    }
    free(w);
    free(x);
    free(want);
    free(got);
}

/* Small sizes, each with each; the larger product of sizes is thinned out. */
static void check_type(enum dtype type)
{
    static const size_t Ts[] = { 1, 2, 3, 4, 5, 7, 8, 9, 16, 33 };
    static const size_t Rs[] = { 1, 2, 15, 16, 17, 32, 33, 64, 70 };
    static const size_t Ks[] = { 32, 64, 256, 288, 512, 768, 1056, 1280 };
    for (size_t k = 0; k < sizeof Ks / sizeof *Ks; k++)
        for (size_t r = 0; r < sizeof Rs / sizeof *Rs; r++)
            for (size_t t = 0; t < sizeof Ts / sizeof *Ts; t++) {
                struct scene s = { type, Ts[t], Rs[r], Ks[k], RANDOM, X_GAUSS, false };
                if (s.K % dtype_info(type)->block_values || (s.T * s.R * s.K > 200000 && rnd() % 8)) continue;
                s.mapped = rnd() % 4 == 0;
                s.kind = rnd() % 3 == 0 ? X_ODD : X_GAUSS;
                check_scene(&s);
            }
}

static void check_extremes(enum dtype type)
{
    static const size_t Ts[] = { 1, 4, 6, 8, 16, 17 };
    for (int how = 0; how < N_PATTERNS; how++)
        for (int kind = 0; kind < N_X; kind++)
            for (size_t t = 0; t < sizeof Ts / sizeof *Ts; t++) {
                struct scene s = { type, Ts[t], 34, 1024, (enum pattern)how, (enum x_kind)kind, false };
                check_scene(&s);
            }
}

/* More tokens than are taken at once, against more rows than are, some columns at a time. */
static void test_many_tokens(void **unused)
{
    (void)unused;
    check_scene(&(struct scene){ DT_Q8_0, MAX_T, 130, 544, RANDOM, X_GAUSS, false });
    check_scene(&(struct scene){ DT_Q4_K, MAX_T, 130, 512, RANDOM, X_ODD, true });
}

/* A type that got an integer kernel is tested, or this fails. */
static void test_no_type_is_missing(void **unused)
{
    (void)unused;
    for (enum dtype t = 0; t < N_DTYPE; t++) {
        size_t i = 0;
        if (!quant_unpack(t) || matmul_act_form(t, NULL) == ACT_F32 || matmul_act_form(t, NULL) == ACT_Q16) continue;
        while (i < N_LAYOUTS && layouts[i].type != t) i++;
        if (i == N_LAYOUTS) fail_msg("%s has an integer kernel and no row in layouts", dtype_info(t)->name);
    }
}

static void test_type(void **type)
{
    check_type(*(const enum dtype *)*type);
    check_extremes(*(const enum dtype *)*type);
}

/* ---- accuracy ---------------------------------------------------------------------------------------------------- */

/* |result - exact| <= half a step of each activation times |weight|, and the rounding of the few float operations. */
static void check_accuracy(enum dtype type, enum x_kind kind)
{
    enum { R = 8, T = 3 };
    size_t block = dtype_info(type)->block_values, K = block == 32 ? 1056 : 1152 / block * block;
    struct scene s = { type, T, R, K, RANDOM, kind, false };
    uint8_t *w = make_weights(type, R, K, RANDOM);
    float *x = take(T * K * sizeof *x), *y = take((T * (R + 3) + GUARD) * sizeof *y), *v = take(K * sizeof *v);
    uint8_t *act = take(act_row_bytes(matmul_act_form(type, NULL), K));
    for (size_t t = 0; t < T; t++) make_x(x + t * K, K, kind);
    run_scene(&s, w + 1, x, cpu_features(), R, y);
    for (size_t t = 0; t < T; t++) {
        act_pack(matmul_act_form(type, NULL), x + t * K, act, K, 0);
        for (size_t r = 0; r < R; r++) {
            double exact = 0, size = 0, bound = 0;
            quant_unpack(type)(w + 1 + r * (K / dtype_info(type)->block_values * dtype_info(type)->block_bytes), v, K);
            for (size_t k = 0; k < K; k++) {
                struct act_block b;
                memcpy(&b, act + k / ACT_COLS * sizeof b, sizeof b);
                exact += (double)v[k] * x[t * K + k];
                size += fabs((double)v[k] * x[t * K + k]);
                bound += 0.5 * b.d * b.s[k % ACT_COLS / ACT_GROUP] * fabs(v[k]);
            }
            /* a minimum is taken from a sum before it is scaled: its share may cancel */
            double error = fabs(y[t * (R + 3) + r] - exact);
            if (error > bound * 1.0001 + size * 1e-5)
                fail_msg("%s: %g is %g off, allowed %g", dtype_info(type)->name, exact, error, bound);
        }
    }
    free(w);
    free(x);
    free(y);
    free(v);
    free(act);
}

static void test_accuracy(void **unused)
{
    (void)unused;
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < N_LAYOUTS; i++) check_accuracy(layouts[i].type, round % 2 ? X_GAUSS : X_OUTLIER);
}

/* Squared error of x as int8 codes with one scale per n columns: what other engines do. */
static double error_of_one_scale(const float *x, size_t K, size_t n)
{
    double e = 0;
    for (size_t k = 0; k < K; k += n) {
        float top = 0;
        for (size_t i = 0; i < n; i++) top = fmaxf(top, fabsf(x[k + i]));
        float d = top / 127;
        for (size_t i = 0; i < n && d > 0; i++) {
            double v = x[k + i] - (double)d * rintf(x[k + i] / d);
            e += v * v;
        }
    }
    return e;
}

static double error_of_form(enum act_form form, const float *x, size_t K)
{
    double e = 0;
    uint8_t *act = take(act_row_bytes(form, K));
    act_pack(form, x, act, K, cpu_features());
    for (size_t k = 0; k < K; k++) {
        struct act_block b;
        memcpy(&b, act + k / ACT_COLS * sizeof b, sizeof b);
        double v = x[k] - (double)b.d * b.s[k % ACT_COLS / ACT_GROUP] * b.q[k % ACT_COLS];
        e += v * v;
    }
    free(act);
    return e;
}

/* The finer scales pay: the squared error is below that of one scale per 32, and of one per 256, on smooth and on spiky data. */
static void test_smaller_error(void **unused)
{
    (void)unused;
    enum { K = 2560 };
    float *x = take(K * sizeof *x);
    for (int kind = X_GAUSS; kind <= X_OUTLIER; kind++) {
        double q32 = 0, q256 = 0, per32 = 0, per256 = 0;
        for (int round = 0; round < 100; round++) {
            make_x(x, K, (enum x_kind)kind);
            q32 += error_of_form(ACT_Q32, x, K);
            q256 += error_of_form(ACT_Q256, x, K);
            per32 += error_of_one_scale(x, K, 32);
            per256 += error_of_one_scale(x, K, 256);
        }
        print_message("%s: rms error relative to one scale: Q32 %.3f, Q256 %.3f\n", kind == X_GAUSS ? "gauss" : "outliers",
                      sqrt(q32 / per32), sqrt(q256 / per256));
        assert_true(q32 < 0.9 * per32);
        assert_true(q256 < 0.9 * per256);
    }
    free(x);
}

int main(void)
{
    enum { OTHERS = 6 };
    struct CMUnitTest tests[N_LAYOUTS + OTHERS] = {
        cmocka_unit_test(test_no_type_is_missing),
        cmocka_unit_test(test_many_tokens),
        cmocka_unit_test(test_act_bits),
        cmocka_unit_test(test_act_fields),
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_smaller_error),
    };
    for (size_t i = 0; i < N_LAYOUTS; i++)
        tests[OTHERS + i] = (struct CMUnitTest){ .name = dtype_info(layouts[i].type)->name, .test_func = test_type,
                                            .initial_state = (void *)(uintptr_t)&layouts[i].type };
    return run_tests(tests);
}
