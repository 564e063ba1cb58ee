#include "wal_crash.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk_image.h"

#define GENERATIONS_MAX 2u
#define CUTS_PER_LOOK 3u
#define ROUNDS_MAX 200000u
#define SETTLE_FAR_NS 3000000000ull /* nothing is due for so long: it is at rest */
#define REST_STEP_NS 1000000ull
#define WALL_US 1700000000000000ll
#define CLOCK_NS 1000000000ull

struct crash_counts crash_counts;
const char *crash_program = "test_wal_crash";
char crash_note[200];

void crash_broken(const struct crash *run, const char *promise, const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "broken promise: %s\n  ", promise);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (crash_note[0] != 0)
        fprintf(stderr, "\n  %s", crash_note);
    fprintf(stderr,
            "\n  seed %" PRIu64 ", crashes before: %u, disk steps: %" PRIu64
            "\n  again: SMF_WORKLOADS=1 %s",
            run->seed, run->options.generation, smf__disk_world_steps(run->world), crash_program);
    if (run->options.story != NULL)
        fprintf(stderr, " --seed %" PRIu64 " %s\n", run->seed, run->options.story);
    else
        fprintf(stderr, " --seed %" PRIu64 "\n", run->seed);
    printf("FAIL %s (seed %" PRIu64 ")\n", promise, run->seed);
    fflush(stdout);
    _exit(1);
}

/* A status that only a fault explains. Returns it. */
static int expect(const struct crash *run, int status, const char *what, const char *text)
{
    CRASH_PROMISE(run, "nothing_fails_without_a_fault",
                  status == SMF_OK || run->options.faulty || run->outcomes_late, "%s: %s: %s", what,
                  smf_status_name(status), text);
    return status;
}

/* --- opening and closing --- */

static int64_t wall_us(void *context)
{
    const struct crash *run = context;

    return run->wall_us + (int64_t)(run->clock.now_ns / 1000);
}

static void retry(void *context)
{
    ((struct crash *)context)->retries++;
}

static void told(void *context, const struct smf__wal_outcome *outcome)
{
    struct crash *run = context;
    struct crash_part *part;
    struct crash_batch *batch;
    const struct smf__wal_mark *mark;

    if (outcome->part->topic == NULL)
        return; /* META's */
    batch = crash_batch_find(&run->model, outcome->user, &part);
    if (batch == NULL || outcome->status != SMF_OK) {
        CRASH_PROMISE(run, "nothing_fails_without_a_fault",
                      outcome->status == SMF_OK || run->options.faulty || run->outcomes_late,
                      "an append came to %s", smf_status_name(outcome->status));
        return;
    }
    mark = batch->ack == SMF__WAL_DURABLE ? &outcome->part->durable : &outcome->part->written;
    CRASH_PROMISE(run, "offsets_dense", outcome->first_offset == batch->first,
                  "an outcome is for %" PRIu64 ", the append was at %" PRIu64,
                  outcome->first_offset, batch->first);
    CRASH_PROMISE(run, "acked_once", !batch->acked && batch->ack != SMF__WAL_BUFFERED,
                  "offset %" PRIu64 " has another outcome", batch->first);
    CRASH_PROMISE(run, "acked_in_order", batch->end > part->acked_end[batch->ack],
                  "offset %" PRIu64 " is acknowledged after %" PRIu64, batch->first,
                  part->acked_end[batch->ack]);
    CRASH_PROMISE(run, "acked_behind_the_mark", mark->offset >= batch->end,
                  "%" PRIu64 " is acknowledged, the mark is at %" PRIu64, batch->end, mark->offset);
    batch->acked = 1;
    part->acked_end[batch->ack] = batch->end;
    if (batch->end > part->written)
        part->written = batch->end;
    if (batch->ack == SMF__WAL_DURABLE && batch->end > part->durable)
        part->durable = batch->end;
}

static void readable(void *context, struct smf__wal_reader *reader)
{
    (void)context, (void)reader;
}

static void on_step(void *context)
{
    struct crash *run = context;

    crash_counts.steps++;
    if (run->quiet || run->options.check_in == 0 ||
        (run->options.check_in > 1 &&
         smf__random_below(&run->disk.random, run->options.check_in) != 0))
        return;
    run->quiet = 1;
    crash_cut_now(run);
    run->quiet = 0;
}

