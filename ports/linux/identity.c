#include "ports/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ports/file.h"

#define IDENTITY_SIZE_MAX 128
#define MACHINE_ID_SIZE 32
#define PATH_SIZE_MAX 4096
#define CPUINFO_SIZE_MAX (64 * 1024)

const char *const identity_machine_files[] = {"/etc/machine-id", "/var/lib/dbus/machine-id", NULL};
static const char *const serial_files[] = {
    "/proc/device-tree/serial-number", "/sys/firmware/devicetree/base/serial-number",
    "/sys/class/dmi/id/product_serial", "/sys/class/dmi/id/board_serial", NULL};

/* Without what surrounds it: line ends, blanks, the NUL of the device tree. */
static struct slice trimmed(struct slice text)
{
    while (text.size && (text.data[0] <= ' ')) {
        text.data++;
        text.size--;
    }
    while (text.size && (text.data[text.size - 1] <= ' ')) {
        text.size--;
    }
    return text;
}

static bool is_name(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return text.size > 0 && text.size <= IDENTITY_SIZE_MAX;
}

static bool is_machine_id(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false; /* systemd's "uninitialized", too */
        }
    }
    return text.size == MACHINE_ID_SIZE;
}

/* What vendors leave in the place of a number. */
static bool is_serial(struct slice text)
{
    static const char *const none[] = {"0", "None", "Default", "0000000000000000", NULL};
    for (size_t i = 0; none[i]; i++) {
        if (slice_equal(text, slice_of_text(none[i]))) {
            return false;
        }
    }
    return is_name(text);
}

/* The first of the files that holds one. */
static bool put_first(const char *const *files, const char *root, bool (*is_one)(struct slice),
                      struct out *ret)
{
    for (size_t i = 0; files[i]; i++) {
        char path[PATH_SIZE_MAX];
        struct slice content = {NULL, 0};
        (void)snprintf(path, sizeof path, "%s%s", root, files[i]); /* longer: it is not there */
        if (file_read(path, IDENTITY_SIZE_MAX, &content, NULL)) {
            continue;
        }
        bool found = is_one(trimmed(content));
        if (found) {
            out_put_slice(ret, trimmed(content));
        }
        free((void *)(uintptr_t)content.data);
        if (found) {
            return true;
        }
    }
    return false;
}

/* "Serial\t\t: 10000000abcdef01", on boards of the Raspberry Pi and others. */
static bool put_cpuinfo(const char *root, struct out *ret)
{
    char path[PATH_SIZE_MAX];
    struct slice content = {NULL, 0};
    (void)snprintf(path, sizeof path, "%s/proc/cpuinfo", root);
    if (file_read(path, CPUINFO_SIZE_MAX, &content, NULL)) {
        return false;
    }
    bool found = false;
    struct slice rest = content;
    while (rest.size && !found) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        size_t size = end ? (size_t)(end - rest.data) : rest.size;
        const uint8_t *colon = memchr(rest.data, ':', size);
        if (colon && slice_starts_with(rest, SLICE("Serial"))) {
            struct slice value =
                trimmed((struct slice){colon + 1, size - (size_t)(colon + 1 - rest.data)});
            found = is_serial(value);
            if (found) {
                out_put_slice(ret, value);
            }
        }
        size += end != NULL;
        rest = (struct slice){rest.data + size, rest.size - size};
    }
    free((void *)(uintptr_t)content.data);
    return found;
}

static bool put_host_name(struct out *ret)
{
    char name[IDENTITY_SIZE_MAX + 1] = "";
    if (gethostname(name, sizeof name - 1) != 0 || !is_name(slice_of_text(name))) {
        return false;
    }
    out_put_text(ret, name);
    return true;
}

enum err identity_put(enum identity identity, const char *root, struct out *ret, struct why *why)
{
    bool found = false;
    switch (identity) {
    case IDENTITY_MACHINE:
        found = put_first(identity_machine_files, root, is_machine_id, ret);
        why_set(why, "this machine has no id: /etc/machine-id (systemd-machine-id-setup makes it)");
        break;
    case IDENTITY_SERIAL:
        found = put_first(serial_files, root, is_serial, ret) || put_cpuinfo(root, ret);
        why_set(why, "this machine tells no serial number: device tree, DMI (which root alone may "
                     "read) and /proc/cpuinfo were looked at");
        break;
    case IDENTITY_HOST_NAME:
        found = put_host_name(ret);
        why_set(why, "this machine has no host name");
        break;
    }
    if (found && why) {
        why->text[0] = '\0';
    }
    return found ? ERR_OK : ERR_CONFIG;
}
