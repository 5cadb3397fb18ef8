#include "store/store.h"

#include <string.h>

#include "base/env.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"

int store_open(struct store *s, struct err *err)
{
    *s = (struct store){ .indexed = false };
    const char *own = env_get(ENV_MODELS), *data = env_get(ENV_XDG_DATA), *home = env_get(ENV_HOME);
    struct buf b = { 0 };
    if (own) buf_puts(&b, own);
    else if (data) buf_printf(&b, "%s/hearth", data);
    else if (home) buf_printf(&b, "%s/.local/share/hearth", home);
    int rc = b.bad ? err_set(err, ERR_NOMEM, "the store: out of memory") : 0;
    if (rc == 0 && !b.len) rc = err_set(err, ERR_ARG, "no place for models: set HEARTH_MODELS, or HOME");
    if (rc == 0 && b.len > STORE_PATH / 4) rc = err_set(err, ERR_LIMIT, "the path of the store is too long");
    if (rc == 0) fmt_into(s->root, sizeof s->root, "%s", b.data);
    buf_release(&b);
    return rc;
}

void store_close(struct store *s)
{
    index_close(s->index);
    s->index = NULL;
}

struct index *store_index(struct store *s)
{
    char path[STORE_PATH];
    if (s->indexed) return s->index;
    s->indexed = true;
    if (fs_make_folders(s->root, NULL) == 0 && store_path(s, path, "index.db", NULL)) s->index = index_open(path);
    return s->index;
}

bool store_path(const struct store *s, char dst[STORE_PATH], const char *a, const char *b)
{
    if (strlen(s->root) + strlen(a) + (b ? strlen(b) : 0) + 3 > STORE_PATH) return false;
    fmt_into(dst, STORE_PATH, "%s/%s%s%s", s->root, a, b ? "/" : "", b ? b : "");
    return true;
}

bool store_expand(char dst[STORE_PATH], const char *path)
{
    const char *home = env_get(ENV_HOME);
    bool from_home = !strncmp(path, "~/", 2) && home;
    if (strlen(path) + (from_home ? strlen(home) : 0) + 2 > STORE_PATH) return false;
    fmt_into(dst, STORE_PATH, "%s%s", from_home ? home : "", from_home ? path + 1 : path);
    return true;
}

bool store_blob_path(const struct store *s, char dst[STORE_PATH], const char *hex)
{
    char name[SHA256_HEX + 8];
    if (!sha256_is_hex(hex, strlen(hex))) return false;
    fmt_into(name, sizeof name, "sha256-%s", hex);
    return store_path(s, dst, "blobs", name);
}

/* ---- manifests ---- */

/* The tag under which a file of a repository is kept: its quantisation, else its name without ending. */
static void tag_of_file(const struct name *n, char tag[NAME_PART + 1])
{
    const char *base = fs_base_name(n->file);
    if (n->tag[0] || !n->file[0]) {
        fmt_into(tag, NAME_PART + 1, "%s", n->tag[0] ? n->tag : NAME_DEFAULT_TAG);
        return;
    }
    fmt_into(tag, NAME_PART + 1, "%s", base);
    if (strlen(base) < NAME_PART && name_ends_with(tag, ".gguf")) tag[strlen(tag) - 5] = 0;
    for (char *p = tag; *p; p++)
        if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || strchr("_.-", *p))) *p = '_';
    if (*tag == '.' || *tag == '-') *tag = '_';
}

int store_manifest_path(const struct store *s, const struct name *n, char dst[STORE_PATH], struct err *err)
{
    char tag[NAME_PART + 1], tail[NAME_HOST + 3 * NAME_HUB_PART + 8];
    if (n->kind != NAME_REGISTRY && n->kind != NAME_HUB) return err_set(err, ERR_ARG, "only a name can be kept, not a path");
    tag_of_file(n, tag);
    fmt_into(tail, sizeof tail, "%s/%s/%s/%s", n->host, n->space, n->model, tag);
    if (!store_path(s, dst, "manifests", tail)) return err_set(err, ERR_LIMIT, "%s: the path is too long", tail);
    return 0;
}

