#include "text/answer_impl.h"

#include <string.h>

#include "base/mem.h"

enum state { IN_TEXT, IN_REASONING, IN_CALL, IN_HEADER, IN_BODY };
enum { MAX_HEADER = 1024, MAX_MARKS = 8 };

struct answer {
    struct answer_options o;
    enum state state;
    struct buf held;                   /* may be the beginning of a mark */
    struct buf space;                  /* white space that goes if a mark or the end follows */
    struct buf out;                    /* an event's text that grows while the kind stays */
    enum answer_kind kind;
    bool begun;                        /* some text came */
    bool strip;                        /* white space that comes now stands behind a mark */
    bool calling;                      /* a CALL was sent and not ended */
    size_t n_calls;
    struct call_run run;
    struct buf header;                 /* of a channel's message */
    bool body_call, body_reasoning;
    struct jwalk args;
    bool failed;
};

int answer_open(struct answer **out, const struct answer_options *o, struct err *err)
{
    struct answer *a = *out = mem_new(1, sizeof *a);
    if (!a) return err_set(err, ERR_NOMEM, "out of memory for the answer");
    a->o = *o;
    a->body_reasoning = o->dialect.channels && o->in_reasoning;
    a->begun = o->in_text;
    a->state = o->dialect.channels ? (o->in_text || o->in_reasoning ? IN_BODY : IN_HEADER)
        : o->in_reasoning ? IN_REASONING : IN_TEXT;
    a->strip = o->in_reasoning;
    return 0;
}

void answer_close(struct answer *a)
{
    if (!a) return;
    buf_release(&a->held);
    buf_release(&a->space);
    buf_release(&a->out);
    buf_release(&a->header);
    call_run_release(&a->run);
    mem_free(a);
}

/* ---- events ---- */

static void flush(struct answer *a)
{
    if (!a->out.len) return;
    struct answer_event e = { .kind = a->kind, .call = a->n_calls, .text = a->out.data, .n = a->out.len, .name = "", .id = "" };
    if (a->o.fn) a->o.fn(a->o.arg, &e);
    buf_clear(&a->out);
}

void answer_send(struct answer *a, enum answer_kind kind, const char *text, size_t n)
{
    if (a->kind != kind) flush(a);
    a->kind = kind;
    buf_put(&a->out, text, n);
}

static void send_mark(struct answer *a, enum answer_kind kind, const char *name, const char *id, const char *text)
{
    flush(a);
    struct answer_event e = { .kind = kind, .call = a->n_calls, .text = text, .n = strlen(text), .name = name, .id = id };
    if (a->o.fn) a->o.fn(a->o.arg, &e);
}

void answer_send_call(struct answer *a, const char *name, size_t n, const char *id, size_t n_id)
{
    struct buf b = { 0 }, c = { 0 };
    buf_put(&b, name, n);
    buf_put(&c, id, n_id);
    send_mark(a, ANSWER_CALL, b.data ? b.data : "", c.data ? c.data : "", "");
    a->calling = true;
    a->failed |= b.bad || c.bad;
    buf_release(&b);
    buf_release(&c);
}

void answer_end_call(struct answer *a)
{
    send_mark(a, ANSWER_CALL_END, "", "", "");
    a->calling = false;
    a->n_calls++;
    buf_clear(&a->space);
    a->strip = true;
}

static const struct json *find_tool(const struct answer *a, const char *name, size_t n)
{
    for (size_t i = 0; i < json_len(a->o.tools); i++) {
        const struct json *t = json_at(a->o.tools, i), *f = json_get(t, "function");
        size_t len = 0;
        const char *s = json_str(json_get(f ? f : t, "name"), &len);
        if (s && len == n && memcmp(s, name, n) == 0) return f ? f : t;
    }
    return NULL;
}

bool answer_knows(const struct answer *a, const char *name, size_t n) { return find_tool(a, name, n) != NULL; }

