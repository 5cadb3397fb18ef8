/* gotpl_data.c - the variables of a Go template: messages and tools as the structs that Ollama's templates know, and how often
 * a template is run for a conversation.
 *
 * A template that reads .Messages is run once.  One of the older kind (.System, .Prompt, .Response) is run for every turn, and
 * for the last one only up to .Response.  Known fields of tools come in the order of the structs, others behind them. */
#include <stdlib.h>
#include <string.h>

#include "text/gotpl.h"

struct field { uint8_t of, type; bool omit; const char *name, *json; };      /* omit: JSON leaves it out when it is empty */
static const struct field fields[] = {
    { GT_MESSAGE, GT_STR, false, "Role", "role" },
    { GT_MESSAGE, GT_STR, false, "Content", "content" },
    { GT_MESSAGE, GT_STR, true, "Thinking", "thinking" },
    { GT_MESSAGE, GT_LIST, true, "Images", "images" },
    { GT_MESSAGE, GT_CALLS, true, "ToolCalls", "tool_calls" },
    { GT_MESSAGE, GT_STR, true, "ToolName", "tool_name" },
    { GT_MESSAGE, GT_STR, true, "ToolCallID", "tool_call_id" },
    { GT_CALL, GT_STR, true, "ID", "id" },
    { GT_CALL, GT_CALLED, false, "Function", "function" },
    { GT_CALLED, GT_INT, true, "Index", "index" },
    { GT_CALLED, GT_STR, false, "Name", "name" },
    { GT_CALLED, GT_ARGUMENTS, false, "Arguments", "arguments" },
    { GT_TOOL, GT_STR, false, "Type", "type" },
    { GT_TOOL, GT_ANY, true, "Items", "items" },
    { GT_TOOL, GT_FUNCTION, false, "Function", "function" },
    { GT_FUNCTION, GT_STR, false, "Name", "name" },
    { GT_FUNCTION, GT_STR, true, "Description", "description" },
    { GT_FUNCTION, GT_PARAMETERS, false, "Parameters", "parameters" },
    { GT_PARAMETERS, GT_STR, false, "Type", "type" },
    { GT_PARAMETERS, GT_ANY, true, "Defs", "$defs" },
    { GT_PARAMETERS, GT_ANY, true, "Items", "items" },
    { GT_PARAMETERS, GT_STRINGS, true, "Required", "required" },
    { GT_PARAMETERS, GT_PROPERTIES, false, "Properties", "properties" },
    { GT_PROPERTY, GT_ANYOF, true, "AnyOf", "anyOf" },
    { GT_PROPERTY, GT_TYPE, true, "Type", "type" },
    { GT_PROPERTY, GT_ANY, true, "Items", "items" },
    { GT_PROPERTY, GT_STR, true, "Description", "description" },
    { GT_PROPERTY, GT_LIST, true, "Enum", "enum" },
    { GT_PROPERTY, GT_PROPERTIES, true, "Properties", "properties" },
    { GT_PROPERTY, GT_STRINGS, true, "Required", "required" },
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

/* Of a map's values, or of a list's elements. */
static enum go_type element_of(enum go_type type)
{
    switch (type) {
    case GT_PROPERTIES:
    case GT_ANYOF: return GT_PROPERTY;
    case GT_MESSAGES: return GT_MESSAGE;
    case GT_CALLS: return GT_CALL;
    case GT_TOOLS: return GT_TOOL;
    case GT_STRINGS:
    case GT_TYPE: return GT_STR;
    default: return GT_ANY;
    }
}

static bool is_struct(enum go_type type) { return type >= GT_MESSAGE && type <= GT_PROPERTY; }

bool go_is_struct(const struct value *v) { return v->type == V_DICT && is_struct((enum go_type)v->flag); }

struct value go_zero(enum go_type type)
{
    static struct list no_list;                        /* both are never written to */
    static struct dict no_dict;
    struct value v = { .type = V_NONE };
    if (type == GT_STR) return v_str(STR(""));
    if (type == GT_INT) return v_int(0);
    if (type == GT_ANY) return v;
    v.flag = (uint8_t)type;
    v.holder = !is_struct(type);
    v.type = type >= GT_LIST ? V_LIST : V_DICT;
    if (v.type == V_LIST) v.list = &no_list;
    else v.dict = &no_dict;
    return v;
}

const char *go_type_name(const struct value *v)
{
    static const char *const name[] = {
        "nil", "string", "int", "map", "arguments", "properties", "message", "call", "called function", "tool", "function",
        "parameters", "property", "list", "messages", "calls", "tools", "strings", "type", "types",
    };
    switch ((enum vtype)v->type) {
    case V_NONE: return "nil";
    case V_BOOL: return "bool";
    case V_INT: return "int";
    case V_FLOAT: return "float";
    case V_STR: return "string";
    default: return name[v->flag];
    }
}

static const struct value *member(const struct value *v, const struct field *f)
{
    return v_dict_find(v->dict, str_of(f->json));
}

bool go_field_at(const struct value *v, size_t i, struct value *out)
{
    for (size_t k = 0; k < N_FIELDS; k++)
        if (fields[k].of == v->flag && i-- == 0) {
            const struct value *m = member(v, &fields[k]);
            *out = m ? *m : go_zero((enum go_type)fields[k].type);
            return true;
        }
    return false;
}

int go_field(struct go_run *g, const struct value *on, struct str name, struct value *out)
{
    struct value v = *on;
    if (v.type == V_NONE && v.flag == NIL_INVALID) {
        *out = v;
        return 0;
    }
    if (v.type == V_NONE) return tpl_fail(g->t, ERR_FORMAT, "the field %.*s of nil", STR_ARG(name));
    if (v.type == V_DICT && !go_is_struct(&v)) {
        const struct value *m = v_dict_find(v.dict, name);
        *out = m ? *m : go_zero(element_of((enum go_type)v.flag));
        return tpl_spend(g->t, v.dict->n * 8);
    }
    for (size_t k = 0; k < N_FIELDS && v.type == V_DICT; k++)
        if (fields[k].of == v.flag && str_same(name, fields[k].name)) {
            const struct value *m = member(&v, &fields[k]);
            *out = m ? *m : go_zero((enum go_type)fields[k].type);
            return 0;
        }
    return tpl_fail(g->t, ERR_FORMAT, "a %s has no field %.*s", go_type_name(&v), STR_ARG(name));
}

/* ---- from JSON ---- */

static int shape(struct tpl *t, enum go_type type, const struct value *in, struct value *out);

static int wrong(struct tpl *t, const char *want, const struct value *v)
{
    return tpl_fail(t, ERR_FORMAT, "expected %s in the messages or tools, found %s", want, go_type_name(v));
}

static int by_key(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return str_cmp(x->key.s, y->key.s);
}

/* Go goes through maps by their sorted keys. */
static int sort_keys(struct tpl *t, struct dict *d)
{
    size_t work = 0, levels = 1;
    for (size_t i = 0; i < d->n; i++) work += 32 + d->at[i].key.s.n;
    while (d->n >> levels) levels++;
    int rc = tpl_spend(t, work * levels);
    if (rc == 0 && d->n > 1) qsort(d->at, d->n, sizeof *d->at, by_key);
    return rc;
}

static int shape_list(struct tpl *t, enum go_type type, const struct value *in, struct value *out)
{
    struct value one = *in;
    struct list single = { &one, 1, 1, 0, { 0 } };
    const struct list *from = in->list;
    if (type == GT_TYPE && in->type == V_STR) from = &single;
    else if (in->type != V_LIST) return wrong(t, "a list", in);
    int rc = v_list(t, V_LIST, from->n, out);
    for (size_t i = 0; rc == 0 && i < from->n; i++) rc = shape(t, element_of(type), &from->at[i], &out->list->at[out->list->n++]);
    out->flag = (uint8_t)type;
    return rc;
}

static int shape_map(struct tpl *t, enum go_type type, const struct value *in, struct value *out)
{
    if (in->type != V_DICT) return wrong(t, "an object", in);
    size_t n = in->dict->n;
    int rc = v_dict(t, V_DICT, out);
    if (rc == 0 && n && !(out->dict->at = tpl_new(t, n, sizeof *out->dict->at))) rc = t->err->code;
    out->flag = (uint8_t)type;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct pair *p = &out->dict->at[out->dict->n++];
        p->key = in->dict->at[i].key;
        rc = shape(t, element_of(type), &in->dict->at[i].val, &p->val);
    }
    return rc < 0 ? rc : sort_keys(t, out->dict);
}

