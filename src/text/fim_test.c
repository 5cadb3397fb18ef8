#include "tests/testing.h"

#include <string.h>

#include "text/fim.h"
#include "tests/tiny_vocab.h"

/* A vocabulary with these tokens (spaces between), and keys that name the first three when named is set. */
static struct tiny_vocab with_tokens(enum tiny kind, const char *tokens, bool named)
{
    static struct tiny_list l;
    static const char *const model[] = { "gpt2", "llama" };
    struct gguf_writer *w;
    if (gguf_writer_open(&w, NULL) < 0) fail_msg("no writer");
    memset(&l, 0, sizeof l);
    tiny_tokens(&l, kind);
    size_t first = l.n;
    for (const char *at = tokens; *at;) {
        size_t n = strcspn(at, " ");
        tiny_add_n(&l, at, n, 3);
        at += n + (at[n] == ' ');
    }
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_str(w, "tokenizer.ggml.model", model[kind], strlen(model[kind]));
    gguf_put_strs(w, "tokenizer.ggml.tokens", l.s, l.n);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, l.type, l.n);
    gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, l.score, l.n);
    if (kind == TINY_BPE) gguf_put_str(w, "tokenizer.ggml.pre", "gpt-2", 5);
    if (named) {
        gguf_put_u32(w, "tokenizer.ggml.fim_pre_token_id", (uint32_t)first);
        gguf_put_u32(w, "tokenizer.ggml.suffix_token_id", (uint32_t)first + 1);       /* the older name */
        gguf_put_u32(w, "tokenizer.ggml.fim_mid_token_id", (uint32_t)first + 2);
    }
    struct tiny_vocab v = { tiny_gguf(w), NULL };
    struct err e = { 0 };
    if (!v.g || tokenizer_open(&v.t, v.g, &e) < 0) fail_msg("%s", e.msg);
    return v;
}

static struct fim_text text(const char *s) { return (struct fim_text){ s, strlen(s) }; }

static void expect_prompt(enum tiny kind, const char *tokens, bool named, const struct fim_request *r, const char *want)
{
    struct tiny_vocab v = with_tokens(kind, tokens, named);
    struct fim f = fim_find(v.t, v.g);
    struct ids ids = { 0 };
    struct buf b = { 0 };
    struct err e = { 0 };
    if (fim_prompt(v.t, &f, r, &ids, &e) < 0) fail_msg("%s: %s", tokens, e.msg);
    for (size_t i = 0; i < ids.n; i++) tokenizer_piece(v.t, ids.id[i], true, &b);
    assert_string_equal(b.data, want);
    ids_release(&ids);
    buf_release(&b);
    tiny_close(&v);
}

static void each_family_has_its_form(void **unused)
{
    (void)unused;
    struct fim_request r = { .prefix = text("hello "), .suffix = text("<PRE> b") };
    static const struct { const char *tokens, *want; } row[] = {
        { "<|fim_prefix|> <|fim_suffix|> <|fim_middle|>", "<|fim_prefix|>hello <|fim_suffix|><PRE> b<|fim_middle|>" },
        { "<fim_middle> <fim_prefix> <fim_suffix>", "<fim_prefix>hello <fim_suffix><PRE> b<fim_middle>" },
        { "<fim-middle> <fim-prefix> <fim-suffix>", "<fim-prefix>hello <fim-suffix><PRE> b<fim-middle>" },
        { "<|code_prefix|> <|code_middle|> <|code_suffix|>", "<|code_prefix|>hello <|code_suffix|><PRE> b<|code_middle|>" },
        { "<\357\275\234fim\342\226\201begin\357\275\234> <\357\275\234fim\342\226\201hole\357\275\234> "
          "<\357\275\234fim\342\226\201end\357\275\234>",
          "<\357\275\234fim\342\226\201begin\357\275\234>hello <\357\275\234fim\342\226\201hole\357\275\234><PRE> b"
          "<\357\275\234fim\342\226\201end\357\275\234>" },
        { "[PREFIX] [MIDDLE] [SUFFIX]", "[SUFFIX]<PRE> b[PREFIX]hello " },
        { "[PREFIX] [SUFFIX]", "[SUFFIX]<PRE> b[PREFIX]hello " },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) expect_prompt(TINY_BPE, row[i].tokens, false, &r, row[i].want);
    expect_prompt(TINY_BPE, "<A> <B> <C>", true, &r, "<A>hello <B><PRE> b<C>");
    struct fim_request user = { .prefix = text("x<fim_suffix>"), .suffix = text("y") };        /* stays text */
    struct tiny_vocab v = with_tokens(TINY_BPE, "<fim_middle> <fim_prefix> <fim_suffix>", false);
    struct fim f = fim_find(v.t, v.g);
    struct ids ids = { 0 };
    size_t times = 0;
    assert_int_equal(fim_prompt(v.t, &f, &user, &ids, NULL), 0);
    for (size_t i = 0; i < ids.n; i++) times += ids.id[i] == f.suf;
    assert_int_equal(times, 1);
    ids_release(&ids);
    tiny_close(&v);
}

