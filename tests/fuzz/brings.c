/* brings.c - the settings of a model, its messages, and a request, with zero bytes between: what the model brings is read, or
 * refused with a reason, and what was read can always be put into a job. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/brings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct preset none = { .all = NULL };
    char *text[3];
    struct buf out = { 0 }, left_out = { 0 };
    struct err e = { 0 };
    struct json *job = NULL;
    if (n > 1 << 16) return 0;
    for (int i = 0; i < 3; i++) {
        const uint8_t *end = n ? memchr(data, 0, n) : NULL;
        size_t k = end ? (size_t)(end - data) : n;
        text[i] = mem_strdup((const char *)data, k);
        if (!text[i]) abort();
        data += end ? k + 1 : k;
        n -= end ? k + 1 : k;
    }
    struct parts p = { .params = text[0], .messages = text[1], .system = text[2], .template = text[2] };
    int rc = brings_read(&p, &none, &out, &left_out, &e);
    if (rc < 0 && !e.msg[0]) abort();
    if (json_parse(&job, text[2], strlen(text[2]), NULL) < 0 || json_type(job) != JSON_OBJECT) {
        json_free(job);
        job = json_new_object();
    }
    if (rc == 0 && brings_put(&out, job, &e) < 0) abort();
    json_free(job);
    buf_release(&out);
    buf_release(&left_out);
    for (int i = 0; i < 3; i++) mem_free(text[i]);
    return 0;
}
