#include "store/found.h"

#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"

/* dst = folder/name; false when too long. */
static bool join(char dst[STORE_PATH], const char *folder, const char *name)
{
    if (strlen(folder) + strlen(name) + 2 > STORE_PATH) return false;
    fmt_into(dst, STORE_PATH, "%s/%s", folder, name);
    return true;
}

/* ---- manifests and blobs ---- */

struct walk {
    const struct store *s;
    struct found_list *l;
    const char *root, *owner;
    const char *part[4];                   /* host, namespace, model, tag */
    char path[STORE_PATH];
    unsigned depth;
};

/* Fills the parts of f that follow from the layers. */
static void add_layers(const struct walk *w, const struct manifest *m, struct found *f, char path[STORE_PATH],
                       char proj[STORE_PATH])
{
    char at[STORE_PATH], tail[SHA256_HEX + NAME_FILE + 16];
    for (size_t i = 0; i < m->n; i++) {
        const struct layer *l = &m->layer[i];
        struct fs_info info;
        if (!store_layer_path(w->path, l, at)) continue;
        if (!fs_info(at, &info) || info.size != l->size) f->broken = true;
        f->size += l->size;
        if (l->kind == LAYER_PROJECTOR && !f->projector) {
            fmt_into(proj, STORE_PATH, "%s", at);
            f->projector = proj;
        }
        if (l->kind != LAYER_MODEL || f->files++) continue;
        fmt_into(path, STORE_PATH, "%s", at);
        fmt_into(f->digest, sizeof f->digest, "%s", l->digest);
        if (l->title) f->file = l->title;
    }
    if (f->files < 2 || !f->file) return;
    /* Of a split model the first file is opened; else the folder. */
    if (manifest_in_place(m)) {
        if (!name_ends_with(path, ".gguf") && strrchr(path, '/')) *strrchr(path, '/') = 0;
        return;
    }
    const char *base = fs_base_name(f->file);
    fmt_into(tail, sizeof tail, "views/%s/%s", f->digest, base);
    if (!name_ends_with(base, ".gguf")) tail[6 + SHA256_HEX] = 0;
    if (join(at, w->root, tail)) fmt_into(path, STORE_PATH, "%s", at);
}

static int add_manifest(struct walk *w, struct err *err)
{
    bool hub = name_equal(w->part[0], NAME_HUB_HOST) || name_equal(w->part[0], "huggingface.co");
    struct name n = { .kind = hub ? NAME_HUB : NAME_REGISTRY };
    struct manifest m;
    struct fs_info info;
    struct buf name = { 0 };
    char path[STORE_PATH] = "", proj[STORE_PATH];
    bool fit = strlen(w->part[0]) <= NAME_HOST && strlen(w->part[1]) <= NAME_HUB_PART && strlen(w->part[2]) <= NAME_HUB_PART &&
               strlen(w->part[3]) <= NAME_PART;
    if (!fit || !fs_info(w->path, &info) || !info.regular) return 0;
    struct found f = { .owner = w->owner, .manifest = w->path, .mtime = info.mtime, .ours = w->root == w->s->root };
    /* What is no manifest, or belongs to somebody else, is not listed. */
    if (store_read_manifest(w->path, &m, f.id, NULL) < 0) {
        if (!f.ours) return 0;
        if (w->l->n_unread < FOUND_UNREAD) w->l->unread[w->l->n_unread] = arena_strdup(&w->l->arena, w->path, strlen(w->path));
        w->l->n_unread++;
        return 0;
    }
    fmt_into(n.host, sizeof n.host, "%s", n.kind == NAME_HUB ? NAME_HUB_HOST : w->part[0]);
    fmt_into(n.space, sizeof n.space, "%s", w->part[1]);
    fmt_into(n.model, sizeof n.model, "%s", w->part[2]);
    fmt_into(n.tag, sizeof n.tag, "%s", w->part[3]);
    name_put_short(&n, &name);
    add_layers(w, &m, &f, path, proj);
    f.name = name.data;
    f.path = path;
    int rc = name.bad ? err_set(err, ERR_NOMEM, "out of memory") : f.files ? found_add(w->l, &f, err) : 0;
    buf_release(&name);
    manifest_release(&m);
    return rc;
}

