/* The file tail: rotation, truncation, partial and long lines, restarts. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "drivers/drivers.h"
#include "drivers/tail_files.h"
#include "ports/clock.h"
#include "tests/cmocka.h"
#include "tests/drivers/host_double.h"

/* As tail.c lays out its settings; the option table gives the offsets. */
union settings {
    uint8_t bytes[512];
    int64_t align;
};

struct fixture {
    struct driver_host host;
    struct loop *loop;
    struct driver *driver;
    union settings settings;
    char folder[64];
    char pattern[128];
    const char *patterns[1];
    const char *excludes[1];
    unsigned rotations;
};

static void *setting(struct fixture *f, const char *name)
{
    for (const struct option *o = tail_class.options; o->name; o++) {
        if (strcmp(o->name, name) == 0) {
            return f->settings.bytes + o->offset;
        }
    }
    fail_msg("no option %s", name);
    return NULL;
}

static void setting_number(struct fixture *f, const char *name, int64_t value)
{
    memcpy(setting(f, name), &value, sizeof value);
}

static void fixture_init(struct fixture *f, const char *pattern)
{
    memset(f, 0, sizeof *f);
    assert_true(tail_class.options_size <= sizeof f->settings);
    host_init(&f->host);
    host_folder(f->folder);
    assert_int_equal(loop_open(&f->loop), ERR_OK);
    snprintf(f->pattern, sizeof f->pattern, "%s/%s", f->folder, pattern);
    f->patterns[0] = f->pattern;
    f->excludes[0] = "*.gz";
    struct option_list paths = {f->patterns, 1};
    struct option_list exclude = {f->excludes, 1};
    memcpy(setting(f, "paths"), &paths, sizeof paths);
    memcpy(setting(f, "exclude"), &exclude, sizeof exclude);
    setting_number(f, "format", 1);
    setting_number(f, "poll", 10);
    setting_number(f, "line_size_max", 65536);
    setting_number(f, "rotate_wait", 60);
    setting_number(f, "files_max", 8);
}

static void fixture_start(struct fixture *f)
{
    struct driver_setup setup = {.host = &f->host, .loop = f->loop, .options = f->settings.bytes};
    struct why why = {{0}};
    assert_int_equal(tail_class.open(&f->driver, &setup, &why), ERR_OK);
}

static void fixture_stop(struct fixture *f)
{
    tail_class.stop(f->driver);
    tail_class.close(f->driver);
    f->driver = NULL;
}

static void fixture_release(struct fixture *f)
{
    fixture_stop(f);
    loop_close(f->loop);
    host_release(&f->host);
    host_folder_remove(f->folder);
}

static const char *path_of(struct fixture *f, const char *name)
{
    static char path[4][160];
    static unsigned next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", f->folder, name);
    return path[next];
}

