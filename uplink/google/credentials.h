/* The files in which Google's tools keep credentials, and what token endpoints answer. */
#ifndef WEIR_UPLINK_GOOGLE_CREDENTIALS_H
#define WEIR_UPLINK_GOOGLE_CREDENTIALS_H

#include "ports/err.h"
#include "ports/slice.h"

struct json_node;
struct json_tree;
struct sign_key;

#define CREDENTIALS_SIZE_MAX 65536
#define CREDENTIALS_HEADER_MAX 8
#define CREDENTIALS_SUBJECT_SIZE_MAX 16384 /* of somebody else's token, in whatever it comes */

enum credentials_kind {
    CREDENTIALS_METADATA,        /* no file: the metadata server */
    CREDENTIALS_SERVICE_ACCOUNT, /* a key */
    CREDENTIALS_EXTERNAL,        /* workload identity: somebody else's token is exchanged */
    CREDENTIALS_USER,            /* gcloud auth application-default login */
};

/* Texts live until credentials_release(). */
struct credentials {
    enum credentials_kind kind;
    /* SERVICE_ACCOUNT */
    const char *email, *key_id;
    struct sign_key *key;
    /* EXTERNAL */
    const char *audience, *subject_type, *token_url;
    const char *impersonation_url;        /* NULL: the exchanged token is the one */
    int64_t impersonation_s;              /* how long its token is to be good */
    const char *source_path, *source_url; /* one of them */
    const char *source_field;             /* of the JSON in which it comes; NULL: it is the text */
    const char *header_names[CREDENTIALS_HEADER_MAX], *header_values[CREDENTIALS_HEADER_MAX];
    size_t header_count; /* for source_url */
    /* USER; token_url too */
    const char *client_id, *client_secret, *refresh_token;
    /* --- its own --- */
    struct slice text; /* malloc'd */
    struct json_tree *tree;
};

/* Takes over `text` (malloc'd), which is freed on failure too. ERR_CONFIG: *why says what is wrong with
 * it; ERR_NOMEM. */
enum err credentials_parse(struct credentials *ret, struct slice text, struct why *why) MUST_USE;
/* Finds the file: `path`, or where Google's tools look for one, and reads it; none: METADATA.
 * ret_path: which one, "" for none. ERR_CONFIG, ERR_AUTH, ERR_CLOSED, ERR_NOMEM. */
enum err credentials_load(struct credentials *ret, const char *path, char *ret_path,
                          size_t path_size, struct why *why) MUST_USE;
/* Zeroed is allowed. */
void credentials_release(struct credentials *credentials);

/* An answer with a token: of OAuth 2.0 (RFC 6749), the STS, the metadata server (access_token,
 * expires_in), or of an impersonation (accessToken, expireTime). Parsed in one place. */
struct token_answer {
    char *token;     /* malloc'd, with a NUL behind */
    int64_t life_s;  /* from now on; > 0 */
    char error[160]; /* what the answer says about it, printable; "": nothing */
};
/* now_s: against which an expireTime is taken. ERR_CORRUPT: there is no token that could be sent;
 * ret->error is set in any case. ERR_NOMEM. */
enum err token_answer_parse(struct token_answer *ret, struct slice body, int64_t now_s) MUST_USE;

/* Somebody else's token: `body`, or the text of a member of the JSON in it; malloc'd. ERR_CORRUPT,
 * ERR_NOMEM. */
enum err subject_token_parse(char **ret, struct slice body, const char *field) MUST_USE;

#endif
