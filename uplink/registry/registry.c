#include "uplink/registry/registry.h"

#include <assert.h>
#include <inttypes.h>

#include "ports/http.h"
#include "ports/random.h"
#include "uplink/registry/answer.h"

#define ENTRY_MAX 1024 /* schema versions of all streams */
#define BACKOFF_MS_FIRST 1000
#define BACKOFF_MS_MAX (60 * 1000)
#define RETRY_AFTER_MS_MAX (60 * 60 * 1000)
#define REFUSAL_MS 50000 /* a refusal is asked again after this long */
#define REQUEST_TIMEOUT_MS 20000
#define KEPT_SIZE 12 /* id, 4 bytes; where it is from, 8 bytes */

enum entry_state {
    ENTRY_WAITING, /* for the backoff, or for the answer */
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
    bool open; /* the request is under way */
    struct http_request request;
    char url[REGISTRY_URL_SIZE_MAX];
    uint8_t *body;
    size_t body_size;
};

struct registry {
    struct registry_setup setup;
    struct entry *entries;
    size_t entry_count;
    bool has_fault;
    struct why fault;
};

/* --- URLs --- */

/* Tells ids of different registries and subjects apart. */
static uint64_t origin_of(struct slice url)
{
    return slice_hash(url);
}

static enum err entry_url(struct entry *entry, const char *topic, const struct schema_info *schema,
                          struct why *why)
{
    const struct registry_options *options = entry->registry->setup.options;
    uint8_t memory[REGISTRY_SUBJECT_SIZE_MAX];
    struct out subject = out_over(memory, sizeof memory);
    enum err e = registry_subject_put((enum registry_subject)options->subject, topic, schema->json,
                                      &subject);
    struct out url = out_over(entry->url, sizeof entry->url - 1);
    registry_url_put(options, "/subjects/", out_slice(&subject), &url);
    entry->origin = origin_of(out_slice(&url));
    /* Whoever registered it may have written it with other white space. */
    out_put_text(&url, options->may_register ? "/versions" : "?normalize=true");
    entry->url[url.size] = '\0';
    if (e || url.overflow) {
        why_set(why, e == ERR_CORRUPT ? "the schema has no name to make a registry subject of"
                                      : "the registry's URL and subject are too long");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

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
    free(entry->body); /* it is not asked again */
    entry->body = NULL;
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

/* By status first, then by what the body has; never by texts, which differ between registries. */
static void entry_answered(struct http_request *request, const struct http_answer *http)
{
    struct entry *entry = CONTAINER_OF(request, struct entry, request);
    struct registry *registry = entry->registry;
    entry->open = false;
    uplink_wire_bytes(registry->setup.host, http->wire_sent, http->wire_received);
    struct registry_answer answer = {0};
    if (http->e == ERR_OK) {
        registry_answer_parse(http->body, &answer);
    }
    const char *says = answer.message[0] ? answer.message : "no reason given";
    if (http->e != ERR_OK) {
        /* The same for every subject: what changes is logged. */
        why_set(&entry->why, "no answer from the schema registry at %s: %s",
                registry->setup.options->url,
                http->why.text[0] ? http->why.text : err_name(http->e));
        entry_again(entry, 0);
    } else if (http->status == 200 && answer.has_id) {
        entry_known(entry, answer.id);
    } else if (http->status == 401 || http->status == 403) {
        why_set(&entry->why,
                "the schema registry refuses us (%ld): check registry.user and .password, "
                "and the rights on %s",
                http->status, entry->url);
        entry_refused(entry, ERR_CONFIG);
    } else if (http->status == 409) {
        why_set(&entry->why, "the schema registry finds the schema incompatible at %s: %s",
                entry->url, says);
        entry_refused(entry, ERR_REJECTED);
    } else if (http->status == 422 || http->status == 400) {
        why_set(&entry->why, "the schema registry does not take the schema at %s (%" PRId64 "): %s",
                entry->url, answer.error_code, says);
        entry_refused(entry, ERR_REJECTED);
    } else if (http->status == 404 && !registry->setup.options->may_register) {
        why_set(&entry->why,
                "the schema is not registered at %s: register it there, or set "
                "registry.register to true",
                entry->url);
        entry_refused(entry, ERR_REJECTED);
    } else if (http->status == 404) {
        why_set(&entry->why, "there is no schema registry at %s (404): check registry.url",
                entry->url);
        entry_refused(entry, ERR_CONFIG);
    } else {
        why_set(&entry->why, "the schema registry at %s answers %ld: %s", entry->url, http->status,
                says);
        entry_again(entry, http->retry_after_ms);
    }
    uplink_ready(registry->setup.host);
}

static void entry_send(struct entry *entry)
{
    const struct registry_options *options = entry->registry->setup.options;
    entry->request = (struct http_request){
        .method = "POST",
        .url = entry->url,
        .headers = {"Content-Type: application/vnd.schemaregistry.v1+json",
                    "Accept: application/vnd.schemaregistry.v1+json"},
        .body = {entry->body, entry->body_size},
        .tls = options->tls.is_set ? &options->tls : NULL,
        .user = options->user,
        .password = options->password,
        .timeout_ms = REQUEST_TIMEOUT_MS,
        .done = entry_answered,
    };
    entry->state = ENTRY_WAITING;
    enum err e = http_send(entry->registry->setup.http, &entry->request);
    entry->open = e == ERR_OK;
    if (e) {
        why_set(&entry->why, "no request to the schema registry could be begun: %s", err_name(e));
        entry_again(entry, 0);
    }
}

static void entry_retry(struct timer *timer)
{
    entry_send(CONTAINER_OF(timer, struct entry, retry));
}

/* --- entries --- */

static void entry_free(struct entry *entry)
{
    if (entry->open) {
        http_cancel(entry->registry->setup.http, &entry->request);
    }
    timer_release(&entry->retry);
    free(entry->body);
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
    enum err e = entry_url(entry, topic, schema, why);
    if (!e && !entry_remember(entry)) {
        e = registry_body(schema, &entry->body, &entry->body_size);
    }
    if (e) {
        entry_free(entry);
        return e;
    }
    if (entry->state != ENTRY_KNOWN) {
        entry_send(entry);
    }
    entry->next = registry->entries;
    registry->entries = entry;
    registry->entry_count++;
    *ret = entry;
    return ERR_OK;
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
