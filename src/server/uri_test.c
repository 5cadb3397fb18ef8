#include "tests/testing.h"

#include "server/guard.h"
#include "server/keys.h"
#include "server/uri.h"

static void paths_are_taken_apart(void **unused)
{
    (void)unused;
    struct uri u;
    struct arena a = { 0 };
    struct err e;
    assert_int_equal(uri_parse(&u, &a, "/", &e), 0);
    assert_int_equal(u.n_segments, 0);
    assert_int_equal(uri_parse(&u, &a, "/v1/models/hf.co/u%2Fv/x%3A1?a=1&b=%C3%A4+c&&d", &e), 0);
    assert_int_equal(u.n_segments, 5);
    assert_string_equal(u.segment[3], "u/v");
    assert_string_equal(u.path, "/v1/models/hf.co/u%2Fv/x%3A1");
    assert_string_equal(uri_query(&u, "b"), "\xc3\xa4 c");
    assert_string_equal(uri_query(&u, "d"), "");
    assert_null(uri_query(&u, "e"));
    assert_true(uri_match(&u, "/v1/models/{id*}"));
    assert_string_equal(uri_param(&u, &a, "/v1/models/{id*}", "id"), "hf.co/u/v/x:1");
    assert_string_equal(uri_param(&u, &a, "/v1/{what}/{id*}", "what"), "models");
    assert_null(uri_param(&u, &a, "/v1/models/{id*}", "x"));
    assert_false(uri_match(&u, "/v1/models/{id}"));
    assert_false(uri_match(&u, "/v1/models"));
    assert_false(uri_match(&u, "/"));
    static const char *const bad[] = { "", "x", "*", "http://h/x", "//x", "/a//b", "/%", "/%2", "/%gg", "/%00", "/%0a",
                                       "/a/../b", "/.",
                                       "/%2E%2e", "/\xff", "/%ff", "/a b", "/a\\b", "/a#b", "/\x7f", "/?a=%zz", "/?%=1",
                                           "/?a=%ff" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (uri_parse(&u, &a, bad[i], &e) == 0) fail_msg("taken: %s", bad[i]);
    char deep[256] = "";
    for (int i = 0; i < 33; i++) strcat(deep, "/a");
    assert_int_equal(uri_parse(&u, &a, deep, &e), ERR_LIMIT);
    deep[64] = 0;
    assert_int_equal(uri_parse(&u, &a, deep, &e), 0);
    arena_release(&a);
}

static void hosts_and_addresses(void **unused)
{
    (void)unused;
    struct uri_host h;
    assert_true(uri_host(&h, "LocalHost:80") && !strcmp(h.name, "localhost") && h.port == 80 && !h.number);
    assert_true(uri_host(&h, "[::1]:1") && !strcmp(h.name, "::1") && h.port == 1 && h.number);
    assert_true(uri_host(&h, "10.0.0.1") && h.number && !h.port);
    static const char *const bad[] = { "", ":80", "a b", "a:", "a:65536", "a:-1", "a:1x", "[::1", "[]", "[::1]x", "a/b", "a@b",
                                       "\xc3\xa4",
                                       "a,b", "localhost:80:80" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (uri_host(&h, bad[i])) fail_msg("taken: %s", bad[i]);
    struct uri_listen l;
    struct err e;
    static const struct { const char *text, *host; uint16_t port; bool local; } row[] = {
        { "127.0.0.1:1", "127.0.0.1", 1, false }, { "[::1]:2", "::1", 2, false }, { "[::1]", "::1", 7, false }, { ":80",
                                                                                                                  "0.0.0.0",
                                                                                                                      80,
                                                                                                                          false },
        { "80", "127.0.0.1", 80, false }, { "localhost", "127.0.0.1", 7, false }, { "0.0.0.0", "0.0.0.0", 7, false },
        { "127.0.0.1:0", "127.0.0.1", 0, false }, { "unix:/run/x", "/run/x", 7, true },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_int_equal(uri_listen(&l, row[i].text, 7, &e), 0);
        assert_string_equal(l.host, row[i].host);
        assert_int_equal(l.port, row[i].port);
        assert_int_equal(l.local, row[i].local);
    }
    assert_int_equal(uri_listen(&l, "http://x", 7, &e), ERR_ARG);
    assert_int_equal(uri_listen(&l, "", 7, &e), ERR_ARG);
}

/* Host x Origin x Sec-Fetch-Site x Content-Type. */
static void who_may_call(void **unused)
{
    (void)unused;
    static const struct guard g = { .name = { "my.box", "10.0.0.5:11434", "localhost:8443" }, .n_names = 3,
                                    .port = { 11434 }, .n_ports = 1,
                                    .origin = { "http://localhost:3000", "app://obsidian.md" }, .n_origins = 2 };
    static const struct { int status; struct guard_request r; } row[] = {
        { 0, { .host = "localhost:11434" } },
        { 0, { .host = "127.0.0.1:11434" } },
        { 0, { .host = "[::1]:11434" } },
        { 0, { .host = "LOCALHOST:11434" } },
        { 0, { .host = "localhost:8443" } },
        { 403, { .host = "127.0.0.1:8443" } },
        { 0, { .host = "my.box" } },
        { 0, { .host = "my.box:8080" } },
        { 0, { .host = "10.0.0.5:11434" } },
        { 403, { .host = "10.0.0.5:80" } },
        { 403, { .host = "localhost" } },
        { 403, { .host = "localhost:80" } },
        { 403, { .host = "evil.example:11434" } },
        { 403, { .host = "localhost.evil.example:11434" } },
        { 403, { .host = "127.0.0.1.evil.example:11434" } },
        { 403, { .host = "127.0.0.2:11434" } },
        { 403, { .host = "2130706433:11434" } },
        { 403, { .host = "" } },
        { 403, { .host = NULL } },
        { 0, { .host = NULL, .local = true } },
        { 0, { .host = "localhost:11434", .origin = "http://localhost:11434" } },
        { 403, { .host = "localhost:11434", .origin = "https://localhost:11434" } },
        { 0, { .host = "localhost:11434", .origin = "https://localhost:11434", .tls = true } },
        { 403, { .host = "localhost:11434", .origin = "http://localhost:3001" } },
        { 403, { .host = "localhost:11434", .origin = "http://127.0.0.1:11434" } },
        { 403, { .host = "localhost:11434", .origin = "null" } },
        { 403, { .host = "localhost:11434", .origin = "" } },
        { 0, { .host = "localhost:11434", .origin = "http://localhost:3000" } },
        { 0, { .host = "localhost:11434", .origin = "http://localhost:3000", .site = "cross-site" } },
        { 0, { .host = "localhost:11434", .origin = "app://obsidian.md", .site = "cross-site" } },
        { 403, { .host = "localhost:11434", .site = "cross-site" } },
        { 403, { .host = "localhost:11434", .site = "same-site" } },
        { 0, { .host = "localhost:11434", .site = "same-origin" } },
        { 0, { .host = "localhost:11434", .site = "none" } },
        { 415, { .host = "localhost:11434", .json = true } },
        { 415, { .host = "localhost:11434", .json = true, .type = "text/plain" } },
        { 415, { .host = "localhost:11434", .json = true, .type = "application/x-www-form-urlencoded" } },
        { 415, { .host = "localhost:11434", .json = true, .type = "application/jsonx" } },
        { 0, { .host = "localhost:11434", .json = true, .type = "application/json" } },
        { 0, { .host = "localhost:11434", .json = true, .type = "Application/JSON; charset=utf-8" } },
        { 0, { .host = "localhost:11434", .json = true, .type = "application/merge-patch+json" } },
    };
    char why[400];
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int status = guard_check(&g, &row[i].r, why, sizeof why);
        if (status != row[i].status) fail_msg("row %zu: %d, not %d (%s)", i, status, row[i].status, status ? why : "");
    }
}

static void keys_are_read_and_found(void **unused)
{
    (void)unused;
    char key[KEY_TEXT + 1], second[KEY_TEXT + 1];
    struct buf file = { 0 };
    struct keys k;
    struct err e = { 0 };
    buf_puts(&file, "# ours\n\n");
    assert_int_equal(key_make(ROLE_INFER, "laptop", key, &file, &e), 0);
    assert_int_equal(key_make(ROLE_MANAGE, "admin.1", second, &file, &e), 0);
    assert_string_not_equal(key, second);
    assert_int_equal(strlen(key), 7 + 48);
    assert_null(strstr(file.data, key + 7));
    assert_int_equal(keys_parse(&k, file.data, file.len, "f", &e), 0);
    assert_int_equal(k.n, 2);
    assert_string_equal(keys_find(&k, key)->name, "laptop");
    assert_int_equal(keys_find(&k, second)->role, ROLE_MANAGE);
    key[20] ^= 1;
    assert_null(keys_find(&k, key));
    assert_null(keys_find(&k, ""));
    assert_null(keys_find(&k, k.v[0].hash));
    keys_release(&k);
    static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const struct { const char *line, *why; } bad[] = {
        { "root x %s", "infer or manage" }, { "infer x", "64 lower-case" }, { "infer x hearth-1", "not the key itself" },
        { "infer a/b %s", "letters" }, { "infer x %s more", "behind the hash" }, { "infer x %s\ninfer x %s",
                                                                                   "line 2: a second key" },
        { "infer", "letters" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];
        const char *from = bad[i].line;
        size_t n = 0;
        while (*from)
            if (!strncmp(from, "%s", 2)) n += (size_t)sprintf(text + n, "%s", hash), from += 2;
            else text[n++] = *from++;
        assert_int_equal(keys_parse(&k, text, n, "f", &e), ERR_FORMAT);
        if (!strstr(e.msg, bad[i].why)) fail_msg("%zu: %s", i, e.msg);
    }
    assert_int_equal(key_make(ROLE_INFER, "a b", key, &file, &e), ERR_ARG);
    buf_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_taken_apart), cmocka_unit_test(hosts_and_addresses), cmocka_unit_test(who_may_call),
        cmocka_unit_test(keys_are_read_and_found),
    };
    return run_tests(tests);
}
