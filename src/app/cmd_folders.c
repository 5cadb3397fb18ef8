#include <string.h>

#include "app/command.h"
#include "app/term.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/store.h"

struct fields { bool unused; };

static int read_lines(const struct store *s, struct buf *out, struct err *err)
{
    char path[STORE_PATH], *text;
    size_t n;
    if (!store_path(s, path, "folders", NULL)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    if (!os_file_exists(path)) return 0;
    int rc = os_read_file(path, 1 << 20, &text, &n, err);
    if (rc < 0) return rc;
    buf_put(out, text, n);
    mem_free(text);
    return out->bad ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

static int write_lines(const struct store *s, const struct buf *text, struct err *err)
{
    char path[STORE_PATH];
    struct os_writer *w;
    if (!store_path(s, path, "folders", NULL)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    int rc = fs_make_folders(s->root, err);
    if (rc == 0 && (rc = os_write_begin(&w, path, err)) == 0) {
        rc = os_write(w, text->data ? text->data : "", text->len, err);
        if (rc == 0) rc = os_write_commit(w, err);
        else os_write_abort(w);
    }
    return rc;
}

/* The lines without this one; whether it was there. */
static bool without(const struct buf *lines, const char *folder, struct buf *out)
{
    bool found = false;
    const char *end;
    for (const char *at = lines->data; at && *at; at = *end ? end + 1 : end) {
        end = at + strcspn(at, "\n");
        size_t n = (size_t)(end - at);
        if (n == strlen(folder) && !memcmp(at, folder, n)) found = true;
        else if (n) buf_printf(out, "%.*s\n", (int)n, at);
    }
    return found;
}

static int change(const struct store *s, const char *verb, const char *folder, struct err *err)
{
    struct buf lines = { 0 }, kept = { 0 }, real = { 0 };
    bool add = !strcmp(verb, "add");
    int rc = read_lines(s, &lines, err);
    bool there = fs_real_path(folder, &real);
    const char *path = there ? real.data : folder;
    if (rc == 0 && add && (!there || !os_is_folder(path))) rc = err_set(err, ERR_ARG, "%s: is not a folder", folder);
    if (rc == 0 && strchr(path, '\n')) rc = err_set(err, ERR_ARG, "a folder with a line feed in its name cannot be kept");
    if (rc == 0 && !without(&lines, path, &kept) && !add) rc = err_set(err, ERR_NOTFOUND, "%s: is not among the folders", folder);
    if (rc == 0 && add) buf_printf(&kept, "%s\n", path);
    if (rc == 0) rc = kept.bad ? err_set(err, ERR_NOMEM, "out of memory") : write_lines(s, &kept, err);
    buf_release(&lines);
    buf_release(&kept);
    buf_release(&real);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 2 }, &f, &p, &rc)) return rc;
    const char *verb = p.n_operands ? p.operand[0] : "";
    if (p.n_operands && (p.n_operands != 2 || (strcmp(verb, "add") && strcmp(verb, "remove"))))
        return term_usage(self->name, "say `add FOLDER` or `remove FOLDER`");
    struct store s;
    struct err e = { 0 };
    struct buf b = { 0 };
    rc = store_open(&s, &e);
    if (rc == 0) rc = p.n_operands ? change(&s, verb, p.operand[1], &e) : read_lines(&s, &b, &e);
    store_close(&s);
    if (rc < 0) return term_fail("%s", e.msg);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_folders = {
    .name = "folders",
    .operands = "[add|remove FOLDER]",
    .summary = "folders of yours in which models are looked for",
    .about = "Models in these folders, up to eight levels down, appear in `hearth list` and can be named by their file's name.\n"
             "The folders themselves are never written to.  Without operands the folders are listed.\n",
    .example = "add ~/models",
    .more = (const char *const[]){ "hearth folders", NULL },
    .options = { NULL, 0 },
    .run = run,
};
