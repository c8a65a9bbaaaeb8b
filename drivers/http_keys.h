/* Idempotency keys: a ring of a fixed number of slots, each a cursor of the driver. With each event
 * of a request goes, in the same transaction, how many of its events are stored; so a request that
 * is sent again, even after a crash in its middle, goes on where it was, with the same answer. */
#ifndef WEIR_DRIVERS_HTTP_KEYS_H
#define WEIR_DRIVERS_HTTP_KEYS_H

#include "ports/err.h"
#include "ports/event.h"

#define HTTP_ASIDES_SIZE_MAX 900 /* of what an answer tells about events that were set aside */
#define HTTP_ASIDE_TEXT_MAX 160

/* The first reasons, as many as fit a cursor; the rest is only counted. */
struct http_asides {
    uint64_t count;
    uint16_t size;
    uint8_t bytes[HTTP_ASIDES_SIZE_MAX]; /* for each: uvarint line, uvarint size, text */
};

void http_asides_add(struct http_asides *asides, uint64_t line, const char *reason);
/* Appends "[{"line":3,"error":"..."},...]"; and the number of those that are not listed. */
void http_asides_write(const struct http_asides *asides, struct out *json, uint64_t *ret_more);

struct http_key {
    bool is_used;
    bool is_pinned; /* a request is being worked on under it */
    bool is_owed;   /* the cursor has to be set without an event */
    uint64_t order; /* rises with each new key */
    uint64_t key_hash;
    uint64_t body_hash;
    uint64_t admitted;    /* events of the request that were admitted */
    uint64_t last_ticket; /* of the last one, in this life; 0: from an earlier one */
    uint64_t aside_count;
    uint16_t aside_size;
    uint8_t *asides; /* malloc'd when there are any */
};

struct http_keys {
    struct http_key *keys;
    size_t count;
    size_t next;
    uint64_t order;
};

enum err http_keys_init(struct http_keys *keys, size_t count) MUST_USE;
void http_keys_release(struct http_keys *keys);
/* A stored cursor, at open. One that can't be read is left out. */
void http_keys_restore(struct http_keys *keys, uint32_t index, struct slice cursor);

/* The slot of this key; or a new one in place of the oldest that is neither pinned nor waiting for
 * its commit (`stored`: everything up to this ticket is committed). NULL: all are. */
struct http_key *http_keys_take(struct http_keys *keys, uint64_t key_hash, uint64_t body_hash,
                                uint64_t stored);
uint32_t http_keys_index(const struct http_keys *keys, const struct http_key *key);

/* u8 version 1; little-endian u64 order, key hash, body hash; uvarint admitted, uvarint asides; the
 * reasons. */
void http_key_encode(const struct http_key *key, uint64_t admitted, struct out *ret);
/* Without memory the reasons are only counted. */
void http_key_keep_asides(struct http_key *key, const struct http_asides *asides);
void http_key_asides(const struct http_key *key, struct http_asides *ret);

#endif
