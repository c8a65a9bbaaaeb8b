/* Roles of the shared files: which profile leads to which, by whose credentials each role is taken, and
 * what is refused. On simulated time, against a double of STS. */
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

#define STS "https://sts.eu-central-1.amazonaws.com/"
#define MACHINE "http://169.254.169.254/latest/"
#define CONTAINER "http://localhost:8080/c"
#define ROLE "arn:aws:iam::123456789012:role/"
#define KEYS "aws_access_key_id=AKIA1\naws_secret_access_key=s1\n"
#define FORM \
    "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2F"
#define HOUR_MS UINT64_C(3600000)
#define REQUEST_MAX 16

struct scene {
    struct loop *loop;
    struct names *names;
    struct http *http;
    struct server_clock clock;
    struct credentials_options options;
    struct credentials *credentials;
    bool has_fault;
    unsigned fault_count; /* that were told */
    struct why fault;
    char folder[64], path[128];
    /* --- the double --- */
    unsigned asked;
    unsigned refused_first; /* with 403 */
    int64_t ahead_s;        /* its clock's */
    int64_t ahead_s_more;   /* with each answer */
    char body[1024];
    struct taken {
        char form[1024], by[160], token[64]; /* the key in Authorization; the session token */
        char signature[65];
    } taken[REQUEST_MAX];
};

static void changed(void *context)
{
    (void)context;
}

static void fault(void *context, const struct why *why)
{
    struct scene *scene = context;
    scene->has_fault = why != NULL;
    scene->fault_count += why != NULL;
    scene->fault = why ? *why : scene->fault;
}

static const char *header_of(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < HTTP_HEADER_MAX && request->headers[i]; i++) {
        if (strncmp(request->headers[i], name, strlen(name)) == 0) {
            return request->headers[i] + strlen(name);
        }
    }
    return "";
}

/* Gives ASIA1, ASIA2 ... with the tokens t1, t2 ..., for an hour. */
static void sts(void *context, const struct http_request *request, struct net_reply *ret)
{
    struct scene *scene = context;
    assert_true(scene->asked < REQUEST_MAX);
    struct taken *taken = &scene->taken[scene->asked++];
    assert_string_equal(request->method, "POST");
    assert_string_equal(header_of(request, "Content-Type: "), "application/x-www-form-urlencoded");
    (void)snprintf(taken->form, sizeof taken->form, "%.*s", (int)request->body.size,
                   (const char *)request->body.data);
    (void)snprintf(taken->by, sizeof taken->by, "%.150s", header_of(request, "Authorization: "));
    (void)snprintf(taken->token, sizeof taken->token, "%.60s",
                   header_of(request, "X-Amz-Security-Token: "));
    const char *signature = strstr(header_of(request, "Authorization: "), "Signature=");
    assert_non_null(signature);
    (void)snprintf(taken->signature, sizeof taken->signature, "%s", signature + 10);
    ret->ahead_s = scene->ahead_s;
    scene->ahead_s += scene->ahead_s_more;
    if (scene->asked <= scene->refused_first) {
        ret->status = 403;
        ret->body = SLICE("<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you"
                          "</Message></Error></ErrorResponse>");
        return;
    }
    char end[CLOCK_TEXT_SIZE];
    clock_format(clock_wall_us() + (ret->ahead_s + 3600) * 1000000, 0, end);
    (void)snprintf(scene->body, sizeof scene->body,
                   "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA%u"
                   "</AccessKeyId><SecretAccessKey>a%u</SecretAccessKey><SessionToken>t%u"
                   "</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult>"
                   "</AssumeRoleResponse>",
                   scene->asked, scene->asked, scene->asked, end);
    ret->status = 200;
    ret->body = slice_of_text(scene->body);
}

/* Of the container, and of the machine once it has shown its token. */
static void metadata(void *context, const struct http_request *request, struct net_reply *ret)
{
    (void)context;
    ret->status = 200;
    ret->body =
        strcmp(request->method, "PUT") == 0 ? SLICE("the-token")
        : request->url[strlen(request->url) - 1] == '/'
            ? SLICE("pump")
            : SLICE("{\"Code\":\"Success\",\"AccessKeyId\":\"ASIALOCAL\",\"SecretAccessKey\":"
                    "\"s\",\"Token\":\"tl\",\"Expiration\":\"2100-01-01T00:00:00Z\"}");
}

static void forget_environment(void)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_ROLE_SESSION_NAME",
                                        "AWS_ENDPOINT_URL_STS",
                                        "AWS_EC2_METADATA_DISABLED",
                                        "HOME",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        unsetenv(names[i]);
    }
}

