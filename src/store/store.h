/* store.h - the models of this machine: our own, and those that other programs have downloaded, where they lie.
 *
 * Our own lie in one folder (HEARTH_MODELS), in the layout that Ollama uses too:
 *   manifests/HOST/NAMESPACE/MODEL/TAG   what a model consists of (manifest.h); written last
 *   blobs/sha256-HEX                     its files by digest, read-only; HEX.part and .part.map while they come (download.h)
 *   views/HEX/NAME                       links to blobs under their own names, for models that are split into files
 *   presets/NAME.json                    named settings
 *   folders                              a line for each folder that the user added
 *   index.db                             what is known about files (index.h); may be deleted
 * Files of other programs are read, never copied, changed or removed.
 * Threads: one per object. */
#ifndef HEARTH_STORE_STORE_H
#define HEARTH_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/index.h"
#include "store/manifest.h"
#include "store/name.h"

enum { STORE_PATH = 4096 };

struct store {
    char root[STORE_PATH];
    struct index *index;                   /* opened by store_index */
    bool indexed;
};

int  store_open(struct store *s, struct err *err);
void store_close(struct store *s);
struct index *store_index(struct store *s);
/* root/a or root/a/b, checked for length; false when it is too long. */
bool store_path(const struct store *s, char dst[STORE_PATH], const char *a, const char *b);
/* Where a user's path means: ~/ is HOME. */
bool store_expand(char dst[STORE_PATH], const char *path);

/* ---- what is there ---- */

struct found {
    const char *name;                      /* the shortest that finds it */
    const char *owner;                     /* "hearth", "ollama", "lmstudio", "huggingface", "llama.cpp", "jan", "folder" */
    const char *path;                      /* the file (of a split model the first) or folder that is opened */
    const char *file;                      /* its name where that says something, or "" */
    const char *manifest;                  /* the manifest's path, or NULL */
    const char *projector;                 /* the file that belongs to it for images, or NULL */
    char digest[SHA256_HEX + 1];           /* of the (first) model file, or "" */
    char id[SHA256_HEX + 1];               /* of the manifest, or the digest, or "" */
    uint64_t size;                         /* of all files that belong to the model */
    int64_t mtime;
    unsigned files;
    bool ours;                             /* may be removed by us */
    bool broken;                           /* a file is missing, or has another size */
    bool plain;                            /* name is just a file's, of no registry */
    struct name parsed;                    /* of name, as far as it parses */
};

/* n_unread: manifests of our own store that cannot be read. */
struct found_list { struct arena arena; struct found *v; size_t n, cap, n_unread; };

/* All models, those of one owner together; our own first. */
int  store_find(struct store *s, struct found_list *out, struct err *err);
void found_release(struct found_list *l);
/* What the file says of itself, from the index or by reading it. */
void store_facts(struct store *s, const struct found *f, struct facts *out);

/* The model that `text` means: a path as it is, else a name of one that was found.  *at: index into l, or SIZE_MAX for a path.
 * ERR_NOTFOUND when there is none; ERR_ARG when several different ones are meant, which the message lists. */
int  store_resolve(const struct found_list *l, const struct name *name, const char *text, size_t *at, struct err *err);

/* The rule for a repository without a tag: Q4_K_M, else Q8_0, else the first.  name_at(arg, i) gives the i-th file name, NULL
 * at the end; tag may be "".  SIZE_MAX: none. */
size_t store_choose(const char *(*name_at)(const void *arg, size_t i), const void *arg, const char *tag);
/* The quantisation in a file's name ("Q4_K_M", "UD-Q2_K_XL", "BF16"), or "" - as it is written there. */
void store_quant_of(const char *file, char *dst, size_t n);
/* NAME-00002-of-00005.gguf: the number, and how many there are; 1 of 1 for others. */
void store_part_of(const char *file, unsigned *part, unsigned *parts);

/* ---- our own ---- */

bool store_blob_path(const struct store *s, char dst[STORE_PATH], const char *hex);
/* The manifest's path of a registry or hub name (whose tag or file is chosen). */
int  store_manifest_path(const struct store *s, const struct name *n, char dst[STORE_PATH], struct err *err);
int  store_read_manifest(const char *path, struct manifest *m, char id[SHA256_HEX + 1], struct err *err);
/* Written to a temporary file, synced, renamed, the folder synced. */
int  store_write_manifest(const struct store *s, const struct name *n, const char *text, size_t len, struct err *err);
/* Small text as a blob; its digest. */
int  store_put_blob(const struct store *s, const void *p, size_t n, char hex[SHA256_HEX + 1], struct err *err);
/* Links to the blobs of a model of several files, under their own names: views/HEX/. */
int  store_make_view(const struct store *s, const struct manifest *m, struct err *err);

#endif
