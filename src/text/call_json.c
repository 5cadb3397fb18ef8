/* call_json.c - JSON byte by byte: checking it, and finding name and arguments of a call while it comes. */
#include <string.h>

#include "text/answer_impl.h"

enum { J_VALUE, J_VALUE_OR_END, J_KEY_OR_END, J_KEY, J_COLON, J_NEXT, J_STRING, J_ESCAPE, J_HEX, J_WORD, J_MINUS, J_ZERO,
       J_INT, J_DOT, J_FRACTION, J_E, J_SIGN, J_EXPONENT, J_DONE, J_BAD };
enum { IN_KEY = 0x80 };                /* of a string's states: it is a key */

void jwalk_init(struct jwalk *w) { *w = (struct jwalk){ .state = J_VALUE }; }

static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool digit(char c) { return c >= '0' && c <= '9'; }

bool jwalk_in_string(const struct jwalk *w)
{
    unsigned s = w->state & ~(unsigned)IN_KEY;
    return s == J_STRING || s == J_ESCAPE || s == J_HEX;
}

static enum step bad(struct jwalk *w)
{
    w->state = J_BAD;
    return STEP_BAD;
}

static enum step value_ended(struct jwalk *w)
{
    w->state = w->depth ? J_NEXT : J_DONE;
    return w->depth ? STEP_MORE : STEP_DONE;
}

static enum step open(struct jwalk *w, char c)
{
    if (w->depth == JWALK_DEPTH) return bad(w);
    w->nest[w->depth++] = c == '{' ? '}' : ']';
    w->state = c == '{' ? J_KEY_OR_END : J_VALUE_OR_END;
    return STEP_MORE;
}

static enum step begin_value(struct jwalk *w, char c)
{
    if (c == '{' || c == '[') return open(w, c);
    if (c == '"') w->state = J_STRING;
    else if (c == '-') w->state = J_MINUS;
    else if (c == '0') w->state = J_ZERO;
    else if (digit(c)) w->state = J_INT;
    else if (c == 't' || c == 'f' || c == 'n') {
        w->word = c == 't' ? "rue" : c == 'f' ? "alse" : "ull";
        w->state = J_WORD;
    } else return bad(w);
    return STEP_MORE;
}

static enum step between(struct jwalk *w, char c)
{
    if (space(c)) return STEP_MORE;
    switch (w->state) {
    case J_VALUE_OR_END:
    case J_NEXT:
        if (w->depth && c == w->nest[w->depth - 1]) {
            w->depth--;
            return value_ended(w);
        }
        if (w->state == J_VALUE_OR_END) return begin_value(w, c);
        if (c != ',') return bad(w);
        w->state = w->nest[w->depth - 1] == '}' ? J_KEY : J_VALUE;
        return STEP_MORE;
    case J_KEY_OR_END:
        if (c == '}') {
            w->depth--;
            return value_ended(w);
        }
        /* fall through */
    case J_KEY:
        if (c != '"') return bad(w);
        w->state = J_STRING | IN_KEY;
        return STEP_MORE;
    case J_COLON:
        if (c != ':') return bad(w);
        w->state = J_VALUE;
        return STEP_MORE;
    default: return begin_value(w, c);
    }
}

static enum step in_string(struct jwalk *w, char c)
{
    uint8_t key = w->state & IN_KEY;
    switch (w->state & ~(unsigned)IN_KEY) {
    case J_STRING:
        if (c == '\\') w->state = J_ESCAPE | key;
        else if (c == '"' && key) w->state = J_COLON;
        else if (c == '"') return value_ended(w);
        return STEP_MORE;
    case J_ESCAPE:
        if (!c || !strchr("\"\\/bfnrtu", c)) return bad(w);
        w->state = (c == 'u' ? J_HEX : J_STRING) | key;
        w->count = 4;
        return STEP_MORE;
    default:
        if (!digit(c) && !((c | 32) >= 'a' && (c | 32) <= 'f')) return bad(w);
        if (!--w->count) w->state = J_STRING | key;
        return STEP_MORE;
    }
}

