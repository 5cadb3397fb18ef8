/* hf_family_test.c - folders of further families compute what their GGUF files compute, and what published configurations say and
 * leave out is understood.  The names and orders here are written from the checkpoints' conventions. */
#define _GNU_SOURCE
#include "tests/hf_folder.h"

#include <math.h>
#include <sys/stat.h>

#include "format/hf.h"
#include "engine/engine.h"
#include "tests/testing.h"
#include "tests/tiny_arch.h"

enum { N_IDS = 40 };

static char dir[] = "/tmp/hearth-hff-XXXXXX", file[64], dense[2][96];

static struct gguf *open_file(const char *path)
{
    struct gguf *g;
    struct err e;
    if (model_file_open(&g, path, &e) < 0) fail_msg("%s", e.msg);
    return g;
}

static void logits(const char *path, float *out)
{
    int32_t ids[N_IDS];
    struct hearth_model *m;
    struct hearth_session *s;
    struct hearth_error e;
    for (int i = 0; i < N_IDS; i++) ids[i] = (i * i * 7 + i * 13 + 5) % TINY_VOCAB;
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 2 }, &e) < 0) fail_msg("%s", e.message);
    if (hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 64, .kv_type = HEARTH_KV_F32 }, &e) < 0 ||
        hearth_session_sync(s, ids, N_IDS, &e) < 0) fail_msg("%s", e.message);
    memcpy(out, hearth_session_logits(s), TINY_VOCAB * sizeof *out);
    hearth_session_close(s);
    hearth_model_close(m);
}

/* What the head for guesses says behind the text. */
static void head_logits(const char *path, float *out)
{
    struct hearth_model *m;
    struct hearth_session *s;
    struct hearth_error e;
    struct err err;
    const int32_t ids[4] = { 3, 1, 4, 1 };
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 1 }, &e) < 0) fail_msg("%s", e.message);
    assert_true(engine_guesses(m));
    if (hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 64, .kv_type = HEARTH_KV_F32 }, &e) < 0 ||
        hearth_session_sync(s, ids, 4, &e) < 0) fail_msg("%s", e.message);
    struct ahead_item it = { .q = &s->q, .adapt = &s->adaption.set, .token = 5, .logits = out };
    lock_take(&m->lock);
    int rc = engine_guess(m, &it, 1, &err);
    lock_give(&m->lock);
    if (rc < 0) fail_msg("%s", err.msg);
    hearth_session_close(s);
    hearth_model_close(m);
}

static void same_head(void)
{
    static float a[TINY_VOCAB], b[TINY_VOCAB];
    head_logits(file, a);
    head_logits(dir, b);
    assert_memory_equal(a, b, sizeof a);
}

static void same_logits(const char *what, double bound)
{
    static float a[TINY_VOCAB], b[TINY_VOCAB];
    double most = 0, large = 0;
    logits(file, a);
    logits(dir, b);
    for (size_t i = 0; i < TINY_VOCAB; i++) {
        assert_true(a[i] - a[i] == 0 && b[i] - b[i] == 0);
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        large = fmax(large, fabs((double)a[i]));
    }
    assert_true(large > 0.01);
    if (most > bound * large) fail_msg("%s: differs by %g of %g", what, most, large);
}

/* ---- folders of models of any architecture ---- */

struct names { const char *gguf, *hf; };

