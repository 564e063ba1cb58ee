/* Streams, and messages in slices: not spoken. A call that asks for one is refused, a frame that goes on
 * with one breaks a rule. */
#include <smf/code.h>

#include "mem/mem_count.h"
#include "rpc/rpc_level2.h"

int smf__session_emit(struct smf__conn *conn, const uint8_t *payload, struct smf_buffer *buffer)
{
    const struct smf_frame *frame = &conn->frame;

    (void)payload, (void)buffer;
    if (conn->accepted && (frame->flags & SMF_FRAME_STREAM) && !(frame->flags & SMF_FRAME_RESET)) {
        smf__put(conn,
                 (struct smf_frame){.flags = SMF_FRAME_RESET,
                                    .session = frame->session,
                                    .meta = SMF_CODE_NOT_IMPLEMENTED},
                 NULL);
        return 1;
    }
    smf__conn_finish(conn, SMF_CLOSE_BAD_STREAM, 0);
    return 0;
}

int smf__session_send(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *bytes,
                      const struct smf_frame *frame)
{
    (void)buffer, (void)bytes;
    if (!(frame->flags & SMF_FRAME_STREAM) && frame->size <= conn->agreed.frame_size_bytes_max)
        return SMF__SESSION_NONE;
    smf__count(conn->rpc->stats.frames_dropped, 1);
    return 1;
}

int smf__session_taken(struct smf__conn *conn, uint16_t session, uint32_t size_bytes)
{
    (void)conn, (void)session, (void)size_bytes;
    return SMF_OK;
}

void smf__session_forget(struct smf__conn *conn)
{
    (void)conn;
}
