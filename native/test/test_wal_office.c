/* A log on several cores, on a simulated disk and driven by one thread: what they share, and that none of
 * them waits for another one to be driven. */
#include "test_wal_written.h"

#include "wal/wal_office.h"
#include "wal/wal_spread.h"

#define CORES 3u
#define PARTITIONS 8u
#define ROUNDS 10000u

/* Each of the cores has a disk, and so has the office. */
struct team {
    struct smf__disk_world *world;
    struct smf__disk *disks[CORES], *office_disk;
    struct smf__wal *logs[CORES];
    struct smf__wal_office *office;
    struct smf__clock_manual clock;
    struct smf_error error;
    uint32_t woken[CORES];
};

static void count_wake(void *context)
{
    (*(uint32_t *)context)++;
}

static struct smf__disk *disk_on(struct smf__disk_world *world)
{
    struct smf__disk_sim_options options = {.slow_percent = 30};
    struct smf__disk *disk;

    CHECK_EQ(smf__disk_sim_open(&disk, world, &options, NULL), SMF_OK);
    return disk;
}

static int claim_and_open(struct team *team, struct smf__wal_options *options)
{
    int core = smf__wal_office_claim(team->office);

    CHECK_GE(core, 0);
    options->office = team->office;
    options->core = (uint32_t)core;
    options->disk = team->disks[core];
    if (smf__wal_open(&team->logs[core], options, &team->error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "core %d: %s", core, team->error.text);
    smf__wal_office_wake(team->office, (uint32_t)core, count_wake, &team->woken[core]);
    return core;
}

static struct smf__wal_options options_of(struct team *team)
{
    return (struct smf__wal_options){.folder = "/log",
                                     .clock = smf__clock_from_manual(&team->clock),
                                     .memory_bytes = SMF__WAL_MEMORY_MIN_BYTES,
                                     .create = 1};
}

static void team_open(struct team *team, struct smf__disk_world *world)
{
    struct smf__wal_options options;

    memset(team, 0, sizeof *team);
    team->world = world;
    team->clock.now_ns = 1000000000;
    options = options_of(team);
    options.disk = team->office_disk = disk_on(world);
    CHECK_EQ(smf__wal_office_open(&team->office, &options, CORES, &team->error), SMF_OK);
    for (uint32_t i = 0; i < CORES; i++) {
        team->disks[i] = disk_on(world);
        CHECK_EQ(claim_and_open(team, &options), (int)i);
    }
}

static void team_leave(struct team *team, uint32_t core)
{
    CHECK_EQ(smf__wal_close(team->logs[core]), SMF_OK);
    team->logs[core] = NULL;
    (void)smf__wal_office_leave(team->office, core);
}

/* Disks and all; the world stays. */
static void team_close(struct team *team)
{
    for (uint32_t i = 0; i < CORES; i++) {
        if (team->logs[i] != NULL)
            team_leave(team, i);
        team->disks[i]->ops->close(team->disks[i]);
    }
    CHECK_EQ(smf__wal_office_close(team->office), SMF_OK);
    team->office_disk->ops->close(team->office_disk);
}

/* As a process that has ended: what it had not flushed is gone. */
static struct smf__disk_world *team_crash(struct team *team)
{
    struct smf__disk_world *after;
    uint8_t none[4096] = {0};
    struct smf__disk_cut cut = {.kept = none};

    CHECK_LE(smf__disk_world_unflushed(team->world), sizeof none);
    after = smf__disk_world_cut(team->world, &cut);
    team_close(team);
    smf__disk_world_close(team->world);
    return after;
}

static void team_topic(struct team *team, uint32_t core, const char *name)
{
    struct smf__wal_topic config = {.name = name,
                                    .name_size = (uint32_t)strlen(name),
                                    .partitions = PARTITIONS,
                                    .segment_bytes = SMF__WAL_SEGMENT_MIN_BYTES};

    if (smf__wal_topic_create(team->logs[core], &config, NULL, &team->error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "%s", team->error.text);
}

/* A partition, on the core that has it. */
static struct smf__wal_part *part_of(struct team *team, const char *topic, uint32_t number)
{
    uint32_t core = smf__wal_core_of(topic, (uint32_t)strlen(topic), number, CORES);
    struct smf__wal *log = team->logs[core];

    if (smf__wal_office_has_news(log))
        CHECK_EQ(smf__wal_office_topics(log, 1), SMF_OK);
    for (uint32_t i = 0; i < CORES; i++) {
        struct smf__wal_topic_info *info =
            team->logs[i] != NULL ? smf__wal_topic_find(team->logs[i], topic) : NULL;

        CHECK(info == NULL || (info->parts[number] != NULL) == (i == core));
    }
    return smf__wal_topic_find(log, topic)->parts[number];
}

static int append_once(struct smf__wal_part *part)
{
    uint8_t body[64];
    struct smf__wal_record record = {.time_us = 1000};
    struct smf__wal_append append = {.body = body,
                                     .count = 1,
                                     .base_us = 1000,
                                     .max_us = 1000,
                                     .kind = SMF__WAL_RECORDS,
                                     .ack = SMF__WAL_DURABLE};
    uint64_t first;

    smf__wal_record_write(&record, 1000, body);
    append.body_bytes = smf__wal_record_bytes(&record, 1000);
    return smf__wal_append(part, &append, &first);
}

/* Drives nobody but the partition's own core. */
static int append_alone(struct team *team, struct smf__wal_part *part)
{
    int status = append_once(part);

    for (uint32_t i = 0; (status == SMF_ENOMEM || status == SMF_ELIMIT) && i < ROUNDS; i++) {
        team->clock.now_ns += 10000;
        (void)smf__wal_turn(part->wal);
        if (part->wal->under_way > 0)
            smf__wal_wait(part->wal);
        else if (part->wal->awaited != 0)
            team->office_disk->ops->wait(team->office_disk, 0);
        status = append_once(part);
    }
    return status;
}

static void append_some(struct team *team, const char *topic, uint32_t appends)
{
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        struct smf__wal_part *part = part_of(team, topic, number);

        for (uint32_t i = 0; i < appends; i++)
            CHECK_EQ(append_alone(team, part), SMF_OK);
        CHECK_EQ(smf__wal_sync(part), SMF_OK);
    }
}

/* --- where partitions are --- */

static void the_spread_is_what_it_was(void)
{
    static const struct {
        const char *topic;
        uint32_t cores, core[8];
    } golden[] = {
        {"orders", 2, {0, 0, 1, 1, 0, 0, 1, 1}},
        {"orders", 3, {0, 0, 1, 1, 0, 0, 1, 2}},
        {"orders", 8, {5, 0, 3, 6, 6, 6, 5, 4}},
        {"orders", 256, {214, 118, 114, 48, 41, 217, 85, 26}},
        {"clicks.eu-1", 3, {1, 1, 1, 2, 1, 2, 0, 1}},
        {"clicks.eu-1", 256, {66, 125, 152, 213, 70, 212, 90, 126}},
    };

    for (uint32_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        for (uint32_t j = 0; j < 8; j++)
            CHECK_EQ(smf__wal_core_of(golden[i].topic, (uint32_t)strlen(golden[i].topic), j,
                                      golden[i].cores),
                     golden[i].core[j]);
    }
}

/* One core more takes its share from the others, and nothing else moves. */
static void one_core_more_moves_few(void)
{
    for (uint32_t cores = 1; cores < 12; cores++) {
        uint32_t moved = 0, there[12] = {0};

        for (uint32_t i = 0; i < 12000; i++) {
            uint32_t before = smf__wal_core_of("t", 1, i, cores);
            uint32_t after = smf__wal_core_of("t", 1, i, cores + 1);

            CHECK(after == before || after == cores);
            moved += after != before;
            there[after]++;
        }
        CHECK_GT(moved, 12000 / (cores + 1) * 8 / 10);
        CHECK_LT(moved, 12000 / (cores + 1) * 12 / 10);
        for (uint32_t i = 0; i <= cores; i++)
            CHECK_GT(there[i], 12000 / (cores + 1) * 8 / 10);
    }
}

/* --- META --- */

/* What one core has told META is in its next version, though another one has written that. */
static void meta_is_written_anew_for_all(void)
{
    struct team team;
    struct rig rig;

    team_open(&team, smf__disk_world_open(test_seed()));
    team_topic(&team, 1, "orders");
    append_some(&team, "orders", 9);
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        struct smf__wal_part *part = part_of(&team, "orders", number);

        CHECK_EQ(smf__wal_truncate_head(part, number, &team.error), SMF_OK);
        CHECK_EQ(smf__wal_meta_checkpoint(part, 0, 1), SMF_OK);
    }
    CHECK_EQ(smf__wal_meta_rewrite(team.office->log, &team.error), SMF_OK);
    rig_start(&rig, team_crash(&team));
    rig_open(&rig);
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        const struct smf__wal_part *part = smf__wal_topic_find(rig.wal, "orders")->parts[number];

        CHECK_EQ(part->status, SMF_OK);
        CHECK_EQ(part->head, number);
        CHECK_EQ(part->next_offset, 9);
        CHECK_EQ(part->checkpoint.next_offset, 9);
    }
    rig_close(&rig);
    rig_end(&rig);
}

