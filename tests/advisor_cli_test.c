/* advisor_cli_test.c - hearth doctor, fit and recommend; fit against a registry and a hub that are honest, or lie. */
#include "format/gguf.h"
#include "tests/hf_folder.h"       /* before what has a `dir` of its own */
#include "tests/registry_home.h"

static struct server server;
static char registry[64], manifest[512], tree[2048], folder_tree[1024], split_tree[1024];
static char *model;
static size_t n_model;

static const char commit[] = "{\"sha\":\"0123456789012345678901234567890123456789\"}";
static const char at[] = "0123456789012345678901234567890123456789";

/* Some MB of zeros; its rotary factors stand at the end, where no first range reaches. */
static void write_model(void)
{
    struct gguf *g;
    struct gguf_writer *w;
    float factor[32];
    for (int i = 0; i < 32; i++) factor[i] = 1 + (float)i / 8;
    const struct tiny t = { .arch = "llama", .type = DT_F16, .D = 512, .F = 2048, .H = 8, .K = 4, .L = 2, .blank = true };
    assert_int_equal(tiny_model(in_dir("plain.gguf"), t), 0);
    assert_int_equal(gguf_open(&g, in_dir("plain.gguf"), NULL), 0);
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(w, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *x = gguf_tensor_at(g, i);
        gguf_put_tensor(w, x->name, x->type, x->n_dims, x->ne, x->data);
    }
    gguf_put_tensor(w, "rope_freqs.weight", DT_F32, 1, (uint64_t[]){ 32 }, factor);
    assert_int_equal(gguf_writer_save(w, in_dir("model.gguf"), NULL), 0);
    gguf_writer_close(w);
    assert_int_equal(mkdir(in_dir("folder"), 0777), 0);
    hf_folder(in_dir("folder"), g, 0);
    gguf_close(g);
}

static char *slurp(const char *name, size_t *n)
{
    char *text;
    assert_int_equal(os_read_file(in_dir(name), 64 << 20, &text, n, NULL), 0);
    return text;
}

static size_t add_entry(char *out, size_t have, size_t max, const char *path, size_t size)
{
    return have + (size_t)snprintf(out + have, max - have, "%s{\"type\":\"file\",\"path\":\"%s\",\"size\":%zu}", have ? "," : "[",
                                   path, size);
}

static void add_repo(const char *repo, const char *json)
{
    char path[256];
    snprintf(path, sizeof path, "/api/models/u/%s", repo);
    server_add(&server, path, commit, strlen(commit));
    snprintf(path, sizeof path, "/api/models/u/%s/tree/%s?recursive=true", repo, at);
    server_add(&server, path, json, strlen(json));
}

static void add_file(const char *repo, const char *name, const char *file, char *json, size_t max)
{
    char path[256];
    size_t n, have = strlen(json);
    char *text = slurp(file, &n);
    if (have) json[--have] = 0;            /* the list goes on */
    have = add_entry(json, have, max, name, n);
    snprintf(json + have, max - have, "]");
    snprintf(path, sizeof path, "/u/%s/resolve/%s/%s", repo, at, name);
    server_add(&server, path, text, n);
}

static void add_routes(void)
{
    static const char *const of_folder[] = { "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
                                             "chat_template.jinja", "model.safetensors" };
    char hex[SHA256_HEX + 1], path[256], file[64];
    sha256_bytes(model, n_model, hex, NULL);
    snprintf(manifest, sizeof manifest, "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
             "\"digest\":\"sha256:%s\",\"size\":%zu}]}", hex, n_model);
    server_add(&server, "/v2/library/some/manifests/latest", manifest, strlen(manifest))->auth = true;
    snprintf(path, sizeof path, "/v2/library/some/blobs/sha256:%s", hex);
    struct route *r = server_add(&server, path, NULL, 0);
    r->auth = true;
    snprintf(r->to, sizeof r->to, "http://localhost:%d/cdn/some", server.port);
    server_add(&server, "/cdn/some", model, n_model);
    add_file("one", "m-Q8_0.gguf", "model.gguf", tree, sizeof tree);
    add_repo("one", tree);
    for (size_t i = 0; i < sizeof of_folder / sizeof *of_folder; i++) {
        snprintf(file, sizeof file, "folder/%s", of_folder[i]);
        if (os_file_exists(in_dir(file))) add_file("folder", of_folder[i], file, folder_tree, sizeof folder_tree);
    }
    add_repo("folder", folder_tree);
    add_file("split", "m-00001-of-00002.gguf", "m-00001-of-00002.gguf", split_tree, sizeof split_tree);
    add_file("split", "m-00002-of-00002.gguf", "m-00002-of-00002.gguf", split_tree, sizeof split_tree);
    add_repo("split", split_tree);
    server_add(&server, "/text/x.gguf", "no model", 8);
}

