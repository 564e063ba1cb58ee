/* Acknowledged bytes that go bad on the disk: an error that says where, or the records as they were;
 * never others, never silence. SMF_WAL_FLIPS=1 flips every bit, not one of so many. */
#include "test.h"
#include "wal_crash.h"

#define FLIPS_STRIDE 97u
#define DAMAGES 300u
#define REST_NS (3 * SMF__WAL_IDLE_NS)
#define META_PATH CRASH_FOLDER "/META"
#define SEGMENTS_MAX 64u

/* A log that is at rest, and where its files are. */
struct rest {
    struct crash *run;
    struct smf__disk_world *world;
    uint32_t segment_count;
    struct {
        char path[128];
        uint64_t end, first_offset;
    } segments[SEGMENTS_MAX];
};

static uint64_t stride(void)
{
    const char *text = getenv("SMF_WAL_FLIPS");

    return text != NULL ? strtoull(text, NULL, 0) : FLIPS_STRIDE;
}

static void note_segments(struct rest *rest)
{
    const struct smf__wal_part *part = crash_part_of(rest->run->wal, &rest->run->model, 0, 0);

    rest->segment_count = 0;
    for (const struct smf__wal_segment *segment = part->first; segment != NULL;
         segment = segment->next) {
        char path[SMF__DISK_PATH_MAX_BYTES];

        CHECK(rest->segment_count < SEGMENTS_MAX);
        smf__wal_segment_path(segment, path);
        snprintf(rest->segments[rest->segment_count].path, 128, "%.127s", path);
        rest->segments[rest->segment_count].first_offset = segment->header.first_offset;
        rest->segments[rest->segment_count++].end = segment->end;
    }
}

/* closed: the end is said by META; else by a stamp that a power cut left. */
static void rest_open(struct rest *rest, uint64_t seed, int closed, uint32_t appends)
{
    struct crash *run = calloc(1, sizeof *run);

    CHECK(run != NULL);
    crash_begin(run, seed, &(struct crash_options){.align_bytes = 512, .story = test_state.name});
    rest->run = run;
    CHECK_EQ(crash_log_open(run), SMF_OK);
    CHECK_EQ(crash_topic(run, 0, 1, SMF__WAL_SEGMENT_MIN_BYTES), SMF_OK);
    for (uint32_t i = 0; i < appends; i++) {
        CHECK_EQ(crash_append(run, 0, 0, 1 + i % 4, 1200, SMF__WAL_DURABLE), SMF_OK);
        if (i % 3 == 0)
            CHECK_EQ(crash_sync(run, 0, 0), SMF_OK);
        if (i == appends * 5 / 6) /* what is given up is as good as what counts */
            CHECK_EQ(crash_truncate_tail(run, 0, 0, run->model.topics[0].parts[0].next - 7),
                     SMF_OK);
    }
    CHECK_EQ(crash_sync(run, 0, 0), SMF_OK);
    crash_rest(run, REST_NS); /* a stamp, and no checkpoint yet */
    note_segments(rest);
    if (closed)
        CHECK_EQ(crash_log_close(run), SMF_OK);
    rest->world = smf__disk_world_cut(run->world, &(struct smf__disk_cut){.seed = seed});
}

static void rest_close(struct rest *rest)
{
    smf__disk_world_close(rest->world);
    crash_log_abandon(rest->run);
    crash_end(rest->run);
    free(rest->run);
}

