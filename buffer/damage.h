/* Inside of the buffer: damaged files, moved aside, replaced and salvaged. */
#ifndef WEIR_BUFFER_DAMAGE_H
#define WEIR_BUFFER_DAMAGE_H

#include "buffer/internal.h"
#include "buffer/salvage.h"
#include "buffer/wal_look.h"

#define SALVAGE_FILE_MAX 9           /* PATH.bad-1, ...; the highest is the newest */
#define LOST_STREAM_NAME "(lost %u)" /* and its number */
#define NUMBER_OF_USER 100           /* of a file that a person names */
#define SALVAGE_PAGES_MAX 400        /* of one turn: the largest row fits */
#define SALVAGE_ROW_MAX 64
#define SALVAGE_BYTES_MAX (256 * 1024)
#define SALVAGE_US_MAX 20000
#define IO_PAUSE_MS 1001                  /* before a read that the disk refused is tried again */
#define SEQUENCE_JUMP (UINT64_C(1) << 20) /* beyond what may have been used */
#define SEQUENCE_MAX ((UINT64_C(1) << 48) - 1)
#define STREAM_END (STREAM_COUNT_MAX + 2) /* behind the streams and the set-aside events */

/* Where the salvage of a file is: in the table `salvage`, changed with each turn's commit. Streams
 * in order of their numbers; of a stream the rows rise. */
struct salvage_at {
    uint16_t stream; /* STREAM_COUNT_MAX + 1: set-aside events; + 2: the end */
    uint64_t low;    /* up to here all is accounted for: restored, or lost */
    uint64_t seek;   /* rows above are looked for */
    uint64_t step;   /* set-aside events that can't be read are skipped by so many */
    uint64_t aside;  /* the last id */
    uint64_t found;  /* events restored */
    uint64_t lost;
};

/* What the tree of a stream has: from its first row on, in memory only. */
struct salvage_tally {
    uint16_t stream;
    uint64_t at;     /* rows above are still to be counted */
    uint64_t events; /* of those up to there, which are all good */
    bool is_known;
    bool is_all; /* as many as its rows held: none is missing, whatever is owed */
};

struct page_scan;

struct salvage {
    int64_t
        number; /* of the row in the table, and of the file; from 100 on: a file of the user's */
    char file[FILE_NAME_SIZE];
    struct buffer *source; /* NULL: it could not be opened yet; or it is at its end */
    sqlite3_stmt *above;
    sqlite3_stmt *below;
    sqlite3_stmt *asides;
    struct state *wanted; /* what was owed and is not here yet */
    bool everyone;        /* who was owed what is not known: all of a stream's uplinks are */
    struct salvage_at at;
    struct salvage_at next; /* in the transaction */
    bool waits;             /* for room; or until the file can be read */
    struct range waits_row; /* for room for that row, of next.stream; first 0: for the file */
    int64_t waits_pages;    /* that the row takes */
    bool scan_due;          /* the tree does not give all: the pages are to be looked at */
    bool scan_begun;        /* they are being looked at */
    struct page_scan *scan; /* what they have; NULL: the tree has given all so far */
    bool tally_due;         /* what the tree of a stream has is to be counted */
    struct salvage_tally tally;
    bool parcel_hurt;  /* of the open parcel at hand not all came over */
    bool parcels_told; /* what the open parcels lost is noted */
    bool rows_told;    /* the same of the table */
    struct salvage
        *before; /* was under way when this file was damaged, too; its source is closed */
};

/* --- files.c: through SQLite's file system layer, so that tests may have another disk --- */
bool file_there(const struct buffer *b, const char *name);
/* Is it the buffer's own file, by whatever name? */
bool file_is_same(const struct buffer *b, const char *name);
/* Does nothing more where an earlier try has moved it, but its folder was not synced. */
enum err file_move(struct buffer *b, const char *from, const char *to, struct why *why) MUST_USE;
void file_remove(const struct buffer *b, const char *name);
/* A try to make the fresh file has failed for lack of room, and what it wrote is still there. The
 * next one has to wait for more: else each would write the same again, for nothing. */
void room_missed(struct buffer *b, const char *bad);
bool room_is_missing(const struct buffer *b, const char *bad);

struct raw_file;
/* *ret NULL: can't be opened. Only ERR_NOMEM is an error: that says nothing of the file. */
enum err raw_try(const struct buffer *b, const char *name, bool is_log, struct raw_file **ret,
                 struct why *why) MUST_USE;
/* *ret NULL: it is not there. One that is there and can't be opened is an error, which says nothing of
 * what it has; never ERR_CLOSED. */
enum err raw_need(const struct buffer *b, const char *name, bool is_log, struct raw_file **ret,
                  struct why *why) MUST_USE;
