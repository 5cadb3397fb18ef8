#include "text/turn_gram.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/call_gram.h"
#include "text/schema.h"

struct make {
    const struct turn_gram *q;
    struct schema s;
    struct json *form;                 /* parsed */
    bool loose;                        /* no schema of a tool is kept */
    uint64_t work, subset_work;        /* of all probes together: many tools take no more time than one */
    bool *object_only;                 /* [tools] */
    size_t tool;                       /* whose schema is being read + 1; 0: the form's */
};

static bool is_strict(const struct json *tool)
{
    const struct json *v = json_get(tool_function(tool), "strict");
    return json_type(v) == JSON_BOOL && json_bool(v);
}

/* ---- rules that others leave open ---- */

/* Text up to and including a mark, which may be a control token. */
static const struct gnode *until(struct make *m, const char *mark)
{
    struct gram *g = &m->s.g;
    struct buf b = { 0 };
    uint32_t rule = GRAM_NONE;
    call_put_mark(m->q->tokenizer, mark, strlen(mark), &b);
    bool token = b.len && strstr(b.data, "<[") && b.data[0] == '<';
    const struct gnode *x = &gram_failure;
    if (b.bad) gram_nomem(g);
    else if (!token) x = gram_until(g, mark, strlen(mark), true);
    else {                             /* nor may the text spell it, for the reader sees no difference */
        struct buf root = { 0 };
        buf_printf(&root, "root ::= %s\n", b.data);
        if (root.bad) gram_nomem(g);
        else if (gbnf_read(g, root.data, root.len, NULL, &rule) == 0)
            x = GRAM_SEQ(g, gram_until(g, mark, strlen(mark), false), gram_ref(g, rule));
        buf_release(&root);
    }
    buf_release(&b);
    return x;
}

static const struct json *property(const struct json *parameters, size_t k)
{
    const char *name;
    struct json *v;
    for (void *it = NULL; json_next(json_get(parameters, "properties"), &it, &name, &v);)
        if (!k--) return v;
    return NULL;
}

/* The text of a string that no mark needs to end. */
static const struct gnode *plain_text(struct make *m, const struct json *root, const struct json *j)
{
    struct conj c = { 0 };
    m->s.root = root;
    conj_add(&m->s, &c, j, "");
    const char *word = json_str(json_get(j, "const"), NULL);
    return word ? gram_text(&m->s.g, word) : schema_characters(&m->s, &c, true);
}

static const struct gnode *find(void *arg, const char *name)
{
    struct make *m = arg;
    size_t i = 0, k = 0;
    const char *mark;
    if (!strcmp(name, "think-rest")) return until(m, m->q->dialect->channels ? "<|end|>" : m->q->dialect->think_close);
    enum call_rule rule = call_name(m->q->dialect, name, &i, &k, &mark);
    if (rule == CALL_NONE) return NULL;
    if (rule == CALL_UNTIL) return until(m, mark);
    const struct json *p = tool_parameters(json_at(m->q->tools, i)), *v = property(p, k);
    bool any = m->loose || m->object_only[i];
    m->tool = i + 1;
    if (rule == CALL_ARGS) return any || !p ? schema_any_object(&m->s) : schema_expr(&m->s, p, p, true);
    if (rule == CALL_TEXT) return any ? gram_rep(&m->s.g, gram_any(&m->s.g), 0, GRAM_INF) : plain_text(m, p, v);
    return any || !v ? schema_any(&m->s) : schema_expr(&m->s, p, v, false);
}

/* ---- the form ---- */

static const struct gnode *choices(struct make *m)
{
    struct gram *g = &m->s.g;
    size_t n = json_len(m->form), len;
    const struct gnode **kid = gram_push(g, n + 1, sizeof *kid);
    if (!n) gram_fail(g, ERR_ARG, "there are none");
    for (size_t i = 0; kid && i < n && !g->rc; i++) {
        const char *s = json_str(json_at(m->form, i), &len);
        if (!s || !len) gram_fail(g, ERR_ARG, "choice %zu is %s", i + 1, s ? "empty" : "no string");
        else kid[i] = gram_bytes(g, s, len);
    }
    return g->rc ? &gram_failure : gram_alt(g, kid, n);
}

