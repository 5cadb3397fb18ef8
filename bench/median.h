/* median.h - the median of measurements, for the benchmarks. */
#ifndef HEARTH_BENCH_MEDIAN_H
#define HEARTH_BENCH_MEDIAN_H

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v[n] in ascending order. */
static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

#endif
