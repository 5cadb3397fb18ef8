/* tok.h - what the files of the tokenizer share; nobody else includes it.
 *
 *   tok_vocab.c   keys of the file -> tables            tok_bpe.c   byte-level BPE, gemma4
 *   tok_table.c   text -> id, trie of strings           tok_spm.c   SentencePiece BPE
 *   tok_special.c cutting special tokens out of text    tok_wpm.c   WordPiece
 *   tok_pre.c     splitting text into words             tok_ugm.c   Unigram
 *   tok_pairs.c   the list of merges
 *   tok_merge.c   merging pairs by rank                 detok.c     ids -> text
 *
 * A symbol is a token id or, past n_vocab, a string that merges mention but the vocabulary lacks. */
#ifndef HEARTH_TEXT_TOK_H
#define HEARTH_TEXT_TOK_H

#include "base/arena.h"
#include "base/uni.h"
#include "text/tokenizer.h"

#define TOK_NONE UINT32_MAX

enum tok_model { TOK_SPM, TOK_BPE, TOK_GEMMA4, TOK_WPM, TOK_UGM };

enum {
    TF_EOG    = 1 << 0,
    TF_HIDDEN = 1 << 1,     /* decoding leaves it out unless asked */
    TF_PLAIN  = 1 << 2,     /* text becomes this token without TOK_PARSE */
    TF_GUARD  = 1 << 3,     /* a barrier inside its text keeps it from matching */
    TF_LSTRIP = 1 << 4,     /* swallows white space to its left */
    TF_RSTRIP = 1 << 5
};

/* ---- tok_table.c ---- */

/* Open addressing, at most three quarters full; the strings live elsewhere, indexed by id. */
struct str_slot { uint32_t hash, id; };           /* id TOK_NONE: empty */
struct str_table {
    struct str_slot *slot;
    uint32_t mask, used;
};
bool     str_table_init(struct str_table *t, uint32_t expect);
void     str_table_release(struct str_table *t);
uint32_t str_table_find(const struct str_table *t, const struct gguf_str *text, uint32_t hash, const char *s, size_t n);
/* Adds id, or makes it the meaning of an equal string that is there.  False when out of memory. */
bool     str_table_put(struct str_table *t, const struct gguf_str *text, uint32_t id);
uint32_t str_hash(const char *s, size_t n);
#define STR_HASH_START 0x811c9dc5u
/* Start bringing the slot of a hash into the cache; later, the string that the slot names. */
static inline uint32_t str_hash_mix(uint32_t h) { return (h ^ h >> 15) * 0x2c1b3c6du; }
static inline void str_table_fetch(const struct str_table *t, uint32_t hash)
{
    __builtin_prefetch(&t->slot[str_hash_mix(hash) & t->mask]);
}
static inline void str_table_fetch_text(const struct str_table *t, const struct gguf_str *text, uint32_t hash)
{
    uint32_t id = t->slot[str_hash_mix(hash) & t->mask].id;
    if (id != TOK_NONE) __builtin_prefetch(&text[id]);
}
static inline void str_table_fetch_bytes(const struct str_table *t, const struct gguf_str *text, uint32_t hash)
{
    uint32_t id = t->slot[str_hash_mix(hash) & t->mask].id;
    if (id != TOK_NONE) __builtin_prefetch(text[id].s);
}
static inline uint32_t str_hash_add(uint32_t h, uint8_t c) { return (h ^ c) * 0x01000193u; }

/* Bytes to nodes; node 0 is the root. */
struct trie {
    uint64_t *edge;             /* node << 8 | byte, shifted by 32, | child; 0 = empty */
    int32_t *leaf;              /* by node: the value stored there, -1 none */
    uint32_t mask, n_nodes, cap_nodes;
    uint32_t root[256];         /* child of the root, 0 none */
};
bool trie_init(struct trie *t, size_t expect_bytes);
void trie_release(struct trie *t);
bool trie_put(struct trie *t, const char *s, size_t n, int32_t value);      /* the last put of equal strings counts */
uint32_t trie_step(const struct trie *t, uint32_t node, uint8_t c);         /* 0: no such edge */

/* ---- the tokenizer ---- */

struct pre_set;

/* Cutting special tokens: candidates by rank (longest text first, then lower id). */
struct special {
    struct trie trie;           /* text -> rank */
    uint32_t n;
    int32_t *id;                /* by rank */
    uint32_t first[2][256];     /* [TOK_PARSE set]: best rank among the tokens that begin with this byte */
    bool strips_space;          /* some token strips white space and some token contains white space */
};

