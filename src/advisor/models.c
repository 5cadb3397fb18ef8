/* models.c - hyper-parameters as the models' own configurations publish them; sizes as the registry lists them.  Ranks are a
 * judgement, made of public comparisons in 2026: they only order what fits. */
#include "advisor/models.h"

#define GEN USE_GENERAL
#define COD USE_CODING
#define SML USE_SMALL
#define VIS USE_VISION
#define EMB USE_EMBEDDING

/* Shapes that several models have. */
#define QWEN3_06B { .L = 28, .D = 1024, .H = 16, .K = 8, .E = 128, .F = 3072, .V = 151936, .tied = true }
#define QWEN3_4B  { .L = 36, .D = 2560, .H = 32, .K = 8, .E = 128, .F = 9728, .V = 151936, .tied = true }
#define QWEN3_8B  { .L = 36, .D = 4096, .H = 32, .K = 8, .E = 128, .F = 12288, .V = 151936 }
#define QWEN3_30B { .L = 48, .D = 2048, .H = 32, .K = 4, .E = 128, .V = 151936, .experts = 128, .used = 8, .Fe = 768 }
#define QWEN25_7B { .L = 28, .D = 3584, .H = 28, .K = 4, .E = 128, .F = 18944, .V = 152064 }
#define MISTRAL24 { .L = 40, .D = 5120, .H = 32, .K = 8, .E = 128, .F = 32768, .V = 131072 }

