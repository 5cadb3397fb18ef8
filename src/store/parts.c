/* What a model brings with it: the small files of its manifest, read. */
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/store.h"

bool store_layer_path(const char *manifest, const struct layer *l, char dst[STORE_PATH])
{
    if (l->path) return strlen(l->path) < STORE_PATH && (fmt_into(dst, STORE_PATH, "%s", l->path), true);
    /* ROOT/manifests/HOST/NAMESPACE/MODEL/TAG */
    const char *end = manifest + strlen(manifest);
    for (int i = 0; i < 5; i++)
        while (end > manifest && *--end != '/') continue;
    if (*end != '/' || (size_t)(end - manifest) + SHA256_HEX + 32 > STORE_PATH) return false;
    fmt_into(dst, STORE_PATH, "%.*s/blobs/sha256-%s", (int)(end - manifest), manifest, l->digest);
    return true;
}

static int read_text(struct parts *p, const char *path, const char **out, struct err *err)
{
    char *text;
    size_t n;
    int rc = os_read_file(path, PARTS_TEXT, &text, &n, err);
    if (rc < 0) return rc;
    if (strlen(text) != n) rc = err_set(err, ERR_FORMAT, "%s: has a zero byte: it is no text", path);
    else if (!(*out = arena_strdup(&p->arena, text, n))) rc = err_set(err, ERR_NOMEM, "%s: out of memory", path);
    mem_free(text);
    return rc;
}

/* A LoRA of PEFT is a folder: the one of its configuration. */
static int add_adapter(struct parts *p, char path[STORE_PATH], struct err *err)
{
    if (name_ends_with(path, ".safetensors") || name_ends_with(path, ".bin")) return 0;
    if (!strcmp(fs_base_name(path), "adapter_config.json")) path[fs_base_name(path) - 1 - path] = 0;
    if (p->n_adapter == PARTS_ADAPTERS) return err_set(err, ERR_LIMIT, "more than %d adapters", PARTS_ADAPTERS);
    p->adapter[p->n_adapter] = arena_strdup(&p->arena, path, strlen(path));
    return p->adapter[p->n_adapter++] ? 0 : err_set(err, ERR_NOMEM, "%s: out of memory", path);
}

static int keep_path(struct parts *p, const char *path, const char **out, struct err *err)
{
    return (*out = arena_strdup(&p->arena, path, strlen(path))) ? 0 : err_set(err, ERR_NOMEM, "%s: out of memory", path);
}

static int add_part(struct parts *p, enum layer_kind kind, char path[STORE_PATH], struct err *err)
{
    const char *ignored;
    switch (kind) {
    case LAYER_SYSTEM: return read_text(p, path, &p->system, err);
    case LAYER_TEMPLATE: return read_text(p, path, &p->template, err);
    case LAYER_PARAMS: return read_text(p, path, &p->params, err);
    case LAYER_MESSAGES: return read_text(p, path, &p->messages, err);
    case LAYER_CONFIG: return read_text(p, path, &p->config, err);
    case LAYER_LICENSE: return read_text(p, path, p->n_license < PARTS_LICENSES ? &p->license[p->n_license++] : &ignored, err);
    case LAYER_ADAPTER: return add_adapter(p, path, err);
    case LAYER_DRAFT: return p->draft ? 0 : keep_path(p, path, &p->draft, err);
    case LAYER_PROJECTOR: return p->projector ? 0 : keep_path(p, path, &p->projector, err);
    case LAYER_MODEL: case LAYER_OTHER: break;
    }
    return 0;
}

int store_parts(const struct found *f, struct parts *out, struct err *err)
{
    *out = (struct parts){ .arena = { .limit = 4 * (size_t)PARTS_TEXT } };
    if (!f->manifest) return f->projector ? keep_path(out, f->projector, &out->projector, err) : 0;
    struct manifest m;
    char path[STORE_PATH];
    int rc = store_read_manifest(f->manifest, &m, NULL, err);
    if (rc < 0) return rc;
    for (size_t i = 0; rc == 0 && i < m.n; i++) {
        if (store_layer_path(f->manifest, &m.layer[i], path)) rc = add_part(out, m.layer[i].kind, path, err);
        if (m.layer[i].kind == LAYER_TEMPLATE) out->own_template = m.layer[i].own;
    }
    manifest_release(&m);
    if (rc < 0) parts_release(out);
    return rc < 0 ? err_prefix(err, rc, "%s: ", f->name) : 0;
}

void parts_release(struct parts *p)
{
    arena_release(&p->arena);
    *p = (struct parts){ .n_license = 0 };
}
