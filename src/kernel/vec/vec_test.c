#include "tests/testing.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "kernel/vec/vec.h"
#include "quant/quant.h"
#include "tests/random.h"

enum { MAX = 1040, GUARD = 16 };

static float of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* round 0: ordinary; 1: large and small; 2: any bits, NaN and infinite too; 3: chosen values */
static void fill(float *x, size_t n, int round)
{
    static const float odd[] = { 0, -0.0f, 1, -1, INFINITY, -INFINITY, NAN, FLT_MAX, -FLT_MAX, FLT_MIN, 1e-45f, -1e-40f, 88.7f,
                                 88.8f, -87.4f, -103.9f, -104.1f, 0.34657359f, 65504, 65520, 6e-8f, 2.98e-8f, 5.9604645e-8f };
    for (size_t i = 0; i < n; i++) {
        float u = uniform();
        int e = (int)(rnd() % 40) - 20;
        x[i] = round == 0 ? 4 * u : round == 1 ? ldexpf(u, e)
             : round == 2 ? of_bits(rnd()) : odd[rnd() % (sizeof odd / sizeof *odd)];
    }
}

/* Equal bits; any NaN equals any NaN. */
static int same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, 4) && !(isnan(a[i]) && isnan(b[i]))) {
            print_message("element %zu: %a (%g), not %a (%g)\n", i, (double)a[i], (double)a[i], (double)b[i], (double)b[i]);
            return 0;
        }
    return 1;
}

/* The instruction sets of this machine, plain C first. */
static size_t variants(const struct vec_kernels **v)
{
    static const uint32_t set[] = { CPU_AVX2, CPU_AVX2 | CPU_AVX512, CPU_NEON };
    size_t n = 0;
    v[n++] = vec_select(0);
    for (size_t i = 0; i < 3; i++)
        if (!(set[i] & ~cpu_features())) v[n++] = vec_select(set[i]);
    return n;
}

/* Every function of the table as y[n] = f(a[n], b[n], c[n]). */
typedef void op_fn(const struct vec_kernels *v, float *y, const float *a, const float *b, const float *c, size_t n);
#define OP(name, call) \
    static void name(const struct vec_kernels *v, float *y, const float *a, const float *b, const float *c, size_t n) \
    { (void)a; (void)b; (void)c; call; }
OP(op_rms, v->rms_norm(y, a, b, n, 1e-6f))
OP(op_rms_plain, v->rms_norm(y, a, NULL, n, 1e-5f))
OP(op_layer, v->layer_norm(y, a, b, c, n, 1e-5f))
OP(op_layer_plain, v->layer_norm(y, a, b, NULL, n, 1e-5f))
OP(op_add, v->add(y, a, b, n))
OP(op_mul, v->mul(y, a, b, n))
OP(op_scale, v->scale(y, a, 0.3f, n))
OP(op_axpy, if (y != a) memcpy(y, c, n * 4); v->axpy(y, b, 0.7f, n))
OP(op_softcap, v->softcap(y, a, 30, n))
OP(op_silu, v->act(y, a, n, VEC_SILU))
OP(op_gelu_tanh, v->act(y, a, n, VEC_GELU_TANH))
OP(op_gelu_erf, v->act(y, a, n, VEC_GELU_ERF))
OP(op_relu, v->act(y, a, n, VEC_RELU))
OP(op_sigmoid, v->act(y, a, n, VEC_SIGMOID))
OP(op_tanh, v->act(y, a, n, VEC_TANH))
OP(op_glu_silu, v->glu(y, a, b, n, VEC_SILU))
OP(op_glu_gelu, v->glu(y, a, b, n, VEC_GELU_TANH))
OP(op_glu_erf, v->glu(y, a, b, n, VEC_GELU_ERF))
OP(op_softmax, if (n) v->softmax(y, a, n))
OP(op_dot, for (size_t i = 0; i < n; i++) y[i] = v->dot(a, b, i + 1))
OP(op_rope_pair, if (y != a) memcpy(y, a, n * 4); v->rope(y, b, c, n / 2 * 2, VEC_ROPE_PAIR))
OP(op_rope_half, if (y != a) memcpy(y, a, n * 4); v->rope(y, b, c, n / 2 * 2, VEC_ROPE_HALF))
OP(op_rope_part, if (y != a) memcpy(y, a, n * 4); v->rope(y, b, c, n / 4 * 2, VEC_ROPE_HALF))
OP(op_glu_clamped, v->glu_clamped(y, a, b, n, 1.702f, 3))
OP(op_kv_f32, v->kv_store(y, a, n, DT_F32, 1))

static const struct { const char *name; op_fn *fn; int in_place; } ops[] = {
    { "rms_norm", op_rms, 1 }, { "rms_norm without w", op_rms_plain, 1 }, { "layer_norm", op_layer, 1 },
    { "layer_norm without b", op_layer_plain, 1 }, { "add", op_add, 1 }, { "mul", op_mul, 1 }, { "scale", op_scale, 1 },
    { "axpy", op_axpy, 0 }, { "softcap", op_softcap, 1 }, { "silu", op_silu, 1 }, { "gelu_tanh", op_gelu_tanh, 1 },
    { "gelu_erf", op_gelu_erf, 1 }, { "relu", op_relu, 1 }, { "sigmoid", op_sigmoid, 1 }, { "tanh", op_tanh, 1 },
    { "silu glu", op_glu_silu, 1 }, { "gelu glu", op_glu_gelu, 1 }, { "erf glu", op_glu_erf, 1 }, { "softmax", op_softmax, 1 },
    { "dot", op_dot, 0 }, { "rope in pairs", op_rope_pair, 1 }, { "rope in halves", op_rope_half, 1 },
    { "rope of a part", op_rope_part, 1 }, { "kv_store f32", op_kv_f32, 0 },
    { "clamped glu", op_glu_clamped, 1 },
};
enum { N_OPS = sizeof ops / sizeof *ops };

