#include "text/call_gram.h"

#include <stdlib.h>
#include <string.h>

#include "text/answer_impl.h"

struct gen {
    const struct call_gram *q;
    const struct call_form *form;
    struct buf *out;
    const struct json *tool;           /* the function */
    const char *name;
    size_t i, k;                       /* its number; that of the property at work */
};

static const char common[] =
    "ws ::= [ \\n]{0,2}\n"
    "json-value ::= json-object | json-array | json-string | json-number | \"true\" | \"false\" | \"null\"\n"
    "json-object ::= \"{\" ws ( json-string \":\" ws json-value ( \",\" ws json-string \":\" ws json-value )* ws )? \"}\"\n"
    "json-array ::= \"[\" ws ( json-value ( \",\" ws json-value )* ws )? \"]\"\n"
    "json-string ::= "
    "\"\\\"\" ( [^\"\\\\\\x00-\\x1F] | \"\\\\\" ( [\"\\\\/bfnrt] | \"u\" [0-9a-cA-C] [0-9a-fA-F]{3} ) )* \"\\\"\"\n"
    "json-integer ::= \"-\"? ( \"0\" | [1-9] [0-9]{0,15} )\n"
    "json-number ::= json-integer ( \".\" [0-9]{1,15} )? ( [eE] [-+]? [0-9]{1,2} )?\n"
    "json-boolean ::= \"true\" | \"false\"\n"
    "json-null ::= \"null\"\n"
    "call-id ::= [a-zA-Z0-9]{9}\n"
    "python-value ::= json-string | json-number | python-boolean | python-null | python-list | python-dict\n"
    "python-list ::= \"[\" ( python-value ( \", \" python-value )* )? \"]\"\n"
    "python-dict ::= \"{\" ( json-string \": \" python-value ( \", \" json-string \": \" python-value )* )? \"}\"\n"
    "python-boolean ::= \"True\" | \"False\"\n"
    "python-null ::= \"None\"\n"
    "gemma-key ::= [a-zA-Z_] [a-zA-Z0-9_]{0,40}\n"
    "gemma-value ::= gemma-string | json-number | \"true\" | \"false\" | \"null\" | gemma-list | gemma-object\n"
    "gemma-list ::= \"[\" ( gemma-value ( \",\" gemma-value )* )? \"]\"\n"
    "gemma-object ::= \"{\" ( gemma-key \":\" gemma-value ( \",\" gemma-key \":\" gemma-value )* )? \"}\"\n";

static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* A literal; what is not plain ASCII is written as it is. */
static void put_literal(struct buf *b, const char *s, size_t n)
{
    if (!n) return;
    buf_putc(b, '"');
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"' || s[i] == '\\') buf_putc(b, '\\');
        if (s[i] == '\n') buf_puts(b, "\\n");
        else buf_putc(b, s[i]);
    }
    buf_puts(b, "\" ");
}

static void put_text(struct buf *b, const char *s) { put_literal(b, s, strlen(s)); }

void call_put_mark(const struct tokenizer *t, const char *s, size_t n, struct buf *out)
{
    struct ids ids = { 0 };
    size_t at = 0;
    if (t && tokenizer_encode(t, s, n, TOK_PARSE, &ids, NULL) < 0) ids.bad = true;
    for (size_t i = 0; i < ids.n; i++) {
        enum token_kind kind = tokenizer_token_kind(t, ids.id[i]);
        size_t len, k = at;
        const char *text = kind == TOKEN_CONTROL || kind == TOKEN_UNKNOWN ? tokenizer_text(t, ids.id[i], &len) : NULL;
        if (!text || !len) continue;
        while (k + len <= n && memcmp(s + k, text, len) != 0) k++;
        if (k + len > n) continue;
        put_literal(out, s + at, k - at);
        buf_printf(out, "<[%d]> ", (int)ids.id[i]);
        at = k + len;
    }
    put_literal(out, s + at, n - at);
    out->bad |= ids.bad;
    ids_release(&ids);
}

static void put_mark(const struct gen *g, struct buf *out, const char *s, size_t n)
{
    call_put_mark(g->q->tokenizer, s, n, out);
}

