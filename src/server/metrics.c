#include "server/metrics.h"

#include <string.h>

static const double bound[METRIC_BOUNDS] = { 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60 };

static void add(struct histogram *h, double v)
{
    size_t i = 0;
    while (i < METRIC_BOUNDS && v > bound[i]) i++;
    h->bucket[i]++;
    h->count++;
    h->sum += v;
}

/* Under the lock. */
static struct metric_model *model_of(struct metrics *m, const char *name)
{
    for (size_t i = 0; i < m->n_models; i++)
        if (!strncmp(m->model[i].name, name, METRIC_NAME - 1)) return &m->model[i];
    if (m->n_models == METRIC_MODELS) return &m->model[METRIC_MODELS - 1];
    struct metric_model *x = &m->model[m->n_models++];
    fmt_into(x->name, sizeof x->name, "%s", m->n_models == METRIC_MODELS ? "other" : name);
    return x;
}

static uint64_t count_of(const struct json *o, const char *key)
{
    int64_t v = json_int(json_get(o, key));
    return v > 0 ? (uint64_t)v : 0;
}

void metrics_job(struct metrics *m, const struct metric_job *j)
{
    const struct json *t = json_get(j->done, "timings");
    lock_take(&m->lock);
    struct metric_model *x = model_of(m, j->model);
    x->jobs++;
    x->failed += j->failed;
    x->cancelled += j->cancelled;
    x->prompt_tokens += count_of(j->done, "prompt_tokens");
    x->cached_tokens += count_of(j->done, "cached_tokens");
    x->answer_tokens += count_of(j->done, "answer_tokens");
    x->reasoning_tokens += count_of(j->done, "reasoning_tokens");
    x->drafts += count_of(j->done, "drafts");
    x->draft_tokens += count_of(j->done, "draft_tokens");
    x->draft_right += count_of(j->done, "draft_right");
    const struct json *at = json_get(j->done, "draft_right_at");
    for (size_t i = 0; i < METRIC_PLACES && i < json_len(at); i++) {
        int64_t n = json_int(json_at(at, i));
        if (n > 0) m->right_at[i] += (uint64_t)n;
    }
    uint64_t tokens = count_of(j->done, "prompt_tokens") + count_of(j->done, "answer_tokens");
    if (tokens > m->most_tokens) m->most_tokens = tokens;
    x->loads += count_of(t, "load_ns") != 0;
    x->load_s += (double)count_of(t, "load_ns") * 1e-9;
    x->prompt_s += (double)count_of(t, "prompt_ns") * 1e-9;
    x->answer_s += (double)count_of(t, "answer_ns") * 1e-9;
    if (j->text) add(&x->first, j->first_s);
    add(&x->waited, j->waited_s + (double)count_of(t, "queue_ns") * 1e-9);
    lock_give(&m->lock);
}

void metrics_between(struct metrics *m, const char *model, double s)
{
    lock_take(&m->lock);
    add(&model_of(m, model)->between, s);
    lock_give(&m->lock);
}

/* ---- as text ---- */

static void put_label(const char *s, struct buf *out)
{
    for (; *s; s++) {
        if (*s == '\\' || *s == '"') buf_putc(out, '\\');
        if (*s == '\n') buf_puts(out, "\\n");
        else buf_putc(out, *s);
    }
}

static void head(const char *name, const char *kind, const char *help, struct buf *out)
{
    buf_printf(out, "# HELP hearth_%s %s\n# TYPE hearth_%s %s\n", name, help, name, kind);
}

static void put_gauge(const char *name, const char *kind, const char *help, uint64_t v, struct buf *out)
{
    head(name, kind, help, out);
    buf_printf(out, "hearth_%s %llu\n", name, (unsigned long long)v);
}

static void put_value(const char *name, const struct metric_model *x, double v, struct buf *out)
{
    buf_printf(out, "hearth_%s{model=\"", name);
    put_label(x->name, out);
    buf_printf(out, "\"} %.9g\n", v);
}

