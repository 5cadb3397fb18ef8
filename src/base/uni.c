#include "base/uni.h"

#include <utf8proc.h>

#include "base/mem.h"
#include "base/sort.h"
#include "base/utf8.h"

struct range { uint32_t lo, hi; };

static const struct range space[] = {
    { 0x09, 0x0d }, { 0x20, 0x20 }, { 0x85, 0x85 }, { 0xa0, 0xa0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200a },
    { 0x2028, 0x2029 }, { 0x202f, 0x202f }, { 0x205f, 0x205f }, { 0x3000, 0x3000 }
};

/* Unicode 15 Scripts.txt, Script=Han. */
static const struct range han[] = {
    { 0x2e80, 0x2e99 }, { 0x2e9b, 0x2ef3 }, { 0x2f00, 0x2fd5 }, { 0x3005, 0x3005 }, { 0x3007, 0x3007 },
    { 0x3021, 0x3029 }, { 0x3038, 0x303b }, { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff }, { 0xf900, 0xfa6d },
    { 0xfa70, 0xfad9 }, { 0x16fe2, 0x16fe3 }, { 0x16ff0, 0x16ff1 }, { 0x20000, 0x2a6df }, { 0x2a700, 0x2b739 },
    { 0x2b740, 0x2b81d }, { 0x2b820, 0x2cea1 }, { 0x2ceb0, 0x2ebe0 }, { 0x2f800, 0x2fa1d }, { 0x30000, 0x3134a },
    { 0x31350, 0x323af }
};

static int within(const struct range *r, size_t n, uint32_t cp)
{
    for (size_t i = 0; i < n; i++)
        if (cp <= r[i].hi) return cp >= r[i].lo;
    return 0;
}

unsigned uni_class(uint32_t cp)
{
    static const uint16_t of[] = {
        [UTF8PROC_CATEGORY_LU] = UNI_LU, [UTF8PROC_CATEGORY_LL] = UNI_LL, [UTF8PROC_CATEGORY_LT] = UNI_LT,
        [UTF8PROC_CATEGORY_LM] = UNI_LM, [UTF8PROC_CATEGORY_LO] = UNI_LO, [UTF8PROC_CATEGORY_MN] = UNI_MN,
        [UTF8PROC_CATEGORY_MC] = UNI_MC, [UTF8PROC_CATEGORY_ME] = UNI_MC, [UTF8PROC_CATEGORY_ND] = UNI_ND,
        [UTF8PROC_CATEGORY_NL] = UNI_NX, [UTF8PROC_CATEGORY_NO] = UNI_NX, [UTF8PROC_CATEGORY_PC] = UNI_P,
        [UTF8PROC_CATEGORY_PD] = UNI_P, [UTF8PROC_CATEGORY_PS] = UNI_P, [UTF8PROC_CATEGORY_PE] = UNI_P,
        [UTF8PROC_CATEGORY_PI] = UNI_P, [UTF8PROC_CATEGORY_PF] = UNI_P, [UTF8PROC_CATEGORY_PO] = UNI_P,
        [UTF8PROC_CATEGORY_SM] = UNI_S, [UTF8PROC_CATEGORY_SC] = UNI_S, [UTF8PROC_CATEGORY_SK] = UNI_S,
        [UTF8PROC_CATEGORY_SO] = UNI_S, [UTF8PROC_CATEGORY_CC] = UNI_CONTROL, [UTF8PROC_CATEGORY_CF] = UNI_CONTROL,
        [UTF8PROC_CATEGORY_CS] = UNI_CONTROL, [UTF8PROC_CATEGORY_CO] = UNI_CONTROL
    };
    if (cp > 0x10ffff) return 0;
    unsigned category = (unsigned)utf8proc_category((utf8proc_int32_t)cp);
    unsigned c = category < sizeof of / sizeof of[0] ? of[category] : 0;
    if (within(space, sizeof space / sizeof space[0], cp)) c |= UNI_SPACE;
    if (within(han, sizeof han / sizeof han[0], cp)) c |= UNI_HAN;
    return c;
}

uint32_t uni_lower(uint32_t cp)
{
    return cp > 0x10ffff ? cp : (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}

uint32_t uni_upper(uint32_t cp)
{
    return cp > 0x10ffff ? cp : (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp);
}

/* Sorts one run of marks by combining class, stably.  Own code because utf8proc's ordering is quadratic in the length
 * of the run, which comes from outside. */
static bool order_run(int32_t *cp, size_t n)
{
    uint64_t local[64], *key = local;
    if (n > 32 && !(key = mem_new_array(uint64_t, 2 * n))) return false;
    for (size_t i = 0; i < n; i++)
        key[i] = (uint64_t)utf8proc_get_property(cp[i])->combining_class << 56 | (uint64_t)i << 24 | (uint32_t)cp[i];
    sort_u64(key, key + n, n);
    for (size_t i = 0; i < n; i++) cp[i] = (int32_t)(key[i] & 0xffffff);
    if (key != local) mem_free(key);
    return true;
}

static bool order(int32_t *cp, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t start = i;
        while (i < n && utf8proc_get_property(cp[i])->combining_class) i++;
        if (i - start > 1 && !order_run(cp + start, i - start)) return false;
        if (i < n) i++;
    }
    return true;
}

/* The code points of s decomposed, n of them in *out (the caller's). */
static bool decompose(const char *s, size_t bytes, int32_t **out, size_t *n)
{
    enum { ROOM = 32 };                         /* more than any one character decomposes to */
    size_t cap = bytes + ROOM, used = 0, len;
    int32_t *cp = mem_new_array(int32_t, cap);
    *out = cp;
    if (!cp) return false;
    for (size_t i = 0; i < bytes; i += len) {
        uint32_t c = utf8_decode(s + i, bytes - i, &len);
        if (c == UTF8_BAD) c = UTF8_REPLACEMENT;
        if (cap - used < ROOM) {
            if (!(cp = mem_resize(*out, cap * 2, sizeof *cp))) return false;
            *out = cp;
            cap *= 2;
        }
        utf8proc_ssize_t k = utf8proc_decompose_char((int32_t)c, cp + used, ROOM, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
                                                     NULL);
        if (k < 0 || k > ROOM) return false;
        used += (size_t)k;
    }
    *n = used;
    return order(cp, used);
}

void uni_normalize(enum uni_form form, const char *s, size_t n, struct buf *out)
{
    int32_t *cp = NULL;
    size_t used = 0;
    utf8proc_ssize_t k = -1;
    if (decompose(s, n, &cp, &used)) {
        k = (utf8proc_ssize_t)used;
        if (form == UNI_NFC) k = utf8proc_normalize_utf32(cp, k, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    }
    if (k < 0) out->bad = true;
    for (utf8proc_ssize_t i = 0; i < k; i++) {
        char c[4];
        buf_put(out, c, utf8_encode((uint32_t)cp[i], c));
    }
    mem_free(cp);
}
