#include "format/names.h"

#include "base/mem.h"
#include "tests/testing.h"

static struct gguf_str name_of(const void *items, size_t i)
{
    const char *s = (const char *)items + 16 * i;
    return (struct gguf_str){ s, strlen(s) };
}

static void many_names_are_found(void **state)
{
    (void)state;
    enum { N = 65536 };
    char (*v)[16] = mem_new(N, sizeof *v);
    struct arena a = { 0 };
    struct names t;
    size_t dup;
    for (unsigned i = 0; i < N; i++) snprintf(v[i], sizeof v[i], "blk.%u.w", i);
    assert_int_equal(names_build(&t, &a, name_of, v, N, &dup), 0);
    for (unsigned i = 0; i < N; i++) assert_int_equal(names_find(&t, name_of, v, name_of(v, i)), i);
    assert_true(names_find(&t, name_of, v, (struct gguf_str){ "blk", 3 }) == SIZE_MAX);
    assert_true(names_find(&t, name_of, v, (struct gguf_str){ "", 0 }) == SIZE_MAX);
    snprintf(v[N - 1], sizeof v[N - 1], "blk.7.w");
    assert_int_equal(names_build(&t, &a, name_of, v, N, &dup), ERR_FORMAT);
    assert_int_equal(dup, N - 1);
    arena_release(&a);
    mem_free(v);
}

static unsigned slot_of_512(const char *s) { return (unsigned)(names_hash((struct gguf_str){ s, strlen(s) }) >> 32) & 511; }

static void colliding_names_are_refused(void **state)
{
    (void)state;
    enum { N = NAMES_MAX_PROBES + 2 };
    static char v[N][16];
    struct arena a = { 0 };
    struct names t;
    size_t dup;
    unsigned n = 0;
    for (unsigned i = 0; n < N; i++) {
        snprintf(v[n], sizeof v[n], "t%u", i);
        n += slot_of_512(v[n]) == 0;
    }
    assert_int_equal(names_build(&t, &a, name_of, v, N - 2, &dup), 0);
    assert_int_equal(names_build(&t, &a, name_of, v, N, &dup), ERR_LIMIT);
    assert_int_equal(dup, NAMES_MAX_PROBES);
    arena_release(&a);
}

static void nothing_is_found_among_nothing(void **state)
{
    (void)state;
    struct arena a = { 0 };
    struct names t;
    size_t dup;
    assert_int_equal(names_build(&t, &a, name_of, NULL, 0, &dup), 0);
    assert_true(names_find(&t, name_of, NULL, (struct gguf_str){ "x", 1 }) == SIZE_MAX);
    arena_release(&a);
    mem_fail_after(0);
    assert_int_equal(names_build(&t, &a, name_of, NULL, 0, &dup), ERR_NOMEM);
    mem_fail_after(-1);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_names_are_found),
        cmocka_unit_test(colliding_names_are_refused),
        cmocka_unit_test(nothing_is_found_among_nothing),
    };
    return run_tests(tests);
}
