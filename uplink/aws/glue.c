#include "uplink/aws/glue.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/random.h"
#include "uplink/aws/glue_impl.h"
#include "uplink/layout/framing.h"
#include "uplink/registry/registry.h"

#define ENTRY_MAX 1024 /* schema versions of all streams */
#define BACKOFF_MS_FIRST 1000
#define BACKOFF_MS_MAX (60 * 1000)
#define RETRY_AFTER_MS_MAX (60 * 60 * 1000)
#define REFUSAL_MS 50000 /* a refusal is asked again after this long */
#define KEPT_SIZE (GLUE_ID_SIZE + 8)
static_assert(KEPT_SIZE <= REMOTE_ID_SIZE_MAX, "an id, and where it is from");

static uint64_t now_ms(const struct glue *glue)
{
    return loop_now_ms(glue->setup.loop);
}

/* --- turns --- */

/* The one that waits longest; the list has the newest in front. */
static struct glue_entry *glue_next(const struct glue *glue)
{
    struct glue_entry *next = NULL;
    for (struct glue_entry *e = glue->entries; e; e = e->next) {
        if (e->state == GLUE_WAITING && (!next || e->due_ms <= next->due_ms)) {
            next = e;
        }
    }
    return next;
}

static void glue_wake(struct glue *glue)
{
    const struct glue_entry *next = glue->asked ? NULL : glue_next(glue);
    if (next) {
        uint64_t now = now_ms(glue);
        timer_arm(&glue->turn, next->due_ms > now ? next->due_ms - now : 0);
    }
}

static void glue_turn(struct timer *timer)
{
    struct glue *glue = CONTAINER_OF(timer, struct glue, turn);
    if (glue->asked) {
        if (!glue->is_open) {
            glue_ask(glue, glue->step);
        }
        return;
    }
    struct glue_entry *next = glue_next(glue);
    if (next && next->due_ms <= now_ms(glue)) {
        glue->asked = next;
        glue->has_renewed = glue->has_dated = false;
        glue->registered_count = glue->poll_count = glue->version_count = 0;
        glue->has_made = false;
        glue_ask(glue, GLUE_LOOK);
    } else {
        glue_wake(glue);
    }
}

/* `result` has its end, and what belongs to it. */
static void glue_end(struct glue *glue, struct glue_result *result)
{
    struct glue_entry *entry = glue->asked;
    avro_schema_close(glue->schema);
    glue->schema = NULL;
    glue->asked = NULL;
    glue_wake(glue);
    if (glue->setup.host) {
        uplink_ready(glue->setup.host);
        return;
    }
    result->name = entry->name;
    result->text = entry->why.text;
    glue->setup.told(glue->setup.context, result);
}

void glue_known(struct glue *glue, const uint8_t id[GLUE_ID_SIZE], int64_t version)
{
    struct glue_entry *entry = glue->asked;
    struct glue_result result = {.end = glue->has_made ? REGISTRATION_MADE : REGISTRATION_THERE,
                                 .version = version};
    uint8_t memory[KEPT_SIZE];
    struct out kept = out_over(memory, sizeof memory);
    out_put(&kept, id, GLUE_ID_SIZE);
    out_put_u64_be(&kept, entry->origin);
    entry->state = GLUE_KNOWN;
    memcpy(entry->id, id, GLUE_ID_SIZE);
    memcpy(result.id, id, GLUE_ID_SIZE);
    glue->has_fault = false;
    entry->why = (struct why){""};
    if (glue->setup.host) {
        uplink_remote_id_set(glue->setup.host, entry->schema, out_slice(&kept));
    }
    glue_end(glue, &result);
}

/* What a person has to mend for all schemas, or for this one. */
static enum err refusal_of(enum registration_end end)
{
    bool is_all = end == REGISTRATION_NO_LOGIN || end == REGISTRATION_FORBIDDEN ||
                  end == REGISTRATION_NO_REGISTRY;
    return is_all ? ERR_CONFIG : ERR_REJECTED;
}

void glue_refused(struct glue *glue, enum registration_end end)
{
    struct glue_entry *entry = glue->asked;
    entry->state = GLUE_REFUSED;
    entry->refusal = refusal_of(end);
    entry->refused_ms = now_ms(glue);
    glue->has_fault = false;
    glue_end(glue, &(struct glue_result){.end = end});
}

