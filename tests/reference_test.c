/* reference_test.c - logits, greedy tokens and perplexity against the reference data of the field's standard engine.
 * Every test is skipped where the data is absent. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "hearth.h"
#include "quant/quant.h"
#include "tests/testing.h"

struct floats { float *v; size_t n; };

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Appends the floats of {"f32_b64": "..."}. */
static void add_floats(struct floats *f, const struct json *j)
{
    size_t n, out = 0;
    const char *s = json_str(json_get(j, "f32_b64"), &n);
    assert_non_null(s);
    uint8_t *d = malloc(n);
    uint32_t bits = 0, have = 0;
    for (size_t i = 0; i < n && digit(s[i]) >= 0; i++) {
        bits = bits << 6 | (uint32_t)digit(s[i]);
        if ((have += 6) >= 8) d[out++] = (uint8_t)(bits >> (have -= 8));
    }
    f->v = realloc(f->v, f->n * 4 + out);
    memcpy(f->v + f->n, d, out);
    f->n += out / 4;
    free(d);
}

static struct json *load(const char *name)
{
    char path[512];
    char *text;
    size_t n;
    struct err err = { 0 };
    struct json *j = NULL;
    assert_true(ref_path(path, sizeof path, name));
    if (os_read_file(path, 1 << 26, &text, &n, &err) < 0 || json_parse(&j, text, n, &err) < 0) fail_msg("%s", err.msg);
    mem_free(text);
    return j;
}

static size_t get_ids(const struct json *j, int32_t *ids, size_t max)
{
    size_t n = json_len(j);
    assert_in_range(n, 1, max);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_int(json_at(j, i));
    return n;
}

static double nmse(const float *a, const struct floats *ref)
{
    double e = 0, s = 0;
    for (size_t i = 0; i < ref->n; i++) {
        e += ((double)a[i] - ref->v[i]) * ((double)a[i] - ref->v[i]);
        s += (double)ref->v[i] * ref->v[i];
    }
    return e / s;
}

static struct hearth_model *open_model(const char *name)
{
    char path[512];
    struct hearth_error e;
    struct hearth_model *m;
    assert_true(ref_path(path, sizeof path, name));
    if (hearth_model_open(&m, path, NULL, &e) < 0) fail_msg("%s", e.message);
    return m;
}

static int32_t argmax(const float *x, size_t n)
{
    int32_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = (int32_t)i;
    return best;
}

static uint32_t run_ctx;          /* context of the sessions that run() opens; 0: what is needed */

/* Logits of the last `last` prompt positions and of `steps` tokens fed after it, appended in one buffer; the tokens are the
 * greedy ones, or `forced`. */
static float *run(struct hearth_model *m, const int32_t *ids, size_t n, uint32_t last, const int32_t *forced, size_t steps,
                  int32_t *greedy)
{
    struct hearth_error e;
    struct hearth_session *s;
    struct hearth_model_info info;
    hearth_model_info(m, &info);
    struct hearth_session_options o = { .n_ctx = (uint32_t)(n + steps), .kv_type = HEARTH_KV_F32, .n_logits = last };
    if (run_ctx) o.n_ctx = run_ctx;
    if (hearth_session_open(&s, m, &o, &e) < 0 || hearth_session_sync(s, ids, n, &e) < 0) fail_msg("%s", e.message);
    size_t rows, V = info.n_vocab;
    const float *l = hearth_session_logits_rows(s, &rows);
    assert_int_equal(rows, last);
    float *out = malloc((last + steps) * V * sizeof *out);
    memcpy(out, l, rows * V * 4);
    for (size_t i = 0; i < steps; i++) {
        int32_t id = argmax(hearth_session_logits(s), V);
        if (greedy) greedy[i] = id;
        if (forced) id = forced[i];
        if (hearth_session_append(s, &id, 1, &e) < 0) fail_msg("%s", e.message);
        memcpy(out + (last + i) * V, hearth_session_logits(s), V * 4);
    }
    hearth_session_close(s);
    return out;
}