/* NULL: can't be opened. */
struct raw_file *raw_open(const struct buffer *b, const char *name, bool is_log);
/* Bytes read: fewer at the end of the file, or when it can't be read. */
size_t raw_read(struct raw_file *file, uint64_t offset, uint8_t *ret, size_t size);
/* Why that was: SQLite's code, SQLITE_IOERR_SHORT_READ at the end. */
int raw_code(const struct raw_file *file);
/* Written, and synced. */
enum err raw_write(struct raw_file *file, uint64_t offset, const uint8_t *data,
                   size_t size) MUST_USE;
uint64_t raw_size(struct raw_file *file);
void raw_close(struct raw_file *file);
/* As SQLite locks it when it writes; raw_close() gives that up, and has to, before SQLite opens it.
 * ERR_FULL: another process, or another buffer, has it open. *ret NULL: it is not there, or can't
 * be locked now. */
enum err file_lock(const struct buffer *b, const char *name, struct raw_file **ret,
                   struct why *why) MUST_USE;
/* NAME, and its log: NAME-wal. */
void log_name(char ret[FILE_NAME_SIZE], const char *name);

/* --- log.c --- */
/* Before SQLite opens the file. A damaged log that the database does not need is made void; sets
 * b->log_damaged when something stands behind the damage that is lost, b->log_missing when it is
 * shorter than the log of a file that is open ever is, b->file_short when pages of the file are
 * missing. */
enum err log_check(struct buffer *b, const char *file, struct why *why) MUST_USE;

/* The whole log, frame by frame. */
enum wal_verdict log_look(struct raw_file *log, struct wal_look *ret);

/* --- source.c: a damaged buffer, as far as it can be read --- */
/* Did reading fail for another reason than damage: no memory, another process has the file, no
 * rights, the disk, unless it fails for seconds? Then that; else ERR_OK: what can't be read is not
 * there. */
enum err damaged_trouble(struct buffer *source, int code, struct why *why) MUST_USE;
/* The same where nothing can wait but here: a read that the disk refuses is to be made *ret_again,
 * after a pause, until it is damage. */
enum err damaged_wait(struct buffer *source, int code, bool *ret_again, struct why *why) MUST_USE;
/* The number that a query gives; `otherwise`: there is none, or it can't be read. */
enum err damaged_number(struct buffer *source, const char *sql, int64_t otherwise, int64_t *ret,
                        struct why *why) MUST_USE;
/* b->path is the file. What can't be read is not there; fails where that is not sure. */
enum err damaged_open(struct buffer **ret, const struct buffer *like, const char *file,
                      size_t pairs, bool *ret_has_state, struct why *why) MUST_USE;

/* --- bad_file.c --- */
/* PATH.bad-NUMBER. */
void bad_name(const struct buffer *b, int number, char ret[FILE_NAME_SIZE]);
/* The file's next name, which stays the same until it is replaced: a move that fails half way goes
 * on with it. Above all that are there, so that the highest is the newest. */
enum err damage_choose_number(struct buffer *b, struct why *why) MUST_USE;
/* The log first: without it the file says that it is missing. What an earlier try has moved is not
 * moved again; nor what another process uses. */
enum err damage_move_aside(struct buffer *b, struct why *why) MUST_USE;
/* Ends a move that the power cut short. A log that belongs to no file any more is removed. */
enum err damage_settle(struct buffer *b, struct why *why) MUST_USE;
/* Is another file there that was moved aside? */
bool damage_has_others(const struct buffer *b, const char *file);
/* The newest that was moved aside. False: there is none. */
bool damage_newest(const struct buffer *b, char ret[FILE_NAME_SIZE]);
/* A file that was moved aside waits for a buffer to come over to; 0: none. */
int damage_pending(struct buffer *b);
/* Before SQLite opens it. ERR_CORRUPT. */
enum err damage_check_header(const struct buffer *b, struct why *why) MUST_USE;
/* Is it ours, so that it may be moved aside? */
enum err damage_is_ours(struct buffer *b, bool *ret, struct why *why) MUST_USE;

/* --- take_over.c --- */
/* One transaction: the fresh file has it all, or nothing. */
enum err damage_take_over(struct buffer *b, const struct buffer_write *write,
                          struct why *why) MUST_USE;
enum err damage_put_name(struct buffer *b, const char *sql, int64_t id, const char *name,
                         struct why *why) MUST_USE;

/* --- damage_open.c --- */
/* At opening. `number`: of the file that was moved aside already, or 0. */
enum err damage_replace_at_open(struct buffer *b, const struct buffer_setup *setup, int number,
                                struct why *why) MUST_USE;

/* --- damage.c --- */
/* Nothing of the file is held; closing changes nothing of it. */
void damage_disconnect(struct buffer *b);
/* What stays owed is what is in memory, and what the open parcels have; the rest is wanted of the
 * damaged file. */
