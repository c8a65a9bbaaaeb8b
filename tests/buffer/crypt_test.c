/* Encryption at rest: nothing plain is on the disk, nothing that was changed is taken for good, a
 * wrong key touches nothing, and no nonce comes twice, whatever becomes of the file.
 *
 * WEIR_LONG=1: a rekey is cut at each operation, else at each thirteenth; 2000 lives for nonces. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"
#include "buffer/rekey.h"
#include "buffer/salvage.h"
#include "ports/lib/crc32c.h"
#include "ports/lib/hash.h"
#include "tests/buffer/bench.h"

static const uint8_t key_a[AEAD_KEY_SIZE] = "this is the first key, 32 bytes.";
static const uint8_t key_b[AEAD_KEY_SIZE] = "another one of the same length..";
static const uint8_t key_c[AEAD_KEY_SIZE] = "and one that was never in use...";

/* --- every use of a key --- */

#define USES_MAX (1 << 20) /* a table, never more than half full */

static struct {
    uint8_t (*uses)[16];
    size_t count;
    bool twice;
} noted;

/* A key and a nonce, as a fingerprint of both. */
static void note_use(const uint8_t *key, const uint8_t *nonce)
{
    uint8_t both[AEAD_KEY_SIZE + AEAD_NONCE_SIZE];
    uint8_t print[HASH_SHA256_SIZE];
    static const uint8_t nothing[16];
    memcpy(both, key, AEAD_KEY_SIZE);
    memcpy(both + AEAD_KEY_SIZE, nonce, AEAD_NONCE_SIZE);
    hash_of(HASH_SHA256, (struct slice){both, sizeof both}, print);
    size_t at = ((size_t)print[16] | (size_t)print[17] << 8 | (size_t)print[18] << 16) % USES_MAX;
    while (memcmp(noted.uses[at], nothing, sizeof nothing) != 0) {
        noted.twice = noted.twice || memcmp(noted.uses[at], print, sizeof nothing) == 0;
        at = (at + 1) % USES_MAX;
    }
    memcpy(noted.uses[at], print, sizeof nothing);
    noted.count++;
    assert_true(noted.count < USES_MAX / 2);
}

void __real_aead_encrypt(const uint8_t key[AEAD_KEY_SIZE], const uint8_t nonce[AEAD_NONCE_SIZE],
                         struct slice beside, struct slice plain, uint8_t *ret);
void __wrap_aead_encrypt(const uint8_t key[AEAD_KEY_SIZE], const uint8_t nonce[AEAD_NONCE_SIZE],
                         struct slice beside, struct slice plain, uint8_t *ret);

void __wrap_aead_encrypt(const uint8_t key[AEAD_KEY_SIZE], const uint8_t nonce[AEAD_NONCE_SIZE],
                         struct slice beside, struct slice plain, uint8_t *ret)
{
    if (noted.uses) {
        note_use(key, nonce);
    }
    __real_aead_encrypt(key, nonce, beside, plain, ret);
}

/* --- a buffer with words in it that are looked for --- */

static const char *const words[] = {"SECRET-DATUM-", "SECRET-CURSOR", "SECRET-SOURCE",
                                    "SECRET-HEAD--", "SECRET-REASON", "SECRET-BODY--"};
#define WORDS (sizeof words / sizeof words[0])

static void set_keys(struct bench *b, const uint8_t *key, const uint8_t *old_key)
{
    b->setup->key = key;
    b->setup->old_key = old_key;
}

static void begin(struct bench *b, const uint8_t *key, const uint8_t *old_key)
{
    set_keys(b, key, old_key);
    bench_begin(b);
}

