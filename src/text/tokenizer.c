/* tokenizer.c - encoding: barriers out, special tokens out, each piece of text to the model's own algorithm. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tok.h"

struct run {
    struct encoder e;
    bool after_special;             /* SPM: the next piece of text begins with a space */
    const char *begin;              /* of the text */
    struct buf composed;
};

static void piece(void *arg, const char *s, size_t n, int32_t id)
{
    struct run *r = arg;
    const struct tokenizer *t = r->e.t;
    if (id >= 0) {
        ids_push(r->e.out, id);
        r->after_special = true;
        return;
    }
    if (r->e.bad) return;
    if (t->nfc && utf8_valid(s, n)) {
        buf_clear(&r->composed);
        uni_normalize(UNI_NFC, s, n, &r->composed);
        r->e.bad |= r->composed.bad;
        s = r->composed.data ? r->composed.data : "";
        n = r->composed.len;
        if (r->e.bad) return;
    }
    bool space = t->space_prefix && r->after_special && !(t->prefix_first && s != r->begin) &&
                 !(t->prefix_lazy && n && (s[0] == ' ' || (n >= 3 && !memcmp(s, "\xe2\x96\x81", 3))));
    switch (t->model) {
    case TOK_SPM: tok_spm_encode(&r->e, s, n, space); break;
    case TOK_BPE: tok_bpe_encode(&r->e, s, n); break;
    case TOK_GEMMA4: tok_gemma4_encode(&r->e, s, n, space); break;
    case TOK_WPM: tok_wpm_encode(&r->e, s, n); break;
    case TOK_UGM: tok_ugm_encode(&r->e, s, n); break;
    }
    r->after_special = false;
}

/* Takes the barriers out of *s; their places, as offsets into what is left, go to bar. */
struct barriers { struct buf text; size_t *at, n; };

static bool take_barriers(struct barriers *b, const char **s, size_t *n)
{
    size_t count = 0;
    for (const char *p = *s; (p = memchr(p, TOKENIZER_BARRIER, (size_t)(*s + *n - p))); p++) count++;
    if (!count) return true;
    b->at = mem_new_array(size_t, count);
    if (!b->at || !buf_reserve(&b->text, *n)) return false;
    for (size_t i = 0; i < *n;) {
        const char *p = memchr(*s + i, TOKENIZER_BARRIER, *n - i);
        size_t end = p ? (size_t)(p - *s) : *n;
        buf_put(&b->text, *s + i, end - i);
        if (p) b->at[b->n++] = b->text.len;
        i = end + (p != NULL);
    }
    *s = b->text.data;
    *n = b->text.len;
    return true;
}

static bool encode(struct run *r, struct barriers *b, const char *text, size_t n, unsigned flags)
{
    const struct tokenizer *t = r->e.t;
    if (!(r->e.work = merge_work_new())) return false;
    if (flags & TOK_BARRIER && !take_barriers(b, &text, &n)) return false;
    r->begin = text;
    bool add = flags & TOK_SPECIAL;
    if (add && t->add_bos && t->bos >= 0) ids_push(r->e.out, t->bos);
    if (add && t->add_bos && t->bos >= 0 && t->after_bos) ids_push(r->e.out, t->after_bos);
    struct special_text x = { text, n, b->at, b->n, flags & TOK_PARSE };
    if (!special_split(t, &x, piece, r) || r->e.bad) return false;
    if (add && t->add_sep && t->sep >= 0) ids_push(r->e.out, t->sep);
    if (add && t->add_eos && t->eos >= 0) ids_push(r->e.out, t->eos);
    return !r->e.out->bad;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags, struct ids *out,
                     struct err *err)
{
    struct run r = { .e = { .t = t, .out = out }, .after_special = true };
    struct barriers b = { 0 };
    size_t before = out->n;
    int rc = 0;
    if (n >= UINT32_MAX / 4) return err_set(err, ERR_LIMIT, "text of %zu bytes is longer than 1 GB", n);
    if (!encode(&r, &b, text, n, flags)) {
        out->n = before;
        rc = err_set(err, ERR_NOMEM, "out of memory while encoding %zu bytes of text", n);
    }
    merge_work_free(r.e.work);
    mem_free(r.e.known);
    buf_release(&r.e.text);
    buf_release(&r.e.word);
    buf_release(&r.composed);
    buf_release(&b.text);
    mem_free(b.at);
    return rc;
}
