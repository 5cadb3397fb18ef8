/* hf_hybrid_test.c - folders of models with a state (Qwen3-Next, Qwen 3.5, LFM2), of Gemma 4 and of encoders compute what their
 * GGUF files compute, and become such files again.  The names and orders here are written from the checkpoints' conventions. */
#define _GNU_SOURCE
#include "tests/hf_folder.h"

#include <math.h>
#include <sys/stat.h>

#include "format/hf.h"
#include "engine/engine.h"
#include "tests/program.h"
#include "tests/tiny_arch.h"
#include "tests/tiny_encoder.h"

enum { N_IDS = 40, MAX_ROW = 4096 };

static char dir[] = "/tmp/hearth-hh-XXXXXX", file[64], again[64], pooling_dir[96], pooling_file[128];

static struct gguf *open_file(const char *path)
{
    struct gguf *g;
    struct err e;
    if (model_file_open(&g, path, &e) < 0) fail_msg("%s", e.msg);
    return g;
}

/* ---- what a model answers ---- */

static void answer(const char *path, bool encoder, double *out, size_t *n_out)
{
    int32_t ids[N_IDS];
    struct hearth_model *m;
    struct hearth_error e;
    for (int i = 0; i < N_IDS; i++) ids[i] = (i * i * 7 + i * 13 + 5) % (encoder ? PIECES : 256);
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 2 }, &e) < 0) fail_msg("%s", e.message);
    const float *z;
    float y[512];
    if (encoder) {
        struct hearth_embed_options o;
        hearth_embed_defaults(&o);
        *n_out = hearth_embed_width(m, &o);
        assert_true(*n_out > 0 && *n_out <= 512);
        if (hearth_embed(m, &(struct hearth_embed_item){ ids, N_IDS, 0, y }, 1, &o, &e) < 0) fail_msg("%s", e.message);
        for (size_t i = 0; i < *n_out; i++) out[i] = (double)y[i];
    } else {
        struct hearth_session *s;
        if (hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 64, .kv_type = HEARTH_KV_F32 }, &e) < 0 ||
            hearth_session_sync(s, ids, N_IDS, &e) < 0) fail_msg("%s", e.message);
        z = hearth_session_logits(s);
        *n_out = TINY_VOCAB;
        for (size_t i = 0; i < TINY_VOCAB; i++) out[i] = (double)z[i];
        if (engine_guesses(m)) {                           /* what its head for guesses says, too */
            struct ahead_item it = { .q = &s->q, .adapt = &s->adaption.set, .token = 70, .logits = y };
            lock_take(&m->lock);
            assert_int_equal(engine_guess(m, &it, 1, NULL), 0);
            lock_give(&m->lock);
            for (size_t i = 0; i < TINY_VOCAB; i++) out[(*n_out)++] = (double)y[i];
        }
        hearth_session_close(s);
    }
    hearth_model_close(m);
}

static void same_answer(const char *a, const char *b, bool encoder, double bound)
{
    double x[2 * TINY_VOCAB], y[2 * TINY_VOCAB], most = 0, large = 0;
    size_t n, k;
    answer(a, encoder, x, &n);
    answer(b, encoder, y, &k);
    assert_int_equal(n, k);
    for (size_t i = 0; i < n; i++) {
        assert_true(x[i] - x[i] == 0 && y[i] - y[i] == 0);
        if (fabs(x[i] - y[i]) > most) most = fabs(x[i] - y[i]);
        if (fabs(x[i]) > large) large = fabs(x[i]);
    }
    assert_true(large > 0.01);
    if (most > bound * large) fail_msg("differs by %g of %g", most, large);
}

/* ---- writing folders ---- */

struct names { const char *gguf, *hf; };

static struct hff begin_folder(const struct gguf *g)
{
    struct hff w = { .dir = dir, .g = g };
    struct gguf_str arch = { "", 0 };
    hf_folder_remove(dir);
    gguf_get_str(g, "general.architecture", &arch);
    snprintf(w.arch, sizeof w.arch, "%.*s", (int)arch.n, arch.s);
    if (!(w.t = calloc(4096, sizeof *w.t))) abort();
    return w;
}

static void end_folder(struct hff *w, const char *config)
{
    hff_save_all(w);
    hff_text(dir, "config.json", config);
    for (size_t i = 0; i < w->n; i++) free(w->t[i].data);
    free(w->t);
}

static struct hff_tensor *copy(struct hff *w, const char *name, const struct gguf_tensor *g)
{
    hff_copy(w, name, g);
    return &w->t[w->n - 1];
}

static void add_to_all(struct hff_tensor *t, float v)
{
    for (size_t i = 0; i < t->bytes / 4; i++) {
        float f;
        memcpy(&f, t->data + 4 * i, 4);
        f += v;
        memcpy(t->data + 4 * i, &f, 4);
    }
}

/* Row blocks of `unit` rows behind `first`: block g * per + m comes from block m * n_key + g. */
static void group_rows(struct hff_tensor *t, size_t first, size_t unit, size_t n_key, size_t n_value)
{
    size_t rows = (size_t)t->shape[0], row = t->bytes / rows, per = n_value / n_key;
    assert_int_equal(rows, first + unit * n_value);
    uint8_t *d = malloc(t->bytes);
    memcpy(d, t->data, t->bytes);
    for (size_t i = 0; i < n_value; i++)
        memcpy(d + (first + i * unit) * row, t->data + (first + (i % per * n_key + i / per) * unit) * row, unit * row);
    free(t->data);
    t->data = d;
}

