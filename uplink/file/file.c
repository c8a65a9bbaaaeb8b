/* The file uplink: loop side. One worker does all blocking work, one job at a time; batches that
 * come meanwhile wait in a list. */
#include <assert.h>
#include <errno.h>

#include "ports/clock.h"
#include "ports/random.h"
#include "ports/worker.h"
#include "uplink/file/disk.h"
#include "uplink/file/file.h"
#include "uplink/object/block.h"

#define FILE_REQUEST_SIZE_MAX (4 * 1024 * 1024)
#define FILE_RECORD_SIZE_MAX (1024 * 1024)
#define FILE_AGE_LOOK_MS 1000
#define FILE_RECOVER_AGAIN_MS 5000
#define FILE_LEFT_MS 5000 /* by then a batch that was in flight has been sent again */

struct file_uplink;

/* One stream. `disk` belongs to the worker while a job of this stream is under way. */
struct file_stream {
    struct file_disk disk;
    bool is_ready;    /* recovered: `number` and `offset` are known */
    bool is_wanted;   /* target() asked for it */
    bool has_file;    /* open, as far as the loop knows */
    bool has_left;    /* one of an earlier life is open: until the next write, or for a while */
    bool is_assigned; /* a part has numbers and is not done */
    bool is_sent;     /* it was lent under them */
    uint8_t lane;     /* of its parcel */
    int64_t number;
    int64_t offset;       /* where the next block of the open file begins */
    uint32_t schema;      /* of the open file */
    uint32_t incarnation; /* of its events */
    uint64_t opened_ms;
    bool is_finish_due;
};

enum file_work { FILE_RECOVER, FILE_WRITE, FILE_FINISH };

struct file_job {
    struct job job;
    enum file_work work;
    struct file_stream *stream;
    struct batch *batch;
    struct file_write write;
    enum file_outcome outcome;
    enum err e;
    struct why why;
};

struct file_uplink {
    struct uplink uplink;
    struct uplink_host *host;
    const struct file_options *options;
    struct loop *loop;
    const char *agent_id;
    uint32_t incarnation;
    int32_t life;
    struct worker *worker;
    struct timer look;  /* at the age of files */
    struct timer retry; /* of a recovery that failed */
    struct file_job job;
    bool is_busy;
    bool is_closing; /* nobody is told anything any more */
    bool has_fault;
    struct batch *first, **end; /* lent, waiting for the worker */
    struct file_stream *streams[STREAM_COUNT_MAX + 1];
};

static void file_next(struct file_uplink *file);

static struct file_uplink *file_of(struct uplink *uplink)
{
    return CONTAINER_OF(uplink, struct file_uplink, uplink);
}

static void file_fault(struct file_uplink *file, enum err e, const struct why *why)
{
    if (e) {
        uplink_fault(file->host, why);
    } else if (file->has_fault) {
        uplink_fault(file->host, NULL);
    }
    file->has_fault = e != ERR_OK;
}

/* --- jobs --- */

static void file_job_work(struct job *job)
{
    struct file_job *j = CONTAINER_OF(job, struct file_job, job);
    struct file_disk *disk = &j->stream->disk;
    if (j->work == FILE_RECOVER) {
        j->e = file_disk_recover(disk, &j->why);
    } else if (j->work == FILE_FINISH) {
        j->e = file_disk_finish(disk, &j->why);
    } else {
        j->e = file_disk_write(disk, &j->write, &j->outcome, &j->why);
    }
}

