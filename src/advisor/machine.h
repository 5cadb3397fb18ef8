/* machine.h - what a machine can do, as far as models care: memory, how fast it is read, how fast is multiplied.
 *
 * This machine is measured (host.h says what it is, the caller how fast); others come from a catalogue of chips, by text:
 *   "M3 Ultra 512GB"    "Ryzen 9 7950X 64GB"    "DDR5-5600 x2 64GB"    "RTX 4090"    "RTX 4090 + 64GB"
 * Rates of the catalogue are the makers' figures; how much of them is reached was taken from published measurements
 * (docs/advisor.md).  Threads: pure functions. */
#ifndef HEARTH_ADVISOR_MACHINE_H
#define HEARTH_ADVISOR_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* APPLE: processor and GPU share their memory; GPU: a card with memory of its own. */
enum machine_kind { MACHINE_HOST, MACHINE_CPU, MACHINE_APPLE, MACHINE_GPU };

struct chip {
    const char *name;
    enum machine_kind kind;
    double gb_s;                           /* memory bandwidth by the data sheet */
    double memory_gb;                      /* the most that can be had; of a GPU what it has */
    double tops;                           /* 1e12 operations a second: APPLE, GPU of 16-bit floats, CPU of 8-bit integers */
    double share;                          /* of gb_s that decoding reaches */
    double watts;                          /* of the whole machine while it computes, about */
};
const struct chip *chip_at(size_t i);      /* NULL past the end */

struct machine {
    char name[128];
    enum machine_kind kind;
    uint64_t memory;                       /* bytes it has; of a GPU the card's */
    uint64_t room;                         /* bytes that a model may take, all told */
    uint64_t room_raised;                  /* APPLE: when the GPU's limit is raised; else room */
    uint64_t ram;                          /* GPU: bytes beside it that the host may give, 0: none */
    double read;                           /* bytes a second */
    double share;                          /* of read that decoding reaches; 1: read was measured */
    double ops;                            /* operations a second: tops, or measured */
    double watts;                          /* 0: unknown */
};

/* ERR_ARG says what is wrong, and which chips have similar names. */
int machine_parse(struct machine *out, const char *text, struct err *err);

/* The command that raises the GPU's limit of an Apple machine so that `need` bytes fit; false: that cannot be. */
bool machine_raise(const struct machine *m, uint64_t need, struct buf *out);

#endif
