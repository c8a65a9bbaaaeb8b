/* What weir plan reckons with: packets, TLS, requests and answers, and the simulated time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/plan.h"
#include "drivers/drivers.h"
#include "tests/cmocka.h"
#include "uplink/file/file.h"
#include "uplink/http/http_plan.h"
#include "uplink/kafka/plan.h"
#include "uplink/kafka/records.h"

static const struct uplink_class *const uplinks[] = {&kafka_uplink_class, &file_uplink_class, NULL};
static const struct config_parts parts = {.drivers = driver_classes, .uplinks = uplinks};

static const struct plan_wire ethernet = {.mtu = 1500};

static const struct plan_change as_it_is = {.linger_ms = -1, .level = PLAN_LEVEL_KEEP, .tls = -1};

/* --- the wire --- */

static void bytes_become_segments(void **state)
{
    (void)state;
    struct plan_wire six = {.mtu = 1280, .is_ipv6 = true};
    assert_int_equal(plan_header_size(&ethernet), 52);
    assert_int_equal(plan_header_size(&six), 72);
    assert_int_equal(plan_segments(&ethernet, 1), 1);
    assert_int_equal(plan_segments(&ethernet, 1448), 1);
    assert_int_equal(plan_segments(&ethernet, 1449), 2);
    assert_int_equal(plan_segments(&ethernet, 14480), 10);
    assert_int_equal(plan_segments(&six, 1208), 1);
    assert_int_equal(plan_segments(&six, 1209), 2);
}

static void tls_adds_to_each_record(void **state)
{
    (void)state;
    struct plan_wire tls = {.mtu = 1500, .has_tls = true};
    assert_int_equal(plan_tls_sent(&ethernet, 100), 100);
    assert_int_equal(plan_tls_received(&ethernet, 100), 100);
    assert_int_equal(plan_tls_sent(&tls, 18), 53); /* as seen on the wire, like the next */
    assert_int_equal(plan_tls_sent(&tls, 31), 53);
    assert_int_equal(plan_tls_sent(&tls, 32), 69);
    assert_int_equal(plan_tls_received(&tls, 57), 95);
    assert_int_equal(plan_tls_received(&tls, 476), 514);
    assert_int_equal(plan_tls_sent(&tls, 2 * 16384), 2 * (16384 + 22));
    assert_int_equal(plan_tls_received(&tls, 16385), 16385 + 2 * 38);
}

/* Seen on a real link: three writes, three segments; each side acknowledges once. */
static void an_exchange_is_what_a_link_carries(void **state)
{
    (void)state;
    const uint32_t pieces[] = {18, 29, 712};
    struct plan_exchange e;
    plan_exchange(&ethernet, pieces, 3, 58, &e);
    assert_int_equal(e.pieces, 759);
    assert_int_equal((int)e.sent, 759 + 3 * 52);
    assert_int_equal((int)e.answer, 58 + 52);
    assert_int_equal((int)e.acks, 2 * 52);
    plan_exchange(&ethernet, pieces, 1, 58, &e);
    assert_int_equal((int)e.acks, 52); /* the answer says that the request has come */
    const uint32_t large[] = {14480};
    plan_exchange(&ethernet, large, 1, 58, &e);
    assert_int_equal((int)e.sent, 14480 + 10 * 52);
    assert_int_equal((int)e.acks, 2 * 52); /* together */
    struct plan_wire slow = {.mtu = 1500, .rate = 8000};
    plan_exchange(&slow, large, 1, 58, &e);
    assert_int_equal((int)e.acks, 11 * 52); /* one by one */
}

static void loss_is_paid_again(void **state)
{
    (void)state;
    struct plan_wire lossy = {.mtu = 1500, .loss = 0.2};
    assert_int_equal((int)plan_repeats(&ethernet, 1000), 0);
    assert_int_equal((int)(plan_repeats(&lossy, 1000) + 0.5), 250);
}

