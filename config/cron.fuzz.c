/* Any text: read, or refused with a reason; what was read can be asked about. */
#include "config/cron.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[CRON_TEXT_SIZE_MAX + 1] = "";
    struct cron cron;
    struct why why = {""};
    memcpy(text, data, size < CRON_TEXT_SIZE_MAX ? size : CRON_TEXT_SIZE_MAX);
    if (cron_parse(text, &cron, &why)) {
        assert(why.text[0]);
        return 0;
    }
    int first = cron_minute_after(&cron, 0);
    int last = cron_minute_before(&cron, 1439);
    assert(first >= 0 && last >= first && last < 1440);
    assert(cron_minute_after(&cron, last + 1) == -1 && cron_minute_before(&cron, first - 1) == -1);
    return 0;
}
