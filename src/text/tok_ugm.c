/* tok_ugm.c - Unigram (T5, XLM-R): text is normalized by a table in the file, then cut into the tokens whose scores have
 * the largest sum. */
#include <float.h>
#include <string.h>

#include "base/mem.h"
#include "base/rd.h"
#include "base/utf8.h"
#include "text/tok.h"

#define UNKNOWN_PENALTY 10.0

/* ---- opening ---- */

static int read_charsmap(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    const struct gguf_kv *kv = gguf_find(g, "tokenizer.ggml.precompiled_charsmap");
    if (!kv || !kv->bytes) return 0;
    struct rd r = { kv->data, kv->data + kv->bytes, false };
    uint32_t bytes = rd_u32(&r);
    const uint8_t *unit = rd_take(&r, bytes);
    bool ok = kv->type == GGUF_ARRAY && (kv->item == GGUF_U8 || kv->item == GGUF_I8) && unit && bytes % 4 == 0 && bytes &&
              rd_left(&r) <= UINT32_MAX;
    if (!ok) return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.precompiled_charsmap is damaged", gguf_path(g));
    t->charsmap = (struct charsmap){ unit, bytes / 4, (const char *)r.at, (uint32_t)rd_left(&r) };
    return 0;
}

static bool in_lattice(const struct tokenizer *t, int32_t i)
{
    return t->kind[i] == TOKEN_NORMAL || t->kind[i] == TOKEN_USER || t->kind[i] == TOKEN_UNUSED;
}

int tok_ugm_open(struct tokenizer *t, const struct gguf *g, struct err *err)
{
    size_t bytes = 0, user_bytes = 0;
    t->min_score = FLT_MAX;
    for (int32_t i = 0; i < t->n_vocab; i++) {
        if (in_lattice(t, i)) bytes += t->text[i].n;
        if (t->kind[i] == TOKEN_USER) user_bytes += t->text[i].n;
        if (t->kind[i] == TOKEN_NORMAL && (double)t->score[i] < t->min_score) t->min_score = (double)t->score[i];
    }
    if (t->min_score == (double)FLT_MAX) t->min_score = 0;
    if (bytes >= 1u << 24)
        return err_set(err, ERR_LIMIT, "%s: tokens have more than 16 MB of text", gguf_path(g));
    bool ok = trie_init(&t->trie, bytes) && trie_init(&t->user, user_bytes);
    for (int32_t i = 0; ok && i < t->n_vocab; i++) {
        if (!t->text[i].n) continue;
        if (in_lattice(t, i)) ok = trie_put(&t->trie, t->text[i].s, t->text[i].n, i);
        if (ok && t->kind[i] == TOKEN_USER) ok = trie_put(&t->user, t->text[i].s, t->text[i].n, i);
    }
    if (!ok) return err_set(err, ERR_NOMEM, "%s: out of memory for %d tokens", gguf_path(g), (int)t->n_vocab);
    return read_charsmap(t, g, err);
}

/* ---- normalizing ---- */

static bool unit_at(const struct charsmap *m, uint32_t i, uint32_t *u)
{
    if (i >= m->n_units) return false;
    struct rd r = { m->unit + 4 * (size_t)i, m->unit + 4 * (size_t)i + 4, false };
    *u = rd_u32(&r);
    return true;
}

static uint32_t unit_offset(uint32_t u) { return (u >> 10) << ((u & 0x200) >> 6); }

/* The longest prefix of s[n] that the map replaces: its length (0: none) and the replacement. */
static size_t charsmap_find(const struct charsmap *m, const char *s, size_t n, struct gguf_str *with)
{
    uint32_t u, at, value;
    size_t len = 0;
    if (!unit_at(m, 0, &u)) return 0;
    at = unit_offset(u);
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)s[i];
        at ^= c;
        if (!c || !unit_at(m, at, &u) || (u & 0x800000ffu) != c) break;
        at ^= unit_offset(u);
        if (!(u >> 8 & 1)) continue;
        if (!unit_at(m, at, &value)) break;
        value &= 0x7fffffffu;
        const char *end = value < m->text_bytes ? memchr(m->text + value, 0, m->text_bytes - value) : NULL;
        if (!end) break;
        *with = (struct gguf_str){ m->text + value, (size_t)(end - (m->text + value)) };
        len = i + 1;
    }
    return len;
}

