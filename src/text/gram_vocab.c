#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_BYTES = 255, SMALL = 4 };      /* SMALL: subtrees up to so many nodes have no set */

/* States of reading UTF-8: WHOLE between characters, then what must come next. */
enum { WHOLE, ONE, TWO, THREE, AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4, BROKEN };

static unsigned utf8_next(unsigned s, uint8_t c)
{
    static const struct { uint8_t lo, hi, then; } row[] = {
        [ONE] = { 0x80, 0xbf, WHOLE }, [TWO] = { 0x80, 0xbf, ONE }, [THREE] = { 0x80, 0xbf, TWO },
        [AFTER_E0] = { 0xa0, 0xbf, ONE }, [AFTER_ED] = { 0x80, 0x9f, ONE },
        [AFTER_F0] = { 0x90, 0xbf, TWO }, [AFTER_F4] = { 0x80, 0x8f, TWO },
    };
    if (s == BROKEN) return BROKEN;
    if (s != WHOLE) return c >= row[s].lo && c <= row[s].hi ? row[s].then : BROKEN;
    if (c < 0x80) return WHOLE;
    if (c < 0xc2 || c > 0xf4) return BROKEN;
    if (c < 0xe0) return ONE;
    if (c < 0xf0) return c == 0xe0 ? AFTER_E0 : c == 0xed ? AFTER_ED : TWO;
    return c == 0xf0 ? AFTER_F0 : c == 0xf4 ? AFTER_F4 : THREE;
}

/* ---- the bytes of each token ---- */

static int collect(struct vocab *v, struct err *err)
{
    struct buf b = { 0 };
    v->at = mem_new_array(uint32_t, (size_t)v->n_vocab + 1);
    v->ends = mem_new_array(uint64_t, v->n_words);
    if (!v->at || !v->ends) b.bad = true;
    for (int32_t id = 0; id < v->n_vocab && !b.bad; id++) {
        enum token_kind k = tokenizer_token_kind(v->tokenizer, id);
        bool ends = tokenizer_is_eog(v->tokenizer, id);
        size_t before = b.len;
        if (ends) v->ends[id >> 6] |= (uint64_t)1 << (id & 63);
        if (!ends && k != TOKEN_CONTROL && k != TOKEN_UNKNOWN && k != TOKEN_UNUSED) tokenizer_piece(v->tokenizer, id, false, &b);
        if (b.len - before > MAX_BYTES) b.len = before;
        if (b.len > UINT32_MAX / 2) b.bad = true;
        v->at[id + 1] = (uint32_t)b.len;
    }
    v->bytes = (uint8_t *)(void *)buf_take(&b);
    buf_release(&b);
    return v->bytes ? 0 : err_set(err, ERR_NOMEM, "out of memory for the tokens' bytes");
}

struct sorted { const uint8_t *s; uint32_t n; int32_t id; };