/* Parts whose ".weight" and ".bias" stay; the first that fits counts, so that a family's own stand before these. */
static const struct names common[] = {
    { "attn_norm", "input_layernorm" }, { "ffn_norm", "post_attention_layernorm" },
    { "post_attention_norm", "post_attention_layernorm" }, { "post_ffw_norm", "post_feedforward_layernorm" },
    { "attn_q", "self_attn.q_proj" }, { "attn_k", "self_attn.k_proj" }, { "attn_v", "self_attn.v_proj" },
    { "attn_output", "self_attn.o_proj" }, { "attn_q_norm", "self_attn.q_norm" }, { "attn_k_norm", "self_attn.k_norm" },
    { "ffn_gate", "mlp.gate_proj" }, { "ffn_up", "mlp.up_proj" }, { "ffn_down", "mlp.down_proj" }, { "ffn_gate_inp", "mlp.gate" },
    { "ffn_gate_shexp", "mlp.shared_experts.gate_proj" }, { "ffn_up_shexp", "mlp.shared_experts.up_proj" },
    { "ffn_down_shexp", "mlp.shared_experts.down_proj" }, { "attn_q_a", "self_attn.q_a_proj" },
    { "attn_q_a_norm", "self_attn.q_a_layernorm" }, { "attn_q_b", "self_attn.q_b_proj" },
    { "attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa" }, { "attn_kv_a_norm", "self_attn.kv_a_layernorm" },
    { "nextn.eh_proj", "eh_proj" }, { "nextn.enorm", "enorm" }, { "nextn.hnorm", "hnorm" },
    { "nextn.embed_tokens", "embed_tokens" }, { "nextn.shared_head_norm", "shared_head.norm" },
    { "nextn.shared_head_head", "shared_head.head" },
};

