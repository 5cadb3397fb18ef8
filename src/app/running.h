/* running.h - how commands find and ask a server that runs.  Threads: main thread. */
#ifndef HEARTH_APP_RUNNING_H
#define HEARTH_APP_RUNNING_H

#include "app/args.h"
#include "base/json.h"

struct running { const char *host, *key; };

/* AT(field) is the offset of the command's field; `at` its struct running. */
#define RUNNING_ROWS(AT) \
    { "host", NULL, 0, OPT_STR, "ADDRESS", "127.0.0.1:11434", "where the server listens: a number with a port, or unix:/path", \
      NULL, AT(at.host), 0, 0 }, \
    { "key", NULL, 0, OPT_STR, "KEY", "HEARTH_API_KEY", "its API key, when it asks for one", NULL, AT(at.key), 0, 0 }

/* Asks; *answer (json_free) is what a good answer holds.  An error says what to do when no server runs. */
int running_ask(const struct running *r, const char *method, const char *path, const char *body, struct json **answer,
                struct err *err);

#endif
