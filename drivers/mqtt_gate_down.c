/* From the broker to the library: messages are counted and their ids noted on their way, CONNACK is
 * read, pings are ours. */
#include <assert.h>
#include <string.h>

#include "drivers/mqtt_gate_impl.h"

/* --- room for unstored messages --- */

static bool gate_has_room(struct mqtt_gate *gate)
{
    size_t count = 0;
    size_t size = 0;
    gate->handler.unstored(gate->context, &count, &size);
    return gate->end - gate->first < GATE_RING &&
           count + gate->forwarded_count < gate->options.unstored_count_max &&
           size + gate->forwarded_size < gate->options.unstored_size_max;
}

static void gate_message_put(struct mqtt_gate *gate, const struct mqtt_piece *head)
{
    assert(gate->end - gate->first < GATE_RING);
    unsigned qos = mqtt_qos(head->flags);
    *gate_at(gate, gate->end++) =
        (struct gate_message){.size = head->size,
                              .qos = (uint8_t)qos,
                              .state = gate->is_skipping ? GATE_SKIPPED : GATE_FORWARDED};
    gate->held += qos > 0;
    if (!gate->is_skipping) {
        gate->forwarded_count++;
        gate->forwarded_size += head->size;
    }
}

/* --- pieces --- */

static void gate_take_publish_head(struct mqtt_gate *gate, const struct mqtt_piece *piece)
{
    if (mqtt_qos(piece->flags) > 1) {
        gate_drop_for(gate, "the broker sends messages of QoS 2, which are of an older "
                            "subscription: end the session of this client id at the broker, or "
                            "set another \"client_id\"");
        return;
    }
    gate->is_skipping = piece->size > gate->options.size_max;
    gate->rest = piece->bytes;
    gate->is_full = true; /* until gate_admit() finds room for it */
}

/* A PUBLISH whose header is in `rest` may go on, as soon as there is room. */
static bool gate_admit(struct mqtt_gate *gate)
{
    if (gate->is_full && gate_has_room(gate)) {
        gate->is_full = false;
        struct mqtt_piece head = {.flags = gate->down.head[0] & 0x0f, .size = gate->down.size};
        if (!gate->is_skipping || mqtt_qos(head.flags)) {
            gate_message_put(gate, &head);
        }
        if (gate->is_skipping) {
            gate->rest.size = 0;
            gate->handler.count(gate->context, "too_large", 1);
        }
    }
    return !gate->is_full;
}

static void gate_take_publish(struct mqtt_gate *gate, const struct mqtt_piece *piece)
{
    if (piece->is_head) {
        gate_take_publish_head(gate, piece);
        return;
    }
    gate->rest = gate->is_skipping ? (struct slice){NULL, 0} : piece->bytes;
    if (piece->is_end && mqtt_qos(piece->flags)) {
        /* Before the library has it whole, so that it finds it here when it acknowledges. */
        gate_at(gate, gate->end - 1)->id = gate->down.id;
    }
    if (piece->is_end && gate->is_skipping) {
        gate->is_skipping = false;
        gate_release(gate);
    }
}

static void gate_take_connack(struct mqtt_gate *gate)
{
    struct slice body = {gate->down.kept, gate->down.kept_size};
    struct mqtt_connack connack;
    if (gate->down.size > gate->down.kept_size ||
        mqtt_connack_read(body, gate->options.is_5, &connack) != ERR_OK) {
        gate_drop_for(gate, "the broker's answer to CONNECT can't be read");
        return;
    }
    if (connack.has_keep_alive && connack.keep_alive_s &&
        (!gate->keepalive_s || connack.keep_alive_s < gate->keepalive_s)) {
        gate->keepalive_s = connack.keep_alive_s;
    }
    memcpy(gate->connack, gate->down.head, gate->down.head_size);
    memcpy(gate->connack + gate->down.head_size, body.data, body.size);
    gate->rest = (struct slice){gate->connack, gate->down.head_size + body.size};
    gate->is_connected = connack.code == 0;
    gate->has_told = connack.code != 0;
    uint64_t epoch = gate->epoch;
    bool may_pass = gate->handler.connack(gate->context, &connack);
    if (gate->epoch == epoch) {
        gate->is_held = !may_pass;
    }
}

/* The library takes memory for a packet as its header says, and as many codes of a SUBACK as it has
 * asked for. */
static bool gate_has_size(const struct mqtt_gate *gate, const struct mqtt_piece *head)
{
    size_t codes = gate->options.filter_count;
    if (head->type == MQTT_SUBACK && !gate->options.is_5) {
        return head->size == 2 + codes;
    }
    return head->type == MQTT_PUBLISH || (head->size <= GATE_CONTROL_SIZE_MAX &&
                                          (head->type != MQTT_SUBACK || head->size >= 3 + codes));
}