int store_read_manifest(const char *path, struct manifest *m, char id[SHA256_HEX + 1], struct err *err)
{
    char *text;
    size_t n;
    *m = (struct manifest){ 0 };
    int rc = os_read_file(path, MANIFEST_MAX, &text, &n, err);
    if (rc < 0) return rc;
    rc = manifest_parse(m, text, n, false, err);
    if (rc == 0 && m->child[0]) rc = err_set(err, ERR_UNSUPPORTED, "a list of manifests");
    if (rc < 0) rc = err_prefix(err, rc, "%s: ", path);
    if (rc == 0 && id) rc = sha256_bytes(text, n, id, err);
    if (rc < 0) manifest_release(m);
    mem_free(text);
    return rc;
}

static int write_file(const char *path, const void *p, size_t n, struct err *err)
{
    char folder[STORE_PATH];
    fmt_into(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    struct os_writer *w;
    int rc = fs_make_folders(folder, err);
    if (rc == 0 && (rc = os_write_begin(&w, path, err)) == 0) {
        rc = os_write(w, p, n, err);
        if (rc == 0) rc = os_write_commit(w, err);
        else os_write_abort(w);
    }
    return rc;
}

int store_write_manifest(const struct store *s, const struct name *n, const char *text, size_t len, struct err *err)
{
    char path[STORE_PATH];
    int rc = store_manifest_path(s, n, path, err);
    return rc < 0 ? rc : write_file(path, text, len, err);
}

int store_put_blob(const struct store *s, const void *p, size_t n, char hex[SHA256_HEX + 1], struct err *err)
{
    char path[STORE_PATH];
    int rc = sha256_bytes(p, n, hex, err);
    if (rc < 0) return rc;
    if (!store_blob_path(s, path, hex)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    return os_file_exists(path) ? 0 : write_file(path, p, n, err);
}

int store_make_blobs(const struct store *s, struct err *err)
{
    char path[STORE_PATH];
    if (!store_path(s, path, "blobs", NULL)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    return fs_make_folders(path, err);
}

int store_check_space(const struct store *s, uint64_t bytes, struct err *err)
{
    char path[STORE_PATH];
    const uint64_t spare = 64 << 20;
    int rc = bytes ? store_make_blobs(s, err) : 0;
    if (rc < 0 || !bytes || !store_path(s, path, "blobs", "x")) return rc;
    uint64_t free_bytes = os_disk_free(path);
    if (!free_bytes || (bytes <= free_bytes && free_bytes - bytes >= spare)) return 0;
    return err_set(err, ERR_LIMIT, "%s: %.2f GB are needed and %.2f GB are free; make room, or let HEARTH_MODELS name another "
                   "disk", s->root, ((double)bytes + (double)spare) / 1e9, (double)free_bytes / 1e9);
}


int store_make_view(const struct store *s, const struct manifest *m, struct err *err)
{
    const struct layer *first = manifest_find(m, LAYER_MODEL);
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) n += m->layer[i].kind == LAYER_MODEL;
    if (n < 2 || !first->title || manifest_in_place(m)) return 0;
    char folder[STORE_PATH], path[STORE_PATH], blob[SHA256_HEX + 32];
    if (!store_path(s, folder, "views", first->digest)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    int rc = fs_make_folders(folder, err);
    for (size_t i = 0; rc == 0 && i < m->n; i++) {
        const struct layer *l = &m->layer[i];
        if (l->kind != LAYER_MODEL || !l->title) continue;
        if (strlen(folder) + strlen(l->title) + 2 > STORE_PATH)
            return err_set(err, ERR_LIMIT, "%s: the path is too long", l->title);
        fmt_into(path, sizeof path, "%s/%s", folder, fs_base_name(l->title));
        fmt_into(blob, sizeof blob, "../../blobs/sha256-%s", l->digest);
        rc = fs_link_relative(l->path ? l->path : blob, path, err);
    }
    return rc;
}

/* ---- who may change it ---- */

static int open_lock(struct store *s, struct fs_file **out, struct err *err)
{
    char path[STORE_PATH];
    *out = NULL;
    if (!store_path(s, path, "lock", NULL)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    int rc = fs_make_folders(s->root, err);
    return rc == 0 ? fs_file_open(out, path, FS_WRITE, err) : rc;
}

int store_lock_shared(struct store *s, struct fs_file **out, struct err *err)
{
    enum { STEP_MS = 20, MOST_MS = 30000 };
    int rc = open_lock(s, out, err);
    for (int ms = 0; rc == 0 && !fs_file_share(*out); ms += STEP_MS) {
        fs_sleep_ms(STEP_MS);
        if (ms >= MOST_MS) rc = err_set(err, ERR_IO, "%s: somebody has been removing files for %d s", s->root, MOST_MS / 1000);
    }
    if (rc == 0) return 0;
    fs_file_close(*out);
    *out = NULL;
    return rc;
}

int store_lock_alone(struct store *s, struct fs_file **out, struct err *err)
{
    int rc = open_lock(s, out, err);
    if (rc == 0 && fs_file_lock(*out)) return 0;
    fs_file_close(*out);
    *out = NULL;
    return rc;
}

/* ---- names of files ---- */

static bool digit(char c) { return c >= '0' && c <= '9'; }

void store_part_of(const char *file, unsigned *part, unsigned *parts)
{
    size_t n = strlen(file);
    const char *end = name_ends_with(file, ".gguf") ? file + n - 5 : name_ends_with(file, ".safetensors") ? file + n - 12 : NULL;
    *part = *parts = 1;
    if (!end || end - file < 16 || memcmp(end - 9, "-of-", 4) || end[-15] != '-') return;
    unsigned a = 0, b = 0;
    for (int i = 0; i < 5; i++) {
        if (!digit(end[i - 14]) || !digit(end[i - 5])) return;
        a = 10 * a + (unsigned)(end[i - 14] - '0');
        b = 10 * b + (unsigned)(end[i - 5] - '0');
    }
    if (!a || a > b) return;
    *part = a;
    *parts = b;
}

/* Whether a word of a file's name is a type of weights: Q4_K_M, IQ2_XXS, F16, BF16, FP16, MXFP4_MOE, TQ1_0, 4bit. */
static bool is_quant(const char *s, size_t n)
{
    char w[32];
    if (n < 2 || n >= sizeof w) return false;
    for (size_t i = 0; i < n; i++) w[i] = s[i] >= 'a' && s[i] <= 'z' ? (char)(s[i] - 32) : s[i];
    w[n] = 0;
    static const char *const whole[] = { "F16", "BF16", "F32", "FP16", "FP32", "FP8", "MXFP4", "MXFP4_MOE", "NVFP4" };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (!strcmp(w, whole[i])) return true;
    if (digit(w[0]) && !strcmp(w + 1, "BIT")) return true;
    const char *p = w + (*w == 'I' || *w == 'T');
    return *p == 'Q' && digit(p[1]) && (!p[2] || p[2] == '_');
}

void store_quant_of(const char *file, char *dst, size_t n)
{
    const char *base = fs_base_name(file);
    if (n) *dst = 0;
    for (const char *p = base; *p;) {
        size_t k = strcspn(p, "-.");
        if (is_quant(p, k)) {
            bool ud = p - base >= 3 && !memcmp(p - 3, "UD-", 3);
            fmt_into(dst, n, "%s%.*s", ud ? "UD-" : "", (int)k, p);
        }
        p += k + (p[k] != 0);
    }
}

size_t store_choose(const char *(*name_at)(const void *arg, size_t i), const void *arg, const char *tag)
{
    static const char *const wish[] = { "Q4_K_M", "Q8_0", "" };
    const char *name;
    char quant[48];
    for (int exact = 1; *tag && exact >= 0; exact--)
        for (size_t i = 0; (name = name_at(arg, i)) != NULL; i++) {
            store_quant_of(name, quant, sizeof quant);
            if (exact ? name_equal(quant, tag) || name_equal(name, tag) : name_contains(name, tag)) return i;
        }
    for (size_t w = 0; !*tag && w < 3; w++)
        for (size_t i = 0; (name = name_at(arg, i)) != NULL; i++)
            if (!*wish[w] || name_contains(name, wish[w])) return i;
    return SIZE_MAX;
}