static const struct gnode *form_of(struct make *m)
{
    static const char *const what[] = { "grammar", "schema", "pattern", "schema", "choices" };
    const struct turn_gram *q = m->q;
    struct gram *g = &m->s.g;
    uint32_t root;
    m->tool = 0;
    g->what = what[q->form];
    switch (q->form) {
    case TURN_GBNF: return gbnf_read(g, q->text, q->n_text, NULL, &root) == 0 ? gram_ref(g, root) : &gram_failure;
    case TURN_SCHEMA: return schema_expr(&m->s, m->form, m->form, false);
    case TURN_REGEX: return gram_regex(g, q->text, q->n_text, &(struct regex_use){ .search = false });
    case TURN_JSON: return schema_any_object(&m->s);
    default: return choices(m);
    }
}

static int parse_form(struct make *m, struct err *err)
{
    const struct turn_gram *q = m->q;
    bool list = q->form == TURN_CHOICES;
    if (!q->text || (q->form != TURN_SCHEMA && !list)) return 0;
    if (q->n_text > GRAMMAR_SOURCE)
        return err_set(err, ERR_LIMIT, "schema: %zu bytes, at most %d are allowed", q->n_text, GRAMMAR_SOURCE);
    int rc = json_parse(&m->form, q->text, q->n_text, err);
    if (rc < 0) return err_prefix(err, rc, list ? "choices: " : "schema: ");
    return !list || json_type(m->form) == JSON_ARRAY ? 0 : err_set(err, ERR_ARG, "choices: expected a JSON array of strings");
}

/* ---- tools whose schema cannot be kept ---- */

static int probe(struct make *m, const struct json *p, struct err *err)
{
    struct schema s;
    int rc = schema_begin(&s, "schema", err);
    s.work = m->work;
    s.g.subset_work = m->subset_work;
    if (rc == 0) schema_expr(&s, p, p, true);
    m->work = s.work;
    m->subset_work = s.g.subset_work;
    rc = s.g.rc;
    schema_end(&s);
    return rc;
}

static int probe_tools(struct make *m, struct turn_plan *out, struct err *err)
{
    enum { MOST_TOOLS = 1000, MOST_NOTES = 8 };
    size_t n = json_len(m->q->tools), loose = 0;
    if (n > MOST_TOOLS) return err_set(err, ERR_LIMIT, "%zu tools are offered, at most %d may be", n, MOST_TOOLS);
    if (!(m->object_only = mem_new_array(bool, n + 1))) return err_set(err, ERR_NOMEM, "out of memory for the tools");
    for (size_t i = 0; i < n; i++) {
        const struct json *t = json_at(m->q->tools, i), *p = tool_parameters(t);
        const char *name = json_str(json_get(tool_function(t), "name"), NULL);
        struct err why = { 0 };
        if (!p || json_type(p) == JSON_NULL) {
            m->object_only[i] = true;
            continue;
        }
        int rc = probe(m, p, &why);
        if (rc == 0) continue;
        if (rc == ERR_NOMEM || is_strict(t)) {
            *err = why;
            return err_prefix(err, rc, "tool %.60s: ", name ? name : "");
        }
        m->object_only[i] = true;
        if (++loose <= MOST_NOTES)
            buf_printf(&out->notes, "tool %.60s: only an object is promised for its arguments (%s)\n", name ? name : "", why.msg);
    }
    if (loose > MOST_NOTES) buf_printf(&out->notes, "tools: the same of %zu others\n", loose - MOST_NOTES);
    return 0;
}

/* ---- the whole ---- */

static void put_root(const struct make *m, bool calls, bool form, struct buf *b)
{
    static const char blank[] = "[ \\t\\r\\n]{0,4} ", analysis[] = "<|channel|>analysis<|message|>",
        start[] = "<|start|>assistant", final[] = "<|channel|>final", json[] = "<|constrain|>json", message[] = "<|message|>";
    const struct turn_gram *q = m->q;
    const struct dialect *d = q->dialect;
    const struct tokenizer *t = q->tokenizer;
    buf_puts(b, "root ::= ");
    if (d->channels) {
        if (q->in_reasoning) {
            buf_puts(b, "think-rest ");
            call_put_mark(t, start, sizeof start - 1, b);
        }
        buf_puts(b, "( ");
        call_put_mark(t, analysis, sizeof analysis - 1, b);
        buf_puts(b, "think-rest ");
        call_put_mark(t, start, sizeof start - 1, b);
        buf_puts(b, "){0,8} ");
    } else if (d->think_open && !q->in_reasoning && !q->in_text && !q->no_reasoning) {
        buf_puts(b, "( ");
        call_put_mark(t, d->think_open, strlen(d->think_open), b);
        buf_printf(b, "think-rest %s)? ", blank);
    } else if (q->in_reasoning) buf_puts(b, blank);
    buf_puts(b, "( ");
    if (calls) buf_printf(b, "%scalls ", d->channels ? "" : blank);
    if (calls && form) buf_puts(b, "| ");
    if (form && d->channels && !q->in_text) {
        call_put_mark(t, final, sizeof final - 1, b);
        buf_puts(b, "( \" \"? ");
        call_put_mark(t, json, sizeof json - 1, b);
        buf_puts(b, ")? ");
        call_put_mark(t, message, sizeof message - 1, b);
    }
    if (form) buf_puts(b, "form ");
    buf_puts(b, ")\n");
}

