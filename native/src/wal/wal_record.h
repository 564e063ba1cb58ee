/* Records in the body of a batch (docs/wal-format.md): written one after the other into the memory that
 * the body is built in, and read in place.
 *
 *    0               4               8       10                      16
 *    +---------------+---------------+-------+-----------------------+-----------------------------
 *    | value size    | key size      | heads | time after base (s48) | value, key, padding, headers
 *    +---------------+---------------+-------+-----------------------+-----------------------------
 *
 * Pure functions; any thread. Reading is total, and lends: what it returns points into the body. */
#ifndef SMF_WAL_RECORD_H
#define SMF_WAL_RECORD_H

#include <stdint.h>

#define SMF__WAL_RECORD_HEADER_BYTES 16u
#define SMF__WAL_RECORD_MAX_BYTES (16u << 20)   /* encoded */
#define SMF__WAL_HEADERS_MAX_BYTES 524280u      /* of one record, encoded: 65535 times 8 */
#define SMF__WAL_HEADER_HEADER_BYTES 8u         /* in front of a header's name and value */
#define SMF__WAL_DELTA_MAX_US ((1ll << 47) - 1) /* between times of one batch: 4.4 years */

/* data NULL: there is none, which is not the same as an empty one. A name is never NULL when read. */
struct smf__wal_bytes {
    const uint8_t *data;
    uint32_t size;
};

struct smf__wal_record {
    struct smf__wal_bytes value; /* when read, aligned to 8 if the body is */
    struct smf__wal_bytes key;
    struct smf__wal_bytes headers; /* encoded, one after the other; data NULL or size 0: none */
    int64_t time_us;               /* since 1970 */
};

/* The bytes that a record takes in a body, a multiple of 8; 0 when it is over a limit: larger than
 * SMF__WAL_RECORD_MAX_BYTES, its time too far from base, or headers that are not a multiple of 8. */
uint32_t smf__wal_record_bytes(const struct smf__wal_record *record, int64_t base_us);

/* Writes a record, so many bytes as smf__wal_record_bytes said, which was not 0. */
void smf__wal_record_write(const struct smf__wal_record *record, int64_t base_us,
                           uint8_t *bytes_out);

/* The bytes that a record's header takes: 0 when it alone is over SMF__WAL_HEADERS_MAX_BYTES. */
uint32_t smf__wal_header_bytes(struct smf__wal_bytes name, struct smf__wal_bytes value);

/* Writes a header, so many bytes as smf__wal_header_bytes said, which was not 0. */
void smf__wal_header_write(struct smf__wal_bytes name, struct smf__wal_bytes value,
                           uint8_t *bytes_out);

/* What is left to read of a body, or of headers. The caller fills it; base_us is the batch's. */
struct smf__wal_rest {
    const uint8_t *data;
    uint64_t size;
    int64_t base_us;
};

/* Takes the next record. Returns GOOD, END, or OUT_OF_RANGE for what no writer makes. */
int smf__wal_record_next(struct smf__wal_rest *rest, struct smf__wal_record *record_out);

/* Takes the next of a record's headers. Returns GOOD, END, or OUT_OF_RANGE. */
int smf__wal_header_next(struct smf__wal_rest *rest, struct smf__wal_bytes *name_out,
                         struct smf__wal_bytes *value_out);

/* Walks over a whole body and its headers, for bodies that somebody else built: GOOD when it has so many
 * records and the latest of their times is max_us; else OUT_OF_RANGE. Cost: a few ns a record. */
int smf__wal_records_check(const uint8_t *body, uint64_t size, uint32_t count, int64_t base_us,
                           int64_t max_us);

#endif
