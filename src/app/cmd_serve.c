#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "app/command.h"
#include "app/logfile.h"
#include "app/model_name.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/net.h"
#include "base/os.h"
#include "base/proc.h"
#include "base/sandbox.h"
#include "format/gguf.h"
#include "server/server.h"

enum { MAX_FOLDERS = 256, MAX_CONFIG = 1 << 20 };

struct fields {
    struct opt_strs host, port, host_name, origin;
    const char *slots, *draft, *key_file, *tls_cert, *tls_key, *config, *log;
    bool insecure_no_key, any_content_type, trace, trace_text, no_sandbox;
    int log_format;
    uint32_t max_running, max_queued, max_per_key, max_body_mb, max_connections, deadline_s, drain_s;
    uint32_t ctx, threads, parallel, memory_mb, kv_files_mb;
    int32_t keep_alive, speculate;
    uint32_t watchdog_s;
};

static const struct fields defaults = { .drain_s = 30, .watchdog_s = 30 };      /* of what is not 0 */

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "host", NULL, 0, OPT_STRS, "ADDRESS", "127.0.0.1",
      "where to listen: a number, with :PORT or not, or unix:/path; may be repeated",
      NULL, AT(host), 0, 0 },
    { "port", NULL, 'p', OPT_STRS, "PORT", "11434", "its port; may be repeated: 11434 1234 8080 are what clients look for",
      "11434",
      AT(port), 0, 0 },
    { "key-file", NULL, 0, OPT_STR, "FILE", NULL, "ask for an API key of this file (see hearth key)", NULL, AT(key_file), 0, 0 },
    { "insecure-no-key", NULL, 0, OPT_FLAG, NULL, NULL, "let other machines call without a key", NULL, AT(insecure_no_key), 0,
      0 },
    { "host-name", NULL, 0, OPT_STRS, "NAME", NULL, "a further name that clients may call this server", NULL, AT(host_name), 0,
      0 },
    { "origin", NULL, 0, OPT_STRS, "ORIGIN", NULL, "web pages that may call: http://localhost:3000", NULL, AT(origin), 0, 0 },
    { "any-content-type", NULL, 0, OPT_FLAG, NULL, NULL, "take JSON whatever its Content-Type", NULL, AT(any_content_type), 0,
      0 },
    { "tls-cert", NULL, 0, OPT_STR, "FILE", NULL, "certificates in PEM: serve https", NULL, AT(tls_cert), 0, 0 },
    { "tls-key", NULL, 0, OPT_STR, "FILE", NULL, "its key in PEM", NULL, AT(tls_key), 0, 0 },
    { "max-running", NULL, 0, OPT_U32, "N", "64", "requests that the engine has at once", NULL, AT(max_running), 1, 65536 },
    { "max-queued", NULL, 0, OPT_U32, "N", "1024", "that wait; more get 429", NULL, AT(max_queued), 1, 1000000 },
    { "max-per-key", NULL, 0, OPT_U32, "N", "no limit", "of one key, running and waiting", NULL, AT(max_per_key), 1, 1000000 },
    { "max-body", NULL, 0, OPT_U32, "MB", "32", "largest request", NULL, AT(max_body_mb), 1, 4096 },
    { "max-connections", NULL, 0, OPT_U32, "N", "4096", "open connections", NULL, AT(max_connections), 1, 65536 },
    { "deadline", NULL, 0, OPT_U32, "SECONDS", "none", "for requests that name none themselves", NULL, AT(deadline_s), 1,
      1000000 },
    { "drain", NULL, 0, OPT_U32, "SECONDS", "30", "how long running requests may go on after SIGTERM", NULL, AT(drain_s), 0,
      86400 },
    { "ctx", NULL, 'c', OPT_U32, "N", "the model's", "context in tokens", NULL, AT(ctx), 1, 16777216 },
    { "threads", NULL, 't', OPT_U32, "N", "one per core", "threads that compute", NULL, AT(threads), 1, 256 },
    { "parallel", NULL, 0, OPT_U32, "N", "the engine's", "requests of one model that are computed together", NULL,
      AT(parallel), 1, 256 },
    { "memory", NULL, 0, OPT_U32, "MB", "what is free", "for weights, keys and values of all models", NULL, AT(memory_mb), 1,
      100000000 },
    { "keep-alive", NULL, 0, OPT_I32, "SECONDS", "300", "how long an unused model stays in memory; -1: for ever", NULL,
      AT(keep_alive), -1, 100000000 },
    { "kv-files", NULL, 0, OPT_U32, "MB", "none", "keep long past texts in files of so many MB, to go on from after a restart",
      NULL, AT(kv_files_mb), 0, 100000000 },
    { "speculate", NULL, 0, OPT_I32, "N", "as many as pay", "guessed tokens that are checked at once; -1: none", NULL,
      AT(speculate), -1, 15 },
    { "watchdog", NULL, 0, OPT_U32, "SECONDS", "30", "an engine without a sign of life for so long is started again; 0: never",
      NULL, AT(watchdog_s), 0, 1000000 },
    { "draft", NULL, 0, OPT_STR, "MODEL", NULL, "a small model that guesses for those with the same tokens",
      "small.gguf", AT(draft), 0, 0 },
    { "slot-save-path", NULL, 0, OPT_STR, "FOLDER", NULL, "clients may save and restore texts there by POST /slots", NULL,
      AT(slots), 0, 0 },
    { "log", NULL, 0, OPT_STR, "FILE", "the state folder", "where lines about requests go; - is standard error", NULL, AT(log),
      0, 0 },
    { "log-format", NULL, 0, OPT_CHOICE, "text|json", "text", "of those lines", NULL, AT(log_format), 0, 0 },
    { "trace", NULL, 0, OPT_FLAG, NULL, NULL, "log each request's settings too, but not what it says", NULL, AT(trace), 0, 0 },
    { "trace-text", NULL, 0, OPT_FLAG, NULL, NULL, "and what it says", NULL, AT(trace_text), 0, 0 },
    { "config", NULL, 0, OPT_STR, "FILE", NULL, "lines NAME = VALUE for these options; limits are read again on SIGHUP", NULL,
      AT(config), 0, 0 },
    { "no-sandbox", NULL, 0, OPT_FLAG, NULL, NULL, "let the server open any file and socket", NULL, AT(no_sandbox), 0,
      0 },
};
static const struct opt_table rows = { row, sizeof row / sizeof *row };

