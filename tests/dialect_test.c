/* dialect_test.c - models rewritten into the dialect of Ollama's library, with vision tensors in the same file, compute what the
 * usual files compute, bit for bit. */
#include "base/mem.h"
#include "format/dialect.h"
#include "hearth.h"
#include "tests/program.h"
#include "tests/tiny_adapter.h"
#include "tests/tiny_arch.h"

enum { N_IDS = 40 };

static char dir[] = "/tmp/hearth-dialect-XXXXXX", usual[64], other[64], plain[64];

/* What is done to a usual file: every key and tensor passes through, but for these. */
struct rule { const char *from, *to; };           /* to NULL: it goes */
struct rewriting { const char *arch; struct rule key[8], tensor[4]; };

static const struct rewriting rewritings[] = {
    { "gptoss", { { "rope.scaling.type", NULL }, { "expert_feed_forward_length", NULL } },
      { { ".attn_output.", ".attn_out." }, { ".attn_sinks.weight", ".attn_sinks" }, { ".post_attention_norm.", ".ffn_norm." } } },
    { "olmo3", { { NULL, NULL } }, { { NULL, NULL } } },
    { "qwen25vl", { { "rope.dimension_sections", "rope.mrope_section" } }, { { NULL, NULL } } },
    { "gemma3", { { "rope.freq_base", "rope.global.freq_base" }, { "rope.freq_base_swa", "rope.local.freq_base" },
                  { "attention.layer_norm_rms_epsilon", NULL } }, { { NULL, NULL } } },
    { "gemma3", { { "rope.freq_base", NULL }, { "rope.freq_base_swa", NULL }, { "attention.layer_norm_rms_epsilon", NULL },
                  { "rope.scaling.type", NULL }, { "rope.scaling.factor", NULL } }, { { NULL, NULL } } },
    { "mistral3", { { "rope.scaling.yarn_beta_fast", "rope.scaling.beta_fast" },
                    { "rope.scaling.yarn_beta_slow", "rope.scaling.beta_slow" },
                    { "rope.scaling.yarn_log_multiplier", "rope.scaling.mscale_all_dim" },
                    { "attention.temperature_scale", "rope.scaling_beta" } }, { { NULL, NULL } } },
    { "lfm2", { { NULL, NULL } }, { { "token_embd_norm.weight", "output_norm.weight" } } },
    { "qwen3next", { { NULL, NULL } }, { { ".ssm_dt.bias", ".ssm_dt" } } },
    { "qwen35", { { NULL, NULL } }, { { ".ssm_dt.bias", ".ssm_dt" } } },
};

static struct gguf *parse(const char *path)
{
    struct gguf *g;
    struct err err;
    if (gguf_open(&g, path, &err) < 0) fail_msg("%s", err.msg);
    return g;
}

static void rewrite(const struct rewriting *r, bool vision)
{
    struct gguf *g = parse(usual);
    struct gguf_writer *w;
    struct gguf_str arch;
    static const float pixel[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    assert_true(gguf_get_str(g, "general.architecture", &arch));
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        struct gguf_kv x = *gguf_kv_at(g, i);
        const char *to = "";
        char *name = tiny_keep(calloc(200, 1));
        if (x.key.n == 20 && !memcmp(x.key.s, "general.architecture", 20)) {
            gguf_put_str(w, "general.architecture", r->arch, strlen(r->arch));
            continue;
        }
        if (x.key.n > arch.n && !memcmp(x.key.s, arch.s, arch.n) && x.key.s[arch.n] == '.') {
            char own[160];
            snprintf(own, sizeof own, "%.*s", (int)(x.key.n - arch.n - 1), x.key.s + arch.n + 1);
            to = own;
            for (int k = 0; k < 8 && r->key[k].from; k++)
                if (!strcmp(r->key[k].from, own)) to = r->key[k].to;
            if (to) snprintf(name, 200, "%s.%s", r->arch, to);
            x.key = (struct gguf_str){ name, strlen(name) };
        }
        if (to) gguf_copy_kv(w, &x);
    }
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        char *name = tiny_keep(calloc(128, 1));
        snprintf(name, 128, "%s", t->name);
        for (int k = 0; k < 4 && r->tensor[k].from; k++) {
            const char *at = strstr(t->name, r->tensor[k].from);
            if (!at) continue;
            snprintf(name, 128, "%.*s%s%s", (int)(at - t->name), t->name, r->tensor[k].to, at + strlen(r->tensor[k].from));
        }
        gguf_put_tensor(w, name, t->type, t->n_dims, t->ne, t->data);
    }
    if (vision) gguf_put_tensor(w, "v.patch_embedding.weight", DT_F32, 2, (uint64_t[]){ 4, 2 }, pixel);
    if (vision) gguf_put_tensor(w, "mm.0.bias", DT_F32, 1, (uint64_t[]){ 8 }, pixel);
    assert_int_equal(ta_finish(w, other), 0);
    gguf_close(g);
}

