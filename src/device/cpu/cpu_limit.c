/* cpu_limit.c - the limits of this machine, measured with the threads and the instruction set that compute. */
#include "base/os.h"
#include "device/cpu/cpu.h"
#include "kernel/matmul/peak.h"

/* Long enough for the clock, short enough to be asked for between two measurements of something else: some milliseconds. */
enum { ROUNDS = 500000, READ_LEAST = 32 << 20 };

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
    pool_barrier(j->d->pool);
    if (thread == 0) j->begin = os_now_ns();
    if (j->what == DEVICE_INT8) j->work[thread] = peak_int8(j->d->features, ROUNDS);
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
