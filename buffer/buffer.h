/* The buffer: events, kept safely in one SQLite database until every uplink has delivered them.
 *
 * One connection, one thread: every function here runs on the store worker (at start and in tools:
 * on the only thread there is). The buffer never looks into a datum. "Stored" means that
 * buffer_commit() has returned ERR_OK: COMMIT returned with everything synced. What a commit
 * carries becomes durable together or not at all: events, cursors, parts that are done, parcels
 * about to be sent, ids of registries, set-aside events. */
#ifndef WEIR_BUFFER_BUFFER_H
#define WEIR_BUFFER_BUFFER_H

#include "ports/clock.h"
#include "ports/err.h"
#include "ports/parcel.h"
#include "ports/slice.h"

#define BUFFER_FORMAT_VERSION 1
#define RECORD_SIZE_MAX (128 * 1024)   /* one commit's record, raw */
#define WRITE_SIZE_MAX (64 * 1024)     /* raw datums in one write batch before intake closes it */
#define EVENT_SIZE_DEFAULT (64 * 1024) /* event_size_max */
#define EVENT_SIZE_LIMIT (1024 * 1024)
#define WRITE_EVENT_MAX 4096 /* events in one commit */
#define STREAM_NAME_SIZE_MAX 64
/* The agent's own streams begin so. What nobody carries of them any more is let go. */
#define BUFFER_OWN_NAME "weir."
#define ASIDE_BODY_SIZE_MAX (64 * 1024) /* larger ones are cut */
#define ASIDE_HEAD_SIZE_MAX (20 * 1024) /* never cut: the caller keeps it */
#define REASON_SIZE_MAX 256
#define BUFFER_PARCEL_MAX 64 /* open at one time: a commit that opens more fails */

struct buffer;
struct machine;

/* --- events --- */

enum time_trust {
    TIME_PAYLOAD = 1, /* the event's own time */
    TIME_WALL = 2,    /* arrival, by a trusted wall clock */
    TIME_BOOT = 3,    /* arrival: microseconds of the monotonic clock of boot `boot`; wall time once
                         that boot's offset is known */
    /* Not stored, but made of TIME_BOOT when reading for an uplink: */
    TIME_LATER = 4,    /* wall time, by the boot's offset */
    TIME_ESTIMATE = 5, /* the latest wall time that can be */
};

/* A schema field that is filled in when packing, because it is not known at intake. The datum has
 * no bytes for it. */
enum fill_kind {
    FILL_NONE = 0,
    FILL_TIME_MILLIS, /* long */
    FILL_TIME_MICROS, /* long */
    FILL_TIME_NANOS,  /* long */
    FILL_ID,          /* string: agent/incarnation/stream/sequence */
    FILL_TIME_TRUST,  /* string */
};
#define FILL_MAX 3

struct fill {
    uint8_t kind;    /* enum fill_kind */
    uint32_t offset; /* in the datum without any fills */
};

struct stored_event {
    uint16_t stream;
    uint32_t schema; /* buffer_schema_add()'s number */
    uint64_t sequence;
    int64_t time_us;  /* by `trust` */
    uint32_t boot;    /* with TIME_BOOT: the boot counter */
    uint8_t trust;    /* enum time_trust */
    uint32_t dropped; /* with FULL_DROP_NEWEST: not an event, but so many, from `sequence` on, that
                         were dropped on arrival; no datum. 0: an event */
    uint8_t fill_count;
    struct fill fills[FILL_MAX];
    struct slice datum;
};

/* --- opening --- */

/* What becomes of a stream's events when the buffer is full. */
enum when_full {
    FULL_BLOCK,       /* new ones find no room: buffer_changes.room */
    FULL_DROP_OLDEST, /* the oldest row goes */
    FULL_DROP_NEWEST, /* new ones find no room, and the caller drops them: stored_event.dropped */
    FULL_THIN,        /* the oldest row that is still whole keeps what buffer_setup.thinner chooses;
                         when there is none any more, the oldest row goes */
};

