/* text.c - tokens and text, through the model's tokenizer and chat template. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "text/fim.h"
#include "text/watch.h"

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
int32_t hearth_token_eos(const struct hearth_model *m) { return tokenizer_eos(m->tokenizer); }

struct hearth_decoder {
    struct watch w;
    struct buf out;
    enum watch_state state;
    struct watch_result last;
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
    (*out)->w.d = (struct detok){ .t = m->tokenizer, .special = special, .started = continues };
    return 0;
}

static int check_strings(const char *what, const char *const *s, size_t n, size_t limit, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(s[i]);
        if (!len || len > limit)
            return err_set(err, ERR_ARG, "%s %zu has %zu bytes; it must have 1 to %zu", what, i + 1, len, limit);
    }
    return 0;
}

int hearth_decoder_watch(struct hearth_decoder *d, const char *const *stop, size_t n_stop, const char *const *ban, size_t n_ban,
                         struct hearth_error *e)
{
    int rc = check_strings("stop string", stop, n_stop, 1 << 20, err_of(e));
    if (rc == 0) rc = check_strings("banned phrase", ban, n_ban, WATCH_MAX_BAN, err_of(e));
    if (rc < 0) return rc;
    d->w.stop = stop;
    d->w.n_stop = n_stop;
    d->w.ban = ban;
    d->w.n_ban = n_ban;
    return 0;
}

const char *hearth_decoder_push(struct hearth_decoder *d, int32_t id)
{
    d->state = id < 0 ? watch_flush(&d->w, &d->last) : watch_push(&d->w, id, &d->last);
    buf_clear(&d->out);
    buf_put(&d->out, d->last.text, d->last.n_text);
    return d->out.data ? d->out.data : "";
}

int hearth_decoder_state(const struct hearth_decoder *d, size_t *n_back, int32_t *first)
{
    *n_back = d->last.n_back;
    *first = d->last.first;
    return (int)d->state;
}

const char *hearth_decoder_stop(const struct hearth_decoder *d) { return d->state == WATCH_STOPPED ? d->last.stop : NULL; }

size_t hearth_decoder_held(const struct hearth_decoder *d) { return watch_held(&d->w); }

void hearth_decoder_close(struct hearth_decoder *d)
{
    if (!d) return;
    watch_release(&d->w);
    buf_release(&d->out);
    mem_free(d);
}

static struct json *messages_of(const struct hearth_message *messages, size_t n)
{
    struct json *list = json_new_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        struct json *o = json_new_object();
        ok = o && json_put(o, "role", json_new_str(messages[i].role, strlen(messages[i].role))) &&
             json_put(o, "content", json_new_str(messages[i].content, strlen(messages[i].content)));
        ok = json_push(list, o) && ok;
    }
    if (ok) return list;
    json_free(list);
    return NULL;
}

int engine_has_template(const struct hearth_model *m, struct err *err)
{
    if (m->tmpl_error)
        return err_set(err, ERR_UNSUPPORTED, "%s: the chat template of this file cannot be used: %s", gguf_path(m->gguf),
                       m->tmpl_error);
    if (m->tmpl) return 0;
    return err_set(err, ERR_NOTFOUND, "%s: this model has no chat template; it completes text (--no-template)",
                   gguf_path(m->gguf));
}

int hearth_chat_prompt(const struct hearth_model *m, const struct hearth_message *messages, size_t n, int32_t **ids,
                       size_t *n_ids, struct hearth_error *e)
{
    struct err *err = err_of(e);
    *ids = NULL;
    *n_ids = 0;
    int rc = engine_has_template(m, err);
    if (rc < 0) return rc;
    for (size_t i = 0; i < n; i++)
        if (!utf8_valid(messages[i].content, strlen(messages[i].content)))
            return err_set(err, ERR_ARG, "message %zu is not valid UTF-8", i + 1);
    struct json *list = messages_of(messages, n);
    if (!list) return err_set(err, ERR_NOMEM, "out of memory rendering the chat");
    struct chat_request r = { .template = m->tmpl, .tokenizer = m->tokenizer, .messages = list, .answer = true };
    struct ids v = { 0 };
    rc = chat_prompt(&r, &v, err);
    json_free(list);
    return give_ids(&v, rc, ids, n_ids, err);
}

static struct fim_text fim_text(const char *s) { return (struct fim_text){ s ? s : "", s ? strlen(s) : 0 }; }

/* By a template of Go that knows how: it was given to the model, so it counts more than the vocabulary. */
static int template_fim(const struct hearth_model *m, const struct hearth_fim *f, struct ids *out, struct err *err)
{
    const char *prefix = f->prefix ? f->prefix : "", *suffix = f->suffix ? f->suffix : "";
    struct chat_request r = { .template = m->tmpl, .tokenizer = m->tokenizer };
    struct json *vars = json_new_object();
    struct buf text = { 0 };
    bool ok = vars && json_put(vars, "prompt", json_new_str(prefix, strlen(prefix))) &&
              json_put(vars, "suffix", json_new_str(suffix, strlen(suffix)));
    int rc = ok ? chat_render(&r, vars, NULL, &text, err) : err_set(err, ERR_NOMEM, "out of memory, or the text is not UTF-8");
    if (rc == 0) rc = chat_encode(m->tokenizer, &text, out, err);
    json_free(vars);
    buf_release(&text);
    return rc;
}

int hearth_fim_prompt(const struct hearth_model *m, const struct hearth_fim *f, int32_t **ids, size_t *n_ids,
                      struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct fim fim = fim_find(m->tokenizer, m->gguf);
    struct fim_file *file = mem_new_array(struct fim_file, f->n_file + 1);
    struct ids v = { 0 };
    *ids = NULL;
    *n_ids = 0;
    if (!file) return err_set(err, ERR_NOMEM, "out of memory for the prompt");
    for (size_t i = 0; i < f->n_file; i++) file[i] = (struct fim_file){ fim_text(f->file[i].name), fim_text(f->file[i].text) };
    struct fim_request r = { fim_text(f->prefix), fim_text(f->suffix), file, f->n_file, fim_text(f->name), fim_text(f->repo) };
    bool told = template_fills(m->tmpl) && f->prefix && *f->prefix && f->suffix && *f->suffix && !f->n_file;
    int rc = told ? template_fim(m, f, &v, err) : fim_prompt(m->tokenizer, &fim, &r, &v, err);
    if (rc < 0) rc = err_prefix(err, rc, "%s: ", gguf_path(m->gguf));
    mem_free(file);
    return give_ids(&v, rc, ids, n_ids, err);
}
