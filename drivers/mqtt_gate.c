#include "drivers/mqtt_gate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/mqtt_gate_impl.h"

#define REDIAL_MS_MIN 100
#define REDIAL_MS_MAX 4000
#define TICK_MS_MAX 1000
#define CONNACK_MS_MAX 30000 /* without keep-alive, and at most */

/* --- one connection begins and ends --- */

static void gate_forget(struct mqtt_gate *gate)
{
    gate->epoch++;
    gate->is_open = gate->is_connected = gate->has_told = false;
    gate->down = gate->up = (struct mqtt_scan){0};
    gate->input = gate->rest = (struct slice){NULL, 0};
    gate->is_held = gate->is_full = gate->is_skipping = gate->is_paused = false;
    gate->owes_pong = false;
    gate->pong_left = 0;
    gate->to_broker.size = 0;
    gate->to_broker.overflow = false;
    gate->to_broker_at = 0;
    gate->is_passing = false;
    gate->first = gate->end = gate->next_arrival = gate->next_ack = 0;
    gate->forwarded_count = gate->forwarded_size = gate->held = 0;
    gate->keepalive_s = gate->options.keepalive_s;
}

static void gate_count_wire(struct mqtt_gate *gate)
{
    struct wire_told more;
    if (gate->options.wire_bytes && gate->broker &&
        stream_wire_more(gate->broker, &gate->wire, &more)) {
        gate->options.wire_bytes(gate->context, more.sent, more.received);
    }
}

void gate_drop(struct mqtt_gate *gate, const struct why *why)
{
    struct stream *broker = gate->broker;
    struct stream *library = gate->library;
    gate_count_wire(gate);
    gate->broker = gate->library = NULL;
    gate_forget(gate);
    timer_disarm(&gate->redial);
    stream_close(broker);
    stream_close(library);
    if (why) {
        gate->handler.trouble(gate->context, why);
    }
}

void gate_drop_for(struct mqtt_gate *gate, const char *reason)
{
    struct why why;
    why_set(&why, "%s", reason);
    gate_drop(gate, &why);
}

/* --- the broker's connection --- */

static void gate_broker_open(void *context)
{
    struct mqtt_gate *gate = context;
    gate->is_open = true;
    gate->redial_ms = REDIAL_MS_MIN;
    gate->sent_ms = gate->heard_ms = loop_now_ms(gate->loop);
    gate->handler.count(gate->context, "connections", 1);
    gate_flush_up(gate);
}

static void gate_broker_readable(void *context)
{
    gate_count_wire(context);
    gate_pump_down(context);
}

static void gate_broker_writable(void *context)
{
    struct mqtt_gate *gate = context;
    gate_flush_up(gate);
    gate_release(gate);
}

static void gate_broker_closed(void *context, enum err e, const struct why *why)
{
    struct mqtt_gate *gate = context;
    (void)e;
    gate_count_wire(gate);
    struct why told = *why;
    if (gate->is_open) {
        why_add(&told, gate->is_connected ? "the connection to the broker is lost"
                                          : "the broker gave no answer to CONNECT");
        gate_drop(gate, gate->has_told ? NULL : &told);
        return;
    }
    stream_close(gate->broker);
    gate->broker = NULL;
    timer_arm(&gate->redial, gate->redial_ms);
    gate->redial_ms = gate->redial_ms * 2 < REDIAL_MS_MAX ? gate->redial_ms * 2 : REDIAL_MS_MAX;
    gate->handler.trouble(gate->context, &told);
}

static const struct stream_handler broker_calls = {.on_open = gate_broker_open,
                                                   .on_readable = gate_broker_readable,
                                                   .on_writable = gate_broker_writable,
                                                   .on_closed = gate_broker_closed};

static void gate_dial(struct timer *timer)
{
    struct mqtt_gate *gate = CONTAINER_OF(timer, struct mqtt_gate, redial);
    struct stream_options options = {.host = gate->host,
                                     .port = gate->options.port,
                                     .tls = gate->options.tls,
                                     .server_name = gate->options.server_name};
    if (gate->options.interface_name) {
        options.interface_name = gate->options.interface_name(gate->context);
    }
    gate->wire = (struct wire_told){0, 0};
    enum err e = stream_connect(&gate->broker, gate->loop, gate->options.names, &options,
                                &broker_calls, gate);
    if (e) {
        struct why why;
        why_set(&why, "can't connect to %s: %s", gate->host, err_name(e));
        gate->broker = NULL;
        timer_arm(&gate->redial, REDIAL_MS_MAX);
        gate->handler.trouble(gate->context, &why);
    }
}

