#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "kernel/matmul/matmul.h"
#include "quant/quant.h"

enum { MAX_R = 40, MAX_K = 1600, MAX_T = 130 };

static uint64_t seed;

static uint32_t rnd(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}
static float uniform(void) { return (float)(rnd() >> 8) * 0x1p-23f - 1; }      /* [-1, 1) */

/* Plain C first. */
static size_t variants(uint32_t *cpu)
{
    static const uint32_t set[] = { 0, CPU_AVX2, CPU_AVX2 | CPU_AVX512, CPU_NEON };
    size_t n = 0;
    for (size_t i = 0; i < 4; i++)
        if (!(set[i] & ~cpu_features())) cpu[n++] = set[i];
    return n;
}

struct problem {
    enum dtype type;
    size_t R, K, T, act_stride;
    uint8_t *w, *act;                   /* w is not aligned */
    float *wf;                          /* unpacked */
    void *w_mem;
};

/* Every type of block is made of random bytes whose values are finite and not huge. */
static void random_row(enum dtype t, uint8_t *w, float *f, size_t K)
{
    const struct dtype_info *info = dtype_info(t);
    for (size_t k = 0; k < K; k += info->block_values, w += info->block_bytes)
        for (int fits = 0; !fits;) {
            for (size_t i = 0; i < info->block_bytes; i++) w[i] = (uint8_t)rnd();
            quant_unpack(t)(w, f + k, info->block_values);
            fits = 1;
            for (size_t i = 0; i < info->block_values; i++) fits &= fabsf(f[k + i]) < 1e4f;
        }
}

static struct problem make(enum dtype type, size_t R, size_t K, size_t T)
{
    struct problem p = { .type = type, .R = R, .K = K, .T = T, .act_stride = act_row_bytes(ACT_F32, K) };
    uint64_t row;
    assert_true(dtype_row_bytes(type, K, &row));
    p.w_mem = malloc(R * row + 1);
    p.w = (uint8_t *)p.w_mem + 1;
    p.wf = malloc(R * K * sizeof *p.wf);
    p.act = aligned_alloc(64, (T + 3) * p.act_stride);
    memset(p.act, 0xff, (T + 3) * p.act_stride);              /* padding is NaN */
    for (size_t r = 0; r < R; r++) random_row(type, p.w + r * row, p.wf + r * K, K);
    for (size_t t = 0; t < T + 3; t++) {
        float x[MAX_K];
        for (size_t k = 0; k < K; k++) x[k] = uniform();
        act_pack(ACT_F32, x, p.act + t * p.act_stride, K, 0);
    }
    return p;
}

static void release(struct problem *p)
{
    free(p->w_mem);
    free(p->wf);
    free(p->act);
}

/* y[T][R + 2] with guards; rows in pieces of `piece`; map: token t is act row T + 2 - t and y row t ^ 1. */
static void run(const struct problem *p, uint32_t cpu, size_t T, size_t piece, int map, float *y)
{
    struct matmul m;
    int32_t in[MAX_T + 1], out[MAX_T + 1];
    matmul_init(&m, p->type, p->w, p->R, p->K, cpu);
    for (size_t t = 0; t < T; t++) in[t] = (int32_t)(p->T + 2 - t), out[t] = (int32_t)((t ^ 1) < T ? t ^ 1 : t);
    size_t bytes = (matmul_scratch(&m, T) + 63) / 64 * 64;
    uint8_t *scratch = aligned_alloc(64, bytes + 64);
    memset(scratch, 0xff, bytes + 64);
    for (size_t i = 0; i < T * (p->R + 2); i++) y[i] = 77;
    struct matmul_job j = { .m = &m, .act = p->act, .act_stride = p->act_stride, .T = T, .in = map ? in : NULL,
                            .out = map ? out : NULL, .y = y + 1, .y_stride = p->R + 2, .scratch = scratch };
    for (size_t r = 0; r < p->R; r += piece) matmul_rows(&j, r, r + piece < p->R ? r + piece : p->R);
    for (size_t i = bytes; i < bytes + 64; i++) assert_int_equal(scratch[i], 0xff);
    for (size_t t = 0; t < T; t++) assert_true(y[t * (p->R + 2)] == 77 && y[t * (p->R + 2) + p->R + 1] == 77);
    free(scratch);
}

