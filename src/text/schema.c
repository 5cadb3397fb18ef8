#include "text/schema.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"

enum { MOST_WORK = 3000000 };

int schema_refuse(struct schema *s, int code, const char *path, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    os_vformat(text, sizeof text, fmt, ap);
    va_end(ap);
    return gram_fail(&s->g, code, "%.150s: %s", path && *path ? path : "/", text);
}

const char *schema_path(struct schema *s, const char *path, const char *key)
{
    size_t n = strlen(path), k = strlen(key);
    char *p = n + k > 4000 ? NULL : gram_push(&s->g, n + k + 2, 1);
    if (!p) return "...";
    memcpy(p, path, n);
    p[n] = '/';
    memcpy(p + n + 1, key, k);
    return p;
}

bool schema_spend(struct schema *s, uint64_t n, const char *path)
{
    s->work += n;
    if (s->work > MOST_WORK) schema_refuse(s, ERR_LIMIT, path, "the schema is too complex: combinations of combinations");
    return !s->g.rc;
}

/* ---- keywords ---- */

static const char *const refused[] = {
    "if", "dependentSchemas", "dependentRequired", "dependencies", "propertyNames", "contains", "unevaluatedItems",
    "unevaluatedProperties", "$dynamicRef", "$recursiveRef", "extends", "disallow", "divisibleBy",
};

static bool is_schema(const struct json *j) { return json_type(j) == JSON_OBJECT || json_type(j) == JSON_BOOL; }

/* Whether a reference is anywhere in j. */
static bool has_reference(struct schema *s, const struct json *j, const char *path)
{
    const char *key;
    struct json *v;
    if (!schema_spend(s, 1, path)) return false;
    if (json_type(j) == JSON_OBJECT && json_get(j, "$ref")) return true;
    for (void *it = NULL; json_type(j) == JSON_OBJECT && json_next(j, &it, &key, &v);)
        if (has_reference(s, v, path)) return true;
    for (size_t i = 0; json_type(j) == JSON_ARRAY && i < json_len(j); i++)
        if (has_reference(s, json_at(j, i), path)) return true;
    return false;
}

/* What a keyword that cannot be honoured says is refused, unless it says nothing. */
void schema_check_keywords(struct schema *s, const struct json *j, const char *path)
{
    for (size_t i = 0; i < sizeof s->checked / sizeof *s->checked; i++)
        if (s->checked[i] == j) return;
    s->checked[s->next_checked++ % (sizeof s->checked / sizeof *s->checked)] = j;
    const char *id = j == s->root ? NULL : json_str(json_get(j, "$id"), NULL);
    if (id && *id != '#' && has_reference(s, j, path))
        schema_refuse(s, ERR_UNSUPPORTED, schema_path(s, path, "$id"), "references below would be relative to it; leave it out");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const struct json *v = json_get(j, refused[i]);
        const bool means_more = !strcmp(refused[i], "if") || !strcmp(refused[i], "contains");
        if (!v || (json_type(v) == JSON_BOOL && json_bool(v) && !means_more)) continue;
        if (json_type(v) == JSON_OBJECT && !json_len(v) && !means_more) continue;
        if (!strcmp(refused[i], "if") && !json_get(j, "then") && !json_get(j, "else")) continue;
        schema_refuse(s, ERR_UNSUPPORTED, schema_path(s, path, refused[i]), "cannot be kept while writing; leave it out");
    }
    const struct json *v = json_get(j, "uniqueItems");
    if (v && json_bool(v) && !(json_get(j, "maxItems") && json_int(json_get(j, "maxItems")) <= 1))
        schema_refuse(s, ERR_UNSUPPORTED, schema_path(s, path, "uniqueItems"), "cannot be kept while writing; leave it out");
    static const struct { const char *key; unsigned types; } kind[] = {
        { "properties", 1u << JSON_OBJECT }, { "patternProperties", 1u << JSON_OBJECT }, { "required", 1u << JSON_ARRAY },
        { "enum", 1u << JSON_ARRAY }, { "prefixItems", 1u << JSON_ARRAY }, { "anyOf", 1u << JSON_ARRAY },
        { "oneOf", 1u << JSON_ARRAY }, { "allOf", 1u << JSON_ARRAY }, { "pattern", 1u << JSON_STRING },
        { "format", 1u << JSON_STRING }, { "$ref", 1u << JSON_STRING }, { "type", 1u << JSON_STRING | 1u << JSON_ARRAY },
        { "minimum", 1u << JSON_INT | 1u << JSON_REAL }, { "maximum", 1u << JSON_INT | 1u << JSON_REAL },
        { "multipleOf", 1u << JSON_INT | 1u << JSON_REAL },
        { "additionalProperties", 1u << JSON_OBJECT | 1u << JSON_BOOL },
        { "items", 1u << JSON_OBJECT | 1u << JSON_BOOL | 1u << JSON_ARRAY },
        { "exclusiveMinimum", 1u << JSON_INT | 1u << JSON_REAL | 1u << JSON_BOOL },
        { "exclusiveMaximum", 1u << JSON_INT | 1u << JSON_REAL | 1u << JSON_BOOL },
    };
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        v = json_get(j, kind[i].key);
        if (v && !(kind[i].types >> json_type(v) & 1))
            schema_refuse(s, ERR_FORMAT, schema_path(s, path, kind[i].key), "is of the wrong type");
    }
}

