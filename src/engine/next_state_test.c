/* next_state_test.c - the head for guesses behind texts that were moved about: of models with a state, which goes back behind
 * wrong guesses; behind a shift of the context; from files.  Answers have the bits of plain decoding, whatever was guessed. */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "tests/engine_fixture.h"
#include "tests/tiny_arch.h"

enum { V = TINY_VOCAB, PROMPT = 300, ANSWER = 40, MOST = 3, CTX = 512 };

static char file[64], folder[64];
static int32_t text[CTX];

/* With a state, and often right; by chance only; with experts.  Without a state: always right, by chance. */
static const struct tiny states[] = {
    { .arch = "qwen35", .type = DT_F32, .D = 64, .L = 4, .H = 4, .K = 2, .E = 32, .F = 64, .next = true, .echo = true },
    { .arch = "qwen35", .type = DT_Q8_0, .L = 4, .next = true },
    { .arch = "qwen3next", .type = DT_F32, .D = 64, .L = 5, .H = 4, .K = 2, .E = 32, .F = 32, .experts = 3, .used = 2,
      .next = true, .echo = true },
};
enum { N_STATE = sizeof states / sizeof *states, BY_CHANCE = 1, ALWAYS = N_STATE, N_NEXT = N_STATE + 2 };

static bool is_often_right(size_t i) { return i != BY_CHANCE && i <= ALWAYS; }

static struct hearth_model *open_next(size_t i)
{
    struct hearth_model *m;
    struct hearth_error e;
    struct tiny_any plain = { .t = { .arch = "glm4moe", .type = DT_F32, .D = 32, .L = 3, .H = 4, .K = 2, .E = 8, .F = 64,
                                     .experts = 4, .used = 2 }, .rot = 4, .Fe = 32, .dense = 1, .nextn = 1, .shared = 32,
                              .next = NEXT_SHARED, .echo = i == ALWAYS };
    if (i < N_STATE) {
        assert_int_equal(tiny_model(file, states[i]), 0);
    } else {
        struct buf b = { 0 };
        assert_int_equal(tiny_any_bytes(&b, &plain), 0);
        FILE *f = fopen(file, "wb");
        assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
        fclose(f);
        buf_release(&b);
    }
    if (hearth_model_open(&m, file, &(struct hearth_model_options){ .threads = 1 }, &e) < 0) fail_msg("%s", e.message);
    return m;
}

/* ---- what is told of requests ---- */

struct told { uint64_t hash[MOST]; uint32_t n[MOST], kept, stop_at; bool shifted; int32_t id[3 * ANSWER]; };

static bool see(void *arg, const struct hearth_event *ev)
{
    struct told *t = arg;
    const uint32_t c = ev->completion;
    t->kept = ev->n_kept;
    t->shifted |= ev->cut != NULL;
    if (ev->id < 0) return true;
    t->hash[c] = hash_add(t->n[c]++ ? t->hash[c] : HASH_START, hearth_session_logits(ev->session), V * 4);
    t->hash[c] = hash_add(t->hash[c], &ev->id, sizeof ev->id);
    if (!c) t->id[t->n[0] - 1] = ev->id;
    return t->n[c] != t->stop_at;
}

struct asked { size_t n; uint32_t completions, n_ctx, stop_at; bool no_cache; int finish; };