void glue_possible(struct glue *glue, bool is_new)
{
    struct glue_entry *entry = glue->asked;
    assert(glue->setup.only_asks && !glue->setup.host);
    entry->state = GLUE_REFUSED; /* it is not asked again */
    entry->refused_ms = now_ms(glue);
    entry->why = (struct why){""};
    glue_end(glue, &(struct glue_result){.end = REGISTRATION_POSSIBLE, .is_new = is_new});
}

void glue_later(struct glue *glue, int64_t retry_after_ms)
{
    struct glue_entry *entry = glue->asked;
    uint64_t ceiling = (uint64_t)BACKOFF_MS_FIRST << (entry->attempt < 7 ? entry->attempt : 7);
    ceiling = ceiling < BACKOFF_MS_MAX ? ceiling : BACKOFF_MS_MAX;
    entry->attempt++;
    uint64_t wait = ceiling / 2 + random_below((uint32_t)(ceiling / 2) + 1);
    uint64_t asked = retry_after_ms > 0 ? (uint64_t)retry_after_ms : 0;
    asked = asked < RETRY_AFTER_MS_MAX ? asked : RETRY_AFTER_MS_MAX;
    entry->due_ms = now_ms(glue) + (asked > wait ? asked : wait);
    glue->has_fault = true;
    glue->fault = entry->why;
    glue_end(glue, &(struct glue_result){.end = REGISTRATION_LATER});
}

/* --- credentials --- */

static void credentials_changed(void *context)
{
    struct glue *glue = context;
    if (glue->asked && !glue->is_open) {
        timer_arm(&glue->turn, 0);
    }
}

static void credentials_fault(void *context, const struct why *why)
{
    struct glue *glue = context;
    glue->has_credential_fault = why != NULL;
    if (why) {
        glue->credential_fault = *why;
        credentials_changed(glue);
    }
}

static void credentials_wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    struct glue *glue = context;
    if (glue->setup.host) {
        uplink_wire_bytes(glue->setup.host, sent, received);
    }
}

/* --- schemas --- */

/* An id from an earlier life, if it is from this registry and schema. */
static void entry_remember(const struct glue *glue, struct glue_entry *entry)
{
    uint8_t memory[REMOTE_ID_SIZE_MAX];
    size_t size = 0;
    if (!glue->setup.host || !uplink_remote_id(glue->setup.host, entry->schema, memory, &size)) {
        return;
    }
    struct slice kept = {memory, size}, id;
    uint64_t origin;
    if (slice_take(&kept, GLUE_ID_SIZE, &id) && slice_take_u64_be(&kept, &origin) &&
        origin == entry->origin) {
        memcpy(entry->id, id.data, GLUE_ID_SIZE);
        entry->state = GLUE_KNOWN;
    }
}

/* As AWS's own libraries call it, or by the record. What Glue does not allow in a name it says. */
static enum err entry_name(const struct glue *glue, const char *topic,
                           const struct schema_info *schema, struct glue_entry *entry,
                           struct why *why)
{
    enum glue_name kind =
        topic ? (enum glue_name)glue->setup.options->schema_name : GLUE_RECORD_NAME;
    struct out name = out_over(entry->name, GLUE_NAME_SIZE_MAX);
    enum err e = ERR_OK;
    if (kind == GLUE_TOPIC_NAME) {
        out_put_text(&name, topic);
    } else {
        e = registry_subject_put(kind == GLUE_RECORD_NAME ? REGISTRY_RECORD_NAME
                                                          : REGISTRY_TOPIC_RECORD_NAME,
                                 topic, schema->json, &name);
    }
    if (e || name.overflow) {
        why_set(why, e == ERR_CORRUPT ? "the schema has no name to file it under in Glue"
                                      : "the schema's name in Glue would be too long");
        return ERR_REJECTED;
    }
    entry->name[name.size] = '\0';
    const char *at[] = {glue->url, glue->setup.options->registry, entry->name};
    for (size_t i = 0; i < ARRAY_COUNT(at); i++) {
        entry->origin = 31 * entry->origin + slice_hash(slice_of_text(at[i]));
    }
    return ERR_OK;
}

