/* Where credentials come from, and that they are renewed before they end, on simulated time. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "ports/names.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "uplink/aws/credentials.h"
#include "uplink/http/server_clock.h"

#define MACHINE "http://169.254.169.254/latest/"
#define ROLES MACHINE "meta-data/iam/security-credentials/"
#define HOUR_MS UINT64_C(3600000)

struct scene {
    struct loop *loop;
    struct names *names;
    struct http *http;
    struct server_clock clock;
    struct credentials_options options;
    struct credentials *credentials;
    unsigned changed_count, fault_count;
    bool has_fault;
    struct why fault;
    uint64_t wire_bytes;
    char folder[64];
    char path[4][128];
    unsigned path_count;
    /* what endpoints say */
    long status;
    unsigned asked;      /* how often */
    int64_t life_s;      /* of what they give; 0: it does not end */
    int64_t ahead_s;     /* their clock's */
    const char *refusal; /* NULL: none */
    const char *format;  /* of the answer: number and time */
    char body[2048];
    char header[4][256]; /* of the last request */
    char url[512], form[2048];
};

static void changed(void *context)
{
    ((struct scene *)context)->changed_count++;
}

static void fault(void *context, const struct why *why)
{
    struct scene *scene = context;
    scene->fault_count += why != NULL;
    scene->has_fault = why != NULL;
    if (why) {
        scene->fault = *why;
    }
}

static void wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    ((struct scene *)context)->wire_bytes += sent + received;
}

static uint64_t seed = 7;

static void forget_environment(void)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_CONFIG_FILE",
                                        "AWS_ROLE_ARN",
                                        "AWS_ROLE_SESSION_NAME",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_ENDPOINT_URL_STS",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_EC2_METADATA_DISABLED",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                        "AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "HOME"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        unsetenv(names[i]);
    }
}

static struct scene *begin(void)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    forget_environment();
    sim_open(seed);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    assert_int_equal(http_open(&scene->http, scene->loop, scene->names), ERR_OK);
    (void)snprintf(scene->folder, sizeof scene->folder, "/tmp/weir-credentials-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    scene->status = 200;
    scene->life_s = 3600;
    return scene;
}

static enum err open_it(struct scene *scene, struct why *why)
{
    struct credentials_setup setup = {.loop = scene->loop,
                                      .names = scene->names,
                                      .http = scene->http,
                                      .clock = &scene->clock,
                                      .options = &scene->options,
                                      .region = "eu-central-1",
                                      .context = scene,
                                      .changed = changed,
                                      .fault = fault,
                                      .wire_bytes = wire_bytes};
    return credentials_open(&scene->credentials, &setup, why);
}

static void open_well(struct scene *scene)
{
    struct why why = {""};
    enum err e = open_it(scene, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, ERR_OK);
}

static void end(struct scene *scene)
{
    credentials_close(scene->credentials);
    http_close(scene->http);
    names_close(scene->names);
    loop_close(scene->loop);
    for (unsigned i = 0; i < scene->path_count; i++) {
        unlink(scene->path[i]);
    }
    rmdir(scene->folder);
    net_http(ROLES, NULL, NULL);
    net_http(MACHINE, NULL, NULL);
    free(scene);
    sim_close();
    forget_environment();
}