/* m, which is closed, against the reference called name. */
static void compare(const char *name, struct hearth_model *m, double limit)
{
    char file[64];
    int32_t ids[64], want[8], got[8];
    snprintf(file, sizeof file, "models/%s.json", name);
    struct json *j = load(file);
    const struct json *src = json_get(j, "exact") ? json_get(j, "exact") : j;
    size_t n = get_ids(json_get(j, "prompt_ids"), ids, 64), steps = get_ids(json_get(j, "greedy_ids"), want, 8);
    struct floats ref = { 0 };
    add_floats(&ref, json_get(src, "prompt_logits_last4"));
    add_floats(&ref, json_get(src, "decode_logits"));
    float *out = run(m, ids, n, 4, NULL, steps, got);
    double error = nmse(out, &ref);
    print_message("# %s: %.2g\n", name, error);
    if (!(error <= limit)) fail_msg("%s: normalised mean squared error %g, at most %g", name, error, limit);
    for (size_t i = 0; i < steps; i++) assert_int_equal(got[i], want[i]);
    free(out);
    free(ref.v);
    hearth_model_close(m);
    json_free(j);
}

static void one_model(const char *name)
{
    char file[64];
    snprintf(file, sizeof file, "models/%s.gguf", name);
    /* Weights of 16 bits are multiplied as codes of 14; this small random gemma4 enlarges any difference a hundredfold. */
    compare(name, open_model(file), strcmp(name, "gemma4") ? 2e-6 : 1e-4);
}

static void logits_match_the_reference(void **state)
{
    (void)state;
    static const char *const name[] = { "llama3", "llama2-linear", "llama-bias", "mixtral", "mistral3", "mistral3-yarn", "qwen2",
                                        "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "phi3", "qwen2moe",
                                        "olmo2", "granite", "cohere2", "glm4", "glm4moe", "glm4moe-mtp", "phi2", "gpt2",
                                        "starcoder2",
                                        "deepseek2-lite", "deepseek2-lite-mla", "deepseek2-v3", "gemma4", "lfm2",
                                        "qwen3next", "qwen35", "qwen35moe" };
    char path[512];
    REF_OR_SKIP(path, "models/llama3.gguf");
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) one_model(name[i]);
}

/* Every tensor as floats. */
static void expand(const char *from, const char *to)
{
    struct err err = { 0 };
    struct gguf *g;
    struct gguf_writer *w;
    void *data[1024];
    size_t n = 0;
    if (gguf_open(&g, from, &err) < 0 || gguf_writer_open(&w, &err) < 0) fail_msg("%s", err.msg);
    for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(w, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        size_t row = (size_t)t->ne[0], rows = (size_t)(t->ne[1] * t->ne[2]);
        float *x = malloc(row * rows * sizeof *x);
        assert_in_range(n, 0, 1023);
        for (size_t r = 0; r < rows; r++) quant_unpack(t->type)(t->data + r * (t->bytes / rows), x + r * row, row);
        gguf_put_tensor(w, t->name, DT_F32, t->n_dims, t->ne, data[n++] = x);
    }
    if (gguf_writer_save(w, to, &err) < 0) fail_msg("%s", err.msg);
    gguf_writer_close(w);
    gguf_close(g);
    while (n) free(data[--n]);
}

/* Experts of blocks: the architecture is held to the reference by the same weights as floats; the file as it is is multiplied
 * with rounded activations, which may change the choice of an expert (here in one row of the eight). */
static void gpt_oss(void **state)
{
    (void)state;
    char path[512], to[] = "/tmp/hearth-reference-XXXXXX";
    REF_OR_SKIP(path, "models/gpt-oss-mxfp4.gguf");
    int fd = mkstemp(to);
    assert_true(fd >= 0);
    close(fd);
    expand(path, to);
    struct hearth_error e;
    struct hearth_model *m;
    if (hearth_model_open(&m, to, NULL, &e) < 0) fail_msg("%s", e.message);
    unlink(to);
    compare("gpt-oss-mxfp4", m, 1e-6);
    compare("gpt-oss-mxfp4", open_model("models/gpt-oss-mxfp4.gguf"), 1e-3);
}

static void check_vector(const char *name, const char *what, const float *got, const struct json *want, double limit)
{
    struct floats ref = { 0 };
    add_floats(&ref, want);
    double error = nmse(got, &ref);
    print_message("# %s, %s: %.2g\n", name, what, error);
    if (!(error <= limit)) fail_msg("%s, %s: normalised mean squared error %g", name, what, error);
    free(ref.v);
}

