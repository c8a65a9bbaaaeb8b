#include <stdlib.h>

#include "ports/file.h"
#include "uplink/aws/credentials_impl.h"

#define PROCESS_TIMEOUT_MS (60 * 1000)
#define PATH_SIZE_MAX 512
#define FILE_SIZE_MAX ((size_t)CREDENTIALS_BODY_SIZE_MAX * 4)

/* --- the environment --- */

enum err credentials_from_environment(struct credentials *credentials, struct why *why)
{
    struct credentials_answer answer = {
        .key_id = slice_of_text(credentials_environment("AWS_ACCESS_KEY_ID")),
        .secret = slice_of_text(credentials_environment("AWS_SECRET_ACCESS_KEY")),
        .token = slice_of_text(credentials_environment("AWS_SESSION_TOKEN"))};
    if (answer.key_id.size == 0 && answer.secret.size == 0) {
        return ERR_CLOSED;
    }
    if (!credentials_is_word(answer.key_id, CREDENTIALS_KEY_SIZE_MAX) ||
        !credentials_is_word(answer.secret, CREDENTIALS_KEY_SIZE_MAX) ||
        (answer.token.size > 0 && !credentials_is_word(answer.token, CREDENTIALS_TOKEN_SIZE_MAX))) {
        why_set(why, "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, "
                     "AWS_SESSION_TOKEN in the environment are no credentials: one is missing, or "
                     "holds a space");
        return ERR_CONFIG;
    }
    credentials_origin_set(credentials, "the environment");
    credentials_take(credentials, &answer, true);
    return ERR_OK;
}

/* --- the shared files --- */

struct shared_file {
    const char *path; /* NULL: none */
    bool is_named;    /* by the user: then it must be there */
    char home[PATH_SIZE_MAX];
    struct slice content;
};

static void file_find(struct shared_file *file, const char *option, const char *variable,
                      const char *usual)
{
    *file = (struct shared_file){.path = option ? option : credentials_environment(variable)};
    file->is_named = file->path != NULL;
    const char *home = credentials_environment("HOME");
    if (!file->path && home) {
        int size = snprintf(file->home, sizeof file->home, "%s/.aws/%s", home, usual);
        bool is_there =
            size > 0 && (size_t)size < sizeof file->home && access(file->home, R_OK) == 0;
        file->path = is_there ? file->home : NULL;
    }
}

static enum err files_read(struct shared_file files[2], struct why *why)
{
    enum err e = ERR_OK;
    if (files[0].path) {
        e = file_read_secret(files[0].path, FILE_SIZE_MAX, &files[0].content, why);
    }
    if (!e && files[1].path) {
        e = file_read(files[1].path, FILE_SIZE_MAX, &files[1].content, why);
    }
    return e;
}

/* The keys of a profile are secrets wherever they stand. */
static enum err profile_read(const struct shared_file files[2], const char *name,
                             struct credentials_profile *ret, struct why *why)
{
    struct credentials_profile profile = {.is_found = false};
    credentials_profile_read(files[0].content, name, false, &profile);
    bool had_secret = profile.secret.size > 0;
    credentials_profile_read(files[1].content, name, true, &profile);
    enum err e = ERR_OK;
    if (!had_secret && profile.secret.size > 0) {
        struct slice again;
        e = file_read_secret(files[1].path, FILE_SIZE_MAX, &again, why);
        if (!e) {
            free((void *)(uintptr_t)again.data);
        }
    }
    *ret = profile;
    return e;
}

static void process_ended(void *context, const struct process_answer *answer)
{
    struct credentials *credentials = context;
    const char *profile = (const char *)credentials->text_memory;
    char who[200];
    (void)snprintf(who, sizeof who, "credential_process of profile %.100s", profile);
    if (answer->e) {
        why_set(&credentials->why, "%s: %s", who, answer->why.text);
    }
    struct process *process = credentials->process;
    credentials->process = NULL;
    if (answer->e) {
        credentials_fail(credentials, answer->e, 0);
    } else {
        credentials_take_body(credentials, answer->output, who);
    }
    process_close(process);
}

static void profile_run(struct credentials *credentials, const char *name, struct slice command)
{
    credentials->text = out_over(credentials->text_memory, sizeof credentials->text_memory);
    (void)credentials_text(credentials, "%s", name); /* for process_ended() */
    struct process_setup setup = {
        .loop = credentials->setup.loop,
        .command = credentials_text(credentials, "%.*s", (int)command.size, command.data),
        .output_size_max = CREDENTIALS_BODY_SIZE_MAX,
        .timeout_ms = PROCESS_TIMEOUT_MS,
        .context = credentials,
        .done = process_ended};
    struct why why = {""};
    enum err e =
        credentials->text.overflow ? ERR_CONFIG : process_open(&credentials->process, &setup, &why);
    if (e) {
        why_set(&credentials->why, "credential_process of profile %.100s: %s", name,
                why.text[0] ? why.text : err_name(e));
        credentials_fail(credentials, e, 0);
    }
}

