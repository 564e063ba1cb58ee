/* Messages of calls on their way into the core's sends, with a metadata block and flags where there are some. */
#ifndef SMF_SERVICE_SEND_H
#define SMF_SERVICE_SEND_H

#include <smf/flat_build.h>
#include <smf/level2.h>

#include "core/core.h"

/* What a message is beside its payload. */
struct smf__message {
    uint64_t conn;
    const uint8_t *block; /* metadata, of block_size bytes; NULL: none. At level 2 only */
    uint32_t block_size;
    uint32_t time_left_us; /* that the block is sent with */
    uint32_t meta;
    uint16_t session;
    uint8_t flags;       /* enum smf_frame_flag, without METADATA; at level 2 only */
    uint8_t compression; /* of the payload */
};

/* Copies a payload, which may be empty at level 2. Returns as smf_core_send; at level 2, where large
 * payloads go in slices, SMF_EINVAL is for what the connection agreed not to send. To a connection that is gone
 * everything is sent, whatever its size, and lost. */
int smf__message_send(struct smf_core *core, const struct smf__message *message,
                      const void *payload, uint32_t size);

/* The payload ends where the loan is free, and before it is room for the block and a header; sends has room,
 * too. */
int smf__message_send_in_place(struct smf_core *core, const struct smf__message *message,
                               uint32_t size);

/* As smf_core_send_built. */
int smf__message_send_built(struct smf_core *core, const struct smf__message *message,
                            struct smf_flat_builder *builder);

/* Did the core's memory not suffice for what was built? Then it may, later. */
int smf__builder_may_go_on(const struct smf_flat_builder *builder);

/* What was finished in a builder of the core's, and stays there for a while, moves to memory of its size: the loan is
 * 256 KiB. Without memory it stays where it is. */
void smf__builder_keep(struct smf_flat_builder *builder);

/* Sends what lies in a buffer of the core's, behind room for a header, without a copy if it is large: then
 * the buffer belongs to the sends, and *buffer is NULL. */
int smf__message_send_buffer(struct smf_core *core, const struct smf__message *message,
                             struct smf_buffer **buffer, uint32_t size);

#endif
