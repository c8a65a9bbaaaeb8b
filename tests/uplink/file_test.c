/* The file uplink: what is written is read back by the container reader; crashes at each step. */
#include "tests/uplink/file_fixture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ports/file.h"
#include "tests/cmocka.h"
#include "tests/drivers/host_double.h"
#include "uplink/file/file.h"

static void files_are_named_by_stream_and_date(void **state)
{
    (void)state;
    for (int codec = CONTAINER_NULL; codec <= CONTAINER_ZSTANDARD; codec++) {
        struct fixture f;
        fixture_prepare(&f);
        f.options.codec = codec;
        fixture_open(&f);
        send_new(&f, 0, 50, &schemas[0]);
        send_new(&f, 50, 50, &schemas[0]);
        char path[256];
        struct stat s;
        snprintf(path, sizeof path, "%s/temp_a/2026-03-01/agent-0000abcd-000001", f.folder);
        assert_int_equal(stat(path, &s), -1); /* not before it is whole */
        fixture_close(&f);
        assert_int_equal(stat(path, &s), 0);
        expect_each_once(&f, 100);
        host_folder_remove(f.folder);
    }
}

static void size_age_and_schema_begin_new_files(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    f.options.size_max = 300;
    fixture_open(&f);
    send_new(&f, 0, 10, &schemas[0]);
    send_new(&f, 10, 10, &schemas[1]);
    for (uint64_t i = 20; i < 60; i += 10) {
        send_new(&f, i, 10, &schemas[1]);
    }
    fixture_close(&f);
    expect_each_once(&f, 60);
    struct found found = {0};
    find(f.folder, &found);
    assert_in_range(found.files, 3, 6);
    f.options.size_max = 1 << 20;
    f.options.time_max_ms = 100;
    fixture_open(&f);
    send_new(&f, 60, 10, &schemas[1]);
    wait_finished(&f, found.files + 1);
    expect_each_once(&f, 70); /* finished without being closed */
    fixture_close(&f);
    host_folder_remove(f.folder);
}

/* A file says of all its events under which incarnation they were stored. */
static void another_incarnation_begins_a_new_file(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    fixture_open(&f);
    f.incarnation = 0x77; /* what another machine has left */
    send_new(&f, 0, 10, &schemas[0]);
    send_new(&f, 10, 10, &schemas[0]);
    f.incarnation = FILE_INCARNATION;
    send_new(&f, 20, 10, &schemas[0]);
    fixture_close(&f);
    expect_each_once(&f, 30);
    struct found found = {0};
    find(f.folder, &found);
    assert_int_equal(found.files, 2);
    assert_int_equal(found.others, 1);
    host_folder_remove(f.folder);
}

static void a_batch_sent_again_is_written_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    fixture_open(&f);
    send_new(&f, 0, 10, &schemas[0]);
    struct parcel_batch b = {0};
    batch_make(&f, &b, 10, 10, &schemas[0]);
    batch_assign(&f, &b);
    assert_int_equal(batch_send(&f, &b), SEND_OK);
    fixture_close(&f);
    fixture_open(&f); /* the answer was not committed: it comes again */
    struct parcel_batch again = {0};
    batch_make(&f, &again, 10, 10, &schemas[0]);
    again.parcel.parts[0] = b.parcel.parts[0];
    assert_int_equal(batch_send(&f, &again), SEND_OK);
    assert_true(f.host.report.was_duplicate);
    again.parcel.parts[0].base_sequence += 100000; /* one that was never written */
    assert_int_equal(batch_send(&f, &again), SEND_REASSIGN);
    fixture_close(&f);
    expect_each_once(&f, 20);
    host_folder_remove(f.folder);
}

