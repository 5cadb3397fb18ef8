/* matmul_problem.h - a matrix and tokens, and every way to multiply them: for tests of kernels that do not read integers. */
#ifndef HEARTH_TESTS_MATMUL_PROBLEM_H
#define HEARTH_TESTS_MATMUL_PROBLEM_H

#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "kernel/matmul/matmul.h"
#include "quant/quant.h"
#include "tests/random.h"

enum { MAX_R = 40, MAX_K = 1600, MAX_T = 130, N_VARIANTS = 5 };

/* Plain C first. */
static size_t variants(uint32_t *cpu)
{
    static const uint32_t set[] = { 0, CPU_AVX2, CPU_AVX2 | CPU_AVXVNNI, CPU_AVX2 | CPU_AVX512, CPU_NEON };
    size_t n = 0;
    for (size_t i = 0; i < N_VARIANTS; i++)
        if (!(set[i] & ~cpu_features())) cpu[n++] = set[i];
    return n;
}

struct problem {
    enum dtype type;
    size_t R, K, T, act_stride;
    uint8_t *w, *act;                   /* w is not aligned */
    float *wf, *x;                      /* unpacked, and the activations */
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

/* Activations in the form that the type wants; every 37th is `outlier` times as large. */
static struct problem make(enum dtype type, size_t R, size_t K, size_t T, float outlier)
{
    const enum act_form form = matmul_act_form(type, NULL);
    struct problem p = { .type = type, .R = R, .K = K, .T = T, .act_stride = act_row_bytes(form, K) };
    uint64_t row;
    assert_true(dtype_row_bytes(type, K, &row));
    p.w_mem = malloc(R * row + 1);
    p.w = (uint8_t *)p.w_mem + 1;
    p.wf = malloc(R * K * sizeof *p.wf);
    p.act = aligned_alloc(64, (T + 3) * p.act_stride);
    memset(p.act, 0xff, (T + 3) * p.act_stride);              /* padding is NaN */
    for (size_t r = 0; r < R; r++) random_row(type, p.w + r * row, p.wf + r * K, K);
    p.x = malloc((T + 3) * K * sizeof *p.x);
    for (size_t t = 0; t < T + 3; t++) {
        float *x = p.x + t * K;
        for (size_t k = 0; k < K; k++) x[k] = uniform() * (k % 37 ? 1 : outlier);
        act_pack(form, x, p.act + t * p.act_stride, K, 0);
    }
    return p;
}

static void release(struct problem *p)
{
    free(p->w_mem);
    free(p->wf);
    free(p->act);
    free(p->x);
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

/* One token at a time in plain C is the definition, and check_double compares that with real numbers.  Releases p. */
static void check(struct problem p, void (*check_double)(const struct problem *))
{
    uint32_t cpu[N_VARIANTS];
    const size_t R = p.R, T = p.T;
    size_t n_cpu = variants(cpu), row = R + 2;
    struct problem one = p;
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

#endif
