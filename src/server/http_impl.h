/* http_impl.h - what http.c, exchange.c and server.c share: connections, exchanges, the server.
 *
 * Locks are taken in this order: conns, exchange.  Neither is held while the link, a handler or a callback is called. */
#ifndef HEARTH_SERVER_HTTP_IMPL_H
#define HEARTH_SERVER_HTTP_IMPL_H

#include <stdatomic.h>

#include "base/lock.h"
#include "base/net.h"
#include "server/admit.h"
#include "server/feed.h"
#include "server/guard.h"
#include "server/job.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/record.h"
#include "server/replay.h"
#include "server/server.h"
#include "server/uri.h"

enum { X_HEADERS = 16, X_ID = 64, HTTP_THREADS = 4, MODELS_KNOWN = 32, SCALES_KNOWN = 32 };
enum answer { ANSWER_NONE, ANSWER_WHOLE, ANSWER_STREAM };
enum phase { PHASE_HEAD, PHASE_BODY, PHASE_RUN, PHASE_SENT };
enum life { LIFE_LOADING, LIFE_READY, LIFE_DRAINING, LIFE_CLOSING };

struct MHD_Connection;
struct MHD_Daemon;

/* An open connection; guarded by the lock of conns. */
struct conn {
    struct conn *prev, *next;
    int fd;
    bool fresh, closed;            /* no request yet; we have shut it down */
    uint64_t since;                /* when it was opened, or when its last request was over */
    struct exchange *x;            /* the request that is being read, worked on or answered */
};
struct conns { struct lock lock; struct conn *first; size_t n, n_busy; };

struct exchange {
    struct server *s;
    const struct listener *at;
    struct MHD_Connection *mhd;
    struct conn *conn;
    _Atomic uint32_t refs;
    struct arena arena;            /* of the request; its strings live as long as the exchange */
    const char *raw, *method;
    struct uri uri;
    const struct route *route;
    const struct route *near;      /* without a route: whose errors it gets, or NULL */
    const char *conversation;      /* under which its stream is kept, or NULL */
    const char *called;            /* what its client calls the answer, or NULL */
    const char *path;              /* of the job's model, or NULL */
    const char *user, *origin;     /* origin: a listed one that may read the answer */
    char id[X_ID + 1];
    enum phase phase;
    bool head, early;              /* early: answered before the body was read, so the connection ends */
    uint64_t began, expects;       /* when its headers were there; bytes of body that were announced */
    struct buf body;
    uint64_t body_bytes, values;   /* values: what json takes, about */
    struct json *json;
    void *state;
    void (*release)(void *state);

    struct lock lock;              /* guards all below */
    enum answer answer;
    int status;
    bool ended, suspended, gone, over, drop;   /* over: HTTP is done with it; drop: what is written goes nowhere */
    bool stopped;                  /* its job was cancelled because the server ends */
    struct { const char *name, *value; } header[X_HEADERS];
    size_t n_headers;
    struct buf out;
    size_t taken;                  /* of out, already with the client */
    uint64_t sent, taken_at, first_at;
    uint64_t looked_at, moved_at, acked;   /* when it was looked whether the client takes anything; when it had; how much */
    bool live, held;               /* a job waits or runs; the handler works on */
    unsigned ending;               /* last events that are being answered */
    uint64_t job;
    struct ticket ticket;
    struct json *waiting;          /* the job, until the link has it */
    exchange_event_fn *fn;
    void (*on_gone)(struct exchange *x);
    uint64_t stream_bytes;         /* the limit when it began */
    bool sse;                      /* its stream is one of events */
    uint64_t replay, backlog;      /* where its stream is kept, 0: nowhere; bytes of the past that it was sent at once */

    /* For metrics and the log; of the link's thread while a job runs. */
    char model[METRIC_NAME], reason[16];
    uint64_t submitted, given, text_at, n_prompt, n_cached, n_answer;
    struct context_numbers context;
    bool failed;
};

struct listener { struct net_listener net; struct MHD_Daemon *daemon; char url[300], path[256]; bool tls; struct server *s; };
struct known_model {
    char asked[SERVER_MODEL_NAME];
    struct server_model model;
    struct fs_info file;
    uint64_t at;
    struct buf brings;             /* what came with it: brings.h */
};

