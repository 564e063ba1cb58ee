/* Large messages where memory is short, or the peer does not read: who waits, and who goes on. */
#include "test_stream.h"

#define KIB 1024u
#define MIB (1u << 20)
#define SLICE_BYTES (64u * KIB)
#define HELD_MAX 64

/* Buffers that somebody works with, so that there is no memory for anything else. */
static struct {
    struct smf_buffer *buffers[HELD_MAX];
    uint16_t sessions[HELD_MAX];
    uint32_t count;
} held;

static void hold_request(struct party *party, int of, const struct smf_event *event)
{
    if (of != SERVER || event->kind != SMF_EVENT_REQUEST)
        return;
    CHECK_LT(held.count, HELD_MAX);
    smf_core_retain(party->world.server, event->buffer);
    held.buffers[held.count] = event->buffer;
    held.sessions[held.count++] = event->session;
}

static struct party *party_in_little_memory_with(const struct smf__rpc_config *limits,
                                                 uint64_t memory_bytes)
{
    struct party *party = party_open_with(limits, memory_bytes);

    memset(&held, 0, sizeof held);
    smf__core_close(party->world.client);
    party->world.client = world_core(&party->world, 1ull << 30, limits, test_seed() + 1);
    party_connect(party);
    return party;
}

static struct party *party_in_little_memory(uint64_t memory_bytes)
{
    struct smf__rpc_config limits = world_limits();

    return party_in_little_memory_with(&limits, memory_bytes);
}

/* Handlers keep what they got: the core stops reading, and goes on when they are done, one after the other. */
static void handlers_that_hold_memory_stop_the_reading(void)
{
    enum { CALLS = 40 };
    struct party *party = party_in_little_memory(16ull << 20);
    uint32_t answered = 0;

    party->heard = hold_request;
    for (uint16_t session = 1; session <= CALLS; session++)
        party_call(party, session, 0, 512 * KIB + 8); /* 1 MiB each, in the pool */
    world_run(&party->world, 1000);
    CHECK_GT(held.count, 4);
    CHECK_LT(held.count, 16);
    CHECK_GT(world_stats(party->world.server).reads_paused, 0);
    while (answered < held.count) {
        smf_core_release(party->world.server, held.buffers[answered]);
        party_answer(party, held.sessions[answered++], 0, 5);
        world_run(&party->world, 50);
    }
    CHECK_EQ(answered, CALLS);
    for (uint16_t session = 1; session <= CALLS; session++)
        CHECK_EQ(party->talks[CLIENT][session].status, SMF_CODE_OK);
    party_close(party);
}

/* Takes memory until a message of so many bytes has to wait. */
static void use_up(struct party *party, uint64_t size)
{
    struct smf_core *core = party->world.server;

    while (smf__rpc_body_fits(smf__rpc_of(core), size)) {
        CHECK_LT(held.count, HELD_MAX);
        held.buffers[held.count] = smf__pool_get(core->pool, MIB);
        CHECK(held.buffers[held.count++] != NULL);
    }
}

static void give_back(struct party *party)
{
    while (held.count > 0)
        smf__buffer_unref(party->world.server->pool, held.buffers[--held.count]);
}

/* A frame of a message, as party_send_as makes them: size bytes from at, behind a prefix. */
static void send_part(struct raw *raw, uint16_t session, uint32_t flags, uint32_t whole,
                      uint32_t at, uint32_t size)
{
    static uint8_t payload[SLICE_BYTES], bytes[HEADER + SLICE_BYTES];
    uint32_t prefix = (flags & SMF_FRAME_MORE) && at == 0 ? 4 : 0;
    struct smf_frame frame = {
        .flags = (uint8_t)flags, .session = session, .size = prefix + size, .meta = PARTY_METHOD};

    if (prefix != 0)
        smf_flat_store_u32(payload, whole);
    for (uint32_t i = 0; i < size; i++)
        payload[prefix + i] = party_byte(CLIENT, session, 0, at + i);
    CHECK(raw_send(raw, bytes, level2_frame(bytes, frame, payload)));
}

/* The next slice of a message; *at: bytes of it that are sent. */
static void send_slice(struct raw *raw, uint16_t session, uint32_t whole, uint32_t *at)
{
    uint32_t room = SLICE_BYTES - (*at == 0 ? 4 : 0);
    uint32_t size = whole - *at < room ? whole - *at : room;

    send_part(raw, session, *at + size < whole ? SMF_FRAME_MORE : 0, whole, *at, size);
    *at += size;
}

