#include <string.h>

#include "app/command.h"
#include "app/model_name.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/os.h"
#include "quant/convert.h"

struct fields {
    const char *type, *output_type, *embedding_type, *imatrix;
    struct opt_strs tensor;
    uint32_t threads;
    bool dry_run, list, pure, keep_output, allow, force, recipes;
};

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "type", NULL, 0, OPT_STR, "TYPE", NULL, "the mixture or type; --list shows them", "Q4_K_M", AT(type), 0, 0 },
    { "imatrix", NULL, 'i', OPT_STR, "FILE", NULL, "what matters in each matrix (see hearth imatrix)", NULL, AT(imatrix), 0, 0 },
    { "tensor", NULL, 0, OPT_STRS, "NAME=TYPE", NULL, "another type for these tensors; * and ? stand for any; may be repeated",
      NULL, AT(tensor), 0, 0 },
    { "output-type", "output-tensor-type", 0, OPT_STR, "TYPE", NULL, "the type of the output matrix", NULL, AT(output_type),
      0, 0 },
    { "embedding-type", "token-embedding-type", 0, OPT_STR, "TYPE", NULL, "the type of the token embedding", NULL,
      AT(embedding_type), 0, 0 },
    { "keep-output", "leave-output-tensor", 0, OPT_FLAG, NULL, NULL, "leave the output matrix as it is", NULL,
      AT(keep_output), 0, 0 },
    { "pure", NULL, 0, OPT_FLAG, NULL, NULL, "one type for every matrix", NULL, AT(pure), 0, 0 },
    { "allow-requantize", NULL, 0, OPT_FLAG, NULL, NULL, "make it of a model that is quantised already", NULL, AT(allow), 0, 0 },
    { "threads", NULL, 't', OPT_U32, "N", "one per core", "threads; does not change the file", NULL, AT(threads), 1, 256 },
    { "dry-run", NULL, 'n', OPT_FLAG, NULL, NULL, "only say what would be made, and its size", NULL, AT(dry_run), 0, 0 },
    { "tensors", NULL, 0, OPT_FLAG, NULL, NULL, "say what every tensor becomes", NULL, AT(list), 0, 0 },
    { "force", NULL, 'f', OPT_FLAG, NULL, NULL, "replace OUT.gguf when it exists", NULL, AT(force), 0, 0 },
    { "list", NULL, 0, OPT_FLAG, NULL, NULL, "print the mixtures and types", NULL, AT(recipes), 0, 0 },
};

