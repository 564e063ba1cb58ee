/* The rules of a session with a stream or slices. */
#include "rpc/rpc_flow.h"

#include <string.h>

#define GIVE_DIVISOR 4u  /* credit goes back by a window / this at least */
#define SLICE_DIVISOR 2u /* no frame needs more credit than a window / this */

void smf__flow_open(struct smf__flow *flow, uint32_t role, uint32_t stream, uint32_t window,
                    uint32_t slice_max)
{
    memset(flow, 0, sizeof *flow);
    flow->role = (uint8_t)role;
    flow->stream = (uint8_t)stream;
    flow->window = flow->credit = flow->room = window;
    flow->slice_max = slice_max < window / SLICE_DIVISOR ? slice_max : window / SLICE_DIVISOR;
}

void smf__flow_request_is_over(struct smf__flow *flow)
{
    if (flow->role == SMF__FLOW_CALLER)
        flow->out = SMF__FLOW_ENDED;
    else
        flow->in = SMF__FLOW_ENDED;
}

/* Whether a direction ends with a message that has these flags. */
static int ends(const struct smf__flow *flow, uint32_t of_role, uint32_t flags)
{
    if (flags & SMF_FRAME_FIN)
        return 1;
    return of_role == SMF__FLOW_CALLER ? !flow->stream : !(flags & SMF_FRAME_STREAM);
}

/* The callee's caller gave up: only what ends the call is still sent. */
static int is_unwanted(const struct smf__flow *flow, uint32_t flags)
{
    return flow->role == SMF__FLOW_CALLEE && flow->in == SMF__FLOW_RESET &&
           !ends(flow, SMF__FLOW_CALLEE, flags);
}

static void end_out(struct smf__flow *flow)
{
    flow->out = SMF__FLOW_ENDED;
    flow->out_size = flow->out_done = 0;
}

/* A message in one frame. */
static int send_whole(struct smf__flow *flow, uint32_t size, uint32_t flags,
                      struct smf__flow_slice *slice)
{
    uint32_t cost = flow->out_torn || !(flags & SMF_FRAME_STREAM) ? 0 : size;

    if (flow->credit < cost)
        return SMF__FLOW_WAIT;
    flow->credit -= cost;
    slice->size = size;
    slice->done = 1;
    slice->flags = (uint8_t)(flags & (SMF_FRAME_STREAM | SMF_FRAME_FIN));
    if (flow->out_torn) /* the peer waits for the rest of a message */
        slice->flags = SMF_FRAME_RESET;
    if (ends(flow, flow->role, flags))
        end_out(flow);
    return SMF__FLOW_SEND;
}

static int send_slice(struct smf__flow *flow, uint32_t size, uint32_t flags,
                      struct smf__flow_slice *slice)
{
    uint32_t prefix = flow->out_size == 0 ? SMF__FLOW_PREFIX_SIZE_BYTES : 0;
    uint32_t left = size - flow->out_done;
    uint32_t most = flow->slice_max - prefix;

    slice->size = left < most ? left : most;
    if (flow->credit < slice->size + prefix)
        return SMF__FLOW_WAIT;
    flow->credit -= slice->size + prefix;
    slice->prefix = prefix;
    slice->offset = flow->out_done;
    slice->flags = (uint8_t)(flags & SMF_FRAME_STREAM);
    slice->done = slice->size == left;
    flow->out_size = size;
    flow->out_done += slice->size;
    if (!slice->done) {
        slice->flags |= SMF_FRAME_MORE;
        return SMF__FLOW_SEND;
    }
    slice->flags |= (uint8_t)(flags & SMF_FRAME_FIN);
    flow->out_size = flow->out_done = 0;
    if (ends(flow, flow->role, flags))
        end_out(flow);
    return SMF__FLOW_SEND;
}

int smf__flow_send(struct smf__flow *flow, uint32_t size, uint32_t flags,
                   struct smf__flow_slice *slice_out)
{
    memset(slice_out, 0, sizeof *slice_out);
    if (flow->out != SMF__FLOW_OPEN || is_unwanted(flow, flags))
        return SMF__FLOW_DROP;
    if (flow->out_size == 0 && (size <= flow->slice_max || flow->out_torn))
        return send_whole(flow, size, flags, slice_out);
    return send_slice(flow, size, flags, slice_out);
}

