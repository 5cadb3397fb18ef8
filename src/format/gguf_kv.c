/* gguf_kv.c - metadata lookups, and the small helpers that reader and writer share. */
#include <string.h>

#include "base/rd.h"
#include "format/gguf_impl.h"

uint32_t gguf_type_bytes(uint32_t type)
{
    static const uint8_t bytes[] = {
        [GGUF_U8] = 1, [GGUF_I8] = 1, [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4,
        [GGUF_BOOL] = 1, [GGUF_STRING] = 0, [GGUF_ARRAY] = 0, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8
    };
    return type < sizeof bytes ? bytes[type] : 0;
}

uint64_t gguf_string_limit(struct gguf_str key)
{
    static const char prefix[] = "tokenizer.chat_template";
    bool template = key.n >= sizeof prefix - 1 && memcmp(key.s, prefix, sizeof prefix - 1) == 0;
    return template ? GGUF_MAX_TEMPLATE : GGUF_MAX_STRING;
}

static bool control(char c) { return (unsigned char)c < 0x20 || c == 0x7f; }

bool gguf_name_ok(struct gguf_str s)
{
    const uint64_t ones = 0x0101010101010101u, top = 0x8080808080808080u;
    for (; s.n >= 8; s.s += 8, s.n -= 8) {
        uint64_t v, del;
        memcpy(&v, s.s, 8);
        del = v ^ 0x7f * ones;
        /* A byte below k borrows from its top bit when k is taken away (k = 0x20, and 1 for the bytes that were DEL). */
        if ((((v - 0x20 * ones) & ~v) | ((del - ones) & ~del)) & top) return false;
    }
    for (size_t i = 0; i < s.n; i++)
        if (control(s.s[i])) return false;
    return true;
}

struct gguf_shown gguf_show(struct gguf_str s)
{
    struct gguf_shown out = { { 0 } };
    size_t max = sizeof out.s - 4, n = s.n < max ? s.n : max;
    for (size_t i = 0; i < n; i++) out.s[i] = control(s.s[i]) || (s.s[i] & 0x80) ? '?' : s.s[i];
    if (s.n > max) memcpy(out.s + n, "...", 3);
    return out;
}

struct gguf_str gguf_kv_name(const void *items, size_t i) { return ((const struct gguf_kv *)items)[i].key; }

struct gguf_str gguf_tensor_name(const void *items, size_t i)
{
    const char *s = ((const struct gguf_tensor *)items)[i].name;
    return (struct gguf_str){ s, strlen(s) };
}

const struct gguf_kv *gguf_part_find(const struct gguf_part *p, const char *key)
{
    size_t i = names_find(&p->keys, gguf_kv_name, p->kv, (struct gguf_str){ key, strlen(key) });
    return i == SIZE_MAX ? NULL : &p->kv[i];
}

/* ---- values ---- */

enum kind { KIND_NONE, KIND_UNSIGNED, KIND_SIGNED, KIND_REAL };

struct number {
    enum kind kind;
    uint64_t u;                             /* the bits of a signed number too */
    double f;
};

static struct number number_at(enum gguf_type type, const uint8_t *data)
{
    uint32_t size = gguf_type_bytes(type);
    struct rd r = { data, data + size, false };
    switch (type) {
    case GGUF_F32: return (struct number){ KIND_REAL, 0, (double)rd_f32(&r) };
    case GGUF_F64: return (struct number){ KIND_REAL, 0, rd_f64(&r) };
    case GGUF_BOOL: return (struct number){ KIND_UNSIGNED, rd_u8(&r) != 0, 0 };
    case GGUF_U8: case GGUF_U16: case GGUF_U32: case GGUF_U64:
        return (struct number){ KIND_UNSIGNED, rd_uint(&r, size), 0 };
    case GGUF_I8: case GGUF_I16: case GGUF_I32: case GGUF_I64: {
        uint64_t sign = (uint64_t)1 << (8 * size - 1);
        return (struct number){ KIND_SIGNED, (rd_uint(&r, size) ^ sign) - sign, 0 };
    }
    case GGUF_STRING: case GGUF_ARRAY: break;
    }
    return (struct number){ KIND_NONE, 0, 0 };
}

static struct number scalar(const struct gguf_kv *kv)
{
    if (!kv || kv->type == GGUF_ARRAY) return (struct number){ KIND_NONE, 0, 0 };
    return number_at(kv->type, kv->data);
}

static struct number item(const struct gguf_kv *kv, uint64_t i)
{
    if (kv->type != GGUF_ARRAY) return scalar(kv);
    if (i >= kv->count) return (struct number){ KIND_NONE, 0, 0 };
    return number_at(kv->item, kv->data + i * gguf_type_bytes(kv->item));
}

static bool as_u64(struct number v, uint64_t *out)
{
    if (v.kind != KIND_UNSIGNED && !(v.kind == KIND_SIGNED && v.u <= INT64_MAX)) return false;
    *out = v.u;
    return true;
}

static bool as_i64(struct number v, int64_t *out)
{
    if (v.kind != KIND_SIGNED && !(v.kind == KIND_UNSIGNED && v.u <= INT64_MAX)) return false;
    *out = (int64_t)v.u;
    return true;
}

static bool as_f32(struct number v, float *out)
{
    if (v.kind == KIND_NONE) return false;
    *out = v.kind == KIND_REAL ? (float)v.f : v.kind == KIND_SIGNED ? (float)(int64_t)v.u : (float)v.u;
    return true;
}

bool gguf_kv_u64(const struct gguf_kv *kv, uint64_t *out) { return as_u64(scalar(kv), out); }

bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out) { return gguf_kv_u64(gguf_find(g, key), out); }

bool gguf_get_i64(const struct gguf *g, const char *key, int64_t *out)
{
    return as_i64(scalar(gguf_find(g, key)), out);
}

bool gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out)
{
    uint64_t v;
    if (!gguf_get_u64(g, key, &v) || v > UINT32_MAX) return false;
    *out = (uint32_t)v;
    return true;
}

bool gguf_get_f32(const struct gguf *g, const char *key, float *out) { return as_f32(scalar(gguf_find(g, key)), out); }

bool gguf_get_bool(const struct gguf *g, const char *key, bool *out)
{
    uint64_t v;
    if (!gguf_get_u64(g, key, &v) || v > 1) return false;
    *out = v;
    return true;
}

bool gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    const uint8_t *at = kv ? kv->data : NULL;
    return kv && kv->type == GGUF_STRING && gguf_next_str(kv, &at, out);
}

bool gguf_item_i64(const struct gguf_kv *kv, uint64_t i, int64_t *out) { return as_i64(item(kv, i), out); }
bool gguf_item_f32(const struct gguf_kv *kv, uint64_t i, float *out) { return as_f32(item(kv, i), out); }

bool gguf_next_str(const struct gguf_kv *kv, const uint8_t **at, struct gguf_str *out)
{
    if (kv->item != GGUF_STRING) return false;
    struct rd r = { *at, kv->data + kv->bytes, false };
    uint64_t n = rd_u64(&r);
    const uint8_t *s = rd_take(&r, n);
    if (!s) return false;
    *out = (struct gguf_str){ (const char *)s, (size_t)n };
    *at = r.at;
    return true;
}
