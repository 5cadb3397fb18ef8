#include "model/arch.h"

#include <string.h>

#define ARCH(a) extern const struct arch arch_##a;
#include "model/archs.def"
#undef ARCH

static const struct arch *const list[] = {
#define ARCH(a) &arch_##a,
#include "model/archs.def"
#undef ARCH
};

const struct arch *arch_at(size_t i) { return i < sizeof list / sizeof *list ? list[i] : NULL; }

const struct arch *arch_find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strlen(list[i]->name) == n && !memcmp(list[i]->name, name, n)) return list[i];
    return NULL;
}
