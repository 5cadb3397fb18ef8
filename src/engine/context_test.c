/* context_test.c - texts that do not fit: what is refused, what goes, and that exactly this is told. */
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/engine_fixture.h"

static void cuts(void **state)
{
    (void)state;
    struct hearth_cut c;
    struct hearth_error e;
    assert_int_equal(hearth_context_fit(HEARTH_CONTEXT_STOP, 100, 100, 0, &c, &e), 0);
    assert_int_equal(c.n, 0);
    for (int p = HEARTH_CONTEXT_STOP; p <= HEARTH_CONTEXT_DROP; p++) {
        assert_int_equal(hearth_context_fit(p, 101, 100, 0, &c, &e), HEARTH_ELIMIT);
        assert_non_null(strstr(e.message, "101"));
        assert_non_null(strstr(e.message, "100"));
    }
    assert_int_equal(hearth_context_fit(4, 1, 100, 0, &c, &e), HEARTH_EARG);
    assert_int_equal(hearth_context_fit(-1, 1, 100, 0, &c, &e), HEARTH_EARG);
    static const struct { size_t n, room, keep, from, cut; } row[] = {
        { 101, 100, 0, 50, 1 }, { 1000, 100, 10, 10, 900 }, { 1000, 100, 100, 50, 900 }, { 3, 1, 0, 0, 2 }, { 5, 2, 1, 1, 3 } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_int_equal(hearth_context_fit(HEARTH_CONTEXT_MIDDLE, row[i].n, row[i].room, row[i].keep, &c, &e), 0);
        assert_int_equal(c.from, row[i].from);
        assert_int_equal(c.n, row[i].cut);
    }
    for (size_t n = 2; n < 40; n++)
        for (size_t keep = 0; keep < 50; keep++) {
            hearth_context_shift(n, keep, &c);
            assert_true(c.n >= 1 && c.from >= 1 && c.from + c.n <= n);
        }
    int32_t v[6] = { 0, 1, 2, 3, 4, 5 };
    assert_int_equal(hearth_context_cut(v, 6, &(struct hearth_cut){ .from = 1, .n = 3 }), 3);
    assert_memory_equal(v, ((int32_t[]){ 0, 4, 5 }), 3 * sizeof *v);
    assert_int_equal(hearth_context_room(100, 0), 75);
    assert_int_equal(hearth_context_room(100, 10), 90);
    assert_int_equal(hearth_context_room(100, 1000), 75);
    assert_int_equal(hearth_context_room(2, 0), 1);
}

/* ---- conversations ---- */

static const char template[] = "{% for m in messages %}[{{ m.role[0] }}:{{ m.content }}]{% endfor %}"
                               "{% if add_generation_prompt %}>{% endif %}";
static const char *const said[][2] = { { "system", "be" }, { "user", "one" }, { "assistant", "1" }, { "user", "two" },
                                       { "assistant", "22" }, { "tool", "x" }, { "system", "so" }, { "user", "three" } };
enum { SAID = sizeof said / sizeof *said };

/* The prompt of a room of so many tokens (a byte each), or NULL. */
static char *prompt_in(struct hearth_model *m, uint32_t room, int context, struct hearth_cut *cut, struct hearth_error *e)
{
    struct hearth_chat_message v[SAID];
    struct hearth_chat_request r = { .messages = v, .n = SAID, .context = context, .room = room };
    struct hearth_chat *c;
    size_t n, n_text;
    char *text;
    for (size_t i = 0; i < SAID; i++) v[i] = (struct hearth_chat_message){ .role = said[i][0], .content = said[i][1] };
    if (hearth_chat_open(&c, m, &r, e) < 0) {
        assert_null(c);
        return NULL;
    }
    const int32_t *id = hearth_chat_ids(c, &n);
    assert_true(!room || n <= room);
    hearth_chat_cut(c, cut);
    if (hearth_detokenize(m, id, n, true, &text, &n_text, e) < 0) text = NULL;
    hearth_chat_close(c);
    return text;
}

