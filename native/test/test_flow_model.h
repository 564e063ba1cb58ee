/* One session, with all that can happen to it: two ends with the rules of rpc_flow.h, a channel each way that
 * holds a few frames, and applications that send what a script says, take what they got whenever they like,
 * give up or answer early. test_flow_explore.h visits every state that can be reached. In each
 *
 *   - no byte of a window is lost, made up or spent twice, and no frame breaks a rule of its receiver;
 *   - bytes arrive once and in order, and nothing is sent behind an end;
 *   - there is exactly one last frame, and behind it the session can be used again;
 *   - something can happen until both ends are done. Since no state comes back to itself (checked), every
 *     way of going on ends, and ends there. */
#ifndef SMF_TEST_FLOW_MODEL_H
#define SMF_TEST_FLOW_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "rpc/rpc_flow.h"
#include "test.h"

#define MODEL_MESSAGES_MAX 4
#define MODEL_CHANNEL_MAX 4
#define MODEL_TRACE_MAX 200
#define MODEL_KINDS_MAX 4096
#define MODEL_SLICE_MAX 64 /* more than half of any script's window */

/* Sizes are in units: bytes of the model; the engine's tests multiply them. */
struct model_script {
    const char *name;
    uint8_t window;
    uint8_t channel; /* frames that a channel holds */
    uint8_t stream;
    uint8_t plain_request; /* one frame, before there was a flow */
    uint8_t fin_with_last; /* the caller's last message has fin; else a frame of its own */
    uint8_t counts[2];     /* messages: the caller's; the callee's before its last frame */
    uint8_t sizes[2][MODEL_MESSAGES_MAX];
    uint8_t last_size; /* of the callee's last frame; a stream's may be 0: no message */
    uint8_t may_cancel, may_answer_early, may_refuse;
    uint8_t starves;       /* both: memory for more than a window comes when it likes */
    uint8_t takes_at_once; /* both applications; else whenever they like */
};

static const struct model_script model_scripts[] = {
    {.name = "unary, slices both ways",
     .window = 16,
     .starves = 1,
     .channel = 4,
     .counts = {1, 0},
     .sizes = {{60}},
     .last_size = 60,
     .may_cancel = 1,
     .may_refuse = 1},
    {.name = "unary, slices back",
     .window = 32,
     .channel = 4,
     .plain_request = 1,
     .last_size = 120,
     .may_cancel = 1},
    {.name = "unary, slices there",
     .window = 35,
     .channel = 4,
     .counts = {1, 0},
     .sizes = {{120}},
     .last_size = 5,
     .may_cancel = 1,
     .may_refuse = 1},
    {.name = "client stream",
     .window = 16,
     .starves = 1,
     .channel = 4,
     .stream = 1,
     .counts = {4, 0},
     .sizes = {{6, 30, 8, 1}},
     .may_cancel = 1,
     .may_answer_early = 1},
    {.name = "client stream with a large answer",
     .window = 17,
     .channel = 4,
     .stream = 1,
     .fin_with_last = 1,
     .counts = {3, 0},
     .sizes = {{20, 20, 1}},
     .last_size = 20,
     .may_cancel = 1,
     .may_refuse = 1},
    {.name = "server stream",
     .window = 16,
     .channel = 4,
     .stream = 1,
     .fin_with_last = 1,
     .counts = {1, 4},
     .sizes = {{3}, {8, 24, 5, 1}},
     .may_cancel = 1},
    {.name = "server stream of large messages",
     .window = 19,
     .starves = 1,
     .channel = 4,
     .stream = 1,
     .fin_with_last = 1,
     .counts = {1, 3},
     .sizes = {{3}, {26, 26, 40}},
     .last_size = 7,
     .may_cancel = 1},
    {.name = "both ways",
     .window = 16,
     .channel = 2,
     .stream = 1,
     .counts = {2, 2},
     .sizes = {{12, 7}, {7, 12}},
     .may_cancel = 1,
     .may_answer_early = 1},
    {.name = "both ways, small messages",
     .window = 16,
     .channel = 2,
     .stream = 1,
     .fin_with_last = 1,
     .counts = {4, 3},
     .sizes = {{5, 5, 5, 5}, {6, 6, 6}},
     .may_cancel = 1},
    {.name = "both ways, more",
     .window = 20,
     .starves = 1,
     .channel = 3,
     .stream = 1,
     .counts = {3, 3},
     .sizes = {{9, 25, 4}, {4, 9, 25}},
     .last_size = 2,
     .may_cancel = 1,
     .may_answer_early = 1},
    {.name = "both ways, a wide window",
     .window = 64,
     .channel = 4,
     .stream = 1,
     .fin_with_last = 1,
     .counts = {3, 2},
     .sizes = {{33, 16, 70}, {20, 32}},
     .may_cancel = 1,
     .may_refuse = 1},
    {.name = "both ways, taken at once",
     .window = 32,
     .channel = 3,
     .stream = 1,
     .counts = {2, 2},
     .sizes = {{60, 16}, {16, 40}},
     .last_size = 3,
     .may_cancel = 1,
     .may_answer_early = 1,
     .takes_at_once = 1},
    {.name = "opened without a message",
     .window = 16,
     .channel = 4,
     .stream = 1,
     .counts = {0, 2},
     .sizes = {{0}, {10, 10}},
     .last_size = 9,
     .may_cancel = 1,
     .may_answer_early = 1},
};
#define MODEL_SCRIPTS (sizeof model_scripts / sizeof model_scripts[0])