/* A string as JSON, as a literal. */
static void put_json(struct buf *b, const char *s)
{
    struct buf j = { 0 };
    json_write_str(s, strlen(s), &j);
    put_literal(b, j.data ? j.data : "", j.len);
    b->bad |= j.bad;
    buf_release(&j);
}

/* The generic rule for a schema's type. */
static const char *rule_of_type(const struct json *schema)
{
    static const char *const rule[][2] = { { "string", "json-string" }, { "integer", "json-integer" }, { "number",
        "json-number" },
        { "boolean", "json-boolean" }, { "object", "json-object" }, { "array", "json-array" }, { "null", "json-null" } };
    const char *type = json_str(json_get(schema, "type"), NULL);
    for (size_t i = 0; type && i < sizeof rule / sizeof *rule; i++)
        if (strcmp(type, rule[i][0]) == 0) return rule[i][1];
    return "json-value";
}

const struct json *tool_function(const struct json *tool)
{
    const struct json *f = json_get(tool, "function");
    return f ? f : tool;
}

const struct json *tool_parameters(const struct json *tool)
{
    const struct json *f = tool_function(tool), *p = json_get(f, "parameters");
    return p ? p : json_get(f, "input_schema");
}

static const struct json *parameters(const struct gen *g) { return tool_parameters(g->tool); }

static bool required(const struct json *schema, const char *name)
{
    const struct json *list = json_get(schema, "required");
    for (size_t i = 0; i < json_len(list); i++) {
        const char *s = json_str(json_at(list, i), NULL);
        if (s && strcmp(s, name) == 0) return true;
    }
    return false;
}

/* {"name": ..., "arguments": ...} as the family writes it. */
static void put_object(struct gen *g)
{
    const struct call_form *f = g->form;
    struct buf *b = g->out;
    put_text(b, "{");
    if (f->name_is_key) {
        put_json(b, g->name);
    } else {
        if (f->id_key) {
            put_json(b, f->id_key);
            buf_puts(b, "\": \\\"\" [0-9]{1,2} \"\\\", \" ");
        }
        put_json(b, f->name_key ? f->name_key : "name");
        put_text(b, ": ");
        put_json(b, g->name);
        put_text(b, ", ");
        put_json(b, f->args_key ? f->args_key : "arguments");
    }
    put_text(b, ": ");
    buf_printf(b, "args-%zu \"}\" ", g->i);
}

/* Whether a string is not just any. */
static bool says_more(const struct json *schema)
{
    return json_get(schema, "pattern") || json_get(schema, "format") || json_get(schema, "const");
}

/* How a notation writes the members of a list. */
struct notation { const char *colon, *comma, *prefix; };
static const struct notation python = { "=", ", ", "python-" }, gemma = { ":", ",", "gemma-" };

/* A JSON value as the notation has it; false: it is not known. */
static bool put_constant(struct gen *g, const struct notation *w, const struct json *v)
{
    size_t n;
    const char *s = json_str(v, &n);
    struct buf b = { 0 };
    bool ok = true;
    if (s && w == &gemma) {
        buf_printf(g->out, "gemma-quote ");
        put_literal(g->out, s, n);
        buf_printf(g->out, "gemma-quote ");
    } else if (s || json_type(v) == JSON_INT) {
        json_write(v, false, &b);
        put_literal(g->out, b.data ? b.data : "", b.len);
    } else if (json_type(v) == JSON_BOOL) put_text(g->out, w == &gemma ? json_bool(v) ? "true" : "false" : json_bool(v) ? "True"
        : "False");
    else ok = false;
    g->out->bad |= b.bad;
    buf_release(&b);
    return ok;
}

