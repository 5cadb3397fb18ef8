/* tok_vocab.c - the keys of a file become the tables of a tokenizer. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tok.h"

#define KEY(name) "tokenizer.ggml." name

static bool is(struct gguf_str s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.s, text, s.n) == 0;
}

static bool contains(struct gguf_str s, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= s.n; i++) {
        size_t k = 0;
        while (k < n && (s.s[i + k] | (s.s[i + k] >= 'A' && s.s[i + k] <= 'Z' ? 32 : 0)) == word[k]) k++;
        if (k == n) return true;
    }
    return false;
}

/* ---- tokens, kinds, scores ---- */

static const struct gguf_kv *array(const struct gguf *g, const char *key)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv && kv->type == GGUF_ARRAY ? kv : NULL;
}

static int read_tokens(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    const struct gguf_kv *kv = array(g, KEY("tokens"));
    if (!kv || kv->item != GGUF_STRING || !kv->count)
        return err_set(err, ERR_FORMAT, "%s: " KEY("tokens") " is missing or not a list of strings", gguf_path(g));
    if (kv->count > 1u << 24)
        return err_set(err, ERR_LIMIT, "%s: %llu tokens, more than 16 million", gguf_path(g), (unsigned long long)kv->count);
    t->n_vocab = (int32_t)kv->count;
    t->n_sym = t->cap_sym = (uint32_t)kv->count;
    t->text = mem_new_array(struct gguf_str, kv->count);
    t->kind = mem_new_array(uint8_t, kv->count);
    t->flag = mem_new_array(uint8_t, kv->count);
    if (!t->text || !t->kind || !t->flag || !str_table_init(&t->table, t->n_sym + t->n_sym / 16))
        return err_set(err, ERR_NOMEM, "%s: out of memory for %d tokens", gguf_path(g), (int)t->n_vocab);
    const uint8_t *at = kv->data;
    for (uint32_t i = 0; i < t->n_sym && gguf_next_str(kv, &at, &t->text[i]); i++) {
        if (!t->text[i].n) continue;        /* an empty text never matches */
        if (t->text[i].n > t->max_text) t->max_text = (uint32_t)t->text[i].n;
        if (!str_table_put(&t->table, t->text, i)) return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(g));
    }
    return 0;
}

static int read_kinds(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    static const uint8_t of[] = { TOKEN_UNUSED, TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED,
                                  TOKEN_BYTE };
    const struct gguf_kv *kv = array(g, KEY("token_type"));
    if (kv && kv->count != (uint64_t)t->n_vocab)
        return err_set(err, ERR_FORMAT, "%s: " KEY("token_type") " has %llu entries for %d tokens", gguf_path(g),
                       (unsigned long long)kv->count, (int)t->n_vocab);
    for (int32_t i = 0; kv && i < t->n_vocab; i++) {
        int64_t v = -1;
        if (!gguf_item_i64(kv, (uint64_t)i, &v) || v < 0 || v > 6)
            return err_set(err, ERR_FORMAT, "%s: " KEY("token_type") " of token %d is not 0 to 6", gguf_path(g), (int)i);
        t->kind[i] = of[v];
    }
    return 0;
}

static int read_scores(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    const struct gguf_kv *kv = array(g, KEY("scores"));
    if (t->model != TOK_SPM && t->model != TOK_UGM) return 0;
    if (!kv || kv->count != (uint64_t)t->n_vocab)
        return err_set(err, ERR_FORMAT, "%s: " KEY("scores") " has %llu entries for %d tokens", gguf_path(g),
                       kv ? (unsigned long long)kv->count : 0, (int)t->n_vocab);
    t->score = mem_new_array(float, kv->count);
    if (!t->score) return err_set(err, ERR_NOMEM, "%s: out of memory for scores", gguf_path(g));
    for (int32_t i = 0; i < t->n_vocab; i++)
        if (!gguf_item_f32(kv, (uint64_t)i, &t->score[i]) || t->score[i] - t->score[i] != 0)
            return err_set(err, ERR_FORMAT, "%s: the score of token %d is not a finite number", gguf_path(g), (int)i);
    return 0;
}

