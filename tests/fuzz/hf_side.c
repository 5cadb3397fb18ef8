/* Fuzz target: what lies beside config.json in a folder from the Hugging Face Hub.  The first byte chooses the file. */
#include <sys/stat.h>

#include "tests/fuzz/hf.h"

static const char *const names[] = { "model.safetensors.index.json", "generation_config.json", "tokenizer_config.json",
                                     "1_Pooling/config.json" };
static const char bert[] =
    "{\"architectures\":[\"BertModel\"],\"model_type\":\"bert\",\"hidden_size\":8,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":2,\"intermediate_size\":8,\"max_position_embeddings\":8,\"vocab_size\":4}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool made;
    if (!n) return 0;
    if (!made) fuzz_folder("tokenizer_config.json", (const uint8_t *)"{}", 2);
    made = true;
    char path[128], folder[128];
    const char *name = names[data[0] % 4];
    const bool pools = data[0] % 4 == 3;
    snprintf(path, sizeof path, "%s/%s", fuzz_dir, name);
    snprintf(folder, sizeof folder, "%s/1_Pooling", fuzz_dir);
    if (pools) mkdir(folder, 0700);
    fuzz_write("config.json", pools ? bert : fuzz_config, (pools ? sizeof bert : sizeof fuzz_config) - 1);
    fuzz_folder(name, data + 1, n - 1);
    unlink(path);
    if (pools) rmdir(folder);
    return 0;
}
