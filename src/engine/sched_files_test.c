/* sched_files_test.c - an engine with a folder for past texts: what another process left is gone on from, with the same bits;
 * other users', other models' and damaged files are not. */
#include <dirent.h>
#include <unistd.h>

#include "tests/engine_fixture.h"

enum { CTX = 600, PROMPT = 300, ANSWER = 8 };

static char folder[64];
static int32_t text[CTX];

struct answer { uint64_t hash; uint32_t n, kept; int32_t id[ANSWER]; };

static bool see(void *arg, const struct hearth_event *ev)
{
    struct answer *a = arg;
    a->kept = ev->n_kept;
    if (ev->id < 0) return true;
    a->hash = hash_add(a->n ? a->hash : HASH_START, hearth_session_logits(ev->session), TINY_VOCAB * 4);
    a->id[a->n++] = ev->id;
    return true;
}

/* What a process does: opens the model and its engine, asks, and ends. */
static struct answer ask(size_t which, size_t n, uint64_t salt, bool no_cache, struct hearth_engine_stats *st)
{
    struct hearth_model *m = open_model(which, NULL, 1);
    struct hearth_engine *g;
    struct hearth_request *r;
    struct hearth_error e;
    struct answer a = { .n = 0 };
    struct hearth_engine_stats own;
    struct hearth_engine_options eo = { .n_ctx = CTX, .kv_files = folder, .kv_files_limit = 64 << 20 };
    struct hearth_request_options o = { .ids = text, .n = n, .max_tokens = ANSWER, .ignore_end = true, .event = see, .arg = &a,
                                        .cache_salt = salt, .no_cache = no_cache };
    if (hearth_engine_open(&g, m, &eo, &e) < 0) fail_msg("%s", e.message);
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
    assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_LENGTH);
    hearth_request_close(r);
    hearth_engine_stats(g, st ? st : &own);
    hearth_engine_close(g);
    struct hearth_memory mem;
    hearth_cache_clear(m);
    hearth_model_memory(m, &mem);
    assert_int_equal(mem.n_pages, 0);
    hearth_model_close(m);
    return a;
}

/* The files that are there; does with each what is asked. */
static int files(void (*fn)(const char *path))
{
    DIR *d = opendir(folder);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *x; (x = readdir(d)) != NULL;) {
        char path[400];
        if (x->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, x->d_name);
        if (fn) fn(path);
        n++;
    }
    closedir(d);
    return n;
}

static void remove_it(const char *path) { unlink(path); }

static void damage_it(const char *path)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, -2000, SEEK_END);
    int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 16, f);
    fclose(f);
}

static void another_process_goes_on(void **state)
{
    (void)state;
    static const size_t which[] = { 0, 3, 8 };
    for (size_t w = 0; w < 3; w++) {
        struct hearth_engine_stats st;
        for (int i = 0; i < CTX; i++) text[i] = (int32_t)((uint32_t)i * 2654435761u >> 11) % TINY_VOCAB;
        struct answer first = ask(which[w], PROMPT, 0, false, NULL);
        assert_int_equal(first.kept, 0);
        assert_int_equal(files(NULL), 1);
        /* The next turn: all of that, and more. */
        memcpy(text + PROMPT, first.id, sizeof first.id);
        struct answer cold = ask(which[w], PROMPT + 40, 0, true, NULL);
        assert_int_equal(cold.kept, 0);
        assert_int_equal(files(NULL), 1);                     /* no_cache leaves nothing */
        struct answer other = ask(which[w], PROMPT + 40, 7, false, &st);
        assert_int_equal(other.kept, 0);                      /* another user finds nothing */
        assert_int_equal(st.n_files_found, 0);
        assert_int_equal(files(NULL), 2);
        struct answer warm = ask(which[w], PROMPT + 40, 0, false, &st);
        assert_true(warm.kept >= 256 && (which[w] == 8 || warm.kept == PROMPT + ANSWER - 1));
        assert_int_equal(st.n_files_found, 1);
        assert_true(warm.hash == cold.hash && other.hash == cold.hash);
        /* What went on from it takes its place, where every prefix of a text can be gone on from. */
        assert_int_equal(files(NULL), w == 0 ? 2 : 3);
        if (w) {
            files(remove_it);
            continue;
        }
        /* In one process the cache has it: no file is looked for. */
        struct answer wrong = ask(1, PROMPT + 40, 0, false, &st);
        assert_int_equal(wrong.kept, 0);                      /* another model's */
        assert_int_equal(files(NULL), 3);
        files(damage_it);
        struct answer again = ask(which[w], PROMPT + 40, 0, false, &st);
        assert_int_equal(again.kept, 0);
        assert_int_equal(st.n_files_found, 0);
        assert_true(again.hash == cold.hash);
        files(remove_it);
        char path[100];
        snprintf(path, sizeof path, "%s/0123456789abcdef.hearth-kv", folder);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs("HEARTHKV of somebody else", f);
        fclose(f);
        again = ask(which[w], PROMPT + 40, 0, false, &st);
        assert_int_equal(again.kept, 0);
        assert_true(again.hash == cold.hash);
        files(remove_it);
    }
}

