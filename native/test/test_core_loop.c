/* Cores inside a foreign event loop: calls, letters and timers reach a program that sleeps in an epoll
 * of its own, none is lost, and it sleeps when there is nothing to do. */
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <smf/engine.h>
#include <smf/loop.h>

#include "test.h"

#define MEMORY_BYTES (8ull << 20)
#define LATE_MS 20000 /* nothing takes so long but a wake-up that was lost */
#define CALLS 20000u
#define IN_FLIGHT 64u
#define ROUNDS 20000u
#define QUIET_POLLS_MAX 4 /* until a core that has nothing to do may sleep */

struct beside {
    struct smf_engine *engine;
    struct smf_core *core;
    int epoll;
    int other; /* an eventfd: what else the program has to do */
    char bound[128];
    uint64_t served, answered, letters, others, sleeps;
    uint32_t closed[SMF_CLOSE_REASONS];
};

static void open_beside(struct beside *beside, const struct smf_engine_config *limits, uint32_t how)
{
    struct smf_engine_config config = *limits;
    struct epoll_event event = {.events = EPOLLIN | how};
    struct smf_error error;

    memset(beside, 0, sizeof *beside);
    config.size = sizeof config;
    config.memory_bytes = MEMORY_BYTES;
    CHECK_EQ(smf_engine_open(&beside->engine, &config, &error), SMF_OK);
    beside->core = smf_engine_core(beside->engine, 0);
    CHECK_EQ(smf_engine_listen(beside->engine, "127.0.0.1:0", beside->bound, sizeof beside->bound,
                               &error),
             SMF_OK);
    beside->epoll = epoll_create1(EPOLL_CLOEXEC);
    beside->other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    event.data.fd = smf_core_fd(beside->core);
    CHECK_EQ(epoll_ctl(beside->epoll, EPOLL_CTL_ADD, event.data.fd, &event), 0);
    event.events = EPOLLIN;
    event.data.fd = beside->other;
    CHECK_EQ(epoll_ctl(beside->epoll, EPOLL_CTL_ADD, event.data.fd, &event), 0);
}

static void close_beside(struct beside *beside)
{
    smf_engine_close(beside->engine);
    close(beside->epoll);
    close(beside->other);
}

/* One turn of the program's loop. Returns what smf_core_poll did. */
static int turn(struct beside *beside)
{
    int64_t wait_us = smf_core_arm(beside->core);
    int ready = 0, count, wait_ms = wait_us < 0 ? LATE_MS : (int)((wait_us + 999) / 1000);
    struct epoll_event events[2];

    if (wait_us != 0) {
        beside->sleeps++;
        ready = epoll_wait(beside->epoll, events, 2, wait_ms);
        CHECK(ready > 0 || wait_us > 0); /* else a wake-up was lost */
    }
    for (int i = 0; i < ready; i++) {
        uint64_t value;

        if (events[i].data.fd == beside->other && read(beside->other, &value, sizeof value) > 0)
            beside->others += value;
    }
    count = smf_core_poll(beside->core, SMF_WAIT_NONE);
    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(beside->core)->events[i];

        if (event->kind == SMF_EVENT_REQUEST) {
            beside->served++;
            CHECK_EQ(smf_core_send(beside->core, event->conn, event->session, 200, event->payload,
                                   event->size_bytes),
                     SMF_OK);
        } else if (event->kind == SMF_EVENT_REPLY) {
            beside->answered++;
        } else if (event->kind == SMF_EVENT_CLOSED) {
            beside->closed[event->meta]++;
        }
    }
    return count;
}

/* Polls as long as the core wants it, which must not be for long. */
static void quiet(struct beside *beside)
{
    int polls = 0;

    while (smf_core_arm(beside->core) == 0) {
        CHECK_LT(polls++, QUIET_POLLS_MAX);
        CHECK_EQ(smf_core_poll(beside->core, SMF_WAIT_NONE), 0);
    }
}

/* Calls, letters and something else, from threads of their own. */

static void *call_beside(void *context)
{
    const struct beside *server = context;
    const struct smf_engine_config limits = {0};
    struct beside client;
    struct smf_error error;
    uint32_t sent = 0;
    uint64_t conn;

    open_beside(&client, &limits, EPOLLET);
    CHECK_EQ(smf_core_connect(client.core, server->bound, 0, &conn, &error), SMF_OK);
    while (client.answered < CALLS) {
        for (; sent < CALLS && sent - client.answered < IN_FLIGHT; sent++)
            CHECK_EQ(smf_core_send(client.core, conn, (uint16_t)sent, 7, &sent, sizeof sent),
                     SMF_OK);
        CHECK_GE(turn(&client), 0);
    }
    CHECK_EQ(client.answered, CALLS);
    close_beside(&client);
    return NULL;
}