static float in_a[MAX + 1], in_b[MAX + 1], in_c[MAX + 1];

static void check_op(const struct vec_kernels *ref, const struct vec_kernels *v, size_t o, size_t n, size_t shift)
{
    static float want[MAX], got[MAX + GUARD + 1];
    const float *a = in_a + shift, *b = in_b + shift, *c = in_c + shift;
    float *y = got + shift, mark = of_bits(0xa5a5a5a5);

    ops[o].fn(ref, want, a, b, c, n);
    for (size_t i = 0; i < MAX + GUARD + 1; i++) got[i] = mark;
    ops[o].fn(v, y, a, b, c, n);
    if (!same(y, want, n)) fail_msg("%s, n = %zu", ops[o].name, n);
    for (size_t i = 0; i < GUARD; i++) assert_memory_equal(y + n + i, &mark, 4);
    if (shift) assert_memory_equal(got, &mark, 4);
    if (!ops[o].in_place) return;
    memcpy(y, a, n * sizeof *y);
    ops[o].fn(v, y, y, b, c, n);
    if (!same(y, want, n)) fail_msg("%s in place, n = %zu", ops[o].name, n);
}

static void test_every_variant_gives_the_same_bits(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 30, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128, 250, 1000 };
    const struct vec_kernels *v[4];
    size_t n_v = variants(v);
    (void)state;
    seed = 1;
    for (int round = 0; round < 4; round++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            fill(in_a, MAX, round);
            fill(in_b, MAX, round);
            fill(in_c, MAX, round);
            for (size_t o = 0; o < N_OPS; o++)
                for (size_t i = 0; i < n_v; i++) check_op(v[0], v[i], o, sizes[s], s & 1);
        }
}

static uint16_t half_of(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static void test_kv_store_rounds_to_f16(void **state)
{
    const struct vec_kernels *v[4];
    size_t n_v = variants(v);
    (void)state;
    seed = 2;
    for (int round = 0; round < 4; round++)
        for (size_t n = 0; n < 70; n++) {
            uint8_t want[160], got[160];
            fill(in_a, MAX, round);
            for (size_t i = 0; i < n_v; i++) {
                memset(got, 0xa5, sizeof got);
                v[i]->kv_store(got + 1, in_a, n, DT_F16, 1);
                if (!i) memcpy(want, got, sizeof want);
                for (size_t k = 0; k < n; k++) {
                    uint16_t g = half_of(got + 1 + 2 * k), w = half_of(want + 1 + 2 * k);
                    if (isnan(in_a[k])) assert_true((g & 0x7fff) > 0x7c00);
                    else assert_int_equal(g, w);
                    if (fabsf(in_a[k]) >= 65520) assert_int_equal(g & 0x7fff, isnan(in_a[k]) ? g & 0x7fff : 0x7c00);
                }
                assert_int_equal(got[0], 0xa5);
                for (size_t k = 1 + 2 * n; k < sizeof got; k++) assert_int_equal(got[k], 0xa5);
            }
        }
}

/* --- accuracy: bounds as promised in simd/v16_math.h --- */

static double ulp(double y)
{
    int e;
    frexp(y, &e);
    return ldexp(1, (e < -125 ? -125 : e) - 24);
}

static double exact(double x, enum vec_act f)
{
    switch (f) {
    case VEC_SILU:      return x / (1 + exp(-x));
    case VEC_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case VEC_GELU_ERF:  return 0.5 * x * erfc(-x / sqrt(2));
    case VEC_RELU:      return x > 0 ? x : 0;
    case VEC_SIGMOID:   return 1 / (1 + exp(-x));
    case VEC_TANH:      return tanh(x);
    }
    return 0;
}

/* The largest error of f over `count` floats per power of two, in ulp of max(|y|, floor |x|). */
static double worst(const struct vec_kernels *v, enum vec_act f, double floor, float lo, float hi)
{
    double most = 0;
    for (uint32_t u = 0; u < 0x7f800000u; u += 16 * 997) {
        float x[16], y[16];
        for (uint32_t i = 0; i < 16; i++) x[i] = of_bits((u + i * 997) | (i & 1 ? 0x80000000u : 0));
        v->act(y, x, 16, f);
        for (size_t i = 0; i < 16; i++) {
            if (!(x[i] >= lo && x[i] <= hi)) continue;
            double want = exact((double)x[i], f);
            double e = fabs((double)y[i] - want) / ulp(fmax(fabs(want), floor * fabs((double)x[i])));
            if (e > most) most = e;
        }
    }
    return most;
}

static void test_activations_are_accurate(void **state)
{
    const struct vec_kernels *v = vec_select(cpu_features());
    static const struct { enum vec_act f; double floor, bound; float lo; } c[] = {
        { VEC_SILU, 0x1p-6, 2.5, -FLT_MAX }, { VEC_GELU_TANH, 0x1p-6, 5, -FLT_MAX }, { VEC_GELU_ERF, 0x1p-6, 7, -FLT_MAX },
        { VEC_RELU, 0, 0, -FLT_MAX }, { VEC_SIGMOID, 0, 2.5, -87 }, { VEC_TANH, 0, 2.5, -FLT_MAX },
    };
    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        double e = worst(v, c[i].f, c[i].floor, c[i].lo, FLT_MAX);
        print_message("# activation %d: %.3f ulp\n", (int)c[i].f, e);
        assert_true(e <= c[i].bound);
    }
}

