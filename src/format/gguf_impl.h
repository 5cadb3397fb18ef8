/* gguf_impl.h - what the files of the GGUF reader and writer share; nobody else includes it. */
#ifndef HEARTH_FORMAT_GGUF_IMPL_H
#define HEARTH_FORMAT_GGUF_IMPL_H

#include "base/arena.h"
#include "base/os.h"
#include "format/gguf.h"
#include "format/names.h"

enum {
    GGUF_MAX_KEYS = 65536,
    GGUF_MAX_TENSORS = 65536,
    GGUF_MAX_KEY = 255,                     /* bytes */
    GGUF_MAX_NAME = 63,                     /* bytes */
    GGUF_MAX_STRING = 1 << 20,              /* bytes */
    GGUF_MAX_TEMPLATE = 4 << 20,            /* bytes */
    GGUF_MAX_STRINGS = 4 << 20,             /* strings in all the arrays of a file: bounds the time of the walk */
    GGUF_MAX_ALIGNMENT = 65536,
    GGUF_DEFAULT_ALIGNMENT = 32,
    GGUF_MAX_FILES = 1000
};

/* One file of a model.  path, data, size are set before gguf_read_part; kv, tensor live in the arena. */
struct gguf_part {
    const char *path;
    const uint8_t *data;
    uint64_t size;
    uint32_t version;
    uint64_t data_at;                       /* where the tensor data begins */
    struct gguf_kv *kv;
    size_t n_kv;
    struct names keys;
    struct gguf_tensor *tensor;             /* .file is not set */
    size_t n_tensors;
};

struct gguf {
    struct arena arena;
    char *path;
    struct gguf_part *part;
    struct os_map *map;                     /* one per part, or NULL when the bytes are the caller's */
    uint32_t n_parts, n_maps;
    struct gguf_tensor *tensor;
    size_t n_tensors;
    struct names names;
    struct gguf_view *view;                 /* NULL: a GGUF file */
};

/* A model in another format that is to look like a GGUF file: its keys as the bytes of a file without tensors, and its tensors
 * wherever they lie.  All of it belongs to owner, which lives until release(owner). */
struct gguf_view {
    const char *path;
    const uint8_t *header;
    uint64_t header_bytes;
    struct gguf_tensor *tensor;
    size_t n_tensors;
    uint32_t n_files, version;              /* version: of the GGUF file behind it, 0: none */
    uint64_t file_bytes;
    const uint8_t *data;                    /* tensor data of the first file */
    uint64_t data_bytes;
    void *owner;
    void (*release)(void *owner);
    void (*willneed)(void *owner);
};
/* Takes the owner, also on failure. */
int gguf_from_view(struct gguf **out, const struct gguf_view *v, struct err *err);

/* Reads and checks the whole header of one file.  Uniqueness of tensor names is left to the caller. */
int gguf_read_part(struct gguf_part *p, struct arena *a, struct err *err);

/* Says what a file that does not begin with GGUF seems to be, and what to do.  Returns the error code. */
int gguf_not_gguf(const char *path, const uint8_t *data, uint64_t size, struct err *err);

/* Bytes of one value of a numeric type; 0 for strings, arrays and unknown types. */
uint32_t gguf_type_bytes(uint32_t type);

/* Limit of a string value under this key. */
uint64_t gguf_string_limit(struct gguf_str key);

/* Whether these bytes can be a key or a tensor name: no control characters. */
bool gguf_name_ok(struct gguf_str s);

name_fn gguf_kv_name, gguf_tensor_name;

/* The metadata lookups over the keys of one part, shared by gguf.c and the split check. */
const struct gguf_kv *gguf_part_find(const struct gguf_part *p, const char *key);
bool gguf_kv_u64(const struct gguf_kv *kv, uint64_t *out);

/* A name from a file as it can be shown: cut, and without characters that a terminal would act on. */
struct gguf_shown { char s[72]; };
struct gguf_shown gguf_show(struct gguf_str s);

#endif
