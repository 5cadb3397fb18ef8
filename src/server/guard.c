#include "server/guard.h"

#include <string.h>

#include "base/buf.h"
#include "server/uri.h"
#include "store/name.h"

static bool our_port(const struct guard *g, uint16_t port)
{
    for (size_t i = 0; i < g->n_ports; i++)
        if (g->port[i] == port || (!port && (g->port[i] == 80 || g->port[i] == 443))) return true;
    return false;
}

static bool our_host(const struct guard *g, const char *text)
{
    struct uri_host h, ours;
    if (!uri_host(&h, text)) return false;
    bool here = !strcmp(h.name, "localhost") || !strcmp(h.name, "127.0.0.1") || !strcmp(h.name, "::1");
    if (here && our_port(g, h.port)) return true;
    for (size_t i = 0; i < g->n_names; i++)
        if (uri_host(&ours, g->name[i]) && !strcmp(ours.name, h.name) && (!ours.port || ours.port == h.port)) return true;
    return false;
}

bool guard_lists(const struct guard *g, const char *origin)
{
    for (size_t i = 0; origin && i < g->n_origins; i++)
        if (name_equal(g->origin[i], origin)) return true;
    return false;
}

static bool same_origin(const struct guard_request *r)
{
    const char *scheme = r->tls ? "https://" : "http://";
    size_t n = strlen(scheme);
    return r->host && !strncmp(r->origin, scheme, n) && name_equal(r->origin + n, r->host);
}

/* "application/json", "application/x.y+json", with or without parameters. */
static bool is_json(const char *type)
{
    size_t n = strcspn(type, "; \t");
    char t[128];
    if (n >= sizeof t) return false;
    memcpy(t, type, n);
    t[n] = 0;
    return name_equal(t, "application/json") || (n > 17 && !strncmp(t, "application/", 12) && name_ends_with(t, "+json"));
}

int guard_check(const struct guard *g, const struct guard_request *r, char *why, size_t n)
{
    if (!r->local && (!r->host || !our_host(g, r->host))) {
        fmt_into(why, n, "the Host \"%.100s\" is not one of this server's; start it with --host-name NAME if it should be",
                 r->host ? r->host : "");
        return 403;
    }
    bool listed = guard_lists(g, r->origin);
    if (r->origin && !listed && !same_origin(r)) {
        fmt_into(why, n, "pages of the Origin \"%.100s\" may not call this server; start it with --origin to allow that",
                 r->origin);
        return 403;
    }
    if (r->site && !listed && strcmp(r->site, "same-origin") && strcmp(r->site, "none")) {
        fmt_into(why, n, "a page of another site may not call this server; start it with --origin to allow one");
        return 403;
    }
    if (r->json && !g->any_type && !(r->type && is_json(r->type))) {
        fmt_into(why, n, "the Content-Type must be application/json, not \"%.60s\" (with curl: -H 'Content-Type: "
                 "application/json'; a server started with --any-content-type takes others too)", r->type ? r->type : "");
        return 415;
    }
    return 0;
}