static void group_columns(struct hff_tensor *t, size_t unit, size_t n_key, size_t n_value)
{
    size_t rows = (size_t)t->shape[0], row = t->bytes / rows, run = row / n_value, per = n_value / n_key;
    uint8_t *d = malloc(t->bytes);
    assert_int_equal(t->shape[1], unit * n_value);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n_value; i++)
            memcpy(d + r * row + i * run, t->data + r * row + (i % per * n_key + i / per) * run, run);
    free(t->data);
    t->data = d;
}

/* For each key head its q, k, values and gates. */
static void join_grouped(struct hff *w, const char *name, const struct gguf_tensor *qkv, const struct gguf_tensor *gate,
                         size_t dk, size_t n_key, size_t part)
{
    size_t row = (size_t)(qkv->bytes / qkv->ne[1]), at = 0;
    struct hff_tensor *t = hff_new(w, name, hff_dtype(qkv->type), (size_t)(qkv->bytes + gate->bytes));
    t->n_dims = 2;
    t->shape[0] = qkv->ne[1] + gate->ne[1];
    t->shape[1] = qkv->ne[0];
    for (size_t g = 0; g < n_key; g++) {
        const uint8_t *from[] = { qkv->data + g * dk * row, qkv->data + (n_key + g) * dk * row,
                                  qkv->data + (2 * n_key * dk + g * part) * row, gate->data + g * part * row };
        const size_t rows[] = { dk, dk, part, part };
        for (int i = 0; i < 4; at += rows[i++] * row) memcpy(t->data + at, from[i], rows[i] * row);
    }
}

static void turn(struct hff_tensor *t, bool mlx)
{
    t->n_dims = 3;
    t->shape[2] = t->shape[1];
    t->shape[1] = 1;
    if (mlx) t->shape[1] = t->shape[2], t->shape[2] = 1;
}

static const struct names usual[] = {
    { "attn_norm", "input_layernorm" }, { "post_attention_norm", "post_attention_layernorm" },
    { "attn_q", "self_attn.q_proj" }, { "attn_k", "self_attn.k_proj" }, { "attn_v", "self_attn.v_proj" },
    { "attn_output", "self_attn.o_proj" }, { "attn_q_norm", "self_attn.q_norm" }, { "attn_k_norm", "self_attn.k_norm" },
    { "ffn_gate", "mlp.gate_proj" }, { "ffn_up", "mlp.up_proj" }, { "ffn_down", "mlp.down_proj" },
    { "ffn_gate_inp", "mlp.gate" }, { "ffn_gate_shexp", "mlp.shared_expert.gate_proj" },
    { "ffn_up_shexp", "mlp.shared_expert.up_proj" }, { "ffn_down_shexp", "mlp.shared_expert.down_proj" },
    { "ssm_conv1d", "linear_attn.conv1d" }, { "ssm_norm", "linear_attn.norm" }, { "ssm_out", "linear_attn.out_proj" },
    { "ssm_ba", "linear_attn.in_proj_ba" }, { "ssm_beta", "linear_attn.in_proj_b" }, { "ssm_alpha", "linear_attn.in_proj_a" },
};
static const struct names lfm2[] = {
    { "attn_norm", "operator_norm" }, { "ffn_norm", "ffn_norm" }, { "attn_q", "self_attn.q_proj" },
    { "attn_k", "self_attn.k_proj" }, { "attn_v", "self_attn.v_proj" }, { "attn_output", "self_attn.out_proj" },
    { "attn_q_norm", "self_attn.q_layernorm" }, { "attn_k_norm", "self_attn.k_layernorm" }, { "ffn_gate", "feed_forward.w1" },
    { "ffn_up", "feed_forward.w3" }, { "ffn_down", "feed_forward.w2" }, { "shortconv.conv", "conv.conv" },
    { "shortconv.in_proj", "conv.in_proj" }, { "shortconv.out_proj", "conv.out_proj" },
};

static bool ends(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

/* Of the block that guesses: beside the model. */
static const struct names beside[] = {
    { "nextn.eh_proj", "fc" }, { "nextn.enorm", "pre_fc_norm_embedding" }, { "nextn.hnorm", "pre_fc_norm_hidden" },
    { "nextn.shared_head_norm", "norm" },
};

static uint32_t n_layer(const struct hff *w) { return hff_u32(w, "block_count") - hff_u32(w, "nextn_predict_layers"); }

/* The beginning of the names of layer l. */
static void layer_name(char out[96], const struct hff *w, const char *prefix, uint32_t l)
{
    if (l < n_layer(w)) snprintf(out, 96, "%slayers.%u.", prefix, l);
    else snprintf(out, 96, "%smtp.layers.0.", strncmp(prefix, "language", 8) ? "" : "language_model.");
}

static void next_part(struct hff *w, const char *prefix, const struct gguf_tensor *g, bool mlx)
{
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        char name[192];
        if (!strstr(g->name, beside[i].gguf)) continue;
        snprintf(name, sizeof name, "%smtp.%s.weight", strncmp(prefix, "language", 8) ? "" : "language_model.", beside[i].hf);
        struct hff_tensor *t = copy(w, name, g);
        if (t->n_dims == 1 && !mlx) add_to_all(t, -1);
    }
}