static void test_the_clamped_glu_is_accurate(void **state)
{
    const struct vec_kernels *v = vec_select(cpu_features());
    static float y[MAX];
    (void)state;
    seed = 5;
    fill(in_a, MAX, 0);
    fill(in_b, MAX, 0);
    v->glu_clamped(y, in_a, in_b, MAX, 1.702f, 3);
    size_t cut = 0;
    for (size_t i = 0; i < MAX; i++) {
        double g = fmin((double)in_a[i], 3), u = fmin(fmax((double)in_b[i], -3), 3);
        cut += in_a[i] > 3 || fabsf(in_b[i]) > 3;
        double want = g / (1 + exp(-1.702f * g)) * (u + 1);
        assert_true(fabs((double)y[i] - want) <= 1e-6 * fmax(fabs(want), 1e-2));
    }
    assert_true(cut > MAX / 8);
}

static void test_activations_at_the_ends(void **state)
{
    const struct vec_kernels *v = vec_select(cpu_features());
    float x[4] = { INFINITY, -INFINITY, NAN, -0.0f }, y[4];
    (void)state;
    for (int f = VEC_SILU; f <= VEC_TANH; f++) {
        v->act(y, x, 4, (enum vec_act)f);
        if (f <= VEC_RELU) assert_true(y[0] == INFINITY);
        if (f <= VEC_RELU) assert_true(y[1] == 0);
        assert_true(isnan(y[2]));
        assert_true(y[3] == (f == VEC_SIGMOID ? 0.5f : 0));
    }
    v->act(y, x, 4, VEC_TANH);
    assert_true(y[0] == 1 && y[1] == -1 && signbit(y[3]));
}

static void test_norms_and_softmax_are_accurate(void **state)
{
    const struct vec_kernels *v = vec_select(cpu_features());
    static float y[MAX];
    (void)state;
    seed = 3;
    for (size_t n = 1; n <= 1000; n += 37) {
        fill(in_a, n, 0);
        fill(in_b, n, 0);
        fill(in_c, n, 0);
        double ss = 0, mean = 0, var = 0, top = -1e9, sum = 0, d = 0, mag = 0;
        for (size_t i = 0; i < n; i++) {
            double a = (double)in_a[i];
            ss += a * a, mean += a / (double)n, top = fmax(top, a), d += a * (double)in_b[i], mag += fabs(a * (double)in_b[i]);
        }
        for (size_t i = 0; i < n; i++) {
            double a = (double)in_a[i];
            var += (a - mean) * (a - mean) / (double)n, sum += exp(a - top);
        }
        assert_true(fabs((double)v->dot(in_a, in_b, n) - d) <= (double)(n / 16 + 6) * 6e-8 * mag);
        v->rms_norm(y, in_a, in_b, n, 1e-6f);
        for (size_t i = 0; i < n; i++) {
            double want = (double)in_a[i] / sqrt(ss / (double)n + 1e-6) * (double)in_b[i];
            assert_true(fabs((double)y[i] - want) <= 2e-6 * fabs(want) + 1e-30);
        }
        v->layer_norm(y, in_a, in_b, in_c, n, 1e-5f);
        for (size_t i = 0; i < n; i++) {
            double z = ((double)in_a[i] - mean) / sqrt(var + 1e-5);
            assert_true(fabs((double)y[i] - (z * (double)in_b[i] + (double)in_c[i])) <= 2e-5);
        }
        v->softmax(y, in_a, n);
        double total = 0;
        for (size_t i = 0; i < n; i++) {
            double want = exp((double)in_a[i] - top) / sum;
            assert_true(fabs((double)y[i] - want) <= 1e-6 * want);
            total += (double)y[i];
        }
        assert_true(fabs(total - 1) < 1e-5);
    }
}

static void test_rope_rotates(void **state)
{
    const struct vec_kernels *v = vec_select(cpu_features());
    (void)state;
    seed = 4;
    for (size_t n = 2; n <= 200; n += 6) {
        float x[256], c[128], s[128];
        fill(in_a, 256, 0);
        for (size_t i = 0; i < n / 2; i++) {
            double t = (double)uniform() * 3;
            c[i] = (float)cos(t), s[i] = (float)sin(t);
        }
        for (int mode = VEC_ROPE_PAIR; mode <= VEC_ROPE_HALF; mode++) {
            memcpy(x, in_a, sizeof x);
            v->rope(x, c, s, n, (enum vec_rope)mode);
            for (size_t i = 0; i < n / 2; i++) {
                size_t p = mode == VEC_ROPE_PAIR ? 2 * i : i, q = mode == VEC_ROPE_PAIR ? 2 * i + 1 : i + n / 2;
                double a = (double)in_a[p], b = (double)in_a[q], cs = (double)c[i], sn = (double)s[i];
                assert_true(fabs((double)x[p] - (a * cs - b * sn)) < 1e-6);
                assert_true(fabs((double)x[q] - (a * sn + b * cs)) < 1e-6);
            }
            assert_memory_equal(x + n, in_a + n, (256 - n) * 4);
        }
    }
}

