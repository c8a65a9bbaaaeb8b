/* Streams and stored events, printed. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/buffer_impl.h"
#include "ports/clock.h"
#include "ports/lib/hash.h"
#include "uplink/avro/decode.h"

static void put_hex(struct out *line, struct slice bytes)
{
    out_put_byte(line, '"');
    hash_put_hex(line, bytes);
    out_put_byte(line, '"');
}

static void put_time(struct out *line, int64_t time_us)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(time_us, 6, text);
    out_put_json(line, slice_of_text(text));
}

/* --- events --- */

struct event_lines {
    FILE *file;
    struct out line;
    char stream[STREAM_NAME_SIZE_MAX];
    struct avro_schema *schema; /* NULL: not known, or none */
    uint64_t fingerprint;
    uint64_t count;
};

enum err event_lines_open(struct event_lines **ret, FILE *file)
{
    struct event_lines *lines = calloc(1, sizeof *lines);
    if (!lines) {
        return ERR_NOMEM;
    }
    lines->file = file;
    lines->line = out_over(malloc(BUFFER_LINE_MAX), BUFFER_LINE_MAX);
    if (!lines->line.data) {
        free(lines);
        return ERR_NOMEM;
    }
    *ret = lines;
    return ERR_OK;
}

void event_lines_close(struct event_lines *lines)
{
    if (lines) {
        avro_schema_close(lines->schema);
        free(lines->line.data);
        free(lines);
    }
}

uint64_t event_lines_count(const struct event_lines *lines)
{
    return lines->count;
}

static enum err lines_schema(struct event_lines *lines, struct slice payload)
{
    uint64_t number;
    struct slice stream;
    struct slice text;
    if (!slice_take_uvarint(&payload, &number) || !frame_take_text(&payload, &stream) ||
        !frame_take_text(&payload, &text) ||
        !slice_to_text(stream, lines->stream, sizeof lines->stream)) {
        return ERR_CORRUPT;
    }
    avro_schema_close(lines->schema);
    lines->schema = NULL;
    enum err e = avro_schema_parse(&lines->schema, text, NULL);
    if (e) {
        lines->schema = NULL;
        return e == ERR_NOMEM ? e : ERR_OK; /* its events are shown as they are */
    }
    lines->line.size = 0;
    lines->line.overflow = false;
    avro_canonical(lines->schema, &lines->line);
    lines->fingerprint = avro_crc64(out_slice(&lines->line));
    return ERR_OK;
}

/* The words of a field that is filled with it. */
static const char *trust_text(uint8_t trust)
{
    static const char *const texts[] = {[TOOL_TIME_UNKNOWN] = "unknown",
                                        [TIME_PAYLOAD] = "payload",
                                        [TIME_WALL] = "clock",
                                        [TIME_LATER] = "later",
                                        [TIME_ESTIMATE] = "estimate"};
    return trust < ARRAY_COUNT(texts) && texts[trust] ? texts[trust] : texts[TOOL_TIME_UNKNOWN];
}

/* The datum by its schema; as it is where that can't be. */
static void put_datum(struct event_lines *lines, struct slice datum)
{
    struct out *line = &lines->line;
    struct slice rest = datum;
    size_t before = line->size;
    bool done = lines->schema &&
                avro_decode_json(avro_schema_root(lines->schema), &rest, line, NULL) == ERR_OK &&
                rest.size == 0;
    if (!done && !line->overflow) {
        line->size = before;
        put_hex(line, datum);
    }
}

static enum err lines_event(struct event_lines *lines, const struct tool_event *event,
                            struct why *why)
{
    struct out *line = &lines->line;
    line->size = 0;
    line->overflow = false;
    out_put_text(line, "{\"stream\":");
    out_put_json(line, slice_of_text(lines->stream));
    out_put_format(line, ",\"sequence\":%" PRIu64 ",\"time\":", event->sequence);
    if (event->trust == TOOL_TIME_UNKNOWN) {
        out_put_text(line, "null");
    } else {
        put_time(line, event->time_us);
    }
    out_put_format(line, ",\"trust\":\"%s\"", trust_text(event->trust));
    if (lines->schema) {
        out_put_format(line, ",\"schema\":\"%016" PRIx64 "\"", lines->fingerprint);
    }
    out_put_text(line, ",\"event\":");
    put_datum(lines, event->datum);
    out_put_text(line, "}\n");
    if (line->overflow) {
        why_set(why, "event %" PRIu64 " of stream %s is larger than %d MiB as JSON",
                event->sequence, lines->stream, BUFFER_LINE_MAX >> 20);
        return ERR_FULL;
    }
    lines->count++;
    return fwrite(line->data, 1, line->size, lines->file) == line->size ? ERR_OK : ERR_CLOSED;
}

