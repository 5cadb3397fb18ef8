#include "text/chat_turn.h"

#include <string.h>

#include "base/mem.h"

static bool mentions(const char *s, size_t n, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = s, *end = s + n; (size_t)(end - p) >= len && (p = memchr(p, word[0], (size_t)(end - p))); p++)
        if ((size_t)(end - p) >= len && memcmp(p, word, len) == 0) return true;
    return false;
}

void chat_style_find(const struct template *tp, const char *source, size_t n, struct chat_style *out)
{
    struct buf known = { 0 };
    *out = (struct chat_style){ 0 };
    buf_put(&known, source, n);
    buf_putc(&known, '\n');
    chat_caps(tp, &out->caps, &known);
    dialect_find(known.data ? known.data : "", known.len, &out->dialect);
    if (template_is_go(source, n)) {
        out->says_effort = mentions(source, n, ".ThinkLevel");
        out->says_thinking = mentions(source, n, ".Think") || mentions(source, n, ".IsThinkSet");
        buf_release(&known);
        return;
    }
    out->says_effort = mentions(source, n, "reasoning_effort");
    out->says_budget = mentions(source, n, "thinking_budget");
    out->says_thinking = mentions(source, n, "enable_thinking") || mentions(source, n, "thinking is defined") ||
                         mentions(source, n, "not thinking");
    if (out->says_effort) out->no_effort = mentions(source, n, "no_think") ? "no_think" : mentions(source, n, "minimal")
        ? "minimal" : out->dialect.channels ? "low" : NULL;
    buf_release(&known);
}

/* ---- the last message's end ---- */

static const char here[] = "@@hearth-continues-here@@";
enum { N_HERE = sizeof here - 1 };

/* A copy of a list whose last message, the assistant's, ends with the sign; *why: it is in the reasoning. */
static int mark_end(const struct json *messages, struct json **out, bool *why, struct err *err)
{
    size_t n = json_len(messages), len, k = 0;
    const struct json *last = json_at(messages, n ? n - 1 : 0);
    const char *role = json_str(json_get(last, "role"), NULL), *text, *name;
    static const char *const field[] = { "content", "reasoning_content", "reasoning", "thinking" };
    if (!role || strcmp(role, "assistant") != 0 || json_len(json_get(last, "tool_calls")))
        return err_set(err, ERR_ARG, "there is nothing to continue: the last message must be the assistant's, without "
            "tool calls");
    while (k < 4 && (!(text = json_str(json_get(last, field[k]), &len)) || !len)) k++;
    if (k == 4) k = 0, text = "", len = 0;
    *why = k > 0;
    struct json *list = json_new_array(), *m = json_new_object(), *v;
    struct buf b = { 0 };
    void *it = NULL;
    buf_put(&b, text, len);
    buf_put(&b, here, N_HERE);
    bool ok = list && m && !b.bad;
    for (size_t i = 0; ok && i + 1 < n; i++) ok = json_push(list, json_share(json_at(messages, i)));
    while (ok && json_next(last, &it, &name, &v))
        if (strcmp(name, field[k]) != 0) ok = json_put(m, name, json_share(v));
    ok = ok && json_put(m, field[k], json_new_str(b.data, b.len));
    buf_release(&b);
    if (list && m) ok = json_push(list, m) && ok;
    else json_free(m);
    if (!ok) {
        json_free(list);
        return err_set(err, ERR_NOMEM, "out of memory for the messages");
    }
    *out = list;
    return 0;
}

/* Cuts the text before the last sign, which may have barriers in it. */
static bool cut_end(struct buf *text)
{
    for (size_t at = text->len; at-- > 0;) {
        size_t i = at, k = 0;
        while (i < text->len && k < N_HERE && (text->data[i] == here[k] || text->data[i] == TOKENIZER_BARRIER))
            k += text->data[i++] != TOKENIZER_BARRIER;
        if (k < N_HERE || text->data[at] == TOKENIZER_BARRIER) continue;
        text->len = at;
        text->data[at] = 0;
        return true;
    }
    return false;
}

/* ---- reasoning ---- */

