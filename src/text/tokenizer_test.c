/* Tokenizers on small made vocabularies: what needs no reference data. */
#include "tests/testing.h"
#include "tests/tiny_vocab.h"

#include "base/mem.h"

static void encode_to(const struct tokenizer *t, const char *s, size_t n, unsigned flags, struct ids *out)
{
    out->n = 0;
    assert_int_equal(tokenizer_encode(t, s, n, flags, out, NULL), 0);
}

static void expect(const struct tokenizer *t, const char *s, unsigned flags, const char *tokens)
{
    struct ids ids = { 0 };
    struct buf got = { 0 };
    encode_to(t, s, strlen(s), flags, &ids);
    buf_put(&got, "", 0);
    for (size_t i = 0; i < ids.n; i++) {
        size_t n;
        const char *text = tokenizer_text(t, ids.id[i], &n);
        if (i) buf_putc(&got, '|');
        buf_put(&got, text, n);
    }
    assert_string_equal(got.data, tokens);
    buf_release(&got);
    ids_release(&ids);
}

static void byte_level(void **state)
{
    (void)state;
    struct tiny_vocab v = tiny_open(TINY_BPE, "qwen2");
    expect(v.t, "hello world", 0, "hello|\xc4\xa0wor|ld");
    expect(v.t, "aaaaaaaaaaa", 0, "aaaaaaaa|aaa");
    expect(v.t, "\xc3\xa9", 0, "\xc3\x83\xc2\xa9");
    expect(v.t, "<think>hello", 0, "<think>|hello");
    expect(v.t, "<|im_end|>", TOK_PARSE | TOK_SPECIAL, "<|im_end|>");
    expect(v.t, "", TOK_SPECIAL, "");
    assert_string_equal(tokenizer_kind(v.t), "gpt2/qwen2");
    assert_int_equal(tokenizer_eos(v.t), 272);
    assert_int_equal(tokenizer_bos(v.t), -1);
    assert_true(tokenizer_is_eog(v.t, tokenizer_find(v.t, "<|im_end|>", 10)));
    assert_false(tokenizer_is_eog(v.t, tokenizer_find(v.t, "<|im_start|>", 12)));
    assert_int_equal(tokenizer_token_kind(v.t, tokenizer_find(v.t, "<think>", 7)), TOKEN_USER);
    assert_null(tokenizer_text(v.t, -1, NULL));
    assert_null(tokenizer_text(v.t, tokenizer_n_vocab(v.t), NULL));
    tiny_close(&v);
}

static void sentencepiece(void **state)
{
    (void)state;
    struct tiny_vocab v = tiny_open(TINY_SPM, "");
    expect(v.t, "hello", 0, TINY_BLOCK "hello");
    expect(v.t, "hello", TOK_SPECIAL, "<s>|" TINY_BLOCK "hello");
    expect(v.t, "", TOK_SPECIAL, "<s>");
    expect(v.t, "hello<u>hello", 0, TINY_BLOCK "hello|<u>|" TINY_BLOCK "hello");
    expect(v.t, " z", 0, TINY_BLOCK TINY_BLOCK "|<0x7A>");
    expect(v.t, "a</s>", TOK_PARSE, TINY_BLOCK "|a|</s>");
    struct ids ids = { 0 };
    struct buf out = { 0 };
    encode_to(v.t, " hello  \xe4\xb8\xad", 12, 0, &ids);
    tokenizer_decode(v.t, ids.id, ids.n, false, &out);
    assert_string_equal(out.data, " hello  \xe4\xb8\xad");
    buf_release(&out);
    ids_release(&ids);
    tiny_close(&v);
}

static void word_pieces(void **state)
{
    (void)state;
    struct tiny_vocab v = tiny_open(TINY_WPM, "");
    expect(v.t, "Hello, RUNNING", TOK_SPECIAL, "[CLS]|" TINY_BLOCK "hello|[UNK]|[UNK]|[SEP]");
    expect(v.t, "  unaffable  world!", 0, TINY_BLOCK "un|aff|able|" TINY_BLOCK "world|" TINY_BLOCK "!");
    expect(v.t, "\xc3\x80", 0, TINY_BLOCK "a");
    expect(v.t, "a[MASK]a", TOK_PARSE, TINY_BLOCK "a|[MASK]|" TINY_BLOCK "a");
    tiny_close(&v);
}