/* ---- references ---- */

/* One step of a JSON pointer, unescaped into key. */
static const char *pointer_step(const char *p, char *key, size_t n)
{
    size_t k = 0;
    for (; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '~' && (p[1] == '0' || p[1] == '1')) c = *++p == '0' ? '~' : '/';
        else if (c == '%' && p[1] && p[2]) {
            char hex[3] = { p[1], p[2], 0 };
            c = (char)strtol(hex, NULL, 16);
            p += 2;
        }
        if (k + 1 < n) key[k++] = c;
    }
    key[k] = 0;
    return p;
}

static const struct json *item_at(const struct json *list, const char *key)
{
    bool index = *key && strlen(key) < 9 && !key[strspn(key, "0123456789")] && (*key != '0' || !key[1]);
    return index ? json_at(list, (size_t)strtoul(key, NULL, 10)) : NULL;
}

const struct json *schema_target(struct schema *s, const struct json *ref, const char *path)
{
    const char *p = json_str(ref, NULL);
    const struct json *at = s->root;
    if (p && *p == '#' && (!p[1] || p[1] == '/')) {
        for (p++; at && *p == '/';) {
            char key[256];
            p = pointer_step(p + 1, key, sizeof key);
            at = json_type(at) == JSON_ARRAY ? item_at(at, key) : json_get(at, key);
        }
        if (is_schema(at)) return at;
        schema_refuse(s, ERR_FORMAT, path, "refers to %.100s, where there is no schema", json_str(ref, NULL));
        return NULL;
    }
    const struct json *id = json_get(s->root, "$id"), *defs = json_get(s->root, "$defs"), *v;
    if (p && id && json_str(id, NULL) && !strcmp(p, json_str(id, NULL))) return s->root;
    const char *key;
    for (void *it = NULL; p && *p == '#' && json_next(defs, &it, &key, (struct json **)(uintptr_t)&v);) {
        const char *anchor = json_str(json_get(v, "$anchor"), NULL);
        if (anchor && !strcmp(anchor, p + 1)) return v;
    }
    schema_refuse(s, ERR_UNSUPPORTED, path, "refers to %.100s; only places within the schema (#/...) can be referred to", p);
    return NULL;
}

/* ---- sets of places ---- */

static bool says_nothing(const struct json *j, unsigned done)
{
    static const char *const word[] = {
        "type", "enum", "const", "properties", "required", "additionalProperties", "patternProperties", "minProperties",
        "maxProperties", "items", "prefixItems", "additionalItems", "minItems", "maxItems", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format", "not",
    };
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (json_get(j, word[i])) return false;
    return (!json_get(j, "anyOf") || done & ANY_OF_DONE) && (!json_get(j, "oneOf") || done & ONE_OF_DONE);
}

static void insert(struct schema *s, struct conj *c, const struct place *p)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i].j == p->j) {
            c->p[i].done |= p->done;
            return;
        }
    if (c->n % 8 == 0) {
        struct place *more = gram_push(&s->g, c->n + 8, sizeof *more);
        if (!more) return;
        if (c->n) memcpy(more, c->p, c->n * sizeof *more);
        c->p = more;
    }
    if (c->n >= 200) schema_refuse(s, ERR_LIMIT, p->path, "more than 200 schemas must hold at once");
    else c->p[c->n++] = *p;
}