/* A tensor of layer l, "blk.l.PART.weight"; whether it has been written. */
static bool layer_part(struct hff *w, const struct names *names, size_t n_names, const char *prefix, const struct gguf_tensor *g,
                       bool mlx)
{
    uint32_t l = (uint32_t)strtoul(g->name + 4, NULL, 10);
    uint32_t K = hff_u32(w, "ssm.group_count"), V = hff_u32(w, "ssm.time_step_rank");
    const char *part = strchr(g->name + 4, '.') + 1;
    size_t n = strlen(part), unit = V ? hff_u32(w, "ssm.inner_size") / V : 0;
    bool tiled = !strncmp(w->arch, "qwen35", 6), weight = ends(part, ".weight");
    char name[192], layer[96];
    layer_name(layer, w, prefix, l);
    for (size_t i = 0; weight && i < n_names; i++) {
        if (strlen(names[i].gguf) != n - 7 || strncmp(names[i].gguf, part, n - 7) != 0) continue;
        snprintf(name, sizeof name, "%s%s.weight", layer, names[i].hf);
        struct hff_tensor *t = copy(w, name, g);
        if (strstr(name, "conv")) {
            if (tiled && ends(name, "conv1d.weight")) group_rows(t, 2 * (size_t)K * hff_u32(w, "ssm.state_size"), unit, K, V);
            if (t->n_dims == 2 && !strstr(name, "_proj")) turn(t, mlx);
        }
        if (tiled && (ends(name, "in_proj_b.weight") || ends(name, "in_proj_a.weight"))) group_rows(t, 0, 1, K, V);
        if (tiled && ends(name, "linear_attn.out_proj.weight")) group_columns(t, unit, K, V);
        bool plain = mlx || ends(name, "linear_attn.norm.weight") || strncmp(w->arch, "qwen", 4) != 0;
        if (t->n_dims == 1 && !plain) add_to_all(t, -1);
        return true;
    }
    if (!strcmp(part, "ssm_a") || !strcmp(part, "ssm_dt.bias")) {
        bool a = part[4] == 'a';
        snprintf(name, sizeof name, "%slinear_attn.%s", layer, a ? "A_log" : "dt_bias");
        struct hff_tensor *t = copy(w, name, g);
        for (size_t i = 0; a && i < t->bytes / 4; i++) {
            float f;
            memcpy(&f, t->data + 4 * i, 4);
            assert_true(f < 0);
            f = logf(-f);
            memcpy(t->data + 4 * i, &f, 4);
        }
        if (tiled) group_rows(t, 0, 1, K, V);
        return true;
    }
    return false;
}

static const struct gguf_tensor *layer_tensor(const struct gguf *g, uint32_t l, const char *part)
{
    char name[96];
    snprintf(name, sizeof name, "blk.%u.%s.weight", l, part);
    return gguf_tensor(g, name);
}

static void delta_rest(struct hff *w, const char *prefix, uint32_t l)
{
    uint32_t K = hff_u32(w, "ssm.group_count"), V = hff_u32(w, "ssm.time_step_rank"), dk = hff_u32(w, "ssm.state_size");
    size_t values = hff_u32(w, "ssm.inner_size");
    const struct gguf_tensor *qkv = layer_tensor(w->g, l, "attn_qkv"), *gate = layer_tensor(w->g, l, "attn_gate"), *x[2];
    char name[192], layer[96];
    layer_name(layer, w, prefix, l);
    if (qkv && !strcmp(w->arch, "qwen3next")) {
        snprintf(name, sizeof name, "%slinear_attn.in_proj_qkvz.weight", layer);
        join_grouped(w, name, qkv, gate, dk, K, values / K);
    } else if (qkv) {
        snprintf(name, sizeof name, "%slinear_attn.in_proj_qkv.weight", layer);
        group_rows(copy(w, name, qkv), 2 * (size_t)K * dk, values / V, K, V);
        snprintf(name, sizeof name, "%slinear_attn.in_proj_z.weight", layer);
        group_rows(copy(w, name, gate), 0, values / V, K, V);
    }
    if (!(x[0] = layer_tensor(w->g, l, "ffn_gate_exps"))) return;
    x[1] = layer_tensor(w->g, l, "ffn_up_exps");
    snprintf(name, sizeof name, "%smlp.experts.gate_up_proj", layer);
    hff_join(w, name, x, 2);
    x[0] = layer_tensor(w->g, l, "ffn_down_exps");
    snprintf(name, sizeof name, "%smlp.experts.down_proj", layer);
    hff_join(w, name, x, 1);
    snprintf(name, sizeof name, "%smlp.shared_expert_gate.weight", layer);
    struct hff_tensor *t = copy(w, name, layer_tensor(w->g, l, "ffn_gate_inp_shexp"));
    t->n_dims = 2;
    t->shape[1] = t->shape[0];
    t->shape[0] = 1;
}