static const struct family {
    const char *type, *class, *config;
    struct names own[8];
    double bound;
    struct tiny_any a;
} family[] = {
#define SHAPE(name) .arch = name, .type = DT_F32, .D = 64, .L = 3, .H = 4, .K = 2, .E = 16, .F = 96
    { "starcoder2", "Starcoder2ForCausalLM", "\"norm_epsilon\":1e-05,\"norm_type\":\"layer_norm\",\"mlp_type\":\"default\","
      "\"use_bias\":true,\"hidden_act\":\"gelu_pytorch_tanh\",\"sliding_window\":16",
      { { "ffn_up", "mlp.c_fc" }, { "ffn_down", "mlp.c_proj" } }, 0,
      { .t = { SHAPE("starcoder2"), .window = 16 }, .bias = true } },
    { "phi", "PhiForCausalLM", "\"layer_norm_eps\":1e-05,\"hidden_act\":\"gelu_new\",\"qk_layernorm\":false,"
      "\"partial_rotary_factor\":0.5",
      { { "attn_output", "self_attn.dense" }, { "ffn_up", "mlp.fc1" }, { "ffn_down", "mlp.fc2" } }, 0,
      { .t = { SHAPE("phi2") }, .rot = 8, .bias = true } },
    { "seed_oss", "SeedOssForCausalLM", "\"attention_bias\":true,\"attention_out_bias\":false", { { 0 } }, 0,
      { .t = { SHAPE("seed_oss") }, .bias = true } },
    { "olmoe", "OlmoeForCausalLM", "\"norm_topk_prob\":false,\"clip_qkv\":null,\"num_experts\":5,\"num_experts_per_tok\":2",
      { { 0 } }, 0, { .t = { SHAPE("olmoe"), .experts = 5, .used = 2 }, .Fe = 96 } },
    { "dots1", "Dots1ForCausalLM", "\"norm_topk_prob\":true,\"n_routed_experts\":5,\"num_experts_per_tok\":2,"
      "\"scoring_func\":\"noaux_tc\",\"topk_method\":\"noaux_tc\",\"n_group\":1,\"topk_group\":1,\"n_shared_experts\":2,"
      "\"first_k_dense_replace\":1,\"moe_intermediate_size\":24,\"routed_scaling_factor\":1.0",
      { { 0 } }, 0, { .t = { SHAPE("dots1"), .experts = 5, .used = 2 }, .Fe = 24, .shared = 48, .dense = 1 } },
    { "ernie4_5", "Ernie4_5ForCausalLM", "\"use_bias\":false", { { 0 } }, 0, { .t = { SHAPE("ernie4_5") }, .tied = true } },
    { "exaone4", "Exaone4ForCausalLM", "\"sliding_window\":9,\"sliding_window_pattern\":\"LLLG\",\"rope_scaling\":null",
      { { 0 } }, 0,
      { .t = { SHAPE("exaone4"), .window = 9 } } },
    { "hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", "\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":1.0,\"alpha\":1.0}",
      { { "attn_q_norm", "self_attn.query_layernorm" }, { "attn_k_norm", "self_attn.key_layernorm" } }, 0,
      { .t = { SHAPE("hunyuan-dense") }, .tied = true } },
    { "cohere", "CohereForCausalLM", "\"logit_scale\":0.5,\"use_qk_norm\":false,\"layer_norm_eps\":1e-05", { { 0 } }, 0,
      { .t = { SHAPE("command-r") }, .tied = true } },
    { "glm", "GlmForCausalLM", "\"partial_rotary_factor\":0.5,\"attention_bias\":true", { { "ffn_up", "mlp.gate_up_proj" } }, 0,
      { .t = { SHAPE("chatglm") }, .rot = 8 } },
    { "granitemoehybrid", "GraniteMoeHybridForCausalLM", "\"shared_intermediate_size\":96,\"num_local_experts\":0,"
      "\"position_embedding_type\":\"rope\",\"layer_types\":[\"attention\",\"attention\",\"attention\"],"
      "\"logits_scaling\":3.0,\"residual_multiplier\":0.4,\"embedding_multiplier\":2.0,\"attention_multiplier\":0.1",
      { { "ffn_down", "shared_mlp.output_linear" }, { "ffn_gate", "" }, { "ffn_up", "" } }, 3e-6,
      { .t = { SHAPE("granite") }, .tied = true } },
    { "deepseek_v3", "DeepseekV3ForCausalLM", "\"q_lora_rank\":24,\"kv_lora_rank\":32,\"qk_nope_head_dim\":8,"
      "\"qk_rope_head_dim\":8,\"v_head_dim\":20,\"n_routed_experts\":6,\"num_experts_per_tok\":2,\"n_group\":3,\"topk_group\":2,"
      "\"scoring_func\":\"sigmoid\",\"topk_method\":\"noaux_tc\",\"norm_topk_prob\":true,\"n_shared_experts\":1,"
      "\"first_k_dense_replace\":1,\"moe_intermediate_size\":24,\"routed_scaling_factor\":1.5,"
      "\"rope_scaling\":{\"type\":\"yarn\","
      "\"factor\":8,\"original_max_position_embeddings\":32,\"mscale\":1.0,\"mscale_all_dim\":1.0,\"beta_fast\":32,"
      "\"beta_slow\":1}",
      { { "attn_k_b", "self_attn.embed_q" }, { "attn_v_b", "self_attn.unembed_out" } }, 0,
      { .t = { SHAPE("deepseek2"), .experts = 6, .used = 2 }, .split = true, .q_rank = 24, .kv_rank = 32, .pe = 8, .Ev = 20,
        .Fe = 24, .shared = 24, .dense = 1, .groups = 3, .groups_used = 2, .nextn = 1, .next = NEXT_OWN } },
    { "gpt_oss", "GptOssForCausalLM", "\"num_local_experts\":4,\"num_experts_per_tok\":2,\"sliding_window\":9,\"rope_scaling\":{"
      "\"rope_type\":\"yarn\",\"factor\":8,\"original_max_position_embeddings\":32,\"beta_fast\":32,\"beta_slow\":1,"
      "\"truncate\":false},\"attention_bias\":true",
      { { "ffn_gate_inp", "mlp.router" }, { "ffn_gate_exps", "mlp.experts.gate_proj" }, { "ffn_up_exps", "mlp.experts.up_proj" },
        { "ffn_down_exps", "mlp.experts.down_proj" }, { "attn_sinks", "self_attn.sinks" } }, 0,
      { .t = { SHAPE("gpt-oss"), .experts = 4, .used = 2, .window = 9 }, .Fe = 96, .bias = true } },
};
enum { N_FAMILIES = sizeof family / sizeof *family };

static const char *module_of(const struct family *f, const char *part, size_t n)
{
    for (size_t i = 0; i < 8 && f->own[i].gguf; i++)
        if (strlen(f->own[i].gguf) == n && !strncmp(f->own[i].gguf, part, n)) return f->own[i].hf;
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (strlen(common[i].gguf) == n && !strncmp(common[i].gguf, part, n)) return common[i].hf;
    return NULL;
}

