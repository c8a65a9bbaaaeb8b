/* The probe of `mqtt`: the broker's name, the connection, TLS, the login, and whether the topics may
 * be subscribed to. It connects under a client id of its own and with a clean session, so that the
 * agent's session is left alone; what is published meanwhile is not acknowledged, and of a shared
 * subscription nothing is taken away from its group. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/mqtt_impl.h"
#include "drivers/mqtt_packet.h"
#include "ports/clock.h"
#include "ports/names.h"
#include "ports/random.h"
#include "ports/stream.h"

#define FILTER_MAX 64 /* that are asked about */
#define FILTER_SIZE_MAX 65535
#define PACKET_SIZE_MAX (FILTER_SIZE_MAX + 32) /* CONNECT: user and password have 5 KiB at most */
#define KEEPALIVE_S 60
#define SHARE "$share/"

struct mqtt_probe {
    struct probe probe;
    struct probe_setup setup;
    const struct mqtt_options *options;
    struct mqtt_url url;
    char name[MQTT_HOST_SIZE + 8]; /* host:port */
    bool is_5;
    struct tls *tls;
    struct name_query query;
    bool is_asking;
    struct stream *stream;
    bool was_open, is_in; /* CONNACK has come */
    struct mqtt_scan scan;
    uint8_t packet[PACKET_SIZE_MAX];
    struct out out;
    size_t sent;
    size_t filter; /* that is being asked about */
    size_t refused;
    struct timer limit;
    struct timer end;
};

static void probe_close(struct probe *probe)
{
    struct mqtt_probe *p = CONTAINER_OF(probe, struct mqtt_probe, probe);
    timer_release(&p->limit);
    timer_release(&p->end);
    if (p->is_asking) {
        names_cancel(p->setup.names, &p->query);
    }
    stream_close(p->stream);
    tls_close(p->tls);
    free(p);
}

static void probe_end(struct timer *timer)
{
    struct mqtt_probe *p = CONTAINER_OF(timer, struct mqtt_probe, end);
    timer_disarm(&p->limit);
    stream_close(p->stream);
    p->stream = NULL;
    p->setup.done(p->setup.context);
}

static void tell(struct mqtt_probe *p, enum probe_level level, const char *option, const char *what,
                 const char *text)
{
    char subject[PROBE_WHAT_SIZE];
    (void)snprintf(subject, sizeof subject, "%s %s", what, p->name);
    probe_found(&p->setup, level, option, subject, "%s", text);
}

/* Nothing more can be found out. */
static void fail(struct mqtt_probe *p, const char *option, const char *what, const char *text)
{
    if (!timer_is_armed(&p->end)) {
        tell(p, PROBE_ERROR, option, what, text);
        timer_arm(&p->end, 0);
    }
}

/* --- packets --- */

static void put_text(struct out *o, struct slice text)
{
    out_put_u16_be(o, (uint16_t)text.size);
    out_put_slice(o, text);
}

static void packet_write(struct mqtt_probe *p)
{
    while (p->stream && p->sent < p->out.size) {
        size_t took = 0;
        struct slice rest = {p->out.data + p->sent, p->out.size - p->sent};
        if (stream_write(p->stream, rest, &took) || took == 0) {
            return; /* on_writable or on_closed follows */
        }
        p->sent += took;
    }
}

/* Sends a packet with this body: it is laid out behind room for the header, which then goes right in
 * front of it. */
static void packet_send(struct mqtt_probe *p, uint8_t first, const struct out *body)
{
    uint8_t head[MQTT_HEAD_SIZE_MAX];
    struct out h = out_over(head, sizeof head);
    out_put_byte(&h, first);
    out_put_uvarint(&h, body->size);
    if (body->overflow || h.overflow) {
        fail(p, "", "questions to", "the packet is too large");
        return;
    }
    uint8_t *start = body->data - h.size;
    memcpy(start, head, h.size);
    p->out = (struct out){.data = start, .size = h.size + body->size};
    p->sent = 0;
    packet_write(p);
}

static struct out packet_begin(struct mqtt_probe *p)
{
    return out_over(p->packet + MQTT_HEAD_SIZE_MAX, sizeof p->packet - MQTT_HEAD_SIZE_MAX);
}

static void send_connect(struct mqtt_probe *p)
{
    const struct mqtt_options *o = p->options;
    uint32_t number;
    char id[24];
    random_bytes(&number, sizeof number);
    (void)snprintf(id, sizeof id, "weirprobe%08" PRIx32, number); /* 3.1.1: letters and digits */
    struct out body = packet_begin(p);
    put_text(&body, SLICE("MQTT"));
    out_put_byte(&body, p->is_5 ? 5 : 4);
    /* A clean session; without an expiry it ends with the connection. */
    out_put_byte(&body, (uint8_t)(0x02 | (o->user ? 0x80 : 0) | (o->password ? 0x40 : 0)));
    out_put_u16_be(&body, KEEPALIVE_S);
    if (p->is_5) {
        out_put_byte(&body, 0); /* no properties */
    }
    put_text(&body, slice_of_text(id));
    if (o->user) {
        put_text(&body, slice_of_text(o->user));
    }
    if (o->password) {
        put_text(&body, slice_of_text(o->password));
    }
    packet_send(p, MQTT_CONNECT << 4, &body);
}

