/* AWS_MSK_IAM: a request to the cluster that is signed, and never sent as one; its parts are the login.
 * (aws-msk-iam-auth is the reference.) By OAUTHBEARER the access token is the URL of such a request.
 * (aws-msk-iam-sasl-signer-python is.) */
#include <stdlib.h>

#include "uplink/kafka/sasl.h"

#define ACTION "kafka-cluster:Connect"
#define SERVICE "kafka-cluster"
#define EXPIRES_S 900

/* The label in front of ".amazonaws.com", as in b-1.pumps.a1b2c3.c2.kafka.eu-central-1.amazonaws.com. */
static struct slice region_in(struct slice host)
{
    static const char *const ends[] = {".amazonaws.com", ".amazonaws.com.cn"};
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        size_t size = strlen(ends[i]);
        if (host.size > size && memcmp(host.data + host.size - size, ends[i], size) == 0) {
            size_t end = host.size - size, begin = end;
            while (begin > 0 && host.data[begin - 1] != '.') {
                begin--;
            }
            return (struct slice){host.data + begin, end - begin};
        }
    }
    return (struct slice){NULL, 0};
}

bool sasl_region(const struct sasl_options *options, struct slice broker,
                 char ret[SIGV4_REGION_SIZE_MAX + 1])
{
    const uint8_t *colon = broker.size ? memrchr(broker.data, ':', broker.size) : NULL;
    struct slice host = {broker.data, colon ? (size_t)(colon - broker.data) : broker.size};
    struct slice region = options->region ? slice_of_text(options->region) : region_in(host);
    if (region.size == 0) {
        region = slice_of_text(credentials_region(NULL));
    }
    return region.size > 0 && slice_to_text(region, ret, SIGV4_REGION_SIZE_MAX + 1);
}

static void put_member(struct out *o, const char *name, struct slice value)
{
    out_put_text(o, ",");
    out_put_json(o, slice_of_text(name));
    out_put_text(o, ":");
    out_put_json(o, value);
}

static void put_login(struct out *o, const struct sigv4_request *request,
                      const struct aws_credentials *credentials, struct slice signature)
{
    char date[SIGV4_DATE_SIZE], text[SIGV4_SECRET_SIZE_MAX + SIGV4_REGION_SIZE_MAX + 48];
    sigv4_date(request->time_s, date);
    struct out credential = out_over(text, sizeof text);
    out_put_format(&credential, "%s/%.8s/%s/" SERVICE "/aws4_request", credentials->key_id, date,
                   request->region);
    out_put_text(o, "{\"version\":\"2020_10_22\"");
    put_member(o, "host", request->host);
    put_member(o, "user-agent", SLICE("weir/" WEIR_VERSION));
    put_member(o, "action", SLICE(ACTION));
    put_member(o, "x-amz-algorithm", SLICE("AWS4-HMAC-SHA256"));
    put_member(o, "x-amz-credential", out_slice(&credential));
    put_member(o, "x-amz-date", slice_of_text(date));
    put_member(o, "x-amz-signedheaders", SLICE("host"));
    out_put_format(o, ",\"x-amz-expires\":\"%d\"", EXPIRES_S);
    if (credentials->session_token) {
        put_member(o, "x-amz-security-token", slice_of_text(credentials->session_token));
    }
    put_member(o, "x-amz-signature", signature);
    out_put_text(o, "}");
}

/* The query of the request to `host`, presigned, in memory that the caller frees. */
static enum err presign(const struct sigv4_request *request,
                        const struct aws_credentials *credentials, struct out *ret)
{
    size_t token_size = credentials->session_token ? strlen(credentials->session_token) : 0;
    size_t room =
        2 * (3 * token_size + 3 * SIGV4_SECRET_SIZE_MAX + request->host.size + SIGV4_ROOM);
    uint8_t *memory = malloc(room);
    if (!memory) {
        return ERR_NOMEM;
    }
    *ret = out_over(memory, room);
    sigv4_presign(request, credentials, EXPIRES_S, ret);
    return ERR_OK;
}

/* What a login is made of. */
struct login {
    struct aws_credentials credentials;
    char region[SIGV4_REGION_SIZE_MAX + 1];
    char hash[SIGV4_HASH_SIZE];
    struct sigv4_request request; /* without its host */
};

static enum err login_begin(struct sasl *sasl, struct login *ret, struct why *why)
{
    struct sasl_store *store = sasl->store;
    int64_t time_s;
    if (!sasl_region(store->options, sasl->host, ret->region)) {
        why_set(why, "sasl.region is missing: neither the broker's name nor AWS_REGION says it");
        return ERR_AUTH;
    }
    if (store->aws(store->aws_context, &ret->credentials, &time_s)) {
        why_set(why, "the credentials were refused elsewhere meanwhile");
        return ERR_TIMEOUT;
    }
    sasl->token_number = ret->credentials.number;
    sigv4_hash((struct slice){NULL, 0}, ret->hash);
    ret->request = (struct sigv4_request){.method = "GET",
                                          .path = SLICE("/"),
                                          .query = SLICE("Action=kafka-cluster%3AConnect"),
                                          .body_hash = ret->hash,
                                          .region = ret->region,
                                          .service = SERVICE,
                                          .time_s = time_s};
    return ERR_OK;
}

enum err sasl_aws_next(struct sasl *sasl, struct slice challenge, struct out *ret, struct why *why)
{
    struct login login;
    struct out query;
    if (sasl->step > 0 && challenge.size > 0) {
        return ERR_CLOSED;
    }
    if (sasl->step > 0) {
        why_set(why, "the broker answers nothing to AWS_MSK_IAM: is it Amazon MSK's?");
        return ERR_AUTH;
    }
    enum err e = login_begin(sasl, &login, why);
    login.request.host = sasl->host;
    e = e ? e : presign(&login.request, &login.credentials, &query);
    if (e) {
        return e;
    }
    size_t digits = SIGV4_HASH_SIZE - 1; /* at its end */
    ret->overflow = ret->overflow || query.overflow;
    if (!ret->overflow) {
        struct slice signature = {query.data + query.size - digits, digits};
        put_login(ret, &login.request, &login.credentials, signature);
    }
    free(query.data);
    return ERR_OK;
}

/* --- OAUTHBEARER --- */

/* The URL is that of the region, whatever the broker is called: as AWS's signers have it. */
enum err sasl_aws_token_put(struct sasl *sasl, struct out *ret, struct why *why)
{
    struct login login;
    struct out query = out_over(NULL, 0);
    char host[SIGV4_REGION_SIZE_MAX + 32];
    uint8_t memory[SASL_ACCESS_TOKEN_SIZE_MAX / 4 * 3];
    struct out url = out_over(memory, sizeof memory);
    enum err e = login_begin(sasl, &login, why);
    if (e) {
        return e;
    }
    (void)snprintf(host, sizeof host, "kafka.%s.amazonaws.com", login.region);
    login.request.host = slice_of_text(host);
    e = presign(&login.request, &login.credentials, &query);
    if (e) {
        return e;
    }
    out_put_format(&url, "https://%s/?", host);
    out_put_slice(&url, out_slice(&query));
    out_put_text(&url, "&User-Agent=weir%2F" WEIR_VERSION);
    url.overflow = url.overflow || query.overflow;
    free(query.data);
    if (url.overflow) {
        why_set(why, "the session token of AWS's credentials is too long for OAUTHBEARER: use "
                     "AWS_MSK_IAM");
        return ERR_AUTH;
    }
    hash_put_base64url(ret, out_slice(&url));
    return ERR_OK;
}