enum err event_lines_frame(struct event_lines *lines, enum frame_kind kind, struct slice payload,
                           struct why *why)
{
    struct tool_event event;
    enum err e = ERR_OK;
    if (kind == FRAME_SCHEMA) {
        return lines_schema(lines, payload);
    }
    while (!e && kind == FRAME_EVENTS && payload.size > 0) {
        e = tool_event_take(&payload, &event) ? lines_event(lines, &event, why) : ERR_CORRUPT;
    }
    return e;
}

struct cat {
    struct event_lines *lines;
    struct progress progress;
};

static enum err cat_frame(void *context, enum frame_kind kind, struct slice payload,
                          struct why *why)
{
    struct cat *cat = context;
    return progress_frame(&cat->progress, kind, payload)
               ? ERR_OK
               : event_lines_frame(cat->lines, kind, payload, why);
}

int buffer_cat_command(const struct buffer_arguments *a)
{
    struct cat cat = {.lines = NULL};
    struct why why = {""};
    int code = EXIT_FAILED;
    if (!a->request.stream[0]) {
        return command_misuse(a->word, "name a stream; weir buffer ls lists them");
    }
    struct tool_source *source = buffer_source(a, false, &code);
    if (!source) {
        return code;
    }
    progress_init(&cat.progress, a->word, isatty(STDOUT_FILENO));
    enum err e = event_lines_open(&cat.lines, stdout);
    e = e ? e : tool_source_run(source, &a->request, cat_frame, &cat, &why);
    progress_end(&cat.progress);
    tool_source_close(source);
    event_lines_close(cat.lines);
    return e && e != ERR_CLOSED ? buffer_failed(a->word, e, &why) : progress_code(&cat.progress);
}

/* --- streams --- */

/* Objects, one a frame, as one array. */
struct listing {
    struct out text;
    bool is_first;
};

#define LISTING_SIZE_MAX (1024 * 1024)

static enum err listing_frame(void *context, enum frame_kind kind, struct slice payload,
                              struct why *why)
{
    struct listing *l = context;
    (void)why;
    if (kind == FRAME_JSON) {
        out_put_text(&l->text, l->is_first ? "" : ",");
        out_put_slice(&l->text, payload);
        l->is_first = false;
    }
    return l->text.overflow ? ERR_FULL : ERR_OK;
}

static struct slice text_of(const struct json_node *parent, const char *name)
{
    const struct json_node *node = json_node_find(parent, name);
    return node && node->kind != JSON_NULL ? node->text : SLICE("-");
}

static void print_streams(const struct json_node *streams)
{
    static const struct {
        const char *title;
        const char *member;
        int width; /* negative: to the left */
    } columns[] = {{"STREAM", "name", -24}, {"EVENTS", "events", 10}, {"BYTES", "bytes", 12},
                   {"FIRST", "first", 10},  {"LAST", "last", 10},     {"DROPPED", "dropped", 9},
                   {"OLDEST", "oldest", 28}};
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
        printf("%*s ", columns[i].width, columns[i].title);
    }
    printf(" OWED TO\n");
    for (const struct json_node *s = streams ? streams->child : NULL; s; s = s->next) {
        for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
            struct slice text = text_of(s, columns[i].member);
            printf("%*.*s ", columns[i].width, (int)text.size, (const char *)text.data);
        }
        const struct json_node *owed = json_node_find(s, "owed");
        for (owed = owed ? owed->child : NULL; owed; owed = owed->next) {
            printf(" %s:%.*s", owed->name, (int)owed->text.size, (const char *)owed->text.data);
        }
        putchar('\n');
    }
}

int buffer_ls_command(const struct buffer_arguments *a)
{
    struct listing l = {.text = out_over(malloc(LISTING_SIZE_MAX), LISTING_SIZE_MAX),
                        .is_first = true};
    struct why why = {""};
    struct json_tree *tree = NULL;
    size_t offset;
    int code = EXIT_FAILED;
    struct tool_source *source = l.text.data ? buffer_source(a, false, &code) : NULL;
    if (!source) {
        free(l.text.data);
        return code;
    }
    out_put_text(&l.text, "{\"streams\":[");
    enum err e = tool_source_run(source, &a->request, listing_frame, &l, &why);
    out_put_text(&l.text, "]}\n");
    tool_source_close(source);
    if (!e && a->json) {
        fwrite(l.text.data, 1, l.text.size, stdout);
    } else if (!e) {
        e = json_tree_open(&tree, out_slice(&l.text), &why, &offset);
    }
    if (tree) {
        print_streams(json_node_find(json_tree_root(tree), "streams"));
    }
    json_tree_close(tree);
    free(l.text.data);
    return e ? buffer_failed(a->word, e, &why) : command_finish();
}