static int walk_entry(void *arg, const char *name, struct err *err)
{
    struct walk *w = arg;
    size_t n = strlen(w->path);
    if (*name == '.' || n + strlen(name) + 2 > STORE_PATH || strstr(name, ".tmp-")) return 0;
    fmt_into(w->path + n, STORE_PATH - n, "/%s", name);
    w->part[w->depth++] = name;
    int rc = w->depth == 4 ? add_manifest(w, err) : fs_list(w->path, walk_entry, w, err);
    w->depth--;
    w->path[n] = 0;
    return rc;
}

int found_manifests(const struct store *s, struct found_list *l, const char *root, const char *owner, struct err *err)
{
    struct walk w = { .s = s, .l = l, .root = root, .owner = owner };
    return join(w.path, root, "manifests") ? fs_list(w.path, walk_entry, &w, err) : 0;
}

/* ---- files of a repository, or of any folder ---- */

enum { MAX_FILES = 4096, MAX_FOLDERS = 20000 };

struct file { const char *path, *name; uint64_t size; int64_t mtime; };      /* name: below the root */

struct files {
    struct arena arena;
    struct file *v;
    size_t n, folders, root;
    char path[STORE_PATH];
    unsigned depth;
    bool links;                            /* follow links to folders */
};

static int list_entry(void *arg, const char *name, struct err *err)
{
    struct files *f = arg;
    size_t n = strlen(f->path);
    struct fs_info info;
    if (*name == '.' || n + strlen(name) + 2 > STORE_PATH) return 0;
    fmt_into(f->path + n, STORE_PATH - n, "/%s", name);
    int rc = 0;
    bool there = fs_info(f->path, &info);
    if (there && info.folder) {
        if (f->depth && f->folders++ < MAX_FOLDERS && (f->links || !fs_is_link(f->path))) {
            f->depth--;
            rc = fs_list(f->path, list_entry, f, err);
            f->depth++;
            if (rc == ERR_IO) rc = 0;      /* not ours to read */
        }
    } else if (there && info.regular && f->n < MAX_FILES &&
               (name_ends_with(name, ".gguf") || name_ends_with(name, ".safetensors") || !strcmp(name, "config.json"))) {
        const char *path = arena_strdup(&f->arena, f->path, strlen(f->path));
        if (path) f->v[f->n++] = (struct file){ path, path + f->root, info.size, info.mtime };
        else rc = err_set(err, ERR_NOMEM, "out of memory for the files of %s", f->path);
    }
    f->path[n] = 0;
    return rc;
}

static int list_files(struct files *f, const char *root, unsigned depth, bool links, struct err *err)
{
    *f = (struct files){ .depth = depth, .links = links };
    if (strlen(root) + 2 > STORE_PATH) return 0;
    fmt_into(f->path, sizeof f->path, "%s", root);
    f->root = strlen(root) + 1;
    if (!(f->v = arena_new(&f->arena, struct file, MAX_FILES))) return err_set(err, ERR_NOMEM, "%s: out of memory", root);
    return fs_list(root, list_entry, f, err);
}

static bool is_projector(const char *name) { return name_contains(fs_base_name(name), "mmproj"); }

static bool same_folder(const char *a, const char *b)
{
    size_t n = (size_t)(fs_base_name(a) - a);
    return n == (size_t)(fs_base_name(b) - b) && !memcmp(a, b, n);
}

/* Whether b is another part of the split model whose first part is a. */
static bool same_split(const char *a, const char *b)
{
    size_t n = strlen(a);
    unsigned i, of_a, j, of_b;
    store_part_of(a, &i, &of_a);
    store_part_of(b, &j, &of_b);
    return of_a > 1 && of_a == of_b && n == strlen(b) && n > 15 && !memcmp(a, b, n - 19);
}

void found_link_digest(const char *path, char hex[SHA256_HEX + 1])
{
    struct buf real = { 0 };
    if (fs_is_link(path) && fs_real_path(path, &real) && sha256_is_hex(fs_base_name(real.data), strlen(fs_base_name(real.data))))
        fmt_into(hex, SHA256_HEX + 1, "%s", fs_base_name(real.data));
    buf_release(&real);
}

