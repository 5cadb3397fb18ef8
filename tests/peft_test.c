/* peft_test.c - adapters as folders of PEFT and mlx-lm do what the same numbers do in a GGUF file; what is not understood is
 * named.  The names and orders are written here from those formats' conventions, not from src/format. */
#include <math.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "hearth.h"
#include "format/peft.h"
#include "tests/hf_folder.h"
#include "tests/program.h"
#include "tests/testing.h"
#include "tests/tiny_adapter.h"

enum { N_IDS = 24 };
enum { MLX = 1, MIXTRAL = 2, NESTED = 4, HOLE = 8 };

static char dir[] = "/tmp/hearth-peft-XXXXXX", folder[80], model_dir[80], file[80], lora[80];
static float got[TINY_VOCAB], want[TINY_VOCAB];

static const struct tiny kind[] = {
    { .arch = "llama", .type = DT_F32, .D = 64, .H = 4, .K = 2, .E = 16, .F = 96 },
    { .arch = "qwen3moe", .type = DT_F32, .D = 64, .H = 4, .K = 2, .E = 16, .F = 40, .experts = 5, .used = 2 },
    { .arch = "llama", .type = DT_F32, .D = 64, .H = 4, .K = 2, .E = 16, .F = 40, .experts = 4, .used = 2 },
    { .arch = "gemma3", .type = DT_F32, .D = 64, .H = 4, .K = 1, .E = 16, .F = 96, .window = 8 },
};

static struct gguf *parse(const char *path)
{
    struct gguf *g;
    struct err err;
    if (gguf_open(&g, path, &err) < 0) fail_msg("%s", err.msg);
    return g;
}

/* ---- the folder ---- */

static const struct { const char *gguf, *hf; } names[] = {
    { "attn_q", "self_attn.q_proj" }, { "attn_k", "self_attn.k_proj" }, { "attn_v", "self_attn.v_proj" },
    { "attn_output", "self_attn.o_proj" }, { "ffn_gate", "mlp.gate_proj" }, { "ffn_up", "mlp.up_proj" },
    { "ffn_down", "mlp.down_proj" }, { "ffn_gate_inp", "mlp.gate" }, { "ffn_gate_exps", "mlp.experts.%d.gate_proj" },
    { "ffn_up_exps", "mlp.experts.%d.up_proj" }, { "ffn_down_exps", "mlp.experts.%d.down_proj" },
};
static const struct { const char *gguf, *hf; } mixtral[] = {
    { "ffn_gate_inp", "block_sparse_moe.gate" }, { "ffn_gate_exps", "block_sparse_moe.experts.%d.w1" },
    { "ffn_up_exps", "block_sparse_moe.experts.%d.w3" }, { "ffn_down_exps", "block_sparse_moe.experts.%d.w2" },
};

/* The module of a tensor; e: of an expert. */
static void module_of(const char *tensor, unsigned flags, int e, char *dst, size_t n)
{
    char part[64], module[64] = "";
    unsigned l = 0;
    const char *const prefix = flags & NESTED ? "language_model.model." : "model.";
    if (!strcmp(tensor, "output.weight")) {
        snprintf(dst, n, "%slm_head", flags & NESTED ? "language_model." : "");
        return;
    }
    if (!strcmp(tensor, "token_embd.weight")) {
        snprintf(dst, n, "%sembed_tokens", prefix);
        return;
    }
    assert_int_equal(sscanf(tensor, "blk.%u.%63[a-z_]", &l, part), 2);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].gguf, part)) snprintf(module, sizeof module, names[i].hf, e);
    for (size_t i = 0; flags & MIXTRAL && i < sizeof mixtral / sizeof *mixtral; i++)
        if (!strcmp(mixtral[i].gguf, part)) snprintf(module, sizeof module, mixtral[i].hf, e);
#pragma GCC diagnostic pop
    snprintf(dst, n, "%slayers.%u.%s", prefix, l, module);
}