const char *answer_param_type(const struct answer *a, const char *tool, const char *param)
{
    const struct json *f = tool ? find_tool(a, tool, strlen(tool)) : NULL, *p = json_get(f, "parameters");
    if (!p) p = json_get(f, "input_schema");
    const struct json *schema = param ? json_get(json_get(p, "properties"), param) : NULL, *type = json_get(schema, "type");
    if (!type && json_type(json_get(schema, "enum")) == JSON_ARRAY) {
        const struct json *first = json_at(json_get(schema, "enum"), 0);
        return json_str(first, NULL) ? "string" : NULL;
    }
    return json_str(type, NULL);
}

/* ---- text and marks ---- */

static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void put_byte(struct answer *a, char c)
{
    enum answer_kind kind = a->state == IN_REASONING || (a->state == IN_BODY && a->body_reasoning)
        ? ANSWER_REASONING : ANSWER_TEXT;
    if (space(c)) {
        if (!a->strip) buf_putc(&a->space, c);
        return;
    }
    if (a->space.len) answer_send(a, kind, a->space.data, a->space.len);
    buf_clear(&a->space);
    answer_send(a, kind, &c, 1);
    a->strip = false;
    if (kind == ANSWER_TEXT) a->begun = true;
}

static void put_text(struct answer *a, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) put_byte(a, s[i]);
}

struct marks { const char *s[MAX_MARKS]; size_t n[MAX_MARKS]; size_t count; };

static void add(struct marks *m, const char *s, size_t n)
{
    if (!s || !n || m->count == MAX_MARKS) return;
    m->s[m->count] = s;
    m->n[m->count++] = n;
}

static const char *call_mark(const struct answer *a, size_t *n)
{
    const struct call_form *f = a->o.dialect.form;
    *n = 0;
    if (!f || f->bare || !a->o.tools) return NULL;
    *n = f->open ? strlen(f->open) : pattern_mark(f->call);
    return f->open ? f->open : f->call;
}

/* The marks that count in this state; `which` of them: 0 opens reasoning, 1 a call, others are skipped. */
static void marks_of(const struct answer *a, struct marks *m)
{
    const struct dialect *d = &a->o.dialect;
    static const char *const body[] = { "<|end|>", "<|call|>", "<|return|>", "<|start|>" };
    size_t n;
    m->count = 0;
    if (a->state == IN_REASONING) {
        add(m, d->think_close, strlen(d->think_close));
    } else if (a->state == IN_BODY) {
        for (size_t i = 0; i < 4; i++) add(m, body[i], strlen(body[i]));
    } else {
        const char *call = call_mark(a, &n);
        for (size_t i = 0; i < 4; i++)
            if (d->skip[i]) add(m, d->skip[i], strlen(d->skip[i]));
        add(m, d->think_open, d->think_open ? strlen(d->think_open) : 0);
        add(m, call, n);
    }
}

/* The first mark that begins with held, and whether held is all of one. */
static bool begins_mark(const struct buf *held, const struct marks *m, const char **whole)
{
    bool part = false;
    for (size_t i = 0; i < m->count && !*whole; i++) {
        if (held->len > m->n[i] || memcmp(held->data, m->s[i], held->len) != 0) continue;
        part = true;
        if (held->len == m->n[i]) *whole = m->s[i];
    }
    return part;
}

static void begin_call(struct answer *a, const char *mark, size_t n)
{
    struct buf text = { 0 };
    buf_put(&text, mark, n);
    call_run_begin(a, &a->run, a->o.dialect.form, text.data ? text.data : "");
    a->failed |= text.bad;
    buf_release(&text);
    a->state = IN_CALL;
}

static void mark_found(struct answer *a, const char *mark)
{
    const struct dialect *d = &a->o.dialect;
    size_t n;
    buf_clear(&a->held);
    if (a->state == IN_BODY) {
        if (a->calling) send_mark(a, ANSWER_CALL_BROKEN, "", "", "");
        a->calling = false;
        a->state = IN_HEADER;
        buf_clear(&a->space);
        buf_clear(&a->header);
        if (strcmp(mark, "<|start|>") == 0) buf_puts(&a->header, mark);
    } else if (mark == call_mark(a, &n)) {
        begin_call(a, mark, n);
    } else if (a->state == IN_REASONING || mark == d->think_open) {
        a->state = a->state == IN_TEXT ? IN_REASONING : IN_TEXT;
        buf_clear(&a->space);
        a->strip = true;
    } else {
        a->strip |= a->space.len == 0 && !a->begun;
    }
}