static void recurrent_folder(const struct gguf *g, bool mlx)
{
    struct hff w = begin_folder(g);
    bool conv = !strcmp(w.arch, "lfm2"), nested = !strncmp(w.arch, "qwen35", 6);
    const char *prefix = nested ? mlx ? "language_model.model." : "model.language_model." : "model.";
    char name[128], config[2048];
    size_t n = 0;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) next_part(&w, prefix, gguf_tensor_at(g, i), mlx);
    for (size_t i = 0; i < gguf_n_tensors(g); i++)
        if (!strncmp(gguf_tensor_at(g, i)->name, "blk.", 4))
            layer_part(&w, conv ? lfm2 : usual, conv ? sizeof lfm2 / sizeof *lfm2 : sizeof usual / sizeof *usual, prefix,
                       gguf_tensor_at(g, i), mlx);
    for (uint32_t l = 0; !conv && l < hff_u32(&w, "block_count"); l++) delta_rest(&w, prefix, l);
    snprintf(name, sizeof name, "%sembed_tokens.weight", prefix);
    copy(&w, name, gguf_tensor(g, "token_embd.weight"));
    snprintf(name, sizeof name, "%s%s", prefix, conv ? "embedding_norm.weight" : "norm.weight");
    struct hff_tensor *norm = copy(&w, name, gguf_tensor(g, conv ? "token_embd_norm.weight" : "output_norm.weight"));
    if (!conv && !mlx) add_to_all(norm, -1);
    copy(&w, nested && mlx ? "language_model.lm_head.weight" : "lm_head.weight", gguf_tensor(g, "output.weight"));
    /* A part of such a block, or another one, is left out. */
    copy(&w, hff_u32(&w, "nextn_predict_layers") ? "mtp.layers.1.input_layernorm.weight" : "mtp.norm.weight",
         gguf_tensor(g, conv ? "token_embd_norm.weight" : "output_norm.weight"));
    static const struct { const char *arch, *type, *class; } row[] = {
        { "qwen3next", "qwen3_next", "Qwen3NextForCausalLM" }, { "qwen35", "qwen3_5_text", "Qwen3_5ForConditionalGeneration" },
        { "qwen35moe", "qwen3_5_moe_text", "Qwen3_5MoeForConditionalGeneration" }, { "lfm2", "lfm2", "Lfm2ForCausalLM" },
    };
    size_t r = 0;
    while (strcmp(row[r].arch, w.arch)) r++;
#define ADD(...) n += (size_t)snprintf(config + n, sizeof config - n, __VA_ARGS__)
    ADD("{\"architectures\":[\"%s\"],\"tie_word_embeddings\":false,%s\"model_type\":\"%s\",", row[r].class,
        nested ? "\"text_config\":{" : "", row[r].type);
    ADD("\"hidden_size\":%u,\"num_hidden_layers\":%u,\"num_attention_heads\":%u,\"max_position_embeddings\":1024,"
        "\"vocab_size\":%d,", hff_u32(&w, "embedding_length"), n_layer(&w), hff_u32(&w, "attention.head_count"),
        TINY_VOCAB);
    ADD("\"rope_theta\":10000.0,\"head_dim\":%u,\"%s\":1e-05,", hff_u32(&w, "attention.key_length"),
        conv ? "norm_eps" : "rms_norm_eps");
    if (conv) {                          /* 2 / 3 of 159, up to a multiple of 16 */
        ADD("\"num_key_value_heads\":2,\"conv_L_cache\":3,\"conv_bias\":false,\"block_ff_dim\":159,\"block_multiple_of\":16,"
            "\"block_auto_adjust_ff_dim\":true,\"block_ffn_dim_multiplier\":0.9,\"layer_types\":[");
        for (uint32_t l = 0; l < hff_u32(&w, "block_count"); l++)
            ADD("%s\"%s\"", l ? "," : "", l % 2 ? "full_attention" : "conv");
        ADD("]}\n");
    } else {
        ADD("\"num_key_value_heads\":%u,\"linear_num_key_heads\":%u,\"linear_num_value_heads\":%u,\"linear_key_head_dim\":%u,"
            "\"linear_value_head_dim\":%u,\"linear_conv_kernel_dim\":4,\"full_attention_interval\":4,"
            "\"partial_rotary_factor\":0.25,%s",
            hff_u32(&w, "attention.head_count_kv"), hff_u32(&w, "ssm.group_count"), hff_u32(&w, "ssm.time_step_rank"),
            hff_u32(&w, "ssm.state_size"), hff_u32(&w, "ssm.inner_size") / hff_u32(&w, "ssm.time_step_rank"),
            nested ? "\"layer_types\":[\"linear_attention\",\"linear_attention\",\"linear_attention\",\"full_attention\","
            "\"linear_attention\"]," : "");
        if (hff_u32(&w, "expert_count"))
            ADD("\"num_experts\":%u,\"num_experts_per_tok\":%u,\"moe_intermediate_size\":%u,\"norm_topk_prob\":true,"
                "\"shared_expert_intermediate_size\":%u}%s\n", hff_u32(&w, "expert_count"), hff_u32(&w, "expert_used_count"),
                hff_u32(&w, "expert_feed_forward_length"), hff_u32(&w, "feed_forward_length"), nested ? "}" : "");
        else ADD("\"intermediate_size\":%u}%s\n", hff_u32(&w, "feed_forward_length"), nested ? "}" : "");
    }
#undef ADD
    hff_tokenizer(&w);
    end_folder(&w, config);
}

