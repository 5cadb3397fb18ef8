/* Fuzz target: the first byte chooses a form of a dialect, then comes a request's body, and behind a zero byte events, one a
 * line.  A body becomes a job or an error with a message; events never harm, and what is answered whole is JSON. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/api_forms.h"
#include "server/api_put.h"
#include "server/api_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void push_events(struct api_call *c, const char *text, size_t n)
{
    for (size_t at = 0, end; at < n; at = end + 1) {
        struct json *event, *job = NULL;
        const char *nl = memchr(text + at, '\n', n - at);
        end = nl ? (size_t)(nl - text) : n;
        if (json_parse(&event, text + at, end - at, NULL) < 0) continue;
        api_call_event(c, event);
        if (c->more && api_call_next(c, &job, NULL) == 0 && json_type(job) != JSON_OBJECT) abort();
        json_free(job);
        json_free(event);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t forms = 0, first;
    while (api_forms[forms]) forms++;
    if (n < 2) return 0;
    const char *text = (const char *)data + 1, *zero = memchr(text, 0, n - 1);
    struct api_state *state = api_state_new(4, 1 << 16);
    struct api_call *c = api_call_new(api_forms[data[0] % forms]);
    struct json *body = NULL, *job = NULL, *whole = NULL;
    struct err e = { 0 };
    first = zero ? (size_t)(zero - text) : n - 1;
    if (state && c && json_parse(&body, text, first, NULL) == 0) {
        c->state = state;
        c->random = 1;
        c->begun = 0;
        int rc = api_call_job(c, body, &job, &e);
        if (rc < 0 ? job || e.code != rc || !*e.msg : !json_str(json_get(job, "op"), NULL)) abort();
        if (rc == 0 && zero) push_events(c, zero + 1, n - 2 - first);
        if (c->failed && (!c->status || !*c->message)) abort();
        bool answered = c->over && !c->failed && !c->stream && !c->out.bad;
        if (answered && json_parse(&whole, c->out.data, c->out.len, NULL) < 0) abort();
    }
    json_free(whole);
    json_free(job);
    api_call_free(c);
    json_free(body);
    api_state_free(state);
    return 0;
}
