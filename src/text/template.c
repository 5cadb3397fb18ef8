#include "text/template.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "text/tpl.h"

enum { MAX_SOURCE = 4 << 20, MAX_TREE = 256 << 20, FREE_STEPS = 100000 };

struct template {
    struct arena mem;
    struct node *body;
};

int template_compile(struct template **out, const char *source, size_t n, struct err *err)
{
    *out = NULL;
    if (n > MAX_SOURCE) return err_set(err, ERR_LIMIT, "template: longer than %d bytes", MAX_SOURCE);
    struct template *t = mem_new(1, sizeof *t);
    struct parser *p = mem_new(1, sizeof *p);
    int rc = t && p ? 0 : err_set(err, ERR_NOMEM, "template: out of memory");
    if (rc == 0) {
        t->mem.limit = MAX_TREE;
        p->mem = &t->mem;
        p->err = err;
        rc = lex_init(&p->lx, &t->mem, source, n, err);
    }
    if (rc == 0) {
        t->body = parse_template(p);
        rc = t->body ? 0 : p->rc ? p->rc : err_set(err, ERR_NOMEM, "template: out of memory");
    }
    mem_free(p);
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

int template_render(const struct template *tp, const struct json *vars, const struct template_limits *limits,
                    struct buf *out, struct err *err)
{
    struct err own = { 0 };
    struct tpl t = { .out = out, .out_start = out->len, .err = err ? err : &own };
    int flow = 0;
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
    struct scope *root = tpl_push_scope(&t, NULL), *top;
    int rc = root ? 0 : t.err->code;
    const struct template_guard *guard = t.lim.guard;
    if (rc == 0) rc = define(&t, root, vars, guard);
    if (rc == 0 && guard) rc = define(&t, root, guard->trusted, NULL);
    if (rc == 0) {
        top = tpl_push_scope(&t, root);
        rc = top ? tpl_exec(&t, tp->body, &flow) : t.err->code;
    }
    if (rc < 0) {
        out->len = t.out_start;
        if (out->data) out->data[out->len] = 0;
    }
    arena_release(&t.mem);
    return rc;
}
