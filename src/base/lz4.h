/* lz4.h - unpacks LZ4 frames (the format of github.com/lz4/lz4/doc, version 1.6.x) that lie in memory whole.
 *
 * Check sums inside a frame are passed over: who wants to know has a better one of the whole.  Dictionaries are not known.
 * Threads: pure function. */
#ifndef HEARTH_BASE_LZ4_H
#define HEARTH_BASE_LZ4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One frame of exactly n bytes; *len: how much of out[cap] it fills.  False: it is damaged, larger than cap, or not known. */
bool lz4_frame(const uint8_t *p, size_t n, uint8_t *out, size_t cap, size_t *len);

#endif
