/* tiny_vocab.h - small vocabularies of every kind, made on the spot, for tests and fuzz targets. */
#ifndef HEARTH_TESTS_TINY_VOCAB_H
#define HEARTH_TESTS_TINY_VOCAB_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "text/tok.h"

enum tiny { TINY_BPE, TINY_SPM, TINY_WPM, TINY_UGM, TINY_GEMMA4, N_TINY };

struct tiny_list {
    struct gguf_str s[1024];
    int32_t type[1024];
    float score[1024];
    char store[16384];
    size_t n, used;
};

static inline void tiny_add_n(struct tiny_list *l, const char *s, size_t n, int32_t type)
{
    memcpy(l->store + l->used, s, n);
    l->s[l->n] = (struct gguf_str){ l->store + l->used, n };
    l->type[l->n] = type;
    l->score[l->n] = type == 1 ? -1.0f - 0.01f * (float)l->n : 0;
    l->used += n;
    l->n++;
}

static inline void tiny_add(struct tiny_list *l, const char *s, int32_t type) { tiny_add_n(l, s, strlen(s), type); }

static inline void tiny_words(struct tiny_list *l, const char *words, int32_t type)
{
    for (const char *e; *words; words = *e ? e + 1 : e) {
        e = strchr(words, '|') ? strchr(words, '|') : words + strlen(words);
        tiny_add_n(l, words, (size_t)(e - words), type);
    }
}

static inline void tiny_bytes(struct tiny_list *l)
{
    for (int b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        tiny_add(l, name, 6);
    }
}

#define TINY_MERGES "h e|l l|ll o|he llo|\xc4\xa0 w|o r|\xc4\xa0w or|a a|aa aa|aaaa aaaa|" \
    "\xc3\x83 \xc2\xa9|l d|\xc4\xa0 \xc4\xa0|\xc4\x8a \xc4\x8a|e l|aa a"
#define TINY_JOINED "he|ll|llo|hello|\xc4\xa0w|or|\xc4\xa0wor|aa|aaaa|aaaaaaaa|" \
    "\xc3\x83\xc2\xa9|ld|\xc4\xa0\xc4\xa0|\xc4\x8a\xc4\x8a|el|aaa"
#define TINY_BLOCK "\xe2\x96\x81"

static inline void tiny_tokens(struct tiny_list *l, enum tiny kind)
{
    switch (kind) {
    case TINY_BPE:
        for (unsigned b = 0; b < 256; b++) {
            char c[4];
            tiny_add_n(l, c, utf8_encode(tok_byte_char((uint8_t)b), c), 1);
        }
        tiny_words(l, TINY_JOINED, 1);
        tiny_add(l, "<|endoftext|>", 3);
        tiny_add(l, "<|im_start|>", 3);
        tiny_add(l, "<|im_end|>", 3);
        tiny_add(l, "<think>", 4);
        break;
    case TINY_SPM:
        tiny_words(l, "<unk>", 2);
        tiny_words(l, "<s>|</s>", 3);
        tiny_bytes(l);
        tiny_words(l, TINY_BLOCK "|" TINY_BLOCK "hello|hello|he|ll|llo|aa|aaaa|" TINY_BLOCK
                   TINY_BLOCK "|h|e|l|o|a|w|r|d|\xc3\xa9|\n", 1);
        tiny_add(l, "<u>", 4);
        break;
    case TINY_WPM:
        tiny_words(l, "[PAD]|[UNK]|[CLS]|[SEP]|[MASK]", 3);
        tiny_words(l, TINY_BLOCK "hello|" TINY_BLOCK "world|" TINY_BLOCK "run|ing|" TINY_BLOCK
                   "un|aff|able|" TINY_BLOCK "!|" TINY_BLOCK "a|a|b|e", 1);
        break;
    case TINY_UGM:
        tiny_words(l, "<pad>|</s>", 3);
        tiny_words(l, "<unk>", 2);
        tiny_words(l, TINY_BLOCK "|" TINY_BLOCK "hello|" TINY_BLOCK "he|llo|a|aa|b|l|o|A|h|e", 1);
        tiny_add(l, "<u>", 4);
        break;
    case TINY_GEMMA4:
        tiny_words(l, "<pad>|<eos>|<bos>", 3);
        tiny_words(l, "<unk>", 2);
        tiny_bytes(l);
        tiny_words(l, TINY_BLOCK "|\n|\n\n|h|e|l|o|a|he|ll|llo|hello|" TINY_BLOCK "hello|aa", 1);
        break;
    case N_TINY: break;
    }
}

