/* The log's promises under power cuts, for real files: a log runs in a folder of this machine, a record is
 * made of everything that happens to its disk, and afterwards the record is replayed up to random places,
 * each time with other parts of what no flush covered kept, lost, or torn. What is opened then is held
 * against what the log had promised by that moment.
 *
 * In which order real operations end is the machine's affair: the same seed does the same things, but is
 * not cut in the same state twice. So a promise that is broken leaves the record where it is.
 *
 * SMF_WORKLOADS says how many runs there are of each kind. */
#include "disk/disk_image.h"
#include "disk/disk_record.h"
#include "disk/disk_replay.h"
#include "test_disk.h"
#include "wal_crash.h"

#define WORKLOADS 1u
#define STEPS 60u  /* of a workload, before files are rolled over */
#define ROLLS 150u /* appends */
#define GIVE_UP_IN 25u
#define LOOKS_MAX 48u  /* places of a record that are looked at; when it is full half of them go */
#define POLL_NS 20000u /* the log's clock goes on by up to so much at a time */
#define IN_FLIGHT_MIN 4u /* writes, at some time */

/* Somewhere in a record: so many entries were written, and this was promised. */
struct look {
    uint64_t place;
    struct crash_model model;
};

/* In front of the disk that records: knows the place, and what had been promised when it was reached. */
struct watch {
    struct smf__disk base;
    struct smf__disk *inner;
    struct crash *run;
    struct smf__random random;
    uint64_t place;   /* entries of the record so far */
    uint32_t look_in; /* one of so many is kept */
    uint32_t look_count;
    struct look looks[LOOKS_MAX];
    uint64_t recycled, renamed, durable, plain, flushes; /* operations that have ended */
    uint32_t writes, writes_most;                        /* under way */
};

struct recording {
    struct watch watch;
    struct crash run;
    struct rig rig;
    char trace[300], folder[300];
};

/* --- watching --- */

/* As disk_record.c has it. */
static int is_noted(const struct smf__disk_op *op)
{
    return op->kind != SMF__DISK_READ && op->kind != SMF__DISK_STAT && op->kind != SMF__DISK_LIST;
}

static void thin_out(struct watch *watch)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < watch->look_count; i++) {
        if (i % 2 == 0)
            watch->looks[kept++] = watch->looks[i];
        else
            crash_model_drop(&watch->looks[i].model);
    }
    watch->look_count = kept;
    watch->look_in *= 2;
}

static void keep_look(struct watch *watch)
{
    struct look *look;

    if (watch->look_count == LOOKS_MAX)
        thin_out(watch);
    look = &watch->looks[watch->look_count++];
    crash_note_marks(watch->run);
    look->place = watch->place;
    crash_model_copy(&look->model, &watch->run->model);
}

static void maybe_look(struct watch *watch)
{
    if (smf__random_below(&watch->random, watch->look_in) == 0)
        keep_look(watch);
}

static struct watch *watch_of(struct smf__disk *disk)
{
    return (struct watch *)disk;
}

static void watch_queue(struct smf__disk *disk, struct smf__disk_op *op)
{
    struct watch *watch = watch_of(disk);
    int was = crash_malloc_enter(0);

    if (is_noted(op)) {
        maybe_look(watch); /* whatever led to this operation has been promised already */
        watch->place++;
    }
    if (op->kind == SMF__DISK_WRITE && ++watch->writes > watch->writes_most)
        watch->writes_most = watch->writes;
    watch->inner->ops->queue(watch->inner, op);
    crash_malloc_enter(was);
}

static void watch_submit(struct smf__disk *disk)
{
    watch_of(disk)->inner->ops->submit(watch_of(disk)->inner);
}

static void count_end(struct watch *watch, const struct smf__disk_op *op)
{
    watch->recycled += op->kind == SMF__DISK_RECYCLE;
    watch->renamed += op->kind == SMF__DISK_RENAME;
    watch->flushes += op->kind == SMF__DISK_FLUSH;
    if (op->kind != SMF__DISK_WRITE)
        return;
    watch->writes--;
    watch->durable += (op->flags & SMF__DISK_DURABLE) != 0;
    watch->plain += (op->flags & SMF__DISK_DURABLE) == 0;
}

