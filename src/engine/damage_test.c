/* damage_test.c - damaged model files are refused with a sentence, or still make sense; nothing else may happen. */
#include <stdlib.h>

#include "base/mem.h"
#include "engine/engine.h"
#include "tests/testing.h"
#include "tests/tiny_encoder.h"

static const struct tiny model[] = {
    { .arch = "llama", .type = DT_Q4_0, .D = 32, .L = 1, .H = 1, .K = 1, .E = 32, .F = 32 },
    { .arch = "qwen3moe", .type = DT_Q8_0, .D = 32, .L = 1, .H = 2, .K = 1, .E = 32, .F = 32, .experts = 3, .used = 2 },
    { .arch = "gemma3", .type = DT_Q4_0, .D = 32, .L = 2, .H = 1, .K = 1, .E = 32, .F = 32, .window = 8 },
    { .arch = "qwen35moe", .type = DT_Q8_0, .D = 32, .L = 4, .H = 2, .K = 1, .E = 32, .F = 32, .experts = 3, .used = 2 },
    { .arch = "lfm2", .type = DT_Q4_0, .D = 32, .L = 2, .H = 2, .K = 1, .E = 32, .F = 32 },
};
static const struct tiny_encoder encoder[] = {
    { .t = { .arch = "bert", .type = DT_Q8_0, .D = 32, .L = 1, .H = 2, .F = 32 }, .word_piece = true, .n_ctx = 8, .rank = 1 },
    { .t = { .arch = "modern-bert", .type = DT_F16, .D = 32, .L = 2, .H = 2, .F = 32, .window = 8 }, .word_piece = true,
      .n_ctx = 8 },
    { .t = { .arch = "gemma-embedding", .type = DT_Q4_0, .D = 64, .L = 1, .H = 2, .F = 32, .window = 8 }, .n_ctx = 8 },
};
enum { N_PLAIN = sizeof model / sizeof *model, N_MODEL = N_PLAIN + sizeof encoder / sizeof *encoder };

/* The bytes of a model; *header is where the tensor data begins. */
static uint8_t *load(size_t i, size_t *n, size_t *header)
{
    char path[] = "/tmp/hearth-damage-XXXXXX", *data;
    struct err err;
    struct gguf *g;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(i < N_PLAIN ? tiny_model(path, model[i]) : tiny_encoder(path, encoder[i - N_PLAIN]), 0);
    assert_int_equal(os_read_file(path, 1 << 22, &data, n, &err), 0);
    unlink(path);
    assert_int_equal(gguf_parse(&g, data, *n, "tiny", &err), 0);
    assert_int_equal(engine_can_run(g, &err), 0);
    *header = (size_t)gguf_tensor_at(g, 0)->offset;
    gguf_close(g);
    return (uint8_t *)data;
}

static void check(const uint8_t *data, size_t n)
{
    struct gguf *g;
    struct err err = { 0 };
    int rc = gguf_parse(&g, data, n, "damaged", &err);
    if (rc == 0) rc = engine_can_run(g, &err);
    if (rc < 0) assert_true(strlen(err.msg) > 10);
    gguf_close(g);
}

static void flipped_bits(void **state)
{
    (void)state;
    for (size_t m = 0; m < N_MODEL; m++) {
        size_t n, header;
        uint8_t *data = load(m, &n, &header);
        for (size_t i = 0; i < header; i += i < 1200 ? 1 : 7) {      /* the keys come first, then the vocabulary */
            data[i] ^= (uint8_t)(1 << i % 8);
            check(data, n);
            data[i] ^= (uint8_t)(1 << i % 8);
        }
        mem_free(data);
    }
}

static void truncated_files(void **state)
{
    (void)state;
    size_t n, header;
    uint8_t *data = load(0, &n, &header);
    n = n > 31 ? n - 31 : 0;                         /* the padding of the last tensor may be missing */
    for (size_t i = 0; i < n; i += 13) {
        uint8_t *copy = malloc(i ? i : 1);
        memcpy(copy, data, i);
        struct gguf *g;
        assert_true(gguf_parse(&g, copy, i, "cut", NULL) < 0);
        free(copy);
    }
    mem_free(data);
}

/* Every hyper-parameter takes values that make no sense. */
static void absurd_numbers(void **state)
{
    (void)state;
    static const uint32_t value[] = { 0, 1, 3, 31, 33, 255, 65535, 1u << 20, 1u << 30, UINT32_MAX, 0x7f800000, 0x7fc00000 };
    for (size_t m = 0; m < N_MODEL; m++) {
        size_t n, header;
        uint8_t *data = load(m, &n, &header);
        struct gguf *g;
        assert_int_equal(gguf_parse(&g, data, n, "tiny", NULL), 0);
        for (size_t k = 0; k < gguf_n_kv(g); k++) {
            const struct gguf_kv *kv = gguf_kv_at(g, k);
            if (kv->bytes != 4 || kv->type == GGUF_STRING || kv->type == GGUF_ARRAY) continue;
            uint8_t *at = data + (kv->data - data), old[4];
            memcpy(old, at, 4);
            for (size_t v = 0; v < sizeof value / sizeof *value; v++) {
                memcpy(at, &value[v], 4);
                check(data, n);
            }
            memcpy(at, old, 4);
        }
        gguf_close(g);
        mem_free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flipped_bits), cmocka_unit_test(truncated_files), cmocka_unit_test(absurd_numbers),
    };
    return run_tests(tests);
}
