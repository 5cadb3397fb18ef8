/* os_sandbox_macos.c - sandbox.h where only memory is kept from others. */
#include <sys/resource.h>

#include "base/sandbox.h"

void sandbox_keep_secrets(void) { setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }); }

int sandbox_compute(const struct sandbox *s, unsigned *reached, struct err *err)
{
    (void)s, (void)err;
    *reached = 0;
    sandbox_keep_secrets();
    return 0;
}

int sandbox_serve(unsigned *reached, struct err *err)
{
    (void)err;
    *reached = 0;
    sandbox_keep_secrets();
    return 0;
}

bool sandbox_apart(void) { return false; }

bool sandbox_try(unsigned reached, struct buf *out)
{
    (void)reached, (void)out;
    return true;
}

int sandbox_no_network(struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "this system gives no network of its own to a process");
}
