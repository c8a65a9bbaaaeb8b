/* The uplink kafka where TLS or the login is wrong: it says so in a sentence, without the password;
 * tries again with long pauses; loses nothing; and goes on without a restart once it is mended. */
#include "tests/cmocka.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ports/clock.h"
#include "ports/names.h"
#include "tests/sim/kafka_server.h"
#include "tests/uplink/kafka_host.h"

#define PARTITIONS 4
#define PASSWORD "the-right-secret"
#define WATCHED_S 10  /* how long the trouble is looked at, at most */
#define WAIT_MS 60000 /* for what comes at once on a machine that is idle */

/* The monotonic clock jumps over the pauses. */
static uint64_t jumped_us;
uint64_t __real_clock_monotonic_us(void);
uint64_t __wrap_clock_monotonic_us(void);
uint64_t __real_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_ms(void);

uint64_t __wrap_clock_monotonic_us(void)
{
    return __real_clock_monotonic_us() + jumped_us;
}

uint64_t __wrap_clock_monotonic_ms(void)
{
    return __wrap_clock_monotonic_us() / 1000; /* not __real: that may call what is wrapped */
}

/* --- certificates --- */

static char folder[64];

static char *file_of(const char *name, const char *suffix)
{
    char *path = malloc(128);
    assert_non_null(path);
    snprintf(path, 128, "%s/%s%s", folder, name, suffix);
    return path;
}

static int setup(void **state)
{
    (void)state;
    char command[256];
    snprintf(folder, sizeof folder, "/tmp/weir-kafka-secure-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command, "tests/services/certs.sh %s >/dev/null && chmod 600 %s/*.key",
             folder, folder);
    assert_int_equal(system(command), 0);
    return 0;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *walk)
{
    (void)s;
    (void)type;
    (void)walk;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- one trouble --- */

struct side {
    const char *certificate; /* of the broker; NULL: no TLS */
    const char *password;    /* NULL: no login */
};

struct trouble {
    struct side good, bad;
    bool tls; /* the uplink's */
    const char *says[2];
    unsigned attempts_max; /* connections while it is watched */
};

struct scene {
    struct loop *loop;
    struct names *names;
    struct broker *broker;
    struct kafka_server *server;
    struct tls *tls[2]; /* of the broker: good, bad */
    char *files[8];
    size_t file_count;
    struct uplink_host host;
    struct lot first, second;
};

static const char *scene_file(struct scene *scene, const char *name, const char *suffix)
{
    assert_true(scene->file_count < ARRAY_COUNT(scene->files));
    char *path = file_of(name, suffix);
    scene->files[scene->file_count++] = path;
    return path;
}

static struct tls *scene_tls(struct scene *scene, const char *certificate)
{
    if (!certificate) {
        return NULL;
    }
    struct tls *tls = NULL;
    struct why why = {""};
    struct tls_options options = {.is_set = true,
                                  .certificate = scene_file(scene, certificate, ".pem"),
                                  .key = scene_file(scene, certificate, ".key")};
    enum err e = tls_open(&tls, &options, TLS_SERVER, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, ERR_OK);
    return tls;
}

static void scene_begin(struct scene *scene, const struct trouble *trouble)
{
    *scene = (struct scene){0};
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    struct broker_options options = {.user = trouble->good.password ? "weir" : NULL,
                                     .password = trouble->good.password};
    scene->broker = broker_open(&options);
    broker_topic_add(scene->broker, "events", PARTITIONS);
    scene->tls[0] = scene_tls(scene, trouble->good.certificate);
    scene->tls[1] = scene_tls(scene, trouble->bad.certificate);
    scene->server = kafka_server_open(scene->broker, 1, scene->loop, scene->tls[0], 0);
    host_init(&scene->host, scene->loop, scene->names);
    scene->host.options.request_timeout_ms = 800;
    host_broker_add(&scene->host, "127.0.0.1", kafka_server_port(scene->server, 0));
    if (trouble->tls) {
        scene->host.options.tls =
            (struct tls_options){.is_set = true, .ca = scene_file(scene, "ca", ".pem")};
    }
    if (trouble->good.password) {
        scene->host.options.sasl = (struct sasl_options){
            .is_set = true, .user = "weir", .password = trouble->good.password};
    }
    host_open(&scene->host);
}

static void scene_end(struct scene *scene)
{
    host_close(&scene->host);
    lot_release(&scene->first);
    lot_release(&scene->second);
    kafka_server_close(scene->server);
    broker_close(scene->broker);
    tls_close(scene->tls[0]);
    tls_close(scene->tls[1]);
    names_close(scene->names);
    loop_close(scene->loop);
    for (size_t i = 0; i < scene->file_count; i++) {
        free(scene->files[i]);
    }
    free(scene);
}

/* The broker is restarted with other settings. */
static void scene_switch(struct scene *scene, const struct side *side, struct tls *tls)
{
    broker_node_stop(scene->broker, 0);
    kafka_server_node(scene->server, 0, false);
    kafka_server_tls_set(scene->server, tls);
    broker_password_set(scene->broker, side->password);
    broker_node_start(scene->broker, 0);
    kafka_server_node(scene->server, 0, true);
}

static uint64_t log_count(const struct scene *scene)
{
    uint64_t count = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        count += broker_log_count(scene->broker, "events", p);
    }
    return count;
}

static void check_text(struct scene *scene, const struct trouble *trouble)
{
    const char *text = scene->host.fault.text;
    uint64_t end_ms = __real_clock_monotonic_ms() + WAIT_MS;
    for (size_t i = 0; i < ARRAY_COUNT(trouble->says) && trouble->says[i]; i++) {
        while (!strstr(text, trouble->says[i]) && __real_clock_monotonic_ms() < end_ms) {
            assert_null(strstr(text, PASSWORD));
            host_run(&scene->host, 10);
        }
        if (!strstr(text, trouble->says[i])) {
            fail_msg("\"%s\" does not say \"%s\"", text, trouble->says[i]);
        }
    }
    assert_null(strstr(text, PASSWORD));
}

static void run(const struct trouble *trouble)
{
    struct scene *scene = malloc(sizeof *scene);
    assert_non_null(scene);
    scene_begin(scene, trouble);
    lot_cut(&scene->first, &scene->host, 1, 40);
    assert_true(lot_deliver(&scene->first, WAIT_MS));
    lot_cut(&scene->second, &scene->host, 41, 40);
    assert_true(lot_assign(&scene->second));
    uint64_t began_ms = clock_monotonic_ms();
    scene_switch(scene, &trouble->bad, scene->tls[1]);
    host_run(&scene->host, 50);
    lot_send_all(&scene->second);
    assert_true(lot_wait(&scene->second, WAIT_MS)); /* given back, to be tried again */
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        const struct lot_part *part = &scene->second.parts[p];
        if (part->tries > 0) {
            assert_true(part->report.result == SEND_RETRY || part->report.result == SEND_PARK);
            assert_null(strstr(part->report.text, PASSWORD));
            scene->second.parts[p].report.result = SEND_RETRY; /* after whatever pause */
        }
    }
    check_text(scene, trouble);
    host_run(&scene->host, 500);
    uint64_t attempts = kafka_server_attempts(scene->server, 0);
    uint64_t took_s = (clock_monotonic_ms() - began_ms) / 1000;
    uint64_t late_s = took_s > WATCHED_S ? took_s - WATCHED_S : 0; /* on a machine that is busy */
    assert_in_range(attempts, 1, trouble->attempts_max + late_s);
    assert_int_equal(log_count(scene), 40);
    scene_switch(scene, &trouble->good, scene->tls[0]);
    jumped_us += UINT64_C(61) * 1000000;
    host_run(&scene->host, 10);
    assert_true(lot_deliver(&scene->second, WAIT_MS));
    assert_string_equal(scene->host.fault.text, "");
    assert_int_equal(log_count(scene), 80);
    scene_end(scene);
}