/* One replacement: fullwidth A (EF BC A1) becomes A. */
static inline size_t tiny_charsmap(uint8_t *out)
{
    static uint32_t unit[1281];
    unit[0] = 256u << 10;
    unit[495] = (495u ^ 512u) << 10 | 0xef;
    unit[700] = (700u ^ 1024u) << 10 | 0xbc;
    unit[1185] = (1185u ^ 1280u) << 10 | 1 << 8 | 0xa1;
    unit[1280] = 0;
    uint32_t bytes = sizeof unit;
    memcpy(out, &bytes, 4);
    memcpy(out + 4, unit, sizeof unit);
    memcpy(out + 4 + sizeof unit, "A", 2);
    return 4 + sizeof unit + 2;
}

/* A writer that holds the vocabulary; l and map must live until it is saved. */
static inline struct gguf_writer *tiny_writer(enum tiny kind, const char *pre, struct tiny_list *l, struct tiny_list *merges,
                                              uint8_t map[8192])
{
    static const char *const model[] = { "gpt2", "llama", "bert", "t5", "gemma4" };
    struct gguf_writer *w;
    if (gguf_writer_open(&w, NULL)) abort();
    memset(l, 0, sizeof *l);
    memset(merges, 0, sizeof *merges);
    tiny_tokens(l, kind);
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_str(w, "tokenizer.ggml.model", model[kind], strlen(model[kind]));
    gguf_put_strs(w, "tokenizer.ggml.tokens", l->s, l->n);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, l->type, l->n);
    gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, l->score, l->n);
    if (kind == TINY_BPE) {
        gguf_put_str(w, "tokenizer.ggml.pre", pre, strlen(pre));
        tiny_words(merges, TINY_MERGES, 1);
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 272);
    }
    if (kind == TINY_GEMMA4) {
        tiny_words(merges, "h e|l l|ll o|he llo|" TINY_BLOCK " hello|a a", 1);
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 2);
    }
    if (merges->n) gguf_put_strs(w, "tokenizer.ggml.merges", merges->s, merges->n);
    if (kind == TINY_WPM) {
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 2);
        gguf_put_u32(w, "tokenizer.ggml.seperator_token_id", 3);
        gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 1);
    }
    if (kind == TINY_UGM) {
        gguf_put_array(w, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, map, tiny_charsmap(map));
        gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", true);
        gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", true);
    }
    return w;
}

/* Saves, opens and forgets the file; closes w. */
static inline struct gguf *tiny_gguf(struct gguf_writer *w)
{
    char path[] = "/tmp/hearth-tiny-XXXXXX";
    struct gguf *g = NULL;
    int fd = mkstemp(path);
    if (fd < 0) abort();
    close(fd);
    if (gguf_writer_save(w, path, NULL) == 0) gguf_open(&g, path, NULL);
    gguf_writer_close(w);
    unlink(path);
    return g;
}

struct tiny_vocab { struct gguf *g; struct tokenizer *t; };

static inline struct tiny_vocab tiny_open(enum tiny kind, const char *pre)
{
    static struct tiny_list l, merges;
    static uint8_t map[8192];
    struct tiny_vocab v = { tiny_gguf(tiny_writer(kind, pre, &l, &merges, map)), NULL };
    struct err err = { 0 };
    if (!v.g || tokenizer_open(&v.t, v.g, &err)) {
        fprintf(stderr, "tiny vocabulary %d: %s\n", (int)kind, err.msg);
        abort();
    }
    return v;
}

static inline void tiny_close(struct tiny_vocab *v)
{
    tokenizer_close(v->t);
    gguf_close(v->g);
}

#endif