static void turns_go(void **state)
{
    (void)state;
    char path[80];
    snprintf(path, sizeof path, "%s/chat.gguf", dir);
    assert_int_equal(tiny_model(path, (struct tiny){ .arch = "llama", .type = DT_Q8_0, .chat = template }), 0);
    struct hearth_model *m;
    struct hearth_error e;
    struct hearth_cut c;
    assert_int_equal(hearth_model_open(&m, path, NULL, &e), 0);
    static const char whole[] = "[s:be][u:one][a:1][u:two][a:22][t:x][s:so][u:three]>";
    static const struct { uint32_t room; const char *text; size_t from, n, first, messages; } row[] = {
        { 0, whole, 0, 0, 0, 0 },
        { sizeof whole - 1, whole, 0, 0, 0, 0 },
        { sizeof whole - 2, "[s:be][u:two][a:22][t:x][s:so][u:three]>", 9, 12, 1, 2 },
        { 40, "[s:be][u:two][a:22][t:x][s:so][u:three]>", 9, 12, 1, 2 },
        { 39, "[s:be][s:so][u:three]>", 7, 30, 1, 5 },
        { 22, "[s:be][s:so][u:three]>", 7, 30, 1, 5 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *text = prompt_in(m, row[i].room, HEARTH_CONTEXT_DROP, &c, &e);
        if (!text) fail_msg("%s", e.message);
        assert_string_equal(text, row[i].text);
        if (c.from != row[i].from || c.n != row[i].n || c.first_message != row[i].first || c.n_messages != row[i].messages)
            fail_msg("row %zu: from %zu, %zu tokens, message %zu, %zu messages", i, c.from, c.n, c.first_message, c.n_messages);
        hearth_free(text);
    }
    assert_null(prompt_in(m, 21, HEARTH_CONTEXT_DROP, &c, &e));
    assert_int_equal(e.code, HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "has 22 tokens, but a prompt may have 21"));
    assert_null(prompt_in(m, 51, HEARTH_CONTEXT_STOP, &c, &e));
    assert_int_equal(e.code, HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "of 52 tokens does not fit: it may have 51"));
    assert_null(prompt_in(m, 100, 9, &c, &e));
    assert_int_equal(e.code, HEARTH_EARG);
    char *text = prompt_in(m, 20, HEARTH_CONTEXT_MIDDLE, &c, &e);
    assert_string_equal(text, "[s:be][u:o[u:three]>");
    assert_int_equal(c.from, 10);
    assert_int_equal(c.n, 32);
    hearth_free(text);
    /* Without memory, nothing is half done. */
    int rc = -1;
    for (int64_t n = 0; rc < 0; n += 1 + n / 32) {
        mem_fail_after(n);
        text = prompt_in(m, 39, HEARTH_CONTEXT_DROP, &c, &e);
        mem_fail_after(-1);
        assert_in_range(n, 0, 3000);
        if (text) rc = 0;
        else if (e.code != HEARTH_ENOMEM) fail_msg("allocation %d: %d %s", (int)n, e.code, e.message);
        hearth_free(text);
    }
    hearth_model_close(m);
    unlink(path);
}

/* ---- requests ---- */

enum { CTX = 70, ANSWER = 110 };

struct answer {
    int32_t id[ANSWER];
    uint64_t hash;
    uint32_t n, n_cuts, at[8];         /* behind how many tokens something went */
    struct hearth_cut cut[8];
    int finish;
};

static bool see(void *arg, const struct hearth_event *ev)
{
    struct answer *a = arg;
    if (ev->cut) {
        assert_true(a->n_cuts < 8);
        a->at[a->n_cuts] = a->n;
        a->cut[a->n_cuts++] = *ev->cut;
    }
    if (ev->id >= 0) {
        a->hash = hash_add(a->n ? a->hash : HASH_START, hearth_session_logits(ev->session), TINY_VOCAB * 4);
        a->id[a->n++] = ev->id;
    }
    if (ev->finish) a->finish = ev->finish;
    return true;
}

static struct answer ask(struct hearth_model *m, const struct hearth_request_options *with)
{
    struct hearth_engine *g;
    struct hearth_request *r;
    struct hearth_error e;
    struct answer a = { .n = 0 };
    struct hearth_sampler_options so;
    struct hearth_request_options o = *with;
    hearth_sampler_defaults(NULL, &so);
    so.temperature = 1, so.top_k = 0, so.seed = 5;
    o.sampler = &so, o.ignore_end = true, o.event = see, o.arg = &a;
    assert_int_equal(hearth_engine_open(&g, m, &(struct hearth_engine_options){ .n_ctx = CTX }, &e), 0);
    if (hearth_request_submit(&r, g, &o, &e) < 0) fail_msg("%s", e.message);
    hearth_request_wait(r);
    hearth_request_close(r);
    hearth_engine_close(g);
    return a;
}

