/* gguf_hostile.h - malformed GGUF files, one per mistake that a reader could make, and a small good one.
 * Many are the shapes of published holes in other readers. */
#ifndef HEARTH_TESTS_GGUF_HOSTILE_H
#define HEARTH_TESTS_GGUF_HOSTILE_H

#include <string.h>

#include "base/buf.h"
#include "format/gguf.h"

/* ---- raw pieces ---- */

static inline void raw_le(struct buf *b, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) buf_putc(b, (char)(v >> (8 * i)));
}

static inline void raw_u32(struct buf *b, uint32_t v) { raw_le(b, v, 4); }
static inline void raw_u64(struct buf *b, uint64_t v) { raw_le(b, v, 8); }

static inline void raw_head(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
    buf_puts(b, "GGUF");
    raw_u32(b, version);
    raw_u64(b, n_tensors);
    raw_u64(b, n_kv);
}

static inline void raw_str(struct buf *b, const char *s)
{
    raw_u64(b, strlen(s));
    buf_puts(b, s);
}

static inline void raw_key(struct buf *b, const char *key, uint32_t type)
{
    raw_str(b, key);
    raw_u32(b, type);
}

static inline void raw_kv_u32(struct buf *b, const char *key, uint32_t v)
{
    raw_key(b, key, GGUF_U32);
    raw_u32(b, v);
}

static inline void raw_array(struct buf *b, const char *key, uint32_t item, uint64_t count)
{
    raw_key(b, key, GGUF_ARRAY);
    raw_u32(b, item);
    raw_u64(b, count);
}

/* A matrix of two dimensions. */
static inline void raw_tensor(struct buf *b, const char *name, uint64_t ne0, uint64_t ne1, uint32_t type, uint64_t offset)
{
    raw_str(b, name);
    raw_u32(b, 2);
    raw_u64(b, ne0);
    raw_u64(b, ne1);
    raw_u32(b, type);
    raw_u64(b, offset);
}

static inline void raw_zeros(struct buf *b, size_t n)
{
    while (n--) buf_putc(b, 0);
}

/* Pads to 32 bytes, then n bytes of data. */
static inline void raw_data(struct buf *b, size_t n)
{
    while (!b->bad && b->len % 32) buf_putc(b, 0);
    raw_zeros(b, n);
}

static inline void raw_good(struct buf *b)
{
    raw_head(b, 3, 3, 5);
    raw_key(b, "general.architecture", GGUF_STRING);
    raw_str(b, "llama");
    raw_kv_u32(b, "general.alignment", 32);
    raw_key(b, "llama.rope.freq_base", GGUF_F32);
    raw_u32(b, 0x461c4000);
    raw_array(b, "tokenizer.ggml.tokens", GGUF_STRING, 3);
    raw_str(b, "a");
    raw_str(b, "");
    raw_str(b, "word");
    raw_array(b, "tokenizer.ggml.token_type", GGUF_I32, 3);
    for (unsigned i = 1; i <= 3; i++) raw_u32(b, i);
    raw_tensor(b, "token_embd.weight", 32, 3, 8, 0);
    raw_tensor(b, "output_norm.weight", 8, 1, 0, 128);
    raw_tensor(b, "blk.0.w", 256, 1, 12, 160);
    raw_data(b, 160 + 144);
}

/* ---- the mistakes ---- */

#define BAD(name) static inline void bad_##name(struct buf *b)
#define HEAD_ONLY(name, version, n_tensors, n_kv) \
    BAD(name) { raw_head(b, version, n_tensors, n_kv); raw_zeros(b, 64); }

