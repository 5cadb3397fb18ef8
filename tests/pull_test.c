/* pull_test.c - hearth pull against a registry and a hub that are honest, slow, broken or hostile. */
#include "tests/registry_home.h"

#include <time.h>
#include <utime.h>

#include "store/download.h"

enum { BIG = 40 * (1 << 20) + 12345 };

static struct server server;
static char registry[64], hub[64], big_hex[SHA256_HEX + 1], model_hex[SHA256_HEX + 1];
static char manifest[1024], hostile[6][512], tree[1024];
static char *big, *model;
static size_t n_model;

static void fill(char *p, size_t n)
{
    uint64_t s = 7;
    for (size_t i = 0; i < n; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        p[i] = (char)(s >> 56);
    }
}

static void add_registry(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "/v2/library/%.200s/manifests/latest", name);
    server_add(&server, path, text, strlen(text))->auth = true;
}

static void add_hostile(size_t i, const char *name, const char *digest, const char *size, const char *notes)
{
    snprintf(hostile[i], sizeof hostile[i], "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
             "\"digest\":\"%s\",\"size\":%s%s}]}", digest, size, notes);
    add_registry(name, hostile[i]);
}

/* Counts, sizes and offsets that no file can have. */
static const struct { const char *bytes; size_t n; } evil_model[] = {
    { "GGUF\3\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x7f", 24 },
    { "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 32 },
    { "GGUF\3\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0t\1\0\0\0"
      "\xff\xff\xff\xff\xff\xff\xff\x7f\0\0\0\0\0\0\0\0\0\0\0\0", 57 },
    { "GGUF", 4 },
};

static void add_evil(void)
{
    static char text[4][512];
    for (size_t i = 0; i < 4; i++) {
        char hex[SHA256_HEX + 1], path[256];
        sha256_bytes(evil_model[i].bytes, evil_model[i].n, hex, NULL);
        snprintf(text[i], sizeof text[i], "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
                 "\"digest\":\"sha256:%s\",\"size\":%zu}]}", hex, evil_model[i].n);
        snprintf(path, sizeof path, "evil%zu", i);
        add_registry(path, text[i]);
        snprintf(path, sizeof path, "/v2/library/evil%zu/blobs/sha256:%s", i, hex);
        server_add(&server, path, evil_model[i].bytes, evil_model[i].n);
    }
}

static void add_hub(void)
{
    static const char commit[] = "{\"sha\":\"0123456789012345678901234567890123456789\"}";
    static const char at[] = "0123456789012345678901234567890123456789";
    char path[256];
    snprintf(tree, sizeof tree, "[{\"type\":\"directory\",\"path\":\"x\",\"size\":0},"
             "{\"type\":\"file\",\"path\":\"README.md\",\"size\":2},"
             "{\"type\":\"file\",\"path\":\"m-Q8_0.gguf\",\"size\":9,\"lfs\":{\"oid\":\"%s\",\"size\":%d}},"
             "{\"type\":\"file\",\"path\":\"sub dir/m-Q4_K_M.gguf\",\"size\":9,\"lfs\":{\"oid\":\"%s\",\"size\":%zu}}]", big_hex,
             BIG, model_hex, n_model);
    server_add(&server, "/api/models/u/r", commit, strlen(commit))->gated = true;
    snprintf(path, sizeof path, "/api/models/u/r/tree/%s?recursive=true", at);
    server_add(&server, path, tree, strlen(tree))->gated = true;
    snprintf(path, sizeof path, "/u/r/resolve/%s/sub%%20dir/m-Q4_K_M.gguf", at);
    struct route *r = server_add(&server, path, NULL, 0);
    r->gated = true;
    snprintf(r->to, sizeof r->to, "http://localhost:%d/cdn/model", server.port);
    server_add(&server, "/cdn/model", model, n_model);
    server_add(&server, "/files/some%20model.gguf", model, n_model);
    /* git hash-object of the two bytes {} and a line feed */
    static char folder[2][512];
    for (int i = 0; i < 2; i++) {
        const char *repo = i ? "liar" : "st";
        snprintf(folder[i], sizeof folder[i], "[{\"type\":\"file\",\"path\":\"config.json\",\"size\":3,\"oid\":"
                 "\"%s\"},{\"type\":\"file\",\"path\":\"model.safetensors\",\"size\":9,\"oid\":\"%s\",\"lfs\":"
                 "{\"oid\":\"%s\",\"size\":%zu}}]", i ? at : "0967ef424bce6791893e9a57bb952f80fd536e93", at, model_hex, n_model);
        snprintf(path, sizeof path, "/api/models/u/%s", repo);
        server_add(&server, path, commit, strlen(commit));
        snprintf(path, sizeof path, "/api/models/u/%s/tree/%s?recursive=true", repo, at);
        server_add(&server, path, folder[i], strlen(folder[i]));
        snprintf(path, sizeof path, "/u/%s/resolve/%s/config.json", repo, at);
        server_add(&server, path, "{}\n", 3);
        snprintf(path, sizeof path, "/u/%s/resolve/%s/model.safetensors", repo, at);
        server_add(&server, path, model, n_model);
    }
    static char split[512];
    snprintf(split, sizeof split, "[{\"type\":\"file\",\"path\":\"s-00001-of-00002.gguf\",\"size\":9,\"lfs\":{\"oid\":\"%s\","
             "\"size\":%zu}},{\"type\":\"file\",\"path\":\"s-00002-of-00002.gguf\",\"size\":9,\"lfs\":{\"oid\":\"%s\","
             "\"size\":%d}}]", model_hex, n_model, big_hex, BIG);
    server_add(&server, "/api/models/u/split", commit, strlen(commit));
    snprintf(path, sizeof path, "/api/models/u/split/tree/%s?recursive=true", at);
    server_add(&server, path, split, strlen(split));
    snprintf(path, sizeof path, "/u/split/resolve/%s/s-00001-of-00002.gguf", at);
    server_add(&server, path, model, n_model);
    static const char evil[] = "[{\"type\":\"file\",\"path\":\"../../x.gguf\",\"size\":9}]";
    server_add(&server, "/api/models/u/evil", commit, strlen(commit));
    snprintf(path, sizeof path, "/api/models/u/evil/tree/%s?recursive=true", at);
    server_add(&server, path, evil, strlen(evil));
}

static int setup(void **state)
{
    (void)state;
    if (registry_home(&server, registry) < 0) return -1;
    char path[256];
    big = malloc(BIG);
    fill(big, BIG);
    model = store_model(&n_model, 5);
    sha256_bytes(big, BIG, big_hex, NULL);
    sha256_bytes(model, n_model, model_hex, NULL);
    strcpy(hub, registry);
    setenv("HEARTH_REGISTRY", registry, 1);
    setenv("HF_ENDPOINT", hub, 1);
    snprintf(manifest, sizeof manifest, "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
             "\"digest\":\"sha256:%s\",\"size\":%d},{\"mediaType\":\"application/vnd.ollama.image.license\","
             "\"digest\":\"sha256:%s\",\"size\":%zu}]}", big_hex, BIG, model_hex, n_model);
    add_registry("big", manifest);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/v2/library/big/blobs/sha256:%s", i ? model_hex : big_hex);
        struct route *r = server_add(&server, path, NULL, 0);
        r->auth = true;
        snprintf(r->to, sizeof r->to, "http://localhost:%d/cdn/%s", server.port, i ? "model" : "big");
    }
    server_add(&server, "/cdn/big", big, BIG);
    add_hostile(0, "up", "sha256:../../../../../tmp/x", "5", "");
    add_hostile(1, "upper", "sha256:ABCDEF7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f200", "5", "");
    add_hostile(2, "huge", model_hex, "99999999999999999999", "");
    snprintf(path, sizeof path, "sha256:%s", model_hex);
    add_hostile(3, "local", path, "5", ",\"annotations\":{\"hearth.path\":\"/etc/passwd\"}");
    add_hostile(4, "negative", path, "-1", "");
    add_hostile(5, "title", path, "5", ",\"annotations\":{\"org.opencontainers.image.title\":\"../x\"}");
    char *large = calloc(2 << 20, 1);
    memset(large, ' ', (2 << 20) - 1);
    add_registry("large", large);
    add_hub();
    add_evil();
    server_start(&server);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return registry_home_remove(&server);
}