struct lookup { struct make *m; uint32_t calls, form; };

static const struct gnode *find_whole(void *arg, const char *name)
{
    struct lookup *l = arg;
    struct gram *g = &l->m->s.g;
    if (!strcmp(name, "calls")) return gram_ref(g, l->calls);
    if (!strcmp(name, "form")) return form_of(l->m);
    return find(l->m, name);
}

static int whole(struct make *m, bool calls, bool form, const struct buf *call_rules, struct turn_plan *out)
{
    struct gram *g = &m->s.g;
    struct lookup l = { .m = m };
    struct gbnf_use own = { find, m }, both = { find_whole, &l };
    struct buf b = { 0 };
    uint32_t root = GRAM_NONE;
    put_root(m, calls, form, &b);
    if (b.bad) gram_nomem(g);
    g->what = "tools";
    if (!g->rc && calls) gbnf_read(g, call_rules->data, call_rules->len, &own, &l.calls);
    if (!g->rc && out->how.within) root = l.calls;
    else if (!g->rc) gbnf_read(g, b.data, b.len, &both, &root);
    buf_release(&b);
    if (!g->rc) gram_compile(g, root, &out->grammar);
    if (out->grammar) out->grammar->max_depth = form && m->q->form == TURN_GBNF ? 512 : GRAM_JSON_DEPTH + 8;
    return g->rc;
}

static int compile(struct make *m, bool calls, bool form, struct turn_plan *out, struct err *err)
{
    struct buf rules = { 0 };
    const struct turn_gram *q = m->q;
    struct call_gram c = { .dialect = q->dialect, .tokenizer = q->tokenizer, .tools = q->tools, .choice = q->name,
                           .parallel = !q->one_call, .refer = true };
    int rc = calls ? call_grammar(&c, &rules, NULL, err) : 0;
    for (int tries = 0; rc == 0; tries++) {
        struct err why = { 0 };
        if ((rc = schema_begin(&m->s, "schema", &why)) == 0) rc = whole(m, calls, form, &rules, out);
        schema_end(&m->s);
        if (rc == 0) break;
        if (rc == ERR_LIMIT && calls && !form && !tries) {       /* too much together: at least objects */
            m->loose = true;
            for (size_t i = 0; i < json_len(q->tools); i++) m->loose &= !is_strict(json_at(q->tools, i));
            if (m->loose) buf_printf(&out->notes, "tools: only objects are promised for their arguments (%s)\n", why.msg);
            rc = m->loose ? 0 : rc;
        }
        if (rc < 0) *err = why;
    }
    buf_release(&rules);
    return rc;
}

/* The mark that begins calls, where a grammar can wait for it: empty when there is none, or when text may begin alike. */
static int find_trigger(const struct turn_gram *q, struct buf *out, struct err *err)
{
    struct buf rules = { 0 };
    struct call_gram c = { .dialect = q->dialect, .tokenizer = q->tokenizer, .tools = q->tools, .choice = q->name,
                           .refer = true };
    int rc = call_grammar(&c, &rules, out, err);
    for (size_t i = 0; rc == 0 && i < 4; i++) {
        const char *s = q->dialect->skip[i];
        if (s && out->len && strncmp(s, out->data, out->len) == 0) buf_clear(out);
    }
    buf_release(&rules);
    return rc;
}

static void wait_for_calls(const struct turn_gram *q, struct turn_plan *out)
{
    out->how = (struct matcher_options){ .trigger = out->trigger.data, .optional = q->choice != TURN_REQUIRED,
                                         .never = q->choice == TURN_NONE, .within = q->choice != TURN_NONE,
                                         .skip_open = q->dialect->think_open, .skip_close = q->dialect->think_close,
                                         .skipping = q->in_reasoning };
}

/* How the grammar is used: `waits` for calls, or counts at once or behind the reasoning. */
static void use(const struct turn_gram *q, bool waits, struct turn_plan *out)
{
    if (waits) {
        wait_for_calls(q, out);
        return;
    }
    out->always = true;
    if (q->in_reasoning && !q->dialect->channels) {
        out->always = false;
        out->how.trigger = q->dialect->think_close;
    } else if (q->in_text && q->begun) {
        buf_puts(&out->begun, q->begun);
        out->how.begun = out->begun.data;
    }
}

