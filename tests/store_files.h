/* store_files.h - a home of its own for a test of the store: folders as other programs leave them. */
#ifndef HEARTH_TESTS_STORE_FILES_H
#define HEARTH_TESTS_STORE_FILES_H

#include "tests/program_files.h"

#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "tests/tiny_model.h"

/* dir, HOME and HEARTH_MODELS; no other variable leads outside. */
static inline int store_home(void)
{
    static const char *const other[] = { "XDG_DATA_HOME", "XDG_CACHE_HOME", "OLLAMA_MODELS", "HF_HOME", "HF_HUB_CACHE",
                                         "HF_TOKEN", "HF_TOKEN_PATH", "HUGGINGFACE_HUB_CACHE", "LLAMA_CACHE", "HF_ENDPOINT",
                                         "HEARTH_REGISTRY" };
    strcpy(dir, "/tmp/hearth-store-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) unsetenv(other[i]);
    /* Nobody listens there: nothing is asked of the outside. */
    setenv("HEARTH_REGISTRY", "http://127.0.0.1:1", 1);
    setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1);
    return setenv("HOME", in_dir("home"), 1) | setenv("HEARTH_MODELS", in_dir("own"), 1);
}

static inline int store_home_remove(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* A file below dir, with the folders above it. */
static inline void store_file(const char *path, const void *p, size_t n)
{
    char full[512], folder[512];
    snprintf(full, sizeof full, "%s/%s", dir, path);
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(full, '/') - full), full);
    assert_int_equal(fs_make_folders(folder, NULL), 0);
    FILE *f = fopen(full, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static inline void store_text(const char *path, const char *text) { store_file(path, text, strlen(text)); }

/* The bytes of a small model; mem_free. */
static inline char *store_model(size_t *n, uint64_t seed)
{
    char *text;
    assert_int_equal(tiny_model(in_dir("tiny.gguf"), (struct tiny){ .arch = "llama", .type = DT_F16, .seed = seed }), 0);
    assert_int_equal(os_read_file(in_dir("tiny.gguf"), 64 << 20, &text, n, NULL), 0);
    unlink(in_dir("tiny.gguf"));
    return text;
}

#endif
