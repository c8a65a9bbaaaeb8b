#include "tests/agent/scene.h"

#include <stdlib.h>
#include <string.h>

#include "tests/cmocka.h"
#include "tests/sim/sim.h"

int scene_setup(void **state)
{
    *state = scene_open(site_number("WEIR_SEED", 1));
    return 0;
}

struct scene *scene_open(uint64_t seed)
{
    static const char *const names[2] = {"cloud", "files"};
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->site = site_open(seed);
    scene->uplink_count = 1;
    scene->stream_count = 2;
    scene->site->setup->uplink_count = 1;
    scene->site->setup->streams[0].uplinks = 1;
    scene->site->setup->streams[1].uplinks = 1;
    scene->streams[0].info = (struct stream_info){.number = LOW, .name = "low", .priority = 3};
    scene->streams[1].info = (struct stream_info){.number = ALARM, .name = "alarm", .priority = 9};
    for (uint16_t u = 0; u < 2; u++) {
        double_script_init(&scene->scripts[u], names[u], &scene->site->buffer);
        scene->uplinks[u] = (struct forward_uplink){.class_ = &double_class,
                                                    .options = &scene->scripts[u],
                                                    .name = names[u],
                                                    .number = (uint16_t)(u + 1),
                                                    .stream_set = {true, true},
                                                    .layout = LAYOUT_ROWS,
                                                    .batch_size_max = 256 * 1024,
                                                    .backoff_max_ms = 60000};
    }
    return scene;
}

void scene_use_two(struct scene *scene)
{
    scene->uplink_count = 2;
    scene->site->setup->uplink_count = 2;
    scene->site->setup->streams[0].uplinks = 3;
    scene->site->setup->streams[1].uplinks = 3;
}

void scene_use_links(struct scene *scene)
{
    static const char *const names[] = {"a", "b"};
    for (size_t i = 0; i < 2; i++) {
        scene->links[i] = (struct config_link){.name = names[i],
                                               .options = {.month_day = 1,
                                                           .reserve = 100000,
                                                           .reserve_priority = 7,
                                                           .window_priority = 7,
                                                           .share_min = 100000}};
    }
    scene->config.links = scene->links;
    scene->config.link_count = 2;
    scene->uplinks[0].link_count = 1;
}

static bool clock_is_trusted(void *context)
{
    return !((struct scene *)context)->clock_is_unknown;
}

void scene_begin(struct scene *scene)
{
    struct site *site = scene->site;
    struct why why = {""};
    site_begin(site);
    struct links_setup links = {.loop = site->loop,
                                .store = site->store,
                                .config = &scene->config,
                                .clock_is_trusted = clock_is_trusted,
                                .context = scene};
    assert_int_equal(links_open(&scene->open_links, &links, &why), ERR_OK);
    struct forward_setup setup = {.loop = site->loop,
                                  .pack = site->pack_worker,
                                  .store = site->store,
                                  .links = scene->open_links,
                                  .agent_id = "pump-7",
                                  .streams = scene->streams,
                                  .stream_count = scene->stream_count,
                                  .uplinks = scene->uplinks,
                                  .uplink_count = scene->uplink_count};
    assert_int_equal(forward_open(&scene->forward, &setup, &why), ERR_OK);
    for (size_t i = 0; i < scene->stream_count; i++) {
        struct schema_info info = {.number = site->schemas[i], .json = SITE_SCHEMA};
        assert_int_equal(forward_schema_add(scene->forward, scene->streams[i].info.number, &info),
                         ERR_OK);
    }
    scene->finished = false;
}

static void close_forward(void *context)
{
    struct scene *scene = context;
    forward_close(scene->forward);
    links_close(scene->open_links);
    scene->forward = NULL;
}

void scene_crash(struct scene *scene)
{
    forward_abandon(scene->forward);
    site_crash(scene->site, close_forward, scene);
    scene_begin(scene);
}

void scene_end(struct scene *scene)
{
    forward_abandon(scene->forward);
    site_end(scene->site, close_forward, scene);
}

static void finished(void *context)
{
    ((struct scene *)context)->finished = true;
}

void scene_stop(struct scene *scene, int64_t grace_ms)
{
    forward_stop(scene->forward, grace_ms, finished, scene);
}

int scene_teardown(void **state)
{
    scene_close(*state);
    return 0;
}

void scene_close(struct scene *scene)
{
    if (scene->forward) {
        scene_end(scene);
    }
    for (unsigned u = 0; u < 2; u++) {
        double_script_release(&scene->scripts[u]);
    }
    site_close(scene->site);
    free(scene);
}

void scene_put(struct scene *scene, uint16_t stream, size_t count)
{
    struct site *site = scene->site;
    uint64_t commit = 0;
    for (size_t i = 0; i < count; i++) {
        while (store_room(site->store, stream, 100) || store_open_room(site->store, 100)) {
            sim_run_for(10);
        }
        commit = site_put(site, stream, 100, 0);
    }
    while (store_committed(site->store) < commit) {
        sim_run_for(1);
    }
}

uint64_t scene_owed(struct scene *scene, unsigned uplink, uint16_t stream)
{
    const struct buffer_changes *state = store_state(scene->site->store);
    uint64_t count = 0;
    for (size_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        for (size_t r = 0;
             owed->uplink == uplink + 1 && owed->stream == stream && r < owed->range_count; r++) {
            count += owed->ranges[r].last - owed->ranges[r].first + 1;
        }
    }
    return count;
}

bool scene_drained(struct scene *scene, unsigned uplink, uint64_t limit_ms)
{
    for (uint64_t waited = 0; waited < limit_ms; waited += 20) {
        if (scene_owed(scene, uplink, LOW) + scene_owed(scene, uplink, ALARM) == 0) {
            return true;
        }
        sim_run_for(20);
    }
    return false;
}

static void aside_found(void *context, int64_t id, const struct aside *aside)
{
    struct scene *scene = context;
    (void)id;
    assert_int_equal(aside->kind, ASIDE_DATUM);
    assert_true(aside->stream <= DOUBLE_STREAM_MAX && aside->sequence < DOUBLE_SEQUENCE_MAX);
    scene->aside[aside->stream][aside->sequence]++;
    struct out o = out_over((uint8_t *)scene->aside_reason, REASON_SIZE_MAX);
    out_put_slice(&o, aside->reason);
    scene->aside_reason[o.size] = 0;
}

void scene_read_aside(struct scene *scene)
{
    struct why why;
    memset(scene->aside, 0, sizeof scene->aside);
    assert_int_equal(buffer_aside_each(scene->site->buffer, 0, 10000, aside_found, scene, &why),
                     ERR_OK);
}

void scene_expect_once(struct scene *scene, unsigned uplink, uint16_t stream, uint64_t first,
                       uint64_t last)
{
    scene_read_aside(scene);
    for (uint64_t s = first; s <= last; s++) {
        unsigned arrived = scene->scripts[uplink].arrived[stream][s];
        unsigned aside = scene->aside[stream][s];
        if (arrived + aside != 1) {
            fail_msg("event %llu of stream %u arrived %u times at %s, and was set aside %u times",
                     (unsigned long long)s, stream, arrived, scene->scripts[uplink].name, aside);
        }
    }
}

const char *scene_status(struct scene *scene)
{
    static char text[8192];
    struct out json = out_over((uint8_t *)text, sizeof text - 1);
    forward_status(scene->forward, &json);
    text[json.size] = 0;
    return text;
}