static void wipe(void) { registry_wipe(&server); }

static const char *blob(const char *hex, const char *end)
{
    char name[128];
    snprintf(name, sizeof name, "own/blobs/sha256-%s%s", hex, end);
    return in_dir(name);
}

static void expect_blob(const char *hex)
{
    char found[SHA256_HEX + 1];
    struct err e = { 0 };
    if (sha256_file(blob(hex, ""), found, NULL, NULL, &e) < 0) fail_msg("%s", e.msg);
    assert_string_equal(found, hex);
    assert_false(os_file_exists(blob(hex, ".part")));
    assert_false(os_file_exists(blob(hex, ".part.map")));
    struct stat st;
    assert_int_equal(stat(blob(hex, ""), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0444);
}

static bool is_kept(void) { return os_file_exists(in_dir("own/manifests/registry.ollama.ai/library/big/latest")); }

static void pull_big(int code, const char *word)
{
    struct result r = PROGRAM(NULL, "pull", "big", "--stall", "1");
    program_expect(&r, code);
    if (word) program_contains(r.err, word);
    assert_int_equal(is_kept(), code == 0);
    if (code == 0) expect_blob(big_hex);
    else assert_false(os_file_exists(blob(big_hex, "")));
    program_free(&r);
}

/* ---- honest ---- */

static void from_a_registry(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    struct result r = PROGRAM(NULL, "pull", "big", "--json");
    program_expect(&r, 0);
    uint64_t last = 0;
    size_t lines = 0;
    for (char *line = strtok(r.out, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        struct json *j = parsed(line);
        const char *status = json_str(json_get(j, "status"), NULL);
        if (!strcmp(status, "pulling")) {
            assert_true((uint64_t)json_int(json_get(j, "completed")) >= last);
            last = (uint64_t)json_int(json_get(j, "completed"));
            assert_int_equal(json_int(json_get(j, "total")), BIG + n_model);
        } else
            assert_string_equal(json_str(json_get(j, "name"), NULL), "big:latest");
        json_free(j);
    }
    assert_true(lines >= 2);
    assert_int_equal(last, BIG + n_model);
    program_free(&r);
    expect_blob(big_hex);
    expect_blob(model_hex);
    assert_true(is_kept());
    assert_false(atomic_load(&server.state->leaked));            /* the token stayed with the registry */
    assert_in_range(atomic_load(&server.state->bytes), BIG + n_model, BIG + n_model + 4096);
    r = PROGRAM(NULL, "pull", "big");
    program_expect(&r, 0);
    program_contains(r.out, "was here already");
    assert_in_range(atomic_load(&server.state->bytes), BIG + n_model, BIG + n_model + 8192);
    program_free(&r);
}

static void from_the_hub(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    struct result r = PROGRAM(NULL, "pull", "hf.co/u/r");
    program_expect(&r, 1);
    program_contains(r.err, "HF_TOKEN");
    program_free(&r);
    setenv("HF_TOKEN", "mine", 1);
    r = PROGRAM(NULL, "pull", "hf.co/u/r");
    program_expect(&r, 0);
    program_contains(r.out, "hf.co/u/r:Q4_K_M");
    program_free(&r);
    expect_blob(model_hex);
    assert_false(atomic_load(&server.state->leaked));
    static const char *const name[] = { "hf.co/u/r", "hf.co/u/r:q4_k_m" };
    for (size_t i = 0; i < 2; i++) {
        r = PROGRAM(NULL, "tokenize", name[i], "ab");
        program_expect(&r, 0);
        program_free(&r);
    }
    r = PROGRAM(NULL, "pull", "hf.co/u/r:Q2_K");
    program_expect(&r, 1);
    program_contains(r.err, "it has m-Q8_0.gguf, sub dir/m-Q4_K_M.gguf");
    program_free(&r);
    unsetenv("HF_TOKEN");
    r = PROGRAM(NULL, "pull", "hf.co/u/evil");
    program_expect(&r, 1);
    program_contains(r.err, "no plain path");
    program_free(&r);
}

/* A model in safetensors: its small files have git's digest only. */
static void small_files_of_the_hub(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    struct result r = PROGRAM(NULL, "pull", "hf.co/u/st");
    program_expect(&r, 0);
    program_contains(r.out, ": is here, and verified");
    program_free(&r);
    r = PROGRAM(NULL, "verify", "hf.co/u/st");
    program_expect(&r, 0);
    program_free(&r);
    wipe();
    r = PROGRAM(NULL, "pull", "hf.co/u/liar");
    program_expect(&r, 1);
    program_contains(r.err, "git's SHA-1");
    program_free(&r);
    r = PROGRAM(NULL, "list");
    assert_int_equal(r.n_out, 0);
    program_free(&r);
}

static void from_a_url(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    char url[128];
    snprintf(url, sizeof url, "%s/files/some%%20model.gguf", registry);
    struct result r = PROGRAM(NULL, "pull", url);
    program_expect(&r, 0);
    program_contains(r.out, "1 of its files could not be verified");
    program_free(&r);
    expect_blob(model_hex);
    r = PROGRAM(NULL, "list");
    program_contains(r.out, "/url/some_20model:latest");
    program_free(&r);
}

static void removed_when_asked(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    char url[128];
    snprintf(url, sizeof url, "%s/files/some%%20model.gguf", registry);
    struct result a = PROGRAM(NULL, "pull", url), b = PROGRAM(NULL, "pull", "big");
    program_expect(&a, 0);
    program_expect(&b, 0);
    program_free(&a);
    program_free(&b);
    store_file("home/.cache/llama.cpp/theirs.gguf", model, n_model);
    struct result r = PROGRAM(NULL, "rm", "theirs");
    program_expect(&r, 1);
    program_contains(r.err, "belongs to llama.cpp");
    program_free(&r);
    r = PROGRAM(NULL, "rm", in_dir("home/.cache/llama.cpp/theirs.gguf"));
    program_expect(&r, 1);
    program_free(&r);
    assert_true(os_file_exists(in_dir("home/.cache/llama.cpp/theirs.gguf")));
    unlink(in_dir("home/.cache/llama.cpp/theirs.gguf"));
    /* What a manifest that nobody can read needs is not known. */
    store_file("own/manifests/example.org/me/broken/latest", "{", 1);
    r = PROGRAM(NULL, "rm", "big");
    program_expect(&r, 1);
    program_contains(r.err, "1 damaged manifests");
    program_free(&r);
    expect_blob(model_hex);
    unlink(in_dir("own/manifests/example.org/me/broken/latest"));
    r = PROGRAM(NULL, "rm", "big");
    program_expect(&r, 0);
    program_free(&r);
    assert_false(is_kept());
    assert_false(os_file_exists(blob(big_hex, "")));
    expect_blob(model_hex);                                      /* the other model needs it */
}

/* ---- here already ---- */

static void clear_home(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s/home'", dir);
    assert_int_equal(system(command), 0);
}

#define LMSTUDIO "home/.lmstudio/models/pub/repo/any.gguf"

/* Only the small files came. */
static void expect_not_fetched(void)
{
    assert_in_range(atomic_load(&server.state->bytes), 0, n_model + 16384);
    assert_false(os_file_exists(blob(big_hex, "")));
}

static void equal_files_are_used(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    char *other = malloc(BIG);
    memcpy(other, big, BIG);
    other[BIG / 2] ^= 1;
    store_file("home/.cache/llama.cpp/same-size.gguf", other, BIG);
    store_file(LMSTUDIO, big, BIG);
    struct result r = PROGRAM(NULL, "pull", "big");
    program_expect(&r, 0);
    program_contains(r.err, in_dir(LMSTUDIO));
    program_contains(r.err, "(lmstudio)");
    program_free(&r);
    expect_not_fetched();
    r = PROGRAM(NULL, "list", "--paths");
    char line[300];
    snprintf(line, sizeof line, "big:latest\t%s\n", in_dir(LMSTUDIO));
    program_contains(r.out, line);
    program_free(&r);
    r = PROGRAM(NULL, "pull", "big", "--json");
    program_expect(&r, 0);
    program_contains(r.out, "\"fetched\":0,\"in_place\":0");
    program_free(&r);
    expect_not_fetched();
    /* It is somebody else's: removing the model leaves it, and when it goes the model is fetched. */
    r = PROGRAM(NULL, "rm", "big");
    program_expect(&r, 0);
    program_free(&r);
    assert_true(os_file_exists(in_dir(LMSTUDIO)));
    r = PROGRAM(NULL, "pull", "big");
    program_expect(&r, 0);
    program_free(&r);
    unlink(in_dir(LMSTUDIO));
    r = PROGRAM(NULL, "inspect", "big");
    program_expect(&r, 1);
    program_contains(r.err, in_dir(LMSTUDIO));
    program_contains(r.err, "`hearth pull big:latest` fetches it");
    program_free(&r);
    pull_big(0, NULL);
    /* The user may want a copy of her own. */
    wipe();
    store_file(LMSTUDIO, big, BIG);
    r = PROGRAM(NULL, "pull", "big", "--own");
    program_expect(&r, 0);
    program_free(&r);
    expect_blob(big_hex);
    /* A name that lies: the file is read, and not used. */
    wipe();
    clear_home();
    snprintf(line, sizeof line, "home/.ollama/models/blobs/sha256-%s", big_hex);
    store_file(line, other, BIG);
    store_text("home/.ollama/models/manifests/registry.ollama.ai/library/big/latest", manifest);
    pull_big(0, NULL);
    clear_home();
    free(other);
}

/* Of a model of two files one is somebody else's: both are found under their names. */
static void one_part_is_here(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    store_file(LMSTUDIO, big, BIG);
    struct result r = PROGRAM(NULL, "pull", "hf.co/u/split");
    program_expect(&r, 0);
    program_free(&r);
    expect_not_fetched();
    r = PROGRAM(NULL, "gc", "--remove");
    program_expect(&r, 0);
    program_free(&r);
    r = PROGRAM(NULL, "list", "--paths");
    char *path = strchr(r.out, '\t') + 1;
    path[strcspn(path, "\n")] = 0;
    struct stat st;
    program_contains(path, "/s-00001-of-00002.gguf");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, n_model);
    memcpy(strstr(path, "-00001-"), "-00002-", 7);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, BIG);
    struct result gone = PROGRAM(NULL, "rm", "hf.co/u/split");
    program_expect(&gone, 0);
    assert_false(fs_is_link(path));
    assert_true(os_file_exists(in_dir(LMSTUDIO)));
    program_free(&gone);
    program_free(&r);
    clear_home();
}

