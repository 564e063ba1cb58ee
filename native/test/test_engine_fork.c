/* A process with engines forks: its connections do not notice, whatever the child does and however it
 * ends, and the child is told what it can't do. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include <smf/baton.h>
#include <smf/engine.h>
#include <smf/loop.h>

#include "test.h"

#define MEMORY_BYTES (8ull << 20)
#define CALLS 500u
#define IN_FLIGHT 16u
#define FORKS 8
#define PEERS 16u
#define ROUNDS 3u
#define POLLS_MAX 20000
#define POLLS_IDLE_MAX 10u /* of one wait: a look, a sleep, and some for signals */

static struct smf_engine *server, *client, *with_baton;
static uint64_t conns[2]; /* over TCP and over a unix socket */
static char bound[2][128];

static struct smf_engine *open_engine(uint32_t baton)
{
    struct smf_engine_config config = {
        .size = sizeof config, .memory_bytes = MEMORY_BYTES, .spin_us = -1, .baton = baton};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    return engine;
}

static void echo(struct smf_core *core, const struct smf_event *event, void *context)
{
    (void)context;
    if (event->kind == SMF_EVENT_REQUEST)
        CHECK_EQ(smf_core_send(core, event->conn, event->session, 200, event->payload,
                               event->size_bytes),
                 SMF_OK);
}

static void *serve(void *context)
{
    CHECK_EQ(smf_core_run(context, echo, NULL), SMF_OK);
    return NULL;
}

/* Calls on one connection; half_way is called in the middle of it. */
static void call(struct smf_core *core, uint64_t conn, void (*half_way)(int how), int how)
{
    uint32_t sent = 0, answered = 0;

    while (answered < CALLS) {
        int count;

        for (; sent < CALLS && sent - answered < IN_FLIGHT; sent++)
            CHECK_EQ(smf_core_send(core, conn, (uint16_t)sent, 7, &sent, sizeof sent), SMF_OK);
        count = smf_core_poll(core, 20000000);
        CHECK_GT(count, 0);
        if (half_way != NULL && answered >= CALLS / 2) {
            half_way(how);
            half_way = NULL;
        }
        for (int i = 0; i < count; i++) {
            const struct smf_event *event = &smf_core_turn(core)->events[i];

            CHECK_NE(event->kind, SMF_EVENT_CLOSED);
            answered += event->kind == SMF_EVENT_REPLY;
        }
    }
}

/* The child. */

static void letter(struct smf_core *core, void *context)
{
    (void)core;
    (void)context;
    abort(); /* nobody reads the mail of a closed core */
}

static void every_descriptor_closes_on_exec(void)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;

    CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        char path[300], target[256] = "";

        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        if (readlink(path, target, sizeof target - 1) > 0 &&
            (strncmp(target, "socket:", 7) == 0 || strncmp(target, "anon_inode:", 11) == 0))
            CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    closedir(folder);
}

static void child_finds_the_engine_closed(struct smf_engine *engine)
{
    struct smf_core *core = smf_engine_core(engine, 0);
    struct smf_error error = {0};
    char text[128];
    uint64_t conn;

    CHECK_EQ(smf_core_poll(core, SMF_WAIT_FOREVER), SMF_ECLOSED);
    CHECK_EQ(smf_core_run(core, echo, NULL), SMF_OK);
    CHECK_EQ(smf_core_arm(core), 0);
    CHECK_EQ(smf_core_post(core, letter, NULL), SMF_ECLOSED);
    CHECK_EQ(smf_core_connect(core, bound[0], 0, &conn, &error), SMF_ECLOSED);
    CHECK(strstr(error.text, "open another one after the fork") != NULL);
    CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", text, sizeof text, &error), SMF_ECLOSED);
    if (smf_core_baton(core) != NULL)
        CHECK_EQ(smf_baton_wait(core), SMF_BATON_CLOSED);
    smf_core_wake(core);
    smf_core_disconnect(core, conns[0]);
    smf_core_drain(core);
    smf_core_disconnect_all(core);
    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), SMF_ECLOSED);
    smf_core_stop(core);
    smf_engine_close(engine);
}

/* An engine of the child's own calls the parent's. */
static void child_opens_its_own(void)
{
    struct smf_engine *own = open_engine(0);
    struct smf_error error;
    uint64_t conn;

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(smf_core_connect(smf_engine_core(own, 0), bound[i], 0, &conn, &error), SMF_OK);
        call(smf_engine_core(own, 0), conn, NULL, 0);
    }
    CHECK_EQ(smf_core_poll(smf_engine_core(server, 0), SMF_WAIT_NONE), SMF_ECLOSED); /* still */
    smf_engine_close(own);
}

