/* What the uplink `file` has written: real files, in a folder of the test's. */
#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/agent_site.h"
#include "tests/sim/sim.h"
#include "uplink/avro/container.h"

static void folder_of(struct site *site, char ret[300])
{
    (void)snprintf(ret, 300, "%s/out", site->folder);
}

/* Calls `each` for every file. */
static void files_each(struct site *site, void (*each)(struct site *site, const char *path))
{
    char folder[300], path[600];
    folder_of(site, folder);
    DIR *entries = opendir(folder);
    for (const struct dirent *entry; entries && (entry = readdir(entries));) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(site, path);
        }
    }
    if (entries) {
        (void)closedir(entries);
    }
}

static void file_remove(struct site *site, const char *path)
{
    (void)site;
    SIM_EXPECT(unlink(path) == 0);
}

void files_clear(struct site *site)
{
    char folder[300];
    folder_of(site, folder);
    files_each(site, file_remove);
    (void)rmdir(folder);
}

static enum err file_bytes(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    *ret_size = fread(data, 1, size, context);
    return ERR_OK;
}

/* Files with a codec of null hold datums as they are. */
static void read_file(struct site *site, const char *path)
{
    struct container_reader *reader;
    struct why why = {""};
    uint64_t count, last[2] = {0, 0};
    struct slice raw;
    if (!strstr(path, ".avro")) {
        return;
    }
    FILE *file = fopen(path, "rb");
    SIM_EXPECT(file != NULL);
    enum err e = container_reader_open(&reader, file_bytes, file, &why);
    SIM_EXPECT(!e);
    while ((e = container_block(reader, &count, &raw, &why)) == ERR_OK) {
        const uint8_t *mark;
        while (raw.size > 0 && (mark = memmem(raw.data, raw.size, "(no.", 4))) {
            raw.size -= (size_t)(mark - raw.data);
            raw.data = mark;
            ledger_filed(&site->ledger, 1, ledger_number_in(raw), last);
            raw.data += 4;
            raw.size -= 4;
        }
    }
    SIM_EXPECT(e == ERR_CLOSED);
    container_reader_close(reader);
    (void)fclose(file);
}

void files_take(struct site *site)
{
    files_each(site, read_file);
}