static void count_letter(struct smf_core *core, void *context)
{
    (void)core;
    ++*(uint64_t *)context;
}

static void *send_letters(void *context)
{
    struct beside *server = context;
    uint64_t one = 1;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        while (smf_core_post(server->core, count_letter, &server->letters) != SMF_OK)
            sched_yield();
        if (i % 16 == 0)
            CHECK_EQ(write(server->other, &one, sizeof one), sizeof one);
        if (i % 256 == 0)
            usleep(100);
    }
    return NULL;
}

static void calls_and_letters_reach_a_foreign_loop(void)
{
    const struct smf_engine_config limits = {0};
    struct beside server;
    struct smf_core_stats stats;
    pthread_t threads[3];

    open_beside(&server, &limits, 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, call_beside, &server), 0);
    CHECK_EQ(pthread_create(&threads[2], NULL, send_letters, &server), 0);
    while (server.served < 2 * CALLS || server.letters < ROUNDS || server.others < ROUNDS / 16)
        CHECK_GE(turn(&server), 0);
    while (smf_core_turn(server.core)->connections > 0) /* the last replies */
        CHECK_GE(turn(&server), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    smf_core_stats(server.core, &stats);
    CHECK_EQ(stats.replies_sent, 2 * CALLS);
    CHECK_EQ(stats.waits, server.sleeps);
    close_beside(&server);
}

/* A wake-up gets lost, if it does, when a letter is posted in the very moment in which the loop goes to
 * sleep. One letter at a time, after pauses of every length. */

static uint32_t acknowledged; /* atomic */

static void acknowledge(struct smf_core *core, void *context)
{
    (void)core;
    (void)context;
    __atomic_add_fetch(&acknowledged, 1, __ATOMIC_SEQ_CST);
}

static void pause_for(uint32_t loops)
{
    for (volatile uint32_t i = 0; i < loops; i++) {
    }
}

static void await(uint32_t value)
{
    for (uint32_t looks = 0; __atomic_load_n(&acknowledged, __ATOMIC_SEQ_CST) != value; looks++)
        if (looks % 64 == 63)
            sched_yield();
}

static void *post_one_by_one(void *context)
{
    struct beside *server = context;
    uint64_t random = test_seed() | 1;

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        pause_for((uint32_t)(random >> 40) % 4096);
        if (i % 2 == 0) {
            CHECK_EQ(smf_core_post(server->core, acknowledge, NULL), SMF_OK);
        } else {
            smf_core_wake(server->core);
        }
        await(i);
    }
    return NULL;
}

static void no_wake_up_is_lost(void)
{
    const struct smf_engine_config limits = {0};
    struct beside server;
    pthread_t thread;

    for (uint32_t how = 0; how < 2; how++) {
        open_beside(&server, &limits, how == 0 ? 0 : (uint32_t)EPOLLET);
        __atomic_store_n(&acknowledged, 0, __ATOMIC_SEQ_CST);
        CHECK_EQ(pthread_create(&thread, NULL, post_one_by_one, &server), 0);
        while (__atomic_load_n(&acknowledged, __ATOMIC_SEQ_CST) != ROUNDS) {
            uint32_t *pending = &smf_core_turn(server.core)->pending;

            CHECK_EQ(turn(&server), 0);
            if (__atomic_exchange_n(pending, 0, __ATOMIC_SEQ_CST) != 0)
                acknowledge(server.core, NULL);
        }
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_GT(server.sleeps, 0);
        close_beside(&server);
    }
}

static void *stop_soon(void *context)
{
    usleep(2000);
    smf_core_stop(context);
    return NULL;
}

