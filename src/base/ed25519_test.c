/* ed25519_test.c - signatures against those of another program, and files that are no keys. */
#include "base/ed25519.h"
#include "tests/ssh_key.h"
#include "tests/testing.h"

static void known_answer(void **state)
{
    (void)state;
    static const char text[] = "GET,https://x/token,abc";
    struct ed25519 k;
    struct err e;
    struct buf b = { 0 };
    if (ed25519_read(&k, ssh_key, strlen(ssh_key), &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(ed25519_sign(&k, text, strlen(text), &b, &e), 0);
    /* by openssl pkeyutl -sign -rawin; before the colon what ssh-keygen wrote into the .pub file */
    assert_string_equal(b.data, "AAAAC3NzaC1lZDI1NTE5AAAAIE7LIs6irMmXLGSkf4tw4JJjtCjZMqSbNF/EHm95v5Bm:"
                        "PrpWlsdhEWTgexX2xCuzfkGQBrONSa14b6MYUHQyYSoV"
                        "6k0+GR1rlaneaa2QseXwquFOHb39mN9py4nuYrU2BA==");
    buf_release(&b);
    ed25519_forget(&k);
    for (size_t i = 0; i < sizeof k; i++) assert_int_equal(((const uint8_t *)&k)[i], 0);
}

static void no_keys(void **state)
{
    (void)state;
    struct ed25519 k;
    struct err e;
    assert_int_equal(ed25519_read(&k, ssh_key_locked, strlen(ssh_key_locked), &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "passphrase"));
    assert_int_equal(ed25519_read(&k, "-----BEGIN RSA PRIVATE KEY-----\n", 32, &e), ERR_FORMAT);
    char text[sizeof ssh_key];
    unsigned good = 0;
    for (size_t n = 0; n + 1 < strlen(ssh_key); n++) {         /* cut anywhere, but for the last line feed */
        memcpy(text, ssh_key, n);
        if (ed25519_read(&k, text, n, &e) == 0) fail_msg("%zu bytes of %zu are a key", n, strlen(ssh_key));
    }
    for (size_t i = 0; i < strlen(ssh_key); i++) {             /* one character changed: only the comment may be another */
        memcpy(text, ssh_key, sizeof text);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        good += ed25519_read(&k, text, strlen(ssh_key), &e) == 0;
    }
    assert_in_range(good, 1, 90);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(known_answer), cmocka_unit_test(no_keys) };
    return run_tests(tests);
}
