/* registry_home.h - a home of its own and a registry beside it: what the tests of fetching share. */
#ifndef HEARTH_TESTS_REGISTRY_HOME_H
#define HEARTH_TESTS_REGISTRY_HOME_H

#include "tests/registry_server.h"
#include "tests/store_files.h"

/* The registry listens, at `url`; server_start serves the routes that were added. */
static inline int registry_home(struct server *s, char url[64])
{
    if (store_home() != 0 || server_listen(s) < 0) return -1;
    snprintf(url, 64, "http://127.0.0.1:%d", s->port);
    return 0;
}

static inline int registry_home_remove(struct server *s)
{
    server_stop(s);
    return store_home_remove();
}

/* An empty store, and an honest registry that has counted nothing. */
static inline void registry_wipe(struct server *s)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s/own'", dir);
    assert_int_equal(system(command), 0);
    server_reset(s);
}

#endif