/* ---- gone bad ---- */

static void flip(const char *path, long at)
{
    assert_int_equal(chmod(path, 0644), 0);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

static void repair(const char *name, uint64_t most)
{
    uint64_t before = atomic_load(&server.state->bytes);
    struct result r = PROGRAM(NULL, "verify", "--repair", name);
    program_expect(&r, 0);
    program_contains(r.out, "was fetched again and is good");
    program_free(&r);
    assert_in_range(atomic_load(&server.state->bytes) - before, 1, most);
    expect_blob(big_hex);
}

static void bad_files_are_repaired(void **state)
{
    (void)state;
    NEED_PROGRAM();
    enum { MB = 1 << 20 };
    wipe();
    pull_big(0, NULL);
    flip(blob(big_hex, ""), 7 * MB + 5);
    flip(blob(big_hex, ""), BIG - 1);
    struct result r = PROGRAM(NULL, "verify", "big");
    program_expect(&r, 1);
    program_contains(r.out, "`hearth verify --repair big:latest` fetches them again");
    program_free(&r);
    repair("big", 2 * MB);                                       /* the first of these pieces and the short last one */
    assert_int_equal(chmod(blob(big_hex, ""), 0644), 0);
    assert_int_equal(truncate(blob(big_hex, ""), 38 * MB), 0);
    repair("big", 3 * MB);
    unlink(blob(big_hex, ""));
    repair("big", BIG + 8192);
    flip(blob(big_hex, ""), 5);
    unlink(blob(big_hex, ".map"));                               /* nobody knows which piece it is */
    repair("big", BIG + 8192);
    /* A model that no registry knows is repaired by another that has the file. */
    r = PROGRAM(NULL, "cp", "big", "mine");
    program_expect(&r, 0);
    program_free(&r);
    flip(blob(big_hex, ""), 5);
    repair("mine", MB + 8192);
    /* Nobody has it: it stays what it is. */
    flip(blob(big_hex, ""), 5);
    setenv("HEARTH_REGISTRY", "http://127.0.0.1:1", 1);
    r = PROGRAM(NULL, "verify", "--repair", "big");
    program_expect(&r, 1);
    program_contains(r.out, "cannot be fetched again: ");
    program_free(&r);
    setenv("HEARTH_REGISTRY", registry, 1);
    assert_true(os_file_exists(blob(big_hex, "")));
    repair("big", MB + 8192);
    r = PROGRAM(NULL, "rm", "big", "mine");
    program_expect(&r, 0);
    program_free(&r);
    assert_false(os_file_exists(blob(big_hex, ".map")));
    /* Files of others are theirs. */
    wipe();
    store_file(LMSTUDIO, big, BIG);
    r = PROGRAM(NULL, "pull", "big");
    program_expect(&r, 0);
    program_free(&r);
    flip(in_dir(LMSTUDIO), 5);
    r = PROGRAM(NULL, "verify", "--repair", "big");
    program_expect(&r, 1);
    program_contains(r.out, "wrong: SHA-256");
    program_free(&r);
    expect_not_fetched();
    clear_home();
}

/* ---- killed ---- */

static pid_t begin(const char *const *args)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++) dup2(null, i);
        program_exec(args);
    }
    return pid;
}

