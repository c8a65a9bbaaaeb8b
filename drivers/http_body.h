/* The body of a POST, split into events: one JSON value, the elements of a JSON array, or lines
 * (NDJSON). Only the boundaries are looked for; what an event holds is for intake to judge, so that
 * one bad event does not stop the others. Pure; nothing is copied. */
#ifndef WEIR_DRIVERS_HTTP_BODY_H
#define WEIR_DRIVERS_HTTP_BODY_H

#include "ports/err.h"
#include "ports/slice.h"

#define HTTP_BODY_DEPTH_MAX 256 /* brackets within brackets; intake allows fewer */

enum http_body_kind {
    HTTP_BODY_DETECT, /* array if it begins with '[', else one value if it is one, else lines */
    HTTP_BODY_JSON,   /* application/json: one value, or an array of them */
    HTTP_BODY_LINES,  /* application/x-ndjson */
};

struct http_body {
    struct slice text;
    size_t at;     /* what follows was not taken yet */
    uint64_t line; /* LINES: of `at`; else the number of elements taken; from 0 */
    uint8_t form;  /* enum http_body_form of http_body.c */
};

/* Looks through the whole body. ERR_CORRUPT: it can't be split, *why says where. Then
 * http_body_next() never fails. ret_count: the number of events. */
enum err http_body_init(struct http_body *body, struct slice text, enum http_body_kind kind,
                        uint64_t *ret_count, struct why *why) MUST_USE;
/* The next event, without white space around it, and its line (LINES) or element number, from 1.
 * False: there are no more. */
bool http_body_next(struct http_body *body, struct slice *ret, uint64_t *ret_line) MUST_USE;

#endif
