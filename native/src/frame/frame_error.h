/* The table that a reply of level 2 carries whose status is not 200 (schema/smf/error.fbs, docs/wire.md).
 *
 * Threads: any; pure functions. Cost: of a small table. */
#ifndef SMF_FRAME_ERROR_H
#define SMF_FRAME_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <smf/flat.h>
#include <smf/flat_build.h>
#include <smf/flat_verify.h>

/* Why a call failed. What was read points into the payload. */
struct smf__error {
    struct smf_flat_string message;      /* for people; data is never NULL */
    struct smf_flat_vector details;      /* for programs: bytes; data may be NULL */
    struct smf_flat_string details_type; /* the full name of a table, or whatever both sides know */
    uint32_t retry_after_ms;             /* when it is worth another try; 0: nothing is known */
    bool may_have_run;                   /* false: no handler has begun with the call */
};

/* Memory that a builder needs for an error besides its message, details and details_type. */
#define SMF__ERROR_SIZE_BYTES_MAX 96

/* Verifies and reads an Error; an empty payload is one that says nothing. Errors: SMF_EINVAL for what is
 * no Error; *problem_out, unless NULL, says why, and *error_out then says nothing: no texts, and that the
 * call may have run. */
int smf__error_read(const void *payload, size_t size_bytes, struct smf__error *error_out,
                    struct smf_flat_error *problem_out);

/* Builds an Error, and finishes it; empty fields are left out. Returns the builder's status. */
int smf__error_write(struct smf_flat_builder *builder, const struct smf__error *error);

#endif