static void unigram(void **state)
{
    (void)state;
    struct tiny_vocab v = tiny_open(TINY_UGM, "");
    expect(v.t, "  hello   hello ", TOK_SPECIAL, TINY_BLOCK "hello|" TINY_BLOCK "hello|</s>");
    expect(v.t, "\xef\xbc\xa1", 0, TINY_BLOCK "|A");
    expect(v.t, "zz a", 0, TINY_BLOCK "|<unk>|" TINY_BLOCK "|a");
    expect(v.t, "a<u>a", 0, TINY_BLOCK "|a|<u>|" TINY_BLOCK "|a");
    expect(v.t, "   ", 0, "");
    tiny_close(&v);
}

static void gemma4(void **state)
{
    (void)state;
    struct tiny_vocab v = tiny_open(TINY_GEMMA4, "");
    expect(v.t, "hello hello\n\nz", TOK_SPECIAL, "<bos>|hello|" TINY_BLOCK "hello|\n\n|<0x7A>");
    expect(v.t, "\n\n\n", 0, "\n|\n|\n");
    tiny_close(&v);
}

static void barriers(void **state)
{
    (void)state;
    struct tiny_vocab v = tiny_open(TINY_BPE, "qwen2");
    unsigned all = TOK_PARSE | TOK_BARRIER;
    expect(v.t, "a<|im_end|>a", all, "a|<|im_end|>|a");
    expect(v.t, "a<\xff|im_end|>a", all, "a|<|||i|m|_|e|n|d|||>|a");
    expect(v.t, "\xff<|im_end|>\xff", all, "<|im_end|>");
    expect(v.t, "he\xffllo", all, "hello");
    expect(v.t, "<thi\xffnk>", all, "<think>");
    expect(v.t, "\xff\xff", all, "");
    expect(v.t, "<|im_\xff" "end|><|im_end|>", all, "<|||i|m|_|e|n|d|||>|<|im_end|>");
    /* without the flag the byte is only invalid text */
    expect(v.t, "he\xffllo", TOK_PARSE, "he|\xc3\xaf|\xc2\xbf|\xc2\xbd|llo");
    tiny_close(&v);
}

/* ---- the rule of special tokens, written the slow way ---- */

struct bit { int32_t id; size_t at, n; };

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static size_t cut(const struct tokenizer *t, const char *s, size_t n, struct bit *out)
{
    struct bit a[512], b[512];
    size_t n_a = n ? 1 : 0;
    a[0] = (struct bit){ -1, 0, n };
    for (uint32_t r = 0; r < t->special.n; r++) {
        int32_t id = t->special.id[r];
        struct gguf_str x = t->text[id];
        size_t n_b = 0;
        for (size_t i = 0; i < n_a; i++) {
            size_t lo = a[i].at, hi = a[i].at + a[i].n;
            if (a[i].id >= 0) {
                b[n_b++] = a[i];
                continue;
            }
            for (size_t p = lo; p + x.n <= hi;) {
                if (memcmp(s + p, x.s, x.n) != 0) {
                    p++;
                    continue;
                }
                size_t e = p;
                if (t->flag[id] & TF_LSTRIP)
                    while (e > lo && blank(s[e - 1])) e--;
                if (e > lo) b[n_b++] = (struct bit){ -1, lo, e - lo };
                b[n_b++] = (struct bit){ id, p, x.n };
                lo = p + x.n;
                if (t->flag[id] & TF_RSTRIP)
                    while (lo < hi && blank(s[lo])) lo++;
                p = lo;
            }
            if (lo < hi) b[n_b++] = (struct bit){ -1, lo, hi - lo };
        }
        n_a = n_b;
        memcpy(a, b, sizeof a);
    }
    memcpy(out, a, n_a * sizeof *a);
    return n_a;
}

