/* command.h - subcommands are rows: commands.def names them, each cmd_<name>.c defines one. */
#ifndef HEARTH_APP_COMMAND_H
#define HEARTH_APP_COMMAND_H

#include "app/args.h"
#include "base/buf.h"

struct command {
    const char *name;
    const char *operands;              /* "MODEL [TEXT]" */
    const char *summary;               /* one line */
    const char *about;                 /* paragraphs for its help, or NULL */
    const char *example;               /* operands of the generated example, or NULL */
    const char *const *more;           /* further examples, whole lines, NULL at the end; or NULL */
    struct opt_table options;
    bool hidden;                       /* not for people: in no list */
    /* argv[0] is the command's name; returns the exit code. */
    int (*run)(const struct command *self, int argc, char **argv);
};

#define COMMAND(name) extern const struct command command_row_##name;
#include "app/commands.def"
#undef COMMAND

const struct command *command_at(size_t i);                    /* NULL past the end */
const struct command *command_find(const char *name);
/* The name nearest to a mistyped one, or NULL. */
const char *command_nearest(const char *name);
void command_help(const struct command *c, struct buf *out);
void command_examples(const struct command *c, struct buf *out);              /* a line each, two spaces before it */
/* Exit codes and what they mean; code is NULL at the end. */
struct command_exit { const char *code, *meaning; };
extern const struct command_exit command_exit_codes[];
void command_list(struct buf *out);                            /* the help of the program */

/* Parses argv into fields; false when there is nothing left to do, with *exit_code (help was printed, or wrong usage).
 * Checks that there are min to max operands. */
struct command_operands { size_t min, max; };
bool command_parse(const struct command *c, int argc, char **argv, struct command_operands n, void *fields,
                   struct parsed *p, int *exit_code);

int app_main(int argc, char **argv);

#endif
