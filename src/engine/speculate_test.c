/* speculate_test.c - decoding with guesses gives the tokens and the logits of plain decoding. */
#include "tests/engine_fixture.h"

#include <string.h>

enum { START = 40, LENGTH = 60, GUESS = 6 };

struct told { int32_t ids[START + LENGTH]; size_t n, guessed, right; uint64_t hash; };

static void add_row(struct told *t, const struct hearth_session *s, size_t back)
{
    size_t n;
    const float *rows = hearth_session_logits_rows(s, &n);
    assert_true(back < n);
    t->hash = t->hash * 31 + hash_bytes(rows + (n - 1 - back) * TINY_VOCAB, TINY_VOCAB * 4);
}

static struct hearth_sampler *sampler_of(struct hearth_model *m, int kind)
{
    struct hearth_sampler *p;
    struct hearth_sampler_options o;
    struct hearth_error e;
    hearth_sampler_defaults(m, &o);
    o.seed = 5;
    o.temperature = kind == 0 ? 0 : 0.3f;
    if (kind == 2) o.mirostat = 2;
    if (kind == 3) o.repeat_penalty = 1.05f, o.dry_multiplier = 0.1f, o.xtc_probability = 0.2f;
    if (kind == 4) o.adaptive_target = 0.5f;
    if (hearth_sampler_open(&p, m, &o, &e) < 0) fail_msg("%s", e.message);
    return p;
}

static void tell_plain(struct hearth_model *m, struct hearth_session *s, int kind, struct told *t)
{
    struct hearth_error e;
    struct hearth_sampler *p = sampler_of(m, kind);
    assert_int_equal(hearth_session_sync(s, t->ids, t->n = START, &e), 0);
    while (t->n < START + LENGTH) {
        add_row(t, s, 0);
        t->ids[t->n++] = hearth_sampler_pick(p, s);
        assert_int_equal(hearth_session_append(s, &t->ids[t->n - 1], 1, &e), 0);
    }
    hearth_sampler_close(p);
}

/* Some guesses are made wrong on purpose, so that going back is seen at every place. */
static void tell_guessing(struct hearth_model *m, struct hearth_session *s, struct hearth_session *draft, int kind,
                          struct told *t)
{
    struct hearth_error e;
    struct hearth_sampler *p = sampler_of(m, kind);
    struct hearth_speculator *g;
    size_t ahead = 0;
    assert_int_equal(hearth_speculator_open(&g, s, GUESS, &e), 0);
    if (draft && hearth_speculator_set_draft(g, draft, &e) < 0) fail_msg("%s", e.message);
    assert_int_equal(hearth_session_sync(s, t->ids, t->n = START, &e), 0);
    while (t->n < START + LENGTH) {
        size_t have;
        add_row(t, s, ahead);
        t->ids[t->n++] = hearth_sampler_pick_at(p, s, ahead);
        const int32_t *in = hearth_session_ids(s, &have);
        if (ahead && in[have - ahead] == t->ids[t->n - 1]) {
            ahead--;
            t->right++;
        } else if (ahead) {
            assert_int_equal(hearth_session_drop(s, ahead, &e), 0);
            assert_null(hearth_session_logits(s));
            ahead = 0;
        }
        hearth_session_ids(s, &have);
        if (have >= t->n) continue;
        assert_int_equal(have, t->n - 1);
        int32_t next[GUESS + 1] = { t->ids[t->n - 1] };
        ahead = hearth_speculator_draft(g, t->ids, t->n, next + 1, GUESS);
        int32_t *wrong = t->n % 3 == 0 && ahead ? &next[1 + t->n % ahead] : NULL;
        if (wrong) *wrong = *wrong ? *wrong - 1 : 1;
        t->guessed += ahead;
        assert_int_equal(hearth_session_append(s, next, ahead + 1, &e), 0);
    }
    hearth_speculator_close(g);
    hearth_sampler_close(p);
}

static void start(struct told *t)
{
    memset(t, 0, sizeof *t);
    for (int i = 0; i < START; i++) t->ids[i] = 65 + i % 13;
}

