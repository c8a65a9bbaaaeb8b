/* What the files of the Sparkplug reader share: sparkplug.c reads messages and metrics,
 * sparkplug_value.c values, sparkplug_births.c knows what births have said. */
#ifndef WEIR_DRIVERS_SPARKPLUG_IMPL_H
#define WEIR_DRIVERS_SPARKPLUG_IMPL_H

#include "drivers/protobuf.h"
#include "drivers/sparkplug.h"

/* sparkplug_b.proto, enum DataType. */
enum sparkplug_type {
    SPARKPLUG_UNKNOWN,
    SPARKPLUG_INT8,
    SPARKPLUG_INT16,
    SPARKPLUG_INT32,
    SPARKPLUG_INT64,
    SPARKPLUG_UINT8,
    SPARKPLUG_UINT16,
    SPARKPLUG_UINT32,
    SPARKPLUG_UINT64,
    SPARKPLUG_FLOAT,
    SPARKPLUG_DOUBLE,
    SPARKPLUG_BOOLEAN,
    SPARKPLUG_STRING,
    SPARKPLUG_DATETIME,
    SPARKPLUG_TEXT,
    SPARKPLUG_UUID,
    SPARKPLUG_DATASET,
    SPARKPLUG_BYTES,
    SPARKPLUG_FILE,
    SPARKPLUG_TEMPLATE,
    SPARKPLUG_PROPERTY_SET,
    SPARKPLUG_PROPERTY_SET_LIST,
    SPARKPLUG_INT8_ARRAY,
    SPARKPLUG_INT16_ARRAY,
    SPARKPLUG_INT32_ARRAY,
    SPARKPLUG_INT64_ARRAY,
    SPARKPLUG_UINT8_ARRAY,
    SPARKPLUG_UINT16_ARRAY,
    SPARKPLUG_UINT32_ARRAY,
    SPARKPLUG_UINT64_ARRAY,
    SPARKPLUG_FLOAT_ARRAY,
    SPARKPLUG_DOUBLE_ARRAY,
    SPARKPLUG_BOOLEAN_ARRAY,
    SPARKPLUG_STRING_ARRAY,
    SPARKPLUG_DATETIME_ARRAY,
    SPARKPLUG_TYPE_COUNT,
};

/* --- sparkplug_value.c --- */

/* "Int8", as the specification writes it; NULL: not a datatype. */
const char *sparkplug_type_name(uint64_t type);
/* A number, boolean or text as sparkplug_b.proto carries it in the members int_value to
 * string_value, which follow each other in that order from 0 on: `member` is which. Members beyond
 * are not for this. ERR_CORRUPT: not as that member is carried. */
enum err sparkplug_scalar(struct out *json, uint32_t member, uint64_t type,
                          const struct protobuf_field *field) MUST_USE;
/* bytes_value: an array, by its datatype, or base64. ERR_CORRUPT: not a whole array. */
enum err sparkplug_bytes(struct out *json, uint64_t type, struct slice bytes) MUST_USE;
enum err sparkplug_dataset(struct out *json, struct slice message) MUST_USE;
/* A JSON object with all properties but Quality, which goes to *ret_quality (data NULL: there is
 * none). Nothing is written when there are no others. */
enum err sparkplug_properties(struct out *json, struct slice message, const char *name,
                              unsigned depth, struct protobuf_field *ret_quality) MUST_USE;
/* A JSON array of all fields with this number, which are bytes; `put` writes one of them. */
enum err sparkplug_array(struct out *json, struct slice message, uint32_t number,
                         enum err (*put)(void *context, struct slice element),
                         void *context) MUST_USE;
/* "NAME": behind a comma. */
void sparkplug_member(struct out *json, const char *name);

/* --- sparkplug_births.c --- */

#define BIRTH_SOURCE_MAX 256      /* nodes and devices */
#define BIRTH_SOURCE_SIZE_MAX 192 /* of "group/node/device" */
#define BIRTH_METRIC_MAX 4096     /* of all of them */
#define BIRTH_NAME_SIZE_MAX 104   /* longer names are not remembered */
#define BIRTH_BUCKETS 1024

/* What a birth says of a metric. */
struct birth_metric {
    uint16_t next; /* in its bucket, or among the free ones; 0: none */
    uint16_t source;
    uint8_t type;
    uint8_t name_size;
    bool has_alias;
    uint64_t alias;
    char name[BIRTH_NAME_SIZE_MAX];
};

/* Metrics are found by alias where they have one, else by name. */
struct births {
    char sources[BIRTH_SOURCE_MAX][BIRTH_SOURCE_SIZE_MAX]; /* "": free */
    uint16_t buckets[BIRTH_BUCKETS];
    uint16_t free;
    struct birth_metric metrics[BIRTH_METRIC_MAX + 1]; /* [0] is nobody's */
};

void births_init(struct births *births);
/* Forgets all that `source` ("group/node" or "group/node/device") has said, and what a node's
 * devices have. The source's number, for the two below; BIRTH_SOURCE_MAX: there is no room for it. */
uint16_t births_begin(struct births *births, struct slice source);
/* BIRTH_SOURCE_MAX: not known. */
uint16_t births_source(const struct births *births, struct slice source);
/* Without room for it nothing is remembered. */
void births_add(struct births *births, uint16_t source, struct slice name, const uint64_t *alias,
                uint64_t type);
/* By `alias`, or with NULL by `name`. NULL: not known. */
const struct birth_metric *births_find(const struct births *births, uint16_t source,
                                       struct slice name, const uint64_t *alias);

#endif
