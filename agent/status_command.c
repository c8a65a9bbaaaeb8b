/* weir status: asks the agent, and shows its JSON as it is, or as lines for a person. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "agent/control.h"

#define MEBIBYTE (1024.0 * 1024.0)

/* A number as the agent wrote it; "?" when it says nothing. */
static const char *number_text(const struct json_node *parent, const char *name, char text[32])
{
    const struct json_node *node = json_node_find(parent, name);
    bool is_there = node && node->kind == JSON_NUMBER && node->text.size < 32;
    (void)snprintf(text, 32, "%.*s", is_there ? (int)node->text.size : 1,
                   is_there ? (const char *)node->text.data : "?"); /* fits */
    return text;
}

static double number_of(const struct json_node *parent, const char *name)
{
    char text[32];
    return strtod(number_text(parent, name, text), NULL);
}

static const char *text_of(const struct json_node *parent, const char *name)
{
    const char *text = json_node_text(json_node_find(parent, name));
    return text ? text : "";
}

static void print_totals(const struct json_node *root)
{
    static const struct {
        const char *member;
        const char *words;
    } totals[] = {{"events", "taken"},    {"stored", "stored"},   {"delivered", "delivered"},
                  {"backlog", "waiting"}, {"aside", "set aside"}, {"refused", "refused"}};
    char text[32];
    printf("weir %s, agent %s, %s since %s\nevents   ", text_of(root, "version"),
           text_of(root, "agent"), text_of(root, "state"), text_of(root, "started"));
    for (size_t i = 0; i < ARRAY_COUNT(totals); i++) {
        printf("%s%s %s", i ? ", " : "", number_text(root, totals[i].member, text),
               totals[i].words);
    }
    if (number_of(root, "suppressed") > 0) {
        printf(", %s held back by deadbands", number_text(root, "suppressed", text));
    }
    const struct json_node *buffer = json_node_find(root, "buffer");
    printf("\nbuffer   %s, %.1f of %.1f MiB, %.1f %% in use\n", text_of(buffer, "path"),
           number_of(buffer, "size") / MEBIBYTE, number_of(buffer, "size_max") / MEBIBYTE,
           number_of(buffer, "used_share") * 100);
    if (text_of(buffer, "trouble")[0]) {
        printf("TROUBLE  %s\n", text_of(buffer, "trouble"));
    }
    if (number_of(buffer, "unsaved") > 0) {
        printf("UNSAVED  what was sent since then is on record in memory only: a restart now sends "
               "it again\n");
    }
    const struct json_node *damage = json_node_find(buffer, "damage");
    if (number_of(damage, "replaced") + number_of(damage, "logs") > 0) {
        printf("DAMAGE   the buffer's file was damaged since the start: %s events salvaged, ",
               number_text(damage, "found", text));
        printf("%s lost\n", number_text(damage, "lost", text));
    }
}

void command_print_streams(const struct json_node *streams)
{
    char text[4][32];
    printf("%-32s %12s %14s %12s %10s\n", "STREAM", "EVENTS", "BYTES", "NEXT", "DROPPED");
    for (const struct json_node *s = streams ? streams->child : NULL; s; s = s->next) {
        printf("%-32s %12s %14s %12s %10s\n", text_of(s, "name"), number_text(s, "events", text[0]),
               number_text(s, "bytes", text[1]), number_text(s, "sequence_next", text[2]),
               number_text(s, "dropped", text[3]));
    }
}

static void print_refusals(const struct json_node *streams)
{
    char number[2][32];
    for (const struct json_node *s = streams ? streams->child : NULL; s; s = s->next) {
        const struct json_node *refused = json_node_find(s, "schema_refused");
        if (!refused || refused->kind != JSON_OBJECT_BEGIN) {
            continue;
        }
        printf(
            "\nSCHEMA of stream %s is refused (compatibility %s, findings: %s); events go on under "
            "schema %s\n",
            text_of(s, "name"), text_of(refused, "compatibility"),
            number_text(refused, "count", number[0]), number_text(s, "schema", number[1]));
        if (text_of(refused, "text")[0]) {
            printf("  %s\n", text_of(refused, "text"));
        }
        const struct json_node *findings = json_node_find(refused, "findings");
        for (const struct json_node *f = findings ? findings->child : NULL; f; f = f->next) {
            printf("  %s %s (schema %s): %s: %s\n", text_of(f, "kind"), text_of(f, "location"),
                   number_text(f, "schema", number[0]), text_of(f, "text"), text_of(f, "way_out"));
        }
    }
}

static void print_added(const struct json_node *streams)
{
    char number[2][32];
    for (const struct json_node *s = streams ? streams->child : NULL; s; s = s->next) {
        if (number_of(s, "fields_added") > 0) {
            printf("\nstream %s: its schema got %s fields from events: schema %s\n",
                   text_of(s, "name"), number_text(s, "fields_added", number[0]),
                   number_text(s, "schema", number[1]));
        }
    }
}

