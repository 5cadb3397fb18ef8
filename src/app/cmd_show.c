#include <string.h>

#include "app/command.h"
#include "app/listing.h"
#include "app/model_name.h"
#include "app/term.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/engine.h"
#include "store/modelfile.h"

struct fields { bool json, license, system, parameters, template, modelfile; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print one JSON object", NULL, AT(json), 0, 0 },
    { "license", NULL, 0, OPT_FLAG, NULL, NULL, "only the licence that came with it", NULL, AT(license), 0, 0 },
    { "system", NULL, 0, OPT_FLAG, NULL, NULL, "only its system prompt", NULL, AT(system), 0, 0 },
    { "parameters", NULL, 0, OPT_FLAG, NULL, NULL, "only its settings", NULL, AT(parameters), 0, 0 },
    { "template", NULL, 0, OPT_FLAG, NULL, NULL, "only the template that came with it", NULL, AT(template), 0, 0 },
    { "modelfile", NULL, 0, OPT_FLAG, NULL, NULL, "what `hearth create` would make it from", NULL, AT(modelfile), 0, 0 },
};

static const struct { enum layer_kind kind; const char *key; } part[] = {
    { LAYER_LICENSE, "license" }, { LAYER_SYSTEM, "system" }, { LAYER_PARAMS, "parameters" }, { LAYER_TEMPLATE, "template" },
    { LAYER_MESSAGES, "messages" },
};
enum { N_PARTS = sizeof part / sizeof *part };

/* The text of the first layer of a kind. */
static bool layer_text(const struct found *f, const struct manifest *m, enum layer_kind kind, struct buf *out)
{
    char path[STORE_PATH];
    const struct layer *l = manifest_find(m, kind);
    char *text;
    size_t n;
    if (!l || !store_layer_path(f->manifest, l, path)) return false;
    if (os_read_file(path, 4 << 20, &text, &n, NULL) < 0) return false;
    buf_put(out, text, n);
    mem_free(text);
    return true;
}

static void put_line(const char *key, const char *text, struct buf *out)
{
    buf_printf(out, "%-14s ", key);
    term_clean(text, strlen(text), out);
    buf_putc(out, '\n');
}

/* inside: it has no file. */
static void put_table(const struct found *f, const struct facts *x, bool inside, struct buf *out)
{
    put_line("name", f->name, out);
    put_line("owner", f->owner, out);
    put_line("file", inside ? "inside this program" : f->path, out);
    if (f->files > 1) buf_printf(out, "%-14s %u\n", "files", f->files);
    buf_printf(out, "%-14s ", "size");
    put_bytes(f->size, out);
    buf_putc(out, '\n');
    if (x->arch[0]) put_line("architecture", x->arch, out);
    if (x->n_params) {
        buf_printf(out, "%-14s ", "parameters");
        put_params(x->n_params, out);
        buf_putc(out, '\n');
    }
    if (x->quant[0]) put_line("type", x->quant, out);
    if (x->context) buf_printf(out, "%-14s %u tokens\n", "context", x->context);
    if (f->projector) put_line("projector", f->projector, out);
    if (x->digest[0]) put_line("sha256", x->digest, out);
    if (f->broken) put_line("incomplete", "a file is missing or has another size", out);
}

static struct json *show_json(const struct found *f, const struct facts *x, const struct manifest *m)
{
    struct json *j = model_json(f, x, NULL);
    bool ok = j != NULL;
    for (size_t i = 0; ok && f->manifest && i < N_PARTS; i++) {
        struct buf text = { 0 };
        if (layer_text(f, m, part[i].kind, &text)) ok = json_put(j, part[i].key, text_json(text.data ? text.data : ""));
        buf_release(&text);
    }
    if (ok) return j;
    json_free(j);
    return NULL;
}

static void put_parts(const struct found *f, const struct manifest *m, struct buf *out)
{
    for (size_t i = 1; i < 3; i++) {
        struct buf text = { 0 };
        if (layer_text(f, m, part[i].kind, &text)) put_line(i == 1 ? "system" : "settings", text.data ? text.data : "", out);
        buf_release(&text);
    }
}

