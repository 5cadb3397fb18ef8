/* hf_quant_test.c - quantised checkpoints: a folder with codes and scales computes, bit for bit, what a folder with the numbers
 * computes that the definition of the format gives for them. */
#include "tests/hf_folder.h"

#include <math.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "format/hf.h"
#include "format/split.h"
#include "hearth.h"
#include "kernel/matmul/matmul.h"
#include "tests/testing.h"
#include "tests/tiny_model.h"

static char plain[] = "/tmp/hearth-hfq-XXXXXX", coded[] = "/tmp/hearth-hfq-XXXXXX", file[64];
static uint64_t seed = 5;

static uint32_t rnd(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

/* ---- numbers, by their definitions ---- */

static double e4m3(unsigned b)
{
    int e = (int)(b >> 3 & 15), m = (int)(b & 7);
    double v = e ? ldexp(8 + m, e - 10) : ldexp(m, -9);
    return b & 128 ? -v : v;
}

static double e2m1(unsigned q)
{
    static const double v[8] = { 0, 0.5, 1, 1.5, 2, 3, 4, 6 };
    return q & 8 ? -v[q & 7] : v[q & 7];
}

enum kind { AFFINE, MXFP4, MXFP8, NVFP4, FP8, FP8_ROW, FP8_ONE, AWQ, GPTQ, WORDS, WORDS_ZERO, FP4, FP4_ALL, FP4_GLOBAL, INT8, SCB,
            NF4, NF4_NESTED };
struct scheme { enum kind kind; unsigned bits, group; const char *number; bool act_order, v2; const char *config; };

/* A number of type `name` near v: its bytes at p, its value returned. */
static float put_number(uint8_t *p, const char *name, float v)
{
    uint16_t h = !strcmp(name, "F16") ? f32_to_f16(v) : f32_to_bf16(v);
    if (!strcmp(name, "F32")) {
        memcpy(p, &v, 4);
        return v;
    }
    memcpy(p, &h, 2);
    return !strcmp(name, "F16") ? f16_to_f32(h) : bf16_to_f32(h);
}

static struct hff_tensor *add(struct hff *w, const char *module, const char *part, const char *dtype, uint64_t a, uint64_t b,
                              size_t size)
{
    char name[192];
    snprintf(name, sizeof name, "%s.%s", module, part);
    struct hff_tensor *t = hff_new(w, name, dtype, (size_t)(a * b) * size);
    memset(t->data, 0, t->bytes);
    t->n_dims = 2;
    t->shape[0] = a;
    t->shape[1] = b;
    return t;
}

/* Value k of a stream of `bits` each. */
static void put_bits(uint8_t *p, size_t k, unsigned bits, unsigned q)
{
    for (unsigned i = 0; i < bits; i++)
        if (q >> i & 1) p[(k * bits + i) / 8] |= (uint8_t)(1u << (k * bits + i) % 8);
}

static float small(void) { return ((float)(rnd() % 2000) - 1000) * 1e-4f; }

static void affine(struct hff *w, const struct scheme *s, const char *module, size_t R, size_t K, float *x)
{
    size_t G = K / s->group, size = !strcmp(s->number, "F32") ? 4 : 2;
    struct hff_tensor *q = add(w, module, "weight", "U32", R, K * s->bits / 32, 4);
    struct hff_tensor *d = add(w, module, "scales", s->number, R, G, size), *m = add(w, module, "biases", s->number, R, G, size);
    for (size_t r = 0; r < R; r++)
        for (size_t c = 0; c < K; c++) {
            static float scale, bias;
            if (c % s->group == 0) {
                size_t at = (r * G + c / s->group) * size;
                scale = put_number(d->data + at, s->number, small() / (float)(1u << s->bits));
                bias = put_number(m->data + at, s->number, small());
            }
            unsigned code = rnd() % (1u << s->bits);
            put_bits(q->data, r * K + c, s->bits, code);
            float product = scale * (float)code;
            x[r * K + c] = product + bias;
        }
}

static void small_floats(struct hff *w, const struct scheme *s, const char *module, size_t R, size_t K, float *x)
{
    struct hff_tensor *q = add(w, module, "weight", "U32", R, K * s->bits / 32, 4);
    struct hff_tensor *d = add(w, module, "scales", "U8", R, K / s->group, 1);
    for (size_t i = 0; i < d->bytes; i++) d->data[i] = (uint8_t)(s->kind == NVFP4 ? rnd() % 60 : s->kind == MXFP4
                                                                 ? 118 + rnd() % 6
                                                                : 110 + rnd() % 6);
    for (size_t i = 0; i < R * K; i++) {
        unsigned code = rnd() % (1u << s->bits);
        if (s->bits == 8) code = (code & 128) | code % 96;
        put_bits(q->data, i, s->bits, code);
        double scale = s->kind == NVFP4 ? e4m3(d->data[i / s->group]) : ldexp(1, d->data[i / s->group] - 127);
        x[i] = (float)(scale * (s->bits == 8 ? e4m3(code) : e2m1(code)));
    }
}

static void fp8(struct hff *w, const struct scheme *s, const char *module, size_t R, size_t K, float *x)
{
    struct hff_tensor *q = add(w, module, "weight", "F8_E4M3", R, K, 1), *d;
    size_t size = !strcmp(s->number, "F32") ? 4 : 2, block = s->kind == FP8 ? s->group : 1, a = (R + block - 1) / block;
    size_t b = s->kind == FP8 ? (K + block - 1) / block : 1;
    if (s->kind == FP8_ONE) a = 1;
    d = add(w, module, s->kind == FP8 && !s->v2 ? "weight_scale_inv" : "weight_scale", s->number, a, b, size);
    if (s->kind == FP8_ONE) d->n_dims = 0;
    float *scale = malloc(a * b * sizeof *scale);
    for (size_t i = 0; i < a * b; i++) scale[i] = put_number(d->data + i * size, s->number, 0.01f + small() / 20);
    for (size_t r = 0; r < R; r++)
        for (size_t c = 0; c < K; c++) {
            unsigned code = rnd() % 2 * 128 + rnd() % 90;
            q->data[r * K + c] = (uint8_t)code;
            size_t at = s->kind == FP8 ? r / block * b + c / block : s->kind == FP8_ROW ? r : 0;
            x[r * K + c] = (float)e4m3(code) * scale[at];
        }
    free(scale);
}

static void packed(struct hff *w, const struct scheme *s, const char *module, size_t R, size_t K, float *x)
{
    static const unsigned nibble[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    bool awq = s->kind == AWQ;
    size_t bits = s->bits, G = (K + s->group - 1) / s->group;
    struct hff_tensor *q = awq ? add(w, module, "qweight", "I32", K, R / 8, 4)
                               : add(w, module, "qweight", "I32", K * bits / 32, R, 4);
    struct hff_tensor *z = add(w, module, "qzeros", "I32", G, R * bits / 32, 4), *d = add(w, module, "scales", "F16", G, R, 2),
        *o = NULL;
    if (!awq) {
        o = add(w, module, "g_idx", "I32", 1, K, 4);
        o->n_dims = 1;
        o->shape[0] = K;
    }
    for (size_t i = 0; i < z->bytes; i++) z->data[i] = (uint8_t)rnd();
    for (size_t i = 0; i < G * R; i++) put_number(d->data + 2 * i, "F16", small() / (float)(1u << s->bits));
    for (size_t c = 0; c < K; c++) {
        uint32_t g = (uint32_t)(s->act_order ? (c * 7 + 3) % G : c / s->group);
        if (o) memcpy(o->data + 4 * c, &g, 4);
        for (size_t r = 0; r < R; r++) {
            unsigned code = rnd() % (1u << s->bits), zero = 0;
            /* as streams of `bits`: which value of it; a column's words lie below each other */
            size_t at = (c * (R / 8) + r / 8) * 8 + nibble[r % 8], zero_at = (g * (R / 8) + r / 8) * 8 + nibble[r % 8];
            if (!awq) zero_at = g * R + r;
            if (awq) put_bits(q->data, at, s->bits, code);
            for (size_t i = 0; !awq && i < bits; i++)
                if (code >> i & 1)
                    q->data[((c * bits + i) / 32 * R + r) * 4 + (c * bits + i) % 32 / 8] |= (uint8_t)(1u << (c * bits + i) % 8);
            for (unsigned i = 0; i < s->bits; i++)
                zero |= (unsigned)(z->data[(zero_at * s->bits + i) / 8] >> (zero_at * s->bits + i) % 8 & 1) << i;
            if (!awq && !s->v2) zero++;
            uint16_t h;
            memcpy(&h, d->data + 2 * (g * R + r), 2);
            x[r * K + c] = (float)((int)code - (int)zero) * f16_to_f32(h);
        }
    }
}

/* compressed-tensors: words of values along the row, and of zeros along the column. */
static void words(struct hff *w, const struct scheme *s, const char *module, size_t R, size_t K, float *x)
{
    size_t G = K / s->group, per = 32 / s->bits, size = !strcmp(s->number, "F32") ? 4 : 2;
    struct hff_tensor *q = add(w, module, "weight_packed", "I32", R, K * s->bits / 32, 4);
    struct hff_tensor *d = add(w, module, "weight_scale", s->number, R, G, size), *z = NULL;
    struct hff_tensor *shape = add(w, module, "weight_shape", "I64", 1, 2, 8);
    uint64_t n[2] = { R, K };
    memcpy(shape->data, n, 16);
    shape->n_dims = 1;
    shape->shape[0] = 2;
    if (s->kind == WORDS_ZERO) z = add(w, module, "weight_zero_point", "I32", (R + per - 1) / per, G, 4);
    for (size_t i = 0; z && i < z->bytes; i++) z->data[i] = (uint8_t)rnd();
    for (size_t r = 0; r < R; r++)
        for (size_t c = 0; c < K; c++) {
            static float scale;
            size_t g = c / s->group;
            int zero = 1 << (s->bits - 1);
            if (c % s->group == 0) scale = put_number(d->data + (r * G + g) * size, s->number, small() / (float)(1u << s->bits));
            if (z) {
                uint32_t word;
                memcpy(&word, z->data + (r / per * G + g) * 4, 4);
                zero = (int)(word >> (r % per * s->bits) & ((1u << s->bits) - 1));
            }
            unsigned code = rnd() % (1u << s->bits);
            put_bits(q->data, r * K + c, s->bits, code);
            x[r * K + c] = (float)((int)code - zero) * scale;
        }
}

/* Two values in a byte, the low half first; a scale for 32 (powers of two) or 16, and for those perhaps one for all. */
static void fp4(struct hff *w, const struct scheme *s, const char *module, size_t R, size_t K, float *x)
{
    struct hff_tensor *q = add(w, module, s->kind == FP4_ALL ? "weight" : "weight_packed", "U8", R, K / 2, 1), *all = NULL;
    struct hff_tensor *d = add(w, module, "weight_scale", s->group == 16 ? "F8_E4M3" : "U8", R, K / s->group, 1);
    float f = s->kind == FP4_ALL ? 0.25f : 512;
    if (s->kind != FP4) all = add(w, module, s->kind == FP4_ALL ? "weight_scale_2" : "weight_global_scale", "F32", 1, 1, 4);
    if (all) memcpy(all->data, &f, 4);
    if (all) all->n_dims = s->kind == FP4_ALL ? 0 : 1;
    if (all) memcpy(add(w, module, s->kind == FP4_ALL ? "input_scale" : "input_global_scale", "F32", 1, 1, 4)->data, &f, 4);
    for (size_t i = 0; i < d->bytes; i++) d->data[i] = (uint8_t)(s->group == 16 ? rnd() % 60 + (s->kind == FP4_GLOBAL ? 60 : 0)
                                                                 : 118 + rnd() % 6);
    for (size_t i = 0; i < R * K; i++) {
        unsigned code = rnd() % 16;
        put_bits(q->data, i, 4, code);
        double scale = s->group == 16 ? e4m3(d->data[i / 16]) : ldexp(1, d->data[i / s->group] - 127);
        x[i] = (float)(scale * e2m1(code) * (double)(s->kind == FP4_ALL ? f : s->kind == FP4_GLOBAL ? 1 / f : 1));
    }
}

/* Signed bytes: times a scale for each row, or times the row's largest number over 127. */
static void int8(struct hff *w, const struct scheme *s, const char *module, size_t R, size_t K, float *x)
{
    struct hff_tensor *q = add(w, module, "weight", "I8", R, K, 1);
    struct hff_tensor *d = add(w, module, s->kind == SCB ? "SCB" : "weight_scale", s->kind == SCB ? "F32" : s->number, R, 1,
                               s->kind == SCB ? 4 : 2);
    if (s->kind == SCB) d->n_dims = 1;
    for (size_t r = 0; r < R; r++) {
        float scale = put_number(d->data + r * (s->kind == SCB ? 4 : 2), s->kind == SCB ? "F32" : s->number,
                                 s->kind == SCB ? 1 + small() : small() / 100);
        if (s->kind == SCB) scale *= 1.0f / 127;
        for (size_t c = 0; c < K; c++) {
            int8_t v = (int8_t)((int)(rnd() % 255) - 127);
            q->data[r * K + c] = (uint8_t)v;
            x[r * K + c] = scale * (float)v;
        }
    }
}

static void put_floats(struct hff *w, const char *module, const char *part, const float *v, size_t n)
{
    struct hff_tensor *t = add(w, module, part, "F32", 1, n, 4);
    memcpy(t->data, v, n * 4);
    t->n_dims = 1;
    t->shape[0] = n;
}

/* bitsandbytes: two values in a byte, the high half first; blocks of 64 in the order of the matrix. */
static void nf4(struct hff *w, const struct scheme *s, const char *module, size_t R, size_t K, float *x)
{
    size_t n = R * K, blocks = n / 64, nests = (blocks + 255) / 256;
    struct hff_tensor *q = add(w, module, "weight", "U8", n / 2, 1, 1);
    float table[16], map[256], top[256], *max = malloc(blocks * sizeof *max);
    char state[256];
    for (int i = 0; i < 16; i++) table[i] = (float)(i * i) / 200 - 0.5f + small();
    for (int i = 0; i < 256; i++) map[i] = (float)i / 255;
    for (size_t i = 0; i < nests; i++) top[i] = 0.5f + small();
    put_floats(w, module, "weight.quant_map", table, 16);
    if (s->kind == NF4) {
        for (size_t i = 0; i < blocks; i++) max[i] = 0.1f + small() / 2;
        put_floats(w, module, "weight.absmax", max, blocks);
    } else {
        struct hff_tensor *t = add(w, module, "weight.absmax", "U8", 1, blocks, 1);
        for (size_t i = 0; i < blocks; i++) {
            t->data[i] = (uint8_t)rnd();
            max[i] = map[t->data[i]] * top[i / 256] + 0.0625f;
        }
        t->n_dims = 1;
        t->shape[0] = blocks;
        put_floats(w, module, "weight.nested_quant_map", map, 256);
        put_floats(w, module, "weight.nested_absmax", top, nests);
    }
    snprintf(state, sizeof state, "{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"bfloat16\",\"shape\":[%zu,%zu]%s}", R, K,
             s->kind == NF4 ? "" : ",\"nested_blocksize\":256,\"nested_dtype\":\"float32\",\"nested_offset\":0.0625");
    struct hff_tensor *t = add(w, module, "weight.quant_state.bitsandbytes__nf4", "U8", 1, strlen(state), 1);
    memcpy(t->data, state, t->bytes);
    t->n_dims = 1;
    t->shape[0] = t->bytes;
    for (size_t i = 0; i < n; i++) {
        unsigned code = rnd() % 16;
        q->data[i / 2] |= (uint8_t)(code << (i % 2 ? 0 : 4));
        x[i] = max[i / 64] * table[code];
    }
    free(max);
}

/* ---- folders ---- */

/* Replaces the last } of config.json. */
static void add_config(const char *dir, const char *more)
{
    char path[128], *text;
    size_t n;
    struct err e;
    snprintf(path, sizeof path, "%s/config.json", dir);
    assert_int_equal(os_read_file(path, 1 << 20, &text, &n, &e), 0);
    *strrchr(text, '}') = 0;
    FILE *f = hff_file(dir, "config.json");
    fprintf(f, "%s,%s}\n", text, more);
    fclose(f);
    mem_free(text);
}

/* Both folders: in each matrix of the model, numbers that have codes. */
static void make(struct tiny t, const struct scheme *s)
{
    struct gguf *g;
    struct err e;
    assert_int_equal(tiny_model(file, t), 0);
    if (gguf_open(&g, file, &e) < 0) fail_msg("%s", e.msg);
    hf_folder_remove(plain);
    hf_folder_remove(coded);
    struct hff a = hff_begin(plain, g, 0), b = { .dir = coded, .g = g };
    memcpy(b.arch, a.arch, sizeof b.arch);
    b.t = calloc(4096, sizeof *b.t);
    for (size_t i = 0; i < a.n; i++) {
        struct hff_tensor *x = &a.t[i];
        char module[192];
        snprintf(module, sizeof module, "%.*s", (int)(strlen(x->name) - 7), x->name);
        size_t R = (size_t)x->shape[0], K = (size_t)x->shape[1];
        bool ends = strstr(x->name, "embed") || strstr(x->name, "lm_head"), mlx = s->kind <= NVFP4;
        if (x->n_dims != 2 || strstr(x->name, "mlp.gate.") || (ends && !mlx)) {
            struct hff_tensor *y = hff_new(&b, x->name, x->dtype, x->bytes);
            uint8_t *d = y->data;
            memcpy(d, x->data, x->bytes);
            *y = *x;
            y->data = d;
            continue;
        }
        float *v = malloc(R * K * sizeof *v);
        if (s->kind == AFFINE) affine(&b, s, module, R, K, v);
        else if (mlx) small_floats(&b, s, module, R, K, v);
        else if (s->kind <= FP8_ONE) fp8(&b, s, module, R, K, v);
        else if (s->kind == WORDS || s->kind == WORDS_ZERO) words(&b, s, module, R, K, v);
        else if (s->kind >= FP4 && s->kind <= FP4_GLOBAL) fp4(&b, s, module, R, K, v);
        else if (s->kind == INT8 || s->kind == SCB) int8(&b, s, module, R, K, v);
        else if (s->kind == NF4 || s->kind == NF4_NESTED) nf4(&b, s, module, R, K, v);
        else packed(&b, s, module, R, K, v);
        memcpy(x->data, v, x->bytes);
        free(v);
    }
    hff_end(&a);
    hff_end(&b);
    add_config(coded, s->config);
    gguf_close(g);
}

static void logits(const char *path, float *dst)
{
    struct hearth_model *m;
    struct hearth_session *s;
    struct hearth_error e;
    static int32_t ids[20];
    for (int i = 0; i < 20; i++) ids[i] = (i * 37 + 11) % TINY_VOCAB;
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 2 }, &e) < 0) fail_msg("%s", e.message);
    if (hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 64 }, &e) < 0) fail_msg("%s", e.message);
    if (hearth_session_sync(s, ids, 20, &e) < 0) fail_msg("%s", e.message);
    if (hearth_session_append(s, ids, 1, &e) < 0) fail_msg("%s", e.message);
    memcpy(dst, hearth_session_logits(s), TINY_VOCAB * sizeof *dst);
    hearth_session_close(s);
    hearth_model_close(m);
}

