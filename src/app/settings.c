#include "app/settings.h"

#include <string.h>

#include "app/term.h"
#include "store/params.h"

static void set(const struct opt *o, const char *name, const char *value, void *fields, const char *whose)
{
    struct err e;
    if (args_set(o, name, value, fields, &e) < 0 && whose) term_note("hearth: %s: %s; left out", whose, e.msg);
}

static void set_number(const struct opt *o, const struct param *p, const struct json *v, void *fields, const char *whose)
{
    char text[40];
    double d = json_num(v);
    if (p->kind == PARAM_INT)
        fmt_into(text, sizeof text, "%lld", json_type(v) == JSON_INT ? (long long)json_int(v) : (long long)d);
    else fmt_into(text, sizeof text, "%.9g", d);
    if (!strcmp(p->name, "num_predict") && d < 0) strcpy(text, "-1");       /* -2 is "until the context is full": the same here */
    if (!strcmp(p->name, "seed") && d < 0) return;                          /* another one each time */
    if (!strcmp(p->name, "num_ctx") && d <= 0) return;                      /* the model's */
    set(o, p->name, text, fields, whose);
}

void settings_apply(const struct opt_table *t, const struct json *params, void *fields, const char *whose)
{
    const char *key;
    struct json *v;
    for (void *it = NULL; json_next(params, &it, &key, &v);) {
        const struct param *p = param_find(key);
        const struct opt *o = p && *p->option ? args_find(t, p->option, strlen(p->option)) : NULL;
        struct err e;
        if (!o) continue;
        if (param_check(p, v, &e) < 0) {
            if (whose) term_note("hearth: %s: %s; left out", whose, e.msg);
        } else if (p->kind == PARAM_STR)
            set(o, key, json_str(v, NULL), fields, whose);
        else if (p->kind == PARAM_STRS && json_type(v) != JSON_ARRAY)
            set(o, key, json_str(v, NULL), fields, whose);
        else if (p->kind == PARAM_STRS)
            for (size_t i = 0; i < json_len(v); i++) set(o, key, json_str(json_at(v, i), NULL), fields, whose);
        else if (p->kind != PARAM_BOOL)
            set_number(o, p, v, fields, whose);
    }
}

bool settings_seed(const struct json *params)
{
    const struct json *seed = json_get(params, "seed");
    return seed && json_num(seed) >= 0;
}

int settings_parse(struct json **out, const char *text, const char *whose, struct err *err)
{
    *out = NULL;
    int rc = text ? json_parse(out, text, strlen(text), err) : 0;
    if (rc < 0) return err_prefix(err, rc, "the settings of %s: ", whose);
    if (!text) *out = json_new_object();
    else if (json_type(*out) != JSON_OBJECT) rc = err_set(err, ERR_FORMAT, "the settings of %s are no JSON object", whose);
    if (rc == 0 && !*out) rc = err_set(err, ERR_NOMEM, "out of memory for the settings");
    if (rc == 0) return 0;
    json_free(*out);
    *out = NULL;
    return rc;
}
