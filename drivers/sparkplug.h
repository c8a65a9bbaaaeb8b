/* Sparkplug B messages as JSON (Eclipse Sparkplug 3.0, chapters 4 and 6, and its sparkplug_b.proto).
 *
 * A message becomes one JSON object, so that it is one event, with one place in the broker's order
 * and one acknowledgement:
 *
 *   {"type":"DDATA","group":"G","node":"N","device":"D","timestamp":1700000000000,"seq":7,
 *    "metrics":[{"name":"Motor/Speed","alias":4,"timestamp":1700000000000,"datatype":"Float",
 *                "value":23.5,"quality":192}]}
 *
 * What a message does not have is left out ("device" of a node's message, "alias", ...). A metric
 * without a time of its own has that of its message; one that is null has "value":null. Whole
 * numbers are written with their sign, by the datatype, which data messages may leave out: it is
 * known from the birth, as the name is that belongs to an alias. Where the birth is not known (it
 * came before the agent started, or found no room in the table), the metric has its alias without a
 * name, and a number without a datatype stands as it came, unsigned; births are events too, so
 * that who reads them all can tell. Births and deaths need no table: they carry names and datatypes.
 * A death forgets nothing, because the broker may send one after the birth that follows it: what a
 * birth said stands until the next one of the same node or device, or of the device's node.
 *
 * Float and double that JSON can't write are "NaN", "Infinity" and "-Infinity"; bytes are base64;
 * arrays are arrays; a data set is {"columns":[...],"datatypes":[...],"rows":[[...]]}; a template is
 * {"reference":...,"version":...,"is_definition":...,"metrics":[...]}. The property Quality is
 * "quality", the other properties are an object "properties".
 *
 * Host applications' STATE messages, which are JSON, go through as they are. One thread at a time. */
#ifndef WEIR_DRIVERS_SPARKPLUG_H
#define WEIR_DRIVERS_SPARKPLUG_H

#include "ports/err.h"
#include "ports/slice.h"

#define SPARKPLUG_DEPTH_MAX 4 /* templates and property sets within each other */

struct sparkplug;

struct sparkplug_message {
    struct slice text; /* JSON; until the next read, or points into the payload */
    bool has_time;     /* the payload's own */
    int64_t time_us;
    uint32_t unnamed; /* metrics whose alias no birth has named */
};

/* `text_size_max`: the longest JSON text. */
enum err sparkplug_open(struct sparkplug **ret, size_t text_size_max) MUST_USE;
/* NULL is allowed. */
void sparkplug_close(struct sparkplug *sparkplug);

/* A birth that is read is remembered: reading it twice changes nothing. ERR_CORRUPT: the payload is
 * not what Sparkplug B says; ERR_REJECTED: the topic is not; ERR_FULL: the text is too long. *why
 * is a reason for a person. */
enum err sparkplug_read(struct sparkplug *sparkplug, struct slice topic, struct slice payload,
                        struct sparkplug_message *ret, struct why *why) MUST_USE;

#endif
