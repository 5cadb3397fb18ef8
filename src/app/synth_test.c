/* synth_test.c - synthetic models without their weights: only the header is made, and memory that is never touched stands
 * for the rest, so that the largest shape is tested as quickly as the smallest. */
#include "tests/testing.h"

#include <string.h>
#include <sys/mman.h>

#include "app/synth.h"
#include "engine/engine.h"
#include "format/names.h"
#include "text/tokenizer.h"

static bool stop_at_once(uint64_t done, uint64_t total)
{
    (void)done, (void)total;
    return false;
}

struct made { struct gguf *g; void *memory; size_t bytes; uint64_t total, n_values; };

static struct made make(const char *shape, const char *type, uint32_t n_layer)
{
    struct synth s = { .shape = synth_shape_find(shape), .n_layer = n_layer, .seed = 1, .progress = stop_at_once };
    struct made m = { 0 };
    struct gguf_writer *w;
    struct buf head = { 0 };
    struct err e = { 0 };
    assert_non_null(s.shape);
    if (synth_recipe_find(&s.recipe, type, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(gguf_writer_open(&w, &e), 0);
    if (synth_put(&s, w, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(gguf_writer_bytes(w, &head, &e), ERR_CANCELLED);      /* before the first weights */
    m.total = s.total;
    m.n_values = s.n_values;
    m.bytes = head.len + (size_t)gguf_writer_data_bytes(w);
    m.memory = mmap(NULL, m.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(m.memory != MAP_FAILED);
    memcpy(m.memory, head.data, head.len);
    if (gguf_parse(&m.g, m.memory, m.bytes, shape, &e) < 0) fail_msg("%s", e.msg);
    buf_release(&head);
    gguf_writer_close(w);
    synth_release(&s);
    return m;
}

static void release(struct made *m)
{
    gguf_close(m->g);
    munmap(m->memory, m->bytes);
}

static unsigned count(const struct made *m, enum dtype type)
{
    unsigned n = 0;
    for (size_t i = 0; i < gguf_n_tensors(m->g); i++) n += gguf_tensor_at(m->g, i)->type == type;
    return n;
}

static void every_shape_runs_here(void **unused)
{
    (void)unused;
    for (size_t i = 0; synth_shape_at(i); i++) {
        const struct synth_shape *shape = synth_shape_at(i);
        struct made m = make(shape->name, "Q4_K_M", 0);
        struct err e = { 0 };
        uint64_t values = 0, bytes = 0;
        if (engine_can_run(m.g, &e) < 0) fail_msg("%s", e.msg);
        for (size_t k = 0; k < gguf_n_tensors(m.g); k++) {
            const struct gguf_tensor *t = gguf_tensor_at(m.g, k);
            values += t->ne[0] * t->ne[1] * t->ne[2];
            bytes += t->bytes;
        }
        assert_true(values == m.n_values && bytes == m.total);
        release(&m);
    }
}

/* Parameters and mixtures of published files: what their own listings show. */
static void shapes_are_the_published_ones(void **unused)
{
    (void)unused;
    static const struct { const char *shape, *type; uint64_t values; unsigned f32, q4, q6; } row[] = {
        { "llama-1b", "Q4_K_M", 1235814432, 34, 96, 17 },
        { "llama-8b", "Q4_K_M", 8030261312, 66, 193, 33 },
        { "qwen3-0.6b", "Q4_K_M", 596049920, 113, 168, 29 },
        { "qwen3-30b-a3b", "Q4_K_M", 30532122624, 241, 289, 49 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct made m = make(row[i].shape, row[i].type, 0);
        if (m.n_values != row[i].values) fail_msg("%s: %llu values", row[i].shape, (unsigned long long)m.n_values);
        assert_int_equal(count(&m, DT_F32), row[i].f32);
        assert_int_equal(count(&m, DT_Q4_K), row[i].q4);
        assert_int_equal(count(&m, DT_Q6_K), row[i].q6);
        release(&m);
    }
}

/* Of 16 layers the first two, the last two, and the third of each three between. */
static void mixtures_choose_their_layers(void **unused)
{
    (void)unused;
    struct made m = make("llama-1b", "q4_k_m", 0);
    for (unsigned i = 0; i < 16; i++) {
        static const char *const name[] = { "attn_v", "ffn_down", "attn_k" };
        bool more = i < 2 || i >= 14 || i == 4 || i == 7 || i == 10 || i == 13;
        for (int k = 0; k < 3; k++) {
            char full[64];
            snprintf(full, sizeof full, "blk.%u.%s.weight", i, name[k]);
            assert_int_equal(gguf_tensor(m.g, full)->type, more && k < 2 ? DT_Q6_K : DT_Q4_K);
        }
    }
    release(&m);
    m = make("llama-1b", "Q4_K_S", 0);
    assert_int_equal(gguf_tensor(m.g, "blk.3.attn_v.weight")->type, DT_Q5_K);
    assert_int_equal(gguf_tensor(m.g, "blk.4.attn_v.weight")->type, DT_Q4_K);
    assert_int_equal(gguf_tensor(m.g, "blk.1.ffn_down.weight")->type, DT_Q5_K);
    assert_int_equal(gguf_tensor(m.g, "blk.2.ffn_down.weight")->type, DT_Q4_K);
    release(&m);
}

static void rows_that_are_no_super_blocks_get_another_type(void **unused)
{
    (void)unused;
    struct made m = make("gemma3-270m", "Q4_K_S", 18);                     /* rows of 640, 1024, 2048 */
    assert_int_equal(gguf_tensor(m.g, "token_embd.weight")->type, DT_Q8_0);
    assert_int_equal(gguf_tensor(m.g, "blk.5.ffn_up.weight")->type, DT_Q5_0);
    assert_int_equal(gguf_tensor(m.g, "blk.1.ffn_down.weight")->type, DT_Q5_K);
    assert_int_equal(gguf_tensor(m.g, "blk.2.ffn_down.weight")->type, DT_Q4_K);
    assert_int_equal(gguf_tensor(m.g, "blk.0.attn_output.weight")->type, DT_Q4_K);
    release(&m);
    m = make("gemma3-270m", "IQ2_XXS", 1);
    assert_int_equal(gguf_tensor(m.g, "blk.0.ffn_up.weight")->type, DT_IQ4_NL);
    assert_int_equal(gguf_tensor(m.g, "blk.0.ffn_down.weight")->type, DT_IQ2_XXS);
    release(&m);
}

/* Check values of the scaling's own definition (factor 8, head of 128). */
static void rotary_factors_are_llama_3s(void **unused)
{
    (void)unused;
    static const float want[] = { 1, 1.207484f, 1.553415f, 2.026313f, 2.694530f, 3.684253f, 5.257327f, 8 };
    struct made m = make("llama-8b", "Q8_0", 1);
    const struct gguf_tensor *t = gguf_tensor(m.g, "rope_freqs.weight");
    const float *f = (const float *)(const void *)t->data;
    assert_int_equal(t->ne[0], 64);
    for (size_t i = 0; i < 64; i++) {
        float w = want[i < 28 ? 0 : i > 35 ? 7 : i - 28];
        if (f[i] < w * 0.99999f || f[i] > w * 1.00001f) fail_msg("factor %zu is %g, not %g", i, (double)f[i], (double)w);
    }
    release(&m);
}

static void a_text_comes_back(const struct gguf *g, const char *text, size_t most)
{
    struct tokenizer *t;
    struct err e = { 0 };
    struct ids ids = { 0 };
    struct buf b = { 0 };
    if (tokenizer_open(&t, g, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(tokenizer_encode(t, text, strlen(text), 0, &ids, &e), 0);
    assert_true(ids.n > 0 && ids.n <= most);
    tokenizer_decode(t, ids.id, ids.n, false, &b);
    assert_string_equal(b.data, text);
    ids_release(&ids);
    buf_release(&b);
    tokenizer_close(t);
}

static struct gguf_str string_at(const void *items, size_t i) { return ((const struct gguf_str *)items)[i]; }

/* The words join: a text needs fewer tokens than it has letters. */
static void vocabularies_are_whole(void **unused)
{
    (void)unused;
    static const struct { const char *shape; uint32_t n; } row[] = {
        { "llama-1b", 128256 }, { "qwen3-0.6b", 151936 }, { "gemma3-1b", 262144 }, { "phi3-mini", 32064 },
        { "mistral-7b", 32768 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct made m = make(row[i].shape, "Q8_0", 1);
        const struct gguf_kv *tokens = gguf_find(m.g, "tokenizer.ggml.tokens");
        struct names names;
        struct arena a = { 0 };
        size_t dup, n = 0;
        struct gguf_str *s = arena_new(&a, struct gguf_str, row[i].n);
        assert_int_equal(tokens->count, row[i].n);
        for (const uint8_t *at = tokens->data; gguf_next_str(tokens, &at, &s[n]);) n++;
        assert_int_equal(names_build(&names, &a, string_at, s, n, &dup), 0);  /* no text twice */
        arena_release(&a);
        a_text_comes_back(m.g, "the weather in d\xc3\xbcsseldorf, 2024!", 28);
        release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_runs_here),
        cmocka_unit_test(shapes_are_the_published_ones),
        cmocka_unit_test(mixtures_choose_their_layers),
        cmocka_unit_test(rows_that_are_no_super_blocks_get_another_type),
        cmocka_unit_test(rotary_factors_are_llama_3s),
        cmocka_unit_test(vocabularies_are_whole),
    };
    return run_tests(tests);
}
