/* smf/wal.h on several cores: one thread that drives them all, and a thread for each. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_wal_api.h"

#define CORES 3u
#define PARTITIONS 9u
#define PATIENCE_POLLS 20000

struct team {
    struct smf_engine *engine;
    struct smf_core *cores[CORES];
    struct smf_wal *wals[CORES];
    struct smf_error error;
    char folder[256];
};

static struct smf_wal_config config_of(const struct team *team, uint32_t cores)
{
    return (struct smf_wal_config){.size = sizeof(struct smf_wal_config),
                                   .flags = SMF_WAL_CREATE,
                                   .folder = team->folder,
                                   .memory_bytes = 4u << 20,
                                   .cores = cores};
}

static void engine_open(struct team *team)
{
    struct smf_engine_config config = {
        .size = sizeof config, .cores = CORES, .spin_us = -1, .memory_bytes = 8u << 20};

    CHECK_EQ(smf_engine_open(&team->engine, &config, &team->error), SMF_OK);
    for (uint32_t i = 0; i < CORES; i++)
        team->cores[i] = smf_engine_core(team->engine, i);
}

/* Opens the log with so many cores. */
static void team_open(struct team *team, uint32_t cores)
{
    struct smf_wal_config config = config_of(team, cores);

    memset(team->wals, 0, sizeof team->wals);
    engine_open(team);
    for (uint32_t i = 0; i < cores; i++) {
        int status =
            i == 0 ? smf_wal_open(team->cores[0], &config, &team->wals[0], &team->error)
                   : smf_wal_join(team->cores[i], team->wals[i - 1], &team->wals[i], &team->error);

        if (status != SMF_OK)
            test_fail(__FILE__, __LINE__, "core %u: %s", i, team->error.text);
    }
}

static void team_close(struct team *team)
{
    for (uint32_t i = 0; i < CORES; i++) {
        if (smf_wal_close(team->wals[i], &team->error) != SMF_OK)
            test_fail(__FILE__, __LINE__, "core %u: %s", i, team->error.text);
    }
    smf_engine_close(team->engine);
}

static void team_new(struct team *team, uint32_t cores)
{
    memset(team, 0, sizeof *team);
    test_disk_folder(team->folder, sizeof team->folder, ".");
    team_open(team, cores);
}

