/* repl.c - the chat in a terminal: lines, commands, answers. */
#include <signal.h>
#include <string.h>

#include "app/attach.h"
#include "app/dialog.h"
#include "app/line.h"
#include "app/run.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/utf8.h"

struct chat {
    struct runner *r;
    struct dialog d;
    struct line_editor *editor;
    struct buf files;          /* what goes with the next message */
    bool verbose, leave;
    int signal;                /* that ended the chat, or 0 */
};

/* ---- commands ---- */

typedef void chat_command(struct chat *c, const char *arg);
static chat_command do_help, do_set, do_show, do_clear, do_system, do_save, do_load, do_file, do_verbose, do_result,
    do_bye;

static const struct { const char *name, *alias, *arg, *help; chat_command *run; } command[] = {
    { "help", "?", "", "show this list", do_help },
    { "set", "", "[NAME VALUE]", "change a setting, or list them all", do_set },
    { "show", "", "", "what model this is, and the settings", do_show },
    { "clear", "new", "", "begin a new conversation", do_clear },
    { "system", "", "[TEXT]", "tell the model its role; without a text: forget it", do_system },
    { "result", "", "[TEXT]", "what a tool that the model called gave back", do_result },
    { "save", "", "FILE", "keep the conversation in a file", do_save },
    { "load", "", "FILE", "go on with a conversation from a file", do_load },
    { "file", "", "FILE", "a text that goes with the next message", do_file },
    { "verbose", "", "", "statistics after each answer, on or off", do_verbose },
    { "bye", "exit", "", "leave (also Ctrl-D)", do_bye },
};
enum { N_COMMAND = sizeof command / sizeof *command };

static const char *next_command(const void *arg, size_t i)
{
    (void)arg;
    return i < N_COMMAND ? command[i].name : NULL;
}

static void do_help(struct chat *c, const char *arg)
{
    (void)c, (void)arg;
    struct buf b = { 0 };
    for (size_t i = 0; i < N_COMMAND; i++) {
        struct buf left = { 0 };
        buf_printf(&left, "/%s %s", command[i].name, command[i].arg);
        buf_printf(&b, "  %-20s %s\n", left.data ? left.data : "", command[i].help);
        buf_release(&left);
    }
    buf_puts(&b, "\n  \"\"\" begins and ends a text of several lines; a \\ at the end of a line does it for one.\n"
                 "  Ctrl-C stops an answer, Ctrl-R searches in what you typed before.\n");
    term_put(&b);
}

static void list_settings(const struct chat *c)
{
    struct buf b = { 0 };
    for (size_t i = 0; i < run_settings.n; i++) {
        const struct opt *o = &run_settings.row[i];
        struct buf v = { 0 };
        if (!strcmp(o->name, "seed") && c->r->new_seed)
            buf_puts(&v, "random");
        else
            args_format(o, &c->r->o, &v);
        buf_printf(&b, "  %-20s %-10s %s\n", o->name, v.data ? v.data : "", o->help);
        buf_release(&v);
    }
    term_put(&b);
}

static const char *next_setting(const void *arg, size_t i)
{
    (void)arg;
    return i < run_settings.n ? run_settings.row[i].name : NULL;
}

static void do_set(struct chat *c, const char *arg)
{
    if (!*arg) {
        list_settings(c);
        return;
    }
    size_t n = strcspn(arg, " =");
    const char *value = arg + n + strspn(arg + n, " =");
    const struct opt *o = args_find(&run_settings, arg, n);
    struct err e;
    if (!o) {
        const char *near = args_nearest(arg, next_setting, NULL);
        term_fail("there is no setting %.*s%s%s; /set lists them", n > 40 ? 40 : (int)n, arg,
                  near ? "; did you mean " : "", near ? near : "");
        return;
    }
    bool seed = !strcmp(o->name, "seed");
    if (seed && !strcmp(value, "random")) {
        c->r->new_seed = true;
        return;
    }
    if (args_set(o, o->name, value, &c->r->o, &e) < 0) {
        term_fail("%s", e.msg);
        return;
    }
    if (seed) c->r->new_seed = false;
}

static void do_show(struct chat *c, const char *arg)
{
    (void)arg;
    const struct hearth_model_info *m = &c->r->info;
    struct buf b = { 0 };
    size_t used = 0;
    hearth_session_ids(c->r->session, &used);
    buf_printf(&b, "  %-20s %s\n", "file", m->path);
    if (m->name && *m->name) buf_printf(&b, "  %-20s %s\n", "name", m->name);
    buf_printf(&b, "  %-20s %s, %.2f M parameters, %u layers\n", "architecture", m->architecture,
               (double)m->n_parameters / 1e6, m->n_layer);
    buf_printf(&b, "  %-20s %zu of %u tokens (trained with %u)\n", "context", used, hearth_session_n_ctx(c->r->session),
               m->n_ctx_train);
    buf_printf(&b, "  %-20s %s, %u tokens\n", "tokenizer", m->tokenizer, m->n_tokens);
    buf_printf(&b, "  %-20s %s, %u threads\n", "computing", m->cpu, m->threads);
    const char *system = dialog_system(&c->d);
    if (system) buf_printf(&b, "  %-20s %s\n", "system", system);
    buf_printf(&b, "  %-20s %zu\n\n", "messages", c->d.n);
    struct buf clean = { 0 };
    term_clean(b.data ? b.data : "", b.len, &clean);
    buf_release(&b);
    term_put(&clean);
    list_settings(c);
}

