/* sched_guess_test.c - requests of an engine that guesses: what they are told is, event by event and bit by bit, what an engine
 * that does not guess tells; and guesses are shared out where they pay. */
#include <unistd.h>

#include "base/buf.h"
#include "engine/speculate.h"
#include "tests/engine_fixture.h"

enum { MOST = 3, START = 40 };

/* All that was told of each completion. */
struct told { struct buf b[MOST]; uint32_t n_back; int finish; char error[512]; };

static void told_release(struct told *t)
{
    for (int i = 0; i < MOST; i++) buf_release(&t->b[i]);
}

static bool on_event(void *arg, const struct hearth_event *ev)
{
    struct told *t = arg;
    struct buf *b = &t->b[ev->completion];
    buf_printf(b, "%d finish %d prompt %u answer %u held %u back %u", ev->id, ev->finish, ev->n_prompt, ev->n_answer, ev->n_held,
               ev->n_back);
    if (ev->session) {
        size_t n;
        const int32_t *text = hearth_session_ids(ev->session, &n);
        buf_printf(b, " text %llx logits %llx", (unsigned long long)hash_bytes(text, n * sizeof *text),
                   (unsigned long long)hash_bytes(hearth_session_logits(ev->session), TINY_VOCAB * 4));
        if (ev->sampler) buf_printf(b, " %d", (int)(1e4f * hearth_sampler_logprobs(ev->sampler, ev->id, NULL, NULL)));
    }
    if (ev->stop) buf_printf(b, " stop %s", ev->stop);
    if (ev->cut) buf_printf(b, " cut %zu %zu", ev->cut->from, ev->cut->n);
    buf_puts(b, "\n");
    t->n_back += ev->n_back;
    if (ev->finish) t->finish = ev->finish;
    if (ev->error) snprintf(t->error, sizeof t->error, "%s", ev->error->message);
    return true;
}

static void on_said(void *arg, uint32_t completion, const struct hearth_chat_event *e)
{
    struct told *t = arg;
    buf_printf(&t->b[completion], "said %d ", e->kind);
    buf_put(&t->b[completion], e->text, e->n);
    buf_puts(&t->b[completion], "\n");
}

/* ---- what is asked ---- */

enum { KINDS = 12 };

static struct hearth_sampler_options sampler_of(uint32_t k)
{
    struct hearth_sampler_options o;
    hearth_sampler_defaults(NULL, &o);
    o.seed = 5 + k;
    o.temperature = k % 3 == 0 ? 0 : 0.3f;
    if (k == 1) o.mirostat = 2;
    if (k == 2) o.repeat_penalty = 1.05f, o.dry_multiplier = 0.1f, o.xtc_probability = 0.2f;
    if (k == 4) o.adaptive_target = 0.5f;
    return o;
}

/* Request k: a text that repeats itself, so that much can be guessed. */
static struct hearth_request_options request(uint32_t k, int32_t *text, struct hearth_sampler_options *so,
                                             const struct hearth_grammar *g)
{
    static const char *const ban[] = { "d", "hi", "b" }, *const stop[] = { "never comes", "q", "z" };
    const uint32_t n = START + k * 3, period = 5 + k % 9;
    for (uint32_t i = 0; i < n; i++) text[i] = 65 + (int32_t)(i % period);
    *so = sampler_of(k);
    struct hearth_request_options o = { .ids = text, .n = n, .max_tokens = 40, .sampler = so, .ignore_end = true,
                                        .no_cache = true, .event = on_event };
    if (k == 5) o.ban = ban, o.n_ban = 3, o.said = on_said;
    if (k == 6) o.stop = stop, o.n_stop = 3, o.said = on_said;
    if (k == 7) o.n_completions = MOST;
    if (k == 8) o.grammar = g, o.ignore_end = false, o.max_tokens = 70, o.said = on_said;
    if (k == 9) o.grammar = g, o.every_token = true, o.ignore_end = false, o.max_tokens = 70;
    if (k == 10) o.context = HEARTH_CONTEXT_SHIFT, o.n_ctx = n + 20, o.n_keep = 9, o.max_tokens = 80;
    if (k == 11) o.min_tokens = 30, o.ignore_end = false, o.max_tokens = 0;
    return o;
}

