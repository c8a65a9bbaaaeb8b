#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ports/file.h"
#include "tests/cmocka.h"

/* Linked with --wrap: each step can be made to fail, and is written down in order. */
static int fail_step; /* 0: none; 1: fsync, 2: rename */
static char steps[64];

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

int __wrap_fsync(int fd)
{
    struct stat s;
    assert_int_equal(fstat(fd, &s), 0);
    snprintf(steps + strlen(steps), sizeof steps - strlen(steps), "%s ",
             S_ISDIR(s.st_mode) ? "sync-folder" : "sync-file");
    if (fail_step == 1) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    snprintf(steps + strlen(steps), sizeof steps - strlen(steps), "rename ");
    if (fail_step == 2) {
        errno = ENOSPC;
        return -1;
    }
    return __real_rename(from, to);
}

static char folder[] = "/tmp/weir-file-test-XXXXXX";
static char path[64];

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/f", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void file_is(const char *text)
{
    struct slice content = {NULL, 0};
    struct why why = {.text = ""};
    assert_int_equal(file_read(path, 100000, &content, &why), ERR_OK);
    assert_true(slice_equal_text(content, text));
    assert_int_equal(content.data[content.size], 0);
    free((void *)(uintptr_t)content.data);
}

static void replacing_is_synced_in_order(void **state)
{
    (void)state;
    struct why why = {.text = ""};
    steps[0] = 0;
    assert_int_equal(file_replace(path, SLICE("one"), 0640, &why), ERR_OK);
    assert_string_equal(steps, "sync-file rename sync-folder ");
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0640);
    file_is("one");
    for (fail_step = 1; fail_step <= 2; fail_step++) {
        assert_int_equal(file_replace(path, SLICE("two"), 0640, &why),
                         fail_step == 1 ? ERR_IO : ERR_NOSPACE);
        assert_non_null(strstr(why.text, folder));
        file_is("one");
    }
    fail_step = 0;
    char left[80];
    snprintf(left, sizeof left, "%s.new", path);
    assert_int_equal(access(left, F_OK), -1);
}

static void reading_is_bounded(void **state)
{
    (void)state;
    struct slice content = {NULL, 0};
    struct why why = {.text = ""};
    static char large[9000];
    memset(large, 'x', sizeof large - 1);
    assert_int_equal(file_replace(path, slice_of_text(large), 0600, &why), ERR_OK);
    file_is(large);
    assert_int_equal(file_read(path, 8999, &content, &why), ERR_OK);
    free((void *)(uintptr_t)content.data);
    content = (struct slice){NULL, 0};
    assert_int_equal(file_read(path, 8998, &content, &why), ERR_REJECTED);
    assert_null(content.data);
    assert_int_equal(file_read("/nowhere/x", 10, &content, &why), ERR_CLOSED);
    assert_non_null(strstr(why.text, "/nowhere/x"));
}

static void secrets_are_for_their_owner(void **state)
{
    (void)state;
    struct slice content = {NULL, 0};
    struct why why = {.text = ""};
    assert_int_equal(file_replace(path, SLICE("secret"), 0644, &why), ERR_OK);
    assert_int_equal(file_read_secret(path, 10, &content, &why), ERR_AUTH);
    assert_non_null(strstr(why.text, "chmod 600"));
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(file_read_secret(path, 10, &content, &why),
                     geteuid() == 0 ? ERR_OK : ERR_AUTH);
    free((void *)(uintptr_t)content.data);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(file_read_secret(path, 10, &content, &why), ERR_OK);
    free((void *)(uintptr_t)content.data);
}

static void folders_are_made_where_they_are_missing(void **state)
{
    (void)state;
    struct why why = {.text = ""};
    char deep[96];
    snprintf(deep, sizeof deep, "%s/a/b/c", folder);
    assert_int_equal(file_make_folders(deep, &why), ERR_OK);
    assert_int_equal(file_make_folders(deep, &why), ERR_OK);
    struct stat s;
    assert_int_equal(stat(deep, &s), 0);
    assert_int_equal(s.st_mode & 0777 & ~0750U, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rmdir(deep), 0);
        *strrchr(deep, '/') = 0;
    }
    snprintf(deep, sizeof deep, "%s/a", path); /* below a file */
    assert_int_not_equal(file_make_folders(deep, &why), ERR_OK);
    assert_int_equal(file_make_folders(path, &why), ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replacing_is_synced_in_order),
        cmocka_unit_test(reading_is_bounded),
        cmocka_unit_test(secrets_are_for_their_owner),
        cmocka_unit_test(folders_are_made_where_they_are_missing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
