/* Answers of a random model that are held to tools and forms: alone with a sampler, and through the engine, whose events must
 * tell the same as reading the whole answer at once. */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "tests/tiny_chat.h"

static const char tools[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"city\":{\"enum\":[\"Ulm\",\"Bonn\"]},\"n\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}},"
    "\"required\":[\"city\",\"n\"],\"additionalProperties\":false}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\",\"parameters\":{\"type\":\"object\",\"properties\":{},"
    "\"additionalProperties\":false}}}]";
static const char form[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[1,2]}},\"required\":[\"a\"],"
    "\"additionalProperties\":false}";
static const struct hearth_chat_message hi[] = { { .role = "user", .content = "hi" } };

/* ---- what is said ---- */

struct said {
    struct buf all, text, args, reasoning, ids;
    size_t n_calls, n_broken, n_warnings, n_tokens;
    int kind, finish;
    char names[200], error[512], stop[40];
    uint32_t ev_calls, ev_reasoning;
};

static void on_said(void *arg, const struct hearth_chat_event *e)
{
    struct said *s = arg;
    static const char *const name[] = { "T", "R", "C", "A", "/", "X", "W" };
    bool more = e->kind == s->kind && (e->kind == HEARTH_CHAT_TEXT || e->kind == HEARTH_CHAT_REASONING ||
                                       e->kind == HEARTH_CHAT_ARGUMENTS);
    if (!more) buf_printf(&s->all, "|%s:", name[e->kind]);
    buf_put(&s->all, e->text, e->n);
    s->kind = e->kind;
    if (e->kind == HEARTH_CHAT_CALL) {
        buf_puts(&s->all, e->name);
        if (strlen(s->names) < 150) strcat(strcat(s->names, e->name), ";");
        buf_clear(&s->args);
    }
    if (e->kind == HEARTH_CHAT_TEXT) buf_put(&s->text, e->text, e->n);
    if (e->kind == HEARTH_CHAT_REASONING) buf_put(&s->reasoning, e->text, e->n);
    if (e->kind == HEARTH_CHAT_ARGUMENTS) buf_put(&s->args, e->text, e->n);
    s->n_calls += e->kind == HEARTH_CHAT_CALL_END;
    s->n_broken += e->kind == HEARTH_CHAT_CALL_BROKEN;
    s->n_warnings += e->kind == HEARTH_CHAT_WARNING;
}

static void engine_said(void *arg, uint32_t completion, const struct hearth_chat_event *e)
{
    on_said((struct said *)arg + completion, e);
}

static bool on_event(void *arg, const struct hearth_event *ev)
{
    struct said *s = (struct said *)arg + ev->completion;
    int32_t id = ev->id;
    if (id >= 0) buf_put(&s->ids, (const char *)&id, sizeof id), s->n_tokens++;
    if (ev->n_back) {
        assert_true(ev->n_back <= s->n_tokens);
        s->n_tokens -= ev->n_back;
        s->ids.len -= ev->n_back * sizeof id;
    }
    assert_int_equal(ev->n_answer, s->n_tokens);
    s->ev_calls = ev->n_calls;
    s->ev_reasoning = ev->n_reasoning;
    if (ev->finish) s->finish = ev->finish;
    if (ev->stop) snprintf(s->stop, sizeof s->stop, "%s", ev->stop);
    if (ev->error) snprintf(s->error, sizeof s->error, "%s", ev->error->message);
    return true;
}

static void said_release(struct said *s)
{
    buf_release(&s->all), buf_release(&s->text), buf_release(&s->args), buf_release(&s->reasoning), buf_release(&s->ids);
}

static struct hearth_chat *open_chat(const struct hearth_chat_request *r)
{
    struct hearth_chat *c;
    struct hearth_error e;
    if (hearth_chat_open(&c, model, r, &e) < 0) fail_msg("%s", e.message);
    return c;
}

static struct hearth_sampler_options hot(uint64_t seed)
{
    struct hearth_sampler_options o;
    hearth_sampler_defaults(NULL, &o);
    o.temperature = 1.5f;
    o.top_k = 0;
    o.top_p = 1;
    o.min_p = 0;
    o.seed = seed;
    return o;
}

