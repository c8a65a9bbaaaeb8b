/* `check --online` for the uplink kafka, on simulated time: each thing that may be wrong is told, by
 * the option that is to be changed, and nothing is written to find it out. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "tests/sim/kafka_scene.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "uplink/kafka/cluster.h"

#define FINDING_MAX 64
#define EVERYTHING 0xdf8 /* Kafka's operations on a topic, as bits */
#define OPERATION_READ 8
#define OPERATION_WRITE 16
#define LIMIT_MS 45000 /* what the command allows */
#define REGISTRY "http://registry"
#define TOKENS "https://tokens/get"

struct asked {
    struct scene *scene;
    struct probe_setup setup;
    struct probe_stream streams[3];
    struct probe_finding findings[FINDING_MAX];
    size_t count;
    unsigned done;
};

static void found(void *context, const struct probe_finding *finding)
{
    struct asked *a = context;
    assert_int_equal(a->done, 0);
    assert_true(a->count < FINDING_MAX);
    assert_true(finding->what[0] && finding->why.text[0]);
    a->findings[a->count++] = *finding;
}

static void done(void *context)
{
    struct asked *a = context;
    a->done++;
}

static bool is_done(void *context)
{
    return ((struct asked *)context)->done > 0;
}

/* A scene with two streams: "events", whose topic is there, and "other", which has no key. */
static struct asked *asked_begin(const struct broker_options *options)
{
    struct asked *a = calloc(1, sizeof *a);
    assert_non_null(a);
    a->scene = scene_begin(options);
    struct broker *broker = a->scene->broker;
    broker_topic_add(broker, "other", 1);
    const char *const topics[] = {"events", "other"};
    for (unsigned i = 0; i < 2; i++) {
        broker_setting_set(broker, topics[i], "retention.ms", "604800000");
        broker_setting_set(broker, topics[i], "max.message.bytes", "1048588");
        broker_setting_set(broker, topics[i], "cleanup.policy", "delete");
        broker_setting_set(broker, topics[i], "compression.type", "producer");
        broker_setting_set(broker, topics[i], "message.timestamp.type", "CreateTime");
        broker_setting_set(broker, topics[i], "message.timestamp.before.max.ms",
                           "9223372036854775807");
    }
    a->streams[0] =
        (struct probe_stream){.name = "events", .schema = &a->scene->host.schema, .has_key = true};
    a->streams[1] =
        (struct probe_stream){.name = "other", .schema = &a->scene->host.schema, .has_key = false};
    a->setup = (struct probe_setup){.loop = a->scene->host.loop,
                                    .names = a->scene->host.names,
                                    .options = &a->scene->host.options,
                                    .agent_id = "agent-1",
                                    .streams = a->streams,
                                    .stream_count = 2,
                                    .buffer_size_max = 100 * 1024 * 1024, /* a day of 1 kB/s */
                                    .context = a,
                                    .found = found,
                                    .done = done};
    return a;
}

static void ask(struct asked *a)
{
    struct probe *probe = NULL;
    a->count = 0;
    a->done = 0;
    assert_int_equal(kafka_uplink_class.probe(&probe, &a->setup), ERR_OK);
    assert_int_equal(a->done, 0); /* never within opening */
    bool in_time = sim_run_until(is_done, a, LIMIT_MS);
    sim_run_for(1000);
    assert_true(in_time);
    assert_int_equal(a->done, 1);
    probe->close(probe);
    assert_int_equal(scene_count(a->scene, WIRE_PRODUCE), 0);
}

static void asked_end(struct asked *a)
{
    scene_end(a->scene);
    free(a);
}

static void show(const struct asked *a)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct probe_finding *f = &a->findings[i];
        print_message("  %d %s: %s — %s\n", (int)f->level, f->option, f->what, f->why.text);
    }
}

static size_t count_of(const struct asked *a, enum probe_level level)
{
    size_t count = 0;
    for (size_t i = 0; i < a->count; i++) {
        count += a->findings[i].level == level;
    }
    return count;
}

