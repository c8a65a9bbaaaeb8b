/* Bytes as a PublishRequest: what is taken from them is put again as the same bytes, and its JSON has
 * the room that was said. */
#include "uplink/google/publish.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(const struct publish_message *message)
{
    bool is = message->ordering_key.size <= PUBLISH_ORDERING_KEY_MAX;
    for (size_t i = 0; i < message->attribute_count; i++) {
        is = is && message->attributes[i].key.size <= PUBLISH_ATTRIBUTE_KEY_MAX &&
             message->attributes[i].value.size <= PUBLISH_ATTRIBUTE_VALUE_MAX;
    }
    return is;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t memory[1 << 20];
    struct slice rest = {data, size};
    struct slice topic, whole;
    struct publish_message message;
    if (publish_take_topic(&rest, &topic)) {
        return 0;
    }
    struct slice messages = rest;
    while (!publish_take_message(&rest, &whole, &message)) {
        struct out o = out_over(memory, sizeof memory);
        if (!is_within(&message)) {
            continue;
        }
        publish_put_message(&o, &message);
        if (o.overflow || o.size != publish_message_size(&message)) {
            abort();
        }
        struct slice again = out_slice(&o), whole_again;
        struct publish_message message_again;
        if (publish_take_message(&again, &whole_again, &message_again) ||
            !slice_equal(message.data, message_again.data) ||
            message.attribute_count != message_again.attribute_count) {
            abort();
        }
    }
    size_t room = publish_json_size_max(messages);
    struct out json = out_over(memory, room < sizeof memory ? room : sizeof memory);
    enum err e = publish_put_json(&json, messages);
    if (!e && json.overflow && room < sizeof memory) {
        abort();
    }
    return 0;
}