static bool put(struct json *vars, const struct json *extra, const char *name, struct json *v)
{
    if (!json_get(extra, name)) return json_put(vars, name, v);
    json_free(v);
    return true;
}

/* The variables that switch reasoning; `effort` is left out when the template did not like the word. */
static struct json *switches(const struct chat_turn_request *r, bool effort)
{
    static const char *const level[] = { NULL, NULL, NULL, "low", "medium", "high" };
    struct json *vars = json_new_object(), *v;
    const char *name, *word = level[r->think];
    void *it = NULL;
    bool ok = vars != NULL, on = r->think != CHAT_THINK_OFF;
    if (!on) word = r->style->no_effort;
    while (ok && json_next(r->extra, &it, &name, &v)) ok = json_put(vars, name, json_share(v));
    if (r->think != CHAT_THINK_DEFAULT) {
        ok = ok && put(vars, r->extra, "enable_thinking", json_new_bool(on)) &&
             put(vars, r->extra, "thinking", json_new_bool(on));
        if (ok && !on && r->style->says_budget) ok = put(vars, r->extra, "thinking_budget", json_new_int(0));
        if (ok && effort && word) ok = put(vars, r->extra, "reasoning_effort", json_new_str(word, strlen(word)));
    }
    if (ok) return vars;
    json_free(vars);
    return NULL;
}

static size_t last_of(const struct buf *text, const char *what)
{
    size_t n = strlen(what);
    for (size_t at = text->len; at-- > 0;)
        if (text->len - at >= n && memcmp(text->data + at, what, n) == 0) return at;
    return SIZE_MAX;
}

static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Whether the prompt ends inside a block of reasoning that the template has opened: what others wrote has barriers in it. */
static bool opened(const struct buf *text, const struct dialect *d)
{
    size_t open = d->think_open ? last_of(text, d->think_open) : SIZE_MAX;
    if (open == SIZE_MAX) return false;
    for (size_t i = open + strlen(d->think_open); i < text->len; i++)
        if (!space(text->data[i])) return false;
    return true;
}

/* A template without a switch is helped: an empty block stands for reasoning that is done. */
static void close_reasoning(const struct chat_style *s, struct buf *text, bool in_reasoning)
{
    const struct dialect *d = &s->dialect;
    size_t closed = d->think_close ? last_of(text, d->think_close) : SIZE_MAX;
    if (!d->think_open || (!in_reasoning && (s->says_thinking || s->says_budget || s->no_effort))) return;
    if (!in_reasoning && closed != SIZE_MAX && text->len - closed < strlen(d->think_close) + 4) return;
    if (!in_reasoning) {
        buf_puts(text, d->think_open);
        buf_putc(text, '\n');
    }
    bool line = text->len && text->data[text->len - 1] == '\n';
    if (line) buf_putc(text, '\n');
    buf_puts(text, d->think_close);
    if (line) buf_puts(text, "\n\n");
}

/* ---- the turn ---- */

static int render(const struct chat_turn_request *r, struct json *messages, const struct json *tools, struct buf *text,
                  struct err *err)
{
    int rc = 0;
    for (int effort = r->style->says_effort ? 1 : 0; effort >= 0; effort--) {
        struct json *extra = switches(r, effort);
        struct chat_request c = { .template = r->template, .tokenizer = r->tokenizer, .messages = messages, .tools = tools,
                                  .documents = r->documents, .extra = extra, .answer = !r->continues && !r->no_answer,
                                  .limits = r->limits };
        buf_clear(text);
        rc = extra ? chat_text(&c, text, err) : err_set(err, ERR_NOMEM, "out of memory for the prompt");
        json_free(extra);
        if (rc == 0 || rc == ERR_NOMEM || rc == ERR_LIMIT || r->think == CHAT_THINK_DEFAULT) break;
    }
    return rc;
}

