#include "tests/chat_fixture.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/chat_turn.h"

/* Writes as many families do; Qwen3's way of switching reasoning off is asked for by %s. */
#define CHATML(generation)                                                                                        \
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and m.reasoning_content %}<think>\n"      \
    "{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"                  \
    "{% if add_generation_prompt %}<|im_start|>assistant\n" generation "{% endif %}"
static const char plain[] = CHATML("");
static const char opens[] = CHATML("<think>\n");
static const char switched[] = CHATML("{% if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% endif %}");
static const char efforts[] = CHATML("{% if reasoning_effort is defined and reasoning_effort not in ['low', 'high'] %}"
    "{{ raise_exception('no such effort') }}{% endif %}{{ reasoning_effort }}") "{# <think> #}";

/* Ids as text: bytes as they are, special tokens as {id}. */
static char *shown(const struct fixture *f, const struct ids *ids)
{
    struct buf out = { 0 };
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->id[i] >= 256) buf_printf(&out, "{%d}", ids->id[i]);
        else tokenizer_piece(f->t, ids->id[i], true, &out);
    }
    return buf_take(&out);
}

struct want { const char *text; bool in_reasoning; };

static void check(const struct fixture *f, const char *source, struct chat_turn_request r, const char *messages, struct want w)
{
    struct template *tp;
    struct chat_style style;
    struct chat_turn turn;
    struct json *m;
    struct err e = { 0 };
    assert_int_equal(template_compile(&tp, source, strlen(source), &e), 0);
    chat_style_find(tp, source, strlen(source), &style);
    assert_int_equal(json_parse(&m, messages, strlen(messages), NULL), 0);
    r.template = tp;
    r.tokenizer = f->t;
    r.style = &style;
    r.messages = m;
    int rc = chat_turn(&r, &turn, &e);
    char *got = rc < 0 ? mem_strdup(e.msg, strlen(e.msg)) : shown(f, &turn.prompt);
    if (strcmp(got, w.text) != 0) fail_msg("%s\n  gives %s\n  not   %s", messages, got, w.text);
    if (rc == 0) assert_int_equal(turn.in_reasoning, w.in_reasoning);
    mem_free(got);
    if (rc == 0) ids_release(&turn.prompt);
    json_free(m);
    template_free(tp);
}

#define HI "{\"role\":\"user\",\"content\":\"hi\"}"
#define P "{256}user\nhi{257}\n{256}assistant\n"

static void reasoning_is_switched(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, true, false);
    struct chat_turn_request on = { .think = CHAT_THINK_ON }, off = { .think = CHAT_THINK_OFF }, none = { .think = 0 };
    struct chat_turn_request medium = { .think = CHAT_THINK_MEDIUM }, high = { .think = CHAT_THINK_HIGH };
    check(&f, plain, none, "[" HI "]", (struct want){ P, false });
    check(&f, plain, off, "[" HI "]", (struct want){ P "{259}\n\n{262}\n\n", false });
    check(&f, opens, none, "[" HI "]", (struct want){ P "{259}\n", true });
    check(&f, opens, on, "[" HI "]", (struct want){ P "{259}\n", true });
    check(&f, opens, off, "[" HI "]", (struct want){ P "{259}\n\n{262}\n\n", false });
    check(&f, switched, off, "[" HI "]", (struct want){ P "{259}\n\n{262}\n\n", false });
    check(&f, switched, on, "[" HI "]", (struct want){ P, false });
    check(&f, efforts, high, "[" HI "]", (struct want){ P "high", false });
    check(&f, efforts, medium, "[" HI "]", (struct want){ P, false });       /* refused: left to the template */
    struct json *extra;
    assert_int_equal(json_parse(&extra, "{\"reasoning_effort\":\"low\"}", 26, NULL), 0);
    high.extra = extra;
    check(&f, efforts, high, "[" HI "]", (struct want){ P "low", false });   /* the caller's own word wins */
    json_free(extra);
    /* what the user writes opens nothing */
    check(&f, plain, none, "[{\"role\":\"user\",\"content\":\"<think>\"}]",
        (struct want){ "{256}user\n{259}{257}\n{256}assistant\n",
                                                                                       false });
    close_fixture(&f);
}

static void answers_are_continued(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, true, false);
    struct chat_turn_request r = { .continues = true };
    check(&f, plain, r, "[" HI ",{\"role\":\"assistant\",\"content\":\"Sure, \"}]", (struct want){ P "Sure, ", false });
    check(&f, plain, r, "[" HI ",{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"I th\"}]",
          (struct want){ P "{259}\nI th", true });
    check(&f, plain, r, "[" HI ",{\"role\":\"assistant\",\"content\":\"a <|im_end|> @@Hart\"}]",
          (struct want){ P "a <|im_end|> @@Hart", false });
    check(&f, plain, r, "[" HI "]", (struct want){ "there is nothing to continue: the last message must be the assistant's, "
                                                   "without tool calls", false });
    check(&f, "{% for m in messages %}{{ m.role }}{% endfor %}", r, "[{\"role\":\"assistant\",\"content\":\"a\"}]",
          (struct want){ "the chat template does not show the message that is to be continued", false });
    close_fixture(&f);
}

static void keep(const struct fixture *f, const int32_t *prompt, size_t n, const int32_t *seen, size_t n_seen, const char *want)
{
    struct ids ids = { 0 };
    for (size_t i = 0; i < n; i++) ids_push(&ids, prompt[i]);
    chat_keep(f->t, &ids, seen, n_seen);
    char *got = shown(f, &ids);
    assert_string_equal(got, want);
    mem_free(got);
    ids_release(&ids);
}
#define KEEP(want, prompt, seen) \
    keep(&f, prompt, sizeof prompt / sizeof *prompt, seen, sizeof seen / sizeof *seen, want)

static void tokens_are_kept(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, true, false);
    static const int32_t h[] = { 'h', 'e', 'l', 'l', 'o' };            /* single bytes are their own ids */
    const int32_t asked[] = { IM_START, h[0], h[1], h[2], h[3], h[4], IM_END, h[4] };
    KEEP("{256}{263}{264}{257}o", asked, ((const int32_t[]){ IM_START, HE, LLO, IM_END }));
    KEEP("{256}{263}{264}{257}o", asked, ((const int32_t[]){ IM_START, HE, LLO, IM_END, h[3], h[3] }));
    KEEP("{256}{263}{264}{257}o", asked, ((const int32_t[]){ IM_START, HE, LLO }));
    KEEP("{256}{263}llo{257}o", asked, ((const int32_t[]){ IM_START, HE, h[2], LLO }));
    KEEP("{256}hello{257}o", asked, ((const int32_t[]){ IM_END, HE, LLO, IM_END }));
    KEEP("{256}hello{257}o", asked, ((const int32_t[]){ IM_START, LLO, HE, IM_END }));
    KEEP("{256}{263}llo{257}o", asked, ((const int32_t[]){ IM_START, HE }));
    KEEP("{256}{263}{264}{257}o", asked, ((const int32_t[]){ IM_START, HE, LLO, h[4] }));
    KEEP("{256}{263}llo", ((const int32_t[]){ IM_START, h[0], h[1], LLO }), ((const int32_t[]){ IM_START, HE, h[2], h[3],
        h[4] }));
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasoning_is_switched), cmocka_unit_test(answers_are_continued), cmocka_unit_test(tokens_are_kept),
    };
    return run_tests(tests);
}
