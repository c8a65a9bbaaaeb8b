#include <stdio.h>
#include <string.h>

#include "drivers/mqtt_impl.h"

#define PORT_PLAIN 1883
#define PORT_TLS 8883

static bool port_parse(const char *text, uint16_t *ret)
{
    unsigned port = 0;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || port > 6553) {
            return false;
        }
        port = port * 10 + (unsigned)(*c - '0');
    }
    *ret = (uint16_t)port;
    return *text && port > 0 && port <= 65535;
}

enum err mqtt_url_parse(const char *text, struct mqtt_url *ret, struct why *why)
{
    struct mqtt_url url = {.is_tls = strncmp(text, "mqtts://", 8) == 0};
    const char *host = text + (url.is_tls ? 8 : 7);
    bool is_known = url.is_tls || strncmp(text, "mqtt://", 7) == 0;
    bool is_v6 = is_known && *host == '[';
    const char *end = !is_known ? text : is_v6 ? strchr(host, ']') : host + strcspn(host, ":/");
    host += is_v6;
    url.port = url.is_tls ? PORT_TLS : PORT_PLAIN;
    size_t size = is_known && end ? (size_t)(end - host) : 0;
    const char *rest = end ? end + is_v6 : "";
    bool is_right = size > 0 && size < sizeof url.host && !memchr(host, '@', size) &&
                    (!*rest || (*rest == ':' && port_parse(rest + 1, &url.port)));
    if (!is_right) {
        why_set(why,
                "\"%s\" is no address of a broker: write mqtt://HOST[:PORT], or mqtts:// for TLS",
                text);
        return ERR_CONFIG;
    }
    memcpy(url.host, host, size);
    *ret = url;
    return ERR_OK;
}

static enum err url_check(const void *value, struct why *why)
{
    struct mqtt_url url;
    return mqtt_url_parse(*(const char *const *)value, &url, why);
}

static enum err filter_check(const void *value, struct why *why)
{
    return mqtt_filter_check(*(const char *const *)value, why);
}

static const char *protocol_warn(const void *value)
{
    return *(const int64_t *)value == MQTT_PROTOCOL_311
               ? "3.1.1 costs more commits, and flash: the broker's window is learned, not agreed, "
                 "and often small (mosquitto's: 20 messages). Choose 5 if the broker speaks it"
               : NULL;
}

static const char *const protocol_words[] = {"5", "3.1.1", NULL};
static const char *const payload_words[] = {"json", "raw", "sparkplug_b", NULL};
static const char *const dedupe_words[] = {"packet_id", "off", NULL};

static const struct option topic_item = {
    .kind = OPTION_TEXT, .min = 1, .max = 65535, .check = filter_check};

#define MQTT_ROW(member) .offset = offsetof(struct mqtt_options, member)
#define DAY_MS INT64_C(86400000)