/* One after the other, so that there is a place between any two of them; and not always all. */
static uint32_t watch_poll(struct smf__disk *disk, struct smf__disk_op **ops_out, uint32_t capacity)
{
    struct watch *watch = watch_of(disk);
    int was = crash_malloc_enter(0);
    uint32_t count = 0, most = 1 + (uint32_t)smf__random_below(&watch->random, capacity);

    watch->run->clock.now_ns += smf__random_below(&watch->random, POLL_NS);
    while (count < most && watch->inner->ops->poll(watch->inner, ops_out + count, 1) == 1) {
        count_end(watch, ops_out[count]);
        if (is_noted(ops_out[count++])) {
            watch->place++;
            maybe_look(watch);
        }
    }
    crash_malloc_enter(was);
    return count;
}

static void watch_wait(struct smf__disk *disk, int64_t timeout_ns)
{
    struct watch *watch = watch_of(disk);

    watch->run->clock.now_ns += smf__random_below(&watch->random, POLL_NS);
    watch->inner->ops->wait(watch->inner, timeout_ns);
}

static int watch_fd(const struct smf__disk *disk)
{
    (void)disk;
    return -1;
}

static void watch_close(struct smf__disk *disk)
{
    watch_of(disk)->inner->ops->close(watch_of(disk)->inner);
}

static void watch_describe(const struct smf__disk *disk, char *text_out, size_t size)
{
    smf__disk_describe(((const struct watch *)disk)->inner, text_out, size);
}

static const struct smf__disk_ops watch_ops = {
    .name = "watch",
    .close = watch_close,
    .queue = watch_queue,
    .submit = watch_submit,
    .poll = watch_poll,
    .wait = watch_wait,
    .fd = watch_fd,
    .describe = watch_describe,
};

/* --- recording --- */

/* Returns 0 where there is no such disk. */
static int begin(struct recording *recording, uint64_t seed,
                 const struct smf__disk_options *disk_options)
{
    struct crash_options options = {.steps = STEPS, .no_reopen = 1, .small = 1};
    struct watch *watch = &recording->watch;
    struct crash *run = &recording->run;

    if (!rig_open(&recording->rig, ".", disk_options))
        return 0;
    options.story = test_state.name;
    crash_begin(run, seed, &options); /* its own disk is not used */
    snprintf(recording->trace, sizeof recording->trace, "%s.trace", recording->rig.folder);
    snprintf(recording->folder, sizeof recording->folder, "%s%s", recording->rig.folder,
             CRASH_FOLDER);
    CHECK_EQ(smf__disk_record_open(&watch->inner, recording->rig.disk, recording->trace,
                                   recording->rig.folder, NULL),
             SMF_OK);
    recording->rig.disk = &watch->base;
    watch->base.ops = &watch_ops;
    watch->base.counts = watch->inner->counts;
    watch->run = run;
    watch->look_in = 1;
    smf__random_seed(&watch->random, seed ^ 1);
    run->wal_options.disk = &watch->base;
    run->wal_options.folder = recording->folder;
    return 1;
}

/* Fills files, and gives up what is in them, so that they are used again. The fewer appends are durable
 * ones, the more is written while a flush is under way. */
static void roll_over(struct crash *run, uint32_t durable_percent)
{
    struct crash_topic *topic = &run->model.topics[0];

    for (uint32_t i = 0; i < ROLLS; i++) {
        uint32_t partition = (uint32_t)smf__random_below(&run->random, topic->partitions);
        struct crash_part *part = &topic->parts[partition];
        uint64_t coin = smf__random_below(&run->random, 30);
        uint32_t ack = smf__random_below(&run->random, 100) < durable_percent
                           ? SMF__WAL_DURABLE
                           : (uint32_t)smf__random_below(&run->random, SMF__WAL_DURABLE);

        CHECK_EQ(crash_append(run, 0, partition, 1 + (uint32_t)(coin % 4), 9000, ack), SMF_OK);
        if (coin % 3 == 0)
            (void)crash_turn(run);
        if (coin == 7)
            crash_rest(run, 20000000);
        if (i % GIVE_UP_IN == 0)
            CHECK_EQ(crash_truncate_head(run, 0, partition,
                                         part->next - (part->next - part->head) / (1 + coin % 5)),
                     SMF_OK);
    }
}

static void live(struct recording *recording)
{
    struct crash *run = &recording->run;

    crash_workload(run);
    roll_over(run, 80);
    CHECK_EQ(crash_log_close(run), SMF_OK);
    keep_look(&recording->watch);
    CHECK_EQ(crash_log_open(run), SMF_OK);
    crash_check_topics(run, run->wal, &run->model, 0);
    roll_over(run, 20);
    CHECK_EQ(crash_log_close(run), SMF_OK);
    keep_look(&recording->watch);
}

/* --- cutting --- */

static void cut_at(const struct recording *recording, struct look *look,
                   struct smf__disk_world *world)
{
    struct crash *run = smf__disk_must(calloc(1, sizeof *run));

