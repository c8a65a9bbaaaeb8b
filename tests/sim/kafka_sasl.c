/* The broker's side of a login. */
#include <stdlib.h>

#include "ports/clock.h"
#include "ports/lib/hash.h"
#include "tests/sim/kafka_broker_impl.h"
#include "uplink/aws/sigv4.h"

#define ITERATIONS 4096
#define SALT "0123456789abcdef"

static const char *mechanism_of(const struct call *call)
{
    const char *mechanism = call->broker->options.mechanism;
    return mechanism ? mechanism : "PLAIN";
}

static void put_string(struct out *o, const char *text)
{
    out_put_u16_be(o, (uint16_t)strlen(text));
    out_put_text(o, text);
}

static bool plain_is_good(const struct call *call, struct slice token)
{
    char wanted[256];
    struct out o = out_over(wanted, sizeof wanted);
    out_put_byte(&o, 0);
    out_put_text(&o, call->broker->options.user);
    out_put_byte(&o, 0);
    out_put_text(&o, call->broker->options.password);
    return slice_equal(token, out_slice(&o));
}

/* n,,n=<user>,r=<nonce>: the nonce gets longer, salt and iterations are told. */
static bool scram_first(struct call *call, struct slice token, struct out *ret)
{
    struct login *login = call->login;
    char text[256], begin[128];
    snprintf(begin, sizeof begin, "n,,n=%s,r=", call->broker->options.user);
    if (!slice_to_text(token, text, sizeof text) || strncmp(text, begin, strlen(begin)) != 0) {
        return false;
    }
    snprintf(login->nonce, sizeof login->nonce, "%.60sAND-THE-BROKERS", text + strlen(begin));
    size_t from = ret->size;
    out_put_format(ret, "r=%s,s=", login->nonce);
    hash_put_base64(ret, SLICE(SALT));
    out_put_format(ret, ",i=%d", ITERATIONS);
    snprintf(login->auth_message, sizeof login->auth_message, "%s,%.*s,c=biws,r=%s", text + 3,
             (int)(ret->size - from), (const char *)ret->data + from, login->nonce);
    return true;
}

/* c=biws,r=<nonce>,p=<proof>: the client knows the password if its proof takes us to its key. */
static bool scram_final(struct call *call, struct slice token, struct out *ret)
{
    enum hash_kind kind =
        strcmp(mechanism_of(call), "SCRAM-SHA-512") == 0 ? HASH_SHA512 : HASH_SHA256;
    size_t size = hash_size(kind);
    struct slice auth_message = slice_of_text(call->login->auth_message);
    uint8_t salted[HASH_SIZE_MAX], key[HASH_SIZE_MAX], stored[HASH_SIZE_MAX], proof[HASH_SIZE_MAX];
    struct hash_stretch *stretch;
    if (hash_stretch_open(&stretch, kind, slice_of_text(call->broker->options.password),
                          SLICE(SALT), ITERATIONS)) {
        abort();
    }
    (void)hash_stretch_go(stretch, ITERATIONS, salted);
    hash_stretch_close(stretch);
    hash_hmac(kind, (struct slice){salted, size}, SLICE("Client Key"), key);
    hash_of(kind, (struct slice){key, size}, stored);
    hash_hmac(kind, (struct slice){stored, size}, auth_message, proof);
    for (size_t i = 0; i < size; i++) {
        proof[i] ^= key[i];
    }
    uint8_t wanted[256];
    struct out o = out_over(wanted, sizeof wanted);
    out_put_format(&o, "c=biws,r=%s,p=", call->login->nonce);
    hash_put_base64(&o, (struct slice){proof, size});
    hash_hmac(kind, (struct slice){salted, size}, SLICE("Server Key"), key);
    hash_hmac(kind, (struct slice){key, size}, auth_message, proof);
    out_put_text(ret, "v=");
    hash_put_base64(ret, (struct slice){proof, size});
    return slice_equal(token, out_slice(&o));
}

/* A token that is not good is answered with a reason, and the answer to that with the error. */
static bool oauth_take(const struct call *call, struct slice token, struct out *ret, bool *ret_done)
{
    char wanted[256];
    struct out o = out_over(wanted, sizeof wanted);
    out_put_format(&o, "n,,\1auth=Bearer %s\1kind=test\1\1", call->broker->options.password);
    *ret_done = call->login->step > 1 || slice_equal(token, out_slice(&o));
    if (!*ret_done) {
        out_put_text(ret, "{\"status\":\"invalid_token\"}");
    }
    return call->login->step == 1;
}

/* What stands behind "name":" in the message; "": nothing does. */
static void aws_member(const char *text, const char *name, char *ret, size_t size)
{
    char begin[64];
    (void)snprintf(begin, sizeof begin, "\"%s\":\"", name);
    const char *value = strstr(text, begin);
    value = value ? value + strlen(begin) : "";
    (void)snprintf(ret, size, "%.*s", (int)strcspn(value, "\""), value);
}

