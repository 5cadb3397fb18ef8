#include "server/brings.h"

#include <string.h>

#include "base/utf8.h"
#include "server/api_options.h"
#include "server/api_put.h"
#include "store/params.h"
#include "text/template.h"

enum { MOST_VALUES = 1 << 18 };        /* of a part, as json_parse_most counts */

static int nomem(struct err *err) { return err_set(err, ERR_NOMEM, "out of memory for what came with the model"); }

/* ---- reading ---- */

static int put_text(struct json *o, const char *key, const char *s, const char *what, struct err *err)
{
    if (!s || !*s) return 0;
    if (!utf8_valid(s, strlen(s))) return err_set(err, ERR_FORMAT, "its %s is no UTF-8", what);
    return api_set_str(o, key, s) ? 0 : nomem(err);
}

/* By the same rule as hearth run. */
static int put_template(const struct parts *p, struct json *all, struct err *err)
{
    const char *t = p->template;
    bool first = t && (p->own_template || !template_is_go(t, strlen(t)));
    struct json *load = t && *t ? api_object(all, "load") : NULL;
    if (!t || !*t) return 0;
    return load ? put_text(load, first ? "chat_template" : "spare_template", t, "chat template", err) : nomem(err);
}

static int put_adapters(const struct parts *p, struct json *all, struct err *err)
{
    if (!p->n_adapter) return 0;
    struct json *list = json_new_array(), *load = api_object(all, "load");
    int rc = list && load ? 0 : nomem(err);
    for (size_t i = 0; rc == 0 && i < p->n_adapter; i++) {
        struct json *a = json_new_object();
        rc = a ? put_text(a, "path", p->adapter[i], "adapter's path", err) : nomem(err);
        if (!json_push(list, a) && rc == 0) rc = nomem(err);
    }
    if (rc < 0 || !load) {
        json_free(list);
        return rc;
    }
    return json_put(load, "adapters", list) ? 0 : nomem(err);
}

/* As a request that says only this: the same names, ranges and keys. */
static int put_setting(const struct param *p, const struct json *v, struct json *all, struct err *err)
{
    struct json *body = json_new_object();
    int rc = param_check(p, v, err);
    if (rc == 0 && !strcmp(p->name, "num_ctx") && json_num(v) <= 0) rc = 1;          /* the model's */
    if (rc == 0 && !strcmp(p->name, "rope_frequency_base")) {                         /* no request has it */
        double d = json_num(v);
        rc = d < 1 || d > 1e12 ? err_set(err, ERR_ARG, "%s is %g, but must be between 1 and 1e12", p->name, d)
             : api_object(all, "load") && api_set_real(api_object(all, "load"), "rope_freq_base", d) ? 1 : nomem(err);
    }
    if (rc == 0) {
        struct json *options = body ? api_object(body, "options") : NULL;
        rc = options && api_set_copy(options, p->name, v) ? api_options(body, all, err) : nomem(err);
    }
    json_free(body);
    return rc < 0 ? rc : 0;
}

static int put_settings(const struct json *settings, struct json *all, struct buf *left_out, struct err *err)
{
    const char *key;
    struct json *v;
    for (void *it = NULL; json_next(settings, &it, &key, &v);) {
        const struct param *p = param_find(key);
        struct err e;
        int rc = p ? put_setting(p, v, all, &e) : 0;
        if (rc == ERR_NOMEM) return nomem(err);
        if (rc < 0) buf_printf(left_out, "%s%s", left_out->len ? "; " : "", e.msg);
    }
    return 0;
}

static int put_params(const struct parts *p, struct json *all, struct buf *left_out, struct err *err)
{
    struct json *j;
    if (!p->params) return 0;
    int rc = json_parse_most(&j, p->params, strlen(p->params), MOST_VALUES, err);
    if (rc < 0) return err_prefix(err, rc, "its settings: ");
    rc = json_type(j) == JSON_OBJECT ? put_settings(j, all, left_out, err)
                                     : err_set(err, ERR_FORMAT, "its settings are no JSON object");
    json_free(j);
    return rc;
}

static int put_message(const struct json *m, size_t i, struct json *list, struct json *all, struct err *err)
{
    static const char *const role[] = { "system", "user", "assistant", "tool" };
    size_t k = 0, n = 0;
    const char *content = json_str(json_get(m, "content"), &n);
    while (k < 4 && !api_is(json_get(m, "role"), role[k])) k++;
    if (k == 4 || !content || strlen(content) != n)
        return err_set(err, ERR_FORMAT, "its message %zu has no role and content", i + 1);
    if (k == 0) return api_set_copy(all, "system", json_get(m, "content")) ? 0 : nomem(err);
    struct json *out = json_new_object();
    bool ok = out && api_set_str(out, "role", role[k]) && api_set_copy(out, "content", json_get(m, "content"));
    return json_push(list, out) && ok ? 0 : nomem(err);
}

