#include "server/api_options.h"

#include <math.h>
#include <string.h>

#include "server/api_put.h"
#include "server/job.h"

enum kind { REAL, INT, BOOL, TEXT, TEXTS, OWN };
enum { MAX_STRINGS = 64, MAX_BIAS = 4096, MAX_TOKENS = 1 << 24, MAX_SCHEMA = 1 << 20 };

typedef int own_fn(const struct json *v, const char *field, struct json *job, struct err *err);

struct row {
    struct api_option o;               /* names: of several that are given, the first counts; where: of the job */
    const char *key;                   /* in that object */
    enum kind kind;
    double min, max;
    own_fn *own;
};

/* ---- options with a form of their own ---- */

static int nomem_if(bool ok, struct err *err) { return ok ? 0 : api_nomem(err); }

static int set_option(struct json *job, const char *key, struct json *v, struct err *err)
{
    return nomem_if(json_put(api_object(job, "options"), key, v), err);
}

static int whole(const struct json *v, const char *field, int64_t *out, struct err *err)
{
    double d = json_num(v);
    if (json_type(v) != JSON_INT && (json_type(v) != JSON_REAL || d != floor(d) || fabs(d) > 9e15))
        return err_set(err, ERR_ARG, "%s: expected a whole number", field);
    *out = json_type(v) == JSON_INT ? json_int(v) : (int64_t)d;
    return 0;
}

static int own_seed(const struct json *v, const char *field, struct json *job, struct err *err)
{
    int64_t n;
    int rc = whole(v, field, &n, err);
    if (rc < 0) return rc;
    if (n < 0) return set_option(job, "seed", json_new_null(), err);      /* a random one, also where the model has another */
    return set_option(job, "seed", json_new_int(n), err);
}

static int own_max_tokens(const struct json *v, const char *field, struct json *job, struct err *err)
{
    int64_t n;
    int rc = whole(v, field, &n, err);
    if (rc < 0) return rc;
    if (n < 0) n = -1;                                         /* until the answer or the context ends */
    if (n > MAX_TOKENS) return err_set(err, ERR_ARG, "%s is %lld, but must be at most %d", field, (long long)n, (int)MAX_TOKENS);
    return set_option(job, "max_tokens", json_new_int(n), err);
}

/* A string or an array of strings, without empty ones. */
static int strings(const struct json *v, const char *field, struct json **out, struct err *err)
{
    bool one = json_type(v) == JSON_STRING;
    if (!one && json_type(v) != JSON_ARRAY) return err_set(err, ERR_ARG, "%s: expected a string or an array of strings", field);
    if (!one && json_len(v) > MAX_STRINGS)
        return err_set(err, ERR_LIMIT, "%s: %zu strings, but at most %d are possible", field, json_len(v), (int)MAX_STRINGS);
    struct json *list = json_new_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < (one ? 1 : json_len(v)); i++) {
        const struct json *s = one ? v : json_at(v, i);
        size_t n;
        if (!json_str(s, &n)) {
            json_free(list);
            return err_set(err, ERR_ARG, "%s: entry %zu is no string", field, i + 1);
        }
        if (n) ok = json_push(list, json_share(s));
    }
    *out = list;
    if (ok) return 0;
    json_free(list);
    return api_nomem(err);
}

static int put_strings(const struct json *v, const char *field, struct json *job, const char *key, struct err *err)
{
    struct json *list;
    int rc = strings(v, field, &list, err);
    return rc < 0 ? rc : set_option(job, key, list, err);
}

static int own_order(const struct json *v, const char *field, struct json *job, struct err *err)
{
    struct json *list;
    struct buf b = { 0 };
    size_t n;
    const char *s;
    if ((s = json_str(v, &n)) != NULL) return set_option(job, "samplers", json_share(v), err);
    int rc = strings(v, field, &list, err);
    if (rc < 0) return rc;
    for (size_t i = 0; i < json_len(list); i++) {
        s = json_str(json_at(list, i), &n);
        if (i) buf_putc(&b, ';');
        buf_put(&b, s, n);
    }
    rc = b.bad ? api_nomem(err) : set_option(job, "samplers", json_new_str(b.data ? b.data : "", b.len), err);
    buf_release(&b);
    json_free(list);
    return rc;
}

