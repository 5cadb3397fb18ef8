#include <string.h>

#include "app/command.h"
#include "app/listing.h"
#include "app/model_name.h"
#include "app/term.h"
#include "base/os.h"

struct fields { bool keep; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "keep-files", NULL, 0, OPT_FLAG, NULL, NULL, "only forget the name; the files stay in the store", NULL, AT(keep), 0, 0 },
};

/* Whether another model of ours needs this file. */
static int is_needed(const struct found_list *l, size_t at, const char *hex, bool *needed, struct err *err)
{
    *needed = false;
    for (size_t i = 0; i < l->n && !*needed; i++) {
        struct manifest m;
        if (i == at || !l->v[i].ours || !l->v[i].manifest) continue;
        int rc = store_read_manifest(l->v[i].manifest, &m, NULL, err);
        if (rc < 0) return rc;
        for (size_t k = 0; k < m.n; k++) *needed = *needed || !strcmp(m.layer[k].digest, hex);
        manifest_release(&m);
    }
    return 0;
}

static int remove_files(const struct store *s, const struct found_list *l, size_t at, const struct manifest *m, uint64_t *freed,
                        struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->n; i++) {
        char path[STORE_PATH];
        struct fs_info info;
        bool needed;
        if ((rc = is_needed(l, at, m->layer[i].digest, &needed, err)) < 0 || needed) continue;
        if (!store_blob_path(s, path, m->layer[i].digest) || !fs_info(path, &info)) continue;
        os_file_remove(path);
        if (!os_file_exists(path)) *freed += info.size;
    }
    return rc;
}

static int remove_model(const struct fields *f, struct store *s, const char *operand, struct buf *out, struct err *err)
{
    struct found_list l;
    struct manifest m = { 0 };
    char path[STORE_PATH];
    size_t at;
    uint64_t freed = 0;
    int rc = model_find(s, operand, &l, &at, path, err);
    const struct found *v = at == SIZE_MAX ? NULL : &l.v[at];
    if (rc < 0 && v) rc = 0;                                     /* what is incomplete can go */
    if (rc == 0 && !v) rc = err_set(err, ERR_ARG, "%s: is a file of yours, which hearth rm leaves alone", operand);
    if (rc == 0 && !v->ours)
        rc = err_set(err, ERR_ARG, "%s belongs to %s; remove it there: %s", v->name, v->owner, v->path);
    if (rc == 0 && !f->keep && l.n_unread)
        rc = err_set(err, ERR_FORMAT, "%s: %zu damaged manifests in %s/manifests may need its files; pull those models again or "
                     "delete them there, or use --keep-files", v->name, l.n_unread, s->root);
    if (rc == 0) rc = store_read_manifest(v->manifest, &m, NULL, err);
    if (rc == 0) {
        os_file_remove(v->manifest);
        if (os_file_exists(v->manifest)) rc = err_set(err, ERR_IO, "%s: cannot be removed", v->manifest);
    }
    if (rc == 0 && !f->keep) rc = remove_files(s, &l, at, &m, &freed, err);
    if (rc == 0) {
        buf_printf(out, "%s: removed, ", v->name);
        put_bytes(freed, out);
        buf_puts(out, " freed\n");
    }
    manifest_release(&m);
    found_release(&l);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, OPT_MAX_OPERANDS }, &f, &p, &rc)) return rc;
    struct store s;
    struct err e = { 0 };
    struct buf b = { 0 };
    rc = store_open(&s, &e);
    for (size_t i = 0; rc == 0 && i < p.n_operands; i++) rc = remove_model(&f, &s, p.operand[i], &b, &e);
    store_close(&s);
    bool written = term_put(&b);
    if (rc < 0) return term_fail("%s", e.msg);
    return written ? EXIT_OK : term_write_failed();
}

const struct command command_row_rm = {
    .name = "rm",
    .operands = "NAME ...",
    .summary = "remove models that Hearth fetched",
    .about = "The files go too, but for those that another model needs.  Models of other programs, and files that were named by\n"
             "their path, are refused.\n",
    .example = "qwen3:30b",
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
