/* Inside of the buffer: what its files share. */
#ifndef WEIR_BUFFER_INTERNAL_H
#define WEIR_BUFFER_INTERNAL_H

#include <sqlite3.h>

#include "buffer/buffer.h"
#include "buffer/crypt.h"
#include "buffer/record.h"
#include "buffer/state.h"
#include "ports/event.h"
#include "ports/identity.h"
#include "ports/lib/zstd.h"

#define PAGE_SIZE 4096
#define BUFFER_PATH_SIZE 1024
#define FILE_NAME_SIZE (BUFFER_PATH_SIZE + 64) /* with what is added to it for files beside */
#define TAIL_BLOB_SIZE (160 * 1024)
#define TAIL_SECTION_MAX 4096
/* Behind what it is that is so. */
#define NEWER_VERSION \
    "of a newer version and left alone; install that version again, or name another buffer.path"
#define CHECKPOINT_PAGES 250
#define WAL_WARM_SIZE (2 * 1024 * 1024)
#define WAL_FRAME_MAX (WAL_WARM_SIZE / (PAGE_SIZE + 24) - 2)
#define RESERVE_PAGES 64 /* for the seal, acknowledgements, state */
#define DELETES_PER_COMMIT 16
#define REWRITE_PER_COMMIT (64 * 1024) /* bytes of rows that are thinned, and one row more */
#define LOOKS_PER_COMMIT 16            /* rows that are unpacked to see how old they are */
#define SEAL_LEVEL 3                   /* zstd's */
/* When seals come so fast, processor time is what is short: rows are made at half of it, and are a
 * tenth larger. */
#define SEAL_HURRY_US 1000000
#define SEAL_LEVEL_HURRY (-1)
/* Without memory for that: a window of 16 KiB, which takes a seventh of it. */
#define SEAL_WINDOW_TIGHT 14
#define CHANGED_CURSOR_MAX 512
#define DAMAGED_MAX 16
#define DAMAGED_TOLD 1 /* by buffer_keep(), and still owed: it is deleted with the next commit */
#define READ_KEPT UPLINK_COUNT_MAX
#define KEY_SLOT_COUNT 2
#define CURSOR_IS_ENCRYPTED 1 /* columns[2] of a cursor's checksum */
#define ASIDE_MORE 512        /* of the file, for what a set-aside event has beside its body */
/* Added to the kind of a set-aside event: aside.c. */
#define ASIDE_IS_ENCRYPTED 16
#define ASIDE_HAS_HEAD 32

/* Events of the tail: one E section of one record. */
struct tail_section {
    uint16_t stream;
    uint32_t schema;
    uint64_t first;
    uint32_t count;
    uint32_t offset; /* of its events in tail_memory */
    uint32_t size;
};

/* A cursor that changed since the last seal. */
struct changed_cursor {
    uint16_t driver;
    uint32_t key;
    uint32_t size;
    uint8_t *value; /* CURSOR_SIZE_MAX bytes; made at the first use of this place in the list */
};

/* Where a row is, and how much of the file it takes. */
struct row_place {
    struct range range;
    uint64_t size;  /* of its body */
    uint64_t count; /* events */
    bool sparse;    /* not all of the range: it was thinned */
};

/* A row that was taken out of the table, checked and unpacked. */
struct row {
    int64_t id;
    uint64_t last;
    struct event_run events; /* in b->scratch */
};

/* Read, and a parcel is about to be made of it, by so many uplinks as read it; 0: it was. */
struct read_kept {
    struct range range;
    size_t count;
};

/* A key that the file's content may be under: which of those that were given at opening. */
enum key_owner { SLOT_EMPTY, SLOT_KEY, SLOT_OLD_KEY, SLOT_FOREIGN };

struct key_slot {
    enum key_owner owner;
    uint8_t proof[KEY_PROOF_SIZE];
};

enum low_row { LOW_UNKNOWN, LOW_NONE, LOW_KNOWN };

struct buffer_stream_slot {
    char name[STREAM_NAME_SIZE_MAX];
    bool configured;
    uint8_t priority;
    uint8_t when_full;
    int64_t share_min;
    int64_t size_max;    /* 0: no bound of its own */
    int64_t age_max_us;  /* 0: no bound */
    int64_t age_due_us;  /* wall time: before it nothing is too old; 0: look at once */
    uint64_t whole_from; /* rows below were thinned, or can't be; 0: not known yet */
    enum low_row low;
    struct row_place low_row;
    struct read_kept reads[READ_KEPT];
    size_t read_next;
};

