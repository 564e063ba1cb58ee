/* Two programs that do what they like with streams and large messages - send, take late, answer early, give up -
 * over simulated networks that do what they like, and over the kernel's sockets. What arrives is what was sent,
 * every call ends once, and nothing is left behind. */
#include "test_stream.h"
#include "time/time_random.h"

#define SEEDS (test_slowed() ? 12u : 60u)
#define STEPS 1500
#define IDS 400
#define STREAM SMF_FRAME_STREAM
#define FIN SMF_FRAME_FIN
#define ADDRESS_EPOLL "127.0.0.1:0"

enum { FREE, UNARY, OPEN, HALF }; /* the client's side of a call */
enum { NOT, RUNS, ANSWERED };     /* the server's */

struct call {
    uint8_t client, server;
    uint8_t stream, cancelled, early;
};

struct chaos {
    struct party *party;
    struct smf__random random;
    struct call calls[IDS + 1];
    uint16_t next;
    uint32_t open, closed;
    uint32_t lazy; /* takes are left for later, one in so many is not */
    uint32_t ended, begun;
};

static struct chaos chaos;

static uint32_t below(uint32_t limit)
{
    return (uint32_t)smf__random_below(&chaos.random, limit);
}

/* Small ones in most cases. */
static uint32_t any_size(void)
{
    return 1 + below(1u << (4 + below(below(8) == 0 ? 16 : 10)));
}

static void forget_call(uint16_t id)
{
    chaos.calls[id] = (struct call){0};
    for (int of = CLIENT; of <= SERVER; of++)
        chaos.party->talks[of][id] = (struct talk){.keeps = 1};
}

static void begin_call(void)
{
    uint16_t id = chaos.next;
    struct call *call = &chaos.calls[id];

    if (chaos.open >= 30 || call->client != FREE || call->server == RUNS)
        return;
    chaos.next = (uint16_t)(chaos.next % IDS + 1);
    forget_call(id);
    chaos.open++;
    chaos.begun++;
    call->stream = below(3) != 0;
    call->client = call->stream ? OPEN : UNARY;
    party_call(chaos.party, id, call->stream ? STREAM : 0,
               call->stream && below(4) == 0 ? 0 : any_size());
}

/* What the client does with a call that is open. */
static void client_acts(uint16_t id, int end)
{
    struct call *call = &chaos.calls[id];

    if (call->client == FREE)
        return;
    if (!end && !call->cancelled && below(40) == 0) {
        call->cancelled = 1;
        chaos.party->talks[CLIENT][id].gave_up = 1;
        CHECK_EQ(
            smf_core_cancel(chaos.party->world.client, chaos.party->conn, id, SMF_CODE_CANCELLED),
            SMF_OK);
    }
    if (call->client != OPEN || call->cancelled)
        return;
    if (end || below(10) == 0) {
        call->client = HALF;
        party_call(chaos.party, id, STREAM | FIN, below(2) == 0 ? 0 : any_size());
    } else {
        party_call(chaos.party, id, STREAM, any_size());
    }
}

static void server_acts(uint16_t id, int end)
{
    struct call *call = &chaos.calls[id];
    struct talk *talk = &chaos.party->talks[SERVER][id];

    if (call->server != RUNS)
        return;
    if (!call->stream) {
        call->server = ANSWERED;
        party_answer(chaos.party, id, 0, any_size());
    } else if (talk->cancels != 0 || (talk->fins != 0 && (end || below(4) == 0)) ||
               (!end && below(60) == 0)) {
        call->early = talk->fins == 0;
        call->server = ANSWERED;
        party_answer(chaos.party, id, STREAM | FIN, below(2) == 0 ? 0 : any_size());
    } else if (!end) {
        party_answer(chaos.party, id, STREAM, any_size());
    }
}

static void take_some(int of, uint16_t id, int all)
{
    struct talk *talk = &chaos.party->talks[of][id];

    while (talk->taken < talk->messages && (all || below(chaos.lazy) == 0))
        party_take(chaos.party, of, id);
}

