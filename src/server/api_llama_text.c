/* api_llama_text.c - llama-server's tokenize, detokenize, apply-template, embedding and rerank. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/api_llama.h"
#include "server/api_openai.h"
#include "server/api_options.h"
#include "server/api_put.h"

/* ---- tokens ---- */

static int tokenize_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    const struct json *text;
    bool special = false, parse = true;
    int rc = api_required(body, "content", JSON_STRING, &text, err);
    if (rc == 0) rc = api_bool(body, "add_special", &special, err);
    if (rc == 0) rc = api_bool(body, "parse_special", &parse, err);
    if (rc == 0) rc = api_bool(body, "with_pieces", &c->flag, err);
    if (rc < 0) return rc;
    bool ok = api_set_copy(job, "text", text) && api_set_bool(job, "special", special) && api_set_bool(job, "parse", parse);
    return ok ? 0 : api_nomem(err);
}

static void tokenize_whole(struct api_call *c)
{
    const struct json *ids = json_get(c->done, "ids"), *pieces = json_get(c->done, "pieces");
    if (!c->flag) {
        api_put(&c->out, "{'tokens':%j}", ids);
        return;
    }
    buf_puts(&c->out, "{\"tokens\":[");
    for (size_t i = 0; i < json_len(ids); i++)
        api_put(&c->out, "%r{'id':%j,'piece':%j}", i ? "," : "", json_at(ids, i), json_at(pieces, i));
    buf_puts(&c->out, "]}");
}

static int detokenize_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    const struct json *tokens;
    int rc = api_required(body, "tokens", JSON_ARRAY, &tokens, err);
    (void)c;
    for (size_t i = 0; rc == 0 && i < json_len(tokens); i++)
        if (json_type(json_at(tokens, i)) != JSON_INT) rc = err_set(err, ERR_ARG, "tokens: entry %zu is no number", i + 1);
    if (rc == 0 && !(api_set_copy(job, "ids", tokens) && api_set_bool(job, "special", true))) rc = api_nomem(err);
    return rc;
}

static void detokenize_whole(struct api_call *c) { api_put(&c->out, "{'content':%j}", json_get(c->done, "text")); }

static int template_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    struct json *all = json_new_object();
    (void)c;
    int rc = all ? api_openai_messages(body, job, err) : api_nomem(err);
    if (rc == 0) rc = api_options(body, all, err);
    static const char *const kept[] = { "think", "variables", "continue" };
    for (size_t i = 0; rc == 0 && i < sizeof kept / sizeof *kept; i++)
        if (!api_set_copy(job, kept[i], json_get(all, kept[i]))) rc = api_nomem(err);
    json_free(all);
    return rc;
}

static void template_whole(struct api_call *c) { api_put(&c->out, "{'prompt':%j}", json_get(c->done, "prompt")); }

const struct api_form api_llama_tokenize = { "llama.tokenize", "tokenize", NULL, false, tokenize_job, NULL, tokenize_whole, NULL,
                                             NULL };
const struct api_form api_llama_detokenize = { "llama.detokenize", "detokenize", NULL, false, detokenize_job, NULL,
                                               detokenize_whole, NULL, NULL };
const struct api_form api_llama_template = { "llama.template", "template", NULL, false, template_job, NULL, template_whole, NULL,
                                             NULL };

/* ---- embeddings ---- */

enum { MAX_NORM = 64 };

static int embedding_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    const struct json *v = json_get(body, "content") ? json_get(body, "content") : json_get(body, "input");
    int64_t normalise = 2;
    (void)c;
    int rc = api_int(body, "embd_normalize", -1, MAX_NORM, &normalise, err);
    bool one = json_type(v) == JSON_STRING || (json_type(v) == JSON_ARRAY && json_type(json_at(v, 0)) == JSON_INT);
    if (rc == 0 && !one && (json_type(v) != JSON_ARRAY || !json_len(v)))
        rc = err_set(err, ERR_ARG, "content: expected text, tokens, or an array of these");
    if (rc < 0) return rc;
    struct json *list = one ? json_new_array() : json_share(v);
    bool ok = list && (!one || json_push(list, json_share(v)));
    ok = json_put(job, "input", list) && ok;
    ok = ok && api_set_bool(job, "normalise", normalise == 2) && api_set_bool(job, "truncate", false);
    return ok ? 0 : api_nomem(err);
}

