/* table.h - rows of cells under headings, as wide as they need to be.  Zeroed but for columns and right it is ready. */
#ifndef HEARTH_APP_TABLE_H
#define HEARTH_APP_TABLE_H

#include "base/buf.h"

enum { TABLE_COLUMNS = 12 };

struct table {
    size_t columns;
    unsigned right;                        /* bit i: column i ends at its right edge */
    struct buf text;                       /* the cells, row by row, each with a NUL behind it; the first row is the headings */
};

/* The next cell; what could steer a terminal is made visible. */
void table_cell(struct table *t, const char *text);
void table_write(const struct table *t, struct buf *out);
void table_release(struct table *t);

#endif
