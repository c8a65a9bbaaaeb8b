/* The gate between a broker, a library and a driver that the input plays: in any order, cut
 * anywhere, in its right mind or not. The first bytes are the gate's options; then each byte is a
 * step, and some that follow say what it does it with. What the gate reads and writes is heard, and
 * this holds whatever comes:
 *
 * - the broker sees an acknowledgement only of a message that is stored and that the library has
 *   acknowledged, or that is too large; in the order of arrival; each once;
 * - the library gets the broker's messages whole, unchanged and in order, without those too large,
 *   and never more of them than may be unstored;
 * - what the library sends and is not the gate's own comes to the broker whole and unchanged;
 * - and once everybody does their part, nothing is left over. */
#include <assert.h>
#include <stdlib.h>

#include "drivers/mqtt_gate.h"
#include "tests/drivers/stream_double.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SENT_SIZE_MAX 8192              /* by the broker, and by the library */
#define MESSAGE_MAX (SENT_SIZE_MAX / 4) /* the smallest PUBLISH has 4 bytes */
#define PASSING_MAX (SENT_SIZE_MAX / 2) /* the smallest packet has 2 */
#define TURN_MAX 100000                 /* then callbacks run in circles */
#define ROOM_SIZE ((size_t)1024 * 1024) /* takes everything */
#define ROUND_MAX (MESSAGE_MAX + 10)    /* each brings a message further, or is the last */

/* Packets in one direction, heard as they go by. */
struct side {
    struct mqtt_scan scan;
    uint64_t sum; /* of the packet at hand, however it is cut */
    bool is_over; /* the sender sent what is no MQTT */
};

struct message {
    uint64_t sum;
    uint64_t serial; /* the driver has it; 0: not yet */
    uint32_t size;
    uint16_t id;
    uint8_t qos;
    bool is_skipped;
    bool is_acked; /* by the library */
};

/* What the library has called back, and the driver has not looked at. */
struct called {
    unsigned epoch;
    size_t message;
    uint16_t id;
    uint8_t qos;
    uint32_t size;
};

struct world {
    struct loop loop;
    struct mqtt_gate *gate;
    struct mqtt_gate_options options;
    struct slice input;
    struct stream *library, *broker;
    size_t broker_sent, library_sent;
    bool holds_connack, is_stopped, is_closing;

    /* this connection */
    unsigned epoch;
    struct side from_broker, to_library, from_library, to_broker;
    size_t message_count;   /* read by the gate, whole */
    size_t given;           /* up to here the library has them */
    size_t called_back;     /* up to here it has called back */
    size_t acked;           /* up to here the broker has acknowledgements */
    size_t passing, passed; /* packets of the library, on their way and through */
    size_t pings, pongs;
    bool awaits_pong; /* one answer is enough for pings that come before it */
    size_t forwarded; /* begun to be given, and not with the driver */
    size_t forwarded_size;
    size_t puback_count, released;

    /* of all connections */
    size_t called_count, called_at;
    uint64_t arrived, stored; /* serials */
    size_t unstored_size;
    struct message messages[MESSAGE_MAX];
    uint64_t passing_sums[PASSING_MAX];
    struct called called[MESSAGE_MAX];
    uint32_t sizes[MESSAGE_MAX]; /* by serial */
};

static uint8_t take(struct world *w)
{
    uint8_t byte = 0;
    (void)!slice_take_u8(&w->input, &byte); /* zeroes behind the end */
    return byte;
}

/* --- what the gate reads --- */

static void broker_said(struct world *w, const struct mqtt_piece *piece)
{
    struct side *side = &w->from_broker;
    if (piece->type == MQTT_PUBLISH) {
        assert(w->message_count < MESSAGE_MAX);
        w->messages[w->message_count++] =
            (struct message){.sum = side->sum,
                             .size = piece->size,
                             .qos = (uint8_t)mqtt_qos(piece->flags),
                             .id = mqtt_qos(piece->flags) ? side->scan.id : 0,
                             .is_skipped = piece->size > w->options.size_max};
    }
}

static void library_said(struct world *w, const struct mqtt_piece *piece)
{
    if (piece->type == MQTT_PINGREQ) {
        w->pings++;
        w->awaits_pong = true;
    } else if (piece->type == MQTT_PUBACK) {
        size_t i = 0;
        while (i < w->message_count &&
               (w->messages[i].qos == 0 || w->messages[i].is_skipped || w->messages[i].is_acked)) {
            i++;
        }
        if (i < w->message_count && w->messages[i].id == w->from_library.scan.id) {
            w->messages[i].is_acked = true;
        }
    } else {
        assert(w->passing < PASSING_MAX);
        w->passing_sums[w->passing++] = w->from_library.sum;
    }
}