/* Of texts that go on from each other only the last is written; requests that are called off while they are looked for end. */
static void texts_that_end_are_kept_once(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(1, NULL, 1);
    struct hearth_engine *g;
    struct hearth_error e;
    struct hearth_engine_options eo = { .n_ctx = CTX, .kv_files = folder };
    struct hearth_request *r[12];
    assert_int_equal(hearth_engine_open(&g, m, &eo, &e), 0);
    for (int i = 0; i < CTX; i++) text[i] = i * i % TINY_VOCAB;
    for (int k = 0; k < 4; k++) {
        struct answer a = { .n = 0 };
        struct hearth_request_options o = { .ids = text, .n = (size_t)(PROMPT + 20 * k), .max_tokens = 1, .event = see,
                                            .arg = &a, .ignore_end = true };
        assert_int_equal(hearth_request_submit(&r[0], g, &o, &e), 0);
        assert_int_equal(hearth_request_wait(r[0]), HEARTH_FINISH_LENGTH);
        if (k) assert_int_equal(a.kept, PROMPT + 20 * (k - 1));
        hearth_request_close(r[0]);
    }
    for (int k = 0; k < 12; k++) {
        struct hearth_request_options o = { .ids = text, .n = PROMPT, .cache_salt = (uint64_t)k + 1, .deadline_ms = k % 3 == 0 };
        assert_int_equal(hearth_request_submit(&r[k], g, &o, &e), 0);
        if (k % 3 == 1) hearth_request_cancel(r[k]);
    }
    hearth_engine_close(g);
    for (int k = 0; k < 12; k++) {
        assert_true(hearth_request_wait(r[k]) != HEARTH_FINISH_ERROR);
        hearth_request_close(r[k]);
    }
    assert_in_range(files(NULL), 1, 13);
    files(remove_it);
    eo.kv_files = "/no/such/folder";
    assert_int_equal(hearth_engine_open(&g, m, &eo, &e), HEARTH_ENOTFOUND);
    assert_non_null(strstr(e.message, "/no/such/folder"));
    hearth_model_close(m);
}

static void running_out_of_memory(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(0, NULL, 1);
    int finish = 0;
    for (int i = 0; i < CTX; i++) text[i] = i * 3 % TINY_VOCAB;
    for (int64_t n = 0; finish != HEARTH_FINISH_LENGTH; n += 1 + n / 16) {
        struct hearth_engine *g = NULL;
        struct hearth_request *r = NULL;
        struct hearth_error e;
        struct hearth_engine_options eo = { .n_ctx = CTX, .kv_files = folder };
        struct hearth_request_options o = { .ids = text, .n = PROMPT, .max_tokens = 3, .ignore_end = true };
        assert_in_range(n, 0, 2000);
        mem_fail_after(n);
        int rc = hearth_engine_open(&g, m, &eo, &e);
        if (rc == 0) rc = hearth_request_submit(&r, g, &o, &e);
        if (rc == 0) finish = hearth_request_wait(r);
        hearth_engine_close(g);
        mem_fail_after(-1);
        if (rc < 0) assert_int_equal(rc, HEARTH_ENOMEM);
        else if (finish != HEARTH_FINISH_LENGTH) assert_int_equal(finish, HEARTH_FINISH_ERROR);
        hearth_request_close(r);
        hearth_cache_clear(m);
    }
    files(remove_it);
    hearth_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_process_goes_on),
        cmocka_unit_test(texts_that_end_are_kept_once),
        cmocka_unit_test(running_out_of_memory),
    };
    snprintf(folder, sizeof folder, "/tmp/hearth-kvf-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    int rc = cmocka_run_group_tests(tests, setup, teardown);
    return rmdir(folder) ? 1 : rc;
}