static int list_recipes(void)
{
    struct buf b = { 0 };
    buf_puts(&b, "TYPE       most matrices are   bits per value there\n");
    for (unsigned i = 0; i < N_RECIPE; i++) {
        const struct recipe *r = recipe_at((enum recipe_id)i);
        const struct dtype_info *d = dtype_info(r->type);
        buf_printf(&b, "%-10s %-19s %.4g\n", r->name, d->name, 8.0 * d->block_bytes / d->block_values);
    }
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

/* ---- options ---- */

struct job {
    const struct fields *f;
    struct convert_options o;
    struct convert_override override[OPT_MAX_STRS];
    char pattern[OPT_MAX_STRS][128];
    struct imatrix *imatrix;
    struct gguf *g;
    struct convert *c;
    struct progress progress;
};

static int read_type(const char *option, const char *word, int *out, struct err *err)
{
    enum dtype t;
    *out = -1;
    if (!word) return 0;
    if (!dtype_from_name(word, &t)) return err_set(err, ERR_ARG, "%s: there is no tensor type \"%.20s\"", option, word);
    *out = (int)t;
    return 0;
}

static int read_overrides(struct job *j, struct err *err)
{
    for (size_t i = 0; i < j->f->tensor.n; i++) {
        const char *s = j->f->tensor.s[i], *equals = strrchr(s, '=');
        size_t n = equals ? (size_t)(equals - s) : 0;
        int type, rc;
        if (!n || n >= sizeof *j->pattern)
            return err_set(err, ERR_ARG, "--tensor needs NAME=TYPE, as 'blk.*.ffn_down=Q6_K', not \"%.60s\"", s);
        memcpy(j->pattern[i], s, n);
        if ((rc = read_type("--tensor", equals + 1, &type, err)) < 0) return rc;
        j->override[i] = (struct convert_override){ j->pattern[i], (enum dtype)type };
    }
    j->o.override = j->override;
    j->o.n_override = j->f->tensor.n;
    return 0;
}

static int read_options(struct job *j, struct err *err)
{
    const struct fields *f = j->f;
    int rc = recipe_find(&j->o.recipe, f->type, err);
    if (rc == 0) rc = read_type("--output-type", f->output_type, &j->o.output_type, err);
    if (rc == 0) rc = read_type("--embedding-type", f->embedding_type, &j->o.embedding_type, err);
    j->o.pure = f->pure;
    j->o.keep_output = f->keep_output;
    j->o.requantise = f->allow;
    j->o.threads = f->threads;
    j->o.progress = progress_bytes;
    j->o.arg = &j->progress;
    return rc < 0 ? rc : read_overrides(j, err);
}

/* ---- what it becomes ---- */

static void put_tensors(const struct convert *c, struct buf *b)
{
    for (size_t i = 0; i < convert_n(c); i++) {
        const struct convert_tensor *t = convert_at(c, i);
        buf_printf(b, "%-8s %-8s %12llu %12llu  ", dtype_info(t->from->type)->name,
                   t->kept ? "as it is" : dtype_info(t->type)->name, (unsigned long long)t->from->bytes,
                   (unsigned long long)t->bytes);
        term_clean(t->from->name, strlen(t->from->name), b);
        buf_puts(b, t->weighted ? "  (imatrix)\n" : "\n");
    }
}

static void put_summary(const struct job *j, const char *path, struct buf *b)
{
    uint64_t tensors[N_DTYPE] = { 0 }, bytes[N_DTYPE] = { 0 }, all = 0, old = gguf_file_bytes(j->g), now = convert_bytes(j->c);
    unsigned fallback = 0, bare = 0;
    for (size_t i = 0; i < convert_n(j->c); i++) {
        const struct convert_tensor *t = convert_at(j->c, i);
        tensors[t->type]++;
        bytes[t->type] += t->bytes;
        all += t->bytes;
        fallback += t->fallback;
        bare += !t->kept && !t->weighted && dtype_info(t->type)->family != DTF_FLOAT;
    }
    for (unsigned i = 0; i < N_DTYPE; i++)
        if (tensors[i])
            buf_printf(b, "%-8s %5llu tensors %10.3f MB\n", dtype_info((enum dtype)i)->name, (unsigned long long)tensors[i],
                       (double)bytes[i] / 1e6);
    if (fallback)
        buf_printf(b, "%u tensors have rows that are no whole number of blocks; they got a type with smaller ones\n", fallback);
    if (j->imatrix && bare) buf_printf(b, "%u tensors are not in the importance matrix\n", bare);
    term_clean(path, strlen(path), b);
    bool small = old < 1000000000;
    buf_printf(b, ": %s, %llu bytes (%.3f %s; it was %.3f), %.3f bits per value\n", recipe_at(j->o.recipe)->name,
               (unsigned long long)now, (double)now / (small ? 1e6 : 1e9), small ? "MB" : "GB", (double)old / (small ? 1e6 : 1e9),
               convert_values(j->c) ? 8 * (double)all / (double)convert_values(j->c) : 0.0);
}

static int make(struct job *j, const char *in, const char *out, struct buf *b, struct err *err)
{
    const struct fields *f = j->f;
    int rc = named_gguf_open(&j->g, in, err);
    if (rc == 0 && f->imatrix) rc = imatrix_open(&j->imatrix, f->imatrix, err);
    if (rc < 0) return rc;
    j->o.imatrix = j->imatrix;
    j->o.imatrix_path = f->imatrix;
    if ((rc = convert_plan(&j->c, j->g, &j->o, err)) < 0) return rc;
    if (f->list) put_tensors(j->c, b);
    put_summary(j, out ? out : in, b);
    if (f->dry_run) return 0;
    if (!f->force && os_file_exists(out) && !os_file_same(in, out))
        return err_set(err, ERR_ARG, "%s exists already; --force replaces it", out);
    return convert_save(j->c, out, err);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct err err = { 0 };
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 2 }, &f, &p, &rc)) return rc;
    if (f.recipes) return p.n_operands ? term_usage(self->name, "--list needs nothing else") : list_recipes();
    if (p.n_operands < 2 && !(f.dry_run && p.n_operands)) return term_usage(self->name, "quantize needs %s", self->operands);
    if (!f.type) return term_usage(self->name, "quantize needs --type, as Q4_K_M; --list shows all");
    struct job j = { .f = &f };
    if (read_options(&j, &err) < 0) return term_usage(self->name, "%s", err.msg);
    rc = make(&j, p.operand[0], p.n_operands > 1 ? p.operand[1] : NULL, &b, &err);
    term_progress_end();
    convert_close(j.c);
    imatrix_close(j.imatrix);
    gguf_close(j.g);
    int code = rc == ERR_CANCELLED ? 128 + signals_pending() : rc < 0 ? term_fail("%s", err.msg) : EXIT_OK;
    if (rc < 0) buf_release(&b);
    else if (!term_put(&b)) code = term_write_failed();
    return code;
}

const struct command command_row_quantize = {
    .name = "quantize",
    .operands = "IN.gguf OUT.gguf",
    .summary = "make a smaller model file out of a larger one",
    .about = "IN.gguf is an F32, F16 or BF16 model (or the first part of a split one).  OUT.gguf appears when it is complete.\n"
             "TYPE is a mixture such as Q4_K_M (small and good), Q6_K or Q8_0 (nearly lossless), IQ3_XXS or IQ2_XS (very small;\n"
             "these need --imatrix).  The same input gives the same bytes on every machine, whatever --threads is.\n",
    .example = "model-F16.gguf model-Q4_K_M.gguf",
    .more = (const char *const[]){ "hearth quantize model-F16.gguf --type IQ4_XS --dry-run",
                                   "hearth quantize in.gguf out.gguf --type Q4_K_M --tensor 'blk.*.ffn_down=Q6_K'",
                                   "hearth quantize in.gguf out.gguf --type IQ2_XS --imatrix in.imatrix.gguf", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
