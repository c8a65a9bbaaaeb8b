/* A schema registry on simulated time: through an outage of a day it is asked seldom, and no event
 * of a schema whose id is known waits; pauses that it asks for are made; what it refuses is asked
 * again after a while; ids are kept from one life to the next. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "ports/http.h"
#include "tests/sim/kafka_scene.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define REGISTRY "https://registry.example.com"
#define MINUTE_MS UINT64_C(60000)
#define NOT_THERE "{\"error_code\":40403,\"message\":\"Schema not found\"}"

struct registry_double {
    unsigned asked, lookups, questions, registrations;
    long status; /* of everything; 0: it works */
    const char *body;
    bool never, is_there;
    const char *verdict;
    int64_t retry_after_ms;
};

static void answer(void *context, const struct http_request *request, struct net_reply *ret)
{
    struct registry_double *r = context;
    bool is_question = strstr(request->url, "/compatibility/");
    bool is_registration = !is_question && strstr(request->url, "/versions");
    r->asked++;
    r->questions += is_question;
    r->registrations += is_registration;
    r->lookups += !is_question && !is_registration;
    ret->never = r->never;
    ret->retry_after_ms = r->retry_after_ms;
    ret->status = r->status ? r->status : 200;
    ret->body = slice_of_text(r->body ? r->body : "");
    if (r->status || r->never) {
        return;
    }
    if (is_question) {
        ret->body = slice_of_text(r->verdict ? r->verdict : "{\"is_compatible\":true}");
    } else if (is_registration || r->is_there) {
        r->is_there = true;
        ret->body = SLICE("{\"id\":5,\"version\":1}");
    } else {
        ret->status = 404;
        ret->body = SLICE(NOT_THERE);
    }
}

static void open_uplink(struct scene *scene)
{
    scene->host.options.registry = (struct registry_options){
        .is_set = true, .url = REGISTRY, .may_register = true, .ask_first = true};
    host_open(&scene->host);
}

static struct scene *begin(struct registry_double *registry)
{
    static const struct broker_options options;
    struct scene *scene = scene_begin(&options);
    net_http(REGISTRY, answer, registry);
    open_uplink(scene);
    scene_leaders(scene, 0);
    return scene;
}

static void end(struct scene *scene)
{
    net_http(REGISTRY, NULL, NULL);
    scene_end(scene);
}

/* As forward asks: again and again. */
static enum err target_of(struct scene *scene, uint32_t schema, struct why *why)
{
    struct target target;
    struct schema_info info = scene->host.schema;
    info.number = schema;
    return kafka_uplink_class.target(scene->host.uplink, &scene->host.stream, &info, &target, why);
}

static void deliver(struct scene *scene, uint64_t first)
{
    lot_cut(&scene->lot, &scene->host, first, 10);
    assert_true(lot_deliver(&scene->lot, 5000));
    lot_release(&scene->lot);
    scene->lot = (struct lot){0};
}

