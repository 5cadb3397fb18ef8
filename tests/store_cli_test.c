/* store_cli_test.c - models of other programs, found and run where they lie. */
#include "tests/store_files.h"

static char hex[SHA256_HEX + 1];

static int setup(void **state)
{
    (void)state;
    char path[256], text[512];
    size_t n;
    if (store_home() != 0) return -1;
    char *model = store_model(&n, 1), *other = store_model(&n, 2);
    if (sha256_bytes(model, n, hex, NULL) < 0) return -1;
    snprintf(path, sizeof path, "home/.ollama/models/blobs/sha256-%s", hex);
    store_file(path, model, n);
    snprintf(text, sizeof text, "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:%s\","
             "\"size\":%zu}]}", hex, n);
    store_text("home/.ollama/models/manifests/registry.ollama.ai/library/qwen3/30b", text);
    store_text("home/.ollama/models/manifests/registry.ollama.ai/library/qwen3/hostile",
               "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:../../../x\"}]}");
    snprintf(text, sizeof text, "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":"
             "\"sha256:%.63s0\",\"size\":9}]}", hex);
    store_text("home/.ollama/models/manifests/registry.ollama.ai/library/gone/latest", text);
    snprintf(path, sizeof path, "home/.cache/huggingface/hub/models--Qwen--Q-GGUF/blobs/%s", hex);
    store_file(path, model, n);
    store_text("home/.cache/huggingface/hub/models--Qwen--Q-GGUF/refs/main", "abc\n");
    store_text("home/.cache/huggingface/hub/models--Qwen--Q-GGUF/snapshots/old/q-Q2_K.gguf", "old");
    store_text("home/.cache/huggingface/hub/models--Qwen--Q-GGUF/snapshots/abc/mmproj-F16.gguf", "x");
    snprintf(path, sizeof path, "../../blobs/%s", hex);
    char link[256];
    snprintf(link, sizeof link, "%s/home/.cache/huggingface/hub/models--Qwen--Q-GGUF/snapshots/abc/q-Q4_K_M.gguf", dir);
    if (symlink(path, link) < 0) return -1;
    store_file("home/.lmstudio/models/pub/repo/thing-Q8_0.gguf", other, n);
    store_file("home/.lmstudio/models/pub/repo/sub/thing-BF16.gguf", other, n);
    store_file("home/.cache/llama.cpp/org_repo_small.gguf", other, n);
    store_file("mine/deep/er/own-model.gguf", other, n);
    store_text("mine/split-00001-of-00002.gguf", "1");
    mem_free(model);
    mem_free(other);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return store_home_remove();
}

static const struct json *named(const struct json *list, const char *name)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (!strcmp(json_str(json_get(json_at(list, i), "name"), NULL), name)) return json_at(list, i);
    fail_msg("%s is not listed", name);
    return NULL;
}

static void expect_text(const struct json *j, const char *key, const char *want)
{
    const char *s = json_str(json_get(j, key), NULL);
    if (!s || strcmp(s, want)) fail_msg("%s is %s, not %s", key, s ? s : "absent", want);
}

static void listed_with_their_owners(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "folders", "add", in_dir("mine"));
    program_expect(&r, 0);
    program_free(&r);
    r = PROGRAM(NULL, "list", "--json");
    program_expect(&r, 0);
    struct json *list = parsed(r.out);
    static const char *const row[][3] = {
        { "qwen3:30b", "ollama", "llama" }, { "hf.co/Qwen/Q-GGUF:Q4_K_M", "huggingface", "llama" },
        { "hf.co/pub/repo:Q8_0", "lmstudio", "llama" }, { "hf.co/pub/repo:BF16", "lmstudio", "llama" },
        { "org_repo_small", "llama.cpp", "llama" }, { "own-model", "folder", "llama" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const struct json *j = named(list, row[i][0]);
        expect_text(j, "owner", row[i][1]);
        expect_text(j, "architecture", row[i][2]);
        assert_true(json_bool(json_get(j, "complete")));
        assert_false(json_bool(json_get(j, "ours")));
    }
    expect_text(named(list, "qwen3:30b"), "digest", hex);
    const struct json *hub = named(list, "hf.co/Qwen/Q-GGUF:Q4_K_M");
    expect_text(hub, "digest", hex);
    expect_text(hub, "same_as", "qwen3:30b");
    assert_non_null(strstr(json_str(json_get(hub, "projector"), NULL), "mmproj-F16.gguf"));
    assert_false(json_bool(json_get(named(list, "gone:latest"), "complete")));
    assert_false(json_bool(json_get(named(list, "split"), "complete")));
    assert_int_equal(json_len(list), 8);                        /* no other snapshot, no projector, no hostile manifest */
    json_free(list);
    program_free(&r);
}

