/* Feeds each file of the folders and files it is given to a fuzz target once: how the corpus is
 * replayed where there is no libFuzzer. Exit 0: no crash. */
#include <dirent.h>
#include <limits.h>

#include "ports/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REPLAY_SIZE_MAX (16 * 1024 * 1024)

static int replay_file(const char *path)
{
    struct slice input;
    struct why why;
    if (file_read(path, REPLAY_SIZE_MAX, &input, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return -1;
    }
    /* A copy of the exact size, so that the sanitizer sees every byte read behind the end. */
    uint8_t *copy = malloc(input.size ? input.size : 1);
    if (!copy) {
        return -1;
    }
    memcpy(copy, input.data, input.size);
    (void)LLVMFuzzerTestOneInput(copy, input.size);
    free(copy);
    free((void *)(uintptr_t)input.data);
    return 1;
}

static int replay_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) {
        return replay_file(path);
    }
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char file[PATH_MAX];
        int size = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || size < 0 || (size_t)size >= sizeof file) {
            continue;
        }
        if (replay_file(file) < 0) {
            count = -1;
            break;
        }
        count++;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);
        if (count < 0) {
            return 1;
        }
        total += count;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
