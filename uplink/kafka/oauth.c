#include "uplink/kafka/oauth.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/http.h"
#include "ports/random.h"

#define FORM_SIZE_MAX 8192
#define USER_SIZE_MAX (3 * 1024 + 1)
#define PASSWORD_SIZE_MAX (3 * 2048 + 1)
#define LIFETIME_S_MAX (24 * 60 * 60) /* then a fresh one does no harm */
#define FRESH_PERCENT 65              /* of its time, and a tenth by chance */
#define MARGIN_MS_MAX (30 * 1000)     /* before its end, at most a tenth of its time */
#define TIMEOUT_MS 20000
#define BACKOFF_MS_FIRST 1000
#define BACKOFF_MS_MAX (60 * 1000)
#define RETRY_AFTER_MS_MAX (60 * 60 * 1000)
#define ANSWER_SIZE_MAX (32 * 1024)

struct oauth {
    struct oauth_setup setup;
    char token[SASL_ACCESS_TOKEN_SIZE_MAX + 1];
    uint64_t fresh_ms; /* until then it will last */
    uint64_t end_ms;   /* until then it may be used */
    struct timer retry;
    unsigned attempt;
    bool open; /* the request is under way */
    enum err fault_e;
    struct why fault;
    struct http_request request;
    char user[USER_SIZE_MAX];
    char password[PASSWORD_SIZE_MAX];
    char form[FORM_SIZE_MAX];
    size_t form_size;
    uint8_t scratch[ANSWER_SIZE_MAX]; /* of the answer, unescaped */
};

/* --- the request --- */

/* As forms are written (RFC 6749, appendix B). */
static void put_encoded(struct out *o, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-_.~", *c);
        if (plain) {
            out_put_byte(o, (uint8_t)*c);
        } else {
            out_put_format(o, "%%%02X", (unsigned)(unsigned char)*c);
        }
    }
}

static void encode(char *ret, size_t size, const char *text)
{
    struct out o = out_over(ret, size - 1);
    put_encoded(&o, text);
    assert(!o.overflow); /* the options are bounded */
    ret[o.size] = '\0';
}

/* --- answers --- */

static uint64_t now_ms(const struct oauth *oauth)
{
    return loop_now_ms(oauth->setup.loop);
}

static void oauth_known(struct oauth *oauth, const struct oauth_answer *answer)
{
    uint64_t s = answer->lifetime_s < LIFETIME_S_MAX ? answer->lifetime_s : LIFETIME_S_MAX;
    uint64_t margin_ms = s * 100 < MARGIN_MS_MAX ? s * 100 : MARGIN_MS_MAX;
    memcpy(oauth->token, answer->token.data, answer->token.size);
    oauth->token[answer->token.size] = '\0';
    oauth->setup.store->token = oauth->token;
    oauth->setup.store->token_number++;
    oauth->fresh_ms = now_ms(oauth) + s * (FRESH_PERCENT + random_below(10)) * 10;
    oauth->end_ms = now_ms(oauth) + s * 1000 - margin_ms;
    oauth->attempt = 0;
    oauth->fault_e = ERR_OK;
}

/* It is asked again after a growing pause, which is long when a setting is wrong. */
static void oauth_again(struct oauth *oauth, enum err e, int64_t retry_after_ms)
{
    uint64_t ceiling = (uint64_t)BACKOFF_MS_FIRST << (oauth->attempt < 7 ? oauth->attempt : 7);
    ceiling = ceiling < BACKOFF_MS_MAX && e != ERR_AUTH ? ceiling : BACKOFF_MS_MAX;
    uint64_t wait_ms = ceiling / 2 + random_below((uint32_t)(ceiling / 2) + 1);
    uint64_t asked_ms = retry_after_ms > 0 ? (uint64_t)retry_after_ms : 0;
    asked_ms = asked_ms < RETRY_AFTER_MS_MAX ? asked_ms : RETRY_AFTER_MS_MAX;
    oauth->attempt++;
    oauth->fault_e = e;
    timer_arm(&oauth->retry, asked_ms > wait_ms ? asked_ms : wait_ms);
}

