/* hearth_serve.h - the part of hearth.h for those who serve many: engines, requests, several models within a budget.  Include
 * hearth.h, which includes it; what is said there of errors, determinism and threads holds here. */
#ifndef HEARTH_SERVE_H
#define HEARTH_SERVE_H

#include "hearth.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- texts that do not fit ---- */

/* What is done when a text does not fit into its context.  Nothing is left out unless it was asked for, and what is, is told. */
enum { HEARTH_CONTEXT_STOP = 0,    /* a prompt that does not fit is an error; an answer ends when the context is full */
       HEARTH_CONTEXT_DROP = 1,    /* the oldest turns of a conversation go; system messages and the last turn stay */
       HEARTH_CONTEXT_MIDDLE = 2,  /* tokens in the middle of the prompt go */
       HEARTH_CONTEXT_SHIFT = 3 }; /* as MIDDLE, and an answer that fills the context goes on: the older half of the text goes,
                                      and the rest is evaluated again, as if it were a new prompt.  What an answer is held to
                                      is kept in mind.  One whose half may still be taken back (ban) ends */
/* n tokens from `from` on were left out; n_messages of a conversation, the first of them being number first_message. */
struct hearth_cut { size_t from, n, first_message, n_messages; };
/* How many of n_ctx tokens a prompt that does not fit may have, for an answer of max_tokens (0: any number): all but
 * max_tokens, at most half of them, or a quarter. */
HEARTH_API uint32_t hearth_context_room(uint32_t n_ctx, uint32_t max_tokens);
/* What of a prompt of n tokens goes, so that `room` are left: behind the first n_keep (0: half of the room); out->n may become
 * 0.  HEARTH_ELIMIT with both numbers for STOP, and for DROP, of which only hearth_chat_open knows how. */
HEARTH_API int hearth_context_fit(int policy, size_t n, size_t room, size_t n_keep, struct hearth_cut *out,
                                  struct hearth_error *e);
/* What goes of a full context of n >= 2 tokens: half of those behind the first n_keep (at least 1). */
HEARTH_API void hearth_context_shift(size_t n, size_t n_keep, struct hearth_cut *out);
/* Takes the cut out of ids[0..n); returns how many are left. */
HEARTH_API size_t hearth_context_cut(int32_t *ids, size_t n, const struct hearth_cut *cut);
/* What was left out of a chat's prompt. */
HEARTH_API void hearth_chat_cut(const struct hearth_chat *c, struct hearth_cut *out);

/* ---- serving many ---- */

/* An engine answers requests for one model: a thread of its own puts the tokens of all that run into common steps.  Each gets the
 * bits that it would get alone.  A step that writes tokens takes only so much of a new prompt along as the budget allows.
 * Waiting requests are taken by priority, then from the users who have the least running, then in their order. */
struct hearth_engine;
struct hearth_request;

struct hearth_engine_options {     /* zero-initialise; an encoder's engine looks at max_queued and budget_ms only */
    uint32_t n_ctx;                /* most tokens of a request, answer included; 0: the model's own, at most 4096 */
    uint32_t max_running;          /* answers that are written at once; 0: 16; at most 256 */
    uint32_t max_queued;           /* requests that wait; more are refused (HEARTH_ELIMIT); 0: 512 */
    uint32_t budget_ms;            /* how much longer a step may take for the sake of new prompts; 0: 100 */
    int kv_type, kv_type_v;        /* HEARTH_KV_* */
    int speculate;                 /* guesses of the next tokens, which change nothing but the time: 0: as many as pay, which is
                                      measured all the time; n: always so many; or HEARTH_SPECULATE_OFF */
    int guess_by;                  /* HEARTH_GUESS_* together: who may guess; 0: all */
    struct hearth_model *draft;    /* a small model with the same tokens that guesses where the text itself gives no guess and one
                                      answer is written; outlives the engine.  NULL: none */
    bool draft_if_fits;            /* one with other tokens is left out; else it is an error */
    /* A folder for past texts, as of hearth_cache_save; NULL: none.  Texts of at least 256 tokens are written there when nobody
     * has gone on from them for 5 seconds, and when the engine is closed; prompts of that length which the cache does not know
     * are looked for there before they get a slot.  Salts keep users apart, no_cache keeps a text out. */
    const char *kv_files;
    uint64_t kv_files_limit;       /* bytes of all files; those that were used longest ago go; 0: 8 GiB */
};
#define HEARTH_SPECULATE_OFF (-1)
/* m must outlive the engine, and may be used otherwise meanwhile. */
HEARTH_API int hearth_engine_open(struct hearth_engine **out, struct hearth_model *m, const struct hearth_engine_options *o,
                                  struct hearth_error *e);