static void append_bytes(struct fixture *f, const char *name, const void *data, size_t size)
{
    int fd = open(path_of(f, name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    assert_int_equal(close(fd), 0);
}

static void append(struct fixture *f, const char *name, const char *text)
{
    append_bytes(f, name, text, strlen(text));
}

static void expect(struct fixture *f, size_t index, const char *body)
{
    assert_true(host_wait_events(&f->host, f->loop, index + 1, HOST_WAIT_MS));
    assert_string_equal(f->host.events[index].body, body);
    assert_null(f->host.events[index].unusable);
}

static void copy_and_truncate(struct fixture *f, const char *from, const char *to)
{
    char buffer[4096];
    int in = open(path_of(f, from), O_RDWR | O_CLOEXEC);
    assert_true(in >= 0);
    ssize_t got;
    while ((got = read(in, buffer, sizeof buffer)) > 0) {
        append_bytes(f, to, buffer, (size_t)got);
    }
    assert_int_equal(ftruncate(in, 0), 0);
    close(in);
}

static void lines_are_offered_with_their_place(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "*.log");
    append(&f, "a.log", "one\r\n\ntwo\nthr");
    fixture_start(&f);
    expect(&f, 0, "one");
    expect(&f, 1, "two");
    assert_int_equal(f.host.events[0].body_kind, BODY_RAW);
    assert_false(f.host.events[0].wants_ack);
    assert_string_equal(f.host.events[1].subject, path_of(&f, "a.log"));
    char source[200];
    snprintf(source, sizeof source, "tail %s:6", path_of(&f, "a.log"));
    assert_string_equal(f.host.events[1].source, source);
    host_run(f.loop, 50);
    assert_int_equal(f.host.event_count, 2); /* the third has no newline yet */
    append(&f, "a.log", "ee\n");
    expect(&f, 2, "three");
    append(&f, "b.log.gz", "never\n");
    append(&f, "b.log", "late\n");
    expect(&f, 3, "late");
    host_run(f.loop, 50);
    assert_int_equal(f.host.event_count, 4);
    fixture_release(&f);
}

static void any_byte_is_part_of_a_line(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "*.log");
    static const char bytes[] = "a\0b\xff\xfe\rc\nnext\n";
    append_bytes(&f, "a.log", bytes, sizeof bytes - 1);
    fixture_start(&f);
    expect(&f, 1, "next");
    assert_int_equal(f.host.events[0].body_size, 7);
    assert_memory_equal(f.host.events[0].body, "a\0b\xff\xfe\rc", 7);
    fixture_release(&f);
}

static void a_line_of_ten_megabytes_is_set_aside_cut(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "*.log");
    setting_number(&f, "line_size_max", 1000);
    append(&f, "a.log", "before\n");
    char *many = malloc(1 << 20);
    assert_non_null(many);
    memset(many, 'x', 1 << 20);
    for (int i = 0; i < 10; i++) {
        append_bytes(&f, "a.log", many, 1 << 20);
    }
    append(&f, "a.log", "\nafter\n");
    append_bytes(&f, "a.log", many, 1000); /* just as long as it may be */
    append(&f, "a.log", "\r\n");
    append_bytes(&f, "a.log", many, 1001);
    append(&f, "a.log", "\nend\n");
    free(many);
    fixture_start(&f);
    assert_true(host_wait_events(&f.host, f.loop, 6, HOST_WAIT_MS));
    assert_string_equal(f.host.events[0].body, "before");
    assert_string_equal(f.host.events[1].unusable, "the line is longer than line_size_max");
    assert_int_equal(f.host.events[1].true_size, 10 << 20);
    assert_int_equal(f.host.events[1].body_size, 64 * 1024);
    assert_string_equal(f.host.events[2].body, "after");
    assert_int_equal(f.host.events[3].body_size, 1000);
    assert_null(f.host.events[3].unusable);
    assert_non_null(f.host.events[4].unusable);
    assert_int_equal(f.host.events[4].body_size, 1001);
    assert_string_equal(f.host.events[5].body, "end");
    assert_int_equal(host_counter(&f.host, "long_lines"), 2);
    fixture_release(&f);
}

static void a_restart_goes_on_where_the_commit_was(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "*.log");
    append(&f, "a.log", "1\n2\n");
    fixture_start(&f);
    expect(&f, 1, "2");
    (void)host_commit(&f.host);
    append(&f, "a.log", "3\n4\n");
    expect(&f, 3, "4");
    fixture_stop(&f);
    host_crash(&f.host); /* 3 and 4 were not committed */
    assert_int_equal(f.host.event_count, 2);
    append(&f, "a.log", "5\n");
    fixture_start(&f);
    expect(&f, 2, "3");
    expect(&f, 3, "4");
    expect(&f, 4, "5");
    fixture_release(&f);
}

