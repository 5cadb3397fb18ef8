#include "text/chat_caps.h"

#include <string.h>

#include "base/buf.h"

/* ---- probes ---- */

#define USER "{\"role\":\"user\",\"content\":\"ndl-user\"}"
#define CALL(args) "\"tool_calls\":[{\"id\":\"abcdefghi\",\"type\":\"function\",\"function\":{\"name\":\"ndl_call\"," \
                   "\"arguments\":" args "}}]"
#define ASSISTANT(content, more) "{\"role\":\"assistant\",\"content\":" content "," more "}"
#define RESULT "{\"role\":\"tool\",\"name\":\"ndl_call\",\"tool_call_id\":\"abcdefghi\",\"content\":\"ndl-result\"}"
#define OBJECT "{\"ndl_arg\":\"ndl-value\"}"
#define TEXT "\"{\\\"ndl_arg\\\":\\\"ndl-value\\\"}\""
#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"ndl_call\",\"description\":\"ndl-description\",\"parameters\":" \
              "{\"type\":\"object\",\"properties\":{\"ndl_arg\":{\"type\":\"string\",\"description\":\"x\"}}," \
              "\"required\":[\"ndl_arg\"]}}}]"

/* Renders the messages; false when the template refuses them. */
static bool render(const struct template *tp, const char *messages, const char *tools, struct buf *out)
{
    struct buf text = { 0 };
    struct json *vars = NULL;
    struct template_limits lim = { .steps = 200000, .now = 1 };
    buf_clear(out);
    buf_printf(&text, "{\"messages\":[%s],\"tools\":%s,\"documents\":null,\"bos_token\":\"\",\"eos_token\":\"\","
                      "\"add_generation_prompt\":false}", messages, tools ? tools : "null");
    bool ok = !text.bad && json_parse(&vars, text.data, text.len, NULL) == 0 && template_render(tp, vars, &lim, out, NULL) == 0;
    json_free(vars);
    buf_release(&text);
    if (!ok) buf_clear(out);
    return ok;
}

struct probe { const struct template *tp; struct buf *shown; };

/* Whether the text of the messages comes out, and `unwanted` (or NULL) does not. */
static bool shows(struct probe *p, const char *messages, const char *tools, const char *want, const char *unwanted)
{
    struct buf out = { 0 };
    bool ok = render(p->tp, messages, tools, &out) && out.data && strstr(out.data, want) &&
              (!unwanted || !strstr(out.data, unwanted));
    if (ok && p->shown) buf_put(p->shown, out.data, out.len);
    buf_release(&out);
    return ok;
}

static void probe_calls(struct probe *p, struct chat_caps *c)
{
    static const struct { const char *call, *both; bool text, null; } way[] = {
        { USER "," ASSISTANT("\"\"", CALL(OBJECT)), USER "," ASSISTANT("\"\"", CALL(OBJECT)) "," RESULT, false, false },
        { USER "," ASSISTANT("null", CALL(OBJECT)), USER "," ASSISTANT("null", CALL(OBJECT)) "," RESULT, false, true },
        { USER "," ASSISTANT("\"\"", CALL(TEXT)), USER "," ASSISTANT("\"\"", CALL(TEXT)) "," RESULT, true, false },
        { USER "," ASSISTANT("null", CALL(TEXT)), USER "," ASSISTANT("null", CALL(TEXT)) "," RESULT, true, true },
    };
    for (size_t i = 0; i < sizeof way / sizeof *way && !c->calls; i++) {
        /* 'ndl_arg' is an object printed as Python does; \" is text that was quoted once more */
        const char *wrong = way[i].text ? "\\\"ndl_arg" : "'ndl_arg'";
        bool alone = shows(p, way[i].call, TOOLS, "ndl-value", wrong), both = shows(p, way[i].both, TOOLS, "ndl-value", wrong);
        if (!alone && !both) continue;
        c->calls = true;
        c->text_args = way[i].text;
        c->null_content = way[i].null;
        c->results = shows(p, way[i].both, TOOLS, "ndl-result", NULL);
    }
}

