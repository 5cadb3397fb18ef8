/* The files of a model, whoever keeps it. */
#include <string.h>

#include "base/fs.h"
#include "base/os.h"
#include "store/found.h"

struct each { const struct found *f; model_file_fn *fn; void *arg; };

static int plain(const struct each *e, const char *path, struct err *err)
{
    char hex[SHA256_HEX + 1] = "";
    struct fs_info info = { 0 };
    if (path == e->f->path) fmt_into(hex, sizeof hex, "%s", e->f->digest);
    if (!*hex) found_link_digest(path, hex);
    fs_info(path, &info);
    return e->fn(e->arg, &(struct model_file){ path, fs_base_name(path), hex, info.size, false }, err);
}

static int folder_entry(void *arg, const char *name, struct err *err)
{
    const struct each *e = arg;
    char path[STORE_PATH];
    if (!name_ends_with(name, ".safetensors") || strlen(e->f->path) + strlen(name) + 2 > sizeof path) return 0;
    fmt_into(path, sizeof path, "%s/%s", e->f->path, name);
    return plain(e, path, err);
}

/* A model without a manifest: its file, its parts, or the weights of its folder. */
static int each_plain(struct each *e, struct err *err)
{
    const char *path = e->f->path;
    unsigned part, parts;
    char at[STORE_PATH], number[8];
    if (os_is_folder(path)) return fs_list(path, folder_entry, e, err);
    store_part_of(path, &part, &parts);
    if (parts == 1) return plain(e, path, err);
    int rc = 0;
    for (unsigned i = 1; rc == 0 && i <= parts; i++) {
        fmt_into(at, sizeof at, "%s", path);
        fmt_into(number, sizeof number, "%05u", i);
        memcpy(at + strlen(at) - (name_ends_with(at, ".gguf") ? 19 : 26), number, 5);
        rc = plain(e, at, err);
    }
    return rc;
}

int store_each_file(const struct found *f, model_file_fn *fn, void *arg, struct err *err)
{
    struct each e = { f, fn, arg };
    struct manifest m;
    char path[STORE_PATH];
    if (!f->manifest) return each_plain(&e, err);
    int rc = store_read_manifest(f->manifest, &m, NULL, err);
    if (rc < 0) return rc;
    for (size_t i = 0; rc == 0 && i < m.n; i++) {
        const struct layer *l = &m.layer[i];
        if (!store_layer_path(f->manifest, l, path)) continue;
        rc = fn(arg, &(struct model_file){ path, l->title ? l->title : fs_base_name(path), l->digest, l->size,
                                           f->ours && !l->path }, err);
    }
    manifest_release(&m);
    return rc;
}
