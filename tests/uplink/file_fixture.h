/* The uplink `file` in a folder of its own, batches of numbered events, what is read back, and a disk
 * that fails. Programs are linked with --wrap for read, write, fsync, fdatasync and rename. */
#ifndef WEIR_TESTS_UPLINK_FILE_FIXTURE_H
#define WEIR_TESTS_UPLINK_FILE_FIXTURE_H

#include "ports/uplink.h"
#include "uplink/file/disk.h"

/* Set while no job is under way. */
extern struct disk_trouble {
    int crash_at; /* this call that changes the disk ends the process, half done; 0: none */
    int crash_calls;
    bool is_full; /* half of each write fits */
    int full_calls;
    bool reads_fail;        /* of open files; their state can be read */
    bool folder_sync_fails; /* of the folder where a finished file is */
} disk_trouble;

struct uplink_host {
    struct send_report report;
    unsigned done_count;
    unsigned ready_count;
    char fault[WHY_SIZE_MAX];
};

extern const struct stream_info stream;
extern const struct schema_info schemas[2];

#define FILE_INCARNATION 0xabcd /* of the buffer, and at first of events */

struct fixture {
    struct loop *loop;
    struct uplink_host host;
    struct uplink *uplink;
    struct file_options options;
    char folder[64];
    uint32_t incarnation; /* of the events that are sent */
};

/* A fresh folder and options. */
void fixture_prepare(struct fixture *f);
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);

struct parcel_batch {
    struct parcel parcel;
    struct batch batch;
    uint8_t wire[8192];
};

/* Events first..first+count-1, wrapped. */
void batch_make(struct fixture *f, struct parcel_batch *b, uint64_t first, unsigned count,
                const struct schema_info *schema);
void batch_assign(struct fixture *f, struct parcel_batch *b);
/* Sends, and waits for the answer. */
enum send_result batch_send(struct fixture *f, struct parcel_batch *b);
/* All three, and it must be stored. */
void send_new(struct fixture *f, uint64_t first, unsigned count, const struct schema_info *schema);

struct found {
    unsigned char count[1024]; /* of each number */
    unsigned files;
    unsigned others; /* files of another incarnation than FILE_INCARNATION */
    unsigned parts;
};

void find(const char *folder, struct found *found);
/* Until every file is finished, and there are so many. */
void wait_finished(struct fixture *f, unsigned files);
/* Until the fault says `text`; with "", until there is none. */
void wait_fault(struct fixture *f, const char *text);
/* Events 0..count-1 are there once, and every file is finished. */
void expect_each_once(struct fixture *f, uint64_t count);

#endif