static void probe_reasoning(struct probe *p, struct chat_caps *c)
{
    static const struct { const char *message; enum caps_reasoning name; } way[] = {
        { ASSISTANT("\"a\"", "\"reasoning_content\":\"ndl-why\""), REASONING_CONTENT },
        { ASSISTANT("\"a\"", "\"thinking\":\"ndl-why\""), REASONING_THINKING },
        { ASSISTANT("\"a\"", "\"reasoning\":\"ndl-why\""), REASONING_PLAIN },
        { ASSISTANT("[{\"type\":\"thinking\",\"thinking\":\"ndl-why\"},{\"type\":\"text\",\"text\":\"a\"}]", "\"n\":0"),
          REASONING_PARTS },
        { ASSISTANT("\"\"", "\"thinking\":\"ndl-why\"," CALL(OBJECT)), REASONING_THINKING },
        { ASSISTANT("\"\"", "\"reasoning_content\":\"ndl-why\"," CALL(OBJECT)), REASONING_CONTENT },
    };
    for (size_t i = 0; i < sizeof way / sizeof *way && !c->reasoning; i++) {
        struct buf m = { 0 };
        buf_printf(&m, USER ",%s", way[i].message);
        if (!m.bad && shows(p, m.data, i > 3 ? TOOLS : NULL, "ndl-why", "'thinking'")) c->reasoning = (uint8_t)way[i].name;
        buf_release(&m);
    }
}

void chat_caps(const struct template *tp, struct chat_caps *c, struct buf *shown)
{
    struct probe quiet = { tp, NULL }, loud = { tp, shown };
#define PARTS "[{\"type\":\"text\",\"text\":\"ndl-part\"}]"
    *c = (struct chat_caps){ 0 };
    c->strings = shows(&quiet, USER, NULL, "ndl-user", NULL);
    c->parts = shows(&quiet, "{\"role\":\"user\",\"content\":" PARTS "}", NULL, "ndl-part", "type");
    if (!c->strings && !c->parts) c->strings = true;
    c->system = shows(&quiet, "{\"role\":\"system\",\"content\":\"ndl-system\"}," USER, NULL, "ndl-system", NULL);
    c->developer = shows(&quiet, "{\"role\":\"developer\",\"content\":\"ndl-developer\"}," USER, NULL, "ndl-developer", NULL);
    c->tools = shows(&quiet, USER, TOOLS, "ndl_call", NULL) ||
               shows(&quiet, "{\"role\":\"system\",\"content\":\"s\"}," USER, TOOLS, "ndl_call", NULL);
    probe_calls(&loud, c);
    if (!c->results) c->results = shows(&quiet, USER "," ASSISTANT("\"a\"", "\"n\":0") "," RESULT, TOOLS, "ndl-result", NULL);
    probe_reasoning(&loud, c);
}

/* ---- messages ---- */

struct norm {
    const struct chat_caps *caps;
    bool generic, generic_results;     /* calls and results are written out in the text */
    struct json *list;             /* the new messages */
    struct buf waiting;            /* system text that goes before the next user's */
    struct err *err;
};

static int nomem(struct norm *s) { return err_set(s->err, ERR_NOMEM, "out of memory for the messages"); }

static bool is(const struct json *v, const char *what)
{
    const char *s = json_str(v, NULL);
    return s && strcmp(s, what) == 0;
}

/* Appends the text of a message's content; *has says whether there is any content at all. */
static int content_text(struct norm *s, size_t i, const struct json *content, struct buf *out, bool *has)
{
    size_t n;
    const char *text = json_str(content, &n);
    *has = json_type(content) != JSON_NULL;
    if (text) {
        buf_put(out, text, n);
        return 0;
    }
    if (!*has) return 0;
    if (json_type(content) != JSON_ARRAY) {
        json_write(content, false, out);             /* a tool may give back any JSON */
        return 0;
    }
    for (size_t k = 0, texts = 0; k < json_len(content); k++) {
        const struct json *part = json_at(content, k), *type = json_get(part, "type");
        text = json_str(json_get(part, "text"), &n);
        if (!text && is(type, "refusal")) text = json_str(json_get(part, "refusal"), &n);
        if (is(type, "thinking") || is(type, "reasoning")) continue;        /* read elsewhere */
        if (text && (!type || is(type, "text") || is(type, "input_text") || is(type, "output_text") || is(type, "refusal"))) {
            if (texts++) buf_putc(out, '\n');
            buf_put(out, text, n);
            continue;
        }
        const char *what = json_str(type, NULL);
        if (!what) return err_set(s->err, ERR_ARG, "message %zu: part %zu of its content has no type", i + 1, k + 1);
        return err_set(s->err, ERR_UNSUPPORTED, "message %zu: a part of type %.40s, and this model takes text only",
                       i + 1, what);
    }
    return 0;
}

