/* grids.c - the codebooks of the IQ types, expanded by the compiler from packed level indices. */
#include "quant/block.h"

/* Two- and three-bit digit j of a packed entry. */
#define D2(e, j) ((e) >> 2 * (j) & 3)
#define D3(e, j) ((e) >> 3 * (j) & 7)
#define EIGHT(level, e) { level(D2(e, 0)), level(D2(e, 1)), level(D2(e, 2)), level(D2(e, 3)), \
                          level(D2(e, 4)), level(D2(e, 5)), level(D2(e, 6)), level(D2(e, 7)) },
#define FOUR(level, e) { level(D3(e, 0)), level(D3(e, 1)), level(D3(e, 2)), level(D3(e, 3)) },

#define LEVEL_IQ2(d) ((d) == 0 ? 8 : (d) == 1 ? 25 : 43)
#define LEVEL_IQ3_XXS(d) ((d) == 7 ? 62 : 4 + 8 * (d))
#define LEVEL_IQ3_S(d) (1 + 2 * (d))
#define LEVEL_IQ1(d) ((d) - 1)

const uint8_t iq2_xxs_grid[256][8] = {
#define IQ2_XXS(e) EIGHT(LEVEL_IQ2, e)
#include "quant/iq_grids.inc"
};

const uint8_t iq2_xs_grid[512][8] = {
#define IQ2_XS(e) EIGHT(LEVEL_IQ2, e)
#include "quant/iq_grids.inc"
};

const uint8_t iq2_s_grid[1024][8] = {
#define IQ2_S(e) EIGHT(LEVEL_IQ2, e)
#include "quant/iq_grids.inc"
};

const uint8_t iq3_xxs_grid[256][4] = {
#define IQ3_XXS(e) FOUR(LEVEL_IQ3_XXS, e)
#include "quant/iq_grids.inc"
};

const uint8_t iq3_s_grid[512][4] = {
#define IQ3_S(e) FOUR(LEVEL_IQ3_S, e)
#include "quant/iq_grids.inc"
};

const int8_t iq1_grid[2048][8] = {
#define IQ1(e) EIGHT(LEVEL_IQ1, e)
#include "quant/iq_grids.inc"
};
