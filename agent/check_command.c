/* weir check. */
#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "agent/online.h"

int check_command(int argc, char **argv)
{
    const char *path = NULL;
    bool online = false, json = false;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--online") == 0) {
            online = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (argv[i][0] == '-' || path) {
            return command_misuse("check", "usage: weir " CHECK_USAGE);
        } else {
            path = argv[i];
        }
    }
    if (json && !online) {
        return command_misuse("check", "--json belongs to --online");
    }
    int code;
    path = path ? path : CONFIG_PATH_DEFAULT;
    struct config *config =
        command_config(path, online ? COMMAND_SAY_FINDINGS : COMMAND_SAY_ALL, &code);
    if (config && online) {
        code = online_check(config, json);
    }
    config_close(config);
    return code;
}
