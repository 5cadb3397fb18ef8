#include "quant/recipe.h"

#include "tests/testing.h"

static struct gguf_tensor tensor(const char *name, uint32_t n_dims, uint64_t n)
{
    uint64_t rows = n_dims > 1 ? 512 : 1, parts = n_dims > 2 ? 8 : 1;
    return (struct gguf_tensor){ .name = name, .type = DT_F16, .n_dims = n_dims, .ne = { n, rows, parts, 1 } };
}

static const struct recipe_model dense = { .arch = "llama", .n_layer = 32, .gqa = 4, .n_attn_v = 32 };
static const struct recipe_model plain = { .arch = "llama", .n_layer = 32, .gqa = 1, .n_attn_v = 32, .tied = true };
static const struct recipe_model eight = { .arch = "llama", .n_layer = 32, .gqa = 4, .n_attn_v = 32, .n_expert = 8 };
static const struct recipe_model weighted = { .arch = "llama", .n_layer = 32, .gqa = 4, .n_attn_v = 32, .imatrix = true };
static const struct recipe_model large = { .arch = "llama", .n_layer = 80, .gqa = 8, .n_attn_v = 80 };
static const struct recipe_model falcon = { .arch = "falcon", .n_layer = 32, .gqa = 1, .n_attn_v = 32 };

