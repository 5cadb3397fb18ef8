/* client.c - answers of servers: any bytes end in a body or in an error, and a body has no more bytes than came. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf body = { 0 };
    struct err e;
    int status = -1;
    char *copy = malloc(n ? n : 1);                            /* so that reading behind the end is seen */
    if (!copy) return 0;
    memcpy(copy, data, n);
    int rc = client_read(copy, n, &status, &body, &e);
    if (body.len > n || (rc == 0 && (status < 0 || status > 999))) abort();
    buf_release(&body);
    free(copy);
    return 0;
}