/* --- the library's connection --- */

static void gate_library_readable(void *context)
{
    gate_read_library(context);
}

static void gate_library_writable(void *context)
{
    gate_pump_down(context);
}

static void gate_library_closed(void *context, enum err e, const struct why *why)
{
    struct mqtt_gate *gate = context;
    (void)e;
    (void)why; /* it says through its callbacks why, or comes again */
    gate_drop(gate, NULL);
}

static const struct stream_handler library_calls = {.on_readable = gate_library_readable,
                                                    .on_writable = gate_library_writable,
                                                    .on_closed = gate_library_closed};

static void gate_accepted(void *context, struct stream *stream)
{
    struct mqtt_gate *gate = context;
    if (gate->is_stopped) {
        return; /* not taken: it is closed */
    }
    gate_drop(gate, NULL);
    gate->handler.drain(gate->context); /* what the library called back of the one before */
    stream_take(stream, &library_calls, gate);
    gate->library = stream;
    gate_dial(&gate->redial);
}

/* --- keep-alive --- */

/* How long the broker has said nothing that we could have heard: what this process was late for the
 * tick it neither read nor asked, and what came meanwhile still waits to be read. */
static uint64_t gate_silence_ms(struct mqtt_gate *gate, uint64_t due_ms)
{
    uint64_t now_ms = loop_now_ms(gate->loop);
    uint64_t heard_ms = gate->heard_ms + (now_ms - due_ms);
    gate->heard_ms = heard_ms < now_ms ? heard_ms : now_ms;
    return now_ms - gate->heard_ms;
}

static void gate_tick(struct timer *timer)
{
    struct mqtt_gate *gate = CONTAINER_OF(timer, struct mqtt_gate, tick);
    struct listener_counts counts;
    uint64_t now_ms = loop_now_ms(gate->loop);
    uint64_t silent_ms = gate_silence_ms(gate, timer->due_ms);
    uint64_t keepalive_ms = (uint64_t)gate->keepalive_s * 1000;
    uint64_t silence_ms = keepalive_ms + keepalive_ms / 2;
    if (!gate->is_connected && (silence_ms == 0 || silence_ms > CONNACK_MS_MAX)) {
        silence_ms = CONNACK_MS_MAX;
    }
    listener_counts(gate->listener, &counts);
    if (counts.refused > gate->strangers) {
        gate->handler.count(gate->context, "strangers", counts.refused - gate->strangers);
        gate->strangers = counts.refused;
    }
    uint64_t wait_ms =
        keepalive_ms && keepalive_ms / 8 < TICK_MS_MAX ? keepalive_ms / 8 : TICK_MS_MAX;
    timer_arm(&gate->tick, wait_ms);
    if (!gate->is_open) {
        return;
    }
    if (silence_ms && !gate->is_paused && silent_ms > silence_ms) {
        struct why why;
        why_set(&why, "nothing came from the broker for %u s", (unsigned)(silence_ms / 1000));
        gate_drop(gate, &why);
    } else if (gate->is_connected && keepalive_ms && gate->to_broker.size == 0 &&
               !gate->is_passing && now_ms + wait_ms - gate->sent_ms >= keepalive_ms * 3 / 4) {
        gate_put_up(gate, MQTT_PINGREQ);
        gate_flush_up(gate);
    }
}

/* --- verbs --- */