static const char *const pull_args[] = { "pull", "big", NULL };

/* As if it had lain there for a month. */
static void age(const char *path)
{
    struct utimbuf t = { 1000000000, 1000000000 };
    utime(path, &t);
}

static void killed_at_any_time(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    atomic_store(&server.state->bytes_per_s, 20 << 20);
    unsigned kills = 0;
    uint64_t seed = 1;
    for (; kills < 40 && !is_kept(); kills++) {
        pid_t pid = begin(pull_args);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        struct timespec t = { 0, 20000000 + (long)(seed >> 40) % 120000000 };
        nanosleep(&t, NULL);
        kill(pid, SIGKILL);
        program_wait(pid);
        age(blob(big_hex, ".part"));
        age(blob(big_hex, ".part.map"));
        assert_true(!os_file_exists(blob(big_hex, "")) || !is_kept() || os_file_exists(blob(model_hex, "")));
    }
    assert_true(kills > 3);
    /* A part that has lain there for weeks is as good as a new one. */
    atomic_store(&server.state->bytes_per_s, 0);
    pull_big(0, NULL);
    uint64_t again = atomic_load(&server.state->bytes) - BIG - n_model;
    if (again > (uint64_t)(kills + 1) * (8 << 20)) fail_msg("%llu bytes twice after %u kills", (unsigned long long)again, kills);
}

