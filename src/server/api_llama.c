/* api_llama.c - llama-server's completion and infill.  Fields and results: its published documentation. */
#include "server/api_llama.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "server/api_openai.h"
#include "server/api_options.h"
#include "server/api_put.h"

enum { MAX_PROMPTS = 256 };

struct llama {
    bool infill, many, probs, after, tokens, progress, timings;
    int64_t slot;
    const struct json *fields;         /* "response_fields", or NULL */
    struct json *rest, *settings;      /* the job without its prompt; its options, with the seed that was drawn */
};

void api_llama_put_error(struct buf *b, int status, const char *kind, const char *message, struct context_numbers n)
{
    static const struct { int status; const char *type; } row[] = {
        { 400, "invalid_request_error" }, { 401, "authentication_error" }, { 403, "permission_error" },
        { 404, "not_found_error" }, { 405, "invalid_request_error" }, { 413, "invalid_request_error" },
        { 415, "invalid_request_error" }, { 429, "unavailable_error" }, { 501, "not_supported_error" },
        { 503, "unavailable_error" },
    };
    const char *type = "server_error";
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].status == status) type = row[i].type;
    if (kind && !strcmp(kind, "context")) type = "exceed_context_size_error";
    api_put(b, "{'error':{'code':%i,'message':%s,'type':%s", status, message, type);
    if (n.n_ctx) api_put(b, ",'n_prompt_tokens':%u,'n_ctx':%u", n.n_prompt, n.n_ctx);
    buf_puts(b, "}}");
}

static void release(void *p)
{
    struct llama *own = p;
    json_free(own->rest);
    json_free(own->settings);
    mem_free(own);
}

/* ---- prompts: a string, tokens, a mixture of both, {"prompt_string"}, or an array of these ---- */

static bool is_mixed(const struct json *v)
{
    bool number = false;
    for (size_t i = 0; i < json_len(v); i++) {
        enum json_type t = json_type(json_at(v, i));
        if (t != JSON_INT && t != JSON_STRING) return false;
        number = number || t == JSON_INT;
    }
    return json_type(v) == JSON_ARRAY && number;
}

static const struct json *prompt_at(const struct json *body, size_t i)
{
    const struct json *v = json_get(body, "prompt");
    bool one = json_type(v) == JSON_STRING || json_type(v) == JSON_OBJECT || is_mixed(v);
    if (!one) v = json_type(v) == JSON_ARRAY ? json_at(v, i) : NULL;
    else if (i) v = NULL;
    return json_type(v) == JSON_OBJECT ? json_get(v, "prompt_string") : v;
}

static int check_prompts(const struct json *body, struct err *err)
{
    const struct json *v = json_get(body, "prompt");
    if (json_type(v) == JSON_NULL) return err_set(err, ERR_ARG, "prompt is required");
    if (!prompt_at(body, 0)) return err_set(err, ERR_ARG, "prompt: expected text, tokens, or an array of these");
    if (prompt_at(body, MAX_PROMPTS)) return err_set(err, ERR_LIMIT, "prompt: more than %d of them", (int)MAX_PROMPTS);
    bool media = api_says(v, "multimodal_data");
    for (size_t i = 0; i < json_len(v); i++) media = media || api_says(json_at(v, i), "multimodal_data");
    if (media) return err_set(err, ERR_UNSUPPORTED, "prompt: this server takes text only");
    for (size_t i = 0; (v = prompt_at(body, i)) != NULL; i++)
        if (json_type(v) != JSON_STRING && !is_mixed(v))
            return err_set(err, ERR_ARG, "prompt: number %zu is neither text nor tokens", i + 1);
    return 0;
}

static int completion_next(struct api_call *c, struct json **job, struct err *err)
{
    struct llama *own = c->own;
    const struct json *prompt = prompt_at(c->body, c->n_jobs);
    const char *key;
    struct json *value;
    if (!prompt) return 0;
    struct json *j = json_new_object();
    bool ok = j != NULL;
    for (void *it = NULL; ok && json_next(own->rest, &it, &key, &value);) ok = json_put(j, key, json_share(value));
    ok = ok && api_set_copy(j, "prompt", prompt);
    *job = ok ? j : NULL;
    if (!ok) json_free(j);
    return ok ? 0 : api_nomem(err);
}

