/* tokenizer.h - text to token ids and back, for the tokenizers that GGUF files carry.
 *
 * Kinds (tokenizer.ggml.model): llama (SentencePiece BPE driven by scores), gpt2 (byte-level BPE with a named
 * pre-tokenizer), gemma4, bert (WordPiece), t5 (Unigram).  Encoding is O(n log n) in the length of the text, whatever
 * the text is.
 * Threads: immutable after open, any thread. */
#ifndef HEARTH_TEXT_TOKENIZER_H
#define HEARTH_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "format/gguf.h"

struct tokenizer;

/* g is borrowed: must outlive the tokenizer.  ERR_UNSUPPORTED for an unknown kind, ERR_FORMAT for damaged keys. */
int  tokenizer_open(struct tokenizer **out, const struct gguf *g, struct err *err);
void tokenizer_close(struct tokenizer *t);

/* The byte that keeps text from being read as a control token: put it inside user text that spells one
 * (chat.h does).  It is no part of any valid UTF-8.  It means this only with TOK_BARRIER, and then vanishes: tokens of
 * kind control and unknown (and those that a model's output parser must see) do not match across it, everything else is
 * as if it were not there. */
#define TOKENIZER_BARRIER '\xff'

enum {
    TOK_SPECIAL = 1,        /* add BOS/EOS/CLS/SEP as the model wants them */
    TOK_PARSE   = 2,        /* text that spells a control token becomes that token; without it only user-defined ones do */
    TOK_BARRIER = 4         /* bytes 0xFF in the text are barriers; without it they are invalid UTF-8 like any other */
};

/* Appends the ids of text[n] to out.  Invalid UTF-8 is accepted (bytes become byte tokens or U+FFFD). */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags, struct ids *out,
                     struct err *err);

enum token_kind { TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE };

int32_t tokenizer_n_vocab(const struct tokenizer *t);
const char *tokenizer_kind(const struct tokenizer *t);              /* "gpt2/qwen2", for people */
enum token_kind tokenizer_token_kind(const struct tokenizer *t, int32_t id);
bool    tokenizer_is_eog(const struct tokenizer *t, int32_t id);    /* generation ends at it */
int32_t tokenizer_bos(const struct tokenizer *t);                   /* -1: none */
int32_t tokenizer_eos(const struct tokenizer *t);                   /* -1: none */
bool    tokenizer_adds_bos(const struct tokenizer *t);
/* The id of a token by its exact text, -1 when there is none. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t n);
/* The text of an id as stored in the file (NULL for an id out of range). */
const char *tokenizer_text(const struct tokenizer *t, int32_t id, size_t *n);

/* Appends the bytes of one token as decoding gives them (U+2581 to space, byte alphabet undone); control tokens only
 * when special is set.  May be part of a character: use detok for streams. */
void tokenizer_piece(const struct tokenizer *t, int32_t id, bool special, struct buf *out);

/* Appends the text of ids[n], whole (one leading space removed where the model adds one and ids[0] has it; in old models
 * also the spaces before punctuation that their tokenizers put there).  Tokens that end in the middle of a character
 * give invalid UTF-8. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool special, struct buf *out);

/* Text of a token stream, in whole UTF-8 characters only.  Zero it, set t; special as above. */
struct detok {
    const struct tokenizer *t;
    bool special;               /* write control tokens out */
    bool started;               /* text has begun: keep the first space. Set it when continuing a prompt */
    uint8_t held[4];
    unsigned n_held;
};
void detok_push(struct detok *d, int32_t id, struct buf *out);      /* appends what became complete */
void detok_flush(struct detok *d, struct buf *out);                 /* the rest; an unfinished character becomes U+FFFD */

#endif