/* Ctrl-C says what is kept, to people and to programs, and that is where the next pull goes on. */
static void interrupted(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    atomic_store(&server.state->bytes_per_s, 4 << 20);
    int out = open(in_dir("out"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    const char *const args[] = { "pull", "big", "--json", NULL };
    pid_t pid = fork();
    if (pid == 0) {
        dup2(open("/dev/null", O_RDONLY), 0);
        dup2(out, 1);
        dup2(out, 2);
        program_exec(args);
    }
    for (int i = 0; i < 400 && atomic_load(&server.state->bytes) < (6 << 20); i++) usleep(20000);
    kill(pid, SIGINT);
    assert_int_equal(program_wait(pid), 130);
    close(out);
    char *text;
    size_t n;
    assert_int_equal(os_read_file(in_dir("out"), 1 << 20, &text, &n, NULL), 0);
    program_contains(text, "MB are here, and `hearth pull big` goes on from there");
    program_contains(text, "{\"status\":\"interrupted\",\"completed\":");
    mem_free(text);
    uint64_t before = atomic_load(&server.state->bytes);
    atomic_store(&server.state->bytes_per_s, 0);
    pull_big(0, NULL);
    assert_true(atomic_load(&server.state->bytes) - before < BIG - (1 << 20));
    unlink(in_dir("out"));
}

static void half_written_pieces_are_seen(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    atomic_store(&server.state->bytes_per_s, 10 << 20);
    pid_t pid = begin(pull_args);
    for (int i = 0; i < 200 && atomic_load(&server.state->bytes) < (12 << 20); i++) usleep(20000);
    kill(pid, SIGKILL);
    program_wait(pid);
    /* As after a loss of power: the map says that the piece is there, but the disk has zeros. */
    int fd = open(blob(big_hex, ".part"), O_WRONLY);
    char zero[4096] = { 0 };
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, zero, sizeof zero, 4096), sizeof zero);
    close(fd);
    server_reset(&server);
    pull_big(0, NULL);
    assert_in_range(atomic_load(&server.state->bytes), 1 << 20, BIG + n_model);     /* not all of it again */
}