static size_t longest_user(const struct tokenizer *t, const char *s, size_t n)
{
    uint32_t node = 0;
    size_t best = 0;
    for (size_t i = 0; i < n && (node = trie_step(&t->user, node, (uint8_t)s[i]));)
        if (t->user.leaf[node] >= 0) best = ++i;
        else i++;
    return best;
}

/* Writes normalized text word by word: spaces are collapsed or kept, and become U+2581. */
struct writer {
    const struct tokenizer *t;
    struct buf *out;
    bool any, in_word;
};

static void put_space(struct writer *w)
{
    if (w->t->escape_ws) buf_put(w->out, "\xe2\x96\x81", 3);
    else buf_putc(w->out, ' ');
}

static void put(struct writer *w, const char *s, size_t n)
{
    bool prefix = w->t->space_prefix && !w->t->ws_suffix;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == ' ') {
            w->in_word = false;
            if (!w->t->remove_extra_ws) {
                if (!w->any && prefix) put_space(w);
                put_space(w);
                w->any = true;
            }
            continue;
        }
        if (!w->any ? prefix : !w->in_word && w->t->remove_extra_ws) put_space(w);
        w->any = w->in_word = true;
        buf_putc(w->out, s[i]);
    }
}

static void normalize(const struct tokenizer *t, const char *s, size_t n, struct buf *out)
{
    struct writer w = { t, out, false, false };
    for (size_t i = 0, len; i < n; i += len) {
        struct gguf_str with;
        if ((len = longest_user(t, s + i, n - i))) {
            put(&w, s + i, len);
        } else if ((len = charsmap_find(&t->charsmap, s + i, n - i, &with))) {
            put(&w, with.s, with.n);
        } else if (utf8_decode(s + i, n - i, &len) == UTF8_BAD) {
            put(&w, "\xef\xbf\xbd", 3);
        } else {
            put(&w, s + i, len);
        }
    }
    if (t->space_prefix && t->ws_suffix && w.any) put_space(&w);
}

/* ---- the best path ---- */

struct step { double score; uint32_t from; int32_t id; };

static void reach(struct step *to, uint32_t from, int32_t id, double score)
{
    if (score > to->score) *to = (struct step){ score, from, id };
}

/* Fills step[0..n]: the best way to each byte offset. */
static void search(const struct tokenizer *t, const char *s, size_t n, struct step *step)
{
    for (size_t i = 0; i <= n; i++) step[i].score = i ? -DBL_MAX : 0;
    size_t len;
    for (size_t i = 0; i < n; i += len) {
        utf8_decode(s + i, n - i, &len);
        bool single = false;
        uint32_t node = 0;
        for (size_t k = i; k < n && (node = trie_step(&t->trie, node, (uint8_t)s[k]));) {
            k++;
            int32_t id = t->trie.leaf[node];
            if (id < 0) continue;
            single |= k - i == len;
            reach(&step[k], (uint32_t)i, id, step[i].score + (t->kind[id] == TOKEN_USER ? 0 : (double)t->score[id]));
        }
        if (!single) reach(&step[i + len], (uint32_t)i, -1, step[i].score + t->min_score - UNKNOWN_PENALTY);
    }
}

void tok_ugm_encode(struct encoder *e, const char *s, size_t n)
{
    const struct tokenizer *t = e->t;
    buf_clear(&e->text);
    normalize(t, s, n, &e->text);
    struct step *step = e->text.bad ? NULL : mem_new_array(struct step, e->text.len + 1);
    if (!step) {
        e->bad = true;
        return;
    }
    search(t, e->text.data, e->text.len, step);
    size_t at = e->text.len, first = e->out->n;
    bool unknown = false;
    while (at) {
        int32_t id = step[at].id;
        if (id >= 0) ids_push(e->out, id);
        else if (!unknown && t->unk >= 0) ids_push(e->out, t->unk);
        unknown = id < 0;
        at = step[at].from;
    }
    mem_free(step);
    for (size_t i = first, k = e->out->n; i + 1 < k; i++) {
        int32_t swap = e->out->id[i];
        e->out->id[i] = e->out->id[--k];
        e->out->id[k] = swap;
    }
}