/* One event, a cursor, and now and then a set-aside event, all with their words. */
static void put_words(struct bench *b, uint16_t driver, unsigned n)
{
    char datum[200];
    char value[40];
    (void)snprintf(datum, sizeof datum, "%s%u%0*u", words[0], n, 20 + (int)(n % 150),
                   n * 2654435761u);                          /* fits */
    (void)snprintf(value, sizeof value, "%s%u", words[1], n); /* fits */
    struct stored_event event = {.stream = 1,
                                 .schema = b->schema[1],
                                 .sequence = b->next[1],
                                 .trust = TIME_WALL,
                                 .time_us = 1 + n,
                                 .datum = slice_of_text(datum)};
    struct cursor_change cursor = {driver, n % 50, slice_of_text(value)};
    struct aside aside = {.time_us = n,
                          .stream = 1,
                          .size = 77,
                          .source = SLICE("SECRET-SOURCE of it"),
                          .reason = SLICE("SECRET-REASON for it"),
                          .head = n % 2 ? SLICE("SECRET-HEAD-- of it") : SLICE(""),
                          .body = SLICE("SECRET-BODY-- as it came")};
    struct buffer_write write = {.events = &event,
                                 .event_count = 1,
                                 .cursors = &cursor,
                                 .cursor_count = 1,
                                 .asides = &aside,
                                 .aside_count = n % 7 == 0};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    b->next[1]++;
}

static uint16_t driver_of(struct bench *b)
{
    uint16_t driver = 0;
    assert_int_equal(buffer_driver_number(b->buffer, "driver", &driver, &b->why), ERR_OK);
    return driver;
}

static void fill_words(struct bench *b, unsigned count)
{
    uint16_t driver = driver_of(b);
    for (unsigned i = 0; i < count; i++) {
        put_words(b, driver, (unsigned)b->next[1]);
    }
}

static void see_cursor(void *context, uint32_t key, struct slice value)
{
    unsigned *count = context;
    (void)key;
    *count += slice_starts_with(value, SLICE("SECRET-CURSOR"));
}

static void see_aside(void *context, int64_t id, const struct aside *aside)
{
    unsigned *count = context;
    (void)id;
    assert_int_equal(aside->kind, ASIDE_PAYLOAD);
    assert_int_equal(aside->size, 77);
    assert_true(slice_equal_text(aside->source, "SECRET-SOURCE of it"));
    assert_true(slice_equal_text(aside->reason, "SECRET-REASON for it"));
    assert_true(slice_equal_text(aside->head, aside->time_us % 2 ? "SECRET-HEAD-- of it" : ""));
    assert_false(aside->is_damaged);
    *count += slice_equal_text(aside->body, "SECRET-BODY-- as it came");
}

/* Everything that fill_words() put is there. */
static void check_words(struct bench *b)
{
    unsigned cursors = 0;
    unsigned asides = 0;
    uint64_t first = 1;
    uint64_t last = b->next[1] - 1;
    while (first <= last) {
        assert_int_equal(
            buffer_read(b->buffer, 1, (struct range){first, last}, 20000, b->rows, &b->why),
            ERR_OK);
        assert_true(b->rows->event_count > 0);
        for (size_t i = 0; i < b->rows->event_count; i++) {
            const struct stored_event *event = &b->rows->events[i];
            char start[40];
            (void)snprintf(start, sizeof start, "%s%llu", words[0],
                           (unsigned long long)first); /* fits */
            assert_int_equal(event->sequence, first);
            assert_true(slice_starts_with(event->datum, slice_of_text(start)));
            first++;
        }
    }
    assert_int_equal(buffer_cursor_each(b->buffer, driver_of(b), see_cursor, &cursors), ERR_OK);
    assert_int_equal(cursors, last < 50 ? last : 50);
    assert_int_equal(buffer_aside_each(b->buffer, 0, 1 << 20, see_aside, &asides, &b->why), ERR_OK);
    assert_int_equal(asides, last / 7);
    assert_int_equal(b->changes.aside_count, asides);
}

/* How many of the words are in the file or its log. */
static unsigned words_on_disk(struct bench *b)
{
    static const char *const names[] = {BENCH_PATH, BENCH_PATH "-wal"};
    unsigned found = 0;
    for (size_t i = 0; i < WORDS; i++) {
        bool seen = false;
        for (size_t k = 0; k < 2; k++) {
            uint64_t size = 0;
            const uint8_t *bytes = crash_vfs_file(b->vfs, names[k], &size);
            seen = seen || (bytes && memmem(bytes, size, words[i], strlen(words[i])));
        }
        found += seen;
    }
    return found;
}

