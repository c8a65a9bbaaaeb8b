#include "agent/import_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map.h"
#include "ports/clock.h"
#include "ports/lib/hash.h"
#include "ports/lib/json.h"
#include "uplink/avro/container.h"
#include "uplink/avro/decode.h"
#include "uplink/avro/encode.h"

#define LINE_MAX_SIZE (16 * 1024 * 1024)
#define HASH_PIECE (1024 * 1024)

struct import_file {
    struct import_setup setup;
    FILE *file;
    uint64_t record; /* number of the one that was read last, from 1 */
    int64_t now_us;  /* for records without a time */
    struct out datum;
    struct out text; /* of a record of a foreign schema */
    /* a container */
    struct container_reader *container;
    uint64_t block_left;
    struct slice block;
    const struct import_schema *same; /* the stream's schema that is the container's; NULL: none */
    /* lines */
    uint8_t *lines;
    size_t begin; /* of what is there */
    size_t end;
    bool is_at_end;
    struct mapper *mapper;
};

/* --- schemas --- */

enum err import_schemas_add(struct import_schemas *schemas, uint32_t number, struct slice text,
                            struct why *why)
{
    struct import_schema s = {.number = number};
    size_t room = AVRO_SCHEMA_SIZE_MAX * 2;
    if (schemas->count == IMPORT_SCHEMA_MAX) {
        why_set(why, "the stream has had more than %d schemas", IMPORT_SCHEMA_MAX);
        return ERR_REJECTED;
    }
    enum err e = avro_schema_parse(&s.parsed, text, NULL);
    if (e) {
        return e == ERR_NOMEM ? e : ERR_OK;
    }
    struct out canonical = out_over(malloc(room), room);
    if (!canonical.data) {
        avro_schema_close(s.parsed);
        return ERR_NOMEM;
    }
    avro_canonical(s.parsed, &canonical);
    uint8_t *fitting = realloc(canonical.data, canonical.size + 1);
    s.canonical = (struct slice){fitting ? fitting : canonical.data, canonical.size};
    s.fingerprint = avro_crc64(s.canonical);
    schemas->list[schemas->count++] = s;
    return ERR_OK;
}

void import_schemas_release(struct import_schemas *schemas)
{
    for (size_t i = 0; i < schemas->count; i++) {
        avro_schema_close(schemas->list[i].parsed);
        free((void *)(uintptr_t)schemas->list[i].canonical.data);
    }
    schemas->count = 0;
}

/* --- opening --- */

static enum err read_some(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    FILE *file = context;
    *ret_size = fread(data, 1, size, file);
    return ferror(file) ? ERR_IO : ERR_OK;
}

/* The schema of the stream that is the container's, but for what canonical form leaves out. */
static enum err find_same(struct import_file *f)
{
    size_t room = AVRO_SCHEMA_SIZE_MAX * 2;
    struct out canonical = out_over(malloc(room), room);
    if (!canonical.data) {
        return ERR_NOMEM;
    }
    avro_canonical(container_schema(f->container), &canonical);
    for (size_t i = 0; f->setup.schemas && i < f->setup.schemas->count; i++) {
        const struct import_schema *s = &f->setup.schemas->list[i];
        f->same = slice_equal(s->canonical, out_slice(&canonical)) ? s : f->same;
    }
    free(canonical.data);
    return ERR_OK;
}

static enum err open_content(struct import_file *f, struct why *why)
{
    uint8_t magic[4];
    size_t got = fread(magic, 1, sizeof magic, f->file);
    rewind(f->file);
    if (got == sizeof magic && memcmp(magic, "Obj\1", 4) == 0) {
        enum err e = container_reader_open(&f->container, read_some, f->file, why);
        return e ? e : find_same(f);
    }
    f->lines = malloc(LINE_MAX_SIZE);
    if (!f->lines) {
        return ERR_NOMEM;
    }
    return f->setup.is_plain ? mapper_open(&f->mapper) : ERR_OK;
}