/* least: what is before the damage. Returns 1 when the damage was noticed. */
static int check_damaged(const struct crash *run, struct smf__wal_part *part, uint64_t least,
                         const char *what)
{
    const struct crash_part *model = &run->model.topics[0].parts[0];
    char text[SMF_ERROR_TEXT_SIZE_BYTES];
    struct smf__wal_append append = {.kind = SMF__WAL_RECORDS};
    uint64_t read_to, first;
    int status;

    CRASH_PROMISE(run, "damage_is_reported_not_cut", part->head == model->head,
                  "%s: the log begins at %" PRIu64, what, part->head);
    read_to = crash_check_read(run, part, model, part->head, SMF__WAL_DURABLE, &status, text);
    CRASH_PROMISE(run, "damage_is_reported_not_cut",
                  (status == SMF_OK && read_to == model->next) ||
                      (status != SMF_OK && text[0] != 0),
                  "%s: %" PRIu64 " of %" PRIu64 " were read, and it is said: %s (%s; %s)", what,
                  read_to, model->next, smf_status_name(status), text, part->status_text);
    CRASH_PROMISE(run, "damage_is_reported_not_cut",
                  part->status != SMF_OK || part->next_offset == model->next,
                  "%s: the log ends at %" PRIu64 " of %" PRIu64, what, part->next_offset,
                  model->next);
    CRASH_PROMISE(run, "read_up_to_the_damage", read_to >= least,
                  "%s: %" PRIu64 " were read, %" PRIu64 " are before it (%s)", what, read_to, least,
                  text);
    CRASH_PROMISE(run, "errors_say_why", status == SMF_OK || strstr(text, "t0") != NULL,
                  "%s: no place is named: %s", what, text);
    if (part->status != SMF_OK) {
        CRASH_PROMISE(run, "damage_fences",
                      smf__wal_append(part, &append, &first) == part->status &&
                          part->status_text[0] != 0,
                      "%s: it says nothing, or takes appends", what);
    }
    return status != SMF_OK || part->status != SMF_OK;
}

/* Opens a world with damage. Returns 1 when somebody noticed. */
static int open_damaged(const struct rest *rest, struct smf__disk_world *world, uint64_t least,
                        const char *what)
{
    struct crash *after = calloc(1, sizeof *after);
    int noticed = 1;

    CHECK(after != NULL);
    snprintf(crash_note, sizeof crash_note, "%s", what);
    after->seed = rest->run->seed;
    after->options = rest->run->options;
    after->options.faulty = 1;
    after->quiet = 1;
    crash_model_copy(&after->model, &rest->run->model);
    crash_attach(after, world, after->seed);
    if (crash_log_open(after) == SMF_OK) {
        CRASH_PROMISE(after, "topics_survive", smf__wal_topic_find(after->wal, "t0") != NULL,
                      "%s: the topic is gone, and nothing is said", what);
        noticed = check_damaged(after, crash_part_of(after->wal, &after->model, 0, 0), least, what);
        crash_log_abandon(after);
    }
    crash_end(after);
    free(after);
    crash_counts.damages++;
    return noticed;
}

static struct smf__disk_world *copy_of(const struct rest *rest)
{
    return smf__disk_world_cut(rest->world, &(struct smf__disk_cut){.seed = rest->run->seed});
}

static void damage_blocks(int closed)
{
    static const char *const names[] = {"", "flip", "wipe", "stale", "misdirect"};
    struct rest rest;
    uint32_t noticed = 0;

    rest_open(&rest, test_seed(), closed, 90);
    CHECK_GT(rest.segment_count, 2);
    for (uint32_t i = 0; i < DAMAGES; i++) {
        struct smf__disk_world *world = copy_of(&rest);
        uint32_t index = (uint32_t)smf__random_below(&rest.run->random, rest.segment_count);
        uint32_t kind = SMF__DISK_FLIP + i % 4;
        uint64_t sectors = rest.segments[index].end / 512;
        uint64_t at = 512 * smf__random_below(&rest.run->random, sectors);
        uint64_t to = kind == SMF__DISK_FLIP ? smf__random_below(&rest.run->random, 8)
                                             : 512 * smf__random_below(&rest.run->random, sectors);
        char what[256];

        if (i % 10 < 2) { /* what was written last, in front of a stamp */
            index = rest.segment_count - 1;
            at = (rest.segments[index].end - 1) / 512 * 512 - 512;
        } else if (i % 10 == 2) { /* what says where the file before it ends */
            index = rest.segment_count - 1;
            at = 0;
        }
        if (kind == SMF__DISK_MISDIRECT && index + 1 == rest.segment_count) /* spares the stamp */
            to = 512 * smf__random_below(&rest.run->random, (rest.segments[index].end - 1) / 512);
        if (kind == SMF__DISK_FLIP)
            at += smf__random_below(&rest.run->random, 512);
        snprintf(what, sizeof what, "%s of %s at %" PRIu64 " (%" PRIu64 "), it ends at %" PRIu64,
                 names[kind], rest.segments[index].path, at, to, rest.segments[index].end);
        CHECK_EQ(smf__disk_world_damage(world, rest.segments[index].path, kind, at, 512, to),
                 SMF_OK);
        /* Its block 0 is needed to know where the one before it ends. */
        noticed += (uint32_t)open_damaged(
            &rest, world, at < 512 || to < 512 ? 0 : rest.segments[index].first_offset, what);
    }
    test_note("%u of %u damages were noticed, the others had changed nothing", noticed, DAMAGES);
    CHECK_GT(noticed, DAMAGES / 3);
    rest_close(&rest);
}

