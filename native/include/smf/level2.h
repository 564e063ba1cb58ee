/* Level 2 of the wire (docs/wire.md): what a driver does with a connection beside sending requests and
 * replies. A connection is of level 2 when both ends agreed on it by Hello, which the engine sends,
 * answers and checks; smf_event.level says which it is.
 *
 * What a driver owes: every SMF_EVENT_REQUEST is answered once, a cancelled one too, and one of a
 * one-way message (SMF_FRAME_ONE_WAY in its flags, session 0) by any answer to session 0, which is not
 * sent: it says that the message is no longer worked on. What SMF_EVENT_MESSAGE brought, and a message
 * that came in slices, is given back by smf_core_taken when it is used up, the oldest first: a stream
 * whose messages are not taken stops its sender, and nobody else. The session of a stream is not used
 * again in the turn that handed its SMF_EVENT_REPLY out: what is sent on it then is taken for a late message,
 * and dropped.
 *
 * The engine answers by itself, with SMF_FRAME_RESET and a status, what no handler is to see: 429 for
 * calls over in_flight_max and running_max, 503 for those that come when a drain has begun. */
#ifndef SMF_LEVEL2_H
#define SMF_LEVEL2_H

#include <stdint.h>

#include <smf/core.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_CONNECT_HELLO 1u       /* smf_core_connect_with: ask for level 2, */
#define SMF_CONNECT_ZSTD 4u        /* and offer to decompress zstd, */
#define SMF_CONNECT_LZ4 8u         /* or lz4: 1 << enum smf_compression */
#define SMF_HELLO_TIMEOUT_MS 250   /* for its answer, from when the connection is up */
#define SMF_PING_SIZE_BYTES 8      /* of the payload of SMF_EVENT_PONG */
#define SMF_GOAWAY_ALL 0xffffffffu /* last session of a goaway: all that were sent are answered */

/* What a connection may do: the lower of what both ends said in Hello, and the common bits. */
struct smf_level {
    uint32_t level;                  /* 1 or 2; at level 1 the rest is of our own settings */
    uint32_t compressions;           /* bits: 1 << enum smf_compression */
    uint64_t features;               /* bits; none is defined yet */
    uint32_t frame_size_bytes_max;   /* of a payload */
    uint32_t calls_max;              /* in flight */
    uint32_t credit_bytes;           /* with which each direction of a session begins */
    uint32_t reserved;               /* 0 */
    uint64_t message_size_bytes_max; /* of a message in slices */
};

/* As smf_core_connect, with flags. SMF_CONNECT_HELLO: Hello is the first that is sent, sends wait in
 * memory for its answer, and SMF_EVENT_CONNECTED (with level 2) comes behind it. A peer that does not
 * answer in SMF_HELLO_TIMEOUT_MS ends the connection with SMF_CLOSE_HELLO_TIMEOUT, one that closes or
 * answers anything else with SMF_CLOSE_NOT_LEVEL2: connect again without the flag.
 *
 * SMF_CONNECT_ZSTD and SMF_CONNECT_LZ4, beside it, are what whoever uses this connection decompresses: Hello
 * offers it beside smf_engine_config.compressions. What was agreed on, smf_level.compressions, is what both
 * ends offer.
 *
 * Threads, ownership, errors: as smf_core_connect; SMF_EINVAL for other flags, for compressions without
 * Hello, and for Hello when the engine's level is 1. */
int smf_core_connect_with(struct smf_core *core, const char *address, uint64_t user, uint32_t flags,
                          uint64_t *conn_out, struct smf_error *error_out);

/* What was agreed on. Returns 0, or SMF_ECLOSED for a connection that is gone. Threads: the driver.
 * Ownership: level_out is the caller's. Cost: a few nanoseconds. */
int smf_core_level(const struct smf_core *core, uint64_t conn, struct smf_level *level_out);

/* As smf_core_send, with flags (enum smf_frame_flag: METADATA, STREAM, FIN, RESET, ONE_WAY; beside them
 * SMF_SEND_MAY_PAD) and the compression of the payload. With SMF_FRAME_METADATA the payload begins with
 * the metadata block. Level 2 allows a payload of 0 bytes, and one up to message_size_bytes_max: larger
 * ones than a slice are sent in slices. A call with SMF_FRAME_ONE_WAY has session 0. A frame of a stream
 * is never joined with the send before it, because what is joined leaves in reverse order.
 *
 * On a connection of level 1 the metadata block is left out, FIN and a reply's RESET are cleared, an empty
 * payload becomes an empty table, and a frame with STREAM or ONE_WAY is dropped and counted in
 * frames_dropped.
 *
 * Returns as smf_core_send; SMF_EINVAL for other flags, and for a metadata block that is none. Threads: the driver.
 * Cost: one copy, no system call. */
int smf_core_send_with(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t meta,
                       uint8_t flags, uint8_t compression, const void *payload,
                       uint32_t size_bytes);

/* Gives a call up that was sent on a connection that we opened; status says why (SMF_CODE_CANCELLED,
 * SMF_CODE_DEADLINE). The peer ends it all the same: session is in use until its SMF_EVENT_REPLY. Returns
 * 0, SMF_ECLOSED (gone), SMF_EINVAL (one that we accepted, session or status 0), SMF_EUNSUPPORTED (level
 * 1), SMF_ELIMIT or SMF_ENOMEM (poll, and try again). Threads: the driver. Cost: a frame of 16 bytes. */
int smf_core_cancel(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t status);

/* A message of a stream, or one that came in slices, is used up: its sender may send as many bytes more.
 * size_bytes is what its event said. Returns 0, SMF_ECLOSED when the connection is gone, or SMF_EINVAL
 * for more than was handed out. Threads: the driver. Cost: a few nanoseconds, sometimes a small frame. */
int smf_core_taken(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t size_bytes);

/* May more be sent on session? 1: of what was sent nothing waits here, neither for the peer's credit nor
 * for the transport; also when there is no such stream any more. 0: something does, and SMF_EVENT_WRITABLE
 * follows, unless the stream ends. What was sent since the last poll does not count. Threads: the driver.
 * Cost: a few nanoseconds. */
int smf_core_writable(const struct smf_core *core, uint64_t conn, uint16_t session);

/* The part of smf_core_unsent_bytes that is in streams and messages in slices, and waits for their credit or
 * their turn: it does not hold up what else is sent on the connection. 0 for one that is gone. Threads: the
 * driver. Errors: none. Cost: none. */
uint64_t smf_core_queued_bytes(const struct smf_core *core, uint64_t conn);

/* Pings of a connection that are not answered: a peer may take more for a flood, and what it does not read
 * waits in memory. */
#define SMF_PINGS_MAX 1024

/* Asks the peer for a sign of life: SMF_EVENT_PONG brings the token back. Returns 0, SMF_ECLOSED (gone),
 * SMF_EUNSUPPORTED (level 1, or not agreed yet) or SMF_ELIMIT (SMF_PINGS_MAX of them are not answered: wait
 * for a pong, or give the connection up). Threads: the driver. Cost: a system call. */
int smf_core_ping(struct smf_core *core, uint64_t conn, uint64_t token);

/* Tells the peer to call nothing more on this connection, of either direction; what is in flight goes
 * on. A drain says it by itself, to all. why: a status, SMF_CODE_UNAVAILABLE as a rule. Returns as
 * smf_core_ping. Threads: the driver. Cost: a system call. */
int smf_core_goaway(struct smf_core *core, uint64_t conn, uint32_t why);

#ifdef __cplusplus
}
#endif
#endif
