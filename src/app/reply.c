#include "app/reply.h"

#include <string.h>

#include "app/term.h"
#include "base/json.h"

static void put_str(struct buf *b, const char *s) { json_write_str(s, strlen(s), b); }

void reply_end(struct reply *r)
{
    if (!r->dimmed) return;
    term_dim(false);
    term_puts("\n\n");
    r->dimmed = false;
}

/* "name {...}" on a line of its own. */
static void show_call(struct reply *r)
{
    struct buf b = { 0 };
    reply_end(r);
    buf_printf(&b, "\n[calls %s %.*s]", r->name.data ? r->name.data : "", (int)(r->calls.len - r->args),
               r->calls.data + r->args);
    if (!b.bad) term_text(b.data, b.len);
    buf_release(&b);
}

static void begin_call(struct reply *r, const struct hearth_chat_event *e)
{
    r->mark = r->calls.len;
    buf_clear(&r->name);
    buf_puts(&r->name, e->name);
    buf_puts(&r->calls, r->n_calls ? ",{\"id\":" : "{\"id\":");
    put_str(&r->calls, e->id);
    buf_puts(&r->calls, ",\"name\":");
    put_str(&r->calls, e->name);
    buf_puts(&r->calls, ",\"arguments\":");
    r->args = r->calls.len;
}

void reply_event(struct reply *r, const struct hearth_chat_event *e)
{
    switch (e->kind) {
    case HEARTH_CHAT_TEXT: reply_end(r); break;
    case HEARTH_CHAT_REASONING:
        buf_put(&r->reasoning, e->text, e->n);
        if (!r->show || r->hide_reasoning || !term_out_tty()) break;
        if (!r->dimmed) term_dim(true);
        r->dimmed = true;
        term_text(e->text, e->n);
        break;
    case HEARTH_CHAT_CALL: begin_call(r, e); break;
    case HEARTH_CHAT_ARGUMENTS: buf_put(&r->calls, e->text, e->n); break;
    case HEARTH_CHAT_CALL_END:
        if (r->show && !r->calls.bad) show_call(r);
        buf_putc(&r->calls, '}');
        r->n_calls++;
        break;
    case HEARTH_CHAT_CALL_BROKEN:
        r->calls.len = r->mark;
        if (r->calls.data) r->calls.data[r->mark] = 0;
        break;
    default: term_note("hearth: %s", e->text); break;
    }
}

struct json *reply_calls_json(const struct reply *r)
{
    struct buf b = { 0 };
    struct json *j = NULL;
    buf_putc(&b, '[');
    if (r->calls.len) buf_put(&b, r->calls.data, r->calls.len);
    buf_putc(&b, ']');
    if (!b.bad && !r->calls.bad && json_parse(&j, b.data, b.len, NULL) < 0)
        j = json_new_str(b.data, b.len);            /* keys that appear twice are no JSON to us: the text as it came */
    buf_release(&b);
    return j;
}

void reply_release(struct reply *r)
{
    buf_release(&r->reasoning);
    buf_release(&r->calls);
    buf_release(&r->name);
}
