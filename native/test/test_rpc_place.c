/* Three cores that listen together on the simulated network: connections are spread over them, and none
 * is lost on its way from one to another, whatever the other does meanwhile. */
#include "rpc/rpc_group.h"
#include "test_sim.h"
#include "time/time_random.h"

#define CORES 3u
#define SEEDS 60
#define PEERS_MAX 40
#define MEMORY_BYTES (8ull << 20)
#define MS WORLD_MS

/* world.server and world.client are the first two cores: nobody is a client of the library's here. */
struct house {
    struct world world;
    struct smf_core *cores[CORES];
    struct smf__group *group;
    struct smf__net_ops fixed; /* of transports whose streams can't move */
    struct smf__random random;
};

static void echo(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    (void)world;
    if (event->kind == SMF_EVENT_REQUEST)
        CHECK_EQ(smf_core_send(core, event->conn, event->session, 200, event->payload,
                               event->size_bytes),
                 SMF_OK);
}

/* The cores that the world does not know take their turns with the first one. */
static void turn_of_the_others(struct world *world, struct smf_core *core)
{
    struct house *house = world->context;

    for (uint32_t i = 2; core == world->server && i < CORES; i++)
        (void)world_turn(world, house->cores[i]);
}

static struct smf__rpc *rpc_of(const struct house *house, uint32_t index)
{
    return smf__rpc_of(house->cores[index]);
}

static void listen_together(struct house *house)
{
    struct smf__listener *first = NULL, *listener;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];

    CHECK_EQ(smf__group_open(&house->group, CORES), SMF_OK);
    for (uint32_t i = 0; i < CORES; i++) {
        smf__rpc_join(rpc_of(house, i), house->group, i);
        CHECK_EQ(smf__rpc_listen(rpc_of(house, i), WORLD_ADDRESS, first, &listener, bound,
                                 sizeof bound, &error),
                 SMF_OK);
        first = first != NULL ? first : listener;
    }
}

static void house_open(struct house *house, uint64_t seed, uint32_t connections_max)
{
    struct world *world = &house->world;
    struct smf__rpc_config limits = world_limits();

    memset(house, 0, sizeof *house);
    limits.connections_max = connections_max;
    world->clock.now_ns = 1000000 * MS;
    smf__random_seed(&house->random, seed);
    CHECK_EQ(smf__sim_open(&world->sim, &world->clock, seed), SMF_OK);
    CHECK_EQ(smf__sim_net_open(world->sim, &world->raw_net), SMF_OK);
    for (uint32_t i = 0; i < CORES; i++)
        house->cores[i] = world_core(world, MEMORY_BYTES, &limits, seed + i);
    world->server = house->cores[0];
    world->client = house->cores[1];
    world->context = house;
    world->handle = echo;
    world->after_turn = turn_of_the_others;
    listen_together(house);
}

/* Closing the simulation aborts if a stream was left between two cores. */
static void house_close(struct house *house)
{
    struct world *world = &house->world;

    for (int i = 0; i < world->raw_count; i++) {
        free(world->raws[i]->got);
        free(world->raws[i]);
    }
    for (uint32_t i = 0; i < CORES; i++)
        smf__core_close(house->cores[i]);
    smf__group_close(house->group);
    world->raw_net->ops->close(world->raw_net);
    smf__sim_close(world->sim);
}

static uint32_t connections(const struct house *house, uint32_t index)
{
    return smf_core_turn(house->cores[index])->connections;
}

static uint32_t all_connections(const struct house *house)
{
    return connections(house, 0) + connections(house, 1) + connections(house, 2);
}

static uint32_t spread(const struct house *house)
{
    uint32_t least = UINT32_MAX, most = 0;

    for (uint32_t i = 0; i < CORES; i++) {
        least = connections(house, i) < least ? connections(house, i) : least;
        most = connections(house, i) > most ? connections(house, i) : most;
    }
    return most - least;
}

static uint64_t closed_for(const struct house *house, uint32_t reason)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < CORES; i++)
        sum += world_stats(house->cores[i]).closed[reason];
    return sum;
}