static void prompts_lose_their_middle(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(1, NULL, 1);
    struct hearth_error e;
    for (uint32_t keep = 0; keep < 20; keep += 10) {
        int32_t cut[CTX];
        uint32_t from = keep ? keep : 30, room = CTX - 10;
        memcpy(cut, ids, from * sizeof *cut);
        memcpy(cut + from, ids + N - (room - from), (room - from) * sizeof *cut);
        struct answer want = ask(m, &(struct hearth_request_options){ .ids = cut, .n = room, .max_tokens = 10 });
        struct answer got = ask(m, &(struct hearth_request_options){ .ids = ids, .n = N, .max_tokens = 10, .n_keep = keep,
                                                                     .context = HEARTH_CONTEXT_MIDDLE });
        assert_int_equal(got.finish, HEARTH_FINISH_LENGTH);
        assert_memory_equal(got.id, want.id, sizeof want.id);
        assert_true(got.hash == want.hash);
        assert_int_equal(want.n_cuts, 0);
        assert_int_equal(got.n_cuts, 1);
        assert_int_equal(got.at[0], 0);
        assert_int_equal(got.cut[0].from, from);
        assert_int_equal(got.cut[0].n, N - room);
    }
    struct answer full = ask(m, &(struct hearth_request_options){ .ids = ids, .n = N, .context = HEARTH_CONTEXT_MIDDLE });
    assert_int_equal(full.finish, HEARTH_FINISH_CONTEXT);
    assert_int_equal(full.n, CTX / 4);
    struct hearth_engine *g;
    struct hearth_request *r;
    assert_int_equal(hearth_engine_open(&g, m, &(struct hearth_engine_options){ .n_ctx = CTX }, &e), 0);
    struct hearth_request_options o = { .ids = ids, .n = N };
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "150"));
    assert_non_null(strstr(e.message, "70"));
    o.context = HEARTH_CONTEXT_DROP;
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), HEARTH_EARG);
    hearth_engine_close(g);
    hearth_model_close(m);
}

/* What goes on behind a shift is what a session says that evaluates the rest of the text as a prompt. */
static void answers_shift(void **state)
{
    (void)state;
    static const size_t which[] = { 0, 3, 8, 10 };
    for (size_t w = 0; w < 4; w++) {
        struct hearth_model *m = open_model(which[w], NULL, 1);
        struct answer got = ask(m, &(struct hearth_request_options){ .ids = ids, .n = 50, .max_tokens = ANSWER, .n_keep = 7,
                                                                     .context = HEARTH_CONTEXT_SHIFT });
        assert_int_equal(got.finish, HEARTH_FINISH_LENGTH);
        assert_int_equal(got.n, ANSWER);
        assert_true(got.n_cuts >= 3);
        int32_t text[CTX];
        size_t n = 50;
        uint32_t cuts = 0;
        uint64_t hash = HASH_START;
        struct hearth_session *s;
        struct hearth_sampler *p;
        struct hearth_sampler_options so;
        struct hearth_error e;
        hearth_sampler_defaults(NULL, &so);
        so.temperature = 1, so.top_k = 0, so.seed = 5;
        assert_int_equal(hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = CTX, .no_cache = true }, &e), 0);
        assert_int_equal(hearth_sampler_open(&p, m, &so, &e), 0);
        memcpy(text, ids, n * sizeof *text);
        for (uint32_t i = 0; i < ANSWER; i++) {
            assert_int_equal(hearth_session_sync(s, text, n, &e), 0);
            hash = hash_add(hash, hearth_session_logits(s), TINY_VOCAB * 4);
            text[n++] = hearth_sampler_pick(p, s);
            if (n < CTX) continue;
            struct hearth_cut c = { .from = 7, .n = (CTX - 7) / 2 };
            n = hearth_context_cut(text, n, &c);
            if (cuts == got.n_cuts) continue;                  /* behind the last token */
            assert_int_equal(got.at[cuts], i + 1);
            assert_int_equal(got.cut[cuts].from, c.from);
            assert_int_equal(got.cut[cuts++].n, c.n);
        }
        assert_int_equal(cuts, got.n_cuts);
        assert_true(hash == got.hash);
        hearth_sampler_close(p);
        hearth_session_close(s);
        hearth_model_close(m);
    }
}

/* ---- shifts of answers that are held to something ---- */

static void gather(void *arg, uint32_t completion, const struct hearth_chat_event *e)
{
    (void)completion;
    buf_put(arg, e->text, e->n);
}

/* Whether it is a beginning of ([ab]{3,9}c)*. */
static bool has_form(const char *s)
{
    size_t run = 0;
    for (; *s; s++) {
        if (*s == 'c' ? run < 3 : (*s != 'a' && *s != 'b') || run == 9) return false;
        run = *s == 'c' ? 0 : run + 1;
    }
    return true;
}

