#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/file.h"
#include "ports/identity.h"
#include "ports/lib/hash.h"

#define NAME_SIZE_MAX 129
#define PATH_SIZE_MAX 4096

static const char purpose[] = "weir: the machine of a buffer"; /* as machine-id(5) asks for */

/* systemd has it in /run, too, and over /etc/machine-id, where it can't, or shall not yet, be kept. */
static bool is_of_this_boot(const char *root, struct slice id)
{
    char path[PATH_SIZE_MAX];
    struct slice content = {NULL, 0};
    (void)snprintf(path, sizeof path, "%s/run/machine-id", root); /* longer: it is not there */
    if (file_read(path, NAME_SIZE_MAX, &content, NULL)) {
        return false;
    }
    bool is_same = slice_starts_with(content, id);
    free((void *)(uintptr_t)content.data);
    return is_same;
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
    if (!identity_put(IDENTITY_MACHINE, root, &name, NULL) &&
        !is_of_this_boot(root, out_slice(&name))) {
        put_mark(out_slice(&name), ret->system);
    }
}
