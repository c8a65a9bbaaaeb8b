/* Inside of the access tokens: token.c keeps one, token_ask.c asks others for it. */
#ifndef WEIR_UPLINK_GOOGLE_TOKEN_IMPL_H
#define WEIR_UPLINK_GOOGLE_TOKEN_IMPL_H

#include <limits.h>

#include "ports/http.h"
#include "uplink/google/credentials.h"
#include "uplink/google/token.h"

struct google_token {
    struct google_token_setup setup;
    struct credentials credentials;
    char path[PATH_MAX]; /* of the file; "": none */
    char source[400];
    struct http *local; /* not bound to a link */
    char *text;         /* malloc'd; NULL: there is none */
    uint64_t number;
    uint64_t fresh_ms; /* until then it will last */
    uint64_t end_ms;   /* until then it may be used */
    struct timer retry;
    unsigned attempt;
    bool reload; /* the file is read again before the next token */
    enum err fault_e;
    struct why fault;
    /* --- token_ask.c --- */
    struct http *via; /* what the request under way went to; NULL: none is */
    void (*answered)(struct google_token *token, const struct http_answer *answer);
    struct http_request request;
    char *memory;  /* malloc'd: URL, headers and body of the request */
    char *subject; /* malloc'd: somebody else's token, then the one it was exchanged for */
};

uint64_t token_now_ms(const struct google_token *token);
/* Takes over `text` (malloc'd), which is good for so long. */
void token_known(struct google_token *token, char *text, int64_t life_s);
/* token->fault says why there is none. */
void token_failed(struct google_token *token, enum err e, int64_t retry_after_ms);

/* Begins to ask: token_known() or token_failed(), and changed(), follow; token_failed() may come at
 * once. */
void token_ask(struct google_token *token);
void token_ask_cancel(struct google_token *token);
const char *token_metadata_host(void);

#endif
