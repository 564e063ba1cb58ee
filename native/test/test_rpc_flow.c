/* The rules of a session, one by one: rpc_flow.h. */
#include "rpc/rpc_flow.h"
#include "test.h"

#define WINDOW 1000u
#define SLICE 200u
#define STREAM SMF_FRAME_STREAM
#define FIN SMF_FRAME_FIN
#define MORE SMF_FRAME_MORE
#define RESET SMF_FRAME_RESET

static struct smf__flow open_flow(uint32_t role, uint32_t stream)
{
    struct smf__flow flow;

    smf__flow_open(&flow, role, stream, WINDOW, SLICE);
    return flow;
}

/* Sends what must be sendable; returns the frame. */
static struct smf__flow_slice sends(struct smf__flow *flow, uint32_t size, uint32_t flags)
{
    struct smf__flow_slice slice;

    CHECK_EQ(smf__flow_send(flow, size, flags, &slice), SMF__FLOW_SEND);
    return slice;
}

static int tries(struct smf__flow *flow, uint32_t size, uint32_t flags)
{
    struct smf__flow_slice slice;

    return smf__flow_send(flow, size, flags, &slice);
}

static int receives(struct smf__flow *flow, uint32_t flags, uint32_t size, uint32_t whole_size,
                    struct smf__flow_step *step)
{
    struct smf__flow_frame frame = {flags, size, whole_size};

    return smf__flow_receive(flow, &frame, step);
}

/* Receives a frame that keeps the rules; returns what it means. */
static uint32_t gets(struct smf__flow *flow, uint32_t flags, uint32_t size, uint32_t whole_size)
{
    struct smf__flow_step step;

    CHECK_EQ(receives(flow, flags, size, whole_size, &step), SMF__FLOW_GOOD);
    return step.meaning;
}

static int faults(struct smf__flow flow, uint32_t flags, uint32_t size, uint32_t whole_size)
{
    struct smf__flow_step step;

    return receives(&flow, flags, size, whole_size, &step);
}

static void a_small_message_goes_in_one_frame(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLER, 1);
    struct smf__flow_slice slice = sends(&flow, SLICE, STREAM);

    CHECK_EQ(slice.size, SLICE);
    CHECK_EQ(slice.prefix, 0);
    CHECK_EQ(slice.flags, STREAM);
    CHECK_EQ(slice.done, 1);
    CHECK_EQ(flow.credit, WINDOW - SLICE);
    slice = sends(&flow, 10, STREAM | FIN);
    CHECK_EQ(slice.flags, STREAM | FIN);
    CHECK_EQ(flow.out, SMF__FLOW_ENDED);
    CHECK_EQ(tries(&flow, 1, STREAM), SMF__FLOW_DROP);
}

static void a_large_message_is_cut(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLER, 1);
    struct smf__flow_slice slice = sends(&flow, 500, STREAM | FIN);

    CHECK_EQ(slice.prefix, 4);
    CHECK_EQ(slice.size, SLICE - 4);
    CHECK_EQ(slice.flags, STREAM | MORE);
    slice = sends(&flow, 500, STREAM | FIN);
    CHECK_EQ(slice.prefix, 0);
    CHECK_EQ(slice.offset, SLICE - 4);
    CHECK_EQ(slice.size, SLICE);
    CHECK_EQ(slice.done, 0);
    slice = sends(&flow, 500, STREAM | FIN);
    CHECK_EQ(slice.offset, 2 * SLICE - 4);
    CHECK_EQ(slice.size, 500 - 2 * SLICE + 4);
    CHECK_EQ(slice.flags, STREAM | FIN);
    CHECK_EQ(slice.done, 1);
    CHECK_EQ(flow.credit, WINDOW - 504);
    CHECK_EQ(flow.out, SMF__FLOW_ENDED);
}

/* One byte more than a slice, and one less than two. */
static void cuts_have_no_empty_slice(void)
{
    for (uint32_t size = SLICE + 1; size < 2 * SLICE; size++) {
        struct smf__flow flow = open_flow(SMF__FLOW_CALLER, 0);
        struct smf__flow_slice slice = sends(&flow, size, 0);
        uint32_t sent = slice.size;

        while (!slice.done) {
            slice = sends(&flow, size, 0);
            CHECK_GT(slice.size, 0);
            CHECK_EQ(slice.offset, sent);
            sent += slice.size;
        }
        CHECK_EQ(sent, size);
        CHECK_EQ(flow.credit, WINDOW - size - 4);
    }
}

