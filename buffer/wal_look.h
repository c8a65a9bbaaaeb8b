/* A look at a write-ahead log before SQLite opens it. SQLite stops at the first frame whose checksum
 * is wrong and forgets all that follows: right after a power cut, which can only harm the last
 * transaction, and wrong on a damaged medium, where acknowledged transactions stand behind. Pure.
 *
 * The log's format is SQLite's: a header of 32 bytes, then frames of 24 + 4096 bytes, big-endian;
 * each frame carries the salt of the header, its page, and, in the last frame of a transaction (and
 * the copies that fill up its sector), the size of the database. */
#ifndef WEIR_BUFFER_WAL_LOOK_H
#define WEIR_BUFFER_WAL_LOOK_H

#include "ports/attr.h"
#include "ports/slice.h"

#define WAL_HEADER_SIZE 32
#define WAL_MAGIC_SIZE 4 /* with which it begins: a log can be told from a database */
#define WAL_FRAME_HEAD_SIZE 24
#define WAL_FRAME_SIZE (WAL_FRAME_HEAD_SIZE + 4096)
#define WAL_LOOK_FRAME_MAX 512

struct wal_frame {
    uint32_t page;
    uint32_t commit; /* the database's pages; 0: not the end of a transaction */
    uint32_t salt[2];
    uint32_t crc;    /* CRC-32C of the page's bytes */
    bool is_genuine; /* its checksum is right by itself: as the one before it goes on */
    uint32_t sum[2]; /* its checksum, and the one before it, as they stand there */
    uint32_t before[2];
};

struct wal_look {
    bool has_header; /* with a right checksum */
    bool broken;     /* a frame of this log has a wrong checksum */
    uint32_t salt[2];
    uint32_t sum[2];    /* the checksum up to here, as it ought to be */
    uint32_t stored[2]; /* and as it stands in the last frame */
    bool is_big;        /* checksums over big-endian words */
    size_t count;
    size_t first_bad; /* the frames before it are good */
    size_t end;       /* behind the last commit of this log */
    size_t whole;     /* behind the last commit before first_bad: what SQLite uses */
    bool has_frames;  /* of this log */
    struct wal_frame frames[WAL_LOOK_FRAME_MAX];
};

enum wal_verdict {
    WAL_WHOLE,   /* no frame of this log has a wrong checksum; or there is no log: no header */
    WAL_CUT,     /* at most the last transaction is missing, as a power cut leaves it */
    WAL_DAMAGED, /* more than one transaction stands behind the first wrong checksum */
};

/* The first WAL_HEADER_SIZE bytes of the log. */
void wal_look_begin(struct wal_look *look, struct slice header);
/* One frame, in order; false: no more are looked at. */
bool wal_look_frame(struct wal_look *look, struct slice frame);
/* All frames were given. */
enum wal_verdict wal_look_end(struct wal_look *look);
/* There are frames, and SQLite will use none of them. It goes on with the same salt, so that what the
 * next transaction does not overwrite passes for a part of it: two power cuts together look like
 * damage. Such a log is made void. */
bool wal_look_is_stale(const struct wal_look *look);
/* Has the database everything that the log says, so that the log is not needed? A frame that is not
 * genuine is not passed over: the checksum that stands in it has to be that of the database's page.
 * `page` gives the bytes of a page of the database, until it is called again; NULL: it has no such page. */
bool wal_look_is_redundant(const struct wal_look *look,
                           const uint8_t *(*page)(void *context, uint32_t number), void *context);

#endif
