/* models_test.c - several models in one process: who shares, who stays, who goes, what it all takes, and what failures harm. */
#include <stdatomic.h>
#include <unistd.h>

#include "base/lock.h"
#include "tests/engine_fixture.h"

/* What happened, by the model's file; a load can be held up in its first event, an unload in its last. */
struct log {
    struct lock lock;
    uint32_t n[6], last;
    char gone[128];
    _Atomic uint32_t hold_up, held_up;
};
static struct log happened;

static void on_event(void *arg, const struct hearth_model_state *s)
{
    struct log *l = arg;
    lock_take(&l->lock);
    l->n[s->state]++;
    if (s->state == HEARTH_MODEL_GONE) snprintf(l->gone, sizeof l->gone, "%s", s->name);
    lock_give(&l->lock);
    if (s->state != HEARTH_MODEL_LOADS && s->state != HEARTH_MODEL_GONE) return;
    for (int i = 0; i < 5000 && atomic_load(&l->hold_up); i++) {
        atomic_store(&l->held_up, 1);
        usleep(1000);
    }
}

static struct hearth_models *open_models(uint64_t memory, uint32_t most)
{
    struct hearth_models *ms;
    struct hearth_error e;
    memset(&happened, 0, sizeof happened);
    struct hearth_models_options o = { .memory = memory, .max_models = most, .event = on_event, .arg = &happened };
    if (hearth_models_open(&ms, &o, &e) < 0) fail_msg("%s", e.message);
    return ms;
}

/* Model i of the fixture by its number as a name. */
static struct hearth_load load_of(size_t i)
{
    static char path[N_MODEL][64], name[N_MODEL][8];
    snprintf(path[i], sizeof path[i], "%s", model_path(i));
    snprintf(name[i], sizeof name[i], "%zu", i);
    return (struct hearth_load){ .name = name[i], .path = path[i], .model = { .threads = 1 }, .engine = { .n_ctx = 256 } };
}

static struct hearth_hold *hold(struct hearth_models *ms, struct hearth_load l)
{
    struct hearth_hold *h;
    struct hearth_error e;
    if (hearth_hold_open(&h, ms, &l, &e) < 0) fail_msg("%s", e.message);
    return h;
}

static struct hearth_hold *ready(struct hearth_models *ms, struct hearth_load l)
{
    struct hearth_hold *h = hold(ms, l);
    struct hearth_error e;
    if (hearth_hold_wait(h, 20000, &e) < 0) fail_msg("%s", e.message);
    return h;
}

static uint64_t bytes_of(const struct hearth_model_state *s) { return s->weights + s->heap + s->buffers + s->kv; }

/* Nothing is estimated: the parts are the whole. */
static uint64_t check_sum(struct hearth_models *ms)
{
    struct hearth_model_state s[16];
    uint64_t limit, used, sum = 0;
    size_t n = hearth_models_list(ms, s, 16);
    for (size_t i = 0; i < n; i++) sum += bytes_of(&s[i]);
    hearth_models_memory(ms, &limit, &used);
    assert_true(used <= limit);
    assert_int_equal(sum, used);
    return used;
}

static bool is_loaded(struct hearth_models *ms, const char *name)
{
    struct hearth_model_state s[16];
    size_t n = hearth_models_list(ms, s, 16);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(s[i].name, name)) return s[i].state == HEARTH_MODEL_READY;
    return false;
}

static void wait_gone(struct hearth_models *ms, const char *name)
{
    for (int i = 0; i < 5000 && is_loaded(ms, name); i++) usleep(1000);
    assert_false(is_loaded(ms, name));
}

/* An unloaded model leaves the list before its memory is back. */
static void wait_empty(struct hearth_models *ms)
{
    uint64_t limit, used = 1;
    for (int i = 0; i < 20000 && (used || hearth_models_list(ms, NULL, 0)); i++) {
        usleep(500);
        hearth_models_memory(ms, &limit, &used);
    }
    assert_int_equal(used, 0);
    assert_int_equal(hearth_models_list(ms, NULL, 0), 0);
}

