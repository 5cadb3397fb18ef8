#include "quant/compare.h"

#include <math.h>

#include "quant/quant.h"
#include "tests/testing.h"

enum { COLS = 256, ROWS = 20 };

static float x[COLS * ROWS], y[COLS * ROWS];
static uint8_t packed[COLS * ROWS * 4];

static struct gguf_tensor tensor(enum dtype t, const void *data)
{
    uint64_t bytes = COLS * ROWS / dtype_info(t)->block_values * dtype_info(t)->block_bytes;
    return (struct gguf_tensor){ .name = "t", .type = t, .n_dims = 2, .ne = { COLS, ROWS, 1, 1 }, .data = data, .bytes = bytes };
}

static int fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < COLS * ROWS; i++) x[i] = y[i] = sinf((float)i * 0.37f);
    return 0;
}

static void differences_are_those_of_the_values(void **state)
{
    (void)state;
    struct gguf_tensor a = tensor(DT_F32, x), b = tensor(DT_F32, y);
    struct compare_result r;
    compare_tensors(&a, &b, NULL, NULL, &r);
    assert_true(r.same_bytes && r.mse == 0);
    y[5000] += 2;
    y[1] -= 1;
    compare_tensors(&a, &b, NULL, NULL, &r);
    assert_true(!r.same_bytes && r.comparable && r.n_bad == 0);
    assert_true(fabs(r.mse - 5.0 / (COLS * ROWS)) < 1e-7 && fabs(r.largest - 2) < 1e-6);
    assert_true(fabs(r.relative - 5.0 / (COLS * ROWS) / 0.5) < 1e-4);
    y[1] = NAN;
    compare_tensors(&a, &b, NULL, NULL, &r);
    assert_int_equal(r.n_bad, 1);
    assert_true(fabs(r.largest - 2) < 1e-6);
}

static void types_may_differ_and_shapes_may_not(void **state)
{
    (void)state;
    struct compare_result r;
    quant_pack(DT_Q6_K)(x, packed, COLS * ROWS);
    struct gguf_tensor a = tensor(DT_F32, x), b = tensor(DT_Q6_K, packed), c = a;
    compare_tensors(&a, &b, NULL, NULL, &r);
    assert_true(r.comparable && r.relative > 0 && r.relative < 1e-3);
    c.ne[0] = COLS / 2;
    c.ne[1] = ROWS * 2;
    compare_tensors(&a, &c, NULL, NULL, &r);
    assert_true(!r.comparable && !r.same_bytes);
    c = tensor(DT_I32, x);
    compare_tensors(&a, &c, NULL, NULL, &r);
    assert_false(r.comparable);
}

static void keys_are_compared_whole(void **state)
{
    (void)state;
    struct gguf_kv a = { .type = GGUF_U32, .count = 1, .data = (const uint8_t *)"abcd", .bytes = 4 }, b = a;
    assert_true(compare_keys(&a, &b));
    b.type = GGUF_I32;
    assert_false(compare_keys(&a, &b));
    b = a;
    b.data = (const uint8_t *)"abce";
    assert_false(compare_keys(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(differences_are_those_of_the_values, fill),
        cmocka_unit_test_setup(types_may_differ_and_shapes_may_not, fill),
        cmocka_unit_test(keys_are_compared_whole),
    };
    return run_tests(tests);
}
