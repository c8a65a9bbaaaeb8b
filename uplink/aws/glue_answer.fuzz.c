/* What Glue answers: texts end, and the definition lies where it may. */
#include "uplink/aws/glue_answer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t memory[65536];
    struct out scratch = out_over(memory, sizeof memory);
    struct glue_answer answer;
    glue_answer_parse((struct slice){data, size}, &scratch, &answer);
    if (strlen(answer.error) >= sizeof answer.error ||
        strlen(answer.message) >= sizeof answer.message ||
        strlen(answer.compatibility) >= sizeof answer.compatibility || answer.latest < 0) {
        abort();
    }
    const uint8_t *at = answer.definition.data;
    bool is_within = at >= data && answer.definition.size <= size - (size_t)(at - data);
    bool is_unescaped = at >= memory && answer.definition.size <= sizeof memory;
    if (answer.definition.size > 0 && !is_within && !is_unescaped) {
        abort();
    }
    return 0;
}
