#include <string.h>

#include "app/adapters.h"
#include "app/command.h"
#include "app/model_name.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/cpu.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"
#include "hearth.h"

enum { MAX_IDS_FILE = 64 << 20 };

struct fields {
    const char *tokens, *out, *cpu;
    uint32_t last, greedy, threads, batch, ctx;
    int kv, kv_v;
    struct adapter_options adapters;
    struct hearth_rope_options rope;
    bool hash;
};

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "tokens", "ids", 0, OPT_STR, "IDS", NULL, "the token ids, separated by spaces or commas; @FILE reads them from a file",
      "1 2 3", AT(tokens), 0, 0 },
    { "last", NULL, 0, OPT_U32, "N", "1", "how many of the last positions give a row", NULL, AT(last), 1, 1 << 20 },
    { "greedy", NULL, 0, OPT_U32, "N", "0", "then feed the most likely token N times, a row after each", "4", AT(greedy), 0,
      1 << 20 },
    { "out", NULL, 'o', OPT_STR, "FILE", NULL, "where the rows go, little-endian float32; - is standard output",
      "rows.f32", AT(out), 0, 0 },
    { "hash", NULL, 0, OPT_FLAG, NULL, NULL, "print a 64-bit FNV-1a hash of the rows", NULL, AT(hash), 0, 0 },
    ADAPTER_ROWS(AT),
#include "app/rope.inc"
    { "ctx", NULL, 'c', OPT_U32, "N", "as many as needed", "tokens that the context can hold", NULL, AT(ctx), 1, 1 << 24 },
    { "kv-type", "kv", 0, OPT_CHOICE, "auto|f16|f32|bf16|q8_0|q4_0", "f32", "how keys (and values) are kept", NULL,
      AT(kv), 0, 0 },
    { "kv-type-v", NULL, 0, OPT_CHOICE, "auto|f16|f32|bf16|q8_0|q4_0", "as the keys", "how values are kept", NULL,
      AT(kv_v), 0, 0 },
    { "batch", NULL, 'b', OPT_U32, "N", "512", "tokens evaluated at once; does not change the rows", NULL, AT(batch), 1, 512 },
    { "threads", NULL, 't', OPT_U32, "N", "one per core", "threads; does not change the rows", NULL, AT(threads), 1, 256 },
    { "cpu", NULL, 0, OPT_STR, "NAME", "the best", "instruction set: " CPU_NAMES, NULL, AT(cpu), 0, 0 },
};

/* ---- token ids ---- */

static bool is_gap(char c) { return c == ' ' || c == ',' || c == '\n' || c == '\t' || c == '\r' || c == '[' || c == ']'; }

static int parse_ids(const char *s, struct ids *out, struct err *err)
{
    for (;;) {
        while (is_gap(*s)) s++;
        if (!*s) return out->bad ? err_set(err, ERR_NOMEM, "out of memory for the token ids") : 0;
        int64_t v = 0;
        const char *start = s;
        for (; *s >= '0' && *s <= '9' && v <= INT32_MAX; s++) v = v * 10 + (*s - '0');
        if (s == start || v > INT32_MAX || (*s && !is_gap(*s)))
            return err_set(err, ERR_ARG, "--tokens: \"%.20s\" is no token id; give whole numbers with spaces between", start);
        ids_push(out, (int32_t)v);
    }
}

static int read_ids(const char *arg, struct ids *out, struct err *err)
{
    if (*arg != '@') return parse_ids(arg, out, err);
    char *text;
    size_t n;
    int rc = os_read_file(arg + 1, MAX_IDS_FILE, &text, &n, err);
    if (rc == 0) rc = parse_ids(text, out, err);
    mem_free(text);
    return rc;
}

/* ---- rows ---- */

struct job {
    const struct fields *f;
    const char *path;
    struct hearth_model *model;
    struct adapters adapters;
    struct hearth_session *session;
    struct os_writer *file;            /* NULL: standard output or nowhere */
    uint64_t hash;
    size_t n_vocab;
    struct ids ids, greedy;
};

static bool go_on(void *arg, size_t done, size_t total)
{
    (void)arg, (void)done, (void)total;
    return !signals_pending();
}

static int put_rows(struct job *j, const float *rows, size_t n, struct err *err)
{
    size_t bytes = n * j->n_vocab * sizeof *rows;
    j->hash = hash_add(j->hash, rows, bytes);
    if (j->file) return os_write(j->file, rows, bytes, err);
    if (j->f->out && !term_write((const char *)rows, bytes)) return err_set(err, ERR_IO, "cannot write the rows");
    return 0;
}

static int32_t largest(const float *z, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (z[i] > z[best] || (z[best] != z[best] && z[i] == z[i])) best = i;
    return (int32_t)best;
}

