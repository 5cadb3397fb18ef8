/* tiny_adapter.h - adapters with random numbers for small models, and the same models with the adapters merged into their
 * weights: W + scale * B A, computed here in double. */
#ifndef HEARTH_TESTS_TINY_ADAPTER_H
#define HEARTH_TESTS_TINY_ADAPTER_H

#include "format/gguf.h"
#include "tests/tiny_model.h"

/* A [rank][K] and B [R][rank] for each of n matrices, both as floats; a table's A is [R][rank], its B [K][rank]. */
struct ta_pair {
    char name[64];                /* of the tensor that is adapted */
    uint64_t K, R, n;
    uint32_t rank;
    bool table;
    float *a, *b;
};
struct ta { struct ta_pair *p; size_t n; float alpha; };

static inline bool ta_matrix(const struct gguf_tensor *t)
{
    return t->n_dims > 1 && !strstr(t->name, "conv") && !strstr(t->name, "_norm") && strcmp(t->name, "token_embd.weight") != 0;
}

/* Pairs for every matrix of a model, of the embedding too; ranks vary.  strength: about what B A is to W, a power of two. */
static inline struct ta ta_new(const struct gguf *g, uint64_t seed, uint32_t rank, float alpha, float strength)
{
    struct ta a = { .p = calloc(gguf_n_tensors(g) + 1, sizeof *a.p), .alpha = alpha };
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        bool table = !strcmp(t->name, "token_embd.weight");
        if (!table && !ta_matrix(t)) continue;
        struct ta_pair *p = &a.p[a.n++];
        *p = (struct ta_pair){ .K = t->ne[0], .R = t->ne[1], .n = t->ne[2], .rank = rank + (uint32_t)(a.n % 3), .table = table };
        snprintf(p->name, sizeof p->name, "%s", t->name);
        size_t na = (size_t)((table ? p->R : p->K) * p->rank * p->n), nb = (size_t)((table ? p->K : p->R) * p->rank * p->n);
        p->a = malloc(na * sizeof *p->a);
        p->b = malloc(nb * sizeof *p->b);
        /* Numbers that F16 and BF16 hold. */
        for (size_t k = 0; k < na; k++) p->a[k] = roundf(tiny_random(&seed) * 64) / 64;
        for (size_t k = 0; k < nb; k++) p->b[k] = roundf(tiny_random(&seed) * 64) / 64 * strength;
    }
    return a;
}

static inline void ta_free(struct ta *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(a->p[i].a);
        free(a->p[i].b);
    }
    free(a->p);
    *a = (struct ta){ 0 };
}

static inline void *ta_pack(enum dtype type, const float *x, size_t n)
{
    uint64_t bytes;
    if (!dtype_row_bytes(type, n, &bytes)) abort();
    void *d = tiny_keep(malloc((size_t)bytes));
    quant_pack(type)(x, d, n);
    return d;
}

static inline void ta_put_pair(struct gguf_writer *w, const struct ta_pair *p, enum dtype type)
{
    const uint32_t dims = p->n > 1 ? 3 : 2;
    uint64_t ne_a[3] = { p->table ? p->rank : p->K, p->table ? p->R : p->rank, p->n };
    uint64_t ne_b[3] = { p->rank, p->table ? p->K : p->R, p->n };
    for (int b = 0; b < 2; b++) {
        const uint64_t *ne = b ? ne_b : ne_a;
        char *name = tiny_keep(malloc(80));
        snprintf(name, 80, "%s.lora_%c", p->name, b ? 'b' : 'a');
        gguf_put_tensor(w, name, type, dims, ne, ta_pack(type, b ? p->b : p->a, (size_t)(ne[0] * ne[1] * ne[2])));
    }
}

static inline int ta_finish(struct gguf_writer *w, const char *path)
{
    struct err err;
    int rc = gguf_writer_save(w, path, &err);
    if (rc < 0) fprintf(stderr, "%s\n", err.msg);
    gguf_writer_close(w);
    while (tiny_n_kept) free(tiny_kept[--tiny_n_kept]);
    return rc;
}

/* The adapter as a GGUF file. */
static inline int ta_write(const struct ta *a, const char *arch, enum dtype type, const char *path)
{
    struct gguf_writer *w;
    if (gguf_writer_open(&w, NULL) < 0) return -1;
    gguf_put_str(w, "general.type", "adapter", 7);
    gguf_put_str(w, "general.architecture", arch, strlen(arch));
    gguf_put_str(w, "adapter.type", "lora", 4);
    gguf_put_f32(w, "adapter.lora.alpha", a->alpha);
    for (size_t i = 0; i < a->n; i++) ta_put_pair(w, &a->p[i], type);
    return ta_finish(w, path);
}

/* W's numbers with user * alpha / rank * B A added. */
static inline void ta_add(const struct ta_pair *p, double scale, float *w)
{
    for (uint64_t e = 0; e < p->n; e++)
        for (uint64_t r = 0; r < p->R; r++)
            for (uint64_t k = 0; k < p->K; k++) {
                double sum = 0;
                for (uint64_t j = 0; j < p->rank; j++) {
                    double a = p->table ? p->a[r * p->rank + j] : p->a[(e * p->rank + j) * p->K + k];
                    double b = p->table ? p->b[k * p->rank + j] : p->b[(e * p->R + r) * p->rank + j];
                    sum += a * b;
                }
                float *at = &w[(e * p->R + r) * p->K + k];
                *at = (float)((double)*at + scale * sum);
            }
}

/* The F32 model g with adapters merged; tied: without its output.weight, whose pair then goes to a matrix of its own. */
static inline int ta_merge(const struct gguf *g, const struct ta *a, const double *user, size_t n, const char *path)
{
    struct gguf_writer *w;
    if (gguf_writer_open(&w, NULL) < 0) return -1;
    for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(w, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        float *x = tiny_keep(malloc((size_t)t->bytes));
        memcpy(x, t->data, (size_t)t->bytes);
        for (size_t k = 0; k < n; k++)
            for (size_t j = 0; j < a[k].n; j++) {
                const struct ta_pair *p = &a[k].p[j];
                double scale = user[k] * (a[k].alpha != 0 ? (double)a[k].alpha / p->rank : 1);
                if (!strcmp(p->name, t->name)) ta_add(p, scale, x);
            }
        gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne, x);
    }
    return ta_finish(w, path);
}

#endif
