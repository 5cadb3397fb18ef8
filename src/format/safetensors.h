/* safetensors.h - safetensors files: named arrays behind a JSON header, mapped and used in place.
 *
 *   u64 N | N bytes of JSON { "name": { "dtype", "shape", "data_offsets" }, ..., "__metadata__": {...} } | data
 *
 * A model is one file, or the files that model.safetensors.index.json assigns its tensors to.  Nothing is trusted; a file
 * that breaks a rule is refused with an error that names the file, the tensor and both numbers.
 * Rules: N at most 100 MB; names unique, 1 to 255 bytes without control characters; at most 8 dimensions; the size agrees
 * with type and shape; the tensors fill the data without gap or overlap; 1,048,576 tensors; 1,000 files, whose names are
 * no paths.  Data has no alignment.
 * Threads: immutable after open, any thread.  Pointers into the files live until safetensors_close. */
#ifndef HEARTH_FORMAT_SAFETENSORS_H
#define HEARTH_FORMAT_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum st_type {
#define ST_TYPE(name, bits) ST_##name,
#include "format/safetensors.def"
#undef ST_TYPE
    N_ST_TYPE
};
const char *st_type_name(enum st_type t);
unsigned    st_type_bits(enum st_type t);

enum { ST_MAX_DIMS = 8 };

struct st_tensor {
    const char *name;                 /* NUL-terminated */
    enum st_type type;
    uint32_t n_dims;
    uint64_t shape[ST_MAX_DIMS];      /* outermost first; shape[0..n_dims) */
    const uint8_t *data;              /* in the mapped file, any alignment */
    uint64_t bytes;
    uint32_t file;                    /* 0-based */
    uint64_t offset;                  /* from the start of that file */
};

struct safetensors;

/* The model of a folder: what its model.safetensors.index.json lists, else its model.safetensors.  *out is the caller's,
 * NULL on failure; ERR_NOTFOUND when the folder has neither. */
int  safetensors_open(struct safetensors **out, const char *folder, struct err *err);
/* One file in memory (borrowed: must outlive the object); name is used in messages. */
int  safetensors_parse(struct safetensors **out, const void *data, uint64_t size, const char *name, struct err *err);
void safetensors_close(struct safetensors *s);                        /* NULL is fine */

size_t safetensors_n(const struct safetensors *s);
const struct st_tensor *safetensors_at(const struct safetensors *s, size_t i);
const struct st_tensor *safetensors_find(const struct safetensors *s, const char *name);      /* NULL when absent */

uint32_t safetensors_n_files(const struct safetensors *s);
const char *safetensors_path(const struct safetensors *s, uint32_t file);
uint64_t safetensors_bytes(const struct safetensors *s);              /* of all files */
/* The data of a file: every tensor of it lies inside. */
const uint8_t *safetensors_data(const struct safetensors *s, uint32_t file, uint64_t *bytes);
/* Starts reading the data ahead (a hint). */
void safetensors_willneed(const struct safetensors *s);

#endif
