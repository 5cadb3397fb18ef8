#include <stdlib.h>

#include "app/command.h"
#include "app/running.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"

enum { WATCH_MS = 1000, TICK_MS = 50 };

struct fields { struct running at; bool watch, json; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    RUNNING_ROWS(AT),
    { "watch", NULL, 'w', OPT_FLAG, NULL, NULL, "show it again every second, until Ctrl-C", NULL, AT(watch), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print what the server says as it is", NULL, AT(json), 0, 0 },
};

/* A time as the server writes it, 2026-11-30T10:15:00Z; one that is many years away is for ever. */
static const char *until_of(const struct json *m, char now[8])
{
    const char *at = json_str(json_get(m, "expires_at"), NULL);
    os_strftime(now, 8, "%Y", os_wall_s());
    return !at ? "" : strtol(at, NULL, 10) > strtol(now, NULL, 10) + 50 ? "for ever" : at;
}

static void put_models(const struct json *models, struct buf *out)
{
    size_t n = json_len(models);
    buf_printf(out, "%-40s %10s %9s  %s\n", "NAME", "MEMORY", "CONTEXT", "UNTIL");
    for (size_t i = 0; i < n; i++) {
        const struct json *m = json_at(models, i);
        const char *name = json_str(json_get(m, "name"), NULL);
        char now[8];
        buf_printf(out, "%-40.80s %7.1f MB %9lld  %.20s\n", name ? name : "?", json_num(json_get(m, "size")) / 1e6,
                   (long long)json_int(json_get(m, "context_length")), until_of(m, now));
    }
    if (!n) buf_puts(out, "(no model is loaded)\n");
}

static int show(const struct fields *f, struct err *err)
{
    struct json *answer;
    struct buf b = { 0 };
    int rc = running_ask(&f->at, "GET", "/api/ps", NULL, &answer, err);
    if (rc < 0) return rc;
    if (f->watch && term_out_tty() && !f->json) buf_puts(&b, "\x1b[H\x1b[2J");
    if (f->json) json_write(answer, !f->watch, &b);
    else put_models(json_get(answer, "models"), &b);
    if (f->json) buf_putc(&b, '\n');
    json_free(answer);
    return term_put(&b) ? 0 : err_set(err, ERR_IO, "cannot write the list");
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .watch = false };
    struct parsed p;
    struct err e = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 0 }, &f, &p, &rc)) return rc;
    do {
        if ((rc = show(&f, &e)) < 0) return term_closed() ? term_write_failed() : term_fail("%s", e.msg);
        for (int ms = 0; f.watch && ms < WATCH_MS && !signals_pending(); ms += TICK_MS) fs_sleep_ms(TICK_MS);
    } while (f.watch && !signals_pending());
    return EXIT_OK;
}

const struct command command_row_ps = {
    .name = "ps",
    .operands = "",
    .summary = "the models that a running server has loaded",
    .about = "Asks `hearth serve` on this machine which models are in memory, how much they take, and until when they stay.\n",
    .example = "",
    .more = (const char *const[]){ "hearth ps --watch", "hearth ps --host 127.0.0.1:8080 --json",
                                   "hearth ps --host unix:/run/user/1000/hearth.sock", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