/* rows x cols numbers, turned if asked. */
static void add(struct hff *w, const char *name, const float *x, uint64_t rows, uint64_t cols, bool turn)
{
    struct hff_tensor *t = hff_new(w, name, "F32", (size_t)(rows * cols * 4));
    float *y = malloc(t->bytes);
    t->n_dims = 2;
    t->shape[0] = turn ? cols : rows;
    t->shape[1] = turn ? rows : cols;
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++) y[turn ? c * rows + r : r * cols + c] = x[r * cols + c];
    memcpy(t->data, y, t->bytes);
    free(y);
}

/* Rows 2i + s of each head become rows i + s * size / 2. */
static float *in_halves(const struct ta_pair *p, uint64_t E)
{
    float *y = malloc((size_t)(p->R * p->rank) * sizeof *y);
    for (uint64_t r = 0; r < p->R; r++) {
        uint64_t in = r % E, to = r - in + in / 2 + in % 2 * (E / 2);
        memcpy(y + to * p->rank, p->b + r * p->rank, p->rank * sizeof *y);
    }
    return y;
}

static void add_pair(struct hff *w, const struct ta_pair *p, unsigned flags, uint64_t halves)
{
    bool q = strstr(p->name, ".attn_q.") || strstr(p->name, ".attn_k.");
    for (int e = 0; e < (int)p->n; e++) {
        char module[128], name[192];
        const char *const before = flags & MLX ? "" : "base_model.model.";
        const float *a = p->a + (size_t)e * p->rank * p->K, *b = p->b + (size_t)e * p->rank * p->R;
        if (flags & HOLE && p->n > 1 && e == 1) continue;
        module_of(p->name, flags, e, module, sizeof module);
        snprintf(name, sizeof name, "%s%s.%s", before, module, flags & MLX ? "lora_a" : p->table ? "lora_embedding_A"
                                                                                                : "lora_A.weight");
        if (p->table) add(w, name, a, p->R, p->rank, !(flags & MLX));
        else add(w, name, a, p->rank, p->K, flags & MLX);
        snprintf(name, sizeof name, "%s%s.%s", before, module, flags & MLX ? "lora_b" : p->table ? "lora_embedding_B"
                                                                                                : "lora_B.weight");
        float *turned = q && halves ? in_halves(p, halves) : NULL;
        add(w, name, turned ? turned : b, p->table ? p->K : p->R, p->rank, flags & MLX);
        free(turned);
    }
}

static void write_folder(const struct ta *a, unsigned flags, uint64_t halves, const char *config)
{
    struct hff w = { .dir = folder, .t = calloc(4096, sizeof *w.t) };
    for (size_t i = a->n; i--;) add_pair(&w, &a->p[i], flags, halves);
    hff_save(&w, flags & MLX ? "adapters.safetensors" : "adapter_model.safetensors", 0, w.n);
    hff_text(folder, "adapter_config.json", config);
    for (size_t i = 0; i < w.n; i++) free(w.t[i].data);
    free(w.t);
}

static void clear_folder(void)
{
    static const char *const f[] = { "adapters.safetensors", "adapter_model.safetensors", "adapter_config.json" };
    char path[160];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, f[i]);
        unlink(path);
    }
}

/* ---- runs ---- */

static void run(const char *model, const char *adapter, float scale, float *out)
{
    struct hearth_model *m;
    struct hearth_adapter *l = NULL;
    struct hearth_session *s;
    struct hearth_error e;
    int32_t ids[N_IDS];
    for (int32_t i = 0; i < N_IDS; i++) ids[i] = (i * i * 7 + 5 * i + 3) % TINY_VOCAB;
    struct hearth_session_options o = { .n_ctx = 64, .kv_type = HEARTH_KV_F32 };
    int rc = hearth_model_open(&m, model, &(struct hearth_model_options){ .threads = 1 }, &e);
    if (rc == 0 && adapter) rc = hearth_adapter_open(&l, m, adapter, &e);
    if (rc == 0 && adapter) rc = hearth_model_set_adapters(m, &(struct hearth_adapter_use){ l, scale, 0, 0 }, 1, &e);
    if (rc == 0) rc = hearth_session_open(&s, m, &o, &e);
    if (rc == 0) rc = hearth_session_sync(s, ids, N_IDS, &e);
    if (rc < 0) fail_msg("%s", e.message);
    memcpy(out, hearth_session_logits(s), TINY_VOCAB * sizeof *out);
    hearth_session_close(s);
    hearth_adapter_close(l);
    hearth_model_close(m);
}