/* Every row of a coded matrix has the numbers of the plain one.  Experts are counted in ne[2]. */
static void same_weights(const struct scheme *s)
{
    struct gguf *a, *b;
    struct err e;
    size_t n = 0;
    if (hf_open(&a, plain, &e) < 0 || hf_open(&b, coded, &e) < 0) fail_msg("%s", e.msg);
    for (size_t i = 0; i < gguf_n_tensors(b); i++) {
        const struct gguf_tensor *x = gguf_tensor_at(b, i), *y = gguf_tensor(a, x->name);
        if (dtype_info(x->type)->family != DTF_SPLIT) continue;
        assert_true(y && y->type == DT_F32 && y->ne[0] == x->ne[0] && y->ne[1] == x->ne[1] && y->ne[2] == x->ne[2]);
        const size_t K = (size_t)x->ne[0], R = (size_t)x->ne[1];
        float *w = malloc(K * sizeof *w);
        for (size_t k = 0; k < R * x->ne[2]; k++) {
            const uint8_t *from = x->slice ? x->slice[k / R] : x->data;
            const uint8_t *want = y->slice ? y->slice[k / R] + k % R * K * 4 : y->data + k * K * 4;
            split_unpack((const struct split *)(const void *)from, k % R, w, K);
            for (size_t c = 0; c < K; c++) {
                float v;
                memcpy(&v, want + 4 * c, 4);
                if (v != w[c]) fail_msg("%s: %s, row %zu, column %zu", s->config, x->name, k, c);
            }
        }
        free(w);
        n++;
    }
    assert_true(n >= 7);
    gguf_close(a);
    gguf_close(b);
}