static void an_outage_is_tried_again(void **state)
{
    (void)state;
    /* at once, then after 0.2, 0.6, 1.4 s: three more of the packet */
    assert_int_equal((int)plan_retries(&ethernet, 900, 0), 900);
    assert_int_equal((int)plan_retries(&ethernet, 900, 1.5), 4 * 900);
    assert_int_equal((int)plan_retries(&ethernet, 9000, 1.5), 9000 + 3 * 1500);
    assert_int_equal((int)plan_attempts(&ethernet, 70), 2 * 4 * 60);
}

static void connections_cost_more_with_tls(void **state)
{
    (void)state;
    struct plan_wire mutual = {
        .mtu = 1500, .has_tls = true, .has_own_certificate = true, .chain_size = 430};
    struct plan_wire tls_seen = {.mtu = 1500, .has_tls = true, .chain_size = 430};
    assert_int_equal((int)plan_connect(&ethernet, true), 60 + 60 + 52);
    /* as seen: 353 bytes one way, 924 - 262 more with a ticket, 1458 the other */
    assert_int_equal((int)plan_connect(&tls_seen, false), 172 + 353 + 1460 + 11 * 52);
    assert_int_equal((int)plan_connect(&tls_seen, true), 172 + 1015 + 1460 + 11 * 52);
    assert_true(plan_connect(&mutual, false) > plan_connect(&tls_seen, false) + 1500);
}

/* --- what is said to a broker --- */

static uint32_t sum(const struct uplink_talk *talk)
{
    uint32_t size = 0;
    for (size_t i = 0; i < talk->piece_count; i++) {
        size += talk->pieces[i];
    }
    return size;
}

/* Sizes as a real broker saw and sent them. */
static void requests_have_the_sizes_of_real_ones(void **state)
{
    (void)state;
    const char *const brokers[] = {"127.0.0.1:9092"};
    struct kafka_options options = {.client_id = "weir",
                                    .brokers = {(void *)(uintptr_t)brokers, 1}};
    struct uplink_talk talk;
    struct uplink_talk login[UPLINK_LOGIN_MAX];
    uint32_t one = 700;
    const uint32_t two[] = {700, 300};
    kafka_plan_produce(&options, "rows-1", &one, 1, &talk);
    /* size, api, version, number, client; acks and all; the topic; the partition and its bytes */
    assert_int_equal(sum(&talk), 18 + 12 + 2 + 6 + 4 + 8 + 700);
    assert_int_equal(talk.answer, 58);
    kafka_plan_produce(&options, "rows-1", two, 2, &talk);
    assert_int_equal(sum(&talk), 18 + 12 + 2 + 6 + 4 + 16 + 1000);
    assert_int_equal(talk.answer, 88);
    assert_int_equal(kafka_plan_login(&options, login), 1);
    assert_int_equal(sum(&login[0]), 18);
    assert_int_equal(login[0].answer, 476);
    options.sasl = (struct sasl_options){
        .is_set = true, .mechanism = SASL_SCRAM_SHA_256, .user = "u", .password = "p"};
    assert_int_equal(kafka_plan_login(&options, login), 4);
    assert_int_equal(kafka_plan_idle_ms(&options), 600000);
}

static void web_answers_are_not_padded_and_tickets_taken(void **state)
{
    (void)state;
    struct plan_wire web = {.mtu = 1500, .has_tls = true, .is_web = true, .chain_size = 2500};
    struct plan_wire broker = {.mtu = 1500, .has_tls = true, .chain_size = 2500};
    struct uplink_talk talk;
    const struct http_plan_head head = {.is_http2 = true, .request = 40, .answer = 100};
    assert_int_equal(plan_tls_received(&web, 100), 122);
    assert_true(plan_connect(&web, true) < plan_connect(&broker, false) - 2500);
    assert_int_equal((int)plan_connect(&web, false), (int)plan_connect(&broker, false));
    http_plan_talk(&head, 20000, 19000, 191, &talk);
    assert_int_equal(sum(&talk), 40 + 20000 + 2 * 9);
    assert_int_equal(talk.payload, 19000);
    assert_int_equal(talk.answer, 300);
}

/* --- simulated time --- */