static bool has(const struct conj *c, const struct json *j)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i].j == j) return true;
    return false;
}

/* Adds j, what it refers to and the members of its allOf.  chain: the places above in this walk. */
struct chain { const struct json *j; const struct chain *up; };

static void add(struct schema *s, struct conj *c, const struct place *p, const struct chain *up)
{
    unsigned depth = 0;
    if (s->g.rc || !schema_spend(s, 4, p->path)) return;
    if (json_type(p->j) == JSON_BOOL) {
        c->never |= !json_bool(p->j);
        return;
    }
    if (json_type(p->j) != JSON_OBJECT) {
        schema_refuse(s, ERR_FORMAT, p->path, "a schema must be an object, true or false");
        return;
    }
    for (const struct chain *x = up; x; x = x->up)
        if (x->j == p->j || ++depth > 100) {
            schema_refuse(s, ERR_FORMAT, p->path, "refers to itself with nothing between");
            return;
        }
    if (has(c, p->j)) {
        insert(s, c, p);
        return;
    }
    struct chain here = { p->j, up };
    schema_check_keywords(s, p->j, p->path);
    if (!says_nothing(p->j, p->done)) insert(s, c, p);
    const struct json *ref = json_get(p->j, "$ref"), *all = json_get(p->j, "allOf");
    if (ref) {
        const struct json *to = schema_target(s, ref, schema_path(s, p->path, "$ref"));
        struct place next = { to, json_str(ref, NULL) ? json_str(ref, NULL) : "", 0 };
        if (to) add(s, c, &next, &here);
    }
    for (size_t i = 0; i < json_len(all) && !s->g.rc; i++) {
        char key[40];
        fmt_into(key, sizeof key, "allOf/%zu", i);
        struct place next = { json_at(all, i), schema_path(s, p->path, key), 0 };
        add(s, c, &next, &here);
    }
}

void conj_add_place(struct schema *s, struct conj *c, const struct place *p) { add(s, c, p, NULL); }

void conj_add(struct schema *s, struct conj *c, const struct json *j, const char *path)
{
    struct place p = { j, path, 0 };
    add(s, c, &p, NULL);
}

static int by_place(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    return ((uintptr_t)a->j > (uintptr_t)b->j) - ((uintptr_t)a->j < (uintptr_t)b->j);
}

/* ---- rules ---- */

static uint64_t key_of(const struct conj *c)
{
    uint64_t h = HASH_START, sum = 0;
    for (size_t i = 0; i < c->n; i++) {             /* the order does not matter */
        uint64_t v[2] = { (uintptr_t)c->p[i].j, c->p[i].done };
        sum += hash_add(h, v, sizeof v);
    }
    return sum;
}

static bool same_conj(const struct conj *a, const struct conj *b)
{
    if (a->n != b->n) return false;
    struct place *x = mem_new_array(struct place, a->n), *y = mem_new_array(struct place, a->n);
    bool same = x && y;
    if (same) {
        memcpy(x, a->p, a->n * sizeof *x);
        memcpy(y, b->p, a->n * sizeof *y);
        qsort(x, a->n, sizeof *x, by_place);
        qsort(y, a->n, sizeof *y, by_place);
        for (size_t i = 0; i < a->n; i++) same = same && x[i].j == y[i].j && x[i].done == y[i].done;
    }
    mem_free(x);
    mem_free(y);
    return same;
}

static bool grow(struct schema *s)
{
    size_t cap = s->cap_memo ? s->cap_memo * 2 : 64;
    struct memo *m = mem_resize(s->memo, cap, sizeof *m);
    uint32_t *slot = mem_new_array(uint32_t, cap * 2);
    if (m) s->memo = m;
    if (!m || !slot) {
        mem_free(slot);
        gram_nomem(&s->g);
        return false;
    }
    mem_free(s->slot);
    s->slot = slot;
    s->mask = (uint32_t)cap * 2 - 1;
    s->cap_memo = cap;
    for (size_t k = 0; k < s->n_memo; k++) {
        uint32_t i = (uint32_t)(key_of(&s->memo[k].c) >> 20) & s->mask;
        while (slot[i]) i = (i + 1) & s->mask;
        slot[i] = (uint32_t)k + 1;
    }
    return true;
}