/* long double may be no wider than double: then the angle is kept below 2^10. */
static void test_rope_angles(void **state)
{
    static float c[4096], s[4096];
    static double freq[4096];
    const int wide = LDBL_MANT_DIG >= 64;
    double most = 0;
    (void)state;
    seed = 5;
    for (int64_t pos = 0; pos < (wide ? INT64_C(2147483647) : 1000); pos = pos * 3 + 1 + (int64_t)(rnd() % 3)) {
        for (size_t i = 0; i < 4096; i++) freq[i] = pow(10000, -(double)i / 4096) * (i ? 1 - 1e-3 * (double)(rnd() % 100) : 1);
        freq[4095] = M_PI / 2 / (double)(pos ? pos : 1);           /* angles next to zeros of cos and sin */
        freq[4094] = M_PI * 355 / (double)(pos ? pos : 1);
        rope_angles(c, s, freq, 4096, pos, 1.25f);
        for (size_t i = 0; i < 4096; i++) {
            long double a = (double)pos * freq[i], b = fma((double)pos, freq[i], -(double)a);
            double wc = (double)((cosl(a) * cosl(b) - sinl(a) * sinl(b)) * 1.25L);
            double ws = (double)((sinl(a) * cosl(b) + cosl(a) * sinl(b)) * 1.25L);
            double ec = fabs((double)c[i] - wc) / ulp(wc), es = fabs((double)s[i] - ws) / ulp(ws);
            most = fmax(most, fmax(ec, es));
        }
    }
    print_message("# rope_angles: %.4f ulp\n", most);
    assert_true(most <= 1);
    rope_angles(c, s, freq, 3, 0, 1);
    assert_true(c[0] == 1 && s[0] == 0);
}

/* --- attention --- */

enum { PAGES = 9, HEADS = 12 };

struct kv {
    uint8_t *k[PAGES], *v[PAGES];
    const uint8_t *kc[PAGES], *vc[PAGES];
    float *kf, *vf;                        /* what was stored, [pos][n_kv][d] */
    struct attn_query q;
    float query[HEADS * 600], sinks[HEADS];
};

/* What a row of n numbers is after it was stored; turn: as kv_turn of its heads. */
static void stored(float *x, size_t n, enum dtype t, uint32_t turn)
{
    uint8_t row[4096];
    float y[608];
    size_t whole = (n + dtype_info(t)->block_values - 1) / dtype_info(t)->block_values * dtype_info(t)->block_values;
    vec_select(0)->kv_store(row, x, n, t, turn);
    quant_unpack(t)(row, y, whole);
    for (size_t i = n; i < whole; i++) assert_true(y[i] == 0);
    /* Back: the transform is its own inverse. */
    for (size_t b = 0; b < n && turn > 1; b += turn) {
        double z[128];
        for (uint32_t i = 0; i < turn; i++) {
            z[i] = 0;
            for (uint32_t j = 0; j < turn; j++) z[i] += (__builtin_popcount(i & j) % 2 ? -1.0 : 1.0) * (double)y[b + j];
        }
        for (uint32_t i = 0; i < turn; i++) y[b + i] = (float)(z[i] / sqrt(turn));
    }
    memcpy(x, y, n * sizeof *x);
}

/* Pairs of types of keys and values. */
static const enum dtype k_types[] = { DT_F32, DT_F16, DT_BF16, DT_Q8_0, DT_Q4_0, DT_Q8_0 };
static const enum dtype v_types[] = { DT_F32, DT_F16, DT_BF16, DT_Q8_0, DT_Q4_0, DT_Q4_0 };
enum { N_TYPES = sizeof k_types / sizeof *k_types };

struct kv_shape { uint32_t n_head, n_kv, dk, dv; int64_t pos; };

/* Positions beyond pos hold NaN. */
static struct kv *kv_make(enum dtype kt, enum dtype vt, struct kv_shape z)
{
    const struct vec_kernels *v = vec_select(0);
    struct kv *s = calloc(1, sizeof *s);
    const size_t k_row = dtype_padded_bytes(kt, z.dk), v_row = dtype_padded_bytes(vt, z.dv);
    s->kf = calloc((size_t)PAGES * ATTN_PAGE * z.n_kv * z.dk, sizeof *s->kf);
    s->vf = calloc((size_t)PAGES * ATTN_PAGE * z.n_kv * z.dv, sizeof *s->vf);
    for (int p = 0; p <= z.pos / ATTN_PAGE; p++) {
        s->kc[p] = s->k[p] = malloc(ATTN_PAGE * z.n_kv * k_row);
        s->vc[p] = s->v[p] = malloc(ATTN_PAGE * z.n_kv * v_row);
        memset(s->k[p], 0xff, ATTN_PAGE * z.n_kv * k_row);
        memset(s->v[p], 0xff, ATTN_PAGE * z.n_kv * v_row);
    }
    for (int64_t j = 0; j <= z.pos; j++)
        for (uint32_t h = 0; h < z.n_kv; h++) {
            size_t slot = h * ATTN_PAGE + (size_t)(j % ATTN_PAGE), row = (size_t)j * z.n_kv + h;
            float *k = s->kf + row * z.dk, *x = s->vf + row * z.dv;
            for (uint32_t d = 0; d < z.dk; d++) k[d] = uniform() * 2;
            for (uint32_t d = 0; d < z.dv; d++) x[d] = uniform();
            v->kv_store(s->k[j / ATTN_PAGE] + slot * k_row, k, z.dk, kt, kv_turn(kt, z.dk));
            v->kv_store(s->v[j / ATTN_PAGE] + slot * v_row, x, z.dv, vt, kv_turn(vt, z.dv));
            stored(k, z.dk, kt, kv_turn(kt, z.dk));
            stored(x, z.dv, vt, kv_turn(vt, z.dv));
        }
    for (uint32_t i = 0; i < z.n_head * z.dk; i++) s->query[i] = 2 * uniform();
    for (uint32_t i = 0; i < z.n_head; i++) s->sinks[i] = 3 * uniform();
    s->q = (struct attn_query){ .q = s->query, .n_query = 1, .k_page = s->kc, .v_page = s->vc, .k_type = kt, .v_type = vt,
                                .turn = kv_turn(kt, z.dk), .turn_v = kv_turn(vt, z.dv), .n_head = z.n_head, .n_kv = z.n_kv,
                                .dk = z.dk, .dv = z.dv, .pos = z.pos, .scale = 1 / sqrtf((float)z.dk) };
    return s;
}

