#include "uplink/aws/glue_impl.h"

bool glue_mode_of(const char *word, enum avro_mode *ret_mode, bool *ret_wants_all)
{
    static const struct {
        const char *word;
        enum avro_mode mode;
    } modes[] = {
        {"BACKWARD", AVRO_MODE_BACKWARD}, {"FORWARD", AVRO_MODE_FORWARD}, {"FULL", AVRO_MODE_FULL}};
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        size_t size = strlen(modes[i].word);
        bool is_all = strcmp(word + (strlen(word) < size ? 0 : size), "_ALL") == 0;
        if (strncmp(word, modes[i].word, size) == 0 && (is_all || !word[size])) {
            *ret_mode = modes[i].mode;
            *ret_wants_all = is_all;
            return true;
        }
    }
    return false;
}

void glue_compare(const struct avro_schema *schema, enum avro_mode mode, struct slice definition,
                  char *ret, size_t size)
{
    struct avro_schema *old = NULL;
    struct avro_compat *compat = NULL;
    struct why why;
    ret[0] = '\0';
    if (avro_schema_parse(&old, definition, &why)) {
        return;
    }
    const struct avro_schema *olds[] = {old};
    if (!avro_compat_open(&compat, schema, olds, 1, mode, &why) && avro_compat_count(compat) > 0) {
        const struct avro_finding *finding = avro_compat_finding(compat, 0);
        struct out text = out_over(ret, size - 1);
        avro_finding_put_sentence(finding, &text);
        out_put_text(&text, ": ");
        avro_finding_put_way_out(finding, &text);
        ret[text.size] = '\0';
    }
    avro_compat_close(compat);
    avro_schema_close(old);
}
