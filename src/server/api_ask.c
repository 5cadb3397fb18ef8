#include "server/api_ask.h"

#include "base/mem.h"
#include "server/api_call.h"
#include "server/api_put.h"

struct ask { api_ask_fn *fn; void *own; void (*release)(void *own); };

static void release(void *state)
{
    struct ask *a = state;
    if (a->own && a->release) a->release(a->own);
    mem_free(a);
}

static void on_event(struct exchange *x, const struct json *event, bool last)
{
    const struct ask *a = exchange_state(x);
    if (!last) return;
    if (api_is(json_get(event, "event"), "error")) exchange_fail_event(x, event);
    else a->fn(x, a->own, event);
}

void api_ask(struct exchange *x, const struct api_question *q, api_ask_fn *fn)
{
    struct ask *a = mem_new(1, sizeof *a);
    struct json *job = q->job ? q->job : json_new_object();
    bool ok = a && job && (q->job || api_set_str(job, "op", q->op)) && (!q->model || api_set_str(job, "model", q->model));
    if (!ok) {
        json_free(job);
        mem_free(a);
        if (q->own && q->release) q->release(q->own);
        exchange_fail(x, 503, "memory", "out of memory for this request");
        return;
    }
    *a = (struct ask){ fn, q->own, q->release };
    exchange_keep(x, a, release);
    exchange_submit(x, job, on_event);
}
