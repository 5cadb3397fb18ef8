#include <string.h>

#include "app/command.h"
#include "app/signals.h"
#include "app/synth.h"
#include "app/term.h"
#include "base/os.h"

enum { PROGRESS_NS = 100000000, BAR = 30 };

struct fields { uint64_t seed; uint32_t layers; bool pure, force, list; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "layers", NULL, 0, OPT_U32, "N", "the shape's own", "write only N layers, for small disks", NULL, AT(layers), 1, 1000 },
    { "seed", NULL, 's', OPT_U64, "N", "1", "the same seed gives the same file", "7", AT(seed), 0, 9223372036854774784.0 },
    { "pure", NULL, 0, OPT_FLAG, NULL, NULL, "TYPE for every matrix, also for those that quantisers keep larger", NULL, AT(pure),
      0, 0 },
    { "force", NULL, 'f', OPT_FLAG, NULL, NULL, "replace FILE when it exists", NULL, AT(force), 0, 0 },
    { "list", NULL, 0, OPT_FLAG, NULL, NULL, "print the shapes and how large their files are", NULL, AT(list), 0, 0 },
};

/* ---- the list ---- */

static double gigabytes(const struct synth_shape *m, const char *type, struct err *err)
{
    struct synth s = { .shape = m };
    if (synth_recipe_find(&s.recipe, type, err) < 0 || synth_measure(&s, err) < 0) s.total = 0;
    synth_release(&s);
    return (double)s.total / 1e9;
}

static int list_shapes(void)
{
    struct buf b = { 0 };
    struct err err = { 0 };
    const struct synth_shape *m;
    buf_printf(&b, "%-14s %-16s %-9s %7s %7s %7s  %s\n", "SHAPE", "of", "layers", "Q4_K_M", "Q8_0", "F16", "GB");
    for (size_t i = 0; (m = synth_shape_at(i)) != NULL; i++)
        buf_printf(&b, "%-14s %-16s %-9u %7.2f %7.2f %7.2f\n", m->name, m->model, m->L, gigabytes(m, "Q4_K_M", &err),
                   gigabytes(m, "Q8_0", &err), gigabytes(m, "F16", &err));
    if (err.code) b.bad = true;
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

/* ---- the file ---- */

static bool show_progress(uint64_t done, uint64_t total)
{
    static uint64_t begun, shown;                  /* one file is written in the life of the program */
    uint64_t now = os_now_ns();
    if (!begun) begun = now;
    if (signals_pending()) return false;
    if (now - shown < PROGRESS_NS && done < total) return true;
    shown = now;
    char bar[BAR + 1] = { 0 };
    for (int i = 0; i < BAR; i++) bar[i] = done * BAR >= total * ((uint64_t)i + 1) ? '#' : '.';
    term_progress("[%s] %3.0f %%, %.2f of %.2f GB, %.0f MB/s", bar, 100 * (double)done / (double)total, (double)done / 1e9,
                  (double)total / 1e9, (double)done / ((double)(now - begun) / 1e9 + 1e-3) / 1e6);
    return true;
}

static int check_room(struct synth *s, const char *path, struct err *err)
{
    int rc = synth_measure(s, err);
    uint64_t free = os_disk_free(path);
    if (rc < 0 || !free || s->total < free) return rc;
    return err_set(err, ERR_LIMIT, "%s: %.2f GB are needed, but only %.2f GB are free there; --layers N makes a smaller model",
                   path, (double)s->total / 1e9, (double)free / 1e9);
}

static int write_model(struct synth *s, const char *path, struct err *err)
{
    struct gguf_writer *w;
    int rc = check_room(s, path, err);
    if (rc == 0) rc = gguf_writer_open(&w, err);
    if (rc < 0) return rc;
    rc = synth_put(s, w, err);
    if (rc == 0) rc = gguf_writer_save(w, path, err);
    gguf_writer_close(w);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .seed = 1 };
    struct parsed p;
    struct err err = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 3 }, &f, &p, &rc)) return rc;
    if (f.list) return p.n_operands ? term_usage(self->name, "--list needs nothing else") : list_shapes();
    if (p.n_operands < 3) return term_usage(self->name, "synth needs %s", self->operands);
    struct synth s = { .shape = synth_shape_find(p.operand[0]), .n_layer = f.layers, .seed = f.seed, .progress = show_progress };
    const char *path = p.operand[2];
    if (!s.shape) return term_usage(self->name, "there is no shape \"%s\"; hearth synth --list shows them", p.operand[0]);
    if (synth_recipe_find(&s.recipe, p.operand[1], &err) < 0) return term_usage(self->name, "%s", err.msg);
    if (f.layers > s.shape->L)
        return term_usage(self->name, "--layers %u: %s has only %u", f.layers, s.shape->name, s.shape->L);
    if (!f.force && os_file_exists(path)) return term_fail("%s exists already; --force replaces it", path);
    s.recipe.pure = f.pure;
    rc = write_model(&s, path, &err);
    term_progress_end();
    synth_release(&s);
    if (rc == ERR_CANCELLED) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", err.msg);
    struct buf b = { 0 };
    buf_printf(&b, "%s: %s %s, %u layers, %.2f M parameters, %.2f GB\n", path, s.shape->model, s.recipe.name, s.n_layer,
               (double)s.n_values / 1e6, (double)s.total / 1e9);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_synth = {
    .name = "synth",
    .operands = "SHAPE TYPE FILE",
    .summary = "write a model of a published shape with random weights",
    .about = "For measuring speed without a download: the file has the shapes, types and size of the real model and a\n"
             "vocabulary of the same size, but its weights are random, and so is what it says.\n"
             "TYPE is a mixture (Q4_K_M, Q4_K_S, Q5_K_M, Q5_K_S) or any tensor type (F16, Q8_0, Q4_0, Q6_K, IQ4_XS, ...).\n",
    .example = "llama-1b Q4_K_M model.gguf",
    .more = (const char *const[]){ "hearth synth --list", "hearth synth qwen3-30b-a3b Q4_K_M part.gguf --layers 4", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
