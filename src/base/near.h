/* near.h - the word that was probably meant.  Threads: pure functions. */
#ifndef HEARTH_BASE_NEAR_H
#define HEARTH_BASE_NEAR_H

#include <stddef.h>

/* The word of the list nearest to `word`, or NULL when none is near.  next(arg, i) gives word i, NULL at the end. */
const char *near_find(const char *word, const char *(*next)(const void *arg, size_t i), const void *arg);

#endif
