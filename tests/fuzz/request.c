/* Paths, queries, hosts, key files and header fields from outside: what is taken is bounded and means one thing. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "server/guard.h"
#include "server/keys.h"
#include "server/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
    if (!ok) abort();
}

static void paths(const char *text)
{
    struct uri u;
    struct arena a = { .limit = 1 << 20 };
    if (uri_parse(&u, &a, text, NULL) == 0) {
        check(u.n_segments <= URI_SEGMENTS && u.n_pairs <= URI_PAIRS && *u.path == '/');
        for (size_t i = 0; i < u.n_segments; i++) {
            const char *s = u.segment[i];
            check(*s && strcmp(s, ".") && strcmp(s, "..") && utf8_valid(s, strlen(s)));
        }
        for (size_t i = 0; i < u.n_pairs; i++) check(u.pair[i].name && u.pair[i].value);
        bool rest = uri_match(&u, "/{x*}");
        check(rest == (u.n_segments > 0) && uri_match(&u, "/") == (u.n_segments == 0));
        const char *all = uri_param(&u, &a, "/{x*}", "x");
        check(!rest == !all || a.total >= a.limit);
    }
    arena_release(&a);
}

static void hosts(const char *text)
{
    static const struct guard g = { .port = { 11434 }, .n_ports = 1, .name = { "my.box" }, .n_names = 1 };
    struct uri_host h;
    struct uri_listen l;
    char why[400];
    if (uri_host(&h, text)) check(*h.name && strlen(h.name) < sizeof h.name);
    if (uri_listen(&l, text, 1, NULL) == 0) check(l.local || *l.host);
    struct guard_request r = { .host = text };
    if (guard_check(&g, &r, why, sizeof why) == 0)
        check(uri_host(&h, text) && (!strcmp(h.name, "my.box") || (h.port == 11434 && (!strcmp(h.name, "localhost") ||
              !strcmp(h.name, "127.0.0.1") || !strcmp(h.name, "::1")))));
    r = (struct guard_request){ .host = "localhost:11434", .origin = text };
    if (guard_check(&g, &r, why, sizeof why) == 0) check(strlen(text) == strlen("http://localhost:11434"));
    r = (struct guard_request){ .host = "localhost:11434", .type = text, .json = true };
    guard_check(&g, &r, why, sizeof why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = mem_strdup((const char *)data, n);
    struct keys k;
    if (!text) return 0;
    paths(text);
    hosts(text);
    if (keys_parse(&k, text, n, "f", NULL) == 0) {
        for (size_t i = 0; i < k.n; i++) check(*k.v[i].name && sha256_is_hex(k.v[i].hash, strlen(k.v[i].hash)));
        check(!keys_find(&k, text));
        keys_release(&k);
    }
    mem_free(text);
    return 0;
}
