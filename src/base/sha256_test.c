#include "tests/testing.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/sha256.h"

/* FIPS 180-4's own examples. */
static void known_digests(void **state)
{
    (void)state;
    static const char *const row[][2] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    for (size_t i = 0; i < 3; i++) {
        char hex[SHA256_HEX + 1];
        assert_int_equal(sha256_bytes(row[i][0], strlen(row[i][0]), hex, NULL), 0);
        assert_string_equal(hex, row[i][1]);
        assert_true(sha256_is_hex(hex, strlen(hex)));
    }
    static const char upper[] = "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_false(sha256_is_hex(upper, 64));
    assert_false(sha256_is_hex("ba78", 4));
}

struct seen { char text[64]; };

static int collect(void *arg, const char *name, struct err *err)
{
    (void)err;
    struct seen *s = arg;
    strcat(s->text, name);
    strcat(s->text, " ");
    return 0;
}

static void files_and_folders(void **state)
{
    (void)state;
    char dir[] = "/tmp/hearth-fs-XXXXXX", path[128], other[128];
    struct err e = { 0 };
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a/b", dir);
    assert_int_equal(fs_make_folders(path, &e), 0);
    assert_int_equal(fs_make_folders(path, &e), 0);
    struct fs_info info;
    assert_true(fs_info(path, &info) && info.folder);
    snprintf(path, sizeof path, "%s/a/x", dir);
    snprintf(other, sizeof other, "%s/a/y", dir);
    struct fs_file *f, *g;
    assert_int_equal(fs_file_open(&f, path, FS_READ, &e), ERR_NOTFOUND);
    assert_int_equal(fs_file_open(&f, path, FS_WRITE, &e), 0);
    assert_int_equal(fs_file_open(&g, path, FS_WRITE, &e), 0);
    assert_true(fs_file_lock(f));
    assert_false(fs_file_lock(g));
    assert_int_equal(fs_file_resize(f, 5, &e), 0);
    assert_int_equal(fs_file_write(f, 2, "abc", 3, &e), 0);
    assert_int_equal(fs_file_write(f, 0, "--", 2, &e), 0);
    char back[8] = { 0 };
    assert_int_equal(fs_file_read(g, 0, back, 5, &e), 0);
    assert_string_equal(back, "--abc");
    assert_int_equal(fs_file_read(g, 3, back, 5, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "ends at byte 5"));
    assert_int_equal(rename(path, other), 0);
    assert_false(fs_file_is(f, path));
    assert_true(fs_file_is(f, other));
    fs_file_close(f);
    assert_true(fs_file_lock(g));
    fs_file_close(g);
    assert_int_equal(fs_link_relative("y", path, &e), 0);
    assert_int_equal(fs_file_open(&f, path, FS_WRITE, &e), ERR_IO);              /* never through a link */
    assert_true(fs_is_link(path) && fs_info(path, &info) && info.size == 5);
    char hex[SHA256_HEX + 1], want[SHA256_HEX + 1];
    assert_int_equal(sha256_file(other, hex, NULL, NULL, &e), 0);
    assert_int_equal(sha256_bytes("--abc", 5, want, &e), 0);
    assert_string_equal(hex, want);
    struct seen s = { "" };
    snprintf(back, sizeof back, "a");
    char a[128];
    snprintf(a, sizeof a, "%s/a", dir);
    assert_int_equal(fs_list(a, collect, &s, &e), 0);
    assert_string_equal(s.text, "b x y ");
    assert_int_equal(fs_list("/nonexistent-folder", collect, &s, &e), 0);
    unlink(path);
    unlink(other);
    snprintf(path, sizeof path, "%s/a/b", dir);
    assert_true(fs_remove_folder(path) && fs_remove_folder(a) && fs_remove_folder(dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(known_digests), cmocka_unit_test(files_and_folders) };
    return run_tests(tests);
}
