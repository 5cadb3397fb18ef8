#include "text/call_gram.h"

#include <string.h>

#include "text/answer_impl.h"

struct gen {
    const struct call_gram *q;
    const struct call_form *form;
    struct buf *out;
    const struct json *tool;           /* the function */
    const char *name;
    size_t i;                          /* its number */
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
    "bare-text ::= ( [^<\\n] | [\\n] [^<\\n] | \"<\" [^/\\n] )*\n"
    "call-id ::= [a-zA-Z0-9]{9}\n"
    "python-value ::= json-string | json-number | \"True\" | \"False\" | \"None\" | "
    "\"[\" ( python-value ( \", \" python-value )* )? \"]\" | "
    "\"{\" ( json-string \": \" python-value ( \", \" json-string \": \" python-value )* )? \"}\"\n"
    "gemma-string ::= \"<|\\\"|>\" [^<]* \"<|\\\"|>\"\n"
    "gemma-key ::= [a-zA-Z_] [a-zA-Z0-9_]{0,40}\n"
    "gemma-value ::= gemma-string | json-number | \"true\" | \"false\" | \"null\" | "
    "\"[\" ( gemma-value ( \",\" gemma-value )* )? \"]\" | gemma-object\n"
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

/* Defines `rule` for a schema at the end of `rules`. */
static void define(struct gen *g, const struct json *schema, const char *rule, const char *fallback, struct buf *rules)
{
    size_t before = rules->len;
    if (g->q->schema && schema && g->q->schema(g->q->arg, schema, rule, rules)) return;
    rules->len = before;
    buf_printf(rules, "%s ::= %s\n", rule, fallback);
}

static const struct json *parameters(const struct gen *g)
{
    const struct json *p = json_get(g->tool, "parameters");
    return p ? p : json_get(g->tool, "input_schema");
}

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

/* key=value for every property: the required ones in order, then the others, each if wanted. */
static void put_pairs(struct gen *g)
{
    const struct json *schema = parameters(g);
    const char *name;
    struct json *p;
    size_t n = 0, optional = 0;
    for (int must = 1; must >= 0; must--)
        for (void *it = NULL; json_next(json_get(schema, "properties"), &it, &name, &p);) {
            if (required(schema, name) != must) continue;
            if (!must) buf_puts(g->out, n ? "( " : optional++ ? "| " : "( ");
            if (n) put_text(g->out, ", ");
            put_text(g->out, name);
            buf_puts(g->out, "\"=\" python-value ");
            if (!must && n) buf_puts(g->out, ")? ");
            n += must ? 1 : 0;
        }
    if (optional) buf_puts(g->out, ")? ");             /* none is required: at most one of them */
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

static void put_value(struct gen *g, const char *key, const struct json *schema, struct buf *rules)
{
    const char *rule = rule_of_type(schema);
    char name[64];
    size_t k = 0;
    void *it = NULL;
    const char *other;
    struct json *v;
    if (strcmp(rule, "json-string") == 0 && !json_get(schema, "enum")) {
        buf_puts(g->out, "bare-text ");
        return;
    }
    if (strcmp(rule, "json-string") == 0) {            /* one of these, as bare text */
        const struct json *list = json_get(schema, "enum");
        buf_puts(g->out, "( ");
        for (size_t i = 0; i < json_len(list); i++) {
            const char *s = json_str(json_at(list, i), NULL);
            if (i) buf_puts(g->out, "| ");
            put_text(g->out, s ? s : "null");
        }
        buf_puts(g->out, ") ");
        return;
    }
    while (json_next(json_get(parameters(g), "properties"), &it, &other, &v) && strcmp(other, key) != 0) k++;
    fmt_into(name, sizeof name, "value-%zu-%zu", g->i, k);
    buf_printf(g->out, "%s ", name);
    define(g, schema, name, rule, rules);
}

static void put_element(struct gen *g, char kind, const char *key, const struct json *schema, struct buf *rules)
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
        while (json_next(json_get(parameters(g), "properties"), &it, &name, &p)) put_param(g, name, p, rules);
        break;
    case 'k': put_text(g->out, key); break;
    case 't': put_text(g->out, text ? "true" : "false"); break;
    case 'v': put_value(g, key, schema, rules); break;
    case 'y':
        put_text(g->out, g->name);
        put_text(g->out, "(");
        put_pairs(g);
        put_text(g->out, ")");
        break;
    default: buf_puts(g->out, "gemma-object "); break;
    }
}

