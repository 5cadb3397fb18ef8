#include <string.h>

#include "app/command.h"
#include "app/running.h"
#include "app/term.h"

struct fields { struct running at; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = { RUNNING_ROWS(AT) };

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .at = { NULL, NULL } };
    struct parsed p;
    struct err e = { 0 };
    struct json *answer;
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, 1 }, &f, &p, &rc)) return rc;
    buf_puts(&b, "{\"model\":");
    json_write_str(p.operand[0], strlen(p.operand[0]), &b);
    buf_puts(&b, ",\"keep_alive\":0,\"stream\":false}");
    rc = b.bad ? err_set(&e, ERR_NOMEM, "out of memory") : running_ask(&f.at, "POST", "/api/generate", b.data, &answer, &e);
    buf_release(&b);
    if (rc < 0) return term_fail("%s", e.msg);
    json_free(answer);
    return EXIT_OK;
}

const struct command command_row_stop = {
    .name = "stop",
    .operands = "MODEL",
    .summary = "a running server lets a model go",
    .about = "The model leaves the memory of `hearth serve` as soon as no answer needs it any more.  It comes back when\n"
             "somebody asks for it again.\n",
    .example = "qwen3:0.6b",
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
