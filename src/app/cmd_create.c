#include <string.h>

#include "app/command.h"
#include "app/input.h"
#include "app/listing.h"
#include "app/progress.h"
#include "app/run_model.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/modelfile.h"
#include "store/params.h"
#include "text/template.h"

struct fields { const char *file; bool yes, offline, json; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "file", NULL, 'f', OPT_STR, "FILE", "Modelfile", "what the model is made from; -: standard input", "Modelfile",
      AT(file), 0, 0 },
    { "yes", NULL, 'y', OPT_FLAG, NULL, NULL, "do not ask before more than 10 GB are fetched", NULL, AT(yes), 0, 0 },
    { "offline", NULL, 0, OPT_FLAG, NULL, NULL, "do not fetch a model that is not on this machine", NULL, AT(offline), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print a JSON object", NULL, AT(json), 0, 0 },
};

struct making {
    const struct fields *f;
    const char *file;
    struct store s;
    struct create c;
    struct json *params, *messages;
    bool remarks;
};

/* A path beside the Modelfile. */
static bool beside(const char *file, const char *value, char dst[STORE_PATH])
{
    const char *slash = strrchr(file, '/');
    if (*value == '/' || *value == '~' || !slash) return store_expand(dst, value);
    if (strlen(file) + strlen(value) + 2 > STORE_PATH) return false;
    fmt_into(dst, STORE_PATH, "%.*s/%s", (int)(slash - file), file, value);
    return true;
}

static bool is_there(const char *path) { return os_file_exists(path) || os_is_folder(path); }

static int add_from(struct making *m, const char *value, struct err *err)
{
    char path[STORE_PATH];
    struct found_list l = { 0 };
    struct run_model have;
    const struct run_get how = { .offline = m->f->offline, .yes = m->f->yes };
    size_t at;
    enum layer_kind kind = manifest_find(&m->c.m, LAYER_MODEL) && name_contains(value, "mmproj") ? LAYER_PROJECTOR : LAYER_MODEL;
    if (beside(m->file, value, path) && is_there(path)) return create_path(&m->c, kind, path, err);
    /* Fetches it when it has to be. */
    int rc = run_model_get(&have, value, &how, err);
    run_model_release(&have);
    if (rc == 0) rc = store_lookup(&m->s, value, &l, &at, path, err);
    if (rc == 0) rc = at == SIZE_MAX ? create_path(&m->c, kind, path, err) : create_from(&m->c, &l.v[at], err);
    found_release(&l);
    return rc;
}

/* A template that cannot be compiled would only fail later. */
static int add_template(struct making *m, const char *value, struct err *err)
{
    struct template *t;
    int rc = *value ? template_compile(&t, value, strlen(value), err) : 0;
    if (rc < 0) return err_prefix(err, rc, "TEMPLATE: ");
    if (*value) template_free(t);
    return create_text(&m->c, LAYER_TEMPLATE, value, err);
}

static int add_message(struct making *m, const char *role, const char *content, struct err *err)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "role", json_new_str(role, strlen(role)));
    ok = json_put(j, "content", json_new_str(content, strlen(content))) && ok;
    if (!m->messages) m->messages = json_new_array();
    ok = json_push(m->messages, ok ? j : NULL);
    return ok ? 0 : err_set(err, ERR_NOMEM, "out of memory for the messages");
}

static int add_adapter(struct making *m, const char *value, struct err *err)
{
    char path[STORE_PATH];
    if (!beside(m->file, value, path) || !is_there(path))
        return err_set(err, ERR_NOTFOUND, "ADAPTER %.300s: No such file or directory", value);
    return create_path(&m->c, LAYER_ADAPTER, path, err);
}

static int add_line(struct making *m, const struct modelfile_line *l, struct err *err)
{
    switch (l->word) {
    case WORD_FROM: return add_from(m, l->value, err);
    case WORD_PARAMETER: return params_add(m->params, l->key, l->value, err);
    case WORD_TEMPLATE: return add_template(m, l->value, err);
    case WORD_SYSTEM: return create_text(&m->c, LAYER_SYSTEM, l->value, err);
    case WORD_ADAPTER: return add_adapter(m, l->value, err);
    case WORD_LICENSE: return create_text(&m->c, LAYER_LICENSE, l->value, err);
    case WORD_MESSAGE: return add_message(m, l->key, l->value, err);
    case WORD_DRAFT: return err_set(err, ERR_UNSUPPORTED, "DRAFT: a model that drafts for another is not supported");
    case WORD_RENDERER: case WORD_PARSER: case WORD_REQUIRES:
        term_note("hearth: line %u: %s tells Ollama how its program works; it means nothing here and is left out", l->line,
                  modelfile_word(l->word));
        return 0;
    case N_WORDS: break;
    }
    return 0;
}