static void logits(const char *path, float *out)
{
    struct hearth_model *m;
    struct hearth_session *s;
    struct hearth_error e;
    int32_t ids[N_IDS];
    for (int32_t i = 0; i < N_IDS; i++) ids[i] = (i * i * 7 + 5 * i + 3) % TINY_VOCAB;
    int rc = hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 1 }, &e);
    if (rc == 0) rc = hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 64 }, &e);
    if (rc == 0) rc = hearth_session_sync(s, ids, N_IDS, &e);
    if (rc < 0) fail_msg("%s", e.message);
    memcpy(out, hearth_session_logits(s), TINY_VOCAB * sizeof *out);
    hearth_session_close(s);
    hearth_model_close(m);
}

/* The small model at `plain`, with further keys, becomes the usual file. */
struct number { const char *key; float v; };
struct more { const struct number *f; size_t n; uint32_t n_ctx; const char *type; };

static void add_keys(const char *arch, struct more more)
{
    const struct number *f = more.f;
    const size_t n = more.n;
    struct gguf *g = parse(plain);
    struct gguf_writer *w;
    char name[96];
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    snprintf(name, sizeof name, "%s.context_length", arch);
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        bool given = more.n_ctx && kv->key.n == strlen(name) && !memcmp(kv->key.s, name, kv->key.n);
        for (size_t k = 0; k < n; k++) {
            char own[96];
            snprintf(own, sizeof own, "%s.%s", arch, f[k].key);
            given = given || (kv->key.n == strlen(own) && !memcmp(kv->key.s, own, kv->key.n));
        }
        if (!given) gguf_copy_kv(w, kv);
    }
    if (more.n_ctx) gguf_put_u32(w, tiny_keep(strdup(name)), more.n_ctx);
    for (size_t k = 0; k < n; k++) {
        snprintf(name, sizeof name, "%s.%s", arch, f[k].key);
        gguf_put_f32(w, tiny_keep(strdup(name)), f[k].v);
    }
    snprintf(name, sizeof name, "%s.rope.scaling.type", arch);
    if (more.type) gguf_put_str(w, tiny_keep(strdup(name)), more.type, strlen(more.type));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
    }
    assert_int_equal(ta_finish(w, usual), 0);
    gguf_close(g);
}

static void write_any(struct tiny_any a, const char *path)
{
    struct buf b = { 0 };
    assert_int_equal(tiny_any_bytes(&b, &a), 0);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
    assert_int_equal(fclose(f), 0);
    buf_release(&b);
}

static void write_usual(size_t i)
{
    static const struct number gemma[] = { { "rope.freq_base", 1e6f }, { "rope.freq_base_swa", 1e4f },
                           { "attention.layer_norm_rms_epsilon", 1e-6f }, { "rope.scaling.factor", 8 } };
    static const struct number mistral[] = { { "rope.scaling.factor", 8 }, { "rope.scaling.yarn_beta_fast", 24 },
                             { "rope.scaling.yarn_beta_slow", 2 }, { "rope.scaling.yarn_log_multiplier", 0.7f },
                             { "attention.temperature_scale", 0.3f } };
    struct tiny t = { .D = 64, .H = 4, .K = 2, .E = 16, .F = 48, .type = DT_F32, .arch = rewritings[i].arch };
    switch (i) {
    case 0:
        t.arch = "gpt-oss";
        write_any((struct tiny_any){ .t = { .arch = t.arch, .type = DT_Q8_0, .D = 64, .L = 2, .H = 4, .K = 2, .E = 16, .F = 64,
                                            .experts = 4, .used = 2, .window = 16 }, .Fe = 32, .bias = true }, usual);
        return;
    case 1:
        write_any((struct tiny_any){ .t = { .arch = "olmo2", .type = DT_Q8_0, .D = 64, .L = 4, .H = 4, .K = 2, .E = 16, .F = 64,
                                            .window = 16 } }, usual);
        return;
    case 2:
        write_any((struct tiny_any){ .t = { .arch = "qwen2vl", .type = DT_Q8_0, .D = 64, .L = 2, .H = 4, .K = 2, .E = 16,
                                            .F = 64 }, .bias = true }, usual);
        return;
    case 3:
    case 4:
        t.L = 7;
        t.window = 16;
        assert_int_equal(tiny_model(plain, t), 0);
        add_keys(t.arch, i == 3 ? (struct more){ gemma, 3, 0, NULL } : (struct more){ gemma, 4, 131072, "linear" });
        return;
    case 5:
        assert_int_equal(tiny_model(plain, t), 0);
        add_keys(t.arch, (struct more){ mistral, 5, 0, "yarn" });
        return;
    case 6: t.L = 3; break;
    case 7: t.experts = 4, t.used = 2; /* fall through */
    default: t.L = 4, t.E = 64, t.H = 4, t.K = 2; break;
    }
    assert_int_equal(tiny_model(usual, t), 0);
}

