/* store_preset_test.c - named settings, models that are imported, and the search on the Hub. */
#include "tests/registry_home.h"

static struct server server;
static char hex[SHA256_HEX + 1], base[64];
static char *model;
static size_t n_model;

static const char hits[] =
    "[{\"id\":\"Qwen/Qwen3-Coder-GGUF\",\"downloads\":1234,\"likes\":5,\"lastModified\":\"2026-01-31T10:00:00.000Z\","
    "\"gated\":false,\"gguf\":{\"total\":30500000000,\"architecture\":\"qwen3moe\",\"context_length\":262144}},"
    "{\"id\":\"meta/gated\",\"downloads\":9,\"gated\":\"manual\"},{\"id\":\"../../evil\"},{\"id\":7},"
    "{\"id\":\"a/b\\u0000c\"},\"x\",{\"id\":\"a/b\",\"downloads\":-5,\"likes\":1e99,"
    "\"gguf\":{\"architecture\":\"\\u001b[31mred\",\"context_length\":99999999999}}]";

static int setup(void **state)
{
    (void)state;
    if (registry_home(&server, base) < 0) return -1;
    model = store_model(&n_model, 5);
    sha256_bytes(model, n_model, hex, NULL);
    setenv("HF_ENDPOINT", base, 1);
    server_add(&server, "/api/models?limit=20&sort=trendingScore&direction=-1&filter=gguf&search=qwen3%20coder%26x"
               "&expand%5B%5D=downloads&expand%5B%5D=likes&expand%5B%5D=lastModified&expand%5B%5D=gated&expand%5B%5D=gguf", hits,
               sizeof hits - 1);
    server_start(&server);
    store_file("Tiny-1M-Q8_0.gguf", model, n_model);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mem_free(model);
    return registry_home_remove(&server);
}

static void expect(struct result r, int code, const char *out, const char *err)
{
    program_expect(&r, code);
    if (out) program_contains(r.out, out);
    if (err) program_contains(r.err, err);
    program_free(&r);
}

static void searched(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "search", "qwen3", "coder&x");
    program_expect(&r, 0);
    program_contains(r.out, "hf.co/Qwen/Qwen3-Coder-GGUF  30.5 B  qwen3moe");
    program_contains(r.out, "hf.co/meta/gated (gated)");
    assert_null(strstr(r.out, "evil"));
    assert_null(strchr(r.out, '\033'));
    program_free(&r);
    r = PROGRAM(NULL, "search", "qwen3 coder&x", "--json");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    assert_int_equal(json_len(j), 3);
    assert_int_equal(json_int(json_get(json_at(j, 0), "context_length")), 262144);
    assert_int_equal(json_int(json_get(json_at(j, 0), "parameters")), 30500000000);
    assert_int_equal(json_int(json_get(json_at(j, 2), "downloads")), 0);
    json_free(j);
    program_free(&r);
    expect(PROGRAM(NULL, "search", "other"), 1, NULL, "HTTP status 404");
}

/* ---- presets ---- */

static void kept_and_used(void **state)
{
    (void)state;
    NEED_PROGRAM();
    const char *file = in_dir("Tiny-1M-Q8_0.gguf");
    expect(PROGRAM(NULL, "preset", "set", "short", "max-tokens=2", "temperature=0", "stop=x", "stop=y", "--system",
                   "Be brief."), 0,
           NULL, NULL);
    expect(PROGRAM(NULL, "preset", "set", "short", "num_predict=3", "stop="), 0, NULL, NULL);
    struct result r = PROGRAM(NULL, "preset", "show", "short");
    struct json *j = parsed(r.out);
    struct buf b = { 0 };
    json_write(j, false, &b);
    assert_string_equal(b.data, "{\"hearth_preset\":1,\"name\":\"short\",\"system\":\"Be brief.\","
                        "\"settings\":{\"temperature\":0.0,\"num_predict\":3}}");
    buf_release(&b);
    json_free(j);
    program_free(&r);
    r = PROGRAM(NULL, "run", file, "--no-template", "--preset", "short", "--ignore-eos", "--json", "a");
    j = parsed(r.out);
    assert_int_equal(json_int(json_get(j, "completion_tokens")), 3);
    json_free(j);
    program_free(&r);
    /* The command line counts more. */
    r = PROGRAM(NULL, "run", file, "--no-template", "--preset", "short", "-n", "1", "--json", "a");
    j = parsed(r.out);
    assert_int_equal(json_int(json_get(j, "completion_tokens")), 1);
    json_free(j);
    program_free(&r);
    expect(PROGRAM(NULL, "run", file, "--preset", "shrot", "a"), 1, NULL, "did you mean short?");
    expect(PROGRAM(NULL, "preset"), 0, "short", NULL);
    expect(PROGRAM(NULL, "preset", "export", "short", in_dir("out.json")), 0, NULL, NULL);
    expect(PROGRAM(NULL, "preset", "import", in_dir("out.json"), "--name", "again"), 0, "again", NULL);
    expect(PROGRAM(NULL, "preset", "rm", "short", "again"), 0, NULL, NULL);
    expect(PROGRAM(NULL, "preset", "rm", "short"), 1, NULL, "no preset short");
    static const char *const wrong[][2] = { { "temprature=1", "did you mean temperature?" },
                                            { "temperature=hot", "needs a number" },
                                            { "temperature", "SETTING=VALUE" } };
    for (size_t i = 0; i < 3; i++) expect(PROGRAM(NULL, "preset", "set", "p", wrong[i][0]), 1, NULL, wrong[i][1]);
    static const char *const name[] = { "../x", "a/b", "defaults", "none", ".hidden", "" };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        r = PROGRAM(NULL, "preset", "set", name[i], "top_k=1");
        program_expect(&r, 1);
        program_free(&r);
    }
    expect(PROGRAM(NULL, "preset", "frobnicate"), 2, NULL, "say list, show");
}

