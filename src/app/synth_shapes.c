/* synth_shapes.c - hyper-parameters as published in the models' own configurations. */
#include <string.h>

#include "app/synth.h"

static const struct synth_shape shape[] = {
    { .name = "llama-1b", .model = "Llama-3.2-1B", .arch = "llama", .vocab = VOCAB_LLAMA3, .L = 16, .D = 2048, .H = 32, .K = 8,
      .E = 64, .F = 8192, .V = 128256, .ctx = 131072, .eps = 1e-5f, .base = 500000, .llama3 = 32, .tied = true },
    { .name = "llama-3b", .model = "Llama-3.2-3B", .arch = "llama", .vocab = VOCAB_LLAMA3, .L = 28, .D = 3072, .H = 24, .K = 8,
      .E = 128, .F = 8192, .V = 128256, .ctx = 131072, .eps = 1e-5f, .base = 500000, .llama3 = 32, .tied = true },
    { .name = "llama-8b", .model = "Llama-3.1-8B", .arch = "llama", .vocab = VOCAB_LLAMA3, .L = 32, .D = 4096, .H = 32, .K = 8,
      .E = 128, .F = 14336, .V = 128256, .ctx = 131072, .eps = 1e-5f, .base = 500000, .llama3 = 8 },
    { .name = "mistral-7b", .model = "Mistral-7B-v0.3", .arch = "llama", .vocab = VOCAB_MISTRAL, .L = 32, .D = 4096, .H = 32,
      .K = 8, .E = 128, .F = 14336, .V = 32768, .ctx = 32768, .eps = 1e-5f, .base = 1000000 },
    { .name = "qwen2-1.5b", .model = "Qwen2.5-1.5B", .arch = "qwen2", .vocab = VOCAB_QWEN, .L = 28, .D = 1536, .H = 12, .K = 2,
      .E = 128, .F = 8960, .V = 151936, .ctx = 32768, .eps = 1e-6f, .base = 1000000, .tied = true, .bias = true },
    { .name = "qwen3-0.6b", .model = "Qwen3-0.6B", .arch = "qwen3", .vocab = VOCAB_QWEN, .L = 28, .D = 1024, .H = 16, .K = 8,
      .E = 128, .F = 3072, .V = 151936, .ctx = 40960, .eps = 1e-6f, .base = 1000000, .tied = true, .head_norms = true },
    { .name = "qwen3-4b", .model = "Qwen3-4B", .arch = "qwen3", .vocab = VOCAB_QWEN, .L = 36, .D = 2560, .H = 32, .K = 8,
      .E = 128, .F = 9728, .V = 151936, .ctx = 40960, .eps = 1e-6f, .base = 1000000, .tied = true, .head_norms = true },
    { .name = "qwen3-8b", .model = "Qwen3-8B", .arch = "qwen3", .vocab = VOCAB_QWEN, .L = 36, .D = 4096, .H = 32, .K = 8,
      .E = 128, .F = 12288, .V = 151936, .ctx = 40960, .eps = 1e-6f, .base = 1000000, .head_norms = true },
    { .name = "qwen3-30b-a3b", .model = "Qwen3-30B-A3B", .arch = "qwen3moe", .vocab = VOCAB_QWEN, .L = 48, .D = 2048, .H = 32,
      .K = 4, .E = 128, .F = 6144, .V = 151936, .ctx = 40960, .experts = 128, .used = 8, .Fe = 768, .eps = 1e-6f,
      .base = 1000000, .head_norms = true },
    { .name = "gemma3-270m", .model = "Gemma-3-270M", .arch = "gemma3", .vocab = VOCAB_GEMMA, .L = 18, .D = 640, .H = 4, .K = 1,
      .E = 256, .F = 2048, .V = 262144, .ctx = 32768, .window = 512, .eps = 1e-6f, .base = 1000000, .tied = true,
      .head_norms = true, .post_norms = true },
    { .name = "gemma3-1b", .model = "Gemma-3-1B", .arch = "gemma3", .vocab = VOCAB_GEMMA, .L = 26, .D = 1152, .H = 4, .K = 1,
      .E = 256, .F = 6912, .V = 262144, .ctx = 32768, .window = 512, .eps = 1e-6f, .base = 1000000, .tied = true,
      .head_norms = true, .post_norms = true },
    { .name = "gemma3-4b", .model = "Gemma-3-4B", .arch = "gemma3", .vocab = VOCAB_GEMMA, .L = 34, .D = 2560, .H = 8, .K = 4,
      .E = 256, .F = 10240, .V = 262144, .ctx = 131072, .window = 1024, .eps = 1e-6f, .base = 1000000, .linear = 8,
      .tied = true, .head_norms = true, .post_norms = true },
    { .name = "phi3-mini", .model = "Phi-3-mini-4k", .arch = "phi3", .vocab = VOCAB_PHI3, .L = 32, .D = 3072, .H = 32, .K = 32,
      .E = 96, .F = 8192, .V = 32064, .ctx = 4096, .window = 2047, .eps = 1e-5f, .base = 10000, .fused = true },
};
enum { N_SHAPE = sizeof shape / sizeof *shape };

const struct synth_shape *synth_shape_at(size_t i) { return i < N_SHAPE ? &shape[i] : NULL; }

const struct synth_shape *synth_shape_find(const char *name)
{
    for (size_t i = 0; i < N_SHAPE; i++)
        if (!strcmp(shape[i].name, name)) return &shape[i];
    return NULL;
}