/* One text's vector as the pooling makes it, not normalised. */
static float *embed(struct hearth_model *m, const int32_t *ids, size_t n, int pooling)
{
    struct hearth_error e;
    struct hearth_embed_options o;
    hearth_embed_defaults(&o);
    o.pooling = pooling;
    o.normalise = false;
    float *y = malloc((pooling == HEARTH_POOL_NONE ? n : 1) * hearth_embed_width(m, &o) * sizeof *y);
    struct hearth_embed_item it = { ids, n, 0, y };
    if (hearth_embed(m, &it, 1, &o, &e) < 0) fail_msg("%s", e.message);
    return y;
}

static void one_embedding(const char *name, const char *key, int pooling)
{
    char file[64];
    int32_t ids[64];
    snprintf(file, sizeof file, "models/%s.json", name);
    struct json *j = load(file);
    const struct json *src = json_get(j, "exact") ? json_get(j, "exact") : j, *want = json_get(src, key);
    size_t n = get_ids(json_get(j, "prompt_ids"), ids, 64);
    snprintf(file, sizeof file, "models/%s.gguf", name);
    struct hearth_model *m = open_model(file);
    float *y = embed(m, ids, n, pooling);
    struct hearth_model_info info;
    hearth_model_info(m, &info);
    check_vector(name, key, pooling == HEARTH_POOL_NONE ? y + (n - 4) * info.n_embd : y, want, 1e-6);
    free(y);
    hearth_model_close(m);
    json_free(j);
}

static void embeddings_match_the_reference(void **state)
{
    (void)state;
    static const char *const name[] = { "bert", "nomic-bert", NULL };
    char path[512];
    REF_OR_SKIP(path, "models/qwen3.json");
    for (size_t i = 0; name[i]; i++) {
        one_embedding(name[i], "token_embeddings_last4", HEARTH_POOL_NONE);
        one_embedding(name[i], "pooled_mean", HEARTH_POOL_MEAN);
        one_embedding(name[i], "pooled_cls", HEARTH_POOL_CLS);
        one_embedding(name[i], "pooled_last", HEARTH_POOL_LAST);
    }
    one_embedding("qwen3", "embedding", HEARTH_POOL_LAST);
}

/* LongRoPE: a context beyond the original one uses the long factors. */
static void phi3_long_context(void **state)
{
    (void)state;
    char path[512];
    REF_OR_SKIP(path, "models/phi3.json");
    struct json *j = load("models/phi3.json");
    const struct json *c = json_get(j, "long_context");
    int32_t ids[64], want[8], got[8];
    size_t n = get_ids(json_get(j, "prompt_ids"), ids, 64), steps = get_ids(json_get(c, "greedy_ids"), want, 8);
    struct floats ref = { 0 };
    add_floats(&ref, json_get(c, "prompt_logits_last4"));
    add_floats(&ref, json_get(c, "decode_logits"));
    struct hearth_model *m = open_model("models/phi3.gguf");
    run_ctx = (uint32_t)json_int(json_get(c, "n_ctx"));
    float *out = run(m, ids, n, 4, NULL, steps, got);
    run_ctx = 0;
    assert_true(nmse(out, &ref) <= 1e-6);
    for (size_t i = 0; i < steps; i++) assert_int_equal(got[i], want[i]);
    free(out);
    free(ref.v);
    hearth_model_close(m);
    json_free(j);
}

/* Error against the dequantised weights no larger than the standard engine's own. */
static void quantised_error_is_no_larger(void **state)
{
    (void)state;
    char path[512];
    REF_OR_SKIP(path, "models/quantized/quantized-models.json");
    struct json *j = load("models/quantized/quantized-models.json");
    int32_t ids[64], forced[8];
    size_t n = get_ids(json_get(j, "prompt_ids"), ids, 64);
    void *it = NULL;
    const char *key;
    struct json *v;
    while (json_next(json_get(j, "files"), &it, &key, &v)) {
        const struct json *deq = json_get(v, "dequantized"), *nat = json_get(v, "native");
        struct floats ref = { 0 }, native = { 0 };
        size_t steps = get_ids(json_get(deq, "greedy_ids"), forced, 8);
        add_floats(&ref, json_get(deq, "prompt_logits_last1"));
        add_floats(&native, json_get(nat, "prompt_logits_last1"));
        bool same = true;
        for (size_t i = 0; i < steps; i++) same &= json_int(json_at(json_get(nat, "greedy_ids"), i)) == forced[i];
        if (same) {
            add_floats(&ref, json_get(deq, "decode_logits"));
            add_floats(&native, json_get(nat, "decode_logits"));
        }
        char file[128];
        snprintf(file, sizeof file, "models/quantized/%s", key);
        struct hearth_model *m = open_model(file);
        float *out = run(m, ids, n, 1, forced, steps, NULL);
        double ours = nmse(out, &ref), theirs = nmse(native.v, &ref);
        if (!(ours <= theirs)) fail_msg("%s: error %g, the standard engine's %g", key, ours, theirs);
        free(out);
        free(ref.v);
        free(native.v);
        hearth_model_close(m);
    }
    json_free(j);
}