static void recurrent_models(void **state)
{
    (void)state;
    static const char *const archs[] = { "qwen3next", "qwen35", "qwen35moe", "lfm2", "qwen35" };
    for (size_t i = 0; i < 5; i++) {
        struct tiny t = { .arch = archs[i], .type = i == 3 ? DT_BF16 : DT_F32, .D = 64,
                          .L = 5, .H = 4, .K = 2, .E = 32, .F = 96 };
        double bound = i == 3 ? 0 : 1e-5;                  /* norms without their 1, and logarithms, are rounded */
        if (i == 0 || i == 2) t.experts = 3, t.used = 2;
        t.next = i < 3;
        assert_int_equal(tiny_model(file, t), 0);
        struct gguf *g = open_file(file);
        for (int mlx = 0; mlx < 2; mlx++) {
            recurrent_folder(g, mlx);
            same_answer(file, dir, false, bound);
        }
        if (!getenv("PROGRAM")) {
            gguf_close(g);
            continue;
        }
        struct result r = PROGRAM(NULL, "convert", dir, again, "--force");
        program_expect(&r, 0);
        program_free(&r);
        struct gguf *b = open_file(again);
        for (size_t k = 0; k < gguf_n_tensors(g); k++) {
            const struct gguf_tensor *x = gguf_tensor_at(g, k), *y = gguf_tensor(b, x->name);
            bool rounded = ends(x->name, "ssm_a"), joined = !i && (strstr(x->name, "attn_qkv") || strstr(x->name, "attn_gate"));
            if (joined) continue;                          /* it stays ssm_in, as old files have it */
            if (!y || y->bytes != x->bytes || (!rounded && memcmp(x->data, y->data, x->bytes))) fail_msg("%s differs", x->name);
        }
        gguf_close(b);
        gguf_close(g);
        same_answer(file, again, false, bound);
    }
}

/* ---- encoders ---- */

static const struct names bert[] = {
    { "attn_q", "attention.self.query" }, { "attn_k", "attention.self.key" }, { "attn_v", "attention.self.value" },
    { "attn_output", "attention.output.dense" }, { "attn_output_norm", "attention.output.LayerNorm" },
    { "ffn_up", "intermediate.dense" }, { "ffn_down", "output.dense" }, { "layer_output_norm", "output.LayerNorm" },
}, nomic[] = {
    { "attn_qkv", "attn.Wqkv" }, { "attn_output", "attn.out_proj" }, { "attn_output_norm", "norm1" }, { "ffn_up", "mlp.fc11" },
    { "ffn_gate", "mlp.fc12" }, { "ffn_down", "mlp.fc2" }, { "layer_output_norm", "norm2" },
}, modern[] = {
    { "attn_norm", "attn_norm" }, { "attn_qkv", "attn.Wqkv" }, { "attn_output", "attn.Wo" }, { "ffn_norm", "mlp_norm" },
    { "ffn_up", "mlp.Wi" }, { "ffn_down", "mlp.Wo" },
};

static const struct kind {
    const char *arch, *type, *class, *prefix, *layer, *config;
    const struct names *names;
    size_t n_names;
    struct names top[12];
    uint32_t skip, rank;
} kinds[] = {
    { "bert", "bert", "BertModel", "", "encoder.layer", "\"layer_norm_eps\":1e-05,\"hidden_act\":\"gelu\"", bert, 8,
      { { "token_embd", "embeddings.word_embeddings" }, { "position_embd", "embeddings.position_embeddings" },
        { "token_types", "embeddings.token_type_embeddings" }, { "token_embd_norm", "embeddings.LayerNorm" } }, 0, 0 },
    { "bert", "xlm-roberta", "XLMRobertaForSequenceClassification", "roberta.", "encoder.layer",
      "\"layer_norm_eps\":1e-05,\"hidden_act\":\"gelu\",\"id2label\":{\"0\":\"x\"}", bert, 8,
      { { "token_embd", "embeddings.word_embeddings" }, { "position_embd", "embeddings.position_embeddings" },
        { "token_types", "embeddings.token_type_embeddings" }, { "token_embd_norm", "embeddings.LayerNorm" },
        { "cls", "/classifier.dense" }, { "cls.output", "/classifier.out_proj" } }, 2, 1 },
    { "bert", "bert", "BertForSequenceClassification", "bert.", "encoder.layer",
      "\"layer_norm_eps\":1e-05,\"hidden_act\":\"gelu\",\"id2label\":{\"0\":\"x\"}", bert, 8,
      { { "token_embd", "embeddings.word_embeddings" }, { "position_embd", "embeddings.position_embeddings" },
        { "token_types", "embeddings.token_type_embeddings" }, { "token_embd_norm", "embeddings.LayerNorm" },
        { "cls", "pooler.dense" }, { "cls.output", "/classifier" } }, 0, 1 },
    { "nomic-bert", "nomic_bert", "NomicBertModel", "", "encoder.layers",
      "\"layer_norm_epsilon\":1e-05,\"activation_function\":\"swiglu\",\"rotary_emb_base\":10000,\"rotary_emb_fraction\":1.0,"
      "\"rotary_emb_interleaved\":false,\"prenorm\":false", nomic, 7,
      { { "token_embd", "embeddings.word_embeddings" }, { "token_types", "embeddings.token_type_embeddings" },
        { "token_embd_norm", "emb_ln" } }, 0, 0 },
    { "modern-bert", "modernbert", "ModernBertModel", "", "layers",
      "\"norm_eps\":1e-05,\"hidden_activation\":\"gelu\",\"global_rope_theta\":10000.0,\"local_rope_theta\":10000.0,"
      "\"local_attention\":16", modern, 6,
      { { "token_embd", "embeddings.tok_embeddings" }, { "token_embd_norm", "embeddings.norm" },
        { "output_norm", "final_norm" } },
      0, 0 },
};

