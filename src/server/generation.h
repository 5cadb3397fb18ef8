/* generation.h - inside the engine process: one generate job, from its prompt to the last event.  worker_generate.c sets it up,
 * worker_answer.c makes events of the tokens. */
#ifndef HEARTH_SERVER_GENERATION_H
#define HEARTH_SERVER_GENERATION_H

#include "base/buf.h"
#include "server/worker_impl.h"

enum { MAX_COMPLETIONS = 64, MAX_TOP = 64 };

/* What a generate job says. */
struct generate_fields {
    struct task_head head;
    const struct json *messages, *tools, *documents, *variables, *prompt, *infill, *tool_choice, *format, *options, *lora;
    bool continues, add_bos, parallel_calls, logprobs_after, no_cache, want_ids, progress, must_think, whole_prompt,
         completes;
    const char *think;
    uint32_t think_budget, n, slot, n_indent, line_ms;
    int32_t logprobs;                  /* < 0: none */
};

/* A token that no event has told of yet. */
struct untold { int32_t id; size_t at; };          /* at: where its log-probabilities begin in answer.logprobs */

/* What was said before the event of the token that made it certain: said[from..to) is an event but for its tokens and end. */
struct saying { size_t from, to; bool takes_tokens; };

struct answer {                        /* one completion */
    struct untold *untold;             /* [n_untold] */
    struct saying *saying;             /* [n_saying] */
    size_t n_untold, cap_untold, n_saying, cap_saying;
    struct buf logprobs;               /* JSON objects, each with a comma behind it */
    struct buf said;
    uint32_t n_tokens, n_reasoning, n_blanks;      /* n_blanks: that the line begins with, while at_start */
    struct hearth_guesses guesses;     /* when it is over */
    bool over, at_start, ends;         /* a line has just begun; its text ends here, because of its lines */
};

/* What a job wants of its answer beside the options. */
struct form { int kind; char *text; size_t n; };   /* HEARTH_GRAMMAR_*; text NULL: any answer */

struct generation {
    struct task *t;
    struct generate_fields f;
    struct answer_options o;
    int32_t *ids;                      /* the prompt, unless it is of a chat */
    size_t n_ids;
    struct hearth_chat *chat;
    struct hearth_grammar *grammar;    /* without a chat, or NULL */
    struct hearth_adapter_use *use;    /* [n_use] what "lora" says, or NULL */
    size_t n_use;
    struct form form;
    struct answer *answer;             /* [n] */
    int context;                       /* HEARTH_CONTEXT_* */
    uint32_t n, n_open;
    struct hearth_request *request;    /* guarded by the worker's lock for who does not write it */
    bool started, failed, read;
    struct err err;                    /* why it failed */
    struct buf line;                   /* an event being written */
    uint64_t submitted, slot, first_token;
    uint32_t n_kept;
    _Atomic uint32_t n_written;        /* tokens so far, of all completions: for who asks how far it is */
    _Atomic bool new_line;             /* there was one in what was said */
    _Atomic bool speculative;          /* tokens are guessed */
    _Atomic bool stop_thinking;
    _Atomic uint32_t parties;          /* who submits it, and its events: the last to leave has it cleared up */
};

/* Callbacks of the request; arg is the generation. */
hearth_event_fn answer_event;
hearth_said_fn answer_said;
hearth_read_fn answer_read;
/* Its events have ended, or its submitting. */
void generation_leave(struct generation *g);

#endif
