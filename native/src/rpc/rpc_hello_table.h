/* The FlatBuffers of Hello (schema/smf/hello.fbs): the request and its reply have the same fields. */
#ifndef SMF_RPC_HELLO_TABLE_H
#define SMF_RPC_HELLO_TABLE_H

#include <stdint.h>

#define SMF__HELLO_SIZE_BYTES 64u /* as we write it */

struct smf__hello {
    uint32_t level, compressions, frame_size_bytes_max, calls_max, credit_bytes;
    uint64_t features, message_size_bytes_max;
};

/* Reads a table after it was verified. Returns 0 for bytes that are none. */
int smf__hello_read(const void *payload, uint32_t size_bytes, struct smf__hello *hello_out);

/* Writes SMF__HELLO_SIZE_BYTES. */
void smf__hello_write(const struct smf__hello *hello, uint8_t *bytes_out);

/* Of the method smf.Hello. */
uint32_t smf__hello_method_id(void);

#endif
