/* What endpoints, commands and files say about credentials. Pure; what is foreign is checked here. */
#ifndef WEIR_UPLINK_AWS_CREDENTIALS_PARSE_H
#define WEIR_UPLINK_AWS_CREDENTIALS_PARSE_H

#include "ports/err.h"
#include "ports/slice.h"

struct credentials_answer {
    struct slice key_id, secret; /* printable ASCII, of at most CREDENTIALS_KEY_SIZE_MAX bytes */
    struct slice token;          /* likewise, CREDENTIALS_TOKEN_SIZE_MAX; empty: none */
    int64_t end_s;               /* since 1970; 0: they do not end */
};

#define CREDENTIALS_ERROR_SIZE 160

/* An object as the metadata services, containers, AWS IoT and credential_process give it, or the XML
 * of STS. The texts point into the body or into `scratch`, which has room for as many bytes.
 * ERR_CORRUPT: no credentials that could be used; `ret_error` then has what the answer says about it,
 * "" when nothing. It never holds anything secret. */
enum err credentials_answer_parse(struct slice body, struct out *scratch,
                                  struct credentials_answer *ret,
                                  char ret_error[CREDENTIALS_ERROR_SIZE]) MUST_USE;

/* What a profile of AWS's shared files says; empty: nothing. The texts point into the file. */
struct credentials_profile {
    bool is_found;
    struct slice key_id, secret, token;
    struct slice process;
    struct slice role_arn, role_session_name, web_identity_token_file;
    /* Whose credentials take role_arn: another profile's, or a source that has a name. */
    struct slice source_profile, credential_source;
    struct slice external_id, duration, mfa_serial; /* of that role */
    struct slice sso;                               /* sso_session or sso_start_url */
};

/* Adds what the file says of the profile, to what is not known yet. is_config: sections are called
 * "profile NAME". Lines that are none are left out. */
void credentials_profile_read(struct slice file, const char *name, bool is_config,
                              struct credentials_profile *profile);

/* Printable ASCII without spaces, from 1 to size_max bytes: what may stand in a header. */
bool credentials_is_word(struct slice text, size_t size_max) MUST_USE;
/* Appends to a text for a person: printable, cut, with ": " before it where there is one. */
void credentials_error_put(char error[CREDENTIALS_ERROR_SIZE], struct slice text);

#endif