/* Rows [from, to) of a matrix or vector of the file. */
static void put_rows(struct hff *w, const char *name, const struct gguf_tensor *g, uint64_t from, uint64_t to)
{
    uint64_t rows = g->n_dims > 1 ? g->ne[1] : g->ne[0], row = g->bytes / rows;
    struct hff_tensor *t = hff_new(w, name, hff_dtype(g->type), (size_t)((to - from) * row));
    memcpy(t->data, g->data + from * row, t->bytes);
    t->n_dims = (int)g->n_dims;
    t->shape[0] = to - from;
    t->shape[1] = g->ne[0];
}

static void put_qkv(struct hff *w, const struct tiny *t, uint32_t l, const char *suffix, const struct gguf_tensor *g)
{
    static const char *const part[] = { "q_proj", "k_proj", "v_proj" };
    uint64_t n[3] = { t->H * t->E, t->K * t->E, t->K * t->E }, at = 0;
    for (int i = 0; i < 3; at += n[i++]) {
        char name[128];
        snprintf(name, sizeof name, "model.layers.%u.self_attn.%s%s", l, part[i], suffix);
        put_rows(w, name, g, at, at + n[i]);
    }
}

static void put_layer_tensor(struct hff *w, const struct family *f, const struct gguf_tensor *g)
{
    uint32_t l = (uint32_t)strtoul(g->name + 4, NULL, 10);
    const char *part = strchr(g->name + 4, '.') + 1, *suffix = strrchr(part, '.');
    size_t n = (size_t)(suffix - part);
    const char *to = module_of(f, part, n);
    char name[160], layer[64];
    snprintf(layer, sizeof layer, "model.layers.%u.", l);
    if (!strcmp(part, "exp_probs_b.bias")) snprintf(name, sizeof name, "%smlp.gate.e_score_correction_bias", layer);
    else if (!strncmp(part, "attn_qkv.", 9)) {
        put_qkv(w, &f->a.t, l, suffix, g);
        return;
    } else if (!to && g->n_dims == 3) {
        hff_experts(w, layer, g, strstr(part, "gate") ? 0 : strstr(part, "up") ? 1 : 2);
        return;
    } else if (to && !*to) {
        if (!strstr(part, "gate")) return;                 /* gate and up in one */
        char up[64];
        snprintf(up, sizeof up, "blk.%u.ffn_up.weight", l);
        const struct gguf_tensor *x[2] = { g, gguf_tensor(w->g, up) };
        snprintf(name, sizeof name, "%sshared_mlp.input_linear.weight", layer);
        hff_join(w, name, x, 2);
        return;
    } else snprintf(name, sizeof name, "%s%s%s", layer, to, strstr(to, "sinks") ? "" : suffix);
    if (!to && g->n_dims == 3) fail_msg("%s has no name", g->name);
    hff_copy(w, name, g);
}

