#include <stdlib.h>
#include <string.h>

#include "wal_crash.h"

/* What is done next to a log, drawn from the seed of the run. */

#define STEPS_MIN 20u
#define STEPS_MAX 140u
#define LARGE_VALUE_BYTES 60000u
#define HUGE_VALUE_BYTES 250000u

static uint64_t below(struct crash *run, uint64_t bound)
{
    return smf__random_below(&run->random, bound);
}

/* A partition that something can be done to; 0: there is none. */
static int choose(struct crash *run, uint32_t *topic_out, uint32_t *partition_out)
{
    uint32_t topic = (uint32_t)below(run, CRASH_TOPICS_MAX), tries = CRASH_TOPICS_MAX;

    while (tries-- > 0 && run->model.topics[topic].made != CRASH_MADE)
        topic = (topic + 1) % CRASH_TOPICS_MAX;
    if (run->model.topics[topic].made != CRASH_MADE)
        return 0;
    *topic_out = topic;
    *partition_out = (uint32_t)below(run, run->model.topics[topic].partitions);
    return !run->model.topics[topic].parts[*partition_out].lame;
}

static void appends(struct crash *run, uint32_t topic, uint32_t partition)
{
    uint32_t burst = 1 + (uint32_t)below(run, run->burst);

    for (uint32_t i = 0; i < burst; i++) {
        uint64_t coin = below(run, 100);
        uint32_t ack = coin < 60 ? SMF__WAL_DURABLE : (uint32_t)below(run, SMF__WAL_ACKS);
        uint32_t count = 1 + (uint32_t)below(run, 6), value_max = run->value_max;

        if (coin % 20 == 7) {
            count = 1;
            value_max = LARGE_VALUE_BYTES;
        } else if (coin == 33 && !run->options.small) {
            count = 2;
            value_max = HUGE_VALUE_BYTES;
        }
        if (crash_append(run, topic, partition, count, value_max, ack) != SMF_OK)
            return;
        if (below(run, 2) == 0)
            (void)crash_turn(run);
    }
}

static uint64_t mark_of(const struct smf__wal_part *part, uint32_t view)
{
    return view == SMF__WAL_DURABLE   ? part->durable.offset
           : view == SMF__WAL_WRITTEN ? part->written.offset
                                      : part->buffered.offset;
}

static void follow_from(struct crash *run, uint32_t topic, uint32_t partition)
{
    struct smf__wal_part *log_part = crash_live(run, topic, partition);
    struct crash_follow *follow = &run->follow;
    struct smf_error error = {.text = ""};
    uint64_t mark;
    int status;

    *follow = (struct crash_follow){
        .topic = topic, .partition = partition, .view = (uint32_t)below(run, SMF__WAL_ACKS)};
    mark = mark_of(log_part, follow->view);
    if (mark < log_part->head)
        return;
    follow->at = log_part->head + below(run, mark - log_part->head + 1);
    CRASH_IN_LOG(status, smf__wal_reader_open(log_part, follow->at, follow->view, 0, 0,
                                              &follow->reader, &error));
    CRASH_PROMISE(run, "what_is_there_can_be_read", status == SMF_OK || run->options.faulty,
                  "from %llu: %s", (unsigned long long)follow->at, error.text);
    if (status != SMF_OK)
        follow->reader = NULL;
}

/* Takes a run; what it lent before is still as it was, whatever happened to its files. */
static void follow_on(struct crash *run)
{
    struct crash_follow *follow = &run->follow;
    struct crash_part *part = &run->model.topics[follow->topic].parts[follow->partition];
    struct smf_error error = {.text = ""};
    struct smf__wal_run read = {0};
    int got;

    if (follow->lent.batches > 0 && !follow->cut)
        (void)crash_check_run(run, part, &follow->lent, follow->lent_from);
    follow->lent.batches = 0;
    CRASH_IN_LOG(got, smf__wal_reader_next(follow->reader, &read, &error));
    CRASH_PROMISE(run, "readers_go_on", got >= 0 || follow->cut || run->options.faulty,
                  "a reader at %llu: %s: %s", (unsigned long long)follow->at, smf_status_name(got),
                  error.text);
    if (got < 0 || follow->cut) {
        smf__wal_reader_close(follow->reader);
        follow->reader = NULL;
        return;
    }
    if (got == 0)
        return;
    follow->lent = read;
    follow->lent_from = follow->at;
    follow->at = crash_check_run(run, part, &read, follow->at);
    if (follow->view == SMF__WAL_DURABLE && follow->at > part->durable)
        part->durable = follow->at; /* it was shown */
}

