#include "format/dtype.h"

#include "base/ck.h"

static const struct dtype_info info[N_DTYPE] = {
#define DTYPE(name, id, values, bytes, family) { #name, id, values, bytes, DTF_##family },
#include "format/dtype.def"
#undef DTYPE
};

const struct dtype_info *dtype_info(enum dtype t) { return &info[t]; }

bool dtype_from_gguf(uint32_t id, enum dtype *out)
{
    for (unsigned i = 0; i < N_DTYPE; i++)
        if (info[i].gguf_id == id && id != DTYPE_NO_ID) {
            *out = (enum dtype)i;
            return true;
        }
    return false;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

bool dtype_from_name(const char *name, enum dtype *out)
{
    for (unsigned i = 0; i < N_DTYPE; i++) {
        const char *a = name, *b = info[i].name;
        while (*a && lower(*a) == lower(*b)) a++, b++;
        if (!*a && !*b) {
            *out = (enum dtype)i;
            return true;
        }
    }
    return false;
}

bool dtype_row_bytes(enum dtype t, uint64_t n, uint64_t *bytes)
{
    if (n % info[t].block_values) return false;
    return ck_mul(n / info[t].block_values, info[t].block_bytes, bytes);
}
