/* Source of the grammar: docs/modelfile of Ollama and what its program accepts. */
#include "store/modelfile.h"

#include <string.h>

#include "base/json.h"
#include "base/near.h"
#include "base/utf8.h"
#include "store/store.h"

static const char *const word_name[N_WORDS] = { "FROM", "PARAMETER", "TEMPLATE", "SYSTEM", "ADAPTER", "LICENSE", "MESSAGE",
                                                "DRAFT", "RENDERER", "PARSER", "REQUIRES" };

const char *modelfile_word(enum modelfile_word w) { return word_name[w]; }

void modelfile_release(struct modelfile *m)
{
    arena_release(&m->arena);
    *m = (struct modelfile){ 0 };
}

struct reader { const char *at, *end; unsigned line; struct modelfile *m; };

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
static bool space(char c) { return blank(c) || c == '\n'; }
static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool part_of_key(char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; }

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && blank(*r->at)) r->at++;
}

/* Between two things: white space, empty lines, remarks. */
static void skip_between(struct reader *r)
{
    for (; r->at < r->end; r->at++) {
        if (*r->at == '\n') r->line++;
        else if (*r->at == '#') {
            while (r->at + 1 < r->end && r->at[1] != '\n') r->at++;
        } else if (!space(*r->at))
            return;
    }
}

static const char *next_word(const void *arg, size_t i)
{
    (void)arg;
    return i < N_WORDS ? word_name[i] : NULL;
}

static int read_word(struct reader *r, enum modelfile_word *out, struct err *err)
{
    char word[24];
    size_t n = 0;
    while (r->at < r->end && letter(*r->at) && n + 1 < sizeof word) {
        char c = *r->at++;
        word[n++] = c >= 'a' ? (char)(c - 32) : c;
    }
    word[n] = 0;
    for (int i = 0; i < N_WORDS; i++)
        if (!strcmp(word, word_name[i]) && (r->at == r->end || space(*r->at))) {
            *out = (enum modelfile_word)i;
            return 0;
        }
    const char *near = n ? near_find(word, next_word, NULL) : NULL;
    if (near) return err_set(err, ERR_FORMAT, "line %u: \"%s\" is no word; did you mean %s?", r->line, word, near);
    return err_set(err, ERR_FORMAT, "line %u: begins with none of FROM, PARAMETER, TEMPLATE, SYSTEM, ADAPTER, LICENSE, MESSAGE",
                   r->line);
}

static const char *keep(struct reader *r, const char *s, size_t n, struct err *err)
{
    const char *copy = arena_strdup(&r->m->arena, s, n);
    if (!copy) err_set(err, ERR_NOMEM, "line %u: out of memory", r->line);
    return copy;
}

static int read_key(struct reader *r, const char *what, const char **out, struct err *err)
{
    const char *from = r->at;
    while (r->at < r->end && part_of_key(*r->at)) r->at++;
    size_t n = (size_t)(r->at - from);
    if (!n || n > 64 || (r->at < r->end && !blank(*r->at)))
        return err_set(err, ERR_FORMAT, "line %u: expected the %s, then its value", r->line, what);
    return (*out = keep(r, from, n, err)) ? 0 : ERR_NOMEM;
}

/* Whether a trimmed value is whole, and what lies between its quotes. */
static bool whole(const char *s, size_t n, const char **inner, size_t *len)
{
    size_t q = n >= 3 && !memcmp(s, "\"\"\"", 3) ? 3 : n && *s == '"' ? 1 : 0;
    *inner = s + q;
    *len = n - q;
    if (!q) return true;
    if (n < 2 * q || memcmp(s + n - q, "\"\"\"", q)) return false;
    *len = n - 2 * q;
    return true;
}

static int read_value(struct reader *r, const char **out, struct err *err)
{
    unsigned first = r->line;
    struct buf text = { 0 };
    const char *inner = NULL, *from = r->at;
    size_t n = 0;
    bool done = false;
    while (!done) {
        const char *end = r->at;
        while (end < r->end && *end != '\n') end++;
        size_t k = (size_t)(end - from);
        while (k && space(from[k - 1])) k--;
        done = whole(from, k, &inner, &n);
        r->at = end;
        if (done || end == r->end) break;
        r->at++;
        r->line++;
    }
    if (!done)
        return err_set(err, ERR_FORMAT, "line %u: the text that begins here with %s has no end", first,
                       from + 2 < r->end && from[1] == '"' && from[2] == '"' ? "\"\"\"" : "\"");
    for (size_t i = 0; i < n; i++)
        if (inner[i] != '\r') buf_putc(&text, inner[i]);
    int rc = text.bad ? err_set(err, ERR_NOMEM, "line %u: out of memory", first) : 0;
    if (rc == 0 && !(*out = keep(r, text.data ? text.data : "", text.len, err))) rc = ERR_NOMEM;
    buf_release(&text);
    return rc;
}

static int check_role(const struct reader *r, const char *role, struct err *err)
{
    if (!strcmp(role, "system") || !strcmp(role, "user") || !strcmp(role, "assistant")) return 0;
    return err_set(err, ERR_FORMAT, "line %u: \"%s\" is no role; system, user and assistant are", r->line, role);
}

static int read_line(struct reader *r, struct modelfile_line *l, struct err *err)
{
    *l = (struct modelfile_line){ .key = "", .line = r->line };
    int rc = read_word(r, &l->word, err);
    if (rc < 0) return rc;
    skip_blanks(r);
    if (l->word == WORD_PARAMETER) rc = read_key(r, "name of a setting", &l->key, err);
    if (l->word == WORD_MESSAGE && (rc = read_key(r, "role", &l->key, err)) == 0) rc = check_role(r, l->key, err);
    if (rc < 0) return rc;
    skip_blanks(r);
    if (r->at == r->end || *r->at == '\n')
        return err_set(err, ERR_FORMAT, "line %u: %s has no value; \"\" is an empty one", l->line, word_name[l->word]);
    return read_value(r, &l->value, err);
}

