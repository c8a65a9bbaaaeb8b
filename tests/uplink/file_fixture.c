#include "tests/uplink/file_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "ports/clock.h"
#include "tests/cmocka.h"
#include "tests/drivers/host_double.h"
#include "uplink/file/file.h"

/* --- crashes: the k-th call that changes the disk ends the process, half done --- */

struct disk_trouble disk_trouble;

static bool crash_now(void)
{
    return disk_trouble.crash_at && ++disk_trouble.crash_calls == disk_trouble.crash_at;
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
    if (disk_trouble.is_full && size != 8) { /* half of it fits */
        if (disk_trouble.full_calls++ % 2 == 0) {
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
    if (disk_trouble.reads_fail) {
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
    if (disk_trouble.folder_sync_fails) {
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
const struct stream_info stream = {.number = 3, .name = "temp/a"};
const struct schema_info schemas[2] = {
    {.number = 1, .json = {(const uint8_t *)schema_text, sizeof schema_text - 1}},
    {.number = 2, .json = {(const uint8_t *)schema_text, sizeof schema_text - 1}},
};

void fixture_open(struct fixture *f)
{
    assert_int_equal(loop_open(&f->loop), ERR_OK);
    struct uplink_setup setup = {.host = &f->host,
                                 .loop = f->loop,
                                 .options = &f->options,
                                 .agent_id = "agent",
                                 .incarnation = FILE_INCARNATION};
    assert_int_equal(file_uplink_class.open(&f->uplink, &setup, NULL), ERR_OK);
}

void fixture_close(struct fixture *f)
{
    file_uplink_class.stop(f->uplink, 0);
    file_uplink_class.close(f->uplink);
    loop_close(f->loop);
}

void fixture_prepare(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->incarnation = FILE_INCARNATION;
    host_folder(f->folder);
    f->options = (struct file_options){.path = f->folder,
                                       .name = "{stream}/%Y-%m-%d/{agent}-{incarnation}-{number}",
                                       .codec = CONTAINER_DEFLATE,
                                       .size_max = 1 << 20,
                                       .time_max_ms = 3600000};
}

/* --- batches of numbered events --- */

void batch_make(struct fixture *f, struct parcel_batch *b, uint64_t first, unsigned count,
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
    while (file_uplink_class.target(f->uplink, &stream, schema, &b->batch.target, &why) ==
           ERR_AGAIN) {
        assert_int_equal(loop_turn(f->loop, 100), ERR_OK);
    }
    struct out wire = out_over(b->wire, sizeof b->wire);
    b->parcel.layout = LAYOUT_ROWS;
    b->parcel.incarnation = f->incarnation;
    assert_int_equal(file_uplink_class.wrap(&f->options, &b->batch, &wire), ERR_OK);
    b->batch.wire = out_slice(&wire);
    b->batch.messages = NULL;
}

void batch_assign(struct fixture *f, struct parcel_batch *b)
{
    const uint32_t part = 0;
    b->parcel.stream = stream.number;
    b->parcel.schema = b->batch.schema->number;
    b->parcel.part_count = 1;
    while (file_uplink_class.assign(f->uplink, &b->parcel, &part, 1) == ERR_AGAIN) {
        assert_int_equal(loop_turn(f->loop, 100), ERR_OK);
    }
    assert_true(b->parcel.parts[0].assigned);
}

enum send_result batch_send(struct fixture *f, struct parcel_batch *b)
{
    unsigned before = f->host.done_count;
    file_uplink_class.send(f->uplink, &b->batch);
    assert_int_equal(f->host.done_count, before); /* never within send() */
    while (f->host.done_count == before) {
        assert_int_equal(loop_turn(f->loop, 100), ERR_OK);
    }
    return f->host.report.result;
}

void send_new(struct fixture *f, uint64_t first, unsigned count, const struct schema_info *schema)
{
    struct parcel_batch b = {0};
    batch_make(f, &b, first, count, schema);
    batch_assign(f, &b);
    assert_int_equal(batch_send(f, &b), SEND_OK);
}

/* --- reading back --- */

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
    found->others += !slice_equal_text(container_meta_find(reader, "weir.incarnation"), "0000abcd");
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

void find(const char *folder, struct found *found)
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

void wait_finished(struct fixture *f, unsigned files)
{
    uint64_t end_ms = clock_monotonic_ms() + HOST_WAIT_MS;
    struct found found;
    do {
        assert_true(clock_monotonic_ms() < end_ms);
        assert_int_equal(loop_turn(f->loop, 100), ERR_OK);
        found = (struct found){0};
        find(f->folder, &found);
    } while (found.parts > 0 || found.files < files);
}

void wait_fault(struct fixture *f, const char *text)
{
    uint64_t end_ms = clock_monotonic_ms() + HOST_WAIT_MS;
    while (text[0] ? !strstr(f->host.fault, text) : f->host.fault[0] != 0) {
        assert_true(clock_monotonic_ms() < end_ms);
        assert_int_equal(loop_turn(f->loop, 100), ERR_OK);
    }
}

void expect_each_once(struct fixture *f, uint64_t count)
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