/* Chooses which events stay of a row that is thinned: a function of these events only. First each
 * is looked at, in order, then it is asked of each whether it stays, by its place in that order.
 * Events live from begin() to the last stays(). On the store worker. */
struct buffer_thinner {
    void (*begin)(void *context, uint16_t stream, uint32_t schema);
    void (*look)(void *context, const struct stored_event *event);
    bool (*stays)(void *context, size_t index);
    void *context;
};

struct buffer_stream {
    const char *name;
    const char *renamed_from; /* its earlier name, under which something may be kept; or NULL */
    uint8_t priority;         /* 0..9 */
    uint8_t when_full;        /* enum when_full */
    int64_t share_min;        /* millionths of the cap that nobody else may take */
    int64_t size_max;   /* raw bytes, about: beyond it its oldest row gives way; 0: no bound */
    int64_t age_max_us; /* events that are older are dropped, while the wall clock is trusted; 0: no
                           bound */
    uint32_t uplinks;   /* bit i: owed to buffer_setup.uplinks[i] */
};

struct buffer_uplink {
    const char *name;
    const char *renamed_from;
    bool from_oldest; /* a new uplink: everything that is stored is owed, else only what comes */
    int64_t hold_max; /* millionths of the cap that it may pin; 1000000: no limit */
};

/* Rules left out, so that the tests can show that each of them is needed. Never in an agent. */
enum buffer_weakness {
    WEAK_PSOW = 1,        /* the device is trusted not to harm neighbouring bytes */
    WEAK_SYNC_NORMAL = 2, /* a commit is not synced */
    WEAK_OLD_LOG = 4,     /* opening goes on with the log that is there */
    WEAK_BOOT_FIRST = 8,  /* opening writes before the first RESTART */
    WEAK_RETRY = 16,      /* a failed commit is tried again at once */
};

/* What xFileControl() of a file system layer other than SQLite's own is asked, to give the file this
 * name (a const char *). */
#define BUFFER_FCNTL_RENAME 0x77656972
#define BUFFER_FCNTL_ROOM 0x77656973 /* bytes that are free, into a uint64_t */

/* What the last try to replace a damaged file found of the room for a fresh one. Zeros at first. */
struct buffer_room {
    uint64_t needed; /* free on the disk, before the next try; 0: any; UINT64_MAX: it had room, and
                          took nothing all the same */
    uint64_t again_us; /* then it is tried in any case; monotonic */
};

struct buffer_setup {
    const char *path;
    const char *vfs; /* NULL: SQLite's own; tests: the crash VFS */
    const char *agent_id;
    const struct machine
        *machine;     /* this one; NULL: it does not matter, for nothing is stored under new
                                      sequences. With another one than at the last opening a new
                                      incarnation begins */
    int64_t size_max; /* database and WAL, bytes */
    int64_t event_size_max;
    struct buffer_stream streams[STREAM_COUNT_MAX];
    size_t stream_count;
    struct buffer_uplink uplinks[UPLINK_COUNT_MAX];
    size_t uplink_count;
    struct buffer_thinner thinner; /* with a stream that has FULL_THIN */
    bool keep_damaged;             /* a damaged file that was salvaged is not removed */
    bool read_only; /* tools, with the agent stopped: nothing is created or changed */
    bool as_it_is;  /* tools, with the agent stopped: streams, uplinks and the cap are the file's
                       own; nobody joins or leaves */
    /* 32 bytes each, read during buffer_open() only. `key`: what is stored from now on is encrypted
     * with it; NULL: it is not. `old_key`: what was stored under it can be read; NULL: none. What
     * is in the file under another key is refused. */
    const uint8_t *key;
    const uint8_t *old_key;
    struct buffer_room *room; /* kept from one opening to the next, which else writes the same in
                                 vain; NULL: there is no other */
    bool *ret_joined; /* set, also when opening fails behind that: the file has who joined, left and
                         is renamed; a setup of before may not fit it any more; or NULL */
    unsigned weak;    /* tests: enum buffer_weakness; else 0 */
};

