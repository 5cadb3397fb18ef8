/* work_test.c - what a model asks of a machine, against sums made by hand; and the machine's limits exist. */
#include "base/os.h"
#include "engine/engine.h"
#include "tests/testing.h"
#include "tests/tiny_model.h"

static char path[] = "/tmp/hearth-work-XXXXXX";

static struct hearth_model *open_tiny(struct tiny t)
{
    struct hearth_model *m;
    struct hearth_error e;
    assert_int_equal(tiny_model(path, t), 0);
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 2 }, &e) < 0) fail_msg("%s", e.message);
    return m;
}

static struct engine_work work_of(const struct hearth_model *m, struct engine_step s)
{
    struct engine_work w;
    engine_work(m, &s, &w);
    return w;
}

static void near(double got, double want)
{
    if (got < want * (1 - 1e-9) || got > want * (1 + 1e-9)) fail_msg("%.17g, not %.17g", got, want);
}

enum { D = 256, L = 2, H = 4, K = 2, E = 64, F = 256 };
#define Q8_0(n) ((double)(n) / 32 * 34)

/* Two layers of q, k, v, output and three matrices of the feed-forward. */
static void dense_models(void **unused)
{
    (void)unused;
    double layer = (double)D * H * E + 2.0 * D * K * E + (double)H * E * D + 3.0 * D * F, head = (double)D * TINY_VOCAB;
    double kv = L * K * 2.0 * E * 2;                           /* bytes of one position */
    struct hearth_model *m = open_tiny((struct tiny){ .arch = "llama", .type = DT_Q8_0 });
    struct engine_work w = work_of(m, (struct engine_step){ 1, 1, 1, 9, HEARTH_KV_F16, 0 });
    near(w.int_macs, L * layer + head);
    assert_true(w.float_macs == 0);
    near(w.bytes, Q8_0(L * layer + head + D) + 10 * kv);       /* D: one row of the embedding */
    w = work_of(m, (struct engine_step){ 5, 1, 1, 0, HEARTH_KV_F32, 0 });
    near(w.int_macs, 5 * L * layer + head);
    near(w.bytes, Q8_0(L * layer + head + 5 * D) + 5 * 2 * kv);
    w = work_of(m, (struct engine_step){ 1, 3, 3, 9, HEARTH_KV_F16, 0 });
    near(w.int_macs, 3 * (L * layer + head));
    near(w.bytes, Q8_0(L * layer + head + 3 * D) + 3 * 10 * kv);
    w = work_of(m, (struct engine_step){ 512, 1, 0, 0, HEARTH_KV_F16, 0 });
    near(w.int_macs, 512 * L * layer);                         /* no row of logits is wanted */
    hearth_model_close(m);
    m = open_tiny((struct tiny){ .arch = "llama", .type = DT_F16 });
    w = work_of(m, (struct engine_step){ 1, 1, 1, 0, HEARTH_KV_F16, 0 });
    near(w.wide_macs, L * layer + head);
    assert_true(w.int_macs == 0 && w.float_macs == 0);
    hearth_model_close(m);
}

static void experts_count_when_they_are_met(void **unused)
{
    (void)unused;
    enum { EXPERTS = 8, USED = 3 };
    double attention = (double)D * H * E + 2.0 * D * K * E + (double)H * E * D, head = (double)D * TINY_VOCAB;
    double expert = 3.0 * D * F, router = (double)D * EXPERTS, kv = L * K * 2.0 * E * 2;
    struct hearth_model *m = open_tiny((struct tiny){ .arch = "qwen3moe", .type = DT_Q8_0, .experts = EXPERTS, .used = USED });
    struct engine_work w = work_of(m, (struct engine_step){ 1, 1, 1, 0, HEARTH_KV_F16, 0 });
    near(w.int_macs, L * (attention + USED * expert) + head);
    near(w.float_macs, L * router);
    near(w.bytes, Q8_0(L * (attention + USED * expert) + head + D) + L * router * 4 + kv);
    double met = EXPERTS * (1 - (1 - 3.0 / 8) * (1 - 3.0 / 8));
    w = work_of(m, (struct engine_step){ 1, 2, 2, 0, HEARTH_KV_F16, 0 });
    near(w.bytes, Q8_0(L * (attention + met * expert) + head + 2 * D) + L * router * 4 + 2 * kv);
    hearth_model_close(m);
}

static void windows_end_the_reading(void **unused)
{
    (void)unused;
    struct hearth_model *m = open_tiny((struct tiny){ .arch = "gemma3", .type = DT_Q8_0, .L = 6, .window = 40 });
    double one = K * 2.0 * E * 2;                              /* five of six layers see no more than 40 positions */
    double a = work_of(m, (struct engine_step){ 1, 1, 1, 19, HEARTH_KV_F16, 0 }).bytes;
    double b = work_of(m, (struct engine_step){ 1, 1, 1, 999, HEARTH_KV_F16, 0 }).bytes;
    near(b - a, one * ((1000 - 20) + 5 * (40 - 20)));
    hearth_model_close(m);
}

static void the_machine_has_limits(void **unused)
{
    (void)unused;
    struct hearth_model *m = open_tiny((struct tiny){ .arch = "llama", .type = DT_Q8_0 });
    for (int what = DEVICE_READ; what <= DEVICE_F32; what++) {
        double v = engine_limit(m, (enum device_limit)what);
        if (!(v > 1e6 && v < 1e16)) fail_msg("limit %d: %g per second", what, v);
    }
    uint64_t huge = UINT64_MAX;
    if (engine_huge_bytes(m, &huge)) assert_true(huge < UINT64_C(1) << 32);
    hearth_model_close(m);
}

/* The pages of large anonymous memory are counted, those behind its end are not. */
static void huge_pages_are_counted(void **unused)
{
    (void)unused;
    enum { BYTES = 16 << 20 };
    uint8_t *p = os_pages_new(BYTES);
    uint64_t huge = UINT64_MAX, none = UINT64_MAX;
    assert_non_null(p);
    memset(p, 1, BYTES);
    if (os_huge_bytes(p, BYTES, &huge)) {
        print_message("# %llu bytes in huge pages\n", (unsigned long long)huge);
        assert_true(huge % 4096 == 0 && os_huge_bytes(NULL, 4096, &none) && none == 0);
    }
    os_pages_free(p, BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_models),
        cmocka_unit_test(experts_count_when_they_are_met),
        cmocka_unit_test(windows_end_the_reading),
        cmocka_unit_test(the_machine_has_limits),
        cmocka_unit_test(huge_pages_are_counted),
    };
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    int rc = run_tests(tests);
    unlink(path);
    return rc;
}
