#include "engine/about.h"

#include <string.h>

#include "base/utf8.h"
#include "engine/engine.h"

enum { MOST_VALUES = 1 << 20 };

struct json *about_text(const char *s, size_t n)
{
    struct buf b = { 0 };
    utf8_put_valid(&b, s, n);
    struct json *j = b.bad ? NULL : json_new_str(b.data ? b.data : "", b.len);
    buf_release(&b);
    return j;
}

struct json *about_item(const struct gguf_kv *kv, uint64_t i, const uint8_t **at)
{
    const enum gguf_type type = kv->type == GGUF_ARRAY ? kv->item : kv->type;
    struct gguf_str s;
    int64_t v;
    float f = 0;
    if (type == GGUF_STRING) return gguf_next_str(kv, at, &s) ? about_text(s.s, s.n) : json_new_null();
    if (type == GGUF_F32 || type == GGUF_F64) {
        gguf_item_f32(kv, i, &f);
        return f - f == 0 ? json_new_real((double)f) : json_new_null();        /* JSON has no infinity */
    }
    if (!gguf_item_i64(kv, i, &v)) return json_new_null();
    return type == GGUF_BOOL ? json_new_bool(v != 0) : json_new_int(v);
}

static struct json *key_json(const struct gguf_kv *kv, bool arrays)
{
    const uint8_t *at = kv->data;
    if (kv->type != GGUF_ARRAY) return about_item(kv, 0, &at);
    if (!arrays || kv->count > MOST_VALUES) return json_new_null();
    struct json *list = json_new_array();
    for (uint64_t i = 0; i < kv->count; i++)
        if (!json_push(list, about_item(kv, i, &at))) {
            json_free(list);
            return NULL;
        }
    return list;
}

struct json *engine_keys(const struct hearth_model *m, bool arrays)
{
    struct json *o = json_new_object();
    bool ok = o != NULL;
    for (size_t i = 0; ok && i < gguf_n_kv(m->gguf); i++) {
        const struct gguf_kv *kv = gguf_kv_at(m->gguf, i);
        struct buf key = { 0 };
        utf8_put_valid(&key, kv->key.s, kv->key.n);
        ok = !key.bad && json_put(o, key.data ? key.data : "", key_json(kv, arrays));
        buf_release(&key);
    }
    if (ok) return o;
    json_free(o);
    return NULL;
}

struct json *engine_tensors(const struct hearth_model *m)
{
    struct json *list = json_new_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < gguf_n_tensors(m->gguf); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(m->gguf, i);
        const char *type = dtype_info(t->type)->name;
        struct json *o = json_new_object(), *shape = json_new_array();
        ok = json_put(o, "name", about_text(t->name, strlen(t->name))) && json_put(o, "type", json_new_str(type, strlen(type)));
        for (uint32_t d = 0; ok && d < t->n_dims; d++) ok = json_push(shape, json_new_int((int64_t)t->ne[d]));
        ok = json_put(o, "shape", shape) && ok;
        ok = json_push(list, o) && ok;
    }
    if (ok) return list;
    json_free(list);
    return NULL;
}
