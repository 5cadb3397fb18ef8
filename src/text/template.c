#include "text/template.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "text/gotpl.h"

enum { MAX_SOURCE = 4 << 20, MAX_TREE = 256 << 20, FREE_STEPS = 100000 };

struct template {
    struct arena mem;
    struct node *body;
    struct go_tree *go;            /* NULL: it is Jinja */
};

/* ---- which language ---- */

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Words with which a tag of Go begins and that mean nothing there in Jinja. */
static bool go_word(struct str s)
{
    static const char *const word[] = { "if", "end", "else", "with", "define", "template", "block", "break",
                                        "continue", "slice", "json", "currentDate" };
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (str_same(s, word[i])) return true;
    return false;
}

/* Whether what stands between {{ and }} can only be Go: .Field or $variable as an operand. */
static bool go_operands(const char *p, const char *end)
{
    char before = ' ', quote = 0;
    for (; p < end && (quote || end - p < 2 || p[0] != '}' || p[1] != '}'); before = *p++) {
        char next = end - p > 1 ? p[1] : 0;
        if (quote) quote = *p == quote && before != '\\' ? 0 : quote;
        else if (*p == '"' || *p == '\'' || *p == '`') quote = *p;
        else if (blank(before) || before == '(') {
            bool upper = next >= 'A' && next <= 'Z', name = upper || next == '_' || (next >= 'a' && next <= 'z');
            if ((*p == '$' && (name || next == '.')) || (*p == '.' && upper)) return true;
        }
    }
    return false;
}

bool template_is_go(const char *source, size_t n)
{
    const char *end = source + n;
    for (const char *p = source; end - p > 2 && (p = memchr(p, '{', (size_t)(end - p - 2)));) {
        if (*++p != '{') continue;
        p++;
        p += *p == '-';
        while (p < end && blank(*p)) p++;
        const char *from = p;
        while (p < end && !blank(*p) && (!*p || !strchr("(}.-", *p))) p++;
        char after = p < end ? *p : 0, next = end - p > 1 ? p[1] : 0;
        struct str s = { from, (size_t)(p - from) };
        if ((!s.n && after == '.' && next != '}') || (s.n > 1 && !memcmp(s.p, "/*", 2))) return true;
        if ((go_word(s) && after != '.' && after != '(') || go_operands(from, end)) return true;
        p = from;
    }
    return false;
}

/* ---- compiling ---- */

static int compile_jinja(struct template *t, const char *source, size_t n, struct err *err)
{
    struct parser *p = mem_new(1, sizeof *p);
    if (!p) return err_set(err, ERR_NOMEM, "template: out of memory");
    p->mem = &t->mem;
    p->err = err;
    int rc = lex_init(&p->lx, &t->mem, source, n, err);
    if (rc == 0) {
        t->body = parse_template(p);
        rc = t->body ? 0 : p->rc ? p->rc : err_set(err, ERR_NOMEM, "template: out of memory");
    }
    mem_free(p);
    return rc;
}

int template_compile(struct template **out, const char *source, size_t n, struct err *err)
{
    *out = NULL;
    if (n > MAX_SOURCE) return err_set(err, ERR_LIMIT, "template: longer than %d bytes", MAX_SOURCE);
    struct template *t = mem_new(1, sizeof *t);
    if (!t) return err_set(err, ERR_NOMEM, "template: out of memory");
    t->mem.limit = MAX_TREE;
    int rc = template_is_go(source, n) ? gotpl_compile(&t->go, &t->mem, source, n, err) : compile_jinja(t, source, n, err);
    if (rc == 0) *out = t;
    else template_free(t);
    return rc;
}

void template_free(struct template *t)
{
    if (!t) return;
    arena_release(&t->mem);
    mem_free(t);
}

bool template_fills(const struct template *t) { return t && t->go && t->go->says_suffix; }

static int define(struct tpl *t, struct scope *root, const struct json *vars, const struct template_guard *guard)
{
    const char *name;
    struct json *j;
    void *it = NULL;
    int rc = 0;
    while (rc == 0 && json_next(vars, &it, &name, &j)) {
        struct value v;
        rc = v_from_json(t, j, guard, &v);
        if (rc == 0) rc = tpl_set(t, root, str_of(name), &v);
    }
    return rc;
}

static int render_jinja(struct tpl *t, const struct node *body, const struct json *vars)
{
    const struct template_guard *guard = t->lim.guard;
    struct scope *root = tpl_push_scope(t, NULL), *top;
    int flow = 0, rc = root ? 0 : t->err->code;
    if (rc == 0) rc = define(t, root, vars, guard);
    if (rc == 0 && guard) rc = define(t, root, guard->trusted, NULL);
    if (rc < 0) return rc;
    top = tpl_push_scope(t, root);
    return top ? tpl_exec(t, body, &flow) : t->err->code;
}

int template_render(const struct template *tp, const struct json *vars, const struct template_limits *limits,
                    struct buf *out, struct err *err)
{
    struct err own = { 0 };
    struct tpl t = { .out = out, .out_start = out->len, .err = err ? err : &own };
    if (limits) t.lim = *limits;
    if (!t.lim.steps) t.lim.steps = 1000000;
    if (!t.lim.output) t.lim.output = 8u << 20;
    if (!t.lim.memory) t.lim.memory = 64u << 20;
    if (!t.lim.depth) t.lim.depth = 100;
    if (!t.lim.ms) t.lim.ms = 100;
    t.steps = t.lim.steps;
    t.look_at = t.steps > FREE_STEPS ? t.steps - FREE_STEPS : 0;
    t.start_ns = os_thread_ns();
    t.mem.limit = t.lim.memory;
    int rc = tp->go ? gotpl_render(&t, tp->go, vars) : render_jinja(&t, tp->body, vars);
    if (rc < 0) {
        out->len = t.out_start;
        if (out->data) out->data[out->len] = 0;
    }
    arena_release(&t.mem);
    return rc;
}
