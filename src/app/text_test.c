/* text_test.c - what is printed and what is held back: term_clean and the stop strings. */
#include "tests/testing.h"

#include "app/stop.h"
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

/* Pushes text in pieces of `size` bytes; returns whether a stop string was found, what came out is in out. */
static bool feed(const char *const *stop, size_t n_stop, const char *text, size_t size, struct buf *out)
{
    struct stopper s = { .stop = stop, .n = n_stop };
    const char *piece;
    size_t n, len = strlen(text);
    bool found = false;
    for (size_t i = 0; i < len && !found; i += size) {
        found = stopper_push(&s, text + i, size < len - i ? size : len - i, &piece, &n);
        buf_put(out, piece, n);
    }
    if (!found) {
        stopper_flush(&s, &piece, &n);
        buf_put(out, piece, n);
    }
    stopper_release(&s);
    return found;
}

static void stop_strings_cut_wherever_the_pieces_end(void **unused)
{
    (void)unused;
    static const char *const stop[] = { "END", "\nUser:", "aab" };
    static const struct { const char *in, *out; bool found; } row[] = {
        { "hello", "hello", false }, { "helloEND", "hello", true }, { "ENENDx", "EN", true }, { "EN", "EN", false },
        { "", "", false }, { "END", "", true }, { "aaab", "a", true }, { "aaaaaab.", "aaaa", true }, { "aa", "aa", false },
        { "one\ntwo\nUser: x", "one\ntwo", true }, { "\nUse", "\nUse", false }, { "\nUsEND", "\nUs", true },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        for (size_t size = 1; size < 20; size++) {
            struct buf b = { 0 };
            buf_puts(&b, "");
            assert_int_equal(feed(stop, 3, row[i].in, size, &b), row[i].found);
            assert_string_equal(b.data, row[i].out);
            buf_release(&b);
        }
    struct buf b = { 0 };
    assert_false(feed(NULL, 0, "anything", 3, &b));
    assert_string_equal(b.data, "anything");
    buf_release(&b);
}

static void the_earliest_stop_string_wins(void **unused)
{
    (void)unused;
    static const char *const stop[] = { "abcdef", "cd", "c" };
    for (size_t size = 1; size < 8; size++) {
        struct buf b = { 0 };
        assert_true(feed(stop, 3, "xabcdef", size, &b));
        assert_string_equal(b.data, "x");
        buf_release(&b);
        assert_true(feed(stop, 3, "xabcdx", size, &b));
        assert_string_equal(b.data, "xab");
        buf_release(&b);
    }
}

static void only_what_may_matter_is_held_back(void **unused)
{
    (void)unused;
    static const char *const stop[] = { "\n\n" };
    struct stopper s = { .stop = stop, .n = 1 };
    const char *piece;
    size_t n;
    assert_false(stopper_push(&s, "line", 4, &piece, &n));
    assert_int_equal(n, 4);
    assert_false(stopper_push(&s, "\n", 1, &piece, &n));
    assert_int_equal(n, 0);
    assert_false(stopper_push(&s, "more", 4, &piece, &n));
    assert_int_equal(n, 5);
    assert_memory_equal(piece, "\nmore", 5);
    stopper_release(&s);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(control_characters_become_visible),
    cmocka_unit_test(nothing_steers_a_terminal),
    cmocka_unit_test(stop_strings_cut_wherever_the_pieces_end),
    cmocka_unit_test(the_earliest_stop_string_wins),
    cmocka_unit_test(only_what_may_matter_is_held_back),
};
int main(void) { return run_tests(tests); }
