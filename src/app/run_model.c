#include "app/run_model.h"

#include <string.h>

#include "app/pulling.h"
#include "app/settings.h"
#include "app/term.h"
#include "base/os.h"
#include "text/template.h"

void run_model_release(struct run_model *m)
{
    parts_release(&m->parts);
    preset_release(&m->preset);
    json_free(m->params);
    m->params = NULL;
}

/* ---- finding, fetching ---- */

static int fetch(struct store *s, const char *operand, bool yes, struct found_list *l, struct name *kept, struct err *err)
{
    struct pulling p = { .yes = yes };
    struct err why;
    const char *near = store_nearest(l, operand);
    term_note("hearth: %s is not on this machine; fetching it", operand);
    (void)s;
    int rc = pulling(&p, operand, kept, &why);
    if (rc == 0 || rc == ERR_CANCELLED) return rc;
    return err_set(err, rc, "\"%.100s\": no model of that name is on this machine, and it was not fetched: %.300s%s%.60s%s",
                   operand,
                   why.msg, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int find(struct store *s, const char *operand, const struct run_get *how, struct found_list *l, size_t *at,
                char path[STORE_PATH], struct err *err)
{
    struct name n, kept;
    struct buf again = { 0 };
    int rc = store_lookup(s, operand, l, at, path, err);
    if (rc != ERR_NOTFOUND || how->offline || name_parse(&n, operand, NULL) < 0 || n.kind == NAME_PATH) return rc;
    if (*at != SIZE_MAX && !l->v[*at].ours) return rc;           /* incomplete, but not ours to complete */
    if ((rc = fetch(s, operand, how->yes, l, &kept, err)) < 0) return rc;
    found_release(l);
    name_put_short(&kept, &again);
    rc = again.bad ? err_set(err, ERR_NOMEM, "out of memory") : store_lookup(s, again.data, l, at, path, err);
    buf_release(&again);
    return rc;
}

/* The preset that was named, else that of the model. */
static int take_preset(struct run_model *m, struct store *s, const char *model, const char *wanted, struct err *err)
{
    char name[PRESET_NAME + 1] = "";
    if (wanted && !strcmp(wanted, "none")) return 0;
    int rc = wanted ? 0 : preset_default(s, model, name, err);
    if (rc < 0 || (!wanted && !*name)) return rc;
    struct err why;
    rc = preset_load(s, wanted ? wanted : name, &m->preset, &why);
    if (rc == ERR_NOTFOUND && !wanted) {
        term_note("hearth: %s has the preset %s, which is not there any more; left out", model, name);
        return 0;
    }
    return rc < 0 ? err_set(err, rc, "%s", why.msg) : 0;
}

/* Presets are for all models, also those that have no name. */
static int from_path(struct run_model *m, const char *path, const struct run_get *how, struct err *err)
{
    struct store s;
    int rc = settings_parse(&m->params, NULL, path, err);
    fmt_into(m->path, STORE_PATH, "%s", path);
    if (rc < 0) return rc;
    if ((rc = store_open(&s, err)) < 0) return how->preset ? rc : 0;        /* no place for presets: there are none */
    rc = take_preset(m, &s, path, how->preset, err);
    store_close(&s);
    return rc;
}

int run_model_embedded(struct run_model *m, const struct run_get *how, struct err *err)
{
    *m = (struct run_model){ .params = NULL };
    return from_path(m, "spark", how, err);
}

int run_model_get(struct run_model *m, const char *operand, const struct run_get *how, struct err *err)
{
    struct store s;
    struct found_list l = { 0 };
    size_t at = SIZE_MAX;
    *m = (struct run_model){ .params = NULL };
    if (strlen(operand) < STORE_PATH && os_file_exists(operand)) return from_path(m, operand, how, err);
    int rc = store_open(&s, err);
    if (rc < 0) return rc;
    rc = find(&s, operand, how, &l, &at, m->path, err);
    if (rc == 0 && at != SIZE_MAX) rc = store_parts(&l.v[at], &m->parts, err);
    if (rc == 0) rc = settings_parse(&m->params, m->parts.params, operand, err);
    if (rc == 0) rc = take_preset(m, &s, at == SIZE_MAX ? m->path : l.v[at].name, how->preset, err);
    found_release(&l);
    store_close(&s);
    return rc;
}

/* ---- what it brings ---- */

void run_model_template(const struct run_model *m, struct hearth_model_options *o)
{
    const char *t = m->parts.template;
    bool first = t && (m->parts.own_template || !template_is_go(t, strlen(t)));
    if (t && *t) *(first ? &o->chat_template : &o->spare_template) = t;
}

int run_model_begin(const struct run_model *m, struct dialog *d, struct err *err)
{
    struct json *list = NULL;
    const char *text = m->parts.messages;
    int rc = m->parts.system && *m->parts.system ? dialog_set_system(d, m->parts.system, err) : 0;
    if (rc == 0 && text) rc = json_parse(&list, text, strlen(text), err);
    for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
        const struct json *j = json_at(list, i);
        size_t n;
        const char *role = json_str(json_get(j, "role"), NULL), *content = json_str(json_get(j, "content"), &n);
        if (!role || !content || strlen(content) != n)
            rc = err_set(err, ERR_FORMAT, "message %zu has no role and content", i + 1);
        else if (!strcmp(role, "system")) rc = dialog_set_system(d, content, err);
        else rc = dialog_add(d, role, content, n, err);
    }
    json_free(list);
    if (rc == 0 && m->preset.system) return dialog_set_system(d, m->preset.system, err);
    return rc < 0 ? err_prefix(err, rc, "the messages of the model: ") : 0;
}