static void write_folder(const struct gguf *g, const struct family *f)
{
    struct hff w = { .dir = dir, .g = g, .flags = f->bound > 0 ? HFF_PERMUTED : 0, .t = calloc(4096, sizeof *w.t) };
    const struct tiny *t = &f->a.t;
    const char *norm = !strcmp(f->type, "phi") ? "model.final_layernorm" : "model.norm";
    char name[96], config[2048];
    hf_folder_remove(dir);
    snprintf(w.arch, sizeof w.arch, "%s", t->arch);
    for (size_t i = 0; i < gguf_n_tensors(g); i++)
        if (!strncmp(gguf_tensor_at(g, i)->name, "blk.", 4)) put_layer_tensor(&w, f, gguf_tensor_at(g, i));
    hff_copy(&w, "model.embed_tokens.weight", gguf_tensor(g, "token_embd.weight"));
    snprintf(name, sizeof name, "%s.weight", norm);
    hff_copy(&w, name, gguf_tensor(g, "output_norm.weight"));
    snprintf(name, sizeof name, "%s.bias", norm);
    if (gguf_tensor(g, "output_norm.bias")) hff_copy(&w, name, gguf_tensor(g, "output_norm.bias"));
    if (!f->a.tied) hff_copy(&w, "lm_head.weight", gguf_tensor(g, "output.weight"));
    if (gguf_tensor(g, "output.bias")) hff_copy(&w, "lm_head.bias", gguf_tensor(g, "output.bias"));
    hff_save_all(&w);
    snprintf(config, sizeof config,
             "{\"architectures\":[\"%s\"],\"model_type\":\"%s\",\"hidden_size\":%u,\"num_hidden_layers\":%u,"
             "\"num_attention_heads\":%u,\"num_key_value_heads\":%u,\"head_dim\":%u,\"intermediate_size\":%u,\"vocab_size\":%d,"
             "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-05,\"rope_theta\":10000.0,\"tie_word_embeddings\":%s,"
             "\"torch_dtype\":\"float32\",%s}\n", f->class, f->type, t->D, t->L - f->a.nextn, t->H, t->K, t->E, t->F, TINY_VOCAB,
             f->a.tied ? "true" : "false", f->config);
    hff_text(dir, "config.json", config);
    hff_tokenizer(&w);
    for (size_t i = 0; i < w.n; i++) free(w.t[i].data);
    free(w.t);
}

static void folders_of_families(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        struct tiny_any a = family[i].a;
        struct buf b = { 0 };
        assert_int_equal(tiny_any_bytes(&b, &a), 0);
        FILE *f = fopen(file, "wb");
        fwrite(b.data, 1, b.len, f);
        assert_int_equal(fclose(f), 0);
        buf_release(&b);
        struct gguf *g = open_file(file);
        write_folder(g, &family[i]);
        gguf_close(g);
        same_logits(family[i].type, family[i].bound);
        if (family[i].a.next) same_head();
    }
}

/* ---- configurations as they are published ---- */

/* Keys of a folder without weights. */
static void expect_keys(const char *config, const char *arch, const struct names *want, size_t n)
{
    hff_text(dir, "config.json", config);
    struct gguf *g = open_file(dir);
    struct gguf_str s;
    assert_true(gguf_get_str(g, "general.architecture", &s) && s.n == strlen(arch) && !memcmp(s.s, arch, s.n));
    for (size_t i = 0; i < n; i++) {
        char key[96];
        float v = -1;
        snprintf(key, sizeof key, "%s.%s", arch, want[i].gguf);
        const struct gguf_kv *kv = gguf_find(g, key);
        if (!want[i].hf) {
            if (kv) fail_msg("%s is there", key);
            continue;
        }
        if (!kv || !gguf_item_f32(kv, 0, &v) || fabs((double)v - atof(want[i].hf)) > 1e-6 * fabs((double)v))
            fail_msg("%s is %g, not %s: %s", key, (double)v, want[i].hf, config);
    }
    gguf_close(g);
}
#define EXPECT_KEYS(config, arch, ...) \
    expect_keys(config, arch, (const struct names[]){ __VA_ARGS__ }, \
                sizeof((const struct names[]){ __VA_ARGS__ }) / sizeof(struct names))

