/* The records of a file that is imported: an Avro container, or lines of JSON. Each becomes a datum
 * of one of the stream's schemas, or the file is refused at that record. */
#ifndef WEIR_AGENT_IMPORT_FILE_H
#define WEIR_AGENT_IMPORT_FILE_H

#include "agent/import.h"
#include "uplink/avro/schema.h"

/* The schemas that the stream has had. */
struct import_schema {
    uint32_t number;
    struct avro_schema *parsed;
    uint64_t fingerprint;
    struct slice canonical; /* malloc'd */
};
#define IMPORT_SCHEMA_MAX 256
struct import_schemas {
    struct import_schema list[IMPORT_SCHEMA_MAX]; /* oldest first */
    size_t count;
};
/* One that can't be read is passed over. */
enum err import_schemas_add(struct import_schemas *schemas, uint32_t number, struct slice text,
                            struct why *why) MUST_USE;
void import_schemas_release(struct import_schemas *schemas);

struct import_setup {
    const char *path;
    const char *stream;                   /* lines that say another are passed over */
    const struct import_schemas *schemas; /* NULL: only to ask for the stream */
    bool is_plain; /* lines are payloads, as intake maps them, not Avro's JSON encoding */
};

struct import_file;
/* *why begins with the path. */
enum err import_file_open(struct import_file **ret, const struct import_setup *setup,
                          struct why *why) MUST_USE;
/* NULL is allowed. */
void import_file_close(struct import_file *file);
/* The stream that the file says it is of: where its lines say several, the one that is wanted if it
 * is among them, else the first. "": it says nothing. Instead of import_file_next(). */
enum err import_file_stream(struct import_file *file, const char *wanted,
                            char ret[STREAM_NAME_SIZE_MAX], struct why *why) MUST_USE;
/* The next record of the stream; its datum is valid until the next call. ERR_CLOSED: the end. Else
 * *why says which record, and what is wrong with it. */
enum err import_file_next(struct import_file *file, uint32_t *ret_schema, struct tool_event *ret,
                          struct why *why) MUST_USE;

/* What tells this file from others, for this stream. */
enum err import_file_id(const char *path, const char *stream, uint8_t ret[IMPORT_ID_SIZE],
                        struct why *why) MUST_USE;

/* --- for the fuzz target --- */

/* A line that `weir buffer export` wrote. Members that are not there: empty. */
struct import_line {
    struct slice stream; /* as in the line, between quotes */
    struct slice sequence;
    struct slice time;
    struct slice trust;
    struct slice schema;
    struct slice event; /* JSON */
};
/* False: it is JSON, but another line; `ret` has nothing. ERR_CORRUPT: not an object. */
enum err import_line_take(struct slice line, bool *ret_is_ours, struct import_line *ret,
                          struct why *why) MUST_USE;

#endif
