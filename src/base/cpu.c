#include "base/cpu.h"

#include <string.h>

static const struct { const char *name; uint32_t need; } level[] = {
    { "avx512", CPU_AVX512 | CPU_AVX2 },
    { "avxvnni", CPU_AVXVNNI | CPU_AVX2 },
    { "avx2", CPU_AVX2 },
    { "i8mm", CPU_I8MM | CPU_NEON },
    { "neon", CPU_NEON },
    { "scalar", 0 },
};

int cpu_select(const char *name, uint32_t *features, struct err *err)
{
    uint32_t have = cpu_features();
    *features = have;
    if (!name || !strcmp(name, "auto")) return 0;
    for (size_t i = 0; i < sizeof level / sizeof *level; i++) {
        if (strcmp(name, level[i].name)) continue;
        if (level[i].need & ~have)
            return err_set(err, ERR_UNSUPPORTED, "this processor does not have %s", name);
        *features = level[i].need;
        return 0;
    }
    return err_set(err, ERR_ARG, "unknown instruction set '%s': use one of " CPU_NAMES, name);
}

const char *cpu_features_name(uint32_t features)
{
    size_t i = 0;
    while (level[i].need & ~features) i++;
    return level[i].name;
}
