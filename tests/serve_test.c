/* serve_test.c - hearth serve, key and logs from outside: starting, signals, settings and what is left behind. */
#include "tests/http_client.h"
#include "tests/program_files.h"
#include "tests/tiny_adapter.h"

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

/* How many tokens of a long prompt need not be evaluated. */
static int cached_now(int port, const char *salt, const char *key)
{
    char body[3000], fields[256], *at = body + sprintf(body, "{\"model\":\"spark\",\"max_tokens\":4,\"temperature\":0,"
                                                       "\"prompt\":\"%s", salt);
    for (int i = 0; i < 85; i++) at += sprintf(at, " %d", i * 7919 % 1000);
    strcpy(at, "\"}");
    snprintf(fields, sizeof fields, "Content-Type: application/json\r\n%s%s%s", key ? "X-Api-Key: " : "", key ? key : "",
             key ? "\r\n" : "");
    char *answer = client_call(port, "POST", "/v1/completions", body, fields);
    at = strstr(answer, "\"cached_tokens\":");
    if (client_status(answer) != 200 || !at) fail_msg("%s", answer);
    int n = atoi(at + 16);
    free(answer);
    return n;
}

/* The same by a server that has just begun. */
static int cached_by(const char *salt, const char *mb)
{
    struct serving s = SERVE("--kv-files", mb);
    int n = cached_now(s.port, salt, NULL);
    assert_int_equal(stop(&s, SIGTERM), 0);
    return n;
}

/* Built without the embedded model, there is nobody to ask. */
static bool has_spark(void)
{
    struct result r = PROGRAM(NULL, "version");
    bool spark = strstr(r.out, "spark") != NULL;
    program_free(&r);
    return spark;
}

