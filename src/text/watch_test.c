#include "tests/testing.h"

#include <string.h>

#include "base/detmath.h"
#include "text/watch.h"
#include "tests/tiny_vocab.h"

/* Pushes text in pieces of `size` bytes; returns whether a stop string was found, what came out is in out. */
static bool feed(const char *const *stop, size_t n_stop, const char *text, size_t size, struct buf *out)
{
    struct watch s = { .stop = stop, .n_stop = n_stop };
    struct watch_result r;
    size_t len = strlen(text);
    bool found = false;
    for (size_t i = 0; i < len && !found; i += size) {
        found = watch_text(&s, text + i, size < len - i ? size : len - i, &r) == WATCH_STOPPED;
        buf_put(out, r.text, r.n_text);
    }
    if (!found) {
        watch_flush(&s, &r);
        buf_put(out, r.text, r.n_text);
    }
    watch_release(&s);
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
    struct watch s = { .stop = stop, .n_stop = 1 };
    struct watch_result r;
    assert_int_equal(watch_text(&s, "line", 4, &r), WATCH_GOES_ON);
    assert_int_equal(r.n_text, 4);
    assert_int_equal(watch_text(&s, "\n", 1, &r), WATCH_GOES_ON);
    assert_int_equal(r.n_text, 0);
    assert_int_equal(watch_text(&s, "more", 4, &r), WATCH_GOES_ON);
    assert_int_equal(r.n_text, 5);
    assert_memory_equal(r.text, "\nmore", 5);
    watch_release(&s);
}

/* ---- bans ---- */

static int32_t id_of(const struct tokenizer *t, const char *text)
{
    int32_t id = tokenizer_find(t, text, strlen(text));
    if (id < 0) fail_msg("the vocabulary lacks %s", text);
    return id;
}

/* Pushes tokens until a phrase comes; what came out is in out. */
static struct watch_result until_banned(struct watch *w, const char *const *token, struct buf *out)
{
    struct watch_result r = { 0 };
    for (; *token; token++) {
        enum watch_state state = watch_push(w, id_of(w->d.t, *token), &r);
        if (state == WATCH_BANNED) return r;
        buf_put(out, r.text, r.n_text);
    }
    watch_flush(w, &r);
    buf_put(out, r.text, r.n_text);
    return (struct watch_result){ 0 };
}