static int by_bytes(const void *x, const void *y)
{
    const struct sorted *a = x, *b = y;
    int c = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
    if (c) return c;
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* ---- the trie ---- */

struct builder {
    struct vocab *v;
    uint32_t cap, cap_sets;
    unsigned depth;
    struct {                            /* by depth: the node that is open */
        uint32_t node;
        uint8_t utf8;
        unsigned bit;                   /* its own character */
        struct vocab_set below;
    } open[MAX_BYTES + 1];
};

static bool close_to(struct builder *b, unsigned depth)
{
    struct vocab *v = b->v;
    for (; b->depth > depth; b->depth--) {
        struct vocab_node *x = &v->node[b->open[b->depth].node], *up = &v->node[b->open[b->depth - 1].node];
        struct vocab_set *below = &b->open[b->depth].below, *above = &b->open[b->depth - 1].below;
        x->end = v->n_nodes;
        if (x->end - b->open[b->depth].node > SMALL) {
            if (v->n_sets == b->cap_sets) {
                uint32_t cap = b->cap_sets ? b->cap_sets * 2 : 1024;
                struct vocab_set *p = mem_resize(v->set, cap, sizeof *p);
                if (!p) return false;
                v->set = p;
                b->cap_sets = cap;
            }
            v->set[v->n_sets] = *below;
            x->below = v->n_sets++ & VOCAB_UNKNOWN;
        }
        vocab_set_add(above, b->open[b->depth].bit);
        for (size_t w = 0; w < sizeof above->w / sizeof *above->w; w++) above->w[w] |= below->w[w];
        if (x->deepest > up->deepest) up->deepest = x->deepest;
    }
    return true;
}

static bool open_node(struct builder *b, uint8_t byte, uint32_t token)
{
    struct vocab *v = b->v;
    if (v->n_nodes + 1 >= b->cap) {
        uint32_t cap = b->cap * 2;
        struct vocab_node *p = mem_resize(v->node, cap, sizeof *p);
        if (!p) return false;
        v->node = p;
        b->cap = cap;
    }
    const struct vocab_node *up = &v->node[b->open[b->depth].node];
    unsigned before = b->open[b->depth].utf8, after = utf8_next(before, byte);
    unsigned bit = after == BROKEN ? VOCAB_BAD : before == WHOLE ? vocab_class(byte) : b->open[b->depth].bit;
    struct vocab_node x = { .token = token, .below = VOCAB_UNKNOWN, .whole = after == WHOLE, .byte = byte,
                            .depth = (uint8_t)(b->depth + 1), .chars = (uint8_t)(up->chars + (before == WHOLE)) };
    x.deepest = x.chars;
    b->depth++;
    b->open[b->depth].node = v->n_nodes;
    b->open[b->depth].utf8 = (uint8_t)after;
    b->open[b->depth].bit = bit;
    b->open[b->depth].below = (struct vocab_set){ { 0 } };
    v->node[v->n_nodes++] = x;
    return true;
}

static bool make_trie(struct vocab *v, const struct sorted *s)
{
    struct builder b = { .v = v, .cap = v->n_order * 2 + 16 };
    v->node = mem_new_array(struct vocab_node, b.cap);
    if (!v->node) return false;
    v->node[0] = (struct vocab_node){ .whole = true, .below = VOCAB_UNKNOWN };
    v->n_nodes = 1;
    for (uint32_t i = 0; i < v->n_order; i++) {
        unsigned common = 0;
        while (i && common < s[i].n && common < s[i - 1].n && s[i].s[common] == s[i - 1].s[common]) common++;
        if (!close_to(&b, common)) return false;
        while (b.depth < s[i].n)
            if (!open_node(&b, s[i].s[b.depth], i)) return false;
        v->order[i] = s[i].id;
    }
    if (!close_to(&b, 0)) return false;
    v->node[0].end = v->n_nodes;
    v->node[v->n_nodes] = (struct vocab_node){ .token = v->n_order, .end = v->n_nodes };
    return true;
}

/* ---- characters by their place ---- */

/* The class of the character that begins at byte *i of a token, which moves behind it; VOCAB_CLASSES at the end. */
static unsigned next_class(const uint8_t *s, size_t n, size_t *i)
{
    if (*i >= n) return VOCAB_CLASSES;
    unsigned class = vocab_class(s[*i]), state = WHOLE;
    do state = utf8_next(state, s[(*i)++]);
    while (state != WHOLE && state != BROKEN && *i < n);
    return state == BROKEN ? VOCAB_BAD : class;
}

static bool is_bad(const uint8_t *s, size_t n)
{
    unsigned c = 0;
    for (size_t i = 0; c < VOCAB_BAD;) c = next_class(s, n, &i);
    return c == VOCAB_BAD;
}

/* Counts what is to be listed, then (fill) lists it. */
static void list_one(struct vocab *v, uint32_t rank, bool fill)
{
    int32_t id = v->order[rank];
    const uint8_t *s = v->bytes + v->at[id];
    size_t n = v->at[id + 1] - v->at[id], i = 0;
    unsigned c;
    struct vocab_long x = { .rank = rank };
    if (is_bad(s, n)) {
        if (fill) v->bad[v->n_bad] = rank;
        v->n_bad++;
        return;
    }
    for (; (c = next_class(s, n, &i)) != VOCAB_CLASSES; x.chars++) {
        vocab_set_add(&x.of, c);
        if (x.chars >= VOCAB_NEAR) continue;
        uint32_t *at = &v->begin[x.chars * VOCAB_CLASSES + c + 1];
        if (fill) v->place[(*at)++] = rank;
        else (*at)++;
        vocab_set_add(&v->present[x.chars], c);
    }
    if (x.chars <= VOCAB_NEAR) return;
    if (fill) v->longer[v->n_longer] = x;
    v->n_longer++;
}

enum { LISTS = VOCAB_NEAR * VOCAB_CLASSES };

static bool cut_lists(struct vocab *v)
{
    uint32_t most = 0, lo = 0, hi = 0;
    for (uint32_t i = 1; i < v->n_nodes; i = v->node[i].end) {
        const uint32_t from = v->node[i + 1].token, to = v->node[v->node[i].end].token;
        if (!v->node[i].whole || to - from <= most) continue;
        most = to - from;
        v->largest = i;
        lo = from;
        hi = to;
    }
    v->inner = mem_new_array(uint32_t, 2 * LISTS);
    for (uint32_t i = 0; v->inner && i < LISTS; i++) {
        const uint32_t *a = v->place + v->begin[i], *z = v->place + v->begin[i + 1];
        v->inner[2 * i] = (uint32_t)(vocab_from(a, z, lo) - v->place);
        v->inner[2 * i + 1] = (uint32_t)(vocab_from(a, z, hi) - v->place);
        v->weight[i % VOCAB_CLASSES] += (uint64_t)(z - a);
    }
    return v->inner != NULL;
}

static bool list_places(struct vocab *v)
{
    v->begin = mem_new_array(uint32_t, LISTS + 2);
    v->text = mem_new_array(uint64_t, v->n_words);
    if (!v->begin || !v->text) return false;
    for (uint32_t rank = 0; rank < v->n_order; rank++) {
        v->text[v->order[rank] >> 6] |= (uint64_t)1 << (v->order[rank] & 63);
        list_one(v, rank, false);
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < LISTS; i++) {              /* begin[i + 1]: where list i begins, for filling moves it on */
        uint32_t many = v->begin[i + 1];
        v->begin[i + 1] = n;
        n += many;
    }
    v->place = mem_new_array(uint32_t, (size_t)n + 1);
    v->bad = mem_new_array(uint32_t, (size_t)v->n_bad + 1);
    v->longer = mem_new_array(struct vocab_long, (size_t)v->n_longer + 1);
    if (!v->place || !v->bad || !v->longer) return false;
    v->n_bad = v->n_longer = 0;
    for (uint32_t rank = 0; rank < v->n_order; rank++) list_one(v, rank, true);
    return cut_lists(v);
}

int vocab_open(struct vocab **out, const struct tokenizer *t, int32_t n_vocab, struct err *err)
{
    *out = NULL;
    struct vocab *v = mem_new_array(struct vocab, 1);
    if (!v) return err_set(err, ERR_NOMEM, "out of memory for the vocabulary");
    v->tokenizer = t;
    v->n_vocab = n_vocab < tokenizer_n_vocab(t) ? n_vocab : tokenizer_n_vocab(t);
    v->n_words = ((uint32_t)v->n_vocab + 63) / 64;
    int rc = collect(v, err);
    size_t n = (size_t)v->n_vocab + 1;
    struct sorted *s = mem_new_array(struct sorted, n);
    v->order = mem_new_array(int32_t, n);
    bool ok = rc == 0 && s && v->order;
    for (int32_t id = 0; ok && id < v->n_vocab; id++)
        if (v->at[id + 1] > v->at[id]) s[v->n_order++] = (struct sorted){ v->bytes + v->at[id], v->at[id + 1] - v->at[id], id };
    if (ok) qsort(s, v->n_order, sizeof *s, by_bytes);
    ok = ok && make_trie(v, s) && list_places(v);
    mem_free(s);
    if (!ok) {
        vocab_close(v);
        return rc < 0 ? rc : err_set(err, ERR_NOMEM, "out of memory for the trie of tokens");
    }
    *out = v;
    return 0;
}

void vocab_close(struct vocab *v)
{
    if (!v) return;
    mem_free(v->node);
    mem_free(v->order);
    mem_free(v->set);
    mem_free(v->text);
    mem_free(v->bad);
    mem_free(v->place);
    mem_free(v->begin);
    mem_free(v->inner);
    mem_free(v->longer);
    mem_free(v->at);
    mem_free(v->bytes);
    mem_free(v->ends);
    mem_free(v);
}

uint32_t vocab_walk(const struct vocab *v, uint32_t from, const uint8_t *s, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        uint32_t end = v->node[from].end, i = from + 1;
        while (i < end && v->node[i].byte != s[k]) i = v->node[i].end;
        if (i >= end) return 0;
        from = i;
    }
    return from;
}
