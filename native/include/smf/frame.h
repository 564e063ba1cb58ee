/* The 16-byte frame header of the smf wire format (docs/wire.md): bytes with accessors.
 *
 *    0        1        2                 4                 8                12               16
 *    +--------+--------+-----------------+-----------------+-----------------+----------------+
 *    | compr. | flags  | session  u16    | size  u32       | checksum  u32   | meta  u32      |
 *    +--------+--------+-----------------+-----------------+-----------------+----------------+
 *
 * Pure functions: no state, no I/O, no allocation; callable from any thread. */
#ifndef SMF_FRAME_H
#define SMF_FRAME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_FRAME_HEADER_SIZE_BYTES 16 /* of every frame, before its payload */
#define SMF_FRAME_COMPRESSION_MAX 3    /* the largest that a header may say */
#define SMF_RPC_PORT_DEFAULT 11225     /* where services listen unless told otherwise */
#define SMF_ADMIN_PORT_DEFAULT 33140   /* where their admin pages do */

/* How a payload is compressed. Filters do it (smf/compress.h); the engine looks at none. */
enum smf_compression {
    SMF_COMPRESSION_NONE = 0,     /* not */
    SMF_COMPRESSION_DISABLED = 1, /* "filters, leave this alone"; read as none */
    SMF_COMPRESSION_ZSTD = 2,     /* by zstd */
    SMF_COMPRESSION_LZ4 = 3       /* by lz4 */
};

/* A header's fields in the machine's own byte order. */
struct smf_frame {
    uint8_t compression; /* enum smf_compression */
    uint8_t flags;       /* level 1: 0 */
    uint16_t session;    /* of the call; the caller chooses it, the reply repeats it */
    uint32_t size;       /* payload bytes that follow the header */
    uint32_t checksum;   /* low 32 bits of XXH64(payload, seed 0) */
    uint32_t meta;       /* request: method id; reply: status */
};

/* What is wrong with a header at level 1; also the index of its counter. */
enum smf_frame_fault {
    SMF_FRAME_GOOD = 0,            /* nothing */
    SMF_FRAME_BAD_COMPRESSION = 1, /* over SMF_FRAME_COMPRESSION_MAX */
    SMF_FRAME_BAD_FLAGS = 2,       /* not 0 */
    SMF_FRAME_SIZE_ZERO = 3,       /* no payload */
    SMF_FRAME_CHECKSUM_ZERO = 4,   /* 0, which the wire does not allow */
    SMF_FRAME_META_ZERO = 5        /* neither a method nor a status */
};

/* Reads a header from 16 bytes at any alignment. Cost: a few nanoseconds. */
void smf_frame_decode(const uint8_t *bytes, struct smf_frame *frame_out);

/* Writes a header as 16 bytes at any alignment. Cost: a few nanoseconds. */
void smf_frame_encode(const struct smf_frame *frame, uint8_t *bytes_out);

/* Says what is wrong with a header that arrived at level 1: an enum smf_frame_fault. The size limit
 * is the connection's business and not checked here. */
int smf_frame_check_level1(const struct smf_frame *frame);

/* The checksum of a payload: low 32 bits of XXH64 with seed 0. Cost: one pass over the bytes,
 * about 10 GB/s. */
uint32_t smf_frame_checksum(const void *payload, size_t size_bytes);

/* CRC-32 (IEEE 802.3), of which method ids are made. Cost: one pass, about 0.2 GB/s. */
uint32_t smf_crc32(const void *data, size_t size_bytes);

/* The id of a method: CRC32(service) XOR CRC32(method ":" in ":" out). The service has no
 * namespace; in and out are full type names joined by "::". Returns 0 for an id that may not be
 * used or a name longer than 1000 bytes. Strings are zero-terminated. */
uint32_t smf_method_id(const char *service, const char *method, const char *in, const char *out);

#ifdef __cplusplus
}
#endif
#endif