/* The end of a number is seen only at the byte after it. */
static enum step number_ended(struct jwalk *w, char c)
{
    if (value_ended(w) == STEP_DONE) return STEP_BEFORE;
    return between(w, c);
}

static enum step in_number(struct jwalk *w, char c)
{
    bool exp = c == 'e' || c == 'E';
    switch (w->state) {
    case J_MINUS:
        if (!digit(c)) return bad(w);
        w->state = c == '0' ? J_ZERO : J_INT;
        return STEP_MORE;
    case J_ZERO:
    case J_INT:
        if (w->state == J_INT && digit(c)) return STEP_MORE;
        if (c != '.' && !exp) return number_ended(w, c);
        w->state = exp ? J_E : J_DOT;
        return STEP_MORE;
    case J_DOT:
    case J_FRACTION:
        if (!digit(c) && (w->state == J_DOT || !exp)) return w->state == J_DOT ? bad(w) : number_ended(w, c);
        w->state = exp ? J_E : J_FRACTION;
        return STEP_MORE;
    case J_E:
    case J_SIGN:
        if (!digit(c) && (w->state == J_SIGN || (c != '+' && c != '-'))) return bad(w);
        w->state = digit(c) ? J_EXPONENT : J_SIGN;
        return STEP_MORE;
    default: return digit(c) ? STEP_MORE : number_ended(w, c);
    }
}

enum step jwalk_step(struct jwalk *w, char c)
{
    if (jwalk_in_string(w)) return in_string(w, c);
    if (w->state == J_WORD) {
        if (c != *w->word) return bad(w);
        return *++w->word ? STEP_MORE : value_ended(w);
    }
    if (w->state >= J_MINUS && w->state <= J_EXPONENT) return in_number(w, c);
    if (w->state >= J_DONE) return bad(w);
    return between(w, c);
}

/* ---- a call as an object ---- */

enum { FIELD_OTHER, FIELD_NAME, FIELD_ARGS, FIELD_ID };

void call_object_begin(struct call_run *r)
{
    struct call_object *o = &r->object;
    jwalk_init(&o->walk);
    o->field = 0;
    o->named = o->has_args = o->streaming = false;
    buf_clear(&o->key);
    buf_clear(&o->value);
    buf_clear(&o->early);
    buf_clear(&o->id);
}

static bool same(const struct buf *b, const char *s) { return s && strlen(s) == b->len && memcmp(b->data, s, b->len) == 0; }

static uint8_t field_of(const struct call_form *f, const struct buf *key)
{
    if (!key->data) return FIELD_OTHER;
    if (same(key, "name") || same(key, f->name_key)) return FIELD_NAME;
    if (same(key, "arguments") || same(key, "parameters") || same(key, f->args_key)) return FIELD_ARGS;
    return same(key, "id") || same(key, f->id_key) ? FIELD_ID : FIELD_OTHER;
}

/* The text of a string whose inside is raw JSON; false when it is none. */
static bool unquote(const struct buf *raw, struct buf *out)
{
    struct buf b = { 0 };
    struct json *j = NULL;
    size_t n;
    buf_putc(&b, '"');
    for (size_t i = 0; i < raw->len; i++) {
        if ((unsigned char)raw->data[i] < 0x20) buf_printf(&b, "\\u%04x", (unsigned)raw->data[i]);
        else buf_putc(&b, raw->data[i]);
    }
    buf_putc(&b, '"');
    const char *s = !b.bad && json_parse(&j, b.data, b.len, NULL) == 0 ? json_str(j, &n) : NULL;
    buf_clear(out);
    if (s) buf_put(out, s, n);
    buf_release(&b);
    json_free(j);
    return s != NULL;
}

/* One more byte of arguments; control characters inside strings become escapes, so that the whole is JSON. */
static void put_args(struct answer *a, struct call_run *r, bool in_string, const char *text, size_t n)
{
    struct call_object *o = &r->object;
    char escaped[8];
    if (in_string && n == 1 && (unsigned char)*text < 0x20) {
        fmt_into(escaped, sizeof escaped, "\\u%04x", (unsigned)(unsigned char)*text);
        text = escaped;
        n = 6;
    }
    if (o->named) answer_send(a, ANSWER_ARGS, text, n);
    else buf_put(&o->early, text, n);
}

