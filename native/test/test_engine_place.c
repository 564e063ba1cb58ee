/* Connections over the kernel's sockets, spread over cores that threads drive. Every reply says which
 * core it came from. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <smf/engine.h>

#include "rpc/rpc.h"
#include "test.h"

#define MEMORY_BYTES (8ull << 20)
#define CORES_MAX 3u
#define ROUNDS 200
#define CLIENTS_MANY 1000
#define CLOSING_ROUNDS 30
#define FILES_FREE 12
#define PATIENCE_S 30
#define METHOD 7u

struct house {
    struct smf_engine *engine;
    uint32_t cores;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];
    pthread_t threads[CORES_MAX];
    int driven;
};

static void say_where(struct smf_core *core, const struct smf_event *event, void *context)
{
    uint8_t index = (uint8_t)(uintptr_t)context;

    if (event->kind == SMF_EVENT_REQUEST)
        CHECK_EQ(smf_core_send(core, event->conn, event->session, 200, &index, 1), SMF_OK);
}

struct driver {
    struct smf_core *core;
    uintptr_t index;
};

static void *drive(void *context)
{
    struct driver driver = *(struct driver *)context;

    free(context);
    CHECK_EQ(smf_core_run(driver.core, say_where, (void *)driver.index), SMF_OK);
    return NULL;
}

static void open_house(struct house *house, uint32_t cores, int32_t spin_us,
                       uint32_t connections_max, const char *address)
{
    struct smf_engine_config config = {.size = sizeof config,
                                       .cores = cores,
                                       .spin_us = spin_us,
                                       .connections_max = connections_max,
                                       .memory_bytes = MEMORY_BYTES};
    struct smf_error error;

    memset(house, 0, sizeof *house);
    house->cores = cores;
    CHECK_EQ(smf_engine_open(&house->engine, &config, &error), SMF_OK);
    CHECK_EQ(smf_engine_listen(house->engine, address, house->bound, sizeof house->bound, &error),
             SMF_OK);
}

static void drive_all(struct house *house)
{
    for (uint32_t i = 0; i < house->cores; i++) {
        struct driver *driver = malloc(sizeof *driver);

        CHECK(driver != NULL);
        *driver = (struct driver){smf_engine_core(house->engine, i), i};
        CHECK_EQ(pthread_create(&house->threads[i], NULL, drive, driver), 0);
    }
    house->driven = 1;
}

static void close_house(struct house *house)
{
    for (uint32_t i = 0; house->driven && i < house->cores; i++) {
        smf_core_stop(smf_engine_core(house->engine, i));
        CHECK_EQ(pthread_join(house->threads[i], NULL), 0);
    }
    smf_engine_close(house->engine);
}

static int files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    CHECK(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* Clients: plain sockets that wait. -1: refused. */

static int connect_to(const struct house *house)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(strrchr(house->bound, ':') + 1))};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int local = strncmp(house->bound, "unix:@", 6) == 0;
    size_t length = strlen(house->bound + 6);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_GE(fd, 0);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    if (local) {
        memcpy(un.sun_path + 1, house->bound + 6, length);
        CHECK_EQ(connect(fd, (struct sockaddr *)&un,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)),
                 0);
        return fd;
    }
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&in, sizeof in) == 0)
        return fd;
    CHECK_EQ(errno, ECONNREFUSED);
    close(fd);
    return -1;
}

static void ask(int fd)
{
    uint8_t bytes[SMF_FRAME_HEADER_SIZE_BYTES + 5];
    struct smf_frame frame = {
        .session = 1, .size = 5, .checksum = smf_frame_checksum("where", 5), .meta = METHOD};

    smf_frame_encode(&frame, bytes);
    memcpy(bytes + SMF_FRAME_HEADER_SIZE_BYTES, "where", 5);
    (void)send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
}

/* Which core answers; -1: the connection was closed instead. */
static int answer(int fd)
{
    uint8_t bytes[SMF_FRAME_HEADER_SIZE_BYTES + 1];
    ssize_t size = recv(fd, bytes, sizeof bytes, MSG_WAITALL);

    if (size == 0 || (size < 0 && errno == ECONNRESET))
        return -1;
    CHECK_EQ(size, sizeof bytes); /* else: nobody has answered in all that time */
    return bytes[SMF_FRAME_HEADER_SIZE_BYTES];
}

