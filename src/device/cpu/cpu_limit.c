/* cpu_limit.c - the limits of this machine, measured with the threads and the instruction set that compute. */
#include "base/os.h"
#include "device/cpu/cpu.h"
#include "kernel/matmul/peak.h"

/* Long enough for the clock, short enough to be asked for between two measurements of something else: some milliseconds. */
enum { ROUNDS = 500000, READ_LEAST = 32 << 20, TOUCH = 4096 };

struct limit_job {
    struct device *d;
    enum device_limit what;
    const uint8_t *p;
    size_t bytes;
    unsigned times;
    uint64_t work[POOL_MAX_THREADS];
    uint64_t sum[POOL_MAX_THREADS];
    uint64_t begin, end;
};

/* The clock runs while all threads do: waking them is not counted. */
static void measure(void *arg, unsigned thread, unsigned n_threads)
{
    struct limit_job *j = arg;
    size_t lo, hi;
    pool_share(j->bytes, PEAK_READ, thread, n_threads, &lo, &hi);
    /* What nothing has read before is not mapped yet, or on disk: that is not memory's speed. */
    for (size_t i = lo; i < hi; i += TOUCH) j->sum[thread] += j->p[i];
    pool_barrier(j->d->pool);
    if (thread == 0) j->begin = os_now_ns();
    if (j->what == DEVICE_INT8) j->work[thread] = peak_int8(j->d->features, ROUNDS);
    else if (j->what == DEVICE_INT16) j->work[thread] = peak_int16(j->d->features, ROUNDS);
    else if (j->what == DEVICE_F32) j->work[thread] = peak_f32(j->d->features, ROUNDS);
    else
        for (unsigned i = 0; i < j->times; i++) {
            j->sum[thread] += peak_read(j->d->features, j->p + lo, hi - lo);
            j->work[thread] += hi - lo;
        }
    pool_barrier(j->d->pool);
    if (thread == 0) j->end = os_now_ns();
}

double cpu_limit(struct device *d, enum device_limit what, const void *p, size_t bytes)
{
    struct limit_job j = { .d = d, .what = what, .p = p, .bytes = what == DEVICE_READ ? bytes : 0 };
    if (what == DEVICE_READ && !bytes) return 0;
    j.times = bytes < READ_LEAST ? (unsigned)(READ_LEAST / (bytes ? bytes : 1)) : 1;
    pool_run(d->pool, measure, &j);
    double work = 0;
    for (unsigned i = 0; i < pool_size(d->pool); i++) work += (double)j.work[i];
    return j.end > j.begin ? work / ((double)(j.end - j.begin) * 1e-9) : 0;
}

/* Rows from the cache, one token, one thread: multiply-adds per second over those of the peak, on AVX-512; what has no row is
 * unpacked number by number.  A row costs some 30 ns beside: so decode of seven types and five shapes comes out within 18 %. */
double cpu_few_row(enum dtype weight, uint64_t n)
{
    const double each_row = 7000;
    static const double share[N_DTYPE] = {
        [DT_F32] = 0.021,    [DT_F16] = 0.043,   [DT_BF16] = 0.043,
        [DT_Q8_0] = 0.137,   [DT_Q6_K] = 0.172,  [DT_Q5_K] = 0.118, [DT_Q4_K] = 0.152,   [DT_Q3_K] = 0.140, [DT_Q2_K] = 0.196,
        [DT_Q4_0] = 0.122,   [DT_Q4_1] = 0.082,  [DT_Q5_0] = 0.075, [DT_Q5_1] = 0.069,   [DT_MXFP4] = 0.105,
        [DT_IQ4_XS] = 0.121, [DT_IQ4_NL] = 0.114, [DT_TQ2_0] = 0.166, [DT_TQ1_0] = 0.041,
        [DT_IQ3_S] = 0.030,  [DT_IQ3_XXS] = 0.034, [DT_IQ2_S] = 0.036, [DT_IQ2_XS] = 0.030, [DT_IQ2_XXS] = 0.045,
        [DT_IQ1_M] = 0.039,  [DT_IQ1_S] = 0.044,
        [DT_AFFINE4] = 0.060, [DT_AFFINE8] = 0.046, [DT_AWQ4] = 0.043, [DT_GPTQ4] = 0.043, [DT_NVFP4_ROWS] = 0.039,
    };
    return (double)n / (share[weight] > 0 ? share[weight] : 0.02) + each_row;
}

/* About 10 G numbers a second, with two threads of a peak of 464 G; up to 18 G where more heads share them. */
double cpu_few_kv(uint64_t n) { return 46 * (double)n; }
