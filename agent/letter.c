#include "agent/letter.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "agent/raw.h"
#include "agent/time_trust.h"
#include "ports/event.h"
#include "uplink/avro/encode.h"

struct letter_stream {
    uint16_t own; /* 0: the stream has no letters */
    uint32_t schema;
    const char *name;
};

struct letters {
    struct store *store;
    struct time_source *time;
    struct letter_stream streams[STREAM_COUNT_MAX + 1]; /* by the buffer's number */
    struct out datum;
    struct stored_event event; /* the letter that was made last */
    bool is_made;
};

/* clang-format off */
#define TEXT(name, doc) \
    "{\"name\":\"" name "\",\"type\":\"string\",\"doc\":\"" doc "\",\"default\":\"\"}"

static const char schema_text[] =
    "{\"type\":\"record\",\"name\":\"DeadLetter\",\"namespace\":\"weir\",\"doc\":"
    "\"An event that was set aside.\",\"fields\":["
    "{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":"
    "\"When it was set aside.\"},"
    TEXT("stream", "Whose event it is.") ","
    TEXT("reason", "Why it was set aside.") ","
    TEXT("driver", "Who took it; empty: a destination refused it.") ","
    TEXT("uplink", "The destination that refused it.") ","
    TEXT("source", "The place that it was read from.") ","
    TEXT("subject", "Topic, path or tag.") ","
    "{\"name\":\"sequence\",\"type\":[\"null\",\"long\"],\"doc\":\"Of the event that was refused.\","
    "\"default\":null},"
    TEXT("schema", "Of the event that was refused: CRC-64-AVRO, hexadecimal.") ","
    "{\"name\":\"size\",\"type\":\"long\",\"doc\":\"Bytes of its body before it was cut.\"},"
    "{\"name\":\"body\",\"type\":\"bytes\",\"doc\":"
    "\"As it came; or the datum that was refused, by its schema.\"}"
    "]}";
/* clang-format on */

struct slice letter_schema(void)
{
    return slice_of_text(schema_text);
}

/* --- opening --- */

enum err letters_open(struct letters **ret, struct store *store)
{
    struct letters *letters = calloc(1, sizeof *letters);
    uint8_t *memory = malloc(LETTER_SIZE_MAX);
    if (!letters || !memory) {
        free(letters);
        free(memory);
        return ERR_NOMEM;
    }
    letters->store = store;
    letters->datum = out_over(memory, LETTER_SIZE_MAX);
    *ret = letters;
    return ERR_OK;
}

void letters_close(struct letters *letters)
{
    if (letters) {
        free(letters->datum.data);
        free(letters);
    }
}

void letters_stream_set(struct letters *letters, uint16_t stream, uint16_t own, uint32_t schema,
                        const char *name)
{
    assert(stream >= 1 && stream <= STREAM_COUNT_MAX && own >= 1 && own <= STREAM_COUNT_MAX);
    letters->streams[stream] = (struct letter_stream){own, schema, name};
}

void letters_time_set(struct letters *letters, struct time_source *time)
{
    letters->time = time;
}

/* --- a letter --- */

static void put_text(struct out *o, const char *text)
{
    raw_put_text(o, slice_of_text(text ? text : ""));
}

static struct slice cut(struct slice s, size_t size_max)
{
    s.size = s.size < size_max ? s.size : size_max;
    return s;
}

static void put_fingerprint(struct out *o, const struct schema_info *schema)
{
    char text[2 * sizeof schema->fingerprint + 1];
    struct out hex = out_over(text, sizeof text);
    for (size_t i = sizeof schema->fingerprint; schema && i > 0; i--) {
        out_put_format(&hex, "%02x", schema->fingerprint[i - 1]);
    }
    raw_put_text(o, out_slice(&hex));
}

static void put_datum(struct letters *letters, const struct aside *aside,
                      const struct letter_place *place)
{
    struct out *o = &letters->datum;
    struct stored_event *event = &letters->event;
    bool is_datum = aside->kind == ASIDE_DATUM;
    o->size = 0;
    o->overflow = false;
    if (event->trust == TIME_BOOT) {
        event->fills[0] = (struct fill){FILL_TIME_MICROS, 0};
        event->fill_count = 1;
    } else {
        out_put_varint(o, event->time_us);
    }
    put_text(o, letters->streams[aside->stream].name);
    raw_put_text(o, cut(aside->reason, REASON_SIZE_MAX));
    put_text(o, place->driver);
    put_text(o, place->uplink);
    raw_put_text(o,
                 is_datum ? (struct slice){NULL, 0} : cut(aside->source, EVENT_SUBJECT_SIZE_MAX));
    raw_put_text(o, cut(place->subject, EVENT_SUBJECT_SIZE_MAX));
    out_put_varint(o, is_datum);
    if (is_datum) {
        out_put_varint(o, (int64_t)aside->sequence);
    }
    put_fingerprint(o, place->schema);
    out_put_varint(o, (int64_t)aside->size);
    avro_put_bytes(o, cut(aside->body, LETTER_BODY_SIZE_MAX));
    assert(!o->overflow);
    event->datum = out_slice(o);
}

enum err letters_make(struct letters *letters, const struct aside *aside,
                      const struct letter_place *place, int64_t wait_ms)
{
    if (!letters) {
        return ERR_OK;
    }
    const struct letter_stream *stream = &letters->streams[aside->stream];
    letters->is_made = stream->own > 0;
    if (!letters->is_made) {
        return ERR_OK;
    }
    letters->event = (struct stored_event){.stream = stream->own, .schema = stream->schema};
    time_trust_stamp(letters->time, &letters->event);
    put_datum(letters, aside, place);
    size_t size = letters->event.datum.size;
    bool must_wait = store_room(letters->store, stream->own, size) &&
                     !store_is_full(letters->store, stream->own, size);
    enum err e = must_wait ? ERR_FULL : ERR_OK;
    if (!e && letters->event.trust == TIME_BOOT) {
        e = time_trust_note(letters->time, &letters->event, wait_ms);
    }
    return e ? e : store_open_room(letters->store, size);
}

void letters_put(struct letters *letters, int64_t wait_ms)
{
    uint64_t commit;
    uint64_t sequence;
    if (!letters || !letters->is_made) {
        return;
    }
    struct store *store = letters->store;
    const struct stored_event *event = &letters->event;
    letters->is_made = false;
    if (store_is_full(store, event->stream, event->datum.size)) {
        store_skip_put(store, event, wait_ms, &commit);
    } else {
        store_event_put(store, event, wait_ms, &commit, &sequence);
    }
}
