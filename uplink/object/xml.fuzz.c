/* What is read out of an XML answer lies within it, and what was written is read back. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "uplink/object/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"Code", "Message", "UploadId", "Region"};
    struct slice xml = {data, size};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char text[64];
        bool found = xml_text(xml, names[i], text, sizeof text);
        assert(memchr(text, 0, sizeof text) && (found || text[0] == 0));
        assert(strlen(text) <= size);
    }
    char before[33];
    size_t count = size < sizeof before - 1 ? size : sizeof before - 1;
    memcpy(before, data, count);
    before[count] = 0;
    uint8_t memory[256];
    struct out out = out_over(memory, sizeof memory);
    out_put_text(&out, "<a><Code>");
    xml_put_text(&out, before);
    out_put_text(&out, "</Code></a>");
    char after[33];
    bool found = xml_text(out_slice(&out), "Code", after, sizeof after);
    assert(found && strcmp(before, after) == 0);
    return 0;
}