/* On a world that is there. */
void crash_attach(struct crash *run, struct smf__disk_world *world, uint64_t seed)
{
    run->world = world;
    run->clock.now_ns = CLOCK_NS;
    run->wall_us = WALL_US;
    smf__random_seed(&run->random, seed);
    crash_disk_open(&run->disk, world, run->options.align_bytes, smf__random_next(&run->random),
                    &run->clock);
    run->disk.step = on_step;
    run->disk.context = run;
    if (run->options.cores_max > 1)
        crash_cores_attach(run, on_step);
    run->wal_options = (struct smf__wal_options){.folder = CRASH_FOLDER,
                                                 .disk = &run->disk.base,
                                                 .clock = smf__clock_from_manual(&run->clock),
                                                 .wall_us = wall_us,
                                                 .wall_context = run,
                                                 .random_seed = smf__random_next(&run->random) | 1,
                                                 .memory_bytes = SMF__WAL_MEMORY_MIN_BYTES,
                                                 .create = 1};
}

void crash_begin(struct crash *run, uint64_t seed, const struct crash_options *options)
{
    memset(run, 0, sizeof *run);
    run->seed = seed;
    run->options = *options;
    smf__random_seed(&run->random, seed);
    if (run->options.align_bytes == 0)
        run->options.align_bytes = smf__random_below(&run->random, 4) == 0 ? 4096 : 512;
    crash_attach(run, smf__disk_world_open(seed), seed);
    run->disk.land_percent = (uint32_t)(10 + 40 * smf__random_below(&run->random, 3));
    run->burst = 1 + (uint32_t)smf__random_below(&run->random, 12);
    run->value_max = (const uint32_t[]){40, 1500, 9000}[smf__random_below(&run->random, 3)];
    if (smf__random_below(&run->random, 2) == 0)
        run->wal_options.linger_us = 1 + (uint32_t)smf__random_below(&run->random, 3000);
}

void crash_end(struct crash *run)
{
    crash_disk_close(&run->disk);
    crash_cores_detach(run);
    smf__disk_world_close(run->world);
    crash_model_drop(&run->model);
}

int crash_log_open(struct crash *run)
{
    struct smf_error error = {.text = ""};
    struct smf__wal *wal;
    int status;

    crash_counts.opens++;
    CRASH_IN_LOG(status, crash_cores_open(run, &error));
    if (expect(run, status, "open", error.text) != SMF_OK) {
        CRASH_PROMISE(run, "errors_say_why", error.text[0] != 0,
                      "an open that failed says nothing");
        return status;
    }
    run->model.opened = 1;
    for (uint32_t i = 0; (wal = crash_cores_log(run, i)) != NULL; i++) {
        wal->told = told;
        wal->readable = readable;
        wal->retry = retry;
        wal->told_context = run;
    }
    for (uint32_t i = 0; i < CRASH_PARTS_MAX; i++)
        memset(
            run->model.topics[i / CRASH_PARTITIONS_MAX].parts[i % CRASH_PARTITIONS_MAX].acked_end,
            0, sizeof(uint64_t) * SMF__WAL_ACKS);
    return SMF_OK;
}

/* NULL: its core is being opened, or closed, or had no memory for its topic. */
static struct smf__wal_part *find(const struct crash *run, const char *topic, uint32_t partition)
{
    for (uint32_t i = 0; i < CRASH_CORES_MAX; i++) {
        struct smf__wal *wal = crash_cores_log(run, i);
        const struct smf__wal_topic_info *info =
            wal != NULL ? smf__wal_topic_find(wal, topic) : NULL;

        if (info != NULL && info->parts[partition] != NULL)
            return info->parts[partition];
    }
    return NULL;
}

/* Everything that was appended is safe. */
static void all_safe(struct crash_part *part)
{
    part->durable = part->written = part->next;
}

