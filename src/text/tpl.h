/* tpl.h - what the files of the template interpreter share: syntax tree, values, the state of one rendering.
 *
 * Source text -> tpl_lex (tokens) -> tpl_parse, tpl_expr (tree, in the template's arena) -> tpl_eval (output).
 * Values live in the arena of the rendering and are never changed after birth, except namespaces, cyclers,
 * joiners, loops and generators.  A function that can fail returns 0 or a negative ERR_ code. */
#ifndef HEARTH_TEXT_TPL_H
#define HEARTH_TEXT_TPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "text/template.h"

/* UTF-8, not NUL-terminated; may contain TOKENIZER_BARRIER bytes. */
struct str { const char *p; size_t n; };
#define STR(literal) ((struct str){ literal, sizeof(literal) - 1 })
#define STR_ARG(s) (int)((s).n < 60 ? (s).n : 60), (s).p      /* for "%.*s" in messages */

/* ---- values ---- */

enum vtype {
    V_UNDEF, V_NONE, V_BOOL, V_INT, V_FLOAT, V_STR, V_LIST, V_TUPLE, V_DICT, V_NAMESPACE, V_GEN,
    V_FUNC, V_MACRO, V_BOUND, V_LOOP, V_CYCLER, V_JOINER
};

enum { UNDEF_PLAIN, UNDEF_MEMBER, UNDEF_UNSAFE, UNDEF_MESSAGE };   /* flag of V_UNDEF: what `s` is */
enum { STR_PLAIN, STR_MARKUP };                                   /* flag of V_STR: escaped already? */

struct value {
    uint8_t type, flag;
    uint8_t holder;            /* of V_UNDEF: the type that lacks the member */
    union {
        bool b;
        int64_t i;
        double f;
        struct str s;          /* V_STR, V_UNDEF */
        struct list *list;     /* V_LIST, V_TUPLE */
        struct dict *dict;     /* V_DICT, V_NAMESPACE */
        struct gen *gen;
        const struct global *func;
        struct macro *macro;
        struct bound *bound;
        struct loop *loop;
        struct cycler *cycler;
        struct joiner *joiner;
    };
};

/* Ranges and views of dictionaries are lists that print otherwise and take part in fewer operations. */
enum { VIEW_NONE, VIEW_RANGE, VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS };
struct list { struct value *at; size_t n, cap; uint8_t view; int64_t range[3]; /* first, end, step */ };
struct pair { struct value key, val; };
struct dict { struct pair *at; size_t n, cap; };
struct gen { struct list *from; size_t pos; const char *what; };   /* an iterator: gives each item once */
struct cycler { struct list *items; size_t pos; };
struct joiner { struct str sep; bool used; };
struct bound { struct value self; const struct method *method; };
struct macro { const struct node *def; struct scope *scope; };
struct loop {
    const struct node *def;
    struct scope *scope;               /* of the for statement */
    struct list *items;
    size_t next;                       /* of items: the first not yet looked at */
    size_t index0, depth0;
    int64_t length;                    /* -1: not counted yet */
    bool has_after, has_changed, filtered;   /* filtered: items are known to pass the condition */
    struct value before, current, after, changed;
};

/* ---- syntax tree ---- */

enum node_kind {
    E_CONST, E_NAME, E_LIST, E_TUPLE, E_DICT, E_ATTR, E_ITEM, E_SLICE, E_CALL, E_FILTER, E_TEST, E_NEG, E_POS, E_NOT,
    E_CHAIN, E_AND, E_OR, E_COMPARE, E_COND, E_NAMED, E_STAR, E_STARSTAR, E_PARAM,
    S_TEXT, S_PRINT, S_BODY, S_IF, S_FOR, S_SET, S_SET_BLOCK, S_MACRO, S_CALL, S_FILTER, S_WITH, S_SCOPE, S_BREAK,
    S_CONTINUE
};

/* What the children mean is said where tpl_parse.c and tpl_expr.c make the node. */
struct node {
    uint8_t kind;
    bool flag;
    uint32_t line, col;
    uint32_t n;
    struct node **list;
    uint8_t *ops;              /* operators between the elements of list */
    struct node *a, *b, *c, *d;
    struct str text;
    struct value val;
};

/* ---- lexer ---- */

