/* text.c - tokens and text, through the model's tokenizer and chat template. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/engine.h"

void hearth_free(void *p) { mem_free(p); }

static int give_ids(struct ids *v, int rc, int32_t **ids, size_t *n_ids, struct err *err)
{
    if (rc == 0 && v->bad) rc = err_set(err, ERR_NOMEM, "out of memory tokenising");
    if (rc == 0 && !v->id && !(v->id = mem_new_array(int32_t, 1))) rc = err_set(err, ERR_NOMEM, "out of memory tokenising");
    if (rc < 0) {
        ids_release(v);
        return rc;
    }
    *ids = v->id;
    *n_ids = v->n;
    return 0;
}

int hearth_tokenize(const struct hearth_model *m, const char *text, size_t n_text, unsigned flags, int32_t **ids,
                    size_t *n_ids, struct hearth_error *e)
{
    *ids = NULL;
    *n_ids = 0;
    unsigned f = (flags & HEARTH_TOKENIZE_SPECIAL ? TOK_SPECIAL : 0) | (flags & HEARTH_TOKENIZE_PARSE ? TOK_PARSE : 0);
    struct ids v = { 0 };
    int rc = tokenizer_encode(m->tokenizer, text, n_text, f, &v, err_of(e));
    return give_ids(&v, rc, ids, n_ids, err_of(e));
}

int hearth_detokenize(const struct hearth_model *m, const int32_t *ids, size_t n_ids, bool special, char **text,
                      size_t *n_text, struct hearth_error *e)
{
    struct buf b = { 0 };
    tokenizer_decode(m->tokenizer, ids, n_ids, special, &b);
    *n_text = b.len;
    *text = buf_take(&b);
    return *text ? 0 : err_set(err_of(e), ERR_NOMEM, "out of memory decoding tokens");
}

bool hearth_token_is_end(const struct hearth_model *m, int32_t id) { return tokenizer_is_eog(m->tokenizer, id); }
int32_t hearth_token_bos(const struct hearth_model *m) { return tokenizer_bos(m->tokenizer); }

struct hearth_decoder {
    struct detok d;
    struct buf out;
};

int hearth_decoder_open(struct hearth_decoder **out, const struct hearth_model *m, bool special, bool continues,
                        struct hearth_error *e)
{
    *out = mem_new(1, sizeof **out);
    if (!*out || !buf_reserve(&(*out)->out, 256)) {
        hearth_decoder_close(*out);
        *out = NULL;
        return err_set(err_of(e), ERR_NOMEM, "out of memory decoding tokens");
    }
    (*out)->d = (struct detok){ .t = m->tokenizer, .special = special, .started = continues };
    return 0;
}

const char *hearth_decoder_push(struct hearth_decoder *d, int32_t id)
{
    buf_clear(&d->out);
    if (id < 0) detok_flush(&d->d, &d->out);
    else detok_push(&d->d, id, &d->out);
    return d->out.data ? d->out.data : "";
}

void hearth_decoder_close(struct hearth_decoder *d)
{
    if (!d) return;
    buf_release(&d->out);
    mem_free(d);
}

int hearth_chat_prompt(const struct hearth_model *m, const struct hearth_message *messages, size_t n, int32_t **ids,
                       size_t *n_ids, struct hearth_error *e)
{
    (void)messages;
    (void)n;
    *ids = NULL;
    *n_ids = 0;
    return err_set(err_of(e), ERR_UNSUPPORTED, "%s: chat templates are not connected yet; use --no-template",
                   gguf_path(m->gguf));
}