static struct hearth_engine_stats ask_all(struct hearth_model *m, struct hearth_engine_options eo, struct told *t)
{
    struct hearth_engine *g;
    struct hearth_request *r[KINDS];
    struct hearth_grammar *gram;
    struct hearth_error e;
    struct hearth_engine_stats s;
    eo.n_ctx = 256;
    if (hearth_engine_open(&g, m, &eo, &e) < 0) fail_msg("%s", e.message);
    assert_int_equal(hearth_grammar_open(&gram, m, HEARTH_GRAMMAR_REGEX, "(abcabc|[ab]{3,9}c)+", 20, &e), 0);
    for (uint32_t k = 0; k < KINDS; k++) {
        int32_t text[N];
        struct hearth_sampler_options so;
        struct hearth_request_options o = request(k, text, &so, gram);
        memset(&t[k], 0, sizeof t[k]);
        o.arg = &t[k];
        if (hearth_request_submit(&r[k], g, &o, &e) < 0) fail_msg("%s", e.message);
    }
    for (uint32_t k = 0; k < KINDS; k++) {
        if (hearth_request_wait(r[k]) == HEARTH_FINISH_ERROR) fail_msg("request %u: %s", k, t[k].error);
        hearth_request_close(r[k]);
    }
    hearth_grammar_close(gram);
    hearth_engine_stats(g, &s);
    hearth_engine_close(g);
    return s;
}

static void same_told(size_t which, const struct told *a, const struct told *b)
{
    for (uint32_t k = 0; k < KINDS; k++)
        for (int c = 0; c < MOST; c++) {
            const struct buf *x = &a[k].b[c], *y = &b[k].b[c];
            size_t i = 0;
            while (i < x->len && i < y->len && x->data[i] == y->data[i]) i++;
            if (x->len != y->len || i < x->len)
                fail_msg("model %zu, request %u: from byte %zu on, %.200s, not %.200s", which, k, i, x->data + i, y->data + i);
        }
}

static void guessing_tells_the_same(void **state)
{
    (void)state;
    static const struct { size_t model; uint32_t running; int speculate; } row[] = {
        { 1, 4, 3 }, { 1, 3, 0 }, { 3, 1, 15 }, { 4, 8, 1 }, { 8, 3, 6 }, { 10, 8, 2 } };
    uint64_t guessed = 0, right = 0;
    uint32_t back = 0;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        static struct told plain[KINDS], guess[KINDS];
        struct hearth_model *m = open_model(row[i].model, NULL, 1);
        struct hearth_engine_options o = { .max_running = row[i].running < MOST ? MOST : row[i].running, .budget_ms = 1,
                                           .speculate = HEARTH_SPECULATE_OFF };
        struct hearth_engine_stats s = ask_all(m, o, plain);
        assert_int_equal(s.n_guessed, 0);
        o.speculate = row[i].speculate;
        s = ask_all(m, o, guess);
        same_told(row[i].model, guess, plain);
        assert_true(s.n_guessed > 0 || !row[i].speculate);
        guessed += s.n_guessed, right += s.n_right;
        for (int k = 0; k < KINDS; k++) {
            back += guess[k].n_back;
            told_release(&plain[k]);
            told_release(&guess[k]);
        }
        struct hearth_memory mem;
        hearth_cache_clear(m);
        hearth_model_memory(m, &mem);
        assert_int_equal(mem.n_pages, 0);
        hearth_model_close(m);
    }
    print_message("# %d guessed, %d right, %u taken back\n", (int)guessed, (int)right, back);
    assert_true(right > 20 && guessed > right + 60 && back > 0);     /* on slow machines answers meet more seldom */
}

/* Another model guesses for the one answer that is written: a copy of itself, one with states, and for those with states. */
static void another_model_may_guess(void **state)
{
    (void)state;
    static const size_t pair[][2] = { { 1, 1 }, { 4, 8 }, { 8, 8 }, { 10, 1 } };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        static struct told plain[KINDS], guess[KINDS];
        struct hearth_model *m = open_model(pair[i][0], NULL, 1), *d = open_model(pair[i][1], NULL, 1);
        struct hearth_memory mem;
        ask_all(m, (struct hearth_engine_options){ .max_running = MOST, .speculate = HEARTH_SPECULATE_OFF }, plain);
        const struct hearth_engine_options o = { .max_running = MOST, .speculate = 5, .draft = d };
        struct hearth_engine_stats s = ask_all(m, o, guess);
        same_told(pair[i][0], guess, plain);
        assert_true(s.n_guessed > 50);
        for (int k = 0; k < KINDS; k++) {
            told_release(&plain[k]);
            told_release(&guess[k]);
        }
        hearth_cache_clear(d);
        hearth_model_memory(d, &mem);
        assert_int_equal(mem.n_pages, 0);
        hearth_model_close(m);
        hearth_model_close(d);
    }
}

/* A given answer: what was said 60 tokens ago, or nothing that was said before. */
static int32_t given(void *arg, uint32_t completion, const struct hearth_session *s)
{
    size_t n;
    const int32_t *text = hearth_session_ids(s, &n);
    (void)completion;
    return *(const bool *)arg ? text[n - 60] : (int32_t)(n * 5 % TINY_VOCAB);
}

static struct hearth_guesses seen;

