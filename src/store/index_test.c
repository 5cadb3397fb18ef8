/* index_test.c - what is known of a file holds for that file as it is: not for another in its place, nor for other bytes. */
#include "tests/testing.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "store/index.h"

static char folder[] = "/tmp/hearth-index-XXXXXX", file[64], data_base[64];

static void write_file(const char *text)
{
    FILE *f = fopen(file, "r+b");
    if (!f) f = fopen(file, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void set_time(long ns)
{
    const struct timespec t[2] = { { 1700000000, ns }, { 1700000000, ns } };
    assert_int_equal(utimensat(AT_FDCWD, file, t, 0), 0);
}

/* Bytes that take the place of others within the second in which these were written. */
static void another_content_within_a_second(void **state)
{
    (void)state;
    struct index *x = index_open(data_base);
    struct fs_info info, later;
    struct facts f = { .arch = "llama", .n_params = 7 }, got;
    assert_non_null(x);
    write_file("one");
    set_time(100);
    assert_true(fs_info(file, &info));
    assert_false(index_get(x, file, &info, &got));
    index_put(x, file, &info, &f);
    assert_true(index_get(x, file, &info, &got));
    assert_string_equal(got.arch, "llama");
    assert_int_equal(got.n_params, 7);
    write_file("two");
    set_time(101);
    assert_true(fs_info(file, &later));
    assert_true(later.size == info.size && later.inode == info.inode && later.mtime == info.mtime);
    assert_false(index_get(x, file, &later, &got));
    index_put(x, file, &later, &f);
    index_close(x);
    x = index_open(data_base);                                 /* it outlives the process */
    assert_true(index_get(x, file, &later, &got));
    index_close(x);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(data_base, sizeof data_base, "%s/index.db", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    static const char *const ending[] = { "", "-wal", "-shm" };
    for (int i = 0; i < 3; i++) {
        char path[80];
        snprintf(path, sizeof path, "%s%s", data_base, ending[i]);
        unlink(path);
    }
    unlink(file);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(another_content_within_a_second) };
    return cmocka_run_group_tests(tests, begin, end);
}