struct seen { const char *base; struct bit bit[512]; size_t n; };

static void see(void *arg, const char *s, size_t n, int32_t id)
{
    struct seen *x = arg;
    x->bit[x->n++] = (struct bit){ id, (size_t)(s - x->base), n };
}

static uint32_t next_random(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

static void special_rule(void **state)
{
    (void)state;
    static const char *const sets[] = { "ab|bc|abc|bca|cabca|aa|aaa", "aa|aaa|aaaaa|b", "ab|  |a b| ab |c",
                                         "abcabc|ca|bcab|b|cc|aabb" };
    static struct tiny_list l;
    uint32_t rng = 1;
    for (unsigned round = 0; round < 16; round++) {
        struct gguf_writer *w;
        assert_int_equal(gguf_writer_open(&w, NULL), 0);
        memset(&l, 0, sizeof l);
        tiny_words(&l, "<unk>|x|y", 1);
        tiny_words(&l, sets[round % 4], 3);
        gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
        gguf_put_strs(w, "tokenizer.ggml.tokens", l.s, l.n);
        gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, l.type, l.n);
        struct tiny_vocab v = { tiny_gguf(w), NULL };
        assert_non_null(v.g);
        assert_int_equal(tokenizer_open(&v.t, v.g, NULL), 0);
        if (round >= 8)                         /* white space swallowed on either side by some */
            for (int32_t i = 3; i < v.t->n_vocab; i++)
                v.t->flag[i] |= (uint8_t)(i % 3 == 0 ? TF_LSTRIP : i % 3 == 1 ? TF_RSTRIP : 0);
        v.t->special.strips_space = round >= 8;
        for (unsigned k = 0; k < 400; k++) {
            char s[80];
            struct bit want[512];
            struct seen got = { .base = s };
            size_t n = next_random(&rng) % sizeof s;
            for (size_t i = 0; i < n; i++) s[i] = "abcaab  "[next_random(&rng) % (round & 4 ? 8 : 3)];
            struct special_text x = { s, n, NULL, 0, true };
            assert_true(special_split(v.t, &x, see, &got));
            size_t n_want = cut(v.t, s, n, want);
            assert_int_equal(got.n, n_want);
            for (size_t i = 0; i < n_want; i++)
                assert_true(got.bit[i].id == want[i].id && got.bit[i].at == want[i].at && got.bit[i].n == want[i].n);
        }
        tiny_close(&v);
    }
}

/* ---- long words merge as short ones would ---- */

static size_t merge_slowly(const struct tokenizer *t, uint32_t *s, size_t n)
{
    for (;;) {
        uint32_t best = TOK_NONE, at = 0;
        for (uint32_t i = 0; i + 1 < n; i++) {
            uint32_t r = merge_find(&t->merges, s[i], s[i + 1]);
            if (r < best) best = r, at = i;
        }
        if (best == TOK_NONE) return n;
        s[at] = t->merges.result[best];
        memmove(s + at + 1, s + at + 2, (n - at - 2) * sizeof *s);
        n--;
    }
}

static void long_words(void **state)
{
    (void)state;
    struct tiny_vocab v = tiny_open(TINY_BPE, "qwen2");
    struct ids ids = { 0 };
    uint32_t rng = 7;
    for (unsigned round = 0; round < 300; round++) {
        char s[600];
        uint32_t sym[601];
        size_t n = 1 + next_random(&rng) % sizeof s;
        for (size_t i = 0; i < n; i++) s[i] = "hellohaaaor"[next_random(&rng) % (round % 3 ? 11 : 9)];
        for (size_t i = 0; i < n; i++) sym[i] = v.t->byte_sym[(uint8_t)s[i]];
        size_t k = merge_slowly(v.t, sym, n);
        encode_to(v.t, s, n, 0, &ids);
        assert_int_equal(ids.n, k);
        for (size_t i = 0; i < k; i++) assert_int_equal(ids.id[i], sym[i]);
    }
    ids_release(&ids);
    tiny_close(&v);
}

