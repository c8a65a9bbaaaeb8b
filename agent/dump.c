/* Stored and set-aside events as lines of JSON. */
#include <inttypes.h>
#include <stdlib.h>

#include "agent/control.h"
#include "agent/fill.h"
#include "buffer/buffer.h"
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

/* The datum by its schema. False, and nothing written, when it can't be read so. */
static bool put_datum(struct out *line, const struct stored_event *event, const char *stream,
                      struct slice schema_json, const char *identity)
{
    struct avro_schema *schema = NULL;
    size_t room = event->datum.size + 512;
    size_t before = line->size;
    uint8_t *memory = malloc(room);
    struct out complete = out_over(memory, room);
    struct slice datum;
    bool done = memory && avro_schema_parse(&schema, schema_json, NULL) == ERR_OK &&
                fill_complete(event, identity, stream, &complete, &datum) &&
                avro_decode_json(avro_schema_root(schema), &datum, line, NULL) == ERR_OK;
    if (!done && !line->overflow) {
        line->size = before;
    }
    avro_schema_close(schema);
    free(memory);
    return done;
}

void dump_event(struct out *line, const char *stream, const struct stored_event *event,
                struct slice schema_json, const char *identity)
{
    out_put_text(line, "{\"stream\":");
    out_put_json(line, slice_of_text(stream));
    out_put_format(line, ",\"sequence\":%" PRIu64 ",\"time\":", event->sequence);
    if (event->trust == TIME_BOOT) {
        out_put_text(line, "null");
    } else {
        put_time(line, event->time_us);
    }
    out_put_text(line, ",\"event\":");
    if (!schema_json.data || !put_datum(line, event, stream, schema_json, identity)) {
        put_hex(line, event->datum);
    }
    out_put_text(line, "}\n");
}

void dump_aside(struct out *line, int64_t id, const struct aside *aside, const char *stream)
{
    out_put_format(line, "{\"id\":%" PRId64 ",\"time\":", id);
    put_time(line, aside->time_us);
    out_put_text(line, ",\"stream\":");
    out_put_json(line, slice_of_text(stream));
    out_put_format(line, ",\"kind\":\"%s\",\"sequence\":%" PRIu64 ",\"source\":",
                   aside->kind == ASIDE_DATUM ? "datum" : "payload", aside->sequence);
    out_put_json(line, aside->source);
    out_put_text(line, ",\"reason\":");
    out_put_json(line, aside->reason);
    out_put_format(line, ",\"size\":%" PRIu64 ",\"body\":", aside->size);
    if (aside->kind == ASIDE_PAYLOAD && slice_is_utf8(aside->body)) {
        out_put_json(line, aside->body);
    } else {
        put_hex(line, aside->body);
    }
    out_put_text(line, "}\n");
}
