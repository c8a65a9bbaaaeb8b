/* Puts one object that is too large for one request into a real store, and goes on until it is there:
 * what s3_real.py looks at. usage: s3_send ENDPOINT, with AWS_... in the environment. Prints tries,
 * size and MD5. */
#include <stdio.h>

#include "ports/lib/hash.h"
#include "tests/cmocka.h"
#include "tests/uplink/object/scene.h"
#include "uplink/object/s3.h"
#include "uplink/object/s3_impl.h"

#define TRIES_MAX 100
#define EVENT_COUNT 40 /* of a MiB each: six parts */

static const char *endpoint;

static void an_object_in_parts_gets_there(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    const struct s3_options options = {
        .bucket = "bucket1",
        .endpoint = endpoint,
        .object = {.name = "{stream}/{agent}-{incarnation}-{first}-{last}.avro",
                   .codec = CONTAINER_NULL,
                   .timeout_ms = 10000}};
    struct lot lot;
    struct object object;
    uint8_t digest[HASH_MD5_SIZE];
    char text[2 * HASH_MD5_SIZE + 1];
    struct out out = out_over(text, sizeof text);
    unsigned tries = 1;
    scene->cuts_before = true;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, EVENT_COUNT, 1024 * 1024), ERR_OK);
    while (lot_send(&lot, scene) != SEND_OK) {
        if (scene->host.report.result != SEND_RETRY || ++tries > TRIES_MAX) {
            fail_msg("%d: %s", scene->host.report.result, scene->host.report.text);
        }
    }
    object_of(&lot.batch, &object);
    hash_of(HASH_MD5, object.body, digest);
    hash_put_hex(&out, (struct slice){digest, sizeof digest});
    out_put_byte(&out, 0);
    printf("sent tries=%u size=%zu md5=%s\n", tries, object.body.size, text);
    lot_release(&lot);
    scene_close(scene);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_object_in_parts_gets_there)};
    if (argc != 2) {
        return 2;
    }
    endpoint = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
