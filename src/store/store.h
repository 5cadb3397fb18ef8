/* store.h - the models of this machine: our own, and those that other programs have downloaded, where they lie.
 *
 * Our own lie in one folder (HEARTH_MODELS), in the layout that Ollama uses too:
 *   manifests/HOST/NAMESPACE/MODEL/TAG   what a model consists of (manifest.h); written last
 *   blobs/sha256-HEX                     its files by digest, read-only; HEX.part and .part.map while they come, HEX.map for
 *                                        mending them (download.h)
 *   views/HEX/NAME                       links to blobs under their own names, for models that are split into files
 *   headers/                             headers of models that are only judged (header.h), for as long as that takes
 *   presets/NAME.json                    named settings
 *   folders                              a line for each folder that the user added
 *   hosts                                a line for each further host that a server's clients may name (pull.h)
 *   index.db                             what is known about files (index.h); may be deleted
 *   lock                                 shared by whoever adds files, alone for whoever removes them
 * Files of other programs are read, never copied, changed or removed.
 * Threads: one per object. */
#ifndef HEARTH_STORE_STORE_H
#define HEARTH_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
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

struct gguf;
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

/* n_unread: manifests of our own store that cannot be read, of which the first have their paths here. */
enum { FOUND_UNREAD = 4 };
struct found_list { struct arena arena; struct found *v; size_t n, cap, n_unread; const char *unread[FOUND_UNREAD]; };

/* All models, those of one owner together; our own first. */
int  store_find(struct store *s, struct found_list *out, struct err *err);
int  store_find_ours(struct store *s, struct found_list *out, struct err *err);
int  store_find_in(const char *folder, struct found_list *out, struct err *err);     /* in any folder, up to eight levels down */
void found_release(struct found_list *l);
/* LM Studio's folder; false when there is none. */
bool store_lmstudio(char root[STORE_PATH]);
/* Each file that a model consists of, or is named by.  digest: "" when neither a manifest nor a name says it; size: what it
 * should have; ours: a blob of our own store. */
struct model_file { const char *path, *title, *digest; uint64_t size; bool ours; };
typedef int model_file_fn(void *arg, const struct model_file *m, struct err *err);
int  store_each_file(const struct found *f, model_file_fn *fn, void *arg, struct err *err);
/* What the file says of itself, from the index or by reading it. */
void store_facts(struct store *s, const struct found *f, struct facts *out);
void store_gguf_facts(const struct gguf *g, struct facts *out);         /* out is zeroed */

/* The model that `text` means: a path as it is, else a name of one that was found.  *at: index into l, or SIZE_MAX for a path.
 * ERR_NOTFOUND when there is none; ERR_ARG when several different ones are meant, which the message lists. */
int  store_resolve(const struct found_list *l, const struct name *name, const char *text, size_t *at, struct err *err);
/* Looks everywhere for what a user calls `text`: a path that exists, else the name of a model.  *at: index into l, SIZE_MAX for a
 * path of its own; path: what is opened.  ERR_NOTFOUND says what may have been meant, and how the model can be had; *at is set
 * then when it is here but incomplete.  For a command line: who must not be told of this machine's paths, as a server's
 * clients, uses store_find and store_resolve.  l is the caller's (found_release), also after a failure. */
int  store_lookup(struct store *s, const char *text, struct found_list *l, size_t *at, char path[STORE_PATH], struct err *err);
/* The name of a model that is nearest to a mistyped one, or NULL. */
const char *store_nearest(const struct found_list *l, const char *text);

/* The rule for a repository without a tag: Q4_K_M, else Q8_0, else the first.  name_at(arg, i) gives the i-th file name, NULL
 * at the end; tag may be "".  SIZE_MAX: none. */