static void close_all(void)
{
    smf_engine_close(client);
    smf_engine_close(server);
    smf_engine_close(with_baton);
}

enum { BY_EXIT, BY_QUICK_EXIT, BY_EXEC };

static void child(int how)
{
    alarm(50); /* it must not hang either */
    child_finds_the_engine_closed(client);
    child_finds_the_engine_closed(server);
    child_finds_the_engine_closed(with_baton);
    child_opens_its_own();
    if (how == BY_EXEC) {
        every_descriptor_closes_on_exec();
        execl("/bin/true", "true", (char *)NULL);
    }
    if (how == BY_EXIT)
        exit(0); /* runs close_all */
    _exit(how == BY_EXEC);
}

static void fork_and_await(int how)
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    CHECK_GE(pid, 0);
    if (pid == 0)
        child(how);
    for (int i = 0; i < 2; i++) /* while it does its worst */
        call(smf_engine_core(client, 0), conns[1 - i], NULL, 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

static void a_fork_leaves_the_parent_alone(void)
{
    struct smf_core_stats stats;
    struct smf_error error;
    struct stat file;
    pthread_t thread;
    char path[64];

    snprintf(path, sizeof path, "unix:/tmp/smf-fork-%d", (int)getpid());
    server = open_engine(0);
    client = open_engine(0);
    with_baton = open_engine(1);
    CHECK_EQ(smf_engine_listen(server, "127.0.0.1:0", bound[0], sizeof bound[0], &error), SMF_OK);
    CHECK_EQ(smf_engine_listen(server, path, bound[1], sizeof bound[1], &error), SMF_OK);
    CHECK_EQ(pthread_create(&thread, NULL, serve, smf_engine_core(server, 0)), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(smf_core_connect(smf_engine_core(client, 0), bound[i], 0, &conns[i], &error),
                 SMF_OK);
    CHECK_EQ(atexit(close_all), 0);
    for (int i = 0; i < FORKS * 3; i++)
        call(smf_engine_core(client, 0), conns[i % 2], fork_and_await, i % 3);
    smf_core_stats(smf_engine_core(client, 0), &stats);
    CHECK_EQ(stats.replies, FORKS * 3 * 3 * CALLS);
    CHECK_EQ(stats.connected, 2);
    CHECK_EQ(stats.closed[SMF_CLOSE_BROKEN] + stats.closed[SMF_CLOSE_BY_PEER], 0);
    CHECK_EQ(stat(path + strlen("unix:"), &file), 0); /* no child has removed it */
    smf_core_stop(smf_engine_core(server, 0));
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* While children that do nothing hold copies of all sockets. */

/* Both cores of this process, driven in turn. */
struct pair {
    struct smf_engine *engines[2];
    struct smf_core *server, *client;
    uint64_t conns[PEERS];
    uint32_t requests, replies, closed, sum; /* sum: of the values that came back */
};

static void pair_turn(struct pair *pair)
{
    int count = smf_core_poll(pair->server, 1000);

    CHECK_GE(count, 0);
    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(pair->server)->events[i];

        pair->requests += event->kind == SMF_EVENT_REQUEST;
        echo(pair->server, event, NULL);
    }
    count = smf_core_poll(pair->client, 1000);
    CHECK_GE(count, 0);
    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(pair->client)->events[i];
        uint32_t value = 0;

        pair->closed += event->kind == SMF_EVENT_CLOSED;
        if (event->kind != SMF_EVENT_REPLY)
            continue;
        CHECK_EQ(event->size_bytes, sizeof value);
        memcpy(&value, event->payload, sizeof value);
        CHECK_EQ(event->user, value % PEERS); /* it came on its own connection */
        pair->replies++;
        pair->sum += value;
    }
}

static uint64_t open_of(const struct smf_core *core)
{
    struct smf_core_stats stats;

    smf_core_stats(core, &stats);
    return stats.connections_open;
}

static void pair_send(struct pair *pair, uint32_t base)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        uint32_t value = base * PEERS + i;

        CHECK_EQ(smf_core_send(pair->client, pair->conns[i], 1, 7, &value, sizeof value), SMF_OK);
    }
}

static void pair_connect(struct pair *pair, char addresses[2][128])
{
    struct smf_error error;

    for (uint32_t i = 0; i < PEERS; i++)
        CHECK_EQ(smf_core_connect(pair->client, addresses[i % 2], i, &pair->conns[i], &error),
                 SMF_OK);
}

