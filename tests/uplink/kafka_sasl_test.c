/* The mechanisms of SASL against published examples, and against brokers that are not what they
 * say. */
#include "tests/cmocka.h"

#include <stdlib.h>

#include "uplink/kafka/sasl_scram.h"

/* RFC 7677, section 3. Where no published values are, they are by Python's hashlib and hmac. */
#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define BROKER_NONCE NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define BROKER_FIRST "r=" BROKER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNATURE "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

struct example {
    const char *user, *password;
    int64_t mechanism;
    const char *first, *broker_first, *final, *broker_final;
};

static const struct example examples[] = {
    {"user", "pencil", SASL_SCRAM_SHA_256, "n,,n=user,r=" NONCE, BROKER_FIRST,
     "c=biws,r=" BROKER_NONCE ",p=" PROOF, "v=" SIGNATURE},
    {"user", "pencil", SASL_SCRAM_SHA_512, "n,,n=user,r=" NONCE, BROKER_FIRST,
     "c=biws,r=" BROKER_NONCE ",p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC"
     "6wdp6dybEmDYXYTxwnYPJQ==",
     "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw=="},
};

struct scene {
    struct sasl_options options;
    struct sasl_store store;
    struct scram *scram;
    struct why why;
    unsigned turns; /* that the last message took */
};

static void scene_begin(struct scene *scene, const struct example *example)
{
    *scene = (struct scene){.options = {.is_set = true,
                                        .mechanism = example->mechanism,
                                        .user = example->user,
                                        .password = example->password}};
    scene->store.options = &scene->options;
}

static void scene_login(struct scene *scene)
{
    bool is_long = scene->options.mechanism == SASL_SCRAM_SHA_512;
    scram_close(scene->scram);
    assert_int_equal(
        scram_open(&scene->scram, is_long ? HASH_SHA512 : HASH_SHA256, &scene->store, NONCE),
        ERR_OK);
}

/* What follows the broker's message; "" for nothing. */
static enum err scene_next(struct scene *scene, const char *message, char ret[1024])
{
    struct out o = out_over(ret, 1023);
    enum err e = scram_next(scene->scram, slice_of_text(message), &o, &scene->why);
    for (scene->turns = 1; e == ERR_AGAIN; scene->turns++) {
        assert_int_equal(o.size, 0);
        e = scram_next(scene->scram, (struct slice){NULL, 0}, &o, &scene->why);
    }
    assert_false(o.overflow);
    ret[o.size] = '\0';
    return e;
}

static void published_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(examples); i++) {
        const struct example *example = &examples[i];
        char text[1024];
        struct scene scene;
        scene_begin(&scene, example);
        for (unsigned time = 0; time < 2; time++) {
            scene_login(&scene);
            assert_int_equal(scene_next(&scene, "", text), ERR_OK);
            assert_string_equal(text, example->first);
            assert_int_equal(scene_next(&scene, example->broker_first, text), ERR_OK);
            assert_string_equal(text, example->final);
            /* The first time it is done in pieces, and then it is known. */
            assert_true(time == 0 ? scene.turns > 8 : scene.turns == 1);
            assert_int_equal(scene_next(&scene, example->broker_final, text), ERR_CLOSED);
        }
        scram_close(scene.scram);
    }
}

static void another_salt_is_another_key(void **state)
{
    (void)state;
    char text[1024], first[1024];
    struct scene scene;
    scene_begin(&scene, &examples[0]);
    scene_login(&scene);
    assert_int_equal(scene_next(&scene, "", text), ERR_OK);
    assert_int_equal(scene_next(&scene, BROKER_FIRST, first), ERR_OK);
    static const char *const others[] = {"r=" BROKER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gA==,i=4096",
                                         "r=" BROKER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gA==,i=4097"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        scene_login(&scene);
        assert_int_equal(scene_next(&scene, "", text), ERR_OK);
        assert_int_equal(scene_next(&scene, others[i], text), ERR_OK);
        assert_true(scene.turns > 1);
        assert_string_not_equal(text, first);
    }
    scram_close(scene.scram);
}