size_t store_choose(const char *(*name_at)(const void *arg, size_t i), const void *arg, const char *tag);
/* The quantisation in a file's name ("Q4_K_M", "UD-Q2_K_XL", "BF16"), or "" - as it is written there. */
void store_quant_of(const char *file, char *dst, size_t n);
/* NAME-00002-of-00005.gguf: the number, and how many there are; 1 of 1 for others. */
void store_part_of(const char *file, unsigned *part, unsigned *parts);

/* What a model brings with it beside its weights.  Texts have no zero bytes; NULL: none. */
enum { PARTS_ADAPTERS = 16, PARTS_LICENSES = 16, PARTS_TEXT = 4 << 20 };
struct parts {
    struct arena arena;
    const char *system, *template, *config;
    bool own_template;                     /* the template is of a Modelfile, not of who published the model */
    const char *params;                    /* a JSON object of settings (params.h) */
    const char *messages;                  /* a JSON array of {"role", "content"} with which a chat begins */
    const char *license[PARTS_LICENSES], *adapter[PARTS_ADAPTERS];   /* adapters: paths of files, or of folders of PEFT */
    size_t n_license, n_adapter;
    const char *draft, *projector;         /* paths */
};
int  store_parts(const struct found *f, struct parts *out, struct err *err);     /* of a model without a manifest: nothing */
void parts_release(struct parts *p);
/* Where the file of a layer lies, of a manifest at that path. */
bool store_layer_path(const char *manifest, const struct layer *l, char dst[STORE_PATH]);

/* ---- our own ---- */

bool store_blob_path(const struct store *s, char dst[STORE_PATH], const char *hex);
/* The manifest's path of a registry or hub name (whose tag or file is chosen). */
int  store_manifest_path(const struct store *s, const struct name *n, char dst[STORE_PATH], struct err *err);
int  store_read_manifest(const char *path, struct manifest *m, char id[SHA256_HEX + 1], struct err *err);
/* Written to a temporary file, synced, renamed, the folder synced. */
int  store_write_manifest(const struct store *s, const struct name *n, const char *text, size_t len, struct err *err);
/* Small text as a blob; its digest. */
int  store_put_blob(const struct store *s, const void *p, size_t n, char hex[SHA256_HEX + 1], struct err *err);
int  store_make_blobs(const struct store *s, struct err *err);              /* the folder of blobs */
/* ERR_LIMIT with both numbers unless so many bytes are free there, and some to spare. */
int  store_check_space(const struct store *s, uint64_t bytes, struct err *err);
/* Links to the blobs of a model of several files, under their own names: views/HEX/. */
int  store_make_view(const struct store *s, const struct manifest *m, struct err *err);
/* Held while files are added (shared) or removed (alone), so that nobody removes what somebody else is about to name.  Sharing
 * waits for who is alone, which takes a moment; alone gives up at once: *out is NULL and 0 is returned.  fs_file_close gives it
 * back. */
int  store_lock_shared(struct store *s, struct fs_file **out, struct err *err);
int  store_lock_alone(struct store *s, struct fs_file **out, struct err *err);

/* ---- changing it ---- */

/* The bytes of a blob as they come, which appear only when their digest is the one that was said ("" or NULL: whichever). */
struct blob_writer;
int  store_blob_begin(struct blob_writer **out, struct store *s, const char *hex, struct err *err);
int  store_blob_write(struct blob_writer *w, const void *p, size_t n, struct err *err);
/* ERR_FORMAT when the digest is another one; releases w either way.  hex (or NULL) becomes the digest. */
int  store_blob_end(struct blob_writer *w, char hex[SHA256_HEX + 1], struct err *err);
void store_blob_abort(struct blob_writer *w);                   /* NULL is fine */
bool store_has_blob(const struct store *s, const char *hex, uint64_t *size);