/* What a greedy answer of 12 tokens is, as a hash of the rows. */
struct answer { uint64_t hash; uint32_t n; };
static bool see(void *arg, const struct hearth_event *ev)
{
    struct answer *a = arg;
    if (ev->id < 0) return true;
    a->hash = hash_add(a->n++ ? a->hash : HASH_START, hearth_session_logits(ev->session), TINY_VOCAB * 4);
    return true;
}

static uint64_t ask(struct hearth_hold *h, uint32_t n, int *finish)
{
    struct answer a = { 0, 0 };
    struct hearth_sampler_options so;
    struct hearth_request *r;
    struct hearth_error e;
    hearth_sampler_defaults(NULL, &so);
    so.temperature = 0;
    struct hearth_request_options o = { .ids = ids, .n = n, .max_tokens = 12, .sampler = &so, .ignore_end = true, .event = see,
                                        .arg = &a };
    if (hearth_request_submit(&r, hearth_hold_engine(h), &o, &e) < 0) fail_msg("%s", e.message);
    *finish = hearth_request_wait(r);
    hearth_request_close(r);
    return a.hash;
}

/* The engine's thread stands still in a callback: that is seen, and that it goes on. */
struct standing { _Atomic uint32_t stands, may_go; };
static bool stand(void *arg, const struct hearth_event *ev)
{
    struct standing *s = arg;
    if (ev->n_answer != 3) return true;
    atomic_store(&s->stands, 1);
    while (!atomic_load(&s->may_go)) usleep(1000);
    return true;
}

static void what_hangs_is_seen(void **state)
{
    (void)state;
    struct hearth_models *ms = open_models(0, 0);
    struct standing s = { 0, 0 };
    struct hearth_request *r;
    struct hearth_error e;
    struct hearth_request_options o = { .ids = ids, .n = 20, .max_tokens = 6, .ignore_end = true, .event = stand, .arg = &s };
    assert_true(hearth_models_move(ms, 0));
    struct hearth_hold *h = ready(ms, load_of(0)), *other = ready(ms, load_of(1));
    if (hearth_request_submit(&r, hearth_hold_engine(h), &o, &e) < 0) fail_msg("%s", e.message);
    for (int i = 0; i < 20000 && !atomic_load(&s.stands); i++) usleep(1000);
    for (int i = 0; i < 20000 && !hearth_models_move(ms, 0); i++) usleep(1000);      /* it had got on, and the other is at rest */
    for (int i = 0; i < 3; i++) {
        assert_false(hearth_models_move(ms, 0));
        usleep(1000);
    }
    atomic_store(&s.may_go, 1);
    assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_LENGTH);
    assert_true(hearth_models_move(ms, 0));
    hearth_request_close(r);
    int n = 0;                                                /* what rests does not hang */
    for (int i = 0; i < 20000 && n < 10; i++, usleep(1000)) n = hearth_models_move(ms, 0) ? n + 1 : 0;
    assert_int_equal(n, 10);
    hearth_hold_close(h);
    hearth_hold_close(other);
    atomic_store(&happened.hold_up, 1);
    h = hold(ms, load_of(2));
    for (int i = 0; i < 20000 && !atomic_load(&happened.held_up); i++) usleep(1000);
    for (int i = 0; i < 3; i++) assert_true(hearth_models_move(ms, 600000));
    assert_false(hearth_models_move(ms, 0));
    atomic_store(&happened.hold_up, 0);
    assert_int_equal(hearth_hold_wait(h, 20000, &e), 0);
    hearth_hold_close(h);
    /* One that goes, too. */
    atomic_store(&happened.held_up, 0);
    atomic_store(&happened.hold_up, 1);
    assert_int_equal(hearth_models_unload(ms, "2", &e), 0);
    for (int i = 0; i < 20000 && !atomic_load(&happened.held_up); i++) usleep(1000);
    for (int i = 0; i < 3; i++) assert_true(hearth_models_move(ms, 600000));
    assert_false(hearth_models_move(ms, 0));
    atomic_store(&happened.hold_up, 0);
    for (n = 0; n < 20000 && !hearth_models_move(ms, 0); n++) usleep(1000);
    assert_true(n < 20000);
    hearth_models_close(ms);
}

