/* link_storm_test.c - many jobs at once, cancelled at random, while the process is killed now and then: what is told is what
 * would be told alone, and nothing is left behind; and models that take each other's place.  Arguments: seconds to storm (2), how
 * often models are to change (12). */
#include "tests/link_fixture.h"

#include <dirent.h>
#include <sys/stat.h>

#include "tests/tiny_model.h"

enum { STREAMS = 64, KINDS = 12 };

static uint64_t storm_s = 2;
static uint32_t swaps = 12;
static struct link *l;
static char model[500];

static int open_one(void **unused)
{
    (void)unused;
    static char dir[400];
    snprintf(dir, sizeof dir, "%s/hearth-storm-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir)) return -1;
    snprintf(model, sizeof model, "%s/m.gguf", dir);
    static const char *const folders[] = { dir };              /* borrowed by the link */
    if (tiny_model(model, (struct tiny){ .arch = "llama", .type = DT_Q8_0, .seed = 7 })) return -1;
    if (getenv("PROGRAM") && !(getenv("EMULATOR") && *getenv("EMULATOR")))
        l = open_link((struct link_options){ .threads = 1, .folders = folders, .n_folders = 1, .keep_alive_s = -1 });
    return 0;
}

static int close_one(void **unused)
{
    (void)unused;
    link_close(l);
    return 0;
}

static void job_of_kind(unsigned kind, char *out, size_t n)
{
    snprintf(out, n, "{\"op\":\"generate\",\"model\":\"%s\",\"prompt\":\"Tale %u of the %.*s\",\"n\":%u,\"want_ids\":true,%s"
             "\"options\":{\"seed\":%u,\"temperature\":1,\"ignore_eos\":true,\"max_tokens\":%u}}", kind % 3 ? model : "embedded",
             kind, (int)(kind * 7 % 40), "0123456789012345678901234567890123456789", kind % 5 == 4 ? 2 : 1,
             kind % 4 == 1 ? "\"logprobs\":1," : "", kind, 10 + kind * 5 % 40);
}

static size_t open_files(int64_t pid)
{
    char path[64];
    size_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

/* Jobs that have a model, and holds on models. */
static int64_t in_use(void)
{
    struct kept k = { .n_text = 0 };
    int64_t n = 0;
    run_job(l, &k, "{\"op\":\"status\"}");
    const struct json *models = json_get(k.done, "models");
    for (size_t i = 0; i < json_len(models); i++)
        n += json_int(json_get(json_at(models, i), "running")) + json_int(json_get(json_at(models, i), "holds"));
    kept_release(&k);
    return n;
}

/* Whether what was told of a job that was cancelled is the beginning of what it would have said. */
static void check(const struct kept *k, const struct kept *want)
{
    for (int i = 0; i < 2; i++) {
        size_t n = k->text[i].len;
        /* A character that was cut off by the cancel ended as U+FFFD. */
        while (k->cancel_after && n >= 3 && !memcmp(k->text[i].data + n - 3, "\xef\xbf\xbd", 3)) n -= 3;
        if (n > want->text[i].len || (n && memcmp(k->text[i].data, want->text[i].data, n) != 0))
            fail_msg("\"%s\" is no beginning of \"%s\" (%s)", text_of(k, i), text_of(want, i), k->message);
        if (!k->cancel_after && !k->message[0]) assert_int_equal(n, want->text[i].len);
    }
}

static void a_storm(void **unused)
{
    (void)unused;
    NEED_LINK();
    static struct kept want[KINDS], k[STREAMS];
    unsigned kind[STREAMS], killed = 0, whole = 0, total = 0;
    uint64_t random = 12345, end, next_kill;
    struct err e;
    char job[1024];
    struct link_state s;
    for (unsigned i = 0; i < KINDS; i++) {
        job_of_kind(i, job, sizeof job);
        run_job(l, &want[i], job);
        assert_string_equal(want[i].message, "");
    }
    link_state(l, &s);
    size_t files = open_files(s.pid);
    end = os_now_ns() + storm_s * UINT64_C(1000000000);
    next_kill = os_now_ns() + UINT64_C(700000000);
    for (unsigned i = 0; i < STREAMS; i++) atomic_store(&k[i].over, 2);
    for (bool going = true; going;) {
        going = false;
        for (unsigned i = 0; i < STREAMS; i++) {
            unsigned over = atomic_load(&k[i].over);
            if (over == 1) {
                check(&k[i], &want[kind[i]]);
                whole += !k[i].cancel_after && !k[i].message[0];
                kept_release(&k[i]);
                total++;
            }
            if (over && os_now_ns() < end) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                kind[i] = (unsigned)(random >> 40) % KINDS;
                const bool at_once = (random >> 20) % 16 == 0;
                k[i] = (struct kept){ .cancel_after = at_once ? 1000 : (random >> 50) % 3 ? 0
                                                                     : 1 + (unsigned)(random >> 33) % 20 };
                job_of_kind(kind[i], job, sizeof job);
                if (submit_job(l, &k[i], job, &e) < 0) fail_msg("%s", e.msg);
                if (at_once) link_cancel(l, k[i].id);
            } else if (over) atomic_store(&k[i].over, 2);
            going = going || atomic_load(&k[i].over) != 2;
        }
        if (os_now_ns() > next_kill && killed < 2) {
            link_state(l, &s);
            if (s.ready) kill((pid_t)s.pid, SIGKILL);
            killed++;
            next_kill += UINT64_C(600000000);
        }
        fs_sleep_ms(1);
    }
    print_message("# %u jobs, %u of them whole, %u kills\n", total, whole, killed);
    assert_true(whole > 5 && total >= STREAMS);
    for (int i = 0; i < 1000 && in_use(); i++) fs_sleep_ms(5);  /* the last are cleared up behind their last event */
    assert_int_equal(in_use(), 0);
    link_state(l, &s);
    assert_int_equal(s.n_jobs, 0);
    assert_true(open_files(s.pid) <= files + 2);
    for (unsigned i = 0; i < KINDS; i++) kept_release(&want[i]);
}

/* The last event of a cancelled job comes within a step, and what it took is free again. */
static void cancelling_is_quick(void **unused)
{
    (void)unused;
    NEED_LINK();
    uint64_t worst = 0;
    for (uint32_t i = 0; i < 10; i++) {
        struct kept k = { .n_text = 0 };
        struct err e;
        assert_int_equal(submit_job(l, &k, "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":\"a\",\"no_cache\":true,"
                                    "\"options\":{\"ignore_eos\":true,\"max_tokens\":900}}", &e), 0);
        while (atomic_load(&k.texts) < 1 + i) fs_sleep_ms(1);
        uint64_t start = os_now_ns();
        link_cancel(l, k.id);
        wait_job(&k);
        if (k.ended_ns - start > worst) worst = k.ended_ns - start;
        assert_string_equal(k.reason[0], "cancelled");
        kept_release(&k);
    }
    print_message("# the slowest of 10 cancels took %.1f ms\n", (double)worst / 1e6);
    assert_true(worst < UINT64_C(2000000000));
}

/* A model for which there is no memory is refused with the numbers; others are served. */
static void too_little_memory(void **unused)
{
    (void)unused;
    NEED_LINK();
    char job[1024], big[600];
    struct kept k = { .n_text = 0 };
    snprintf(big, sizeof big, "%s.big", model);
    static const struct tiny made = { .arch = "llama", .type = DT_F32, .L = 12, .D = 512, .F = 1024, .blank = true };
    assert_int_equal(tiny_model(big, made), 0);
    char *slash = strrchr(big, '/');
    char dir[600];
    snprintf(dir, sizeof dir, "%.*s", (int)(slash - big), big);
    const char *folders[] = { dir };
    struct link *small = open_link((struct link_options){ .threads = 1, .folders = folders, .n_folders = 1,
                                                          .memory_limit = 40 << 20 });
    snprintf(job, sizeof job, "{\"op\":\"load\",\"model\":\"%s\"}", big);
    run_job(small, &k, job);
    assert_string_equal(k.kind, "memory");
    assert_non_null(strstr(k.message, "MB"));
    kept_release(&k);
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",\"prompt\":\"x\",\"options\":{\"max_tokens\":3}}", model);
    run_job(small, &k, job);
    assert_string_equal(k.message, "");
    kept_release(&k);
    link_close(small);
}

