/* next_test.c - the head that guesses further tokens: its numbers against a plain computation in double, that they are the same
 * however the text came to be there, and that what it guesses is asked, counted and changes no answer. */
#include <unistd.h>

#include "engine/engine.h"
#include "tests/engine_fixture.h"
#include "tests/tiny_arch.h"

enum { TEXT = 21, AHEAD = 3, D = 24, L = 2, H = 4, K = 2, E = 6, F = 20, ROT = 4, V = TINY_VOCAB };

static char file[64];

static void put_any(struct tiny_any a)
{
    struct buf b = { 0 };
    assert_int_equal(tiny_any_bytes(&b, &a), 0);
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
    fclose(f);
    buf_release(&b);
}

static struct hearth_model *open_any(struct tiny_any a)
{
    struct hearth_model *m;
    struct hearth_error e;
    put_any(a);
    if (hearth_model_open(&m, file, &(struct hearth_model_options){ .threads = 2 }, &e) < 0) fail_msg("%s", e.message);
    return m;
}

/* ---- the plain computation ---- */

static const float *tensor(const struct gguf *g, const char *name)
{
    const struct gguf_tensor *t = gguf_tensor(g, name);
    if (!t || t->type != DT_F32) fail_msg("%s", name);
    return (const float *)(const void *)t->data;
}

static const float *part(const struct gguf *g, uint32_t l, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%u.%s.weight", l, name);
    return tensor(g, full);
}

static void ref_norm(double *y, const double *x, const float *w)
{
    double s = 0;
    for (int i = 0; i < D; i++) s += x[i] * x[i];
    for (int i = 0; i < D; i++) y[i] = x[i] / sqrt(s / D + 1e-5) * (double)w[i];
}

static void ref_mul(double *y, const double *x, const float *w, int n_in, int n_out)
{
    for (int r = 0; r < n_out; r++) {
        y[r] = 0;
        for (int i = 0; i < n_in; i++) y[r] += (double)w[r * n_in + i] * x[i];
    }
}

static void ref_turn(double *x, int heads, int pos)
{
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < ROT / 2; i++) {
            double a = pos * pow(10000, -2.0 * i / ROT), *p = x + h * E, u = p[i], v = p[i + ROT / 2];
            p[i] = u * cos(a) - v * sin(a);
            p[i + ROT / 2] = u * sin(a) + v * cos(a);
        }
}

static double keys[L + 1][TEXT + AHEAD][K * E], values[L + 1][TEXT + AHEAD][K * E];

/* x through layer l at position pos, which sees positions `from` on. */
static void ref_layer(const struct gguf *g, uint32_t l, double *x, int from, int pos)
{
    double n[D], q[H * E], o[H * E] = { 0 }, y[D], gate[F], up[F];
    ref_norm(n, x, part(g, l, "attn_norm"));
    ref_mul(q, n, part(g, l, "attn_q"), D, H * E);
    ref_mul(keys[l][pos], n, part(g, l, "attn_k"), D, K * E);
    ref_mul(values[l][pos], n, part(g, l, "attn_v"), D, K * E);
    ref_turn(q, H, pos);
    ref_turn(keys[l][pos], K, pos);
    for (int h = 0; h < H; h++) {
        double w[TEXT + AHEAD], sum = 0;
        const int kv = h / (H / K) * E;
        for (int p = from; p <= pos; p++) {
            double s = 0;
            for (int i = 0; i < E; i++) s += q[h * E + i] * keys[l][p][kv + i];
            sum += w[p] = exp(s / sqrt(E));
        }
        for (int p = from; p <= pos; p++)
            for (int i = 0; i < E; i++) o[h * E + i] += w[p] / sum * values[l][p][kv + i];
    }
    ref_mul(y, o, part(g, l, "attn_output"), H * E, D);
    for (int i = 0; i < D; i++) x[i] += y[i];
    ref_norm(n, x, part(g, l, "post_attention_norm"));
    ref_mul(gate, n, part(g, l, "ffn_gate"), D, F);
    ref_mul(up, n, part(g, l, "ffn_up"), D, F);
    for (int i = 0; i < F; i++) gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    ref_mul(y, gate, part(g, l, "ffn_down"), F, D);
    for (int i = 0; i < D; i++) x[i] += y[i];
}

