/* search.h - looking for models on the Hugging Face Hub.  Threads: one call at a time per result. */
#ifndef HEARTH_STORE_SEARCH_H
#define HEARTH_STORE_SEARCH_H

#include "store/fetch.h"
#include "store/store.h"

enum search_order { SEARCH_TRENDING, SEARCH_DOWNLOADS, SEARCH_LIKES, SEARCH_NEW };
enum { SEARCH_MOST = 100 };

struct search_query {
    const char *text, *author;             /* either may be NULL */
    enum search_order order;
    unsigned limit;                        /* 1 to SEARCH_MOST */
    bool all;                              /* also what has no GGUF files */
    const char *hub;                       /* base URL in the place of the usual one, or NULL */
    fetch_alive_fn *alive;
    void *arg;
};

struct search_hit {
    const char *name;                      /* hf.co/user/repo */
    char arch[64], changed[16];            /* changed: 2026-01-31; either may be "" */
    uint64_t downloads, likes, n_params;
    uint32_t context;
    bool gated;                            /* wants a token of somebody who accepted its licence */
};
struct search_result { struct arena arena; struct search_hit v[SEARCH_MOST]; size_t n; };

/* *out is to be released also after a failure. */
int  store_search(const struct search_query *q, struct search_result *out, struct err *err);
void search_release(struct search_result *r);
/* The hub's answer; its rows that make no sense are left out. */
int  search_parse(struct search_result *out, const char *text, size_t n, struct err *err);

#endif
