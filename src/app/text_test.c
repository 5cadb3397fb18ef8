/* text_test.c - what is printed. */
#include "tests/testing.h"

#include "app/term.h"
#include "base/utf8.h"

static void control_characters_become_visible(void **unused)
{
    (void)unused;
    static const struct { const char *in, *out; } row[] = {
        { "plain \xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x94\xa5\n\tx", "plain \xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x94\xa5\n\tx" },
        { "\033[31mred", "\xe2\x90\x9b[31mred" },
        { "\033]0;title\007", "\xe2\x90\x9b]0;title\xe2\x90\x87" },
        { "a\r\nb\rc", "a\nb\xe2\x90\x8d" "c" },
        { "\b\177", "\xe2\x90\x88\xe2\x90\xa1" },
        { "\xc2\x9b" "31m\xc2\x85", "\xef\xbf\xbd" "31m\xef\xbf\xbd" },            /* C1: CSI, NEL */
        { "a\xe2\x80\xae" "b\xe2\x81\xa6\xd8\x9c", "a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xff\xc3(\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xf0\x9f\x94", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct buf b = { 0 };
        term_clean(row[i].in, strlen(row[i].in), &b);
        assert_string_equal(b.data, row[i].out);
        buf_release(&b);
    }
    struct buf b = { 0 };
    term_clean("a\0b", 3, &b);
    assert_string_equal(b.data, "a\xe2\x90\x80" "b");
    buf_release(&b);
}

/* Whatever comes in: valid UTF-8 without controls goes out. */
static void nothing_steers_a_terminal(void **unused)
{
    (void)unused;
    uint32_t state = 1;
    for (int t = 0; t < 20000; t++) {
        char in[24];
        for (size_t i = 0; i < sizeof in; i++) {
            state = state * 1664525u + 1013904223u;
            in[i] = (char)(t & 1 ? state >> 24 : (state >> 24) % 40);
        }
        struct buf b = { 0 };
        term_clean(in, sizeof in, &b);
        assert_true(utf8_valid(b.data, b.len));
        for (size_t i = 0, len; i < b.len; i += len) {
            uint32_t cp = utf8_decode(b.data + i, b.len - i, &len);
            assert_true(cp == '\n' || cp == '\t' || (cp >= 0x20 && cp != 0x7f && !(cp >= 0x80 && cp < 0xa0)));
        }
        buf_release(&b);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(control_characters_become_visible),
    cmocka_unit_test(nothing_steers_a_terminal),
};
int main(void) { return run_tests(tests); }
