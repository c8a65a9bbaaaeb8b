/* What a token endpoint answers: a token that is taken can be sent as it is. */
#include "uplink/kafka/oauth.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t memory[65536];
    struct out scratch = out_over(memory, sizeof memory);
    struct oauth_answer answer;
    char error[160];
    enum err e = oauth_answer_parse((struct slice){data, size}, &scratch, &answer, error);
    if (strlen(error) >= sizeof error) {
        abort();
    }
    for (size_t i = 0; !e && i < answer.token.size; i++) {
        if (answer.token.data[i] <= ' ' || answer.token.data[i] > '~') {
            abort();
        }
    }
    if (!e && (answer.token.size == 0 || answer.lifetime_s == 0)) {
        abort();
    }
    return 0;
}
