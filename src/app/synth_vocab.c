/* synth_vocab.c - vocabularies of the size, kind and layout of real ones, whose words are all strings of letters in order of
 * length: every token is two shorter ones joined, so that merges and scores make sense. */
#include <string.h>

#include "app/synth.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, UNUSED = 5, BYTE = 6, MAX_NAMED = 12 };

struct named { uint32_t id; const char *text; int32_t type; };

struct layout {
    const char *model, *pre;
    uint32_t bytes;                    /* id of byte 0 */
    uint32_t first, end;               /* ids of the words */
    uint32_t merges;                   /* how many: at least one for each word; 0: the words have scores */
    const char *filler, *filler_end;   /* around the number of an id that has no other text */
    int32_t filler_type;
    uint32_t bos, eos, unknown, pad;   /* 0 for unknown or pad that does not exist in byte-level vocabularies */
    bool add_bos, space_first;          /* space_first: a text of characters gets a space in front */
    struct named named[MAX_NAMED];
};

/* Counts and places as in the models' own tokenizer files. */
static const struct layout layout[] = {
    [VOCAB_LLAMA3] = { "gpt2", "llama-bpe", 0, 256, 128000, 280147, "<|reserved_special_token_", "|>", CONTROL, 128000, 128009, 0,
                       0, true, false,
                       { { 128000, "<|begin_of_text|>", CONTROL }, { 128001, "<|end_of_text|>", CONTROL },
                         { 128006, "<|start_header_id|>", CONTROL }, { 128007, "<|end_header_id|>", CONTROL },
                         { 128008, "<|eom_id|>", CONTROL }, { 128009, "<|eot_id|>", CONTROL } } },
    [VOCAB_QWEN] = { "gpt2", "qwen2", 0, 256, 151643, 151387, "[PAD", "]", UNUSED, 151643, 151645, 0, 151643, false, false,
                     { { 151643, "<|endoftext|>", CONTROL }, { 151644, "<|im_start|>", CONTROL },
                       { 151645, "<|im_end|>", CONTROL } } },
    [VOCAB_GEMMA] = { "llama", "default", 238, 494, 262144, 0, "<unused", ">", UNUSED, 2, 106, 3, 0, true, false,
                      { { 0, "<pad>", CONTROL }, { 1, "<eos>", CONTROL }, { 2, "<bos>", CONTROL }, { 3, "<unk>", UNKNOWN },
                        { 4, "<mask>", CONTROL }, { 105, "<start_of_turn>", CONTROL },
                        { 106, "<end_of_turn>", CONTROL } } },
    [VOCAB_PHI3] = { "llama", "default", 3, 259, 32000, 0, "<|placeholder", "|>", CONTROL, 1, 32007, 0, 32000, false,
                     true,
                     { { 0, "<unk>", UNKNOWN }, { 1, "<s>", CONTROL }, { 2, "</s>", CONTROL },
                       { 32000, "<|endoftext|>", CONTROL }, { 32001, "<|assistant|>", CONTROL },
                       { 32006, "<|system|>", CONTROL }, { 32007, "<|end|>", CONTROL }, { 32010, "<|user|>", CONTROL } } },
    [VOCAB_MISTRAL] = { "llama", "default", 771, 1027, 32768, 0, "[control_", "]", CONTROL, 1, 2, 0, 0, true, true,
                        { { 0, "<unk>", UNKNOWN }, { 1, "<s>", CONTROL }, { 2, "</s>", CONTROL }, { 3, "[INST]", CONTROL },
                          { 4, "[/INST]", CONTROL } } },
};

/* ---- words ---- */

/* Strings over 27 symbols: a space, which only begins a word, and the letters. */
struct word { uint8_t symbol[6]; unsigned n; };
enum { SPACE = 0, MAX_LEN = 5 };

/* Word i of those of two or more symbols: shorter ones first, and among equally long ones the first symbol changes fastest,
 * so that any number of words has all beginnings. */
static struct word word_at(uint32_t i)
{
    struct word w = { .n = 2 };
    uint32_t count = 27 * 26;
    for (; i >= count && w.n < MAX_LEN; w.n++) {
        i -= count;
        count *= 26;
    }
    w.symbol[0] = (uint8_t)(i % 27);
    i /= 27;
    for (unsigned k = w.n; k-- > 1; i /= 26) w.symbol[k] = (uint8_t)(1 + i % 26);
    return w;
}

static void put_symbols(struct buf *b, const struct word *w, unsigned from, unsigned to, bool spm)
{
    for (unsigned k = from; k < to; k++)
        if (w->symbol[k] == SPACE) buf_puts(b, spm ? "\xe2\x96\x81" : "\xc4\xa0");
        else buf_putc(b, (char)('a' + w->symbol[k] - 1));
}

/* ---- texts ---- */

/* Strings one after the other; their places become pointers when all are there. */
struct list { struct buf text; struct gguf_str *s; size_t n; };

static void end_string(struct list *l)
{
    size_t at = l->n ? (size_t)(uintptr_t)l->s[l->n - 1].s + l->s[l->n - 1].n : 0;
    l->s[l->n++] = (struct gguf_str){ (const char *)(uintptr_t)at, l->text.len - at };
}

static bool finish_list(struct list *l, struct arena *a)
{
    char *all = l->text.bad ? NULL : arena_strdup(a, l->text.data ? l->text.data : "", l->text.len);
    for (size_t i = 0; all && i < l->n; i++) l->s[i].s = all + (uintptr_t)l->s[i].s;
    buf_release(&l->text);
    return all != NULL;
}