static const struct known_model model[] = {
    { "deepseek-r1:671b", "DeepSeek R1 (V3) 671B", "MIT", GEN | COD, 98, 404,
      { .L = 61, .D = 7168, .H = 128, .K = 1, .E = 128, .F = 18432, .V = 129280, .experts = 256, .used = 8, .Fe = 2048,
        .shared = 2048, .dense = 3, .latent = 512, .rope = 64, .q_latent = 1536 } },
    { "qwen3-coder:480b", "Qwen3 Coder 480B-A35B", "Apache-2.0", COD, 99, 290,
      { .L = 62, .D = 6144, .H = 96, .K = 8, .E = 128, .V = 151936, .experts = 160, .used = 8, .Fe = 2560 } },
    { "qwen3:235b", "Qwen3 235B-A22B", "Apache-2.0", GEN | COD, 96, 142,
      { .L = 94, .D = 4096, .H = 64, .K = 4, .E = 128, .V = 151936, .experts = 128, .used = 8, .Fe = 1536 } },
    { "gpt-oss:120b", "gpt-oss 120B", "Apache-2.0", GEN | COD, 94, 65,
      { .L = 36, .D = 2880, .H = 64, .K = 8, .E = 64, .V = 201088, .experts = 128, .used = 4, .Fe = 2880, .window = 128,
        .every = 2 } },
    { "hf.co/unsloth/GLM-4.5-Air-GGUF:Q4_K_M", "GLM 4.5 Air 106B-A12B", "MIT", GEN | COD, 93, 73,
      { .L = 46, .D = 4096, .H = 96, .K = 8, .E = 128, .F = 10944, .V = 151552, .experts = 128, .used = 8, .Fe = 1408,
        .shared = 1408, .dense = 1 } },
    { "llama3.3:70b", "Llama 3.3 70B", "Llama 3.3", GEN, 86, 42.5,
      { .L = 80, .D = 8192, .H = 64, .K = 8, .E = 128, .F = 28672, .V = 128256 } },
    { "qwen3:32b", "Qwen3 32B", "Apache-2.0", GEN, 88, 20.2,
      { .L = 64, .D = 5120, .H = 64, .K = 8, .E = 128, .F = 25600, .V = 151936 } },
    { "qwen3:30b", "Qwen3 30B-A3B", "Apache-2.0", GEN, 85, 18.6, QWEN3_30B },
    { "qwen3-coder:30b", "Qwen3 Coder 30B-A3B", "Apache-2.0", COD, 88, 18.6, QWEN3_30B },
    { "gemma3:27b", "Gemma 3 27B", "Gemma", GEN | VIS, 80, 17.4,
      { .L = 62, .D = 5376, .H = 32, .K = 16, .E = 128, .F = 21504, .V = 262144, .window = 1024, .every = 6, .tied = true } },
    { "mistral-small3.2:24b", "Mistral Small 3.2 24B", "Apache-2.0", GEN | VIS, 79, 15.2, MISTRAL24 },
    { "devstral:24b", "Devstral 24B", "Apache-2.0", COD, 82, 14.3, MISTRAL24 },
    { "gpt-oss:20b", "gpt-oss 20B", "Apache-2.0", GEN | COD, 81, 13.8,
      { .L = 24, .D = 2880, .H = 64, .K = 8, .E = 64, .V = 201088, .experts = 32, .used = 4, .Fe = 2880, .window = 128,
        .every = 2 } },
    { "qwen2.5-coder:32b", "Qwen2.5 Coder 32B", "Apache-2.0", COD, 80, 19.9,
      { .L = 64, .D = 5120, .H = 40, .K = 8, .E = 128, .F = 27648, .V = 152064 } },
    { "qwen3:14b", "Qwen3 14B", "Apache-2.0", GEN, 78, 9.3,
      { .L = 40, .D = 5120, .H = 40, .K = 8, .E = 128, .F = 17408, .V = 151936 } },
    { "phi4:14b", "Phi-4 14B", "MIT", GEN, 74, 9.1,
      { .L = 40, .D = 5120, .H = 40, .K = 10, .E = 128, .F = 17920, .V = 100352 } },
    { "qwen2.5-coder:14b", "Qwen2.5 Coder 14B", "Apache-2.0", COD, 74, 9.0,
      { .L = 48, .D = 5120, .H = 40, .K = 8, .E = 128, .F = 13824, .V = 152064 } },
    { "gemma3:12b", "Gemma 3 12B", "Gemma", GEN | VIS, 73, 8.1,
      { .L = 48, .D = 3840, .H = 16, .K = 8, .E = 256, .F = 15360, .V = 262144, .window = 1024, .every = 6, .tied = true } },
    { "qwen3:8b", "Qwen3 8B", "Apache-2.0", GEN, 72, 5.2, QWEN3_8B },
    { "qwen3-vl:30b", "Qwen3-VL 30B-A3B", "Apache-2.0", VIS, 84, 19.6, QWEN3_30B },
    { "qwen3-vl:8b", "Qwen3-VL 8B", "Apache-2.0", VIS, 77, 6.1, QWEN3_8B },
    { "qwen3-vl:4b", "Qwen3-VL 4B", "Apache-2.0", VIS | SML, 68, 3.3, QWEN3_4B },
    { "qwen2.5vl:7b", "Qwen2.5-VL 7B", "Apache-2.0", VIS, 70, 6.0, QWEN25_7B },
    { "llama3.1:8b", "Llama 3.1 8B", "Llama 3.1", GEN, 66, 4.92,
      { .L = 32, .D = 4096, .H = 32, .K = 8, .E = 128, .F = 14336, .V = 128256 } },
    { "qwen2.5-coder:7b", "Qwen2.5 Coder 7B", "Apache-2.0", COD, 66, 4.7, QWEN25_7B },
    { "mistral:7b", "Mistral 7B v0.3", "Apache-2.0", GEN, 58, 4.4,
      { .L = 32, .D = 4096, .H = 32, .K = 8, .E = 128, .F = 14336, .V = 32768 } },
    { "qwen3:4b", "Qwen3 4B", "Apache-2.0", GEN | SML, 67, 2.5, QWEN3_4B },
    { "gemma3:4b", "Gemma 3 4B", "Gemma", GEN | SML | VIS, 63, 3.3,
      { .L = 34, .D = 2560, .H = 8, .K = 4, .E = 256, .F = 10240, .V = 262144, .window = 1024, .every = 6, .tied = true } },
    { "llama3.2:3b", "Llama 3.2 3B", "Llama 3.2", GEN | SML, 56, 2.0,
      { .L = 28, .D = 3072, .H = 24, .K = 8, .E = 128, .F = 8192, .V = 128256, .tied = true } },
    { "qwen3:1.7b", "Qwen3 1.7B", "Apache-2.0", SML, 55, 1.36,
      { .L = 28, .D = 2048, .H = 16, .K = 8, .E = 128, .F = 6144, .V = 151936, .tied = true } },
    { "qwen2.5-coder:1.5b", "Qwen2.5 Coder 1.5B", "Apache-2.0", COD | SML, 50, 0.99,
      { .L = 28, .D = 1536, .H = 12, .K = 2, .E = 128, .F = 8960, .V = 151936, .tied = true } },
    { "llama3.2:1b", "Llama 3.2 1B", "Llama 3.2", SML, 44, 1.3,
      { .L = 16, .D = 2048, .H = 32, .K = 8, .E = 64, .F = 8192, .V = 128256, .tied = true } },
    { "gemma3:1b", "Gemma 3 1B", "Gemma", SML, 46, 0.81,
      { .L = 26, .D = 1152, .H = 4, .K = 1, .E = 256, .F = 6912, .V = 262144, .window = 512, .every = 6, .tied = true } },
    { "qwen3:0.6b", "Qwen3 0.6B", "Apache-2.0", SML, 42, 0.52, QWEN3_06B },
    { "gemma3:270m", "Gemma 3 270M", "Gemma", SML, 30, 0.29,
      { .L = 18, .D = 640, .H = 4, .K = 1, .E = 256, .F = 2048, .V = 262144, .window = 512, .every = 6, .tied = true } },
    { "qwen3-embedding:8b", "Qwen3 Embedding 8B", "Apache-2.0", EMB, 95, 4.7,
      { .L = 36, .D = 4096, .H = 32, .K = 8, .E = 128, .F = 12288, .V = 151665, .tied = true } },
    { "qwen3-embedding:4b", "Qwen3 Embedding 4B", "Apache-2.0", EMB, 90, 2.5, QWEN3_4B },
    { "qwen3-embedding:0.6b", "Qwen3 Embedding 0.6B", "Apache-2.0", EMB, 80, 0.64, QWEN3_06B },
    { "embeddinggemma:300m", "EmbeddingGemma 300M", "Gemma", EMB, 76, 0.62,
      { .L = 24, .D = 768, .H = 3, .K = 1, .E = 256, .F = 1152, .V = 262144, .tied = true } },
    /* feed-forwards of two matrices are written as three of two thirds of the width */
    { "bge-m3", "BGE-M3 568M", "MIT", EMB, 74, 1.2,
      { .L = 24, .D = 1024, .H = 16, .K = 16, .E = 64, .F = 2731, .V = 250002, .tied = true } },
    { "nomic-embed-text", "Nomic Embed Text v1.5", "Apache-2.0", EMB, 66, 0.27,
      { .L = 12, .D = 768, .H = 12, .K = 12, .E = 64, .F = 3072, .V = 30522, .tied = true } },
    { "all-minilm", "all-MiniLM-L6 23M", "Apache-2.0", EMB, 40, 0.046,
      { .L = 6, .D = 384, .H = 12, .K = 12, .E = 32, .F = 1024, .V = 30522, .tied = true } },
};
enum { N_MODEL = sizeof model / sizeof *model };