/* Opens, recovers, and makes durable what opening needs. Stream and uplink numbers:
 * buffer_stream_number(), ... ERR_VERSION: made by a newer version, or not ours; ERR_CONFIG: a
 * stream or uplink with owed rows is missing in the setup (*why names it and the count), or the file
 * is encrypted with a key that was not given; ERR_AUTH,
 * ERR_CLOSED, ERR_IO, ERR_NOSPACE, ERR_READONLY: the file system's reasons; ERR_FULL: locked by
 * another process; ERR_CORRUPT: damaged, and not ours beyond doubt, or opened read_only. A damaged
 * file of ours is moved aside and replaced, and salvaged by buffer_care(): salvage.h. */
enum err buffer_open(struct buffer **ret, const struct buffer_setup *setup,
                     struct why *why) MUST_USE;
/* Closes; the WAL is checkpointed if that works. NULL is allowed. */
void buffer_close(struct buffer *buffer);

/* Are these the keys of the file? Of the setup, which is `read_only`, it takes path, vfs and keys.
 * ERR_CONFIG: they are not. Else as buffer_open(). */
enum err buffer_check_keys(const struct buffer_setup *setup, struct why *why) MUST_USE;

/* What failed last because of the disk (ERR_NOSPACE, ERR_READONLY, ERR_IO) since it was opened; "":
 * nothing has. */
const char *buffer_disk_trouble(const struct buffer *buffer);

/* The one of what is stored from now on. Constant while it is open, and so are the next three: any
 * thread. */
uint32_t buffer_incarnation(const struct buffer *buffer);
/* The one that an event was stored under, which stays part of its name: an earlier one where the file
 * was used on another machine then. It is that of all from there to *ret_last. */
uint32_t buffer_incarnation_at(const struct buffer *buffer, uint16_t stream, uint64_t sequence,
                               uint64_t *ret_last);
/* Until this opening, which found another machine; 0: the same as now. */
uint32_t buffer_incarnation_before(const struct buffer *buffer);
/* Is it the one of now, or an earlier one of which there may be events? */
bool buffer_incarnation_is_ours(const struct buffer *buffer, uint32_t incarnation);
uint32_t
buffer_boot(const struct buffer *buffer); /* counter of openings of which the current is the last */
uint16_t buffer_stream_number(const struct buffer *buffer, const char *name); /* 0: none */
/* The name of a stream's number, "" when it is not used. */
const char *buffer_stream_name(const struct buffer *buffer, uint16_t stream);
uint16_t buffer_uplink_number(const struct buffer *buffer, const char *name); /* 0: none */

/* --- what is kept beside events --- */

/* The number of this schema text of a stream; added durably when it is new. Then room is made for it
 * as for an event of the stream, with commits of their own. ERR_NOSPACE: not enough gives way.
 * fingerprint: 8 bytes CRC-64-AVRO, little-endian. */
enum err buffer_schema_add(struct buffer *buffer, uint16_t stream, struct slice json,
                           const uint8_t fingerprint[8], uint32_t *ret_schema,
                           struct why *why) MUST_USE;
/* Every known schema, in order of numbers. */
void buffer_schema_each(const struct buffer *buffer,
                        void (*each)(void *context, uint16_t stream, uint32_t schema,
                                     struct slice json),
                        void *context);
enum err buffer_remote_each(struct buffer *buffer,
                            void (*each)(void *context, uint16_t uplink, uint32_t schema,
                                         struct slice id),
                            void *context) MUST_USE;
/* Durable number of a driver by its configured name; made when new. */
enum err buffer_driver_number(struct buffer *buffer, const char *name, uint16_t *ret,
                              struct why *why) MUST_USE;
/* The same for who only reads: 0 when there is none. */
enum err buffer_driver_find(struct buffer *buffer, const char *name, uint16_t *ret,
                            struct why *why) MUST_USE;
