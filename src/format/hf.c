#include "format/hf.h"

#include <string.h>

#include "base/mem.h"
#include "format/dialect.h"
#include "format/hf_impl.h"

static const struct hf_family families[] = {
    { "llama", "LlamaForCausalLM", "llama", HF_HALF },
    { "mistral", "MistralForCausalLM", "llama", HF_HALF | HF_WINDOW },
    { "mixtral", "MixtralForCausalLM", "llama", HF_HALF | HF_WINDOW | HF_MOE },
    { "ministral3", "Ministral3ForCausalLM", "mistral3", HF_HALF },
    { "qwen2", "Qwen2ForCausalLM", "qwen2", 0 },
    { "qwen2_moe", "Qwen2MoeForCausalLM", "qwen2moe", HF_MOE | HF_SHARED },
    { "qwen2_vl", "Qwen2VLForConditionalGeneration", "qwen2", 0 },
    { "qwen2_vl_text", "Qwen2VLForConditionalGeneration", "qwen2", 0 },
    { "qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", "qwen2", 0 },
    { "qwen2_5_vl_text", "Qwen2_5_VLForConditionalGeneration", "qwen2", 0 },
    { "qwen3", "Qwen3ForCausalLM", "qwen3", HF_QKNORM },
    { "qwen3_moe", "Qwen3MoeForCausalLM", "qwen3moe", HF_MOE | HF_QKNORM },
    { "qwen3_vl_text", "Qwen3VLForConditionalGeneration", "qwen3", HF_QKNORM },
    { "qwen3_vl_moe_text", "Qwen3VLMoeForConditionalGeneration", "qwen3moe", HF_MOE | HF_QKNORM },
    { "gemma", "GemmaForCausalLM", "gemma", HF_PLUS_ONE },
    { "gemma2", "Gemma2ForCausalLM", "gemma2", HF_PLUS_ONE | HF_SANDWICH },
    { "gemma3_text", "Gemma3ForCausalLM", "gemma3", HF_PLUS_ONE | HF_SANDWICH | HF_QKNORM },
    { "gemma3_text", "Gemma3ForConditionalGeneration", "gemma3", HF_PLUS_ONE | HF_SANDWICH | HF_QKNORM },
    { "gemma3_text", "Gemma3TextModel", "gemma-embedding", HF_PLUS_ONE | HF_SANDWICH | HF_QKNORM },
    { "gemma4_text", "Gemma4ForCausalLM", "gemma4", HF_SANDWICH | HF_QKNORM | HF_MOE | HF_LEAD | HF_GEMMA4 },
    { "gemma4_text", "Gemma4ForConditionalGeneration", "gemma4", HF_SANDWICH | HF_QKNORM | HF_MOE | HF_LEAD | HF_GEMMA4 },
    { "phi3", "Phi3ForCausalLM", "phi3", HF_FUSED | HF_GATE_UP },
    { "olmo2", "Olmo2ForCausalLM", "olmo2", HF_POST | HF_QKNORM },
    { "olmo3", "Olmo3ForCausalLM", "olmo2", HF_POST | HF_QKNORM },
    { "granite", "GraniteForCausalLM", "granite", HF_HALF },
    { "granitemoe", "GraniteMoeForCausalLM", "granitemoe", HF_HALF | HF_MOE },
    { "granitemoehybrid", "GraniteMoeHybridForCausalLM", "granite", HF_HALF | HF_HYBRID },
    { "smollm3", "SmolLM3ForCausalLM", "smollm3", HF_HALF },
    { "cohere", "CohereForCausalLM", "command-r", HF_LAYERNORM },
    { "cohere2", "Cohere2ForCausalLM", "cohere2", HF_LAYERNORM },
    { "glm", "GlmForCausalLM", "chatglm", HF_GATE_UP },
    { "glm4", "Glm4ForCausalLM", "glm4", HF_GATE_UP | HF_GLM4 },
    { "glm4_moe", "Glm4MoeForCausalLM", "glm4moe", HF_NAMED_POST | HF_QKNORM | HF_MOE | HF_LEAD | HF_SHARED | HF_ROUTED },
    { "deepseek_v2", "DeepseekV2ForCausalLM", "deepseek2", HF_LATENT | HF_MOE | HF_LEAD | HF_SHARED | HF_ROUTED },
    { "deepseek_v3", "DeepseekV3ForCausalLM", "deepseek2", HF_LATENT | HF_MOE | HF_LEAD | HF_SHARED | HF_ROUTED },
    { "kimi_k2", "DeepseekV3ForCausalLM", "deepseek2", HF_LATENT | HF_MOE | HF_LEAD | HF_SHARED | HF_ROUTED },
    { "glm4_moe_lite", "Glm4MoeLiteForCausalLM", "deepseek2", HF_LATENT | HF_MOE | HF_LEAD | HF_SHARED | HF_ROUTED },
    { "deepseek", "DeepseekForCausalLM", "deepseek", HF_HALF | HF_MOE | HF_LEAD | HF_SHARED | HF_ROUTED },
    { "dots1", "Dots1ForCausalLM", "dots1", HF_QKNORM | HF_MOE | HF_LEAD | HF_SHARED | HF_ROUTED },
    { "olmoe", "OlmoeForCausalLM", "olmoe", HF_MOE | HF_QKNORM },
    { "seed_oss", "SeedOssForCausalLM", "seed_oss", HF_NAMED_POST },
    { "ernie4_5", "Ernie4_5ForCausalLM", "ernie4_5", 0 },
    { "exaone4", "Exaone4ForCausalLM", "exaone4", HF_POST | HF_QKNORM },
    { "hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", "hunyuan-dense", HF_QKNORM },
    { "starcoder2", "Starcoder2ForCausalLM", "starcoder2", HF_LAYERNORM | HF_PLAIN | HF_WINDOW },
    { "phi", "PhiForCausalLM", "phi2", HF_LAYERNORM | HF_PLAIN },
    { "qwen3_next", "Qwen3NextForCausalLM", "qwen3next",
      HF_NAMED_POST | HF_QKNORM | HF_MOE | HF_SHARED | HF_PLUS_ONE | HF_DELTA },
    { "qwen3_5_text", "Qwen3_5ForConditionalGeneration", "qwen35", HF_NAMED_POST | HF_QKNORM | HF_PLUS_ONE | HF_DELTA },
    { "qwen3_5_text", "Qwen3_5ForCausalLM", "qwen35", HF_NAMED_POST | HF_QKNORM | HF_PLUS_ONE | HF_DELTA },
    { "qwen3_5_moe_text", "Qwen3_5MoeForConditionalGeneration", "qwen35moe",
      HF_NAMED_POST | HF_QKNORM | HF_MOE | HF_SHARED | HF_PLUS_ONE | HF_DELTA },
    { "qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", "qwen35moe",
      HF_NAMED_POST | HF_QKNORM | HF_MOE | HF_SHARED | HF_PLUS_ONE | HF_DELTA },
    { "lfm2", "Lfm2ForCausalLM", "lfm2", HF_CONV },
    { "lfm2_moe", "Lfm2MoeForCausalLM", "lfm2moe", HF_CONV | HF_MOE | HF_LEAD },
    { "bert", "BertModel", "bert", HF_BERT },
    { "roberta", "RobertaModel", "bert", HF_BERT },
    { "xlm-roberta", "XLMRobertaModel", "bert", HF_BERT },
    { "nomic_bert", "NomicBertModel", "nomic-bert", HF_NOMIC },
    { "modernbert", "ModernBertModel", "modern-bert", HF_MODERN },
    { "gpt_oss", "GptOssForCausalLM", "gpt-oss", HF_NAMED_POST | HF_MOE | HF_OSS },
};

