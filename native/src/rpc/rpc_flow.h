/* The rules of one session at level 2 that has a stream, or a message in slices: who may send how much,
 * in which pieces, until when; what a frame that arrived means, or which rule it breaks; when credit goes
 * back (docs/wire.md, docs/decisions/0014-level-2-in-the-engine.md).
 *
 * Each end of the session has one struct smf__flow and tells it of everything that it sends, receives and
 * takes. Pure: no I/O, no clock, no memory but the struct. Sizes are payload bytes as on the wire, without
 * metadata blocks.
 *
 * Credit. Each direction begins with window bytes. Slices and stream frames spend it; a message that is
 * not of a stream and goes in one frame is free, and so is a reset. The receiver knows where each byte of
 * its window is:
 *
 *     window = room + owed + (untaken - discount) + held
 *
 * room: the peer may send it. owed: used up, goes back in quarters of the window at least. untaken:
 * messages that the application has, or is to get; discount: the part of the oldest one that went back
 * while it was put together. held: what has come of the message that is being put together, while an
 * earlier one is not taken, or its memory is awaited (else these bytes are owed, all but the last slice's).
 *
 * So a sender that has nothing to send but what needs at most window / 2 is never stuck, if the peer's
 * application takes what it gets: less than a quarter of the window stays owed. That is why messages
 * are cut when they are larger than half a window, whatever the largest slice is.
 *
 * Ends. The caller's direction ends with fin, with the only message of a call that is no stream, or with a
 * reset (cancel, also after fin). The other one ends with the last frame: fin, a frame without stream, or
 * a reset. Nothing but credit follows an end, and nothing at all the last frame. A caller that gets the
 * last frame while its own direction is open ends that with a reset: only then may both forget the session.
 *
 * Threads: the owner's. Cost: a few nanoseconds. */
#ifndef SMF_RPC_FLOW_H
#define SMF_RPC_FLOW_H

#include <stdint.h>

#include <smf/frame.h>

#define SMF__FLOW_PREFIX_SIZE_BYTES SMF_FRAME_MESSAGE_SIZE_BYTES /* counts for the credit */
#define SMF__FLOW_WINDOW_MIN_BYTES 16u /* with less, slices of half a window would carry nothing */

enum smf__flow_role {
    SMF__FLOW_CALLER, /* the end that opened the session */
    SMF__FLOW_CALLEE  /* the one that answers */
};

/* A direction. */
enum smf__flow_state {
    SMF__FLOW_OPEN,
    SMF__FLOW_ENDED, /* in the ordinary way */
    SMF__FLOW_RESET  /* the caller's: it gave up */
};

struct smf__flow {
    uint32_t window;    /* bytes that each direction began with */
    uint32_t slice_max; /* most bytes in a frame that is counted; <= window / 2 */

    /* What this end sends. */
    uint32_t credit; /* bytes that the peer takes now; <= window */
    uint32_t out_size;
    uint32_t out_done; /* of out_size bytes of a message in slices; both 0 between messages */

    /* What it receives. */
    uint32_t room; /* bytes that the peer may send now */
    uint32_t owed; /* used up, not given back yet */
    uint32_t in_size;
    uint32_t in_done;  /* of in_size bytes of a message in slices; both 0 between messages */
    uint64_t untaken;  /* bytes of complete messages that the application has not taken */
    uint64_t discount; /* of the oldest one of these: what was given back already; <= untaken */

    uint8_t role;     /* enum smf__flow_role */
    uint8_t stream;   /* 1: further messages may follow the first, both ways */
    uint8_t out, in;  /* enum smf__flow_state */
    uint8_t out_torn; /* a message was left unfinished: only a reset may be sent */
    uint8_t in_plain; /* the message in slices has no stream bit */
    uint8_t discards; /* what comes is thrown away, and counts as taken */
    uint8_t holds;    /* the message in slices waits for memory */
};

/* Begins a session: nothing sent, nothing received. slice_max: cut to half a window. */
void smf__flow_open(struct smf__flow *flow, uint32_t role, uint32_t stream, uint32_t window,
                    uint32_t slice_max);

/* The request of a call that is no stream went in one frame, before there was a flow: its reply comes, or
 * goes, in slices. */
void smf__flow_request_is_over(struct smf__flow *flow);

/* Both directions have ended: the session may be forgotten, and be used again. */
static inline int smf__flow_over(const struct smf__flow *flow)
{
    return flow->in != SMF__FLOW_OPEN && flow->out != SMF__FLOW_OPEN;
}

/* Sending. */

enum smf__flow_sending {
    SMF__FLOW_SEND, /* the frame is to be sent; it is accounted for */
    SMF__FLOW_WAIT, /* for credit */
    SMF__FLOW_DROP  /* nobody wants it any more: this direction has ended, or the caller gave up */
};