enum { MODEL_CALLER, MODEL_CALLEE };

/* What can happen next; the end that does it. */
enum model_action {
    MODEL_SEND,    /* the next frame of the script */
    MODEL_RECEIVE, /* the first frame in the channel */
    MODEL_GIVE,    /* credit */
    MODEL_TAKE,    /* the oldest message that waits for the application */
    MODEL_RESET,   /* caller: because the call is over */
    MODEL_CANCEL,  /* caller: because its application gave up */
    MODEL_EARLY,   /* callee: the application answers before it has sent or got everything */
    MODEL_REFUSE,  /* callee: a reset */
    MODEL_FEED,    /* memory for the message that waits for it */
    MODEL_ACTIONS
};

struct model_move {
    uint8_t action, end;
};

struct model_trace {
    const struct model_script *script;
    uint32_t count;
    struct model_move moves[MODEL_TRACE_MAX];
};

struct model_frame {
    uint8_t flags; /* with SMF_FRAME_CREDIT: size is the credit */
    uint8_t size, whole_size;
    uint8_t message, offset; /* of the sender's messages: which, and from where */
};

struct model_end {
    struct smf__flow flow;
    uint8_t opened;    /* caller: a frame was sent; callee: one was received */
    uint8_t next;      /* message to send */
    uint8_t got;       /* complete messages */
    uint8_t got_bytes; /* of the next one */
    uint8_t taken;
    uint8_t lasts; /* caller: last frames received */
    uint8_t gave_up, early, refused;
};

struct model_channel {
    uint8_t count;
    struct model_frame frames[MODEL_CHANNEL_MAX];
};

struct model_state {
    struct model_end ends[2];
    struct model_channel to[2]; /* what is on its way to an end */
};

static inline uint32_t model_messages(const struct model_script *script, int end)
{
    uint32_t last = end == MODEL_CALLEE && (!script->stream || script->last_size != 0);

    return script->counts[end] + last;
}

static inline uint32_t model_size(const struct model_script *script, int end, uint32_t message)
{
    return message < script->counts[end] ? script->sizes[end][message] : script->last_size;
}

static inline void model_begin(const struct model_script *script, struct model_state *state)
{
    memset(state, 0, sizeof *state);
    for (int end = 0; end < 2; end++) {
        struct smf__flow *flow = &state->ends[end].flow;

        smf__flow_open(flow, end == MODEL_CALLER ? SMF__FLOW_CALLER : SMF__FLOW_CALLEE,
                       script->stream, script->window, MODEL_SLICE_MAX);
        state->ends[end].opened = script->plain_request;
        if (script->plain_request)
            smf__flow_request_is_over(flow);
    }
}

