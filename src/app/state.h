/* state.h - what the program remembers of its user: files in $XDG_STATE_HOME/hearth, else ~/.local/state/hearth, which only
 * the user may read.  Main thread. */
#ifndef HEARTH_APP_STATE_H
#define HEARTH_APP_STATE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* The path of a file there, with the folders above it; false (and nothing appended) when there can be none. */
bool state_path(const char *name, struct buf *out);

/* The last chat, with which `hearth run --continue` goes on: a file of dialog.h. */
#define STATE_LAST_CHAT "last.json"
/* The model of that chat, as it was named.  ERR_NOTFOUND when there is no chat. */
int  state_last_model(struct buf *out, struct err *err);

#endif