static void test_nothing_plain_is_on_the_disk(void **state)
{
    struct bench *b = *state;
    begin(b, NULL, NULL);
    fill_words(b, 3000);
    assert_int_equal(words_on_disk(b), WORDS); /* they are found where they are */
    begin(b, key_a, NULL);
    for (unsigned i = 0; i < 5; i++) {
        fill_words(b, 600);
        assert_int_equal(words_on_disk(b), 0);
        bench_reopen(b);
        check_words(b);
    }
    assert_true(bench_row_count(b) >= 3);
    assert_int_equal(words_on_disk(b), 0);
}

/* --- wrong keys --- */

struct copy {
    uint8_t *bytes;
    uint64_t size;
};

static struct copy copy_of(struct bench *b, const char *name)
{
    struct copy copy = {NULL, 0};
    const uint8_t *bytes = crash_vfs_file(b->vfs, name, &copy.size);
    copy.bytes = malloc(copy.size + 1);
    if (bytes) {
        memcpy(copy.bytes, bytes, copy.size);
    }
    return copy;
}

static void check_untouched(struct bench *b, const struct copy *before, const char *name)
{
    struct copy now = copy_of(b, name);
    assert_int_equal(now.size, before->size);
    assert_memory_equal(now.bytes, before->bytes, now.size);
    free(now.bytes);
}

/* Refused, with a text, and not a byte is written. */
static void check_refused(struct bench *b, const uint8_t *key, const uint8_t *old_key,
                          const char *text)
{
    buffer_close(b->buffer);
    b->buffer = NULL;
    struct copy file = copy_of(b, BENCH_PATH);
    struct copy log = copy_of(b, BENCH_PATH "-wal");
    set_keys(b, key, old_key);
    for (unsigned i = 0; i < 2; i++) {
        b->setup->read_only = i;
        assert_int_equal(bench_try_open(b), ERR_CONFIG);
        assert_non_null(strstr(b->why.text, text));
        assert_non_null(strstr(b->why.text, BENCH_PATH));
        assert_null(strstr(b->why.text, "damaged"));
        check_untouched(b, &file, BENCH_PATH);
        check_untouched(b, &log, BENCH_PATH "-wal");
    }
    b->why.text[0] = '\0';
    assert_int_equal(buffer_check_keys(b->setup, &b->why), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, text));
    check_untouched(b, &file, BENCH_PATH);
    b->setup->read_only = false;
    free(file.bytes);
    free(log.bytes);
}

static void check_opens(struct bench *b, const uint8_t *key, const uint8_t *old_key)
{
    buffer_close(b->buffer);
    b->buffer = NULL;
    set_keys(b, key, old_key);
    b->setup->read_only = true;
    assert_int_equal(buffer_check_keys(b->setup, &b->why), ERR_OK);
    assert_int_equal(buffer_open(&b->buffer, b->setup, &b->why), ERR_OK);
    buffer_state(b->buffer, &b->changes);
    check_words(b);
    b->setup->read_only = false;
    bench_reopen(b);
    check_words(b);
}

static void test_a_wrong_key_touches_nothing(void **state)
{
    struct bench *b = *state;
    for (unsigned is_crash = 0; is_crash < 2; is_crash++) {
        begin(b, key_a, NULL);
        fill_words(b, 1500);
        if (is_crash) { /* there is something in the log that is not in the file */
            crash_vfs_freeze(b->vfs);
            buffer_close(b->buffer);
            b->buffer = NULL;
            (void)crash_vfs_crash(b->vfs, CRASH_ALL, 1);
        }
        check_refused(b, NULL, NULL, "is encrypted: give its key");
        check_refused(b, key_b, NULL, "another key");
        check_refused(b, NULL, key_b, "another key");
        check_refused(b, key_b, key_c, "another key");
        check_opens(b, key_a, NULL);
        check_opens(b, key_a, key_c);
        fill_words(b, 20);
        check_opens(b, key_a, NULL);
    }
}