static bool empty(const struct value *v) { return v->type == V_NONE || !v_true(v); }

static bool known(enum go_type type, struct str key)
{
    for (size_t k = 0; k < N_FIELDS; k++)
        if (fields[k].of == type && str_eq(str_of(fields[k].json), key)) return true;
    return false;
}

/* What the API says of tools and calls that leave a part out. */
static struct value missing(const struct field *f)
{
    struct value v = go_zero((enum go_type)f->type);
    if (f->of == GT_TOOL && f->type == GT_STR) return v_str(STR("function"));
    if (f->of == GT_PARAMETERS && f->type == GT_STR) return v_str(STR("object"));
    v.holder = 0;
    return v;
}

static int shape_struct(struct tpl *t, enum go_type type, const struct value *in, struct value *out)
{
    struct dict none = { 0 };
    const struct dict *from = in->type == V_DICT ? in->dict : &none;
    bool any = in->type == V_BOOL && in->b && type == GT_PROPERTY;       /* a schema that allows everything */
    if (in->type != V_DICT && !any) return wrong(t, "an object", in);
    size_t most = from->n + N_FIELDS, n = 0;
    int rc = v_dict(t, V_DICT, out);
    struct pair *at = rc == 0 ? tpl_new(t, most, sizeof *at) : NULL;
    if (!at) return t->err->code;
    for (size_t k = 0; rc == 0 && k < N_FIELDS; k++) {
        const struct field *f = &fields[k];
        if (f->of != type) continue;
        const struct value *v = v_dict_find(from, str_of(f->json));
        if (!v && type == GT_MESSAGE && !strcmp(f->json, "tool_name")) v = v_dict_find(from, STR("name"));
        at[n].key = v_str(str_of(f->json));
        at[n].val = missing(f);
        if (!v || v->type == V_NONE) {
            n += !f->omit;
            if (f->type == GT_PARAMETERS || f->type == GT_FUNCTION || f->type == GT_CALLED) {
                struct value nothing = { .type = V_DICT, .dict = &none };
                rc = shape(t, (enum go_type)f->type, &nothing, &at[n - 1].val);
            }
            continue;
        }
        rc = shape(t, (enum go_type)f->type, v, &at[n].val);
        n += rc == 0 && !(f->omit && empty(&at[n].val));
    }
    for (size_t i = 0; rc == 0 && type >= GT_TOOL && i < from->n; i++) {
        if (known(type, from->at[i].key.s)) continue;
        at[n].key = from->at[i].key;
        rc = shape(t, GT_ANY, &from->at[i].val, &at[n++].val);
    }
    *out->dict = (struct dict){ at, n, most };
    out->flag = (uint8_t)type;
    return rc < 0 ? rc : tpl_spend(t, from->n * N_FIELDS);
}