static bool note_guesses(void *arg, const struct hearth_event *ev)
{
    (void)arg;
    if (ev->guesses) seen = *ev->guesses;
    return true;
}

static struct hearth_engine_stats say_given(int speculate, bool repeats, struct hearth_model *d)
{
    struct hearth_model *m = open_model(0, NULL, 1);
    struct hearth_engine *g;
    struct hearth_request *r;
    struct hearth_error e;
    struct hearth_engine_stats s;
    int32_t text[60];
    for (int i = 0; i < 60; i++) text[i] = i * 5 % TINY_VOCAB;
    struct hearth_request_options o = { .ids = text, .n = 60, .max_tokens = 190, .ignore_end = true, .pick = given,
                                        .event = note_guesses, .arg = &repeats };
    seen = (struct hearth_guesses){ 0 };
    struct hearth_engine_options eo = { .n_ctx = 300, .speculate = speculate, .draft = d };
    assert_int_equal(hearth_engine_open(&g, m, &eo, &e), 0);
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
    assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_LENGTH);
    hearth_request_close(r);
    for (int i = 0; i < 5000; i++) {                   /* until the last step is counted */
        hearth_engine_stats(g, &s);
        if (!s.n_running) break;
        usleep(1000);
    }
    assert_int_equal(s.n_answer_tokens, 190);
    hearth_engine_close(g);
    hearth_model_close(m);
    return s;
}

static void guesses_save_steps(void **state)
{
    (void)state;
    struct hearth_engine_stats s = say_given(7, true, NULL);
    assert_in_range(s.n_steps, 190 / 8, 30);
    assert_int_equal(s.n_right, s.n_guessed);          /* and nothing was taken for right that was not */
    assert_int_equal(s.n_right + s.n_steps, 190);
    uint32_t sum = 0;
    for (int i = 0; i < HEARTH_MAX_DRAFT; i++) sum += seen.right_at[i];
    assert_int_equal(seen.n_tokens, s.n_guessed);      /* the answer's own are all that there were */
    assert_int_equal(seen.n_right, s.n_right);
    assert_int_equal(sum, s.n_right);
    assert_in_range(seen.n_drafts, s.n_steps - 3, s.n_steps);
    assert_int_equal(seen.right_at[0], seen.n_drafts);
    assert_int_equal(seen.right_at[7], 0);
    s = say_given(HEARTH_SPECULATE_OFF, true, NULL);
    assert_int_equal(s.n_steps, 190);
    s = say_given(0, false, NULL);                     /* nothing repeats: nothing is tried */
    assert_int_equal(s.n_guessed, 0);
    assert_int_equal(s.n_steps, 190);
    struct hearth_model *d = open_model(1, NULL, 1);
    s = say_given(0, false, d);                        /* a model that is never right is soon left alone */
    assert_in_range(s.n_guessed, 1, 60);
    hearth_model_close(d);
}

static void what_is_refused(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(0, NULL, 1), *d = NULL;
    struct hearth_engine *g;
    struct hearth_error e;
    assert_int_equal(hearth_engine_open(&g, m, &(struct hearth_engine_options){ .speculate = 16 }, &e), HEARTH_EARG);
    assert_non_null(strstr(e.message, "at most 15"));
    assert_int_equal(hearth_engine_open(&g, m, &(struct hearth_engine_options){ .speculate = -2 }, &e), HEARTH_EARG);
    assert_int_equal(hearth_engine_open(&g, m, &(struct hearth_engine_options){ .draft = m }, &e), HEARTH_EARG);
    assert_non_null(strstr(e.message, "for itself"));
    if (hearth_model_open_embedded(&d, NULL, &e) == 0) {
        assert_int_equal(hearth_engine_open(&g, m, &(struct hearth_engine_options){ .draft = d }, &e), HEARTH_EARG);
        assert_non_null(strstr(e.message, "cannot guess"));
    }
    hearth_model_close(d);
    hearth_model_close(m);
}