static uint32_t n_shifts;

static bool count_shifts(void *arg, const struct hearth_event *ev)
{
    (void)arg;
    n_shifts += ev->cut != NULL;
    return true;
}

/* keep: also inside the answer, so that its middle goes. */
static void forms_and_bans_shift(void **state)
{
    (void)state;
    static const char *const ban[] = { "d", "hi", "bb", "A", "ee" };
    struct hearth_model *m = open_model(1, NULL, 1);
    struct hearth_engine *g;
    struct hearth_grammar *gram;
    struct hearth_error e;
    assert_int_equal(hearth_engine_open(&g, m, &(struct hearth_engine_options){ .n_ctx = CTX, .speculate = 4 }, &e), 0);
    assert_int_equal(hearth_grammar_open(&gram, m, HEARTH_GRAMMAR_REGEX, "([ab]{3,9}c){300}", 17, &e), 0);
    for (uint32_t k = 0; k < 12; k++) {
        struct buf told = { 0 };
        struct hearth_request *r;
        struct hearth_sampler_options so;
        hearth_sampler_defaults(NULL, &so);
        so.seed = k, so.top_k = 0;
        if (k % 6 == 4) so.mirostat = 2;
        const bool form = k % 2;
        struct hearth_request_options o = { .ids = ids, .n = 20, .max_tokens = 330, .n_keep = k % 3 * 15, .sampler = &so,
                                            .ignore_end = true, .context = HEARTH_CONTEXT_SHIFT, .said = gather, .arg = &told,
                                            .event = count_shifts, .grammar = form ? gram : NULL, .every_token = k % 4 == 1,
                                            .ban = ban, .n_ban = form ? 0 : 5 };
        n_shifts = 0;
        if (hearth_request_submit(&r, g, &o, &e) < 0) fail_msg("%s", e.message);
        assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_LENGTH);
        hearth_request_close(r);
        assert_true(n_shifts >= 4);
        if (form && (told.len < 200 || !has_form(told.data))) fail_msg("request %u: %s", k, told.data);
        for (size_t i = 0; !form && i < 5; i++)
            for (size_t at = 0, n = strlen(ban[i]); at + n <= told.len; at++)
                if (!strncasecmp(told.data + at, ban[i], n)) fail_msg("request %u says %s", k, ban[i]);
        buf_release(&told);
    }
    hearth_grammar_close(gram);
    hearth_engine_close(g);
    hearth_model_close(m);
}

/* A template that came with a model and is wrong is said when a chat is asked for; one that was chosen, at once. */
static void wrong_templates(void **state)
{
    (void)state;
    char path[] = "/tmp/hearth-context-XXXXXX";
    struct hearth_message hi = { .role = "user", .content = "x" };
    struct hearth_model_options spare = { .threads = 1, .spare_template = "{{ if .Prompt }}" };
    struct hearth_model_options good = { .threads = 1, .spare_template = "<{{ .Prompt }}>{{ .Response }}" };
    struct hearth_model_options chosen = { .threads = 1, .chat_template = "{{ if .Prompt }}" };
    struct hearth_model *m;
    struct hearth_model_info info;
    struct hearth_error e;
    int32_t *v;
    size_t n;
    close(mkstemp(path));
    assert_int_equal(tiny_model(path, (struct tiny){ .arch = "llama", .type = DT_Q8_0, .chat = "" }), 0);
    assert_int_equal(hearth_model_open(&m, path, &spare, &e), 0);
    assert_int_equal(hearth_chat_prompt(m, &hi, 1, &v, &n, &e), HEARTH_EUNSUPPORTED);
    assert_non_null(strstr(e.message, "line 1, column 17: this block has no end"));
    hearth_model_close(m);
    assert_int_equal(hearth_model_open(&m, path, &good, &e), 0);
    hearth_model_info(m, &info);
    assert_int_equal(info.n_chat_template, strlen(good.spare_template));
    assert_int_equal(hearth_chat_prompt(m, &hi, 1, &v, &n, &e), 0);
    hearth_free(v);
    hearth_model_close(m);
    assert_true(hearth_model_open(&m, path, &chosen, &e) < 0);
    assert_non_null(strstr(e.message, "the chat template that was given: template: line 1"));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts),
        cmocka_unit_test(wrong_templates),
        cmocka_unit_test(turns_go),
        cmocka_unit_test(prompts_lose_their_middle),
        cmocka_unit_test(answers_shift),
        cmocka_unit_test(forms_and_bans_shift),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
