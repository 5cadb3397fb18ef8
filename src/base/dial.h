/* dial.h - a connection to a server on this machine or beside it.
 * Threads: any. */
#ifndef HEARTH_BASE_DIAL_H
#define HEARTH_BASE_DIAL_H

#include "base/err.h"
#include "base/proc.h"

/* address: "127.0.0.1:11434", "[::1]:80", "localhost:8080" (this machine) or "unix:/path"; other names are not looked up.
 * ERR_NOTFOUND when nobody listens there.  Close it with chan_close. */
int dial(struct chan **out, const char *address, struct err *err);

#endif
