#include <string.h>

#include "app/command.h"
#include "app/man.h"
#include "app/term.h"
#include "base/env.h"
#include "store/params.h"

struct fields { bool man; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "man", NULL, 0, OPT_FLAG, NULL, NULL, "as a manual page (troff)", NULL, AT(man), 0, 0 },
};

/* ---- topics ---- */

static void environment(struct buf *out)
{
    buf_puts(out, "Environment variables:\n\n");
    for (int i = 0; i < N_ENV; i++) {
        const struct env_info *v = env_info((enum env_var)i);
        buf_printf(out, "  %-18s %s\n", v->name, v->help);
    }
}

static void exit_codes(struct buf *out)
{
    buf_puts(out, "Exit codes:\n\n");
    for (size_t i = 0; command_exit_codes[i].code; i++)
        buf_printf(out, "  %-9s %s\n", command_exit_codes[i].code, command_exit_codes[i].meaning);
}

static void names(struct buf *out)
{
    buf_puts(out, "Names of models:\n\n"
             "  qwen3:30b                      registry.ollama.ai/library/qwen3:30b\n"
             "  me/model:tag                   registry.ollama.ai/me/model:tag; without a tag :latest\n"
             "  host[:port]/namespace/model    at another registry\n"
             "  hf.co/user/repo[:quant|:file]  on the Hugging Face Hub; Q4_K_M when none is named\n"
             "  https://host/path/x.gguf       one file\n"
             "  x.gguf, ./x, /x, ~/x, file:x   a file or folder here\n\n"
             "What exists as a path is that path.  `hearth list` shows the names of the models on this machine, whoever\n"
             "downloaded them; case does not count.\n");
}

static void settings(struct buf *out)
{
    static const char *const kind[] = { "number", "whole number", "true or false", "text", "text, may be repeated" };
    const struct param *p;
    buf_puts(out, "Settings of models and presets (PARAMETER of a Modelfile, `hearth preset set`), and the options of "
                  "`hearth run` that\nare the same:\n\n");
    for (size_t i = 0; (p = param_at(i)) != NULL; i++)
        buf_printf(out, "  %-22s %-22s %s%s\n", p->name, kind[p->kind], *p->option ? "--" : "no meaning here", p->option);
}

static void files(struct buf *out)
{
    buf_puts(out, "Where things are kept:\n\n"
             "  models, presets    HEARTH_MODELS, else $XDG_DATA_HOME/hearth, else ~/.local/share/hearth\n"
             "  chats, history     $XDG_STATE_HOME/hearth, else ~/.local/state/hearth; readable by you only\n\n"
             "Models of Ollama, LM Studio, the Hugging Face cache, llama.cpp and Jan are used where they lie (docs/store.md).\n"
             "Nothing is removed unless you say so (hearth rm, hearth gc --remove).\n");
}

static const struct { const char *name; void (*put)(struct buf *out); } topic[] = {
    { "environment", environment }, { "exit-codes", exit_codes }, { "names", names }, { "settings", settings },
        { "files", files },
};
enum { N_TOPICS = sizeof topic / sizeof *topic };

static const char *next_topic(const void *arg, size_t i)
{
    (void)arg;
    for (size_t k = 0; k <= i; k++)
        if (!command_at(k)) return i - k < N_TOPICS ? topic[i - k].name : NULL;
    return command_at(i)->name;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 1 }, &f, &p, &rc)) return rc;
    struct buf b = { 0 };
    const char *about = p.n_operands ? p.operand[0] : NULL;
    const struct command *c = about ? command_find(about) : NULL;
    size_t i = 0;
    while (about && i < N_TOPICS && strcmp(topic[i].name, about)) i++;
    if (about && !c && (i == N_TOPICS || f.man)) {
        const char *near = args_nearest(about, next_topic, NULL);
        return term_usage(NULL, "there is no help about \"%s\"%s%s%s", about, near ? "; did you mean " : "",
                          near ? near : "", near ? "?" : "");
    }
    if (f.man) man_page(c, &b);
    else if (!about) command_list(&b);
    else if (c) command_help(c, &b);
    else topic[i].put(&b);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_help = {
    .name = "help",
    .operands = "[COMMAND|TOPIC]",
    .summary = "explain a command or a topic",
    .about = "Topics: environment, exit-codes, names, settings, files.\n",
    .example = "run",
    .more = (const char *const[]){ "hearth help environment", "hearth help --man run | man -l -", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
