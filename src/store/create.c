/* A model in the making: a manifest that grows and is written last. */
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/params.h"
#include "store/store.h"

int create_begin(struct create *c, struct store *s, struct err *err)
{
    *c = (struct create){ .store = s };
    return store_lock_shared(s, &c->lock, err);
}

void create_release(struct create *c)
{
    fs_file_close(c->lock);
    c->lock = NULL;
    manifest_release(&c->m);
}

static int add(struct create *c, const struct layer *l, struct err *err)
{
    if (c->m.n >= MANIFEST_MAX_LAYERS - 1) return err_set(err, ERR_LIMIT, "more than %d files", MANIFEST_MAX_LAYERS - 1);
    return manifest_add(&c->m, l) ? 0 : err_set(err, ERR_NOMEM, "out of memory for the manifest");
}

/* ---- files ---- */

/* The file as a blob: its bytes copied, *size of them. */
static int copy_file(struct create *c, const char *path, uint64_t *size, char hex[SHA256_HEX + 1], struct err *err)
{
    enum { PIECE = 1 << 20 };
    struct fs_file *f = NULL;
    struct blob_writer *w = NULL;
    char *piece = mem_new(PIECE, 1);
    int rc = piece ? fs_file_open(&f, path, FS_READ, err) : err_set(err, ERR_NOMEM, "%s: out of memory", path);
    *size = rc == 0 ? fs_file_size(f) : 0;
    if (rc == 0) rc = store_check_space(c->store, *size, err);
    if (rc == 0) rc = store_blob_begin(&w, c->store, NULL, err);
    for (uint64_t at = 0; rc == 0 && at < *size; at += PIECE) {
        size_t n = *size - at < PIECE ? (size_t)(*size - at) : PIECE;
        rc = fs_file_read(f, at, piece, n, err);
        if (rc == 0) rc = store_blob_write(w, piece, n, err);
        if (rc == 0 && c->progress && !c->progress(c->arg, at + n, *size)) rc = err_set(err, ERR_CANCELLED, "interrupted");
    }
    if (rc == 0) rc = store_blob_end(w, hex, err);
    else store_blob_abort(w);
    fs_file_close(f);
    mem_free(piece);
    return rc;
}

/* The file itself becomes the blob, where both are on one disk; else it is copied, then removed. */
static int move_file(struct create *c, const char *path, uint64_t *size, char hex[SHA256_HEX + 1], struct err *err)
{
    char blob[STORE_PATH];
    struct fs_file *f;
    int rc = store_digest(c->store, path, hex, c->progress, c->arg, err);
    if (rc < 0 || (rc = fs_file_open(&f, path, FS_READ, err)) < 0) return rc;
    *size = fs_file_size(f);
    bool there = store_has_blob(c->store, hex, NULL);
    if (!store_blob_path(c->store, blob, hex)) rc = err_set(err, ERR_LIMIT, "the path of the store is too long");
    if (rc == 0) rc = store_make_blobs(c->store, err);
    bool moved = rc == 0 && !there && fs_file_publish(f, path, blob, true, NULL) == 0;
    if (rc == 0 && !there && !moved) rc = copy_file(c, path, size, hex, err);
    if (rc == 0 && !moved) os_file_remove(path);
    fs_file_close(f);
    return rc;
}

static int take_file(struct create *c, struct layer *l, const char *path, struct err *err)
{
    char hex[SHA256_HEX + 1] = "";
    struct fs_info info;
    int rc;
    if (c->how == CREATE_COPY) rc = copy_file(c, path, &l->size, hex, err);
    else if (c->how == CREATE_MOVE) rc = move_file(c, path, &l->size, hex, err);
    else {
        rc = store_digest(c->store, path, hex, c->progress, c->arg, err);
        l->size = rc == 0 && fs_info(path, &info) ? info.size : 0;
        l->path = path;
    }
    fmt_into(l->digest, sizeof l->digest, "%s", hex);
    return rc;
}

static int add_file(struct create *c, enum layer_kind kind, const char *path, const char *title, struct err *err)
{
    struct layer l = { .kind = kind, .title = title, .type = layer_type(kind) };
    struct buf real = { 0 };
    int rc = fs_real_path(path, &real) ? 0 : err_set(err, ERR_NOTFOUND, "%.400s: No such file or directory", path);
    if (rc == 0 && title && !name_is_safe_path(title, NAME_FILE))
        rc = err_set(err, ERR_ARG, "%.200s: a name with characters that no model's file may have", title);
    if (rc == 0) rc = take_file(c, &l, real.data, err);
    if (rc == 0) rc = add(c, &l, err);
    buf_release(&real);
    return rc;
}

