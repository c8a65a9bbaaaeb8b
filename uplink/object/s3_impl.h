/* What the files of the uplink s3 share: s3.c is the class, s3_build.c makes and signs requests,
 * s3_judge.c reads answers, s3_options.c has the settings. Loop thread. */
#ifndef WEIR_UPLINK_OBJECT_S3_IMPL_H
#define WEIR_UPLINK_OBJECT_S3_IMPL_H

#include "uplink/aws/credentials.h"
#include "uplink/object/endpoint.h"
#include "uplink/object/object.h"

#define S3_CODE_SIZE 64
#define S3_UPLOAD_ID_SIZE 1024
#define S3_ETAG_SIZE 80
#define S3_RESTART_MAX 3

enum s3_style { S3_STYLE_AUTO, S3_STYLE_PATH, S3_STYLE_HOST };
enum s3_checksum { S3_CHECKSUM_MD5, S3_CHECKSUM_CRC32C, S3_CHECKSUM_NONE };
enum s3_encryption { S3_ENCRYPTION_BUCKET, S3_ENCRYPTION_AES256, S3_ENCRYPTION_KMS };

struct s3_options {
    const char *bucket;
    const char *region;
    const char *endpoint;
    int64_t style;
    int64_t checksum;
    const char *storage_class;
    int64_t encryption;
    const char *kms_key;
    bool create_only;
    struct object_options object;
    struct credentials_options credentials;
    struct tls_options tls;
};
extern const struct option s3_table[];
enum err s3_options_check(const void *options, struct why *why);

#define S3_REGION_INITIAL "us-east-1" /* where none is said */
/* Does the bucket stand in the URL's path? */
bool s3_is_path_style(const struct s3_options *options);

struct s3 {
    struct http_base base;
    const struct s3_options *options;
    const char *region;
    char url[512]; /* the endpoint's, where the options have none */
    struct endpoint endpoint;
    bool is_path_style;
    struct credentials *credentials;
};

/* Of a batch, while it is with the sender. */
struct s3_state {
    uint64_t credentials; /* their number, of the last request */
    bool has_skewed;      /* each of these is tried once */
    bool has_renewed;
    bool has_repeated;
    uint8_t restarts;
    char etag[S3_ETAG_SIZE]; /* of the answer at hand */
    char region[64];         /* likewise */
    bool is_aborting;        /* then the batch ends as `verdict` says */
    struct send_report verdict;
};

/* Of an upload in parts, in the batch's own memory: it outlives a retry. */
struct s3_marks {
    char upload_id[S3_UPLOAD_ID_SIZE]; /* "": not begun */
    char etags[OBJECT_PART_MAX][S3_ETAG_SIZE];
    uint32_t done_count; /* of its parts */
};

enum s3_step { S3_PUT, S3_CREATE, S3_PART, S3_COMPLETE, S3_ABORT };
/* What is to be asked next. */
enum s3_step s3_step(const struct s3_state *state, const struct object *object,
                     struct s3_marks *ret_marks);
void s3_marks_set(const struct object *object, const struct s3_marks *marks);

enum err s3_build(void *context, struct sender_request *r, struct send_report *ret) MUST_USE;
enum sender_next s3_judge(void *context, struct sender_request *r, const struct http_answer *answer,
                          struct send_report *ret);
/* s3_probe.c: uplink_class.probe(). */
enum err s3_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;
void s3_header(void *context, struct sender_request *r, struct slice name, struct slice value);

#endif
