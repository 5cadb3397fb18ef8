#include "app/dialog.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"

enum { MAX_FILE = 64 << 20 };

static const char *const role_name[] = { "system", "user", "assistant" };

static const char *known_role(const char *s)
{
    for (size_t i = 0; s && i < sizeof role_name / sizeof *role_name; i++)
        if (!strcmp(s, role_name[i])) return role_name[i];
    return NULL;
}

static void free_content(struct hearth_message *m) { mem_free((void *)(uintptr_t)m->content); }

void dialog_release(struct dialog *d)
{
    for (size_t i = 0; i < d->n; i++) free_content(&d->message[i]);
    mem_free(d->message);
    *d = (struct dialog){ 0 };
}

int dialog_add(struct dialog *d, const char *role, const char *content, size_t n, struct err *err)
{
    const char *known = known_role(role);
    if (!known) return err_set(err, ERR_ARG, "\"%.40s\" is no role; system, user and assistant are", role);
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 16;
        struct hearth_message *m = mem_resize(d->message, cap, sizeof *m);
        if (!m) return err_set(err, ERR_NOMEM, "out of memory for the conversation");
        d->message = m;
        d->cap = cap;
    }
    char *copy = mem_strdup(content, n);
    if (!copy) return err_set(err, ERR_NOMEM, "out of memory for the conversation");
    d->message[d->n++] = (struct hearth_message){ known, copy };
    return 0;
}

void dialog_drop_last(struct dialog *d)
{
    if (d->n) free_content(&d->message[--d->n]);
}

const char *dialog_system(const struct dialog *d)
{
    return d->n && d->message[0].role == role_name[0] ? d->message[0].content : NULL;
}

void dialog_clear(struct dialog *d)
{
    while (d->n > (dialog_system(d) ? 1u : 0u)) dialog_drop_last(d);
}

int dialog_set_system(struct dialog *d, const char *content, struct err *err)
{
    bool has = dialog_system(d) != NULL;
    if (!content || !*content) {
        if (!has) return 0;
        free_content(&d->message[0]);
        memmove(d->message, d->message + 1, --d->n * sizeof *d->message);
        return 0;
    }
    int rc = dialog_add(d, "system", content, strlen(content), err);
    if (rc < 0) return rc;
    struct hearth_message m = d->message[d->n - 1];
    if (has) {
        free_content(&d->message[0]);
        d->n--;
    } else
        memmove(d->message + 1, d->message, (d->n - 1) * sizeof *d->message);
    d->message[0] = m;
    return 0;
}

/* ---- files ---- */

static struct json *message_json(const struct hearth_message *m)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "role", json_new_str(m->role, strlen(m->role)));
    ok = json_put(j, "content", json_new_str(m->content, strlen(m->content))) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

int dialog_save(const struct dialog *d, const char *model, const char *path, struct err *err)
{
    struct json *j = json_new_object(), *list = json_new_array();
    bool ok = json_put(j, "hearth_chat", json_new_int(1));
    ok = json_put(j, "model", json_new_str(model, strlen(model))) && ok;
    for (size_t i = 0; i < d->n; i++) ok = json_push(list, message_json(&d->message[i])) && ok;
    ok = json_put(j, "messages", list) && ok;
    struct buf text = { 0 };
    if (ok) json_write(j, true, &text);
    buf_putc(&text, '\n');
    json_free(j);
    struct os_writer *w = NULL;
    int rc = ok && !text.bad ? 0 : err_set(err, ERR_NOMEM, "%s: out of memory, or the text is not UTF-8", path);
    if (rc == 0) rc = os_write_begin(&w, path, err);
    if (rc == 0 && (rc = os_write(w, text.data, text.len, err)) < 0) os_write_abort(w);
    else if (rc == 0) rc = os_write_commit(w, err);
    buf_release(&text);
    return rc;
}

static int take_message(struct dialog *d, const struct json *m, size_t i, const char *path, struct err *err)
{
    size_t n;
    const char *role = known_role(json_str(json_get(m, "role"), NULL)), *text = json_str(json_get(m, "content"), &n);
    if (!role || !text || strlen(text) != n)
        return err_set(err, ERR_FORMAT, "%s: message %zu needs a role (system, user, assistant) and a content", path, i + 1);
    if (role == role_name[0] && i)
        return err_set(err, ERR_FORMAT, "%s: message %zu: only the first may be a system message", path, i + 1);
    return dialog_add(d, role, text, n, err);
}

int dialog_load(struct dialog *d, const char *path, struct err *err)
{
    char *text;
    size_t n;
    struct json *j = NULL;
    struct dialog fresh = { 0 };
    int rc = os_read_file(path, MAX_FILE, &text, &n, err);
    if (rc < 0) return rc;
    if ((rc = json_parse(&j, text, n, err)) < 0) {
        rc = err_prefix(err, rc, "%s: ", path);
        goto done;
    }
    const struct json *list = json_get(j, "messages");
    if (json_int(json_get(j, "hearth_chat")) != 1 || json_type(list) != JSON_ARRAY)
        rc = err_set(err, ERR_FORMAT, "%s: not a chat that /save wrote", path);
    for (size_t i = 0; rc == 0 && i < json_len(list); i++) rc = take_message(&fresh, json_at(list, i), i, path, err);
    if (rc == 0) {
        struct dialog old = *d;
        *d = fresh;
        fresh = old;
    }
done:
    dialog_release(&fresh);
    json_free(j);
    mem_free(text);
    return rc;
}