/* All parts of a split model, the first one named; or the one file. */
static int add_gguf(struct create *c, enum layer_kind kind, const char *path, struct err *err)
{
    unsigned part, parts;
    char at[STORE_PATH], magic[4];
    struct fs_file *f;
    store_part_of(path, &part, &parts);
    int rc = fs_file_open(&f, path, FS_READ, err);
    if (rc < 0) return rc;
    bool gguf = fs_file_read(f, 0, magic, 4, NULL) == 0 && !memcmp(magic, "GGUF", 4);
    fs_file_close(f);
    if (!gguf) return err_set(err, ERR_FORMAT, "%.400s: is no GGUF file, nor a folder of the Hugging Face Hub", path);
    if (part != 1) return err_set(err, ERR_ARG, "%.400s: name the first part of a split model", path);
    if (strlen(path) >= sizeof at) return err_set(err, ERR_LIMIT, "%.200s...: the path is too long", path);
    for (unsigned i = 1; rc == 0 && i <= parts; i++) {
        char number[8];
        fmt_into(at, sizeof at, "%s", path);
        fmt_into(number, sizeof number, "%05u", i);
        if (parts > 1) memcpy(at + strlen(at) - 19, number, 5);
        rc = add_file(c, kind, at, kind == LAYER_MODEL || kind == LAYER_PROJECTOR ? fs_base_name(at) : NULL, err);
    }
    return rc;
}

struct folder { struct create *c; enum layer_kind kind; const char *path; size_t n; };

static int add_entry(void *arg, const char *name, struct err *err)
{
    static const char *const small[] = { ".json", ".safetensors", "tokenizer.model", "merges.txt", "vocab.txt", ".jinja" };
    struct folder *f = arg;
    char path[STORE_PATH];
    struct fs_info info;
    bool wanted = false;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) wanted = wanted || name_ends_with(name, small[i]);
    if (!wanted || *name == '.' || strlen(f->path) + strlen(name) + 2 > sizeof path) return 0;
    fmt_into(path, sizeof path, "%s/%s", f->path, name);
    if (!fs_info(path, &info) || !info.regular) return 0;
    f->n += name_ends_with(name, ".safetensors");
    return add_file(f->c, f->kind, path, name, err);
}

static int add_folder(struct create *c, enum layer_kind kind, const char *path, struct err *err)
{
    struct folder f = { c, kind, path, 0 };
    char config[STORE_PATH];
    const char *name = kind == LAYER_ADAPTER ? "adapter_config.json" : "config.json";
    if (strlen(path) + strlen(name) + 2 > sizeof config) return err_set(err, ERR_LIMIT, "%.200s...: the path is too long", path);
    fmt_into(config, sizeof config, "%s/%s", path, name);
    if (!os_file_exists(config))
        return err_set(err, ERR_ARG, "%.400s: is a folder without %s; name the GGUF file in it", path, name);
    int rc = fs_list(path, add_entry, &f, err);
    if (rc == 0 && !f.n) rc = err_set(err, ERR_ARG, "%.400s: has no safetensors", path);
    return rc;
}

int create_path(struct create *c, enum layer_kind kind, const char *path, struct err *err)
{
    return os_is_folder(path) ? add_folder(c, kind, path, err) : add_gguf(c, kind, path, err);
}

int create_blob(struct create *c, enum layer_kind kind, const char *hex, const char *title, struct err *err)
{
    struct layer l = { .kind = kind, .title = title, .type = layer_type(kind) };
    if (!store_has_blob(c->store, hex, &l.size)) return err_set(err, ERR_NOTFOUND, "there is no blob sha256:%.64s", hex);
    if (title && !name_is_safe_path(title, NAME_FILE))
        return err_set(err, ERR_ARG, "\"%.200s\" is not a plain path", title);
    fmt_into(l.digest, sizeof l.digest, "%s", hex);
    return add(c, &l, err);
}

/* ---- texts ---- */

static void drop(struct create *c, enum layer_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < c->m.n; i++)
        if (c->m.layer[i].kind != kind) c->m.layer[n++] = c->m.layer[i];
    /* manifest_add counts rows in whole steps: an array that shrank across one is copied again, which costs only memory. */
    c->m.n = n;
}

int create_text(struct create *c, enum layer_kind kind, const char *text, struct err *err)
{
    struct layer l = { .kind = kind, .type = layer_type(kind), .own = kind == LAYER_TEMPLATE };
    if (kind != LAYER_LICENSE || !text || !*text) drop(c, kind);
    if (!text || !*text) return 0;
    l.size = strlen(text);
    if (l.size > PARTS_TEXT) return err_set(err, ERR_LIMIT, "a text of %llu bytes: at most %d are allowed",
                                            (unsigned long long)l.size, PARTS_TEXT);
    int rc = store_put_blob(c->store, text, (size_t)l.size, l.digest, err);
    return rc < 0 ? rc : add(c, &l, err);
}