/* Cancels what is left, and waits until its last callback has returned.  NULL is fine.  Requests stay to be closed. */
HEARTH_API void hearth_engine_close(struct hearth_engine *g);

enum { HEARTH_FINISH_NONE = 0,
       HEARTH_FINISH_END = 1,      /* the model ended its answer; the event's id is the end's, or -1: its form allows no more */
       HEARTH_FINISH_LENGTH = 2,   /* max_tokens */
       HEARTH_FINISH_CONTEXT = 3,  /* the context is full */
       HEARTH_FINISH_STOPPED = 4,  /* a callback said so; there is no event for it */
       HEARTH_FINISH_CANCELLED = 5, HEARTH_FINISH_DEADLINE = 6,
       HEARTH_FINISH_ERROR = 7,    /* the event's error says what */
       HEARTH_FINISH_STOP = 8 };   /* a stop string came; the event's stop says which */

/* A token of a completion, its end, or both. */
/* What became of the guesses of one completion: how often some were checked, tokens, those that proved right, by their place. */
struct hearth_guesses { uint32_t n_drafts, n_tokens, n_right, right_at[HEARTH_MAX_DRAFT]; };
struct hearth_event {
    struct hearth_request *request;
    uint32_t completion;           /* 0 .. n_completions - 1 */
    int32_t id;                    /* the token, or -1 */
    int finish;                    /* HEARTH_FINISH_*; the last event of a completion has one */
    uint32_t n_prompt, n_kept;     /* tokens of the prompt; of them, those that came from the cache */
    uint32_t n_answer;             /* tokens so far, this one included */
    uint32_t n_reasoning;          /* of these, those of reasoning; of a request with a chat */
    uint32_t n_calls;              /* complete calls so far; of a request with a chat */
    uint32_t n_held;               /* of these, the last ones that may still be taken back (ban) */
    uint32_t n_back;               /* not 0: no token, but so many of the last ones are no part of the answer (ban) */
    const char *stop;              /* HEARTH_FINISH_STOP: the string that came; valid during the call */
    const struct hearth_session *session;     /* what the token was picked from, for log-probabilities; NULL: it was not */
    struct hearth_sampler *sampler;           /* what picked it, for hearth_sampler_logprobs; NULL: nothing, or pick did */
    const struct hearth_cut *cut;  /* what was left out of the text since the last event; NULL: nothing */
    const struct hearth_guesses *guesses;     /* so far; NULL: there were none */
    const struct hearth_error *error;
};
/* Called by the engine's thread, which waits meanwhile: quickly, and without calling the engine but for hearth_request_cancel
 * and hearth_request_submit.  false: the completion ends here. */
typedef bool hearth_event_fn(void *arg, const struct hearth_event *event);
/* Picks the next token instead of a sampler; < 0 ends the completion as HEARTH_FINISH_STOPPED. */
typedef int32_t hearth_pick_fn(void *arg, uint32_t completion, const struct hearth_session *session);

/* What an answer says, as it becomes certain: called before the event of the token that made it so, in the same way.  Without a
 * chat all is HEARTH_CHAT_TEXT. */
