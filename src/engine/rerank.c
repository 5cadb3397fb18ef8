/* rerank.c - how well documents answer a query: by a classifier on the pair of texts, or by asking for yes or no.
 *
 * Encoders read the pair as their tokenizers join two texts: "[CLS] query [SEP] document [SEP]" (WordPiece, the second text being
 * segment 1) or "<s> query </s></s> document </s>".  Models that generate are asked in the words of Qwen3-Reranker; a classifier
 * of theirs has a row for yes and one for no, and without one the logits of these two words are compared.
 * Source: arXiv 1810.04805, 1907.11692 (pairs); the Qwen3-Embedding report, arXiv 2506.05176. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/rerank.h"

static const char before[] =
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. "
    "Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n";
static const char after[] = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
static const char usual_instruction[] = "Given a web search query, retrieve relevant passages that answer the query";

static int encode(const struct rank *r, const char *s, size_t n, unsigned flags, struct ids *out, struct err *err)
{
    int rc = tokenizer_encode(r->m->tokenizer, s, n, flags, out, err);
    return rc == 0 && out->bad ? err_set(err, ERR_NOMEM, "out of memory tokenising") : rc;
}

/* Head: what comes before the document; tail: what comes after it. */
static int open_pair(struct rank *r, struct err *err)
{
    bool bos = tokenizer_adds_bos(r->m->tokenizer), word_piece = !strncmp(tokenizer_kind(r->m->tokenizer), "bert", 4);
    int rc = encode(r, r->query, strlen(r->query), TOK_SPECIAL, &r->head, err);
    if (rc == 0) rc = encode(r, "", 0, TOK_SPECIAL, &r->tail, err);
    if (rc < 0) return rc;
    if (bos && r->tail.n) memmove(r->tail.id, r->tail.id + 1, --r->tail.n * sizeof *r->tail.id);
    for (size_t i = 0; !word_piece && i < r->tail.n; i++) ids_push(&r->head, r->tail.id[i]);
    return 0;
}

static int open_question(struct rank *r, struct err *err)
{
    const struct tokenizer *t = r->m->tokenizer;
    r->yes = tokenizer_find(t, "yes", 3);
    r->no = tokenizer_find(t, "no", 2);
    if (!engine_n_rank(r->m) && (r->yes < 0 || r->no < 0 || tokenizer_find(t, "<|im_start|>", 12) < 0))
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: has no classifier (tensor cls.output.weight) and cannot be asked for yes or no; it cannot rank",
                       gguf_path(r->m->gguf));
    int rc = encode(r, before, sizeof before - 1, TOK_PARSE, &r->head, err);
    return rc == 0 ? encode(r, after, sizeof after - 1, TOK_PARSE, &r->tail, err) : rc;
}

int rank_open(struct rank *r, struct err *err)
{
    const struct hearth_model *m = r->m;
    r->pair = m->h.bidirectional;
    r->limit = engine_embed_limit(m);
    if (engine_n_rank(m) > 2 || (r->pair && !engine_n_rank(m)))
        return err_set(err, ERR_UNSUPPORTED, "%s: a classifier of 1 or 2 rows is needed (tensor cls.output.weight), this has %u",
                       gguf_path(m->gguf), engine_n_rank(m));
    int rc = r->pair ? open_pair(r, err) : open_question(r, err);
    if (rc < 0) return rc;
    if (r->head.n + r->tail.n + 1 < r->limit) return 0;
    return err_set(err, ERR_LIMIT, "the query has %zu tokens, which leaves no room for a document in %u", r->head.n, r->limit);
}

int rank_join(struct rank *r, const char *document, struct err *err)
{
    struct buf text = { 0 };
    struct ids middle = { 0 };
    const char *instruction = r->o->instruction ? r->o->instruction : usual_instruction;
    if (!r->pair) buf_printf(&text, "<Instruct>: %s\n<Query>: %s\n<Document>: ", instruction, r->query);
    buf_puts(&text, document);
    int rc = text.bad ? err_set(err, ERR_NOMEM, "out of memory")
                      : encode(r, text.data ? text.data : "", text.len, 0, &middle, err);
    size_t room = r->limit - r->head.n - r->tail.n;
    r->ids.n = 0;
    for (size_t i = 0; i < r->head.n; i++) ids_push(&r->ids, r->head.id[i]);
    for (size_t i = 0; i < middle.n && i < room; i++) ids_push(&r->ids, middle.id[i]);
    for (size_t i = 0; i < r->tail.n; i++) ids_push(&r->ids, r->tail.id[i]);
    if (rc == 0 && r->ids.bad) rc = err_set(err, ERR_NOMEM, "out of memory");
    buf_release(&text);
    ids_release(&middle);
    return rc;
}

void rank_release(struct rank *r)
{
    ids_release(&r->head);
    ids_release(&r->tail);
    ids_release(&r->ids);
}

float rank_score(const struct hearth_rerank_options *o, float logit)
{
    return o->logits ? logit : (float)(1 / (1 + exp(-(double)logit)));
}

static int classify(struct hearth_model *m, struct rank *r, float *score, struct hearth_error *e)
{
    float y[2] = { 0 };
    struct hearth_embed_options o = { .pooling = HEARTH_POOL_RANK };
    struct hearth_embed_item it = { r->ids.id, r->ids.n, r->pair ? r->head.n : 0, y };
    int rc = hearth_embed(m, &it, 1, &o, e);
    *score = rank_score(r->o, y[0] - y[1]);
    return rc;
}

/* The session keeps what is before the document. */
static int ask(struct hearth_model *m, struct rank *r, struct hearth_session **s, float *score, struct hearth_error *e)
{
    if (*s && hearth_session_n_ctx(*s) < r->ids.n) {
        hearth_session_close(*s);
        *s = NULL;
    }
    struct hearth_session_options o = { .n_ctx = (uint32_t)r->ids.n + 512, .kv_type = HEARTH_KV_F32, .no_cache = true };
    if (o.n_ctx > r->limit) o.n_ctx = r->limit;
    int rc = *s ? 0 : hearth_session_open(s, m, &o, e);
    if (rc == 0) rc = hearth_session_sync(*s, r->ids.id, r->ids.n, e);
    if (rc < 0) return rc;
    const float *z = hearth_session_logits(*s);
    *score = rank_score(r->o, z[r->yes] - z[r->no]);
    return 0;
}

int hearth_rerank(struct hearth_model *m, const char *query, const char *const *documents, size_t n,
                  const struct hearth_rerank_options *o, float *scores, struct hearth_error *e)
{
    static const struct hearth_rerank_options none;
    struct rank r = { .m = m, .o = o ? o : &none, .query = query };
    struct hearth_session *s = NULL;
    int rc = rank_open(&r, err_of(e));
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = rank_join(&r, documents[i], err_of(e));
        if (rc == 0) rc = engine_n_rank(m) ? classify(m, &r, &scores[i], e) : ask(m, &r, &s, &scores[i], e);
        if (rc == 0 && r.o->progress && i + 1 < n && !r.o->progress(r.o->progress_arg, i + 1, n))
            rc = err_set(err_of(e), ERR_CANCELLED, "stopped after %zu of %zu documents", i + 1, n);
    }
    hearth_session_close(s);
    rank_release(&r);
    return rc;
}
