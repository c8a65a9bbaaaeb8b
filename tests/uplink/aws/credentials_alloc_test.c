/* Credentials with the n-th allocation failing, for every n: there are none then, it is said, and
 * tried again. On a real loop, with real files and a real command. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ports/clock.h"
#include "ports/loop.h"
#include "tests/fault_alloc.h"
#include "uplink/aws/credentials.h"
#include "uplink/http/server_clock.h"

#define PATIENCE_MS 60000

struct scene {
    struct loop *loop;
    struct server_clock clock;
    struct credentials_options options;
    struct credentials *credentials;
    bool is_changed;
    unsigned fault_count;
};

static void changed(void *context)
{
    ((struct scene *)context)->is_changed = true;
}

static void fault(void *context, const struct why *why)
{
    struct scene *scene = context;
    scene->fault_count += why != NULL;
    assert_true(!why || why->text[0]);
}

static void run_until_said(struct scene *scene)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;
    while (!scene->is_changed && scene->fault_count == 0) {
        assert_true(clock_monotonic_ms() < until);
        assert_int_equal(loop_turn(scene->loop, 100), ERR_OK);
    }
}

/* True: an allocation failed. */
static bool try_it(struct scene *scene, unsigned n)
{
    struct credentials_setup setup = {.loop = scene->loop,
                                      .clock = &scene->clock,
                                      .options = &scene->options,
                                      .region = "eu-central-1",
                                      .context = scene,
                                      .changed = changed,
                                      .fault = fault};
    struct why why = {""};
    struct aws_credentials got;
    scene->is_changed = false;
    scene->fault_count = 0;
    scene->credentials = NULL;
    fault_alloc_set(n);
    enum err e = credentials_open(&scene->credentials, &setup, &why);
    assert_true(e == ERR_OK || e == ERR_NOMEM);
    if (!e) {
        run_until_said(scene);
    }
    bool failed = fault_alloc_happened();
    fault_alloc_set(0);
    assert_int_equal(failed, e || scene->fault_count > 0);
    if (!e && !failed) {
        assert_int_equal(credentials_get(scene->credentials, &got), ERR_OK);
        assert_string_equal(got.key_id, "AKIA1");
    }
    credentials_close(scene->credentials);
    return failed;
}

static void one_after_the_other(void **state)
{
    (void)state;
    static const struct {
        const char *profile;
        unsigned at_least;
    } cases[] = {{"keys", 3}, {"process", 4}};
    char path[] = "/tmp/weir-credentials-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "[keys]\naws_access_key_id=AKIA1\naws_secret_access_key=s\n"
                            "[process]\ncredential_process=echo '{\"AccessKeyId\":\"AKIA1\","
                            "\"SecretAccessKey\":\"s\"}'\n") > 0);
    close(fd);
    unsetenv("AWS_CONFIG_FILE");
    unsetenv("HOME");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct scene scene = {
            .options = {.is_set = true, .credentials_file = path, .profile = cases[i].profile}};
        assert_int_equal(loop_open(&scene.loop), ERR_OK);
        unsigned n = 1;
        while (try_it(&scene, n)) {
            n++;
        }
        assert_true(n >= cases[i].at_least);
        loop_close(scene.loop);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_after_the_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