/* What the layer of that kind says now, as JSON; NULL when there is none. */
static int present(const struct create *c, enum layer_kind kind, struct json **out, struct err *err)
{
    const struct layer *l = manifest_find(&c->m, kind);
    char path[STORE_PATH], *text;
    size_t n;
    *out = NULL;
    if (!l) return 0;
    if (!store_blob_path(c->store, path, l->digest)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    int rc = os_read_file(l->path ? l->path : path, PARTS_TEXT, &text, &n, err);
    if (rc < 0) return rc;
    if ((rc = json_parse(out, text, n, err)) < 0) rc = err_prefix(err, rc, "the settings of the model: ");
    mem_free(text);
    return rc;
}

int create_params(struct create *c, const struct json *params, struct err *err)
{
    struct json *all, *v;
    struct buf text = { 0 };
    const char *key;
    int rc = params_check(params, err);
    if (rc == 0) rc = present(c, LAYER_PARAMS, &all, err);
    if (rc < 0) return rc;
    if (json_type(all) != JSON_OBJECT) {
        json_free(all);
        all = json_new_object();
    }
    bool ok = all != NULL;
    for (void *it = NULL; ok && json_next(params, &it, &key, &v);) ok = json_put(all, key, json_share(v));
    if (ok) json_write(all, false, &text);
    if (!ok || text.bad) rc = err_set(err, ERR_NOMEM, "out of memory for the settings");
    if (rc == 0) rc = create_text(c, LAYER_PARAMS, json_len(all) ? text.data : NULL, err);
    json_free(all);
    buf_release(&text);
    return rc;
}

/* ---- a model that is there ---- */

/* A small file of another store becomes a blob of ours; a large one stays where it lies. */
static int add_layer(struct create *c, const struct found *f, const struct layer *from, struct err *err)
{
    struct layer l = *from;
    char path[STORE_PATH], *text;
    size_t n;
    if (f->ours) return add(c, &l, err);
    if (!store_layer_path(f->manifest, from, path)) return err_set(err, ERR_LIMIT, "%s: the path is too long", f->name);
    bool large = l.kind == LAYER_MODEL || l.kind == LAYER_PROJECTOR || l.kind == LAYER_ADAPTER || l.kind == LAYER_DRAFT ||
                 l.size > PARTS_TEXT;
    if (large) {
        l.path = path;
        return add(c, &l, err);
    }
    int rc = os_read_file(path, PARTS_TEXT, &text, &n, err);
    if (rc < 0) return rc;
    char hex[SHA256_HEX + 1];
    rc = store_put_blob(c->store, text, n, hex, err);
    mem_free(text);
    if (rc == 0 && strcmp(hex, l.digest)) rc = err_set(err, ERR_FORMAT, "%.300s: is not what its name says", path);
    return rc < 0 ? rc : add(c, &l, err);
}

int create_from(struct create *c, const struct found *f, struct err *err)
{
    struct manifest m;
    if (f->broken)
        return err_set(err, ERR_NOTFOUND, "%s: a file of it is missing or has another size: %.300s", f->name, f->path);
    if (!f->manifest) {
        int rc = create_path(c, LAYER_MODEL, f->path, err);
        return rc == 0 && f->projector ? create_path(c, LAYER_PROJECTOR, f->projector, err) : rc;
    }
    int rc = store_read_manifest(f->manifest, &m, NULL, err);
    if (rc < 0) return rc;
    for (size_t i = 0; rc == 0 && i < m.n; i++) rc = add_layer(c, f, &m.layer[i], err);
    manifest_release(&m);
    return rc;
}

/* ---- the end ---- */

int create_end(struct create *c, const struct name *name, struct err *err)
{
    struct buf text = { 0 };
    if (name->kind != NAME_REGISTRY)
        return err_set(err, ERR_ARG, "a model is kept under a name such as mine or me/mine:small, not under a %s",
                       name->kind == NAME_HUB ? "name of the Hugging Face Hub" : name->kind == NAME_URL ? "URL" : "path");
    if (!manifest_find(&c->m, LAYER_MODEL)) return err_set(err, ERR_ARG, "there is no model in it");
    /* The configuration, if there is one, comes first. */
    for (size_t i = 1; i < c->m.n; i++)
        if (c->m.layer[i].kind == LAYER_CONFIG) {
            struct layer l = c->m.layer[i];
            memmove(c->m.layer + 1, c->m.layer, i * sizeof l);
            c->m.layer[0] = l;
        }
    int rc = store_make_view(c->store, &c->m, err);
    if (rc < 0) return rc;
    manifest_write(&c->m, &text);
    if (text.bad) rc = err_set(err, ERR_NOMEM, "out of memory for the manifest");
    if (rc == 0 && text.len > MANIFEST_MAX) rc = err_set(err, ERR_LIMIT, "the manifest has more than %d bytes", MANIFEST_MAX);
    if (rc == 0) rc = store_write_manifest(c->store, name, text.data, text.len, err);
    buf_release(&text);
    return rc;
}

int store_copy(struct store *s, const struct found *f, const struct name *to, const struct copy_options *o, struct err *err)
{
    struct create c;
    char path[STORE_PATH];
    int rc = create_begin(&c, s, err);
    c.progress = o->progress;
    c.arg = o->arg;
    if (rc == 0 && to->kind == NAME_REGISTRY && !o->replace && (rc = store_manifest_path(s, to, path, err)) == 0 &&
        os_file_exists(path))
        rc = err_set(err, ERR_ARG, "%s/%s:%s is here already (hearth cp --force takes its place)", to->space, to->model, to->tag);
    if (rc == 0) rc = create_from(&c, f, err);
    if (rc == 0) rc = create_end(&c, to, err);
    create_release(&c);
    return rc;
}
