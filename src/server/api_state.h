/* api_state.h - answers that clients may go on from later (OpenAI's previous_response_id, LM Studio's too): in memory, at most so
 * many and so large, those that were used longest ago going first.  Nobody sees what another key's user has stored.
 * Threads: any. */
#ifndef HEARTH_SERVER_API_STATE_H
#define HEARTH_SERVER_API_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

enum { API_STATE_ID = 48 };

struct api_state;
/* NULL when out of memory. */
struct api_state *api_state_new(size_t max_entries, size_t max_bytes);
void api_state_free(struct api_state *s);                        /* NULL is fine */

/* What is kept of one; each is one more owner of the values, or NULL. */
struct api_kept {
    struct json *messages;             /* the conversation up to and with the answer, as jobs have it, without instructions */
    struct json *object, *input;       /* the answer as it was given; the items that were sent */
};
void api_kept_release(struct api_kept *k);
/* Takes what k owns, also when it is too large to be kept (false). */
bool api_state_put(struct api_state *s, const char *user, const char *id, struct api_kept *k);
bool api_state_get(struct api_state *s, const char *user, const char *id, struct api_kept *out);
bool api_state_remove(struct api_state *s, const char *user, const char *id);

#endif
