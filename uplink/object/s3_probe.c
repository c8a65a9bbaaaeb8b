/* For `weir check --online`: are there credentials, does the store answer, is the bucket there? First
 * by a list of nothing; who may only put, as OBJECTS.md advises, may not do that: then AWS itself is
 * asked to end an upload in parts that was never begun, which that page's rights allow, and which
 * changes nothing. To a store that knows no uploads in parts the same is the deletion of an object,
 * which leaves a mark in a bucket with versions: no other store is asked that. Whether objects may
 * be put is not known without putting one. */
#include <stdio.h>
#include <stdlib.h>

#include "uplink/aws/aws_probe.h"
#include "uplink/object/answer.h"
#include "uplink/object/endpoint.h"
#include "uplink/object/s3_impl.h"
#include "uplink/object/xml.h"

#define NO_OBJECT "weir-check-online/no-object" /* nothing is ever put there */
#define NO_UPLOAD "uploadId=weir-check-online"

struct s3_probe {
    struct aws_probe aws;
    const struct s3_options *options;
    bool is_path_style, is_aws; /* not a store that is like it */
    bool is_second;             /* the list was denied */
    char region[64];            /* that the answer at hand names */
};

static struct s3_probe *probe_of(struct service_probe *base)
{
    struct aws_probe *aws = CONTAINER_OF(base, struct aws_probe, base);
    return CONTAINER_OF(aws, struct s3_probe, aws);
}

static enum err probe_ask(struct service_probe *base, struct http_request *ret)
{
    struct s3_probe *p = probe_of(base);
    const char *bucket = p->options->bucket;
    char host[80] = "", path[128] = "";
    if (!p->is_path_style) {
        (void)snprintf(host, sizeof host, "%s.", bucket); /* the option has its limit */
    }
    (void)snprintf(path, sizeof path, "%s%s/%s", p->is_path_style ? "/" : "",
                   p->is_path_style ? bucket : "", p->is_second ? NO_OBJECT : "");
    const struct aws_probe_call call = {.method = p->is_second ? "DELETE" : "GET",
                                        .host = host,
                                        .path = path,
                                        .query =
                                            p->is_second ? NO_UPLOAD : "list-type=2&max-keys=0",
                                        .body = {NULL, 0}};
    p->region[0] = '\0';
    return aws_probe_request(&p->aws, &call, ret);
}

static void probe_header(struct service_probe *base, struct slice name, struct slice value)
{
    struct s3_probe *p = probe_of(base);
    if (object_header_is(name, "x-amz-bucket-region") &&
        !slice_to_text(value, p->region, sizeof p->region)) {
        p->region[0] = '\0';
    }
}

/* The bucket is elsewhere. */
static bool tell_region(struct s3_probe *p, const char *what, const struct http_answer *answer,
                        const struct aws_error *error)
{
    char region[sizeof p->region];
    if (!xml_text(answer->body, "Region", region, sizeof region)) {
        memcpy(region, p->region, sizeof region);
    }
    bool is_about_region = answer->status == 301 || answer->status == 307 ||
                           strcmp(error->type, "AuthorizationHeaderMalformed") == 0 ||
                           strcmp(error->type, "IllegalLocationConstraintException") == 0;
    if (!is_about_region) {
        return false;
    }
    service_probe_found(&p->aws.base, PROBE_ERROR, "region", what,
                        "it is not in %s: set region%s%s", p->aws.region,
                        region[0] ? " to " : ", and look at endpoint", region);
    return true;
}

static enum service_probe_next tell_refused(struct s3_probe *p, const char *what,
                                            const struct http_answer *answer)
{
    struct service_probe *base = &p->aws.base;
    struct aws_error error;
    enum service_probe_next next;
    if (aws_probe_refused(&p->aws, answer, &error, &next)) {
        return next;
    }
    if (tell_region(p, what, answer, &error)) {
        return SERVICE_PROBE_OVER;
    }
    if (strcmp(error.type, "NoSuchBucket") == 0) {
        service_probe_found(base, PROBE_ERROR, "bucket", what,
                            "it is not there: make it, or look at its name");
    } else if (strcmp(error.type, "NoSuchUpload") == 0) {
        service_probe_found(base, PROBE_OK, "bucket", what,
                            "it is there, and these credentials may work in it, if not list it; "
                            "whether objects may be put (s3:PutObject) the first batch shows");
    } else if (aws_probe_is_denied(&error) && p->is_aws && !p->is_second) {
        p->is_second = true;
        return SERVICE_PROBE_MORE;
    } else if (aws_probe_is_denied(&error)) {
        service_probe_found(
            base, PROBE_WARNING, "bucket", what,
            "%s: the credentials are good, but may not list the bucket%s: whether "
            "it is there, and objects may be put, the first batch shows",
            error.type, p->is_second ? ", nor end uploads in parts (s3:AbortMultipartUpload)" : "");
    } else {
        aws_probe_found(&p->aws, what, answer, &error);
    }
    return SERVICE_PROBE_NEXT;
}

static enum service_probe_next probe_judge(struct service_probe *base,
                                           const struct http_answer *answer)
{
    struct s3_probe *p = probe_of(base);
    char what[PROBE_WHAT_SIZE], name[S3_CODE_SIZE + 1];
    (void)snprintf(what, sizeof what, "bucket %s", p->options->bucket);
    if (answer->status != 200 && answer->status != 204) {
        return tell_refused(p, what, answer);
    }
    bool is_list = p->is_second || xml_text(answer->body, "Name", name, sizeof name);
    if (is_list) {
        service_probe_found(base, PROBE_OK, "bucket", what,
                            "it is there; whether objects may be put (s3:PutObject) the first "
                            "batch shows");
    } else {
        service_probe_found_nonsense(base, what, answer->status);
    }
    return SERVICE_PROBE_NEXT;
}

static void probe_free(struct service_probe *base)
{
    struct s3_probe *p = probe_of(base);
    aws_probe_release(&p->aws);
    free(p);
}

static const struct service_probe_class probe_class = {
    .ask = probe_ask, .judge = probe_judge, .header = probe_header, .free = probe_free};

static bool is_of_aws(const char *url)
{
    static const char *const ends[] = {".amazonaws.com", ".amazonaws.com.cn"};
    struct endpoint at;
    struct why why;
    if (endpoint_parse(url, &at, &why)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        size_t size = strlen(ends[i]);
        if (at.host.size > size && memcmp(at.host.data + at.host.size - size, ends[i], size) == 0) {
            return true;
        }
    }
    return false;
}

enum err s3_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    const struct s3_options *options = setup->options;
    struct s3_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    const char *region = credentials_region(options->region);
    p->options = options;
    p->is_path_style = s3_is_path_style(options);
    p->aws.region = region ? region : S3_REGION_INITIAL;
    p->aws.service = "s3";
    p->aws.options = &options->credentials;
    aws_probe_url(&p->aws, options->endpoint);
    p->is_aws = is_of_aws(p->aws.url);
    p->aws.base.class_ = &probe_class;
    p->aws.base.owner = setup;
    p->aws.base.service = "S3";
    p->aws.base.endpoint = p->aws.url;
    p->aws.base.prefix = "";
    p->aws.base.endpoint_option = "endpoint";
    p->aws.base.name_option = "bucket";
    p->aws.base.tls = &options->tls;
    enum err e = aws_probe_open(&p->aws);
    if (e) {
        p->aws.base.probe.close(&p->aws.base.probe);
        return e;
    }
    *ret = &p->aws.base.probe;
    return ERR_OK;
}
