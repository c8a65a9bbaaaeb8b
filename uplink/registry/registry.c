#include "uplink/registry/registry.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/http.h"
#include "ports/random.h"
#include "uplink/registry/pieces.h"
#include "uplink/registry/registration.h"

#define ENTRY_MAX 1024 /* schema versions of all streams */
#define OPEN_MAX 4     /* asked for at a time: further ones use their connections */
#define BACKOFF_MS_FIRST 1000
#define BACKOFF_MS_MAX (60 * 1000)
#define RETRY_AFTER_MS_MAX (60 * 60 * 1000)
#define REFUSAL_MS 50000 /* a refusal is asked again after this long */
#define KEPT_SIZE 12     /* id, 4 bytes; where it is from, 8 bytes */

enum entry_state {
    ENTRY_WAITING, /* for the backoff, its turn, or the answer */
    ENTRY_KNOWN,
    ENTRY_REFUSED,
};

/* One schema; its stream, and so its topic and subject, never change. */
struct entry {
    struct entry *next;
    struct registry *registry;
    uint32_t schema; /* number */
    enum entry_state state;
    uint32_t id;
    uint64_t origin; /* of the id: where it is from */
    enum err refusal;
    struct why why;
    uint64_t refused_ms;
    unsigned attempt;
    struct timer retry;
    bool has_turn, wants_turn;         /* it is being asked for; it is to be */
    struct registration *registration; /* NULL: the id is known */
};

struct registry {
    struct registry_setup setup;
    struct entry *entries;
    size_t entry_count;
    unsigned open_count; /* entries that have a turn */
    bool has_fault;
    struct why fault;
};

/* --- answers --- */

static void entry_known(struct entry *entry, uint32_t id)
{
    struct registry *registry = entry->registry;
    uint8_t memory[KEPT_SIZE];
    struct out kept = out_over(memory, sizeof memory);
    out_put_u32_be(&kept, id);
    out_put_u64_be(&kept, entry->origin);
    entry->state = ENTRY_KNOWN;
    entry->id = id;
    registry->has_fault = false;
    registration_close(entry->registration); /* it is not asked again */
    entry->registration = NULL;
    uplink_remote_id_set(registry->setup.host, entry->schema, out_slice(&kept));
}

static void entry_refused(struct entry *entry, enum err e)
{
    entry->state = ENTRY_REFUSED;
    entry->refusal = e;
    entry->refused_ms = loop_now_ms(entry->registry->setup.loop);
    entry->registry->has_fault = false;
}

static void entry_again(struct entry *entry, int64_t retry_after_ms)
{
    uint64_t ceiling = (uint64_t)BACKOFF_MS_FIRST << (entry->attempt < 7 ? entry->attempt : 7);
    ceiling = ceiling < BACKOFF_MS_MAX ? ceiling : BACKOFF_MS_MAX;
    entry->attempt++;
    uint64_t wait = ceiling / 2 + random_below((uint32_t)(ceiling / 2) + 1);
    uint64_t asked = retry_after_ms > 0 ? (uint64_t)retry_after_ms : 0;
    asked = asked < RETRY_AFTER_MS_MAX ? asked : RETRY_AFTER_MS_MAX;
    wait = asked > wait ? asked : wait;
    timer_arm(&entry->retry, wait);
    entry->registry->has_fault = true;
    entry->registry->fault = entry->why;
}

/* Those that wait longest come first; the list has the newest in front. */
static void registry_turns(struct registry *registry)
{
    struct entry *next = NULL;
    do {
        next = NULL;
        for (struct entry *e = registry->entries; e; e = e->next) {
            next = e->wants_turn ? e : next;
        }
        if (next && registry->open_count < OPEN_MAX) {
            next->wants_turn = false;
            next->has_turn = true;
            registry->open_count++;
            registration_begin(next->registration);
        }
    } while (next && next->has_turn);
}

static void entry_done(void *context, const struct registration_result *result)
{
    struct entry *entry = context;
    struct registry *registry = entry->registry;
    assert(entry->has_turn && registry->open_count > 0);
    entry->has_turn = false;
    registry->open_count--;
    registration_why(result, registry->setup.options, &entry->why);
    switch (result->end) {
    case REGISTRATION_THERE:
    case REGISTRATION_MADE:
        entry_known(entry, result->id);
        break;
    case REGISTRATION_UNKNOWN:
    case REGISTRATION_REFUSED:
    case REGISTRATION_INVALID:
        entry_refused(entry, ERR_REJECTED);
        break;
    case REGISTRATION_NO_LOGIN:
    case REGISTRATION_FORBIDDEN:
    case REGISTRATION_NO_REGISTRY:
        entry_refused(entry, ERR_CONFIG);
        break;
    case REGISTRATION_POSSIBLE: /* only when nothing may be registered */
        assert(false);
        break;
    case REGISTRATION_LATER:
        entry_again(entry, result->retry_after_ms);
        break;
    }
    registry_turns(registry);
    uplink_ready(registry->setup.host);
}