/* Activations are rounded for the coded ones: an error of 5e-4 of the logits' variance, were their widths not so small. */
static void check(struct tiny t, const struct scheme *s)
{
    static float a[TINY_VOCAB], b[TINY_VOCAB];
    make(t, s);
    logits(plain, a);
    logits(coded, b);
    same_weights(s);
    double largest = 0, wrong = 0, all = 0;
    for (size_t i = 0; i < TINY_VOCAB; i++) {
        wrong += pow((double)a[i] - (double)b[i], 2);
        all += (double)a[i] * (double)a[i];
        largest = fmax(largest, fabs((double)a[i]));
    }
    assert_true(largest > 1e-3 && largest < 1e6);
    if (wrong > all * 2e-3) fail_msg("%s, %u bits, group %u: error %g", s->config, s->bits, s->group, wrong / all);
}

static const struct tiny dense = { .arch = "qwen3", .type = DT_F32, .D = 128, .L = 1, .H = 4, .K = 2, .E = 32, .F = 256 };

static void mlx_affine(void **state)
{
    (void)state;
    static const unsigned bits[] = { 2, 3, 4, 5, 6, 8 }, group[] = { 32, 64, 128 };
    static const char *const number[] = { "F16", "BF16", "F32" };
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 3; k++) {
            char config[128];
            snprintf(config, sizeof config, "\"quantization\":{\"group_size\":%u,\"bits\":%u%s}", group[k], bits[i],
                     k ? "" : ",\"mode\":\"affine\"");
            check(dense, &(struct scheme){ AFFINE, bits[i], group[k], number[(i + k) % 3], .config = config });
        }
    /* what a module says for itself counts */
    char config[1024] = "\"quantization\":{\"group_size\":64,\"bits\":4,\"model.embed_tokens\":{\"group_size\":32,\"bits\":5}";
    static const char *const part[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };
    size_t n = strlen(config);
    for (size_t i = 0; i < 7; i++)
        n += (size_t)snprintf(config + n, sizeof config - n, ",\"model.layers.0.%s\":{\"group_size\":32,\"bits\":5}", part[i]);
    snprintf(config + n, sizeof config - n, ",\"lm_head\":{\"group_size\":32,\"bits\":5}}");
    check(dense, &(struct scheme){ AFFINE, 5, 32, "F16", .config = config });
}