static void kv_free(struct kv *s)
{
    for (int p = 0; p < PAGES; p++) free(s->k[p]), free(s->v[p]);
    free(s->kf);
    free(s->vf);
    free(s);
}

static void attn_exact(const struct kv *s, double *o)
{
    const struct attn_query *a = &s->q;
    double sc[PAGES * ATTN_PAGE];
    for (uint32_t h = 0; h < a->n_head; h++) {
        uint32_t g = h / (a->n_head / a->n_kv);
        int64_t first = a->window && a->pos - a->window + 1 > 0 ? a->pos - a->window + 1 : 0;
        int64_t last = a->end > a->pos ? a->end - 1 : a->pos;
        if (a->window && last >= a->pos + a->window) last = a->pos + a->window - 1;
        double m = a->sinks ? (double)a->sinks[h] : -1e300, l;
        for (int64_t j = first; j <= last; j++) {
            double x = 0;
            for (uint32_t d = 0; d < a->dk; d++)
                x += (double)a->q[h * a->dk + d] * (double)s->kf[((size_t)j * a->n_kv + g) * a->dk + d];
            x *= (double)a->scale;
            if (a->softcap > 0) x = (double)a->softcap * tanh(x / (double)a->softcap);
            sc[j] = x, m = fmax(m, x);
        }
        l = a->sinks ? exp((double)a->sinks[h] - m) : 0;
        double *y = o + h * a->dv;
        for (uint32_t d = 0; d < a->dv; d++) y[d] = 0;
        for (int64_t j = first; j <= last; j++) {
            double p = exp(sc[j] - m);
            l += p;
            for (uint32_t d = 0; d < a->dv; d++) y[d] += p * (double)s->vf[((size_t)j * a->n_kv + g) * a->dv + d];
        }
        for (uint32_t d = 0; d < a->dv; d++) y[d] /= l;
    }
}

static void attn_run(const struct vec_kernels *v, struct kv *s, float *o)
{
    struct attn_query a = s->q;
    size_t bytes = (attn_scratch(a.n_head, a.n_kv, a.dk, a.dv) + 63) / 64 * 64;
    uint8_t *scratch = aligned_alloc(64, bytes + 64);
    a.o = o;
    memset(scratch, 0xff, bytes + 64);
    for (uint32_t kv = 0; kv < a.n_kv; kv++) v->attn(&a, kv, kv + 1, scratch);
    for (size_t i = attn_scratch(a.n_head, a.n_kv, a.dk, a.dv); i < bytes + 64; i++) assert_int_equal(scratch[i], 0xff);
    free(scratch);
}

static void check_attn(struct kv *s)
{
    const struct vec_kernels *v[4];
    size_t n_v = variants(v), n = (size_t)s->q.n_head * s->q.dv;
    float *want = calloc(n + 1, 4), *got = calloc(n + 1, 4);
    double *exact_o = calloc(n, sizeof *exact_o);
    attn_exact(s, exact_o);
    for (size_t i = 0; i < n_v; i++) {
        got[n] = 77;
        attn_run(v[i], s, i ? got : want);
        if (i) assert_true(same(got, want, n));
        assert_true(got[n] == 77);
    }
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)want[i] - exact_o[i]) <= 4e-6)) fail_msg("%zu: %g, not %g", i, (double)want[i], exact_o[i]);
    free(want);
    free(got);
    free(exact_o);
}

static void test_attention_is_exact_and_the_same_everywhere(void **state)
{
    static const uint32_t shape[][4] = {           /* query heads, kv heads, dk, dv */
        { 4, 4, 64, 64 }, { 8, 2, 128, 128 }, { 6, 2, 80, 80 }, { 4, 2, 96, 96 }, { 2, 1, 256, 256 }, { 5, 1, 8, 6 },
        { 7, 1, 72, 40 }, { 12, 1, 192, 128 }, { 1, 1, 1, 1 }, { 3, 3, 20, 33 },
    };
    static const int64_t at[] = { 0, 1, 5, 63, 64, 130, 519 };
    (void)state;
    seed = 6;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        for (size_t p = 0; p < sizeof at / sizeof *at; p++)
            for (size_t type = 0; type < N_TYPES; type++) {
                struct kv *s = kv_make(k_types[type], v_types[type],
                                       (struct kv_shape){ shape[i][0], shape[i][1], shape[i][2], shape[i][3], at[p] });
                check_attn(s);
                s->q.window = (int64_t)(rnd() % 150 + 1);
                check_attn(s);
                s->q.sinks = s->sinks;
                check_attn(s);
                s->q.softcap = 2, s->q.window = 0;
                check_attn(s);
                s->q.end = at[p] + 1, s->q.pos = (int64_t)(rnd() % (uint32_t)(at[p] + 1));
                check_attn(s);
                s->q.window = (int64_t)(rnd() % 150 + 1);
                check_attn(s);
                kv_free(s);
            }
}