uint32_t tok_find(const struct tokenizer *t, const char *s, size_t n)
{
    return str_table_find(&t->table, t->text, str_hash(s, n), s, n);
}

/* A token that is known by its text. */
static int32_t find_token(const struct tokenizer *t, const char *s)
{
    int32_t id = tokenizer_find(t, s, strlen(s));
    return id >= 0 && t->exact && t->kind[id] == TOKEN_NORMAL ? -1 : id;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t n)
{
    uint32_t id = tok_find(t, text, n);
    return id < (uint32_t)t->n_vocab ? (int32_t)id : -1;
}

/* ---- ids with a meaning ---- */

/* The id under key; a missing key or an id out of range leaves the default, which must exist too. */
static int32_t special_id(const struct tokenizer *t, const struct gguf *g, const char *key, int32_t otherwise)
{
    uint32_t v;
    if (gguf_get_u32(g, key, &v) && v < (uint32_t)t->n_vocab) return (int32_t)v;
    return otherwise < t->n_vocab ? otherwise : -1;
}

static void read_ids(struct tokenizer *t, const struct gguf *g, const struct pre_info *info)
{
    struct defaults { int32_t bos, eos, unk, sep; };
    static const struct defaults of[] = {
        [TOK_SPM] = { 1, 2, 0, -1 }, [TOK_BPE] = { 11, 11, -1, -1 }, [TOK_GEMMA4] = { -1, -1, -1, -1 },
        [TOK_WPM] = { 101, -1, 100, 102 }, [TOK_UGM] = { -1, 1, 2, -1 }
    };
    struct defaults d = of[t->whole ? TOK_SPM : t->model];
    /* 11 is the one special token of the vocabulary that set this default; anywhere else it is an ordinary word. */
    if (t->model == TOK_BPE && t->n_vocab > 11 && t->kind[11] != TOKEN_CONTROL) d.bos = d.eos = -1;
    if (info->no_bos) d.bos = -1;
    t->bos = special_id(t, g, KEY("bos_token_id"), d.bos);
    t->eos = special_id(t, g, KEY("eos_token_id"), d.eos);
    t->unk = special_id(t, g, KEY("unknown_token_id"), d.unk);
    t->sep = special_id(t, g, KEY("seperator_token_id"), special_id(t, g, KEY("separator_token_id"), d.sep));
    if (t->model == TOK_WPM) t->bos = special_id(t, g, KEY("cls_token_id"), t->bos);
    t->add_bos = t->model == TOK_SPM || t->whole || t->model == TOK_WPM || info->add_bos;
    t->add_eos = t->model == TOK_UGM;
    t->add_sep = t->model == TOK_WPM || info->add_sep;
    gguf_get_bool(g, KEY("add_bos_token"), &t->add_bos);
    uint32_t after = 0;
    if (gguf_get_u32(g, "hearth.tokenizer.after_bos", &after) && after < (uint32_t)t->n_vocab) t->after_bos = (int32_t)after;
    gguf_get_bool(g, KEY("add_eos_token"), &t->add_eos);
    gguf_get_bool(g, KEY("add_sep_token"), &t->add_sep);
    if (t->model == TOK_GEMMA4 && !t->whole) t->add_bos = true;
    t->clean_spaces = t->model == TOK_WPM || info->clean_spaces;
    t->ignore_merges = info->ignore_merges;
    gguf_get_bool(g, "hearth.tokenizer.ignore_merges", &t->ignore_merges);
    gguf_get_bool(g, "hearth.tokenizer.nfc", &t->nfc);
    t->space_prefix = t->model == TOK_SPM || t->whole;
    t->escape_ws = true;
    gguf_get_bool(g, KEY("add_space_prefix"), &t->space_prefix);
    uint32_t rule = 0;
    gguf_get_u32(g, "hearth.tokenizer.prefix", &rule);
    t->prefix_first = rule & 1;
    t->prefix_lazy = rule & 2;
    gguf_get_bool(g, KEY("remove_extra_whitespaces"), &t->remove_extra_ws);
    gguf_get_bool(g, KEY("escape_whitespaces"), &t->escape_ws);
    gguf_get_bool(g, KEY("treat_whitespace_as_suffix"), &t->ws_suffix);
}

