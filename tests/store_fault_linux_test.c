/* store_fault_linux_test.c - the store when the disk fails: every call in turn, a full disk, a loss of power at any instant; and
 * pulls of one process at once. */
#include "tests/registry_home.h"

#include "store/pull.h"
#include "tests/faults.h"

static struct server server;
static char hex[SHA256_HEX + 1], text_hex[SHA256_HEX + 1], manifest[1024], base[64];
static const char license[] = "You may.";
static char *model;
static size_t n_model;
enum { N_MODEL = (1 << 20) + 70000 };      /* two pieces */

static int setup(void **state)
{
    (void)state;
    char path[256];
    if (registry_home(&server, base) < 0) return -1;
    n_model = N_MODEL;
    model = mem_new(n_model, 1);
    uint64_t seed = 3;
    for (size_t i = 0; i < n_model; i++) model[i] = (char)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 56);
    sha256_bytes(model, n_model, hex, NULL);
    sha256_bytes(license, strlen(license), text_hex, NULL);
    snprintf(manifest, sizeof manifest, "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
             "\"digest\":\"sha256:%s\",\"size\":%zu},{\"mediaType\":\"application/vnd.ollama.image.license\","
             "\"digest\":\"sha256:%s\",\"size\":%zu}]}", hex, n_model, text_hex, strlen(license));
    server_add(&server, "/v2/library/far/manifests/latest", manifest, strlen(manifest));
    snprintf(path, sizeof path, "/v2/library/far/blobs/sha256:%s", hex);
    server_add(&server, path, model, n_model);
    snprintf(path, sizeof path, "/v2/library/far/blobs/sha256:%s", text_hex);
    server_add(&server, path, license, strlen(license));
    server_start(&server);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mem_free(model);
    fault_watch("", 0, 0);
    return registry_home_remove(&server);
}

static void wipe(void)
{
    fault_watch("", 0, 0);
    registry_wipe(&server);
}

#define NEED_PROC() do { if (access("/proc/self/fd", R_OK) < 0) skip(); } while (0)

static int pull(struct err *e)
{
    struct store s;
    struct name n;
    const struct pull_options o = { .registry = base, .tries = 1, .workers = 1 };
    int rc = store_open(&s, e);
    if (rc == 0) rc = name_parse(&n, "far", e);
    if (rc == 0) rc = pull_model(&s, &n, &o, NULL, e);
    store_close(&s);
    return rc;
}

/* What every user of the store relies on: a model that is listed is whole.  Returns how many are. */
static size_t check_store(const char *root)
{
    struct store s;
    struct found_list l;
    struct err e = { 0 };
    const struct verify_options o = { .fn = NULL };
    size_t bad, whole = 0;
    assert_int_equal(store_open(&s, &e), 0);
    snprintf(s.root, sizeof s.root, "%s", root);
    assert_int_equal(store_find_ours(&s, &l, &e), 0);
    assert_int_equal(l.n_unread, 0);
    for (size_t i = 0; i < l.n; i++, whole++) {
        if (l.v[i].broken) fail_msg("%s is listed, but incomplete", l.v[i].name);
        if (store_verify(&s, &l.v[i], &o, &bad, &e) < 0) fail_msg("%s", e.msg);
        if (bad) fail_msg("%s is listed, but wrong", l.v[i].name);
    }
    found_release(&l);
    store_close(&s);
    return whole;
}

/* ---- every call in turn ---- */