/* --- the troubles --- */

static void an_authority_that_is_not_trusted(void **state)
{
    (void)state;
    run(&(struct trouble){.good = {"server", NULL},
                          .bad = {"self", NULL},
                          .tls = true,
                          .says = {"127.0.0.1", "no authority that is trusted here"},
                          .attempts_max = 2});
}

static void a_certificate_for_another_name(void **state)
{
    (void)state;
    run(&(struct trouble){.good = {"server", NULL},
                          .bad = {"wrong-name", NULL},
                          .tls = true,
                          .says = {"127.0.0.1", "not for the name 127.0.0.1"},
                          .attempts_max = 2});
}

static void a_certificate_that_has_expired(void **state)
{
    (void)state;
    run(&(struct trouble){.good = {"server", NULL},
                          .bad = {"expired", NULL},
                          .tls = true,
                          .says = {"127.0.0.1", "expired on 2020-02-01"},
                          .attempts_max = 2});
}

static void a_password_that_was_changed(void **state)
{
    (void)state;
    run(&(struct trouble){.good = {NULL, PASSWORD},
                          .bad = {NULL, "something-else"},
                          .says = {"refuses the login of user weir", "sasl.password"},
                          .attempts_max = 2});
}

static void a_password_that_was_changed_behind_tls(void **state)
{
    (void)state;
    run(&(struct trouble){.good = {"server", PASSWORD},
                          .bad = {"server", "something-else"},
                          .tls = true,
                          .says = {"refuses the login of user weir", "sasl.password"},
                          .attempts_max = 2});
}

static void tls_towards_a_plain_port(void **state)
{
    (void)state;
    run(&(struct trouble){.good = {"server", NULL},
                          .bad = {NULL, NULL},
                          .tls = true,
                          .says = {"127.0.0.1", "is TLS spoken on that port?"},
                          .attempts_max = 12});
}

static void plain_text_towards_a_tls_port(void **state)
{
    (void)state;
    run(&(struct trouble){.good = {NULL, NULL},
                          .bad = {"server", NULL},
                          .says = {"127.0.0.1", "\"tls\""},
                          .attempts_max = 12});
}

static void a_password_in_plain_text_towards_a_tls_port(void **state)
{
    (void)state;
    run(&(struct trouble){.good = {NULL, PASSWORD},
                          .bad = {"server", PASSWORD},
                          .says = {"127.0.0.1", "\"tls\""},
                          .attempts_max = 12});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_authority_that_is_not_trusted),
        cmocka_unit_test(a_certificate_for_another_name),
        cmocka_unit_test(a_certificate_that_has_expired),
        cmocka_unit_test(a_password_that_was_changed),
        cmocka_unit_test(a_password_that_was_changed_behind_tls),
        cmocka_unit_test(tls_towards_a_plain_port),
        cmocka_unit_test(plain_text_towards_a_tls_port),
        cmocka_unit_test(a_password_in_plain_text_towards_a_tls_port),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
