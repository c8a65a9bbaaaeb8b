/* Pub/Sub's PublishRequest as protobuf, written and taken apart again, and as the JSON of its REST
 * interface.
 *
 *   PublishRequest { 1 topic, 2 PubsubMessage[] }
 *   PubsubMessage  { 1 data, 2 map attributes { 1 key, 2 value }, 5 ordering_key }
 *
 * Pure; nothing is allocated. */
#ifndef WEIR_UPLINK_GOOGLE_PUBLISH_H
#define WEIR_UPLINK_GOOGLE_PUBLISH_H

#include "ports/err.h"
#include "ports/slice.h"

/* The service's limits. */
#define PUBLISH_MESSAGE_MAX 1000         /* messages of a request */
#define PUBLISH_SIZE_MAX 10000000        /* bytes of a request, and of a message */
#define PUBLISH_REST_SIZE_MAX 7500000    /* of data in a REST request, which carries base64 */
#define PUBLISH_ATTRIBUTE_MAX 8          /* of ours; the service takes 100 */
#define PUBLISH_ATTRIBUTE_KEY_MAX 256    /* bytes */
#define PUBLISH_ATTRIBUTE_VALUE_MAX 1024 /* bytes */
#define PUBLISH_ORDERING_KEY_MAX 1024    /* bytes */

struct publish_attribute {
    struct slice key, value; /* UTF-8 */
};

struct publish_message {
    struct slice data;
    struct slice ordering_key; /* UTF-8; empty: none */
    struct publish_attribute attributes[PUBLISH_ATTRIBUTE_MAX];
    size_t attribute_count;
};

/* The front of a request. `topic` is "projects/P/topics/T". */
void publish_put_topic(struct out *o, struct slice topic);
/* Bytes that publish_put_message() puts. */
size_t publish_message_size(const struct publish_message *message);
void publish_put_message(struct out *o, const struct publish_message *message);

/* Takes the topic off a request: what follows are its messages. ERR_CORRUPT. */
enum err publish_take_topic(struct slice *request, struct slice *ret_topic) MUST_USE;
/* Takes the next message off them, *ret_whole with its tag and size. ERR_CLOSED: there is none;
 * ERR_CORRUPT: none of ours. */
enum err publish_take_message(struct slice *messages, struct slice *ret_whole,
                              struct publish_message *ret) MUST_USE;

/* Messages as the body of a REST request. ERR_CORRUPT. */
enum err publish_put_json(struct out *o, struct slice messages) MUST_USE;
/* Bytes that suffice for it. */
size_t publish_json_size_max(struct slice messages);

#endif
