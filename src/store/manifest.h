/* manifest.h - what a model consists of: the list of files (layers) by digest and size, as the registries write it.
 *
 * Nothing is trusted: at most 1 MB and 4,096 layers, digests exactly "sha256:" and 64 lower-case digits, sizes up to 2^48,
 * titles safe paths.  Unknown kinds of layers are kept.
 * Threads: one per object. */
#ifndef HEARTH_STORE_MANIFEST_H
#define HEARTH_STORE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/sha256.h"

enum { MANIFEST_MAX = 1 << 20, MANIFEST_MAX_LAYERS = 4096 };

enum layer_kind {
    LAYER_OTHER, LAYER_CONFIG, LAYER_MODEL, LAYER_PROJECTOR, LAYER_ADAPTER, LAYER_DRAFT, LAYER_TEMPLATE, LAYER_SYSTEM,
    LAYER_PARAMS, LAYER_MESSAGES, LAYER_LICENSE
};

struct layer {
    enum layer_kind kind;
    char digest[SHA256_HEX + 1];           /* without "sha256:" */
    uint64_t size;
    const char *type;                      /* its media type */
    const char *title;                     /* file name, or NULL */
    const char *path;                      /* where the file lies when it is not in the store, or NULL */
    bool own;                              /* a text that was written here, not by who published the model */
};

struct manifest {
    struct arena arena;
    struct layer *layer;                   /* the configuration comes first, if there is one */
    size_t n;
    char child[SHA256_HEX + 1];            /* a list of manifests: the digest of the first, and n is 0 */
};

/* `outside`: the text comes from a registry, and may not name files of this machine. */
int  manifest_parse(struct manifest *m, const char *text, size_t n, bool outside, struct err *err);
void manifest_release(struct manifest *m);
/* Adds a layer; strings are copied.  NULL when out of memory or too many. */
struct layer *manifest_add(struct manifest *m, const struct layer *l);
void manifest_write(const struct manifest *m, struct buf *out);
const struct layer *manifest_find(const struct manifest *m, enum layer_kind kind);     /* the first, or NULL */
/* Whether its model files all lie outside the store, in one folder and under their own names: they can be opened there. */
bool manifest_in_place(const struct manifest *m);
const char *layer_type(enum layer_kind kind);                                          /* the media type that is written */
/* "sha256:" and 64 digits, or "sha256-": into hex without them. */
bool digest_parse(const char *s, char hex[SHA256_HEX + 1]);

#endif
