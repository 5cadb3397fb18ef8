/* hf_test.c - a model opened as a folder of the Hugging Face Hub computes what its GGUF file computes, bit for bit where the
 * order of the arithmetic is the same. */
#define _GNU_SOURCE
#include "tests/hf_folder.h"

#include <math.h>

#include "base/mem.h"
#include "engine/engine.h"
#include "tests/testing.h"
#include "tests/tiny_model.h"

enum { N_IDS = 40 };

static char dir[] = "/tmp/hearth-hf-XXXXXX", file[64];

struct run { float *logits; uint32_t n_vocab; };

static struct run run_model(const char *path)
{
    static int32_t ids[N_IDS];
    struct hearth_model *m;
    struct hearth_session *s;
    struct hearth_error e;
    for (int i = 0; i < N_IDS; i++) ids[i] = (i * i * 7 + i * 13 + 5) % TINY_VOCAB;
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 2 }, &e) < 0) fail_msg("%s", e.message);
    struct hearth_session_options o = { .n_ctx = 64, .n_logits = 2, .kv_type = HEARTH_KV_F32 };
    if (hearth_session_open(&s, m, &o, &e) < 0 || hearth_session_sync(s, ids, N_IDS, &e) < 0) fail_msg("%s", e.message);
    size_t n;
    const float *rows = hearth_session_logits_rows(s, &n);
    assert_int_equal(n, 2);
    struct run r = { malloc(2 * TINY_VOCAB * sizeof(float)), TINY_VOCAB };
    memcpy(r.logits, rows, 2 * TINY_VOCAB * sizeof(float));
    hearth_session_close(s);
    hearth_model_close(m);
    return r;
}

/* The largest difference, relative to the largest logit. */
static double difference(struct run a, struct run b)
{
    double most = 0, large = 0;
    for (size_t i = 0; i < 2 * TINY_VOCAB; i++) {
        double d = fabs((double)a.logits[i] - (double)b.logits[i]);
        assert_true(a.logits[i] - a.logits[i] == 0 && b.logits[i] - b.logits[i] == 0);
        if (d > most) most = d;
        if (fabs((double)a.logits[i]) > large) large = fabs((double)a.logits[i]);
    }
    assert_true(large > 0.1);
    return most / large;
}

static struct gguf *make(struct tiny t, unsigned flags)
{
    struct gguf *g;
    struct err e;
    assert_int_equal(tiny_model(file, t), 0);
    if (gguf_open(&g, file, &e) < 0) fail_msg("%s", e.msg);
    hf_folder_remove(dir);
    hf_folder(dir, g, flags);
    return g;
}

static void check(struct tiny t, unsigned flags, double bound)
{
    gguf_close(make(t, flags));
    struct run a = run_model(file), b = run_model(dir);
    double d = difference(a, b);
    if (d > bound) fail_msg("%s, flags %u: differs by %g", t.arch, flags, d);
    free(a.logits);
    free(b.logits);
}

static void equal_bits(void **state)
{
    (void)state;
    static const struct tiny base = { .D = 64, .H = 4, .K = 2, .E = 16, .F = 96 };
    struct tiny t = base;
    t.arch = "qwen3", t.type = DT_F32;
    check(t, 0, 0);
    t.type = DT_BF16;
    check(t, HFF_SHARDS | HFF_NEW_ROPE, 0);
    t.arch = "gemma2", t.type = DT_F16, t.window = 9, t.L = 3;
    check(t, 0, 0);
    t.arch = "gemma3", t.type = DT_BF16, t.L = 7;
    check(t, 0, 0);
    check(t, HFF_NESTED | HFF_SHARDS, 0);
    t = base;
    t.arch = "gemma", t.type = DT_F32;
    check(t, 0, 0);
    t.arch = "phi3", t.type = DT_F16;
    check(t, HFF_FUSED, 0);
    t.arch = "qwen2", t.type = DT_BF16;
    check(t, 0, 0);
    t.arch = "qwen3moe", t.type = DT_F16, t.experts = 6, t.used = 2;
    check(t, 0, 0);
    check(t, HFF_STACKED, 0);
    check(t, HFF_SHARDS, 0);
}