const struct gnode *schema_ref(struct schema *s, struct conj *c)
{
    if (s->g.rc || c->never) return &gram_failure;
    if (!c->n) return schema_any(s);
    if (s->n_memo == s->cap_memo && !grow(s)) return &gram_failure;
    uint32_t i = (uint32_t)(key_of(c) >> 20) & s->mask;
    for (; s->slot[i]; i = (i + 1) & s->mask)
        if (same_conj(&s->memo[s->slot[i] - 1].c, c)) return gram_ref(&s->g, s->memo[s->slot[i] - 1].rule);
    uint32_t rule = schema_spend(s, 200, c->p[0].path) ? gram_rule(&s->g, c->p[0].path, 0) : GRAM_NONE;
    if (rule == GRAM_NONE) return &gram_failure;
    s->memo[s->n_memo] = (struct memo){ *c, rule };
    s->slot[i] = (uint32_t)++s->n_memo;
    return gram_ref(&s->g, rule);
}

/* ---- one conj ---- */

uint32_t conj_count(struct schema *s, const struct conj *c, const char *key, bool largest, uint32_t none)
{
    uint32_t v = none;
    bool any = false;
    for (size_t i = 0; i < c->n; i++) {
        const struct json *j = json_get(c->p[i].j, key);
        if (!j) continue;
        double d = json_num(j);
        if ((json_type(j) != JSON_INT && json_type(j) != JSON_REAL) || d < 0 ||
            (d < 1e15 && d != (double)(uint64_t)d)) {
            schema_refuse(s, ERR_FORMAT, schema_path(s, c->p[i].path, key), "must be a whole number, at least 0");
            return none;
        }
        uint32_t n = d < 4294967294.0 ? (uint32_t)d : GRAM_INF - 1;
        if (!any || (largest ? n > v : n < v)) v = n;
        any = true;
    }
    return v;
}

unsigned schema_types(struct schema *s, const struct json *j, const char *path)
{
    static const struct { const char *name; unsigned type; } row[] = {
        { "null", T_NULL }, { "boolean", T_BOOL }, { "integer", T_INT }, { "number", T_NUMBER }, { "string", T_STRING },
        { "array", T_ARRAY }, { "object", T_OBJECT }, { "any", T_ANY },
    };
    const struct json *t = json_get(j, "type");
    unsigned types = 0;
    if (!t) return T_ANY;
    size_t n = json_type(t) == JSON_ARRAY ? json_len(t) : 1;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_str(json_type(t) == JSON_ARRAY ? json_at(t, i) : t, NULL);
        unsigned found = 0;
        for (size_t k = 0; name && k < sizeof row / sizeof *row; k++)
            if (!strcmp(name, row[k].name)) found = row[k].type;
        if (!found) schema_refuse(s, ERR_FORMAT, schema_path(s, path, "type"), "there is no type %.60s", name ? name
            : "of this kind");
        types |= found;
    }
    return types;
}

unsigned conj_types(struct schema *s, const struct conj *c)
{
    unsigned types = T_ANY;
    for (size_t i = 0; i < c->n; i++) {
        types &= schema_types(s, c->p[i].j, c->p[i].path);
        const struct json *no = json_get(c->p[i].j, "not");
        if (no && json_type(no) == JSON_OBJECT && json_len(no) == 1 && json_get(no, "type"))
            types &= ~schema_types(s, no, c->p[i].path);
    }
    return types;
}

struct json *conj_values(struct schema *s, const struct conj *c)
{
    const struct json *list = NULL, *one = NULL;
    for (size_t i = 0; i < c->n && !list && !one; i++) {
        list = json_get(c->p[i].j, "enum");
        one = json_get(c->p[i].j, "const");
    }
    if (!list && !one) return NULL;
    struct json *out = json_new_array();
    size_t n = one ? 1 : json_len(list);
    bool ok = out;
    s->listed = one ? NULL : list;
    for (size_t k = 0; k < n && ok && !s->g.rc; k++) {
        const struct json *v = one ? one : json_at(list, k);
        bool good = true;
        for (size_t i = 0; i < c->n && good; i++) good = schema_valid(s, c->p[i].j, c->p[i].path, v);
        if (good) ok = json_push(out, json_share(v));
    }
    s->listed = NULL;
    if (!ok) gram_nomem(&s->g);
    return out;
}

