/* compare.h - how far apart the values of two tensors are, whatever their types.  Threads: pure functions. */
#ifndef HEARTH_QUANT_COMPARE_H
#define HEARTH_QUANT_COMPARE_H

#include <stdbool.h>

#include "format/gguf.h"

struct compare_result {
    bool same_bytes;           /* equal types and bytes; the rest is then 0 */
    bool comparable;           /* equal shapes, and types that have values; else the rest means nothing */
    double mse;                /* mean of (a - b)^2 */
    double relative;           /* mse as a part of the mean of a^2 */
    double largest;            /* |a - b| */
    uint64_t n_bad;            /* values of b that are not finite where a's are, left out above */
};

/* progress is called now and then with the values that are done; false stops, and the result is that of a part. */
void compare_tensors(const struct gguf_tensor *a, const struct gguf_tensor *b, bool (*progress)(void *arg, uint64_t done),
                     void *arg, struct compare_result *out);
/* Equal types and values. */
bool compare_keys(const struct gguf_kv *a, const struct gguf_kv *b);

#endif
