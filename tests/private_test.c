/* private_test.c - models of a registry that only their owner may have: the key that Ollama made is used, and only then. */
#include "base/buf.h"
#include "base/ed25519.h"
#include "tests/registry_home.h"
#include "tests/ssh_key.h"

static struct server server;
static char *model, registry[64], manifest[512], hex[SHA256_HEX + 1];
static size_t n_model;

/* 3: it is his; 2: he is somebody else; 1: anybody; 0: nobody. */
static int who(const char *request)
{
    const char *auth = server_field(request, "Authorization: ");
    return !auth ? 0 : !strncmp(auth, "Bearer yours\r", 13) ? 3 : !strncmp(auth, "Bearer good\r", 12) ? 1 : 2;
}

static void secret(struct server *s, int fd, const char *request)
{
    char fields[256], header[128];
    int is = who(request);
    if (is == 0) {
        snprintf(fields, sizeof fields, "WWW-Authenticate: Bearer realm=\"%s/token\",service=\"ollama.com\","
                 "scope=\"repository:me/secret:pull\"\r\n", registry);
        server_simple(fd, 401, fields, "{}");
    } else if (is != 3) {
        server_simple(fd, 404, "", "{}");
    } else if (strstr(request, "/manifests/")) {
        server_simple(fd, 200, "", manifest);
    } else {
        snprintf(header, sizeof header, "HTTP/1.1 200 x\r\nContent-Length: %zu\r\n\r\n", n_model);
        server_send(fd, header, strlen(header));
        server_send(fd, model, n_model);
    }
    (void)s;
}

/* What the key makes of this very request. */
static void token(struct server *s, int fd, const char *request)
{
    struct ed25519 k;
    struct buf text = { 0 }, want = { 0 };
    const char *auth = server_field(request, "Authorization: "), *path = strchr(request, ' ') + 1;
    bool right = false;
    if (auth) {
        atomic_fetch_add(&s->state->count, 1);
        ed25519_read(&k, ssh_key, strlen(ssh_key), NULL);
        buf_printf(&text, "GET,%s%.*s,ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ==",
                   registry, (int)strcspn(path, " "), path);
        ed25519_sign(&k, text.data, text.len, &want, NULL);
        right = !strncmp(auth, want.data, want.len) && auth[want.len] == '\r' && strstr(path, "&ts=1") && strstr(path, "&nonce=");
    }
    server_simple(fd, auth && !right ? 401 : 200, "", !auth ? "{\"token\":\"good\"}" : right ? "{\"token\":\"yours\"}" : "{}");
    buf_release(&text);
    buf_release(&want);
}

static void add(const char *path, void (*answer)(struct server *, int, const char *))
{
    server_add(&server, path, NULL, 0)->answer = answer;
}

static int start(void **state)
{
    (void)state;
    if (registry_home(&server, registry) < 0) return -1;
    model = store_model(&n_model, 5);
    sha256_bytes(model, n_model, hex, NULL);
    setenv("HEARTH_REGISTRY", registry, 1);
    snprintf(manifest, sizeof manifest, "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
             "\"digest\":\"sha256:%s\",\"size\":%zu}]}", hex, n_model);
    add("/v2/me/secret/", secret);
    add("/v2/library/secret/", secret);
    add("/token", token);
    server_start(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mem_free(model);
    return registry_home_remove(&server);
}

static void expect(const char *name, int code, const char *word, int asked)
{
    atomic_store(&server.state->count, 0);
    struct result r = PROGRAM(NULL, "pull", name);
    program_expect(&r, code);
    if (word) program_contains(r.err, word);
    program_free(&r);
    assert_int_equal(atomic_load(&server.state->count), asked);
}

static void the_owner_gets_it(void **state)
{
    (void)state;
    NEED_PROGRAM();
    expect("me/secret", 1, "does not know it", 0);
    store_text("home/.ollama/id_ed25519", ssh_key_locked);
    expect("me/secret", 1, "id_ed25519: has a passphrase", 0);
    store_text("home/.ollama/id_ed25519", "nonsense");
    expect("me/secret", 1, "id_ed25519: is no private key", 0);
    store_text("home/.ollama/id_ed25519", ssh_key);
    expect("secret", 1, "does not know it", 0);                 /* what anybody may have is not asked for by name */
    expect("me/secret", 0, NULL, 1);
    struct result r = PROGRAM(NULL, "verify", "me/secret");
    program_expect(&r, 0);
    program_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_owner_gets_it) };
    return cmocka_run_group_tests(tests, start, stop);
}