/* --- what it writes --- */

static void library_hears_publish(struct world *w, const struct mqtt_piece *piece)
{
    if (piece->is_head) {
        assert(piece->size <= w->options.size_max);
        assert(w->forwarded + (w->arrived - w->stored) < w->options.unstored_count_max);
        assert(w->forwarded_size + w->unstored_size < w->options.unstored_size_max);
        w->forwarded++;
        w->forwarded_size += piece->size;
    }
    if (piece->is_end) {
        while (w->given < w->message_count && w->messages[w->given].is_skipped) {
            w->given++;
        }
        assert(w->given < w->message_count);
        assert(w->messages[w->given].sum == w->to_library.sum);
        w->given++;
    }
}

static void library_hears(struct world *w, const struct mqtt_piece *piece)
{
    if (piece->type == MQTT_PUBLISH) {
        library_hears_publish(w, piece);
    } else if (piece->type == MQTT_PINGRESP) {
        w->pongs++;
        w->awaits_pong = false;
        assert(piece->size == 0 && w->pongs <= w->pings);
    } else {
        assert(piece->type == MQTT_CONNACK || piece->type == MQTT_SUBACK ||
               piece->type == MQTT_DISCONNECT);
    }
}

static void broker_hears(struct world *w, const struct mqtt_piece *piece)
{
    if (!piece->is_end || w->is_closing) {
        return;
    }
    if (piece->type == MQTT_PUBACK) {
        while (w->acked < w->message_count && w->messages[w->acked].qos == 0) {
            w->acked++;
        }
        assert(piece->size == 2 && w->acked < w->message_count);
        const struct message *m = &w->messages[w->acked++];
        bool is_stored = m->serial && m->serial <= w->stored;
        assert(m->id == w->to_broker.scan.id);
        assert(m->is_skipped || (is_stored && m->is_acked));
        w->puback_count++;
    } else if (piece->type == MQTT_PINGREQ) {
        assert(piece->size == 0);
    } else {
        assert(w->passed < w->passing && w->passing_sums[w->passed] == w->to_broker.sum);
        w->passed++;
    }
}

/* --- hearing --- */

static void hear(struct world *w, struct side *side, struct slice bytes,
                 void (*heard)(struct world *w, const struct mqtt_piece *piece))
{
    struct mqtt_piece piece;
    enum err e = ERR_OK;
    while (!side->is_over && (e = mqtt_scan_next(&side->scan, &bytes, &piece)) == ERR_OK) {
        side->sum = piece.is_head ? 0 : side->sum;
        for (size_t i = 0; i < piece.bytes.size; i++) {
            side->sum = (side->sum ^ piece.bytes.data[i]) * 0x100000001b3;
        }
        heard(w, &piece);
    }
    side->is_over = side->is_over || e == ERR_CORRUPT;
}

static void broker_said_some(struct world *w, const struct mqtt_piece *piece)
{
    if (piece->is_end) {
        broker_said(w, piece);
    }
}

static void library_said_some(struct world *w, const struct mqtt_piece *piece)
{
    if (piece->is_end) {
        library_said(w, piece);
    }
}

static void has_read(void *context, struct stream *stream, struct slice bytes)
{
    struct world *w = context;
    if (stream == w->library) {
        hear(w, &w->from_library, bytes, library_said_some);
    } else {
        hear(w, &w->from_broker, bytes, broker_said_some);
    }
}

static void has_written(void *context, struct stream *stream, struct slice bytes)
{
    struct world *w = context;
    if (stream == w->library) {
        hear(w, &w->to_library, bytes, library_hears);
    } else {
        hear(w, &w->to_broker, bytes, broker_hears);
    }
    assert(!w->to_library.is_over && !w->to_broker.is_over);
}

static void has_closed(void *context, struct stream *stream)
{
    struct world *w = context;
    if (stream == w->broker) {
        w->broker = NULL;
    }
    if (stream != w->library) {
        return;
    }
    w->library = NULL;
    w->epoch++;
    w->from_broker = w->to_library = w->from_library = w->to_broker = (struct side){0};
    w->message_count = w->given = w->called_back = w->acked = w->passing = w->passed = 0;
    w->awaits_pong = false;
    w->pings = w->pongs = w->forwarded = w->forwarded_size = w->puback_count = w->released = 0;
}

