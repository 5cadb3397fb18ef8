/* chat.c - a turn of a conversation: its prompt, and its answer taken apart token by token. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/engine.h"

_Static_assert((int)HEARTH_CHAT_WARNING == (int)ANSWER_WARNING && (int)HEARTH_CHAT_CALL == (int)ANSWER_CALL &&
               (int)HEARTH_THINK_HIGH == (int)CHAT_THINK_HIGH, "the public numbers are those of src/text");

struct hearth_chat {
    const struct hearth_model *m;
    struct chat_turn turn;
    struct json *tools;
    struct answer *answer;
    struct detok detok;
    struct buf text;
    hearth_chat_fn *fn;                /* of the call at work */
    void *arg;
    uint32_t budget, thought;          /* tokens of reasoning: allowed (0: any number), so far */
    bool line_ended, stopped;          /* the last text ended a line; the end was forced once */
    struct ids forced;
    size_t next;                       /* of forced */
};

/* ---- the request ---- */

static bool put_str(struct json *o, const char *key, const char *s)
{
    return !s || json_put(o, key, json_new_str(s, strlen(s)));
}

static bool put_calls(struct json *o, const struct hearth_chat_message *m)
{
    if (!m->n_calls) return true;
    struct json *list = json_new_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < m->n_calls; i++) {
        struct json *c = json_new_object(), *f = json_new_object();
        ok = c && f && put_str(c, "id", m->calls[i].id) && put_str(f, "name", m->calls[i].name) &&
             put_str(f, "arguments", m->calls[i].arguments ? m->calls[i].arguments : "{}");
        ok = json_put(c, "function", f) && ok;
        ok = json_push(list, c) && ok;
    }
    return json_put(o, "tool_calls", list) && ok;
}

static int parse(struct json **out, const char *text, enum json_type type, const char *what, struct err *err)
{
    int rc = json_parse(out, text, strlen(text), err);
    if (rc < 0) return err_prefix(err, rc == ERR_FORMAT ? ERR_ARG : rc, "%s: ", what);
    if (json_type(*out) == type) return 0;
    json_free(*out);
    *out = NULL;
    return err_set(err, ERR_ARG, "%s: expected a JSON %s", what, type == JSON_ARRAY ? "array" : "object");
}

static int one_message(const struct hearth_chat_message *m, size_t i, struct json *list, struct err *err)
{
    const char *all[] = { m->role, m->content, m->reasoning, m->name, m->call_id };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (all[k] && !utf8_valid(all[k], strlen(all[k])))
            return err_set(err, ERR_ARG, "message %zu is not valid UTF-8", i + 1);
    struct json *o = json_new_object(), *parts = NULL;
    char what[48];
    fmt_into(what, sizeof what, "the parts of message %zu", i + 1);
    int rc = m->parts ? parse(&parts, m->parts, JSON_ARRAY, what, err) : 0;
    bool ok = rc == 0 && o && put_str(o, "role", m->role);
    if (parts) ok = json_put(o, "content", parts) && ok;
    else if (ok) ok = m->content ? put_str(o, "content", m->content) : json_put(o, "content", json_new_null());
    ok = ok && put_str(o, "reasoning_content", m->reasoning) && put_str(o, "name", m->name) &&
         put_str(o, "tool_call_id", m->call_id) && put_calls(o, m);
    if (ok && json_push(list, o)) return 0;
    if (!ok) json_free(o);
    return rc < 0 ? rc : err_set(err, ERR_NOMEM, "out of memory for the messages, or their calls are not UTF-8");
}

static int read_messages(const struct hearth_chat_request *r, struct json **out, struct err *err)
{
    if (r->messages_json) return parse(out, r->messages_json, JSON_ARRAY, "messages", err);
    struct json *list = json_new_array();
    int rc = list ? 0 : err_set(err, ERR_NOMEM, "out of memory for the messages");
    for (size_t i = 0; rc == 0 && i < r->n; i++) rc = one_message(&r->messages[i], i, list, err);
    if (rc == 0) *out = list;
    else json_free(list);
    return rc;
}

static int make_turn(struct hearth_chat *c, const struct hearth_chat_request *r, struct err *err)
{
    struct json *messages = NULL, *documents = NULL, *variables = NULL;
    int rc = read_messages(r, &messages, err);
    if (rc == 0 && r->tools) rc = parse(&c->tools, r->tools, JSON_ARRAY, "tools", err);
    if (rc == 0 && r->documents) rc = parse(&documents, r->documents, JSON_ARRAY, "documents", err);
    if (rc == 0 && r->variables) rc = parse(&variables, r->variables, JSON_OBJECT, "variables", err);
    if (rc == 0 && (r->think < HEARTH_THINK_DEFAULT || r->think > HEARTH_THINK_HIGH))
        rc = err_set(err, ERR_ARG, "think is %d, but only 0 to %d mean something", r->think, HEARTH_THINK_HIGH);
    struct chat_turn_request t = {
        .template = c->m->tmpl, .tokenizer = c->m->tokenizer, .style = &c->m->style, .messages = messages,
        .tools = json_len(c->tools) ? c->tools : NULL, .documents = documents, .extra = variables,
        .think = (enum chat_think)r->think, .continues = r->continues, .seen = r->seen, .n_seen = r->n_seen,
    };
    if (rc == 0) rc = chat_turn(&t, &c->turn, err);
    json_free(messages);
    json_free(documents);
    json_free(variables);
    return rc;
}