static double distance(void)
{
    double d = 0, n = 0;
    for (int i = 0; i < TINY_VOCAB; i++) {
        d += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        n += (double)want[i] * (double)want[i];
    }
    return sqrt(d / n);
}

static void same_bits(const char *what)
{
    if (memcmp(got, want, sizeof got)) fail_msg("%s: differs by %g", what, distance());
}

static struct ta make(size_t i, uint32_t rank)
{
    assert_int_equal(tiny_model(file, kind[i]), 0);
    struct gguf *g = parse(file);
    struct ta a = ta_new(g, 31 + i, rank, 8, 0.03125f);
    gguf_close(g);
    return a;
}

static const char peft_8[] = "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"target_modules\":[\"q_proj\"],\"bias\":\"none\","
                             "\"use_rslora\":false,\"use_dora\":false,\"fan_in_fan_out\":false,\"modules_to_save\":null}";

/* Every kind of matrix, experts and the embedding; Q and K of llama are permuted in GGUF only. */
static void peft_is_gguf(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct ta a = make(i, 3);
        assert_int_equal(ta_write(&a, kind[i].arch, DT_F32, lora), 0);
        run(file, lora, 0.5f, want);
        write_folder(&a, (i == 2 ? MIXTRAL : 0) | (i == 3 ? NESTED : 0), i == 0 || i == 2 ? kind[i].E : 0, peft_8);
        run(file, folder, 0.5f, got);
        same_bits(kind[i].arch);
        run(file, NULL, 0, got);
        assert_true(distance() > 0.1);
        clear_folder();
        ta_free(&a);
    }
}

/* The model as a folder, whose Q and K are not permuted. */
static void folders_of_models_too(void **state)
{
    (void)state;
    struct ta a = make(0, 3);
    struct gguf *g = parse(file);
    hf_folder(model_dir, g, HFF_PERMUTED);
    gguf_close(g);
    assert_int_equal(ta_write(&a, "llama", DT_F32, lora), 0);
    write_folder(&a, 0, kind[0].E, peft_8);
    run(file, lora, 1, want);
    run(model_dir, lora, 1, got);
    assert_true(distance() < 1e-5);
    run(model_dir, folder, 1, want);
    same_bits("llama folder");
    hf_folder_remove(model_dir);
    clear_folder();
    ta_free(&a);
}

/* Experts that nobody trained add nothing. */
static void missing_experts_are_zero(void **state)
{
    (void)state;
    struct ta a = make(1, 3);
    write_folder(&a, HOLE, 0, peft_8);
    run(file, folder, 1, got);
    for (size_t i = 0; i < a.n; i++) {
        struct ta_pair *p = &a.p[i];
        for (uint64_t k = 0; p->n > 1 && k < p->R * p->rank; k++) p->b[p->R * p->rank + k] = 0;
    }
    assert_int_equal(ta_write(&a, kind[1].arch, DT_F32, lora), 0);
    run(file, lora, 1, want);
    assert_true(distance() == 0);
    clear_folder();
    ta_free(&a);
}

/* MLX's orders, and its scale; one rank, so that it can be said as alpha, and several, where it is folded into B. */
static void mlx_is_gguf(void **state)
{
    (void)state;
    for (int folded = 0; folded < 2; folded++) {
        struct ta a = make(3, 4);
        size_t n = 0;
        for (size_t i = 0; i < a.n; i++) {
            if (!folded && a.p[i].rank != 4) free(a.p[i].a), free(a.p[i].b);
            else a.p[n++] = a.p[i];
        }
        a.n = n;
        a.alpha = 8;
        write_folder(&a, MLX, 0, "{\"fine_tune_type\":\"lora\",\"lora_parameters\":{\"rank\":4,\"scale\":2.0,\"dropout\":0.0}}");
        run(file, folder, 1, got);
        for (size_t i = 0; i < a.n; i++)                    /* scale 2 whatever the rank */
            for (uint64_t k = 0; k < (a.p[i].table ? a.p[i].K : a.p[i].R) * a.p[i].rank; k++)
                a.p[i].b[k] *= (float)a.p[i].rank / 4;
        assert_int_equal(ta_write(&a, kind[3].arch, DT_F32, lora), 0);
        run(file, lora, 1, want);
        assert_true(distance() < 1e-6);
        clear_folder();
        ta_free(&a);
    }
}

