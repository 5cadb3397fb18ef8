/* Fuzz target: an answer goes through the parser of a family, whole, byte by byte and in two pieces.  The events must tell the
 * same each time, calls must be properly nested, and where no call was found nothing but white space may be missing. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"properties\":{\"city\":{\"type\":\"string\"},"
    "\"n\":{\"type\":\"integer\"}}}}},{\"name\":\"now\"}]";
static const char *const reasoning[] = { "", "<think>", "[THINK]", "<|channel>thought", "<|begin|>assistant", "</response>" };
enum { N_REASONING = sizeof reasoning / sizeof *reasoning };

struct seen { struct buf all, text; size_t calls, pending; bool open; };

static void on_event(void *arg, const struct answer_event *e)
{
    struct seen *s = arg;
    if (e->n != strlen(e->text) && !memchr(e->text, 0, e->n)) abort();
    switch (e->kind) {
    case ANSWER_TEXT:
    case ANSWER_REASONING:
        if (s->open) abort();
        buf_put(&s->text, e->text, e->n);
        break;
    case ANSWER_CALL:
        if (s->open || e->call != s->calls || !*e->name) abort();
        s->open = true;
        s->pending = s->all.len;
        buf_printf(&s->all, "\ncall %s %s ", e->name, e->id);
        break;
    case ANSWER_ARGS:
        if (!s->open) abort();
        buf_put(&s->all, e->text, e->n);
        break;
    case ANSWER_CALL_END:
        if (!s->open) abort();
        s->open = false;
        s->calls++;
        break;
    case ANSWER_CALL_BROKEN:
        if (!s->open) abort();
        s->open = false;
        s->all.len = s->pending;
        break;
    default: buf_puts(&s->all, "\nwarning");
    }
}

/* In pieces of `step` bytes, the first of `first`. */
static void run(const struct answer_options *o, const char *text, size_t n, size_t first, size_t step, struct seen *s)
{
    struct answer_options mine = *o;
    struct answer *a;
    *s = (struct seen){ .calls = 0 };
    mine.fn = on_event;
    mine.arg = s;
    if (answer_open(&a, &mine, NULL) < 0) abort();
    for (size_t at = 0; at < n;) {
        size_t k = at ? step : first;
        if (k > n - at) k = n - at;
        if (!answer_push(a, text + at, k)) abort();
        at += k;
    }
    if (!answer_finish(a) || s->open || answer_calls(a) != s->calls) abort();
    answer_close(a);
}

static void release(struct seen *s)
{
    buf_release(&s->all);
    buf_release(&s->text);
}

static bool same(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (!a->len || memcmp(a->data, b->data, a->len) == 0);
}

static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* All of the text is there but for white space. */
static void check_kept(const struct buf *got, const char *text, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (space(text[i])) continue;
        while (k < got->len && space(got->data[k])) k++;
        if (k == got->len || got->data[k++] != text[i]) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3 || n > 4096) return 0;
    struct json *tools;
    struct answer_options o = { .in_reasoning = false };
    struct seen whole, bytes, cut;
    const char *text = (const char *)data + 3;
    size_t n_forms = 0;
    while (call_form_at(n_forms)) n_forms++;
    if (json_parse(&tools, tools_text, sizeof tools_text - 1, NULL) < 0) abort();
    const char *why = reasoning[data[1] % N_REASONING];
    dialect_find(why, strlen(why), &o.dialect);
    if (data[0] == 255) dialect_find("<|channel|><|message|>", 22, &o.dialect);
    else o.dialect.form = call_form_at(data[0] % n_forms);
    o.in_reasoning = o.dialect.think_open && (data[2] & 1);
    o.tools = data[2] & 2 ? NULL : tools;
    n -= 3;
    run(&o, text, n, n, 1, &whole);
    run(&o, text, n, 1, 1, &bytes);
    run(&o, text, n, n ? data[2] * n / 256 + 1 : 0, n, &cut);
    if (!same(&whole.all, &bytes.all) || !same(&whole.text, &bytes.text) || !same(&whole.all, &cut.all) ||
        !same(&whole.text, &cut.text)) abort();
    if (!whole.calls && !o.dialect.think_open && !o.dialect.channels) check_kept(&whole.text, text, n);
    release(&whole);
    release(&bytes);
    release(&cut);
    json_free(tools);
    return 0;
}