struct scene {
    char folder[64];
    char config_path[96];
    char sample_path[96];
    struct config *config;
    struct plan_sample *sample;
    struct plan *plan;
};

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* `uplink`: further members; `count` events, `rate` a second. */
static void scene_open(struct scene *s, const char *uplink, unsigned count, double rate)
{
    char text[2048];
    static uint8_t memory[65536];
    struct config_report report = {.text = out_over(memory, sizeof memory)};
    struct why why = {""};
    *s = (struct scene){.folder = "/tmp/weir-plan.XXXXXX"};
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->config_path, sizeof s->config_path, "%s/weir.json", s->folder);
    (void)snprintf(s->sample_path, sizeof s->sample_path, "%s/sample", s->folder);
    (void)snprintf(
        text, sizeof text,
        "{\"agent\":{\"id\":\"a\"},\"buffer\":{\"path\":\"%s/b.db\",\"commit_interval\":\"1 s\"},"
        "\"streams\":{\"s\":{}},\"drivers\":{\"in\":{\"type\":\"replay\",\"path\":\"%s\"}},"
        "\"uplinks\":{\"cloud\":{\"type\":\"kafka\","
        "\"brokers\":[\"k:9092\"],\"streams\":[\"s\"],\"link\":\"modem\"%s}},"
        "\"links\":{\"modem\":{}}}",
        s->folder, s->sample_path, uplink);
    put_file(s->config_path, text);
    if (config_load(&s->config, s->config_path, &parts, &report)) {
        fail_msg("%.*s", (int)report.text.size, (const char *)report.text.data);
    }
    FILE *f = fopen(s->sample_path, "w");
    assert_non_null(f);
    for (unsigned i = 0; i < count; i++) {
        assert_true(fprintf(f, "{\"n\":%u,\"t\":%u.%u}\n", i, 20 + i % 7, i % 10) > 0);
    }
    assert_int_equal(fclose(f), 0);
    struct plan_rate r = {NULL, rate};
    struct plan_source source = {
        .config = s->config, .path = s->sample_path, .rates = &r, .rate_count = 1};
    assert_int_equal(plan_sample_open(&s->sample, &source, &why), ERR_OK);
}

static const struct plan_line *scene_plan(struct scene *s, const struct plan_change *change,
                                          double reconnects)
{
    struct why why = {""};
    struct plan_setup setup = {.sample = s->sample,
                               .mtu = 1500,
                               .reconnects_per_day = reconnects,
                               .round_trip_ms = 100,
                               .partitions = 1};
    plan_close(s->plan);
    s->plan = NULL;
    assert_int_equal(plan_open(&s->plan, &setup, change, &why), ERR_OK);
    assert_int_equal(s->plan->uplink_count, 1);
    assert_int_equal(s->plan->uplinks[0].line_count, 1);
    return &s->plan->uplinks[0].lines[0];
}

static void scene_close(struct scene *s)
{
    plan_close(s->plan);
    plan_sample_close(s->sample);
    config_close(s->config);
    assert_int_equal(unlink(s->config_path), 0);
    assert_int_equal(unlink(s->sample_path), 0);
    assert_int_equal(rmdir(s->folder), 0);
}

static void assert_near(double value, double wanted, double share)
{
    if (value < wanted * (1 - share) || value > wanted * (1 + share)) {
        fail_msg("%.3f, and not about %.3f", value, wanted);
    }
}

/* Lingering begins with the answer (0.1 s) behind which something is owed. */
static void requests_follow_the_interval(void **state)
{
    (void)state;
    struct scene s;
    struct plan_change change = as_it_is;
    scene_open(&s, ",\"linger\":\"10 s\"", 2000, 10);
    const struct plan_line *line = scene_plan(&s, &as_it_is, 0);
    assert_near(line->events, 10 * PLAN_MONTH_SECONDS, 0.001);
    assert_near(line->requests, PLAN_MONTH_SECONDS / 10.1, 0.03);
    assert_false(line->is_short);
    double payload = line->bytes.payload;
    double framing = line->bytes.framing;
    change.linger_ms = 60000;
    line = scene_plan(&s, &change, 0);
    assert_near(line->requests, PLAN_MONTH_SECONDS / 60.1, 0.05);
    assert_true(line->bytes.payload < payload && line->bytes.framing < framing / 2);
    change.linger_ms = 3600000;
    line = scene_plan(&s, &change, 0); /* longer than the sample: all of it goes at once */
    assert_true(line->is_short);
    assert_true(line->bytes.payload > 0);
    scene_close(&s);
}