static void damage_after_a_clean_close(void)
{
    damage_blocks(1);
}

static void damage_behind_a_stamp(void)
{
    damage_blocks(0);
}

/* Wherever a file ends too early. */
static void files_that_are_cut_off(void)
{
    struct rest rest;

    rest_open(&rest, test_seed(), 1, 40);
    for (uint32_t i = 0; i < rest.segment_count; i++) {
        for (uint64_t size = 0; size < rest.segments[i].end; size += 512) {
            struct smf__disk_world *world = copy_of(&rest);
            struct smf__disk_sim_options options = {.offset_align_bytes = 512};
            struct smf__disk *disk;
            struct smf_error error;
            struct smf__disk_op open = {.kind = SMF__DISK_OPEN, .path = rest.segments[i].path};
            struct smf__disk_op cut = {.kind = SMF__DISK_TRUNCATE, .size = size};
            char what[256];

            CHECK_EQ(smf__disk_sim_open(&disk, world, &options, &error), SMF_OK);
            CHECK_EQ(smf__disk_run(disk, &open), SMF_OK);
            cut.file = open.file;
            CHECK_EQ(smf__disk_run(disk, &cut), SMF_OK);
            disk->ops->close(disk);
            snprintf(what, sizeof what, "%s cut off at %" PRIu64, rest.segments[i].path, size);
            CHECK(open_damaged(&rest, world, size < 512 ? 0 : rest.segments[i].first_offset, what));
        }
    }
    rest_close(&rest);
}

/* Read again and again by an open log, with one bit turned over. */
static void every_bit_of_a_segment(void)
{
    struct rest rest;
    struct crash *after = calloc(1, sizeof *after);
    struct smf__wal_part *part;
    uint64_t detected = 0, flips = 0;
    const char *path;

    rest_open(&rest, test_seed(), 1, 60);
    CHECK(after != NULL);
    after->seed = rest.run->seed;
    after->options = rest.run->options;
    after->options.faulty = 1;
    crash_model_copy(&after->model, &rest.run->model);
    crash_attach(after, copy_of(&rest), after->seed);
    after->disk.land_percent = 90;
    CHECK_EQ(crash_log_open(after), SMF_OK);
    part = crash_part_of(after->wal, &after->model, 0, 0);
    path = rest.segments[0].path;
    for (uint64_t bit = 8 * 512; bit < 8 * rest.segments[0].end; bit += stride()) {
        char what[256], text[SMF_ERROR_TEXT_SIZE_BYTES];
        uint64_t read_to;
        int status;

        snprintf(what, sizeof what, "bit %" PRIu64 " of %s", bit, path);
        CHECK_EQ(smf__disk_world_damage(after->world, path, SMF__DISK_FLIP, bit / 8, 1, bit % 8),
                 SMF_OK);
        read_to = crash_check_read(after, part, &after->model.topics[0].parts[0], 0,
                                   SMF__WAL_DURABLE, &status, text);
        CRASH_PROMISE(after, "damage_is_reported_not_cut",
                      status != SMF_OK || read_to == after->model.topics[0].parts[0].next,
                      "%s: %" PRIu64 " records, and nothing is said", what, read_to);
        detected += status != SMF_OK;
        flips++;
        CHECK_EQ(smf__disk_world_damage(after->world, path, SMF__DISK_FLIP, bit / 8, 1, bit % 8),
                 SMF_OK);
    }
    test_note("%" PRIu64 " of %" PRIu64 " flips detected, the others were padding", detected,
              flips);
    CHECK_GT(detected, flips / 2);
    crash_log_abandon(after);
    crash_end(after);
    free(after);
    rest_close(&rest);
}

