#include <string.h>

#include "app/command.h"
#include "app/model_name.h"
#include "app/signals.h"
#include "app/term.h"
#include "app/texts.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "hearth.h"

/* Lines of standard input that are taken together. */
enum { GROUP = 64 };

struct fields {
    int pooling;                   /* 0: auto, else HEARTH_POOL_... + 1 */
    uint32_t dims, threads;
    const char *prefix, *cpu;
    bool raw, truncate, json, jsonl;
};

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "pooling", NULL, 0, OPT_CHOICE, "auto|none|mean|cls|last|rank", "auto",
      "how tokens become one vector: as the file says; none: a vector each; rank: its classifier", NULL, AT(pooling), 0, 0 },
    { "prefix", NULL, 0, OPT_STR, "TEXT", NULL, "put before every text, as many models want it", "query: ", AT(prefix), 0, 0 },
    { "dims", NULL, 0, OPT_U32, "N", "all", "only the first N numbers, for models that were trained for it", NULL, AT(dims), 1,
      1 << 20 },
    { "raw", NULL, 0, OPT_FLAG, NULL, NULL, "as computed, not divided to length 1", NULL, AT(raw), 0, 0 },
    { "truncate", NULL, 0, OPT_FLAG, NULL, NULL, "cut texts that are too long for the model instead of failing", NULL,
      AT(truncate), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "write a JSON object for each text", "", AT(json), 0, 0 },
    { "jsonl", NULL, 0, OPT_FLAG, NULL, NULL, "lines of standard input are JSON strings", NULL, AT(jsonl), 0, 0 },
    { "threads", NULL, 't', OPT_U32, "N", "one per core", "threads; does not change the numbers", NULL, AT(threads), 1, 256 },
    { "cpu", NULL, 0, OPT_STR, "NAME", "the best", "instruction set: " CPU_NAMES, NULL, AT(cpu), 0, 0 },
};

struct job {
    const struct fields *f;
    struct hearth_model *model;
    struct hearth_embed_options o;
    size_t width, limit, index;
};

/* The texts of one call. */
struct group {
    struct hearth_embed_item *item;
    int32_t **ids;
    float *out;
    size_t n;
};

static bool go_on(void *arg, size_t done, size_t total)
{
    (void)arg, (void)done, (void)total;
    return !signals_pending();
}

static size_t rows_of(const struct job *j, size_t tokens)
{
    if (j->o.pooling != HEARTH_POOL_NONE) return 1;
    return tokens < j->limit ? tokens : j->limit;
}

static int tokenise(const struct job *j, struct group *g, const struct texts *t, struct err *err)
{
    struct hearth_error e;
    size_t rows = 0;
    for (; g->n < t->n; g->n++) {
        struct buf b = { 0 };
        if (j->f->prefix) buf_puts(&b, j->f->prefix);
        buf_puts(&b, t->text[g->n]);
        int rc = b.bad ? err_set(err, ERR_NOMEM, "out of memory for the texts") : 0;
        if (rc == 0 && hearth_tokenize(j->model, b.data ? b.data : "", b.len, HEARTH_TOKENIZE_SPECIAL, &g->ids[g->n],
                                       &g->item[g->n].n, &e) < 0)
            rc = err_set(err, e.code, "%s", e.message);
        buf_release(&b);
        if (rc < 0) return rc;
        g->item[g->n].ids = g->ids[g->n];
        rows += rows_of(j, g->item[g->n].n);
    }
    g->out = mem_new(rows, j->width * sizeof *g->out + 1);       /* a width of 0: hearth_embed will say why */
    if (!g->out && rows) return err_set(err, ERR_NOMEM, "out of memory for %zu vectors of %zu numbers", rows, j->width);
    float *at = g->out;
    for (size_t i = 0; i < g->n; i++) {
        g->item[i].out = at;
        at += rows_of(j, g->item[i].n) * j->width;
    }
    return 0;
}

static void put_vector(const struct job *j, const float *x, const char *between, struct buf *out)
{
    for (size_t i = 0; i < j->width; i++) buf_printf(out, "%s%.9g", i ? between : "", (double)x[i]);
}

