/* program_files.h - program.h, with a folder for the test's files and JSON that must parse. */
#ifndef HEARTH_TESTS_PROGRAM_FILES_H
#define HEARTH_TESTS_PROGRAM_FILES_H

#include "tests/program.h"

#include "base/json.h"

static char dir[64];               /* the group's set-up names and makes it */

/* Good for the next three calls. */
static const char *in_dir(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* Removes the files that may be there, then the folder, which fails when something else was left behind. */
static inline int program_remove_dir(const char *const *name)
{
    for (; *name; name++) unlink(in_dir(*name));
    return rmdir(dir);
}

static inline struct json *parsed(const char *text)
{
    struct json *j;
    struct err e = { 0 };
    if (json_parse(&j, text, strlen(text), &e) < 0) fail_msg("%s in: %s", e.msg, text);
    return j;
}

#endif