static void mlx_small_floats(void **state)
{
    (void)state;
    check(dense, &(struct scheme){ MXFP4, 4, 32,
                                   .config = "\"quantization\":{\"group_size\":32,\"bits\":4,\"mode\":\"mxfp4\"}" });
    check(dense, &(struct scheme){ MXFP8, 8, 32,
                                   .config = "\"quantization\":{\"group_size\":32,\"bits\":8,\"mode\":\"mxfp8\"}" });
    check(dense, &(struct scheme){ NVFP4, 4, 16,
                                   .config = "\"quantization\":{\"group_size\":16,\"bits\":4,\"mode\":\"nvfp4\"}" });
}

static void fp8_scales(void **state)
{
    (void)state;
    static const char block[] = "\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[48,48]}";
    static const char plain_fp8[] = "\"quantization_config\":{\"quant_method\":\"fp8\"}";
    check(dense, &(struct scheme){ FP8, 8, 48, "F32", .config = block });
    check(dense, &(struct scheme){ FP8, 8, 128, "BF16", .config = plain_fp8 });
    check(dense, &(struct scheme){ FP8_ROW, 8, 0, "BF16", .config = plain_fp8 });
    check(dense, &(struct scheme){ FP8_ONE, 8, 0, "F32", .config = plain_fp8 });
}