/* Sending. */

static inline int model_has_room(const struct model_script *script, const struct model_state *state,
                                 int end)
{
    return state->to[!end].count < script->channel;
}

static inline void model_put(struct model_state *state, int end, struct model_frame frame)
{
    struct model_channel *channel = &state->to[!end];

    channel->frames[channel->count++] = frame;
}

/* What an end would send next: its size and flags. 0: nothing, for now or ever. */
static inline int model_next(const struct model_script *script, const struct model_state *state,
                             int at, uint32_t *size, uint32_t *flags)
{
    const struct model_end *end = &state->ends[at];
    uint32_t count = script->counts[at], stream = script->stream ? SMF_FRAME_STREAM : 0;

    if (end->flow.out != SMF__FLOW_OPEN || (at == MODEL_CALLEE && !end->opened))
        return 0;
    *flags = stream;
    *size = 0;
    if (at == MODEL_CALLER) {
        if (end->next < count) {
            *size = script->sizes[at][end->next];
            if (stream && script->fin_with_last && end->next + 1u == count)
                *flags |= SMF_FRAME_FIN;
        } else if (end->opened) {
            *flags |= SMF_FRAME_FIN;
        }
        return 1;
    }
    if (end->flow.in == SMF__FLOW_RESET || end->early) { /* an answer without a message */
        *flags |= stream ? SMF_FRAME_FIN : 0;
        return 1;
    }
    if (end->next < count) {
        *size = script->sizes[at][end->next];
        return 1;
    }
    *size = script->last_size;
    *flags |= stream ? SMF_FRAME_FIN : 0;
    return end->flow.in != SMF__FLOW_OPEN;
}

static inline int model_send(const struct model_script *script, struct model_state *state, int at)
{
    struct model_end *end = &state->ends[at];
    struct model_frame frame = {0};
    struct smf__flow_slice slice;
    uint32_t size, flags;

    if (!model_has_room(script, state, at) || !model_next(script, state, at, &size, &flags))
        return 0;
    int sending = smf__flow_send(&end->flow, size, flags, &slice);
    CHECK_NE(sending, SMF__FLOW_DROP);
    if (sending == SMF__FLOW_WAIT)
        return 0;
    frame.flags = slice.flags;
    frame.size = (uint8_t)(slice.size + slice.prefix);
    frame.whole_size = slice.prefix != 0 ? (uint8_t)size : 0;
    frame.message = end->next;
    frame.offset = (uint8_t)slice.offset;
    CHECK_LE(frame.size, script->window / 2);
    CHECK_EQ(slice.done, !(slice.flags & SMF_FRAME_MORE));
    end->next += slice.done && size != 0;
    if (at == MODEL_CALLER)
        end->opened = 1;
    model_put(state, at, frame);
    return 1;
}

static inline int model_give(const struct model_script *script, struct model_state *state, int at)
{
    struct model_frame frame = {.flags = SMF_FRAME_CREDIT};

    if (!model_has_room(script, state, at) || !smf__flow_must_give(&state->ends[at].flow))
        return 0;
    frame.size = (uint8_t)smf__flow_give(&state->ends[at].flow);
    CHECK_GE(frame.size, script->window / 4);
    model_put(state, at, frame);
    return 1;
}