/* --- the driver --- */

static void driver_report(struct world *w)
{
    const struct called *called = &w->called[w->called_at++];
    w->arrived++;
    w->sizes[w->arrived % MESSAGE_MAX] = called->size;
    w->unstored_size += called->size;
    if (called->epoch == w->epoch) {
        w->messages[called->message].serial = w->arrived;
        w->forwarded--;
        w->forwarded_size -= called->size;
    }
    mqtt_gate_arrived(w->gate, called->id, called->qos, w->arrived);
}

static void on_drain(void *context)
{
    struct world *w = context;
    while (w->called_at < w->called_count) {
        driver_report(w);
    }
}

static void driver_store(struct world *w, size_t count)
{
    uint64_t before = w->stored;
    for (; count && w->stored < w->arrived; count--) {
        w->stored++;
        w->unstored_size -= w->sizes[w->stored % MESSAGE_MAX];
    }
    if (w->stored > before) {
        mqtt_gate_stored(w->gate, w->stored);
    }
}

static void on_unstored(void *context, size_t *ret_count, size_t *ret_size)
{
    const struct world *w = context;
    *ret_count = (size_t)(w->arrived - w->stored);
    *ret_size = w->unstored_size;
}

static bool on_connack(void *context, const struct mqtt_connack *connack)
{
    const struct world *w = context;
    (void)connack;
    return !w->holds_connack;
}

static void on_released(void *context, size_t count, size_t held)
{
    struct world *w = context;
    assert(count > 0 && held == mqtt_gate_held(w->gate));
    w->released += count;
}

static void on_trouble(void *context, const struct why *why)
{
    (void)context;
    assert(why->text[0]);
}

static void on_count(void *context, const char *name, uint64_t add)
{
    (void)context;
    assert(name[0] && add);
}

/* --- the library --- */

static void library_send(struct world *w, const uint8_t *data, size_t size)
{
    if (w->library && w->library_sent + size <= SENT_SIZE_MAX) {
        w->library_sent += size;
        double_arrive(w->library, (struct slice){data, size});
    }
}

static void library_call_back(struct world *w, size_t count)
{
    for (; w->called_back < w->given && count; w->called_back++) {
        const struct message *m = &w->messages[w->called_back];
        if (!m->is_skipped && w->called_count < MESSAGE_MAX) {
            w->called[w->called_count++] =
                (struct called){w->epoch, w->called_back, m->id, m->qos, m->size};
            count--;
        }
    }
}

/* Those that it has called back, and has not acknowledged. */
static void library_acknowledge(struct world *w, size_t count)
{
    for (size_t i = 0; i < w->called_back && count; i++) {
        const struct message *m = &w->messages[i];
        if (m->qos && !m->is_skipped && !m->is_acked) {
            uint8_t packet[] = {MQTT_PUBACK << 4, 2, (uint8_t)(m->id >> 8), (uint8_t)m->id};
            library_send(w, packet, sizeof packet);
            count--;
        }
    }
}

static void library_dial(struct world *w)
{
    library_call_back(w, take(w)); /* what it has of the connection before */
    struct stream *stream = double_accept(&w->loop);
    w->library = stream ? stream : w->library;
}

static void library_say(struct world *w)
{
    uint8_t kind = take(w);
    uint8_t packet[64] = {0};
    size_t size = kind >> 2 & 31;
    switch (kind % 4) {
    case 0:
        packet[0] = MQTT_CONNECT << 4;
        break;
    case 1:
        packet[0] = MQTT_SUBSCRIBE << 4 | 2;
        size += 2;
        packet[3] = 1;
        break;
    case 2:
        packet[0] = MQTT_PINGREQ << 4;
        size = 0;
        break;
    default:
        packet[0] = MQTT_DISCONNECT << 4;
        size = 0;
        break;
    }
    packet[1] = (uint8_t)size;
    library_send(w, packet, 2 + size);
}

/* --- the broker --- */

static void broker_send(struct world *w, const uint8_t *data, size_t size)
{
    if (w->broker && w->broker_sent + size <= SENT_SIZE_MAX) {
        w->broker_sent += size;
        double_arrive(w->broker, (struct slice){data, size});
    }
}