static void topic_on(struct team *team, uint32_t core, const char *name)
{
    struct smf_wal_topic topic = {
        .size = sizeof topic, .partitions = PARTITIONS, .segment_bytes = 1u << 20};

    if (smf_wal_topic_create(team->wals[core], name, &topic, &team->error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "%s", team->error.text);
}

static uint64_t partition_of(struct team *team, uint32_t core, const char *topic, uint32_t number)
{
    uint64_t partition;

    if (smf_wal_partition(team->wals[core], topic, number, &partition, &team->error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "%s", team->error.text);
    return partition;
}

/* Appends one record, and polls its core alone until that is durable. */
static void append(struct team *team, uint32_t core, uint64_t partition, uint64_t expected)
{
    uint64_t offset;
    int status = SMF_ELIMIT, told = 0;

    for (int polls = 0; !told; polls++) {
        if (status != SMF_OK) {
            status = smf_wal_put(team->wals[core], partition, NULL, 0, "value", 5, SMF_WAL_DURABLE,
                                 1, &offset);
            CHECK(status == SMF_OK || status == SMF_ENOMEM || status == SMF_ELIMIT);
        }
        CHECK_LT(polls, PATIENCE_POLLS);
        if (smf_core_poll(team->cores[core], WAL_POLL_US) <= 0)
            continue;
        const struct smf_event *event = &smf_core_turn(team->cores[core])->events[0];
        const struct smf_wal_done *done = (const void *)event->payload;

        CHECK_EQ(event->kind, SMF_EVENT_WAL);
        CHECK_EQ(done->status, SMF_OK);
        for (uint32_t i = 0; i < event->meta; i++)
            told |= done[i].kind == SMF_WAL_APPENDED;
    }
    CHECK_EQ(offset, expected);
}

static struct smf_wal_info info_of(struct team *team, uint32_t core, uint64_t partition)
{
    struct smf_wal_info info = {.size = sizeof info};

    CHECK_EQ(smf_wal_partition_info(team->wals[core], partition, &info), SMF_OK);
    return info;
}

/* --- one thread ----------------------------------------------------------------------------------- */

/* Each round on another number of cores. No core is polled but the one that something is done on. */
static void any_number_of_cores_opens_it(void)
{
    static const uint32_t rounds[] = {3, 1, 2, 3, 2, 1, 3};
    struct team team;

    team_new(&team, 1);
    topic_on(&team, 0, "orders");
    team_close(&team);
    for (uint32_t round = 0; round < sizeof rounds / sizeof rounds[0]; round++) {
        uint32_t cores = rounds[round], used = 0;

        team_open(&team, cores);
        for (uint32_t number = 0; number < PARTITIONS; number++) {
            uint32_t core = smf_wal_core_of("orders", number, cores);
            uint64_t partition = partition_of(&team, core, "orders", number);

            used |= 1u << core;
            append(&team, core, partition, 2 * round);
            append(&team, core, partition, 2 * round + 1);
            CHECK_EQ(smf_wal_truncate_head(team.wals[core], partition, round, &team.error), SMF_OK);
        }
        CHECK_EQ(used, (1u << cores) - 1);
        for (uint32_t number = 0; number < PARTITIONS; number++) {
            uint32_t core = smf_wal_core_of("orders", number, cores);
            struct smf_wal_info info =
                info_of(&team, core, partition_of(&team, core, "orders", number));

            CHECK_EQ(info.status, SMF_OK);
            CHECK_EQ(info.head, round);
            CHECK_EQ(info.durable, 2 * round + 2);
        }
        team_close(&team);
    }
    test_disk_remove_folder(team.folder);
}

/* A topic is made on any core, and there at once on the others. */
static void a_topic_is_there_on_all_cores(void)
{
    struct team team;
    struct smf_wal_topic topic = {.size = sizeof topic};

    team_new(&team, CORES);
    topic_on(&team, 0, "first");
    topic_on(&team, 2, "second");
    CHECK_STR(smf_wal_topic_at(team.wals[2], 0, NULL), "first");
    CHECK_STR(smf_wal_topic_at(team.wals[2], 1, NULL), "second");
    CHECK(smf_wal_topic_at(team.wals[0], 1, NULL) == NULL);
    (void)smf_core_poll(team.cores[0], SMF_WAIT_NONE);
    CHECK(smf_wal_topic_at(team.wals[0], 1, NULL) != NULL);
    CHECK_STR(smf_wal_topic_at(team.wals[0], 1, &topic), "second");
    CHECK_EQ(topic.partitions, PARTITIONS);
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        uint32_t core = smf_wal_core_of("second", number, CORES);

        append(&team, core, partition_of(&team, core, "second", number), 0);
    }
    CHECK_EQ(smf_wal_topic_create(team.wals[1], "second", &topic, &team.error), SMF_EEXIST);
    team_close(&team);
    test_disk_remove_folder(team.folder);
}

static void says(const struct team *team, const char *text)
{
    if (strstr(team->error.text, text) == NULL)
        test_fail(__FILE__, __LINE__, "no \"%s\" in: %s", text, team->error.text);
}

static void what_is_refused(void)
{
    struct team team;
    struct smf_wal *wal = NULL;
    struct smf_wal_config config;
    uint64_t partition;

    team_new(&team, 1);
    topic_on(&team, 0, "orders");
    CHECK_EQ(smf_wal_join(team.cores[1], team.wals[0], &wal, &team.error), SMF_EINVAL);
    says(&team, "say cores");
    CHECK_EQ(smf_wal_join(NULL, team.wals[0], &wal, &team.error), SMF_EINVAL);
    CHECK_EQ(smf_wal_join(team.cores[1], NULL, &wal, &team.error), SMF_EINVAL);
    team_close(&team);
    team_open(&team, 2);
    CHECK_EQ(smf_wal_join(team.cores[2], team.wals[0], &wal, &team.error), SMF_EEXIST);
    says(&team, "all 2 cores");
    CHECK_EQ(smf_wal_join(team.cores[1], team.wals[0], &wal, &team.error), SMF_EINVAL);
    says(&team, "has a log already");
    CHECK_EQ(smf_wal_partition(team.wals[1], "orders", 0, &partition, &team.error), SMF_EINVAL);
    says(&team, "orders/0 is on core 0 of this log's 2, and this is core 1: ask there");
    CHECK_EQ(smf_wal_partition(team.wals[1], "orders", 99, &partition, &team.error), SMF_ENOTFOUND);
    CHECK_EQ(smf_wal_append(team.wals[1], (uint64_t)1 << 32,
                            &(struct smf_wal_batch){.memory = (uint8_t *)&partition}, 0, 0, NULL),
             SMF_EINVAL);
    CHECK(strstr(smf_wal_describe(team.wals[1]), "on 2 cores") != NULL);
    config = config_of(&team, 2);
    CHECK_EQ(smf_wal_open(team.cores[2], &config, &wal, &team.error), SMF_ELOCKED);
    config.cores = 257;
    CHECK_EQ(smf_wal_open(team.cores[2], &config, &wal, &team.error), SMF_EINVAL);
    says(&team, "at most 256");
    config.cores = 2;
    config.reserved = 1;
    CHECK_EQ(smf_wal_open(team.cores[2], &config, &wal, &team.error), SMF_EINVAL);
    CHECK(wal == NULL);
    team_close(&team);
    test_disk_remove_folder(team.folder);
}

/* In any order, by hand or with the engine; and one that has gone can come back. */
static void cores_close_in_any_order(void)
{
    struct team team;

    team_new(&team, CORES);
    topic_on(&team, 1, "orders");
    for (uint32_t first = 0; first < CORES; first++) {
        for (uint32_t number = 0; number < PARTITIONS; number++) {
            uint32_t core = smf_wal_core_of("orders", number, CORES);

            append(&team, core, partition_of(&team, core, "orders", number), first);
        }
        CHECK_EQ(smf_wal_close(team.wals[first], &team.error), SMF_OK);
        CHECK_EQ(smf_wal_join(team.cores[first], team.wals[(first + 1) % CORES], &team.wals[first],
                              &team.error),
                 SMF_OK);
    }
    CHECK_EQ(smf_wal_close(team.wals[1], &team.error), SMF_OK);
    smf_engine_close(team.engine);
    team_open(&team, 1);
    for (uint32_t number = 0; number < PARTITIONS; number++)
        CHECK_EQ(info_of(&team, 0, partition_of(&team, 0, "orders", number)).next, CORES);
    team_close(&team);
    test_disk_remove_folder(team.folder);
}

/* Beside a process that writes; each core reads META for itself. */
static void several_cores_read_beside_one_that_writes(void)
{
    struct team team, beside;
    struct smf_wal_config config;

    team_new(&team, 1);
    topic_on(&team, 0, "orders");
    for (uint32_t number = 0; number < PARTITIONS; number++)
        append(&team, 0, partition_of(&team, 0, "orders", number), 0);
    memset(&beside, 0, sizeof beside);
    memcpy(beside.folder, team.folder, sizeof beside.folder);
    engine_open(&beside);
    config = config_of(&beside, 2);
    config.flags = SMF_WAL_READ_ONLY;
    CHECK_EQ(smf_wal_open(beside.cores[0], &config, &beside.wals[0], &beside.error), SMF_OK);
    CHECK_EQ(smf_wal_join(beside.cores[1], beside.wals[0], &beside.wals[1], &beside.error), SMF_OK);
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        uint32_t core = smf_wal_core_of("orders", number, 2);
        uint64_t partition = partition_of(&beside, core, "orders", number);

        CHECK_EQ(info_of(&beside, core, partition).next, 1);
        CHECK_EQ(smf_wal_truncate_head(beside.wals[core], partition, 1, &beside.error),
                 SMF_EREADONLY);
    }
    team_close(&beside);
    team_close(&team);
    test_disk_remove_folder(team.folder);
}

