#include <string.h>

#include "app/command.h"
#include "app/listing.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/fs.h"
#include "base/os.h"
#include "store/store.h"

struct fields { const char *name; bool copy, move, force, json; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "name", NULL, 0, OPT_STR, "NAME", "that of the file", "what the model is to be called", NULL, AT(name), 0, 0 },
    { "copy", NULL, 0, OPT_FLAG, NULL, NULL, "copy its files into the store", NULL, AT(copy), 0, 0 },
    { "move", NULL, 0, OPT_FLAG, NULL, NULL, "move its files into the store", NULL, AT(move), 0, 0 },
    { "force", NULL, 0, OPT_FLAG, NULL, NULL, "take the place of a model that has this name", NULL, AT(force), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "one JSON object a line for each", NULL, AT(json), 0, 0 },
};

struct work { const struct fields *f; struct store s; struct buf out; struct progress p; size_t n; };

static bool plain(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/* Qwen3-8B-Q4_K_M.gguf becomes Qwen3-8B:Q4_K_M. */
static int name_of(const char *path, struct name *out, struct err *err)
{
    char base[NAME_PART + 1], quant[48], text[2 * NAME_PART];
    const char *file = fs_base_name(path);
    unsigned part, parts;
    store_part_of(file, &part, &parts);
    store_quant_of(file, quant, sizeof quant);
    size_t n = strlen(file), q = strlen(quant);
    if (name_ends_with(file, ".gguf")) n -= parts > 1 ? 20 : 5;
    if (q && n > q + 1 && !memcmp(file + n - q, quant, q)) n -= q + 1;
    else *quant = 0;
    fmt_into(base, sizeof base, "%.*s", (int)n, file);
    for (char *c = base; *c; c++)
        if (!plain(*c) && *c != '.' && *c != '-') *c = '_';
    if (!plain(*base)) *base = '_';
    fmt_into(text, sizeof text, "%s%s%s", base, *quant ? ":" : "", quant);
    return name_parse(out, text, err);
}

static int import_one(struct work *w, const char *path, const char *wanted, struct err *err)
{
    struct name name;
    struct create c;
    char at[STORE_PATH];
    int rc = wanted ? name_parse(&name, wanted, err) : name_of(path, &name, err);
    if (rc == 0 && name.kind == NAME_REGISTRY && !w->f->force && (rc = store_manifest_path(&w->s, &name, at, err)) == 0 &&
        os_file_exists(at))
        rc = err_set(err, ERR_ARG, "%s:%s is here already; choose another --name, or --force", name.model, name.tag);
    if (rc < 0) return rc;
    rc = create_begin(&c, &w->s, err);
    c.how = w->f->move ? CREATE_MOVE : w->f->copy ? CREATE_COPY : CREATE_IN_PLACE;
    c.progress = progress_bytes;
    c.arg = &w->p;
    if (rc == 0) rc = create_path(&c, LAYER_MODEL, path, err);
    if (rc == 0) rc = create_end(&c, &name, err);
    create_release(&c);
    term_progress_end();
    if (rc < 0) return rc;
    if (w->f->json) put_made(&name, true, &w->out);
    else {
        name_put_short(&name, &w->out);
        buf_putc(&w->out, '\n');
    }
    w->n++;
    return 0;
}

/* The models of a folder that is none itself. */
static int import_folder(struct work *w, const char *path, struct err *err)
{
    struct found_list l;
    struct err why;
    int rc = store_find_in(path, &l, err);
    size_t failed = 0;
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        int one = import_one(w, l.v[i].path, NULL, &why);
        if (one == ERR_CANCELLED) rc = err_set(err, one, "%s", why.msg);
        else if (one < 0) {
            term_note("hearth: %s; left out", why.msg);
            failed++;
        }
    }
    if (rc == 0 && !l.n) rc = err_set(err, ERR_NOTFOUND, "%.300s: there is no model in this folder", path);
    else if (rc == 0 && failed == l.n) rc = err_set(err, ERR_ARG, "%.300s: none of its models was taken", path);
    found_release(&l);
    return rc;
}

static int import(struct work *w, const char *operand, struct err *err)
{
    char path[STORE_PATH], config[STORE_PATH + 16];
    if (!store_expand(path, operand)) return err_set(err, ERR_LIMIT, "%.100s...: the path is too long", operand);
    fmt_into(config, sizeof config, "%s/config.json", path);
    if (!os_is_folder(path) || os_file_exists(config)) return import_one(w, path, w->f->name, err);
    if (w->f->name) return err_set(err, ERR_ARG, "%.300s: is a folder of models; --name goes with one model", operand);
    return import_folder(w, path, err);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct err e = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, OPT_MAX_OPERANDS }, &f, &p, &rc)) return rc;
    if (f.copy && f.move) return term_usage(self->name, "choose one of --copy and --move");
    if (f.name && p.n_operands > 1) return term_usage(self->name, "--name goes with one model");
    struct work w = { .f = &f };
    rc = store_open(&w.s, &e);
    for (size_t i = 0; rc == 0 && i < p.n_operands; i++) rc = import(&w, p.operand[i], &e);
    store_close(&w.s);
    bool written = term_put(&w.out);
    if (rc == ERR_CANCELLED && signals_pending()) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", e.msg);
    return written ? EXIT_OK : term_write_failed();
}

const struct command command_row_import = {
    .name = "import",
    .operands = "FILE|FOLDER ...",
    .summary = "give models in files of yours a name",
    .about = "A GGUF file (of a split model the first part), a folder from the Hugging Face Hub, or a folder with several "
             "of them.\nFiles are used where they lie unless --copy or --move is given; their SHA-256 is computed once.  "
             "`hearth folders\nadd` is for folders whose models come and go.\n",
    .example = "~/Downloads/Qwen3-8B-Q4_K_M.gguf",
    .more = (const char *const[]){ "hearth import model.gguf --name mine:small --copy", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