/* ---- the file of settings ---- */

/* Cuts text, which must live as long as the fields. */
static int take_config(char *text, const char *path, struct fields *f, struct err *err)
{
    unsigned line = 1;
    for (char *at = text, *end; at; at = end, line++) {
        end = strchr(at, '\n');
        if (end) *end++ = 0;
        char *name = at + strspn(at, " \t\r"), *value = name + strcspn(name, "= \t\r"), *stop;
        if (!*name || *name == '#') continue;
        size_t n = (size_t)(value - name);
        value += strspn(value, " \t");
        bool equals = *value == '=';
        value += equals + strspn(value + equals, " \t");
        stop = value + strlen(value);
        while (stop > value && strchr(" \t\r", stop[-1])) *--stop = 0;
        const struct opt *o = args_find(&rows, name, n);
        if (!o || !strcmp(o->name, "config"))
            return err_set(err, ERR_ARG, "%s: line %u: there is no setting \"%.*s\"", path, line, (int)(n < 40 ? n : 40), name);
        if (o->kind == OPT_FLAG && strcmp(value, "true") && *value)
            return err_set(err, ERR_ARG, "%s: line %u: %s is true, or is left out", path, line, o->name);
        if (o->kind != OPT_FLAG && !equals) return err_set(err, ERR_ARG, "%s: line %u: %s needs = VALUE", path, line, o->name);
        struct err e;
        if (args_set(o, o->name, value, f, &e) < 0) return err_set(err, ERR_ARG, "%s: line %u: %s", path, line, e.msg);
    }
    return 0;
}