/* What META was told of a partition: by anybody, and what of that is durable. */
struct told {
    uint64_t offset[PARTITIONS], durable[PARTITIONS];
};

/* A checkpoint from the core that has the partition; each has another offset. */
static void tell_meta(struct team *team, struct told *told, uint32_t number, int block)
{
    uint8_t item[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
    const struct smf__wal_part *part = part_of(team, "orders", number);
    struct smf__wal_checkpoint checkpoint = {.topic_id = part->topic->config.topic_id,
                                             .partition = number,
                                             .end = smf__wal_place(1, 1024),
                                             .next_offset = told->offset[number] + 1,
                                             .prev_crc = 5};
    int status =
        smf__wal_meta_write(part->wal, item, smf__wal_checkpoint_write(&checkpoint, item), block);

    team->clock.now_ns += 10000;
    if (status == SMF_OK) {
        told->offset[number]++;
        if (block)
            memcpy(told->durable, told->offset, sizeof told->durable);
        return;
    }
    CHECK(!block);
    CHECK(status == SMF_ELIMIT || status == SMF_ENOMEM);
    team->office_disk->ops->wait(team->office_disk, 0);
}

/* The table of an office that is opened after all others are gone. */
static void check_told(struct smf__disk_world *world, const struct told *told)
{
    struct team team = {.world = world, .clock.now_ns = 1000000000};
    struct smf__wal_options options = options_of(&team);
    const struct smf__wal_topic_info *topic;

    options.disk = team.office_disk = disk_on(world);
    CHECK_EQ(smf__wal_office_open(&team.office, &options, CORES, &team.error), SMF_OK);
    topic = smf__wal_topic_find(team.office->log, "orders");
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        CHECK_GE(topic->parts[number]->checkpoint.next_offset, told->durable[number]);
        CHECK_LE(topic->parts[number]->checkpoint.next_offset, told->offset[number]);
    }
    CHECK_EQ(smf__wal_office_close(team.office), SMF_OK);
    team.office_disk->ops->close(team.office_disk);
}

