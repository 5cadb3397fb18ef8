#include "server/job_read.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* ---- values ---- */

static int wrong_type(const char *name, const char *what, struct err *err)
{
    return err_set(err, ERR_ARG, "%s must be %s", name, what);
}

static int out_of_range(const char *name, const struct read_row *row, double v, struct err *err)
{
    return err_set(err, ERR_ARG, "%s must be %s from %.10g to %.10g, not %.10g", name,
                   row->kind == READ_F32 ? "a number" : "a whole number", row->min, row->max, v);
}

static int read_number(const struct json *v, const char *name, const struct read_row *row, void *field, struct err *err)
{
    enum json_type type = json_type(v);
    double x = json_num(v);
    if (type != JSON_INT && type != JSON_REAL)
        return wrong_type(name, row->kind == READ_F32 ? "a number" : "a whole number", err);
    if (!(x >= row->min && x <= row->max) || (row->kind != READ_F32 && x != floor(x))) return out_of_range(name, row, x, err);
    /* Whole numbers may be written as 1.0 or 1e3; those too large for that to be exact are integers anyway. */
    int64_t i = type == JSON_INT ? json_int(v) : x >= 9223372036854774784.0 ? INT64_MAX : (int64_t)x;
    switch (row->kind) {
    case READ_I32: *(int32_t *)field = (int32_t)i; break;
    case READ_U32: *(uint32_t *)field = (uint32_t)i; break;
    case READ_I64: *(int64_t *)field = i; break;
    case READ_U64: *(uint64_t *)field = (uint64_t)i; break;
    default: *(float *)field = (float)x; break;
    }
    return 0;
}

static int read_str(const struct json *v, const char *name, const char **out, struct err *err)
{
    size_t n;
    const char *s = json_str(v, &n);
    if (!s) return wrong_type(name, "a string", err);
    if (strlen(s) != n) return err_set(err, ERR_ARG, "%s has a zero byte", name);
    *out = s;
    return 0;
}

void read_strs_release(struct read_strs *l)
{
    mem_free(l->s);
    *l = (struct read_strs){ 0 };
}

static int read_strs(const struct json *v, const char *name, struct read_strs *out, struct err *err)
{
    size_t n = json_len(v);
    int rc = 0;
    if (json_type(v) != JSON_ARRAY) return wrong_type(name, "a list of strings", err);
    if (n > READ_MAX_STRS)
        return err_set(err, ERR_LIMIT, "%s has %zu strings, at most %d are possible", name, n, READ_MAX_STRS);
    read_strs_release(out);
    if (n && !(out->s = mem_new_array(const char *, n))) return err_set(err, ERR_NOMEM, "out of memory for %s", name);
    for (; rc == 0 && out->n < n; out->n += rc == 0) rc = read_str(json_at(v, out->n), name, &out->s[out->n], err);
    return rc;
}

static int read_part(const struct json *v, const char *name, enum json_type type, const struct json **out, struct err *err)
{
    if (json_type(v) != type) return wrong_type(name, type == JSON_ARRAY ? "a list" : "an object", err);
    *out = v;
    return 0;
}

int read_value(const struct json *v, const char *name, const struct read_row *row, void *to, struct err *err)
{
    void *field = (char *)to + row->at;
    switch (row->kind) {
    case READ_FLAG:
        if (json_type(v) != JSON_BOOL) return wrong_type(name, "true or false", err);
        *(bool *)field = json_bool(v);
        return 0;
    case READ_STR: return read_str(v, name, field, err);
    case READ_TEXT: {
        struct read_text *t = field;
        t->s = json_str(v, &t->n);
        return t->s ? 0 : wrong_type(name, "a string", err);
    }
    case READ_STRS: return read_strs(v, name, field, err);
    case READ_ARRAY: return read_part(v, name, JSON_ARRAY, field, err);
    case READ_OBJECT: return read_part(v, name, JSON_OBJECT, field, err);
    case READ_ANY: *(const struct json **)field = v; return 0;
    case READ_I32: case READ_U32: case READ_I64: case READ_U64: case READ_F32: break;
    }
    return read_number(v, name, row, field, err);
}

/* ---- objects ---- */

static void name_of(char *dst, size_t n, const char *where, const char *key)
{
    fmt_into(dst, n, where ? "%s.%.80s" : "%s%.80s", where ? where : "", key);
}

