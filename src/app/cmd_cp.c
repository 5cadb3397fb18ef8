#include "app/command.h"
#include "app/listing.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/term.h"
#include "store/store.h"

struct fields { bool force, json; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "force", NULL, 0, OPT_FLAG, NULL, NULL, "take the place of a model that has this name", NULL, AT(force), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print a JSON object", NULL, AT(json), 0, 0 },
};

static int copy(const struct fields *f, const char *from, const struct name *to, struct err *err)
{
    struct store s;
    struct found_list l = { 0 };
    char path[STORE_PATH];
    struct progress p = { 0 };
    const struct copy_options o = { .replace = f->force, .progress = progress_bytes, .arg = &p };
    size_t at;
    int rc = store_open(&s, err);
    if (rc < 0) return rc;
    rc = store_lookup(&s, from, &l, &at, path, err);
    if (rc == 0 && at == SIZE_MAX)
        rc = err_set(err, ERR_ARG, "%.300s: is a file; `hearth import` gives it a name", from);
    if (rc == 0) rc = store_copy(&s, &l.v[at], to, &o, err);
    term_progress_end();
    found_release(&l);
    store_close(&s);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct name to;
    struct err e = { 0 };
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 2, 2 }, &f, &p, &rc)) return rc;
    if ((rc = name_parse(&to, p.operand[1], &e)) == 0) rc = copy(&f, p.operand[0], &to, &e);
    if (rc == ERR_CANCELLED && signals_pending()) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", e.msg);
    put_made(&to, f.json, &b);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_cp = {
    .name = "cp",
    .operands = "NAME NEW",
    .summary = "give a model another name",
    .about = "No file is copied: both names mean the same files, also when they belong to another program.\n",
    .example = "qwen3:30b mine",
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