enum err import_file_open(struct import_file **ret, const struct import_setup *setup,
                          struct why *why)
{
    struct import_file *f = calloc(1, sizeof *f);
    if (!f) {
        return ERR_NOMEM;
    }
    f->setup = *setup;
    f->now_us = clock_wall_us();
    f->file = fopen(setup->path, "rb");
    f->datum = out_over(malloc(EVENT_SIZE_LIMIT), EVENT_SIZE_LIMIT);
    f->text = out_over(malloc(LINE_MAX_SIZE), LINE_MAX_SIZE);
    enum err e = f->datum.data && f->text.data ? ERR_OK : ERR_NOMEM;
    if (!f->file) {
        why_set(why, "%s", strerror(errno));
        e = ERR_REJECTED;
    }
    e = e ? e : open_content(f, why);
    if (e) {
        why_add(why, "%s", setup->path);
        import_file_close(f);
        return e == ERR_CORRUPT || e == ERR_VERSION ? ERR_REJECTED : e;
    }
    *ret = f;
    return ERR_OK;
}

void import_file_close(struct import_file *file)
{
    if (file) {
        container_reader_close(file->container);
        mapper_close(file->mapper);
        if (file->file) {
            fclose(file->file);
        }
        free(file->datum.data);
        free(file->text.data);
        free(file->lines);
        free(file);
    }
}

/* --- making a datum --- */

/* By one of the stream's schemas: the one that is named, else the newest that takes it. */
static enum err encode(struct import_file *f, struct slice json, uint64_t fingerprint,
                       uint32_t *ret_schema, struct why *why)
{
    const struct import_schemas *schemas = f->setup.schemas;
    struct why first = {"the stream has no schema that can be read"};
    for (int named = 1; named >= 0; named--) {
        for (size_t i = schemas->count; i-- > 0;) {
            const struct import_schema *s = &schemas->list[i];
            struct why reason = {""};
            if ((s->fingerprint == fingerprint) != named) {
                continue;
            }
            f->datum.size = 0;
            f->datum.overflow = false;
            enum err e = avro_encode_json(s->parsed, json, &f->datum, &reason);
            if (!e) {
                *ret_schema = s->number;
                return ERR_OK;
            }
            if (e == ERR_NOMEM) {
                return e;
            }
            first = named || i + 1 == schemas->count ? reason : first;
        }
    }
    *why = first;
    return ERR_REJECTED;
}

/* A payload, as intake maps it, by the newest schema. */
static enum err map(struct import_file *f, struct slice json, uint32_t *ret_schema, struct why *why)
{
    const struct import_schemas *schemas = f->setup.schemas;
    struct map_result result;
    if (schemas->count == 0) {
        why_set(why, "the stream has no schema that can be read");
        return ERR_REJECTED;
    }
    const struct import_schema *s = &schemas->list[schemas->count - 1];
    struct map_task task = {
        .record = avro_schema_root(s->parsed), .body_kind = BODY_JSON, .body = json};
    f->datum.size = 0;
    f->datum.overflow = false;
    enum err e = map_run(f->mapper, &task, &f->datum, &result, why);
    *ret_schema = s->number;
    return e == ERR_CORRUPT || e == ERR_FULL ? ERR_REJECTED : e;
}

/* --- a container's records --- */

static enum err next_of_container(struct import_file *f, uint32_t *ret_schema,
                                  struct tool_event *ret, struct why *why)
{
    const struct avro_node *root = avro_schema_root(container_schema(f->container));
    while (f->block_left == 0) {
        enum err e = container_block(f->container, &f->block_left, &f->block, why);
        if (e) {
            return e == ERR_CORRUPT ? ERR_REJECTED : e;
        }
    }
    f->record++;
    f->block_left--;
    struct slice rest = f->block;
    enum err e = avro_skip(root, &rest);
    ret->datum = (struct slice){f->block.data, f->block.size - rest.size};
    if (!e && !f->same) {
        struct slice datum = ret->datum;
        f->text.size = 0;
        f->text.overflow = false;
        e = avro_decode_json(root, &datum, &f->text, why);
        e = e ? e : encode(f, out_slice(&f->text), 0, ret_schema, why);
        ret->datum = out_slice(&f->datum);
    } else if (!e) {
        *ret_schema = f->same->number;
    }
    f->block = rest;
    return e == ERR_CORRUPT || e == ERR_FULL ? ERR_REJECTED : e;
}