static void names_are_escaped(void **state)
{
    (void)state;
    char text[1024];
    struct scene scene;
    struct example example = examples[0];
    example.user = "a=b,c \xc3\xa4";
    scene_begin(&scene, &example);
    scene_login(&scene);
    assert_int_equal(scene_next(&scene, "", text), ERR_OK);
    assert_string_equal(text, "n,,n=a=3Db=2Cc \xc3\xa4,r=" NONCE);
    scram_close(scene.scram);
}

static void brokers_that_cannot_be_trusted(void **state)
{
    (void)state;
    static const struct {
        const char *first, *final, *says;
    } bad[] = {
        {"", NULL, "can't be read"},
        {"m=x,r=" NONCE "a,s=AAAA,i=4096", NULL, "can't be read"},
        {"r=" NONCE "a,i=4096", NULL, "can't be read"},
        {"r=" NONCE "a,s=,i=4096", NULL, "can't be read"},
        {"r=" NONCE "a,s=*,i=4096", NULL, "can't be read"},
        {"r=" NONCE "a,s=AAAA,i=", NULL, "can't be read"},
        {"r=" NONCE "a,s=AAAA,i=4096x", NULL, "can't be read"},
        {"r=" NONCE "a,s=AAAA,i=-1", NULL, "can't be read"},
        {"r=" NONCE "a,s=AAAA,i=99999999999999999999", NULL, "can't be read"},
        {"r=" NONCE ",s=AAAA,i=4096", NULL, "another login"},
        {"r=somethingElseAltogether,s=AAAA,i=4096", NULL, "another login"},
        {"r=" NONCE "a,s=AAAA,i=1", NULL, "1 iterations"},
        {"r=" NONCE "a,s=AAAA,i=4095", NULL, "4095 iterations"},
        {"r=" NONCE "a,s=AAAA,i=200001", NULL, "200001 iterations"},
        {BROKER_FIRST, "", "does not prove"},
        {BROKER_FIRST, "v=", "does not prove"},
        {BROKER_FIRST, "v=AAAA", "does not prove"},
        {BROKER_FIRST, "e=other-error", "does not prove"},
        {BROKER_FIRST, "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "does not prove"},
    };
    struct scene scene;
    scene_begin(&scene, &examples[0]);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char text[1024];
        scene_login(&scene);
        assert_int_equal(scene_next(&scene, "", text), ERR_OK);
        enum err e = scene_next(&scene, bad[i].first, text);
        if (bad[i].final) {
            assert_int_equal(e, ERR_OK);
            e = scene_next(&scene, bad[i].final, text);
        }
        assert_int_equal(e, ERR_AUTH);
        if (!strstr(scene.why.text, bad[i].says)) {
            fail_msg("\"%s\" does not say \"%s\"", scene.why.text, bad[i].says);
        }
    }
    scram_close(scene.scram);
}

static void nonces_differ(void **state)
{
    (void)state;
    char texts[2][256];
    struct scene scene;
    scene_begin(&scene, &examples[0]);
    for (size_t i = 0; i < 2; i++) {
        struct sasl sasl;
        struct out o = out_over(texts[i], sizeof texts[i] - 1);
        sasl_init(&sasl, &scene.store, SLICE("broker"));
        assert_int_equal(sasl_next(&sasl, (struct slice){NULL, 0}, &o, &scene.why), ERR_OK);
        texts[i][o.size] = '\0';
        sasl_release(&sasl);
        assert_int_equal(o.size, strlen("n,,n=user,r=") + SCRAM_NONCE_SIZE);
    }
    assert_string_not_equal(texts[0], texts[1]);
}

