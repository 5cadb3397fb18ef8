#include "app/texts.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"

int texts_add(struct texts *t, const char *s, size_t n, struct err *err)
{
    if (memchr(s, 0, n)) return err_set(err, ERR_ARG, "a text contains the character U+0000");
    if (t->n == t->cap) {
        char **p = mem_resize(t->text, t->cap ? t->cap * 2 : 16, sizeof *p);
        if (!p) return err_set(err, ERR_NOMEM, "out of memory for the texts");
        t->text = p;
        t->cap = t->cap ? t->cap * 2 : 16;
    }
    if (!(t->text[t->n] = mem_strdup(s, n))) return err_set(err, ERR_NOMEM, "out of memory for the texts");
    t->n++;
    return 0;
}

static int add_line(struct texts *t, const char *line, size_t n, struct err *err)
{
    struct json *v;
    size_t len;
    if (!t->json) return texts_add(t, line, n, err);
    int rc = json_parse(&v, line, n, err);
    if (rc < 0) return rc;
    const char *s = json_str(v, &len);
    rc = s ? texts_add(t, s, len, err) : err_set(err, ERR_FORMAT, "not a JSON string");
    json_free(v);
    return rc;
}

int texts_read(struct texts *t, size_t most, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && !t->end && i < most; i++) {
        const char *line;
        size_t n;
        bool has;
        rc = input_line(&t->in, &line, &n, &has, err);
        t->end = rc == 0 && !has;
        if (rc < 0 || t->end) break;
        t->line++;
        rc = add_line(t, line, n, err);
        if (rc < 0) rc = err_prefix(err, rc, "standard input, line %zu: ", t->line);
    }
    return rc;
}

void texts_clear(struct texts *t)
{
    while (t->n) mem_free(t->text[--t->n]);
}

void texts_release(struct texts *t)
{
    texts_clear(t);
    mem_free(t->text);
    buf_release(&t->in.data);
    *t = (struct texts){ 0 };
}
