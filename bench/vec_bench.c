/* Float kernels against the limits of one core: multiply-add rate and memory reads.  Best of several rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/os.h"
#include "kernel/matmul/matmul.h"
#include "kernel/vec/vec.h"

enum { ROUNDS = 7 };

/* Processor time: what else runs on the machine disturbs less. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *block(size_t n)
{
    void *p = aligned_alloc(64, (n + 63) / 64 * 64);
    if (!p) exit(1);
    memset(p, 0x11, n);                    /* small numbers in every float type */
    return p;
}

static double read_rate(const uint8_t *p, size_t n)
{
    double best = 1e9;
    volatile uint64_t sink = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double t = now();
        uint64_t s[8] = { 0 };
        for (size_t k = 0; k + 64 <= n; k += 64) {
            uint64_t x[8];
            memcpy(x, p + k, 64);
            for (int l = 0; l < 8; l++) s[l] += x[l];
        }
        for (int l = 0; l < 8; l++) sink += s[l];
        t = now() - t;
        best = t < best ? t : best;
    }
    (void)sink;
    return (double)n / best * 1e-9;
}

static void bench_matmul(enum dtype type, size_t R, size_t K, size_t T, uint32_t cpu)
{
    struct matmul m;
    size_t e = type == DT_F32 ? 4 : 2;
    void *w = block(R * K * e), *x = block(T * K * 4), *scratch;
    float *y = block(T * R * 4);
    double best = 1e9;
    matmul_init(&m, type, w, R, K, cpu);
    scratch = block(matmul_scratch(&m, T));
    struct matmul_job j = { .m = &m, .act = x, .act_stride = K * 4, .T = T, .y = y, .y_stride = R, .scratch = scratch };
    for (int i = 0; i < ROUNDS; i++) {
        double t = now();
        matmul_rows(&j, 0, R);
        t = now() - t;
        best = t < best ? t : best;
    }
    printf("matmul %-4s T=%-4zu %7.1f GFLOP/s %6.1f GB/s of weights\n", dtype_info(type)->name, T,
           2e-9 * (double)(R * K * T) / best, 1e-9 * (double)(R * K * e) / best);
    free(w), free(x), free(y), free(scratch);
}

/* Several layers, so that keys and values come from memory, which is what the engine takes for them. */
static void bench_attn(uint32_t n_head, uint32_t n_kv, uint32_t d, int64_t depth, size_t layers, enum dtype kv, uint32_t cpu)
{
    const struct vec_kernels *v = vec_select(cpu);
    size_t pages = (size_t)depth / ATTN_PAGE, page = (size_t)n_kv * ATTN_PAGE * dtype_padded_bytes(kv, d);
    uint8_t *mem = os_pages_new(2 * layers * pages * page);
    const uint8_t **at = block(2 * layers * pages * sizeof *at);
    float *q = block(n_head * d * 4), *o = block(n_head * d * 4), *scratch = block(attn_scratch(n_head, n_kv, d, d));
    double best = 1e9;
    if (!mem) exit(1);
    memset(mem, 0x11, 2 * layers * pages * page);
    for (size_t i = 0; i < 2 * layers * pages; i++) at[i] = mem + i * page;
    for (int i = 0; i < ROUNDS; i++) {
        double t = now();
        for (size_t l = 0; l < layers; l++) {
            struct attn_query a = { .q = q, .o = o, .n_query = 1, .k_page = at + 2 * l * pages,
                                    .v_page = at + (2 * l + 1) * pages, .k_type = kv, .v_type = kv,
                                    .turn = kv_turn(kv, d), .turn_v = kv_turn(kv, d), .n_head = n_head, .n_kv = n_kv, .dk = d,
                                    .dv = d, .pos = depth - 1, .scale = 0.1f };
            v->attn(&a, 0, n_kv, scratch);
        }
        t = now() - t;
        best = t < best ? t : best;
    }
    double bytes = 2 * (double)(layers * pages * page);
    printf("attention %u/%u heads of %u, depth %lld, %s, %zu layers: %6.1f GB/s of keys and values\n", n_head, n_kv, d,
           (long long)depth, dtype_info(kv)->name, layers, 1e-9 * bytes / best);
    os_pages_free(mem, 2 * layers * pages * page);
    free(at), free(q), free(o), free(scratch);
}

