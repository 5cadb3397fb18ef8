/* api_ollama.c - Ollama's POST /api/generate, chat, embed and embeddings.  Fields and lines: Ollama's published description. */
#include "server/api_ollama.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "server/api_openai.h"
#include "server/api_options.h"
#include "server/api_put.h"

struct ollama { bool generate, logprobs, unload, load; };

void api_ollama_fail(struct api_call *c) { api_put(&c->out, "{'error':%s}\n", c->message); }

int api_ollama_model(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    int rc = *c->model ? 0 : api_str(body, "name", &c->model, err);
    if (rc < 0) return rc;
    if (!*c->model) return err_set(err, ERR_ARG, "model is required");
    return api_set_str(job, "model", c->model) ? 0 : api_nomem(err);
}

void api_put_now(const struct api_call *c, struct buf *b)
{
    buf_putc(b, '"');
    api_put_time_us(b, c->begun ? os_wall_us() : c->created * 1000000);
    buf_putc(b, '"');
}

/* ---- requests ---- */

static bool put_lower(struct json *m, const char *key, const char *s)
{
    char word[32];
    size_t n = strlen(s);
    if (n >= sizeof word) return api_set_str(m, key, s);
    for (size_t i = 0; i <= n; i++) word[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]);
    return api_set_str(m, key, word);
}

static int one_message(const struct json *m, size_t i, struct json *list, struct err *err)
{
    static const char *const same[] = { "thinking", "tool_calls", "tool_call_id" };
    const char *role = json_str(json_get(m, "role"), NULL);
    const struct json *content = json_get(m, "content"), *name = json_get(m, "tool_name");
    if (!role) return err_set(err, ERR_ARG, "messages: number %zu has no role", i + 1);
    if (api_says(m, "images"))
        return err_set(err, ERR_UNSUPPORTED, "messages: number %zu has images, and this server takes text only", i + 1);
    if (json_type(content) != JSON_NULL && json_type(content) != JSON_STRING)
        return err_set(err, ERR_ARG, "messages: the content of number %zu is no text", i + 1);
    struct json *out = json_new_object();
    bool ok = out && put_lower(out, "role", role) &&
              json_put(out, "content", content && json_type(content) == JSON_STRING ? json_share(content) : json_new_str("", 0));
    for (size_t k = 0; ok && k < sizeof same / sizeof *same; k++)
        if (api_says(m, same[k])) ok = api_set_copy(out, same[k], json_get(m, same[k]));
    if (!name) name = json_get(m, "name");
    if (ok && json_str(name, NULL)) ok = api_set_copy(out, "name", name);
    ok = json_push(list, out) && ok;
    return ok ? 0 : api_nomem(err);
}

/* The last message being the assistant's, its text goes on. */
static int put_chat(const struct json *body, struct json *job, struct err *err)
{
    const struct json *messages, *tools;
    int rc = api_value(body, "messages", JSON_ARRAY, &messages, err);
    if (rc == 0) rc = api_value(body, "tools", JSON_ARRAY, &tools, err);
    if (rc == 0) rc = api_tools(tools, job, err);
    struct json *list = json_new_array();
    for (size_t i = 0; rc == 0 && i < json_len(messages); i++) rc = one_message(json_at(messages, i), i, list, err);
    const struct json *last = json_at(list, json_len(list) ? json_len(list) - 1 : 0);
    bool goes_on = api_is(json_get(last, "role"), "assistant") && !json_get(last, "tool_calls");
    if (!json_put(job, "messages", list) && rc == 0) rc = api_nomem(err);
    if (rc == 0 && goes_on && !api_set_bool(job, "continue", true)) rc = api_nomem(err);
    return rc;
}

static bool push_message(struct json *list, const char *role, const struct json *text)
{
    struct json *m = json_new_object();
    bool ok = m && api_set_str(m, "role", role) && api_set_copy(m, "content", text);
    return json_push(list, m) && ok;
}

static int put_prompt(const struct json *body, struct json *job, struct err *err)
{
    static const struct api_refusal row[] = {
        { "images", "this server takes text only" },
        { "template", "a request brings no template; the model's own is used, or raw: true none" },
        { "context", "this old form of a conversation is not taken; use /api/chat" },
    };
    const struct json *prompt, *system, *suffix;
    bool raw = false;
    int rc = api_refuse(body, row, sizeof row / sizeof *row, err);
    if (rc == 0) rc = api_value(body, "prompt", JSON_STRING, &prompt, err);
    if (rc == 0) rc = api_value(body, "system", JSON_STRING, &system, err);
    if (rc == 0) rc = api_value(body, "suffix", JSON_STRING, &suffix, err);
    if (rc == 0) rc = api_bool(body, "raw", &raw, err);
    if (rc < 0) return rc;
    if (raw) return api_set_copy(job, "prompt", prompt) ? 0 : api_nomem(err);
    if (api_says(body, "suffix")) {
        struct json *infill = json_new_object();
        bool ok = infill && api_set_copy(infill, "prefix", prompt) && api_set_copy(infill, "suffix", suffix);
        return json_put(job, "infill", infill) && ok ? 0 : api_nomem(err);
    }
    struct json *list = json_new_array();
    bool ok = list && (!api_says(body, "system") || push_message(list, "system", system)) && push_message(list, "user", prompt);
    ok = json_put(job, "messages", list) && ok;
    return ok && api_set_bool(job, "completes", true) ? 0 : api_nomem(err);
}