/* The rows of Q and K lie in another order there, and so do the terms of their products. */
static void llama_without_permutation(void **state)
{
    (void)state;
    struct tiny t = { .arch = "llama", .type = DT_F32, .D = 64, .H = 4, .K = 2, .E = 16, .F = 96 };
    check(t, HFF_PERMUTED, 3e-6);
    t.type = DT_BF16;
    check(t, HFF_PERMUTED | HFF_SHARDS, 3e-6);
    t.experts = 4, t.used = 2;
    check(t, HFF_PERMUTED | HFF_MIXTRAL, 3e-6);
    /* and it matters */
    t.experts = 0;
    gguf_close(make(t, 0));
    struct run a = run_model(file), b = run_model(dir);
    assert_true(difference(a, b) > 1e-3);
    free(a.logits);
    free(b.logits);
}

static void same_words(void **state)
{
    (void)state;
    struct tiny t = { .arch = "qwen3", .type = DT_F32, .D = 64, .H = 4, .K = 2, .E = 16, .F = 96 };
    struct gguf *a = make(t, 0), *b, *c;
    struct err e = { 0 };
    char config[128];
    snprintf(config, sizeof config, "%s/config.json", dir);
    if (hf_open(&b, dir, &e) < 0 || model_file_open(&c, config, &e) < 0) fail_msg("%s", e.msg);
    struct tokenizer *x, *y;
    if (tokenizer_open(&x, a, &e) < 0 || tokenizer_open(&y, b, &e) < 0) fail_msg("%s", e.msg);
    static const char text[] = "Hello, w\xc3\xb6rld! 123 <|im_start|>user\n  it's";
    struct ids p = { 0 }, q = { 0 };
    assert_int_equal(tokenizer_encode(x, text, sizeof text - 1, TOK_SPECIAL | TOK_PARSE, &p, &e), 0);
    assert_int_equal(tokenizer_encode(y, text, sizeof text - 1, TOK_SPECIAL | TOK_PARSE, &q, &e), 0);
    assert_true(p.n == q.n && p.n > 20 && !memcmp(p.id, q.id, p.n * sizeof *p.id));
    assert_int_equal(tokenizer_eos(y), 258);
    assert_true(tokenizer_is_eog(y, 256) && tokenizer_is_eog(y, 258) && !tokenizer_is_eog(y, 257));
    q.n = 0;                                 /* composed first, as the file asks: o and a combining diaeresis are one letter */
    assert_int_equal(tokenizer_encode(y, "o\xcc\x88", 3, 0, &q, &e), 0);
    assert_true(q.n == 2 && q.id[0] == 0xc3 && q.id[1] == 0xb6);
    float temp = 0;
    int64_t k = 0;
    assert_true(gguf_get_f32(b, "general.sampling.temp", &temp) && fabsf(temp - 0.7f) < 1e-6f);
    assert_true(gguf_get_i64(b, "general.sampling.top_k", &k) && k == 20);
    struct gguf_str s, want;
    assert_true(gguf_get_str(b, "tokenizer.chat_template", &s) && gguf_get_str(a, "tokenizer.chat_template", &want));
    assert_true(s.n == want.n && !memcmp(s.s, want.s, s.n));
    assert_int_equal(engine_can_run(c, &e), 0);
    ids_release(&p);
    ids_release(&q);
    tokenizer_close(x);
    tokenizer_close(y);
    gguf_close(a);
    gguf_close(b);
    gguf_close(c);
}

/* ---- what is refused ---- */

static char *read_text(const char *name, size_t *n)
{
    char path[128], *text = NULL;
    struct err e;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (os_read_file(path, 1 << 24, &text, n, &e) < 0) fail_msg("%s", e.msg);
    return text;
}

static void put(const char *name, const struct gguf_str *part, int n)
{
    FILE *f = hff_file(dir, name);
    for (int i = 0; i < n; i++) fwrite(part[i].s, 1, part[i].n, f);
    assert_int_equal(fclose(f), 0);
}

/* Opens the folder with one text of a file replaced; the error must name the file and say so. */
static void refused(const char *name, const char *from, const char *to, const char *say)
{
    size_t n_text;
    char *text = read_text(name, &n_text), *at = memmem(text, n_text, from, strlen(from));
    if (!at) fail_msg("%s has no %s", name, from);
    size_t head = (size_t)(at - text), k = strlen(from);
    put(name, (struct gguf_str[]){ { text, head }, { to, strlen(to) }, { at + k, n_text - head - k } }, 3);
    struct gguf *g;
    struct err e = { 0 };
    int rc = hf_open(&g, dir, &e);
    if (rc == 0) rc = engine_can_run(g, &e);
    gguf_close(g);
    if (rc == 0) fail_msg("%s: accepted %s", name, to);
    if (!strstr(e.msg, say) || strncmp(e.msg, dir, strlen(dir))) fail_msg("%s with %s: %s", name, to, e.msg);
    put(name, &(struct gguf_str){ text, n_text }, 1);
    mem_free(text);
}

