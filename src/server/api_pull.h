/* api_pull.h - fetching models for clients: `hearth pull` as a process of its own for each, because this one never dials out.
 *
 * Requests for the same model share one.  One that nobody waits for is ended, unless it is to go on.
 * Threads: any. */
#ifndef HEARTH_SERVER_API_PULL_H
#define HEARTH_SERVER_API_PULL_H

#include "base/err.h"
#include "server/api_work.h"

struct api_pulls;
struct api_pulls *api_pulls_new(struct api_works *works);
void api_pulls_free(struct api_pulls *p);              /* after its works have ended; NULL is fine */

enum { API_PULL_NAME = 640, API_PULL_ID = 32 };
enum api_pull_state { PULL_RUNNING, PULL_DONE, PULL_FAILED };
struct api_pull_info {
    char id[API_PULL_ID], name[API_PULL_NAME], file[256], message[512];      /* message: why it failed */
    enum api_pull_state state;
    uint64_t done, total;              /* bytes; total 0: not known yet */
    double per_second;
    int64_t begun, ended;              /* seconds since 1970 */
};

/* Begins to fetch, or joins who does; id (API_PULL_ID) is what it is known by.  ERR_ARG for what is no name of a registry or hub,
 * ERR_DENIED where its host is none that clients may name (pull_host_is_known).
 * wait: the caller waits, and says api_pull_leave in the end; else it goes on alone. */
int  api_pull_begin(struct api_pulls *p, const char *model, bool wait, char id[API_PULL_ID], struct err *err);
bool api_pull_info(struct api_pulls *p, const char *id, struct api_pull_info *out);      /* the last 64 are known */
void api_pull_leave(struct api_pulls *p, const char *id);
/* Told when more of a model has come, when all has, or when it will not; on the download's thread. */
typedef void api_pull_fn(void *arg, const struct api_pull_info *i);
void api_pulls_tell(struct api_pulls *p, api_pull_fn *fn, void *arg);

#endif