static void copies_are_shared(void **state)
{
    (void)state;
    struct hearth_models *ms = open_models(0, 0);
    struct hearth_model_state s[4];
    struct hearth_hold *a = ready(ms, load_of(0)), *b = ready(ms, load_of(0));
    assert_ptr_equal(hearth_hold_model(a), hearth_hold_model(b));
    assert_ptr_equal(hearth_hold_engine(a), hearth_hold_engine(b));
    struct hearth_load other = load_of(0);
    other.engine.n_ctx = 128;
    struct hearth_hold *c = ready(ms, other);
    assert_ptr_not_equal(hearth_hold_model(a), hearth_hold_model(c));
    assert_int_equal(hearth_models_list(ms, s, 4), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(s[i].state, HEARTH_MODEL_READY);
        assert_int_equal(s[i].n_holds, s[i].n_ctx == 128 ? 1 : 2);
        assert_int_equal(s[i].done, s[i].total);
        assert_true(s[i].total > 0 && s[i].weights > s[i].total && s[i].heap > 10000 && s[i].buffers > 10000);
        assert_int_equal(s[i].leaves_ms, -1);
    }
    int finish;
    check_sum(ms);
    ask(a, 100, &finish);
    assert_int_equal(finish, HEARTH_FINISH_LENGTH);
    hearth_hold_state(a, &s[0]);
    assert_true(s[0].kv > 0);
    check_sum(ms);
    hearth_hold_close(a);
    hearth_hold_close(c);
    hearth_hold_state(b, &s[0]);
    assert_int_equal(s[0].n_holds, 1);
    hearth_hold_close(b);
    assert_int_equal(hearth_models_list(ms, s, 4), 2);
    assert_true(s[0].leaves_ms > 290000 && s[0].leaves_ms <= 300000);
    hearth_models_close(ms);
    assert_int_equal(happened.n[HEARTH_MODEL_READY], 2);
    assert_int_equal(happened.n[HEARTH_MODEL_GONE], 2);
}

static void times_and_names(void **state)
{
    (void)state;
    struct hearth_models *ms = open_models(0, 0);
    struct hearth_error e;
    struct hearth_load l[4];
    for (size_t i = 0; i < 4; i++) l[i] = load_of(i);
    l[0].keep_ms = HEARTH_KEEP_NOT;
    l[1].keep_ms = 100;
    l[2].keep_ms = HEARTH_KEEP_FOREVER;
    l[3].pin = 1, l[3].keep_ms = 1;
    for (size_t i = 0; i < 4; i++) hearth_hold_close(ready(ms, l[i]));
    wait_gone(ms, "0");
    wait_gone(ms, "1");
    usleep(20000);
    assert_true(is_loaded(ms, "2") && is_loaded(ms, "3"));
    struct hearth_hold *h = ready(ms, l[2]);
    assert_int_equal(hearth_models_unload(ms, "2", &e), 0);
    assert_true(is_loaded(ms, "2"));                       /* it is held */
    hearth_hold_close(h);
    wait_gone(ms, "2");
    assert_int_equal(hearth_models_unload(ms, "3", &e), 0);
    wait_gone(ms, "3");
    assert_int_equal(hearth_models_unload(ms, "3", &e), HEARTH_ENOTFOUND);
    wait_empty(ms);
    hearth_models_close(ms);
}

static uint64_t size_of(size_t i)
{
    struct hearth_models *ms = open_models(0, 0);
    struct hearth_hold *h = ready(ms, load_of(i));
    uint64_t n = check_sum(ms);
    hearth_hold_close(h);
    hearth_models_close(ms);
    return n;
}

