#include "quant/compare.h"

#include <string.h>

#include "quant/quant.h"

enum { UNIT = 2048 };                      /* a multiple of every block; the last may be shorter, as rows are whole blocks */

static const uint8_t *bytes_at(const struct gguf_tensor *t, uint64_t at)
{
    const struct dtype_info *d = dtype_info(t->type);
    return t->data + at / d->block_values * d->block_bytes;
}

struct sums { double square, power, largest; uint64_t n, n_bad; };

static void add_values(struct sums *s, const float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)y[i];
        if (!(d - d == 0)) {
            s->n_bad += x[i] - x[i] == 0;
            continue;
        }
        s->square += d * d;
        s->power += (double)x[i] * (double)x[i];
        if (d < 0) d = -d;
        if (d > s->largest) s->largest = d;
        s->n++;
    }
}

void compare_tensors(const struct gguf_tensor *a, const struct gguf_tensor *b, bool (*progress)(void *arg, uint64_t done),
                     void *arg, struct compare_result *out)
{
    float x[UNIT], y[UNIT];
    struct sums s = { 0 };
    *out = (struct compare_result){ 0 };
    bool same_shape = !memcmp(a->ne, b->ne, sizeof a->ne);
    out->same_bytes = a->type == b->type && same_shape && !memcmp(a->data, b->data, (size_t)a->bytes);
    out->comparable = same_shape && quant_unpack(a->type) && quant_unpack(b->type);
    if (out->same_bytes || !out->comparable) return;
    uint64_t total = a->ne[0] * a->ne[1] * a->ne[2] * a->ne[3];
    for (uint64_t at = 0; at < total; at += UNIT) {
        size_t n = total - at < UNIT ? (size_t)(total - at) : UNIT;
        quant_unpack(a->type)(bytes_at(a, at), x, n);
        quant_unpack(b->type)(bytes_at(b, at), y, n);
        add_values(&s, x, y, n);
        if (progress && at / UNIT % 512 == 511 && !progress(arg, at + n)) break;
    }
    out->mse = s.n ? s.square / (double)s.n : 0;
    out->relative = s.power > 0 ? s.square / s.power : 0;
    out->largest = s.largest;
    out->n_bad = s.n_bad;
}

bool compare_keys(const struct gguf_kv *a, const struct gguf_kv *b)
{
    return a->type == b->type && a->item == b->item && a->count == b->count && a->bytes == b->bytes &&
           !memcmp(a->data, b->data, (size_t)a->bytes);
}
