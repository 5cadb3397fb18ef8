/* avx512_names.h - puts the emulated functions in the place of the intrinsics (rows in order of name). */
#undef _mm256_dpbusd_epi32
#define _mm256_dpbusd_epi32 emu256_dpbusd_epi32
#undef _mm256_mask_storeu_epi16
#define _mm256_mask_storeu_epi16 emu256_mask_storeu_epi16
#undef _mm256_maskz_loadu_epi16
#define _mm256_maskz_loadu_epi16 emu256_maskz_loadu_epi16
#undef _mm512_abs_ps
#define _mm512_abs_ps emu_abs_ps
#undef _mm512_add_epi16
#define _mm512_add_epi16 emu_add_epi16
#undef _mm512_add_epi32
#define _mm512_add_epi32 emu_add_epi32
#undef _mm512_add_epi8
#define _mm512_add_epi8 emu_add_epi8
#undef _mm512_add_ps
#define _mm512_add_ps emu_add_ps
#undef _mm512_and_ps
#define _mm512_and_ps emu_and_ps
#undef _mm512_and_si512
#define _mm512_and_si512 emu_and_si512
#undef _mm512_andnot_ps
#define _mm512_andnot_ps emu_andnot_ps
#undef _mm512_andnot_si512
#define _mm512_andnot_si512 emu_andnot_si512
#undef _mm512_broadcast_f32x4
#define _mm512_broadcast_f32x4 emu_broadcast_f32x4
#undef _mm512_broadcast_i32x4
#define _mm512_broadcast_i32x4 emu_broadcast_i32x4
#undef _mm512_broadcast_i64x4
#define _mm512_broadcast_i64x4 emu_broadcast_i64x4
#undef _mm512_broadcastd_epi32
#define _mm512_broadcastd_epi32 emu_broadcastd_epi32
#undef _mm512_broadcastq_epi64
#define _mm512_broadcastq_epi64 emu_broadcastq_epi64
#undef _mm512_castps512_ps256
#define _mm512_castps512_ps256 emu_castps512_ps256
#undef _mm512_castps_si512
#define _mm512_castps_si512 emu_castps_si512
#undef _mm512_castsi128_si512
#define _mm512_castsi128_si512 emu_castsi128_si512
#undef _mm512_castsi256_si512
#define _mm512_castsi256_si512 emu_castsi256_si512
#undef _mm512_castsi512_ps
#define _mm512_castsi512_ps emu_castsi512_ps
#undef _mm512_castsi512_si128
#define _mm512_castsi512_si128 emu_castsi512_si128
#undef _mm512_castsi512_si256
#define _mm512_castsi512_si256 emu_castsi512_si256
#undef _mm512_cmp_ps_mask
#define _mm512_cmp_ps_mask emu_cmp_ps_mask
#undef _mm512_cvtepi16_epi32
#define _mm512_cvtepi16_epi32 emu_cvtepi16_epi32
#undef _mm512_cvtepi16_epi8
#define _mm512_cvtepi16_epi8 emu_cvtepi16_epi8
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16 emu_cvtepi32_epi16
#undef _mm512_cvtepi32_epi8
#define _mm512_cvtepi32_epi8 emu_cvtepi32_epi8
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps emu_cvtepi32_ps
#undef _mm512_cvtepi8_epi16
#define _mm512_cvtepi8_epi16 emu_cvtepi8_epi16
#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32 emu_cvtepi8_epi32
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32 emu_cvtepu16_epi32
#undef _mm512_cvtepu8_epi16
#define _mm512_cvtepu8_epi16 emu_cvtepu8_epi16
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32 emu_cvtepu8_epi32
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps emu_cvtph_ps
#undef _mm512_cvtps_epi32
#define _mm512_cvtps_epi32 emu_cvtps_epi32
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(v, r) emu_cvtps_ph(v)
#undef _mm512_cvtsepi32_epi8
#define _mm512_cvtsepi32_epi8 emu_cvtsepi32_epi8
#undef _mm512_cvtss_f32
#define _mm512_cvtss_f32 emu_cvtss_f32
#undef _mm512_cvttps_epi32
#define _mm512_cvttps_epi32 emu_cvttps_epi32
#undef _mm512_div_ps
#define _mm512_div_ps emu_div_ps
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32 emu_dpbusd_epi32
#undef _mm512_dpwssd_epi32
#define _mm512_dpwssd_epi32 emu_dpwssd_epi32
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps emu_extractf32x8_ps
#undef _mm512_extracti32x4_epi32
#define _mm512_extracti32x4_epi32 emu_extracti32x4_epi32
#undef _mm512_extracti64x4_epi64
#define _mm512_extracti64x4_epi64 emu_extracti64x4_epi64
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps emu_fmadd_ps
#undef _mm512_fnmadd_ps
#define _mm512_fnmadd_ps emu_fnmadd_ps
#undef _mm512_inserti32x4
#define _mm512_inserti32x4 emu_inserti32x4
#undef _mm512_inserti64x4
#define _mm512_inserti64x4 emu_inserti64x4
#undef _mm512_loadu_ps
#define _mm512_loadu_ps emu_loadu_ps
#undef _mm512_loadu_si512
#define _mm512_loadu_si512 emu_loadu_si512
#undef _mm512_madd_epi16
#define _mm512_madd_epi16 emu_madd_epi16
#undef _mm512_maddubs_epi16
#define _mm512_maddubs_epi16 emu_maddubs_epi16
#undef _mm512_mask_add_epi8
#define _mm512_mask_add_epi8 emu_mask_add_epi8
#undef _mm512_mask_blend_epi64
#define _mm512_mask_blend_epi64 emu_mask_blend_epi64
#undef _mm512_mask_blend_ps
#define _mm512_mask_blend_ps emu_mask_blend_ps
#undef _mm512_mask_mov_ps
#define _mm512_mask_mov_ps emu_mask_mov_ps
#undef _mm512_mask_storeu_epi32
#define _mm512_mask_storeu_epi32 emu_mask_storeu_epi32
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps emu_mask_storeu_ps
#undef _mm512_mask_sub_epi8
#define _mm512_mask_sub_epi8 emu_mask_sub_epi8
#undef _mm512_maskz_loadu_epi32
#define _mm512_maskz_loadu_epi32 emu_maskz_loadu_epi32
#undef _mm512_maskz_loadu_epi8
#define _mm512_maskz_loadu_epi8 emu_maskz_loadu_epi8
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps emu_maskz_loadu_ps
#undef _mm512_maskz_mov_ps
#define _mm512_maskz_mov_ps emu_maskz_mov_ps
#undef _mm512_max_epi32
#define _mm512_max_epi32 emu_max_epi32
#undef _mm512_max_epu16
#define _mm512_max_epu16 emu_max_epu16
#undef _mm512_max_ps
#define _mm512_max_ps emu_max_ps
#undef _mm512_min_epi32
#define _mm512_min_epi32 emu_min_epi32
#undef _mm512_min_ps
#define _mm512_min_ps emu_min_ps
#undef _mm512_movepi8_mask
#define _mm512_movepi8_mask emu_movepi8_mask
#undef _mm512_mul_ps
#define _mm512_mul_ps emu_mul_ps
#undef _mm512_mulhi_epu16
#define _mm512_mulhi_epu16 emu_mulhi_epu16
#undef _mm512_mullo_epi16
#define _mm512_mullo_epi16 emu_mullo_epi16
#undef _mm512_mullo_epi32
#define _mm512_mullo_epi32 emu_mullo_epi32
#undef _mm512_or_ps
#define _mm512_or_ps emu_or_ps
#undef _mm512_or_si512
#define _mm512_or_si512 emu_or_si512
#undef _mm512_packs_epi16
#define _mm512_packs_epi16 emu_packs_epi16
#undef _mm512_packs_epi32
#define _mm512_packs_epi32 emu_packs_epi32
#undef _mm512_permute_ps
#define _mm512_permute_ps emu_permute_ps
#undef _mm512_permutex2var_epi16
#define _mm512_permutex2var_epi16 emu_permutex2var_epi16
#undef _mm512_permutex2var_epi32
#define _mm512_permutex2var_epi32 emu_permutex2var_epi32
#undef _mm512_permutex2var_epi64
#define _mm512_permutex2var_epi64 emu_permutex2var_epi64
#undef _mm512_permutex2var_ps
#define _mm512_permutex2var_ps emu_permutex2var_ps
#undef _mm512_permutexvar_epi16
#define _mm512_permutexvar_epi16 emu_permutexvar_epi16
#undef _mm512_permutexvar_epi32
#define _mm512_permutexvar_epi32 emu_permutexvar_epi32
#undef _mm512_permutexvar_epi64
#define _mm512_permutexvar_epi64 emu_permutexvar_epi64
#undef _mm512_permutexvar_ps
#define _mm512_permutexvar_ps emu_permutexvar_ps
#undef _mm512_reduce_add_epi32
#define _mm512_reduce_add_epi32 emu_reduce_add_epi32
#undef _mm512_reduce_max_epi32
#define _mm512_reduce_max_epi32 emu_reduce_max_epi32
#undef _mm512_reduce_max_ps
#define _mm512_reduce_max_ps emu_reduce_max_ps
#undef _mm512_roundscale_ps
#define _mm512_roundscale_ps emu_roundscale_ps
#undef _mm512_scalef_ps
#define _mm512_scalef_ps emu_scalef_ps
#undef _mm512_set1_epi16
#define _mm512_set1_epi16 emu_set1_epi16
#undef _mm512_set1_epi32
#define _mm512_set1_epi32 emu_set1_epi32
#undef _mm512_set1_epi64
#define _mm512_set1_epi64 emu_set1_epi64
#undef _mm512_set1_epi8
#define _mm512_set1_epi8 emu_set1_epi8
#undef _mm512_set1_ps
#define _mm512_set1_ps emu_set1_ps
#undef _mm512_setr_epi32
#define _mm512_setr_epi32(...) emu_setr((int32_t[16]){ __VA_ARGS__ })
#undef _mm512_setr_epi64
#define _mm512_setr_epi64(...) emu_setr((int64_t[8]){ __VA_ARGS__ })
#undef _mm512_setzero_ps
#define _mm512_setzero_ps emu_setzero_ps
#undef _mm512_setzero_si512
#define _mm512_setzero_si512 emu_setzero_si512
#undef _mm512_shuffle_epi32
#define _mm512_shuffle_epi32 emu_shuffle_epi32
#undef _mm512_shuffle_epi8
#define _mm512_shuffle_epi8 emu_shuffle_epi8
#undef _mm512_shuffle_f32x4
#define _mm512_shuffle_f32x4 emu_shuffle_f32x4
#undef _mm512_shuffle_i32x4
#define _mm512_shuffle_i32x4 emu_shuffle_i32x4
#undef _mm512_slli_epi16
#define _mm512_slli_epi16 emu_slli_epi16
#undef _mm512_slli_epi32
#define _mm512_slli_epi32 emu_slli_epi32
#undef _mm512_slli_epi64
#define _mm512_slli_epi64 emu_slli_epi64
#undef _mm512_sllv_epi32
#define _mm512_sllv_epi32 emu_sllv_epi32
#undef _mm512_sqrt_ps
#define _mm512_sqrt_ps emu_sqrt_ps
#undef _mm512_srai_epi16
#define _mm512_srai_epi16 emu_srai_epi16
#undef _mm512_srai_epi32
#define _mm512_srai_epi32 emu_srai_epi32
#undef _mm512_srli_epi16
#define _mm512_srli_epi16 emu_srli_epi16
#undef _mm512_srli_epi32
#define _mm512_srli_epi32 emu_srli_epi32
#undef _mm512_srli_epi64
#define _mm512_srli_epi64 emu_srli_epi64
#undef _mm512_srlv_epi16
#define _mm512_srlv_epi16 emu_srlv_epi16
#undef _mm512_srlv_epi32
#define _mm512_srlv_epi32 emu_srlv_epi32
#undef _mm512_storeu_ps
#define _mm512_storeu_ps emu_storeu_ps
#undef _mm512_storeu_si512
#define _mm512_storeu_si512 emu_storeu_si512
#undef _mm512_sub_epi16
#define _mm512_sub_epi16 emu_sub_epi16
#undef _mm512_sub_epi32
#define _mm512_sub_epi32 emu_sub_epi32
#undef _mm512_sub_epi8
#define _mm512_sub_epi8 emu_sub_epi8
#undef _mm512_sub_ps
#define _mm512_sub_ps emu_sub_ps
#undef _mm512_ternarylogic_epi32
#define _mm512_ternarylogic_epi32 emu_ternarylogic_epi32
#undef _mm512_unpackhi_epi16
#define _mm512_unpackhi_epi16 emu_unpackhi_epi16
#undef _mm512_unpackhi_epi32
#define _mm512_unpackhi_epi32 emu_unpackhi_epi32
#undef _mm512_unpackhi_epi64
#define _mm512_unpackhi_epi64 emu_unpackhi_epi64
#undef _mm512_unpackhi_epi8
#define _mm512_unpackhi_epi8 emu_unpackhi_epi8
#undef _mm512_unpacklo_epi16
#define _mm512_unpacklo_epi16 emu_unpacklo_epi16
#undef _mm512_unpacklo_epi32
#define _mm512_unpacklo_epi32 emu_unpacklo_epi32
#undef _mm512_unpacklo_epi64
#define _mm512_unpacklo_epi64 emu_unpacklo_epi64
#undef _mm512_unpacklo_epi8
#define _mm512_unpacklo_epi8 emu_unpacklo_epi8
#undef _mm512_xor_ps
#define _mm512_xor_ps emu_xor_ps
#undef _mm512_xor_si512
#define _mm512_xor_si512 emu_xor_si512
#undef _mm512_broadcast_i32x8
#define _mm512_broadcast_i32x8 emu_broadcast_i32x8
#undef _mm512_shuffle_i64x2
#define _mm512_shuffle_i64x2 emu_shuffle_i64x2
#undef _mm512_sllv_epi16
#define _mm512_sllv_epi16 emu_sllv_epi16
#undef _mm512_mask_mulhi_epu16
#define _mm512_mask_mulhi_epu16 emu_mask_mulhi_epu16
#undef _mm512_mask_srli_epi16
#define _mm512_mask_srli_epi16 emu_mask_srli_epi16
#undef _mm512_load_ps
#define _mm512_load_ps emu_load_ps
#undef _mm512_load_si512
#define _mm512_load_si512 emu_load_si512
#undef _mm512_mask_blend_epi16
#define _mm512_mask_blend_epi16 emu_mask_blend_epi16
#undef _mm512_mask_broadcast_i32x4
#define _mm512_mask_broadcast_i32x4 emu_mask_broadcast_i32x4
#undef _mm512_shuffle_ps
#define _mm512_shuffle_ps emu_shuffle_ps
#undef _mm512_test_epi8_mask
#define _mm512_test_epi8_mask emu_test_epi8_mask
#undef _mm512_castps512_ps128
#define _mm512_castps512_ps128 emu_castps512_ps128
