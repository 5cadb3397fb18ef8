/* gguf.h - GGUF files: named typed tensors and key/value metadata, mapped and used in place.
 *
 * Reads versions 2 and 3, little-endian, including split files (NAME-00001-of-0000N.gguf: open the first).
 * Nothing is trusted: every size goes through base/ck.h, and a file that breaks a limit below is refused before
 * anything large is allocated, with an error that names the file, the field and what is wrong.
 * Limits: 65,536 tensors and keys; keys and names 1 to 255 and 1 to 63 bytes, without control characters; strings
 * 1 MB (templates 4 MB), 4,194,304 of them in arrays; 1 to 4 dimensions, each >= 1; alignment a power of two up to
 * 65,536; all tensors inside the file, no overlap, aligned to the size of their numbers (blocks: 4); names and keys
 * unique; 1,000 split files.
 * Threads: immutable after open, any thread.  Pointers into the file live until gguf_close. */
#ifndef HEARTH_FORMAT_GGUF_H
#define HEARTH_FORMAT_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "format/dtype.h"

struct gguf;

enum gguf_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY,
    GGUF_U64, GGUF_I64, GGUF_F64
};

struct gguf_str { const char *s; size_t n; };               /* bytes in the file, NOT NUL-terminated */

struct gguf_kv {
    struct gguf_str key;
    enum gguf_type type;          /* GGUF_ARRAY: see item */
    enum gguf_type item;          /* element type of an array (never GGUF_ARRAY) */
    uint64_t count;               /* elements of an array, else 1 */
    const uint8_t *data;          /* first value, unaligned; a string begins with its length, see gguf_next_str */
    uint64_t bytes;               /* of all the values */
};

struct gguf_tensor {
    const char *name;             /* NUL-terminated */
    enum dtype type;
    uint32_t n_dims;
    uint64_t ne[4];               /* ne[0] is the row length; missing dimensions are 1 */
    const uint8_t *data;          /* in the mapped file */
    uint64_t bytes;
    uint32_t file;                /* which split file, 0-based; GGUF_NO_FILE: a copy in memory (only in a folder, hf.h) */
    uint64_t offset;              /* from the start of that file */
    const uint8_t *const *slice;  /* NULL, or ne[2] matrices of ne[0] x ne[1] that lie apart; data is then slice[0] */
};
#define GGUF_NO_FILE UINT32_MAX

/* *out is the caller's (gguf_close), NULL on failure. */
int gguf_open(struct gguf **out, const char *path, struct err *err);
/* The same for one file in memory (borrowed: must outlive the gguf); name is used in messages.  A part of a split
 * model is read as it is. */
int gguf_parse(struct gguf **out, const void *data, uint64_t size, const char *name, struct err *err);
void gguf_close(struct gguf *g);                             /* NULL is fine */

/* Of a file whose first n bytes are here: whether all of its header is among them, and then where it ends (tensor data begins at
 * the next multiple of the alignment).  WRONG: no further bytes can make it one that gguf_open takes. */
enum gguf_head { GGUF_HEAD_WHOLE, GGUF_HEAD_MORE, GGUF_HEAD_WRONG };
enum gguf_head gguf_header_end(const void *p, size_t n, uint64_t *end);

uint32_t gguf_version(const struct gguf *g);                 /* 0: safetensors in a folder (hf.h) */
uint64_t gguf_file_bytes(const struct gguf *g);              /* of all split files */
/* The tensor data of the first file. */
const uint8_t *gguf_first_data(const struct gguf *g, uint64_t *bytes);
uint32_t gguf_n_files(const struct gguf *g);
const char *gguf_path(const struct gguf *g);
const char *gguf_file_path(const struct gguf *g, uint32_t i);            /* of split file i */
/* Starts reading the tensor data ahead (a hint). */
void gguf_willneed(const struct gguf *g);
/* Bytes [at, at + n) of a tensor's data are not needed again soon (a hint): reading a large file need not fill the memory. */
void gguf_done(const struct gguf *g, const struct gguf_tensor *t, uint64_t at, uint64_t n);

/* ---- metadata ---- */
size_t gguf_n_kv(const struct gguf *g);
const struct gguf_kv *gguf_kv_at(const struct gguf *g, size_t i);
const struct gguf_kv *gguf_find(const struct gguf *g, const char *key);      /* NULL when absent */

/* Lenient scalars: any integer width or bool for u64/i64; f32, f64 or an integer for f32.  False when the key is
 * absent, has another type or does not fit; *out is then unchanged. */
bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out);
bool gguf_get_i64(const struct gguf *g, const char *key, int64_t *out);
bool gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out);
bool gguf_get_f32(const struct gguf *g, const char *key, float *out);
bool gguf_get_bool(const struct gguf *g, const char *key, bool *out);
bool gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out);

/* Element i of an array of numbers or bools (or the scalar itself, for every i). */
bool gguf_item_i64(const struct gguf_kv *kv, uint64_t i, int64_t *out);
bool gguf_item_f32(const struct gguf_kv *kv, uint64_t i, float *out);
/* Walks the strings of an array (or the one string of a scalar): start with *at = kv->data; false after the last. */
bool gguf_next_str(const struct gguf_kv *kv, const uint8_t **at, struct gguf_str *out);

/* ---- tensors ---- */
size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name);   /* NULL when absent */

/* ---- writing ---- */
/* Collects keys and tensors, then writes a version 3 file atomically.  Keys and data are borrowed until write. */
struct gguf_writer;
int  gguf_writer_open(struct gguf_writer **out, struct err *err);
void gguf_writer_close(struct gguf_writer *w);
/* Failures are sticky and reported by gguf_writer_save. */
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v);
void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v);
void gguf_put_f32(struct gguf_writer *w, const char *key, float v);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool v);
void gguf_put_str(struct gguf_writer *w, const char *key, const char *s, size_t n);
void gguf_put_array(struct gguf_writer *w, const char *key, enum gguf_type item, const void *v, uint64_t count);
void gguf_put_strs(struct gguf_writer *w, const char *key, const struct gguf_str *v, uint64_t count);
void gguf_copy_kv(struct gguf_writer *w, const struct gguf_kv *kv);              /* from another file, as it is */
void gguf_put_tensor(struct gguf_writer *w, const char *name, enum dtype type, uint32_t n_dims,
                     const uint64_t *ne, const void *data);
/* A tensor whose bytes are made while the file is written, so that a model need not fit into memory.  Of t the name, type and
 * shape count.  fill(arg, t, at, dst, n) makes the bytes [at, at + n) of it, always whole blocks and in order; a negative
 * code ends the writing. */
typedef int gguf_fill_fn(void *arg, const struct gguf_tensor *t, uint64_t at, uint8_t *dst, size_t n, struct err *err);
void gguf_put_filled(struct gguf_writer *w, const struct gguf_tensor *t, gguf_fill_fn *fill, void *arg);
/* What the tensors so far take in the file, padding included. */
uint64_t gguf_writer_data_bytes(const struct gguf_writer *w);
/* The size that the file will have. */
int  gguf_writer_size(struct gguf_writer *w, uint64_t *bytes, struct err *err);
int  gguf_writer_save(struct gguf_writer *w, const char *path, struct err *err);
/* The same into memory; what out held is lost. */
int  gguf_writer_bytes(struct gguf_writer *w, struct buf *out, struct err *err);

#endif