typedef void hearth_said_fn(void *arg, uint32_t completion, const struct hearth_chat_event *said);
/* How many tokens of the prompt are there: 0 when the request gets its slot, then after each step that leaves some; kept: so
 * many of these were there from an earlier text. */
typedef void hearth_read_fn(void *arg, uint32_t done, uint32_t kept, uint32_t total);
struct hearth_bias { int32_t id; float bias; };    /* added to the token's logit; -INFINITY: never */

struct hearth_request_options {    /* zero-initialise; what it points to is copied but for callbacks' arguments */
    const int32_t *ids;            /* the prompt; of a chat it is the chat's */
    size_t n;
    const struct hearth_chat *chat;           /* or NULL.  Answers are held to what it asks and read by it; it may be closed */
    const struct hearth_grammar *grammar;     /* without a chat: what answers are held to, or NULL; it may be closed */
    const char *const *stop;       /* [n_stop] answers end before these texts */
    size_t n_stop;
    const char *const *ban;        /* [n_ban] phrases that answers never have: they go back and say it otherwise */
    size_t n_ban;
    const struct hearth_bias *bias;           /* [n_bias] */
    size_t n_bias;
    uint32_t min_tokens;           /* before so many tokens no end is picked */
    bool every_token;              /* also where there is no choice tokens are picked one by one, so that all have a session */
    uint32_t max_tokens;           /* 0: until the context is full */
    uint32_t n_ctx;                /* most tokens, answer included; 0: the engine's, which is the limit of all */
    int context;                   /* HEARTH_CONTEXT_*, but not DROP; `pick` sees a text that was cut as it is then */
    uint32_t n_keep;               /* of a prompt that is cut, the first so many tokens stay; 0: half of what fits */
    uint32_t n_completions;        /* answers to the prompt, which is evaluated once; 0: 1; at most max_running */
    const struct hearth_sampler_options *sampler;     /* NULL: the model's; completion i has its seed + i */
    bool ignore_end;               /* ends of the model are tokens like others */
    int priority;                  /* the larger, the sooner */
    uint64_t user;                 /* among whom slots are shared fairly */
    uint32_t deadline_ms;          /* from now; 0: none */
    bool no_cache;
    uint64_t cache_salt;
    /* Instead of the model's (hearth_model_set_adapters); NULL: those.  They stay open until the request has ended. */
    const struct hearth_adapter_use *adapters;
    size_t n_adapters;             /* 0 with adapters not NULL: none at all */
    hearth_event_fn *event;
    hearth_said_fn *said;          /* or NULL */
    hearth_read_fn *read;          /* or NULL; called as events are */
    hearth_pick_fn *pick;          /* or NULL; then nothing holds the answer but stop */
    void *arg;                     /* of all four */
};
/* Any thread.  HEARTH_ELIMIT with the numbers when the prompt does not fit, the queue is full, or memory could never suffice. */
HEARTH_API int hearth_request_submit(struct hearth_request **out, struct hearth_engine *g, const struct hearth_request_options *o,
                                     struct hearth_error *e);
/* It ends within one step, with an event for each completion that was going on.  Any thread. */
HEARTH_API void hearth_request_cancel(struct hearth_request *r);
/* Its completions that are reasoning come to the end of that now.  Any thread. */
HEARTH_API void hearth_request_stop_thinking(struct hearth_request *r);
/* Returns when all its completions have ended: how the first did (HEARTH_FINISH_*). */
HEARTH_API int hearth_request_wait(struct hearth_request *r);
/* Cancels it when it goes on; its callbacks may still be running, and others come, until hearth_request_wait would return. */
HEARTH_API void hearth_request_close(struct hearth_request *r);