static void several_pullers_share(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    atomic_store(&server.state->bytes_per_s, 40 << 20);
    pid_t pid[8];
    for (int i = 0; i < 8; i++) pid[i] = begin(pull_args);
    for (int i = 0; i < 8; i++) assert_int_equal(program_wait(pid[i]), 0);
    assert_true(is_kept());
    expect_blob(big_hex);
    expect_blob(model_hex);
    assert_in_range(atomic_load(&server.state->bytes), BIG + n_model, BIG + n_model + (1 << 20));
}

/* Removing a model takes nothing from a pull that is under way, and cleaning up waits for it. */
static void removing_while_pulling(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    char url[128];
    snprintf(url, sizeof url, "%s/files/some%%20model.gguf", registry);
    struct result r = PROGRAM(NULL, "pull", url);                /* the same bytes as a file of the other */
    program_expect(&r, 0);
    program_free(&r);
    atomic_store(&server.state->bytes_per_s, 5 << 20);
    pid_t pid = begin(pull_args);
    for (int i = 0; i < 400 && !os_file_exists(blob(big_hex, ".part")); i++) usleep(5000);
    r = PROGRAM(NULL, "gc", "--remove", "--downloads");
    program_expect(&r, 1);
    program_contains(r.err, "being added");
    program_free(&r);
    char name[128];
    snprintf(name, sizeof name, "%s/url/some_20model", registry + 7);
    r = PROGRAM(NULL, "rm", name);
    program_expect(&r, 0);
    program_contains(r.err, "at this moment");
    program_free(&r);
    atomic_store(&server.state->bytes_per_s, 0);
    assert_int_equal(program_wait(pid), 0);
    expect_blob(big_hex);
    expect_blob(model_hex);
    r = PROGRAM(NULL, "verify", "big");
    program_expect(&r, 0);
    program_free(&r);
}

