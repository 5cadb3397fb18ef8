/* api_openai_text.c - POST /v1/completions and /v1/embeddings. */
#include "server/api_openai.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "hearth.h"
#include "server/api_options.h"
#include "server/api_put.h"

enum { MAX_PROMPTS = 256 };
struct text {
    bool usage, echo, logprobs;
    size_t offset[MAX_PROMPTS];        /* of each answer of a stream: characters that were told */
    struct json *rest;
};

static void release(void *p)
{
    struct text *own = p;
    json_free(own->rest);
    mem_free(own);
}

static bool is_ids(const struct json *v)
{
    for (size_t i = 0; i < json_len(v); i++)
        if (json_type(json_at(v, i)) != JSON_INT) return false;
    return json_type(v) == JSON_ARRAY && json_len(v) > 0;
}

/* A prompt is a string or tokens; there may be several, which are one job each.  NULL past the last. */
static const struct json *prompt_at(const struct json *body, size_t i)
{
    const struct json *v = json_get(body, "prompt");
    if (json_type(v) == JSON_STRING || is_ids(v)) return i ? NULL : v;
    return json_type(v) == JSON_ARRAY ? json_at(v, i) : NULL;
}

static int check_prompts(const struct json *body, bool echo, struct err *err)
{
    const struct json *v = json_get(body, "prompt");
    if (json_type(v) == JSON_NULL) return err_set(err, ERR_ARG, "prompt is required");
    if (!prompt_at(body, 0)) return err_set(err, ERR_ARG, "prompt: expected a string, tokens, or an array of these");
    if (prompt_at(body, MAX_PROMPTS)) return err_set(err, ERR_LIMIT, "prompt: more than %d of them", (int)MAX_PROMPTS);
    for (size_t i = 0; (v = prompt_at(body, i)) != NULL; i++) {
        if (json_type(v) != JSON_STRING && !is_ids(v))
            return err_set(err, ERR_ARG, "prompt: number %zu is neither a string nor an array of tokens", i + 1);
        if (json_type(v) != JSON_STRING && (echo || api_says(body, "suffix")))
            return err_set(err, ERR_UNSUPPORTED, "%s goes only with a prompt that is text", echo ? "echo" : "suffix");
    }
    return 0;
}

static int put_prompt(const struct json *body, const struct json *prompt, struct json *job, struct err *err)
{
    const char *suffix = NULL;
    int rc = api_str(body, "suffix", &suffix, err);
    if (rc < 0) return rc;
    if (!suffix || !*suffix) return api_set_copy(job, "prompt", prompt) ? 0 : api_nomem(err);
    struct json *infill = json_new_object();
    bool ok = infill && api_set_copy(infill, "prefix", prompt) && api_set_str(infill, "suffix", suffix);
    ok = json_put(job, "infill", infill) && ok;
    return ok ? 0 : api_nomem(err);
}

/* Without a job: a copy of the first, which has everything but the prompt. */
static int text_next(struct api_call *c, struct json **job, struct err *err)
{
    struct text *own = c->own;
    const struct json *prompt = prompt_at(c->body, c->n_jobs);
    const char *key;
    struct json *value;
    if (!own->rest) {
        own->rest = json_new_object();
        for (void *it = NULL; own->rest && json_next(*job, &it, &key, &value);)
            if (!json_put(own->rest, key, json_share(value))) return api_nomem(err);
        return put_prompt(c->body, prompt, *job, err);
    }
    if (!prompt) return 0;
    *job = json_new_object();
    bool ok = *job != NULL;
    for (void *it = NULL; ok && json_next(own->rest, &it, &key, &value);) ok = json_put(*job, key, json_share(value));
    int rc = ok ? put_prompt(c->body, prompt, *job, err) : api_nomem(err);
    if (rc == 0) return 0;
    json_free(*job);
    *job = NULL;
    return rc;
}