struct buffer_uplink_slot {
    char name[STREAM_NAME_SIZE_MAX];
    uint16_t number;
    int64_t hold_max;
};

enum statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_ROW_INSERT,
    SQL_ROW_BRING,
    SQL_ROW_DELETE,
    SQL_ROW_SEEK,
    SQL_ROW_AT,
    SQL_ROW_REWRITE,
    SQL_ROW_BEFORE,
    SQL_ROW_FROM,
    SQL_STATE_PUT,
    SQL_CURSOR_PUT,
    SQL_CURSOR_DELETE,
    SQL_ASIDE_INSERT,
    SQL_ASIDE_OLDEST,
    SQL_ASIDE_AT,
    SQL_ASIDE_DELETE,
    SQL_REMOTE_PUT,
    SQL_PAGE_COUNT,
    SQL_FREELIST_COUNT,
    SQL_COUNT
};

/* In `meta`, under 'open'. */
enum open_mark {
    OPEN_NOT,      /* closed in order, or the log has not its full size yet: none is missed */
    OPEN_WITH_LOG, /* the log has its full size, but for damage */
    OPEN_LOG_LOST, /* a log was lost, and the sequences are not raised yet */
};

struct era;
struct salvage;
struct schema_text;

struct buffer {
    sqlite3 *db; /* NULL: a damaged file is being replaced */
    struct vfs_count *vfs;
    sqlite3_stmt *statements[SQL_COUNT];
    char path[BUFFER_PATH_SIZE + 16]; /* of a damaged file: PATH.bad-N */
    char vfs_name[64];                /* "": SQLite's own */
    bool read_only;
    bool keep_damaged;
    char agent_id[128];  /* "": none was given */
    bool as_it_is;       /* of buffer_setup */
    bool joined_all;     /* opened, to write */
    bool log_missing;    /* at opening, until what is lost with it is told */
    bool log_damaged;    /* the same, and something that was acknowledged is lost with it */
    bool file_short;     /* at opening: neither it nor the log has all of its pages */
    uint8_t *first_page; /* of a damaged file: in place of its own; NULL: its own can be read */
    bool swapped;        /* the database has its log's name, and the other way round */
    bool tail_hurt;      /* of a damaged file: not all of the tail can be read */
    bool is_reached;     /* of a damaged file: it was opened, and is locked */
    unsigned io_tries;   /* of a damaged file: reading failed so often, seconds apart */
    uint64_t io_us;      /* the last time */
    bool file_damaged;   /* found when reading: replaced before the next commit */
    bool moved_aside;    /* the damaged file is; the fresh one is not ready yet */
    int move_number;     /* of the name it gets; 0: none is chosen */
    struct buffer_room disk_room; /* for a fresh file */
    bool salvage_due;             /* this commit is a turn of the salvage */
    int64_t salvage_pages;        /* that the turn has used so far */
    struct salvage *salvage;      /* under way; NULL: nothing to salvage */
    struct buffer_damage damage;
    uint16_t check_stream; /* the next row that is checked in the background */
    uint64_t check_from;
    unsigned weak;       /* enum buffer_weakness */
    bool broken;         /* a commit or checkpoint failed: nothing is committed before a RESTART has
                       succeeded */
    struct why disk_why; /* the last trouble with the disk */
    int wal_frames;      /* after the last commit */
    int64_t size_max;
    int64_t event_size_max;
    int64_t page_max;   /* by size_max */
    int64_t file_pages; /* that the file has, used or not: max_page_count */
    int64_t grow_more;  /* after a transaction that ran out of pages */
    bool disk_full;     /* the file can't grow now */
    uint64_t unsaved;   /* buffer_keep() was called so often since the last commit */
    int64_t page_count;
    int64_t freelist_count;
    uint32_t incarnation;
    uint32_t incarnation_before; /* 0: opening has not begun another one */
    uint32_t boot;
    struct machine machine; /* as the file has it */
    struct era *eras;       /* ERA_COUNT_MAX of machine.h, the oldest first; NULL: none yet */
    size_t era_count;
    struct buffer_stream_slot streams[STREAM_COUNT_MAX + 1];
    struct buffer_uplink_slot uplinks[UPLINK_COUNT_MAX];
    size_t uplink_count;
    bool joined; /* at opening: a stream or uplink came or went */
    struct state *state;
    struct state *next;   /* the copy that a commit changes */
    uint8_t *tail_memory; /* the records as they stand in the blob */
    size_t tail_size;
    struct tail_section *sections;
    size_t section_count;
    struct changed_cursor *changed;
    size_t changed_count;
    struct zstd_encoder *encoder;
    uint64_t sealed_us; /* by the monotonic clock; 0: not yet */
    struct zstd_decoder *decoder;
    struct out record;  /* of the commit at hand */
    struct out scratch; /* sections, raw rows */
    struct out packed;
    struct schema_text *schemas; /* all that the file has */
    size_t schema_count;
    uint16_t schema_stream; /* 0: no schema is being added; else to this stream, and commits make */
    int64_t schema_pages;   /* room for so many pages */
    int64_t schema_floor;   /* numbers up to here may have been used */
    struct crypt *crypt;    /* NULL: no key is known */
    bool crypt_is_lent;     /* of another buffer, which stays open longer */
    struct out cipher;      /* content on its way through `crypt`; no memory without it */
    const uint8_t *setup_key; /* the caller's: while the buffer is opened */
    const uint8_t *setup_old_key;
    const struct buffer_setup
        *setup; /* the caller's: while a damaged file is replaced at opening */
    struct key_slot key_slots[KEY_SLOT_COUNT];
    bool key_is_wrong;   /* or it can't be told: nothing is touched */
    bool proof_damaged;  /* of one of the keys of the file */
    bool keys_are_known; /* the file has said under which keys it is, or is new */
    struct out thin_raw; /* a row that becomes smaller; data NULL: no stream does that */
    struct buffer_thinner thinner;
    /* Rows found damaged when read: the next commit reports them. `count`: as many events, at most;
     * `number`: of buffer_keep(). */
    struct gap damaged[DAMAGED_MAX];
    size_t damaged_count;
    uint32_t room[STREAM_COUNT_MAX + 1];
    struct stream_state stream_states[STREAM_COUNT_MAX + 1];
    uint64_t commits;
    uint64_t events;
    uint64_t event_bytes;
};

