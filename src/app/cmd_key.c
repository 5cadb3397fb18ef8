#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/term.h"
#include "base/mem.h"
#include "base/os.h"
#include "server/keys.h"

enum { MAX_FILE = 1 << 20 };
struct fields { int role; const char *file; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "key-file", NULL, 0, OPT_STR, "FILE", NULL, "the file that `hearth serve --key-file` reads", "keys", AT(file), 0, 0 },
    { "role", NULL, 0, OPT_CHOICE, "infer|manage", "infer", "infer: ask models; manage: also pull, remove and load them", NULL,
      AT(role), 0, 0 },
};

static int append(const char *path, const struct buf *line, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    ssize_t n = write(fd, line->data, line->len);
    int rc = n == (ssize_t)line->len && fsync(fd) == 0 ? 0 : err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    close(fd);
    return rc;
}

static int make(const struct fields *f, const char *name, struct err *err)
{
    char key[KEY_TEXT + 1];
    struct keys k = { 0 };
    struct buf line = { 0 }, out = { 0 };
    int rc = os_file_exists(f->file) ? keys_read(&k, f->file, err) : 0;
    for (size_t i = 0; rc == 0 && i < k.n; i++)
        if (!strcmp(k.v[i].name, name)) rc = err_set(err, ERR_ARG, "%s: there is a key named %s already", f->file, name);
    if (rc == 0) rc = key_make(f->role ? ROLE_MANAGE : ROLE_INFER, name, key, &line, err);
    if (rc == 0) rc = append(f->file, &line, err);
    if (rc == 0) {
        buf_printf(&out, "%s\n", key);
        if (!term_put(&out)) rc = err_set(err, ERR_IO, "cannot write the key");
        else term_note("hearth: this key is shown once; %s has its hash.  A running server takes it after SIGHUP", f->file);
    }
    buf_release(&line);
    keys_release(&k);
    return rc;
}

static int list(const struct fields *f, struct err *err)
{
    struct keys k;
    struct buf out = { 0 };
    int rc = keys_read(&k, f->file, err);
    for (size_t i = 0; rc == 0 && i < k.n; i++)
        buf_printf(&out, "%s\t%s\n", k.v[i].name, k.v[i].role == ROLE_MANAGE ? "manage" : "infer");
    if (rc == 0 && !term_put(&out)) rc = err_set(err, ERR_IO, "cannot write the list");
    buf_release(&out);
    keys_release(&k);
    return rc;
}

/* Other lines, comments too, stay as they are. */
static int drop(const struct fields *f, const char *name, struct err *err)
{
    struct keys k;
    struct os_writer *w;
    struct buf kept = { 0 };
    char *text;
    size_t n, found = 0;
    int rc = keys_read(&k, f->file, err);
    keys_release(&k);
    if (rc == 0) rc = os_read_file(f->file, MAX_FILE, &text, &n, err);
    if (rc < 0) return rc;
    for (char *at = text, *end; *at; at = end + (*end == '\n')) {
        end = at + strcspn(at, "\n");
        char *word = at + strspn(at, " \t"), *second = word + strcspn(word, " \t");
        second += strspn(second, " \t");
        size_t len = strcspn(second, " \t\r\n");
        bool is = *word != '#' && len == strlen(name) && !memcmp(second, name, len);
        found += is;
        if (!is) buf_printf(&kept, "%.*s\n", (int)(end - at), at);
    }
    if (!found) rc = err_set(err, ERR_NOTFOUND, "%s: there is no key named %s", f->file, name);
    if (rc == 0 && (rc = os_write_begin(&w, f->file, err)) == 0) {
        rc = os_write(w, kept.data ? kept.data : "", kept.len, err);
        if (rc == 0) rc = os_write_commit(w, err);
        else os_write_abort(w);
    }
    buf_release(&kept);
    mem_free(text);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct err e = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, 2 }, &f, &p, &rc)) return rc;
    const char *verb = p.operand[0];
    bool lists = !strcmp(verb, "list");
    if (!lists && strcmp(verb, "new") && strcmp(verb, "remove")) return term_usage(self->name, "say new, list or remove");
    if (p.n_operands != (lists ? 1 : 2)) return term_usage(self->name, lists ? "list takes no name" : "%s needs a NAME", verb);
    if (!f.file) return term_usage(self->name, "key needs --key-file");
    rc = lists ? list(&f, &e) : !strcmp(verb, "new") ? make(&f, p.operand[1], &e) : drop(&f, p.operand[1], &e);
    return rc < 0 ? term_fail("%s", e.msg) : EXIT_OK;
}

const struct command command_row_key = {
    .name = "key",
    .operands = "new|list|remove [NAME]",
    .summary = "API keys for `hearth serve`",
    .about = "`new` makes a key of 192 random bits, prints it once, and adds its SHA-256 to the file; the key itself is kept\n"
             "nowhere.  Clients send it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.\n",
    .example = "new laptop",
    .more = (const char *const[]){ "hearth key new admin --role manage --key-file keys",
                                   "hearth key remove laptop --key-file keys",
                                   NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