/* ---- broken ---- */

static void wrong_bytes(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    atomic_store(&server.state->flip, 7000000);
    atomic_store(&server.state->flips, 1);
    pull_big(0, NULL);                                           /* once: fetched again */
    wipe();
    atomic_store(&server.state->flip, 7000000);
    atomic_store(&server.state->flips, -1);
    pull_big(1, "SHA-256");
    assert_in_range(atomic_load(&server.state->bytes), 3 * (uint64_t)BIG, 3 * (uint64_t)BIG + n_model + 8192);
}

static void lies(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct { _Atomic int *what; int code; const char *word; } row[] = {
        { &server.state->no_ranges, 0, NULL },
        { &server.state->wrong_range, 1, "another range" },
        { &server.state->longer, 1, "another size" },
        { &server.state->shorter, 1, NULL },
        { &server.state->gzip, 1, "compressed" },
        { &server.state->loop, 1, "more than 10 redirects" },
        { &server.state->downgrade, 1, "https" },
        { &server.state->realm, 1, "does not belong to it" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        wipe();
        atomic_store(row[i].what, 1);
        pull_big(row[i].code, row[i].word);
    }
    wipe();
    atomic_store(&server.state->status, 500);
    pull_big(1, "status 500");
    wipe();
    atomic_store(&server.state->cut_after, 3 << 20);             /* each connection breaks early: it goes on from there */
    pull_big(0, NULL);
    assert_in_range(atomic_load(&server.state->bytes), BIG + n_model, 2 * (uint64_t)BIG);
    wipe();
    atomic_store(&server.state->slow, 1);
    pull_big(1, "too slow");
}

/* ---- hostile ---- */

static void hostile_manifests(void **state)
{
    (void)state;
    NEED_PROGRAM();
    static const char *const row[][2] = {
        { "up", "is not sha256: and 64 digits" }, { "upper", "is not sha256: and 64 digits" }, { "huge", "64 digits" },
        { "local", "a file of this machine" }, { "negative", "the size is not" }, { "title", "not a plain path" },
        { "large", "more than 1048576 bytes" }, { "nobody", "does not know it" },
    };
    wipe();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct result r = PROGRAM(NULL, "pull", row[i][0]);
        program_expect(&r, 1);
        program_contains(r.err, row[i][1]);
        program_free(&r);
    }
    struct result r = PROGRAM(NULL, "list");
    assert_string_equal(r.out, "");
    program_free(&r);
    r = PROGRAM(NULL, "pull", "http://example.com/x.gguf");
    program_expect(&r, 1);
    program_contains(r.err, "only for this machine");
    program_free(&r);
    r = PROGRAM(NULL, "pull", "big", "--offline");
    program_expect(&r, 1);
    program_free(&r);
    assert_int_equal(atomic_load(&server.state->bytes) > 0, 1);
}

