/* weir status: asks the agent, and shows its JSON as it is, or as lines for a person; once, or each
 * second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "agent/command.h"
#include "agent/control.h"
#include "agent/status_print.h"
#include "ports/clock.h"

#define WATCH_MS 1000

#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_REST "\033[J"

/* What was asked last, and before; the tree is over the text. */
struct shown {
    char *text;
    struct json_tree *tree;
};

struct status_words {
    const char *socket_path;
    bool is_json;
    bool is_watch;
};

static void shown_release(struct shown *shown)
{
    json_tree_close(shown->tree);
    free(shown->text);
    *shown = (struct shown){NULL, NULL};
}

static int print_text(FILE *to, struct shown *now, const struct shown *before)
{
    size_t offset;
    struct why why = {""};
    enum err e = json_tree_open(&now->tree, slice_of_text(now->text), &why, &offset);
    if (e) {
        fprintf(stderr, "weir status: the agent's answer makes no sense: %s\n", why.text);
        return EXIT_FAILED;
    }
    status_print(to, json_tree_root(now->tree), before->tree ? json_tree_root(before->tree) : NULL);
    return EXIT_FINE;
}

/* Asks once, and prints it. `before` becomes what was asked. */
static int look(const struct status_words *words, FILE *to, struct shown *before)
{
    struct shown now = {NULL, NULL};
    struct why why = {""};
    bool waits;
    int code = EXIT_FINE;
    enum err e = command_ask_or_waiting(words->socket_path, "status", &now.text, &waits, &why);
    if (e) {
        shown_release(before);
        fprintf(words->is_watch && !words->is_json ? to : stderr, "weir status: %s\n", why.text);
        return e == ERR_CLOSED ? EXIT_NEGATIVE : EXIT_FAILED;
    }
    if (words->is_json) {
        fputs(now.text, to);
    } else {
        code = print_text(to, &now, before);
    }
    shown_release(before);
    *before = now;
    return code == EXIT_FINE && waits ? EXIT_NEGATIVE : code;
}

/* As many lines as the terminal has, over those that were there. */
static void show_screen(const char *text)
{
    struct winsize size = {.ws_row = 24};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 2) {
        size.ws_row = 24;
    }
    fputs(HOME, stdout);
    for (unsigned row = 1; row < size.ws_row && *text; row++) {
        size_t line = strcspn(text, "\n");
        int width = size.ws_col && line > size.ws_col ? (int)size.ws_col : (int)line;
        printf("%.*s" CLEAR_LINE "\n", width, text);
        text += text[line] ? line + 1 : line;
    }
    fputs(*text ? "..." CLEAR_REST : CLEAR_REST, stdout);
}

/* Until it is interrupted, or nobody reads any more. */
static int watch(const struct status_words *words)
{
    struct shown before = {NULL, NULL};
    int code = EXIT_FINE;
    bool is_terminal = isatty(STDOUT_FILENO) && !words->is_json;
    while (code == EXIT_FINE) {
        char *text = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&text, &size);
        if (!to) {
            fprintf(stderr, "weir status: no memory\n");
            code = EXIT_FAILED;
            break;
        }
        (void)look(words, to, &before); /* an agent that is away may come back */
        if (fclose(to) == 0 && is_terminal) {
            show_screen(text);
        } else if (size > 0) {
            printf("%s%s", text, words->is_json ? "" : "\n");
        }
        free(text);
        code = command_finish();
        if (code == EXIT_FINE) {
            clock_pause(WATCH_MS);
        }
    }
    shown_release(&before);
    return code;
}

int status_command(int argc, char **argv)
{
    char beside[4200];
    const char *buffer_path = BUFFER_PATH_DEFAULT;
    struct status_words words = {.socket_path = NULL};
    for (int i = 0; i < argc; i++) {
        const char *value;
        if (strcmp(argv[i], "--json") == 0) {
            words.is_json = true;
        } else if (strcmp(argv[i], "--watch") == 0) {
            words.is_watch = true;
        } else if ((value = command_option(argc, argv, &i, "--socket"))) {
            words.socket_path = value;
        } else if ((value = command_option(argc, argv, &i, "--buffer"))) {
            buffer_path = value;
        } else {
            return command_misuse("status", "usage: weir " STATUS_USAGE);
        }
    }
    if (!words.socket_path) {
        command_socket_beside(buffer_path, beside, sizeof beside);
        words.socket_path = beside;
    }
    if (words.is_watch) {
        return watch(&words);
    }
    struct shown shown = {NULL, NULL};
    int code = look(&words, stdout, &shown);
    int finished = command_finish();
    shown_release(&shown);
    return finished == EXIT_FINE ? code : finished;
}
