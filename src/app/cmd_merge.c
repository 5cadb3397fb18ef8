#include "app/command.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/os.h"
#include "format/gguf_split.h"

struct fields { bool force; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "force", NULL, 'f', OPT_FLAG, NULL, NULL, "replace OUT.gguf when it exists", NULL, AT(force), 0, 0 },
};

static int merge(const struct fields *f, const char *in, const char *out, struct buf *b, struct err *err)
{
    struct progress progress = { 0 };
    struct gguf_split_options o = { .progress = progress_bytes, .arg = &progress };
    struct gguf *g;
    int rc = gguf_open(&g, in, err);
    if (rc < 0) return rc;
    if (gguf_n_files(g) < 2) rc = err_set(err, ERR_ARG, "%s: is one file already", in);
    else if (!f->force && os_file_exists(out)) rc = err_set(err, ERR_ARG, "%s exists already; --force replaces it", out);
    else rc = gguf_merge(g, out, &o, err);
    if (rc == 0) buf_printf(b, "%s: %zu tensors of %u files\n", out, gguf_n_tensors(g), gguf_n_files(g));
    gguf_close(g);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct err err = { 0 };
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 2, 2 }, &f, &p, &rc)) return rc;
    rc = merge(&f, p.operand[0], p.operand[1], &b, &err);
    term_progress_end();
    if (rc == 0) return term_put(&b) ? EXIT_OK : term_write_failed();
    buf_release(&b);
    return rc == ERR_CANCELLED ? 128 + signals_pending() : term_fail("%s", err.msg);
}

const struct command command_row_merge = {
    .name = "merge",
    .operands = "FIRST.gguf OUT.gguf",
    .summary = "make one model file of several",
    .about = "FIRST.gguf is NAME-00001-of-0000N.gguf; the others are found beside it.\n",
    .example = "model-00001-of-00003.gguf model.gguf",
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