/* Cores tell META things while it is being written anew in their turns, some waiting and some not; then the
 * power fails, at another place each time. */
static void meta_is_written_anew_in_turns_for_all(void)
{
    for (uint32_t steps = 0; steps < 24; steps += 3) {
        struct team team;
        struct told told = {0};
        uint32_t begun = 0, tries = 0, first;
        struct smf__disk_world *world;

        team_open(&team, smf__disk_world_open(test_seed() + steps));
        team_topic(&team, 1, "orders");
        first = team.office->log->meta.last->header.number;
        for (; begun < 2 + steps % 2; tries++) {
            int was = team.office->log->meta_rewriting;

            tell_meta(&team, &told, tries % PARTITIONS, tries % 512 == 0);
            begun += !was && team.office->log->meta_rewriting;
            CHECK_LT(tries, 1000000);
        }
        CHECK_GE(team.office->log->meta.last->header.number, first + begun - 1);
        for (uint32_t i = 0; i < steps; i++)
            tell_meta(&team, &told, (tries + i) % PARTITIONS, 0);
        if (steps % 4 == 0) /* it waits for the next version, and is in it or behind it */
            tell_meta(&team, &told, steps % PARTITIONS, 1);
        world = team_crash(&team);
        check_told(world, &told);
        smf__disk_world_close(world);
    }
}