static void no_frame_needs_more_than_half_a_window(void)
{
    struct smf__flow flow;
    struct smf__flow_slice slice;

    smf__flow_open(&flow, SMF__FLOW_CALLER, 1, 100, SLICE);
    slice = sends(&flow, 51, STREAM);
    CHECK_EQ(slice.size + slice.prefix, 50);
    CHECK_EQ(slice.flags, STREAM | MORE);
    smf__flow_open(&flow, SMF__FLOW_CALLER, 1, 100, SLICE);
    CHECK_EQ(sends(&flow, 50, STREAM).done, 1);
}

static void what_is_no_stream_and_small_is_free(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 1);

    for (int i = 0; i < 5; i++)
        (void)sends(&flow, SLICE, STREAM);
    CHECK_EQ(flow.credit, 0);
    CHECK_EQ(tries(&flow, 1, STREAM), SMF__FLOW_WAIT);
    CHECK_EQ(sends(&flow, SLICE, 0).flags, 0); /* an answer without stream, too, is the last */
    CHECK_EQ(flow.out, SMF__FLOW_ENDED);

    flow = open_flow(SMF__FLOW_CALLER, 1);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(gets(&flow, STREAM, SLICE, 0), SMF__FLOW_MESSAGE);
    CHECK_EQ(faults(flow, STREAM, 1, 0), SMF__FLOW_NO_CREDIT);
    CHECK_EQ(gets(&flow, 0, 5000, 0),
             SMF__FLOW_MESSAGE | SMF__FLOW_FIN | SMF__FLOW_LAST | SMF__FLOW_MUST_RESET);
}

static void waits_for_credit(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLER, 1);

    for (int i = 0; i < 4; i++)
        (void)sends(&flow, SLICE, STREAM);
    (void)sends(&flow, 150, STREAM);
    CHECK_EQ(tries(&flow, 51, STREAM), SMF__FLOW_WAIT);
    CHECK_EQ(tries(&flow, 3000, STREAM), SMF__FLOW_WAIT);
    CHECK_EQ(sends(&flow, 0, STREAM).size, 0); /* says nothing, costs nothing */
    CHECK_EQ(smf__flow_credit(&flow, 1), SMF__FLOW_GOOD);
    CHECK_EQ(sends(&flow, 51, STREAM).done, 1);
    CHECK_EQ(flow.credit, 0);
    CHECK_EQ(sends(&flow, 0, STREAM | FIN).flags, STREAM | FIN);
}

static void credit_is_what_was_spent(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLER, 1);

    CHECK_EQ(smf__flow_credit(&flow, 1), SMF__FLOW_BAD_CREDIT);
    (void)sends(&flow, 100, STREAM);
    CHECK_EQ(smf__flow_credit(&flow, 0), SMF__FLOW_BAD_CREDIT);
    CHECK_EQ(smf__flow_credit(&flow, 101), SMF__FLOW_BAD_CREDIT);
    CHECK_EQ(smf__flow_credit(&flow, UINT32_MAX), SMF__FLOW_BAD_CREDIT);
    CHECK_EQ(smf__flow_credit(&flow, 60), SMF__FLOW_GOOD);
    CHECK_EQ(smf__flow_credit(&flow, 40), SMF__FLOW_GOOD);
    CHECK_EQ(smf__flow_credit(&flow, 1), SMF__FLOW_BAD_CREDIT);
}

static void credit_comes_back_in_quarters(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 1);

    CHECK_EQ(gets(&flow, STREAM, 249, 0), SMF__FLOW_MESSAGE);
    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_MESSAGE);
    CHECK_EQ(smf__flow_give(&flow), 0);
    smf__flow_taken(&flow, 249);
    CHECK_EQ(smf__flow_must_give(&flow), 0);
    CHECK_EQ(smf__flow_give(&flow), 0);
    smf__flow_taken(&flow, 1); /* a part of the second one */
    CHECK_EQ(smf__flow_must_give(&flow), 1);
    CHECK_EQ(smf__flow_give(&flow), 250);
    CHECK_EQ(flow.room, WINDOW - 99);
    CHECK_EQ(smf__flow_give(&flow), 0);
    smf__flow_taken(&flow, 1000000); /* no more than there is */
    CHECK_EQ(flow.owed, 99);
    CHECK_EQ(flow.untaken, 0);
}

