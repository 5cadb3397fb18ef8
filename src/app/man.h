/* man.h - manual pages, made from the rows that print the help. */
#ifndef HEARTH_APP_MAN_H
#define HEARTH_APP_MAN_H

#include "app/command.h"

/* The page of a command, or that of the whole program when c is NULL. */
void man_page(const struct command *c, struct buf *out);

#endif