/* A file of the test's; its path. */
static const char *a_file(struct scene *scene, const char *name, mode_t mode, const char *text)
{
    assert_true(scene->path_count < ARRAY_COUNT(scene->path));
    char *path = scene->path[scene->path_count++];
    (void)snprintf(path, sizeof scene->path[0], "%s/%s", scene->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static bool has_some(void *context)
{
    struct aws_credentials got;
    return credentials_get(((struct scene *)context)->credentials, &got) == ERR_OK;
}

static bool has_fault(void *context)
{
    return ((struct scene *)context)->has_fault;
}

static struct aws_credentials expect(struct scene *scene, const char *key_id, const char *secret,
                                     const char *token)
{
    struct aws_credentials got;
    if (!sim_run_until(has_some, scene, 60000)) {
        fail_msg("no credentials: %s", scene->fault.text);
    }
    assert_int_equal(credentials_get(scene->credentials, &got), ERR_OK);
    assert_string_equal(got.key_id, key_id);
    assert_string_equal(got.secret, secret);
    if (token) {
        assert_string_equal(got.session_token, token);
    } else {
        assert_null(got.session_token);
    }
    return got;
}

static void expect_fault(struct scene *scene, const char *says)
{
    struct aws_credentials got;
    assert_true(sim_run_until(has_fault, scene, 60000));
    if (!strstr(scene->fault.text, says)) {
        fail_msg("\"%s\" does not say \"%s\"", scene->fault.text, says);
    }
    assert_int_equal(credentials_get(scene->credentials, &got), ERR_AGAIN);
    assert_string_equal(credentials_origin(scene->credentials), "");
}

/* --- endpoints --- */

#define AS_MACHINE \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA%u\",\"SecretAccessKey\":\"s\\/1\"," \
    "\"Token\":\"t==\",\"Expiration\":\"%s\"}"
#define AS_IOT \
    "{\"credentials\":{\"accessKeyId\":\"ASIA%u\",\"secretAccessKey\":\"s/1\"," \
    "\"sessionToken\":\"t==\",\"expiration\":\"%s\"}}"
#define AS_STS \
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">" \
    "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA%u</AccessKeyId>" \
    "<SecretAccessKey>s/1</SecretAccessKey><SessionToken>t==</SessionToken>" \
    "<Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult>" \
    "</AssumeRoleWithWebIdentityResponse>"

/* Gives credentials. */
static void giving(void *context, const struct http_request *request, struct net_reply *ret)
{
    struct scene *scene = context;
    char end[CLOCK_TEXT_SIZE];
    int64_t now_us = clock_wall_us() + scene->ahead_s * 1000000;
    clock_format(now_us + scene->life_s * 1000000, 0, end);
    scene->asked++;
    (void)snprintf(scene->url, sizeof scene->url, "%s %s", request->method, request->url);
    (void)snprintf(scene->form, sizeof scene->form, "%.*s", (int)request->body.size,
                   request->body.size ? (const char *)request->body.data : "");
    for (size_t i = 0; i < ARRAY_COUNT(scene->header); i++) {
        scene->header[i][0] = '\0';
        if (request->headers[i]) {
            (void)snprintf(scene->header[i], sizeof scene->header[i], "%s", request->headers[i]);
        }
    }
    const char *format = scene->format ? scene->format : AS_MACHINE;
    if (scene->refusal) {
        (void)snprintf(scene->body, sizeof scene->body, "%s", scene->refusal);
    } else {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(scene->body, sizeof scene->body, format, scene->asked, end);
#pragma GCC diagnostic pop
    }
    ret->status = scene->status;
    ret->ahead_s = scene->ahead_s;
    ret->body = slice_of_text(scene->body);
}

/* A machine's metadata service, second version. */
static void machine(void *context, const struct http_request *request, struct net_reply *ret)
{
    if (strcmp(request->url, MACHINE "api/token") == 0) {
        assert_string_equal(request->method, "PUT");
        assert_string_equal(request->headers[0], "X-aws-ec2-metadata-token-ttl-seconds: 21600");
        ret->body = SLICE("the-token==");
        return;
    }
    assert_string_equal(request->method, "GET");
    assert_string_equal(request->headers[0], "X-aws-ec2-metadata-token: the-token==");
    if (strcmp(request->url, ROLES) == 0) {
        ret->body = SLICE("pump-role\n");
    } else {
        assert_string_equal(request->url, ROLES "pump-role");
        giving(context, request, ret);
    }
}

/* --- what is fixed --- */

static void configured(void **state)
{
    (void)state;
    struct scene *scene = begin();
    setenv("AWS_ACCESS_KEY_ID", "OTHER", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "other", 1);
    scene->options = (struct credentials_options){
        .is_set = true, .access_key_id = "AKIA1", .secret_access_key = "s", .session_token = "t"};
    open_well(scene);
    assert_true(has_some(scene)); /* at once */
    struct aws_credentials got = expect(scene, "AKIA1", "s", "t");
    assert_int_equal(got.number, 1);
    assert_string_equal(credentials_origin(scene->credentials), "the configuration");
    sim_run_for(100 * HOUR_MS);
    assert_false(credentials_refused(scene->credentials, 1)); /* there are no others */
    (void)expect(scene, "AKIA1", "s", "t");
    assert_int_equal(scene->changed_count, 0);
    end(scene);
}

static void environment(void **state)
{
    (void)state;
    struct scene *scene = begin();
    setenv("AWS_ACCESS_KEY_ID", "AKIA2", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s2", 1);
    open_well(scene);
    assert_true(has_some(scene));
    (void)expect(scene, "AKIA2", "s2", NULL);
    assert_string_equal(credentials_origin(scene->credentials), "the environment");
    end(scene);
    scene = begin();
    struct why why;
    setenv("AWS_ACCESS_KEY_ID", "AKIA2", 1);
    assert_int_equal(open_it(scene, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "AWS_SECRET_ACCESS_KEY"));
    end(scene);
}

/* --- the shared files --- */

static void shared_files(void **state)
{
    (void)state;
    struct scene *scene = begin();
    scene->options.credentials_file = a_file(
        scene, "credentials", 0600,
        "# mine\n[other]\naws_access_key_id = WRONG\n\n[pump]\r\naws_access_key_id = AKIA3\r\n"
        "AWS_Secret_Access_Key=s3=\r\n");
    scene->options.config_file = a_file(
        scene, "config", 0644, "[profile pump]\nregion = x\ns3 =\n  aws_session_token = no\n");
    scene->options.profile = "pump";
    open_well(scene);
    struct aws_credentials got = expect(scene, "AKIA3", "s3=", NULL);
    assert_int_equal(scene->changed_count, 1);
    assert_string_equal(credentials_origin(scene->credentials),
                        "profile pump of AWS's shared files");
    /* A person has put others there. */
    scene->path_count--;
    scene->path_count--;
    (void)a_file(scene, "credentials", 0600,
                 "[pump]\naws_access_key_id=AKIA4\naws_secret_access_key=s4\n");
    scene->path_count++;
    sim_run_for(HOUR_MS);
    assert_true(credentials_refused(scene->credentials, got.number));
    got = expect(scene, "AKIA4", "s4", NULL);
    assert_int_equal(got.number, 2);
    assert_false(credentials_refused(scene->credentials, 2)); /* they are new */
    assert_true(credentials_refused(scene->credentials, 1));  /* an old request's */
    end(scene);
}

static void shared_files_by_environment(void **state)
{
    (void)state;
    struct scene *scene = begin();
    setenv("AWS_CONFIG_FILE",
           a_file(scene, "config", 0600,
                  "[default]\naws_access_key_id = AKIA5\naws_secret_access_key = s5\n"
                  "[profile \"a b\"]\naws_access_key_id = AKIA6\naws_secret_access_key = s6\n"
                  "aws_session_token = t6\n"),
           1);
    open_well(scene);
    (void)expect(scene, "AKIA5", "s5", NULL);
    credentials_close(scene->credentials);
    setenv("AWS_PROFILE", "a b", 1);
    open_well(scene);
    (void)expect(scene, "AKIA6", "s6", "t6");
    end(scene);
}

/* In the home folder they may be missing, and are read when they are there. */
static void home(void **state)
{
    (void)state;
    struct scene *scene = begin();
    char folder[100];
    (void)snprintf(folder, sizeof folder, "%s/.aws", scene->folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    setenv("HOME", scene->folder, 1);
    (void)a_file(scene, ".aws/credentials", 0600,
                 "[default]\naws_access_key_id=AKIA7\naws_secret_access_key=s7\n");
    open_well(scene);
    (void)expect(scene, "AKIA7", "s7", NULL);
    unlink(scene->path[0]);
    rmdir(folder);
    end(scene);
}

static void profiles_that_are_no_use(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        mode_t mode;
    } cases[] = {
        {"[pump]\naws_access_key_id=A\naws_secret_access_key=s\n", "chmod 600", 0644},
        {"[pump]\naws_access_key_id=A\n", "belong together", 0600},
        {"[pump]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=x\n", "profile x is in none",
         0600},
        {"[pump]\nsso_session=x\n", "not supported", 0600},
        {"[pump]\nregion=x\n", "holds no credentials", 0600},
        {"[pumps]\naws_access_key_id=A\naws_secret_access_key=s\n", "is in none", 0600},
        {"", "is in none", 0600},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct scene *scene = begin();
        scene->options.profile = "pump";
        scene->options.credentials_file =
            a_file(scene, "credentials", cases[i].mode, cases[i].text);
        open_well(scene);
        expect_fault(scene, cases[i].says);
        end(scene);
    }
    /* Keys in the other file are as secret. */
    struct scene *scene = begin();
    scene->options.config_file =
        a_file(scene, "config", 0644, "[default]\naws_access_key_id=A\naws_secret_access_key=s\n");
    open_well(scene);
    expect_fault(scene, "chmod 600");
    end(scene);
}

/* --- the machine's metadata service --- */

static void the_machine(void **state)
{
    (void)state;
    struct scene *scene = begin();
    net_http(MACHINE, machine, scene);
    open_well(scene);
    assert_false(has_some(scene));
    (void)expect(scene, "ASIA1", "s/1", "t==");
    assert_string_equal(credentials_origin(scene->credentials), "the machine's metadata service");
    assert_int_equal(scene->wire_bytes, 0); /* nothing of it goes over the link */
    /* A day: they are always there, and asked for a little more often than they end. */
    for (unsigned minute = 0; minute < 24 * 60; minute++) {
        sim_run_for(60000);
        assert_true(has_some(scene));
    }
    assert_in_range(scene->asked, 24, 36);
    assert_int_equal(scene->changed_count, scene->asked);
    assert_int_equal(scene->fault_count, 0);
    end(scene);
}

/* It is away when they are to be renewed: they serve until they end, then there are none, and when it
 * is back there are. */
static void the_machine_is_silent_for_long(void **state)
{
    (void)state;
    struct scene *scene = begin();
    net_http(MACHINE, machine, scene);
    open_well(scene);
    (void)expect(scene, "ASIA1", "s/1", "t==");
    net_http(MACHINE, NULL, NULL);
    sim_run_for(3500 * 1000);
    assert_true(has_some(scene));
    assert_true(scene->has_fault);
    assert_non_null(strstr(scene->fault.text, "metadata service"));
    sim_run_for(100 * 1000);
    assert_false(has_some(scene));
    net_http(MACHINE, machine, scene);
    (void)expect(scene, "ASIA2", "s/1", "t==");
    assert_false(scene->has_fault);
    end(scene);
}

static void nobody_has_any(void **state)
{
    (void)state;
    struct scene *scene = begin();
    open_well(scene);
    expect_fault(scene, "no credentials for AWS are found");
    assert_int_equal(scene->fault_count, 1);
    sim_run_for(HOUR_MS);
    assert_in_range(scene->fault_count, 12, 40); /* tried again, at most each few minutes */
    net_http(MACHINE, machine, scene);
    assert_true(sim_run_until(has_some, scene, 400000)); /* it came late */
    end(scene);
}

static void the_machine_may_be_left_alone(void **state)
{
    (void)state;
    struct scene *scene = begin();
    setenv("AWS_EC2_METADATA_DISABLED", "True", 1);
    net_http(MACHINE, machine, scene);
    open_well(scene);
    expect_fault(scene, "no credentials for AWS are found");
    assert_int_equal(scene->asked, 0);
    end(scene);
}

/* The board's clock is years behind, or ahead: what is given is used, and renewed. */
static void a_wrong_clock(void **state)
{
    (void)state;
    static const int64_t ahead_s[] = {-100000000, -3590, 3590, 100000000};
    for (size_t i = 0; i < ARRAY_COUNT(ahead_s); i++) {
        struct scene *scene = begin();
        scene->ahead_s = ahead_s[i];
        net_http(MACHINE, machine, scene);
        open_well(scene);
        (void)expect(scene, "ASIA1", "s/1", "t==");
        sim_run_for(13 * HOUR_MS);
        assert_true(has_some(scene));
        assert_in_range(scene->asked, 2, 13 * 6);
        end(scene);
    }
}

/* Boards of a fleet that began together do not ask again together. */
static void renewals_are_spread(void **state)
{
    (void)state;
    uint64_t first = UINT64_MAX, last = 0;
    for (seed = 1; seed <= 20; seed++) {
        struct scene *scene = begin();
        net_http(MACHINE, machine, scene);
        open_well(scene);
        (void)expect(scene, "ASIA1", "s/1", "t==");
        unsigned took_s = 0;
        for (; scene->asked < 2; took_s++) {
            sim_run_for(1000);
        }
        first = took_s < first ? took_s : first;
        last = took_s > last ? took_s : last;
        end(scene);
    }
    assert_in_range(first, 2600, 2800); /* of 3600 */
    assert_in_range(last, 2850, 3010);
}

/* --- the container --- */

static void the_container(void **state)
{
    (void)state;
    struct scene *scene = begin();
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost:8080/2016-11-01/credentials", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc", 1);
    net_http("http://localhost:8080/", giving, scene);
    open_well(scene);
    (void)expect(scene, "ASIA1", "s/1", "t==");
    assert_string_equal(scene->url, "GET http://localhost:8080/2016-11-01/credentials");
    assert_string_equal(scene->header[0], "Authorization: Basic abc");
    assert_int_equal(scene->wire_bytes, 0);
    credentials_close(scene->credentials);
    /* The token's file is read anew each time. */
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", a_file(scene, "token", 0644, "file-token\n"),
           1);
    open_well(scene);
    (void)expect(scene, "ASIA2", "s/1", "t==");
    assert_string_equal(scene->header[0], "Authorization: file-token");
    scene->path_count--;
    (void)a_file(scene, "token", 0644, "next-token");
    sim_run_for(HOUR_MS);
    (void)expect(scene, "ASIA3", "s/1", "t==");
    assert_string_equal(scene->header[0], "Authorization: next-token");
    net_http("http://localhost:8080/", NULL, NULL);
    credentials_close(scene->credentials);
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x", 1);
    net_http("http://169.254.170.2/v2/credentials/x", giving, scene);
    open_well(scene);
    (void)expect(scene, "ASIA4", "s/1", "t==");
    net_http("http://169.254.170.2/v2/credentials/x", NULL, NULL);
    end(scene);
}

/* Who names another host does not get a token sent there. */
static void the_container_elsewhere(void **state)
{
    (void)state;
    static const char *const urls[] = {"http://example.com/c", "http://localhost.example.com/c",
                                       "http://127.0.0.1@example.com/c", "ftp://localhost/c",
                                       "http://169.254.170.20/"};
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct scene *scene = begin();
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", urls[i], 1);
        net_http("http://", giving, scene);
        open_well(scene);
        expect_fault(scene, "not on this machine");
        assert_int_equal(scene->asked, 0);
        net_http("http://", NULL, NULL);
        end(scene);
    }
    struct scene *scene = begin();
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/c", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nHost: b", 1);
    open_well(scene);
    expect_fault(scene, "can't stand in a header");
    end(scene);
}