/* Each of the queries that are taken together gets what it gets alone. */
static void check_queries(const struct vec_kernels *v, struct kv *s, int64_t first, uint32_t n)
{
    const struct attn_query alone = s->q;
    const size_t in = (size_t)alone.n_head * alone.dk, out = (size_t)alone.n_head * alone.dv;
    float *q = calloc(n * (in + 3), sizeof *q), *got = calloc(n * (out + 1), sizeof *got), *want = calloc(out, sizeof *want);
    for (size_t i = 0; i < n * (in + 3); i++) q[i] = 2 * uniform();
    s->q.q = q, s->q.q_step = in + 3, s->q.o_step = out + 1, s->q.pos = first, s->q.n_query = n;
    attn_run(v, s, got);
    s->q.n_query = 1;
    for (uint32_t i = 0; i < n; i++) {
        s->q.q = q + i * (in + 3), s->q.pos = first + i;
        attn_run(v, s, want);
        assert_true(same(got + i * (out + 1), want, out));
    }
    s->q = alone;
    free(q);
    free(got);
    free(want);
}

static void test_queries_taken_together_change_nothing(void **state)
{
    static const uint32_t shape[][4] = { { 4, 4, 64, 64 }, { 8, 2, 128, 128 }, { 6, 2, 80, 72 }, { 5, 1, 8, 6 },
                                         { 12, 1, 20, 33 } };
    const struct vec_kernels *v[4];
    size_t n_v = variants(v);
    (void)state;
    seed = 9;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        struct kv *s = kv_make(k_types[i % N_TYPES], v_types[i % N_TYPES],
                               (struct kv_shape){ shape[i][0], shape[i][1], shape[i][2], shape[i][3], 300 });
        uint32_t most = attn_queries(s->q.n_head, s->q.n_kv);
        assert_in_range(most * s->q.n_head / s->q.n_kv, 1, ATTN_ROWS);
        for (int round = 0; round < 12; round++)
            for (size_t k = 0; k < n_v; k++) {
                uint32_t n = round ? (uint32_t)(rnd() % most) + 1 : most;
                s->q.window = round % 3 == 2 ? (int64_t)(rnd() % 90 + 1) : 0;
                s->q.sinks = round % 4 == 3 ? s->sinks : NULL;
                s->q.end = round % 5 == 4 ? 301 : 0;
                s->q.softcap = round % 7 == 6 ? 3 : 0;
                check_queries(v[k], s, (int64_t)(rnd() % (301 - n)), n);
            }
        kv_free(s);
    }
}

/* What lies outside the window, or after the position, is never read. */
static void test_attention_sees_only_its_window(void **state)
{
    const struct vec_kernels *v = vec_select(cpu_features());
    float want[8 * 64], got[8 * 64];
    (void)state;
    seed = 7;
    struct kv *s = kv_make(DT_F16, DT_F16, (struct kv_shape){ 8, 2, 64, 64, 400 });
    s->q.window = 100;
    attn_run(v, s, want);
    for (int p = 0; p < 4; p++) s->kc[p] = s->vc[p] = NULL;              /* positions 0..255 */
    for (size_t h = 0; h < 2; h++) {
        memset(s->k[4] + h * ATTN_PAGE * 64 * 2, 0xff, 45 * 64 * 2);     /* 256..300; the window starts at 301 */
        memset(s->v[4] + h * ATTN_PAGE * 64 * 2, 0xff, 45 * 64 * 2);
    }
    attn_run(v, s, got);
    assert_true(same(got, want, 8 * 64));
    kv_free(s);
}

static void test_values_may_lie_inside_keys(void **state)
{
    enum { DK = 72, DV = 40, POS = 200, H = 4 };
    const struct vec_kernels *v[4];
    size_t n_v = variants(v);
    float want[H * DV], got[H * DV];
    (void)state;
    seed = 9;
    for (size_t type = 0; type < 5; type++)
        for (uint32_t n_kv = 1; n_kv <= 2; n_kv++) {
            const enum dtype t = k_types[type];
            const size_t k_row = dtype_padded_bytes(t, DK), v_row = dtype_padded_bytes(t, DV), pad = 24;
            struct kv *s = kv_make(t, t, (struct kv_shape){ H, n_kv, DK, DV, POS });
            /* The same values by themselves, behind some other bytes. */
            for (size_t p = 0; p <= POS / ATTN_PAGE; p++) {
                free(s->v[p]);
                s->vc[p] = s->v[p] = malloc(pad + n_kv * ATTN_PAGE * v_row);
                for (size_t slot = 0; slot < n_kv * ATTN_PAGE; slot++)
                    memcpy(s->v[p] + pad + slot * v_row, s->k[p] + slot * k_row, v_row);
            }
            s->q.turn = s->q.turn_v = kv_turn(t, DK | DV), s->q.v_at = pad;
            attn_run(v[0], s, want);
            s->q.v_page = s->kc, s->q.v_step = DK, s->q.v_at = 0;
            for (size_t i = 0; i < n_v; i++) {
                attn_run(v[i], s, got);
                assert_true(same(got, want, H * DV));
            }
            kv_free(s);
        }
}

