/* schema_check.c - whether a value is valid, and whether schemas exclude each other. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/schema.h"

bool json_same(const struct json *a, const struct json *b)
{
    enum json_type t = json_type(a), u = json_type(b);
    bool number = t == JSON_INT || t == JSON_REAL;
    if (number) {
        if (t == JSON_INT && u == JSON_INT) return json_int(a) == json_int(b);
        return (u == JSON_INT || u == JSON_REAL) && json_num(a) == json_num(b);
    }
    if (t != u || json_len(a) != json_len(b)) return false;
    if (t == JSON_BOOL) return json_bool(a) == json_bool(b);
    if (t == JSON_STRING) {
        size_t n, m;
        const char *x = json_str(a, &n), *y = json_str(b, &m);
        return n == m && !memcmp(x, y, n);
    }
    const char *key;
    struct json *v;
    for (void *it = NULL; t == JSON_OBJECT && json_next(a, &it, &key, &v);)
        if (!json_get(b, key) || !json_same(v, json_get(b, key))) return false;
    for (size_t i = 0; t == JSON_ARRAY && i < json_len(a); i++)
        if (!json_same(json_at(a, i), json_at(b, i))) return false;
    return true;
}

static unsigned type_of(const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL: return T_NULL;
    case JSON_BOOL: return T_BOOL;
    case JSON_INT: return T_INT;
    case JSON_REAL: return json_num(v) == floor(json_num(v)) ? T_INT : T_FRACTION;
    case JSON_STRING: return T_STRING;
    case JSON_ARRAY: return T_ARRAY;
    case JSON_OBJECT: return T_OBJECT;
    }
    return T_NULL;
}

static size_t characters(const char *s, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += ((unsigned char)s[i] & 0xc0) != 0x80;
    return k;
}

static bool number_valid(struct schema *s, struct conj *one, const struct json *v)
{
    struct bounds b = schema_bounds(s, one);
    double d = json_num(v);
    const struct json *m = json_get(one->p[0].j, "multipleOf");
    if (b.has_lo && (b.lo_open ? d <= b.lo : d < b.lo)) return false;
    if (b.has_hi && (b.hi_open ? d >= b.hi : d > b.hi)) return false;
    return !m || json_num(m) <= 0 || fmod(d, json_num(m)) == 0;
}

static bool string_valid(struct schema *s, struct conj *one, const struct json *v)
{
    size_t n;
    const char *t = json_str(v, &n);
    size_t k = characters(t, n);
    if (k < conj_count(s, one, "minLength", true, 0) || k > conj_count(s, one, "maxLength", false, GRAM_INF)) return false;
    if (!json_get(one->p[0].j, "pattern") && !json_get(one->p[0].j, "format")) return true;
    struct conj c = *one;
    return gram_matches(&s->g, schema_characters(s, &c, true), t, n);
}

static bool members_valid(struct schema *s, struct conj *one, const struct json *v)
{
    const char *key;
    struct json *x;
    size_t n = json_len(v);
    if (n < conj_count(s, one, "minProperties", true, 0) || n > conj_count(s, one, "maxProperties", false,
        GRAM_INF)) return false;
    const struct json *list = json_get(one->p[0].j, "required");
    for (size_t i = 0; i < json_len(list); i++) {
        const char *r = json_str(json_at(list, i), NULL);
        if (r && !json_get(v, r)) return false;
    }
    for (void *it = NULL; json_next(v, &it, &key, &x) && !s->g.rc;) {
        struct conj m;
        schema_member(s, one, key, &m);
        if (m.never) return false;
        for (size_t i = 0; i < m.n; i++)
            if (!schema_valid(s, m.p[i].j, m.p[i].path, x)) return false;
    }
    return true;
}

static bool items_valid(struct schema *s, const struct json *j, const char *path, const struct json *v)
{
    const struct json *prefix = json_get(j, "prefixItems"), *items = json_get(j, "items"), *most = json_get(j, "maxItems");
    if (json_type(items) == JSON_ARRAY) {
        prefix = items;
        items = json_get(j, "additionalItems");
    }
    const double n = (double)json_len(v);
    if (n < json_num(json_get(j, "minItems")) || (most && n > json_num(most))) return false;
    for (size_t i = 0; i < json_len(v) && !s->g.rc; i++) {
        const struct json *x = i < json_len(prefix) ? json_at(prefix, i) : items;
        const bool more = items != json_get(j, "items");
        const char *word = i < json_len(prefix) ? "prefixItems" : more ? "additionalItems" : "items";
        if (x && !schema_valid(s, x, schema_path(s, path, word), json_at(v, i))) return false;
    }
    return true;
}

static bool combined(struct schema *s, const struct json *j, const char *path, const struct json *v)
{
    const struct json *all = json_get(j, "allOf"), *any = json_get(j, "anyOf"), *one = json_get(j, "oneOf"),
        *no = json_get(j, "not");
    size_t good = 0;
    for (size_t i = 0; i < json_len(all); i++)
        if (!schema_valid(s, json_at(all, i), schema_path(s, path, "allOf"), v)) return false;
    for (size_t i = 0; i < json_len(any) && !good; i++)
        good += schema_valid(s, json_at(any, i), schema_path(s, path, "anyOf"), v);
    if (any && !good) return false;
    good = 0;
    for (size_t i = 0; i < json_len(one); i++) good += schema_valid(s, json_at(one, i), schema_path(s, path, "oneOf"), v);
    return (!one || good == 1) && !(no && schema_valid(s, no, schema_path(s, path, "not"), v));
}

static bool holds(struct schema *s, const struct json *j, const char *path, const struct json *v)
{
    const struct json *list = json_get(j, "enum"), *one = json_get(j, "const"), *ref = json_get(j, "$ref");
    unsigned t = type_of(v);
    schema_check_keywords(s, j, path);
    if (!(schema_types(s, j, path) & t)) return false;
    if (one && !json_same(one, v)) return false;
    bool listed = !list || list == s->listed;
    for (size_t i = 0; i < json_len(list) && !listed; i++) listed = json_same(json_at(list, i), v);
    if (!listed) return false;
    const struct json *to = ref ? schema_target(s, ref, path) : NULL;
    if (to && !schema_valid(s, to, json_str(ref, NULL), v)) return false;
    struct place p = { j, path, 0 };
    struct conj c = { &p, 1, false };
    if (t & T_NUMBER && !number_valid(s, &c, v)) return false;
    if (t == T_STRING && !string_valid(s, &c, v)) return false;
    if (t == T_OBJECT && !members_valid(s, &c, v)) return false;
    if (t == T_ARRAY && !items_valid(s, j, path, v)) return false;
    return combined(s, j, path, v);
}

bool schema_valid(struct schema *s, const struct json *j, const char *path, const struct json *value)
{
    if (s->g.rc || !schema_spend(s, 20, path)) return false;
    if (json_type(j) != JSON_OBJECT) return json_type(j) == JSON_BOOL && json_bool(j);
    if (s->depth > 200) {
        schema_refuse(s, ERR_LIMIT, path, "refers to itself too often");
        return false;
    }
    s->depth++;
    bool yes = holds(s, j, path, value);
    s->depth--;
    return yes;
}

/* ---- apart ---- */

