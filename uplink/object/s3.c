#include "uplink/object/s3.h"

#include <stdio.h>
#include <stdlib.h>

#include "uplink/object/s3_impl.h"

static struct s3 *s3_of(struct uplink *uplink)
{
    return CONTAINER_OF(uplink, struct s3, base.uplink);
}

static void credentials_are_others(void *context)
{
    struct s3 *s3 = context;
    sender_kick(s3->base.sender);
}

static void credentials_fault(void *context, const struct why *why)
{
    struct s3 *s3 = context;
    uplink_fault(s3->base.host, why);
}

static void credentials_bytes(void *context, uint64_t sent, uint64_t received)
{
    struct s3 *s3 = context;
    uplink_wire_bytes(s3->base.host, sent, received);
}

static enum err s3_target(struct uplink *uplink, const struct stream_info *stream,
                          const struct schema_info *schema, struct target *ret, struct why *why)
{
    struct s3 *s3 = s3_of(uplink);
    (void)schema;
    return object_target(&s3->base, &s3->options->object, stream, ret, why);
}

static enum err s3_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    const struct s3_options *s3 = options;
    const struct object_wrapping wrapping = {.options = &s3->object,
                                             .digests = OBJECT_SHA256 | OBJECT_MD5 | OBJECT_CRC32C,
                                             .whole_size_max = OBJECT_WHOLE_SIZE_MAX,
                                             .part_size = OBJECT_PART_SIZE};
    return object_wrap(&wrapping, batch, ret);
}

static const struct sender_service s3_service = {.state_size = sizeof(struct s3_state),
                                                 .answer_size_max = 32 * 1024,
                                                 .build = s3_build,
                                                 .judge = s3_judge,
                                                 .header = s3_header};

static void s3_close(struct uplink *uplink)
{
    struct s3 *s3 = uplink ? s3_of(uplink) : NULL;
    if (s3) {
        credentials_close(s3->credentials);
        http_base_close(&s3->base);
        free(s3);
    }
}

/* Buckets with a '.' do not fit the certificate of *.s3.amazonaws.com; other stores mostly know
 * paths only. */
bool s3_is_path_style(const struct s3_options *options)
{
    bool has_dot = strchr(options->bucket, '.') != NULL;
    return options->style == S3_STYLE_PATH ||
           (options->style == S3_STYLE_AUTO && (options->endpoint || has_dot));
}

static enum err s3_place_set(struct s3 *s3, struct why *why)
{
    const struct s3_options *options = s3->options;
    const char *region = credentials_region(options->region);
    s3->region = region ? region : S3_REGION_INITIAL;
    (void)snprintf(s3->url, sizeof s3->url, "https://s3.%s.amazonaws.com%s", s3->region,
                   strncmp(s3->region, "cn-", 3) == 0 ? ".cn" : "");
    s3->is_path_style = s3_is_path_style(options);
    return endpoint_parse(options->endpoint ? options->endpoint : s3->url, &s3->endpoint, why);
}

static enum err s3_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    struct s3 *s3 = calloc(1, sizeof *s3);
    if (!s3) {
        return ERR_NOMEM;
    }
    s3->options = setup->options;
    const struct sender_setup sender = {.uplink = setup,
                                        .service = &s3_service,
                                        .context = s3,
                                        .tls = &s3->options->tls,
                                        .timeout_ms = (uint32_t)s3->options->object.timeout_ms};
    enum err e = s3_place_set(s3, why);
    e = e ? e : http_base_open(&s3->base, &s3_uplink_class, &sender, why);
    if (!e) {
        const struct credentials_setup credentials = {.loop = setup->loop,
                                                      .names = setup->names,
                                                      .http = sender_http(s3->base.sender),
                                                      .clock = sender_clock(s3->base.sender),
                                                      .options = &s3->options->credentials,
                                                      .region = s3->region,
                                                      .context = s3,
                                                      .changed = credentials_are_others,
                                                      .fault = credentials_fault,
                                                      .wire_bytes = credentials_bytes};
        e = credentials_open(&s3->credentials, &credentials, why);
    }
    if (e) {
        s3_close(&s3->base.uplink);
        return e;
    }
    *ret = &s3->base.uplink;
    return ERR_OK;
}

const struct uplink_class s3_uplink_class = {
    .type = "s3",
    .help = "Avro container files in a bucket of Amazon S3, or of a store that speaks as it does "
            "(MinIO, Ceph, R2): each batch is one object, under a name that makes a repeated PUT "
            "harmless.",
    .options = s3_table,
    .options_size = sizeof(struct s3_options),
    .probe = s3_probe_open,
    .check = s3_options_check,
    .open = s3_open,
    .target = s3_target,
    .place = http_base_place,
    .wrap = s3_wrap,
    .built = object_built,
    .assign = http_base_assign,
    .send = http_base_send,
    .relink = http_base_relink,
    .stop = http_base_stop,
    .close = s3_close,
};