static void awq_and_gptq(void **state)
{
    (void)state;
#define GPTQ_CONFIG(more) "\"quantization_config\":{\"quant_method\":\"gptq\"," more "}"
    check(dense, &(struct scheme){ AWQ, 4, 64, .config = "\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4,"
                                                         "\"group_size\":64,\"version\":\"gemm\"}" });
    check(dense, &(struct scheme){ GPTQ, 4, 32, .config = GPTQ_CONFIG("\"bits\":4,\"group_size\":32") });
    check(dense, &(struct scheme){ GPTQ, 8, 64, .act_order = true, .config = GPTQ_CONFIG("\"bits\":8,\"group_size\":64") });
    check(dense, &(struct scheme){ GPTQ, 4, 128, .v2 = true, .act_order = true,
                                   .config = GPTQ_CONFIG("\"bits\":4,\"group_size\":128,\"checkpoint_format\":\"gptq_v2\"") });
}

static void gptq_of_few_bits(void **state)
{
    (void)state;
    check(dense, &(struct scheme){ GPTQ, 2, 32, .config = GPTQ_CONFIG("\"bits\":2,\"group_size\":32") });
    check(dense, &(struct scheme){ GPTQ, 3, 64, .config = GPTQ_CONFIG("\"bits\":3,\"group_size\":64") });
    check(dense, &(struct scheme){ GPTQ, 3, 64, .act_order = true, .config = GPTQ_CONFIG("\"bits\":3,\"group_size\":64") });
    /* what a module's own shapes say counts */
    check(dense, &(struct scheme){ GPTQ, 8, 64, .config = GPTQ_CONFIG("\"bits\":4,\"group_size\":64") });
}