enum err buffer_cursor_each(struct buffer *buffer, uint16_t driver,
                            void (*each)(void *context, uint32_t key, struct slice value),
                            void *context) MUST_USE;

/* --- committing --- */

struct cursor_change {
    uint16_t driver;
    uint32_t key;
    struct slice value; /* empty: delete */
};

struct part_done {
    uint16_t uplink;
    uint16_t stream;
    uint8_t lane;
    uint32_t part; /* index in the parcel */
};

/* Says how a part of the owed ranges ended other than by delivery (set aside, dropped on purpose):
 * the range is no longer owed. */
struct owed_end {
    uint16_t uplink;
    uint16_t stream;
    struct range range;
};

enum aside_kind { ASIDE_PAYLOAD, ASIDE_DATUM };

struct aside {
    int64_t time_us;
    uint16_t stream;   /* 0: none found */
    uint64_t sequence; /* DATUM: the event's; else 0 */
    uint16_t uplink;   /* DATUM: who refused it; else 0 */
    uint8_t kind;      /* enum aside_kind */
    uint32_t schema;   /* DATUM */
    uint64_t size;     /* true size of the body */
    struct slice source;
    struct slice reason;
    struct slice
        head; /* what the caller wants to know of it later; the buffer doesn't look into it */
    struct slice body;
    bool is_damaged; /* when reading: its checksum is wrong, or no key fits; nothing is in it */
};

struct remote_id {
    uint16_t uplink;
    uint32_t schema;
    struct slice id; /* 1..REMOTE_ID_SIZE_MAX */
};

struct boot_offset {
    uint32_t boot;
    int64_t offset_us; /* wall = monotonic + offset; committed once, never revised */
    bool is_estimate;
};

/* What a person asks for (buffer/look.h finds the ranges). The caller keeps it until the commit is
 * durable; the commit fills in what it came to. */
enum order_kind {
    ORDER_DROP,  /* is no longer owed: counted, and reported as a gap. What is being sent stays */
    ORDER_AGAIN, /* is owed (again) to an uplink that carries the stream */
    /* A set-aside event goes. With an uplink: `range` of the stream, which comes in its place with this
     * very commit, is owed to that one only. */
    ORDER_ASIDE_DROP,
};

struct buffer_order {
    uint8_t kind;    /* enum order_kind */
    uint16_t uplink; /* DROP: 0: all */
    uint16_t stream;
    struct range range;
    bool
        with_sent; /* DROP, with the agent stopped: parcels that lie within go too. Their events are
                       counted as lost, though they may have arrived */
    int64_t aside; /* ASIDE_DROP: its id */
    uint64_t count; /* events that were dropped, or are owed now and were not */
    uint64_t left;  /* DROP: events that are owed and stay */
};

/* Everything of one commit, applied in the order of the members: events, cursors, dones, ends,
 * parcels, ... (so the part that closes one parcel and the next parcel in the same slot may come
 * together). The buffer copies what it keeps. Events of a stream are in the order of their
 * sequences, without gap after what is stored. Sizes together within RECORD_SIZE_MAX; a single
 * event over WRITE_SIZE_MAX comes alone. */
struct buffer_write {
    const struct stored_event *events;
    size_t event_count;
    const struct cursor_change *cursors;
    size_t cursor_count;
    const struct part_done *dones;
    size_t done_count;
    const struct owed_end *ends;
    size_t end_count;
    const struct parcel *const *parcels; /* opened, or opened anew with other parts (replaces the
                                            slot: uplink, stream, lane) */
    size_t parcel_count;
    const struct aside *asides;
    size_t aside_count;
    const struct remote_id *remotes;
    size_t remote_count;
    const struct boot_offset *boots;
    size_t boot_count;
    int64_t wall_us; /* the wall clock, if it is trusted; 0: it is not, and nothing is too old */
    const uint32_t
        *gaps_told; /* struct gap.number of gaps that this commit's events hand to weir.events, as
                       they were before this commit */
    size_t gap_told_count;
    struct buffer_order *const *orders;
    size_t order_count;
};

