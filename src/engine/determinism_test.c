/* determinism_test.c - D1 of docs/numerics.md as one promise: a prompt and its answer have one hash of their logits, alone and
 * among up to 63 others, cold, found in the cache, restored from a file, after its pages were given up, and with guesses.
 * The program's argument is the number of runs. */
#include <unistd.h>

#include "base/os.h"
#include "tests/engine_fixture.h"

enum { PROMPT = 100, ANSWER = 10, GUESS = 5, OTHERS = 63 };

static uint32_t runs = 36, seed = 1;
static char folder[64];

static uint32_t rnd(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

struct answer { uint64_t hash; uint32_t n, kept; };

static bool see(void *arg, const struct hearth_event *ev)
{
    struct answer *a = arg;
    if (ev->id < 0) return true;
    a->kept = ev->n_kept;
    a->hash = hash_add(a->n++ ? a->hash : HASH_START, hearth_session_logits(ev->session), TINY_VOCAB * 4);
    return true;
}

static struct hearth_sampler_options warm(void)
{
    struct hearth_sampler_options o;
    hearth_sampler_defaults(NULL, &o);
    o.temperature = 0.7f;
    o.seed = 11;
    return o;
}

/* The prompt through the engine among n others, which come before and behind it; some are called off. */
static struct answer ask(struct hearth_engine *g, uint32_t n, bool no_cache)
{
    struct hearth_request *r[OTHERS + 1];
    struct hearth_error e;
    struct answer a = { 0, 0, 0 };
    struct hearth_sampler_options so = warm();
    int32_t text[40];
    const uint32_t at = rnd(n + 1);
    for (uint32_t k = 0; k <= n; k++) {
        uint32_t len = 1 + rnd(30);
        for (uint32_t i = 0; i < len; i++) text[i] = k % 3 ? (int32_t)rnd(TINY_VOCAB) : ids[i];
        struct hearth_request_options o = { .ids = text, .n = len, .max_tokens = 1 + rnd(6), .user = k % 4 };
        if (k == at)
            o = (struct hearth_request_options){ .ids = ids, .n = PROMPT, .max_tokens = ANSWER, .sampler = &so,
                                                 .ignore_end = true, .no_cache = no_cache, .event = see, .arg = &a };
        if (hearth_request_submit(&r[k], g, &o, &e) < 0) fail_msg("%s", e.message);
        if (k != at && rnd(8) == 0) hearth_request_cancel(r[k]);
    }
    for (uint32_t k = 0; k <= n; k++) {
        hearth_request_wait(r[k]);
        hearth_request_close(r[k]);
    }
    assert_int_equal(a.n, ANSWER);
    return a;
}

/* The same with a session that evaluates guesses, some of them right. */
static struct answer guess(struct hearth_model *m)
{
    struct hearth_session *s;
    struct hearth_sampler *p;
    struct hearth_error e;
    struct answer a = { 0, 0, 0 };
    struct hearth_sampler_options so = warm();
    struct hearth_session_options o = { .n_ctx = 256, .n_logits = GUESS + 1 };
    int32_t text[PROMPT + ANSWER + 1];
    assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
    assert_int_equal(hearth_sampler_open(&p, m, &so, &e), 0);
    memcpy(text, ids, PROMPT * sizeof *text);
    assert_int_equal(hearth_session_sync(s, text, PROMPT, &e), 0);
    for (uint32_t ahead = 0; a.n < ANSWER;) {
        size_t have;
        const float *rows = hearth_session_logits_rows(s, &have) + (have - 1 - ahead) * TINY_VOCAB;
        a.hash = hash_add(a.n ? a.hash : HASH_START, rows, TINY_VOCAB * 4);
        int32_t id = text[PROMPT + a.n++] = hearth_sampler_pick_at(p, s, ahead);
        const int32_t *now = hearth_session_ids(s, &have);
        if (ahead && now[have - ahead] == id) {
            ahead--;
            continue;
        }
        if (ahead) assert_int_equal(hearth_session_drop(s, ahead, &e), 0);
        int32_t next[GUESS + 1] = { id };
        for (int i = 1; i <= GUESS; i++) next[i] = (int32_t)rnd(rnd(2) ? 3 : TINY_VOCAB);
        ahead = GUESS;
        assert_int_equal(hearth_session_append(s, next, GUESS + 1, &e), 0);
    }
    hearth_sampler_close(p);
    hearth_session_close(s);
    return a;
}

/* The prompt's pages go to a file, or come from it. */
static void file(struct hearth_model *m, bool save)
{
    struct hearth_session *s;
    struct hearth_error e;
    size_t found;
    assert_int_equal(hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 256 }, &e), 0);
    if (save) {
        assert_int_equal(hearth_session_sync(s, ids, PROMPT - 1, &e), 0);
        if (hearth_cache_save(s, folder, 0, &e) < 0) fail_msg("%s", e.message);
    } else {
        if (hearth_cache_load(s, folder, ids, PROMPT - 1, &found, &e) < 0) fail_msg("%s", e.message);
        assert_true(found >= 64);
    }
    hearth_session_close(s);
}

enum { COLD, ALONE, HIT, DISK, EVICTED, GUESSED, N_KIND };

static void one_hash(void **state)
{
    (void)state;
    static const size_t which[] = { 0, 3, 8 };
    uint32_t seen[N_KIND] = { 0 };
    for (size_t w = 0; w < 3; w++) {
        struct hearth_model *m = open_model(which[w], NULL, 1 + w % 2);
        struct hearth_engine *g;
        struct hearth_error e;
        struct hearth_engine_options o = { .n_ctx = 256, .max_running = 64, .budget_ms = 1 };
        if (hearth_engine_open(&g, m, &o, &e) < 0) fail_msg("%s", e.message);
        const uint64_t want = ask(g, 0, true).hash;
        file(m, true);
        struct hearth_memory mem;
        hearth_cache_clear(m);
        hearth_model_memory(m, &mem);
        assert_int_equal(mem.n_pages, 0);
        for (uint32_t r = 0; r < (runs + 2) / 3; r++) {
            uint32_t kind = rnd(N_KIND), n = kind == ALONE ? 0 : rnd(12) ? 1 + rnd(5) : rnd(OTHERS + 1);
            struct answer a;
            if (kind == GUESSED && which[w] == 8) kind = HIT;              /* it cannot go back */
            if (kind == DISK || kind == EVICTED) hearth_cache_clear(m);
            if (kind == DISK) file(m, false);
            a = kind == GUESSED ? guess(m) : ask(g, n, kind == COLD);
            if (a.hash != want) fail_msg("model %zu, run %u of kind %u among %u: other bits", which[w], r, kind, n);
            if (kind == COLD) assert_int_equal(a.kept, 0);
            if (kind == DISK) assert_true(a.kept >= 64);
            seen[kind]++;
        }
        hearth_engine_close(g);
        hearth_cache_clear(m);
        hearth_model_memory(m, &mem);
        assert_int_equal(mem.n_pages, 0);
        hearth_model_close(m);
    }
    for (int k = 0; k < N_KIND; k++) assert_true(seen[k] > 0);
}

int main(int argc, char **argv)
{
    if (argc > 1) runs = (uint32_t)strtoul(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_hash) };
    snprintf(folder, sizeof folder, "/tmp/hearth-d1-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    int rc = cmocka_run_group_tests(tests, setup, teardown);
    char line[96];
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line) ? 1 : rc;
}