int crash_log_close(struct crash *run)
{
    int status, healthy = 1;

    run->follow.reader = NULL; /* closed with the log */

    for (struct smf__wal_topic_info *topic = run->wal->topics; topic != NULL; topic = topic->next) {
        for (uint32_t i = 0; i < topic->config.partitions; i++)
            healthy &=
                find(run, topic->name, i) == NULL || find(run, topic->name, i)->status == SMF_OK;
    }
    CRASH_IN_LOG(status, crash_cores_close(run));
    (void)expect(run, status, "close", "");
    if (status != SMF_OK || !healthy || run->outcomes_late)
        return status;
    for (uint32_t i = 0; i < CRASH_PARTS_MAX; i++) {
        struct crash_part *part =
            &run->model.topics[i / CRASH_PARTITIONS_MAX].parts[i % CRASH_PARTITIONS_MAX];

        if (part->tail_to == UINT64_MAX || part->tail_to == 0)
            all_safe(part);
    }
    return status;
}

void crash_log_abandon(struct crash *run)
{
    run->quiet++;
    run->outcomes_late = 1;
    smf__disk_world_stall(run->world, 0);
    smf__disk_world_halt_at(run->world, 0);
    if (run->wal != NULL)
        (void)crash_log_close(run);
    run->outcomes_late = 0;
    run->quiet--;
}

int crash_log_kill(struct crash *run)
{
    crash_note_marks(run);
    run->quiet++;
    run->outcomes_late = 1;
    crash_disk_kill(&run->disk);
    crash_cores_kill(run);
    (void)crash_log_close(run);
    run->outcomes_late = 0;
    crash_disk_close(&run->disk);
    crash_disk_open(&run->disk, run->world, run->options.align_bytes,
                    smf__random_next(&run->random), &run->clock);
    run->disk.step = on_step;
    run->disk.context = run;
    crash_cores_detach(run);
    if (run->options.cores_max > 1)
        crash_cores_attach(run, on_step);
    run->quiet--;
    return crash_log_open(run);
}

/* --- what is done to a log --- */

struct smf__wal_part *crash_part_of(struct smf__wal *wal, const struct crash_model *model,
                                    uint32_t topic, uint32_t partition)
{
    return smf__wal_topic_find(wal, model->topics[topic].name)->parts[partition];
}

struct smf__wal_part *crash_named(const struct crash *run, const char *topic, uint32_t partition)
{
    struct smf__wal_part *part = find(run, topic, partition);

    CRASH_PROMISE(run, "partitions_are_somewhere", part != NULL, "%s/%u is on no core", topic,
                  partition);
    return part;
}

struct smf__wal_part *crash_live(const struct crash *run, uint32_t topic, uint32_t partition)
{
    return crash_named(run, run->model.topics[topic].name, partition);
}

uint64_t crash_turn(struct crash *run)
{
    uint64_t due;

    CRASH_IN_LOG(due, crash_cores_turn(run));
    return due;
}

void crash_wait(struct crash *run)
{
    int was = crash_malloc_enter(1);

    crash_cores_wait(run);
    crash_malloc_enter(was);
}

void crash_settle(struct crash *run)
{
    uint64_t until_ns = run->clock.now_ns + SETTLE_FAR_NS;

    for (uint32_t rounds = 0;; rounds++) {
        uint64_t due = crash_turn(run);

        if (run->options.faulty && run->clock.now_ns > until_ns)
            return;
        CRASH_PROMISE(run, "it_comes_to_rest", rounds < ROUNDS_MAX,
                      "%u operations are under way, due in %" PRId64 " ns",
                      crash_cores_under_way(run), (int64_t)(due - run->clock.now_ns));
        if (crash_cores_under_way(run) > 0)
            crash_wait(run);
        else if (due == UINT64_MAX || due > until_ns)
            return; /* what is tried again and again, without META for example, is no rest */
        else if (due > run->clock.now_ns)
            run->clock.now_ns = due;
    }
}

void crash_rest(struct crash *run, uint64_t span_ns)
{
    uint64_t until_ns = run->clock.now_ns + span_ns;

    while (run->clock.now_ns < until_ns || crash_cores_under_way(run) > 0) {
        (void)crash_turn(run);
        if (crash_cores_under_way(run) > 0)
            crash_wait(run);
        else
            run->clock.now_ns += REST_STEP_NS;
    }
}