/* What would give another text, or end it elsewhere. */
static int refuse(const struct json *body, struct err *err)
{
    static const struct api_refusal row[] = {
        { "grammar_lazy", "a grammar holds from the first token" },
        { "echo", "only the answer is given" },
        { "banned_regex", "phrases are banned as they are: ban" },
    };
    return api_refuse(body, row, sizeof row / sizeof *row, err);
}

static int put_common(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    struct llama *own = c->own;
    int64_t probs = 0, n = 1, indent = 0, ms = 0;
    int rc = refuse(body, err);
    if (rc == 0) rc = api_options(body, job, err);
    if (rc == 0) rc = api_int(body, json_get(body, "n_probs") ? "n_probs" : "logprobs", 0, 64, &probs, err);
    if (rc == 0) rc = api_int(body, json_get(body, "n_cmpl") ? "n_cmpl" : "n", 1, 64, &n, err);
    if (rc == 0) rc = api_bool(body, "post_sampling_probs", &own->after, err);
    if (rc == 0) rc = api_bool(body, "return_tokens", &own->tokens, err);
    if (rc == 0) rc = api_bool(body, "return_progress", &own->progress, err);
    if (rc == 0) rc = api_bool(body, "timings_per_token", &own->timings, err);
    if (rc == 0) rc = api_int(body, "n_indent", 0, 1 << 16, &indent, err);
    if (rc == 0) rc = api_int(body, "t_max_predict_ms", -1, 1 << 30, &ms, err);
    if (rc == 0) rc = api_value(body, "response_fields", JSON_ARRAY, &own->fields, err);
    if (rc < 0) return rc;
    own->probs = probs > 0;
    own->tokens = own->tokens || c->stream;                    /* chunks always have them */
    own->slot = json_int(json_get(job, "slot"));
    bool ok = (!own->probs || api_set_int(job, "logprobs", probs)) && (n == 1 || api_set_int(job, "n", n)) &&
              (!indent || api_set_int(job, "n_indent", indent)) && (ms < 1 || api_set_int(job, "line_ms", ms)) &&
              (!own->after || api_set_bool(job, "logprobs_after", true)) &&
              (!own->tokens || api_set_bool(job, "want_ids", true)) && (!own->progress || api_set_bool(job, "progress", true));
    own->settings = json_share(json_get(job, "options"));
    own->many = n > 1 || (!own->infill && prompt_at(body, 1) != NULL);
    return ok ? 0 : api_nomem(err);
}

static int begin(struct api_call *c, bool infill, struct err *err)
{
    struct llama *own = c->own = mem_new(1, sizeof *own);
    c->release = release;
    if (!own) return api_nomem(err);
    own->infill = infill;
    return 0;
}

static int completion_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    const char *key;
    struct json *value;
    int rc = begin(c, false, err);
    struct llama *own = c->own;
    if (rc == 0) rc = check_prompts(body, err);
    if (rc == 0) rc = put_common(c, body, job, err);
    if (rc < 0) return rc;
    own->rest = json_new_object();
    bool ok = own->rest != NULL;
    for (void *it = NULL; ok && json_next(job, &it, &key, &value);) ok = json_put(own->rest, key, json_share(value));
    return ok && api_set_copy(job, "prompt", prompt_at(body, 0)) ? 0 : api_nomem(err);
}

/* ---- infill ---- */

static int put_extra(const struct json *body, struct json *infill, struct err *err)
{
    const struct json *extra;
    int rc = api_value(body, "input_extra", JSON_ARRAY, &extra, err);
    if (rc < 0 || !json_len(extra)) return rc;
    struct json *files = json_new_array();
    bool ok = files != NULL;
    for (size_t i = 0; ok && i < json_len(extra); i++) {
        const struct json *e = json_at(extra, i), *name = json_get(e, "filename");
        struct json *f = json_new_object();
        if (json_type(json_get(e, "text")) != JSON_STRING) {
            json_free(f);
            json_free(files);
            return err_set(err, ERR_ARG, "input_extra: number %zu has no text", i + 1);
        }
        ok = f && json_put(f, "name", json_type(name) == JSON_STRING ? json_share(name) : json_new_str("tmp", 3)) &&
             api_set_copy(f, "text", json_get(e, "text"));
        ok = json_push(files, f) && ok;
    }
    return json_put(infill, "files", files) && ok ? 0 : api_nomem(err);
}