/* token: a number, or text.  Takes it. */
static int push_bias(struct json *list, struct json *token, const struct json *bias, const char *field, struct err *err)
{
    bool never = json_type(bias) == JSON_BOOL && !json_bool(bias), text = json_type(token) == JSON_STRING;
    struct json *pair = json_new_array();
    if (!never && json_type(bias) != JSON_INT && json_type(bias) != JSON_REAL) {
        json_free(token);
        json_free(pair);
        return err_set(err, ERR_ARG, "%s: the bias of entry %zu is no number", field, json_len(list) + 1);
    }
    if (!text && (json_type(token) != JSON_INT || json_int(token) < 0 || json_int(token) > INT32_MAX)) {
        json_free(token);
        json_free(pair);
        return err_set(err, ERR_ARG, "%s: entry %zu names no token", field, json_len(list) + 1);
    }
    bool ok = json_push(pair, token) && json_push(pair, never ? json_new_null() : json_new_real(json_num(bias)));
    ok = json_push(list, pair) && ok;
    return nomem_if(ok, err);
}

static int bias_object(const struct json *v, const char *field, struct json *list, struct err *err)
{
    const char *key;
    struct json *value;
    int rc = 0;
    for (void *it = NULL; rc == 0 && json_next(v, &it, &key, &value);) {
        int64_t id = 0;
        const char *p = key;
        while (*p >= '0' && *p <= '9' && id < INT32_MAX) id = id * 10 + (*p++ - '0');
        struct json *token = p == key || *p ? json_new_str(key, strlen(key)) : json_new_int(id);
        rc = push_bias(list, token, value, field, err);
    }
    return rc;
}

static int own_bias(const struct json *v, const char *field, struct json *job, struct err *err)
{
    bool object = json_type(v) == JSON_OBJECT;
    if (!object && json_type(v) != JSON_ARRAY) return err_set(err, ERR_ARG, "%s: expected an object or an array of pairs", field);
    if (json_len(v) > MAX_BIAS)
        return err_set(err, ERR_LIMIT, "%s: %zu tokens, but at most %d are possible", field, json_len(v), (int)MAX_BIAS);
    struct json *list = json_new_array();
    int rc = !list ? api_nomem(err) : object ? bias_object(v, field, list, err) : 0;
    for (size_t i = 0; rc == 0 && !object && i < json_len(v); i++) {
        const struct json *pair = json_at(v, i), *id = json_at(pair, 0);
        if (json_type(pair) != JSON_ARRAY || json_len(pair) != 2)
            rc = err_set(err, ERR_ARG, "%s: entry %zu is no pair of a token and a bias", field, i + 1);
        else rc = push_bias(list, json_share(id), json_at(pair, 1), field, err);
    }
    if (rc == 0 && json_len(list)) return set_option(job, "logit_bias", list, err);
    json_free(list);
    return rc;
}

static int own_stop(const struct json *v, const char *field, struct json *job, struct err *err)
{
    return put_strings(v, field, job, "stop", err);
}

static int own_ban(const struct json *v, const char *field, struct json *job, struct err *err)
{
    return put_strings(v, field, job, "ban", err);
}

static int own_breakers(const struct json *v, const char *field, struct json *job, struct err *err)
{
    return put_strings(v, field, job, "dry_sequence_breaker", err);
}

