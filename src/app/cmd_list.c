#include <string.h>

#include "app/command.h"
#include "app/listing.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/term.h"

struct fields { bool json, paths, hash; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print a JSON array", NULL, AT(json), 0, 0 },
    { "paths", NULL, 0, OPT_FLAG, NULL, NULL, "names and where the files lie, with a tab between", NULL, AT(paths), 0, 0 },
    { "hash", NULL, 0, OPT_FLAG, NULL, NULL, "read files whose digest is not known yet, so that equal ones are recognised", NULL,
      AT(hash), 0, 0 },
};

/* Digests that are in the index, or, when asked for, by reading the files. */
static int fill_digests(struct store *s, struct found_list *l, bool hash, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        struct found *f = &l->v[i];
        struct facts x;
        struct fs_info info;
        store_facts(s, f, &x);
        if (!x.digest[0] && hash && !f->broken && fs_info(f->path, &info) && info.regular) {
            struct progress p = { 0 };
            rc = sha256_file(f->path, x.digest, progress_bytes, &p, err);
            if (rc == 0) index_put(store_index(s), f->path, &info, &x);
        }
        fmt_into(f->digest, sizeof f->digest, "%s", x.digest);
    }
    term_progress_end();
    return rc;
}

static void put_array(struct store *s, const struct found_list *l, struct buf *out)
{
    struct json *list = json_new_array();
    bool ok = true;
    for (size_t i = 0; i < l->n; i++) {
        struct facts x;
        store_facts(s, &l->v[i], &x);
        ok = json_push(list, model_json(&l->v[i], &x, equal_model(l, i))) && ok;
    }
    if (ok) json_write(list, true, out);
    else out->bad = true;
    buf_putc(out, '\n');
    json_free(list);
}

/* Equal files are worth a remark: one of them could go. */
static void remark(const struct found_list *l)
{
    uint64_t bytes = 0;
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (equal_model(l, i) && l->v[i].files == 1) {
            n++;
            bytes += l->v[i].size;
        }
    struct buf b = { 0 };
    put_bytes(bytes, &b);
    if (n && b.data) term_note("hearth: %zu of these are equal to another (%s); --json says which", n, b.data);
    buf_release(&b);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 0 }, &f, &p, &rc)) return rc;
    if (f.json && f.paths) return term_usage(self->name, "choose one of --json and --paths");
    struct store s;
    struct found_list l = { 0 };
    struct err e = { 0 };
    struct buf b = { 0 };
    rc = store_open(&s, &e);
    if (rc == 0) rc = store_find(&s, &l, &e);
    index_begin(rc == 0 ? store_index(&s) : NULL);
    if (rc == 0) rc = fill_digests(&s, &l, f.hash, &e);
    index_end(s.index);
    if (rc == 0 && f.json) put_array(&s, &l, &b);
    for (size_t i = 0; rc == 0 && f.paths && i < l.n; i++) buf_printf(&b, "%s\t%s\n", l.v[i].name, l.v[i].path);
    if (rc == 0 && !f.json && !f.paths && l.n) put_models(&s, &l, &b);
    if (rc == 0 && !f.json && !l.n) term_note("hearth: no models here yet; `hearth pull qwen3:0.6b` fetches one");
    if (rc == 0 && !f.json && term_err_tty()) remark(&l);
    found_release(&l);
    store_close(&s);
    if (rc == ERR_CANCELLED) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", e.msg);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_list = {
    .name = "list",
    .operands = "",
    .summary = "the models on this machine, whoever downloaded them",
    .about = "Shows Hearth's own models and those of Ollama, LM Studio, the Hugging Face cache, llama.cpp, Jan and the folders\n"
             "that `hearth folders` knows.  They are used where they lie; nothing is copied.  Any name of the first column can\n"
             "be given where a command wants a MODEL.\n",
    .example = "",
    .more = (const char *const[]){ "hearth list --json", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