static void set_flag(struct tokenizer *t, int32_t id, unsigned flag, bool on)
{
    if (id < 0) return;
    t->flag[id] = (uint8_t)(on ? t->flag[id] | flag : t->flag[id] & ~flag);
}

static void set_flag_text(struct tokenizer *t, const char *text, unsigned flag, bool on)
{
    set_flag(t, find_token(t, text), flag, on);
}

/* Ends a generation, and whatever the file says it is a control token: some files call these normal or user-defined. */
static void mark_end_token(struct tokenizer *t, int32_t id)
{
    if (id < 0) return;
    set_flag(t, id, TF_PLAIN, false);
    set_flag(t, id, TF_EOG | TF_HIDDEN | TF_GUARD, true);
}

static void mark_end(struct tokenizer *t, const struct gguf *g)
{
    static const char *const texts[] = {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
        "<|endoftext|>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>",
        "<eos>", "<turn|>", "<|tool_response>", "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>",
        "[e~[",
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>",
        "<REPO>", "<reponame>", "<|file_sep|>"
    };
    static const char *const keys[] = {
        KEY("eot_token_id"), KEY("eom_token_id"), KEY("fim_pad_token_id"), KEY("fim_rep_token_id"), KEY("fim_sep_token_id")
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) mark_end_token(t, find_token(t, texts[i]));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) set_flag(t, special_id(t, g, keys[i], -1), TF_EOG, true);
    /* Gemma 4 writes </s> as HTML: there it is no more than text */
    int32_t html = find_token(t, "</s>");
    if (find_token(t, "<|tool_response>") < 0) mark_end_token(t, html);
    else if (html >= 0) t->flag[html] = 0;
    set_flag(t, t->eos, TF_EOG, true);
}

/* Marks of fill-in-the-middle prompts are control tokens, whatever the file calls them: user text must not spell them. */
static void mark_fim(struct tokenizer *t)
{
    static const char *const texts[] = {
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\357\275\234fim\342\226\201begin\357\275\234>", "<PRE>",
        "\342\226\201<PRE>", "<|code_prefix|>",
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\357\275\234fim\342\226\201hole\357\275\234>", "<SUF>",
        "\342\226\201<SUF>", "<|code_suffix|>",
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\357\275\234fim\342\226\201end\357\275\234>", "<MID>",
        "\342\226\201<MID>", "<|code_middle|>"
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int32_t id = find_token(t, texts[i]);
        set_flag(t, id, TF_PLAIN, false);
        set_flag(t, id, TF_HIDDEN | TF_GUARD, true);
    }
}

/* Tokens that parsers of the model's output must see: written out like user-defined ones, and guarded like control
 * tokens. */
static void show(struct tokenizer *t, const char *text)
{
    set_flag_text(t, text, TF_HIDDEN, false);
    set_flag_text(t, text, TF_PLAIN | TF_GUARD, true);
}

static void mark_visible(struct tokenizer *t)
{
    static const char *const visible[] = {
        "<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", "<|channel>", "<channel|>", "<|tool_call>",
        "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|\"|>"
    };
    for (size_t i = 0; i < sizeof visible / sizeof visible[0]; i++) show(t, visible[i]);
    if ((find_token(t, "<|return|>") >= 0 && find_token(t, "<|call|>") >= 0) ||
        (find_token(t, "<|calls|>") >= 0 && find_token(t, "<|flush|>") >= 0)) {
        set_flag_text(t, "<|end|>", TF_EOG, false);
        show(t, "<|end|>");
    }
}

/* Pairs of id and what it swallows; false when the file does not say. */
static bool read_strips(struct tokenizer *t, const struct gguf *g)
{
    const struct gguf_kv *kv = array(g, "hearth.tokenizer.strip");
    int64_t id, how;
    if (!kv) return false;
    for (uint64_t i = 0; gguf_item_i64(kv, i, &id) && gguf_item_i64(kv, i + 1, &how); i += 2) {
        if (id < 0 || id >= t->n_vocab) continue;
        set_flag(t, (int32_t)id, TF_LSTRIP, how & 1);
        set_flag(t, (int32_t)id, TF_RSTRIP, how & 2);
    }
    return true;
}

