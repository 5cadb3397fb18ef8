/* The packers for every machine. */
#include "quant/lanes_any.h"

#define PACKERS packers_any
#include "quant/packers.inc"