/* Beside what a message says of the system there is none. */
static int put_messages(const struct parts *p, struct json *all, struct err *err)
{
    struct json *j, *list = json_new_array();
    int rc = p->messages ? json_parse_most(&j, p->messages, strlen(p->messages), MOST_VALUES, err) : 0;
    if (rc < 0) err_prefix(err, rc, "its messages: ");
    if (rc == 0 && p->messages) {
        if (!list) rc = nomem(err);
        if (rc == 0 && json_type(j) != JSON_ARRAY) rc = err_set(err, ERR_FORMAT, "its messages are no JSON array");
        for (size_t i = 0; rc == 0 && i < json_len(j); i++) rc = put_message(json_at(j, i), i, list, all, err);
        json_free(j);
    }
    if (rc == 0 && json_len(list) && !api_set_copy(all, "messages", list)) rc = nomem(err);
    json_free(list);
    return rc;
}

int brings_read(const struct parts *p, const struct preset *preset, struct buf *out, struct buf *left_out, struct err *err)
{
    struct json *all = json_new_object();
    size_t before = out->len;
    int rc = all ? put_template(p, all, err) : nomem(err);
    if (rc == 0) rc = put_adapters(p, all, err);
    if (rc == 0) rc = put_params(p, all, left_out, err);
    if (rc == 0) rc = put_settings(preset->settings, all, left_out, err);
    if (rc == 0) rc = put_text(all, "system", p->system, "system prompt", err);
    if (rc == 0) rc = put_messages(p, all, err);
    if (rc == 0) rc = put_text(all, "system", preset->system, "preset's system prompt", err);
    if (rc == 0) json_write(all, false, out);
    json_free(all);
    if (rc == 0 && out->bad) rc = nomem(err);
    if (rc == 0 && out->len - before > BRINGS_MOST)
        rc = err_set(err, ERR_LIMIT, "%zu bytes of texts came with it, but at most %d are taken", out->len - before,
                     (int)BRINGS_MOST);
    return rc;
}

/* ---- putting ---- */

/* The members that the job's object has not. */
static bool add(struct json *job, const char *key, const struct json *from)
{
    const char *name;
    struct json *v, *to = json_get(job, key);
    if (!json_len(from)) return true;
    if (json_type(to) != JSON_OBJECT && !json_put(job, key, to = json_new_object())) return false;
    for (void *it = NULL; json_next(from, &it, &name, &v);)
        if (!json_get(to, name) && !json_put(to, name, json_share(v))) return false;
    return true;
}

static bool is_system(const struct json *m)
{
    const struct json *role = json_get(m, "role");
    return api_is(role, "system") || api_is(role, "developer");
}

/* The list may be the request's own: another one takes its place. */
static bool add_messages(struct json *job, const struct json *system, const struct json *first)
{
    const struct json *old = json_get(job, "messages");
    size_t n = json_len(old), lead = 0, i = 0;
    if (json_type(old) != JSON_ARRAY) return true;
    while (lead < n && is_system(json_at(old, lead))) lead++;
    for (size_t k = 0; k < n; k++)
        if (is_system(json_at(old, k))) system = NULL;
    if (!system && !first) return true;
    struct json *list = json_new_array();
    bool ok = list != NULL;
    if (ok && system) {
        struct json *m = json_new_object();
        ok = m && api_set_str(m, "role", "system") && api_set_copy(m, "content", system);
        ok = json_push(list, m) && ok;
    }
    for (; ok && i < lead; i++) ok = json_push(list, json_share(json_at(old, i)));
    for (size_t k = 0; ok && k < json_len(first); k++) ok = json_push(list, json_share(json_at(first, k)));
    for (; ok && i < n; i++) ok = json_push(list, json_share(json_at(old, i)));
    return json_put(job, "messages", list) && ok;
}

int brings_put(const struct buf *text, struct json *job, struct err *err)
{
    struct json *j;
    int rc = json_parse(&j, text->data ? text->data : "", text->len, err);
    if (rc < 0) return rc;
    bool ok = add(job, "load", json_get(j, "load"));
    if (ok && api_is(json_get(job, "op"), "generate")) ok = add(job, "options", json_get(j, "options"));
    ok = ok && add_messages(job, json_get(j, "system"), json_get(j, "messages"));
    json_free(j);
    return ok ? 0 : nomem(err);
}