static void each_call_fails_once(void **state)
{
    (void)state;
    NEED_PROC();
    static const int error[] = { EIO, ENOSPC, EINTR, 0 };
    for (size_t k = 0; k < sizeof error / sizeof *error; k++)
        for (long n = 1 + (long)k;; n += k ? 3 : 1) {            /* each with EIO, the others here and there */
            struct err e = { 0 };
            wipe();
            fault_watch(in_dir("own"), n, error[k]);
            int rc = pull(&e);
            bool fired = fault.fired;
            fault_watch("", 0, 0);
            if (n > 200) fail_msg("there is no end");
            if (rc == 0) assert_int_equal(check_store(in_dir("own")), 1);
            else if (check_store(in_dir("own")) && !strstr(e.msg, "cannot sync the folder"))
                fail_msg("failed (%s), but is there", e.msg);
            if (rc < 0) {
                assert_true(fired && strlen(e.msg) > 10);
                if (pull(&e) < 0) fail_msg("after call %ld: %s", n, e.msg);     /* and goes on when the disk is well again */
                assert_int_equal(check_store(in_dir("own")), 1);
            }
            if ((error[k] == EINTR || !error[k]) && rc < 0 && !strstr(e.msg, "sync") && !strstr(e.msg, "rename") &&
                !strstr(e.msg, "long"))
                fail_msg("call %ld was only short or interrupted: %s", n, e.msg);
            if (!fired) {
                assert_true(n > 10);
                break;
            }
        }
}

/* ---- a full disk ---- */

static void a_full_disk(void **state)
{
    (void)state;
    NEED_PROC();
    struct err e = { 0 };
    wipe();
    fault_watch(in_dir("own"), 0, ENOSPC);
    fault.claimed_free = 5 << 20;
    assert_true(pull(&e) < 0);
    if (!strstr(e.msg, "0.07 GB are needed and 0.01 GB are free")) fail_msg("%s", e.msg);
    /* Nothing was fetched for it; the server counts what it sent a moment after that was read. */
    for (int i = 0; i < 500 && !atomic_load(&server.state->bytes); i++) usleep(10000);
    assert_int_equal(atomic_load(&server.state->bytes), strlen(manifest));
    for (uint64_t room = 1000; room < N_MODEL + 100000; room += 150000) {
        wipe();
        fault_watch(in_dir("own"), 0, ENOSPC);
        fault.room = room;
        int rc = pull(&e);
        if (rc == 0) break;
        fault_watch("", 0, 0);
        assert_int_equal(check_store(in_dir("own")), 0);
        if (!strstr(e.msg, "No space left on device")) fail_msg("%s", e.msg);
        uint64_t before = atomic_load(&server.state->bytes);
        assert_int_equal(pull(&e), 0);                           /* with room again it goes on */
        assert_int_equal(check_store(in_dir("own")), 1);
        assert_true(atomic_load(&server.state->bytes) - before <= N_MODEL + strlen(manifest) + strlen(license));
    }
}

/* ---- a loss of power ---- */

struct disk_file { uint64_t ino, gen; char *now, *safe; size_t n_now, n_safe; };
struct disk_name { char path[160]; int file; };                  /* file: -1, none */

/* What may be on the disk after the first `upto` events. */
struct disk { struct disk_file file[64]; size_t n_file; struct disk_name name[128]; size_t n_name; uint64_t seed; };

static bool coin(struct disk *d)
{
    d->seed = d->seed * 6364136223846793005u + 1442695040888963407u;
    return d->seed >> 63;
}

static int disk_file(struct disk *d, const struct fault_event *e)
{
    for (size_t i = 0; i < d->n_file; i++)
        if (d->file[i].ino == e->ino && d->file[i].gen == e->gen) return (int)i;
    assert_true(d->n_file < 64);
    d->file[d->n_file] = (struct disk_file){ .ino = e->ino, .gen = e->gen, .now = calloc(1, N_MODEL + 4096),
                                             .safe = calloc(1, N_MODEL + 4096) };
    return (int)d->n_file++;
}

static void set_name(struct disk *d, const char *path, int file)
{
    size_t i = 0;
    while (i < d->n_name && strcmp(d->name[i].path, path)) i++;
    assert_true(i < 128);
    if (i == d->n_name) snprintf(d->name[d->n_name++].path, 160, "%s", path);
    d->name[i].file = file;
}

