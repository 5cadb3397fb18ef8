#include <string.h>

#include "app/command.h"
#include "app/term.h"
#include "base/env.h"
#include "base/fs.h"
#include "base/os.h"
#include "store/store.h"

struct client { const char *name, *about, *variables, *file, *text, *start; };
#define CLIENT(...) { __VA_ARGS__ },
static const struct client client[] = {
#include "app/launch.def"
};
#undef CLIENT
enum { N_CLIENTS = sizeof client / sizeof *client };

struct fields { const char *url, *model, *key; bool write; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "model", "m", 0, OPT_STR, "NAME", "the newest of hearth list", "the model that it is to use", "qwen3:30b", AT(model), 0,
      0 },
    { "url", NULL, 0, OPT_STR, "URL", "http://127.0.0.1:11434", "where the server is", NULL, AT(url), 0, 0 },
    { "key", NULL, 0, OPT_STR, "KEY", "hearth", "an API key, when the server asks for one", NULL, AT(key), 0, 0 },
    { "write", "w", 0, OPT_FLAG, NULL, NULL, "write the file of settings; one that is there stays as it is", NULL, AT(write), 0,
      0 },
};

static const char *next_name(const void *arg, size_t i)
{
    (void)arg;
    return i < N_CLIENTS ? client[i].name : NULL;
}

static void put_filled(const char *form, const struct fields *f, struct buf *out)
{
    const struct { const char *name, *value; } word[] = { { "{url}", f->url }, { "{model}", f->model }, { "{key}", f->key } };
    while (*form) {
        size_t i = 0;
        while (i < 3 && strncmp(form, word[i].name, strlen(word[i].name)) != 0) i++;
        if (i == 3) {
            buf_putc(out, *form++);
            continue;
        }
        buf_puts(out, word[i].value);
        form += strlen(word[i].name);
    }
}

/* Each line as a command for a shell; values have no quotes in them (check). */
static void put_exports(const char *lines, const struct fields *f, struct buf *out)
{
    struct buf b = { 0 };
    put_filled(lines, f, &b);
    if (b.bad || !b.data) out->bad = true;
    for (char *at = b.data, *end; !out->bad && *at; at = end + 1) {
        char *equals = strchr(at, '=');
        end = strchr(at, '\n');
        buf_printf(out, "export %.*s='%.*s'\n", (int)(equals - at), at, (int)(end - equals - 1), equals + 1);
    }
    buf_release(&b);
}

/* What stands between quotes in files of several kinds. */
static int check(const char *what, const char *value)
{
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p <= ' ' || strchr("'\"\\`$", *p) || *p == 0x7f)
            return term_fail("--%s: %s has a character that settings cannot have", what, value);
    return EXIT_OK;
}

static int write_file(const char *path, const struct buf *text, struct err *err)
{
    struct os_writer *w;
    char folder[STORE_PATH];
    if (os_file_exists(path))
        return err_set(err, ERR_ARG, "%s is there already; what is to be in it is printed without --write", path);
    fmt_into(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    int rc = fs_make_folders(folder, err);
    if (rc == 0) rc = os_write_begin(&w, path, err);
    if (rc < 0) return rc;
    rc = os_write(w, text->data, text->len, err);
    if (rc == 0) return os_write_commit(w, err);
    os_write_abort(w);
    return rc;
}

static int put_client(const struct client *c, const struct fields *f, struct buf *out)
{
    struct buf text = { 0 };
    struct err e = { 0 };
    char path[STORE_PATH], tilde[STORE_PATH];
    int rc = 0;
    if (c->file) {
        fmt_into(tilde, sizeof tilde, "~/%s", c->file);
        if (!store_expand(path, tilde)) rc = err_set(&e, ERR_ARG, "there is no home folder (HOME)");
        put_filled(c->text, f, &text);
        if (text.bad) out->bad = true;
        else if (f->write && rc == 0) {
            rc = write_file(path, &text, &e);
            if (rc == 0) buf_printf(out, "# %s was written\n", path);
        } else
            buf_printf(out, "# in %s:\n%s", tilde, text.data);
    } else if (f->write)
        rc = err_set(&e, ERR_ARG, "%s has no file of settings; it is told by variables", c->name);
    buf_release(&text);
    if (rc < 0) return term_fail("%s", e.msg);
    if (c->file && c->variables) buf_puts(out, "\n# in the shell:\n");
    if (c->variables) put_exports(c->variables, f, out);
    if (c->start) {
        buf_puts(out, "# then: ");
        put_filled(c->start, f, out);
        buf_putc(out, '\n');
    }
    return EXIT_OK;
}

/* The model that came last, else the one inside the program. */
static void newest(char *dst, size_t n)
{
    struct store s;
    struct found_list l = { 0 };
    int64_t best = -1;
    fmt_into(dst, n, "spark");
    if (store_open(&s, NULL) < 0) return;
    if (store_find(&s, &l, NULL) == 0)
        for (size_t i = 0; i < l.n; i++) {
            if (l.v[i].broken || l.v[i].mtime <= best) continue;
            best = l.v[i].mtime;
            fmt_into(dst, n, "%s", l.v[i].name);
        }
    found_release(&l);
    store_close(&s);
}

static int list(void)
{
    struct buf b = { 0 };
    for (size_t i = 0; i < N_CLIENTS; i++) buf_printf(&b, "%-12s %s\n", client[i].name, client[i].about);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .url = "http://127.0.0.1:11434", .key = "hearth" };
    struct parsed p;
    struct buf b = { 0 };
    char model[NAME_TEXT + 1];
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 1 }, &f, &p, &rc)) return rc;
    if (!p.n_operands) return list();
    size_t i = 0;
    while (i < N_CLIENTS && strcmp(client[i].name, p.operand[0]) != 0) i++;
    const char *near = i == N_CLIENTS ? args_nearest(p.operand[0], next_name, NULL) : NULL;
    if (near) return term_usage(self->name, "there are no settings for \"%s\"; did you mean %s?", p.operand[0], near);
    if (i == N_CLIENTS)
        return term_usage(self->name, "there are no settings for \"%s\"; `hearth launch` lists those that are", p.operand[0]);
    if (!f.model) {
        newest(model, sizeof model);
        f.model = model;
    }
    if ((rc = check("url", f.url)) != EXIT_OK || (rc = check("model", f.model)) != EXIT_OK) return rc;
    if ((rc = check("key", f.key)) != EXIT_OK) return rc;
    rc = put_client(&client[i], &f, &b);
    if (rc == EXIT_OK) return term_put(&b) ? EXIT_OK : term_write_failed();
    buf_release(&b);
    return rc;
}

const struct command command_row_launch = {
    .name = "launch",
    .operands = "[CLIENT]",
    .summary = "settings with which other programs use the server",
    .about = "Prints the variables and the file with which CLIENT finds `hearth serve`; without CLIENT, lists those that are\n"
             "known.  Variables are printed as commands of a shell: eval \"$(hearth launch openai)\".\n",
    .example = "codex",
    .more = (const char *const[]){ "hearth launch", "hearth launch opencode --model qwen3:30b --write", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
