/* gotpl.h - what the files of the interpreter of Go's templates share: tokens, tree, the values of a rendering.
 *
 * Source text -> gotpl_lex (tokens) -> gotpl_parse (tree, in the template's arena) -> gotpl_data (variables in the form that
 * Ollama's templates know) -> gotpl_exec, gotpl_func (output).  Memory, budgets, strings, values and errors are those of
 * tpl.h.  Language: Go's package text/template; variables and functions: those of Ollama's templates. */
#ifndef HEARTH_TEXT_GOTPL_H
#define HEARTH_TEXT_GOTPL_H

#include "text/tpl.h"

/* ---- tokens ---- */

enum go_tok {
    GO_EOF, GO_TEXT, GO_OPEN, GO_CLOSE, GO_WORD, GO_FIELD, GO_VARIABLE, GO_DOT, GO_STRING, GO_INT, GO_FLOAT, GO_LPAREN,
    GO_RPAREN, GO_PIPE, GO_COMMA, GO_ASSIGN, GO_DECLARE
};

struct go_token {
    enum go_tok type;
    bool spaced;                /* white space stands before it */
    uint32_t line, col;
    struct str s;               /* text, word, name of a field or variable (without . and $), string */
    int64_t i;
    double f;
};

struct go_lexer {
    const char *at, *end, *line_start;
    uint32_t line;
    bool inside, trim;          /* within {{ }}; the text that follows loses its white space in front */
};

/* ---- tree ---- */

/* The kind of a struct node.  Body: list: statements.  Action, if, with, range: a: pipe, b: body, c: what else brings or NULL.
 * Template: text: name, a: pipe or NULL, b: the def's body (set at the end).  Pipe: list: commands, b: body of variables that it
 * sets or NULL (flag: they are there already).  Command: list: operands.  Field: a: of what.  Variable: val.i: its slot.
 * Function: val.i: its index.  The flag of a statement: it stands behind {{ .Response }}. */
enum go_kind {
    G_BODY, G_TEXT, G_ACTION, G_IF, G_WITH, G_RANGE, G_TEMPLATE, G_BREAK, G_CONTINUE, G_PIPE, G_COMMAND, G_DOT, G_NIL, G_CONST,
    G_FIELD, G_VARIABLE, G_FUNC
};

struct go_def { struct str name; struct node *body; uint32_t n_slot; struct go_def *next; };

struct go_tree {
    struct go_def main, *defs;
    bool says_messages, says_response, says_suffix;
};

enum { GO_MAX_SLOTS = 256 };

struct go_parser {
    struct parser base;         /* of which errors, nodes, nesting, loops are used */
    struct go_lexer lx;
    struct go_token cur;
    struct go_tree *tree;
    struct str var[GO_MAX_SLOTS];       /* the variables in sight, by slot */
    uint32_t n_var, n_slot;
    struct node *calls;         /* the template nodes, linked by d */
    bool in_define;
};

void go_next(struct go_parser *p);
const char *go_tok_name(enum go_tok type);
int  go_func_find(struct str name);                    /* its index, -1: none */

/* The tree lies in mem. */
int  gotpl_compile(struct go_tree **out, struct arena *mem, const char *source, size_t n, struct err *err);

/* ---- values ---- */

/* What Go knows of a value's type beyond enum vtype: the flag of V_DICT and V_LIST.  Structs are dictionaries under the names
 * that JSON has for their fields.  A list or dictionary that is nil has holder set. */
enum go_type {
    GT_ANY, GT_STR, GT_INT,
    GT_MAP, GT_ARGUMENTS, GT_PROPERTIES,                                            /* maps */
    GT_MESSAGE, GT_CALL, GT_CALLED, GT_TOOL, GT_FUNCTION, GT_PARAMETERS, GT_PROPERTY,      /* structs */
    GT_LIST, GT_MESSAGES, GT_CALLS, GT_TOOLS, GT_STRINGS, GT_TYPE, GT_ANYOF                /* slices */
};
enum { NIL_INTERFACE, NIL_INVALID };                   /* flag of V_NONE: Go lets a field of the second pass */

struct go_run {
    struct tpl *t;
    const struct go_tree *tree;
    struct value dot, *slot;    /* slot[0] is $ */
    bool open;                  /* stop behind {{ .Response }}: the model goes on from there */
};

/* gotpl_data.c.  Appends what the template makes of the variables (those of template_render). */
int  gotpl_render(struct tpl *t, const struct go_tree *tree, const struct json *vars);
int  go_field(struct go_run *g, const struct value *on, struct str name, struct value *out);
struct value go_zero(enum go_type type);
bool go_is_struct(const struct value *v);
/* The i-th field of a struct as Go prints it, also one that JSON leaves out; false at the end. */
bool go_field_at(const struct value *v, size_t i, struct value *out);
const char *go_type_name(const struct value *v);
int  go_typescript(struct go_run *g, const struct value *v, struct buf *out);

/* gotpl_exec.c */
int  go_exec(struct go_run *g, const struct node *s, int *flow);       /* flow: 0, G_BREAK or G_CONTINUE */
int  go_eval(struct go_run *g, const struct node *operand, struct value *out);
int  go_call_def(struct go_run *g, const struct node *body, uint32_t n_slot, const struct value *dot);

/* gotpl_func.c.  piped: the value of the command before, or NULL. */
int  go_call(struct go_run *g, const struct node *command, const struct value *piped, struct value *out);

/* gotpl_print.c */
int  go_print(struct go_run *g, const struct value *v, bool nested, struct buf *out);  /* as fmt.Print does */
int  go_json(struct go_run *g, const struct value *v, struct buf *out);                /* as encoding/json does */
int  go_printf(struct go_run *g, struct str fmt, const struct value *arg, size_t n, struct buf *out);

#endif