static void look_at(struct crash *run, uint32_t topic, uint32_t partition)
{
    struct crash_part *part = &run->model.topics[topic].parts[partition];
    struct smf__wal_part *log_part = crash_live(run, topic, partition);
    uint32_t view = (uint32_t)below(run, SMF__WAL_ACKS);
    uint64_t mark = mark_of(log_part, view), from, to;
    char text[SMF_ERROR_TEXT_SIZE_BYTES];
    int status;

    if (mark < log_part->head)
        return;
    from = log_part->head + below(run, mark - log_part->head + 1);
    to = crash_check_read(run, log_part, part, from, view, &status, text);
    CRASH_PROMISE(run, "what_is_there_can_be_read",
                  run->options.faulty || (status == SMF_OK && to >= mark),
                  "from %llu to %llu, the mark was %llu: %s: %s", (unsigned long long)from,
                  (unsigned long long)to, (unsigned long long)mark, smf_status_name(status), text);
    if (view == SMF__WAL_DURABLE && to > part->durable)
        part->durable = to; /* it was shown */
    if (part->count > 0 && below(run, 3) == 0) {
        const struct crash_body *body = part->batches[below(run, part->count)].body;

        crash_check_time(run, log_part, part, body->base_us + (int64_t)below(run, 3) - 1);
    }
}

static void truncate(struct crash *run, uint32_t topic, uint32_t partition)
{
    struct crash_part *part = &run->model.topics[topic].parts[partition];
    uint64_t offset = part->head + below(run, part->next - part->head + 1);

    if (below(run, 2) == 0)
        (void)crash_truncate_head(run, topic, partition, offset);
    else
        (void)crash_truncate_tail(run, topic, partition, offset);
}

static void reopen(struct crash *run)
{
    int killed = !run->options.faulty && below(run, 2) == 0, status;

    if (!killed)
        (void)crash_log_close(run);
    status = killed ? crash_log_kill(run) : crash_log_open(run);
    if (status != SMF_OK)
        return;
    if (!run->options.faulty) {
        crash_check_topics(run, run->wal, &run->model, 0);
        return;
    }
    /* Who knows what is there: verified when the faults are over. */
    for (uint32_t i = 0; i < CRASH_PARTS_MAX; i++)
        run->model.topics[i / CRASH_PARTITIONS_MAX].parts[i % CRASH_PARTITIONS_MAX].lame = 1;
}

static void new_topic(struct crash *run)
{
    uint32_t topic = 0;

    while (topic < CRASH_TOPICS_MAX && run->model.topics[topic].made != CRASH_NONE)
        topic++;
    if (topic < CRASH_TOPICS_MAX)
        (void)crash_topic(run, topic, 1 + (uint32_t)below(run, CRASH_PARTITIONS_MAX),
                          SMF__WAL_SEGMENT_MIN_BYTES << below(run, 3));
}

static void wait_a_little(struct crash *run)
{
    static const uint64_t spans_ns[] = {1000, 100000, 3000000, 20000000, 1100000000};

    run->clock.now_ns += spans_ns[below(run, 5)];
    (void)crash_turn(run);
    for (uint64_t i = below(run, 6); i > 0 && crash_cores_under_way(run) > 0; i--)
        crash_wait(run);
}

static void one_step(struct crash *run)
{
    uint64_t coin = below(run, 100);
    uint32_t topic, partition;

    if (!choose(run, &topic, &partition)) {
        new_topic(run);
        return;
    }
    if (run->follow.reader != NULL && below(run, 2) == 0)
        follow_on(run);
    else if (run->follow.reader == NULL && below(run, 10) == 0)
        follow_from(run, topic, partition);
    if (coin < 55)
        appends(run, topic, partition);
    else if (coin < 70)
        (void)crash_turn(run);
    else if (coin < 84)
        wait_a_little(run);
    else if (coin < 90)
        look_at(run, topic, partition);
    else if (coin < 92)
        (void)crash_sync(run, topic, partition);
    else if (coin < 96)
        truncate(run, topic, partition);
    else if (coin < 97)
        new_topic(run);
    else if (coin < 97 + below(run, 2))
        crash_settle(run);
    else if (!run->options.no_reopen)
        reopen(run);
}

void crash_workload(struct crash *run)
{
    uint32_t steps = run->options.steps;

    if (steps == 0)
        steps = STEPS_MIN + (uint32_t)below(run, STEPS_MAX - STEPS_MIN);
    if (crash_log_open(run) != SMF_OK)
        return;
    new_topic(run);
    for (uint32_t i = 0; i < steps && run->wal != NULL; i++)
        one_step(run);
}

void crash_run(uint64_t seed, const struct crash_options *options)
{
    struct crash *run = malloc(sizeof *run);

    if (run == NULL)
        abort();
    crash_begin(run, seed, options);
    crash_workload(run);
    crash_counts.runs++;
    crash_counts.files += run->disk.ended[SMF__DISK_RENAME];
    crash_counts.recycled += run->disk.ended[SMF__DISK_RECYCLE];
    crash_counts.crowded += run->disk.writes_most >= 4;
    crash_counts.spread += run->spread;
    crash_log_abandon(run);
    crash_end(run);
    free(run);
}