const struct hf_family *hf_family_of_arch(struct gguf_str arch, size_t i)
{
    for (size_t k = 0; k < sizeof families / sizeof *families; k++) {
        const char *name = families[k].arch;
        if (strlen(name) == arch.n && !memcmp(name, arch.s, arch.n) && i-- == 0) return &families[k];
    }
    return NULL;
}

int hf_nomem(const struct hf *h) { return err_set(h->err, ERR_NOMEM, "%s: out of memory reading the model", h->folder); }

char *hf_path(struct hf *h, const char *name)
{
    size_t n = strlen(h->folder) + strlen(name) + 2;
    char *p = arena_new(&h->arena, char, n);
    if (p) fmt_into(p, n, "%s/%s", h->folder, name);
    return p;
}

int hf_json(struct hf *h, const char *name, struct json **out)
{
    const char *path = hf_path(h, name);
    char *text;
    size_t n;
    *out = NULL;
    if (!path) return hf_nomem(h);
    if (!os_file_exists(path)) return 0;
    int rc = os_read_file(path, HF_MAX_CONFIG, &text, &n, h->err);
    if (rc < 0) return rc;
    rc = json_parse(out, text, n, h->err);
    mem_free(text);
    if (rc < 0) return err_prefix(h->err, rc, "%s: ", path);
    if (json_type(*out) == JSON_OBJECT) return 0;
    json_free(*out);
    *out = NULL;
    return err_set(h->err, ERR_FORMAT, "%s: not a JSON object", path);
}