/* A prompt's own attention, each position to all before it. */
static void bench_prompt(uint32_t n_head, uint32_t n_kv, uint32_t d, size_t T, enum dtype kv, uint32_t cpu)
{
    const struct vec_kernels *v = vec_select(cpu);
    const size_t pages = T / ATTN_PAGE, page = (size_t)n_kv * ATTN_PAGE * dtype_padded_bytes(kv, d), step = (size_t)n_head * d;
    const uint32_t most = attn_queries(n_head, n_kv);
    uint8_t *mem = block(2 * pages * page);
    const uint8_t **at = block(2 * pages * sizeof *at);
    float *q = block(T * step * 4), *o = block(T * step * 4), *scratch = block(attn_scratch(n_head, n_kv, d, d));
    double best = 1e9;
    for (size_t i = 0; i < 2 * pages; i++) at[i] = mem + i * page;
    for (int i = 0; i < ROUNDS; i++) {
        double t = now();
        for (uint32_t h = 0; h < n_kv; h++)
            for (size_t p = 0; p < T; p += most) {
                struct attn_query a = { .q = q + p * step, .o = o + p * step, .q_step = step, .o_step = step, .k_page = at,
                                        .n_query = T - p < most ? (uint32_t)(T - p) : most, .v_page = at + pages, .k_type = kv,
                                        .v_type = kv, .turn = kv_turn(kv, d), .turn_v = kv_turn(kv, d), .n_head = n_head,
                                        .n_kv = n_kv, .dk = d, .dv = d, .pos = (int64_t)p, .scale = 0.1f };
                v->attn(&a, h, h + 1, scratch);
            }
        t = now() - t;
        best = t < best ? t : best;
    }
    printf("attention %u/%u heads of %u, prompt of %zu, %s: %6.1f GFLOP/s\n", n_head, n_kv, d, T, dtype_info(kv)->name,
           2e-9 * (double)(T * (T + 1)) * (double)step / best);
    free(mem), free(at), free(q), free(o), free(scratch);
}

static void bench_act(enum vec_act f, const char *name, uint32_t cpu)
{
    float *x = block(1 << 16), *y = block(1 << 16);
    double best = 1e9;
    for (int i = 0; i < 50 * ROUNDS; i++) {
        double t = now();
        vec_select(cpu)->act(y, x, 1 << 14, f);
        t = now() - t;
        best = t < best ? t : best;
    }
    printf("%-9s %7.2f Gelements/s\n", name, 1e-9 * (1 << 14) / best);
    free(x), free(y);
}

int main(int argc, char **argv)
{
    uint32_t cpu;
    if (cpu_select(argc > 1 ? argv[1] : NULL, &cpu, NULL) < 0) return 1;
    size_t big = 256u << 20;
    uint8_t *mem = block(big);
    printf("%s, one thread; plain read %.1f GB/s\n", cpu_features_name(cpu), read_rate(mem, big));
    free(mem);
    for (enum dtype t = DT_F32; t <= DT_F16; t++) bench_matmul(t, 16384, 4096, 1, cpu);
    for (size_t T = 2; T <= 8; T *= 2) bench_matmul(DT_F16, 16384, 4096, T, cpu);
    bench_matmul(DT_F16, 1024, 4096, 32, cpu);
    bench_matmul(DT_F16, 512, 1024, 48, cpu);
    bench_matmul(DT_F16, 512, 4096, 512, cpu);
    bench_matmul(DT_F32, 512, 4096, 512, cpu);
    for (size_t layers = 1; layers <= 16; layers *= 16) {
        bench_attn(32, 8, 128, 4096, layers, DT_F16, cpu);
        bench_attn(16, 8, 128, 4096, layers, DT_F16, cpu);
        bench_attn(8, 8, 128, 4096, layers, DT_F16, cpu);
        bench_attn(32, 8, 64, 4096, layers, DT_F16, cpu);
        bench_attn(32, 8, 128, 4096, layers, DT_F32, cpu);
        bench_attn(32, 8, 128, 4096, layers, DT_BF16, cpu);
        bench_attn(32, 8, 128, 4096, layers, DT_Q8_0, cpu);
        bench_attn(32, 8, 128, 4096, layers, DT_Q4_0, cpu);
    }
    bench_prompt(32, 8, 64, 512, DT_F16, cpu);
    bench_prompt(32, 8, 128, 512, DT_F16, cpu);
    bench_prompt(16, 8, 128, 512, DT_F16, cpu);
    bench_prompt(8, 8, 128, 512, DT_F16, cpu);
    bench_prompt(32, 8, 64, 512, DT_Q8_0, cpu);
    bench_act(VEC_SILU, "silu", cpu);
    bench_act(VEC_GELU_TANH, "gelu_tanh", cpu);
    bench_act(VEC_GELU_ERF, "gelu_erf", cpu);
    bench_act(VEC_TANH, "tanh", cpu);
    return 0;
}
