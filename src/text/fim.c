#include "text/fim.h"

#include <string.h>

#define BAR "\357\275\234"          /* U+FF5C */
#define LOW "\342\226\201"          /* U+2581 */

enum { N_TEXT = 9 };
static const struct {
    const char *key, *old;
    const char *text[N_TEXT];
} row[] = {
    { "tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id",
      { "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<" BAR "fim" LOW "begin" BAR ">", "<PRE>", LOW "<PRE>",
        "<|code_prefix|>", "<|prefix|>", "[PREFIX]" } },
    { "tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id",
      { "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<" BAR "fim" LOW "hole" BAR ">", "<SUF>", LOW "<SUF>",
        "<|code_suffix|>", "<|suffix|>", "[SUFFIX]" } },
    { "tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id",
      { "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<" BAR "fim" LOW "end" BAR ">", "<MID>", LOW "<MID>",
        "<|code_middle|>", "<|middle|>", "[MIDDLE]" } },
    { "tokenizer.ggml.fim_rep_token_id", NULL,
      { "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<repo_name>" } },
    { "tokenizer.ggml.fim_sep_token_id", NULL, { "<|file_sep|>", "<file_sep>", "<filename>", "<|file_separator|>" } },
};

static int32_t by_key(const struct tokenizer *t, const struct gguf *g, const char *key)
{
    int64_t id;
    return key && gguf_get_i64(g, key, &id) && id >= 0 && id < tokenizer_n_vocab(t) ? (int32_t)id : -1;
}

static int32_t find(const struct tokenizer *t, const struct gguf *g, size_t k)
{
    int32_t id = by_key(t, g, row[k].key);
    if (id < 0) id = by_key(t, g, row[k].old);
    for (size_t i = 0; id < 0 && i < N_TEXT && row[k].text[i]; i++)
        id = tokenizer_find(t, row[k].text[i], strlen(row[k].text[i]));
    return id;
}

static bool is_text(const struct tokenizer *t, int32_t id, const char *s)
{
    size_t n;
    const char *text = tokenizer_text(t, id, &n);
    return text && n == strlen(s) && !memcmp(text, s, n);
}

struct fim fim_find(const struct tokenizer *t, const struct gguf *g)
{
    struct fim f = { .pre = find(t, g, 0), .suf = find(t, g, 1), .mid = find(t, g, 2), .rep = find(t, g, 3) };
    f.sep = find(t, g, 4);
    bool codestral = is_text(t, f.suf, "[SUFFIX]") && is_text(t, f.pre, "[PREFIX]");
    if (f.pre < 0 || f.suf < 0) f.form = FIM_NONE;
    else if (codestral) f.form = FIM_SPM;
    else f.form = f.mid >= 0 ? FIM_PSM : FIM_NONE;
    return f;
}

/* ---- the prompt ---- */

static int put_text(const struct tokenizer *t, struct fim_text x, struct ids *out, struct err *err)
{
    return x.n ? tokenizer_encode(t, x.s, x.n, 0, out, err) : 0;
}

/* Text that goes on behind a token: without the space that some tokenizers put in front.  They are made to put it before a
 * line break, which joins nothing, and both are taken away. */
static int put_rest(const struct tokenizer *t, struct fim_text x, struct ids *out, struct err *err)
{
    struct ids mark = { 0 }, whole = { 0 };
    struct buf b = { 0 };
    buf_putc(&b, '\n');
    buf_put(&b, x.s, x.n);
    int rc = b.bad ? err_set(err, ERR_NOMEM, "out of memory for the prompt") : tokenizer_encode(t, b.data, 1, 0, &mark, err);
    if (rc == 0) rc = tokenizer_encode(t, b.data, b.len, 0, &whole, err);
    bool space = rc == 0 && mark.n > 1 && whole.n >= mark.n && !memcmp(mark.id, whole.id, mark.n * sizeof *mark.id);
    for (size_t i = mark.n; space && i < whole.n; i++) ids_push(out, whole.id[i]);
    if (rc == 0 && !space) rc = put_text(t, x, out, err);
    ids_release(&mark);
    ids_release(&whole);
    buf_release(&b);
    return rc;
}

static int put_line(const struct tokenizer *t, struct fim_text x, struct ids *out, struct err *err)
{
    struct buf b = { 0 };
    buf_put(&b, x.s, x.n);
    buf_putc(&b, '\n');
    int rc = b.bad ? err_set(err, ERR_NOMEM, "out of memory for the prompt") : tokenizer_encode(t, b.data, b.len, 0, out, err);
    buf_release(&b);
    return rc;
}

/* Repository name and other files, each behind its separator; a comment line with the name where there is no separator. */
static int put_files(const struct tokenizer *t, const struct fim *f, const struct fim_request *r, struct ids *out,
                     struct err *err)
{
    int rc = 0;
    if (r->n_file && f->rep >= 0 && f->sep >= 0) {
        ids_push(out, f->rep);
        rc = put_line(t, r->repo.n ? r->repo : (struct fim_text){ "project", 7 }, out, err);
    }
    for (size_t i = 0; i < r->n_file && rc == 0; i++) {
        if (f->sep >= 0) ids_push(out, f->sep);
        rc = put_line(t, r->file[i].name, out, err);
        if (rc == 0) rc = put_line(t, r->file[i].text, out, err);
    }
    if (rc == 0 && r->n_file && f->sep >= 0) {
        ids_push(out, f->sep);
        rc = put_line(t, r->name.n ? r->name : (struct fim_text){ "file", 4 }, out, err);
    }
    return rc;
}

int fim_prompt(const struct tokenizer *t, const struct fim *f, const struct fim_request *r, struct ids *out, struct err *err)
{
    if (f->form == FIM_NONE)
        return err_set(err, ERR_UNSUPPORTED, "this model has no tokens for filling in the middle (such as <|fim_prefix|>)");
    bool suffix_first = f->form == FIM_SPM;
    if (tokenizer_adds_bos(t)) ids_push(out, tokenizer_bos(t));
    int rc = put_files(t, f, r, out, err);
    ids_push(out, suffix_first ? f->suf : f->pre);
    if (rc == 0) rc = suffix_first ? put_rest(t, r->suffix, out, err) : put_text(t, r->prefix, out, err);
    ids_push(out, suffix_first ? f->pre : f->suf);
    if (rc == 0) rc = suffix_first ? put_text(t, r->prefix, out, err) : put_rest(t, r->suffix, out, err);
    if (!suffix_first) ids_push(out, f->mid);
    return rc == 0 && out->bad ? err_set(err, ERR_NOMEM, "out of memory for the prompt") : rc;
}
