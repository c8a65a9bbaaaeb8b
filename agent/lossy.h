/* What a user gives up of a stream's events so that less is sent (its `fields`): which fields of the
 * schema are meant, what each of them may have, how the schema's doc tells it to whoever reads the
 * events, and the state that intake needs. Quantising is quantize.h, report by exception deadband.h.
 *
 * Nothing of this is done unless it is asked for, field by field. */
#ifndef WEIR_AGENT_LOSSY_H
#define WEIR_AGENT_LOSSY_H

#include "agent/deadband.h"
#include "agent/map.h"
#include "config/config.h"

#define LOSSY_FIELD_MAX 64 /* of a stream */
#define LOSSY_NAME_SIZE_MAX 255

/* Is this entry of the stream's `fields` right for the schema, whose root is a record? ERR_CONFIG:
 * *ret_member is which option of it is not, or "" for its name; *why says why. */
enum err lossy_check(const struct stream_config *options, size_t index,
                     const struct avro_schema *schema, const char **ret_member,
                     struct why *why) MUST_USE;
/* Puts the word that fields are quantised or have a deadband into their doc, in the schema's text: to
 * readers and registries it is another version of the schema, and compatible by construction, since
 * doc does not count. Entries that do not fit the schema are passed over. *schema becomes another one
 * when it changes. ERR_NOMEM; ERR_REJECTED: its text becomes too long. */
enum err lossy_mark(const struct stream_config *options, struct avro_schema **schema,
                    struct why *why) MUST_USE;

/* What intake needs of one stream. */
struct lossy {
    const struct config_stream *stream;
    struct map_step steps[LOSSY_FIELD_MAX];
    size_t step_count;
    struct deadband *deadband; /* NULL: every event is reported */
    uint64_t suppressed;       /* events */
};

/* *ret NULL: nothing is asked for. */
enum err lossy_open(struct lossy **ret, const struct config_stream *stream) MUST_USE;
/* NULL is allowed. */
void lossy_close(struct lossy *lossy);
/* Events have this schema from now on; it stays until the next call. Entries that do not fit it do
 * nothing, and the log says so. */
void lossy_schema_set(struct lossy *lossy, const struct avro_schema *schema);

#endif