static void compressed_tensors(void **state)
{
    (void)state;
#define COMPRESSED "\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\"}"
    check(dense, &(struct scheme){ WORDS, 4, 32, "BF16", .config = COMPRESSED });
    check(dense, &(struct scheme){ WORDS, 4, 128, "F16", .config = COMPRESSED });
    check(dense, &(struct scheme){ WORDS, 8, 64, "BF16", .config = COMPRESSED });
    check(dense, &(struct scheme){ WORDS, 2, 32, "F16", .config = COMPRESSED });
    check(dense, &(struct scheme){ WORDS, 4, 64, "F32", .config = COMPRESSED });
    check(dense, &(struct scheme){ WORDS_ZERO, 4, 32, "BF16", .config = COMPRESSED });
    check(dense, &(struct scheme){ WORDS_ZERO, 8, 64, "F16", .config = COMPRESSED });
    check(dense, &(struct scheme){ INT8, 8, 0, "BF16", .config = COMPRESSED });
    check(dense, &(struct scheme){ FP8, 8, 32, "BF16", .v2 = true,
                                   .config = "\"quantization_config\":{\"quant_method\":\"compressed-tensors\","
                                             "\"config_groups\":{"
                                             "\"group_0\":{\"weights\":{\"strategy\":\"block\","
                                             "\"block_structure\":[32,32]}}}}" });
    check(dense, &(struct scheme){ FP4_GLOBAL, 4, 16, .config = COMPRESSED });
    check(dense, &(struct scheme){ FP4, 4, 32, .config = COMPRESSED });
}

