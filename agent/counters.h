/* What a driver or an uplink counts of its own, by names that it chooses. Loop thread. */
#ifndef WEIR_AGENT_COUNTERS_H
#define WEIR_AGENT_COUNTERS_H

#include "ports/err.h"
#include "ports/slice.h"

#define COUNTER_MAX 16 /* further names are not counted */
#define COUNTER_NAME_SIZE 32

struct counters {
    char names[COUNTER_MAX][COUNTER_NAME_SIZE]; /* longer ones are cut */
    uint64_t values[COUNTER_MAX];
    size_t count;
};

void counters_add(struct counters *counters, const char *name, uint64_t add);
/* 0: nobody has counted under this name. */
uint64_t counters_get(const struct counters *counters, const char *name);
/* As further members of a JSON object, and behind them "fault": its text, or null. */
void counters_put(const struct counters *counters, const struct why *fault, struct out *json);

#endif
