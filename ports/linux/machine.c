#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "ports/file.h"
#include "ports/identity.h"
#include "ports/lib/hash.h"

#define NAME_SIZE_MAX 129
#define PATH_SIZE_MAX 4096
#define TMPFS 0x01021994U
#define RAMFS 0x858458f6U

static const char purpose[] = "weir: the machine of a buffer"; /* as machine-id(5) asks for */

static bool has_id(const char *root, const char *file, struct slice id)
{
    char path[PATH_SIZE_MAX];
    struct slice content = {NULL, 0};
    (void)snprintf(path, sizeof path, "%s%s", root, file); /* longer: it is not there */
    if (file_read(path, NAME_SIZE_MAX, &content, NULL)) {
        return false;
    }
    bool has = slice_starts_with(content, id);
    free((void *)(uintptr_t)content.data);
    return has;
}

static bool is_in_memory(const char *root, const char *file)
{
    char path[PATH_SIZE_MAX];
    struct statfs of;
    (void)snprintf(path, sizeof path, "%s%s", root, file);
    return statfs(path, &of) != 0 || (uint32_t)of.f_type == TMPFS || (uint32_t)of.f_type == RAMFS;
}

/* Is the id there at the next boot, too? systemd has one in /run, and over /etc/machine-id, where
 * it can't, or shall not yet, keep it; where /var is in memory (OpenWrt), or /var/lib/dbus leads
 * there (Buildroot), D-Bus makes one at each boot. */
static bool is_kept(const char *root, struct slice id)
{
    const char *const *files = identity_machine_files;
    bool kept = false;
    for (size_t i = 0; files[i]; i++) {
        kept = kept || (has_id(root, files[i], id) && !is_in_memory(root, files[i]));
    }
    return kept && !has_id(root, "/run/machine-id", id);
}

static void put_mark(struct slice name, uint8_t ret[MACHINE_MARK_SIZE])
{
    uint8_t digest[HASH_SHA256_SIZE];
    hash_hmac(HASH_SHA256, name, (struct slice){(const uint8_t *)purpose, sizeof purpose - 1},
              digest);
    memcpy(ret, digest, MACHINE_MARK_SIZE);
}

void identity_machine(const char *root, struct machine *ret)
{
    uint8_t memory[NAME_SIZE_MAX];
    struct out name = out_over(memory, sizeof memory);
    *ret = (struct machine){{0}, {0}};
    if (!identity_put(IDENTITY_SERIAL, root, &name, NULL)) {
        put_mark(out_slice(&name), ret->board);
    }
    name.size = 0;
    if (!identity_put(IDENTITY_MACHINE, root, &name, NULL) && is_kept(root, out_slice(&name))) {
        put_mark(out_slice(&name), ret->system);
    }
}
