#include "base/err.h"

#include <stdarg.h>
#include <string.h>

#include "base/os.h"

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (!e) return code;
    va_list ap;
    va_start(ap, fmt);
    os_vformat(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    e->code = code;
    return code;
}

int err_prefix(struct err *e, int code, const char *fmt, ...)
{
    if (!e) return code;
    char old[sizeof e->msg];
    memcpy(old, e->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    os_vformat(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    size_t n = strlen(e->msg), room = sizeof e->msg - n - 1, m = strlen(old);
    if (m > room) m = room;
    memcpy(e->msg + n, old, m);
    e->msg[n + m] = 0;
    e->code = code;
    return code;
}
