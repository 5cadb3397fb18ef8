#include "app/corpus.h"

#include <string.h>

#include "app/input.h"
#include "base/mem.h"
#include "base/os.h"

enum { MAX_TEXT = 1 << 30 };

int corpus_read(struct corpus *out, const struct hearth_model *m, const char *path, bool parse, struct err *err)
{
    struct buf b = { 0 };
    struct hearth_error e = { 0 };
    char *text = NULL;
    size_t n = 0;
    int rc;
    *out = (struct corpus){ 0 };
    if (!strcmp(path, "-")) {
        rc = input_all(&b, err);
        n = b.len;
    } else {
        rc = os_read_file(path, MAX_TEXT, &text, &n, err);
    }
    if (rc == 0) {
        const char *s = text ? text : b.data ? b.data : "";
        rc = hearth_tokenize(m, s, n, HEARTH_TOKENIZE_SPECIAL | (parse ? HEARTH_TOKENIZE_PARSE : 0), &out->ids, &out->n, &e);
        if (rc < 0) rc = err_set(err, rc, "%s: %s", path, e.message);
    }
    int32_t bos = hearth_token_bos(m);
    out->bos = rc == 0 && out->n && bos >= 0 && out->ids[0] == bos;
    mem_free(text);
    buf_release(&b);
    return rc;
}

void corpus_release(struct corpus *c)
{
    hearth_free(c->ids);
    *c = (struct corpus){ 0 };
}
