/* api_test.c - every dialect: bodies to jobs, events to what is answered, as tests/golden/api/ has them.
 *
 * A case is lines: "case NAME", "form FORM", "body JSON", "event JSON"...; then what is expected: "job JSON" (one for each job),
 * or "error STATUS KIND MESSAGE", and the answer, each of its lines behind "> ".  With a file as its argument the program prints
 * the cases with what they give now. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "server/api_forms.h"
#include "server/api_options.h"
#include "server/api_put.h"
#include "server/api_state.h"
#include "tests/testing.h"

static const struct api_form *form_named(const char *name, size_t n)
{
    for (size_t i = 0; api_forms[i]; i++)
        if (strlen(api_forms[i]->name) == n && !memcmp(api_forms[i]->name, name, n)) return api_forms[i];
    return NULL;
}

/* The cases of a file share what is stored; the name of a case makes its ids. */
struct run {
    struct api_state *state;
    char name[256];
    const struct api_form *form;
    struct api_call *c;
    struct json *body;
    bool begun, failed;
    struct buf got;
};

static void say(struct run *r, const char *what, const struct json *j)
{
    buf_printf(&r->got, "%s ", what);
    json_write(j, false, &r->got);
    buf_putc(&r->got, '\n');
}

static void say_out(struct run *r)
{
    const char *p = r->c->out.data, *end = p + r->c->out.len;
    while (p && p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        buf_putc(&r->got, '>');
        if (stop > p) buf_putc(&r->got, ' ');
        buf_put(&r->got, p, (size_t)(stop - p));
        buf_putc(&r->got, '\n');
        p = stop + 1;
    }
    buf_clear(&r->c->out);
}

static void begin(struct run *r)
{
    struct json *job;
    struct err e = { 0 };
    r->begun = true;
    int rc = api_call_job(r->c, r->body, &job, &e);
    if (rc == 0) say(r, "job", job);
    else {
        const char *kind;
        int status = api_status(rc, &kind);
        buf_printf(&r->got, "error %d %s %s\n", status, kind, e.msg);
        r->failed = true;
    }
    json_free(job);
}

static void push(struct run *r, const char *text, size_t n)
{
    struct json *event, *job;
    struct err e = { 0 };
    if (!r->begun) begin(r);
    if (r->failed) return;
    if (json_parse(&event, text, n, &e) < 0) fail_msg("%.*s: %s", (int)n, text, e.msg);
    bool was = r->c->failed;
    api_call_event(r->c, event);
    if (r->c->failed && !was) buf_printf(&r->got, "error %d %s %s\n", r->c->status, r->c->kind, r->c->message);
    if (r->c->stream || r->c->over) say_out(r);
    if (r->c->more) {
        assert_int_equal(api_call_next(r->c, &job, &e), 0);
        say(r, "job", job);
        json_free(job);
    }
    json_free(event);
}

static void start(struct run *r, const char *name, size_t n)
{
    r->form = form_named(name, n);
    if (!r->form) fail_msg("no form %.*s", (int)n, name);
    r->c = api_call_new(r->form);
    r->c->random = hash_bytes(r->name, strlen(r->name));
    r->c->state = r->state;
    r->c->created = 1700000000;
    r->c->begun = 0;
}

static void finish(struct run *r, const struct buf *want)
{
    if (r->c && !r->begun) begin(r);
    const char *a = r->got.data ? r->got.data : "", *b = want->data ? want->data : "";
    if (strcmp(a, b) != 0) {
        size_t i = 0;
        while (a[i] && a[i] == b[i]) i++;
        while (i && a[i - 1] != '\n') i--;
        fail_msg("%s:\n got %.2000s\nwant %.2000s", r->name, a + i, b + i);
    }
    api_call_free(r->c);
    json_free(r->body);
    buf_release(&r->got);
    *r = (struct run){ .state = r->state };
}

/* print: the cases with what they give, instead of comparing. */
static size_t run_file(const char *path, bool print)
{
    char *text;
    size_t n, cases = 0;
    struct err e;
    struct run r = { .state = api_state_new(4, 1 << 20) };
    struct buf want = { 0 };
    if (os_read_file(path, 4 << 20, &text, &n, &e) < 0) fail_msg("%s", e.msg);
    for (char *line = text, *next; line < text + n; line = next) {
        char *nl = memchr(line, '\n', (size_t)(text + n - line)), *end = nl ? nl : text + n;
        size_t len = (size_t)(end - line);
        next = end + 1;
        bool blank = !len, expected = !strncmp(line, "job ", 4) || !strncmp(line, "error ", 6) || *line == '>';
        if (blank && r.c) {
            if (print) {
                if (!r.begun) begin(&r);
                printf("%s", r.got.data ? r.got.data : "");
                buf_clear(&want);
                buf_put(&want, r.got.data, r.got.len);
            }
            finish(&r, &want);
            buf_clear(&want);
            cases++;
        }
        if (!strncmp(line, "case ", 5)) snprintf(r.name, sizeof r.name, "%.*s", (int)len - 5, line + 5);
        else if (!strncmp(line, "form ", 5)) start(&r, line + 5, len - 5);
        else if (!strncmp(line, "body ", 5)) assert_int_equal(json_parse(&r.body, line + 5, len - 5, &e), 0);
        else if (!strncmp(line, "event ", 6)) push(&r, line + 6, len - 6);
        else if (expected) {
            buf_put(&want, line, len);
            buf_putc(&want, '\n');
        }
        if (print && !expected) printf("%.*s\n", (int)len, line);
    }
    assert_null(r.c);                                         /* the last case ends with an empty line */
    buf_release(&want);
    api_state_free(r.state);
    mem_free(text);
    return cases;
}