static const struct gnode *values(struct schema *s, struct json *list)
{
    size_t n = json_len(list);
    const struct gnode **kid = gram_push(&s->g, n + 1, sizeof *kid), *x = &gram_failure;
    struct buf b = { 0 };
    for (size_t i = 0; kid && i < n; i++) {
        buf_clear(&b);
        json_write(json_at(list, i), false, &b);
        if (b.bad) gram_nomem(&s->g);
        kid[i] = b.bad ? &gram_failure : gram_bytes(&s->g, b.data, b.len);
    }
    if (kid) x = gram_alt(&s->g, kid, n);
    buf_release(&b);
    json_free(list);
    return x;
}

/* c with alternative i of place p's anyOf or oneOf instead of all of them. */
static struct conj chosen(struct schema *s, const struct conj *c, size_t p, const char *word, size_t i)
{
    struct conj out = { 0 };
    unsigned done = word[0] == 'a' ? ANY_OF_DONE : ONE_OF_DONE;
    char key[40];
    for (size_t k = 0; k < c->n; k++) {
        struct place x = c->p[k];
        if (k == p) x.done |= done;
        if (!says_nothing(x.j, x.done)) insert(s, &out, &x);
    }
    fmt_into(key, sizeof key, "%s/%zu", word, i);
    conj_add(s, &out, json_at(json_get(c->p[p].j, word), i), schema_path(s, c->p[p].path, key));
    return out;
}

/* Whether `name` is in every alternative and has one string there, another in each: the usual case, found quickly. */
static bool told_apart(struct schema *s, const struct conj *alt, size_t n, const char *name)
{
    const char **word = gram_push(&s->g, n, sizeof *word);
    for (size_t i = 0; word && i < n && !s->g.rc; i++) {
        struct conj v;
        if (!schema_required(&alt[i], name) || conj_types(s, &alt[i]) != T_OBJECT) return false;
        schema_member(s, &alt[i], name, &v);
        for (size_t k = 0; k < v.n && !word[i]; k++) {
            const struct json *list = json_get(v.p[k].j, "enum");
            word[i] = json_str(list && json_len(list) == 1 ? json_at(list, 0) : json_get(v.p[k].j, "const"), NULL);
        }
        for (size_t k = 0; word[i] && k < i; k++)
            if (!strcmp(word[i], word[k])) return false;
        if (!word[i]) return false;
    }
    return word != NULL;
}

static void check_apart(struct schema *s, const struct conj *c, size_t p)
{
    size_t n = json_len(json_get(c->p[p].j, "oneOf"));
    struct conj *alt = gram_push(&s->g, n + 1, sizeof *alt);
    for (size_t i = 0; alt && i < n && !s->g.rc; i++) alt[i] = chosen(s, c, p, "oneOf", i);
    for (size_t i = 0; alt && n > 8 && i < alt[0].n && !s->g.rc; i++) {
        const struct json *list = json_get(alt[0].p[i].j, "required");
        for (size_t k = 0; k < json_len(list) && k < 20; k++) {
            const char *name = json_str(json_at(list, k), NULL);
            if (name && told_apart(s, alt, n, name)) return;
        }
    }
    for (size_t i = 0; alt && i < n && !s->g.rc; i++)
        for (size_t k = 0; k < n && !s->g.rc; k++)
            if (i != k && schema_spend(s, 1, c->p[p].path) && !alt[i].never && !alt[k].never && !schema_apart(s, &alt[i],
                &alt[k]) &&
                !s->g.rc)
                schema_refuse(s, ERR_UNSUPPORTED, schema_path(s, c->p[p].path, "oneOf"),
                              "a value could be valid for both %zu and %zu; use anyOf, or a property that tells them apart",
                              i, k);
}

static const struct gnode *choice(struct schema *s, const struct conj *c, size_t p, const char *word)
{
    size_t n = json_len(json_get(c->p[p].j, word));
    const struct gnode **kid = gram_push(&s->g, n + 1, sizeof *kid);
    if (!kid) return &gram_failure;
    if (word[0] == 'o') check_apart(s, c, p);
    for (size_t i = 0; i < n && !s->g.rc; i++) {
        struct conj x = chosen(s, c, p, word, i);
        kid[i] = schema_ref(s, &x);
    }
    return s->g.rc ? &gram_failure : gram_alt(&s->g, kid, n);
}