/* Counts, by each core, which of the clients it has. */
static void where(const int *clients, int count, int *at)
{
    memset(at, 0, CORES_MAX * sizeof *at);
    for (int i = 0; i < count; i++)
        ask(clients[i]);
    for (int i = 0; i < count; i++) {
        int core = answer(clients[i]);

        CHECK(core >= 0 && core < (int)CORES_MAX);
        at[core]++;
    }
}

/* A core's counters, as its driver sees them. */

struct asked {
    struct smf_core_stats stats;
    uint32_t done; /* atomic */
};

static void read_stats(struct smf_core *core, void *context)
{
    struct asked *asked = context;

    smf_core_stats(core, &asked->stats);
    __atomic_store_n(&asked->done, 1, __ATOMIC_RELEASE);
}

static struct smf_core_stats stats_of(const struct house *house, uint32_t index)
{
    struct asked asked = {.done = 0};

    CHECK_EQ(smf_core_post(smf_engine_core(house->engine, index), read_stats, &asked), SMF_OK);
    while (__atomic_load_n(&asked.done, __ATOMIC_ACQUIRE) == 0)
        usleep(50);
    return asked.stats;
}

static void wait_until_empty(const struct house *house)
{
    for (uint32_t i = 0; i < house->cores; i++) {
        while (stats_of(house, i).connections_open != 0)
            usleep(50);
    }
}

/* Spreading. */

static void four_by_two(const char *address, int32_t spin_us, int rounds)
{
    struct house house;
    struct smf_core_stats stats[2];
    int clients[4], at[CORES_MAX];

    open_house(&house, 2, spin_us, 0, address);
    drive_all(&house);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < 4; i++)
            clients[i] = connect_to(&house);
        where(clients, 4, at);
        CHECK_EQ(at[0], 2);
        CHECK_EQ(at[1], 2);
        for (int i = 0; i < 4; i++)
            close(clients[i]);
        wait_until_empty(&house);
    }
    for (uint32_t i = 0; i < 2; i++)
        stats[i] = stats_of(&house, i);
    CHECK_EQ(stats[0].accepted, 2 * rounds);
    CHECK_EQ(stats[1].accepted, 2 * rounds);
    CHECK_EQ(stats[0].connections_handed_in, stats[1].connections_handed_out);
    CHECK_EQ(stats[1].connections_handed_in, stats[0].connections_handed_out);
    close_house(&house);
}

static void four_connections_on_two_cores(void)
{
    char address[64];

    four_by_two("127.0.0.1:0", -1, ROUNDS);
    four_by_two("127.0.0.1:0", -2, ROUNDS / 10); /* cores that never sleep */
    snprintf(address, sizeof address, "unix:@smf-place-%d", (int)getpid());
    four_by_two(address, -1, ROUNDS / 4);
}

static struct house *crowded;
static int crowd[CLIENTS_MANY];

static void *connect_some(void *context)
{
    for (int i = (int)(uintptr_t)context; i < CLIENTS_MANY; i += 2)
        crowd[i] = connect_to(crowded);
    return NULL;
}

/* They come from two threads at once, so that cores accept at once, too. */
static void a_thousand_connections_on_three_cores(void)
{
    struct house house;
    pthread_t threads[2];
    struct rlimit limit;
    int at[CORES_MAX], before = files();

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * CLIENTS_MANY + 200 && limit.rlim_max >= 2 * CLIENTS_MANY + 200) {
        limit.rlim_cur = 2 * CLIENTS_MANY + 200;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    if (limit.rlim_cur < 2 * CLIENTS_MANY + 200) {
        test_note("skipped: needs %d open files", 2 * CLIENTS_MANY + 200);
        return;
    }
    open_house(&house, 3, -1, 0, "127.0.0.1:0");
    crowded = &house;
    drive_all(&house);
    for (uintptr_t i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, connect_some, (void *)i), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    where(crowd, CLIENTS_MANY, at);
    CHECK_EQ(at[0] + at[1] + at[2], CLIENTS_MANY);
    for (int i = 0; i < 3; i++) {
        CHECK_GE(at[i], CLIENTS_MANY / 3);
        CHECK_LE(at[i], CLIENTS_MANY / 3 + 1);
    }
    for (int i = 0; i < CLIENTS_MANY; i++)
        close(crowd[i]);
    close_house(&house);
    CHECK_EQ(files(), before);
}