static void renamed_files_are_read_to_their_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "a.log");
    append(&f, "a.log", "1\nhal");
    fixture_start(&f);
    expect(&f, 0, "1");
    assert_int_equal(rename(path_of(&f, "a.log"), path_of(&f, "a.log.1")), 0);
    append(&f, "a.log.1", "f\n3\n"); /* by a writer that still has the old one open */
    append(&f, "a.log", "4\n");
    assert_true(host_wait_events(&f.host, f.loop, 4, HOST_WAIT_MS));
    size_t seen = 0;
    for (size_t i = 1; i < 4; i++) {
        seen += strcmp(f.host.events[i].body, "half") == 0;
        seen += strcmp(f.host.events[i].body, "3") == 0;
        seen += strcmp(f.host.events[i].body, "4") == 0;
    }
    assert_int_equal(seen, 3);
    append(&f, "a.log.1", "rest without newline");
    expect(&f, 4, "rest without newline"); /* after rotate_wait */
    assert_true(host_wait_counter(&f.host, f.loop, "finished", 1));
    host_run(f.loop, 50);
    assert_int_equal(f.host.event_count, 5);
    assert_int_equal(host_counter(&f.host, "finished"), 1);
    (void)host_commit(&f.host);
    assert_int_equal(f.host.cursor_count, 2); /* the first start, and a.log */
    fixture_release(&f);
}

static void a_file_rotated_while_the_agent_was_down_is_found_in_its_folder(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "a.log");
    append(&f, "a.log", "1\n");
    fixture_start(&f);
    expect(&f, 0, "1");
    (void)host_commit(&f.host);
    fixture_stop(&f);
    append(&f, "a.log", "2\n");
    assert_int_equal(rename(path_of(&f, "a.log"), path_of(&f, "old")), 0);
    append(&f, "a.log", "3\n");
    fixture_start(&f);
    assert_true(host_wait_events(&f.host, f.loop, 3, HOST_WAIT_MS));
    host_run(f.loop, 50);
    assert_int_equal(f.host.event_count, 3);
    assert_int_equal(f.host.events[1].body[0] + f.host.events[2].body[0], '2' + '3');
    fixture_release(&f);
}

static void a_truncated_file_is_read_from_its_beginning(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "a.log");
    append(&f, "a.log", "first generation\n");
    fixture_start(&f);
    expect(&f, 0, "first generation");
    assert_int_equal(truncate(path_of(&f, "a.log"), 0), 0);
    append(&f, "a.log", "second generation, and longer\n"); /* longer: only the head tells */
    expect(&f, 1, "second generation, and longer");
    assert_int_equal(host_counter(&f.host, "truncated"), 1);
    fixture_release(&f);
}

/* The copy has the lines that were not read before the truncation, and those that were. */
static void a_copy_is_not_read_twice(void **state)
{
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct fixture f;
        fixture_init(&f, "a.log*");
        append(&f, "a.log", "1\n2\n");
        fixture_start(&f);
        expect(&f, 1, "2");
        (void)host_commit(&f.host);
        f.host.room = 0;
        append(&f, "a.log", "3\n4\n");
        if (restart) {
            fixture_stop(&f);
            host_crash(&f.host);
        } else {
            host_run(f.loop, 50);
        }
        copy_and_truncate(&f, "a.log", "a.log.1");
        append(&f, "a.log", "five, six, seven\n");
        if (restart) {
            f.host.room = SIZE_MAX;
            fixture_start(&f);
        } else {
            host_run(f.loop, 50);
            f.host.room = SIZE_MAX;
            tail_class.resume(f.driver);
        }
        assert_true(host_wait_events(&f.host, f.loop, 5, HOST_WAIT_MS));
        host_run(f.loop, 100);
        assert_int_equal(f.host.event_count, 5);
        fixture_release(&f);
    }
}

/* Several generations that were copied and truncated, while the agent ran, or not, or was started
 * in between and had no room: each line once, the older generation first. */