static float want[MAX_T * (MAX_R + 2)], got[MAX_T * (MAX_R + 2)];

static void check_double(const struct problem *p)
{
    for (size_t t = 0; t < p->T; t++)
        for (size_t r = 0; r < p->R; r++) {
            const float *x = (const float *)(const void *)(p->act + t * p->act_stride);
            double s = 0, mag = 0;
            for (size_t k = 0; k < p->K; k++) {
                double v = (double)x[k] * (double)p->wf[r * p->K + k];
                s += v, mag += fabs(v);
            }
            assert_true(fabs((double)want[t * (p->R + 2) + 1 + r] - s) <= (double)(p->K / 16 + 6) * 6e-8 * mag + 1e-40);
        }
}

/* One token at a time in plain C is the definition. */
static void check(enum dtype type, size_t R, size_t K, size_t T)
{
    uint32_t cpu[4];
    size_t n_cpu = variants(cpu), row = R + 2;
    struct problem p = make(type, R, K, T), one = p;
    for (size_t t = 0; t < T; t++) {
        one.act = p.act + t * p.act_stride;
        run(&one, 0, 1, R, 0, want + t * row);
    }
    check_double(&p);
    for (size_t i = 0; i < n_cpu; i++) {
        run(&p, cpu[i], T, R, 0, got);
        assert_memory_equal(got, want, T * row * sizeof *got);
        run(&p, cpu[i], T, 5, 0, got);
        assert_memory_equal(got, want, T * row * sizeof *got);
        if (T > 3) {
            run(&p, cpu[i], T - 3, R, 0, got);
            assert_memory_equal(got, want, (T - 3) * row * sizeof *got);
        }
        for (size_t t = 0; t < T; t++) {
            one.act = p.act + t * p.act_stride;
            run(&one, cpu[i], 1, 7, 0, got);
            assert_memory_equal(got, want + t * row, row * sizeof *got);
        }
        run(&p, cpu[i], T, 3, 1, got);
        for (size_t t = 3; t < T; t++) {              /* token t reads act row T + 2 - t */
            size_t y = (t ^ 1) < T ? t ^ 1 : t;
            assert_memory_equal(got + y * row, want + (T + 2 - t) * row, row * sizeof *got);
        }
    }
    release(&p);
}

static void test_float_types(void **state)
{
    static const enum dtype type[] = { DT_F32 };
    static const size_t K[] = { 1, 7, 15, 16, 17, 64, 100, 511, 512, 513, 1040, 1571 };
    static const size_t T[] = { 1, 2, 3, 4, 5, 6, 7, 13, 48, 49, 100 };
    (void)state;
    seed = 1;
    for (size_t t = 0; t < 1; t++)
        for (size_t k = 0; k < sizeof K / sizeof *K; k++)
            for (size_t i = 0; i < sizeof T / sizeof *T; i++)
                if (i < 7 || k % 3 == 2) check(type[t], rnd() % 20 + 1, K[k], T[i]);
}

static void test_every_other_type(void **state)
{
    (void)state;
    seed = 2;
    for (enum dtype t = 0; t < N_DTYPE; t++) {
        if (!quant_unpack(t) || matmul_act_form(t) != ACT_F32) continue;
        check(t, 11, 768, 1);
        check(t, 11, 768, 7);
    }
}

static void test_the_bits_are_those_of_every_machine(void **state)
{
    uint32_t cpu[4];
    size_t n = variants(cpu);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        uint64_t h = HASH_START;
        seed = 3;
        for (enum dtype t = 0; t < N_DTYPE; t++) {
            if (!quant_unpack(t) || matmul_act_form(t) != ACT_F32) continue;
            struct problem p = make(t, 9, 768, 5);
            run(&p, cpu[i], 5, 9, 0, got);
            h = hash_add(h, got, 5 * 11 * sizeof *got);
            release(&p);
        }
        print_message("# hash %016llx\n", (unsigned long long)h);
        assert_true(h == UINT64_C(0x22caaea6241b3bf1));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_float_types),
    cmocka_unit_test(test_every_other_type),
    cmocka_unit_test(test_the_bits_are_those_of_every_machine),
};

int main(void) { return run_tests(tests); }
