/* What AWS says when it refuses: JSON, CBOR, XML, HTML, or nothing at all, and what is to be done about
 * it. Plain functions, any thread. */
#ifndef WEIR_UPLINK_AWS_AWS_ERROR_H
#define WEIR_UPLINK_AWS_AWS_ERROR_H

#include "ports/slice.h"

#define AWS_ERROR_TYPE_SIZE 64
#define AWS_ERROR_TEXT_SIZE 160

struct aws_error {
    char type[AWS_ERROR_TYPE_SIZE]; /* "ResourceNotFoundException"; "": none was said */
    char text[AWS_ERROR_TEXT_SIZE]; /* printable; "": none */
};

enum aws_action {
    AWS_SLOW_DOWN,   /* the same again, later: nothing was stored */
    AWS_AGAIN,       /* the same again: some of it may be stored */
    AWS_HALVE,       /* too large, or not understood: fewer, then set aside */
    AWS_REFUSED,     /* a record of it is bad, or all of it is: bisect */
    AWS_MISSING,     /* the stream is not there: stop, and look for it */
    AWS_STOP,        /* a right or a setting is wrong: stop and tell */
    AWS_CREDENTIALS, /* they have ended: with new ones, once */
    AWS_CLOCK,       /* with the server's time, once */
};

/* Of an answer whose status is not 2xx. `header_type`: x-amzn-ErrorType; empty: there was none. */
void aws_error_read(struct aws_error *ret, struct slice header_type, struct slice body);
/* By the type where it is known, else by the status. */
enum aws_action aws_error_action(const struct aws_error *error, long status);
/* The name in "prefix#Name:suffix". */
struct slice aws_error_name(struct slice type);
/* What a person can do about it; a sentence without its dot. */
const char *aws_error_advice(enum aws_action action);

#endif
