/* Engines: what a wrong setting gets, several in one process, nothing left behind, and a call from one
 * to another over the kernel's sockets. */
#include <dirent.h>
#include <pthread.h>

#include <smf/code.h>
#include <smf/engine.h>
#include <smf/layout.h>
#include <smf/timer.h>

#include "core/core_pin.h"
#include "test.h"

#define MEMORY_BYTES (8ull << 20)
#define TIMES 200
#define CALLS 2000
#define POLLS_MAX 100000
#define DRAIN_S_MAX 40
#define LOOKS_MAX 10000
#define CONFIG_SIZE_FIRST_BYTES                                                                    \
    80u /* of the first settings that a program could be compiled with */

static struct smf_engine *engine_with(uint32_t cores, uint32_t baton)
{
    struct smf_engine_config config = {.size = sizeof config,
                                       .cores = cores,
                                       .baton = baton,
                                       .spin_us = -1,
                                       .memory_bytes = MEMORY_BYTES};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    return engine;
}

static int entries_of(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;

    CHECK(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void echo(struct smf_core *core, const struct smf_event *event, void *context)
{
    (void)context;
    if (event->kind == SMF_EVENT_REQUEST)
        CHECK_EQ(smf_core_send(core, event->conn, event->session, 200, event->payload,
                               event->size_bytes),
                 SMF_OK);
}

/* Settings. */

static void refused(struct smf_engine_config config, const char *field)
{
    struct smf_engine *engine = NULL;
    struct smf_error error = {0};

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_EINVAL);
    CHECK(engine == NULL);
    CHECK_EQ(error.status, SMF_EINVAL);
    CHECK(strstr(error.text, field) != NULL);
    CHECK(strchr(error.text, '\n') == NULL);
    CHECK_LT(strlen(error.text), sizeof error.text - 1);
}

static void wrong_settings_are_named(void)
{
    struct smf_engine_config good = {.size = sizeof good}, bad;
    int cpus[SMF_CORES_MAX];

    bad = good;
    bad.size = CONFIG_SIZE_FIRST_BYTES - 8;
    refused(bad, "size");
    bad.size = 0;
    refused(bad, "size");
    bad.size = UINT32_MAX;
    refused(bad, "size");
    bad = good;
    bad.cores = SMF_CORES_MAX + 1;
    refused(bad, "cores");
    bad = good;
    bad.net = SMF_NET_EPOLL + 1;
    refused(bad, "net");
    bad = good;
    bad.spin_us = -3;
    refused(bad, "spin_us");
    bad = good;
    bad.memory_bytes = MEMORY_BYTES - 1;
    refused(bad, "memory_bytes");
    bad = good;
    bad.memory_bytes = 1ull << 60;
    refused(bad, "memory_bytes");
    bad = good;
    bad.frame_size_bytes_max = 1ull << 32;
    refused(bad, "frame_size_bytes_max");
    bad = good;
    bad.in_flight_max = (1u << 30) + 1;
    refused(bad, "in_flight_max: at most");
    bad = good;
    bad.running_max = UINT32_MAX;
    refused(bad, "running_max: at most");
    bad = good;
    bad.baton = 2;
    refused(bad, "baton: 0 or 1");
    bad = good;
    bad.pin = UINT32_MAX;
    refused(bad, "pin: 0 or 1");
    bad = good;
    bad.pin = 1;
    bad.cores = (uint32_t)smf__cpus(cpus, SMF_CORES_MAX) + 1;
    refused(bad, "pin");
}

static void no_op(struct smf_core *core, void *context)
{
    (void)core, (void)context;
}

/* What a program forgets is said, where there is time to look. */
static void nothing_is_refused(void)
{
    struct smf_engine_config config = {.size = sizeof config};
    struct smf_engine *engine = engine_with(1, 0);
    struct smf_core *core = smf_engine_core(engine, 0);
    struct smf_error error = {0};
    struct smf_timer *timer;
    struct smf_tally *tallies;
    uint64_t conn;
    char bound[128];

    CHECK_EQ(smf_engine_open(NULL, &config, &error), SMF_EINVAL);
    CHECK(strstr(error.text, "engine_out") != NULL);
    CHECK_EQ(smf_engine_open(&(struct smf_engine *){NULL}, NULL, NULL), SMF_EINVAL);
    CHECK_EQ(smf_engine_listen(NULL, "127.0.0.1:0", bound, sizeof bound, &error), SMF_EINVAL);
    CHECK_EQ(smf_engine_listen(engine, NULL, bound, sizeof bound, NULL), SMF_EINVAL);
    CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", NULL, 1, NULL), SMF_EINVAL);
    CHECK_EQ(smf_engine_settings(NULL, &config), SMF_EINVAL);
    CHECK_EQ(smf_engine_settings(engine, NULL), SMF_EINVAL);
    CHECK_EQ(smf_engine_core_count(NULL), 0);
    CHECK(smf_engine_core(NULL, 0) == NULL);
    CHECK_EQ(smf_core_run(NULL, echo, NULL), SMF_EINVAL);
    CHECK_EQ(smf_core_run(core, NULL, NULL), SMF_EINVAL);
    CHECK_EQ(smf_core_connect(NULL, "127.0.0.1:1", 0, &conn, &error), SMF_EINVAL);
    CHECK_EQ(smf_core_connect(core, NULL, 0, &conn, &error), SMF_EINVAL);
    CHECK_EQ(smf_core_connect(core, "127.0.0.1:1", 0, NULL, &error), SMF_EINVAL);
    CHECK(strstr(error.text, "conn_out") != NULL);
    CHECK_EQ(smf_core_post(NULL, no_op, NULL), SMF_EINVAL);
    CHECK_EQ(smf_core_post(core, NULL, NULL), SMF_EINVAL);
    CHECK_EQ(smf_timer_open(NULL, core, no_op, NULL), SMF_EINVAL);
    CHECK_EQ(smf_timer_open(&timer, NULL, no_op, NULL), SMF_EINVAL);
    CHECK_EQ(smf_timer_open(&timer, core, NULL, NULL), SMF_EINVAL);
    CHECK_EQ(smf_core_tallies(NULL, 1, &tallies), SMF_EINVAL);
    CHECK_EQ(smf_core_tallies(core, 1, NULL), SMF_EINVAL);
    smf_engine_close(NULL);
    smf_engine_close(engine);
}

/* A program that was compiled when the settings were fewer, and one from the future. */
static void settings_of_other_versions(void)
{
    union {
        struct smf_engine_config config;
        uint8_t bytes[sizeof(struct smf_engine_config) + 16];
    } given;
    struct smf_engine *engine;
    struct smf_error error;

    memset(&given, 0xff, sizeof given); /* what lies behind is none of the library's business */
    memset(&given, 0, CONFIG_SIZE_FIRST_BYTES);
    given.config.size = CONFIG_SIZE_FIRST_BYTES;
    given.config.cores = 2;
    CHECK_EQ(smf_engine_open(&engine, &given.config, &error), SMF_OK);
    CHECK_EQ(smf_engine_core_count(engine), 2);
    smf_engine_close(engine);

    memset(&given, 0, sizeof given);
    given.config.size = sizeof given;
    CHECK_EQ(smf_engine_open(&engine, &given.config, &error), SMF_OK);
    smf_engine_close(engine);
    given.bytes[sizeof given - 1] = 1;
    CHECK_EQ(smf_engine_open(&engine, &given.config, &error), SMF_EINVAL);
    CHECK(strstr(error.text, "a setting that this library does not know") != NULL);
    given.bytes[sizeof given - 1] = 0;
    given.config.reserved = 1; /* which a newer library may give a meaning */
    CHECK_EQ(smf_engine_open(&engine, &given.config, &error), SMF_EINVAL);
    CHECK(strstr(error.text, "a setting that this library does not know") != NULL);
}

/* They are read into a struct that says how large it is; one that lies is not written to. */
static void settings_are_read_back(void)
{
    static const uint32_t wrong[] = {0, CONFIG_SIZE_FIRST_BYTES - 1, 1025, UINT32_MAX};
    struct smf_engine *engine = engine_with(1, 0);
    union {
        struct smf_engine_config config;
        uint8_t bytes[sizeof(struct smf_engine_config) + 16];
    } read;

    memset(&read, 0xff, sizeof read);
    read.config.size = sizeof read.config;
    CHECK_EQ(smf_engine_settings(engine, &read.config), SMF_OK);
    CHECK_EQ(read.config.size, sizeof read.config);
    CHECK_EQ(read.config.memory_bytes, MEMORY_BYTES);
    CHECK_GT(read.config.connections_max, 0);
    CHECK_EQ(read.bytes[sizeof read.config], 0xff); /* the caller's struct ended before it */
    read.config.size = sizeof read.config + 8;
    CHECK_EQ(smf_engine_settings(engine, &read.config), SMF_OK);
    CHECK_EQ(read.config.memory_bytes, MEMORY_BYTES);
    CHECK_EQ(read.bytes[sizeof read.config], 0);
    CHECK_EQ(read.bytes[sizeof read.config + 8], 0xff);
    for (uint32_t i = 0; i < TEST_COUNT(wrong); i++) {
        memset(&read, 0xff, sizeof read);
        read.config.size = wrong[i];
        CHECK_EQ(smf_engine_settings(engine, &read.config), SMF_EINVAL);
        CHECK_EQ(read.config.cores, UINT32_MAX);
    }
    smf_engine_close(engine);
}

static void counters_of_other_versions(void)
{
    struct smf_engine *engine = engine_with(1, 0);
    struct {
        struct smf_core_stats stats;
        uint64_t more[2];
    } read;

    memset(&read, 0xff, sizeof read);
    smf_core_read_stats(smf_engine_core(engine, 0), &read.stats, 16);
    CHECK_EQ(read.stats.waits, 0);
    CHECK_EQ(read.stats.wakes, UINT64_MAX); /* the caller's struct ended before it */
    smf_core_read_stats(smf_engine_core(engine, 0), &read.stats, sizeof read.stats + 8);
    CHECK_EQ(read.stats.memory_budget_bytes, MEMORY_BYTES);
    CHECK_EQ(read.more[0], 0);
    CHECK_EQ(read.more[1], UINT64_MAX);
    smf_engine_close(engine);
}

static void defaults_are_enough(void)
{
    struct smf_engine_config config = {.size = sizeof config};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    CHECK_EQ(smf_engine_core_count(engine), 1);
    CHECK(smf_engine_core(engine, 0) != NULL);
    CHECK(smf_engine_core(engine, 1) == NULL);
    CHECK(strstr(smf_engine_describe(engine), "net=epoll") != NULL);
    CHECK(strstr(smf_engine_describe(engine), "auto") != NULL);
    CHECK(strchr(smf_engine_describe(engine), '\n') == NULL);
    smf_engine_close(engine);
}

static void library_and_headers_agree(void)
{
#define ONE(value) 1,
    static const uint8_t ones[] = {SMF_LAYOUT(ONE)};
#undef ONE
    uint32_t values[256], count = smf_layout(values, TEST_COUNT(values));

    CHECK_EQ(count, TEST_COUNT(ones));
    CHECK_LT(count, TEST_COUNT(values));
    CHECK_EQ(values[0], sizeof(struct smf_event));
    CHECK_EQ(values[count - 1], sizeof(struct smf_error));
    values[1] = 12345;
    CHECK_EQ(smf_layout(values, 1), count);
    CHECK_EQ(values[1], 12345);
    CHECK_EQ(smf_abi_version(), SMF_ABI_VERSION);
    CHECK_STR(smf_version(), SMF_VERSION_TEXT);
}

/* Calls from one engine to another, each driven by a thread of its own. */

static void *serve(void *context)
{
    CHECK_EQ(smf_core_run(context, echo, NULL), SMF_OK);
    return NULL;
}

static void call_core(struct smf_core *client, const char *address)
{
    struct smf_error error;
    uint64_t conn;
    uint32_t answered = 0, sent = 0;

    CHECK_EQ(smf_core_connect(client, address, 1, &conn, &error), SMF_OK);
    for (int polls = 0; polls < POLLS_MAX && answered < CALLS; polls++) {
        int count;

        for (; sent < CALLS && sent - answered < 64; sent++)
            CHECK_EQ(smf_core_send(client, conn, (uint16_t)sent, 7, &sent, sizeof sent), SMF_OK);
        count = smf_core_poll(client, 1000000);
        for (int i = 0; i < count; i++) {
            const struct smf_event *event = &smf_core_turn(client)->events[i];

            if (event->kind == SMF_EVENT_CONNECTED)
                continue;
            CHECK_EQ(event->kind, SMF_EVENT_REPLY);
            CHECK_EQ(event->session, (uint16_t)answered);
            CHECK_MEM(event->payload, &answered, sizeof answered);
            answered++;
        }
    }
    CHECK_EQ(answered, CALLS);
}

static void engines_call_each_other(void)
{
    struct smf_engine *servers[2] = {engine_with(2, 0), engine_with(1, 1)};
    struct smf_engine *client = engine_with(1, 0);
    struct smf_core_stats stats;
    pthread_t threads[3];
    char bound[2][128];
    struct smf_error error;

    for (int i = 0; i < 2; i++)
        CHECK_EQ(smf_engine_listen(servers[i], "127.0.0.1:0", bound[i], sizeof bound[i], &error),
                 SMF_OK);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, serve, smf_engine_core(servers[i / 2], i % 2)),
                 0);
    for (int i = 0; i < 6; i++)
        call_core(smf_engine_core(client, 0), bound[i % 2]);
    smf_core_stats(smf_engine_core(client, 0), &stats);
    CHECK_EQ(stats.replies, 6 * CALLS);
    CHECK_EQ(smf_core_turn(smf_engine_core(client, 0))->connections, 6);
    smf_engine_close(client);
    for (uint32_t i = 0; i < 3; i++) {
        smf_core_stop(smf_engine_core(servers[i / 2], i % 2));
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < 2; i++)
        smf_engine_close(servers[i]);
}