/* Each driver or uplink with all its numbers, whatever these are. */
static void print_parts(const char *title, const struct json_node *parts)
{
    for (const struct json_node *part = parts ? parts->child : NULL; part; part = part->next) {
        bool is_first = true;
        printf("\n%s %s (%s)\n  ", title, part->name, text_of(part, "type"));
        for (const struct json_node *gauge = part->child; gauge; gauge = gauge->next) {
            if (gauge->kind == JSON_NUMBER) {
                printf("%s%s %.*s", is_first ? "" : ", ", gauge->name, (int)gauge->text.size,
                       (const char *)gauge->text.data);
                is_first = false;
            }
        }
        putchar('\n');
        if (text_of(part, "fault")[0]) {
            printf("  FAULT: %s\n", text_of(part, "fault"));
        }
        const struct json_node *standing = json_node_find(part, "standing");
        for (standing = standing ? standing->child : NULL; standing; standing = standing->next) {
            printf("  FAULT of stream %s: %s\n", standing->name, json_node_text(standing));
        }
    }
}

/* A link as lines: what it lets through, its budgets, the last months. */
static void print_link(const struct json_node *link)
{
    char text[32];
    printf("\nlink %s%s%s%s\n", link->name, text_of(link, "interface")[0] ? " on " : "",
           text_of(link, "interface"), text_of(link, "why")[0] ? "" : ", all priorities go");
    if (text_of(link, "why")[0]) {
        printf("  WAIT: %s\n", text_of(link, "why"));
    }
    const struct json_node *budgets = json_node_find(link, "budgets");
    for (const struct json_node *b = budgets ? budgets->child : NULL; b; b = b->next) {
        printf("  budget of the %s: %.1f of %.1f kB spent, until %s\n", b->name,
               number_of(b, "spent") / 1000, number_of(b, "max") / 1000,
               text_of(b, "until")[0] ? text_of(b, "until") : "the clock is known");
    }
    const struct json_node *months = json_node_find(link, "months");
    for (const struct json_node *m = months ? months->child : NULL; m; m = m->next) {
        printf("  %s: %s bytes sent, ", text_of(m, "month"), number_text(m, "sent", text));
        printf("%s received\n", number_text(m, "received", text));
    }
}

static int print_text(const char *answer)
{
    struct json_tree *tree = NULL;
    size_t offset;
    struct why why = {""};
    enum err e = json_tree_open(&tree, slice_of_text(answer), &why, &offset);
    if (e) {
        fprintf(stderr, "weir status: the agent's answer makes no sense: %s\n", why.text);
        return EXIT_FAILED;
    }
    const struct json_node *root = json_tree_root(tree);
    if (strcmp(text_of(root, "state"), "waiting") == 0) {
        printf("weir %s, agent %s, is waiting for its buffer: %s\n", text_of(root, "version"),
               text_of(root, "agent"), text_of(root, "why"));
    } else {
        print_totals(root);
        putchar('\n');
        command_print_streams(json_node_find(root, "streams"));
        print_refusals(json_node_find(root, "streams"));
        print_added(json_node_find(root, "streams"));
        print_parts("driver", json_node_find(root, "drivers"));
        print_parts("uplink", json_node_find(root, "uplinks"));
        const struct json_node *links = json_node_find(root, "links");
        for (const struct json_node *link = links ? links->child : NULL; link; link = link->next) {
            print_link(link);
        }
    }
    json_tree_close(tree);
    return command_finish();
}

/* The agent, or one that waits for its buffer. */
static enum err ask(const char *socket_path, char **ret, bool *ret_waits, struct why *why)
{
    char memory[256];
    struct out waiting = out_over(memory, sizeof memory);
    enum err e = command_ask(socket_path, "status", ret, why);
    out_put_text(&waiting, socket_path);
    out_put(&waiting, CONTROL_WAITING, sizeof CONTROL_WAITING);
    *ret_waits =
        e == ERR_CLOSED && !waiting.overflow && command_ask(memory, "status", ret, NULL) == ERR_OK;
    return *ret_waits ? ERR_OK : e;
}

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
    bool waits;
    enum err e = ask(socket_path, &answer, &waits, &why);
    if (e) {
        fprintf(stderr, "weir status: %s\n", why.text);
        return e == ERR_CLOSED ? EXIT_NEGATIVE : EXIT_FAILED;
    }
    int code;
    if (json) {
        fputs(answer, stdout);
        code = command_finish();
    } else {
        code = print_text(answer);
    }
    free(answer);
    return code == EXIT_FINE && waits ? EXIT_NEGATIVE : code;
}
