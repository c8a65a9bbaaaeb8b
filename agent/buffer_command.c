/* weir buffer ls|cat, weir aside ls: through the agent when it runs, else from the file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "agent/control.h"
#include "buffer/buffer.h"

#define SCHEMA_MAX 4096
#define READ_SIZE (512 * 1024)
#define LINE_SIZE_MAX (16 * 1024 * 1024)

struct buffer_arguments {
    const char *buffer_path;
    char socket_path[4200];
    const char *stream;
    uint64_t first;
    uint64_t count;
    bool json;
};

static bool number_of(const char *text, uint64_t *ret)
{
    char *end = NULL;
    *ret = strtoull(text, &end, 10);
    return *text && !*end;
}

static int parse(int argc, char **argv, struct buffer_arguments *a, const char *what)
{
    *a = (struct buffer_arguments){
        .buffer_path = BUFFER_PATH_DEFAULT, .first = 1, .count = UINT64_MAX};
    const char *socket_path = NULL;
    for (int i = 0; i < argc; i++) {
        const char *value;
        if (strcmp(argv[i], "--json") == 0) {
            a->json = true;
        } else if ((value = command_option(argc, argv, &i, "--buffer"))) {
            a->buffer_path = value;
        } else if ((value = command_option(argc, argv, &i, "--socket"))) {
            socket_path = value;
        } else if ((value = command_option(argc, argv, &i, "--first"))) {
            if (!number_of(value, &a->first) || a->first == 0) {
                return command_misuse(what, "--first is a sequence, from 1");
            }
        } else if ((value = command_option(argc, argv, &i, "--count"))) {
            if (!number_of(value, &a->count)) {
                return command_misuse(what, "--count is a number");
            }
        } else if (argv[i][0] != '-' && !a->stream) {
            a->stream = argv[i];
        } else {
            return command_misuse(what, "see weir buffer --help, weir aside --help");
        }
    }
    if (socket_path) {
        (void)snprintf(a->socket_path, sizeof a->socket_path, "%s",
                       socket_path); /* too long: connecting says so */
    } else {
        command_socket_beside(a->buffer_path, a->socket_path, sizeof a->socket_path);
    }
    return EXIT_FINE;
}

static int failed(const char *what, const struct why *why)
{
    fprintf(stderr, "weir %s: %s\n", what, why->text);
    return EXIT_FAILED;
}

/* --- the buffer of a stopped agent --- */

struct offline {
    struct buffer *buffer;
    struct slice schemas[SCHEMA_MAX];
    char identity[32];
};

static void keep_schema(void *context, uint16_t stream, uint32_t schema, struct slice json)
{
    struct offline *o = context;
    (void)stream;
    if (schema < SCHEMA_MAX && !o->schemas[schema].data) {
        uint8_t *copy = malloc(json.size + 1);
        if (copy) {
            memcpy(copy, json.data, json.size);
            o->schemas[schema] = (struct slice){copy, json.size};
        }
    }
}

static void offline_close(struct offline *o)
{
    for (size_t i = 0; o && i < SCHEMA_MAX; i++) {
        free((void *)(uintptr_t)o->schemas[i].data);
    }
    if (o) {
        buffer_close(o->buffer);
    }
    free(o);
}

static struct offline *offline_open(const char *path, struct why *why)
{
    struct offline *o = calloc(1, sizeof *o);
    struct buffer_setup *setup = calloc(1, sizeof *setup);
    enum err e = o && setup ? ERR_OK : ERR_NOMEM;
    if (!e) {
        setup->path = path;
        setup->read_only = true;
        setup->size_max = INT64_C(1) << 40;
        setup->event_size_max = EVENT_SIZE_LIMIT;
        e = buffer_open(&o->buffer, setup, why);
    }
    free(setup);
    e = e ? e : buffer_schema_each(o->buffer, keep_schema, o);
    if (e) {
        offline_close(o);
        return NULL;
    }
    (void)snprintf(o->identity, sizeof o->identity, "?/%08" PRIx32,
                   buffer_incarnation(o->buffer)); /* fits */
    return o;
}

