#include "uplink/http/http_base.h"

#include <assert.h>
#include <inttypes.h>

#include "ports/clock.h"
#include "ports/log.h"

enum err http_base_open(struct http_base *base, const struct uplink_class *class_,
                        const struct sender_setup *setup, struct why *why)
{
    base->uplink.class_ = class_;
    base->host = setup->uplink->host;
    base->agent_id = setup->uplink->agent_id;
    base->incarnation = setup->uplink->incarnation;
    return sender_open(&base->sender, setup, why);
}

void http_base_close(struct http_base *base)
{
    sender_close(base->sender);
    base->sender = NULL;
}

uint32_t http_base_place(const struct target *target, struct slice key, uint64_t sequence)
{
    (void)target;
    (void)key;
    (void)sequence;
    return 0;
}

enum err http_base_assign(struct uplink *uplink, struct parcel *parcel, const uint32_t *parts,
                          size_t part_count)
{
    (void)uplink;
    for (size_t i = 0; i < part_count; i++) {
        struct part *part = &parcel->parts[parts[i]];
        part->sent_ms = clock_wall_us() / 1000;
        part->assigned = true; /* what it is known by are its first and last sequence */
    }
    return ERR_OK;
}

void http_base_send(struct uplink *uplink, struct batch *batch)
{
    sender_put(CONTAINER_OF(uplink, struct http_base, uplink)->sender, batch);
}

void http_base_relink(struct uplink *uplink)
{
    sender_relink(CONTAINER_OF(uplink, struct http_base, uplink)->sender);
}

void http_base_stop(struct uplink *uplink, int64_t grace_ms)
{
    sender_stop(CONTAINER_OF(uplink, struct http_base, uplink)->sender, grace_ms);
}

uint32_t http_base_size(const struct http_base *base, uint32_t most)
{
    uint32_t now = uplink_request_size(base->host);
    return now < most ? now : most;
}

bool http_base_is_too_large(const struct batch *batch, size_t size)
{
    bool may_shrink = batch->event_count > 1 && !batch->part->assigned;
    return may_shrink && size > batch->target.request_size_max;
}

void http_base_refuse(const struct http_base *base, const struct batch *batch,
                      enum send_result result, struct send_report *ret)
{
    assert(result == SEND_TOO_LARGE || result == SEND_REJECTED);
    ret->result = result;
    if (batch->again) {
        uplink_count(base->host, "in_doubt", 1);
        log_warn(
            uplink_name(base->host),
            "stream %s, %" PRIu64 "..%" PRIu64
            ": refused, and cut anew; it was sent before, without a word that it is stored: if it "
            "is, these events are there twice (%s)",
            batch->stream->name, batch->first, batch->last, ret->text);
    }
}

void http_base_put_escaped(struct out *o, struct slice text, char also)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                        (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~' ||
                        (also && c == (uint8_t)also);
        if (is_plain) {
            out_put_byte(o, c);
        } else {
            out_put_byte(o, '%');
            out_put_byte(o, (uint8_t)digits[c >> 4]);
            out_put_byte(o, (uint8_t)digits[c & 15]);
        }
    }
}
