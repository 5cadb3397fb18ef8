#include "app/stats.h"

#include <string.h>

#include "app/term.h"
#include "base/json.h"
#include "base/utf8.h"

static double ms(uint64_t ns) { return (double)ns / 1e6; }
static double rate(size_t n, uint64_t ns) { return n && ns ? (double)n / ((double)ns / 1e9) : 0; }

void stats_line(const struct stats *s)
{
    const struct gen_result *r = s->result;
    size_t read = r->n_prompt - r->n_kept;
    struct buf b = { 0 };
    buf_printf(&b, "load %.0f ms | prompt %zu tokens", ms(s->load_ns), r->n_prompt);
    if (r->n_kept) buf_printf(&b, " (%zu kept)", r->n_kept);
    buf_printf(&b, ", %.1f tokens/s | answer %zu tokens", rate(read, r->prefill_ns), r->n_tokens);
    if (r->n_steps) buf_printf(&b, ", %.1f tokens/s", rate(r->n_steps, r->decode_ns));
    if (r->n_guessed) buf_printf(&b, " (%zu of %zu guessed)", r->n_right, r->n_guessed);
    buf_printf(&b, " | %s | seed %llu", finish_name(r->finish), (unsigned long long)s->seed);
    if (!b.bad) term_note("%s", b.data);
    buf_release(&b);
}

static struct json *token_json(const struct hearth_model *m, int32_t id, float logprob)
{
    struct json *j = json_new_object(), *bytes = json_new_array();
    struct hearth_error e;
    char *text = NULL;
    size_t n = 0;
    struct buf valid = { 0 };
    bool ok = hearth_detokenize(m, &id, 1, true, &text, &n, &e) == 0;
    if (ok) utf8_put_valid(&valid, text, n);
    ok = json_put(j, "id", json_new_int(id)) && ok;
    ok = json_put(j, "token", json_new_str(valid.data ? valid.data : "", valid.len)) && ok;
    ok = json_put(j, "logprob", logprob > -1e30f ? json_new_real((double)logprob) : json_new_null()) && ok;
    for (size_t i = 0; ok && i < n; i++) ok = json_push(bytes, json_new_int((unsigned char)text[i]));
    ok = json_put(j, "bytes", bytes) && ok;
    buf_release(&valid);
    hearth_free(text);
    if (ok) return j;
    json_free(j);
    return NULL;
}

/* The form of the chat completions of the OpenAI interface, with ids. */
static struct json *logprobs_json(const struct hearth_model *m, const struct gen_result *r)
{
    struct json *list = json_new_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < r->n_tokens; i++) {
        const struct gen_token *t = &r->token[i];
        struct json *j = token_json(m, t->id, t->logprob), *top = json_new_array();
        for (size_t k = 0; k < t->n; k++) ok = json_push(top, token_json(m, t->top[k].id, t->top[k].logprob)) && ok;
        ok = json_put(j, "top_logprobs", top) && ok;
        ok = json_push(list, j) && ok;
    }
    if (ok) return list;
    json_free(list);
    return NULL;
}

bool stats_json(const struct stats *s, struct buf *out)
{
    const struct gen_result *r = s->result;
    struct json *j = json_new_object(), *t = json_new_object();
    bool ok = json_put(j, "model", json_new_str(s->model, strlen(s->model)));
    ok = json_put(j, "text", json_new_str(r->text.data ? r->text.data : "", r->text.len)) && ok;
    if (r->reply.reasoning.len)
        ok = json_put(j, "reasoning", json_new_str(r->reply.reasoning.data, r->reply.reasoning.len)) && ok;
    if (r->reply.n_calls) ok = json_put(j, "tool_calls", reply_calls_json(&r->reply)) && ok;
    ok = json_put(j, "finish_reason", json_new_str(finish_name(r->finish), strlen(finish_name(r->finish)))) && ok;
    ok = json_put(j, "prompt_tokens", json_new_int((int64_t)r->n_prompt)) && ok;
    ok = json_put(j, "kept_tokens", json_new_int((int64_t)r->n_kept)) && ok;
    ok = json_put(j, "completion_tokens", json_new_int((int64_t)r->n_tokens)) && ok;
    if (r->token) ok = json_put(j, "logprobs", logprobs_json(s->tokens, r)) && ok;
    if (r->n_guessed) ok = json_put(j, "guessed_tokens", json_new_int((int64_t)r->n_guessed)) && ok;
    if (r->n_guessed) ok = json_put(j, "right_tokens", json_new_int((int64_t)r->n_right)) && ok;
    if (r->cut.n) ok = json_put(j, "dropped_tokens", json_new_int((int64_t)r->cut.n)) && ok;
    if (r->cut.n) ok = json_put(j, "dropped_from", json_new_int((int64_t)r->cut.from)) && ok;
    if (r->cut.n_messages) ok = json_put(j, "dropped_messages", json_new_int((int64_t)r->cut.n_messages)) && ok;
    if (r->n_shifts) ok = json_put(j, "shifts", json_new_int((int64_t)r->n_shifts)) && ok;
    if (r->n_shifts) ok = json_put(j, "shifted_tokens", json_new_int((int64_t)r->n_shifted)) && ok;
    if (r->n_back) ok = json_put(j, "taken_back_tokens", json_new_int((int64_t)r->n_back)) && ok;
    ok = json_put(j, "seed", json_new_int((int64_t)s->seed)) && ok;
    ok = json_put(t, "load_ms", json_new_real(ms(s->load_ns))) && ok;
    ok = json_put(t, "prefill_ms", json_new_real(ms(r->prefill_ns))) && ok;
    ok = json_put(t, "prefill_tokens_per_s", json_new_real(rate(r->n_prompt - r->n_kept, r->prefill_ns))) && ok;
    ok = json_put(t, "decode_ms", json_new_real(ms(r->decode_ns))) && ok;
    ok = json_put(t, "decode_tokens_per_s", json_new_real(rate(r->n_steps, r->decode_ns))) && ok;
    ok = json_put(j, "timings", t) && ok;
    if (ok) json_write(j, false, out);
    buf_putc(out, '\n');
    json_free(j);
    return ok && !out->bad;
}