/* "1h30m", "10m", "1.5s", "300ms": numbers with units; a plain number in text is seconds. */
static bool duration(const char *s, double *out)
{
    static const struct { const char *unit; double s; } unit[] = { { "ms", 1e-3 }, { "us", 1e-6 }, { "ns", 1e-9 },
                                                                   { "h", 3600 }, { "m", 60 }, { "s", 1 } };
    bool minus = *s == '-';
    double sum = 0;
    if (*s == '-' || *s == '+') s++;
    if (!*s) return false;
    while (*s) {
        double v = 0, part = 1;
        const char *from = s;
        while (*s >= '0' && *s <= '9' && v < 1e12) v = v * 10 + (*s++ - '0');
        if (*s == '.')
            for (s++; *s >= '0' && *s <= '9'; s++) v += (part /= 10) * (*s - '0');
        size_t i = 0, n = sizeof unit / sizeof *unit;
        while (i < n && strncmp(s, unit[i].unit, strlen(unit[i].unit)) != 0) i++;
        if (s == from || (i == n && *s)) return false;
        sum += v * (i < n ? unit[i].s : 1);
        if (i < n) s += strlen(unit[i].unit);
    }
    *out = minus ? -sum : sum;
    return true;
}

int api_keep_alive(const struct json *v, const char *field, struct json *job, struct err *err)
{
    const char *s = json_str(v, NULL);
    double t = json_num(v);
    bool ok = s ? duration(s, &t) : json_type(v) == JSON_INT || json_type(v) == JSON_REAL;
    if (!ok) return err_set(err, ERR_ARG, "%s: expected seconds, or a duration like \"10m\"", field);
    int64_t whole_s = t < 0 ? -1 : t > 1e9 ? 1000000000 : (int64_t)ceil(t);
    return nomem_if(api_set_int(job, "keep_alive", whole_s), err);
}

int api_think(const struct json *v, const char *field, struct json *job, struct err *err)
{
    static const char *const word[][2] = { { "off", "off" }, { "none", "off" }, { "false", "off" }, { "on", "on" },
        { "true", "on" }, { "minimal", "low" }, { "low", "low" }, { "medium", "medium" }, { "high", "high" }, { "xhigh", "high" },
        { "max", "high" } };
    if (json_type(v) == JSON_BOOL) return nomem_if(api_set_str(job, "think", json_bool(v) ? "on" : "off"), err);
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (api_is(v, word[i][0])) return nomem_if(api_set_str(job, "think", word[i][1]), err);
    return err_set(err, ERR_ARG, "%s: expected true, false, \"none\", \"low\", \"medium\" or \"high\"", field);
}

int api_format(struct json *job, const char *type, const char *key, const struct json *value, struct err *err)
{
    struct json *f = json_new_object();
    bool ok = f && api_set_str(f, "type", type) && (!key || api_set_copy(f, key, value));
    ok = json_put(job, "format", f) && ok;
    return nomem_if(ok, err);
}

static int own_schema(const struct json *v, const char *field, struct json *job, struct err *err)
{
    struct json *parsed = NULL;
    size_t n;
    const char *s = json_str(v, &n);
    if (s) {
        int rc = json_parse_most(&parsed, s, n, MAX_SCHEMA, err);
        if (rc < 0) return err_prefix(err, ERR_ARG, "%s: ", field);
        v = parsed;
    }
    int rc = json_type(v) == JSON_OBJECT || json_type(v) == JSON_BOOL ? api_format(job, "schema", "schema", v, err)
                                                                     : err_set(err, ERR_ARG, "%s: expected a JSON Schema", field);
    json_free(parsed);
    return rc;
}

static int own_form(const struct json *v, const char *field, struct json *job, struct err *err)
{
    bool regex = !strcmp(field, "regex") || !strcmp(field, "guided_regex");
    size_t n;
    if (!json_str(v, &n)) return err_set(err, ERR_ARG, "%s: expected a string", field);
    return n ? api_format(job, regex ? "regex" : "grammar", "text", v, err) : 0;
}

static int own_choices(const struct json *v, const char *field, struct json *job, struct err *err)
{
    struct json *list;
    int rc = strings(v, field, &list, err);
    if (rc < 0) return rc;
    rc = json_len(list) ? api_format(job, "choices", "choices", list, err) : err_set(err, ERR_ARG, "%s is empty", field);
    json_free(list);
    return rc;
}