static void on_event(void *arg, const struct answer_event *e)
{
    struct hearth_chat *c = arg;
    struct hearth_chat_event out = { (int)e->kind, e->call, e->text, e->n, e->name, e->id };
    if (c->fn) c->fn(c->arg, &out);
}

int hearth_chat_open(struct hearth_chat **out, const struct hearth_model *m, const struct hearth_chat_request *r,
                     struct hearth_error *e)
{
    struct err *err = err_of(e);
    *out = NULL;
    int rc = engine_has_template(m, err);
    if (rc < 0) return rc;
    struct hearth_chat *c = mem_new(1, sizeof *c);
    if (!c) return err_set(err, ERR_NOMEM, "out of memory for the conversation");
    c->m = m;
    c->budget = r->think_budget;
    c->detok = (struct detok){ .t = m->tokenizer, .started = r->continues };
    rc = make_turn(c, r, err);
    struct answer_options o = { .dialect = c->turn.dialect, .tools = r->no_calls || !json_len(c->tools) ? NULL : c->tools,
                                .in_reasoning = c->turn.in_reasoning, .in_text = c->turn.in_text, .fn = on_event, .arg = c };
    if (rc == 0) rc = answer_open(&c->answer, &o, err);
    if (rc == 0) *out = c;
    else hearth_chat_close(c);
    return rc;
}

void hearth_chat_close(struct hearth_chat *c)
{
    if (!c) return;
    answer_close(c->answer);
    ids_release(&c->turn.prompt);
    ids_release(&c->forced);
    buf_release(&c->text);
    json_free(c->tools);
    mem_free(c);
}

const int32_t *hearth_chat_ids(const struct hearth_chat *c, size_t *n)
{
    *n = c->turn.prompt.n;
    return c->turn.prompt.id;
}

/* ---- the answer ---- */

bool hearth_chat_wants(const struct hearth_chat *c, int32_t id)
{
    enum token_kind kind = tokenizer_token_kind(c->m->tokenizer, id);
    size_t n;
    if (kind != TOKEN_CONTROL && kind != TOKEN_UNKNOWN) return true;
    const char *s = tokenizer_text(c->m->tokenizer, id, &n);
    return s && answer_wants(c->answer, s, n);
}

/* The text of a token: complete characters, or the mark that a control token spells when it means something here. */
static void spell(struct hearth_chat *c, int32_t id)
{
    enum token_kind kind = id < 0 ? TOKEN_NORMAL : tokenizer_token_kind(c->m->tokenizer, id);
    size_t n;
    buf_clear(&c->text);
    if (id >= 0 && kind != TOKEN_CONTROL && kind != TOKEN_UNKNOWN) detok_push(&c->detok, id, &c->text);
    else detok_flush(&c->detok, &c->text);
    if (id < 0 || (kind != TOKEN_CONTROL && kind != TOKEN_UNKNOWN) || !hearth_chat_wants(c, id)) return;
    const char *s = tokenizer_text(c->m->tokenizer, id, &n);
    buf_put(&c->text, s, n);
}

bool hearth_chat_thinking(const struct hearth_chat *c) { return answer_in_reasoning(c->answer); }

void hearth_chat_stop_thinking(struct hearth_chat *c)
{
    const char *end = answer_in_reasoning(c->answer) && !c->stopped ? answer_stop_reasoning(c->answer) : NULL;
    if (!end) return;
    struct buf b = { 0 };
    bool channels = c->turn.dialect.channels;
    if (!c->line_ended) buf_puts(&b, "\n\nThat is enough thinking; now I answer.\n");
    buf_puts(&b, end);
    if (!channels) buf_puts(&b, "\n\n");
    c->stopped = true;
    if (!b.bad) tokenizer_encode(c->m->tokenizer, b.data, b.len, TOK_PARSE, &c->forced, NULL);
    buf_release(&b);
}

/* The last part of a budget is for coming to the end of a line. */
static void watch_budget(struct hearth_chat *c)
{
    if (!answer_in_reasoning(c->answer) || !c->budget || c->stopped) return;
    uint32_t slack = c->budget / 8 < 64 ? c->budget / 8 : 64;
    c->thought++;
    if (c->thought >= c->budget || (c->thought >= c->budget - slack && c->line_ended)) hearth_chat_stop_thinking(c);
}

int hearth_chat_push_text(struct hearth_chat *c, const char *text, size_t n, bool end, hearth_chat_fn *fn, void *arg,
                          struct hearth_error *e)
{
    c->fn = fn;
    c->arg = arg;
    bool ok = answer_push(c->answer, text, n);
    if (n) c->line_ended = text[n - 1] == '\n';
    if (ok && end) ok = answer_finish(c->answer);
    else if (ok) watch_budget(c);
    return ok && !c->forced.bad ? 0 : err_set(err_of(e), ERR_NOMEM, "out of memory for the answer");
}

int hearth_chat_push(struct hearth_chat *c, int32_t id, hearth_chat_fn *fn, void *arg, struct hearth_error *e)
{
    spell(c, id);
    if (c->text.bad) return err_set(err_of(e), ERR_NOMEM, "out of memory for the answer");
    return hearth_chat_push_text(c, c->text.data ? c->text.data : "", c->text.len, id < 0, fn, arg, e);
}

bool hearth_chat_next(struct hearth_chat *c, int32_t *id)
{
    if (c->next >= c->forced.n) return false;
    *id = c->forced.id[c->next++];
    return true;
}