static void oauth_answered(struct http_request *request, const struct http_answer *http)
{
    struct oauth *oauth = CONTAINER_OF(request, struct oauth, request);
    const char *url = oauth->setup.options->url;
    struct out scratch = out_over(oauth->scratch, sizeof oauth->scratch);
    struct oauth_answer answer;
    char error[160] = "";
    oauth->open = false;
    oauth->setup.wire_bytes(oauth->setup.context, http->wire_sent, http->wire_received);
    if (oauth->setup.dated && http->date_s) {
        oauth->setup.dated(oauth->setup.context, http->date_s);
    }
    enum err e = http->e ? http->e : oauth_answer_parse(http->body, &scratch, &answer, error);
    if (http->e) {
        why_set(&oauth->fault, "no answer from the token endpoint %s: %s", url,
                http->why.text[0] ? http->why.text : err_name(http->e));
        oauth_again(oauth, http->e, 0);
    } else if (http->status == 200 && !e) {
        oauth_known(oauth, &answer);
    } else if (http->status == 400 || http->status == 401 || http->status == 403) {
        why_set(&oauth->fault,
                "the token endpoint %s refuses client %.200s (%ld%s%s): check client_id, "
                "client_secret and scope of sasl.oauth",
                url, oauth->setup.options->client_id, http->status, error[0] ? ", " : "", error);
        oauth_again(oauth, ERR_AUTH, http->retry_after_ms);
    } else {
        why_set(&oauth->fault, "%s answers %ld and gives no access token%s%s: check sasl.oauth.url",
                url, http->status, error[0] ? ": " : "", error);
        oauth_again(oauth, ERR_CLOSED, http->retry_after_ms);
    }
    oauth->setup.changed(oauth->setup.context);
}

static void oauth_send(struct oauth *oauth)
{
    const struct oauth_options *options = oauth->setup.options;
    oauth->request = (struct http_request){
        .method = "POST",
        .url = options->url,
        .headers = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/json"},
        .body = {(const uint8_t *)oauth->form, oauth->form_size},
        .tls = options->tls.is_set ? &options->tls : NULL,
        .user = oauth->user,
        .password = oauth->password,
        .timeout_ms = TIMEOUT_MS,
        .answer_size_max = ANSWER_SIZE_MAX,
        .done = oauth_answered,
    };
    enum err e = http_send(oauth->setup.http, &oauth->request);
    oauth->open = e == ERR_OK;
    if (e) {
        why_set(&oauth->fault, "no request to the token endpoint could be begun: %s", err_name(e));
        oauth_again(oauth, e, 0);
    }
}

static void oauth_retry(struct timer *timer)
{
    oauth_send(CONTAINER_OF(timer, struct oauth, retry));
}

/* --- for the user --- */

enum err oauth_open(struct oauth **ret, const struct oauth_setup *setup)
{
    struct oauth *oauth = calloc(1, sizeof *oauth);
    if (!oauth) {
        return ERR_NOMEM;
    }
    const struct oauth_options *options = setup->options;
    oauth->setup = *setup;
    timer_init(&oauth->retry, setup->loop, oauth_retry);
    encode(oauth->user, sizeof oauth->user, options->client_id);
    encode(oauth->password, sizeof oauth->password, options->client_secret);
    struct out form = out_over(oauth->form, sizeof oauth->form);
    out_put_text(&form, "grant_type=client_credentials");
    if (options->scope) {
        out_put_text(&form, "&scope=");
        put_encoded(&form, options->scope);
    }
    assert(!form.overflow);
    oauth->form_size = form.size;
    *ret = oauth;
    return ERR_OK;
}

void oauth_close(struct oauth *oauth)
{
    if (!oauth) {
        return;
    }
    if (oauth->open) {
        http_cancel(oauth->setup.http, &oauth->request);
    }
    timer_release(&oauth->retry);
    free(oauth);
}

enum err oauth_ready(struct oauth *oauth, bool fresh)
{
    uint64_t now = now_ms(oauth);
    bool has_token = oauth->setup.store->token != NULL;
    if ((!has_token || now >= oauth->fresh_ms) && !oauth->open && !timer_is_armed(&oauth->retry)) {
        oauth_send(oauth);
    }
    return has_token && now < (fresh ? oauth->fresh_ms : oauth->end_ms) ? ERR_OK : ERR_AGAIN;
}

bool oauth_refused(struct oauth *oauth, uint64_t token_number)
{
    struct sasl_store *store = oauth->setup.store;
    if (token_number != store->token_number) {
        return false;
    }
    store->token = NULL;
    return true;
}

const struct why *oauth_fault(const struct oauth *oauth, enum err *ret_e)
{
    if (!oauth->fault_e) {
        return NULL;
    }
    *ret_e = oauth->fault_e;
    return &oauth->fault;
}
