#include "config/core.h"

#include "config/template.h"
#include "ports/lib/aead.h"
#include "ports/listen.h"

static enum err check_template(const void *value, struct why *why)
{
    return template_check(*(const char *const *)value, why);
}

static enum err check_pattern(const void *value, struct why *why)
{
    return route_check(*(const char *const *)value, why);
}

static enum err check_key(const void *value, struct why *why)
{
    uint8_t key[AEAD_KEY_SIZE];
    bool is_key = aead_key_of_text(*(const char *const *)value, key);
    aead_wipe(key, sizeof key);
    if (!is_key) {
        why_set(why, "not a key: 64 hexadecimal digits, or base64 of 32 bytes; `openssl rand -hex "
                     "32` makes one");
    }
    return is_key ? ERR_OK : ERR_CONFIG;
}

static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

static const char *const clocks[] = {"plausible", "disciplined", NULL};

const struct option agent_options_table[] = {
    {.name = "id",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct agent_options, id),
     .min = 1,
     .max = 63,
     .help = "The name of this agent at the centre. Default: the host's name."},
    {.name = "log_level",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct agent_options, log_level),
     .words = log_levels,
     .initial = "info",
     .help = "How much is logged on stderr."},
    {.name = "socket",
     .kind = OPTION_PATH,
     .flags = OPTION_DATA,
     .offset = offsetof(struct agent_options, socket),
     .help = "Control socket for `weir status`. Default: `weir.sock` beside the buffer. On another "
             "disk it also tells of a buffer whose disk is away or read-only."},
    {.name = "clock",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct agent_options, clock),
     .words = clocks,
     .initial = "plausible",
     .help =
         "When the wall clock is believed. `plausible`: when it shows a time that can be, later "
         "than what the buffer has seen. `disciplined`: only when the kernel says that NTP or "
         "the like keeps it; for boards that start with the time of their last stop. Until "
         "then arrivals are kept by the monotonic clock, and wait."},
    {.name = "time_zone",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct agent_options, time_zone),
     .min = 1,
     .max = 127,
     .help = "The zone in which days and months of `links` begin and their windows open: a name as "
             "`Europe/Berlin`, where the system has the zones' files, or a rule as "
             "`CET-1CEST,M3.5.0,M10.5.0/3`. Default: the system's."},
    {.name = "stop_grace",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct agent_options, stop_grace_ms),
     .max = 600000,
     .initial = "10 s",
     .help = "How long an orderly stop waits for the answers to what is being sent. What is not "
             "answered by then is sent again at the next start."},
    {0},
};

static const struct option medium_table[] = {
    {.name = "size",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct buffer_medium, size),
     .max = INT64_C(1) << 50,
     .initial = "0 B",
     .help = "Its capacity. `0 B`: not known, nothing is foretold."},
    {.name = "cycles",
     .kind = OPTION_INT,
     .offset = offsetof(struct buffer_medium, cycles),
     .min = 1,
     .max = 10000000,
     .initial = "3000",
     .help = "How often a block of it can be erased: 3000 is usual for MLC, 500 for a cheap card."},
    {.name = "page",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct buffer_medium, page),
     .min = 512,
     .max = 1024 * 1024,
     .initial = "16 KiB",
     .help = "What it writes at a time: each sync costs a whole one."},
    {0},
};

#define KEY_FORM "64 hexadecimal digits, or base64 of 32 bytes"

static const struct option encryption_table[] = {
    {.name = "key",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct buffer_encryption, key),
     .check = check_key,
     .help = "The key that everything is encrypted with from now on: " KEY_FORM
             ", best as `${file:...}`. Without it what is new is kept plain."},
    {.name = "old_key",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct buffer_encryption, old_key),
     .check = check_key,
     .help = "An earlier key: what was kept under it can still be read. It is needed until `weir "
             "buffer rekey` has written everything anew."},
    {0},
};