enum tok {
    T_EOF, T_DATA, T_VAR_BEGIN, T_VAR_END, T_BLOCK_BEGIN, T_BLOCK_END, T_NAME, T_STRING, T_INT, T_FLOAT,
    T_ADD, T_SUB, T_MUL, T_DIV, T_FLOORDIV, T_MOD, T_POW, T_TILDE, T_LPAREN, T_RPAREN, T_LBRACKET, T_RBRACKET,
    T_LBRACE, T_RBRACE, T_EQ, T_NE, T_GT, T_GE, T_LT, T_LE, T_ASSIGN, T_DOT, T_COLON, T_PIPE, T_COMMA, T_SEMICOLON,
    T_IN, T_NOT_IN             /* never lexed: operators of E_COMPARE */
};

struct token {
    enum tok type;
    uint32_t line, col;
    struct str s;              /* text of T_DATA, T_NAME, T_STRING */
    int64_t i;
    double f;
};

struct lexer {
    const char *start, *at, *end;
    const char *line_start;
    uint32_t line;
    bool inside;               /* a tag, up to `close` */
    enum tok close;
    bool line_starting;        /* the last tag ended with a newline */
    char nest[101];            /* the open brackets */
    unsigned depth;
    enum tok pending;          /* begin token after a piece of data */
    uint32_t pending_line, pending_col;
    struct arena *mem;
    struct err *err;
    int rc;                    /* sticky */
};

int  lex_init(struct lexer *lx, struct arena *mem, const char *source, size_t n, struct err *err);
void lex_next(struct lexer *lx, struct token *t);          /* T_EOF at the end and after an error (rc) */
const char *lex_name(enum tok type);

/* ---- parser ---- */

enum { TPL_MAX_NESTING = 100 };

struct parser {
    struct lexer lx;
    struct token cur, peek;
    struct arena *mem;
    struct err *err;
    int rc;                    /* sticky; once set, every function returns at once */
    unsigned depth, loops;
    unsigned uses;             /* USES_ bits of the macro at work */
};
enum { USES_CALLER = 1, USES_VARARGS = 2, USES_KWARGS = 4 };   /* names that a macro's body reads */

/* The parsing functions return NULL after an error. */
struct node *parse_template(struct parser *p);
struct node *parse_expr(struct parser *p, bool with_cond);
struct node *parse_tuple(struct parser *p, bool with_cond, const char *stop, bool parenthesised);
struct node *parse_target(struct parser *p);               /* name, name.attr or a tuple of these */
struct node *parse_filters(struct parser *p, struct node *on, bool inline_start);
struct node *parser_node(struct parser *p, enum node_kind kind, const struct token *at);
bool parser_append(struct parser *p, struct node *to, struct node *child, uint8_t op);
void parser_next(struct parser *p);
bool parser_is(const struct parser *p, const char *name);   /* the current token is this name */
bool parser_skip(struct parser *p, enum tok type);
bool parser_skip_name(struct parser *p, const char *name);
bool parser_expect(struct parser *p, enum tok type);
void *parser_fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool parser_enter(struct parser *p);                        /* one level deeper; false past the limit */

/* ---- rendering ---- */

struct var { struct str name; struct value v; struct var *next; };
struct scope { struct scope *parent; struct var *vars; bool kept; };

struct tpl {
    struct arena mem;
    struct buf *out;
    size_t out_start;
    struct template_limits lim;
    uint64_t steps;            /* left */
    uint64_t look_at;          /* steps left when the clock is looked at next */
    uint64_t start_ns;         /* processor time when the rendering began */
    unsigned depth, calls;
    const struct node *at;     /* for the position in messages */
    struct value block;        /* the text of the filter or set block at work */
    struct scope *scope;
    struct scope *free_scopes;
    struct var *free_vars;
    char *tail;                /* end of the newest string, where it may grow in place */
    size_t tail_room;
    struct err *err;
};

/* Arguments of a call; a[] is filled from pos and kw by tpl_bind. */
struct kwarg { struct str name; struct value v; };
enum { TPL_MAX_PARAMS = 6 };
struct call {
    struct value *pos;
    size_t n;
    struct kwarg *kw;
    size_t n_kw;
    const struct value *a[TPL_MAX_PARAMS];    /* NULL: not given */
};

