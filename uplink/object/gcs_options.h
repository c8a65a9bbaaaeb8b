/* Settings of the uplink gcs. */
#ifndef WEIR_UPLINK_OBJECT_GCS_OPTIONS_H
#define WEIR_UPLINK_OBJECT_GCS_OPTIONS_H

#include "uplink/object/endpoint.h"
#include "uplink/object/object.h"

struct gcs_options {
    const char *bucket;
    const char *endpoint;
    const char *credentials;
    bool anonymous;
    const char *storage_class;
    bool create_only;
    struct object_options object;
    struct tls_options tls;
};
extern const struct option gcs_table[];
enum err gcs_options_check(const void *options, struct why *why);

#endif
