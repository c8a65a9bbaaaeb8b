/* Replay: a file of JSON lines at a chosen rate, or at the pace of its own time stamps. Reading is
 * a job of a worker, as with the file tail; one block is read ahead. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "drivers/drivers.h"
#include "drivers/place.h"
#include "drivers/replay_time.h"
#include "drivers/tail_disk.h"
#include "drivers/tail_lines.h"

#define REPLAY_BLOCK_SIZE ((size_t)64 * 1024)
#define REPLAY_TURN_LINES 1000    /* offered in one turn of the loop */
#define REPLAY_AGAIN_MS 1000      /* after a file that can't be read */
#define REPLAY_TICK_MS 10         /* the finest pace: lines due within a tick go out together */
#define REPLAY_GAP_MS_MAX 3600000 /* a longer gap between two time stamps is cut to this */

struct replay_options {
    const char *path;
    int64_t rate;
    const char *time_field;
    int64_t speed;
    bool repeat;
    int64_t line_size_max;
};

static const struct option replay_table[] = {
    {.name = "path",
     .kind = OPTION_PATH,
     .flags = OPTION_REQUIRED | OPTION_DATA,
     .offset = offsetof(struct replay_options, path),
     .help = "A file with one JSON value a line."},
    {.name = "rate",
     .kind = OPTION_RATE,
     .offset = offsetof(struct replay_options, rate),
     .unit = "events/s",
     .max = 10000000,
     .initial = "0 events/s",
     .help = "Events a second; 0: as fast as they are taken."},
    {.name = "time_field",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct replay_options, time_field),
     .max = 256,
     .help =
         "Instead of a rate: go at the pace of the time stamps in this field (RFC 3339 text, or "
         "a number of seconds, milli-, micro- or nanoseconds since 1970)."},
    {.name = "speed",
     .kind = OPTION_INT,
     .offset = offsetof(struct replay_options, speed),
     .min = 1,
     .max = 1000000,
     .initial = "1",
     .help = "With time_field: so many times as fast."},
    {.name = "repeat",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct replay_options, repeat),
     .initial = "false",
     .help = "Begin again at the end; else the file is replayed once, also across restarts."},
    {.name = "line_size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct replay_options, line_size_max),
     .min = 64,
     .max = 1024 * 1024,
     .initial = "64 KiB",
     .help = "Longer lines are set aside, cut."},
    {.name = NULL},
};

struct replay {
    struct driver driver;
    struct driver_host *host;
    const struct replay_options *options;
    struct loop *loop;
    struct worker *worker;
    struct timer timer;
    struct tail_read read;
    struct place place; /* of the next line; path not used */
    uint8_t head[PLACE_HEAD_MAX];
    uint8_t *buffer;
    size_t buffer_size;
    struct slice block;  /* what is left of the block */
    uint64_t block_end;  /* offset in the file behind the block */
    bool is_last;        /* the block holds the file's end */
    uint64_t long_size;  /* of a line over the limit, so far; its beginning was offered */
    uint64_t begun_ms;   /* rate: when the count began */
    uint64_t sent;       /* rate: lines since then */
    int64_t time_us;     /* pace: the last time stamp; with has_time */
    uint64_t time_at_ms; /* pace: when it was due */
    uint64_t due_ms;     /* pace: of the line at the front of the block */
    bool has_time;
    bool is_timed; /* due_ms belongs to the line at the front */
    bool is_busy;
    bool is_blocked;
    bool is_stopped;
    bool is_over;
    bool has_fault;
};

static void replay_step(struct replay *replay);

static struct replay *replay_of(struct driver *driver)
{
    return CONTAINER_OF(driver, struct replay, driver);
}

static void replay_fault(struct replay *replay, const char *verb, int number)
{
    struct why why;
    why_set(&why, "can't %s %s: %s", verb, replay->options->path, strerror(number));
    driver_fault(replay->host, &why);
    replay->has_fault = true;
    timer_arm(&replay->timer, REPLAY_AGAIN_MS);
}

/* --- when --- */

/* When a line with this time stamp is due, counted from the first one, so that roundings do not add
 * up. */
static void replay_pace(struct replay *replay, int64_t time_us, uint64_t now_ms)
{
    if (replay->has_time && time_us >= replay->time_us) {
        uint64_t gap_us = (uint64_t)time_us - (uint64_t)replay->time_us;
        replay->due_ms = replay->time_at_ms + gap_us / 1000 / (uint64_t)replay->options->speed;
        if (replay->due_ms <= now_ms + REPLAY_GAP_MS_MAX) {
            return;
        }
        replay->due_ms = now_ms + REPLAY_GAP_MS_MAX;
    }
    replay->has_time = true;
    replay->time_us = time_us;
    replay->time_at_ms = replay->due_ms;
}