/* --- on, off, another key --- */

static void test_on_and_off(void **state)
{
    struct bench *b = *state;
    static const struct {
        const uint8_t *key;
        const uint8_t *old_key;
    } lives[] = {{NULL, NULL},   {key_a, NULL},  {NULL, key_a}, {key_a, NULL},
                 {key_b, key_a}, {key_a, key_b}, {NULL, key_a}};
    begin(b, NULL, NULL);
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        if (i == 6) { /* two keys are in the file by then */
            check_refused(b, lives[i].key, lives[i].old_key, "another key");
            break;
        }
        set_keys(b, lives[i].key, lives[i].old_key);
        bench_reopen(b);
        check_words(b);
        fill_words(b, 900 + (unsigned)i);
        check_words(b);
    }
    check_refused(b, key_a, key_c, "another key");
    check_refused(b, key_c, key_a, "another key");
    check_opens(b, key_b, key_a);
}

/* --- changed content --- */

/* Statements change the body of the third row; its checksum is made right again, as one who wants to
 * do harm would. */
static void spoil_row(struct bench *b, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    buffer_close(b->buffer);
    b->buffer = NULL;
    assert_int_equal(sqlite3_open_v2(BENCH_PATH, &db, SQLITE_OPEN_READWRITE, "bench"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT id,last,n,schema,t0,t1,raw,body FROM batch", -1, &s, NULL),
        SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW) {
        int64_t columns[6];
        char update[100];
        int64_t id = sqlite3_column_int64(s, 0);
        for (int i = 0; i < 6; i++) {
            columns[i] = sqlite3_column_int64(s, 1 + i);
        }
        struct slice body = {sqlite3_column_blob(s, 7), (size_t)sqlite3_column_bytes(s, 7)};
        (void)snprintf(update, sizeof update, "UPDATE batch SET crc=%u WHERE id=%lld",
                       row_crc(id, columns, body), (long long)id); /* fits */
        assert_int_equal(sqlite3_exec(db, update, NULL, NULL, NULL), SQLITE_OK);
    }
    (void)sqlite3_finalize(s);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    bench_reopen(b);
}

#define THIRD "(SELECT id FROM batch ORDER BY id LIMIT 1 OFFSET 2)"
#define FIRST "(SELECT id FROM batch ORDER BY id LIMIT 1)"

/* The body with another byte at this place, counted from 1; what is there is as good as random. */
#define OTHER_BYTE(at) \
    "CAST(substr(body,1," at "-1)||iif(substr(body," at ",1)=x'5a',x'5b',x'5a')||substr(body," at \
    "+1) AS BLOB)"

static void test_changed_rows_are_seen(void **state)
{
    struct bench *b = *state;
    static const char *const ways[] = {
        "UPDATE batch SET body=" OTHER_BYTE("61") " WHERE id=" THIRD,
        "UPDATE batch SET body=" OTHER_BYTE("6") " WHERE id=" THIRD,
        "UPDATE batch SET body=" OTHER_BYTE("21") " WHERE id=" THIRD,
        "UPDATE batch SET body=" OTHER_BYTE("length(body)") " WHERE id=" THIRD,
        "UPDATE batch SET body=substr(body,1,length(body)-1) WHERE id=" THIRD,
        "UPDATE batch SET body=substr(body,1,41) WHERE id=" THIRD,
        "UPDATE batch SET body=(SELECT body FROM batch WHERE id=" FIRST ") WHERE id=" THIRD,
        "UPDATE batch SET t0=t0+1 WHERE id=" THIRD,
        "UPDATE batch SET schema=schema+1 WHERE id=" THIRD,
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        begin(b, key_a, NULL);
        b->datum_size = 300;
        bench_fill(b, 1, 50, 2500);
        spoil_row(b, "SELECT 1");
        bench_check(b, 1, 1, b->next[1] - 1);
        spoil_row(b, ways[i]);
        uint64_t last = b->next[1] - 1;
        uint64_t found = bench_read(b, 1, 1, last);
        if (found == last || last - found > 600) {
            fail_msg("way %zu: %llu of %llu events", i, (unsigned long long)found,
                     (unsigned long long)last);
        }
    }
    b->datum_size = 0;
}

/* Each byte of a record of the tail, and of a row, is flipped once. */
static void test_flipped_bits_are_seen(void **state)
{
    struct bench *b = *state;
    struct crypt *crypt = NULL;
    uint8_t memory[600];
    uint8_t kept[600];
    uint8_t scratch_memory[600];
    struct out o = out_over(memory, sizeof memory);
    struct out cipher = out_over(kept, sizeof kept);
    struct out scratch = out_over(scratch_memory, sizeof scratch_memory);
    struct record_writer writer;
    struct record record;
    (void)b;
    assert_int_equal(crypt_open(&crypt, key_a, NULL), ERR_OK);
    record_begin(&writer, &o, 3, 7, true);
    out_put_text(&o, "what the sections are, some of them");
    struct slice plain = {o.data + writer.sections, o.size - writer.sections};
    record_end(&writer);
    record_encrypt(crypt, out_slice(&o), &cipher);
    assert_null(memmem(kept, cipher.size, "sections", 8));
    for (size_t bit = 0; bit <= cipher.size * 8; bit++) {
        uint8_t copy[600];
        memcpy(copy, kept, cipher.size);
        bool is_changed = bit < cipher.size * 8;
        if (is_changed) {
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        struct out head = out_over(copy + 4, 4); /* the checksum as it should be */
        out_put_u32_le(&head, crc32c(0, (struct slice){copy + 8, cipher.size - 8}));
        enum err e = record_check((struct slice){copy, cipher.size}, 3, 7, &record);
        if (!e && record.is_encrypted) {
            e = record_decrypt(crypt, &record, copy, &scratch);
        } else if (!e) {
            e = ERR_CORRUPT; /* the flag is gone: the sections are nothing */
        }
        bool is_in_checksum = bit / 8 >= 4 && bit / 8 < 8; /* which was made right again */
        assert_true(is_changed && !is_in_checksum ? e != ERR_OK : e == ERR_OK);
        assert_true(e || slice_equal(record.sections, plain));
    }
    crypt_close(crypt);
}

#define SPOIL_PROOFS "UPDATE meta SET v=CAST(x'00'||substr(v,2) AS BLOB) WHERE k='key1' OR k='key2'"

/* Who has the key does not need the proof, if there is something to try it on. */
static void test_damaged_proofs(void **state)
{
    struct bench *b = *state;
    begin(b, key_a, NULL);
    fill_words(b, 20);
    assert_int_equal(bench_sql_closed(b, SPOIL_PROOFS), ERR_CORRUPT);
    assert_non_null(strstr(b->why.text, "key"));
    assert_int_equal(bench_sql_closed(b, "DELETE FROM meta WHERE k='key1' OR k='key2'"), ERR_OK);
    check_words(b);
    check_refused(b, NULL, NULL, "is encrypted");
}

static void test_a_damaged_proof_is_no_wrong_key(void **state)
{
    struct bench *b = *state;
    begin(b, key_a, NULL);
    bench_fill(b, 1, 50, 5000);
    buffer_close(b->buffer);
    b->buffer = NULL;
    set_keys(b, key_b, NULL);
    assert_int_equal(bench_sql_closed(b, SPOIL_PROOFS), ERR_CORRUPT);
    assert_non_null(strstr(b->why.text, "opens none of its rows"));
    set_keys(b, NULL, NULL);
    assert_int_equal(bench_try_open(b), ERR_CORRUPT);
    set_keys(b, key_a, NULL);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 0);
    bench_check(b, 1, 1, 5000);
    check_refused(b, key_b, NULL, "another key"); /* the proof is written anew */
}

/* --- nonces --- */

/* A commit fails, and is offered again. */
static void fail_and_retry(struct bench *b, unsigned i)
{
    struct crash_fault fault = {.op = CRASH_OP_SYNC, .nth = 1, .sync_drops = true};
    crash_vfs_fault_set(b->vfs, &fault, i);
    while (bench_append(b, 1, 5)) {
    }
    crash_vfs_fault_clear(b->vfs);
}

static void close_now(struct bench *b)
{
    buffer_close(b->buffer);
    b->buffer = NULL;
}

/* The power goes in a commit, and again while opening. */
static void cut_twice(struct bench *b, unsigned i)
{
    crash_vfs_freeze_after(b->vfs, 1 + bench_below(b, 60));
    while (bench_append(b, 1, 40) == ERR_OK) {
    }
    close_now(b);
    (void)crash_vfs_crash(b->vfs, CRASH_ANY, i);
    crash_vfs_freeze_after(b->vfs, 1 + bench_below(b, 20));
    (void)bench_try_open(b);
    close_now(b);
    crash_vfs_freeze(b->vfs);
    (void)crash_vfs_crash(b->vfs, CRASH_ANY, i);
}

/* Written and synced, as by another program. */
static void file_put(const char *name, int kind, const uint8_t *bytes, uint64_t size)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find("bench");
    sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
    int flags = kind | SQLITE_OPEN_READWRITE;
    assert_int_equal(vfs->xOpen(vfs, name, file, flags, &flags), SQLITE_OK);
    assert_int_equal(file->pMethods->xTruncate(file, 0), SQLITE_OK);
    if (size > 0) {
        assert_int_equal(file->pMethods->xWrite(file, bytes, (int)size, 0), SQLITE_OK);
    }
    assert_int_equal(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
    assert_int_equal(file->pMethods->xClose(file), SQLITE_OK);
    free(file);
}

/* An older file is put back: the same one is gone on with twice. */
static bool put_back(struct bench *b, const struct copy *image)
{
    close_now(b);
    if (!image->bytes) {
        return false;
    }
    file_put(BENCH_PATH, SQLITE_OPEN_MAIN_DB, image->bytes, image->size);
    file_put(BENCH_PATH "-wal", SQLITE_OPEN_WAL, NULL, 0);
    return true;
}

/* Lives with crashes, failing disks, commits offered again, files put back. */
static void test_no_nonce_comes_twice(void **state)
{
    struct bench *b = *state;
    struct copy image = {NULL, 0};
    unsigned lives = getenv("WEIR_LONG") ? 2000 : 120;
    unsigned back = 0;
    noted.uses = calloc(USES_MAX, sizeof *noted.uses);
    begin(b, key_a, NULL);
    for (unsigned i = 0; i < lives; i++) {
        switch (bench_below(b, 4)) {
        case 0:
            fail_and_retry(b, i);
            break;
        case 1:
            cut_twice(b, i);
            break;
        case 2:
            back += put_back(b, &image);
            break;
        default:
            close_now(b);
            free(image.bytes);
            image = copy_of(b, BENCH_PATH);
        }
        bench_reopen(b);
        b->next[1] = b->changes.streams[1].sequence_next;
        for (unsigned k = 0; k < 30; k++) {
            enum err e = bench_append(b, 1, 20);
            if (e) {
                fail_msg("life %u, commit %u: %s", i, k, b->why.text);
            }
        }
    }
    print_message("nonces: %zu in %u lives, %u from files put back, none twice\n", noted.count,
                  lives, back);
    assert_true(noted.count > (size_t)lives * 30 && back > lives / 10);
    assert_false(noted.twice);
    note_use(key_a, key_b);
    note_use(key_a, key_b);
    assert_true(noted.twice); /* it would be seen */
    free(noted.uses);
    noted.uses = NULL;
    free(image.bytes);
}

/* --- another key for everything --- */

static enum err rekey(struct bench *b, struct buffer_rekey *ret)
{
    *ret = (struct buffer_rekey){0};
    enum err e = ERR_OK;
    while (!e && !ret->finished) {
        e = buffer_rekey_step(b->buffer, ret, &b->why);
    }
    return e;
}

static void rekey_all(struct bench *b, const uint8_t *key, const uint8_t *old_key)
{
    struct buffer_rekey done;
    set_keys(b, key, old_key);
    bench_reopen(b);
    assert_int_equal(rekey(b, &done), ERR_OK);
    assert_int_equal(done.done, done.total);
    assert_int_equal(done.damaged, 0);
    assert_true(done.written > 0);
    set_keys(b, key, NULL);
    bench_reopen(b);
    check_words(b);
    assert_int_equal(rekey(b, &done), ERR_OK); /* nothing is left to do */
    assert_int_equal(done.written, 0);
    check_words(b);
}

static void test_rekey(void **state)
{
    struct bench *b = *state;
    begin(b, NULL, NULL);
    fill_words(b, 3000);
    rekey_all(b, key_a, NULL);
    bench_sql(b, "VACUUM"); /* as `weir buffer compact`: what free space still held */
    assert_int_equal(words_on_disk(b), 0);
    check_words(b);
    check_refused(b, NULL, NULL, "is encrypted");
    rekey_all(b, key_b, key_a);
    check_refused(b, key_a, NULL, "another key");
    set_keys(b, key_c, key_b); /* in the midst of a change */
    bench_reopen(b);
    fill_words(b, 700);
    rekey_all(b, key_c, key_b);
    assert_int_equal(words_on_disk(b), 0);
    rekey_all(b, NULL, key_c);
    check_opens(b, NULL, NULL);
}

/* At the cap there is room for what encrypted rows have more. */
static void test_rekey_of_a_full_buffer(void **state)
{
    struct bench *b = *state;
    struct buffer_rekey done;
    struct crash_counts counts;
    b->setup->size_max = 6 << 20;
    begin(b, NULL, NULL);
    while (b->changes.streams[1].dropped_count == 0) {
        assert_int_equal(bench_append(b, 1, 20), ERR_OK);
    }
    uint64_t first = bench_owed(b, 1, 1)->ranges[0].first;
    set_keys(b, key_a, NULL);
    bench_reopen(b);
    assert_int_equal(rekey(b, &done), ERR_OK);
    bench_reopen(b);
    bench_check(b, 1, first, b->next[1] - 1);
    crash_vfs_counts(b->vfs, &counts);
    assert_true(counts.size_high <= (uint64_t)b->setup->size_max);
    b->setup->size_max = 64 << 20;
}

/* What is damaged is left, and counted when it is read, as before. */
static void test_rekey_passes_over_damage(void **state)
{
    struct bench *b = *state;
    struct buffer_rekey done;
    begin(b, key_a, NULL);
    b->datum_size = 300;
    bench_fill(b, 1, 50, 2500);
    uint64_t last = b->next[1] - 1;
    bench_sql(b, "UPDATE batch SET crc=crc+1 WHERE id=" THIRD);
    uint64_t found = bench_read(b, 1, 1, last);
    set_keys(b, key_b, key_a);
    bench_reopen(b);
    assert_int_equal(rekey(b, &done), ERR_OK);
    assert_int_equal(done.damaged, 1);
    set_keys(b, key_b, NULL);
    bench_reopen(b);
    assert_int_equal(bench_read(b, 1, 1, last), found);
    b->datum_size = 0;
}

/* What comes over from a damaged file is under its own key: until it has, the key stays. */
static void test_no_rekey_during_a_salvage(void **state)
{
    struct bench *b = *state;
    struct buffer_rekey done;
    struct buffer_write nothing = {.event_count = 0};
    begin(b, key_a, NULL);
    bench_fill(b, 1, 50, 2500);
    uint64_t last = b->next[1] - 1;
    b->buffer->file_damaged = true;
    assert_int_equal(bench_commit(b, &nothing), ERR_OK);
    struct buffer_setup agent = *b->setup;
    b->setup->as_it_is = true;
    b->setup->stream_count = 0;
    b->setup->uplink_count = 0;
    set_keys(b, key_b, key_a);
    assert_int_equal(bench_try_open(b), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "salvaged"));
    set_keys(b, NULL, key_a);
    bench_reopen(b);
    assert_int_equal(rekey(b, &done), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "salvaged"));
    *b->setup = agent;
    bench_reopen(b); /* under the one key */
    for (unsigned i = 0; i < 1000 && b->changes.damage.salvages; i++) {
        assert_true(buffer_care(b->buffer, &b->changes, &b->why) != ERR_CONFIG);
    }
    assert_int_equal(bench_read(b, 1, 1, last), last);
    set_keys(b, key_b, key_a);
    bench_reopen(b);
    assert_int_equal(rekey(b, &done), ERR_OK);
    set_keys(b, key_b, NULL);
    bench_reopen(b);
    assert_int_equal(bench_read(b, 1, 1, last), last);
}

