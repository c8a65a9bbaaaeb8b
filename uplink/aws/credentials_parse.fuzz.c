/* What endpoints, commands and files say about credentials: what is taken can stand in a header, what
 * is said about a refusal is a text, and all of it points to where it may. */
#include "uplink/aws/credentials_parse.h"
#include "uplink/aws/credentials.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
    if (!is_so) {
        abort();
    }
}

static void try_answer(struct slice body)
{
    static uint8_t memory[65536];
    struct out scratch = out_over(memory, sizeof memory);
    struct credentials_answer answer;
    char error[CREDENTIALS_ERROR_SIZE];
    enum err e = credentials_answer_parse(body, &scratch, &answer, error);
    must(strlen(error) < sizeof error);
    if (!e) {
        must(credentials_is_word(answer.key_id, CREDENTIALS_KEY_SIZE_MAX));
        must(credentials_is_word(answer.secret, CREDENTIALS_KEY_SIZE_MAX));
        must(answer.token.size == 0 ||
             credentials_is_word(answer.token, CREDENTIALS_TOKEN_SIZE_MAX));
        must(answer.end_s >= 0);
    }
}

static void try_profile(struct slice file, bool is_config)
{
    struct credentials_profile profile = {.is_found = false};
    credentials_profile_read(file, "default", is_config, &profile);
    const struct slice texts[] = {profile.key_id,   profile.secret,         profile.process,
                                  profile.role_arn, profile.source_profile, profile.duration};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        must(texts[i].size == 0 || profile.is_found);
        must(texts[i].size == 0 || (texts[i].data >= file.data && texts[i].size <= file.size));
        must(texts[i].size == 0 || !memchr(texts[i].data, '\n', texts[i].size));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_answer((struct slice){data, size});
    try_profile((struct slice){data, size}, false);
    try_profile((struct slice){data, size}, true);
    return 0;
}