struct gguf_tensor *hf_add(struct hf *h, const char *name)
{
    if (h->n_tensors == h->cap_tensors) {
        size_t cap = h->cap_tensors ? h->cap_tensors * 2 : 256;
        struct gguf_tensor *v = arena_new(&h->arena, struct gguf_tensor, cap);
        if (!v) goto fail;
        if (h->n_tensors) memcpy(v, h->tensor, h->n_tensors * sizeof *v);
        h->tensor = v;
        h->cap_tensors = cap;
    }
    struct gguf_tensor *t = &h->tensor[h->n_tensors];
    *t = (struct gguf_tensor){ .name = arena_strdup(&h->arena, name, strlen(name)), .ne = { 1, 1, 1, 1 }, .file = GGUF_NO_FILE };
    if (!t->name) goto fail;
    h->n_tensors++;
    return t;
fail:
    hf_nomem(h);
    return NULL;
}

/* ---- which family ---- */

/* By the type, and where several classes have it by the class. */
static const struct hf_family *family_of(const char *type, const char *class)
{
    const struct hf_family *f = NULL;
    for (size_t i = 0; type && i < sizeof families / sizeof *families; i++) {
        if (strcmp(families[i].type, type) != 0) continue;
        if (!f) f = &families[i];
        if (class && !strcmp(families[i].class, class)) return &families[i];
    }
    return f;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static int find_family(struct hf *h)
{
    const char *class = json_str(json_at(json_get(h->config, "architectures"), 0), NULL);
    const char *type = json_str(json_get(h->text, "model_type"), NULL);
    struct gguf_shown a = gguf_show((struct gguf_str){ class ? class : "", class ? strlen(class) : 0 });
    struct gguf_shown b = gguf_show((struct gguf_str){ type ? type : "", type ? strlen(type) : 0 });
    static const char *const heads[] = { "Model", "ForMaskedLM", "ForSequenceClassification" };
    const struct hf_family *f = family_of(type, class);
    bool known = !class || ends_with(class, "CausalLM") || ends_with(class, "ForConditionalGeneration");
    /* texts can be embedded by models without a head, too */
    for (size_t i = 0; f && class && i < (f->flags & HF_ENCODER ? sizeof heads / sizeof *heads : 1); i++)
        known = known || ends_with(class, heads[i]);
    if (!known)
        return err_set(h->err, ERR_UNSUPPORTED, "%s: the model is a %s, not one that generates text", h->config_path, a.s);
    h->family = f;
    for (size_t i = 0; class && !h->family && i < sizeof families / sizeof *families; i++)
        if (!strcmp(families[i].class, class)) h->family = &families[i];
    if (h->family) return 0;
    if (!class && !type)
        return err_set(h->err, ERR_FORMAT, "%s: has neither architectures nor model_type; not a model's configuration",
                       h->config_path);
    return err_set(h->err, ERR_UNSUPPORTED, "%s: architecture %s (model_type '%s') is not supported yet", h->config_path,
                   class ? a.s : "(not named)", b.s);
}

/* What the classes of configurations mean by keys that are absent: files of models with pictures leave such keys out. */
static int put_defaults(struct hf *h)
{
    static const struct { const char *type, *key; double v; } row[] = {
#define HF_DEFAULT(type, key, v) { #type, #key, v },
#include "format/hf_defaults.def"
#undef HF_DEFAULT
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (strcmp(h->family->type, row[i].type) != 0 || json_get(h->text, row[i].key)) continue;
        bool whole = row[i].v == (double)(int64_t)row[i].v;
        if (!json_put(h->text, row[i].key, whole ? json_new_int((int64_t)row[i].v) : json_new_real(row[i].v)))
            return hf_nomem(h);
    }
    return 0;
}

static int read_configs(struct hf *h)
{
    if (!(h->config_path = hf_path(h, "config.json"))) return hf_nomem(h);
    if (!os_file_exists(h->config_path))
        return err_set(h->err, ERR_NOTFOUND, "%s: has no config.json; not the folder of a model", h->folder);
    int rc = hf_json(h, "config.json", &h->config);
    if (rc == 0) rc = hf_json(h, "generation_config.json", &h->generation);
    if (rc == 0) rc = hf_json(h, "tokenizer_config.json", &h->tokenizer);
    if (rc == 0) rc = hf_json(h, "special_tokens_map.json", &h->special);
    if (rc < 0) return rc;
    h->text = json_get(h->config, "text_config");
    if (json_type(h->text) != JSON_OBJECT) h->text = json_get(h->config, "language_config");
    if (json_type(h->text) != JSON_OBJECT) h->text = h->config;
    rc = find_family(h);
    return rc < 0 ? rc : put_defaults(h);
}

/* ---- keys that belong to no other file ---- */

static void put_str(struct hf *h, const char *key, const char *s) { gguf_put_str(h->w, key, s, strlen(s)); }

/* The folder's own name; in a cache of the Hub, "models--OWNER--NAME/snapshots/COMMIT", that of the model. */
static void put_name(struct hf *h)
{
    const char *end = h->folder + strlen(h->folder), *from;
    for (int level = 0; level < 3; level++) {
        while (end > h->folder && end[-1] == '/') end--;
        for (from = end; from > h->folder && from[-1] != '/'; from--) {}
        if (level == 0 && (end - from != 40 || strspn(from, "0123456789abcdef") < 40)) break;
        if (level < 2) end = from;
    }
    if (end - from > 8 && !strncmp(from, "models--", 8)) {
        from += 8;
        for (const char *p = from; p + 2 < end; p++)
            if (p[0] == '-' && p[1] == '-') from = p + 2;
    }
    if (*from != '.' && end > from && end - from < 256) gguf_put_str(h->w, "general.name", from, (size_t)(end - from));
}

static void put_sampling(struct hf *h)
{
    static const struct { const char *from, *to; } number[] = {
        { "temperature", "general.sampling.temp" }, { "top_p", "general.sampling.top_p" },
        { "min_p", "general.sampling.min_p" }, { "repetition_penalty", "general.sampling.penalty_repeat" },
    };
    struct json *greedy = json_get(h->generation, "do_sample");
    double v;
    if (json_type(greedy) == JSON_BOOL && !json_bool(greedy)) return;
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if (hf_num(h->generation, number[i].from, &v) && v >= 0 && v <= 100) gguf_put_f32(h->w, number[i].to, (float)v);
    if (hf_num(h->generation, "top_k", &v) && v >= 0 && v < 1 << 24) gguf_put_i32(h->w, "general.sampling.top_k", (int32_t)v);
}

static int put_template_file(struct hf *h, const char *name, bool *found)
{
    const char *path = hf_path(h, name);
    char *text;
    size_t n;
    if (!path) return hf_nomem(h);
    if (*found || !os_file_exists(path)) return 0;
    int rc = os_read_file(path, GGUF_MAX_TEMPLATE, &text, &n, h->err);
    if (rc < 0) return rc;
    gguf_put_str(h->w, "tokenizer.chat_template", text, n);
    mem_free(text);
    *found = true;
    return 0;
}

/* The template stands in a file of its own, or in tokenizer_config.json as a text or a list of named ones. */
static int put_template(struct hf *h)
{
    bool found = false;
    int rc = put_template_file(h, "chat_template.jinja", &found);
    if (rc < 0 || found) return rc;
    struct json *file, *t = json_get(h->tokenizer, "chat_template");
    if ((rc = hf_json(h, "chat_template.json", &file)) < 0) return rc;
    if (!t) t = json_get(file, "chat_template");
    for (size_t i = 0; json_type(t) == JSON_ARRAY && i < json_len(t); i++) {
        const char *name = json_str(json_get(json_at(t, i), "name"), NULL);
        if (!name || strcmp(name, "default") != 0) continue;
        t = json_get(json_at(t, i), "template");
        break;
    }
    size_t n;
    const char *s = json_str(t, &n);
    if (!s && (s = h->conversation) != NULL) n = strlen(s);
    if (s) gguf_put_str(h->w, "tokenizer.chat_template", s, n);
    json_free(file);
    return 0;
}

static int put_tokenizer(struct hf *h)
{
    static const struct { const char *name; int (*read)(struct hf *h, const char *path); } file[] = {
        { "tokenizer.json", hf_tokenizer_json }, { "tekken.json", hf_tokenizer_tekken },
        { "tokenizer.model", hf_tokenizer_model },
    };
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        const char *path = hf_path(h, file[i].name);
        if (!path) return hf_nomem(h);
        if (os_file_exists(path)) return file[i].read(h, path);
    }
    return err_set(h->err, ERR_NOTFOUND, "%s: has none of tokenizer.json, tekken.json and tokenizer.model", h->folder);
}