static int parse(struct reader *r, struct err *err)
{
    enum { GROW = 64 };
    struct modelfile *m = r->m;
    bool from = false;
    for (skip_between(r); r->at < r->end; skip_between(r)) {
        if (m->n == MODELFILE_LINES) return err_set(err, ERR_LIMIT, "more than %d things", MODELFILE_LINES);
        if (m->n % GROW == 0) {
            struct modelfile_line *v = arena_new(&m->arena, struct modelfile_line, m->n + GROW);
            if (!v) return err_set(err, ERR_NOMEM, "out of memory");
            if (m->n) memcpy(v, m->v, m->n * sizeof *v);
            m->v = v;
        }
        int rc = read_line(r, &m->v[m->n], err);
        if (rc < 0) return rc;
        from = from || m->v[m->n].word == WORD_FROM;
        m->n++;
    }
    return from ? 0 : err_set(err, ERR_FORMAT, "there is no FROM, which names the model to begin with");
}

int modelfile_parse(struct modelfile *m, const char *text, size_t n, struct err *err)
{
    *m = (struct modelfile){ .arena = { .limit = 4 * (size_t)MODELFILE_MAX } };
    if (n > MODELFILE_MAX) return err_set(err, ERR_LIMIT, "%zu bytes: at most %d are allowed", n, MODELFILE_MAX);
    if (n >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2)))
        return err_set(err, ERR_UNSUPPORTED, "is UTF-16; save it as UTF-8");
    if (memchr(text, 0, n) || !utf8_valid(text, n)) return err_set(err, ERR_FORMAT, "is no UTF-8 text");
    size_t bom = n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
    struct reader r = { text + bom, text + n, 1, m };
    int rc = parse(&r, err);
    if (rc < 0) modelfile_release(m);
    return rc;
}

/* ---- writing ---- */

/* A value so that it is read as it is: between quotes where that is needed. */
static int put_value(const char *word, const char *key, const char *value, struct buf *out, struct err *err)
{
    size_t n = strlen(value);
    bool lines = strchr(value, '\n') != NULL;
    bool plain = n && !lines && *value != '"' && !space(*value) && !space(value[n - 1]);
    /* Between three quotes no line may end with them, nor the text with one. */
    bool triple = n && value[n - 1] == '"';
    for (const char *p = value; (p = strstr(p, "\"\"\"")) != NULL; p += 3)
        triple = triple || p[3] == '\n' || p[3] == '\r' || p[3] == ' ';
    if (!plain && triple)
        return err_set(err, ERR_UNSUPPORTED, "%s: a text with \"\"\" at the end of a line cannot be written into a "
                                             "Modelfile", word);
    buf_printf(out, "%s %s%s", word, key, *key ? " " : "");
    buf_printf(out, plain ? "%s\n" : "\"\"\"%s\"\"\"\n", value);
    return 0;
}

static int put_setting(const char *key, const struct json *v, struct buf *out, struct err *err)
{
    struct buf text = { 0 };
    const char *s = json_str(v, NULL);
    if (!s) json_write(v, false, &text);
    int rc = s || text.data ? put_value("PARAMETER", key, s ? s : text.data, out, err) : 0;
    buf_release(&text);
    return rc;
}

static int put_settings(const char *params, struct buf *out, struct err *err)
{
    struct json *all, *v;
    const char *key;
    int rc = json_parse(&all, params, strlen(params), err);
    for (void *it = NULL; rc == 0 && json_next(all, &it, &key, &v);) {
        if (json_type(v) != JSON_ARRAY) rc = put_setting(key, v, out, err);
        for (size_t i = 0; rc == 0 && i < json_len(v); i++) rc = put_setting(key, json_at(v, i), out, err);
    }
    json_free(all);
    return rc;
}

static int put_messages(const char *messages, struct buf *out, struct err *err)
{
    struct json *all;
    int rc = json_parse(&all, messages, strlen(messages), err);
    for (size_t i = 0; rc == 0 && i < json_len(all); i++) {
        const char *role = json_str(json_get(json_at(all, i), "role"), NULL);
        const char *content = json_str(json_get(json_at(all, i), "content"), NULL);
        if (role && content) rc = put_value("MESSAGE", role, content, out, err);
    }
    json_free(all);
    return rc;
}

int modelfile_write(const char *model_path, const struct parts *p, struct buf *out, struct err *err)
{
    int rc = put_value("FROM", "", model_path, out, err);
    if (rc == 0 && p->projector) rc = put_value("FROM", "", p->projector, out, err);
    for (size_t i = 0; rc == 0 && i < p->n_adapter; i++) rc = put_value("ADAPTER", "", p->adapter[i], out, err);
    if (rc == 0 && p->params) rc = put_settings(p->params, out, err);
    if (rc == 0 && p->template) {
        if (!p->own_template) buf_puts(out, "# It came with the model.  One in Go's language is only used where the fi"
          "le has none.\n");
        rc = put_value("TEMPLATE", "", p->template, out, err);
    }
    if (rc == 0 && p->system) rc = put_value("SYSTEM", "", p->system, out, err);
    if (rc == 0 && p->messages) rc = put_messages(p->messages, out, err);
    for (size_t i = 0; rc == 0 && i < p->n_license; i++) rc = put_value("LICENSE", "", p->license[i], out, err);
    return rc;
}
