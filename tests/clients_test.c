/* clients_test.c - the clients that others publish, and plain requests, against hearth serve with the model inside it and a
 * registry of our own.  Needs node, and the packages of tests/clients (npm ci, which ./test does where npm is). */
#include "tests/registry_server.h"
#include "tests/store_files.h"

#include <time.h>

static struct server registry;
static char manifest[1024], url[64], *model;
static size_t n_model;
static pid_t serving;
static FILE *errors;

static void add_model(void)
{
    char path[256], hex[SHA256_HEX + 1];
    model = store_model(&n_model, 5);
    sha256_bytes(model, n_model, hex, NULL);
    snprintf(manifest, sizeof manifest, "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
             "\"digest\":\"sha256:%s\",\"size\":%zu}]}", hex, n_model);
    server_add(&registry, "/v2/library/tiny/manifests/latest", manifest, strlen(manifest));
    snprintf(path, sizeof path, "/v2/library/tiny/blobs/sha256:%s", hex);
    server_add(&registry, path, model, n_model);
}

static int start_server(void)
{
    char text[4096] = "";
    errors = tmpfile();
    fflush(NULL);
    serving = fork();
    if (serving == 0) {
        dup2(fileno(errors), 2);
        program_exec((const char *const[]){ "serve", "--port", "0", "--log", in_dir("log"), NULL });
    }
    for (int i = 0; i < 2000 && !strstr(text, "the engine:"); i++) {
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
        ssize_t k = pread(fileno(errors), text, sizeof text - 1, 0);
        text[k > 0 ? k : 0] = 0;
    }
    const char *at = strstr(text, "http://127.0.0.1:");
    if (!at) fprintf(stderr, "no address in: %s\n", text);
    return at && sscanf(at, "%60[^ \n]", url) == 1 ? 0 : -1;
}

static int setup(void **unused)
{
    (void)unused;
    char here[64];
    if (store_home() != 0 || server_listen(&registry) < 0) return -1;
    add_model();
    snprintf(here, sizeof here, "http://127.0.0.1:%d", registry.port);
    setenv("HEARTH_REGISTRY", here, 1);
    server_start(&registry);
    return getenv("PROGRAM") ? start_server() : 0;
}

static int teardown(void **unused)
{
    (void)unused;
    if (serving > 0) {
        kill(serving, SIGTERM);
        waitpid(serving, NULL, 0);
        fclose(errors);
    }
    server_stop(&registry);
    mem_free(model);
    return store_home_remove();
}

/* Runs the suite; its complaints are ours. */
static void suite(const char *name, const char *package)
{
    char command[512], *text = calloc(1, 1 << 20);
    NEED_PROGRAM();
    snprintf(command, sizeof command, "tests/clients/node_modules/%s", package);
    bool there = system("node --version > /dev/null 2>&1") == 0 && (!*package || os_is_folder(command));
    if (!there) {
        free(text);
        print_message("no node, or no packages: npm ci in tests/clients brings them\n");
        skip();
    }
    snprintf(command, sizeof command, "node tests/clients/%s.mjs %s 2>&1", name, url);
    FILE *p = popen(command, "r");
    size_t n = fread(text, 1, (1 << 20) - 1, p);
    text[n] = 0;
    int rc = pclose(p);
    if (rc != 0 || strstr(text, "not ok") || !strstr(text, "ok ")) fail_msg("%s", text);
    free(text);
}

static void openai(void **unused) { (void)unused; suite("openai", "openai"); }
static void ollama(void **unused) { (void)unused; suite("ollama", "ollama"); }
static void anthropic(void **unused) { (void)unused; suite("anthropic", "@anthropic-ai"); }
static void rest(void **unused) { (void)unused; suite("rest", ""); }

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(openai),
    cmocka_unit_test(ollama),
    cmocka_unit_test(anthropic),
    cmocka_unit_test(rest),
};
int main(void) { return cmocka_run_group_tests(tests, setup, teardown); }
