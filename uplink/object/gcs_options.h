/* Settings of the uplink gcs. */
#ifndef WEIR_UPLINK_OBJECT_GCS_OPTIONS_H
#define WEIR_UPLINK_OBJECT_GCS_OPTIONS_H

#include "uplink/object/endpoint.h"
#include "uplink/object/object.h"

#define GCS_SCOPE "https://www.googleapis.com/auth/devstorage.read_write"
#define GCS_URL_SIZE 512

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

/* Where the service is. False: no token is sent there. */
bool gcs_url_put(const struct gcs_options *options, char ret[GCS_URL_SIZE]);
/* gcs_probe.c: uplink_class.probe(). */
enum err gcs_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;

#endif
