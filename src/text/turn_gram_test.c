/* What an answer may be, for every family: random walks through the masks of a vocabulary whose marks are text, and of one in
 * which they are control tokens, must be read back as calls that keep their schemas. */
#include "tests/testing.h"
#include "tests/tiny_vocab.h"

#include "base/mem.h"
#include "tests/grammar.h"
#include "text/call_gram.h"
#include "text/turn_gram.h"

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"city\":{\"type\":\"string\"},\"unit\":{\"type\":\"string\",\"enum\":[\"C\",\"F\"]},"
    "\"n\":{\"type\":\"integer\"},\"l\":{\"type\":\"array\"},"
    "\"zip\":{\"type\":\"string\",\"pattern\":\"^[0-9]{2,4}$\"},\"yes\":{\"type\":\"boolean\"}},"
    "\"required\":[\"city\",\"n\",\"zip\"],\"additionalProperties\":false}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\",\"parameters\":{\"type\":\"object\",\"properties\":{},"
    "\"additionalProperties\":false}}}]";
static struct json *tools;
static struct grammar *schema[2];
static unsigned walks, unended;                 /* a list of calls may go on for ever */

static uint64_t seed = 1;
static uint32_t draw(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

/* ---- a vocabulary ---- */

static void add_marks(struct tiny_list *l, const char *s)
{
    for (const char *p = s; p && *p; p++) {
        size_t n = strcspn(p, *p == '[' ? "]" : ">");
        bool bracket = *p == '<' || (*p == '[' && p[1] >= 'A' && p[1] <= 'Z');
        if (!bracket || !p[n] || memchr(p, '%', n) || memchr(p, ' ', n)) continue;
        n++;
        bool known = false;
        for (size_t i = 0; i < l->n; i++) known |= l->s[i].n == n && !memcmp(l->s[i].s, p, n);
        if (!known) tiny_add_n(l, p, n, 3);
        p += n - 1;
    }
}

static struct tiny_vocab open_vocab(bool control)
{
    static struct tiny_list l, merges;
    struct gguf_writer *w;
    struct tiny_vocab v = { 0 };
    struct err e = { 0 };
    memset(&l, 0, sizeof l);
    memset(&merges, 0, sizeof merges);
    tiny_tokens(&l, TINY_BPE);
    uint32_t eos = 0;
    for (uint32_t i = 0; i < l.n; i++)
        if (l.type[i] == 3 && !eos) eos = i;
    for (size_t i = 0; control && call_form_at(i); i++) {
        const struct call_form *f = call_form_at(i);
        add_marks(&l, f->open), add_marks(&l, f->close), add_marks(&l, f->call), add_marks(&l, f->param);
    }
    if (control) {
        add_marks(&l, "<|channel|><|message|><|start|><|constrain|><|end|><|\"|></think>[THINK][/THINK]<|START_THINKING|>");
        add_marks(&l, "<|END_THINKING|><|inner_prefix|><|inner_suffix|><channel|><|call|><|return|>");
    }
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    gguf_put_str(w, "tokenizer.ggml.pre", "qwen2", 5);
    gguf_put_strs(w, "tokenizer.ggml.tokens", l.s, l.n);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, l.type, l.n);
    tiny_words(&merges, TINY_MERGES, 1);
    gguf_put_strs(w, "tokenizer.ggml.merges", merges.s, merges.n);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", eos);
    v.g = tiny_gguf(w);
    if (!v.g || tokenizer_open(&v.t, v.g, &e) < 0) fail_msg("%s", e.msg);
    return v;
}

/* ---- a walk ---- */

struct walk { const struct vocab *v; struct buf text; const char *close[4]; };

static bool has(const uint64_t *mask, int32_t id) { return id >= 0 && mask[id >> 6] >> (id & 63) & 1; }

/* A token that begins s, the longest, among those allowed. */
static int32_t first_of(const struct walk *w, const uint64_t *mask, const char *s)
{
    int32_t whole = tokenizer_find(w->v->tokenizer, s, strlen(s));
    if (has(mask, whole)) return whole;
    for (size_t n = strlen(s); n; n--) {
        uint32_t node = vocab_walk(w->v, 0, (const uint8_t *)s, n);
        for (uint32_t i = w->v->node[node].token; node && i < w->v->node[node + 1].token; i++)
            if (has(mask, w->v->order[i])) return w->v->order[i];
    }
    return -1;
}

/* What ends texts, lists and objects. */
static int32_t closer(const struct walk *w, const uint64_t *mask)
{
    static const char *const one[] = { "\"", "}", "]", ")", ":", ",", "0", "1" };
    int32_t id = -1;
    size_t n = 0, turn = draw(12);
    while (n < 4 && w->close[n]) n++;
    for (size_t i = 0; i < n && id < 0; i++) {
        const char *s = w->close[(i + turn) % n];
        size_t k = strlen(s) - 1;
        while (k && (k > w->text.len || memcmp(w->text.data + w->text.len - k, s, k) != 0)) k--;
        if (k) id = first_of(w, mask, s + k);
    }
    bool marks = draw(2);
    for (size_t i = 0; marks && i < n && id < 0; i++) id = first_of(w, mask, w->close[(i + turn) % n]);
    for (size_t i = 0; i < sizeof one / sizeof *one && id < 0; i++) {
        id = tokenizer_find(w->v->tokenizer, one[i], 1);
        if (!has(mask, id)) id = -1;
    }
    return id;
}

