/* serve_test.c - hearth serve, key and logs from outside: starting, signals, settings and what is left behind. */
#include "tests/http_client.h"
#include "tests/program_files.h"
#include "tests/tiny_model.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

struct serving { pid_t pid; int port; FILE *err; };

static void pause_ms(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL); }

/* Starts it on a port that the system chooses, which it then says. */
static struct serving serve(const char *const *more)
{
    const char *args[PROGRAM_MAX_ARGS] = { "serve", "--port", "0", "--log", NULL };
    size_t n = 4;
    char log[256];
    snprintf(log, sizeof log, "%s", in_dir("log"));
    args[n++] = log;
    for (; *more; more++) args[n++] = *more;
    args[n] = NULL;
    struct serving s = { .err = tmpfile() };
    fflush(NULL);
    s.pid = fork();
    if (s.pid == 0) {
        struct rlimit r;
        if (getrlimit(RLIMIT_CORE, &r) == 0 && (r.rlim_cur = r.rlim_max) != 0) setrlimit(RLIMIT_CORE, &r);
        dup2(fileno(s.err), 2);
        setenv("HEARTH_MODELS", in_dir("models"), 1);
        setenv("HOME", dir, 1);
        unsetenv("XDG_STATE_HOME");
        program_exec(args);
    }
    char text[4096] = "";
    for (int i = 0; i < 2000 && !strstr(text, "the engine:"); i++) {
        pause_ms(5);
        ssize_t k = pread(fileno(s.err), text, sizeof text - 1, 0);
        text[k > 0 ? k : 0] = 0;
        int status;
        if (waitpid(s.pid, &status, WNOHANG) == s.pid) fail_msg("it ended: %s", text);
    }
    const char *at = strstr(text, "http://127.0.0.1:");
    if (!at) fail_msg("no address in: %s", text);
    s.port = atoi(at + 17);
    return s;
}
#define SERVE(...) serve((const char *const[]){ __VA_ARGS__, NULL })

static int stop(struct serving *s, int sig)
{
    if (sig) kill(s->pid, sig);
    fclose(s->err);
    return program_wait(s->pid);
}

static void put_file(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "w");
    fputs(text, f);
    fclose(f);
}

/* Where the system shows limits of others. */
static void no_core_file(pid_t pid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "Max core file size", 18) && !strstr(line, " 0 ")) fail_msg("%s", line);
    if (f) fclose(f);
}

