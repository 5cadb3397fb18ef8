/* cpu_relax.h - tells the processor that this thread is spinning; a hint, nothing where there is no such instruction. */
#ifndef HEARTH_BASE_CPU_RELAX_H
#define HEARTH_BASE_CPU_RELAX_H

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
