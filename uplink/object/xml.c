#include "uplink/object/xml.h"

#include "ports/clock.h"

/* Where `name` stands as <name> or <name ...>: behind its '>'. False: nowhere. */
static bool find_begin(struct slice *xml, struct slice name)
{
    for (; xml->size > name.size + 1; xml->data++, xml->size--) {
        if (xml->data[0] != '<' || memcmp(xml->data + 1, name.data, name.size) != 0) {
            continue;
        }
        const uint8_t *end = memchr(xml->data, '>', xml->size);
        uint8_t after = xml->data[1 + name.size];
        if (end && end[-1] != '/' && (after == '>' || after == ' ')) {
            xml->size -= (size_t)(end + 1 - xml->data);
            xml->data = end + 1;
            return true;
        }
    }
    return false;
}

/* The character that "&...;" at the front of *s stands for. False: it is none that is known. */
static bool take_entity(struct slice *s, uint8_t *ret)
{
    static const struct {
        const char *text;
        uint8_t character;
    } known[] = {{"&lt;", '<'},  {"&gt;", '>'},    {"&amp;", '&'},  {"&quot;", '"'},
                 {"&#34;", '"'}, {"&apos;", '\''}, {"&#39;", '\''}, {"&#xA;", '\n'}};
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        struct slice text = slice_of_text(known[i].text);
        if (slice_starts_with(*s, text)) {
            s->data += text.size;
            s->size -= text.size;
            *ret = known[i].character;
            return true;
        }
    }
    return false;
}

static void put_text(struct slice text, char *ret, size_t ret_size)
{
    size_t size = 0;
    while (text.size && size + 1 < ret_size) {
        uint8_t c = text.data[0];
        if (c != '&' || !take_entity(&text, &c)) {
            text.data++;
            text.size--;
        }
        c = c == 0 ? (uint8_t)' ' : c;
        memcpy(ret + size++, &c, 1);
    }
    ret[size] = 0;
}

bool xml_text(struct slice xml, const char *name, char *ret, size_t ret_size)
{
    struct slice rest = xml;
    ret[0] = 0;
    if (!find_begin(&rest, slice_of_text(name))) {
        return false;
    }
    const uint8_t *end = memchr(rest.data, '<', rest.size);
    struct slice behind = {end, end ? rest.size - (size_t)(end - rest.data) : 0};
    size_t name_size = strlen(name);
    if (behind.size < name_size + 3 || behind.data[1] != '/' ||
        memcmp(behind.data + 2, name, name_size) != 0 || behind.data[2 + name_size] != '>') {
        return false;
    }
    put_text((struct slice){rest.data, (size_t)(end - rest.data)}, ret, ret_size);
    return true;
}

/* Digits of `pattern` ('0') are read, its other characters must be there. */
static bool take_digits(const char *text, const char *pattern, unsigned numbers[6])
{
    size_t index = 0;
    for (; *pattern; pattern++, text++) {
        if (*pattern == '0' && *text >= '0' && *text <= '9') {
            numbers[index] = numbers[index] * 10 + (unsigned)(*text - '0');
        } else if (*pattern != *text) {
            return false;
        } else {
            index++;
        }
    }
    return true;
}

bool xml_time(const char *text, int64_t *ret_s)
{
    unsigned n[6] = {0};
    if (!take_digits(text, "0000-00-00T00:00:00", n) || n[1] < 1 || n[1] > 12 || n[2] < 1 ||
        n[2] > 31 || n[3] > 23 || n[4] > 59 || n[5] > 60) {
        return false;
    }
    *ret_s =
        clock_days((int32_t)n[0], n[1], n[2]) * 86400 + (int64_t)(n[3] * 3600 + n[4] * 60 + n[5]);
    return true;
}

void xml_put_text(struct out *o, const char *text)
{
    for (; *text; text++) {
        if (*text == '&') {
            out_put_text(o, "&amp;");
        } else if (*text == '<') {
            out_put_text(o, "&lt;");
        } else if (*text == '>') {
            out_put_text(o, "&gt;");
        } else {
            out_put_byte(o, (uint8_t)*text);
        }
    }
}