/* A log that was closed cleanly behind some appends to its topic, opened again. */
static struct smf__disk_world *team_open_again(struct team *team)
{
    struct smf__disk_world *world = smf__disk_world_open(test_seed());

    team_open(team, world);
    team_topic(team, 0, "orders");
    append_some(team, "orders", 2);
    team_close(team);
    team_open(team, world);
    return world;
}

/* Nothing is written behind a clean end before META has revoked it, and nobody else is needed for that. */
static void a_clean_end_is_revoked_without_the_others(void)
{
    struct team team;
    struct smf__disk_world *world = team_open_again(&team);

    for (uint32_t number = 0; number < PARTITIONS; number++) {
        struct smf__wal_part *part = part_of(&team, "orders", number);
        uint64_t end = part->last->end, meta_end = team.office->log->meta.durable.place;

        CHECK(part->clean);
        CHECK_EQ(append_once(part), SMF_ENOMEM);
        CHECK(part->wal->awaited > meta_end);
        CHECK_EQ(part->last->end, end);
        CHECK_EQ(append_alone(&team, part), SMF_OK);
        CHECK(team.office->log->meta.durable.place > meta_end);
        CHECK_EQ(part->wal->awaited, 0);
        CHECK_EQ(smf__wal_sync(part), SMF_OK);
    }
    world = team_crash(&team);
    team_open(&team, world);
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        CHECK(!part_of(&team, "orders", number)->clean);
        CHECK_EQ(part_of(&team, "orders", number)->next_offset, 3);
    }
    team_close(&team);
    smf__disk_world_close(world);
}

/* Whoever waits for META is woken by the core that gets it there. */
static void who_waits_is_woken(void)
{
    struct team team;
    struct smf__disk_world *world = smf__disk_world_open(test_seed());
    struct smf__wal_part *part;
    uint32_t core;

    team_open(&team, world);
    team_topic(&team, 0, "orders");
    append_some(&team, "orders", 1);
    team_close(&team);
    team_open(&team, world);
    part = part_of(&team, "orders", 2);
    core = part->wal->core;
    CHECK_EQ(core, 1);
    CHECK_EQ(append_once(part), SMF_ENOMEM);
    memset(team.woken, 0, sizeof team.woken);
    for (uint32_t i = 0; i < ROUNDS && team.woken[core] == 0; i++) {
        team.clock.now_ns += 10000;
        team.office_disk->ops->wait(team.office_disk, 0);
        (void)smf__wal_turn(team.logs[0]); /* it keeps META */
    }
    CHECK_EQ(team.woken[core], 1);
    CHECK_EQ(append_alone(&team, part), SMF_OK);
    team_close(&team);
    smf__disk_world_close(world);
}

static void count_retry(void *context)
{
    (*(uint32_t *)context)++;
}

/* Has a core make turns, in which time passes, until it has called those who were refused. */
static void await_retry(struct team *team, uint32_t core, const uint32_t *retries)
{
    uint32_t before = *retries;

    for (uint32_t i = 0; *retries == before; i++) {
        CHECK_LT(i, ROUNDS);
        team->disks[core]->ops->wait(team->disks[core], 0);
        team->office_disk->ops->wait(team->office_disk, 0);
        team->clock.now_ns += SMF__WAL_OFFICE_LOOK_NS;
        (void)smf__wal_turn(team->logs[core]);
    }
}