/* Until the log says that what was refused may be tried again. */
static void await_retry(struct crash *run)
{
    uint64_t retries = run->retries;

    for (uint32_t rounds = 0; run->retries == retries; rounds++) {
        CRASH_PROMISE(run, "who_is_refused_is_called", rounds < ROUNDS_MAX,
                      "%u operations are under way", crash_cores_under_way(run));
        (void)crash_turn(run);
        if (run->retries != retries)
            return;
        if (crash_cores_under_way(run) > 0)
            crash_wait(run);
        else
            run->clock.now_ns += 1000000;
    }
}

int crash_append(struct crash *run, uint32_t topic, uint32_t partition, uint32_t count,
                 uint32_t value_max, uint32_t ack)
{
    struct crash_part *part = &run->model.topics[topic].parts[partition];
    struct smf__wal_part *log_part = crash_live(run, topic, partition);
    struct crash_body *body = crash_body_make(&run->random, count, value_max, wall_us(run));
    uint64_t first = 0, user = ++run->model.users, expected = part->next;
    struct smf__wal_append append = {.body = body->data,
                                     .body_bytes = body->bytes,
                                     .count = count,
                                     .base_us = body->base_us,
                                     .max_us = body->max_us,
                                     .kind = SMF__WAL_RECORDS,
                                     .ack = ack,
                                     .user = user};
    int status;

    (void)crash_batch_add(part, body, ack, user);
    for (uint32_t rounds = 0;; rounds++) {
        CRASH_IN_LOG(status, smf__wal_append(log_part, &append, &first));
        if (status != SMF_ENOMEM && status != SMF_ELIMIT)
            break;
        CRASH_PROMISE(run, "back_pressure_ends", rounds < ROUNDS_MAX, "%s for ever",
                      smf_status_name(status));
        if (crash_malloc_failed())
            break;
        await_retry(run);
    }
    crash_counts.appends++;
    if (status != SMF_OK) {
        crash_batch_drop_last(part);
        if (log_part->status != SMF_OK)
            part->lame = 1;
        return expect(run, status, "append", log_part->status_text);
    }
    CRASH_PROMISE(run, "offsets_dense", first == expected,
                  "an append got offset %" PRIu64 " instead of %" PRIu64, first, expected);
    return SMF_OK;
}

int crash_topic(struct crash *run, uint32_t topic, uint32_t partitions, uint64_t segment_bytes)
{
    struct crash_topic *made = &run->model.topics[topic];
    struct smf__wal_topic_info *info = NULL;
    struct smf__wal_topic config = {.partitions = partitions, .segment_bytes = segment_bytes};
    struct smf_error error = {.text = ""};
    int status;

    made->made = CRASH_MAKING;
    made->partitions = partitions;
    made->segment_bytes = segment_bytes;
    snprintf(made->name, sizeof made->name, "t%u", topic);
    for (uint32_t i = 0; i < partitions; i++)
        made->parts[i].tail_to = UINT64_MAX;
    config.name = made->name;
    config.name_size = (uint32_t)strlen(made->name);
    CRASH_IN_LOG(status, smf__wal_topic_create(run->wal, &config, &info, &error));
    for (uint32_t i = 1; status == SMF_OK && crash_cores_log(run, i) != NULL; i++)
        CRASH_IN_LOG(status, smf__wal_office_topics(crash_cores_log(run, i), 0));
    if (expect(run, status, "create a topic", error.text) == SMF_OK)
        made->made = CRASH_MADE;
    return status;
}

int crash_sync(struct crash *run, uint32_t topic, uint32_t partition)
{
    struct crash_part *part = &run->model.topics[topic].parts[partition];
    struct smf__wal_part *log_part = crash_live(run, topic, partition);
    int status;

    CRASH_IN_LOG(status, smf__wal_sync(log_part));
    if (expect(run, status, "sync", log_part->status_text) == SMF_OK)
        all_safe(part);
    else
        part->lame = log_part->status != SMF_OK;
    return status;
}

int crash_truncate_head(struct crash *run, uint32_t topic, uint32_t partition, uint64_t offset)
{
    struct crash_part *part = &run->model.topics[topic].parts[partition];
    struct smf__wal_part *log_part = crash_live(run, topic, partition);
    struct smf_error error = {.text = ""};
    int status;

    part->head_to = offset;
    if (run->follow.topic == topic && run->follow.partition == partition)
        run->follow.cut |= offset > run->follow.at;
    CRASH_IN_LOG(status, smf__wal_truncate_head(log_part, offset, &error));
    if (expect(run, status, "truncate the head", error.text) == SMF_OK)
        part->head = offset;
    else
        part->lame = 1;
    return status;
}

