/* Templates of routes: text with places for what is known of an event.
 *
 * {topic} {topic.N} the event's subject, its Nth level (from 0; levels are divided by '/')
 * {source} {driver} {agent} where it came from: for people, the driver's name, the agent's id
 * {payload.NAME} a field of the payload
 * {time} {id} {time_trust} the event's time, its identity, and where that time comes from: alone in
 *     their text, because they are filled in when the event is sent
 * {{ and }} the braces themselves */
#ifndef WEIR_CONFIG_TEMPLATE_H
#define WEIR_CONFIG_TEMPLATE_H

#include "ports/err.h"
#include "ports/slice.h"

#define TEMPLATE_LEVEL_MAX 63

enum template_kind {
    TEMPLATE_TEXT,
    TEMPLATE_TOPIC,
    TEMPLATE_TOPIC_LEVEL,
    TEMPLATE_SOURCE,
    TEMPLATE_DRIVER,
    TEMPLATE_AGENT,
    TEMPLATE_PAYLOAD,
    TEMPLATE_TIME,
    TEMPLATE_ID,
    TEMPLATE_TIME_TRUST,
};

struct template_piece {
    enum template_kind kind;
    struct slice text; /* TEXT: as it goes out; PAYLOAD: the field's name */
    unsigned level;    /* TOPIC_LEVEL */
};

/* Takes the next piece off the front of *rest. ERR_CLOSED: nothing is left. ERR_CONFIG: not a
 * template, *why says what is wrong; never for a text that template_check() took. */
enum err template_next(struct slice *rest, struct template_piece *ret, struct why *why) MUST_USE;
/* Is the whole text a template? */
enum err template_check(const char *text, struct why *why) MUST_USE;
/* What is filled in when sending: TIME, ID or TIME_TRUST; else TEXT. */
enum template_kind template_late(const char *text);

/* Does a subject match a route's pattern? Levels are divided by '/'; '+' stands for one level, '#'
 * at the end for all that follow (none included), '*' within a level for any characters of it. */
bool route_match(const char *pattern, struct slice subject);
/* Is it a pattern that can match? */
enum err route_check(const char *pattern, struct why *why) MUST_USE;
/* The Nth level of a subject; false when it has fewer. */
bool route_level(struct slice subject, unsigned level, struct slice *ret) MUST_USE;

#endif