static int shape(struct tpl *t, enum go_type type, const struct value *in, struct value *out)
{
    int rc = tpl_spend(t, 0);
    if (rc < 0) return rc;
    struct dict none = { 0 };
    const struct value nothing = { .type = V_DICT, .dict = &none };
    if (in->type == V_NONE && is_struct(type)) in = &nothing;          /* whose fields are looked for without asking */
    if (in->type == V_NONE) {
        *out = go_zero(type);
        return 0;
    }
    if (type == GT_ANY) type = in->type == V_DICT ? GT_MAP : in->type == V_LIST ? GT_LIST : GT_ANY;
    if (type == GT_ANY) {
        *out = in->type == V_INT ? v_float((double)in->i) : *in;       /* as Go reads numbers of JSON */
        return 0;
    }
    if (type == GT_STR || type == GT_INT) {
        if (in->type != (type == GT_STR ? V_STR : V_INT)) return wrong(t, type == GT_STR ? "text" : "a whole number", in);
        *out = *in;
        return 0;
    }
    if ((rc = tpl_enter(t)) < 0) return rc;
    rc = is_struct(type) ? shape_struct(t, type, in, out) : type >= GT_LIST ? shape_list(t, type, in, out)
        : shape_map(t, type, in, out);
    t->depth--;
    return rc;
}

/* ---- types for gpt-oss ---- */