static void of_a_model(void **state)
{
    (void)state;
    NEED_PROGRAM();
    expect(PROGRAM(NULL, "import", in_dir("Tiny-1M-Q8_0.gguf"), "--name", "tiny"), 0, "tiny:latest", NULL);
    expect(PROGRAM(NULL, "preset", "set", "two", "num_predict=2"), 0, NULL, NULL);
    expect(PROGRAM(NULL, "preset", "default", "tiny"), 0, "none", NULL);
    expect(PROGRAM(NULL, "preset", "default", "tiny", "two"), 0, NULL, NULL);
    expect(PROGRAM(NULL, "preset", "default", "tiny"), 0, "two", NULL);
    static const struct { const char *preset; int n; } row[] = { { "two", 2 }, { "none", 4 } };
    for (size_t i = 0; i < 2; i++) {
        struct result r = i ? PROGRAM(NULL, "run", "tiny", "--ctx", "8", "--no-template", "--ignore-eos", "--json", "--preset",
                                      "none", "aaaa")
                            : PROGRAM(NULL, "run", "tiny", "--ctx", "8", "--no-template", "--ignore-eos", "--json", "aaaa");
        program_expect(&r, 0);
        struct json *j = parsed(r.out);
        if (i) assert_true(json_int(json_get(j, "completion_tokens")) > 2);
        else assert_int_equal(json_int(json_get(j, "completion_tokens")), row[i].n);
        json_free(j);
        program_free(&r);
    }
    expect(PROGRAM(NULL, "preset", "default", "tiny", "nobody"), 1, NULL, "no preset");
    expect(PROGRAM(NULL, "preset", "default", "tiny", "none"), 0, NULL, NULL);
    expect(PROGRAM(NULL, "preset", "default", "tiny"), 0, "none", NULL);
    expect(PROGRAM(NULL, "rm", "tiny"), 0, NULL, NULL);
}

static void of_lmstudio(void **state)
{
    (void)state;
    NEED_PROGRAM();
    store_text("home/.lmstudio/config-presets/My coder.preset.json",
               "{\"identifier\":\"@local:my-coder\",\"name\":\"My coder!\",\"changed\":true,\"operation\":{\"fields\":["
               "{\"key\":\"llm.prediction.systemPrompt\",\"value\":\"You code.\"},"
               "{\"key\":\"llm.prediction.temperature\",\"value\":0.25},"
               "{\"key\":\"llm.prediction.topPSampling\",\"value\":{\"checked\":true,\"value\":0.9}},"
               "{\"key\":\"llm.prediction.repeatPenalty\",\"value\":{\"checked\":false,\"value\":1.1}},"
               "{\"key\":\"llm.prediction.stopStrings\",\"value\":[\"a\",\"b\"]},"
               "{\"key\":\"llm.prediction.structured\",\"value\":{\"type\":\"none\"}}]},"
               "\"load\":{\"fields\":[{\"key\":\"llm.load.contextLength\",\"value\":8192}]}}");
    store_text("home/.lmstudio/config-presets/other.json", "{\"x\":1}");
    expect(PROGRAM(NULL, "preset", "import", "--lmstudio"), 0, "My-coder-", "llm.prediction.structured");
    struct result r = PROGRAM(NULL, "preset", "list", "--json");
    struct json *j = parsed(r.out);
    const struct json *p = NULL;
    for (size_t i = 0; i < json_len(j); i++)
        if (!strcmp(json_str(json_get(json_at(j, i), "name"), NULL), "My-coder-")) p = json_at(j, i);
    assert_non_null(p);
    assert_string_equal(json_str(json_get(p, "system"), NULL), "You code.");
    struct buf b = { 0 };
    json_write(json_get(p, "settings"), false, &b);
    assert_string_equal(b.data, "{\"temperature\":0.25,\"top_p\":0.9,\"stop\":[\"a\",\"b\"],\"num_ctx\":8192}");
    buf_release(&b);
    json_free(j);
    program_free(&r);
    store_text("bad.json", "[]");
    expect(PROGRAM(NULL, "preset", "import", in_dir("bad.json")), 1, NULL, "neither a preset of Hearth");
}