/* A long text remembers its words: the tokens are those of its short parts. */
static void long_texts(void **state)
{
    enum { PARTS = 12, PART = 4000 };
    static const char letters[] = "aeht inoHelowr\xc3\xa9";
    struct tiny_vocab v = tiny_open(TINY_SPM, "");
    struct ids whole = { 0 }, parts = { 0 };
    struct buf text = { 0 };
    uint32_t x = 5;
    (void)state;
    for (size_t p = 0; p < PARTS; p++) {
        size_t from = text.len;
        uint32_t y = p % 3 ? 7 : x;                                    /* most parts repeat words */
        while (text.len < from + PART) {
            for (size_t k = next_random(&y) % (p % 4 ? 6 : 50); k; k--)
                buf_putc(&text, letters[next_random(&y) % (sizeof letters - 1)]);
            buf_putc(&text, 'a');
            if (text.len < from + PART) buf_putc(&text, ' ');
        }
        x = y;
        assert_int_equal(tokenizer_encode(v.t, text.data + from, text.len - from, 0, &parts, NULL), 0);
        if (p + 1 < PARTS) buf_putc(&text, ' ');
    }
    encode_to(v.t, text.data, text.len, 0, &whole);
    assert_int_equal(whole.n, parts.n);
    assert_memory_equal(whole.id, parts.id, whole.n * sizeof *whole.id);
    ids_release(&whole);
    ids_release(&parts);
    buf_release(&text);
    tiny_close(&v);
}

/* Equal scores: the leftmost pair merges first, whatever it becomes; runs of spaces are like that in real files. */
static void equal_scores(void **state)
{
    (void)state;
    static struct tiny_list l;
    struct gguf_writer *w;
    struct ids ids = { 0 };
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    memset(&l, 0, sizeof l);
    tiny_words(&l, "<unk>|<s>|</s>", 3);
    tiny_words(&l, "a|aa|aaa|aaaa|aaaaaa|b|ba|ab", 1);
    for (size_t i = 0; i < l.n; i++) l.score[i] = -1e9f;
    gguf_put_str(w, "tokenizer.ggml.model", "llama", 5);
    gguf_put_strs(w, "tokenizer.ggml.tokens", l.s, l.n);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, l.type, l.n);
    gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, l.score, l.n);
    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", false);
    struct tiny_vocab v = { tiny_gguf(w), NULL };
    assert_int_equal(tokenizer_open(&v.t, v.g, NULL), 0);
    uint32_t rng = 3;
    for (unsigned round = 0; round < 200; round++) {
        char s[300];
        size_t at[301], n = 100 + next_random(&rng) % 200, k = n;
        for (size_t i = 0; i < n; i++) s[i] = next_random(&rng) % (1 + round % 9) ? 'a' : round % 2 ? 'b' : 'a';
        for (size_t i = 0; i <= n; i++) at[i] = i;
        for (size_t i = 0; i + 1 < k;) {                /* all ranks are equal: merge the leftmost pair, start again */
            if (tokenizer_find(v.t, s + at[i], at[i + 2] - at[i]) < 0) {
                i++;
                continue;
            }
            memmove(at + i + 1, at + i + 2, (k - i - 1) * sizeof *at);
            k--;
            i = 0;
        }
        encode_to(v.t, s, n, 0, &ids);
        assert_int_equal(ids.n, k);
        for (size_t i = 0; i < k; i++) assert_int_equal(ids.id[i], tokenizer_find(v.t, s + at[i], at[i + 1] - at[i]));
    }
    size_t n = 1 << 20;
    char *s = mem_new(n, 1);
    memset(s, 'a', n);
    encode_to(v.t, s, n, 0, &ids);
    assert_true(ids.n > n / 8);
    mem_free(s);
    ids_release(&ids);
    tiny_close(&v);
}

/* ---- streams ---- */