static void do_clear(struct chat *c, const char *arg)
{
    (void)arg;
    dialog_clear(&c->d);
    term_note("a new conversation begins");
}

static void do_system(struct chat *c, const char *arg)
{
    struct err e;
    if (c->r->raw)
        term_fail("a system message needs a chat template");
    else if (dialog_set_system(&c->d, arg, &e) < 0)
        term_fail("%s", e.msg);
}

static void do_save(struct chat *c, const char *arg)
{
    struct err e;
    if (!*arg)
        term_fail("/save needs the name of a file");
    else if (dialog_save(&c->d, c->r->info.path, arg, &e) < 0)
        term_fail("%s", e.msg);
    else
        term_note("kept %zu messages in %s", c->d.n, arg);
}

static void do_load(struct chat *c, const char *arg)
{
    struct err e;
    if (!*arg)
        term_fail("/load needs the name of a file");
    else if (dialog_load(&c->d, arg, &e) < 0)
        term_fail("%s", e.msg);
    else
        term_note("%zu messages from %s", c->d.n, arg);
}

static void do_file(struct chat *c, const char *arg)
{
    struct err e;
    if (!*arg)
        term_fail("/file needs the name of a file");
    else if (attach_file(arg, &c->files, &e) < 0)
        term_fail("%s", e.msg);
    else
        term_note("%s goes with your next message", arg);
}

static void do_verbose(struct chat *c, const char *arg)
{
    (void)arg;
    c->verbose = !c->verbose;
    term_note("statistics are %s", c->verbose ? "on" : "off");
}

static void do_bye(struct chat *c, const char *arg)
{
    (void)arg;
    c->leave = true;
}

static void obey(struct chat *c, char *line)
{
    char *name = line + 1, *arg = name + strcspn(name, " ");
    if (*arg) *arg++ = 0;
    arg += strspn(arg, " ");
    for (size_t n = strlen(arg); n && arg[n - 1] == ' ';) arg[--n] = 0;
    for (size_t i = 0; i < N_COMMAND; i++)
        if (!strcmp(name, command[i].name) || !strcmp(name, command[i].alias)) {
            command[i].run(c, arg);
            return;
        }
    const char *near = args_nearest(name, next_command, NULL);
    if (near)
        term_fail("there is no command /%s; did you mean /%s?", name, near);
    else
        term_fail("there is no command /%s; /help lists them (a space in front makes it a message)", name);
}

/* ---- answers ---- */

/* Adds what the model said.  A question without an answer is taken back, so that the next one can follow. */
static void keep_answer(struct chat *c, const struct gen_result *g)
{
    struct err e;
    struct json *calls = reply_calls_json(&g->reply);
    const char *text = g->text.data ? g->text.data : "";
    if (c->r->raw || (!g->text.len && !g->reply.n_calls))
        dialog_drop_last(&c->d);
    else if (dialog_add_answer(&c->d, text, g->text.len, g->reply.reasoning.data, calls, &e) < 0) {
        term_fail("%s", e.msg);
        dialog_drop_last(&c->d);
    }
    json_free(calls);
    size_t waiting = dialog_waiting(&c->d);
    if (waiting) term_note("hearth: %zu call%s; /result TEXT says what came back", waiting, waiting > 1 ? "s" : "");
}

/* Lets the model answer what the conversation has come to. */
static void answer(struct chat *c)
{
    struct hearth_error he;
    struct gen_result g = { 0 };
    int32_t *ids = NULL;
    size_t n_ids;
    if (run_prompt(c->r, c->d.message, c->d.n, &ids, &n_ids, &he) < 0 || run_answer(c->r, ids, n_ids, &g, &he) < 0) {
        term_fail("%s%s", he.message, he.code == HEARTH_ELIMIT && c->d.n > 2 ? "; or /clear" : "");
        dialog_drop_last(&c->d);
    } else {
        term_puts("\n");
        keep_answer(c, &g);
        buf_clear(&c->files);
        run_keep(c->r, &c->d);
        run_remarks(c->r, &g, c->verbose);
        if (g.context_full) term_note("hearth: or begin again with /clear");
    }
    gen_result_release(&g);
    hearth_free(ids);
    if (signals_pending() && signals_pending() != SIGINT) c->signal = signals_pending();
    signals_clear();
}