static void file_written(struct file_uplink *file, struct file_job *j)
{
    struct file_stream *stream = j->stream;
    struct send_report report = {.code = (int)j->e};
    struct batch *batch = j->batch;
    if (j->e) {
        bool is_wrong = j->e == ERR_AUTH || j->e == ERR_CONFIG;
        report.result = is_wrong ? SEND_PARK : SEND_RETRY;
        snprintf(report.text, sizeof report.text, "%.150s", j->why.text);
        uplink_done(file->host, batch, &report);
        return;
    }
    stream->has_left = false;
    bool is_own = j->write.life == file->life && j->write.number == stream->number;
    report.result = j->outcome == FILE_IS_NOT_THERE ? SEND_REASSIGN : SEND_OK;
    report.was_duplicate = j->outcome == FILE_WAS_THERE;
    if (j->outcome == FILE_STORED) {
        assert(is_own);
        if (j->write.offset == 0) {
            stream->opened_ms = loop_now_ms(file->loop);
            stream->schema = batch->schema->number;
            stream->incarnation = batch->parcel->incarnation;
            stream->has_file = true;
            uplink_count(file->host, "files", 1);
        }
        stream->offset = stream->disk.size;
        stream->is_finish_due = stream->offset >= file->options->size_max;
    }
    if (is_own) {
        stream->is_assigned = false;
        /* The file these numbers belong to is gone: the next ones begin another. */
        stream->has_file = stream->has_file && j->outcome != FILE_IS_NOT_THERE;
    }
    uplink_done(file->host, batch, &report);
    uplink_ready(file->host);
}

static void file_job_done(struct job *job)
{
    struct file_job *j = CONTAINER_OF(job, struct file_job, job);
    struct file_uplink *file = CONTAINER_OF(j, struct file_uplink, job);
    struct file_stream *stream = j->stream;
    file->is_busy = false;
    if (file->is_closing) {
        return; /* what was being written is found by the next start */
    }
    file_fault(file, j->e, &j->why);
    if (j->work == FILE_WRITE) {
        file_written(file, j);
    } else if (j->work == FILE_FINISH) {
        stream->is_finish_due = false; /* after an error file_look() says so again */
        stream->has_file = stream->has_file && j->e != ERR_OK;
        stream->has_left = stream->has_left && j->e != ERR_OK;
        uplink_ready(file->host);
    } else if (j->e) {
        stream->is_wanted = false;
        timer_arm(&file->retry, FILE_RECOVER_AGAIN_MS);
    } else {
        stream->is_ready = true;
        stream->number = stream->disk.number;
        stream->has_left = stream->disk.tail.size > 0;
        stream->opened_ms = loop_now_ms(file->loop);
        uplink_ready(file->host);
    }
    file_next(file);
}

static void file_start(struct file_uplink *file, enum file_work work, struct file_stream *stream)
{
    assert(!file->is_busy);
    file->job.work = work;
    file->job.stream = stream;
    file->job.why.text[0] = 0;
    file->is_busy = true;
    enum err e =
        worker_put(file->worker, &file->job.job); /* from here on the job is the worker's */
    assert(e == ERR_OK);                          /* one job at a time */
}

static void file_start_write(struct file_uplink *file)
{
    struct batch *batch = file->first;
    file->first = batch->next;
    if (!file->first) {
        file->end = &file->first;
    }
    file->job.batch = batch;
    file->job.write = (struct file_write){.number = batch->part->producer_id,
                                          .life = batch->part->producer_epoch,
                                          .offset = batch->part->base_sequence,
                                          .schema = batch->schema,
                                          .incarnation = batch->parcel->incarnation,
                                          .first_sequence = batch->first,
                                          .wire = batch->wire};
    file_start(file, FILE_WRITE, file->streams[batch->stream->number]);
}

static void file_next(struct file_uplink *file)
{
    if (file->is_busy) {
        return;
    }
    for (size_t i = 0; i <= STREAM_COUNT_MAX; i++) {
        struct file_stream *stream = file->streams[i];
        if (stream && stream->is_finish_due && (stream->has_file || stream->has_left) &&
            !stream->is_assigned) {
            file_start(file, FILE_FINISH, stream);
            return;
        }
        if (stream && stream->is_wanted && !stream->is_ready) {
            file_start(file, FILE_RECOVER, stream);
            return;
        }
    }
    if (file->first) {
        file_start_write(file);
    }
}