/* "json", "" or a schema as Ollama has it; other dialects use the word too. */
static int own_format(const struct json *v, const char *field, struct json *job, struct err *err)
{
    if (api_is(v, "")) return 0;
    if (api_is(v, "json")) return api_format(job, "json", NULL, NULL, err);
    if (json_type(v) == JSON_OBJECT) return own_schema(v, field, job, err);
    return err_set(err, ERR_ARG, "%s: expected \"json\" or a JSON Schema", field);
}

static int own_cache(const struct json *v, const char *field, struct json *job, struct err *err)
{
    if (json_type(v) != JSON_BOOL) return err_set(err, ERR_ARG, "%s: expected true or false", field);
    return json_bool(v) ? 0 : nomem_if(api_set_bool(job, "no_cache", true), err);
}

static int own_variables(const struct json *v, const char *field, struct json *job, struct err *err)
{
    if (json_type(v) != JSON_OBJECT) return err_set(err, ERR_ARG, "%s: expected an object", field);
    return nomem_if(api_set_copy(job, "variables", v), err);
}

static int own_slot(const struct json *v, const char *field, struct json *job, struct err *err)
{
    enum { MOST = 63 };
    int64_t n;
    int rc = whole(v, field, &n, err);
    if (rc < 0 || n == -1) return rc;                          /* any */
    if (n < 0 || n > MOST)
        return err_set(err, ERR_ARG, "%s is %lld, but must be between -1 and %d", field, (long long)n, (int)MOST);
    return nomem_if(api_set_int(job, "slot", n), err);
}

/* [{"id", "scale"}]: the engine knows how many adapters there are. */
static int own_lora(const struct json *v, const char *field, struct json *job, struct err *err)
{
    if (json_type(v) != JSON_ARRAY || json_len(v) > JOB_MAX_ADAPTERS)
        return err_set(err, ERR_ARG, "%s: expected an array of at most %d objects with id and scale", field,
                       (int)JOB_MAX_ADAPTERS);
    struct json *list = json_new_array();
    int rc = list ? 0 : api_nomem(err);
    for (size_t i = 0; rc == 0 && i < json_len(v); i++) {
        const struct json *id = json_get(json_at(v, i), "id"), *scale = json_get(json_at(v, i), "scale");
        bool number = json_type(scale) == JSON_INT || json_type(scale) == JSON_REAL;
        if (json_type(id) != JSON_INT || json_int(id) < 0 || json_int(id) >= JOB_MAX_ADAPTERS || !number ||
            fabs(json_num(scale)) > 1000)
            rc = err_set(err, ERR_ARG, "%s: entry %zu needs an id from 0 to %d and a scale of at most 1000", field, i + 1,
                         JOB_MAX_ADAPTERS - 1);
        struct json *o = rc == 0 ? json_new_object() : NULL;
        bool ok = o && api_set_int(o, "id", json_int(id)) && api_set_real(o, "scale", json_num(scale));
        if (rc == 0) rc = json_push(list, o) && ok ? 0 : api_nomem(err);
    }
    if (rc == 0) return nomem_if(json_put(job, "lora", list), err);
    json_free(list);
    return rc;
}

/* ---- the table ---- */

