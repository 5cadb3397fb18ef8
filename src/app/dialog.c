#include "app/dialog.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"

enum { MAX_FILE = 64 << 20 };

static const char *const role_name[] = { "system", "user", "assistant", "tool" };

static const char *known_role(const char *s)
{
    for (size_t i = 0; s && i < sizeof role_name / sizeof *role_name; i++)
        if (!strcmp(s, role_name[i])) return role_name[i];
    return NULL;
}

static void free_text(const char *s) { mem_free((void *)(uintptr_t)s); }

static void message_free(struct hearth_chat_message *m)
{
    const char *all[] = { m->content, m->reasoning, m->name, m->call_id };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free_text(all[i]);
    for (size_t i = 0; i < m->n_calls; i++) {
        free_text(m->calls[i].id);
        free_text(m->calls[i].name);
        free_text(m->calls[i].arguments);
    }
    mem_free((void *)(uintptr_t)m->calls);
}

void dialog_release(struct dialog *d)
{
    for (size_t i = 0; i < d->n; i++) message_free(&d->message[i]);
    mem_free(d->message);
    *d = (struct dialog){ 0 };
}

static int nomem(struct err *err) { return err_set(err, ERR_NOMEM, "out of memory for the conversation"); }

/* Takes m, also on failure. */
static int push(struct dialog *d, struct hearth_chat_message *m, struct err *err)
{
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 16;
        struct hearth_chat_message *p = mem_resize(d->message, cap, sizeof *p);
        if (!p) {
            message_free(m);
            return nomem(err);
        }
        d->message = p;
        d->cap = cap;
    }
    d->message[d->n++] = *m;
    return 0;
}

int dialog_add(struct dialog *d, const char *role, const char *content, size_t n, struct err *err)
{
    struct hearth_chat_message m = { .role = known_role(role) };
    if (!m.role) return err_set(err, ERR_ARG, "\"%.40s\" is no role; system, user, assistant and tool are", role);
    m.content = mem_strdup(content, n);
    return m.content ? push(d, &m, err) : nomem(err);
}

/* ---- calls ---- */

/* A copy of a JSON string, or of a value as text; *ok turns false when memory ran out. */
static char *text_of(const struct json *v, bool *ok)
{
    size_t n;
    const char *s = json_str(v, &n);
    struct buf b = { 0 };
    if (!s && v) json_write(v, false, &b);
    char *copy = s ? mem_strdup(s, n) : v && !b.bad ? buf_take(&b) : mem_strdup("", 0);
    buf_release(&b);
    *ok = *ok && copy;
    return copy;
}

/* Nine letters and digits, as some templates want them; other for every call of a conversation. */
static char *new_id(const struct dialog *d, size_t i)
{
    char id[24];
    size_t calls = i;
    for (size_t k = 0; k < d->n; k++) calls += d->message[k].n_calls;
    fmt_into(id, sizeof id, "call%05zu", (calls + 1) % 100000);
    return mem_strdup(id, strlen(id));
}

/* list: as the file has them, or flat. */
static bool take_calls(const struct dialog *d, struct hearth_chat_message *m, const struct json *list)
{
    size_t n = json_len(list);
    struct hearth_tool_call *c = n ? mem_new_array(struct hearth_tool_call, n) : NULL;
    bool ok = !n || c;
    m->calls = c;
    for (size_t i = 0; ok && i < n; i++) {
        const struct json *x = json_at(list, i), *f = json_get(x, "function"), *id = json_get(x, "id");
        if (!f) f = x;
        size_t len = 0;
        m->n_calls = i + 1;
        c[i].id = json_str(id, &len) && len ? text_of(id, &ok) : new_id(d, i);
        c[i].name = text_of(json_get(f, "name"), &ok);
        c[i].arguments = text_of(json_get(f, "arguments"), &ok);
        ok = ok && c[i].id;
    }
    return ok;
}

int dialog_add_answer(struct dialog *d, const char *text, size_t n, const char *reasoning, const struct json *calls,
                      struct err *err)
{
    struct hearth_chat_message m = { .role = role_name[2], .content = mem_strdup(text, n) };
    bool ok = m.content != NULL;
    if (reasoning && *reasoning) ok = (m.reasoning = mem_strdup(reasoning, strlen(reasoning))) && ok;
    ok = take_calls(d, &m, calls) && ok;
    if (ok) return push(d, &m, err);
    message_free(&m);
    return nomem(err);
}

/* The last answer when only results follow it. */
static const struct hearth_chat_message *asking(const struct dialog *d, size_t *results)
{
    size_t i = d->n;
    while (i && d->message[i - 1].role == role_name[3]) i--;
    *results = d->n - i;
    return i && d->message[i - 1].n_calls ? &d->message[i - 1] : NULL;
}