static void file_look(struct timer *timer)
{
    struct file_uplink *file = CONTAINER_OF(timer, struct file_uplink, look);
    uint64_t now_ms = loop_now_ms(file->loop);
    for (size_t i = 0; i <= STREAM_COUNT_MAX; i++) {
        struct file_stream *stream = file->streams[i];
        if (stream && stream->has_left && now_ms - stream->opened_ms >= FILE_LEFT_MS) {
            stream->is_finish_due = true;
        }
        if (stream && stream->has_file &&
            (now_ms - stream->opened_ms >= (uint64_t)file->options->time_max_ms ||
             stream->offset >= file->options->size_max)) {
            stream->is_finish_due = true;
        }
    }
    timer_arm(&file->look, FILE_AGE_LOOK_MS);
    file_next(file);
}

static void file_retry(struct timer *timer)
{
    struct file_uplink *file = CONTAINER_OF(timer, struct file_uplink, retry);
    uplink_ready(file->host); /* target() is asked again, and starts the recovery */
}

/* --- the class --- */

static enum err file_stream_get(struct file_uplink *file, const struct stream_info *info,
                                struct file_stream **ret)
{
    assert(info->number <= STREAM_COUNT_MAX);
    struct file_stream **place = &file->streams[info->number];
    if (!*place) {
        *place = calloc(1, sizeof **place);
        if (!*place) {
            return ERR_NOMEM;
        }
        (*place)->disk = (struct file_disk){.options = file->options,
                                            .agent_id = file->agent_id,
                                            .incarnation = file->incarnation,
                                            .stream = info->name,
                                            .lock_fd = -1,
                                            .fd = -1,
                                            .life = file->life};
    }
    *ret = *place;
    return ERR_OK;
}

static enum err file_target(struct uplink *uplink, const struct stream_info *info,
                            const struct schema_info *schema, struct target *ret, struct why *why)
{
    struct file_uplink *file = file_of(uplink);
    struct file_stream *stream;
    (void)schema;
    if (strlen(info->name) >= sizeof ret->name) {
        why_set(why, "the stream name %.32s... is too long for a file", info->name);
        return ERR_CONFIG;
    }
    enum err e = file_stream_get(file, info, &stream);
    if (e) { /* no memory now */
        timer_arm(&file->retry, FILE_RECOVER_AGAIN_MS);
        return ERR_AGAIN;
    }
    if (!stream->is_ready) {
        if (!timer_is_armed(&file->retry)) {
            stream->is_wanted = true;
            file_next(file);
        }
        return ERR_AGAIN;
    }
    *ret = (struct target){.partition_count = 1,
                           .request_size_max = FILE_REQUEST_SIZE_MAX,
                           .record_size_max = FILE_RECORD_SIZE_MAX};
    snprintf(ret->name, sizeof ret->name, "%s", info->name);
    return ERR_OK;
}

static uint32_t file_place(const struct target *target, struct slice key, uint64_t sequence)
{
    (void)target;
    (void)key;
    (void)sequence;
    return 0;
}

static enum err file_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    static const uint8_t no_sync[CONTAINER_SYNC_SIZE] = {0}; /* the worker puts the file's */
    const struct file_options *file = options;
    struct out out = *ret;
    if (batch->parcel->layout != LAYOUT_ROWS || batch->message_count == 0) {
        return ERR_CONFIG; /* a container's records have the stream's schema: rows */
    }
    if (out.size_max > batch->target.request_size_max) {
        out.size_max = batch->target.request_size_max;
    }
    out_put_u64_le(&out, (uint64_t)batch->messages[0].time_us);
    out_put_u64_le(&out, batch->message_count);
    enum err e = out.overflow ? ERR_FULL
                              : block_put((enum container_codec)file->codec, (int)file->level,
                                          batch->messages, batch->message_count, no_sync, &out);
    if (!e) {
        ret->size = out.size;
    }
    return e;
}