static size_t count_about(const struct asked *a, const char *what)
{
    size_t count = 0;
    for (size_t i = 0; i < a->count; i++) {
        count += strcmp(a->findings[i].what, what) == 0;
    }
    return count;
}

/* There is one like this. */
static void expect(const struct asked *a, enum probe_level level, const char *option,
                   const char *what, const char *text)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct probe_finding *f = &a->findings[i];
        if (f->level == level && strcmp(f->option, option) == 0 && strcmp(f->what, what) == 0 &&
            strstr(f->why.text, text)) {
            return;
        }
    }
    show(a);
    fail_msg("nothing like: %d %s: %s — %s", (int)level, option, what, text);
}

static void expect_counts(const struct asked *a, size_t warnings, size_t errors)
{
    if (count_of(a, PROBE_WARNING) != warnings || count_of(a, PROBE_ERROR) != errors) {
        show(a);
        fail_msg("%zu warnings and %zu errors, wanted %zu and %zu", count_of(a, PROBE_WARNING),
                 count_of(a, PROBE_ERROR), warnings, errors);
    }
}

static void all_is_well(void **state)
{
    (void)state;
    struct broker_options options = {.user = "weir", .password = "word"};
    struct asked *a = asked_begin(&options);
    a->scene->host.options.sasl =
        (struct sasl_options){.is_set = true, .user = "weir", .password = "word"};
    ask(a);
    expect_counts(a, 1, 0);
    expect(a, PROBE_WARNING, "sasl.mechanism", "password", "without tls");
    expect(a, PROBE_OK, "brokers[0]", "connection to kafka-1:9092", "open");
    expect(a, PROBE_OK, "brokers", "connection to kafka-2:9092", "open");
    expect(a, PROBE_OK, "sasl", "login at kafka-2:9092", "PLAIN");
    expect(a, PROBE_OK, "topic", "topic events", "4 partitions");
    expect(a, PROBE_OK, "topic", "rights on topic events", "Write");
    expect(a, PROBE_OK, "topic", "settings of topic other", "kept 7 d from their arrival");
    expect(a, PROBE_OK, "", "producer id", "given");
    for (size_t i = 0; i < a->count; i++) {
        assert_null(strstr(a->findings[i].why.text, "word"));
    }
    asked_end(a);
}

static void brokers_out_of_reach(void **state)
{
    (void)state;
    struct asked *a = asked_begin(NULL);
    host_broker_add(&a->scene->host, "kafka-1", 9999);
    host_broker_add(&a->scene->host, "nowhere", 9092);
    net_name_fails("nowhere", true);
    ask(a); /* the others lead to the cluster */
    expect_counts(a, 2, 0);
    expect(a, PROBE_WARNING, "brokers[1]", "connection to kafka-1:9999", "");
    expect(a, PROBE_WARNING, "brokers[2]", "name of nowhere:9092", "");
    a->scene->host.broker_texts[0] = "kafka-2:9998";
    ask(a);
    expect_counts(a, 0, 3);
    expect(a, PROBE_ERROR, "brokers[0]", "connection to kafka-2:9998", "");
    a->scene->host.options.brokers.count = 1;
    a->scene->host.broker_texts[0] = "kafka-1:9092";
    broker_address_set(a->scene->broker, 1, "nowhere", 9092); /* what the cluster says of itself */
    ask(a);
    expect_counts(a, 0, 1);
    expect(a, PROBE_ERROR, "brokers", "name of nowhere:9092", "advertised.listeners");
    net_link()->down = true;
    ask(a);
    expect_counts(a, 0, 1);
    net_link()->down = false;
    asked_end(a);
}