/* Whoever was refused because META waits for its disk comes again when it is there, and not before: with the
 * first of several places. */
static void who_was_refused_for_meta_is_called(void)
{
    struct team team;
    struct smf__disk_world *world = team_open_again(&team);
    struct smf__wal_part *parts[PARTITIONS];
    uint32_t count = 0, retries = 0;

    team.logs[1]->retry = count_retry;
    team.logs[1]->told_context = &retries;
    smf__disk_world_stall(world, 1);
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        struct smf__wal_part *part = part_of(&team, "orders", number);

        if (part->wal->core != 1)
            continue;
        CHECK_EQ(append_once(part), SMF_ENOMEM);
        parts[count++] = part;
    }
    CHECK_GE(count, 2);
    CHECK_EQ(team.logs[1]->awaited, parts[0]->revoke_place);
    CHECK_LT(parts[0]->revoke_place, parts[1]->revoke_place);
    for (int i = 0; i < 10; i++) {
        team.clock.now_ns += 10 * SMF__WAL_OFFICE_LOOK_NS;
        (void)smf__wal_turn(team.logs[1]);
    }
    CHECK_EQ(retries, 0);
    smf__disk_world_stall(world, 0);
    for (uint32_t i = 0; i < count; i++) {
        int status;

        while ((status = append_once(parts[i])) == SMF_ENOMEM)
            await_retry(&team, 1, &retries);
        CHECK_EQ(status, SMF_OK);
    }
    CHECK_GT(retries, 0);
    team_close(&team);
    smf__disk_world_close(world);
}

/* Somebody else is at META: another try follows after a while, not in every turn. */
static void who_was_refused_for_somebody_else_looks_again(void)
{
    struct team team;
    struct smf__disk_world *world = team_open_again(&team);
    struct smf__wal_part *part = part_of(&team, "orders", 2);
    struct smf__wal *log = part->wal;
    uint32_t retries = 0;

    CHECK_EQ(log->core, 1);
    log->retry = count_retry;
    log->told_context = &retries;
    CHECK(smf__wal_office_enter(team.office, 1));
    for (uint32_t i = 0; i < 5; i++) {
        retries = 0;
        CHECK_EQ(append_once(part), SMF_ELIMIT);
        while (log->under_way > 0) /* the file, which is opened again; then there is nothing else */
            smf__wal_wait(log);
        if (retries > 0)
            continue;
        CHECK_EQ(smf__wal_turn(log), team.clock.now_ns + SMF__WAL_RETRY_NS);
        team.clock.now_ns += SMF__WAL_RETRY_NS - 1;
        (void)smf__wal_turn(log);
        CHECK_EQ(retries, 0);
        team.clock.now_ns++;
        (void)smf__wal_turn(log);
        CHECK_EQ(retries, 1);
    }
    pthread_mutex_unlock(&team.office->mutex);
    CHECK_EQ(append_alone(&team, part), SMF_OK);
    team_close(&team);
    smf__disk_world_close(world);
}

/* The stamp that follows what META was told is written by who keeps it then: the first core that is there. */
static void somebody_keeps_meta(void)
{
    struct team team;
    struct smf__disk_world *world = smf__disk_world_open(test_seed());
    const struct smf__wal_part *meta;

    team_open(&team, world);
    meta = &team.office->log->meta;
    for (uint32_t keeper = 0; keeper < CORES - 1; keeper++) {
        uint64_t due;

        memset(team.woken, 0, sizeof team.woken);
        team_topic(&team, CORES - 1, keeper == 0 ? "first" : "second");
        CHECK(meta->said_durable < meta->durable.place);
        CHECK_GT(team.woken[keeper], 0);
        due = smf__wal_turn(team.logs[keeper]);
        CHECK_LE(due, team.clock.now_ns + SMF__WAL_IDLE_NS);
        CHECK_EQ(smf__wal_turn(team.logs[CORES - 1]), UINT64_MAX);
        team.clock.now_ns += SMF__WAL_IDLE_NS;
        for (uint32_t i = 0; i < ROUNDS && meta->said_durable < meta->stamped_for; i++) {
            team.clock.now_ns += 10000;
            (void)smf__wal_turn(team.logs[keeper]);
            team.office_disk->ops->wait(team.office_disk, 0);
        }
        CHECK_GE(meta->said_durable, meta->stamped_for);
        memset(team.woken, 0, sizeof team.woken);
        team_leave(&team, keeper);
        CHECK_GT(team.woken[keeper + 1], 0);
    }
    team_close(&team);
    smf__disk_world_close(world);
}

