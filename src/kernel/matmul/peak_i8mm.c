#define PEAK peak_i8mm
#define MULTIPLY8 vmmlaq_s32
#define MACS8 32
#include "kernel/matmul/peak_neon.inc"
