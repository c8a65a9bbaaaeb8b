/* Mapping, the values without parts: a number's text, or characters, to what a field of the schema
 * holds. */
#include <math.h>
#include <string.h>

#include "agent/map_impl.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/number.h"

/* --- complaints --- */

const char *map_shown(struct slice s, char memory[MAP_SHOWN_SIZE])
{
    struct out o = out_over(memory, MAP_SHOWN_SIZE - 1);
    size_t size = s.size < MAP_SHOWN_SIZE / 2 ? s.size : MAP_SHOWN_SIZE / 2;
    while (size < s.size && size > 0 && (s.data[size] & 0xc0) == 0x80) {
        size--; /* whole characters */
    }
    bool is_utf8 = slice_is_utf8((struct slice){s.data, size});
    for (size_t i = 0; i < size; i++) {
        uint8_t c = s.data[i];
        bool plain = c >= 0x80 ? is_utf8 : c >= 0x20 && c != 0x7f;
        out_put_byte(&o, plain ? c : '?');
    }
    out_put_text(&o, size < s.size ? "..." : "");
    memory[o.size] = 0;
    return memory;
}

/* In quotes where one would not see what it is: nothing, or blanks around. */
static bool is_hidden(struct slice what)
{
    return what.size == 0 || what.data[0] == ' ' || what.data[what.size - 1] == ' ';
}

enum err map_misfit(struct mapper *m, struct slice what, const char *is_no)
{
    char memory[MAP_SHOWN_SIZE];
    const char *quote = is_hidden(what) ? "\"" : "";
    if (m->why) {
        why_set(m->why, "%s%s%s is no %s", quote, map_shown(what, memory), quote, is_no);
    }
    return ERR_REJECTED;
}

const char *map_node_name(const struct avro_node *node)
{
    static const char *const kinds[] = {[AVRO_INT] = "int (a whole number of 32 bits)",
                                        [AVRO_LONG] = "long (a whole number of 64 bits)",
                                        [AVRO_FLOAT] = "number that fits a float",
                                        [AVRO_DOUBLE] = "number that fits a double",
                                        [AVRO_BOOLEAN] = "boolean (true or false)"};
    static const char *const logical[] = {[AVRO_DECIMAL] = "decimal",
                                          [AVRO_UUID] = "UUID",
                                          [AVRO_DATE] = "date",
                                          [AVRO_TIME_MILLIS] = "time",
                                          [AVRO_TIME_MICROS] = "time",
                                          [AVRO_TIMESTAMP_MILLIS] = "timestamp",
                                          [AVRO_TIMESTAMP_MICROS] = "timestamp",
                                          [AVRO_TIMESTAMP_NANOS] = "timestamp",
                                          [AVRO_LOCAL_TIMESTAMP_MILLIS] = "local timestamp",
                                          [AVRO_LOCAL_TIMESTAMP_MICROS] = "local timestamp",
                                          [AVRO_LOCAL_TIMESTAMP_NANOS] = "local timestamp",
                                          [AVRO_DURATION] = "duration"};
    if (node->logical != AVRO_PLAIN) {
        return logical[node->logical];
    }
    bool is_told = node->kind < ARRAY_COUNT(kinds) && kinds[node->kind];
    return is_told ? kinds[node->kind] : avro_kind_name(node->kind);
}

enum err map_within(struct mapper *m, enum err e, struct slice name)
{
    char memory[MAP_SHOWN_SIZE];
    if (e && m->why) {
        why_add(m->why, "field \"%s\"", map_shown(name, memory));
    }
    return e;
}

/* --- scalars: a number's text, or characters --- */

static int64_t unit_of(enum avro_logical logical)
{
    switch (logical) {
    case AVRO_TIMESTAMP_MILLIS:
    case AVRO_LOCAL_TIMESTAMP_MILLIS:
    case AVRO_TIME_MILLIS:
        return 1000;
    case AVRO_TIMESTAMP_MICROS:
    case AVRO_LOCAL_TIMESTAMP_MICROS:
    case AVRO_TIME_MICROS:
        return 1000000;
    case AVRO_TIMESTAMP_NANOS:
    case AVRO_LOCAL_TIMESTAMP_NANOS:
        return 1000000000;
    case AVRO_PLAIN:
    case AVRO_DECIMAL:
    case AVRO_UUID:
    case AVRO_DATE:
    case AVRO_DURATION:
        break;
    }
    return 0;
}

