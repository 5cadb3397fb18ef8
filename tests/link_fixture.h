/* link_fixture.h - a link to an engine process, and jobs whose events are kept. */
#ifndef HEARTH_TESTS_LINK_FIXTURE_H
#define HEARTH_TESTS_LINK_FIXTURE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/mem.h"
#include "hearth.h"
#include "server/link.h"
#include "tests/testing.h"

enum { LANES = 8 };

/* What came back for one job. */
struct kept {
    struct lock lock;
    struct buf text[LANES], reasoning[LANES], all;     /* all: every event, a line each */
    char reason[LANES][24], stop[LANES][64], kind[24], message[512];
    uint32_t n_text, tokens[LANES], n_calls, n_start;
    struct json *done;
    uint64_t id;
    uint32_t cancel_after, kill_after;                 /* texts, from the callback; 0: never */
    int signal;                                        /* that kills; 0: SIGKILL */
    struct link *link;
    uint64_t ended_ns;
    _Atomic uint32_t texts, over;
};

static inline void keep_str(char *to, size_t n, const struct json *o, const char *key)
{
    const char *s = json_str(json_get(o, key), NULL);
    snprintf(to, n, "%s", s ? s : "");
}

static inline void keep_event(void *arg, const struct json *e, bool last)
{
    struct kept *k = arg;
    const char *name = json_str(json_get(e, "event"), NULL), *text;
    size_t i = (size_t)json_int(json_get(e, "i")) % LANES, n;
    lock_take(&k->lock);
    json_write(e, false, &k->all);
    buf_putc(&k->all, '\n');
    text = json_str(json_get(e, "text"), &n);
    if (!strcmp(name, "text")) {
        buf_put(&k->text[i], text, n);
        k->n_text++;
    } else if (!strcmp(name, "reasoning"))
        buf_put(&k->reasoning[i], text, n);
    else if (!strcmp(name, "end")) {
        keep_str(k->reason[i], sizeof k->reason[i], e, "reason");
        keep_str(k->stop[i], sizeof k->stop[i], e, "stop");
        k->tokens[i] = (uint32_t)json_int(json_get(e, "tokens"));
    } else if (!strcmp(name, "call_end"))
        k->n_calls++;
    else if (!strcmp(name, "start"))
        k->n_start++;
    else if (!strcmp(name, "error")) {
        keep_str(k->kind, sizeof k->kind, e, "kind");
        keep_str(k->message, sizeof k->message, e, "message");
    }
    if (last) {                                        /* a value belongs to one thread: this is another with the same text */
        struct buf copy = { 0 };
        json_write(e, false, &copy);
        if (json_parse(&k->done, copy.data, copy.len, NULL) < 0) k->done = NULL;
        buf_release(&copy);
    }
    uint32_t texts = k->n_text;
    lock_give(&k->lock);
    bool is_text = !strcmp(name, "text");
    if (is_text && texts == k->cancel_after) link_cancel(k->link, k->id);
    if (is_text && texts == k->kill_after) {
        struct link_state s;
        link_state(k->link, &s);
        kill((pid_t)s.pid, k->signal ? k->signal : SIGKILL);
    }
    atomic_store(&k->texts, texts);
    if (!last) return;
    k->ended_ns = os_now_ns();
    atomic_store(&k->over, 1);
    os_wake_all(&k->over);
}

static inline struct json *job_of(const char *text)
{
    struct json *j;
    struct err e;
    if (json_parse(&j, text, strlen(text), &e) < 0) fail_msg("%s in %s", e.msg, text);
    return j;
}

static inline int submit_job(struct link *l, struct kept *k, const char *job, struct err *e)
{
    k->link = l;
    return link_submit(l, job_of(job), keep_event, k, &k->id, e);
}

static inline void wait_job(struct kept *k)
{
    while (!atomic_load(&k->over)) os_wait(&k->over, 0);
}

static inline void run_job(struct link *l, struct kept *k, const char *job)
{
    struct err e;
    if (submit_job(l, k, job, &e) < 0) fail_msg("%s", e.msg);
    wait_job(k);
}

static inline void kept_release(struct kept *k)
{
    for (int i = 0; i < LANES; i++) {
        buf_release(&k->text[i]);
        buf_release(&k->reasoning[i]);
    }
    buf_release(&k->all);
    json_free(k->done);
    *k = (struct kept){ .n_text = 0 };
}

static inline const char *text_of(const struct kept *k, int i) { return k->text[i].data ? k->text[i].data : ""; }

/* The process must be a program of this build that can be executed directly. */
#define NEED_LINK() do { if (!getenv("PROGRAM") || (getenv("EMULATOR") && *getenv("EMULATOR"))) skip(); } while (0)

static inline void note_to_output(void *arg, const char *line)
{
    (void)arg;
    if (getenv("LINK_NOTES")) fprintf(stderr, "# %s\n", line);
}

static inline struct link *open_link(struct link_options o)
{
    struct link *l;
    struct err e;
    o.program = getenv("PROGRAM");
    o.note = note_to_output;
    if (link_open(&l, &o, &e) < 0) fail_msg("%s", e.msg);
    return l;
}

#endif