const struct option buffer_options_table[] = {
    {.name = "path",
     .kind = OPTION_PATH,
     .flags = OPTION_DATA,
     .offset = offsetof(struct buffer_options, path),
     .initial = "/var/lib/weir/buffer.db",
     .help = "The database file; its folder is made when missing. Beside it lies its log, "
             "`-wal`."},
    {.name = "size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct buffer_options, size_max),
     .min = 4 * 1024 * 1024,
     .max = INT64_C(1) << 40,
     .initial = "512 MiB",
     .help = "What the buffer may take on disk, with everything that belongs to it. A hard limit."},
    {.name = "event_size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct buffer_options, event_size_max),
     .min = 1024,
     .max = 1024 * 1024,
     .initial = "64 KiB",
     .help = "Larger events are set aside."},
    {.name = "keep_damaged",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct buffer_options, keep_damaged),
     .help = "A damaged database file is moved aside and salvaged. This keeps it afterwards, as "
             "`.bad-kept` beside the buffer (the latest one; it does not count for `size_max`), "
             "for whoever wants to look at it."},
    {.name = "commit_interval",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct buffer_options, commit_interval_ms),
     .max = 600000,
     .initial = "5 s",
     .help = "How long an event may wait for its commit when no source waits for an "
             "acknowledgement. Longer spares the flash; a power cut loses at most this much of "
             "sources that cannot be read again."},
    {.name = "wear_max_per_day",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct buffer_options, wear_max_per_day),
     .max = INT64_C(1) << 50,
     .initial = "0 B",
     .help = "What may be written to the medium in a day: commits wait longer as it comes near, "
             "`commit_interval` up to 10 min, `ack_interval` up to 5 s. What has to be committed "
             "at once (priority 7 and above, batches about to be sent) is. `0 B`: no bound."},
    {.name = "medium",
     .kind = OPTION_RECORD,
     .offset = offsetof(struct buffer_options, medium),
     .record = medium_table,
     .help = "The card or chip that the buffer is on, for the life that `weir status` and `weir "
             "buffer wear` foretell."},
    {.name = "encryption",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct buffer_options, encryption),
     .record = encryption_table,
     .record_size = sizeof(struct buffer_encryption),
     .help =
         "Events, cursors of sources and set-aside events are encrypted on the disk "
         "(ChaCha20-Poly1305). Names of streams, schemas, counts and times stay readable. A key "
         "that is lost makes all of it worthless."},
    {0},
};

static const struct option host_item = {.kind = OPTION_TEXT, .min = 1, .max = 253};

const struct option status_options_table[] = {
    {.name = "enabled",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct status_options, enabled),
     .initial = "true",
     .help = "Whether there is a page for a person, `/metrics` for Prometheus, `/status`, "
             "`/healthz` and `/readyz`."},
    {.name = "listen",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct status_options, listen),
     .max = 128,
     .initial = "127.0.0.1:9600",
     .check = listen_check,
     .help = "Address and port. Off loopback a token and TLS are needed, unless `insecure`. A "
             "port that is taken is tried again each 30 s: the agent works without."},
    {.name = "hosts",
     .kind = OPTION_LIST,
     .offset = offsetof(struct status_options, hosts),
     .max = 16,
     .item = &host_item,
     .help = "Names under which it may be asked, beside addresses and `localhost`: others are "
             "refused without a token, so that no web page reads it by a name that it has "
             "pointed here."},
    {.name = "token",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct status_options, token),
     .min = 1,
     .max = 1024,
     .help = "Requests must carry \"Authorization: Bearer TOKEN\"; the page asks for it."},
    {.name = "insecure",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct status_options, insecure),
     .initial = "false",
     .help = "Allows to listen off loopback without a token or without TLS."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct status_options, tls),
     .record = tls_server_table,
     .record_size = sizeof(struct tls_options),
     .help = "Certificate and key of the server."},
    {0},
};

static const char *const when_full[] = {"block", "drop_oldest", "drop_newest", "thin", NULL};
static const char *const compatibility[] = {"none",
                                            "backward",
                                            "forward",
                                            "full",
                                            "backward_transitive",
                                            "forward_transitive",
                                            "full_transitive",
                                            NULL};
static const char *const unknown_fields[] = {"ignore", "set_aside", "extend", NULL};
static const char *const missing_fields[] = {"default", "set_aside", NULL};
static const struct option name_item = {.kind = OPTION_TEXT, .min = 1, .max = 63};

static enum err check_step(const void *value, struct why *why)
{
    const struct option_decimal *step = value;
    if (step->mantissa == 0) {
        why_set(why, "a step is larger than 0");
    }
    return step->mantissa > 0 ? ERR_OK : ERR_CONFIG;
}

