/* rerank.h - what a model is asked about a query and its documents: shared by hearth_rerank and the engine that serves many.
 * Threads: a struct rank belongs to one at a time. */
#ifndef HEARTH_ENGINE_RERANK_H
#define HEARTH_ENGINE_RERANK_H

#include "engine/engine.h"

struct rank {
    const struct hearth_model *m;
    const struct hearth_rerank_options *o;
    const char *query;
    bool pair;                        /* an encoder's pair of texts */
    uint32_t limit;                   /* tokens */
    struct ids head, tail, ids;       /* before and after the document; the whole of the current one */
    int32_t yes, no;                  /* asked without a classifier */
};

/* Of a struct with m, o and query set; released by rank_release also after a failure. */
int   rank_open(struct rank *r, struct err *err);
void  rank_release(struct rank *r);
/* r->ids = head, as much of the document as fits, tail.  Nothing in query or document becomes a control token. */
int   rank_join(struct rank *r, const char *document, struct err *err);
/* A logit as it was asked for. */
float rank_score(const struct hearth_rerank_options *o, float logit);

#endif
