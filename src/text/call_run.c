/* call_run.c - one call, or all between two marks, read along the pattern of its form. */
#include <string.h>

#include "text/answer_impl.h"

enum { MAX_WORD = 512 };

static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void call_run_release(struct call_run *r)
{
    struct buf *all[] = { &r->object.key, &r->object.value, &r->object.early, &r->object.id, &r->word, &r->held, &r->raw,
                          &r->name, &r->id, &r->key, &r->value };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buf_release(all[i]);
}

size_t pattern_mark(const char *p)
{
    size_t n = 0;
    while (p[n] && p[n] != '%' && !space(p[n])) n++;
    return n;
}

static struct buf *emptied(struct buf *b)
{
    buf_clear(b);
    return b;
}

/* The first literal at or behind a place of the pattern, white space passed over. */
static const char *next_literal(const char *p)
{
    while (space(*p)) p++;
    return p;
}

static void begin_call(struct call_run *r)
{
    r->at = r->form->call + pattern_mark(r->form->call);
    r->between = r->tail = r->list = r->any = false;
    emptied(&r->word);
    emptied(&r->held);
    emptied(&r->id);
    emptied(&r->name);
    r->quote = 0;
    r->depth = 0;
    jwalk_init(&r->args);
    call_object_begin(r);
}

void call_run_begin(struct answer *a, struct call_run *r, const struct call_form *f, const char *text)
{
    (void)a;
    r->form = f;
    r->open = r->in_param = false;
    begin_call(r);
    r->between = f->open != NULL;
    buf_puts(emptied(&r->raw), text);
}

/* The call is complete: what follows can no longer spoil it. */
static void call_ended(struct answer *a, struct call_run *r)
{
    if (r->open) answer_end_call(a);
    r->open = false;
    r->tail = true;
    emptied(&r->raw);
}

/* Whether held[n] begins the word, or is all of it. */
enum match { NO_MATCH, PART, WHOLE };
static enum match match(const struct buf *held, const char *word, size_t n)
{
    if (!n || !held->len || held->len > n || memcmp(held->data, word, held->len) != 0) return NO_MATCH;
    return held->len == n ? WHOLE : PART;
}

/* Between the calls of a section. */
static enum step step_between(struct call_run *r, char c)
{
    const char *call = r->form->call, *close = r->form->close ? r->form->close : "";
    if (!r->held.len && space(c)) return STEP_MORE;
    buf_putc(&r->held, c);
    enum match m = match(&r->held, call, pattern_mark(call)), e = match(&r->held, close, strlen(close));
    if (e == WHOLE) return r->tail ? STEP_DONE : STEP_BAD;         /* without a call it is none */
    if (m == WHOLE) begin_call(r);
    return m || e ? STEP_MORE : STEP_BAD;
}

/* ---- words ---- */

static bool good_name(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        if ((unsigned char)b->data[i] <= ' ' || strchr("<>{}\"'()[],", b->data[i])) return false;
    return b->len > 0;
}

static void trimmed(struct buf *to, const char *s, size_t n)
{
    while (n && space(*s)) s++, n--;
    while (n && space(s[n - 1])) n--;
    buf_put(emptied(to), s, n);
}

static bool begin_named(struct answer *a, struct call_run *r)
{
    if (!good_name(&r->name) || (r->form->bare && !answer_knows(a, r->name.data, r->name.len))) return false;
    answer_send_call(a, r->name.data, r->name.len, r->id.data ? r->id.data : "", r->id.len);
    return r->open = true;
}

static bool word_ended(struct answer *a, struct call_run *r, char kind)
{
    static const char call_id[] = "[CALL_ID]", functions[] = "functions.";
    const char *s = r->word.data ? r->word.data : "", *mid;
    size_t n = r->word.len;
    switch (kind) {
    case 'i': trimmed(&r->id, s, n); return true;
    case 'k': trimmed(&r->key, s, n); return r->key.len > 0;
    case 't':
        r->has_type = true;
        r->text_value = n == 4 && memcmp(s, "true", 4) == 0;
        return true;
    case 'f':
        trimmed(&r->id, s, n);
        s = r->id.data ? r->id.data : "";
        n = r->id.len;
        while (n && s[n - 1] != ':') n--;
        if (n) n--;
        else n = r->id.len;
        if (n > sizeof functions - 1 && memcmp(s, functions, sizeof functions - 1) == 0)
            s += sizeof functions - 1, n -= sizeof functions - 1;
        trimmed(&r->name, s, n);
        return begin_named(a, r);
    default:
        if ((mid = strstr(s, call_id))) {               /* NAME[CALL_ID]ID */
            trimmed(&r->id, mid + sizeof call_id - 1, n - (size_t)(mid - s) - (sizeof call_id - 1));
            n = (size_t)(mid - s);
        }
        trimmed(&r->name, s, n);
        return begin_named(a, r);
    }
}