/* Nothing is on its way: every count is what it is made of. */
static void check_counts(const struct house *house)
{
    uint64_t in = 0, out = 0;

    for (uint32_t i = 0; i < CORES; i++) {
        struct smf_core_stats stats = world_stats(house->cores[i]);

        CHECK_EQ(smf__rpc_promised(rpc_of(house, i)), 0);
        CHECK_EQ(stats.connections_open, connections(house, i));
        CHECK_EQ(smf__seat_taken(smf__group_seat(house->group, i)), connections(house, i));
        in += stats.connections_handed_in;
        out += stats.connections_handed_out;
    }
    CHECK_EQ(in, out);
}

static struct smf__sim_link random_link(struct smf__random *random, int faults)
{
    struct smf__sim_link link = {.latency_ns_max = smf__random_below(random, 3) * MS,
                                 .recv_size_max = (uint32_t)smf__random_below(random, 2) * 7,
                                 .send_size_max = (uint32_t)smf__random_below(random, 2) * 9};

    if (faults && smf__random_below(random, 2) != 0)
        link.fault = (struct smf__sim_fault){.kind = SMF__SIM_RESET,
                                             .direction = (uint32_t)smf__random_below(random, 2),
                                             .at_byte = smf__random_below(random, 120)};
    return link;
}

/* Spreading. */

static void spread_with(uint64_t seed)
{
    struct house house;
    uint32_t peers;

    house_open(&house, seed, 1024);
    peers = 1 + (uint32_t)smf__random_below(&house.random, PEERS_MAX);
    for (uint32_t i = 0; i < peers; i++) {
        struct smf__sim_link link = random_link(&house.random, 0);

        smf__sim_link(house.world.sim, &link);
        (void)raw_open(&house.world);
        if (smf__random_below(&house.random, 3) == 0)
            world_run(&house.world, 1);
    }
    world_run(&house.world, 20);
    CHECK_EQ(all_connections(&house), peers);
    CHECK_LE(spread(&house), 1);
    check_counts(&house);
    for (uint32_t i = 0; i < peers; i++)
        raw_call(house.world.raws[i], (uint16_t)(i + 1));
    world_run(&house.world, 50);
    for (uint32_t i = 0; i < peers; i++)
        CHECK_EQ(raw_replies(house.world.raws[i]), 1);
    house_close(&house);
}

static void connections_are_spread(void)
{
    for (uint64_t i = 0; i < SEEDS; i++)
        spread_with(test_seed() + i);
}

/* Who closes makes room, and nobody is moved for it: a new one goes where the fewest are. */
static void come_and_go_with(uint64_t seed)
{
    struct house house;
    struct world *world = &house.world;

    house_open(&house, seed, 1024);
    for (int i = 0; i < WORLD_RAWS_MAX; i++) {
        uint32_t before[CORES], least = UINT32_MAX;

        if (world->raw_count > 0 && smf__random_below(&house.random, 2) != 0) {
            raw_close(world->raws[smf__random_below(&house.random, (uint64_t)world->raw_count)]);
            world_run(world, 5);
            check_counts(&house);
        }
        for (uint32_t j = 0; j < CORES; j++) {
            before[j] = connections(&house, j);
            least = before[j] < least ? before[j] : least;
        }
        (void)raw_open(world);
        world_run(world, 5);
        for (uint32_t j = 0; j < CORES; j++)
            CHECK(connections(&house, j) == before[j] || before[j] == least);
        check_counts(&house);
    }
    house_close(&house);
}

static void connections_come_and_go(void)
{
    for (uint64_t i = 0; i < SEEDS; i++)
        come_and_go_with(test_seed() + i);
}

/* Connections break at any moment, also before they are accepted, and on their way. */
static void break_with(uint64_t seed)
{
    struct house house;
    struct world *world = &house.world;

    house_open(&house, seed, 1024);
    for (int i = 0; i < PEERS_MAX; i++) {
        struct smf__sim_link link = random_link(&house.random, 1);
        struct raw *raw;

        smf__sim_link(world->sim, &link);
        raw = raw_open(world);
        if (smf__random_below(&house.random, 8) == 0)
            raw_close(raw);
        else if (smf__random_below(&house.random, 2) != 0)
            world_run(world, smf__random_below(&house.random, 4));
    }
    world_run(world, 10);
    for (int i = 0; i < PEERS_MAX; i++) {
        uint8_t bytes[64];

        if (world->raws[i]->stream != NULL)
            (void)raw_send(world->raws[i], bytes, frame_make(bytes, 1, WORLD_METHOD, "hello", 5));
    }
    world_run(world, 50);
    check_counts(&house);
    for (int i = 0; i < PEERS_MAX; i++)
        raw_close(world->raws[i]);
    world_run(world, 50);
    CHECK_EQ(all_connections(&house), 0);
    check_counts(&house);
    house_close(&house);
}