/* alpha / sqrt(rank), and an alpha of its own for some modules. */
static void scales_of_all_kinds(void **state)
{
    (void)state;
    static const char *const config[] = {
        "{\"peft_type\":\"LORA\",\"lora_alpha\":8,\"use_rslora\":true}",
        "{\"peft_type\":\"LORA\",\"lora_alpha\":8,\"alpha_pattern\":{\"down_proj\":24,\"layers.1.self_attn.v_proj\":2}}",
        "{\"peft_type\":\"LORA\",\"lora_alpha\":16,\"use_rslora\":true,\"alpha_pattern\":{\"o_proj\":4}}",
    };
    for (int c = 0; c < 3; c++) {
        struct ta a = make(0, 4);
        write_folder(&a, 0, kind[0].E, config[c]);
        run(file, folder, 1, got);
        for (size_t i = 0; i < a.n; i++) {
            struct ta_pair *p = &a.p[i];
            double alpha = c == 2 ? 16 : 8;
            if (c == 1 && strstr(p->name, "ffn_down")) alpha = 24;
            if (c == 1 && !strcmp(p->name, "blk.1.attn_v.weight")) alpha = 2;
            if (c == 2 && strstr(p->name, "attn_output")) alpha = 4;
            double scale = alpha / (c == 1 ? p->rank : sqrt(p->rank));
            for (uint64_t k = 0; k < (p->table ? p->K : p->R) * p->rank; k++) p->b[k] = (float)((double)p->b[k] * scale);
        }
        a.alpha = 0;
        assert_int_equal(ta_write(&a, "llama", DT_F32, lora), 0);
        run(file, lora, 1, want);
        if (!(distance() < 5e-6)) fail_msg("configuration %d: differs by %g", c, distance());
        clear_folder();
        ta_free(&a);
    }
}

/* ---- what is refused ---- */

static void open_fails(const char *say)
{
    struct hearth_model *m;
    struct hearth_adapter *l;
    struct hearth_error e = { 0 };
    assert_int_equal(hearth_model_open(&m, file, NULL, &e), 0);
    assert_true(hearth_adapter_open(&l, m, folder, &e) < 0);
    if (!strstr(e.message, say)) fail_msg("\"%s\" does not say \"%s\"", e.message, say);
    hearth_model_close(m);
}

static void what_is_not_understood_is_named(void **state)
{
    (void)state;
    static const struct { const char *config, *say; } bad[] = {
        { "{\"peft_type\":\"LORA\",\"lora_alpha\":8,\"use_dora\":true}", "use_dora is true" },
        { "{\"peft_type\":\"IA3\",\"lora_alpha\":8}", "peft_type is IA3" },
        { "{\"peft_type\":\"LORA\",\"lora_alpha\":8,\"bias\":\"all\"}", "bias is all" },
        { "{\"peft_type\":\"LORA\"}", "lora_alpha is missing" },
        { "{\"peft_type\":\"LORA\",\"lora_alpha\":\"8\"}", "lora_alpha is missing or no sound number" },
        { "[1]", "not a JSON object" },
        { "{\"lora", "adapter_config.json" },
        { "{\"fine_tune_type\":\"dora\",\"lora_parameters\":{\"scale\":1}}", "fine_tune_type is dora" },
    };
    static const struct { const char *name, *say; } tensor[] = {
        { "base_model.model.lm_head.weight", "'base_model.model.lm_head.weight': is no part of a LoRA" },
        { "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "is no part of a LoRA; trained biases" },
        { "base_model.model.model.layers.0.self_attn.p_proj.lora_A.weight", "has no such matrix" },
        { "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight", "2 layers) has no such matrix" },
        { "base_model.model.model.layers.0.input_layernorm.lora_A.weight", "has no such matrix" },
        { "base_model.model.model.layers.1.self_attn.o_proj.lora_A.default.weight", "name occurs twice" },
    };
    struct ta a = make(0, 4);
    write_folder(&a, 0, kind[0].E, peft_8);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hff_text(folder, "adapter_config.json", bad[i].config);
        open_fails(bad[i].say);
    }
    hff_text(folder, "adapter_config.json", peft_8);
    for (size_t i = 0; i < sizeof tensor / sizeof *tensor; i++) {
        struct hff w = { .dir = folder, .t = calloc(4096, sizeof *w.t) };
        float x[64 * 4] = { 0 };
        for (size_t k = 0; k < a.n; k++) add_pair(&w, &a.p[k], 0, 0);
        add(&w, tensor[i].name, x, 4, 64, false);
        hff_save(&w, "adapter_model.safetensors", 0, w.n);
        open_fails(tensor[i].say);
        for (size_t k = 0; k < w.n; k++) free(w.t[k].data);
        free(w.t);
    }
    clear_folder();
    ta_free(&a);
}

