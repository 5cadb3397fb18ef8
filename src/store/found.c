#include "store/found.h"

#include <string.h>

#include "base/env.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "format/gguf.h"

/* ---- the list ---- */

void found_release(struct found_list *l)
{
    arena_release(&l->arena);
    mem_free(l->v);
    *l = (struct found_list){ 0 };
}

static const char *keep(struct found_list *l, const char *s, bool *ok)
{
    const char *c = s ? arena_strdup(&l->arena, s, strlen(s)) : NULL;
    if (s && !c) *ok = false;
    return c;
}

int found_add(struct found_list *l, const struct found *f, struct err *err)
{
    enum { MAX_FOUND = 100000 };
    if (l->n == MAX_FOUND) return err_set(err, ERR_LIMIT, "more than %d models", MAX_FOUND);
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct found *v = mem_resize(l->v, cap, sizeof *v);
        if (!v) return err_set(err, ERR_NOMEM, "out of memory for the list of models");
        l->v = v;
        l->cap = cap;
    }
    struct found *to = &l->v[l->n];
    bool ok = true;
    *to = *f;
    to->name = keep(l, f->name, &ok);
    to->path = keep(l, f->path, &ok);
    to->file = keep(l, f->file ? f->file : "", &ok);
    to->manifest = keep(l, f->manifest, &ok);
    to->projector = keep(l, f->projector, &ok);
    if (!ok) return err_set(err, ERR_NOMEM, "out of memory for the list of models");
    if (f->plain || name_parse(&to->parsed, to->name, NULL) < 0) to->parsed = (struct name){ .kind = NAME_PATH };
    l->n++;
    return 0;
}

/* ---- where to look ---- */

/* A folder that cannot be read belongs to somebody else; that is no reason to fail. */
static int unless_forbidden(int rc) { return rc == ERR_IO ? 0 : rc; }

static int add_ollama(const struct store *s, struct found_list *l, struct err *err)
{
    const char *own = env_get(ENV_OLLAMA_MODELS), *home = env_get(ENV_HOME);
    char path[STORE_PATH];
    if (own) return unless_forbidden(found_manifests(s, l, own, "ollama", err));
    if (home) {
        fmt_into(path, sizeof path, "%s/.ollama/models", home);
        int rc = unless_forbidden(found_manifests(s, l, path, "ollama", err));
        if (rc < 0) return rc;
    }
    return unless_forbidden(found_manifests(s, l, "/usr/share/ollama/.ollama/models", "ollama", err));
}

static int add_hub(struct found_list *l, struct err *err)
{
    const char *hub = env_get(ENV_HF_HUB_CACHE), *hf = env_get(ENV_HF_HOME), *cache = env_get(ENV_XDG_CACHE);
    const char *home = env_get(ENV_HOME);
    char path[STORE_PATH] = "";
    if (!hub) hub = env_get(ENV_HF_HUB_CACHE_OLD);
    if (hub) fmt_into(path, sizeof path, "%s", hub);
    else if (hf) fmt_into(path, sizeof path, "%s/hub", hf);
    else if (cache) fmt_into(path, sizeof path, "%s/huggingface/hub", cache);
    else if (home) fmt_into(path, sizeof path, "%s/.cache/huggingface/hub", home);
    return *path ? unless_forbidden(found_hub(l, path, err)) : 0;
}

/* The text of a small file without the white space at its end; false when there is none. */
static bool small_text(const char *path, char *dst, size_t n)
{
    char *text;
    size_t len;
    if (os_read_file(path, n - 1, &text, &len, NULL) < 0) return false;
    while (len && strchr(" \t\r\n", text[len - 1])) len--;
    fmt_into(dst, n, "%.*s", (int)len, text);
    mem_free(text);
    return len > 0;
}

/* The folder that LM Studio's settings name. */
static bool lmstudio_setting(const char *root, char dst[STORE_PATH])
{
    char path[STORE_PATH + 16], *text;
    size_t n, len = 0;
    struct json *j;
    fmt_into(path, sizeof path, "%s/settings.json", root);
    if (os_read_file(path, 4 << 20, &text, &n, NULL) < 0) return false;
    const char *folder = NULL;
    if (json_parse(&j, text, n, NULL) == 0) {
        folder = json_str(json_get(j, "downloadsFolder"), &len);
        if (folder && len && len < STORE_PATH) fmt_into(dst, STORE_PATH, "%s", folder);
        json_free(j);
    }
    mem_free(text);
    return folder && len && len < STORE_PATH;
}

bool store_lmstudio(char root[STORE_PATH])
{
    const char *home = env_get(ENV_HOME);
    char path[STORE_PATH];
    if (!home) return false;
    fmt_into(path, sizeof path, "%s/.lmstudio-home-pointer", home);
    if (!small_text(path, root, STORE_PATH)) {
        fmt_into(root, STORE_PATH, "%s/.cache/lm-studio", home);
        if (!os_is_folder(root)) fmt_into(root, STORE_PATH, "%s/.lmstudio", home);
    }
    return os_is_folder(root);
}