static void changes_are_what_they_say(void **state)
{
    (void)state;
    struct scene s;
    struct plan_change change = as_it_is;
    scene_open(&s, "", 2000, 10);
    double rows = plan_bytes_sum(&scene_plan(&s, &as_it_is, 0)->bytes);
    assert_int_equal(s.plan->uplinks[0].layout, LAYOUT_ROWS);
    change.layout = LAYOUT_COLUMNS;
    assert_true(plan_bytes_sum(&scene_plan(&s, &change, 0)->bytes) < rows);
    assert_int_equal(s.plan->uplinks[0].layout, LAYOUT_COLUMNS);
    change = as_it_is;
    change.tls = 1;
    const struct plan_line *line = scene_plan(&s, &change, 0);
    struct uplink_talk talk;
    const uint32_t size = 500;
    kafka_plan_produce(s.config->uplinks[0].options, "s", &size, 1, &talk);
    double each = (double)talk.piece_count * 30 + 38;
    assert_near(plan_bytes_sum(&line->bytes) - rows, line->requests * each, 0.06);
    change = as_it_is;
    change.level = 0; /* not compressed */
    assert_true(plan_bytes_sum(&scene_plan(&s, &change, 0)->bytes) > rows);
    scene_close(&s);
}

static void connections_are_made_when_they_end(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "", 2000, 10);
    (void)scene_plan(&s, &as_it_is, 0);
    assert_true(s.plan->uplinks[0].connects < 0.001);
    double steady = s.plan->bytes_sum;
    (void)scene_plan(&s, &as_it_is, 24);
    assert_near(s.plan->uplinks[0].connects, 24 * PLAN_MONTH_SECONDS / 86400, 0.001);
    /* 172 for TCP; versions: 18 and 476 bytes, four segments */
    double each = 172 + 18 + 476 + 4 * 52;
    assert_near(s.plan->uplinks[0].connection.handshakes, 730.5 * each, 0.01);
    assert_true(s.plan->bytes_sum > steady);
    scene_close(&s);
    scene_open(&s, "", 20, 1.0 / 900); /* one in a quarter of an hour: brokers do not wait for it */
    const struct plan_line *line = scene_plan(&s, &as_it_is, 0);
    assert_near(s.plan->uplinks[0].connects, line->requests, 0.15);
    scene_close(&s);
}

static void what_is_urgent_goes_at_once(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, ",\"linger\":\"1 min\"", 600, 1);
    s.sample->streams[0].forward.info.priority = PRIORITY_URGENT;
    s.sample->streams[0].wait_ms = 0;
    const struct plan_line *line = scene_plan(&s, &as_it_is, 0);
    assert_near(line->requests, PLAN_MONTH_SECONDS, 0.02);
    scene_close(&s);
}

static void links_sum_their_uplinks(void **state)
{
    (void)state;
    struct scene s;
    const double sums[CONFIG_UPLINK_MAX] = {5000};
    scene_open(&s, "", 10, 1);
    assert_true(plan_link_sum(s.config, 0, sums) > 4999 && plan_link_sum(s.config, 0, sums) < 5001);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_segments),
        cmocka_unit_test(tls_adds_to_each_record),
        cmocka_unit_test(an_exchange_is_what_a_link_carries),
        cmocka_unit_test(loss_is_paid_again),
        cmocka_unit_test(an_outage_is_tried_again),
        cmocka_unit_test(connections_cost_more_with_tls),
        cmocka_unit_test(requests_have_the_sizes_of_real_ones),
        cmocka_unit_test(web_answers_are_not_padded_and_tickets_taken),
        cmocka_unit_test(requests_follow_the_interval),
        cmocka_unit_test(changes_are_what_they_say),
        cmocka_unit_test(connections_are_made_when_they_end),
        cmocka_unit_test(what_is_urgent_goes_at_once),
        cmocka_unit_test(links_sum_their_uplinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
