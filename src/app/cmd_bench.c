#include <string.h>

#include "app/bench.h"
#include "app/command.h"
#include "app/model_name.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/cpu.h"
#include "base/os.h"

struct fields {
    const char *prefill, *decode, *depth, *batch, *parallel, *threads, *kv, *cpu;
    uint32_t repeat;
    uint64_t seed;
    int format;
    struct adapter_options adapters;
    struct hearth_rope_options rope;
    bool json;
};

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "prefill", "prompt", 'p', OPT_STR, "N,...", "512", "lengths of prompts to read; 0: none", "512,2048", AT(prefill), 0, 0 },
    { "decode", "gen", 'n', OPT_STR, "N,...", "64", "tokens to write, one after the other; 0: none", NULL, AT(decode), 0, 0 },
    { "depth", NULL, 'd', OPT_STR, "N,...", "0", "tokens that are in the context before", "0,4096", AT(depth), 0, 0 },
    { "batch", NULL, 'b', OPT_STR, "N,...", "1", "sequences that are decoded together", NULL, AT(batch), 0, 0 },
    { "parallel", NULL, 0, OPT_STR, "N,...", NULL, "requests that are answered at once, by the engine that serves many", "1,8",
      AT(parallel), 0, 0 },
    { "threads", NULL, 't', OPT_STR, "N,...", "one per core", "threads to compute with", NULL, AT(threads), 0, 0 },
    { "kv-type", "kv", 0, OPT_STR, "T,...", "f16", "how keys and values are kept: f16, f32, bf16, q8_0, q4_0, or q8_0/q4_0",
      NULL, AT(kv), 0, 0 },
    ADAPTER_ROWS(AT),
#include "app/rope.inc"
    { "repeat", NULL, 'r', OPT_U32, "N", "5", "how often each test is measured", NULL, AT(repeat), 1, BENCH_MAX_REPEAT },
    { "format", NULL, 0, OPT_CHOICE, "table|json|csv|markdown", "table", "how the results are printed", NULL, AT(format), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "the same as --format json", NULL, AT(json), 0, 0 },
    { "seed", NULL, 's', OPT_U64, "N", "1", "of the random tokens", NULL, AT(seed), 0, 9223372036854774784.0 },
    { "cpu", NULL, 0, OPT_STR, "NAME", "the best", "instruction set: " CPU_NAMES, NULL, AT(cpu), 0, 0 },
};

/* ---- lists ---- */

struct bounds { const char *option; uint32_t min, max; };

static int add(struct bench_list *l, uint32_t v, const char *option, struct err *err)
{
    if (l->n == BENCH_MAX_LIST) return err_set(err, ERR_ARG, "%s: at most %d values", option, BENCH_MAX_LIST);
    l->v[l->n++] = v;
    return 0;
}

static int read_numbers(struct bench_list *l, const char *text, struct bounds b, struct err *err)
{
    for (const char *s = text;; s++) {
        uint64_t v = 0;
        const char *start = s;
        for (; *s >= '0' && *s <= '9' && v <= UINT32_MAX; s++) v = v * 10 + (uint64_t)(*s - '0');
        if (s == start || (*s && *s != ',') || v < b.min || v > b.max)
            return err_set(err, ERR_ARG, "%s needs whole numbers from %u to %u with commas between, not \"%.40s\"", b.option,
                           b.min, b.max, text);
        int rc = add(l, (uint32_t)v, b.option, err);
        if (rc < 0 || !*s) return rc;
    }
}

/* The type that *s begins with; moves behind it.  0: none. */
static int kv_word(const char **s)
{
    for (int t = HEARTH_KV_F16; t <= HEARTH_KV_Q4_0; t++) {
        size_t n = strlen(bench_kv_name[t]);
        if (strncmp(*s, bench_kv_name[t], n) || ((*s)[n] && (*s)[n] != ',' && (*s)[n] != '/')) continue;
        *s += n;
        return t;
    }
    return 0;
}

