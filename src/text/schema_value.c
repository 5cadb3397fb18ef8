/* schema_value.c - objects and arrays.
 *
 * Members come in the order of `properties`; those that are required but not described follow, then others where the schema
 * allows them.  White space is at most one space or one line break with an indent, where people and models put it. */
#include <string.h>

#include "base/mem.h"
#include "text/schema.h"

enum { MOST_PATTERNS = 4 };

static const struct gnode *quoted(struct gram *g, const struct gnode *x)
{
    const struct gnode *quote = gram_text(g, "\"");
    return GRAM_SEQ(g, quote, x, quote);
}

static const struct gnode *colon(struct schema *s)
{
    struct gram *g = &s->g;
    return GRAM_SEQ(g, gram_text(g, ":"), gram_rep(g, gram_text(g, " "), 0, 1));
}

static const struct gnode *comma(struct schema *s) { return GRAM_SEQ(&s->g, gram_text(&s->g, ","), s->ws); }

static const struct gnode *between(struct schema *s, const char *open, const struct gnode *x, const char *close)
{
    struct gram *g = &s->g;
    return GRAM_SEQ(g, gram_text(g, open), s->ws, x, s->ws, gram_text(g, close));
}

/* ---- any value ---- */

static const struct gnode *repeated(struct schema *s, const struct gnode *x, uint32_t min, uint32_t max)
{
    struct gram *g = &s->g;
    if (!max) return &gram_nothing;
    const struct gnode *more = gram_rep(g, GRAM_SEQ(g, comma(s), x), min ? min - 1 : 0, max == GRAM_INF ? max : max - 1);
    const struct gnode *list = GRAM_SEQ(g, x, more);
    return min ? list : gram_rep(g, list, 0, 1);
}

const struct gnode *schema_any(struct schema *s)
{
    struct gram *g = &s->g;
    if (s->any_value == GRAM_NONE) {
        s->any_value = gram_rule(g, "any value", 0);
        s->any_object = gram_rule(g, "any object", 0);
        if (g->rc) return &gram_failure;
        const struct gnode *value = gram_ref(g, s->any_value), *object = gram_ref(g, s->any_object);
        const struct gnode *member = GRAM_SEQ(g, s->string, colon(s), value);
        const struct gnode *members = between(s, "{", repeated(s, member, 0, GRAM_INF), "}");
        const struct gnode *array = between(s, "[", repeated(s, value, 0, GRAM_INF), "]");
        g->rule[s->any_object].body = members;
        g->rule[s->any_value].body = GRAM_ALT(g, object, array, s->string, s->number, gram_text(g, "true"), gram_text(g, "false"),
                                              gram_text(g, "null"));
    }
    return gram_ref(g, s->any_value);
}

const struct gnode *schema_any_object(struct schema *s)
{
    schema_any(s);
    return gram_ref(&s->g, s->any_object);
}

/* ---- members ---- */

static bool key_matches(struct schema *s, const struct place *p, const char *pattern, const char *key)
{
    static const struct regex_use search = { .search = true };
    const char *path = schema_path(s, p->path, "patternProperties");
    return gram_matches(&s->g, schema_pattern(s, pattern, strlen(pattern), &search, path), key, strlen(key));
}

void schema_member(struct schema *s, const struct conj *c, const char *name, struct conj *out)
{
    *out = (struct conj){ 0 };
    for (size_t i = 0; i < c->n && !s->g.rc; i++) {
        const struct json *j = c->p[i].j, *own = json_get(json_get(j, "properties"), name), *more = json_get(j,
            "additionalProperties");
        const char *base = schema_path(s, c->p[i].path, "properties"), *pattern;
        struct json *v;
        bool known = own;
        if (own) conj_add(s, out, own, schema_path(s, base, name));
        for (void *it = NULL; json_next(json_get(j, "patternProperties"), &it, &pattern, &v);)
            if (key_matches(s, &c->p[i], pattern, name)) {
                known = true;
                conj_add(s, out, v, schema_path(s, schema_path(s, c->p[i].path, "patternProperties"), pattern));
            }
        if (!known && more) conj_add(s, out, more, schema_path(s, c->p[i].path, "additionalProperties"));
    }
}

static bool is_false(const struct json *j) { return j && json_type(j) == JSON_BOOL && !json_bool(j); }

bool schema_is_open(const struct conj *c)
{
    bool described = false, wanted = false;
    for (size_t i = 0; i < c->n; i++) {
        const struct json *j = c->p[i].j, *more = json_get(j, "additionalProperties"), *patterns = json_get(j,
            "patternProperties");
        if (is_false(more) && !json_len(patterns)) return false;
        described |= json_get(j, "properties") || json_get(j, "required");
        wanted |= (more && !is_false(more)) || json_len(patterns);
    }
    return wanted || !described;
}

