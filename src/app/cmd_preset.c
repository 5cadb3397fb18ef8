#include <string.h>

#include "app/command.h"
#include "app/listing.h"
#include "app/term.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/params.h"
#include "store/preset.h"

struct fields { const char *system, *name; bool json, lmstudio; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "system", NULL, 0, OPT_STR, "TEXT", NULL, "with set: what the model is told about its role; \"\" removes it", NULL,
      AT(system), 0, 0 },
    { "name", NULL, 0, OPT_STR, "NAME", "that in the file", "with import: what it is to be called", NULL, AT(name), 0, 0 },
    { "lmstudio", NULL, 0, OPT_FLAG, NULL, NULL, "with import: all presets of LM Studio on this machine", NULL, AT(lmstudio),
      0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "with list: a JSON array", NULL, AT(json), 0, 0 },
};

struct work { const struct fields *f; struct store s; const char *const *word; size_t n; struct buf out; };

/* ---- list, show, export, rm ---- */

struct listing { struct work *w; struct json *list; };

static int list_one(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    struct preset p;
    struct err why;
    if (preset_load(&l->w->s, name, &p, &why) < 0) {
        term_note("hearth: %s", why.msg);
        return 0;
    }
    if (l->list) {
        struct json *j = json_new_object();
        bool ok = json_put(j, "name", text_json(name));
        if (p.system) ok = json_put(j, "system", text_json(p.system)) && ok;
        ok = json_put(j, "settings", json_share(p.settings)) && ok;
        if (!json_push(l->list, ok ? j : NULL)) l->w->out.bad = true;
    } else {
        buf_printf(&l->w->out, "%-20s ", name);
        json_write(p.settings, false, &l->w->out);
        if (p.system) {
            buf_puts(&l->w->out, "  ");
            term_clean(p.system, strcspn(p.system, "\n"), &l->w->out);
        }
        buf_putc(&l->w->out, '\n');
    }
    preset_release(&p);
    (void)err;
    return 0;
}

static int do_list(struct work *w, struct err *err)
{
    struct listing l = { w, w->f->json ? json_new_array() : NULL };
    int rc = preset_each(&w->s, list_one, &l, err);
    if (l.list) {
        json_write(l.list, true, &w->out);
        buf_putc(&w->out, '\n');
    }
    json_free(l.list);
    return rc;
}

static int do_show(struct work *w, struct err *err)
{
    struct preset p;
    int rc = preset_load(&w->s, w->word[0], &p, err);
    if (rc < 0) return rc;
    json_write(p.all, true, &w->out);
    buf_putc(&w->out, '\n');
    preset_release(&p);
    return 0;
}

static int do_export(struct work *w, struct err *err)
{
    struct os_writer *file;
    int rc = do_show(w, err);
    if (rc < 0 || w->n < 2) return rc;
    if ((rc = os_write_begin(&file, w->word[1], err)) == 0) {
        if ((rc = os_write(file, w->out.data, w->out.len, err)) == 0) rc = os_write_commit(file, err);
        else os_write_abort(file);
    }
    buf_clear(&w->out);
    return rc;
}

static int do_rm(struct work *w, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < w->n; i++) rc = preset_remove(&w->s, w->word[i], err);
    return rc;
}

/* ---- set ---- */

/* SETTING=VALUE, the setting by its name in settings.def or as an option of `hearth run`; without a value it goes. */
static int set_one(struct json *settings, const char *word, struct json **out, struct err *err)
{
    const char *eq = strchr(word, '='), *key;
    char name[48];
    struct json *v;
    if (!eq || eq == word || eq - word >= (long)sizeof name)
        return err_set(err, ERR_ARG, "\"%.60s\": say SETTING=VALUE, as temperature=0.2", word);
    fmt_into(name, sizeof name, "%.*s", (int)(eq - word), word);
    const struct param *p = param_find(name) ? param_find(name) : param_of_option(name);
    if (p) fmt_into(name, sizeof name, "%s", p->name);
    bool ok = (*out = json_new_object()) != NULL, more = p && p->kind == PARAM_STRS && eq[1];
    for (void *it = NULL; ok && json_next(settings, &it, &key, &v);)
        if (strcmp(key, name) || more) ok = json_put(*out, key, json_share(v));
    if (!ok) return err_set(err, ERR_NOMEM, "out of memory for the preset");
    return eq[1] || !p ? params_add(*out, name, eq + 1, err) : 0;
}

static int do_set(struct work *w, struct err *err)
{
    struct preset old = { 0 }, p = { 0 };
    struct err why;
    int rc = preset_name_check(w->word[0], err);
    if (rc == 0 && (rc = preset_load(&w->s, w->word[0], &old, &why)) < 0)
        rc = rc == ERR_NOTFOUND ? 0 : err_set(err, rc, "%s", why.msg);
    struct json *settings = old.settings ? json_share(old.settings) : json_new_object();
    for (size_t i = 1; rc == 0 && i < w->n; i++) {
        struct json *next = NULL;
        rc = set_one(settings, w->word[i], &next, err);
        json_free(settings);
        settings = next;
    }
    if (rc == 0) rc = preset_make(&p, w->word[0], w->f->system ? w->f->system : old.system, settings, err);
    if (rc == 0) rc = preset_save(&w->s, &p, err);
    json_free(settings);
    preset_release(&old);
    preset_release(&p);
    return rc;
}

/* ---- import ---- */