/* Codes and scales as the formats say, extremes included; what is not finite stays visible. */
static void test_kv_store_rounds_to_blocks(void **state)
{
    static const enum dtype type[] = { DT_BF16, DT_Q8_0, DT_Q4_0 };
    static const float step[] = { 1 / 256.0f, 1 / 254.0f * 1.001f, 1 / 8.0f * 1.001f };
    const struct vec_kernels *v[4];
    size_t n_v = variants(v);
    (void)state;
    seed = 11;
    for (int round = 0; round < 200; round++)
        for (size_t t = 0; t < 3; t++) {
            float x[64], y[64], most = 0;
            uint8_t want[160], got[160];
            for (int i = 0; i < 64; i++) x[i] = uniform() * ldexpf(1, (int)(rnd() % 20) - 10);
            if (round == 1) memset(x, 0, sizeof x);
            if (round == 2) x[3] = NAN;
            if (round == 3) x[3] = INFINITY;
            if (round == 4) for (int i = 0; i < 64; i++) x[i] = 1e-30f;
            size_t bytes = dtype_padded_bytes(type[t], 64);
            for (size_t i = 0; i < n_v; i++) {
                memset(i ? got : want, 0xaa, sizeof got);
                v[i]->kv_store(i ? got : want, x, 64, type[t], 1);
                if (i) assert_memory_equal(got, want, sizeof got);
            }
            assert_true(want[bytes] == 0xaa);
            quant_unpack(type[t])(want, y, 64);
            if (round == 2 || round == 3) {
                assert_true(t ? y[3] != y[3] && y[0] != y[0] : !(fabsf(y[3]) <= 1e30f));
                continue;
            }
            for (int i = 0; i < 64; i++) {
                if (i % 32 == 0) most = 0;
                for (int k = i; i % 32 == 0 && k < i + 32; k++) most = fmaxf(most, fabsf(x[k]));
                float bound = (t ? most : fabsf(x[i])) * step[t] + 1e-7f;
                if (!(fabsf(x[i] - y[i]) <= bound))
                    fail_msg("%s: %g became %g", dtype_info(type[t])->name, (double)x[i], (double)y[i]);
            }
        }
}

/* --- states --- */

enum { POSITIONS = 37 };

static void conv_all(const struct vec_kernels *v, float *y, float *state, uint32_t channels, uint32_t taps, size_t cut)
{
    for (size_t t = 0; t < POSITIONS; t += cut) {
        struct conv_run r = { .x = in_a + t * (channels + 1), .y = y + t * channels, .x_step = channels + 1, .y_step = channels,
                              .n = cut < POSITIONS - t ? cut : POSITIONS - t, .w = in_b, .state = state, .channels = channels,
                              .taps = taps };
        for (size_t c = 0; c < channels; c += 48) v->conv(&r, c, c + 48 < channels ? c + 48 : channels);
    }
}

static void test_convolution(void **state)
{
    static const uint32_t size[] = { 1, 15, 16, 27 };
    static float y[POSITIONS * 27 + 1], want[POSITIONS * 27], past[15 * 27], last[15 * 27], first[15 * 27];
    const struct vec_kernels *v[4];
    size_t n_v = variants(v);
    (void)state;
    seed = 10;
    for (size_t s = 0; s < 4; s++)
        for (uint32_t taps = 2, C = size[s]; taps <= CONV_MAX_TAPS; taps += taps < 4 ? 1 : 12) {
            fill(in_a, MAX, 0);
            fill(in_b, MAX, 0);
            fill(first, 15 * 27, 0);
            memcpy(past, first, sizeof past);
            conv_all(v[0], want, past, C, taps, POSITIONS);
            for (size_t t = 0; t < POSITIONS; t++)
                for (size_t c = 0; c < C; c++) {
                    double sum = 0;
                    for (size_t j = 0; j < taps; j++) {
                        size_t at = t + j;                     /* of the past inputs and then the new ones */
                        float x = at < taps - 1 ? first[at * C + c] : in_a[(at - (taps - 1)) * (C + 1) + c];
                        sum += (double)in_b[c * taps + j] * (double)x;
                    }
                    assert_true(fabs((double)want[t * C + c] - sum) < 1e-3);
                }
            for (size_t i = 0; i < n_v; i++)
                for (size_t cut = 1; cut <= POSITIONS; cut = cut * 3 + 1) {
                    memcpy(last, first, sizeof last);
                    y[POSITIONS * C] = 77;
                    conv_all(v[i], y, last, C, taps, cut);
                    assert_true(same(y, want, POSITIONS * C) && same(last, past, (taps - 1) * C));
                    assert_true(y[POSITIONS * C] == 77);
                }
        }
}

/* in_a: a position is q | k | v | decay | beta */
static void delta_all(const struct vec_kernels *v, float *y, float *state, uint32_t dk, uint32_t dv, size_t cut, size_t rows)
{
    size_t step = 2 * dk + dv + 2;
    for (size_t t = 0; t < 6; t += cut) {
        const float *x = in_a + t * step;
        struct delta_run r = { .q = x, .k = x + dk, .v = x + 2 * dk, .decay = x + 2 * dk + dv, .beta = x + 2 * dk + dv + 1,
                               .o = y + t * dv, .step = step, .gate_step = step, .o_step = dv, .n = cut < 6 - t ? cut : 6 - t,
                               .state = state, .dk = dk };
        for (size_t i = 0; i < dv; i += rows) v->delta(&r, i, i + rows < dv ? i + rows : dv);
    }
}

static void delta_exact(double *y, double *s, uint32_t dk, uint32_t dv)
{
    for (size_t t = 0; t < 6; t++) {
        const float *q = in_a + t * (2 * dk + dv + 2), *k = q + dk, *v = k + dk;
        double decay = (double)v[dv], beta = (double)v[dv + 1];
        for (size_t i = 0; i < dv; i++) {
            double seen = 0;
            for (size_t d = 0; d < dk; d++) seen += (s[i * dk + d] *= decay) * (double)k[d];
            y[t * dv + i] = 0;
            for (size_t d = 0; d < dk; d++) {
                s[i * dk + d] += beta * ((double)v[i] - seen) * (double)k[d];
                y[t * dv + i] += s[i * dk + d] * (double)q[d];
            }
        }
    }
}