/* --- sql.c --- */
enum err sql_error(struct buffer *b, int code, const char *what, struct why *why) MUST_USE;
enum err sql_exec(struct buffer *b, const char *sql, struct why *why) MUST_USE;
/* A blob in the place of whatever `meta` has under the key. */
enum err sql_put_meta(struct buffer *b, const char *key, struct slice value,
                      struct why *why) MUST_USE;
/* Runs a statement that gives no rows, resets it, and clears its bindings. */
enum err sql_run(struct buffer *b, enum statement which, struct why *why) MUST_USE;
void sql_reset(struct buffer *b, enum statement which);
int64_t sql_number(struct buffer *b, const char *sql, int64_t otherwise);
/* The same where a read that fails must not pass for a row that is not there. */
enum err sql_look(struct buffer *b, const char *sql, int64_t otherwise, int64_t *ret,
                  struct why *why) MUST_USE;
enum err sql_prepare_all(struct buffer *b, struct why *why) MUST_USE;
void sql_finalize_all(struct buffer *b);
/* After a failed commit or checkpoint: RESTART, before anything is written again. */
enum err sql_mend(struct buffer *b, struct why *why) MUST_USE;
/* A write outside of buffer_commit() ended so: passes it on, and remembers that it failed. */
enum err sql_wrote(struct buffer *b, enum err e);
/* wal_checkpoint(RESTART); ERR_OK only when everything is checkpointed. */
enum err sql_restart(struct buffer *b, struct why *why) MUST_USE;

/* --- schemas.c --- */
/* All of them into memory. ERR_CORRUPT: not all are whole, in the table and in its index; those that
 * are, are known then. */
enum err schemas_load(struct buffer *b, struct why *why) MUST_USE;
/* Those of a damaged file that are whole in one or the other. `source` NULL: it can't be opened. */
enum err schemas_load_damaged(struct buffer *b, struct buffer *source, struct why *why) MUST_USE;
/* In the transaction of a fresh file: all that are in memory. */
enum err schemas_put(struct buffer *b, struct why *why) MUST_USE;
/* Else nobody can read what was stored with it. */
bool schema_is_known(const struct buffer *b, uint32_t number);
void schemas_forget(struct buffer *b);

/* --- memory.c --- */
/* All of it, or ERR_NOMEM; then closing it is right, too. */
enum err buffer_memory_open(struct buffer *b) MUST_USE;
/* The same for thinning, where a stream asks for it. */
enum err thin_memory_open(struct buffer *b, const struct buffer_setup *setup) MUST_USE;
void buffer_memory_close(struct buffer *b);