static void ask(struct chat *c, const char *text, size_t n)
{
    struct err e;
    struct buf message = { 0 };
    buf_put(&message, text, n);
    if (c->files.len) buf_printf(&message, "\n\n%s", c->files.data);
    int rc = message.bad ? err_set(&e, ERR_NOMEM, "out of memory for the message")
                         : dialog_add(&c->d, "user", message.data, message.len, &e);
    buf_release(&message);
    if (rc < 0) term_fail("%s", e.msg);
    else answer(c);
}

static void do_result(struct chat *c, const char *arg)
{
    struct err e;
    if (dialog_add_result(&c->d, arg, strlen(arg), &e) < 0) term_fail("%s", e.msg);
    else if (dialog_waiting(&c->d)) term_note("hearth: %zu more", dialog_waiting(&c->d));
    else answer(c);
}

/* ---- lines ---- */

static bool ends_with(const struct buf *b, const char *s)
{
    size_t n = strlen(s);
    return b->len >= n && !memcmp(b->data + b->len - n, s, n);
}

static void cut(struct buf *b, size_t n)
{
    b->len -= n;
    b->data[b->len] = 0;
}

/* A message: one line, several ended by \, or everything between two """. */
static enum line_status read_message(struct chat *c, struct buf *out)
{
    const char *line;
    size_t n;
    buf_clear(out);
    enum line_status status = line_read(c->editor, ">>> ", &line, &n);
    if (status != LINE_OK) return status;
    bool block = n >= 3 && !memcmp(line, "\"\"\"", 3);
    buf_put(out, line + (block ? 3 : 0), n - (block ? 3 : 0));
    for (;;) {
        if (block && ends_with(out, "\"\"\"")) {
            cut(out, 3);
            return LINE_OK;
        }
        if (!block && !ends_with(out, "\\")) return LINE_OK;
        if (!block) cut(out, 1);
        if ((status = line_read(c->editor, "... ", &line, &n)) != LINE_OK) return status;
        if (out->len || !block) buf_putc(out, '\n');
        buf_put(out, line, n);
    }
}

static void on_interrupt(struct chat *c, bool idle)
{
    int sig = signals_pending();
    signals_clear();
    term_puts("\n");
    if (sig && sig != SIGINT)
        c->signal = sig;
    else if (idle)
        term_note("Ctrl-D or /bye leaves");
}

static bool only_spaces(const char *s) { return !s[strspn(s, " \t\n")]; }

static void greet(const struct runner *r)
{
    const char *name = r->info.name && *r->info.name ? r->info.name : r->info.path;
    term_note("%s%s  /help lists the commands, Ctrl-D leaves.", name, r->raw ? " (completes what you type)." : ".");
}

/* Where a chat of another day stood. */
static void show_last(const struct dialog *d)
{
    size_t from = d->n;
    while (from && d->n - from < 2 && strcmp(d->message[from - 1].role, "system")) from--;
    term_note("going on after %zu messages:", d->n);
    for (size_t i = from; i < d->n; i++) {
        bool user = !strcmp(d->message[i].role, "user");
        size_t n = strlen(d->message[i].content);
        term_note("%s%.*s%s", user ? ">>> " : "", n > 600 ? 600 : (int)n, d->message[i].content, n > 600 ? " ..." : "");
    }
}

int repl(struct runner *r)
{
    struct chat c = { .r = r, .verbose = r->o.verbose || r->o.stats };
    struct buf text = { 0 };
    struct err e;
    unsigned idle = 0;
    bool failed = false;
    if (line_open(&c.editor, &e) < 0) return term_fail("%s", e.msg);
    if (run_begin(r, &c.d, &e) < 0) {
        term_fail("%s", e.msg);
        failed = c.leave = true;
    }
    for (size_t i = 0; !c.leave && i < r->o.file.n; i++)
        if (attach_file(r->o.file.s[i], &c.files, &e) < 0) {
            term_fail("%s", e.msg);
            failed = c.leave = true;
        }
    if (!c.leave) greet(r);
    if (!c.leave && r->o.again) show_last(&c.d);
    while (!c.leave && !c.signal && !term_closed()) {
        enum line_status status = read_message(&c, &text);
        if (status == LINE_EOF) {
            term_puts("\n");
            break;
        }
        idle = status == LINE_INTERRUPTED ? idle + 1 : 0;
        if (status == LINE_INTERRUPTED)
            on_interrupt(&c, idle > 1);
        else if (!text.len || only_spaces(text.data))
            continue;
        else if (text.data[0] == '/')
            obey(&c, text.data);
        else
            ask(&c, text.data, text.len);
    }
    line_close(c.editor);
    dialog_release(&c.d);
    buf_release(&c.files);
    buf_release(&text);
    return failed ? EXIT_RUN : c.signal ? 128 + c.signal : EXIT_OK;
}