static int plan(struct make *m, struct turn_plan *out, struct err *err)
{
    const struct turn_gram *q = m->q;
    bool tools = json_len(q->tools) > 0, form = q->text && q->choice != TURN_REQUIRED;
    int rc = tools ? find_trigger(q, &out->trigger, err) : 0;
    if (rc == 0 && !tools && q->choice == TURN_REQUIRED) rc = err_set(err, ERR_ARG, "a call is required, but there are no tools");
    if (rc == 0) rc = parse_form(m, err);
    if (rc < 0 || (!tools && !form)) return rc;
    bool calls = tools && q->choice != TURN_NONE;
    if (calls && (rc = probe_tools(m, out, err)) < 0) return rc;
    if (!form && (q->choice != TURN_REQUIRED || q->in_text)) {
        if (!out->trigger.len) return 0;
        use(q, true, out);
        if (q->choice == TURN_NONE) return grammar_from_json(&out->grammar, true, err);
        return compile(m, true, false, out, err);
    }
    use(q, false, out);
    return compile(m, calls, form, out, err);
}

/* ---- plans that are kept ---- */

static void put_part(struct buf *b, const char *s, size_t n)
{
    buf_printf(b, "%zu ", n);
    buf_put(b, s, n);
}

/* All that a plan is made of, but for what the answer begins with. */
static void put_key(const struct turn_gram *q, struct buf *key)
{
    const struct dialect *d = q->dialect;
    const char *const mark[] = { d->think_open, d->think_close, d->skip[0], d->skip[1], d->skip[2], d->skip[3], q->name };
    buf_printf(key, "turn %d %d %d %d %d %d %d ", q->choice, q->one_call, q->form, q->text != NULL, q->in_reasoning, q->in_text,
               q->no_reasoning);
    buf_printf(key, "%p %d ", (const void *)d->form, d->channels);
    for (size_t i = 0; i < sizeof mark / sizeof *mark; i++) {
        buf_putc(key, mark[i] ? '+' : '-');
        if (mark[i]) put_part(key, mark[i], strlen(mark[i]));
    }
    if (q->text) put_part(key, q->text, q->n_text);
    if (q->tools) json_write(q->tools, false, key);
}

static void keep(const struct turn_gram *q, const struct buf *key, struct turn_plan *out)
{
    struct buf text = { 0 };
    buf_putc(&text, out->how.trigger && out->how.trigger == out->trigger.data ? 'w' : 'a');
    buf_printf(&text, "%zu", out->trigger.len);
    buf_putc(&text, 0);
    buf_put(&text, out->trigger.data, out->trigger.len);
    buf_put(&text, out->notes.data, out->notes.len);
    out->kept = gram_cache_put(q->cache, key, out->grammar, &text);
    buf_release(&text);
}

static bool kept(const struct turn_gram *q, const struct buf *key, struct turn_plan *out)
{
    struct buf text = { 0 };
    if (!gram_cache_get(q->cache, key, &out->grammar, &text) || text.bad) {
        grammar_free(out->grammar);
        out->grammar = NULL;
        buf_release(&text);
        return false;
    }
    size_t n = strtoul(text.data + 1, NULL, 10), at = strlen(text.data) + 1;
    buf_put(&out->trigger, text.data + at, n);
    buf_put(&out->notes, text.data + at + n, text.len - at - n);
    use(q, *text.data == 'w', out);
    buf_release(&text);
    return true;
}

int turn_grammar(const struct turn_gram *q, struct turn_plan *out, struct err *err)
{
    struct make m = { .q = q };
    struct buf key = { 0 };
    *out = (struct turn_plan){ 0 };
    if (q->cache && (q->text || q->tools)) put_key(q, &key);
    const bool known = key.len && kept(q, &key, out);
    int rc = known ? 0 : plan(&m, out, err);
    if (rc == 0 && (out->trigger.bad || out->begun.bad || out->notes.bad))
        rc = err_set(err, ERR_NOMEM, "out of memory for the form of the answer");
    if (rc == 0 && key.len && !known && out->grammar) keep(q, &key, out);
    buf_release(&key);
    json_free(m.form);
    mem_free(m.object_only);
    return rc;
}

void turn_plan_release(struct turn_plan *p)
{
    grammar_free(p->grammar);
    buf_release(&p->trigger);
    buf_release(&p->begun);
    buf_release(&p->notes);
    *p = (struct turn_plan){ 0 };
}