static int text_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    struct text *own = c->own = mem_new(1, sizeof *own);
    const struct json *options;
    int64_t n = 1, best = 1, top = -1;
    c->release = release;
    int rc = own ? api_bool(body, "echo", &own->echo, err) : api_nomem(err);
    if (rc == 0) rc = check_prompts(body, own->echo, err);
    if (rc == 0) rc = api_options(body, job, err);
    if (rc == 0) rc = api_openai_format(json_get(body, "response_format"), "response_format", false, job, err);
    if (rc == 0) rc = api_int(body, "n", 1, 64, &n, err);
    if (rc == 0 && n > 1 && !api_set_int(job, "n", n)) rc = api_nomem(err);
    if (rc == 0) rc = api_int(body, "best_of", 1, 64, &best, err);
    if (rc == 0 && best > n) rc = err_set(err, ERR_UNSUPPORTED, "best_of: answers are not ranked; ask for n instead");
    if (rc == 0) rc = api_int(body, "logprobs", 0, 20, &top, err);
    if (rc == 0 && top >= 0 && !api_set_int(job, "logprobs", top)) rc = api_nomem(err);
    if (rc == 0) rc = api_value(body, "stream_options", JSON_OBJECT, &options, err);
    if (rc == 0 && options) rc = api_bool(options, "include_usage", &own->usage, err);
    if (rc < 0) return rc;
    own->logprobs = top >= 0;
    if (own->echo && own->logprobs)
        return err_set(err, ERR_UNSUPPORTED, "echo with logprobs: probabilities of a prompt are not told; see hearth logits");
    return text_next(c, &job, err);
}

static void put_head(const struct api_call *c, struct buf *b)
{
    api_put(b, "{'id':'cmpl-%r','object':'text_completion','created':%d,'model':%s,'system_fingerprint':'hearth-%r'", c->id,
            c->created, c->model, hearth_version());
}

/* OpenAI's older form: lists side by side. */
static void put_logprobs(const struct json *list, size_t *offset, struct buf *b)
{
    const char *sep = "";
    struct buf values = { 0 }, tops = { 0 }, at = { 0 };
    buf_puts(b, "{\"tokens\":[");
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *t = json_at(list, i), *top = json_get(t, "top");
        const char *text = json_str(json_get(t, "text"), NULL);
        api_put(b, "%r%j", sep, json_get(t, "text"));
        api_put(&values, "%r%f", sep, fmax(json_num(json_get(t, "logprob")), -9999.0));
        api_put(&at, "%r%u", sep, (uint64_t)*offset);
        for (; text && *text; text++) *offset += (*text & 0xc0) != 0x80;       /* characters */
        api_put(&tops, "%r{", sep);
        for (size_t k = 0; k < json_len(top); k++)
            api_put(&tops, "%r%j:%f", k ? "," : "", json_get(json_at(top, k), "text"),
                    fmax(json_num(json_get(json_at(top, k), "logprob")), -9999.0));
        buf_putc(&tops, '}');
        sep = ",";
    }
    api_put(b, "],'token_logprobs':[%R],'top_logprobs':[%R],'text_offset':[%R]}", &values, &tops, &at);
    buf_release(&values);
    buf_release(&tops);
    buf_release(&at);
}

static const char *finish(const struct api_choice *a) { return api_openai_finish(a)[0] == 'l' ? "length" : "stop"; }

static void text_whole(struct api_call *c)
{
    const struct text *own = c->own;
    struct buf *b = &c->out;
    put_head(c, b);
    buf_puts(b, ",\"choices\":[");
    for (size_t i = 0; i < c->n; i++) {
        const struct api_choice *a = &c->choice[i];
        struct buf text = { 0 };
        size_t offset = 0, n;
        const char *prompt = own->echo ? json_str(prompt_at(c->body, i * c->n_jobs / c->n), &n) : NULL;
        if (prompt) buf_put(&text, prompt, n);
        api_gather(a, API_TEXT, &text);
        api_put(b, "%r{'text':%B,'index':%i,'logprobs':", i ? "," : "", &text, (int)i);
        if (own->logprobs) put_logprobs(a->logprobs, &offset, b);
        else buf_puts(b, "null");
        api_put(b, ",'finish_reason':%s}", finish(a));
        buf_release(&text);
    }
    buf_puts(b, "],\"usage\":");
    api_openai_put_usage(c, b);
    buf_putc(b, '}');
}

static void chunk(struct api_call *c, size_t i, const char *text, size_t n, const struct json *logprobs, const char *end)
{
    struct text *own = c->own;
    api_sse_begin(c, NULL);
    put_head(c, &c->out);
    api_put(&c->out, ",'choices':[{'text':%S,'index':%i,'logprobs':", text, n, (int)i);
    if (own->logprobs && json_len(logprobs)) put_logprobs(logprobs, &own->offset[i % MAX_PROMPTS], &c->out);
    else buf_puts(&c->out, "null");
    api_put(&c->out, ",'finish_reason':%s}]%r}", end, own->usage ? ",\"usage\":null" : "");
    api_sse_end(c);
}