static int add_lmstudio(struct found_list *l, struct err *err)
{
    char root[STORE_PATH], path[STORE_PATH];
    if (!store_lmstudio(root)) return 0;
    if (!lmstudio_setting(root, path)) fmt_into(path, sizeof path, "%.*s/models", STORE_PATH - 16, root);
    return unless_forbidden(found_folder(l, path, (struct found_scan){ "lmstudio", 3, true }, err));
}

static int add_llama(struct found_list *l, struct err *err)
{
    const char *own = env_get(ENV_LLAMA_CACHE), *cache = env_get(ENV_XDG_CACHE), *home = env_get(ENV_HOME);
    char path[STORE_PATH] = "", mac[STORE_PATH] = "";
    if (own) fmt_into(path, sizeof path, "%s", own);
    else if (cache) fmt_into(path, sizeof path, "%s/llama.cpp", cache);
    else if (home) fmt_into(path, sizeof path, "%s/.cache/llama.cpp", home);
    if (!own && home) fmt_into(mac, sizeof mac, "%s/Library/Caches/llama.cpp", home);
    const struct found_scan flat = { "llama.cpp", 1, false };
    int rc = *path ? unless_forbidden(found_folder(l, path, flat, err)) : 0;
    if (rc == 0 && own) rc = unless_forbidden(found_hub(l, own, err));
    return rc == 0 && *mac ? unless_forbidden(found_folder(l, mac, flat, err)) : rc;
}

static int add_jan(struct found_list *l, struct err *err)
{
    static const char *const place[] = { "jan/llamacpp/models", ".config/Jan/data/llamacpp/models",
                                         ".local/share/Jan/data/llamacpp/models",
                                         "Library/Application Support/Jan/data/llamacpp/models" };
    const char *home = env_get(ENV_HOME);
    int rc = 0;
    for (size_t i = 0; home && rc == 0 && i < sizeof place / sizeof *place; i++) {
        char path[STORE_PATH];
        fmt_into(path, sizeof path, "%s/%s", home, place[i]);
        rc = unless_forbidden(found_folder(l, path, (struct found_scan){ "jan", 4, false }, err));
    }
    return rc;
}

static int add_folders(const struct store *s, struct found_list *l, struct err *err)
{
    char path[STORE_PATH], *text;
    size_t n;
    if (!store_path(s, path, "folders", NULL) || !os_file_exists(path)) return 0;
    int rc = os_read_file(path, 1 << 20, &text, &n, err);
    if (rc < 0) return rc;
    for (char *line = text, *end; rc == 0 && *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = 0;
        if (*line) rc = unless_forbidden(found_folder(l, line, (struct found_scan){ "folder", 8, false }, err));
    }
    mem_free(text);
    return rc;
}

int store_find_ours(struct store *s, struct found_list *out, struct err *err)
{
    *out = (struct found_list){ 0 };
    int rc = found_manifests(s, out, s->root, "hearth", err);
    if (rc < 0) found_release(out);
    return rc;
}

int store_find_in(const char *folder, struct found_list *out, struct err *err)
{
    *out = (struct found_list){ 0 };
    int rc = found_folder(out, folder, (struct found_scan){ "folder", 8, false }, err);
    if (rc < 0) found_release(out);
    return rc;
}

int store_find(struct store *s, struct found_list *out, struct err *err)
{
    *out = (struct found_list){ 0 };
    int rc = found_manifests(s, out, s->root, "hearth", err);
    if (rc == 0) rc = add_ollama(s, out, err);
    if (rc == 0) rc = add_hub(out, err);
    if (rc == 0) rc = add_lmstudio(out, err);
    if (rc == 0) rc = add_llama(out, err);
    if (rc == 0) rc = add_jan(out, err);
    if (rc == 0) rc = add_folders(s, out, err);
    if (rc < 0) found_release(out);
    return rc;
}

/* ---- facts ---- */

void store_gguf_facts(const struct gguf *g, struct facts *f)
{
    struct gguf_str arch;
    char key[128];
    uint64_t bytes[N_DTYPE] = { 0 }, best = 0;
    if (gguf_get_str(g, "general.architecture", &arch)) fmt_into(f->arch, sizeof f->arch, "%.*s", (int)arch.n, arch.s);
    fmt_into(key, sizeof key, "%s.context_length", f->arch);
    gguf_get_u32(g, key, &f->context);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        f->n_params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        bytes[t->type] += t->bytes;
    }
    for (int i = 0; i < N_DTYPE; i++)
        if (bytes[i] > best) {
            best = bytes[i];
            fmt_into(f->quant, sizeof f->quant, "%s", dtype_info((enum dtype)i)->name);
        }
}

