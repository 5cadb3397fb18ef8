#include "text/chat.h"

#include <string.h>

struct first_bytes { bool special[256]; };

static bool is_role(const char *s, size_t n)
{
    static const char *const role[] = {
        "assistant", "context", "developer", "document", "documents", "environment", "function", "ipython", "model",
        "observation", "system", "tool", "tool_response", "tools", "user",
    };
    for (size_t i = 0; i < sizeof role / sizeof *role; i++)
        if (strlen(role[i]) == n && memcmp(role[i], s, n) == 0) return true;
    return false;
}

/* A barrier goes before the string, so that it cannot complete a token that the template's text begins, and after
 * every character that begins a special token, so that no piece of the string can begin one. */
bool chat_mark(const bool special[256], const char *s, size_t n, struct buf *out)
{
    if (!n || is_role(s, n)) return false;
    buf_putc(out, TOKENIZER_BARRIER);
    for (size_t i = 0, from = 0; i < n; from = i) {
        while (i < n && !special[(uint8_t)s[i]]) i++;
        if (i < n) {
            i++;
            while (i < n && ((uint8_t)s[i] & 0xc0) == 0x80) i++;
            buf_put(out, s + from, i - from);
            buf_putc(out, TOKENIZER_BARRIER);
        } else {
            buf_put(out, s + from, i - from);
        }
    }
    return true;
}

static bool mark(const void *arg, const char *s, size_t n, struct buf *out)
{
    return chat_mark(((const struct first_bytes *)arg)->special, s, n, out);
}

/* Tokenizers also take some tokens for special by their text alone; those begin with one of two brackets. */
static void find_first_bytes(const struct tokenizer *t, struct first_bytes *f)
{
    f->special['<'] = f->special['['] = true;
    for (int32_t id = 0; id < tokenizer_n_vocab(t); id++) {
        enum token_kind kind = tokenizer_token_kind(t, id);
        if ((kind == TOKEN_NORMAL || kind == TOKEN_BYTE) && !tokenizer_is_eog(t, id)) continue;
        size_t n;
        const char *text = tokenizer_text(t, id, &n);
        if (text && n) f->special[(uint8_t)text[0]] = true;
    }
}

/* The text of a token as a variable; "" when there is none. */
static bool put_token(struct json *vars, const char *name, const struct tokenizer *t, int32_t id)
{
    size_t n = 0;
    const char *text = id < 0 ? NULL : tokenizer_text(t, id, &n);
    struct json *v = text ? json_new_str(text, n) : NULL;
    return json_put(vars, name, v ? v : json_new_str("", 0));
}

static bool put_shared(struct json *vars, const char *name, const struct json *v)
{
    return json_put(vars, name, v ? json_share(v) : json_new_null());
}

static struct json *variables(const struct chat_request *r)
{
    struct json *vars = json_new_object(), *v;
    bool ok = vars && put_shared(vars, "tools", r->tools) && put_shared(vars, "documents", r->documents);
    const char *name;
    void *it = NULL;
    while (ok && json_next(r->extra, &it, &name, &v)) ok = json_put(vars, name, json_share(v));
    ok = ok && json_put(vars, "messages", json_share(r->messages)) &&
         json_put(vars, "add_generation_prompt", json_new_bool(r->answer));
    if (ok) return vars;
    json_free(vars);
    return NULL;
}

static int check_messages(const struct json *messages, struct err *err)
{
    if (json_type(messages) != JSON_ARRAY) return err_set(err, ERR_ARG, "messages must be an array");
    for (size_t i = 0; i < json_len(messages); i++)
        if (!json_str(json_get(json_at(messages, i), "role"), NULL))
            return err_set(err, ERR_ARG, "message %zu has no role", i + 1);
    return 0;
}

int chat_render(const struct chat_request *r, const struct json *vars, const struct json *trusted, struct buf *out,
                struct err *err)
{
    struct first_bytes first = { { false } };
    find_first_bytes(r->tokenizer, &first);
    struct template_guard guard = { mark, &first, trusted };
    struct template_limits limits = r->limits;
    limits.guard = &guard;
    return template_render(r->template, vars, &limits, out, err);
}

int chat_text(const struct chat_request *r, struct buf *out, struct err *err)
{
    int rc = check_messages(r->messages, err);
    if (rc < 0) return rc;
    struct json *vars = variables(r), *trusted = json_new_object();
    if (!vars || !trusted || !put_token(trusted, "bos_token", r->tokenizer, tokenizer_bos(r->tokenizer)) ||
        !put_token(trusted, "eos_token", r->tokenizer, tokenizer_eos(r->tokenizer)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    else
        rc = chat_render(r, vars, trusted, out, err);
    json_free(vars);
    json_free(trusted);
    return rc;
}

static bool begins_with_token(const struct buf *text, const struct tokenizer *t, int32_t id)
{
    size_t n;
    const char *s = tokenizer_text(t, id, &n);
    return s && n && text->len >= n && memcmp(text->data, s, n) == 0;
}

int chat_encode(const struct tokenizer *t, const struct buf *text, struct ids *out, struct err *err)
{
    size_t before = out->n;
    /* Not TOK_SPECIAL: it could close the prompt with EOS. */
    int32_t bos = tokenizer_bos(t);
    if (bos >= 0 && tokenizer_adds_bos(t) && !begins_with_token(text, t, bos)) ids_push(out, bos);
    int rc = tokenizer_encode(t, text->data ? text->data : "", text->len, TOK_PARSE | TOK_BARRIER, out, err);
    if (rc == 0 && out->bad) rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc < 0) out->n = before;
    return rc;
}

void chat_plain(const struct buf *text, struct buf *out)
{
    for (size_t i = 0, from = 0; i < text->len; from = i) {
        while (i < text->len && text->data[i] != TOKENIZER_BARRIER) i++;
        buf_put(out, text->data + from, i - from);
        while (i < text->len && text->data[i] == TOKENIZER_BARRIER) i++;
    }
}

int chat_prompt(const struct chat_request *r, struct ids *out, struct err *err)
{
    struct buf text = { 0 };
    int rc = chat_text(r, &text, err);
    if (rc == 0) rc = chat_encode(r->tokenizer, &text, out, err);
    buf_release(&text);
    return rc;
}

int chat_default_template(const struct tokenizer *t, const char **source, struct err *err)
{
    static const char chatml[] =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    static const char inst[] =
        "{% set ns = namespace(system='') %}{% for m in messages %}"
        "{% if m.role == 'system' %}{% set ns.system = m.content ~ '\n\n' %}"
        "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
        "{% else %}[INST] {{ ns.system }}{{ m.content }} [/INST]{% set ns.system = '' %}{% endif %}{% endfor %}";
    *source = NULL;
    if (tokenizer_find(t, "<|im_start|>", 12) >= 0 && tokenizer_find(t, "<|im_end|>", 10) >= 0) *source = chatml;
    else if (tokenizer_find(t, "[INST]", 6) >= 0 && tokenizer_find(t, "[/INST]", 7) >= 0) *source = inst;
    if (*source) return 0;
    return err_set(err, ERR_NOTFOUND, "the model has no chat template; use --no-template");
}
