/* hf_tokenizer_test.c - tokenizer.json and tokenizer.model of a folder give the ids that their makers' programs give.
 * The expected ids of tests/golden/hf_tokenizers.json are those of the tokenizers library 0.23.3 (add_special_tokens on). */
#define _GNU_SOURCE
#include "tests/hf_folder.h"

#include "base/json.h"
#include "base/mem.h"
#include "format/hf.h"
#include "tests/testing.h"
#include "text/tokenizer.h"

static char dir[] = "/tmp/hearth-hft-XXXXXX";

static const char config[] = "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":8,"
                             "\"num_hidden_layers\":1,\"num_attention_heads\":1,\"intermediate_size\":8}";

static int open_words(struct gguf **g, struct tokenizer **t, struct err *e)
{
    *t = NULL;
    int rc = hf_open(g, dir, e);
    return rc < 0 ? rc : tokenizer_open(t, *g, e);
}

static void close_words(struct gguf *g, struct tokenizer *t)
{
    tokenizer_close(t);
    gguf_close(g);
}

static void expect(const struct tokenizer *t, const char *name, const char *text, size_t n, const struct json *want)
{
    struct ids ids = { 0 };
    struct buf got = { 0 };
    assert_int_equal(tokenizer_encode(t, text, n, TOK_SPECIAL | TOK_PARSE, &ids, NULL), 0);
    bool same = ids.n == json_len(want);
    for (size_t i = 0; i < ids.n; i++) {
        same = same && ids.id[i] == json_int(json_at(want, i));
        buf_printf(&got, " %d", (int)ids.id[i]);
    }
    if (!same) fail_msg("%s: \"%s\": got%s", name, text, got.data ? got.data : "");
    ids_release(&ids);
    buf_release(&got);
}