/* k: the number of the property. */
static void put_typed(struct gen *g, const struct notation *w, const struct json *schema, size_t k)
{
    const char *rule = rule_of_type(schema) + strlen("json-");
    const struct json *list = json_get(schema, "enum");
    bool same = !strcmp(rule, "integer") || !strcmp(rule, "number") || (w == &gemma && (!strcmp(rule, "boolean") || !strcmp(rule,
        "null")));
    size_t at = g->out->len, n = 0;
    if (w == &python && !strcmp(rule, "string")) same = true;
    if (!strcmp(rule, "array")) rule = "list";
    if (w == &python && !strcmp(rule, "object")) rule = "dict";
    buf_puts(g->out, "( ");
    for (size_t i = 0; i < json_len(list); i++) {
        if (i) buf_puts(g->out, "| ");
        if (!put_constant(g, w, json_at(list, i))) break;
        n++;
    }
    buf_puts(g->out, ") ");
    if (n && n == json_len(list)) return;
    g->out->len = at;
    bool text = !strcmp(rule, "string");
    if (g->q->refer && same && (!text || w == &python) && strcmp(rule, "boolean") && strcmp(rule, "null"))
        buf_printf(g->out, "value-%zu-%zu ", g->i, k);
    else if (g->q->refer && text && says_more(schema))
        buf_printf(g->out, "gemma-quote text-%zu-%zu gemma-quote ", g->i, k);
    else buf_printf(g->out, "%s%s ", same ? "json-" : w->prefix, rule);
}

/* The members from property k on, in their order, the required ones always: rules "members-I-K-0" (the first to come) and
 * "members-I-K-1".  The first of them is called. */
static void put_members(struct gen *g, const struct notation *w, struct buf *rules)
{
    const struct json *all = json_get(parameters(g), "properties");
    struct buf *out = g->out;
    const char *name;
    struct json *p;
    size_t k = 0;
    buf_printf(out, "members-%zu-0-0 ", g->i);
    g->out = rules;
    for (void *it = NULL; json_next(all, &it, &name, &p); k++)
        for (int more = 0; more < 2; more++) {
            buf_printf(rules, "members-%zu-%zu-%d ::= ", g->i, k, more);
            if (more) put_text(rules, w->comma);
            put_text(rules, name);
            put_text(rules, w->colon);
            put_typed(g, w, p, k);
            buf_printf(rules, "members-%zu-%zu-1 ", g->i, k + 1);
            if (!required(parameters(g), name)) buf_printf(rules, "| members-%zu-%zu-%d ", g->i, k + 1, more);
            buf_putc(rules, '\n');
        }
    for (int more = 0; more < 2; more++) buf_printf(rules, "members-%zu-%zu-%d ::= \"\"\n", g->i, k, more);
    g->out = out;
}

static void put_pattern(struct gen *g, const char *p, const char *key, const struct json *schema, struct buf *rules);

/* One parameter; strings are bare text. */
static void put_param(struct gen *g, const char *name, const struct json *schema, struct buf *rules)
{
    bool must = required(parameters(g), name);
    if (!must) buf_puts(g->out, "( ");
    put_pattern(g, g->form->param, name, schema, rules);
    buf_puts(g->out, must ? "ws " : "ws )? ");
}

/* True: the mark behind the value is part of it. */
static bool put_value(struct gen *g, const struct json *schema)
{
    const char *rule = rule_of_type(schema);
    const struct json *list = json_get(schema, "enum");
    size_t k = g->k;
    bool bare = strcmp(rule, "json-string") == 0;
    if (bare && list) {                                /* one of these, as bare text */
        buf_puts(g->out, "( ");
        for (size_t i = 0; i < json_len(list); i++) {
            const char *s = json_str(json_at(list, i), NULL);
            if (i) buf_puts(g->out, "| ");
            put_text(g->out, s ? s : "null");
        }
        buf_puts(g->out, ") ");
    } else if (!g->q->refer) {
        buf_printf(g->out, "%s ", bare ? "bare-text" : rule);
    } else if (bare && says_more(schema)) {
        buf_printf(g->out, "text-%zu-%zu ", g->i, k);
    } else if (bare) {
        buf_puts(g->out, "until-value ");
        return true;
    } else {
        buf_printf(g->out, "value-%zu-%zu ", g->i, k);
    }
    return false;
}