static int32_t choose(const struct walk *w, const uint64_t *mask, int step)
{
    int32_t n = w->v->n_vocab, id = step > 40 || draw(3) == 0 ? closer(w, mask) : -1;
    for (int32_t i = 0, at = (int32_t)draw((uint32_t)n); i < n && id < 0; i++)
        if (has(mask, (at + i) % n)) id = (at + i) % n;
    return id;
}

static void take(struct walk *w, struct matcher *m, int32_t id)
{
    struct err e = { 0 };
    if (matcher_accept(m, id, &e) < 0) fail_msg("%s after %s", e.msg, w->text.data ? w->text.data : "");
    if (!tokenizer_is_eog(w->v->tokenizer, id)) tokenizer_piece(w->v->tokenizer, id, true, &w->text);
}

static void take_text(struct walk *w, struct matcher *m, const char *text)
{
    struct ids ids = { 0 };
    assert_int_equal(tokenizer_encode(w->v->tokenizer, text, strlen(text), TOK_PARSE, &ids, NULL), 0);
    for (size_t i = 0; i < ids.n; i++) take(w, m, ids.id[i]);
    ids_release(&ids);
}

/* To the end; false when it takes too long. */
static bool walk_on(struct walk *w, struct matcher *m)
{
    const uint64_t *mask;
    struct err e = { 0 };
    for (int k = 0; k < 1500; k++) {
        if (matcher_is_done(m) || (k > 40 && matcher_may_end(m)) || (matcher_may_end(m) && draw(3) == 0)) return true;
        if (matcher_mask(m, &mask, &e) < 0) fail_msg("%s after %s", e.msg, w->text.data ? w->text.data : "");
        assert_non_null(mask);
        struct ids forced = { 0 };
        if (k % 3 == 0) matcher_forced_tokens(m, &forced, &e);
        int32_t id = forced.n ? forced.id[0] : choose(w, mask, k);
        ids_release(&forced);
        take(w, m, id);
    }
    return false;
}

/* ---- what is read ---- */

struct seen { size_t n, warnings, bad; struct buf text, calls, args, why; const char *name; bool get; };

static void on_event(void *arg, const struct answer_event *e)
{
    struct seen *s = arg;
    if (e->kind == ANSWER_TEXT) buf_put(&s->text, e->text, e->n);
    if (e->kind == ANSWER_REASONING) buf_put(&s->why, e->text, e->n);
    if (e->kind == ANSWER_WARNING) s->warnings++;
    if (e->kind == ANSWER_CALL) {
        buf_printf(&s->calls, "%s;", e->name);
        buf_clear(&s->args);
        s->get = !strcmp(e->name, "get");
    }
    if (e->kind == ANSWER_ARGS) buf_put(&s->args, e->text, e->n);
    if (e->kind != ANSWER_CALL_END) return;
    s->n++;
    if (grammar_verdict(schema[s->get ? 0 : 1], s->args.data, s->args.len) != V_WHOLE) s->bad++;
}

static struct seen read_back(const struct dialect *d, const struct buf *text, bool in_reasoning)
{
    struct seen s = { 0 };
    struct answer_options o = { .dialect = *d, .tools = tools, .fn = on_event, .arg = &s, .in_reasoning = in_reasoning };
    struct answer *a;
    assert_int_equal(answer_open(&a, &o, NULL), 0);
    answer_push(a, text->data, text->len);
    answer_finish(a);
    answer_close(a);
    return s;
}

static void seen_release(struct seen *s)
{
    buf_release(&s->text), buf_release(&s->calls), buf_release(&s->args), buf_release(&s->why);
}

static void one_turn(const struct vocab *v, const struct dialect *d, const struct turn_gram *asked, const char *before)
{
    struct turn_gram q = *asked;
    struct turn_plan plan;
    struct matcher *m;
    struct err e = { 0 };
    struct walk w = { .v = v };
    const char *name = d->form ? d->form->name : "channels";
    const char *mark = d->form && d->form->param ? strstr(d->form->param, "%v") : NULL;
    size_t n = 0;
    q.dialect = d;
    q.tokenizer = v->tokenizer;
    q.tools = tools;
    if (turn_grammar(&q, &plan, &e) < 0) fail_msg("%s: %s", name, e.msg);
    if (!plan.grammar) {                                /* no mark to wait for */
        assert_int_equal(q.choice, TURN_AUTO);
        turn_plan_release(&plan);
        return;
    }
    if (matcher_open(&m, plan.grammar, v, &plan.how, &e) < 0) fail_msg("%s: %s", name, e.msg);
    if (d->form && d->form->close) w.close[n++] = d->form->close;
    if (mark) w.close[n++] = mark + 2 + strspn(mark + 2, " \n");
    if (d->think_close) w.close[n++] = d->think_close;
    w.close[n++] = d->channels ? "<|end|>" : "<|\"|>";
    if (before) take_text(&w, m, before);
    if (before && plan.how.within) take_text(&w, m, plan.trigger.data);
    if (walk_on(&w, m)) {
        struct seen s = read_back(d, &w.text, q.in_reasoning);
        const char *calls = s.calls.data ? s.calls.data : "";
        bool good = s.n > 0 && !s.warnings && !s.bad && (before || !s.text.len) && (!q.one_call || s.n == 1);
        if (q.name) good &= !strncmp(calls, q.name, strlen(q.name)) && !strstr(calls, strcmp(q.name, "get") ? "get" : "now");
        if (!good) fail_msg("%s: text %s, calls %s, last arguments %s (%zu bad) of\n%s", name, s.text.data ? s.text.data : "",
                            calls, s.args.data, s.bad, w.text.data);
        seen_release(&s);
    } else unended++;
    walks++;
    matcher_close(m);
    buf_release(&w.text);
    turn_plan_release(&plan);
}

