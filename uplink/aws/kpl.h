/* Aggregated records as Amazon's Kinesis Producer Library makes them: many events in one record, which
 * the Kinesis Client Library, Lambda and others take apart again. The record is F3 89 9A C2, a message
 * of protocol buffers, and its MD5:
 *
 *   AggregatedRecord { 1 partition_key_table: strings, 2 explicit_hash_key_table: strings,
 *                      3 records: { 1 partition_key_index, 2 explicit_hash_key_index, 3 data } }
 *
 * Two rounds: first the keys of all events, then each event. Nothing allocates; any thread. */
#ifndef WEIR_UPLINK_AWS_KPL_H
#define WEIR_UPLINK_AWS_KPL_H

#include "ports/slice.h"

#define KPL_MAGIC_SIZE 4
#define KPL_AROUND_SIZE 20 /* magic and digest */

/* Begins a record at the end of `ret`. */
void kpl_begin(struct out *ret);
/* An entry of the table of keys; the first one is index 0. */
void kpl_put_key(struct out *ret, struct slice key);
/* The one entry of the table of hash keys, decimal. */
void kpl_put_hash_key(struct out *ret, struct slice hash_key);
/* An event with the key of that index; has_hash_key: and the hash key. */
void kpl_put_event(struct out *ret, uint32_t key_index, bool has_hash_key, struct slice data);
/* What kpl_put_event() adds for `size` bytes of data, and kpl_put_key() or kpl_put_hash_key() for a
 * key of that size. */
size_t kpl_event_size(uint32_t key_index, bool has_hash_key, size_t size);
size_t kpl_key_size(size_t size);
/* `start`: ret->size before kpl_begin(). */
void kpl_end(struct out *ret, size_t start);

#endif
