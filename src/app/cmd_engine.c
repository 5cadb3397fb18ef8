#include "app/command.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/proc.h"
#include "server/worker.h"

/* What a terminal sends to all of its processes is for the server, which then closes the channel. */
static int run(const struct command *self, int argc, char **argv)
{
    struct parsed p;
    struct err e = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 0 }, NULL, &p, &rc)) return rc;
    proc_begin("hearth-engine");
    signals_ignore();
    return worker_run(PROC_FD, &e) < 0 ? term_fail("the engine process: %s", e.msg) : EXIT_OK;
}

const struct command command_row_engine = {
    .name = "engine",
    .operands = "",
    .summary = "the process that computes for `hearth serve`, which starts it",
    .hidden = true,
    .run = run,
};