/* --- STS --- */

#define STS "https://sts.eu-central-1.amazonaws.com/"

static void web_identity(void **state)
{
    (void)state;
    struct scene *scene = begin();
    setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pump", 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", a_file(scene, "jwt", 0644, "eyJ.a+b.c-_\n"), 1);
    scene->format = AS_STS;
    scene->ahead_s = 5000;
    net_http(STS, giving, scene);
    open_well(scene);
    (void)expect(scene, "ASIA1", "s/1", "t==");
    assert_string_equal(scene->url, "POST " STS);
    assert_string_equal(scene->form,
                        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3A"
                        "iam%3A%3A123456789012%3Arole%2Fpump&RoleSessionName=weir&"
                        "WebIdentityToken=eyJ.a%2Bb.c-_");
    assert_string_equal(scene->header[0], "Content-Type: application/x-www-form-urlencoded");
    assert_int_equal(scene->clock.offset_s, 5000); /* learned before the first signature */
    assert_true(scene->wire_bytes > 0);
    sim_run_for(3 * HOUR_MS);
    assert_true(has_some(scene));
    assert_in_range(scene->asked, 3, 6);
    net_http(STS, NULL, NULL);
    end(scene);
}

static void web_identity_refused(void **state)
{
    (void)state;
    struct scene *scene = begin();
    scene->options.role_arn = "arn:aws:iam::123456789012:role/pump";
    scene->options.role_session_name = "p1";
    scene->options.web_identity_token_file = a_file(scene, "jwt", 0600, "eyJ");
    scene->options.sts_url = "http://127.0.0.1:5000/";
    scene->status = 400;
    scene->refusal = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>No "
                     "OpenIDConnect provider found\n</Message></Error></ErrorResponse>";
    net_http("http://127.0.0.1:5000/", giving, scene);
    open_well(scene);
    expect_fault(scene, "(400, InvalidIdentityToken: No OpenIDConnect provider found?): check");
    assert_non_null(strstr(scene->form, "RoleSessionName=p1&"));
    scene->refusal = NULL;
    scene->format = AS_STS;
    scene->status = 200;
    (void)expect(scene, "ASIA2", "s/1", "t==");
    credentials_close(scene->credentials);
    chmod(scene->options.web_identity_token_file, 0604);
    scene->has_fault = false;
    open_well(scene);
    expect_fault(scene, "the web identity's token: ");
    net_http("http://127.0.0.1:5000/", NULL, NULL);
    end(scene);
}