/* A library and the program that uses it may both have engines: one that comes and goes, and one that
 * can't be opened, are nothing to those that serve. */
static void engines_come_and_go_beside_each_other(void)
{
    struct smf_engine_config bad = {.size = sizeof bad, .memory_bytes = MEMORY_BYTES - 1};
    struct smf_engine *server = engine_with(1, 0), *client = engine_with(1, 0), *engine;
    struct smf_error error;
    pthread_t thread, other;
    char bound[128], second[128];

    CHECK_EQ(smf_engine_listen(server, "127.0.0.1:0", bound, sizeof bound, &error), SMF_OK);
    CHECK_EQ(pthread_create(&thread, NULL, serve, smf_engine_core(server, 0)), 0);
    for (uint32_t i = 0; i < 20; i++) {
        engine = engine_with(1, i % 2);
        CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", second, sizeof second, &error), SMF_OK);
        CHECK_EQ(smf_engine_listen(engine, bound, second, sizeof second, &error), SMF_EADDRINUSE);
        CHECK_EQ(pthread_create(&other, NULL, serve, smf_engine_core(engine, 0)), 0);
        call_core(smf_engine_core(client, 0), bound);
        smf_core_stop(smf_engine_core(engine, 0));
        CHECK_EQ(pthread_join(other, NULL), 0);
        smf_engine_close(engine);
        CHECK_EQ(smf_engine_open(&engine, &bad, &error), SMF_EINVAL);
    }
    CHECK_EQ(smf_core_turn(smf_engine_core(client, 0))->connections, 20);
    smf_engine_close(client);
    smf_core_stop(smf_engine_core(server, 0));
    CHECK_EQ(pthread_join(thread, NULL), 0);
    smf_engine_close(server);
}