static void ids_of_the_library(void **state)
{
    (void)state;
    char *text;
    size_t n;
    struct json *all;
    struct err e;
    if (os_read_file("tests/golden/hf_tokenizers.json", 1 << 24, &text, &n, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(json_parse(&all, text, n, &e), 0);
    mem_free(text);
    assert_int_equal(json_len(all), 9);
    hff_text(dir, "config.json", config);
    /* a number that many published files have, and that fits no integer */
    hff_text(dir, "tokenizer_config.json", "{\"model_max_length\":1000000000000000019884624838656}");
    for (size_t i = 0; i < json_len(all); i++) {
        const struct json *c = json_at(all, i), *texts = json_get(c, "texts");
        const char *name = json_str(json_get(c, "name"), NULL);
        struct buf b = { 0 };
        struct gguf *g;
        struct tokenizer *t;
        json_write(json_get(c, "tokenizer"), false, &b);
        hff_text(dir, "tokenizer.json", b.data);
        buf_release(&b);
        if (open_words(&g, &t, &e) < 0) fail_msg("%s: %s", name, e.msg);
        for (size_t k = 0; k < json_len(texts); k++) {
            size_t len;
            const char *s = json_str(json_get(json_at(texts, k), "text"), &len);
            expect(t, name, s, len, json_get(json_at(texts, k), "ids"));
        }
        close_words(g, t);
    }
    json_free(all);
}

/* ---- tokenizer.model ---- */

static void put_model(const char *name)
{
    char path[128], *d;
    size_t n;
    struct err e;
    snprintf(path, sizeof path, "tests/corpus/hf_model/%s", name);
    if (os_read_file(path, 1 << 20, &d, &n, &e) < 0) fail_msg("%s", e.msg);
    FILE *f = hff_file(dir, "tokenizer.model");
    assert_int_equal(fwrite(d, 1, n, f), n);
    fclose(f);
    mem_free(d);
}

static void sentencepiece_models(void **state)
{
    (void)state;
    struct gguf *g;
    struct tokenizer *t;
    struct err e = { 0 };
    hf_folder_remove(dir);
    hff_text(dir, "config.json", config);
    put_model("bpe");
    if (open_words(&g, &t, &e) < 0) fail_msg("%s", e.msg);
    struct ids ids = { 0 };
    assert_int_equal(tokenizer_encode(t, "ab\n a", 5, TOK_SPECIAL | TOK_PARSE, &ids, &e), 0);
    static const int32_t want[] = { 1, 6, 7, 3, 6 };           /* <s> _a b <0x0A> _a */
    assert_true(ids.n == 5 && !memcmp(ids.id, want, sizeof want));
    ids_release(&ids);
    close_words(g, t);
    static const char *const bad[][2] = { { "cut", "tokenizer.model: damaged" }, { "length", "tokenizer.model: damaged" } };
    for (size_t i = 0; i < 2; i++) {
        put_model(bad[i][0]);
        assert_true(open_words(&g, &t, &e) < 0);
        if (!strstr(e.msg, bad[i][1])) fail_msg("%s: %s", bad[i][0], e.msg);
        close_words(g, t);
    }
    /* added later, with a kind and a side that it swallows */
    put_model("bpe");
    hff_text(dir, "tokenizer_config.json",
             "{\"add_bos_token\":false,\"added_tokens_decoder\":{\"8\":{\"content\":\"<x>\",\"special\":true,"
                                           "\"rstrip\":true}}}");
    if (open_words(&g, &t, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(tokenizer_encode(t, "<x>  b", 6, TOK_SPECIAL | TOK_PARSE, &ids, &e), 0);
    assert_true(ids.n == 3 && ids.id[0] == 8 && ids.id[1] == 4 && ids.id[2] == 7);
    ids_release(&ids);
    close_words(g, t);
}

/* GLM-4 begins every text with two tokens. */
static void two_tokens_before_a_text(void **state)
{
    (void)state;
    struct gguf *g;
    struct tokenizer *t;
    struct err e = { 0 };
    struct ids ids = { 0 };
    char path[64];
    hf_folder_remove(dir);
    hff_text(dir, "config.json", config);
#define TWO(single) "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}," \
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"added_tokens\":[" \
    "{\"id\":3,\"content\":\"[gMASK]\",\"special\":true},{\"id\":4,\"content\":\"<sop>\",\"special\":true}]," \
    "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\"," \
    "\"single\":[" single "{\"SpecialToken\":{\"id\":\"[gMASK]\"}},{\"SpecialToken\":{\"id\":\"<sop>\"}}," \
    "{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"[gMASK]\":{\"ids\":[3]},\"<sop>\":{\"ids\":[4]}}}]}}"
    hff_text(dir, "tokenizer.json", TWO(""));
    if (open_words(&g, &t, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(tokenizer_encode(t, "ab", 2, TOK_SPECIAL | TOK_PARSE, &ids, &e), 0);
    static const int32_t want[] = { 3, 4, 2 };
    assert_true(ids.n == 3 && !memcmp(ids.id, want, sizeof want));
    ids.n = 0;
    assert_int_equal(tokenizer_encode(t, "[gMASK]<sop>ab", 14, TOK_PARSE, &ids, &e), 0);
    assert_true(ids.n == 3 && !memcmp(ids.id, want, sizeof want));
    ids_release(&ids);
    close_words(g, t);
    hff_text(dir, "tokenizer.json", TWO("{\"SpecialToken\":{\"id\":\"[gMASK]\"}},"));
    assert_true(open_words(&g, &t, &e) < 0 && strstr(e.msg, "several tokens before or after"));
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    unlink(path);
}

/* ---- tekken.json ---- */

static void put_base64(FILE *f, const char *s, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++) v = v << 8 | (i + k < n ? (uint8_t)s[i + k] : 0u);
        for (size_t k = 0; k < 4; k++) fputc(i + k > n ? '=' : digit[v >> (18 - 6 * k) & 63], f);
    }
}

/* Its special tokens: some, or none where the file is old. */
static const char some[] =
    "\"special_tokens\":[{\"rank\":0,\"token_str\":\"<unk>\",\"is_control\":true},{\"rank\":1,\"token_str\":\"<s>\"},"
    "{\"rank\":2,\"token_str\":\"</s>\"},{\"rank\":5,\"token_str\":\"[INST]\"},{\"rank\":6,\"token_str\":\"[/INST]\"},"
    "{\"rank\":17,\"token_str\":\"[SYSTEM_PROMPT]\"}],";

/* Every byte, then these. */
static void write_tekken(const char *settings, const char *special)
{
    static const char *const more[] = { "he", "ll", "llo", "hello", "\xc3\xa9" };
    FILE *f = hff_file(dir, "tekken.json");
    fputs("{\"vocab\":[", f);
    for (int i = 0; i < 261; i++) {
        char byte = (char)i;
        fprintf(f, "%s{\"rank\":%d,\"token_bytes\":\"", i ? "," : "", i);
        put_base64(f, i < 256 ? &byte : more[i - 256], i < 256 ? 1 : strlen(more[i - 256]));
        fputs("\",\"token_str\":null}", f);
    }
    fputs("],", f);
    fprintf(f, "%s", special);
    fprintf(f, "\"config\":{\"pattern\":\"[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*"
            "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"
            "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|"
            "\\\\s+(?!\\\\S)|\\\\s+\",%s}}\n", settings);
    assert_int_equal(fclose(f), 0);
}

static void mistrals_own_vocabulary(void **state)
{
    (void)state;
    static const struct { const char *text; int32_t id[8]; size_t n; } row[] = {
        { "hello", { 1, 279 }, 2 },                          /* a word that is a token is not cut */
        { "hell", { 1, 276, 277 }, 3 },
        { "hellos", { 1, 279, 20 + 's' }, 3 },               /* "he" and "ll" first, then "llo", then all */
        { "\xc3\xa9", { 1, 280 }, 2 },
        { "\xc3\xa8", { 1, 20 + 0xc3, 20 + 0xa8 }, 3 },
        { "[INST]h", { 1, 5, 20 + 'h' }, 3 },
    };
    struct gguf *g;
    struct tokenizer *t;
    struct err e = { 0 };
    hf_folder_remove(dir);
    hff_text(dir, "config.json", config);
    write_tekken("\"default_vocab_size\":281,\"default_num_special_tokens\":20", some);
    if (open_words(&g, &t, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(tokenizer_n_vocab(t), 281);
    assert_int_equal(tokenizer_eos(t), 2);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct ids ids = { 0 };
        struct buf text = { 0 };
        assert_int_equal(tokenizer_encode(t, row[i].text, strlen(row[i].text), TOK_SPECIAL | TOK_PARSE, &ids, &e), 0);
        if (ids.n != row[i].n || memcmp(ids.id, row[i].id, ids.n * sizeof *ids.id)) fail_msg("%s", row[i].text);
        tokenizer_decode(t, ids.id + 1, ids.n - 1, true, &text);
        assert_true(text.len == strlen(row[i].text) && !memcmp(text.data, row[i].text, text.len));
        ids_release(&ids);
        buf_release(&text);
    }
    struct gguf_str s;
    assert_true(gguf_get_str(g, "tokenizer.chat_template", &s) && memmem(s.s, s.n, "[SYSTEM_PROMPT]", 15));
    close_words(g, t);
    /* a file cuts its vocabulary off where it says; old ones name no special tokens */
    for (int i = 0; i < 2; i++) {
        write_tekken("\"default_vocab_size\":278,\"default_num_special_tokens\":20", i ? "\"special_tokens\":null," : "");
        if (open_words(&g, &t, &e) < 0) fail_msg("%s", e.msg);
        assert_int_equal(tokenizer_n_vocab(t), 278);
        assert_int_equal(tokenizer_eos(t), 2);
        assert_null(gguf_find(g, "tokenizer.chat_template"));
        close_words(g, t);
    }
    static const struct { const char *config, *say; } bad[] = {
        { "\"default_vocab_size\":20,\"default_num_special_tokens\":20", "make no sense" },
        { "\"default_vocab_size\":2000000,\"default_num_special_tokens\":20", "make no sense" },
        { "\"default_vocab_size\":281,\"default_num_special_tokens\":3", "make no sense" },
        { "\"default_vocab_size\":281,\"default_num_special_tokens\":17", "a special token behind their number" },
        { "\"default_vocab_size\":\"x\"", "tekken.json: line" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_tekken(bad[i].config, some);
        assert_true(hf_open(&g, dir, &e) < 0);
        if (!strstr(e.msg, bad[i].say) || !strstr(e.msg, "tekken.json")) fail_msg("%s", e.msg);
    }
    char path[64];
    snprintf(path, sizeof path, "%s/tekken.json", dir);
    unlink(path);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    hf_folder_remove(dir);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_the_library), cmocka_unit_test(sentencepiece_models), cmocka_unit_test(mistrals_own_vocabulary),
        cmocka_unit_test(two_tokens_before_a_text),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
