#include <string.h>

#include "app/command.h"
#include "app/corpus.h"
#include "app/model_name.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/cpu.h"
#include "base/os.h"
#include "engine/engine.h"
#include "engine/measure.h"
#include "quant/imatrix.h"

struct fields {
    const char *out, *cpu;
    uint32_t ctx, chunks, threads;
    bool parse, force;
};

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "out", NULL, 'o', OPT_STR, "FILE", NULL, "where the importance matrix goes (GGUF)", "model.imatrix.gguf", AT(out), 0, 0 },
    { "ctx", NULL, 'c', OPT_U32, "N", "512", "tokens of a chunk", NULL, AT(ctx), 8, 1 << 20 },
    { "chunks", NULL, 0, OPT_U32, "N", "all", "at most so many", NULL, AT(chunks), 1, 1 << 30 },
    { "parse-special", NULL, 0, OPT_FLAG, NULL, NULL, "text that spells a control token is that token", NULL, AT(parse), 0, 0 },
    { "threads", NULL, 't', OPT_U32, "N", "one per core", "threads; does not change the file", NULL, AT(threads), 1, 256 },
    { "cpu", NULL, 0, OPT_STR, "NAME", "the best", "instruction set: " CPU_NAMES, NULL, AT(cpu), 0, 0 },
    { "force", NULL, 'f', OPT_FLAG, NULL, NULL, "replace FILE when it exists", NULL, AT(force), 0, 0 },
};

static void see(void *arg, const struct weight *w, uint32_t part, const float *x)
{
    imatrix_collect_row(arg, w->name, (struct imatrix_shape){ w->ne[0], w->ne[2] }, part, x);
}

static bool show(void *arg, uint32_t done, uint32_t total, double perplexity)
{
    (void)perplexity;
    return progress_parts(arg, done, total, "chunks");
}

struct job {
    const struct fields *f;
    struct hearth_model *m;
    struct imatrix_collect *sums;
    struct observer observer;
    struct corpus corpus;
    struct progress progress;
    uint32_t chunks;
};

static int collect(struct job *j, const char *model, const char *text, struct err *err)
{
    struct hearth_model_options mo = { .threads = j->f->threads, .cpu = j->f->cpu };
    struct hearth_error e = { 0 };
    int rc = imatrix_collect_open(&j->sums, err);
    if (rc < 0) return rc;
    if ((rc = named_model_open(&j->m, model, &mo, &e)) < 0) return err_set(err, rc, "%s", e.message);
    if ((rc = corpus_read(&j->corpus, j->m, text, j->f->parse, err)) < 0) return rc;
    j->observer = (struct observer){ see, j->sums };
    engine_observe(j->m, &j->observer);
    struct measure_options o = { .n_ctx = j->f->ctx, .max_chunks = j->f->chunks, .bos = j->corpus.bos, .progress = show,
                                 .arg = &j->progress };
    rc = measure_observed(j->m, j->corpus.ids, j->corpus.n, &o, &j->chunks, &e);
    if (rc < 0) return err_set(err, rc, "%s: %s", text, e.message);
    struct imatrix_source from = { text, j->chunks, j->f->ctx };
    return imatrix_collect_save(j->sums, j->f->out, &from, err);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .ctx = 512 };
    struct parsed p;
    struct err err = { 0 };
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 2, 2 }, &f, &p, &rc)) return rc;
    if (!f.out) return term_usage(self->name, "imatrix needs --out FILE");
    if (os_file_same(f.out, p.operand[0])) return term_fail("%s: is the model that is read; give --out another name", f.out);
    if (!f.force && os_file_exists(f.out)) return term_fail("%s exists already; --force replaces it", f.out);
    struct job j = { .f = &f };
    rc = collect(&j, p.operand[0], p.operand[1], &err);
    term_progress_end();
    if (rc == 0)
        buf_printf(&b, "%s: %zu weights, %u chunks of %u tokens\n", f.out, imatrix_collect_n(j.sums), j.chunks, f.ctx);
    corpus_release(&j.corpus);
    hearth_model_close(j.m);
    imatrix_collect_close(j.sums);
    if (rc == ERR_CANCELLED) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", err.msg);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_imatrix = {
    .name = "imatrix",
    .operands = "MODEL TEXT",
    .summary = "find out what matters in a model, for hearth quantize",
    .about = "Evaluates TEXT (a file, or - for standard input; some hundred kilobytes of what the model will be used for) and\n"
             "adds up the squares of what every matrix is multiplied with, column by column, for each expert.  MODEL is the\n"
             "unquantised model, or a Q8_0 of it.  FILE can be used by other programs too.\n",
    .example = "model-F16.gguf calibration.txt",
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