static void equal_files_by_reading_them(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "list", "--json", "--hash");
    program_expect(&r, 0);
    struct json *list = parsed(r.out);
    const char *same = json_str(json_get(named(list, "own-model"), "same_as"), NULL);
    assert_non_null(same);
    assert_non_null(strstr(same, "hf.co/pub/repo:"));
    json_free(list);
    program_free(&r);
    /* An index that is damaged is made again; so is one that is gone. */
    store_text("own/index.db", "this is no data base, and is longer than any header of one could be .....................");
    r = PROGRAM(NULL, "list");
    program_expect(&r, 0);
    program_contains(r.out, "own-model");
    program_free(&r);
    unlink(in_dir("own/index.db"));
    r = PROGRAM(NULL, "list");
    program_expect(&r, 0);
    program_contains(r.out, "qwen3:30b");
    program_free(&r);
}

#define RUN(name) PROGRAM(NULL, "run", (name), "--no-template", "-n", "4", "--temp", "0", "a")

static void run_by_name(void **state)
{
    (void)state;
    NEED_PROGRAM();
    char path[256];
    snprintf(path, sizeof path, "%s/home/.ollama/models/blobs/sha256-%s", dir, hex);
    struct result want = RUN(path);
    program_expect(&want, 0);
    static const char *const name[] = { "qwen3:30b", "QWEN3:30B", "registry.ollama.ai/library/qwen3:30b", "hf.co/Qwen/Q-GGUF",
                                        "hf.co/qwen/q-gguf:q4_k_m", "hf.co/Qwen/Q-GGUF:q-Q4_K_M.gguf", "Qwen/Q-GGUF",
                                        "q-Q4_K_M.gguf", "q-Q4_K_M" };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        struct result r = RUN(name[i]);
        program_expect(&r, 0);
        assert_string_equal(r.out, want.out);
        program_free(&r);
    }
    program_free(&want);
    /* Every command takes them. */
    struct result r = PROGRAM(NULL, "inspect", "own-model");
    program_expect(&r, 0);
    program_free(&r);
    r = PROGRAM(NULL, "tokenize", "qwen3:30b", "ab");
    program_expect(&r, 0);
    assert_string_equal(r.out, "97 98\n");
    program_free(&r);
}

static void refusals(void **state)
{
    (void)state;
    NEED_PROGRAM();
    static const char *const row[][2] = {
        { "qwen:30b", "did you mean qwen3:30b?" }, { "nobody/knows-this", "was not fetched" },
        { "gone", "a file of it is missing" }, { "qwen3:hostile", "no model of that name" }, { "split", "missing" },
        { "/nowhere/x.gguf", "No such file" }, { "a b", "not allowed" }, { "missing.gguf", "No such file" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct result r = RUN(row[i][0]);
        program_expect(&r, 1);
        program_contains(r.err, row[i][1]);
        program_free(&r);
    }
    /* Two different files of one name. */
    store_text("mine/other/own-model.gguf", "different");
    struct result r = RUN("own-model");
    program_expect(&r, 1);
    program_contains(r.err, "may mean 2 models");
    program_free(&r);
    r = PROGRAM(NULL, "folders", "remove", in_dir("mine"));
    program_expect(&r, 0);
    program_free(&r);
    r = PROGRAM(NULL, "folders");
    assert_string_equal(r.out, "");
    program_free(&r);
    r = PROGRAM(NULL, "folders", "add", in_dir("nothing"));
    program_expect(&r, 1);
    program_free(&r);
}

static void shown(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "show", "qwen3:30b", "--json");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    expect_text(j, "digest", hex);
    expect_text(j, "quantization", "F16");
    json_free(j);
    program_free(&r);
    r = PROGRAM(NULL, "show", "qwen3:30b", "--license");
    program_expect(&r, 1);
    program_contains(r.err, "came without");
    program_free(&r);
    r = PROGRAM(NULL, "show", "gone");
    program_expect(&r, 0);
    program_contains(r.out, "incomplete");
    program_free(&r);
}

/* The name of the model inside the program is one for every command that reads models. */
static void the_model_inside_has_a_name(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "show", "spark");
    program_expect(&r, 0);
    program_contains(r.out, "inside this program");
    program_contains(r.out, "owner          hearth");
    program_free(&r);
    r = PROGRAM(NULL, "show", "spark", "--json");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    expect_text(j, "name", "spark");
    assert_true(json_int(json_get(j, "parameters")) > 100000);
    json_free(j);
    program_free(&r);
    r = PROGRAM(NULL, "show", "spark", "--license");
    program_expect(&r, 1);
    program_contains(r.err, "spark came without");
    program_free(&r);
    r = PROGRAM(NULL, "show", "spark", "--modelfile");
    program_expect(&r, 0);
    program_contains(r.out, "FROM spark");
    program_free(&r);
    static const char *const other[][4] = { { "inspect", "spark", "-s" }, { "tokenize", "spark", "ab" } };
    for (size_t i = 0; i < 2; i++) {
        r = PROGRAM(NULL, other[i][0], other[i][1], other[i][2]);
        program_expect(&r, 0);
        program_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listed_with_their_owners), cmocka_unit_test(equal_files_by_reading_them),
        cmocka_unit_test(run_by_name), cmocka_unit_test(shown), cmocka_unit_test(the_model_inside_has_a_name),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
