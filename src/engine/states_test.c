/* states_test.c - the states that embeddings are made of are those that a session's logits come from, for models whose layers
 * share caches, keep values inside keys, or pass on a state. */
#include <math.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "tests/testing.h"
#include "tests/tiny_arch.h"

enum { N = 90 };

static char path[] = "/tmp/hearth-states-XXXXXX";

static void save(const struct buf *b)
{
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(b->data, 1, b->len, f), b->len);
    fclose(f);
}

/* Rows of logits of a session, against the product of the states and the output matrix. */
static void check_states(const char *arch)
{
    struct hearth_model *m;
    struct hearth_session *s;
    struct hearth_error e;
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = (i * i * 7 + 3) % 256;
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 2 }, &e) < 0) fail_msg("%s: %s", arch, e.message);
    struct hearth_session_options so = { .n_ctx = N, .kv_type = HEARTH_KV_F32, .n_logits = N, .n_batch = 7 };
    assert_int_equal(hearth_session_open(&s, m, &so, &e), 0);
    assert_int_equal(hearth_session_sync(s, ids, N, &e), 0);
    size_t rows, D = m->h.n_embd;
    const float *z = hearth_session_logits_rows(s, &rows);
    assert_int_equal(rows, N);
    float *x = calloc(N * D, sizeof *x);
    struct hearth_embed_options o = { .pooling = HEARTH_POOL_NONE };
    struct hearth_embed_item it = { ids, N, 0, x };
    if (hearth_embed(m, &it, 1, &o, &e) < 0) fail_msg("%s: %s", arch, e.message);
    const struct gguf_tensor *t = gguf_tensor(m->gguf, "output.weight");
    assert_true(t && t->type == DT_F32);
    const float *w = (const float *)(const void *)t->data;
    for (size_t r = 0; r < N; r++)
        for (size_t v = 0; v < TINY_VOCAB; v++) {
            double sum = 0;
            for (size_t d = 0; d < D; d++) sum += (double)w[v * D + d] * (double)x[r * D + d];
            if (m->h.final_softcap > 0) sum = (double)m->h.final_softcap * tanh(sum / (double)m->h.final_softcap);
            double got = (double)z[r * TINY_VOCAB + v];
            if (!(fabs(got - sum) < 1e-4)) fail_msg("%s: position %zu, logit %zu: %g, not %g", arch, r, v, got, sum);
        }
    free(x);
    hearth_session_close(s);
    hearth_model_close(m);
}

static void states_lead_to_the_logits(void **state)
{
    (void)state;
    struct tiny plain[] = { { .arch = "qwen3", .type = DT_F32 }, { .arch = "gemma3", .type = DT_F32, .L = 7, .window = 20 },
                            { .arch = "qwen35", .type = DT_F32, .L = 5 }, { .arch = "lfm2", .type = DT_F32, .L = 3 } };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        assert_int_equal(tiny_model(path, plain[i]), 0);
        check_states(plain[i].arch);
    }
    struct tiny_any any[] = {
        { .t = { .arch = "deepseek2", .type = DT_F32, .D = 64, .L = 2, .H = 4, .E = 40, .F = 32, .experts = 4, .used = 2 },
          .split = true, .pe = 8, .kv_rank = 32, .Ev = 20, .Fe = 24, .shared = 24 },
        { .t = { .arch = "gemma4", .type = DT_F32, .D = 64, .L = 6, .H = 4, .K = 2, .E = 32, .F = 96, .window = 11 },
          .E_sliding = 16, .per_layer = 32, .kv_shared = 2 },
    };
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
        struct buf b = { 0 };
        assert_int_equal(tiny_any_bytes(&b, &any[i]), 0);
        save(&b);
        buf_release(&b);
        check_states(any[i].t.arch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(states_lead_to_the_logits) };
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    int rc = run_tests(tests);
    unlink(path);
    return rc;
}