/* STEP_BEFORE: the word has ended before this byte. */
static enum step step_word(struct answer *a, struct call_run *r, char c)
{
    char kind = r->at[1];
    const char *literal = r->at + 2;
    size_t n = pattern_mark(literal);
    if (!n && (space(c) || c == '<' || c == '{')) {
        if (!r->word.len && space(c)) return STEP_MORE;
        if (!word_ended(a, r, kind)) return STEP_BAD;
        r->at = literal;
        emptied(&r->word);
        return STEP_BEFORE;
    }
    buf_putc(&r->word, c);
    if (r->word.len > MAX_WORD) return STEP_BAD;
    if (!n || r->word.len < n || memcmp(r->word.data + r->word.len - n, literal, n) != 0) return STEP_MORE;
    r->word.len -= n;
    r->word.data[r->word.len] = 0;
    if (!word_ended(a, r, kind)) return STEP_BAD;
    r->at = literal + n;
    emptied(&r->word);
    return STEP_MORE;
}

/* ---- arguments as JSON ---- */

static enum step step_args(struct answer *a, struct call_run *r, char c)
{
    bool begun = r->args.depth > 0, inside = jwalk_in_string(&r->args);
    if (!begun) {
        if (space(c)) return STEP_MORE;
        const char *next = next_literal(r->at + 2);
        if (c != '{' && *next && c == *next) {                   /* none at all */
            answer_send(a, ANSWER_ARGS, "{}", 2);
            r->at = next;
            call_ended(a, r);
            buf_putc(&r->raw, c);
            return STEP_BEFORE;
        }
        if (c != '{') return STEP_BAD;
    }
    enum step s = jwalk_step(&r->args, c);
    if (s == STEP_BAD || s == STEP_BEFORE) return STEP_BAD;
    char escaped[8];
    bool raw = inside && (unsigned char)c < 0x20;
    if (raw) fmt_into(escaped, sizeof escaped, "\\u%04x", (unsigned)(unsigned char)c);
    answer_send(a, ANSWER_ARGS, raw ? escaped : &c, raw ? 6 : 1);
    if (s == STEP_MORE) return STEP_MORE;
    r->at += 2;
    call_ended(a, r);
    return STEP_MORE;
}

static enum step step_objects(struct answer *a, struct call_run *r, char c)
{
    bool at_start = r->object.walk.depth == 0;
    if (at_start && r->at[1] == 'l') {
        if (space(c) || (r->list && r->any && c == ',')) return STEP_MORE;
        if (c == '[' && !r->list) {
            r->list = true;
            return STEP_MORE;
        }
        if (c == ']' && r->list) {
            if (!r->any) return STEP_BAD;                        /* an empty list is no call */
            r->list = false;
            r->at += 2;
            call_ended(a, r);
            return STEP_MORE;
        }
    }
    enum step s = call_object_step(a, r, c);
    if (s != STEP_DONE) return s;
    r->any = true;
    emptied(&r->raw);
    call_object_begin(r);
    if (r->list) return STEP_MORE;
    r->at += 2;
    r->tail = true;
    return STEP_MORE;
}

/* ---- parameters ---- */

static void put_key(struct answer *a, struct call_run *r)
{
    struct buf b = { 0 };
    buf_puts(&b, r->any ? ", " : "{");
    json_write_str(r->key.data ? r->key.data : "", r->key.len, &b);
    buf_puts(&b, ": ");
    answer_send(a, ANSWER_ARGS, b.data ? b.data : "", b.len);
    r->any = true;
    buf_release(&b);
}