/* In a child that was forked nothing of the log can be used, not from an engine of its own either. */
static void a_forked_child_can_t_join(void)
{
    struct team team, own = {0};
    struct smf_wal *wal = NULL;
    int status;
    pid_t child;

    team_new(&team, 2);
    topic_on(&team, 0, "orders");
    child = fork();
    if (child == 0) {
        engine_open(&own);
        CHECK_EQ(smf_wal_join(own.cores[0], team.wals[0], &wal, &own.error), SMF_ECLOSED);
        CHECK_EQ(smf_wal_join(team.cores[2], team.wals[0], &wal, &own.error), SMF_ECLOSED);
        CHECK_EQ(smf_wal_close(team.wals[1], &own.error), SMF_ECLOSED);
        says(&own, "fork");
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        uint32_t core = smf_wal_core_of("orders", number, 2);

        append(&team, core, partition_of(&team, core, "orders", number), 0);
    }
    team_close(&team);
    test_disk_remove_folder(team.folder);
}

/* --- a thread for each ---------------------------------------------------------------------------- */

#define TOPICS 6u
#define APPENDS 30u

struct worker {
    pthread_t thread;
    struct team *team;
    uint32_t core;
    pthread_barrier_t *all; /* at its end, so that all close at the same time */
};

/* Makes topics, and uses what is its core's of all of them, as soon as they are there. */
static void *work(void *context)
{
    struct worker *worker = context;
    struct team *team = worker->team;
    uint32_t core = worker->core;
    struct smf_wal_topic settings = {
        .size = sizeof settings, .partitions = PARTITIONS, .segment_bytes = 64u << 10};
    struct smf_error error;
    uint64_t partition;
    char name[16];

    for (uint32_t topic = 0; topic < TOPICS; topic++) {
        snprintf(name, sizeof name, "t%u", topic);
        if (topic % CORES == core)
            CHECK_EQ(smf_wal_topic_create(team->wals[core], name, &settings, &error), SMF_OK);
        for (uint32_t number = 0; number < PARTITIONS; number++) {
            if (smf_wal_core_of(name, number, CORES) != core)
                continue;
            for (int polls = 0;
                 smf_wal_partition(team->wals[core], name, number, &partition, &error) != SMF_OK;
                 polls++) {
                CHECK_EQ(error.status, SMF_ENOTFOUND);
                CHECK_LT(polls, PATIENCE_POLLS);
                (void)smf_core_poll(team->cores[core], 1000);
            }
            for (uint32_t i = 0; i < APPENDS; i++)
                append(team, core, partition, i);
            CHECK_EQ(smf_wal_truncate_head(team->wals[core], partition, APPENDS / 2, &error),
                     SMF_OK);
        }
    }
    (void)pthread_barrier_wait(worker->all);
    CHECK_EQ(smf_wal_close(team->wals[core], &error), SMF_OK);
    team->wals[core] = NULL;
    return NULL;
}

