/* OAUTHBEARER on simulated time: tokens are had before they are needed, taken anew before they end,
 * on connections that stay; an endpoint or a broker that refuses is told of, and waited for. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/http.h"
#include "tests/sim/kafka_scene.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "uplink/kafka/oauth.h"

#define ENDPOINT "https://login.example.com/token"
#define SECRET "the client's secret"
#define ENDED "expires_in says that it has ended already"

struct endpoint {
    struct scene *scene;
    unsigned asked;
    long status;
    unsigned lifetime_s;
    char token[32]; /* given last */
    char body[256];
    const char *error;
    uint64_t delay_ms;
};

static void answer(void *context, const struct http_request *request, struct net_reply *ret)
{
    struct endpoint *endpoint = context;
    endpoint->asked++;
    assert_string_equal(request->method, "POST");
    assert_string_equal(request->user, "weir%2B1");
    assert_string_equal(request->password, "the%20client%27s%20secret");
    assert_true(slice_equal_text(request->body, "grant_type=client_credentials&scope=a%20b"));
    ret->status = endpoint->status;
    ret->delay_ms = endpoint->delay_ms;
    if (endpoint->status == 200) {
        snprintf(endpoint->token, sizeof endpoint->token, "token-%u", endpoint->asked);
        broker_time_set(endpoint->scene->broker, kafka_net_now_ms());
        broker_password_set(endpoint->scene->broker, endpoint->token);
        snprintf(endpoint->body, sizeof endpoint->body,
                 "{\"access_token\":\"%s\",\"token_type\":\"Bearer\",\"expires_in\":%u}",
                 endpoint->token, endpoint->lifetime_s);
    } else {
        snprintf(endpoint->body, sizeof endpoint->body, "{\"error\":\"%s\"}", endpoint->error);
    }
    ret->body = slice_of_text(endpoint->body);
}

static struct scene *begin(struct endpoint *endpoint, int64_t session_ms)
{
    static const char *const names[] = {"kind"};
    static const char *values[] = {"test"};
    struct broker_options options = {
        .user = "",
        .password = "none",
        .mechanism = "OAUTHBEARER",
        .session_ms = session_ms,
        .password_ms = (int64_t)(endpoint->lifetime_s ? endpoint->lifetime_s : 3600) * 1000};
    struct scene *scene = scene_begin(&options);
    endpoint->scene = scene;
    endpoint->status = 200;
    endpoint->lifetime_s = endpoint->lifetime_s ? endpoint->lifetime_s : 3600;
    net_http(ENDPOINT, answer, endpoint);
    scene->host.options.sasl = (struct sasl_options){.is_set = true,
                                                     .mechanism = SASL_OAUTHBEARER,
                                                     .oauth = {.is_set = true,
                                                               .url = ENDPOINT,
                                                               .client_id = "weir+1",
                                                               .client_secret = SECRET,
                                                               .scope = "a b",
                                                               .extensions = {names, values, 1}}};
    host_open(&scene->host);
    scene_leaders(scene, 0);
    return scene;
}

static void deliver(struct scene *scene, uint64_t first, uint64_t ms)
{
    lot_cut(&scene->lot, &scene->host, first, 10);
    assert_true(lot_deliver(&scene->lot, ms));
    lot_release(&scene->lot);
    scene->lot = (struct lot){0};
}

/* Half an hour of a token that is good for a minute, and of sessions that end with it. */
static void tokens_are_taken_anew_in_time(void **state)
{
    (void)state;
    struct endpoint endpoint = {.lifetime_s = 60};
    struct scene *scene = begin(&endpoint, 60000);
    for (uint64_t i = 0; i < 900; i++) {
        deliver(scene, i * 10 + 1, 2000);
        host_run(&scene->host, 2000);
    }
    assert_int_equal(scene_log_count(scene), 9000);
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 1); /* one connection all the time */
    assert_int_equal(scene_count(scene, WIRE_PRODUCE), 900);    /* nothing was sent twice */
    assert_in_range(endpoint.asked, 30, 50);
    assert_int_equal(scene->host.fault_count, 0);
    scene_end(scene);
}

static void a_token_serves_many_sessions(void **state)
{
    (void)state;
    struct endpoint endpoint = {.lifetime_s = 3600};
    struct scene *scene = begin(&endpoint, 5000);
    for (uint64_t i = 0; i < 30; i++) {
        deliver(scene, i * 10 + 1, 2000);
        host_run(&scene->host, 1000);
    }
    assert_int_equal(endpoint.asked, 1);
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 1);
    assert_in_range(scene_count(scene, WIRE_SASL_AUTHENTICATE), 5, 10);
    scene_end(scene);
}

/* What is left of a session when it is to be renewed is less than a second. */
static void tokens_that_are_short(void **state)
{
    (void)state;
    struct endpoint endpoint = {.lifetime_s = 6};
    struct scene *scene = begin(&endpoint, 4000);
    for (uint64_t i = 0; i < 600; i++) {
        deliver(scene, i * 10 + 1, 2000);
        host_run(&scene->host, 100);
    }
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 1);
    assert_int_equal(scene_count(scene, WIRE_PRODUCE), 600);
    assert_true(endpoint.asked >= 10);
    scene_end(scene);
}

