#include "quant/quant.h"

#include <math.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/mem.h"
#include "quant/pack.h"
#include "tests/testing.h"

/* The largest error, as a part of the mean square, on uniform noise without and with weights; what is measured is about a tenth
 * below.  Powers of two as scales (MXFP4) and few bits do worse at some sizes. */
static const struct { enum dtype type; double plain, weighted; } row[] = {
    { DT_F32, 0, 0 }, { DT_F16, 1e-7, 1e-7 }, { DT_BF16, 1e-5, 1e-5 }, { DT_Q8_0, 2e-5, 2e-5 },
    { DT_Q4_0, 5e-3, 5e-3 }, { DT_Q4_1, 4e-3, 4e-3 }, { DT_Q5_0, 1.2e-3, 1.2e-3 }, { DT_Q5_1, 1e-3, 1e-3 },
    { DT_IQ4_NL, 6e-3, 6e-3 }, { DT_MXFP4, 3e-2, 3e-2 }, { DT_NVFP4, 2e-2, 2e-2 }, { DT_Q1_0, 0.26, 0.26 },
    { DT_Q2_0, 0.1, 0.1 }, { DT_TQ1_0, 0.12, 0.12 }, { DT_TQ2_0, 0.12, 0.12 }, { DT_Q2_K, 6e-2, 6e-2 },
    { DT_Q3_K, 1.6e-2, 1.6e-2 }, { DT_Q4_K, 4e-3, 4e-3 }, { DT_Q5_K, 1e-3, 1e-3 }, { DT_Q6_K, 3e-4, 3e-4 },
    { DT_IQ4_XS, 6e-3, 6e-3 }, { DT_IQ3_S, 2e-2, 2e-2 }, { DT_IQ3_XXS, 4e-2, 4e-2 }, { DT_IQ2_S, 7e-2, 7e-2 },
    { DT_IQ2_XS, 9e-2, 9e-2 }, { DT_IQ2_XXS, 0.12, 0.12 }, { DT_IQ1_M, 0.17, 0.17 }, { DT_IQ1_S, 0.2, 0.2 },
};
enum { N_ROW = sizeof row / sizeof *row };

/* sum w (x - y)^2 / sum w x^2 after packing and unpacking. */
static double error_of(enum dtype t, const float *x, const float *w, size_t n)
{
    const struct dtype_info *d = dtype_info(t);
    uint8_t *q = mem_new(n / d->block_values, d->block_bytes);
    float *y = mem_new_array(float, n);
    double e = 0, power = 0;
    quant_pack_weighted(t)(x, w, q, n);
    quant_unpack(t)(q, y, n);
    for (size_t i = 0; i < n; i++) {
        double u = w ? (double)w[i] : 1, r = (double)y[i] - (double)x[i];
        e += u * r * r;
        power += u * (double)x[i] * (double)x[i];
    }
    mem_free(q);
    mem_free(y);
    return power > 0 ? e / power : e;
}