int crash_truncate_tail(struct crash *run, uint32_t topic, uint32_t partition, uint64_t offset)
{
    struct crash_part *part = &run->model.topics[topic].parts[partition];
    struct smf__wal_part *log_part = crash_live(run, topic, partition);
    struct smf_error error = {.text = ""};
    int status;

    part->tail_to = offset;
    if (run->follow.topic == topic && run->follow.partition == partition)
        run->follow.cut |= offset < run->follow.at;
    CRASH_IN_LOG(status, smf__wal_truncate_tail(log_part, offset, &error));
    if (expect(run, status, "truncate the tail", error.text) != SMF_OK) {
        part->lame = 1;
        return status;
    }
    part->tail_to = UINT64_MAX;
    crash_tail_cut(part, offset);
    memset(part->acked_end, 0, sizeof part->acked_end);
    CRASH_PROMISE(run, "truncated_stays_truncated", log_part->next_offset == offset,
                  "the next offset is %" PRIu64 " after a cut at %" PRIu64, log_part->next_offset,
                  offset);
    return SMF_OK;
}

/* --- cuts --- */

void crash_note_marks(struct crash *run)
{
    for (uint32_t i = 0; i < CRASH_PARTS_MAX && run->wal != NULL; i++) {
        struct crash_topic *topic = &run->model.topics[i / CRASH_PARTITIONS_MAX];
        struct crash_part *part = &topic->parts[i % CRASH_PARTITIONS_MAX];
        const struct smf__wal_part *log_part;

        if (topic->made != CRASH_MADE || i % CRASH_PARTITIONS_MAX >= topic->partitions ||
            part->tail_to != UINT64_MAX)
            continue;
        log_part = find(run, topic->name, i % CRASH_PARTITIONS_MAX);
        if (log_part == NULL)
            continue;
        crash_check_marks(run, log_part);
        if (log_part->durable.offset > part->durable)
            part->durable = log_part->durable.offset;
        if (log_part->written.offset > part->written)
            part->written = log_part->written.offset;
    }
}

static void cut_one(struct crash *run, const struct smf__disk_cut *cut, int after_power)
{
    struct smf__disk_world *after = smf__disk_world_cut(run->world, cut);

    crash_counts.cuts++;
    crash_verify(run, after, after_power, NULL);
}

static void cut_exhaustively(struct crash *run, uint32_t things)
{
    uint64_t subsets = things <= CRASH_EXHAUSTIVE_MAX ? 1ull << things : CRASH_SUBSETS;
    uint8_t *kept = smf__disk_must(malloc((size_t)things + 1));

    for (uint64_t subset = 0; subset < subsets; subset++) {
        struct smf__disk_cut cut = {.seed = smf__random_next(&run->disk.random), .kept = kept};

        for (uint32_t i = 0; i < things; i++)
            kept[i] = things <= CRASH_EXHAUSTIVE_MAX ? subset >> i & 1
                                                     : smf__random_next(&run->disk.random) & 1;
        cut_one(run, &cut, 1);
    }
    free(kept);
}

void crash_cut_now(struct crash *run)
{
    uint32_t things = smf__disk_world_unflushed(run->world);
    uint8_t *kept = smf__disk_must(malloc((size_t)things + 1));
    struct smf__disk_cut cut = {.kept = kept};

    crash_note_marks(run);
    memset(kept, 1, things);
    cut.seed = smf__random_next(&run->disk.random);
    cut_one(run, &cut, 0);
    if (things > 0 && run->options.exhaustive)
        cut_exhaustively(run, things);
    memset(kept, 0, things);
    cut_one(run, &cut, 1);
    for (uint32_t i = 0; things > 0 && i < CUTS_PER_LOOK; i++) {
        struct smf__disk_cut drawn = {.seed = smf__random_next(&run->disk.random),
                                      .torn = (int)(i & 1)};

        cut_one(run, &drawn, 1);
    }
    free(kept);
}

/* --- what a crash left --- */

