/* The file uplink: what is written is read back by the container reader; crashes at each step. */
#include <dirent.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ports/clock.h"
#include "ports/file.h"
#include "tests/cmocka.h"
#include "tests/drivers/host_double.h"
#include "uplink/avro/container.h"
#include "uplink/file/disk.h"
#include "uplink/file/file.h"

/* --- crashes: the k-th call that changes the disk ends the process, half done --- */

static int crash_at; /* 0: never */
static int crash_calls;

static bool disk_is_full; /* these are set while no job is under way */
static bool reads_fail;
static bool folder_sync_fails;
static int full_calls;

static bool crash_now(void)
{
    return crash_at && ++crash_calls == crash_at;
}

ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    if (size != 8 && crash_now()) { /* 8: the loop's event descriptors */
        if (__real_write(fd, data, size / 2) < 0) {
            _exit(1);
        }
        _exit(137);
    }
    if (disk_is_full && size != 8) { /* half of it fits */
        if (full_calls++ % 2 == 0) {
            return __real_write(fd, data, size / 2);
        }
        errno = ENOSPC;
        return -1;
    }
    return __real_write(fd, data, size);
}

/* The name of what is open under `fd`. */
static void path_of(int fd, char ret[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, ret, PATH_MAX - 1);
    ret[size > 0 ? size : 0] = 0;
}

/* Open files can't be read; their state can. */
ssize_t __wrap_read(int fd, void *data, size_t size)
{
    char path[PATH_MAX] = "";
    if (reads_fail) {
        path_of(fd, path);
    }
    if (strstr(path, ".part")) {
        errno = EIO;
        return -1;
    }
    return __real_read(fd, data, size);
}