/* What an uplink still has to deliver of a stream, after a commit. */
struct owed {
    uint16_t uplink;
    uint16_t stream;
    uint8_t range_count;
    struct range ranges[OWED_RANGE_MAX]; /* rising, disjoint */
};

enum gap_reason {
    GAP_DROP_OLDEST = 1, /* gave way to newer ones, or to a higher priority */
    GAP_HOLD_MAX,        /* its uplink had more than it may keep */
    GAP_DAMAGED,
    GAP_MERGED,      /* several reasons: too many gaps to keep them apart */
    GAP_DROP_NEWEST, /* found no room when it came */
    GAP_THIN,        /* gave way to the events of its window that were kept */
    GAP_AGE,         /* older than its stream wants */
    GAP_BY_HAND,     /* weir buffer drop */
};
#define GAP_REASON_MAX GAP_BY_HAND
#define GAP_REASON_COUNT (GAP_REASON_MAX + 1)
#define GAP_COUNT_MAX 320       /* more than there are streams: two of one can always be merged */
#define GAP_STREAM_COUNT_MAX 64 /* of one stream */

/* "drop_oldest", ...: as weir.events and the status have it. */
const char *gap_reason_name(uint8_t reason);

/* Events that were dropped and not yet told to weir.events. Those that every uplink lost which the
 * stream goes to have uplink 0; an event that some of them had delivered, or never got, is in a gap
 * of each of the others. So what an uplink lacks is exactly what gaps of it and of 0 count; of damage at
 * most that, because what a row had is not known any more: it may have been thinned. */
struct gap {
    uint32_t number;
    uint16_t stream;
    uint16_t uplink;    /* 0: for all */
    uint8_t reason;     /* enum gap_reason */
    struct range range; /* hull of what was lost */
    uint64_t count;     /* exact; DAMAGED: at most so many, 0 when it is not known */
};

struct stream_state {
    uint64_t sequence_next;
    uint64_t event_count;               /* stored and owed to somebody */
    uint64_t size;                      /* raw bytes of these, about */
    uint64_t dropped_count;             /* since the database was made: the counts of all gaps */
    uint64_t dropped[GAP_REASON_COUNT]; /* of these, by reason */
    int64_t oldest_time_us;             /* 0: none */
};

/* Counted at the file system's seam, since the process started. */
struct buffer_wear {
    uint64_t bytes;       /* written, as 4 KiB blocks dirtied between two syncs */
    uint64_t bytes_asked; /* as handed to write() */
    uint64_t syncs;
    uint64_t commits;
    uint64_t events;      /* committed */
    uint64_t event_bytes; /* datums of these */
};
void buffer_wear(const struct buffer *buffer, struct buffer_wear *ret);

/* Damage, since the process started. */
struct buffer_damage {
    uint64_t replaced;  /* files */
    uint64_t logs;      /* write-ahead logs whose end was lost */
    uint64_t forgotten; /* times that it was not known any more what to salvage from which file */
    bool salvages;      /* is under way */
    uint64_t found;     /* events of the last salvaged file that came over */
    uint64_t lost;      /* that were wanted and could not be read */
};

/* After a commit: what changed, by value; memory of the buffer, valid until the next commit. */
struct buffer_changes {
    const struct owed *owed; /* entries that changed; after buffer_open all: see buffer_state() */
    size_t owed_count;
    const struct gap *gaps; /* all that are not told yet, at most GAP_COUNT_MAX */
    size_t gap_count;
    /* Bytes (raw datums) that each stream may add until the next commit, indexed by stream number;
     * 0: ERR_FULL to its sources. */
    const uint32_t *room;
    const struct stream_state *streams; /* indexed by stream number */
    uint64_t file_size;                 /* database and WAL */
    uint64_t used_share;                /* millionths of size_max that hold something */
    bool file_is_tight;                 /* at least 90 % full: acknowledge at once */
    bool disk_full;                     /* others have filled the disk, the file can't grow: see
                                           buffer_look() */
    /* Wall time at which something may be too old: a commit is wanted then, even an empty one.
     * INT64_MAX: no stream has an age_max. */
    int64_t age_due_us;
    uint64_t aside_count;
    uint64_t unsaved; /* buffer_keep() was called so often since the last commit */
    struct buffer_damage damage;
    struct buffer_wear wear;
};