static void guesses_change_nothing(void **state)
{
    (void)state;
    size_t guessed = 0, right = 0;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 1 + i % 2);
        struct hearth_session_options o = { .n_ctx = 256, .n_logits = GUESS + 1 };
        for (int kind = 0; kind < 5; kind++) {
            if (i != 1 && kind != (int)i % 5) continue;        /* all samplers with one model, one with each other */
            struct hearth_session *a, *b;
            struct hearth_error e;
            struct told plain, guess;
            start(&plain);
            start(&guess);
            assert_int_equal(hearth_session_open(&a, m, NULL, &e), 0);
            assert_int_equal(hearth_session_open(&b, m, &o, &e), 0);
            tell_plain(m, a, kind, &plain);
            tell_guessing(m, b, NULL, kind, &guess);
            assert_memory_equal(plain.ids, guess.ids, sizeof plain.ids);
            assert_true(plain.hash == guess.hash);
            guessed += guess.guessed;
            right += guess.right;
            hearth_session_close(a);
            hearth_session_close(b);
        }
        hearth_model_close(m);
    }
    print_message("# %zu guessed, %zu right\n", guessed, right);
    assert_true(right > 60 && guessed > right + 60);           /* both happen often */
}

/* Another model guesses: itself, one of windows, one with states, of which most guesses are wrong; and for those with states. */
static void drafts_change_nothing(void **state)
{
    (void)state;
    static const struct { size_t model, draft; } pair[] = { { 1, 1 }, { 1, 0 }, { 4, 8 }, { 8, 8 }, { 9, 9 }, { 10, 2 } };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        struct hearth_model *m = open_model(pair[i].model, NULL, 1), *d = open_model(pair[i].draft, NULL, 1);
        struct hearth_session_options o = { .n_ctx = 256, .n_logits = GUESS + 1 };
        for (int kind = 0; kind < 2; kind++) {
            struct hearth_session *a, *b, *c;
            struct hearth_error e;
            struct told plain, guess;
            start(&plain);
            start(&guess);
            for (int k = 0; k < START; k++) plain.ids[k] = guess.ids[k] = (k * k * 7 + k) % TINY_VOCAB;
            assert_int_equal(hearth_session_open(&a, m, NULL, &e), 0);
            assert_int_equal(hearth_session_open(&b, m, &o, &e), 0);
            assert_int_equal(hearth_session_open(&c, d, &(struct hearth_session_options){ .n_ctx = 90 }, &e), 0);
            tell_plain(m, a, kind, &plain);
            tell_guessing(m, b, c, kind, &guess);
            assert_memory_equal(plain.ids, guess.ids, sizeof plain.ids);
            assert_true(plain.hash == guess.hash);
            assert_true(guess.guessed > 20);
            if (pair[i].model == pair[i].draft && kind == 0) assert_true(guess.right > 20);
            hearth_session_close(a);
            hearth_session_close(b);
            hearth_session_close(c);
        }
        hearth_model_close(m);
        hearth_model_close(d);
    }
}