static void profile_keys(struct credentials *credentials, const char *name,
                         const struct credentials_profile *profile)
{
    struct credentials_answer answer = {
        .key_id = profile->key_id, .secret = profile->secret, .token = profile->token};
    if (credentials_is_word(answer.key_id, CREDENTIALS_KEY_SIZE_MAX) &&
        credentials_is_word(answer.secret, CREDENTIALS_KEY_SIZE_MAX) &&
        (answer.token.size == 0 || credentials_is_word(answer.token, CREDENTIALS_TOKEN_SIZE_MAX))) {
        credentials_take(credentials, &answer, false);
        return;
    }
    why_set(&credentials->why,
            "profile %.100s has no credentials that can be used: aws_access_key_id and "
            "aws_secret_access_key belong together, without spaces",
            name);
    credentials_fail(credentials, ERR_CONFIG, 0);
}

static void profile_use(struct credentials *credentials, const char *name, bool is_wanted,
                        const struct credentials_profile *profile)
{
    credentials_origin_set(credentials, "profile %.100s of AWS's shared files", name);
    if (profile->key_id.size > 0 || profile->secret.size > 0) {
        profile_keys(credentials, name, profile);
    } else if (profile->web_identity_token_file.size > 0 && profile->role_arn.size > 0) {
        char path[PATH_SIZE_MAX];
        bool is_path = slice_to_text(profile->web_identity_token_file, path, sizeof path);
        credentials_ask_sts(credentials, profile->role_arn, profile->role_session_name,
                            is_path ? path : "", true);
    } else if (profile->process.size > 0) {
        profile_run(credentials, name, profile->process);
    } else if (profile->role_arn.size > 0 || profile->sso.size > 0) {
        why_set(&credentials->why, "profile %.100s %s", name,
                profile->sso.size > 0
                    ? "signs in by SSO, which is not supported here: name keys, a "
                      "credential_process, or a role"
                    : "has a role_arn, and nothing to take it by: source_profile, "
                      "credential_source or web_identity_token_file");
        credentials_fail(credentials, ERR_CONFIG, 0);
    } else if (is_wanted) {
        why_set(&credentials->why, "profile %.100s %s", name,
                profile->is_found ? "holds no credentials"
                                  : "is in none of AWS's shared files: check its name, and HOME, "
                                    "AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE");
        credentials_fail(credentials, ERR_CONFIG, 0);
    } else {
        credentials->origin[0] = '\0';
        credentials_none(credentials);
    }
}

/* Does it take its role by credentials of others? Keys of its own go before that where it is
 * another's source. */
static bool profile_takes_role(const struct credentials_profile *profile, bool is_source)
{
    bool has_keys = profile->key_id.size > 0 || profile->secret.size > 0;
    return profile->role_arn.size > 0 && profile->web_identity_token_file.size == 0 &&
           (profile->source_profile.size > 0 || profile->credential_source.size > 0) &&
           !(is_source && has_keys);
}

/* A profile leads to itself only for its own keys. */
static enum err source_put(struct credentials *credentials,
                           const struct credentials_profile *profile, char *name, size_t size)
{
    char source[CREDENTIALS_PROFILE_SIZE_MAX + 1];
    bool is_name = slice_to_text(profile->source_profile, source, sizeof source);
    bool is_own = is_name && strcmp(source, name) == 0 && profile->key_id.size > 0;
    if (!is_name || (!is_own && credentials_role_is_added(credentials, source))) {
        why_set(&credentials->why, "profile %.100s: its source_profile %s", name,
                is_name ? "leads back to a profile that takes a role by it" : "is too long a name");
        return ERR_CONFIG;
    }
    (void)snprintf(name, size, "%s", source);
    return ERR_OK;
}

/* From profile to profile, until there is one that takes no role by another. */
static enum err profile_follow(struct credentials *credentials, const struct shared_file files[2],
                               const char *first, bool is_wanted)
{
    char name[CREDENTIALS_PROFILE_SIZE_MAX + 1];
    struct credentials_profile profile;
    (void)snprintf(name, sizeof name, "%s", first);
    for (;;) { /* credentials_role_add() ends it */
        bool is_source = credentials->roles != NULL;
        enum err e = profile_read(files, name, &profile, &credentials->why);
        if (!e && !profile_takes_role(&profile, is_source)) {
            profile_use(credentials, name, is_wanted || is_source, &profile);
            return ERR_OK;
        }
        e = e ? e : credentials_role_add(credentials, name, &profile);
        if (!e && profile.credential_source.size > 0) {
            credentials_role_source(credentials, &profile);
            return ERR_OK;
        }
        e = e ? e : source_put(credentials, &profile, name, sizeof name);
        if (e) {
            return e;
        }
    }
}

void credentials_from_profile(struct credentials *credentials)
{
    const struct credentials_options *options = credentials->setup.options;
    const char *chosen =
        options->profile ? options->profile : credentials_environment("AWS_PROFILE");
    const char *name = chosen ? chosen : "default";
    struct shared_file files[2];
    file_find(&files[0], options->credentials_file, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    file_find(&files[1], options->config_file, "AWS_CONFIG_FILE", "config");
    bool is_wanted = chosen || options->credentials_file || options->config_file;
    enum err e = files_read(files, &credentials->why);
    e = e ? e : profile_follow(credentials, files, name, is_wanted);
    if (e) {
        credentials_fail(credentials, e == ERR_CLOSED ? ERR_CONFIG : e, 0);
    }
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        free((void *)(uintptr_t)files[i].content.data);
    }
}