int read_object(const struct json *o, const char *where, const struct read_table *t, void *to, struct err *err)
{
    const char *key;
    struct json *value;
    void *it = NULL;
    char name[160];
    if (json_type(o) != JSON_OBJECT) return wrong_type(where ? where : "a job", "an object", err);
    while (json_next(o, &it, &key, &value)) {
        size_t i = 0;
        while (i < t->n && strcmp(t->row[i].name, key) != 0) i++;
        name_of(name, sizeof name, where, key);
        if (i == t->n) return err_set(err, ERR_ARG, "%s: there is no such field", name);
        int rc = json_type(value) == JSON_NULL ? 0 : read_value(value, name, &t->row[i], to, err);
        if (rc < 0) return rc;
    }
    return 0;
}

/* ---- options ---- */

/* What the table of settings knows, and fields that only a command line has. */
struct fields {
    struct hearth_sampler_options sampler;
    int32_t max_tokens, min_tokens;
    struct read_strs breakers;
    const struct json *bias;
};
struct setting { const char *name, *alias; struct read_row row; };

#define OPTION(name, alias, letter, kind, value, fallback, help, example, field, min, max) \
    { name, alias, { name, READ_##kind, offsetof(struct fields, field), min, max } },
#define SETTING(stored, ...) OPTION(__VA_ARGS__)
#define PARAM(stored, kind, option)
static const struct setting setting[] = {
#include "base/settings.def"
};
#undef SETTING
#undef OPTION
#undef PARAM
enum { N_SETTING = sizeof setting / sizeof *setting };

#define SETTING(stored, name, alias, letter, kind, value, fallback, help, example, field, min, max) \
    { #stored, NULL, { #stored, READ_##kind, offsetof(struct fields, field), min, max } },
#define OPTION(...)
#define PARAM(stored, kind, option)
static const struct setting stored_setting[] = {
#include "base/settings.def"
};
#undef SETTING
#undef OPTION
#undef PARAM

bool answer_options_defaults(const struct hearth_model *m, struct json *to)
{
    struct fields f = { .max_tokens = -1 };
    bool ok = true;
    hearth_sampler_defaults(m, &f.sampler);
    for (size_t i = 0; ok && i < sizeof stored_setting / sizeof *stored_setting; i++) {
        const struct setting *s = &stored_setting[i];
        const void *at = (const char *)&f + s->row.at;
        if (s->row.kind == READ_F32) ok = json_put(to, s->name, json_new_real((double)*(const float *)at));
        if (s->row.kind == READ_I32) ok = json_put(to, s->name, json_new_int(*(const int32_t *)at));
    }
    return ok;
}

/* Requests write '_' where the command line has '-'. */
static bool same_name(const char *a, const char *b)
{
    if (!a) return false;
    while (*a && (*a == '_' ? '-' : *a) == (*b == '_' ? '-' : *b)) a++, b++;
    return *a == *b;
}

static const struct setting *find_setting(const char *key)
{
    for (size_t i = 0; i < N_SETTING; i++)
        if (same_name(setting[i].name, key) || same_name(setting[i].alias, key)) return &setting[i];
    return NULL;
}

static int check_bias(const struct json *v, const char *name, struct err *err)
{
    if (json_type(v) != JSON_ARRAY) return wrong_type(name, "a list of pairs", err);
    for (size_t i = 0; i < json_len(v); i++) {
        const struct json *pair = json_at(v, i), *token = json_at(pair, 0), *bias = json_at(pair, 1);
        enum json_type t = json_type(token), b = json_type(bias);
        bool ok = json_type(pair) == JSON_ARRAY && json_len(pair) == 2 && (t == JSON_INT || t == JSON_STRING) &&
                  (b == JSON_INT || b == JSON_REAL || b == JSON_NULL || (b == JSON_BOOL && !json_bool(bias)));
        if (!ok)
            return err_set(err, ERR_ARG, "%s: pair %zu must be a token (its id or text) and a number, or null for never", name,
                           i + 1);
        if (t == JSON_INT && (json_int(token) < 0 || json_int(token) > INT32_MAX))
            return err_set(err, ERR_ARG, "%s: pair %zu: there is no token %lld", name, i + 1, (long long)json_int(token));
    }
    return 0;
}

/* What the command line has under other names, or not at all. */
static const struct read_row extra[] = {
    { "stop", READ_STRS, offsetof(struct answer_options, stop), 0, 0 },
    { "ban", READ_STRS, offsetof(struct answer_options, ban), 0, 0 },
    { "context_policy", READ_STR, offsetof(struct answer_options, context_policy), 0, 0 },
    { "n_keep", READ_I32, offsetof(struct answer_options, n_keep), -1, 1 << 24 },
};

static int read_option(struct answer_options *o, struct fields *f, const char *key, const struct json *v, struct err *err)
{
    const struct setting *s = find_setting(key);
    char name[160];
    name_of(name, sizeof name, "options", key);
    for (size_t i = 0; !s && i < sizeof extra / sizeof *extra; i++)
        if (!strcmp(extra[i].name, key)) return read_value(v, name, &extra[i], o, err);
    if (!s) return err_set(err, ERR_ARG, "%s: there is no such option", name);
    if (s->row.at == offsetof(struct fields, bias)) {
        int rc = check_bias(v, name, err);
        if (rc == 0) o->logit_bias = v;
        return rc;
    }
    if (s->row.at == offsetof(struct fields, sampler.seed)) o->has_seed = true;
    return read_value(v, name, &s->row, f, err);
}

static int check_strings(const struct read_strs *l, const char *name, struct err *err)
{
    for (size_t i = 0; i < l->n; i++)
        if (!*l->s[i]) return err_set(err, ERR_ARG, "options.%s: string %zu is empty", name, i + 1);
    return 0;
}

int answer_options_read(struct answer_options *out, const struct json *options, struct err *err)
{
    struct fields f = { .sampler = out->sampler, .max_tokens = -1 };
    const char *key;
    struct json *value;
    void *it = NULL;
    *out = (struct answer_options){ .max_tokens = -1 };
    if (options && json_type(options) != JSON_OBJECT) return wrong_type("options", "an object", err);
    int rc = 0;
    while (rc == 0 && json_next(options, &it, &key, &value))
        if (json_type(value) != JSON_NULL) rc = read_option(out, &f, key, value, err);
    out->sampler = f.sampler;
    out->max_tokens = f.max_tokens;
    out->min_tokens = f.min_tokens;
    out->breakers = f.breakers;
    if (rc == 0 && f.breakers.n) {
        bool none = f.breakers.n == 1 && !strcmp(f.breakers.s[0], "none");
        out->sampler.dry_breakers = out->breakers.s;
        out->sampler.n_dry_breakers = none ? 0 : f.breakers.n;
    }
    if (rc == 0) rc = check_strings(&out->stop, "stop", err);
    return rc == 0 ? check_strings(&out->ban, "ban", err) : rc;
}

void answer_options_release(struct answer_options *o)
{
    read_strs_release(&o->breakers);
    read_strs_release(&o->stop);
    read_strs_release(&o->ban);
}

struct biases { struct hearth_bias *v; size_t n, cap; };

static int add_bias(struct biases *b, int32_t id, float bias, struct err *err)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 16;
        struct hearth_bias *v = mem_resize(b->v, cap, sizeof *v);
        if (!v) return err_set(err, ERR_NOMEM, "out of memory for options.logit_bias");
        b->v = v;
        b->cap = cap;
    }
    b->v[b->n++] = (struct hearth_bias){ id, bias };
    return 0;
}

static int add_text_bias(struct biases *b, const struct hearth_model *m, const struct json *text, float bias, struct err *err)
{
    struct hearth_error e;
    size_t n, n_ids;
    const char *t = json_str(text, &n);
    int32_t *ids;
    int rc = hearth_tokenize(m, t, n, 0, &ids, &n_ids, &e);
    if (rc < 0) return err_set(err, rc, "options.logit_bias: %s", e.message);
    for (size_t i = 0; rc == 0 && i < n_ids; i++) rc = add_bias(b, ids[i], bias, err);
    hearth_free(ids);
    return rc;
}

int answer_options_bias(const struct answer_options *o, const struct hearth_model *m, struct hearth_bias **out, size_t *n,
                        struct err *err)
{
    struct hearth_model_info info;
    struct biases b = { 0 };
    int rc = 0;
    hearth_model_info(m, &info);
    for (size_t i = 0; rc == 0 && i < json_len(o->logit_bias); i++) {
        const struct json *pair = json_at(o->logit_bias, i), *token = json_at(pair, 0), *value = json_at(pair, 1);
        bool number = json_type(value) == JSON_INT || json_type(value) == JSON_REAL;
        float bias = number ? (float)json_num(value) : -INFINITY;
        if (json_type(token) == JSON_STRING) rc = add_text_bias(&b, m, token, bias, err);
        else if (json_int(token) >= (int64_t)info.n_vocab)
            rc = err_set(err, ERR_ARG, "options.logit_bias: pair %zu: there is no token %lld; the model has %u", i + 1,
                         (long long)json_int(token), info.n_vocab);
        else rc = add_bias(&b, (int32_t)json_int(token), bias, err);
    }
    *out = b.v;
    *n = b.n;
    if (rc < 0) mem_free(b.v);
    return rc;
}