static void streams(void **state)
{
    (void)state;
    static const char text[] = "h\xc3\xa9llo \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x98\x80\xf0\x9f\x91\x8b a";
    for (enum tiny kind = TINY_BPE; kind <= TINY_SPM; kind++) {
        struct tiny_vocab v = tiny_open(kind, "qwen2");
        struct ids ids = { 0 };
        encode_to(v.t, text, sizeof text - 1, 0, &ids);
        for (size_t stop = 0; stop <= ids.n; stop++) {          /* the stream may end anywhere */
            struct detok d = { .t = v.t };
            struct buf out = { 0 }, want = { 0 }, raw = { 0 };
            for (size_t i = 0; i < stop; i++) {
                detok_push(&d, ids.id[i], &out);
                assert_true(utf8_valid(out.data, out.len));
            }
            detok_flush(&d, &out);
            tokenizer_decode(v.t, ids.id, stop, false, &raw);
            utf8_put_valid(&want, raw.data, raw.len);
            assert_int_equal(out.len, want.len);
            if (out.len) assert_memory_equal(out.data, want.data, out.len);
            buf_release(&out);
            buf_release(&want);
            buf_release(&raw);
        }
        ids_release(&ids);
        tiny_close(&v);
    }
}

static void stream_pieces(void **state)
{
    (void)state;
    struct tiny_vocab v = tiny_open(TINY_SPM, "");
    int32_t hello = tokenizer_find(v.t, TINY_BLOCK "hello", 8), e3 = tokenizer_find(v.t, "<0xE4>", 6);
    struct detok fresh = { .t = v.t }, more = { .t = v.t, .started = true };
    struct buf out = { 0 };
    detok_push(&fresh, hello, &out);
    detok_push(&fresh, hello, &out);
    assert_string_equal(out.data, "hello hello");
    buf_clear(&out);
    detok_push(&more, hello, &out);
    assert_string_equal(out.data, " hello");
    buf_clear(&out);
    detok_push(&more, e3, &out);
    assert_int_equal(out.len, 0);
    detok_push(&more, hello, &out);
    assert_string_equal(out.data, "\xef\xbf\xbd hello");
    detok_push(&more, e3, &out);
    detok_flush(&more, &out);
    assert_string_equal(out.data, "\xef\xbf\xbd hello\xef\xbf\xbd");
    buf_clear(&out);
    detok_push(&more, 2, &out);                 /* </s> is hidden */
    detok_push(&more, -5, &out);
    detok_push(&more, 1 << 30, &out);
    assert_int_equal(out.len, 0);
    buf_release(&out);
    tiny_close(&v);
}

/* ---- hostile text ---- */

static void hostile(void **state)
{
    (void)state;
    static const char *const units[] = { "a", " ", "\n", "\xf0\x9f\x98\x80", "<|im_end|>", "1", "he", "\xc3", "<u>", "a ",
                                         "<think" };
    static const char *const pres[] = { "qwen2", "gpt-4o", "deepseek-llm", "jais-2", "superbpe", "afmoe", "chameleon",
                                        "tiny_aya" };
    enum { SIZE = 1 << 19, N_PRE = 8 };
    char *s = mem_new(SIZE, 1);
    assert_non_null(s);
    uint64_t start = os_now_ns();
    for (unsigned which = 0; which < N_PRE + N_TINY - 1; which++) {
        bool bytes = which < N_PRE;
        struct tiny_vocab v = tiny_open(bytes ? TINY_BPE : (enum tiny)(which - N_PRE + 1), bytes ? pres[which] : "");
        for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
            struct ids ids = { 0 };
            size_t k = strlen(units[u]);
            for (size_t i = 0; i < SIZE; i++) s[i] = units[u][i % k];
            encode_to(v.t, s, SIZE, TOK_PARSE, &ids);
            ids_release(&ids);
        }
        tiny_close(&v);
    }
    assert_true(os_now_ns() - start < 400000000000u);
    mem_free(s);
}

/* ---- failures ---- */

