/* sort.h - sorting numbers in linear time, whatever their order.  Threads: any. */
#ifndef HEARTH_BASE_SORT_H
#define HEARTH_BASE_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Ascending; tmp[n] is scratch. */
void sort_u64(uint64_t *v, uint64_t *tmp, size_t n);

#endif
