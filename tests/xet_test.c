/* xet_test.c - files of the Hub by their chunks, from a store of chunks that is honest or not. */
#include "tests/xet_server.h"
#include "tests/registry_home.h"

#include "store/xet.h"

#define AT "0123456789012345678901234567890123456789"
#define KEY "/api/models/u/x/xet-read-token/" AT
static const char chunks[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

static struct server server;
static char hub[64], tree[512], hex[SHA256_HEX + 1];

static int setup(void **state)
{
    (void)state;
    static const char commit[] = "{\"sha\":\"" AT "\"}";
    if (registry_home(&server, hub) < 0) return -1;
    xet_make();
    sha256_bytes(xet_file.bytes, xet_file.n, hex, NULL);
    setenv("HF_ENDPOINT", hub, 1);
    snprintf(tree, sizeof tree, "[{\"type\":\"file\",\"path\":\"x-Q8_0.gguf\",\"size\":%zu,\"oid\":\"" AT "\","
             "\"lfs\":{\"oid\":\"%s\",\"size\":%zu},\"xetHash\":\"%s\"}]", xet_file.n, hex, xet_file.n, chunks);
    server_add(&server, "/api/models/u/x", commit, strlen(commit));
    server_add(&server, "/api/models/u/x/tree/" AT "?recursive=true", tree, strlen(tree));
    xet_add(&server, KEY);
    server_start(&server);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return registry_home_remove(&server);
}

static void wipe(int lie)
{
    registry_wipe(&server);
    atomic_store(&server.state->lie, lie);
}

static const char *blob(const char *end)
{
    char name[128];
    snprintf(name, sizeof name, "own/blobs/sha256-%s%s", hex, end);
    return in_dir(name);
}

static void pull(int code, const char *word)
{
    struct result r = PROGRAM(NULL, "pull", "hf.co/u/x", "--chunks");
    program_expect(&r, code);
    if (word) program_contains(r.err, word);
    program_free(&r);
    char found[SHA256_HEX + 1];
    assert_int_equal(os_file_exists(blob("")), code == 0);
    if (code == 0) assert_int_equal(sha256_file(blob(""), found, NULL, NULL, NULL), 0);
    if (code == 0) assert_string_equal(found, hex);
    assert_false(atomic_load(&server.state->leaked));
}

static void whole_files(void **state)
{
    (void)state;
    NEED_PROGRAM();
    static const int how[] = { XET_HONEST, XET_V1, XET_OLD_KEY, XET_EXPIRED };
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        wipe(how[i]);
        pull(0, NULL);
    }
    /* Without being asked to, and below 50 GB, it is fetched whole, which this server does not have. */
    wipe(XET_HONEST);
    struct result r = PROGRAM(NULL, "pull", "hf.co/u/x");
    program_expect(&r, 1);
    program_contains(r.err, "HTTP status 404");
    program_free(&r);
    wipe(XET_WRONG_BYTE);
    pull(1, "SHA-256");
}

static void resumed(void **state)
{
    (void)state;
    NEED_PROGRAM();
    wipe(XET_HONEST);
    pull(0, NULL);
    uint64_t once = atomic_load(&server.state->bytes);
    wipe(XET_HONEST);
    atomic_store(&server.state->bytes_per_s, 512 << 10);
    unsigned kills = 0;
    for (; kills < 30 && !os_file_exists(blob("")); kills++) {
        pid_t pid = fork();
        if (pid == 0) {
            int null = open("/dev/null", O_RDWR);
            for (int i = 0; i < 3; i++) dup2(null, i);
            program_exec((const char *const[]){ "pull", "hf.co/u/x", "--chunks", NULL });
        }
        usleep(200000);
        kill(pid, SIGKILL);
        program_wait(pid);
        if (kills == 2) atomic_store(&server.state->bytes_per_s, 0);
    }
    assert_true(kills >= 2);
    pull(0, NULL);
    assert_true(atomic_load(&server.state->bytes) < 2 * once + kills * (uint64_t)(8 << 20));
}

/* ---- one range ---- */