/* ---- models that take turns ---- */

enum { CLIENTS = 20 };
struct loads { _Atomic uint32_t n, now, most; };       /* models that became ready; those that are; most at once */

static void count_loads(void *arg, const struct json *event)
{
    struct loads *c = arg;
    const char *state = json_str(json_get(event, "state"), NULL);
    if (state && !strcmp(state, "gone")) atomic_fetch_sub(&c->now, 1);
    if (!state || strcmp(state, "ready") != 0) return;
    atomic_fetch_add(&c->n, 1);
    if (atomic_fetch_add(&c->now, 1) + 1 > atomic_load(&c->most)) atomic_store(&c->most, atomic_load(&c->now));
}

static void turn_of(const char *path, char *job, size_t n)
{
    snprintf(job, n, "{\"op\":\"generate\",\"model\":\"%s\",\"prompt\":\"turns\",\"no_cache\":true,"
             "\"options\":{\"seed\":3,\"temperature\":1,\"ignore_eos\":true,\"max_tokens\":4}}", path);
}

static uint64_t memory_used(struct link *at)
{
    struct kept k = { .n_text = 0 };
    run_job(at, &k, "{\"op\":\"status\"}");
    uint64_t used = (uint64_t)json_int(json_get(json_get(k.done, "memory"), "used"));
    kept_release(&k);
    return used;
}

