#include "tests/matmul_problem.h"

#include "base/hash.h"

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
                if (i < 7 || k % 3 == 2) check(make(type[t], rnd() % 20 + 1, K[k], T[i], 1), check_double);
}

static void test_every_other_type(void **state)
{
    (void)state;
    seed = 2;
    for (enum dtype t = 0; t < N_DTYPE; t++) {
        if (!quant_unpack(t) || matmul_act_form(t, NULL) != ACT_F32) continue;
        check(make(t, 11, 768, 1, 1), check_double);
        check(make(t, 11, 768, 7, 1), check_double);
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
            if (!quant_unpack(t) || matmul_act_form(t, NULL) != ACT_F32) continue;
            struct problem p = make(t, 9, 768, 5, 1);
            run(&p, cpu[i], 5, 9, 0, got);
            h = hash_add(h, got, 5 * 11 * sizeof *got);
            release(&p);
        }
        print_message("# hash %016llx\n", (unsigned long long)h);
        assert_true(h == UINT64_C(0x525f74d45cba4bf2));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_float_types),
    cmocka_unit_test(test_every_other_type),
    cmocka_unit_test(test_the_bits_are_those_of_every_machine),
};

int main(void) { return run_tests(tests); }