/* The first one's slices are given back as they come, but for the last; the next one's wait for it. */
static void slices_are_used_up_in_place(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 1);

    CHECK_EQ(gets(&flow, STREAM | MORE, 204, 500), SMF__FLOW_PLACE);
    CHECK_EQ(flow.owed, 204);
    CHECK_EQ(gets(&flow, STREAM | MORE, 200, 0), SMF__FLOW_PLACE);
    CHECK_EQ(smf__flow_give(&flow), 404);
    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_PLACE | SMF__FLOW_MESSAGE);
    CHECK_EQ(flow.owed, 0);
    CHECK_EQ(flow.untaken, 500);
    CHECK_EQ(gets(&flow, STREAM | MORE, 204, 300), SMF__FLOW_PLACE);
    CHECK_EQ(flow.owed, 4);
    CHECK_EQ(gets(&flow, STREAM | MORE, 50, 0), SMF__FLOW_PLACE);
    CHECK_EQ(flow.owed, 4);
    smf__flow_taken(&flow, 499);
    CHECK_EQ(flow.owed, 103);
    smf__flow_taken(&flow, 1);
    CHECK_EQ(flow.owed, 354);
    CHECK_EQ(gets(&flow, STREAM, 50, 0), SMF__FLOW_PLACE | SMF__FLOW_MESSAGE);
    CHECK_EQ(gets(&flow, STREAM, 30, 0), SMF__FLOW_MESSAGE);
    CHECK_EQ(smf__flow_give(&flow), 354);
    smf__flow_taken(&flow, 310); /* all of the one, and a third of the other */
    CHECK_EQ(flow.owed, 60);
}

static void slices_that_waited_count_when_they_are_taken(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 1);

    CHECK_EQ(gets(&flow, STREAM, 10, 0), SMF__FLOW_MESSAGE);
    CHECK_EQ(gets(&flow, STREAM | MORE, 204, 300), SMF__FLOW_PLACE);
    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_PLACE | SMF__FLOW_MESSAGE);
    CHECK_EQ(flow.owed, 4);
    smf__flow_taken(&flow, 10);
    CHECK_EQ(flow.owed, 14);
    smf__flow_taken(&flow, 300);
    CHECK_EQ(flow.owed, 314);
}

static void slices_wait_for_memory(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 1);

    smf__flow_hold(&flow);
    CHECK_EQ(gets(&flow, STREAM | MORE, 304, 5000), SMF__FLOW_PLACE);
    CHECK_EQ(gets(&flow, STREAM | MORE, 696, 0), SMF__FLOW_PLACE);
    CHECK_EQ(flow.owed, 4);
    CHECK_EQ(smf__flow_give(&flow), 0);
    smf__flow_release(&flow);
    CHECK_EQ(smf__flow_give(&flow), 1000);
    smf__flow_release(&flow); /* once */
    CHECK_EQ(flow.owed, 0);
    CHECK_EQ(gets(&flow, STREAM | MORE, 500, 0), SMF__FLOW_PLACE);
    CHECK_EQ(flow.owed, 500);

    flow = open_flow(SMF__FLOW_CALLEE, 1);
    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_MESSAGE);
    smf__flow_hold(&flow);
    CHECK_EQ(gets(&flow, STREAM | MORE, 304, 5000), SMF__FLOW_PLACE);
    smf__flow_taken(&flow, 100);
    CHECK_EQ(flow.owed, 104);
    smf__flow_release(&flow);
    CHECK_EQ(flow.owed, 404);

    flow = open_flow(SMF__FLOW_CALLEE, 1);
    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_MESSAGE);
    smf__flow_hold(&flow);
    CHECK_EQ(gets(&flow, STREAM | MORE, 304, 5000), SMF__FLOW_PLACE);
    smf__flow_release(&flow); /* it still waits for the one before */
    CHECK_EQ(flow.owed, 4);
    smf__flow_hold(&flow);
    smf__flow_discard(&flow);
    CHECK_EQ(flow.owed, 404);
    smf__flow_release(&flow);
    CHECK_EQ(flow.owed, 404);
    smf__flow_hold(&flow); /* what is thrown away needs no memory */
    CHECK_EQ(flow.holds, 0);
}

