/* bits_test.c - the logits of fixed models have the same 64-bit hash on every processor, system and compiler.  A change of the
 * numerics changes these numbers; nothing else may. */
#include "tests/engine_fixture.h"

static void every_machine_gives_these_bits(void **state)
{
    (void)state;
    static const uint64_t want[N_MODEL] = {
        0xf2ca1cb9d51fff76u, 0x3c74729102167cd9u, 0x9f5b624e10367511u, 0xd53f44454dc4b225u,
        0x0daace95a2d858d1u, 0x83085d975f71a167u, 0x691651660805cb34u, 0x574d0020a1ad504au,
        0x1734451ac51e7920u, 0xcaec4de28a5dd965u, 0x33bb0aa1844bcec9u,
    };
    size_t wrong = 0;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 1);
        struct hearth_session *s = open_session(m, 16);
        uint64_t got = sync_hash(s, 40);
        hearth_session_close(s);
        hearth_model_close(m);
        if (got == want[i]) continue;
        print_message("# model %zu: hash %016llx, expected %016llx\n", i, (unsigned long long)got, (unsigned long long)want[i]);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_machine_gives_these_bits) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