/* A time of day is one of a day. */
static bool whole_fits(const struct avro_node *node, int64_t value)
{
    bool is_time = node->logical == AVRO_TIME_MILLIS || node->logical == AVRO_TIME_MICROS;
    if (is_time && (value < 0 || value >= 86400 * unit_of(node->logical))) {
        return false;
    }
    return node->kind != AVRO_INT || (value >= INT32_MIN && value <= INT32_MAX);
}

/* A date or time from text, in the type's own unit. What is finer than the unit is cut off: a
 * timestamp-millis holds milliseconds. */
static bool time_of_text(enum avro_logical logical, struct slice text, int64_t *ret)
{
    int64_t unit = unit_of(logical);
    int32_t days;
    int64_t seconds;
    uint32_t nanos;
    if (logical == AVRO_DATE) {
        if (!avro_date_of(text, &days)) {
            return false;
        }
        *ret = days;
        return true;
    }
    if (logical == AVRO_TIME_MILLIS || logical == AVRO_TIME_MICROS) {
        if (!avro_time_of(text, &seconds)) {
            return false;
        }
        *ret = seconds / (1000000000 / unit);
        return true;
    }
    bool local = logical >= AVRO_LOCAL_TIMESTAMP_MILLIS && logical <= AVRO_LOCAL_TIMESTAMP_NANOS;
    if (unit == 0 || !avro_timestamp_of(text, local, &seconds, &nanos) ||
        seconds > INT64_MAX / unit - 1 || seconds < INT64_MIN / unit + 1) {
        return false;
    }
    *ret = seconds * unit + nanos / (1000000000 / unit);
    return true;
}

static bool digits_take(struct slice text, size_t *at)
{
    size_t start = *at;
    while (*at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9') {
        ++*at;
    }
    return *at > start;
}

/* RFC 8259 section 6: what the functions of number.h rely on. */
bool map_number_is(struct slice text)
{
    size_t at = text.size > 0 && text.data[0] == '-';
    size_t first = at;
    if (!digits_take(text, &at) || (text.data[first] == '0' && at > first + 1)) {
        return false;
    }
    if (at < text.size && text.data[at] == '.') {
        at++;
        if (!digits_take(text, &at)) {
            return false;
        }
    }
    if (at < text.size && (text.data[at] | 0x20) == 'e') {
        at++;
        at += at < text.size && (text.data[at] == '+' || text.data[at] == '-');
        if (!digits_take(text, &at)) {
            return false;
        }
    }
    return at == text.size;
}

static enum err put_whole(struct mapper *m, const struct avro_node *node, struct slice text,
                          bool is_number)
{
    int64_t value;
    if (!is_number && node->logical != AVRO_PLAIN && time_of_text(node->logical, text, &value)) {
        out_put_varint(m->out, value);
        return ERR_OK;
    }
    if ((!is_number && (m->strict || !map_number_is(text))) || number_to_long(text, &value) ||
        !whole_fits(node, value)) {
        return map_misfit(m, text, map_node_name(node));
    }
    out_put_varint(m->out, value);
    return ERR_OK;
}

static enum err put_real(struct mapper *m, const struct avro_node *node, struct slice text,
                         bool is_number)
{
    double real = 0;
    float small = 0;
    bool fits = is_number || (!m->strict && map_number_is(text));
    if (!is_number && slice_equal_text(text, "NaN")) {
        real = (double)NAN;
        small = NAN;
    } else if (!fits || (node->kind == AVRO_FLOAT ? number_to_float(text, &small)
                                                  : number_to_double(text, &real))) {
        return map_misfit(m, text, map_node_name(node));
    }
    if (node->kind == AVRO_FLOAT) {
        avro_put_float(m->out, small);
    } else {
        avro_put_double(m->out, real);
    }
    return ERR_OK;
}