#define SAMPLER(names, key, lo, hi, help) { { names, "options", help }, key, REAL, lo, hi, NULL }
#define COUNT(names, key, lo, hi, help) { { names, "options", help }, key, INT, lo, hi, NULL }
#define OWN_ROW(names, where, fn, help) { { names, where, help }, NULL, OWN, 0, 0, fn }
static const struct row row[] = {
    SAMPLER("temperature temp", "temperature", 0, 100, "0: always the likeliest token"),
    COUNT("top_k", "top_k", 0, 1 << 24, "the K likeliest; 0: all"),
    SAMPLER("top_p", "top_p", 0, 1, "the likeliest that share P; 1: all"),
    SAMPLER("min_p", "min_p", 0, 1, "those at least P times as likely as the best; 0: all"),
    SAMPLER("typical_p typ_p", "typical_p", 0, 1, "those of typical surprise that share P; 1: all"),
    SAMPLER("top_n_sigma", "top_n_sigma", -1, 1000, "those at most N deviations below the best; 0: all"),
    SAMPLER("top_a", "top_a", 0, 1, "those with at least A times the squared share of the best; 0: all"),
    SAMPLER("tfs_z tfs", "tfs_z", 0, 1, "what is before the tail that holds 1 - Z; 1: all"),
    SAMPLER("xtc_probability", "xtc_probability", 0, 1, "how often the likeliest are left out but one"),
    SAMPLER("xtc_threshold", "xtc_threshold", 0, 1, "the share that makes a token one of these"),
    SAMPLER("dynatemp_range", "dynatemp_range", 0, 100, "how far the temperature follows the entropy"),
    SAMPLER("dynatemp_exponent", "dynatemp_exponent", 0, 100, "how it goes from one to the other"),
    SAMPLER("smoothing_factor", "smoothing_factor", 0, 1000, "quadratic smoothing"),
    SAMPLER("smoothing_curve", "smoothing_curve", 0, 100, "above 1: the bad ones further down"),
    SAMPLER("repeat_penalty repetition_penalty", "repeat_penalty", 0.01, 100, "above 1: avoid tokens that were there lately"),
    COUNT("repeat_last_n", "repeat_last_n", -1, 1 << 20, "how many tokens \"lately\" is; -1: all"),
    SAMPLER("frequency_penalty", "frequency_penalty", -100, 100, "taken off for each time a token was there"),
    SAMPLER("presence_penalty", "presence_penalty", -100, 100, "taken off when a token was there"),
    SAMPLER("dry_multiplier", "dry_multiplier", 0, 1000, "above 0: avoid going on with what was said before"),
    SAMPLER("dry_base", "dry_base", 0, 1000, "how fast that grows with the length of the repeat"),
    COUNT("dry_allowed_length", "dry_allowed_length", 1, 1 << 20, "shorter repeats are free"),
    COUNT("dry_last_n dry_penalty_last_n", "dry_last_n", -1, 1 << 20, "how many tokens are looked back; -1: all"),
    OWN_ROW("dry_sequence_breakers dry_sequence_breaker", "options", own_breakers, "texts that no repeat reaches across"),
    COUNT("mirostat", "mirostat", 0, 2, "1, 2: steer the surprise instead of filtering"),
    SAMPLER("mirostat_tau", "mirostat_tau", 0, 1000, "the surprise to aim at, in bits"),
    SAMPLER("mirostat_eta", "mirostat_eta", 0, 1000, "how fast to steer"),
    SAMPLER("adaptive_target", "adaptive_target", -1, 1, "above 0: choose tokens of about this probability"),
    SAMPLER("adaptive_decay", "adaptive_decay", 0, 0.99, "how long past choices count for that"),
    COUNT("min_keep", "min_keep", 0, 1 << 24, "the filters leave at least N tokens"),
    OWN_ROW("samplers", "options", own_order, "the steps of choosing in their order: an array, or text with ; between"),
    OWN_ROW("seed", "options", own_seed, "the same seed gives the same answer; below 0: random"),
    OWN_ROW("max_completion_tokens max_tokens max_output_tokens num_predict n_predict", "options", own_max_tokens,
            "longest answer in tokens; -1: until the model is done"),
    COUNT("min_tokens min_predict", "min_tokens", 0, MAX_TOKENS, "shortest answer in tokens"),
    OWN_ROW("stop", "options", own_stop, "texts before which the answer ends: one, or up to 64"),
    OWN_ROW("ban banned_strings", "options", own_ban, "phrases that never come"),
    OWN_ROW("logit_bias", "options", own_bias, "{\"id or text\": bias} or [[id or text, bias]]; false: never"),
    { { "ignore_end ignore_eos", "options", "never end before max_tokens" }, "ignore_end", BOOL, 0, 0, NULL },
    { { "context_policy", "options", "what does not fit the context: stop is an error, drop, middle, shift leave some out" },
      "context_policy", TEXT, 0, 0, NULL },
    COUNT("n_keep num_keep", "n_keep", -1, 1 << 24, "tokens that stay at the start of a prompt that is cut; -1: all"),
    { { "num_ctx n_ctx context_length", "load", "tokens that the context holds" }, "num_ctx", INT, 1, 1 << 24, NULL },
    { { "num_batch n_batch eval_batch_size", "load", "tokens of a prompt in one step" }, "num_batch", INT, 1, 1 << 20, NULL },
    { { "num_thread n_threads", "load", "processor threads" }, "num_thread", INT, 0, 256, NULL },
    { { "speculate", "load", "guessed tokens that are checked at once; 0: as many as pay; -1: none" }, "speculate", INT, -1, 15,
      NULL },
    { { "kv_type cache_type_k", "load", "how keys are kept: f16, bf16, f32, q8_0, q4_0" }, "kv_type", TEXT, 0, 0, NULL },
    { { "kv_type_v cache_type_v", "load", "how values are kept" }, "kv_type_v", TEXT, 0, 0, NULL },
    OWN_ROW("keep_alive ttl", "", api_keep_alive, "how long the model stays loaded: seconds, \"10m\", -1 for ever, 0 not at all"),
    OWN_ROW("think reasoning_effort", "", api_think, "true, false, \"low\", \"medium\", \"high\""),
    { { "think_budget thinking_budget_tokens reasoning_budget_tokens reasoning_budget thinking_budget", "",
        "most tokens of reasoning; -1: any number" }, "think_budget", INT, -1, MAX_TOKENS, NULL },
    OWN_ROW("format", "", own_format, "\"json\", or a JSON Schema"),
    OWN_ROW("json_schema guided_json", "", own_schema, "the answer is valid for this JSON Schema"),
    OWN_ROW("grammar guided_grammar", "", own_form, "the answer is a text of this grammar (GBNF)"),
    OWN_ROW("regex guided_regex", "", own_form, "the whole answer matches"),
    OWN_ROW("choices guided_choice", "", own_choices, "the answer is one of these"),
    OWN_ROW("cache_prompt", "", own_cache, "false: goes on from no past text and leaves none"),
    OWN_ROW("chat_template_kwargs", "", own_variables, "more variables of the chat template"),
    { { "continue_final_message", "", "the last message is the beginning of the answer" }, "continue", BOOL, 0, 0, NULL },
    { { "priority", "", "the larger, the sooner" }, "priority", INT, -1000, 1000, NULL },
    { { "deadline_ms", "", "the answer ends after this time" }, "deadline_ms", INT, 1, 86400000, NULL },
    OWN_ROW("id_slot", "", own_slot, "by which number POST /slots knows the text afterwards, up to 63; -1: 0"),
    OWN_ROW("lora", "", own_lora, "scales of the model's adapters: [{\"id\": 0, \"scale\": 0.5}]; of those that are not named 0"),
};
enum { N_ROWS = sizeof row / sizeof *row };