/* Of a shared subscription what is shared: to join it would take messages away from the others. */
static const char *filter_of(const struct mqtt_probe *p, size_t index)
{
    const char *const *filters = p->options->topics.items;
    const char *filter = filters[index];
    if (strncmp(filter, SHARE, strlen(SHARE)) == 0) {
        const char *slash = strchr(filter + strlen(SHARE), '/');
        filter = slash ? slash + 1 : filter;
    }
    return filter;
}

/* The next filter; behind the last one what was found. */
static void send_subscribe(struct mqtt_probe *p)
{
    size_t count = p->options->topics.count < FILTER_MAX ? p->options->topics.count : FILTER_MAX;
    if (p->filter == count) {
        if (p->refused == 0) {
            probe_found(&p->setup, PROBE_OK, "topics", "topic filters",
                        "the broker takes %zu of %zu (what it then delivers, its ACL decides)",
                        count, p->options->topics.count);
        }
        struct out nothing = packet_begin(p);
        packet_send(p, MQTT_DISCONNECT << 4, &nothing);
        timer_arm(&p->end, 0);
        return;
    }
    struct out body = packet_begin(p);
    out_put_u16_be(&body, (uint16_t)(p->filter + 1)); /* packet id */
    if (p->is_5) {
        out_put_byte(&body, 0); /* no properties */
    }
    put_text(&body, slice_of_text(filter_of(p, p->filter)));
    out_put_byte(&body, p->is_5 ? 0x20 : 0); /* QoS 0; 5: and no retained messages */
    packet_send(p, MQTT_SUBSCRIBE << 4 | 2, &body);
    timer_arm(&p->limit, PROBE_ANSWER_MS);
}

static void connack(struct mqtt_probe *p, struct slice body)
{
    struct mqtt_connack c;
    if (mqtt_connack_read(body, p->is_5, &c)) {
        fail(p, "url", "login at", "its answer can't be read: is it an MQTT broker?");
    } else if (c.code) {
        bool is_version = c.code == 1 || c.code == 0x84;
        char text[256];
        (void)snprintf(text, sizeof text, "it refuses (%u): %s%s", c.code,
                       mqtt_refusal_text(c.code),
                       c.code == 2 || c.code == 0x85 || c.code == 5 || c.code == 0x87
                           ? "; it was asked under another client id than the agent's: does it "
                             "allow certain ones only?"
                           : "");
        fail(p, is_version ? "protocol" : p->options->user ? "user" : "url", "login at", text);
    } else {
        p->is_in = true;
        tell(p, PROBE_OK, p->options->user ? "user" : "url", "login at",
             p->is_5 ? "done, MQTT 5" : "done, MQTT 3.1.1");
        send_subscribe(p);
    }
}

static void suback(struct mqtt_probe *p, struct slice body)
{
    uint16_t id;
    uint64_t properties = 0;
    struct slice skipped;
    uint8_t code;
    bool is_whole = slice_take_u16_be(&body, &id) &&
                    (!p->is_5 || (slice_take_uvarint(&body, &properties) &&
                                  slice_take(&body, (size_t)properties, &skipped))) &&
                    slice_take_u8(&body, &code);
    if (!is_whole || id != p->filter + 1) {
        fail(p, "topics", "subscribing at", "its answer can't be read");
        return;
    }
    if (code >= 0x80) {
        char what[PROBE_WHAT_SIZE];
        (void)snprintf(what, sizeof what, "topic filter %.300s", filter_of(p, p->filter));
        probe_found(&p->setup, PROBE_ERROR, "topics", what,
                    "the broker refuses to give it (0x%02x): let the user read it there, or take "
                    "it out",
                    code);
        p->refused++;
    }
    p->filter++;
    send_subscribe(p);
}

/* A whole packet has come; what is published is of no interest. */
static void packet_take(struct mqtt_probe *p, enum mqtt_type type)
{
    struct slice body = {p->scan.kept, p->scan.kept_size};
    if (type == MQTT_CONNACK && !p->is_in) {
        connack(p, body);
    } else if (type == MQTT_SUBACK && p->is_in) {
        suback(p, body);
    } else if (type == MQTT_DISCONNECT) {
        const char *text = body.size > 0 ? mqtt_disconnect_text(body.data[0]) : NULL;
        fail(p, "url", "questions to", text ? text : "it ended the connection");
    }
}

/* --- the connection --- */