static void what_is_not_understood_is_named(void **state)
{
    (void)state;
    struct tiny t = { .arch = "qwen3moe", .type = DT_F32, .D = 64, .H = 4, .K = 2, .E = 16, .F = 32, .experts = 3, .used = 2 };
    gguf_close(make(t, 0));
    refused("config.json", "\"hidden_size\":64", "\"hidden_size\":-1", "config.json: hidden_size is not a whole number");
    refused("config.json", "\"hidden_size\":64", "\"hidden_size\":32", "expected 32");
    refused("config.json", "\"hidden_size\":64,", "", "config.json: hidden_size is missing");
    refused("config.json", "\"num_hidden_layers\":2", "\"num_hidden_layers\":99999", "num_hidden_layers is 99999");
    refused("config.json", "\"num_hidden_layers\":2", "\"num_hidden_layers\":3", "blk.2.attn_norm.weight is missing");
    refused("config.json", "\"num_key_value_heads\":2", "\"num_key_value_heads\":3", "make no sense");
    refused("config.json", "\"num_experts\":3", "\"num_experts\":4", "has only 3 of 4 experts");
    refused("config.json", "\"num_experts\":3", "\"num_experts\":2", "expert 2 of 2");
    refused("config.json", "qwen3_moe", "qwen3", "has no use for it");
    refused("config.json", "Qwen3MoeForCausalLM\"],\"model_type\":\"qwen3_moe\"", "NewForCausalLM\"],\"model_type\":\"new\"",
            "architecture NewForCausalLM (model_type 'new') is not supported yet");
    refused("config.json", "Qwen3MoeForCausalLM", "Qwen3MoeForTokenClassification", "not one that generates text");
    refused("config.json", "\"rope_scaling\":null", "\"rope_scaling\":{\"type\":\"odd\"}", "rope scaling 'odd'");
    refused("config.json", "\"rope_scaling\":null", "\"rope_scaling\":{\"type\":\"yarn\"}", "factor is missing");
    refused("config.json", "\"norm_topk_prob\":true", "\"norm_topk_prob\":false", "norm_topk_prob");
    refused("config.json", "{", "{{", "config.json: JSON: line 1");
    refused("config.json", "\"rope_scaling\":null",
            "\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "levels");
    refused("tokenizer.json", "\\\\p{L}+|", "\\\\p{L}*|", "no splitting rule of Hearth does what this pre-tokenizer does: (?i:");
    refused("tokenizer.json", "\"type\":\"NFC\"", "\"type\":\"NFKC\"", "unsupported normalizer 'NFKC'");
    refused("tokenizer.json", "\"type\":\"BPE\"", "\"type\":\"Odd\"", "unsupported model 'Odd'");
    refused("tokenizer.json", "\"merges\":[]", "\"merges\":[3]", "tokenizer.json: line 1, column");
    refused("tokenizer.json", "\"a\":97", "\"a\":98", "two tokens have the same id");
    refused("tokenizer.json", "\"a\":97", "\"a\":1048576", "token id 1048576, the limit is");
    refused("tokenizer.json", "\"merges\":[]", "\"merges\":[", "tokenizer.json: line");
    refused("tokenizer.json", "\"single_word\":false", "\"single_word\":true", "single_word");
    refused("model.safetensors", "F32", "F64", "model.safetensors: tensor");
    refused("generation_config.json", "{", "[", "generation_config.json: JSON");
}

/* Every allocation in turn fails while a folder is opened: an error, no crash, no leak. */
static void memory_runs_out(void **state)
{
    (void)state;
    struct tiny t = { .arch = "qwen3moe", .type = DT_BF16, .D = 32, .L = 1, .H = 2, .K = 1, .E = 16, .F = 16, .experts = 2,
                      .used = 1 };
    gguf_close(make(t, HFF_SHARDS));
    int rc = ERR_NOMEM, i = 0;
    for (; rc < 0 && i < 100000; i++) {
        struct gguf *g;
        mem_fail_after(i);
        rc = hf_open(&g, dir, NULL);
        mem_fail_after(-1);
        assert_true(rc == 0 ? g != NULL : g == NULL);
        gguf_close(g);
    }
    assert_true(rc == 0 && i > 20);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(file, sizeof file, "%s.gguf", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(file);
    hf_folder_remove(dir);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_bits),  cmocka_unit_test(llama_without_permutation),
        cmocka_unit_test(same_words),  cmocka_unit_test(what_is_not_understood_is_named),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