static const struct {
    const char *recipe;
    const struct recipe_model *m;
    const char *name;
    uint32_t v;                    /* attn_v tensors before it */
    enum dtype want;
} row[] = {
    { "Q4_K_M", &dense, "output.weight", 0, DT_Q6_K },
    { "Q4_K_M", &dense, "token_embd.weight", 0, DT_Q4_K },
    { "Q4_K_M", &plain, "token_embd.weight", 0, DT_Q6_K },
    { "Q4_K_M", &dense, "blk.3.attn_q.weight", 3, DT_Q4_K },
    { "Q4_K_M", &dense, "blk.3.attn_v.weight", 3, DT_Q6_K },         /* the first eighth */
    { "Q4_K_M", &dense, "blk.4.attn_v.weight", 4, DT_Q4_K },
    { "Q4_K_M", &dense, "blk.6.attn_v.weight", 6, DT_Q6_K },         /* every third */
    { "Q4_K_M", &dense, "blk.28.ffn_down.weight", 28, DT_Q6_K },     /* the last eighth */
    { "Q4_K_M", &dense, "blk.26.ffn_down.weight", 26, DT_Q4_K },
    { "Q4_K_M", &eight, "blk.4.attn_k.weight", 4, DT_Q8_0 },
    { "Q4_K_M", &eight, "blk.4.attn_v.weight", 4, DT_Q8_0 },
    { "Q4_K_M", &eight, "blk.4.attn_output.weight", 4, DT_Q5_K },
    { "q4_k_m", &large, "blk.40.attn_v.weight", 40, DT_Q5_K },
    { "Q5_K_M", &dense, "blk.0.ffn_down.weight", 0, DT_Q6_K },
    { "Q5_K_S", &dense, "blk.0.ffn_down.weight", 0, DT_Q5_K },
    { "Q4_K_S", &dense, "blk.3.attn_v.weight", 3, DT_Q5_K },
    { "Q4_K_S", &dense, "blk.4.ffn_down.weight", 4, DT_Q4_K },
    { "Q4_K_S", &dense, "blk.3.ffn_down.weight", 4, DT_Q5_K },
    { "Q3_K_M", &dense, "blk.1.ffn_down.weight", 0, DT_Q5_K },
    { "Q3_K_M", &dense, "blk.2.ffn_down.weight", 0, DT_Q4_K },
    { "Q3_K_M", &dense, "blk.2.attn_output.weight", 0, DT_Q4_K },
    { "Q3_K_M", &dense, "blk.2.ffn_up.weight", 0, DT_Q3_K },
    { "Q3_K_L", &dense, "blk.9.attn_v.weight", 9, DT_Q5_K },
    { "Q3_K_S", &dense, "blk.9.attn_v.weight", 9, DT_Q3_K },
    { "Q2_K", &dense, "blk.9.attn_v.weight", 9, DT_Q4_K },
    { "Q2_K", &plain, "blk.9.attn_v.weight", 9, DT_Q3_K },
    { "Q2_K", &dense, "blk.9.ffn_down.weight", 9, DT_Q3_K },
    { "Q2_K_S", &dense, "blk.9.ffn_down.weight", 9, DT_Q2_K },
    { "Q6_K", &dense, "output.weight", 0, DT_Q6_K },
    { "Q8_0", &dense, "output.weight", 0, DT_Q8_0 },
    { "Q8_0", &plain, "token_embd.weight", 0, DT_Q8_0 },
    { "F16", &plain, "token_embd.weight", 0, DT_F16 },
    { "BF16", &dense, "output.weight", 0, DT_BF16 },
    { "Q4_0", &falcon, "output.weight", 0, DT_Q8_0 },
    { "Q4_0", &weighted, "blk.1.ffn_down.weight", 0, DT_Q4_1 },
    { "Q4_0", &dense, "blk.1.ffn_down.weight", 0, DT_Q4_0 },
    { "Q5_0", &weighted, "blk.1.ffn_down.weight", 0, DT_Q5_1 },
    { "IQ4_XS", &dense, "blk.1.ffn_down.weight", 0, DT_Q5_K },
    { "IQ4_XS", &weighted, "blk.1.ffn_down.weight", 0, DT_IQ4_XS },
    { "IQ4_NL", &dense, "blk.20.attn_v.weight", 20, DT_Q5_K },
    { "IQ3_XXS", &weighted, "blk.1.attn_k.weight", 1, DT_IQ2_S },
    { "IQ3_XXS", &weighted, "blk.1.attn_output.weight", 1, DT_IQ3_S },
    { "IQ3_XXS", &dense, "blk.20.ffn_down.weight", 1, DT_Q3_K },
    { "IQ3_XS", &weighted, "blk.4.ffn_gate.weight", 0, DT_IQ3_XXS },
    { "IQ3_XS", &weighted, "blk.3.ffn_gate.weight", 0, DT_IQ3_S },
    { "IQ3_M", &weighted, "blk.3.ffn_down.weight", 0, DT_Q4_K },
    { "IQ3_S", &weighted, "token_embd.weight", 0, DT_IQ3_S },
    { "IQ2_M", &weighted, "blk.3.ffn_up.weight", 0, DT_IQ2_S },
    { "IQ2_M", &weighted, "blk.3.attn_output.weight", 0, DT_IQ3_S },
    { "IQ2_S", &weighted, "blk.9.attn_k.weight", 0, DT_IQ2_XS },
    { "IQ2_XS", &weighted, "blk.9.attn_v.weight", 0, DT_Q4_K },
    { "IQ2_XXS", &weighted, "token_embd.weight", 0, DT_Q2_K },
    { "IQ2_XXS", &weighted, "output.weight", 0, DT_Q5_K },
    { "IQ1_S", &weighted, "blk.9.attn_output.weight", 0, DT_IQ2_XXS },
    { "IQ1_M", &weighted, "blk.3.ffn_down.weight", 0, DT_Q2_K },
    { "TQ1_0", &dense, "token_embd.weight", 0, DT_Q4_K },
    { "TQ2_0", &dense, "blk.0.attn_q.weight", 0, DT_TQ2_0 },
    { "NVFP4", &dense, "blk.0.attn_q.weight", 0, DT_NVFP4 },
    { "MXFP4", &eight, "blk.0.attn_q.weight", 0, DT_Q8_0 },
};

static void rules_choose_what_the_field_chooses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        enum recipe_id r;
        bool fallback;
        struct gguf_tensor t = tensor(row[i].name, 2, 1024);
        assert_int_equal(recipe_find(&r, row[i].recipe, NULL), 0);
        enum dtype got = recipe_type(r, row[i].m, &t, row[i].v, &fallback);
        if (got != row[i].want)
            fail_msg("%s %s: %s, expected %s", row[i].recipe, row[i].name, dtype_info(got)->name, dtype_info(row[i].want)->name);
        assert_false(fallback);
    }
    struct gguf_tensor experts = tensor("blk.0.ffn_up_exps.weight", 3, 1024);
    assert_int_equal(recipe_type(RECIPE_MXFP4_MOE, &eight, &experts, 0, NULL), DT_MXFP4);
}

