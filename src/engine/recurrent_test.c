/* recurrent_test.c - layers with a state: other layouts of the same weights, and numbers that make no sense.  That nothing
 * else matters to them is tested with all models (invariance_test.c, engine_test.c). */
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "tests/testing.h"
#include "tests/tiny_model.h"

enum { N = 40, D = 64, H = 4, K = 2, E = 32, DK = E - 24 };

static char path[] = "/tmp/hearth-recurrent-XXXXXX";

static struct tiny next(enum dtype type)
{
    return (struct tiny){ .arch = "qwen3next", .type = type, .D = D, .L = 4, .H = H, .K = K, .E = E, .F = 32, .experts = 3,
                          .used = 2 };
}

static uint64_t logits_hash(void)
{
    struct hearth_model *m;
    struct hearth_session *s;
    struct hearth_error e;
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = i * 7 % 256;
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 2 }, &e) < 0) fail_msg("%s", e.message);
    assert_int_equal(hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = N }, &e), 0);
    assert_int_equal(hearth_session_sync(s, ids, N, &e), 0);
    const float *z = hearth_session_logits(s);
    for (int i = 0; i < TINY_VOCAB; i++) assert_true(z[i] == z[i]);
    uint64_t h = hash_bytes(z, TINY_VOCAB * sizeof *z);
    hearth_session_close(s);
    hearth_model_close(m);
    return h;
}

/* The rows of attn_qkv and attn_gate in the order of old files: for each key head its q, k, values, gates. */
static uint8_t *grouped_rows(const struct gguf_tensor *qkv, const struct gguf_tensor *gate)
{
    const size_t row = (size_t)(qkv->bytes / qkv->ne[1]), values = H / K * E;
    uint8_t *out = malloc((size_t)(qkv->bytes + gate->bytes)), *at = out;
    for (size_t g = 0; g < K; g++) {
        const uint8_t *from[] = { qkv->data + g * DK * row, qkv->data + (K + g) * DK * row,
                                  qkv->data + (2 * K * DK + g * values) * row, gate->data + g * values * row };
        const size_t rows[] = { DK, DK, values, values };
        for (int i = 0; i < 4; i++) {
            memcpy(at, from[i], rows[i] * row);
            at += rows[i] * row;
        }
    }
    return out;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static void old_files_have_one_matrix(void **state)
{
    (void)state;
    struct gguf *g;
    struct gguf_writer *w;
    struct err err;
    struct buf out = { 0 };
    void *data[4];
    char name[4][64];
    size_t n = 0;
    assert_int_equal(tiny_model(path, next(DT_Q8_0)), 0);
    uint64_t want = logits_hash();
    assert_int_equal(gguf_open(&g, path, &err), 0);
    assert_int_equal(gguf_writer_open(&w, &err), 0);
    for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(w, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        if (ends_with(t->name, "attn_gate.weight")) continue;
        if (!ends_with(t->name, "attn_qkv.weight")) {
            gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
            continue;
        }
        snprintf(name[n], sizeof name[n], "%.*sattn_gate.weight", (int)(strlen(t->name) - 15), t->name);
        const struct gguf_tensor *gate = gguf_tensor(g, name[n]);
        data[n] = grouped_rows(t, gate);
        snprintf(name[n], sizeof name[n], "%.*sssm_in.weight", (int)(strlen(t->name) - 15), t->name);
        gguf_put_tensor(w, name[n], t->type, 2, (uint64_t[]){ D, t->ne[1] + gate->ne[1] }, data[n]);
        n++;
    }
    assert_int_equal(n, 3);
    assert_int_equal(gguf_writer_bytes(w, &out, &err), 0);
    gguf_writer_close(w);
    gguf_close(g);
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(out.data, 1, out.len, f), out.len);
    fclose(f);
    buf_release(&out);
    while (n) free(data[--n]);
    assert_true(logits_hash() == want);
}

/* A key takes a value that makes no sense; the message says which it is. */
static void absurd_states_are_refused(void **state)
{
    (void)state;
    static const struct { const char *arch, *key; uint32_t v; const char *word; } row[] = {
        { "qwen3next", "ssm.conv_kernel", 1, "ssm.conv_kernel is 1" },
        { "qwen3next", "ssm.conv_kernel", 17, "ssm.conv_kernel is 17" },
        { "qwen3next", "ssm.conv_kernel", 3, "ssm_conv1d" },
        { "qwen35", "ssm.group_count", 0, "0 key heads" },
        { "qwen35", "ssm.group_count", 3, "3 key heads" },
        { "qwen35", "ssm.time_step_rank", 0, "0 value heads" },
        { "qwen35", "ssm.state_size", 0, "key heads of 0" },
        { "qwen35", "ssm.state_size", 1u << 20, "1048576" },
        { "qwen35", "ssm.state_size", 9, "attn_qkv" },
        { "qwen35", "ssm.inner_size", 7, "of 0 numbers" },
        { "qwen35", "full_attention_interval", 2, "missing" },
        { "qwen35", "full_attention_interval", 0, "missing" },
        { "qwen35", "attention.value_length", E / 2, "attn_v" },
        { "lfm2", "shortconv.l_cache", 0, "shortconv.l_cache is 0" },
        { "lfm2", "shortconv.l_cache", 4, "shortconv.conv" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct tiny t = next(DT_F16);
        struct gguf *g;
        struct err err = { 0 };
        char *data, key[96];
        size_t n;
        t.arch = row[i].arch;
        if (strcmp(t.arch, "qwen3next")) t.experts = 0;
        assert_int_equal(tiny_model(path, t), 0);
        assert_int_equal(os_read_file(path, 1 << 22, &data, &n, &err), 0);
        assert_int_equal(gguf_parse(&g, data, n, "tiny", &err), 0);
        assert_int_equal(engine_can_run(g, &err), 0);
        snprintf(key, sizeof key, "%s.%s", t.arch, row[i].key);
        const struct gguf_kv *kv = gguf_find(g, key);
        assert_non_null(kv);
        memcpy(data + ((const char *)kv->data - data), &row[i].v, 4);
        assert_true(engine_can_run(g, &err) < 0);
        if (!strstr(err.msg, row[i].word)) fail_msg("%s = %u: %s", key, row[i].v, err.msg);
        gguf_close(g);
        mem_free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_files_have_one_matrix),
        cmocka_unit_test(absurd_states_are_refused),
    };
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    int rc = run_tests(tests);
    unlink(path);
    return rc;
}