/* META that is fenced fails what needs it, on every core, and nothing else. */
static void meta_that_fails_is_known_to_all(void)
{
    struct team team;
    struct smf__disk_world *world = team_open_again(&team);

    for (uint32_t number = 0; number < PARTITIONS / 2; number++)
        CHECK_EQ(append_alone(&team, part_of(&team, "orders", number)), SMF_OK);
    CHECK_EQ(append_once(part_of(&team, "orders", PARTITIONS - 1)), SMF_ENOMEM);
    smf__wal_fence(&team.office->log->meta, SMF_EIO, "META is broken");
    /* Who waits for it already is not left waiting. */
    CHECK_EQ(append_alone(&team, part_of(&team, "orders", PARTITIONS - 1)), SMF_EIO);
    CHECK_EQ(smf__wal_truncate_head(part_of(&team, "orders", 0), 1, &team.error), SMF_EIO);
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        struct smf__wal_part *part = part_of(&team, "orders", number);

        CHECK_EQ(append_alone(&team, part), number < PARTITIONS / 2 ? SMF_OK : SMF_EIO);
        CHECK_EQ(part->status, SMF_OK);
    }
    for (uint32_t i = 0; i < CORES; i++) {
        int status = smf__wal_close(team.logs[i]);

        CHECK(status == SMF_EIO ||
              status == SMF_OK); /* without a checkpoint: the next open scans */
        team.logs[i] = NULL;
        (void)smf__wal_office_leave(team.office, i);
    }
    team_close(&team);
    team_open(&team, world);
    for (uint32_t number = 0; number < PARTITIONS; number++)
        CHECK_EQ(part_of(&team, "orders", number)->next_offset, number < PARTITIONS / 2 ? 4 : 2);
    team_close(&team);
    smf__disk_world_close(world);
}

/* --- cores that come and go --- */

static void a_core_comes_back(void)
{
    struct team team;
    struct smf__disk_world *world = smf__disk_world_open(test_seed());
    struct smf__wal_options options;

    team_open(&team, world);
    CHECK_EQ(smf__wal_office_claim(team.office), SMF_EEXIST);
    team_topic(&team, 2, "orders");
    append_some(&team, "orders", 3);
    for (uint32_t core = 0; core < CORES; core++) {
        team_leave(&team, core);
        options = options_of(&team);
        CHECK_EQ(claim_and_open(&team, &options), (int)core);
    }
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        struct smf__wal_part *part = part_of(&team, "orders", number);

        CHECK(part->clean); /* as it had told META when it went */
        CHECK_EQ(part->next_offset, 3);
    }
    append_some(&team, "orders", 1);
    team_close(&team);
    smf__disk_world_close(world);
}

static const struct test tests[] = {
    TEST(the_spread_is_what_it_was),
    TEST(one_core_more_moves_few),
    TEST(meta_is_written_anew_for_all),
    TEST(meta_is_written_anew_in_turns_for_all),
    TEST(a_clean_end_is_revoked_without_the_others),
    TEST(who_waits_is_woken),
    TEST(who_was_refused_for_meta_is_called),
    TEST(who_was_refused_for_somebody_else_looks_again),
    TEST(somebody_keeps_meta),
    TEST(meta_that_fails_is_known_to_all),
    TEST(a_core_comes_back),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