/* Nobody changes a log that is only read, and everybody sees what is promised. */
static void check_read_only(const struct crash *run, struct smf__disk_world *world,
                            const struct crash_model *model, int after_power)
{
    struct crash *look = smf__disk_must(calloc(1, sizeof *look));
    uint64_t steps = smf__disk_world_steps(world);
    char text[SMF_ERROR_TEXT_SIZE_BYTES];
    int status;

    look->seed = run->seed;
    look->options = run->options;
    look->quiet = 1;
    crash_attach(look, world, run->seed);
    look->wal_options.read_only = 1;
    look->wal_options.create = 0;
    if (crash_log_open(look) != SMF_OK)
        crash_broken(run, "read_only_opens", "no");
    for (uint32_t i = 0; i < CRASH_PARTS_MAX; i++) {
        const struct crash_topic *topic = &model->topics[i / CRASH_PARTITIONS_MAX];
        const struct crash_part *part = &topic->parts[i % CRASH_PARTITIONS_MAX];
        struct smf__wal_topic_info *info =
            topic->made == CRASH_NONE ? NULL : smf__wal_topic_find(look->wal, topic->name);
        uint64_t end;

        CRASH_PROMISE(run, "topics_survive", topic->made != CRASH_MADE || info != NULL,
                      "read only, topic %s is gone", topic->name);
        if (info == NULL || i % CRASH_PARTITIONS_MAX >= topic->partitions ||
            part->tail_to != UINT64_MAX || part->head != part->head_to)
            continue;
        end = crash_check_read(look, crash_named(look, topic->name, i % CRASH_PARTITIONS_MAX), part,
                               part->head, SMF__WAL_BUFFERED, &status, text);
        CRASH_PROMISE(run, "read_only_sees_what_is_promised",
                      status == SMF_OK && end >= (after_power ? part->durable : part->written),
                      "%s/%" PRIu64 ": read up to %" PRIu64 ", durable %" PRIu64 ", %s: %s (%s)",
                      topic->name, (uint64_t)i % CRASH_PARTITIONS_MAX, end, part->durable,
                      smf_status_name(status), text,
                      crash_named(look, topic->name, i % CRASH_PARTITIONS_MAX)->status_text);
    }
    (void)crash_log_close(look);
    crash_disk_close(&look->disk);
    crash_cores_detach(look);
    CRASH_PROMISE(run, "read_only_changes_nothing", smf__disk_world_steps(world) == steps,
                  "%" PRIu64 " operations changed something", smf__disk_world_steps(world) - steps);
    free(look);
}

static void check_locked(const struct crash *run, struct smf__disk_world *world)
{
    struct crash *second = smf__disk_must(calloc(1, sizeof *second));
    struct smf_error error = {.text = ""};
    struct smf__wal *wal = NULL;
    int status;

    second->seed = run->seed;
    second->options = run->options;
    second->quiet = 1;
    crash_attach(second, world, run->seed);
    status = smf__wal_open(&wal, &second->wal_options, &error);
    CRASH_PROMISE(run, "second_open_is_refused", status == SMF_ELOCKED && error.text[0] != 0,
                  "a second open came to %s: %s", smf_status_name(status), error.text);
    crash_disk_close(&second->disk);
    crash_cores_detach(second);
    free(second);
}

/* A file of the log with a higher number than its last segment: a cut left it behind what it made the end, and
 * there may be as many of these as could be filled while nothing was flushed. They stay until another segment
 * is there, so that no number is used twice. */
static int is_behind(const struct smf__wal_part *part, const char *name)
{
    uint32_t number;
    uint64_t first_offset;

    return smf__wal_file_name_parse(name, &number, &first_offset) == SMF__WAL_GOOD &&
           (part->last == NULL || number > part->last->header.number);
}

/* Files that nobody needs. */
static void check_leftovers(const struct crash *run, struct smf__disk_world *world,
                            struct smf__wal *wal)
{
    static char names[64 << 10];
    struct smf__disk_sim_options options = {.offset_align_bytes = 512};
    struct smf__disk *disk;
    struct smf_error error;