void store_facts(struct store *s, const struct found *f, struct facts *out)
{
    struct fs_info info;
    *out = (struct facts){ 0 };
    if (f->broken || !fs_info(f->path, &info)) return;
    bool known = index_get(store_index(s), f->path, &info, out);
    struct gguf *g;
    if (!known && info.regular && gguf_open(&g, f->path, NULL) == 0) {
        store_gguf_facts(g, out);
        gguf_close(g);
    }
    char quant[sizeof out->quant];
    store_quant_of(*f->file ? f->file : f->path, quant, sizeof quant);
    if (*quant && !known) fmt_into(out->quant, sizeof out->quant, "%s", quant);
    if (f->digest[0] && !out->digest[0]) fmt_into(out->digest, sizeof out->digest, "%s", f->digest);
    if (!known) index_put(store_index(s), f->path, &info, out);
}

/* ---- which one is meant ---- */

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* x.gguf is also called x. */
static bool is_called(const char *file, const char *text)
{
    size_t n = strlen(text);
    if (name_equal(file, text)) return true;
    char stem[NAME_TEXT + 8];
    return n <= NAME_TEXT && (fmt_into(stem, sizeof stem, "%s.gguf", text), name_equal(file, stem));
}

/* How well f fits: 3 by its whole name, 2 by its file's name, 1 as a repository whose file is to be chosen; 0 not at all. */
static int fits(const struct found *f, const struct name *n, const char *text)
{
    if (name_equal(f->name, text) || (n && n->kind != NAME_PATH && name_same(&f->parsed, n))) return 3;
    bool repo = n && f->parsed.kind == NAME_HUB && name_equal(n->space, f->parsed.space) && name_equal(n->model, f->parsed.model);
    if (repo && n->kind == NAME_HUB && n->file[0] && !strcmp(f->file, n->file)) return 3;
    if (is_called(base_of(f->path), text) || is_called(base_of(f->file), text)) return 2;
    if (repo && n->kind == NAME_HUB && !n->file[0]) return 1;
    /* user/repo without a host, as people write it; the registry's own comes first. */
    return repo && n->kind == NAME_REGISTRY && name_equal(n->host, NAME_DEFAULT_HOST);
}

struct group { const struct found_list *l; const size_t *at; size_t n; };

static const char *file_of(const void *arg, size_t i)
{
    const struct group *g = arg;
    if (i >= g->n) return NULL;
    const struct found *f = &g->l->v[g->at[i]];
    return *f->file ? f->file : f->parsed.tag[0] ? f->parsed.tag : f->name;
}

static int several(const struct group *g, const char *text, struct err *err)
{
    struct buf names = { 0 };
    for (size_t i = 0; i < g->n && i < 5; i++)
        buf_printf(&names, "%s%s (%s)", i ? ", " : "", g->l->v[g->at[i]].name, g->l->v[g->at[i]].path);
    int rc = err_set(err, ERR_ARG, "\"%s\" may mean %zu models: %s", text, g->n, names.data ? names.data : "");
    buf_release(&names);
    return rc;
}

/* Equal files, or the same one, are one model. */
static bool same_model(const struct found *a, const struct found *b)
{
    if (a->digest[0] && b->digest[0]) return !strcmp(a->digest, b->digest);
    return os_file_same(a->path, b->path);
}

static int pick(const struct group *g, int how, const struct name *n, const char *text, size_t *at, struct err *err)
{
    if (how == 1) {
        size_t i = store_choose(file_of, g, n->kind == NAME_HUB || strcmp(n->tag, NAME_DEFAULT_TAG) ? n->tag : "");
        if (i == SIZE_MAX) return err_set(err, ERR_NOTFOUND, "\"%s\": no model of that name is on this machine", text);
        *at = g->at[i];
        return 0;
    }
    *at = g->at[0];
    /* Names of registries are unique within an owner, and the first owner counts; names of files can be many. */
    for (size_t i = 1; (how == 2 || g->l->v[g->at[0]].plain) && i < g->n; i++)
        if (!same_model(&g->l->v[g->at[0]], &g->l->v[g->at[i]])) return several(g, text, err);
    return 0;
}

int store_resolve(const struct found_list *l, const struct name *name, const char *text, size_t *at, struct err *err)
{
    *at = SIZE_MAX;
    size_t *v = mem_new(l->n + 1, sizeof *v);
    if (!v) return err_set(err, ERR_NOMEM, "out of memory");
    int best = 0;
    struct group g = { l, v, 0 };
    for (size_t i = 0; i < l->n; i++) {
        int how = fits(&l->v[i], name, text);
        if (!how || how < best) continue;
        if (how > best) g.n = 0;
        best = how;
        v[g.n++] = i;
    }
    int rc = g.n ? pick(&g, best, name, text, at, err)
                 : err_set(err, ERR_NOTFOUND, "\"%s\": no model of that name is on this machine", text);
    mem_free(v);
    return rc;
}