/* A line feed is one, a blank is any white space. */
static void put_pattern(struct gen *g, const char *p, const char *key, const struct json *schema, struct buf *rules)
{
    while (*p) {
        size_t n = pattern_mark(p);
        put_literal(g->out, p, n);
        p += n;
        if (space(*p)) {
            buf_puts(g->out, *p == '\n' ? "\"\\n\" " : "ws ");
            p++;
        } else if (*p == '%') {
            put_element(g, p[1], key, schema, rules);
            p += 2;
        }
    }
}

static bool in_list(const struct call_form *f)
{
    const char *p = strstr(f->call, "%y");
    return f->list || p;
}

/* Literals and white space of a pattern up to its next element. */
static void put_marks(struct buf *out, const char *p)
{
    while (*p && *p != '%') {
        size_t n = pattern_mark(p);
        put_literal(out, p, n);
        if (!n) buf_puts(out, "ws ");
        p += n ? n : 1;
    }
}

/* The marks around a list of calls, and what stands between them. */
static void put_root(const struct gen *g, struct buf *out)
{
    const struct call_form *f = g->form;
    const char *more = g->q->parallel ? "( ws call )* " : "";
    buf_puts(out, "root ::= ");
    if (f && in_list(f)) {
        put_marks(out, f->call);
        buf_printf(out, "\"[\" call %s\"]\" ", g->q->parallel ? "( \", \" call )* " : "");
        put_marks(out, strchr(f->call, '%') + 2);
    } else if (f && f->open) {
        put_text(out, f->open);
        buf_printf(out, "ws call %s", more);
        if (f->close) {
            buf_puts(out, "ws ");
            put_text(out, f->close);
        }
    } else if (f && f->bare) buf_puts(out, "call ");
    else if (f) buf_printf(out, "call %s", more);
    else buf_puts(out, "\"<|channel|>commentary to=functions.\" call ");
    buf_putc(out, '\n');
}

static void put_call(struct gen *g, struct buf *rules)
{
    char rule[32];
    buf_printf(g->out, "call-%zu ::= ", g->i);
    if (!g->form) {
        put_text(g->out, g->name);
        put_text(g->out, " <|constrain|>json<|message|>");
        buf_printf(g->out, "args-%zu ", g->i);
    } else if (in_list(g->form)) put_element(g, strchr(g->form->call, '%')[1], NULL, NULL, rules);
    else put_pattern(g, g->form->call, NULL, NULL, rules);
    buf_putc(g->out, '\n');
    fmt_into(rule, sizeof rule, "args-%zu", g->i);
    define(g, parameters(g), rule, "json-object", rules);
}

int call_grammar(const struct call_gram *q, struct buf *gbnf, struct buf *trigger, struct err *err)
{
    struct buf calls = { 0 }, rules = { 0 }, any = { 0 };
    struct gen g = { .q = q, .form = q->dialect->channels ? NULL : q->dialect->form, .out = &calls };
    size_t n = 0;
    int rc = 0;
    for (g.i = 0; rc == 0 && g.i < json_len(q->tools); g.i++) {
        const struct json *t = json_at(q->tools, g.i), *f = json_get(t, "function");
        g.tool = f ? f : t;
        g.name = json_str(json_get(g.tool, "name"), NULL);
        if (!g.name) rc = err_set(err, ERR_ARG, "tool %zu has no name", g.i + 1);
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
        if (trigger && !g.form) buf_puts(trigger, "<|channel|>commentary to=functions.");
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