static int evaluate(struct job *j, struct err *err)
{
    struct hearth_error e;
    if (hearth_session_sync(j->session, j->ids.id, j->ids.n, &e) < 0) return err_set(err, e.code, "%s", e.message);
    size_t n;
    const float *rows = hearth_session_logits_rows(j->session, &n);
    int rc = put_rows(j, rows, n, err);
    for (uint32_t i = 0; rc == 0 && i < j->f->greedy; i++) {
        int32_t id = largest(hearth_session_logits(j->session), j->n_vocab);
        ids_push(&j->greedy, id);
        if (hearth_session_append(j->session, &id, 1, &e) < 0) return err_set(err, e.code, "%s", e.message);
        rc = put_rows(j, hearth_session_logits(j->session), 1, err);
    }
    return rc;
}

static int open_job(struct job *j, struct err *err)
{
    const struct fields *f = j->f;
    int rc = read_ids(f->tokens, &j->ids, err);
    if (rc < 0) return rc;
    if (!j->ids.n) return err_set(err, ERR_ARG, "--tokens is empty; at least one token is needed");
    struct hearth_error e;
    struct hearth_model_options mo = { .threads = f->threads, .cpu = f->cpu, .rope = f->rope };
    if (named_model_open(&j->model, j->path, &mo, &e) < 0) return err_set(err, e.code, "%s", e.message);
    if ((rc = adapters_open(&j->adapters, j->model, &f->adapters, err)) < 0) return rc;
    struct hearth_model_info info;
    hearth_model_info(j->model, &info);
    j->n_vocab = info.n_vocab;
    struct hearth_session_options so = { .n_ctx = f->ctx ? f->ctx : (uint32_t)(j->ids.n + f->greedy),
                                         .kv_type = f->kv ? f->kv : HEARTH_KV_F32, .kv_type_v = f->kv_v, .n_batch = f->batch,
                                         .n_logits = f->last, .no_cache = true, .progress = go_on };
    if (j->ids.n + f->greedy > so.n_ctx)
        return err_set(err, ERR_LIMIT, "%zu tokens and %u greedy ones do not fit into a context of %u; use --ctx %zu",
                       j->ids.n, f->greedy, so.n_ctx, j->ids.n + f->greedy);
    if (hearth_session_open(&j->session, j->model, &so, &e) < 0) return err_set(err, e.code, "%s", e.message);
    if (f->out && strcmp(f->out, "-")) return os_write_begin(&j->file, f->out, err);
    return 0;
}

static void close_job(struct job *j)
{
    os_write_abort(j->file);
    hearth_session_close(j->session);
    adapters_close(&j->adapters);
    hearth_model_close(j->model);
    ids_release(&j->ids);
    ids_release(&j->greedy);
}

/* The greedy ids and the hash: on standard output unless the rows are there. */
static bool report(const struct job *j)
{
    struct buf b = { 0 };
    for (size_t i = 0; i < j->greedy.n; i++) buf_printf(&b, "%s%d", i ? " " : "", j->greedy.id[i]);
    if (j->greedy.n) buf_putc(&b, '\n');
    if (j->f->hash) buf_printf(&b, "%016llx\n", (unsigned long long)j->hash);
    if (!j->f->out || strcmp(j->f->out, "-")) return term_put(&b);
    if (b.len) {
        b.data[--b.len] = 0;
        term_note("%s", b.data);
    }
    buf_release(&b);
    return true;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .last = 1 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, 1 }, &f, &p, &rc)) return rc;
    if (!f.tokens) return term_usage(self->name, "logits needs --tokens");
    if (!f.out && !f.hash && !f.greedy) return term_usage(self->name, "logits needs --out, --hash or --greedy");
    struct job j = { .f = &f, .path = p.operand[0], .hash = HASH_START };
    struct err e = { 0 };
    rc = open_job(&j, &e);
    if (rc == 0) rc = evaluate(&j, &e);
    if (rc == 0 && j.file) {
        rc = os_write_commit(j.file, &e);
        j.file = NULL;
    }
    int code = EXIT_OK;
    if (rc == ERR_CANCELLED)
        code = 128 + signals_pending();
    else if (rc < 0)
        code = term_closed() ? term_write_failed() : term_fail("%s", e.msg);
    else if (!report(&j))
        code = term_write_failed();
    close_job(&j);
    return code;
}

const struct command command_row_logits = {
    .name = "logits",
    .operands = "MODEL",
    .summary = "write what a model computes, for comparing engines",
    .about = "Evaluates token ids with a float32 KV cache and writes rows of logits.  The greedy ids (the largest logit, the\n"
             "smaller id when equal) are printed on one line.\n",
    .example = "model.gguf",
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
