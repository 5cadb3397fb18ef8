/* store_edit_test.c - models that are made, copied, verified, cleaned up; and fetched by hearth run when they are not here. */
#include "base/os.h"
#include "tests/registry_home.h"

#include "store/pull.h"

static struct server server;
static char hex[SHA256_HEX + 1], manifest[512], base[64];
static char *model, *mute, *talks;         /* the model, without a chat template, with one of its own */
static size_t n_model, n_mute, n_talks;
static const char published[] = "{{ if .Prompt }}<{{ .Prompt }}>{{ end }}{{ .Response }}";

/* The same model with another chat template. */
static char *talking_model(const char *chat, size_t *n)
{
    char *text;
    assert_int_equal(tiny_model(in_dir("talks.gguf"), (struct tiny){ .arch = "llama", .type = DT_F16, .seed = 5,
      .chat = chat }), 0);
    assert_int_equal(os_read_file(in_dir("talks.gguf"), 64 << 20, &text, n, NULL), 0);
    return text;
}

/* A layer of a template of Go beside a model's file, as a registry has it. */
static void publish(const char *name, const char *file, size_t size, const char *text)
{
    static char list[2][1024];
    static int at;
    char path[128], digest[SHA256_HEX + 1], file_hex[SHA256_HEX + 1];
    char *m = list[at++];
    sha256_bytes(file, size, file_hex, NULL);
    sha256_bytes(text, strlen(text), digest, NULL);
    snprintf(m, sizeof list[0], "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
             "\"digest\":\"sha256:%s\",\"size\":%zu},{\"mediaType\":\"application/vnd.ollama.image.template\","
             "\"digest\":\"sha256:%s\",\"size\":%zu}]}", file_hex, size, digest, strlen(text));
    snprintf(path, sizeof path, "/v2/library/%s/manifests/latest", name);
    server_add(&server, path, m, strlen(m));
    snprintf(path, sizeof path, "/v2/library/%s/blobs/sha256:%s", name, digest);
    server_add(&server, path, text, strlen(text));
    snprintf(path, sizeof path, "/v2/library/%s/blobs/sha256:%s", name, file_hex);
    server_add(&server, path, file, size);
}

static int setup(void **state)
{
    (void)state;
    char path[128];
    if (registry_home(&server, base) < 0) return -1;
    model = store_model(&n_model, 5);
    sha256_bytes(model, n_model, hex, NULL);
    setenv("HEARTH_REGISTRY", base, 1);
    snprintf(manifest, sizeof manifest, "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
             "\"digest\":\"sha256:%s\",\"size\":%zu}]}", hex, n_model);
    server_add(&server, "/v2/library/far/manifests/latest", manifest, strlen(manifest));
    snprintf(path, sizeof path, "/v2/library/far/blobs/sha256:%s", hex);
    server_add(&server, path, model, n_model);
    static char large[512];
    snprintf(large, sizeof large, "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
             "\"digest\":\"sha256:%.63s0\",\"size\":12000000000}]}", hex);
    server_add(&server, "/v2/library/vast/manifests/latest", large, strlen(large));
    mute = talking_model("", &n_mute);
    talks = talking_model("{% for m in messages %}({{ m.content }}){% endfor %}", &n_talks);
    publish("plain", mute, n_mute, published);
    publish("talks", talks, n_talks, published);
    server_start(&server);
    store_file("mine.gguf", model, n_model);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mem_free(model);
    mem_free(mute);
    mem_free(talks);
    return registry_home_remove(&server);
}

static void wipe(void) { registry_wipe(&server); }

static void expect(struct result r, int code, const char *out, const char *err)
{
    program_expect(&r, code);
    if (out) program_contains(r.out, out);
    if (err) program_contains(r.err, err);
    program_free(&r);
}

#define RUN(...) PROGRAM(NULL, "run", __VA_ARGS__, "--no-template", "-n", "4", "--temp", "0", "a")