/* Sends a request on each of conns, lets the server take a turn, and returns on which of them (bits)
 * it saw requests. */
static uint32_t round_of(struct smf_core *server, struct smf_core *client, const uint64_t *conns,
                         uint32_t count)
{
    uint32_t seen = 0;
    int events;

    for (uint32_t i = 0; i < count; i++)
        CHECK_EQ(smf_core_send(client, conns[i], 1, 7, &i, sizeof i), SMF_OK);
    CHECK_GE(smf_core_poll(client, SMF_WAIT_NONE), 0);
    events = smf_core_poll(server, 1000000);
    for (int i = 0; i < events; i++) {
        const struct smf_event *event = &smf_core_turn(server)->events[i];
        uint32_t which;

        CHECK_EQ(event->kind, SMF_EVENT_REQUEST);
        memcpy(&which, event->payload, sizeof which);
        seen |= 1u << which;
        echo(server, event, NULL);
    }
    return seen;
}

/* A connection that is alone is read without asking which ones are ready. The others are seen all the
 * same, soon, and it may go away at any time. */
static void the_hot_connection_is_read_first(void)
{
    struct smf_engine_config config = {
        .size = sizeof config, .spin_us = -2, .memory_bytes = MEMORY_BYTES};
    struct smf_engine *engine, *client_engine = engine_with(1, 0);
    struct smf_core *client = smf_engine_core(client_engine, 0), *server;
    struct smf_core_stats before, after;
    struct smf_error error;
    uint64_t conns[3];
    char bound[128];

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    server = smf_engine_core(engine, 0);
    CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", bound, sizeof bound, &error), SMF_OK);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(smf_core_connect(client, bound, 0, &conns[i], &error), SMF_OK);
    while (smf_core_turn(server)->connections < 2) {
        CHECK_GE(smf_core_poll(client, SMF_WAIT_NONE), 0);
        CHECK_GE(smf_core_poll(server, SMF_WAIT_NONE), 0);
    }
    for (int i = 0; i < 4; i++) /* gets hot */
        CHECK_EQ(round_of(server, client, conns, 1), 1);
    for (int tries = 0, hot = 0; !hot; tries++) { /* turns must be quick, on a busy machine, too */
        CHECK_LT(tries, 100);
        smf_core_stats(server, &before);
        for (int i = 0; i < 400; i++)
            CHECK_EQ(round_of(server, client, conns, 1), 1);
        smf_core_stats(server, &after);
        CHECK_EQ(after.recvs - before.recvs, 400);
        hot = after.polls - before.polls < 400; /* else every one was asked for */
    }
    for (int again = 0; again < 20; again++) {
        int rounds = 1;

        while (!(round_of(server, client, conns, 2) & 2))
            CHECK_LT(rounds++, 4);
        for (int i = 0; i < 8 + again % 4; i++) /* from every place in the cycle */
            (void)round_of(server, client, conns, 1);
    }
    smf_core_disconnect(client, conns[0]);
    CHECK_GE(smf_core_poll(client, SMF_WAIT_NONE), 0);
    while (smf_core_turn(server)->connections > 1)
        CHECK_GE(smf_core_poll(server, 1000), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(round_of(server, client, conns + 1, 1), 1);
    /* Another one takes the slot of the one that was hot. */
    CHECK_EQ(smf_core_connect(client, bound, 0, &conns[2], &error), SMF_OK);
    while (smf_core_turn(server)->connections < 2) {
        CHECK_GE(smf_core_poll(client, SMF_WAIT_NONE), 0);
        CHECK_GE(smf_core_poll(server, SMF_WAIT_NONE), 0);
    }
    for (int i = 0; i < 8; i++)
        CHECK_EQ(round_of(server, client, conns + 2, 1), 1);
    smf_engine_close(client_engine);
    smf_engine_close(engine);
}

/* Draining, by a program that waits for ever. */

struct drain_peer {
    struct smf_engine *engine;
    uint64_t conn;
    uint32_t unavailable;
};

static void *stay_connected(void *context)
{
    struct drain_peer *peer = context;
    struct smf_core *core = smf_engine_core(peer->engine, 0);

    for (;;) {
        int count = smf_core_poll(core, SMF_WAIT_FOREVER);

        for (int i = 0; i < count; i++) {
            const struct smf_event *event = &smf_core_turn(core)->events[i];

            peer->unavailable +=
                event->kind == SMF_EVENT_REPLY && event->meta == SMF_CODE_UNAVAILABLE;
            if (event->kind == SMF_EVENT_CLOSED)
                return NULL;
        }
    }
}

static void until_drained(struct smf_core *core)
{
    int polls = 0;

    smf_core_drain(core);
    while (!smf_core_drained(core)) {
        int count = smf_core_poll(core, SMF_WAIT_FOREVER);

        CHECK_GE(count, 0);
        CHECK_LT(polls++, POLLS_MAX);
        for (int i = 0; i < count; i++) {
            const struct smf_event *event = &smf_core_turn(core)->events[i];

            CHECK_EQ(event->kind, SMF_EVENT_REQUEST);
            CHECK_EQ(smf_core_send_code(core, event->conn, event->session, SMF_CODE_UNAVAILABLE),
                     SMF_OK);
        }
    }
}

/* calls: what the peer has sent when the drain begins; < 0: there is no peer. */
static void drain_with(int calls)
{
    struct smf_engine *engine = engine_with(1, 0);
    struct smf_core *core = smf_engine_core(engine, 0), *client;
    struct drain_peer peer = {.engine = engine_with(1, 0)};
    struct smf_error error;
    pthread_t thread;
    char bound[128];

    client = smf_engine_core(peer.engine, 0);
    CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", bound, sizeof bound, &error), SMF_OK);
    if (calls < 0) {
        until_drained(core);
        smf_engine_close(peer.engine);
        smf_engine_close(engine);
        return;
    }
    CHECK_EQ(smf_core_connect(client, bound, 0, &peer.conn, &error), SMF_OK);
    while (smf_core_turn(core)->connections == 0) {
        CHECK_GE(smf_core_poll(client, SMF_WAIT_NONE), 0);
        CHECK_GE(smf_core_poll(core, SMF_WAIT_NONE), 0);
    }
    for (int i = 0; i < calls; i++)
        CHECK_EQ(smf_core_send(client, peer.conn, (uint16_t)i, 7, &i, sizeof i), SMF_OK);
    CHECK_GE(smf_core_poll(client, SMF_WAIT_NONE), 0);
    CHECK_EQ(pthread_create(&thread, NULL, stay_connected, &peer), 0);
    until_drained(core);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(peer.unavailable, calls);
    smf_engine_close(peer.engine);
    smf_engine_close(engine);
}

static void a_drain_ends_a_wait(void)
{
    alarm(DRAIN_S_MAX); /* one that does not end it waits for ever */
    for (int i = 0; i < 20; i++)
        drain_with(i % 4 - 1);
    alarm(0);
}

static void nothing_is_left_behind(void)
{
    int files, threads;

    smf_engine_close(engine_with(1, 1)); /* what libraries open once is open now */
    files = entries_of("/proc/self/fd");
    threads = entries_of("/proc/self/task");
    for (int i = 0; i < TIMES; i++) {
        struct smf_engine *engine = engine_with(1 + (uint32_t)i % 3, (uint32_t)i % 2);
        struct smf_error error;
        char bound[128];
        uint64_t conn;

        CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", bound, sizeof bound, &error), SMF_OK);
        CHECK_EQ(smf_core_connect(smf_engine_core(engine, 0), bound, 0, &conn, &error), SMF_OK);
        for (int polls = 0; polls < i % 5; polls++)
            CHECK_GE(smf_core_poll(smf_engine_core(engine, 0), SMF_WAIT_NONE), 0);
        smf_engine_close(engine);
    }
    CHECK_EQ(entries_of("/proc/self/fd"), files);
    /* The system takes a thread out of its list a little after it can be joined. */
    for (int looks = 0; entries_of("/proc/self/task") > threads; looks++) {
        CHECK_LT(looks, LOOKS_MAX);
        usleep(1000);
    }
}

/* Two listeners of an engine on one port: the second is refused, the first goes on. */
static void listening_twice(void)
{
    struct smf_engine *engine = engine_with(2, 0);
    struct smf_error error;
    char bound[128], again[128];

    CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", bound, sizeof bound, &error), SMF_OK);
    CHECK_EQ(smf_engine_listen(engine, bound, again, sizeof again, &error), SMF_EADDRINUSE);
    CHECK(strstr(error.text, "this engine listens there already") != NULL);
    for (int i = 1; i < 16; i++)
        CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", again, sizeof again, &error), SMF_OK);
    CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", again, sizeof again, &error), SMF_ELIMIT);
    CHECK(strstr(error.text, "16") != NULL);
    smf_engine_close(engine);
}

/* An address that does not fit is not cut: nobody could connect to it. Then nothing listens. */
static void bound_addresses_fit(void)
{
    struct smf_engine *engine = engine_with(2, 0);
    struct smf_error error;
    char bound[128], again[128];
    uint32_t size;

    CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", bound, sizeof bound, &error), SMF_OK);
    size = (uint32_t)strlen(bound) + 1;
    smf_engine_close(engine);
    engine = engine_with(2, 0);
    CHECK_EQ(smf_engine_listen(engine, bound, again, size - 1, &error), SMF_EINVAL);
    CHECK(strstr(error.text, "bound_size") != NULL);
    for (uint32_t i = 0; i < 2; i++)
        CHECK_EQ(smf_core_turn(smf_engine_core(engine, i))->listeners, 0);
    CHECK_EQ(smf_engine_listen(engine, bound, again, size, &error), SMF_OK);
    CHECK_STR(again, bound);
    CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", NULL, 0, &error), SMF_OK); /* not asked for */
    smf_engine_close(engine);
}

/* What no peer with these settings would take is not sent, by a server neither. */
static void what_is_too_large_is_not_sent(void)
{
    static const uint8_t large[4097];
    struct smf_engine_config config = {
        .size = sizeof config, .memory_bytes = MEMORY_BYTES, .frame_size_bytes_max = 4096};
    struct smf_engine *engine;
    struct smf_core *core;
    struct smf_error error;
    uint64_t conn;
    uint8_t *place;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    core = smf_engine_core(engine, 0);
    CHECK_EQ(smf_core_connect(core, "127.0.0.1:1", 0, &conn, &error), SMF_OK);
    CHECK_EQ(smf_core_send(core, conn, 1, 7, large, 4097), SMF_EINVAL);
    CHECK(smf_core_reserve(core, 4097) == NULL);
    place = smf_core_reserve(core, 4096);
    CHECK(place != NULL);
    CHECK_EQ(smf_core_commit(core, conn, 2, 7, place - 1, 4097), SMF_EINVAL);
    CHECK_EQ(smf_core_commit(core, conn, 2, 7, place, 4096), SMF_OK);
    CHECK_EQ(smf_core_send(core, conn, 3, 7, large, 4096), SMF_OK);
    CHECK_EQ(smf_core_turn(core)->send_count, 1); /* of two frames */
    CHECK_EQ(smf_core_turn(core)->sends[0].frame_count, 2);
    smf_engine_close(engine);
}

/* Neither is what there will never be memory for; a code is, whatever the limit. */
static void the_other_limits_of_what_is_sent(void)
{
    struct smf_engine_config config = {.size = sizeof config, .memory_bytes = MEMORY_BYTES};
    uint32_t most = (1u << 20) - SMF_FRAME_HEADER_SIZE_BYTES; /* an eighth of the memory */
    struct smf_engine *engine = engine_with(1, 0);
    struct smf_error error;
    uint8_t *large = calloc(most + 1, 1);

    CHECK(large != NULL);
    CHECK_EQ(smf_core_send(smf_engine_core(engine, 0), 1, 1, 7, large, most), SMF_OK);
    CHECK_EQ(smf_core_send(smf_engine_core(engine, 0), 1, 1, 7, large, most + 1), SMF_EINVAL);
    free(large);
    smf_engine_close(engine);
    config.frame_size_bytes_max = 1;
    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    CHECK_EQ(smf_core_send_code(smf_engine_core(engine, 0), 1, 1, SMF_CODE_NOT_FOUND), SMF_OK);
    smf_engine_close(engine);
}

static const struct test tests[] = {
    TEST(wrong_settings_are_named),
    TEST(nothing_is_refused),
    TEST(defaults_are_enough),
    TEST(settings_of_other_versions),
    TEST(settings_are_read_back),
    TEST(counters_of_other_versions),
    TEST(library_and_headers_agree),
    TEST(engines_call_each_other),
    TEST(engines_come_and_go_beside_each_other),
    TEST(a_drain_ends_a_wait),
    TEST(nothing_is_left_behind),
    TEST(listening_twice),
    TEST(bound_addresses_fit),
    TEST(what_is_too_large_is_not_sent),
    TEST(the_other_limits_of_what_is_sent),
    TEST(the_hot_connection_is_read_first),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