    if (smf__disk_sim_open(&disk, world, &options, &error) != SMF_OK)
        abort();
    for (struct smf__wal_topic_info *topic = wal->topics; topic != NULL; topic = topic->next) {
        for (uint32_t i = 0; i < topic->config.partitions; i++) {
            const struct smf__wal_part *part = crash_named(run, topic->name, i);
            struct smf__disk_op op = {
                .kind = SMF__DISK_LIST, .path = part->folder, .size = sizeof names, .data = names};
            uint32_t files = 0, live_files = 0;

            if (smf__disk_run(disk, &op) == SMF_ENOTFOUND)
                continue;
            for (uint64_t at = 0; at < op.done; at += strlen(names + at) + 1)
                files += !is_behind(part, names + at);
            for (const struct smf__wal_segment *segment = part->first; segment != NULL;
                 segment = segment->next)
                live_files++;
            CRASH_PROMISE(run, "leftovers_are_few", files <= live_files + SMF__WAL_SPARES_MAX + 2,
                          "%s: %u files, %u of them segments", part->folder, files, live_files);
        }
    }
    disk->ops->close(disk);
}

static void append_some(struct crash *run, uint32_t appends)
{
    for (uint32_t i = 0; i < appends; i++) {
        uint32_t topic = (uint32_t)smf__random_below(&run->random, CRASH_TOPICS_MAX);
        uint32_t partition;

        if (run->model.topics[topic].made != CRASH_MADE)
            continue;
        partition = (uint32_t)smf__random_below(&run->random, run->model.topics[topic].partitions);
        (void)crash_append(run, topic, partition, 1 + (uint32_t)smf__random_below(&run->random, 5),
                           i == 3 ? 30000 : run->value_max,
                           (uint32_t)smf__random_below(&run->random, SMF__WAL_ACKS));
        (void)crash_turn(run);
    }
}

/* What happens to it next. */
static void go_on(struct crash *after)
{
    uint64_t coin = smf__random_below(&after->random, 8);

    after->options.check_in = after->options.generation < GENERATIONS_MAX && coin < 2 ? 12 : 0;
    after->quiet = 0;
    if (coin < 4)
        append_some(after, 6);
    if (coin == 4) {
        struct smf__disk_cut cut = {.seed = smf__random_next(&after->random)};
        struct smf__disk_world *again = smf__disk_world_cut(after->world, &cut);

        /* What it shows can't vanish, though nothing was appended. */
        crash_verify(after, again, 1, NULL);
    }
    if (coin == 5 || coin == 0) {
        (void)crash_log_close(after);
        (void)crash_log_open(after);
        crash_check_topics(after, after->wal, &after->model, 0);
    }
    after->quiet = 1;
    after->options.check_in = 0;
}

void crash_verify(const struct crash *run, struct smf__disk_world *world, int after_power,
                  struct crash_model *model_out)
{
    struct crash *after = smf__disk_must(calloc(1, sizeof *after));
    uint64_t draw = smf__disk_world_draw(world, UINT64_MAX);

    after->seed = run->seed;
    after->options = run->options;
    after->options.exhaustive = after->options.faulty = 0;
    after->options.generation++;
    after->value_max = run->value_max != 0 ? run->value_max : 40;
    crash_model_copy(&after->model, &run->model);
    crash_attach(after, world, draw);
    for (uint32_t i = 0; i < CRASH_PARTS_MAX && after_power; i++) {
        struct crash_part *part =
            &after->model.topics[i / CRASH_PARTITIONS_MAX].parts[i % CRASH_PARTITIONS_MAX];

        part->written = part->durable;
    }
    if (run->model.opened && draw % 8 == 0)
        check_read_only(after, world, &after->model, after_power);
    /* The recovery is cut, too: at every step of some of them. */
    after->options.check_in = after->options.generation < GENERATIONS_MAX && draw % 16 == 1 ? 1 : 0;
    crash_counts.recoveries_cut += after->options.check_in;
    (void)crash_log_open(after);
    after->options.check_in = 0;
    after->quiet = 1;
    crash_check_topics(after, after->wal, &after->model, after_power);
    if (draw % 16 == 2)
        check_locked(after, world);
    if (draw % 8 == 3)
        check_leftovers(after, world, after->wal);
    if (after->options.generation <= GENERATIONS_MAX && draw % 4 == 1) {
        crash_counts.generations++;
        go_on(after);
    }
    if (model_out != NULL)
        crash_model_copy(model_out, &after->model);
    crash_log_abandon(after);
    crash_end(after);
    free(after);
}
