#include <string.h>

#include "app/command.h"
#include "app/listing.h"
#include "app/term.h"
#include "store/store.h"

struct fields { bool keep, json; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "keep-files", NULL, 0, OPT_FLAG, NULL, NULL, "only forget the name; the files stay in the store", NULL, AT(keep), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "one JSON object a line for each", NULL, AT(json), 0, 0 },
};

static int remove_model(const struct fields *f, struct store *s, const char *operand, struct buf *out, struct err *err)
{
    struct found_list l;
    struct removal r = { .keep = f->keep };
    char path[STORE_PATH];
    size_t at;
    int rc = store_lookup(s, operand, &l, &at, path, err);
    if (rc < 0 && at != SIZE_MAX) rc = 0;                        /* what is incomplete can go */
    if (rc == 0 && at == SIZE_MAX) rc = err_set(err, ERR_ARG, "%s: is a file of yours, which hearth rm leaves alone", operand);
    if (rc == 0) rc = store_remove(s, &l, at, &r, err);
    if (rc == 0 && f->json) {
        buf_puts(out, "{\"status\":\"removed\",\"name\":");
        json_write_str(l.v[at].name, strlen(l.v[at].name), out);
        buf_printf(out, ",\"freed\":%llu,\"deferred\":%s}\n", (unsigned long long)r.freed, r.deferred ? "true" : "false");
    } else if (rc == 0) {
        buf_printf(out, "%s: removed, ", l.v[at].name);
        put_bytes(r.freed, out);
        buf_puts(out, " freed\n");
        if (r.deferred) term_note("hearth: a model is being added at this moment: the files stay until `hearth gc --remove`");
    }
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