static inline int model_reset(const struct model_script *script, struct model_state *state, int at,
                              int action)
{
    struct model_end *end = &state->ends[at];
    struct model_frame frame = {.flags = SMF_FRAME_RESET};
    int may;

    if (action == MODEL_CANCEL)
        may = script->may_cancel && !end->gave_up && end->opened && end->flow.in == SMF__FLOW_OPEN;
    else if (action == MODEL_REFUSE)
        may = script->may_refuse && end->opened && end->flow.out == SMF__FLOW_OPEN &&
              end->flow.in == SMF__FLOW_OPEN;
    else
        may = end->flow.in != SMF__FLOW_OPEN && end->flow.out == SMF__FLOW_OPEN;
    if (!may || !model_has_room(script, state, at))
        return 0;
    CHECK_EQ(smf__flow_reset(&end->flow), 1);
    CHECK_EQ(smf__flow_reset(&end->flow), 0);
    end->gave_up |= action == MODEL_CANCEL;
    end->refused |= action == MODEL_REFUSE;
    model_put(state, at, frame);
    return 1;
}

/* Receiving. */

static inline int model_take(const struct model_script *script, struct model_state *state, int at)
{
    struct model_end *end = &state->ends[at];

    if (end->taken == end->got || end->flow.in != SMF__FLOW_OPEN || end->flow.discards)
        return 0;
    smf__flow_taken(&end->flow, model_size(script, !at, end->taken++));
    return 1;
}

static inline void model_deliver(const struct model_script *script, struct model_state *state,
                                 int at, const struct model_frame *frame,
                                 const struct smf__flow_step *step)
{
    struct model_end *end = &state->ends[at];

    if (step->meaning & (SMF__FLOW_PLACE | SMF__FLOW_MESSAGE)) {
        CHECK_EQ(frame->message, end->got);
        CHECK_EQ(frame->offset, step->meaning & SMF__FLOW_PLACE ? step->offset : 0);
        CHECK_EQ(frame->offset, end->got_bytes);
        end->got_bytes += (uint8_t)step->size;
        if (step->meaning & SMF__FLOW_MESSAGE) {
            CHECK_EQ(end->got_bytes, model_size(script, !at, end->got));
            end->got++;
            end->got_bytes = 0;
        }
    }
    if (step->meaning & SMF__FLOW_THROWN)
        CHECK(end->gave_up || end->refused || end->flow.out != SMF__FLOW_OPEN);
    if (step->meaning & SMF__FLOW_CANCEL)
        CHECK(state->ends[MODEL_CALLER].gave_up);
    end->lasts += (step->meaning & SMF__FLOW_LAST) != 0;
    if (script->takes_at_once)
        while (model_take(script, state, at))
            ;
}

static inline int model_receive(const struct model_script *script, struct model_state *state,
                                int at, struct smf__flow_step *step)
{
    struct model_end *end = &state->ends[at];
    struct model_channel *channel = &state->to[at];
    struct model_frame frame = channel->frames[0];
    struct smf__flow_frame in = {frame.flags, frame.size, frame.whole_size};

    memset(step, 0, sizeof *step);
    if (channel->count == 0)
        return 0;
    if (script->starves && smf__flow_begins_slices(&end->flow, frame.flags) &&
        frame.whole_size > script->window)
        smf__flow_hold(&end->flow);
    channel->count--;
    memmove(channel->frames, channel->frames + 1, channel->count * sizeof frame);
    memset(&channel->frames[channel->count], 0, sizeof frame);
    if (smf__flow_over(&end->flow)) { /* forgotten: nothing but these may still come */
        CHECK_EQ(at, MODEL_CALLEE);
        CHECK(frame.flags == SMF_FRAME_CREDIT || frame.flags == SMF_FRAME_RESET);
        return 1;
    }
    if (frame.flags & SMF_FRAME_CREDIT) {
        CHECK_EQ(smf__flow_credit(&end->flow, frame.size), SMF__FLOW_GOOD);
        return 1;
    }
    if (at == MODEL_CALLEE)
        end->opened = 1;
    CHECK_EQ(smf__flow_receive(&end->flow, &in, step), SMF__FLOW_GOOD);
    model_deliver(script, state, at, &frame, step);
    return 1;
}

/* Does what the move says. 0: it can't be done now, and nothing was. */
static inline int model_do(const struct model_script *script, struct model_state *state,
                           struct model_move move, struct smf__flow_step *step)
{
    struct model_end *end = &state->ends[move.end];

