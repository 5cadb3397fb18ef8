/* tiny_answerer.h - a small model that can be asked for yes or no: for tests of ranking. */
#ifndef HEARTH_TESTS_TINY_ANSWERER_H
#define HEARTH_TESTS_TINY_ANSWERER_H

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "format/gguf.h"
#include "tests/tiny_model.h"

/* A model like those that generate, whose tokens 0 and 1 spell yes and no; with_head: their rows of the output are a classifier
 * too.  0, or negative. */
static inline int tiny_answerer(const char *path, bool with_head)
{
    struct gguf *g;
    struct gguf_writer *w;
    struct err err;
    struct buf out = { 0 };
    struct gguf_str s[TINY_VOCAB];
    if (tiny_model(path, (struct tiny){ .arch = "qwen3", .type = DT_Q8_0 }) < 0 || gguf_open(&g, path, &err) < 0) return -1;
    int rc = gguf_writer_open(&w, &err);
    for (size_t i = 0; rc == 0 && i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        if (kv->key.n != 21 || memcmp(kv->key.s, "tokenizer.ggml.tokens", 21)) {
            gguf_copy_kv(w, kv);
            continue;
        }
        const uint8_t *at = kv->data;
        for (size_t k = 0; k < TINY_VOCAB; k++)
            if (!gguf_next_str(kv, &at, &s[k])) rc = -1;
        s[0] = (struct gguf_str){ "yes", 3 };
        s[1] = (struct gguf_str){ "no", 2 };
        gguf_put_strs(w, "tokenizer.ggml.tokens", s, TINY_VOCAB);
    }
    for (size_t i = 0; rc == 0 && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
        if (with_head && !strcmp(t->name, "output.weight"))
            gguf_put_tensor(w, "cls.output.weight", t->type, 2, (uint64_t[]){ t->ne[0], 2 }, t->data);
    }
    if (rc == 0) rc = gguf_writer_bytes(w, &out, &err);
    gguf_writer_close(w);
    gguf_close(g);
    FILE *f = rc == 0 ? fopen(path, "wb") : NULL;
    if (!f || fwrite(out.data, 1, out.len, f) != out.len) rc = -1;
    if (f && fclose(f)) rc = -1;
    buf_release(&out);
    return rc;
}

#endif
