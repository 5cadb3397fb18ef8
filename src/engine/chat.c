/* chat.c - a turn of a conversation: its prompt, and its answer taken apart token by token. */
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "text/turn_gram.h"

_Static_assert((int)HEARTH_CHAT_WARNING == (int)ANSWER_WARNING && (int)HEARTH_CHAT_CALL == (int)ANSWER_CALL &&
               (int)HEARTH_THINK_HIGH == (int)CHAT_THINK_HIGH && (int)HEARTH_GRAMMAR_CHOICES == (int)TURN_CHOICES &&
               (int)HEARTH_GRAMMAR_JSON == (int)TURN_JSON, "the public numbers are those of src/text");

/* What all answers to a prompt share; constant. */
struct asked {
    _Atomic uint32_t refs;
    struct hearth_model *m;
    struct chat_turn turn;
    struct hearth_cut cut;             /* what was left out of the prompt */
    struct json *tools;
    bool reads_calls, continues;
    uint32_t budget;                   /* tokens of reasoning; 0: any number */
    struct turn_plan plan;             /* its grammar is ... */
    struct hearth_grammar *grammar;    /* ... this one; NULL: any answer */
};

struct hearth_chat {
    struct asked *asked;
    const struct hearth_model *m;
    struct answer *answer;
    struct detok detok;
    struct buf text;
    hearth_chat_fn *fn;                /* of the call at work */
    void *arg;
    uint32_t thought;                  /* tokens of reasoning so far */
    bool line_ended, stopped, noted;   /* the last text ended a line; the end was forced once; the plan's notes were given */
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

static int check(const struct hearth_chat_request *r, struct err *err)
{
    if (r->think < HEARTH_THINK_DEFAULT || r->think > HEARTH_THINK_HIGH)
        return err_set(err, ERR_ARG, "think is %d, but only 0 to %d mean something", r->think, HEARTH_THINK_HIGH);
    if (r->tool_choice < HEARTH_TOOLS_AUTO || r->tool_choice > HEARTH_TOOLS_ONE)
        return err_set(err, ERR_ARG, "tool_choice is %d, but only 0 to %d mean something", r->tool_choice, HEARTH_TOOLS_ONE);
    if (r->tool_choice == HEARTH_TOOLS_ONE && !r->tool_name)
        return err_set(err, ERR_ARG, "tool_choice is one tool, but tool_name does not say which");
    if (r->form_text && (r->form < HEARTH_GRAMMAR_GBNF || r->form > HEARTH_GRAMMAR_CHOICES))
        return err_set(err, ERR_ARG, "there is no kind %d of grammar", r->form);
    return 0;
}

/* The text of the message that is continued. */
static const char *last_text(const struct json *messages)
{
    size_t n = json_len(messages);
    return json_str(json_get(json_at(messages, n ? n - 1 : 0), "content"), NULL);
}

static int make_grammar(struct asked *a, const struct hearth_chat_request *r, const struct json *messages, struct err *err)
{
    static const enum turn_choice choice[] = { TURN_AUTO, TURN_NONE, TURN_REQUIRED, TURN_REQUIRED };
    struct turn_gram q = {
        .dialect = &a->turn.dialect, .tokenizer = a->m->tokenizer, .tools = a->tools, .choice = choice[r->tool_choice],
        .name = r->tool_choice == HEARTH_TOOLS_ONE ? r->tool_name : NULL, .one_call = r->one_call,
        .form = (enum turn_form)r->form, .text = r->form_text, .n_text = r->n_form_text,
        .in_reasoning = a->turn.in_reasoning, .in_text = a->turn.in_text, .no_reasoning = r->think == HEARTH_THINK_OFF,
        .begun = a->turn.in_text ? last_text(messages) : NULL, .cache = &a->m->grammars,
    };
    int rc = turn_grammar(&q, &a->plan, err);
    if (a->plan.kept) engine_grew(a->m, a->plan.kept);
    if (rc < 0 || !a->plan.grammar) return rc;
    struct grammar *g = a->plan.grammar;
    a->plan.grammar = NULL;
    return engine_grammar(&a->grammar, a->m, g, err);
}

/* ---- conversations that do not fit ---- */

static bool stays(const struct json *message)
{
    const char *role = json_str(json_get(message, "role"), NULL);
    return role && (!strcmp(role, "system") || !strcmp(role, "developer"));
}

static bool begins_turn(const struct json *message)
{
    const char *role = json_str(json_get(message, "role"), NULL);
    return role && !strcmp(role, "user");
}

/* The number of the message with which turn k begins, from 0; how many messages there are when there are fewer turns. */
static size_t turn_at(const struct json *messages, size_t k)
{
    size_t i = 0;
    for (; i < json_len(messages); i++)
        if (begins_turn(json_at(messages, i)) && k-- == 0) break;
    return i;
}

/* All but what comes before turn k and may go; cut->first_message and n_messages say what that is. */
static struct json *without(const struct json *messages, size_t k, struct hearth_cut *cut)
{
    const size_t end = turn_at(messages, k);
    struct json *list = json_new_array();
    bool ok = list != NULL;
    *cut = (struct hearth_cut){ 0 };
    for (size_t i = 0; ok && i < json_len(messages); i++) {
        const struct json *m = json_at(messages, i);
        if (i < end && !stays(m)) {
            if (!cut->n_messages++) cut->first_message = i;
            continue;
        }
        ok = json_push(list, json_share(m));
    }
    if (ok) return list;
    json_free(list);
    return NULL;
}

/* The turn without its first k. */
static int turn_without(struct chat_turn_request t, size_t k, struct chat_turn *out, struct hearth_cut *cut, struct err *err)
{
    struct json *list = without(t.messages, k, cut);
    if (!list) return err_set(err, ERR_NOMEM, "out of memory for the messages");
    t.messages = list;
    int rc = chat_turn(&t, out, err);
    json_free(list);
    return rc;
}

/* As few of the oldest turns go as makes the prompt fit; a longer conversation is taken to have a longer prompt. */
static int drop_turns(struct asked *c, const struct chat_turn_request *t, uint32_t room, struct err *err)
{
    size_t n_turns = 0;
    for (size_t i = 0; i < json_len(t->messages); i++) n_turns += begins_turn(json_at(t->messages, i));
    const size_t before = c->turn.prompt.n;
    struct ids whole = c->turn.prompt;
    size_t fits = n_turns ? n_turns - 1 : 0;
    c->turn.prompt = (struct ids){ 0 };
    int rc = n_turns ? turn_without(*t, fits, &c->turn, &c->cut, err) : 0;
    size_t need = n_turns ? c->turn.prompt.n : before;
    if (rc == 0 && need > room)
        rc = hearth_context_fit(HEARTH_CONTEXT_DROP, need, room, 0, &c->cut, (struct hearth_error *)(void *)err);
    for (size_t lo = 0; rc == 0 && lo + 1 < fits;) {
        struct chat_turn half = { 0 };
        struct hearth_cut cut;
        const size_t k = lo + (fits - lo) / 2;
        rc = turn_without(*t, k, &half, &cut, err);
        if (rc == 0 && half.prompt.n <= room) {
            ids_release(&c->turn.prompt);
            c->turn = half;
            c->cut = cut;
            fits = k;
        } else {
            ids_release(&half.prompt);
            lo = k;
        }
    }
    if (rc == 0) {
        while (c->cut.from < c->turn.prompt.n && c->turn.prompt.id[c->cut.from] == whole.id[c->cut.from]) c->cut.from++;
        c->cut.n = before - c->turn.prompt.n;
    }
    ids_release(&whole);
    return rc;
}

static int fit(struct asked *c, const struct hearth_chat_request *r, const struct chat_turn_request *t, struct err *err)
{
    struct ids *p = &c->turn.prompt;
    if (!r->room || (p->n <= r->room && r->context >= 0 && r->context <= HEARTH_CONTEXT_SHIFT)) return 0;
    if (r->context == HEARTH_CONTEXT_DROP) return drop_turns(c, t, r->room, err);
    int rc = hearth_context_fit(r->context, p->n, r->room, r->n_keep, &c->cut, (struct hearth_error *)(void *)err);
    if (rc == 0) p->n = hearth_context_cut(p->id, p->n, &c->cut);
    return rc;
}

void hearth_chat_cut(const struct hearth_chat *c, struct hearth_cut *out) { *out = c->asked->cut; }

static int make_turn(struct asked *a, const struct hearth_chat_request *r, struct err *err)
{
    struct json *messages = NULL, *documents = NULL, *variables = NULL;
    int rc = check(r, err);
    if (rc == 0) rc = read_messages(r, &messages, err);
    if (rc == 0 && r->tools) rc = parse(&a->tools, r->tools, JSON_ARRAY, "tools", err);
    if (rc == 0 && r->documents) rc = parse(&documents, r->documents, JSON_ARRAY, "documents", err);
    if (rc == 0 && r->variables) rc = parse(&variables, r->variables, JSON_OBJECT, "variables", err);
    struct chat_turn_request t = {
        .template = a->m->tmpl, .tokenizer = a->m->tokenizer, .style = engine_style(a->m), .messages = messages,
        .tools = json_len(a->tools) ? a->tools : NULL, .documents = documents, .extra = variables,
        .think = (enum chat_think)r->think, .continues = r->continues, .seen = r->seen, .n_seen = r->n_seen,
    };
    if (rc == 0) rc = chat_turn(&t, &a->turn, err);
    if (rc == 0) rc = fit(a, r, &t, err);
    if (rc == 0) rc = make_grammar(a, r, messages, err);
    json_free(messages);
    json_free(documents);
    json_free(variables);
    return rc;
}

static void asked_drop(struct asked *a)
{
    if (!a || atomic_fetch_sub(&a->refs, 1) != 1) return;
    ids_release(&a->turn.prompt);
    turn_plan_release(&a->plan);
    hearth_grammar_close(a->grammar);
    json_free(a->tools);
    mem_free(a);
}

static void on_event(void *arg, const struct answer_event *e)
{
    struct hearth_chat *c = arg;
    struct hearth_chat_event out = { (int)e->kind, e->call, e->text, e->n, e->name, e->id };
    if (c->fn) c->fn(c->arg, &out);
}

/* A reader for one more answer; takes a reference. */
static int open_reader(struct hearth_chat **out, struct asked *a, struct err *err)
{
    struct hearth_chat *c = mem_new(1, sizeof *c);
    *out = NULL;
    if (!c) return err_set(err, ERR_NOMEM, "out of memory for the conversation");
    c->asked = a;
    atomic_fetch_add(&a->refs, 1);
    c->m = a->m;
    c->detok = (struct detok){ .t = a->m->tokenizer, .started = a->continues };
    struct answer_options o = { .dialect = a->turn.dialect, .tools = a->reads_calls ? a->tools : NULL,
                                .in_reasoning = a->turn.in_reasoning, .in_text = a->turn.in_text, .fn = on_event, .arg = c };
    int rc = answer_open(&c->answer, &o, err);
    if (rc == 0) *out = c;
    else hearth_chat_close(c);
    return rc;
}

int hearth_chat_open(struct hearth_chat **out, struct hearth_model *m, const struct hearth_chat_request *r,
                     struct hearth_error *e)
{
    struct err *err = err_of(e);
    *out = NULL;
    int rc = engine_has_template(m, err);
    if (rc < 0) return rc;
    struct asked *a = mem_new(1, sizeof *a);
    if (!a) return err_set(err, ERR_NOMEM, "out of memory for the conversation");
    atomic_store(&a->refs, 1);
    a->m = m;
    a->budget = r->think_budget;
    a->continues = r->continues;
    rc = make_turn(a, r, err);
    a->reads_calls = r->tool_choice != HEARTH_TOOLS_NONE && json_len(a->tools);
    if (rc == 0) rc = open_reader(out, a, err);
    asked_drop(a);
    return rc;
}

int hearth_chat_fork(struct hearth_chat **out, const struct hearth_chat *c, struct hearth_error *e)
{
    return open_reader(out, c->asked, err_of(e));
}

void hearth_chat_close(struct hearth_chat *c)
{
    if (!c) return;
    answer_close(c->answer);
    ids_release(&c->forced);
    buf_release(&c->text);
    asked_drop(c->asked);
    mem_free(c);
}

int hearth_chat_hold(const struct hearth_chat *c, struct hearth_sampler *s, size_t from, bool *held, struct hearth_error *e)
{
    *held = c->asked->grammar != NULL;
    return engine_hold(s, c->asked->grammar, from, &c->asked->plan.how, err_of(e));
}

bool engine_chat_continues(const struct hearth_chat *c) { return c->asked->continues; }

const int32_t *hearth_chat_ids(const struct hearth_chat *c, size_t *n)
{
    *n = c->asked->turn.prompt.n;
    return c->asked->turn.prompt.id;
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
uint32_t hearth_chat_n_reasoning(const struct hearth_chat *c) { return c->thought; }
uint32_t hearth_chat_n_calls(const struct hearth_chat *c) { return (uint32_t)answer_calls(c->answer); }

void hearth_chat_stop_thinking(struct hearth_chat *c)
{
    const char *end = answer_in_reasoning(c->answer) && !c->stopped ? answer_stop_reasoning(c->answer) : NULL;
    if (!end) return;
    struct buf b = { 0 };
    bool channels = c->asked->turn.dialect.channels;
    if (channels && c->asked->plan.always) end = "<|end|>";          /* what comes next is held to a form */
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
    uint32_t budget = c->asked->budget, slack = budget / 8 < 64 ? budget / 8 : 64;
    if (!answer_in_reasoning(c->answer)) return;
    c->thought++;
    if (!budget || c->stopped) return;
    if (c->thought >= budget || (c->thought >= budget - slack && c->line_ended)) hearth_chat_stop_thinking(c);
}

/* What could not be kept is said once, before all else. */
static void give_notes(struct hearth_chat *c)
{
    const struct buf *notes = &c->asked->plan.notes;
    c->noted = true;
    for (size_t at = 0, n; at < notes->len && c->fn; at += n + 1) {
        n = strcspn(notes->data + at, "\n");
        char *line = mem_strdup(notes->data + at, n);
        struct hearth_chat_event e = { .kind = HEARTH_CHAT_WARNING, .text = line, .n = n, .name = "", .id = "" };
        if (line) c->fn(c->arg, &e);
        mem_free(line);
    }
}

int hearth_chat_push_text(struct hearth_chat *c, const char *text, size_t n, bool end, hearth_chat_fn *fn, void *arg,
                          struct hearth_error *e)
{
    c->fn = fn;
    c->arg = arg;
    if (!c->noted) give_notes(c);
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