static void no_memory(void **state)
{
    (void)state;
    static const char text[] = " hello <|im_\xff" "end|> \xc3\xa9 <u> \xff\xef\xbc\xa1 "
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (enum tiny kind = TINY_BPE; kind < N_TINY; kind++) {
        struct tiny_vocab v = tiny_open(kind, "gpt-2");
        int rc = ERR_NOMEM, left = 0;
        struct tokenizer *t = NULL;
        for (int64_t n = 1; rc && left < 1000; n++, left++) {
            mem_fail_after(n);
            rc = tokenizer_open(&t, v.g, NULL);
            mem_fail_after(-1);
            assert_true(rc == 0 || (rc == ERR_NOMEM && !t));
        }
        assert_int_equal(rc, 0);
        assert_true(left > 3);
        rc = ERR_NOMEM;
        for (int64_t n = 1; rc && n < 1000; n++) {
            struct ids ids = { 0 };
            mem_fail_after(n);
            rc = tokenizer_encode(t, text, sizeof text - 1, 7, &ids, NULL);
            mem_fail_after(-1);
            assert_true(rc == 0 || (rc == ERR_NOMEM && ids.n == 0));
            ids_release(&ids);
        }
        assert_int_equal(rc, 0);
        tokenizer_close(t);
        tiny_close(&v);
    }
}

enum { BAD_COUNT = 1, BAD_KIND, BAD_MERGE, BAD_MODEL, BAD_PRE, BAD_SCORE, BAD_MAP, NO_TOKENS, BAD_TYPE_COUNT };

static int open_damaged(enum tiny kind, int damage, struct err *err)
{
    static struct tiny_list l, merges;
    struct gguf_writer *w;
    uint8_t map[16] = { 255, 255 };
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    memset(&l, 0, sizeof l);
    memset(&merges, 0, sizeof merges);
    tiny_tokens(&l, kind);
    if (damage == BAD_KIND) l.type[3] = 9;
    if (damage == BAD_SCORE) l.score[5] = (float)(1e38 * (double)l.n) * 1e38f;
    const char *model = damage == BAD_MODEL ? "magic" : kind == TINY_BPE ? "gpt2" : kind == TINY_UGM ? "t5" : "llama";
    gguf_put_str(w, "tokenizer.ggml.model", model, strlen(model));
    if (damage != NO_TOKENS) gguf_put_strs(w, "tokenizer.ggml.tokens", l.s, l.n);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, l.type, l.n - (damage == BAD_TYPE_COUNT));
    gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, l.score, l.n - (damage == BAD_COUNT));
    if (damage == BAD_PRE) gguf_put_str(w, "tokenizer.ggml.pre", "nobody", 6);
    tiny_words(&merges, damage == BAD_MERGE ? "h e|hello" : "h e", 1);
    gguf_put_strs(w, "tokenizer.ggml.merges", merges.s, merges.n);
    if (damage == BAD_MAP) gguf_put_array(w, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, map, sizeof map);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1u << 30);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", UINT32_MAX);
    struct tiny_vocab v = { tiny_gguf(w), NULL };
    assert_non_null(v.g);
    int rc = tokenizer_open(&v.t, v.g, err);
    if (!rc) assert_true(tokenizer_bos(v.t) < tokenizer_n_vocab(v.t) && tokenizer_eos(v.t) < tokenizer_n_vocab(v.t));
    tiny_close(&v);
    return rc;
}