static void golden(const char *name, size_t at_least)
{
    char path[256];
    snprintf(path, sizeof path, "tests/golden/api/%s.txt", name);
    assert_true(run_file(path, false) >= at_least);
}

static void openai(void **unused) { (void)unused; golden("openai", 31); }

static void ollama(void **unused) { (void)unused; golden("ollama", 19); }
static void anthropic(void **unused) { (void)unused; golden("anthropic", 12); }
static void llama(void **unused) { (void)unused; golden("llama", 22); }
static void lmstudio(void **unused) { (void)unused; golden("lmstudio", 9); }
static void responses(void **unused) { (void)unused; golden("responses", 10); }

static void kept(struct api_state *s, const char *user, const char *id, size_t bytes)
{
    char *text = mem_new(bytes + 1, 1);
    memset(text, 'x', bytes);
    struct api_kept k = { .object = json_new_str(text, bytes) };
    api_state_put(s, user, id, &k);
    assert_null(k.object);
    mem_free(text);
}

static bool is_kept(struct api_state *s, const char *user, const char *id)
{
    struct api_kept k;
    bool found = api_state_get(s, user, id, &k);
    api_kept_release(&k);
    return found;
}

static void what_is_stored(void **unused)
{
    (void)unused;
    struct api_state *s = api_state_new(3, 10000);
    kept(s, "u", "a", 100);
    kept(s, "u", "b", 100);
    kept(s, "v", "a", 100);
    assert_true(is_kept(s, "u", "a") && is_kept(s, "v", "a"));
    assert_false(is_kept(s, "v", "b") || is_kept(s, "", "a"));
    kept(s, "u", "c", 100);                                    /* the one that was used longest ago goes */
    assert_false(is_kept(s, "u", "b"));
    assert_true(is_kept(s, "u", "a") && is_kept(s, "v", "a") && is_kept(s, "u", "c"));
    kept(s, "u", "d", 9000);
    assert_true(is_kept(s, "u", "d") && is_kept(s, "u", "c"));
    kept(s, "u", "e", 9000);
    assert_true(is_kept(s, "u", "e"));
    assert_false(is_kept(s, "u", "d"));
    kept(s, "u", "f", 20000);                                  /* never fits, and costs nothing else */
    assert_true(is_kept(s, "u", "e"));
    assert_false(is_kept(s, "u", "f"));
    assert_false(api_state_remove(s, "v", "e"));
    assert_true(api_state_remove(s, "u", "e"));
    assert_false(is_kept(s, "u", "e") || api_state_remove(s, "u", "e"));
    api_state_free(s);
}

static void forms_of_text(void **unused)
{
    (void)unused;
    struct buf b = { 0 }, text = { 0 };
    buf_puts(&text, "x\"y");
    api_put(&b, "{'a':%s,'b':%s,'c':%S,'d':%i,'e':%d,'f':%u,'g':%f,'h':%b,'i':%j,'k':%B,'l':%R,'%%':%r}", "q'\"", NULL, "a\0b",
            (size_t)3, -1, (int64_t)INT64_MIN, UINT64_MAX, 0.1, 1, NULL, &text, &text, "0");
    assert_string_equal(b.data, "{\"a\":\"q'\\\"\",\"b\":null,\"c\":\"a\\u0000b\",\"d\":-1,"
                                "\"e\":-9223372036854775808,"
                                "\"f\":18446744073709551615,\"g\":0.1,\"h\":true,\"i\":null,\"k\":\"x\\\"y\",\"l\":x\"y,"
                                "\"%\":0}");
    buf_clear(&b);
    for (size_t n = 0; n < 4; n++) {
        api_put_base64(&b, "abc", n);
        buf_putc(&b, ' ');
    }
    assert_string_equal(b.data, " YQ== YWI= YWJj ");
    static const struct { int64_t t; const char *text; } time[] = {
        { 0, "1970-01-01T00:00:00Z" }, { -1, "1969-12-31T23:59:59Z" }, { 951782400, "2000-02-29T00:00:00Z" },
        { 1700000000, "2023-11-14T22:13:20Z" }, { 4102444799, "2099-12-31T23:59:59Z" },
    };
    for (size_t i = 0; i < sizeof time / sizeof *time; i++) {
        buf_clear(&b);
        api_put_time(&b, time[i].t);
        assert_string_equal(b.data, time[i].text);
    }
    buf_clear(&b);
    api_put_time_us(&b, INT64_C(1700000000000042));
    assert_string_equal(b.data, "2023-11-14T22:13:20.000042Z");
    buf_release(&b);
    buf_release(&text);
}