static void what_a_mechanism_needs(void **state)
{
    (void)state;
    struct why why = {""};
    struct sasl_options options = {.is_set = true, .user = "u", .password = "p"};
    assert_int_equal(sasl_check(&options, "b:9092", &why), ERR_OK);
    options.password = NULL;
    options.mechanism = SASL_SCRAM_SHA_512;
    assert_int_equal(sasl_check(&options, "b:9092", &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "SCRAM-SHA-512 needs \"user\" and \"password\""));
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    options = (struct sasl_options){.is_set = true, .mechanism = SASL_AWS_MSK_IAM};
    assert_int_equal(sasl_check(&options, "b:9092", &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "IAM's login needs \"region\""));
    assert_int_equal(sasl_check(&options, "b-1.p.a.c2.kafka.eu-west-1.amazonaws.com:9098", &why),
                     ERR_OK);
    options.credentials.access_key_id = "A";
    assert_int_equal(sasl_check(&options, "b-1.p.a.c2.kafka.eu-west-1.amazonaws.com:9098", &why),
                     ERR_CONFIG);
}

/* --- AWS_MSK_IAM; the signatures are those of the presigned URLs that botocore 1.44.5 makes --- */

#define MSK_HOST "b-1.pumps.a1b2c3.c2.kafka.eu-central-1.amazonaws.com"
#define NOON 1795521600 /* 2026-11-24T12:00:00Z */

static enum err aws_give(void *context, struct aws_credentials *ret, int64_t *ret_time_s)
{
    const char *token = context;
    *ret = (struct aws_credentials){.key_id = "AKIDEXAMPLE",
                                    .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                    .session_token = token,
                                    .number = 5};
    *ret_time_s = NOON;
    return token && strcmp(token, "none") == 0 ? ERR_AGAIN : ERR_OK;
}

struct aws_example {
    const char *host, *region, *token, *in_between, *signature;
};

static const struct aws_example aws_examples[] = {
    {MSK_HOST, "eu-central-1", NULL, "",
     "f4005950487db9e10f3ec63b0ff0b1e7e4857498dbe8f4b67cb48a0335df3aec"},
    {MSK_HOST, "eu-central-1",
     "IQoJb3JpZ2luX2VjE/+==", ",\"x-amz-security-token\":\"IQoJb3JpZ2luX2VjE/+==\"",
     "827d0623960300fa6b4e9a7e0f64c34d1266930d961ff4dbaa1b6f94b2f536e2"},
    {"kafka.example.com", "cn-north-1", NULL, "",
     "9e08aa7efb40dacdc7ada23aae214ea3a6ccc59226c94cf1fdf0e57394225c7a"},
};

static void aws_begin(struct scene *scene, struct sasl *sasl, const struct aws_example *example)
{
    *scene = (struct scene){.options = {.is_set = true, .mechanism = SASL_AWS_MSK_IAM}};
    scene->options.region = strcmp(example->host, MSK_HOST) == 0 ? NULL : example->region;
    scene->store = (struct sasl_store){.options = &scene->options,
                                       .aws = aws_give,
                                       .aws_context = (void *)(uintptr_t)example->token};
    sasl_init(sasl, &scene->store, slice_of_text(example->host));
}

static void aws_logins(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(aws_examples); i++) {
        const struct aws_example *example = &aws_examples[i];
        struct scene scene;
        struct sasl sasl;
        char text[2048], expected[2048];
        struct out o = out_over(text, sizeof text - 1);
        aws_begin(&scene, &sasl, example);
        assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_OK);
        text[o.size] = '\0';
        (void)snprintf(
            expected, sizeof expected,
            "{\"version\":\"2020_10_22\",\"host\":\"%s\","
            "\"user-agent\":\"weir/" WEIR_VERSION "\","
            "\"action\":\"kafka-cluster:Connect\","
            "\"x-amz-algorithm\":\"AWS4-HMAC-SHA256\","
            "\"x-amz-credential\":\"AKIDEXAMPLE/20261124/%s/kafka-cluster/aws4_request\","
            "\"x-amz-date\":\"20261124T120000Z\",\"x-amz-signedheaders\":\"host\","
            "\"x-amz-expires\":\"900\"%s,\"x-amz-signature\":\"%s\"}",
            example->host, example->region, example->in_between, example->signature);
        assert_string_equal(text, expected);
        assert_int_equal(sasl.token_number, 5);
        assert_int_equal(sasl_next(&sasl, SLICE("{\"version\":\"2020_10_22\"}"), &o, &scene.why),
                         ERR_CLOSED);
        sasl_release(&sasl);
    }
}