static void published_configurations(void **state)
{
    (void)state;
    struct gguf *g;
    struct err e = { 0 };
    hf_folder_remove(dir);
    assert_int_equal(tiny_model(file, (struct tiny){ .arch = "llama", .type = DT_F32, .D = 32, .H = 2, .K = 1, .E = 16,
                                                     .F = 32 }), 0);
    g = open_file(file);
    struct hff w = { .dir = dir, .g = g };
    hff_tokenizer(&w);
    gguf_close(g);
    /* a text model inside another says only what its class does not */
    EXPECT_KEYS("{\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"boi_token_index\":255999,\"eos_token_id\":[1,106],"
                "\"model_type\":\"gemma3\",\"text_config\":{\"hidden_size\":2560,\"intermediate_size\":10240,"
                "\"model_type\":\"gemma3_text\",\"num_hidden_layers\":34,\"rope_scaling\":{\"factor\":8.0,"
                "\"rope_type\":\"linear\"},"
                "\"sliding_window\":1024},\"torch_dtype\":\"bfloat16\",\"vision_config\":{\"hidden_size\":1152}}", "gemma3",
                { "attention.head_count", "8" }, { "attention.head_count_kv", "4" }, { "attention.key_length", "256" },
                { "attention.sliding_window", "1024" }, { "context_length", "131072" }, { "rope.freq_base", "1000000" },
                { "rope.freq_base_swa", "10000" }, { "rope.scaling.factor", "8" }, { "attention.scale", "0.0625" });
    EXPECT_KEYS("{\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"model_type\":\"gemma3\","
                "\"text_config\":{\"head_dim\":128,"
                "\"hidden_size\":5376,\"intermediate_size\":21504,\"model_type\":\"gemma3_text\",\"num_attention_heads\":32,"
                "\"num_hidden_layers\":62,\"num_key_value_heads\":16,\"query_pre_attn_scalar\":168,\"rope_parameters\":{"
                "\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8.0,\"rope_theta\":1000000.0},\"sliding_attention\":{"
                "\"rope_type\":\"default\",\"rope_theta\":10000.0}},\"sliding_window\":1024}}", "gemma3",
                { "attention.head_count", "32" }, { "rope.scaling.factor", "8" }, { "attention.scale", "0.0771517" });
    EXPECT_KEYS("{\"architectures\":[\"MultiModalityCausalLM\"],\"model_type\":\"multi_modality\",\"language_config\":{"
                "\"max_position_embeddings\":16384,\"model_type\":\"llama\",\"num_hidden_layers\":30,"
                "\"torch_dtype\":\"bfloat16\","
                "\"vocab_size\":102400},\"vision_config\":{\"cls\":\"CLIPVisionTower\"}}", "llama", { "embedding_length",
                        "4096" },
                { "feed_forward_length", "11008" }, { "attention.head_count_kv",
                                                      "32" }, { "attention.layer_norm_rms_epsilon", "1e-6" });
    EXPECT_KEYS("{\"architectures\":[\"LlavaForConditionalGeneration\"],\"model_type\":\"llava\",\"text_config\":{"
                "\"hidden_size\":5120,\"head_dim\":128,\"intermediate_size\":14336,\"max_position_embeddings\":1024000,"
                "\"model_type\":\"mistral\",\"num_hidden_layers\":40,\"rms_norm_eps\":1e-05,\"rope_theta\":1000000000.0,"
                "\"sliding_window\":null,\"vocab_size\":131072}}", "llama", { "attention.head_count", "32" },
                { "attention.head_count_kv", "8" }, { "attention.sliding_window", NULL }, { "rope.freq_base", "1e9" });
    EXPECT_KEYS("{\"architectures\":[\"Qwen2_5_VLForConditionalGeneration\"],\"model_type\":\"qwen2_5_vl\",\"hidden_size\":2048,"
                "\"intermediate_size\":11008,\"num_attention_heads\":16,\"num_hidden_layers\":36,\"num_key_value_heads\":2,"
                "\"rope_scaling\":{\"type\":\"mrope\",\"mrope_section\":[16,24,24]},\"rope_theta\":1000000.0,"
                "\"use_sliding_window\":false,\"sliding_window\":32768,\"tie_word_embeddings\":true}", "qwen2",
                { "attention.sliding_window", NULL }, { "rope.scaling.factor", NULL }, { "attention.key_length", "128" });
    EXPECT_KEYS("{\"architectures\":[\"HunYuanDenseV1ForCausalLM\"],\"model_type\":\"hunyuan_v1_dense\",\"hidden_size\":4096,"
                "\"head_dim\":128,\"intermediate_size\":14336,\"num_attention_heads\":32,\"num_hidden_layers\":32,"
                "\"num_key_value_heads\":8,\"rope_scaling\":{\"alpha\":1000.0,\"factor\":1.0,\"type\":\"dynamic\"},"
                "\"rope_theta\":10000.0}", "hunyuan-dense", { "rope.freq_base", "11158839.9" });
    EXPECT_KEYS("{\"architectures\":[\"GraniteMoeHybridForCausalLM\"],\"model_type\":\"granitemoehybrid\",\"hidden_size\":2560,"
                "\"intermediate_size\":8192,\"shared_intermediate_size\":8192,\"num_attention_heads\":40,\"num_hidden_layers\":1,"
                "\"num_key_value_heads\":8,\"num_local_experts\":0,\"layer_types\":[\"attention\"],"
                "\"position_embedding_type\":\"nope\"}", "granite", { "rope.scaling.finetuned", "0" });
    static const struct { const char *config, *say; } bad[] = {
        { "{\"architectures\":[\"Gemma3nForConditionalGeneration\"],\"model_type\":\"gemma3n\",\"text_config\":{\"model_type\":"
          "\"gemma3n_text\"}}", "architecture Gemma3nForConditionalGeneration (model_type 'gemma3n_text') is not supported yet" },
        { "{\"architectures\":[\"GraniteMoeHybridForCausalLM\"],\"model_type\":\"granitemoehybrid\",\"hidden_size\":64,"
          "\"shared_intermediate_size\":64,\"num_attention_heads\":4,\"num_hidden_layers\":2,\"layer_types\":[\"mamba\","
          "\"attention\"]}",
          "recurrent layers" },
        { "{\"architectures\":[\"CohereForCausalLM\"],\"model_type\":\"cohere\",\"hidden_size\":64,\"intermediate_size\":64,"
          "\"num_attention_heads\":4,\"num_hidden_layers\":2,\"use_qk_norm\":true}", "use_qk_norm" },
        { "{\"architectures\":[\"Exaone4ForCausalLM\"],\"model_type\":\"exaone4\",\"hidden_size\":64,\"intermediate_size\":64,"
          "\"num_attention_heads\":4,\"num_hidden_layers\":4,\"sliding_window\":8,\"sliding_window_pattern\":\"LGLG\"}",
          "this sliding_window_pattern" },
        { "{\"architectures\":[\"OlmoeForCausalLM\"],\"model_type\":\"olmoe\",\"hidden_size\":64,\"intermediate_size\":64,"
          "\"num_attention_heads\":4,\"num_hidden_layers\":2,\"num_experts\":2,\"clip_qkv\":8.0}", "clip_qkv" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hff_text(dir, "config.json", bad[i].config);
        assert_int_equal(hf_open(&g, dir, &e), ERR_UNSUPPORTED);
        if (!strstr(e.msg, bad[i].say)) fail_msg("%s", e.msg);
    }
}

/* Weights in a form that is not read are no vocabulary. */
static void weights_that_are_not_read(void **state)
{
    (void)state;
    static const struct { const char *name, *say; } row[] = {
        { "pytorch_model.bin", "pickles" }, { "pytorch_model.bin.index.json", "pickles" },
        { "consolidated.safetensors", "Mistral's own names" },
    };
    hff_text(dir, "config.json", "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\"}");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct gguf *g;
        struct err e = { 0 };
        char path[128];
        hff_text(dir, row[i].name, "x");
        assert_int_equal(hf_open(&g, dir, &e), ERR_UNSUPPORTED);
        if (!strstr(e.msg, row[i].name) || !strstr(e.msg, row[i].say)) fail_msg("%s", e.msg);
        snprintf(path, sizeof path, "%s/%s", dir, row[i].name);
        unlink(path);
    }
    gguf_close(open_file(dir));
}