static void it_answers_and_ends(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct serving s = SERVE("--trace");
    client_expect(client_call(s.port, "GET", "/health", NULL, ""), 200, "ok");
    client_expect(client_call(s.port, "GET", "/metrics", NULL, ""), 200, "hearth_engine_memory_total");
    client_expect(client_call(s.port, "GET", "/metrics", NULL, "Origin: http://evil.example\r\n"), 403, NULL);
    no_core_file(s.pid);
    assert_int_equal(stop(&s, SIGTERM), 0);
    struct result r = PROGRAM(NULL, "logs", in_dir("log"), "-n", "6");        /* a request may be noted after the next */
    program_expect(&r, 0);
    program_contains(r.out, "finishing what runs");
    program_contains(r.out, "status=403");
    assert_null(strstr(r.out, "\"op\""));
    program_free(&r);
    struct stat st;
    assert_int_equal(stat(in_dir("log"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    s = SERVE("--log-format", "json");
    assert_int_equal(stop(&s, SIGINT), 0);
}

static void keys_and_limits_change_while_it_runs(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    char keys[256], config[256], fields[256];
    snprintf(keys, sizeof keys, "%s", in_dir("keys"));
    snprintf(config, sizeof config, "%s", in_dir("config"));
    struct result a = PROGRAM(NULL, "key", "new", "laptop", "--key-file", keys);
    program_expect(&a, 0);
    struct stat st;
    assert_int_equal(stat(keys, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct result again = PROGRAM(NULL, "key", "new", "laptop", "--key-file", keys);
    program_expect(&again, 1);
    program_contains(again.err, "already");
    program_free(&again);
    put_file("config", "# ours\nmax-body = 1\nany-content-type\n");
    struct serving s = SERVE("--key-file", keys, "--config", config);
    client_expect(client_call(s.port, "GET", "/metrics", NULL, ""), 401, NULL);
    snprintf(fields, sizeof fields, "Authorization: Bearer %.55s\r\n", a.out);
    client_expect(client_call(s.port, "GET", "/metrics", NULL, fields), 200, NULL);
    struct result b = PROGRAM(NULL, "key", "new", "admin", "--role", "manage", "--key-file", keys);
    program_expect(&b, 0);
    struct result c = PROGRAM(NULL, "key", "remove", "laptop", "--key-file", keys);
    program_expect(&c, 0);
    struct result l = PROGRAM(NULL, "key", "list", "--key-file", keys);
    assert_string_equal(l.out, "admin\tmanage\n");
    kill(s.pid, SIGHUP);
    int status = 200;
    for (int i = 0; i < 200 && status == 200; i++) {
        pause_ms(10);
        char *text = client_call(s.port, "GET", "/metrics", NULL, fields);
        status = client_status(text);
        free(text);
    }
    assert_int_equal(status, 401);
    snprintf(fields, sizeof fields, "X-Api-Key: %.55s\r\n", b.out);
    client_expect(client_call(s.port, "GET", "/metrics", NULL, fields), 200, NULL);
    put_file("config", "max-body = lots\n");
    kill(s.pid, SIGHUP);
    pause_ms(200);
    client_expect(client_call(s.port, "GET", "/metrics", NULL, fields), 200, NULL);
    assert_int_equal(stop(&s, SIGTERM), 0);
    struct result log = PROGRAM(NULL, "logs", in_dir("log"));
    program_contains(log.out, "line 1: max-body must be");
    assert_null(strstr(log.out, a.out));
    program_free(&a);
    program_free(&b);
    program_free(&c);
    program_free(&l);
    program_free(&log);
}

static void wrong_settings_are_explained(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    put_file("config", "max-running = 4\nmax_runing = 5\n");
    put_file("short", "infer x hearth-123\n");
    char config[256], keys[256];
    snprintf(config, sizeof config, "%s", in_dir("config"));
    snprintf(keys, sizeof keys, "%s", in_dir("short"));
    const struct { const char *args[8]; int code; const char *word; } row[] = {
        { { "serve", "--host", "0.0.0.0" }, 1, "hearth key new" },
        { { "serve", "--host", "example.com" }, 1, "not the number of an address" },
        { { "serve", "--port", "99999999" }, 1, "nothing to listen on" },
        { { "serve", "--config", config }, 2, "line 2: there is no setting \"max_runing\"" },
        { { "serve", "--key-file", keys }, 1, "line 1: the third word is a SHA-256" },
        { { "serve", "--tls-cert", config }, 1, "both a certificate and its key" },
        { { "serve", "no-such-model" }, 1, "not found" },
        { { "key", "new" }, 2, "needs a NAME" },
        { { "key", "new", "x" }, 2, "--key-file" },
        { { "key", "new", "a b", "--key-file", "x" }, 1, "letters" },
        { { "key", "sell", "x" }, 2, "new, list or remove" },
        { { "logs", "/no/such/file" }, 1, "No such file" },
    };
    setenv("HEARTH_MODELS", in_dir("models"), 1);
    setenv("HOME", dir, 1);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct result r = program_run(NULL, row[i].args);
        program_expect(&r, row[i].code);
        program_contains(r.err, row[i].word);
        program_free(&r);
    }
}

/* How many tokens of a long prompt a server that has just begun need not evaluate. */
static int cached_by(const char *salt, const char *mb)
{
    char body[3000], *at = body + sprintf(body, "{\"model\":\"spark\",\"max_tokens\":4,\"temperature\":0,\"prompt\":\"%s", salt);
    for (int i = 0; i < 85; i++) at += sprintf(at, " %d", i * 7919 % 1000);
    strcpy(at, "\"}");
    struct serving s = SERVE("--kv-files", mb);
    char *answer = client_call(s.port, "POST", "/v1/completions", body, "Content-Type: application/json\r\n");
    at = strstr(answer, "\"cached_tokens\":");
    if (client_status(answer) != 200 || !at) fail_msg("%s", answer);
    int n = atoi(at + 16);
    free(answer);
    assert_int_equal(stop(&s, SIGTERM), 0);
    return n;
}

static void texts_outlive_the_server(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    char files[300];
    struct result r = PROGRAM(NULL, "version");
    bool spark = strstr(r.out, "spark") != NULL;
    program_free(&r);
    if (!spark) skip();                                       /* built without the embedded model */
    assert_int_equal(cached_by("a", "0"), 0);
    snprintf(files, sizeof files, "%s/kv", in_dir("models"));
    assert_int_equal(rmdir(files), 0);                        /* nothing is written unless it was asked for */
    assert_int_equal(cached_by("a", "64"), 0);
    assert_true(cached_by("a", "64") > 250);
}

/* Of two models of one file each has the template of its Modelfile. */
static void templates_of_modelfiles(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    assert_int_equal(tiny_model(in_dir("file.gguf"), (struct tiny){ .arch = "llama", .type = DT_F16 }), 0);
    setenv("HEARTH_MODELS", in_dir("models"), 1);
    setenv("HOME", dir, 1);
    static const char *const row[][3] = {
        { "go", "FROM ./file.gguf\nTEMPLATE {{ range .Messages }}[{{ .Role }}]{{ .Content }}{{ end }}\n",
          "[system]s[user]hi \\\"" },
        { "jinja", "FROM ./file.gguf\nTEMPLATE {% for m in messages %}({{ m.content }}){% endfor %}\n", "(s)(hi \\\")" },
        { "plain", "FROM ./file.gguf\n", "<|im_start|>system\\ns<|im_end|>" },
    };
    for (size_t i = 0; i < 3; i++) {
        put_file("Modelfile", row[i][1]);
        char file[256];
        snprintf(file, sizeof file, "%s", in_dir("Modelfile"));
        struct result r = PROGRAM(NULL, "create", row[i][0], "-f", file);
        program_expect(&r, 0);
        program_free(&r);
    }
    struct serving s = SERVE("--threads", "1");
    for (size_t k = 0; k < 4; k++) {
        char body[256];
        const char *const *m = row[k % 3];
        snprintf(body, sizeof body, "{\"model\":\"%s\",\"system\":\"s\",\"prompt\":\"hi \\\"\",\"_debug_render_only"
          "\":true}", m[0]);
        client_expect(client_call(s.port, "POST", "/api/generate", body, ""), 200, m[2]);
    }
    client_expect(client_call(s.port, "POST", "/api/show", "{\"model\":\"go\"}", ""), 200,
                  "\"template\":\"{{ range .Messages }}[{{ .Role }}]{{ .Content }}{{ end }}\"");
    assert_int_equal(stop(&s, SIGTERM), 0);
}

static int make_dir(void **unused)
{
    (void)unused;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/sXXXXXX", tmp && strlen(tmp) < 50 ? tmp : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **unused)
{
    (void)unused;
    char text[128];
    snprintf(text, sizeof text, "rm -rf '%s'", dir);
    return system(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_and_ends), cmocka_unit_test(keys_and_limits_change_while_it_runs),
        cmocka_unit_test(texts_outlive_the_server), cmocka_unit_test(wrong_settings_are_explained),
        cmocka_unit_test(templates_of_modelfiles),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