struct hearth_engine_stats {
    uint32_t n_queued, n_running;  /* requests that wait; completions that have a slot */
    uint64_t n_requests, n_finished;   /* since the engine was opened */
    uint64_t n_steps, n_prompt_tokens, n_answer_tokens;
    uint64_t n_preempted;          /* completions that gave their pages to others and were evaluated again */
    uint64_t n_texts;              /* texts that were embedded, documents that were ranked */
    uint64_t n_guessed, n_right;   /* tokens that were evaluated ahead; those that proved right */
    uint64_t n_head_guessed;       /* of n_guessed, those that the model's own head made */
    uint64_t n_files_saved, n_files_found;    /* texts that were written to files; prompts that files had something of */
    uint64_t n_file_errors;        /* files that could not be written or read */
};
HEARTH_API void hearth_engine_stats(struct hearth_engine *g, struct hearth_engine_stats *out);

/* ---- embeddings and ranking as requests ---- */

/* The same as requests to an engine: texts of all requests share batches, which take turns with answers that are written; while
 * there are any, a batch has only as many tokens as the engine's budget allows (of encoders at least one text).  Texts come by
 * priority, then from the request that has had the fewest tokens evaluated.  Events have no token: n_answer counts texts
 * (documents), n_prompt tokens. */
struct hearth_embed_request {      /* zero-initialise; what it points to is copied, but items' `out` is written until the end */
    const struct hearth_embed_item *items;
    size_t n;
    const struct hearth_embed_options *options;       /* NULL: the usual; its progress is not called */
    const struct hearth_adapter_use *adapters;        /* as of hearth_request_options */
    size_t n_adapters;
    int priority;
    uint32_t deadline_ms;
    hearth_event_fn *event;
    void *arg;
};
HEARTH_API int hearth_embed_submit(struct hearth_request **out, struct hearth_engine *g, const struct hearth_embed_request *o,
                                   struct hearth_error *e);
struct hearth_rerank_request {     /* zero-initialise; what it points to is copied, but `scores` is written until the end */
    const char *query;
    const char *const *documents;
    size_t n;
    const struct hearth_rerank_options *options;      /* NULL: the usual; its progress is not called */
    float *scores;                 /* [n] */
    const struct hearth_adapter_use *adapters;        /* as of hearth_request_options */
    size_t n_adapters;
    int priority;
    uint64_t user;
    uint32_t deadline_ms;
    hearth_event_fn *event;
    void *arg;
};
HEARTH_API int hearth_rerank_submit(struct hearth_request **out, struct hearth_engine *g, const struct hearth_rerank_request *o,
                                    struct hearth_error *e);

/* ---- several models ---- */

/* The models of a process, within one limit of memory for what they take: the bytes of their files, what reading them took from
 * the heap, keys and values, compute buffers, each counted where it is allocated.  (Rows of logits and texts of requests that
 * run come on top, less than a MB each.)
 * Whoever needs a model holds it.  Those who ask for the same share one copy, which is loaded in the background: one model at a
 * time, in the order in which they were asked for.  What nobody holds stays until its time is over, or its memory is needed:
 * then past texts are forgotten, and the model that was held longest ago goes.  A load that needs what others hold waits for
 * them, and who comes later waits behind it, so that nobody waits for ever who does not hold one model while waiting for another.
 * All functions: any thread. */
struct hearth_models;
struct hearth_hold;

#define HEARTH_KEEP_NOT (UINT32_MAX - 1)       /* unloaded as soon as nobody holds it */
#define HEARTH_KEEP_FOREVER UINT32_MAX         /* until its memory is needed */

enum { HEARTH_MODEL_WAITS = 1,     /* for other loads, or for memory */
       HEARTH_MODEL_LOADS = 2, HEARTH_MODEL_READY = 3, HEARTH_MODEL_FAILED = 4,
       HEARTH_MODEL_GONE = 5 };    /* unloaded: in events only */
struct hearth_model_state {
    char name[128], path[512];     /* cut when longer; path "" is the embedded model */
    int state;
    uint64_t done, total;          /* bytes of its file that loading has read, of those it reads */
    uint64_t weights, heap, buffers, kv;       /* bytes that it takes now */
    uint32_t n_holds, n_ctx;
    uint64_t n_steps, n_step_texts;            /* of its engine: steps; texts that they had, together */
    bool pinned, drafted;          /* drafted: another model guesses for it */
    int64_t leaves_ms;             /* how long it stays if nobody comes; -1: it is held, or stays for ever */
    struct hearth_error error;     /* FAILED: why */
};
/* A model came to another state, or more of it was read (some times a second).  Called by the thread that did it, which waits
 * meanwhile; it must not call the library. */