static void check_fault(const struct scene *scene, const char *says)
{
    if (!strstr(scene->host.fault.text, says)) {
        fail_msg("\"%s\" does not say \"%s\"", scene->host.fault.text, says);
    }
    assert_null(strstr(scene->host.fault.text, SECRET));
}

/* A session that is shorter than all pauses, while a new token is not to be had. */
static void a_session_of_no_length_is_no_race(void **state)
{
    (void)state;
    struct endpoint endpoint = {.lifetime_s = 40, .error = "temporarily_unavailable"};
    struct scene *scene = begin(&endpoint, 40);
    struct target target;
    assert_true(host_target(&scene->host, &target, 5000));
    endpoint.status = 503;
    host_run(&scene->host, 35000); /* the simulation ends what runs in circles */
    assert_in_range(endpoint.asked, 2, 10);
    check_fault(scene, "answers 503");
    scene_end(scene);
}

static void an_endpoint_that_refuses(void **state)
{
    (void)state;
    struct endpoint endpoint = {.error = "invalid_client"};
    struct scene *scene = begin(&endpoint, 0);
    struct target target;
    endpoint.status = 401;
    assert_false(host_target(&scene->host, &target, 60000));
    check_fault(scene, "refuses client weir+1 (401, invalid_client)");
    assert_in_range(endpoint.asked, 1, 3);
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 0); /* the broker is left in peace */
    endpoint.status = 200;
    host_run(&scene->host, 61000);
    deliver(scene, 1, 5000);
    assert_int_equal(scene_log_count(scene), 10);
    assert_string_equal(scene->host.fault.text, "");
    scene_end(scene);
}

static void an_endpoint_that_fails(void **state)
{
    (void)state;
    struct endpoint endpoint = {.error = "temporarily_unavailable", .lifetime_s = 60};
    struct scene *scene = begin(&endpoint, 60000);
    deliver(scene, 1, 2000);
    endpoint.status = 503;
    host_run(&scene->host, 50000);
    deliver(scene, 11, 2000); /* the token that is there serves to its end */
    check_fault(scene, "answers 503");
    host_run(&scene->host, 600000);
    assert_in_range(endpoint.asked, 5, 30);
    endpoint.status = 200;
    host_run(&scene->host, 61000);
    deliver(scene, 21, 5000);
    assert_int_equal(scene_log_count(scene), 30);
    assert_string_equal(scene->host.fault.text, "");
    scene_end(scene);
}

static void an_endpoint_that_is_not_there(void **state)
{
    (void)state;
    struct endpoint endpoint = {0};
    struct scene *scene = begin(&endpoint, 0);
    struct target target;
    net_http(ENDPOINT, NULL, NULL);
    assert_false(host_target(&scene->host, &target, 20000));
    check_fault(scene, "no answer from the token endpoint " ENDPOINT);
    net_http(ENDPOINT, answer, &endpoint);
    host_run(&scene->host, 61000);
    deliver(scene, 1, 5000);
    assert_int_equal(scene_log_count(scene), 10);
    scene_end(scene);
}

static void a_broker_that_refuses_the_token(void **state)
{
    (void)state;
    struct endpoint endpoint = {0};
    struct scene *scene = begin(&endpoint, 0);
    deliver(scene, 1, 2000);
    broker_password_set(scene->broker, "another");
    broker_connections_end(scene->broker);
    lot_cut(&scene->second, &scene->host, 11, 10);
    assert_true(lot_assign(&scene->second));
    lot_send_all(&scene->second);
    host_run(&scene->host, 20000);
    check_fault(scene, "refuses the access token of client weir+1");
    check_fault(scene, "invalid_token");
    assert_in_range(scene_count(scene, WIRE_SASL_HANDSHAKE), 2, 4);
    assert_true(lot_deliver(&scene->second, 180000)); /* with a new one */
    assert_true(endpoint.asked >= 2);
    assert_int_equal(scene_log_count(scene), 20);
    scene_end(scene);
}

/* A login with the token before ends when there is a new one already: that one stays. */
static void a_refusal_is_about_the_token_that_was_sent(void **state)
{
    (void)state;
    struct endpoint endpoint = {0};
    struct scene *scene = begin(&endpoint, 0);
    deliver(scene, 1, 2000);
    host_run(&scene->host, 2800000); /* a new one is due, and not asked for yet */
    assert_int_equal(endpoint.asked, 1);
    broker_password_set(scene->broker, "another");
    endpoint.delay_ms = 1000;
    scene_fault(scene, WIRE_SASL_AUTHENTICATE, BROKER_LATE, 0, 3000);
    scene_leaders(scene, 1);
    lot_cut(&scene->second, &scene->host, 11, 10);
    assert_true(lot_deliver(&scene->second, 20000));
    assert_int_equal(endpoint.asked, 2);
    assert_int_equal(scene_log_count(scene), 20);
    scene_end(scene);
}

