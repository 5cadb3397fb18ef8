/* tok_pairs.c - the list of merges becomes a table: (left symbol, right symbol) -> rank.
 *
 * A list has up to half a million entries and each needs three strings looked up, so opening is a matter of cache
 * misses: entries are read in blocks, and the places that the next pass will look at are fetched meanwhile. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tok.h"

enum { BLOCK = 32 };

struct pending {
    struct gguf_str left, right;
    uint32_t hash_left, hash_right, hash_both;
    uint32_t left_id, right_id;
};

/* The symbol with this text, which is made when there is none; keep: the text must be copied. */
static uint32_t intern(struct tokenizer *t, uint32_t hash, const char *s, size_t n, bool keep)
{
    uint32_t id = str_table_find(&t->table, t->text, hash, s, n);
    if (id != TOK_NONE) return id;
    if (t->n_sym == t->cap_sym) {
        uint32_t cap = t->cap_sym + t->cap_sym / 2 + 256;
        struct gguf_str *text = mem_resize(t->text, cap, sizeof *text);
        if (!text) return TOK_NONE;
        t->text = text;
        t->cap_sym = cap;
    }
    if (keep && !(s = arena_strdup(&t->arena, s, n))) return TOK_NONE;
    id = t->n_sym;
    t->text[id] = (struct gguf_str){ s, n };
    if (!str_table_put(&t->table, t->text, id)) return TOK_NONE;
    t->n_sym++;
    return id;
}

static bool spells(struct gguf_str s, const struct pending *p)
{
    return s.n == p->left.n + p->right.n && memcmp(s.s, p->left.s, p->left.n) == 0 &&
           memcmp(s.s + p->left.n, p->right.s, p->right.n) == 0;
}

/* The symbol of left and right together.  Vocabularies are mostly in the order of their merges, so the token after
 * the last result is tried first; not when texts occur twice, because then the last of them counts. */
static uint32_t result_of(struct tokenizer *t, const struct pending *p, uint32_t last, bool unique)
{
    for (uint32_t id = last; unique && id <= last + 1 && id < (uint32_t)t->n_vocab; id++)
        if (spells(t->text[id], p)) return id;
    char local[256], *s = local;
    size_t n = p->left.n + p->right.n;
    if (n > sizeof local && !(s = mem_new(n, 1))) return TOK_NONE;
    memcpy(s, p->left.s, p->left.n);
    memcpy(s + p->left.n, p->right.s, p->right.n);
    uint32_t id = intern(t, p->hash_both, s, n, true);
    if (s != local) mem_free(s);
    return id;
}

static struct merge_slot *slot_of(const struct merges *m, uint32_t left, uint32_t right)
{
    uint32_t at = merge_hash(left, right) & m->mask;
    while (m->slot[at].rank != TOK_NONE && (m->slot[at].left != left || m->slot[at].right != right))
        at = (at + 1) & m->mask;
    return &m->slot[at];
}

static uint32_t hash_more(uint32_t h, struct gguf_str s)
{
    for (size_t i = 0; i < s.n; i++) h = str_hash_add(h, (uint8_t)s.s[i]);
    return h;
}

static bool parse(const struct tokenizer *t, struct gguf_str s, struct pending *p)
{
    const char *space = s.n > 2 ? memchr(s.s + 1, ' ', s.n - 2) : NULL;
    if (!space) return false;
    p->left = (struct gguf_str){ s.s, (size_t)(space - s.s) };
    p->right = (struct gguf_str){ space + 1, s.n - p->left.n - 1 };
    p->hash_left = hash_more(STR_HASH_START, p->left);
    p->hash_both = hash_more(p->hash_left, p->right);
    p->hash_right = hash_more(STR_HASH_START, p->right);
    str_table_fetch(&t->table, p->hash_left);
    str_table_fetch(&t->table, p->hash_right);
    return true;
}