static int put_logprobs(struct ollama *own, const struct json *body, struct json *job, struct err *err)
{
    int64_t top = 0;
    int rc = api_bool(body, "logprobs", &own->logprobs, err);
    if (rc == 0) rc = api_int(body, "top_logprobs", 0, 20, &top, err);
    if (rc == 0 && top) own->logprobs = true;
    return rc == 0 && own->logprobs && !api_set_int(job, "logprobs", top) ? api_nomem(err) : rc;
}

/* Without text the model is only loaded, or unloaded: "load" and "keep_alive" are all that stays of the job. */
static int only_load(struct ollama *own, struct json *job, struct err *err)
{
    const struct json *keep = json_get(job, "keep_alive");
    own->unload = keep && json_int(keep) == 0;
    own->load = !own->unload;
    return api_set_str(job, "op", own->unload ? "unload" : "load") ? 0 : api_nomem(err);
}

/* What becomes of a prompt, and of an answer, that do not fit.  With Ollama the oldest messages go unless told otherwise, or the
 * middle of a single text. */
static int put_truncate(const struct json *body, bool generate, struct json *job, struct err *err)
{
    bool truncate = true, shift = false;
    int rc = api_bool(body, "truncate", &truncate, err);
    if (rc == 0) rc = api_bool(body, "shift", &shift, err);
    struct json *options = json_get(job, "options");
    if (rc < 0 || json_get(options, "context_policy")) return rc;
    const char *policy = shift ? "shift" : !truncate || json_get(job, "infill") ? NULL : generate ? "middle" : "drop";
    if (!policy) return 0;
    if (!options && json_put(job, "options", json_new_object())) options = json_get(job, "options");
    bool whole = shift && !truncate && json_type(json_get(body, "truncate")) == JSON_BOOL;
    return options && api_set_str(options, "context_policy", policy) && (!whole || api_set_bool(job, "whole_prompt", true))
           ? 0 : api_nomem(err);
}

static int common(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    struct ollama *own = c->own;
    const struct json *text = json_get(body, own->generate ? "prompt" : "messages");
    struct json *options = json_new_object();
    int rc = options ? api_ollama_model(c, body, job, err) : api_nomem(err);
    if (rc == 0) rc = api_options(body, options, err);
    bool empty = json_type(text) == JSON_NULL || !api_says(body, own->generate ? "prompt" : "messages");
    if (rc == 0 && empty) {
        if (json_type(text) == JSON_OBJECT || json_type(text) == JSON_BOOL)
            rc = err_set(err, ERR_ARG, own->generate ? "prompt: expected text" : "messages: expected an array");
        if (rc == 0 && (!api_set_copy(job, "load", json_get(options, "load")) ||
                        !api_set_copy(job, "keep_alive", json_get(options, "keep_alive")))) rc = api_nomem(err);
        if (rc == 0) rc = only_load(own, job, err);
    } else if (rc == 0) {
        rc = own->generate ? put_prompt(body, job, err) : put_chat(body, job, err);
        if (rc == 0) rc = api_options(body, job, err);
        if (rc == 0) rc = put_truncate(body, own->generate, job, err);
        /* Ollama's clients want to hear that a model cannot. */
        if (rc == 0 && json_get(job, "think") && !api_is(json_get(job, "think"), "off") && !api_set_bool(job, "must_think", true))
            rc = api_nomem(err);
        if (rc == 0) rc = put_logprobs(own, body, job, err);
    }
    json_free(options);
    return rc;
}

static int begin(struct api_call *c, const struct json *body, struct json *job, bool generate, struct err *err)
{
    struct ollama *own = c->own = mem_new(1, sizeof *own);
    c->release = mem_free;
    if (!own) return api_nomem(err);
    own->generate = generate;
    return common(c, body, job, err);
}

static int chat_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    return begin(c, body, job, false, err);
}

static int generate_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    return begin(c, body, job, true, err);
}

/* ---- answers ---- */

static void put_head(const struct api_call *c, struct buf *b)
{
    api_put(b, "{'model':%s,'created_at':", c->model);
    api_put_now(c, b);
}

