/* worker_impl.h - inside the engine process: jobs at work (worker.c), their models (worker_models.c), answers (worker_generate.c
 * sets them up, worker_answer.c makes events of their tokens) and everything else that is asked for (worker_ops.c).
 *
 * A job is a task.  Threads: the first reads frames; a task's op runs on a thread of its own kind, where it may wait; tokens come
 * on the thread of the model's engine; what that leaves behind is cleared up by the thread that waits for it. */
#ifndef HEARTH_SERVER_WORKER_IMPL_H
#define HEARTH_SERVER_WORKER_IMPL_H

#include <stdatomic.h>

#include "base/json.h"
#include "base/lock.h"
#include "base/os.h"
#include "hearth.h"
#include "server/frame.h"
#include "server/job.h"
#include "server/job_read.h"

struct task;
struct generation;
struct models;

/* ---- what the process was told ---- */

struct worker_options {
    uint64_t memory_limit;
    uint32_t max_running, max_queued, threads, n_ctx;
    int64_t keep_alive_s;
    struct read_strs folders;
    const char *cache_folder;
    uint64_t cache_bytes;
    int32_t speculate;
    const char *slot_folder;           /* NULL: texts are not saved by number */
    const char *draft;                 /* path of the model that guesses for others, or NULL */
    uint32_t silence_ms;               /* the front ends a process that gives no sign of life for so long; 0: it does not */
    bool no_sandbox;
};

struct worker {
    struct frames *frames;
    struct json *told;                 /* what options point into */
    struct worker_options o;
    struct models *models;
    struct slots *slots;               /* NULL: texts are not saved */
    struct lock lock;                  /* guards the rest */
    struct task *task;                 /* all of them */
    struct task *first, **last;        /* those whose op has not begun */
    struct task *done, **done_last;    /* those that are to be cleared up */
    uint32_t n_threads, n_idle, n_queued, n_tasks;
    bool closing;
    _Atomic uint32_t work, cleared;    /* count: something was queued; something is to be cleared up, or all is */
    struct os_thread *thread[64];
    struct os_thread *clearer;
    uint64_t shown;                    /* the first thread's: when it last looked for life */
};

/* ---- tasks ---- */

/* Fields that every job may have; `op` rows begin with TASK_ROWS. */
struct task_head {
    const char *op, *model, *salt, *user;
    const struct json *load;
    int64_t keep_alive;                /* KEEP_DEFAULT: it did not say */
    int32_t priority;
    uint32_t deadline_ms;
    bool only_loaded;
};

#define KEEP_DEFAULT INT64_MIN

struct times { uint64_t load, queue, prompt, answer; };        /* nanoseconds */

struct task {
    struct worker *w;
    uint64_t id;
    struct json *doc;
    const struct op *op;
    struct task_head head;
    uint64_t arrived, deadline;        /* os_now_ns; no deadline: 0 */
    _Atomic bool cancel;
    const char *kind;                  /* of the error that its op returns; NULL: by its code */
    uint64_t n_prompt, n_ctx;          /* of kind "context": the two numbers, or 0 */
    bool over;                         /* its last event was sent */
    struct times times;
    struct loaded *loaded;             /* what it uses, given back when it is cleared up */
    struct generation *gen;            /* of an answer; guarded by the worker's lock for who does not write it */
    struct hearth_request *request;    /* of others; the same */
    struct task *next_task, **at_task; /* among all */
    struct task *next;                 /* in the queue, or among those to be cleared up */
    _Atomic uint64_t busy_since;       /* os_now_ns; 0: nobody works on it, or who does waits for a model or its engine */
};

/* Runs on a thread where it may wait.  0: the task is over (task_done was called), 1: it goes on elsewhere, which ends with
 * task_clear; negative: task_fail is called with err. */
struct op {
    const char *name;
    int (*run)(struct task *t, struct err *err);
    uint32_t patience;                 /* a thread that works on one for so many times silence_ms hangs */
};
const struct op *op_find(const char *name);

/* Events.  They take the value (NULL: out of memory, the task fails), from any thread, one at a time for a task. */
void task_event(struct task *t, struct json *event);
void task_event_text(struct task *t, const struct buf *event);         /* the same, already written */
void task_done(struct task *t, struct json *answer);                   /* the last: answer's fields, the times */
void task_done_text(struct task *t, const struct buf *fields);         /* the same: "a":1,"b":2 */
void task_fail(struct task *t, const struct err *err);                 /* the last, too */
/* ERR_CANCELLED when it was cancelled or is late. */
int  task_go_on(const struct task *t, struct err *err);
bool task_late(const struct task *t);
/* Its thread works, or waits for what is watched elsewhere. */
static inline void task_works(struct task *t) { atomic_store(&t->busy_since, os_now_ns()); }
static inline void task_waits(struct task *t) { atomic_store(&t->busy_since, 0); }
/* Its op is over elsewhere: what it holds is given back, on another thread. */
void task_clear(struct task *t);