/* Answers that do not fit together, with guesses; and each allocation fails in turn. */
static void little_memory(void **state)
{
    (void)state;
    enum { R = 4 };
    struct hearth_model *m = open_model(3, NULL, 1), *d = open_model(1, NULL, 1);
    struct hearth_memory mem;
    struct hearth_error e;
    struct hearth_session *s = open_session(m, 0);
    static struct told t[2][R];
    sync_hash(s, N);
    hearth_model_memory(m, &mem);
    hearth_session_close(s);
    hearth_model_close(m);
    struct hearth_model_options mo = { .threads = 1, .kv_limit = mem.kv_used * 5 / 2 + 20 * 4096, .cache_limit = mem.kv_used };
    assert_int_equal(hearth_model_open(&m, model_path(3), &mo, &e), 0);
    memset(t, 0, sizeof t);
    for (int guess = 0; guess < 2; guess++) {
        struct hearth_engine_options eo = { .n_ctx = 256, .speculate = guess ? 6 : HEARTH_SPECULATE_OFF };
        struct hearth_engine *g;
        struct hearth_request *r[R];
        struct hearth_engine_stats st;
        assert_int_equal(hearth_engine_open(&g, m, &eo, &e), 0);
        for (uint32_t k = 0; k < R; k++) {
            int32_t text[N];
            struct hearth_sampler_options so;
            struct hearth_request_options o = request(k, text, &so, NULL);
            o.max_tokens = 90, o.arg = &t[guess][k];
            assert_int_equal(hearth_request_submit(&r[k], g, &o, &e), 0);
        }
        for (uint32_t k = 0; k < R; k++) {
            assert_int_equal(hearth_request_wait(r[k]), HEARTH_FINISH_LENGTH);
            hearth_request_close(r[k]);
        }
        hearth_engine_stats(g, &st);
        assert_true(st.n_preempted > 0 && (st.n_guessed > 0) == guess);
        hearth_engine_close(g);
    }
    for (int k = 0; k < R; k++) {
        assert_string_equal(t[0][k].b[0].data, t[1][k].b[0].data);
        told_release(&t[0][k]);
        told_release(&t[1][k]);
    }
    int finish = 0;
    for (int64_t n = 0; finish != HEARTH_FINISH_LENGTH; n += 1 + n / 12) {
        struct hearth_engine *g = NULL;
        struct hearth_request *r = NULL;
        struct told x = { .finish = 0 };
        int32_t text[N];
        struct hearth_sampler_options so;
        struct hearth_request_options o = request(1, text, &so, NULL);
        assert_in_range(n, 0, 400);
        o.arg = &x;
        mem_fail_after(n);
        int rc = hearth_engine_open(&g, m, &(struct hearth_engine_options){ .n_ctx = 256, .speculate = 3, .draft = d }, &e);
        if (rc == 0) rc = hearth_request_submit(&r, g, &o, &e);
        if (rc == 0) finish = hearth_request_wait(r);
        mem_fail_after(-1);
        if (rc < 0) assert_int_equal(rc, HEARTH_ENOMEM);
        else if (finish != HEARTH_FINISH_LENGTH) assert_int_equal(finish, HEARTH_FINISH_ERROR);
        hearth_request_close(r);
        hearth_engine_close(g);
        told_release(&x);
    }
    hearth_model_close(m);
    hearth_model_close(d);
}

/* ---- who gets how many ---- */

static void guesses_are_shared_where_they_pay(void **state)
{
    (void)state;
    struct pace p = { .step_ns = 0 };
    uint32_t k[3];
    const struct offer good = { .right = 0.95, .most = 15 }, bad = { .right = 0.3, .most = 15 }, none = { .most = 0 };
    const struct offer dear = { .right = 0.95, .each = 0.9, .most = 15 }, must = { .right = 0.1, .least = 4, .most = 6 };
    offers_share(&p, 1, &good, 1, 15, k);              /* nothing is measured: a few are tried */
    assert_in_range(k[0], 1, 15);
    offers_share(&p, 1, &bad, 1, 15, k);
    assert_int_equal(k[0], 0);
    pace_learn(&p, 0, 100);
    for (uint32_t i = 1; i <= 15; i++) pace_learn(&p, i, 100 + 2 * i);
    offers_share(&p, 1, &good, 1, 15, k);
    assert_in_range(k[0], 12, 15);
    offers_share(&p, 1, &good, 1, 5, k);
    assert_int_equal(k[0], 5);
    offers_share(&p, 1, &dear, 1, 15, k);              /* making them takes what they save */
    assert_int_equal(k[0], 0);
    offers_share(&p, 1, &must, 1, 15, k);
    assert_int_equal(k[0], 4);
    offers_share(&p, 3, (const struct offer[]){ bad, good, none }, 3, 12, k);
    assert_true(k[1] > k[0] && k[0] + k[1] <= 12 && k[2] == 0);
    for (int n = 0; n < 40; n++)
        for (uint32_t i = 1; i <= 15; i++) pace_learn(&p, i, 100 + 95 * i);
    offers_share(&p, 1, &good, 1, 15, k);              /* a machine on which each token costs a step */
    assert_int_equal(k[0], 0);
    for (int n = 0; n < 5000; n++) pace_learn(&p, 0, 100);
    offers_share(&p, 1, &good, 1, 15, k);              /* and which may have become another */
    assert_true(k[0] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guessing_tells_the_same),
        cmocka_unit_test(another_model_may_guess),
        cmocka_unit_test(guesses_save_steps),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(little_memory),
        cmocka_unit_test(guesses_are_shared_where_they_pay),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