/* The decoded prompt and answer begin with the reference's text (which may hold both or the answer only). */
static void check_text(struct hearth_model *m, const int32_t *prompt, size_t n, const int32_t *answer, size_t steps,
                       const char *want)
{
    int32_t all[512];
    struct hearth_error e;
    char *text;
    size_t len;
    memcpy(all, prompt, n * sizeof *all);
    memcpy(all + n, answer, steps * sizeof *all);
    assert_int_equal(hearth_detokenize(m, all, n + steps, false, &text, &len, &e), 0);
    assert_non_null(want);
    while (*want == ' ') want++;
    if (!strstr(text, want)) fail_msg("text '%.60s...' is not in '%.60s...'", want, text);
    hearth_free(text);
}

static void stories_text_is_the_reference_text(void **state)
{
    (void)state;
    char path[512];
    REF_OR_SKIP(path, "models/stories260K.json");
    struct json *j = load("models/stories260K.json");
    struct hearth_model *m = open_model("models/stories260K.gguf");
    const struct json *prompts = json_get(j, "greedy");
    assert_true(json_len(prompts) >= 4);
    for (size_t p = 0; p < json_len(prompts); p++) {
        const struct json *c = json_at(prompts, p);
        int32_t ids[128], want[256], got[256];
        size_t n = get_ids(json_get(c, "prompt_ids"), ids, 128), steps = get_ids(json_get(c, "greedy_ids"), want, 256);
        free(run(m, ids, n, 1, NULL, steps, got));
        for (size_t i = 0; i < steps; i++) assert_int_equal(got[i], want[i]);
        check_text(m, ids, n, got, steps, json_str(json_get(c, "text"), NULL));
    }
    hearth_model_close(m);
    json_free(j);
}

static double perplexity(const char *name, const int32_t *ids, size_t n)
{
    struct hearth_model *m = open_model(name);
    struct hearth_model_info info;
    hearth_model_info(m, &info);
    float *l = run(m, ids, n, (uint32_t)n, NULL, 0, NULL);
    double sum = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        const float *row = l + i * info.n_vocab;
        double max = row[argmax(row, info.n_vocab)], z = 0;
        for (uint32_t k = 0; k < info.n_vocab; k++) z += exp(row[k] - max);
        sum += max + log(z) - row[ids[i + 1]];
    }
    free(l);
    hearth_model_close(m);
    return exp(sum / (double)(n - 1));
}

static void quantised_stories_keep_their_perplexity(void **state)
{
    (void)state;
    char path[512];
    REF_OR_SKIP(path, "models/stories260K-quantized.json");
    struct json *all = load("models/stories260K.json"), *quant = load("models/stories260K-quantized.json");
    int32_t ids[600];
    size_t n = get_ids(json_get(json_get(all, "perplexity"), "ids_with_bos"), ids, 600);
    double f32 = perplexity("models/stories260K.gguf", ids, n), want = json_num(json_get(json_get(all, "perplexity"), "ppl"));
    assert_true(fabs(f32 / want - 1) < 0.005);
    void *it = NULL;
    const char *key;
    struct json *v;
    size_t seen = 0;
    while (json_next(json_get(quant, "files"), &it, &key, &v)) {
        char file[128];
        snprintf(file, sizeof file, "models/%s", key);
        double got = perplexity(file, ids, n);
        want = json_num(json_get(v, "ppl_weights_dequantized_to_f32"));
        if (!(fabs(got / want - 1) < 0.005)) fail_msg("%s: perplexity %g, reference %g", key, got, want);
        seen++;
    }
    assert_true(seen >= 3);
    json_free(all);
    json_free(quant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_match_the_reference),
        cmocka_unit_test(gpt_oss),
        cmocka_unit_test(embeddings_match_the_reference),
        cmocka_unit_test(phi3_long_context),
        cmocka_unit_test(quantised_error_is_no_larger),
        cmocka_unit_test(stories_text_is_the_reference_text),
        cmocka_unit_test(quantised_stories_keep_their_perplexity),
    };
    return run_tests(tests);
}
