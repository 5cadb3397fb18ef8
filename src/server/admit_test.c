#include "tests/testing.h"

#include "server/admit.h"

static void places_and_limits(void **unused)
{
    (void)unused;
    struct admit a = { 0 };
    struct ticket t[6] = { 0 };
    admit_limits(&a, 2, 3, 0);
    assert_int_equal(admit_enter(&a, &t[0], "", 0), ADMIT_RUN);
    assert_int_equal(admit_enter(&a, &t[1], "", 0), ADMIT_RUN);
    for (int i = 2; i < 5; i++) assert_int_equal(admit_enter(&a, &t[i], "", 0), ADMIT_WAIT);
    assert_int_equal(admit_enter(&a, &t[5], "", 0), ADMIT_FULL);
    assert_null(admit_next(&a));
    admit_leave(&a, &t[0], 1);
    assert_int_equal(admit_enter(&a, &t[5], "", 0), ADMIT_FULL);      /* nobody overtakes those that wait */
    assert_ptr_equal(admit_next(&a), &t[2]);
    assert_null(admit_next(&a));
    assert_true(admit_withdraw(&a, &t[3]));
    assert_false(admit_withdraw(&a, &t[3]));
    assert_false(admit_withdraw(&a, &t[2]));
    admit_limits(&a, 4, 3, 0);
    assert_ptr_equal(admit_next(&a), &t[4]);
    assert_int_equal(a.running, 3);
    admit_leave(&a, &t[1], 1);
    admit_leave(&a, &t[2], 1);
    admit_leave(&a, &t[4], 1);
    admit_leave(&a, &t[4], 1);
    assert_int_equal(a.running, 0);
    assert_null(a.user);
}

/* One key floods; another's few jobs do not wait for all of them. */
static void keys_take_turns(void **unused)
{
    (void)unused;
    enum { N = 100 };
    struct admit a = { 0 };
    static struct ticket flood[N], few[3];
    admit_limits(&a, 1, 1000, 0);
    for (int i = 0; i < N; i++) admit_enter(&a, &flood[i], "flood", 0);
    for (int i = 0; i < 3; i++) assert_int_equal(admit_enter(&a, &few[i], "few", 0), ADMIT_WAIT);
    struct ticket *running = &flood[0];
    int served = 0, at[3] = { 0 };
    while (a.running) {
        admit_leave(&a, running, 1);
        if (!(running = admit_next(&a))) break;
        served++;
        for (int i = 0; i < 3; i++)
            if (running == &few[i]) at[i] = served;
        if (running >= flood && running < flood + N) assert_ptr_equal(running,
                                                                      &flood[served - (at[0] > 0) - (at[1] > 0) - (at[2] > 0)]);
    }
    assert_int_equal(served, N + 2);
    for (int i = 0; i < 3; i++) assert_in_range(at[i], 1, 2 * (i + 1));
    assert_null(a.user);
}

/* Long jobs against short ones, one of each key at a time: both get about the same work done, and who comes late has no claim to
 * what was done before. */
static void keys_get_the_same_work_done(void **unused)
{
    (void)unused;
    enum { N = 1000, LONG = 50 };
    struct admit a = { 0 };
    static struct ticket t[3][N];
    const char *const name[] = { "long", "short", "late" };
    uint64_t cost[3] = { LONG, 1, 1 }, done[3] = { 0 };
    admit_limits(&a, 1, 3 * N, 0);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 2; k++) admit_enter(&a, &t[k][i], name[k], 0);
    struct ticket *runs = &t[0][0];
    for (int round = 0; round < 500; round++) {
        size_t k = (size_t)(runs - &t[0][0]) / N;
        admit_leave(&a, runs, cost[k]);
        done[k] += cost[k];
        if (round == 300) {
            /* They have had the same but for one long job and what was guessed of it. */
            if (done[0] > done[1] + 2 * LONG || done[1] > done[0] + 2 * LONG)
                fail_msg("%llu and %llu", (unsigned long long)done[0], (unsigned long long)done[1]);
            done[0] = done[1] = 0;
            for (int i = 0; i < N; i++) admit_enter(&a, &t[2][i], name[2], 0);
        }
        runs = admit_next(&a);
        assert_non_null(runs);
    }
    if (done[2] > done[1] + 2 * LONG || done[1] > done[2] + 2 * LONG)
        fail_msg("%llu and %llu of one that came late", (unsigned long long)done[1], (unsigned long long)done[2]);
    admit_leave(&a, runs, 1);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < N; i++) admit_leave(&a, &t[k][i], 1);
    assert_null(a.user);
}

/* One whose long job is over, and who comes again at once, has had its share. */
static void who_leaves_is_remembered(void **unused)
{
    (void)unused;
    struct admit a = { 0 };
    struct ticket t[6] = { 0 };
    admit_limits(&a, 1, 10, 0);
    admit_enter(&a, &t[0], "long", 0);
    admit_enter(&a, &t[1], "short", 0);
    admit_leave(&a, &t[0], 1000);
    assert_ptr_equal(admit_next(&a), &t[1]);
    admit_enter(&a, &t[2], "long", 0);
    for (int i = 3; i < 6; i++) admit_enter(&a, &t[i], "short", 0);
    admit_leave(&a, &t[1], 10);
    for (int i = 3; i < 6; i++) {
        assert_ptr_equal(admit_next(&a), &t[i]);
        admit_leave(&a, &t[i], 10);
    }
    assert_ptr_equal(admit_next(&a), &t[2]);
    admit_leave(&a, &t[2], 1000);
    assert_null(a.user);
    /* Nobody asked for anything: it begins anew. */
    admit_enter(&a, &t[0], "long", 0);
    assert_int_equal(a.user->served, a.mean_cost);
    admit_leave(&a, &t[0], 1);
    assert_null(a.user);
}

static void one_key_has_its_share(void **unused)
{
    (void)unused;
    struct admit a = { 0 };
    struct ticket t[4] = { 0 };
    admit_limits(&a, 1, 10, 2);
    assert_int_equal(admit_enter(&a, &t[0], "x", 0), ADMIT_RUN);
    assert_int_equal(admit_enter(&a, &t[1], "x", 0), ADMIT_WAIT);
    assert_int_equal(admit_enter(&a, &t[2], "x", 0), ADMIT_USER_FULL);
    assert_int_equal(admit_enter(&a, &t[3], "y", 0), ADMIT_WAIT);
    for (int i = 0; i < 4; i++) admit_leave(&a, &t[i], 1);
    assert_null(a.user);
}

static void deadlines_pass(void **unused)
{
    (void)unused;
    struct admit a = { 0 };
    struct ticket t[3] = { 0 };
    admit_limits(&a, 1, 10, 0);
    admit_enter(&a, &t[0], "x", 5);
    admit_enter(&a, &t[1], "x", 100);
    admit_enter(&a, &t[2], "y", 50);
    assert_null(admit_late(&a, 49));
    assert_ptr_equal(admit_late(&a, 50), &t[2]);
    assert_null(admit_late(&a, 50));
    assert_ptr_equal(admit_late(&a, 1000), &t[1]);
    assert_null(admit_late(&a, 1000));                        /* one that runs is the engine's */
    admit_leave(&a, &t[0], 1);
    assert_null(a.user);
    assert_int_equal(admit_retry_s(&a), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_and_limits),
        cmocka_unit_test(keys_take_turns),
        cmocka_unit_test(keys_get_the_same_work_done),
        cmocka_unit_test(who_leaves_is_remembered),
        cmocka_unit_test(one_key_has_its_share),
        cmocka_unit_test(deadlines_pass),
    };
    return run_tests(tests);
}