static bool name_found(struct answer *a, struct call_run *r, const char *name, size_t n)
{
    struct call_object *o = &r->object;
    if (o->named || !n || memchr(name, 0, n) || (r->form->bare && !answer_knows(a, name, n))) return false;
    answer_send_call(a, name, n, o->id.data ? o->id.data : "", o->id.len);
    r->open = o->named = true;
    if (o->early.len) answer_send(a, ANSWER_ARGS, o->early.data, o->early.len);
    return true;
}

/* A string value at the object's own level is complete. */
static bool string_ended(struct answer *a, struct call_run *r)
{
    struct call_object *o = &r->object;
    if (o->field == FIELD_OTHER) return true;
    struct buf text = { 0 };
    struct json *j = NULL;
    bool ok = unquote(&o->value, &text);
    if (ok && o->field == FIELD_NAME) ok = name_found(a, r, text.data ? text.data : "", text.len);
    else if (ok && o->field == FIELD_ID) {
        buf_clear(&o->id);
        buf_put(&o->id, text.data ? text.data : "", text.len);
    } else if (ok) {                                /* arguments that were written as text */
        const char *s = text.len ? text.data : "{}";
        ok = !o->has_args && json_parse(&j, s, strlen(s), NULL) == 0 && json_type(j) == JSON_OBJECT;
        if (ok) put_args(a, r, false, s, strlen(s));
        o->has_args = true;
        json_free(j);
    }
    buf_release(&text);
    return ok;
}

/* The first byte of a value at the object's own level. */
static bool value_begins(struct call_run *r, char c)
{
    struct call_object *o = &r->object;
    buf_clear(&o->value);
    if (o->field == FIELD_NAME) return c == '"';
    if (o->field != FIELD_ARGS) return true;
    if (o->has_args || (c != '{' && c != '"' && c != 'n')) return false;
    o->streaming = c == '{';
    if (c != '"') o->has_args = o->streaming;
    return true;
}

static enum step object_ended(struct answer *a, struct call_run *r)
{
    struct call_object *o = &r->object;
    if (!o->named) return STEP_BAD;
    if (!o->has_args) answer_send(a, ANSWER_ARGS, "{}", 2);
    answer_end_call(a);
    r->open = false;
    return STEP_DONE;
}

static bool key_ended(struct answer *a, struct call_run *r)
{
    struct call_object *o = &r->object;
    struct buf text = { 0 };
    bool ok = unquote(&o->key, &text);
    if (ok && r->form->name_is_key) {
        o->field = FIELD_ARGS;
        ok = name_found(a, r, text.data ? text.data : "", text.len);
    } else if (ok) {
        o->field = field_of(r->form, &text);
    }
    buf_release(&text);
    return ok;
}

enum step call_object_step(struct answer *a, struct call_run *r, char c)
{
    struct call_object *o = &r->object;
    uint8_t before = o->walk.state, depth = o->walk.depth;
    bool inside = jwalk_in_string(&o->walk), key = inside && (before & IN_KEY);
    if (depth == 0 && before == J_VALUE && c != '{' && !space(c)) return STEP_BAD;
    if (depth == 1 && before == J_VALUE && !space(c) && !value_begins(r, c)) return STEP_BAD;
    enum step s = jwalk_step(&o->walk, c);
    if (s == STEP_BAD || s == STEP_BEFORE) return STEP_BAD;
    uint8_t now = o->walk.state;
    if (o->streaming) {
        put_args(a, r, inside, &c, 1);
        if (o->walk.depth == 1) o->streaming = false;
        return STEP_MORE;
    }
    if (depth == 1 && inside) {
        bool ended = !jwalk_in_string(&o->walk);
        if (!ended) buf_putc(key ? &o->key : &o->value, c);
        if (ended && !(key ? key_ended(a, r) : string_ended(a, r))) return STEP_BAD;
    }
    if (now == (J_STRING | IN_KEY) && before != now && !inside) buf_clear(&o->key);
    return s == STEP_DONE ? object_ended(a, r) : STEP_MORE;
}
