/* What an uplink is: one destination. Uplinks never see the buffer or a driver.
 *
 *   target()  where do events of this stream and schema go, how large may they be?   loop
 *   place()   which partition does this key belong to?                               pack worker
 *   wrap()    the messages of one part as the bytes that go out                      pack worker
 *   built()   what of these bytes the part's record is to hold                       loop
 *   assign()  the numbers under which the parts will be known (then committed)       loop
 *   send()    lends a batch; done() comes exactly once                               loop
 *
 * A part of a parcel is sent as one batch; several batches may be lent at a time, at most one for
 * each partition of a target. */
#ifndef WEIR_PORTS_UPLINK_H
#define WEIR_PORTS_UPLINK_H

#include "ports/loop.h"
#include "ports/option.h"
#include "ports/parcel.h"
#include "ports/probe.h"
#include "ports/slice.h"

struct uplink;
struct uplink_host; /* forward's end; one per uplink instance */
struct pacer;
struct names;

/* A stream as uplinks know it. Lives as long as the uplink. */
struct stream_info {
    uint16_t number; /* the buffer's */
    const char *name;
    uint8_t priority;
    /* Not NULL: its events are dead letters, for this topic and in LAYOUT_LETTER, whatever else the
     * uplink's options say; only to uplinks that take them. */
    const char *letter_topic;
    const char *letter_of; /* then: the name of the stream whose events they were */
};

/* A schema version of a stream. Lives as long as the uplink. */
struct schema_info {
    uint32_t number; /* the buffer's */
    /* Canonical text as registered: names, docs and logical types kept, white space not. */
    struct slice json;
    uint8_t fingerprint[8]; /* CRC-64-AVRO of the parsing canonical form, little-endian */
};

#define ROW_SCHEMA_ID_SIZE_MAX 16

/* Where a parcel goes. Filled by target(), copied into the parcel, handed to place() and wrap(). */
struct target {
    /* Set by the caller: the layout of its messages, as far as it is not is_json or is_letter. */
    uint8_t layout;                  /* enum layout: ROWS, COLUMNS */
    char name[TARGET_NAME_SIZE_MAX]; /* topic, stream, path */
    char cluster_id[CLUSTER_ID_SIZE_MAX];
    uint32_t partition_count;  /* 1 where there are none */
    uint32_t request_size_max; /* bytes of one wrapped part */
    uint32_t record_size_max;  /* bytes of one message */
    uint8_t prefix[24];        /* in front of each message: wire format of the registry */
    uint8_t prefix_size;
    /* COLUMNS: how a message names the schema of its rows: 4 bytes, a registry's id; none: by the
     * text's CRC-64-AVRO. */
    uint8_t row_schema_id[ROW_SCHEMA_ID_SIZE_MAX];
    uint8_t row_schema_id_size;
    /* COLUMNS: events of one message, where a message is a request of its own; 0: no limit. */
    uint32_t events_per_record_max;
    bool is_plain;  /* wrap() does not compress: COLUMNS compares sizes as they are */
    bool is_json;   /* rows go out as plain JSON (LAYOUT_JSON), and `prefix` is not used */
    bool is_letter; /* as dead letters (LAYOUT_LETTER), likewise */
    /* ROWS: `prefix` is Glue's; a datum that zlib makes smaller goes as its stream, and the prefix then
     * says so (framing.h). */
    bool has_zlib;
};

/* One message: with rows one event, with columns many. */
struct message {
    struct slice key;  /* data NULL: no key */
    struct slice body; /* prefix included; data NULL: a tombstone, only with a key */
    uint64_t sequence; /* of its first event */
    int64_t time_us;   /* of its first event */
    uint32_t event_count;
    /* Its own headers: name and value of each, each behind its uvarint size. */
    struct slice headers;
    uint32_t header_count;
    bool is_packed; /* the body is a zstd frame, by a dictionary: so are all of its part */
};

