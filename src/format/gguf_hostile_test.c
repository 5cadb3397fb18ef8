/* Files that are wrong on purpose.  Called with "--write FOLDER" it writes them there (the fuzzer's corpus). */
#include <stdlib.h>

#include "base/mem.h"
#include "tests/gguf_hostile.h"
#include "tests/gguf_walk.h"
#include "tests/testing.h"

/* Parses a copy that ends where its memory ends, so that a sanitizer sees any byte read past it. */
static int parse_copy(const char *data, size_t n, struct err *err)
{
    struct gguf *g;
    uint8_t *d = malloc(n ? n : 1);
    assert_non_null(d);
    if (n) memcpy(d, data, n);
    int rc = gguf_parse(&g, d, n, "x.gguf", err);
    if (rc < 0) {
        assert_null(g);
        assert_int_equal(err->code, rc);
        assert_memory_equal(err->msg, "x.gguf: ", 8);
    } else {
        assert_true(gguf_walk(g) != 0);
    }
    gguf_close(g);
    free(d);
    return rc;
}

static void the_good_file_is_good(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct err err = { 0 };
    raw_good(&b);
    assert_int_equal(parse_copy(b.data, b.len, &err), 0);
    buf_release(&b);
}

static void each_mistake_is_named(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_HOSTILE; i++) {
        struct buf b = { 0 };
        struct err err = { 0 };
        hostile[i].make(&b);
        assert_false(b.bad);
        int rc = parse_copy(b.data, b.len, &err);
        if (rc != hostile[i].code || !strstr(err.msg, hostile[i].says))
            fail_msg("%s: %d '%s', expected %d '%s'", hostile[i].name, rc, err.msg, hostile[i].code, hostile[i].says);
        buf_release(&b);
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct buf b = { 0 };
    raw_good(&b);
    for (size_t n = 0; n < b.len; n++) {
        struct err err = { 0 };
        assert_true(parse_copy(b.data, n, &err) < 0);
    }
    buf_release(&b);
}

static void every_flipped_bit_is_survived(void **state)
{
    (void)state;
    struct buf b = { 0 };
    raw_good(&b);
    unsigned refused = 0;
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        struct err err = { 0 };
        b.data[bit / 8] ^= (char)(1 << bit % 8);
        refused += parse_copy(b.data, b.len, &err) < 0;
        b.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(refused > 500);
    buf_release(&b);
}

/* Two random bytes at a time, and random cuts. */
static void random_damage_is_survived(void **state)
{
    (void)state;
    struct buf b = { 0 };
    raw_good(&b);
    char *d = mem_new(b.len, 1);
    uint64_t s = 1;
    for (unsigned round = 0; round < 20000; round++) {
        struct err err = { 0 };
        memcpy(d, b.data, b.len);
        for (unsigned k = 0; k < 2; k++) {
            s = s * 6364136223846793005u + 1442695040888963407u;
            d[(s >> 33) % b.len] = (char)(s >> 25);
        }
        parse_copy(d, round % 4 ? b.len : (size_t)(s >> 40) % b.len, &err);
    }
    mem_free(d);
    buf_release(&b);
}

static void too_many_strings_are_refused_fast(void **state)
{
    (void)state;
    enum { N = (4 << 20) + 1 };
    struct buf b = { 0 };
    struct gguf *g;
    struct err err = { 0 };
    raw_head(&b, 3, 0, 2);
    raw_array(&b, "one", GGUF_STRING, N / 2);
    size_t at = b.len, half = (size_t)(N / 2) * 8;
    assert_true(buf_reserve(&b, 2 * half + 100));
    memset(b.data + at, 0, 2 * half + 100);
    b.len += half;
    raw_array(&b, "two", GGUF_STRING, N / 2 + 1);
    b.len += half + 16;
    uint64_t start = os_thread_ns();
    int rc = gguf_parse(&g, b.data, b.len, "x.gguf", &err);
    assert_true(os_thread_ns() - start < 5000000000u);
    assert_int_equal(rc, ERR_LIMIT);
    assert_non_null(strstr(err.msg, "key 'two': more than 4194304 strings"));
    buf_release(&b);
}

static void control_characters_do_not_reach_messages(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct err err = { 0 };
    raw_head(&b, 3, 0, 1);
    raw_key(&b, "k\xc3\xa4 0123456789012345678901234567890123456789012345678901234567890123456789", 77);
    raw_zeros(&b, 16);
    assert_true(parse_copy(b.data, b.len, &err) < 0);
    for (const char *p = err.msg; *p; p++) assert_true(*p >= 0x20 && *p < 0x7f);
    assert_non_null(strstr(err.msg, "..."));
    buf_release(&b);
}

/* Enough of everything that each kind of allocation reaches the system, and offsets that need sorting. */
static void make_large(struct buf *b)
{
    enum { N = 3000 };
    raw_head(b, 3, N, N);
    for (unsigned i = 0; i < N; i++) {
        char key[16];
        snprintf(key, sizeof key, "key.%u", i);
        raw_kv_u32(b, key, i);
    }
    for (unsigned i = 0; i < N; i++) {
        char name[64];
        snprintf(name, sizeof name, "a.rather.long.name.of.the.tensor.with.the.number.%u", i);
        raw_tensor(b, name, 8, 1, 0, 32 * (N - 1 - i));
    }
    raw_data(b, 32 * N);
}

static void allocation_failures_are_clean(void **state)
{
    (void)state;
    struct buf b = { 0 };
    make_large(&b);
    int rc = ERR_NOMEM;
    unsigned n = 0;
    for (; rc != 0; n++) {
        struct gguf *g = NULL;
        struct err err = { 0 };
        mem_fail_after(n);
        rc = gguf_parse(&g, b.data, b.len, "x.gguf", &err);
        mem_fail_after(-1);
        if (rc != 0) {
            assert_int_equal(rc, ERR_NOMEM);
            assert_int_equal(err.code, rc);
            assert_memory_equal(err.msg, "x.gguf: ", 8);
            assert_null(g);
        }
        gguf_close(g);
    }
    assert_true(n > 6);
    buf_release(&b);
}

static int write_corpus(const char *folder)
{
    for (unsigned i = 0; i <= N_HOSTILE; i++) {
        struct buf b = { 0 };
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, i < N_HOSTILE ? hostile[i].name : "good");
        (i < N_HOSTILE ? hostile[i].make : raw_good)(&b);
        FILE *f = fopen(path, "wb");
        bool ok = f && fwrite(b.data, 1, b.len, f) == b.len;
        if (!f || fclose(f) != 0 || !ok) {
            perror(path);
            return 1;
        }
        buf_release(&b);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_good_file_is_good),
        cmocka_unit_test(each_mistake_is_named),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_survived),
        cmocka_unit_test(random_damage_is_survived),
        cmocka_unit_test(too_many_strings_are_refused_fast),
        cmocka_unit_test(control_characters_do_not_reach_messages),
        cmocka_unit_test(allocation_failures_are_clean),
    };
    if (argc == 3 && strcmp(argv[1], "--write") == 0) return write_corpus(argv[2]);
    return run_tests(tests);
}
