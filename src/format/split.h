/* split.h - a quantised matrix as checkpoints keep it: codes, scales and offsets in places of their own.
 *
 * The data of a tensor of a SPLIT type (dtype.def) is one of these, in memory; of a stack of experts, slice[e] is.  All bytes
 * belong to the mapped files.  Value (r, c) of a matrix of rows x cols, with g = c / group:
 *   AFFINEb     scale[r][g] * q + bias[r][g]            q: bits [c * b, c * b + b) of the row's stream, lowest first;
 *                                                       bias NULL: scale[r][g] * (q - 2^(b - 1))
 *   MXFP4_ROWS  2^(scale[r][g] - 127) * E2M1(q)         4-bit codes, low half of a byte first
 *   MXFP8_ROWS  2^(scale[r][g] - 127) * E4M3(q)
 *   NVFP4_ROWS  E4M3(scale[r][g]) * E2M1(q) * factor
 *   F8_E4M3     E4M3(q) * scale[r / scale_rows][g]      scale NULL: 1
 *   AWQ4        (q - zero[g][r]) * scale[g][r]          codes [c][r / 8], zeros [g][r / 8] in words of eight, interleaved
 *   GPTQb       (q - zero[g][r]) * scale[g][r]          codes in words [c * b / 32][r], a stream of b bits for each r, low
 *                                                       bits first; zeros [g][r * b / 32]; g = index[c] where there is one
 *   INT8_ROWS   scale[r][g] * factor * q                q: signed bytes
 *   NF4_ROWS    scale[r][g] * table[q]                  4-bit codes, high half of a byte first; bias is the table, F32 [16]
 * Sources: mlx_format and safetensors specs.   Threads: immutable. */
#ifndef HEARTH_FORMAT_SPLIT_H
#define HEARTH_FORMAT_SPLIT_H

#include <stdint.h>

#include "format/dtype.h"

struct split {
    enum dtype type;
    enum dtype number;                /* of scales and offsets that are floats: F32, F16, BF16 */
    const uint8_t *code, *scale;
    const uint8_t *bias;              /* AFFINE: offsets, or NULL; AWQ, GPTQ: zeros; NF4: the table */
    const uint8_t *index;             /* GPTQ: i32 [cols], or NULL */
    uint64_t rows, cols;
    uint64_t code_row, scale_row;     /* bytes from one row of codes, of scales, to the next */
    uint32_t group, scale_rows;
    uint32_t zero_add;                /* GPTQ: what is added to a stored zero */
    float factor;
};

#endif