/* What the file says, then what the command line says.  *text is the caller's. */
static int read_config(const struct parsed *p, const struct fields *given, struct fields *f, char **text, struct err *err)
{
    size_t n;
    *text = NULL;
    *f = defaults;
    if (given->config) {
        int rc = os_read_file(given->config, MAX_CONFIG, text, &n, err);
        if (rc == 0) rc = take_config(*text, given->config, f, err);
        if (rc < 0) return rc;
    }
    args_copy_given(&rows, p, f, given);
    return 0;
}

static struct server_limits limits_of(const struct fields *f)
{
    return (struct server_limits){ .body_bytes = (uint64_t)f->max_body_mb << 20, .connections = f->max_connections,
                                   .running = f->max_running, .queued = f->max_queued, .per_key = f->max_per_key,
                                   .deadline_ms = f->deadline_s > 4000000 ? 4000000000u : f->deadline_s * 1000 };
}

/* ---- what the engine may read ---- */

struct folders { const char *v[MAX_FOLDERS]; uint32_t n; struct arena arena; };

static void add_folder(struct folders *l, const char *path, size_t n)
{
    const char *copy = n ? arena_strdup(&l->arena, path, n) : NULL;
    for (uint32_t i = 0; copy && i < l->n; i++)
        if (!strcmp(l->v[i], copy)) return;
    if (copy && l->n < MAX_FOLDERS) l->v[l->n++] = copy;
}

/* The folder of a file, and that of what it is a link to. */
static void add_folder_of(struct folders *l, const char *path)
{
    struct buf real = { 0 };
    const char *slash = strrchr(path, '/');
    if (slash) add_folder(l, path, (size_t)(slash - path));
    if (fs_real_path(path, &real)) {
        if (os_is_folder(real.data)) add_folder(l, real.data, real.len);
        else if ((slash = strrchr(real.data, '/')) != NULL) add_folder(l, real.data, (size_t)(slash - real.data));
    }
    buf_release(&real);
}

/* Those of adapters that a model is made with. */
static void add_adapters(struct folders *l, const struct found *f)
{
    struct manifest m;
    if (!f->ours || !f->manifest || store_read_manifest(f->manifest, &m, NULL, NULL) < 0) return;
    for (size_t i = 0; i < m.n; i++)
        if (m.layer[i].kind == LAYER_ADAPTER && m.layer[i].path) add_folder_of(l, m.layer[i].path);
    manifest_release(&m);
}

/* A file from outside the store, or all of its parts. */
static void add_file(struct folders *l, const char *path)
{
    struct buf real = { 0 };
    unsigned part, parts = 1;
    if (fs_real_path(path, &real)) {
        store_part_of(strrchr(real.data, '/') + 1, &part, &parts);
        if (parts > 1) add_folder_of(l, real.data);
        else add_folder(l, real.data, real.len);
    }
    buf_release(&real);
}

static int find_folders(struct folders *l, const char *model, struct buf *cache, struct err *err)
{
    struct store s;
    struct found_list found = { 0 };
    int rc = store_open(&s, err);
    if (rc < 0) return rc;
    rc = fs_make_folders(s.root, err);
    add_folder(l, s.root, strlen(s.root));
    buf_printf(cache, "%s/kv", s.root);
    if (rc == 0) rc = store_find(&s, &found, err);
    for (size_t i = 0; rc == 0 && i < found.n; i++) {
        add_folder_of(l, found.v[i].path);
        add_adapters(l, &found.v[i]);
    }
    if (model) add_file(l, model);
    found_release(&found);
    store_close(&s);
    return rc;
}

/* ---- serving ---- */