static void a_login_that_is_refused_or_missing(void **state)
{
    (void)state;
    struct broker_options options = {.user = "weir", .password = "word"};
    struct asked *a = asked_begin(&options);
    ask(a);
    expect_counts(a, 0, 1);
    expect(a, PROBE_ERROR, "sasl", "questions to kafka-1:9092", "wants a login");
    a->scene->host.options.sasl =
        (struct sasl_options){.is_set = true, .user = "weir", .password = "guess-9"};
    ask(a);
    expect_counts(a, 1, 1);
    expect(a, PROBE_ERROR, "sasl", "login at kafka-1:9092", "check sasl.user and sasl.password");
    for (size_t i = 0; i < a->count; i++) {
        assert_null(strstr(a->findings[i].why.text, "guess-9"));
    }
    asked_end(a);
}

static void rights(void **state)
{
    (void)state;
    struct asked *a = asked_begin(NULL);
    struct broker *broker = a->scene->broker;
    broker_operations_set(broker, "events", EVERYTHING & ~OPERATION_WRITE);
    broker_operations_set(broker, "other", EVERYTHING & ~OPERATION_READ);
    scene_fault(a->scene, WIRE_INIT_PRODUCER_ID, BROKER_CODE, 31, 0);
    ask(a);
    expect_counts(a, 1, 2);
    expect(a, PROBE_ERROR, "topic", "rights on topic events", "may not write: give it Write");
    expect(a, PROBE_WARNING, "in_doubt", "rights on topic other", "give it Read");
    expect(a, PROBE_ERROR, "", "producer id", "CLUSTER_AUTHORIZATION_FAILED");
    asked_end(a);
    struct broker_options old = {.metadata_max = 7};
    a = asked_begin(&old);
    broker_operations_set(a->scene->broker, "events", 0);
    ask(a);
    expect_counts(a, 1, 0);
    expect(a, PROBE_WARNING, "topic", "rights", "Kafka 2.3");
    expect(a, PROBE_OK, "topic", "topic events", "4 partitions");
    asked_end(a);
}

static void topics_that_are_missing_are_not_made(void **state)
{
    (void)state;
    struct broker_options options = {.topic_create = true};
    struct asked *a = asked_begin(&options);
    a->streams[2] =
        (struct probe_stream){.name = "new", .schema = &a->scene->host.schema, .has_key = true};
    a->setup.stream_count = 3;
    for (unsigned i = 0; i < 2; i++) {
        ask(a);
        expect_counts(a, 1, 0);
        expect(a, PROBE_WARNING, "topic", "topic new", "will create it");
    }
    a->scene->host.options.topic_create = TOPIC_CREATE_NEVER;
    ask(a);
    expect_counts(a, 0, 1);
    expect(a, PROBE_ERROR, "topic", "topic new", "topic_create is never");
    a->scene->host.options.topic_create = TOPIC_CREATE_ALWAYS;
    ask(a);
    expect_counts(a, 1, 0);
    expect(a, PROBE_WARNING, "topic", "topic new", "it will be created");
    a->scene->host.options.topic = "{stream}/x";
    ask(a);
    expect(a, PROBE_ERROR, "topic", "name of the topic", "is not allowed");
    asked_end(a);
    a = asked_begin(NULL);
    a->streams[2] =
        (struct probe_stream){.name = "new", .schema = &a->scene->host.schema, .has_key = true};
    a->setup.stream_count = 3;
    ask(a);
    expect_counts(a, 0, 1);
    expect(a, PROBE_ERROR, "topic", "topic new", "the brokers create none");
    asked_end(a);
}

static void leaders_and_codes(void **state)
{
    (void)state;
    struct asked *a = asked_begin(NULL);
    scene_leaders(a->scene, NOBODY);
    ask(a);
    expect_counts(a, 1, 0);
    expect(a, PROBE_WARNING, "topic", "topic events", "4 of its 4 partitions have no leader");
    scene_leaders(a->scene, 0);
    scene_fault(a->scene, WIRE_INIT_PRODUCER_ID, BROKER_CODE, 14, 0); /* it has just started */
    ask(a);
    expect_counts(a, 0, 0);
    for (unsigned i = 0; i < 10; i++) {
        scene_fault(a->scene, WIRE_INIT_PRODUCER_ID, BROKER_CODE, 14, 0);
    }
    ask(a);
    expect_counts(a, 1, 0);
    expect(a, PROBE_WARNING, "", "producer id", "COORDINATOR_LOAD_IN_PROGRESS");
    scene_fault(a->scene, WIRE_METADATA, BROKER_CODE, 29, 0);
    ask(a);
    expect_counts(a, 0, 2);
    expect(a, PROBE_ERROR, "topic", "topic events", "may not be seen");
    scene_fault(a->scene, WIRE_METADATA, BROKER_CODE, 5, 0);
    ask(a);
    expect_counts(a, 2, 0);
    expect(a, PROBE_WARNING, "topic", "topic events", "LEADER_NOT_AVAILABLE");
    asked_end(a);
}