/* What the line says, in the form of chat or of generate. */
static void put_said(struct api_call *c, const struct buf *text, const struct buf *why, const struct buf *calls)
{
    const struct ollama *own = c->own;
    struct buf *b = &c->out;
    api_put(b, own->generate ? ",'response':%B" : ",'message':{'role':'assistant','content':%B", text);
    if (why->len) api_put(b, ",'thinking':%B", why);
    if (calls->len) api_put(b, ",'tool_calls':[%R]", calls);
    if (!own->generate) buf_putc(b, '}');
}

static void put_call(const struct api_item *it, struct buf *b)
{
    struct json *arguments = NULL;
    api_put(b, "%r{'id':%s,'function':{'index':%i,'name':%s,'arguments':", b->len ? "," : "", it->id, (int)it->call, it->name);
    int rc = json_parse(&arguments, it->text.data ? it->text.data : "", it->text.len, NULL);
    if (rc == 0 && json_type(arguments) == JSON_OBJECT) api_put(b, "%R}}", &it->text);
    else buf_puts(b, "{}}}");
    json_free(arguments);
}

static const char *done_reason(const struct api_call *c)
{
    const struct ollama *own = c->own;
    if (own->load || own->unload) return own->load ? "load" : "unload";
    return c->n ? api_openai_finish(&c->choice[0])[0] == 'l' ? "length" : "stop" : "stop";
}

static int64_t ns(const struct api_call *c, const char *key) { return api_count(json_get(json_get(c->done, "timings"), key)); }

static void put_tail(const struct api_call *c, struct buf *b)
{
    const struct ollama *own = c->own;
    int64_t load = ns(c, "load_ns"), prompt = ns(c, "prompt_ns"), answer = ns(c, "answer_ns");
    api_put(b, ",'done':true,'done_reason':%s", done_reason(c));
    if (!own->load && !own->unload)
        api_put(b, ",'total_duration':%d,'load_duration':%d,'prompt_eval_count':%d,'prompt_eval_duration':%d,'eval_count':%d,"
                   "'eval_duration':%d", load + ns(c, "queue_ns") + prompt + answer, load, c->prompt_tokens, prompt,
                c->answer_tokens, answer);
    buf_putc(b, '}');
}

static void put_line_logprobs(const struct api_call *c, const struct json *list, struct buf *b)
{
    const struct ollama *own = c->own;
    if (!own->logprobs || !json_len(list)) return;
    buf_puts(b, ",\"logprobs\":");
    api_openai_put_logprobs(list, false, b);
}

static void answer_event(struct api_call *c, const struct api_event *e)
{
    struct buf text = { 0 }, why = { 0 }, calls = { 0 }, *b = &c->out;
    const struct json *list = json_get(e->json, "logprobs");
    if (e->kind == API_TEXT) buf_put(&text, e->text, e->n);
    else if (e->kind == API_REASONING) buf_put(&why, e->text, e->n);
    else if (e->kind == API_CALL_END && e->item && !e->item->broken) put_call(e->item, &calls);
    bool any = text.len || why.len || calls.len || (e->kind == API_TEXT && json_len(list));
    if (any || e->kind == API_DONE) {
        put_head(c, b);
        put_said(c, &text, &why, &calls);
        if (any) {
            put_line_logprobs(c, list, b);
            buf_puts(b, ",\"done\":false}");
        } else
            put_tail(c, b);
        buf_putc(b, '\n');
    }
    buf_release(&text);
    buf_release(&why);
    buf_release(&calls);
}

static void answer_whole(struct api_call *c)
{
    struct buf text = { 0 }, why = { 0 }, calls = { 0 }, *b = &c->out;
    if (c->n) {
        api_gather(&c->choice[0], API_TEXT, &text);
        api_gather(&c->choice[0], API_REASONING, &why);
        for (size_t k = 0; k < c->choice[0].n; k++) {
            const struct api_item *it = &c->choice[0].item[k];
            if (it->kind == API_CALL && it->closed && !it->broken) put_call(it, &calls);
        }
    }
    put_head(c, b);
    put_said(c, &text, &why, &calls);
    if (c->n) put_line_logprobs(c, c->choice[0].logprobs, b);
    put_tail(c, b);
    buf_release(&text);
    buf_release(&why);
    buf_release(&calls);
}

#define NDJSON "application/x-ndjson"
const struct api_form api_ollama_chat = { "ollama.chat", "generate", NDJSON, true, chat_job, answer_event, answer_whole,
                                          api_ollama_fail, NULL };
const struct api_form api_ollama_generate = { "ollama.generate", "generate", NDJSON, true, generate_job, answer_event,
                                              answer_whole, api_ollama_fail, NULL };

/* ---- _debug_render_only ---- */