static void broker_publish(struct world *w)
{
    uint8_t kind = take(w);
    uint8_t packet[256] = {0};
    size_t id_size = kind & 1 ? 2 : 0;
    size_t size = 3 + id_size + (kind >> 1 & 63);
    packet[0] = (uint8_t)(MQTT_PUBLISH << 4 | (kind & 1) << 1);
    packet[1] = (uint8_t)size;
    packet[3] = 1;
    packet[4] = 't';
    packet[5 + id_size] = (uint8_t)w->broker_sent; /* no two are alike */
    if (id_size) {
        packet[6] = (uint8_t)(1 + take(w) % 8);
    }
    broker_send(w, packet, 2 + size);
}

static void broker_say(struct world *w)
{
    uint8_t kind = take(w);
    uint8_t codes = (uint8_t)w->options.filter_count;
    uint8_t connack[] = {MQTT_CONNACK << 4, 2, kind >> 3 & 1, kind >> 4 & 1};
    uint8_t connack_5[] = {MQTT_CONNACK << 4, 6, 0, 0, 3, 0x13, 0, kind >> 3};
    uint8_t suback[] = {MQTT_SUBACK << 4, (uint8_t)(2 + codes), 0, 1, 0, 0, 0};
    uint8_t disconnect[] = {MQTT_DISCONNECT << 4, 2, kind, 0};
    switch (kind % 5) {
    case 0:
        broker_send(w, connack, sizeof connack);
        break;
    case 1:
        broker_send(w, connack_5, sizeof connack_5);
        break;
    case 2:
        suback[1] = (uint8_t)(suback[1] + w->options.is_5);
        broker_send(w, suback, 2U + suback[1]);
        break;
    case 3:
        broker_send(w, (const uint8_t[]){MQTT_PINGRESP << 4, 0}, 2);
        break;
    default:
        broker_send(w, disconnect, sizeof disconnect);
        break;
    }
}

static void broker_answer_dial(struct world *w, bool opens)
{
    if (!w->loop.dialed) {
        return;
    }
    w->broker = w->loop.dialed;
    if (opens) {
        double_open(&w->loop);
    } else {
        double_refuse(&w->loop);
    }
}

/* --- steps --- */

static void run(struct world *w)
{
    bool has_more = true;
    for (size_t i = 0; has_more; i++) {
        assert(i < TURN_MAX);
        has_more = w->library && double_turn(w->library);
        has_more = (w->broker && double_turn(w->broker)) || has_more;
    }
}

static void raw(struct world *w, void (*send)(struct world *w, const uint8_t *data, size_t size))
{
    struct slice bytes;
    size_t size = take(w);
    size = size < w->input.size ? size : w->input.size;
    if (slice_take(&w->input, size, &bytes)) {
        send(w, bytes.data, bytes.size);
    }
}

/* The library leaves a message out: the gate must see it. */
static void leave_out(struct world *w)
{
    on_drain(w);
    const struct message *first = &w->messages[w->called_back];
    const struct message *second = first + 1;
    if (w->called_back + 2 > w->given || first->is_skipped || second->is_skipped ||
        (first->qos == second->qos && first->id == second->id)) {
        return;
    }
    unsigned epoch = w->epoch;
    w->arrived++;
    w->sizes[w->arrived % MESSAGE_MAX] = 0;
    mqtt_gate_arrived(w->gate, second->id, second->qos, w->arrived);
    assert(w->epoch != epoch);
}

static void step_rare(struct world *w)
{
    uint8_t kind = take(w);
    struct stream *stream = kind & 8 ? w->broker : w->library;
    switch (kind % 8) {
    case 0:
        (void)mqtt_gate_is_busy(w->gate);
        return;
    case 1:
        leave_out(w);
        return;
    case 2:
        mqtt_gate_break(w->gate, "the driver can't take it");
        return;
    case 3:
        w->is_stopped = true;
        mqtt_gate_stop(w->gate);
        return;
    case 4:
        w->holds_connack = kind >> 3 & 1;
        return;
    case 5:
        mqtt_gate_go_on(w->gate);
        return;
    case 6:
        if (stream && stream != w->loop.dialed) {
            double_end(stream);
        }
        return;
    default:
        if (stream && stream != w->loop.dialed) {
            double_reset(stream);
        }
        return;
    }
}

