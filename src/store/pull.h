/* pull.h - fetches a model: asks the registry or hub what it consists of, then the files, then writes the manifest.
 *
 * Nothing is visible before everything is there: blobs first, each checked by its SHA-256, the manifest last.  An interrupted
 * pull goes on where it stood, whenever that is.  Files that are there already are not fetched, and those of other programs that
 * are equal are used where they lie.
 * Threads: one call per store. */
#ifndef HEARTH_STORE_PULL_H
#define HEARTH_STORE_PULL_H

#include "store/fetch.h"
#include "store/store.h"

struct pull_options {
    const char *registry, *hub;            /* base URLs in the place of the usual ones, or NULL: those of the environment */
    unsigned workers, stall_s, tries;      /* as for a download */
    /* The plan is known: bytes in all and bytes to fetch.  False: the user does not want it (ERR_CANCELLED). */
    bool (*planned)(void *arg, uint64_t total, uint64_t missing);
    /* Bytes that are there, of all files; `file` is the one under way.  False ends the pull. */
    bool (*progress)(void *arg, const char *file, uint64_t done, uint64_t total);
    /* A file is here already, kept by `owner`: it was read, its digest is right, and it is used where it lies.  compare: how far
     * reading is; false ends the pull.  NULL: nobody is told. */
    void (*in_place)(void *arg, const char *file, const char *path, const char *owner);
    sha256_progress_fn *compare;
    bool own;                              /* fetch it even so */
    bool chunks;                           /* files of the hub by chunks, whatever their size */
    void *arg;
    size_t *unverified;                    /* becomes how many files came without anything to compare them with; or NULL */
};

struct pull_item {
    struct layer layer;                    /* digest "" until it is known */
    const char *url;
    char git[GIT_HEX + 1];                 /* of small files of the hub, instead of a digest; or "" */
    char chunks[SHA256_HEX + 1];           /* of large ones: their name where the hub keeps chunks (xet.h); or "" */
};

/* What is to be fetched. */
struct pull {
    struct store *store;
    const struct pull_options *o;
    struct fetch *fetch;
    struct fs_file *lock;                  /* of the store: nobody removes files meanwhile */
    struct arena arena;
    struct pull_item *item;
    size_t n;
    const char *base;                      /* URL of the server, without a slash at its end */
    const char *xet;                       /* URL of tokens for chunks, or NULL */
    char *token;                           /* mem_free; or NULL */
    const char *manifest;                  /* the registry's own text, or NULL: one is made */
    size_t n_manifest;
    struct name name;                      /* under which it is kept */
    uint64_t before;                       /* bytes of the items that are finished */
    uint64_t total;
    const char *file;
};

/* `kept`: the name under which it can be found. */
int pull_model(struct store *s, const struct name *n, const struct pull_options *o, struct name *kept, struct err *err);

/* Whether somebody who may not choose where this machine dials to, as a server's client, may name this model: its host is
 * registry.ollama.ai or the Hub, or a line of the file `hosts` of the store. */
bool pull_host_is_known(const struct store *s, const struct name *n);
int  pull_check_host(const struct name *n, struct err *err);           /* the same of the user's store; ERR_DENIED */

/* Fetches a blob of a model of ours again that is missing or wrong: from where that model comes, or another of ours that has it.
 * Of a large one only what is wrong, where that is known.  ERR_NOTFOUND when nobody has it any more. */
struct bad_blob { char digest[SHA256_HEX + 1]; const char *title; uint64_t size; };
int  pull_repair(struct store *s, const struct found *f, const struct bad_blob *b, const struct pull_options *o, struct err *err);

/* ---- between the files of the pull ---- */
int  pull_in_place(struct pull *p, struct err *err);   /* looks for files of others that are equal */
int  pull_items(struct pull *p, struct err *err);      /* fetches what is missing */
int  pull_plan(struct pull *p, struct err *err);       /* what the name asks for, of whichever kind it is */
int  pull_plan_registry(struct pull *p, struct err *err);
int  pull_plan_hub(struct pull *p, struct err *err);
int  pull_plan_url(struct pull *p, struct err *err);
int  pull_add(struct pull *p, const struct layer *l, const char *url, const char *git, struct err *err);      /* git: or NULL */
bool pull_has(const struct pull *p, const struct pull_item *it);       /* it is in the store, or used where it lies */
void pull_release(struct pull *p);
bool pull_alive(void *p);
/* A sentence for an answer that is an error. */
int  pull_status_error(const struct pull *p, const char *what, struct err *err);
/* The user's token for the Hugging Face Hub, or NULL; mem_free. */
char *hub_token(void);
/* The base URL of the hub. */
const char *hub_base(const struct pull_options *o);

#endif