    run->seed = recording->run.seed;
    run->options = recording->run.options;
    run->world = world;
    run->value_max = recording->run.value_max;
    run->model = look->model;
    smf__random_seed(&run->disk.random, run->seed ^ look->place);
    run->options.align_bytes = smf__random_below(&run->disk.random, 2) == 0 ? 512 : 4096;
    snprintf(crash_note, sizeof crash_note, "behind entry %" PRIu64 " of %.100s, which stays",
             look->place, recording->trace);
    crash_cut_now(run);
    crash_note[0] = 0;
    free(run);
}

/* Returns in how many places there was something to lose. */
static uint32_t cut_everywhere(struct recording *recording)
{
    struct smf__disk_world *world = smf__disk_world_open(recording->run.seed);
    struct watch *watch = &recording->watch;
    struct smf__disk_replay *replay;
    struct smf_error error = {.text = ""};
    uint64_t place = 0;
    uint32_t lossy = 0;

    CHECK_EQ(smf__disk_replay_open(&replay, recording->trace, world, NULL), SMF_OK);
    for (uint32_t i = 0; i < watch->look_count; i++) {
        struct look *look = &watch->looks[i];

        for (; place < look->place; place++) {
            int next = smf__disk_replay_next(replay, &error);

            if (next != 1)
                test_fail(__FILE__, __LINE__, "entry %" PRIu64 " of %s: %d %s", place,
                          recording->trace, next, error.text);
        }
        lossy += smf__disk_world_unflushed(world) > 0;
        cut_at(recording, look, world);
        crash_model_drop(&look->model);
    }
    CHECK_EQ(place, watch->place);
    CHECK_EQ(smf__disk_replay_next(replay, NULL), 0); /* what was counted is what was recorded */
    smf__disk_replay_close(replay);
    smf__disk_world_close(world);
    return lossy;
}

static uint64_t workloads(void)
{
    const char *text = getenv("SMF_WORKLOADS");

    return text != NULL ? strtoull(text, NULL, 0) : WORKLOADS;
}

static void record_and_cut(const struct smf__disk_options *options)
{
    struct recording *recording = smf__disk_must(malloc(sizeof *recording));
    uint64_t cuts = crash_counts.cuts, looks = 0, lossy = 0, entries = 0, files = 0, recycled = 0;
    uint64_t durable = 0, plain = 0, flushes = 0, crowded = 0;

    for (uint64_t i = 0; i < workloads(); i++) {
        const struct watch *watch = &recording->watch;

        memset(recording, 0, sizeof *recording);
        if (!begin(recording, test_seed() + i, options)) {
            free(recording);
            return;
        }
        live(recording);
        rig_close(&recording->rig);
        looks += watch->look_count;
        lossy += cut_everywhere(recording);
        CHECK_EQ(unlink(recording->trace), 0);
        crash_end(&recording->run);
        entries += watch->place;
        files += watch->renamed;
        recycled += watch->recycled;
        durable += watch->durable;
        plain += watch->plain;
        flushes += watch->flushes;
        crowded += watch->writes_most >= IN_FLIGHT_MIN;
    }
    test_note("%" PRIu64 " entries, %" PRIu64 " durable writes, %" PRIu64 " others, %" PRIu64
              " flushes, %" PRIu64 " files, %" PRIu64 " used again; %" PRIu64 " places, %" PRIu64
              " with something to lose, %" PRIu64 " cuts",
              entries, durable, plain, flushes, files, recycled, looks, lossy,
              crash_counts.cuts - cuts);
    CHECK_GE(files, 10 * workloads());
    CHECK_GE(recycled, workloads());
    CHECK_GE(durable, 1);
    CHECK_GE(plain, 1);
    CHECK_GE(flushes, 1);
    CHECK_GE(2 * crowded, workloads());
    CHECK_GE(4 * lossy, looks);
    CHECK_GE(looks, workloads() * LOOKS_MAX / 2);
    free(recording);
}

static void io_uring(void)
{
    record_and_cut(&(struct smf__disk_options){.backend = SMF__DISK_URING});
}

static void posix(void)
{
    record_and_cut(&(struct smf__disk_options){.backend = SMF__DISK_POSIX});
}

/* A durable write is a write and a flush behind it. */
static void flushes_behind_writes(void)
{
    record_and_cut(&(struct smf__disk_options){.durable_by = SMF__DISK_BY_FLUSH});
}

static const struct test tests[] = {
    TEST(io_uring),
    TEST(posix),
    TEST(flushes_behind_writes),
};

int main(int argc, char **argv)
{
    crash_program = argv[0];
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