bool schema_required(const struct conj *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct json *list = json_get(c->p[i].j, "required");
        for (size_t k = 0; k < json_len(list); k++) {
            const char *r = json_str(json_at(list, k), NULL);
            if (r && !strcmp(r, name)) return true;
        }
    }
    return false;
}

struct members {
    const char **name;
    size_t n, cap;
};

static void add_name(struct schema *s, struct members *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (!strcmp(m->name[i], name)) return;
    if (!schema_spend(s, m->n / 16 + 1, "")) return;
    if (m->n == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 32;
        const char **p = gram_push(&s->g, cap, sizeof *p);
        if (!p) return;
        if (m->n) memcpy(p, m->name, m->n * sizeof *p);
        m->name = p;
        m->cap = cap;
    }
    m->name[m->n++] = name;
}

static struct members names_of(struct schema *s, const struct conj *c)
{
    struct members m = { 0 };
    const char *key;
    for (size_t i = 0; i < c->n; i++)
        for (void *it = NULL; json_next(json_get(c->p[i].j, "properties"), &it, &key, NULL);) add_name(s, &m, key);
    for (size_t i = 0; i < c->n; i++) {
        const struct json *list = json_get(c->p[i].j, "required");
        for (size_t k = 0; k < json_len(list); k++) {
            const char *r = json_str(json_at(list, k), NULL);
            if (r) add_name(s, &m, r);
            else schema_refuse(s, ERR_FORMAT, schema_path(s, c->p[i].path, "required"), "must be a list of names");
        }
    }
    return m;
}

struct pattern { const char *text; const struct json *schema; size_t place; };

/* Other keys: for each set of patterns that a key can match, the keys that match these and no others. */
static const struct gnode *other_members(struct schema *s, const struct conj *c, const struct members *m)
{
    struct gram *g = &s->g;
    static const struct regex_use search = { .search = true, .spell = schema_spell };
    struct pattern pat[MOST_PATTERNS];
    size_t n = 0;
    const char *key;
    struct json *v;
    for (size_t i = 0; i < c->n; i++)
        for (void *it = NULL; json_next(json_get(c->p[i].j, "patternProperties"), &it, &key, &v);) {
            if (n == MOST_PATTERNS) {
                schema_refuse(s, ERR_LIMIT, schema_path(s, c->p[i].path, "patternProperties"), "more than %d patterns",
                    MOST_PATTERNS);
                return &gram_failure;
            }
            pat[n++] = (struct pattern){ key, v, i };
        }
    struct cp_set any = { 0 };
    cp_add(g, &any, 0, GRAM_LAST_CHAR);
    const struct gnode *free = gram_rep(g, schema_spell(g, &any), 0, GRAM_INF);
    const struct gnode **name = gram_push(g, m->n + 1, sizeof *name);
    for (size_t i = 0; name && i < m->n; i++) {
        struct buf b = { 0 };
        json_write_str(m->name[i], strlen(m->name[i]), &b);
        name[i] = b.bad ? &gram_failure : gram_bytes(g, b.data + 1, b.len - 2);
        buf_release(&b);
    }
    if (name && m->n) free = gram_both(g, free, gram_alt(g, name, m->n), true);
    const struct gnode *kid[1 << MOST_PATTERNS];
    for (unsigned set = 0; set < 1u << n && !g->rc; set++) {
        const struct gnode *keys = free;
        struct conj value = { 0 };
        for (size_t i = 0; i < n; i++) {
            const char *path = schema_path(s, c->p[pat[i].place].path, "patternProperties");
            const struct gnode *x = schema_pattern(s, pat[i].text, strlen(pat[i].text), &search, path);
            keys = gram_both(g, keys, x, !(set >> i & 1));
            if (set >> i & 1) conj_add(s, &value, pat[i].schema, schema_path(s, c->p[pat[i].place].path, "patternProperties"));
        }
        for (size_t p = 0; p < c->n; p++) {
            const struct json *more = json_get(c->p[p].j, "additionalProperties");
            bool known = false;
            for (size_t i = 0; i < n; i++) known |= (set >> i & 1) && pat[i].place == p;
            if (more && !known) conj_add(s, &value, more, schema_path(s, c->p[p].path, "additionalProperties"));
        }
        kid[set] = &gram_failure;
        if (!value.never && keys->op != G_FAIL && (set || !n || value.n)) kid[set] = GRAM_SEQ(g, quoted(g, keys),
            colon(s), schema_ref(s, &value));
        else if (!value.never && keys->op != G_FAIL && !set) kid[set] = &gram_failure;     /* only keys of the patterns */
    }
    return g->rc ? &gram_failure : gram_alt(g, kid, (size_t)1 << n);
}

static bool plain_object(const struct conj *c)
{
    static const char *const word[] = { "properties", "required", "additionalProperties", "patternProperties", "minProperties",
                                        "maxProperties" };
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < sizeof word / sizeof *word; k++)
            if (json_get(c->p[i].j, word[k])) return false;
    return true;
}