static enum err entry_add(struct glue *glue, const char *topic, const struct schema_info *schema,
                          struct glue_entry **ret, struct why *why)
{
    if (glue->entry_count >= ENTRY_MAX || schema->json.size > GLUE_DEFINITION_MAX) {
        why_set(why,
                glue->entry_count >= ENTRY_MAX
                    ? "no room for another schema version: at most %d since the start"
                    : "the schema is too long for Glue, which takes %d characters",
                glue->entry_count >= ENTRY_MAX ? ENTRY_MAX : GLUE_DEFINITION_MAX);
        return ERR_REJECTED;
    }
    struct glue_entry *entry = calloc(1, sizeof *entry);
    if (!entry) {
        return ERR_NOMEM;
    }
    entry->schema = schema->number;
    entry->json = schema->json;
    entry->due_ms = now_ms(glue);
    enum err e = entry_name(glue, topic, schema, entry, why);
    if (e) {
        free(entry);
        return e;
    }
    entry_remember(glue, entry);
    entry->next = glue->entries;
    glue->entries = entry;
    glue->entry_count++;
    glue_wake(glue);
    *ret = entry;
    return ERR_OK;
}

/* --- for the user --- */

enum err glue_open(struct glue **ret, const struct glue_setup *setup, struct why *why)
{
    const struct glue_options *options = setup->options;
    const char *region = credentials_region(options->region);
    assert(setup->host || setup->told);
    if (!region || strlen(region) > SIGV4_REGION_SIZE_MAX) {
        why_set(why, "glue.region is missing");
        return ERR_CONFIG;
    }
    struct glue *glue = calloc(1, sizeof *glue);
    if (!glue) {
        return ERR_NOMEM;
    }
    glue->setup = *setup;
    timer_init(&glue->turn, setup->loop, glue_turn);
    (void)snprintf(glue->region, sizeof glue->region, "%s", region);
    if (options->url) {
        (void)snprintf(glue->url, sizeof glue->url, "%s", options->url);
    } else {
        (void)snprintf(glue->url, sizeof glue->url, "https://glue.%s.amazonaws.com%s/", region,
                       strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    }
    struct credentials_setup credentials = {.loop = setup->loop,
                                            .names = setup->names,
                                            .http = setup->http,
                                            .clock = &glue->clock,
                                            .options = &options->credentials,
                                            .region = glue->region,
                                            .context = glue,
                                            .changed = credentials_changed,
                                            .fault = credentials_fault,
                                            .wire_bytes = credentials_wire_bytes};
    enum err e = credentials_open(&glue->credentials, &credentials, why);
    if (e) {
        glue_close(glue);
        return e;
    }
    *ret = glue;
    return ERR_OK;
}

void glue_close(struct glue *glue)
{
    if (!glue) {
        return;
    }
    if (glue->is_open) {
        http_cancel(glue->setup.http, &glue->request);
    }
    credentials_close(glue->credentials);
    timer_release(&glue->turn);
    avro_schema_close(glue->schema);
    free(glue->body);
    while (glue->entries) {
        struct glue_entry *entry = glue->entries;
        glue->entries = entry->next;
        free(entry);
    }
    free(glue);
}

enum err glue_prefix(struct glue *glue, const char *topic, const struct schema_info *schema,
                     uint8_t ret_prefix[GLUE_PREFIX_SIZE], struct why *why)
{
    struct glue_entry *entry = glue->entries;
    while (entry && entry->schema != schema->number) {
        entry = entry->next;
    }
    if (!entry) {
        enum err e = entry_add(glue, topic, schema, &entry, why);
        if (e) {
            return e;
        }
    }
    if (entry->state == GLUE_REFUSED) {
        if (now_ms(glue) - entry->refused_ms < REFUSAL_MS) {
            *why = entry->why;
            return entry->refusal;
        }
        entry->attempt = 0;
        entry->state = GLUE_WAITING;
        entry->due_ms = now_ms(glue);
        glue_wake(glue);
    }
    if (entry->state != GLUE_KNOWN) {
        return ERR_AGAIN;
    }
    ret_prefix[0] = FRAMING_GLUE_VERSION;
    ret_prefix[1] = FRAMING_GLUE_PLAIN;
    memcpy(ret_prefix + 2, entry->id, GLUE_ID_SIZE);
    return ERR_OK;
}

const struct why *glue_fault(const struct glue *glue)
{
    return glue->has_fault ? &glue->fault : NULL;
}

const struct glue_options *glue_options_of(const struct glue *glue)
{
    return glue->setup.options;
}