static void step_driver(struct world *w, unsigned kind)
{
    switch (kind) {
    case 0:
        library_call_back(w, 1U + take(w) % 4U);
        return;
    case 1:
        library_acknowledge(w, 1U + take(w) % 4U);
        return;
    case 2:
        if (w->called_at < w->called_count) {
            driver_report(w);
        }
        return;
    case 3:
        on_drain(w);
        return;
    case 4:
        driver_store(w, 1U + take(w) % 8U);
        return;
    case 5:
        double_pass(&w->loop, take(w) * 100U);
        return;
    case 6:
        step_rare(w);
        return;
    default:
        return; /* only the callbacks run */
    }
}

static void step(struct world *w, uint8_t kind)
{
    switch (kind % 16) {
    case 0:
        library_dial(w);
        return;
    case 1:
        broker_answer_dial(w, take(w) % 8 != 7);
        return;
    case 2:
        broker_publish(w);
        return;
    case 3:
        raw(w, broker_send);
        return;
    case 4:
        broker_say(w);
        return;
    case 5:
        raw(w, library_send);
        return;
    case 6:
        library_say(w);
        return;
    case 7:
        if (kind & 16 && w->library) {
            double_make_room(w->library, take(w));
        } else if (w->broker) {
            double_make_room(w->broker, take(w));
        }
        return;
    default:
        step_driver(w, kind % 8);
        return;
    }
}

/* --- the end --- */

static bool is_between(const struct side *side)
{
    const struct mqtt_scan *scan = &side->scan;
    return !side->is_over && !scan->in_body && (scan->has_head || scan->head_size == 0);
}

/* Everybody does their part, until nothing changes: then nothing may be left. */
static void settle(struct world *w)
{
    run(w);
    w->holds_connack = false;
    if (!w->library || !w->broker || w->broker == w->loop.dialed || !is_between(&w->from_library)) {
        return;
    }
    unsigned epoch = w->epoch;
    w->library_sent = 0; /* what it still says is not of the input */
    double_make_room(w->library, ROOM_SIZE);
    double_make_room(w->broker, ROOM_SIZE);
    mqtt_gate_go_on(w->gate);
    size_t before = SIZE_MAX;
    for (size_t i = 0; w->epoch == epoch && before != w->acked + w->given + w->stored; i++) {
        assert(i < ROUND_MAX);
        before = w->acked + w->given + w->stored;
        run(w);
        library_call_back(w, MESSAGE_MAX);
        on_drain(w);
        library_acknowledge(w, MESSAGE_MAX);
        run(w);
        driver_store(w, MESSAGE_MAX);
        run(w);
    }
    if (w->epoch != epoch || w->called_count == MESSAGE_MAX) {
        return;
    }
    bool is_whole = is_between(&w->from_broker);
    for (size_t i = w->acked; i < w->message_count; i++) {
        assert(w->messages[i].qos == 0 && (w->messages[i].is_skipped || i < w->given));
    }
    assert(w->released == w->puback_count && w->passed == w->passing);
    assert(mqtt_gate_held(w->gate) <= !is_whole && !mqtt_gate_is_full(w->gate));
    assert(w->is_stopped || double_unread(w->broker) == 0);
    assert(!w->awaits_pong || !is_whole);
}

static bool world_open(struct world *w)
{
    static const struct stream_watcher watcher = {has_read, has_written, has_closed};
    static const struct mqtt_gate_handler handler = {on_drain,    on_unstored, on_connack,
                                                     on_released, on_trouble,  on_count};
    static const uint32_t keepalives_s[] = {60, 0, 1, 10};
    uint8_t flags = take(w);
    struct why why;
    w->loop.watcher = &watcher;
    w->loop.context = w;
    w->options = (struct mqtt_gate_options){.loop = &w->loop,
                                            .handler = handler,
                                            .context = w,
                                            .host = "broker",
                                            .port = 1,
                                            .is_5 = flags & 1,
                                            .keepalive_s = keepalives_s[flags >> 1 & 3],
                                            .filter_count = 1 + (flags >> 3 & 1),
                                            .size_max = 20 + (uint32_t)(flags >> 4 & 3) * 20,
                                            .unstored_count_max = 1 + take(w) % 8,
                                            .unstored_size_max = 1 + take(w)};
    return mqtt_gate_open(&w->gate, &w->options, &why) == ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w) {
        return 0;
    }
    w->input = (struct slice){data, size};
    if (world_open(w)) {
        while (w->input.size) {
            uint8_t kind = take(w);
            step(w, kind);
            if (!(kind & 128)) {
                run(w);
            }
        }
        settle(w);
        w->is_closing = true;
        mqtt_gate_close(w->gate);
    }
    free(w);
    return 0;
}
