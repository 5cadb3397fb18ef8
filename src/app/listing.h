/* listing.h - how models are shown: one row of a table, one JSON object.  Main thread. */
#ifndef HEARTH_APP_LISTING_H
#define HEARTH_APP_LISTING_H

#include "base/json.h"
#include "store/store.h"

/* "4.7 GB", "812 MB". */
void put_bytes(uint64_t n, struct buf *out);
/* "30.5 B", "361 M"; nothing for 0. */
void put_params(uint64_t n, struct buf *out);
/* The rows of all models; the facts of each are looked up. */
void put_models(struct store *s, const struct found_list *l, struct buf *out);
/* NULL when out of memory.  same_as: the index of an equal model above it, or SIZE_MAX. */
struct json *model_json(const struct found *f, const struct facts *x, const char *same_as);
/* "NAME: made", or {"status": "success", "name": ...}. */
void put_made(const struct name *n, bool json, struct buf *out);
struct json *text_json(const char *s);
/* The name of the first model of the list whose file equals that of v[i], or NULL. */
const char *equal_model(const struct found_list *l, size_t i);

#endif