static void durations(void **unused)
{
    (void)unused;
    static const struct { const char *text; int64_t s; } row[] = {
        { "\"10m\"", 600 }, { "\"1h30m\"", 5400 }, { "\"0\"", 0 }, { "0", 0 }, { "-1", -1 }, { "\"-1m\"", -1 }, { "1.5", 2 },
        { "\"300ms\"", 1 }, { "\"1.5h\"", 5400 }, { "90", 90 }, { "1e300", 1000000000 }, { "\"24h\"", 86400 },
    };
    static const char *const wrong[] = { "\"\"", "\"m\"", "\"10x\"", "\"1h 3m\"", "true", "[]", "\"-\"" };
    struct err e;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct json *v, *job = json_new_object();
        assert_int_equal(json_parse(&v, row[i].text, strlen(row[i].text), &e), 0);
        assert_int_equal(api_keep_alive(v, "keep_alive", job, &e), 0);
        assert_int_equal(json_int(json_get(job, "keep_alive")), row[i].s);
        json_free(v);
        json_free(job);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct json *v, *job = json_new_object();
        assert_int_equal(json_parse(&v, wrong[i], strlen(wrong[i]), &e), 0);
        assert_int_equal(api_keep_alive(v, "keep_alive", job, &e), ERR_ARG);
        assert_null(json_get(job, "keep_alive"));
        json_free(v);
        json_free(job);
    }
}

/* docs/api.md lists every option of the table, and no other. */
static void the_page_lists_the_options(void **unused)
{
    (void)unused;
    char *text, row[256];
    size_t n;
    struct err e;
    assert_int_equal(os_read_file("docs/api.md", 1 << 20, &text, &n, &e), 0);
    size_t i = 0;
    for (const struct api_option *o; (o = api_option_at(i)) != NULL; i++) {
        char names[200] = "";
        for (const char *p = o->names; *p;) {
            size_t len = strcspn(p, " "), at = strlen(names);
            snprintf(names + at, sizeof names - at, "%s`%.*s`", at ? ", " : "", (int)len, p);
            p += len + (p[len] == ' ');
        }
        snprintf(row, sizeof row, "\n| %s | ", names);
        if (!strstr(text, row)) fail_msg("docs/api.md has no row for %s", names);
    }
    mem_free(text);
}

/* However memory runs out, a call ends with an error or an answer, and loses nothing. */
static void memory_that_runs_out(void **unused)
{
    (void)unused;
    static const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stop\":[\"a\"],\"logit_bias\":{\"1\":2},"
                               "\"tools\":[{\"function\":{\"name\":\"f\"}}],\"tool_choice\":\"auto\",\"logprobs\":true}";
    static const char event[] = "{\"event\":\"text\",\"i\":0,\"text\":\"abc\",\"logprobs\":[{\"id\":1}]}";
    struct json *b, *ev;
    struct err e;
    assert_int_equal(json_parse(&b, body, sizeof body - 1, &e), 0);
    assert_int_equal(json_parse(&ev, event, sizeof event - 1, &e), 0);
    for (int64_t k = 1; k < 200; k++) {
        struct json *job = NULL;
        mem_fail_after(k);
        struct api_call *c = api_call_new(&api_openai_chat);
        int rc = c ? api_call_job(c, b, &job, &e) : ERR_NOMEM;
        for (int i = 0; rc == 0 && i < 3; i++) api_call_event(c, ev);
        mem_fail_after(-1);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        json_free(job);
        api_call_free(c);
    }
    json_free(b);
    json_free(ev);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(openai),
    cmocka_unit_test(responses),
    cmocka_unit_test(ollama),
    cmocka_unit_test(llama),
    cmocka_unit_test(lmstudio),
    cmocka_unit_test(anthropic),
    cmocka_unit_test(what_is_stored),
    cmocka_unit_test(forms_of_text),
    cmocka_unit_test(durations),
    cmocka_unit_test(the_page_lists_the_options),
    cmocka_unit_test(memory_that_runs_out),
};

int main(int argc, char **argv)
{
    if (argc < 2) return run_tests(tests);
    run_file(argv[1], true);
    return 0;
}