const struct api_option *api_option_at(size_t i) { return i < N_ROWS ? &row[i].o : NULL; }

static int number(const struct row *r, const struct json *v, const char *field, struct json *to, struct err *err)
{
    bool is_int = json_type(v) == JSON_INT, is_num = is_int || json_type(v) == JSON_REAL;
    double d = json_num(v);
    if (!is_num || (r->kind == INT && d != floor(d)))
        return err_set(err, ERR_ARG, "%s: expected a %snumber", field, r->kind == INT ? "whole " : "");
    if (d < r->min || d > r->max)
        return err_set(err, ERR_ARG, "%s is %.10g, but must be between %.10g and %.10g", field, d, r->min, r->max);
    if (!strcmp(r->key, "think_budget") && d < 1) return 0;
    return nomem_if(r->kind == INT ? api_set_int(to, r->key, (int64_t)d) : api_set_real(to, r->key, d), err);
}

static int take(const struct row *r, const struct json *v, const char *field, struct json *job, struct err *err)
{
    if (r->kind == OWN) return r->own(v, field, job, err);
    struct json *to = *r->o.where ? api_object(job, r->o.where) : job;
    if (!to) return api_nomem(err);
    if (r->kind == REAL || r->kind == INT) return number(r, v, field, to, err);
    if (r->kind == BOOL && json_type(v) != JSON_BOOL) return err_set(err, ERR_ARG, "%s: expected true or false", field);
    if (r->kind == TEXT && json_type(v) != JSON_STRING) return err_set(err, ERR_ARG, "%s: expected a string", field);
    return nomem_if(api_set_copy(to, r->key, v), err);
}