/* What stands in "prompt" begins what is to be filled in: it is the end of the text before it. */
static int infill_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    const struct json *prefix, *suffix, *prompt;
    struct json *infill = json_new_object();
    struct buf b = { 0 };
    size_t n;
    int rc = infill ? begin(c, true, err) : api_nomem(err);
    if (rc == 0) rc = api_required(body, "input_prefix", JSON_STRING, &prefix, err);
    if (rc == 0) rc = api_required(body, "input_suffix", JSON_STRING, &suffix, err);
    if (rc == 0) rc = api_value(body, "prompt", JSON_STRING, &prompt, err);
    if (rc == 0) {
        buf_puts(&b, "");
        for (int i = 0; i < 2; i++) {
            const char *s = json_str(i ? prompt : prefix, &n);
            if (s) buf_put(&b, s, n);
        }
        bool ok = !b.bad && json_put(infill, "prefix", json_new_str(b.data ? b.data : "", b.len)) &&
                  api_set_copy(infill, "suffix", suffix);
        rc = ok ? put_extra(body, infill, err) : api_nomem(err);
    }
    buf_release(&b);
    if (!json_put(job, "infill", infill) && rc == 0) rc = api_nomem(err);
    return rc == 0 ? put_common(c, body, job, err) : rc;
}

/* ---- answers ---- */

static void put_probs(const struct api_call *c, const struct json *list, struct buf *b)
{
    const struct llama *own = c->own;
    const char *key = own->after ? "prob" : "logprob";
    buf_puts(b, ",\"completion_probabilities\":[");
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *t = json_at(list, i), *top = json_get(t, "top");
        for (size_t k = 0; k <= json_len(top); k++) {
            const struct json *one = k ? json_at(top, k - 1) : t;
            double lp = fmax(json_num(json_get(one, "logprob")), -9999.0);
            api_put(b, "%r{'id':%d,'token':%j,'bytes':%j,%s:%f", (k ? k > 1 : i > 0) ? "," : "", json_int(json_get(one, "id")),
                    json_get(one, "text"), json_get(one, "bytes"), key, own->after ? exp(lp) : lp);
            if (k) buf_putc(b, '}');
            else api_put(b, ",'top_%rs':[", key);
        }
        buf_puts(b, "]}");
    }
    buf_putc(b, ']');
}

static const char *stop_type(const struct api_choice *a)
{
    if (!strcmp(a->reason, "length") || !strcmp(a->reason, "context") || !strcmp(a->reason, "deadline")) return "limit";
    return a->stop ? "word" : strcmp(a->reason, "stop") ? "none" : "eos";
}

static void put_prompt(const struct api_call *c, size_t i, struct buf *b)
{
    const struct llama *own = c->own;
    const struct json *prompt = own->infill ? NULL : prompt_at(c->body, i * c->n_jobs / c->n);
    if (json_type(prompt) == JSON_STRING) api_put(b, "%j", prompt);
    else buf_puts(b, "\"\"");
}

/* Of the whole object only what was asked for: "timings/prompt_n" is the member of a member, under that name. */
static void put_fields(const struct json *fields, const struct buf *all, struct buf *b)
{
    struct json *j = NULL;
    const char *sep = "";
    char key[64];
    if (all->bad || json_parse(&j, all->data, all->len, NULL) < 0) b->bad = true;
    buf_putc(b, '{');
    for (size_t i = 0; j && i < json_len(fields); i++) {
        const char *path = json_str(json_at(fields, i), NULL), *p = path;
        const struct json *v = path ? j : NULL;
        while (v && *p) {
            size_t n = strcspn(p, "/");
            fmt_into(key, sizeof key, "%.*s", (int)(n < sizeof key ? n : sizeof key - 1), p);
            v = json_get(v, key);
            p += n + (p[n] == '/');
        }
        if (!v || v == j) continue;
        api_put(b, "%r%s:%j", sep, path, v);
        sep = ",";
    }
    buf_putc(b, '}');
    json_free(j);
}

static void put_all(const struct api_call *c, size_t i, bool content, struct buf *b);

static void put_final(const struct api_call *c, size_t i, bool content, struct buf *b)
{
    const struct llama *own = c->own;
    struct buf all = { 0 };
    if (!json_len(own->fields)) {
        put_all(c, i, content, b);
        return;
    }
    put_all(c, i, content, &all);
    put_fields(own->fields, &all, b);
    buf_release(&all);
}