static const struct option field_table[] = {
    {.name = "quantize",
     .kind = OPTION_DECIMAL,
     .offset = offsetof(struct stream_field, quantize),
     .check = check_step,
     .help = "A step, as `0.05`: the field's numbers are rounded to its nearest multiple before "
             "they are stored, what lies between two away from 0. The field, of `double`, `float`, "
             "`long` or `int` (then a whole step), may lie deeper: `satellites.el`. The "
             "schema's doc says so from then on."},
    {.name = "deadband",
     .kind = OPTION_DECIMAL,
     .offset = offsetof(struct stream_field, deadband),
     .help =
         "Report by exception: an event in which no such field has moved by more than this since "
         "the last event of its key that was reported, and nothing else has changed, is taken from "
         "its source and not stored, but counted as `suppressed`. `0`: each change counts. Times, "
         "the stream's `time` and what is filled in on sending may change."},
    {.name = "ignore_changes",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct stream_field, ignore_changes),
     .initial = "false",
     .help = "For fields that change with each event, as counters: beside fields with a "
             "`deadband`, another value here alone is no reason to report."},
    {0},
};

static const char *const order[] = {"fifo", "fresh_first", NULL};

const struct option stream_options_table[] = {
    {.name = "schema",
     .kind = OPTION_PATH,
     .flags = OPTION_FILE_EXISTS,
     .offset = offsetof(struct stream_config, schema),
     .help = "The Avro schema (a JSON file) of the stream's events. Without one, events are kept "
             "as they come, in the built-in schema `weir.Raw`."},
    {.name = "compatibility",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct stream_config, compatibility),
     .words = compatibility,
     .initial = "backward",
     .help = "What a changed `schema` must be able to do beside the versions of it that the buffer "
             "keeps. `backward`: it reads what the last one wrote. `forward`: the last one reads "
             "what it "
             "writes. `full`: both. `backward_transitive`, `forward_transitive`, "
             "`full_transitive`: the "
             "same with all of them. `none`: anything goes. A schema that does not is refused, and "
             "told; "
             "events go on under the version accepted last."},
    {.name = "key",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct stream_config, key),
     .min = 1,
     .max = 255,
     .help = "The schema field whose value is the event's key: events of one key stay in order."},
    {.name = "time",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct stream_config, time),
     .min = 1,
     .max = 255,
     .help =
         "The field of the payload that holds the event's own time: RFC 3339, or a number since "
         "1970. The schema need not have it. Without it an event has the time at which it came."},
    {.name = "priority",
     .kind = OPTION_INT,
     .offset = offsetof(struct stream_config, priority),
     .max = 9,
     .initial = "3",
     .help = "0 to 9. Higher ones are sent first and kept longest; from 7 on an event is committed "
             "and sent at once."},
    {.name = "order",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct stream_config, order),
     .words = order,
     .initial = "fifo",
     .help = "In which order events go out. `fifo`: as they came. `fresh_first`: once delivery was "
             "behind for longer than `fresh_after`, what comes from then on goes first, and what "
             "was left behind goes beside it, with the uplink's `backfill_share` at least. Within "
             "each of the two the order stays; Kafka records of the second have a header "
             "`weir_lane: backfill`. What is there at a start counts as left behind."},
    {.name = "fresh_after",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct stream_config, fresh_after_ms),
     .min = 1000,
     .max = INT64_C(36600) * 86400000,
     .initial = "30 s",
     .help = "With `fresh_first`: how far delivery may be behind, besides the uplink's `linger`, "
             "before newer events go first."},
    {.name = "when_full",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct stream_config, when_full),
     .words = when_full,
     .initial = "drop_oldest",
     .help =
         "What becomes of events when the buffer is full and no lower priority can give way. "
         "`block`: sources have to wait. `drop_oldest`: the oldest events give way. "
         "`drop_newest`: what comes is taken from its source and dropped. `thin`: of the oldest "
         "events those stay that hold the minimum, the maximum or the last value of a numeric "
         "field, for each key and window of time; when all are thinned, the oldest give way. "
         "What is dropped is counted and reported."},
    {.name = "thin_window",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct stream_config, thin_window_ms),
     .min = 1000,
     .max = INT64_C(366) * 86400000,
     .initial = "1 min",
     .help = "The window of time of `thin`."},
    {.name = "share_min",
     .kind = OPTION_SHARE,
     .offset = offsetof(struct stream_config, share_min),
     .max = 1000000,
     .initial = "0 %",
     .help = "The part of the buffer that no other stream may take."},
    {.name = "age_max",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct stream_config, age_max_ms),
     .min = 1000,
     .max = INT64_C(36600) * 86400000,
     .help = "Events that are older, by their own time and while the clock is right, are dropped, "
             "counted and reported. Default: none is too old."},
    {.name = "unknown_fields",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct stream_config, unknown_fields),
     .words = unknown_fields,
     .initial = "ignore",
     .help =
         "What becomes of an event with fields that the schema does not have, at any depth. "
         "`ignore`: the rest is taken. `set_aside`: it is kept apart with its reason. `extend`: "
         "the schema gets them as optional fields, at most 64 of a stream, where "
         "`compatibility` allows it; the file is left as it is. Not together with "
         "`missing_fields` `set_aside`."},
    {.name = "missing_fields",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct stream_config, missing_fields),
     .words = missing_fields,
     .initial = "default",
     .help = "What becomes of an event that lacks fields of the schema. `default`: they get their "
             "default, else null where the schema allows it; without either it is set aside. "
             "`set_aside`: it is, whatever the schema has."},
    {.name = "fields",
     .kind = OPTION_MAP,
     .offset = offsetof(struct stream_config, fields),
     .max = 64,
     .record = field_table,
     .record_size = sizeof(struct stream_field),
     .help = "Lossy, by your wish alone: fields of the schema, by name, of which less is sent."},
    {.name = "max_interval",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct stream_config, max_interval_ms),
     .min = 1000,
     .max = INT64_C(366) * 86400000,
     .initial = "10 min",
     .help = "With a `deadband`: an event that comes so long after the one reported last of its "
             "key, by their times, is reported whatever its values."},
    {.name = "uplinks",
     .kind = OPTION_LIST,
     .offset = offsetof(struct stream_config, uplinks),
     .max = 16,
     .item = &name_item,
     .help = "Names of uplinks. Default: all."},
    {.name = "dead_letter",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct stream_config, dead_letter),
     .min = 1,
     .max = 249,
     .help = "What is set aside of this stream also goes to this topic, its original bytes as the "
             "message and the reason in headers; {stream} and {agent} are filled in. Where uplinks "
             "of the stream take such messages (kafka)."},
    {.name = "renamed_from",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct stream_config, renamed_from),
     .min = 1,
     .max = 63,
     .help = "The stream's earlier name: it takes over what is still kept under it."},
    {0},
};