static enum err file_assign(struct uplink *uplink, struct parcel *parcel, const uint32_t *parts,
                            size_t part_count)
{
    struct file_uplink *file = file_of(uplink);
    struct file_stream *stream = file->streams[parcel->stream];
    assert(part_count == 1 && stream); /* one partition */
    if (stream->is_assigned && !stream->is_sent && stream->lane == parcel->lane) {
        stream->is_assigned = false; /* the record of the numbers failed: they are given again */
    }
    /* The next block begins where this one will end, which nobody knows yet. */
    if (!stream->is_ready || stream->is_assigned || stream->is_finish_due) {
        file_next(file);
        return ERR_AGAIN;
    }
    if (!stream->has_file || stream->schema != parcel->schema ||
        stream->incarnation != parcel->incarnation) {
        stream->number++;
        stream->offset = 0;
        stream->has_file = false; /* the worker finishes the one before */
    }
    struct part *part = &parcel->parts[parts[0]];
    part->producer_id = stream->number;
    part->producer_epoch = file->life;
    part->base_sequence = stream->offset;
    part->sent_ms = clock_wall_us() / 1000;
    part->assigned = true;
    stream->is_assigned = true;
    stream->is_sent = false;
    stream->lane = parcel->lane;
    return ERR_OK;
}

static void file_send(struct uplink *uplink, struct batch *batch)
{
    struct file_uplink *file = file_of(uplink);
    struct file_stream *stream = file->streams[batch->stream->number];
    assert(stream && batch->part->assigned);
    stream->is_sent = stream->is_sent || (batch->part->producer_epoch == file->life &&
                                          batch->part->producer_id == stream->number);
    batch->next = NULL;
    *file->end = batch;
    file->end = &batch->next;
    file_next(file);
}

static void file_stop(struct uplink *uplink, int64_t grace_ms)
{
    struct file_uplink *file = file_of(uplink);
    (void)grace_ms; /* what is lent is written first; a disk that hangs can't be hurried */
    timer_disarm(&file->look);
    timer_disarm(&file->retry);
}

/* Files are finished at an orderly stop, so that there are no .part files to wonder about. But not
 * those about whose last block nobody knows. */
static void file_close(struct uplink *uplink)
{
    struct file_uplink *file = uplink ? file_of(uplink) : NULL;
    if (!file) {
        return;
    }
    file->is_closing = true;
    timer_release(&file->look);
    timer_release(&file->retry);
    file->first = NULL;
    file->end = &file->first;
    worker_close(file->worker);
    for (size_t i = 0; i <= STREAM_COUNT_MAX; i++) {
        struct file_stream *stream = file->streams[i];
        if (stream && !stream->is_assigned && !stream->has_left) {
            enum err e = file_disk_finish(&stream->disk, NULL);
            (void)e; /* then the next start does it */
        }
        if (stream) {
            file_disk_release(&stream->disk);
        }
        free(stream);
    }
    free(file);
}

static enum err file_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    struct file_uplink *file = calloc(1, sizeof *file);
    if (!file) {
        return ERR_NOMEM;
    }
    file->uplink.class_ = &file_uplink_class;
    file->host = setup->host;
    file->loop = setup->loop;
    file->options = setup->options;
    file->agent_id = setup->agent_id;
    file->incarnation = setup->incarnation;
    file->life = (int32_t)(random_u32() & INT32_MAX);
    file->end = &file->first;
    file->job.job = (struct job){.work = file_job_work, .done = file_job_done};
    timer_init(&file->look, setup->loop, file_look);
    timer_init(&file->retry, setup->loop, file_retry);
    enum err e = worker_open(&file->worker, setup->loop, "file");
    if (e) {
        why_set(why, "can't start the worker of the file uplink: %s", err_name(e));
        file_close(&file->uplink);
        return e;
    }
    timer_arm(&file->look, FILE_AGE_LOOK_MS);
    *ret = &file->uplink;
    return ERR_OK;
}

const struct uplink_class file_uplink_class = {
    .type = "file",
    .help = "Avro container files in a folder, by stream and date: to carry away, to try things "
            "out, or for another program to take up. A file that is being written ends in .part.",
    .options = file_table,
    .options_size = sizeof(struct file_options),
    .open = file_open,
    .target = file_target,
    .place = file_place,
    .wrap = file_wrap,
    .assign = file_assign,
    .send = file_send,
    .stop = file_stop,
    .close = file_close,
};
