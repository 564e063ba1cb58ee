/* The metadata block of a frame at level 2 (docs/wire.md): a deadline and named values, in front of the
 * message.
 *
 *    0               4               8
 *    +---------------+---------------+---------------------------------------------+--------
 *    | size  u32     | time left u32 | key size u16, value size u16, key, value … | zeros
 *    +---------------+---------------+---------------------------------------------+--------
 *
 * The size is that of the whole block, a multiple of 8; the zeros, 0 to 7 of them, fill it up. A key has
 * lower-case ASCII letters, digits, '-', '_' and '.', and may occur several times: order is kept. A
 * value is any bytes, or none.
 *
 *     struct smf_metadata_writer writer;
 *     uint8_t memory[256];
 *     uint32_t size_bytes;
 *     smf_metadata_begin(&writer, memory, sizeof(memory), 250000);
 *     smf_metadata_add(&writer, "traceparent", 11, text, text_size);
 *     if (smf_metadata_end(&writer, &size_bytes) == SMF_OK) …
 *
 * Threads: any; a writer is used by one at a time. Ownership: the memory is the caller's, and what is read
 * points into it. Cost: one pass over the block; no allocation. */
#ifndef SMF_METADATA_H
#define SMF_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <smf/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_METADATA_SIZE_BYTES_MIN 8       /* a block without entries */
#define SMF_METADATA_SIZE_BYTES_MAX 16384   /* of a whole block */
#define SMF_METADATA_KEY_SIZE_BYTES_MAX 255 /* and at least 1 */

/* What is wrong with a block. */
enum smf_metadata_fault {
    SMF_METADATA_GOOD = 0,       /* nothing */
    SMF_METADATA_TRUNCATED = 1,  /* the payload ends before the block does */
    SMF_METADATA_BAD_SIZE = 2,   /* no multiple of 8, too small, or over the limit */
    SMF_METADATA_BAD_ENTRY = 3,  /* an entry runs past the block's end */
    SMF_METADATA_BAD_KEY = 4,    /* an empty key, one over the limit, or with other characters */
    SMF_METADATA_BAD_PADDING = 5 /* more than 7 bytes behind the last entry, or not zeros */
};

/* A block that was read. One of zeros is no block: without deadline and entries. */
struct smf_metadata {
    const uint8_t *bytes; /* the block's first */
    uint32_t size_bytes;  /* of the block: the message begins behind */
    uint32_t end_bytes;   /* where the last entry ends */
    uint32_t deadline_us; /* time that was left when it was sent; 0: no deadline */
};

/* One entry of a block. */
struct smf_metadata_entry {
    const char *key;           /* no zero byte behind it */
    const uint8_t *value;      /* any bytes; no zero byte behind them */
    uint16_t key_size_bytes;   /* 1 to SMF_METADATA_KEY_SIZE_BYTES_MAX */
    uint16_t value_size_bytes; /* may be 0 */
};

/* Reads the block that a payload of size_bytes begins with, and checks all of it. Returns an enum
 * smf_metadata_fault; *block_out is filled when it is SMF_METADATA_GOOD, else zeroed. */
int smf_metadata_read(const void *payload, size_t size_bytes, struct smf_metadata *block_out);

/* What a fault is called, "bad key". Ownership: static storage. Errors: "unknown fault". */
const char *smf_metadata_fault_name(int fault);

/* Goes from entry to entry of a block that was read: *cursor is 0 for the first. Returns false behind the
 * last one. */
bool smf_metadata_next(const struct smf_metadata *block, uint32_t *cursor,
                       struct smf_metadata_entry *entry_out);

/* Finds the first entry with a key. Returns false when there is none; *entry_out is then as before. */
bool smf_metadata_find(const struct smf_metadata *block, const char *key, size_t key_size_bytes,
                       struct smf_metadata_entry *entry_out);

/* A block that is being written. Nobody but the functions below looks inside. */
struct smf_metadata_writer {
    uint8_t *bytes;      /* the caller's memory */
    uint32_t size_bytes; /* of it that may be used */
    uint32_t used_bytes; /* of it that are used */
    int limit_status;    /* what it means when that is too small */
    int status;          /* of the first error, or SMF_OK */
};

/* Begins a block in memory of size_bytes, of which SMF_METADATA_SIZE_BYTES_MAX at most are used.
 * deadline_us: the time that is left, 0 for no deadline; more than a u32 holds (71 minutes) is sent as
 * none, since less would end the call before its time. Errors: told by smf_metadata_end. */
void smf_metadata_begin(struct smf_metadata_writer *writer, void *memory, size_t size_bytes,
                        uint64_t deadline_us);

/* Adds an entry; both parts are copied. After an error nothing more is added. Errors, which
 * smf_metadata_end repeats: SMF_EINVAL (not a key), SMF_ELIMIT (over the limits of a block), SMF_ENOMEM
 * (the memory is too small). */
int smf_metadata_add(struct smf_metadata_writer *writer, const char *key, size_t key_size_bytes,
                     const void *value, size_t value_size_bytes);

/* Ends the block, and says how large it is: a multiple of 8. Returns the first error of all that was done
 * since smf_metadata_begin; then the size is 0, and the memory holds nothing of use. */
int smf_metadata_end(struct smf_metadata_writer *writer, uint32_t *size_bytes_out);

#ifdef __cplusplus
}
#endif
#endif
