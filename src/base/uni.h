/* uni.h - what tokenizers ask about characters; the only user of utf8proc.
 * Data: utf8proc's Unicode version (general categories, decompositions, simple lower case) and two short tables here
 * (White_Space, Han).  Threads: any. */
#ifndef HEARTH_BASE_UNI_H
#define HEARTH_BASE_UNI_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    UNI_LU = 1 << 0, UNI_LL = 1 << 1, UNI_LT = 1 << 2, UNI_LM = 1 << 3, UNI_LO = 1 << 4,
    UNI_MN = 1 << 5, UNI_MC = 1 << 6,       /* MC: Mc and Me */
    UNI_ND = 1 << 7, UNI_NX = 1 << 8,       /* NX: Nl and No */
    UNI_P = 1 << 9, UNI_S = 1 << 10,
    UNI_SPACE = 1 << 11,                    /* White_Space, whatever the category */
    UNI_CONTROL = 1 << 12,                  /* Cc, Cf, Cs, Co */
    UNI_HAN = 1 << 13,                      /* Script=Han */
    UNI_L = UNI_LU | UNI_LL | UNI_LT | UNI_LM | UNI_LO,
    UNI_M = UNI_MN | UNI_MC,
    UNI_N = UNI_ND | UNI_NX
};

/* The classes of a character; 0 for unassigned ones and beyond U+10FFFF. */
unsigned uni_class(uint32_t cp);
uint32_t uni_lower(uint32_t cp);            /* simple (one to one) lower case */
uint32_t uni_upper(uint32_t cp);            /* and upper case */

/* Appends the canonical decomposition (NFD) or composition (NFC) of s[n], which must be valid UTF-8.  Out of memory
 * sets out->bad. */
enum uni_form { UNI_NFC, UNI_NFD };
void uni_normalize(enum uni_form form, const char *s, size_t n, struct buf *out);

#endif
