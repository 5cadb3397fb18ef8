#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "quant/block.h"
#include "tests/testing.h"

/* ---- against the reference set ---- */

static char *load(const char *name, size_t *n)
{
    char path[1024];
    char *d = NULL;
    struct err err;
    if (!ref_path(path, sizeof path, name)) return NULL;
    assert_int_equal(os_read_file(path, 1 << 24, &d, n, &err), 0);
    return d;
}

static bool same_set(enum dtype t, const char *kind)
{
    char name[128];
    size_t nq, nf;
    snprintf(name, sizeof name, "quants/%s.%s.q", dtype_info(t)->name, kind);
    char *q = load(name, &nq);
    if (!q) return false;
    snprintf(name, sizeof name, "quants/%s.%s.f32.bin", dtype_info(t)->name, kind);
    char *want = load(name, &nf);
    assert_non_null(want);
    size_t n = nf / 4;
    assert_int_equal(nq, n / dtype_info(t)->block_values * dtype_info(t)->block_bytes);
    float *got = mem_new_array(float, n);
    quant_unpack(t)((const uint8_t *)q, got, n);
    for (size_t i = 0; i < n; i++)
        if (memcmp(&got[i], want + 4 * i, 4) != 0) {
            float w;
            memcpy(&w, want + 4 * i, 4);
            fail_msg("%s.%s value %zu: %.9g, expected %.9g", dtype_info(t)->name, kind, i, (double)got[i], (double)w);
        }
    mem_free(got);
    mem_free(want);
    mem_free(q);
    return true;
}

static void unpack_equals_reference(void **state)
{
    (void)state;
    char path[1024];
    REF_OR_SKIP(path, "quants/index.json");
    unsigned sets = 0;
    for (unsigned t = 0; t < N_DTYPE; t++) {
        if (!quant_unpack((enum dtype)t)) continue;
        sets += same_set((enum dtype)t, "gaussian");
        sets += same_set((enum dtype)t, "random");
        sets += same_set((enum dtype)t, "edge");
    }
    assert_int_equal(sets, 29 * 2 + 2);     /* every type but F32 twice, and two edge sets */
}

/* ---- self-test vectors of the format's description ---- */

/* Byte i of the block is 73 i + 41; then d = 0.0625 at d_at and, unless m_at is 0, 0.03125 at m_at. */
static const struct vector {
    enum dtype type;
    unsigned d_at, m_at;
    double sum, sum_abs, y0, y1, y17, last;
} vectors[] = {
    { DT_Q4_0, 0, 0, -2.0625, 8.1875, 0.1875, -0.25, -0.5, -0.5 },
    { DT_Q4_1, 0, 2, 15.0625, 15.0625, 0.84375, 0.40625, 0.59375, 0.59375 },
    { DT_Q5_0, 0, 0, -2.8125, 19.6875, 0.9375, 0.5, -0.875, 0.125 },
    { DT_Q5_1, 0, 2, 32.3125, 32.3125, 1.09375, 0.65625, 1.71875, 0.71875 },
    { DT_Q8_0, 0, 0, -3, 126.125, -4.3125, 0.25, -6.75, -6.875 },
    { DT_IQ4_NL, 0, 0, -30.0625, 114.9375, 2.375, -3.0625, -7.9375, -7.9375 },
    { DT_MXFP4, 0, 0, 3.125, 17.875, 0.25, -0.375, -0.375, -0.375 },
    { DT_NVFP4, 0, 0, 1510.44531, 5255.17969, -0.84375, 1.125, -640, 0.0078125 },
    { DT_Q1_0, 0, 0, -0.375, 8, 0.0625, 0.0625, -0.0625, -0.0625 },
    { DT_Q2_0, 0, 0, 1.6875, 3.9375, 0.125, 0.0625, 0.125, -0.0625 },
    { DT_Q2_K, 80, 82, 127.6875, 161.3125, 0.5, 1.0625, 0.03125, -0.21875 },
    { DT_Q3_K, 108, 0, 14.625, 469.25, -0.4375, 0.875, -0.25, -1.5 },
    { DT_Q4_K, 0, 2, 3334.5, 3404.125, 5.78125, 0.09375, 0.09375, -0.71875 },
    { DT_Q5_K, 0, 2, 6879.5, 6933.8125, 18.78125, 0.09375, 0.09375, -0.71875 },
    { DT_Q6_K, 208, 0, -927.75, 16252, 10.0625, -2.875, 6.25, 18 },
    { DT_TQ1_0, 52, 0, -0.9375, 10.9375, -0.0625, 0, -0.0625, 0.0625 },
    { DT_TQ2_0, 64, 0, 7.8125, 15.6875, 0, 0.0625, 0.0625, -0.0625 },
    { DT_IQ2_XXS, 0, 0, -18.640625, 553.0625, -7.7265625, -7.7265625, 1.4375, -4.4921875 },
    { DT_IQ2_XS, 0, 0, 41.609375, 634.984375, 1.4375, -4.4921875, 6.0546875, 1.9375 },
    { DT_IQ2_S, 0, 0, -15.71875, 642.625, -0.4375, -1.3671875, 3.0234375, -3.0234375 },
    { DT_IQ3_XXS, 0, 0, 121.34375, 1709.59375, -18.5625, -15.1875, 8.4375, 15.1875 },
    { DT_IQ3_S, 0, 0, 10.125, 1880.875, -2.1875, -0.4375, 0.4375, 4.8125 },
    { DT_IQ1_S, 0, 0, -4.5625, 84.765625, 0.0390625, 0.0390625, 0.3515625, -0.2734375 },
    { DT_IQ1_M, 0, 0, -3.8125, 85.0625, 0.1640625, -0.2109375, 0.4921875, -0.6328125 },
    { DT_IQ4_XS, 0, 0, -403.125, 15266.5, -188.5, 45.3125, 68.875, -46.875 },
};