/* The model's state and logits for the token at pos. */
static void ref_main(const struct gguf *g, int32_t token, int pos, double *state, double *logits)
{
    double x[D];
    for (int i = 0; i < D; i++) x[i] = (double)tensor(g, "token_embd.weight")[token * D + i];
    for (uint32_t l = 0; l < L; l++) ref_layer(g, l, x, 0, pos);
    ref_norm(state, x, tensor(g, "output_norm.weight"));
    ref_mul(logits, state, tensor(g, "output.weight"), D, V);
}

/* The same of the head; state: that of the token before, becomes the head's. */
static void ref_head(const struct gguf *g, int32_t token, int pos, double *state, double *logits, bool own)
{
    double both[2 * D], e[D], x[D];
    const float *table = own ? part(g, L, "nextn.embed_tokens") : tensor(g, "token_embd.weight");
    for (int i = 0; i < D; i++) e[i] = (double)table[token * D + i];
    ref_norm(both, e, part(g, L, "nextn.enorm"));
    ref_norm(both + D, state, part(g, L, "nextn.hnorm"));
    ref_mul(x, both, part(g, L, "nextn.eh_proj"), 2 * D, D);
    ref_layer(g, L, x, 1, pos);
    ref_norm(state, x, own ? part(g, L, "nextn.shared_head_norm") : tensor(g, "output_norm.weight"));
    ref_mul(logits, state, own ? part(g, L, "nextn.shared_head_head") : tensor(g, "output.weight"), D, V);
}

static double apart(const float *a, const double *b)
{
    double d = 0, s = 0;
    for (int i = 0; i < V; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += b[i] * b[i];
    }
    return d / s;
}

static void guess_row(struct hearth_session *s, int32_t token, uint32_t ahead, float *row)
{
    struct err err = { 0 };
    struct ahead_item it = { .q = &s->q, .adapt = &s->adaption.set, .token = token, .ahead = ahead, .logits = row };
    lock_take(&s->m->lock);
    int rc = engine_guess(s->m, &it, 1, &err);
    lock_give(&s->m->lock);
    if (rc < 0) fail_msg("%s", err.msg);
}

static const struct tiny_any dense = { .t = { .arch = "glm4moe", .type = DT_F32, .D = D, .L = L + 1, .H = H, .K = K, .E = E,
                                              .F = F }, .rot = ROT, .dense = L + 1, .nextn = 1 };

static void computes_what_is_published(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        struct tiny_any a = dense;
        a.next = own ? NEXT_OWN : NEXT_SHARED;
        struct hearth_model *m = open_any(a);
        struct hearth_session *s;
        struct hearth_error e;
        struct hearth_session_options o = { .n_ctx = 64, .kv_type = HEARTH_KV_F32, .n_batch = 8 };
        static double st[TEXT + 1][D], z[V];
        double at[D];
        float row[V];
        assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
        assert_int_equal(hearth_session_sync(s, ids, TEXT - 1, &e), 0);
        for (int p = 0; p < TEXT - 1; p++) {
            ref_main(m->gguf, ids[p], p, st[p], z);
            if (!p) continue;
            double h[D], ignored[V];
            memcpy(h, st[p - 1], sizeof h);
            ref_head(m->gguf, ids[p], p, h, ignored, own);
        }
        assert_true(apart(hearth_session_logits(s), z) < 1e-10);
        memcpy(at, st[TEXT - 2], sizeof at);
        int32_t token = ids[TEXT - 1];
        for (uint32_t k = 0; k < AHEAD; k++) {
            guess_row(s, token, k, row);
            ref_head(m->gguf, token, TEXT - 1 + (int)k, at, z, own);
            const double d = apart(row, z);
            if (!(d < 1e-10)) fail_msg("guess %u, own %d: %g apart", k, own, d);
            token = (token * 7 + 3) % V;
        }
        hearth_session_close(s);
        hearth_model_close(m);
    }
}