static enum step step_params(struct answer *a, struct call_run *r, char c)
{
    const char *param = r->form->param, *close = next_literal(r->at + 2);
    if (!r->held.len && space(c)) return STEP_MORE;
    buf_putc(&r->held, c);
    enum match m = match(&r->held, param, pattern_mark(param)), e = match(&r->held, close, pattern_mark(close));
    if (m == WHOLE) {
        emptied(&r->held);
        r->in_param = true;
        r->has_type = false;
        r->back = r->at;                              /* where to go on afterwards */
        r->at = param + pattern_mark(param);
        return STEP_MORE;
    }
    if (e == WHOLE) {
        answer_send(a, ANSWER_ARGS, r->any ? "}" : "{}", r->any ? 1 : 2);
        emptied(&r->held);
        r->at = close + pattern_mark(close);
        call_ended(a, r);
        return STEP_MORE;
    }
    return m || e ? STEP_MORE : STEP_BAD;
}

static void begin_value(struct answer *a, struct call_run *r)
{
    const char *type = r->has_type ? NULL : answer_param_type(a, r->name.data, r->key.data);
    put_key(a, r);
    if (!r->has_type) r->text_value = type && strcmp(type, "string") == 0;
    if (r->text_value) answer_send(a, ANSWER_ARGS, "\"", 1);
    emptied(&r->value);
    emptied(&r->held);
    jwalk_init(&r->args);
    r->first_nl = true;
    r->quote = 1;                                       /* the value has begun */
}

/* One byte that certainly belongs to the value.  Of text, a line feed waits in r->value: the last one is not part of it. */
static void put_value(struct answer *a, struct call_run *r, char c, bool strip)
{
    if (strip && r->first_nl && c == '\n') {
        r->first_nl = false;
        return;
    }
    r->first_nl = false;
    if (!r->text_value) {
        buf_putc(&r->value, c);
        return;
    }
    char waits = r->value.len ? '\n' : 0;
    emptied(&r->value);
    if (strip && c == '\n') buf_putc(&r->value, c);
    for (int i = waits ? 0 : 1; i < (strip && c == '\n' ? 1 : 2); i++) {
        char one = i ? c : waits, text[8];
        if (one == '\n') answer_send(a, ANSWER_ARGS, "\\n", 2);
        else if (one == '"' || one == '\\') answer_send(a, ANSWER_ARGS, (char[2]){ '\\', one }, 2);
        else if ((unsigned char)one < 0x20) {
            fmt_into(text, sizeof text, "\\u%04x", (unsigned)(unsigned char)one);
            answer_send(a, ANSWER_ARGS, text, 6);
        } else answer_send(a, ANSWER_ARGS, &one, 1);
    }
}

static void end_value(struct answer *a, struct call_run *r, bool strip)
{
    r->quote = 0;
    if (r->text_value) {
        answer_send(a, ANSWER_ARGS, "\"", 1);
        return;
    }
    struct json *j = NULL;
    struct buf b = { 0 };
    const char *s = r->value.data ? r->value.data : "";
    size_t n = r->value.len;
    if (strip && n && s[n - 1] == '\n') n--;
    /* JSON when it is some, or Python; what the schema calls a string never comes here */
    if (json_parse(&j, s, n, NULL) == 0) json_write(j, false, &b);
    else if (!json_from_python(s, n, &b)) {
        buf_clear(&b);
        json_write_str(s, n, &b);
    }
    answer_send(a, ANSWER_ARGS, b.data ? b.data : "null", b.data ? b.len : 4);
    json_free(j);
    buf_release(&b);
}

static void value_byte(struct answer *a, struct call_run *r, char c, bool strip)
{
    if (!r->text_value) jwalk_step(&r->args, c);
    put_value(a, r, c, strip);
}

/* In a string of JSON the closing mark is text. */
static enum step step_value(struct answer *a, struct call_run *r, char c)
{
    const char *close = next_literal(r->at + 2);
    bool strip = space(r->at[2]);
    size_t n = pattern_mark(close);
    if (!r->quote) begin_value(a, r);
    if (!r->held.len && !r->text_value && jwalk_in_string(&r->args)) {
        value_byte(a, r, c, strip);
        return STEP_MORE;
    }
    buf_putc(&r->held, c);
    while (r->held.len && match(&r->held, close, n) == NO_MATCH) {
        value_byte(a, r, r->held.data[0], strip);
        memmove(r->held.data, r->held.data + 1, r->held.len--);
    }
    if (r->held.len < n) return STEP_MORE;
    end_value(a, r, strip);
    emptied(&r->held);
    emptied(&r->word);
    r->at = close + n;
    if (!*r->at) {
        r->in_param = false;
        r->at = r->back;
    }
    return STEP_MORE;
}

/* ---- whole texts ---- */