static int read_kv(struct bench_list *l, const char *text, struct err *err)
{
    for (const char *s = text;; s++) {
        int k = kv_word(&s), v = k;
        if (k && *s == '/') {
            s++;
            v = kv_word(&s);
        }
        if (!k || !v || *s == '/')
            return err_set(err, ERR_ARG, "--kv-type needs f16, f32, bf16, q8_0, q4_0, or types of keys and values as q8_0/q4_0, "
                           "with commas between, not \"%.40s\"", text);
        int rc = add(l, (uint32_t)(k | v << 8), "--kv-type", err);
        if (rc < 0 || !*s) return rc;
    }
}

static int read_plan(struct bench_plan *p, const struct fields *f, struct err *err)
{
    enum { MOST = 1 << 24 };
    int rc = read_numbers(&p->prefill, f->prefill, (struct bounds){ "--prefill", 0, MOST }, err);
    if (rc == 0) rc = read_numbers(&p->decode, f->decode, (struct bounds){ "--decode", 0, MOST }, err);
    if (rc == 0) rc = read_numbers(&p->depth, f->depth, (struct bounds){ "--depth", 0, MOST }, err);
    if (rc == 0) rc = read_numbers(&p->batch, f->batch, (struct bounds){ "--batch", 1, 512 }, err);
    if (rc == 0 && f->parallel) rc = read_numbers(&p->parallel, f->parallel, (struct bounds){ "--parallel", 1, 256 }, err);
    if (rc == 0) rc = read_kv(&p->kv, f->kv, err);
    if (rc == 0 && f->threads) rc = read_numbers(&p->threads, f->threads, (struct bounds){ "--threads", 1, 256 }, err);
    if (rc == 0 && !f->threads) rc = add(&p->threads, 0, "--threads", err);
    p->repeat = f->repeat;
    p->seed = f->seed;
    p->cpu = f->cpu;
    p->adapters = f->adapters;
    p->rope = f->rope;
    return rc;
}

/* ---- */

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .prefill = "512", .decode = "64", .depth = "0", .batch = "1", .kv = "f16", .repeat = 5, .seed = 1 };
    struct parsed p;
    struct bench b = { 0 };
    struct err err = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 1 }, &f, &p, &rc)) return rc;
    if (f.json && f.format != BENCH_TABLE && f.format != BENCH_JSON)
        return term_usage(self->name, "--json and --format: choose one");
    if (read_plan(&b.plan, &f, &err) < 0) return term_usage(self->name, "%s", err.msg);
    const char *path = p.n_operands ? p.operand[0] : NULL;
    b.plan.path = path && model_is_embedded(path) ? NULL : path;
    rc = bench_run(&b, &err);
    int code = EXIT_OK;
    if (rc < 0 && rc != ERR_CANCELLED) code = term_fail("%s", err.msg);
    else if (rc == ERR_CANCELLED) code = 128 + signals_pending();
    if (b.model && (rc == 0 || b.n_results)) {                 /* what was measured before something stopped it */
        struct buf out = { 0 };
        bench_print(&b, f.json ? BENCH_JSON : (enum bench_format)f.format, &out);
        if (!term_put(&out)) code = term_write_failed();
    }
    bench_release(&b);
    return code;
}

const struct command command_row_bench = {
    .name = "bench",
    .operands = "[MODEL]",
    .summary = "measure how fast a model is, and how near to the machine's limits",
    .about = "Reads prompts of random tokens and writes random tokens.  Each figure is also given in percent of what this\n"
             "machine could do at best: the time to read the weights and the cache from memory, or to do the multiplications,\n"
             "at rates that are measured between the tests.  Without MODEL, the tiny model inside this program is measured.\n"
             "Ctrl-C ends it and prints what was measured.\n",
    .example = "model.gguf",
    .more = (const char *const[]){ "hearth bench model.gguf", "hearth bench model.gguf -p 0 -n 32 --batch 1,4,8 -t 1,2",
                                   "hearth bench model.gguf --json > result.json", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
