/* How long packing takes, in nanoseconds per value on one core: without weights, with weights for the columns, and the mean
 * square errors (the latter weighted) relative to the values'.  Normal numbers in rows of 1024.  Arguments: types (all that
 * weights can have). */
#include <stdio.h>
#include <string.h>

#include "median.h"

#include "base/mem.h"
#include "base/os.h"
#include "quant/quant.h"

enum { N = 64 * 1024, RUNS = 5, MAX_TYPES = 32 };

static double error_of(enum dtype t, const uint8_t *q, const float *x, const float *w, float *y)
{
    double e = 0, power = 0;
    quant_unpack(t)(q, y, N);
    for (size_t i = 0; i < N; i++) {
        double u = w ? (double)w[i] : 1, r = (double)y[i] - (double)x[i];
        e += u * r * r;
        power += u * (double)x[i] * (double)x[i];
    }
    return e / power;
}

static void measure(enum dtype t, const float *x, const float *w, uint8_t *q, float *y)
{
    double ns[2][RUNS], error[2];
    for (int k = 0; k < 2; k++) {
        for (int r = 0; r < RUNS; r++) {
            uint64_t start = os_now_ns();
            quant_pack_weighted(t)(x, k ? w : NULL, q, N);
            ns[k][r] = (double)(os_now_ns() - start) / N;
        }
        error[k] = error_of(t, q, x, k ? w : NULL, y);
    }
    printf("%-8s %8.1f %8.1f   %.6g %.6g\n", dtype_info(t)->name, median(ns[0], RUNS), median(ns[1], RUNS), error[0], error[1]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    float *x = mem_new_array(float, N), *w = mem_new_array(float, N), *y = mem_new_array(float, N);
    uint8_t *q = mem_new_array(uint8_t, N * sizeof(float));
    struct quant_random r;
    if (!x || !w || !y || !q) return 1;
    quant_random_init(&r, DT_F32, 0, 0.02f, 1);
    quant_random_blocks(&r, 0, N, (uint8_t *)x);
    quant_random_blocks(&r, N, 1024, (uint8_t *)w);
    for (size_t i = 0; i < N; i++) w[i] = i < 1024 ? 1e-5f + w[i] * w[i] : w[i - 1024];
    printf("type        plain weighted   errors\n");
    for (unsigned t = 0; t < N_DTYPE; t++) {
        bool asked = argc < 2;
        for (int i = 1; i < argc; i++) asked |= !strcmp(argv[i], dtype_info((enum dtype)t)->name);
        if (asked && quant_pack((enum dtype)t)) measure((enum dtype)t, x, w, q, y);
    }
    mem_free(x), mem_free(w), mem_free(y), mem_free(q);
    return 0;
}