static void stopping_wakes_a_foreign_loop(void)
{
    const struct smf_engine_config limits = {0};
    struct beside server;
    pthread_t thread;
    int count;

    open_beside(&server, &limits, 0);
    CHECK_EQ(pthread_create(&thread, NULL, stop_soon, server.core), 0);
    do
        count = turn(&server);
    while (count >= 0);
    CHECK_EQ(count, SMF_ECLOSED);
    CHECK_EQ(smf_core_arm(server.core), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close_beside(&server);
}

/* Timers, and what else must not wait for the next packet. */

static int raw_connect(const struct beside *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)strtoul(strrchr(server->bound, ':') + 1, NULL, 10));
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void raw_call(int fd, uint16_t session)
{
    uint8_t bytes[SMF_FRAME_HEADER_SIZE_BYTES + 4] = {0};
    struct smf_frame frame = {.session = session, .size = 4, .meta = 7};

    memcpy(bytes + SMF_FRAME_HEADER_SIZE_BYTES, "call", 4);
    frame.checksum = smf_frame_checksum("call", 4);
    smf_frame_encode(&frame, bytes);
    CHECK_EQ(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
}

static void a_timer_ends_the_sleep(void)
{
    const struct smf_engine_config limits = {.header_timeout_ms = 40};
    struct beside server;
    struct smf_core_stats stats;
    int peer;

    open_beside(&server, &limits, 0);
    peer = raw_connect(&server);
    CHECK_EQ(send(peer, "\0\0\0", 3, MSG_NOSIGNAL), 3); /* a header that never ends */
    while (server.closed[SMF_CLOSE_HEADER_TIMEOUT] == 0)
        CHECK_GE(turn(&server), 0);
    smf_core_stats(server.core, &stats);
    CHECK_LT(stats.turns, 20); /* it slept until then */
    close(peer);
    close_beside(&server);
}

/* Turns are counted, not time: a loop that spins takes thousands. */
static void a_call_takes_few_turns(void)
{
    const struct smf_engine_config limits = {0};
    struct beside server, client;
    struct smf_core_stats stats[2];
    struct smf_error error;
    uint64_t conn;

    open_beside(&server, &limits, 0);
    open_beside(&client, &limits, 0);
    CHECK_EQ(smf_core_connect(client.core, server.bound, 0, &conn, &error), SMF_OK);
    while (smf_core_turn(server.core)->connections == 0) {
        CHECK_GE(turn(&client), 0);
        CHECK_GE(turn(&server), 0);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t served = server.served, answered = client.answered;

        CHECK_EQ(smf_core_send(client.core, conn, (uint16_t)i, 7, &i, sizeof i), SMF_OK);
        CHECK_EQ(smf_core_arm(client.core), 0); /* not sent yet */
        CHECK_GE(smf_core_poll(client.core, SMF_WAIT_NONE), 0);
        while (server.served == served)
            CHECK_GE(turn(&server), 0);
        CHECK_EQ(smf_core_arm(server.core), 0);
        quiet(&server);
        while (client.answered == answered)
            CHECK_GE(turn(&client), 0);
        quiet(&client);
    }
    smf_core_stats(server.core, &stats[0]);
    smf_core_stats(client.core, &stats[1]);
    CHECK_LT(stats[0].turns, 5000 + 100);
    CHECK_LT(stats[1].turns, 5000 + 100);
    /* What the driver does on its own account goes out without a packet from anybody. */
    smf_core_disconnect(client.core, conn);
    CHECK_EQ(smf_core_arm(client.core), 0);
    while (client.closed[SMF_CLOSE_BY_US] == 0)
        CHECK_GE(turn(&client), 0);
    quiet(&client);
    while (smf_core_turn(server.core)->connections > 0)
        CHECK_GE(turn(&server), 0);
    quiet(&server);
    smf_core_drain(server.core);
    while (!smf_core_drained(server.core)) {
        CHECK_EQ(smf_core_arm(server.core), 0);
        CHECK_EQ(smf_core_poll(server.core, SMF_WAIT_NONE), 0);
    }
    quiet(&server);
    close_beside(&client);
    close_beside(&server);
}

/* One connection is not read because another one's call uses the core's limit up; it goes on when the
 * other one is gone, although nothing arrives any more. */
static void a_paused_connection_goes_on(void)
{
    const struct smf_engine_config limits = {.running_max = 1};
    struct beside server;
    struct smf_core_stats stats;
    int peers[2];

    open_beside(&server, &limits, 0);
    peers[0] = raw_connect(&server);
    peers[1] = raw_connect(&server);
    while (smf_core_turn(server.core)->connections < 2)
        CHECK_EQ(turn(&server), 0);
    raw_call(peers[0], 1);
    while (turn(&server) == 0)
        continue;
    smf_core_turn(server.core)->send_count = 0; /* its reply is not made yet */
    CHECK_EQ(smf_core_turn(server.core)->in_flight, 1);
    raw_call(peers[1], 2);
    do {
        CHECK_EQ(turn(&server), 0);
        smf_core_stats(server.core, &stats);
    } while (stats.reads_paused == 0);
    quiet(&server);
    {
        struct linger reset = {.l_onoff = 1};

        CHECK_EQ(setsockopt(peers[0], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        close(peers[0]);
    }
    while (turn(&server) == 0)
        continue;
    CHECK_EQ(server.served, 2);
    close(peers[1]);
    close_beside(&server);
}

static const struct test tests[] = {
    TEST(calls_and_letters_reach_a_foreign_loop),
    TEST(no_wake_up_is_lost),
    TEST(stopping_wakes_a_foreign_loop),
    TEST(a_timer_ends_the_sleep),
    TEST(a_call_takes_few_turns),
    TEST(a_paused_connection_goes_on),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