int __wrap_fsync(int fd)
{
    if (crash_now()) {
        _exit(137);
    }
    char path[PATH_MAX] = "";
    if (folder_sync_fails) {
        path_of(fd, path);
    }
    if (strstr(path, "/temp_a/") && !strstr(path, ".part")) { /* where the finished file is */
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    if (crash_now()) {
        _exit(137);
    }
    int failed = __real_fdatasync(fd);
    if (crash_now()) {
        _exit(137); /* on the disk, and nobody was told */
    }
    return failed;
}

int __wrap_rename(const char *from, const char *to)
{
    if (crash_now()) {
        _exit(137);
    }
    int failed = __real_rename(from, to);
    if (crash_now()) {
        _exit(137);
    }
    return failed;
}

/* --- forward's end --- */

struct uplink_host {
    struct send_report report;
    unsigned done_count;
    unsigned ready_count;
    char fault[WHY_SIZE_MAX];
};

void uplink_done(struct uplink_host *host, struct batch *batch, const struct send_report *report)
{
    (void)batch;
    host->report = *report;
    host->done_count++;
}

void uplink_ready(struct uplink_host *host)
{
    host->ready_count++;
}

void uplink_fault(struct uplink_host *host, const struct why *why)
{
    snprintf(host->fault, sizeof host->fault, "%s", why ? why->text : "");
}

void uplink_count(struct uplink_host *host, const char *name, uint64_t add)
{
    (void)host;
    (void)name;
    (void)add;
}

static const char schema_text[] = "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"n\","
                                  "\"type\":\"long\"}]}";
static const struct stream_info stream = {.number = 3, .name = "temp/a"};
static const struct schema_info schemas[2] = {
    {.number = 1, .json = {(const uint8_t *)schema_text, sizeof schema_text - 1}},
    {.number = 2, .json = {(const uint8_t *)schema_text, sizeof schema_text - 1}},
};

struct fixture {
    struct loop *loop;
    struct uplink_host host;
    struct uplink *uplink;
    struct file_options options;
    char folder[64];
};

static void fixture_open(struct fixture *f)
{
    assert_int_equal(loop_open(&f->loop), ERR_OK);
    struct uplink_setup setup = {.host = &f->host,
                                 .loop = f->loop,
                                 .options = &f->options,
                                 .agent_id = "agent",
                                 .incarnation = 0xabcd};
    assert_int_equal(file_class.open(&f->uplink, &setup, NULL), ERR_OK);
}

static void fixture_close(struct fixture *f)
{
    file_class.stop(f->uplink, 0);
    file_class.close(f->uplink);
    loop_close(f->loop);
}

static void fixture_prepare(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    host_folder(f->folder);
    f->options = (struct file_options){.path = f->folder,
                                       .name = "{stream}/%Y-%m-%d/{agent}-{incarnation}-{number}",
                                       .codec = CONTAINER_DEFLATE,
                                       .size_max = 1 << 20,
                                       .time_max_ms = 3600000};
}

/* --- batches of numbered events --- */

struct parcel_batch {
    struct parcel parcel;
    struct batch batch;
    uint8_t wire[8192];
};

static void batch_make(struct fixture *f, struct parcel_batch *b, uint64_t first, unsigned count,
                       const struct schema_info *schema)
{
    uint8_t datums[64 * 10];
    struct message messages[64];
    size_t at = 0;
    assert_true(count <= ARRAY_COUNT(messages));
    for (unsigned i = 0; i < count; i++) {
        struct out out = out_over(datums + at, sizeof datums - at);
        out_put_varint(&out, (int64_t)(first + i));
        messages[i] = (struct message){.body = out_slice(&out),
                                       .sequence = first + i,
                                       .time_us = INT64_C(1772368496000000),
                                       .event_count = 1};
        at += out.size;
    }
    b->batch = (struct batch){.parcel = &b->parcel,
                              .part = &b->parcel.parts[0],
                              .stream = &stream,
                              .schema = schema,
                              .messages = messages,
                              .message_count = count,
                              .wire_memory = b->wire,
                              .first = first,
                              .last = first + count - 1,
                              .event_count = count};
    struct why why;
    while (file_class.target(f->uplink, &stream, schema, &b->batch.target, &why) == ERR_AGAIN) {
        assert_int_equal(loop_turn(f->loop, 100), ERR_OK);
    }
    struct out wire = out_over(b->wire, sizeof b->wire);
    b->parcel.layout = LAYOUT_ROWS;
    assert_int_equal(file_class.wrap(&f->options, &b->batch, &wire), ERR_OK);
    b->batch.wire = out_slice(&wire);
    b->batch.messages = NULL;
}

static void batch_assign(struct fixture *f, struct parcel_batch *b)
{
    const uint32_t part = 0;
    b->parcel.stream = stream.number;
    b->parcel.schema = b->batch.schema->number;
    b->parcel.part_count = 1;
    while (file_class.assign(f->uplink, &b->parcel, &part, 1) == ERR_AGAIN) {
        assert_int_equal(loop_turn(f->loop, 100), ERR_OK);
    }
    assert_true(b->parcel.parts[0].assigned);
}

static enum send_result batch_send(struct fixture *f, struct parcel_batch *b)
{
    unsigned before = f->host.done_count;
    file_class.send(f->uplink, &b->batch);
    assert_int_equal(f->host.done_count, before); /* never within send() */
    while (f->host.done_count == before) {
        assert_int_equal(loop_turn(f->loop, 100), ERR_OK);
    }
    return f->host.report.result;
}

static void send_new(struct fixture *f, uint64_t first, unsigned count,
                     const struct schema_info *schema)
{
    struct parcel_batch b = {0};
    batch_make(f, &b, first, count, schema);
    batch_assign(f, &b);
    assert_int_equal(batch_send(f, &b), SEND_OK);
}

/* --- reading back --- */

struct found {
    unsigned char count[1024]; /* of each number */
    unsigned files;
    unsigned parts;
};

static enum err read_more(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    *ret_size = fread(data, 1, size, context);
    return ERR_OK;
}

static void find_in(const char *path, struct found *found)
{
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    struct container_reader *reader = NULL;
    struct why why = {{0}};
    assert_int_equal(container_reader_open(&reader, read_more, in, &why), ERR_OK);
    uint64_t count;
    struct slice raw;
    enum err e;
    assert_true(slice_equal_text(container_meta_find(reader, "weir.stream"), "temp/a"));
    while ((e = container_block(reader, &count, &raw, &why)) == ERR_OK) {
        int64_t number;
        while (count--) {
            assert_true(slice_take_varint(&raw, &number));
            assert_in_range(number, 0, sizeof found->count - 1);
            found->count[number]++;
        }
        assert_int_equal(raw.size, 0);
    }
    assert_int_equal(e, ERR_CLOSED); /* a finished file is whole */
    container_reader_close(reader);
    fclose(in);
}

static void find(const char *folder, struct found *found)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        char path[512];
        struct stat s;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || stat(path, &s) != 0) {
            continue;
        }
        if (S_ISDIR(s.st_mode)) {
            find(path, found);
        } else if (strstr(entry->d_name, ".part")) {
            found->parts++;
        } else {
            found->files++;
            find_in(path, found);
        }
    }
    closedir(dir);
}