/* True: what follows in the pattern up to the end of its next mark is part of it. */
static bool put_element(struct gen *g, char kind, const char *key, const struct json *schema, struct buf *rules)
{
    const char *name;
    struct json *p;
    void *it = NULL;
    bool text = strcmp(rule_of_type(schema), "json-string") == 0;
    switch (kind) {
    case 'n': put_text(g->out, g->name); break;
    case 'i': buf_puts(g->out, "call-id "); break;
    case 'f':
        put_text(g->out, "functions.");
        put_text(g->out, g->name);
        buf_puts(g->out, "\":\" [0-9]{1,2} ");
        break;
    case 'a': buf_printf(g->out, "args-%zu ", g->i); break;
    case 'o':
    case 'l': put_object(g); break;
    case 'p':
        for (g->k = 0; json_next(json_get(parameters(g), "properties"), &it, &name, &p); g->k++) put_param(g, name, p, rules);
        break;
    case 'k': put_text(g->out, key); break;
    case 't': put_text(g->out, text ? "true" : "false"); break;
    case 'v': return put_value(g, schema);
    case 'y':
        put_text(g->out, g->name);
        put_text(g->out, "(");
        put_members(g, &python, rules);
        put_text(g->out, ")");
        break;
    default:
        put_text(g->out, "{");
        put_members(g, &gemma, rules);
        put_text(g->out, "}");
        break;
    }
    return false;
}

/* A line feed is one, a blank is any white space but before a word. */
static void put_pattern(struct gen *g, const char *p, const char *key, const struct json *schema, struct buf *rules)
{
    while (*p) {
        size_t n = pattern_mark(p);
        put_mark(g, g->out, p, n);
        p += n;
        if (space(*p)) {
            bool word = (p[1] | 32) >= 'a' && (p[1] | 32) <= 'z';
            buf_puts(g->out, *p == '\n' ? "\"\\n\" " : word ? "\" \" " : "ws ");
            p++;
        } else if (*p == '%') {
            bool more = put_element(g, p[1], key, schema, rules);
            for (p += 2; more && space(*p);) p++;
            if (more) p += pattern_mark(p);
        }
    }
}

static bool in_list(const struct call_form *f)
{
    const char *p = strstr(f->call, "%y");
    return f->list || p;
}

/* Literals and white space of a pattern up to its next element. */
static void put_marks(const struct gen *g, struct buf *out, const char *p)
{
    while (*p && *p != '%') {
        size_t n = pattern_mark(p);
        put_mark(g, out, p, n);
        if (!n) buf_puts(out, "ws ");
        p += n ? n : 1;
    }
}

static const char channel_mark[] = "<|channel|>commentary to=functions.", channel_json[] = " <|constrain|>json<|message|>";

/* The marks around a list of calls, and what stands between them. */
static void put_root(const struct gen *g, struct buf *out)
{
    const struct call_form *f = g->form;
    const char *more = g->q->parallel ? "( ws call )* " : "";
    buf_puts(out, "root ::= ");
    if (f && in_list(f)) {
        put_marks(g, out, f->call);
        buf_printf(out, "\"[\" call %s\"]\" ", g->q->parallel ? "( \", \" call )* " : "");
        put_marks(g, out, strchr(f->call, '%') + 2);
    } else if (f && f->open) {
        put_mark(g, out, f->open, strlen(f->open));
        buf_printf(out, "ws call %s", more);
        if (f->close) {
            buf_puts(out, "ws ");
            put_mark(g, out, f->close, strlen(f->close));
        }
    } else if (f && f->bare) buf_puts(out, "call ");
    else if (f) buf_printf(out, "call %s", more);
    else {
        put_mark(g, out, channel_mark, sizeof channel_mark - 1);
        buf_puts(out, "call ");
    }
    buf_putc(out, '\n');
}

/* Where properties are written one by one, the work grows with the square of their number. */
static int check_tool(const struct gen *g, struct err *err)
{
    enum { MOST = 1000 };
    size_t n = json_len(json_get(parameters(g), "properties"));
    bool each = g->form && (g->form->param || strstr(g->form->call, "%y") || strstr(g->form->call, "%g"));
    if (!g->name) return err_set(err, ERR_ARG, "tool %zu has no name", g->i + 1);
    if (!each || n <= MOST) return 0;
    return err_set(err, ERR_LIMIT, "tool %.60s: %zu properties, at most %d are allowed", g->name, n, MOST);
}