/* Whether somebody else has sent a prompt cannot be seen: it is as slow as any other.  What answers say to a browser. */
static void keys_do_not_see_each_other(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    char file[256], key[2][80];
    if (!has_spark()) skip();
    snprintf(file, sizeof file, "%s", in_dir("two"));
    for (int i = 0; i < 2; i++) {
        struct result r = PROGRAM(NULL, "key", "new", i ? "bob" : "ann", "--key-file", file);
        program_expect(&r, 0);
        snprintf(key[i], sizeof key[i], "%.55s", r.out);
        program_free(&r);
    }
    struct serving s = SERVE("--key-file", file);
    assert_int_equal(cached_now(s.port, "x", key[0]), 0);
    assert_true(cached_now(s.port, "x", key[0]) > 250);
    assert_int_equal(cached_now(s.port, "x", key[1]), 0);
    assert_true(cached_now(s.port, "x", key[1]) > 250);
    char *health = client_call(s.port, "GET", "/health", NULL, "");
    assert_non_null(strstr(health, "X-Content-Type-Options: nosniff\r\n"));
    assert_null(strstr(health, "Access-Control-"));
    free(health);
    static const char *const none[] = { "/debug/pprof/", "/debug/vars", "/index.html", "/tools", "/cors-proxy?url=http://x/" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        client_expect(client_call(s.port, "GET", none[i], NULL, ""), 404, NULL);
    char fields[128];
    snprintf(fields, sizeof fields, "X-Api-Key: %s\r\n", key[0]);
    char *metrics = client_call(s.port, "GET", "/metrics", NULL, fields);
    assert_int_equal(client_status(metrics), 200);
    assert_null(strstr(metrics, "7919"));
    assert_null(strstr(metrics, "919 838"));                  /* of the prompt */
    free(metrics);
    assert_int_equal(stop(&s, SIGTERM), 0);
}

static void texts_outlive_the_server(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    char files[300];
    if (!has_spark()) skip();
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

static void create(const char *name, const char *modelfile)
{
    char file[256];
    put_file("Modelfile", modelfile);
    snprintf(file, sizeof file, "%s", in_dir("Modelfile"));
    struct result r = PROGRAM(NULL, "create", name, "-f", file);
    program_expect(&r, 0);
    program_free(&r);
}

struct asked { const char *path, *body; int status; const char *has; };

/* In the bodies ' is ". */
static void ask_all(int port, const struct asked *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char body[512], has[256];
        snprintf(body, sizeof body, "%s", row[i].body);
        snprintf(has, sizeof has, "%s", row[i].has);
        for (char *c = body; *c; c++) *c = *c == '\'' ? '"' : *c;
        for (char *c = has; *c; c++) *c = *c == '\'' ? '"' : *c;
        client_expect(client_call(port, *body ? "POST" : "GET", row[i].path, *body ? body : NULL, ""), row[i].status, has);
    }
}

/* SYSTEM, MESSAGE and PARAMETER hold where a request says nothing else, in every dialect. */
static void modelfiles_are_defaults(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    assert_int_equal(tiny_model(in_dir("file.gguf"), (struct tiny){ .arch = "llama", .type = DT_F16 }), 0);
    setenv("HEARTH_MODELS", in_dir("models"), 1);
    setenv("HOME", dir, 1);
    create("all", "FROM ./file.gguf\nTEMPLATE {% for m in messages %}({{ m.role }}:{{ m.content }}){% endfor %}\nSYSTEM brief\n"
           "PARAMETER temperature 0\nPARAMETER num_predict 3\nPARAMETER stop <end>\nPARAMETER num_ctx 64\n"
           "MESSAGE user one\nMESSAGE assistant two\n");
    create("coder", "FROM all\n");
    create("broken", "FROM all\n");
    struct result r = PROGRAM(NULL, "preset", "set", "code", "temperature=0.25", "--system", "coded");
    program_expect(&r, 0);
    program_free(&r);
    r = PROGRAM(NULL, "preset", "set", "gone");
    program_free(&r);
    r = PROGRAM(NULL, "preset", "default", "coder", "code");
    program_expect(&r, 0);
    program_free(&r);
    r = PROGRAM(NULL, "preset", "default", "broken", "gone");
    program_expect(&r, 0);
    program_free(&r);
    put_file("models/presets/gone.json", "{");
    struct serving s = SERVE("--threads", "1");
#define RENDER ",'_debug_render_only':true}"
#define USER "'messages':[{'role':'user','content':'hi'}]"
#define MINE "'messages':[{'role':'system','content':'mine'},{'role':'user','content':'hi'}]"
#define IDS_10 "5,5,5,5,5,5,5,5,5,5"
#define IDS_70 IDS_10 "," IDS_10 "," IDS_10 "," IDS_10 "," IDS_10 "," IDS_10 "," IDS_10
#define SHOT "(user:one)(assistant:two)(user:hi)"
    static const struct asked row[] = {
        { "/api/chat", "{'model':'all'," USER RENDER, 200, "(system:brief)" SHOT },
        { "/api/chat", "{'model':'all'," MINE RENDER, 200, "'(system:mine)" SHOT },
        { "/api/generate", "{'model':'all','prompt':'hi'" RENDER, 200, "'(system:brief)" SHOT },
        { "/api/generate", "{'model':'all','prompt':'hi','system':'mine'" RENDER, 200, "'(system:mine)" SHOT },
        { "/apply-template", "{'model':'all'," USER "}", 200, "'(system:brief)" SHOT },
        { "/apply-template", "{'model':'coder'," USER "}", 200, "'(system:coded)" SHOT },
        { "/v1/chat/completions", "{'model':'all'," USER ",'ignore_eos':true}", 200, "'completion_tokens':3" },
        { "/v1/chat/completions", "{'model':'all'," USER ",'ignore_eos':true,'max_tokens':5}", 200, "'completion_tokens':5" },
        { "/v1/chat/completions", "{'model':'all'," USER ",'ignore_eos':true,'max_tokens':-1}", 200, "'total_tokens':64," },
        { "/api/chat", "{'model':'all','stream':false," USER ",'options':{'ignore_eos':true}}", 200, "'eval_count':3," },
        { "/api/generate", "{'model':'all','stream':false,'prompt':'hi','options':{'ignore_eos':true}}", 200, "'eval_count':3," },
        { "/api/ps", "", 200, "'context_length':64" },
        { "/completion", "{'model':'all','prompt':'a','n_probs':1,'ignore_eos':true}", 200, "'tokens_predicted':3," },
        { "/completion", "{'model':'all','prompt':'a','top_k':0}", 200, "'max_tokens':3,'stop':['<end>']" },
        { "/completion", "{'model':'all','prompt':'a','top_k':0}", 200, "'temperature':0.0" },
        { "/completion", "{'model':'all','prompt':'a','stop':['x'],'temperature':0.5}", 200, "'temperature':0.5,'stop':['x']" },
        { "/completion", "{'model':'coder','prompt':'a','top_k':0}", 200, "'temperature':0.25" },
        { "/v1/chat/completions", "{'model':'all'," USER ",'max_tokens':-1,'ignore_eos':true,'num_ctx':80}", 200,
          "'total_tokens':80," },
        { "/completion", "{'model':'all','prompt':[" IDS_70 "]}", 400,
          "'type':'exceed_context_size_error','n_prompt_tokens':70,'n_ctx':64}" },
        { "/v1/completions", "{'model':'all','prompt':[" IDS_70 "]}", 400,
          "'code':'context_length_exceeded','n_prompt_tokens':70,'n_ctx':64}" },
        { "/props?model=all", "", 200, "'temperature':0.0,'top_k':40," },
        { "/props?model=all", "", 200, ",'stop':['<end>']},'n_ctx':" },
        { "/props?model=all", "", 200, "'model_ftype':'F16'" },
        { "/props?model=all", "", 200, "'eos_token':'<|im_end|>'" },
        { "/props?model=none", "", 404, "not_found_error" },
        { "/slots?fail_on_no_slot=1", "", 200, "'is_processing':false" },
        { "/api/chat", "{'model':'broken'," USER "}", 500, "broken:latest" },
    };
    ask_all(s.port, row, sizeof row / sizeof *row);
    assert_int_equal(stop(&s, SIGTERM), 0);
    r = PROGRAM(NULL, "logs", in_dir("log"));
    program_contains(r.out, "gone.json");
    program_free(&r);
}

/* The answer to one prompt, the likeliest tokens. */
static void complete(int port, const char *model, const char *more, char text[512])
{
    char body[256];
    snprintf(body, sizeof body, "{\"model\":\"%s\",\"prompt\":\"a\",\"temperature\":0,\"n_predict\":8,"
             "\"return_tokens\":true%s}", model, more);
    char *answer = client_call(port, "POST", "/completion", body, "");
    const char *at = strstr(answer, "\"tokens\":");
    if (client_status(answer) != 200 || !at) fail_msg("%s", answer);
    snprintf(text, 512, "%.*s", (int)strcspn(at, "]"), at);
    free(answer);
}

/* The beginning of the vector of a text. */
static void vector_of(int port, const char *model, char text[512])
{
    char body[256];
    snprintf(body, sizeof body, "{\"model\":\"%s\",\"input\":\"a b\"}", model);
    char *answer = client_call(port, "POST", "/v1/embeddings", body, "");
    const char *at = strstr(answer, "\"embedding\":[");
    if (client_status(answer) != 200 || !at) fail_msg("%s", answer);
    snprintf(text, 512, "%.500s", at);
    free(answer);
}

/* An adapter of a Modelfile, from a folder that has no model. */
static void adapters_are_used(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct gguf *g;
    char outer[sizeof dir], with[512], without[512], again[512], vector[3][512];
    memcpy(outer, dir, sizeof dir);
    strcat(dir, "/a");                                        /* without the other tests' models, which lie in outer */
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(mkdir(in_dir("m"), 0700), 0);
    assert_int_equal(mkdir(in_dir("loras"), 0700), 0);
    assert_int_equal(tiny_model(in_dir("m/file.gguf"), (struct tiny){ .arch = "llama", .type = DT_F32 }), 0);
    assert_int_equal(gguf_open(&g, in_dir("m/file.gguf"), NULL), 0);
    struct ta a = ta_new(g, 11, 2, 4, 4);
    assert_int_equal(ta_write(&a, "llama", DT_F32, in_dir("loras/a.gguf")), 0);
    ta_free(&a);
    a = ta_new(g, 12, 2, 4, 4);
    assert_int_equal(ta_write(&a, "llama", DT_F32, in_dir("loras/b.gguf")), 0);
    ta_free(&a);
    gguf_close(g);
    setenv("HEARTH_MODELS", in_dir("models"), 1);
    setenv("HOME", dir, 1);
    create("bare", "FROM ./m/file.gguf\n");
    create("adapted", "FROM ./m/file.gguf\nADAPTER ./loras/a.gguf\n");
    struct serving s = SERVE("--threads", "1");
    complete(s.port, "bare", "", without);
    complete(s.port, "adapted", "", with);
    complete(s.port, "bare", "", again);
    assert_string_equal(without, again);
    assert_string_not_equal(with, without);
    complete(s.port, "adapted", ",\"lora\":[]", again);      /* those that are not named are not used */
    assert_string_equal(without, again);
    vector_of(s.port, "bare", vector[0]);
    vector_of(s.port, "adapted", vector[1]);
    assert_string_not_equal(vector[0], vector[1]);
    static const struct asked row[] = {
        { "/lora-adapters?model=adapted", "", 200, "[{'id':0,'path':'a.gguf','scale':1.0}]" },
        { "/lora-adapters?model=adapted", "[{'id':1,'scale':1}]", 400, "there is no adapter 1" },
        { "/lora-adapters?model=adapted", "[{'id':0,'scale':0.0}]", 200, "{'success':true}" },
        { "/lora-adapters?model=adapted", "", 200, "[{'id':0,'path':'a.gguf','scale':0.0}]" },
        { "/lora-adapters?model=bare", "", 200, "[]" },
        { "/completion", "{'model':'adapted','prompt':'a','lora':[{'id':7,'scale':1}]}", 400, "there is no adapter 7" },
        { "/completion", "{'model':'adapted','prompt':'a','lora':[{'id':0}]}", 400, "lora: entry 1" },
    };
    ask_all(s.port, row, sizeof row / sizeof *row);
    complete(s.port, "adapted", "", again);
    assert_string_equal(without, again);
    vector_of(s.port, "adapted", vector[2]);                  /* scales are for vectors, too */
    assert_string_equal(vector[0], vector[2]);
    complete(s.port, "adapted", ",\"lora\":[{\"id\":0,\"scale\":1}]", again);
    assert_string_equal(with, again);
    /* Made anew with other adapters, it has them as it was made. */
    create("adapted", "FROM ./m/file.gguf\nADAPTER ./loras/b.gguf\n");
    static const struct asked anew[] = {
        { "/models?reload=1", "", 200, "adapted" },
        { "/lora-adapters?model=adapted", "", 200, "[{'id':0,'path':'b.gguf','scale':1.0}]" },
    };
    ask_all(s.port, anew, 2);
    complete(s.port, "adapted", "", again);
    assert_string_not_equal(without, again);
    assert_int_equal(stop(&s, SIGTERM), 0);
    memcpy(dir, outer, sizeof dir);
}

/* The model inside the program is one to make others from, as are those of the store. */
static void one_is_made_of_the_model_inside(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct serving s = SERVE("--threads", "1");
    static const struct asked row[] = {
        { "/api/create", "{'model':'mine/made','from':'spark','system':'Be brief.','stream':false}", 200, "'success'" },
        { "/api/show", "{'model':'mine/made'}", 200, "'system':'Be brief.'" },
        { "/api/generate", "{'model':'mine/made','prompt':'a','stream':false,'options':{'num_predict':2}}", 200, "'done':true" },
        { "/api/create", "{'model':'mine/again','from':'mine/made','stream':false}", 200, "success" },
        { "/api/create", "{'model':'mine/none','from':'sparkle','stream':false}", 404, "not found" },
        { "/api/tags", "", 200, "'name':'mine/made:latest'" },
    };
    ask_all(s.port, row, sizeof row / sizeof *row);
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
        cmocka_unit_test(keys_do_not_see_each_other),
        cmocka_unit_test(texts_outlive_the_server), cmocka_unit_test(wrong_settings_are_explained),
        cmocka_unit_test(templates_of_modelfiles), cmocka_unit_test(modelfiles_are_defaults),
        cmocka_unit_test(adapters_are_used), cmocka_unit_test(one_is_made_of_the_model_inside),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