enum err mqtt_gate_open(struct mqtt_gate **ret, const struct mqtt_gate_options *options,
                        struct why *why)
{
    assert(options->unstored_count_max >= 1 && options->unstored_count_max <= MQTT_GATE_COUNT_MAX);
    struct mqtt_gate *gate = calloc(1, sizeof *gate);
    if (!gate) {
        return ERR_NOMEM;
    }
    struct loop *loop = options->loop;
    const char *server_name = options->server_name ? options->server_name : options->host;
    gate->loop = loop;
    gate->options = *options;
    gate->handler = options->handler;
    gate->context = options->context;
    gate->redial_ms = REDIAL_MS_MIN;
    timer_init(&gate->redial, loop, gate_dial);
    timer_init(&gate->tick, loop, gate_tick);
    struct listener_options listen = {.host = "127.0.0.1", .own_only = true};
    gate->to_broker = out_over(malloc(GATE_UP_SIZE), GATE_UP_SIZE);
    enum err e = ERR_NOMEM;
    if (!gate->to_broker.data) {
        goto fail;
    }
    e = ERR_CONFIG;
    if (!slice_to_text(slice_of_text(options->host), gate->host, sizeof gate->host) ||
        !slice_to_text(slice_of_text(server_name), gate->server_name, sizeof gate->server_name)) {
        why_set(why, "the name %.64s... is too long", options->host);
        goto fail;
    }
    gate->options.host = gate->host;
    gate->options.server_name = gate->server_name;
    gate_forget(gate);
    e = listener_open(&gate->listener, loop, &listen, gate_accepted, gate, why);
    if (e) {
        goto fail;
    }
    timer_arm(&gate->tick, TICK_MS_MAX);
    *ret = gate;
    return ERR_OK;

fail:
    mqtt_gate_close(gate);
    return e;
}

uint16_t mqtt_gate_port(const struct mqtt_gate *gate)
{
    return listener_port(gate->listener);
}

void mqtt_gate_go_on(struct mqtt_gate *gate)
{
    gate->is_held = false;
    gate_pump_down(gate);
}

void mqtt_gate_arrived(struct mqtt_gate *gate, uint16_t id, unsigned qos, uint64_t serial)
{
    while (gate->next_arrival < gate->end &&
           gate_at(gate, gate->next_arrival)->state == GATE_SKIPPED) {
        gate->next_arrival++;
    }
    if (gate->forwarded_count == 0) {
        return; /* of an earlier connection */
    }
    struct gate_message *m = gate_at(gate, gate->next_arrival);
    if (gate->next_arrival == gate->end || m->qos != qos || (qos && m->id != id)) {
        gate_drop_for(gate, "the MQTT library left a message out (no memory?): the broker will "
                            "send it again");
        return;
    }
    assert(m->state == GATE_FORWARDED && gate->forwarded_size >= m->size);
    m->state = GATE_ARRIVED;
    m->serial = serial;
    gate->next_arrival++;
    gate->forwarded_count--;
    gate->forwarded_size -= m->size;
}

void mqtt_gate_break(struct mqtt_gate *gate, const char *reason)
{
    gate_drop_for(gate, reason);
}

void mqtt_gate_stored(struct mqtt_gate *gate, uint64_t serial)
{
    assert(serial >= gate->stored);
    gate->stored = serial;
    if (gate->library) {
        gate_release(gate);
    }
}

size_t mqtt_gate_held(const struct mqtt_gate *gate)
{
    return gate->held;
}

bool mqtt_gate_is_connected(const struct mqtt_gate *gate)
{
    return gate->is_connected;
}

bool mqtt_gate_is_idle(const struct mqtt_gate *gate)
{
    return !gate->library;
}

bool mqtt_gate_is_full(const struct mqtt_gate *gate)
{
    return gate->is_full;
}

bool mqtt_gate_is_busy(struct mqtt_gate *gate)
{
    if (gate->is_open) {
        gate_pump_down(gate);
    }
    return gate->forwarded_count > 0;
}

uint32_t mqtt_gate_round_trip_ms(const struct mqtt_gate *gate)
{
    struct wire_count count = {0};
    if (gate->is_open) {
        stream_wire_count(gate->broker, &count);
    }
    return count.round_trip_us / 1000;
}

void mqtt_gate_stop(struct mqtt_gate *gate)
{
    gate->is_stopped = true;
    if (gate->is_open && !gate->is_paused) {
        gate->is_paused = true;
        stream_read_pause(gate->broker);
    }
}

void mqtt_gate_close(struct mqtt_gate *gate)
{
    if (!gate) {
        return;
    }
    if (gate->is_connected && gate->to_broker_at == gate->to_broker.size && !gate->is_passing) {
        gate_put_up(gate, MQTT_DISCONNECT);
        gate_flush_up(gate);
    }
    gate_count_wire(gate);
    stream_close(gate->broker);
    stream_close(gate->library);
    listener_close(gate->listener);
    timer_release(&gate->redial);
    timer_release(&gate->tick);
    free(gate->to_broker.data);
    free(gate);
}
