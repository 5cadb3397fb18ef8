/* feed.h - what becomes of models, for those who listen: GET /models/sse of llama-server's dialect.
 *
 * Each event is {"model","event","data"}: model_status (loading with its progress, loaded, unloaded), download_progress,
 * download_finished, download_failed, model_remove, models_reload.  A listener that does not read is left out, as any client.
 * Threads: any. */
#ifndef HEARTH_SERVER_FEED_H
#define HEARTH_SERVER_FEED_H

#include "base/lock.h"
#include "server/api_pull.h"
#include "server/server.h"

enum { FEED_LISTENERS = 64, FEED_MODELS = 64 };
struct feed_one;
struct feed {                          /* zero-initialise */
    struct lock lock;
    struct exchange *listener[FEED_LISTENERS];
    size_t n;
    struct feed_one *one[FEED_MODELS]; /* what is known of models, by their paths; the oldest make room */
    size_t n_made;
    uint64_t spoke;                    /* when something was last written to all */
    bool stopped;
};

void feed_get(struct exchange *x);     /* the handler */
/* What clients call the model of this path. */
void feed_name(struct feed *f, const char *path, const char *name);
/* An event of the engine process (job.h, "model"); NULL: it died, and what it had is gone. */
void feed_model(struct feed *f, const struct json *event);
void feed_pull(struct feed *f, const struct api_pull_info *i);
void feed_say(struct feed *f, const char *model, const char *event, const char *data);     /* data: JSON */
void feed_look(struct feed *f, uint64_t now);          /* every now and then: lets go who has left */
void feed_stop(struct feed *f);                        /* ends all streams; there are no new ones */
void feed_free(struct feed *f);                        /* after that */

struct feed *server_feed(struct server *s);

#endif
