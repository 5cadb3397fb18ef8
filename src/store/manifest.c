#include "store/manifest.h"

#include <string.h>

#include "base/json.h"
#include "store/name.h"

#define TITLE "org.opencontainers.image.title"
#define PATH  "hearth.path"
#define OWN   "hearth.own"

static const struct { enum layer_kind kind; const char *type; } type_of[] = {
    { LAYER_CONFIG, "application/vnd.docker.container.image.v1+json" },
    { LAYER_MODEL, "application/vnd.ollama.image.model" },
    { LAYER_MODEL, "application/vnd.docker.ai.gguf.v3" },
    { LAYER_PROJECTOR, "application/vnd.ollama.image.projector" },
    { LAYER_ADAPTER, "application/vnd.ollama.image.adapter" },
    { LAYER_DRAFT, "application/vnd.ollama.image.draft" },
    { LAYER_TEMPLATE, "application/vnd.ollama.image.template" },
    { LAYER_TEMPLATE, "application/vnd.ollama.image.prompt" },
    { LAYER_SYSTEM, "application/vnd.ollama.image.system" },
    { LAYER_PARAMS, "application/vnd.ollama.image.params" },
    { LAYER_MESSAGES, "application/vnd.ollama.image.messages" },
    { LAYER_LICENSE, "application/vnd.ollama.image.license" },
};
enum { N_TYPES = sizeof type_of / sizeof *type_of };

const char *layer_type(enum layer_kind kind)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (type_of[i].kind == kind) return type_of[i].type;
    return "application/octet-stream";
}

static enum layer_kind kind_of(const char *type)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (!strcmp(type_of[i].type, type)) return type_of[i].kind;
    return LAYER_OTHER;
}

bool digest_parse(const char *s, char hex[SHA256_HEX + 1])
{
    if (strncmp(s, "sha256:", 7) && strncmp(s, "sha256-", 7)) return false;
    if (!sha256_is_hex(s + 7, strlen(s + 7))) return false;
    memcpy(hex, s + 7, SHA256_HEX + 1);
    return true;
}

void manifest_release(struct manifest *m)
{
    arena_release(&m->arena);
    *m = (struct manifest){ 0 };
}

static const char *copy(struct manifest *m, const char *s, bool *ok)
{
    const char *c = s ? arena_strdup(&m->arena, s, strlen(s)) : NULL;
    if (s && !c) *ok = false;
    return c;
}

struct layer *manifest_add(struct manifest *m, const struct layer *l)
{
    enum { GROW = 16 };
    if (m->n == MANIFEST_MAX_LAYERS) return NULL;
    if (m->n % GROW == 0) {
        struct layer *v = arena_new(&m->arena, struct layer, m->n + GROW);
        if (!v) return NULL;
        if (m->n) memcpy(v, m->layer, m->n * sizeof *v);
        m->layer = v;
    }
    bool ok = true;
    struct layer *to = &m->layer[m->n];
    *to = *l;
    to->type = copy(m, l->type ? l->type : layer_type(l->kind), &ok);
    to->title = copy(m, l->title, &ok);
    to->path = copy(m, l->path, &ok);
    if (!ok) return NULL;
    m->n++;
    return to;
}

const struct layer *manifest_find(const struct manifest *m, enum layer_kind kind)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->layer[i].kind == kind) return &m->layer[i];
    return NULL;
}

static size_t folder_len(const char *path) { return strrchr(path, '/') ? (size_t)(strrchr(path, '/') - path) : 0; }

bool manifest_in_place(const struct manifest *m)
{
    const struct layer *first = manifest_find(m, LAYER_MODEL);
    if (!first || !first->path) return false;
    size_t n = folder_len(first->path), files = 0;
    bool named = true;
    for (size_t i = 0; i < m->n; i++) {
        const struct layer *l = &m->layer[i];
        if (l->kind != LAYER_MODEL) continue;
        if (!l->path || folder_len(l->path) != n || memcmp(l->path, first->path, n)) return false;
        const char *title = l->title ? l->title + (strrchr(l->title, '/') ? folder_len(l->title) + 1 : 0) : NULL;
        named = named && title && !strcmp(title, l->path + n + 1);
        files++;
    }
    return files == 1 || named;
}

/* ---- reading ---- */

/* A string without zero bytes, or NULL. */
static const char *text_of(const struct json *object, const char *key)
{
    size_t n;
    const char *s = json_str(json_get(object, key), &n);
    return s && strlen(s) == n ? s : NULL;
}

