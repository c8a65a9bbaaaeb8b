/* The status as metrics: escaping, what is null or missing, numbers to the digit, bounds. */
#include <stdlib.h>
#include <string.h>

#include "agent/metrics.h"
#include "tests/cmocka.h"

static char text[64 * 1024];

/* The metrics of this JSON. */
static const char *metrics_of(const char *json)
{
    struct json_tree *tree = NULL;
    struct why why = {""};
    size_t offset = 0;
    struct out o = out_over(text, sizeof text - 1);
    assert_int_equal(json_tree_open(&tree, slice_of_text(json), &why, &offset), ERR_OK);
    metrics_put(json_tree_root(tree), &o);
    json_tree_close(tree);
    assert_false(o.overflow);
    text[o.size] = 0;
    return text;
}

static bool has_line(const char *lines, const char *line)
{
    const char *at = strstr(lines, line);
    return at && (at == lines || at[-1] == '\n') && at[strlen(line)] == '\n';
}

static void texts_are_escaped(void **state)
{
    (void)state;
    const char *m =
        metrics_of("{\"version\":\"1\",\"agent\":\"a\\\\b\\\"c\\nd\\u00e9{}\",\"streams\":[],"
                   "\"uplinks\":{\"x\\\"}\":{\"sent\":1}}}");
    assert_true(
        has_line(m, "weir_build_info{version=\"1\",agent=\"a\\\\b\\\"c\\nd\xc3\xa9{}\"} 1"));
    assert_true(has_line(m, "weir_uplink_sent_events_total{uplink=\"x\\\"}\"} 1"));
}

static void numbers_stay_as_they_are(void **state)
{
    (void)state;
    const char *m = metrics_of("{\"events\":18446744073709551615,\"uptime_s\":0.050,\"buffer\":"
                               "{\"used_share\":0.0378},\"loop\":{\"longest_turn_us\":17498},"
                               "\"wear\":{\"life_years\":2}}");
    assert_true(has_line(m, "weir_intake_events_total 18446744073709551615"));
    assert_true(has_line(m, "weir_uptime_seconds 0.050"));
    assert_true(has_line(m, "weir_buffer_used_ratio 0.0378"));
    assert_true(has_line(m, "weir_loop_longest_turn_seconds 0.017498"));
    assert_true(has_line(m, "weir_flash_life_seconds 63115200"));
    assert_true(has_line(m, "# TYPE weir_intake_events_total counter"));
    assert_true(has_line(m, "# TYPE weir_uptime_seconds gauge"));
}

static void what_is_null_or_missing_is_left_out(void **state)
{
    (void)state;
    const char *m = metrics_of(
        "{\"version\":\"1\",\"agent\":\"a\",\"state\":\"waiting\",\"ready\":false,\"why\":"
        "\"x\",\"streams\":[{\"name\":\"s\",\"age_s\":null,\"events\":\"3\"}],"
        "\"drivers\":{},\"wear\":{\"life_years\":null}}");
    assert_null(strstr(m, "weir_stream_backlog"));
    assert_null(strstr(m, "weir_flash"));
    assert_null(strstr(m, "weir_driver"));
    assert_true(has_line(m, "weir_state{state=\"waiting\"} 1"));
    assert_true(has_line(m, "weir_state{state=\"running\"} 0"));
    assert_true(has_line(m, "weir_ready 0"));
}

static void parts_have_what_they_say(void **state)
{
    (void)state;
    const char *m = metrics_of(
        "{\"streams\":[{\"name\":\"s\",\"dropped_by\":{\"drop_oldest\":4,\"age\":1},"
        "\"schema_refused\":{\"count\":1}},{\"name\":\"t\",\"dropped_by\":{},\"schema_refused\":"
        "null}],"
        "\"drivers\":{\"d\":{\"type\":\"http\",\"received\":7,\"http_200\":5,\"fault\":null}},"
        "\"uplinks\":{\"u\":{\"type\":\"kafka\",\"fault\":\"no\",\"standing\":{\"s\":\"why\"},"
        "\"reconnects\":2}},\"links\":{\"l\":{\"up\":true,\"budgets\":{\"day\":{\"max\":10,"
        "\"spent\":3,\"until\":null}},\"total\":{\"sent\":1,\"received\":2},\"backlog_ms\":1500}}"
        "}");
    assert_true(
        has_line(m, "weir_stream_dropped_by_rule_events_total{stream=\"s\",reason=\"age\"} 1"));
    assert_null(strstr(m, "reason=\"age\",stream=\"t\""));
    assert_true(has_line(m, "weir_stream_schema_refused{stream=\"s\"} 1"));
    assert_true(has_line(m, "weir_stream_schema_refused{stream=\"t\"} 0"));
    assert_true(has_line(m, "weir_driver_counted_total{driver=\"d\",counter=\"http_200\"} 5"));
    assert_null(strstr(m, "counter=\"received\""));
    assert_true(has_line(m, "weir_driver_fault{driver=\"d\"} 0"));
    assert_true(has_line(m, "weir_uplink_fault{uplink=\"u\"} 1"));
    assert_true(has_line(m, "weir_uplink_stream_standing{uplink=\"u\",stream=\"s\"} 1"));
    assert_true(has_line(m, "weir_uplink_counted_total{uplink=\"u\",counter=\"reconnects\"} 2"));
    assert_true(has_line(m, "weir_link_up{link=\"l\"} 1"));
    assert_true(has_line(m, "weir_link_budget_spent_bytes{link=\"l\",period=\"day\"} 3"));
    assert_true(has_line(m, "weir_link_bytes_total{link=\"l\",direction=\"received\"} 2"));
    assert_true(has_line(m, "weir_link_backlog_seconds_total{link=\"l\"} 1.5"));
    size_t heads = 0;
    for (const char *at = m; (at = strstr(at, "# TYPE weir_stream_schema_refused ")); at++) {
        heads++;
    }
    assert_int_equal(heads, 1);
}

static void no_room_is_told(void **state)
{
    (void)state;
    struct json_tree *tree = NULL;
    struct why why = {""};
    size_t offset = 0;
    uint8_t memory[64];
    struct out o = out_over(memory, sizeof memory);
    assert_int_equal(json_tree_open(&tree, SLICE("{\"events\":1}"), &why, &offset), ERR_OK);
    metrics_put(json_tree_root(tree), &o);
    json_tree_close(tree);
    assert_true(o.overflow);
}

static void anything_but_an_object_has_none(void **state)
{
    (void)state;
    assert_null(strstr(metrics_of("[1,2]"), "weir_intake"));
    assert_null(strstr(metrics_of("{\"streams\":7,\"drivers\":[{\"received\":1}],\"wear\":\"\"}"),
                       "weir_stream"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts_are_escaped),
                                       cmocka_unit_test(numbers_stay_as_they_are),
                                       cmocka_unit_test(what_is_null_or_missing_is_left_out),
                                       cmocka_unit_test(parts_have_what_they_say),
                                       cmocka_unit_test(no_room_is_told),
                                       cmocka_unit_test(anything_but_an_object_has_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
