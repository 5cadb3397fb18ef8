/* api_work.h - what takes longer than a handler may: a thread for each, which the server joins; API_WORKS at once
 * for clients.
 *
 * Threads: any. */
#ifndef HEARTH_SERVER_API_WORK_H
#define HEARTH_SERVER_API_WORK_H

#include "base/err.h"
#include "server/http.h"

enum { API_WORKS = 64 };
struct api_works;                      /* of a server: server_works */
struct api_works *api_works_new(void);
void api_works_stop(struct api_works *w);              /* api_work_stopped is true from now on; nothing waits */
void api_works_free(struct api_works *w);              /* stops and waits; NULL is fine */

struct api_work;
typedef void api_work_fn(struct api_work *w, void *own);
/* Runs fn on a thread of its own; takes own (release may be NULL), also on failure (ERR_LIMIT: too many at once).  x, when not
 * NULL, is held meanwhile and must have been answered when fn returns; on failure it is answered here. */
struct api_task { api_work_fn *fn; void *own; void (*release)(void *own); };
int  api_work_start(struct api_works *works, struct exchange *x, const struct api_task *t, struct err *err);
bool api_work_stopped(const struct api_work *w);       /* the server closes, or the client of x has gone */
struct exchange *api_work_exchange(const struct api_work *w);

#endif
