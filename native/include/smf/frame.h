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

/* The flags of a frame at level 2; level 1 has none. Which of them may stand together is in docs/wire.md
 * and checked by smf_frame_check_level2. */
enum smf_frame_flag {
    SMF_FRAME_METADATA = 0x01, /* the payload begins with a metadata block (smf/metadata.h) */
    SMF_FRAME_STREAM = 0x02,   /* of a streaming call */
    SMF_FRAME_FIN = 0x04,      /* the sender sends nothing more in this stream */
    SMF_FRAME_RESET = 0x08,    /* request: cancelled; reply: refused, no handler saw it */
    SMF_FRAME_CREDIT = 0x10,   /* the payload is a u32: so many bytes more may be sent */
    SMF_FRAME_MORE = 0x20,     /* the message goes on in the session's next frame */
    SMF_FRAME_ONE_WAY = 0x40,  /* nobody waits for an answer, and none is sent */
    SMF_FRAME_CONTROL = 0x80   /* of the connection; meta is an enum smf_control */
};

/* What a control frame says. */
enum smf_control {
    SMF_CONTROL_PING = 1,  /* 8 bytes that a pong is to repeat */
    SMF_CONTROL_PONG = 2,  /* those 8 bytes */
    SMF_CONTROL_GOAWAY = 3 /* u32 why (a status), u32 the last session that will be answered */
};

#define SMF_FRAME_CREDIT_SIZE_BYTES 4          /* payload of a frame with SMF_FRAME_CREDIT */
#define SMF_FRAME_CONTROL_SIZE_BYTES 8         /* payload of a control frame, whichever it is */
#define SMF_FRAME_MESSAGE_SIZE_BYTES 4         /* in front of the first slice: the message's size */
#define SMF_FRAME_SESSION_ANY_LAST 0xffffffffu /* of a goaway: all that were sent are answered */

/* A header's fields in the machine's own byte order. */
struct smf_frame {
    uint8_t compression; /* enum smf_compression */
    uint8_t flags;       /* level 1: 0; level 2: of enum smf_frame_flag */
    uint16_t session;    /* of the call; the caller chooses it, the reply repeats it */
    uint32_t size;       /* payload bytes that follow the header */
    uint32_t checksum;   /* smf_frame_checksum or smf_frame_checksum_level2 of the payload */
    uint32_t meta;       /* request: method id; reply: status; control: enum smf_control */
};

/* What is wrong with a header. Those up to SMF_FRAME_META_ZERO are level 1's, and each the index of its
 * counter; level 2 knows neither SMF_FRAME_SIZE_ZERO nor SMF_FRAME_CHECKSUM_ZERO. */
enum smf_frame_fault {
    SMF_FRAME_GOOD = 0, /* nothing */
    SMF_FRAME_BAD_COMPRESSION =
        1,                       /* over SMF_FRAME_COMPRESSION_MAX; of credit and control: not 0 */
    SMF_FRAME_BAD_FLAGS = 2,     /* level 1: not 0; level 2: they may not stand together */
    SMF_FRAME_SIZE_ZERO = 3,     /* level 1: no payload */
    SMF_FRAME_CHECKSUM_ZERO = 4, /* level 1: 0, which it does not allow */
    SMF_FRAME_META_ZERO = 5,     /* neither a method nor a status */
    SMF_FRAME_BAD_SESSION = 6,   /* 0 of a call; not 0 where nothing is answered */
    SMF_FRAME_BAD_SIZE = 7,      /* not what the flags ask for */
    SMF_FRAME_BAD_CONTROL = 8    /* meta of a control frame is none of enum smf_control */
};

/* Reads a header from 16 bytes at any alignment. Cost: a few nanoseconds. */
void smf_frame_decode(const uint8_t *bytes, struct smf_frame *frame_out);

/* Writes a header as 16 bytes at any alignment. Cost: a few nanoseconds. */
void smf_frame_encode(const struct smf_frame *frame, uint8_t *bytes_out);

/* Says what is wrong with a header that arrived at level 1: an enum smf_frame_fault. The size limit
 * is the connection's business and not checked here. */
int smf_frame_check_level1(const struct smf_frame *frame);

/* Says what is wrong with a header that arrived at level 2, the first fault in the order of the fields: an
 * enum smf_frame_fault. What depends on the frames before (a session that is not open, a slice out of
 * place) and the size limit are the connection's business. Cost: a few nanoseconds. */
int smf_frame_check_level2(const struct smf_frame *frame);

/* The checksum of a payload at level 1: low 32 bits of XXH64 with seed 0. Cost: one pass over the bytes,
 * about 10 GB/s. */
uint32_t smf_frame_checksum(const void *payload, size_t size_bytes);

/* The checksum of a frame at level 2, which covers the header, too: low 32 bits of XXH64 of the payload,
 * seeded with the header's first 8 bytes (as a little-endian u64) XOR meta * 0x9E3779B97F4A7C15. What
 * frame->checksum holds plays no part. size_bytes is frame->size for a frame that is whole. Cost: as
 * smf_frame_checksum. */
uint32_t smf_frame_checksum_level2(const struct smf_frame *frame, const void *payload,
                                   size_t size_bytes);

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