BAD(empty) { buf_reserve(b, 0); }
BAD(three_bytes) { buf_puts(b, "GGU"); }
BAD(magic_only) { buf_puts(b, "GGUF"); }
BAD(version_cut) { buf_put(b, "GGUF\3\0", 6); }
BAD(counts_cut) { raw_head(b, 3, 1, 1); b->len = 20; }
HEAD_ONLY(version_0, 0, 0, 0)
HEAD_ONLY(version_1, 1, 0, 0)
HEAD_ONLY(version_4, 4, 0, 0)
HEAD_ONLY(big_endian, 3u << 24, 0, 0)
HEAD_ONLY(many_tensors, 3, UINT64_MAX, 0)
HEAD_ONLY(negative_tensors, 3, (uint64_t)1 << 63, 0)
HEAD_ONLY(limit_tensors, 3, 65537, 0)
HEAD_ONLY(tensors_not_there, 3, 65536, 0)
HEAD_ONLY(many_keys, 3, 0, UINT64_MAX / 12)
HEAD_ONLY(limit_keys, 3, 0, 65537)
HEAD_ONLY(keys_not_there, 3, 0, 65536)
BAD(key_length) { raw_head(b, 3, 0, 1); raw_u64(b, UINT64_MAX); raw_zeros(b, 64); }
BAD(key_256) { raw_head(b, 3, 0, 1); raw_u64(b, 256); raw_zeros(b, 300); }
BAD(key_empty) { raw_head(b, 3, 0, 1); raw_kv_u32(b, "", 1); raw_zeros(b, 16); }
BAD(key_control) { raw_head(b, 3, 0, 1); raw_kv_u32(b, "a\033[2J", 1); }
BAD(key_cut) { raw_head(b, 3, 0, 1); raw_u64(b, 200); raw_zeros(b, 20); }
BAD(key_twice) { raw_head(b, 3, 0, 2); raw_kv_u32(b, "a.b", 1); raw_kv_u32(b, "a.b", 2); }
BAD(value_type) { raw_head(b, 3, 0, 1); raw_key(b, "k", 13); raw_u64(b, 0); }
BAD(value_type_huge) { raw_head(b, 3, 0, 1); raw_key(b, "k", 0x80000000); raw_u64(b, 0); }
BAD(value_cut) { raw_head(b, 3, 0, 1); raw_key(b, "key", GGUF_U64); raw_u32(b, 0); }
BAD(string_huge) { raw_head(b, 3, 0, 1); raw_key(b, "k", GGUF_STRING); raw_u64(b, UINT64_MAX - 7); raw_zeros(b, 64); }
BAD(string_limit) { raw_head(b, 3, 0, 1); raw_key(b, "k", GGUF_STRING); raw_u64(b, (1 << 20) + 1); raw_zeros(b, 64); }
BAD(string_cut) { raw_head(b, 3, 0, 1); raw_key(b, "k", GGUF_STRING); raw_u64(b, 65); raw_zeros(b, 64); }
BAD(template_limit)
{
    raw_head(b, 3, 0, 1);
    raw_key(b, "tokenizer.chat_template", GGUF_STRING);
    raw_u64(b, (4 << 20) + 1);
    raw_zeros(b, 64);
}
BAD(array_huge) { raw_head(b, 3, 0, 1); raw_array(b, "k", GGUF_U64, (uint64_t)1 << 61); raw_zeros(b, 64); }
BAD(array_max) { raw_head(b, 3, 0, 1); raw_array(b, "k", GGUF_U8, UINT64_MAX); raw_zeros(b, 64); }
BAD(array_one_more) { raw_head(b, 3, 0, 1); raw_array(b, "k", GGUF_F32, 17); raw_zeros(b, 67); }
BAD(array_type) { raw_head(b, 3, 0, 1); raw_array(b, "k", 99, 1); raw_zeros(b, 64); }
BAD(array_nested) { raw_head(b, 3, 0, 1); raw_array(b, "k", GGUF_ARRAY, 1); raw_zeros(b, 64); }
BAD(array_cut) { raw_head(b, 3, 0, 1); raw_key(b, "key", GGUF_ARRAY); raw_u64(b, 1); }
BAD(strings_huge) { raw_head(b, 3, 0, 1); raw_array(b, "k", GGUF_STRING, (uint64_t)1 << 61); raw_zeros(b, 64); }
BAD(strings_long) { raw_head(b, 3, 0, 1); raw_array(b, "k", GGUF_STRING, 2); raw_u64(b, 0); raw_u64(b, UINT64_MAX); }
BAD(strings_cut) { raw_head(b, 3, 0, 1); raw_array(b, "k", GGUF_STRING, 2); raw_u64(b, 8); raw_u64(b, 8); raw_u64(b, 9); }
BAD(alignment_0) { raw_head(b, 3, 0, 1); raw_kv_u32(b, "general.alignment", 0); }
BAD(alignment_3) { raw_head(b, 3, 0, 1); raw_kv_u32(b, "general.alignment", 3); }
BAD(alignment_131072) { raw_head(b, 3, 0, 1); raw_kv_u32(b, "general.alignment", 131072); }
BAD(alignment_huge) { raw_head(b, 3, 0, 1); raw_kv_u32(b, "general.alignment", 0x80000000); }
BAD(alignment_type) { raw_head(b, 3, 0, 1); raw_key(b, "general.alignment", GGUF_U64); raw_u64(b, 32); }

