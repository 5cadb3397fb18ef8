/* err.h - errors are values: a negative code and one sentence for a person.
 *
 * A fallible function returns 0 (ERR_OK) or one of the codes below and takes `struct err *` as its last
 * parameter, which may be NULL.  The origin sets the message once, naming the object ("FILE: tensor NAME: ...");
 * callers pass it through.  Nothing below app prints, aborts or exits.
 * Threads: a struct err belongs to one thread. */
#ifndef HEARTH_BASE_ERR_H
#define HEARTH_BASE_ERR_H

enum {
    ERR_OK = 0,
    ERR_NOMEM = -1,       /* an allocation failed */
    ERR_IO = -2,          /* the operating system refused a read, write, open or map */
    ERR_FORMAT = -3,      /* bytes from outside are malformed */
    ERR_LIMIT = -4,       /* a documented limit would be exceeded */
    ERR_ARG = -5,         /* the caller's request makes no sense */
    ERR_UNSUPPORTED = -6, /* well-formed, but not implemented */
    ERR_CANCELLED = -7,   /* the caller asked to stop */
    ERR_NOTFOUND = -8,    /* the named thing does not exist */
    ERR_DENIED = -9       /* whoever asks may not have it */
};

struct err {
    int code;
    char msg[512];        /* UTF-8, NUL-terminated, cut when longer */
};

/* Fills *e (when not NULL) and returns code, so that `return err_set(...)` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts text in front of the message that is already there; the format brings its own ": ". */
int err_prefix(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