/* ---- calls ---- */

static void step(struct answer *a, char c);

static void broken(struct answer *a, bool feed_last)
{
    static const char why[] = "a tool call is malformed and stays in the text";
    struct call_run *r = &a->run;
    size_t n = r->raw.len;
    char last = n ? r->raw.data[n - 1] : 0;
    if (a->calling) send_mark(a, ANSWER_CALL_BROKEN, "", "", "");
    if (!r->tail && !r->form->bare) send_mark(a, ANSWER_WARNING, "", "", why);
    a->calling = r->open = false;
    a->state = IN_TEXT;
    if (feed_last && n) n--;
    if (n) {
        if (!r->tail) a->strip = false;
        put_text(a, r->raw.data, n);
        a->begun = true;
    }
    if (feed_last) step(a, last);
}

static void step_call(struct answer *a, char c)
{
    switch (call_run_step(a, &a->run, c)) {
    case STEP_MORE: return;
    case STEP_DONE: a->state = IN_TEXT; return;
    default: broken(a, true);
    }
}

static bool bare_call_begins(const struct answer *a, char c)
{
    const struct call_form *f = a->o.dialect.form;
    return f && f->bare && a->o.tools && !a->begun && !a->held.len && c == (f->call[1] == 'y' ? '[' : '{');
}

/* ---- channels ---- */

static const char message_mark[] = "<|message|>";

/* The word behind a label in the header: up to white space or '<'. */
static size_t header_word(const struct buf *h, const char *label, const char **word)
{
    const char *p = h->data ? strstr(h->data, label) : NULL;
    if (!p) return 0;
    *word = p + strlen(label);
    return strcspn(*word, " \t\r\n<");
}

static void body_begins(struct answer *a)
{
    const char *to = "", *channel = "";
    size_t n_to = header_word(&a->header, "to=", &to), n = header_word(&a->header, "<|channel|>", &channel);
    a->state = IN_BODY;
    a->body_reasoning = n == 8 && memcmp(channel, "analysis", 8) == 0 && !n_to;
    a->body_call = n_to > 0 && a->o.tools;
    a->strip = false;
    if (!a->body_call) return;
    if (n_to > 10 && memcmp(to, "functions.", 10) == 0) to += 10, n_to -= 10;
    jwalk_init(&a->args);
    buf_clear(&a->run.raw);
    a->body_reasoning = false;
    answer_send_call(a, to, n_to, "", 0);
}

static void step_header(struct answer *a, char c)
{
    size_t n = sizeof message_mark - 1;
    buf_putc(&a->header, c);
    if (a->header.len >= n && memcmp(a->header.data + a->header.len - n, message_mark, n) == 0) {
        body_begins(a);
        buf_clear(&a->header);
    } else if (a->header.len > MAX_HEADER) {
        a->state = IN_TEXT;
        put_text(a, a->header.data, a->header.len);
        buf_clear(&a->header);
    }
}

/* The bytes of a call's arguments in the body of a message. */
static void step_body_args(struct answer *a, char c)
{
    bool begun = a->args.depth > 0, inside = jwalk_in_string(&a->args);
    buf_putc(&a->run.raw, c);
    if (!begun && space(c)) return;
    enum step s = !begun && c != '{' ? STEP_BAD : jwalk_step(&a->args, c);
    if (s == STEP_BAD || s == STEP_BEFORE) {
        send_mark(a, ANSWER_CALL_BROKEN, "", "", "");
        send_mark(a, ANSWER_WARNING, "", "", "a tool call is malformed and stays in the text");
        a->calling = a->body_call = false;
        put_text(a, a->run.raw.data, a->run.raw.len);
        buf_clear(&a->run.raw);
        return;
    }
    char escaped[8];
    bool raw = inside && (unsigned char)c < 0x20;
    if (raw) fmt_into(escaped, sizeof escaped, "\\u%04x", (unsigned)(unsigned char)c);
    answer_send(a, ANSWER_ARGS, raw ? escaped : &c, raw ? 6 : 1);
    if (s == STEP_DONE) {
        answer_end_call(a);
        buf_clear(&a->run.raw);
        a->body_call = false;
    }
}