static struct json *text_value(const struct norm *s, const struct buf *b)
{
    struct json *text = json_new_str(b->data ? b->data : "", b->len);
    if (s->caps->strings) return text;
    struct json *part = json_new_object(), *list = json_new_array();
    bool ok = part && list && json_put(part, "type", json_new_str("text", 4));
    ok = json_put(part, "text", text) && ok;
    ok = json_push(list, part) && ok;
    if (ok) return list;
    json_free(list);
    return NULL;
}

static struct json *new_message(const struct json *from, const char *role)
{
    static const char *const kept[] = { "name", "tool_call_id" };
    struct json *m = json_new_object();
    bool ok = m && json_put(m, "role", json_new_str(role, strlen(role)));
    for (size_t i = 0; ok && i < sizeof kept / sizeof *kept; i++)
        if (json_str(json_get(from, kept[i]), NULL)) ok = json_put(m, kept[i], json_share(json_get(from, kept[i])));
    if (ok) return m;
    json_free(m);
    return NULL;
}

static int push_text(struct norm *s, const struct json *from, const char *role, const struct buf *text)
{
    struct json *m = new_message(from, role);
    bool ok = m && !text->bad && json_put(m, "content", text_value(s, text));
    return json_push(s->list, m) && ok ? 0 : nomem(s);
}

/* Arguments as the template wants them: text that is no JSON stays text. */
static struct json *arguments(const struct norm *s, const struct json *a)
{
    size_t n;
    const char *text = json_str(a, &n);
    struct json *v = NULL;
    if (s->caps->text_args && !text) {
        struct buf b = { 0 };
        json_write(a, false, &b);
        if (!b.bad && a) v = json_new_str(b.data, b.len);
        else v = json_new_str("{}", 2);
        buf_release(&b);
        return v;
    }
    if (s->caps->text_args || !text) return a && json_type(a) != JSON_NULL ? json_share(a) : json_new_object();
    if (!n) return json_new_object();
    return json_parse(&v, text, n, NULL) == 0 ? v : json_share(a);
}

static int put_calls(struct norm *s, size_t i, const struct json *calls, struct json *m)
{
    struct json *list = json_new_array();
    for (size_t k = 0; list && k < json_len(calls); k++) {
        const struct json *c = json_at(calls, k), *f = json_get(c, "function");
        if (!f) f = c;
        if (!json_str(json_get(f, "name"), NULL)) {
            json_free(list);
            return err_set(s->err, ERR_ARG, "message %zu: tool call %zu has no name", i + 1, k + 1);
        }
        struct json *out = json_new_object(), *fn = json_new_object(), *id = json_get(c, "id");
        bool ok = out && fn && json_put(out, "type", json_new_str("function", 8));
        if (ok && json_str(id, NULL)) ok = json_put(out, "id", json_share(id));
        ok = ok && json_put(fn, "name", json_share(json_get(f, "name"))) &&
             json_put(fn, "arguments", arguments(s, json_get(f, "arguments")));
        ok = json_put(out, "function", fn) && ok;
        ok = json_push(list, out) && ok;
        if (!ok) {
            json_free(list);
            return nomem(s);
        }
    }
    return list && json_put(m, "tool_calls", list) ? 0 : nomem(s);
}

/* Calls written out in the answer, for templates that know none. */
static void write_calls(const struct json *calls, struct buf *out)
{
    for (size_t k = 0; k < json_len(calls); k++) {
        const struct json *c = json_at(calls, k), *f = json_get(c, "function"), *a;
        size_t n;
        if (!f) f = c;
        const char *name = json_str(json_get(f, "name"), &n);
        if (out->len) buf_putc(out, '\n');
        buf_puts(out, "<tool_call>\n{\"name\": ");
        json_write_str(name ? name : "", name ? n : 0, out);
        buf_puts(out, ", \"arguments\": ");
        a = json_get(f, "arguments");
        const char *text = json_str(a, &n);
        if (text) buf_put(out, text, n);
        else if (a) json_write(a, false, out);
        else buf_puts(out, "{}");
        buf_puts(out, "}\n</tool_call>");
    }
}