static uint64_t next(uint64_t *s)
{
    *s += 0x9e3779b97f4a7c15u;
    uint64_t z = *s;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static float uniform(uint64_t *s) { return (float)(next(s) >> 40) / 8388608.0f - 1; }

static void every_type_is_in_the_table(void **state)
{
    (void)state;
    for (unsigned t = 0, n = 0; t < N_DTYPE; t++) {
        if (quant_pack((enum dtype)t)) n++;
        if (t == N_DTYPE - 1) assert_int_equal(n, N_ROW);
    }
}

/* No type's error is larger than that of the field's quantiser on the same values.  (Where that one demands weights, it was
 * given ones.) */
static void packers_beat_the_reference(void **state)
{
    (void)state;
    char path[1024];
    REF_OR_SKIP(path, "quants/gaussian.f32.bin");
    struct err err;
    char *x, *q;
    size_t bytes, nq;
    unsigned seen = 0;
    assert_int_equal(os_read_file(path, 1 << 24, &x, &bytes, &err), 0);
    size_t n = bytes / 4;
    float *y = mem_new_array(float, n), *in = (void *)x;
    for (unsigned k = 0; k < N_ROW; k++) {
        char name[64];
        double theirs = 0, power = 0;
        snprintf(name, sizeof name, "quants/%s.gaussian.q", dtype_info(row[k].type)->name);
        if (!ref_path(path, sizeof path, name)) continue;
        assert_int_equal(os_read_file(path, 1 << 24, &q, &nq, &err), 0);
        quant_unpack(row[k].type)((const uint8_t *)q, y, n);
        for (size_t i = 0; i < n; i++) {
            theirs += ((double)y[i] - (double)in[i]) * ((double)y[i] - (double)in[i]);
            power += (double)in[i] * (double)in[i];
        }
        double ours = error_of(row[k].type, in, NULL, n);
        print_message("# %s: error %.4g, reference %.4g\n", dtype_info(row[k].type)->name, ours, theirs / power);
        if (ours > theirs / power * (1 + 1e-9))
            fail_msg("%s: error %.6g, reference %.6g", dtype_info(row[k].type)->name, ours, theirs / power);
        seen++;
        mem_free(q);
    }
    assert_int_equal(seen, N_ROW - 1);               /* all but F32 */
    mem_free(x);
    mem_free(y);
}

static void packers_are_accurate(void **state)
{
    (void)state;
    for (unsigned k = 0; k < N_ROW; k++)
        for (float size = 1e-2f; size < 1e3f; size *= 7) {
            float x[2048], w[2048];
            uint64_t seed = 5;
            for (unsigned i = 0; i < 2048; i++) {
                x[i] = size * uniform(&seed);
                w[i] = expf(3 * uniform(&seed));
            }
            double e = error_of(row[k].type, x, NULL, 2048), u = error_of(row[k].type, x, w, 2048);
            if (e > row[k].plain || u > row[k].weighted)
                fail_msg("%s at %g: %g, with weights %g", dtype_info(row[k].type)->name, (double)size, e, u);
        }
}

/* A value that matters a thousand times as much is stored more precisely than without weights. */
static void weights_count(void **state)
{
    (void)state;
    for (unsigned k = 0; k < N_ROW; k++) {
        float x[4096], w[4096], m[4096];
        uint64_t seed = 11;
        for (unsigned i = 0; i < 4096; i++) {
            x[i] = uniform(&seed) + uniform(&seed) + uniform(&seed);
            w[i] = i % 8 == 3 ? 1000 : 1;
            m[i] = i % 8 == 3;
        }
        const struct dtype_info *d = dtype_info(row[k].type);
        uint8_t q[2][4096 * 4];
        float y[2][4096];
        double e[2] = { 0, 0 };
        for (int i = 0; i < 2; i++) {
            quant_pack_weighted(row[k].type)(x, i ? w : NULL, q[i], 4096);
            quant_unpack(row[k].type)(q[i], y[i], 4096);
            for (unsigned j = 0; j < 4096; j++) e[i] += (double)m[j] * pow((double)y[i][j] - (double)x[j], 2);
        }
        if (d->family == DTF_FLOAT) assert_memory_equal(q[0], q[1], 4096 * d->block_bytes);
        else if (!(e[1] < 0.95 * e[0])) fail_msg("%s: %g of %g", d->name, e[1], e[0]);
    }
}

/* Values that a block can hold exactly stay what they are: models that were trained in a type lose nothing. */
static void packers_keep_what_fits(void **state)
{
    (void)state;
    static const struct { enum dtype t; float unit; int lo, hi, top; } grid[] = {
        { DT_Q4_0, 0.25f, -8, 7, -8 }, { DT_Q5_0, 0.125f, -16, 15, -16 }, { DT_Q8_0, 0.5f, -127, 127, 127 },
        { DT_TQ1_0, 0.03f, -1, 1, 1 }, { DT_TQ2_0, 0.03f, -1, 1, -1 }, { DT_Q2_0, 0.25f, -1, 2, 2 }, { DT_Q4_1, 0.5f, 0, 15, 15 },
        { DT_Q6_K, 0.5f, -32, 31, -32 }, { DT_Q3_K, 0.25f, -4, 3, -4 },
    };
    float zeros[256] = { 0 }, x[256];
    uint64_t seed = 9;
    for (unsigned k = 0; k < N_ROW; k++) assert_true(error_of(row[k].type, zeros, NULL, 256) == 0);
    for (unsigned k = 0; k < sizeof grid / sizeof *grid; k++) {
        float unit = f16_to_f32(f32_to_f16(grid[k].unit));
        for (unsigned i = 0; i < 256; i++)
            x[i] = unit * (float)((int)(next(&seed) % (uint64_t)(grid[k].hi - grid[k].lo + 1)) + grid[k].lo);
        for (unsigned i = 0; i < 256; i += 16) x[i] = unit * (float)grid[k].top;
        for (unsigned i = 8; i < 256 && grid[k].t == DT_Q4_1; i += 16) x[i] = 0;
        double e = error_of(grid[k].t, x, NULL, 256);
        /* Super-blocks may come out with other factors, near enough. */
        if (e > (dtype_info(grid[k].t)->family == DTF_SUPER && grid[k].t != DT_TQ1_0 && grid[k].t != DT_TQ2_0 ? 1e-6 : 0))
            fail_msg("%s: %g", dtype_info(grid[k].t)->name, e);
    }
}

/* One value a thousand times larger than the others is kept as well as the type can: where the smallest magnitude that its
 * neighbours may have is 8/43 of the largest (IQ2), half of its power. */
static void one_outlier(void **state)
{
    (void)state;
    for (unsigned k = 0; k < N_ROW; k++) {
        float x[256], y[256];
        uint8_t q[1024];
        uint64_t seed = 3;
        for (unsigned i = 0; i < 256; i++) x[i] = 0.01f * uniform(&seed);
        x[100] = -10;
        quant_pack(row[k].type)(x, q, 256);
        quant_unpack(row[k].type)(q, y, 256);
        bool one_bit = row[k].type == DT_Q1_0;                  /* all magnitudes are the same there */
        if (!one_bit && !(fabsf(y[100] + 10) < 6)) fail_msg("%s: %g", dtype_info(row[k].type)->name, (double)y[100]);
        double e = error_of(row[k].type, x, NULL, 256);
        if (!one_bit && e > 0.52) fail_msg("%s: error %g", dtype_info(row[k].type)->name, e);
    }
}

/* Strange inputs and weights give finite blocks and touch nothing outside them. */
static void packers_survive_anything(void **state)
{
    (void)state;
    static const float odd[] = { NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e-45f, -1e-38f, 65504, 0, -0.0f, 1e-8f };
    uint64_t seed = 77;
    for (unsigned k = 3; k < N_ROW; k++) {
        const struct dtype_info *d = dtype_info(row[k].type);
        for (unsigned round = 0; round < 60; round++) {
            float x[256], w[256], y[256];
            uint8_t q[16 + 272 + 16];
            size_t bytes = 256 / d->block_values * d->block_bytes;
            memset(q, 0xa5, sizeof q);
            for (unsigned i = 0; i < 256; i++) {
                uint64_t r = next(&seed);
                uint32_t bits = (uint32_t)(r >> 32), other = (uint32_t)r;
                memcpy(&w[i], &other, 4);
                if (r % 3) memcpy(&x[i], &bits, 4);
                else x[i] = odd[r % (sizeof odd / sizeof *odd)];
                if (round == 1) x[i] = 1e-41f * (float)(i % 7);
                if (round == 2) x[i] = i == 77 ? 3e38f : 1e-6f;
            }
            quant_pack_weighted(row[k].type)(x, round % 2 ? w : NULL, q + 16, 256);
            quant_unpack(row[k].type)(q + 16, y, 256);
            for (unsigned i = 0; i < 256; i++)
                if (!isfinite(y[i])) fail_msg("%s: value %u of round %u is %g", d->name, i, round, (double)y[i]);
            for (unsigned i = 0; i < 16; i++) assert_true(q[i] == 0xa5 && q[16 + bytes + i] == 0xa5);
        }
    }
}

/* A model that is made on one machine is the one that another makes: every variant that runs here gives the same bits. */
static void packed_bits_are_the_same_everywhere(void **state)
{
    (void)state;
    const uint32_t sets[] = { 0, CPU_AVX2, CPU_NEON, CPU_AVX512 | CPU_AVX2 };
    for (unsigned v = 0; v < sizeof sets / sizeof *sets; v++) {
        uint64_t all = HASH_START;
        if (sets[v] & ~cpu_features()) continue;
        for (unsigned k = 0; k < N_ROW; k++) {
            float x[1024], w[1024];
            uint8_t q[4096];
            uint64_t seed = 21;
            for (unsigned i = 0; i < 1024; i++) {
                x[i] = uniform(&seed) * uniform(&seed) * uniform(&seed);
                w[i] = uniform(&seed) + 1;
            }
            const struct dtype_info *d = dtype_info(row[k].type);
            for (int i = 0; i < 2; i++) {
                pack_select(sets[v])->of[row[k].type].weighted(x, i ? w : NULL, q, 1024);
                all = hash_add(all, q, 1024 / d->block_values * d->block_bytes);
            }
        }
        if (all != 0x1824421e51154c91u) fail_msg("%s: 0x%016llx", cpu_features_name(sets[v]), (unsigned long long)all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_in_the_table),
        cmocka_unit_test(packers_beat_the_reference),
        cmocka_unit_test(packers_are_accurate),
        cmocka_unit_test(weights_count),
        cmocka_unit_test(packers_keep_what_fits),
        cmocka_unit_test(one_outlier),
        cmocka_unit_test(packers_survive_anything),
        cmocka_unit_test(packed_bits_are_the_same_everywhere),
    };
    return run_tests(tests);
}