static void modelopt_and_bitsandbytes(void **state)
{
    (void)state;
    check(dense, &(struct scheme){ FP4_ALL, 4, 16, .config = "\"quantization_config\":{\"quant_method\":\"modelopt\","
                                                             "\"quant_algo\":\"NVFP4\"}" });
#define BITSANDBYTES "\"quantization_config\":{\"quant_method\":\"bitsandbytes\",\"load_in_4bit\":true}"
    check(dense, &(struct scheme){ NF4, 4, 64, .config = BITSANDBYTES });
    check(dense, &(struct scheme){ NF4_NESTED, 4, 64, .config = BITSANDBYTES });
    check(dense, &(struct scheme){ SCB, 8, 0, .config = BITSANDBYTES });
}

static void experts(void **state)
{
    (void)state;
    struct tiny t = { .arch = "qwen3moe", .type = DT_F32, .D = 128, .L = 1, .H = 4, .K = 2, .E = 32, .F = 64, .experts = 5,
                      .used = 2 };
    check(t, &(struct scheme){ AFFINE, 4, 64, "BF16", .config = "\"quantization\":{\"group_size\":64,\"bits\":4}" });
    check(t, &(struct scheme){ FP8, 8, 128, "F32", .config = "\"quantization_config\":{\"quant_method\":\"fp8\"}" });
    check(t, &(struct scheme){ WORDS, 4, 32, "BF16", .config = COMPRESSED });
    check(t, &(struct scheme){ FP4_GLOBAL, 4, 16, .config = COMPRESSED });
    check(t, &(struct scheme){ NF4_NESTED, 4, 64, .config = BITSANDBYTES });
}

/* gpt-oss: rows of gate and up alternate, and so do their biases. */
static void rows_that_alternate(void **state)
{
    (void)state;
    enum { E = 3, F = 8, D = 64 };
    struct gguf *base, *g;
    struct err e;
    assert_int_equal(tiny_model(file, dense), 0);
    if (gguf_open(&base, file, &e) < 0) fail_msg("%s", e.msg);
    hf_folder_remove(coded);
    struct hff w = { .dir = coded, .g = base, .t = calloc(16, sizeof *w.t) };
    static const char module[] = "model.layers.0.mlp.experts";
    uint8_t q[E * 2 * F][D / 2], s[E * 2 * F][D / 32];
    for (size_t i = 0; i < sizeof q; i++) q[i / (D / 2)][i % (D / 2)] = (uint8_t)rnd();
    for (size_t i = 0; i < sizeof s; i++) s[i / 2][i % 2] = (uint8_t)(120 + rnd() % 9);
    add(&w, "model.embed_tokens", "weight", "F32", 4, D, 4);
    struct hff_tensor *t = add(&w, module, "gate_up_proj_blocks", "U8", E * 2 * F, D / 2, 1);
    memcpy(t->data, q, sizeof q);
    memcpy(t->shape, (uint64_t[]){ E, 2 * F, D / 32, 16 }, sizeof t->shape);
    t->n_dims = 4;
    t = add(&w, module, "gate_up_proj_scales", "U8", E * 2 * F, D / 32, 1);
    memcpy(t->data, s, sizeof s);
    memcpy(t->shape, (uint64_t[]){ E, 2 * F, D / 32, 0 }, sizeof t->shape);
    t->n_dims = 3;
    t = add(&w, module, "gate_up_proj_bias", "BF16", E, 2 * F, 2);
    for (size_t i = 0; i < E * 2 * F; i++) put_number(t->data + 2 * i, "BF16", (float)i);
    hff_save_all(&w);
    hff_tokenizer(&w);
    hff_text(coded, "config.json", "{\"architectures\":[\"GptOssForCausalLM\"],\"model_type\":\"gpt_oss\",\"hidden_size\":64,"
             "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"head_dim\":32,\"intermediate_size\":8,\"num_local_experts\":3,"
             "\"num_experts_per_tok\":2,\"sliding_window\":8,\"tie_word_embeddings\":true}");
    if (hf_open(&g, coded, &e) < 0) fail_msg("%s", e.msg);
    for (size_t up = 0; up < 2; up++) {
        const struct gguf_tensor *x = gguf_tensor(g, up ? "blk.0.ffn_up_exps.weight" : "blk.0.ffn_gate_exps.weight");
        const struct gguf_tensor *b = gguf_tensor(g, up ? "blk.0.ffn_up_exps.bias" : "blk.0.ffn_gate_exps.bias");
        assert_true(x && b && x->ne[0] == D && x->ne[1] == F && x->ne[2] == E && b->ne[0] == F && b->ne[1] == E);
        for (size_t i = 0; i < E * F; i++) {
            float v[D], bias;
            size_t from = i / F * 2 * F + i % F * 2 + up;
            split_unpack((const struct split *)(const void *)x->slice[i / F], i % F, v, D);
            for (size_t c = 0; c < D; c++)
                assert_true((double)v[c] == ldexp(e2m1(q[from][c / 2] >> (c % 2 * 4) & 15), s[from][c / 32] - 127));
            memcpy(&bias, b->data + 4 * i, 4);
            assert_true(bias == (float)from);
        }
    }
    for (size_t i = 0; i < w.n; i++) free(w.t[i].data);
    free(w.t);
    gguf_close(g);
    gguf_close(base);
}