size_t dialog_waiting(const struct dialog *d)
{
    size_t results;
    const struct hearth_chat_message *m = asking(d, &results);
    return m && m->n_calls > results ? m->n_calls - results : 0;
}

int dialog_add_result(struct dialog *d, const char *text, size_t n, struct err *err)
{
    size_t results;
    const struct hearth_chat_message *m = asking(d, &results);
    if (!dialog_waiting(d)) return err_set(err, ERR_NOTFOUND, "no call waits for a result");
    const struct hearth_tool_call *c = &m->calls[results];
    struct hearth_chat_message r = { .role = role_name[3], .content = mem_strdup(text, n),
                                     .name = mem_strdup(c->name, strlen(c->name)), .call_id = mem_strdup(c->id, strlen(c->id)) };
    if (r.content && r.name && r.call_id) return push(d, &r, err);
    message_free(&r);
    return nomem(err);
}

void dialog_drop_last(struct dialog *d)
{
    if (d->n) message_free(&d->message[--d->n]);
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
        message_free(&d->message[0]);
        memmove(d->message, d->message + 1, --d->n * sizeof *d->message);
        return 0;
    }
    int rc = dialog_add(d, "system", content, strlen(content), err);
    if (rc < 0) return rc;
    struct hearth_chat_message m = d->message[d->n - 1];
    if (has) {
        message_free(&d->message[0]);
        d->n--;
    } else
        memmove(d->message + 1, d->message, (d->n - 1) * sizeof *d->message);
    d->message[0] = m;
    return 0;
}

/* ---- files ---- */

static bool put_text(struct json *j, const char *key, const char *s)
{
    return !s || json_put(j, key, json_new_str(s, strlen(s)));
}

static bool put_calls(struct json *j, const struct hearth_chat_message *m)
{
    struct json *list = m->n_calls ? json_new_array() : NULL;
    bool ok = !m->n_calls || list;
    for (size_t i = 0; ok && i < m->n_calls; i++) {
        struct json *c = json_new_object(), *f = json_new_object();
        ok = c && f && put_text(c, "id", m->calls[i].id) && put_text(c, "type", "function") &&
             put_text(f, "name", m->calls[i].name) && put_text(f, "arguments", m->calls[i].arguments);
        ok = json_put(c, "function", f) && ok;
        ok = json_push(list, c) && ok;
    }
    return !list || (json_put(j, "tool_calls", list) && ok);
}

static struct json *message_json(const struct hearth_chat_message *m)
{
    struct json *j = json_new_object();
    bool ok = j && put_text(j, "role", m->role) && put_text(j, "content", m->content) &&
              put_text(j, "reasoning_content", m->reasoning) && put_text(j, "name", m->name) &&
              put_text(j, "tool_call_id", m->call_id);
    ok = ok && put_calls(j, m);
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
    if (rc == 0) rc = os_write_begin_private(&w, path, err);
    if (rc == 0 && (rc = os_write(w, text.data, text.len, err)) < 0) os_write_abort(w);
    else if (rc == 0) rc = os_write_commit(w, err);
    buf_release(&text);
    return rc;
}

/* A string of a message without zero bytes, or NULL when there is none. */
static bool good_text(const struct json *m, const char *key, const char **s)
{
    size_t n;
    *s = json_str(json_get(m, key), &n);
    return *s ? strlen(*s) == n : !json_get(m, key);
}

static int take_message(struct dialog *d, const struct json *j, size_t i, const char *path, struct err *err)
{
    const char *text, *why, *name, *id;
    struct hearth_chat_message m = { .role = known_role(json_str(json_get(j, "role"), NULL)) };
    bool good = good_text(j, "content", &text) && good_text(j, "reasoning_content", &why) && good_text(j, "name", &name) &&
                good_text(j, "tool_call_id", &id);
    if (!m.role || !text || !good)
        return err_set(err, ERR_FORMAT, "%s: message %zu needs a role (system, user, assistant, tool) and a content", path,
                       i + 1);
    if (m.role == role_name[0] && i)
        return err_set(err, ERR_FORMAT, "%s: message %zu: only the first may be a system message", path, i + 1);
    bool ok = (m.content = mem_strdup(text, strlen(text))) != NULL;
    if (why) ok = (m.reasoning = mem_strdup(why, strlen(why))) && ok;
    if (name) ok = (m.name = mem_strdup(name, strlen(name))) && ok;
    if (id) ok = (m.call_id = mem_strdup(id, strlen(id))) && ok;
    ok = ok && take_calls(d, &m, json_get(j, "tool_calls"));
    if (ok) return push(d, &m, err);
    message_free(&m);
    return nomem(err);
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