static void run_fetches(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    expect(RUN("far", "--offline"), 1, NULL, "`hearth pull far` fetches it");
    assert_int_equal(atomic_load(&server.state->requests), 0);
    struct result want = RUN(in_dir("mine.gguf")), r = RUN("far");
    program_expect(&r, 0);
    assert_string_equal(r.out, want.out);
    program_contains(r.err, "far is not on this machine; fetching it");
    program_free(&r);
    uint64_t before = atomic_load(&server.state->requests);
    r = RUN("far");
    program_expect(&r, 0);
    assert_string_equal(r.out, want.out);
    assert_int_equal(atomic_load(&server.state->requests), before);
    program_free(&r);
    program_free(&want);
    /* What is near is named when the registry does not know the name either. */
    expect(RUN("fra"), 1, NULL, "did you mean far:latest?");
    expect(RUN("zzzzzz"), 1, NULL, "does not know it");
    /* Nobody is asked here, so nothing large is fetched. */
    before = atomic_load(&server.state->requests);
    uint64_t room = os_disk_free(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    bool near = room > UINT64_C(11000000000) && room < UINT64_C(15000000000);          /* others write there, too */
    expect(RUN("vast"), 1, NULL, near ? "vast" : room > UINT64_C(12000000000) ? "nobody is here to ask" : "are needed and");
    assert_int_equal(atomic_load(&server.state->requests), before + 1);
    /* A path is never asked for elsewhere. */
    before = atomic_load(&server.state->requests);
    expect(RUN("missing.gguf"), 1, NULL, "No such file");
    assert_int_equal(atomic_load(&server.state->requests), before);
    /* With --yes it would be fetched (the free space is what stops it here, or the server that does not have it). */
    r = RUN("vast", "--yes");
    program_expect(&r, 1);
    assert_null(strstr(r.err, "nobody is here"));
    program_free(&r);
}

static void made_by_a_modelfile(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    store_text("Modelfile", "FROM ./mine.gguf\nPARAMETER num_predict 3\nPARAMETER temperature 0\nPARAMETER stop zzz\n"
               "PARAMETER num_gpu 5\nSYSTEM \"\"\"Be\nbrief.\"\"\"\n"
               "TEMPLATE \"\"\"{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}\"\"\"\n"
               "MESSAGE user q\nMESSAGE assistant w\nLICENSE free\nLICENSE \"and easy\"\n");
    expect(PROGRAM(NULL, "create", "me/brief", "-f", in_dir("Modelfile")), 0, "me/brief:latest: made", NULL);
    struct result r = PROGRAM(NULL, "show", "me/brief", "--json");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    assert_string_equal(json_str(json_get(j, "system"), NULL), "Be\nbrief.");
    assert_string_equal(json_str(json_get(j, "parameters"), NULL),
                        "{\"num_predict\":3,\"temperature\":0.0,\"stop\":[\"zzz\"],\"num_gpu\":5}");
    assert_string_equal(json_str(json_get(j, "digest"), NULL), hex);
    assert_string_equal(json_str(json_get(j, "path"), NULL), in_dir("mine.gguf"));       /* where it lies */
    json_free(j);
    program_free(&r);
    /* The whole prompt by hand gives the same answer of three tokens. */
    struct result want = PROGRAM(NULL, "run", in_dir("mine.gguf"), "--no-template", "-n", "3", "--temp", "0", "--json",
                                 "[system]Be\nbrief.[user]q[assistant]w[user]hello");
    program_expect(&want, 0);
    r = PROGRAM(NULL, "run", "me/brief", "--json", "hello");
    program_expect(&r, 0);
    struct json *a = parsed(want.out), *b = parsed(r.out);
    assert_string_equal(json_str(json_get(b, "text"), NULL), json_str(json_get(a, "text"), NULL));
    assert_int_equal(json_int(json_get(b, "completion_tokens")), 3);
    assert_int_equal(json_int(json_get(b, "prompt_tokens")), json_int(json_get(a, "prompt_tokens")));
    json_free(a);
    json_free(b);
    program_free(&r);
    program_free(&want);
    /* What it is made from makes it again. */
    r = PROGRAM(NULL, "show", "me/brief", "--modelfile");
    program_expect(&r, 0);
    struct result again = PROGRAM(r.out, "create", "me/again", "-f", "-", "--json");
    program_expect(&again, 0);
    assert_string_equal(again.out, "{\"status\":\"success\",\"name\":\"me/again:latest\"}\n");
    program_free(&again);
    again = PROGRAM(NULL, "show", "me/again", "--modelfile");
    assert_string_equal(again.out, r.out);
    program_contains(r.out, "SYSTEM \"\"\"Be\nbrief.\"\"\"\n");
    program_free(&again);
    program_free(&r);
    again = PROGRAM(NULL, "rm", "me/again", "--json");
    program_expect(&again, 0);
    json_free(parsed(again.out));
    program_free(&again);
    /* The command line counts more. */
    r = PROGRAM(NULL, "run", "me/brief", "--json", "-n", "2", "--system", "x", "hello");
    j = parsed(r.out);
    assert_int_equal(json_int(json_get(j, "completion_tokens")), 2);
    json_free(j);
    program_free(&r);
    /* A model of a model: what it says comes on top. */
    store_text("Modelfile2", "FROM me/brief\nPARAMETER num_predict 1\nSYSTEM \"\"\n");
    expect(PROGRAM(NULL, "create", "briefer", "-f", in_dir("Modelfile2")), 0, NULL, NULL);
    r = PROGRAM(NULL, "run", "briefer", "--json", "hello");
    j = parsed(r.out);
    assert_int_equal(json_int(json_get(j, "completion_tokens")), 1);
    json_free(j);
    program_free(&r);
    expect(PROGRAM(NULL, "show", "briefer", "--system"), 1, NULL, "came without");
    expect(PROGRAM(NULL, "show", "briefer", "--parameters"), 0, "\"temperature\":0.0", NULL);
}

/* How many tokens the prompt of "hello" has, and the answer to it. */
static void answer_of(const char *name, char text[256], int64_t *tokens)
{
    struct result r = PROGRAM(NULL, "run", name, "-n", "3", "--temp", "0", "--json", "hello");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    snprintf(text, 256, "%s", json_str(json_get(j, "text"), NULL));
    *tokens = json_int(json_get(j, "prompt_tokens"));
    json_free(j);
    program_free(&r);
}

static void check_prompt(const char *name, const char *prompt)
{
    char got[256], want[256];
    int64_t n;
    answer_of(name, got, &n);
    struct result r = PROGRAM(NULL, "run", in_dir("mine.gguf"), "--no-template", "-n", "3", "--temp", "0", "--json", prompt);
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    snprintf(want, sizeof want, "%s", json_str(json_get(j, "text"), NULL));
    assert_int_equal(n, json_int(json_get(j, "prompt_tokens")));
    assert_string_equal(got, want);
    json_free(j);
    program_free(&r);
}

static void templates_of_go(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    /* That of a Modelfile is always used. */
    store_text("Modelfile", "FROM ./mine.gguf\nTEMPLATE \"\"\"{{ range .Messages }}[{{ .Role }}]{{ .Content }}{{ end }}\"\"\"\n");
    expect(PROGRAM(NULL, "create", "go", "-f", in_dir("Modelfile")), 0, "made", NULL);
    check_prompt("go", "[user]hello");
    expect(PROGRAM(NULL, "template", "go", "hello"), 0, "[user]hello", NULL);
    expect(PROGRAM(NULL, "show", "go", "--template"), 0, "{{ range .Messages }}", NULL);
    struct result r = PROGRAM(NULL, "show", "go", "--modelfile");
    program_expect(&r, 0);
    program_contains(r.out, "TEMPLATE {{ range .Messages }}");
    assert_null(strstr(r.out, "#"));
    program_free(&r);
    /* One that was published helps out. */
    expect(PROGRAM(NULL, "pull", "plain"), 0, NULL, NULL);
    check_prompt("plain", "<hello>");
    expect(PROGRAM(NULL, "show", "plain", "--modelfile"), 0, "# It came with the model.", NULL);
    /* The file's own is the better one, unless a Modelfile says otherwise. */
    expect(PROGRAM(NULL, "pull", "talks"), 0, NULL, NULL);
    check_prompt("talks", "(hello)");
    expect(PROGRAM(NULL, "template", "talks", "hello"), 0, "(hello)", NULL);
    expect(PROGRAM(NULL, "template", "plain", "hello"), 0, "<hello>", NULL);
    store_text("Modelfile", "FROM talks\nSYSTEM x\n");
    expect(PROGRAM(NULL, "create", "heir", "-f", in_dir("Modelfile")), 0, NULL, NULL);
    check_prompt("heir", "(x)(hello)");
    store_text("Modelfile", "FROM talks\nTEMPLATE {{ .Prompt }}!{{ .Response }}\n");
    expect(PROGRAM(NULL, "create", "wilful", "-f", in_dir("Modelfile")), 0, NULL, NULL);
    check_prompt("wilful", "hello!");
}

static void refused_modelfiles(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    static const char *const row[][2] = {
        { "FROM ./mine.gguf\nTEMPLATE \"{{ if .Prompt }}\"", "line 2: TEMPLATE: template: line 1, column 17: this bloc"
          "k has no end" },
        { "FROM ./mine.gguf\nTEMPLATE \"{% if %}\"", "line 2: TEMPLATE: " },
        { "FROM ./mine.gguf\nPARAMETER temprature 1", "did you mean temperature?" },
        { "FROM ./mine.gguf\nADAPTER nothing.gguf", "No such file" },
        { "FROM ./mine.gguf\nDRAFT x", "not supported" },
        { "FROM ./Modelfile", "no GGUF file" }, { "FROM ./", "a folder without config.json" },
        { "FROM zzzzzz", "does not know it" }, { "SYSTEM x", "there is no FROM" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        store_text("Modelfile", row[i][0]);
        expect(PROGRAM(NULL, "create", "x", "-f", in_dir("Modelfile")), 1, NULL, row[i][1]);
    }
    store_text("Modelfile", "FROM ./mine.gguf\nRENDERER qwen3\n");
    expect(PROGRAM(NULL, "create", "hf.co/u/r:x", "-f", in_dir("Modelfile")), 1, NULL, "Hugging Face Hub");
    expect(PROGRAM(NULL, "create", "./x", "-f", in_dir("Modelfile")), 1, NULL, "not under a path");
    expect(PROGRAM(NULL, "list"), 0, NULL, "no models here yet");
    expect(PROGRAM(NULL, "create", "x", "-f", in_dir("Modelfile")), 0, NULL, "RENDERER tells Ollama");
    struct result r = PROGRAM("FROM far\nPARAMETER seed 1\n", "create", "y", "-f", "-");
    expect(r, 0, "y:latest: made", "fetching it");
}

static void copied(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    /* A model of Ollama gets another name; its file stays where it lies. */
    char path[128];
    snprintf(path, sizeof path, "home/.ollama/models/blobs/sha256-%s", hex);
    store_file(path, model, n_model);
    store_text("home/.ollama/models/manifests/registry.ollama.ai/library/theirs/1b", manifest);
    expect(PROGRAM(NULL, "cp", "theirs:1b", "ours"), 0, "ours:latest: made", NULL);
    expect(PROGRAM(NULL, "cp", "theirs:1b", "ours"), 1, NULL, "--force");
    expect(PROGRAM(NULL, "cp", "theirs:1b", "ours", "--force"), 0, NULL, NULL);
    expect(PROGRAM(NULL, "cp", "theirs:1b", "hf.co/u/r"), 1, NULL, "Hugging Face Hub");
    expect(PROGRAM(NULL, "cp", in_dir("mine.gguf"), "x"), 1, NULL, "hearth import");
    struct result r = PROGRAM(NULL, "list", "--paths");
    char line[600];
    snprintf(line, sizeof line, "ours:latest\t%s", in_dir(path));
    program_contains(r.out, line);
    program_free(&r);
    expect(RUN("ours"), 0, NULL, NULL);
    expect(PROGRAM(NULL, "rm", "ours"), 0, "0.0 kB freed", NULL);
    assert_true(os_file_exists(in_dir(path)));
    snprintf(line, sizeof line, "rm -rf '%s/home'", dir);
    assert_int_equal(system(line), 0);
}

static void verified(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    char path[128];
    expect(PROGRAM(NULL, "pull", "far"), 0, "is here", NULL);
    expect(PROGRAM(NULL, "verify"), 0, "far:latest: good", NULL);
    snprintf(path, sizeof path, "own/blobs/sha256-%s", hex);
    assert_int_equal(chmod(in_dir(path), 0644), 0);
    FILE *f = fopen(in_dir(path), "r+b");
    fseek(f, (long)n_model / 2, SEEK_SET);
    int c = fgetc(f);
    fseek(f, (long)n_model / 2, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
    expect(PROGRAM(NULL, "verify", "far"), 1, "wrong: SHA-256", NULL);
    struct result r = PROGRAM(NULL, "verify", "--json");
    program_expect(&r, 1);
    struct json *j = parsed(r.out);
    assert_string_equal(json_str(json_get(j, "state"), NULL), "wrong");
    assert_string_equal(json_str(json_get(j, "digest"), NULL), hex);
    json_free(j);
    program_free(&r);
    assert_int_equal(truncate(in_dir(path), 100), 0);
    expect(PROGRAM(NULL, "verify", "far"), 1, "wrong size", NULL);
    unlink(in_dir(path));
    expect(PROGRAM(NULL, "verify", "far"), 1, "missing", NULL);
    expect(PROGRAM(NULL, "pull", "far"), 0, NULL, NULL);
    expect(PROGRAM(NULL, "verify", "far"), 0, "good", NULL);
    /* A file of nobody: its digest is remembered, and then compared. */
    expect(PROGRAM(NULL, "verify", in_dir("mine.gguf")), 0, "was not known", NULL);
    expect(PROGRAM(NULL, "verify", in_dir("mine.gguf")), 0, ": good", NULL);
    /* Names that others gave to files do nothing to a terminal. */
    store_file("x\x1b[31m\xc2\x9b" "2J.gguf", model, n_model);
    struct result odd = PROGRAM(NULL, "verify", in_dir("x\x1b[31m\xc2\x9b" "2J.gguf"));
    program_expect(&odd, 0);
    assert_null(strchr(odd.out, 0x1b));
    assert_null(strstr(odd.out, "\xc2\x9b"));
    program_free(&odd);
}

static void cleaned_up_when_told(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    expect(PROGRAM(NULL, "pull", "far"), 0, NULL, NULL);
    char lost[128], keep[128];
    snprintf(keep, sizeof keep, "own/blobs/sha256-%s", hex);
    snprintf(lost, sizeof lost, "own/blobs/sha256-%.63s0", hex);
    static const char *const junk[] = { "own/blobs/x.tmp-1-2", "own/manifests/registry.ollama.ai/library/far/latest.tmp-9-9" };
    static const char part[] = "own/blobs/sha256-0.part", other[] = "own/blobs/notes.txt";
    store_text(lost, "lost");
    store_text(junk[0], "junk");
    store_text(junk[1], "junk");
    store_text(part, "half");
    store_text(other, "mine");
    expect(PROGRAM(NULL, "gc"), 0, "could be freed", NULL);
    assert_true(os_file_exists(in_dir(lost)));
    store_text("own/manifests/example.org/me/broken/latest", "{");
    expect(PROGRAM(NULL, "gc", "--remove"), 1, NULL, "manifests/example.org/me/broken/latest");
    assert_true(os_file_exists(in_dir(lost)));
    unlink(in_dir("own/manifests/example.org/me/broken/latest"));
    /* While somebody adds a model nothing goes. */
    struct fs_file *lock;
    assert_int_equal(fs_file_open(&lock, in_dir("own/lock"), FS_WRITE, NULL), 0);
    assert_true(fs_file_share(lock));
    expect(PROGRAM(NULL, "gc", "--remove"), 1, NULL, "being added");
    expect(PROGRAM(NULL, "cp", "far", "again"), 0, NULL, NULL);
    expect(PROGRAM(NULL, "rm", "again"), 0, NULL, "at this moment");
    fs_file_close(lock);
    assert_true(os_file_exists(in_dir(lost)));
    expect(PROGRAM(NULL, "gc", "--remove"), 0, "freed", NULL);
    assert_false(os_file_exists(in_dir(lost)) || os_file_exists(in_dir(junk[0])) || os_file_exists(in_dir(junk[1])));
    assert_true(os_file_exists(in_dir(keep)) && os_file_exists(in_dir(part)) && os_file_exists(in_dir(other)));
    expect(PROGRAM(NULL, "gc", "--remove", "--downloads"), 0, NULL, NULL);
    assert_false(os_file_exists(in_dir(part)));
    struct result r = PROGRAM(NULL, "gc", "--json");
    assert_int_equal(r.n_out, 0);
    program_free(&r);
    expect(PROGRAM(NULL, "verify", "far"), 0, "good", NULL);
}

/* ---- what the server will call ---- */

static void count(void *arg, const struct garbage *g)
{
    (void)g;
    ++*(size_t *)arg;
}

static void blobs_that_are_uploaded(void **state)
{
    (void)state;
    wipe();
    struct store s;
    struct err e = { 0 };
    struct blob_writer *w;
    char found[SHA256_HEX + 1], path[STORE_PATH];
    uint64_t size;
    assert_int_equal(store_open(&s, &e), 0);
    assert_int_equal(store_blob_begin(&w, &s, "../x", &e), ERR_ARG);
    assert_null(w);
    assert_int_equal(store_blob_begin(&w, &s, hex, &e), 0);
    assert_int_equal(store_blob_write(w, "wrong", 5, &e), 0);
    assert_int_equal(store_blob_end(w, found, &e), ERR_FORMAT);
    assert_false(store_has_blob(&s, hex, &size));
    struct blob_writer *two[2];                                  /* two at once, of the same */
    for (int i = 0; i < 2; i++) assert_int_equal(store_blob_begin(&two[i], &s, hex, &e), 0);
    for (size_t at = 0; at < n_model; at += 1000)
        for (int i = 0; i < 2; i++)
            assert_int_equal(store_blob_write(two[i], model + at, n_model - at < 1000 ? n_model - at : 1000, &e), 0);
    assert_false(store_has_blob(&s, hex, &size));
    for (int i = 0; i < 2; i++) assert_int_equal(store_blob_end(two[i], found, &e), 0);
    assert_string_equal(found, hex);
    assert_true(store_has_blob(&s, hex, &size));
    assert_int_equal(size, n_model);
    struct create c;
    struct name n;
    assert_int_equal(name_parse(&n, "uploaded", &e), 0);
    assert_int_equal(create_begin(&c, &s, &e), 0);
    assert_int_equal(create_end(&c, &n, &e), ERR_ARG);
    assert_int_equal(create_blob(&c, LAYER_MODEL, "0000000000000000000000000000000000000000000000000000000000000000", NULL,
                                 &e), ERR_NOTFOUND);
    assert_int_equal(create_blob(&c, LAYER_MODEL, hex, "../../x", &e), ERR_ARG);
    assert_int_equal(create_blob(&c, LAYER_MODEL, hex, "x.gguf", &e), 0);
    for (int i = 0; i < 40; i++) assert_int_equal(create_text(&c, LAYER_SYSTEM, i % 2 ? "Be brief." : "", &e), 0);
    assert_int_equal(create_end(&c, &n, &e), 0);
    create_release(&c);
    struct found_list l;
    struct parts p;
    size_t at;
    assert_int_equal(store_lookup(&s, "uploaded", &l, &at, path, &e), 0);
    assert_int_equal(l.v[at].files, 1);
    assert_int_equal(store_parts(&l.v[at], &p, &e), 0);
    assert_string_equal(p.system, "Be brief.");
    assert_null(p.params);
    parts_release(&p);
    found_release(&l);
    /* No temporary file is left. */
    size_t n_left = 0;
    const struct gc_options o = { .fn = count, .arg = &n_left };
    assert_int_equal(store_gc(&s, &o, &e), 0);
    store_close(&s);
    assert_int_equal(n_left, 0);
}

/* Between looking and removing another model may have come that needs the same file. */
static void what_came_meanwhile_keeps_its_files(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe();
    struct store s;
    struct found_list l;
    struct removal r = { 0 };
    struct err e = { 0 };
    char name[128];
    expect(PROGRAM(NULL, "pull", "far"), 0, NULL, NULL);
    assert_int_equal(store_open(&s, &e), 0);
    assert_int_equal(store_find_ours(&s, &l, &e), 0);
    assert_int_equal(l.n, 1);
    expect(PROGRAM(NULL, "cp", "far", "me/near"), 0, NULL, NULL);
    if (store_remove(&s, &l, 0, &r, &e) < 0) fail_msg("%s", e.msg);
    found_release(&l);
    snprintf(name, sizeof name, "own/blobs/sha256-%s", hex);
    assert_true(os_file_exists(in_dir(name)));
    expect(PROGRAM(NULL, "verify", "me/near"), 0, NULL, NULL);
    /* A manifest that is damaged by now may need it as well. */
    assert_int_equal(store_find_ours(&s, &l, &e), 0);
    assert_int_equal(l.n, 1);
    store_text("own/manifests/registry.ollama.ai/library/odd/latest", "{");
    assert_int_equal(store_remove(&s, &l, 0, &r, &e), ERR_FORMAT);
    assert_true(os_file_exists(in_dir(name)) && os_file_exists(l.v[0].manifest));
    found_release(&l);
    store_close(&s);
}

static void hosts_that_requests_may_name(void **state)
{
    (void)state;
    wipe();
    struct store s;
    struct name n;
    static const struct { const char *name; bool before, after; } row[] = {
        { "qwen3", true, true }, { "hf.co/u/r", true, true }, { "mirror.example:8443/a/b", false, true },
        { "mirror.example/a/b", false, false }, { "https://mirror.example:8443/x.gguf", false, true },
        { "evil.example/a/b", false, false }, { "http://localhost:1/a/b", false, false }, { "./x", false, false },
        { "https://169.254.169.254/latest/x.gguf", false, false },
    };
    assert_int_equal(store_open(&s, NULL), 0);
    for (int after = 0; after < 2; after++) {
        for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
            assert_int_equal(name_parse(&n, row[i].name, NULL), 0);
            if (pull_host_is_known(&s, &n) != (after ? row[i].after : row[i].before)) fail_msg("%s", row[i].name);
        }
        store_text("own/hosts", "other.example\r\n\nMirror.example:8443\n");
    }
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_fetches), cmocka_unit_test(made_by_a_modelfile), cmocka_unit_test(templates_of_go),
          cmocka_unit_test(refused_modelfiles),
        cmocka_unit_test(copied), cmocka_unit_test(verified), cmocka_unit_test(cleaned_up_when_told),
        cmocka_unit_test(blobs_that_are_uploaded), cmocka_unit_test(what_came_meanwhile_keeps_its_files),
        cmocka_unit_test(hosts_that_requests_may_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