static void make_vector(const struct vector *v, uint8_t *block)
{
    const struct dtype_info *d = dtype_info(v->type);
    for (unsigned i = 0; i < d->block_bytes; i++) block[i] = (uint8_t)(73 * i + 41);
    if (v->type == DT_NVFP4) return;
    if (v->type == DT_MXFP4) {
        block[0] = 0x7d;
    } else if (v->type == DT_IQ1_M) {
        static const uint8_t nibble[4] = { 0x0, 0x0, 0xc, 0x2 };
        for (unsigned k = 0; k < 4; k++) block[49 + 2 * k] = (uint8_t)((block[49 + 2 * k] & 15) | nibble[k] << 4);
    } else {
        store16(block + v->d_at, 0x2c00);
        if (v->m_at) store16(block + v->m_at, 0x2800);
    }
}

static void check_value(const char *type, const char *what, double got, double want)
{
    if (fabs(got - want) > 1e-8 * fabs(want)) fail_msg("%s %s: %.9g, expected %.9g", type, what, got, want);
}

static void unpack_equals_vectors(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++) {
        const struct vector *v = &vectors[k];
        const struct dtype_info *d = dtype_info(v->type);
        uint8_t block[292];
        float y[256];
        double sum = 0, sum_abs = 0;
        make_vector(v, block);
        quant_unpack(v->type)(block, y, d->block_values);
        for (unsigned i = 0; i < d->block_values; i++) {
            sum += (double)y[i];
            sum_abs += fabs((double)y[i]);
        }
        check_value(d->name, "sum", sum, v->sum);
        check_value(d->name, "sum of magnitudes", sum_abs, v->sum_abs);
        check_value(d->name, "y[0]", (double)y[0], v->y0);
        check_value(d->name, "y[1]", (double)y[1], v->y1);
        check_value(d->name, "y[17]", (double)y[17], v->y17);
        check_value(d->name, "y[last]", (double)y[d->block_values - 1], v->last);
    }
}

/* ---- tables and halves ---- */

static void every_number_type_unpacks(void **state)
{
    (void)state;
    for (unsigned t = 0; t < N_DTYPE; t++) {
        enum dtype_family family = dtype_info((enum dtype)t)->family;
        bool plain = family == DTF_PLAIN || family == DTF_SPLIT;
        assert_int_equal(quant_unpack((enum dtype)t) == NULL, plain);
        bool activations = t == DT_Q8_1 || t == DT_Q8_K;
        assert_int_equal(quant_pack((enum dtype)t) == NULL, plain || activations);
        assert_int_equal(quant_pack_weighted((enum dtype)t) == NULL, plain || activations);
    }
}

static float by_definition(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return (float)(h & 0x8000 ? -v : v);
}

static void f16_is_exact(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = f16_to_f32((uint16_t)h), want = by_definition((uint16_t)h);
        if (isnan(want)) {
            assert_true(isnan(f));
            assert_true(isnan(f16_to_f32(f32_to_f16(f))));
            continue;
        }
        assert_memory_equal(&f, &want, 4);
        assert_int_equal(f32_to_f16(f), h);
        if ((h & 0x7fff) >= 0x7c00) continue;
        /* Between two neighbours: the middle goes to the even one, anything else to the nearer one. */
        float next = (h & 0x7fff) == 0x7bff ? (h & 0x8000 ? -65536.0f : 65536.0f) : by_definition((uint16_t)(h + 1));
        float mid = (f + next) / 2;
        assert_int_equal(f32_to_f16(mid), h & 1 ? h + 1 : h);
        assert_int_equal(f32_to_f16(nextafterf(mid, f)), h);
        assert_int_equal(f32_to_f16(nextafterf(mid, next)), h + 1);
    }
    assert_int_equal(f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(f32_to_f16(-1e-30f), 0x8000);
}