static void copies_keep_their_order(void **state)
{
    (void)state;
    for (unsigned started_at = 3; started_at <= 7; started_at++) {
        bool restart = started_at > 3;
        struct fixture f;
        fixture_init(&f, "a.log*");
        append(&f, "a.log", "line 1\nline 2\n");
        fixture_start(&f);
        expect(&f, 1, "line 2");
        (void)host_commit(&f.host);
        f.host.room = 0;
        if (restart) {
            fixture_stop(&f);
            host_crash(&f.host);
        }
        append(&f, "a.log", "line 3\n");
        for (unsigned n = 4; n <= 6; n++) {
            char text[32];
            snprintf(text, sizeof text, "line %u%*s\n", n, (int)(9 - n), "");
            if (n == started_at) {
                fixture_start(&f);
            }
            host_run(f.loop, 30);
            (void)rename(path_of(&f, "a.log.2"), path_of(&f, "a.log.3"));
            (void)rename(path_of(&f, "a.log.1"), path_of(&f, "a.log.2"));
            copy_and_truncate(&f, "a.log", "a.log.1");
            append(&f, "a.log", text);
        }
        f.host.room = SIZE_MAX;
        if (started_at > 6) {
            fixture_start(&f);
        } else {
            host_run(f.loop, 30);
            tail_class.resume(f.driver);
        }
        for (unsigned n = 1; n <= 6; n++) {
            char text[32];
            snprintf(text, sizeof text, "line %u%*s", n, n < 4 ? 0 : (int)(9 - n), "");
            expect(&f, n - 1, text);
        }
        host_run(f.loop, 100);
        assert_int_equal(f.host.event_count, 6);
        fixture_release(&f);
    }
}

/* A scan finds the copy when nothing, or only its beginning, has been written. */
static void a_copy_that_is_being_written_is_not_read_twice(void **state)
{
    (void)state;
    static const char whole[] = "first line\n2\n3\n";
    for (size_t written = 0; written <= 8; written += 8) {
        struct fixture f;
        fixture_init(&f, "a.log*");
        append(&f, "a.log", "first line\n2\n");
        fixture_start(&f);
        expect(&f, 1, "2");
        append_bytes(&f, "a.log.1", whole, written);
        host_run(f.loop, 40);
        f.host.room = 0;
        append(&f, "a.log", "3\n");
        append(&f, "a.log.1", whole + written);
        assert_int_equal(truncate(path_of(&f, "a.log"), 0), 0);
        append(&f, "a.log", "4\n");
        host_run(f.loop, 40);
        f.host.room = SIZE_MAX;
        tail_class.resume(f.driver);
        expect(&f, 2, "3");
        expect(&f, 3, "4");
        host_run(f.loop, 100);
        assert_int_equal(f.host.event_count, 4);
        fixture_release(&f);
    }
}

/* While the agent is down a copy is made in a file that it knows: one that was deleted and whose
 * inode is used again, or one that is copied over. */
static void a_copy_over_a_known_file_is_not_read_twice(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "a.log*");
    append(&f, "a.log.1", "0, long ago\n");
    fixture_start(&f);
    expect(&f, 0, "0, long ago");
    append(&f, "a.log", "1\n2\n");
    expect(&f, 2, "2");
    (void)host_commit(&f.host);
    fixture_stop(&f);
    append(&f, "a.log", "3\n");
    assert_int_equal(truncate(path_of(&f, "a.log.1"), 0), 0);
    copy_and_truncate(&f, "a.log", "a.log.1");
    append(&f, "a.log", "four\n");
    fixture_start(&f);
    expect(&f, 3, "3");
    expect(&f, 4, "four");
    host_run(f.loop, 100);
    assert_int_equal(f.host.event_count, 5);
    fixture_release(&f);
}

/* A scan that runs while logrotate shifts its numbers may miss a file; that must not make it a new
 * one, be it open or known by its cursor only. */