/* The first of the row's names that the object has. */
static int take_row(const struct row *r, const struct json *from, struct json *job, struct err *err)
{
    for (const char *p = r->o.names; *p;) {
        size_t n = strcspn(p, " ");
        char field[64];
        fmt_into(field, sizeof field, "%.*s", (int)n, p);
        const struct json *v = json_get(from, field);
        if (json_type(v) != JSON_NULL) return take(r, v, field, job, err);
        p += n + (p[n] == ' ');
    }
    return 0;
}

int api_options(const struct json *body, struct json *job, struct err *err)
{
    const struct json *options;
    int rc = api_value(body, "options", JSON_OBJECT, &options, err);
    for (size_t i = 0; rc == 0 && options && i < N_ROWS; i++) rc = take_row(&row[i], options, job, err);
    for (size_t i = 0; rc == 0 && i < N_ROWS; i++) rc = take_row(&row[i], body, job, err);
    return rc;
}

/* ---- tools ---- */

int api_tools(const struct json *tools, struct json *job, struct err *err)
{
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *t = json_at(tools, i), *f = json_get(t, "function"), *type = json_get(t, "type");
        const char *name = json_str(json_get(f, "name"), NULL), *kind = json_str(type, NULL);
        if (kind && strcmp(kind, "function") != 0)
            return err_set(err, ERR_UNSUPPORTED, "tools: number %zu is of type %.40s, but only functions can be", i + 1, kind);
        if (!name || !*name) return err_set(err, ERR_ARG, "tools: number %zu has no function.name", i + 1);
    }
    if (!json_len(tools)) return 0;
    return nomem_if(api_set_copy(job, "tools", tools), err);
}

static bool has_tool(const struct json *tools, const char *name)
{
    for (size_t i = 0; i < json_len(tools); i++)
        if (api_is(json_get(json_get(json_at(tools, i), "function"), "name"), name)) return true;
    return false;
}

int api_tool_choice(struct json *job, const char *choice, const char *name, struct err *err)
{
    const struct json *tools = json_get(job, "tools");
    bool known = name || !strcmp(choice, "none") || !strcmp(choice, "auto") || !strcmp(choice, "required");
    if (!known) return err_set(err, ERR_ARG, "tool_choice: \"%.40s\" is none of none, auto, required", choice);
    if (name && !has_tool(tools, name))
        return err_set(err, ERR_ARG, "tool_choice: there is no tool \"%.60s\" among the tools", name);
    if (!name && !tools && !strcmp(choice, "required"))
        return err_set(err, ERR_ARG, "tool_choice is \"required\", but there are no tools");
    if (!tools) return 0;
    if (!name) return nomem_if(api_set_str(job, "tool_choice", choice), err);
    struct json *v = json_new_object();
    bool ok = v && api_set_str(v, "name", name);
    ok = json_put(job, "tool_choice", v) && ok;
    return nomem_if(ok, err);
}
