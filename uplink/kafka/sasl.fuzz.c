/* What brokers say during a login: the first byte chooses the mechanism, each line that follows is
 * a challenge, and % in it stands for the nonce that was sent. */
#include "uplink/kafka/sasl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LOGINS_MAX 8 /* challenges of one input */

static struct slice line_take(struct slice *s)
{
    size_t end = 0;
    while (end < s->size && s->data[end] != '\n') {
        end++;
    }
    struct slice line = {s->data, end};
    end += end < s->size;
    *s = (struct slice){s->data + end, s->size - end};
    return line;
}

static void challenge_put(struct out *o, struct slice line, struct slice nonce)
{
    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] == '%') {
            out_put_slice(o, nonce);
        } else {
            out_put_byte(o, line.data[i]);
        }
    }
}

static struct slice nonce_of(struct slice token)
{
    struct slice nonce = {NULL, 0};
    for (size_t i = token.size; i > 2 && !nonce.data; i--) {
        if (token.data[i - 1] == '=' && token.data[i - 2] == 'r') {
            nonce = (struct slice){token.data + i, token.size - i};
        }
    }
    return nonce;
}

static enum err aws_give(void *context, struct aws_credentials *ret, int64_t *ret_time_s)
{
    (void)context;
    *ret = (struct aws_credentials){.key_id = "AKID", .secret = "secret", .session_token = "token"};
    *ret_time_s = 0;
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sasl_options logins[] = {
        {.mechanism = SASL_PLAIN, .user = "weir", .password = "secret"},
        {.mechanism = SASL_SCRAM_SHA_256, .user = "we=ir,", .password = "secret"},
        {.mechanism = SASL_SCRAM_SHA_512, .user = "weir", .password = "secret"},
        {.mechanism = SASL_OAUTHBEARER},
        {.mechanism = SASL_AWS_MSK_IAM},
    };
    struct slice rest = {data + 1, size - 1};
    static uint8_t tokens[2][SASL_TOKEN_SIZE_MAX], challenge[4096];
    if (size == 0) {
        return 0;
    }
    struct sasl_store store = {
        .token = "token", .options = &logins[data[0] % ARRAY_COUNT(logins)], .aws = aws_give};
    struct sasl sasl;
    struct why why = {""};
    sasl_init(&sasl, &store, SLICE("b-1.pumps.a1.kafka.eu-central-1.amazonaws.com"));
    struct out token = out_over(tokens[0], sizeof tokens[0]);
    enum err e = sasl_next(&sasl, (struct slice){NULL, 0}, &token, &why);
    if (e) {
        abort(); /* the first word is ours */
    }
    struct slice nonce = nonce_of(out_slice(&token));
    for (unsigned i = 0; !e && i < LOGINS_MAX; i++) {
        struct out o = out_over(challenge, sizeof challenge);
        challenge_put(&o, line_take(&rest), nonce);
        struct out next = out_over(tokens[1], sizeof tokens[1]);
        e = sasl_next(&sasl, out_slice(&o), &next, &why);
        while (e == ERR_AGAIN) {
            e = sasl_next(&sasl, (struct slice){NULL, 0}, &next, &why);
        }
        if (e == ERR_AUTH && !why.text[0]) {
            abort(); /* a person is told */
        }
    }
    sasl_release(&sasl);
    return 0;
}