/* Requests one after the other or together; each with a sampler of its own. */
static struct hearth_engine_stats ask(struct hearth_model *m, struct hearth_engine_options o, const struct asked *a, uint32_t n,
                                      struct told *t)
{
    struct hearth_engine *g;
    struct hearth_request *r[8];
    struct hearth_error e;
    struct hearth_engine_stats s;
    struct hearth_sampler_options so;
    hearth_sampler_defaults(NULL, &so);
    o.n_ctx = CTX;
    if (hearth_engine_open(&g, m, &o, &e) < 0) fail_msg("%s", e.message);
    for (uint32_t i = 0; i < n; i++) {
        so.temperature = i % 2 ? 0.5f : 0;
        t[i] = (struct told){ .stop_at = a[i].stop_at };
        struct hearth_request_options ro = { .ids = text, .n = a[i].n, .max_tokens = a[i].n_ctx ? 3 * ANSWER : ANSWER,
                                             .n_completions = a[i].completions, .n_ctx = a[i].n_ctx, .n_keep = 7,
                                             .context = a[i].n_ctx ? HEARTH_CONTEXT_SHIFT : HEARTH_CONTEXT_STOP,
                                             .no_cache = a[i].no_cache, .sampler = &so, .ignore_end = true, .event = see,
                                             .arg = &t[i] };
        if (hearth_request_submit(&r[i], g, &ro, &e) < 0) fail_msg("%s", e.message);
        if (o.max_running == 1) hearth_request_wait(r[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(hearth_request_wait(r[i]), a[i].finish);
        hearth_request_close(r[i]);
    }
    hearth_engine_stats(g, &s);
    hearth_engine_close(g);
    return s;
}

static void no_page_is_left(struct hearth_model *m)
{
    struct hearth_memory mem;
    hearth_cache_clear(m);
    hearth_model_memory(m, &mem);
    assert_int_equal(mem.n_pages, 0);
}

static void same(const struct told *a, const struct told *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (int c = 0; c < MOST; c++) {
            assert_int_equal(a[i].n[c], b[i].n[c]);
            if (a[i].hash[c] != b[i].hash[c]) fail_msg("request %u, completion %d", i, c);
        }
}

/* Cold, found, several of a prompt, called off, shifted; alone and together; one guess at once and several. */
static void a_state_goes_back(void **state)
{
    (void)state;
    static const struct asked a[] = {
        { .n = 70, .finish = HEARTH_FINISH_LENGTH }, { .n = 150, .finish = HEARTH_FINISH_LENGTH },
        { .n = 150, .completions = MOST, .finish = HEARTH_FINISH_LENGTH },
        { .n = 90, .stop_at = 9, .finish = HEARTH_FINISH_STOPPED },
        { .n = 120, .n_ctx = 140, .finish = HEARTH_FINISH_LENGTH },
        { .n = 151, .no_cache = true, .finish = HEARTH_FINISH_LENGTH },
    };
    enum { N_ASKED = sizeof a / sizeof *a };
    for (size_t i = 0; i < N_NEXT; i++) {
        struct hearth_model *m = open_next(i);
        struct told plain[N_ASKED], told[N_ASKED];
        uint64_t right = 0, guessed = 0;
        ask(m, (struct hearth_engine_options){ .speculate = HEARTH_SPECULATE_OFF, .max_running = 8 }, a, N_ASKED, plain);
        assert_true(plain[4].shifted);
        for (int k = 0; k < 3; k++) {
            static const int many[] = { 1, 3, 0 };
            struct hearth_engine_options o = { .speculate = many[k], .guess_by = k < 2 ? HEARTH_GUESS_HEAD : 0,
                                               .max_running = k ? 8 : 3 };
            struct hearth_engine_stats s = ask(m, o, a, N_ASKED, told);
            same(plain, told, N_ASKED);
            if (k < 2) assert_true(s.n_guessed > 50 && s.n_head_guessed == s.n_guessed);
            /* Guesses that are never right are soon left alone. */
            if (i == BY_CHANCE && k == 2) assert_in_range(s.n_guessed, 1, 150);
            right += s.n_right;
            guessed += s.n_guessed;
        }
        print_message("# model %zu: %llu of %llu guesses right\n", i, (unsigned long long)right, (unsigned long long)guessed);
        if (is_often_right(i)) assert_true(right > 100 && guessed - right > 100);
        no_page_is_left(m);
        hearth_model_close(m);
    }
}

/* ---- files ---- */

static int files(void)
{
    DIR *d = opendir(folder);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *x; (x = readdir(d)) != NULL;) {
        char path[400];
        if (x->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, x->d_name);
        unlink(path);
        n++;
    }
    closedir(d);
    return n;
}

/* What an engine left in a folder is gone on from by another, which guesses too. */
static void an_answer_goes_on_from_a_file(void **state)
{
    (void)state;
    static const struct asked first = { .n = PROMPT, .finish = HEARTH_FINISH_LENGTH },
                              then = { .n = PROMPT + ANSWER + 5, .finish = HEARTH_FINISH_LENGTH };
    for (size_t i = 0; i < N_NEXT; i++) {
        struct hearth_model *m = open_next(i);
        struct hearth_engine_options o = { .speculate = HEARTH_SPECULATE_OFF, .kv_files = folder };
        struct told plain[2], told[2];
        ask(m, (struct hearth_engine_options){ .speculate = HEARTH_SPECULATE_OFF }, &first, 1, &plain[0]);
        memcpy(text + PROMPT, plain[0].id, ANSWER * sizeof *text);
        ask(m, (struct hearth_engine_options){ .speculate = HEARTH_SPECULATE_OFF }, &then, 1, &plain[1]);
        hearth_cache_clear(m);
        o.speculate = 2;
        o.guess_by = HEARTH_GUESS_HEAD;
        ask(m, o, &first, 1, &told[0]);
        hearth_model_close(m);
        m = open_next(i);
        struct hearth_engine_stats s = ask(m, o, &then, 1, &told[1]);
        same(plain, told, 2);
        assert_true(told[1].kept >= PROMPT && s.n_files_found == 1 && s.n_head_guessed > 20);
        if (is_often_right(i)) assert_true(s.n_right > 10);
        no_page_is_left(m);
        hearth_model_close(m);
        assert_true(files() > 0);
    }
}

/* ---- what the head guesses ---- */

static uint64_t guesses_of(struct hearth_session *s)
{
    float row[V];
    uint64_t h = HASH_START;
    for (uint32_t k = 0; k < 3; k++) {
        struct err err = { 0 };
        struct ahead_item it = { .q = &s->q, .adapt = &s->adaption.set, .token = (int32_t)(40 + k), .ahead = k, .logits = row };
        lock_take(&s->m->lock);
        int rc = engine_guess(s->m, &it, 1, &err);
        lock_give(&s->m->lock);
        if (rc < 0) fail_msg("%s", err.msg);
        for (int i = 0; i < V; i++) assert_true(row[i] == row[i]);
        h = hash_add(h, row, sizeof row);
    }
    return h;
}

static struct hearth_session *read_text(struct hearth_model *m, const int32_t *t, size_t n, uint32_t kept)
{
    struct hearth_session *s;
    struct hearth_error e;
    if (hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = CTX, .n_logits = 4 }, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(hearth_session_sync(s, t, n, &e), 0);
    assert_in_range(hearth_session_n_kept(s), kept, kept ? n : 0);
    return s;
}

/* A text whose middle is gone has the guesses of one that never had it; one from a file those of one that was found. */
static void guesses_are_those_of_the_text(void **state)
{
    (void)state;
    enum { LONG = 200, FROM = 30, GONE = 80 };
    for (size_t i = 0; i < N_NEXT; i++) {
        const bool recurrent = i < N_STATE;
        if (i == ALWAYS) continue;                 /* it looks at no other token */
        struct hearth_model *m = open_next(i);
        struct hearth_error e;
        int32_t cut[LONG - GONE];
        size_t found;
        memcpy(cut, text, FROM * sizeof *cut);
        memcpy(cut + FROM, text + FROM + GONE, (LONG - GONE - FROM) * sizeof *cut);
        struct hearth_session *s = read_text(m, cut, LONG - GONE, 0);
        const uint64_t fresh = guesses_of(s);
        hearth_session_close(s);
        hearth_cache_clear(m);
        s = read_text(m, text, LONG, 0);
        const uint64_t whole = guesses_of(s);
        assert_true(whole != fresh);
        assert_int_equal(hearth_session_sync(s, cut, LONG - GONE, &e), 0);
        assert_true(guesses_of(s) == fresh);
        /* Wrong guesses behind it, taken back; their keys are gone. */
        assert_int_equal(hearth_session_append(s, (const int32_t[]){ 1, 2, 3, 4 }, 4, &e), 0);
        assert_int_equal(hearth_session_drop(s, 2, &e), 0);
        const uint64_t back = guesses_of(s);
        hearth_session_close(s);
        hearth_cache_clear(m);
        s = read_text(m, cut, LONG - GONE, 0);
        assert_int_equal(hearth_session_append(s, (const int32_t[]){ 1, 2 }, 2, &e), 0);
        assert_true(guesses_of(s) == back);
        hearth_session_close(s);
        hearth_cache_clear(m);
        /* Found: behind a state the one before it is not known. */
        s = read_text(m, text, LONG, 0);
        hearth_session_close(s);
        s = read_text(m, text, LONG, 128);
        assert_true(recurrent || guesses_of(s) == whole);
        if (hearth_cache_save(s, folder, 0, &e) < 0) fail_msg("%s", e.message);
        hearth_session_close(s);
        s = read_text(m, text, LONG, 192);
        const uint64_t hit = guesses_of(s);
        hearth_session_close(s);
        hearth_model_close(m);
        m = open_next(i);
        assert_int_equal(hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = CTX, .n_logits = 4 }, &e), 0);
        if (hearth_cache_load(s, folder, text, LONG, &found, &e) < 0) fail_msg("%s", e.message);
        assert_true(found >= 192);
        hearth_session_close(s);
        s = read_text(m, text, LONG, 192);
        assert_true(guesses_of(s) == hit);
        hearth_session_close(s);
        hearth_model_close(m);
        assert_int_equal(files(), 1);
    }
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(file, sizeof file, "%s/next.gguf", dir);
    snprintf(folder, sizeof folder, "%s/past", dir);
    for (int i = 0; i < CTX; i++) text[i] = (int32_t)((uint32_t)i * 2654435761u >> 11) % V;
    return mkdir(folder, 0700);
}

static int end(void **state)
{
    (void)state;
    unlink(file);
    rmdir(folder);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_goes_back),
        cmocka_unit_test(an_answer_goes_on_from_a_file),
        cmocka_unit_test(guesses_are_those_of_the_text),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
