/* The replay driver. */
#include <fcntl.h>

#include "drivers/drivers.h"
#include "drivers/replay_time.h"
#include "ports/clock.h"
#include "tests/cmocka.h"
#include "tests/drivers/host_double.h"

struct fixture {
    struct driver_host host;
    struct loop *loop;
    struct driver *driver;
    int64_t settings[32];
    char folder[64];
    char path[80];
};

static void setting(struct fixture *f, const char *name, const void *value, size_t size)
{
    for (const struct option *o = replay_class.options; o->name; o++) {
        if (strcmp(o->name, name) == 0) {
            memcpy((uint8_t *)f->settings + o->offset, value, size);
            return;
        }
    }
    fail_msg("no option %s", name);
}

static void setting_number(struct fixture *f, const char *name, int64_t value)
{
    setting(f, name, &value, sizeof value);
}

static void fixture_init(struct fixture *f, const char *text)
{
    memset(f, 0, sizeof *f);
    host_init(&f->host);
    host_folder(f->folder);
    snprintf(f->path, sizeof f->path, "%s/data", f->folder);
    int fd = open(f->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    const char *path = f->path;
    setting(f, "path", &path, sizeof path);
    setting_number(f, "speed", 1);
    setting_number(f, "line_size_max", 65536);
    assert_int_equal(loop_open(&f->loop), ERR_OK);
}

static void fixture_start(struct fixture *f)
{
    struct driver_setup setup = {.host = &f->host, .loop = f->loop, .options = f->settings};
    assert_int_equal(replay_class.open(&f->driver, &setup, NULL), ERR_OK);
}

static void fixture_stop(struct fixture *f)
{
    replay_class.stop(f->driver);
    replay_class.close(f->driver);
}

static void fixture_release(struct fixture *f)
{
    fixture_stop(f);
    loop_close(f->loop);
    host_release(&f->host);
    host_folder_remove(f->folder);
}

static void a_file_is_played_once_across_restarts(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "1\n2\n\n3\n4");
    f.host.room = 2;
    fixture_start(&f);
    assert_true(host_wait_events(&f.host, f.loop, 2, HOST_WAIT_MS));
    host_run(f.loop, 30);
    assert_int_equal(f.host.event_count, 2);
    (void)host_commit(&f.host);
    f.host.room = 1;
    replay_class.resume(f.driver);
    assert_true(host_wait_events(&f.host, f.loop, 3, HOST_WAIT_MS));
    host_run(f.loop, 30);
    assert_int_equal(f.host.event_count, 3);
    fixture_stop(&f);
    host_crash(&f.host);
    f.host.room = SIZE_MAX;
    fixture_start(&f);
    assert_true(host_wait_events(&f.host, f.loop, 4, HOST_WAIT_MS));
    assert_string_equal(f.host.events[2].body, "3");
    assert_string_equal(f.host.events[3].body, "4");
    assert_true(host_wait_counter(&f.host, f.loop, "finished", 1));
    assert_int_equal(host_counter(&f.host, "finished"), 1);
    (void)host_commit(&f.host);
    fixture_stop(&f);
    fixture_start(&f);
    host_run(f.loop, 60);
    assert_int_equal(f.host.event_count, 4);
    fixture_release(&f);
}

static void a_circle_has_no_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "1\n2\n3\n");
    bool yes = true;
    setting(&f, "repeat", &yes, sizeof yes);
    f.host.room = 100;
    fixture_start(&f);
    assert_true(host_wait_events(&f.host, f.loop, 100, HOST_WAIT_MS));
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(f.host.events[i].body[0], "123"[i % 3]);
    }
    assert_int_equal(host_counter(&f.host, "rounds"), 33);
    fixture_release(&f);
}

static void the_rate_is_kept(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "1\n2\n3\n");
    bool yes = true;
    setting(&f, "repeat", &yes, sizeof yes);
    setting_number(&f, "rate", 200);
    fixture_start(&f);
    uint64_t begun_ms = clock_monotonic_ms();
    assert_true(host_wait_events(&f.host, f.loop, 101, HOST_WAIT_MS));
    uint64_t took_ms = clock_monotonic_ms() - begun_ms;
    assert_in_range(took_ms, 450, 30000); /* at no rate at once */
    assert_in_range(f.host.event_count, 101, 101 + took_ms / 5);
    fixture_release(&f);
}

static void time_stamps_set_the_pace(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "{\"t\":\"2026-03-01T00:00:00Z\"}\n{\"t\":\"2026-03-01T00:10:00Z\"}\n"
                     "{\"t\":\"2026-03-01T00:20:00Z\"}\n");
    const char *field = "t";
    setting(&f, "time_field", &field, sizeof field);
    setting_number(&f, "speed", 3000); /* 20 minutes in 0.4 s */
    fixture_start(&f);
    uint64_t begun_ms = clock_monotonic_ms();
    assert_true(host_wait_events(&f.host, f.loop, 3, HOST_WAIT_MS));
    assert_in_range(clock_monotonic_ms() - begun_ms, 390, 30000);
    fixture_release(&f);
}

static void long_lines_are_set_aside(void **state)
{
    (void)state;
    struct fixture f;
    char *text = malloc(300002);
    assert_non_null(text);
    memset(text, 'x', 300000);
    memcpy(text + 299998, "\n7\n", 4);
    fixture_init(&f, text);
    free(text);
    fixture_start(&f);
    assert_true(host_wait_events(&f.host, f.loop, 2, HOST_WAIT_MS));
    assert_non_null(f.host.events[0].unusable);
    assert_null(f.host.events[1].unusable);
    assert_string_equal(f.host.events[1].body, "7");
    host_run(f.loop, 30);
    assert_int_equal(f.host.event_count, 2);
    fixture_release(&f);
}

static void a_missing_file_is_waited_for(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "1\n");
    char other[96];
    snprintf(other, sizeof other, "%s.away", f.path);
    assert_int_equal(rename(f.path, other), 0);
    fixture_start(&f);
    assert_true(host_wait_fault(&f.host, f.loop, "can't open"));
    assert_int_equal(rename(other, f.path), 0);
    assert_true(host_wait_events(&f.host, f.loop, 1, HOST_WAIT_MS));
    assert_string_equal(f.host.fault, "");
    fixture_release(&f);
}

static void times_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } times[] = {
        {"{\"a\":[1],\"t\":\"1970-01-02T00:00:01.5Z\"}", 86401500000},
        {"{\"t\":\"1970-01-01 02:00:00+02:00\"}", 0},
        {"{\"t\":1700000000}", 1700000000000000},
        {"{\"t\":1700000000123}", 1700000000123000},
        {"{\"t\":1700000000123456}", 1700000000123456},
    };
    int64_t us = -1;
    for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
        assert_true(replay_time_find(slice_of_text(times[i].text), "t", &us));
        assert_int_equal(us, times[i].us);
    }
    static const char *const none[] = {"", "[]", "{\"t\":null}", "{\"t\":\"x\"}", "{\"u\":1}"};
    for (size_t i = 0; i < ARRAY_COUNT(none); i++) {
        assert_false(replay_time_find(slice_of_text(none[i]), "t", &us));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_understood),
        cmocka_unit_test(a_file_is_played_once_across_restarts),
        cmocka_unit_test(a_circle_has_no_end),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(time_stamps_set_the_pace),
        cmocka_unit_test(long_lines_are_set_aside),
        cmocka_unit_test(a_missing_file_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