/* Milliseconds until the line may go; 0: now. */
static uint64_t replay_wait_ms(struct replay *replay, struct slice line)
{
    uint64_t now_ms = loop_now_ms(replay->loop);
    if (!replay->options->time_field) {
        uint64_t rate = (uint64_t)replay->options->rate;
        if (!rate) {
            return 0;
        }
        uint64_t due_ms = replay->begun_ms + replay->sent * 1000 / rate;
        return due_ms > now_ms ? due_ms - now_ms : 0;
    }
    int64_t time_us;
    if (!replay->is_timed) {
        replay->is_timed = true;
        replay->due_ms = now_ms; /* a line without a time goes with the one before */
        if (replay_time_find(line, replay->options->time_field, &time_us)) {
            replay_pace(replay, time_us, now_ms);
        }
    }
    return replay->due_ms > now_ms ? replay->due_ms - now_ms : 0;
}

/* --- lines --- */

static void replay_cursor(const struct replay *replay, uint64_t offset, struct out *ret)
{
    struct place place = replay->place;
    place.offset = offset;
    place.head_size = place_head_size(offset);
    place.head_hash = slice_hash((struct slice){replay->head, place.head_size});
    place_encode(&place, ret);
    assert(!ret->overflow);
}

/* False: no room. */
static bool replay_offer(struct replay *replay, struct slice line, uint64_t next, bool is_long)
{
    uint8_t cursor_memory[CURSOR_SIZE_MAX];
    uint8_t source_memory[EVENT_SUBJECT_SIZE_MAX + 64];
    struct out cursor = out_over(cursor_memory, sizeof cursor_memory);
    struct out source = out_over(source_memory, sizeof source_memory);
    replay_cursor(replay, next, &cursor);
    out_put_format(&source, "replay %.1000s:%" PRIu64, replay->options->path, replay->place.offset);
    struct event event = {.body_kind = BODY_JSON,
                          .body = line,
                          .subject = slice_of_text(replay->options->path),
                          .source = out_slice(&source),
                          .cursor = out_slice(&cursor),
                          .unusable = is_long ? "the line is longer than line_size_max" : NULL};
    uint64_t ticket;
    if (driver_offer(replay->host, &event, &ticket, NULL) != ERR_OK) {
        replay->is_blocked = true;
        return false;
    }
    replay->sent++;
    replay->is_timed = false;
    return true;
}

/* The line at the front of the block; the file's last one needs no newline. False: more has to be
 * read. */
static bool replay_line(struct replay *replay, struct slice *ret_line, struct slice *ret_rest)
{
    *ret_rest = replay->block;
    if (tail_line_take(ret_rest, ret_line)) {
        return true;
    }
    if (replay->block.size == 0 || (!replay->is_last && replay->block.size < replay->buffer_size)) {
        return false;
    }
    *ret_line = replay->block; /* the last, or one that is longer than the buffer */
    *ret_rest = (struct slice){0};
    return true;
}

/* One line, or a piece of a long one. False: blocked, or not yet due. */
static bool replay_one(struct replay *replay, struct slice line, struct slice rest)
{
    uint64_t next = replay->block_end - rest.size;
    bool is_piece = rest.size == 0 && !replay->is_last && next > 0 &&
                    replay->buffer[replay->read.size - 1] != '\n';
    bool is_long = is_piece || line.size > (size_t)replay->options->line_size_max;
    bool is_rest = replay->long_size > 0; /* of a line whose beginning was offered */
    if (line.size && !is_rest) {
        uint64_t wait_ms = replay_wait_ms(replay, line);
        if (wait_ms) {
            timer_arm(&replay->timer, wait_ms < REPLAY_TICK_MS ? REPLAY_TICK_MS : wait_ms);
            return false;
        }
        if (!replay_offer(replay, line, next, is_long)) {
            return false;
        }
    }
    replay->long_size = is_piece ? replay->long_size + line.size : 0;
    replay->place.offset = next;
    replay->block = rest;
    return true;
}

/* --- reading --- */

static void replay_end(struct replay *replay)
{
    if (!replay->options->repeat || replay->place.offset == 0) {
        replay->is_over = true; /* an empty file too: it is not a stream */
        driver_count(replay->host, "finished", 1);
        return;
    }
    replay->place.offset = 0;
    replay->has_time = false;
    replay->is_last = false;
    driver_count(replay->host, "rounds", 1);
}

static void replay_read_done(struct job *job)
{
    struct replay *replay =
        CONTAINER_OF(CONTAINER_OF(job, struct tail_read, job), struct replay, read);
    replay->is_busy = false;
    if (replay->is_stopped) {
        return;
    }
    if (replay->read.number) {
        replay_fault(replay, "read", replay->read.number);
        return;
    }
    if (replay->has_fault) {
        driver_fault(replay->host, NULL);
        replay->has_fault = false;
    }
    uint16_t head_size = place_head_size(replay->place.offset);
    if (replay->read.head_size < head_size ||
        (head_size > 0 && replay->place.head_size == head_size &&
         slice_hash((struct slice){replay->read.head, head_size}) != replay->place.head_hash)) {
        replay->place.offset = 0; /* another file than the cursor's: from its beginning */
        replay->place.head_size = 0;
        replay->long_size = 0;
        replay_step(replay);
        return;
    }
    memcpy(replay->head, replay->read.head, replay->read.head_size);
    replay->block = (struct slice){replay->buffer, replay->read.size};
    replay->block_end = replay->read.at + replay->read.size;
    replay->is_last = replay->block_end >= replay->read.file_size;
    if (replay->read.size == 0) {
        replay_end(replay);
    }
    replay_step(replay);
}

