#include "tests/matmul_problem.h"

#include "base/hash.h"

/* 2^(e - 12) of wide.h. */
static double unit(const float *v, size_t n)
{
    float top = 0;
    for (size_t i = 0; i < n; i++) top = fmaxf(top, fabsf(v[i]));
    int e = top > 0 ? ilogbf(top) : -50;
    return ldexp(1, (e < -50 ? -50 : e) - 12);
}

/* Half a unit of each factor, and the roundings of the chain. */
static void check_double(const struct problem *p)
{
    for (size_t t = 0; t < p->T; t++)
        for (size_t r = 0; r < p->R; r++) {
            const float *x = p->x + t * p->K, *w = p->wf + r * p->K;
            double s = 0, mag = 0, lost = 0;
            for (size_t k = 0; k < p->K; k += 32) {
                const size_t n = p->K - k < 32 ? p->K - k : 32;
                const double ux = unit(x + k, n) / 2, uw = unit(w + k, n) / 2;
                for (size_t i = k; i < k + n; i++) {
                    s += (double)x[i] * (double)w[i];
                    mag += fabs((double)x[i] * (double)w[i]);
                    lost += ux * (fabs((double)w[i]) + uw) + uw * fabs((double)x[i]);
                }
            }
            const double y = (double)want[t * (p->R + 2) + 1 + r];
            assert_true(fabs(y - s) <= lost + (double)(p->K / 32 + 8) * 6e-8 * (mag + lost) + 1e-40);
        }
}

static void test_float_types(void **state)
{
    static const enum dtype type[] = { DT_F16, DT_BF16 };
    static const size_t K[] = { 1, 7, 15, 16, 17, 64, 100, 511, 512, 513, 1040, 1571 };
    static const size_t T[] = { 1, 2, 3, 4, 5, 6, 7, 13, 48, 49, 100 };
    (void)state;
    seed = 1;
    for (size_t t = 0; t < 2; t++)
        for (size_t k = 0; k < sizeof K / sizeof *K; k++)
            for (size_t i = 0; i < sizeof T / sizeof *T; i++)
                if (i < 7 || k % 3 == 2) check(make(type[t], rnd() % 20 + 1, K[k], T[i], 300), check_double);
}

/* Every packer gives the bits of the first, whatever the numbers. */
static void test_activations(void **state)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 3e38f, -1e20f, 1e-40f, 0x1p-50f, 0x1.ffffffp-51f, 1.9999999f, 0,
                                 -0.0f };
    uint32_t cpu[N_VARIANTS];
    size_t n_cpu = variants(cpu);
    (void)state;
    seed = 4;
    for (int round = 0; round < 200; round++) {
        static _Alignas(64) uint8_t first[8192], other[8192];
        float x[MAX_K];
        size_t K = rnd() % MAX_K + 1, n = act_row_bytes(ACT_Q16, K);
        for (size_t k = 0; k < K; k++)
            x[k] = rnd() % 9 ? ldexpf(uniform(), (int)(rnd() % 5)) : odd[rnd() % (sizeof odd / sizeof *odd)];
        memset(first, 1, n);
        act_pack(ACT_Q16, x, first, K, 0);
        for (size_t i = 1; i < n_cpu; i++) {
            memset(other, 1, n);
            act_pack(ACT_Q16, x, other, K, cpu[i]);
            assert_memory_equal(first, other, n);
        }
    }
}

