/* run.h - what `hearth run` holds: shared by the one-shot answer (cmd_run.c) and the chat (repl.c). */
#ifndef HEARTH_APP_RUN_H
#define HEARTH_APP_RUN_H

#include "app/adapters.h"
#include "app/args.h"
#include "app/generate.h"
#include "app/infill.h"
#include "app/run_model.h"
#include "hearth.h"

struct run_options {
    struct hearth_sampler_options sampler;
    int32_t max_tokens, min_tokens;
    uint32_t ctx, threads, batch;
    int32_t logprobs;                  /* < 0: none */
    int kv, kv_v;                      /* HEARTH_KV_... */
    const char *cpu, *system, *speculate, *draft, *preset;
    struct infill infill;
    struct opt_strs stop, ban, breakers, bias, file;
    bool no_template, logprobs_after, json, verbose, stats, offline, yes, again, forget;
    const char *schema, *grammar, *regex, *choice, *after;     /* at most one of the first four */
    const char *tools;                 /* the name of a file */
    const char *tool_choice;           /* NULL, auto, none, required or a name */
    int think;                         /* HEARTH_THINK_... */
    uint32_t think_budget;
    bool hide_thinking;
    int context;                       /* HEARTH_CONTEXT_... */
    uint32_t keep;
    const char *kv_files;
    struct adapter_options adapters;
    struct hearth_rope_options rope;
};

/* The rows that /set can change too: sampling and the length of the answer.  Their fields are in run_options. */
extern const struct opt_table run_settings;

struct runner {
    struct run_options o, given;       /* with what the model brings; as the command line says */
    struct run_model from;
    const char *called;                /* the model, as it was named: for going on another day */
    char *tools;                       /* the file's text, or NULL */
    struct hearth_chat *chat;          /* of the turn at work */
    bool raw;                          /* complete the text as it is: no chat template */
    int speculate, guess_by;           /* as generate.h has them */
    bool new_seed;                     /* nobody chose a seed: each answer gets another */
    struct hearth_model *model;
    struct hearth_session *session;
    struct hearth_model *draft_model;  /* a small one that guesses, or NULL */
    struct hearth_session *draft;
    struct hearth_model_info info;
    struct hearth_grammar *grammar;    /* what any text is held to, or NULL */
    char *form_text;                   /* the same of a chat, where it is a matter of the turn; or NULL */
    size_t n_form_text;
    int form;                          /* HEARTH_GRAMMAR_* */
    struct hearth_cut cut;             /* what the last prompt lost */
    struct buf kv_folder;              /* where past texts are found again; empty: nowhere */
    struct gen_progress progress;
    struct adapters adapters;
    uint64_t load_ns;
};

/* The prompt's ids (hearth_free): the conversation by the model's template, or in raw mode the last message's text. */
int run_prompt(struct runner *r, const struct hearth_chat_message *m, size_t n, int32_t **ids, size_t *n_ids,
               struct hearth_error *e);
/* Answers; the text goes to standard output while it comes unless json is set. */
int run_answer(struct runner *r, const int32_t *ids, size_t n, struct gen_result *out, struct hearth_error *e);
/* Says on standard error that the context was full, and prints the statistics when wanted. */
void run_remarks(const struct runner *r, const struct gen_result *g, bool stats);

/* The messages with which the conversation begins: those that the model brings, and the system message. */
int run_begin(struct runner *r, struct dialog *d, struct err *err);
/* Keeps the conversation as the last one, unless it is not to be kept. */
void run_keep(struct runner *r, const struct dialog *d);
/* The interactive chat; returns the exit code. */
int repl(struct runner *r);

#endif