/* Calls on every connection; each reply is what was asked on it. */
static void pair_call(struct pair *pair, uint32_t base)
{
    pair->replies = pair->sum = 0;
    pair_send(pair, base);
    for (int polls = 0; pair->replies < PEERS; polls++) {
        CHECK_LT(polls, POLLS_MAX);
        pair_turn(pair);
    }
    CHECK_EQ(pair->sum, base * PEERS * PEERS + PEERS * (PEERS - 1) / 2);
    CHECK_EQ(open_of(pair->server), PEERS);
    CHECK_EQ(open_of(pair->client), PEERS);
}

/* A wait in which nothing happens is slept through. */
static void stays_idle(struct smf_core *core)
{
    struct smf_core_stats before, after;

    smf_core_stats(core, &before);
    CHECK_EQ(smf_core_poll(core, 20000), 0);
    smf_core_stats(core, &after);
    CHECK_LE(after.polls - before.polls, POLLS_IDLE_MAX);
}

static pid_t fork_one_that_waits(void)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    CHECK_GE(pid, 0);
    if (pid == 0) {
        alarm(50);
        pause();
        _exit(1);
    }
    return pid;
}

/* What was written before the end arrives, and then the end. */
static void the_last_reply_arrives(struct pair *pair)
{
    uint32_t requests = pair->requests;

    pair->replies = pair->closed = 0;
    pair_send(pair, 3);
    for (int polls = 0; pair->requests < requests + PEERS; polls++) {
        int count = smf_core_poll(pair->client, SMF_WAIT_NONE);

        CHECK_EQ(count, 0);
        count = smf_core_poll(pair->server, 1000);
        CHECK_LT(polls, POLLS_MAX);
        for (int i = 0; i < count; i++) {
            pair->requests++;
            echo(pair->server, &smf_core_turn(pair->server)->events[i], NULL);
        }
    }
    CHECK_EQ(smf_core_poll(pair->server, SMF_WAIT_NONE), 0); /* writes them */
    smf_engine_close(pair->engines[0]);
    for (int polls = 0; pair->closed < PEERS; polls++) {
        int count = smf_core_poll(pair->client, 1000);

        CHECK_LT(polls, POLLS_MAX);
        for (int i = 0; i < count; i++) {
            const struct smf_event *event = &smf_core_turn(pair->client)->events[i];

            pair->replies += event->kind == SMF_EVENT_REPLY;
            pair->closed += event->kind == SMF_EVENT_CLOSED;
            if (event->kind == SMF_EVENT_CLOSED)
                CHECK_EQ(event->meta, SMF_CLOSE_BY_PEER);
        }
    }
    CHECK_EQ(pair->replies, PEERS);
}

/* Requests go out, and then the connections end: the server hears of both. */
static void leave_all(struct pair *pair)
{
    uint32_t requests = pair->requests;

    pair_send(pair, 2);
    for (uint32_t i = 0; i < PEERS; i++)
        smf_core_disconnect(pair->client, pair->conns[i]); /* when that has gone out */
    for (int polls = 0; open_of(pair->server) + open_of(pair->client) != 0; polls++) {
        CHECK_LT(polls, POLLS_MAX);
        pair_turn(pair);
    }
    CHECK_EQ(pair->requests, requests + PEERS);
    stays_idle(pair->server);
    stays_idle(pair->client);
}

static void connections_end_while_children_have_copies(void)
{
    struct pair pair = {.engines = {open_engine(0), open_engine(0)}};
    struct smf_error error;
    char addresses[2][128], path[64];
    pid_t pids[ROUNDS];

    snprintf(path, sizeof path, "unix:/tmp/smf-fork-copies-%d", (int)getpid());
    pair.server = smf_engine_core(pair.engines[0], 0);
    pair.client = smf_engine_core(pair.engines[1], 0);
    CHECK_EQ(
        smf_engine_listen(pair.engines[0], "127.0.0.1:0", addresses[0], sizeof *addresses, &error),
        SMF_OK);
    CHECK_EQ(smf_engine_listen(pair.engines[0], path, addresses[1], sizeof *addresses, &error),
             SMF_OK);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        pair_connect(&pair, addresses); /* in the memory of those that went */
        pair.closed = 0;
        pair_call(&pair, 4 + round);
        pids[round] = fork_one_that_waits();
        pair_call(&pair, 8 + round);
        stays_idle(pair.server);
        stays_idle(pair.client);
        CHECK_EQ(pair.closed, 0);
        if (round < ROUNDS - 1)
            leave_all(&pair);
    }
    the_last_reply_arrives(&pair);
    smf_engine_close(pair.engines[1]);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        CHECK_EQ(kill(pids[round], SIGKILL), 0);
        CHECK_EQ(waitpid(pids[round], NULL, 0), pids[round]);
    }
}

static const struct test tests[] = {
    TEST(a_fork_leaves_the_parent_alone),
    TEST(connections_end_while_children_have_copies),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
