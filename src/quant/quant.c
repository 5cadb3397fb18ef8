#include "quant/quant.h"

#include "base/cpu.h"
#include "quant/pack.h"

#define KERNEL(need, name) extern const struct packers name;
#include "quant/kernels.inc"
#undef KERNEL

static const struct { uint32_t need; const struct packers *packers; } variant[] = {
#define KERNEL(need, name) { need, &name },
#include "quant/kernels.inc"
#undef KERNEL
};

const struct packers *pack_select(uint32_t cpu)
{
    size_t i = 0;
    while (variant[i].need & ~cpu) i++;
    return variant[i].packers;
}

static unpack_fn *const unpacker[N_DTYPE] = {
#define ROW(T, t) [DT_##T] = unpack_##t,
    ROW(F32, f32) ROW(F16, f16) ROW(BF16, bf16) ROW(Q4_0, q4_0) ROW(Q4_1, q4_1) ROW(Q5_0, q5_0) ROW(Q5_1, q5_1) ROW(Q8_0, q8_0)
    ROW(Q8_1, q8_1) ROW(Q1_0, q1_0) ROW(Q2_0, q2_0) ROW(Q2_K, q2_k) ROW(Q3_K, q3_k) ROW(Q4_K, q4_k) ROW(Q5_K, q5_k)
    ROW(Q6_K, q6_k) ROW(Q8_K, q8_k) ROW(IQ1_S, iq1_s) ROW(IQ1_M, iq1_m) ROW(IQ2_XXS, iq2_xxs) ROW(IQ2_XS, iq2_xs)
    ROW(IQ2_S, iq2_s) ROW(IQ3_XXS, iq3_xxs) ROW(IQ3_S, iq3_s) ROW(IQ4_NL, iq4_nl) ROW(IQ4_XS, iq4_xs) ROW(TQ1_0, tq1_0)
    ROW(TQ2_0, tq2_0) ROW(MXFP4, mxfp4) ROW(NVFP4, nvfp4)
};

unpack_fn *quant_unpack(enum dtype t) { return unpacker[t]; }
pack_fn *quant_pack(enum dtype t) { return pack_select(cpu_features())->of[t].plain; }
pack_weighted_fn *quant_pack_weighted(enum dtype t) { return pack_select(cpu_features())->of[t].weighted; }