static void a_file_out_of_sight_for_a_moment_is_not_read_twice(void **state)
{
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct fixture f;
        fixture_init(&f, "*.log");
        setting_number(&f, "rotate_wait", 3000); /* also when this process pauses */
        append(&f, "a.log", "1\n2\n");
        fixture_start(&f);
        expect(&f, 1, "2");
        (void)host_commit(&f.host);
        if (restart) {
            fixture_stop(&f);
        } else {
            host_run(f.loop, 3100); /* quiet for longer than rotate_wait */
        }
        char away[64];
        host_folder(away);
        char hidden[128];
        snprintf(hidden, sizeof hidden, "%s/a.log", away);
        assert_int_equal(rename(path_of(&f, "a.log"), hidden), 0);
        if (restart) {
            fixture_start(&f);
        }
        host_run(f.loop, 50);
        assert_int_equal(rename(hidden, path_of(&f, "a.log")), 0);
        append(&f, "a.log", "3\n");
        expect(&f, 2, "3");
        host_run(f.loop, 100);
        assert_int_equal(f.host.event_count, 3);
        host_folder_remove(away);
        fixture_release(&f);
    }
}

/* A scan that was made before the agent paused says nothing of the time since: what was written to a
 * rotated file meanwhile is read. Some of these pause with such a scan. */
static void what_is_written_during_a_pause_is_read(void **state)
{
    (void)state;
    static struct fixture all[8];
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        struct fixture *f = &all[i];
        fixture_init(f, "a.log");
        setting_number(f, "rotate_wait", 1000);
        append(f, "a.log", "1\n");
        fixture_start(f);
        expect(f, 0, "1");
        assert_int_equal(rename(path_of(f, "a.log"), path_of(f, "a.log.1")), 0);
        host_run(f->loop, 30);
        for (size_t turns = 0; turns < i; turns++) {
            assert_int_equal(loop_turn(f->loop, 20), ERR_OK);
        }
    }
    (void)poll(NULL, 0, 1100);
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        append(&all[i], "a.log.1", "2\n");
        expect(&all[i], 1, "2");
        fixture_release(&all[i]);
    }
}

/* Same first line, a name like a rotated one, but another file: it must not be taken for a copy. */
static void a_file_that_only_begins_alike_is_read(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "a.log*");
    append(&f, "a.log", "header\n1\n2\n");
    fixture_start(&f);
    expect(&f, 2, "2");
    append(&f, "a.log.other", "header\n");
    host_run(f.loop, 60);
    append(&f, "a.log.other", "3\n4\n");
    assert_true(host_wait_events(&f.host, f.loop, 6, HOST_WAIT_MS));
    assert_string_equal(f.host.events[5].body, "4");
    fixture_release(&f);
}

/* That of the first start, and that of a.log. */
static bool has_first_cursors(void *context)
{
    return ((struct fixture *)context)->host.pending_count == 2;
}

static void from_end_skips_only_what_is_there_at_the_first_start(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "*.log");
    setting_number(&f, "from", 1);
    append(&f, "a.log", "old\n");
    fixture_start(&f);
    assert_true(host_wait(f.loop, has_first_cursors, &f, HOST_WAIT_MS));
    (void)host_commit(&f.host);
    append(&f, "a.log", "new\n");
    append(&f, "b.log", "from its beginning\n");
    assert_true(host_wait_events(&f.host, f.loop, 2, HOST_WAIT_MS));
    fixture_stop(&f);
    host_crash(&f.host);
    fixture_start(&f);
    assert_true(host_wait_events(&f.host, f.loop, 2, HOST_WAIT_MS));
    host_run(f.loop, 40);
    assert_int_equal(f.host.event_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_not_equal(f.host.events[i].body, "old");
    }
    fixture_release(&f);
}

static void a_partial_line_is_taken_when_asked_for(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "*.log");
    setting_number(&f, "flush_partial_after", 40);
    append(&f, "a.log", "prompt> ");
    fixture_start(&f);
    expect(&f, 0, "prompt> ");
    append(&f, "a.log", "more\n");
    expect(&f, 1, "more");
    assert_int_equal(host_counter(&f.host, "partial_lines"), 1);
    fixture_release(&f);
}

