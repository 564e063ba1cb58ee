/* Hello, with which two peers agree on level 2 (schema/smf/hello.fbs, docs/wire.md).
 *
 * Threads: any; pure functions. Cost: of a table of seven numbers; a builder's memory, and nothing else. */
#ifndef SMF_FRAME_HELLO_H
#define SMF_FRAME_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include <smf/flat_build.h>
#include <smf/frame.h>
#include <smf/metadata.h>
#include <smf/status.h>

/* The method id of smf.Hello: service smf, method Hello, types smf::HelloRequest, smf::HelloReply. */
#define SMF__HELLO_METHOD_ID 980267836u

/* What a Hello of level 2 has to offer: a slice with everything that may stand in front of it. */
#define SMF__HELLO_CREDIT_BYTES_MIN 65536u
#define SMF__HELLO_FRAME_SIZE_BYTES_MIN                                                            \
    (SMF__HELLO_CREDIT_BYTES_MIN + SMF_METADATA_SIZE_BYTES_MAX + SMF_FRAME_MESSAGE_SIZE_BYTES)

/* What a peer offers, or what two of them agreed on. */
struct smf__hello {
    uint32_t level;        /* the highest */
    uint32_t compressions; /* bit 1 << enum smf_compression */
    uint64_t features;     /* a bit each */
    uint32_t frame_size_bytes_max;
    uint32_t calls_max; /* in flight */
    uint32_t credit_bytes;
    uint32_t reserved; /* 0 */
    uint64_t message_size_bytes_max;
};

/* Memory that a builder needs for a Hello. */
#define SMF__HELLO_SIZE_BYTES_MAX 128

/* Verifies and reads a HelloRequest or HelloReply: they have the same fields. What is absent is 0. A Hello
 * of level 2 or higher whose limits are too small for it is refused; of level 1 they are not looked at.
 * Errors: SMF_EINVAL; *error_out, unless NULL, says why, and *hello_out is zeroed. */
int smf__hello_read(const void *payload, size_t size_bytes, struct smf__hello *hello_out,
                    struct smf_error *error_out);

/* Builds a Hello, and finishes it. Returns the builder's status: SMF_ENOMEM where its memory is less than
 * SMF__HELLO_SIZE_BYTES_MAX. */
int smf__hello_write(struct smf_flat_builder *builder, const struct smf__hello *hello);

/* What a connection uses whose ends offer ours and theirs: the lower of each, the intersection of sets.
 * agreed_out may be one of them. */
void smf__hello_agree(const struct smf__hello *ours, const struct smf__hello *theirs,
                      struct smf__hello *agreed_out);

#endif