static int read_layer(struct layer *l, const struct json *j, bool outside, struct err *err)
{
    const uint64_t most = (uint64_t)1 << 48;
    const char *digest = text_of(j, "digest");
    const struct json *size = json_get(j, "size"), *notes = json_get(j, "annotations");
    l->type = text_of(j, "mediaType");
    if (!l->type || strlen(l->type) > 200) return err_set(err, ERR_FORMAT, "has no good mediaType");
    if (!digest || !digest_parse(digest, l->digest))
        return err_set(err, ERR_FORMAT, "the digest \"%.100s\" is not sha256: and 64 digits", digest ? digest : "");
    if (json_type(size) != JSON_INT || json_int(size) < 0 || (uint64_t)json_int(size) > most)
        return err_set(err, ERR_FORMAT, "the size is not a whole number from 0 to %llu", (unsigned long long)most);
    l->size = (uint64_t)json_int(size);
    l->kind = kind_of(l->type);
    l->title = text_of(notes, TITLE);
    l->path = text_of(notes, PATH);
    l->own = !outside && json_bool(json_get(notes, OWN));
    if (l->title && !name_is_safe_path(l->title, NAME_FILE))
        return err_set(err, ERR_FORMAT, "the title \"%.100s\" is not a plain path", l->title);
    if (l->path && (outside || *l->path != '/'))
        return err_set(err, ERR_FORMAT, "names \"%.100s\", a file of this machine", l->path);
    return 0;
}

static int read_one(struct manifest *m, const struct json *j, const char *what, bool outside, struct err *err)
{
    struct layer l = { 0 };
    int rc = read_layer(&l, j, outside, err);
    if (rc < 0) return err_prefix(err, rc, "%s: ", what);
    return manifest_add(m, &l) ? 0 : err_set(err, ERR_NOMEM, "%s: out of memory", what);
}

static int read_children(struct manifest *m, const struct json *list, struct err *err)
{
    const char *digest = text_of(json_at(list, 0), "digest");
    if (digest && digest_parse(digest, m->child)) return 0;
    return err_set(err, ERR_FORMAT, "manifests[0]: no good digest");
}

static int read_all(struct manifest *m, const struct json *j, bool outside, struct err *err)
{
    const struct json *layers = json_get(j, "layers"), *config = json_get(j, "config"), *children = json_get(j, "manifests");
    if (json_type(j) != JSON_OBJECT) return err_set(err, ERR_FORMAT, "is no JSON object");
    if (!layers && json_type(children) == JSON_ARRAY) return read_children(m, children, err);
    if (json_type(layers) != JSON_ARRAY) return err_set(err, ERR_FORMAT, "has no layers");
    if (json_len(layers) >= MANIFEST_MAX_LAYERS)
        return err_set(err, ERR_LIMIT, "has %zu layers, at most %d are allowed", json_len(layers), MANIFEST_MAX_LAYERS - 1);
    int rc = 0;
    if (json_type(config) == JSON_OBJECT) {
        rc = read_one(m, config, "config", outside, err);
        if (rc == 0) m->layer[0].kind = LAYER_CONFIG;
    }
    for (size_t i = 0; rc == 0 && i < json_len(layers); i++) {
        char what[32];
        fmt_into(what, sizeof what, "layers[%zu]", i);
        rc = read_one(m, json_at(layers, i), what, outside, err);
    }
    return rc;
}

int manifest_parse(struct manifest *m, const char *text, size_t n, bool outside, struct err *err)
{
    *m = (struct manifest){ .arena = { .limit = 8 * MANIFEST_MAX } };
    if (n > MANIFEST_MAX) return err_set(err, ERR_LIMIT, "the manifest has %zu bytes, at most %d are allowed", n, MANIFEST_MAX);
    struct json *j;
    int rc = json_parse(&j, text, n, err);
    if (rc == 0) {
        rc = read_all(m, j, outside, err);
        json_free(j);
    }
    if (rc == 0) return 0;
    manifest_release(m);
    return err_prefix(err, rc, "the manifest: ");
}

/* ---- writing ---- */

static void put_str(const char *s, struct buf *out) { json_write_str(s, strlen(s), out); }

static void put_layer(const struct layer *l, struct buf *out)
{
    buf_puts(out, "{\"mediaType\":");
    put_str(l->type, out);
    buf_printf(out, ",\"digest\":\"sha256:%s\",\"size\":%llu", l->digest, (unsigned long long)l->size);
    const char *before = ",\"annotations\":{";
    const struct { const char *name, *value; } note[] = { { TITLE, l->title }, { PATH, l->path } };
    for (size_t i = 0; i < 2; i++) {
        if (!note[i].value) continue;
        buf_printf(out, "%s\"%s\":", before, note[i].name);
        put_str(note[i].value, out);
        before = ",";
    }
    if (l->own) buf_printf(out, "%s\"" OWN "\":true", before);
    if (l->title || l->path || l->own) buf_putc(out, '}');
    buf_putc(out, '}');
}

void manifest_write(const struct manifest *m, struct buf *out)
{
    buf_puts(out, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\"");
    size_t at = 0;
    if (m->n && m->layer[0].kind == LAYER_CONFIG) {
        buf_puts(out, ",\"config\":");
        put_layer(&m->layer[at++], out);
    }
    buf_puts(out, ",\"layers\":[");
    for (size_t first = at; at < m->n; at++) {
        if (at > first) buf_putc(out, ',');
        put_layer(&m->layer[at], out);
    }
    buf_puts(out, "]}");
}
