#include <stdlib.h>

#include "uplink/aws/glue_impl.h"

#define VERSION_MAX 100 /* that are compared; of more Glue alone decides */
#define POLL_MS 1000
#define POLL_MAX 60
#define REGISTER_MAX 3 /* that it is made by others at the same moment */

static bool may_register(const struct glue *glue)
{
    return glue->setup.options->may_register;
}

static void refuse(struct glue *glue, enum registration_end end, const char *what, const char *says)
{
    why_set(&glue->asked->why, "Glue's registry %.60s, schema %.100s: %s%s%s",
            glue->setup.options->registry, glue->asked->name, what, says[0] ? "; it says: " : "",
            says);
    glue_refused(glue, end);
}

static void later(struct glue *glue, const struct http_answer *http, const char *says)
{
    why_set(&glue->asked->why, "Glue at %.200s answers %ld: %s", glue->url, http->status,
            says[0] ? says : "no reason given");
    glue_later(glue, http->retry_after_ms);
}

/* REGISTER or CREATE: the question is whether it may. */
static void glue_write(struct glue *glue, enum glue_step step)
{
    if (glue->setup.only_asks) {
        glue_possible(glue, step == GLUE_CREATE);
    } else {
        glue_ask(glue, step);
    }
}

/* --- compatibility --- */

static void history_next(struct glue *glue)
{
    glue->version--;
    glue->version_count++;
    bool is_over = glue->version < 1 || glue->version_count >= VERSION_MAX;
    if (is_over) {
        glue_write(glue, GLUE_REGISTER);
    } else {
        glue_ask(glue, GLUE_HISTORY);
    }
}

static void history_answered(struct glue *glue, const struct glue_answer *answer)
{
    char text[400];
    bool counts = answer->status == GLUE_AVAILABLE || answer->status == GLUE_UNKNOWN;
    if (!counts || answer->definition.size == 0) {
        history_next(glue); /* a try that failed, or is being deleted */
        return;
    }
    glue_compare(glue->schema, glue->mode, answer->definition, text, sizeof text);
    if (text[0]) {
        why_set(&glue->asked->why,
                "the schema is incompatible with version %lld of %.100s in Glue: %s",
                (long long)glue->version, glue->asked->name, text);
        glue_refused(glue, REGISTRATION_REFUSED);
    } else if (glue->wants_all) {
        history_next(glue);
    } else {
        glue_write(glue, GLUE_REGISTER);
    }
}

static void schema_answered(struct glue *glue, const struct glue_answer *answer)
{
    struct why why;
    avro_schema_close(glue->schema);
    glue->schema = NULL;
    glue->version = answer->latest;
    glue->version_count = 0;
    bool can_compare = glue_mode_of(answer->compatibility, &glue->mode, &glue->wants_all) &&
                       glue->version >= 1 &&
                       avro_schema_parse(&glue->schema, glue->asked->json, &why) == ERR_OK;
    if (can_compare) {
        glue_ask(glue, GLUE_HISTORY);
    } else {
        glue_write(glue, GLUE_REGISTER);
    }
}

/* --- a version --- */

static void version_answered(struct glue *glue, const struct http_answer *http,
                             const struct glue_answer *answer)
{
    bool has_id = answer->has_id || glue->step == GLUE_POLL;
    if (answer->has_id) {
        memcpy(glue->id, answer->id, GLUE_ID_SIZE);
    }
    bool has_made = glue->step == GLUE_REGISTER || glue->step == GLUE_CREATE;
    glue->has_made = glue->has_made || has_made;
    /* A tool says which one it is, and most answers do not. */
    bool wants_version = !glue->setup.host && answer->version == 0 && glue->step != GLUE_POLL;
    if (has_id && answer->status == GLUE_AVAILABLE && wants_version) {
        glue_ask(glue, GLUE_POLL);
    } else if (has_id && answer->status == GLUE_AVAILABLE) {
        glue_known(glue, glue->id, answer->version);
    } else if (has_id && answer->status == GLUE_PENDING && glue->poll_count < POLL_MAX) {
        glue->poll_count++;
        glue->step = GLUE_POLL;
        timer_arm(&glue->turn, POLL_MS);
    } else if (answer->status == GLUE_FAILURE) {
        refuse(glue, REGISTRATION_REFUSED,
               "it finds the schema incompatible with the versions that are there: mend the "
               "schema, or ease the compatibility there",
               answer->message);
    } else {
        later(glue, http,
              answer->status == GLUE_PENDING ? "the version is still being looked at"
                                             : "no version that can be used");
    }
}

/* --- errors --- */

static bool is_one_of(const char *error, const char *const *words)
{
    while (*words && strcmp(error, *words) != 0) {
        words++;
    }
    return *words != NULL;
}

