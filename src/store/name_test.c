#include "tests/testing.h"

#include <stdlib.h>

#include "store/name.h"

static void full_of(const char *text, char *dst, size_t n)
{
    struct name name;
    struct err e = { 0 };
    if (name_parse(&name, text, &e) < 0) fail_msg("%s", e.msg);
    struct buf b = { 0 };
    name_put(&name, &b);
    fmt_into(dst, n, "%s", b.data);
    buf_release(&b);
}

static void registry_names(void **state)
{
    (void)state;
    static const char *const row[][3] = {
        { "qwen3", "registry.ollama.ai/library/qwen3:latest", "qwen3:latest" },
        { "qwen3:30b", "registry.ollama.ai/library/qwen3:30b", "qwen3:30b" },
        { "me/x", "registry.ollama.ai/me/x:latest", "me/x:latest" },
        { "localhost:5000/me/x:A.b-c", "localhost:5000/me/x:A.b-c", "localhost:5000/me/x:A.b-c" },
        { "[::1]:5000/me/x", "[::1]:5000/me/x:latest", "[::1]:5000/me/x:latest" },
        { "https://reg.example/me/x:1", "reg.example/me/x:1", "reg.example/me/x:1" },
        { "http://127.0.0.1:80/me/x:1", "http://127.0.0.1:80/me/x:1", "http://127.0.0.1:80/me/x:1" },
        { "_a.b", "registry.ollama.ai/library/_a.b:latest", "_a.b:latest" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char full[512];
        full_of(row[i][0], full, sizeof full);
        assert_string_equal(full, row[i][1]);
        struct name n;
        assert_int_equal(name_parse(&n, row[i][0], NULL), 0);
        assert_int_equal(n.kind, NAME_REGISTRY);
        struct buf b = { 0 };
        name_put_short(&n, &b);
        assert_string_equal(b.data, row[i][2]);
        buf_release(&b);
    }
}

static void hub_names(void **state)
{
    (void)state;
    static const char *const row[][4] = {
        { "hf.co/Qwen/Qwen3-8B-GGUF", "Qwen3-8B-GGUF", "", "" },
        { "HF.co/Qwen/Qwen3-8B-GGUF:q4_k_m", "Qwen3-8B-GGUF", "q4_k_m", "" },
        { "huggingface.co/a.b/c:x/y-00001-of-00002.gguf", "c", "", "x/y-00001-of-00002.gguf" },
        { "https://huggingface.co/a/c", "c", "", "" },
        { "https://huggingface.co/a/c/resolve/main/d/e.gguf?download=true", "c", "", "d/e.gguf" },
        { "https://huggingface.co/a/c/blob/main/e.gguf", "c", "", "e.gguf" },
        { "https://huggingface.co/resolve/m1", "m1", "", "" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct name n;
        struct err e = { 0 };
        if (name_parse(&n, row[i][0], &e) < 0) fail_msg("%s", e.msg);
        assert_int_equal(n.kind, NAME_HUB);
        assert_string_equal(n.host, "hf.co");
        assert_string_equal(n.model, row[i][1]);
        assert_string_equal(n.tag, row[i][2]);
        assert_string_equal(n.file, row[i][3]);
    }
}

static void paths_and_urls(void **state)
{
    (void)state;
    static const struct { const char *text; enum name_kind kind; const char *path; } row[] = {
        { "file:a b", NAME_PATH, "a b" }, { "file:///x/y", NAME_PATH, "/x/y" }, { "/x", NAME_PATH, "/x" },
        { "./x", NAME_PATH, "./x" }, { "../x", NAME_PATH, "../x" }, { "~/x", NAME_PATH, "~/x" }, { ".", NAME_PATH, "." },
        { "x/y.GGUF", NAME_PATH, "x/y.GGUF" }, { "https://h.example/a/b.gguf?x=1", NAME_URL, "https://h.example/a/b.gguf?x=1" },
        { "http://localhost:1/b.gguf", NAME_URL, "http://localhost:1/b.gguf" },
        { "https://huggingface.co/a/c/resolve/v2/e.gguf", NAME_URL, "https://huggingface.co/a/c/resolve/v2/e.gguf" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct name n;
        struct err e = { 0 };
        if (name_parse(&n, row[i].text, &e) < 0) fail_msg("%s", e.msg);
        assert_int_equal(n.kind, row[i].kind);
        assert_string_equal(n.text, row[i].path);
    }
}

static void refused(void **state)
{
    (void)state;
    static const char *const row[][2] = {
        { "", "empty" }, { "a:", "tag is empty" }, { ":x", "model is empty" }, { "a/", "model is empty" },
        { "/..", NULL }, { "-a", "begin with" }, { ".a/b", "namespace" }, { "a.b/c", "namespace" }, { "a/b/c/d", "host" },
        { "h:port/a/b", "port" }, { "a\\b", "not allowed" }, { "a b", "not allowed" }, { "a:b:c", "not allowed" },
        { "ftp://x/y", "only https" }, { "http://example.com/a/b", "only for this machine" },
        { "http://127.0.0.1.evil.example/x.gguf", "only for this machine" }, { "http://localhost.evil.example/x.gguf", "only" },
        { "https://u:p@h/x.gguf", "password" }, { "hf.co/a", "hf.co/user/repo" }, { "hf.co/a/b:../x.gguf", "plain path" },
        { "hf.co/a/b:/etc/x.gguf", "plain path" }, { "hf.co/a/b:c//x.gguf", "plain path" }, { "hf.co/a/b/c", "comes :quant" },
        { "hf.co/../b", "begin with" }, { "hf.co/a/b:a\\b.gguf", "plain path" }, { "a\xc3\xa9", "not allowed" },
        { "file:", "empty" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct name n;
        struct err e = { 0 };
        int rc = name_parse(&n, row[i][0], &e);
        if (!row[i][1]) {
            assert_int_equal(n.kind, NAME_PATH);
            continue;
        }
        if (rc != ERR_ARG || !strstr(e.msg, row[i][1])) fail_msg("\"%s\": %d, %s", row[i][0], rc, e.msg);
    }
    char text[NAME_TEXT + 8];
    memset(text, 'a', sizeof text);
    text[81] = 0;
    assert_int_equal(name_parse(&(struct name){ 0 }, text, NULL), ERR_ARG);
    text[80] = 0;
    assert_int_equal(name_parse(&(struct name){ 0 }, text, NULL), 0);
    memset(text, 'a', sizeof text);
    text[NAME_TEXT + 1] = 0;
    assert_int_equal(name_parse(&(struct name){ 0 }, text, NULL), ERR_ARG);
}

static void case_does_not_count(void **state)
{
    (void)state;
    struct name a, b;
    name_parse(&a, "Qwen3:30B", NULL);
    name_parse(&b, "registry.ollama.ai/library/qwen3:30b", NULL);
    assert_true(name_same(&a, &b));
    assert_string_equal(a.model, "Qwen3");
    name_parse(&b, "qwen3:30c", NULL);
    assert_false(name_same(&a, &b));
}

static void safe_paths(void **state)
{
    (void)state;
    static const char *const good[] = { "a", "a/b.c", "...", "a..b", "\xc3\xa9" };
    static const char *const bad[] = { "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\\b", "C:a", "a\nb",
                                       "a\x7f" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!name_is_safe_path(good[i], 511)) fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (name_is_safe_path(bad[i], 511)) fail_msg("%s", bad[i]);
    assert_false(name_is_safe_path("abc", 2));
    assert_true(name_is_loopback("127.0.0.1:80"));
    assert_true(name_is_loopback("LocalHost"));
    assert_false(name_is_loopback("127.0.0.1.x"));
    assert_false(name_is_loopback("127.1"));
    assert_false(name_is_loopback("10.0.0.1"));
}

static void private_addresses(void **state)
{
    (void)state;
    static const char *const inside[] = { "127.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
                                          "169.254.169.254", "0.0.0.0",
                                          "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "FEBF::1",
                                              "fd00::1",
                                          "fc00::1", "ff02::1", "::ffff:192.168.1.1", "::ffff:c0a8:101", "64:ff9b::10.0.0.1", "",
                                          "1.2.3", "1.2.3.4.5", "1.2.3.256", "a.b.c.d", "1..2.3" };
    static const char *const outside[] = { "1.1.1.1", "172.15.0.1", "172.32.0.1", "192.167.0.1", "100.63.0.1", "100.128.0.1",
                                           "11.0.0.1",
                                           "2606:4700::1111", "fe::1", "64:ff9b::1.1.1.1", "223.255.255.255" };
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (!name_is_private_address(inside[i])) fail_msg("taken for public: %s", inside[i]);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        if (name_is_private_address(outside[i])) fail_msg("taken for private: %s", outside[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registry_names), cmocka_unit_test(hub_names), cmocka_unit_test(paths_and_urls),
        cmocka_unit_test(refused), cmocka_unit_test(case_does_not_count), cmocka_unit_test(safe_paths),
            cmocka_unit_test(private_addresses),
    };
    return run_tests(tests);
}