static int setup(void **state)
{
    (void)state;
    if (registry_home(&server, registry) < 0) return -1;
    write_model();
    model = slurp("model.gguf", &n_model);
    if (getenv("PROGRAM")) {
        struct result r = PROGRAM(NULL, "split", "--max-tensors", "12", in_dir("model.gguf"), in_dir("m"));
        program_expect(&r, 0);
        program_free(&r);
        add_routes();
    }
    setenv("HEARTH_REGISTRY", registry, 1);
    setenv("HF_ENDPOINT", registry, 1);
    server_start(&server);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return registry_home_remove(&server);
}

/* ---- doctor ---- */

static void the_doctor(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "doctor", "--json");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    assert_true(json_int(json_get(j, "cores")) >= 1 && json_int(json_get(j, "memory")) > 100000000);
    assert_true(json_num(json_get(j, "read_bytes_per_second")) > 1e7 && json_num(json_get(j, "int8_ops_per_second")) > 1e7);
    assert_true(json_type(json_get(j, "gpus")) == JSON_ARRAY && json_type(json_get(j, "advice")) == JSON_ARRAY);
    assert_true(json_int(json_get(j, "disk_free")) > 0);
    assert_string_equal(json_str(json_get(j, "models"), NULL), in_dir("own"));
    json_free(j);
    program_free(&r);
    r = PROGRAM(NULL, "doctor");
    program_expect(&r, 0);
    program_contains(r.out, "GB/s");
    program_contains(r.out, "Gop/s");
    program_free(&r);
}

/* ---- fit ---- */

static struct json *fit_of(const char *name)
{
    struct result r = PROGRAM(NULL, "fit", name, "--json", "--machine", "DDR4-3200 x2 16GB", "--context", "300");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    program_free(&r);
    return j;
}

static void same(const struct json *a, const struct json *b, const char *key)
{
    if (json_int(json_get(a, key)) != json_int(json_get(b, key)) || !json_int(json_get(a, key)))
        fail_msg("%s: %lld, not %lld", key, (long long)json_int(json_get(b, key)), (long long)json_int(json_get(a, key)));
}

static void of_a_file(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct json *j = fit_of(in_dir("model.gguf")), *types = json_get(j, "types");
    const int64_t layer = 2 * 512 * 512 + 2 * 512 * 256 + 3 * 512 * 2048, head = 259 * 512;
    assert_int_equal(json_int(json_get(j, "kv_bytes")), 320 * 2 * 2 * 4 * 64 * 2);       /* whole pages of 64 tokens */
    assert_int_equal(json_int(json_get(j, "active_parameters")), 2 * layer + head);
    assert_int_equal(json_int(json_get(j, "file_bytes")), (int64_t)n_model);
    assert_true(json_bool(json_get(j, "here")));
    assert_int_equal(json_int(json_get(j, "context_that_fits")), 1024);
    struct json *f = json_get(j, "forecast");
    assert_true(json_bool(json_get(f, "fits")) && json_num(json_get(f, "decode_tok_s")) > 10);
    assert_true(json_len(types) == 10 && json_int(json_get(json_at(types, 0), "file_bytes")) > 15500000);
    for (size_t i = 1; i < json_len(types); i++) {
        struct json *larger = json_at(types, i - 1), *smaller = json_at(types, i);
        assert_true(json_int(json_get(smaller, "file_bytes")) < json_int(json_get(larger, "file_bytes")));
    }
    json_free(j);
    struct result r = PROGRAM(NULL, "fit", in_dir("model.gguf"), "--explain", "--bandwidth", "10", "--ops", "100", "--parallel",
                              "4", "--price", "100", "--tokens-day", "1000", "--month", "20");
    program_expect(&r, 0);
    program_contains(r.out, "4 texts together");
    program_contains(r.out, "at 10.0 GB/s");
    program_contains(r.out, "100 Gop/s");
    program_contains(r.out, "break even");
    program_free(&r);
}

/* What is not here is judged as if it were, and hardly fetched. */
static void from_servers(void **state)
{
    static const struct { const char *name, *local; } from[] = {
        { "some", "model.gguf" }, { "hf.co/u/one", "model.gguf" }, { "hf.co/u/split", "m-00001-of-00002.gguf" },
        { "hf.co/u/folder", "folder" },
    };
    static const char *const key[] = { "file_bytes", "parameters", "active_parameters", "weights_bytes", "kv_bytes",
                                       "compute_bytes" };
    (void)state;
    NEED_PROGRAM();
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        server_reset(&server);
        struct json *a = fit_of(in_dir(from[i].local)), *b = fit_of(from[i].name);
        for (size_t k = 0; k < sizeof key / sizeof *key; k++) same(a, b, key[k]);
        if (i < 2) same(json_at(json_get(a, "types"), 4), json_at(json_get(b, "types"), 4), "file_bytes");
        uint64_t fetched = (uint64_t)json_int(json_get(b, "fetched_bytes"));
        assert_in_range(fetched, 10000, 4 << 20);
        assert_in_range(atomic_load(&server.state->bytes), fetched, fetched + (1 << 20));
        assert_int_equal(atomic_load(&server.state->leaked), 0);
        assert_false(json_bool(json_get(b, "here")));
        json_free(a);
        json_free(b);
    }
    struct result r = PROGRAM(NULL, "list", "--json");
    program_contains(r.out, "[]");                             /* nothing was kept */
    program_free(&r);
    assert_int_equal(rmdir(in_dir("own/headers")), 0);         /* empty */
}

