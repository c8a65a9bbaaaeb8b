#include <assert.h>

#include "drivers/sparkplug_impl.h"

static uint16_t *bucket_of(struct births *births, uint16_t source, struct slice name,
                           const uint64_t *alias)
{
    uint64_t hash = (alias ? *alias : slice_hash(name)) ^ (uint64_t)source << 48;
    hash *= UINT64_C(0x9e3779b97f4a7c15); /* neighbours apart */
    return &births->buckets[(hash >> 32) % BIRTH_BUCKETS];
}

void births_init(struct births *births)
{
    memset(births->sources, 0, sizeof births->sources);
    memset(births->buckets, 0, sizeof births->buckets);
    births->free = 0;
    for (uint16_t i = BIRTH_METRIC_MAX; i > 0; i--) {
        births->metrics[i].next = births->free;
        births->free = i;
    }
}

static bool source_is(const struct births *births, uint16_t number, struct slice source)
{
    return slice_equal_text(source, births->sources[number]);
}

/* The source itself, or one of the node's devices. */
static bool source_is_of(const struct births *births, uint16_t number, struct slice source)
{
    const char *text = births->sources[number];
    return source_is(births, number, source) ||
           (slice_starts_with(slice_of_text(text), source) && text[source.size] == '/');
}

static void forget(struct births *births, const bool gone[BIRTH_SOURCE_MAX])
{
    for (size_t b = 0; b < BIRTH_BUCKETS; b++) {
        uint16_t *link = &births->buckets[b];
        while (*link) {
            uint16_t number = *link;
            struct birth_metric *metric = &births->metrics[number];
            if (!gone[metric->source]) {
                link = &metric->next;
                continue;
            }
            *link = metric->next;
            metric->next = births->free;
            births->free = number;
        }
    }
}

uint16_t births_source(const struct births *births, struct slice source)
{
    uint16_t number = 0;
    while (number < BIRTH_SOURCE_MAX && !source_is(births, number, source)) {
        number++;
    }
    return number;
}

uint16_t births_begin(struct births *births, struct slice source)
{
    bool gone[BIRTH_SOURCE_MAX] = {false};
    bool is_any = false;
    assert(source.size);
    for (uint16_t i = 0; i < BIRTH_SOURCE_MAX; i++) {
        gone[i] = source_is_of(births, i, source);
        is_any = is_any || gone[i];
        if (gone[i]) {
            births->sources[i][0] = 0;
        }
    }
    if (is_any) {
        forget(births, gone);
    }
    uint16_t number = births_source(births, (struct slice){NULL, 0});
    if (number < BIRTH_SOURCE_MAX &&
        !slice_to_text(source, births->sources[number], BIRTH_SOURCE_SIZE_MAX)) {
        return BIRTH_SOURCE_MAX;
    }
    return number;
}

void births_add(struct births *births, uint16_t source, struct slice name, const uint64_t *alias,
                uint64_t type)
{
    uint16_t number = births->free;
    if (!number || source >= BIRTH_SOURCE_MAX || name.size > BIRTH_NAME_SIZE_MAX ||
        births_find(births, source, name, alias)) {
        return;
    }
    struct birth_metric *metric = &births->metrics[number];
    uint16_t *bucket = bucket_of(births, source, name, alias);
    births->free = metric->next;
    *metric = (struct birth_metric){.next = *bucket,
                                    .source = source,
                                    .type = type < SPARKPLUG_TYPE_COUNT ? (uint8_t)type : 0,
                                    .name_size = (uint8_t)name.size,
                                    .has_alias = alias != NULL,
                                    .alias = alias ? *alias : 0};
    memcpy(metric->name, name.data ? name.data : (const uint8_t *)"", name.size);
    *bucket = number;
}

const struct birth_metric *births_find(const struct births *births, uint16_t source,
                                       struct slice name, const uint64_t *alias)
{
    if (source >= BIRTH_SOURCE_MAX) {
        return NULL;
    }
    uint16_t number = *bucket_of((struct births *)(uintptr_t)births, source, name, alias);
    while (number) {
        const struct birth_metric *metric = &births->metrics[number];
        struct slice own = {(const uint8_t *)metric->name, metric->name_size};
        if (metric->source == source && metric->has_alias == (alias != NULL) &&
            (alias ? metric->alias == *alias : slice_equal(own, name))) {
            return metric;
        }
        number = metric->next;
    }
    return NULL;
}