    memset(step, 0, sizeof *step);
    switch (move.action) {
    case MODEL_FEED:
        if (!end->flow.holds)
            return 0;
        smf__flow_release(&end->flow);
        return 1;
    case MODEL_SEND:
        return model_send(script, state, move.end);
    case MODEL_RECEIVE:
        return model_receive(script, state, move.end, step);
    case MODEL_GIVE:
        return model_give(script, state, move.end);
    case MODEL_TAKE:
        return !script->takes_at_once && model_take(script, state, move.end);
    case MODEL_EARLY:
        if (!script->may_answer_early || move.end != MODEL_CALLEE || !end->opened || end->early ||
            end->flow.out != SMF__FLOW_OPEN || end->flow.out_size != 0 ||
            end->flow.in == SMF__FLOW_RESET)
            return 0;
        return end->early = 1;
    case MODEL_REFUSE:
        return move.end == MODEL_CALLEE && model_reset(script, state, move.end, move.action);
    default:
        return move.end == MODEL_CALLER && model_reset(script, state, move.end, move.action);
    }
}

/* Checks. */

static inline uint32_t model_on_the_way(const struct model_channel *channel, int credit)
{
    uint32_t size = 0;
    int in_slices = 0;

    for (int i = 0; i < channel->count; i++) {
        uint8_t flags = channel->frames[i].flags;
        int counted = (flags & (SMF_FRAME_STREAM | SMF_FRAME_MORE)) != 0 || in_slices ||
                      channel->frames[i].offset != 0;

        in_slices = (flags & SMF_FRAME_MORE) != 0;
        if (credit ? flags == SMF_FRAME_CREDIT : flags != SMF_FRAME_CREDIT && counted)
            size += channel->frames[i].size;
    }
    return size;
}

/* Where each byte of the window of what goes to an end is. */
static inline void model_check_window(const struct model_script *script,
                                      const struct model_state *state, int at)
{
    const struct smf__flow *from = &state->ends[!at].flow, *to = &state->ends[at].flow;
    uint32_t held = to->untaken != 0 || to->holds ? to->in_done : 0;

    CHECK_LE(from->credit, script->window);
    CHECK_LE(to->room, script->window);
    CHECK_LE(to->discount, to->untaken);
    if (to->in == SMF__FLOW_OPEN)
        CHECK_EQ(to->room + to->owed + (to->untaken - to->discount) + held, script->window);
    if (!smf__flow_over(to) && !smf__flow_over(from))
        CHECK_EQ(from->credit + model_on_the_way(&state->to[at], 0) +
                     model_on_the_way(&state->to[!at], 1),
                 to->room);
}

static inline int model_is_final(const struct model_state *state)
{
    return smf__flow_over(&state->ends[0].flow) && smf__flow_over(&state->ends[1].flow) &&
           state->to[0].count == 0 && state->to[1].count == 0;
}

static inline void model_check(const struct model_script *script, const struct model_state *state)
{
    const struct model_end *caller = &state->ends[MODEL_CALLER];
    const struct model_end *callee = &state->ends[MODEL_CALLEE];

    model_check_window(script, state, MODEL_CALLER);
    model_check_window(script, state, MODEL_CALLEE);
    CHECK_LE(caller->lasts, 1);
    CHECK_EQ(caller->lasts, caller->flow.in != SMF__FLOW_OPEN);
    if (caller->lasts != 0) { /* the callee has ended, and what it sent has come */
        CHECK_NE(callee->flow.out, SMF__FLOW_OPEN);
        CHECK_EQ(state->to[MODEL_CALLER].count, 0);
    }
    if (!model_is_final(state) || caller->gave_up || callee->early || callee->refused)
        return;
    CHECK_EQ(callee->got, model_messages(script, MODEL_CALLER));
    CHECK_EQ(caller->got, model_messages(script, MODEL_CALLEE));
}

#endif