/* ---- the result ---- */

static void close_hf(void *owner)
{
    struct hf *h = owner;
    if (!h) return;
    json_free(h->config);
    json_free(h->generation);
    json_free(h->tokenizer);
    json_free(h->special);
    gguf_writer_close(h->w);
    safetensors_close(h->st);
    for (int i = 0; i < 2; i++) safetensors_close(h->dense[i]);
    buf_release(&h->header);
    arena_release(&h->arena);
    mem_free(h);
}

static void willneed(void *owner)
{
    struct hf *h = owner;
    if (h->st) safetensors_willneed(h->st);
}

/* A folder without weights is one of a vocabulary, unless it has them in a form that is not read. */
static int check_weights(struct hf *h)
{
    static const struct { const char *name, *why; } other[] = {
        { "pytorch_model.bin", "pickles can run code and are never read; take a version with model.safetensors" },
        { "pytorch_model.bin.index.json", "pickles can run code and are never read; take a version with model.safetensors" },
        { "consolidated.safetensors", "tensors under Mistral's own names are not read; take the files model-0000N-of-0000N" },
        { "consolidated.00.pth", "pickles can run code and are never read; take a version with model.safetensors" },
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        const char *path = hf_path(h, other[i].name);
        if (!path) return hf_nomem(h);
        if (os_file_exists(path)) return err_set(h->err, ERR_UNSUPPORTED, "%s: %s", path, other[i].why);
    }
    return 0;
}