void damage_split_owed(struct buffer *b, struct state *wanted);
/* The same of a commit's deliveries, while no fresh file is there: of the one that found the damage, or
 * of one that is kept in memory. */
void damage_split_write(struct buffer *b, const struct buffer_write *write);
/* A fresh file; what an earlier try has left goes first. */
enum err damage_fresh(struct buffer *b, const struct buffer_write *write, struct why *why) MUST_USE;
/* While it runs: what is in memory goes on in a fresh file. `write`: of the commit that found the
 * damage, and is made again after it: what it ends does not come over, its parcels are open ones. */
enum err damage_replace(struct buffer *b, const struct buffer_write *write,
                        struct why *why) MUST_USE;
/* The events of a stream from here on are in memory. */
uint64_t tail_first(const struct buffer *b, uint16_t stream);
/* Something that was acknowledged is lost with the end of the log: says and counts it. */
void damage_log_lost(struct buffer *b);
/* Every stream goes on beyond what may have been used. */
void damage_raise_all(struct buffer *b);
/* Reads what opening and the first commits will need. ERR_CORRUPT. */
enum err damage_look(struct buffer *b, struct why *why) MUST_USE;

/* --- orphan.c --- */
/* Of a damaged file, of which nothing was moved yet: as orphans_check(), where the names can be read. */
enum err orphans_check_damaged(struct buffer *source, const struct buffer_setup *setup,
                               struct why *why) MUST_USE;

/* --- names.c: of the configuration (b->setup), into the fresh file, in its transaction --- */
/* Those that the damaged file has, under the numbers that the state uses. */
enum err names_keep(struct buffer *b, struct why *why) MUST_USE;
/* Where one number has lost its name, and one name its number, they belong together.
 * *ret_all_known: each number of an uplink that is in use has a name. */
enum err names_adopt(struct buffer *b, bool *ret_all_known, struct why *why) MUST_USE;

/* The name that both copies of it give to the number; "": there is none, or they differ. */
enum err names_read(struct buffer *source, const char *table, uint16_t number,
                    char ret[UPLINK_NAME_SIZE], struct why *why) MUST_USE;
/* The number that either copy gives to the first name, or else to the second, which may be NULL; 0:
 * none. */
enum err names_number(struct buffer *source, const char *table, const char *const names[2],
                      int64_t *ret, struct why *why) MUST_USE;

/* --- salvage.c --- */
/* Takes over the source, also when it fails. A salvage that is under way becomes the one before. */
enum err salvage_open_with(struct buffer *b, int64_t number, const char *file,
                           struct buffer *source, struct why *why) MUST_USE;
enum err salvage_open(struct buffer *b, int64_t number, const char *file, struct why *why) MUST_USE;
void salvage_close(struct buffer *b);
/* The file is not needed any more: it goes, or is kept. May be done again after it was cut short:
 * its log goes first, so that one beside no file is its own; what was kept before goes as a whole. */
void salvage_file_done(struct buffer *b, const char *file);
/* In the transaction of a turn. */
enum err salvage_step(struct buffer *b, struct record_writer *w, struct why *why) MUST_USE;
/* After COMMIT. */
void salvage_took(struct buffer *b);

/* --- salvage_table.c: what is still to come over, and how far that is, as rows of `salvage` --- */
extern const char salvage_table[]; /* the statement that makes it */
/* A salvage that was under way; the first of them. ERR_REJECTED: what it is to bring is damaged. */
enum err salvage_resume(struct buffer *b, struct why *why) MUST_USE;
/* At opening: the same; those that are damaged are given up, which is told as gaps. */
enum err salvage_resume_or_tell(struct buffer *b, struct why *why) MUST_USE;
/* In the transaction: the salvage as it is now into the table. */
enum err salvage_put(struct buffer *b, struct why *why) MUST_USE;
/* Each of those that are in the table, but for a person's: number, place, and what is wanted. What
 * can't be read is passed over; it is found when its turn comes. */
enum err salvage_wanted_each(struct buffer *b,
                             enum err (*each)(void *context, const struct salvage *w),
                             void *context) MUST_USE;
/* The same of those that were under way before it, as far as they are in memory. Else they come over
 * with their table: where not all of it could be copied, what is lost with it is told as gaps. */
enum err salvage_put_before(struct buffer *b, bool copied, struct why *why) MUST_USE;
/* The same of its place only, as it is after this turn. */
enum err salvage_put_place(struct buffer *b, struct why *why) MUST_USE;

/* In the transaction of a commit: `change` may change what is wanted of each file, and says whether it
 * has. Only number, place, wanted and everyone are set. */
enum err salvage_change_each(struct buffer *b, bool (*change)(void *context, struct salvage *w),
                             void *context, struct why *why) MUST_USE;

