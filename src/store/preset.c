#include "store/preset.h"

#include <string.h>

#include "base/mem.h"
#include "base/near.h"
#include "base/os.h"
#include "store/params.h"

int preset_name_check(const char *name, struct err *err)
{
    struct name n;
    char text[PRESET_NAME + 8];
    if (strlen(name) > PRESET_NAME) return err_set(err, ERR_ARG, "a preset's name has at most %d characters", PRESET_NAME);
    fmt_into(text, sizeof text, "x:%s", name);
    if (strchr(name, ':') || strchr(name, '/') || !*name || name_parse(&n, text, NULL) < 0 || n.kind != NAME_REGISTRY)
        return err_set(err, ERR_ARG, "\"%.80s\" is no name for a preset: letters, digits and _.- are allowed", name);
    if (!strcmp(name, "defaults") || !strcmp(name, "none")) return err_set(err, ERR_ARG, "a preset cannot be called %s", name);
    return 0;
}

void preset_release(struct preset *p)
{
    json_free(p->all);
    *p = (struct preset){ .all = NULL };
}

/* ---- LM Studio ---- */

/* Its keys; system: no setting but the system prompt. */
static const struct { const char *key, *setting; } theirs[] = {
    { "llm.prediction.temperature", "temperature" }, { "llm.prediction.topKSampling", "top_k" },
    { "llm.prediction.topPSampling", "top_p" }, { "llm.prediction.minPSampling", "min_p" },
    { "llm.prediction.repeatPenalty", "repeat_penalty" }, { "llm.prediction.maxPredictedTokens", "num_predict" },
    { "llm.prediction.maxTokens", "num_predict" }, { "llm.prediction.stopStrings", "stop" },
    { "llm.prediction.systemPrompt", "system" }, { "llm.prediction.seed", "seed" },
    { "llm.prediction.presencePenalty", "presence_penalty" }, { "llm.prediction.llama.presencePenalty", "presence_penalty" },
    { "llm.prediction.frequencyPenalty", "frequency_penalty" }, { "llm.prediction.llama.frequencyPenalty", "frequency_penalty" },
    { "llm.prediction.llama.locallyTypicalSampling", "typical_p" }, { "llm.prediction.llama.tailFreeSampling", "tfs_z" },
    { "llm.prediction.llama.xtcProbability", "xtc_probability" }, { "llm.prediction.llama.xtcThreshold", "xtc_threshold" },
    { "llm.prediction.llama.cpuThreads", "num_thread" }, { "llm.load.contextLength", "num_ctx" }, { "llm.load.seed", "seed" },
    { "llm.load.llama.cpuThreadPoolSize", "num_thread" },
};

static const char *setting_of(const char *key)
{
    for (size_t i = 0; key && i < sizeof theirs / sizeof *theirs; i++)
        if (!strcmp(theirs[i].key, key)) return theirs[i].setting;
    return NULL;
}

/* A value, or {"checked": false} for one that is switched off: *off. */
static const struct json *value_of(const struct json *field, bool *off)
{
    const struct json *v = json_get(field, "value"), *checked = json_get(v, "checked");
    *off = checked && !json_bool(checked);
    return checked ? json_get(v, "value") : v;
}

static void leave_out(struct buf *left_out, const char *key)
{
    if (left_out) buf_printf(left_out, "%s%.100s", left_out->len ? ", " : "", key ? key : "a field without a key");
}

static bool take_fields(const struct json *fields, struct json *all, struct json *settings, struct buf *left_out)
{
    bool ok = true;
    for (size_t i = 0; ok && i < json_len(fields); i++) {
        bool off;
        const struct json *field = json_at(fields, i), *v = value_of(field, &off);
        const char *key = json_str(json_get(field, "key"), NULL), *to = setting_of(key);
        const struct param *p = to ? param_find(to) : NULL;
        if (off) continue;
        if (to && !strcmp(to, "system") && json_type(v) == JSON_STRING) {
            size_t n;
            if (json_str(v, &n) && n) ok = json_put(all, "system", json_share(v));
        } else if (p && param_check(p, v, NULL) == 0)
            ok = json_put(settings, to, json_share(v));
        else
            leave_out(left_out, key);
    }
    return ok;
}