static void a_single_core_has_no_group(void)
{
    struct house house;

    open_house(&house, 1, -1, 0, "127.0.0.1:0");
    CHECK(smf__rpc_of(smf_engine_core(house.engine, 0))->group == NULL);
    close_house(&house);
}

/* A core whose driver is busy holds nobody up who has not been handed to it: the others accept. */
static void a_busy_core_does_not_hold_up_others(void)
{
    struct house house;
    struct smf_core *awake;
    int clients[4];

    open_house(&house, 2, -1, 0, "127.0.0.1:0");
    awake = smf_engine_core(house.engine, 1); /* the other one is not driven at all */
    for (int i = 0; i < 4; i++) {
        clients[i] = connect_to(&house);
        ask(clients[i]);
        CHECK_GE(smf_core_poll(awake, 1000000), 0);
    }
    for (int i = 0; i < 100 && smf__rpc_of(awake)->stats.requests < 2; i++)
        CHECK_GE(smf_core_poll(awake, 100000), 0);
    CHECK_EQ(smf__rpc_of(awake)->stats.requests, 2);
    CHECK_EQ(smf__rpc_of(awake)->stats.connections_handed_out, 2);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    close_house(&house);
}

/* Ends. */

static void disconnect_all(struct smf_core *core, void *context)
{
    (void)context;
    smf_core_disconnect_all(core);
}

static uint32_t connecting; /* atomic */

static void *connect_and_ask(void *context)
{
    while (__atomic_load_n(&connecting, __ATOMIC_RELAXED)) {
        int fd = connect_to(context);

        if (fd < 0)
            return NULL;
        ask(fd);
        (void)answer(fd);
        close(fd);
    }
    return NULL;
}

/* One core closes while connections are handed to it: its peers hear of the end, the others are served,
 * and no file stays open. */
static void a_core_closes_while_it_is_handed_connections(void)
{
    int before = files();

    for (int round = 0; round < CLOSING_ROUNDS; round++) {
        struct house house;
        pthread_t clients[3];
        int fd;

        open_house(&house, 2, -1, 0, "127.0.0.1:0");
        drive_all(&house);
        __atomic_store_n(&connecting, 1, __ATOMIC_RELAXED);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(pthread_create(&clients[i], NULL, connect_and_ask, &house), 0);
        while (stats_of(&house, 1).connections_handed_in +
                   stats_of(&house, 0).connections_handed_in <
               20)
            usleep(100);
        CHECK_EQ(smf_core_post(smf_engine_core(house.engine, round % 2), disconnect_all, NULL),
                 SMF_OK);
        usleep(1000);
        __atomic_store_n(&connecting, 0, __ATOMIC_RELAXED);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(pthread_join(clients[i], NULL), 0);
        for (int i = 0; i < 3; i++) { /* the other one serves all */
            fd = connect_to(&house);
            ask(fd);
            CHECK_EQ(answer(fd), 1 - round % 2);
            close(fd);
        }
        close_house(&house);
    }
    CHECK_EQ(files(), before);
}

/* The engine is closed with letters that nobody has read, one core having been stopped before. */
static void unread_letters_leave_no_file_open(void)
{
    struct house house;
    struct smf_core *first;
    int clients[8], before = files();

    open_house(&house, 2, -1, 0, "127.0.0.1:0");
    first = smf_engine_core(house.engine, 0);
    for (int i = 0; i < 8; i++)
        clients[i] = connect_to(&house);
    while (smf__rpc_of(first)->stats.accepted < 4)
        CHECK_GE(smf_core_poll(first, SMF_WAIT_NONE), 0);
    CHECK_EQ(smf__rpc_of(first)->stats.connections_handed_out, 4);
    close_house(&house);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(answer(clients[i]), -1);
        close(clients[i]);
    }
    CHECK_EQ(files(), before);
}