/* --- AWS IoT --- */

#define IOT "https://c1.credentials.iot.eu-central-1.amazonaws.com/role-aliases/pumps/credentials"

static void aws_iot(void **state)
{
    (void)state;
    struct scene *scene = begin();
    setenv("AWS_ACCESS_KEY_ID", "OTHER", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "other", 1);
    scene->options.iot = (struct credentials_iot_options){
        .is_set = true,
        .endpoint = "c1.credentials.iot.eu-central-1.amazonaws.com",
        .role_alias = "pumps",
        .thing_name = "pump-7",
        .tls = {.is_set = true, .certificate = "c.pem", .key = "k.pem"}};
    scene->format = AS_IOT;
    scene->status = 403;
    scene->refusal = "{\"message\":\"Access Denied\"}";
    net_http(IOT, giving, scene);
    open_well(scene);
    expect_fault(scene, "refuses (403, Access Denied): check that the certificate");
    scene->status = 200;
    scene->refusal = NULL;
    (void)expect(scene, "ASIA2", "s/1", "t==");
    assert_string_equal(scene->url, "GET " IOT);
    assert_string_equal(scene->header[0], "x-amzn-iot-thingname: pump-7");
    assert_string_equal(credentials_origin(scene->credentials), "AWS IoT, role alias pumps");
    /* They have ended, the service says: others are fetched, once. */
    assert_false(credentials_refused(scene->credentials, 1));
    sim_run_for(120000);
    assert_true(credentials_refused(scene->credentials, 1));
    assert_false(has_some(scene));
    struct aws_credentials got = expect(scene, "ASIA3", "s/1", "t==");
    assert_false(credentials_refused(scene->credentials, got.number));
    assert_true(has_some(scene));
    net_http(IOT, NULL, NULL);
    end(scene);
}

