#include "app/command.h"

#include <string.h>

#include "app/signals.h"
#include "app/term.h"

static const struct command *const command[] = {
#define COMMAND(name) &command_row_##name,
#include "app/commands.def"
#undef COMMAND
};
enum { N_COMMAND = sizeof command / sizeof *command };

const struct command *command_at(size_t i) { return i < N_COMMAND ? command[i] : NULL; }

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < N_COMMAND; i++)
        if (!strcmp(command[i]->name, name)) return command[i];
    return NULL;
}

static const char *next_name(const void *arg, size_t i)
{
    (void)arg;
    return i < N_COMMAND ? command[i]->name : NULL;
}

/* What others call our commands. */
static const char *const elsewhere[][2] = {
    { "ls", "list" }, { "chat", "run" }, { "download", "pull" }, { "get", "pull" }, { "delete", "rm" }, { "remove", "rm" },
    { "info", "show" }, { "start", "serve" }, { "server", "serve" }, { "unload", "stop" }, { "copy", "cp" },
};

const char *command_nearest(const char *name)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (!strcmp(elsewhere[i][0], name)) return elsewhere[i][1];
    return args_nearest(name, next_name, NULL);
}

const struct command_exit command_exit_codes[] = {
    { "0", "done" },
    { "1", "it failed; standard error says why and what helps" },
    { "2", "wrong usage" },
    { "130, 143", "stopped by Ctrl-C, by SIGTERM" },
    { "141", "the reader of the output went away" },
    { NULL, NULL },
};

void command_examples(const struct command *c, struct buf *out)
{
    for (const char *const *line = c->more; line && *line; line++) buf_printf(out, "  %s\n", *line);
    if (!c->example) return;
    buf_printf(out, "  hearth %s", c->name);
    args_example(&c->options, out);
    buf_printf(out, "%s%s\n", *c->example ? " " : "", c->example);
}

void command_help(const struct command *c, struct buf *out)
{
    buf_printf(out, "hearth %s - %s\n\nUsage: hearth %s%s%s%s\n", c->name, c->summary, c->name,
               c->options.n ? " [OPTIONS]" : "", *c->operands ? " " : "", c->operands);
    if (c->about) buf_printf(out, "\n%s", c->about);
    if (c->example || c->more) buf_puts(out, "\nExamples:\n");
    command_examples(c, out);
    buf_puts(out, "\nOptions:\n");
    args_help(&c->options, out);
}

void command_list(struct buf *out)
{
    buf_puts(out, "Hearth runs large language models at home.\n\nUsage: hearth COMMAND [OPTIONS] ...\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMAND; i++)
        if (!command[i]->hidden) buf_printf(out, "  %-10s %s\n", command[i]->name, command[i]->summary);
    buf_puts(out, "\nBegin with:\n"
                  "  hearth run model.gguf                 chat with a model\n"
                  "  hearth run model.gguf \"Why is it so?\"  one answer\n"
                  "  hearth run                            chat with the tiny model inside this program\n\n"
                  "hearth help COMMAND tells more; topics of hearth help: environment, exit-codes, names, settings, files.\n");
}

bool command_parse(const struct command *c, int argc, char **argv, struct command_operands n, void *fields,
                   struct parsed *p, int *exit_code)
{
    struct err e;
    if (args_parse(&c->options, argc, argv, fields, p, &e) < 0) {
        *exit_code = term_usage(c->name, "%s: %s", c->name, e.msg);
        return false;
    }
    if (p->help) {
        struct buf b = { 0 };
        command_help(c, &b);
        *exit_code = term_put(&b) ? EXIT_OK : term_write_failed();
        return false;
    }
    if (p->n_operands < n.min) {
        *exit_code = term_usage(c->name, "%s needs %s", c->name, c->operands);
        return false;
    }
    if (p->n_operands > n.max) {
        *exit_code = term_usage(c->name, "%s: \"%s\" is one argument too many; put text that has spaces into quotes",
                                c->name, p->operand[n.max]);
        return false;
    }
    return true;
}

static const char *dashed(const char *word)
{
    if (!strcmp(word, "--help") || !strcmp(word, "-h")) return "help";
    if (!strcmp(word, "--version") || !strcmp(word, "-V")) return "version";
    return word;
}

int app_main(int argc, char **argv)
{
    signals_init();
    if (argc < 2) {
        struct buf b = { 0 };
        command_list(&b);
        term_put(&b);
        return EXIT_USAGE;
    }
    const char *name = dashed(argv[1]), *near;
    const struct command *c = command_find(name);
    if (c) return c->run(c, argc - 1, argv + 1);
    if ((near = command_nearest(name)) != NULL)
        return term_usage(NULL, "unknown command \"%s\"; did you mean %s?", name, near);
    return term_usage(NULL, "unknown command \"%s\"", name);
}