static void settings(void **state)
{
    (void)state;
    struct asked *a = asked_begin(NULL);
    struct broker *broker = a->scene->broker;
    broker_setting_set(broker, "events", "retention.ms", "3600000");
    broker_setting_set(broker, "events", "max.message.bytes", "500000");
    broker_setting_set(broker, "events", "compression.type", "uncompressed");
    broker_setting_set(broker, "other", "cleanup.policy", "compact,delete");
    ask(a); /* by the time of sending, retention counts from the arrival */
    expect_counts(a, 2, 1);
    expect(a, PROBE_WARNING, "message_size_max", "message size of topic events", "\"500000 B\"");
    expect(a, PROBE_WARNING, "compression_level", "compression of topic events", "producer");
    expect(a, PROBE_ERROR, "topic", "cleanup.policy of topic other", "stream other has none");
    a->streams[1].has_key = true;
    a->scene->host.options.timestamp = KAFKA_TIME_EVENT;
    a->scene->host.options.message_size_max = 400000;
    broker_setting_set(broker, "other", "message.timestamp.before.max.ms", "7200000");
    broker_setting_set(broker, "other", "retention.ms", "-1");
    ask(a);
    expect_counts(a, 4, 0);
    expect(a, PROBE_WARNING, "timestamp", "retention of topic events", "for 60 min by their own");
    expect(a, PROBE_WARNING, "timestamp", "oldest time stamp of topic other", "older than 2 h");
    expect(a, PROBE_WARNING, "timestamp", "oldest time stamp of topic other", "of 1 kB/s");
    expect(a, PROBE_WARNING, "topic", "cleanup.policy of topic other", "only the last event");
    a->streams[0].age_max_ms = 3600000; /* nothing older is sent */
    a->streams[1].age_max_ms = 4 * 3600000;
    ask(a);
    expect_counts(a, 3, 0);
    expect(a, PROBE_WARNING, "timestamp", "oldest time stamp of topic other", "for 4 h (age_max)");
    broker_setting_set(broker, "events", "message.timestamp.type", "LogAppendTime");
    broker_settings_code_set(broker, "other", 29);
    ask(a);
    expect(a, PROBE_WARNING, "timestamp", "time stamps of topic events", "has no effect");
    expect(a, PROBE_WARNING, "topic", "settings of topic other", "DescribeConfigs");
    asked_end(a);
}

static void brokers_that_misbehave(void **state)
{
    (void)state;
    static const int16_t apis[] = {WIRE_API_VERSIONS, WIRE_METADATA, WIRE_INIT_PRODUCER_ID,
                                   WIRE_DESCRIBE_CONFIGS};
    static const enum broker_fault_kind kinds[] = {BROKER_NEVER, BROKER_CLOSE, BROKER_CLOSE_STORED,
                                                   BROKER_TWICE, BROKER_LATE};
    for (size_t i = 0; i < ARRAY_COUNT(apis); i++) {
        for (size_t j = 0; j < ARRAY_COUNT(kinds); j++) {
            struct asked *a = asked_begin(NULL);
            scene_fault(a->scene, (enum wire_api)apis[i], kinds[j], 0,
                        kinds[j] == BROKER_LATE ? 60000 : 7);
            ask(a); /* ends, in time */
            assert_true(kinds[j] == BROKER_TWICE || count_of(a, PROBE_ERROR) > 0);
            asked_end(a);
        }
    }
}