/* Memory for two of three. */
static void the_one_not_used_longest_goes(void **state)
{
    (void)state;
    struct hearth_models *ms = open_models(size_of(0) + size_of(3) + size_of(4) - 10000, 0);
    for (size_t i = 3; i < 5; i++) hearth_hold_close(ready(ms, load_of(i)));
    hearth_hold_close(ready(ms, load_of(3)));              /* now 4 is the one */
    struct hearth_hold *h = ready(ms, load_of(0));
    assert_string_equal(happened.gone, "4");
    assert_true(is_loaded(ms, "3"));
    check_sum(ms);
    hearth_hold_close(h);
    /* A pinned one stays: of the others, both must go. */
    struct hearth_load pinned = load_of(3);
    pinned.pin = 1;
    hearth_hold_close(ready(ms, pinned));
    h = ready(ms, load_of(4));
    assert_true(is_loaded(ms, "3") && !is_loaded(ms, "0"));
    hearth_hold_close(h);
    hearth_models_close(ms);

    ms = open_models(0, 2);                                /* the same by number */
    for (size_t i = 3; i < 5; i++) hearth_hold_close(ready(ms, load_of(i)));
    hearth_hold_close(ready(ms, load_of(0)));
    assert_false(is_loaded(ms, "3"));
    struct hearth_hold *held[2] = { ready(ms, load_of(0)), ready(ms, load_of(4)) };
    struct hearth_error e;
    h = hold(ms, load_of(1));
    assert_int_equal(hearth_hold_wait(h, 30, &e), HEARTH_ECANCELLED);
    hearth_hold_close(held[0]);
    assert_int_equal(hearth_hold_wait(h, 20000, &e), 0);
    assert_false(is_loaded(ms, "0"));
    hearth_hold_close(held[1]);
    hearth_hold_close(h);
    hearth_models_close(ms);
}

/* A load waits for the memory of what is held; who comes later waits behind it. */
static void loads_wait_for_memory(void **state)
{
    (void)state;
    uint64_t a = size_of(0), b = size_of(4);
    struct hearth_models *ms = open_models((a > b ? a : b) + 200000, 0);
    struct hearth_model_state s;
    struct hearth_error e;
    struct hearth_hold *first = ready(ms, load_of(0)), *second = hold(ms, load_of(4));
    assert_int_equal(hearth_hold_wait(second, 30, &e), HEARTH_ECANCELLED);
    hearth_hold_state(second, &s);
    assert_int_equal(s.state, HEARTH_MODEL_WAITS);
    struct hearth_hold *late = hold(ms, load_of(0));       /* it is loaded, but another's turn has come */
    assert_int_equal(hearth_hold_wait(late, 30, &e), HEARTH_ECANCELLED);
    hearth_hold_close(first);
    assert_int_equal(hearth_hold_wait(second, 20000, &e), 0);
    assert_int_equal(hearth_hold_wait(late, 30, &e), HEARTH_ECANCELLED);
    assert_false(is_loaded(ms, "0"));
    hearth_hold_close(second);
    assert_int_equal(hearth_hold_wait(late, 20000, &e), 0);
    hearth_hold_close(late);
    hearth_models_close(ms);
    /* What can never fit is refused at once, with the numbers. */
    ms = open_models(50000, 0);
    first = hold(ms, load_of(0));
    assert_int_equal(hearth_hold_wait(first, 20000, &e), HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "of 0.1 MB"));
    hearth_hold_close(first);
    wait_empty(ms);
    hearth_models_close(ms);
    ms = open_models(a + b / 2, 0);
    struct hearth_load pinned = load_of(0);
    pinned.pin = 1;
    first = ready(ms, pinned);
    second = hold(ms, load_of(4));
    assert_int_equal(hearth_hold_wait(second, 20000, &e), HEARTH_ELIMIT);
    hearth_hold_close(first);
    hearth_hold_close(second);
    hearth_models_close(ms);
}

