/* From the library to the broker: acknowledgements are held until their events are stored, pings
 * are answered here, all else passes. The library is always read: what it can't write of its
 * acknowledgements it drops. */
#include <assert.h>

#include "drivers/mqtt_gate_impl.h"
#include "ports/fault.h"

/* --- to the broker --- */

void gate_flush_up(struct mqtt_gate *gate)
{
    if (!gate->is_open || gate->to_broker_at == gate->to_broker.size) {
        return;
    }
    struct slice rest = out_slice(&gate->to_broker);
    rest.data += gate->to_broker_at;
    rest.size -= gate->to_broker_at;
    size_t taken = 0;
    if (stream_write(gate->broker, rest, &taken) != ERR_OK) {
        return; /* on_closed follows */
    }
    gate->to_broker_at += taken;
    gate->sent_ms = taken ? loop_now_ms(gate->loop) : gate->sent_ms;
    if (gate->to_broker_at == gate->to_broker.size) {
        gate->to_broker.size = 0;
        gate->to_broker_at = 0;
    }
}

void gate_put_up(struct mqtt_gate *gate, enum mqtt_type type)
{
    out_put_byte(&gate->to_broker, (uint8_t)(type << 4));
    out_put_byte(&gate->to_broker, 0);
}

/* --- releasing --- */

static bool is_due(const struct mqtt_gate *gate, const struct gate_message *m)
{
    if (m->state == GATE_SKIPPED) {
        return m->id != 0;
    }
    bool is_stored = m->serial <= gate->stored || fault_planted("puback-early");
    return m->state == GATE_ARRIVED && is_stored && (m->qos == 0 || m->is_acked);
}

void gate_release(struct mqtt_gate *gate)
{
    size_t count = 0;
    while (gate->first < gate->end && is_due(gate, gate_at(gate, gate->first))) {
        const struct gate_message *m = gate_at(gate, gate->first);
        if (m->qos) {
            if (gate->is_passing || gate->to_broker.size_max - gate->to_broker.size < 4) {
                break; /* within a packet of the library's, or the broker takes nothing: later */
            }
            out_put_u16_be(&gate->to_broker, MQTT_PUBACK << 12 | 2);
            out_put_u16_be(&gate->to_broker, m->id);
            count++;
            assert(gate->held > 0);
            gate->held--;
        }
        gate->first++;
    }
    gate->next_arrival = gate->next_arrival < gate->first ? gate->first : gate->next_arrival;
    gate->next_ack = gate->next_ack < gate->first ? gate->first : gate->next_ack;
    uint64_t epoch = gate->epoch;
    if (count) {
        gate_flush_up(gate);
        gate->handler.released(gate->context, count, gate->held);
    }
    if (gate->epoch == epoch && gate->is_full) {
        gate_pump_down(gate);
    }
}

/* --- from the library --- */

static void gate_acked(struct mqtt_gate *gate, uint16_t id)
{
    uint64_t epoch = gate->epoch;
    while (gate->next_ack < gate->end && (gate_at(gate, gate->next_ack)->qos == 0 ||
                                          gate_at(gate, gate->next_ack)->state == GATE_SKIPPED)) {
        gate->next_ack++;
    }
    if (gate->next_ack == gate->end || gate_at(gate, gate->next_ack)->id != id) {
        gate_drop_for(gate, "the MQTT library acknowledged what it was not given");
        return;
    }
    uint64_t position = gate->next_ack;
    if (gate_at(gate, position)->state == GATE_FORWARDED) {
        gate->handler.drain(gate->context); /* it calls back before it acknowledges */
    }
    if (gate->epoch != epoch) {
        return;
    }
    if (gate_at(gate, position)->state == GATE_FORWARDED) {
        gate_drop_for(gate, "the MQTT library acknowledged a message without giving it to us (no "
                            "memory?): the broker will send it again");
        return;
    }
    gate_at(gate, position)->is_acked = true;
    gate->next_ack = position + 1;
    gate_release(gate);
}

static void gate_take_up(struct mqtt_gate *gate, const struct mqtt_piece *piece)
{
    switch (piece->type) {
    case MQTT_PUBACK:
        if (piece->is_end) {
            gate_acked(gate, gate->up.id);
        }
        return;
    case MQTT_PUBREC:
    case MQTT_PUBCOMP:
        gate_drop_for(gate, "the MQTT library answered a message of QoS 2, which it was not given");
        return;
    case MQTT_PINGREQ:
        if (piece->is_end) {
            gate->owes_pong = true;
            gate_pump_down(gate);
        }
        return;
    case MQTT_CONNECT:
    case MQTT_CONNACK:
    case MQTT_PUBLISH:
    case MQTT_PUBREL:
    case MQTT_SUBSCRIBE:
    case MQTT_SUBACK:
    case MQTT_UNSUBSCRIBE:
    case MQTT_UNSUBACK:
    case MQTT_PINGRESP:
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        out_put_slice(&gate->to_broker, piece->bytes);
        gate->is_passing = !piece->is_end;
        if (gate->to_broker.overflow) {
            gate_drop_for(gate, "the broker takes nothing of what is sent to it");
        } else if (piece->is_end) {
            gate_release(gate); /* what became due meanwhile */
        }
        return;
    }
}

void gate_read_library(struct mqtt_gate *gate)
{
    uint64_t epoch = gate->epoch;
    uint8_t data[4096];
    size_t size = 0;
    for (int i = 0; i < GATE_READ_MAX; i++) {
        if (stream_read(gate->library, data, sizeof data, &size) != ERR_OK) {
            break; /* nothing now, or on_closed follows */
        }
        struct slice input = {data, size};
        struct mqtt_piece piece;
        enum err e;
        while ((e = mqtt_scan_next(&gate->up, &input, &piece)) == ERR_OK) {
            gate_take_up(gate, &piece);
            if (gate->epoch != epoch) {
                return;
            }
        }
        if (e == ERR_CORRUPT) {
            gate_drop_for(gate, "the MQTT library sent what is no MQTT");
            return;
        }
    }
    gate_flush_up(gate);
}