static void given_up_at_any_time(void **state)
{
    (void)state;
    for (uint64_t ms = 0; ms < 300; ms += 7) {
        struct asked *a = asked_begin(NULL);
        struct probe *probe = NULL;
        a->scene->host.options.registry =
            (struct registry_options){.is_set = true, .url = REGISTRY, .may_register = true};
        assert_int_equal(kafka_uplink_class.probe(&probe, &a->setup), ERR_OK);
        sim_run_for(ms);
        probe->close(probe);
        size_t count = a->count;
        sim_run_for(1000);
        assert_int_equal(a->count, count);
        asked_end(a);
    }
}

/* --- the registry --- */

struct registry_double {
    const char *lookup, *compatible; /* "404 {...}" */
    unsigned lookups, others;
    int64_t ahead_s; /* its clock */
    bool has_no_date;
};

static void registry_answers(void *context, const struct http_request *request,
                             struct net_reply *ret)
{
    struct registry_double *r = context;
    bool is_lookup = strncmp(request->url, REGISTRY "/subjects/", 19) == 0;
    assert_true(is_lookup || strncmp(request->url, REGISTRY "/compatibility/", 24) == 0);
    assert_true(!is_lookup || !strstr(request->url, "/versions")); /* what would register */
    assert_true(slice_starts_with(request->body, SLICE("{\"schema\":\"{")));
    r->lookups += is_lookup;
    r->others += !is_lookup;
    const char *answer = is_lookup ? r->lookup : r->compatible;
    ret->status = strtol(answer, NULL, 10);
    ret->body = slice_of_text(answer + 4);
    ret->ahead_s = r->ahead_s;
    ret->has_no_date = r->has_no_date;
}

static void ask_registry(struct asked *a, struct registry_double *r, const char *lookup,
                         const char *compatible)
{
    *r = (struct registry_double){.lookup = lookup, .compatible = compatible};
    ask(a);
}

static void subjects(void **state)
{
    (void)state;
    struct asked *a = asked_begin(NULL);
    struct registry_double r;
    struct registry_options *options = &a->scene->host.options.registry;
    *options = (struct registry_options){.is_set = true, .url = REGISTRY, .may_register = true};
    net_http(REGISTRY, registry_answers, &r);
    ask_registry(a, &r, "200 {\"subject\":\"s\",\"id\":7}", "");
    expect_counts(a, 0, 0);
    expect(a, PROBE_OK, "registry", "subject events-value", "under id 7");
    expect(a, PROBE_OK, "registry.url", "clock", "agrees");
    assert_int_equal(r.lookups, 2);
    ask_registry(a, &r, "404 {\"error_code\":40401,\"message\":\"no subject\"}", "");
    expect_counts(a, 0, 0);
    expect(a, PROBE_OK, "registry", "subject other-value", "not there yet");
    ask_registry(a, &r, "404 {\"error_code\":40403}", "200 {\"is_compatible\":true}");
    expect_counts(a, 0, 0);
    expect(a, PROBE_OK, "registry", "subject events-value", "is compatible");
    assert_int_equal(r.others, 2);
    ask_registry(a, &r, "404 {\"error_code\":40403}",
                 "200 {\"is_compatible\":false,\"messages\":[\"field n\\nis new\"\n]}");
    expect_counts(a, 0, 2);
    expect(a, PROBE_ERROR, "registry", "subject events-value", "field n is new");
    ask_registry(a, &r, "422 {\"error_code\":42201,\"message\":\"invalid\"}", "");
    expect_counts(a, 0, 2);
    expect(a, PROBE_ERROR, "registry", "subject events-value", "invalid");
    options->may_register = false;
    ask_registry(a, &r, "404 {\"error_code\":40403}", "");
    expect_counts(a, 0, 2);
    expect(a, PROBE_ERROR, "registry", "subject events-value", "registry.register");
    assert_int_equal(r.others, 0);
    net_http(REGISTRY, NULL, NULL);
    asked_end(a);
}