struct serving {
    struct logfile log;
    struct lock lock;                  /* guards server and serves for other threads */
    struct server *server;
    bool serves;                       /* it has been told: the terminal is left alone */
    struct link *link;
    struct chan *errors;               /* what the processes that are started write to standard error */
    struct os_thread *reader;
    _Atomic bool over;
};

/* Lines of others come before there is a server, too, and after. */
static void note_as(struct serving *v, const char *level, const char *word, const char *line)
{
    lock_take(&v->lock);
    if (v->server) server_note(v->server, level, word, line);
    lock_give(&v->lock);
}

static void note(void *arg, const char *line) { note_as(arg, "info", "engine", line); }

static void complain(struct serving *v, const char *line)
{
    lock_take(&v->lock);
    bool serves = v->serves;
    lock_give(&v->lock);
    if (!*line) return;
    if (!serves) term_note("%s", line);
    note_as(v, "error", "process", line);
}

static void read_errors(void *arg)
{
    struct serving *v = arg;
    char piece[512], line[1024];
    size_t n = 0;
    for (;;) {
        const bool over = atomic_load(&v->over);
        int64_t got = chan_read(v->errors, piece, sizeof piece);
        if (got < 0 || (!got && over)) break;
        for (int64_t i = 0; i < got; i++) {
            if (piece[i] != '\n') line[n++] = piece[i];
            if (piece[i] != '\n' && n + 1 < sizeof line) continue;
            line[n] = 0;
            n = 0;
            complain(v, line);
        }
        if (!got) chan_wait(v->errors, false, -1);
    }
    line[n] = 0;
    complain(v, line);
}

/* The keeper is made while there is one thread. */
static int start_others(struct serving *v, const struct fields *f, struct err *err)
{
    static const char *const start[] = { "engine", "pull --json --yes --to-parent --", NULL };
    int rc = proc_errors(&v->errors, err);
    if (rc == 0 && !f->no_sandbox) rc = proc_keep(NULL, start, err);
    return rc < 0 ? rc : os_thread_start(&v->reader, read_errors, v, err);
}

static void end(struct serving *v)
{
    lock_take(&v->lock);
    struct server *s = v->server;
    v->server = NULL;                  /* the link has still something to say */
    lock_give(&v->lock);
    server_close(s);
    if (v->link) link_close(v->link);
    atomic_store(&v->over, true);
    if (v->reader) chan_wake(v->errors);
    os_thread_join(v->reader);
    chan_close(v->errors);
    logfile_close(&v->log);
}

static int fill(struct server_options *o, const struct fields *f, const char *model, struct arena *a, struct err *err)
{
    static const char *const usual_host[] = { "127.0.0.1" }, *const usual_port[] = { "11434" };
    size_t n = 0, hosts = f->host.n ? f->host.n : 1, ports = f->port.n ? f->port.n : 1;
    for (size_t i = 0; i < hosts; i++)
        for (size_t k = 0; k < ports; k++) {
            const char *host = f->host.n ? f->host.s[i] : usual_host[0], *port = f->port.n ? f->port.s[k] : usual_port[0];
            bool whole = !strncmp(host, "unix:", 5) || (strchr(host, ':') && strchr(host, ':') == strrchr(host, ':')) ||
                strstr(host, "]:");
            bool bare6 = !whole && strchr(host, ':') && *host != '[';
            struct buf at = { 0 };
            if (whole && k) continue;
            buf_printf(&at, whole ? "%s" : bare6 ? "[%s]:%s" : "%s:%s", host, port);
            if (n == SERVER_MAX_LISTEN) return err_set(err, ERR_LIMIT, "at most %d addresses can be listened on",
                                                       SERVER_MAX_LISTEN);
            o->listen[n++] = at.bad ? NULL : arena_strdup(a, at.data, at.len);
            buf_release(&at);
        }
    for (size_t i = 0; i < f->host_name.n; i++) o->host_name[i] = f->host_name.s[i];
    for (size_t i = 0; i < f->origin.n; i++) o->origin[i] = f->origin.s[i];
    o->key_file = f->key_file;
    o->tls_cert = f->tls_cert;
    o->tls_key = f->tls_key;
    o->model = model;
    o->insecure_no_key = f->insecure_no_key;
    o->any_content_type = f->any_content_type;
    o->log_json = f->log_format == 1;
    o->trace = f->trace;
    o->trace_text = f->trace_text;
    o->limits = limits_of(f);
    return 0;
}

