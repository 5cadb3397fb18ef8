#include "kernel/matmul/matmul.h"

#include <stdbool.h>
#include <string.h>

#include "base/cpu.h"
#include "kernel/matmul/act.h"
#include "kernel/matmul/kernel.h"
#include "kernel/matmul/wide.h"
#include "quant/split_codes.h"

static const struct { uint32_t need; enum dtype type; const struct matmul_kernel *kernel; } kernels[] = {
#define KERNEL(features, type, symbol) { features, type, &symbol },
#include "kernel/matmul/kernels.inc"
#undef KERNEL
};

static const struct { uint32_t need; act_pack_fn *fn; } packers[] = {
#define ACT(features, name) { features, name },
#include "kernel/matmul/acts.inc"
#undef ACT
};

static const struct { uint32_t need; wide_pack_fn *fn; } wide_packers[] = {
#define WIDE(features, name) { features, name },
#include "kernel/matmul/wides.inc"
#undef WIDE
};

static const struct matmul_kernel *find(enum dtype type, const void *w, uint32_t cpu)
{
    const bool plain = dtype_info(type)->family == DTF_SPLIT && w && !split_has_codes(w);
    size_t i = 0;                                 /* the last row fits everything */
    while ((kernels[i].type != type && kernels[i].type != N_DTYPE) || (kernels[i].need & ~cpu) ||
           (plain && kernels[i].kernel->form != ACT_F32)) i++;
    return kernels[i].kernel;
}

enum act_form matmul_act_form(enum dtype type, const void *w)
{
    return find(type, w, 0)->form;
}

size_t act_row_bytes(enum act_form form, size_t K)
{
    if (form == ACT_F32) return (K * sizeof(float) + 63) / 64 * 64;
    size_t n = (K + ACT_COLS - 1) / ACT_COLS * (form == ACT_Q16 ? sizeof(struct act_wide) : sizeof(struct act_block));
    return n | 64;            /* an odd number of cache lines: rows side by side do not compete for the same sets */
}

void act_pack(enum act_form form, const float *x, void *out, size_t K, uint32_t cpu)
{
    if (form == ACT_F32) {
        memcpy(out, x, K * sizeof *x);
        return;
    }
    size_t i = 0;
    if (form == ACT_Q16) {
        while (wide_packers[i].need & ~cpu) i++;
        wide_packers[i].fn(x, out, K);
        return;
    }
    while (packers[i].need & ~cpu) i++;
    packers[i].fn(x, out, K, form == ACT_Q32 ? ACT_S_Q32 : ACT_S_Q256);
}

void matmul_init(struct matmul *m, enum dtype type, const void *w, size_t R, size_t K, uint32_t cpu)
{
    const struct dtype_info *info = dtype_info(type);
    *m = (struct matmul){
        .type = type,
        .w = w,
        .row_bytes = info->family == DTF_SPLIT ? 0 : K / info->block_values * info->block_bytes,
        .R = R,
        .K = K,
        .kernel = find(type, w, cpu),
    };
}

size_t matmul_scratch(const struct matmul *m, size_t T)
{
    return m->kernel->scratch ? m->kernel->scratch(m, T) : 0;
}

void matmul_rows(const struct matmul_job *j, size_t r0, size_t r1)
{
    if (r0 < r1) j->m->kernel->rows(j, r0, r1);
}
