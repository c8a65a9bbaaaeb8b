/* weir status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"

int status_command(int argc, char **argv)
{
    char beside[4200];
    const char *socket_path = NULL;
    const char *buffer_path = BUFFER_PATH_DEFAULT;
    bool json = false;
    for (int i = 0; i < argc; i++) {
        const char *value;
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if ((value = command_option(argc, argv, &i, "--socket"))) {
            socket_path = value;
        } else if ((value = command_option(argc, argv, &i, "--buffer"))) {
            buffer_path = value;
        } else {
            return command_misuse("status",
                                  "usage: weir status [--socket PATH] [--buffer PATH] [--json]");
        }
    }
    if (!socket_path) {
        command_socket_beside(buffer_path, beside, sizeof beside);
        socket_path = beside;
    }
    char *answer = NULL;
    struct why why = {""};
    enum err e = command_ask(socket_path, json ? "status" : "status text", &answer, &why);
    if (e) {
        fprintf(stderr, "weir status: %s\n", why.text);
        return e == ERR_CLOSED ? EXIT_NEGATIVE : EXIT_FAILED;
    }
    fputs(answer, stdout);
    free(answer);
    return EXIT_FINE;
}