static void broken_connections_are_counted_out(void)
{
    for (uint64_t i = 0; i < SEEDS; i++)
        break_with(test_seed() + i);
}

static void streams_that_can_not_move_stay(void)
{
    struct house house;
    uint64_t out = 0;

    house_open(&house, test_seed(), 1024);
    house.fixed = *rpc_of(&house, 0)->net->ops;
    house.fixed.stream_detach = NULL;
    house.fixed.stream_attach = NULL;
    for (uint32_t i = 0; i < CORES; i++)
        rpc_of(&house, i)->net->ops = &house.fixed;
    for (int i = 0; i < PEERS_MAX; i++)
        (void)raw_open(&house.world);
    world_run(&house.world, 10);
    CHECK_EQ(all_connections(&house), PEERS_MAX);
    check_counts(&house);
    for (uint32_t i = 0; i < CORES; i++)
        out += world_stats(house.cores[i]).connections_handed_out;
    CHECK_EQ(out, 0);
    house_close(&house);
}

/* Limits. */

static void too_many_is_said_when_all_are_full(void)
{
    struct house house;

    house_open(&house, test_seed(), 4);
    for (uint32_t i = 0; i < 4 * CORES; i++)
        (void)raw_open(&house.world);
    world_run(&house.world, 10);
    CHECK_EQ(all_connections(&house), 4 * CORES);
    CHECK_EQ(closed_for(&house, SMF_CLOSE_TOO_MANY), 0);
    (void)raw_open(&house.world);
    (void)raw_open(&house.world);
    world_run(&house.world, 10);
    CHECK_EQ(all_connections(&house), 4 * CORES);
    CHECK_EQ(closed_for(&house, SMF_CLOSE_TOO_MANY), 2);
    raw_close(house.world.raws[5]);
    world_run(&house.world, 10);
    (void)raw_open(&house.world);
    world_run(&house.world, 10);
    CHECK_EQ(all_connections(&house), 4 * CORES);
    CHECK_EQ(closed_for(&house, SMF_CLOSE_TOO_MANY), 2);
    check_counts(&house);
    house_close(&house);
}

