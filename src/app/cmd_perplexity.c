#include <string.h>

#include "app/adapters.h"
#include "app/command.h"
#include "app/corpus.h"
#include "app/model_name.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/cpu.h"
#include "base/json.h"
#include "engine/measure.h"

struct fields {
    const char *base, *cpu;
    uint32_t ctx, chunks, threads;
    int kv, kv_v;
    struct adapter_options adapters;
    struct hearth_rope_options rope;
    bool parse, json;
};

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "kl-base", NULL, 0, OPT_STR, "MODEL", NULL, "compare with this model: divergence, same most likely token", NULL,
      AT(base), 0, 0 },
    ADAPTER_ROWS(AT),
#include "app/rope.inc"
    { "ctx", NULL, 'c', OPT_U32, "N", "512", "tokens of a chunk; the second half of each is scored", "512", AT(ctx), 8, 1 << 20 },
    { "chunks", NULL, 0, OPT_U32, "N", "all", "at most so many", NULL, AT(chunks), 1, 1 << 30 },
    { "kv-type", "kv", 0, OPT_CHOICE, "auto|f16|f32|bf16|q8_0|q4_0", "f16", "how keys (and values) are kept", NULL,
      AT(kv), 0, 0 },
    { "kv-type-v", NULL, 0, OPT_CHOICE, "auto|f16|f32|bf16|q8_0|q4_0", "as the keys", "how values are kept", NULL,
      AT(kv_v), 0, 0 },
    { "parse-special", NULL, 0, OPT_FLAG, NULL, NULL, "text that spells a control token is that token", NULL, AT(parse), 0, 0 },
    { "threads", NULL, 't', OPT_U32, "N", "one per core", "threads; does not change the result", NULL, AT(threads), 1, 256 },
    { "cpu", NULL, 0, OPT_STR, "NAME", "the best", "instruction set: " CPU_NAMES, NULL, AT(cpu), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "the result as one JSON object", NULL, AT(json), 0, 0 },
};

static bool show(void *arg, uint32_t done, uint32_t total, double perplexity)
{
    char text[48];
    fmt_into(text, sizeof text, "perplexity %.4f", perplexity);
    return progress_parts(arg, done, total, text);
}

static void put_text(const struct measure *m, bool compared, uint32_t ctx, struct buf *b)
{
    buf_printf(b, "perplexity       %.4f +- %.4f\n", m->perplexity, m->perplexity_error);
    buf_printf(b, "scored           %llu tokens in %u chunks of %u\n", (unsigned long long)m->n, m->chunks, ctx);
    if (!compared) return;
    buf_printf(b, "of the base      %.4f\n", m->base_perplexity);
    buf_printf(b, "KL divergence    %.6f +- %.6f, at most %.4f\n", m->kl.mean, m->kl.error, m->kl_max);
    buf_printf(b, "same top token   %.3f %%\n", 100 * m->same_top);
}

static bool put_json(const struct measure *m, bool compared, uint32_t ctx, struct buf *b)
{
    const struct { const char *key; double v; } f[] = {
        { "perplexity", m->perplexity }, { "perplexity_error", m->perplexity_error }, { "mean_nll", m->nll.mean },
        { "base_perplexity", m->base_perplexity }, { "kl_mean", m->kl.mean }, { "kl_error", m->kl.error },
        { "kl_max", m->kl_max }, { "same_top", m->same_top },
    };
    struct json *j = json_new_object();
    bool ok = json_put(j, "tokens", json_new_int((int64_t)m->n));
    ok = json_put(j, "chunks", json_new_int(m->chunks)) && ok;
    ok = json_put(j, "ctx", json_new_int(ctx)) && ok;
    for (size_t i = 0; i < (compared ? sizeof f / sizeof *f : 3); i++) ok = json_put(j, f[i].key, json_new_real(f[i].v)) && ok;
    if (ok) json_write(j, false, b);
    buf_putc(b, '\n');
    json_free(j);
    return ok;
}

static int measure(const struct fields *f, const char *model, const char *text, struct buf *b, struct err *err)
{
    struct hearth_model_options mo = { .threads = f->threads, .cpu = f->cpu, .rope = f->rope };
    const struct hearth_model_options plain = { .threads = f->threads, .cpu = f->cpu };      /* --kl-base as it is */
    struct hearth_model *m = NULL, *base = NULL;
    struct hearth_error e = { 0 };
    struct corpus c = { 0 };
    struct progress p = { 0 };
    struct adapters adapters = { .n = 0 };
    struct measure r;
    int rc = named_model_open(&m, model, &mo, &e);
    if (rc == 0 && f->base) rc = named_model_open(&base, f->base, &plain, &e);
    if (rc < 0) err_set(err, rc, "%s", e.message);
    if (rc == 0) rc = adapters_open(&adapters, m, &f->adapters, err);
    if (rc == 0) rc = corpus_read(&c, m, text, f->parse, err);
    if (rc == 0) {
        struct measure_options o = { .n_ctx = f->ctx, .max_chunks = f->chunks, .kv_type = f->kv, .kv_type_v = f->kv_v,
                                     .bos = c.bos, .base = base, .progress = show, .arg = &p };
        rc = measure_text(m, c.ids, c.n, &o, &r, &e);
        if (rc < 0) err_set(err, rc, "%s: %s", text, e.message);
    }
    if (rc == 0 && !f->json) put_text(&r, base != NULL, f->ctx, b);
    if (rc == 0 && f->json && !put_json(&r, base != NULL, f->ctx, b)) b->bad = true;
    corpus_release(&c);
    adapters_close(&adapters);
    hearth_model_close(m);
    hearth_model_close(base);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .ctx = 512 };
    struct parsed p;
    struct err err = { 0 };
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 2, 2 }, &f, &p, &rc)) return rc;
    rc = measure(&f, p.operand[0], p.operand[1], &b, &err);
    term_progress_end();
    if (rc == 0) return term_put(&b) ? EXIT_OK : term_write_failed();
    buf_release(&b);
    return rc == ERR_CANCELLED ? 128 + signals_pending() : term_fail("%s", err.msg);
}

const struct command command_row_perplexity = {
    .name = "perplexity",
    .operands = "MODEL TEXT",
    .summary = "how well a model predicts a text, or how far it is from another",
    .about = "TEXT is a file (- for standard input), cut into chunks of --ctx tokens that are evaluated on their own;\n"
             "predictions from the middle of each chunk on are scored.  Lower is better; only the same text, --ctx and\n"
             "vocabulary compare.\n",
    .example = "model.gguf wiki.txt",
    .more = (const char *const[]){ "hearth perplexity model-Q4_K_M.gguf wiki.txt --kl-base model-F16.gguf --chunks 20", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