static enum err put_decimal(struct mapper *m, const struct avro_node *node, struct slice text,
                            bool is_number)
{
    uint8_t memory[DECIMAL_SIZE_MAX];
    struct out bytes = out_over(memory, sizeof memory);
    if ((!is_number && (m->strict || !map_number_is(text))) ||
        number_to_decimal(text, node->precision, node->scale, &bytes) ||
        (node->kind == AVRO_FIXED && bytes.size > node->size)) {
        char expected[80];
        struct out o = out_over(expected, sizeof expected - 1);
        out_put_format(&o, "decimal of at most %u digits, %u of them behind the point",
                       node->precision, node->scale);
        expected[o.size] = '\0';
        return map_misfit(m, text, expected);
    }
    if (node->kind == AVRO_BYTES) {
        avro_put_bytes(m->out, out_slice(&bytes));
        return ERR_OK;
    }
    for (size_t i = bytes.size; i < node->size; i++) {
        out_put_byte(m->out, memory[0] & 0x80 ? 0xff : 0);
    }
    out_put_slice(m->out, out_slice(&bytes));
    return ERR_OK;
}

static uint8_t hex_value(uint8_t c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static enum err put_fixed(struct mapper *m, const struct avro_node *node, struct slice text)
{
    if (node->logical == AVRO_UUID && avro_uuid_is(text)) {
        for (size_t i = 0; i < text.size; i += 2) {
            i += text.data[i] == '-';
            out_put_byte(m->out,
                         (uint8_t)(hex_value(text.data[i]) << 4 | hex_value(text.data[i + 1])));
        }
        return ERR_OK;
    }
    if (node->logical == AVRO_UUID) {
        return map_misfit(m, text, map_node_name(node));
    }
    if (text.size != node->size) {
        char expected[40];
        struct out o = out_over(expected, sizeof expected - 1);
        out_put_format(&o, "fixed of %u bytes", node->size);
        expected[o.size] = '\0';
        return map_misfit(m, text, expected);
    }
    out_put_slice(m->out, text);
    return ERR_OK;
}

static enum err put_enum(struct mapper *m, const struct avro_node *node, struct slice text)
{
    int32_t index = avro_symbol_find(node, text);
    index = index < 0 && !m->strict ? node->symbol_default : index;
    if (index < 0) {
        return map_misfit(m, text, "symbol of the enum, which has no default");
    }
    out_put_varint(m->out, index);
    return ERR_OK;
}

/* A scalar from its text; is_number: it is a JSON number. */
enum err map_put_scalar(struct mapper *m, const struct avro_node *node, struct slice text,
                        bool is_number)
{
    if (node->logical == AVRO_DECIMAL) {
        return put_decimal(m, node, text, is_number);
    }
    switch (node->kind) {
    case AVRO_INT:
    case AVRO_LONG:
        return put_whole(m, node, text, is_number);
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return put_real(m, node, text, is_number);
    case AVRO_STRING:
    case AVRO_BYTES:
        if ((is_number && m->strict) || (node->logical == AVRO_UUID && !avro_uuid_is(text))) {
            return map_misfit(m, text, map_node_name(node));
        }
        if (node->kind == AVRO_STRING && !slice_is_utf8(text)) {
            return map_misfit(m, text, "UTF-8 text");
        }
        avro_put_bytes(m->out, text);
        return ERR_OK;
    case AVRO_FIXED:
        return is_number ? map_misfit(m, text, map_node_name(node)) : put_fixed(m, node, text);
    case AVRO_ENUM:
        return is_number ? map_misfit(m, text, "symbol of the enum") : put_enum(m, node, text);
    case AVRO_BOOLEAN:
        if (!m->strict && (slice_equal_text(text, "true") || slice_equal_text(text, "false"))) {
            avro_put_boolean(m->out, text.data[0] == 't');
            return ERR_OK;
        }
        return map_misfit(m, text, map_node_name(node));
    case AVRO_NULL:
    case AVRO_RECORD:
    case AVRO_ARRAY:
    case AVRO_MAP:
    case AVRO_UNION:
        break;
    }
    return map_misfit(m, text, map_node_name(node));
}