const struct known_model *known_model_at(size_t i) { return i < N_MODEL ? &model[i] : NULL; }

/* ---- shapes ---- */

static double attention(const struct shape *s)
{
    double D = s->D, H = s->H, E = s->E;
    if (!s->latent) return 2 * D * H * E + 2 * D * s->K * E;
    double q = s->q_latent ? D * s->q_latent + s->q_latent * H * (E + s->rope) : D * H * (E + s->rope);
    return q + D * (s->latent + s->rope) + s->latent * H * 2 * E + H * E * D;
}

static double feed_forward(const struct shape *s, double experts)
{
    double D = s->D, plain = 3 * D * s->F;
    if (!s->experts) return s->L * plain;
    double routed = experts * 3 * D * s->Fe + D * s->experts + 3 * D * s->shared;
    return s->dense * plain + (s->L - s->dense) * routed;
}

double shape_parameters(const struct shape *s)
{
    double table = (double)s->V * s->D;
    return s->L * attention(s) + feed_forward(s, s->experts) + (s->tied ? 1 : 2) * table;
}

double shape_active(const struct shape *s)
{
    return s->L * attention(s) + feed_forward(s, s->used) + (double)s->V * s->D;
}

double shape_kv(const struct shape *s, uint32_t n_ctx)
{
    double row = s->latent ? 2.0 * (s->latent + s->rope) : 4.0 * s->K * s->E;
    double near = s->window && s->window + 512 < n_ctx ? s->window + 512 : n_ctx, far = n_ctx;
    double layers_far = s->window ? s->L / s->every : s->L;
    return row * (layers_far * far + (s->L - layers_far) * near);
}

/* How many of the experts are met by n tokens that choose at random. */
static double met(const struct shape *s, double n)
{
    double none = 1;
    for (double i = 0; i < n && none > 1e-9; i++) none *= 1 - (double)s->used / s->experts;
    return s->experts * (1 - none);
}

static double read_by(const struct shape *s, double n)
{
    double all = s->L * attention(s) + feed_forward(s, s->experts ? met(s, n) : 0) + (double)s->V * s->D;
    return all / shape_parameters(s);
}

void shape_load(struct load *out, const struct shape *s, const struct shape_load *o)
{
    const double S = o->n_sessions ? o->n_sessions : 1, macs = shape_active(s), head = (double)s->V * s->D;
    const double width = s->H * s->E + 2.0 * s->K * s->E + 4.0 * s->D + 2.0 * (s->experts ? s->Fe * s->used : s->F);
    *out = (struct load){ .weights = (uint64_t)o->weight_bytes, .n_layer = s->L, .n_sessions = (uint32_t)S,
                          .n_prompt = o->n_prompt, .experts = s->experts > 0, .encoder = o->encoder };
    out->kv = o->encoder ? 0 : (uint64_t)(S * shape_kv(s, o->n_ctx));
    out->compute = (uint64_t)(4 * (512 * width + 33.0 * s->V));
    out->other = 32 << 20;
    out->prefill = (struct work){ .bytes = o->weight_bytes * read_by(s, o->n_prompt),
                                  .int_macs = (macs - head) * o->n_prompt + head };
    out->decode = (struct work){ .bytes = o->weight_bytes * read_by(s, S) + S * shape_kv(s, o->n_prompt), .int_macs = S * macs };
}