/* --- connect.c --- */
enum err buffer_connect(struct buffer *b, struct why *why) MUST_USE;
/* The checkpoints and the commit with which every opening begins. */
enum err buffer_start_log(struct buffer *b, struct why *why) MUST_USE;
/* Incarnation, boot and machine, as the file has them. */
enum err buffer_read_identity(struct buffer *b, struct why *why) MUST_USE;

/* --- buffer.c --- */
/* `pairs`: that may join when it is loaded. */
enum err state_load(struct buffer *b, size_t pairs, struct slice snapshot, bool found) MUST_USE;
enum err state_read(struct buffer *b, size_t pairs, struct why *why) MUST_USE;

/* --- tail.c --- */
/* The next record, decrypted in the tail's copy. ERR_CLOSED: there is none. */
enum err tail_record(struct buffer *b, struct record *ret) MUST_USE;
enum err tail_replay(struct buffer *b, struct why *why) MUST_USE;
/* Where a later record of this generation stands, behind `from`; TAIL_BLOB_SIZE: nowhere. */
size_t tail_find_record(const struct buffer *b, size_t from, uint64_t *ret_commit);
/* Does what looks like the next record's head stand at the end? */
bool tail_has_head(const struct buffer *b);

/* --- settings.c --- */
enum err settings_apply(struct buffer *b, bool is_new, struct why *why) MUST_USE;
extern const char settings_tables[]; /* the statements that make them, in a transaction */
enum err settings_warm_wal(struct buffer *b, struct why *why) MUST_USE;
/* Before a damaged log is begun anew, with all of it that counts in the database: shorter than it ever
 * is, it says that something of it is lost, until it is warm again. */
enum err settings_shorten_wal(struct buffer *b, struct why *why) MUST_USE;
/* Of a log that the database has all of, before it is closed: only the mark of its header is left, so that
 * nothing of it is used, even if it loses its end. It keeps its size. */
enum err settings_void_wal(struct buffer *b, struct why *why) MUST_USE;
enum err settings_check_file(struct buffer *b, bool *ret_is_new, struct why *why) MUST_USE;

/* Can its tables be named? */
bool settings_has_tables(struct buffer *b);

/* --- join.c --- */
enum err load_stream_names(struct buffer *b, struct why *why) MUST_USE;
#define UPLINK_NAME_SIZE 64
/* "number N" when it has none. */
void join_uplink_name(struct buffer *b, uint16_t number, char ret[UPLINK_NAME_SIZE]);
/* Pairs of a stream and an uplink that carries it. */
size_t setup_pairs(const struct buffer_setup *setup);
/* After recovery: who is new gets a number, who left is let go when nothing is owed. */
enum err join_setup(struct buffer *b, const struct buffer_setup *setup, struct why *why) MUST_USE;
/* For tools: the streams are those that the file names, the uplinks those that are owed or carry
 * something. None gives way to another. */
enum err join_as_it_is(struct buffer *b, const struct buffer_setup *setup,
                       struct why *why) MUST_USE;

/* --- orphan.c --- */
/* Is something owed, or still to be salvaged, that nobody in the configuration would deliver?
 * ERR_CONFIG; where damage has taken a name it is told. In a transaction. */
enum err orphans_check(struct buffer *b, const struct buffer_setup *setup,
                       struct why *why) MUST_USE;

/* --- keys.c --- */
/* Before anything is written: are the keys that were given those of the file? ERR_CONFIG: no. */
enum err keys_check(struct buffer *b, struct why *why) MUST_USE;
/* With the agent stopped. ERR_CONFIG: a salvage is under way. */
enum err keys_may_change(struct buffer *b, struct why *why) MUST_USE;
/* In a transaction, as long as the setup is there: from now on the file's content may be under
 * `key`; for a tool only if keys_may_change(). Where the file was too damaged to say under which keys it is, under both. A fresh file in
 * its place gets the same; for that this may be called later, too. */
enum err keys_join(struct buffer *b, struct why *why) MUST_USE;
/* In a transaction: nothing is under `old_key` any more. */
enum err keys_leave(struct buffer *b, struct why *why) MUST_USE;
/* What is decrypted, in b->cipher. ERR_CORRUPT, ERR_NOMEM. *ret_is_old: as crypt_decrypt(). */
enum err content_read(struct buffer *b, struct slice beside, struct slice content,
                      struct slice *ret, bool *ret_is_old) MUST_USE;
