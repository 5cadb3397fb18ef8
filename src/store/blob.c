/* Blobs that come as bytes, and digests of files. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "store/store.h"

struct blob_writer {
    struct store *s;
    struct fs_file *lock;
    struct sha256 *sha;
    struct os_writer *w;
    char want[SHA256_HEX + 1], path[STORE_PATH];
};

bool store_has_blob(const struct store *s, const char *hex, uint64_t *size)
{
    char path[STORE_PATH];
    struct fs_info info;
    if (!store_blob_path(s, path, hex) || !fs_info(path, &info) || !info.regular) return false;
    if (size) *size = info.size;
    return true;
}

void store_blob_abort(struct blob_writer *w)
{
    if (!w) return;
    os_write_abort(w->w);
    sha256_free(w->sha);
    fs_file_close(w->lock);
    mem_free(w);
}

int store_blob_begin(struct blob_writer **out, struct store *s, const char *hex, struct err *err)
{
    char folder[STORE_PATH], name[48];
    *out = NULL;
    if (hex && *hex && !sha256_is_hex(hex, strlen(hex))) return err_set(err, ERR_ARG, "\"%.80s\" is no SHA-256", hex);
    struct blob_writer *w = mem_new(1, sizeof *w);
    if (!w) return err_set(err, ERR_NOMEM, "out of memory for a blob");
    w->s = s;
    fmt_into(w->want, sizeof w->want, "%s", hex ? hex : "");
    fmt_into(name, sizeof name, "upload-%016llx", (unsigned long long)os_random64());
    int rc = store_path(s, folder, "blobs", NULL) && store_path(s, w->path, "blobs", name)
                 ? fs_make_folders(folder, err) : err_set(err, ERR_LIMIT, "the path of the store is too long");
    if (rc == 0) rc = store_lock_shared(s, &w->lock, err);
    if (rc == 0) rc = sha256_new(&w->sha, err);
    if (rc == 0) rc = os_write_begin(&w->w, w->path, err);
    if (rc < 0) store_blob_abort(w);
    else *out = w;
    return rc;
}

int store_blob_write(struct blob_writer *w, const void *p, size_t n, struct err *err)
{
    if (!sha256_add(w->sha, p, n)) return err_set(err, ERR_NOMEM, "SHA-256: the library failed");
    return os_write(w->w, p, n, err);
}

int store_blob_end(struct blob_writer *w, char hex[SHA256_HEX + 1], struct err *err)
{
    char found[SHA256_HEX + 1], path[STORE_PATH];
    int rc = sha256_end(w->sha, found) ? 0 : err_set(err, ERR_NOMEM, "SHA-256: the library failed");
    if (rc == 0 && w->want[0] && strcmp(found, w->want))
        rc = err_set(err, ERR_FORMAT, "came with SHA-256 %s instead of %s; nothing was kept", found, w->want);
    if (rc == 0 && !store_blob_path(w->s, path, found)) rc = err_set(err, ERR_LIMIT, "the path of the store is too long");
    if (rc == 0 && !os_file_exists(path)) {
        os_write_protect(w->w);
        rc = os_write_commit_as(w->w, path, err);
        w->w = NULL;
    }
    if (rc == 0 && hex) fmt_into(hex, SHA256_HEX + 1, "%s", found);
    store_blob_abort(w);
    return rc;
}

static int digest_of(struct store *s, const char *path, bool again, char hex[SHA256_HEX + 1], sha256_progress_fn *progress,
                     void *arg, struct err *err)
{
    const struct found f = { .path = path, .file = "" };
    struct fs_info info, after;
    struct facts x;
    *hex = 0;
    if (!fs_info(path, &info)) return err_set(err, ERR_NOTFOUND, "%s: No such file or directory", path);
    if (!info.regular) return err_set(err, ERR_ARG, "%s: not a regular file", path);
    store_facts(s, &f, &x);
    if (x.digest[0] && !again) {
        fmt_into(hex, SHA256_HEX + 1, "%s", x.digest);
        return 0;
    }
    int rc = sha256_file(path, hex, progress, arg, err);
    if (rc < 0) return rc;
    if (!fs_info(path, &after) || after.size != info.size || after.mtime_ns != info.mtime_ns)
        return err_set(err, ERR_IO, "%s: changed while it was read", path);
    fmt_into(x.digest, sizeof x.digest, "%s", hex);
    index_put(store_index(s), path, &info, &x);
    return 0;
}

int store_digest(struct store *s, const char *path, char hex[SHA256_HEX + 1], sha256_progress_fn *progress, void *arg,
                 struct err *err)
{
    return digest_of(s, path, false, hex, progress, arg, err);
}

int store_digest_again(struct store *s, const char *path, char hex[SHA256_HEX + 1], sha256_progress_fn *progress, void *arg,
                       struct err *err)
{
    return digest_of(s, path, true, hex, progress, arg, err);
}
