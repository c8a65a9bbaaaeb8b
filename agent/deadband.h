/* Report by exception: is an event told, or has nothing in it moved by more than the user cares for?
 *
 * Of each series (the events of one key; without a key, of the stream) the event that was reported
 * last is kept: its deadbanded numbers, and the bytes of all else that must not change. An event is
 * held back when no number has moved by more than its band (OPC UA's absolute deadband: a difference
 * that is larger is reported) and all else is the same; unless the time of the two is
 * `max_interval` apart or more, in either direction.
 *
 * In doubt an event is reported: what has no place in the table, or is too long for it, always is.
 * The state is in memory only: the first event of each series after a start, or after a change of
 * the schema, is reported. Memory is taken at open; it is touched as series come. One thread. */
#ifndef WEIR_AGENT_DEADBAND_H
#define WEIR_AGENT_DEADBAND_H

#include "agent/map.h"
#include "ports/option.h"

#define DEADBAND_SERIES_MAX 1024   /* a stream; a place is free again after max_interval */
#define DEADBAND_BAND_MAX 16       /* fields with a deadband */
#define DEADBAND_KEY_SIZE_MAX 64   /* bytes of a key; events with a longer one are all reported */
#define DEADBAND_REST_SIZE_MAX 256 /* the same, of what must not change, altogether */

struct deadband;

/* What is looked at of a field. */
enum deadband_role {
    DEADBAND_REST, /* it must not change */
    DEADBAND_BAND,
    DEADBAND_KEY,
    DEADBAND_IGNORED,
};

/* Opened without fields: everything is reported. */
enum err deadband_open(struct deadband **ret, int64_t max_interval_ms) MUST_USE;
/* NULL is allowed. */
void deadband_close(struct deadband *deadband);

/* From now on events are of this record, in which all fields have the role DEADBAND_REST. What was
 * reported is forgotten. The record stays until the next call. */
void deadband_record_set(struct deadband *deadband, const struct avro_node *record);
void deadband_role_set(struct deadband *deadband, uint32_t field, enum deadband_role role);
/* The field has the role DEADBAND_BAND and this width. At most DEADBAND_BAND_MAX. */
void deadband_band_add(struct deadband *deadband, uint32_t field,
                       const struct option_decimal *width);

/* Where mapping writes the end of each field within the datum (map_task.field_ends). */
uint32_t *deadband_ends(struct deadband *deadband);
/* Is the event that was mapped last to be held back? */
bool deadband_holds(struct deadband *deadband, struct slice datum, int64_t time_us) MUST_USE;
/* The event that was asked about last, and not to be held back, is stored. */
void deadband_reported(struct deadband *deadband);

#endif
