/* Access tokens for Amazon MSK, for msk_token_random.py. A line of input is fields with a space between:
 * time, region, key id, secret, session token ("-": none). A line of output is the token, or the reason
 * why there is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/kafka/sasl.h"

struct given {
    struct aws_credentials credentials;
    int64_t time_s;
};

static enum err give(void *context, struct aws_credentials *ret, int64_t *ret_time_s)
{
    const struct given *given = context;
    *ret = given->credentials;
    *ret_time_s = given->time_s;
    return ERR_OK;
}

static void line_answer(char *line)
{
    const char *fields[5];
    size_t count = 0;
    for (char *c = line; count < ARRAY_COUNT(fields); count++) {
        fields[count] = c;
        c += strcspn(c, " \n");
        *c++ = '\0';
    }
    struct given given = {
        .credentials = {.key_id = fields[2],
                        .secret = fields[3],
                        .session_token = strcmp(fields[4], "-") == 0 ? NULL : fields[4],
                        .number = 1},
        .time_s = strtoll(fields[0], NULL, 10)};
    struct sasl_options options = {.is_set = true,
                                   .mechanism = SASL_OAUTHBEARER,
                                   .region = fields[1],
                                   .credentials = {.is_set = true}};
    struct sasl_store store = {.options = &options, .aws = give, .aws_context = &given};
    struct sasl sasl;
    struct why why = {""};
    uint8_t memory[SASL_TOKEN_SIZE_MAX];
    struct out token = out_over(memory, sizeof memory);
    sasl_init(&sasl, &store, SLICE("b-1.example.com"));
    enum err e = sasl_aws_token_put(&sasl, &token, &why);
    printf("%.*s\n", e ? (int)strlen(why.text) : (int)token.size,
           e ? why.text : (const char *)memory);
}

int main(void)
{
    static char line[65536];
    while (fgets(line, sizeof line, stdin)) {
        line_answer(line);
    }
    return 0;
}
