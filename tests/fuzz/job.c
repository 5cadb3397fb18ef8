/* job.c - options of answers as they come from requests: read, or refused with a reason; nothing is kept. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/job_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct json *j;
    struct err e = { 0 };
    if (n > 1 << 16 || json_parse(&j, (const char *)data, n, &e) < 0) return 0;
    struct answer_options o;
    hearth_sampler_defaults(NULL, &o.sampler);
    int rc = answer_options_read(&o, j, &e);
    if (rc < 0 && !e.msg[0]) abort();
    if (rc == 0 && (!(o.sampler.temperature >= 0 && o.sampler.temperature <= 100) || o.max_tokens < -1 || o.min_tokens < 0 ||
                    o.sampler.mirostat < 0 || o.sampler.mirostat > 2)) abort();
    answer_options_release(&o);
    json_free(j);
    return 0;
}