static void refused(const char *name, const char *word)
{
    struct result r = PROGRAM(NULL, "fit", name, "--machine", "DDR4-3200 x2 16GB");
    program_expect(&r, 1);
    program_contains(r.err, word);
    program_free(&r);
    server_reset(&server);
    if (os_file_exists(in_dir("own/headers"))) assert_int_equal(rmdir(in_dir("own/headers")), 0);
}

static void servers_that_lie(void **state)
{
    (void)state;
    NEED_PROGRAM();
    char url[128];
    server_reset(&server);
    atomic_store(&server.state->wrong_range, 1);
    refused("some", "another range");
    atomic_store(&server.state->longer, 1);
    refused("some", "has not");
    atomic_store(&server.state->status, 500);
    refused("some", "HTTP status 500");
    atomic_store(&server.state->gzip, 1);
    refused("some", "compressed");
    atomic_store(&server.state->cut_after, 20000);
    refused("some", "");
    refused("hf.co/u/none", "404");
    snprintf(url, sizeof url, "%s/text/x.gguf", registry);
    refused(url, "GGUF");
    atomic_store(&server.state->no_ranges, 1);
    struct json *j = fit_of("some");                           /* the beginning, of the whole */
    assert_int_equal(json_int(json_get(j, "file_bytes")), (int64_t)n_model);
    json_free(j);
}

static void wrong_usage(void **state)
{
    static const struct { const char *arg[5]; int code; const char *word; } wrong[] = {
        { { "fit" }, 2, "needs a NAME" }, { { "fit", "x", "--machines" }, 2, "nothing else" },
        { { "fit", "x", "--machine", "M9 8GB", "--offline" }, 1, "hearth pull x" },
        { { "recommend", "--machine", "M1" }, 1, "how much memory" }, { { "recommend", "--use", "cooking" }, 2, "general" },
        { { "fit", "x", "--bandwidth", "5", "--machine=M1 8GB" }, 2, "do not go" },
    };
    (void)state;
    NEED_PROGRAM();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *const *a = wrong[i].arg;
        struct result r = PROGRAM(NULL, a[0], a[1], a[2], a[3], a[4]);
        program_expect(&r, wrong[i].code);
        program_contains(r.err, wrong[i].word);
        program_free(&r);
    }
}

static void recommendations(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "recommend", "--machine", "M4 Pro 48GB", "--json", "-n", "2");
    program_expect(&r, 0);
    struct json *j = parsed(r.out), *uses = json_get(j, "uses");
    assert_int_equal(json_len(uses), 5);
    assert_string_equal(json_str(json_get(json_at(json_get(uses, "general"), 0), "name"), NULL), "qwen3:32b");
    assert_int_equal(json_len(json_get(uses, "coding")), 2);
    void *it = NULL;
    const char *name;
    struct json *list;
    while (json_next(uses, &it, &name, &list))
        for (size_t i = 0; i < json_len(list); i++) {
            assert_true(json_int(json_get(json_at(list, i), "memory_bytes")) < json_int(json_get(j, "room_bytes")));
            if (strcmp(name, "embedding")) assert_true(json_num(json_get(json_at(list, i), "decode_tok_s")) >= 5);
        }
    json_free(j);
    program_free(&r);
    r = PROGRAM(NULL, "recommend", "--machine", "Raspberry Pi 5 8GB", "--use", "small", "--speed", "8");
    program_expect(&r, 0);
    program_contains(r.out, "hearth pull");
    assert_null(strstr(r.out, "gpt-oss"));
    program_free(&r);
    r = PROGRAM(NULL, "recommend", "--machine", "Raspberry Pi 4 1GB", "--use", "coding");
    program_expect(&r, 0);
    program_contains(r.out, "none that is known");
    program_free(&r);
    r = PROGRAM(NULL, "recommend", "--use", "embedding");      /* this machine */
    program_expect(&r, 0);
    program_contains(r.out, "embedding");
    program_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_doctor), cmocka_unit_test(of_a_file), cmocka_unit_test(from_servers),
        cmocka_unit_test(servers_that_lie), cmocka_unit_test(wrong_usage), cmocka_unit_test(recommendations),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