static void check_call(uint16_t id)
{
    const struct call *call = &chaos.calls[id];
    const struct talk *client = &chaos.party->talks[CLIENT][id];
    const struct talk *server = &chaos.party->talks[SERVER][id];

    CHECK_EQ(client->replies, 1);
    CHECK_LE(server->requests, 1);
    if (call->cancelled)
        return;
    CHECK_EQ(client->status, SMF_CODE_OK);
    CHECK_EQ(client->messages, server->sent);
    if (!call->early)
        CHECK_EQ(server->messages, client->sent);
}

static void heard(struct party *party, int of, const struct smf_event *event)
{
    struct call *call = &chaos.calls[event->session % (IDS + 1)];

    (void)party;
    if (event->kind == SMF_EVENT_CLOSED)
        chaos.closed++;
    if (of == SERVER && event->kind == SMF_EVENT_REQUEST) {
        CHECK_EQ(call->server, NOT);
        call->server = RUNS;
        CHECK_EQ(call->stream, (event->flags & STREAM) != 0);
    }
    if (of == CLIENT && event->kind == SMF_EVENT_REPLY) {
        check_call(event->session);
        CHECK_NE(call->client, FREE);
        call->client = FREE;
        chaos.open--;
        chaos.ended++;
    }
}

static void act(int end)
{
    uint32_t tries = end ? IDS : 6;

    if (!end && below(3) == 0)
        begin_call();
    for (uint32_t i = 0; i < tries; i++) {
        uint16_t id = (uint16_t)(1 + (end ? i : below(IDS)));

        client_acts(id, end);
        server_acts(id, end);
    }
    for (uint16_t id = 1; id <= IDS; id++) {
        take_some(CLIENT, id, end);
        take_some(SERVER, id, end);
    }
}

/* One turn of both, on any net. */
static void step(int real)
{
    struct world *world = &chaos.party->world;

    if (real) {
        (void)world_turn(world, world->server);
        (void)world_turn(world, world->client);
    } else if (!world_step(world, world->clock.now_ns + 5 * WORLD_MS)) {
        world->clock.now_ns += 5 * WORLD_MS;
    }
}

static void begin_chaos(struct party *party, uint64_t seed)
{
    memset(&chaos, 0, sizeof chaos);
    chaos.party = party;
    smf__random_seed(&chaos.random, seed);
    chaos.next = 1;
    chaos.lazy = 1 + below(8);
    party->keeps = 1;
    party->heard = heard;
}

static void play(int real)
{
    for (int i = 0; i < STEPS && chaos.closed == 0; i++) {
        if (below(2) == 0)
            act(0);
        step(real);
    }
    for (int i = 0; i < 2000000 && chaos.closed == 0; i++) {
        if (i % 16 == 0)
            act(1);
        step(real);
        if (chaos.open == 0 && party_sessions(chaos.party, CLIENT) == 0 &&
            party_sessions(chaos.party, SERVER) == 0)
            break;
    }
    if (chaos.closed == 0)
        CHECK_EQ(chaos.open, 0);
}

/* Calls that were in flight when the connection broke are answered: nobody hears it. */
static void answer_the_rest(void)
{
    for (uint16_t id = 1; id <= IDS; id++) {
        if (chaos.calls[id].server == RUNS)
            party_answer(chaos.party, id, STREAM | FIN, 0);
    }
}

static struct smf__sim_link any_link(int breaks)
{
    struct smf__sim_link link = {.latency_ns_min = below(2) * 1000,
                                 .bytes_per_second = below(3) == 0 ? 20u << 20 : 0,
                                 .window_bytes = 4096u << below(6),
                                 .recv_size_max = below(2) == 0 ? 4000 + below(70000) : 0,
                                 .send_size_max = below(2) == 0 ? 4000 + below(70000) : 0};

    link.latency_ns_max = link.latency_ns_min + below(2) * 300000;
    if (breaks)
        link.fault =
            (struct smf__sim_fault){SMF__SIM_RESET, below(2), 1000 + below(1u << (10 + below(12)))};
    return link;
}