/* The projector beside a file, else any of the repository. */
static const char *projector_of(const struct files *f, const struct file *of, bool elsewhere)
{
    const char *other = NULL;
    for (size_t i = 0; i < f->n; i++) {
        if (!is_projector(f->v[i].name) || !name_ends_with(f->v[i].name, ".gguf")) continue;
        if (same_folder(f->v[i].path, of->path)) return f->v[i].path;
        if (!other) other = f->v[i].path;
    }
    return elsewhere ? other : NULL;
}

/* Whether another model of the repository has this quantisation too. */
static bool quant_is_shared(const struct files *f, const struct file *of, const char *quant)
{
    char other[48];
    for (size_t i = 0; i < f->n; i++) {
        unsigned part, parts;
        store_part_of(f->v[i].name, &part, &parts);
        if (&f->v[i] == of || part > 1 || !name_ends_with(f->v[i].name, ".gguf") || is_projector(f->v[i].name)) continue;
        store_quant_of(f->v[i].name, other, sizeof other);
        if (name_equal(quant, other)) return true;
    }
    return false;
}

static void put_stem(const char *file, struct buf *out)
{
    unsigned part, parts;
    size_t n = strlen(fs_base_name(file));
    store_part_of(file, &part, &parts);
    if (name_ends_with(file, ".gguf")) n -= parts > 1 ? 20 : 5;
    buf_put(out, fs_base_name(file), n);
}

static int add_gguf(struct found_list *l, const struct files *f, size_t i, struct found like, struct err *err)
{
    const struct file *file = &f->v[i];
    struct buf name = { 0 };
    char quant[48];
    unsigned part, parts;
    store_part_of(file->name, &part, &parts);
    if (part > 1 || is_projector(file->name)) return 0;
    like.path = file->path;
    like.file = file->name;
    like.mtime = file->mtime;
    like.projector = projector_of(f, file, like.name != NULL);
    for (size_t k = 0; k < f->n; k++)
        if (k == i || same_split(file->path, f->v[k].path)) {
            like.size += f->v[k].size;
            like.files++;
        }
    like.broken = like.files < parts;
    found_link_digest(file->path, like.digest);
    fmt_into(like.id, sizeof like.id, "%s", like.digest);
    store_quant_of(file->name, quant, sizeof quant);
    if (!like.name) put_stem(file->name, &name);
    else buf_printf(&name, "%s:%s", like.name, *quant && !quant_is_shared(f, file, quant) ? quant : file->name);
    like.plain = !like.name;
    like.name = name.data;
    int rc = name.bad ? err_set(err, ERR_NOMEM, "out of memory") : found_add(l, &like, err);
    buf_release(&name);
    return rc;
}

/* A folder with config.json and weights beside it is a model; all its safetensors belong to it. */
static int add_safetensors(struct found_list *l, const struct files *f, size_t i, struct found like, struct err *err)
{
    char path[STORE_PATH];
    const struct file *config = &f->v[i];
    for (size_t k = 0; k < f->n; k++)
        if (same_folder(config->path, f->v[k].path) && name_ends_with(f->v[k].name, ".safetensors")) {
            like.size += f->v[k].size;
            like.mtime = f->v[k].mtime;
            like.files++;
        }
    size_t n = (size_t)(fs_base_name(config->path) - config->path) - 1;
    if (!like.files || n >= sizeof path) return 0;
    fmt_into(path, sizeof path, "%.*s", (int)n, config->path);
    like.plain = !like.name;
    if (!like.name) like.name = fs_base_name(path);
    like.path = path;
    return found_add(l, &like, err);
}

static int add_files(struct found_list *l, const struct files *f, const char *owner, const char *name, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < f->n; i++) {
        const struct found like = { .owner = owner, .name = name };
        if (name_ends_with(f->v[i].name, ".gguf")) rc = add_gguf(l, f, i, like, err);
        else if (!strcmp(fs_base_name(f->v[i].name), "config.json")) rc = add_safetensors(l, f, i, like, err);
    }
    return rc;
}

static int scan(struct found_list *l, const char *path, struct found_scan how, const char *name, struct err *err)
{
    struct files f;
    int rc = list_files(&f, path, how.depth, how.two_levels, err);
    if (rc == 0) rc = add_files(l, &f, how.owner, name, err);
    arena_release(&f.arena);
    return rc;
}