/* White space around special tokens is part of them in some models; GGUF files do not say so. */
static void mark_strips(struct tokenizer *t, const struct gguf *g, struct gguf_str pre)
{
    struct gguf_str name = { "", 0 }, arch = { "", 0 };
    gguf_get_str(g, "general.name", &name);
    gguf_get_str(g, "general.architecture", &arch);
    if (read_strips(t, g)) return;
    if (contains(name, "phi-3") || contains(name, "phi3")) {
        for (int32_t i = 0; i < t->n_vocab; i++)
            if (t->flag[i] & (TF_HIDDEN | TF_PLAIN)) set_flag(t, i, TF_RSTRIP, true);
        set_flag_text(t, "</s>", TF_RSTRIP, true);
        set_flag_text(t, "<unk>", TF_RSTRIP, false);
        set_flag_text(t, "<s>", TF_RSTRIP, false);
        set_flag_text(t, "<|endoftext|>", TF_RSTRIP, false);
    } else if (is(pre, "jina-v2-de") || is(pre, "jina-v2-es") || is(pre, "jina-v2-code") || is(pre, "roberta-bpe") ||
               is(arch, "nomic-bert-moe") || is(arch, "jina-bert-v3")) {
        set_flag_text(t, "<mask>", TF_LSTRIP, true);
    } else if (is(pre, "modern-bert") || contains(name, "modern-bert") || is(arch, "modern-bert")) {
        set_flag_text(t, "[MASK]", TF_LSTRIP, true);
    }
}

static void mark_kinds(struct tokenizer *t)
{
    for (int32_t i = 0; i < t->n_vocab; i++) {
        if (t->kind[i] == TOKEN_CONTROL || t->kind[i] == TOKEN_UNKNOWN) t->flag[i] = TF_HIDDEN | TF_GUARD;
        if (t->kind[i] == TOKEN_USER) t->flag[i] = TF_PLAIN;
    }
}

/* ---- bytes, characters ---- */

static void find_bytes(struct tokenizer *t)
{
    static const char hex[] = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; b++) {
        char name[7] = { '<', '0', 'x', hex[b >> 4], hex[b & 15], '>', 0 }, raw = (char)b;
        char mapped[4];
        int32_t id = t->model == TOK_BPE ? tokenizer_find(t, mapped, utf8_encode(tok_byte_char((uint8_t)b), mapped))
                                         : tokenizer_find(t, name, 6);
        if (id < 0 && t->model != TOK_BPE) id = tokenizer_find(t, &raw, 1);
        t->byte_id[b] = id;
    }
}

/* Whether a character other than U+2581 is followed by U+2581 inside some symbol. */
static bool all_words_apart(const struct tokenizer *t)
{
    for (uint32_t i = 0; i < t->n_sym; i++) {
        const char *s = t->text[i].s;
        for (size_t k = 1; k + 3 <= t->text[i].n; k++)
            if (memcmp(s + k, "\xe2\x96\x81", 3) == 0 && (k < 3 || memcmp(s + k - 3, "\xe2\x96\x81", 3) != 0)) return false;
    }
    return true;
}

