/* signals.h - Ctrl-C and friends as a value that is asked for.
 *
 * After signals_init, SIGINT, SIGTERM and SIGHUP are remembered (a third one that nobody served ends the process at once),
 * and writing to a closed pipe is an error instead of a death.  Process-wide; the asking is for the main thread. */
#ifndef HEARTH_APP_SIGNALS_H
#define HEARTH_APP_SIGNALS_H

void signals_init(void);
int  signals_pending(void);        /* the first signal since the last clear, or 0 */
void signals_clear(void);
void signals_ignore(void);         /* from now on none of them does anything */
int  signals_fd(void);             /* readable once a signal came, for poll */

#endif
