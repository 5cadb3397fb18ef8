#include <string.h>

#include "app/command.h"
#include "app/term.h"
#include "base/env.h"

static void environment(struct buf *out)
{
    buf_puts(out, "Environment variables:\n\n");
    for (int i = 0; i < N_ENV; i++) {
        const struct env_info *v = env_info((enum env_var)i);
        buf_printf(out, "  %-18s %s\n", v->name, v->help);
    }
}

static int run(const struct command *self, int argc, char **argv)
{
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 1 }, NULL, &p, &rc)) return rc;
    struct buf b = { 0 };
    const char *topic = p.n_operands ? p.operand[0] : NULL;
    const struct command *c = topic ? command_find(topic) : NULL;
    if (!topic)
        command_list(&b);
    else if (c)
        command_help(c, &b);
    else if (!strcmp(topic, "environment"))
        environment(&b);
    else {
        const char *near = command_nearest(topic);
        return term_usage(NULL, "there is no help about \"%s\"%s%s%s", topic, near ? "; did you mean " : "",
                          near ? near : "", near ? "?" : "");
    }
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_help = {
    .name = "help",
    .operands = "[COMMAND | environment]",
    .summary = "explain a command, or list the environment variables",
    .run = run,
};