/* The printable alphabet of byte-level BPE: printable Latin-1 stands for itself, the other bytes for U+0100 and on in order. */
static bool printable(uint32_t b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; }

static void put_byte_char(struct buf *b, uint32_t byte)
{
    uint32_t other = 256;
    char c[4];
    for (uint32_t i = 0; i < byte; i++) other += !printable(i);
    buf_put(b, c, utf8_encode(printable(byte) ? byte : other, c));
}

struct vocab {
    const struct layout *l;
    uint32_t n;
    bool spm;
    struct list tokens, merges;
    int32_t *type;
    float *score;
};

static const struct named *named_at(const struct layout *l, uint32_t id)
{
    for (size_t i = 0; i < MAX_NAMED && l->named[i].text; i++)
        if (l->named[i].id == id) return &l->named[i];
    return NULL;
}

/* Words of one symbol, which a vocabulary of characters needs too: the block that stands for a space, then 94 characters. */
enum { SINGLES = 95 };

static void put_word(struct vocab *v, uint32_t i)
{
    struct buf *b = &v->tokens.text;
    if (v->spm && i < SINGLES) {
        if (i == 0) buf_puts(b, "\xe2\x96\x81");
        else buf_putc(b, (char)(' ' + i));
        return;
    }
    struct word w = word_at(v->spm ? i - SINGLES : i);
    put_symbols(b, &w, 0, w.n, v->spm);
}

static void put_token(struct vocab *v, uint32_t id)
{
    const struct layout *l = v->l;
    const struct named *named = named_at(l, id);
    struct buf *b = &v->tokens.text;
    v->type[id] = NORMAL;
    if (named) {
        buf_puts(b, named->text);
        v->type[id] = named->type;
    } else if (id >= l->bytes && id < l->bytes + 256 && v->spm) {
        buf_printf(b, "<0x%02X>", id - l->bytes);
        v->type[id] = BYTE;
    } else if (id >= l->bytes && id < l->bytes + 256)
        put_byte_char(b, id - l->bytes);
    else if (id >= l->first && id < l->end) {
        put_word(v, id - l->first);
        v->score[id] = -(float)(id - l->first);
    } else {
        buf_printf(b, "%s%u%s", l->filler, id, l->filler_end);
        v->type[id] = l->filler_type;
    }
    end_string(&v->tokens);
}

static void put_merge(struct vocab *v, const struct word *w, unsigned cut)
{
    put_symbols(&v->merges.text, w, 0, cut, false);
    buf_putc(&v->merges.text, ' ');
    put_symbols(&v->merges.text, w, cut, w->n, false);
    end_string(&v->merges);
}

/* Every word joins its beginning and its last letter; lists that name other ways too have as many of them as the real one. */
static void put_merges(struct vocab *v)
{
    uint32_t words = v->l->end - v->l->first, extra = v->l->merges - words;
    for (uint32_t i = 0; i < words; i++) {
        struct word w = word_at(i);
        put_merge(v, &w, w.n - 1);
        for (unsigned cut = 1; cut + 1 < w.n && extra; cut++, extra--) put_merge(v, &w, cut);
    }
}

/* ---- keys ---- */

#define KEY(name) "tokenizer.ggml." name

static void put_keys(struct gguf_writer *w, const struct vocab *v)
{
    const struct layout *l = v->l;
    gguf_put_str(w, KEY("model"), l->model, strlen(l->model));
    gguf_put_str(w, KEY("pre"), l->pre, strlen(l->pre));
    gguf_put_strs(w, KEY("tokens"), v->tokens.s, v->tokens.n);
    gguf_put_array(w, KEY("token_type"), GGUF_I32, v->type, v->n);
    if (v->spm) gguf_put_array(w, KEY("scores"), GGUF_F32, v->score, v->n);
    else gguf_put_strs(w, KEY("merges"), v->merges.s, v->merges.n);
    gguf_put_u32(w, KEY("bos_token_id"), l->bos);
    gguf_put_u32(w, KEY("eos_token_id"), l->eos);
    if (v->spm) gguf_put_u32(w, KEY("unknown_token_id"), l->unknown);
    if (l->pad) gguf_put_u32(w, KEY("padding_token_id"), l->pad);
    gguf_put_bool(w, KEY("add_bos_token"), l->add_bos);
    if (v->spm) gguf_put_bool(w, KEY("add_space_prefix"), l->space_first);
}

int synth_put_vocab(struct gguf_writer *w, enum synth_vocab kind, uint32_t n_tokens, struct arena *a, struct err *err)
{
    struct vocab v = { .l = &layout[kind], .n = n_tokens, .spm = !layout[kind].merges };
    v.tokens.s = arena_new(a, struct gguf_str, n_tokens);
    v.merges.s = arena_new(a, struct gguf_str, v.l->merges);
    v.type = arena_new(a, int32_t, n_tokens);
    v.score = arena_new(a, float, n_tokens);
    bool ok = v.tokens.s && v.merges.s && v.type && v.score;
    for (uint32_t id = 0; ok && id < n_tokens; id++) put_token(&v, id);
    if (ok && !v.spm) put_merges(&v);
    ok = finish_list(&v.tokens, a) && ok;
    ok = finish_list(&v.merges, a) && ok;
    if (!ok) return err_set(err, ERR_NOMEM, "out of memory making a vocabulary of %u tokens", n_tokens);
    put_keys(w, &v);
    return 0;
}