/* Runs one request to its end; what it said is checked against reading its tokens one by one without the engine. */
static void run(struct hearth_engine *g, const struct hearth_chat *c, struct hearth_request_options o, struct said *s)
{
    struct hearth_request *r;
    struct hearth_error e;
    struct said again = { .kind = -1 };
    struct hearth_chat *reader;
    o.chat = c;
    o.said = engine_said;
    o.event = on_event;
    o.arg = s;
    uint32_t n = o.n_completions ? o.n_completions : 1;
    for (uint32_t i = 0; i < n; i++) s[i] = (struct said){ .kind = -1 };
    if (hearth_request_submit(&r, g, &o, &e) < 0) fail_msg("%s", e.message);
    hearth_request_wait(r);
    hearth_request_close(r);
    assert_int_equal(hearth_chat_fork(&reader, c, &e), 0);
    for (size_t i = 0; i < s->n_tokens; i++) {
        int32_t id;
        memcpy(&id, s->ids.data + i * sizeof id, sizeof id);
        if (!hearth_token_is_end(model, id)) assert_int_equal(hearth_chat_push(reader, id, on_said, &again, &e), 0);
    }
    assert_int_equal(hearth_chat_push(reader, -1, on_said, &again, &e), 0);
    if (!o.n_stop && !o.n_ban && s->all.len && strcmp(again.all.data, s->all.data))
        fail_msg("the engine said\n%s\nand the tokens say\n%s", s->all.data, again.all.data);
    hearth_chat_close(reader);
    said_release(&again);
}

/* ---- tests ---- */

static struct hearth_engine *open_engine(void)
{
    struct hearth_engine *g;
    struct hearth_error e;
    struct hearth_engine_options o = { .n_ctx = 900 };
    if (hearth_engine_open(&g, model, &o, &e) < 0) fail_msg("%s", e.message);
    return g;
}

static void check_args(const struct said *s)
{
    struct json *j;
    struct err e;
    if (json_parse(&j, s->args.data, s->args.len, &e) < 0) fail_msg("%s: %s", e.msg, s->all.data);
    const char *city = json_str(json_get(j, "city"), NULL);
    size_t n = strlen(s->names);
    if (n > 4 && !strcmp(s->names + n - 4, "get;")) assert_true(city && (!strcmp(city, "Ulm") || !strcmp(city, "Bonn")));
    if (city) assert_true(json_int(json_get(j, "n")) >= 1 && json_int(json_get(j, "n")) <= 9);
    json_free(j);
}