static int64_t aws_time_s(const char *date)
{
    unsigned year, month, day, hour, minute, second;
    return sscanf(date, "%4u%2u%2uT%2u%2u%2uZ", &year, &month, &day, &hour, &minute, &second) == 6
               ? ((clock_days((int32_t)year, month, day) * 24 + hour) * 60 + minute) * 60 + second
               : 0;
}

/* Signed by the user whose secret is the password, for the region eu-central-1, not long ago. */
static bool aws_is_good(const struct call *call, struct slice token, struct out *ret)
{
    char text[4096], host[128], date[32], credential[200], wanted[200], session[512], signature[80];
    if (!slice_to_text(token, text, sizeof text)) {
        return false;
    }
    aws_member(text, "host", host, sizeof host);
    aws_member(text, "x-amz-date", date, sizeof date);
    aws_member(text, "x-amz-credential", credential, sizeof credential);
    aws_member(text, "x-amz-security-token", session, sizeof session);
    aws_member(text, "x-amz-signature", signature, sizeof signature);
    char hash[SIGV4_HASH_SIZE];
    sigv4_hash(SLICE(""), hash);
    struct sigv4_request request = {.method = "GET",
                                    .host = slice_of_text(host),
                                    .path = SLICE("/"),
                                    .query = SLICE("Action=kafka-cluster%3AConnect"),
                                    .body_hash = hash,
                                    .region = "eu-central-1",
                                    .service = "kafka-cluster",
                                    .time_s = aws_time_s(date)};
    struct aws_credentials user = {.key_id = call->broker->options.user,
                                   .secret = call->broker->options.password,
                                   .session_token = session[0] ? session : NULL};
    uint8_t memory[8192];
    struct out query = out_over(memory, sizeof memory);
    sigv4_presign(&request, &user, 900, &query);
    struct slice end = {query.data + query.size - 64, 64};
    int64_t off_s = call->broker->now_ms / 1000 - request.time_s;
    (void)snprintf(wanted, sizeof wanted, "%s/%.8s/eu-central-1/kafka-cluster/aws4_request",
                   call->broker->options.user, date);
    out_put_text(ret, "{\"version\":\"2020_10_22\",\"request-id\":\"r1\"}");
    return !query.overflow && slice_equal_text(end, signature) && strcmp(credential, wanted) == 0 &&
           off_s < 900 && off_s > -900;
}

/* True: the token is as it should be; `ret` is the answer to it. */
static bool token_take(struct call *call, struct slice token, struct out *ret, bool *ret_done)
{
    unsigned step = call->login->step++;
    *ret_done = true;
    if (strcmp(mechanism_of(call), "PLAIN") == 0) {
        return step == 0 && plain_is_good(call, token);
    }
    if (strcmp(mechanism_of(call), "AWS_MSK_IAM") == 0) {
        return step == 0 && aws_is_good(call, token, ret);
    }
    if (strcmp(mechanism_of(call), "OAUTHBEARER") == 0) {
        return oauth_take(call, token, ret, ret_done);
    }
    *ret_done = step > 0;
    return step == 0 ? scram_first(call, token, ret) : step == 1 && scram_final(call, token, ret);
}

/* How long a login that is done now is good for. */
static int64_t session_ms(const struct broker *broker)
{
    int64_t session = broker->options.session_ms;
    int64_t left = broker->password_set_ms + broker->options.password_ms - broker->now_ms;
    bool ends = broker->options.password_ms > 0;
    return ends && (session == 0 || left < session) ? (left > 0 ? left : 1) : session;
}

bool call_sasl(struct call *call)
{
    const struct broker_options *options = &call->broker->options;
    struct login *login = call->login;
    struct slice s = call->body;
    if (!options->user) {
        return false;
    }
    if (call->api == WIRE_SASL_HANDSHAKE) {
        bool good = slice_equal_text(call_take_string(&s), mechanism_of(call));
        login->begun = good;
        login->step = 0;
        out_put_u16_be(&call->answer, good ? 0 : 33);
        out_put_u32_be(&call->answer, 1);
        put_string(&call->answer, mechanism_of(call));
        return true;
    }
    uint8_t memory[512];
    struct out token = out_over(memory, sizeof memory);
    uint32_t size;
    bool done = true;
    bool good = login->begun && slice_take_u32_be(&s, &size) && size == s.size &&
                token_take(call, s, &token, &done);
    if (done || !good) {
        login->begun = false;
        login->done_ms = good ? call->broker->now_ms : -1;
        login->session_ms = session_ms(call->broker);
    }
    out_put_u16_be(&call->answer, good ? 0 : 58);
    out_put_u16_be(&call->answer, UINT16_MAX);
    out_put_u32_be(&call->answer, good ? (uint32_t)token.size : 0);
    if (good) {
        out_put_slice(&call->answer, out_slice(&token));
    }
    if (call->version >= 1) {
        out_put_u64_be(&call->answer, good && done ? (uint64_t)login->session_ms : 0);
    }
    return true;
}
