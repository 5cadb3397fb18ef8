/* schema.h - what the files of the JSON Schema compiler share; nobody else includes it.
 *
 *   schema.c         schemas that hold together -> rules; anyOf, oneOf, allOf, $ref
 *   schema_value.c   objects, arrays, what stands for any value
 *   schema_text.c    strings: how JSON spells them, patterns, formats
 *   schema_number.c  numbers within bounds
 *   schema_check.c   whether a value is valid; whether two schemas can never be true together
 *
 * A conj is a set of places in the schema that all must hold, closed under $ref and allOf.  Each has one rule,
     so recursion ends. */
#ifndef HEARTH_TEXT_SCHEMA_H
#define HEARTH_TEXT_SCHEMA_H

#include "base/json.h"
#include "text/gram.h"

enum { T_NULL = 1, T_BOOL = 2, T_INT = 4, T_FRACTION = 8, T_STRING = 16, T_ARRAY = 32, T_OBJECT = 64, T_ANY = 127,
       T_NUMBER = T_INT | T_FRACTION };
enum { ANY_OF_DONE = 1, ONE_OF_DONE = 2 };

struct place { const struct json *j; const char *path; unsigned done; };
struct conj { struct place *p; size_t n; bool never; };     /* never: one of them is false */

struct memo { struct conj c; uint32_t rule; };

struct schema {
    struct gram g;
    const struct json *root;
    struct memo *memo;          /* by number; those from `todo` on have no body yet */
    size_t n_memo, cap_memo, todo;
    uint32_t *slot, mask;       /* memo + 1 by hash */
    uint32_t any_value, any_object;
    const struct gnode *ws, *character, *string, *integer, *number;
    struct json *objects;       /* {"type": "object"} */
    const struct json *listed;  /* the enum whose values are being tried: they are in it */
    const struct json *checked[8];      /* schemas whose keywords were looked at last */
    unsigned next_checked, depth;
    uint64_t work;
};

/* Refuses: "schema: PATH: ...". */
int schema_refuse(struct schema *s, int code, const char *path, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
const char *schema_path(struct schema *s, const char *path, const char *key);
bool schema_spend(struct schema *s, uint64_t n, const char *path);

/* ---- schema.c ---- */

/* s.g may take other rules as well; schema_end also after failure. */
int  schema_begin(struct schema *s, const char *what, struct err *err);
void schema_end(struct schema *s);
/* What the values look like that j allows: root or a part of it, to which its references refer; object: only objects are
 * wanted.  Both live until schema_end. */
const struct gnode *schema_expr(struct schema *s, const struct json *root, const struct json *j, bool object);

/* Starts a conj with one place, or adds one (with all that it refers to). */
void conj_add(struct schema *s, struct conj *c, const struct json *j, const char *path);
/* Refuses keywords that cannot be honoured and those of the wrong type. */
void schema_check_keywords(struct schema *s, const struct json *j, const char *path);
void conj_add_place(struct schema *s, struct conj *c, const struct place *p);
/* The expression that calls the rule of c; any value for an empty one. */
const struct gnode *schema_ref(struct schema *s, struct conj *c);
const struct json *schema_target(struct schema *s, const struct json *ref, const char *path);
/* A whole number >= 0 from any of the places, the largest (or the least); `none` without. */
uint32_t conj_count(struct schema *s, const struct conj *c, const char *key, bool largest, uint32_t none);
unsigned conj_types(struct schema *s, const struct conj *c);
unsigned schema_types(struct schema *s, const struct json *j, const char *path);
/* Values by enum and const that all places allow: an array, or NULL without such; json_free. */
struct json *conj_values(struct schema *s, const struct conj *c);

/* ---- the types; G_FAIL where nothing is possible ---- */

const struct gnode *schema_object(struct schema *s, const struct conj *c);
const struct gnode *schema_array(struct schema *s, const struct conj *c);
const struct gnode *schema_any(struct schema *s);
const struct gnode *schema_any_object(struct schema *s);
void schema_basics(struct schema *s);
/* The characters between the quotes; with `plain`, those of the value itself. */
const struct gnode *schema_characters(struct schema *s, const struct conj *c, bool plain);
const struct gnode *schema_string(struct schema *s, const struct conj *c);
const struct gnode *schema_number(struct schema *s, const struct conj *c, unsigned types);
const struct gnode *schema_format(struct schema *s, const char *name, bool plain);      /* NULL: unknown */
bool schema_format_is_number(const char *name);
const struct gnode *schema_pattern(struct schema *s, const char *pattern, size_t n, const struct regex_use *use,
                                   const char *path);
const struct gnode *schema_spell(struct gram *g, struct cp_set *set);       /* as JSON spells one of these, in one way */
const struct gnode *schema_key(struct schema *s, const char *name);         /* "name": with what may follow */

/* What object members a name has: the schemas for it.  never: it may not be there. */
void schema_member(struct schema *s, const struct conj *c, const char *name, struct conj *out);
/* Whether other keys than those in `properties` are written. */
bool schema_is_open(const struct conj *c);
bool schema_required(const struct conj *c, const char *name);

struct bounds { bool has_lo, has_hi, lo_open, hi_open; double lo, hi; };
struct bounds schema_bounds(struct schema *s, const struct conj *c);

/* ---- schema_check.c ---- */

bool schema_valid(struct schema *s, const struct json *j, const char *path, const struct json *value);
bool json_same(const struct json *a, const struct json *b);
/* Whether nothing that is written for a is valid for b. */
bool schema_apart(struct schema *s, const struct conj *a, const struct conj *b);

#endif
