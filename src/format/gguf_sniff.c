/* gguf_sniff.c - tells a person what the file is that was offered as a model. */
#include <string.h>

#include "format/gguf_impl.h"

struct sign { const char *bytes; size_t n; const char *text; };

static const struct sign signs[] = {
    { "PK\3\4", 4, "this is a ZIP file, perhaps a PyTorch checkpoint: get the GGUF version of the model" },
    { "\x80\2", 2, "this is a PyTorch checkpoint (pickle), which can run code and is never read: "
                   "get the GGUF version of the model" },
    { "version https://git-lfs", 23, "this is a git-lfs pointer, not the model: run 'git lfs pull' or download the "
                                     "file itself" },
    { "\x1f\x8b", 2, "this is a gzip file: unpack it first" },
    { "\x28\xb5\x2f\xfd", 4, "this is a zstd file: unpack it first" },
    { "\xfd" "7zXZ", 5, "this is an xz file: unpack it first" },
    { "BZh", 3, "this is a bzip2 file: unpack it first" },
    { "7z\xbc\xaf", 4, "this is a 7z file: unpack it first" },
    { "\x93NUMPY", 6, "this is a NumPy array: get the GGUF version of the model" },
    { "\x89HDF", 4, "this is an HDF5 file: get the GGUF version of the model" },
    /* The old formats wrote their magic as a little-endian number, so the letters appear reversed. */
    { "lmgg", 4, "this is the GGML format of before August 2023: get the GGUF version of the model" },
    { "fmgg", 4, "this is the GGMF format of before August 2023: get the GGUF version of the model" },
    { "tjgg", 4, "this is the GGJT format of before August 2023: get the GGUF version of the model" },
    { "algg", 4, "this is the GGLA format of before August 2023: get the GGUF version of the adapter" },
    { "ggml", 4, "this is the GGML format of before August 2023: get the GGUF version of the model" },
    { "ggjt", 4, "this is the GGJT format of before August 2023: get the GGUF version of the model" },
    { "FUGG", 4, "this is a byte-swapped GGUF file: get the little-endian one" },
};

static bool is_safetensors(const uint8_t *d, uint64_t n)
{
    return n >= 10 && d[8] == '{' && !d[4] && !d[5] && !d[6] && !d[7] && (d[9] == '"' || d[9] == ' ' || d[9] == '}');
}

/* Text that begins with one of these after white space, in any case. */
static bool begins(const uint8_t *d, uint64_t n, const char *word)
{
    uint64_t i = 0;
    if (n >= 3 && memcmp(d, "\xef\xbb\xbf", 3) == 0) i = 3;
    while (i < n && i < 256 && (d[i] == ' ' || d[i] == '\n' || d[i] == '\r' || d[i] == '\t')) i++;
    for (; *word; word++, i++) {
        if (i >= n) return false;
        uint8_t c = d[i] >= 'A' && d[i] <= 'Z' ? (uint8_t)(d[i] + 32) : d[i];
        if (c != (uint8_t)*word) return false;
    }
    return true;
}

static bool all_zero(const uint8_t *d, uint64_t n)
{
    for (uint64_t i = 0; i < n && i < 256; i++)
        if (d[i]) return false;
    return true;
}

static const char *recognise(const uint8_t *d, uint64_t n)
{
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (n >= signs[i].n && memcmp(d, signs[i].bytes, signs[i].n) == 0) return signs[i].text;
    if (is_safetensors(d, n)) return "this is a safetensors file: name the folder that it lies in";
    if (begins(d, n, "<!doctype") || begins(d, n, "<html") || begins(d, n, "<head"))
        return "this is a web page, not the model: the download went to the wrong address or needed a login";
    if (begins(d, n, "<?xml")) return "this is an XML text, perhaps the error message of a failed download";
    if (begins(d, n, "{")) return "this is a JSON text, perhaps a configuration or the error message of a failed download";
    if (all_zero(d, n)) return "the file begins with zeros: the download did not finish";
    return NULL;
}

int gguf_not_gguf(const char *path, const uint8_t *data, uint64_t size, struct err *err)
{
    if (!size) return err_set(err, ERR_FORMAT, "%s: not a GGUF file: it is empty, the download failed", path);
    const char *text = recognise(data, size);
    if (text) return err_set(err, ERR_UNSUPPORTED, "%s: not a GGUF file: %s", path, text);
    if (size < 4) return err_set(err, ERR_FORMAT, "%s: not a GGUF file: it has only %d bytes", path, (int)size);
    return err_set(err, ERR_FORMAT, "%s: not a GGUF file: it begins with the bytes %02x %02x %02x %02x at byte 0", path,
                   data[0], data[1], data[2], data[3]);
}
