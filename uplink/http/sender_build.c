#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "uplink/http/sender_impl.h"

PRINTF_LIKE(2, 0)
static const char *text_put(struct sender_request *r, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static const char *text_put(struct sender_request *r, const char *format, va_list arguments)
{
    size_t room = r->text.size_max - r->text.size;
    char *text = (char *)r->text.data + r->text.size;
    int size = vsnprintf(text, room, format, arguments);
    if (size < 0 || (size_t)size >= room) {
        r->text.overflow = true;
        return NULL;
    }
    r->text.size += (size_t)size + 1;
    return text;
}

const char *sender_text(struct sender_request *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *text = text_put(r, format, arguments);
    va_end(arguments);
    return text;
}

bool sender_header(struct sender_request *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *text = r->header_count < HTTP_HEADER_MAX ? text_put(r, format, arguments) : NULL;
    va_end(arguments);
    if (text) {
        r->http.headers[r->header_count++] = text;
    }
    return text != NULL;
}

enum err sender_body(struct sender_request *r, size_t size, struct out *ret)
{
    struct sender_job *job = CONTAINER_OF(r, struct sender_job, request);
    struct sender_slot *slot = job->slot;
    assert(slot);
    if (slot->body_size < size) {
        free(slot->body);
        slot->body = malloc(size);
        slot->body_size = slot->body ? size : 0;
        if (!slot->body) {
            return ERR_NOMEM;
        }
    }
    *ret = out_over(slot->body, size);
    return ERR_OK;
}

void sender_report(struct send_report *ret, enum send_result result, int code, const char *format,
                   ...)
{
    ret->result = result;
    ret->code = code;
    ret->was_duplicate = false;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(ret->text, sizeof ret->text, format, arguments); /* cut where it is long */
    va_end(arguments);
}

void sender_status(struct send_report *ret, const struct http_answer *answer)
{
    long status = answer->status;
    bool is_busy = status == 408 || status == 425 || status == 429 || status >= 500;
    bool is_refused = status == 400 || status == 409 || status == 422;
    ret->code = (int)status;
    ret->result = status >= 200 && status < 300 ? SEND_OK
                  : is_busy                     ? SEND_RETRY
                  : status == 413               ? SEND_TOO_LARGE
                  : is_refused                  ? SEND_REJECTED
                                                : SEND_PARK;
    if (!ret->text[0] && ret->result != SEND_OK) {
        (void)snprintf(ret->text, sizeof ret->text, "the service answers with status %ld", status);
    }
}