/* -1: as the model makes it; 0: the largest is 32760; P: the P-norm is 1, which for 2 was done where the vector was made. */
static void put_normal(const struct json *v, int64_t p, struct buf *b)
{
    double norm = 0;
    if (p == -1 || p == 2) {
        api_put(b, "%j", v);
        return;
    }
    for (size_t i = 0; i < json_len(v); i++) {
        double x = fabs(json_num(json_at(v, i)));
        norm = p ? norm + pow(x, (double)p) : fmax(norm, x / 32760);
    }
    if (p) norm = pow(norm, 1 / (double)p);
    buf_putc(b, '[');
    for (size_t i = 0; i < json_len(v); i++)
        api_put(b, "%r%f", i ? "," : "", norm > 0 ? json_num(json_at(v, i)) / norm : 0.0);
    buf_putc(b, ']');
}

/* A row for each token where the model makes such, else one. */
static void embedding_whole(struct api_call *c)
{
    const struct json *vectors = json_get(c->done, "vectors");
    int64_t p = 2;
    api_int(c->body, "embd_normalize", -1, MAX_NORM, &p, NULL);
    buf_putc(&c->out, '[');
    for (size_t i = 0; i < json_len(vectors); i++) {
        const struct json *v = json_at(vectors, i);
        bool rows = json_type(json_at(v, 0)) == JSON_ARRAY;
        api_put(&c->out, "%r{'index':%i,'embedding':[", i ? "," : "", (int)i);
        for (size_t k = 0; k < (rows ? json_len(v) : 1); k++) {
            if (k) buf_putc(&c->out, ',');
            put_normal(rows ? json_at(v, k) : v, p, &c->out);
        }
        buf_puts(&c->out, "]}");
    }
    buf_putc(&c->out, ']');
}

const struct api_form api_llama_embedding = { "llama.embedding", "embed", NULL, false, embedding_job, NULL, embedding_whole, NULL,
                                              NULL };

/* ---- rerank: Jina's form, and TEI's with "texts" ---- */

static int rerank_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    const struct json *query, *documents;
    bool raw = false;
    c->flag = json_get(body, "texts") != NULL;
    int rc = api_required(body, "query", JSON_STRING, &query, err);
    if (rc == 0) rc = api_required(body, c->flag ? "texts" : "documents", JSON_ARRAY, &documents, err);
    if (rc == 0 && !json_len(documents)) rc = err_set(err, ERR_ARG, "there are no documents");
    for (size_t i = 0; rc == 0 && i < json_len(documents); i++)
        if (json_type(json_at(documents, i)) != JSON_STRING)
            rc = err_set(err, ERR_ARG, "%s: entry %zu is no text", c->flag ? "texts" : "documents", i + 1);
    if (rc == 0 && c->flag) rc = api_bool(body, "raw_scores", &raw, err);
    if (rc < 0) return rc;
    bool ok = api_set_copy(job, "query", query) && api_set_copy(job, "documents", documents) &&
              (!raw || api_set_bool(job, "logits", true));
    return ok ? 0 : api_nomem(err);
}

struct rank { double score; size_t i; };

static int higher(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;
    return x->score != y->score ? x->score < y->score ? 1 : -1 : x->i < y->i ? -1 : 1;
}

static void rerank_whole(struct api_call *c)
{
    const struct json *scores = json_get(c->done, "scores"), *texts = json_get(c->body, c->flag ? "texts" : "documents");
    size_t n = json_len(scores);
    struct rank *order = mem_new(n ? n : 1, sizeof *order);
    int64_t top = (int64_t)n, tokens = json_int(json_get(c->done, "tokens"));
    const struct json *wanted = json_get(c->body, "top_n");
    bool text = api_says(c->body, "return_text") || api_says(c->body, "return_documents");
    if (!order) {
        c->out.bad = true;
        return;
    }
    for (size_t i = 0; i < n; i++) order[i] = (struct rank){ json_num(json_at(scores, i)), i };
    qsort(order, n, sizeof *order, higher);
    if (json_type(wanted) == JSON_INT && json_int(wanted) >= 0 && json_int(wanted) < top) top = json_int(wanted);
    if (!c->flag)
        api_put(&c->out, "{'model':%s,'object':'list','usage':{'prompt_tokens':%d,'total_tokens':%d},'results':", c->model,
                tokens, tokens);
    buf_putc(&c->out, '[');
    for (int64_t k = 0; k < top; k++) {
        const struct json *t = json_at(texts, order[k].i);
        api_put(&c->out, "%r{'index':%u,%s:%f", k ? "," : "", (uint64_t)order[k].i, c->flag ? "score" : "relevance_score",
                order[k].score);
        if (text && c->flag) api_put(&c->out, ",'text':%j", t);
        else if (text) api_put(&c->out, ",'document':{'text':%j}", t);
        buf_putc(&c->out, '}');
    }
    buf_puts(&c->out, c->flag ? "]" : "]}");
    mem_free(order);
}

const struct api_form api_llama_rerank = { "llama.rerank", "rerank", NULL, false, rerank_job, NULL, rerank_whole, NULL, NULL };
