/* What uplinks without partitions, numbers of their own and a registry have in common: one part of
 * a parcel is one batch for the sender, and nothing is asked before. Embedded at the front of such an
 * uplink; the functions are those of its class. Loop thread. */
#ifndef WEIR_UPLINK_HTTP_HTTP_BASE_H
#define WEIR_UPLINK_HTTP_HTTP_BASE_H

#include "uplink/http/sender.h"

struct http_base {
    struct uplink uplink; /* first */
    struct uplink_host *host;
    struct sender *sender;
    const char *agent_id;
    uint32_t incarnation;
};

/* Fills it and opens its sender. */
enum err http_base_open(struct http_base *base, const struct uplink_class *class_,
                        const struct sender_setup *setup, struct why *why) MUST_USE;
void http_base_close(struct http_base *base);

/* These two look at nothing of it: further uplinks have them as well. One partition; and there are no
 * numbers to give, for the service would not know them. */
uint32_t http_base_place(const struct target *target, struct slice key, uint64_t sequence);
enum err http_base_assign(struct uplink *uplink, struct parcel *parcel, const uint32_t *parts,
                          size_t part_count) MUST_USE;

void http_base_send(struct uplink *uplink, struct batch *batch);
void http_base_relink(struct uplink *uplink);
void http_base_stop(struct uplink *uplink, int64_t grace_ms);

/* Bytes of one request: `most`, or what the link carries now. */
uint32_t http_base_size(const struct http_base *base, uint32_t most);
/* Is a batch of this size one that wrap() should refuse? What has its numbers is sent as it is, and
 * what is one event can't be made smaller. */
bool http_base_is_too_large(const struct batch *batch, size_t size);

/* The report of a batch that is refused, and so cut anew (TOO_LARGE, REJECTED). Where what came of an
 * earlier try is not known, that one may be there, under a name that its halves do not have: it is halved
 * all the same, since nobody can tell, and mostly the earlier answer that was lost was this refusal;
 * counted as `in_doubt`, and logged. Tries that had no connection, or were refused, leave no doubt. */
void http_base_refuse(const struct http_base *base, const struct batch *batch,
                      enum send_result result, struct send_report *ret);

/* Appends `text` with all but A-Z a-z 0-9 - . _ ~ as %XX; `also`: one further character that stays,
 * or 0. */
void http_base_put_escaped(struct out *o, struct slice text, char also);

#endif