static int from_lmstudio(struct preset *p, const struct json *j, struct buf *left_out, struct err *err)
{
    const char *name = json_str(json_get(j, "name"), NULL);
    struct json *all = json_new_object(), *settings = json_new_object();
    const struct json *operation = json_get(json_get(j, "operation"), "fields"), *load = json_get(json_get(j, "load"), "fields");
    bool ok = json_put(all, "hearth_preset", json_new_int(1));
    ok = ok && settings && take_fields(operation, all, settings, left_out) && take_fields(load, all, settings, left_out);
    ok = json_put(all, "settings", settings) && ok;
    /* Its names are free text. */
    fmt_into(p->name, sizeof p->name, "%s", name ? name : "");
    for (char *c = p->name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", *c)) *c = '-';
    p->all = all;
    return ok ? 0 : err_set(err, ERR_NOMEM, "out of memory for the preset");
}

/* ---- ours ---- */

/* Looks at p->all. */
static int look(struct preset *p, struct err *err)
{
    size_t n;
    const struct json *system = json_get(p->all, "system");
    p->settings = json_get(p->all, "settings");
    p->system = json_str(system, &n);
    if (system && (!p->system || strlen(p->system) != n)) return err_set(err, ERR_FORMAT, "\"system\" is no text");
    if (!p->settings) {
        if (!json_put(p->all, "settings", json_new_object())) return err_set(err, ERR_NOMEM, "out of memory for the preset");
        p->settings = json_get(p->all, "settings");
    }
    return params_check(p->settings, err);
}

int preset_parse(struct preset *p, const char *text, size_t n, struct buf *left_out, struct err *err)
{
    struct json *j;
    *p = (struct preset){ .all = NULL };
    if (n > PRESET_MAX) return err_set(err, ERR_LIMIT, "%zu bytes: a preset has at most %d", n, PRESET_MAX);
    int rc = json_parse(&j, text, n, err);
    if (rc < 0) return rc;
    if (json_int(json_get(j, "hearth_preset")) == 1) {
        const char *name = json_str(json_get(j, "name"), NULL);
        fmt_into(p->name, sizeof p->name, "%s", name ? name : "");
        p->all = json_share(j);
    } else if (json_type(json_get(j, "operation")) == JSON_OBJECT || json_type(json_get(j, "load")) == JSON_OBJECT)
        rc = from_lmstudio(p, j, left_out, err);
    else
        rc = err_set(err, ERR_FORMAT, "is neither a preset of Hearth nor one of LM Studio");
    json_free(j);
    if (rc == 0) rc = look(p, err);
    if (rc < 0) preset_release(p);
    return rc;
}

int preset_make(struct preset *p, const char *name, const char *system, const struct json *settings, struct err *err)
{
    *p = (struct preset){ .all = json_new_object() };
    fmt_into(p->name, sizeof p->name, "%s", name);
    bool ok = json_put(p->all, "hearth_preset", json_new_int(1));
    ok = json_put(p->all, "name", json_new_str(name, strlen(name))) && ok;
    if (system && *system) ok = json_put(p->all, "system", json_new_str(system, strlen(system))) && ok;
    ok = json_put(p->all, "settings", settings ? json_share(settings) : json_new_object()) && ok;
    int rc = ok ? look(p, err) : err_set(err, ERR_NOMEM, "out of memory for the preset");
    if (rc < 0) preset_release(p);
    return rc;
}

static int path_of(const struct store *s, const char *name, char path[STORE_PATH], struct err *err)
{
    char file[PRESET_NAME + 8];
    int rc = !strcmp(name, "defaults") ? 0 : preset_name_check(name, err);
    if (rc < 0) return rc;
    fmt_into(file, sizeof file, "%s.json", name);
    return store_path(s, path, "presets", file) ? 0 : err_set(err, ERR_LIMIT, "the path of the store is too long");
}

struct names { struct arena arena; const char *v[1024]; size_t n; };

static int keep_name(void *arg, const char *name, struct err *err)
{
    struct names *l = arg;
    (void)err;
    if (l->n < sizeof l->v / sizeof *l->v && (l->v[l->n] = arena_strdup(&l->arena, name, strlen(name)))) l->n++;
    return 0;
}

static const char *next_name(const void *arg, size_t i)
{
    const struct names *l = arg;
    return i < l->n ? l->v[i] : NULL;
}

static int not_there(struct store *s, const char *name, struct err *err)
{
    struct names l = { .n = 0 };
    preset_each(s, keep_name, &l, NULL);
    const char *near = near_find(name, next_name, &l);
    int rc = err_set(err, ERR_NOTFOUND, "there is no preset %s%s%s%s", name, near ? "; did you mean " : "", near ? near : "",
                     near ? "?" : "; `hearth preset list` shows them");
    arena_release(&l.arena);
    return rc;
}

int preset_load(struct store *s, const char *name, struct preset *p, struct err *err)
{
    char path[STORE_PATH], *text;
    size_t n;
    *p = (struct preset){ .all = NULL };
    int rc = path_of(s, name, path, err);
    if (rc < 0) return rc;
    if (!os_file_exists(path)) return not_there(s, name, err);
    if ((rc = os_read_file(path, PRESET_MAX, &text, &n, err)) < 0) return rc;
    if ((rc = preset_parse(p, text, n, NULL, err)) < 0) rc = err_prefix(err, rc, "%s: ", path);
    else fmt_into(p->name, sizeof p->name, "%s", name);
    mem_free(text);
    return rc;
}

static int write_json(struct store *s, const char *path, const struct json *j, struct err *err)
{
    char folder[STORE_PATH];
    struct buf text = { 0 };
    struct os_writer *w;
    json_write(j, true, &text);
    buf_putc(&text, '\n');
    int rc = text.bad ? err_set(err, ERR_NOMEM, "out of memory for the preset") : 0;
    if (rc == 0 && !store_path(s, folder, "presets", NULL)) rc = err_set(err, ERR_LIMIT, "the path of the store is too long");
    if (rc == 0) rc = fs_make_folders(folder, err);
    if (rc == 0 && (rc = os_write_begin(&w, path, err)) == 0) {
        if ((rc = os_write(w, text.data, text.len, err)) == 0) rc = os_write_commit(w, err);
        else os_write_abort(w);
    }
    buf_release(&text);
    return rc;
}

int preset_save(struct store *s, const struct preset *p, struct err *err)
{
    char path[STORE_PATH];
    int rc = path_of(s, p->name, path, err);
    return rc < 0 ? rc : write_json(s, path, p->all, err);
}

int preset_remove(struct store *s, const char *name, struct err *err)
{
    char path[STORE_PATH];
    int rc = path_of(s, name, path, err);
    if (rc < 0) return rc;
    if (!os_file_exists(path)) return not_there(s, name, err);
    os_file_remove(path);
    return os_file_exists(path) ? err_set(err, ERR_IO, "%s: cannot be removed", path) : 0;
}

struct walk { preset_fn *fn; void *arg; };

static int preset_entry(void *arg, const char *file, struct err *err)
{
    struct walk *w = arg;
    char name[PRESET_NAME + 1];
    size_t n = strlen(file);
    if (!name_ends_with(file, ".json") || n - 5 > PRESET_NAME) return 0;
    fmt_into(name, sizeof name, "%.*s", (int)n - 5, file);
    return preset_name_check(name, NULL) < 0 ? 0 : w->fn(w->arg, name, err);
}

int preset_each(struct store *s, preset_fn *fn, void *arg, struct err *err)
{
    char folder[STORE_PATH];
    if (!store_path(s, folder, "presets", NULL)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    return fs_list(folder, preset_entry, &(struct walk){ fn, arg }, err);
}

/* ---- which one a model gets ---- */

static int read_defaults(struct store *s, char path[STORE_PATH], struct json **out, struct err *err)
{
    char *text;
    size_t n;
    *out = NULL;
    int rc = path_of(s, "defaults", path, err);
    if (rc < 0 || !os_file_exists(path)) return rc;
    if ((rc = os_read_file(path, PRESET_MAX, &text, &n, err)) < 0) return rc;
    if ((rc = json_parse(out, text, n, err)) < 0) rc = err_prefix(err, rc, "%s: ", path);
    else if (json_type(json_get(*out, "models")) != JSON_OBJECT) rc = err_set(err, ERR_FORMAT, "%s: has no \"models\"", path);
    mem_free(text);
    if (rc == 0) return 0;
    json_free(*out);
    *out = NULL;
    return rc;
}

int preset_default(struct store *s, const char *model, char name[PRESET_NAME + 1], struct err *err)
{
    char path[STORE_PATH];
    struct json *j;
    *name = 0;
    int rc = read_defaults(s, path, &j, err);
    const char *found = rc == 0 ? json_str(json_get(json_get(j, "models"), model), NULL) : NULL;
    if (found) fmt_into(name, PRESET_NAME + 1, "%s", found);
    json_free(j);
    return rc;
}

int preset_set_default(struct store *s, const char *model, const char *name, struct err *err)
{
    char path[STORE_PATH];
    struct json *old, *all = json_new_object(), *models = json_new_object(), *v;
    const char *key;
    int rc = read_defaults(s, path, &old, err);
    bool ok = all && models;
    if (rc == 0)
        for (void *it = NULL; ok && json_next(json_get(old, "models"), &it, &key, &v);)
            if (strcmp(key, model)) ok = json_put(models, key, json_share(v));
    if (ok && rc == 0 && *name) ok = json_put(models, model, json_new_str(name, strlen(name)));
    ok = json_put(all, "models", models) && ok;
    if (rc == 0 && !ok) rc = err_set(err, ERR_NOMEM, "out of memory for the preset");
    if (rc == 0) rc = write_json(s, path, all, err);
    json_free(all);
    json_free(old);
    return rc;
}