/* (left symbol, right symbol) -> rank; result by rank. */
struct merge_slot { uint32_t left, right, rank; };      /* rank TOK_NONE: empty */
struct merges {
    struct merge_slot *slot;
    uint32_t *result;
    uint32_t mask, n;           /* n 0: no list; the rank of a pair is the id of the token that it spells */
};
static inline uint32_t merge_hash(uint32_t left, uint32_t right)
{
    return (uint32_t)((((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u) >> 32);
}
uint32_t merge_find(const struct merges *m, uint32_t left, uint32_t right);     /* TOK_NONE: no such pair */

struct charsmap {
    const uint8_t *unit;        /* double array, little-endian u32, unaligned */
    uint32_t n_units;
    const char *text;           /* NUL-terminated replacements */
    uint32_t text_bytes;
};

struct tokenizer {
    enum tok_model model;
    const struct pre_set *pre;
    char name[64];
    int32_t n_vocab;
    uint32_t n_sym, cap_sym;
    struct gguf_str *text;      /* by symbol */
    uint8_t *kind, *flag;       /* by id */
    struct str_table table;
    uint32_t max_text;          /* bytes of the longest token */
    int32_t bos, eos, unk, sep;
    int32_t after_bos;          /* follows it where it is added; 0: nothing */
    bool add_bos, add_eos, add_sep;
    bool space_prefix, clean_spaces, ignore_merges, remove_extra_ws, escape_ws, ws_suffix;
    bool nfc;                   /* text is composed first */
    bool prefix_first;          /* no space_prefix behind special tokens ... */
    bool prefix_lazy;           /* ... and none before a space */
    bool exact;                 /* the file's kinds are right: nothing is guessed from the texts of normal tokens */
    bool whole;                 /* TOK_GEMMA4 without its rule for line breaks,
        with space_prefix: a llama vocabulary with merges */
    bool words_apart;           /* no symbol has U+2581 after something else: merging stops at each U+2581 */
    int32_t byte_id[256];       /* the token of a byte, -1 none */
    uint32_t byte_sym[256];     /* byte-level BPE: the symbol of a byte */
    struct special special;
    struct merges merges;
    uint32_t *rank_of;          /* SPM: by id, equal scores share a rank */
    uint32_t n_ranks;
    float *score;
    double min_score;
    struct trie trie;           /* UGM: text -> id; user-defined ones also in user */
    struct trie user;
    struct charsmap charsmap;
    uint16_t *class;            /* uni_class of U+0000..FFFF */
    struct arena arena;
};

static inline unsigned tok_class(const struct tokenizer *t, uint32_t cp)
{
    return cp < 0x10000 ? t->class[cp] : uni_class(cp);
}

/* The symbol with this text, TOK_NONE when there is none. */
uint32_t tok_find(const struct tokenizer *t, const char *s, size_t n);

/* One character of text that tok_repair has been through, or of any text: lead bytes decide the length, invalid bytes
 * are U+FFFD of length 1.  Overlong forms and surrogates pass, as in the tokenizers that this one agrees with. */
uint32_t tok_char(const char *s, size_t n, size_t *len);
/* *out and *n become text in which every character is encoded properly: the input itself, or a copy in b. */
bool tok_repair(const char **s, size_t *n, struct buf *b);

/* Byte-level BPE writes byte b as the character tok_byte_char(b); the inverse is -1 for other characters. */
uint32_t tok_byte_char(uint8_t b);
int tok_char_byte(uint32_t cp);

/* ---- tok_merge.c ---- */

struct merge_work;                          /* memory that one encode call reuses */
struct merge_job {
    const struct tokenizer *t;
    const char *text;                       /* SPM: symbols are offsets into it */
    struct merge_work *work;
};
struct merge_work *merge_work_new(void);
void merge_work_free(struct merge_work *w);
/* Room for n + 1 symbols to be merged; NULL when out of memory.  The caller fills n and, for SPM, the end offset. */
uint32_t *merge_symbols(struct merge_work *w, size_t n);
/* Merges in place as long as a pair has a rank, lowest first, leftmost among equals.  *n becomes the number left. */
bool merge_run(const struct merge_job *job, uint32_t *sym, size_t *n);

/* ---- one piece of text without special tokens; false when out of memory ---- */
struct encoder {
    const struct tokenizer *t;
    struct ids *out;
    struct merge_work *work;
    struct buf text, word;                  /* scratch */
    struct known_word *known;               /* tok_spm.c; NULL while there are none */
    bool bad;
};
void tok_bpe_encode(struct encoder *e, const char *s, size_t n);
void tok_gemma4_encode(struct encoder *e, const char *s, size_t n, bool space_first);
void tok_spm_encode(struct encoder *e, const char *s, size_t n, bool space_first);
void tok_wpm_encode(struct encoder *e, const char *s, size_t n);
void tok_ugm_encode(struct encoder *e, const char *s, size_t n);
/* A symbol that is no token, as byte tokens or unk. */
void tok_put_bytes(struct encoder *e, const char *s, size_t n);

int tok_merges_open(struct tokenizer *t, const struct gguf *g, struct err *err);
int tok_spm_open(struct tokenizer *t, struct err *err);
int tok_ugm_open(struct tokenizer *t, const struct gguf *g, struct err *err);

/* ---- tok_pre.c ---- */

struct pre_info {
    bool clean_spaces, ignore_merges, add_bos, add_sep, no_bos;
};
/* NULL for an unknown name; an empty one means the default. */
const struct pre_set *pre_find(const char *name, size_t n, struct pre_info *info);
typedef void pre_word(void *arg, const char *s, size_t n);
/* Calls word for each word of s[n] in order; s has been through tok_repair. */
void pre_split(const struct tokenizer *t, const char *s, size_t n, pre_word *word, void *arg);

/* ---- tok_special.c ---- */

int special_open(struct tokenizer *t, struct err *err);
void special_close(struct special *s);
/* Splits s[n] (barriers at the offsets bar[n_bar], already taken out) and calls piece for text (id -1) and tokens. */
struct special_text {
    const char *s;
    size_t n;
    const size_t *bar;
    size_t n_bar;
    bool parse;
};
typedef void special_piece(void *arg, const char *s, size_t n, int32_t id);
bool special_split(const struct tokenizer *t, const struct special_text *x, special_piece *piece, void *arg);

#endif