/* ---- however the text came there ---- */

static uint64_t guesses_of(struct hearth_session *s)
{
    float row[V];
    uint64_t h = HASH_START;
    for (uint32_t k = 0; k < AHEAD; k++) {
        guess_row(s, (int32_t)(40 + k), k, row);
        for (int i = 0; i < V; i++) assert_true(row[i] == row[i]);
        h = hash_add(h, row, sizeof row);
    }
    return h;
}

static struct hearth_session *open_text(struct hearth_model *m, uint32_t batch)
{
    struct hearth_session *s;
    struct hearth_error e;
    struct hearth_session_options o = { .n_ctx = 256, .n_batch = batch };
    if (hearth_session_open(&s, m, &o, &e) < 0) fail_msg("%s", e.message);
    return s;
}

static const struct tiny_any kinds[] = {
    { .t = { .arch = "glm4moe", .type = DT_Q8_0, .D = 32, .L = 3, .H = 4, .K = 2, .E = 8, .F = 64, .experts = 4, .used = 2 },
      .rot = 4, .Fe = 32, .dense = 1, .nextn = 1, .shared = 32, .next = NEXT_OWN },
    { .t = { .arch = "deepseek2", .type = DT_F32, .D = 64, .L = 3, .H = 4, .K = 2, .E = 16, .F = 96, .experts = 6, .used = 2 },
      .split = true, .q_rank = 24, .kv_rank = 32, .pe = 8, .Ev = 20, .Fe = 24, .shared = 24, .dense = 1, .groups = 3,
      .groups_used = 2, .nextn = 1, .next = NEXT_OWN },
    { .t = { .arch = "deepseek2", .type = DT_F16, .D = 64, .L = 3, .H = 4, .K = 4, .E = 16, .F = 96, .experts = 6, .used = 2 },
      .kv_rank = 32, .pe = 8, .Ev = 20, .Fe = 24, .shared = 24, .dense = 1, .nextn = 1, .next = NEXT_SHARED },
    { .t = { .arch = "bailingmoe2", .type = DT_F16, .D = 48, .L = 3, .H = 4, .K = 2, .E = 12, .F = 64, .experts = 4, .used = 2 },
      .Fe = 32, .dense = 1, .shared = 32, .nextn = 1, .next = NEXT_SHARED },
};

static void one_hash(struct hearth_model *m, bool recurrent)
{
    struct hearth_error e;
    struct hearth_session *s = open_text(m, 7);
    const int32_t more[] = { 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11 };
    const size_t n = 129;
    assert_int_equal(hearth_session_sync(s, ids, n, &e), 0);
    assert_int_equal(hearth_session_n_kept(s), 0);
    const uint64_t want = guesses_of(s);
    assert_true(guesses_of(s) == want);
    assert_int_equal(hearth_session_append(s, more, 11, &e), 0);
    if (!recurrent) {                          /* a step back, as behind wrong guesses */
        assert_int_equal(hearth_session_drop(s, 11, &e), 0);
        assert_true(guesses_of(s) == want);
    }
    hearth_session_close(s);
    s = open_text(m, 64);                      /* from the cache */
    assert_int_equal(hearth_session_sync(s, ids, n, &e), 0);
    assert_true(hearth_session_n_kept(s) >= 64);
    if (!recurrent) assert_true(guesses_of(s) == want);
    struct hearth_session *t = open_text(m, 64);
    lock_take(&m->lock);
    int rc = seq_fork(&t->q, &s->q, NULL);     /* a copy */
    lock_give(&m->lock);
    assert_int_equal(rc, 0);
    assert_true(guesses_of(t) == guesses_of(s));
    hearth_session_close(t);
    hearth_session_close(s);
    hearth_cache_clear(m);
    s = open_text(m, 512);
    assert_int_equal(hearth_session_sync(s, ids, n, &e), 0);
    assert_true(guesses_of(s) == want);
    hearth_session_close(s);
}