/* Groups with a weight that is no number, or too large, are zeros to every variant; small ones are not lost. */
static void odd_weights(enum dtype type, const uint16_t *odd, size_t n_odd)
{
    enum { R = 20, K = 512, T = 9 };
    uint32_t cpu[N_VARIANTS];
    size_t n_cpu = variants(cpu);
    for (size_t k = 0; k < n_odd; k++) {
        struct problem p = make(type, R, K, T, 300);
        for (size_t i = 0; i < R; i++) {
            size_t at = i * K + rnd() % K, from = rnd() % 3 ? at : at / 32 * 32, to = from == at ? at + 1 : from + 32;
            for (; from < to; from++) memcpy(p.w + 2 * from, &odd[k], 2);
        }
        run(&p, 0, T, R, 0, want);
        for (size_t i = 0; i < T * (R + 2); i++) assert_true(isfinite(want[i]));
        for (size_t i = 0; i < n_cpu; i++)
            for (size_t few = 1; few <= T; few += 4) {
                run(&p, cpu[i], few, R, 0, got);
                assert_memory_equal(got, want, few * (R + 2) * sizeof *got);
            }
        release(&p);
    }
}

static void test_odd_weights(void **state)
{
    static const uint16_t half[] = { 0x7c00, 0xfc00, 0x7e01, 0xffff, 0x7bff, 0x0001, 0x8001, 0x0400, 0x8000, 0 };
    static const uint16_t brain[] = { 0x7f80, 0xff80, 0x7fc0, 0xffff, 0x5f80, 0x5f7f, 0x2680, 0x267f, 0x0001, 0x8001, 0x8000,
                                      0 };
    (void)state;
    seed = 5;
    odd_weights(DT_F16, half, sizeof half / sizeof *half);
    odd_weights(DT_BF16, brain, sizeof brain / sizeof *brain);
}

/* As near as activations rounded to f16 would be: a normalised mean squared error of 2e-8, here with outliers. */
static void test_error(void **state)
{
    enum { R = 40, K = 1024, T = 30 };
    (void)state;
    seed = 6;
    for (int brain = 0; brain < 2; brain++) {
        struct problem p = make(brain ? DT_BF16 : DT_F16, R, K, T, 300);
        double wrong = 0, all = 0;
        for (size_t i = 0; i < (size_t)R * K; i++) {
            float v = uniform() + uniform() + uniform() + uniform();
            uint16_t h = brain ? f32_to_bf16(v) : f32_to_f16(v);
            memcpy(p.w + 2 * i, &h, 2);
            p.wf[i] = brain ? bf16_to_f32(h) : f16_to_f32(h);
        }
        for (size_t t = 0; t < T; t++) {
            for (size_t k = 0; k < K; k++) p.x[t * K + k] = (uniform() + uniform() + uniform()) * (k % 100 ? 1 : 20);
            act_pack(ACT_Q16, p.x + t * K, p.act + t * p.act_stride, K, 0);
        }
        run(&p, 0, T, R, 0, want);
        for (size_t t = 0; t < T; t++)
            for (size_t r = 0; r < R; r++) {
                double s = 0;
                for (size_t k = 0; k < K; k++) s += (double)p.x[t * K + k] * (double)p.wf[r * K + k];
                double e = (double)want[t * (R + 2) + 1 + r] - s;
                wrong += e * e, all += s * s;
            }
        print_message("# %s: %.2g\n", brain ? "bf16" : "f16", wrong / all);
        assert_true(wrong / all < 1e-7);
        release(&p);
    }
}

static void test_the_bits_are_those_of_every_machine(void **state)
{
    uint32_t cpu[N_VARIANTS];
    size_t n = variants(cpu);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        uint64_t h = HASH_START;
        seed = 3;
        for (enum dtype t = 0; t < N_DTYPE; t++) {
            if (!quant_unpack(t) || matmul_act_form(t, NULL) != ACT_Q16) continue;
            struct problem p = make(t, 9, 768, 5, 300);
            run(&p, cpu[i], 5, 9, 0, got);
            h = hash_add(h, got, 5 * 11 * sizeof *got);
            release(&p);
        }
        print_message("# hash %016llx\n", (unsigned long long)h);
        assert_true(h == UINT64_C(0xd0a590509c054aa6));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_float_types),
    cmocka_unit_test(test_activations),
    cmocka_unit_test(test_odd_weights),
    cmocka_unit_test(test_error),
    cmocka_unit_test(test_the_bits_are_those_of_every_machine),
};

int main(void) { return run_tests(tests); }
