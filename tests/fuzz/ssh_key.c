/* Fuzz target: a private key of OpenSSH. */
#include <stdlib.h>

#include "base/ed25519.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct ed25519 k;
    struct err e = { 0 };
    struct buf b = { 0 };
    int rc = ed25519_read(&k, (const char *)data, n, &e);
    if (rc < 0 && (e.code != rc || !e.msg[0])) abort();
    if (rc == 0 && (ed25519_sign(&k, "text", 4, &b, &e) < 0 || b.len != 68 + 1 + 88)) abort();
    buf_release(&b);
    return 0;
}
