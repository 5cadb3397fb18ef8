#include "store/params.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/near.h"

static const struct param row[] = {
#define SETTING(stored, name, alias, letter, kind, value, fallback, help, example, field, min, max) \
    { #stored, PARAM_##kind, name },
#define OPTION(name, alias, letter, kind, value, fallback, help, example, field, min, max)
#define PARAM(stored, kind, option) { #stored, PARAM_##kind, option },
#include "base/settings.def"
#undef SETTING
#undef OPTION
#undef PARAM
};
enum { N_ROWS = sizeof row / sizeof *row };

const struct param *param_at(size_t i) { return i < N_ROWS ? &row[i] : NULL; }

const struct param *param_find(const char *name)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (!strcmp(row[i].name, name)) return &row[i];
    return NULL;
}

const struct param *param_of_option(const char *option)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (!strcmp(row[i].option, option)) return &row[i];
    return NULL;
}

static const char *next_name(const void *arg, size_t i)
{
    (void)arg;
    return i < N_ROWS ? row[i].name : NULL;
}

static int unknown(const char *name, struct err *err)
{
    const char *near = near_find(name, next_name, NULL);
    return err_set(err, ERR_ARG, "there is no setting \"%.60s\"%s%s%s", name, near ? "; did you mean " : "", near ? near : "",
                   near ? "?" : "");
}

static bool is_number(const struct json *v) { return json_type(v) == JSON_INT || json_type(v) == JSON_REAL; }

static bool is_whole(const struct json *v)
{
    double d = json_num(v);
    return json_type(v) == JSON_INT || (json_type(v) == JSON_REAL && fabs(d) < 9e15 && (double)(int64_t)d == d);
}

static bool is_text(const struct json *v)
{
    size_t n;
    const char *s = json_str(v, &n);
    return s && strlen(s) == n;
}

static bool are_texts(const struct json *v)
{
    if (json_type(v) != JSON_ARRAY) return is_text(v);
    for (size_t i = 0; i < json_len(v); i++)
        if (!is_text(json_at(v, i))) return false;
    return true;
}

int param_check(const struct param *p, const struct json *v, struct err *err)
{
    static const char *const needs[] = { "a number", "a whole number", "true or false", "a text", "a text or several" };
    bool good = p->kind == PARAM_NUM ? is_number(v) : p->kind == PARAM_INT ? is_whole(v) : p->kind == PARAM_BOOL
                ? json_type(v) == JSON_BOOL : p->kind == PARAM_STR ? is_text(v) : are_texts(v);
    return good ? 0 : err_set(err, ERR_ARG, "the setting %s needs %s", p->name, needs[p->kind]);
}

int params_check(const struct json *object, struct err *err)
{
    const char *key;
    struct json *v;
    int rc = json_type(object) == JSON_OBJECT ? 0 : err_set(err, ERR_ARG, "the settings are no JSON object");
    for (void *it = NULL; rc == 0 && json_next(object, &it, &key, &v);) {
        const struct param *p = param_find(key);
        rc = p ? param_check(p, v, err) : unknown(key, err);
    }
    return rc;
}

/* The text as a value of the kind, or NULL. */
static struct json *value_of(enum param_kind kind, const char *text)
{
    char *end;
    if (kind == PARAM_BOOL) {
        bool yes = !strcmp(text, "true") || !strcmp(text, "1"), no = !strcmp(text, "false") || !strcmp(text, "0");
        return yes || no ? json_new_bool(yes) : NULL;
    }
    if (kind == PARAM_STR || kind == PARAM_STRS) return json_new_str(text, strlen(text));
    if (kind == PARAM_INT) {
        long long v = strtoll(text, &end, 10);
        return end == text || *end || v == LLONG_MAX || v == LLONG_MIN ? NULL : json_new_int(v);
    }
    double v = strtod(text, &end);
    return end == text || *end || !isfinite(v) ? NULL : json_new_real(v);
}

int params_add(struct json *object, const char *name, const char *text, struct err *err)
{
    const struct param *p = param_find(name);
    if (!p) return unknown(name, err);
    struct json *v = value_of(p->kind, text);
    if (!v) {
        static const char *const needs[] = { "a number", "a whole number", "true or false", "UTF-8", "UTF-8" };
        return err_set(err, ERR_ARG, "the setting %s needs %s, not \"%.60s\"", name, needs[p->kind], text);
    }
    bool ok;
    if (p->kind == PARAM_STRS) {
        struct json *list = json_get(object, name);
        if (list) ok = json_push(list, v);
        else {
            list = json_new_array();
            ok = json_push(list, v) && json_put(object, name, json_share(list));
            json_free(list);
        }
    } else
        ok = json_put(object, name, v);
    return ok ? 0 : err_set(err, ERR_NOMEM, "out of memory for the settings");
}