static void knows_the_text_however_it_came(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct hearth_model *m = open_any(kinds[i]);
        struct hearth_model_info info;
        hearth_model_info(m, &info);
        assert_true(info.guesses);
        one_hash(m, false);
        hearth_model_close(m);
    }
    assert_int_equal(tiny_model(file, (struct tiny){ .arch = "qwen35", .type = DT_Q8_0, .L = 4, .next = true }), 0);
    struct hearth_model *m;
    struct hearth_error e;
    if (hearth_model_open(&m, file, NULL, &e) < 0) fail_msg("%s", e.message);
    one_hash(m, true);
    hearth_model_close(m);
}

/* ---- asked ---- */

struct told { uint64_t hash, n; };

static bool see(void *arg, const struct hearth_event *ev)
{
    struct told *t = arg;
    if (ev->id < 0) return true;
    t->hash = hash_add(t->n++ ? t->hash : HASH_START, hearth_session_logits(ev->session), V * 4);
    t->hash = hash_add(t->hash, &ev->id, sizeof ev->id);
    return true;
}

enum { ANSWERS = 3, LONG_ANSWER = 60 };

static struct hearth_engine_stats ask(struct hearth_model *m, struct hearth_engine_options o, struct told *t)
{
    struct hearth_engine *g;
    struct hearth_request *r[ANSWERS];
    struct hearth_error e;
    struct hearth_engine_stats s;
    struct hearth_sampler_options so;
    hearth_sampler_defaults(NULL, &so);
    o.n_ctx = 256;
    if (hearth_engine_open(&g, m, &o, &e) < 0) fail_msg("%s", e.message);
    for (uint32_t i = 0; i < ANSWERS; i++) {
        so.temperature = i == 1 ? 0.5f : 0;
        t[i] = (struct told){ 0, 0 };
        struct hearth_request_options ro = { .ids = ids + i, .n = 70 + i, .max_tokens = LONG_ANSWER, .sampler = &so,
                                             .ignore_end = true, .event = see, .arg = &t[i] };
        if (hearth_request_submit(&r[i], g, &ro, &e) < 0) fail_msg("%s", e.message);
        if (o.max_running == 1) hearth_request_wait(r[i]);
    }
    for (uint32_t i = 0; i < ANSWERS; i++) {
        assert_int_equal(hearth_request_wait(r[i]), HEARTH_FINISH_LENGTH);
        hearth_request_close(r[i]);
    }
    hearth_engine_stats(g, &s);
    hearth_engine_close(g);
    return s;
}

static void guesses_change_no_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct hearth_model *m = open_any(kinds[i]);
        struct told plain[ANSWERS], told[ANSWERS];
        ask(m, (struct hearth_engine_options){ .speculate = HEARTH_SPECULATE_OFF }, plain);
        for (int k = 0; k < 4; k++) {
            struct hearth_engine_options o = { .speculate = k & 1 ? 0 : 3, .guess_by = k < 2 ? HEARTH_GUESS_HEAD : 0,
                                               .max_running = k & 2 ? 8 : 1 };
            struct hearth_engine_stats s = ask(m, o, told);
            assert_memory_equal(plain, told, sizeof plain);
            if (k == 0) assert_true(s.n_guessed > 100 && s.n_head_guessed == s.n_guessed);
        }
        hearth_model_close(m);
    }
}