static void too_many_files_are_reported(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "*.log");
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.log", i);
        append(&f, name, "x\n");
    }
    fixture_start(&f);
    assert_true(host_wait_events(&f.host, f.loop, 8, HOST_WAIT_MS));
    assert_true(host_wait_fault(&f.host, f.loop, "files_max"));
    host_run(f.loop, 40);
    assert_int_equal(f.host.event_count, 8);
    assert_int_equal(unlink(path_of(&f, "0.log")), 0);
    assert_int_equal(unlink(path_of(&f, "1.log")), 0);
    assert_true(
        host_wait_events(&f.host, f.loop, 10, HOST_WAIT_MS)); /* their places are free again */
    assert_true(host_wait_fault(&f.host, f.loop, ""));
    fixture_release(&f);
}

/* Whatever the order of writing, rotating by renaming, restarting and running out of room: each
 * line once. */
static void model_step(struct fixture *f, unsigned *seed, unsigned *written)
{
    *seed = *seed * 1103515245u + 12345u;
    unsigned chance = *seed >> 16;
    char text[64];
    switch (chance % 8) {
    case 0:
    case 1:
    case 2: /* in two parts, so that anything may come in the middle of a line */
        snprintf(text, sizeof text, "line %u of the ", *written);
        append(f, "m.log", text);
        if (chance & 0x100) {
            host_run(f->loop, 7);
        }
        snprintf(text, sizeof text, "model\nline %u of the model\n", *written + 1);
        append(f, "m.log", text);
        *written += 2;
        break;
    case 3: /* logrotate with "create"; nothing is deleted, or a crash would lose it for good */
        snprintf(text, sizeof text, "m.log.%u", ++f->rotations);
        (void)rename(path_of(f, "m.log"), path_of(f, text));
        append(f, "m.log", "");
        break;
    case 4:
        host_run(f->loop, 15);
        break;
    case 5:
        (void)host_commit(&f->host);
        break;
    case 6:
        fixture_stop(f);
        host_crash(&f->host);
        f->host.room = SIZE_MAX;
        fixture_start(f);
        break;
    default:
        f->host.room = chance >> 4 & 3;
        host_run(f->loop, 12);
        f->host.room = SIZE_MAX;
        tail_class.resume(f->driver);
        break;
    }
}

static void each_line_comes_once(void **state)
{
    (void)state;
    for (unsigned round = 1; round <= 12; round++) {
        struct fixture f;
        fixture_init(&f, "m.log*");
        setting_number(&f, "files_max", 64);
        setting_number(&f, "rotate_wait", 1000);
        fixture_start(&f);
        unsigned seed = round;
        unsigned written = 0;
        for (int i = 0; i < 60; i++) {
            model_step(&f, &seed, &written);
            host_run(f.loop, seed >> 20 & 7 ? 0 : 12);
        }
        assert_true(host_wait_events(&f.host, f.loop, written, HOST_WAIT_MS));
        host_run(f.loop, 30);
        unsigned char *count = calloc(written + 1, 1);
        assert_non_null(count);
        for (size_t i = 0; i < f.host.event_count; i++) {
            unsigned number = written;
            assert_int_equal(sscanf(f.host.events[i].body, "line %u of the model", &number), 1);
            assert_true(number < written);
            count[number]++;
        }
        for (unsigned i = 0; i < written; i++) {
            if (count[i] != 1) {
                fail_msg("round %u: line %u of %u came %u times", round, i, written, count[i]);
            }
        }
        free(count);
        fixture_release(&f);
    }
}