const struct gnode *schema_object(struct schema *s, const struct conj *c)
{
    struct gram *g = &s->g;
    if (plain_object(c)) return schema_any_object(s);
    struct members m = names_of(s, c);
    struct glist l = { .sep = comma(s), .min = conj_count(s, c, "minProperties", true, 0),
                       .max = conj_count(s, c, "maxProperties", false, GRAM_INF) };
    l.item = gram_push(g, m.n + 1, sizeof *l.item);
    bool *needed = gram_push(g, m.n + 1, sizeof *needed);
    uint32_t must = 0;
    if (!l.item || !needed) return &gram_failure;
    for (size_t i = 0; i < m.n && !g->rc; i++) {
        struct conj v;
        bool required = schema_required(c, m.name[i]);
        schema_member(s, c, m.name[i], &v);
        if (v.never && required) return &gram_failure;
        if (v.never) continue;
        l.item[l.n_items] = GRAM_SEQ(g, schema_key(s, m.name[i]), schema_ref(s, &v));
        needed[l.n_items++] = required;
        must += required;
    }
    if (schema_is_open(c)) l.rest = other_members(s, c, &m);
    if (l.rest && l.rest->op == G_FAIL) l.rest = NULL;
    if (l.rest && l.min > must + 1) {
        if (l.n_items < l.min)
            schema_refuse(s, ERR_UNSUPPORTED, schema_path(s, c->p[0].path, "minProperties"),
                          "free keys could repeat; describe at least %u properties", l.min);
        l.rest = NULL;
    }
    if (l.max < must || (!l.rest && l.min > l.n_items) || l.min > l.max) return &gram_failure;
    if (l.min <= must) l.min = 0;
    if (!l.rest && l.max >= l.n_items) l.max = GRAM_INF;
    l.needed = needed;
    return between(s, "{", gram_list(g, &l), "}");
}

/* ---- arrays ---- */

static size_t prefix_of(const struct json *j, const struct json **list)
{
    *list = json_get(j, "prefixItems");
    if (!*list && json_type(json_get(j, "items")) == JSON_ARRAY) *list = json_get(j, "items");     /* before 2020 */
    return json_len(*list);
}

/* The schemas for the items from `at` on; at < 0: for those behind all prefixes. */
static void item_of(struct schema *s, const struct conj *c, long at, struct conj *out, bool *described)
{
    *out = (struct conj){ 0 };
    for (size_t i = 0; i < c->n && !s->g.rc; i++) {
        const struct json *j = c->p[i].j, *list, *items = json_get(j, "items");
        size_t n = prefix_of(j, &list);
        bool old = json_type(items) == JSON_ARRAY;
        char key[40];
        fmt_into(key, sizeof key, "%s/%ld", old ? "items" : "prefixItems", at);
        if (at >= 0 && (size_t)at < n) conj_add(s, out, json_at(list, (size_t)at), schema_path(s, c->p[i].path, key));
        const struct json *rest = old ? json_get(j, "additionalItems") : items;
        if (rest && !(at >= 0 && (size_t)at < n)) {
            *described = true;
            conj_add(s, out, rest, schema_path(s, c->p[i].path, old ? "additionalItems" : "items"));
        }
    }
}

const struct gnode *schema_array(struct schema *s, const struct conj *c)
{
    struct gram *g = &s->g;
    uint32_t min = conj_count(s, c, "minItems", true, 0), max = conj_count(s, c, "maxItems", false, GRAM_INF);
    size_t prefix = 0;
    bool described = false;
    struct conj v;
    for (size_t i = 0; i < c->n; i++) {
        const struct json *list;
        size_t n = prefix_of(c->p[i].j, &list);
        if (n > prefix) prefix = n;
    }
    if (min > max) return &gram_failure;
    item_of(s, c, -1, &v, &described);
    const struct gnode *rest = schema_ref(s, &v);
    if (!prefix) {
        if (v.never && min) return &gram_failure;
        return between(s, "[", repeated(s, rest, min, v.never ? 0 : max), "]");
    }
    if (!described && min <= prefix) rest = &gram_failure;         /* a tuple without a word on more has no more */
    struct glist l = { .sep = comma(s), .min = min, .max = max, .tuple = true, .rest = rest->op == G_FAIL ? NULL : rest };
    l.item = gram_push(g, prefix, sizeof *l.item);
    for (; l.item && l.n_items < prefix && !g->rc; l.n_items++) {
        item_of(s, c, (long)l.n_items, &v, &described);
        l.item[l.n_items] = schema_ref(s, &v);
        if (l.item[l.n_items]->op == G_FAIL) {
            l.rest = NULL;
            break;
        }
    }
    if (g->rc || (!l.rest && min > l.n_items)) return &gram_failure;
    if (!l.rest && l.max >= l.n_items) l.max = l.n_items ? GRAM_INF : 0;
    return between(s, "[", l.n_items || l.rest ? gram_list(g, &l) : &gram_nothing, "]");
}