/* A program without one serves the others. */
static void look_inside(struct server_options *o)
{
    struct gguf *g;
    struct err none;
    if (!model_is_embedded("spark") || named_gguf_open(&g, "spark", &none) < 0) return;
    store_gguf_facts(g, &o->embedded);
    o->embedded_bytes = gguf_file_bytes(g);
    gguf_close(g);
}

static int open_log(struct serving *v, const struct fields *f, struct err *err)
{
    struct buf usual = { 0 };
    int rc;
    if (f->log) return logfile_open(&v->log, f->log, err);
    if (!logfile_usual(&usual) || logfile_open(&v->log, usual.data, NULL) < 0) rc = logfile_open(&v->log, "-", err);
    else rc = 0;
    buf_release(&usual);
    return rc;
}

/* What this process, which strangers talk to, gives up: dialling, and starting programs. */
static int shut_in(const struct fields *f, struct err *err)
{
    unsigned reached = 0;
    struct buf tried = { 0 };
    sandbox_keep_secrets();
    if (f->no_sandbox) return 0;
    int rc = sandbox_serve(&reached, err);
    if (rc < 0) return rc;
    bool held = sandbox_try(reached, &tried);
    if (reached & SANDBOX_OUTBOUND && held) term_note("hearth: outbound network: impossible (%s)", tried.data ? tried.data : "");
    else term_note("hearth: outbound network: this system cannot forbid it");
    buf_release(&tried);
    return 0;
}

/* Where the model that guesses is; one that could never guess for the server's own is an error now. */
static int find_draft(const struct fields *f, const char *model, struct folders *l, char path[STORE_PATH], struct err *err)
{
    char own[STORE_PATH];
    if (!f->draft) return 0;
    if (f->speculate < 0) return err_set(err, ERR_ARG, "--draft does not go with --speculate -1");
    int rc = model_path(f->draft, path, err);
    if (rc == 0) add_file(l, path);
    if (rc == 0 && model && (rc = model_path(model, own, err)) == 0)
        rc = hearth_draft_check(own, path, (struct hearth_error *)(void *)err);
    return rc;
}

static int begin(struct serving *v, const struct fields *f, const char *model, struct folders *l, struct buf *cache)
{
    struct err e = { 0 };
    struct server *server = NULL;
    struct server_options o = { .log = logfile_put, .log_arg = &v->log };
    look_inside(&o);
    net_raise_files();
    int rc = open_log(v, f, &e);
    if (rc == 0) rc = find_folders(l, model, cache, &e);
    char draft[STORE_PATH];
    if (rc == 0) rc = find_draft(f, model, l, draft, &e);
    struct link_options lo = { .memory_limit = (uint64_t)f->memory_mb << 20, .max_running = f->parallel, .threads = f->threads,
                               .n_ctx = f->ctx, .keep_alive_s = f->keep_alive, .folders = l->v, .n_folders = l->n,
                               .cache_bytes = (uint64_t)f->kv_files_mb << 20, .speculate = f->speculate,
                               .draft = f->draft ? draft : NULL,
                               .silence_ms = f->watchdog_s * 1000, .cache_folder = cache->data, .slot_folder = f->slots,
                               .no_sandbox = f->no_sandbox, .note = note, .note_arg = v };
    if (rc == 0) rc = fill(&o, f, model, &l->arena, &e);
    if (rc == 0) rc = server_check(&o, &e);
    if (rc == 0) rc = start_others(v, f, &e);
    if (rc == 0) rc = link_open(&v->link, &lo, &e);
    if (rc == 0) rc = server_open(&server, &o, v->link, &e);
    lock_take(&v->lock);
    v->server = server;
    lock_give(&v->lock);
    if (rc == 0) rc = shut_in(f, &e);
    if (rc == 0 && model) rc = server_preload(v->server, &e);
    return rc < 0 ? term_fail("%s", e.msg) : EXIT_OK;
}

