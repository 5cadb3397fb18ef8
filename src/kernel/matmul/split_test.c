/* Matrices whose codes and scales lie apart: every variant gives the bits of the scalar one, which is near the real numbers. */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "format/split.h"
#include "kernel/matmul/act.h"
#include "kernel/matmul/matmul.h"
#include "quant/quant.h"
#include "tests/random.h"

enum { MAX_R = 72, MAX_K = 1056, MAX_T = 37, GUARD = 64 };

static const struct kind { enum dtype type; unsigned bits, group; enum dtype number; bool columns; } kinds[] = {
    { DT_AFFINE2, 2, 32, DT_F16, false },      { DT_AFFINE3, 3, 64, DT_BF16, false },   { DT_AFFINE4, 4, 32, DT_BF16, false },
    { DT_AFFINE4, 4, 64, DT_F32, false },      { DT_AFFINE5, 5, 32, DT_F16, false },    { DT_AFFINE6, 6, 96, DT_F16, false },
    { DT_AFFINE8, 8, 32, DT_F16, false },      { DT_AFFINE8, 8, 128, DT_BF16, false },  { DT_MXFP4_ROWS, 4, 32, DT_F32, false },
    { DT_NVFP4_ROWS, 4, 16, DT_F32, false },   { DT_NVFP4_ROWS, 4, 48, DT_F32, false }, { DT_AWQ4, 4, 64, DT_F16, true },
    { DT_GPTQ4, 4, 32, DT_F16, true },         { DT_GPTQ8, 8, 128, DT_F16, true },      { DT_F8_E4M3, 8, 128, DT_F32, false },
    { DT_F8_E4M3, 8, 32, DT_BF16, false },     { DT_MXFP8_ROWS, 8, 32, DT_F32, false },
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static uint8_t code[MAX_R * MAX_K], scale[MAX_R * MAX_K / 4], bias[MAX_R * MAX_K / 4];

static void put_number(uint8_t *p, enum dtype t, float f)
{
    uint16_t h = t == DT_F16 ? f32_to_f16(f) : f32_to_bf16(f);
    if (t == DT_F32) memcpy(p, &f, 4);
    else memcpy(p, &h, 2);
}

static size_t number_bytes(enum dtype t) { return t == DT_F32 ? 4 : 2; }

/* Random codes, scales around a hundredth, zeros anywhere.  wild: also scales and codes that are no numbers. */
static struct split make(const struct kind *k, size_t R, size_t K, bool wild)
{
    const size_t groups = (K + k->group - 1) / k->group;
    struct split s = { .type = k->type, .number = k->number, .code = code, .scale = scale, .bias = bias, .rows = R, .cols = K,
                       .code_row = K * k->bits / 8, .scale_row = groups * number_bytes(k->number), .group = k->group,
                       .scale_rows = k->type == DT_F8_E4M3 ? 8 : 1, .factor = 1 };
    for (size_t i = 0; i < sizeof code; i++) code[i] = (uint8_t)rnd();
    for (size_t i = 0; i < sizeof bias; i++) bias[i] = (uint8_t)rnd();
    for (size_t i = 0; i + 4 <= sizeof scale; i += number_bytes(k->number)) {
        put_number(scale + i, k->number, uniform() * 0.02f);
        if (!k->columns) put_number(bias + i, k->number, uniform() * 0.1f);
    }
    if (k->type == DT_MXFP4_ROWS || k->type == DT_MXFP8_ROWS || k->type == DT_NVFP4_ROWS) {
        s.scale_row = groups;
        for (size_t i = 0; i < sizeof scale; i++) scale[i] = (uint8_t)(k->type == DT_NVFP4_ROWS ? rnd() % 120 : 115 + rnd() % 6);
        if (k->type == DT_NVFP4_ROWS) s.factor = 0.37f;
    }
    if (k->columns) {
        s.code_row = k->type == DT_AWQ4 ? R / 2 : R * 4;
        s.scale_row = R * number_bytes(k->number);
        s.zero_add = k->type == DT_GPTQ4;
    }
    const bool f8 = k->type == DT_F8_E4M3 || k->type == DT_MXFP8_ROWS;
    for (size_t i = 0; f8 && i < sizeof code; i++)
        if ((code[i] & 127) == 127 && !(wild && rnd() % 4 == 0)) code[i] ^= 1;
    for (size_t i = 0; wild && f8 && i < 40; i++) {
        static const float odd[] = { NAN, INFINITY, 0, -0.0f, 1e-30f, 3e38f, -0.01f };
        if (k->type == DT_F8_E4M3) put_number(scale + rnd() % 64 * number_bytes(k->number), k->number, odd[rnd() % 7]);
        else scale[rnd() % (R * groups)] = (uint8_t)rnd();
    }
    return s;
}

struct job { size_t T, stride, step; bool mapped; };

/* y[T][R + 1] with a guard behind each row. */
static void run(const struct split *s, const uint8_t *act, const struct job *job, uint32_t cpu, float *y)
{
    struct matmul m;
    int32_t in[MAX_T], out[MAX_T];
    matmul_init(&m, s->type, s, s->rows, s->cols, cpu);
    size_t need = matmul_scratch(&m, job->T);
    uint8_t *scratch = aligned_alloc(64, need + GUARD);
    assert_int_equal(0, need % 64);
    memset(scratch, 0x77, need + GUARD);
    for (size_t t = 0; t < job->T; t++) in[t] = out[t] = (int32_t)(job->T - 1 - t);
    for (size_t i = 0; i < job->T * (s->rows + 1); i++) y[i] = 77;
    struct matmul_job j = { .m = &m, .act = act, .act_stride = job->stride, .T = job->T, .y = y, .y_stride = s->rows + 1,
                            .scratch = scratch, .in = job->mapped ? in : NULL, .out = job->mapped ? out : NULL };
    for (size_t r = 0; r < s->rows; r += job->step) matmul_rows(&j, r, r + job->step < s->rows ? r + job->step : s->rows);
    for (size_t i = 0; i < GUARD; i++) assert_int_equal(0x77, scratch[need + i]);
    for (size_t t = 0; t < job->T; t++) assert_true(y[t * (s->rows + 1) + s->rows] == 77);
    free(scratch);
}

/* |y - exact|: half a step of each activation, of F8 of both factors, and the roundings of what is added. */
static void check_double(const struct split *s, const uint8_t *act, size_t stride, const float *x, size_t T, const float *y)
{
    static float w[MAX_K];
    const enum act_form form = matmul_act_form(s->type, s);
    for (size_t r = 0; r < s->rows; r++) {
        split_unpack(s, r, w, s->cols);
        for (size_t t = 0; t < T; t++) {
            double exact = 0, bound = 0, most = 0;
            for (size_t k = 0; k < s->cols; k += 32) {
                double top_x = 0, top_w = 0, n = (double)(s->cols - k < 32 ? s->cols - k : 32);
                for (size_t i = k; i < k + (size_t)n; i++) {
                    const struct act_block *b = (const struct act_block *)(const void *)(act + t * stride) + i / ACT_COLS;
                    exact += (double)w[i] * (double)x[t * MAX_K + i];
                    top_x = fmax(top_x, fabs((double)x[t * MAX_K + i]));
                    top_w = fmax(top_w, fabs((double)w[i]));
                    if (form == ACT_Q32) bound += 0.5 * (double)b->d * b->s[i % ACT_COLS / ACT_GROUP] * fabs((double)w[i]);
                }
                most += n * top_x * (top_w + (form == ACT_Q32 ? 1 : 0));
                if (form == ACT_Q16) bound += n * top_x * top_w * 0x1p-12;
            }
            assert_true(fabs((double)y[t * (s->rows + 1) + r] - exact) <= bound * 1.0001 + most * 2e-6);
        }
    }
}

static void check_matrix(const struct kind *k, size_t R, size_t K, bool wild, uint64_t *hash)
{
    static const uint32_t set[] = { CPU_AVX2, CPU_AVX2 | CPU_AVX512, CPU_NEON, CPU_NEON | CPU_I8MM, CPU_AVX2 | CPU_AVXVNNI };
    static const size_t Ts[] = { 1, 2, 3, 4, 6, 9, MAX_T };
    static float x[MAX_T * MAX_K], want[MAX_T * (MAX_R + 1)], got[MAX_T * (MAX_R + 1)];
    struct split s = make(k, R, K, wild);
    const enum act_form form = matmul_act_form(s.type, &s);
    const size_t stride = act_row_bytes(form, K);
    uint8_t *act = aligned_alloc(64, MAX_T * stride);
    for (size_t i = 0; i < MAX_T * MAX_K; i++) x[i] = uniform() * (i % 53 ? 1 : 20);
    for (size_t t = 0; t < MAX_T; t++) act_pack(form, x + t * MAX_K, act + t * stride, K, 0);
    for (size_t i = 0; i < sizeof Ts / sizeof *Ts; i++) {
        struct job j = { Ts[i], stride, R, false };
        const size_t bytes = Ts[i] * (R + 1) * sizeof *want;
        run(&s, act, &j, 0, want);
        if (!wild) check_double(&s, act, stride, x, Ts[i], want);
        for (size_t c = 0; wild && c < Ts[i] * (R + 1); c++) assert_true(isfinite(want[c]));
        for (size_t v = 0; v < sizeof set / sizeof *set; v++) {
            if (v < 4) {                                     /* as often on every machine, or the hash is another */
                j.step = rnd() % 2 ? R : 1 + rnd() % R;
                j.mapped = rnd() % 2;
            }
            if (set[v] & ~cpu_features()) continue;
            run(&s, act, &j, set[v], got);
            if (memcmp(got, want, bytes))
                fail_msg("%s group %u: %zu tokens, %zu x %zu, rows by %zu, with %s", dtype_info(s.type)->name, s.group, Ts[i], R,
                         K, j.step, cpu_features_name(set[v]));
        }
        *hash = hash_add(*hash, want, bytes);
    }
    free(act);
}

static void every_variant_gives_the_same_bits(void **state)
{
    static const size_t Ks[] = { 96, 256, 480, MAX_K }, Rs[] = { 8, 40, MAX_R, 16 };
    uint64_t hash = HASH_START;
    (void)state;
    seed = 1;
    for (size_t i = 0; i < N_KINDS; i++)
        for (size_t k = 0; k < 4; k++) {
            const struct kind *kind = &kinds[i];
            size_t K = Ks[k] / kind->group * kind->group, R = Rs[(i + k) % 4];
            if (kind->type == DT_F8_E4M3 || kind->columns) K = Ks[k];           /* the last group may be shorter */
            if (!K) K = kind->group == 128 ? 128 : 96;
            if (!kind->columns && k % 2) R -= 3;
            check_matrix(kind, R, K, false, &hash);
        }
    print_message("# hash %016llx\n", (unsigned long long)hash);
    assert_true(hash == UINT64_C(0x483d92ca42d712bb));
}

/* Columns of F8 need no whole blocks. */
static void any_width_of_f8(void **state)
{
    uint64_t hash = HASH_START;
    (void)state;
    seed = 2;
    for (size_t K = 1; K < 600; K += 59) check_matrix(&kinds[N_KINDS - 3], 21, K, false, &hash);
}

static void what_is_no_number_counts_as_zero(void **state)
{
    uint64_t hash = HASH_START;
    (void)state;
    seed = 3;
    for (size_t i = 0; i < N_KINDS; i++)
        if (kinds[i].type == DT_F8_E4M3 || kinds[i].type == DT_MXFP8_ROWS)
            for (int round = 0; round < 4; round++) check_matrix(&kinds[i], 24, 512, true, &hash);
}

/* Groups that blocks of 32 columns cannot follow are multiplied in float; a scale may be missing. */
static void other_groups(void **state)
{
    static const uint32_t index[96] = { 1 };
    uint64_t hash = HASH_START;
    (void)state;
    seed = 4;
    struct split s = make(&(struct kind){ DT_AFFINE4, 4, 48, DT_F16, false }, 8, 96, false);
    assert_int_equal(ACT_F32, matmul_act_form(s.type, &s));
    s = make(&(struct kind){ DT_GPTQ4, 4, 32, DT_F16, true }, 8, 96, false);
    assert_int_equal(ACT_Q32, matmul_act_form(s.type, &s));
    s.index = (const uint8_t *)index;
    assert_int_equal(ACT_F32, matmul_act_form(s.type, &s));
    s = make(&(struct kind){ DT_F8_E4M3, 8, 40, DT_F32, false }, 8, 96, false);
    assert_int_equal(ACT_F32, matmul_act_form(s.type, &s));
    s.scale = NULL;
    s.group = UINT32_MAX;
    assert_int_equal(ACT_Q16, matmul_act_form(s.type, &s));
    static float y[2][9], x[96];
    _Alignas(64) uint8_t act[2048];
    act_pack(ACT_Q16, x, act, 96, 0);
    run(&s, act, &(struct job){ 1, 2048, 8, false }, cpu_features(), y[0]);
    check_matrix(&(struct kind){ DT_AFFINE4, 4, 160, DT_F16, false }, 40, 960, false, &hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_gives_the_same_bits), cmocka_unit_test(any_width_of_f8),
        cmocka_unit_test(what_is_no_number_counts_as_zero),  cmocka_unit_test(other_groups),
    };
    return run_tests(tests);
}
