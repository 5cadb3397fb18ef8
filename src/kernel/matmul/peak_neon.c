#define PEAK peak_neon
#define MULTIPLY8 vdotq_s32
#define MACS8 16
#include "kernel/matmul/peak_neon.inc"