/* Connections that a core has opened itself take places, too. */
static void what_a_core_opens_counts(void)
{
    struct house house;
    struct smf_error error;
    uint64_t conn;
    char endless[200] = {0};

    house_open(&house, test_seed(), 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(smf_core_connect(house.cores[1], "nobody", 0, &conn, &error), SMF_OK);
    CHECK_EQ(smf_core_connect(house.cores[1], "nobody", 0, &conn, &error), SMF_ELIMIT);
    CHECK(strstr(error.text, "connections_max") != NULL);
    memset(endless, 'x', sizeof endless - 1);
    CHECK_EQ(smf_core_connect(house.cores[2], endless, 0, &conn, &error), SMF_EADDRESS);
    CHECK_EQ(smf__rpc_promised(rpc_of(&house, 2)), 0);
    for (int i = 0; i < 4; i++)
        (void)raw_open(&house.world);
    for (uint32_t i = 0; i < CORES; i++) /* one look each: the three are still being opened */
        (void)world_turn(&house.world, house.cores[i]);
    CHECK_EQ(connections(&house, 0) + connections(&house, 2) +
                 smf__rpc_promised(rpc_of(&house, 0)) + smf__rpc_promised(rpc_of(&house, 2)),
             4);
    world_run(&house.world, 10); /* they are refused, and leave room */
    CHECK_EQ(connections(&house, 1), 0);
    check_counts(&house);
    for (int i = 0; i < 2; i++)
        (void)raw_open(&house.world);
    world_run(&house.world, 10);
    CHECK_EQ(spread(&house), 0);
    house_close(&house);
}

static void no_op(struct smf_core *core, void *context)
{
    (void)core;
    (void)context;
}

static void fill_box(struct smf_core *core)
{
    while (smf_core_post(core, no_op, NULL) == SMF_OK)
        ;
}

/* From now on only the first core accepts. */
static void first_listens_alone(struct house *house)
{
    for (uint32_t i = 1; i < CORES; i++) {
        struct smf__rpc *rpc = rpc_of(house, i);

        rpc->net->ops->listener_close(rpc->net, rpc->listeners[0]);
        smf_core_turn(house->cores[i])->listeners = 0;
    }
}

/* Peers knock and are accepted; what is handed over stays in the others' boxes. */
static void knock(struct house *house, int peers)
{
    for (int i = 0; i < peers; i++)
        (void)raw_open(&house->world);
    (void)world_turn(&house->world, house->cores[0]); /* with the third core */
    raw_poll(&house->world);
}

static void a_full_box_does_not_stop_anybody(void)
{
    struct house house;

    house_open(&house, test_seed(), 4);
    house.world.after_turn = NULL; /* nor does the third core read its mail */
    first_listens_alone(&house);
    fill_box(house.cores[1]);
    fill_box(house.cores[2]);
    knock(&house, 3); /* all of them stay */
    CHECK_EQ(connections(&house, 0), 3);
    CHECK_EQ(world_stats(house.cores[0]).connections_handed_out, 0);
    CHECK_EQ(smf__seat_taken(smf__group_seat(house.group, 1)), 0);
    (void)world_turn(&house.world, house.cores[2]); /* reads its box */
    knock(&house, 2); /* one to the third core; for the other the second one is next, and can't */
    CHECK_EQ(smf__rpc_promised(rpc_of(&house, 1)), 0);
    CHECK_EQ(connections(&house, 0) + smf__rpc_promised(rpc_of(&house, 2)), 5);
    knock(&house, 4);
    knock(&house, 1); /* the first is full, the second does not read, the third is full by now */
    CHECK_EQ(connections(&house, 0), 4);
    CHECK_EQ(smf__rpc_promised(rpc_of(&house, 2)), 4);
    CHECK_EQ(closed_for(&house, SMF_CLOSE_TOO_MANY), 2);
    house.world.after_turn = turn_of_the_others;
    world_run(&house.world, 10);
    check_counts(&house);
    CHECK_EQ(all_connections(&house), 8);
    house_close(&house);
}

/* The other core refuses what it is handed: its transport has no memory for it. */
static void what_can_not_be_attached_is_closed(void)
{
    struct house house;

    house_open(&house, test_seed(), 8);
    first_listens_alone(&house);
    smf__sim_fail_attach(house.world.sim, 2);
    knock(&house, 3);
    world_run(&house.world, 10);
    CHECK_EQ(all_connections(&house), 1);
    CHECK_EQ(closed_for(&house, SMF_CLOSE_NO_MEMORY), 2);
    CHECK_EQ(house.world.raws[0]->ended + house.world.raws[1]->ended + house.world.raws[2]->ended,
             2);
    check_counts(&house);
    house_close(&house);
}

/* The other core is on its way out. */

/* Nine peers that have sent a request each and that only the first core has seen: three stay there. */
static void nine_on_their_way(struct house *house)
{
    struct world *world = &house->world;

    for (int i = 0; i < 9; i++)
        (void)raw_open(world);
    raw_poll(world);
    for (int i = 0; i < 9; i++)
        raw_call(world->raws[i], 1);
    world->after_turn = NULL;
    (void)world_turn(world, house->cores[0]);
    world->after_turn = turn_of_the_others;
}

static void check_answered(const struct house *house)
{
    for (int i = 0; i < 9; i++) {
        CHECK_EQ(raw_replies(house->world.raws[i]), 1);
        CHECK_EQ(house->world.raws[i]->broken, 0);
    }
}

/* Peers that have knocked and sent a request are answered although the core that they were handed to
 * drains; and nobody is handed to it afterwards. */
static void drain_with(int turns_before)
{
    struct house house;
    struct world *world = &house.world;

    house_open(&house, test_seed(), 1024);
    first_listens_alone(&house);
    if (turns_before > 0)
        smf_core_drain(house.cores[1]);
    for (int i = 0; i < turns_before; i++)
        (void)world_turn(world, house.cores[1]);
    nine_on_their_way(&house);
    CHECK_EQ(smf__rpc_promised(rpc_of(&house, 1)), turns_before < 2 ? 3 : 0);
    smf_core_drain(house.cores[1]);
    world_run(world, 20);
    check_answered(&house);
    CHECK_EQ(world_stats(house.cores[1]).accepted, turns_before < 2 ? 3 : 0);
    world_run(world, 2000); /* closing takes a while, for the peers' sake */
    CHECK(smf_core_drained(house.cores[1]));
    CHECK_EQ(connections(&house, 1), 0);
    for (int i = 0; i < 8; i++)
        (void)raw_open(world);
    world_run(world, 10);
    CHECK_EQ(connections(&house, 1), 0);
    CHECK_EQ(all_connections(&house), 17 - world_stats(house.cores[1]).accepted);
    check_counts(&house);
    house_close(&house);
}

static void a_core_that_drains_serves_who_was_on_the_way(void)
{
    for (int turns = 0; turns < 5; turns++)
        drain_with(turns);
}

/* However long the letters take: they were promised a place. */
static void a_drain_waits_for_letters(void)
{
    struct house house;
    struct smf_turn *turn;

    house_open(&house, test_seed(), 1024);
    first_listens_alone(&house);
    nine_on_their_way(&house);
    turn = smf_core_turn(house.cores[1]);
    turn->send_capacity = 0; /* mail is left unread */
    smf_core_drain(house.cores[1]);
    for (int i = 0; i < 20; i++)
        (void)world_turn(&house.world, house.cores[1]);
    CHECK_EQ(turn->listeners, 0);
    CHECK(!smf_core_drained(house.cores[1]));
    CHECK_EQ(smf__seat_promise(rpc_of(&house, 1)->seat), 0);
    turn->send_capacity = SMF__CORE_SENDS_MAX;
    world_run(&house.world, 2000);
    CHECK(smf_core_drained(house.cores[1]));
    check_answered(&house);
    CHECK_EQ(world_stats(house.cores[1]).accepted, 3);
    house_close(&house);
}

static void a_core_that_disconnects_all_closes_who_was_on_the_way(void)
{
    struct house house;

    house_open(&house, test_seed(), 1024);
    house.world.after_turn = NULL;
    first_listens_alone(&house);
    knock(&house, 6);
    CHECK_EQ(smf__rpc_promised(rpc_of(&house, 1)), 2);
    smf_core_disconnect_all(house.cores[1]);
    house.world.after_turn = turn_of_the_others;
    world_run(&house.world, 10);
    CHECK_EQ(connections(&house, 1), 0);
    CHECK_EQ(all_connections(&house), 4);
    CHECK_EQ(world_stats(house.cores[1]).closed[SMF_CLOSE_BY_US], 2);
    knock(&house, 6);
    world_run(&house.world, 10);
    CHECK_EQ(connections(&house, 1), 0);
    CHECK_EQ(all_connections(&house), 10);
    check_counts(&house);
    house_close(&house);
}

static void a_stopped_core_is_handed_nothing(void)
{
    struct house house;

    house_open(&house, test_seed(), 1024);
    first_listens_alone(&house);
    house.world.after_turn = NULL;
    smf_core_stop(house.cores[1]);
    smf_core_stop(house.cores[2]);
    knock(&house, 6);
    CHECK_EQ(connections(&house, 0), 6);
    house_close(&house);
}

/* Letters that nobody reads any more: their streams are closed with the core. */
static void closing_forgets_nobody(void)
{
    struct house house;
    uint32_t left;

    house_open(&house, test_seed(), 1024);
    house.world.after_turn = NULL;
    first_listens_alone(&house);
    knock(&house, 9);
    left = smf__rpc_promised(rpc_of(&house, 1)) + smf__rpc_promised(rpc_of(&house, 2));
    CHECK_EQ(left, 6);
    CHECK_EQ(smf_core_post(house.cores[1], no_op, &house), SMF_OK); /* not ours */
    house_close(&house);
}

static const struct test tests[] = {
    TEST(connections_are_spread),
    TEST(connections_come_and_go),
    TEST(broken_connections_are_counted_out),
    TEST(streams_that_can_not_move_stay),
    TEST(too_many_is_said_when_all_are_full),
    TEST(what_a_core_opens_counts),
    TEST(a_full_box_does_not_stop_anybody),
    TEST(what_can_not_be_attached_is_closed),
    TEST(a_core_that_drains_serves_who_was_on_the_way),
    TEST(a_drain_waits_for_letters),
    TEST(a_core_that_disconnects_all_closes_who_was_on_the_way),
    TEST(a_stopped_core_is_handed_nothing),
    TEST(closing_forgets_nobody),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
