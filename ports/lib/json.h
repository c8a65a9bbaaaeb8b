/* JSON as payloads need it (RFC 8259): a pull reader that keeps each number's text, allocates
 * nothing, and never recurses. A duplicate key in an object, a depth over JSON_DEPTH_MAX, invalid
 * UTF-8, a NUL, a lone surrogate escape: ERR_CORRUPT with the place. It reads one value; json_end()
 * says whether something other than white space follows. */
#ifndef WEIR_PORTS_LIB_JSON_H
#define WEIR_PORTS_LIB_JSON_H

#include "ports/err.h"
#include "ports/slice.h"

#define JSON_DEPTH_MAX 64

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

struct json_reader {
    struct slice input;
    size_t at;
    unsigned depth;
    uint8_t state;
    uint8_t stack[JSON_DEPTH_MAX]; /* object or array */
    uint32_t
        key_set[256]; /* open addressing over offsets of keys of the open objects: see json.c */
    uint32_t key_count;
    uint32_t key_first[JSON_DEPTH_MAX];
    struct why why; /* after an error: what, with byte offset */
    size_t error_offset;
};

/* Starts at the front of `input`, which must stay until the reader is no longer used. */
void json_init(struct json_reader *reader, struct slice input);
/* The next token. ERR_CLOSED: the value is complete (nothing more to read). ERR_CORRUPT: not JSON;
 * ERR_REJECTED: beyond a limit. */
enum err json_next(struct json_reader *reader, struct json_token *ret) MUST_USE;
/* Skips the value that comes next (after a KEY, or as an array's element), and gives its text as
 * written. */
enum err json_skip(struct json_reader *reader, struct slice *ret_text) MUST_USE;
/* After the complete value: the offset of the first byte behind it (white space skipped).
 * input.size: nothing follows. */
size_t json_end(struct json_reader *reader);
/* The characters of a STRING or KEY, unescaped, as UTF-8: points into the input when there are no
 * escapes, else into `scratch`. ERR_FULL: scratch is too small (its free room must be at least
 * text.size). */
enum err json_string(const struct json_token *token, struct out *scratch,
                     struct slice *ret) MUST_USE;
/* Line and column (both from 1, column in bytes) of an offset. */
void json_place(struct slice input, size_t offset, unsigned *ret_line, unsigned *ret_column);

#endif
