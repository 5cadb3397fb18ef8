/* chat_fixture.h - a tokenizer of all bytes and some special tokens, in memory, for tests of conversations. */
#ifndef HEARTH_TESTS_CHAT_FIXTURE_H
#define HEARTH_TESTS_CHAT_FIXTURE_H

#include "format/gguf.h"
#include "tests/testing.h"
#include "text/tokenizer.h"

/* A vocabulary of all bytes and some tokens that matter, in memory. */
enum { IM_START = 256, IM_END, BOS, THINK, INST, INST_END, THINK_END, HE, LLO, N_VOCAB };

struct fixture {
    struct buf file;
    struct gguf *g;
    struct tokenizer *t;
};

/* The printable characters by which byte-level vocabularies write bytes. */
static inline size_t byte_char(unsigned b, char *to)
{
    unsigned c = b, n = 0;
    bool plain = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    for (unsigned i = 0; !plain && i < b; i++) n += !((i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || i >= 0xae);
    if (!plain) c = 256 + n;
    if (c < 128) {
        to[0] = (char)c;
        return 1;
    }
    to[0] = (char)(0xc0 | c >> 6);
    to[1] = (char)(0x80 | (c & 63));
    return 2;
}

static inline void open_fixture(struct fixture *f, bool chatml, bool adds_bos)
{
    static char text[256][2];
    static const char *const special[] = { "<|im_start|>", "<|im_end|>", "<s>", "<think>", "[INST]", "[/INST]", "</think>", "he",
                                          "llo" };
    struct gguf_str s[N_VOCAB];
    int32_t kind[N_VOCAB];
    struct gguf_writer *w;
    struct err e = { 0 };
    for (unsigned i = 0; i < N_VOCAB; i++) {
        kind[i] = i < 256 || i >= HE ? 1 : i == THINK || i == THINK_END ? 4 : 3;
        if (i < 256) s[i] = (struct gguf_str){ text[i], byte_char(i, text[i]) };
        else s[i] = (struct gguf_str){ special[i - 256], strlen(special[i - 256]) };
    }
    if (!chatml) s[IM_START] = (struct gguf_str){ "<|other|>", 9 };
    *f = (struct fixture){ .file = { 0 } };
    assert_int_equal(gguf_writer_open(&w, &e), 0);
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    gguf_put_str(w, "tokenizer.ggml.pre", "qwen2", 5);
    gguf_put_strs(w, "tokenizer.ggml.tokens", s, N_VOCAB);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, kind, N_VOCAB);
    gguf_put_strs(w, "tokenizer.ggml.merges", s, 0);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", IM_END);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", BOS);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", adds_bos);
    assert_int_equal(gguf_writer_bytes(w, &f->file, &e), 0);
    gguf_writer_close(w);
    if (gguf_parse(&f->g, f->file.data, f->file.len, "test", &e) < 0) fail_msg("%s", e.msg);
    if (tokenizer_open(&f->t, f->g, &e) < 0) fail_msg("%s", e.msg);
}

static inline void close_fixture(struct fixture *f)
{
    tokenizer_close(f->t);
    gguf_close(f->g);
    buf_release(&f->file);
}

#endif
