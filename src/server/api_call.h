/* api_call.h - one request of any dialect on its way: from the body to a job, from the job's events to what is answered.
 *
 * A dialect is two or three functions (struct api_form) that never see a connection: they read JSON and append bytes.
 * api_exchange.c joins them to http.h; tests feed them from files.
 * Threads: one at a time. */
#ifndef HEARTH_SERVER_API_CALL_H
#define HEARTH_SERVER_API_CALL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "server/http.h"

enum api_kind {
    API_LOADING, API_QUEUED, API_PREFILL, API_START, API_TEXT, API_REASONING, API_CALL, API_ARGUMENTS, API_CALL_END,
    API_CALL_BROKEN, API_WARNING, API_END, API_DONE, API_ERROR, API_OTHER
};

struct api_event {
    enum api_kind kind;
    size_t i, call;                    /* of which answer; which call */
    const char *text;                  /* of TEXT, REASONING, ARGUMENTS; the name of CALL */
    size_t n;
    const struct json *json;           /* the whole event (job.h) */
    struct api_choice *choice;         /* answer i, with what this event brought; NULL where the event is of none */
    struct api_item *item;             /* what it belongs to, or NULL */
    bool opened;                       /* the item is new */
};

/* An answer is a list of items in their order: text, reasoning, calls. */
struct api_item {
    enum api_kind kind;                /* API_TEXT, API_REASONING or API_CALL */
    struct buf text;                   /* of a call: its arguments */
    size_t call;
    char name[128], id[72];            /* of a call; an id is made when the model gave none */
    bool closed, broken;               /* a call has ended; it is none */
};
struct api_choice {
    struct api_item *item;
    size_t n, cap, n_calls;
    struct json *logprobs, *ids;       /* of its tokens, as job.h has them, or NULL */
    char reason[16], *stop;            /* of the end event; "" and NULL before */
    int64_t tokens, reasoning_tokens, prompt_tokens;
};

struct api_form;
struct api_state;
struct api_call {
    const struct api_form *form;
    const struct json *body;           /* borrowed from the exchange, while it lives */
    const char *model;                 /* as the client called it, or "" */
    char own_model[512];               /* what it is then: the server's own */
    char quant[32], format[16];        /* of the model's file; "": not known, or not asked for */
    char id[40];                       /* random letters; dialects put their prefix before it */
    int64_t created;                   /* seconds since 1970 */
    uint64_t begun;                    /* os_now_ns; 0 in tests: api_elapsed_ms is 0 */
    uint64_t random;                   /* state of api_random */
    bool stream;
    bool answers;                      /* the job is one that answers, and not done without that */
    struct api_state *state;           /* what was stored earlier, or NULL; with whose: the user */
    const char *user;
    struct buf out;                    /* what is to be written next */

    /* what the events said */
    struct api_choice *choice;
    size_t n;
    bool stored;                       /* the answer can be asked for later, as "resp_" and the id */
    bool flag;                         /* one thing that a dialect keeps: log-probabilities, packed numbers */
    int64_t prompt_tokens, cached_tokens, answer_tokens, reasoning_tokens;
    int64_t told, prompt_ns;           /* tokens whose ids have come; of the start event */
    struct json *model_info, *done;    /* of the start and of the done event, or NULL */
    uint64_t started;                  /* when the first piece of an answer came; 0: none yet */
    bool over, failed, nomem;
    size_t bytes;                      /* about what is kept of them */
    bool more;                         /* the job is over, but not the call: api_call_next */
    size_t n_jobs, base;               /* done; answers of the jobs before this one */
    int64_t past[3];                   /* counts of tokens of the jobs before this one */
    int status;                        /* failed: of HTTP */
    const char *kind;                  /* and job.h's word */
    struct context_numbers context;
    char message[512];

    void *own;                         /* of the dialect */
    void (*release)(void *own);
};

struct api_form {
    const char *name;                  /* "openai.chat" */
    const char *op;                    /* of the job */
    const char *stream_type;           /* NULL: never a stream */
    bool stream;                       /* when the body does not say */
    /* Fills the job; may set c->stream.  NULL where handlers make the job themselves. */
    int  (*job)(struct api_call *c, const struct json *body, struct json *job, struct err *err);
    /* Of a stream: appends what the event, which was taken in already, adds. */
    void (*event)(struct api_call *c, const struct api_event *e);
    /* Not a stream: appends the whole answer, from what was taken in; it is JSON unless text_type says otherwise. */
    void (*whole)(struct api_call *c);
    /* Of a stream that has begun: appends an error, when API_ERROR comes (c->status, c->message). */
    void (*fail)(struct api_call *c);
    /* A call of several jobs, or NULL: the job behind c->n_jobs others.  *job NULL: there is none. */
    int  (*next)(struct api_call *c, struct json **job, struct err *err);
};

/* Zeroed: random and times are set, so that tests can set others. */
struct api_call *api_call_new(const struct api_form *form);
void api_call_free(struct api_call *c);
/* The job of a body.  *job is the caller's.  The error says why there is none (api_status). */
int  api_call_job(struct api_call *c, const struct json *body, struct json **job, struct err *err);
/* Takes an event in, and appends to c->out. */
void api_call_event(struct api_call *c, const struct json *event);

/* When c->more: the next job, which is the caller's. */
int  api_call_next(struct api_call *c, struct json **job, struct err *err);
/* What the engine counts, tokens or nanoseconds: 0 to 2^50, so that sums of some are numbers as well. */
int64_t api_count(const struct json *v);
int64_t api_elapsed_ms(const struct api_call *c);

/* n random letters and digits, NUL added. */
void api_random(struct api_call *c, char *dst, size_t n);
/* Of ERR_*: the status of HTTP, and the word for it. */
int  api_status(int code, const char **kind);
int  api_status_of_kind(const char *kind);

/* The text of all items of a kind of one answer. */
void api_gather(const struct api_choice *a, enum api_kind kind, struct buf *out);
bool api_has(const struct api_choice *a, enum api_kind kind);                /* such an item with something in it */
double api_timing(const struct api_call *c, const char *key);                /* of the done event, in seconds */
/* "data: ...\n\n", with "event: NAME\n" before it unless NULL: between these JSON is appended. */
void api_sse_begin(struct api_call *c, const char *event);
void api_sse_end(struct api_call *c);
/* {"prompt_n","prompt_ms",...} as llama-server has it; before the end what is known by then, of jobs that want_ids. */
void api_put_timings(const struct api_call *c, struct buf *b);

/* ---- with a connection: api_exchange.c ---- */

/* Reads the body, submits its job, and answers with what comes of it. */
void api_handle(struct exchange *x, const struct api_form *form);
void api_handle_with_file(struct exchange *x, const struct api_form *form);  /* for answers that tell of the model's file */
/* The same with a job that the handler made; takes both. */
void api_fail(struct exchange *x, const struct err *err);
void api_answer(struct exchange *x, struct buf *b);                          /* JSON, released */
void api_submit(struct exchange *x, struct api_call *c, struct json *job);

#endif