static long rss_kb(int64_t pid)
{
    char path[64];
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Two models, memory for one, and clients that ask for both in turns: everybody gets the right text within half a minute, never
 * are both there, and memory is what it was. */
static void models_take_turns(void **unused)
{
    (void)unused;
    NEED_LINK();
    static struct kept want[2], k[CLIENTS];
    uint64_t begun[CLIENTS], worst = 0, used, start;
    uint32_t turn[CLIENTS], answers = 0;
    char path[2][600], job[1024], dir[500];
    struct loads loads = { 0 };
    struct link_state s;
    struct err e;
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(model, '/') - model), model);
    const char *folders[] = { dir };
    struct link_options o = { .threads = 1, .folders = folders, .n_folders = 1, .keep_alive_s = -1 };
    struct link *at = open_link(o);
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/turn%d.gguf", dir, i);
        assert_int_equal(tiny_model(path[i], (struct tiny){ .arch = "llama", .type = DT_F32, .L = 2, .D = 256, .F = 1024,
                                                            .seed = 8 + (uint64_t)i }), 0);
        turn_of(path[i], job, sizeof job);
        run_job(at, &want[i], job);
        assert_string_equal(want[i].message, "");
    }
    used = memory_used(at);
    link_close(at);
    o.memory_limit = used / 4 * 3;
    at = open_link(o);
    link_watch(at, count_loads, &loads);
    for (uint32_t i = 0; i < CLIENTS; i++) turn[i] = i, atomic_store(&k[i].over, 2);
    long most[4] = { 0 };                              /* in each quarter: it comes and goes with the models */
    start = os_now_ns();
    for (bool going = true; going; fs_sleep_ms(1)) {
        going = false;
        for (uint32_t i = 0; i < CLIENTS; i++) {
            unsigned over = atomic_load(&k[i].over);
            if (over == 1) {
                assert_string_equal(k[i].message, "");
                assert_string_equal(text_of(&k[i], 0), text_of(&want[turn[i] % 2], 0));
                if (k[i].ended_ns - begun[i] > worst) worst = k[i].ended_ns - begun[i];
                kept_release(&k[i]);
                turn[i]++;
                answers++;
            }
            if (over && atomic_load(&loads.n) < swaps) {
                k[i] = (struct kept){ .n_text = 0 };
                begun[i] = os_now_ns();
                turn_of(path[turn[i] % 2], job, sizeof job);
                if (submit_job(at, &k[i], job, &e) < 0) fail_msg("%s", e.msg);
            } else if (over) atomic_store(&k[i].over, 2);
            going = going || atomic_load(&k[i].over) != 2;
        }
        link_state(at, &s);
        const uint32_t quarter = atomic_load(&loads.n) * 4 / swaps;
        const long now = rss_kb(s.pid);
        if (quarter < 4 && now > most[quarter]) most[quarter] = now;
    }
    print_message("# %u swaps, %u answers in %.1f s; the longest took %.2f s; memory %ld KB, then %ld KB\n",
                  atomic_load(&loads.n), answers, (double)(os_now_ns() - start) * 1e-9, (double)worst * 1e-9, most[1], most[3]);
    assert_true(worst < UINT64_C(30000000000));
    assert_int_equal(atomic_load(&loads.most), 1);
    if (swaps >= 1000) assert_true(most[3] < most[1] + most[1] / 100);
    link_watch(at, NULL, NULL);
    link_close(at);
    for (int i = 0; i < 2; i++) kept_release(&want[i]);
}

int main(int argc, char **argv)
{
    if (argc > 1) storm_s = strtoull(argv[1], NULL, 10);
    if (argc > 2) swaps = (uint32_t)strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_storm),
        cmocka_unit_test(cancelling_is_quick),
        cmocka_unit_test(too_little_memory),
        cmocka_unit_test(models_take_turns),
    };
    return cmocka_run_group_tests(tests, open_one, close_one);
}