static int read_model(struct tokenizer *t, const struct gguf *g, struct gguf_str *pre, struct pre_info *info,
                      struct err *err)
{
    static const struct { const char *name; enum tok_model model; } models[] = {
        { "llama", TOK_SPM }, { "gpt2", TOK_BPE }, { "gemma4", TOK_GEMMA4 }, { "bert", TOK_WPM }, { "t5", TOK_UGM }
    };
    struct gguf_str s;
    if (!gguf_get_str(g, KEY("model"), &s))
        return err_set(err, ERR_FORMAT, "%s: " KEY("model") " is missing", gguf_path(g));
    size_t i = 0, n = sizeof models / sizeof models[0];
    while (i < n && !is(s, models[i].name)) i++;
    if (i == n)
        return err_set(err, ERR_UNSUPPORTED, "%s: tokenizer kind '%.*s' is not known", gguf_path(g),
                       (int)(s.n < 40 ? s.n : 40), s.s);
    t->model = models[i].model;
    bool merges = false;
    gguf_get_bool(g, "hearth.tokenizer.merges", &merges);
    if (t->model == TOK_SPM && merges) {
        t->model = TOK_GEMMA4;
        t->whole = true;
    }
    *info = (struct pre_info){ 0 };
    gguf_get_str(g, KEY("pre"), pre);
    bool splits = t->model == TOK_BPE || t->model == TOK_GEMMA4;
    if (splits && !(t->pre = pre_find(t->model == TOK_BPE ? pre->s : "gemma4", t->model == TOK_BPE ? pre->n : 6, info)))
        return err_set(err, ERR_UNSUPPORTED, "%s: pre-tokenizer '%.*s' is not known", gguf_path(g),
                       (int)(pre->n < 60 ? pre->n : 60), pre->s);
    if (t->whole) *info = (struct pre_info){ 0 };
    struct buf b = { 0 };
    buf_printf(&b, "%s%s%.*s", models[i].name, splits && !t->whole && pre->n ? "/" : "",
               splits && !t->whole ? (int)(pre->n < 40 ? pre->n : 40) : 0,
               pre->s);
    if (b.bad) return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(g));
    memcpy(t->name, b.data, b.len + 1);
    buf_release(&b);
    return 0;
}

static int build(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    struct gguf_str pre = { "", 0 };
    struct pre_info info;
    int rc = read_model(t, g, &pre, &info, err);
    if (!rc) rc = read_tokens(t, g, err);
    if (!rc) rc = read_kinds(t, g, err);
    if (!rc) rc = read_scores(t, g, err);
    if (rc) return rc;
    t->exact = array(g, "hearth.tokenizer.strip") != NULL;
    read_ids(t, g, &info);
    mark_kinds(t);
    mark_end(t, g);
    mark_fim(t);
    mark_visible(t);
    mark_strips(t, g, pre);
    find_bytes(t);
    t->class = mem_new_array(uint16_t, 0x10000);
    if (!t->class) return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(g));
    for (uint32_t c = 0; c < 0x10000; c++) t->class[c] = (uint16_t)uni_class(c);
    if (t->model == TOK_BPE || t->model == TOK_GEMMA4) rc = tok_merges_open(t, g, err);
    if (!rc && t->model == TOK_SPM) rc = tok_spm_open(t, err);
    if (!rc && t->model == TOK_UGM) rc = tok_ugm_open(t, g, err);
    if (!rc) rc = special_open(t, err);
    t->words_apart = (t->model == TOK_SPM || t->model == TOK_GEMMA4) && all_words_apart(t);
    return rc;
}

int tokenizer_open(struct tokenizer **out, const struct gguf *g, struct err *err)
{
    *out = NULL;
    struct tokenizer *t = mem_new(1, sizeof *t);
    if (!t) return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(g));
    int rc = build(t, g, err);
    if (rc) {
        tokenizer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t) return;
    str_table_release(&t->table);
    special_close(&t->special);
    trie_release(&t->trie);
    trie_release(&t->user);
    mem_free(t->merges.slot);
    mem_free(t->merges.result);
    mem_free(t->rank_of);
    mem_free(t->score);
    mem_free(t->text);
    mem_free(t->kind);
    mem_free(t->flag);
    mem_free(t->class);
    arena_release(&t->arena);
    mem_free(t);
}

int32_t tokenizer_n_vocab(const struct tokenizer *t) { return t->n_vocab; }
const char *tokenizer_kind(const struct tokenizer *t) { return t->name; }
int32_t tokenizer_bos(const struct tokenizer *t) { return t->bos; }
int32_t tokenizer_eos(const struct tokenizer *t) { return t->eos; }
bool tokenizer_adds_bos(const struct tokenizer *t) { return t->add_bos && t->bos >= 0; }

enum token_kind tokenizer_token_kind(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n_vocab ? (enum token_kind)t->kind[id] : TOKEN_UNUSED;
}

bool tokenizer_is_eog(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n_vocab && (t->flag[id] & TF_EOG);
}

const char *tokenizer_text(const struct tokenizer *t, int32_t id, size_t *n)
{
    bool ok = id >= 0 && id < t->n_vocab;
    if (n) *n = ok ? t->text[id].n : 0;
    return ok ? t->text[id].s : NULL;
}
