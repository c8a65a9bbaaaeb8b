#include "uplink/aws/credentials_parse.h"

#include <strings.h>

#include "ports/clock.h"
#include "ports/lib/json.h"
#include "uplink/aws/credentials.h"

bool credentials_is_word(struct slice text, size_t size_max)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return text.size > 0 && text.size <= size_max;
}

void credentials_error_put(char error[CREDENTIALS_ERROR_SIZE], struct slice text)
{
    size_t at = strlen(error);
    if (at > 0 && at < CREDENTIALS_ERROR_SIZE - 2) {
        memcpy(error + at, ": ", 2);
        at += 2;
    }
    for (size_t i = 0; i < text.size && at < CREDENTIALS_ERROR_SIZE - 1; i++) {
        error[at++] = (char)(text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?');
    }
    error[at < CREDENTIALS_ERROR_SIZE ? at : CREDENTIALS_ERROR_SIZE - 1] = '\0';
}

static bool equal_in_any_case(struct slice a, const char *text)
{
    return a.size == strlen(text) && strncasecmp((const char *)a.data, text, a.size) == 0;
}

/* --- times --- */

/* So many digits, and the character behind them unless it is NUL. */
static bool take_digits(struct slice *text, unsigned count, char behind, unsigned *ret)
{
    struct slice digits;
    if (!slice_take(text, count + (behind ? 1 : 0), &digits)) {
        return false;
    }
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(digits.data[i] - '0');
    }
    *ret = value;
    return !behind || digits.data[count] == (uint8_t)behind;
}