/* The longest session token there may be has room. */
static void aws_long_token(void **state)
{
    (void)state;
    static char token[CREDENTIALS_TOKEN_SIZE_MAX + 1];
    static uint8_t memory[SASL_TOKEN_SIZE_MAX];
    struct aws_example example = aws_examples[0];
    struct scene scene;
    struct sasl sasl;
    memset(token, '/', sizeof token - 1);
    example.token = token;
    struct out o = out_over(memory, sizeof memory);
    aws_begin(&scene, &sasl, &example);
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_OK);
    assert_false(o.overflow);
    assert_true(o.size > CREDENTIALS_TOKEN_SIZE_MAX);
}

static void aws_logins_that_fail(void **state)
{
    (void)state;
    struct scene scene;
    struct sasl sasl;
    uint8_t memory[2048];
    struct out o = out_over(memory, sizeof memory);
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    aws_begin(&scene, &sasl, &aws_examples[0]);
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_OK);
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_AUTH);
    assert_non_null(strstr(scene.why.text, "is it Amazon MSK's"));
    aws_begin(&scene, &sasl, &aws_examples[2]);
    scene.options.region = NULL;
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_AUTH);
    assert_non_null(strstr(scene.why.text, "sasl.region is missing"));
    setenv("AWS_REGION", "us-west-2", 1);
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_OK);
    unsetenv("AWS_REGION");
    struct aws_example none = aws_examples[0];
    none.token = "none";
    aws_begin(&scene, &sasl, &none);
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_TIMEOUT);
}

/* By OAUTHBEARER: the region's URL, whatever the broker is called; the rest is any token's. */
static void aws_tokens(void **state)
{
    (void)state;
    static const char begin[] =
        "n,,\1auth=Bearer aHR0cHM6Ly9rYWZrYS5ldS1jZW50cmFsLTEuYW1hem9uYXdzLmNvbS8_QWN0aW9u"
        "PWthZmthLWNsdXN0ZXIlM0FDb25uZWN0";
    struct scene scene;
    struct sasl sasl;
    char text[SASL_TOKEN_SIZE_MAX];
    struct out o = out_over(text, sizeof text);
    aws_begin(&scene, &sasl, &aws_examples[1]);
    scene.options.mechanism = SASL_OAUTHBEARER;
    scene.options.credentials.is_set = true;
    assert_string_equal(sasl_name(&scene.options), "OAUTHBEARER");
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_OK);
    assert_memory_equal(text, begin, sizeof begin - 1);
    assert_memory_equal(text + o.size - 2, "\1\1", 2);
    assert_int_equal(sasl.token_number, 5);
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_CLOSED);
    /* Refused, with a reason. */
    o.size = 0;
    aws_begin(&scene, &sasl, &aws_examples[1]);
    scene.options.mechanism = SASL_OAUTHBEARER;
    scene.options.credentials.is_set = true;
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_OK);
    assert_int_equal(sasl_next(&sasl, SLICE("{\"status\":\"Access denied\"}"), &o, &scene.why),
                     ERR_OK);
    assert_non_null(strstr(sasl.refusal, "Access denied"));
}