static void damaged(void **state)
{
    (void)state;
    static const struct { enum tiny kind; int damage, rc; const char *word; } rows[] = {
        { TINY_SPM, 0, 0, "" }, { TINY_BPE, 0, 0, "" }, { TINY_UGM, 0, 0, "" },
        { TINY_SPM, BAD_COUNT, ERR_FORMAT, "scores" }, { TINY_BPE, BAD_COUNT, 0, "" },
        { TINY_SPM, BAD_KIND, ERR_FORMAT, "token_type" }, { TINY_BPE, BAD_TYPE_COUNT, ERR_FORMAT, "token_type" },
        { TINY_BPE, BAD_MERGE, ERR_FORMAT, "entry 1" }, { TINY_BPE, BAD_MODEL, ERR_UNSUPPORTED, "magic" },
        { TINY_BPE, BAD_PRE, ERR_UNSUPPORTED, "nobody" }, { TINY_SPM, BAD_SCORE, ERR_FORMAT, "score of token 5" },
        { TINY_UGM, BAD_MAP, ERR_FORMAT, "charsmap" }, { TINY_SPM, NO_TOKENS, ERR_FORMAT, "tokens" }
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = { 0 };
        assert_int_equal(open_damaged(rows[i].kind, rows[i].damage, &err), rows[i].rc);
        assert_non_null(strstr(err.msg, rows[i].word));
    }
}

/* Empty texts never match; of equal texts the last counts, and each id keeps its own. */
static void odd_tokens(void **state)
{
    (void)state;
    static struct tiny_list l;
    struct gguf_writer *w;
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    memset(&l, 0, sizeof l);
    tiny_words(&l, "<unk>|<s>|</s>", 3);
    tiny_words(&l, TINY_BLOCK "|a|b|a", 1);
    tiny_add_n(&l, "", 0, 1);
    tiny_add_n(&l, "", 0, 3);
    gguf_put_str(w, "tokenizer.ggml.model", "llama", 5);
    gguf_put_strs(w, "tokenizer.ggml.tokens", l.s, l.n);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, l.type, l.n);
    gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, l.score, l.n);
    struct tiny_vocab v = { tiny_gguf(w), NULL };
    assert_int_equal(tokenizer_open(&v.t, v.g, NULL), 0);
    assert_int_equal(tokenizer_find(v.t, "a", 1), 6);
    assert_int_equal(tokenizer_find(v.t, "", 0), -1);
    expect(v.t, "abz", 0, TINY_BLOCK "|a|b|<unk>");
    size_t n = 9;
    assert_non_null(tokenizer_text(v.t, 7, &n));
    assert_int_equal(n, 0);
    tiny_close(&v);
}

static void reference_models(void **state)
{
    (void)state;
    static const char *const names[] = {
        "bert", "cohere2", "deepseek2-lite", "deepseek2-v3", "gemma", "gemma2", "gemma3", "gemma4", "glm4", "glm4moe",
        "gpt-oss-mxfp4", "gpt2", "granite", "lfm2", "llama-bias", "llama2-linear", "llama3", "mistral3", "mixtral",
        "nomic-bert", "olmo2", "phi2", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen35", "qwen35moe", "qwen3moe", "qwen3next",
        "starcoder2", "stories260K", "stories260K-Q4_0"
    };
    char path[512], name[64];
    REF_OR_SKIP(path, "models/qwen2.gguf");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tiny_vocab v = { NULL, NULL };
        struct err err = { 0 };
        snprintf(name, sizeof name, "models/%s.gguf", names[i]);
        if (!ref_path(path, sizeof path, name)) continue;
        if (gguf_open(&v.g, path, &err) || tokenizer_open(&v.t, v.g, &err)) fail_msg("%s", err.msg);
        struct ids ids = { 0 };
        encode_to(v.t, "Once upon a time, 12 \xc3\xa9", 23, TOK_SPECIAL | TOK_PARSE, &ids);
        assert_true(ids.n > 0);
        ids_release(&ids);
        tiny_close(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level), cmocka_unit_test(sentencepiece), cmocka_unit_test(word_pieces),
        cmocka_unit_test(unigram), cmocka_unit_test(gemma4), cmocka_unit_test(barriers), cmocka_unit_test(special_rule),
        cmocka_unit_test(long_words), cmocka_unit_test(long_texts), cmocka_unit_test(equal_scores),
        cmocka_unit_test(streams), cmocka_unit_test(stream_pieces), cmocka_unit_test(hostile),
        cmocka_unit_test(no_memory), cmocka_unit_test(damaged), cmocka_unit_test(odd_tokens),
        cmocka_unit_test(reference_models)
    };
    return run_tests(tests);
}