/* With tool_choice none the mark of a call never comes, but inside reasoning. */
static void no_mark(const struct vocab *v, const struct dialect *d, bool thinking)
{
    struct turn_gram q = { .dialect = d, .tokenizer = v->tokenizer, .tools = tools, .choice = TURN_NONE,
                           .in_reasoning = thinking };
    struct turn_plan plan;
    struct matcher *m;
    struct err e = { 0 };
    struct walk w = { .v = v };
    struct ids ids = { 0 };
    const uint64_t *mask;
    assert_int_equal(turn_grammar(&q, &plan, &e), 0);
    if (plan.grammar) {
        assert_int_equal(matcher_open(&m, plan.grammar, v, &plan.how, &e), 0);
        take_text(&w, m, "ab");
        if (thinking) take_text(&w, m, plan.trigger.data);
        if (thinking) take_text(&w, m, d->think_close);
        assert_int_equal(tokenizer_encode(v->tokenizer, plan.trigger.data, plan.trigger.len, TOK_PARSE, &ids, NULL), 0);
        for (size_t i = 0; i < ids.n; i++) {
            bool last = i + 1 == ids.n;
            assert_int_equal(matcher_mask(m, &mask, &e), 0);
            if (last && (!mask || has(mask, ids.id[i]) || matcher_allows(m, ids.id[i]))) fail_msg("%s comes", plan.trigger.data);
            if (!last) take(&w, m, ids.id[i]);
        }
        assert_true(matcher_may_end(m));
        matcher_close(m);
    }
    ids_release(&ids);
    buf_release(&w.text);
    turn_plan_release(&plan);
}

static struct dialect dialect_of(const struct call_form *f, bool thinks)
{
    struct dialect d = { .form = f, .channels = !f };
    if (!f || !thinks) return d;
    bool thought = strstr(f->name, "mistral") != NULL;
    d.think_open = thought ? "[THINK]" : "<think>";
    d.think_close = thought ? "[/THINK]" : "</think>";
    return d;
}

static void every_family(bool control)
{
    static const char *const name[] = { NULL, "get", "now" };
    struct tiny_vocab tiny = open_vocab(control);
    struct vocab *v;
    assert_int_equal(vocab_open(&v, tiny.t, tokenizer_n_vocab(tiny.t), NULL), 0);
    for (size_t i = 0, last = 0; !last; i++) {
        const struct call_form *f = call_form_at(i);
        last = !f;
        for (unsigned turn = 0; turn < 6; turn++) {
            struct dialect d = dialect_of(f, turn & 1);
            no_mark(v, &d, d.think_open && turn & 2);
            struct turn_gram q = { .choice = TURN_REQUIRED, .name = name[turn % 3], .one_call = turn & 2,
                                   .in_reasoning = d.think_open && turn & 4 };
            one_turn(v, &d, &q, NULL);
            q.choice = TURN_AUTO;
            q.name = NULL;
            q.in_reasoning = false;
            if (f) one_turn(v, &d, &q, turn & 1 ? "ab" : "");
        }
    }
    if (unended * 8 > walks) fail_msg("%u of %u walks do not end", unended, walks);
    vocab_close(v);
    tiny_close(&tiny);
}

static void marks_as_text(void **state)
{
    (void)state;
    every_family(false);
}

static void marks_as_control_tokens(void **state)
{
    (void)state;
    every_family(true);
}

static int open_tools(void **state)
{
    (void)state;
    if (json_parse(&tools, tools_text, sizeof tools_text - 1, NULL) < 0) return -1;
    for (size_t i = 0; i < 2; i++) {
        struct buf b = { 0 };
        json_write(tool_parameters(json_at(tools, i)), false, &b);
        if (grammar_from_schema(&schema[i], b.data, b.len, NULL) < 0) return -1;
        buf_release(&b);
    }
    return 0;
}

static int close_tools(void **state)
{
    (void)state;
    json_free(tools);
    grammar_free(schema[0]);
    grammar_free(schema[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(marks_as_text), cmocka_unit_test(marks_as_control_tokens) };
    return cmocka_run_group_tests(tests, open_tools, close_tools);
}
