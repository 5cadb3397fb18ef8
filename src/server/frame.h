/* frame.h - the bytes between front and engine process: frames of a length (4 bytes), the job's number (8 bytes), both with
 * the smallest byte first, and so many bytes of JSON.
 *
 * Either side takes the other's bytes for hostile: lengths are checked, and memory grows with what has come, not with what is
 * announced.  Threads: as said. */
#ifndef HEARTH_SERVER_FRAME_H
#define HEARTH_SERVER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/proc.h"

enum { FRAME_HEAD = 12 };

/* A frame has come; what it points to lives during the call.  A negative value ends the reading, with err set. */
typedef int frame_fn(void *arg, uint64_t id, const char *text, size_t n, struct err *err);

/* Finds frames in a stream that comes in pieces.  A zeroed struct is ready; frame_reader_release frees.  One thread. */
struct frame_reader { struct buf held; };
int  frame_reader_push(struct frame_reader *r, const char *bytes, size_t n, frame_fn *fn, void *arg, struct err *err);
void frame_reader_release(struct frame_reader *r);

/* Appends a frame; false (and nothing is appended) when the text is empty or has more than JOB_MAX_BYTES. */
bool frame_put(struct buf *out, uint64_t id, const char *text, size_t n);

/* Both directions over a channel: one thread reads and writes, any may send. */
struct frames;
int  frames_open(struct frames **out, struct chan *c, struct err *err);          /* takes c, also on failure */
void frames_close(struct frames *f);                                            /* NULL is fine */
/* Any thread: it will be written.  While much is unsent it waits, unless `at_once`.  false: too long, out of memory, too much
 * unsent, or the other side is gone. */
bool frames_send(struct frames *f, uint64_t id, const char *text, size_t n, bool at_once);
/* The thread's: waits up to timeout_ms for anything to do, writes what can be written and reads what has come.  1: so it goes
 * on; 0: the other side is gone (all that it had sent was read); or an error of fn's or the stream's. */
int  frames_step(struct frames *f, int timeout_ms, frame_fn *fn, void *arg, struct err *err);
bool frames_lost(struct frames *f);                        /* the other side is gone: nothing can be sent any more */
void frames_wake(struct frames *f);                                             /* any thread: frames_step returns */
/* Any thread: something that must be sent cannot be; frames_step ends with ERR_NOMEM, so that the other side learns of it. */
void frames_break(struct frames *f);

#endif
