/* sort.c - insertion sort for the few, radix sort by bytes for the many; bytes that are equal everywhere are skipped. */
#include "base/sort.h"

#include <string.h>

void sort_u64(uint64_t *v, uint64_t *tmp, size_t n)
{
    if (n < 48) {
        for (size_t i = 1; i < n; i++) {
            uint64_t x = v[i];
            size_t j = i;
            for (; j && v[j - 1] > x; j--) v[j] = v[j - 1];
            v[j] = x;
        }
        return;
    }
    size_t count[256];
    uint64_t *from = v, *to = tmp;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        memset(count, 0, sizeof count);
        for (size_t i = 0; i < n; i++) count[from[i] >> shift & 0xff]++;
        if (count[from[0] >> shift & 0xff] == n) continue;
        for (size_t i = 0, sum = 0; i < 256; i++) {
            size_t c = count[i];
            count[i] = sum;
            sum += c;
        }
        for (size_t i = 0; i < n; i++) to[count[from[i] >> shift & 0xff]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != v) memcpy(v, from, n * sizeof *v);
}
