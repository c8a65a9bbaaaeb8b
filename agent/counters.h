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

/* The fault that a part had last, and has no more. */
struct past_fault {
    struct why why; /* "": it had none */
    uint64_t ended_us;
};

/* The part's fault, "" if it has none, is over. */
void past_fault_note(struct past_fault *past, const struct why *fault);
/* As a further member: "last_fault": null, or its text and how long ago it ended. */
void past_fault_put(const struct past_fault *past, struct out *json);

void counters_add(struct counters *counters, const char *name, uint64_t add);
/* 0: nobody has counted under this name. */
uint64_t counters_get(const struct counters *counters, const char *name);
/* As further members of a JSON object, and behind them "fault": its text, or null. */
void counters_put(const struct counters *counters, const struct why *fault, struct out *json);

#endif
