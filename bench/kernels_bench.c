/* How near the integer matrix products come to the machine's limits.
 *   decode   GB/s of weights for one token, against a plain read of the same memory by the same threads
 *   prefill  Gop/s (two per multiply-add) for T tokens, against the peak of the 8-bit multiply instruction
 * Everything that is compared runs interleaved; medians.  Arguments: threads (1), instruction set ("best"), types (all that have
 * integer kernels). */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "median.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/pool.h"
#include "format/split.h"
#include "kernel/matmul/matmul.h"
#include "kernel/matmul/peak.h"
#include "quant/quant.h"

enum { RUNS = 9, K = 4096, MAX_T = 512, GEMM_R = 1024, READ_MIB = 192, SCRATCH = 1 << 20 };

static const size_t tokens[] = { 1, 2, 4, 7, 8, 16, 32, 128, 512 };
enum { N_TOKENS = sizeof tokens / sizeof *tokens };

struct bench {
    struct pool *pool;
    uint32_t cpu;
    unsigned threads;
    uint8_t *w, *act;
    struct split split;           /* what the matrix is where it has codes and scales apart */
    size_t w_bytes;
    float *y;
    uint8_t *scratch[POOL_MAX_THREADS];
    struct matmul m;
    size_t T, read;               /* read: bytes of a plain read */
    uint64_t sink, ops[POOL_MAX_THREADS];
};

static double seconds(struct bench *b, pool_fn *fn)
{
    uint64_t t = os_now_ns();
    pool_run(b->pool, fn, b);
    return (double)(os_now_ns() - t) * 1e-9;
}

static void work(void *arg, unsigned thread, unsigned n)
{
    struct bench *b = arg;
    size_t lo, hi;
    pool_share(b->m.R, MATMUL_GRAIN, thread, n, &lo, &hi);
    struct matmul_job j = {
        .m = &b->m,
        .act = b->act,
        .act_stride = act_row_bytes(matmul_act_form(b->m.type, &b->split), K),
        .T = b->T,
        .y = b->y,
        .y_stride = b->m.R,
        .scratch = b->scratch[thread],
    };
    matmul_rows(&j, lo, hi);
}

static void read_all(void *arg, unsigned thread, unsigned n)
{
    struct bench *b = arg;
    size_t lo, hi;
    pool_share(b->read / 64, 64, thread, n, &lo, &hi);
    uint64_t s[8] = { 0 };
    for (const uint8_t *p = b->w + lo * 64, *end = b->w + hi * 64; p < end; p += 64) {
        uint64_t v[8];
        memcpy(v, p, sizeof v);
        for (int i = 0; i < 8; i++) s[i] += v[i];
    }
    __atomic_fetch_add(&b->sink, s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] ^ s[5] ^ s[6] ^ s[7], __ATOMIC_RELAXED);
}

static void multiply(void *arg, unsigned thread, unsigned n)
{
    struct bench *b = arg;
    (void)n;
    b->ops[thread] = 2 * peak_int8(b->cpu, 1000000);
}

static double peak(struct bench *b)
{
    double t = seconds(b, multiply), ops = 0;
    for (unsigned i = 0; i < b->threads; i++) ops += (double)b->ops[i];
    return ops / t * 1e-9;
}

static const struct { enum dtype type; unsigned bits, group; } kind[] = {
    { DT_AFFINE2, 2, 64 }, { DT_AFFINE3, 3, 64 }, { DT_AFFINE4, 4, 64 }, { DT_AFFINE5, 5, 64 }, { DT_AFFINE6, 6, 64 },
    { DT_AFFINE8, 8, 64 }, { DT_MXFP4_ROWS, 4, 32 }, { DT_NVFP4_ROWS, 4, 16 }, { DT_AWQ4, 4, 128 }, { DT_GPTQ4, 4, 128 },
    { DT_GPTQ8, 8, 128 }, { DT_F8_E4M3, 8, 128 }, { DT_MXFP8_ROWS, 8, 32 },
};
enum { N_KIND = sizeof kind / sizeof *kind };

static size_t kind_of(enum dtype type)
{
    size_t i = 0;
    while (i < N_KIND && kind[i].type != type) i++;
    return i;
}

/* A SPLIT matrix of R rows: codes at the beginning of w, scales and offsets in its last eighth.  Bytes of codes in a row. */
static size_t split_use(struct bench *b, enum dtype type, size_t R)
{
    const size_t i = kind_of(type);
    const uint8_t *apart = b->w + b->w_bytes / 8 * 7;
    const bool bytes = type == DT_MXFP4_ROWS || type == DT_NVFP4_ROWS || type == DT_MXFP8_ROWS;
    size_t row = K * kind[i].bits / 8;
    b->split = (struct split){ .type = type, .number = DT_BF16, .code = b->w, .scale = apart, .bias = apart, .rows = R, .cols = K,
                               .code_row = row, .scale_row = K / kind[i].group * (bytes ? 1 : 2), .group = kind[i].group,
                               .scale_rows = type == DT_F8_E4M3 ? 128 : 1, .factor = 1 };
    if (type == DT_AWQ4) b->split.code_row = R / 2;
    if (type == DT_GPTQ4 || type == DT_GPTQ8) b->split.code_row = R * 4;
    if (type >= DT_AWQ4) b->split.scale_row = R * 2;
    return row;
}