static void banned_phrases_take_tokens_back(void **unused)
{
    (void)unused;
    struct tiny_vocab v = tiny_open(TINY_BPE, "gpt-2");
    static const char *const ban[] = { "ello wor", "xyz", "aab" };
    static const struct { const char *token[8]; const char *out, *first; size_t n_back; } row[] = {
        { { "b", "hello", "\xc4\xa0wor", "b" }, "b", "hello", 2 },          /* taken back to the token that it begins in */
        { { "b", "H", "e", "L", "l", "o", "\xc4\xa0wor" }, "bH", "e", 5 },  /* whatever the case */
        { { "x", "y", "x", "y", "b" }, "xyxyb", NULL, 0 },
        { { "x", "y", "x", "y", "z" }, "xy", "x", 3 },
        { { "aaaa", "b" }, "", "aaaa", 2 },
        { { "b", "aaa", "a", "a", "b" }, "baaa", "a", 3 },
        { { "hello", "w" }, "hellow", NULL, 0 },
        { { "x", "y" }, "xy", NULL, 0 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct watch w = { .d = { .t = v.t }, .ban = ban, .n_ban = 3 };
        struct buf out = { 0 };
        buf_puts(&out, "");
        struct watch_result r = until_banned(&w, row[i].token, &out);
        assert_int_equal(r.n_back, row[i].n_back);
        if (row[i].first) assert_int_equal(r.first, id_of(v.t, row[i].first));
        static const char *const rest[] = { "w", "w", NULL };
        if (row[i].n_back) {                                   /* and it goes on from there */
            assert_int_equal(until_banned(&w, rest, &out).n_back, 0);
            assert_string_equal(out.data + out.len - 2, "ww");
            out.data[out.len -= 2] = 0;
        }
        assert_string_equal(out.data, row[i].out);
        watch_release(&w);
        buf_release(&out);
    }
    tiny_close(&v);
}

static void stop_strings_and_bans_together(void **unused)
{
    (void)unused;
    struct tiny_vocab v = tiny_open(TINY_BPE, "gpt-2");
    static const char *const ban[] = { "lo w" }, *const stop[] = { "he" }, *const late[] = { "w" };
    struct watch_result r;
    struct watch w = { .d = { .t = v.t }, .ban = ban, .n_ban = 1, .stop = stop, .n_stop = 1 };
    assert_int_equal(watch_push(&w, id_of(v.t, "b"), &r), WATCH_GOES_ON);
    assert_int_equal(watch_push(&w, id_of(v.t, "hello"), &r), WATCH_STOPPED);
    assert_int_equal(r.n_text, 0);
    watch_release(&w);
    w = (struct watch){ .d = { .t = v.t }, .ban = ban, .n_ban = 1, .stop = late, .n_stop = 1 };
    assert_int_equal(watch_push(&w, id_of(v.t, "hello"), &r), WATCH_GOES_ON);
    assert_int_equal(watch_push(&w, id_of(v.t, "\xc4\xa0w"), &r), WATCH_BANNED);
    watch_release(&w);
    tiny_close(&v);
}

/* Half a character that is taken back is taken back from the decoder too. */
static void characters_are_taken_back_whole(void **unused)
{
    (void)unused;
    struct tiny_vocab v = tiny_open(TINY_BPE, "gpt-2");
    static const char *const ban[] = { "x\xc3\xa9z" };
    struct watch w = { .d = { .t = v.t }, .ban = ban, .n_ban = 1 };
    struct watch_result r;
    assert_int_equal(watch_push(&w, id_of(v.t, "x"), &r), WATCH_GOES_ON);
    assert_int_equal(watch_push(&w, id_of(v.t, "\xc3\x83"), &r), WATCH_GOES_ON);       /* C3 */
    assert_int_equal(watch_push(&w, id_of(v.t, "\xc2\xa9"), &r), WATCH_GOES_ON);       /* A9 */
    assert_int_equal(watch_push(&w, id_of(v.t, "z"), &r), WATCH_BANNED);
    assert_int_equal(r.n_back, 4);
    assert_int_equal(watch_push(&w, id_of(v.t, "\xc3\x83"), &r), WATCH_GOES_ON);
    watch_flush(&w, &r);
    assert_int_equal(r.n_text, 3);                             /* U+FFFD */
    watch_release(&w);
    tiny_close(&v);
}

/* Random tokens, random phrases: what comes out has none of them, and with what was taken back it is the whole stream. */
static void nothing_banned_ever_comes_out(void **unused)
{
    (void)unused;
    struct tiny_vocab v = tiny_open(TINY_BPE, "gpt-2");
    static const char *const word[] = { "a", "aa", "aaa", "aaaa", "b", "l", "ll", "<|im_end|>", "\xc3\x83", "B", "\xc2\xa9" };
    static const char *const ban[] = { "aab", "lll", "baB", "b\xc3\xa9" };
    uint64_t at = 0;
    for (int t = 0; t < 2000; t++) {
        struct watch w = { .d = { .t = v.t }, .ban = ban, .n_ban = 1 + (size_t)t % 4 };
        struct buf out = { 0 };
        struct ids kept = { 0 };
        struct watch_result r;
        for (int i = 0; i < 40; i++) {
            int32_t id = id_of(v.t, word[(size_t)(det_uniform(4, at++, 1) * 11)]);
            enum watch_state state = watch_push(&w, id, &r);
            ids_push(&kept, id);
            if (state == WATCH_BANNED) {
                assert_true(r.n_back >= 1 && r.n_back <= kept.n);
                kept.n -= r.n_back;
                assert_int_equal(r.first, kept.id[kept.n]);
            } else
                buf_put(&out, r.text, r.n_text);
        }
        watch_flush(&w, &r);
        buf_put(&out, r.text, r.n_text);
        struct buf want = { 0 };
        struct detok d = { .t = v.t };
        for (size_t i = 0; i < kept.n; i++) detok_push(&d, kept.id[i], &want);
        detok_flush(&d, &want);
        assert_int_equal(out.len, want.len);
        if (out.len) assert_memory_equal(out.data, want.data, out.len);
        for (size_t i = 0; i < out.len; i++)
            if (out.data[i] == 'B') out.data[i] = 'b';
        for (size_t i = 0; out.len && i < w.n_ban; i++) {
            char low[8] = { 0 };
            for (size_t k = 0; ban[i][k]; k++) low[k] = (char)(ban[i][k] == 'B' ? 'b' : ban[i][k]);
            if (strstr(out.data, low)) fail_msg("%s in %s", low, out.data);
        }
        watch_release(&w);
        buf_release(&out);
        buf_release(&want);
        ids_release(&kept);
    }
    tiny_close(&v);
}

static void what_may_be_taken_back_is_counted(void **unused)
{
    (void)unused;
    static const char *const ban[] = { "hello there" };
    struct watch w = { .ban = ban, .n_ban = 1 };
    struct watch_result r;
    watch_text(&w, "Oh, ", 4, &r);
    assert_int_equal(watch_held(&w), 0);
    watch_text(&w, "hel", 3, &r);
    assert_int_equal(watch_held(&w), 1);
    watch_text(&w, "lo ", 3, &r);
    assert_int_equal(watch_held(&w), 2);
    watch_text(&w, "you", 3, &r);
    assert_int_equal(watch_held(&w), 0);
    watch_text(&w, "h", 1, &r);
    assert_int_equal(watch_held(&w), 1);
    watch_flush(&w, &r);
    assert_int_equal(watch_held(&w), 0);
    watch_release(&w);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(stop_strings_cut_wherever_the_pieces_end),
    cmocka_unit_test(the_earliest_stop_string_wins),
    cmocka_unit_test(only_what_may_matter_is_held_back),
    cmocka_unit_test(banned_phrases_take_tokens_back),
    cmocka_unit_test(stop_strings_and_bans_together),
    cmocka_unit_test(characters_are_taken_back_whole),
    cmocka_unit_test(nothing_banned_ever_comes_out),
    cmocka_unit_test(what_may_be_taken_back_is_counted),
};
int main(void) { return run_tests(tests); }