const struct option mqtt_options_table[] = {
    {.name = "url",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     MQTT_ROW(url),
     .min = 1,
     .max = 512,
     .check = url_check,
     .help = "The broker: mqtt://HOST[:1883], or mqtts://HOST[:8883] for TLS."},
    {.name = "link",
     .kind = OPTION_TEXT,
     .flags = OPTION_LINK,
     MQTT_ROW(link),
     .min = 1,
     .max = 63,
     .help = "The link of `links` that leads to the broker: the connection is bound to its "
             "interface, and "
             "its bytes are charged to its budgets. It is not held back by them. Default: none."},
    {.name = "topics",
     .kind = OPTION_LIST,
     .flags = OPTION_ROUTE_TOPICS,
     MQTT_ROW(topics),
     .max = 256,
     .item = &topic_item,
     .help = "Topic filters to subscribe to, `$share/GROUP/FILTER` too. Default: the topics of the "
             "routes. A filter that another one covers is left out, since some brokers send a "
             "message once for each."},
    {.name = "protocol",
     .kind = OPTION_CHOICE,
     MQTT_ROW(protocol),
     .initial = "5",
     .words = protocol_words,
     .warn = protocol_warn,
     .help =
         "The version of MQTT. 3.1.1 is for brokers that refuse 5: there is no Receive Maximum, "
         "so it takes more commits (mosquitto: one for each 20 messages), and retained "
         "messages come again with every connect."},
    {.name = "client_id",
     .kind = OPTION_TEXT,
     MQTT_ROW(client_id),
     .min = 1,
     .max = MQTT_CLIENT_ID_SIZE - 1,
     .help = "The name of the session at the broker, which nobody else may use. Default: "
             "weir-AGENT-DRIVER; where that holds other characters than letters, digits and `-_.`, "
             "or with 3.1.1 is longer than 23, a name made of its hash."},
    {.name = "user", .kind = OPTION_TEXT, MQTT_ROW(user), .max = 1024, .help = "The user's name."},
    {.name = "password",
     .kind = OPTION_SECRET,
     MQTT_ROW(password),
     .max = 4096,
     .help = "The user's password, or a token."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     MQTT_ROW(tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "How TLS is spoken, with mqtts://."},
    {.name = "qos",
     .kind = OPTION_INT,
     MQTT_ROW(qos),
     .max = 1,
     .initial = "1",
     .help = "1: the broker keeps a message until it is stored here. 0: messages may be lost, and "
             "are not held back. Messages that are published with QoS 2 come with 1."},
    {.name = "keepalive",
     .kind = OPTION_DURATION,
     MQTT_ROW(keepalive_ms),
     .min = 1000,
     .max = INT64_C(65535000),
     .initial = "60 s",
     .help = "A connection on which nothing comes for 1.5 times this is ended. The broker may "
             "ask for less."},
    {.name = "receive_maximum",
     .kind = OPTION_INT,
     MQTT_ROW(receive_max),
     .min = 1,
     .max = MQTT_IDS_MAX - MQTT_IDS_GROUP, /* a group that is begun has forgotten 16 */
     .initial = "1000",
     .help =
         "MQTT 5: so many messages may be on their way, not acknowledged. The larger, the fewer "
         "commits under load."},
    {.name = "session_expiry",
     .kind = OPTION_DURATION,
     MQTT_ROW(session_expiry_ms),
     .min = DAY_MS,
     .max = 3650 * DAY_MS,
     .initial = "7 d",
     .help = "MQTT 5: so long the broker keeps messages for an agent that is not there."},
    {.name = "message_size_max",
     .kind = OPTION_SIZE,
     MQTT_ROW(message_size_max),
     .min = 1024,
     .max = 64 * 1024 * 1024,
     .initial = "1 MiB",
     .help = "Of topic, properties and payload. Larger messages are skipped and counted "
             "(`too_large`); those above buffer.event_size_max are set aside."},
    {.name = "payload",
     .kind = OPTION_CHOICE,
     MQTT_ROW(payload),
     .initial = "json",
     .words = payload_words,
     .help =
         "What the payloads are: JSON; raw, bytes that become one value; or sparkplug_b, of which "
         "each message becomes an object with `type`, `group`, `node`, `device`, `timestamp`, "
         "`seq` and the array `metrics` (`name`, `alias`, `timestamp`, `datatype`, `value`, "
         "`quality`, ...)."},
    {.name = "user_properties",
     .kind = OPTION_BOOL,
     MQTT_ROW(user_properties),
     .initial = "false",
     .help = "MQTT 5: a message's user properties become fields (the first 64), as text, and go "
             "before those of the payload."},
    {.name = "dedupe",
     .kind = OPTION_CHOICE,
     MQTT_ROW(dedupe),
     .initial = "packet_id",
     .words = dedupe_words,
     .help = "How a message that the broker sends again is known: by its packet id and a hash of "
             "topic and payload, of the newest 4096; `off`: it is stored twice."},
    {.name = NULL},
};

enum err mqtt_options_check(const void *options, struct why *why)
{
    const struct mqtt_options *o = options;
    struct mqtt_url url;
    enum err e = mqtt_url_parse(o->url, &url, why);
    if (e) {
        return e;
    }
    if (o->topics.count == 0) {
        why_set(why, "which topics? Set `topics`, or give the routes a `topic`");
        return ERR_CONFIG;
    }
    if (o->tls.is_set && !url.is_tls) {
        why_set(why, "`tls` is set, but the url is mqtt://: write mqtts://");
        return ERR_CONFIG;
    }
    if (o->password && !o->user && o->protocol == MQTT_PROTOCOL_311) {
        why_set(why, "MQTT 3.1.1 has no password without a user: set `user`");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static bool is_safe(const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return text[strspn(text, safe)] == 0;
}

void mqtt_client_id(const struct mqtt_options *options, const char *agent, const char *driver,
                    char ret[MQTT_CLIENT_ID_SIZE])
{
    static const uint8_t no_key[16];
    if (options->client_id) {
        (void)snprintf(ret, MQTT_CLIENT_ID_SIZE, "%s",
                       options->client_id); /* its size is checked */
        return;
    }
    int size = snprintf(ret, MQTT_CLIENT_ID_SIZE, "weir-%s-%s", agent, driver);
    int size_max = options->protocol == MQTT_PROTOCOL_5 ? MQTT_CLIENT_ID_SIZE - 1 : 23;
    if (size > size_max || !is_safe(ret)) {
        uint8_t of_agent[8]; /* first, so that no two pairs of names look alike */
        struct out o = out_over(of_agent, sizeof of_agent);
        out_put_u64_le(&o, mqtt_siphash(no_key, slice_of_text(agent), (struct slice){NULL, 0}));
        uint64_t hash = mqtt_siphash(no_key, out_slice(&o), slice_of_text(driver));
        (void)snprintf(ret, MQTT_CLIENT_ID_SIZE, "weir%016llx", (unsigned long long)hash);
    }
}