/* A draft that costs more than it gives is left alone, and asked again now and then. */
static void drafts_must_pay(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(0, NULL, 1), *d = open_model(1, NULL, 1);
    struct hearth_session *s, *c;
    struct hearth_speculator *g;
    struct hearth_error e;
    struct hearth_session_options o = { .n_ctx = 2000, .n_logits = HEARTH_MAX_DRAFT + 1 };
    assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
    assert_int_equal(hearth_session_open(&c, d, &o, &e), 0);
    assert_int_equal(hearth_speculator_open(&g, s, 0, &e), 0);
    assert_int_equal(hearth_speculator_set_draft(g, c, &e), 0);
    size_t asked = 0;
    int32_t text[400], out[HEARTH_MAX_DRAFT];
    for (int i = 0; i < 400; i++) text[i] = (int32_t)((uint32_t)i * 2654435761u >> 9) % TINY_VOCAB;
    for (size_t n = 2; n < 400; n++) {                 /* hardly any guess is right */
        size_t k = hearth_speculator_draft(g, text, n, out, HEARTH_MAX_DRAFT);
        hearth_speculator_timed(g, k + 1, 50000000 + 25000000 * k);
        asked += k > 0;
    }
    assert_in_range(asked, 2, 40);
    hearth_speculator_close(g);
    hearth_session_close(s);
    hearth_session_close(c);
    hearth_model_close(d);
    /* Another vocabulary. */
    struct hearth_error why;
    d = NULL;
    if (hearth_model_open_embedded(&d, NULL, &e) == 0) {
        assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
        assert_int_equal(hearth_session_open(&c, d, NULL, &e), 0);
        assert_int_equal(hearth_speculator_open(&g, s, 0, &e), 0);
        assert_int_equal(hearth_speculator_set_draft(g, c, &why), HEARTH_EARG);
        assert_non_null(strstr(why.message, "cannot guess"));
        hearth_speculator_close(g);
        hearth_session_close(s);
        hearth_session_close(c);
    }
    hearth_model_close(d);
    hearth_model_close(m);
}

static void dropping_has_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 1);
        struct hearth_model_info info;
        struct hearth_session *s = open_session(m, 0);
        struct hearth_error e;
        size_t n;
        hearth_model_info(m, &info);
        sync_hash(s, 30);
        assert_int_equal(hearth_session_drop(s, 31, &e), HEARTH_EARG);
        assert_non_null(hearth_session_logits(s));
        assert_int_equal(hearth_session_drop(s, 0, &e), 0);
        int rc = hearth_session_drop(s, 7, &e);
        assert_int_equal(rc, info.recurrent ? HEARTH_EUNSUPPORTED : 0);
        hearth_session_ids(s, &n);
        assert_int_equal(n, info.recurrent ? 30 : 23);
        assert_int_equal(sync_hash(s, 60), sync_hash(s, 60));
        hearth_session_close(s);
        s = open_session(m, 0);
        uint64_t fresh = sync_hash(s, 60);
        assert_int_equal(sync_hash(s, 60), fresh);
        /* Behind the first of as many as there are rows every model can go back. */
        for (size_t k = 1; k < ROWS; k++) {
            assert_int_equal(hearth_session_append(s, (const int32_t[]){ 5, 6, 7 }, 3, &e), 0);
            assert_int_equal(hearth_session_drop(s, k, &e), 0);
            hearth_session_ids(s, &n);
            assert_int_equal(n, 63 - k);
            assert_int_equal(hearth_session_append(s, (const int32_t[]){ 8, 9, 10 }, 3, &e), 0);
            const uint64_t gone_back = hash_rows(s);
            struct hearth_session *t = open_session(m, 0);
            int32_t all[80];
            const int32_t *now = hearth_session_ids(s, &n);
            memcpy(all, now, n * sizeof *all);
            assert_int_equal(hearth_session_sync(t, all, n, &e), 0);
            assert_int_equal(hash_rows(t), gone_back);
            hearth_session_close(t);
            sync_hash(s, 60);
        }
        hearth_session_close(s);
        hearth_model_close(m);
    }
}