static bool give_up(void *arg, uint64_t done)
{
    (void)done;
    return --*(int *)arg > 0;
}

/* A file whose digest nobody told is kept by who fetched it; another that fetches the same waits, and cannot put less in its
 * place. */
static void two_fetch_one_without_a_digest(void **state)
{
    (void)state;
    wipe();
    char url[128], path[512], to[512], found[SHA256_HEX + 1];
    struct err e = { 0 };
    int patience = 3;
    snprintf(url, sizeof url, "%s/cdn/model", registry);
    snprintf(path, sizeof path, "%s", in_dir("own/blobs/x"));
    snprintf(to, sizeof to, "%s", blob(model_hex, ""));
    assert_int_equal(fs_make_folders(in_dir("own/blobs"), &e), 0);
    struct download a = { .url = url, .path = path, .size = n_model }, b = a;
    if (download_run(&a, found, &e) < 0) fail_msg("%s", e.msg);
    assert_string_equal(found, model_hex);
    b.progress = give_up;
    b.arg = &patience;
    assert_int_equal(download_run(&b, found, &e), ERR_CANCELLED);
    assert_int_equal(download_keep(&a, to, &e), 0);
    expect_blob(model_hex);
    b.progress = NULL;
    if (download_run(&b, found, &e) < 0) fail_msg("%s", e.msg);
    assert_true(os_file_exists(in_dir("own/blobs/x.part")));
    assert_int_equal(download_keep(&b, to, &e), 0);
    expect_blob(model_hex);
    assert_false(os_file_exists(in_dir("own/blobs/x.part")) || os_file_exists(in_dir("own/blobs/x.part.map")));
}

/* Files whose digests are right and whose contents are lies: fetched, kept apart, never a crash. */
static void hostile_models(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    for (size_t i = 0; i < sizeof evil_model / sizeof *evil_model; i++) {
        char name[32];
        snprintf(name, sizeof name, "evil%zu", i);
        struct result r = PROGRAM(NULL, "run", name, "hello");
        program_expect(&r, 1);
        program_contains(r.err, "sha256-");                      /* the file is named */
        program_free(&r);
        r = PROGRAM(NULL, "inspect", name);
        program_expect(&r, 1);
        program_free(&r);
    }
    struct result r = PROGRAM(NULL, "list");
    program_expect(&r, 0);
    program_contains(r.out, "evil0:latest");
    program_free(&r);
    r = PROGRAM(NULL, "rm", "evil0", "evil1", "evil2", "evil3");
    program_expect(&r, 0);
    program_free(&r);
}

/* As `hearth serve` starts it: it looks at what it is to fetch itself. */
static void for_a_server_only_known_hosts(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    static const char *const name[] = { "evil.example/a/b", "https://127.0.0.1:1/x.gguf", "http://localhost:1/a/b", "./x.gguf" };
    char command[1024], text[1024];
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        snprintf(command, sizeof command, "%s pull --json --yes --to-parent -- '%s' 3>&1", getenv("PROGRAM"), name[i]);
        FILE *f = popen(command, "r");
        size_t n = fread(text, 1, sizeof text - 1, f);
        text[n] = 0;
        assert_int_not_equal(pclose(f), 0);
        program_contains(text, "are not fetched for clients");
    }
    assert_int_equal(atomic_load(&server.state->requests), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_a_registry), cmocka_unit_test(from_the_hub), cmocka_unit_test(small_files_of_the_hub),
        cmocka_unit_test(from_a_url),
        cmocka_unit_test(removed_when_asked),
        cmocka_unit_test(equal_files_are_used), cmocka_unit_test(one_part_is_here),
        cmocka_unit_test(bad_files_are_repaired),
        cmocka_unit_test(killed_at_any_time), cmocka_unit_test(interrupted),
        cmocka_unit_test(half_written_pieces_are_seen),
        cmocka_unit_test(several_pullers_share), cmocka_unit_test(removing_while_pulling),
        cmocka_unit_test(two_fetch_one_without_a_digest),
        cmocka_unit_test(wrong_bytes), cmocka_unit_test(lies),
        cmocka_unit_test(hostile_manifests), cmocka_unit_test(hostile_models),
        cmocka_unit_test(for_a_server_only_known_hosts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
