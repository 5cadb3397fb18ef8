#include "base/near.h"

#include <string.h>

/* Edits (insert, delete, replace, swap of neighbours count as one each) from a to b; words longer than 31 are far apart. */
static unsigned distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > 31 || m > 31) return 99;
    unsigned d[32][32];
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            unsigned v = (unsigned)(i ? j ? 99 : i : j);
            if (i && j) {
                v = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
                if (d[i - 1][j] + 1 < v) v = d[i - 1][j] + 1;
                if (d[i][j - 1] + 1 < v) v = d[i][j - 1] + 1;
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < v)
                    v = d[i - 2][j - 2] + 1;
            }
            d[i][j] = v;
        }
    }
    return d[n][m];
}

const char *near_find(const char *word, const char *(*next)(const void *arg, size_t i), const void *arg)
{
    size_t n = strlen(word);
    unsigned best = n < 3 ? 1 : n < 6 ? 2 : 3;
    const char *found = NULL, *w;
    for (size_t i = 0; (w = next(arg, i)) != NULL; i++) {
        unsigned d = distance(word, w);
        if (n >= 3 && !strncmp(w, word, n) && best > 0) d = d < 1 ? d : 1;       /* a beginning counts as near */
        if (d < best || (d == best && !found)) {
            best = d;
            found = w;
        }
    }
    return found;
}
