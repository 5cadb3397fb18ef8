#include "format/dtype.h"

#include "tests/testing.h"

static void names_and_numbers_find_their_row(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_DTYPE; i++) {
        const struct dtype_info *d = dtype_info((enum dtype)i);
        enum dtype t = N_DTYPE;
        assert_true(dtype_from_gguf(d->gguf_id, &t) == (d->family != DTF_SPLIT));
        if (d->family != DTF_SPLIT) assert_int_equal(t, i);
        t = N_DTYPE;
        assert_true(dtype_from_name(d->name, &t));
        assert_int_equal(t, i);
        assert_true(d->block_values >= 1 && d->block_bytes >= 1);
    }
    enum dtype t = DT_F32;
    assert_true(dtype_from_name("q4_k", &t) && t == DT_Q4_K);
    assert_true(dtype_from_name("iq2_Xxs", &t) && t == DT_IQ2_XXS);
    assert_false(dtype_from_name("Q4", &t));
    assert_false(dtype_from_name("Q4_KM", &t));
    assert_false(dtype_from_name("", &t));
    assert_int_equal(t, DT_IQ2_XXS);
    static const uint32_t removed[] = { 4, 5, 31, 32, 33, 36, 37, 38, 43, 0xffffffff };
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) assert_false(dtype_from_gguf(removed[i], &t));
}

static void rows_are_whole_blocks(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_true(dtype_row_bytes(DT_F32, 3, &n) && n == 12);
    assert_true(dtype_row_bytes(DT_Q4_K, 512, &n) && n == 288);
    assert_true(dtype_row_bytes(DT_Q8_0, 0, &n) && n == 0);
    assert_false(dtype_row_bytes(DT_Q4_K, 511, &n));
    assert_false(dtype_row_bytes(DT_Q4_0, 31, &n));
    assert_false(dtype_row_bytes(DT_F32, UINT64_MAX / 2, &n));
    assert_true(dtype_row_bytes(DT_I8, UINT64_MAX, &n) && n == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers_find_their_row),
        cmocka_unit_test(rows_are_whole_blocks),
    };
    return run_tests(tests);
}
