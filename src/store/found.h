/* found.h - between the files that look for models. */
#ifndef HEARTH_STORE_FOUND_H
#define HEARTH_STORE_FOUND_H

#include "store/store.h"

/* Copies f and its strings into the list. */
int found_add(struct found_list *l, const struct found *f, struct err *err);

/* A folder with manifests/ and blobs/: Ollama's, or our own. */
int found_manifests(const struct store *s, struct found_list *l, const char *root, const char *owner, struct err *err);
/* The cache of the Hugging Face Hub: models--USER--REPO/snapshots/. */
int found_hub(struct found_list *l, const char *root, struct err *err);
/* Files and folders of models below a folder, at most `depth` levels down.  two_levels: PUBLISHER/REPO/FILE, which gives names as
 * on the Hub. */
struct found_scan { const char *owner; unsigned depth; bool two_levels; };
int found_folder(struct found_list *l, const char *root, struct found_scan how, struct err *err);
/* The files of one repository at path, given the name that it has on the Hub. */
int found_repository(struct found_list *l, const char *path, const char *owner, const char *name, struct err *err);
/* A link into blobs/ of the Hub's cache has the digest as its name there; for others hex stays as it is. */
void found_link_digest(const char *path, char hex[SHA256_HEX + 1]);

#endif