static void chaos_on_simulated_networks(void)
{
    uint64_t calls = 0, breaks = 0;

    for (uint32_t i = 0; i < SEEDS; i++) {
        struct smf__rpc_config limits = world_limits();
        struct smf__sim_link link;
        struct party *party;

        limits.credit_bytes = (64u << 10) << (i % 3);
        party = party_open_with(&limits, i % 4 == 0 ? 16ull << 20 : 256ull << 20);
        begin_chaos(party, test_seed() + i);
        link = any_link(i % 5 == 4);
        smf__sim_link(party->world.sim, &link);
        party_connect(party);
        play(0);
        if (chaos.closed != 0) {
            answer_the_rest();
            world_run(&party->world, 3000);
            breaks++;
        }
        calls += chaos.ended;
        party_close(party);
    }
    CHECK_GT(breaks, 0);
    test_note("%" PRIu64 " calls ended, %" PRIu64 " connections broke", calls, breaks);
}

/* Sockets. */

static struct smf_core *real_core(const struct smf__rpc_config *limits)
{
    struct smf__core_config config = {.clock = smf__clock_monotonic(),
                                      .random_seed = test_seed() | 1,
                                      .memory_bytes = 1ull << 30,
                                      .spin_us = -1,
                                      .cpu = SMF__CPU_NONE};
    struct smf_error error;
    struct smf_core *core;
    struct smf__net *net;

    CHECK_EQ(smf__core_open(&core, &config, &error), SMF_OK);
    CHECK_EQ(smf__net_epoll_open(&net, &error), SMF_OK);
    CHECK_EQ(smf__rpc_open(core, net, limits, &error), SMF_OK);
    return core;
}

static struct party *real_party(void)
{
    static struct party party;
    struct smf__rpc_config limits = world_limits();
    struct smf__listener *listener;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];

    memset(&party, 0, sizeof party);
    party.world.server = real_core(&limits);
    party.world.client = real_core(&limits);
    party.world.context = &party;
    party.world.handle = party_handle;
    CHECK_EQ(smf__rpc_listen(smf__rpc_of(party.world.server), ADDRESS_EPOLL, NULL, &listener, bound,
                             sizeof bound, &error),
             SMF_OK);
    chaos.party = &party;
    CHECK_EQ(
        smf_core_connect_with(party.world.client, bound, 7, SMF_CONNECT_HELLO, &party.conn, &error),
        SMF_OK);
    for (int i = 0; i < 100000 && smf__rpc_of(party.world.client)->stats.connections_level2 == 0;
         i++)
        step(1);
    CHECK_EQ(smf__rpc_of(party.world.client)->stats.connections_level2, 1);
    party.used[CLIENT] = party_used(&party, CLIENT);
    party.used[SERVER] = party_used(&party, SERVER);
    return &party;
}

static void close_real(struct party *party)
{
    for (int i = 0; i < 10; i++)
        step(1);
    for (int of = CLIENT; of <= SERVER; of++) {
        CHECK_EQ(party_sessions(party, of), 0);
        CHECK_EQ(smf_core_turn(party_core(party, of))->in_flight, 0);
        CHECK_LE(party_used(party, of), party->used[of] + (1u << 20));
        smf__core_close(party_core(party, of));
    }
}

static void chaos_on_sockets(void)
{
    for (uint32_t i = 0; i < 4; i++) {
        struct party *party = real_party();

        begin_chaos(party, test_seed() + 1000 + i);
        play(1);
        CHECK_EQ(chaos.closed, 0);
        CHECK_GT(chaos.ended, 10);
        close_real(party);
    }
}

static void large_messages_on_sockets(void)
{
    struct party *party = real_party();

    memset(&chaos, 0, sizeof chaos);
    chaos.party = party;
    party->echoes = 1;
    party_call(party, 1, 0, 64u << 20);
    party_call(party, 2, STREAM, 20u << 20);
    party_call(party, 2, STREAM | FIN, 3000);
    for (int i = 0; i < 1000000 &&
                    (party->talks[CLIENT][1].replies == 0 || party->talks[CLIENT][2].replies == 0);
         i++)
        step(1);
    CHECK_EQ(party->talks[CLIENT][1].bytes, 64u << 20);
    CHECK_EQ(party->talks[CLIENT][2].bytes, (20u << 20) + 3000);
    close_real(party);
}

static const struct test tests[] = {
    TEST(chaos_on_simulated_networks),
    TEST(chaos_on_sockets),
    TEST(large_messages_on_sockets),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