static void entry_answered(void *context, const struct http_answer *answer)
{
    const struct entry *entry = context;
    uplink_wire_bytes(entry->registry->setup.host, answer->wire_sent, answer->wire_received);
}

/* It is in the list. */
static void entry_send(struct entry *entry)
{
    assert(!entry->has_turn);
    entry->state = ENTRY_WAITING;
    entry->wants_turn = true;
    registry_turns(entry->registry);
}

static void entry_retry(struct timer *timer)
{
    entry_send(CONTAINER_OF(timer, struct entry, retry));
}

/* --- entries --- */

static void entry_free(struct entry *entry)
{
    registration_close(entry->registration);
    timer_release(&entry->retry);
    free(entry);
}

/* An id from an earlier life, if it is from this registry and subject. */
static bool entry_remember(struct entry *entry)
{
    uint8_t memory[REMOTE_ID_SIZE_MAX];
    size_t size = 0;
    if (!uplink_remote_id(entry->registry->setup.host, entry->schema, memory, &size)) {
        return false;
    }
    struct slice kept = {memory, size};
    uint32_t id;
    uint64_t origin;
    if (!slice_take_u32_be(&kept, &id) || !slice_take_u64_be(&kept, &origin) ||
        origin != entry->origin) {
        return false;
    }
    entry->state = ENTRY_KNOWN;
    entry->id = id;
    return true;
}

static enum err entry_add(struct registry *registry, const char *topic,
                          const struct schema_info *schema, struct entry **ret, struct why *why)
{
    if (registry->entry_count >= ENTRY_MAX) {
        why_set(why, "no room for another schema version: at most %d since the start", ENTRY_MAX);
        return ERR_REJECTED;
    }
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry) {
        return ERR_NOMEM;
    }
    entry->registry = registry;
    entry->schema = schema->number;
    timer_init(&entry->retry, registry->setup.loop, entry_retry);
    struct registration_setup setup = {.loop = registry->setup.loop,
                                       .http = registry->setup.http,
                                       .options = registry->setup.options,
                                       .context = entry,
                                       .done = entry_done,
                                       .answered = entry_answered};
    enum err e = registration_open(&entry->registration, &setup, topic, schema, why);
    if (e) {
        entry_free(entry);
        return e;
    }
    entry->origin = registration_origin(entry->registration);
    if (entry_remember(entry)) {
        registration_close(entry->registration);
        entry->registration = NULL;
    }
    entry->next = registry->entries;
    registry->entries = entry;
    registry->entry_count++;
    if (entry->state != ENTRY_KNOWN) {
        entry_send(entry);
    }
    *ret = entry;
    return ERR_OK;
}

enum err registry_schema_check(const struct registry_options *options, struct slice schema,
                               struct why *why)
{
    struct pieces pieces;
    enum err e = pieces_open(&pieces, schema, &options->references, why);
    if (!e) {
        pieces_close(&pieces);
    }
    return e;
}

enum err registry_open(struct registry **ret, const struct registry_setup *setup, struct why *why)
{
    enum err e = registry_url_check(&setup->options->url, why);
    if (e) {
        return e;
    }
    struct registry *registry = calloc(1, sizeof *registry);
    if (!registry) {
        return ERR_NOMEM;
    }
    registry->setup = *setup;
    *ret = registry;
    return ERR_OK;
}

void registry_close(struct registry *registry)
{
    if (!registry) {
        return;
    }
    while (registry->entries) {
        struct entry *entry = registry->entries;
        registry->entries = entry->next;
        entry_free(entry);
    }
    free(registry);
}

enum err registry_prefix(struct registry *registry, const char *topic,
                         const struct schema_info *schema, uint8_t ret_prefix[REGISTRY_PREFIX_SIZE],
                         struct why *why)
{
    struct entry *entry = registry->entries;
    while (entry && entry->schema != schema->number) {
        entry = entry->next;
    }
    if (!entry) {
        enum err e = entry_add(registry, topic, schema, &entry, why);
        if (e) {
            return e;
        }
    }
    assert(entry);
    if (entry->state == ENTRY_REFUSED) {
        if (loop_now_ms(registry->setup.loop) - entry->refused_ms < REFUSAL_MS) {
            *why = entry->why;
            return entry->refusal;
        }
        entry->attempt = 0;
        entry_send(entry);
    }
    if (entry->state != ENTRY_KNOWN) {
        return ERR_AGAIN;
    }
    struct out prefix = out_over(ret_prefix, REGISTRY_PREFIX_SIZE);
    out_put_byte(&prefix, 0);
    out_put_u32_be(&prefix, entry->id);
    return ERR_OK;
}

const struct why *registry_fault(const struct registry *registry)
{
    return registry->has_fault ? &registry->fault : NULL;
}
