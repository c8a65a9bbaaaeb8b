/* An event as a driver hands it over: bytes, or named typed fields, with where it came from.
 *
 * What a struct event points to belongs to the driver and is only read during driver_offer(). */
#ifndef WEIR_PORTS_EVENT_H
#define WEIR_PORTS_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/slice.h"

#define EVENT_FIELD_MAX 256         /* typed fields of one event */
#define EVENT_SUBJECT_SIZE_MAX 1024 /* of a subject or a source; longer ones are cut by intake */
#define CURSOR_SIZE_MAX 1024        /* of one cursor value */

enum body_kind {
    BODY_JSON, /* one JSON value in `body`; an object is mapped field by field */
    BODY_RAW,  /* bytes: the whole body is one value */
    BODY_NONE, /* only `fields` */
};

enum value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_DOUBLE,
    VALUE_NUMBER, /* as JSON writes it, in `text`: nothing is rounded on the way to a decimal */
    VALUE_TEXT,   /* UTF-8 in `text` */
    VALUE_BYTES,  /* in `text` */
};

struct value {
    enum value_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct slice text;
    } as;
};

struct field {
    struct slice name;
    struct value value;
};

struct event {
    enum body_kind body_kind;
    struct slice body;
    const struct field *fields; /* beside the body; where both have a name, these win */
    size_t field_count;
    /* What routes look at: MQTT topic, path of the file, path of the URL, syslog tag. */
    struct slice subject;
    struct slice source; /* for people: "tail /var/log/app.log:1234" */
    int64_t time_us;     /* the source's own time stamp, microseconds since 1970; with has_time */
    bool has_time;
    /* A peer waits for stored(): ack_interval rules the commit, else commit_interval. */
    bool wants_ack;
    /* Committed in the same transaction as the event, at most CURSOR_SIZE_MAX; size 0: none. Its
     * key says which of the driver's cursors it is. */
    struct slice cursor;
    uint32_t cursor_key;
    /* Not NULL: the driver itself can't make an event of it (line too long, ...). It is set aside
     * with this reason, `body` being what there is of it, `body_size` its true size when that is
     * cut, else 0. */
    const char *unusable;
    uint64_t body_size;
};

#endif
