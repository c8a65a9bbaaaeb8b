/* The settings that every site has: agent, buffer, status, streams, and what all drivers and all uplinks
 * share. One struct and one option table each (ports/option.h); the classes bring their own. */
#ifndef WEIR_CONFIG_CORE_H
#define WEIR_CONFIG_CORE_H

#include "ports/option.h"
#include "ports/tls.h"

enum agent_log_level {
    AGENT_LOG_ERROR,
    AGENT_LOG_WARNING,
    AGENT_LOG_INFO,
    AGENT_LOG_DEBUG,
};

enum agent_clock { AGENT_CLOCK_PLAUSIBLE, AGENT_CLOCK_DISCIPLINED };

struct agent_options {
    const char *id;        /* NULL: the host's name, else the machine id: agent/ decides */
    const char *socket;    /* never NULL after loading: weir.sock beside the buffer by default */
    int64_t log_level;     /* enum agent_log_level */
    int64_t clock;         /* enum agent_clock */
    const char *time_zone; /* NULL: the system's */
    int64_t stop_grace_ms; /* how long an orderly stop waits for what is being sent */
};

struct buffer_medium {
    int64_t size;   /* bytes; 0: not known */
    int64_t cycles; /* of erasing */
    int64_t page;   /* bytes */
};

/* What is kept at rest is encrypted. Both are texts for aead_key_of_text(). */
struct buffer_encryption {
    bool is_set;
    const char *key;     /* NULL: what comes from now on is kept plain */
    const char *old_key; /* NULL: none. Of what was kept under another key than `key` */
};

struct buffer_options {
    const char *path;
    int64_t size_max;
    int64_t event_size_max;
    int64_t commit_interval_ms;
    bool keep_damaged;
    int64_t wear_max_per_day; /* bytes; 0: no bound */
    struct buffer_medium medium;
    struct buffer_encryption encryption;
};

/* The page, the metrics and the probes: agent/STATUS.md. */
struct status_options {
    bool enabled;
    const char *listen;
    struct option_list hosts; /* const char *: names it may be asked by */
    const char *token;        /* NULL: none is wanted */
    bool insecure;
    struct tls_options tls;
};

/* The numbers are those of enum when_full in buffer/buffer.h. */
enum stream_when_full {
    STREAM_BLOCK,
    STREAM_DROP_OLDEST,
    STREAM_DROP_NEWEST,
    STREAM_THIN,
};

enum stream_unknown_fields {
    STREAM_UNKNOWN_IGNORE,
    STREAM_UNKNOWN_SET_ASIDE,
    STREAM_UNKNOWN_EXTEND,
};

enum stream_order {
    STREAM_FIFO,
    STREAM_FRESH_FIRST,
};

enum stream_missing_fields {
    STREAM_MISSING_DEFAULT,
    STREAM_MISSING_SET_ASIDE,
};

/* The numbers are those of enum avro_mode in uplink/avro/compat.h. */
enum stream_compatibility {
    STREAM_COMPATIBLE_NONE,
    STREAM_COMPATIBLE_BACKWARD,
    STREAM_COMPATIBLE_FORWARD,
    STREAM_COMPATIBLE_FULL,
    STREAM_COMPATIBLE_BACKWARD_TRANSITIVE,
    STREAM_COMPATIBLE_FORWARD_TRANSITIVE,
    STREAM_COMPATIBLE_FULL_TRANSITIVE,
};

/* What may be given up of a field to send less. */
struct stream_field {
    struct option_decimal quantize;
    struct option_decimal deadband;
    bool ignore_changes;
};

struct stream_config {
    const char *schema;    /* path of an Avro schema; NULL: the built-in weir.Raw */
    int64_t compatibility; /* enum stream_compatibility */
    const char *key;       /* name of the schema field that is the key; NULL: none */
    const char *time; /* payload field that holds the event's own time; NULL: time of arrival */
    int64_t priority; /* 0..9 */
    int64_t order;    /* enum stream_order */
    int64_t fresh_after_ms;
    int64_t when_full; /* enum stream_when_full */
    int64_t thin_window_ms;
    int64_t share_min;          /* millionths of the buffer */
    int64_t age_max_ms;         /* 0: no bound */
    int64_t unknown_fields;     /* enum stream_unknown_fields */
    int64_t missing_fields;     /* enum stream_missing_fields */
    struct option_map fields;   /* name or path → struct stream_field */
    int64_t max_interval_ms;    /* of events within their deadbands */
    struct option_list uplinks; /* const char *; empty: all */
    const char *dead_letter; /* topic of what is set aside, with {stream} and {agent}; NULL: none */
    const char *renamed_from; /* NULL: it always had this name */
};