/* The power goes at each operation: then the file opens with both keys, and the change goes on. */
static void test_rekey_is_cut_anywhere(void **state)
{
    struct bench *b = *state;
    struct buffer_rekey done;
    unsigned stride = getenv("WEIR_LONG") ? 1 : 13;
    unsigned cuts = 0;
    bool came = true;
    for (unsigned n = 1; came; n += stride) {
        bool from_plain = n / stride % 3 == 0;
        bool to_plain = n / stride % 3 == 2;
        begin(b, from_plain ? NULL : key_a, NULL);
        fill_words(b, 1300);
        set_keys(b, to_plain ? NULL : key_b, b->setup->key);
        crash_vfs_freeze_after(b->vfs, n);
        enum err e = bench_try_open(b);
        e = e ? e : rekey(b, &done);
        came = crash_vfs_is_frozen(b->vfs);
        cuts += came;
        assert_true(came || e == ERR_OK);
        buffer_close(b->buffer);
        b->buffer = NULL;
        crash_vfs_freeze(b->vfs);
        (void)crash_vfs_crash(b->vfs, CRASH_ANY, n);
        bench_reopen(b);
        check_words(b);
        assert_int_equal(rekey(b, &done), ERR_OK);
        set_keys(b, to_plain ? NULL : key_b, NULL);
        bench_reopen(b);
        check_words(b);
        assert_true(from_plain || to_plain || words_on_disk(b) == 0);
    }
    print_message("rekey: cut at %u moments, and gone on with\n", cuts);
    assert_true(cuts > 400 / stride);
}