/* One tensor in a file with 1024 bytes of data. */
#define ONE_TENSOR(name, ne0, ne1, type, offset) \
    BAD(name) { raw_head(b, 3, 1, 0); raw_tensor(b, "w.weight", ne0, ne1, type, offset); raw_data(b, 1024); }

BAD(name_empty) { raw_head(b, 3, 1, 0); raw_tensor(b, "", 8, 1, 0, 0); raw_data(b, 1024); }
BAD(name_64)
{
    raw_head(b, 3, 1, 0);
    raw_tensor(b, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 8, 1, 0, 0);
    raw_data(b, 1024);
}
BAD(name_nul)
{
    raw_head(b, 3, 1, 0);
    size_t at = b->len;
    raw_tensor(b, "ab.weight", 8, 1, 0, 0);
    if (!b->bad) b->data[at + 9] = 0;
    raw_data(b, 1024);
}
BAD(name_twice)
{
    raw_head(b, 3, 2, 0);
    raw_tensor(b, "w", 8, 1, 0, 0);
    raw_tensor(b, "w", 8, 1, 0, 32);
    raw_data(b, 1024);
}
#define DIMS(name, n) \
    BAD(name) \
    { \
        raw_head(b, 3, 1, 0); \
        raw_str(b, "w"); \
        raw_u32(b, n); \
        for (unsigned i = 0; i < 6; i++) raw_u64(b, 8); \
        raw_u32(b, 0); \
        raw_u64(b, 0); \
        raw_data(b, 1024); \
    }
DIMS(dims_0, 0)
DIMS(dims_5, 5)
DIMS(dims_huge, 0xffffffff)
ONE_TENSOR(dim_zero, 8, 0, 0, 0)
ONE_TENSOR(row_zero, 0, 8, 0, 0)
ONE_TENSOR(dims_overflow, (uint64_t)1 << 33, (uint64_t)1 << 33, 0, 0)
ONE_TENSOR(dims_negative, UINT64_MAX, 1, 0, 0)
ONE_TENSOR(dims_wrap_to_small, ((uint64_t)1 << 62) + 1, 4, 24, 0)
ONE_TENSOR(bytes_overflow, (uint64_t)1 << 61, 1, 27, 0)
ONE_TENSOR(bytes_overflow_rows, (uint64_t)1 << 31, (uint64_t)1 << 31, 28, 0)
ONE_TENSOR(type_removed, 32, 1, 4, 0)
ONE_TENSOR(type_repacked, 32, 1, 31, 0)
ONE_TENSOR(type_unknown, 32, 1, 0xffffffff, 0)
ONE_TENSOR(row_not_blocks, 33, 1, 2, 0)
ONE_TENSOR(row_not_super_blocks, 128, 2, 12, 0)
ONE_TENSOR(offset_unaligned, 8, 1, 0, 8)
ONE_TENSOR(offset_beyond, 8, 1, 0, 2048)
ONE_TENSOR(offset_last, 9, 1, 0, 992)
ONE_TENSOR(offset_wraps, 8, 1, 0, UINT64_MAX - 31)
ONE_TENSOR(size_beyond, 257, 1, 0, 0)
ONE_TENSOR(size_beyond_by_far, (uint64_t)1 << 40, 1, 0, 0)
BAD(size_sum_overflow)
{
    raw_head(b, 3, 4, 0);
    for (unsigned i = 0; i < 4; i++) {
        char name[] = { (char)('a' + i), 0 };
        raw_tensor(b, name, (uint64_t)1 << 30, (uint64_t)1 << 30, 0, (uint64_t)i << 62);
    }
    raw_data(b, 1024);
}
BAD(overlap_same)
{
    raw_head(b, 3, 2, 0);
    raw_tensor(b, "a", 8, 1, 0, 64);
    raw_tensor(b, "b", 8, 1, 0, 64);
    raw_data(b, 1024);
}
BAD(overlap_part)
{
    raw_head(b, 3, 3, 0);
    raw_tensor(b, "a", 8, 1, 0, 128);
    raw_tensor(b, "b", 9, 1, 0, 96);
    raw_tensor(b, "c", 8, 1, 0, 0);
    raw_data(b, 1024);
}
BAD(float_unaligned)
{
    raw_head(b, 3, 1, 1);
    raw_kv_u32(b, "general.alignment", 1);
    raw_tensor(b, "w", 8, 1, 0, (b->len + 41) % 4 == 3 ? 1 : 0);
    raw_zeros(b, 64);
    if (!b->bad && b->len % 4 == 0) buf_putc(b, 0);
}
BAD(tensor_cut) { raw_head(b, 3, 1, 0); raw_tensor(b, "weight", 8, 1, 0, 0); b->len -= 3; }
BAD(tensor_dims_cut) { raw_head(b, 3, 1, 0); raw_str(b, "weight.w"); raw_u32(b, 4); raw_u64(b, 1); raw_zeros(b, 7); }
BAD(no_data) { raw_head(b, 3, 1, 0); raw_tensor(b, "w", 8, 1, 0, 0); }

