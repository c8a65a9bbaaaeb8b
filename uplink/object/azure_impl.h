/* What the files of the uplink azure_blob share: azure.c is the class, azure_key.c signs,
 * azure_options.c has the settings. */
#ifndef WEIR_UPLINK_OBJECT_AZURE_IMPL_H
#define WEIR_UPLINK_OBJECT_AZURE_IMPL_H

#include "uplink/object/answer.h"
#include "uplink/object/endpoint.h"
#include "uplink/object/object.h"

#define AZURE_VERSION "2021-08-06" /* of the API: what Azurite and all clouds know */
#define AZURE_KEY_SIZE_MAX 256     /* bytes of an account's key, decoded; they have 64 */
#define AZURE_DATE_SIZE 40
#define AZURE_SIGN_ROOM 8192
#define AZURE_CONTENT_TYPE "application/avro"

struct azure_options {
    const char *account;
    const char *container;
    const char *key;
    const char *sas;
    const char *endpoint;
    const char *access_tier;
    bool create_only;
    struct object_options object;
    struct tls_options tls;
};
extern const struct option azure_table[];
enum err azure_options_check(const void *options, struct why *why);

/* The URL of the account. */
void azure_url_put(const struct azure_options *options, char *ret, size_t ret_size);
/* What an answer says; `code`: of its header x-ms-error-code, "" where there was none. */
void azure_said_read(struct object_said *ret, const char *code, const struct http_answer *answer);
/* azure_probe.c: uplink_class.probe(). */
enum err azure_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;

struct azure_header {
    const char *name; /* lower-case */
    const char *value;
};

/* A request as SharedKey signs it. */
struct azure_request {
    const char *method;
    uint64_t body_size;
    const char *content_md5; /* "": none */
    const char *content_type;
    const char *if_none_match;
    const struct azure_header *headers; /* those in x-ms-, sorted by name */
    size_t header_count;
    const char *account;
    struct slice path; /* of the URL, as sent; behind it "\nname:value" of each parameter, sorted */
};

/* Appends "SharedKey account:signature"; the room behind it, AZURE_SIGN_ROOM, is used. */
void azure_sign(const struct azure_request *request, struct slice key, struct out *ret);
/* "Tue, 24 Nov 2026 12:00:00 GMT" */
void azure_date(int64_t time_s, char ret[AZURE_DATE_SIZE]);

#endif