/* The write fails in the middle of the block. */
static void a_full_disk_is_waited_for(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    f.options.codec = CONTAINER_NULL;
    fixture_open(&f);
    send_new(&f, 0, 60, &schemas[0]);
    struct parcel_batch b = {0};
    batch_make(&f, &b, 60, 60, &schemas[0]);
    batch_assign(&f, &b);
    disk_trouble.is_full = true;
    enum send_result first = batch_send(&f, &b);
    enum send_result second = batch_send(&f, &b);
    disk_trouble.is_full = false;
    assert_int_equal(first, SEND_RETRY);
    assert_int_equal(second, SEND_RETRY);
    assert_non_null(strstr(f.host.fault, "the disk is full"));
    f.options.free_min = INT64_C(1) << 50; /* the same words, whatever is left at each try */
    assert_int_equal(batch_send(&f, &b), SEND_RETRY);
    assert_non_null(
        strstr(f.host.report.text, "would leave less than free_min (1073741824.0 MiB): make room"));
    f.options.free_min = 0;
    assert_int_equal(batch_send(&f, &b), SEND_OK);
    assert_string_equal(f.host.fault, "");
    fixture_close(&f);
    expect_each_once(&f, 120);
    host_folder_remove(f.folder);
}

/* What forward has on record, across the crash: in a file of its own, written before each send. */
struct record {
    uint64_t next; /* the first event that is not done */
    struct part part;
};

static void life(struct fixture *f, struct record *record, uint64_t last)
{
    fixture_open(f);
    while (record->next < last) {
        struct parcel_batch b = {0};
        batch_make(f, &b, record->next, 10, &schemas[record->next % 40 == 0]);
        b.parcel.parts[0] = record->part;
        if (!record->part.assigned) {
            batch_assign(f, &b);
            record->part = b.parcel.parts[0];
        }
        enum send_result result = batch_send(f, &b);
        assert_true(result == SEND_OK || result == SEND_REASSIGN);
        memset(&record->part, 0, sizeof record->part);
        record->next += result == SEND_OK ? 10 : 0;
    }
    fixture_close(f);
}

static void every_crash_leaves_each_event_once(void **state)
{
    (void)state;
    bool is_over = false;
    int crashes = 0;
    for (int at = 1; !is_over; at++) {
        assert_true(at < 500);
        struct fixture f;
        fixture_prepare(&f);
        f.options.size_max = 350;
        f.options.codec = CONTAINER_NULL;
        struct record *record =
            mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(record, MAP_FAILED);
        for (int again = 0; again < 2; again++) { /* crash at the same place twice, then run on */
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                disk_trouble.crash_at = at;
                disk_trouble.crash_calls = 0;
                life(&f, record, 80);
                _exit(0);
            }
            int status;
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFEXITED(status));
            is_over = is_over || (again == 0 && WEXITSTATUS(status) == 0);
            crashes += WEXITSTATUS(status) == 137;
            assert_true(WEXITSTATUS(status) == 137 || WEXITSTATUS(status) == 0);
        }
        life(&f, record, 120);
        expect_each_once(&f, 120);
        assert_int_equal(munmap(record, sizeof *record), 0);
        host_folder_remove(f.folder);
    }
    assert_true(crashes > 60);
}

/* The commit that should have recorded the numbers failed: they are asked for again. */
static void numbers_that_were_never_sent_are_given_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    f.options.time_max_ms = 100;
    fixture_open(&f);
    send_new(&f, 0, 10, &schemas[0]);
    struct parcel_batch b = {0};
    const uint32_t part = 0;
    batch_make(&f, &b, 10, 10, &schemas[0]);
    batch_assign(&f, &b);
    b.parcel.parts[0].assigned = false;
    for (unsigned i = 0; i < 50 && !b.parcel.parts[0].assigned; i++) {
        enum err e = file_uplink_class.assign(f.uplink, &b.parcel, &part, 1);
        assert_true(e == ERR_OK || e == ERR_AGAIN);
        host_run(f.loop, 100);
    }
    assert_true(b.parcel.parts[0].assigned);
    host_run(f.loop, 1500); /* the file has become old meanwhile */
    b.parcel.parts[0].assigned = false;
    for (unsigned i = 0; i < 50 && !b.parcel.parts[0].assigned; i++) {
        enum err e = file_uplink_class.assign(f.uplink, &b.parcel, &part, 1);
        assert_true(e == ERR_OK || e == ERR_AGAIN);
        host_run(f.loop, 100);
    }
    assert_true(b.parcel.parts[0].assigned);
    assert_int_equal(batch_send(&f, &b), SEND_OK);
    fixture_close(&f);
    expect_each_once(&f, 20);
    host_folder_remove(f.folder);
}

