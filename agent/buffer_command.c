/* weir buffer ls|cat, weir aside ls: through the agent when it runs, else from the file. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/command.h"
#include "agent/control.h"
#include "buffer/buffer.h"

#define SCHEMA_MAX 4096
#define READ_SIZE (512 * 1024)
#define LINE_SIZE_MAX (16 * 1024 * 1024)
#define LISTING_SIZE_MAX (256 * 1024)

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
    size_t digits = strspn(text, "0123456789");
    *ret = strtoull(text, NULL, 10);
    return digits > 0 && digits < 20 && !text[digits];
}

/* argv[0] is "ls" or "cat". */
static int parse(int argc, char **argv, struct buffer_arguments *a, const char *what,
                 const char *usage)
{
    bool is_cat = strcmp(argv[0], "cat") == 0;
    *a = (struct buffer_arguments){
        .buffer_path = BUFFER_PATH_DEFAULT, .first = 1, .count = UINT64_MAX};
    const char *socket_path = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value;
        if (strcmp(argv[i], "--json") == 0) {
            a->json = true;
        } else if ((value = command_option(argc, argv, &i, "--buffer"))) {
            a->buffer_path = value;
        } else if ((value = command_option(argc, argv, &i, "--socket"))) {
            socket_path = value;
        } else if (is_cat && (value = command_option(argc, argv, &i, "--first"))) {
            if (!number_of(value, &a->first) || a->first == 0) {
                return command_misuse(what, "--first is a sequence, from 1");
            }
        } else if (is_cat && (value = command_option(argc, argv, &i, "--count"))) {
            if (!number_of(value, &a->count)) {
                return command_misuse(what, "--count is a number");
            }
        } else if (is_cat && argv[i][0] != '-' && !a->stream) {
            a->stream = argv[i];
        } else {
            fprintf(stderr, "weir %s: \"%s\" has no place here; usage: weir %s\n", what, argv[i],
                    usage);
            return EXIT_USAGE;
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

static int failed(const char *what, enum err e, const struct why *why)
{
    fprintf(stderr, "weir %s: %s\n", what, why->text[0] ? why->text : err_name(e));
    return e == ERR_REJECTED || e == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED;
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

static enum err offline_open(struct offline **ret, const char *path, struct why *why)
{
    if (access(path, F_OK)) {
        why_set(why, "there is no buffer at %s: --buffer PATH names another", path);
        return ERR_CONFIG;
    }
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
        return e;
    }
    (void)snprintf(o->identity, sizeof o->identity, "?/%08" PRIx32,
                   buffer_incarnation(o->buffer)); /* fits */
    *ret = o;
    return ERR_OK;
}

static void put_stream(struct out *json, const char *name, const struct stream_state *s)
{
    out_put_text(json, "{\"name\":");
    out_put_json(json, slice_of_text(name));
    out_put_format(json,
                   ",\"events\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"sequence_next\":%" PRIu64
                   ",\"dropped\":%" PRIu64 "}",
                   s->event_count, s->size, s->sequence_next, s->dropped_count);
}

/* What a running agent answers to "streams". */
static enum err offline_streams(struct offline *o, char **ret)
{
    struct buffer_changes changes;
    char *text = malloc(LISTING_SIZE_MAX + 1);
    struct out json = out_over(text, LISTING_SIZE_MAX);
    if (!text) {
        return ERR_NOMEM;
    }
    buffer_state(o->buffer, &changes);
    out_put_text(&json, "{\"streams\":[");
    bool is_first = true;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        const char *name = buffer_stream_name(o->buffer, s);
        if (name[0]) {
            out_put_text(&json, is_first ? "" : ",");
            put_stream(&json, name, &changes.streams[s]);
            is_first = false;
        }
    }
    out_put_text(&json, "]}\n");
    assert(!json.overflow); /* 256 names of 63 characters, each perhaps escaped */
    text[json.size] = 0;
    *ret = text;
    return ERR_OK;
}

static int print_streams(const char *answer, bool json)
{
    struct json_tree *tree = NULL;
    struct why why = {""};
    size_t offset;
    if (json) {
        fputs(answer, stdout);
        return command_finish();
    }
    enum err e = json_tree_open(&tree, slice_of_text(answer), &why, &offset);
    if (e) {
        return failed("buffer ls", e, &why);
    }
    command_print_streams(json_node_find(json_tree_root(tree), "streams"));
    json_tree_close(tree);
    return command_finish();
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
        why_set(&why, "there is no stream \"%s\": weir buffer ls lists them", a->stream);
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
    return e ? failed("buffer cat", e, &why) : command_finish();
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

/* Prints one answer. *ret_next: where to go on; 0: the end. */
static enum err online_page(const struct buffer_arguments *a, const char *request,
                            uint64_t *ret_next, struct why *why)
{
    char *answer = NULL;
    enum err e = command_ask(a->socket_path, request, &answer, why);
    if (e) {
        return e;
    }
    *ret_next = take_next(answer);
    fputs(answer, stdout);
    free(answer);
    return ERR_OK;
}

static int online_cat(const struct buffer_arguments *a)
{
    struct why why = {""};
    uint64_t next = a->first;
    uint64_t left = a->count;
    while (left > 0 && next > 0) {
        char request[160];
        uint64_t count = left < CONTROL_CAT_MAX ? left : CONTROL_CAT_MAX;
        (void)snprintf(request, sizeof request, "cat %.63s %" PRIu64 " %" PRIu64, a->stream, next,
                       count); /* fits */
        enum err e = online_page(a, request, &next, &why);
        if (e) {
            return failed("buffer cat", e, &why);
        }
        left -= count;
    }
    return command_finish();
}

/* The list of streams is asked for in any case: it tells whether an agent is there. */
int buffer_command(int argc, char **argv)
{
    struct buffer_arguments a;
    struct why why = {""};
    bool is_ls = argc > 0 && strcmp(argv[0], "ls") == 0;
    if (argc > 0 && strcmp(argv[0], "wear") == 0) {
        return wear_command(argc, argv);
    }
    if (!is_ls && (argc < 1 || strcmp(argv[0], "cat") != 0)) {
        return command_misuse("buffer", "usage: weir " BUFFER_USAGE);
    }
    int code = parse(argc, argv, &a, "buffer", BUFFER_USAGE);
    if (code) {
        return code;
    }
    if (!is_ls && !a.stream) {
        return command_misuse("buffer cat", "name a stream; weir buffer ls lists them");
    }
    char *answer = NULL;
    enum err e = command_ask(a.socket_path, "streams", &answer, &why);
    if (!e) {
        code = is_ls ? print_streams(answer, a.json) : online_cat(&a);
        free(answer);
        return code;
    }
    struct offline *o = NULL;
    if (e == ERR_CLOSED) {
        e = offline_open(&o, a.buffer_path, &why);
    }
    if (!e && is_ls) {
        e = offline_streams(o, &answer);
    }
    if (e) {
        code = failed("buffer", e, &why);
    } else {
        code = is_ls ? print_streams(answer, a.json) : offline_cat(o, &a);
    }
    free(answer);
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
    struct aside_listing l = {.line = out_over(malloc(LINE_SIZE_MAX), LINE_SIZE_MAX)};
    enum err e = l.line.data ? offline_open(&l.offline, a->buffer_path, &why) : ERR_NOMEM;
    do {
        l.count = 0;
        e = e ? e : buffer_aside_each(l.offline->buffer, l.last, 256, print_aside, &l, &why);
    } while (!e && l.count > 0);
    offline_close(l.offline);
    free(l.line.data);
    return e ? failed("aside ls", e, &why) : command_finish();
}

int aside_command(int argc, char **argv)
{
    struct buffer_arguments a;
    struct why why = {""};
    if (argc < 1 || strcmp(argv[0], "ls") != 0) {
        return command_misuse("aside", "usage: weir " ASIDE_USAGE);
    }
    int code = parse(argc, argv, &a, "aside", ASIDE_USAGE);
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
            return failed("aside ls", e, &why);
        }
    } while (next > 0);
    return command_finish();
}
