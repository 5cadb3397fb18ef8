/* modelfile.h - the text from which a model is made: a line of a word and its value for each thing.
 *
 *   FROM qwen3:4b                 a name, a GGUF file, a folder; needed
 *   PARAMETER temperature 0.7     a setting (params.h); `stop` may be repeated
 *   TEMPLATE """..."""            a chat template (Jinja or Go's language)
 *   SYSTEM You are brief.         ADAPTER ./lora.gguf         LICENSE """..."""
 *   MESSAGE user Hello            with what a chat begins; roles system, user, assistant
 *
 * Words in any case; lines that begin with # are remarks.  A value goes to the end of its line, without the white space around
 * it; one that begins with " or """ goes to the line that ends with the same, and is what lies between.  RENDERER, PARSER and
 * REQUIRES, which tell Ollama how its program works, are kept apart.
 * Threads: pure functions. */
#ifndef HEARTH_STORE_MODELFILE_H
#define HEARTH_STORE_MODELFILE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { MODELFILE_MAX = 16 << 20, MODELFILE_LINES = 4096 };

enum modelfile_word {
    WORD_FROM, WORD_PARAMETER, WORD_TEMPLATE, WORD_SYSTEM, WORD_ADAPTER, WORD_LICENSE, WORD_MESSAGE, WORD_DRAFT,
    WORD_RENDERER, WORD_PARSER, WORD_REQUIRES, N_WORDS
};
const char *modelfile_word(enum modelfile_word w);              /* "FROM" */

/* key: the setting's name, the message's role, or "". */
struct modelfile_line { enum modelfile_word word; const char *key, *value; unsigned line; };
struct modelfile { struct arena arena; struct modelfile_line *v; size_t n; };

/* ERR_FORMAT names the line and what was expected.  m is the caller's (modelfile_release), empty after a failure. */
int  modelfile_parse(struct modelfile *m, const char *text, size_t n, struct err *err);
void modelfile_release(struct modelfile *m);
/* The text from which `hearth create` would make this model again. */
struct parts;
int  modelfile_write(const char *model_path, const struct parts *p, struct buf *out, struct err *err);

#endif