static void find_reasoning(const struct json *m, struct buf *out)
{
    static const char *const name[] = { "reasoning_content", "reasoning", "thinking" };
    size_t n;
    for (size_t i = 0; i < 3 && !out->len; i++) {
        const char *text = json_str(json_get(m, name[i]), &n);
        if (text) buf_put(out, text, n);
    }
    const struct json *parts = json_get(m, "content");
    for (size_t k = 0; json_type(parts) == JSON_ARRAY && !out->len && k < json_len(parts); k++) {
        const char *text = json_str(json_get(json_at(parts, k), "thinking"), &n);
        if (text) buf_put(out, text, n);
    }
}

static bool put_reasoning(const struct norm *s, struct json *m, const struct buf *why, const struct buf *content, bool calls)
{
    static const char *const name[] = { NULL, "reasoning_content", "reasoning", "thinking", NULL };
    struct json *text = json_new_str(why->data, why->len), *list, *part, *rest;
    if (s->caps->reasoning == REASONING_THINKING && calls && content->len) {      /* not both, where this name is read */
        json_free(text);
        return true;
    }
    if (s->caps->reasoning != REASONING_PARTS) return json_put(m, name[s->caps->reasoning], text);
    list = json_new_array();
    part = json_new_object();
    rest = json_new_object();
    bool ok = list && part && json_put(part, "type", json_new_str("thinking", 8));
    ok = json_put(part, "thinking", text) && ok;
    ok = json_push(list, part) && ok;
    ok = ok && rest && json_put(rest, "type", json_new_str("text", 4)) &&
         json_put(rest, "text", json_new_str(content->data ? content->data : "", content->len));
    ok = json_push(list, rest) && ok;
    return json_put(m, "content", list) && ok;
}

static int assistant(struct norm *s, size_t i, const struct json *m)
{
    struct buf text = { 0 }, why = { 0 };
    bool has;
    const struct json *calls = json_get(m, "tool_calls");
    bool n_calls = json_type(calls) == JSON_ARRAY && json_len(calls) > 0;
    int rc = content_text(s, i, json_get(m, "content"), &text, &has);
    struct json *out = rc == 0 ? new_message(m, "assistant") : NULL;
    if (rc == 0 && n_calls && s->generic) write_calls(calls, &text);
    if (rc == 0) {
        bool null = n_calls && !s->generic && !text.len && s->caps->null_content;
        if (!out || text.bad || !json_put(out, "content", null ? json_new_null() : text_value(s, &text))) rc = nomem(s);
    }
    if (rc == 0 && n_calls && !s->generic) rc = put_calls(s, i, calls, out);
    find_reasoning(m, &why);
    if (rc == 0 && why.len && s->caps->reasoning && !put_reasoning(s, out, &why, &text, n_calls)) rc = nomem(s);
    buf_release(&text);
    buf_release(&why);
    if (rc == 0) return json_push(s->list, out) ? 0 : nomem(s);
    json_free(out);
    return rc;
}

/* A system text where the template has no place for one waits for the next user's. */
static int system_text(struct norm *s, const struct json *m, const char *role, const struct buf *text)
{
    bool developer = strcmp(role, "developer") == 0;
    if (developer && s->caps->developer) return push_text(s, m, role, text);
    if (s->caps->system) return push_text(s, m, "system", text);
    if (s->waiting.len) buf_puts(&s->waiting, "\n\n");
    buf_put(&s->waiting, text->data ? text->data : "", text->len);
    return s->waiting.bad ? nomem(s) : 0;
}

static int user_text(struct norm *s, const struct json *m, const struct buf *text)
{
    if (!s->waiting.len) return push_text(s, m, "user", text);
    if (text->len) buf_puts(&s->waiting, "\n\n");
    buf_put(&s->waiting, text->data ? text->data : "", text->len);
    int rc = push_text(s, m, "user", &s->waiting);
    buf_clear(&s->waiting);
    return rc;
}

