/* fim.h - prompts for filling in the middle of a text, in the way of the model's family.
 *
 * Which tokens a model has for it comes from the keys of its file (tokenizer.ggml.fim_*_token_id, and the older
 * prefix/suffix/middle_token_id), else from the texts by which the families call them:
 *   CodeLlama <PRE> <SUF> <MID> · StarCoder, Granite, Qwen, CodeGemma fim_prefix ... in several spellings · DeepSeek
 *   fim-begin, hole, end · Codestral [PREFIX] [SUFFIX], the suffix first · GLM <|code_prefix|> ...
 * Threads: pure functions. */
#ifndef HEARTH_TEXT_FIM_H
#define HEARTH_TEXT_FIM_H

#include "text/tokenizer.h"

enum fim_form { FIM_NONE, FIM_PSM, FIM_SPM };       /* prefix suffix middle; suffix prefix */

struct fim {
    enum fim_form form;
    int32_t pre, suf, mid, rep, sep;                /* -1: none */
};
struct fim fim_find(const struct tokenizer *t, const struct gguf *g);

struct fim_text { const char *s; size_t n; };
struct fim_file { struct fim_text name, text; };
struct fim_request {
    struct fim_text prefix, suffix;                 /* no text becomes a control token */
    const struct fim_file *file;                    /* [n_file] other files that may help */
    size_t n_file;
    struct fim_text name, repo;                     /* of the file to fill in, and what it belongs to; used with files */
};
/* Appends the prompt's ids.  ERR_UNSUPPORTED when the form is FIM_NONE. */
int fim_prompt(const struct tokenizer *t, const struct fim *f, const struct fim_request *r, struct ids *out, struct err *err);

#endif