static void open_it(struct scene *scene)
{
    struct credentials_setup setup = {.loop = scene->loop,
                                      .names = scene->names,
                                      .http = scene->http,
                                      .clock = &scene->clock,
                                      .options = &scene->options,
                                      .region = "eu-central-1",
                                      .context = scene,
                                      .changed = changed,
                                      .fault = fault};
    struct why why = {""};
    assert_int_equal(credentials_open(&scene->credentials, &setup, &why), ERR_OK);
}

/* The profile pump of these shared files. */
static struct scene *begin(const char *config)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    forget_environment();
    sim_open(5);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    assert_int_equal(http_open(&scene->http, scene->loop, scene->names), ERR_OK);
    (void)snprintf(scene->folder, sizeof scene->folder, "/tmp/weir-credentials-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    (void)snprintf(scene->path, sizeof scene->path, "%s/config", scene->folder);
    FILE *file = fopen(scene->path, "w");
    assert_non_null(file);
    assert_true(fputs(config, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(scene->path, 0600), 0);
    scene->options =
        (struct credentials_options){.is_set = true, .profile = "pump", .config_file = scene->path};
    net_http(STS, sts, scene);
    return scene;
}

static void end(struct scene *scene)
{
    credentials_close(scene->credentials);
    http_close(scene->http);
    names_close(scene->names);
    loop_close(scene->loop);
    unlink(scene->path);
    rmdir(scene->folder);
    net_http(STS, NULL, NULL);
    net_http(MACHINE, NULL, NULL);
    net_http(CONTAINER, NULL, NULL);
    free(scene);
    sim_close();
    forget_environment();
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

static void expect(struct scene *scene, const char *key_id, const char *token)
{
    struct aws_credentials got;
    if (!sim_run_until(has_some, scene, 60000)) {
        fail_msg("no credentials: %s", scene->fault.text);
    }
    assert_int_equal(credentials_get(scene->credentials, &got), ERR_OK);
    assert_string_equal(got.key_id, key_id);
    assert_string_equal(got.session_token, token);
}

static void expect_fault(struct scene *scene, const char *says)
{
    assert_true(sim_run_until(has_fault, scene, 60000));
    if (!strstr(scene->fault.text, says)) {
        fail_msg("\"%s\" does not say \"%s\"", scene->fault.text, says);
    }
    assert_null(strstr(scene->fault.text, "s1"));
    assert_false(has_some(scene));
}

static void expect_taken(const struct scene *scene, unsigned index, const char *role_and_more,
                         const char *by, const char *token)
{
    char form[512], key[64];
    const struct taken *taken = &scene->taken[index];
    (void)snprintf(form, sizeof form, "%s%s", FORM, role_and_more);
    assert_string_equal(taken->form, form);
    (void)snprintf(key, sizeof key, "AWS4-HMAC-SHA256 Credential=%s/", by);
    assert_int_equal(strncmp(taken->by, key, strlen(key)), 0);
    assert_non_null(strstr(taken->by, "/eu-central-1/sts/aws4_request, SignedHeaders="
                                      "content-type;host;x-amz-date"));
    assert_string_equal(taken->token, token);
}

static void by_a_source_profile(void **state)
{
    (void)state;
    struct scene *scene = begin("[profile pump]\nrole_arn=" ROLE "pump\nsource_profile=base\n"
                                "external_id=plant/7\nduration_seconds=900\n"
                                "role_session_name=p7\n[profile base]\n" KEYS);
    open_it(scene);
    expect(scene, "ASIA1", "t1");
    expect_taken(scene, 0, "pump&RoleSessionName=p7&ExternalId=plant%2F7&DurationSeconds=900",
                 "AKIA1", "");
    assert_string_equal(credentials_origin(scene->credentials),
                        "profile pump of AWS's shared files, as " ROLE "pump");
    /* They are renewed before they end, and never missing. */
    for (unsigned minute = 0; minute < 180; minute++) {
        sim_run_for(60000);
        assert_true(has_some(scene));
    }
    assert_in_range(scene->asked, 4, 6);
    assert_false(scene->has_fault);
    end(scene);
}

/* Each role is taken by the credentials of the one before, which have a token. */
static void one_by_the_other(void **state)
{
    (void)state;
    struct scene *scene =
        begin("[profile pump]\nrole_arn=" ROLE "pump\nsource_profile=hall\n"
              "[profile hall]\nrole_arn=" ROLE "hall\nsource_profile=plant\n"
              "[profile plant]\nrole_arn=" ROLE "plant\nsource_profile=base\n"
              "[profile base]\n" KEYS "role_arn=" ROLE "no\nsource_profile=pump\n");
    setenv("AWS_ROLE_SESSION_NAME", "night", 1);
    open_it(scene);
    expect(scene, "ASIA3", "t3");
    expect_taken(scene, 0, "plant&RoleSessionName=night", "AKIA1", "");
    expect_taken(scene, 1, "hall&RoleSessionName=night", "ASIA1", "t1");
    expect_taken(scene, 2, "pump&RoleSessionName=night", "ASIA2", "t2");
    assert_string_equal(credentials_origin(scene->credentials),
                        "profile pump of AWS's shared files, as " ROLE "pump");
    end(scene);
}

/* The role goes before keys of the profile itself, which may be what it is taken by. */
static void by_its_own_keys(void **state)
{
    (void)state;
    struct scene *scene =
        begin("[profile pump]\nrole_arn=" ROLE "pump\nsource_profile=pump\n" KEYS);
    open_it(scene);
    expect(scene, "ASIA1", "t1");
    expect_taken(scene, 0, "pump&RoleSessionName=weir", "AKIA1", "");
    end(scene);
}

static void by_a_credential_source(void **state)
{
    (void)state;
    static const struct {
        const char *word, *by, *token;
    } cases[] = {{"Environment", "AKIAENV", "te"},
                 {"environment", "AKIAENV", "te"},
                 {"Ec2InstanceMetadata", "ASIALOCAL", "tl"},
                 {"EcsContainer", "ASIALOCAL", "tl"}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char config[256];
        (void)snprintf(config, sizeof config,
                       "[profile pump]\nrole_arn=" ROLE "pump\ncredential_source = %s\n",
                       cases[i].word);
        struct scene *scene = begin(config);
        setenv("AWS_ACCESS_KEY_ID", "AKIAENV", 1);
        setenv("AWS_SECRET_ACCESS_KEY", "se", 1);
        setenv("AWS_SESSION_TOKEN", "te", 1);
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", CONTAINER, 1);
        net_http(MACHINE, metadata, scene);
        net_http(CONTAINER, metadata, scene);
        open_it(scene);
        expect(scene, "ASIA1", "t1");
        expect_taken(scene, 0, "pump&RoleSessionName=weir", cases[i].by, cases[i].token);
        end(scene);
        /* It has none: no other is asked. */
        scene = begin(config);
        open_it(scene);
        expect_fault(scene,
                     "profile pump takes its role by its credential_source, and there are no "
                     "credentials");
        assert_int_equal(scene->asked, 0);
        end(scene);
    }
}

static void what_is_no_use(void **state)
{
    (void)state;
    static const struct {
        const char *more, *says;
    } cases[] = {
        {"source_profile=base\nmfa_serial=arn:aws:iam::1:mfa/x\n", "has an mfa_serial, and nobody"},
        {"source_profile=base\ncredential_source=Environment\n", "keep one of them"},
        {"credential_source=Moon\n", "a credential_source that is none"},
        {"source_profile=base\nduration_seconds=899\n", "is not from 900 to 43200"},
        {"source_profile=base\nduration_seconds=43201\n", "is not from 900 to 43200"},
        {"source_profile=base\nduration_seconds=1h\n", "is not from 900 to 43200"},
        {"source_profile=base\nexternal_id=a b\n", "its external_id is none"},
        {"source_profile=base\nrole_session_name=a b\n", "its role_session_name is none"},
        {"source_profile=nobody\n", "profile nobody is in none of AWS's shared files"},
        {"source_profile=empty\n", "profile empty holds no credentials"},
        {"source_profile=pump\n", "profile pump: its source_profile leads back"},
        {"source_profile=back\n", "profile back: its source_profile leads back"},
        {"source_profile=sso\n", "signs in by SSO"},
        {"", "has a role_arn, and nothing to take it by"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char config[512];
        (void)snprintf(config, sizeof config,
                       "[profile pump]\nrole_arn=" ROLE "pump\n%s[profile base]\n" KEYS
                       "[profile empty]\nregion=x\n[profile sso]\nsso_session=x\n"
                       "[profile back]\nrole_arn=" ROLE "back\nsource_profile=pump\n",
                       cases[i].more);
        struct scene *scene = begin(config);
        open_it(scene);
        expect_fault(scene, cases[i].says);
        assert_int_equal(scene->asked, 0);
        end(scene);
    }
}

/* Five roles, and no more. */
static void long_chains(void **state)
{
    (void)state;
    for (unsigned count = 5; count <= 6; count++) {
        char config[2048];
        struct out o = out_over(config, sizeof config);
        out_put_text(&o, "[profile pump]\nrole_arn=" ROLE "r0\nsource_profile=p1\n");
        for (unsigned i = 1; i < count; i++) {
            out_put_format(&o, "[profile p%u]\nrole_arn=" ROLE "r%u\nsource_profile=p%u\n", i, i,
                           i + 1);
        }
        out_put_format(&o, "[profile p%u]\n" KEYS, count);
        out_put_byte(&o, '\0');
        assert_false(o.overflow);
        struct scene *scene = begin(config);
        open_it(scene);
        if (count == 5) {
            expect(scene, "ASIA5", "t5");
            expect_taken(scene, 4, "r0&RoleSessionName=weir", "ASIA4", "t4");
        } else {
            expect_fault(scene, "profile p5: at most 5 roles are taken one by the other");
        }
        end(scene);
    }
}

static void refused(void **state)
{
    (void)state;
    struct scene *scene = begin("[profile pump]\nrole_arn=" ROLE "pump\nsource_profile=hall\n"
                                "[profile hall]\nrole_arn=" ROLE "hall\nsource_profile=base\n"
                                "[profile base]\n" KEYS);
    scene->refused_first = 1;
    open_it(scene);
    expect_fault(scene,
                 "asked for " ROLE "hall by profile hall refuses (403, AccessDenied: not you)"
                 ": check the role, whom it trusts");
    expect(scene, "ASIA3", "t3"); /* it is tried again, from the beginning */
    expect_taken(scene, 1, "hall&RoleSessionName=weir", "AKIA1", "");
    expect_taken(scene, 2, "pump&RoleSessionName=weir", "ASIA2", "t2");
    assert_false(scene->has_fault);
    end(scene);
}

/* What was refused because of the clock is signed again soon, for the right time, and nobody is told. */
static void a_wrong_clock(void **state)
{
    (void)state;
    struct scene *scene = begin("[profile pump]\nrole_arn=" ROLE "pump\nsource_profile=base\n"
                                "[profile base]\n" KEYS);
    scene->ahead_s = 100000;
    scene->refused_first = 1;
    open_it(scene);
    assert_true(sim_run_until(has_some, scene, 3000));
    expect(scene, "ASIA2", "t2");
    assert_int_equal(scene->clock.offset_s, 100000);
    assert_string_not_equal(scene->taken[0].by, scene->taken[1].by); /* of another day */
    assert_int_equal(scene->fault_count, 0);
    end(scene);
}

/* One whose time is another one in each answer is no reason to be silent for ever. */
static void a_clock_that_jumps(void **state)
{
    (void)state;
    struct scene *scene = begin("[profile pump]\nrole_arn=" ROLE "pump\nsource_profile=base\n"
                                "[profile base]\n" KEYS);
    scene->ahead_s = scene->ahead_s_more = 100000;
    scene->refused_first = 3;
    open_it(scene);
    expect_fault(scene, "refuses (403, AccessDenied: not you): it was signed for another time than "
                        "its answer has: set the clock");
    assert_int_equal(scene->asked, 2);
    expect(scene, "ASIA4", "t4");
    assert_false(scene->has_fault);
    end(scene);
}

/* The scheme's own port is not in what is signed, as it is not in the header Host. */
static void sts_at_its_own_port(void **state)
{
    (void)state;
    static const char config[] =
        "[profile pump]\nrole_arn=" ROLE "pump\nsource_profile=base\n[profile base]\n" KEYS;
    static const char *const urls[] = {"https://vpce-1.amazonaws.com/",
                                       "https://vpce-1.amazonaws.com:443/"};
    char signatures[2][65];
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct scene *scene = begin(config);
        scene->options.sts_url = urls[i];
        net_http(urls[i], sts, scene);
        open_it(scene);
        expect(scene, "ASIA1", "t1");
        memcpy(signatures[i], scene->taken[0].signature, sizeof signatures[i]);
        net_http(urls[i], NULL, NULL);
        end(scene);
    }
    assert_int_equal(strlen(signatures[0]), 64);
    assert_string_equal(signatures[0], signatures[1]); /* simulated time is the same */
}

/* Closed while a role is asked for: nothing is left behind. */
static void closed_in_between(void **state)
{
    (void)state;
    for (unsigned ms = 0; ms < 200; ms += 10) {
        struct scene *scene = begin("[profile pump]\nrole_arn=" ROLE "pump\nsource_profile=hall\n"
                                    "[profile hall]\nrole_arn=" ROLE "hall\nsource_profile=base\n"
                                    "[profile base]\n" KEYS);
        open_it(scene);
        sim_run_for(ms);
        end(scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_a_source_profile),
        cmocka_unit_test(one_by_the_other),
        cmocka_unit_test(by_its_own_keys),
        cmocka_unit_test(by_a_credential_source),
        cmocka_unit_test(what_is_no_use),
        cmocka_unit_test(long_chains),
        cmocka_unit_test(refused),
        cmocka_unit_test(a_wrong_clock),
        cmocka_unit_test(a_clock_that_jumps),
        cmocka_unit_test(sts_at_its_own_port),
        cmocka_unit_test(closed_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