enum send_result {
    SEND_OK,        /* it is there, now or from an earlier try */
    SEND_RETRY,     /* the same again: nothing is known, or nothing was stored */
    SEND_TOO_LARGE, /* nothing was stored, the numbers are free: halve it */
    /* Nothing was stored, the numbers are free, an event in it is bad: halve it, set the last one
     * aside. */
    SEND_REJECTED,
    /* It is certain, or the user's policy, that it goes under new numbers: assign(), commit, send. */
    SEND_REASSIGN,
    SEND_ASIDE, /* in doubt, and the user's policy is to set it aside */
    /* A wrong setting or missing right: the same again after a long wait; shown as the uplink's
     * fault. */
    SEND_PARK,
};

struct send_report {
    enum send_result result;
    int code;               /* the protocol's own number, for log and park rule; 0: none */
    int64_t retry_after_ms; /* the peer asked for it; 0: the caller's own backoff */
    bool was_duplicate;     /* with SEND_OK: the peer had it already (counted only) */
    /* This try leaves no doubt: what of it is stored, the uplink knows. Else, where it does not end the
     * batch, nobody does. */
    bool is_clear;
    char text[160]; /* for the log and for set-aside events; no secrets */
};

/* Lent with send() until done(). */
struct batch {
    const struct parcel *parcel;
    struct part *part; /* this batch's; the uplink fills it in built() and assign() only */
    const struct stream_info *stream;
    const struct schema_info *schema;
    struct target target;
    const struct message *messages; /* during wrap() only */
    size_t message_count;           /* during wrap() only */
    struct slice wire;              /* wrap()'s bytes */
    uint8_t *wire_memory;           /* the same, writable: the uplink may patch them */
    uint64_t first, last;           /* of its events; gaps where other parts have theirs */
    uint32_t event_count;
    uint8_t lane; /* the stream's priority: which batch goes first */
    /* It may be stored by a try before, of this process or an earlier one: a refusal proves nothing.
     * Tries that left no doubt are not meant. */
    bool again;
    const char *identity; /* agent id/incarnation, with wrap(), for headers; NULL: not known */
    struct batch *next;   /* the uplink's, while it is lent */
    uint64_t lent_ms;     /* likewise */
};

/* --- what an uplink may call; implemented by agent/forward.c, in uplink tests by a double --- */

/* Ends a send(). Never within send(). The batch is the caller's again. */
void uplink_done(struct uplink_host *host, struct batch *batch, const struct send_report *report);

/* target() or assign() said ERR_AGAIN, and may now say more. */
void uplink_ready(struct uplink_host *host);

/* A registry's id for a schema became known: committed, and given back by uplink_remote_id() after
 * a restart. */
void uplink_remote_id_set(struct uplink_host *host, uint32_t schema, struct slice id);
/* False when none is known. */
bool uplink_remote_id(struct uplink_host *host, uint32_t schema, uint8_t *ret_id,
                      size_t *ret_size) MUST_USE;

/* For status and log: why nothing can be sent at the moment; NULL: all is well again. */
void uplink_fault(struct uplink_host *host, const struct why *why);
void uplink_count(struct uplink_host *host, const char *name, uint64_t add);
const char *uplink_name(const struct uplink_host *host);

/* The largest number of bytes that one request may have now, by the link's measured rate. */
uint32_t uplink_request_size(struct uplink_host *host);
/* How connections are to be opened now, by the link that is used. Until relink(), but for the size. */
struct uplink_link {
    const char *interface_name; /* to bind them to; NULL: any */
    struct pacer *pacer;        /* NULL: none */
    uint32_t send_buffer_size;  /* what the link carries in about a second; 0: not known */
    uint32_t keepalive_s;       /* 0: the usual */
};
void uplink_link(const struct uplink_host *host, struct uplink_link *ret);
/* Bytes that went over the link, both ways, as the network counts them. */
void uplink_wire_bytes(struct uplink_host *host, uint64_t sent, uint64_t received);

/* --- what an uplink is --- */

struct uplink_setup {
    struct uplink_host *host;
    struct loop *loop;
    struct names *names;
    struct tickets *tickets; /* for its TLS sessions; NULL: they are not kept through restarts */
    const void *options;
    const char *agent_id;
    uint32_t incarnation;
};