static bool is_split(enum dtype type) { return dtype_info(type)->family == DTF_SPLIT; }

/* Bytes of a row of codes. */
static size_t use(struct bench *b, enum dtype type, size_t R)
{
    size_t row = is_split(type) ? split_use(b, type, R) : 0;
    matmul_init(&b->m, type, is_split(type) ? (const void *)&b->split : b->w, R, K, b->cpu);
    return row ? row : b->m.row_bytes;
}

static void decode(struct bench *b, enum dtype type)
{
    double rate[RUNS], plain[RUNS], ratio[RUNS];
    size_t row = use(b, type, 128), R = b->w_bytes * 7 / 8 / row / 128 * 128;
    use(b, type, R);
    b->T = 1;
    b->read = R * row;
    double bytes = (double)b->read;
    for (int i = 0; i < RUNS; i++) {
        plain[i] = bytes / seconds(b, read_all) * 1e-9;
        rate[i] = bytes / seconds(b, work) * 1e-9;
        ratio[i] = rate[i] / plain[i];
    }
    printf("%-10s T=1    %7.1f GB/s of weights, plain read %5.1f GB/s, %3.0f %%\n", dtype_info(type)->name, median(rate, RUNS),
           median(plain, RUNS), 100 * median(ratio, RUNS));
}

static void prefill(struct bench *b, enum dtype type)
{
    use(b, type, GEMM_R);
    for (size_t k = 0; k < N_TOKENS; k++) {
        double rate[RUNS], top[RUNS], ratio[RUNS];
        b->T = tokens[k];
        if (matmul_scratch(&b->m, b->T) > SCRATCH) continue;
        for (int i = 0; i < RUNS; i++) {
            top[i] = peak(b);
            int times = b->T < 64 ? 4 : 1;
            double t = 0;
            for (int n = 0; n < times; n++) t += seconds(b, work);
            rate[i] = 2.0 * (double)b->m.R * K * (double)b->T * times / t * 1e-9;
            ratio[i] = rate[i] / top[i];
        }
        printf("%-10s T=%-4zu %7.1f Gop/s, peak %5.0f Gop/s, %3.0f %%\n", dtype_info(type)->name, b->T, median(rate, RUNS),
               median(top, RUNS), 100 * median(ratio, RUNS));
    }
}

static void fill(struct bench *b, enum dtype type)
{
    struct quant_random random;
    uint64_t s = 1;
    const bool split = is_split(type);
    quant_random_init(&random, split ? DT_BF16 : type, 0, 0.02f, 1);       /* bytes of BF16 are codes, and scales, of any sort */
    quant_random_blocks(&random, 0, b->w_bytes / dtype_info(split ? DT_BF16 : type)->block_bytes, b->w);
    if (split) split_use(b, type, GEMM_R);
    for (size_t t = 0; t < MAX_T; t++) {
        float row[K];
        for (int i = 0; i < K; i++) {
            s = s * 6364136223846793005u + 1442695040888963407u;
            row[i] = (float)(int32_t)(s >> 32) * 0x1p-31f;
        }
        enum act_form form = matmul_act_form(type, &b->split);
        act_pack(form, row, b->act + t * act_row_bytes(form, K), K, b->cpu);
    }
}

static bool wanted(enum dtype type, int argc, char **argv)
{
    bool found = argc <= 3;
    for (int i = 3; i < argc; i++) found |= !strcmp(argv[i], dtype_info(type)->name);
    return found;
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct err err = { 0 };
    b.threads = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    if (b.threads < 1 || b.threads > POOL_MAX_THREADS) b.threads = 1;
    b.w_bytes = (size_t)READ_MIB << 20;
    const char *cpu = argc > 2 && strcmp(argv[2], "best") ? argv[2] : NULL;
    if (cpu_select(cpu, &b.cpu, &err) < 0 || pool_open(&b.pool, b.threads, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    b.w = os_pages_new(b.w_bytes);
    b.act = mem_new_aligned(MAX_T * act_row_bytes(ACT_Q32, K), 64);
    b.y = mem_new_aligned(sizeof(float) * MAX_T * GEMM_R + (b.w_bytes / 1024), 64);
    for (unsigned i = 0; i < b.threads; i++) b.scratch[i] = mem_new_aligned(SCRATCH, 64);
    printf("%s, %u threads\n", cpu_features_name(b.cpu), b.threads);
    for (enum dtype t = 0; t < N_DTYPE; t++) {
        if (!wanted(t, argc, argv) || !(is_split(t) || (quant_unpack(t) && matmul_act_form(t, NULL) != ACT_F32))) continue;
        if (is_split(t) && kind_of(t) == N_KIND) {
            printf("%-10s left out: this benchmark makes no matrices of it\n", dtype_info(t)->name);
            continue;
        }
        fill(&b, t);
        decode(&b, t);
        prefill(&b, t);
    }
    pool_close(b.pool);
    return 0;
}