static bool all_valid(struct schema *s, const struct conj *c, const struct json *v)
{
    for (size_t i = 0; i < c->n; i++)
        if (!schema_valid(s, c->p[i].j, c->p[i].path, v)) return false;
    return !c->never;
}

/* Whether none of these values is valid for c. */
static bool none_valid(struct schema *s, struct json *list, const struct conj *c)
{
    bool none = true;
    for (size_t i = 0; i < json_len(list) && none; i++) none = !all_valid(s, c, json_at(list, i));
    json_free(list);
    return none;
}

static bool has_word(const struct conj *c, const char *word)
{
    for (size_t i = 0; i < c->n; i++)
        if (json_get(c->p[i].j, word)) return true;
    return false;
}

/* Objects: a name that one must have and the other never has, or whose values exclude each other. */
static bool objects_apart(struct schema *s, const struct conj *a, const struct conj *b)
{
    bool combos = has_word(a, "anyOf") || has_word(a, "oneOf");
    for (int side = 0; side < 2; side++) {
        const struct conj *x = side ? b : a, *y = side ? a : b;
        for (size_t i = 0; i < x->n; i++) {
            const struct json *list = json_get(x->p[i].j, "required");
            for (size_t k = 0; k < json_len(list) && !s->g.rc; k++) {
                const char *name = json_str(json_at(list, k), NULL);
                struct conj mine, other;
                if (!name || !schema_spend(s, 10, "")) continue;
                schema_member(s, x, name, &mine);
                schema_member(s, y, name, &other);
                if (other.never) return true;
                bool written = other.n || schema_required(y, name);
                for (size_t q = 0; q < y->n; q++) written |= json_get(json_get(y->p[q].j, "properties"), name) != NULL;
                if (side && !combos && !schema_is_open(y) && !written) return true;      /* b wants what a never writes */
                if (schema_required(y, name) && s->depth < 6) {
                    s->depth++;
                    bool apart = side ? schema_apart(s, &other, &mine) : schema_apart(s, &mine, &other);
                    s->depth--;
                    if (apart) return true;
                }
            }
        }
    }
    return false;
}

static bool numbers_apart(struct schema *s, const struct conj *a, const struct conj *b)
{
    struct bounds x = schema_bounds(s, a), y = schema_bounds(s, b);
    if (x.has_hi && y.has_lo && (x.hi < y.lo || (x.hi == y.lo && (x.hi_open || y.lo_open)))) return true;
    return y.has_hi && x.has_lo && (y.hi < x.lo || (y.hi == x.lo && (y.hi_open || x.lo_open)));
}

static bool strings_apart(struct schema *s, const struct conj *a, const struct conj *b)
{
    static const char *const word[] = { "pattern", "format", "minLength", "maxLength" };
    bool constrained = false;
    for (size_t i = 0; i < 4; i++) constrained |= has_word(a, word[i]) && (has_word(b, "pattern") || has_word(b,
        "format") || i > 1);
    for (size_t i = 0; i < 2; i++) constrained |= has_word(a, word[i]) || has_word(b, word[i]);
    if (!constrained || !schema_spend(s, 3000, "")) return false;
    return gram_both(&s->g, schema_characters(s, a, true), schema_characters(s, b, true), false)->op == G_FAIL;
}

bool schema_apart(struct schema *s, const struct conj *a, const struct conj *b)
{
    if (a->never || b->never) return true;
    struct json *list = conj_values(s, a);
    if (list) return none_valid(s, list, b);
    list = conj_values(s, b);
    if (list) return none_valid(s, list, a);
    unsigned common = conj_types(s, a) & conj_types(s, b);
    if (common & (T_NULL | T_BOOL)) return false;
    if (common & T_OBJECT && !objects_apart(s, a, b)) return false;
    if (common & T_NUMBER && !numbers_apart(s, a, b)) return false;
    if (common & T_STRING && !strings_apart(s, a, b)) return false;
    if (common & T_ARRAY) {
        uint32_t most = conj_count(s, a, "maxItems", false, GRAM_INF), least = conj_count(s, b, "minItems", true, 0);
        uint32_t most2 = conj_count(s, b, "maxItems", false, GRAM_INF), least2 = conj_count(s, a, "minItems", true, 0);
        if (most >= least && most2 >= least2) return false;
    }
    return true;
}
