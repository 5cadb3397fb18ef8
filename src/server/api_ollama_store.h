/* api_ollama_store.h - those of Ollama's endpoints that change the store. */
#ifndef HEARTH_SERVER_API_OLLAMA_STORE_H
#define HEARTH_SERVER_API_OLLAMA_STORE_H

#include "server/http.h"

void api_ollama_create(struct exchange *x);
void api_ollama_copy(struct exchange *x);
void api_ollama_delete(struct exchange *x);
void api_ollama_pull(struct exchange *x);
void api_ollama_blob(struct exchange *x);              /* HEAD */
bool api_ollama_blob_sink(struct exchange *x, const char *bytes, size_t n);
void api_ollama_blob_end(struct exchange *x);
/* A model of the store by its name: removed, when it is ours. */
int  api_ollama_remove(struct server *server, const char *name, struct err *err);

#endif
