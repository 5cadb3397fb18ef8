/* hf.h - for the fuzz targets of Hugging Face folders: a folder in which one file is the input, opened as far as that goes
 * without computing. */
#ifndef HEARTH_TESTS_FUZZ_HF_H
#define HEARTH_TESTS_FUZZ_HF_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/hf.h"
#include "text/tokenizer.h"

static char fuzz_dir[] = "/tmp/hearth-fuzz-XXXXXX";

static inline void fuzz_write(const char *name, const void *data, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fuzz_dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f)) abort();
}

static inline void fuzz_remove(void)
{
    static const char *const names[] = { "config.json", "tokenizer.json", "tokenizer.model", "tekken.json",
                                         "model.safetensors", "tokenizer_config.json" };
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", fuzz_dir, names[i]);
        unlink(path);
    }
    rmdir(fuzz_dir);
}

static const char fuzz_config[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":8,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":2,\"intermediate_size\":8,\"vocab_size\":4}";
static const char fuzz_tokenizer[] =
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a "
    "b\"]},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}";

/* The folder with the input as the file `name`: an error that names the folder, or a model whose words can be cut. */
static inline int fuzz_folder(const char *name, const uint8_t *data, size_t n)
{
    static bool made;
    if (!made) {
        if (!mkdtemp(fuzz_dir)) abort();
        fuzz_write("config.json", fuzz_config, sizeof fuzz_config - 1);
        if (strcmp(name, "tokenizer.model") && strcmp(name, "tekken.json"))
            fuzz_write("tokenizer.json", fuzz_tokenizer, sizeof fuzz_tokenizer - 1);
        atexit(fuzz_remove);
        made = true;
    }
    fuzz_write(name, data, n);
    struct gguf *g;
    struct tokenizer *t = NULL;
    struct err err = { 0 };
    int rc = hf_open(&g, fuzz_dir, &err);
    if (rc < 0 && (g || err.code != rc || strncmp(err.msg, fuzz_dir, strlen(fuzz_dir)) != 0)) abort();
    if (rc == 0 && tokenizer_open(&t, g, &err) == 0) {
        struct ids ids = { 0 };
        struct buf text = { 0 };
        if (tokenizer_encode(t, "a ab  \xc3\xa9 <s>\n9", 13, TOK_SPECIAL | TOK_PARSE, &ids, &err) < 0) abort();
        for (size_t i = 0; i < ids.n; i++)
            if (ids.id[i] < 0 || ids.id[i] >= tokenizer_n_vocab(t)) abort();
        tokenizer_decode(t, ids.id, ids.n, true, &text);
        buf_release(&text);
        ids_release(&ids);
    }
    tokenizer_close(t);
    gguf_close(g);
    return 0;
}

#endif
