/* Signatures and JSON Web Tokens against what Google's own library makes of the same. */
#include "tests/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "ports/lib/hash.h"
#include "ports/lib/sign.h"
#include "tests/uplink/google_key.h"
#include "uplink/google/jwt.h"

/* openssl genrsa 1024, and an elliptic curve's. */
static const char short_key[] =
    "-----BEGIN PRIVATE "
    "KEY-----"
    "\nMIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAM1ahxm3ZDuF65aL\nOpTS9jJSQQkG7G7a8dzw4rujxn"
    "DzNvkFWkPo1JdEaRSN6n8HeKp4f2IMx7Nq+BK3\nzhCzLZUYgAwXQ6Bh3nn7X/MqLZBYXKon7/"
    "ssVIYYB4Km38AId2fqW1SZoWw3eHRd\nXs60ZxxSvvQY2Gw2+k9C2zUZ3CjhAgMBAAECgYBb1Wwtd/H/"
    "HHiqrkDYZS9seZRT\n8SCywn7/C0qaFzebM2kWG+quC+VmcFV9t6lyfWjc814j/"
    "wsflWqzFDe3CCoNgZ5b\nYMjpSyyOX6GXAAYnCOdn1GP0kHEM9maAceWa6zDnLkvjK7e1l4G3UcLoKjoHiFFG\nLMLBpWT"
    "vSkdPAQntQQJBAPPDG3/3+NdVzsWaYRoQPQzi7plWwIQSMksbnEjxJw93\nY4oTuUuK/"
    "sJ8KVYhF7KlxrkDphMZieQWJLncYjLDbEUCQQDXqcjNe9o8vi6mYZ8L\n14ZiX9YT5MtfSrNUR+"
    "ew7ggJofmNSiT4HKKkMcub/"
    "jahTb1rZShgBUQDPf0w2xrO\nAIntAkEA6B7HphE05aDxWFvM0WvbJtVGDcB9bIaDW+"
    "A7732sC19N6yMjFJuUQxDG\nsBytG1IfLPkbgR6Vnxuy90W0QNC03QJAUyBpevLLSvCPcKheMqVPcim4jZB553AW\nsVzJ"
    "7IPDa1sYoqI6n7wB4MIk1irlicU6RuQF7QT6kzlYl3VM3qyMfQJBAIZ1A7Qf\nRbb7wf0R4iYMypfo/"
    "maud3FBdTJNE4YLGeRVT4OZSVGgMTAVaM8txzw+timUxpqU\n4jEhYsMNkzmjN0M=\n-----END PRIVATE "
    "KEY-----\n";
static const char curve_key[] =
    "-----BEGIN PRIVATE "
    "KEY-----"
    "\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgiHoaddkgTQ7nZBga\nLJxBCOJsTG0cIf3dDviEsA8byK"
    "ihRANCAAT7b6sBJF6xpDfuZPF9KNraqHQvSJ2y\n8hTenx+"
    "yJ0nXP9KzTF3anh4PCbFajHwsoYZtnZcZYKOprXnfM4iSdo40\n-----END PRIVATE KEY-----\n";

static struct sign_key *key_of(const char *pem)
{
    struct sign_key *key = NULL;
    struct why why;
    assert_int_equal(sign_key_open(&key, slice_of_text(pem), &why), ERR_OK);
    return key;
}

static void a_token_is_the_one_that_googles_library_makes(void **state)
{
    (void)state;
    struct sign_key *key = key_of(GOOGLE_KEY_PEM);
    struct jwt_claims claims = {.key_id = "test-key-1",
                                .email = "weir@p1.iam.gserviceaccount.com",
                                .audience = "https://pubsub.googleapis.com/",
                                .now_s = 1792584000};
    char memory[2048];
    struct out o = out_over(memory, sizeof memory);
    assert_int_equal(jwt_put(&o, &claims, key), ERR_OK);
    assert_true(slice_equal_text(out_slice(&o), GOOGLE_JWT_AUDIENCE));
    claims.audience = NULL;
    claims.scope = "https://www.googleapis.com/auth/devstorage.read_write";
    o.size = 0;
    assert_int_equal(jwt_put(&o, &claims, key), ERR_OK);
    assert_true(slice_equal_text(out_slice(&o), GOOGLE_JWT_SCOPE));
    sign_key_close(key);
}

static void a_token_that_has_no_room_leaves_nothing(void **state)
{
    (void)state;
    struct sign_key *key = key_of(GOOGLE_KEY_PEM);
    const struct jwt_claims claims = {
        .key_id = "test-key-1", .email = "weir@p1.iam.gserviceaccount.com", .scope = "s"};
    char memory[1024];
    struct out whole = out_over(memory, sizeof memory);
    assert_int_equal(jwt_put(&whole, &claims, key), ERR_OK);
    for (size_t size = 0; size < whole.size; size += 7) {
        char small[1024];
        struct out o = out_over(small, size);
        assert_int_equal(jwt_put(&o, &claims, key), ERR_FULL);
        assert_int_equal(o.size, 0);
        assert_false(o.overflow);
    }
    struct out fits = out_over(memory, whole.size);
    assert_int_equal(jwt_put(&fits, &claims, key), ERR_OK);
    sign_key_close(key);
}

static void what_is_no_rsa_key_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", short_key,
        curve_key};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct sign_key *key = NULL;
        struct why why = {""};
        assert_int_equal(sign_key_open(&key, slice_of_text(bad[i]), &why), ERR_CONFIG);
        assert_null(key);
        assert_true(why.text[0]);
    }
    sign_key_close(NULL);
}

static void a_signature_needs_its_whole_room(void **state)
{
    (void)state;
    struct sign_key *key = key_of(GOOGLE_KEY_PEM);
    uint8_t memory[256];
    struct out o = out_over(memory, 255);
    assert_int_equal(sign_rs256(key, SLICE("x"), &o), ERR_FULL);
    assert_int_equal(o.size, 0);
    o = out_over(memory, 256);
    assert_int_equal(sign_rs256(key, SLICE("x"), &o), ERR_OK);
    assert_int_equal(o.size, 256);
    sign_key_close(key);
}

/* RFC 4648, section 10, in the alphabet of section 5. */
static void base64_is_as_published(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *text;
    } examples[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"}};
    for (size_t i = 0; i < ARRAY_COUNT(examples); i++) {
        char memory[16];
        struct out o = out_over(memory, sizeof memory);
        hash_put_base64url(&o, slice_of_text(examples[i].plain));
        assert_true(slice_equal_text(out_slice(&o), examples[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_the_one_that_googles_library_makes),
        cmocka_unit_test(a_token_that_has_no_room_leaves_nothing),
        cmocka_unit_test(what_is_no_rsa_key_is_refused),
        cmocka_unit_test(a_signature_needs_its_whole_room),
        cmocka_unit_test(base64_is_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
