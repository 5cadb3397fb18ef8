/* program.h - runs the program that $PROGRAM names (under $EMULATOR, if set), for end-to-end tests. */
#ifndef HEARTH_TESTS_PROGRAM_H
#define HEARTH_TESTS_PROGRAM_H

#include "tests/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRAM_MAX_ARGS = 32 };

struct result {
    int code;                  /* exit code, or 128 + signal */
    char *out, *err;           /* NUL-terminated; program_free */
    size_t n_out, n_err;
};

#define NEED_PROGRAM() do { if (!getenv("PROGRAM")) skip(); } while (0)

/* Becomes the program.  args end with NULL. */
static inline void program_exec(const char *const *args)
{
    static char emulator[256];
    char *argv[PROGRAM_MAX_ARGS + 8];
    int n = 0;
    snprintf(emulator, sizeof emulator, "%s", getenv("EMULATOR") ? getenv("EMULATOR") : "");
    for (char *w = strtok(emulator, " "); w && n < 6; w = strtok(NULL, " ")) argv[n++] = w;
    argv[n++] = getenv("PROGRAM");
    for (int i = 0; args[i] && i < PROGRAM_MAX_ARGS; i++) argv[n++] = (char *)(uintptr_t)args[i];
    argv[n] = NULL;
    execvp(argv[0], argv);
    _exit(126);
}

static inline char *program_slurp(FILE *f, size_t *n)
{
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *s = calloc(*n + 1, 1);
    if (fread(s, 1, *n, f) != *n) *n = 0;
    fclose(f);
    return s;
}

static inline int program_wait(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) { }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* in: standard input as a file, or NULL for /dev/null. */
static inline struct result program_run(const char *in, const char *const *args)
{
    FILE *f[3] = { in ? tmpfile() : fopen("/dev/null", "r"), tmpfile(), tmpfile() };
    if (in) {
        fputs(in, f[0]);
        rewind(f[0]);
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 3; i++) dup2(fileno(f[i]), i);
        program_exec(args);
    }
    struct result r = { .code = program_wait(pid) };
    fclose(f[0]);
    r.out = program_slurp(f[1], &r.n_out);
    r.err = program_slurp(f[2], &r.n_err);
    return r;
}
#define PROGRAM(in, ...) program_run((in), (const char *const[]){ __VA_ARGS__, NULL })

static inline void program_free(struct result *r)
{
    free(r->out);
    free(r->err);
}

/* The program ended with this code, else the test fails with what it said. */
static inline void program_expect(const struct result *r, int code)
{
    if (r->code != code) fail_msg("exit code %d, not %d; standard error: %s", r->code, code, r->err);
}

static inline void program_contains(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("\"%s\" is not in: %s", part, text);
}

#endif