static void gate_drop_unexpected(struct mqtt_gate *gate, const struct mqtt_piece *piece)
{
    struct why why;
    why_set(&why, "the broker sent a packet of type %d and %u bytes, which nobody asked for",
            (int)piece->type, (unsigned)piece->size);
    gate_drop(gate, &why);
}

static void gate_take_down(struct mqtt_gate *gate, const struct mqtt_piece *piece)
{
    if (piece->is_head && !gate_has_size(gate, piece)) {
        gate_drop_unexpected(gate, piece);
        return;
    }
    switch (piece->type) {
    case MQTT_PUBLISH:
        gate_take_publish(gate, piece);
        return;
    case MQTT_CONNACK:
        if (piece->is_end) {
            gate_take_connack(gate);
        }
        return;
    case MQTT_PINGRESP:
        return; /* all pings are ours */
    case MQTT_DISCONNECT:
        gate->rest = piece->bytes;
        if (piece->is_end && gate->down.kept_size && mqtt_disconnect_text(gate->down.kept[0])) {
            struct why why;
            why_set(&why, "the broker ends the connection: %s",
                    mqtt_disconnect_text(gate->down.kept[0]));
            gate->has_told = true;
            gate->handler.trouble(gate->context, &why);
        }
        return;
    case MQTT_SUBACK:
        gate->rest = piece->bytes;
        return;
    case MQTT_CONNECT:
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_UNSUBACK:
    case MQTT_PINGREQ:
    case MQTT_AUTH:
        gate_drop_unexpected(gate, piece);
        return;
    }
}

/* --- the pump --- */

/* The answer to the library's ping goes between two packets, also while a PUBLISH waits for room or
 * is skipped: nothing of that is out. */
static bool gate_push_pong(struct mqtt_gate *gate)
{
    static const uint8_t pong[] = {MQTT_PINGRESP << 4, 0};
    bool is_between =
        gate->is_full || gate->is_skipping || (gate->rest.size == 0 && !gate->down.in_body);
    if (gate->owes_pong && is_between && gate->pong_left == 0) {
        gate->owes_pong = false;
        gate->pong_left = sizeof pong;
    }
    size_t taken = 0;
    struct slice bytes = {pong + sizeof pong - gate->pong_left, gate->pong_left};
    if (bytes.size && stream_write(gate->library, bytes, &taken) != ERR_OK) {
        return false; /* on_closed follows */
    }
    gate->pong_left -= taken;
    return gate->pong_left == 0;
}

/* Gives the library what waits for it. False: it takes no more, or must not. */
static bool gate_push_rest(struct mqtt_gate *gate)
{
    if (!gate->library || !gate_push_pong(gate) || gate->is_held || !gate_admit(gate)) {
        return false;
    }
    if (gate->rest.size == 0) {
        return true;
    }
    size_t taken = 0;
    if (stream_write(gate->library, gate->rest, &taken) != ERR_OK) {
        return false; /* on_closed follows */
    }
    gate->rest.data += taken;
    gate->rest.size -= taken;
    return gate->rest.size == 0 && gate_push_pong(gate);
}

/* More of the broker's bytes into `input`. False: there is nothing now. */
static bool gate_read_broker(struct mqtt_gate *gate)
{
    size_t size = 0;
    if (!gate->is_open || gate->is_stopped ||
        stream_read(gate->broker, gate->in, sizeof gate->in, &size) != ERR_OK) {
        return false;
    }
    gate->heard_ms = loop_now_ms(gate->loop);
    gate->input = (struct slice){gate->in, size};
    return true;
}

/* Whether the broker is read is TCP's way to hold it back. */
static void gate_set_paused(struct mqtt_gate *gate, bool paused)
{
    if (!gate->is_open || gate->is_paused == paused) {
        return;
    }
    gate->is_paused = paused;
    if (paused) {
        stream_read_pause(gate->broker);
    } else {
        gate->heard_ms = loop_now_ms(gate->loop); /* its silence was ours */
        stream_read_resume(gate->broker);
    }
}

void gate_pump_down(struct mqtt_gate *gate)
{
    uint64_t epoch = gate->epoch;
    int reads = 0;
    struct mqtt_piece piece;
    for (;;) {
        if (!gate_push_rest(gate)) {
            gate_set_paused(gate, true);
            return;
        }
        enum err e = mqtt_scan_next(&gate->down, &gate->input, &piece);
        if (e == ERR_CORRUPT) {
            gate_drop_for(gate, "the broker sent what is no MQTT");
            return;
        }
        if (!e) {
            gate_take_down(gate, &piece);
            if (gate->epoch != epoch) {
                return;
            }
        } else if (reads++ == GATE_READ_MAX || !gate_read_broker(gate)) {
            break;
        }
    }
    gate_set_paused(gate, gate->is_stopped);
}