static void answers_that_are_no_use(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "",
        "{}",
        "[]",
        "{\"AccessKeyId\":\"A\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\\n\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"soon\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"2026-13-01T00:00:00Z\"}",
        "{\"AccessKeyId\":\"A b\",\"SecretAccessKey\":\"s\"}",
        "{\"Code\":\"Failed\",\"Message\":\"no role\"}",
        "<a><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</a>"};
    struct scene *scene = begin();
    scene->options.iot = (struct credentials_iot_options){
        .is_set = true, .endpoint = "c1", .role_alias = "pumps", .tls = {.is_set = true}};
    net_http("https://c1/", giving, scene);
    scene->refusal = answers[0];
    open_well(scene);
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        scene->has_fault = false;
        scene->refusal = answers[i];
        assert_true(sim_run_until(has_fault, scene, 400000));
        assert_non_null(strstr(scene->fault.text, "gives no credentials"));
    }
    scene->has_fault = false;
    scene->refusal = answers[8];
    assert_true(sim_run_until(has_fault, scene, 400000));
    assert_non_null(strstr(scene->fault.text, ": Failed: no role"));
    net_http("https://c1/", NULL, NULL);
    end(scene);
}

static void options_together(void **state)
{
    (void)state;
    struct why why;
    forget_environment();
    struct credentials_options none = {.is_set = true};
    assert_int_equal(credentials_check(&none, &why), ERR_OK);
    struct credentials_options half = {.access_key_id = "A"};
    assert_int_equal(credentials_check(&half, &why), ERR_CONFIG);
    struct credentials_options two = {
        .access_key_id = "A", .secret_access_key = "s", .profile = "p"};
    assert_int_equal(credentials_check(&two, &why), ERR_CONFIG);
    struct credentials_options iot = {.iot = {.is_set = true}};
    assert_int_equal(credentials_check(&iot, &why), ERR_CONFIG);
    struct credentials_options web = {.web_identity_token_file = "/t"};
    assert_int_equal(credentials_check(&web, &why), ERR_CONFIG);
    web.role_arn = "arn:aws:iam::123456789012:role/pump";
    assert_int_equal(credentials_check(&web, &why), ERR_OK);
    assert_null(credentials_region(NULL));
    setenv("AWS_DEFAULT_REGION", "a", 1);
    assert_string_equal(credentials_region(NULL), "a");
    setenv("AWS_REGION", "b", 1);
    assert_string_equal(credentials_region(NULL), "b");
    assert_string_equal(credentials_region("c"), "c");
    forget_environment();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configured),
        cmocka_unit_test(environment),
        cmocka_unit_test(shared_files),
        cmocka_unit_test(shared_files_by_environment),
        cmocka_unit_test(home),
        cmocka_unit_test(profiles_that_are_no_use),
        cmocka_unit_test(the_machine),
        cmocka_unit_test(the_machine_is_silent_for_long),
        cmocka_unit_test(nobody_has_any),
        cmocka_unit_test(the_machine_may_be_left_alone),
        cmocka_unit_test(a_wrong_clock),
        cmocka_unit_test(renewals_are_spread),
        cmocka_unit_test(the_container),
        cmocka_unit_test(the_container_elsewhere),
        cmocka_unit_test(web_identity),
        cmocka_unit_test(web_identity_refused),
        cmocka_unit_test(aws_iot),
        cmocka_unit_test(answers_that_are_no_use),
        cmocka_unit_test(options_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
