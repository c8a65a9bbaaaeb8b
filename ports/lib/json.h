/* JSON as payloads need it (RFC 8259): a pull reader that keeps each number's text, allocates
 * nothing, and never recurses. A duplicate key in an object, invalid
 * UTF-8, a control character, a lone surrogate escape: ERR_CORRUPT with the place. (An escaped NUL
 * is a character like any other.) It reads one value; json_end() says whether something other than
 * white space follows. */
#ifndef WEIR_PORTS_LIB_JSON_H
#define WEIR_PORTS_LIB_JSON_H

#include "ports/err.h"
#include "ports/slice.h"

#define JSON_DEPTH_MAX 64 /* unless json_init_deep() allows more */

enum json_kind {
    JSON_NULL,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NUMBER, /* text: as written, checked against the grammar */
    JSON_STRING, /* raw: between the quotes, escapes as written; json_string() unescapes */
    JSON_KEY,    /* as JSON_STRING; its value comes next */
    JSON_OBJECT_BEGIN,
    JSON_OBJECT_END,
    JSON_ARRAY_BEGIN,
    JSON_ARRAY_END,
};

struct json_token {
    enum json_kind kind;
    struct slice text; /* points into the input */
    bool has_escapes;  /* STRING, KEY */
    size_t offset;     /* of its first byte in the input */
};

#define JSON_KEY_MAX 4096 /* keys of all open objects together; beyond: ERR_REJECTED */
/* So many of these have an entry each, the last quarter of them kept for the first JSON_KEY_OWN
 * keys of objects that begin late; the other keys share a filter. */
#define JSON_KEY_LIST 128
#define JSON_KEY_OWN 8
#define JSON_FILTER_WORDS 512
/* Bytes read again, in a whole document, to tell a duplicate from a chance hit of the filter. */
#define JSON_RESCAN_MAX (16 * 1024 * 1024)

/* One key of an open object; `offset` is that of its quote. */
struct json_key {
    uint32_t hash;
    uint32_t offset;
};

/* An object or array that is open. */
struct json_frame {
    uint64_t key_bits;  /* a bit for each key it has: none set, none equal */
    uint32_t begin_at;  /* offset of its brace or bracket */
    uint16_t key_first; /* key_count when it began */
    uint8_t list_first; /* list_count when it began */
    bool is_object;
};

/* About 6.5 KiB, of which json_init() touches 100 bytes. Everything in it is json.c's own, but for
 * `depth`, `why` and `error_offset`. */
struct json_reader {
    struct slice input;
    size_t at;
    unsigned depth;      /* open objects and arrays */
    uint8_t state;       /* what may come next */
    enum err error;      /* sticky */
    uint32_t key_count;  /* keys of all open objects */
    uint32_t list_count; /* of these, how many stand in the list */
    size_t rescanned;
    unsigned depth_max;
    struct json_frame *deep; /* frames from JSON_DEPTH_MAX on */
    struct json_frame frames[JSON_DEPTH_MAX];
    struct json_key keys[JSON_KEY_LIST];
    uint64_t filter[JSON_FILTER_WORDS]; /* for the keys that do not stand in the list */
    struct why why;                     /* after an error: what, with byte offset */
    size_t error_offset;
};

/* Starts at the front of `input`, which must stay until the reader is no longer used. */
void json_init(struct json_reader *reader, struct slice input);
/* As json_init(), with `deep_count` levels more, for which `deep` has the memory. */
void json_init_deep(struct json_reader *reader, struct slice input, struct json_frame *deep,
                    unsigned deep_count);
/* The next token. ERR_CLOSED: the value is complete (nothing more to read). ERR_CORRUPT: not JSON;
 * ERR_REJECTED: beyond a limit (JSON_DEPTH_MAX, JSON_KEY_MAX, JSON_RESCAN_MAX, 4 GiB of input).
 * After an error it gives the same error again. */
enum err json_next(struct json_reader *reader, struct json_token *ret) MUST_USE;
/* Skips the value that comes next (the document's, after a KEY, or an array's next element), and
 * gives its text as written. ERR_CLOSED: the array has no more elements; json_next() gives its end.
 * Only where a value can come next. */
enum err json_skip(struct json_reader *reader, struct slice *ret_text) MUST_USE;
/* The next member of the object that is open: its key as json_string() gives it, and its value's
 * text as written. ERR_CLOSED: there are no more, and the object's end is read. ERR_FULL: scratch is
 * too small. Only where a key or the end can come next. */
enum err json_member(struct json_reader *reader, struct out *scratch, struct slice *ret_key,
                     struct slice *ret_value) MUST_USE;
/* After the complete value: the offset of the first byte behind it (white space skipped).
 * input.size: nothing follows. */
size_t json_end(struct json_reader *reader);
/* The characters of a STRING or KEY, unescaped, as UTF-8: points into the input when there are no
 * escapes, else into `scratch`. ERR_FULL: scratch is too small (its free room must be at least
 * text.size). */
enum err json_string(const struct json_token *token, struct out *scratch,
                     struct slice *ret) MUST_USE;
/* Of a value's text as written (json_member(), json_skip()): a string without its quotes, as
 * json_string() gives it; anything else as it is. ERR_FULL as there. */
enum err json_plain(struct slice value, struct out *scratch, struct slice *ret) MUST_USE;
/* Line and column (both from 1, column in bytes) of an offset. */
void json_place(struct slice input, size_t offset, unsigned *ret_line, unsigned *ret_column);

#endif
