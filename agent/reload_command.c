/* weir reload: the running agent reads its configuration anew, and says what came of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"

static const char *text_of(const struct json_node *parent, const char *name)
{
    const char *text = json_node_text(json_node_find(parent, name));
    return text ? text : "";
}

static void print_each(const struct json_node *root, const char *name, const char *words)
{
    const struct json_node *list = json_node_find(root, name);
    for (const struct json_node *path = list ? list->child : NULL; path; path = path->next) {
        printf("%s: %s\n", json_node_text(path), words);
    }
}

/* Each stream whose schema is another one; the exit code that follows. */
static int print_streams(const struct json_node *root)
{
    int code = EXIT_FINE;
    const struct json_node *streams = json_node_find(root, "streams");
    for (const struct json_node *s = streams ? streams->child : NULL; s; s = s->next) {
        int64_t schema = 0;
        const char *result = text_of(s, "result");
        if (!json_node_integer(json_node_find(s, "schema"), &schema)) {
            schema = 0;
        }
        printf("stream %s: %s%s%s; events have schema %lld\n", text_of(s, "name"), result,
               text_of(s, "text")[0] ? ": " : "", text_of(s, "text"), (long long)schema);
        if (strcmp(result, "failed") == 0) {
            code = EXIT_FAILED;
        } else if (strcmp(result, "accepted") != 0 && code == EXIT_FINE) {
            code = EXIT_NEGATIVE;
        }
    }
    return code;
}

/* Drivers that can't be opened now; the exit code that follows. */
static int print_waiting(const struct json_node *root)
{
    const struct json_node *waiting = json_node_find(root, "waiting");
    for (const struct json_node *d = waiting ? waiting->child : NULL; d; d = d->next) {
        printf("driver %s: not open, and tried again: %s\n", text_of(d, "name"),
               text_of(d, "text"));
    }
    return waiting && waiting->child ? EXIT_NEGATIVE : EXIT_FINE;
}

static int print_answer(const struct json_node *root)
{
    const struct json_node *mistakes = json_node_find(root, "mistakes");
    if (mistakes) {
        for (const struct json_node *line = mistakes->child; line; line = line->next) {
            fprintf(stderr, "%s\n", json_node_text(line));
        }
        fprintf(stderr, "weir reload: nothing is changed: the configuration has mistakes\n");
        return EXIT_USAGE;
    }
    int code = print_streams(root);
    print_each(root, "taken", "taken up");
    print_each(root, "needs_restart", "another now: a restart takes it up");
    int waiting = print_waiting(root);
    return code ? code : waiting;
}

static int show(const char *answer)
{
    struct json_tree *tree = NULL;
    size_t offset;
    struct why why = {""};
    enum err e = json_tree_open(&tree, slice_of_text(answer), &why, &offset);
    if (e) {
        fprintf(stderr, "weir reload: the agent's answer makes no sense: %s\n", why.text);
        return EXIT_FAILED;
    }
    int code = print_answer(json_tree_root(tree));
    json_tree_close(tree);
    int finished = command_finish();
    return finished ? finished : code;
}

int reload_command(int argc, char **argv)
{
    char beside[4200];
    const char *socket_path = NULL;
    const char *buffer_path = BUFFER_PATH_DEFAULT;
    for (int i = 0; i < argc; i++) {
        const char *value;
        if ((value = command_option(argc, argv, &i, "--socket"))) {
            socket_path = value;
        } else if ((value = command_option(argc, argv, &i, "--buffer"))) {
            buffer_path = value;
        } else {
            return command_misuse("reload", "usage: weir " RELOAD_USAGE);
        }
    }
    if (!socket_path) {
        command_socket_beside(buffer_path, beside, sizeof beside);
        socket_path = beside;
    }
    char *answer = NULL;
    struct why why = {""};
    bool waits;
    enum err e = command_ask_or_waiting(socket_path, "reload", &answer, &waits, &why);
    if (e) {
        fprintf(stderr, "weir reload: %s\n", why.text);
        return EXIT_FAILED;
    }
    int code = show(answer);
    free(answer);
    return code;
}
