#include "base/sha256.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"

struct sha256 { EVP_MD_CTX *ctx; };

void sha256_free(struct sha256 *h)
{
    if (!h) return;
    EVP_MD_CTX_free(h->ctx);
    mem_free(h);
}

int sha256_new(struct sha256 **out, struct err *err)
{
    *out = NULL;
    struct sha256 *h = mem_new(1, sizeof *h);
    if (h) h->ctx = EVP_MD_CTX_new();
    if (!h || !h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        sha256_free(h);
        return err_set(err, ERR_NOMEM, "SHA-256: out of memory");
    }
    *out = h;
    return 0;
}

bool sha256_add(struct sha256 *h, const void *p, size_t n) { return EVP_DigestUpdate(h->ctx, p, n) == 1; }

static bool final(struct sha256 *h, char *hex, unsigned digits)
{
    static const char digit[] = "0123456789abcdef";
    unsigned char d[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(h->ctx, d, &n) != 1 || n != digits / 2) return false;
    for (unsigned i = 0; i < n; i++) {
        hex[2 * i] = digit[d[i] >> 4];
        hex[2 * i + 1] = digit[d[i] & 15];
    }
    hex[digits] = 0;
    return true;
}

bool sha256_end(struct sha256 *h, char hex[SHA256_HEX + 1])
{
    if (!final(h, hex, SHA256_HEX)) return false;
    return EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1;
}

int sha256_bytes(const void *p, size_t n, char hex[SHA256_HEX + 1], struct err *err)
{
    struct sha256 *h;
    int rc = sha256_new(&h, err);
    if (rc < 0) return rc;
    if (!sha256_add(h, p, n) || !sha256_end(h, hex)) rc = err_set(err, ERR_NOMEM, "SHA-256: the library failed");
    sha256_free(h);
    return rc;
}

static int hash_all(struct fs_file *f, struct sha256 *h, sha256_progress_fn *progress, void *arg, struct err *err)
{
    enum { PIECE = 1 << 20 };
    uint64_t size = fs_file_size(f), at = 0;
    char *piece = mem_new(PIECE, 1);
    int rc = piece ? 0 : err_set(err, ERR_NOMEM, "SHA-256: out of memory");
    while (rc == 0 && at < size) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        if ((rc = fs_file_read(f, at, piece, n, err)) < 0) break;
        if (!sha256_add(h, piece, n)) rc = err_set(err, ERR_NOMEM, "SHA-256: the library failed");
        at += n;
        if (rc == 0 && progress && !progress(arg, at, size)) rc = err_set(err, ERR_CANCELLED, "interrupted");
    }
    mem_free(piece);
    return rc;
}

int sha256_file(const char *path, char hex[SHA256_HEX + 1], sha256_progress_fn *progress, void *arg, struct err *err)
{
    struct fs_file *f;
    struct sha256 *h = NULL;
    int rc = fs_file_open(&f, path, FS_READ, err);
    if (rc < 0) return rc;
    if ((rc = sha256_new(&h, err)) == 0 && (rc = hash_all(f, h, progress, arg, err)) == 0 && !sha256_end(h, hex))
        rc = err_set(err, ERR_NOMEM, "SHA-256: the library failed");
    sha256_free(h);
    fs_file_close(f);
    return rc;
}

int git_blob_file(const char *path, char hex[GIT_HEX + 1], struct err *err)
{
    struct fs_file *f;
    struct sha256 h = { .ctx = EVP_MD_CTX_new() };
    char head[40];
    int rc = fs_file_open(&f, path, FS_READ, err);
    if (rc == 0) {
        fmt_into(head, sizeof head, "blob %llu", (unsigned long long)fs_file_size(f));
        bool ok = h.ctx && EVP_DigestInit_ex(h.ctx, EVP_sha1(), NULL) == 1 && sha256_add(&h, head, strlen(head) + 1);
        rc = ok ? hash_all(f, &h, NULL, NULL, err) : ERR_NOMEM;
        if (!ok || (rc == 0 && !final(&h, hex, GIT_HEX))) rc = err_set(err, ERR_NOMEM, "SHA-1: the library failed");
    }
    EVP_MD_CTX_free(h.ctx);
    fs_file_close(f);
    return rc;
}

bool sha256_is_hex(const char *s, size_t n)
{
    if (n != SHA256_HEX) return false;
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f'))) return false;
    return true;
}
