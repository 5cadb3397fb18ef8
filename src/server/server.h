/* server.h - `hearth serve`: what it was told, its models, its life.
 *
 * Threads: any, but open, close and drain are for one thread.  The link must outlive the server's exchanges: close the server
 * first, then the link. */
#ifndef HEARTH_SERVER_SERVER_H
#define HEARTH_SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "server/http.h"
#include "server/link.h"
#include "store/store.h"

enum { SERVER_MAX_LISTEN = 8, SERVER_MAX_NAMES = 32 };

struct server_limits {             /* 0: the default */
    uint64_t body_bytes;           /* of a JSON body: 32 MiB */
    uint64_t upload_bytes;         /* of a BODY_RAW body: 1 TiB */
    uint32_t connections;          /* 4096 */
    uint32_t running;              /* jobs given to the engine at once: 64 */
    uint32_t queued;               /* that wait here: 1024; beyond: 429 */
    uint32_t per_key;              /* running and waiting of one key: no limit */
    uint32_t header_ms, body_ms, idle_ms, write_ms;   /* 10 s, 30 s, 60 s, 30 s */
    uint32_t ping_ms;              /* a stream of events that is silent so long has a comment: 30 s */
    uint32_t deadline_ms;          /* of a job that has none: no limit */
    uint32_t stream_bytes;         /* that a client has not taken: 1 MiB */
};

struct server_options {            /* zero-initialise; borrowed until server_open returns */
    const char *listen[SERVER_MAX_LISTEN];    /* "127.0.0.1:11434", "[::1]:1234", "unix:/path"; none: 127.0.0.1:11434 */
    const char *host_name[SERVER_MAX_NAMES];  /* further names that Host may have */
    const char *origin[SERVER_MAX_NAMES];     /* web pages that may call: "http://localhost:3000" */
    const char *key_file;          /* NULL: no keys are asked for */
    const char *tls_cert, *tls_key;           /* PEM files; both or none */
    const char *model;             /* that a request means which names none: a path or a name; NULL: the embedded one */
    /* Lines for a log, one at a time, on some thread; NULL: none.  trace: a line for each job too, without what it says;
     * trace_text: with it. */
    void (*log)(void *arg, const char *line, size_t n);
    void *log_arg;
    bool log_json, trace, trace_text;
    struct facts embedded;         /* of the embedded model, where it is known; and its size */
    uint64_t embedded_bytes;
    bool insecure_no_key;          /* other machines may call without a key */
    bool any_content_type;         /* JSON whatever the Content-Type says */
    const struct route *routes;    /* a further table, which counts first (tests); NULL: none */
    unsigned threads;              /* that serve connections; 0: as many as there are processors, at most 4 */
    struct server_limits limits;
};

/* l is borrowed.  ERR_ARG says which option is wrong and what to do. */
int  server_open(struct server **out, const struct server_options *o, struct link *l, struct err *err);
/* What server_open would say of the options, before a process is started for them. */
int  server_check(const struct server_options *o, struct err *err);
/* Loads the server's own model, for good; until then /health says loading.  It may fail later, which is noted. */
int  server_preload(struct server *s, struct err *err);
void server_note(struct server *s, const char *level, const char *word, const char *text);    /* a line of the log */
/* No new connections or requests (503, /health says draining); waits until the present ones are over, at most timeout_ms, then
 * cancels the rest.  `hurry` (may be NULL) ends the waiting at once when it returns true; it is asked often. */
void server_drain(struct server *s, uint32_t timeout_ms, bool (*hurry)(void));
void server_close(struct server *s);           /* NULL is fine */
/* Reads the key file again and takes the limits; connections stay.  An error leaves all as it was. */
int  server_reload(struct server *s, const struct server_limits *limits, struct err *err);
/* What it listens on, for people: "http://127.0.0.1:11434"; NULL past the end.  Port 0 was chosen by the system. */
const char *server_url(const struct server *s, size_t i);

uint32_t server_places(struct server *s);      /* jobs that the engine may have at once */
struct link *server_link(struct server *s);
const struct server_options *server_options(const struct server *s);
struct api_state *server_answers(struct server *s);    /* what dialects have stored */
struct api_works *server_works(struct server *s);      /* threads for what takes long */
struct api_pulls *server_pulls(struct server *s);      /* models that are being fetched */

/* ---- models ---- */

enum { SERVER_MODEL_NAME = 512 };
struct server_model {
    char name[SERVER_MODEL_NAME];  /* the shortest that finds it; "spark" for the embedded one */
    char path[STORE_PATH];         /* for the link: a path, or "embedded" */
    char digest[SHA256_HEX + 1];   /* of the file, or "" */
    bool embedded;
};
/* By name ("" or NULL: the server's own model).  Paths are refused, but for the one that the server was started with: a request
 * never chooses a file.  Quick: answers are remembered until models change or for some seconds.  ERR_NOTFOUND, ERR_ARG. */
int  server_resolve(struct server *s, const char *name, struct server_model *out, struct err *err);
/* The same, into a job: the model, and what came with it where the job says nothing else (brings.h). */
int  server_put_model(struct server *s, const char *name, struct server_model *out, struct json *job, struct err *err);
/* The adapters that a model was made with: [{"id","path","scale"}], the path without its folders; *out is the caller's. */
int  server_adapters(struct server *s, const char *name, struct json **out, struct err *err);
/* Their scales in answers to requests that say none, as [{"id","scale"}] has them; 0 for those that it does not name. */
int  server_set_scales(struct server *s, const char *name, const struct json *scales, struct err *err);
/* All of them, read anew; *out is the caller's (found_release).  The embedded one is not among them. */
int  server_models(struct server *s, struct found_list *out, struct err *err);
/* What the store's index or the file says of one. */
void server_facts(struct server *s, const struct found *f, struct facts *out);
void server_models_changed(struct server *s);  /* after a pull, a copy, a removal */

#endif
