/* What the files of the `mqtt` driver share: mqtt_options.c has the options, mqtt_filter.c the
 * topic filters, mqtt_offer.c makes events of messages, mqtt.c is the driver itself. */
#ifndef WEIR_DRIVERS_MQTT_IMPL_H
#define WEIR_DRIVERS_MQTT_IMPL_H

#include "drivers/drivers.h"
#include "drivers/mqtt_engine.h"
#include "drivers/mqtt_gate.h"
#include "drivers/mqtt_ids.h"
#include "drivers/mqtt_window.h"
#include "drivers/sparkplug.h"
#include "ports/tls.h"

enum mqtt_protocol { MQTT_PROTOCOL_5, MQTT_PROTOCOL_311 };
enum mqtt_payload { MQTT_PAYLOAD_JSON, MQTT_PAYLOAD_RAW, MQTT_PAYLOAD_SPARKPLUG_B };
enum mqtt_dedupe { MQTT_DEDUPE_PACKET_ID, MQTT_DEDUPE_OFF };

struct mqtt_options {
    const char *url;
    const char *link;
    struct option_list topics; /* const char * */
    int64_t protocol;          /* enum mqtt_protocol */
    const char *client_id;
    const char *user;
    const char *password;
    struct tls_options tls;
    int64_t qos;
    int64_t keepalive_ms;
    int64_t receive_max;
    int64_t session_expiry_ms;
    int64_t message_size_max;
    int64_t payload; /* enum mqtt_payload */
    bool user_properties;
    int64_t dedupe; /* enum mqtt_dedupe */
};

/* --- mqtt_options.c --- */

#define MQTT_HOST_SIZE 256
#define MQTT_CLIENT_ID_SIZE 256

struct mqtt_url {
    bool is_tls;
    uint16_t port;
    char host[MQTT_HOST_SIZE];
};

extern const struct option mqtt_options_table[];
enum err mqtt_url_parse(const char *text, struct mqtt_url *ret, struct why *why) MUST_USE;
/* `options`: struct mqtt_options. */
enum err mqtt_options_check(const void *options, struct why *why);
/* "weir-AGENT-DRIVER" where every broker takes that, else "weir" and 16 hexadecimal digits of it:
 * 3.1.1 promises no more than 23 letters and digits. */
void mqtt_client_id(const struct mqtt_options *options, const char *agent, const char *driver,
                    char ret[MQTT_CLIENT_ID_SIZE]);

/* --- mqtt_filter.c --- */

/* Is it a topic filter, or a shared one, "$share/GROUP/FILTER"? */
enum err mqtt_filter_check(const char *filter, struct why *why) MUST_USE;
/* Does `a` take all that `b` takes? Some brokers send a message once for each filter. */
bool mqtt_filter_covers(const char *a, const char *b);

/* --- mqtt_probe.c --- */

enum err mqtt_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;

/* --- the driver --- */

/* Credit counts what is unstored, so beyond it there can be only what was on its way when a
 * connection ended. */
#define MQTT_UNSTORED_COUNT_MAX MQTT_GATE_COUNT_MAX
#define MQTT_UNSTORED_SIZE_MAX (1024 * 1024)
#define MQTT_RING (2 * MQTT_UNSTORED_COUNT_MAX)
#define MQTT_JSON_SIZE_MAX (1024 * 1024) /* of a Sparkplug message as JSON */
#define MQTT_PROPERTY_MAX 64 /* user properties that become fields; further ones are left out */

/* A message that has arrived; number n, from 1, is in ring[n % MQTT_RING]. */
struct mqtt_waiting {
    struct mqtt_item *item; /* NULL: it was offered */
    uint64_t ticket;        /* stored with this one */
    uint32_t size;
    uint32_t session;
};

struct mqtt_driver {
    struct driver driver;
    struct driver_host *host;
    struct loop *loop;
    const struct mqtt_options *options;
    struct tls *tls;
    struct inbox *inbox;
    struct mqtt_gate *gate;
    struct mqtt_engine *engine;
    struct mqtt_ids ids;
    struct mqtt_window window;
    char **filters;
    size_t filter_count;
    struct mqtt_waiting *ring;
    uint64_t arrived; /* number of the last message that came, was offered, and is stored */
    uint64_t offered;
    uint64_t settled;
    size_t unstored_size;
    uint64_t ticket; /* the last one given */
    uint64_t stored; /* the last one stored */
    uint32_t session;
    uint64_t forget_ticket; /* CONNACK waits for it; 0: for none */
    bool owes_forget;       /* there was no room for it */
    bool is_blocked;        /* ERR_FULL was answered */
    bool is_stopping;
    bool is_closing;        /* the gate is gone */
    struct timer quiet;     /* nothing arrives any more */
    struct timer connect;   /* the engine is to connect again */
    struct timer check;     /* did its word that the connection is lost get lost? */
    struct timer subscribe; /* the broker did not answer SUBSCRIBE, or refused it */
    uint64_t connect_ms;
    uint64_t answer_ms;  /* so long it may take to answer */
    uint64_t refused_ms; /* so long it is left alone after a refusal */
    bool is_refused;
    bool was_idle;
    char source[EVENT_SUBJECT_SIZE_MAX];
    struct sparkplug *sparkplug; /* NULL: payloads are something else */
    struct why unusable;         /* why a payload is none */
};

/* --- mqtt_connect.c --- */

void mqtt_connect_init(struct mqtt_driver *mqtt);
void mqtt_connect_start(struct mqtt_driver *mqtt);
/* No further connection is made. */
void mqtt_connect_stop(struct mqtt_driver *mqtt);
void mqtt_connect_release(struct mqtt_driver *mqtt);
/* CONNACK passes to the library, which subscribes: the broker has to answer that. */
void mqtt_await_answer(struct mqtt_driver *mqtt);
/* It has. What it refuses is asked for again later, on a new connection. */
void mqtt_subscribed(struct mqtt_driver *mqtt, const struct mqtt_item *item);
/* The library is not connected any more. */
void mqtt_lost(struct mqtt_driver *mqtt);

/* --- mqtt_offer.c --- */

/* Offers what has arrived, in order, until there is no room. */
void mqtt_pump(struct mqtt_driver *mqtt);
/* Tells the gate what is stored. */
void mqtt_settle(struct mqtt_driver *mqtt);

#endif
