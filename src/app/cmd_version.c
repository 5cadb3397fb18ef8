#include "app/command.h"
#include "app/term.h"
#include "hearth.h"

static int run(const struct command *self, int argc, char **argv)
{
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 0 }, NULL, &p, &rc)) return rc;
    struct buf b = { 0 };
    buf_printf(&b, "hearth %s\n", hearth_version());
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_version = {
    .name = "version",
    .operands = "",
    .summary = "print the version",
    .run = run,
};
