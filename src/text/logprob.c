#include "text/logprob.h"

#include <math.h>

#include "base/detmath.h"
#include "text/sampler_impl.h"

/* Puts a choice into the sorted out[n], which has room for one more than n when grow is set. */
static void insert(struct sampler_choice *out, size_t n, struct sampler_choice c)
{
    size_t i = n;
    for (; i && out[i - 1].logprob < c.logprob; i--) out[i] = out[i - 1];
    out[i] = c;
}

float logprob(const float *logits, int32_t n_vocab, int32_t id, struct sampler_choice *out, size_t *n)
{
    float max = -INFINITY;
    size_t have = 0;
    double sum = 0;
    for (int32_t i = 0; i < n_vocab; i++) {
        float z = sampler_usable((double)logits[i]);
        if (z > max) max = z;
        if (z == -INFINITY || (have == *n && (!*n || !(z > out[have - 1].logprob)))) continue;
        if (have < *n) have++;
        insert(out, have - 1, (struct sampler_choice){ i, z });
    }
    *n = have;
    if (max == -INFINITY) return -INFINITY;
    for (int32_t i = 0; i < n_vocab; i++) {
        double d = (double)sampler_usable((double)logits[i]) - (double)max;
        if (d > -50) sum += det_exp(d);                        /* what is left out of the sum is below its rounding */
    }
    double ln = det_log(sum) + (double)max;
    for (size_t i = 0; i < have; i++) out[i].logprob = (float)((double)out[i].logprob - ln);
    return id >= 0 && id < n_vocab ? (float)((double)sampler_usable((double)logits[id]) - ln) : -INFINITY;
}