static void not_found(struct glue *glue, const struct http_answer *http,
                      const struct glue_answer *answer)
{
    switch (glue->step) {
    case GLUE_LOOK:
        if (may_register(glue)) {
            glue_ask(glue, glue->setup.options->ask_first ? GLUE_ASK : GLUE_REGISTER);
        } else {
            refuse(glue, REGISTRATION_UNKNOWN,
                   "the schema is not registered: register it there (weir schema register), or set "
                   "glue.register to true",
                   "");
        }
        break;
    case GLUE_ASK:
    case GLUE_REGISTER:
        glue_write(glue, GLUE_CREATE);
        break;
    case GLUE_HISTORY:
        history_next(glue);
        break;
    case GLUE_CREATE:
        refuse(glue, REGISTRATION_NO_REGISTRY,
               "there is no such registry: make it, or set glue.registry", answer->message);
        break;
    case GLUE_POLL:
        later(glue, http, answer->message);
        break;
    }
}

/* What signing again mends. True: it is signed again. */
static bool signed_again(struct glue *glue, const char *error, bool is_clock_changed)
{
    static const char *const ended[] = {"ExpiredTokenException", "ExpiredToken", NULL};
    static const char *const dated[] = {"InvalidSignatureException", "SignatureDoesNotMatch",
                                        "RequestExpired", "RequestTimeTooSkewed", NULL};
    bool is_ended = is_one_of(error, ended) && !glue->has_renewed &&
                    credentials_refused(glue->credentials, glue->credentials_number);
    bool is_dated = is_one_of(error, dated) && !glue->has_dated && is_clock_changed;
    glue->has_renewed = glue->has_renewed || is_ended;
    glue->has_dated = glue->has_dated || is_dated;
    if (is_ended || is_dated) {
        glue_ask(glue, glue->step);
    }
    return is_ended || is_dated;
}

static void error_answered(struct glue *glue, const struct http_answer *http,
                           const struct glue_answer *answer, bool is_clock_changed)
{
    static const char *const busy[] = {
        "ConcurrentModificationException", "ThrottlingException",       "Throttling",
        "InternalServiceException",        "OperationTimeoutException", NULL};
    static const char *const rights[] = {"AccessDeniedException",
                                         "UnrecognizedClientException",
                                         "InvalidClientTokenId",
                                         "InvalidSignatureException",
                                         "SignatureDoesNotMatch",
                                         "RequestExpired",
                                         "ExpiredTokenException",
                                         "ExpiredToken",
                                         "MissingAuthenticationTokenException",
                                         "IncompleteSignatureException",
                                         NULL};
    const char *says = answer->message[0] ? answer->message : answer->error;
    if (strcmp(answer->error, "EntityNotFoundException") == 0) {
        not_found(glue, http, answer);
    } else if (strcmp(answer->error, "AlreadyExistsException") == 0 && glue->step == GLUE_CREATE &&
               glue->registered_count++ < REGISTER_MAX) {
        glue_ask(glue, GLUE_REGISTER);
    } else if (signed_again(glue, answer->error, is_clock_changed)) {
        return;
    } else if (is_one_of(answer->error, rights) || http->status == 401 || http->status == 403) {
        bool is_denied = strcmp(answer->error, "AccessDeniedException") == 0 || !answer->error[0];
        refuse(glue, is_denied ? REGISTRATION_FORBIDDEN : REGISTRATION_NO_LOGIN,
               "the credentials are refused: check them, their rights (uplink/aws/GLUE.md), and "
               "the clock",
               says);
    } else if (is_one_of(answer->error, busy) || http->status == 429 || http->status >= 500 ||
               http->status < 400) {
        later(glue, http, says);
    } else {
        refuse(glue, REGISTRATION_INVALID, "it does not take the schema", says);
    }
}

void glue_answered(struct glue *glue, const struct http_answer *http, bool is_clock_changed)
{
    struct glue_answer answer;
    uint8_t *memory = http->e ? NULL : malloc(http->body.size + 1);
    if (!memory) {
        why_set(&glue->asked->why, "no answer from Glue at %.200s: %s", glue->url,
                !http->e            ? err_name(ERR_NOMEM)
                : http->why.text[0] ? http->why.text
                                    : err_name(http->e));
        glue_later(glue, 0);
        return;
    }
    struct out scratch = out_over(memory, http->body.size + 1);
    glue_answer_parse(http->body, &scratch, &answer);
    if (http->status != 200) {
        error_answered(glue, http, &answer, is_clock_changed);
    } else if (glue->step == GLUE_ASK) {
        schema_answered(glue, &answer);
    } else if (glue->step == GLUE_HISTORY) {
        history_answered(glue, &answer);
    } else {
        version_answered(glue, http, &answer);
    }
    free(memory);
}