static const char *typescript(struct str s)
{
    static const char *const row[][2] = { { "string", "string" }, { "number", "number" }, { "integer", "number" },
                                          { "boolean", "boolean" }, { "array", "any[]" }, { "object", "Record<string, any>" },
                                          { "null", "null" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (str_eq(s, str_of(row[i][0]))) return row[i][1];
    return "any";
}

int go_typescript(struct go_run *g, const struct value *v, struct buf *out)
{
    const struct value *types = NULL, *any = NULL;
    int rc = tpl_enter(g->t);
    if (rc < 0) return rc;
    if (v->type == V_DICT && v->flag == GT_PROPERTY) {
        types = v_dict_find(v->dict, STR("type"));
        any = v_dict_find(v->dict, STR("anyOf"));
    }
    const struct value *list = any ? any : types;
    if (!list) buf_puts(out, "any");
    for (size_t i = 0; list && rc == 0 && i < list->list->n; i++) {
        if (i) buf_puts(out, " | ");
        if (any) rc = go_typescript(g, &list->list->at[i], out);
        else buf_puts(out, typescript(list->list->at[i].s));
        if (rc == 0) rc = tpl_spend(g->t, 0);
    }
    g->t->depth--;
    return rc;
}

/* ---- a conversation ---- */

/* One message for several of one role that follow each other, but for results of tools. */
static int merge(struct tpl *t, struct value *messages)
{
    struct list *l = messages->list;
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        struct value *role = v_dict_find(l->at[i].dict, STR("role")), *before = n ? v_dict_find(l->at[n - 1].dict,
          STR("role")) : NULL;
        if (!before || !str_eq(role->s, before->s) || str_eq(role->s, STR("tool"))) {
            l->at[n++] = l->at[i];
            continue;
        }
        struct value *to = v_dict_find(l->at[n - 1].dict, STR("content"));
        rc = str_concat(t, to->s, STR("\n\n"), to);
        if (rc == 0) rc = str_concat(t, to->s, v_dict_find(l->at[i].dict, STR("content"))->s, to);
    }
    if (n < l->n) l->n = n;
    messages->holder = n == 0;                         /* Ollama begins with none */
    return rc;
}

static int join_system(struct tpl *t, const struct value *messages, struct value *out)
{
    int rc = 0;
    bool any = false;
    *out = v_str(STR(""));
    for (size_t i = 0; rc == 0 && i < messages->list->n; i++) {
        const struct dict *m = messages->list->at[i].dict;
        if (!str_eq(v_dict_find(m, STR("role"))->s, STR("system"))) continue;
        if (any) rc = str_concat(t, out->s, STR("\n\n"), out);
        if (rc == 0) rc = str_concat(t, out->s, v_dict_find(m, STR("content"))->s, out);
        any = true;
    }
    return rc;
}

static int put(struct tpl *t, struct value *data, const char *name, struct value v)
{
    struct value key = v_str(str_of(name));
    return v_dict_put(t, data->dict, &key, &v);
}

static int take(struct tpl *t, const struct json *vars, const char *name, enum go_type type, struct value *out)
{
    struct value v = v_none();
    const struct json *j = json_get(vars, name);
    int rc = j ? v_from_json(t, j, t->lim.guard, &v) : 0;
    return rc < 0 ? rc : shape(t, type, &v, out);
}

static bool taken(const char *name)
{
    static const char *const own[] = { "messages", "tools", "prompt", "suffix", "system", "add_generation_prompt",
      "enable_thinking",
                                       "thinking", "reasoning_effort", "documents" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(name, own[i])) return true;
    return false;
}

/* Whether it is to reason, and what else was given, under its own name. */
static int put_common(struct tpl *t, const struct json *vars, const struct template_guard *guard, struct value *data)
{
    const struct json *on = json_get(vars, "enable_thinking"), *effort = json_get(vars, "reasoning_effort");
    if (json_type(on) != JSON_BOOL) on = json_get(vars, "thinking");
    bool level = json_str(effort, NULL) != NULL, set = level || json_type(on) == JSON_BOOL;
    struct value v = v_str(STR(""));
    const char *name;
    struct json *j;
    void *it = NULL;
    int rc = level ? take(t, vars, "reasoning_effort", GT_STR, &v) : 0;
    if (rc == 0) rc = put(t, data, "ThinkLevel", v);
    if (rc == 0) rc = put(t, data, "Think", v_bool(json_type(on) == JSON_BOOL ? json_bool(on) : level));
    if (rc == 0) rc = put(t, data, "IsThinkSet", v_bool(set));
    while (rc == 0 && json_next(vars, &it, &name, &j))
        if (!taken(name) && (rc = take(t, vars, name, GT_ANY, &v)) == 0) rc = put(t, data, name, v);
    for (it = NULL; rc == 0 && guard && json_next(guard->trusted, &it, &name, &j);) {
        rc = v_from_json(t, j, NULL, &v);
        if (rc == 0) rc = put(t, data, name, v);
    }
    return rc;
}

/* Runs the whole template. */
static int run(struct go_run *g, const struct value *data)
{
    int rc = sort_keys(g->t, data->dict);
    return rc < 0 ? rc : go_call_def(g, g->tree->main.body, g->tree->main.n_slot, data);
}

struct legacy { struct go_run *g; struct value *data, system, prompt, response; };

static int turn(struct legacy *l)
{
    struct tpl *t = l->g->t;
    int rc = put(t, l->data, "System", l->system);
    if (rc == 0) rc = put(t, l->data, "Prompt", l->prompt);
    if (rc == 0) rc = put(t, l->data, "Response", l->response);
    if (rc == 0) rc = run(l->g, l->data);
    l->system = l->prompt = l->response = v_str(STR(""));
    return rc;
}

/* A turn is a system text, a prompt and an answer, each of which may be missing; what comes too early begins the next. */
static int turns(struct go_run *g, struct value *data, const struct value *messages)
{
    struct value none = v_str(STR(""));
    struct legacy l = { g, data, none, none, none };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < messages->list->n; i++) {
        const struct dict *m = messages->list->at[i].dict;
        struct str role = v_dict_find(m, STR("role"))->s;
        const struct value *content = v_dict_find(m, STR("content"));
        bool prompt = !str_empty(l.prompt.s), response = !str_empty(l.response.s);
        if (str_eq(role, STR("system"))) {
            if (prompt || response) rc = turn(&l);
            l.system = *content;
        } else if (str_eq(role, STR("user"))) {
            if (response) rc = turn(&l);
            l.prompt = *content;
        } else if (str_eq(role, STR("assistant"))) {
            l.response = *content;
        }
    }
    g->open = true;
    return rc < 0 ? rc : turn(&l);
}