/* --- salvage_drop.c: what a person drops of what is still to come over --- */
/* In the transaction, behind orders_apply(): cut out of the table; adds to the orders' counts.
 * `only_counts`: without a transaction, for a look at what it would come to. */
enum err salvage_drop(struct buffer *b, const struct buffer_write *write, struct record_writer *rec,
                      bool only_counts, struct why *why) MUST_USE;
/* After COMMIT: the same in memory. */
void salvage_dropped(struct buffer *b, const struct buffer_write *write);

/* --- salvage_parcels.c --- */
/* What the open parcels have, at once: they are sent again as they were. At opening one that the tree
 * does not give all of is open no more, and its rows come over as the others. */
enum err salvage_parcels(struct buffer *b, const struct buffer_write *write,
                         struct why *why) MUST_USE;

/* --- salvage_rows.c --- */
struct found_row {
    struct row_bytes bytes;
    struct range range;
};

/* The row of a stream that the statement finds within (above, under); anything else is the tree's
 * damage. The statement, which may be NULL, stands on the row. */
int salvage_seek_in(sqlite3_stmt *s, uint16_t stream, uint64_t above, uint64_t under,
                    int64_t *ret_id);
/* The first row of a stream that begins above a sequence; SQLITE_ROW, SQLITE_DONE, or an error. */
int salvage_seek(struct salvage *w, uint16_t stream, uint64_t above, int64_t *ret_id);
/* The row that begins there; the same. */
int salvage_seek_one(struct salvage *w, uint16_t stream, uint64_t first);
/* How many events it has, whichever. */
uint64_t found_events(const struct found_row *row);
/* The row that the statement stands on. False: it does not pass its checksum. */
bool found_take(sqlite3_stmt *s, struct found_row *ret) MUST_USE;
/* Its bytes are right; gives the range. False: that can't be. */
bool found_check(struct found_row *row) MUST_USE;
/* The last sequence of the row that begins there, if it can be believed; else its first. */
enum err salvage_row_end(struct salvage *w, uint16_t stream, uint64_t first, uint64_t *ret,
                         struct why *why) MUST_USE;
/* Inserted unless it is there already: with an open parcel, or because the file was salvaged before.
 * `rec` NULL: the state is written whole. */
enum err salvage_bring(struct buffer *b, struct state *state, struct record_writer *rec,
                       const struct found_row *row, struct why *why) MUST_USE;
/* Is any of these sequences wanted? */
bool salvage_wants(const struct salvage *w, uint16_t stream, struct range range);
/* The first run within a range that anybody wants, and of which the same ones want all. What is lost is
 * told run by run, because a gap ends what is owed in all of its range, whoever brings it. False:
 * nothing is wanted. */
bool salvage_run(const struct salvage *w, uint16_t stream, struct range within, struct range *ret);
/* Can what it has be decrypted? By the first row that the tree gives. ERR_CONFIG: no. */
enum err salvage_check_key(struct buffer *b, struct why *why) MUST_USE;
/* One step of the stream, or of the set-aside events, that it stands at; ERR_FULL: it has to wait;
 * ERR_AGAIN: the file can't be read for the moment, nothing was done. */
enum err salvage_step_stream(struct buffer *b, struct record_writer *rec, struct why *why) MUST_USE;
/* Between two turns: is there room now for the row that waits, or is it wanted no more? */
bool salvage_has_room(struct buffer *b);
enum err salvage_step_aside(struct buffer *b, struct record_writer *rec, struct why *why) MUST_USE;

/* --- salvage_tally.c: does a stream lack anything? --- */
/* Something that is owed is not there: has the tree of the stream at hand all that its rows held? Then it
 * never was there, or went before. False: that is to be counted first. */
bool salvage_tallied(struct salvage *w, bool *ret_is_all) MUST_USE;
/* Some of its rows, outside of any commit. ERR_AGAIN: they can't be read for the moment. */
enum err salvage_tally_turn(struct salvage *w) MUST_USE;

/* --- salvage_scan.c: rows that the tree does not lead to --- */
/* The pages are to be looked at, for what lies behind the place of this turn. */
void salvage_scan_ask(struct salvage *w);
/* Some of them, outside of any commit. ERR_AGAIN: they can't be read for the moment. */
enum err salvage_scan_turn(struct salvage *w) MUST_USE;
/* The next row of the stream that stands in a page. ERR_REJECTED: that one does not count, or the
 * pages are to be looked at once more; ERR_CLOSED: there is none; ERR_AGAIN. */
enum err salvage_scan_next(struct salvage *w, struct found_row *ret) MUST_USE;
/* From the first to the last row of each stream that is anywhere in the file: all of it at once.
 * `hulls` is by the stream's number, 0 where none is known, and grows. */
enum err salvage_scan_hulls(struct salvage *w, struct range *hulls, struct why *why) MUST_USE;

#endif
