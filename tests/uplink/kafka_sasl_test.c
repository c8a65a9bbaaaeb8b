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
        sasl_init(&sasl, &scene.store);
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
    assert_int_equal(sasl_check(&options, &why), ERR_OK);
    options.password = NULL;
    options.mechanism = SASL_SCRAM_SHA_512;
    assert_int_equal(sasl_check(&options, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "SCRAM-SHA-512 needs \"user\" and \"password\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples), cmocka_unit_test(another_salt_is_another_key),
        cmocka_unit_test(names_are_escaped),  cmocka_unit_test(brokers_that_cannot_be_trusted),
        cmocka_unit_test(nonces_differ),      cmocka_unit_test(what_a_mechanism_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