/* A type that is apart, and a name that no schema has. */
static void references(void **state)
{
    (void)state;
    static const char *const names[] = {"Nowhere"};
    static const char *subjects[] = {"elsewhere"};
    struct asked *a = asked_begin(NULL);
    struct registry_double r;
    struct registry_options *options = &a->scene->host.options.registry;
    *options =
        (struct registry_options){.is_set = true,
                                  .url = REGISTRY,
                                  .may_register = true,
                                  .references = {.names = names, .items = subjects, .count = 1}};
    net_http(REGISTRY, registry_answers, &r);
    ask_registry(a, &r, "200 {\"subject\":\"s\",\"id\":7}", "");
    expect_counts(a, 1, 0);
    expect(a, PROBE_WARNING, "registry.references", "Nowhere", "has no effect");
    expect(a, PROBE_OK, "registry", "subject events-value", "under id 7");
    net_http(REGISTRY, NULL, NULL);
    asked_end(a);
}

static void registries_that_are_none(void **state)
{
    (void)state;
    struct asked *a = asked_begin(NULL);
    struct registry_double r;
    struct registry_options *options = &a->scene->host.options.registry;
    *options = (struct registry_options){.is_set = true, .url = REGISTRY, .may_register = true};
    ask(a);
    expect_counts(a, 0, 1); /* one line, however many subjects there are */
    expect(a, PROBE_ERROR, "registry.url", "schema registry",
           "no answer from the schema registry at " REGISTRY);
    net_http(REGISTRY, registry_answers, &r);
    ask_registry(a, &r, "404 <html>", "");
    expect_counts(a, 0, 1);
    expect(a, PROBE_ERROR, "registry.url", "schema registry", "check the path");
    ask_registry(a, &r, "401 {\"error_code\":401}", "");
    expect_counts(a, 0, 1);
    expect(a, PROBE_ERROR, "registry", "login at the schema registry", "set registry.user");
    options->user = "u";
    options->password = "hush";
    ask_registry(a, &r, "401 {\"error_code\":401}", "");
    expect(a, PROBE_ERROR, "registry.user", "login at the schema registry", "check registry.user");
    ask_registry(a, &r, "403 {\"error_code\":403,\"message\":\"not you, hush\"}", "");
    expect_counts(a, 1, 2);
    expect(a, PROBE_WARNING, "registry.url", "password", "without https");
    expect(a, PROBE_ERROR, "registry", "subject events-value", "give the user the rights");
    for (size_t i = 0; i < a->count; i++) {
        assert_null(strstr(a->findings[i].why.text, "hush"));
    }
    net_http(REGISTRY, NULL, NULL);
    asked_end(a);
}

/* By the registry's time; brokers don't tell theirs. */
static void clocks(void **state)
{
    (void)state;
    static const struct {
        int64_t ahead_s;
        enum probe_level level;
        const char *text;
    } rows[] = {
        {60, PROBE_OK, "it agrees with the registry's"},
        {-60, PROBE_OK, "it agrees with the registry's"},
        {90, PROBE_WARNING, "it is 90 s behind the registry's: set it (NTP)"},
        {-90, PROBE_WARNING, "it is 90 s ahead of the registry's: set it (NTP)"},
        {3600, PROBE_WARNING, "it is 3600 s behind"},
        {7200, PROBE_ERROR, "it is 7200 s behind the registry's: set it (NTP)"},
        {-7200, PROBE_ERROR, "it is 7200 s ahead of the registry's: set it (NTP)"},
    };
    struct asked *a = asked_begin(NULL);
    struct registry_double r = {.lookup = "200 {\"subject\":\"s\",\"id\":7}"};
    a->scene->host.options.registry =
        (struct registry_options){.is_set = true, .url = REGISTRY, .may_register = true};
    net_http(REGISTRY, registry_answers, &r);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        r.ahead_s = rows[i].ahead_s;
        ask(a);
        expect_counts(a, rows[i].level == PROBE_WARNING, rows[i].level == PROBE_ERROR);
        expect(a, rows[i].level, "registry.url", "clock", rows[i].text);
        assert_int_equal(count_about(a, "clock"), 1);
    }
    net_http(REGISTRY, NULL, NULL);
    asked_end(a);
}