/* ERR_NOSPACE (cap or disk), ERR_IO, ERR_READONLY, ERR_NOMEM: nothing of it is stored, everything
 * may be offered again, unchanged or with more; the rule "after a failed commit roll back,
 * checkpoint until it succeeds, only then commit again" is kept inside. A damaged database is
 * replaced within the call. ret_changes may be NULL. */
enum err buffer_commit(struct buffer *buffer, const struct buffer_write *write,
                       struct buffer_changes *ret_changes, struct why *why) MUST_USE;

/* With buffer_changes.disk_full: has the disk room again? Writes nothing but, then, zeros behind
 * what the file has, and before it what a failed checkpoint has left; so it may be asked again and
 * again without a commit. */
void buffer_look(struct buffer *buffer, struct buffer_changes *ret_changes);

/* While commits fail with ERR_IO or ERR_READONLY: dones, ends and parcels of `write` are taken into
 * the state in memory, and nothing else of it. They are written with the next commit that succeeds;
 * without one they are gone with the process, and what was sent meanwhile may be sent again.
 * Nothing is deleted. */
enum err buffer_keep(struct buffer *buffer, const struct buffer_write *write,
                     struct buffer_changes *ret_changes, struct why *why) MUST_USE;

/* The state as the last commit (or the opening) left it. */
void buffer_state(struct buffer *buffer, struct buffer_changes *ret);
/* Every open parcel, as stored. */
void buffer_parcel_each(struct buffer *buffer,
                        void (*each)(void *context, const struct parcel *parcel), void *context);
/* An arrival by the monotonic clock (TIME_BOOT) becomes wall time, in place: TIME_LATER or
 * TIME_ESTIMATE. False: the offset of its boot is not known yet. Offsets come in the order of boots,
 * and the latest are kept: where a later one is known, its own is not to come any more, and the
 * event gets the time at which the clock of that later boot began. */
bool buffer_time(const struct buffer *buffer, struct stored_event *event);

/* --- reading --- */

#define ROWS_EVENT_MAX 16384

/* Events read for a batch: the caller's memory. */
struct rows {
    struct stored_event *events;
    size_t event_max;
    size_t event_count;
    struct out arena;     /* datums */
    struct range covered; /* what was looked at: first..last, sequences that are gone included.
                             Empty: last < first */
    bool schema_changed;  /* stopped because the next event has another schema */
    bool is_look;         /* set by the caller: not for sending, keeps nothing from being evicted */
    bool has_damaged;     /* damaged rows were skipped */
};

/* Reads events of a stream from range.first on, up to range.last, to `size_max` bytes of datums (at
 * least one event), to the room in `rows`, or to a change of schema. Damaged rows are skipped,
 * counted and reported as a gap by the next commit. ERR_AGAIN: a commit, or buffer_care(), has to
 * come first: so many damaged rows were found (not of a look), or the file is damaged as a whole. */
enum err buffer_read(struct buffer *buffer, uint16_t stream, struct range range, size_t size_max,
                     struct rows *ret, struct why *why) MUST_USE;

/* Set-aside events behind this id, in the order of ids; their content is valid during the call. */
enum err buffer_aside_each(struct buffer *buffer, int64_t id_after, size_t count_max,
                           void (*each)(void *context, int64_t id, const struct aside *aside),
                           void *context, struct why *why) MUST_USE;

#endif