static void tell(struct serving *v)
{
    struct link_state l;
    const char *url;
    link_state(v->link, &l);
    for (size_t i = 0; (url = server_url(v->server, i)) != NULL; i++) term_note("hearth: serving at %s", url);
    if (l.sandbox && *l.sandbox) term_note("hearth: the engine: %s", l.sandbox);
    server_note(v->server, "info", "start", server_url(v->server, 0));
    lock_take(&v->lock);
    v->serves = true;
    lock_give(&v->lock);
}

static bool another_signal(void)
{
    if (signals_pending() == SIGHUP) signals_clear();
    return signals_pending() != 0;
}

static void reload(struct serving *v, const struct parsed *p, const struct fields *given)
{
    struct fields f;
    struct err e = { 0 };
    char *text;
    int rc = read_config(p, given, &f, &text, &e);
    struct server_limits l = limits_of(&f);
    if (rc == 0) rc = server_reload(v->server, &l, &e);
    server_note(v->server, rc < 0 ? "error" : "info", "reload", rc < 0 ? e.msg : "keys and limits are read again");
    if (rc < 0) term_note("hearth: %s; all stays as it was", e.msg);
    mem_free(text);
}

static void serve(struct serving *v, const struct parsed *p, const struct fields *given, uint32_t drain_s)
{
    tell(v);
    for (;;) {
        struct pollfd wait = { signals_fd(), POLLIN, 0 };
        if (!signals_pending()) poll(&wait, 1, -1);
        int sig = signals_pending();
        signals_clear();
        if (sig == SIGHUP) reload(v, p, given);
        else if (sig) break;
    }
    server_note(v->server, "info", "stop", "finishing what runs");
    server_drain(v->server, drain_s * 1000, another_signal);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields given = defaults, f;
    struct parsed p;
    struct err e = { 0 };
    struct serving v = { .log = { .fd = -1 } };
    struct folders folders = { .n = 0 };
    struct buf cache = { 0 };
    char *config;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 1 }, &given, &p, &rc)) return rc;
    if (read_config(&p, &given, &f, &config, &e) < 0) {
        mem_free(config);
        return term_usage(self->name, "%s", e.msg);
    }
    rc = begin(&v, &f, p.n_operands ? p.operand[0] : NULL, &folders, &cache);
    if (rc == EXIT_OK) serve(&v, &p, &given, f.drain_s);
    end(&v);
    arena_release(&folders.arena);
    buf_release(&cache);
    mem_free(config);
    return rc;
}

const struct command command_row_serve = {
    .name = "serve",
    .operands = "[MODEL]",
    .summary = "answer other programs over HTTP",
    .about = "One port speaks the languages of OpenAI, Anthropic, Ollama, LM Studio and llama-server.  Only this machine can\n"
             "call it, unless --host says otherwise; then keys are needed.  MODEL is loaded at once and is meant by requests\n"
             "that name none; all others that `hearth list` shows are loaded when they are asked for.\n"
             "SIGTERM: takes no more requests, finishes those that run, and ends; a second one: ends now.  SIGHUP: reads\n"
             "keys and limits again.\n",
    .example = "",
    .more = (const char *const[]){ "hearth serve", "hearth serve qwen3:0.6b --port 11434 --port 1234 --port 8080",
                                   "hearth serve --host 0.0.0.0 --key-file keys --tls-cert cert.pem --tls-key key.pem",
                                   "hearth serve --host unix:/run/user/1000/hearth.sock",
                                   "hearth serve qwen3:8b --draft qwen3:0.6b", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
