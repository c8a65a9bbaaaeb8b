/* The uplinks of AWS with the n-th allocation failing, for every n: they say so, and leave nothing
 * behind. */
#include "tests/cmocka.h"

#include <stdlib.h>

#include "ports/names.h"
#include "tests/fault_alloc.h"
#include "tests/sim/sim.h"
#include "tests/uplink/kinesis/host.h"
#include "uplink/aws/firehose.h"
#include "uplink/aws/kinesis.h"

#define PLACE "http://aws.test:1"
#define AWS \
    { \
        .region = "us-east-1", .endpoint = PLACE, \
        .credentials = {.is_set = true, .access_key_id = "AKIDTEST", .secret_access_key = "S"}, \
        .timeout_ms = 10000 \
    }

static const struct kinesis_options kinesis = {
    .aws = AWS, .stream = "{stream}", .record_size_max = 1048576};
static const struct firehose_options firehose = {
    .aws = AWS, .delivery_stream = "{stream}", .framing = 3, .record_size_max = 1024};

static void assert_open_fails_cleanly(const struct uplink_class *class_, const void *options)
{
    struct uplink_host host = {.request_size = 1024};
    sim_open(1);
    assert_int_equal(loop_open(&host.loop), ERR_OK);
    assert_int_equal(names_open(&host.names, host.loop), ERR_OK);
    const struct uplink_setup setup = {.host = &host,
                                       .loop = host.loop,
                                       .names = host.names,
                                       .options = options,
                                       .agent_id = "pump",
                                       .incarnation = 3};
    unsigned n = 1;
    for (bool failed = true; failed; n++) {
        struct uplink *uplink = NULL;
        struct why why;
        fault_alloc_set(n);
        enum err e = class_->open(&uplink, &setup, &why);
        failed = fault_alloc_happened();
        fault_alloc_set(0);
        assert_true(failed ? e != ERR_OK && uplink == NULL : e == ERR_OK);
        if (!e) {
            class_->close(uplink);
        }
    }
    assert_true(n > 4);
    names_close(host.names);
    loop_close(host.loop);
    sim_close();
}

static void kinesis_opens_or_not(void **state)
{
    (void)state;
    assert_open_fails_cleanly(&kinesis_uplink_class, &kinesis);
}

static void firehose_opens_or_not(void **state)
{
    (void)state;
    assert_open_fails_cleanly(&firehose_uplink_class, &firehose);
}

static void without_a_region_there_is_no_uplink(void **state)
{
    struct uplink_host host = {.request_size = 1024};
    struct kinesis_options options = kinesis;
    struct uplink *uplink = NULL;
    struct why why = {""};
    (void)state;
    sim_open(1);
    assert_int_equal(loop_open(&host.loop), ERR_OK);
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    options.aws.region = NULL;
    const struct uplink_setup setup = {
        .host = &host, .loop = host.loop, .options = &options, .agent_id = "pump"};
    assert_int_equal(kinesis_uplink_class.open(&uplink, &setup, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "region"));
    loop_close(host.loop);
    sim_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinesis_opens_or_not),
        cmocka_unit_test(firehose_opens_or_not),
        cmocka_unit_test(without_a_region_there_is_no_uplink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