/* The fields of all jobs and further ones, by rows, into a struct that begins with struct task_head; it holds the defaults. */
int  task_read(const struct task *t, const struct read_table *more, void *to, struct err *err);
/* The task of this number, for as long as the worker's lock is held; NULL: over, or never heard of. */
struct task *task_find(struct worker *w, uint64_t id);

/* ---- models ---- */

struct loaded {
    struct hearth_hold *hold;
    struct hearth_model *model;
    struct hearth_engine *engine;
    struct hearth_model_info info;
    uint32_t n_ctx;
    int kv_type, kv_type_v;
    bool adapted, guesses;             /* by adapters; tokens ahead */
    char *about;                       /* a JSON object of what is known about it, as text */
};

int  models_open(struct models **out, struct worker *w, struct err *err);
void models_close(struct models *s);
/* Waits until the task's model is there and tells of its loading; t->loaded is set, or with an error t->kind.  pin: 1, -1 or 0 as
 * of hearth_load. */
int  models_take(struct models *s, struct task *t, int pin, struct err *err);
void models_give(struct models *s, struct task *t);
int  models_unload(struct models *s, const char *path, struct err *err);
bool models_is_ready(struct models *s, const char *path);
/* hearth_models_move, with the patience that loads need. */
bool models_move(struct models *s);
/* What jobs that say nothing of adapters use from now on: a list as of "load". */
int  models_set_adapters(struct models *s, const char *path, const struct json *use, struct err *err);
/* Counts a job that is over. */
void models_count(struct models *s, const struct task *t, uint64_t prompt, uint64_t cached, uint64_t answer);
/* Adds what the op "status" says, and what is known of one model. */
bool models_status(struct models *s, struct json *to);
bool models_describe(const struct hearth_model_info *i, uint32_t n_ctx, struct json *to);
uint32_t models_n_ctx(const struct worker *w, const struct hearth_model_info *i, uint32_t asked);

/* ---- answers ---- */

int  generate_run(struct task *t, struct err *err);            /* the op */
int  template_run(struct task *t, struct err *err);            /* the op */
uint64_t short_hash(const char *s);                            /* of a user or a salt, as the engine knows them; "", NULL: 0 */
int  op_embed(struct task *t, struct err *err);
int  op_rerank(struct task *t, struct err *err);
/* What "lora" (NULL: nothing, *use is NULL) says of the task's model, which is loaded; *use is the caller's (mem_free), also on
 * failure. */
int  read_lora(const struct task *t, const struct json *list, struct hearth_adapter_use **use, size_t *n_use, struct err *err);
/* A list of ids, checked; *out is the caller's (mem_free). */
int  read_ids(const struct json *list, const char *name, const struct loaded *l, int32_t **out, struct err *err);
void generation_cancel(struct generation *g);                  /* any thread, under the worker's lock */
void generation_stop_thinking(struct generation *g);           /* the same */
bool generation_tell(struct generation *g, struct json *to);   /* the same: how far it is, and its options */
/* Waits until its requests have ended, and releases all. */
void generation_close(struct generation *g);

/* ---- texts by number (worker_slots.c) ---- */

enum { N_SLOTS = 64 };
struct slots;
int  slots_open(struct slots **out, struct err *err);
void slots_close(struct slots *s);                             /* NULL is fine */
/* The text of the last answer under this number; remembered when the operator allows saving. */
void slots_note(struct worker *w, const struct task *t, uint32_t slot, const int32_t *ids, size_t n);
int  slot_run(struct task *t, struct err *err);                /* the op */

/* ---- small things ---- */

/* Puts a value of JSON under a key; false when out of memory. */
static inline bool put_str(struct json *o, const char *key, const char *s)
{
    return json_put(o, key, json_new_str(s, strlen(s)));
}
static inline bool put_int(struct json *o, const char *key, uint64_t v)
{
    return json_put(o, key, v > INT64_MAX ? json_new_real((double)v) : json_new_int((int64_t)v));
}
/* An error of the library as one of ours. */
static inline int err_of_hearth(struct err *err, const struct hearth_error *e) { return err_set(err, e->code, "%s", e->message); }

#endif
