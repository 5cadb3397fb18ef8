/* os_stat.h - what os_fs.c asks of the files of the systems. */
#ifndef HEARTH_BASE_OS_STAT_H
#define HEARTH_BASE_OS_STAT_H

#include <stdint.h>
#include <sys/stat.h>

int64_t os_stat_ns(const struct stat *st);         /* when the file was changed, in ns since 1970 */

#endif