/* Resolves n entries, the first of rank `rank`; *last is the latest result. */
static bool resolve(struct tokenizer *t, struct pending *p, uint32_t n, uint32_t rank, uint32_t *last, bool unique)
{
    struct merges *m = &t->merges;
    for (uint32_t i = 0; i < n; i++) {
        str_table_fetch_text(&t->table, t->text, p[i].hash_left);
        str_table_fetch_text(&t->table, t->text, p[i].hash_right);
    }
    for (uint32_t i = 0; i < n; i++) {
        str_table_fetch_bytes(&t->table, t->text, p[i].hash_left);
        str_table_fetch_bytes(&t->table, t->text, p[i].hash_right);
    }
    for (uint32_t i = 0; i < n; i++) {
        p[i].left_id = intern(t, p[i].hash_left, p[i].left.s, p[i].left.n, false);
        p[i].right_id = intern(t, p[i].hash_right, p[i].right.s, p[i].right.n, false);
        uint32_t both = result_of(t, &p[i], *last, unique);
        if (p[i].left_id == TOK_NONE || p[i].right_id == TOK_NONE || both == TOK_NONE) return false;
        m->result[rank + i] = both;
        if (both < (uint32_t)t->n_vocab) *last = both;
        __builtin_prefetch(&m->slot[merge_hash(p[i].left_id, p[i].right_id) & m->mask]);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct merge_slot *s = slot_of(m, p[i].left_id, p[i].right_id);
        /* the first of equal pairs counts */
        if (s->rank == TOK_NONE) *s = (struct merge_slot){ p[i].left_id, p[i].right_id, rank + i };
    }
    return true;
}

static int read_merges(struct tokenizer *t, const struct gguf *g, const struct gguf_kv *kv, struct err *err)
{
    struct merges *m = &t->merges;
    struct pending block[BLOCK];
    struct gguf_str s;
    uint64_t slots = 16;
    while (slots < kv->count + kv->count / 2) slots *= 2;
    m->slot = mem_new_array(struct merge_slot, slots);
    m->result = mem_new_array(uint32_t, kv->count);
    if (!m->slot || !m->result) return err_set(err, ERR_NOMEM, "%s: out of memory for merges", gguf_path(g));
    memset(m->slot, 0xff, slots * sizeof *m->slot);
    m->mask = (uint32_t)(slots - 1);
    m->n = t->n_ranks = (uint32_t)kv->count;
    uint32_t last = 255, n_text = 0;
    for (int32_t i = 0; i < t->n_vocab; i++) n_text += t->text[i].n != 0;
    bool unique = t->table.used == n_text;
    const uint8_t *at = kv->data;
    for (uint32_t rank = 0, n; rank < m->n; rank += n) {
        for (n = 0; n < BLOCK && rank + n < m->n; n++)
            if (!gguf_next_str(kv, &at, &s) || !parse(t, s, &block[n]))
                return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.merges: entry %u is not 'left right'", gguf_path(g),
                               (unsigned)(rank + n));
        if (!resolve(t, block, n, rank, &last, unique))
            return err_set(err, ERR_NOMEM, "%s: out of memory for merges", gguf_path(g));
    }
    return 0;
}

int tok_merges_open(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    const struct gguf_kv *kv = gguf_find(g, "tokenizer.ggml.merges");
    int rc = 0;
    if (kv && (kv->type != GGUF_ARRAY || kv->item != GGUF_STRING))
        return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.merges is not a list of strings", gguf_path(g));
    if (kv && kv->count > 1u << 24)
        return err_set(err, ERR_LIMIT, "%s: more than 16 million merges", gguf_path(g));
    t->n_ranks = (uint32_t)t->n_vocab;
    if (kv && kv->count) rc = read_merges(t, g, kv, err);
    for (unsigned b = 0; !rc && t->model == TOK_BPE && b < 256; b++) {
        char c[4];
        size_t n = utf8_encode(tok_byte_char((uint8_t)b), c);
        t->byte_sym[b] = intern(t, str_hash(c, n), c, n, true);
        if (t->byte_sym[b] == TOK_NONE) rc = err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(g));
    }
    return rc;
}

uint32_t merge_find(const struct merges *m, uint32_t left, uint32_t right)
{
    return slot_of(m, left, right)->rank;
}
