/* replay.h - streams that a client can take up again when its connection broke.
 *
 * A request with the header X-Conversation-Id (1 to 64 letters, digits, . _ -) has its stream kept: the job goes on without
 * the client, and whoever asks by that id - with the same key - gets the rest.  Events of such a stream have an id: line, a
 * number that counts from 1.  Of each stream the last 4 MiB are kept, until 300 s after it ended; one that nobody has read for
 * 300 s has its job cancelled.  At most 64 streams are kept.
 * Threads: any. */
#ifndef HEARTH_SERVER_REPLAY_H
#define HEARTH_SERVER_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/lock.h"

struct exchange;
struct replay;                     /* known to exchanges by a number, so that one that was forgotten does no harm */
enum { REPLAYS = 64, REPLAY_READERS = 16, REPLAY_ID = 64 };
struct replays { struct lock lock; struct replay *v[REPLAYS]; uint64_t n_made; };     /* zero-initialise */

/* Keeps the stream that x begins; one of that id before it is forgotten.  sse: events are numbered.  0: it cannot be kept. */
uint64_t replay_begin(struct replays *all, struct exchange *x, const char *id, bool sse);
/* The bytes as they are to be sent (appended to out), which are kept and sent to those who read along. */
void replay_write(struct replays *all, uint64_t number, const char *bytes, size_t n, struct buf *out);
void replay_end(struct replays *all, uint64_t number);
/* The client of x has gone; true: its job goes on. */
bool replay_left(struct replays *all, uint64_t number);

/* Forgets what is too old. */
void replays_look(struct replays *all, uint64_t now);
void replays_stop(struct replays *all);        /* cancels the jobs of those that go on */
void replays_free(struct replays *all);        /* no exchange is left */

/* GET, DELETE /v1/stream?conv_id=ID&from=BYTE (or Last-Event-ID), POST /v1/streams/lookup {"conv_ids": [...]}. */
void replay_get(struct exchange *x);
void replay_delete(struct exchange *x);
void replay_lookup(struct exchange *x);

#endif