static void put_histogram(const char *name, const struct metric_model *x, const struct histogram *h, struct buf *out)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= METRIC_BOUNDS; i++) {
        sum += h->bucket[i];
        buf_printf(out, "hearth_%s_bucket{model=\"", name);
        put_label(x->name, out);
        if (i < METRIC_BOUNDS) buf_printf(out, "\",le=\"%g\"} %llu\n", bound[i], (unsigned long long)sum);
        else buf_printf(out, "\",le=\"+Inf\"} %llu\n", (unsigned long long)sum);
    }
    buf_printf(out, "hearth_%s_sum{model=\"", name);
    put_label(x->name, out);
    buf_printf(out, "\"} %.9g\nhearth_%s_count{model=\"", h->sum, name);
    put_label(x->name, out);
    buf_printf(out, "\"} %llu\n", (unsigned long long)h->count);
}

#define COUNTERS(X) \
    X(jobs, "jobs_total", "jobs that are over") \
    X(failed, "jobs_failed_total", "of them, those that ended with an error") \
    X(cancelled, "jobs_cancelled_total", "of them, those whose client went away, or that were stopped") \
    X(prompt_tokens, "prompt_tokens_total", "tokens of prompts") \
    X(cached_tokens, "cached_tokens_total", "of them, those whose keys and values were still there") \
    X(answer_tokens, "answer_tokens_total", "tokens of answers") \
    X(reasoning_tokens, "reasoning_tokens_total", "of them, those of reasoning") \
    X(drafts, "drafts_total", "how often guessed tokens were checked") \
    X(draft_tokens, "draft_tokens_total", "guessed tokens") \
    X(draft_right, "draft_right_tokens_total", "of them, those that proved right") \
    X(loads, "loads_total", "jobs that loaded their model") \
    X(load_s, "load_seconds_total", "time for that") \
    X(prompt_s, "prompt_seconds_total", "time for prompts") \
    X(answer_s, "answer_seconds_total", "time for answers")

#define HISTOGRAMS(X) \
    X(first, "time_to_first_token_seconds", "from the request's head to the first text") \
    X(between, "inter_token_seconds", "between two texts of an answer") \
    X(waited, "queue_seconds", "in the queues of the server and the engine")

static void put_models(struct metrics *m, struct buf *out)
{
#define X(field, name, help) \
    head(name, "counter", help, out); \
    for (size_t i = 0; i < m->n_models; i++) put_value(name, &m->model[i], (double)m->model[i].field, out);
    COUNTERS(X)
#undef X
#define X(field, name, help) \
    head(name, "histogram", help, out); \
    for (size_t i = 0; i < m->n_models; i++) put_histogram(name, &m->model[i], &m->model[i].field, out);
    HISTOGRAMS(X)
#undef X
}

/* ---- what those look for that watch a llama-server ---- */

static void put_same(const char *name, double v, struct buf *out) { buf_printf(out, "llamacpp:%s %.12g\n", name, v); }

static void put_guesses(const struct metrics *m, const struct metric_model *all, struct buf *out)
{
    put_same("spec_decode_num_drafts_total", (double)all->drafts, out);
    put_same("spec_decode_num_draft_tokens_total", (double)all->draft_tokens, out);
    put_same("spec_decode_num_accepted_tokens_total", (double)all->draft_right, out);
    for (size_t i = 0; i < METRIC_PLACES; i++)
        buf_printf(out, "llamacpp:spec_decode_num_accepted_tokens_per_pos_total{position=\"%zu\"} %llu\n", i,
                   (unsigned long long)m->right_at[i]);
}