static void put_call(struct gen *g, struct buf *rules)
{
    buf_printf(g->out, "call-%zu ::= ", g->i);
    if (!g->form) {
        put_text(g->out, g->name);
        put_mark(g, g->out, channel_json, sizeof channel_json - 1);
        buf_printf(g->out, "args-%zu ", g->i);
    } else if (in_list(g->form)) put_element(g, strchr(g->form->call, '%')[1], NULL, NULL, rules);
    else put_pattern(g, g->form->call, NULL, NULL, rules);
    buf_putc(g->out, '\n');
    if (!g->q->refer) buf_printf(rules, "args-%zu ::= json-object\n", g->i);
}

/* Rules that depend on the vocabulary, or are simpler where nobody gives them. */
static void put_others(const struct gen *g, struct buf *out)
{
    static const char quote[] = "<|\"|>";
    buf_puts(out, "gemma-quote ::= ");
    put_mark(g, out, quote, sizeof quote - 1);
    buf_printf(out, "\ngemma-string ::= gemma-quote %s\n", g->q->refer ? "until-quote" : "[^<]* gemma-quote");
    if (!g->q->refer) buf_puts(out, "bare-text ::= ( [^<\\n] | [\\n] [^<\\n] | \"<\" [^/\\n] )*\n");
}

enum call_rule call_name(const struct dialect *d, const char *name, size_t *i, size_t *k, const char **mark)
{
    static const struct { const char *word; enum call_rule rule; } row[] = {
        { "args-", CALL_ARGS }, { "value-", CALL_VALUE }, { "text-", CALL_TEXT },
    };
    *mark = NULL;
    if (!strcmp(name, "until-quote")) *mark = "<|\"|>";
    else if (!strcmp(name, "until-value") && d->form && d->form->param) {
        *mark = strstr(d->form->param, "%v") + 2;
        while (space(**mark)) ++*mark;
    }
    if (*mark) return CALL_UNTIL;
    for (size_t r = 0; r < sizeof row / sizeof *row; r++) {
        char *end;
        if (strncmp(name, row[r].word, strlen(row[r].word)) != 0) continue;
        *i = strtoul(name + strlen(row[r].word), &end, 10);
        *k = *end == '-' ? strtoul(end + 1, NULL, 10) : 0;
        return row[r].rule;
    }
    return CALL_NONE;
}

int call_grammar(const struct call_gram *q, struct buf *gbnf, struct buf *trigger, struct err *err)
{
    struct buf calls = { 0 }, rules = { 0 }, any = { 0 };
    struct gen g = { .q = q, .form = q->dialect->channels ? NULL : q->dialect->form, .out = &calls };
    size_t n = 0;
    int rc = 0;
    for (g.i = 0; rc == 0 && g.i < json_len(q->tools); g.i++) {
        g.tool = tool_function(json_at(q->tools, g.i));
        g.name = json_str(json_get(g.tool, "name"), NULL);
        rc = check_tool(&g, err);
        if (rc < 0 || (q->choice && strcmp(q->choice, g.name) != 0)) continue;
        buf_printf(&any, "%scall-%zu", n++ ? " | " : "", g.i);
        put_call(&g, &rules);
    }
    if (rc == 0 && !n)
        rc = err_set(err, ERR_NOTFOUND, q->choice ? "no tool has the name %.60s" : "there are no tools",
            q->choice ? q->choice : "");
    if (rc == 0) {
        put_root(&g, gbnf);
        buf_printf(gbnf, "call ::= %s\n", any.data);
        buf_put(gbnf, calls.data, calls.len);
        if (rules.len) buf_put(gbnf, rules.data, rules.len);
        buf_puts(gbnf, common);
        put_others(&g, gbnf);
        if (trigger && !g.form) buf_puts(trigger, channel_mark);
        else if (trigger && g.form->open) buf_puts(trigger, g.form->open);
        else if (trigger && !g.form->bare) buf_put(trigger, g.form->call, pattern_mark(g.form->call));
        if (gbnf->bad || calls.bad || rules.bad || any.bad || (trigger && trigger->bad))
            rc = err_set(err, ERR_NOMEM, "out of memory for the grammar of the tools");
    }
    buf_release(&calls);
    buf_release(&rules);
    buf_release(&any);
    return rc;
}