/* ---- EmbeddingGemma ---- */

static void embed(const char *path, float *out, size_t n)
{
    int32_t ids[N_IDS];
    struct hearth_model *m;
    struct hearth_error e;
    struct hearth_embed_options o;
    for (int i = 0; i < N_IDS; i++) ids[i] = (i * 37 + 11) % TINY_VOCAB;
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 1 }, &e) < 0) fail_msg("%s", e.message);
    hearth_embed_defaults(&o);
    assert_int_equal(hearth_embed_width(m, &o), n);
    if (hearth_embed(m, &(struct hearth_embed_item){ ids, N_IDS, 0, out }, 1, &o, &e) < 0) fail_msg("%s", e.message);
    hearth_model_close(m);
}

/* Without its dense layers it gives other numbers, with them those that it should: the ends of the same computation. */
static void embedding_gemma(void **state)
{
    (void)state;
    enum { D = 64, MID = 48 };
    struct tiny t = { .arch = "gemma3", .type = DT_F32, .D = D, .L = 2, .H = 2, .K = 1, .E = 32, .F = 96, .window = 8 };
    float x[D], y[D], mid[MID], two[MID * D], three[D * MID];
    double norm = 0;
    assert_int_equal(tiny_model(file, t), 0);
    struct gguf *g = open_file(file);
    hf_folder_remove(dir);
    struct hff w = hff_begin(dir, g, 0), d = { .t = calloc(4, sizeof *d.t) };
    for (size_t i = 0, k = 0; i < w.n; i++) {                /* as a sentence encoder's: no prefix, no head */
        if (!strncmp(w.t[i].name, "model.", 6)) memmove(w.t[i].name, w.t[i].name + 6, strlen(w.t[i].name) - 5);
        if (strcmp(w.t[i].name, "lm_head.weight") != 0) k++;
        else assert_int_equal(i, w.n - 1);
        if (i == w.n - 1) {
            free(w.t[i].data);
            w.n = k;
        }
    }
    hff_end(&w);
    hff_text(dir, "config.json", "{\"architectures\":[\"Gemma3TextModel\"],\"model_type\":\"gemma3_text\",\"hidden_size\":64,"
             "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":32,"
             "\"intermediate_size\":96,\"query_pre_attn_scalar\":32,\"rms_norm_eps\":1e-05,\"sliding_window\":8,"
             "\"use_bidirectional_attention\":true,\"layer_types\":[\"sliding_attention\",\"full_attention\"]}");
    gguf_close(g);
    embed(dir, x, D);
    for (size_t i = 0; i < MID * D; i++) two[i] = (float)(i * 7 % 11) - 5, three[i] = (float)(i * 5 % 13) - 6;
    for (size_t k = 0; k < 2; k++) {
        assert_int_equal(mkdir(dense[k], 0700), 0);
        d.dir = dense[k];
        d.n = 0;
        struct hff_tensor *m = hff_new(&d, "linear.weight", "F32", sizeof two);
        memcpy(m->data, k ? three : two, sizeof two);
        m->n_dims = 2;
        m->shape[0] = k ? D : MID;
        m->shape[1] = k ? MID : D;
        hff_save_all(&d);
        free(m->data);
    }
    free(d.t);
    embed(dir, y, D);
    for (size_t i = 0; i < MID; i++) {
        mid[i] = 0;
        for (size_t c = 0; c < D; c++) mid[i] += two[i * D + c] * x[c];
    }
    double want[D];
    for (size_t i = 0; i < D; i++) {
        want[i] = 0;
        for (size_t c = 0; c < MID; c++) want[i] += (double)three[i * MID + c] * (double)mid[c];
        norm += want[i] * want[i];
    }
    for (size_t i = 0; i < D; i++) assert_true(fabs(want[i] / sqrt(norm) - (double)y[i]) < 1e-5);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(file, sizeof file, "%s.gguf", dir);
    for (int i = 0; i < 2; i++) snprintf(dense[i], sizeof dense[i], "%s/%d_Dense", dir, i + 2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(file);
    for (int i = 0; i < 2; i++) {
        hf_folder_remove(dense[i]);
        rmdir(dense[i]);
    }
    hf_folder_remove(dir);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_of_families),
        cmocka_unit_test(published_configurations),
        cmocka_unit_test(weights_that_are_not_read),
        cmocka_unit_test(embedding_gemma),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