/* No more than SASL_TOKEN_SIZE_MAX, whatever AWS's session token is. */
static void aws_tokens_that_fail(void **state)
{
    (void)state;
    static char token[CREDENTIALS_TOKEN_SIZE_MAX + 1];
    static uint8_t memory[SASL_TOKEN_SIZE_MAX];
    bool has_fitted = false, has_failed = false;
    memset(token, '/', sizeof token - 1);
    for (size_t size = 1; size < sizeof token; size += 97) {
        struct aws_example example = aws_examples[0];
        struct scene scene;
        struct sasl sasl;
        struct out o = out_over(memory, sizeof memory);
        example.token = token + sizeof token - 1 - size;
        aws_begin(&scene, &sasl, &example);
        scene.options.mechanism = SASL_OAUTHBEARER;
        scene.options.credentials.is_set = true;
        enum err e = sasl_next(&sasl, SLICE(""), &o, &scene.why);
        assert_false(o.overflow);
        has_fitted = has_fitted || e == ERR_OK;
        has_failed = has_failed || e;
        assert_true(e == ERR_OK || e == ERR_AUTH);
        assert_true(!e || strstr(scene.why.text, "too long for OAUTHBEARER"));
        assert_true(!(has_failed && !e));
    }
    assert_true(has_fitted && has_failed);
    struct scene scene;
    struct sasl sasl;
    struct out o = out_over(memory, sizeof memory);
    struct aws_example none = aws_examples[0];
    none.token = "none";
    aws_begin(&scene, &sasl, &none);
    scene.options.mechanism = SASL_OAUTHBEARER;
    scene.options.credentials.is_set = true;
    assert_int_equal(sasl_next(&sasl, SLICE(""), &o, &scene.why), ERR_TIMEOUT);
}

static void aws_options_together(void **state)
{
    (void)state;
    static const char msk[] = "b-1.p.a.c2.kafka.eu-west-1.amazonaws.com:9098";
    struct why why = {""};
    struct sasl_options options = {.is_set = true, .mechanism = SASL_OAUTHBEARER};
    assert_int_equal(sasl_check(&options, msk, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "OAUTHBEARER needs \"oauth\""));
    assert_false(sasl_is_aws(&options));
    options.credentials.is_set = true;
    assert_int_equal(sasl_check(&options, msk, &why), ERR_OK);
    assert_true(sasl_is_aws(&options));
    assert_int_equal(sasl_check(&options, "kafka:9098", &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "needs \"region\""));
    options.oauth.is_set = true;
    assert_int_equal(sasl_check(&options, msk, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "keep one of them"));
    assert_false(sasl_is_aws(&options));
    options = (struct sasl_options){.is_set = true, .mechanism = SASL_PLAIN};
    options.credentials.is_set = true;
    assert_false(sasl_is_aws(&options));
}

static void aws_regions(void **state)
{
    (void)state;
    static const struct {
        const char *host, *region;
    } cases[] = {{MSK_HOST, "eu-central-1"},
                 {"boot-x.c2.kafka-serverless.us-east-1.amazonaws.com", "us-east-1"},
                 {"b-1.p.a.c2.kafka.cn-north-1.amazonaws.com.cn", "cn-north-1"},
                 {".amazonaws.com", ""},
                 {"amazonaws.com", ""},
                 {"b-1.example.com", ""},
                 {"", ""}};
    struct sasl_options options = {.is_set = true};
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char region[SIGV4_REGION_SIZE_MAX + 1] = "";
        assert_int_equal(sasl_region(&options, slice_of_text(cases[i].host), region),
                         cases[i].region[0] != '\0');
        assert_string_equal(region, cases[i].region);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples),   cmocka_unit_test(another_salt_is_another_key),
        cmocka_unit_test(names_are_escaped),    cmocka_unit_test(brokers_that_cannot_be_trusted),
        cmocka_unit_test(nonces_differ),        cmocka_unit_test(what_a_mechanism_needs),
        cmocka_unit_test(aws_logins),           cmocka_unit_test(aws_long_token),
        cmocka_unit_test(aws_logins_that_fail), cmocka_unit_test(aws_tokens),
        cmocka_unit_test(aws_tokens_that_fail), cmocka_unit_test(aws_options_together),
        cmocka_unit_test(aws_regions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