/* A model that goes by its last token alone, and a head that does the same: all guesses are right, in a row too. */
static void right_guesses_are_taken(void **state)
{
    (void)state;
    struct tiny_any a = kinds[0];
    a.t.type = DT_F32;
    a.next = NEXT_SHARED;
    a.echo = true;
    struct hearth_model *m = open_any(a);
    struct told plain[ANSWERS], told[ANSWERS];
    ask(m, (struct hearth_engine_options){ .speculate = HEARTH_SPECULATE_OFF, .max_running = 1 }, plain);
    struct hearth_engine_stats s = ask(m, (struct hearth_engine_options){ .speculate = 4, .guess_by = HEARTH_GUESS_HEAD,
                                                                          .max_running = 1 }, told);
    assert_memory_equal(plain, told, sizeof plain);
    print_message("# %llu of %llu guesses right, %llu steps\n", (unsigned long long)s.n_right, (unsigned long long)s.n_guessed,
                  (unsigned long long)s.n_steps);
    assert_true(s.n_head_guessed == s.n_guessed && s.n_right >= 2 * (LONG_ANSWER - LONG_ANSWER / 5 - 2));
    /* a text of a session, with the library's own loop */
    struct hearth_session *p;
    struct hearth_speculator *g;
    struct hearth_error e;
    struct hearth_session_options so = { .n_ctx = 256, .n_logits = 5 };
    assert_int_equal(hearth_session_open(&p, m, &so, &e), 0);
    assert_int_equal(hearth_session_sync(p, ids, 30, &e), 0);
    assert_int_equal(hearth_speculator_open(&g, p, 4, &e), 0);
    hearth_speculator_ask(g, HEARTH_GUESS_HEAD);
    int32_t text[34], row[5];
    memcpy(text, ids, 30 * sizeof *text);
    text[30] = 77;
    assert_int_equal(hearth_speculator_draft(g, text, 31, row + 1, 4), 4);
    row[0] = 77;
    assert_int_equal(hearth_session_append(p, row, 5, &e), 0);
    size_t n;
    const float *z = hearth_session_logits_rows(p, &n);
    assert_int_equal(n, 5);
    for (int i = 0; i < 4; i++) {
        int best = 0;
        for (int v = 1; v < V; v++)
            if (z[i * V + v] > z[i * V + best]) best = v;
        assert_int_equal(best, row[i + 1]);
    }
    hearth_speculator_close(g);
    hearth_session_close(p);
    hearth_model_close(m);
}

/* A file that says that it has such a block, and has not, is a model without one; a wrong shape is named. */
static void files_may_be_without(void **state)
{
    (void)state;
    struct tiny_any a = dense;
    struct hearth_model *m = open_any(a);
    struct hearth_model_info info;
    hearth_model_info(m, &info);
    assert_false(info.guesses);
    hearth_model_close(m);
    a.next = NEXT_OWN;
    a.damage = true;
    uint32_t seen = 0;
    for (a.wrong = 0;; a.wrong++) {
        struct hearth_error e;
        struct tiny_any b = a;
        struct buf bytes = { 0 };
        assert_int_equal(tiny_any_bytes(&bytes, &b), 0);
        buf_release(&bytes);
        if (a.wrong >= b.n_tensor) break;
        if (!strstr(b.wrong_name, "nextn.") && !strstr(b.wrong_name, "blk.2.")) continue;
        put_any(a);
        assert_true(hearth_model_open(&m, file, NULL, &e) < 0);
        if (!strstr(e.message, b.wrong_name)) fail_msg("%s: %s", b.wrong_name, e.message);
        seen++;
    }
    assert_true(seen >= 10);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    for (size_t i = 0; i < N; i++) ids[i] = (int32_t)((i * i * 7 + i * 13 + 5) % TINY_VOCAB);
    snprintf(file, sizeof file, "%s/next.gguf", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_what_is_published),
        cmocka_unit_test(knows_the_text_however_it_came),
        cmocka_unit_test(guesses_change_no_answer),
        cmocka_unit_test(right_guesses_are_taken),
        cmocka_unit_test(files_may_be_without),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