/* hearth convert makes a GGUF adapter that does the same. */
static void converted(void **state)
{
    (void)state;
    NEED_PROGRAM();
    for (size_t i = 0; i < 4; i++) {
        struct ta a = make(i, 3);
        write_folder(&a, (i == 2 ? MIXTRAL : 0) | (i == 3 ? NESTED : 0), i == 0 || i == 2 ? kind[i].E : 0, peft_8);
        run(file, folder, 0.5f, want);
        struct result r = PROGRAM(NULL, "convert", folder, lora, "--base", file, "--force");
        program_expect(&r, 0);
        program_free(&r);
        struct gguf *g = parse(lora);
        assert_null(gguf_find(g, PEFT_HALF_SPLIT));
        assert_true(gguf_n_tensors(g) == 2 * a.n);
        gguf_close(g);
        run(file, lora, 0.5f, got);
        same_bits(kind[i].arch);
        if (i == 0) {
            r = PROGRAM(NULL, "convert", folder, lora, "--force");
            program_expect(&r, 1);
            program_contains(r.err, "--base MODEL says for which model");
            program_free(&r);
            r = PROGRAM(NULL, "convert", file, lora, "--force", "--base", file);
            program_expect(&r, 1);
            program_contains(r.err, "is no folder with an adapter");
            program_free(&r);
        }
        clear_folder();
        ta_free(&a);
    }
}

static void memory_runs_out(void **state)
{
    (void)state;
    struct ta a = make(1, 2);
    struct hearth_model *m;
    struct hearth_error e = { 0 };
    write_folder(&a, 0, 0, peft_8);
    assert_int_equal(hearth_model_open(&m, file, &(struct hearth_model_options){ .threads = 1 }, &e), 0);
    for (int64_t n = 0;; n++) {
        struct hearth_adapter *l;
        mem_fail_after(n);
        int rc = hearth_adapter_open(&l, m, folder, &e);
        mem_fail_after(-1);
        hearth_adapter_close(l);
        if (rc == 0) break;
        if (rc != HEARTH_ENOMEM && rc != HEARTH_EFORMAT) fail_msg("%s", e.message);
        assert_true(n < 5000);
    }
    hearth_model_close(m);
    clear_folder();
    ta_free(&a);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(folder, sizeof folder, "%s/lora", dir);
    snprintf(model_dir, sizeof model_dir, "%s/model", dir);
    snprintf(file, sizeof file, "%s/model.gguf", dir);
    snprintf(lora, sizeof lora, "%s/lora.gguf", dir);
    return mkdir(folder, 0777) || mkdir(model_dir, 0777);
}

static int end(void **state)
{
    (void)state;
    unlink(file);
    unlink(lora);
    rmdir(folder);
    rmdir(model_dir);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peft_is_gguf),
        cmocka_unit_test(folders_of_models_too),
        cmocka_unit_test(missing_experts_are_zero),
        cmocka_unit_test(mlx_is_gguf),
        cmocka_unit_test(scales_of_all_kinds),
        cmocka_unit_test(what_is_not_understood_is_named),
        cmocka_unit_test(converted),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