static bool in_folder(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return !strncmp(path, folder, n) && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* Whether what event i did to a folder was synced before the power went. */
static bool synced(size_t i, size_t upto, const char *path)
{
    for (size_t k = i + 1; k < upto; k++)
        if (fault.event[k].op == OP_SYNC_FOLDER && in_folder(path, fault.event[k].path)) return true;
    return false;
}

static void play(struct disk *d, size_t upto)
{
    for (size_t i = 0; i < upto; i++) {
        const struct fault_event *e = &fault.event[i];
        struct disk_file *f = e->op == OP_SYNC_FOLDER ? NULL : &d->file[disk_file(d, e)];
        switch (e->op) {
        case OP_WRITE:
            assert_true(e->at + e->n <= N_MODEL + 4096);
            memcpy(f->now + e->at, e->bytes, e->n);
            if (e->at + e->n > f->n_now) f->n_now = e->at + e->n;
            if (!*e->path) break;
            set_name(d, e->path, (int)(f - d->file));            /* a new name may be there: the worst case is when it is */
            break;
        case OP_TRUNCATE:
            if (e->at < f->n_now) memset(f->now + e->at, 0, f->n_now - e->at);
            f->n_now = e->at;
            break;
        case OP_SYNC:
            memcpy(f->safe, f->now, N_MODEL + 4096);
            f->n_safe = f->n_now;
            break;
        case OP_RENAME:
            if (!synced(i, upto, e->other) && coin(d)) break;    /* the rename was lost */
            set_name(d, e->other, (int)(f - d->file));
            set_name(d, e->path, -1);
            break;
        case OP_UNLINK:
            if (!synced(i, upto, e->path) && coin(d)) break;
            set_name(d, e->path, -1);
            break;
        case OP_SYNC_FOLDER: break;
        }
    }
}

static void write_out(struct disk *d, const char *root)
{
    enum { BLOCK = 4096 };
    for (size_t i = 0; i < d->n_name; i++) {
        char path[512], folder[512];
        if (d->name[i].file < 0) continue;
        struct disk_file *f = &d->file[d->name[i].file];
        size_t n = f->n_now > f->n_safe && coin(d) ? f->n_safe : f->n_now;      /* the new length may be lost, too */
        snprintf(path, sizeof path, "%s%s", root, d->name[i].path);
        snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
        assert_int_equal(fs_make_folders(folder, NULL), 0);
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        for (size_t at = 0; at < n; at += BLOCK) {
            size_t k = n - at < BLOCK ? n - at : BLOCK;
            const char *from = memcmp(f->now + at, f->safe + at, k) && coin(d) ? f->safe : f->now;
            assert_int_equal(fwrite(from + at, 1, k, out), k);
        }
        fclose(out);
    }
}

/* The power goes after each of the recorded calls from `first` on; how often the model was there then, of how many times. */
static size_t lose_power(size_t first, size_t *runs)
{
    static struct disk d;
    size_t there = 0;
    *runs = 0;
    for (size_t upto = first; upto <= fault.n; upto++)
        for (uint64_t seed = 0; seed < 8; seed++, ++*runs) {
            d = (struct disk){ .seed = 1000 * upto + seed };
            play(&d, upto);
            write_out(&d, in_dir("lost"));
            there += check_store(in_dir("lost"));
            for (size_t i = 0; i < d.n_file; i++) {
                free(d.file[i].now);
                free(d.file[i].safe);
            }
            for (size_t i = 0; i < d.n_name; i++) {
                char path[512];
                snprintf(path, sizeof path, "%s%s", in_dir("lost"), d.name[i].path);
                unlink(path);
            }
        }
    return there;
}

static bool folder_synced(const char *path)
{
    for (size_t i = 0; i < fault.n; i++)
        if (fault.event[i].op == OP_SYNC_FOLDER && !strcmp(fault.event[i].path, path)) return true;
    return false;
}

static int remove_model(struct err *e)
{
    struct store s;
    struct found_list l;
    struct removal r = { 0 };
    int rc = store_open(&s, e);
    if (rc == 0) rc = store_find_ours(&s, &l, e);
    assert_true(rc == 0 && l.n == 1);
    rc = store_remove(&s, &l, 0, &r, e);
    found_release(&l);
    store_close(&s);
    return rc;
}

static void power_is_lost(void **state)
{
    (void)state;
    NEED_PROC();
    struct err e = { 0 };
    size_t runs;
    wipe();
    fault_watch(in_dir("own"), 0, 0);
    fault_record(true);
    assert_int_equal(pull(&e), 0);
    size_t first = fault.n;
    assert_true(first > 10);
    size_t there = lose_power(0, &runs);
    assert_true(runs >= 150 && there >= 8 && there < runs / 2);
    /* A folder that is new is in the one above it for good. */
    assert_true(folder_synced("") && folder_synced("/manifests") && folder_synced("/manifests/registry.ollama.ai"));
    assert_true(folder_synced("/manifests/registry.ollama.ai/library"));
    if (remove_model(&e) < 0) fail_msg("%s", e.msg);
    fault_record(false);
    fault_watch("", 0, 0);
    there = lose_power(first, &runs);
    assert_true(there && there < runs);
}

/* ---- allocations ---- */

static int make(struct err *e)
{
    struct store s;
    struct create c = { 0 };
    struct name n;
    struct found_list l = { 0 };
    struct parts p = { 0 };
    size_t at, bad;
    char path[STORE_PATH];
    struct removal r = { 0 };
    const struct gc_options gc = { .downloads = true };
    const struct verify_options verify = { .fn = NULL };
    int rc = store_open(&s, e);
    if (rc == 0) rc = name_parse(&n, "made", e);
    if (rc == 0) rc = create_begin(&c, &s, e);
    if (rc == 0) rc = create_path(&c, LAYER_MODEL, in_dir("x.gguf"), e);
    if (rc == 0) rc = create_text(&c, LAYER_SYSTEM, "Be brief.", e);
    if (rc == 0) rc = create_end(&c, &n, e);
    create_release(&c);
    if (rc == 0) rc = store_lookup(&s, "made", &l, &at, path, e);
    if (rc == 0) rc = store_parts(&l.v[at], &p, e);
    if (rc == 0) rc = store_verify(&s, &l.v[at], &verify, &bad, e);
    if (rc == 0) rc = store_gc(&s, &gc, e);
    if (rc == 0) rc = store_remove(&s, &l, at, &r, e);
    parts_release(&p);
    found_release(&l);
    store_close(&s);
    return rc;
}

static void each_allocation_fails(void **state)
{
    (void)state;
    store_text("x.gguf", "GGUF, or nearly");
    for (int64_t n = 0;; n += n < 50 ? 1 : 7) {
        struct err e = { 0 };
        wipe();
        mem_fail_after(n);
        int rc = make(&e);
        mem_fail_after(-1);
        check_store(in_dir("own"));
        if (rc == 0) {
            assert_true(n > 20);
            break;
        }
        assert_true(n < 2000 && e.msg[0]);
    }
}

/* ---- at once ---- */

static void *puller(void *arg)
{
    return (void *)(intptr_t)pull(arg);
}

static void pulls_of_one_process(void **state)
{
    (void)state;
    enum { N = 6 };
    pthread_t t[N];
    struct err e[N];
    wipe();
    atomic_store(&server.state->bytes_per_s, 10 << 20);
    for (int i = 0; i < N; i++) assert_int_equal(pthread_create(&t[i], NULL, puller, &e[i]), 0);
    for (int i = 0; i < N; i++) {
        void *rc;
        pthread_join(t[i], &rc);
        if (rc) fail_msg("%s", e[i].msg);
    }
    assert_int_equal(check_store(in_dir("own")), 1);
    assert_true(atomic_load(&server.state->bytes) <= N_MODEL + (N + 1) * 1024);      /* one download */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_fails_once), cmocka_unit_test(a_full_disk), cmocka_unit_test(power_is_lost),
        cmocka_unit_test(each_allocation_fails), cmocka_unit_test(pulls_of_one_process),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