/* What a client set for the adapters of a model; of: a hash of these, so that others that it is made with later are not meant. */
struct known_scales { char model[SERVER_MODEL_NAME]; uint64_t of; double v[JOB_MAX_ADAPTERS]; };

struct server {
    struct server_options o;       /* its strings lie in the arena */
    struct arena arena;
    struct link *link;
    struct listener listen[SERVER_MAX_LISTEN];
    size_t n_listen;
    struct guard guard;
    struct keys keys;              /* guarded by config */
    struct server_limits limits;
    struct lock config, models, records;
    struct record record;
    struct admit admit;
    struct metrics metrics;
    struct replays replays;
    struct feed feed;
    bool asks_keys;
    _Atomic int life;
    _Atomic bool loading;          /* its own model */
    _Atomic uint64_t body_total;   /* bytes of bodies in memory, and of their values */
    _Atomic uint64_t n_exchanges;  /* that are not over */
    struct conns conns;
    struct os_thread *watcher;
    struct net_wake wake;
    _Atomic bool stop, rests;      /* of the watcher: it is to end; it sleeps long */
    char *tls_cert, *tls_key;
    struct known_model known[MODELS_KNOWN];
    struct known_scales *scales[SCALES_KNOWN];     /* NULL: none; guarded by models, as known is */
    size_t n_scales;                               /* that were ever set: the oldest make room */
    struct store store;
    bool store_open;
    struct api_state *answers;
    struct api_works *works;
    struct api_pulls *pulls;
};

/* `then` may be later than `now`: another thread has just set it. */
static inline uint64_t elapsed(uint64_t then, uint64_t now) { return now > then ? now - then : 0; }

/* exchange.c */
struct exchange *exchange_new(struct server *s, const char *raw);
void exchange_share(struct exchange *x);
void exchange_free(struct exchange *x);                /* one owner less */
void exchange_leave(struct exchange *x);               /* the client has gone, or must go */
/* With its lock held: it is a stream of events of which nothing came for so long, and nothing waits to be taken. */
bool exchange_silent(const struct exchange *x, uint64_t now, uint64_t most);
void exchange_ping(struct exchange *x);                /* a comment, so that nobody takes the stream for a dead one */
bool exchange_pending(struct exchange *x);             /* somebody still works on the answer */
void exchange_header_put(struct exchange *x, const char *name, const char *value);   /* with the lock held */

/* jobs.c */
void jobs_withdraw(struct exchange *x, const char *kind, const char *message);   /* its job, if it still waits, ends */
void jobs_stop(struct exchange *x);                    /* its job is cancelled, wherever it is */
void jobs_next(struct server *s);                      /* starts what may run now */
void jobs_late(struct server *s, uint64_t now);        /* ends what has waited too long */

/* http.c */
int  http_start(struct server *s, struct listener *l, struct err *err);
void http_quiet(struct listener *l);                   /* accepts no more */
void http_stop(struct listener *l);                    /* ends all its connections */
void http_resume(struct exchange *x);                  /* its lock is held; only when it is suspended */
void http_watch(void *server);                         /* the watcher's thread */

/* server.c */
const struct route *server_table(size_t i, const char **name);     /* NULL past the end */
/* NULL: there is none; near then says whose errors a client expects at this path, and what methods it takes. */
struct near { const struct route *route; char methods[48]; };
const struct route *server_route(const struct server *s, const struct exchange *x, struct near *near);
/* 0, or the status to refuse with: who calls, with what key. */
int  server_admit(struct exchange *x, const struct guard_request *g, const char *key, char *why, size_t n);
struct server_limits server_limits(struct server *s);
void server_record(const struct exchange *x);          /* a line for the log, when it was a request */
void server_trace(struct exchange *x, const struct json *job);

/* openapi.c */
void openapi_get(struct exchange *x);

/* front.c: how errors are written where no dialect is known. */
void front_error(struct exchange *x, int status, const char *kind, const char *message);

#endif