/* What credit a raw peer got for a session; forgets it. */
static uint32_t credit_of(struct raw *raw, uint16_t session)
{
    const uint8_t *payload;
    struct smf_frame frame;
    uint32_t credit = 0;
    size_t at = 0;

    while (raw_next2(raw, &at, &frame, &payload)) {
        if ((frame.flags & SMF_FRAME_CREDIT) && frame.session == session)
            credit += smf_flat_load_u32(payload);
    }
    raw_forget(raw);
    return credit;
}

/* One message has its memory, the next one has not: the connection is read on for the first. The second one
 * brings no more than a window until there is memory. */
static void a_message_is_parked_behind_one_that_goes_on(void)
{
    struct party *party = party_in_little_memory(64ull << 20);
    struct raw *raw = raw_open2(&party->world);
    uint32_t first = 0, second = 0, credit;

    use_up(party, 3 * MIB);
    send_slice(raw, 1, 200 * KIB, &first);
    send_slice(raw, 2, 3 * MIB, &second);
    for (int i = 0; i < 3; i++) {
        send_slice(raw, 2, 3 * MIB, &second);
        send_slice(raw, 1, 200 * KIB, &first);
    }
    CHECK_EQ(first, 200 * KIB);
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[SERVER][1].requests, 1);
    CHECK_EQ(party->talks[SERVER][1].bytes, 200 * KIB);
    CHECK_EQ(credit_of(raw, 2), 0);
    give_back(party);
    world_run(&party->world, 50);
    credit = credit_of(raw, 2);
    CHECK_GE(credit, 3 * SLICE_BYTES);
    while (second < 3 * MIB) {
        for (; credit >= SLICE_BYTES && second < 3 * MIB; credit -= SLICE_BYTES)
            send_slice(raw, 2, 3 * MIB, &second);
        world_run(&party->world, 5);
        credit += credit_of(raw, 2);
    }
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[SERVER][2].bytes, 3 * MIB);
    party_answer(party, 1, 0, 5);
    party_answer(party, 2, 0, 5);
    world_run(&party->world, 5);
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

static uint32_t hungry(const struct party *party)
{
    const struct smf__link *list = &smf__rpc_of(party->world.server)->hungry_sessions;
    uint32_t count = 0;

    for (const struct smf__link *at = list->next; at != list; at = at->next)
        count += at != &smf__rpc_of(party->world.server)->hungry_mark;
    return count;
}

/* A peer with MANY messages of which a window has come, behind one that goes on in session 1. */
enum { MANY = 40 };

static struct raw *park_many(struct party *party)
{
    struct raw *raw = raw_open2(&party->world);
    uint32_t at = 0;

    send_slice(raw, 1, 100 * KIB, &at);
    world_run(&party->world, 5);
    use_up(party, 200 * KIB);
    for (uint16_t session = 2; session < 2 + MANY; session++) {
        at = 0;
        send_slice(raw, session, 200 * KIB, &at);
    }
    world_run(&party->world, 50);
    for (uint32_t i = 0; i < MANY; i++) /* no pass goes on */
        (void)world_turn(&party->world, party->world.server);
    CHECK_EQ(hungry(party), MANY);
    CHECK_EQ(credit_of(raw, 2), 0);
    return raw;
}

static struct party *party_that_parks(void)
{
    struct smf__rpc_config limits = world_limits();

    limits.credit_bytes = SLICE_BYTES;
    return party_in_little_memory_with(&limits, 64ull << 20);
}