/* What a job brings when the file is truncated, or written anew, just after its data was read. */
static void a_file_cut_while_it_is_read_is_truncated(void **state)
{
    (void)state;
    static uint8_t data[] = "one\ntwo\n";
    struct tail_file file = {.is_used = true, .fd = -1};
    struct tail_read read_ = {.data = data, .size = 8, .head_size = 8, .file_size = 8};
    memcpy(read_.head, data, 8);
    assert_true(tail_file_check(&file, &read_));
    assert_false(file.is_truncated);
    read_.file_size = read_.head_size = 0;
    assert_false(tail_file_check(&file, &read_));
    assert_true(file.is_truncated);
    file.is_truncated = false;
    read_.file_size = read_.head_size = 9;
    memcpy(read_.head, "six\nfive\n", 9);
    assert_false(tail_file_check(&file, &read_));
    assert_true(file.is_truncated);
}

/* As a user who may not do everything. */
static void what_may_not_be_read_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *pattern; /* of the paths */
        const char *closed;  /* what is closed to that user */
        mode_t mode;
        const char *fault;
    } cases[] = {{"*.log", "a.log", 0, "can't open "},
                 {"a.log", "a.log", 0, "can't open "},
                 {"sub/*.log", "sub", 0, "can't look at "},
                 {"sub/b.log", "sub", 0, "can't look at "},
                 {"sub/*.log", "sub", 0111, "can't list "}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture f;
        uid_t user = geteuid();
        fixture_init(&f, cases[i].pattern);
        append(&f, "a.log", "one\n");
        assert_int_equal(mkdir(path_of(&f, "sub"), 0700), 0);
        append(&f, "sub/b.log", "two\n");
        assert_int_equal(chmod(f.folder, 0755), 0);
        assert_int_equal(chmod(path_of(&f, cases[i].closed), cases[i].mode), 0);
        assert_int_equal(user == 0 ? seteuid(65534) : 0, 0);
        fixture_start(&f);
        uint64_t end_ms = clock_monotonic_ms() + HOST_WAIT_MS;
        while (!f.host.fault[0] && clock_monotonic_ms() < end_ms) {
            assert_int_equal(loop_turn(f.loop, 20), ERR_OK);
        }
        assert_int_equal(seteuid(user), 0);
        if (!strstr(f.host.fault, cases[i].fault) || !strstr(f.host.fault, "Permission denied")) {
            fail_msg("%s: \"%s\"", cases[i].pattern, f.host.fault);
        }
        assert_int_equal(chmod(path_of(&f, cases[i].closed), 0700), 0);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_offered_with_their_place),
        cmocka_unit_test(any_byte_is_part_of_a_line),
        cmocka_unit_test(a_line_of_ten_megabytes_is_set_aside_cut),
        cmocka_unit_test(a_restart_goes_on_where_the_commit_was),
        cmocka_unit_test(renamed_files_are_read_to_their_end),
        cmocka_unit_test(a_file_rotated_while_the_agent_was_down_is_found_in_its_folder),
        cmocka_unit_test(a_truncated_file_is_read_from_its_beginning),
        cmocka_unit_test(a_file_cut_while_it_is_read_is_truncated),
        cmocka_unit_test(a_copy_is_not_read_twice),
        cmocka_unit_test(copies_keep_their_order),
        cmocka_unit_test(a_copy_that_is_being_written_is_not_read_twice),
        cmocka_unit_test(a_copy_over_a_known_file_is_not_read_twice),
        cmocka_unit_test(a_file_out_of_sight_for_a_moment_is_not_read_twice),
        cmocka_unit_test(what_is_written_during_a_pause_is_read),
        cmocka_unit_test(a_file_that_only_begins_alike_is_read),
        cmocka_unit_test(from_end_skips_only_what_is_there_at_the_first_start),
        cmocka_unit_test(a_partial_line_is_taken_when_asked_for),
        cmocka_unit_test(what_may_not_be_read_is_told),
        cmocka_unit_test(too_many_files_are_reported),
        cmocka_unit_test(each_line_comes_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