static void a_call_is_required(void **state)
{
    (void)state;
    struct hearth_engine *g = open_engine();
    static const struct { int choice; const char *name; int think; bool one; } t[] = {
        { HEARTH_TOOLS_REQUIRED, NULL, HEARTH_THINK_OFF, true }, { HEARTH_TOOLS_ONE, "now", HEARTH_THINK_OFF, true },
        { HEARTH_TOOLS_ONE, "get", HEARTH_THINK_ON, true }, { HEARTH_TOOLS_REQUIRED, NULL, HEARTH_THINK_OFF, false },
        { HEARTH_TOOLS_ONE, "get", HEARTH_THINK_DEFAULT, true },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        for (uint64_t seed = 0; seed < 2; seed++) {
            struct hearth_chat *c = open_chat(&(struct hearth_chat_request){
                .messages = hi, .n = 1, .tools = tools, .tool_choice = t[i].choice, .tool_name = t[i].name, .think = t[i].think,
                .think_budget = 20, .one_call = t[i].one });
            struct hearth_sampler_options so = hot(seed);
            struct said s;
            run(g, c, (struct hearth_request_options){ .sampler = &so, .max_tokens = 700, .every_token = seed & 1 }, &s);
            bool done = s.finish == HEARTH_FINISH_END, many = !t[i].one && s.finish == HEARTH_FINISH_LENGTH;
            if (!done && !many) fail_msg("%zu: finish %d %s, %s", i, s.finish, s.error, s.all.data);
            if (!s.n_calls || s.text.len || s.n_broken || (t[i].one && s.n_calls != 1)) fail_msg("%zu: %s", i, s.all.data);
            if (t[i].name && strncmp(s.names, t[i].name, strlen(t[i].name)) != 0) fail_msg("%zu: %s", i, s.all.data);
            if (t[i].think == HEARTH_THINK_ON) assert_true(s.reasoning.len > 0 && s.ev_reasoning >= 20);
            assert_int_equal(s.ev_calls, s.n_calls);
            if (done) check_args(&s);
            said_release(&s);
            hearth_chat_close(c);
        }
    hearth_engine_close(g);
}

/* The same form by hand: sampler and session, with and without jumping. */
static char *by_hand(const struct hearth_chat *asked, uint64_t seed, bool jump, bool want_held)
{
    struct hearth_chat *c;
    struct hearth_session *s;
    struct hearth_sampler *p;
    struct hearth_error e;
    struct said out = { .kind = -1 };
    struct hearth_sampler_options so = hot(seed);
    size_t n;
    bool held;
    const int32_t *ids = hearth_chat_ids(asked, &n);
    assert_int_equal(hearth_chat_fork(&c, asked, &e), 0);
    assert_int_equal(hearth_session_open(&s, model, &(struct hearth_session_options){ .n_ctx = 900 }, &e), 0);
    assert_int_equal(hearth_sampler_open(&p, model, &so, &e), 0);
    assert_int_equal(hearth_chat_hold(c, p, n, &held, &e), 0);
    assert_int_equal(held, want_held);
    assert_int_equal(hearth_session_sync(s, ids, n, &e), 0);
    for (int k = 0; k < 300 && hearth_sampler_grammar_state(p, s, &e) == 0; k++) {
        int32_t next[16];
        n = 0;
        while (n < 16 && hearth_chat_next(c, &next[n])) n++;
        if (!n && jump) assert_int_equal(hearth_sampler_forced(p, s, next, 16, &n, &e), 0);
        if (!n) next[n++] = hearth_sampler_pick(p, s);
        if (next[0] < 0) {
            hearth_sampler_grammar_state(p, s, &e);
            fail_msg("%s", e.message);
        }
        if (hearth_token_is_end(model, next[0])) break;
        for (size_t i = 0; i < n; i++) assert_int_equal(hearth_chat_push(c, next[i], on_said, &out, &e), 0);
        assert_int_equal(hearth_session_append(s, next, n, &e), 0);
    }
    assert_int_equal(hearth_chat_push(c, -1, on_said, &out, &e), 0);
    hearth_sampler_close(p);
    hearth_session_close(s);
    hearth_chat_close(c);
    char *text = out.all.data ? buf_take(&out.all) : mem_strdup("", 0);
    said_release(&out);
    return text;
}

static void forms_come_behind_reasoning(void **state)
{
    (void)state;
    struct hearth_engine *g = open_engine();
    for (int think = HEARTH_THINK_DEFAULT; think <= HEARTH_THINK_ON; think++) {
        struct hearth_chat *c = open_chat(&(struct hearth_chat_request){
            .messages = hi, .n = 1, .think = think, .think_budget = 12, .form = HEARTH_GRAMMAR_SCHEMA, .form_text = form,
            .n_form_text = strlen(form) });
        for (uint64_t seed = 0; seed < 3; seed++) {
            struct hearth_sampler_options so = hot(seed);
            struct said s;
            struct json *j;
            run(g, c, (struct hearth_request_options){ .sampler = &so, .max_tokens = 300, .every_token = true }, &s);
            if (s.finish != HEARTH_FINISH_END || json_parse(&j, s.text.data, s.text.len, NULL) < 0)
                fail_msg("%d: finish %d %s, %s", think, s.finish, s.error, s.all.data);
            assert_true(json_int(json_get(j, "a")) == 1 || json_int(json_get(j, "a")) == 2);
            if (think) assert_int_equal(s.reasoning.len > 0, think == HEARTH_THINK_ON);
            json_free(j);
            char *hand = by_hand(c, seed, false, true);
            assert_string_equal(hand, s.all.data);
            mem_free(hand);
            said_release(&s);
        }
        char *hand = by_hand(c, 9, true, true);
        assert_non_null(strstr(hand, "\"a\":"));
        mem_free(hand);
        hearth_chat_close(c);
    }
    hearth_engine_close(g);
}

/* What an engine answers when the tokens of a text are fed to a sampler that is held to r: the place of the first that may not
 * come, or the length. */
static size_t allowed(const struct hearth_chat_request *r, const char *text)
{
    struct hearth_chat *c = open_chat(r);
    struct hearth_session *s;
    struct hearth_sampler *p;
    struct hearth_sampler_options so = hot(1);
    struct hearth_error e;
    size_t n, k = 0;
    bool held;
    const int32_t *ids = hearth_chat_ids(c, &n);
    assert_int_equal(hearth_session_open(&s, model, &(struct hearth_session_options){ .n_ctx = 900 }, &e), 0);
    assert_int_equal(hearth_sampler_open(&p, model, &so, &e), 0);
    assert_int_equal(hearth_chat_hold(c, p, n, &held, &e), 0);
    assert_true(held);
    assert_int_equal(hearth_session_sync(s, ids, n, &e), 0);
    for (; text[k]; k++) {
        int32_t id = (uint8_t)text[k];
        assert_int_equal(hearth_session_append(s, &id, 1, &e), 0);
        if (hearth_sampler_grammar_state(p, s, &e) < 0) break;
    }
    hearth_sampler_close(p);
    hearth_session_close(s);
    hearth_chat_close(c);
    return k;
}

static void check_allowed(const struct hearth_chat_request *r, const char *text, size_t want)
{
    size_t got = allowed(r, text);
    if (got != want) fail_msg("%s\n  is allowed up to %zu (%.20s), not %zu", text, got, text + got, want);
}

static void what_may_come(void **state)
{
    (void)state;
    struct hearth_chat_request r = { .messages = hi, .n = 1, .tools = tools };
    static const char call[] = "text <tool_call>{\"name\": \"get\", \"arguments\": {\"city\": \"Ulm\", \"n\": 3}}</tool_call>";
    check_allowed(&r, call, strlen(call));
    check_allowed(&r, "<tool_call>{\"name\": \"put\"", 21);
    check_allowed(&r, "<tool_call>{\"name\": \"get\", \"arguments\": {\"city\": \"Rom", 50);
    check_allowed(&r, "<think><tool_call>{\"name\": \"put\"</think>", 40);         /* it only thinks of one */
    check_allowed(&r, "<think>x</think><tool_call>{\"name\": \"put\"", 37);
    r.tool_choice = HEARTH_TOOLS_NONE;
    check_allowed(&r, "a <tool_call", 12);
    check_allowed(&r, "a <tool_call>{", 12);
    r.think = HEARTH_THINK_ON;
    check_allowed(&r, "a <tool_call></think><tool_call>", 31);
    r.think = HEARTH_THINK_DEFAULT;
    r.tool_choice = HEARTH_TOOLS_REQUIRED;
    check_allowed(&r, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", 57);
    check_allowed(&r, "text", 0);
    check_allowed(&r, "<think>why</think>\n\n<tool_call>", 31);
    r.form_text = form;
    r.n_form_text = strlen(form);
    r.form = HEARTH_GRAMMAR_SCHEMA;
    check_allowed(&r, "{\"a\"", 0);                                                  /* required goes before a form */
    r.tool_choice = HEARTH_TOOLS_AUTO;
    check_allowed(&r, "{\"a\": 1}", 8);
    check_allowed(&r, "<tool_call>{\"name\": \"now\"", 25);
    check_allowed(&r, "x", 0);
    /* An answer that was begun counts from its beginning. */
    r.tools = NULL;
    r.continues = true;
    r.messages = NULL;
    r.messages_json = "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"{\\\"a\\\": \"}]";
    check_allowed(&r, "2}", 2);
    check_allowed(&r, "3}", 0);
}

static void refused(void **state)
{
    (void)state;
    static const char strict[] = "[{\"function\":{\"name\":\"f\",\"strict\":true,\"parameters\":{\"contains\":{}}}}]";
    static const struct { struct hearth_chat_request r; int code; const char *says; } t[] = {
        { { .tool_choice = 9 }, HEARTH_EARG, "tool_choice is 9" },
        { { .tool_choice = HEARTH_TOOLS_ONE }, HEARTH_EARG, "tool_name does not say" },
        { { .tool_choice = HEARTH_TOOLS_REQUIRED }, HEARTH_EARG, "there are no tools" },
        { { .tools = tools, .tool_choice = HEARTH_TOOLS_ONE, .tool_name = "f" }, HEARTH_ENOTFOUND, "no tool has the name f" },
        { { .tools = strict, .tool_choice = HEARTH_TOOLS_REQUIRED }, HEARTH_EUNSUPPORTED, "tool f: schema: /contains" },
        { { .form_text = "{\"type\": 3}", .n_form_text = 11, .form = HEARTH_GRAMMAR_SCHEMA }, HEARTH_EFORMAT, "schema: /type" },
        { { .form_text = "root ::= x", .n_form_text = 10 }, HEARTH_EFORMAT, "no rule named x" },
        { { .form_text = "(", .n_form_text = 1, .form = HEARTH_GRAMMAR_REGEX }, HEARTH_EFORMAT, "pattern" },
        { { .form_text = "[1]", .n_form_text = 3, .form = HEARTH_GRAMMAR_CHOICES }, HEARTH_EARG, "choice 1 is no string" },
        { { .form_text = "x", .n_form_text = 1, .form = 9 }, HEARTH_EARG, "no kind 9" },
        { { .form_text = form, .n_form_text = sizeof form - 1, .form = HEARTH_GRAMMAR_SCHEMA, .continues = true,
            .messages_json = "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"no\"}]" },
          HEARTH_EARG, "does not fit" },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct hearth_chat *c = NULL;
        struct hearth_error e = { 0 };
        struct hearth_chat_request r = t[i].r;
        if (!r.messages_json) r.messages = hi, r.n = 1;
        int code = hearth_chat_open(&c, model, &r, &e);
        if (code == 0) {                       /* or when a sampler is to be held to it */
            struct hearth_sampler *s;
            struct hearth_sampler_options so = hot(1);
            bool held;
            assert_int_equal(hearth_sampler_open(&s, model, &so, NULL), 0);
            code = hearth_chat_hold(c, s, 0, &held, &e);
            hearth_sampler_close(s);
        }
        if (code != t[i].code || !strstr(e.message, t[i].says)) fail_msg("%zu: %d %s", i, code, e.message);
        hearth_chat_close(c);
    }
}

/* A tool whose schema cannot be kept is still called with an object, and it is said. */
static void loose_tools(void **state)
{
    (void)state;
    static const char loose[] = "[{\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"x\":{\"contains\":{}}}}}}]";
    struct hearth_chat_request r = { .messages = hi, .n = 1, .tools = loose, .tool_choice = HEARTH_TOOLS_REQUIRED };
    check_allowed(&r, "<tool_call>{\"name\": \"f\", \"arguments\": {\"y\": [1]}}", 49);
    struct hearth_chat *c = open_chat(&r);
    struct said s = { .kind = -1 };
    struct hearth_error e;
    assert_int_equal(hearth_chat_push(c, 'x', on_said, &s, &e), 0);
    assert_int_equal(hearth_chat_push(c, -1, on_said, &s, &e), 0);
    assert_int_equal(s.n_warnings, 1);
    assert_non_null(strstr(s.all.data, "|W:tool f: only an object is promised"));
    said_release(&s);
    hearth_chat_close(c);
}

static _Atomic uint32_t seen_reasoning;

static bool count_reasoning(void *arg, const struct hearth_event *ev)
{
    (void)arg;
    atomic_store(&seen_reasoning, ev->n_reasoning);
    if (ev->n_reasoning == 30) hearth_request_stop_thinking(ev->request);
    return true;
}

static void other_ends(void **state)
{
    (void)state;
    struct hearth_engine *g = open_engine();
    struct hearth_chat *c = open_chat(&(struct hearth_chat_request){ .messages = hi, .n = 1, .think = HEARTH_THINK_ON });
    struct hearth_sampler_options so = hot(3);
    struct hearth_request *r;
    struct hearth_error e;
    struct said s = { .kind = -1 };
    /* Thinking is stopped from outside. */
    struct hearth_request_options o = { .chat = c, .sampler = &so, .max_tokens = 100, .event = count_reasoning,
                                        .said = engine_said, .arg = &s };
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
    hearth_request_wait(r);
    hearth_request_close(r);
    assert_non_null(strstr(s.reasoning.data, "That is enough thinking"));
    assert_true(s.text.len > 0);
    assert_true(atomic_load(&seen_reasoning) < 80);
    said_release(&s);
    hearth_chat_close(c);
    /* Several answers, each with a reader of its own; stop strings and bans hold for all. */
    c = open_chat(&(struct hearth_chat_request){ .messages = hi, .n = 1 });
    static const char *const stop[] = { "never comes", "a" }, *const ban[] = { "e", "t" };
    struct said all[3];
    run(g, c, (struct hearth_request_options){ .sampler = &so, .max_tokens = 400, .n_completions = 3, .stop = stop, .n_stop = 2,
                                               .ban = ban, .n_ban = 2 }, all);
    for (int i = 0; i < 3; i++) {
        if (all[i].finish == HEARTH_FINISH_STOP) assert_string_equal(all[i].stop, "a");
        if (all[i].text.len) assert_true(!strpbrk(all[i].text.data, "aeEtT"));
        said_release(&all[i]);
    }
    assert_int_equal(all[0].finish, HEARTH_FINISH_STOP);
    /* Without a chat: plain text, held to a grammar; biases, and no end too early. */
    struct hearth_grammar *gram;
    struct hearth_bias bias[] = { { 'b', -INFINITY } };
    int32_t ids[] = { 1, 2, 3 };
    assert_int_equal(hearth_grammar_open(&gram, model, HEARTH_GRAMMAR_REGEX, "[ab]{5,200}", 11, &e), 0);
    s = (struct said){ .kind = -1 };
    o = (struct hearth_request_options){ .ids = ids, .n = 3, .grammar = gram, .sampler = &so, .bias = bias, .n_bias = 1,
                                         .min_tokens = 20, .event = on_event, .said = engine_said, .arg = &s };
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
    hearth_grammar_close(gram);
    hearth_request_wait(r);
    hearth_request_close(r);
    assert_int_equal(s.finish, HEARTH_FINISH_END);
    assert_true(s.text.len >= 20 && strspn(s.text.data, "a") == s.text.len);
    said_release(&s);
    hearth_chat_close(c);
    hearth_engine_close(g);
}

/* What cannot go on is the error of its request alone. */
static void a_dead_end_is_an_error(void **state)
{
    (void)state;
    struct hearth_engine *g = open_engine();
    struct hearth_grammar *gram;
    struct hearth_bias bias[] = { { 'a', -INFINITY }, { 'b', -INFINITY } };
    struct hearth_sampler_options so = hot(1);
    struct hearth_request *r;
    struct hearth_error e;
    int32_t ids[] = { 1, 2, 3 };
    struct said s = { .kind = -1 };
    assert_int_equal(hearth_grammar_open(&gram, model, HEARTH_GRAMMAR_CHOICES, "[\"a\",\"b\"]", 9, &e), 0);
    struct hearth_request_options o = { .ids = ids, .n = 3, .grammar = gram, .sampler = &so, .bias = bias, .n_bias = 2,
                                        .event = on_event, .arg = &s };
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
    hearth_request_wait(r);
    hearth_request_close(r);
    assert_int_equal(s.finish, HEARTH_FINISH_ERROR);
    assert_non_null(strstr(s.error, "banned"));
    said_release(&s);
    hearth_grammar_close(gram);
    hearth_engine_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_required), cmocka_unit_test(forms_come_behind_reasoning), cmocka_unit_test(what_may_come),
        cmocka_unit_test(refused), cmocka_unit_test(loose_tools), cmocka_unit_test(other_ends),
        cmocka_unit_test(a_dead_end_is_an_error),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