int smf__flow_reset(struct smf__flow *flow)
{
    if (flow->role == SMF__FLOW_CALLEE) {
        if (flow->out != SMF__FLOW_OPEN)
            return 0;
        end_out(flow);
        smf__flow_discard(flow);
        return 1;
    }
    if (flow->out == SMF__FLOW_RESET || smf__flow_over(flow))
        return 0;
    end_out(flow);
    flow->out = SMF__FLOW_RESET;
    smf__flow_discard(flow);
    return 1;
}

/* Whether slices go back when they are in place. */
static int waits(const struct smf__flow *flow)
{
    return flow->untaken != 0 || flow->holds;
}

/* What has come of the message that is put together, and waits. */
static uint32_t held(const struct smf__flow *flow)
{
    return waits(flow) ? flow->in_done : 0;
}

void smf__flow_hold(struct smf__flow *flow)
{
    flow->holds = !flow->discards;
}

void smf__flow_release(struct smf__flow *flow)
{
    uint32_t waited = held(flow);

    flow->holds = 0;
    flow->owed += waited - held(flow);
}

void smf__flow_discard(struct smf__flow *flow)
{
    flow->owed += (uint32_t)(flow->untaken - flow->discount) + held(flow);
    flow->untaken = flow->discount = 0;
    flow->holds = 0;
    flow->discards = 1;
}

void smf__flow_taken(struct smf__flow *flow, uint64_t size_bytes)
{
    uint64_t given;

    if (size_bytes > flow->untaken)
        size_bytes = flow->untaken;
    if (size_bytes == 0)
        return;
    given = size_bytes < flow->discount ? size_bytes : flow->discount;
    flow->discount -= given;
    flow->untaken -= size_bytes;
    flow->owed += (uint32_t)(size_bytes - given);
    if (!waits(flow))
        flow->owed += flow->in_done;
}

int smf__flow_must_give(const struct smf__flow *flow)
{
    if (flow->in != SMF__FLOW_OPEN ||
        (flow->role == SMF__FLOW_CALLEE && flow->out != SMF__FLOW_OPEN))
        return 0;
    return flow->owed >= flow->window / GIVE_DIVISOR;
}

uint32_t smf__flow_give(struct smf__flow *flow)
{
    uint32_t given = flow->owed;

    if (!smf__flow_must_give(flow))
        return 0;
    flow->owed = 0;
    flow->room += given;
    return given;
}

int smf__flow_credit(struct smf__flow *flow, uint32_t size_bytes)
{
    if (size_bytes == 0 || size_bytes > flow->window - flow->credit)
        return SMF__FLOW_BAD_CREDIT;
    flow->credit += size_bytes;
    return SMF__FLOW_GOOD;
}

/* The peer's direction is over. */
static void end_in(struct smf__flow *flow, uint32_t state, struct smf__flow_step *step)
{
    flow->in = (uint8_t)state;
    step->meaning |= SMF__FLOW_FIN;
    if (flow->role == SMF__FLOW_CALLEE)
        return;
    step->meaning |= SMF__FLOW_LAST;
    if (flow->out == SMF__FLOW_OPEN)
        step->meaning |= SMF__FLOW_MUST_RESET;
}

static int receive_reset(struct smf__flow *flow, uint32_t flags, struct smf__flow_step *step)
{
    int from_caller = flow->role == SMF__FLOW_CALLEE;

    if (from_caller ? flow->in == SMF__FLOW_RESET : flow->in != SMF__FLOW_OPEN)
        return SMF__FLOW_AFTER_END;
    if (flags & SMF_FRAME_MORE)
        return SMF__FLOW_BAD_FLAGS;
    end_in(flow, from_caller ? SMF__FLOW_RESET : SMF__FLOW_ENDED, step);
    if (!from_caller && flow->in_size != 0)
        step->meaning |= SMF__FLOW_TORN;
    flow->in_size = flow->in_done = flow->holds = 0;
    if (!from_caller || flow->out != SMF__FLOW_OPEN)
        return SMF__FLOW_GOOD;
    step->meaning |= SMF__FLOW_CANCEL;
    flow->out_torn = flow->out_size != 0;
    flow->out_size = flow->out_done = 0;
    return SMF__FLOW_GOOD;
}