static void test_delta_rule(void **state)
{
    static const uint32_t size[][2] = { { 1, 1 }, { 16, 5 }, { 40, 32 }, { 64, 7 } };
    static float s[64 * 40], want_s[64 * 40], first[64 * 40], y[6 * 64], want[6 * 64];
    static double exact_s[64 * 40], exact_y[6 * 64];
    const struct vec_kernels *v[4];
    size_t n_v = variants(v);
    (void)state;
    seed = 11;
    for (size_t k = 0; k < 4; k++) {
        uint32_t dk = size[k][0], dv = size[k][1];
        for (size_t i = 0; i < MAX; i++) in_a[i] = uniform() / sqrtf((float)dk);
        for (size_t t = 0; t < 6; t++)
            for (size_t i = 0; i < 2; i++) in_a[t * (2 * dk + dv + 2) + 2 * dk + dv + i] = 0.5f + 0.4f * uniform();
        for (size_t i = 0; i < dk * dv; i++) exact_s[i] = (double)(want_s[i] = first[i] = uniform());
        delta_all(v[0], want, want_s, dk, dv, 6, dv);
        delta_exact(exact_y, exact_s, dk, dv);
        for (size_t i = 0; i < 6 * dv; i++) assert_true(fabs((double)want[i] - exact_y[i]) < 1e-5);
        for (size_t i = 0; i < dk * dv; i++) assert_true(fabs((double)want_s[i] - exact_s[i]) < 1e-5);
        for (size_t i = 0; i < n_v; i++)
            for (size_t cut = 1; cut <= 6; cut += 2)
                for (size_t rows = 1; rows <= 16; rows += 3) {
                    memcpy(s, first, sizeof s);
                    delta_all(v[i], y, s, dk, dv, cut, rows);
                    assert_true(same(y, want, 6 * dv) && same(s, want_s, dk * dv));
                }
    }
}

/* --- one number for all machines --- */

/* more: also the types of keys and values that came later. */
static uint64_t hash_all(const struct vec_kernels *v, bool more)
{
    static float y[MAX];
    uint64_t h = HASH_START;
    seed = 8;
    for (int round = 0; round < 2; round++)
        for (size_t n = 1; n < 600; n += 61) {
            fill(in_a, MAX, round);
            fill(in_b, MAX, round);
            fill(in_c, MAX, round);
            for (size_t o = 0; o < N_OPS; o++) {
                ops[o].fn(v, y, in_a, in_b, in_c, n);
                h = hash_add(h, y, n * sizeof *y);
            }
            v->kv_store(y, in_a, n, DT_F16, 1);
            h = hash_add(h, y, n * 2);
        }
    for (int type = DT_F32; type <= DT_F16; type++) {
        struct kv *s = kv_make((enum dtype)type, (enum dtype)type, (struct kv_shape){ 6, 2, 72, 40, 333 });
        s->q.sinks = s->sinks, s->q.softcap = 5, s->q.window = 300;
        attn_run(v, s, y);
        h = hash_add(h, y, 6 * 40 * sizeof *y);
        kv_free(s);
    }
    for (size_t type = 2; type < N_TYPES && more; type++) {
        struct kv *s = kv_make(k_types[type], v_types[type], (struct kv_shape){ 6, 2, 96, 40, 333 });
        attn_run(v, s, y);
        h = hash_add(h, y, 6 * 40 * sizeof *y);
        kv_free(s);
    }
    double freq[64];
    for (size_t i = 0; i < 64; i++) freq[i] = 1.0 / (double)(1 + i * i);
    for (int64_t pos = 1; pos < 1000000; pos *= 7) {
        rope_angles(in_a, in_b, freq, 64, pos, 1.1f);
        h = hash_add(hash_add(h, in_a, 256), in_b, 256);
    }
    return h;
}

static void test_the_bits_are_those_of_every_machine(void **state)
{
    const struct vec_kernels *v[4];
    size_t n = variants(v);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        uint64_t h = hash_all(v[i], false), more = hash_all(v[i], true);
        print_message("# hash %016llx, %016llx\n", (unsigned long long)h, (unsigned long long)more);
        assert_true(h == UINT64_C(0x430d08f0b05fe3b0));
        assert_true(more == UINT64_C(0x3bbf2c2f3b29ee40));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_every_variant_gives_the_same_bits),
    cmocka_unit_test(test_kv_store_rounds_to_f16),
    cmocka_unit_test(test_activations_are_accurate),
    cmocka_unit_test(test_the_clamped_glu_is_accurate),
    cmocka_unit_test(test_activations_at_the_ends),
    cmocka_unit_test(test_norms_and_softmax_are_accurate),
    cmocka_unit_test(test_rope_rotates),
    cmocka_unit_test(test_rope_angles),
    cmocka_unit_test(test_attention_is_exact_and_the_same_everywhere),
    cmocka_unit_test(test_queries_taken_together_change_nothing),
    cmocka_unit_test(test_attention_sees_only_its_window),
    cmocka_unit_test(test_values_may_lie_inside_keys),
    cmocka_unit_test(test_kv_store_rounds_to_blocks),
    cmocka_unit_test(test_convolution),
    cmocka_unit_test(test_delta_rule),
    cmocka_unit_test(test_the_bits_are_those_of_every_machine),
};

int main(void) { return run_tests(tests); }