static int tool_text(struct norm *s, const struct json *m, const struct buf *text)
{
    if (!s->generic_results) return push_text(s, m, "tool", text);
    struct buf b = { 0 };
    buf_puts(&b, "<tool_response>\n");
    buf_put(&b, text->data ? text->data : "", text->len);
    buf_puts(&b, "\n</tool_response>");
    int rc = b.bad ? nomem(s) : push_text(s, NULL, "user", &b);
    buf_release(&b);
    return rc;
}

static int one_message(struct norm *s, size_t i, const struct json *m)
{
    const char *role = json_str(json_get(m, "role"), NULL);
    if (!role) return err_set(s->err, ERR_ARG, "message %zu has no role", i + 1);
    if (strcmp(role, "assistant") == 0 || strcmp(role, "model") == 0) return assistant(s, i, m);
    struct buf text = { 0 };
    bool has;
    int rc = content_text(s, i, json_get(m, "content"), &text, &has);
    if (rc == 0 && (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0)) rc = system_text(s, m, role, &text);
    else if (rc == 0 && strcmp(role, "user") == 0) rc = user_text(s, m, &text);
    else if (rc == 0 && (strcmp(role, "tool") == 0 || strcmp(role, "function") == 0)) rc = tool_text(s, m, &text);
    else if (rc == 0) rc = push_text(s, m, role, &text);
    buf_release(&text);
    return rc;
}

/* The tools in words, for a template that cannot show them. */
static int describe_tools(struct norm *s, const struct json *tools)
{
    struct buf b = { 0 };
    buf_puts(&b, "You can call functions. These are their signatures, as JSON, one a line:\n<tools>\n");
    for (size_t i = 0; i < json_len(tools); i++) {
        json_write(json_at(tools, i), false, &b);
        buf_putc(&b, '\n');
    }
    buf_puts(&b, "</tools>\nTo call one, write a JSON object with its name and arguments between these tags:\n<tool_call>\n"
                 "{\"name\": \"the name\", \"arguments\": {}}\n</tool_call>");
    int rc = b.bad ? nomem(s) : system_text(s, NULL, "system", &b);
    buf_release(&b);
    return rc;
}

/* The description joins the system message that comes first. */
static int join_first(struct norm *s, const struct json *messages, size_t *used)
{
    const struct json *first = json_at(messages, 0);
    *used = 0;
    if (!s->caps->system || !is(json_get(first, "role"), "system") || !json_len(s->list)) return 0;
    struct buf b = { 0 };
    bool has;
    size_t n;
    int rc = content_text(s, 0, json_get(first, "content"), &b, &has);
    const struct json *old = json_get(json_at(s->list, 0), "content");
    const char *text = json_str(json_type(old) == JSON_ARRAY ? json_get(json_at(old, 0), "text") : old, &n);
    if (b.len) buf_puts(&b, "\n\n");
    if (text) buf_put(&b, text, n);
    if (rc == 0 && (b.bad || !json_put(json_at(s->list, 0), "content", text_value(s, &b)))) rc = nomem(s);
    buf_release(&b);
    *used = 1;
    return rc;
}

int chat_normalise(const struct chat_caps *caps, const struct json *messages, const struct json *tools, struct json **out,
                   bool *generic, struct err *err)
{
    struct norm s = { .caps = caps, .list = json_new_array(), .err = err };
    size_t from = 0;
    int rc = 0;
    *out = NULL;
    *generic = json_len(tools) && !caps->tools;
    s.generic = !caps->calls || *generic;
    s.generic_results = !caps->results || *generic;
    if (json_type(messages) != JSON_ARRAY) rc = err_set(err, ERR_ARG, "messages must be an array");
    else if (!s.list) rc = nomem(&s);
    if (rc == 0 && *generic) {
        rc = describe_tools(&s, tools);
        if (rc == 0) rc = join_first(&s, messages, &from);
    }
    for (size_t i = from; rc == 0 && i < json_len(messages); i++) rc = one_message(&s, i, json_at(messages, i));
    if (rc == 0 && s.waiting.len) rc = push_text(&s, NULL, "user", &s.waiting);
    buf_release(&s.waiting);
    if (rc == 0) *out = s.list;
    else json_free(s.list);
    return rc;
}
