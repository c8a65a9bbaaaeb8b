/* Answers of Google Cloud Storage's JSON API. Pure. */
#ifndef WEIR_UPLINK_OBJECT_GCS_ANSWER_H
#define WEIR_UPLINK_OBJECT_GCS_ANSWER_H

#include "ports/slice.h"
#include "uplink/object/answer.h"

/* What an object has, as the service sees it. "": not said. */
struct gcs_object {
    char md5[32]; /* base64 */
    char crc32c[16];
};

/* False: it is no JSON object; then all is "". */
bool gcs_answer_object(struct slice json, struct gcs_object *ret);
/* Fills code (the reason) and message of a refusal; "" where nothing can be read. */
void gcs_answer_error(struct slice json, struct object_said *ret);

#endif