/* FROM comes first, wherever it stands: what follows changes what it brings. */
static int add_lines(struct making *m, const struct modelfile *file, struct err *err)
{
    int rc = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; rc == 0 && i < file->n; i++) {
            if ((file->v[i].word == WORD_FROM) != (pass == 0)) continue;
            rc = add_line(m, &file->v[i], err);
            if (rc < 0) rc = err_prefix(err, rc, "%.100s, line %u: ", m->file, file->v[i].line);
        }
    if (rc == 0) rc = create_params(&m->c, m->params, err);
    if (rc == 0 && m->messages) {
        struct buf text = { 0 };
        json_write(m->messages, false, &text);
        rc = text.bad ? err_set(err, ERR_NOMEM, "out of memory for the messages") : create_text(&m->c, LAYER_MESSAGES,
                                                                                                text.data, err);
        buf_release(&text);
    }
    return rc;
}

static int read_file(const struct fields *f, struct modelfile *out, const char **shown, struct err *err)
{
    struct buf b = { 0 };
    char *text = NULL;
    size_t n;
    const char *file = f->file ? f->file : "Modelfile";
    bool input = !strcmp(file, "-");
    *shown = input ? "standard input" : file;
    int rc = input ? input_all(&b, err) : os_read_file(file, MODELFILE_MAX, &text, &n, err);
    if (rc == ERR_NOTFOUND && !f->file) return err_set(err, rc, "there is no Modelfile here; name one with -f FILE");
    if (rc == 0 && (rc = modelfile_parse(out, input ? b.data ? b.data : "" : text, input ? b.len : n, err)) < 0)
        rc = err_prefix(err, rc, "%.100s: ", *shown);
    buf_release(&b);
    mem_free(text);
    return rc;
}

static int make(const struct fields *f, const struct name *name, struct err *err)
{
    struct modelfile file = { 0 };
    struct making m = { .f = f, .params = json_new_object() };
    struct progress p = { 0 };
    int rc = m.params ? read_file(f, &file, &m.file, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0 && (rc = store_open(&m.s, err)) == 0) {
        rc = create_begin(&m.c, &m.s, err);
        m.c.progress = progress_bytes;
        m.c.arg = &p;
        if (rc == 0) rc = add_lines(&m, &file, err);
        if (rc == 0) rc = create_end(&m.c, name, err);
        create_release(&m.c);
        store_close(&m.s);
    }
    term_progress_end();
    json_free(m.params);
    json_free(m.messages);
    modelfile_release(&file);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct name name;
    struct err e = { 0 };
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, 1 }, &f, &p, &rc)) return rc;
    if ((rc = name_parse(&name, p.operand[0], &e)) == 0) rc = make(&f, &name, &e);
    if (rc == ERR_CANCELLED && signals_pending()) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", e.msg);
    put_made(&name, f.json, &b);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_create = {
    .name = "create",
    .operands = "NAME",
    .summary = "make a model out of another: settings, system prompt, template, adapters",
    .about = "The Modelfile says what it consists of, a line for each thing:\n\n"
             "  FROM qwen3:4b                    a name, a GGUF file or a folder; it is used where it lies, nothing is copied\n"
             "  PARAMETER temperature 0.7        a setting; PARAMETER stop may be repeated\n"
             "  SYSTEM \"\"\"You are brief.\"\"\"      what it is told about its role; \"\"\" for texts of several lines\n"
             "  TEMPLATE \"\"\"...\"\"\"               a chat template, in the place of the model's own\n"
             "  ADAPTER ./lora.gguf              a LoRA: a GGUF file or a folder of PEFT\n"
             "  MESSAGE user Hello               messages with which every chat begins\n"
             "  LICENSE \"\"\"...\"\"\"\n",
    .example = "brief",
    .more = (const char *const[]){ "hearth run brief \"Why is the sky blue?\"", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
