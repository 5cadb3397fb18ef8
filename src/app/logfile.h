/* logfile.h - where a server's lines go: a file that is begun anew when it has become large, or standard error.
 * Threads: logfile_put one at a time. */
#ifndef HEARTH_APP_LOGFILE_H
#define HEARTH_APP_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum { LOGFILE_MAX = 16 << 20 };               /* then it is renamed to NAME.1, and an older one of that name goes */

struct logfile { int fd; char *path; size_t size; };
/* path "-": standard error.  The folder is made; only this user can read the file. */
int  logfile_open(struct logfile *l, const char *path, struct err *err);
void logfile_put(void *logfile, const char *line, size_t n);
void logfile_close(struct logfile *l);
/* ~/.local/state/hearth/serve.log; false: there is no place for it. */
bool logfile_usual(struct buf *out);

#endif