static void put_all(const struct api_call *c, size_t i, bool content, struct buf *b)
{
    const struct llama *own = c->own;
    const struct api_choice *a = &c->choice[i];
    struct buf text = { 0 };
    api_gather(a, API_TEXT, &text);
    bool lines = text.data && memchr(text.data, '\n', text.len);
    if (!content) buf_clear(&text);
    api_put(b, "{'index':%i,'content':%B,'tokens':", (int)i, &text);
    if (content && a->ids) api_put(b, "%j", a->ids);
    else buf_puts(b, "[]");
    api_put(b, ",'id_slot':%d,'stop':true,'model':%s,'tokens_predicted':%d,'tokens_evaluated':%d,'generation_settings':",
            own->slot, c->model, a->tokens, a->prompt_tokens);
    if (own->settings) api_put(b, "%j", own->settings);
    else buf_puts(b, "{}");
    buf_puts(b, ",\"prompt\":");
    put_prompt(c, i, b);
    api_put(b, ",'has_new_line':%b,'truncated':false,'stop_type':%s,'stopping_word':%s,'tokens_cached':%d,'timings':", lines,
            stop_type(a), a->stop ? a->stop : "", a->prompt_tokens + a->tokens);
    api_put_timings(c, b);
    if (own->probs && content) put_probs(c, a->logprobs, b);
    buf_putc(b, '}');
    buf_release(&text);
}

static void llama_whole(struct api_call *c)
{
    const struct llama *own = c->own;
    if (own->many) buf_putc(&c->out, '[');
    for (size_t i = 0; i < c->n && (own->many || !i); i++) {       /* the engine may say more than was asked for */
        if (i) buf_putc(&c->out, ',');
        put_final(c, i, true, &c->out);
    }
    if (own->many) buf_putc(&c->out, ']');
}

static void llama_event(struct api_call *c, const struct api_event *e)
{
    const struct llama *own = c->own;
    struct buf *b = &c->out;
    const struct json *ids = json_get(e->json, "ids"), *list = json_get(e->json, "logprobs");
    if (e->kind == API_PREFILL && own->progress) {
        api_sse_begin(c, NULL);
        api_put(b, "{'index':%u,'content':'','tokens':[],'stop':false,'prompt_progress':{'total':%d,'cache':%d,'processed':%d,"
                   "'time_ms':%d}}", (uint64_t)c->base, json_int(json_get(e->json, "total")),
                api_count(json_get(e->json, "cached")),
                json_int(json_get(e->json, "done")), api_elapsed_ms(c));
        api_sse_end(c);
    }
    if (e->kind == API_TEXT && (e->n || json_len(ids) || json_len(list))) {
        api_sse_begin(c, NULL);
        api_put(b, "{'index':%u,'content':%S,'tokens':", (uint64_t)e->i, e->text, e->n);
        if (ids) api_put(b, "%j", ids);
        else buf_puts(b, "[]");
        api_put(b, ",'stop':false,'id_slot':%d,'tokens_predicted':%u,'tokens_evaluated':%d", own->slot,
                (uint64_t)json_len(e->choice->ids), c->prompt_tokens - c->past[0]);
        if (own->timings) {
            buf_puts(b, ",\"timings\":");
            api_put_timings(c, b);
        }
        if (own->probs && json_len(list)) put_probs(c, list, b);
        buf_putc(b, '}');
        api_sse_end(c);
    }
    if (e->kind != API_DONE) return;
    for (size_t i = c->more ? c->n : 0; i < c->n; i++) {
        api_sse_begin(c, NULL);
        put_final(c, i, false, b);
        api_sse_end(c);
    }
}

static void llama_fail(struct api_call *c)
{
    api_sse_begin(c, NULL);
    api_llama_put_error(&c->out, c->status, c->kind, c->message, c->context);
    api_sse_end(c);
}

#define SSE "text/event-stream"
const struct api_form api_llama_completion = { "llama.completion", "generate", SSE, false, completion_job, llama_event,
                                               llama_whole, llama_fail, completion_next };
const struct api_form api_llama_infill = { "llama.infill", "generate", SSE, false, infill_job, llama_event, llama_whole,
                                           llama_fail, NULL };
