/* The packers for AVX2. */
#include "quant/lanes_avx2.h"

#define PACKERS packers_avx2
#include "quant/packers.inc"