int chat_turn(const struct chat_turn_request *r, struct chat_turn *out, struct err *err)
{
    struct json *marked = NULL, *messages = NULL;
    struct buf text = { 0 };
    bool generic = false, why = false;
    *out = (struct chat_turn){ .dialect = r->style->dialect };
    int rc = r->continues ? mark_end(r->messages, &marked, &why, err) : 0;
    if (rc == 0) rc = chat_normalise(&r->style->caps, marked ? marked : r->messages, r->tools, &messages, &generic, err);
    if (rc == 0) rc = render(r, messages, generic ? NULL : r->tools, &text, err);
    if (rc == 0 && r->continues && !cut_end(&text))
        rc = err_set(err, ERR_UNSUPPORTED, "the chat template does not show the message that is to be continued");
    if (rc == 0) {
        out->in_reasoning = r->continues ? why : opened(&text, &out->dialect);
        out->in_text = r->continues && !why;
        if (r->think == CHAT_THINK_OFF && !r->continues && !r->no_answer) {
            close_reasoning(r->style, &text, out->in_reasoning);
            out->in_reasoning = false;
        }
        if (generic) out->dialect.form = call_form_generic();
        if (text.bad) rc = err_set(err, ERR_NOMEM, "out of memory for the prompt");
    }
    if (rc == 0) rc = chat_encode(r->tokenizer, &text, &out->prompt, err);
    if (rc == 0 && r->n_seen) chat_keep(r->tokenizer, &out->prompt, r->seen, r->n_seen);
    if (rc == 0 && out->prompt.bad) rc = err_set(err, ERR_NOMEM, "out of memory for the prompt");
    if (rc < 0) ids_release(&out->prompt);
    json_free(marked);
    json_free(messages);
    buf_release(&text);
    return rc;
}

/* ---- tokens that were seen ---- */

static bool control(const struct tokenizer *t, int32_t id)
{
    enum token_kind k = tokenizer_token_kind(t, id);
    return k == TOKEN_CONTROL || k == TOKEN_UNKNOWN || tokenizer_is_eog(t, id);
}

/* A place in a list of tokens, and the bytes that it has spelled since the two lists were last level. */
struct place { const int32_t *id; size_t n, at; struct buf bytes; };

static bool spell(const struct tokenizer *t, struct place *p)
{
    if (p->at == p->n || control(t, p->id[p->at])) return false;
    tokenizer_piece(t, p->id[p->at++], true, &p->bytes);
    return !p->bytes.bad;
}

/* Goes on until both have spelled the same number of bytes, all alike. */
static bool level(const struct tokenizer *t, struct place *a, struct place *b)
{
    size_t same = 0;
    buf_clear(&a->bytes);
    buf_clear(&b->bytes);
    do {
        struct place *behind = a->bytes.len <= b->bytes.len ? a : b;
        if (!spell(t, behind)) return false;
        size_t n = a->bytes.len < b->bytes.len ? a->bytes.len : b->bytes.len;
        if (n > same && memcmp(a->bytes.data + same, b->bytes.data + same, n - same) != 0) return false;
        same = n;
    } while (a->bytes.len != b->bytes.len || !a->bytes.len);
    return true;
}

void chat_keep(const struct tokenizer *t, struct ids *prompt, const int32_t *seen, size_t n_seen)
{
    struct place a = { .id = prompt->id, .n = prompt->n }, b = { .id = seen, .n = n_seen };
    size_t keep_a = 0, keep_b = 0;
    bool differs = false;
    for (;;) {
        while (a.at < a.n && b.at < b.n && a.id[a.at] == b.id[b.at]) a.at++, b.at++;
        keep_a = a.at;
        keep_b = b.at;
        if (a.at == a.n || b.at == b.n || !level(t, &a, &b)) break;
        differs = true;
    }
    if (differs && keep_b) {
        struct ids fresh = { 0 };
        for (size_t i = 0; i < keep_b; i++) ids_push(&fresh, seen[i]);
        for (size_t i = keep_a; i < prompt->n; i++) ids_push(&fresh, prompt->id[i]);
        if (fresh.bad) ids_release(&fresh);              /* the prompt is good as it is */
        else {
            ids_release(prompt);
            *prompt = fresh;
        }
    }
    buf_release(&a.bytes);
    buf_release(&b.bytes);
}