static void word_pieces(void)
{
    FILE *f = hff_file(dir, "tokenizer.json");
    static const char *const special[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
    fputs("{\"added_tokens\":[", f);
    for (int i = 0; i < 5; i++)
        fprintf(f, "%s{\"id\":%d,\"content\":\"%s\",\"special\":true,\"normalized\":false}", i ? "," : "", i, special[i]);
    fputs("],\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
          "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",3],\"cls\":[\"[CLS]\",2]},"
          "\"decoder\":{\"type\":\"WordPiece\"},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
          "\"continuing_subword_prefix\":\"##\",\"vocab\":{", f);
    for (int i = 0; i < 5; i++) fprintf(f, "\"%s\":%d,", special[i], i);
    for (int i = 5; i < PIECES; i++) fprintf(f, "%s\"%s%c\":%d", i > 5 ? "," : "", i % 2 ? "" : "##", 'a' + (i - 5) / 2, i);
    fputs("}}}\n", f);
    if (fclose(f)) abort();
}

/* A matrix or vector of the file, with its bias, under another name; "/" is outside of the prefix. */
static void encoder_part(struct hff *w, const struct kind *k, const char *from, const char *to)
{
    static const char *const parts[] = { "weight", "bias" };
    for (int i = 0; i < 2; i++) {
        char a[128], b[192];
        snprintf(a, sizeof a, "%s.%s", from, parts[i]);
        snprintf(b, sizeof b, "%s%s.%s", *to == '/' ? "" : k->prefix, to + (*to == '/'), parts[i]);
        const struct gguf_tensor *g = gguf_tensor(w->g, a);
        if (!g) continue;
        struct hff_tensor *t = copy(w, b, g);
        if (!k->skip || strcmp(from, "position_embd") != 0) continue;
        size_t row = (size_t)(g->bytes / g->ne[1]);        /* what padding would get comes first */
        uint8_t *d = calloc(t->bytes + k->skip * row, 1);
        memcpy(d + k->skip * row, t->data, t->bytes);
        free(t->data);
        t->data = d;
        t->bytes += k->skip * row;
        t->shape[0] += k->skip;
    }
}

static void encoder_folder(const struct gguf *g, const struct kind *k)
{
    struct hff w = begin_folder(g);
    char from[96], to[128], config[1024];
    for (size_t i = 0; k->top[i].gguf; i++) encoder_part(&w, k, k->top[i].gguf, k->top[i].hf);
    for (uint32_t l = 0; l < hff_u32(&w, "block_count"); l++)
        for (size_t i = 0; i < k->n_names; i++) {
            snprintf(from, sizeof from, "blk.%u.%s", l, k->names[i].gguf);
            snprintf(to, sizeof to, "%s.%u.%s", k->layer, l, k->names[i].hf);
            encoder_part(&w, k, from, to);
        }
    if (!k->rank && !strcmp(k->type, "bert")) copy(&w, "pooler.dense.weight", gguf_tensor(g, "blk.0.attn_q.weight"));
    bool gpt = !strcmp(k->type, "nomic_bert");
    snprintf(config, sizeof config, "{\"architectures\":[\"%s\"],\"model_type\":\"%s\",\"%s\":%u,\"%s\":%u,\"%s\":%u,\"%s\":%u,"
             "\"%s\":%u,\"vocab_size\":%d,%s}\n", k->class, k->type, gpt ? "n_embd" : "hidden_size",
             hff_u32(&w, "embedding_length"), gpt ? "n_layer" : "num_hidden_layers", hff_u32(&w, "block_count"),
             gpt ? "n_head" : "num_attention_heads", hff_u32(&w, "attention.head_count"), gpt ? "n_inner" : "intermediate_size",
             hff_u32(&w, "feed_forward_length"), gpt ? "n_positions" : "max_position_embeddings",
             hff_u32(&w, "context_length") + k->skip, PIECES, k->config);
    word_pieces();
    end_folder(&w, config);
}

static void encoders(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind *k = &kinds[i];
        struct tiny_encoder e = { .t = { .arch = k->arch, .type = i % 2 ? DT_F16 : DT_F32, .D = 64, .L = 4, .H = 4, .F = 96 },
                                  .word_piece = true, .n_ctx = 100, .rank = k->rank, .pooling = k->rank ? 4 : 2 };
        if (!strcmp(k->arch, "modern-bert")) e.t.window = 16;
        assert_int_equal(tiny_encoder(file, e), 0);
        struct gguf *g = open_file(file);
        encoder_folder(g, k);
        gguf_close(g);
        FILE *f = fopen(pooling_file, "w");
        fputs("{\"word_embedding_dimension\":64,\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":false}", f);
        assert_int_equal(fclose(f), 0);
        same_answer(file, dir, true, i == 3 || i == 4 ? 1e-5 : 0);
        f = fopen(pooling_file, "w");                      /* and it matters */
        fputs("{\"pooling_mode_cls_token\":false,\"pooling_mode_max_tokens\":true}", f);
        assert_int_equal(fclose(f), 0);
        struct err err = { 0 };
        assert_int_equal(hf_open(&g, dir, &err), ERR_UNSUPPORTED);
        assert_non_null(strstr(err.msg, "1_Pooling/config.json"));
        unlink(pooling_file);
    }
}

/* ---- Gemma 4 ---- */

