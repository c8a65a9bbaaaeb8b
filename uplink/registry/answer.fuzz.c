/* Answers of a registry: an id is a number that fits, and what is shown is one line of UTF-8. */
#include "uplink/registry/answer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct registry_answer answer;
    registry_answer_parse((struct slice){data, size}, &answer);
    size_t length = strnlen(answer.message, sizeof answer.message);
    if (length == sizeof answer.message || (answer.has_id && answer.id > INT32_MAX) ||
        answer.version > INT32_MAX || (answer.is_compatible && !answer.has_verdict) ||
        !slice_is_utf8((struct slice){(const uint8_t *)answer.message, length})) {
        abort();
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)answer.message[i] < ' ') {
            abort();
        }
    }
    return 0;
}
