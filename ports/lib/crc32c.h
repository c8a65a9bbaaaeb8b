/* CRC-32C (Castagnoli polynomial, reflected; RFC 3720 appendix B.4): Kafka's record batches and the
 * buffer's rows. Pure. */
#ifndef WEIR_PORTS_LIB_CRC32C_H
#define WEIR_PORTS_LIB_CRC32C_H

#include "ports/slice.h"

/* The checksum of `data`; `before` is that of the bytes in front of it, or 0. */
uint32_t crc32c(uint32_t before, struct slice data);
/* The same where the processor has no instruction for it. */
uint32_t crc32c_by_table(uint32_t before, struct slice data);

#endif