static void expect_each_once(struct fixture *f, uint64_t count)
{
    struct found found = {0};
    find(f->folder, &found);
    assert_int_equal(found.parts, 0);
    for (uint64_t i = 0; i < count; i++) {
        if (found.count[i] != 1) {
            fail_msg("event %u is there %u times", (unsigned)i, found.count[i]);
        }
    }
}

/* --- tests --- */

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
    host_run(f.loop, 2200);
    expect_each_once(&f, 70); /* finished without being closed */
    fixture_close(&f);
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
    disk_is_full = true;
    enum send_result first = batch_send(&f, &b);
    enum send_result second = batch_send(&f, &b);
    disk_is_full = false;
    assert_int_equal(first, SEND_RETRY);
    assert_int_equal(second, SEND_RETRY);
    assert_non_null(strstr(f.host.fault, "the disk is full"));
    f.options.free_min = INT64_MAX / 2;
    assert_int_equal(batch_send(&f, &b), SEND_RETRY);
    assert_non_null(strstr(f.host.report.text, "free_min"));
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
                crash_at = at;
                crash_calls = 0;
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
        enum err e = file_class.assign(f.uplink, &b.parcel, &part, 1);
        assert_true(e == ERR_OK || e == ERR_AGAIN);
        host_run(f.loop, 100);
    }
    assert_true(b.parcel.parts[0].assigned);
    host_run(f.loop, 1500); /* the file has become old meanwhile */
    b.parcel.parts[0].assigned = false;
    for (unsigned i = 0; i < 50 && !b.parcel.parts[0].assigned; i++) {
        enum err e = file_class.assign(f.uplink, &b.parcel, &part, 1);
        assert_true(e == ERR_OK || e == ERR_AGAIN);
        host_run(f.loop, 100);
    }
    assert_true(b.parcel.parts[0].assigned);
    assert_int_equal(batch_send(&f, &b), SEND_OK);
    fixture_close(&f);
    expect_each_once(&f, 20);
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
    reads_fail = true;
    enum err e = file_disk_recover(&disk, &why);
    reads_fail = false;
    assert_int_equal(e, ERR_IO);
    assert_non_null(strstr(why.text, ".part"));
    assert_int_equal(file_disk_recover(&disk, &why), ERR_OK);
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
    folder_sync_fails = true;
    host_run(f.loop, 1500);
    folder_sync_fails = false;
    assert_non_null(strstr(f.host.fault, "sync"));
    struct parcel_batch b = {0};
    batch_make(&f, &b, 10, 10, &schemas[0]);
    enum send_result result = SEND_REASSIGN;
    for (unsigned i = 0; i < 5 && result == SEND_REASSIGN; i++) {
        b.parcel.parts[0].assigned = false;
        batch_assign(&f, &b);
        result = batch_send(&f, &b);
    }
    assert_int_equal(result, SEND_OK);
    host_run(f.loop, 1500);
    assert_string_equal(f.host.fault, ""); /* the next file was finished, too */
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
        assert_int_equal(file_class.target(g.uplink, &stream, &schemas[0], &target, &why),
                         ERR_AGAIN);
        host_run(g.loop, 20);
    }
    assert_non_null(strstr(g.host.fault, "give each a folder of its own"));
    fixture_close(&f);
    host_run(g.loop, 5100); /* once it is alone, it works */
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
    struct file_name name = {.stream = "../a", .agent = "b/c", .number = 7, .first = 9};
    struct out out = out_over(memory, sizeof memory);
    assert_int_equal(file_name_write("{stream}%%{agent}-{first}", &name, &out, NULL), ERR_OK);
    assert_string_equal((char *)memory, "_._a%b_c-000000000009");
    static const char *const bad[] = {"{strem}", "%q", "{stream", "%", "{agent}"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        for (const struct option *o = file_class.options; o->name; o++) {
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
        cmocka_unit_test(a_batch_sent_again_is_written_once),
        cmocka_unit_test(a_full_disk_is_waited_for),
        cmocka_unit_test(every_crash_leaves_each_event_once),
        cmocka_unit_test(numbers_that_were_never_sent_are_given_again),
        cmocka_unit_test(what_cannot_be_read_is_not_cut_off),
        cmocka_unit_test(a_folder_that_cannot_be_synced_stops_nothing),
        cmocka_unit_test(two_writers_of_one_name_are_refused),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
