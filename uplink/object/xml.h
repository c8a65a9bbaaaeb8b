/* What is taken out of the XML that S3 and Azure answer with: the text of an element. Pure. */
#ifndef WEIR_UPLINK_OBJECT_XML_H
#define WEIR_UPLINK_OBJECT_XML_H

#include "ports/slice.h"

/* Writes the text of the first element of this name, and a NUL, into `ret`: entities and character
 * references resolved, cut where it is longer. Comments, CDATA and elements within are no part of
 * the little XML that is read. False, and "": there is none, or it has no end, or elements in it. */
bool xml_text(struct slice xml, const char *name, char *ret, size_t ret_size);

/* "2026-11-24T12:00:00Z", also with a fraction of the second, as seconds since 1970. */
bool xml_time(const char *text, int64_t *ret_s) MUST_USE;

/* Appends `text` as the text of an element. */
void xml_put_text(struct out *o, const char *text);

#endif