static void places_are_told(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLER, 0);
    struct smf__flow_step step;

    CHECK_EQ(smf__flow_begins_slices(&flow, MORE), 1);
    CHECK_EQ(smf__flow_begins_slices(&flow, 0), 0);
    CHECK_EQ(receives(&flow, MORE, 54, 100, &step), SMF__FLOW_GOOD);
    CHECK_EQ(step.offset, 0);
    CHECK_EQ(step.size, 50);
    CHECK_EQ(smf__flow_begins_slices(&flow, MORE), 0);
    CHECK_EQ(receives(&flow, 0, 50, 0, &step), SMF__FLOW_GOOD);
    CHECK_EQ(step.offset, 50);
    CHECK_EQ(step.size, 50);
}

static void slices_must_be_what_the_first_one_said(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 0);

    CHECK_EQ(faults(flow, MORE, 4, 100), SMF__FLOW_BAD_SLICES);   /* none of its bytes */
    CHECK_EQ(faults(flow, MORE, 3, 100), SMF__FLOW_BAD_SLICES);   /* not even the size */
    CHECK_EQ(faults(flow, MORE, 104, 100), SMF__FLOW_BAD_SLICES); /* all of it, and more? */
    CHECK_EQ(faults(flow, MORE, 104, 99), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(faults(flow, MORE, 5, 0), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(faults(flow, MORE, 2, UINT32_MAX), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(faults(flow, MORE, 54, 50), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(faults(flow, MORE, 54, 51), SMF__FLOW_GOOD);
    CHECK_EQ(gets(&flow, MORE, 54, 100), SMF__FLOW_PLACE);
    CHECK_EQ(faults(flow, MORE, 0, 0), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(faults(flow, 0, 0, 0), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(faults(flow, 0, 49, 0), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(faults(flow, 0, 51, 0), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(faults(flow, MORE, 50, 0), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(faults(flow, MORE, 51, 0), SMF__FLOW_BAD_SLICES);
    CHECK_EQ(gets(&flow, 0, 50, 0), SMF__FLOW_PLACE | SMF__FLOW_MESSAGE | SMF__FLOW_FIN);
}

static void a_receiver_counts_every_byte(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 1);

    CHECK_EQ(faults(flow, STREAM, WINDOW + 1, 0), SMF__FLOW_NO_CREDIT);
    CHECK_EQ(faults(flow, STREAM | MORE, WINDOW + 1, 5000), SMF__FLOW_NO_CREDIT);
    CHECK_EQ(gets(&flow, STREAM | MORE, WINDOW - 1, 5000), SMF__FLOW_PLACE);
    CHECK_EQ(faults(flow, STREAM | MORE, 2, 0), SMF__FLOW_NO_CREDIT);
    CHECK_EQ(faults(flow, STREAM | MORE, 1, 0), SMF__FLOW_GOOD);
    CHECK_EQ(smf__flow_give(&flow), WINDOW - 1);
    CHECK_EQ(flow.room, WINDOW);

    flow = open_flow(SMF__FLOW_CALLEE, 0); /* the last slice of what is no stream counts, too */
    CHECK_EQ(gets(&flow, MORE, WINDOW - 1, 1200), SMF__FLOW_PLACE);
    CHECK_EQ(faults(flow, 0, 1200 - WINDOW + 5, 0), SMF__FLOW_NO_CREDIT);
}

static void flags_must_go_with_the_session(void)
{
    struct smf__flow stream = open_flow(SMF__FLOW_CALLEE, 1);
    struct smf__flow unary = open_flow(SMF__FLOW_CALLEE, 0);
    struct smf__flow answered = open_flow(SMF__FLOW_CALLER, 0);
    struct smf__flow streams = open_flow(SMF__FLOW_CALLER, 1);

    CHECK_EQ(faults(stream, 0, 10, 0), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(faults(stream, FIN, 10, 0), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(faults(stream, STREAM | FIN | MORE, 10, 100), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(faults(stream, RESET | MORE, 0, 0), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(faults(unary, STREAM, 10, 0), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(faults(unary, FIN, 10, 0), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(faults(answered, STREAM, 10, 0), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(gets(&stream, STREAM | MORE, 54, 100), SMF__FLOW_PLACE);
    CHECK_EQ(faults(stream, 0, 50, 0), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(gets(&streams, STREAM | MORE, 54, 100), SMF__FLOW_PLACE);
    CHECK_EQ(faults(streams, 0, 50, 0), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(gets(&streams, STREAM, 50, 0), SMF__FLOW_PLACE | SMF__FLOW_MESSAGE);
    CHECK_EQ(gets(&streams, MORE, 54, 100), SMF__FLOW_PLACE); /* an answer in slices */
    CHECK_EQ(faults(streams, STREAM, 50, 0), SMF__FLOW_BAD_FLAGS);
    CHECK_EQ(gets(&streams, 0, 50, 0), SMF__FLOW_PLACE | SMF__FLOW_MESSAGE | SMF__FLOW_FIN |
                                           SMF__FLOW_LAST | SMF__FLOW_MUST_RESET);
}

static void nothing_comes_behind_an_end(void)
{
    struct smf__flow callee = open_flow(SMF__FLOW_CALLEE, 1);
    struct smf__flow caller = open_flow(SMF__FLOW_CALLER, 1);

    CHECK_EQ(gets(&callee, STREAM | FIN, 5, 0), SMF__FLOW_MESSAGE | SMF__FLOW_FIN);
    CHECK_EQ(faults(callee, STREAM, 5, 0), SMF__FLOW_AFTER_END);
    CHECK_EQ(faults(callee, STREAM | FIN, 0, 0), SMF__FLOW_AFTER_END);
    CHECK_EQ(gets(&callee, RESET, 0, 0), SMF__FLOW_FIN | SMF__FLOW_CANCEL); /* after fin, too */
    CHECK_EQ(faults(callee, RESET, 0, 0), SMF__FLOW_AFTER_END);
    (void)sends(&caller, 0, STREAM | FIN);
    CHECK_EQ(gets(&caller, STREAM | FIN, 0, 0), SMF__FLOW_FIN | SMF__FLOW_LAST);
    CHECK_EQ(faults(caller, STREAM, 0, 0), SMF__FLOW_AFTER_END);
    CHECK_EQ(faults(caller, RESET, 0, 0), SMF__FLOW_AFTER_END);
    CHECK(smf__flow_over(&caller));
}

static void a_caller_gives_up(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLER, 1);

    (void)sends(&flow, 500, STREAM);
    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_MESSAGE);
    CHECK_EQ(gets(&flow, STREAM | MORE, 204, 500), SMF__FLOW_PLACE);
    CHECK_EQ(smf__flow_reset(&flow), 1);
    CHECK_EQ(smf__flow_reset(&flow), 0);
    CHECK_EQ(tries(&flow, 500, STREAM), SMF__FLOW_DROP);
    CHECK_EQ(smf__flow_give(&flow), 304); /* what it has counts as taken */
    CHECK_EQ(gets(&flow, STREAM | MORE, 200, 0), SMF__FLOW_THROWN);
    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_THROWN);
    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_THROWN);
    smf__flow_taken(&flow, 100);
    CHECK_EQ(smf__flow_give(&flow), 400);
    CHECK_EQ(smf__flow_over(&flow), 0);
    CHECK_EQ(gets(&flow, STREAM | FIN, 0, 0), SMF__FLOW_FIN | SMF__FLOW_LAST);
    CHECK(smf__flow_over(&flow));
    CHECK_EQ(smf__flow_reset(&flow), 0);
}

static void a_caller_gives_up_after_fin(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLER, 0);

    (void)sends(&flow, 10, 0);
    CHECK_EQ(flow.out, SMF__FLOW_ENDED);
    CHECK_EQ(smf__flow_reset(&flow), 1);
    CHECK_EQ(smf__flow_reset(&flow), 0);
    CHECK_EQ(gets(&flow, 0, 10, 0), SMF__FLOW_THROWN | SMF__FLOW_FIN | SMF__FLOW_LAST);
    CHECK_EQ(smf__flow_reset(&flow), 0);

    flow = open_flow(SMF__FLOW_CALLER, 0);
    (void)sends(&flow, 10, 0);
    CHECK_EQ(gets(&flow, 0, 10, 0), SMF__FLOW_MESSAGE | SMF__FLOW_FIN | SMF__FLOW_LAST);
    CHECK_EQ(smf__flow_reset(&flow), 0); /* nothing is left to give up */
}

static void a_cancelled_call_gets_its_last_frame(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 1);

    CHECK_EQ(gets(&flow, STREAM | MORE, 100, 5000), SMF__FLOW_PLACE);
    CHECK_EQ(gets(&flow, RESET, 0, 0), SMF__FLOW_FIN | SMF__FLOW_CANCEL);
    CHECK_EQ(flow.in_size, 0);
    CHECK_EQ(smf__flow_give(&flow), 0);
    CHECK_EQ(tries(&flow, 10, STREAM), SMF__FLOW_DROP); /* what is not last is not wanted */
    CHECK_EQ(sends(&flow, 10, STREAM | FIN).flags, STREAM | FIN);
    CHECK(smf__flow_over(&flow));
}

static void a_message_that_is_torn_ends_with_a_reset(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 1);
    struct smf__flow_slice slice;

    for (int i = 0; i < 5; i++)
        (void)sends(&flow, 5000, STREAM);
    CHECK_EQ(flow.credit, 0);
    CHECK_EQ(gets(&flow, RESET, 0, 0), SMF__FLOW_FIN | SMF__FLOW_CANCEL);
    CHECK_EQ(tries(&flow, 5000, STREAM), SMF__FLOW_DROP);
    slice = sends(&flow, 300, STREAM | FIN); /* without credit, and uncut */
    CHECK_EQ(slice.flags, RESET);
    CHECK_EQ(slice.size, 300);
    CHECK_EQ(slice.done, 1);
    CHECK_EQ(flow.credit, 0);
    CHECK(smf__flow_over(&flow));

    flow = open_flow(SMF__FLOW_CALLER, 1);
    (void)sends(&flow, 0, STREAM | FIN);
    CHECK_EQ(gets(&flow, STREAM | MORE, 100, 5000), SMF__FLOW_PLACE);
    CHECK_EQ(gets(&flow, RESET, 300, 0), SMF__FLOW_FIN | SMF__FLOW_LAST | SMF__FLOW_TORN);
    CHECK(smf__flow_over(&flow));
}

static void a_callee_refuses(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 0);

    CHECK_EQ(gets(&flow, MORE, 400, 5000), SMF__FLOW_PLACE);
    CHECK_EQ(smf__flow_reset(&flow), 1);
    CHECK_EQ(smf__flow_reset(&flow), 0);
    CHECK_EQ(smf__flow_give(&flow), 0); /* nothing follows the last frame */
    CHECK_EQ(gets(&flow, MORE, 400, 0), SMF__FLOW_THROWN);
    CHECK_EQ(tries(&flow, 10, 0), SMF__FLOW_DROP);
    CHECK_EQ(smf__flow_over(&flow), 0);
    CHECK_EQ(gets(&flow, RESET, 0, 0), SMF__FLOW_FIN); /* no cancel: there is no call any more */
    CHECK(smf__flow_over(&flow));
}

static void an_early_answer_ends_the_callers_direction(void)
{
    struct smf__flow caller = open_flow(SMF__FLOW_CALLER, 1);
    struct smf__flow callee = open_flow(SMF__FLOW_CALLEE, 1);

    (void)sends(&caller, 5000, STREAM);
    CHECK_EQ(gets(&callee, STREAM | MORE, SLICE, 5000), SMF__FLOW_PLACE);
    CHECK_EQ(sends(&callee, 0, STREAM | FIN).flags, STREAM | FIN);
    CHECK_EQ(smf__flow_over(&callee), 0);
    CHECK_EQ(gets(&caller, STREAM | FIN, 0, 0),
             SMF__FLOW_FIN | SMF__FLOW_LAST | SMF__FLOW_MUST_RESET);
    CHECK_EQ(smf__flow_over(&caller), 0);
    CHECK_EQ(smf__flow_reset(&caller), 1);
    CHECK(smf__flow_over(&caller));
    CHECK_EQ(gets(&callee, RESET, 0, 0), SMF__FLOW_FIN);
    CHECK(smf__flow_over(&callee));
}

static void what_is_discarded_counts_as_taken(void)
{
    struct smf__flow flow = open_flow(SMF__FLOW_CALLEE, 1);

    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_MESSAGE);
    CHECK_EQ(gets(&flow, STREAM | MORE, 204, 1000), SMF__FLOW_PLACE);
    smf__flow_discard(&flow);
    CHECK_EQ(flow.owed, 304);
    smf__flow_taken(&flow, 100);
    CHECK_EQ(flow.owed, 304);
    CHECK_EQ(gets(&flow, STREAM | MORE, 200, 0), SMF__FLOW_THROWN);
    CHECK_EQ(flow.owed, 504);
    CHECK_EQ(smf__flow_give(&flow), 504);
    CHECK_EQ(gets(&flow, STREAM, 600, 0), SMF__FLOW_THROWN);
    CHECK_EQ(gets(&flow, STREAM | FIN, 10, 0), SMF__FLOW_THROWN | SMF__FLOW_FIN);
    CHECK_EQ(smf__flow_give(&flow), 0); /* it sends no more */

    flow = open_flow(SMF__FLOW_CALLEE, 1); /* what was given back already is not given twice */
    CHECK_EQ(gets(&flow, STREAM | MORE, 304, 400), SMF__FLOW_PLACE);
    CHECK_EQ(gets(&flow, STREAM, 100, 0), SMF__FLOW_PLACE | SMF__FLOW_MESSAGE);
    CHECK_EQ(smf__flow_give(&flow), 304);
    smf__flow_discard(&flow);
    CHECK_EQ(flow.owed, 100);
}

static void a_request_may_be_over_before(void)
{
    struct smf__flow caller = open_flow(SMF__FLOW_CALLER, 0);
    struct smf__flow callee = open_flow(SMF__FLOW_CALLEE, 0);

    smf__flow_request_is_over(&caller);
    smf__flow_request_is_over(&callee);
    CHECK_EQ(sends(&callee, 300, 0).flags, MORE);
    CHECK_EQ(gets(&caller, MORE, SLICE, 300), SMF__FLOW_PLACE);
    CHECK_EQ(sends(&callee, 300, 0).done, 1);
    CHECK_EQ(gets(&caller, 0, 104, 0),
             SMF__FLOW_PLACE | SMF__FLOW_MESSAGE | SMF__FLOW_FIN | SMF__FLOW_LAST);
    CHECK(smf__flow_over(&caller) && smf__flow_over(&callee));
}

static void an_empty_frame_is_no_message_in_a_stream_only(void)
{
    struct smf__flow stream = open_flow(SMF__FLOW_CALLEE, 1);
    struct smf__flow unary = open_flow(SMF__FLOW_CALLEE, 0);

    CHECK_EQ(gets(&stream, STREAM, 0, 0), 0);
    CHECK_EQ(gets(&stream, STREAM | FIN, 0, 0), SMF__FLOW_FIN);
    CHECK_EQ(gets(&unary, 0, 0, 0), SMF__FLOW_MESSAGE | SMF__FLOW_FIN);
}

static const struct test tests[] = {
    TEST(a_small_message_goes_in_one_frame),
    TEST(a_large_message_is_cut),
    TEST(cuts_have_no_empty_slice),
    TEST(no_frame_needs_more_than_half_a_window),
    TEST(what_is_no_stream_and_small_is_free),
    TEST(waits_for_credit),
    TEST(credit_is_what_was_spent),
    TEST(credit_comes_back_in_quarters),
    TEST(slices_are_used_up_in_place),
    TEST(slices_that_waited_count_when_they_are_taken),
    TEST(slices_wait_for_memory),
    TEST(places_are_told),
    TEST(slices_must_be_what_the_first_one_said),
    TEST(a_receiver_counts_every_byte),
    TEST(flags_must_go_with_the_session),
    TEST(nothing_comes_behind_an_end),
    TEST(a_caller_gives_up),
    TEST(a_caller_gives_up_after_fin),
    TEST(a_cancelled_call_gets_its_last_frame),
    TEST(a_message_that_is_torn_ends_with_a_reset),
    TEST(a_callee_refuses),
    TEST(an_early_answer_ends_the_callers_direction),
    TEST(what_is_discarded_counts_as_taken),
    TEST(a_request_may_be_over_before),
    TEST(an_empty_frame_is_no_message_in_a_stream_only),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