/* One line says so, and what to do where nothing else keeps the clock. */
static void clocks_that_nobody_can_tell(void **state)
{
    (void)state;
    enum { NO_REGISTRY, NO_ANSWER, NO_DATE, CASE_COUNT };
    for (unsigned i = 0; i < CASE_COUNT; i++) {
        struct asked *a = asked_begin(NULL);
        struct registry_double r = {.lookup = "200 {\"subject\":\"s\",\"id\":7}",
                                    .has_no_date = true};
        a->scene->host.options.registry =
            (struct registry_options){.is_set = i != NO_REGISTRY, .url = REGISTRY};
        net_http(REGISTRY, i == NO_DATE ? registry_answers : NULL, &r);
        ask(a);
        expect_counts(a, 0, i == NO_ANSWER);
        expect(a, PROBE_OK, "", "clock", "can't be told: brokers don't say theirs");
        assert_int_equal(count_about(a, "clock"), 1);
        sim_wall_synchronised_set(false);
        ask(a);
        expect_counts(a, 1, i == NO_ANSWER);
        expect(a, PROBE_WARNING, "", "clock", i == NO_REGISTRY ? "no registry is set" : "nor did");
        expect(a, PROBE_WARNING, "", "clock", "set up NTP, or compare `date -u` here and there");
        assert_int_equal(count_about(a, "clock"), 1);
        sim_wall_synchronised_set(true);
        net_http(REGISTRY, NULL, NULL);
        asked_end(a);
    }
}

static void token_answers(void *context, const struct http_request *request, struct net_reply *ret)
{
    (void)request;
    ret->body = slice_of_text("{\"access_token\":\"word\",\"token_type\":\"Bearer\"}");
    ret->ahead_s = *(const int64_t *)context;
}

/* Who gives the access tokens says its time, too. */
static void clocks_of_a_token_endpoint(void **state)
{
    (void)state;
    static const char *const names[] = {"kind"}; /* of the extension that the brokers want */
    static const char *values[] = {"test"};
    struct broker_options options = {.user = "", .password = "word", .mechanism = "OAUTHBEARER"};
    struct asked *a = asked_begin(&options);
    int64_t ahead_s = 0;
    a->scene->host.options.sasl =
        (struct sasl_options){.is_set = true,
                              .mechanism = SASL_OAUTHBEARER,
                              .oauth = {.is_set = true,
                                        .url = TOKENS,
                                        .client_id = "c",
                                        .client_secret = "hush",
                                        .extensions = {names, values, 1}}};
    net_http(TOKENS, token_answers, &ahead_s);
    ask(a);
    expect_counts(a, 1, 0); /* a token without tls */
    expect(a, PROBE_OK, "sasl.oauth.url", "clock", "it agrees with the token endpoint's");
    ahead_s = -4000;
    ask(a);
    expect_counts(a, 1, 1);
    expect(a, PROBE_ERROR, "sasl.oauth.url", "clock", "4000 s ahead of the token endpoint's");
    assert_int_equal(count_about(a, "clock"), 1);
    net_http(TOKENS, NULL, NULL);
    asked_end(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well),
        cmocka_unit_test(brokers_out_of_reach),
        cmocka_unit_test(a_login_that_is_refused_or_missing),
        cmocka_unit_test(rights),
        cmocka_unit_test(topics_that_are_missing_are_not_made),
        cmocka_unit_test(leaders_and_codes),
        cmocka_unit_test(settings),
        cmocka_unit_test(brokers_that_misbehave),
        cmocka_unit_test(given_up_at_any_time),
        cmocka_unit_test(subjects),
        cmocka_unit_test(references),
        cmocka_unit_test(registries_that_are_none),
        cmocka_unit_test(clocks),
        cmocka_unit_test(clocks_that_nobody_can_tell),
        cmocka_unit_test(clocks_of_a_token_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
