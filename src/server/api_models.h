/* api_models.h - the models of this machine as the dialects list them.  Threads: any. */
#ifndef HEARTH_SERVER_API_MODELS_H
#define HEARTH_SERVER_API_MODELS_H

#include "server/server.h"

struct api_model {
    const char *name, *owner, *path;
    uint64_t size;
    int64_t mtime;
    char id[SHA256_HEX + 1];           /* of the manifest or the file, or of its path where neither is known */
    struct facts facts;
    bool embedded, ours;
    const struct found *found;         /* or NULL */
};
typedef void api_model_fn(void *arg, const struct api_model *m);

/* All of them but broken ones: the server's own first, when it is a file outside the store; then those of the store, the
 * newest first; then the embedded one. */
int api_models_each(struct server *s, api_model_fn *fn, void *arg, struct err *err);
/* The one with this name, as server_resolve finds it; fn is called once. */
int api_models_one(struct server *s, const char *name, api_model_fn *fn, void *arg, struct err *err);

const char *api_model_format(const struct api_model *m);         /* "gguf" or "safetensors" */
/* "7.6B", "494.03M", "" when unknown. */
void api_put_params(uint64_t n, struct buf *out);

#endif