/* What is encrypted, in b->cipher. There is a key: crypt_writes(). */
struct slice content_write(struct buffer *b, struct slice beside, struct slice plain);
/* As it stands in the file: larger when it is encrypted. */
size_t content_size(const struct buffer *b, size_t size);
/* What belongs to the encrypted content of a row: its table ('B', 'C' or 'X'), its id and columns. */
#define ROW_BESIDE_SIZE 57
struct slice row_beside(char table, int64_t id, const int64_t columns[6],
                        uint8_t ret[ROW_BESIDE_SIZE]);

/* --- rows.c --- */
uint32_t row_crc(int64_t id, const int64_t columns[6], struct slice body);
int64_t row_id(uint16_t stream, uint64_t first);
struct row_bytes {
    int64_t id;
    int64_t columns[6]; /* last, n, schema, t0, t1, raw */
    struct slice body;
};
enum err row_insert(struct buffer *b, enum statement how, const struct row_bytes *row,
                    struct why *why) MUST_USE;
/* The first row of a stream that begins at `from` or above. Its end is believed only as far as the
 * next row and the stream allow. ERR_CLOSED: there is none. */
enum err row_seek(struct buffer *b, uint16_t stream, uint64_t from, struct row_place *ret,
                  struct why *why) MUST_USE;
/* The row that holds the sequence, or else the next one. ERR_CLOSED: there is none. */
enum err row_at(struct buffer *b, uint16_t stream, uint64_t sequence, struct row_place *ret,
                struct why *why) MUST_USE;
/* The lowest row, from the cache or the table. */
enum err row_lowest(struct buffer *b, uint16_t stream, struct row_place *ret,
                    struct why *why) MUST_USE;
enum err row_delete(struct buffer *b, uint16_t stream, uint64_t first, struct why *why) MUST_USE;
/* The row that the statement stands on; its columns are those of SQL_ROW_BEFORE. Unpacked into
 * b->scratch when it holds something from `next` on. ERR_CORRUPT: damaged; ERR_NOMEM. */
enum err row_take(struct buffer *b, sqlite3_stmt *s, uint64_t next, struct row *ret) MUST_USE;
/* The row that begins exactly there. ERR_CLOSED: there is none, or it is damaged. */
enum err row_read(struct buffer *b, uint16_t stream, uint64_t first, struct row *ret,
                  struct why *why) MUST_USE;
/* What is still owed of the tail and of the new record becomes rows; the changed cursors and the
 * state are written; the tail starts again. */
enum err seal(struct buffer *b, struct slice new_sections, struct why *why) MUST_USE;

/* --- read.c --- */
/* A parcel is on record: that keeps its events. */
void reads_recorded(struct buffer *b, const struct parcel *parcel);

/* --- quota.c --- */
enum err quota_measure(struct buffer *b, struct why *why) MUST_USE;
int64_t quota_free_pages(const struct buffer *b);
/* Does it give up rows that are owed, when there is no room? */
bool slot_gives_way(const struct buffer_stream_slot *slot);
/* Pages that a stream's rows take, about. */
int64_t quota_stream_pages(const struct state *state, uint16_t stream);
/* So many millionths of the cap. */
int64_t quota_share_pages(const struct buffer *b, int64_t millionths);
/* What a stream has not taken of its share_min: nobody else may. */
int64_t quota_share_left(const struct buffer *b, const struct state *state, uint16_t stream);
/* Pages that sealing this many raw bytes takes when nothing can be compressed: b-tree overhead, a
 * row for each stream, the state. */
int64_t quota_seal_pages(const struct buffer *b, size_t raw_size);
/* Pages that a commit of this may take, with a seal. */
int64_t quota_write_pages(const struct buffer *b, const struct buffer_write *write);
/* Before the transaction: the file gets what this write may take beyond what it has. Without room
 * on the disk the file's size is the cap for now. */
enum err quota_grow(struct buffer *b, const struct buffer_write *write, struct why *why) MUST_USE;
/* The same for so many pages. */
enum err quota_reserve(struct buffer *b, int64_t pages, struct why *why) MUST_USE;
void quota_rooms(struct buffer *b);

/* --- evict.c --- */
/* In the transaction, the write applied to b->next: deletes rows that nobody is owed, then, where
 * that is not enough for this write, those that have to give way; at most DELETES_PER_COMMIT.
 * Drops go into the record. */
