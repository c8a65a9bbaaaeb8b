/* Files of credentials, answers of token endpoints and somebody else's tokens: what is taken of them
 * is there, and can be sent. */
#include "uplink/google/credentials.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is)
{
    if (!is) {
        abort();
    }
}

static void file(const uint8_t *data, size_t size)
{
    struct credentials c;
    struct why why = {""};
    uint8_t *text = malloc(size ? size : 1);
    check(text != NULL);
    if (size) {
        memcpy(text, data, size);
    }
    enum err e = credentials_parse(&c, (struct slice){text, size}, &why);
    check(!e == !why.text[0] || e == ERR_OK);
    if (!e) {
        check(c.kind != CREDENTIALS_SERVICE_ACCOUNT || (c.email && c.key_id && c.key));
        check(c.kind != CREDENTIALS_EXTERNAL || !c.source_path != !c.source_url);
        check(c.kind != CREDENTIALS_USER || (c.token_url && c.refresh_token));
        credentials_release(&c);
    }
}

static void answer(struct slice body)
{
    struct token_answer answer;
    enum err e = token_answer_parse(&answer, body, 1792584000);
    check(strlen(answer.error) < sizeof answer.error);
    check(!e == (answer.token != NULL));
    for (const char *c = answer.token; !e && *c; c++) {
        check(*c > ' ' && *c <= '~');
    }
    check(e || answer.life_s > 0);
    free(answer.token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = {data, size};
    static const char *const fields[] = {NULL, "access_token"};
    file(data, size);
    answer(body);
    for (size_t i = 0; i < 2; i++) {
        char *subject = NULL;
        if (!subject_token_parse(&subject, body, fields[i])) {
            check(subject && subject[0]);
            free(subject);
        }
    }
    return 0;
}
