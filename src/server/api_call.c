#include "server/api_call.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "server/api_put.h"

enum { MAX_CHOICES = 256, MAX_ITEMS = 4096, MAX_ANSWER = 256 << 20 };

struct api_call *api_call_new(const struct api_form *form)
{
    struct api_call *c = mem_new(1, sizeof *c);
    if (!c) return NULL;
    c->form = form;
    c->model = c->user = "";
    c->random = os_random64();
    c->created = os_wall_s();
    c->begun = os_now_ns();
    c->stream = form->stream && form->stream_type;
    return c;
}

static void release_choice(struct api_choice *a)
{
    for (size_t k = 0; k < a->n; k++) buf_release(&a->item[k].text);
    mem_free(a->item);
    mem_free(a->stop);
    json_free(a->logprobs);
    json_free(a->ids);
}

void api_call_free(struct api_call *c)
{
    if (!c) return;
    if (c->own && c->release) c->release(c->own);
    for (size_t i = 0; i < c->n; i++) release_choice(&c->choice[i]);
    mem_free(c->choice);
    json_free(c->model_info);
    json_free(c->done);
    buf_release(&c->out);
    mem_free(c);
}

void api_random(struct api_call *c, char *dst, size_t n)
{
    static const char digit[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < n; i++) {                          /* splitmix64 */
        uint64_t z = c->random += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        dst[i] = digit[(z ^ z >> 31) % 36];
    }
    dst[n] = 0;
}

/* ---- the job ---- */

int api_call_job(struct api_call *c, const struct json *body, struct json **job, struct err *err)
{
    *job = json_new_object();
    c->body = body;
    api_random(c, c->id, 24);
    int rc = *job && api_set_str(*job, "op", c->form->op) ? 0 : api_nomem(err);
    if (rc == 0 && !body) rc = err_set(err, ERR_ARG, "missing request body");
    if (rc == 0 && json_type(body) != JSON_OBJECT) rc = err_set(err, ERR_ARG, "the body is no JSON object");
    if (rc == 0) rc = api_str(body, "model", &c->model, err);
    if (rc == 0 && c->form->stream_type) rc = api_bool(body, "stream", &c->stream, err);
    if (rc == 0 && *c->model && !api_set_str(*job, "model", c->model)) rc = api_nomem(err);
    if (rc == 0) rc = c->form->job(c, body, *job, err);
    c->answers = rc == 0 && api_is(json_get(*job, "op"), "generate");
    if (rc == 0) return 0;
    json_free(*job);
    *job = NULL;
    return rc;
}

int api_status(int code, const char **kind)
{
    switch (code) {
    case ERR_NOTFOUND: *kind = "not_found"; return 404;
    case ERR_UNSUPPORTED: *kind = "unsupported"; return 400;
    case ERR_DENIED: *kind = "forbidden"; return 403;
    case ERR_NOMEM: *kind = "memory"; return 503;
    case ERR_IO: *kind = "internal"; return 500;
    default: *kind = "invalid"; return 400;
    }
}