/* A load that waits is tried again when what stood in its way was pinned and no longer is. */
static void a_pin_that_goes_makes_room(void **state)
{
    (void)state;
    struct hearth_models *ms = open_models(size_of(0) + size_of(3) + size_of(4) - 10000, 0);
    struct hearth_load l = load_of(3);
    struct hearth_error e;
    l.pin = 1;
    hearth_hold_close(ready(ms, l));
    struct hearth_hold *held = ready(ms, load_of(4)), *third = hold(ms, load_of(0));
    assert_int_equal(hearth_hold_wait(third, 30, &e), HEARTH_ECANCELLED);
    l.pin = -1;
    hearth_hold_close(hold(ms, l));
    if (hearth_hold_wait(third, 20000, &e) < 0) fail_msg("%s", e.message);
    assert_false(is_loaded(ms, "3"));
    hearth_hold_close(third);
    hearth_hold_close(held);
    hearth_models_close(ms);
}

static void failures_harm_nobody(void **state)
{
    (void)state;
    struct hearth_models *ms = open_models(0, 0);
    struct hearth_hold *good = ready(ms, load_of(1)), *bad, *again;
    struct hearth_error e;
    int finish;
    uint64_t before = ask(good, 70, &finish), used = check_sum(ms);
    char path[96];
    snprintf(path, sizeof path, "%s/broken.gguf", dir);
    struct hearth_load l = { .path = path };
    bad = hold(ms, l);
    assert_int_equal(hearth_hold_wait(bad, 20000, &e), HEARTH_ENOTFOUND);
    assert_non_null(strstr(e.message, "broken.gguf"));
    FILE *f = fopen(path, "wb");
    fputs("GGUF and nothing more", f);
    fclose(f);
    again = hold(ms, l);                                   /* another try; the first one's failure stays its own */
    assert_int_equal(hearth_hold_wait(again, 20000, &e), HEARTH_EUNSUPPORTED);
    assert_int_equal(hearth_hold_wait(bad, 0, &e), HEARTH_ENOTFOUND);
    hearth_hold_close(bad);
    hearth_hold_close(again);
    l = load_of(1);
    l.adapters = &(struct hearth_load_adapter){ path, 1 };
    l.n_adapters = 1;
    bad = hold(ms, l);
    assert_int_equal(hearth_hold_wait(bad, 20000, &e), HEARTH_EUNSUPPORTED);
    hearth_hold_close(bad);
    unlink(path);
    uint64_t limit, now = 0;
    for (int i = 0; i < 5000 && now != used; i++) {
        usleep(1000);
        hearth_models_memory(ms, &limit, &now);
    }
    assert_int_equal(check_sum(ms), used);
    assert_true(ask(good, 70, &finish) == before);
    hearth_hold_close(good);
    hearth_models_close(ms);
}

static void loads_can_be_broken_off(void **state)
{
    (void)state;
    struct hearth_models *ms = open_models(0, 0);
    atomic_store(&happened.hold_up, 1);
    struct hearth_hold *h = hold(ms, load_of(2));
    for (int i = 0; i < 5000 && !atomic_load(&happened.held_up); i++) usleep(1000);
    struct hearth_model_state s;
    struct hearth_error e;
    hearth_hold_state(h, &s);
    assert_int_equal(s.state, HEARTH_MODEL_LOADS);
    assert_int_equal(hearth_hold_wait(h, 5, &e), HEARTH_ECANCELLED);
    hearth_hold_close(h);
    atomic_store(&happened.hold_up, 0);
    wait_empty(ms);
    assert_int_equal(happened.n[HEARTH_MODEL_READY], 0);
    hearth_models_close(ms);
}

/* Keys and values of one model take the memory of another that nobody holds. */
static void texts_take_the_memory_of_models(void **state)
{
    (void)state;
    uint64_t a = size_of(0), b = size_of(5);
    struct hearth_models *ms = open_models(a + b + 40000, 0);
    struct hearth_hold *h = ready(ms, load_of(0));
    hearth_hold_close(ready(ms, load_of(5)));
    int finish;
    ask(h, 10, &finish);
    if (finish != HEARTH_FINISH_LENGTH || is_loaded(ms, "5")) {
        ask(h, 140, &finish);
        assert_int_equal(finish, HEARTH_FINISH_LENGTH);
    }
    assert_false(is_loaded(ms, "5"));
    check_sum(ms);
    hearth_hold_close(h);
    hearth_models_close(ms);
}

