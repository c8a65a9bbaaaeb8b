/* The service says that the token has ended: new credentials are fetched, by a real command, and the
 * same is signed by them and sent again, over real sockets. The monotonic clock jumps. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ports/clock.h"
#include "ports/names.h"
#include "tests/uplink/kinesis/host.h"
#include "tests/uplink/kinesis/server.h"
#include "uplink/aws/kinesis.h"

#define WAIT_MS 10000
#define MINUTE_US UINT64_C(61000000) /* new ones are not fetched sooner */
#define HOUR_US UINT64_C(3601000000) /* then shards are listed again */

static uint64_t jumped_us;
uint64_t __real_clock_monotonic_us(void);
uint64_t __wrap_clock_monotonic_us(void);
uint64_t __wrap_clock_monotonic_ms(void);

uint64_t __wrap_clock_monotonic_us(void)
{
    return __real_clock_monotonic_us() + jumped_us;
}

uint64_t __wrap_clock_monotonic_ms(void)
{
    return __wrap_clock_monotonic_us() / 1000; /* not __real: that may call what is wrapped */
}

struct scene {
    struct loop *loop;
    struct names *names;
    struct server server;
    struct uplink_host host;
    struct kinesis_options options;
    char folder[32], shared[64], command[64];
    const char *ended; /* the key id that is no use any more */
    unsigned refused_puts, refused_lists;
};

static struct scene *scene;

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

/* Each call of the command gives other ones: ASIA1, ASIA2, ... */
static void write_command(void)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "echo . >>%s/calls\n"
                   "n=$(grep -c . %s/calls)\n"
                   "echo \"{\\\"Version\\\":1,\\\"AccessKeyId\\\":\\\"ASIA$n\\\","
                   "\\\"SecretAccessKey\\\":\\\"SECRET\\\",\\\"SessionToken\\\":\\\"token-$n\\\","
                   "\\\"Expiration\\\":\\\"2099-01-01T00:00:00Z\\\"}\"\n",
                   scene->folder, scene->folder);
    (void)snprintf(scene->command, sizeof scene->command, "%s/give", scene->folder);
    write_file(scene->command, text);
    (void)snprintf(text, sizeof text, "[pump]\ncredential_process = sh %s\n", scene->command);
    (void)snprintf(scene->shared, sizeof scene->shared, "%s/shared", scene->folder);
    write_file(scene->shared, text);
}

static bool refuse(struct service *service, unsigned number, bool is_list,
                   struct service_reply *ret)
{
    (void)number;
    if (!scene->ended || strcmp(service->last_key_id, scene->ended) != 0) {
        return false;
    }
    scene->refused_lists += is_list;
    scene->refused_puts += !is_list;
    *ret = (struct service_reply){
        .status = 400,
        .body = SLICE("{\"__type\":\"ExpiredTokenException\",\"message\":\"The security token "
                      "included in the request is expired\"}")};
    return true;
}

static int begin(void **state)
{
    (void)state;
    scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    (void)snprintf(scene->folder, sizeof scene->folder, "/tmp/weir-expired-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    write_command();
    unsetenv("AWS_CONFIG_FILE");
    unsetenv("HOME");
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    server_open(&scene->server, scene->loop, 1);
    scene->server.service.refuse = refuse;
    scene->options =
        (struct kinesis_options){.aws = {.region = "us-east-1",
                                         .endpoint = scene->server.url,
                                         .credentials = {.is_set = true,
                                                         .profile = "pump",
                                                         .credentials_file = scene->shared},
                                         .timeout_ms = 10000},
                                 .stream = "{stream}",
                                 .event_id = KINESIS_ID_NONE,
                                 .record_size_max = 1048576};
    scene->host.loop = scene->loop;
    scene->host.names = scene->names;
    host_init(&scene->host, &kinesis_uplink_class, &scene->options);
    return 0;
}

static int end(void **state)
{
    char path[64];
    (void)state;
    host_close(&scene->host);
    server_close(&scene->server);
    names_close(scene->names);
    loop_close(scene->loop);
    (void)snprintf(path, sizeof path, "%s/calls", scene->folder);
    (void)unlink(path);
    (void)unlink(scene->command);
    (void)unlink(scene->shared);
    (void)rmdir(scene->folder);
    free(scene);
    return 0;
}

static void has_target(void)
{
    struct why why = {""};
    if (!host_target(&scene->host, WAIT_MS, &why)) {
        fail_msg("no target: %s; %s", why.text, scene->host.fault.text);
    }
}

static void open_it(void)
{
    host_open(&scene->host);
    has_target();
}

static void deliver(uint64_t first)
{
    host_cut(&scene->host, first, 10, 30, 10);
    assert_true(host_send_all(&scene->host, WAIT_MS));
    assert_int_equal(host_report(&scene->host)->result, SEND_OK);
    for (uint64_t i = first; i < first + 10; i++) {
        assert_int_equal(service_stored(&scene->server.service, i), 1);
    }
}

static void assert_signed_by(const char *key_id, const char *token)
{
    assert_string_equal(scene->server.service.last_key_id, key_id);
    assert_string_equal(scene->server.service.last_token, token);
    assert_string_equal(scene->host.fault.text, "");
}

static bool has_listed_again(struct uplink_host *host)
{
    (void)host;
    return scene->server.service.list_count >= 3;
}

static void new_credentials_are_taken(void **state)
{
    (void)state;
    open_it();
    deliver(0);
    assert_signed_by("ASIA1", "token-1");

    jumped_us += MINUTE_US;
    scene->ended = "ASIA1";
    deliver(10);
    assert_signed_by("ASIA2", "token-2");
    assert_int_equal(scene->refused_puts, 1);
    assert_int_equal(scene->server.service.put_count, 3);

    jumped_us += HOUR_US; /* the same, for what is asked of shards */
    scene->ended = "ASIA2";
    host_run(&scene->host, 1);
    has_target();
    assert_true(host_run_until(&scene->host, has_listed_again, WAIT_MS));
    assert_signed_by("ASIA3", "token-3");
    assert_int_equal(scene->refused_lists, 1);
    deliver(20);
    assert_signed_by("ASIA3", "token-3");
    assert_int_equal(scene->refused_puts, 1);
    assert_int_equal(scene->host.fault_count, 0);
}

/* What the command gives is refused at once: that is no use, and a person is told. */
static void what_is_refused_at_once_is_told(void **state)
{
    (void)state;
    open_it();
    scene->ended = "ASIA1";
    host_cut(&scene->host, 0, 10, 30, 10);
    assert_true(host_send_all(&scene->host, WAIT_MS));
    const struct send_report *report = host_report(&scene->host);
    assert_non_null(strstr(scene->host.fault.text, "ExpiredToken"));
    assert_int_equal(report->result, SEND_PARK);
    assert_non_null(strstr(report->text, "ExpiredToken"));
    assert_null(strstr(report->text, "SECRET"));
    assert_null(strstr(report->text, "token-1"));
    assert_int_equal(scene->refused_puts, 1);
    jumped_us += MINUTE_US; /* tried again: then there are new ones */
    assert_true(host_deliver(&scene->host, WAIT_MS));
    assert_signed_by("ASIA2", "token-2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(new_credentials_are_taken, begin, end),
        cmocka_unit_test_setup_teardown(what_is_refused_at_once_is_told, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
