/* The head of a set-aside event: what is kept beside its bytes, so that it can go through intake again,
 * or be sent again. The buffer stores it and does not look into it. Pure. */
#ifndef WEIR_AGENT_ASIDE_HEAD_H
#define WEIR_AGENT_ASIDE_HEAD_H

#include "buffer/buffer.h"
#include "ports/event.h"

struct aside_head {
    uint8_t trust;   /* enum time_trust */
    int64_t time_us; /* the source's own time (TIME_PAYLOAD), else its arrival */
    uint32_t boot;   /* TIME_BOOT */
    /* ASIDE_DATUM: everything is filled in. */
    bool is_complete;
    /* ASIDE_PAYLOAD, the rest. */
    bool is_unusable;     /* its driver could make no event of it */
    bool fields_are_lost; /* they were too large to be kept */
    uint8_t body_kind;    /* enum body_kind */
    struct slice driver;
    struct slice subject;
    const struct field *fields;
    size_t field_count;
};

/* In an empty `ret`, at most ASIDE_HEAD_SIZE_MAX bytes: names are cut, fields that do not fit are lost.
 * ASIDE_HEAD_SIZE_MIN is room enough without names and fields. */
#define ASIDE_HEAD_SIZE_MIN 32
void aside_head_put(const struct aside_head *head, struct out *ret);
/* Texts lie in `bytes`, fields in memory of the caller. False: it is none, or of a later version. */
bool aside_head_take(struct slice bytes, struct aside_head *ret,
                     struct field fields[EVENT_FIELD_MAX]) MUST_USE;

#endif
