/* served.h - one server of this test program, on a port of its own, before the fake engine process. */
#ifndef HEARTH_TESTS_SERVED_H
#define HEARTH_TESTS_SERVED_H

#include "server/server.h"
#include "tests/fake_link.h"
#include "tests/http_client.h"

static struct link *fake;
static struct server *server;
static int port;

static void served_open(struct server_options *o)
{
    struct err e = { 0 };
    if (!o->listen[0]) o->listen[0] = "127.0.0.1:0";
    assert_int_equal(link_open(&fake, NULL, &e), 0);
    if (server_open(&server, o, fake, &e) < 0) fail_msg("%s", e.msg);
    port = atoi(strrchr(server_url(server, 0), ':') + 1);
}

/* A test may have closed the server itself, and set it to NULL. */
static int served_close(void **unused)
{
    (void)unused;
    server_close(server);
    link_close(fake);
    server = NULL;
    return 0;
}

#endif
