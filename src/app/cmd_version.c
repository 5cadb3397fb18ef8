#include <string.h>

#include "app/command.h"
#include "app/term.h"
#include "base/cpu.h"
#include "base/json.h"
#include "hearth.h"
#include "store/fetch.h"
#include "store/index.h"

struct fields { bool json; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print one JSON object", NULL, AT(json), 0, 0 },
};

/* HEARTH_TARGET, HEARTH_ISA: mk/build.mk. */
static const char *const key[] = { "version", "built_for", "instruction_sets", "here", "model_inside", "http", "index" };
enum { N_KEYS = sizeof key / sizeof *key };

static bool has_embedded(void)
{
    struct hearth_model *m = NULL;
    struct hearth_error e;
    const struct hearth_model_options o = { .threads = 1 };
    bool yes = hearth_model_open_embedded(&m, &o, &e) == 0 || e.code != HEARTH_ENOTFOUND;
    hearth_model_close(m);
    return yes;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 0 }, &f, &p, &rc)) return rc;
    struct buf b = { 0 };
    const char *const value[N_KEYS] = { hearth_version(), HEARTH_TARGET, HEARTH_ISA " scalar", cpu_features_name(cpu_features()),
                                        has_embedded() ? "spark" : "none", fetch_library(), index_library() };
    if (!f.json) buf_printf(&b, "hearth %s\n", value[0]);
    for (size_t i = f.json ? 0 : 1; i < N_KEYS; i++) {
        if (!f.json) {
            buf_printf(&b, "%-18s %s\n", key[i], value[i]);
            continue;
        }
        buf_printf(&b, "%s\"%s\":", i ? "," : "{", key[i]);
        json_write_str(value[i], strlen(value[i]), &b);
    }
    if (f.json) buf_puts(&b, "}\n");
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_version = {
    .name = "version",
    .operands = "",
    .summary = "print the version, and what it was built with",
    .example = "",
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