/* A path of its own becomes a row like the others. */
static void from_path(const char *path, struct found *f)
{
    struct fs_info info;
    *f = (struct found){ .name = path, .owner = "file", .path = path, .file = "", .files = 1 };
    if (!fs_info(path, &info)) return;
    f->size = info.regular ? info.size : 0;
    f->mtime = info.mtime;
}

static int show_modelfile(const struct found *m, struct buf *out, struct err *err)
{
    struct parts p;
    int rc = store_parts(m, &p, err);
    if (rc == 0) rc = modelfile_write(m->path, &p, out, err);
    parts_release(&p);
    return rc;
}

/* inside: the file of the model in this program; or NULL. */
static int show(const struct fields *f, struct store *s, const struct found *m, const struct gguf *inside, struct buf *out,
                struct err *err)
{
    struct facts x = { 0 };
    struct manifest layers = { 0 };
    if (f->modelfile) return show_modelfile(m, out, err);
    int rc = m->manifest ? store_read_manifest(m->manifest, &layers, NULL, err) : 0;
    if (rc < 0) return rc;
    const bool wanted[N_PARTS] = { f->license, f->system, f->parameters, f->template, false };
    bool one = f->license || f->system || f->parameters || f->template;
    if (inside) store_gguf_facts(inside, &x);
    else store_facts(s, m, &x);
    for (size_t i = 0; i < N_PARTS; i++)
        if (wanted[i] && (!m->manifest || !layer_text(m, &layers, part[i].kind, out)))
            rc = err_set(err, ERR_NOTFOUND, "%s came without a %s of its own", m->name, part[i].key);
    struct json *j = f->json && !one ? show_json(m, &x, &layers) : NULL;
    if (j) {
        json_write(j, true, out);
        json_free(j);
    } else if (f->json && !one)
        out->bad = true;
    else if (!one) {
        put_table(m, &x, inside != NULL, out);
        if (m->manifest) put_parts(m, &layers, out);
    }
    if (out->len && out->data[out->len - 1] != '\n') buf_putc(out, '\n');
    manifest_release(&layers);
    return rc;
}

static int show_embedded(const struct fields *f, const char *name, struct buf *out, struct err *err)
{
    struct gguf *g;
    int rc = engine_embedded_open(&g, err);
    if (rc < 0) return rc;
    const struct found own = { .name = name, .owner = "hearth", .path = name, .file = "", .files = 1,
                               .size = gguf_file_bytes(g) };
    rc = show(f, NULL, &own, g, out, err);
    gguf_close(g);
    return rc;
}

static int show_found(const struct fields *f, const char *name, struct buf *out, struct err *err)
{
    struct store s;
    struct found_list l = { 0 };
    struct found own;
    char path[STORE_PATH];
    size_t at = SIZE_MAX;
    int rc = store_open(&s, err);
    if (rc == 0) rc = store_lookup(&s, name, &l, &at, path, err);
    if (rc < 0 && at != SIZE_MAX) rc = 0;                      /* what is incomplete is shown as that */
    if (rc == 0 && at == SIZE_MAX) from_path(path, &own);
    if (rc == 0 && at == SIZE_MAX && !os_file_exists(path))
        rc = err_set(err, ERR_NOTFOUND, "%s: No such file or directory", path);
    if (rc == 0) rc = show(f, &s, at == SIZE_MAX ? &own : &l.v[at], NULL, out, err);
    found_release(&l);
    store_close(&s);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, 1 }, &f, &p, &rc)) return rc;
    struct err e = { 0 };
    struct buf b = { 0 };
    rc = model_is_embedded(p.operand[0]) ? show_embedded(&f, p.operand[0], &b, &e) : show_found(&f, p.operand[0], &b, &e);
    if (rc == 0) return term_put(&b) ? EXIT_OK : term_write_failed();
    buf_release(&b);
    return term_fail("%s", e.msg);
}

const struct command command_row_show = {
    .name = "show",
    .operands = "MODEL",
    .summary = "what a model is, where it lies and what came with it",
    .about = "MODEL is a name of `hearth list` or a path.  `hearth inspect` shows the inside of the file.\n",
    .example = "qwen3:30b",
    .more = (const char *const[]){ "hearth show qwen3:30b --json", "hearth show qwen3:30b --modelfile", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