/* A turn feeds some; those who are left come in the next ones, whether anything else happens or not. */
static void parked_messages_are_fed_some_in_a_turn(void)
{
    struct party *party = party_that_parks();
    struct raw *raw = park_many(party);
    uint32_t left = MANY, turns = 0;

    give_back(party);
    while (left != 0) {
        uint32_t before = left;

        CHECK_LT(turns++, MANY);
        (void)world_turn(&party->world, party->world.server);
        left = hungry(party);
        CHECK_LE(before - left, 2 * SMF__RPC_FEED_MAX); /* when it begins, and when it ends */
        CHECK(left == 0 || party->world.server->hurry);
        CHECK_LT(left, before);
    }
    CHECK_GT(turns, 1);
    CHECK(smf__link_alone(&smf__rpc_of(party->world.server)->hungry_mark));
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

/* Memory for some: it is for those who have waited for longest. The others are looked at once, and have theirs
 * when there is more. */
static void who_waits_for_longest_is_fed_first(void)
{
    struct party *party = party_that_parks();
    struct raw *raw = park_many(party);
    const struct smf__rpc *rpc = smf__rpc_of(party->world.server);
    uint32_t left;

    do { /* what is parked takes some of it */
        smf__buffer_unref(party->world.server->pool, held.buffers[--held.count]);
        world_run(&party->world, 50);
        left = hungry(party);
    } while (left == MANY);
    CHECK_GT(left, 0);
    CHECK_LT(left, MANY);
    CHECK_EQ(SMF__LINK_OF(rpc->hungry_sessions.next, struct smf__session, hungry)->id,
             2 + MANY - left);
    for (uint32_t i = 0; i < MANY; i++)
        (void)world_turn(&party->world, party->world.server);
    CHECK_EQ(hungry(party), left);
    CHECK(smf__link_alone(&rpc->hungry_mark));
    CHECK(!party->world.server->hurry);
    give_back(party);
    world_run(&party->world, 50);
    CHECK_EQ(hungry(party), 0);
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

static void a_pass_ends_with_those_it_was_for(void)
{
    struct party *party = party_that_parks();
    struct raw *raw = park_many(party);
    struct smf__rpc *rpc = smf__rpc_of(party->world.server);

    give_back(party);
    (void)world_turn(&party->world, party->world.server);
    CHECK(!smf__link_alone(&rpc->hungry_mark));
    for (uint32_t i = 0; i < rpc->conns_used; i++) {
        if (rpc->conns[i].sessions != NULL)
            smf__conn_close(&rpc->conns[i], SMF_CLOSE_BY_US);
    }
    CHECK(smf__link_alone(&rpc->hungry_mark));
    CHECK(smf__link_alone(&rpc->hungry_sessions));
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

/* Calls of a raw peer that are answered with 1 MiB each. */
static void answer_large(struct party *party, struct raw *raw, uint16_t count)
{
    for (uint16_t session = 1; session <= count; session++)
        send_part(raw, session, 0, 10, 0, 10);
    world_run(&party->world, 5);
    for (uint16_t session = 1; session <= count; session++)
        party_answer(party, session, 0, MIB);
}

/* The peer needs memory for each large message that it was sent the beginning of. */
static void few_large_messages_go_side_by_side(void)
{
    struct party *party = party_open();
    struct raw *raw = raw_open2(&party->world);
    const uint8_t *payload;
    struct smf_frame frame;
    uint8_t begun[PARTY_SESSIONS] = {0};
    uint32_t sessions = 0, small = 0;
    size_t at = 0;

    answer_large(party, raw, 9);
    send_part(raw, 20, 0, 10, 0, 10);
    world_run(&party->world, 5);
    party_answer(party, 20, 0, 10);
    world_run(&party->world, 50);
    while (raw_next2(raw, &at, &frame, &payload)) {
        if (frame.flags & SMF_FRAME_MORE)
            sessions += begun[frame.session]++ == 0;
        else
            small += frame.session == 20;
    }
    CHECK_EQ(sessions, 4); /* there is credit for a quarter of each */
    CHECK_EQ(small, 1);
    raw_forget(raw);
    raw_cancel(raw, 1); /* one is over, and another one begins */
    world_run(&party->world, 50);
    for (sessions = 0, at = 0; raw_next2(raw, &at, &frame, &payload);)
        sessions += (frame.flags & SMF_FRAME_MORE) && begun[frame.session]++ == 0;
    CHECK_EQ(sessions, 1);
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

/* Those that were next are given up together with those before them: the one behind them begins. */
static void who_waits_is_woken_by_those_that_go(void)
{
    struct party *party = party_open();
    struct raw *raw = raw_open2(&party->world);
    const uint8_t *payload;
    struct smf_frame frame;
    uint32_t begun = 0;
    size_t at = 0;

    answer_large(party, raw, 9);
    world_run(&party->world, 50);
    raw_forget(raw);
    for (uint16_t session = 1; session <= 8; session++)
        raw_cancel(raw, session);
    world_run(&party->world, 50);
    while (raw_next2(raw, &at, &frame, &payload))
        begun += (frame.flags & SMF_FRAME_MORE) && frame.session == 9;
    CHECK_GE(begun, 4); /* a window of it */
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

/* Hundreds of messages that are refused, by a peer that has gone: the refusals end the connection in the middle
 * of what is done about one of them. */
static void refusals_may_end_the_connection(void)
{
    static uint8_t bytes[600 * (HEADER + 5)];

    for (int deaf = 0; deaf < 2; deaf++) {
        struct party *party = party_open();
        struct raw *raw = raw_open2(&party->world);
        static const uint8_t payload[5] = {0xff, 0xff, 0xff, 0xff, 1};
        size_t size = 0;

        for (uint16_t session = 1; session <= 600; session++)
            size += level2_frame(bytes + size,
                                 (struct smf_frame){.flags = SMF_FRAME_MORE,
                                                    .session = session,
                                                    .size = sizeof payload,
                                                    .meta = PARTY_METHOD},
                                 payload);
        raw_deaf(raw, deaf);
        CHECK(raw_send(raw, bytes, size));
        raw_close(raw);
        world_run(&party->world, 50);
        CHECK_EQ(party_sessions(party, SERVER), 0);
        party_close(party);
    }
}

/* A stream's handler hears of the end of a connection that broke the rules. */
static void the_handlers_of_a_broken_connection_hear_of_it(void)
{
    struct party *party = party_open();
    struct raw *raw = raw_open2(&party->world);

    send_part(raw, 1, SMF_FRAME_STREAM, 10, 0, 10);
    world_run(&party->world, 5);
    CHECK_EQ(party->talks[SERVER][1].requests, 1);
    CHECK(raw_frame(raw, (struct smf_frame){.flags = SMF_FRAME_CREDIT, .session = 1, .size = 3},
                    "abc"));
    world_run(&party->world, 3000);
    CHECK_EQ(party->world.closed, 1);
    CHECK_EQ(smf_core_turn(party->world.server)->in_flight, 0);
    raw_close(raw);
    party_close(party);
}

/* Replies that wait for the transport, in sessions' queues, stop the reading as those behind them do. */
static void who_does_not_read_is_not_read(void)
{
    struct party *party = party_open();
    struct raw *raw = raw_open2(&party->world);

    raw_deaf(raw, 1);
    answer_large(party, raw, 9);
    world_run(&party->world, 50);
    CHECK_EQ(world_stats(party->world.server).paused_unsent, 1);
    send_part(raw, 20, 0, 10, 0, 10);
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[SERVER][20].requests, 0);
    raw_deaf(raw, 0);
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[SERVER][20].requests, 1);
    party_answer(party, 20, 0, 10);
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

/* Lets ms milliseconds pass where the server has always something to read. */
static void pass(struct world *world, int ms)
{
    for (int i = 0; i < ms; i++) {
        (void)world_turn(world, world->server);
        (void)world_turn(world, world->client);
        raw_poll(world);
        world->clock.now_ns += WORLD_MS;
    }
}

/* Where there is nothing left to read into, who has gone is noticed all the same: what the others wait for may be
 * his. He has sent something that can't be read, and ends, or breaks off. */
static void who_has_gone_is_noticed_without_memory(void)
{
    for (int resets = 0; resets < 2; resets++) {
        struct party *party = party_in_little_memory(16ull << 20);
        struct raw *raw = raw_open2(&party->world);
        struct smf_core *core = party->world.server;
        struct smf__rpc *rpc = smf__rpc_of(core);
        static struct smf_buffer *all[4096];
        struct smf_buffer *buffer;
        uint32_t count = 0;

        raw_deaf(raw, resets); /* who closes with something unread resets */
        send_part(raw, 1, SMF_FRAME_STREAM, 10, 0, 10);
        send_part(raw, 5, 0, 10, 0, 10);
        world_run(&party->world, 5);
        party_answer(party, 5, 0, 10);
        world_run(&party->world, 5);
        CHECK_EQ(smf_core_turn(core)->in_flight, 1);
        for (uint64_t size = 4 * MIB; size >= SMF__POOL_BLOCK_MIN_BYTES; size /= 2) {
            while ((buffer = smf__pool_get(core->pool, size)) != NULL)
                all[count++] = buffer;
        }
        smf_core_retain(core, rpc->chunk);
        rpc->chunk_fill = rpc->chunk->capacity;
        send_part(raw, 3, SMF_FRAME_STREAM, 10, 0, 10);
        pass(&party->world, 5);
        CHECK_EQ(smf_core_turn(core)->in_flight, 1);
        CHECK_GT(world_stats(core).starved, 0);
        CHECK_EQ(party->world.closed, 0);
        raw_close(raw);
        pass(&party->world, 50);
        CHECK_EQ(party->world.closed, 1);
        CHECK_EQ(smf_core_turn(core)->in_flight, 0);
        smf_core_release(core, rpc->chunk);
        while (count > 0)
            smf_core_release(core, all[--count]);
        party_close(party);
    }
}

static const struct test tests[] = {
    TEST(handlers_that_hold_memory_stop_the_reading),
    TEST(a_message_is_parked_behind_one_that_goes_on),
    TEST(parked_messages_are_fed_some_in_a_turn),
    TEST(who_waits_for_longest_is_fed_first),
    TEST(a_pass_ends_with_those_it_was_for),
    TEST(few_large_messages_go_side_by_side),
    TEST(who_waits_is_woken_by_those_that_go),
    TEST(refusals_may_end_the_connection),
    TEST(the_handlers_of_a_broken_connection_hear_of_it),
    TEST(who_does_not_read_is_not_read),
    TEST(who_has_gone_is_noticed_without_memory),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