typedef void hearth_models_fn(void *arg, const struct hearth_model_state *state);

struct hearth_models_options {     /* zero-initialise */
    uint64_t memory;               /* bytes; 0: seven eighths of what the machine has available now */
    uint32_t keep_ms;              /* how long a model stays that nobody holds; 0: 300,000; or HEARTH_KEEP_* */
    uint32_t max_models;           /* loaded at once; 0: any number */
    hearth_models_fn *event;       /* or NULL */
    void *arg;
};
HEARTH_API int hearth_models_open(struct hearth_models **out, const struct hearth_models_options *o, struct hearth_error *e);
/* After all holds are closed; NULL is fine. */
HEARTH_API void hearth_models_close(struct hearth_models *ms);

struct hearth_load_adapter { const char *path; float scale; };
/* Loads are the same model when all but name, keep_ms and pin are equal. */
struct hearth_load {               /* zero-initialise; copied */
    const char *name;              /* for people, and hearth_models_unload; NULL: the path */
    const char *path;              /* as of hearth_model_open; NULL: the embedded model */
    struct hearth_model_options model;         /* without a kv_limit it is three quarters of the memory of all models that the
                                                  weights leave free, of which is used what is free at the time */
    struct hearth_engine_options engine;
    const struct hearth_load_adapter *adapters;       /* what its engine has without being asked */
    size_t n_adapters;
    uint32_t keep_ms;              /* from now on, when nobody holds it; 0: as of the models' options */
    int pin;                       /* > 0: it stays, whatever its time and the needs of others; < 0: no longer; 0: as it is */
};
/* Returns at once; the model may still have to be loaded. */
HEARTH_API int hearth_hold_open(struct hearth_hold **out, struct hearth_models *ms, const struct hearth_load *l,
                                struct hearth_error *e);
/* 0 when the model is ready; HEARTH_ECANCELLED when it is not after so long (UINT32_MAX: any time), and it may be waited for
 * again; or why the load failed. */
HEARTH_API int hearth_hold_wait(struct hearth_hold *h, uint32_t timeout_ms, struct hearth_error *e);
/* After hearth_hold_wait gave 0, until the hold is closed; requests to the engine end before. */
HEARTH_API struct hearth_model *hearth_hold_model(struct hearth_hold *h);
/* The adapters of its load, in their order, at most `most`; how many there are. */
HEARTH_API size_t hearth_hold_adapters(struct hearth_hold *h, struct hearth_adapter **out, size_t most);
HEARTH_API struct hearth_engine *hearth_hold_engine(struct hearth_hold *h);
HEARTH_API void hearth_hold_state(struct hearth_hold *h, struct hearth_model_state *out);
/* A load that nobody holds any more is broken off.  NULL is fine. */
HEARTH_API void hearth_hold_close(struct hearth_hold *h);

/* At most `most` models; returns how many there are. */
HEARTH_API size_t hearth_models_list(struct hearth_models *ms, struct hearth_model_state *out, size_t most);
HEARTH_API void hearth_models_memory(struct hearth_models *ms, uint64_t *limit, uint64_t *used);
/* For one who watches, every now and then: whether each model that loads or computes has got on since this was last true.  Where
 * it stays false something hangs.  A load may be silent for load_ms, as an unload. */
HEARTH_API bool hearth_models_move(struct hearth_models *ms, uint32_t load_ms);
/* It goes as soon as nobody holds it, pinned or not.  HEARTH_ENOTFOUND when there is none of that name. */
HEARTH_API int hearth_models_unload(struct hearth_models *ms, const char *name, struct hearth_error *e);

#ifdef __cplusplus
}
#endif
#endif