int found_repository(struct found_list *l, const char *path, const char *owner, const char *name, struct err *err)
{
    return scan(l, path, (struct found_scan){ owner, 3, true }, name, err);
}

/* ---- PUBLISHER/REPO/FILE ---- */

struct level { struct found_list *l; const char *owner, *publisher; char path[STORE_PATH]; };

static int repo_entry(void *arg, const char *name, struct err *err)
{
    struct level *v = arg;
    char path[STORE_PATH], hub[2 * NAME_HUB_PART + 16];
    struct name parsed;
    if (*name == '.' || !join(path, v->path, name) || !os_is_folder(path)) return 0;
    fmt_into(hub, sizeof hub, "%s/%.100s/%.100s", NAME_HUB_HOST, v->publisher, name);
    return found_repository(v->l, path, v->owner, name_parse(&parsed, hub, NULL) == 0 ? hub : NULL, err);
}

static int publisher_entry(void *arg, const char *name, struct err *err)
{
    struct level *v = arg;
    size_t n = strlen(v->path);
    if (*name == '.' || n + strlen(name) + 2 > STORE_PATH) return 0;
    fmt_into(v->path + n, STORE_PATH - n, "/%s", name);
    v->publisher = name;
    int rc = fs_list(v->path, repo_entry, v, err);
    v->path[n] = 0;
    return rc;
}

int found_folder(struct found_list *l, const char *root, struct found_scan how, struct err *err)
{
    if (!how.two_levels) return scan(l, root, how, NULL, err);
    struct level v = { .l = l, .owner = how.owner };
    if (strlen(root) >= STORE_PATH) return 0;
    fmt_into(v.path, sizeof v.path, "%s", root);
    return fs_list(root, publisher_entry, &v, err);
}

/* ---- the cache of the Hugging Face Hub ---- */

struct hub { struct found_list *l; const char *root; };

struct newest { const char *folder; char name[256]; int64_t mtime; };

static int newer(void *arg, const char *name, struct err *err)
{
    struct newest *n = arg;
    char path[STORE_PATH];
    struct fs_info info;
    (void)err;
    if (join(path, n->folder, name) && fs_info(path, &info) && info.folder && (!n->name[0] || info.mtime > n->mtime)) {
        fmt_into(n->name, sizeof n->name, "%s", name);
        n->mtime = info.mtime;
    }
    return 0;
}

/* The snapshot that refs/main names, else the newest. */
static bool snapshot_of(const char *repo, char dst[STORE_PATH])
{
    char path[STORE_PATH], folder[STORE_PATH], *text;
    size_t n;
    if (!join(path, repo, "refs/main") || !join(folder, repo, "snapshots")) return false;
    if (os_read_file(path, 256, &text, &n, NULL) == 0) {
        text[strcspn(text, " \r\n")] = 0;
        bool good = name_is_safe_path(text, 255) && !strchr(text, '/') && join(dst, folder, text) && os_is_folder(dst);
        mem_free(text);
        if (good) return true;
    }
    struct newest best = { .folder = folder };
    return fs_list(folder, newer, &best, NULL) == 0 && best.name[0] && join(dst, folder, best.name);
}

static int hub_entry(void *arg, const char *name, struct err *err)
{
    struct hub *h = arg;
    char repo[STORE_PATH], path[STORE_PATH], hub[2 * NAME_HUB_PART + 16];
    const char *user = name + 8, *cut = strncmp(name, "models--", 8) ? NULL : strstr(user, "--");
    struct name parsed;
    if (!cut || strlen(user) > 2 * NAME_HUB_PART || !join(repo, h->root, name) || !snapshot_of(repo, path)) return 0;
    fmt_into(hub, sizeof hub, "%s/%.*s/%s", NAME_HUB_HOST, (int)(cut - user), user, cut + 2);
    return name_parse(&parsed, hub, NULL) < 0 ? 0 : found_repository(h->l, path, "huggingface", hub, err);
}

int found_hub(struct found_list *l, const char *root, struct err *err)
{
    return fs_list(root, hub_entry, &(struct hub){ l, root }, err);
}