static void bf16_rounds_to_even(void **state)
{
    (void)state;
    assert_int_equal(f32_to_bf16(1.0f), 0x3f80);
    assert_int_equal(f32_to_bf16(1.00390625f), 0x3f80);          /* a tie: 1 + 2^-8 */
    assert_int_equal(f32_to_bf16(1.01171875f), 0x3f82);          /* a tie: 1 + 3 * 2^-8 */
    assert_int_equal(f32_to_bf16(INFINITY), 0x7f80);
    assert_true(isnan(bf16_to_f32(f32_to_bf16(NAN))));
    for (unsigned h = 0; h < 65536; h++) {
        float f = bf16_to_f32((uint16_t)h);
        if (!isnan(f)) assert_int_equal(f32_to_bf16(f), h);
    }
}

/* ---- random blocks ---- */

/* Blocks [0, 96) of the stream as values, and that any cut of the stream gives the same bytes. */
static void random_values(const struct quant_random *r, float *x)
{
    const struct dtype_info *d = dtype_info(r->type);
    static uint8_t whole[96 * 256], part[96 * 256 + 1];
    static const size_t cut[] = { 0, 1, 6, 31, 50, 96 };
    quant_random_blocks(r, 0, 96, whole);
    memset(part, 0xa5, sizeof part);
    for (size_t i = 0; i + 1 < sizeof cut / sizeof *cut; i++)
        quant_random_blocks(r, cut[i], cut[i + 1] - cut[i], part + cut[i] * d->block_bytes);
    assert_memory_equal(whole, part, 96 * d->block_bytes);
    assert_int_equal(part[96 * d->block_bytes], 0xa5);
    quant_unpack(r->type)(whole, x, 96 * d->block_values);
}

static void random_blocks_have_the_wanted_size(void **state)
{
    (void)state;
    static float x[96 * 256], y[96 * 256];
    static struct quant_random r;
    unsigned n_types = 0;
    for (unsigned t = 0; t < N_DTYPE; t++) {
        for (float sigma = 0.005f; sigma < 0.2f; sigma *= 4) {
            if (!quant_random_init(&r, (enum dtype)t, 0, sigma, 7)) continue;
            n_types += sigma == 0.005f;
            size_t n = 96 * dtype_info(r.type)->block_values;
            double sum = 0, square = 0;
            random_values(&r, x);
            for (size_t i = 0; i < n; i++) {
                assert_true(isfinite(x[i]));
                sum += (double)x[i];
                square += (double)x[i] * (double)x[i];
            }
            /* A scale that is a power of two (or has 3 bits of mantissa) comes no nearer than this; few numbers scatter. */
            double s = sqrt(square / (double)n) / (double)sigma, m = sum / (double)n / (double)sigma;
            if (s < 0.7 || s > 1.45 || fabs(m) > 0.15)
                fail_msg("%s: spread %g and mean %g of %g", dtype_info(r.type)->name, s, m, (double)sigma);
            assert_true(quant_random_init(&r, (enum dtype)t, 0, sigma, 8));
            random_values(&r, y);
            assert_memory_not_equal(x, y, n * sizeof *x);
        }
        assert_true(quant_random_init(&r, DT_F32, 1, 0.1f, 7));
    }
    assert_int_equal(n_types, DT_F8_E4M3 - 7);        /* all but five integers, Q8_1, Q8_K and those that exist only in memory */
    random_values(&r, x);
    for (size_t i = 0; i < 96; i++) assert_true(x[i] > 0.3f && x[i] < 1.7f);
}

/* Formats mean the same bytes everywhere: this is what the first block of a seed is. */
static void random_blocks_are_the_same_everywhere(void **state)
{
    (void)state;
    struct quant_random r;
    uint8_t b[144];
    uint64_t h = 0;
    assert_true(quant_random_init(&r, DT_Q4_K, 0, 0.02f, 1));
    quant_random_blocks(&r, 0, 1, b);
    for (size_t i = 0; i < sizeof b; i++) h = h * 31 + b[i];
    assert_true(h == 0xf8270f43fa01c760u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unpack_equals_reference),
        cmocka_unit_test(unpack_equals_vectors),
        cmocka_unit_test(every_number_type_unpacks),
        cmocka_unit_test(f16_is_exact),
        cmocka_unit_test(bf16_rounds_to_even),
        cmocka_unit_test(random_blocks_have_the_wanted_size),
        cmocka_unit_test(random_blocks_are_the_same_everywhere),
    };
    return run_tests(tests);
}