/* A machine that loses power may keep any pages of a block whose sync had not returned: its end, and
 * not its middle. */
static void a_block_that_is_whole_and_wrong_is_written_anew(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 2;
         first++) { /* as the file's second block, and as its first */
        struct fixture f;
        fixture_prepare(&f);
        f.options.codec = CONTAINER_NULL;
        struct parcel_batch *b =
            mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(b, MAP_FAILED);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            fixture_open(&f);
            if (first == 0) {
                send_new(&f, 0, 10, &schemas[0]);
            }
            batch_make(&f, b, 10, 10, &schemas[0]);
            batch_assign(&f, b);
            _exit(batch_send(&f, b) != SEND_OK);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        char path[256];
        snprintf(path, sizeof path, "%s/temp_a/2026-03-01/agent-0000abcd-000001.part", f.folder);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        off_t end = lseek(fd, 0, SEEK_END);
        const uint8_t wrong = 2; /* another number */
        assert_int_equal(pwrite(fd, &wrong, 1, end - CONTAINER_SYNC_SIZE - 5), 1);
        close(fd);
        fixture_open(&f);
        struct parcel_batch again = {0};
        batch_make(&f, &again, 10, 10, &schemas[0]);
        again.parcel.parts[0] = b->parcel.parts[0];
        enum send_result result = batch_send(&f, &again);
        if (result == SEND_REASSIGN) {
            again.parcel.parts[0].assigned = false;
            batch_assign(&f, &again);
            result = batch_send(&f, &again);
        }
        assert_int_equal(result, SEND_OK);
        if (first == 1) {
            send_new(&f, 0, 10, &schemas[0]);
        }
        fixture_close(&f);
        expect_each_once(&f, 20);
        assert_int_equal(munmap(b, sizeof *b), 0);
        host_folder_remove(f.folder);
    }
}

static void what_a_crash_left_is_finished_without_new_events(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fixture_open(&f);
        send_new(&f, 0, 40, &schemas[0]);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    fixture_open(&f);
    struct target target;
    struct why why;
    assert_int_equal(file_uplink_class.target(f.uplink, &stream, &schemas[0], &target, &why),
                     ERR_AGAIN);
    wait_finished(&f, 1);
    expect_each_once(&f, 40);
    fixture_close(&f);
    host_folder_remove(f.folder);
}

/* What can't be read at a start is not taken for a torn block: it is left until it can. */
static void what_cannot_be_read_is_not_cut_off(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fixture_open(&f);
        send_new(&f, 0, 40, &schemas[0]);
        _exit(0); /* with its file open */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    struct file_disk disk = {.options = &f.options,
                             .agent_id = "agent",
                             .incarnation = 0xabcd,
                             .stream = stream.name,
                             .lock_fd = -1,
                             .fd = -1};
    struct why why = {""};
    disk_trouble.reads_fail = true;
    enum err e = file_disk_recover(&disk, &why);
    disk_trouble.reads_fail = false;
    assert_int_equal(e, ERR_IO);
    assert_non_null(strstr(why.text, ".part"));
    assert_int_equal(file_disk_recover(&disk, &why), ERR_OK);
    assert_int_equal(file_disk_finish(&disk, &why), ERR_OK);
    file_disk_release(&disk);
    expect_each_once(&f, 40);
    host_folder_remove(f.folder);
}

