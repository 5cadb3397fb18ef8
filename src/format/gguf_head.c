/* gguf_head.c - how far the header of a GGUF file reaches, of which only the beginning is here. */
#include "base/rd.h"
#include "format/gguf_impl.h"

/* A string of at most max bytes; false when its length is too large.  Bytes that are not here yet leave r->bad. */
static bool skip_str(struct rd *r, uint64_t max)
{
    uint64_t n = rd_u64(r);
    if (r->bad) return true;
    if (n > max) return false;
    rd_take(r, n);
    return true;
}

static bool skip_array(struct rd *r, uint64_t *n_strings)
{
    uint32_t item = rd_u32(r);
    uint64_t count = rd_u64(r);
    if (r->bad) return true;
    uint32_t size = gguf_type_bytes(item);
    if (size) {
        if (count > UINT64_MAX / size) return false;
        rd_take(r, count * size);
        return true;
    }
    if (item != GGUF_STRING) return false;
    *n_strings += count;
    if (count > GGUF_MAX_STRINGS || *n_strings > GGUF_MAX_STRINGS) return false;
    for (uint64_t i = 0; i < count && !r->bad; i++)
        if (!skip_str(r, GGUF_MAX_STRING)) return false;
    return true;
}

static bool skip_kv(struct rd *r, uint64_t *n_strings)
{
    if (!skip_str(r, GGUF_MAX_KEY)) return false;
    uint32_t type = rd_u32(r);
    if (r->bad) return true;
    if (type == GGUF_ARRAY) return skip_array(r, n_strings);
    if (type == GGUF_STRING) return skip_str(r, GGUF_MAX_TEMPLATE);
    if (!gguf_type_bytes(type)) return false;
    rd_take(r, gguf_type_bytes(type));
    return true;
}

static bool skip_tensor(struct rd *r)
{
    if (!skip_str(r, GGUF_MAX_NAME)) return false;
    uint32_t dims = rd_u32(r);
    if (r->bad) return true;
    if (dims < 1 || dims > 4) return false;
    rd_take(r, 8 * (uint64_t)dims + 4 + 8);
    return true;
}

enum gguf_head gguf_header_end(const void *p, size_t n, uint64_t *end)
{
    const uint8_t *data = p;
    struct rd r = { data, data + n, false };
    uint64_t n_strings = 0;
    *end = 0;
    const uint8_t *magic = rd_take(&r, 4);
    if (!magic) return GGUF_HEAD_MORE;
    if (memcmp(magic, "GGUF", 4) != 0) return GGUF_HEAD_WRONG;
    rd_u32(&r);
    uint64_t tensors = rd_u64(&r), keys = rd_u64(&r);
    if (r.bad) return GGUF_HEAD_MORE;
    if (tensors > GGUF_MAX_TENSORS || keys > GGUF_MAX_KEYS) return GGUF_HEAD_WRONG;
    for (uint64_t i = 0; i < keys && !r.bad; i++)
        if (!skip_kv(&r, &n_strings)) return GGUF_HEAD_WRONG;
    for (uint64_t i = 0; i < tensors && !r.bad; i++)
        if (!skip_tensor(&r)) return GGUF_HEAD_WRONG;
    if (r.bad) return GGUF_HEAD_MORE;
    *end = (uint64_t)(r.at - data);
    return GGUF_HEAD_WHOLE;
}
