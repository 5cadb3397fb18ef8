#include <string.h>

#include "app/command.h"
#include "app/fit.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/mem.h"

struct fields { struct fit_options o; bool json, explain, machines; };

#define AT(field) offsetof(struct fields, field)
#define KV "auto|f16|f32|bf16|q8_0|q4_0"
static const struct opt row[] = {
    { "context", "ctx", 'c', OPT_U32, "N", "the model's, at most 4096", "tokens of a text", "32768", AT(o.context), 1, 1 << 28 },
    { "kv-type", "kv", 0, OPT_CHOICE, KV, "f16", "how keys (and values) are kept", NULL, AT(o.kv_type), 0, 0 },
    { "kv-type-v", NULL, 0, OPT_CHOICE, KV, "as the keys", "how values are kept", NULL, AT(o.kv_type_v), 0, 0 },
    { "parallel", NULL, 0, OPT_U32, "N", "1", "texts at once, each of that many tokens", NULL, AT(o.parallel), 1, 256 },
    { "prompt", "prefill", 'p', OPT_U32, "N", "512", "tokens of the prompt whose answer is waited for", NULL,
      AT(o.prompt), 1, 1 << 20 },
    { "machine", "on", 'm', OPT_STR, "TEXT", "this one, measured", "another: \"M3 Ultra 512GB\", \"RTX 4090 + 64GB\"", NULL,
      AT(o.machine), 0, 0 },
    { "machines", NULL, 0, OPT_FLAG, NULL, NULL, "print the chips that are known", NULL, AT(machines), 0, 0 },
    { "threads", NULL, 't', OPT_U32, "N", "one per core", "threads to measure this machine with", NULL, AT(o.threads), 1, 256 },
    { "bandwidth", NULL, 0, OPT_F32, "GB/S", "measured", "how fast this machine reads its memory", NULL,
      AT(o.bandwidth), 0.1, 1e5 },
    { "ops", NULL, 0, OPT_F32, "GOP/S", "measured", "how many operations with 8-bit integers it does", NULL, AT(o.ops), 1, 1e7 },
    { "explain", NULL, 0, OPT_FLAG, NULL, NULL, "say how the figures come about", NULL, AT(explain), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print one JSON object", NULL, AT(json), 0, 0 },
    { "offline", NULL, 0, OPT_FLAG, NULL, NULL, "ask nobody: only models that are here", NULL, AT(o.offline), 0, 0 },
    { "registry", NULL, 0, OPT_STR, "URL", "HEARTH_REGISTRY", "server in the place of https://registry.ollama.ai", NULL,
      AT(o.registry), 0, 0 },
    { "hub", NULL, 0, OPT_STR, "URL", "HF_ENDPOINT", "server in the place of https://huggingface.co", NULL, AT(o.hub), 0, 0 },
    { "price", NULL, 0, OPT_F32, "X", "0", "of the machine, in your money", NULL, AT(o.price), 0, 1e9 },
    { "watts", NULL, 0, OPT_F32, "X", "the chip's, else 100", "that the machine takes while it computes", NULL,
      AT(o.watts), 0, 1e6 },
    { "kwh", NULL, 0, OPT_F32, "X", "0.30", "price of a kilowatt-hour", NULL, AT(o.kwh), 0, 1e3 },
    { "tokens-day", NULL, 0, OPT_F32, "N", "0", "tokens that are written in a day", NULL, AT(o.tokens_day), 0, 1e12 },
    { "prompt-day", NULL, 0, OPT_F32, "N", "0", "tokens that are read in a day", NULL, AT(o.prompt_day), 0, 1e12 },
    { "month", NULL, 0, OPT_F32, "X", "0", "what is paid otherwise: each month", NULL, AT(o.month), 0, 1e9 },
    { "mtok", NULL, 0, OPT_F32, "X", "0", "or for a million tokens that are written", NULL, AT(o.mtok), 0, 1e6 },
};

static int list_machines(void)
{
    static const char *const kind[] = { "", "processor", "Apple", "card" };
    struct buf b = { 0 };
    const struct chip *c;
    buf_printf(&b, "%-24s %-10s %8s %8s %8s %6s\n", "NAME", "", "GB/s", "most GB", "Tops", "watts");
    for (size_t i = 0; (c = chip_at(i)) != NULL; i++)
        buf_printf(&b, "%-24s %-10s %8.1f %8.0f %8.1f %6.0f\n", c->name, kind[c->kind], c->gb_s, c->memory_gb, c->tops, c->watts);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .o = { .prompt = 512, .parallel = 1, .kwh = 0.30f } };
    struct parsed p;
    struct err e = { 0 };
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 1 }, &f, &p, &rc)) return rc;
    if (f.machines) return p.n_operands ? term_usage(self->name, "--machines needs nothing else") : list_machines();
    if (!p.n_operands) return term_usage(self->name, "fit needs a %s", self->operands);
    if (f.o.machine && (f.o.bandwidth > 0 || f.o.ops > 0))
        return term_usage(self->name, "--bandwidth and --ops are of this machine; they do not go with --machine");
    struct fit *fit = mem_new(1, sizeof *fit);
    if (!fit) return term_fail("out of memory");
    fit->o = &f.o;
    fit->operand = p.operand[0];
    rc = fit_model(fit, &e);
    if (rc == 0 && f.json) b.bad = !fit_json(fit, &b) || b.bad;
    else if (rc == 0) fit_table(fit, f.explain, &b);
    mem_free(fit);
    if (rc == ERR_CANCELLED && signals_pending()) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", e.msg);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_fit = {
    .name = "fit",
    .operands = "NAME",
    .summary = "whether a model fits, how fast it would be and what it costs, before it is fetched",
    .about = "NAME is a file or folder, a model of `hearth list`, or anything that `hearth pull` takes; of a model that is not\n"
             "here only the headers are fetched, some MB.  Memory is counted by the code that would allocate it; speeds are\n"
             "forecasts from how fast this machine reads and multiplies, measured now, or from a catalogue (--machine).\n"
             "Prices are in whatever money you give them in.\n",
    .example = "qwen3:30b",
    .more = (const char *const[]){ "hearth fit hf.co/Qwen/Qwen3-8B-GGUF:Q4_K_M --kv-type q8_0 --parallel 4",
                                   "hearth fit qwen3:30b --machine \"M4 Pro 48GB\" --explain",
                                   "hearth fit qwen3:30b --price 1900 --tokens-day 200000 --month 20", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
