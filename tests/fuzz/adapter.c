/* adapter.c - fuzz target: an adapter for a small model.  Input that begins with "P" is a folder of PEFT or mlx-lm: the
 * configuration up to a zero byte, then the tensors; any other a GGUF file. */
#include "hearth.h"
#include "tests/tiny_model.h"

static char dir[] = "/tmp/hearth-fuzz-adapter-XXXXXX";
static struct hearth_model *model;
static const char *const name[] = { "adapter_config.json", "adapter_model.safetensors", "adapters.safetensors", "input.gguf",
                                    "model.gguf" };

static const char *path_of(int i)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name[i]);
    return path;
}

static void finish(void)
{
    hearth_model_close(model);
    for (int i = 0; i < 5; i++) unlink(path_of(i));
    rmdir(dir);
}

static void start(void)
{
    struct tiny t = { .arch = "llama", .type = DT_F32, .D = 16, .L = 1, .H = 2, .K = 1, .E = 8, .F = 16, .experts = 2,
                      .used = 1 };
    if (!mkdtemp(dir) || tiny_model(path_of(4), t) < 0) abort();
    if (hearth_model_open(&model, path_of(4), &(struct hearth_model_options){ .threads = 1 }, NULL) < 0) abort();
    atexit(finish);
}

static void put(int i, const uint8_t *data, size_t n)
{
    FILE *f = fopen(path_of(i), "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hearth_adapter *a;
    struct hearth_error e = { 0 };
    bool folder = n && *data == 'P';
    if (!model) start();
    if (folder) {
        const uint8_t *zero = memchr(data, 0, n), *end = data + n;
        if (!zero) zero = end;
        put(0, data + 1, (size_t)(zero - data) - 1);
        const uint8_t *rest = zero < end ? zero + 1 : end;
        put(1, rest, (size_t)(end - rest));
        put(2, rest, (size_t)(end - rest));
    } else {
        put(3, data, n);
    }
    int rc = hearth_adapter_open(&a, model, folder ? dir : path_of(3), &e);
    if (rc < 0 && (a || e.code != rc || !*e.message)) abort();
    hearth_adapter_close(a);
    return 0;
}
