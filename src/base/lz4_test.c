/* lz4_test.c - frames that the program lz4 1.9.4 wrote, and all ways to damage them. */
#include "tests/testing.h"

#include "base/lz4.h"

/* A repeated text; with check sums of blocks and its size; zeros; bytes that do not get smaller. */
static const char *const packed[] = {
    "04224d186440a734000000ef6f6e652074776f207468726565200e00099b666f75722c20616e6426000018006b2066697665"
      "3b19000f4d0074506976653b2000000000f5213c33",
    "04224d187c40e7000000000000009134000000ef6f6e652074776f207468726565200e00099b666f75722c20616e64260000"
      "18006b20666976653b19000f4d0074506976653b20a5b4b10300000000f5213c33",
    "04224d186440a70e0000001f000100ffffffd250000000000000000000d08c287f",
    "04224d186040822800008082b70eee7f1a5039bef07ec2347f066ed08f5dc7512447e3404300026b6e545594a065685d64c4"
      "9800000000",
};
static const char random_bytes[] =
    "82b70eee7f1a5039bef07ec2347f066ed08f5dc7512447e3404300026b6e545594a065685d64c498";

static size_t from_hex(const char *s, uint8_t *p)
{
    size_t n = strlen(s) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        if (sscanf(s + 2 * i, "%2x", &v) != 1) return 0;
        p[i] = (uint8_t)v;
    }
    return n;
}

static size_t expected(size_t i, uint8_t *p)
{
    static const char text[] = "one two three one two three one two three four, and one two three four five; ";
    if (i == 3) return from_hex(random_bytes, p);
    if (i == 2) return memset(p, 0, 1000), 1000;
    for (int k = 0; k < 3; k++) memcpy(p + (size_t)k * (sizeof text - 1), text, sizeof text - 1);
    return 3 * (sizeof text - 1);
}

static void frames_of_the_program(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        uint8_t p[400], want[1000], out[1000];
        size_t n = from_hex(packed[i], p), m = expected(i, want), len = 0;
        assert_true(lz4_frame(p, n, out, m, &len));
        assert_int_equal(len, m);
        assert_memory_equal(out, want, m);
        assert_false(lz4_frame(p, n, out, m - 1, &len));          /* no room */
        assert_false(lz4_frame(p, n + 1, out, m, &len));          /* something follows */
        for (size_t k = 0; k < n; k++) assert_false(lz4_frame(p, k, out, m, &len));
        /* Damage is found, or gives as many bytes as there is room for at most. */
        for (size_t k = 0; k < 8 * n; k++) {
            p[k / 8] ^= (uint8_t)(1 << k % 8);
            if (lz4_frame(p, n, out, m, &len)) assert_true(len <= m);
            p[k / 8] ^= (uint8_t)(1 << k % 8);
        }
    }
}

static void what_is_not_known(void **state)
{
    (void)state;
    uint8_t p[400], out[1000];
    size_t n = from_hex(packed[0], p), len;
    p[4] |= 1;                                                   /* a dictionary */
    assert_false(lz4_frame(p, n, out, sizeof out, &len));
    p[4] = (uint8_t)((p[4] & ~1) ^ 0xc0);                        /* version 2 */
    assert_false(lz4_frame(p, n, out, sizeof out, &len));
    /* A match from before the beginning. */
    static const uint8_t before[] = { 4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 5, 0, 0, 0, 0x10, 'a', 2, 0, 0, 0, 0, 0, 0 };
    assert_false(lz4_frame(before, sizeof before, out, sizeof out, &len));
    static const uint8_t nothing[] = { 4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0, 0, 0, 0 };
    assert_true(lz4_frame(nothing, sizeof nothing, out, 0, &len) && len == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(frames_of_the_program), cmocka_unit_test(what_is_not_known) };
    return run_tests(tests);
}