static void the_same_bits(void **state)
{
    (void)state;
    static float want[TINY_VOCAB], got[TINY_VOCAB];
    for (size_t i = 0; i < sizeof rewritings / sizeof *rewritings; i++)
        for (int vision = i == 4; vision < 2; vision++) {       /* case 4 has no other mark */
            write_usual(i);
            rewrite(&rewritings[i], vision);
            logits(usual, want);
            logits(other, got);
            if (memcmp(want, got, sizeof got)) fail_msg("%s (case %zu): other bits", rewritings[i].arch, i);
        }
}

/* EmbeddingGemma is called gemma3 there. */
static void embeddings_too(void **state)
{
    (void)state;
    struct tiny t = { .arch = "gemma-embedding", .type = DT_F32, .D = 64, .F = 80, .E = 16, .L = 3, .window = 20 };
    static const struct number f[] = { { "rope.freq_base", 1e6f }, { "rope.freq_base_swa", 1e4f },
                                       { "attention.layer_norm_rms_epsilon", 1e-6f } };
    static float dense[2][64 * 64];
    uint64_t seed = 3;
    int32_t ids[20];
    float x[2][64];
    assert_int_equal(tiny_model(plain, t), 0);
    for (int i = 0; i < 64 * 64; i++) dense[0][i] = tiny_random(&seed), dense[1][i] = tiny_random(&seed);
    for (int32_t i = 0; i < 20; i++) ids[i] = 7 * i;
    for (int k = 0; k < 2; k++) {
        add_keys(t.arch, (struct more){ f, 3, 0, NULL });
        struct gguf *g = parse(usual);
        struct gguf_writer *w;
        assert_int_equal(gguf_writer_open(&w, NULL), 0);
        for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(w, gguf_kv_at(g, i));
        for (size_t i = 0; i < gguf_n_tensors(g); i++) {
            const struct gguf_tensor *y = gguf_tensor_at(g, i);
            gguf_put_tensor(w, y->name, y->type, y->n_dims, y->ne, y->data);
        }
        gguf_put_tensor(w, "dense_2.weight", DT_F32, 2, (uint64_t[]){ 64, 64 }, dense[0]);
        gguf_put_tensor(w, "dense_3.weight", DT_F32, 2, (uint64_t[]){ 64, 64 }, dense[1]);
        assert_int_equal(gguf_writer_save(w, plain, NULL), 0);
        gguf_writer_close(w);
        gguf_close(g);
        assert_int_equal(rename(plain, usual), 0);
        assert_int_equal(tiny_model(plain, t), 0);
        rewrite(&(struct rewriting){ "gemma3", { { "rope.freq_base", NULL }, { "rope.freq_base_swa", NULL } },
                                     { { "dense_2.", "dense.0." }, { "dense_3.", "dense.1." }, { "output_norm.", "norm." } } },
                k == 1);
        for (int j = 0; j < 2; j++) {
            struct hearth_model *m;
            struct hearth_error e;
            if (hearth_model_open(&m, j ? other : usual, NULL, &e) < 0) fail_msg("%s", e.message);
            assert_int_equal(hearth_embed(m, &(struct hearth_embed_item){ ids, 20, 0, x[j] }, 1, NULL, &e), 0);
            hearth_model_close(m);
        }
        assert_memory_equal(x[0], x[1], sizeof x[0]);
    }
}

/* A usual file stays itself; what was left out is said. */
static void only_the_dialect_is_touched(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct err err;
    write_usual(3);
    struct gguf *g = parse(usual), *same = g;
    assert_int_equal(dialect_translate(&g, &err), 0);
    assert_ptr_equal(g, same);
    gguf_close(g);
    rewrite(&rewritings[3], true);
    g = same = parse(other);
    assert_int_equal(dialect_translate(&g, &err), 0);
    assert_ptr_not_equal(g, same);
    uint32_t n = 0;
    assert_true(gguf_get_u32(g, DIALECT_IGNORED, &n));
    assert_int_equal(n, 2);
    assert_null(gguf_tensor(g, "mm.0.bias"));
    gguf_close(g);
    struct result r = PROGRAM(NULL, "inspect", other, "--summary");
    program_expect(&r, 0);
    program_contains(r.out, "left out       2 tensors");
    program_contains(r.out, "GGUF version 3");
    program_free(&r);
}

static void memory_runs_out(void **state)
{
    (void)state;
    write_usual(0);
    rewrite(&rewritings[0], true);
    for (int64_t n = 0;; n++) {
        struct err err = { 0 };
        struct gguf *g = parse(other);
        mem_fail_after(n);
        int rc = dialect_translate(&g, &err);
        mem_fail_after(-1);
        if (rc < 0) assert_null(g);
        gguf_close(g);
        if (rc == 0) break;
        assert_int_equal(rc, ERR_NOMEM);
        assert_true(n < 2000);
    }
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(usual, sizeof usual, "%s/usual.gguf", dir);
    snprintf(other, sizeof other, "%s/other.gguf", dir);
    snprintf(plain, sizeof plain, "%s/plain.gguf", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(usual);
    unlink(other);
    unlink(plain);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(embeddings_too),
        cmocka_unit_test(only_the_dialect_is_touched),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