/* Each operation fails once: nothing is lost, and it goes on when it is called again. */
static void test_rekey_on_a_failing_disk(void **state)
{
    struct bench *b = *state;
    unsigned stride = getenv("WEIR_LONG") ? 1 : 17;
    bool came = true;
    for (unsigned n = 1; came; n += stride) {
        begin(b, key_a, NULL);
        fill_words(b, 1300);
        set_keys(b, key_b, key_a);
        bench_reopen(b);
        struct crash_fault fault = {
            .op = CRASH_OP_EVERY, .nth = n, .sync_drops = n % 2, .is_full = n % 3 == 0};
        struct buffer_rekey now = {0};
        unsigned tries = 0;
        crash_vfs_fault_set(b->vfs, &fault, n);
        while (!now.finished) {
            enum err e = buffer_rekey_step(b->buffer, &now, &b->why);
            assert_true(e == ERR_OK || e == ERR_IO || e == ERR_NOSPACE || e == ERR_CLOSED);
            assert_true(tries++ < 60);
        }
        came = crash_vfs_fault_count(b->vfs) > 0;
        crash_vfs_fault_clear(b->vfs);
        set_keys(b, key_b, NULL);
        bench_reopen(b);
        check_words(b);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {

        TEST(test_nothing_plain_is_on_the_disk),
        TEST(test_a_wrong_key_touches_nothing),
        TEST(test_on_and_off),
        TEST(test_changed_rows_are_seen),
        TEST(test_flipped_bits_are_seen),
        TEST(test_damaged_proofs),
        TEST(test_a_damaged_proof_is_no_wrong_key),
        TEST(test_no_nonce_comes_twice),
        TEST(test_rekey),
        TEST(test_rekey_of_a_full_buffer),
        TEST(test_no_rekey_during_a_salvage),
        TEST(test_rekey_passes_over_damage),
        TEST(test_rekey_is_cut_anywhere),
        TEST(test_rekey_on_a_failing_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
