/* Mapping: a payload becomes the Avro datum of its stream's schema. The members of a JSON object go
 * to the fields of their names; what a driver or a route sets goes before the payload; a missing
 * field takes its default, else null where the schema allows it.
 *
 * Numbers go over exactly: a long from a whole number that fits, a double correctly rounded, a
 * decimal from the number's own digits. A number may also stand as text. Logical types take texts
 * (RFC 3339, ISO 8601, UUID) or numbers in the type's own unit. Bytes and fixed take text as its
 * UTF-8 bytes. Enums take a symbol; another one becomes the enum's default, if it has one.
 *
 * Nothing is allocated while mapping: the scratch memory is the mapper's. One thread at a time. */
#ifndef WEIR_AGENT_MAP_H
#define WEIR_AGENT_MAP_H

#include "buffer/buffer.h"
#include "ports/event.h"
#include "ports/option.h"
#include "uplink/avro/schema.h"

#define MAP_ITEM_MAX 16384  /* elements and members of one payload */
#define MAP_OVERRIDE_MAX 64 /* fields that a route sets */
#define MAP_FIELD_MAX 1024  /* fields of a stream's record */
#define MAP_UNKNOWN_MAX 64  /* fields that the schema does not have, of those that are kept */

struct mapper;

/* What a route sets: the text of a field, or a mark that it is filled in when packing. */
struct map_override {
    struct slice field;
    struct slice text;
    enum fill_kind fill; /* FILL_NONE: `text` counts; FILL_TIME_MILLIS: by the field's own type */
};

/* The field's numbers are rounded to multiples of the step: quantize.h. */
struct map_step {
    const struct avro_field *field; /* of the record, or of one within */
    struct option_decimal step;
};

struct map_task {
    const struct avro_node *record;
    enum body_kind body_kind;
    struct slice body;
    const struct field *fields;
    size_t field_count;
    const struct map_override *overrides;
    size_t override_count;
    const struct map_step *steps;
    size_t step_count;
    uint32_t *field_ends;    /* where in the datum each field of the record ends; NULL: not asked */
    const char *time_field;  /* payload field that holds the event's time; NULL: none */
    bool unknown_is_kept;    /* see map_result */
    bool unknown_is_refused; /* fields that the schema does not have, at any depth */
    bool missing_is_refused; /* fields that the event does not have, whatever their default */
};

/* A field that the schema does not have; not null, and no empty list. */
struct map_unknown {
    const struct avro_node *record; /* it would be one of its fields */
    struct slice name;
    struct slice raw; /* JSON as written; data NULL: `value` counts */
    struct value value;
};

struct map_result {
    struct fill fills[FILL_MAX];
    uint8_t fill_count;
    bool has_time;
    int64_t time_us;
    unsigned unknown_count; /* fields that the schema does not have, at any depth */
    /* The first of them, if asked for; until the next call. */
    const struct map_unknown *unknowns;
    size_t unknown_kept;
};

enum err mapper_open(struct mapper **ret) MUST_USE;
void mapper_close(struct mapper *mapper);

/* ERR_REJECTED: it does not fit the schema, ERR_CORRUPT: not JSON; *why is the reason, with the
 * field's name. ERR_FULL: larger than `ret`. */
enum err map_run(struct mapper *mapper, const struct map_task *task, struct out *ret,
                 struct map_result *ret_result, struct why *why) MUST_USE;

/* The text of a payload's top-level member, for templates: a string's characters, else the value as
 * written. data NULL: none. Points into the body or into the mapper, until the next call. */
struct slice map_payload_text(struct mapper *mapper, struct slice body, struct slice name);
/* What the template of a route leaves to be filled in when packing. */
enum fill_kind map_fill_of_template(const char *text);

#endif
