/* Decoding is strict and total; replacing makes text valid; normalizing is idempotent. */
#include <stdlib.h>
#include <string.h>

#include "base/uni.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
    if (!ok) abort();
}

static void check_form(enum uni_form form, const struct buf *in)
{
    struct buf once = { 0 }, twice = { 0 };
    uni_normalize(form, in->data, in->len, &once);
    check(utf8_valid(once.data, once.len));
    uni_normalize(form, once.data, once.len, &twice);
    check(!twice.bad && twice.len == once.len && (!once.len || memcmp(once.data, twice.data, once.len) == 0));
    buf_release(&once);
    buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *s = (const char *)data;
    size_t prefix = utf8_valid_prefix(s, n), i = 0, len;
    for (; i < n; i += len) {
        uint32_t cp = utf8_decode(s + i, n - i, &len);
        check(len >= 1 && len <= n - i);
        if (cp == UTF8_BAD) {
            check(len == 1);
            break;
        }
        char c[4];
        check(utf8_encode(cp, c) == len && memcmp(c, s + i, len) == 0);
    }
    check(prefix == (i < n ? i : n));
    size_t whole = utf8_complete(s, n);
    check(whole <= n && n - whole <= 3);
    struct buf valid = { 0 };
    utf8_put_valid(&valid, s, n);
    check(utf8_valid(valid.data, valid.len));
    check_form(UNI_NFD, &valid);
    check_form(UNI_NFC, &valid);
    buf_release(&valid);
    return 0;
}
