/* What the files of the JSON reader share: json.c reads tokens, json_text.c knows the characters of
 * strings, json_keys.c tells duplicate keys. */
#ifndef WEIR_PORTS_LIB_JSON_IMPL_H
#define WEIR_PORTS_LIB_JSON_IMPL_H

#include "ports/lib/json.h"

/* Ends the reading: `text` and the place become reader->why. Returns `e`. */
enum err json_fail_as(struct json_reader *r, enum err e, size_t offset, const char *text);
/* With ERR_CORRUPT; at the end of the input it says so instead of `text`. */
enum err json_fail(struct json_reader *r, size_t offset, const char *text);

/* The frame of the innermost of so many levels. */
static inline struct json_frame *json_frame(struct json_reader *r, unsigned depth)
{
    return depth <= JSON_DEPTH_MAX ? &r->frames[depth - 1] : &r->deep[depth - 1 - JSON_DEPTH_MAX];
}

/* --- json_text.c --- */

/* The character of the escape whose backslash is at p, and its size as written; 0: not an escape
 * (RFC 8259, section 7), or half a surrogate pair. */
size_t json_escape(const uint8_t *p, const uint8_t *end, uint32_t *ret_character);
/* Unescapes what is at the front of a checked text: a plain byte or one escape, as UTF-8. */
size_t json_unescape(const uint8_t **p, const uint8_t *end, uint8_t ret[4]);

/* --- json_keys.c --- */

/* Notes the key of the object that is open. ERR_CORRUPT: it has it already. ERR_REJECTED: too many
 * to tell. */
enum err json_key_add(struct json_reader *r, const struct json_token *key) MUST_USE;

#endif