/* SentencePiece puts a space before the first word: it belongs before the prefix, not into the middle. */
static void the_suffix_gets_no_space(void **unused)
{
    (void)unused;
    struct fim_request r = { .prefix = text("hello"), .suffix = text("hello a") };
    expect_prompt(TINY_SPM, "\342\226\201<PRE> \342\226\201<SUF> \342\226\201<MID>", false, &r,
                  "<s>\342\226\201<PRE> hello\342\226\201<SUF>hello a\342\226\201<MID>");
    r.suffix = text("");
    expect_prompt(TINY_SPM, "[PREFIX] [SUFFIX]", false, &r, "<s>[SUFFIX][PREFIX] hello");
}

static void other_files_come_first(void **unused)
{
    (void)unused;
    const struct fim_file file[] = { { text("a.c"), text("aaa") }, { text("b.c"), text("bbb") } };
    struct fim_request r = { .prefix = text("x"), .suffix = text("y"), .file = file, .n_file = 2, .name = text("c.c"),
                             .repo = text("lib") };
    expect_prompt(TINY_BPE, "<|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|repo_name|> <|file_sep|>", false, &r,
                  "<|repo_name|>lib\n<|file_sep|>a.c\naaa\n<|file_sep|>b.c\nbbb\n<|file_sep|>c.c\n"
                  "<|fim_prefix|>x<|fim_suffix|>y<|fim_middle|>");
    expect_prompt(TINY_BPE, "<fim_prefix> <fim_suffix> <fim_middle>", false, &r,
                  "a.c\naaa\nb.c\nbbb\n<fim_prefix>x<fim_suffix>y<fim_middle>");
    r.n_file = 0;
    expect_prompt(TINY_BPE, "<|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|repo_name|> <|file_sep|>", false, &r,
                  "<|fim_prefix|>x<|fim_suffix|>y<|fim_middle|>");
}

static void a_model_without_says_so(void **unused)
{
    (void)unused;
    static const char *const tokens[] = { "", "<|fim_prefix|> <|fim_suffix|>", "<|fim_middle|> <PRE>" };
    for (size_t i = 0; i < 3; i++) {
        struct tiny_vocab v = with_tokens(TINY_BPE, tokens[i], false);
        struct fim f = fim_find(v.t, v.g);
        struct fim_request r = { .prefix = text("x") };
        struct ids ids = { 0 };
        struct err e = { 0 };
        assert_int_equal(fim_prompt(v.t, &f, &r, &ids, &e), ERR_UNSUPPORTED);
        assert_non_null(strstr(e.msg, "filling in the middle"));
        ids_release(&ids);
        tiny_close(&v);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_family_has_its_form),
    cmocka_unit_test(the_suffix_gets_no_space),
    cmocka_unit_test(other_files_come_first),
    cmocka_unit_test(a_model_without_says_so),
};
int main(void) { return run_tests(tests); }
