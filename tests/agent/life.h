/* The whole agent between doubles of a driver and of an uplink, life after life on one disk. */
#ifndef WEIR_TESTS_AGENT_LIFE_H
#define WEIR_TESTS_AGENT_LIFE_H

#include "agent/agent.h"
#include "agent/carry.h"
#include "ports/driver.h"
#include "tests/agent/uplink_double.h"

/* Streams "lines" and "alarms", which takes the subject "a". */
#define LIFE_CONFIG \
    "{\"agent\":{\"id\":\"pump-7\",\"stop_grace\":\"3 s\"}," \
    "\"buffer\":{\"path\":\"/buffer.db\",\"size_max\":\"16 MiB\"}," \
    "\"streams\":{\"lines\":{},\"alarms\":{\"priority\":9}}," \
    "\"drivers\":{\"in\":{\"type\":\"hand\",\"routes\":[{\"topic\":" \
    "\"a\",\"stream\":\"alarms\"}]," \
    "\"stream\":\"lines\"}}," \
    "\"uplinks\":{\"cloud\":{\"type\":\"double\",\"linger\":\"0 s\"}}}"

struct scene {
    char folder[64];
    struct crash_vfs *disk;
    struct config *config;
    struct loop *loop;
    struct agent *agent;
    struct buffer *buffer; /* of this life, for the uplink */
    struct double_script script;
    struct carry *carry; /* for the next agent */
    struct driver_host *driver;
    uint64_t stored;        /* ticket, of the driver that is open */
    uint64_t stored_before; /* of the one that was closed last */
    unsigned resumed;
    bool driver_stopped;
    bool finished;
    bool may_wait;
    uint64_t place; /* cursor of the driver, as it was found at opening */
    struct why why; /* of the last opening */
};

/* For cmocka. */
int life_setup(void **state);
int life_teardown(void **state);
/* Another configuration from now on: LIFE_CONFIG until then. */
void life_config(struct scene *scene, const char *text);
/* One that is the caller's. */
struct config *life_config_load(struct scene *scene, const char *text);

enum err life_open(struct scene *scene);
void life_close(struct scene *scene);
/* Offers until all are taken: lines that are no JSON. The last ticket. */
uint64_t life_offer(struct scene *scene, const char *subject, size_t count);
/* Offers one JSON object until it is taken; "": stored, else why it was set aside. Valid until the
 * next one. */
const char *life_offer_json(struct scene *scene, const char *subject, const char *json);
/* How long an orderly stop takes. */
uint64_t life_stop_ms(struct scene *scene);
/* How many of the first `count` events of the stream have arrived; each at most once. */
uint64_t life_arrived_of(const struct scene *scene, const char *name, uint64_t count);

#endif