static int translate(struct hf *h)
{
    int rc = read_configs(h);
    if (rc == 0) rc = gguf_writer_open(&h->w, h->err);
    if (rc < 0) return rc;
    put_str(h, "general.architecture", h->family->arch);
    put_name(h);
    rc = safetensors_open(&h->st, h->folder, h->err);
    if (rc == ERR_NOTFOUND) rc = check_weights(h);
    if (rc == 0 && h->family->flags & HF_ENCODER) rc = hf_encoder_config(h);
    else if (rc == 0 && h->family->flags & HF_GEMMA4) rc = hf_gemma4_config(h);
    else if (rc == 0 && (rc = hf_config(h)) == 0) rc = hf_rope(h);
    if (rc == 0) rc = hf_pooling(h);
    if (rc == 0 && h->st) rc = hf_tensors(h);
    if (rc == 0 && h->st) rc = hf_dense(h);
    if (rc == 0) rc = put_tokenizer(h);
    if (rc == 0) rc = put_template(h);
    if (rc < 0) return rc;
    put_sampling(h);
    rc = gguf_writer_bytes(h->w, &h->header, h->err);
    return rc < 0 ? err_prefix(h->err, rc, "%s: ", h->folder) : 0;
}

static const char *const inside[] = { "config.json", "model.safetensors", "model.safetensors.index.json" };

/* The folder that path means: itself, or where one of its files is. */
static char *folder_of(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(path);
    if (os_is_folder(path)) {
        while (n > 1 && path[n - 1] == '/') n--;
        return arena_strdup(a, path, n);
    }
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (!strcmp(name, inside[i])) {
            if (!slash) return arena_strdup(a, ".", 1);
            return arena_strdup(a, path, slash == path ? 1 : (size_t)(slash - path));
        }
    return arena_strdup(a, path, n);
}

int hf_open(struct gguf **out, const char *path, struct err *err)
{
    *out = NULL;
    struct hf *h = mem_new(1, sizeof *h);
    if (!h || !(h->folder = folder_of(&h->arena, path))) {
        close_hf(h);
        return err_set(err, ERR_NOMEM, "%s: out of memory reading the model", path);
    }
    h->err = err;
    int rc = translate(h);
    gguf_writer_close(h->w);
    h->w = NULL;
    if (rc < 0) {
        close_hf(h);
        return rc;
    }
    struct gguf_view v = {
        .path = h->folder,
        .header = (const uint8_t *)h->header.data,
        .header_bytes = h->header.len,
        .tensor = h->tensor,
        .n_tensors = h->n_tensors,
        .n_files = h->st ? safetensors_n_files(h->st) : 0,
        .file_bytes = h->st ? safetensors_bytes(h->st) : 0,
        .owner = h,
        .release = close_hf,
        .willneed = willneed,
    };
    if (h->st) v.data = safetensors_data(h->st, 0, &v.data_bytes);
    h->err = NULL;
    return gguf_from_view(out, &v, err);
}

int model_file_open(struct gguf **out, const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (os_is_folder(path)) return hf_open(out, path, err);
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (!strcmp(name, inside[i])) return hf_open(out, path, err);
    int rc = gguf_open(out, path, err);
    return rc < 0 ? rc : dialect_translate(out, err);
}