static const struct option template_item = {
    .kind = OPTION_TEXT, .max = 1024, .check = check_template};

#define SET_HELP \
    "Fields that are not in the payload: each a text in which `{topic}`, `{topic.N}` (level N of " \
    "the subject, from 0), `{source}`, `{driver}`, `{agent}` and `{payload.NAME}` stand for what " \
    "is " \
    "known of the event. Alone in its text, `{time}` is the event's time (field: long, best with " \
    "a `timestamp` logical type), `{id}` its identity (string), `{time_trust}` where its time " \
    "comes from (string): `payload`, `clock`, `later` (the clock was wrong on arrival, the time " \
    "was corrected) or `estimate` (and the machine was started anew before the clock was right)."

static const struct option route_table[] = {
    {.name = "topic",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct route_options, topic),
     .min = 1,
     .max = 1024,
     .check = check_pattern,
     .help =
         "A pattern for the event's subject (topic, path of the file or of the URL): `+` stands "
         "for one level, `#` at the end for all that follow, `*` for any characters within a "
         "level. Default: everything."},
    {.name = "stream",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct route_options, stream),
     .min = 1,
     .max = 63,
     .help = "The stream that takes the event."},
    {.name = "set",
     .kind = OPTION_MAP,
     .offset = offsetof(struct route_options, set),
     .max = 64,
     .item = &template_item,
     .help = SET_HELP},
    {0},
};

