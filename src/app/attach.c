#include "app/attach.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/utf8.h"

/* What a file is by its first bytes, or NULL. */
static const char *kind_of(const char *p, size_t n)
{
    static const struct { size_t at, n; const char *bytes, *kind; } known[] = {
        { 0, 8, "\x89PNG\r\n\x1a\n", "a PNG image" }, { 0, 3, "\xff\xd8\xff", "a JPEG image" }, { 0, 4, "GIF8", "a GIF image" },
        { 8, 4, "WEBP", "a WebP image" }, { 0, 4, "II*\0", "a TIFF image" }, { 0, 4, "MM\0*", "a TIFF image" },
        { 4, 8, "ftypheic", "a HEIC image" }, { 4, 8, "ftypavif", "an AVIF image" }, { 0, 4, "RIFF", "a sound or a film" },
        { 0, 3, "ID3", "a sound" }, { 0, 4, "fLaC", "a sound" }, { 0, 4, "OggS", "a sound" }, { 4, 4, "ftyp", "a film" },
        { 0, 5, "%PDF-", "a PDF" }, { 0, 4, "PK\3\4", "an archive or a document of an office program" },
        { 0, 2, "\x1f\x8b", "a compressed file" }, { 0, 4, "GGUF", "a model" }, { 0, 4, "\x7f" "ELF", "a program" },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (n >= known[i].at + known[i].n && !memcmp(p + known[i].at, known[i].bytes, known[i].n)) return known[i].kind;
    return NULL;
}

/* A fence that the text does not have itself. */
static size_t fence_of(const char *text, size_t n)
{
    size_t longest = 2, run = 0;
    for (size_t i = 0; i < n; i++) {
        run = text[i] == '`' ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    return longest + 1;
}

static void put_fence(size_t n, struct buf *out)
{
    while (n--) buf_putc(out, '`');
    buf_putc(out, '\n');
}

static int check(const char *path, const char *text, size_t n, struct err *err)
{
    const char *kind = kind_of(text, n);
    if (kind && strstr(kind, "image"))
        return err_set(err, ERR_UNSUPPORTED, "%.300s: is %s; models that see are not supported yet, only text can be "
                                             "attached", path,
                       kind);
    if (kind) return err_set(err, ERR_UNSUPPORTED, "%.300s: is %s; only text can be attached", path, kind);
    if (memchr(text, 0, n) || !utf8_valid(text, n))
        return err_set(err, ERR_UNSUPPORTED, "%.300s: is no text in UTF-8; only that can be attached", path);
    return 0;
}

int attach_file(const char *path, struct buf *out, struct err *err)
{
    char *text;
    size_t n;
    int rc = os_read_file(path, ATTACH_MAX, &text, &n, err);
    if (rc < 0) return rc;
    if ((rc = check(path, text, n, err)) == 0) {
        const char *slash = strrchr(path, '/');
        size_t fence = fence_of(text, n);
        if (out->len) buf_puts(out, "\n\n");
        utf8_put_valid(out, slash ? slash + 1 : path, strlen(slash ? slash + 1 : path));
        buf_puts(out, ":\n");
        put_fence(fence, out);
        buf_put(out, text, n);
        if (n && text[n - 1] != '\n') buf_putc(out, '\n');
        put_fence(fence, out);
        if (out->bad) rc = err_set(err, ERR_NOMEM, "%.300s: out of memory", path);
    }
    mem_free(text);
    return rc;
}