int api_status_of_kind(const char *kind)
{
    static const struct { const char *kind; int status; } row[] = {
        { "invalid", 400 }, { "unsupported", 400 }, { "context", 400 }, { "not_found", 404 }, { "busy", 503 }, { "memory", 503 },
        { "engine", 500 }, { "deadline", 504 }, { "cancelled", 499 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (!strcmp(row[i].kind, kind)) return row[i].status;
    return 500;
}

/* ---- events ---- */

static enum api_kind kind_of(const struct json *event)
{
    static const char *const name[] = { "loading", "queued", "prefill", "start", "text", "reasoning", "call", "arguments",
                                        "call_end", "call_broken", "warning", "end", "done", "error" };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (api_is(json_get(event, "event"), name[i])) return (enum api_kind)i;
    return API_OTHER;
}

static struct api_choice *choice_at(struct api_call *c, size_t i)
{
    if (i >= MAX_CHOICES) return NULL;
    if (i < c->n) return &c->choice[i];
    struct api_choice *grown = mem_resize(c->choice, i + 1, sizeof *grown);
    if (!grown) {
        c->nomem = true;
        return NULL;
    }
    memset(grown + c->n, 0, (i + 1 - c->n) * sizeof *grown);
    c->choice = grown;
    c->n = i + 1;
    return &c->choice[i];
}

static struct api_item *add_item(struct api_call *c, struct api_choice *a, enum api_kind kind)
{
    if (a->n == MAX_ITEMS) return NULL;
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 4;
        struct api_item *grown = mem_resize(a->item, cap, sizeof *grown);
        if (!grown) {
            c->nomem = true;
            return NULL;
        }
        a->item = grown;
        a->cap = cap;
    }
    struct api_item *it = &a->item[a->n++];
    *it = (struct api_item){ .kind = kind };
    return it;
}

static struct api_item *find_call(struct api_choice *a, size_t call)
{
    for (size_t k = a->n; k-- > 0;)
        if (a->item[k].kind == API_CALL && a->item[k].call == call && !a->item[k].broken) return &a->item[k];
    return NULL;
}

/* What an answer holds has a limit, whatever the engine says. */
static bool has_room(struct api_call *c, size_t bytes)
{
    c->bytes += bytes;
    if (c->bytes > MAX_ANSWER) c->nomem = true;
    return !c->nomem;
}

static void take_list(struct api_call *c, struct json **to, const struct json *list)
{
    if (json_type(list) != JSON_ARRAY || !has_room(c, 64 * json_len(list))) return;
    if (!*to) *to = json_new_array();
    for (size_t k = 0; k < json_len(list); k++)
        if (!json_push(*to, json_share(json_at(list, k)))) c->nomem = true;
}

static void take_piece(struct api_call *c, struct api_event *e)
{
    struct api_choice *a = e->choice;
    struct api_item *last = a->n ? &a->item[a->n - 1] : NULL;
    if (!e->n || !has_room(c, e->n)) return;
    if (!last || last->kind != e->kind) {
        last = add_item(c, a, e->kind);
        e->opened = true;
    }
    if (!last) return;
    buf_put(&last->text, e->text, e->n);
    if (last->text.bad) c->nomem = true;
    e->item = last;
}

static void take_call(struct api_call *c, struct api_event *e)
{
    struct api_item *it = add_item(c, e->choice, API_CALL);
    const char *id = json_str(json_get(e->json, "id"), NULL), *name = json_str(json_get(e->json, "name"), NULL);
    if (!it) return;
    it->call = e->call;
    fmt_into(it->name, sizeof it->name, "%s", name ? name : "");
    if (id && *id) fmt_into(it->id, sizeof it->id, "%s", id);
    else {
        memcpy(it->id, "call_", 5);
        api_random(c, it->id + 5, 24);
    }
    e->item = it;
    e->opened = true;
    e->text = it->name;
    e->n = strlen(it->name);
}

static void take_call_part(struct api_call *c, struct api_event *e)
{
    struct api_item *it = find_call(e->choice, e->call);
    if (!it) return;
    e->item = it;
    if (e->kind == API_ARGUMENTS && has_room(c, e->n)) {
        buf_put(&it->text, e->text, e->n);
        if (it->text.bad) c->nomem = true;
    } else if (e->kind == API_CALL_END && !it->closed) {
        it->closed = true;
        e->choice->n_calls++;
    } else if (e->kind == API_CALL_BROKEN) {
        it->broken = true;
    }
}

static void take_end(struct api_call *c, const struct api_event *e)
{
    struct api_choice *a = e->choice;
    size_t n;
    const char *reason = json_str(json_get(e->json, "reason"), NULL), *stop = json_str(json_get(e->json, "stop"), &n);
    fmt_into(a->reason, sizeof a->reason, "%s", reason ? reason : "stop");
    a->tokens = api_count(json_get(e->json, "tokens"));
    a->reasoning_tokens = api_count(json_get(e->json, "reasoning_tokens"));
    a->prompt_tokens = c->prompt_tokens - c->past[0];
    c->reasoning_tokens += a->reasoning_tokens;
    if (stop && n && !a->stop && !(a->stop = mem_strdup(stop, n))) c->nomem = true;
}

static void take_counts(struct api_call *c, const struct json *j)
{
    static const char *const key[] = { "prompt_tokens", "cached_tokens", "answer_tokens" };
    int64_t *const to[] = { &c->prompt_tokens, &c->cached_tokens, &c->answer_tokens };
    for (size_t i = 0; i < 3; i++)
        if (json_get(j, key[i])) *to[i] = c->past[i] + api_count(json_get(j, key[i]));
}

static void set_failed(struct api_call *c, const char *kind, const char *message)
{
    static const char *const known[] = { "invalid", "not_found", "context", "busy", "unsupported", "memory", "engine", "deadline",
                                         "cancelled" };
    c->failed = c->over = true;
    c->kind = "engine";
    for (size_t i = 0; kind && i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i], kind)) c->kind = known[i];
    c->status = api_status_of_kind(c->kind);
    fmt_into(c->message, sizeof c->message, "%s", message && *message ? message : "the engine gave no answer");
}

/* The job is over; whether the call is too. */
static void take_done(struct api_call *c, const struct json *event)
{
    struct json *job = NULL;
    struct err e = { 0 };
    if (c->answers && c->n == c->base) {
        set_failed(c, "engine", NULL);
        return;
    }
    take_counts(c, event);
    c->n_jobs++;
    if (c->form->next && c->form->next(c, &job, &e) == 0 && job) {
        json_free(job);
        c->past[0] = c->prompt_tokens;
        c->past[1] = c->cached_tokens;
        c->past[2] = c->answer_tokens;
        c->base = c->n;
        c->more = true;
        return;
    }
    c->done = json_share(event);
    c->over = true;
}

int api_call_next(struct api_call *c, struct json **job, struct err *err)
{
    c->more = false;
    return c->form->next(c, job, err);
}

int64_t api_count(const struct json *v)
{
    const int64_t most = INT64_C(1) << 50;
    int64_t n = json_int(v);
    return n < 0 ? 0 : n > most ? most : n;
}

