/* Files are real ones, in a folder of the test's; a crashed life writes no more. */
#define file_replace file_replace_real
#define file_make_folders file_make_folders_real
#define file_write_all file_write_all_real
#include "ports/linux/file.c"
#undef file_replace
#undef file_make_folders
#undef file_write_all

#include "tests/sim/sim.h"

enum err file_replace(const char *path, struct slice content, mode_t mode, struct why *why);
enum err file_make_folders(const char *path, struct why *why);
enum err file_write_all(int fd, struct slice data);

enum err file_replace(const char *path, struct slice content, mode_t mode, struct why *why)
{
    return sim_life_is_crashed() ? ERR_IO : file_replace_real(path, content, mode, why);
}

enum err file_make_folders(const char *path, struct why *why)
{
    return sim_life_is_crashed() ? ERR_IO : file_make_folders_real(path, why);
}

enum err file_write_all(int fd, struct slice data)
{
    return sim_life_is_crashed() ? ERR_IO : file_write_all_real(fd, data);
}
