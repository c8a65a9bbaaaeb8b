#include "config/config.h"

#include "config/cron.h"
#include "config/print.h"
#include "config/template.h"
#include "config/units.h"
#include "ports/file.h"
#include "ports/lib/json_tree.h"
#include "tests/cmocka.h"
#include "tests/config/parts.h"
#include "tests/fault_alloc.h"

#define SECRET_WORD "hunter2-very-secret"

/* A folder of its own for each test. */
struct place {
    char folder[64];
    char path[96];
    char text[65536];
    struct config_report report;
    struct config *config;
};

static void place_write(const struct place *place, const char *name, const char *text, mode_t mode)
{
    char path[160];
    struct why why = {""};
    snprintf(path, sizeof path, "%s/%s", place->folder, name);
    if (file_replace(path, slice_of_text(text), mode, &why)) {
        fail_msg("%s", why.text);
    }
}

static int place_init(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    snprintf(place->folder, sizeof place->folder, "/tmp/weir-config-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->path, sizeof place->path, "%s/weir.json", place->folder);
    setenv("WEIR_TEST_ID", "pump-7", 1);
    place_write(place, "secret", SECRET_WORD "\n", 0600);
    place_write(place, "open", "from a file\r\n", 0644);
    *state = place;
    return 0;
}

static int place_release(void **state)
{
    struct place *place = *state;
    static const char *const names[] = {"weir.json", "secret", "open", "open2"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", place->folder, names[i]);
        unlink(path);
    }
    rmdir(place->folder);
    config_close(place->config);
    free(place);
    return 0;
}

static enum err place_load(struct place *place, const char *text)
{
    config_close(place->config);
    place->config = NULL;
    if (text) {
        place_write(place, "weir.json", text, 0644);
    }
    place->report = (struct config_report){.text = out_over(place->text, sizeof place->text - 1)};
    enum err e = config_load(&place->config, place->path, &every_parts, &place->report);
    place->text[place->report.text.size] = 0;
    assert_int_equal(e == ERR_OK, place->report.error_count == 0);
    return e;
}

#define REST "\"streams\":{\"s\":{}},\"uplinks\":{\"u\":{\"type\":\"every\"}}"

static const char full[] =
    "{\"agent\":{\"id\":\"${env:WEIR_TEST_ID}\"},\"buffer\":{\"path\":\"b.db\",\"size_max\":\"64 "
    "MiB\"},"
    "\"streams\":{\"a\":{\"priority\":9,\"when_full\":\"block\",\"uplinks\":[\"u\"]},\"b\":{"
    "\"share_min\":\"2.5 %\"}},"
    "\"drivers\":{\"d\":{\"type\":\"every\",\"routes\":[{\"topic\":\"site/+/"
    "temp\",\"stream\":\"a\","
    "\"set\":{\"device\":\"{topic.1}\"}},{\"stream\":\"b\"}],\"flag\":false,\"interval_ms\":\"1.5 "
    "s\","
    "\"size\":\"64KiB\",\"mode\":\"fast\",\"text\":\"$${x} ${file:open}\","
    "\"password\":\"${file:secret}\",\"folder\":\"data\",\"decimal\":0.0250,\"any\":{\"x\": [1, "
    "\"a b\\\" \\\\\"]},"
    "\"tls\":{\"ca\":\"open\",\"password\":\"" SECRET_WORD
    "\"},\"names\":[\"x\",\"y\"],\"numbers\":[1,9],"
    "\"items\":[{\"name\":\"n\",\"tags\":{\"k\":\"v\"}}],\"by_name\":{\"m\":{\"name\":\"o\","
    "\"size\":\"2 B\"}}}},"
    "\"uplinks\":{\"u\":{\"type\":\"every\",\"streams\":[\"a\"]},"
    "\"v\":{\"type\":\"every\",\"streams\":[\"b\",\"weir.events\"]}}}";

static void test_defaults(void **state)
{
    struct place *place = *state;
    assert_int_equal(place_load(place, "{" REST ",\"drivers\":{\"d\":{\"type\":\"every\"}}}"),
                     ERR_OK);
    const struct config *config = place->config;
    assert_string_equal(config->drivers[0].common.stream, "s");
    assert_int_equal(config->drivers[0].common.ack_interval_ms, 250);
    assert_int_equal(config->buffer.size_max, 512 * 1024 * 1024);
    assert_true(config->status.enabled);
    assert_string_equal(config->status.listen, "127.0.0.1:9600");
    assert_null(config->status.token);
    assert_string_equal(config->agent.socket, "/var/lib/weir/weir.sock");
    assert_int_equal(config->streams[0].uplinks, 1);
    assert_int_equal(config->streams[0].options.when_full, STREAM_DROP_OLDEST);
    assert_int_equal(config->uplinks[0].common.hold_max, 1000000);
    assert_true(config->uplinks[0].carries_events);
    const struct every_options *options = config->drivers[0].options;
    assert_true(options->flag);
    assert_int_equal(options->count, 3);
    assert_int_equal(options->share, 125000);
    assert_int_equal(options->rate, 64000);
    assert_int_equal(options->event_rate, 10);
    assert_true(options->decimal.is_set && options->decimal.mantissa == 5);
    assert_int_equal(options->decimal.scale, 1);
    assert_string_equal(options->item.name, "n");
    assert_int_equal(options->item.size, 1024);
    assert_false(options->tls.is_set);
    assert_null(options->password);
}

static void check_full(const struct place *place)
{
    const struct config *config = place->config;
    const struct every_options *options = config->drivers[0].options;
    char path[128];
    snprintf(path, sizeof path, "%s/b.db", place->folder);
    assert_string_equal(config->buffer.path, path);
    assert_string_equal(config->agent.id, "pump-7");
    assert_int_equal(options->decimal.mantissa, 25);
    assert_int_equal(options->decimal.scale, 3);
    assert_int_equal(config->streams[0].uplinks, 1);
    assert_int_equal(config->streams[1].uplinks, 2);
    assert_int_equal(config->streams[1].options.share_min, 25000);
    assert_int_equal(config->uplinks[0].common.hold_max, 500000);
    assert_false(config->uplinks[0].carries_events);
    assert_true(config->uplinks[1].carries_events);
    const struct route_options *routes = config->drivers[0].common.routes.items;
    assert_int_equal(config->drivers[0].common.routes.count, 2);
    assert_string_equal(((const char *const *)routes[0].set.items)[0], "{topic.1}");
    assert_int_equal(options->interval_ms, 1500);
    assert_int_equal(options->size, 65536);
    assert_int_equal(options->mode, 1);
    assert_string_equal(options->text, "${x} from a file");
    assert_true(options->tls.is_set);
    assert_int_equal(((const int64_t *)options->numbers.items)[1], 9);
    assert_string_equal(options->any.json, "{\"x\":[1,\"a b\\\" \\\\\"]}");
    assert_string_equal(options->by_name.names[0], "m");
    assert_int_equal(((const struct every_item *)options->by_name.items)->size, 2);
    assert_string_equal(
        *(const char *const *)((const struct every_item *)options->items.items)->tags.items, "v");
}

static void test_round_trip(void **state)
{
    struct place *place = *state;
    if (place_load(place, full)) {
        fail_msg("%s", place->text);
    }
    check_full(place);
    assert_string_equal(((const struct every_options *)place->config->drivers[0].options)->password,
                        SECRET_WORD);
    static char shown[2][65536];
    for (size_t i = 0; i < 2; i++) {
        struct out out = out_over(shown[i], 65535);
        print_config(place->config, &out);
        assert_false(out.overflow);
        assert_null(strstr(shown[i], SECRET_WORD));
        assert_non_null(strstr(shown[i], "\"***\""));
        if (place_load(place, shown[i])) {
            fail_msg("%s\n%s", place->text, shown[i]);
        }
        check_full(place);
    }
    assert_string_equal(shown[0], shown[1]);
}

struct decimal_case {
    const char *text;
    int64_t mantissa;
    unsigned scale;
    const char *shown;
};

static void test_decimals(void **state)
{
    static const struct decimal_case cases[] = {
        {"0", 0, 0, "0"},
        {"0.00", 0, 0, "0"},
        {"0e9", 0, 0, "0"},
        {"5", 5, 0, "5"},
        {"0.05", 5, 2, "0.05"},
        {"12.50", 125, 1, "12.5"},
        {"100", 100, 0, "100"},
        {"1e2", 100, 0, "100"},
        {"1.5E+3", 1500, 0, "1500"},
        {"25e-3", 25, 3, "0.025"},
        {"1e-15", 1, 15, "0.000000000000001"},
        {"1.000000000000000000", -1, 0, "too many digits"},
        {"999999999999999", 999999999999999, 0, "999999999999999"},
        {"9999999999999990e-1", 999999999999999, 0, "999999999999999"},
        {"1000000000000000", -1, 0, "too many digits"},
        {"1e15", -1, 0, "too many digits"},
        {"1e-16", -1, 0, "too many digits"},
        {"1e99999999999", -1, 0, "too many digits"},
        {"-0.1", -1, 0, "-0.1 is below 0"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct decimal_case *c = &cases[i];
        struct option_decimal value = {-1, 0, false};
        struct why why = {""};
        char text[64];
        struct out o = out_over(text, sizeof text - 1);
        enum err e = units_parse_decimal(slice_of_text(c->text), &value, &why);
        if (value.mantissa != c->mantissa || value.scale != c->scale ||
            (e != ERR_OK) != (c->mantissa < 0)) {
            fail_msg("%s: %lld / 10^%u, %s", c->text, (long long)value.mantissa, value.scale,
                     why.text);
        }
        if (!e) {
            units_put_decimal(&value, &o);
            text[o.size] = '\0';
        }
        assert_non_null(strstr(e ? why.text : text, c->shown));
    }
}

static void test_mistakes(void **state)
{
    struct place *place = *state;
    static const char *const cases[][2] = {
        {"\"flagg\":true", ".flagg: unknown; did you mean \"flag\"?"},
        {"\"xyzzy\":true", ".xyzzy: unknown; there are: type, stream, set, routes, ack_interval"},
        {"\"flag\":\"true\"", ".flag: a text, but true or false is wanted (without quotes)"},
        {"\"count\":3.5", ".count: 3.5 is no whole number of 64 bits"},
        {"\"count\":11", ".count: too large: at most 10"},
        {"\"count\":null", ".count: null, but a whole number is wanted"},
        {"\"interval_ms\":5",
         ".interval_ms: a number, but a number with its unit is wanted, in quotes"},
        {"\"interval_ms\":\"5\"",
         ".interval_ms: \"5\" is no duration: a number and its unit, ms, s, min"},
        {"\"interval_ms\":\"1 ms\"", ".interval_ms: too small: at least 10 ms"},
        {"\"interval_ms\":\"-5 s\"", ".interval_ms: \"-5 s\" is no duration"},
        {"\"size\":\"99999999999 GiB\"", ".size: \"99999999999 GiB\" is too large or too fine"},
        {"\"size\":\"1 kb\"", ".size: \"1 kb\" is no size"},
        {"\"share\":\"101 %\"", ".share: too large: at most 100 %"},
        {"\"decimal\":-1", ".decimal: -1 is below 0"},
        {"\"decimal\":\"0.1\"", ".decimal: a text, but a number is wanted (without quotes)"},
        {"\"decimal\":1e-16", ".decimal: 1e-16 has too many digits: at most 15, and 15 decimals"},
        {"\"event_rate\":\"1 kbit/s\"",
         ".event_rate: \"1 kbit/s\" is no rate: a number and its unit, events/s"},
        {"\"mode\":\"fats\"", ".mode: \"fats\" is none of slow, fast; did you mean \"fast\"?"},
        {"\"text\":{}", ".text: an object {}, but a text is wanted"},
        {"\"text\":\"a\\u0000b\"", ".text: a text with a NUL in it"},
        {"\"text\":\"${env:WEIR_TEST_NONE}\"", ".text: the environment has no WEIR_TEST_NONE"},
        {"\"text\":\"${file:none}\"", ".text: can't open /tmp/weir-config-"},
        {"\"text\":\"${machine}\"", ".text: ${machine} stands for nothing"},
        {"\"text\":\"${env:X\"", ".text: a ${ without its }"},
        {"\"password\":\"${file:open}\"", ".password: /tmp/weir-config-"},
        {"\"password\":[\"" SECRET_WORD "\"]", ".password: a list [], but a text is wanted"},
        {"\"folder\":\"\"", ".folder: an empty path"},
        {"\"tls\":{}", ".tls.ca: is missing"},
        {"\"tls\":{\"ca\":\"none\"}", ".tls.ca: can't read /tmp/weir-config-"},
        {"\"tls\":true", ".tls: true, but an object {} is wanted"},
        {"\"names\":\"x\"", ".names: a text, but a list [] is wanted"},
        {"\"names\":[\"a\",\"b\",\"c\",\"d\"]", ".names: 4 entries: at most 3"},
        {"\"names\":[\"\"]", ".names[0]: 0 bytes long: at least 1"},
        {"\"numbers\":[1,10]", ".numbers[1]: too large: at most 9"},
        {"\"items\":[1]", ".items[0]: a number, but an object {} is wanted"},
        {"\"items\":[{\"nam\":1}]", ".items[0].nam: unknown; did you mean \"name\"?"},
        {"\"by_name\":{\"q\":{\"tags\":{\"t\":1}}}", ".by_name.q.tags.t: a number, but a text"},
        {"\"stream\":\"t\"", ".stream: there is no stream \"t\"; did you mean \"s\"?"},
        {"\"stream\":\"other\"", ".stream: there is no stream \"other\": add it to $.streams"},
        {"\"routes\":[{\"topic\":\"a/#/b\",\"stream\":\"s\"}]",
         ".routes[0].topic: '#' must be the last level"},
        {"\"routes\":[{\"topic\":\"a\"}]", ".routes[0].stream: is missing"},
        {"\"set\":{\"a\":\"{topik}\"}", ".set.a: {topik} is unknown"},
        {"\"set\":{\"a\":\"x}\"}", ".set.a: a } without its other half"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[600];
        snprintf(text, sizeof text, "{" REST ",\n\"drivers\":{\"d\":{\"type\":\"every\",%s}}}",
                 cases[i][0]);
        assert_int_equal(place_load(place, text), ERR_CONFIG);
        const char *at = strstr(place->text, "$.drivers.d");
        if (!at || strncmp(at + 11, cases[i][1], strlen(cases[i][1])) != 0 ||
            place->report.error_count != 1 || !strstr(place->text, "weir.json:2:") ||
            strstr(place->text, SECRET_WORD)) {
            fail_msg("%s\nwanted: %s\n   got: %s", cases[i][0], cases[i][1], place->text);
        }
    }
}

/* Where the status is served: what is safe, and what it says where it is not. */
static void test_status(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *status;
        const char *mistake; /* NULL: none */
    } cases[] = {
        {"{}", NULL},
        {"{\"enabled\":false,\"listen\":\"0.0.0.0:9600\"}", NULL},
        {"{\"listen\":\"[::1]:9600\",\"hosts\":[\"gateway7.example\"]}", NULL},
        {"{\"listen\":\"0.0.0.0:9600\",\"insecure\":true}", NULL},
        {"{\"listen\":\"0.0.0.0:9600\",\"token\":\"" SECRET_WORD
         "\",\"tls\":{\"certificate\":\"open\",\"key\":\"secret\"}}",
         NULL},
        {"{\"listen\":\"0.0.0.0:9600\"}",
         "$.status: 0.0.0.0:9600 is reachable from outside: set a token and tls"},
        {"{\"listen\":\"[::]:9600\",\"token\":\"" SECRET_WORD "\"}",
         "$.status: [::]:9600 is reachable from outside: set tls, or say"},
        {"{\"listen\":\"9600\"}", "$.status.listen: \"9600\" is no address with a port"},
        {"{\"listen\":\"127.0.0.1:96000\"}",
         "$.status.listen: \"127.0.0.1:96000\" is no address with a port"},
        {"{\"token\":\"\"}", "$.status.token: 0 bytes long: at least 1"},
        {"{\"hosts\":[\"\"]}", "$.status.hosts[0]: 0 bytes long"},
        {"{\"port\":9600}", "$.status.port: unknown; there are: enabled, listen"},
        {"[]", "$.status: a list [], but an object {} is wanted"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[600];
        snprintf(text, sizeof text,
                 "{" REST ",\"drivers\":{\"d\":{\"type\":\"every\"}},\"status\":%s}",
                 cases[i].status);
        enum err e = place_load(place, text);
        bool is_right = cases[i].mistake ? strstr(place->text, cases[i].mistake) &&
                                               place->report.error_count == 1
                                         : e == ERR_OK;
        if (!is_right || strstr(place->text, SECRET_WORD)) {
            fail_msg("%s\n   got: %s", cases[i].status, place->text);
        }
    }
}

/* What is right, but has its price: told with its place, and loaded all the same. */
static void test_warnings(void **state)
{
    struct place *place = *state;
    static const char drivers[] =
        "{\"uplinks\":{\"u\":{\"type\":\"every\"}},\n"
        "\"streams\":{\"log\":{},\"alarms\":{\"when_full\":\"block\"},\"more\":{}},\n"
        "\"drivers\":{\"one\":{\"type\":\"every\",\"mode\":\"fast\",\"stream\":\"alarms\"},\n"
        "\"two\":{\"type\":\"every\",\"stream\":\"log\",\"routes\":[{\"topic\":\"a\","
        "\"stream\":\"alarms\"}]},\n"
        "\"three\":{\"type\":\"every\",\"mode\":\"slow\",\"stream\":\"log\","
        "\"routes\":[{\"topic\":\"a\",\"stream\":\"more\"}]},\n"
        "\"four\":{\"type\":\"every\",\"routes\":[{\"topic\":\"a\",\"stream\":\"alarms\"},"
        "{\"topic\":\"b\",\"stream\":\"alarms\"}]}}%s}";
    char text[1024];
    snprintf(text, sizeof text, drivers, "");
    assert_int_equal(place_load(place, text), ERR_OK);
    assert_int_equal(place->report.warning_count, 2);
    const char *first = strstr(place->text, "/weir.json:3:");
    assert_non_null(first);
    assert_non_null(strstr(first, ": $.drivers.one.mode: warning: fast takes more current\n"));
    const char *second = strstr(first, "/weir.json:4:");
    assert_non_null(second);
    assert_non_null(strstr(second, ": $.drivers.two: warning: "));
    assert_non_null(strstr(second, "\"alarms\""));
    assert_null(strstr(place->text, "three"));
    assert_null(strstr(place->text, "four"));

    snprintf(text, sizeof text, drivers, ",\"agent\":{\"log_level\":\"loud\"}");
    assert_int_equal(place_load(place, text), ERR_CONFIG);
    assert_int_equal(place->report.error_count, 1);
    assert_non_null(strstr(place->text, "$.agent.log_level: \"loud\""));
    assert_null(strstr(place->text, "mistakes"));
}

static void test_whole_files(void **state)
{
    struct place *place = *state;
    static const char *const cases[][2] = {
        {"", ":1:1: $: the text ends too early"},
        {"{\"streams\":{},\n}", ":2:1: $: no key in quotes"},
        {"{\"agent\":{},\n \"agent\":{}}", ":2:2: $: a key that the object has already"},
        {"[]", ":1:1: $: a list [], but an object {} is wanted"},
        {"{} {}", ":1:4: $: something follows"},
        {"{}", ":1:1: $.drivers: at least one is needed"},
        {"{\n \"agnet\":{}}", ":2:2: $.agnet: unknown; did you mean \"agent\"?"},
        {"{\"streams\":{\"a b\":{}}}", ":1:13: $.streams.a b: a name has 1 to 63 characters"},
        {"{\"streams\":{\"weir.x\":{}}}",
         ":1:13: $.streams.weir.x: names that start with \"weir.\""},
        {"{\"drivers\":{\"d\":{\"type\":\"evry\"}}}",
         ":1:25: $.drivers.d.type: there is no such type: one of every; did"},
        {"{\"drivers\":{\"d\":{\"type\":\"gone\"}}}",
         ":1:25: $.drivers.d.type: this weir was built without \"gone\"; it has every"},
        {"{\"uplinks\":{\"u\":{\"type\":\"gone\"}}}",
         ":1:25: $.uplinks.u.type: this weir was built without \"gone\"; it has every"},
        {"{\"uplinks\":{\"u\":{\"layout\":\"lines\",\"type\":\"every\"}}}",
         ":1:27: $.uplinks.u.layout: \"lines\" is none of auto, rows, columns"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(place_load(place, cases[i][0]), ERR_CONFIG);
        if (!strstr(place->text, cases[i][1])) {
            fail_msg("%s\nwanted: %s\n   got: %s", cases[i][0], cases[i][1], place->text);
        }
    }
}

/* Both are whole, and the schema is JSON in which each option of the classes is found. */
static void test_schema_and_reference(void **state)
{
    (void)state;
    static char text[262144];
    struct out out = out_over(text, sizeof text - 1);
    print_schema(&every_parts, &out);
    assert_false(out.overflow);
    struct json_tree *tree = NULL;
    struct why why = {""};
    size_t offset = 0;
    if (json_tree_open(&tree, out_slice(&out), &why, &offset)) {
        fail_msg("%s", why.text);
    }
    const struct json_node *drivers =
        json_node_find(json_node_find(json_tree_root(tree), "properties"), "drivers");
    const struct json_node *one =
        json_node_find(json_node_find(drivers, "additionalProperties"), "oneOf");
    const struct json_node *options = json_node_find(one->child, "properties");
    assert_non_null(json_node_find(options, "by_name"));
    assert_non_null(json_node_find(options, "ack_interval"));
    json_tree_close(tree);
    memset(text, 0, sizeof text);
    out = out_over(text, sizeof text - 1);
    print_reference(&every_parts, &out);
    assert_false(out.overflow);
    assert_non_null(strstr(text, "| `by_name.NAME.size` | size, 1 B to 1 KiB | `1 KiB` |"));
    assert_non_null(strstr(text, "| `tls.ca` | path | **required** |"));
    assert_non_null(strstr(text, "Yes \\| no."));
}

static void test_memory_fails(void **state)
{
    struct place *place = *state;
    place_write(place, "weir.json", full, 0644);
    unsigned n = 1;
    for (;; n++) {
        assert_true(n < 1000);
        fault_alloc_set(n);
        enum err e = place_load(place, NULL);
        bool has_failed = fault_alloc_happened();
        fault_alloc_set(0);
        if (!has_failed) {
            assert_int_equal(e, ERR_OK);
            break;
        }
        if (e != ERR_NOMEM) {
            fail_msg("allocation %u: %s", n, place->text);
        }
        assert_null(place->config);
    }
    assert_true(n > 8);
    check_full(place);
}

struct found_changes {
    char text[1024];
};

static void add_change(void *context, const char *path, bool is_taken)
{
    struct found_changes *found = context;
    size_t size = strlen(found->text);
    snprintf(found->text + size, sizeof found->text - size, "%s%s\n", path,
             is_taken ? " taken" : "");
}

static void test_changes(void **state)
{
    struct place *place = *state;
    struct found_changes found = {""};
    assert_int_equal(
        place_load(
            place,
            "{\"agent\":{\"id\":\"a b\"},\"streams\":{\"s\":{\"priority\":1,\"schema\":\"open\"},"
            "\"gone\":{}},\"uplinks\":{\"u\":{\"type\":\"every\",\"streams\":[\"s\",\"gone\"]}},"
            "\"drivers\":{\"d\":{\"type\":\"every\",\"stream\":\"s\"}}}"),
        ERR_OK);
    struct config *older = place->config;
    place->config = NULL;
    place_write(place, "open2", "x", 0644);
    assert_int_equal(
        place_load(place,
                   "{ \"agent\": {\"id\": \"ab\", \"clock\": \"disciplined\"},\n"
                   "\"buffer\": {\"size_max\": \"64 MiB\"}, \"status\": {\"enabled\": false},"
                   "\"streams\": {\"s\": {\"schema\": \"open2\", \"priority\": 1, "
                   "\"unknown_fields\":\"set_aside\","
                   "\"missing_fields\":\"set_aside\",\"compatibility\":\"full\"}, \"new\":{}},"
                   "\"uplinks\": {\"u\": {\"type\": \"every\", \"streams\": [\"s\", \"new\"]}},"
                   "\"drivers\":{\"d\": {\"type\": \"every\",\"stream\": \"s\"}}}"),
        ERR_OK);
    assert_int_equal(config_changes(older, place->config, add_change, &found), ERR_OK);
    assert_string_equal(
        found.text,
        "$.agent.id\n$.agent.clock taken\n$.buffer.size_max taken\n"
        "$.status.enabled taken\n$.streams.s.schema taken\n$.streams.s.unknown_fields taken\n"
        "$.streams.s.missing_fields taken\n"
        "$.streams.s.compatibility taken\n$.streams.new taken\n"
        "$.streams.gone taken\n$.uplinks.u.streams taken\n");
    found.text[0] = 0;
    assert_int_equal(config_changes(older, older, add_change, &found), ERR_OK);
    assert_string_equal(found.text, "");
    fault_alloc_set(1);
    assert_int_equal(config_changes(older, place->config, add_change, &found), ERR_NOMEM);
    fault_alloc_set(0);
    assert_int_equal(config_take_streams(older, place->config), ERR_OK);
    config_close(place->config);
    place->config = older; /* the texts are its own */
    const struct stream_config *s = &older->streams[0].options;
    assert_non_null(strstr(s->schema, "/open2"));
    assert_int_equal(s->compatibility, STREAM_COMPATIBLE_FULL);
    assert_int_equal(s->unknown_fields, STREAM_UNKNOWN_SET_ASIDE);
    assert_int_equal(s->missing_fields, STREAM_MISSING_SET_ASIDE);
    assert_null(older->streams[1].options.schema);
}

static void test_routes(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *subject;
        bool matches;
    } cases[] = {{"a/b", "a/b", true},
                 {"a/b", "a/b/c", false},
                 {"+/b", "a/b", true},
                 {"a/#", "a/b/c", true},
                 {"#", "", true},
                 {"a/+", "a", false},
                 {"/var/log/*.log", "/var/log/a.log", true},
                 {"a*b*c", "aXbYbZc", true},
                 {"*", "a/b", false},
                 {"*.log", "a.txt", false}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (route_match(cases[i].pattern, slice_of_text(cases[i].subject)) != cases[i].matches) {
            fail_msg("%s %s", cases[i].pattern, cases[i].subject);
        }
    }
    struct slice level;
    assert_true(route_level(SLICE("site/7/temp"), 1, &level) && slice_equal_text(level, "7"));
    assert_false(route_level(SLICE("a/b"), 2, &level));
}

#define LINKED(links, uplink) \
    "{\"streams\":{\"s\":{}},\"drivers\":{\"d\":{\"type\":\"every\"}}," \
    "\"uplinks\":{\"u\":{\"type\":\"every\"" uplink "}},\"links\":{" links "}}"

/* What is not said follows from the link, and from what the uplink can. */
static void test_layouts(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *uplink;
        enum layout layout;
        bool by_agent;
    } cases[] = {
        {"", LAYOUT_ROWS, false},
        {",\"layout\":\"columns\"", LAYOUT_COLUMNS, true},
        {",\"layout\":\"columns\",\"partition_by\":\"key\"", LAYOUT_COLUMNS, false},
        {",\"link\":\"modem\"", LAYOUT_COLUMNS, true},
        {",\"link\":\"modem\",\"flag\":false", LAYOUT_ROWS, true},
        {",\"link\":\"modem\",\"layout\":\"rows\"", LAYOUT_ROWS, true},
    };
    char text[512];
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        (void)snprintf(text, sizeof text,
                       "{\"streams\":{\"s\":{}},\"drivers\":{\"d\":{\"type\":\"every\"}},"
                       "\"uplinks\":{\"u\":{\"type\":\"every\"%s}},"
                       "\"links\":{\"modem\":{\"metered\":true}}}",
                       cases[i].uplink);
        assert_int_equal(place_load(place, text), ERR_OK);
        assert_int_equal(place->config->uplinks[0].layout, cases[i].layout);
        assert_int_equal(place->config->uplinks[0].by_agent, cases[i].by_agent);
    }
    assert_int_equal(place_load(place, LINKED("", ",\"flag\":false,\"layout\":\"columns\"")),
                     ERR_CONFIG);
    assert_non_null(strstr(place->text, "$.uplinks.u.layout: not without a flag"));
}

static void test_links(void **state)
{
    struct place *place = *state;
    assert_int_equal(
        place_load(place, LINKED("\"eth\":{\"interface\":\"eth0\",\"jitter\":\"0 s\"},"
                                 "\"modem\":{\"metered\":true,\"rate_max\":\"64 kbit/s\","
                                 "\"budget_per_month\":\"500 MB\",\"windows\":[{\"start\":"
                                 "\"0 22 * * 1-5\",\"duration\":\"7 h\"}]}",
                                 ",\"link\":[\"eth\",\"modem\"]")),
        ERR_OK);
    const struct config *config = place->config;
    assert_int_equal(config->link_count, 2);
    assert_int_equal(config->uplinks[0].link_count, 2);
    assert_int_equal(config->uplinks[0].links[1], 1);
    assert_true(config->uplinks[0].is_metered);
    assert_true(config->uplinks[0].by_agent);
    assert_int_equal(config->uplinks[0].layout, LAYOUT_COLUMNS);
    assert_int_equal(config->links[0].options.jitter_ms, 0);
    assert_int_equal(config->links[1].options.jitter_ms, 30000);
    assert_int_equal(config->links[1].options.reserve, 100000);
    assert_int_equal(config->links[1].options.budget_per_month, 500000000);
    const struct link_window_options *window = config->links[1].options.windows.items;
    assert_string_equal(window->start, "0 22 * * 1-5");
    /* The last one may be any interface; a name may be as long as the kernel takes. */
    assert_int_equal(
        place_load(place, LINKED("\"eth\":{\"interface\":\"fifteen-is-much\",\"rate_max\":"
                                 "\"8 bit/s\"},\"any\":{}",
                                 ",\"link\":[\"eth\",\"any\"]")),
        ERR_OK);
    assert_int_equal(place->config->uplinks[0].link_count, 2);
    /* One alone needs no brackets; what was said about partitions holds. */
    assert_int_equal(place_load(place, LINKED("\"modem\":{\"metered\":true}",
                                              ",\"link\":\"modem\",\"partition_by\":\"key\"")),
                     ERR_OK);
    assert_int_equal(place->config->uplinks[0].link_count, 1);
    assert_false(place->config->uplinks[0].by_agent);
    assert_int_equal(place->config->uplinks[0].layout, LAYOUT_COLUMNS);
    static const struct {
        const char *text, *found;
    } wrong[] = {
        {LINKED("\"modem\":{}", ",\"link\":\"moden\""),
         "$.uplinks.u.link: there is no link \"moden\"; did you mean \"modem\"?"},
        {LINKED("\"modem\":{}", ",\"link\":[\"modem\",\"eth\"]"),
         "$.uplinks.u.link[1]: there is no link \"eth\": add it to $.links"},
        {LINKED("\"m\":{\"windows\":[{\"start\":\"0 25 * * *\",\"duration\":\"1 h\"}]}", ""),
         "$.links.m.windows[0].start: the hour can't be read"},
        {LINKED("\"m\":{\"windows\":[{\"start\":\"0 5 * *\",\"duration\":\"1 h\"}]}", ""),
         "the weekday is missing"},
        {LINKED("\"m\":{\"month_day\":29}", ""), "$.links.m.month_day"},
        {LINKED("\"m\":{\"count\":\"interface\"}", ""), "$.links.m.count: \"interface\" needs one"},
        {LINKED("\"m\":{\"budget_per_mont\":\"1 MB\"}", ""), "did you mean \"budget_per_month\"?"},
        {LINKED("\"m\":3", ""), "$.links.m: a number"},
        {LINKED("\"m\":{},\"e\":{\"interface\":\"eth0\"}", ",\"link\":[\"m\",\"e\"]"),
         "$.uplinks.u.link[1]: \"e\" would never be used: \"m\" before it names no interface"},
        {LINKED("\"e\":{\"interface\":\"eth0\"}", ",\"link\":[\"e\",\"e\"]"),
         "$.uplinks.u.link[1]: \"e\" is there twice"},
        {LINKED("\"m\":{\"windows\":[{\"start\":\"0 0 30 2 *\",\"duration\":\"1 h\"}]}", ""),
         "$.links.m.windows[0].start: it never comes"},
        {LINKED("\"m\":{\"interface\":\"../eth0\"}", ""),
         "$.links.m.interface: no interface has such a name"},
        {LINKED("\"m\":{\"interface\":\"sixteen-is-too-l\"}", ""), "$.links.m.interface: "},
        {LINKED("\"m\":{\"rate_max\":\"7 bit/s\"}", ""),
         "$.links.m.rate_max: less than a byte a second; `0 bit/s` is no bound"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_int_equal(place_load(place, wrong[i].text), ERR_CONFIG);
        if (!strstr(place->text, wrong[i].found)) {
            fail_msg("no \"%s\" in %s", wrong[i].found, place->text);
        }
    }
}

static void test_cron(void **state)
{
    (void)state;
    struct cron c;
    struct why why = {""};
    assert_int_equal(cron_parse("*/15 1-5,22 1 jan-mar,DEC Sun", &c, &why), ERR_OK);
    assert_int_equal(cron_minute_after(&c, 0), 60);
    assert_int_equal(cron_minute_after(&c, 346), 22 * 60);
    assert_int_equal(cron_minute_before(&c, 22 * 60 - 1), 5 * 60 + 45);
    assert_int_equal(cron_minute_before(&c, 59), -1);
    assert_int_equal(cron_minute_after(&c, 22 * 60 + 46), -1);
    assert_true(cron_has_day(&c, 2, 1, 3)); /* either */
    assert_true(cron_has_day(&c, 12, 9, 0));
    assert_false(cron_has_day(&c, 12, 9, 1));
    assert_false(cron_has_day(&c, 4, 1, 0));
    assert_int_equal(cron_parse("  0   0 *  * 7 ", &c, &why), ERR_OK);
    assert_true(cron_has_day(&c, 5, 5, 0));
    assert_false(cron_has_day(&c, 5, 5, 6));
    assert_int_equal(cron_parse("*/7 * * * *", &c, &why), ERR_OK);
    assert_int_equal(cron_minute_after(&c, 57), 60);
    assert_int_equal(cron_parse("0 0 29 2 *", &c, &why), ERR_OK); /* in some years */
    assert_true(cron_has_day(&c, 2, 29, 1));
    assert_int_equal(cron_parse("0 0 31 4-5 *", &c, &why), ERR_OK);
    assert_true(cron_has_day(&c, 5, 31, 1));
    assert_int_equal(cron_parse("0 0 30 2 mon", &c, &why), ERR_OK); /* either: Mondays */
    assert_true(cron_has_day(&c, 2, 1, 1));
    static const char *const wrong[] = {"",
                                        "0",
                                        "60 * * * *",
                                        "* 24 * * *",
                                        "* * 0 * *",
                                        "* * 32 * *",
                                        "* * * 13 *",
                                        "* * * * 8",
                                        "5-1 * * * *",
                                        "*/0 * * * *",
                                        "1,, * * * *",
                                        "1/2 * * * *",
                                        "a * * * *",
                                        "* * * ja *",
                                        "* * * * * *",
                                        "1- * * * *",
                                        "-1 * * * *",
                                        "1000 * * * *",
                                        "* * * * mond",
                                        "*x * * * *",
                                        "0 0 30 2 *",
                                        "0 0 31 2,4,jun,9,11 *"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        why.text[0] = 0;
        if (cron_parse(wrong[i], &c, &why) != ERR_CONFIG || !why.text[0]) {
            fail_msg("\"%s\" is taken", wrong[i]);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_init, place_release)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_defaults),
                                       TEST(test_round_trip),
                                       TEST(test_warnings),
                                       cmocka_unit_test(test_decimals),
                                       TEST(test_mistakes),
                                       TEST(test_status),
                                       TEST(test_whole_files),
                                       TEST(test_memory_fails),
                                       TEST(test_changes),
                                       cmocka_unit_test(test_schema_and_reference),
                                       cmocka_unit_test(test_routes),
                                       TEST(test_links),
                                       TEST(test_layouts),
                                       cmocka_unit_test(test_cron)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