static void an_outage_of_a_day(void **state)
{
    static const struct {
        struct registry_double during;
        const char *says;
    } cases[] = {
        {{.status = 503, .body = "{\"error_code\":50003,\"message\":\"no leader\"}"},
         "answers 503: no leader"},
        {{.never = true}, "no answer from the schema registry at " REGISTRY},
        {{.status = 200, .body = "<html>log in</html>"}, "is no schema registry"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct registry_double registry = {0};
        struct scene *scene = begin(&registry);
        struct target target;
        struct why why = {""};
        assert_true(host_target(&scene->host, &target, 10000));
        assert_int_equal(registry.registrations, 1);
        registry = cases[i].during;
        for (uint64_t minute = 0; minute < 24 * 60; minute++) {
            assert_int_equal(target_of(scene, 8, &why), ERR_AGAIN);
            if (minute % 60 == 0) {
                deliver(scene, minute / 6 + 1); /* under the id that is known */
            }
            host_run(&scene->host, MINUTE_MS);
        }
        assert_int_equal(scene_log_count(scene), 240);
        assert_in_range(registry.asked, 24 * 60 / 2, 24 * 60 * 2 + 8);
        if (!strstr(scene->host.fault.text, cases[i].says)) {
            fail_msg("\"%s\" does not say \"%s\"", scene->host.fault.text, cases[i].says);
        }
        registry = (struct registry_double){0};
        host_run(&scene->host, MINUTE_MS + 25000); /* the longest pause, and a silence */
        assert_int_equal(target_of(scene, 8, &why), ERR_OK);
        assert_int_equal(registry.registrations, 1);
        deliver(scene, 1000);
        assert_string_equal(scene->host.fault.text, "");
        end(scene);
    }
}

static void pauses_are_made(void **state)
{
    (void)state;
    struct registry_double registry = {
        .status = 429, .body = "{}", .retry_after_ms = 20 * (int64_t)MINUTE_MS};
    struct scene *scene = begin(&registry);
    struct why why;
    assert_int_equal(target_of(scene, 7, &why), ERR_AGAIN);
    host_run(&scene->host, 19 * MINUTE_MS);
    assert_int_equal(registry.asked, 1);
    host_run(&scene->host, 2 * MINUTE_MS);
    assert_int_equal(registry.asked, 2);
    registry.retry_after_ms = 1000 * (int64_t)MINUTE_MS; /* no longer than an hour */
    host_run(&scene->host, 20 * MINUTE_MS);
    assert_int_equal(registry.asked, 3);
    host_run(&scene->host, 61 * MINUTE_MS);
    assert_int_equal(registry.asked, 4);
    end(scene);
}

/* Asked each second: at most once a minute it is a question to the registry. */
static void refusals_are_asked_again(void **state)
{
    (void)state;
    struct registry_double registry = {
        .verdict = "{\"is_compatible\":false,\"messages\":[\"n is gone\"]}"};
    struct scene *scene = begin(&registry);
    struct why why = {""};
    unsigned refusals = 0;
    for (unsigned second = 0; second < 3600; second++) {
        refusals += target_of(scene, 7, &why) == ERR_REJECTED;
        host_run(&scene->host, 1000);
    }
    assert_in_range(refusals, 3400, 3600);
    assert_non_null(strstr(why.text, "n is gone"));
    assert_in_range(registry.questions, 60, 72);
    assert_int_equal(registry.registrations, 0); /* what it would refuse is not tried */
    registry.verdict = NULL;
    enum err e = ERR_REJECTED;
    for (unsigned second = 0; e && second < 120; second++) {
        e = target_of(scene, 7, &why);
        host_run(&scene->host, 1000);
    }
    assert_int_equal(e, ERR_OK);
    assert_int_equal(registry.registrations, 1);
    end(scene);
}

static void ids_outlive_the_registry(void **state)
{
    (void)state;
    struct registry_double registry = {0};
    struct scene *scene = begin(&registry);
    struct target target;
    assert_true(host_target(&scene->host, &target, 10000));
    deliver(scene, 1);
    uint8_t kept[REMOTE_ID_SIZE_MAX];
    size_t size = scene->host.remote_id_size;
    memcpy(kept, scene->host.remote_id, size);
    scene_life_end(scene);
    net_http(REGISTRY, NULL, NULL);
    scene_life_begin(scene);
    memcpy(scene->host.remote_id, kept, size);
    scene->host.remote_id_size = size;
    scene->host.remote_schema = scene->host.schema.number;
    open_uplink(scene);
    assert_true(host_target(&scene->host, &target, 10000));
    assert_memory_equal(target.prefix, "\0\0\0\0\5", REGISTRY_PREFIX_SIZE);
    deliver(scene, 11);
    assert_int_equal(scene_log_count(scene), 20);
    assert_int_equal(registry.registrations, 1);
    scene_end(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_outage_of_a_day),
        cmocka_unit_test(pauses_are_made),
        cmocka_unit_test(refusals_are_asked_again),
        cmocka_unit_test(ids_outlive_the_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