static void on_open(void *context)
{
    struct mqtt_probe *p = context;
    p->was_open = true;
    tell(p, PROBE_OK, "url", "connection to", p->tls ? "open, with TLS" : "open");
    int64_t end_s = stream_peer_end_s(p->stream);
    int64_t now_s = clock_wall_us() / 1000000;
    char what[PROBE_WHAT_SIZE], text[64] = "verified";
    (void)snprintf(what, sizeof what, "certificate of %s", p->name);
    if (p->tls && p->options->tls.insecure) {
        tell(p, PROBE_WARNING, "tls.insecure", "certificate of",
             "it is not verified: whoever is in between reads and changes everything");
    } else if (p->tls && !(end_s && probe_found_end(&p->setup, "tls", what, end_s, now_s))) {
        if (end_s) {
            (void)snprintf(text, sizeof text, "verified, good for %" PRId64 " days",
                           (end_s - now_s) / 86400);
        }
        tell(p, PROBE_OK, "tls", "certificate of", text);
    } else if (!p->tls && p->options->password) {
        tell(p, PROBE_WARNING, "url", "password for",
             "it is sent as it is, and without mqtts:// whoever is in between reads it");
    }
    timer_arm(&p->limit, PROBE_ANSWER_MS);
    send_connect(p);
}

static void on_readable(void *context)
{
    struct mqtt_probe *p = context;
    uint8_t data[2048];
    size_t got;
    while (!timer_is_armed(&p->end) && stream_read(p->stream, data, sizeof data, &got) == ERR_OK) {
        struct slice input = {data, got};
        struct mqtt_piece piece;
        enum err e = ERR_OK;
        while (!e && !timer_is_armed(&p->end)) {
            e = mqtt_scan_next(&p->scan, &input, &piece);
            if (!e && piece.is_end) {
                packet_take(p, piece.type);
            }
        }
        if (e && e != ERR_AGAIN) {
            fail(p, "url", "connection to", "what it sends is not MQTT: check host and port");
        }
    }
}

static void on_writable(void *context)
{
    packet_write(context);
}

static void on_closed(void *context, enum err e, const struct why *why)
{
    struct mqtt_probe *p = context;
    bool is_tls = e == ERR_AUTH && !p->was_open;
    const char *what = is_tls ? "TLS with" : !p->was_open ? "connection to" : "login at";
    if (p->was_open && !p->is_in && e == ERR_CLOSED) {
        fail(p, "url", what,
             "it closed the connection without an answer: is it MQTT that is "
             "spoken there, and is mqtt:// or mqtts:// right?");
    } else {
        fail(p, is_tls ? "tls" : "url", p->is_in ? "questions to" : what, why->text);
    }
}

static const struct stream_handler calls = {on_open, on_readable, on_writable, on_closed};

static void on_limit(struct timer *timer)
{
    struct mqtt_probe *p = CONTAINER_OF(timer, struct mqtt_probe, limit);
    fail(p, "url", p->is_in ? "questions to" : "login at",
         "it does not answer within 10 s: is it an MQTT broker?");
}

static void on_name(struct name_query *query, enum err e)
{
    struct mqtt_probe *p = CONTAINER_OF(query, struct mqtt_probe, query);
    char addresses[PROBE_ADDRESSES_SIZE_MAX];
    p->is_asking = false;
    if (e) {
        fail(p, "url", "name of", query->why.text);
        return;
    }
    probe_addresses(query, addresses);
    if (strcmp(addresses, p->url.host) != 0) {
        tell(p, PROBE_OK, "url", "name of", addresses);
    }
    struct stream_options to = {.host = p->url.host,
                                .port = p->url.port,
                                .tls = p->tls,
                                .server_name = p->options->tls.server_name,
                                .connect_timeout_ms = PROBE_CONNECT_MS};
    if (stream_connect(&p->stream, p->setup.loop, p->setup.names, &to, &calls, p)) {
        fail(p, "url", "connection to", "it could not be begun");
    }
}

/* False: it has failed already. */
static bool begin(struct mqtt_probe *p)
{
    struct why why = {""};
    if (p->url.is_tls && tls_open(&p->tls, &p->options->tls, TLS_CLIENT, &why)) {
        fail(p, "tls", "TLS with", why.text);
        return false;
    }
    int64_t end_s = p->tls ? tls_own_end_s(p->tls) : 0;
    if (end_s) {
        (void)probe_found_end(&p->setup, "tls.certificate", "own certificate", end_s,
                              clock_wall_us() / 1000000);
    }
    (void)snprintf(p->query.host, sizeof p->query.host, "%s", p->url.host);
    p->query.port = p->url.port;
    p->query.found = on_name;
    p->is_asking = names_query(p->setup.names, &p->query) == ERR_OK;
    return p->is_asking;
}

enum err mqtt_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    struct mqtt_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->probe.close = probe_close;
    p->setup = *setup;
    p->options = setup->options;
    p->is_5 = p->options->protocol == MQTT_PROTOCOL_5;
    timer_init(&p->limit, setup->loop, on_limit);
    timer_init(&p->end, setup->loop, probe_end);
    struct why why;
    if (mqtt_url_parse(p->options->url, &p->url, &why)) {
        probe_close(&p->probe);
        return ERR_CONFIG;
    }
    (void)snprintf(p->name, sizeof p->name, strchr(p->url.host, ':') ? "[%s]:%u" : "%s:%u",
                   p->url.host, p->url.port);
    if (!begin(p)) {
        fail(p, "url", "name of", "it could not be asked for");
    }
    *ret = &p->probe;
    return ERR_OK;
}
