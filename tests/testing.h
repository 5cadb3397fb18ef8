/* testing.h - what every test file includes: cmocka, and where the reference data is.
 * A test file defines its tests and ends with   int main(void) { return run_tests(tests); }   over
 * const struct CMUnitTest tests[]. */
#ifndef HEARTH_TESTS_TESTING_H
#define HEARTH_TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* cmocka does not say it everywhere, and compilers then warn of what follows a fail_msg. */
void _fail(const char *const file, const int line) __attribute__((noreturn));

#include "base/env.h"
#include "base/os.h"

/* The path of a reference file, e.g. ref_path(p, sizeof p, "quants/index.json"); false when it is not there. */
static inline int ref_path(char *dst, size_t n, const char *name)
{
    const char *root = env_get(ENV_REFERENCE);
    snprintf(dst, n, "%s/%s", root ? root : "../shared/reference", name);
    return os_file_exists(dst);
}

/* Inside a test: the path, or the test is reported as skipped. */
#define REF_OR_SKIP(path, name) \
    do { if (!ref_path((path), sizeof (path), (name))) skip(); } while (0)

/* Of cases that repeat each other with other numbers: whether this one is run.  Everywhere all are, but under sanitizers each
 * fourth (mk/test.mk), which see the same code in it. */
#define IN_SHARE(n) ((n) % TEST_SHARE == 0)

#undef run_tests          /* cmocka.h of some versions has an old one */
#define run_tests(tests) cmocka_run_group_tests((tests), NULL, NULL)

/* What starts this program again as "hearth" would start the tests again, which would start it again. */
__attribute__((constructor)) static void testing_is_no_hearth(void)
{
    char name[sizeof "hearth"] = "";
    FILE *f = fopen("/proc/self/cmdline", "r");
    size_t n = f ? fread(name, 1, sizeof name, f) : 0;
    if (f) fclose(f);
    if (n == sizeof name && !memcmp(name, "hearth", n)) _exit(126);
}

#endif