/* "Z" or "+02:00": seconds east of Greenwich. */
static bool take_zone(struct slice *text, int64_t *ret_s)
{
    uint8_t sign;
    unsigned hours = 0, minutes = 0;
    if (!slice_take_u8(text, &sign)) {
        return false;
    }
    if (sign != 'Z') {
        bool is_offset = sign == '+' || sign == '-';
        if (!is_offset || !take_digits(text, 2, ':', &hours) ||
            !take_digits(text, 2, '\0', &minutes)) {
            return false;
        }
    }
    *ret_s = ((int64_t)hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
    return text->size == 0;
}

/* RFC 3339, as AWS writes it. False: it is no time. */
static bool time_parse(struct slice text, int64_t *ret_s)
{
    unsigned year, month, day, hour, minute, second;
    int64_t zone_s;
    uint8_t c;
    if (!take_digits(&text, 4, '-', &year) || !take_digits(&text, 2, '-', &month) ||
        !take_digits(&text, 2, 'T', &day) || !take_digits(&text, 2, ':', &hour) ||
        !take_digits(&text, 2, ':', &minute) || !take_digits(&text, 2, '\0', &second)) {
        return false;
    }
    if (text.size > 0 && text.data[0] == '.') {
        do {
            (void)!slice_take_u8(&text, &c); /* there is one */
        } while (text.size > 0 && text.data[0] >= '0' && text.data[0] <= '9');
    }
    if (month < 1 || month > 12 || day < 1 || day > 31 || year < 1970 ||
        !take_zone(&text, &zone_s)) {
        return false;
    }
    *ret_s =
        ((clock_days((int32_t)year, month, day) * 24 + hour) * 60 + minute) * 60 + second - zone_s;
    return *ret_s > 0;
}

/* --- answers --- */

/* What can't be unescaped stays as it is written. */
static struct slice plain(struct slice value, struct out *scratch)
{
    struct slice text;
    return json_plain(value, scratch, &text) ? value : text;
}

struct reading {
    struct credentials_answer answer;
    struct slice within; /* the object "credentials" */
    bool has_bad_end;
    char *error;
};

static void reading_end(struct reading *reading, struct slice text)
{
    if (!slice_equal_text(text, "null") && text.size > 0 &&
        !time_parse(text, &reading->answer.end_s)) {
        reading->has_bad_end = true;
    }
}

static void reading_member(struct reading *reading, struct slice key, struct slice value)
{
    struct credentials_answer *answer = &reading->answer;
    bool is_null = slice_equal_text(value, "null");
    if (equal_in_any_case(key, "AccessKeyId")) {
        answer->key_id = value;
    } else if (equal_in_any_case(key, "SecretAccessKey")) {
        answer->secret = value;
    } else if (!is_null &&
               (equal_in_any_case(key, "Token") || equal_in_any_case(key, "SessionToken"))) {
        answer->token = value;
    } else if (equal_in_any_case(key, "Expiration")) {
        reading_end(reading, value);
    } else if ((equal_in_any_case(key, "Code") && !slice_equal_text(value, "Success")) ||
               equal_in_any_case(key, "Message")) {
        credentials_error_put(reading->error, value);
    }
}

/* The members of an object. False: it is none. */
static bool reading_object(struct reading *reading, struct slice text, struct out *scratch)
{
    struct json_reader reader;
    struct json_token token;
    struct slice key, value;
    json_init(&reader, text);
    if (json_next(&reader, &token) || token.kind != JSON_OBJECT_BEGIN) {
        return false;
    }
    enum err e;
    while (!(e = json_member(&reader, scratch, &key, &value))) {
        if (value.size > 0 && value.data[0] == '{') {
            reading->within = equal_in_any_case(key, "credentials") ? value : reading->within;
        } else {
            reading_member(reading, key, plain(value, scratch));
        }
    }
    return e == ERR_CLOSED;
}

/* What stands between <TAG> and </TAG>, the first time; empty: nothing does. */
static struct slice xml_find(struct slice text, const char *tag)
{
    char open[40], close[40];
    int open_size = snprintf(open, sizeof open, "<%s>", tag);
    int close_size = snprintf(close, sizeof close, "</%s>", tag);
    const uint8_t *begin = memmem(text.data, text.size, open, (size_t)open_size);
    if (!begin) {
        return (struct slice){NULL, 0};
    }
    begin += open_size;
    size_t rest = text.size - (size_t)(begin - text.data);
    const uint8_t *end = memmem(begin, rest, close, (size_t)close_size);
    return end ? (struct slice){begin, (size_t)(end - begin)} : (struct slice){NULL, 0};
}

/* Base64 and names need no escapes, and so have none. */
static void reading_xml(struct reading *reading, struct slice text)
{
    static const char *const tags[] = {
        "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "Code", "Message"};
    for (size_t i = 0; i < ARRAY_COUNT(tags); i++) {
        struct slice value = xml_find(text, tags[i]);
        if (value.size > 0) {
            reading_member(reading, slice_of_text(tags[i]), value);
        }
    }
}

enum err credentials_answer_parse(struct slice body, struct out *scratch,
                                  struct credentials_answer *ret,
                                  char ret_error[CREDENTIALS_ERROR_SIZE])
{
    struct reading reading = {.error = ret_error};
    const struct credentials_answer *answer = &reading.answer;
    ret_error[0] = '\0';
    if (body.size > 0 && body.data[0] == '<') {
        reading_xml(&reading, body);
    } else if (!reading_object(&reading, body, scratch) ||
               (reading.within.size > 0 && !reading_object(&reading, reading.within, scratch))) {
        return ERR_CORRUPT;
    }
    if (!credentials_is_word(answer->key_id, CREDENTIALS_KEY_SIZE_MAX) ||
        !credentials_is_word(answer->secret, CREDENTIALS_KEY_SIZE_MAX) ||
        (answer->token.size > 0 &&
         !credentials_is_word(answer->token, CREDENTIALS_TOKEN_SIZE_MAX))) {
        return ERR_CORRUPT;
    }
    if (reading.has_bad_end) {
        credentials_error_put(ret_error, SLICE("its Expiration is no time"));
        return ERR_CORRUPT;
    }
    *ret = *answer;
    return ERR_OK;
}

/* --- profiles --- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trimmed(struct slice text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text = (struct slice){text.data + 1, text.size - 1};
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* What stands between the brackets: is it this profile's name? */
static bool is_section(struct slice text, const char *name, bool is_config)
{
    text = trimmed(text);
    bool has_word = text.size > 8 && memcmp(text.data, "profile", 7) == 0 && is_blank(text.data[7]);
    if (is_config && !has_word) {
        return strcmp(name, "default") == 0 && slice_equal_text(text, name);
    }
    if (is_config) {
        text = trimmed((struct slice){text.data + 8, text.size - 8});
    }
    if (text.size > 1 && (text.data[0] == '"' || text.data[0] == '\'') &&
        text.data[text.size - 1] == text.data[0]) {
        text = (struct slice){text.data + 1, text.size - 2};
    }
    return slice_equal_text(text, name);
}

static void profile_member(struct credentials_profile *profile, struct slice key,
                           struct slice value)
{
    const struct {
        const char *name;
        struct slice *to;
    } members[] = {
        {"aws_access_key_id", &profile->key_id},
        {"aws_secret_access_key", &profile->secret},
        {"aws_session_token", &profile->token},
        {"credential_process", &profile->process},
        {"role_arn", &profile->role_arn},
        {"role_session_name", &profile->role_session_name},
        {"web_identity_token_file", &profile->web_identity_token_file},
        {"source_profile", &profile->source_profile},
        {"credential_source", &profile->credential_source},
        {"external_id", &profile->external_id},
        {"duration_seconds", &profile->duration},
        {"mfa_serial", &profile->mfa_serial},
        {"sso_session", &profile->sso},
        {"sso_start_url", &profile->sso},
    };
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        if (equal_in_any_case(key, members[i].name) && members[i].to->size == 0) {
            *members[i].to = value;
        }
    }
}

void credentials_profile_read(struct slice file, const char *name, bool is_config,
                              struct credentials_profile *profile)
{
    bool is_ours = false;
    while (file.size > 0) {
        const uint8_t *end = memchr(file.data, '\n', file.size);
        size_t size = end ? (size_t)(end - file.data) : file.size;
        struct slice line = {file.data, size};
        size += end ? 1 : 0;
        file = (struct slice){file.data + size, file.size - size};
        /* What is indented belongs to the line before: settings that are none of ours. */
        if (line.size == 0 || is_blank(line.data[0]) || line.data[0] == '#' ||
            line.data[0] == ';') {
            continue;
        }
        const uint8_t *bracket = memchr(line.data, ']', line.size);
        if (line.data[0] == '[' && bracket) {
            struct slice section = {line.data + 1, (size_t)(bracket - line.data) - 1};
            is_ours = is_section(section, name, is_config);
            profile->is_found = profile->is_found || is_ours;
            continue;
        }
        const uint8_t *equals = memchr(line.data, '=', line.size);
        if (is_ours && equals) {
            size_t key_size = (size_t)(equals - line.data);
            struct slice value = {equals + 1, line.size - key_size - 1};
            profile_member(profile, trimmed((struct slice){line.data, key_size}), trimmed(value));
        }
    }
}