const struct option driver_common_table[] = {
    {.name = "type",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct driver_common, type),
     .help = "What kind of driver it is."},
    {.name = "stream",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct driver_common, stream),
     .min = 1,
     .max = 63,
     .help = "The stream that takes what no route takes. Without routes: everything."},
    {.name = "set",
     .kind = OPTION_MAP,
     .offset = offsetof(struct driver_common, set),
     .max = 64,
     .item = &template_item,
     .help = SET_HELP " Together with `stream`."},
    {.name = "routes",
     .kind = OPTION_LIST,
     .offset = offsetof(struct driver_common, routes),
     .max = 256,
     .record = route_table,
     .record_size = sizeof(struct route_options),
     .help = "Which input goes to which stream. The first route that matches takes the event; what "
             "none takes is set aside, unless there is a `stream`."},
    {.name = "ack_interval",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct driver_common, ack_interval_ms),
     .max = 60000,
     .initial = "250 ms",
     .help = "How long a source that waits for its acknowledgement may wait for others to share "
             "the commit."},
    {0},
};

static const char *const layouts[] = {"auto", "rows", "columns", NULL};
static const char *const partition_by[] = {"auto", "key", "agent", NULL};
static const char *const from[] = {"now", "oldest", NULL};

const struct option uplink_common_table[] = {
    {.name = "type",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct uplink_common, type),
     .help = "What kind of uplink it is."},
    {.name = "streams",
     .kind = OPTION_LIST,
     .offset = offsetof(struct uplink_common, streams),
     .max = 255,
     .item = &name_item,
     .help = "Names of streams. Default: all, and with them the agent's own events, `weir.events` "
             "(start, stop, gaps, damage, refused schemas, set-aside counts, an hourly health "
             "record), unless the "
             "uplink puts all streams into one place. A list that names `weir.events` always "
             "carries them. A stream's own `uplinks` counts too."},
    {.name = "layout",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct uplink_common, layout),
     .words = layouts,
     .initial = "auto",
     .help = "`rows`: each event is one message. `columns`: each batch is one, the events' fields "
             "column by column, which takes the fewest bytes; consumers need one of the decoders "
             "(uplink/decoders). `auto`: `columns` on a metered link, if the uplink can, else "
             "`rows`."},
    {.name = "partition_by",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct uplink_common, partition_by),
     .words = partition_by,
     .initial = "auto",
     .help =
         "`key`: each key has its partition, as the Java client places it. `agent`: all of this "
         "agent's events go to one partition, which saves a request per partition. `auto`: "
         "`agent` with the layout `columns` and on a metered link, else `key`."},
    {.name = "batch_size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct uplink_common, batch_size_max),
     .min = 4096,
     .max = 512 * 1024,
     .initial = "256 KiB",
     .help = "Bytes of events, before compression, that are packed and sent together."},
    {.name = "linger",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct uplink_common, linger_ms),
     .max = 3600000,
     .initial = "1 s",
     .help = "How long to wait for more events while there are fewer than a full batch. Priorities "
             "from 7 on do not wait."},
    {.name = "from",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct uplink_common, from),
     .words = from,
     .initial = "now",
     .help =
         "Where a new uplink starts: with what comes from now on, or with the oldest event that is "
         "still kept."},
    {.name = "renamed_from",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct uplink_common, renamed_from),
     .min = 1,
     .max = 63,
     .help = "The uplink's earlier name: it goes on with what is still owed under it."},
    {.name = "hold_max",
     .kind = OPTION_SHARE,
     .offset = offsetof(struct uplink_common, hold_max),
     .max = 1000000,
     .help = "The part of the buffer that this uplink may keep from being freed while it cannot "
             "send. Default: 50 % when there are several uplinks, else 100 %."},
    {.name = "backoff_max",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct uplink_common, backoff_max_ms),
     .min = 1000,
     .max = 3600000,
     .initial = "1 min",
     .help = "The longest wait between two tries."},
    {.name = "backfill_share",
     .kind = OPTION_SHARE,
     .offset = offsetof(struct uplink_common, backfill_share),
     .min = 10000,
     .max = 900000,
     .initial = "20 %",
     .help = "The part of what goes out that streams with `order` `fresh_first` get for what was "
             "left behind, while fresh events go out beside it. When there are none, all of it."},
    {.name = "link",
     .kind = OPTION_LIST,
     .flags = OPTION_ONE_OK | OPTION_LINK,
     .offset = offsetof(struct uplink_common, link),
     .max = 4,
     .item = &name_item,
     .help = "The link that it uses, by its name in `links`; or several, in order of preference: "
             "the first one whose interface is up is used, and connections are opened anew when "
             "that is another one. Default: none, nothing is limited."},
    {0},
};
