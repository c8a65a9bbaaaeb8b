/* A site with forward on it, and doubles as its uplinks: scripts[0] is "cloud", scripts[1]
 * "files". */
#ifndef WEIR_TESTS_AGENT_SCENE_H
#define WEIR_TESTS_AGENT_SCENE_H

#include "agent/forward.h"
#include "agent/links.h"
#include "tests/agent/site.h"
#include "tests/agent/uplink_double.h"

#define LOW 1
#define ALARM 2

struct scene {
    struct site *site;
    struct forward *forward;
    struct double_script scripts[2];
    struct forward_stream streams[SITE_STREAM_MAX];
    size_t stream_count;
    struct forward_uplink uplinks[2];
    size_t uplink_count;
    struct config_link links[2];
    struct config config; /* its links, and which uplink has which */
    struct links *open_links;
    bool clock_is_unknown;
    bool finished;                                             /* forward_stop() has ended */
    uint8_t aside[DOUBLE_STREAM_MAX + 1][DOUBLE_SEQUENCE_MAX]; /* how often each event was */
    char aside_reason[REASON_SIZE_MAX + 1];                    /* the last */
};

/* cmocka's setup and teardown; only the uplink "cloud", nothing begun. */
int scene_setup(void **state);
int scene_teardown(void **state);
/* The same with a seed. */
struct scene *scene_open(uint64_t seed);
void scene_close(struct scene *scene);
/* Links "a" and "b" as a configuration without any setting has them; the first uplink uses "a".
 * Before scene_begin(). */
void scene_use_links(struct scene *scene);
/* Two uplinks. Before scene_begin(). */
void scene_use_two(struct scene *scene);

void scene_begin(struct scene *scene);
/* A power cut, and the next life begins. */
void scene_crash(struct scene *scene);
/* Ends this life: forward and all. */
void scene_end(struct scene *scene);
void scene_stop(struct scene *scene, int64_t grace_ms);

/* `count` events of 100 bytes, durable. */
void scene_put(struct scene *scene, uint16_t stream, size_t count);
/* Runs until nothing is owed to this uplink, at most `limit_ms`. */
bool scene_drained(struct scene *scene, unsigned uplink, uint64_t limit_ms);
uint64_t scene_owed(struct scene *scene, unsigned uplink, uint16_t stream);
/* Reads the set-aside events into scene->aside. */
void scene_read_aside(struct scene *scene);
/* Every event first..last of this stream arrived once, or was set aside once instead. */
void scene_expect_once(struct scene *scene, unsigned uplink, uint16_t stream, uint64_t first,
                       uint64_t last);
/* The status of forward, as JSON. */
const char *scene_status(struct scene *scene);

#endif