static void put_sums(const struct metrics *m, const struct metric_gauges *g, const struct json *status, struct buf *out)
{
    struct metric_model all = { 0 };
    uint64_t steps = 0, texts = 0;
    for (size_t i = 0; i < m->n_models; i++) {
        const struct metric_model *one = &m->model[i];
        all.prompt_tokens += one->prompt_tokens;
        all.answer_tokens += one->answer_tokens;
        all.prompt_s += one->prompt_s;
        all.answer_s += one->answer_s;
        all.drafts += one->drafts;
        all.draft_tokens += one->draft_tokens;
        all.draft_right += one->draft_right;
    }
    const struct json *models = json_get(status, "models");
    for (size_t i = 0; i < json_len(models); i++) {
        steps += count_of(json_at(models, i), "steps");
        texts += count_of(json_at(models, i), "step_texts");
    }
    put_same("prompt_tokens_total", (double)all.prompt_tokens, out);
    put_same("prompt_seconds_total", all.prompt_s, out);
    put_same("tokens_predicted_total", (double)all.answer_tokens, out);
    put_same("tokens_predicted_seconds_total", all.answer_s, out);
    put_same("prompt_tokens_seconds", all.prompt_s > 0 ? (double)all.prompt_tokens / all.prompt_s : 0, out);
    put_same("predicted_tokens_seconds", all.answer_s > 0 ? (double)all.answer_tokens / all.answer_s : 0, out);
    put_same("requests_processing", (double)g->running, out);
    put_same("requests_deferred", (double)g->waiting, out);
    put_same("n_tokens_max", (double)m->most_tokens, out);
    put_same("n_decode_total", (double)steps, out);
    put_same("n_busy_slots_per_decode", steps ? (double)texts / (double)steps : 0, out);
    put_guesses(m, &all, out);
}

/* The engine's own numbers: every field that is one, under its name. */
static void put_numbers(const struct json *o, const char *prefix, const char *model, struct buf *out)
{
    void *it = NULL;
    const char *key;
    struct json *v;
    while (json_next(o, &it, &key, &v)) {
        enum json_type t = json_type(v);
        if (t == JSON_OBJECT) put_numbers(v, prefix, model, out);
        if (t != JSON_INT && t != JSON_REAL && t != JSON_BOOL) continue;
        if (!*key || strspn(key, "abcdefghijklmnopqrstuvwxyz_0123456789") != strlen(key)) continue;
        buf_printf(out, "hearth_%s_%s", prefix, key);
        if (model) {
            buf_puts(out, "{model=\"");
            put_label(model, out);
            buf_puts(out, "\"}");
        }
        buf_printf(out, " %.12g\n", t == JSON_BOOL ? (double)json_bool(v) : json_num(v));
    }
}

void metrics_put(struct metrics *m, const struct metric_gauges *g, const struct json *status, struct buf *out)
{
    put_gauge("up", "gauge", "the engine answers", g->ready, out);
    put_gauge("draining", "gauge", "the server is shutting down", g->draining, out);
    put_gauge("connections", "gauge", "open connections", g->connections, out);
    put_gauge("requests", "gauge", "requests that are not over", g->requests, out);
    put_gauge("jobs_running", "gauge", "jobs that the engine has", g->running, out);
    put_gauge("jobs_waiting", "gauge", "jobs that wait for it", g->waiting, out);
    put_gauge("engine_restarts_total", "counter", "how often the engine process was started again", g->restarts, out);
    put_gauge("front_memory_peak_bytes", "gauge", "most memory that this process ever had", g->memory_peak, out);
    put_gauge("jobs_refused_total", "counter", "jobs that the queue did not take", atomic_load(&m->refused), out);
    put_gauge("sent_bytes_total", "counter", "bodies of answers", atomic_load(&m->sent), out);
    put_gauge("received_bytes_total", "counter", "bodies of requests", atomic_load(&m->received), out);
    head("answers_total", "counter", "answers by status", out);
    for (int i = 1; i < 6; i++)
        buf_printf(out, "hearth_answers_total{status=\"%dxx\"} %llu\n", i, (unsigned long long)atomic_load(&m->status[i]));
    lock_take(&m->lock);
    put_models(m, out);
    put_sums(m, g, status, out);
    lock_give(&m->lock);
    const struct json *models = json_get(status, "models");
    for (size_t i = 0; i < json_len(models); i++) {
        const char *name = json_str(json_get(json_at(models, i), "model"), NULL);
        put_numbers(json_at(models, i), "engine", name ? name : "", out);
    }
    put_numbers(json_get(status, "memory"), "engine_memory", NULL, out);
}