/* A model in the making.  Zeroed by create_begin; create_release always; nothing is visible before create_end. */
struct create {
    struct store *store;
    struct fs_file *lock;
    struct manifest m;                     /* what it will consist of */
    enum { CREATE_IN_PLACE, CREATE_COPY, CREATE_MOVE } how;      /* what create_path does with files */
    sha256_progress_fn *progress;          /* while files are read for their digest; or NULL */
    void *arg;
};
int  create_begin(struct create *c, struct store *s, struct err *err);
void create_release(struct create *c);
/* All that a model that was found consists of.  Files of others stay where they lie. */
int  create_from(struct create *c, const struct found *f, struct err *err);
/* A GGUF file (of a split one the first), a folder from the Hub, or for LAYER_ADAPTER one of PEFT: stays where it lies
 * unless c->how says otherwise. */
int  create_path(struct create *c, enum layer_kind kind, const char *path, struct err *err);
/* A blob of the store; title: its file's name, or NULL.  ERR_NOTFOUND when it is not there. */
int  create_blob(struct create *c, enum layer_kind kind, const char *hex, const char *title, struct err *err);
/* Replaces the text of that kind (a licence is added to others); NULL or "" removes it. */
int  create_text(struct create *c, enum layer_kind kind, const char *text, struct err *err);
/* Settings in addition to those that are there, which they override.  ERR_ARG names one that is not known (params.h). */
int  create_params(struct create *c, const struct json *params, struct err *err);
/* ERR_ARG unless the name is one of a registry and there is a model; an older model of that name is replaced. */
int  create_end(struct create *c, const struct name *name, struct err *err);

/* Another name for a model.  ERR_ARG when there is one of that name and replace is false. */
struct copy_options { bool replace; sha256_progress_fn *progress; void *arg; };
int  store_copy(struct store *s, const struct found *f, const struct name *to, const struct copy_options *o, struct err *err);

/* Removes l->v[at] and those of its files that no other model of ours needs.  Files stay when keep is set, and when somebody is
 * adding a model at that moment (*deferred: store_gc finds them later).  ERR_ARG for models of others. */
struct removal { bool keep; uint64_t freed; bool deferred; };
int  store_remove(struct store *s, const struct found_list *l, size_t at, struct removal *r, struct err *err);

/* What nobody needs: blobs without a model, views, what was left of interrupted writes, and downloads that were not finished.
 * Calls fn for each; `remove`: and then removes it.  ERR_LIMIT while a model is being added; ERR_FORMAT names manifests that
 * cannot be read, since what they need is not known. */
enum garbage_kind { GARBAGE_BLOB, GARBAGE_VIEW, GARBAGE_TEMPORARY, GARBAGE_DOWNLOAD };
struct garbage { enum garbage_kind kind; const char *path; uint64_t size; };
struct gc_options { bool remove, downloads; void (*fn)(void *arg, const struct garbage *g); void *arg; };
int  store_gc(struct store *s, const struct gc_options *o, struct err *err);

/* Reads all files of a model again and compares their digests: those of the manifest, of the Hub's cache, or what the file's
 * digest was when it was last read.  fn is called for each; *bad: how many are wrong or missing.
 * UNKNOWN: there is nothing to compare with. */
enum verify_state { VERIFY_GOOD, VERIFY_WRONG, VERIFY_SIZE, VERIFY_MISSING, VERIFY_UNKNOWN };
struct verified { enum verify_state state; const char *path, *title, *want, *found; uint64_t size; bool ours; };
struct verify_options {
    void (*fn)(void *arg, const struct verified *v);
    sha256_progress_fn *progress;          /* of the file at work */
    void *arg;                             /* of both */
};
int  store_verify(struct store *s, const struct found *f, const struct verify_options *o, size_t *bad, struct err *err);
/* The digest of a file from the index, or by reading it; then it is in the index.  again: by reading it in any case. */
int  store_digest(struct store *s, const char *path, char hex[SHA256_HEX + 1], sha256_progress_fn *progress, void *arg,
                  struct err *err);
int  store_digest_again(struct store *s, const char *path, char hex[SHA256_HEX + 1], sha256_progress_fn *progress, void *arg,
                        struct err *err);

#endif