/* --- lines --- */

/* More of the file, behind what is left of it. */
static enum err lines_fill(struct import_file *f, struct why *why)
{
    size_t size = f->end - f->begin;
    size_t got = 0;
    if (size == LINE_MAX_SIZE) {
        why_set(why, "a line of more than %d MiB", LINE_MAX_SIZE >> 20);
        return ERR_REJECTED;
    }
    memmove(f->lines, f->lines + f->begin, size);
    enum err e = read_some(f->file, f->lines + size, LINE_MAX_SIZE - size, &got);
    f->begin = 0;
    f->end = size + got;
    f->is_at_end = got == 0;
    if (e) {
        why_set(why, "can't be read: %s", strerror(errno));
    }
    return e;
}

/* A line of what is there, without its end. False: there is none whole. */
static bool lines_take(struct import_file *f, struct slice *ret)
{
    size_t size = f->end - f->begin;
    const uint8_t *begin = f->lines + f->begin;
    const uint8_t *end = size ? memchr(begin, '\n', size) : NULL;
    if (!end && (!f->is_at_end || size == 0)) {
        return false;
    }
    *ret = (struct slice){begin, end ? (size_t)(end - begin) : size};
    f->begin += ret->size + (end ? 1 : 0);
    f->record++;
    while (ret->size > 0 && memchr("\r \t", ret->data[ret->size - 1], 3)) {
        ret->size--;
    }
    return true;
}

/* Empty lines are passed over. ERR_CLOSED: there are no more. */
static enum err next_line(struct import_file *f, struct slice *ret, struct why *why)
{
    enum err e = ERR_OK;
    while (!e) {
        if (!lines_take(f, ret)) {
            e = f->is_at_end ? ERR_CLOSED : lines_fill(f, why);
        } else if (ret->size > 0) {
            return ERR_OK;
        }
    }
    return e;
}

/* The characters of a JSON string. False: it is none, or too long. */
static bool text_of(struct slice json, char *ret, size_t size)
{
    struct json_reader reader;
    struct json_token token;
    uint8_t memory[512];
    struct out scratch = out_over(memory, sizeof memory);
    struct slice text;
    json_init(&reader, json);
    return json_next(&reader, &token) == ERR_OK && token.kind == JSON_STRING &&
           json_string(&token, &scratch, &text) == ERR_OK && slice_to_text(text, ret, size);
}

/* When it arrived, as the line says; now, when it does not know. */
static bool time_of(struct import_file *f, const struct import_line *line, struct tool_event *ret)
{
    char time[64];
    char trust[16];
    int64_t seconds;
    uint32_t nanos;
    ret->time_us = f->now_us;
    ret->trust = TIME_WALL;
    if (!line->time.data || slice_equal_text(line->time, "null")) {
        return true;
    }
    if (!text_of(line->time, time, sizeof time) ||
        !avro_timestamp_of(slice_of_text(time), false, &seconds, &nanos)) {
        return false;
    }
    ret->time_us = seconds * 1000000 + nanos / 1000;
    if (text_of(line->trust, trust, sizeof trust) && strcmp(trust, "payload") == 0) {
        ret->trust = TIME_PAYLOAD;
    }
    return true;
}

static enum err take_ours(struct import_file *f, const struct import_line *line,
                          uint32_t *ret_schema, struct tool_event *ret, struct why *why)
{
    char hex[24] = "";
    if (!time_of(f, line, ret)) {
        why_set(why, "\"time\" is no time: %.*s",
                (int)(line->time.size < 40 ? line->time.size : 40), (const char *)line->time.data);
        return ERR_REJECTED;
    }
    uint64_t fingerprint =
        line->schema.data && text_of(line->schema, hex, sizeof hex) ? strtoull(hex, NULL, 16) : 0;
    return encode(f, line->event, fingerprint, ret_schema, why);
}

