/* random.h - numbers for tests, the same after the same seed on every machine. */
#ifndef HEARTH_TESTS_RANDOM_H
#define HEARTH_TESTS_RANDOM_H

#include <stdint.h>

static uint64_t seed;

static uint32_t rnd(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}
static float uniform(void) { return (float)(rnd() >> 8) * 0x1p-23f - 1; }      /* [-1, 1) */

#endif