static void print_stream(const char *name, const struct stream_state *s, bool json, bool first)
{
    if (json) {
        printf("%s{\"name\":\"%s\",\"events\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"sequence_next\":%" PRIu64 ",\"dropped\":%" PRIu64 "}",
               first ? "" : ",", name, s->event_count, s->size, s->sequence_next, s->dropped_count);
    } else {
        printf("%-32s %12" PRIu64 " events %14" PRIu64 " bytes   next %" PRIu64
               "   dropped %" PRIu64 "\n",
               name, s->event_count, s->size, s->sequence_next, s->dropped_count);
    }
}

static int offline_ls(struct offline *o, bool json)
{
    struct buffer_changes changes;
    bool first = true;
    buffer_state(o->buffer, &changes);
    printf("%s", json ? "{\"streams\":[" : "");
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        if (buffer_stream_name(o->buffer, s)[0]) {
            print_stream(buffer_stream_name(o->buffer, s), &changes.streams[s], json, first);
            first = false;
        }
    }
    printf("%s", json ? "]}\n" : "");
    return EXIT_FINE;
}

static int offline_cat(struct offline *o, const struct buffer_arguments *a)
{
    uint16_t number = buffer_stream_number(o->buffer, a->stream);
    struct buffer_changes changes;
    struct why why = {""};
    struct rows rows = {
        .events = malloc(ROWS_EVENT_MAX * sizeof *rows.events),
        .event_max = ROWS_EVENT_MAX,
        .arena = out_over(malloc(READ_SIZE + EVENT_SIZE_LIMIT), READ_SIZE + EVENT_SIZE_LIMIT)};
    struct out line = out_over(malloc(LINE_SIZE_MAX), LINE_SIZE_MAX);
    enum err e = rows.events && rows.arena.data && line.data ? ERR_OK : ERR_NOMEM;
    if (number == 0) {
        why_set(&why, "there is no stream \"%s\"", a->stream);
        e = ERR_REJECTED;
    }
    buffer_state(o->buffer, &changes);
    struct range range = {a->first, changes.streams[number].sequence_next - 1};
    uint64_t left = a->count;
    while (!e && number && range.first <= range.last && left > 0) {
        e = buffer_read(o->buffer, number, range, READ_SIZE, &rows, &why);
        for (size_t i = 0; !e && i < rows.event_count && left > 0; i++, left--) {
            const struct stored_event *event = &rows.events[i];
            line.size = 0;
            line.overflow = false;
            dump_event(&line, a->stream, event,
                       event->schema < SCHEMA_MAX ? o->schemas[event->schema]
                                                  : (struct slice){NULL, 0},
                       o->identity);
            fwrite(line.data, 1, line.size, stdout);
        }
        range.first = rows.covered.last + 1;
    }
    free(rows.events);
    free(rows.arena.data);
    free(line.data);
    return e ? failed("buffer cat", &why) : EXIT_FINE;
}

/* --- through the agent --- */

/* Takes the last line, {"next":N}, off the answer. */
static uint64_t take_next(char *answer)
{
    char *last = strstr(answer, "{\"next\":");
    for (char *at = last; at && (at = strstr(at + 1, "\n{\"next\":"));) {
        last = at + 1;
    }
    uint64_t next = last ? strtoull(last + 8, NULL, 10) : 0;
    if (last) {
        *last = 0;
    }
    return next;
}

/* Prints answer after answer until there is no more. *ret_next: where to go on; 0: the end. */
static enum err online_page(const struct buffer_arguments *a, const char *request,
                            uint64_t *ret_next, struct why *why)
{
    char *answer = NULL;
    enum err e = command_ask(a->socket_path, request, &answer, why);
    if (e) {
        return e;
    }
    *ret_next = take_next(answer);
    if (strncmp(answer, "{\"error\"", 8) == 0) {
        why_set(why, "%s", answer);
        e = ERR_REJECTED;
    } else {
        fputs(answer, stdout);
    }
    free(answer);
    return e;
}