int64_t api_elapsed_ms(const struct api_call *c) { return c->begun ? (int64_t)((os_now_ns() - c->begun) / 1000000) : 0; }

static void take_in(struct api_call *c, struct api_event *e)
{
    const char *name = NULL;
    switch (e->kind) {
    case API_START:
        take_counts(c, e->json);
        c->prompt_ns += api_count(json_get(e->json, "prompt_ns"));
        if (!c->model_info) c->model_info = json_share(json_get(e->json, "model"));
        if (!*c->model && !api_str(c->model_info, "name", &name, NULL) && name) c->model = name;
        break;
    case API_TEXT:
    case API_REASONING: take_piece(c, e); break;
    case API_CALL: take_call(c, e); break;
    case API_ARGUMENTS:
    case API_CALL_END:
    case API_CALL_BROKEN: take_call_part(c, e); break;
    case API_END: take_end(c, e); break;
    case API_DONE:
        take_done(c, e->json);
        break;
    case API_ERROR:
        set_failed(c, json_str(json_get(e->json, "kind"), NULL), json_str(json_get(e->json, "message"), NULL));
        c->context.n_prompt = (uint64_t)api_count(json_get(e->json, "n_prompt_tokens"));
        c->context.n_ctx = (uint64_t)api_count(json_get(e->json, "n_ctx"));
        break;
    default: break;
    }
}

void api_call_event(struct api_call *c, const struct json *event)
{
    int64_t i = json_int(json_get(event, "i")), call = json_int(json_get(event, "call"));
    struct api_event e = { .kind = kind_of(event), .json = event, .i = i < 0 ? 0 : (size_t)i,
                           .call = call < 0 ? 0 : (size_t)call };
    if (c->over) return;
    e.text = json_str(json_get(event, "text"), &e.n);
    if (!e.text) e.text = "";
    if (e.kind >= API_START && e.kind <= API_END) e.i += c->base;
    if (e.kind >= API_TEXT && e.kind <= API_END) {
        e.choice = choice_at(c, e.i);
        if (!e.choice) return;
        if (!c->started && e.kind != API_WARNING) c->started = os_now_ns();
        take_list(c, &e.choice->logprobs, json_get(event, "logprobs"));
        take_list(c, &e.choice->ids, json_get(event, "ids"));
        c->told += (int64_t)json_len(json_get(event, "ids"));
    }
    take_in(c, &e);
    if (c->nomem && !c->failed) set_failed(c, "memory", "out of memory for the answer");
    if (c->failed) {
        if (c->stream && c->form->fail) c->form->fail(c);
    } else if (c->stream)
        c->form->event(c, &e);
    else if (c->over)
        c->form->whole(c);
}

/* ---- what dialects share about answers ---- */

void api_gather(const struct api_choice *a, enum api_kind kind, struct buf *out)
{
    for (size_t k = 0; k < a->n; k++)
        if (a->item[k].kind == kind) buf_put(out, a->item[k].text.data ? a->item[k].text.data : "", a->item[k].text.len);
}

bool api_has(const struct api_choice *a, enum api_kind kind)
{
    for (size_t k = 0; k < a->n; k++)
        if (a->item[k].kind == kind && (kind == API_CALL ? a->item[k].closed && !a->item[k].broken : a->item[k].text.len > 0))
            return true;
    return false;
}

double api_timing(const struct api_call *c, const char *key)
{
    return json_num(json_get(json_get(c->done, "timings"), key)) / 1e9;
}

void api_sse_begin(struct api_call *c, const char *event)
{
    if (event) buf_printf(&c->out, "event: %s\n", event);
    buf_puts(&c->out, "data: ");
}

void api_sse_end(struct api_call *c) { buf_puts(&c->out, "\n\n"); }

static double per(double a, double b) { return b > 0 ? a / b : 0; }

void api_put_timings(const struct api_call *c, struct buf *b)
{
    double prompt = c->done ? api_timing(c, "prompt_ns") : (double)c->prompt_ns / 1e9;
    double answer = c->done ? api_timing(c, "answer_ns") : c->begun && c->started ? (double)(os_now_ns() - c->started) / 1e9 : 0;
    int64_t n_answer = c->done ? c->answer_tokens : c->told;
    double n = (double)n_answer;
    int64_t fresh = c->prompt_tokens - c->cached_tokens;
    api_put(b, "{'cache_n':%d,'prompt_n':%d,'prompt_ms':%f,'prompt_per_token_ms':%f,'prompt_per_second':%f,", c->cached_tokens,
            fresh, prompt * 1e3, per(prompt * 1e3, (double)fresh), per((double)fresh, prompt));
    api_put(b, "'predicted_n':%d,'predicted_ms':%f,'predicted_per_token_ms':%f,'predicted_per_second':%f", n_answer,
            answer * 1e3, per(answer * 1e3, n), per(n, answer));
    if (json_get(c->done, "draft_tokens"))
        api_put(b, ",'draft_n':%j,'draft_n_accepted':%j", json_get(c->done, "draft_tokens"), json_get(c->done, "draft_right"));
    buf_putc(b, '}');
}