/* A listener that is closed is not watched any more, though other cores have the same socket. */
static void closed_listeners_are_quiet(void)
{
    char address[64];

    snprintf(address, sizeof address, "unix:@smf-quiet-%d", (int)getpid());
    for (int i = 0; i < 2; i++) {
        struct house house;
        struct smf_core *gone, *stays;
        int clients[4];

        open_house(&house, 2, -1, 0, i == 0 ? "127.0.0.1:0" : address);
        gone = smf_engine_core(house.engine, 0);
        stays = smf_engine_core(house.engine, 1);
        smf_core_disconnect_all(gone);
        for (int j = 0; j < 4; j++) {
            clients[j] = connect_to(&house);
            CHECK_EQ(smf_core_poll(gone, SMF_WAIT_NONE), 0);
        }
        while (smf__rpc_of(stays)->stats.accepted < 4)
            CHECK_GE(smf_core_poll(stays, SMF_WAIT_NONE), 0);
        CHECK_EQ(smf__rpc_of(gone)->stats.accepted, 0);
        for (int j = 0; j < 4; j++)
            close(clients[j]);
        close_house(&house);
    }
}

/* Limits. */

static void a_full_group_says_so(void)
{
    struct house house;
    int clients[9], refused = 0, at[CORES_MAX];

    open_house(&house, 2, -1, 4, "127.0.0.1:0");
    drive_all(&house);
    for (int i = 0; i < 8; i++)
        clients[i] = connect_to(&house);
    where(clients, 8, at);
    CHECK_EQ(at[0], 4);
    CHECK_EQ(at[1], 4);
    clients[8] = connect_to(&house);
    CHECK_EQ(answer(clients[8]), -1);
    for (uint32_t i = 0; i < 2; i++)
        refused += (int)stats_of(&house, i).closed[SMF_CLOSE_TOO_MANY];
    CHECK_EQ(refused, 1);
    for (int i = 0; i < 9; i++)
        close(clients[i]);
    close_house(&house);
}

/* Files run out while two cores accept: who can't be served hears of it, and the counts stay right. */
static void files_run_out(void *context)
{
    struct house house;
    struct rlimit limit = {0};
    int clients[4 * FILES_FREE], refused = 0, at[CORES_MAX];

    (void)context;
    open_house(&house, 2, -1, 0, "127.0.0.1:0");
    for (size_t i = 0; i < TEST_COUNT(clients); i++)
        clients[i] = connect_to(&house);
    limit.rlim_cur = limit.rlim_max = (rlim_t)dup(0) + FILES_FREE;
    close((int)limit.rlim_cur - FILES_FREE);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    drive_all(&house);
    for (size_t i = 0; i < TEST_COUNT(clients); i++)
        ask(clients[i]);
    for (size_t i = 0; i < TEST_COUNT(clients); i++) { /* in the order in which they came */
        refused += answer(clients[i]) < 0;
        close(clients[i]);
    }
    CHECK_GT(refused, 0);
    CHECK_LT(refused, TEST_COUNT(clients));
    wait_until_empty(&house);
    for (int i = 0; i < 4; i++) /* room again */
        clients[i] = connect_to(&house);
    where(clients, 4, at);
    CHECK_EQ(at[0], 2);
    CHECK_EQ(at[1], 2);
    close_house(&house);
}

static void no_files_left_on_two_cores(void)
{
    char text[512];
    int status = test_in_child(files_run_out, NULL, text, sizeof text);

    if (status != 0)
        test_fail(__FILE__, __LINE__, "%s", text);
}

static const struct test tests[] = {
    TEST(four_connections_on_two_cores),
    TEST(a_thousand_connections_on_three_cores),
    TEST(a_single_core_has_no_group),
    TEST(a_busy_core_does_not_hold_up_others),
    TEST(a_core_closes_while_it_is_handed_connections),
    TEST(unread_letters_leave_no_file_open),
    TEST(closed_listeners_are_quiet),
    TEST(a_full_group_says_so),
    TEST(no_files_left_on_two_cores),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
