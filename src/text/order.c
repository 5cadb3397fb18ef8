#include "text/order.h"

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t t = *a;
    *a = *b;
    *b = t;
}

static void insertion_sort(uint64_t *a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint64_t v = a[i];
        size_t j = i;
        for (; j && a[j - 1] > v; j--) a[j] = a[j - 1];
        a[j] = v;
    }
}

static void sift(uint64_t *a, size_t at, size_t n)
{
    uint64_t v = a[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && a[child + 1] > a[child]) child++;
        if (a[child] <= v) break;
        a[at] = a[child];
    }
    a[at] = v;
}

static void heap_sort(uint64_t *a, size_t n)
{
    for (size_t i = n / 2; i--;) sift(a, i, n);
    for (size_t i = n; i-- > 1;) {
        swap(&a[0], &a[i]);
        sift(a, 0, i);
    }
}

/* Splits around the median of three: returns m with a[0..m) < a[m] < a[m+1..n).  n >= 3. */
static size_t split(uint64_t *a, size_t n)
{
    size_t mid = n / 2;
    if (a[mid] < a[0]) swap(&a[mid], &a[0]);
    if (a[n - 1] < a[0]) swap(&a[n - 1], &a[0]);
    if (a[n - 1] < a[mid]) swap(&a[n - 1], &a[mid]);
    uint64_t pivot = a[mid];
    swap(&a[mid], &a[n - 2]);
    size_t lo = 0, hi = n - 2;
    for (;;) {
        while (a[++lo] < pivot) { }
        while (a[--hi] > pivot) { }
        if (lo >= hi) break;
        swap(&a[lo], &a[hi]);
    }
    swap(&a[lo], &a[n - 2]);
    return lo;
}

static unsigned budget(size_t n)
{
    unsigned b = 8;
    for (; n; n >>= 1) b += 2;
    return b;
}

void order_select(uint64_t *a, size_t n, size_t k)
{
    for (unsigned left = budget(n); n > 16 && k > 0 && k < n; left--) {
        if (!left) {                       /* the pivots were unlucky, or chosen by an enemy */
            heap_sort(a, n);
            return;
        }
        size_t m = split(a, n);
        if (k <= m)
            n = m;
        else {
            a += m + 1;
            n -= m + 1;
            k -= m + 1;
        }
    }
    if (k > 0 && k < n) insertion_sort(a, n);
}

static void sort(uint64_t *a, size_t n)
{
    unsigned left = budget(n);
    while (n > 24) {
        if (!left--) {
            heap_sort(a, n);
            return;
        }
        size_t m = split(a, n), right = n - m - 1;
        if (m < right) {                   /* recursion on the smaller side: at most log2 n deep */
            sort(a, m);
            a += m + 1;
            n = right;
        } else {
            sort(a + m + 1, right);
            n = m;
        }
    }
    insertion_sort(a, n);
}

void order_upto(struct order *o, size_t want)
{
    if (want > o->n) want = o->n;
    if (want <= o->sorted) return;
    size_t take = o->sorted * 3 > 128 ? o->sorted * 3 : 128;
    if (take < want - o->sorted) take = want - o->sorted;
    if (take > o->n - o->sorted) take = o->n - o->sorted;
    uint64_t *rest = o->key + o->sorted;
    order_select(rest, o->n - o->sorted, take);
    sort(rest, take);
    o->sorted += take;
}
