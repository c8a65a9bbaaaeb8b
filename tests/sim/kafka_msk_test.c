/* AWS_MSK_IAM on simulated time: credentials are there before a broker is connected to, logins are
 * renewed with the newest ones, and what brokers refuse is told of. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "ports/clock.h"
#include "tests/sim/kafka_scene.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define ENDPOINT "https://c1.credentials.iot.eu-central-1.amazonaws.com/"

struct provider {
    struct scene *scene;
    unsigned asked;
    long status;
    int64_t life_s, ahead_s;
    char body[512], secret[32];
};

/* AWS IoT's credentials provider: another secret each time, which the brokers know. */
static void give(void *context, const struct http_request *request, struct net_reply *ret)
{
    struct provider *provider = context;
    char end[CLOCK_TEXT_SIZE];
    assert_string_equal(request->url, ENDPOINT "role-aliases/pumps/credentials");
    provider->asked++;
    ret->status = provider->status;
    ret->ahead_s = provider->ahead_s;
    if (provider->status != 200) {
        ret->body = SLICE("{\"message\":\"Access Denied\"}");
        return;
    }
    clock_format(clock_wall_us() + provider->life_s * 1000000, 0, end);
    (void)snprintf(provider->secret, sizeof provider->secret, "secret-%u", provider->asked);
    (void)snprintf(provider->body, sizeof provider->body,
                   "{\"credentials\":{\"accessKeyId\":\"ASIASIM\",\"secretAccessKey\":\"%s\","
                   "\"sessionToken\":\"token/%u==\",\"expiration\":\"%s\"}}",
                   provider->secret, provider->asked, end);
    broker_time_set(provider->scene->broker, kafka_net_now_ms());
    broker_password_set(provider->scene->broker, provider->secret);
    ret->body = slice_of_text(provider->body);
}

static struct scene *begin(struct provider *provider, int64_t session_ms)
{
    struct broker_options options = {.user = "ASIASIM",
                                     .password = "none",
                                     .mechanism = "AWS_MSK_IAM",
                                     .session_ms = session_ms};
    struct scene *scene = scene_begin(&options);
    provider->scene = scene;
    provider->status = provider->status ? provider->status : 200;
    provider->life_s = 3600;
    net_http(ENDPOINT, give, provider);
    scene->host.options.sasl = (struct sasl_options){
        .is_set = true,
        .mechanism = SASL_AWS_MSK_IAM,
        .region = "eu-central-1",
        .credentials = {.is_set = true,
                        .iot = {.is_set = true,
                                .endpoint = "c1.credentials.iot.eu-central-1.amazonaws.com",
                                .role_alias = "pumps",
                                .tls = {.is_set = true, .certificate = "c.pem", .key = "k.pem"}}}};
    host_open(&scene->host);
    scene_leaders(scene, 0);
    return scene;
}

static void end(struct scene *scene)
{
    net_http(ENDPOINT, NULL, NULL);
    scene_end(scene);
}

static void deliver(struct scene *scene, uint64_t first, uint64_t ms)
{
    lot_cut(&scene->lot, &scene->host, first, 10);
    assert_true(lot_deliver(&scene->lot, ms));
    lot_release(&scene->lot);
    scene->lot = (struct lot){0};
}

static void check_fault(const struct scene *scene, const char *says)
{
    if (!strstr(scene->host.fault.text, says)) {
        fail_msg("\"%s\" does not say \"%s\"", scene->host.fault.text, says);
    }
    assert_null(strstr(scene->host.fault.text, "secret-"));
    assert_null(strstr(scene->host.fault.text, "token/"));
}

/* A day of credentials that are good for an hour, and of logins that are good for a quarter of it: one
 * connection all the time, nothing is sent twice. */
static void logins_are_renewed(void **state)
{
    (void)state;
    struct provider provider = {0};
    struct scene *scene = begin(&provider, 15 * 60 * 1000);
    for (uint64_t i = 0; i < 24 * 6; i++) {
        deliver(scene, i * 10 + 1, 5000);
        host_run(&scene->host, 10 * 60 * 1000);
    }
    assert_int_equal(scene_log_count(scene), 24 * 6 * 10);
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 1);
    assert_int_equal(scene_count(scene, WIRE_PRODUCE), 24 * 6);
    assert_in_range(scene_count(scene, WIRE_SASL_AUTHENTICATE), 24 * 4, 24 * 6);
    assert_in_range(provider.asked, 24, 36);
    assert_int_equal(scene->host.fault_count, 0);
    end(scene);
}

static void no_credentials(void **state)
{
    (void)state;
    struct provider provider = {.status = 403};
    struct scene *scene = begin(&provider, 0);
    struct target target;
    assert_false(host_target(&scene->host, &target, 60000));
    check_fault(scene, "refuses (403, Access Denied)");
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 0); /* the broker is left in peace */
    provider.status = 200;
    host_run(&scene->host, 310000);
    deliver(scene, 1, 5000);
    assert_string_equal(scene->host.fault.text, "");
    end(scene);
}

static void a_broker_that_refuses(void **state)
{
    (void)state;
    struct provider provider = {0};
    struct scene *scene = begin(&provider, 0);
    deliver(scene, 1, 5000);
    host_run(&scene->host, 120000);
    broker_password_set(scene->broker, "another");
    broker_connections_end(scene->broker);
    lot_cut(&scene->second, &scene->host, 11, 10);
    assert_true(lot_deliver(&scene->second, 60000)); /* with others, fetched for it */
    assert_int_equal(provider.asked, 2);
    assert_int_equal(scene_log_count(scene), 20);
    broker_password_set(scene->broker, "another");
    broker_connections_end(scene->broker);
    host_run(&scene->host, 20000);
    struct lot third = {0};
    lot_cut(&third, &scene->host, 21, 10);
    assert_true(lot_assign(&third));
    lot_send_all(&third);
    host_run(&scene->host, 20000);
    check_fault(scene, "refuses AWS's credentials from AWS IoT, role alias pumps "
                       "(SASL_AUTHENTICATION_FAILED): may they kafka-cluster:Connect");
    assert_int_equal(provider.asked, 2); /* those are new: others are no help */
    host_run(&scene->host, 120000);
    assert_int_equal(provider.asked, 3);
    assert_true(lot_deliver(&third, 180000));
    assert_int_equal(scene_log_count(scene), 30);
    assert_string_equal(scene->host.fault.text, "");
    lot_release(&third);
    end(scene);
}

/* The board's clock is an hour behind: the provider's answer says what time it is. */
static void a_wrong_clock(void **state)
{
    (void)state;
    struct provider provider = {.ahead_s = 3600};
    struct scene *scene = begin(&provider, 0);
    sim_wall_jump(INT64_C(-3600) * 1000000);
    assert_true(kafka_net_now_ms() * 1000 > clock_wall_us() + INT64_C(3590) * 1000000);
    deliver(scene, 1, 5000);
    assert_int_equal(scene_log_count(scene), 10);
    end(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logins_are_renewed),
        cmocka_unit_test(no_credentials),
        cmocka_unit_test(a_broker_that_refuses),
        cmocka_unit_test(a_wrong_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
