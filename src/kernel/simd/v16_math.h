/* v16_math.h - exponential functions over v16; include one v16_*.h first.
 *
 * exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; exp(r) - 1 is a polynomial fitted for the least relative error.
 * Errors in units of the last place of the result, measured over every fifth float (exp, tanh, sigmoid) or a grid: exp 1.05;
 * tanh 2.5; sigmoid 2.5 for x > -87 (0 below -89); of max(|y|, 2^-6 |x|): silu 2.5, gelu_tanh 5, gelu_erf 7.
 * A NaN gives a NaN. */
#ifndef HEARTH_KERNEL_V16_MATH_H
#define HEARTH_KERNEL_V16_MATH_H

/* exp(r) - 1 where x = n ln 2 + r */
static inline v16 v16_expm1_part(v16 x, v16 *n)
{
    const v16 shift = v16_set1(0x1.8p23f);                    /* adding it leaves no bits for a fraction */
    *n = v16_sub(v16_fma(x, v16_set1(0x1.715476p0f), shift), shift);
    v16 r = v16_fma(*n, v16_set1(-0x1.62e43p-1f), x);
    r = v16_fma(*n, v16_set1(0x1.05c61p-29f), r);
    v16 p = v16_set1(0x1.6d625ep-10f);
    p = v16_fma(p, r, v16_set1(0x1.122974p-7f));
    p = v16_fma(p, r, v16_set1(0x1.5554d6p-5f));
    p = v16_fma(p, r, v16_set1(0x1.5554aep-3f));
    p = v16_fma(p, r, v16_set1(0.5f));
    return v16_fma(p, v16_mul(r, r), r);
}

/* Beyond the limits the result is 0 or infinite anyway. */
static inline v16 v16_exp(v16 x)
{
    v16 n;
    x = v16_min(v16_set1(89.0f), v16_max(v16_set1(-104.0f), x));
    v16 p = v16_expm1_part(x, &n);
    return v16_ldexp(v16_add(v16_set1(1.0f), p), n);
}

/* (e - 1) / (e + 1) with e = exp(2 |x|); e - 1 keeps its precision near 0 */
static inline v16 v16_tanh(v16 x)
{
    v16 n, a = v16_abs(x), one = v16_set1(1.0f);
    v16 p = v16_expm1_part(v16_min(v16_set1(40.0f), v16_add(a, a)), &n);
    v16 s = v16_ldexp(one, n);
    v16 t = v16_fma(p, s, v16_sub(s, one));
    return v16_copysign(v16_div(t, v16_add(t, v16_set1(2.0f))), x);
}

static inline v16 v16_sigmoid(v16 x)
{
    v16 one = v16_set1(1.0f);
    return v16_div(one, v16_add(one, v16_exp(v16_neg(x))));
}

/* x * sigmoid(z) for z of x's sign; 0 where x is -infinite */
static inline v16 v16_gate(v16 x, v16 z)
{
    return v16_div(v16_max(v16_set1(-1e30f), x), v16_add(v16_set1(1.0f), v16_exp(v16_neg(z))));
}

static inline v16 v16_silu(v16 x) { return v16_gate(x, x); }

/* 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
static inline v16 v16_gelu_tanh(v16 x)
{
    v16 c = v16_fma(v16_mul(x, x), v16_set1(0.0713548162726009f), v16_set1(1.5957691216057308f));
    return v16_gate(x, v16_mul(x, c));
}

/* x Phi(x); erfc(z) = exp(-z^2) t q(t) with t = 1 / (1 + 0.4 z), relative error 7e-8 for 0 <= z <= 10.3 */
static inline v16 v16_gelu_erf(v16 x)
{
    v16 c = v16_min(v16_set1(20.0f), v16_max(v16_set1(-20.0f), x));
    v16 z = v16_mul(v16_abs(c), v16_set1(0.7071067811865476f));
    v16 t = v16_div(v16_set1(1.0f), v16_fma(z, v16_set1(0.4f), v16_set1(1.0f)));
    v16 q = v16_set1(0x1.564bc2p-5f);
    q = v16_fma(q, t, v16_set1(-0x1.24b312p-3f));
    q = v16_fma(q, t, v16_set1(0x1.6e2decp-4f));
    q = v16_fma(q, t, v16_set1(0x1.4ec1cap-4f));
    q = v16_fma(q, t, v16_set1(0x1.58759ep-4f));
    q = v16_fma(q, t, v16_set1(0x1.884162p-3f));
    q = v16_fma(q, t, v16_set1(0x1.9e72c8p-3f));
    q = v16_fma(q, t, v16_set1(0x1.cf9decp-3f));
    q = v16_fma(q, t, v16_set1(0x1.ce1b6ap-3f));
    v16 half = v16_mul(v16_set1(0.5f), c);
    v16 e = v16_mul(v16_mul(q, t), v16_exp(v16_mul(v16_neg(half), c)));
    v16 y = v16_mul(half, e);                                 /* c * Phi(-|c|) */
    return v16_pick(x, v16_set1(0.0f), y, v16_sub(x, y));
}

#endif
