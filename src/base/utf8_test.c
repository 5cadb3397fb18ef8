/* UTF-8, character classes, normal forms, sorting. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/sort.h"
#include "base/uni.h"
#include "base/utf8.h"
#include "tests/testing.h"

static void decoding(void **state)
{
    (void)state;
    static const struct { const char *s; uint32_t cp; size_t len; } rows[] = {
        { "a", 'a', 1 }, { "\xc2\x80", 0x80, 2 }, { "\xdf\xbf", 0x7ff, 2 }, { "\xe0\xa0\x80", 0x800, 3 },
        { "\xed\x9f\xbf", 0xd7ff, 3 }, { "\xee\x80\x80", 0xe000, 3 }, { "\xf0\x90\x80\x80", 0x10000, 4 },
        { "\xf4\x8f\xbf\xbf", 0x10ffff, 4 }, { "\x80", UTF8_BAD, 1 }, { "\xc0\xaf", UTF8_BAD, 1 },
        { "\xc1\xbf", UTF8_BAD, 1 }, { "\xe0\x9f\xbf", UTF8_BAD, 1 }, { "\xed\xa0\x80", UTF8_BAD, 1 },
        { "\xf0\x8f\xbf\xbf", UTF8_BAD, 1 }, { "\xf4\x90\x80\x80", UTF8_BAD, 1 }, { "\xf5\x80\x80\x80", UTF8_BAD, 1 },
        { "\xe2\x82", UTF8_BAD, 1 }, { "\xff", UTF8_BAD, 1 }, { "\xc3(", UTF8_BAD, 1 }
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = 0;
        assert_int_equal(utf8_decode(rows[i].s, strlen(rows[i].s), &len), rows[i].cp);
        assert_int_equal(len, rows[i].len);
        assert_int_equal(utf8_valid(rows[i].s, strlen(rows[i].s)), rows[i].cp != UTF8_BAD);
    }
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        char c[4];
        size_t len, n = utf8_encode(cp, c);
        assert_int_equal(utf8_decode(c, n, &len), cp >= 0xd800 && cp <= 0xdfff ? UTF8_BAD : cp);
    }
}

static void prefixes(void **state)
{
    (void)state;
    static const char s[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t whole[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11 };
    for (size_t n = 0; n < sizeof s; n++) {
        assert_int_equal(utf8_complete(s, n), whole[n]);
        assert_int_equal(utf8_valid_prefix(s, n), whole[n]);
    }
    /* what can never be completed is not held back */
    assert_int_equal(utf8_complete("a\xff", 2), 2);
    assert_int_equal(utf8_complete("\x80\x80\x80", 3), 3);
    assert_int_equal(utf8_complete("\xed\xa0", 2), 2);
    assert_int_equal(utf8_complete("\xc0", 1), 1);
    struct buf b = { 0 };
    utf8_put_valid(&b, "a\xff\xe2\x82z\xed\xa0\x80", 8);
    assert_string_equal(b.data, "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    buf_release(&b);
}

static void classes(void **state)
{
    (void)state;
    static const struct { uint32_t cp; unsigned class; } rows[] = {
        { 'a', UNI_LL }, { 'A', UNI_LU }, { 0x1c5, UNI_LT }, { 0x2b0, UNI_LM }, { 0x5d0, UNI_LO }, { 0x301, UNI_MN },
        { 0x903, UNI_MC }, { 0x20e3, UNI_MC }, { '7', UNI_ND }, { 0x2160, UNI_NX }, { 0xbd, UNI_NX }, { '_', UNI_P },
        { '+', UNI_S }, { ' ', UNI_SPACE }, { '\n', UNI_SPACE | UNI_CONTROL }, { 0x85, UNI_SPACE | UNI_CONTROL },
        { 0x3000, UNI_SPACE }, { 0x200b, UNI_CONTROL }, { 0x4e00, UNI_LO | UNI_HAN }, { 0x3005, UNI_LM | UNI_HAN },
        { 0x3007, UNI_NX | UNI_HAN }, { 0x3042, UNI_LO }, { 0xe000, UNI_CONTROL }, { 0x378, 0 }, { 0x110000, 0 },
        { UINT32_MAX, 0 }
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) assert_int_equal(uni_class(rows[i].cp), rows[i].class);
    assert_int_equal(uni_lower('Q'), 'q');
    assert_int_equal(uni_lower(0x0416), 0x0436);
    assert_int_equal(uni_lower(0x110000), 0x110000);
}

static void form(enum uni_form f, const char *in, const char *want)
{
    struct buf b = { 0 };
    buf_put(&b, "", 0);
    uni_normalize(f, in, strlen(in), &b);
    assert_false(b.bad);
    assert_string_equal(b.data, want);
    buf_release(&b);
}

static void normal_forms(void **state)
{
    (void)state;
    form(UNI_NFD, "\xc3\xa9", "e\xcc\x81");
    form(UNI_NFC, "e\xcc\x81", "\xc3\xa9");
    form(UNI_NFD, "\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8");
    form(UNI_NFC, "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81");
    form(UNI_NFD, "a\xcc\x81\xcc\xa3", "a\xcc\xa3\xcc\x81");            /* by combining class */
    form(UNI_NFC, "a\xcc\x81\xcc\xa3", "\xe1\xba\xa1\xcc\x81");
    form(UNI_NFC, "\xe2\x84\xab", "\xc3\x85");
    form(UNI_NFD, "", "");
    /* a long run of marks stays in order, and takes no quadratic time */
    size_t n = 1 << 19;
    char *s = mem_new(n, 1);
    struct buf b = { 0 };
    for (size_t i = 0; i < n; i += 2) memcpy(s + i, i % 4 ? "\xcc\x81" : "\xcc\xa3", 2);
    uni_normalize(UNI_NFD, s, n, &b);
    assert_int_equal(b.len, n);
    assert_memory_equal(b.data, "\xcc\xa3\xcc\xa3", 4);
    assert_memory_equal(b.data + n - 4, "\xcc\x81\xcc\x81", 4);
    buf_release(&b);
    mem_fail_after(1);
    uni_normalize(UNI_NFD, s, 4, &b);
    mem_fail_after(-1);
    assert_true(b.bad);
    buf_release(&b);
    mem_free(s);
}

static void sorting(void **state)
{
    (void)state;
    enum { MAX = 3000 };
    static uint64_t v[MAX], tmp[MAX];
    uint64_t x = 1;
    for (size_t n = 0; n < MAX; n = n * 2 + 1) {
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            v[i] = x >> (i % 3 ? 40 : 3);
            sum += v[i];
        }
        sort_u64(v, tmp, n);
        for (size_t i = 0; i < n; i++) {
            sum -= v[i];
            if (i) assert_true(v[i - 1] <= v[i]);
        }
        assert_int_equal(sum, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding), cmocka_unit_test(prefixes), cmocka_unit_test(classes),
        cmocka_unit_test(normal_forms), cmocka_unit_test(sorting)
    };
    return run_tests(tests);
}