enum err quota_make_room(struct buffer *b, const struct buffer_write *write,
                         struct record_writer *w, struct why *why) MUST_USE;

/* --- order.c --- */
/* What a person asks for, applied to b->next and put into the record; fills in the counts. */
enum err orders_apply(struct buffer *b, const struct buffer_write *write, struct record_writer *w,
                      struct why *why) MUST_USE;

/* --- aside.c --- */
/* In the transaction: set-aside events that are ordered to go, then the new ones; put into the record, and
 * applied to b->next. */
enum err asides_apply(struct buffer *b, const struct buffer_write *write,
                      struct record_writer *record, struct why *why) MUST_USE;
/* The columns of a set-aside event that its checksum covers, beside its time. */
void aside_columns(const struct aside *aside, int64_t ret[6]);
/* As it goes to the disk: cut, and encrypted where that is asked for. In b->scratch and b->cipher. */
struct aside aside_stored(struct buffer *b, const struct aside *aside);
/* Bytes of the file that it takes, at most. */
size_t aside_size_bound(const struct buffer *b, const struct aside *aside);
/* As it is stored; its size in the table is added. */
enum err aside_insert(struct buffer *b, const struct aside *stored, int64_t *size,
                      struct why *why) MUST_USE;
/* The set-aside event that a statement stands on, whose first columns are id, t, stream, seq,
 * source, uplink, kind, schema, reason, size, body. */
void aside_of(sqlite3_stmt *s, struct aside *ret);
/* The same with the column crc behind these. False: it does not pass its checksum. */
bool aside_take(sqlite3_stmt *s, struct aside *ret) MUST_USE;
/* Its parts, taken out of the body. ERR_CORRUPT, ERR_NOMEM. *ret_is_old: as crypt_decrypt(). */
enum err aside_unpack(struct buffer *b, struct aside *aside, bool *ret_is_old) MUST_USE;

/* --- commit.c --- */
/* Nothing of the transaction is there. Nothing is committed again before a RESTART has succeeded:
 * SETTINGS.md, "After a failed commit". */
void commit_undo(struct buffer *b);
/* In a transaction, which ends with it: seals, with nothing new; the state as it is becomes the
 * snapshot. */
enum err commit_state(struct buffer *b, struct why *why) MUST_USE;

/* --- apply.c --- */
/* The sections of a record, applied to a state. */
enum err apply_sections(struct state *state, struct slice sections) MUST_USE;
/* The same where records before it are lost. */
void apply_what_fits(struct state *state, struct slice sections, bool behind_hole);
/* Memory for as many more changed cursors as these sections have. Before a commit, because taking
 * it over can't fail. */
enum err keep_reserve(struct buffer *b, size_t cursor_count) MUST_USE;
/* Is there room to remember what these sections have, beside what is remembered since the seal? */
bool keep_fits(const struct buffer *b, struct slice sections) MUST_USE;
size_t sections_count(struct slice sections, enum section_kind kind);
/* What the buffer itself remembers of a record that is in the tail now: where its events are, its
 * cursors. `offset`: of the sections in the tail. */
void keep_sections(struct buffer *b, struct slice sections, size_t offset);

/* --- read.c --- */
/* Reads and checks one more row; what is damaged is noted, and reported by the next commit. */
enum err row_check_next(struct buffer *b, struct why *why) MUST_USE;

/* --- vfs_count.c --- */
struct vfs_count;
/* `keeps_psow`: what the file system claims about powersafe overwrite is passed on. */
enum err vfs_count_open(struct vfs_count **ret, const char *below, bool keeps_psow) MUST_USE;
void vfs_count_close(struct vfs_count *vfs);
const char *vfs_count_name(const struct vfs_count *vfs);
/* The system's reason of the last operation that failed since it was set to 0; 0: it gave none. */
int vfs_count_errno(const struct vfs_count *vfs);
void vfs_count_errno_set(struct vfs_count *vfs, int number);
/* Lengthens the database's file to `pages`, by zeros; nothing if it is as long already. Returns how
 * many it has: fewer when the disk is full. */
int64_t vfs_count_grow(sqlite3 *db, int64_t pages);
/* Databases are read with this as their first page; the caller keeps it. NULL: with their own. */
void vfs_count_first_page_set(struct vfs_count *vfs, const uint8_t *page);
void vfs_count_get(const struct vfs_count *vfs, struct buffer_wear *ret);

#endif
