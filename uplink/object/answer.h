/* What the stores' refusals mean: each has a table of the codes that it gives, by name. */
#ifndef WEIR_UPLINK_OBJECT_ANSWER_H
#define WEIR_UPLINK_OBJECT_ANSWER_H

#include "uplink/http/sender.h"

enum object_action {
    OBJECT_STOP,    /* and tell */
    OBJECT_WAIT,    /* back off */
    OBJECT_REPEAT,  /* at once more; then the batch is refused */
    OBJECT_THERE,   /* an earlier try went through */
    OBJECT_HALVE,   /* it is too large */
    OBJECT_CLOCK,   /* the clock is to be corrected, once */
    OBJECT_RENEW,   /* other credentials are needed, once */
    OBJECT_REGION,  /* it is elsewhere: tell where */
    OBJECT_RESTART, /* the upload in parts is gone: all of it again */
};

struct object_code {
    const char *code;
    enum object_action action;
    const char *advice; /* "": none */
};

#define OBJECT_CODE_SIZE 64

struct object_said {
    char code[OBJECT_CODE_SIZE];
    char message[96];
    enum object_action action;
    const char *advice;
};

/* Fills action and advice by ret->code; one that is not in the table goes by the status: no event
 * is bad for it. */
void object_said_find(struct object_said *ret, const struct object_code *codes, size_t count,
                      long status);
/* Fills result, code and text. */
void object_say(struct send_report *ret, enum send_result result, const struct object_said *said,
                long status);
/* Is it the header of this name, in any case? */
bool object_header_is(struct slice name, const char *text);

#endif