static void text_event(struct api_call *c, const struct api_event *e)
{
    const struct text *own = c->own;
    const struct json *list = json_get(e->json, "logprobs");
    int64_t n = json_int(json_get(c->body, "n"));
    size_t n_prompt;
    const char *prompt = own->echo ? json_str(prompt_at(c->body, c->n_jobs), &n_prompt) : NULL;
    if (e->kind == API_START && prompt)
        for (int64_t i = 0; i < (n > 1 ? n : 1); i++) chunk(c, e->i + (size_t)i, prompt, n_prompt, NULL, NULL);
    if (e->kind == API_TEXT && (e->n || json_len(list))) chunk(c, e->i, e->text, e->n, list, NULL);
    if (e->kind == API_END) chunk(c, e->i, "", 0, NULL, finish(e->choice));
    if (e->kind != API_DONE || c->more) return;
    if (own->usage) {
        api_sse_begin(c, NULL);
        put_head(c, &c->out);
        buf_puts(&c->out, ",\"choices\":[],\"usage\":");
        api_openai_put_usage(c, &c->out);
        buf_putc(&c->out, '}');
        api_sse_end(c);
    }
    buf_puts(&c->out, "data: [DONE]\n\n");
}

const struct api_form api_openai_completion = { "openai.completion", "generate", "text/event-stream", false, text_job, text_event,
                                                text_whole, api_openai_fail, text_next };

/* ---- embeddings ---- */

static int embed_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    const struct json *v = json_get(body, "input");
    const char *format = "float";
    int64_t dims = 0;
    bool one = json_type(v) == JSON_STRING || is_ids(v);
    if (json_type(v) == JSON_NULL) return err_set(err, ERR_ARG, "input is required");
    if (!one && (json_type(v) != JSON_ARRAY || !json_len(v)))
        return err_set(err, ERR_ARG, "input: expected a string, tokens, or an array of these that is not empty");
    for (size_t i = 0; !one && i < json_len(v); i++)
        if (json_type(json_at(v, i)) != JSON_STRING && !is_ids(json_at(v, i)))
            return err_set(err, ERR_ARG, "input: entry %zu is neither a string nor an array of tokens", i + 1);
    int rc = api_str(body, "encoding_format", &format, err);
    if (rc == 0 && strcmp(format, "float") != 0 && strcmp(format, "base64") != 0)
        rc = err_set(err, ERR_ARG, "encoding_format: \"%.40s\" is neither float nor base64", format);
    if (rc == 0) rc = api_int(body, "dimensions", 1, 1 << 20, &dims, err);
    if (rc == 0 && dims && !api_set_int(job, "dims", dims)) rc = api_nomem(err);
    if (rc == 0 && json_type(json_get(body, "keep_alive")) != JSON_NULL)
        rc = api_keep_alive(json_get(body, "keep_alive"), "keep_alive", job, err);
    if (rc < 0) return rc;
    struct json *list = one ? json_new_array() : json_share(v);
    bool ok = list && (!one || json_push(list, json_share(v)));
    ok = json_put(job, "input", list) && ok;
    ok = ok && api_set_bool(job, "normalise", true) && api_set_bool(job, "truncate", false);
    c->flag = format[0] == 'b';
    return ok ? 0 : api_nomem(err);
}

static void put_packed(const struct json *v, struct buf *b)
{
    struct buf bytes = { 0 };
    for (size_t i = 0; i < json_len(v); i++) {
        float f = (float)json_num(json_at(v, i));
        uint32_t u;
        memcpy(&u, &f, sizeof u);
        const char le[4] = { (char)u, (char)(u >> 8), (char)(u >> 16), (char)(u >> 24) };
        buf_put(&bytes, le, 4);
    }
    buf_putc(b, '"');
    api_put_base64(b, bytes.data ? bytes.data : "", bytes.len);
    buf_putc(b, '"');
    if (bytes.bad) b->bad = true;
    buf_release(&bytes);
}

static void embed_whole(struct api_call *c)
{
    const struct json *vectors = json_get(c->done, "vectors"), *tokens = json_get(c->done, "tokens");
    struct buf *b = &c->out;
    uint64_t n = 0;
    buf_puts(b, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < json_len(vectors); i++) {
        api_put(b, "%r{'object':'embedding','index':%i,'embedding':", i ? "," : "", (int)i);
        if (c->flag) put_packed(json_at(vectors, i), b);
        else api_put(b, "%j", json_at(vectors, i));
        buf_putc(b, '}');
    }
    for (size_t i = 0; i < json_len(tokens); i++) n += (uint64_t)api_count(json_at(tokens, i));
    api_put(b, "],'model':%s,'usage':{'prompt_tokens':%u,'total_tokens':%u}}", c->model, n, n);
}

const struct api_form api_openai_embedding = { "openai.embedding", "embed", NULL, false, embed_job, NULL, embed_whole, NULL,
                                               NULL };