static int online_cat(const struct buffer_arguments *a)
{
    struct why why = {""};
    uint64_t next = a->first;
    uint64_t left = a->count;
    while (left > 0 && next > 0) {
        char request[160];
        uint64_t first = next;
        uint64_t count = left < CONTROL_CAT_MAX ? left : CONTROL_CAT_MAX;
        (void)snprintf(request, sizeof request, "cat %s %" PRIu64 " %" PRIu64, a->stream, first,
                       count); /* names are shorter */
        if (online_page(a, request, &next, &why)) {
            return failed("buffer cat", &why);
        }
        left -= count;
    }
    return EXIT_FINE;
}

int buffer_command(int argc, char **argv)
{
    struct buffer_arguments a;
    struct why why = {""};
    if (argc < 1 || (strcmp(argv[0], "ls") != 0 && strcmp(argv[0], "cat") != 0)) {
        return command_misuse(
            "buffer",
            "usage: weir buffer ls|cat [STREAM] [--buffer PATH] [--first N] [--count N] [--json]");
    }
    int code = parse(argc - 1, argv + 1, &a, "buffer");
    if (code) {
        return code;
    }
    if (strcmp(argv[0], "cat") == 0 && !a.stream) {
        return command_misuse("buffer cat", "name a stream; weir buffer ls lists them");
    }
    char *answer = NULL;
    if (command_ask(a.socket_path, a.json ? "streams" : "streams text", &answer, &why) == ERR_OK) {
        if (strcmp(argv[0], "ls") == 0) {
            fputs(answer, stdout);
        }
        free(answer);
        return strcmp(argv[0], "ls") == 0 ? EXIT_FINE : online_cat(&a);
    }
    struct offline *o = offline_open(a.buffer_path, &why);
    if (!o) {
        return failed("buffer", &why);
    }
    code = strcmp(argv[0], "ls") == 0 ? offline_ls(o, a.json) : offline_cat(o, &a);
    offline_close(o);
    return code;
}

/* --- set-aside events --- */

struct aside_listing {
    struct offline *offline;
    struct out line;
    int64_t last;
    size_t count;
};

static void print_aside(void *context, int64_t id, const struct aside *aside)
{
    struct aside_listing *l = context;
    l->line.size = 0;
    l->line.overflow = false;
    dump_aside(&l->line, id, aside, buffer_stream_name(l->offline->buffer, aside->stream));
    fwrite(l->line.data, 1, l->line.size, stdout);
    l->last = id;
    l->count++;
}

static int offline_aside(const struct buffer_arguments *a)
{
    struct why why = {""};
    struct aside_listing l = {.offline = offline_open(a->buffer_path, &why),
                              .line = out_over(malloc(LINE_SIZE_MAX), LINE_SIZE_MAX)};
    enum err e = l.offline && l.line.data ? ERR_OK : ERR_NOMEM;
    do {
        l.count = 0;
        e = e ? e : buffer_aside_each(l.offline->buffer, l.last, 256, print_aside, &l, &why);
    } while (!e && l.count > 0);
    offline_close(l.offline);
    free(l.line.data);
    return e ? failed("aside ls", &why) : EXIT_FINE;
}

int aside_command(int argc, char **argv)
{
    struct buffer_arguments a;
    struct why why = {""};
    if (argc < 1 || strcmp(argv[0], "ls") != 0) {
        return command_misuse("aside", "usage: weir aside ls [--buffer PATH] [--json]");
    }
    int code = parse(argc - 1, argv + 1, &a, "aside");
    if (code) {
        return code;
    }
    uint64_t next = 0;
    do {
        char request[80];
        (void)snprintf(request, sizeof request, "aside %" PRIu64 " 256", next); /* fits */
        enum err e = online_page(&a, request, &next, &why);
        if (e == ERR_CLOSED) {
            return offline_aside(&a);
        }
        if (e) {
            return failed("aside ls", &why);
        }
    } while (next > 0);
    return EXIT_FINE;
}