/* Which input goes to which stream, and what becomes a field that is not in the payload. The first
 * route that matches the event's subject takes it. */
struct route_options {
    const char *topic;     /* a pattern, see route_match(); NULL: everything */
    const char *stream;    /* never NULL */
    struct option_map set; /* field → template (const char *), see config/template.h */
};

struct driver_common {
    const char *type;
    const char *stream;        /* NULL: routes only. Else the last route, which takes all */
    struct option_map set;     /* as route_options.set, for what `stream` takes */
    struct option_list routes; /* struct route_options */
    int64_t ack_interval_ms;   /* how long a source that waits for its acknowledgement may wait */
};

enum uplink_layout { /* beyond AUTO as enum layout of ports/parcel.h */
                     UPLINK_LAYOUT_AUTO,
                     UPLINK_LAYOUT_ROWS,
                     UPLINK_LAYOUT_COLUMNS,
};

enum uplink_partition_by {
    UPLINK_BY_AUTO,
    UPLINK_BY_KEY,
    UPLINK_BY_AGENT,
};

enum uplink_from {
    UPLINK_FROM_NOW,
    UPLINK_FROM_OLDEST,
};

struct uplink_common {
    const char *type;
    struct option_list streams; /* const char *; empty: all */
    int64_t layout;             /* enum uplink_layout; config_uplink.layout is what it comes to */
    int64_t partition_by;       /* enum uplink_partition_by; likewise config_uplink.by_agent */
    int64_t batch_size_max;     /* raw bytes of one parcel */
    int64_t linger_ms;
    int64_t from;             /* enum uplink_from */
    const char *renamed_from; /* NULL: it always had this name */
    int64_t hold_max;         /* millionths of the buffer; never 0 after loading */
    int64_t backoff_max_ms;   /* longest wait between two tries */
    int64_t backfill_share;   /* millionths */
    struct option_list link;  /* const char *: names of links, in order of preference; empty: a
                                 link of its own, without limits */
};

enum link_when_spent {
    LINK_SPENT_STOP,
    LINK_SPENT_URGENT,
};

enum link_count {
    LINK_COUNT_CONNECTIONS,
    LINK_COUNT_INTERFACE,
};

struct link_window_options {
    const char *start; /* see config/cron.h; never NULL */
    int64_t duration_ms;
};

/* A way to the outside that belongs to the user: what may go over it, and when. The rules are in
 * agent/LINK.md. */
struct link_config {
    const char *interface; /* NULL: any; it is always there */
    bool metered;
    int64_t rate_max;        /* bits per second; 0: no bound */
    int64_t budget_per_hour; /* bytes; 0: none */
    int64_t budget_per_day;
    int64_t budget_per_month;
    int64_t month_day;          /* 1..28: the day on which the month of the bill begins */
    int64_t reserve;            /* millionths of each budget */
    int64_t reserve_priority;   /* from this on the reserve may be used */
    int64_t when_spent;         /* enum link_when_spent */
    int64_t priority_min;       /* events below do not go over it */
    struct option_list windows; /* struct link_window_options; empty: always open */
    int64_t window_priority;    /* from this on windows do not matter */
    int64_t share_min;          /* millionths, of the lowest lane that waits */
    int64_t jitter_ms;          /* longest wait after an outage; by `metered` when not given */
    int64_t count;              /* enum link_count */
};

extern const struct option agent_options_table[];
extern const struct option buffer_options_table[];
extern const struct option status_options_table[];
extern const struct option stream_options_table[];
extern const struct option driver_common_table[];
extern const struct option uplink_common_table[];
extern const struct option link_options_table[];

#endif
