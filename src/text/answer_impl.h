/* answer_impl.h - what the files of the answer's parser share. */
#ifndef HEARTH_TEXT_ANSWER_IMPL_H
#define HEARTH_TEXT_ANSWER_IMPL_H

#include <stdint.h>

#include "text/answer.h"

/* MORE: wants more bytes; DONE: ended with this byte; BEFORE: ended, this byte is not part of it; BAD: it is none. */
enum step { STEP_MORE, STEP_DONE, STEP_BEFORE, STEP_BAD };

/* ---- call_json.c ---- */

enum { JWALK_DEPTH = 64 };
/* Reads one JSON value byte by byte, strictly but for raw control characters in strings. */
struct jwalk {
    uint8_t state, count;
    uint8_t depth;
    char nest[JWALK_DEPTH];
    const char *word;                  /* the rest of true, false, null */
};
void jwalk_init(struct jwalk *w);
enum step jwalk_step(struct jwalk *w, char c);
bool jwalk_in_string(const struct jwalk *w);

/* {"name": ..., "arguments": ...} */
struct call_object {
    struct jwalk walk;
    uint8_t field;
    bool named, has_args, streaming;
    struct buf key, value, early;      /* the string at work; arguments that came before the name */
    struct buf id;
};

/* ---- call_run.c ---- */

struct call_run {
    const struct call_form *form;
    const char *at;                    /* in the pattern */
    bool in_param, between, tail;      /* tail: the call is complete, only closing marks may follow */
    bool open, list, any;              /* open: CALL was sent; list: inside [ ]; any: a parameter or call was there */
    bool text_value, first_nl, has_type;
    bool escaped;                      /* the next byte of a string follows a backslash */
    struct call_object object;
    struct jwalk args;
    struct buf word, held, raw, name, id, key;
    struct buf value;                  /* of a parameter, or a newline of it that may be the last */
    const char *back;                  /* behind a parameter: where to go on */
    char quote;
    unsigned depth;
};
void call_run_release(struct call_run *r);
/* Begins behind the opening mark, which is `text`. */
void call_run_begin(struct answer *a, struct call_run *r, const struct call_form *f, const char *text);
/* BAD and BEFORE: r->raw is text.  */
enum step call_run_step(struct answer *a, struct call_run *r, char c);
/* The end of the answer: BAD when the call is not complete. */
enum step call_run_finish(struct answer *a, struct call_run *r);
enum step call_object_step(struct answer *a, struct call_run *r, char c);
void call_object_begin(struct call_run *r);

/* The literal with which a pattern begins, without white space at its end. */
size_t pattern_mark(const char *pattern);

/* ---- call_text.c: whole calls in other notations ---- */

/* Sends the calls of "[f(a=1), g()]" or "f(a=1)\ng()"; false when it is no such text. */
bool calls_from_python(struct answer *a, const char *s, size_t n);
/* A value as Python prints it ({'a': True}), as JSON; false when it is none. */
bool json_from_python(const char *s, size_t n, struct buf *out);
/* {k:<|"|>v<|"|>,n:1} as JSON. */
bool json_from_gemma(const char *s, size_t n, struct buf *out);

/* ---- answer.c ---- */

bool answer_knows(const struct answer *a, const char *name, size_t n);        /* a tool of this name was offered */
/* The schema's type of a parameter ("string", ...), or NULL. */
const char *answer_param_type(const struct answer *a, const char *tool, const char *param);
void answer_send(struct answer *a, enum answer_kind kind, const char *text, size_t n);
void answer_send_call(struct answer *a, const char *name, size_t n, const char *id, size_t n_id);
void answer_end_call(struct answer *a);

#endif