/* A line of another stream is passed over. */
static enum err next_of_lines(struct import_file *f, uint32_t *ret_schema, struct tool_event *ret,
                              struct why *why)
{
    for (;;) {
        struct slice text;
        struct import_line line;
        char stream[STREAM_NAME_SIZE_MAX] = "";
        bool is_ours = false;
        enum err e = next_line(f, &text, why);
        if (!e && f->setup.is_plain) {
            e = map(f, text, ret_schema, why);
        } else if (!e) {
            e = import_line_take(text, &is_ours, &line, why);
            e = e == ERR_CORRUPT ? ERR_REJECTED : e;
        }
        if (!e && is_ours &&
            (!text_of(line.stream, stream, sizeof stream) ||
             strcmp(stream, f->setup.stream) != 0)) {
            continue;
        }
        ret->trust = TIME_WALL;
        ret->time_us = f->now_us;
        if (!e && is_ours) {
            e = take_ours(f, &line, ret_schema, ret, why);
        } else if (!e && !f->setup.is_plain) {
            e = encode(f, text, 0, ret_schema, why);
        }
        ret->datum = out_slice(&f->datum);
        return e;
    }
}

/* --- --- */

enum err import_file_next(struct import_file *f, uint32_t *ret_schema, struct tool_event *ret,
                          struct why *why)
{
    *ret = (struct tool_event){.trust = TIME_WALL, .time_us = f->now_us};
    enum err e = f->container ? next_of_container(f, ret_schema, ret, why)
                              : next_of_lines(f, ret_schema, ret, why);
    if (e && e != ERR_CLOSED) {
        why_add(why, "%s: %s %" PRIu64, f->setup.path, f->container ? "record" : "line", f->record);
    }
    return e;
}

enum err import_file_stream(struct import_file *f, const char *wanted,
                            char ret[STREAM_NAME_SIZE_MAX], struct why *why)
{
    struct slice line;
    struct import_line parts;
    char stream[STREAM_NAME_SIZE_MAX];
    bool is_ours = false;
    enum err e = ERR_OK;
    ret[0] = 0;
    if (f->container) {
        struct slice name = container_meta_find(f->container, "weir.stream");
        if (!slice_to_text(name, ret, STREAM_NAME_SIZE_MAX)) {
            ret[0] = 0;
        }
        return ERR_OK;
    }
    while (!e && (e = next_line(f, &line, why)) == ERR_OK) {
        if (import_line_take(line, &is_ours, &parts, NULL) || !is_ours ||
            !text_of(parts.stream, stream, sizeof stream)) {
            break; /* what it is will be said when it is read */
        }
        if (!ret[0] || strcmp(stream, wanted) == 0) {
            memcpy(ret, stream, sizeof stream);
        }
        if (!wanted[0] || strcmp(stream, wanted) == 0) {
            break;
        }
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

enum err import_file_id(const char *path, const char *stream, uint8_t ret[IMPORT_ID_SIZE],
                        struct why *why)
{
    FILE *file = fopen(path, "rb");
    uint8_t *piece = malloc(IMPORT_ID_SIZE + HASH_PIECE);
    size_t got = 1;
    enum err e = file && piece ? ERR_OK : piece ? ERR_REJECTED : ERR_NOMEM;
    if (!file) {
        why_set(why, "%s: %s", path, strerror(errno));
    }
    if (!e) {
        hash_of(HASH_SHA256, slice_of_text(stream), ret);
    }
    /* Each piece with the hash of all before it. */
    while (!e && got > 0) {
        e = read_some(file, piece + IMPORT_ID_SIZE, HASH_PIECE, &got);
        memcpy(piece, ret, IMPORT_ID_SIZE);
        hash_of(HASH_SHA256, (struct slice){piece, IMPORT_ID_SIZE + got}, ret);
    }
    if (e == ERR_IO) {
        why_set(why, "%s can't be read: %s", path, strerror(errno));
    }
    if (file) {
        fclose(file);
    }
    free(piece);
    return e;
}
