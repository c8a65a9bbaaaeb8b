#include "tests/agent/life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "ports/file.h"
#include "tests/cmocka.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/sim.h"

#define REPORT_SIZE 8192

static struct scene **scene_now(void)
{
    static struct scene *scene;
    return &scene;
}

/* --- a driver: the test's hand --- */

static const struct driver_class hand_class;

static void hand_restore(void *context, uint32_t key, struct slice value)
{
    (void)context;
    SIM_EXPECT(key == 1 && slice_take_u64_le(&value, &(*scene_now())->place));
}

static enum err hand_open(struct driver **ret, const struct driver_setup *setup, struct why *why)
{
    (void)why;
    struct driver *driver = calloc(1, sizeof *driver);
    if (!driver) {
        return ERR_NOMEM;
    }
    driver->class_ = &hand_class;
    (*scene_now())->driver = setup->host;
    driver_cursor_each(setup->host, hand_restore, NULL);
    *ret = driver;
    return ERR_OK;
}

static void hand_resume(struct driver *driver)
{
    (void)driver;
    (*scene_now())->resumed++;
}

static void hand_stored(struct driver *driver, uint64_t ticket)
{
    (void)driver;
    SIM_EXPECT(ticket > (*scene_now())->stored);
    (*scene_now())->stored = ticket;
}

static void hand_stop(struct driver *driver)
{
    (void)driver;
    (*scene_now())->driver_stopped = true;
}

static void hand_close(struct driver *driver)
{
    if (driver) {
        (*scene_now())->stored_before = (*scene_now())->stored;
        (*scene_now())->stored = 0;
    }
    free(driver);
}

static const struct option no_options[] = {{0}};

static const struct driver_class hand_class = {.type = "hand",
                                               .help = "",
                                               .options = no_options,
                                               .options_size = 1,
                                               .open = hand_open,
                                               .resume = hand_resume,
                                               .stored = hand_stored,
                                               .stop = hand_stop,
                                               .close = hand_close};

/* --- the uplink's double, whose script does not come with the configuration --- */

static enum err mirror_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    struct uplink_setup mine = *setup;
    mine.options = &(*scene_now())->script;
    return double_class.open(ret, &mine, why);
}

/* The configuration's own options are nothing: the script says how large a message is. */
static enum err mirror_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    (void)options;
    return double_class.wrap(&(*scene_now())->script, batch, ret);
}

static struct uplink_class *mirror(void)
{
    static struct uplink_class class;
    class = double_class;
    class.open = mirror_open;
    class.wrap = mirror_wrap;
    class.options = no_options;
    class.options_size = 1;
    class.help = "";
    return &class;
}

/* --- lives --- */

struct config *life_config_load(struct scene *scene, const char *text)
{
    const struct driver_class *drivers[] = {&hand_class, NULL};
    const struct uplink_class *uplinks[] = {mirror(), NULL};
    struct config_parts parts = {.drivers = drivers, .uplinks = uplinks};
    char found[REPORT_SIZE];
    char path[128];
    struct why why;
    struct config_report report = {.text = out_over((uint8_t *)found, sizeof found)};
    struct config *config = NULL;
    (void)snprintf(path, sizeof path, "%s/weir.json", scene->folder);
    assert_int_equal(file_replace(path, slice_of_text(text), 0600, &why), ERR_OK);
    if (config_load(&config, path, &parts, &report)) {
        fail_msg("%.*s", (int)report.text.size, found);
    }
    assert_int_equal(unlink(path), 0);
    return config;
}

void life_config(struct scene *scene, const char *text)
{
    config_close(scene->config);
    scene->config = life_config_load(scene, text);
}

static void freeze(void *context)
{
    crash_vfs_freeze(((struct scene *)context)->disk);
}

int life_setup(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    *scene_now() = scene;
    (void)snprintf(scene->folder, sizeof scene->folder, "/tmp/weir-agent.XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    sim_open(1);
    assert_int_equal(crash_vfs_open(&scene->disk, "agent"), ERR_OK);
    sim_crash_hook_set(freeze, scene);
    double_script_init(&scene->script, "cloud", &scene->buffer);
    life_config(scene, LIFE_CONFIG);
    *state = scene;
    return 0;
}

enum err life_open(struct scene *scene)
{
    struct agent_setup agent_setup = {.config = scene->config,
                                      .vfs = "agent",
                                      .carry = scene->carry,
                                      .ret_may_wait = &scene->may_wait};
    scene->finished = false;
    scene->driver_stopped = false;
    scene->stored = 0;
    scene->place = 0;
    scene->why.text[0] = 0;
    enum err e = loop_open(&scene->loop);
    agent_setup.loop = scene->loop;
    e = e ? e : agent_open(&scene->agent, &agent_setup, &scene->why);
    sim_trace("opening: %s %s", err_name(e), scene->why.text);
    scene->buffer = e ? NULL : scene->agent->buffer;
    return e;
}

void life_close(struct scene *scene)
{
    agent_close(scene->agent);
    loop_close(scene->loop);
    scene->agent = NULL;
    scene->loop = NULL;
    sim_life_end();
    sim_life_begin(false);
}

int life_teardown(void **state)
{
    struct scene *scene = *state;
    if (scene->loop) {
        life_close(scene);
    }
    config_close(scene->config);
    double_script_release(&scene->script);
    carry_close(scene->carry);
    sim_crash_hook_set(NULL, NULL);
    crash_vfs_close(scene->disk);
    sim_close();
    (void)rmdir(scene->folder);
    free(scene);
    return 0;
}

/* Offers until it is refused. */
uint64_t life_offer(struct scene *scene, const char *subject, size_t count)
{
    uint64_t ticket = 0;
    struct event event = {.body_kind = BODY_RAW,
                          .body = SLICE("a line of some length, as there are many"),
                          .subject = slice_of_text(subject),
                          .source = SLICE("hand"),
                          .wants_ack = true};
    for (size_t i = 0; i < count; i++) {
        while (driver_offer(scene->driver, &event, &ticket, NULL)) {
            sim_run_for(10); /* resume() would say when */
        }
    }
    return ticket;
}

const char *life_offer_json(struct scene *scene, const char *subject, const char *json)
{
    uint64_t ticket;
    const char *aside = "";
    struct event event = {.body_kind = BODY_JSON,
                          .body = slice_of_text(json),
                          .subject = slice_of_text(subject),
                          .source = SLICE("hand")};
    while (driver_offer(scene->driver, &event, &ticket, &aside)) {
        sim_run_for(10);
    }
    return aside;
}

static void finished(void *context)
{
    ((struct scene *)context)->finished = true;
}

/* How long an orderly stop takes. */
uint64_t life_stop_ms(struct scene *scene)
{
    uint64_t since_us = sim_now_us();
    agent_stop(scene->agent, finished, scene);
    for (unsigned ms = 0; ms < 120000 && !scene->finished; ms += 10) {
        sim_run_for(10);
    }
    assert_true(scene->finished);
    return (sim_now_us() - since_us) / 1000;
}

uint64_t life_arrived_of(const struct scene *scene, const char *name, uint64_t count)
{
    uint16_t stream = buffer_stream_number(scene->buffer, name);
    uint64_t arrived = 0;
    for (uint64_t s = 1; s <= count; s++) {
        assert_in_range(scene->script.arrived[stream][s], 0, 1);
        arrived += scene->script.arrived[stream][s];
    }
    return arrived;
}
