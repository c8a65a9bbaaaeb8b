#include <stdlib.h>
#include <string.h>

#include "agent/flow.h"
#include "ports/log.h"
#include "uplink/avro/schema.h"
#include "uplink/layout/columns.h"

#define SCHEMA_COUNT_MAX (STREAM_COUNT_MAX * 1024) /* the gate lets in fewer of a stream */

/* --- schemas --- */

static struct forward_schema *find(const struct forward *forward, uint32_t schema)
{
    for (size_t i = 0; i < forward->schema_count; i++) {
        if (forward->schemas[i]->info.number == schema) {
            return forward->schemas[i];
        }
    }
    return NULL;
}

const struct forward_schema *forward_schema_find(const struct forward *forward, uint32_t schema)
{
    return find(forward, schema);
}

enum err forward_schema_plan(const struct forward *forward, uint32_t number,
                             const struct columns_plan **ret)
{
    struct forward_schema *schema = find(forward, number);
    if (!schema || !schema->parsed) {
        return ERR_REJECTED;
    }
    enum err e = schema->plan ? ERR_OK : columns_plan_open(&schema->plan, schema->parsed);
    *ret = e ? NULL : schema->plan;
    return e;
}

struct key forward_schema_key(const struct forward_schema *schema, uint32_t parcel_key)
{
    uint32_t field = parcel_key - PARCEL_KEY_FIELD;
    /* Another version may have written what this one can't parse. */
    bool is_field = schema->parsed && parcel_key >= PARCEL_KEY_FIELD &&
                    avro_schema_root(schema->parsed)->kind == AVRO_RECORD &&
                    field < avro_schema_root(schema->parsed)->field_count;
    return is_field ? (struct key){schema->parsed, field} : (struct key){0};
}

static const char *stream_key_field(const struct forward *forward, uint16_t stream)
{
    for (size_t i = 0; i < forward->setup.stream_count; i++) {
        if (forward->setup.streams[i].info.number == stream) {
            return forward->setup.streams[i].key_field;
        }
    }
    return NULL;
}

void forward_schema_close(struct forward_schema *schema)
{
    if (schema) {
        columns_plan_close(schema->plan);
        avro_schema_close(schema->parsed);
        free(schema);
    }
}

enum err forward_schema_add(struct forward *forward, uint16_t stream,
                            const struct schema_info *info)
{
    if (forward_schema_find(forward, info->number)) {
        return ERR_OK;
    }
    if (forward->schema_count == SCHEMA_COUNT_MAX) {
        return ERR_FULL;
    }
    struct forward_schema **grown =
        realloc(forward->schemas, (forward->schema_count + 1) * sizeof *grown);
    if (!grown) {
        return ERR_NOMEM;
    }
    forward->schemas = grown;
    struct forward_schema *schema = calloc(1, sizeof *schema);
    if (!schema) {
        return ERR_NOMEM;
    }
    schema->stream = stream;
    schema->info = *info;
    const char *field = stream_key_field(forward, stream);
    struct why why = {""};
    enum err e = avro_schema_parse(&schema->parsed, info->json, &why);
    if (!e && field && key_find(&schema->key, schema->parsed, field, KEY_VALUE, &why)) {
        /* An older version without this field: its events have no key. */
        log_warn("forward", "schema %u: %s; its events go out without a key", info->number,
                 why.text);
        schema->key = (struct key){0};
    }
    if (e == ERR_NOMEM) {
        forward_schema_close(schema);
        return e;
    }
    if (e) { /* written by another version: no reason not to start */
        log_error("forward", "schema %u of the buffer: %s; its events go out without a key",
                  info->number, why.text);
    }
    forward->schemas[forward->schema_count++] = schema;
    return ERR_OK;
}

/* --- registries' ids --- */

void forward_remote_add(void *context, uint16_t uplink, uint32_t schema, struct slice id)
{
    struct forward *forward = context;
    if (id.size > REMOTE_ID_SIZE_MAX || forward->remotes_failed) {
        return;
    }
    struct forward_remote *grown =
        realloc(forward->remotes, (forward->remote_count + 1) * sizeof *grown);
    if (!grown) {
        forward->remotes_failed = true;
        return;
    }
    forward->remotes = grown;
    struct forward_remote *remote = &grown[forward->remote_count++];
    *remote = (struct forward_remote){.uplink = uplink, .schema = schema, .size = id.size};
    memcpy(remote->id, id.data, id.size);
}