static void check_not(struct schema *s, const struct conj *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct json *no = json_get(c->p[i].j, "not");
        bool type_only = json_type(no) == JSON_OBJECT && json_len(no) == 1 && json_get(no, "type");
        bool nothing = json_type(no) == JSON_BOOL && !json_bool(no);
        if (no && !type_only && !nothing)
            schema_refuse(s, ERR_UNSUPPORTED, schema_path(s, c->p[i].path, "not"), "can only exclude types while writing");
    }
}

static const struct gnode *body(struct schema *s, const struct conj *c)
{
    struct gram *g = &s->g;
    for (size_t i = 0; i < c->n; i++) {
        if (json_get(c->p[i].j, "oneOf") && !(c->p[i].done & ONE_OF_DONE)) return choice(s, c, i, "oneOf");
        if (json_get(c->p[i].j, "anyOf") && !(c->p[i].done & ANY_OF_DONE)) return choice(s, c, i, "anyOf");
    }
    struct json *list = conj_values(s, c);
    if (list) return values(s, list);
    check_not(s, c);
    unsigned types = conj_types(s, c);
    const struct gnode *kid[6] = { &gram_failure, &gram_failure, &gram_failure, &gram_failure, &gram_failure, &gram_failure };
    if (types & T_OBJECT) kid[0] = schema_object(s, c);
    if (types & T_ARRAY) kid[1] = schema_array(s, c);
    if (types & T_STRING) kid[2] = schema_string(s, c);
    if (types & T_NUMBER) kid[3] = schema_number(s, c, types);
    if (types & T_BOOL) kid[4] = GRAM_ALT(g, gram_text(g, "true"), gram_text(g, "false"));
    if (types & T_NULL) kid[5] = gram_text(g, "null");
    return gram_alt(g, kid, 6);
}

/* ---- the whole ---- */

int schema_begin(struct schema *s, const char *what, struct err *err)
{
    *s = (struct schema){ .any_value = GRAM_NONE, .any_object = GRAM_NONE };
    int rc = gram_init(&s->g, what, err);
    if (rc == 0) schema_basics(s);
    s->objects = json_new_object();
    if (rc == 0 && (!s->objects || !json_put(s->objects, "type", json_new_str("object", 6)))) rc = gram_nomem(&s->g);
    return rc;
}

void schema_end(struct schema *s)
{
    json_free(s->objects);
    mem_free(s->memo);
    mem_free(s->slot);
    gram_release(&s->g);
}

const struct gnode *schema_expr(struct schema *s, const struct json *root, const struct json *j, bool object)
{
    struct conj all = { 0 };
    s->root = root;
    conj_add(s, &all, j, "");
    if (object) conj_add(s, &all, s->objects, "");
    const struct gnode *x = schema_ref(s, &all);
    while (!s->g.rc && s->todo < s->n_memo) {
        struct memo m = s->memo[s->todo++];
        const struct gnode *b = body(s, &m.c);
        if (!s->g.rc) s->g.rule[m.rule].body = b;
    }
    return s->g.rc ? &gram_failure : x;
}

static int compile(struct grammar **out, struct json *root, struct err *err)
{
    struct schema s;
    int rc = schema_begin(&s, "schema", err);
    uint32_t first = rc == 0 ? gram_rule(&s.g, "root", 0) : GRAM_NONE;
    const struct gnode *x = schema_expr(&s, root, root, false);
    if (first != GRAM_NONE) s.g.rule[first].body = x;
    if (!s.g.rc) gram_compile(&s.g, first, out);
    if (*out) (*out)->max_depth = GRAM_JSON_DEPTH;
    rc = s.g.rc;
    schema_end(&s);
    return rc;
}

int grammar_from_schema(struct grammar **out, const char *schema, size_t n, struct err *err)
{
    struct json *root;
    *out = NULL;
    if (n > GRAMMAR_SOURCE) return err_set(err, ERR_LIMIT, "schema: %zu bytes, at most %d are allowed", n, GRAMMAR_SOURCE);
    int rc = json_parse(&root, schema, n, err);
    if (rc < 0) return err_prefix(err, rc, "schema: ");
    rc = compile(out, root, err);
    json_free(root);
    return rc;
}

int grammar_from_json(struct grammar **out, bool object_only, struct err *err)
{
    const char *schema = object_only ? "{\"type\":\"object\"}" : "true";
    return grammar_from_schema(out, schema, strlen(schema), err);
}
