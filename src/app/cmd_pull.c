#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/model_name.h"
#include "app/pulling.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/json.h"
#include "base/proc.h"

struct fields { const char *registry, *hub; uint32_t jobs, stall; bool json, yes, own, chunks, offline, to_parent; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "progress and result as JSON, one object a line", NULL, AT(json), 0, 0 },
    { "yes", NULL, 'y', OPT_FLAG, NULL, NULL, "do not ask before more than 10 GB", NULL, AT(yes), 0, 0 },
    { "registry", NULL, 0, OPT_STR, "URL", "HEARTH_REGISTRY", "server in the place of https://registry.ollama.ai", NULL,
      AT(registry), 0, 0 },
    { "hub", NULL, 0, OPT_STR, "URL", "HF_ENDPOINT", "server in the place of https://huggingface.co", NULL, AT(hub), 0, 0 },
    { "jobs", NULL, 'j', OPT_U32, "N", "4", "ranges of a file that are fetched at once", NULL, AT(jobs), 1, 8 },
    { "stall", NULL, 0, OPT_U32, "SECONDS", "30", "a connection that brings under 1 kB/s for so long is given up", NULL,
      AT(stall), 1, 3600 },
    { "own", NULL, 0, OPT_FLAG, NULL, NULL, "fetch files that other programs have here, too", NULL, AT(own), 0, 0 },
    { "chunks", NULL, 0, OPT_FLAG, NULL, NULL, "fetch files of the Hub by chunks (Xet), as those above 50 GB are", NULL,
      AT(chunks), 0, 0 },
    { "to-parent", NULL, 0, OPT_FLAG, NULL, NULL, "output goes to descriptor 3; how `hearth serve` starts it", NULL,
      AT(to_parent), 0, 0 },
    { "offline", NULL, 0, OPT_FLAG, NULL, NULL, "ask nobody: succeed only when the model is here", NULL, AT(offline), 0, 0 },
};

static int offline(const char *operand)
{
    char path[STORE_PATH];
    struct err e = { 0 };
    return model_path(operand, path, &e) < 0 ? term_fail("%s", e.msg) : EXIT_OK;
}

static int report(const struct fields *f, const struct pulling *p, const struct name *kept, size_t unverified)
{
    struct buf b = { 0 };
    if (f->json) buf_puts(&b, "{\"status\":\"success\",\"name\":\"");
    name_put_short(kept, &b);                                    /* letters, digits and _.-:/ */
    if (f->json) buf_printf(&b, "\",\"fetched\":%llu,\"in_place\":%zu,\"unverified\":%zu}", (unsigned long long)p->missing,
                           p->in_place, unverified);
    else buf_puts(&b, p->missing ? ": is here" : p->in_place ? ": nothing had to be fetched" : ": was here already");
    if (!f->json && p->missing && unverified)
        buf_printf(&b, "; %zu of its files could not be verified: the server does not say their digests", unverified);
    else if (!f->json && p->missing) buf_puts(&b, ", and verified");
    buf_putc(&b, '\n');
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

/* For programs an error is a line like the others. */
static int fail(const struct fields *f, const char *message)
{
    struct buf b = { 0 };
    if (!f->json) return term_fail("%s", message);
    buf_puts(&b, "{\"status\":\"error\",\"error\":");
    json_write_str(message, strlen(message), &b);
    buf_puts(&b, "}\n");
    if (!term_put(&b)) return term_write_failed();
    return f->to_parent ? EXIT_RUN : term_fail("%s", message);
}

/* Who serves strangers checks what they name; this process, which alone may dial, does not rely on that. */
static int check(const char *operand, struct err *err)
{
    struct name n;
    int rc = name_parse(&n, operand, err);
    return rc == 0 ? pull_check_host(&n, err) : rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .jobs = 0 };
    struct parsed p;
    size_t unverified = 0;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, 1 }, &f, &p, &rc)) return rc;
    if (f.to_parent && dup2(PROC_FD, STDOUT_FILENO) < 0) return term_fail("--to-parent: descriptor 3 is not open");
    if (f.offline) return offline(p.operand[0]);
    struct pulling how = { .json = f.json, .quiet = f.to_parent, .yes = f.yes,
                           .o = { .registry = f.registry, .hub = f.hub, .workers = f.jobs, .stall_s = f.stall,
                                  .own = f.own, .chunks = f.chunks, .unverified = &unverified } };
    struct name kept;
    struct err e = { 0 };
    if (f.to_parent && check(p.operand[0], &e) < 0) return fail(&f, e.msg);
    rc = pulling(&how, p.operand[0], &kept, &e);
    if (rc == ERR_CANCELLED && signals_pending()) return 128 + signals_pending();
    if (rc < 0 && term_closed()) return term_write_failed();
    return rc < 0 ? fail(&f, e.msg) : report(&f, &how, &kept, unverified);
}

const struct command command_row_pull = {
    .name = "pull",
    .operands = "NAME",
    .summary = "fetch a model, or the rest of it, and verify it by its digests",
    .about = "NAME is qwen3:30b (registry.ollama.ai), hf.co/user/repo[:quantisation or :file] (the Hugging Face Hub; Q4_K_M\n"
             "when none is named), host/namespace/model:tag of another registry, or the https:// URL of a GGUF file.  A\n"
             "pull that was interrupted goes on where it stood.  A file that another program keeps here and that has the same\n"
             "SHA-256 is not fetched but used where it lies.  HF_TOKEN opens gated models; https_proxy and no_proxy are\n"
             "honoured.\n",
    .example = "qwen3:30b",
    .more = (const char *const[]){ "hearth pull hf.co/Qwen/Qwen3-8B-GGUF:Q4_K_M",
                                   "hearth pull qwen3:30b --registry https://mirror.example", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