static void flip_all(const struct rest *rest, const char *path, uint64_t from, uint64_t to)
{
    uint64_t noticed = 0, flips = 0;

    for (uint64_t bit = 8 * from; bit < 8 * to; bit += stride()) {
        struct smf__disk_world *world = copy_of(rest);
        char what[256];

        snprintf(what, sizeof what, "bit %" PRIu64 " of %s", bit, path);
        CHECK_EQ(smf__disk_world_damage(world, path, SMF__DISK_FLIP, bit / 8, 1, bit % 8), SMF_OK);
        noticed += (uint64_t)open_damaged(rest, world, 0, what);
        flips++;
    }
    test_note("%" PRIu64 " of %" PRIu64 " flips in %s were reported, the others did no harm",
              noticed, flips, path);
}

static void every_bit_of_block_0(void)
{
    struct rest rest;

    rest_open(&rest, test_seed(), 1, 90);
    for (uint32_t i = 0; i < rest.segment_count; i++)
        flip_all(&rest, rest.segments[i].path, 0, 512);
    rest_close(&rest);
}

static uint64_t end_of_meta(const struct smf__disk_world *world)
{
    static uint8_t bytes[1 << 20];
    int64_t size = smf__disk_world_peek(world, META_PATH, 0, sizeof bytes, bytes);

    CHECK_GT(size, 0);
    while (size > 512 && bytes[size - 1] == 0)
        size--;
    return ((uint64_t)size + 511) & ~511ull;
}

static void every_bit_of_meta(void)
{
    for (int closed = 0; closed < 2; closed++) {
        struct rest rest;

        rest_open(&rest, test_seed(), closed, 30);
        flip_all(&rest, META_PATH, 0, end_of_meta(rest.world));
        rest_close(&rest);
    }
}

/* --- what a close leaves to do --- */

static void a_clean_close_leaves_nothing_to_scan(void)
{
    struct crash *run = calloc(1, sizeof *run);
    uint64_t clean, unclean;

    CHECK(run != NULL);
    crash_begin(run, test_seed(), &(struct crash_options){.story = test_state.name});
    CHECK_EQ(crash_log_open(run), SMF_OK);
    CHECK_EQ(crash_topic(run, 0, 1, 64u << 20), SMF_OK);
    for (uint32_t i = 0; i < 200; i++)
        CHECK_EQ(crash_append(run, 0, 0, 20, 4000, SMF__WAL_WRITTEN), SMF_OK);
    CHECK_EQ(crash_log_close(run), SMF_OK);
    run->disk.read_bytes = 0;
    CHECK_EQ(crash_log_open(run), SMF_OK);
    clean = run->disk.read_bytes;
    crash_check_topics(run, run->wal, &run->model, 0);
    CHECK_EQ(crash_log_close(run), SMF_OK);
    run->disk.read_bytes = 0;
    CHECK_EQ(crash_log_open(run), SMF_OK);
    unclean = run->disk.read_bytes;
    test_note("an open reads %" PRIu64 " bytes of segments of %u MiB, and %" PRIu64 " after a look",
              clean, 8u, unclean);
    CHECK_LT(clean, 256u << 10); /* the last batch is looked for, from the back */
    CHECK_LT(unclean, 256u << 10);
    CHECK_EQ(crash_append(run, 0, 0, 1, 10, SMF__WAL_DURABLE), SMF_OK);
    CHECK_EQ(crash_sync(run, 0, 0), SMF_OK);
    run->quiet = 1;
    crash_cut_now(run);
    crash_log_abandon(run);
    crash_end(run);
    free(run);
}

static const struct test tests[] = {
    TEST(damage_after_a_clean_close),
    TEST(damage_behind_a_stamp),
    TEST(files_that_are_cut_off),
    TEST(every_bit_of_a_segment),
    TEST(every_bit_of_block_0),
    TEST(every_bit_of_meta),
    TEST(a_clean_close_leaves_nothing_to_scan),
};

int main(int argc, char **argv)
{
    crash_program = argv[0];
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