/* The name is given, its folder can't be synced: it counts as finished, and work goes on. */
static void a_folder_that_cannot_be_synced_stops_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    f.options.time_max_ms = 100;
    fixture_open(&f);
    send_new(&f, 0, 10, &schemas[0]);
    disk_trouble.folder_sync_fails = true;
    wait_fault(&f, "sync");
    disk_trouble.folder_sync_fails = false;
    struct parcel_batch b = {0};
    batch_make(&f, &b, 10, 10, &schemas[0]);
    enum send_result result = SEND_REASSIGN;
    for (unsigned i = 0; i < 5 && result == SEND_REASSIGN; i++) {
        b.parcel.parts[0].assigned = false;
        batch_assign(&f, &b);
        result = batch_send(&f, &b);
    }
    assert_int_equal(result, SEND_OK);
    wait_fault(&f, ""); /* the next file was finished, too */
    fixture_close(&f);
    expect_each_once(&f, 20);
    host_folder_remove(f.folder);
}

static void two_writers_of_one_name_are_refused(void **state)
{
    (void)state;
    struct fixture f, g;
    fixture_prepare(&f);
    g = f;
    g.options.path = g.folder;
    fixture_open(&f);
    fixture_open(&g);
    send_new(&f, 0, 10, &schemas[0]);
    struct target target;
    struct why why;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(file_uplink_class.target(g.uplink, &stream, &schemas[0], &target, &why),
                         ERR_AGAIN);
        host_run(g.loop, 20);
    }
    wait_fault(&g, "give each a folder of its own");
    assert_int_equal(file_uplink_class.target(g.uplink, &stream, &schemas[0], &target, &why),
                     ERR_AGAIN);
    fixture_close(&f); /* once it is alone, it works */
    send_new(&g, 10, 10, &schemas[0]);
    assert_string_equal(g.host.fault, "");
    fixture_close(&g);
    expect_each_once(&f, 20);
    host_folder_remove(f.folder);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_prepare(&f);
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%s", f.folder);
    for (; size < PATH_MAX - 8; size++) {
        path[size] = size % 200 == 0 ? '/' : 'x';
    }
    path[size] = 0;
    f.options.path = path;
    struct file_disk disk = {
        .options = &f.options, .agent_id = "a", .stream = "s", .lock_fd = -1, .fd = -1};
    struct why why;
    assert_int_equal(file_disk_recover(&disk, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "too long"));
    host_folder_remove(f.folder);
}

static void names_are_checked(void **state)
{
    (void)state;
    uint8_t memory[64];
    struct object_name name = {.stream = "../a", .agent = "b/c", .number = 7, .first = 9};
    struct out out = out_over(memory, sizeof memory);
    assert_int_equal(object_name_write("{stream}%%{agent}-{first}", &name, &out, NULL), ERR_OK);
    assert_string_equal((char *)memory, "_._a%b_c-000000000009");
    static const char *const bad[] = {"{strem}", "%q", "{stream", "%", "{agent}"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        for (const struct option *o = file_uplink_class.options; o->name; o++) {
            if (o->check) {
                assert_int_equal(o->check(&bad[i], NULL), ERR_CONFIG);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(files_are_named_by_stream_and_date),
        cmocka_unit_test(size_age_and_schema_begin_new_files),
        cmocka_unit_test(another_incarnation_begins_a_new_file),
        cmocka_unit_test(a_batch_sent_again_is_written_once),
        cmocka_unit_test(a_full_disk_is_waited_for),
        cmocka_unit_test(every_crash_leaves_each_event_once),
        cmocka_unit_test(numbers_that_were_never_sent_are_given_again),
        cmocka_unit_test(a_block_that_is_whole_and_wrong_is_written_anew),
        cmocka_unit_test(what_a_crash_left_is_finished_without_new_events),
        cmocka_unit_test(what_cannot_be_read_is_not_cut_off),
        cmocka_unit_test(a_folder_that_cannot_be_synced_stops_nothing),
        cmocka_unit_test(two_writers_of_one_name_are_refused),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
