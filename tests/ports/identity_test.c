#include "ports/identity.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ports/file.h"
#include "tests/cmocka.h"

struct root {
    char path[64];
};

static int begin_in(void **state, const char *folder)
{
    static struct root root;
    (void)snprintf(root.path, sizeof root.path, "%s/weir-identity.XXXXXX",
                   access(folder, W_OK) == 0 ? folder : "/tmp");
    assert_non_null(mkdtemp(root.path));
    *state = &root;
    return 0;
}

static int begin(void **state)
{
    return begin_in(state, "/tmp");
}

/* Where that is on the disk. */
static int begin_kept(void **state)
{
    return begin_in(state, "/var/tmp");
}

static int begin_in_memory(void **state)
{
    return begin_in(state, "/dev/shm");
}

static bool is_in_memory(const struct root *root)
{
    struct statfs of;
    assert_int_equal(statfs(root->path, &of), 0);
    return (uint32_t)of.f_type == 0x01021994U; /* a tmpfs */
}

static int end(void **state)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", ((struct root *)*state)->path);
    return system(command);
}

static void put(const struct root *root, const char *name, const void *text, size_t size)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s%s", root->path, name);
    *strrchr(path, '/') = '\0';
    assert_int_equal(file_make_folders(path, NULL), ERR_OK);
    path[strlen(path)] = '/';
    assert_int_equal(file_replace(path, (struct slice){text, size}, 0644, NULL), ERR_OK);
}

static void is(const struct root *root, enum identity identity, const char *wanted)
{
    char text[256] = "";
    struct out o = out_over(text, sizeof text - 1);
    struct why why = {"?"};
    assert_int_equal(identity_put(identity, root->path, &o, &why), wanted ? ERR_OK : ERR_CONFIG);
    text[o.size] = '\0';
    assert_string_equal(text, wanted ? wanted : "");
    assert_true(wanted ? !why.text[0] : strlen(why.text) > 10);
}

static void a_machine_has_its_id(void **state)
{
    const struct root *root = *state;
    is(root, IDENTITY_MACHINE, NULL);
    put(root, "/var/lib/dbus/machine-id", "fedcba9876543210fedcba9876543210\n", 33);
    is(root, IDENTITY_MACHINE, "fedcba9876543210fedcba9876543210");
    put(root, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n", 33);
    is(root, IDENTITY_MACHINE, "0123456789abcdef0123456789abcdef");
    put(root, "/etc/machine-id", "uninitialized\n", 14); /* before the first boot is over */
    is(root, IDENTITY_MACHINE, "fedcba9876543210fedcba9876543210");
}

static void a_board_has_its_serial_number(void **state)
{
    static const char cpuinfo[] = "processor\t: 0\nHardware\t: BCM2835\nRevision\t: a020d3\n"
                                  "Serial\t\t: 00000000deadbeef\nModel\t\t: some board\n";
    static const char no_serial[] = "processor\t: 0\nSerial\t\t: 0000000000000000\n";
    const struct root *root = *state;
    is(root, IDENTITY_SERIAL, NULL);
    put(root, "/proc/cpuinfo", no_serial, sizeof no_serial - 1);
    is(root, IDENTITY_SERIAL, NULL);
    put(root, "/proc/cpuinfo", cpuinfo, sizeof cpuinfo - 1);
    is(root, IDENTITY_SERIAL, "00000000deadbeef");
    put(root, "/sys/class/dmi/id/product_serial", "To be filled\n", 13);
    is(root, IDENTITY_SERIAL, "00000000deadbeef"); /* a name has no blanks */
    put(root, "/sys/class/dmi/id/board_serial", "SN-77\n", 6);
    is(root, IDENTITY_SERIAL, "SN-77");
    put(root, "/proc/device-tree/serial-number", "10000000abcdef01", 17); /* with its NUL */
    is(root, IDENTITY_SERIAL, "10000000abcdef01");
}

static void a_host_has_its_name(void **state)
{
    char name[129] = "";
    assert_int_equal(gethostname(name, sizeof name - 1), 0);
    is(*state, IDENTITY_HOST_NAME, name);
}

static void marks(const struct root *root, struct machine *ret)
{
    struct machine again;
    identity_machine(root->path, ret);
    identity_machine(root->path, &again);
    assert_memory_equal(ret, &again, sizeof again);
}

static bool is_none(const uint8_t mark[MACHINE_MARK_SIZE])
{
    static const uint8_t none[MACHINE_MARK_SIZE] = {0};
    return memcmp(mark, none, MACHINE_MARK_SIZE) == 0;
}

static void a_machine_is_known_by_what_stays(void **state)
{
    static const char id[] = "0123456789abcdef0123456789abcdef\n";
    const struct root *root = *state;
    struct machine before;
    struct machine now;
    if (is_in_memory(root)) {
        skip();
    }
    marks(root, &before);
    assert_true(is_none(before.board) && is_none(before.system));
    put(root, "/etc/machine-id", id, 33);
    marks(root, &before);
    assert_true(is_none(before.board) && !is_none(before.system));
    put(root, "/proc/device-tree/serial-number", "10000000abcdef01", 17);
    marks(root, &now);
    assert_false(is_none(now.board));
    assert_memory_equal(now.system, before.system, MACHINE_MARK_SIZE);
    put(root, "/proc/device-tree/serial-number", "10000000abcdef02", 17);
    before = now;
    marks(root, &now);
    assert_memory_not_equal(now.board, before.board, MACHINE_MARK_SIZE);
    /* What is stored does not tell the name, by its own hash either. */
    assert_memory_not_equal(now.system, id, MACHINE_MARK_SIZE);
}

static void an_id_of_this_boot_is_none(void **state)
{
    static const char id[] = "0123456789abcdef0123456789abcdef\n";
    const struct root *root = *state;
    struct machine now;
    if (is_in_memory(root)) {
        skip();
    }
    put(root, "/etc/machine-id", "uninitialized\n", 14);
    marks(root, &now);
    assert_true(is_none(now.system));
    put(root, "/etc/machine-id", id, 33);
    put(root, "/run/machine-id", id, 33); /* systemd's, over a file that can't be written */
    marks(root, &now);
    assert_true(is_none(now.system));
    put(root, "/run/machine-id", "fedcba9876543210fedcba9876543210\n", 33);
    marks(root, &now);
    assert_false(is_none(now.system));
}

/* As OpenWrt's and Buildroot's D-Bus make one at each boot. */
static void an_id_in_memory_is_none(void **state)
{
    static const char id[] = "0123456789abcdef0123456789abcdef\n";
    const struct root *root = *state;
    struct machine now;
    if (!is_in_memory(root)) {
        skip();
    }
    put(root, "/var/lib/dbus/machine-id", id, 33);
    marks(root, &now);
    assert_true(is_none(now.system));
    put(root, "/etc/machine-id", id, 33);
    marks(root, &now);
    assert_true(is_none(now.system));
    put(root, "/proc/device-tree/serial-number", "10000000abcdef01", 17);
    marks(root, &now);
    assert_false(is_none(now.board));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_has_its_id, begin, end),
        cmocka_unit_test_setup_teardown(a_board_has_its_serial_number, begin, end),
        cmocka_unit_test_setup_teardown(a_host_has_its_name, begin, end),
        cmocka_unit_test_setup_teardown(a_machine_is_known_by_what_stays, begin_kept, end),
        cmocka_unit_test_setup_teardown(an_id_of_this_boot_is_none, begin_kept, end),
        cmocka_unit_test_setup_teardown(an_id_in_memory_is_none, begin_in_memory, end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