/* ---- import ---- */

static bool listed(const char *name, const char *path)
{
    struct result r = PROGRAM(NULL, "list", "--paths");
    char line[600];
    snprintf(line, sizeof line, "%s\t%s\n", name, path);
    bool yes = strstr(r.out, line) != NULL;
    program_free(&r);
    return yes;
}

static void imported(void **state)
{
    (void)state;
    NEED_PROGRAM();
    char blob[128];
    snprintf(blob, sizeof blob, "own/blobs/sha256-%s", hex);
    expect(PROGRAM(NULL, "import", in_dir("Tiny-1M-Q8_0.gguf")), 0, "Tiny-1M:Q8_0\n", NULL);
    assert_true(listed("Tiny-1M:Q8_0", in_dir("Tiny-1M-Q8_0.gguf")));
    assert_false(os_file_exists(in_dir(blob)));
    expect(PROGRAM(NULL, "import", in_dir("Tiny-1M-Q8_0.gguf")), 1, NULL, "is here already");
    expect(PROGRAM(NULL, "import", in_dir("Tiny-1M-Q8_0.gguf"), "--force", "--copy"), 0, NULL, NULL);
    assert_true(listed("Tiny-1M:Q8_0", in_dir(blob)));
    assert_true(os_file_exists(in_dir("Tiny-1M-Q8_0.gguf")));
    expect(PROGRAM(NULL, "verify"), 0, "Tiny-1M:Q8_0: good", NULL);
    expect(PROGRAM(NULL, "rm", "Tiny-1M:q8_0"), 0, NULL, NULL);
    assert_false(os_file_exists(in_dir(blob)));
    store_file("many/a.gguf", model, n_model);
    store_file("many/deep/b.gguf", model, n_model);
    store_text("many/c.gguf", "no model");
    expect(PROGRAM(NULL, "import", in_dir("many"), "--move"), 0, "a:latest", "no GGUF file");
    assert_false(os_file_exists(in_dir("many/a.gguf")) || os_file_exists(in_dir("many/deep/b.gguf")));
    assert_true(os_file_exists(in_dir("many/c.gguf")));
    assert_true(listed("b:latest", in_dir(blob)));
    struct stat st;
    assert_int_equal(stat(in_dir(blob), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0444);
    expect(PROGRAM(NULL, "run", "b", "--no-template", "-n", "2", "a"), 0, NULL, NULL);
    expect(PROGRAM(NULL, "import", in_dir("nothing")), 1, NULL, "No such file");
    expect(PROGRAM(NULL, "import", in_dir("many/c.gguf")), 1, NULL, "no GGUF file");
}

static void a_folder_of_the_hub(void **state)
{
    (void)state;
    NEED_PROGRAM();
    store_text("hub/config.json", "{}");
    store_text("hub/model.safetensors", "weights");
    store_text("hub/README.md", "not needed");
    expect(PROGRAM(NULL, "import", in_dir("hub"), "--name", "hub"), 0, "hub:latest", NULL);
    assert_true(listed("hub:latest", in_dir("hub")));
    expect(PROGRAM(NULL, "verify", "hub"), 0, "good", NULL);
    expect(PROGRAM(NULL, "import", in_dir("hub"), "--name", "hub:copy", "--copy"), 0, NULL, NULL);
    struct result r = PROGRAM(NULL, "list", "--paths");
    const char *at = strstr(r.out, "hub:copy\t");
    assert_non_null(at);
    char folder[512], file[600];
    snprintf(folder, sizeof folder, "%.*s", (int)strcspn(at + 9, "\n"), at + 9);
    snprintf(file, sizeof file, "%s/model.safetensors", folder);
    assert_true(os_file_exists(file));
    program_free(&r);
    expect(PROGRAM(NULL, "rm", "hub:copy"), 0, NULL, NULL);
    assert_false(os_is_folder(folder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searched), cmocka_unit_test(kept_and_used), cmocka_unit_test(of_a_model), cmocka_unit_test(of_lmstudio),
        cmocka_unit_test(imported), cmocka_unit_test(a_folder_of_the_hub),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