/* The chooser of lengths: repeats are guessed, other texts are not, and a step that costs too much ends it. */
static void guesses_are_made_when_they_pay(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(0, NULL, 1);
    struct hearth_session *s;
    struct hearth_speculator *g;
    struct hearth_error e;
    struct hearth_session_options o = { .n_ctx = 2000, .n_logits = HEARTH_MAX_DRAFT + 1 };
    assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
    for (int dear = 0; dear < 2; dear++) {
        size_t asked = 0, some = 0;
        int32_t text[1200], out[HEARTH_MAX_DRAFT];
        for (int i = 0; i < 1200; i++) text[i] = i < 600 ? i * 7919 % 251 + i % 3 * 300 : text[i - 400];
        assert_int_equal(hearth_speculator_open(&g, s, 0, &e), 0);
        for (size_t n = 2; n < 1200; n++) {
            size_t k = hearth_speculator_draft(g, text, n, out, HEARTH_MAX_DRAFT);
            hearth_speculator_timed(g, k + 1, 1000 + (dear ? 1500 : 50) * k);
            if (n < 600) asked += k;
            else some += k > 0;
            for (size_t i = 0; n > 620 && n < 1100 && !dear && i < k; i++) assert_int_equal(out[i], text[n + i]);
        }
        assert_int_equal(asked, 0);
        assert_true(dear ? some < 20 : some > 550);
        hearth_speculator_close(g);
    }
    assert_int_equal(hearth_speculator_open(&g, s, HEARTH_MAX_DRAFT + 1, &e), HEARTH_EARG);
    hearth_session_close(s);
    hearth_model_close(m);
}

/* How many tokens are guessed for n of a text behind `from` others, and how many steps that takes, when each token that is
 * checked makes a step longer by `percent`. */
static size_t steps_of(struct hearth_session *s, const int32_t *text, size_t from, size_t n, size_t percent, size_t *guessed)
{
    struct hearth_speculator *g;
    struct hearth_error e;
    int32_t out[HEARTH_MAX_DRAFT];
    size_t steps = 0;
    assert_int_equal(hearth_speculator_open(&g, s, 0, &e), 0);
    for (size_t k = 0; k <= HEARTH_MAX_DRAFT; k++) hearth_speculator_timed(g, k + 1, 100000 + 1000 * percent * k);
    for (size_t at = from + 1; at < from + n; steps++) {
        const size_t left = from + n - at;
        size_t k = hearth_speculator_draft(g, text, at, out, left < HEARTH_MAX_DRAFT ? left : HEARTH_MAX_DRAFT), r = 0;
        while (r < k && out[r] == text[at + r]) r++;
        hearth_speculator_timed(g, k + 1, 100000 + 1000 * percent * k);
        *guessed += k;
        at += 1 + r;
    }
    hearth_speculator_close(g);
    return steps;
}

/* Where every third place looks like one before and never goes on alike, hardly anything is guessed; where a text is edited the
 * steps are few. */
static void misleading_repeats_are_left_alone(void **state)
{
    (void)state;
    enum { FROM = 300, LONG = 256, MANY = 120000 };
    static int32_t text[FROM + LONG + 1];
    struct hearth_model *m = open_model(0, NULL, 1);
    struct hearth_session *s;
    struct hearth_error e;
    uint32_t x = 7;
    assert_int_equal(hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 600, .n_logits = 16 }, &e), 0);
    for (size_t i = 0; i <= FROM + LONG; i++) text[i] = (int32_t)((x = x * 1664525 + 1013904223) >> 8) % MANY;
    for (size_t percent = 1; percent < 12; percent += 5) {
        size_t guessed = 0, edited = 0;
        for (size_t i = FROM; i < FROM + LONG; i += 3)
            memcpy(text + i, text + ((x = x * 1664525 + 1013904223) >> 8) % (FROM - 3), 2 * sizeof *text);
        size_t steps = steps_of(s, text, FROM, LONG, percent, &guessed);
        assert_true(guessed <= 30 && steps + guessed >= LONG - 1);
        for (size_t i = FROM; i < FROM + LONG; i++) text[i] = i % 24 ? text[i - FROM + 5] : text[i];
        steps = steps_of(s, text, FROM, LONG, percent, &edited);
        print_message("# %zu %%: %zu misleading guesses; edited in %zu steps with %zu\n", percent, guessed, steps, edited);
        assert_true(steps < LONG / 3);
    }
    hearth_session_close(s);
    hearth_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misleading_repeats_are_left_alone),
        cmocka_unit_test(guesses_change_nothing),
        cmocka_unit_test(drafts_change_nothing),
        cmocka_unit_test(drafts_must_pay),
        cmocka_unit_test(dropping_has_limits),
        cmocka_unit_test(guesses_are_made_when_they_pay),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