/* The next frame of a message: a part of it, in most cases all. */
struct smf__flow_slice {
    uint32_t offset; /* in the message */
    uint32_t size;   /* bytes of the message */
    uint32_t prefix; /* bytes before them: 4 for the message's size, or 0 */
    uint8_t flags;   /* enum smf_frame_flag: STREAM, MORE, FIN, RESET */
    uint8_t done;    /* 1: the message's last frame */
};

/* Sends on: a message of size bytes that was not begun, or the one that was. size 0: none, but what
 * flags say. flags: STREAM, FIN of the message; the same for each of its frames. Returns enum
 * smf__flow_sending, and, to SEND, what the frame is. */
int smf__flow_send(struct smf__flow *flow, uint32_t size, uint32_t flags,
                   struct smf__flow_slice *slice_out);

/* Abandons the session. Returns 1 if a reset is to be sent, 0 if there is nothing left to abandon. The
 * caller's: its direction ends, and what comes is thrown away until the last frame. The callee's: this is
 * the last frame; what comes is thrown away until the caller ends its direction. */
int smf__flow_reset(struct smf__flow *flow);

/* Receiving. */

enum smf__flow_fault { /* a rule that the peer broke: the connection can't be trusted */
                       SMF__FLOW_GOOD,
                       SMF__FLOW_NO_CREDIT,  /* more bytes than it may send */
                       SMF__FLOW_BAD_CREDIT, /* none, or more than the window */
                       SMF__FLOW_AFTER_END,  /* a frame after fin, reset or the last one */
                       SMF__FLOW_BAD_FLAGS, /* that don't go with the session, or with each other */
                       SMF__FLOW_BAD_SLICES, /* not the size that the first one told; or empty */
                       SMF__FLOW_FAULTS
};

enum smf__flow_meaning { /* of a frame; or-ed */
                         SMF__FLOW_PLACE =
                             1, /* its bytes belong to offset of the message in slices */
                         SMF__FLOW_MESSAGE = 2, /* the message is complete */
                         SMF__FLOW_FIN = 4,     /* the peer sends nothing more */
                         SMF__FLOW_LAST =
                             8, /* caller: the call is over; with a reset, or with what the frame brings */
                         SMF__FLOW_CANCEL =
                             16, /* callee: the caller gave up; the call is still to be answered */
                         SMF__FLOW_MUST_RESET =
                             32, /* caller: smf__flow_reset is due, since the call is over */
                         SMF__FLOW_THROWN = 64, /* a message's bytes that are thrown away */
                         SMF__FLOW_TORN =
                             128 /* caller: LAST, in the middle of a message: a handler has answered */
};

struct smf__flow_frame {
    uint32_t flags;      /* enum smf_frame_flag; not CREDIT */
    uint32_t size;       /* payload bytes without a metadata block */
    uint32_t whole_size; /* of a first slice: what its first four bytes say */
};

struct smf__flow_step {
    uint32_t meaning; /* enum smf__flow_meaning */
    uint32_t offset;  /* of PLACE: where in the message */
    uint32_t size; /* of PLACE, MESSAGE: bytes of the message in this frame, without the prefix */
};

/* Is this frame the first slice of a message? Then it has the prefix. */
static inline int smf__flow_begins_slices(const struct smf__flow *flow, uint32_t flags)
{
    return flow->in_size == 0 && (flags & SMF_FRAME_MORE) != 0;
}

/* A frame came. Returns enum smf__flow_fault; what it means is in *step_out if it is good. */
int smf__flow_receive(struct smf__flow *flow, const struct smf__flow_frame *frame,
                      struct smf__flow_step *step_out);

/* The peer takes so many bytes more. Returns enum smf__flow_fault. */
int smf__flow_credit(struct smf__flow *flow, uint32_t size_bytes);

/* The application has used up so many bytes of what it got, the oldest first; more than there is: all. */
void smf__flow_taken(struct smf__flow *flow, uint64_t size_bytes);

/* There is memory for no more than a window of the message in slices that begins now: none of it goes back
 * before smf__flow_release. The message is larger than a window. */
void smf__flow_hold(struct smf__flow *flow);
void smf__flow_release(struct smf__flow *flow);

/* What came, and what will come, is thrown away: it counts as taken. */
void smf__flow_discard(struct smf__flow *flow);

/* Credit that is to be sent now, and is accounted for; or 0. */
uint32_t smf__flow_give(struct smf__flow *flow);

/* Is there any, to be sent now? */
int smf__flow_must_give(const struct smf__flow *flow);

#endif
