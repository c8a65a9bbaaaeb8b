#include "uplink/object/answer.h"

#include <strings.h>

static enum object_action action_of(long status)
{
    if (status == 413) {
        return OBJECT_HALVE;
    }
    if (status == 412) {
        return OBJECT_THERE;
    }
    bool is_busy = status == 408 || status == 409 || status == 425 || status == 429;
    return is_busy || status >= 500 ? OBJECT_WAIT : OBJECT_STOP;
}

void object_said_find(struct object_said *ret, const struct object_code *codes, size_t count,
                      long status)
{
    ret->advice = "";
    ret->action = action_of(status);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(ret->code, codes[i].code) == 0) {
            ret->action = codes[i].action;
            ret->advice = codes[i].advice;
            return;
        }
    }
}

void object_say(struct send_report *ret, enum send_result result, const struct object_said *said,
                long status)
{
    sender_report(ret, result, (int)status, "the store answers %ld %s%s%s%s%.60s", status,
                  said->code, said->advice[0] ? ", " : "", said->advice,
                  said->message[0] ? ": " : "", said->message);
    for (char *c = ret->text; *c; c++) {
        if (*c < ' ' || *c > '~') { /* it is for one line of a log */
            *c = ' ';
        }
    }
}

bool object_header_is(struct slice name, const char *text)
{
    return name.size == strlen(text) && strncasecmp((const char *)name.data, text, name.size) == 0;
}