typedef int tpl_fn(struct tpl *t, const struct value *self, const struct call *c, struct value *out);
/* params: names separated by spaces, the optional ones after '|'; "*" accepts anything and leaves a[] empty. */
struct filter { const char *name, *params; tpl_fn *fn; };
struct method { const char *name, *params; tpl_fn *fn; };
struct global { const char *name, *params; tpl_fn *fn; };

int  tpl_fail(struct tpl *t, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* What was written is too much of something ("text"), or there was no memory for it. */
int  tpl_fail_written(struct tpl *t, const struct buf *out, const char *what);
int  tpl_nomem(struct tpl *t);
int  tpl_spend(struct tpl *t, size_t work);               /* takes steps: 1 + work / 64 */
int  tpl_enter(struct tpl *t);                            /* one level of recursion; pair with t->depth-- */
int  tpl_bind(struct tpl *t, const char *name, const char *params, struct call *c);
void *tpl_new(struct tpl *t, size_t n, size_t size);       /* from the arena; reports ERR_LIMIT and returns NULL */

/* tpl_eval.c, tpl_stmt.c */
int  tpl_eval(struct tpl *t, const struct node *e, struct value *out);
int  tpl_exec(struct tpl *t, const struct node *s, int *flow);        /* flow: 0, S_BREAK or S_CONTINUE */
int  tpl_args(struct tpl *t, const struct node *e, struct call *c);   /* evaluates the list of a call node */
int  tpl_call(struct tpl *t, const struct value *f, struct call *c, struct value *out);
int  tpl_call_macro(struct tpl *t, const struct macro *m, const struct call *c, struct value *out);
int  tpl_loop_again(struct tpl *t, const struct loop *l, const struct value *items, struct value *out);
int  tpl_loop_attr(struct tpl *t, struct loop *l, struct str name, struct value *out);   /* 1: no such member */
int  tpl_loop_next(struct tpl *t, struct loop *l, struct value *out, bool *got);
int  tpl_set(struct tpl *t, struct scope *in, struct str name, const struct value *v);
int  tpl_new_macro(struct tpl *t, const struct node *def, struct value *out);
bool tpl_find(const struct tpl *t, struct str name, struct value *out);
struct scope *tpl_push_scope(struct tpl *t, struct scope *parent);    /* NULL: reported */
void tpl_pop_scope(struct tpl *t, struct scope *s);
int  tpl_filter(struct tpl *t, struct str name, const struct value *on, struct call *c, struct value *out);
bool tpl_has_filter(struct str name);
int  tpl_test(struct tpl *t, struct str name, const struct value *on, struct call *c, bool *out);
const struct global *tpl_global(struct str name);
const struct method *tpl_method(enum vtype type, struct str name);
bool tpl_mutates(enum vtype type, struct str name);       /* a method that the sandbox refuses */

/* tpl_op.c */
int  tpl_binary(struct tpl *t, enum tok op, const struct value *a, const struct value *b, struct value *out);
int  tpl_compare(struct tpl *t, enum tok op, const struct value *a, const struct value *b, bool *out);
int  tpl_equal(struct tpl *t, const struct value *a, const struct value *b, bool *out);
int  tpl_less(struct tpl *t, enum tok op, const struct value *a, const struct value *b, bool *out);
int  tpl_contains(struct tpl *t, const struct value *in, const struct value *what, bool *out);
int  tpl_attr(struct tpl *t, const struct value *v, struct str name, struct value *out);
int  tpl_item(struct tpl *t, const struct value *v, const struct value *key, struct value *out);
int  tpl_slice(struct tpl *t, const struct value *v, const struct value part[3], struct value *out);

/* tpl_value.c */
struct value v_none(void);
struct value v_bool(bool b);
struct value v_int(int64_t i);
struct value v_float(double f);
struct value v_str(struct str s);
struct value v_undef(struct str name);
bool v_true(const struct value *v);
bool v_number(const struct value *v);                     /* bool, int or float */
double v_double(const struct value *v);
const char *v_type_name(const struct value *v);           /* as Python calls it */
int  v_undefined_error(struct tpl *t, const struct value *v);
int  v_list(struct tpl *t, enum vtype type, size_t cap, struct value *out);
bool v_plain_list(const struct value *v);                 /* a list or tuple that is no view */
int  v_append(struct tpl *t, struct list *l, const struct value *v);
int  v_pair(struct tpl *t, const struct value *a, const struct value *b, struct value *out);    /* a tuple */
int  v_dict(struct tpl *t, enum vtype type, struct value *out);
int  v_dict_put(struct tpl *t, struct dict *d, const struct value *key, const struct value *v);
int  v_hashable(struct tpl *t, const struct value *key);  /* an error for lists and dictionaries */
struct value *v_dict_get(struct tpl *t, const struct dict *d, const struct value *key, int *rc);
struct value *v_dict_find(const struct dict *d, struct str key);
int  v_items(struct tpl *t, const struct value *v, struct list **out);     /* what iterating gives; borrowed or new */
int  v_gen(struct tpl *t, struct list *from, const char *what, struct value *out);
int  v_from_json(struct tpl *t, const struct json *j, const struct template_guard *g, struct value *out);
int  v_int_arg(struct tpl *t, const struct value *v, int64_t missing, int64_t *out);   /* NULL and none: missing */
int  v_str_arg(struct tpl *t, const struct value *v, struct str *out);                 /* an error unless a string */

/* tpl_print.c: values as text */
int  v_text(struct tpl *t, const struct value *v, struct str *out);        /* str(): the string itself, or new */
int  v_print(struct tpl *t, const struct value *v, struct buf *out);       /* appends str() */
int  v_repr(struct tpl *t, const struct value *v, struct buf *out);
int  v_json(struct tpl *t, const struct value *self, const struct call *c, struct value *out);   /* the tojson filter */
void print_float(double v, struct buf *out);
bool parse_float(struct str s, double *out);
bool parse_int(struct str s, int base, int64_t *out);

/* tpl_str.c: strings that may contain barriers */
struct str str_of(const char *s);
bool   str_same(struct str a, const char *b);             /* exact */
size_t str_step(struct str s, size_t at);                 /* bytes of the character at `at`, barriers after it included */
uint32_t str_char(struct str s, size_t at);               /* its code point */
size_t str_length(struct str s);                          /* in characters */
size_t str_offset(struct str s, size_t chars);            /* byte offset of a character, at most n */
size_t str_match(struct str s, size_t at, struct str what);   /* bytes of `what` at `at`, barriers passed over; SIZE_MAX: no */
/* Offset of the first match at or after `at` (the last one before the end), or SIZE_MAX; spends steps. */
size_t str_find(struct tpl *t, struct str s, size_t at, struct str what, size_t *len);
size_t str_rfind(struct tpl *t, struct str s, struct str what, size_t *len);
int    str_cmp(struct str a, struct str b);
bool   str_eq(struct str a, struct str b);
bool   str_empty(struct str s);
struct str str_trim(struct str s, const struct str *chars, int sides);     /* 1 left, 2 right, 3 both; NULL: white space */
int    str_trimmed(struct tpl *t, size_t gone, size_t n_chars);           /* pays for what str_trim took away */
bool   char_is_space(uint32_t c);
uint32_t char_lower(uint32_t c);
uint32_t char_upper(uint32_t c);
unsigned char_class(uint32_t c);                          /* UNI_L*, UNI_N*; others only beyond ASCII */
void   put_char(struct buf *b, uint32_t c);
void   put_upper(struct buf *b, uint32_t c, bool title);
int    str_new(struct tpl *t, const char *p, size_t n, struct value *out);
int    str_concat(struct tpl *t, struct str a, struct str b, struct value *out);
int    str_take(struct tpl *t, struct buf *b, struct value *out);          /* copies to the arena, releases b */
int    str_case(struct tpl *t, struct str s, char how, struct value *out);     /* how: l, u, c(apitalize), s(wap), t(itle) */
int    str_replace(struct tpl *t, struct str s, struct str from, struct str to, int64_t count, struct value *out);
int    str_lines(struct tpl *t, struct str s, bool keep, struct value *out);   /* a list */
int    str_pad(struct tpl *t, struct str s, int64_t width, struct str fill, char how, struct value *out);   /* how: < > ^ c */
struct buf str_buf(const struct tpl *t);                                   /* an empty buffer with the limit */
int    str_percent(struct tpl *t, struct str fmt, const struct value *args, struct value *out);
int    str_format(struct tpl *t, struct str fmt, const struct call *c, struct value *out);

#endif
