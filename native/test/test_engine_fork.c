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

static const struct test tests[] = {TEST(a_fork_leaves_the_parent_alone)};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