static int import_file(struct work *w, const char *path, const char *name, struct err *err)
{
    struct preset p = { 0 };
    struct buf left = { 0 };
    char *text;
    size_t n;
    const char *base = fs_base_name(path);
    int rc = os_read_file(path, PRESET_MAX, &text, &n, err);
    if (rc < 0) return rc;
    if ((rc = preset_parse(&p, text, n, &left, err)) < 0) rc = err_prefix(err, rc, "%.300s: ", path);
    if (rc == 0 && name) fmt_into(p.name, sizeof p.name, "%s", name);
    if (rc == 0 && !p.name[0]) fmt_into(p.name, sizeof p.name, "%.*s", (int)strcspn(base, "."), base);
    if (rc == 0) rc = preset_save(&w->s, &p, err);
    if (rc == 0) buf_printf(&w->out, "%s\n", p.name);
    if (rc == 0 && left.len) term_note("hearth: %s: means nothing here and was left out: %s", p.name, left.data);
    preset_release(&p);
    buf_release(&left);
    mem_free(text);
    return rc;
}

struct folder { struct work *w; const char *path; };

static int import_entry(void *arg, const char *name, struct err *err)
{
    struct folder *f = arg;
    char path[STORE_PATH];
    struct err why;
    (void)err;
    if (!name_ends_with(name, ".json") || strlen(f->path) + strlen(name) + 2 > sizeof path) return 0;
    fmt_into(path, sizeof path, "%s/%s", f->path, name);
    if (import_file(f->w, path, NULL, &why) < 0) term_note("hearth: %s; left out", why.msg);
    return 0;
}

static int do_import(struct work *w, struct err *err)
{
    char root[STORE_PATH], path[STORE_PATH];
    int rc = 0;
    if (w->f->lmstudio) {
        if (!store_lmstudio(root) || strlen(root) + 20 > sizeof path)
            return err_set(err, ERR_NOTFOUND, "LM Studio is not on this machine");
        fmt_into(path, sizeof path, "%.*s/config-presets", STORE_PATH - 20, root);
        rc = fs_list(path, import_entry, &(struct folder){ w, path }, err);
    }
    if (w->f->name && w->n > 1) return err_set(err, ERR_ARG, "--name goes with one file");
    for (size_t i = 0; rc == 0 && i < w->n; i++) rc = import_file(w, w->word[i], w->f->name, err);
    return rc;
}

/* ---- default ---- */

static int do_default(struct work *w, struct err *err)
{
    struct found_list l;
    struct preset p = { 0 };
    char path[STORE_PATH], name[PRESET_NAME + 1] = "";
    size_t at;
    int rc = store_lookup(&w->s, w->word[0], &l, &at, path, err);
    const char *model = rc == 0 && at != SIZE_MAX ? l.v[at].name : path;
    if (rc == 0 && w->n < 2) {
        rc = preset_default(&w->s, model, name, err);
        buf_printf(&w->out, "%s\n", *name ? name : "none");
    } else if (rc == 0) {
        bool none = !strcmp(w->word[1], "none");
        rc = none ? 0 : preset_load(&w->s, w->word[1], &p, err);
        if (rc == 0) rc = preset_set_default(&w->s, model, none ? "" : w->word[1], err);
    }
    preset_release(&p);
    found_release(&l);
    return rc;
}

static const struct { const char *verb; size_t min, max; int (*run)(struct work *w, struct err *err); } verb[] = {
    { "list", 0, 0, do_list }, { "show", 1, 1, do_show }, { "set", 1, 7, do_set }, { "rm", 1, 7, do_rm },
    { "import", 0, 7, do_import }, { "export", 1, 2, do_export }, { "default", 1, 2, do_default },
};

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct err e = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, OPT_MAX_OPERANDS }, &f, &p, &rc)) return rc;
    const char *word = p.n_operands ? p.operand[0] : "list";
    size_t n = p.n_operands ? p.n_operands - 1 : 0, i = 0;
    while (i < sizeof verb / sizeof *verb && strcmp(verb[i].verb, word)) i++;
    if (i == sizeof verb / sizeof *verb)
        return term_usage(self->name, "\"%s\": say list, show, set, rm, import, export or default", word);
    if (n < verb[i].min || n > verb[i].max || (verb[i].run == do_import && !n && !f.lmstudio))
        return term_usage(self->name, "preset %s: too %s words", word, n > verb[i].max ? "many" : "few");
    struct work w = { .f = &f, .word = p.operand + 1, .n = n };
    if ((rc = store_open(&w.s, &e)) == 0) rc = verb[i].run(&w, &e);
    store_close(&w.s);
    if (rc == 0) return term_put(&w.out) ? EXIT_OK : term_write_failed();
    buf_release(&w.out);
    return term_fail("%s", e.msg);
}

const struct command command_row_preset = {
    .name = "preset",
    .operands = "[VERB ...]",
    .summary = "named settings for `hearth run --preset`: sampling, system prompt, context",
    .about = "  list                           their names, settings and system prompts\n"
             "  show NAME                      one of them, as JSON\n"
             "  set NAME SETTING=VALUE ...     make or change one; without a value a setting goes (stop=TEXT adds one)\n"
             "  rm NAME ...                    remove them\n"
             "  import FILE ...                from JSON, also as LM Studio writes it (--lmstudio: all that it has here)\n"
             "  export NAME [FILE]             as JSON\n"
             "  default MODEL [NAME|none]      which one a model gets when `hearth run` names none\n",
    .example = "set coder temperature=0.2 num_ctx=16384",
    .more = (const char *const[]){ "hearth run qwen3:30b --preset coder", "hearth preset default qwen3:30b coder", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