/* Many threads that take turns with models of which only one fits. */
enum { THREADS = 5 };
static struct hearth_models *shared;
static struct hearth_load turns[2];
static uint64_t right[2];
static _Atomic uint32_t wrong, answered;
static uint32_t rounds = 3;

static void alternate(void *arg)
{
    size_t k = (size_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < rounds; i++) {
        struct hearth_load l = turns[(i + k) % 2];
        struct hearth_hold *h;
        struct hearth_error e;
        int finish = 0;
        if (hearth_hold_open(&h, shared, &l, &e) < 0 || hearth_hold_wait(h, 60000, &e) < 0 ||
            ask(h, 40, &finish) != right[(i + k) % 2] || finish != HEARTH_FINISH_LENGTH)
            atomic_fetch_add(&wrong, 1);
        else atomic_fetch_add(&answered, 1);
        hearth_hold_close(h);
    }
}

static void a_storm_of_swaps(void **state)
{
    (void)state;
    uint64_t a = size_of(1), b = size_of(8);
    struct hearth_models *ms = open_models(0, 0);
    static const size_t which[2] = { 1, 8 };
    struct os_thread *t[THREADS];
    int finish;
    for (int k = 0; k < 2; k++) {
        turns[k] = load_of(which[k]);
        struct hearth_hold *h = ready(ms, turns[k]);
        right[k] = ask(h, 40, &finish);
        hearth_hold_close(h);
    }
    hearth_models_close(ms);
    shared = ms = open_models((a > b ? a : b) + 4000000, 1);
    for (size_t i = 0; i < THREADS; i++) assert_int_equal(os_thread_start(&t[i], alternate, (void *)(uintptr_t)i, NULL), 0);
    for (size_t i = 0; i < THREADS; i++) os_thread_join(t[i]);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(atomic_load(&answered), THREADS * rounds);
    print_message("# %u loads for %u answers\n", happened.n[HEARTH_MODEL_READY], THREADS * rounds);
    assert_true(happened.n[HEARTH_MODEL_READY] > 3);
    check_sum(ms);
    assert_int_equal(hearth_models_unload(ms, "1", NULL) & hearth_models_unload(ms, "8", NULL), 0);
    wait_empty(ms);
    hearth_models_close(ms);
}

/* The n-th allocation fails, and all after it, until a model is loaded. */
static void running_out_of_memory(void **state)
{
    (void)state;
    struct hearth_error e;
    int rc = -1;
    for (int64_t n = 0; rc < 0; n++) {
        struct hearth_models *ms = open_models(0, 0);
        struct hearth_hold *h = NULL;
        struct hearth_load l = load_of(1);
        assert_in_range(n, 0, 3000);
        if (n > 40) n += 14;                               /* the rest of loading is model_open's, tested there */
        mem_fail_after(n);
        rc = hearth_hold_open(&h, ms, &l, &e);
        if (rc == 0) rc = hearth_hold_wait(h, 20000, &e);
        mem_fail_after(-1);
        if (rc < 0 && rc != HEARTH_ENOMEM) fail_msg("allocation %d: %d %s", (int)n, rc, e.message);
        hearth_hold_close(h);
        if (rc < 0) wait_empty(ms);
        hearth_models_close(ms);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) rounds = (uint32_t)strtoul(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_shared),
        cmocka_unit_test(what_hangs_is_seen),
        cmocka_unit_test(times_and_names),
        cmocka_unit_test(the_one_not_used_longest_goes),
        cmocka_unit_test(loads_wait_for_memory),
        cmocka_unit_test(a_pin_that_goes_makes_room),
        cmocka_unit_test(failures_harm_nobody),
        cmocka_unit_test(loads_can_be_broken_off),
        cmocka_unit_test(texts_take_the_memory_of_models),
        cmocka_unit_test(a_storm_of_swaps),
        cmocka_unit_test(running_out_of_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