static void put_text(const struct job *j, const struct hearth_embed_item *it, size_t index, struct buf *out)
{
    size_t rows = rows_of(j, it->n);
    bool list = j->o.pooling == HEARTH_POOL_NONE;
    if (!j->f->json) {
        for (size_t k = 0; k < rows; k++) {
            put_vector(j, it->out + k * j->width, " ", out);
            buf_putc(out, '\n');
        }
        return;
    }
    buf_printf(out, "{\"index\":%zu,\"tokens\":%zu,\"embedding\":%s", index, it->n < j->limit ? it->n : j->limit,
               list ? "[" : "");
    for (size_t k = 0; k < rows; k++) {
        buf_puts(out, k ? ",[" : "[");
        put_vector(j, it->out + k * j->width, ",", out);
        buf_putc(out, ']');
    }
    buf_puts(out, list ? "]}\n" : "}\n");
}

static int embed(struct job *j, const struct texts *t, struct err *err)
{
    struct hearth_error e;
    struct group g = { .item = mem_new_array(struct hearth_embed_item, t->n), .ids = mem_new_array(int32_t *, t->n) };
    int rc = g.item && g.ids ? tokenise(j, &g, t, err) : err_set(err, ERR_NOMEM, "out of memory for the texts");
    if (rc == 0 && hearth_embed(j->model, g.item, g.n, &j->o, &e) < 0) rc = err_set(err, e.code, "%s", e.message);
    struct buf b = { 0 };
    for (size_t i = 0; rc == 0 && i < g.n; i++) put_text(j, &g.item[i], j->index++, &b);
    if (rc == 0 && !term_put(&b)) rc = err_set(err, ERR_IO, "cannot write the vectors");
    buf_release(&b);
    for (size_t i = 0; g.ids && i < t->n; i++) hearth_free(g.ids[i]);
    mem_free(g.ids);
    mem_free(g.item);
    mem_free(g.out);
    return rc;
}

static int open_job(struct job *j, const char *path, struct err *err)
{
    struct hearth_error e;
    struct hearth_model_options mo = { .threads = j->f->threads, .cpu = j->f->cpu };
    if (named_model_open(&j->model, path, &mo, &e) < 0) return err_set(err, e.code, "%s", e.message);
    struct hearth_model_info info;
    hearth_model_info(j->model, &info);
    hearth_embed_defaults(&j->o);
    j->o.pooling = j->f->pooling - 1 == HEARTH_POOL_AUTO && info.pooling == HEARTH_POOL_NONE ? HEARTH_POOL_NONE
                                                                                             : j->f->pooling - 1;
    j->o.normalise = !j->f->raw;
    j->o.truncate = j->f->truncate;
    j->o.n_dims = j->f->dims;
    j->o.progress = go_on;
    j->limit = info.n_embed_tokens;
    j->width = hearth_embed_width(j->model, &j->o);
    return 0;
}

static int work(struct job *j, const struct parsed *p, struct err *err)
{
    struct texts t = { .json = j->f->jsonl };
    int rc = open_job(j, p->operand[0], err);
    if (p->n_operands > 1) {
        for (size_t i = 1; rc == 0 && i < p->n_operands; i++) rc = texts_add(&t, p->operand[i], strlen(p->operand[i]), err);
        if (rc == 0) rc = embed(j, &t, err);
    }
    while (rc == 0 && p->n_operands == 1 && !t.end) {
        texts_clear(&t);
        rc = texts_read(&t, GROUP, err);
        if (rc == 0 && t.n) rc = embed(j, &t, err);
    }
    texts_release(&t);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, OPT_MAX_OPERANDS }, &f, &p, &rc)) return rc;
    if (f.jsonl && p.n_operands > 1) return term_usage(self->name, "--jsonl reads standard input and takes no text");
    struct job j = { .f = &f };
    struct err e = { 0 };
    rc = work(&j, &p, &e);
    int code = EXIT_OK;
    if (rc == ERR_CANCELLED)
        code = 128 + signals_pending();
    else if (rc < 0)
        code = term_closed() ? term_write_failed() : term_fail("%s", e.msg);
    hearth_model_close(j.model);
    return code;
}

const struct command command_row_embed = {
    .name = "embed",
    .operands = "MODEL [TEXT ...]",
    .summary = "turn texts into vectors",
    .about = "Writes one line for each text: its vector as numbers with spaces between, or with --json as an object.  Without\n"
             "TEXT each line of standard input is a text.  Vectors have length 1, so that their product is the cosine.\n",
    .example = "model.gguf 'What is a hearth?'",
    .more = (const char *const[]){ "hearth embed model.gguf --prefix 'passage: ' < lines.txt > vectors.txt",
                                   "echo '\"one string\\na line\"' | hearth embed model.gguf --jsonl --json", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