static void put_body(struct answer *a, char c)
{
    if (a->state == IN_BODY && a->body_call) step_body_args(a, c);
    else put_byte(a, c);
}

/* ---- the machine ---- */

static void step(struct answer *a, char c)
{
    if (a->state == IN_CALL) {
        step_call(a, c);
        return;
    }
    if (a->state == IN_HEADER) {
        step_header(a, c);
        return;
    }
    if (a->state == IN_TEXT && bare_call_begins(a, c)) {
        begin_call(a, "", 0);
        step_call(a, c);
        return;
    }
    if (a->state == IN_BODY && a->body_call && !a->held.len && jwalk_in_string(&a->args)) {
        step_body_args(a, c);                  /* marks in it are text */
        return;
    }
    struct marks m;
    const char *whole = NULL;
    marks_of(a, &m);
    buf_putc(&a->held, c);
    while (a->held.len && !begins_mark(&a->held, &m, &whole)) {
        put_body(a, a->held.data[0]);
        memmove(a->held.data, a->held.data + 1, a->held.len--);
    }
    if (whole) mark_found(a, whole);
}

static bool ok(struct answer *a)
{
    const struct buf *all[] = { &a->held, &a->space, &a->out, &a->header, &a->run.raw, &a->run.word, &a->run.held, &a->run.name,
                                &a->run.id, &a->run.key, &a->run.value, &a->run.object.key, &a->run.object.value,
                                &a->run.object.early, &a->run.object.id };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) a->failed |= all[i]->bad;
    return !a->failed;
}

bool answer_push(struct answer *a, const char *text, size_t n)
{
    for (size_t i = 0; i < n && ok(a); i++) step(a, text[i]);
    flush(a);
    return ok(a);
}

static void finish_body(struct answer *a)
{
    if (a->calling) {
        send_mark(a, ANSWER_CALL_BROKEN, "", "", "");
        send_mark(a, ANSWER_WARNING, "", "", "a tool call is not complete and stays in the text");
        a->calling = a->body_call = false;
        if (a->run.raw.len) put_text(a, a->run.raw.data, a->run.raw.len);
    }
}

bool answer_finish(struct answer *a)
{
    if (!ok(a)) return false;
    if (a->state == IN_CALL) {
        if (call_run_finish(a, &a->run) == STEP_BAD) broken(a, false);
        a->state = IN_TEXT;
    }
    if (a->state == IN_HEADER) {                /* a message that never began; its marks alone are no text */
        a->state = IN_TEXT;
        if (a->header.len && a->header.data[0] != '<') put_text(a, a->header.data, a->header.len);
        buf_clear(&a->header);
    }
    while (a->held.len) {
        put_body(a, a->held.data[0]);
        memmove(a->held.data, a->held.data + 1, a->held.len--);
    }
    finish_body(a);
    if (a->space.len && !a->n_calls && a->state != IN_REASONING && !(a->state == IN_BODY && a->body_reasoning))
        answer_send(a, ANSWER_TEXT, a->space.data, a->space.len);
    buf_clear(&a->space);
    flush(a);
    return ok(a);
}

bool answer_in_reasoning(const struct answer *a)
{
    return a->state == IN_REASONING || (a->state == IN_BODY && a->body_reasoning);
}

size_t answer_calls(const struct answer *a) { return a->n_calls; }

bool answer_wants(const struct answer *a, const char *text, size_t n)
{
    const struct dialect *d = &a->o.dialect;
    if (d->channels) return true;
    const struct call_form *f = a->o.tools ? d->form : NULL;
    const char *all[] = { d->think_open, d->think_close, d->skip[0], d->skip[1], d->skip[2], d->skip[3], f ? f->open : NULL,
                          f ? f->close : NULL, f ? f->call : NULL, f ? f->param : NULL, "<|\"|>" };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        size_t len = all[i] ? strlen(all[i]) : 0;
        for (size_t at = 0; n && at + n <= len; at++)
            if (memcmp(all[i] + at, text, n) == 0) return true;
    }
    return false;
}

const char *answer_stop_reasoning(const struct answer *a)
{
    if (a->o.dialect.channels) return "<|end|><|start|>assistant<|channel|>final<|message|>";
    return a->o.dialect.think_close;
}