static int render_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    bool generate = json_type(json_get(body, "messages")) == JSON_NULL;
    int rc = api_ollama_model(c, body, job, err);
    return rc < 0 ? rc : generate ? put_prompt(body, job, err) : put_chat(body, job, err);
}

static void render_whole(struct api_call *c)
{
    api_put(&c->out, "{'model':%s,'created_at':", c->model);
    api_put_now(c, &c->out);
    api_put(&c->out, ",'_debug_info':{'rendered_template':%j,'image_count':0}}", json_get(c->done, "prompt"));
}

const struct api_form api_ollama_render = { "ollama.render", "template", NULL, false, render_job, NULL, render_whole, NULL,
                                            NULL };

/* ---- embeddings ---- */

/* Of the options only those of loading matter here. */
static int load_options(const struct json *body, struct json *job, struct err *err)
{
    struct json *all = json_new_object();
    int rc = all ? api_options(body, all, err) : api_nomem(err);
    if (rc == 0 && !(api_set_copy(job, "load", json_get(all, "load")) &&
                     api_set_copy(job, "keep_alive", json_get(all, "keep_alive")))) rc = api_nomem(err);
    json_free(all);
    return rc;
}

static int embed_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    const struct json *v = json_get(body, "input");
    bool one = json_type(v) == JSON_STRING, truncate = true;
    int64_t dims = 0;
    int rc = api_ollama_model(c, body, job, err);
    if (rc == 0 && !one && json_type(v) != JSON_ARRAY && json_type(v) != JSON_NULL)
        rc = err_set(err, ERR_ARG, "input: expected text or an array of texts");
    for (size_t i = 0; rc == 0 && !one && i < json_len(v); i++)
        if (json_type(json_at(v, i)) != JSON_STRING) rc = err_set(err, ERR_ARG, "input: entry %zu is no text", i + 1);
    if (rc == 0) rc = api_bool(body, "truncate", &truncate, err);
    if (rc == 0) rc = api_int(body, "dimensions", 0, 1 << 20, &dims, err);
    if (rc == 0) rc = load_options(body, job, err);
    if (rc < 0) return rc;
    if (!api_says(body, "input")) return api_set_str(job, "op", "load") ? 0 : api_nomem(err);
    struct json *list = one ? json_new_array() : json_share(v);
    bool ok = list && (!one || json_push(list, json_share(v)));
    ok = json_put(job, "input", list) && ok;
    ok = ok && api_set_bool(job, "normalise", true) && api_set_bool(job, "truncate", truncate) &&
         (!dims || api_set_int(job, "dims", dims));
    return ok ? 0 : api_nomem(err);
}

static void embed_whole(struct api_call *c)
{
    const struct json *vectors = json_get(c->done, "vectors"), *tokens = json_get(c->done, "tokens");
    uint64_t n = 0;
    for (size_t i = 0; i < json_len(tokens); i++) n += (uint64_t)api_count(json_at(tokens, i));
    api_put(&c->out, "{'model':%s,'embeddings':", c->model);
    if (vectors) api_put(&c->out, "%j", vectors);
    else buf_puts(&c->out, "[]");
    api_put(&c->out, ",'total_duration':%d,'load_duration':%d,'prompt_eval_count':%u}",
            ns(c, "load_ns") + ns(c, "queue_ns") + ns(c, "prompt_ns") + ns(c, "answer_ns"), ns(c, "load_ns"), n);
}

const struct api_form api_ollama_embed = { "ollama.embed", "embed", NULL, false, embed_job, NULL, embed_whole, NULL, NULL };

/* The older one: one text, one vector as the model makes it. */
static int embeddings_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    const struct json *prompt;
    int rc = api_ollama_model(c, body, job, err);
    if (rc == 0) rc = api_value(body, "prompt", JSON_STRING, &prompt, err);
    if (rc == 0) rc = load_options(body, job, err);
    if (rc < 0) return rc;
    if (!api_says(body, "prompt")) return api_set_str(job, "op", "load") ? 0 : api_nomem(err);
    struct json *list = json_new_array();
    bool ok = json_push(list, json_share(prompt));
    ok = json_put(job, "input", list) && ok;
    return ok && api_set_bool(job, "normalise", false) && api_set_bool(job, "truncate", true) ? 0 : api_nomem(err);
}

static void embeddings_whole(struct api_call *c)
{
    const struct json *one = json_at(json_get(c->done, "vectors"), 0);
    if (one) api_put(&c->out, "{'embedding':%j}", one);
    else api_put(&c->out, "{'embedding':[]}");
}

const struct api_form api_ollama_embeddings = { "ollama.embeddings", "embed", NULL, false, embeddings_job, NULL,
                                                embeddings_whole, NULL, NULL };