static const struct names gemma4[] = {
    { "attn_norm.weight", "input_layernorm.weight" }, { "attn_q.weight", "self_attn.q_proj.weight" },
    { "attn_k.weight", "self_attn.k_proj.weight" }, { "attn_v.weight", "self_attn.v_proj.weight" },
    { "attn_output.weight", "self_attn.o_proj.weight" }, { "attn_q_norm.weight", "self_attn.q_norm.weight" },
    { "attn_k_norm.weight", "self_attn.k_norm.weight" }, { "post_attention_norm.weight", "post_attention_layernorm.weight" },
    { "ffn_norm.weight", "pre_feedforward_layernorm.weight" }, { "post_ffw_norm.weight", "post_feedforward_layernorm.weight" },
    { "ffn_gate.weight", "mlp.gate_proj.weight" }, { "ffn_up.weight", "mlp.up_proj.weight" },
    { "ffn_down.weight", "mlp.down_proj.weight" }, { "inp_gate.weight", "per_layer_input_gate.weight" },
    { "proj.weight", "per_layer_projection.weight" }, { "post_norm.weight", "post_per_layer_input_norm.weight" },
    { "layer_output_scale.weight", "layer_scalar" }, { "post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight" },
    { "pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight" },
    { "post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight" }, { "ffn_gate_inp.weight", "router.proj.weight" },
    { "ffn_gate_inp.scale", "router.scale" }, { "ffn_down_exps.scale", "router.per_expert_scale" },
    { "ffn_gate_up_exps.weight", "experts.gate_up_proj" }, { "ffn_down_exps.weight", "experts.down_proj" },
}, gemma4_top[] = {
    { "token_embd.weight", "embed_tokens.weight" }, { "output_norm.weight", "norm.weight" },
    { "per_layer_token_embd.weight", "embed_tokens_per_layer.weight" },
    { "per_layer_model_proj.weight", "per_layer_model_projection.weight" },
    { "per_layer_proj_norm.weight", "per_layer_projection_norm.weight" },
};

/* Plain copies: norms have no +1 here. */
static void put_plain(struct hff *w, const char *name, const struct gguf_tensor *g)
{
    struct hff_tensor *t = hff_new(w, name, hff_dtype(g->type), (size_t)g->bytes);
    memcpy(t->data, g->data, t->bytes);
    t->n_dims = (int)g->n_dims;
    for (int i = 0; i < t->n_dims; i++) t->shape[i] = g->ne[t->n_dims - 1 - i];
}

/* A quarter of the head turns in full layers; the file says so by divisors. */
static void write_gemma4(struct tiny_any *a)
{
    struct buf b = { 0 };
    assert_int_equal(tiny_any_bytes(&b, a), 0);
    FILE *f = fopen(file, "wb");
    fwrite(b.data, 1, b.len, f);
    assert_int_equal(fclose(f), 0);
    struct gguf *g = open_file(file);
    const struct gguf_tensor *t = gguf_tensor(g, "rope_freqs.weight");
    char *at = memmem(b.data, b.len, t->data, (size_t)t->bytes);
    size_t n = (size_t)t->ne[0];
    gguf_close(g);
    assert_non_null(at);
    for (size_t i = 0; i < n; i++) {
        float v = i < n / 4 ? 1 : 1e30f;
        memcpy(at + 4 * i, &v, 4);
    }
    f = fopen(file, "wb");
    fwrite(b.data, 1, b.len, f);
    assert_int_equal(fclose(f), 0);
    buf_release(&b);
}

static void gemma4_folder(const struct gguf *g, const struct tiny_any *a)
{
    struct hff w = begin_folder(g);
    const char *prefix = a->per_layer ? "model.language_model." : "model.";
    char from[96], to[160], config[1600];
    for (size_t i = 0; i < sizeof gemma4_top / sizeof *gemma4_top; i++) {
        snprintf(to, sizeof to, "%s%s", prefix, gemma4_top[i].hf);
        if (gguf_tensor(g, gemma4_top[i].gguf)) put_plain(&w, to, gguf_tensor(g, gemma4_top[i].gguf));
    }
    for (uint32_t l = 0; l < a->t.L; l++)
        for (size_t i = 0; i < sizeof gemma4 / sizeof *gemma4; i++) {
            snprintf(from, sizeof from, "blk.%u.%s", l, gemma4[i].gguf);
            snprintf(to, sizeof to, "%slayers.%u.%s", prefix, l, gemma4[i].hf);
            if (gguf_tensor(g, from)) put_plain(&w, to, gguf_tensor(g, from));
        }
    /* what is there and never read: a picture's part, and the keys of a layer that uses another's */
    if (a->per_layer) put_plain(&w, "model.vision_tower.norm.weight", gguf_tensor(g, "output_norm.weight"));
    snprintf(to, sizeof to, "%slayers.%u.self_attn.k_proj.weight", prefix, a->t.L - 1);
    if (a->kv_shared) put_plain(&w, to, gguf_tensor(g, "blk.1.attn_k.weight"));
    snprintf(config, sizeof config, "{\"architectures\":[\"Gemma4For%s\"],%s\"model_type\":\"gemma4_text\",\"hidden_size\":%u,"
             "\"num_hidden_layers\":%u,\"num_attention_heads\":%u,\"num_key_value_heads\":%u,\"head_dim\":%u,"
             "\"global_head_dim\":%u,\"intermediate_size\":%u,\"num_kv_shared_layers\":%u,\"hidden_size_per_layer_input\":%u,"
             "\"sliding_window\":%u,\"use_double_wide_mlp\":false,\"rms_norm_eps\":1e-05,\"final_logit_softcapping\":0.0,"
             "\"attention_k_eq_v\":true,\"enable_moe_block\":%s,\"num_experts\":%u,\"top_k_experts\":%u,"
             "\"moe_intermediate_size\":%u,\"sliding_window_pattern\":2,\"max_position_embeddings\":256,"
             "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"proportional\",\"partial_rotary_factor\":0.25,"
             "\"rope_theta\":10000},\"sliding_attention\":{\"rope_theta\":10000}}}%s\n",
             a->per_layer ? "ConditionalGeneration" : "CausalLM", a->per_layer ? "\"text_config\":{" : "", a->t.D, a->t.L, a->t.H,
             a->t.K, a->E_sliding, a->t.E, a->t.F, a->kv_shared, a->per_layer, a->t.window, a->t.experts ? "true" : "false",
             a->t.experts, a->t.used, a->Fe, a->per_layer ? "}" : "");
    hff_tokenizer(&w);
    end_folder(&w, config);
}