/* What has only begun when another login is refused waits for the next token, not for a person. */
static void a_login_that_lost_its_token_begins_again(void **state)
{
    (void)state;
    struct endpoint endpoint = {0};
    struct scene *scene = begin(&endpoint, 0);
    struct target target;
    assert_true(host_target(&scene->host, &target, 5000));
    for (uint32_t p = 0; p < PARTITIONS; p += 2) {
        broker_leader_set(scene->broker, "events", p, 1);
    }
    deliver(scene, 1, 5000); /* connected to both */
    broker_password_set(scene->broker, "another");
    lot_cut(&scene->second, &scene->host, 11, 20);
    assert_true(lot_assign(&scene->second));
    broker_connections_end(scene->broker);
    lot_send_all(&scene->second);
    assert_true(lot_wait(&scene->second, 10000)); /* it is heard of */
    scene_fault(scene, WIRE_SASL_HANDSHAKE, BROKER_LATE, 0, 300);
    lot_send_all(&scene->second);
    assert_true(lot_wait(&scene->second, 10000));
    assert_int_equal(endpoint.asked, 2);
    assert_in_range(scene_log_count(scene), 11, 29); /* the login that was refused has to wait */
    scene_end(scene);
}

static void a_token_that_ends_at_once(void **state)
{
    (void)state;
    struct endpoint endpoint = {0};
    struct scene *scene = begin(&endpoint, 0);
    struct target target;
    endpoint.lifetime_s = 0;
    assert_false(host_target(&scene->host, &target, 60000));
    check_fault(scene, ENDPOINT " answers 200 and gives no access token: " ENDED);
    assert_in_range(endpoint.asked, 2, 12); /* with growing pauses */
    assert_int_equal(scene_count(scene, WIRE_API_VERSIONS), 0);
    endpoint.lifetime_s = 3600;
    host_run(&scene->host, 61000);
    deliver(scene, 1, 5000);
    assert_string_equal(scene->host.fault.text, "");
    scene_end(scene);
}

static void answers_of_endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *body, *token, *error;
        uint64_t lifetime_s;
    } cases[] = {
        {"{\"access_token\":\"a.b-c_d\",\"expires_in\":3600,\"x\":[1,{}]}", "a.b-c_d", "", 3600},
        {"{\"expires_in\":\"3599\",\"access_token\":\"a\\/b\"}", "a/b", "", 3599},
        {"{\"access_token\":\"a\"}", "a", "", OAUTH_LIFETIME_S_DEFAULT},
        {"{\"access_token\":\"a\",\"expires_in\":\"soon\"}", "a", "", OAUTH_LIFETIME_S_DEFAULT},
        {"{\"access_token\":\"a\",\"expires_in\":null}", "a", "", OAUTH_LIFETIME_S_DEFAULT},
        {"{\"access_token\":\"a\",\"expires_in\":1.5}", "a", "", 1},
        {"{\"access_token\":\"a\",\"expires_in\":0}", NULL, ENDED, 0},
        {"{\"access_token\":\"a\",\"expires_in\":\"0\"}", NULL, ENDED, 0},
        {"{\"expires_in\":-5,\"access_token\":\"a\"}", NULL, ENDED, 0},
        {"{\"access_token\":\"a\\u0001b\"}", NULL, "", 0},
        {"{\"access_token\":\"a b\"}", NULL, "", 0},
        {"{\"access_token\":\"\"}", NULL, "", 0},
        {"{\"access_token\":\"a\"", NULL, "", 0},
        {"{\"error\":\"invalid_scope\",\"error_description\":\"no\\u0007\"}", NULL,
         "invalid_scope: no?", 0},
        {"[]", NULL, "", 0},
        {"", NULL, "", 0},
        {"<html>", NULL, "", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t memory[256];
        char error[160];
        struct out scratch = out_over(memory, sizeof memory);
        struct oauth_answer got = {{NULL, 0}, 0};
        enum err e = oauth_answer_parse(slice_of_text(cases[i].body), &scratch, &got, error);
        assert_int_equal(e, cases[i].token ? ERR_OK : ERR_CORRUPT);
        assert_string_equal(error, cases[i].error);
        assert_int_equal(got.lifetime_s, cases[i].lifetime_s);
        assert_true(slice_equal_text(got.token, cases[i].token ? cases[i].token : ""));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_taken_anew_in_time),
        cmocka_unit_test(a_token_serves_many_sessions),
        cmocka_unit_test(tokens_that_are_short),
        cmocka_unit_test(a_session_of_no_length_is_no_race),
        cmocka_unit_test(an_endpoint_that_refuses),
        cmocka_unit_test(an_endpoint_that_fails),
        cmocka_unit_test(an_endpoint_that_is_not_there),
        cmocka_unit_test(a_broker_that_refuses_the_token),
        cmocka_unit_test(a_refusal_is_about_the_token_that_was_sent),
        cmocka_unit_test(a_login_that_lost_its_token_begins_again),
        cmocka_unit_test(a_token_that_ends_at_once),
        cmocka_unit_test(answers_of_endpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
