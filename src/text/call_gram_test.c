/* Whatever the grammar of a family allows must be read back as a call of the tool that was asked for: texts are made from the
 * grammar at random. */
#include "tests/testing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/call_gram.h"

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"city\":{\"type\":\"string\"},\"unit\":{\"type\":\"string\",\"enum\":[\"C\",\"F\"]},\"n\":{\"type\":\"integer\"},"
    "\"o\":{\"type\":\"object\"}},\"required\":[\"city\",\"n\"]}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]";

/* ---- a text of a grammar ---- */

struct maker { const char *source; struct buf *out; unsigned depth; };

static void make_alternatives(struct maker *m, const char *p, bool write, const char **end);

static const char *blanks(const char *p)
{
    while (*p == ' ') p++;
    return p;
}

static const char *find_rule(const char *source, const char *name, size_t n)
{
    for (const char *p = source; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (strncmp(p, name, n) == 0 && strncmp(p + n, " ::= ", 5) == 0) return p + n + 5;
    fail_msg("no rule is named %.*s in\n%s", (int)n, name, source);
    return NULL;
}

/* One character of a class, or the class skipped.  What is excluded is not ' ' or 'x'. */
static const char *make_class(struct maker *m, const char *p, bool write)
{
    bool not = p[1] == '^';
    char pick[128];
    size_t n = 0;
    for (p += 1 + not; *p != ']'; p++) {
        char c = *p;
        if (c == '\\') {
            p++;
            c = *p == 'n' ? '\n' : *p;
            if (*p == 'x') p += 2, c = 0;
        }
        if (p[1] == '-' && p[2] != ']') {
            for (int k = c; k <= p[2] && n < 120; k++) pick[n++] = (char)k;
            p += p[2] == '\\' ? 5 : 2;
        } else if (n < 120) pick[n++] = c;
    }
    if (write) buf_putc(m->out, not ? "x y,:z"[rand() % 6] : pick[rand() % (int)n]);
    return p + 1;
}

static const char *make_literal(struct maker *m, const char *p, bool write)
{
    for (p++; *p != '"'; p++) {
        char c = *p;
        if (c == '\\') c = *++p == 'n' ? '\n' : *p;
        if (write) buf_putc(m->out, c);
    }
    return p + 1;
}

static const char *make_item(struct maker *m, const char *p, bool write)
{
    const char *end;
    if (*p == '"') return make_literal(m, p, write);
    if (*p == '[') return make_class(m, p, write);
    if (*p == '(') {
        make_alternatives(m, blanks(p + 1), write, &end);
        assert_int_equal(*end, ')');
        return end + 1;
    }
    size_t n = strcspn(p, " \n|)?*+{");
    assert_true(n > 0);
    if (write) {
        m->depth++;
        make_alternatives(m, find_rule(m->source, p, n), true, &end);
        m->depth--;
    }
    return p + n;
}

static const char *repeat(const char *p, int *lo, int *hi)
{
    *lo = *hi = 1;
    if (*p == '?') *lo = 0;
    else if (*p == '*') *lo = 0, *hi = 3;
    else if (*p == '{') {
        *lo = *hi = atoi(p + 1);
        const char *comma = strchr(p, ','), *close = strchr(p, '}');
        if (comma && comma < close) *hi = atoi(comma + 1);
        return close + 1;
    } else return p;
    return p + 1;
}

static const char *make_sequence(struct maker *m, const char *p, bool write)
{
    for (p = blanks(p); *p && !strchr("|)\n", *p); p = blanks(p)) {
        int lo, hi;
        const char *item = p, *after = repeat(make_item(m, p, false), &lo, &hi);
        int n = m->depth > 12 ? lo : lo + rand() % (hi - lo + 1);
        for (int i = 0; write && i < n; i++) make_item(m, item, true);
        p = after;
    }
    return p;
}

static void make_alternatives(struct maker *m, const char *p, bool write, const char **end)
{
    const char *start[32];
    int n = 0;
    for (start[n++] = p;; start[n++] = p + 1) {
        p = make_sequence(m, start[n - 1], false);
        if (*p != '|') break;
    }
    *end = p;
    /* deep down the last words of a value end it */
    if (write) make_sequence(m, start[m->depth > 10 ? n - 1 : rand() % n], true);
}

/* ---- */

struct seen { size_t n, warnings; struct buf text, calls, args; };

static void on_event(void *arg, const struct answer_event *e)
{
    struct seen *s = arg;
    if (e->kind == ANSWER_TEXT) buf_put(&s->text, e->text, e->n);
    if (e->kind == ANSWER_WARNING) s->warnings++;
    if (e->kind == ANSWER_CALL) buf_printf(&s->calls, "%s;", e->name), buf_clear(&s->args);
    if (e->kind == ANSWER_ARGS) buf_put(&s->args, e->text, e->n);
    if (e->kind == ANSWER_CALL_END) s->n++;
}

static void check_text(const struct dialect *d, const struct json *tools, const char *name, const struct buf *text,
                       const char *choice, bool parallel)
{
    struct seen s = { .n = 0 };
    struct answer_options o = { .dialect = *d, .tools = tools, .fn = on_event, .arg = &s };
    struct answer *a;
    assert_int_equal(answer_open(&a, &o, NULL), 0);
    answer_push(a, text->data, text->len);
    answer_finish(a);
    answer_close(a);
    const char *calls = s.calls.data ? s.calls.data : "";
    bool good = s.n > 0 && !s.text.len && !s.warnings && (parallel || s.n == 1);
    if (choice) good &= strncmp(calls, choice, strlen(choice)) == 0 && !strstr(calls, strcmp(choice, "get") ? "get" : "now");
    if (!good) fail_msg("%s: %s\n  gives text %s, calls %s", name, text->data, s.text.data ? s.text.data : "", calls);
    struct json *j = NULL;
    struct err e = { 0 };
    if (json_parse(&j, s.args.data, s.args.len, &e) < 0 && !strstr(e.msg, "duplicate") && !strstr(e.msg, "NUL byte"))
        fail_msg("%s: %s\n  arguments %s: %s", name, text->data, s.args.data, e.msg);
    json_free(j);
    buf_release(&s.text), buf_release(&s.calls), buf_release(&s.args);
}

static void one_form(const struct dialect *d, const char *name, const struct json *tools)
{
    static const char *const choice[] = { NULL, "get", "now" };
    for (int turn = 0; turn < 240; turn++) {
        struct call_gram q = { .dialect = d, .tools = tools, .choice = choice[turn % 3], .parallel = turn & 1 };
        struct buf gbnf = { 0 }, trigger = { 0 }, text = { 0 };
        struct err e = { 0 };
        const char *end;
        if (call_grammar(&q, &gbnf, &trigger, &e) < 0) fail_msg("%s: %s", name, e.msg);
        struct maker m = { gbnf.data, &text, 0 };
        make_alternatives(&m, find_rule(gbnf.data, "root", 4), true, &end);
        if (trigger.len && strncmp(text.data, trigger.data, trigger.len) != 0)
            fail_msg("%s: %s does not begin with %s", name, text.data, trigger.data);
        check_text(d, tools, name, &text, q.choice, q.parallel);
        buf_release(&gbnf), buf_release(&trigger), buf_release(&text);
    }
}

static void every_text_is_a_call(void **state)
{
    (void)state;
    struct json *tools;
    assert_int_equal(json_parse(&tools, tools_text, sizeof tools_text - 1, NULL), 0);
    for (size_t i = 0; call_form_at(i); i++)
        one_form(&(struct dialect){ .form = call_form_at(i) }, call_form_at(i)->name, tools);
    one_form(&(struct dialect){ .form = call_form_generic() }, "generic", tools);
    one_form(&(struct dialect){ .channels = true }, "channels", tools);
    json_free(tools);
}

static void names_and_errors(void **state)
{
    (void)state;
    struct json *tools, *nameless;
    struct buf b = { 0 };
    struct err e = { 0 };
    assert_int_equal(json_parse(&tools, tools_text, sizeof tools_text - 1, NULL), 0);
    assert_int_equal(json_parse(&nameless, "[{}]", 4, NULL), 0);
    struct dialect d = { .form = call_form_generic() };
    struct call_gram q = { .dialect = &d, .tools = tools, .choice = "none", .refer = true };
    assert_int_equal(call_grammar(&q, &b, NULL, &e), ERR_NOTFOUND);
    assert_string_equal(e.msg, "no tool has the name none");
    q.choice = "get";
    assert_int_equal(call_grammar(&q, &b, NULL, &e), 0);
    assert_non_null(strstr(b.data, " args-0 "));
    assert_null(strstr(b.data, "args-0 ::="));
    assert_null(strstr(b.data, "args-1"));
    q.tools = nameless;
    q.choice = NULL;
    assert_int_equal(call_grammar(&q, &b, NULL, &e), ERR_ARG);
    q.tools = NULL;
    assert_int_equal(call_grammar(&q, &b, NULL, &e), ERR_NOTFOUND);
    size_t i, k;
    const char *mark;
    assert_int_equal(call_name(&d, "args-12", &i, &k, &mark), CALL_ARGS);
    assert_int_equal(i, 12);
    assert_int_equal(call_name(&d, "value-3-4", &i, &k, &mark), CALL_VALUE);
    assert_true(i == 3 && k == 4);
    assert_int_equal(call_name(&d, "until-value", &i, &k, &mark), CALL_NONE);
    for (size_t f = 0; call_form_at(f); f++) {
        d.form = call_form_at(f);
        if (!d.form->param) continue;
        assert_int_equal(call_name(&d, "until-value", &i, &k, &mark), CALL_UNTIL);
        assert_true(*mark == '<' && mark[1] == '/');
    }
    buf_release(&b);
    json_free(tools);
    json_free(nameless);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_text_is_a_call), cmocka_unit_test(names_and_errors) };
    return run_tests(tests);
}