/* Whether text that begins like a list is one of calls: "[name(", with a known name. */
static bool begins_like_calls(const struct answer *a, const struct buf *b)
{
    size_t i = 1, from;
    if (!b->len) return false;
    while (i < b->len && space(b->data[i])) i++;
    from = i;
    while (i < b->len && (b->data[i] == '_' || b->data[i] == '.' || b->data[i] == '-' || (unsigned char)b->data[i] >= 0x80 ||
                          (b->data[i] >= '0' && b->data[i] <= '9') || ((b->data[i] | 32) >= 'a' && (b->data[i] | 32)
                              <= 'z'))) i++;
    return b->data[0] == '[' && (i == b->len || (b->data[i] == '(' && answer_knows(a, b->data + from, i - from)));
}

/* Whether this byte closes the list. */
static bool balanced(struct call_run *r, char c)
{
    if (r->quote) {
        if (c == r->quote && !r->escaped) r->quote = 0;
        r->escaped = c == '\\' && !r->escaped;
        return false;
    }
    r->escaped = false;
    if (c == '"' || c == '\'') r->quote = c;
    else if (c == '[' || c == '(' || c == '{') r->depth++;
    else if ((c == ']' || c == ')' || c == '}') && r->depth) return --r->depth == 0 && c == ']';
    return false;
}

static bool ends_with(const struct buf *b, const char *s, size_t n)
{
    return b->len >= n && memcmp(b->data + b->len - n, s, n) == 0;
}

/* In a string the closing mark is text. */
static enum step step_gather(struct answer *a, struct call_run *r, char c)
{
    bool python = r->at[1] == 'y';
    const char *close = next_literal(r->at + 2);
    size_t n = pattern_mark(close);
    buf_putc(&r->word, c);
    bool whole = python && balanced(r, c);
    if (!python && ends_with(&r->word, "<|\"|>", 5)) r->quote = !r->quote;
    if (!n) {
        if (!begins_like_calls(a, &r->word)) return STEP_BAD;
        if (!whole) return STEP_MORE;
    } else if (r->quote || !ends_with(&r->word, close, n)) {
        return STEP_MORE;
    }
    size_t len = r->word.len - n;
    struct buf json = { 0 };
    bool ok = python ? calls_from_python(a, r->word.data, len) : json_from_gemma(r->word.data, len, &json);
    if (ok && !python) answer_send(a, ANSWER_ARGS, json.data, json.len);
    buf_release(&json);
    if (!ok) return STEP_BAD;
    r->at = close + n;
    emptied(&r->word);
    call_ended(a, r);
    return STEP_MORE;
}

/* ---- the pattern ---- */

static enum step step_element(struct answer *a, struct call_run *r, char c)
{
    switch (r->at[1]) {
    case 'a': return step_args(a, r, c);
    case 'o':
    case 'l': return step_objects(a, r, c);
    case 'p': return step_params(a, r, c);
    case 'v': return step_value(a, r, c);
    case 'y':
    case 'g': return step_gather(a, r, c);
    default: return step_word(a, r, c);
    }
}

enum step call_run_step(struct answer *a, struct call_run *r, char c)
{
    enum step s = STEP_BEFORE;
    buf_putc(&r->raw, c);
    while (s == STEP_BEFORE) {
        if (r->between) return step_between(r, c);
        if (space(*r->at)) {
            if (space(c) && r->at[1] != '%') return STEP_MORE;
            if (space(c) && r->at[2] != 'v') return STEP_MORE;
            r->at++;
            continue;
        }
        if (*r->at == '%') {
            s = step_element(a, r, c);
        } else {
            if (!*r->at || c != *r->at) return STEP_BAD;
            r->at++;
            s = STEP_MORE;
        }
    }
    if (s != STEP_MORE || *r->at || r->in_param) return s;
    if (!r->tail) return STEP_BAD;
    if (!r->form->open) return STEP_DONE;
    r->between = true;
    emptied(&r->held);
    emptied(&r->raw);
    return STEP_MORE;
}

enum step call_run_finish(struct answer *a, struct call_run *r)
{
    (void)a;
    bool blank = true;
    for (size_t i = 0; i < r->raw.len; i++) blank &= space(r->raw.data[i]);
    if (r->open) return STEP_BAD;
    /* a closing mark that was begun is no text */
    if (r->tail && !r->between) return STEP_DONE;
    if ((r->between || r->list) && r->tail + r->any && (blank || r->held.len || r->list)) return STEP_DONE;
    return r->raw.len && !blank ? STEP_BAD : STEP_DONE;
}
