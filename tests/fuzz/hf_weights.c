/* Fuzz target: model.safetensors of a folder from the Hugging Face Hub: names, shapes and types of tensors, quantised ones of
 * every kind.  The first byte chooses the configuration; what is offered is read at its ends. */
#include "format/split.h"
#include "quant/quant.h"
#include "tests/fuzz/hf.h"

#define SIZES "\"hidden_size\":32,\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":2,\"head_dim\":16," \
    "\"intermediate_size\":32,\"moe_intermediate_size\":32,\"tie_word_embeddings\":true,"
#define QUANT(...) "{\"model_type\":\"llama\"," SIZES "\"quantization_config\":{" __VA_ARGS__ "}}"
static const char *const configs[] = {
    "{\"model_type\":\"llama\"," SIZES "\"x\":0}",
    QUANT("\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32"),
    QUANT("\"quant_method\":\"gptq\",\"bits\":3,\"group_size\":-1"),
    QUANT("\"quant_method\":\"awq\",\"bits\":4,\"group_size\":32"),
    QUANT("\"quant_method\":\"fp8\",\"weight_block_size\":[16,16]"),
    QUANT("\"quant_method\":\"compressed-tensors\""),
    "{\"model_type\":\"llama\"," SIZES "\"quantization\":{\"group_size\":32,\"bits\":4}}",
    "{\"model_type\":\"llama\"," SIZES "\"quantization\":{\"mode\":\"mxfp4\"}}",
    "{\"model_type\":\"granitemoehybrid\"," SIZES "\"shared_intermediate_size\":32,"
    "\"quantization\":{\"group_size\":32,\"bits\":4}}",
    "{\"model_type\":\"gpt_oss\"," SIZES "\"num_local_experts\":2,\"sliding_window\":8}",
    "{\"model_type\":\"qwen3_moe\"," SIZES "\"num_experts\":2,\"norm_topk_prob\":true}",
    "{\"model_type\":\"qwen3_next\"," SIZES "\"num_experts\":2,\"norm_topk_prob\":true,\"linear_num_key_heads\":1,"
    "\"linear_num_value_heads\":2,\"linear_key_head_dim\":8,\"linear_value_head_dim\":8}",
    "{\"architectures\":[\"BertModel\"],\"model_type\":\"bert\"," SIZES "\"max_position_embeddings\":8}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t ends_of(const struct gguf_tensor *t, const uint8_t *p, uint64_t bytes)
{
    float row[512];
    if (dtype_info(t->type)->family != DTF_SPLIT) return bytes ? (uint64_t)p[0] + p[bytes - 1] : 0;
    const struct split *s = (const struct split *)(const void *)p;
    if (s->rows != t->ne[1] || s->cols != t->ne[0]) abort();
    if (s->cols > 512) return 0;
    split_unpack(s, 0, row, (size_t)s->cols);
    split_unpack(s, s->rows - 1, row, (size_t)s->cols);
    return row[0] > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool made;
    static volatile uint64_t sum;
    if (!n) return 0;
    if (!made) {
        if (!mkdtemp(fuzz_dir)) abort();
        fuzz_write("tokenizer.json", fuzz_tokenizer, sizeof fuzz_tokenizer - 1);
        atexit(fuzz_remove);
        made = true;
    }
    const char *config = configs[data[0] % (sizeof configs / sizeof *configs)];
    fuzz_write("config.json", config, strlen(config));
    fuzz_write("model.safetensors", data + 1, n - 1);
    struct gguf *g;
    struct err err = { 0 };
    int rc = hf_open(&g, fuzz_dir, &err);
    if (rc < 0 && (g || err.code != rc || strncmp(err.msg, fuzz_dir, strlen(fuzz_dir)) != 0)) abort();
    for (size_t i = 0; rc == 0 && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        for (uint64_t e = 0; e < (t->slice ? t->ne[2] : 1); e++)
            sum += ends_of(t, t->slice ? t->slice[e] : t->data, t->slice ? t->bytes / t->ne[2] : t->bytes);
    }
    gguf_close(g);
    return 0;
}
