/* api_exchange.c - calls (api_call.h) joined to connections (http.h). */
#include "server/api_call.h"
#include "server/api_models.h"
#include "server/server.h"

static void release(void *state) { api_call_free(state); }

void api_fail(struct exchange *x, const struct err *err)
{
    const char *kind;
    int status = api_status(err->code, &kind);
    exchange_fail(x, status, kind, err->msg);
}

static void flush(struct exchange *x, struct api_call *c)
{
    if (!c->out.len) return;
    if (!exchange_started(x)) exchange_stream(x, c->form->stream_type);
    exchange_write(x, c->out.data, c->out.len);
    buf_clear(&c->out);
}

static void on_event(struct exchange *x, const struct json *event, bool last);

static void go_on(struct exchange *x, struct api_call *c)
{
    struct json *job;
    struct err e = { 0 };
    if (api_call_next(c, &job, &e) == 0 && job) exchange_submit(x, job, on_event);
    else api_fail(x, &e);
}

static void on_event(struct exchange *x, const struct json *event, bool last)
{
    struct api_call *c = exchange_state(x);
    bool was_over = c->over;
    api_call_event(c, event);
    if (c->out.bad) {
        if (!exchange_started(x)) exchange_fail(x, 503, "memory", "out of memory for the answer");
        else if (last) exchange_end(x);
        return;
    }
    if (c->failed && !exchange_started(x)) {
        if (!was_over) exchange_fail(x, c->status, c->kind, c->message);
        return;
    }
    if (c->stream) flush(x, c);
    else if (c->over && !was_over) exchange_text(x, 200, HTTP_JSON, c->out.data ? c->out.data : "", c->out.len);
    if (last && c->more) go_on(x, c);
    else if (last && c->stream) exchange_end(x);
}

void api_submit(struct exchange *x, struct api_call *c, struct json *job)
{
    exchange_keep(x, c, release);
    exchange_submit(x, job, on_event);
}

/* So that what stands between several servers and their clients knows which of them has it. */
static void name_answer(struct exchange *x, const struct api_call *c)
{
    char id[sizeof c->id + 8];
    fmt_into(id, sizeof id, "resp_%s", c->id);
    exchange_set_header(x, "X-Response-Id", id);
}

static void take_file(void *arg, const struct api_model *m)
{
    struct api_call *c = arg;
    fmt_into(c->quant, sizeof c->quant, "%s", m->facts.quant);
    fmt_into(c->format, sizeof c->format, "%s", api_model_format(m));
}

static void handle(struct exchange *x, const struct api_form *form, bool tells_file)
{
    struct err e = { 0 };
    struct json *job = NULL;
    struct server_model own;
    struct api_call *c = api_call_new(form);
    if (c) {
        c->state = server_answers(exchange_server(x));
        c->user = exchange_user(x);
    }
    int rc = c ? api_call_job(c, exchange_body(x), &job, &e) : err_set(&e, ERR_NOMEM, "out of memory for this request");
    if (rc == 0 && !*c->model && server_resolve(exchange_server(x), NULL, &own, NULL) == 0) {
        fmt_into(c->own_model, sizeof c->own_model, "%s", own.name);
        c->model = c->own_model;
    }
    if (rc == 0 && tells_file) api_models_one(exchange_server(x), *c->model ? c->model : NULL, take_file, c, NULL);
    if (rc == 0) {
        exchange_call(x, c->id);
        if (c->stored) name_answer(x, c);
        api_submit(x, c, job);
        return;
    }
    api_call_free(c);
    api_fail(x, &e);
}

void api_handle(struct exchange *x, const struct api_form *form) { handle(x, form, false); }
void api_handle_with_file(struct exchange *x, const struct api_form *form) { handle(x, form, true); }