struct got { uint64_t from; size_t n; uint8_t *p, *seen; };

static bool on_bytes(void *arg, uint64_t at, const void *p, size_t n)
{
    struct got *g = arg;
    if (at < g->from || at - g->from > g->n || n > g->n - (at - g->from)) return false;
    memcpy(g->p + (at - g->from), p, n);
    for (size_t i = 0; i < n; i++) g->seen[at - g->from + i]++;
    return true;
}

static int bring(uint64_t from, uint64_t to, struct err *e)
{
    char url[256];
    snprintf(url, sizeof url, "%s" KEY, hub);
    struct xet x = { .hub = url, .hash = chunks };
    struct got g = { from, (size_t)(to - from), calloc(to - from, 1), calloc(to - from, 1) };
    struct xorb_room *room = malloc(sizeof *room);
    struct fetch *f;
    assert_int_equal(fetch_open(&f, e), 0);
    int rc = xet_bring(&x, f, &(struct xet_range){ .from = from, .to = to, .sink = on_bytes, .arg = &g, .room = room }, e);
    for (size_t i = 0; i < g.n; i++)
        if (g.seen[i] > 1 || (rc == 0 && !g.seen[i])) fail_msg("byte %zu came %u times", i, g.seen[i]);
    if (rc == 0) assert_memory_equal(g.p, xet_file.bytes + from, g.n);
    fetch_close(f);
    xet_release(&x);
    free(room);
    free(g.p);
    free(g.seen);
    return rc;
}

static void ranges(void **state)
{
    (void)state;
    struct err e;
    for (int lie = XET_HONEST; lie <= XET_V1; lie++) {
        wipe(lie);
        uint64_t at[] = { 0, 1, xet_file.term[1].at - 1, xet_file.term[1].at, xet_file.term[7].at + 12345, xet_file.n - 1,
                          xet_file.n };
        for (size_t i = 0; i < sizeof at / sizeof *at; i++)
            for (size_t k = i + 1; k < sizeof at / sizeof *at; k++)
                if (bring(at[i], at[k], &e) < 0) fail_msg("%s", e.msg);
    }
}

static void lies(void **state)
{
    (void)state;
    static const struct { int lie, code; const char *word; } row[] = {
        { XET_DAMAGED, ERR_FORMAT, "does not unpack" }, { XET_SHORT_LIST, ERR_FORMAT, "the list of chunks: has" },
        { XET_LONG_TERM, ERR_FORMAT, "shorter than it says" }, { XET_SHORT_TERM, ERR_FORMAT, "longer than it says" },
        { XET_OTHER_RANGE, ERR_FORMAT, "nobody asked for" }, { XET_HUGE_CHUNK, ERR_FORMAT, "are possible" },
        { XET_CHUNK_VERSION, ERR_UNSUPPORTED, "version 1" }, { XET_WHOLE, ERR_FORMAT, "HTTP status 200" },
        { XET_INWARD, ERR_ARG, "only https" }, { XET_NO_JSON, ERR_FORMAT, "the list of chunks" },
        { XET_NO_RANGE, ERR_FORMAT, "nowhere to be had" }, { XET_NO_BOUNDARY, ERR_FORMAT, "not separated" },
        { XET_LACKS_PART, ERR_FORMAT, "lacks some of the ranges" }, { XET_TWICE, ERR_FORMAT, "nobody asked for" },
        { XET_CUT, ERR_IO, "" }, { XET_BAD_KEY, ERR_FORMAT, "no good token" }, { XET_ELSEWHERE, ERR_ARG, "only https" },
        { XET_EXPIRED, ERR_IO, "HTTP status 403" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err e = { 0 };
        wipe(row[i].lie);
        int rc = bring(100, xet_file.n / 2, &e);
        if (rc != row[i].code || !strstr(e.msg, row[i].word)) fail_msg("lie %d: %d, %s", row[i].lie, rc, e.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(whole_files), cmocka_unit_test(resumed), cmocka_unit_test(ranges),
                                        cmocka_unit_test(lies) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