/* The messages, or what generate has in their place: a system text and a prompt. */
static int conversation(struct tpl *t, const struct json *vars, const struct value *prompt, struct value *out)
{
    struct value system, m, list;
    const struct value role[2] = { v_str(STR("system")), v_str(STR("user")) };
    if (json_get(vars, "messages")) return take(t, vars, "messages", GT_MESSAGES, out);
    int rc = take(t, vars, "system", GT_STR, &system);
    if (rc == 0) rc = v_list(t, V_LIST, 2, &list);
    for (int i = 0; rc == 0 && i < 2; i++) {
        const struct value *text = i ? prompt : &system;
        struct value a = v_str(STR("role")), b = v_str(STR("content"));
        if (str_empty(text->s)) continue;
        rc = v_dict(t, V_DICT, &m);
        if (rc == 0) rc = v_dict_put(t, m.dict, &a, &role[i]);
        if (rc == 0) rc = v_dict_put(t, m.dict, &b, text);
        list.list->at[list.list->n++] = m;
    }
    return rc < 0 ? rc : shape(t, GT_MESSAGES, &list, out);
}

int gotpl_render(struct tpl *t, const struct go_tree *tree, const struct json *vars)
{
    struct go_run g = { .t = t, .tree = tree };
    struct value data, messages, tools, prompt, suffix, system;
    int rc = v_dict(t, V_DICT, &data);
    data.flag = GT_MAP;
    if (rc == 0) rc = put_common(t, vars, t->lim.guard, &data);
    if (rc == 0) rc = put(t, &data, "Response", v_str(STR("")));
    if (rc == 0) rc = take(t, vars, "prompt", GT_STR, &prompt);
    if (rc == 0) rc = take(t, vars, "suffix", GT_STR, &suffix);
    if (rc < 0) return rc;
    if (!str_empty(prompt.s) && !str_empty(suffix.s)) {
        rc = put(t, &data, "Prompt", prompt);
        if (rc == 0) rc = put(t, &data, "Suffix", suffix);
        return rc < 0 ? rc : run(&g, &data);
    }
    rc = conversation(t, vars, &prompt, &messages);
    if (rc == 0) rc = join_system(t, &messages, &system);
    if (rc == 0) rc = merge(t, &messages);
    if (rc == 0 && !tree->says_messages) return turns(&g, &data, &messages);
    if (rc == 0) rc = take(t, vars, "tools", GT_TOOLS, &tools);
    if (rc == 0) rc = put(t, &data, "Tools", tools);
    if (rc == 0) rc = put(t, &data, "System", system);
    if (rc == 0) rc = put(t, &data, "Messages", messages);
    return rc < 0 ? rc : run(&g, &data);
}