static void replay_read_start(struct replay *replay)
{
    if (replay->read.fd < 0) {
        /* Opening a local file once is as quick as a look-up; what may block is reading. */
        replay->read.fd = open(replay->options->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (replay->read.fd < 0) {
            replay_fault(replay, "open", errno);
            return;
        }
    }
    replay->read.at = replay->place.offset;
    replay->read.data = replay->buffer;
    replay->read.size_max = replay->buffer_size;
    enum err e = worker_put(replay->worker, &replay->read.job);
    assert(e == ERR_OK); /* one job at a time */
    replay->is_busy = true;
}

static void replay_step(struct replay *replay)
{
    struct slice line;
    struct slice rest;
    if (replay->is_busy || replay->is_stopped || replay->is_blocked || replay->is_over) {
        return;
    }
    for (size_t i = 0; replay_line(replay, &line, &rest); i++) {
        if (i == REPLAY_TURN_LINES) {
            timer_arm(&replay->timer, 0);
            return;
        }
        if (!replay_one(replay, line, rest)) {
            return;
        }
    }
    replay_read_start(replay);
}

static void replay_fire(struct timer *timer)
{
    replay_step(CONTAINER_OF(timer, struct replay, timer));
}

/* --- the class --- */

static void replay_restore(void *context, uint32_t key, struct slice value)
{
    struct replay *replay = context;
    struct place place;
    if (key == 0 && place_decode(&place, value) == ERR_OK) {
        place.path = (struct slice){0};
        replay->place = place;
    }
}

static void replay_close(struct driver *driver)
{
    struct replay *replay = driver ? replay_of(driver) : NULL;
    if (!replay) {
        return;
    }
    replay->is_stopped = true;
    timer_release(&replay->timer);
    worker_close(replay->worker);
    if (replay->read.fd >= 0) {
        close(replay->read.fd);
    }
    free(replay->buffer);
    free(replay);
}

static enum err replay_open(struct driver **ret, const struct driver_setup *setup, struct why *why)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (!replay) {
        return ERR_NOMEM;
    }
    replay->driver.class_ = &replay_class;
    replay->host = setup->host;
    replay->loop = setup->loop;
    replay->options = setup->options;
    replay->read.fd = -1;
    replay->read.job = (struct job){.work = tail_read_work, .done = replay_read_done};
    timer_init(&replay->timer, setup->loop, replay_fire);
    replay->buffer_size = (size_t)replay->options->line_size_max + 2;
    if (replay->buffer_size < REPLAY_BLOCK_SIZE) {
        replay->buffer_size = REPLAY_BLOCK_SIZE;
    }
    replay->buffer = malloc(replay->buffer_size);
    enum err e = replay->buffer ? worker_open(&replay->worker, setup->loop, "replay") : ERR_NOMEM;
    if (e) {
        why_set(why, "can't start the replay: %s", err_name(e));
        replay_close(&replay->driver);
        return e;
    }
    driver_cursor_each(replay->host, replay_restore, replay);
    replay->begun_ms = loop_now_ms(setup->loop);
    timer_arm(&replay->timer, 0);
    *ret = &replay->driver;
    return ERR_OK;
}

static void replay_resume(struct driver *driver)
{
    struct replay *replay = replay_of(driver);
    replay->is_blocked = false;
    replay->begun_ms = loop_now_ms(replay->loop); /* what was held back is not made up for */
    replay->sent = 0;
    replay->has_time = false;
    timer_arm(&replay->timer, 0);
}

static void replay_stored(struct driver *driver, uint64_t ticket)
{
    (void)driver; /* nobody waits: the cursor is committed with the event */
    (void)ticket;
}

static void replay_stop(struct driver *driver)
{
    struct replay *replay = replay_of(driver);
    replay->is_stopped = true;
    timer_disarm(&replay->timer);
}

const struct driver_class replay_class = {
    .type = "replay",
    .help = "Plays a file of JSON lines, for trying things out and for measuring: at a rate, or at "
            "the pace of its time stamps; once, or in a circle.",
    .options = replay_table,
    .options_size = sizeof(struct replay_options),
    .is_in_line = true,
    .open = replay_open,
    .resume = replay_resume,
    .stored = replay_stored,
    .stop = replay_stop,
    .close = replay_close,
};