static int check_flags(const struct smf__flow *flow, uint32_t flags)
{
    uint32_t stream = (flags & SMF_FRAME_STREAM) != 0;

    if ((flags & SMF_FRAME_FIN) && ((flags & SMF_FRAME_MORE) || !stream))
        return SMF__FLOW_BAD_FLAGS;
    if (stream && !flow->stream)
        return SMF__FLOW_BAD_FLAGS;
    if (!stream && flow->stream && flow->role == SMF__FLOW_CALLEE)
        return SMF__FLOW_BAD_FLAGS;
    if (flow->in_size != 0 && stream == flow->in_plain)
        return SMF__FLOW_BAD_FLAGS;
    return SMF__FLOW_GOOD;
}

/* Whether the sizes of a frame and of the message in slices go together. */
static int check_slice(const struct smf__flow *flow, const struct smf__flow_frame *frame)
{
    uint32_t more = (frame->flags & SMF_FRAME_MORE) != 0;
    uint32_t left = flow->in_size - flow->in_done, size = frame->size;

    if (flow->in_size == 0) {
        if (size <= SMF__FLOW_PREFIX_SIZE_BYTES)
            return SMF__FLOW_BAD_SLICES;
        size -= SMF__FLOW_PREFIX_SIZE_BYTES;
        left = frame->whole_size;
    }
    if (size == 0 || size > left || (size == left) == more)
        return SMF__FLOW_BAD_SLICES;
    return SMF__FLOW_GOOD;
}

/* A slice that keeps the rules. The bytes of those before the last are used up when they are in place, if
 * nothing older waits for the application. */
static void receive_slice(struct smf__flow *flow, const struct smf__flow_frame *frame,
                          struct smf__flow_step *step)
{
    step->size = frame->size;
    step->offset = flow->in_done;
    if (flow->in_size == 0) {
        flow->in_size = frame->whole_size;
        flow->in_plain = !(frame->flags & SMF_FRAME_STREAM);
        flow->owed += SMF__FLOW_PREFIX_SIZE_BYTES;
        step->size -= SMF__FLOW_PREFIX_SIZE_BYTES;
    }
    flow->in_done += step->size;
    if (flow->discards) {
        flow->owed += step->size;
        step->meaning = SMF__FLOW_THROWN;
    } else {
        step->meaning = SMF__FLOW_PLACE;
    }
    if (frame->flags & SMF_FRAME_MORE) {
        if (!flow->discards && !waits(flow))
            flow->owed += step->size;
        return;
    }
    if (!flow->discards) {
        step->meaning |= SMF__FLOW_MESSAGE;
        if (flow->untaken == 0)
            flow->discount = step->offset;
        flow->untaken += flow->in_size;
    }
    flow->in_size = flow->in_done = 0;
}

static void receive_whole(struct smf__flow *flow, const struct smf__flow_frame *frame,
                          uint32_t cost, struct smf__flow_step *step)
{
    step->size = frame->size;
    if (frame->size == 0 && (frame->flags & SMF_FRAME_STREAM))
        return; /* no message */
    if (flow->discards) {
        flow->owed += cost;
        step->meaning = SMF__FLOW_THROWN;
        return;
    }
    flow->untaken += cost;
    step->meaning = SMF__FLOW_MESSAGE;
}

int smf__flow_receive(struct smf__flow *flow, const struct smf__flow_frame *frame,
                      struct smf__flow_step *step_out)
{
    uint32_t flags = frame->flags, cost = 0;
    int sliced = flow->in_size != 0 || (flags & SMF_FRAME_MORE), fault;

    memset(step_out, 0, sizeof *step_out);
    if (flags & SMF_FRAME_RESET)
        return receive_reset(flow, flags, step_out);
    if (flow->in != SMF__FLOW_OPEN)
        return SMF__FLOW_AFTER_END;
    fault = check_flags(flow, flags);
    if (fault == SMF__FLOW_GOOD && sliced)
        fault = check_slice(flow, frame);
    if (fault != SMF__FLOW_GOOD)
        return fault;
    if (sliced || (flags & SMF_FRAME_STREAM))
        cost = frame->size;
    if (cost > flow->room)
        return SMF__FLOW_NO_CREDIT;
    flow->room -= cost;
    if (sliced)
        receive_slice(flow, frame, step_out);
    else
        receive_whole(flow, frame, cost, step_out);
    if (!(flags & SMF_FRAME_MORE) &&
        ends(flow, flow->role == SMF__FLOW_CALLER ? SMF__FLOW_CALLEE : SMF__FLOW_CALLER, flags))
        end_in(flow, SMF__FLOW_ENDED, step_out);
    return SMF__FLOW_GOOD;
}