static void rows_that_do_not_fit_get_smaller_blocks(void **state)
{
    (void)state;
    static const struct { enum recipe_id r; uint64_t n; enum dtype want; } f[] = {
        { RECIPE_Q4_K_M, 576, DT_Q5_0 }, { RECIPE_Q5_K_S, 576, DT_Q5_1 }, { RECIPE_Q6_K, 576, DT_Q8_0 },
        { RECIPE_Q2_K_S, 576, DT_Q4_0 },
        { RECIPE_Q3_K_S, 576, DT_Q4_0 }, { RECIPE_IQ4_XS, 576, DT_IQ4_NL }, { RECIPE_IQ3_S, 576, DT_IQ4_NL },
        { RECIPE_TQ1_0, 576, DT_Q4_0 }, { RECIPE_NVFP4, 544, DT_Q4_0 }, { RECIPE_Q1_0, 576, DT_Q4_0 },
        { RECIPE_Q4_K_S, 172, DT_F16 },
        { RECIPE_Q8_0, 172, DT_F16 },
    };
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        struct gguf_tensor t = tensor("blk.9.ffn_up.weight", 2, f[i].n);
        bool fallback = false;
        enum dtype got = recipe_type(f[i].r, &dense, &t, 0, &fallback);
        if (got != f[i].want || !fallback) fail_msg("%s, rows of %llu: %s", recipe_at(f[i].r)->name, (unsigned long long)f[i].n,
                                                    dtype_info(got)->name);
    }
}

static void some_tensors_are_kept(void **state)
{
    (void)state;
    static const char *const kept[] = { "blk.0.attn_q_norm.weight", "blk.0.ffn_gate_inp.weight", "position_embd.weight",
                                        "blk.0.ssm_conv1d.weight", "blk.0.attn_q.bias", "token_types.weight" };
    static const char *const packed[] = { "token_embd.weight", "output.weight", "blk.0.attn_q.weight", "blk.0.ffn_gate.weight",
                                          "blk.0.ffn_gate_exps.weight" };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        struct gguf_tensor t = tensor(kept[i], 2, 256);
        if (!recipe_keeps(&t)) fail_msg("%s", kept[i]);
    }
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        struct gguf_tensor t = tensor(packed[i], 2, 256), v = tensor(packed[i], 1, 256);
        if (recipe_keeps(&t) || !recipe_keeps(&v)) fail_msg("%s", packed[i]);
    }
}

static void small_types_ask_for_an_imatrix(void **state)
{
    (void)state;
    assert_true(recipe_needs_imatrix(RECIPE_IQ2_XXS, "blk.0.ffn_up.weight", DT_IQ2_XXS));
    assert_true(recipe_needs_imatrix(RECIPE_Q2_K_S, "blk.0.ffn_up.weight", DT_Q2_K));
    assert_false(recipe_needs_imatrix(RECIPE_Q2_K, "blk.0.ffn_up.weight", DT_Q2_K));
    assert_false(recipe_needs_imatrix(RECIPE_Q2_K_S, "token_embd.weight", DT_Q2_K));
    assert_false(recipe_needs_imatrix(RECIPE_IQ3_S, "blk.0.ffn_up.weight", DT_IQ3_S));
}

static void unknown_names_are_answered(void **state)
{
    (void)state;
    enum recipe_id r;
    struct err err;
    assert_int_equal(recipe_find(&r, "Q4_K_X", &err), ERR_ARG);
    assert_non_null(strstr(err.msg, "Q4_K_M"));
    assert_non_null(strstr(err.msg, "Q4_K_X"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_choose_what_the_field_chooses), cmocka_unit_test(rows_that_do_not_fit_get_smaller_blocks),
        cmocka_unit_test(some_tensors_are_kept),               cmocka_unit_test(small_types_ask_for_an_imatrix),
        cmocka_unit_test(unknown_names_are_answered),
    };
    return run_tests(tests);
}
