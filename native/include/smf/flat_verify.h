/* Checks that bytes from the network are a well-formed FlatBuffer of a table, so that the accessors of
 * generated code, which check nothing, can read all of it. smfc writes the descriptions of the tables;
 * nobody needs to write one by hand.
 *
 * What a successful check promises: every offset that the accessors follow stays inside the payload,
 * every string and vector fits into it, strings end with a zero byte, required fields are there,
 * everything is aligned relative to the payload's first byte, and both the depth and the amount of data
 * that a walk over all fields sees are bounded. What it does not look at: whether a string is UTF-8,
 * whether an enum has a known value, whether a sorted vector is sorted, deprecated fields, and bytes that
 * no known field leads to. The Go package flatverify says the same of every payload. */
#ifndef SMF_FLAT_VERIFY_H
#define SMF_FLAT_VERIFY_H

#include <stddef.h>
#include <stdint.h>

#include <smf/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits of one payload. */
#define SMF_FLAT_DEPTH_MAX 64                 /* how deep tables may nest; the root is at depth 1 */
#define SMF_FLAT_TABLES_MAX 1000000           /* how many a walk may visit; twice is two */
#define SMF_FLAT_SIZE_MAX_BYTES 0x7fffffffu   /* offsets are of 31 bits */
#define SMF_FLAT_REACH_FACTOR 8               /* a walk may see so many times the payload, */
#define SMF_FLAT_REACH_FLOOR_BYTES (64 << 20) /* and so many bytes */

/* What a field holds. Of a union, the byte in the slot before says which member it is; its table lists the
 * members as fields that have that byte as slot, and are of the kinds table, string or inline. What a byte
 * that is not listed says is not looked at, as long as the offset leads into the payload: no accessor can
 * read it. */
enum smf_flat_kind {
    SMF_FLAT_INLINE = 1,        /* a scalar, an enum or a struct, size bytes in the table itself */
    SMF_FLAT_STRING = 2,        /* an offset to a zero-terminated string */
    SMF_FLAT_TABLE = 3,         /* an offset to a table */
    SMF_FLAT_INLINE_VECTOR = 4, /* an offset to a vector of what is size bytes each */
    SMF_FLAT_STRING_VECTOR = 5, /* an offset to a vector of strings */
    SMF_FLAT_TABLE_VECTOR = 6,  /* an offset to a vector of tables */
    SMF_FLAT_NESTED = 7, /* an offset to a vector of bytes that are a FlatBuffer of their own */
    SMF_FLAT_UNION = 8,  /* an offset to a member of a union */
    SMF_FLAT_UNION_VECTOR = 9 /* an offset to a vector of those; the slot before has one of bytes */
};

/* One field of a table. */
struct smf_flat_field {
    const char *name;                   /* for error texts */
    const struct smf_flat_table *table; /* of the kinds that have one; else NULL */
    uint32_t size_bytes;                /* of inline and inline vector elements, at least 1 */
    uint16_t slot;       /* byte offset of the field's entry in the vtable: 4, 6, 8, … */
    uint8_t kind;        /* enum smf_flat_kind */
    uint8_t align;       /* of inline and inline vector elements: a power of two */
    uint8_t required;    /* 1: a table without it is malformed */
    uint8_t reserved[3]; /* 0 */
};

/* One table. Tables point to each other, and may contain themselves. */
struct smf_flat_table {
    const char *name;                    /* for error texts */
    const struct smf_flat_field *fields; /* [field_count] */
    uint32_t field_count;                /* how many */
    uint32_t reserved;                   /* 0 */
};

/* What is wrong with a payload, and where. */
struct smf_flat_error {
    const char *table;   /* name of the table; static storage, as are the other two */
    const char *field;   /* name of the field; "" where the table itself is wrong */
    const char *problem; /* a short sentence without position */
    uint32_t position;   /* in bytes from the payload's beginning */
};

/* Checks that payload is a FlatBuffer whose root is such a table. Returns SMF_OK, or SMF_EINVAL with
 * *error_out filled (NULL: nobody wants to know).
 *
 * Threads: any. Ownership: nothing is kept. Errors: SMF_EINVAL alone. Cost: proportional to what the
 * payload holds; no allocation; recursion is bounded by SMF_FLAT_DEPTH_MAX. */
int smf_flat_verify(const struct smf_flat_table *table, const void *payload, size_t size_bytes,
                    struct smf_flat_error *error_out);

/* Writes one line, "Request.name: string runs past the payload's end (at byte 20)", cut short where
 * text_out is too small, and terminated. Threads: any. Ownership: text_out is the caller's. Errors:
 * none. */
void smf_flat_error_text(const struct smf_flat_error *error, char *text_out, size_t size_bytes);

#ifdef __cplusplus
}
#endif
#endif
