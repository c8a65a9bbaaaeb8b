#include "agent/counters.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ports/clock.h"

static size_t counter_find(const struct counters *counters, const char *name)
{
    size_t i = 0;
    while (i < counters->count && strcmp(counters->names[i], name) != 0) {
        i++;
    }
    return i;
}

void counters_add(struct counters *counters, const char *name, uint64_t add)
{
    size_t i = counter_find(counters, name);
    if (i < counters->count) {
        counters->values[i] += add;
    } else if (i < COUNTER_MAX) {
        (void)snprintf(counters->names[i], COUNTER_NAME_SIZE, "%s", name); /* cut is fine */
        counters->values[i] = add;
        counters->count++;
    }
}

uint64_t counters_get(const struct counters *counters, const char *name)
{
    size_t i = counter_find(counters, name);
    return i < counters->count ? counters->values[i] : 0;
}

void counters_put(const struct counters *counters, const struct why *fault, struct out *json)
{
    for (size_t i = 0; i < counters->count; i++) {
        out_put_byte(json, ',');
        out_put_json(json, slice_of_text(counters->names[i]));
        out_put_format(json, ":%" PRIu64, counters->values[i]);
    }
    out_put_text(json, ",\"fault\":");
    if (fault->text[0]) {
        out_put_json(json, slice_of_text(fault->text));
    } else {
        out_put_text(json, "null");
    }
}

void past_fault_note(struct past_fault *past, const struct why *fault)
{
    if (fault->text[0]) {
        past->why = *fault;
        past->ended_us = clock_monotonic_us();
    }
}

void past_fault_put(const struct past_fault *past, struct out *json)
{
    if (!past->why.text[0]) {
        out_put_text(json, ",\"last_fault\":null");
        return;
    }
    uint64_t ago_s = (clock_monotonic_us() - past->ended_us) / 1000000;
    out_put_text(json, ",\"last_fault\":{\"text\":");
    out_put_json(json, slice_of_text(past->why.text));
    out_put_format(json, ",\"ended_s\":%" PRIu64 "}", ago_s);
}