static void gemma_four(void **state)
{
    (void)state;
    struct tiny_any row[] = {
        { .t = { .arch = "gemma4", .type = DT_F32, .D = 64, .L = 6, .H = 4, .K = 2, .E = 32, .F = 96, .window = 11 },
          .E_sliding = 16, .per_layer = 32, .kv_shared = 2, .tied = true },
        { .t = { .arch = "gemma4", .type = DT_BF16, .D = 96, .L = 2, .H = 2, .K = 1, .E = 48, .F = 32, .window = 30, .experts = 5,
                 .used = 2 }, .E_sliding = 32, .Fe = 32, .tied = true },
    };
    for (size_t i = 0; i < 2; i++) {
        write_gemma4(&row[i]);
        struct gguf *g = open_file(file);
        gemma4_folder(g, &row[i]);
        gguf_close(g);
        same_answer(file, dir, false, 0);
    }
}

static void refused(const char *config, const char *say)
{
    struct gguf *g;
    struct err err = { 0 };
    hff_text(dir, "config.json", config);
    if (hf_open(&g, dir, &err) == 0) fail_msg("accepted %s", config);
    if (!strstr(err.msg, say)) fail_msg("%s", err.msg);
}

static void nonsense(void **state)
{
    (void)state;
#define DELTA "{\"architectures\":[\"Qwen3NextForCausalLM\"],\"model_type\":\"qwen3_next\",\"hidden_size\":64," \
    "\"num_hidden_layers\":4,\"num_attention_heads\":4,\"intermediate_size\":96,\"num_experts\":4,\"norm_topk_prob\":true," \
    "\"linear_num_key_heads\":2," \
    "\"linear_num_value_heads\":4,\"linear_value_head_dim\":16,"
    refused(DELTA "\"x\":1}", "linear_key_head_dim is missing");
    refused(DELTA "\"linear_key_head_dim\":99999}", "expected 1 to 4096");
    refused(DELTA "\"linear_key_head_dim\":16,\"layer_types\":[\"full_attention\",\"linear_attention\",\"linear_attention\","
            "\"full_attention\"]}", "this order of linear and full layers");
    refused(DELTA "\"linear_key_head_dim\":16,\"layer_types\":[\"odd\"]}", "of layer 0");
#define CONV "{\"architectures\":[\"Lfm2ForCausalLM\"],\"model_type\":\"lfm2\",\"hidden_size\":64,\"num_hidden_layers\":2," \
    "\"num_attention_heads\":4,\"block_ff_dim\":96,"
    refused(CONV "\"x\":1}", "of layer 0");
    refused(CONV "\"layer_types\":[\"conv\",\"full_attention\"],\"conv_bias\":true}", "conv_bias");
    refused(CONV "\"block_auto_adjust_ff_dim\":true,\"block_ffn_dim_multiplier\":1e300}", "block_ff_dim 96 makes no sense");
    refused(CONV "\"block_auto_adjust_ff_dim\":true,\"block_multiple_of\":0}", "makes no sense");
#define BERT "{\"architectures\":[\"BertModel\"],\"model_type\":\"bert\",\"hidden_size\":64,\"num_hidden_layers\":2,"
    refused(BERT "\"intermediate_size\":96}", "is missing");
    refused(BERT "\"num_attention_heads\":5,\"intermediate_size\":96,\"max_position_embeddings\":64}", "5 heads make no sense");
    refused(BERT "\"num_attention_heads\":4,\"intermediate_size\":96,\"max_position_embeddings\":64,\"hidden_act\":\"relu\"}",
            "this hidden_act");
    refused("{\"architectures\":[\"BertForTokenClassification\"],\"model_type\":\"bert\"}", "not one that generates text");
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(file, sizeof file, "%s.gguf", dir);
    snprintf(again, sizeof again, "%s-2.gguf", dir);
    snprintf(pooling_dir, sizeof pooling_dir, "%s/1_Pooling", dir);
    snprintf(pooling_file, sizeof pooling_file, "%s/config.json", pooling_dir);
    return mkdir(pooling_dir, 0700);
}

static int end(void **state)
{
    (void)state;
    unlink(file);
    unlink(again);
    unlink(pooling_file);
    rmdir(pooling_dir);
    hf_folder_remove(dir);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recurrent_models),
        cmocka_unit_test(encoders),
        cmocka_unit_test(gemma_four),
        cmocka_unit_test(nonsense),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