/* ---- the kernel ---- */

/* Every variant, number of tokens and division of rows gives the same bits. */
static void kernels_agree(void **state)
{
    (void)state;
    enum { R = 37, K = 96, T = 5 };
    static uint8_t code[R * K / 2], number[R * K / 32 * 2];
    static float x[T][K + 16], y[3][T][R], w[K];
    static const uint32_t set[] = { 0, CPU_AVX2, CPU_AVX2 | CPU_AVX512, CPU_NEON, CPU_NEON | CPU_I8MM, CPU_AVX2 | CPU_AVXVNNI };
    for (size_t i = 0; i < sizeof code; i++) code[i] = (uint8_t)rnd();
    for (size_t i = 0; i < sizeof number; i += 2) put_number(number + i, "F16", small());
    struct split s = { .type = DT_AFFINE4, .number = DT_F16, .code = code, .scale = number, .bias = number, .rows = R, .cols = K,
                       .code_row = K / 2, .scale_row = K / 32 * 2, .group = 32, .scale_rows = 1, .factor = 1 };
    const enum act_form form = matmul_act_form(s.type, &s);
    uint8_t *act = mem_new_aligned(T * act_row_bytes(form, K), 64), *scratch = mem_new_aligned(1 << 17, 64);
    for (size_t t = 0; t < T; t++) {
        for (size_t k = 0; k < K; k++) x[t][k] = small();
        act_pack(form, x[t], act + t * act_row_bytes(form, K), K, 0);
    }
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        struct matmul m;
        if (set[i] & ~cpu_features()) continue;
        matmul_init(&m, s.type, &s, R, K, set[i]);
        assert_true(matmul_scratch(&m, T) <= 1 << 17);
        struct matmul_job j = { .m = &m, .act = act, .act_stride = act_row_bytes(form, K), .T = T,
                                .y = y[1][0],
                                .y_stride = R, .scratch = scratch };
        matmul_rows(&j, 0, 20);
        matmul_rows(&j, 20, R);
        for (size_t t = 0; t < T; t++) {
            struct matmul_job one = j;
            one.T = 1;
            one.act += t * j.act_stride;
            one.y = y[2][t];
            matmul_rows(&one, 0, R);
        }
        if (!i) memcpy(y[0], y[1], sizeof y[0]);
        assert_memory_equal(y[0], y[1], sizeof y[0]);
        assert_memory_equal(y[0], y[2], sizeof y[0]);
    }
    for (size_t r = 0; r < R; r++) {
        double sum = 0, all = 0;
        split_unpack(&s, r, w, K);
        for (size_t k = 0; k < K; k++) sum += (double)w[k] * (double)x[1][k], all += fabs((double)w[k] * (double)x[1][k]);
        assert_true(fabs(sum - (double)y[0][1][r]) < all / 127);
    }
    mem_free_aligned(act);
    mem_free_aligned(scratch);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(plain) || !mkdtemp(coded)) return -1;
    snprintf(file, sizeof file, "%s.gguf", plain);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(file);
    hf_folder_remove(plain);
    hf_folder_remove(coded);
    return rmdir(plain) + rmdir(coded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mlx_affine),   cmocka_unit_test(mlx_small_floats), cmocka_unit_test(fp8_scales),
        cmocka_unit_test(awq_and_gptq), cmocka_unit_test(experts),          cmocka_unit_test(kernels_agree),
        cmocka_unit_test(rows_that_alternate),
        cmocka_unit_test(gptq_of_few_bits), cmocka_unit_test(compressed_tensors), cmocka_unit_test(modelopt_and_bitsandbytes),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