static void a_thread_for_each_core(void)
{
    struct worker workers[CORES];
    struct team team;
    pthread_barrier_t all;

    team_new(&team, CORES);
    CHECK_EQ(pthread_barrier_init(&all, NULL, CORES), 0);
    for (uint32_t i = 0; i < CORES; i++) {
        workers[i] = (struct worker){.team = &team, .core = i, .all = &all};
        CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < CORES; i++)
        CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
    pthread_barrier_destroy(&all);
    smf_engine_close(team.engine);
    team_open(&team, 2);
    for (uint32_t i = 0; i < TOPICS * PARTITIONS; i++) {
        char name[16];

        snprintf(name, sizeof name, "t%u", i / PARTITIONS);
        uint32_t core = smf_wal_core_of(name, i % PARTITIONS, 2);
        struct smf_wal_info info =
            info_of(&team, core, partition_of(&team, core, name, i % PARTITIONS));

        CHECK_EQ(info.head, APPENDS / 2);
        CHECK_EQ(info.durable, APPENDS);
    }
    team_close(&team);
    test_disk_remove_folder(team.folder);
}

static const struct test tests[] = {
    TEST(any_number_of_cores_opens_it),
    TEST(a_topic_is_there_on_all_cores),
    TEST(what_is_refused),
    TEST(cores_close_in_any_order),
    TEST(a_forked_child_can_t_join),
    TEST(a_thread_for_each_core),
    TEST(several_cores_read_beside_one_that_writes),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
