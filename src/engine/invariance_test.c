/* invariance_test.c - the same bits whatever the batch, the threads, the chunks and the instruction set (D1, D2, D4, D6 of
 * docs/numerics.md). */
#include "tests/engine_fixture.h"

/* D2 and D4. */
static void threads_and_chunks_do_not_matter(void **state)
{
    (void)state;
    static const uint32_t chunk[] = { 1, 7, 32, 512 };
    for (size_t i = 0; i < N_MODEL; i++) {
        uint64_t want = cold_hash(i, NULL, 1, 512);
        for (size_t c = 0; c < 4; c++)
            if (IN_SHARE(i + c) && cold_hash(i, NULL, 2, chunk[c]) != want)
                fail_msg("model %zu: chunk %u gives other bits", i, chunk[c]);
        for (uint32_t threads = 3 + i % 4; threads <= 16; threads += 4)     /* each number with two of the models */
            if (cold_hash(i, NULL, threads, i % 2 ? 512 : 37) != want)
                fail_msg("model %zu: %u threads give other bits", i, threads);
    }
}

/* D6. */
static void instruction_sets_agree(void **state)
{
    (void)state;
    static const char *const name[] = { "avx2", "avxvnni", "avx512", "neon", "i8mm" };
    for (size_t i = 0; i < N_MODEL; i++) {
        uint64_t want = cold_hash(i, "scalar", 2, 64);
        for (size_t k = 0; k < sizeof name / sizeof *name; k++) {
            uint32_t f;
            if (cpu_select(name[k], &f, NULL) < 0) continue;
            if (cold_hash(i, name[k], 2, 64) != want) fail_msg("model %zu: %s differs from scalar", i, name[k]);
        }
    }
}

/* D1: alone or with up to 15 others, of other lengths and at other positions. */
static void the_batch_does_not_matter(void **state)
{
    (void)state;
    enum { S = 16, STEPS = 6 };
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 2);
        struct hearth_session *alone = open_session(m, 0), *s[S];
        struct hearth_error e;
        float want[STEPS][TINY_VOCAB];
        for (size_t k = 0; k < STEPS; k++) {
            sync_hash(alone, 40 + k);
            memcpy(want[k], hearth_session_logits(alone), sizeof want[k]);
        }
        hearth_session_close(alone);
        struct hearth_batch_item item[S];
        for (size_t k = 0; k < S; k++) {
            s[k] = open_session(m, 100);
            item[k] = (struct hearth_batch_item){ s[k], k == 5 ? ids : ids + k, k == 5 ? 40 : 3 + 5 * k };
        }
        assert_int_equal(hearth_batch_append(item, S, &e), 0);
        for (size_t k = 0; k < STEPS; k++) {
            assert_memory_equal(hearth_session_logits(s[5]), want[k], sizeof want[k]);
            for (size_t j = 0; j < S; j++) item[j] = (struct hearth_batch_item){ s[j], j == 5 ? ids + 40 + k : ids + j, 1 };
            assert_int_equal(hearth_batch_append(item + k, S - k, &e), 0);
        }
        for (size_t k = 0; k < S; k++) hearth_session_close(s[k]);
        hearth_model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_chunks_do_not_matter),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(the_batch_does_not_matter),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