struct hostile {
    const char *name;
    void (*make)(struct buf *b);
    int code;
    const char *says;                       /* a part of the message */
};

#define ROW(name, code, says) { #name, bad_##name, code, says }
static const struct hostile hostile[] = {
    ROW(empty, ERR_FORMAT, "empty"),
    ROW(three_bytes, ERR_FORMAT, "only 3 bytes"),
    ROW(magic_only, ERR_FORMAT, "byte 4: the file ends inside the version"),
    ROW(version_cut, ERR_FORMAT, "byte 6: the file ends inside the version"),
    ROW(counts_cut, ERR_FORMAT, "ends inside the counts"),
    ROW(version_0, ERR_FORMAT, "version 0"),
    ROW(version_1, ERR_UNSUPPORTED, "version 1"),
    ROW(version_4, ERR_UNSUPPORTED, "version 4 is newer"),
    ROW(big_endian, ERR_UNSUPPORTED, "big-endian"),
    ROW(many_tensors, ERR_LIMIT, "byte 8: 18446744073709551615 tensors"),
    ROW(negative_tensors, ERR_LIMIT, "tensors"),
    ROW(limit_tensors, ERR_LIMIT, "65537 tensors, the limit is 65536"),
    ROW(tensors_not_there, ERR_FORMAT, "65536 tensors do not fit"),
    ROW(many_keys, ERR_LIMIT, "byte 16: "),
    ROW(limit_keys, ERR_LIMIT, "65537 keys, the limit is 65536"),
    ROW(keys_not_there, ERR_FORMAT, "65536 keys do not fit"),
    ROW(key_length, ERR_LIMIT, "byte 24: key number 1: the name of the key has 18446744073709551615 bytes"),
    ROW(key_256, ERR_LIMIT, "has 256 bytes"),
    ROW(key_empty, ERR_FORMAT, "is empty"),
    ROW(key_control, ERR_FORMAT, "control characters"),
    ROW(key_cut, ERR_FORMAT, "the file ends inside the name of the key"),
    ROW(key_twice, ERR_FORMAT, "key 'a.b': the key occurs twice"),
    ROW(value_type, ERR_FORMAT, "byte 33: key 'k': unknown value type 13"),
    ROW(value_type_huge, ERR_FORMAT, "unknown value type 2147483648"),
    ROW(value_cut, ERR_FORMAT, "key 'key': the file ends inside the value"),
    ROW(string_huge, ERR_LIMIT, "key 'k': the value has"),
    ROW(string_limit, ERR_LIMIT, "the value has 1048577 bytes"),
    ROW(string_cut, ERR_FORMAT, "the file ends inside the value"),
    ROW(template_limit, ERR_LIMIT, "has 4194305 bytes, the limit is 4194304"),
    ROW(array_huge, ERR_FORMAT, "2305843009213693952 elements does not fit"),
    ROW(array_max, ERR_FORMAT, "18446744073709551615 elements does not fit"),
    ROW(array_one_more, ERR_FORMAT, "17 elements does not fit"),
    ROW(array_type, ERR_FORMAT, "unknown element type 99"),
    ROW(array_nested, ERR_UNSUPPORTED, "arrays of arrays"),
    ROW(array_cut, ERR_FORMAT, "ends inside an array"),
    ROW(strings_huge, ERR_FORMAT, "does not fit"),
    ROW(strings_long, ERR_LIMIT, "string 1 of the array has 18446744073709551615 bytes"),
    ROW(strings_cut, ERR_FORMAT, "ends inside an array of strings"),
    ROW(alignment_0, ERR_FORMAT, "key 'general.alignment': alignment 0"),
    ROW(alignment_3, ERR_FORMAT, "alignment 3"),
    ROW(alignment_131072, ERR_FORMAT, "alignment 131072"),
    ROW(alignment_huge, ERR_FORMAT, "alignment 2147483648"),
    ROW(alignment_type, ERR_FORMAT, "key 'general.alignment': must be an unsigned 32-bit number"),
    ROW(name_empty, ERR_FORMAT, "tensor number 1: the name of the tensor is empty"),
    ROW(name_64, ERR_LIMIT, "has 64 bytes, the limit is 63"),
    ROW(name_nul, ERR_FORMAT, "control characters"),
    ROW(name_twice, ERR_FORMAT, "tensor 'w': the name occurs twice"),
    ROW(dims_0, ERR_FORMAT, "tensor 'w': 0 dimensions"),
    ROW(dims_5, ERR_FORMAT, "5 dimensions"),
    ROW(dims_huge, ERR_FORMAT, "4294967295 dimensions"),
    ROW(dim_zero, ERR_FORMAT, "dimension 1 is zero"),
    ROW(row_zero, ERR_FORMAT, "dimension 0 is zero"),
    ROW(dims_overflow, ERR_FORMAT, "the number of elements overflows"),
    ROW(dims_negative, ERR_FORMAT, "the number of elements overflows"),
    ROW(dims_wrap_to_small, ERR_FORMAT, "the number of elements overflows"),
    ROW(bytes_overflow, ERR_FORMAT, "the size in bytes overflows"),
    ROW(bytes_overflow_rows, ERR_FORMAT, "the size in bytes overflows"),
    ROW(type_removed, ERR_UNSUPPORTED, "tensor 'w.weight': unknown tensor type 4"),
    ROW(type_repacked, ERR_UNSUPPORTED, "withdrawn"),
    ROW(type_unknown, ERR_UNSUPPORTED, "unknown tensor type 4294967295"),
    ROW(row_not_blocks, ERR_FORMAT, "rows of 33 values are not whole blocks of 32 (type Q4_0)"),
    ROW(row_not_super_blocks, ERR_FORMAT, "rows of 128 values"),
    ROW(offset_unaligned, ERR_FORMAT, "offset 8 is not a multiple of the alignment 32"),
    ROW(offset_beyond, ERR_FORMAT, "cut off"),
    ROW(offset_last, ERR_FORMAT, "cut off"),
    ROW(offset_wraps, ERR_FORMAT, "overflows"),
    ROW(size_beyond, ERR_FORMAT, "its data ends at byte 1124 but the file has only 1120"),
    ROW(size_beyond_by_far, ERR_FORMAT, "cut off"),
    ROW(size_sum_overflow, ERR_FORMAT, "tensor 'a'"),
    ROW(overlap_same, ERR_FORMAT, "overlaps"),
    ROW(overlap_part, ERR_FORMAT, "tensor 'a': its data overlaps that of 'b'"),
    ROW(float_unaligned, ERR_UNSUPPORTED, "not aligned"),
    ROW(tensor_cut, ERR_FORMAT, "ends inside the offset of a tensor"),
    ROW(tensor_dims_cut, ERR_FORMAT, "ends inside the dimensions"),
    ROW(no_data, ERR_FORMAT, "cut off"),
};
#undef ROW
enum { N_HOSTILE = sizeof hostile / sizeof *hostile };

#endif
