#include "tests/sim/kafka_scene.h"

#include <stdlib.h>

#include "ports/names.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"

void scene_life_begin(struct scene *scene)
{
    struct loop *loop;
    struct names *names;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(names_open(&names, loop), ERR_OK);
    host_init(&scene->host, loop, names);
    host_broker_add(&scene->host, "kafka-1", 9092);
}

void scene_life_end(struct scene *scene)
{
    host_close(&scene->host);
    names_close(scene->host.names);
    loop_close(scene->host.loop);
}

struct scene *scene_begin(const struct broker_options *options)
{
    struct scene *scene = calloc(1, sizeof *scene);
    struct broker_options chosen = options ? *options : (struct broker_options){0};
    assert_non_null(scene);
    chosen.node_count = NODES;
    sim_open(1);
    scene->broker = broker_open(&chosen);
    broker_topic_add(scene->broker, "events", PARTITIONS);
    scene->net = kafka_net_open(scene->broker, NODES, "kafka");
    scene_life_begin(scene);
    return scene;
}

void scene_end(struct scene *scene)
{
    scene_life_end(scene);
    lot_release(&scene->lot);
    lot_release(&scene->second);
    kafka_net_close(scene->net);
    broker_close(scene->broker);
    sim_close();
    free(scene);
}

void scene_leaders(struct scene *scene, unsigned node)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        broker_leader_set(scene->broker, "events", p, node);
    }
}

uint64_t scene_count(const struct scene *scene, enum wire_api api)
{
    return broker_request_count(scene->broker, (int16_t)api);
}

void scene_fault(struct scene *scene, enum wire_api api, enum broker_fault_kind kind, int16_t code,
                 uint32_t value)
{
    struct broker_fault one = {(int16_t)api, kind, code, value};
    broker_fault_add(scene->broker, &one);
}

uint64_t scene_log_count(const struct scene *scene)
{
    uint64_t count = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        count += broker_log_count(scene->broker, "events", p);
    }
    return count;
}