struct uplink_class {
    const char *type;
    const char *help;
    const struct option *options;
    size_t options_size;
    /* Its service does not know what it has already, and there are no names or numbers by which it could:
     * what a try has left in doubt may be there twice. Forward counts that as `in_doubt`: batches that come
     * back so, and at start those that an earlier life may have sent. */
    bool forgets;
    /* What `weir check --online` finds out for it (ports/probe.h). NULL: nothing needs the
     * network. */
    enum err (*probe)(struct probe **ret, const struct probe_setup *setup) MUST_USE;
    /* What can be said about the options together, each being valid. NULL: nothing. */
    enum err (*check)(const void *options, struct why *why);
    enum err (*open)(struct uplink **ret, const struct uplink_setup *setup,
                     struct why *why) MUST_USE;
    /* Can messages be columns with these options? ERR_CONFIG: *why. NULL: they can't. */
    enum err (*columns)(const void *options, struct why *why);
    /* The path of the dictionary that its messages in columns are packed by. NULL: none; the function
     * NULL: its messages can't be. */
    const char *(*dictionary)(const void *options);
    /* Can this be the topic of the dead letters of stream `of`, beside the events of `stream`?
     * ERR_CONFIG: *why. NULL: the uplink takes none. */
    enum err (*letter)(const void *options, const char *topic, const char *of, const char *stream,
                       struct why *why);
    /* ERR_AGAIN: not known yet, uplink_ready() follows; *why says it when a person is needed (a topic
     * is missing), else it is left as it is. ERR_REJECTED or ERR_CONFIG: parked for this
     * stream (registry refuses the schema, topic name not allowed); *why says it; asked again after
     * a minute. */
    enum err (*target)(struct uplink *uplink, const struct stream_info *stream,
                       const struct schema_info *schema, struct target *ret,
                       struct why *why) MUST_USE;
    /* Pure. `key` may have data NULL; `sequence` spreads events without a key. Result <
     * partition_count. */
    uint32_t (*place)(const struct target *target, struct slice key, uint64_t sequence);
    /* The field of the stream's events that says "what was known of this key is gone": where it is
     * true the message has no body. NULL: the stream has none, or the uplink no such messages. */
    const char *(*tombstone)(const void *options, const char *stream);
    /* What `weir check` says of a stream's schema with these options. ERR_CONFIG: *why says what is
     * wrong, *ret_member is the option. NULL: each schema is as good as another. */
    enum err (*fits)(const void *options, struct slice schema, const char **ret_member,
                     struct why *why) MUST_USE;
    /* Pure but for the options: lays the messages of one part into `ret` as they will go out; what
     * assign() gives is patched in later by send(). ERR_FULL: does not fit request_size_max or
     * `ret`: the caller takes fewer events. */
    enum err (*wrap)(const void *options, const struct batch *batch, struct out *ret) MUST_USE;
    /* What wrap() made is on the loop, not assigned yet: the uplink may take from its bytes what
     * identifies the part, and keep it in the part's numbers, unless they are on record already.
     * NULL: assign() knows all. */
    void (*built)(struct uplink *uplink, struct batch *batch);
    /* Gives each of these parts (indices; not done, not assigned, at most one a partition) its
     * numbers, and sets `assigned`. Numbers that a refusal left free are given again. ERR_AGAIN:
     * uplink_ready() follows. */
    enum err (*assign)(struct uplink *uplink, struct parcel *parcel, const uint32_t *parts,
                       size_t part_count) MUST_USE;
    void (*send)(struct uplink *uplink, struct batch *batch);
    /* From the next turn on the link is another one: what connections have carried is counted within
     * the call, then they are closed, and opened anew as uplink_link() says. NULL:
     * it has none. */
    void (*relink)(struct uplink *uplink);
    /* Orderly stop: no new connections; what is lent comes back by done() within `grace_ms`, as
     * SEND_RETRY if need be. */
    void (*stop)(struct uplink *uplink, int64_t grace_ms);
    /* Nothing is lent any more, or the caller gives up on it: no done() after this. */
    void (*close)(struct uplink *uplink);
};

struct uplink {
    const struct uplink_class *class_;
};

#endif
