/* needs_test.c - what hearth_model_needs says, against what is then really taken, and of a file whose weights are holes. */
#include "tests/engine_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include "format/gguf.h"
#include "tests/tiny_encoder.h"

enum { CTX = 256 };

static struct hearth_needs needs_of(const char *path, struct hearth_needs_options o)
{
    struct hearth_needs n;
    struct hearth_error e;
    o.threads = 1;
    if (hearth_model_needs(path, &o, &n, &e) < 0) fail_msg("%s", e.message);
    return n;
}

/* The pages that a full context really takes, and the buffers. */
static void as_allocated(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_needs n = needs_of(model_path(i), (struct hearth_needs_options){ .n_ctx = CTX });
        struct hearth_model *m = open_model(i, NULL, 1);
        struct hearth_session_options o = { .n_ctx = CTX, .no_cache = true };
        struct hearth_session *s;
        struct hearth_memory mem;
        struct hearth_model_info info;
        int32_t text[CTX];
        for (int32_t k = 0; k < CTX; k++) text[k] = k % TINY_VOCAB;
        assert_int_equal(hearth_session_open(&s, m, &o, NULL), 0);
        assert_int_equal(hearth_session_sync(s, text, CTX, NULL), 0);
        hearth_model_memory(m, &mem);
        hearth_model_info(m, &info);
        bool all = !model[i].window && !info.recurrent;
        if (all) assert_int_equal(n.kv, mem.kv_used);
        else assert_in_range(n.kv, mem.kv_used, 4 * mem.kv_used);
        assert_in_range(n.weights, info.file_bytes / 2, info.file_bytes);
        assert_int_equal(n.n_parameters, info.n_parameters);
        assert_int_equal(n.n_layer, info.n_layer);
        assert_in_range(n.compute, hearth_session_bytes(m, &o) - n.kv, 4 * (hearth_session_bytes(m, &o) - n.kv) + (8 << 20));
        hearth_session_close(s);
        hearth_model_close(m);
    }
}

/* Only the header is there. */
static void of_holes(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_needs_options o = { .n_ctx = CTX, .n_prompt = 100, .n_sessions = 3 };
        struct hearth_needs a = needs_of(model_path(i), o), b;
        struct gguf *g;
        char *text, path[80];
        size_t n;
        uint64_t data;
        assert_int_equal(gguf_open(&g, model_path(i), NULL), 0);
        gguf_first_data(g, &data);
        gguf_close(g);
        assert_int_equal(os_read_file(model_path(i), 64 << 20, &text, &n, NULL), 0);
        snprintf(path, sizeof path, "%s/holes.gguf", dir);
        FILE *f = fopen(path, "wb");
        assert_int_equal(fwrite(text, 1, n - data, f), n - data);
        assert_int_equal(fflush(f) | ftruncate(fileno(f), (off_t)n), 0);
        fclose(f);
        mem_free(text);
        b = needs_of(path, o);
        unlink(path);
        a.other = b.other = 0;
        assert_memory_equal(&a, &b, sizeof a);
    }
}

static void of_more_texts(void **unused)
{
    (void)unused;
    struct hearth_needs one = needs_of(model_path(0), (struct hearth_needs_options){ .n_ctx = CTX });
    struct hearth_needs four = needs_of(model_path(0), (struct hearth_needs_options){ .n_ctx = CTX, .n_sessions = 4 });
    struct hearth_needs small = needs_of(model_path(0), (struct hearth_needs_options){ .n_ctx = CTX, .kv_type = HEARTH_KV_Q8_0 });
    assert_int_equal(four.kv, 4 * one.kv);
    assert_int_equal(one.kv, CTX * one.kv_token);
    assert_in_range(small.kv, one.kv / 2, one.kv * 9 / 16);
    assert_true(four.decode.int_macs > 3.9 * one.decode.int_macs && four.decode.bytes < 2 * one.decode.bytes);
    assert_true(one.decode.few_macs > 2 * one.decode.int_macs);
    assert_int_equal(one.n_active, (uint64_t)one.decode.int_macs);
}

/* A model that makes embeddings has no past tokens, and a longest text. */
static void of_an_encoder(void **unused)
{
    (void)unused;
    char path[80];
    struct hearth_needs n;
    struct hearth_error e;
    snprintf(path, sizeof path, "%s/encoder.gguf", dir);
    struct tiny_encoder t = { .t = { .arch = "bert", .type = DT_F16, .D = 96, .L = 2, .H = 4, .F = 160 }, .word_piece = true,
                              .n_ctx = 64, .pooling = 2 };
    assert_int_equal(tiny_encoder(path, t), 0);
    n = needs_of(path, (struct hearth_needs_options){ 0 });
    assert_true(n.encoder && n.kv == 0 && n.compute > 0 && n.weights > 0);
    assert_true(n.prefill.int_macs + n.prefill.float_macs > 0);
    assert_int_equal(hearth_model_needs(path, &(struct hearth_needs_options){ .n_ctx = 1 << 20 }, &n, &e), HEARTH_EARG);
    unlink(path);
}

static void wrong(void **unused)
{
    (void)unused;
    struct hearth_needs n;
    struct hearth_error e;
    assert_int_equal(hearth_model_needs("/nowhere/at.gguf", NULL, &n, &e), HEARTH_ENOTFOUND);
    assert_int_equal(hearth_model_needs(model_path(0), &(struct hearth_needs_options){ .n_sessions = 100000 }, &n, &e),
                     HEARTH_EARG);
    assert_int_equal(hearth_model_needs(model_path(0), &(struct hearth_needs_options){ .kv_type = 77 }, &n, &e), HEARTH_EARG);
    assert_int_equal(hearth_model_needs(model_path(0), &(struct hearth_needs_options){ .n_ctx = UINT32_MAX }, &n, &e),
                     HEARTH_EARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_allocated), cmocka_unit_test(of_holes), cmocka_unit_test(of_more_texts),
        cmocka_unit_test(of_an_encoder), cmocka_unit_test(wrong),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
