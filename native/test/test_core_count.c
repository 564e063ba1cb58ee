/* What a core counts of itself, and tallies: on a room that does what the test says. */
#include <errno.h>
#include <pthread.h>

#include <smf/loop.h>
#include <smf/tally.h>

#include "core/core.h"
#include "test.h"

#define LOOK_NS 100u
#define HANDLE_NS 1000u
#define LAST_AGAIN (-1)
#define ALL_AGAIN (-2)

/* A room whose every look takes LOOK_NS and finds what the script says. */
struct script {
    struct smf_core *core;
    struct smf__clock_manual clock;
    const int *found; /* events of each look, up to LAST_AGAIN or ALL_AGAIN */
    const int *first;
    int looks, woken;
    uint64_t sleep_ns;        /* what a wait takes */
    uint64_t asleep_ns;       /* what the counters said in the middle of the last wait */
    uint64_t tallied_at_send; /* latencies of the first tally when the room began to send */
};

static void script_begin(void *context)
{
    struct script *script = context;
    struct smf_tally *tally = script->core->counts.tallies;

    script->tallied_at_send = tally != NULL ? tally->latency_ns : 0;
}

static void script_poll(void *context, int64_t timeout_ns)
{
    struct script *script = context;
    struct smf_core *core = script->core;
    int found = *script->found;

    script->looks++;
    if (timeout_ns != 0) {
        struct smf_core_stats stats;

        script->clock.now_ns += script->sleep_ns / 2;
        smf_core_stats(core, &stats);
        script->asleep_ns = stats.asleep_ns;
        script->clock.now_ns += script->sleep_ns / 2;
        core->turn.now_ns = smf__clock_now_ns(&core->clock);
    }
    script->clock.now_ns += LOOK_NS;
    core->turn.event_count = (uint32_t)found;
    if (script->found[1] == ALL_AGAIN)
        script->found = script->first;
    else if (script->found[1] != LAST_AGAIN)
        script->found++;
}

static void script_wake(void *context)
{
    struct script *script = context;

    script->woken++;
    errno = EAGAIN; /* as a bell that rings already may leave it */
}

static void script_open(struct script *script, const int *found, int real)
{
    struct smf__room room = {
        .context = script, .begin = script_begin, .poll = script_poll, .wake = script_wake};
    struct smf__core_config config = {.random_seed = 1,
                                      .memory_bytes = 16u << 20,
                                      .spin_us = real ? -1 : 1,
                                      .cpu = SMF__CPU_NONE};
    struct smf_error error;

    memset(script, 0, sizeof *script);
    script->clock.now_ns = 5000;
    script->found = script->first = found;
    script->sleep_ns = 10000;
    config.clock = real ? smf__clock_monotonic() : smf__clock_from_manual(&script->clock);
    CHECK_EQ(smf__core_open(&script->core, &config, &error), SMF_OK);
    smf__core_furnish(script->core, &room);
}

static struct smf_core_stats stats_of(const struct script *script)
{
    struct smf_core_stats stats;

    smf_core_stats(script->core, &stats);
    return stats;
}

/* Buckets. */

static void buckets_hold_what_they_say(void)
{
    CHECK_EQ(smf_tally_bucket(0), 0);
    CHECK_EQ(smf_tally_bound_ns(0), 256);
    CHECK_EQ(smf_tally_bound_ns(1), 320);
    CHECK_EQ(smf_tally_bound_ns(4), 512);
    CHECK_EQ(smf_tally_bound_ns(SMF_TALLY_BUCKETS - 2), 1ull << 36);
    for (uint32_t i = 0; i + 1 < SMF_TALLY_BUCKETS; i++) {
        uint64_t bound_ns = smf_tally_bound_ns(i);

        CHECK_EQ(smf_tally_bucket(bound_ns), i);
        CHECK_EQ(smf_tally_bucket(bound_ns + 1), i + 1);
        CHECK_LE(i == 0 ? 0 : bound_ns - smf_tally_bound_ns(i - 1), bound_ns / 4); /* exactness */
    }
    CHECK_EQ(smf_tally_bucket(UINT64_MAX), SMF_TALLY_BUCKETS - 1);
    CHECK_EQ(smf_tally_bound_ns(SMF_TALLY_BUCKETS - 1), UINT64_MAX);
    CHECK_EQ(smf_tally_bound_ns(UINT32_MAX), UINT64_MAX);
}

/* Tallies. */

static uint64_t answered(const struct smf_tally *tally)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < SMF_TALLY_BUCKETS; i++)
        sum += tally->buckets[i];
    return sum;
}

static void answers_are_counted_when_they_leave(void)
{
    static const int found[] = {3, 0, 1, LAST_AGAIN};
    struct script script;
    struct smf_tally *tallies;

    script_open(&script, found, 0);
    CHECK_EQ(smf_core_tallies(script.core, 2, &tallies), SMF_OK);
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_FOREVER), 3);
    smf_tally_answered(script.core, &tallies[0], 0);
    smf_tally_answered(script.core, &tallies[1], 1);
    smf_tally_answered(script.core, &tallies[0], 0);
    script.clock.now_ns += HANDLE_NS;
    CHECK_EQ(answered(&tallies[0]), 0);
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 0);
    CHECK_EQ(script.tallied_at_send, 2 * HANDLE_NS); /* before anybody can know of the answer */
    CHECK_EQ(tallies[0].buckets[smf_tally_bucket(HANDLE_NS)], 2);
    CHECK_EQ(answered(&tallies[0]), 2);
    CHECK_EQ(tallies[0].succeeded, 2);
    CHECK_EQ(answered(&tallies[1]), 1);
    CHECK_EQ(tallies[1].succeeded, 0);
    CHECK_EQ(tallies[1].latency_ns, HANDLE_NS);
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 1); /* and once only */
    CHECK_EQ(answered(&tallies[0]) + answered(&tallies[1]), 3);
    smf_tally_answered(script.core, &tallies[1], 0);
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 1);
    CHECK_EQ(answered(&tallies[0]), 2);
    CHECK_EQ(answered(&tallies[1]), 2);
    CHECK_EQ(tallies[1].succeeded, 1);
    smf__core_close(script.core);
}

static void late_answers_count_from_their_own_turn(void)
{
    static const int found[] = {1, 0, LAST_AGAIN};
    struct script script;
    struct smf_tally *tally;
    uint64_t since_ns;

    script_open(&script, found, 0);
    CHECK_EQ(smf_core_tallies(script.core, 1, &tally), SMF_OK);
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_FOREVER), 1);
    since_ns = smf_core_turn(script.core)->now_ns;
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 0);
    smf_tally_answered_late(script.core, tally, since_ns, 0);
    smf_tally_answered_late(script.core, tally, since_ns, 1);
    script.clock.now_ns += 70000;
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 0);
    CHECK_EQ(tally->buckets[smf_tally_bucket(70000 + LOOK_NS)], 2);
    CHECK_EQ(tally->latency_ns, 2 * (70000 + LOOK_NS));
    CHECK_EQ(tally->succeeded, 1);
    smf__core_close(script.core);
}

/* More than the list has room for, and the turn's own answers behind them. */
static void no_answer_is_lost_when_there_are_many(void)
{
    static const int found[] = {1, LAST_AGAIN};
    const uint32_t late = 2 * SMF_TALLIED_LATE_MAX + 1;
    struct script script;
    struct smf_tally *tallies;

    script_open(&script, found, 0);
    CHECK_EQ(smf_core_tallies(script.core, 3, &tallies), SMF_OK);
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_FOREVER), 1);
    for (uint32_t i = 0; i < late; i++)
        smf_tally_answered_late(script.core, &tallies[0], smf_core_turn(script.core)->now_ns, 0);
    for (uint32_t i = 0; i < 3; i++)
        smf_tally_answered(script.core, &tallies[i], 0);
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 1);
    CHECK_EQ(answered(&tallies[0]), late + 1);
    CHECK_EQ(answered(&tallies[1]), 1);
    CHECK_EQ(answered(&tallies[2]), 1);
    smf__core_close(script.core);
}

static void tallies_are_given_once(void)
{
    static const int found[] = {0, LAST_AGAIN};
    struct script script;
    struct smf_tally *tallies;

    script_open(&script, found, 0);
    CHECK_EQ(smf_core_tallies(script.core, 0, &tallies), SMF_EINVAL);
    CHECK_EQ(smf_core_tallies(script.core, 1, &tallies), SMF_OK);
    CHECK_EQ(smf_core_tallies(script.core, 1, &tallies), SMF_EINVAL);
    smf__core_close(script.core);
}

/* Batches and time. */

static void batches_are_counted_by_size(void)
{
    static const int found[] = {1, 2, 3, 4, 1024, 1536, 0, LAST_AGAIN};
    struct script script;
    struct smf_core_stats stats;

    script_open(&script, found, 0);
    for (int i = 0; i < 8; i++)
        CHECK(smf_core_poll(script.core, SMF_WAIT_NONE) >= 0);
    stats = stats_of(&script);
    CHECK_EQ(stats.events, 1 + 2 + 3 + 4 + 1024 + 1536);
    CHECK_EQ(stats.batches[0], 2); /* before the first poll, and the one that found nothing */
    CHECK_EQ(stats.batches[1], 1);
    CHECK_EQ(stats.batches[2], 2);
    CHECK_EQ(stats.batches[3], 1);
    CHECK_EQ(stats.batches[11], 2);
    smf__core_close(script.core);
}

/* Spins for a microsecond, sleeps twice, works; nothing is counted twice and nothing is lost. */
static void time_goes_somewhere(void)
{
    static const int found[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, LAST_AGAIN};
    struct script script;
    struct smf_core_stats stats;

    script_open(&script, found, 0);
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_FOREVER), 1);
    script.clock.now_ns += HANDLE_NS;
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_FOREVER), 1);
    stats = stats_of(&script);
    CHECK_EQ(stats.waits, 3);
    CHECK_EQ(stats.asleep_ns, 3 * script.sleep_ns);
    CHECK_EQ(script.asleep_ns,
             2 * script.sleep_ns + script.sleep_ns / 2); /* asked while it slept */
    CHECK_EQ(stats.busy_ns, LOOK_NS + HANDLE_NS + LOOK_NS);
    CHECK_EQ(stats.spins, 12);
    CHECK_EQ(stats.spinning_ns, 12 * LOOK_NS);
    CHECK_EQ(stats.busy_ns + stats.spinning_ns + stats.asleep_ns, script.clock.now_ns - 5000);
    smf__core_close(script.core);
}

static struct script *reading; /* whose letters are read */

static void letter(struct smf_core *core, void *context)
{
    reading->clock.now_ns += HANDLE_NS;
    core->turn.send_count = *(const uint32_t *)context;
}

/* What letters do is work, whether they send or not: a server may answer by letters alone. */
static void letters_are_work(void)
{
    static const int found[] = {0, LAST_AGAIN};
    struct script script;
    struct smf_core_stats stats;

    script_open(&script, found, 0);
    reading = &script;
    for (uint32_t sends = 0; sends < 2; sends++) {
        CHECK_EQ(smf_core_post(script.core, letter, &sends), SMF_OK);
        CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 0);
        CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 0);
        stats = stats_of(&script);
        CHECK_EQ(stats.busy_ns, (sends + 1) * (HANDLE_NS + LOOK_NS));
        CHECK_EQ(stats.spinning_ns, (sends + 1) * LOOK_NS); /* the look without a letter */
        CHECK_EQ(stats.spins, sends + 1);
    }
    smf__core_close(script.core);
}

/* Signal handlers call both. */
static void waking_and_stopping_keep_errno(void)
{
    static const int found[] = {0, LAST_AGAIN};
    struct script script;

    script_open(&script, found, 0);
    CHECK_EQ(smf_core_arm(script.core), SMF_WAIT_FOREVER);
    errno = EDOM;
    smf_core_wake(script.core);
    CHECK_EQ(errno, EDOM);
    CHECK_EQ(script.woken, 1);
    smf_core_turn(script.core)->pending = 0;
    CHECK_EQ(smf_core_arm(script.core), SMF_WAIT_FOREVER);
    smf_core_stop(script.core);
    CHECK_EQ(errno, EDOM);
    CHECK_EQ(script.woken, 2);
    smf__core_close(script.core);
}

/* A program that sleeps in a loop of its own: armed is asleep, also when it sleeps twice before it polls,
 * and when it collects something when it was woken. */
static void sleep_outside_of_a_poll_is_sleep(void)
{
    static const int found[] = {1, 0, 1, LAST_AGAIN};
    const uint64_t sleep_ns = 10000000;
    struct script script;
    struct smf_core_stats stats;

    script_open(&script, found, 0);
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 1);
    script.clock.now_ns += HANDLE_NS;
    CHECK_EQ(smf_core_arm(script.core), 0); /* the turn is not over */
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 0);
    CHECK_EQ(smf_core_arm(script.core), SMF_WAIT_FOREVER);
    script.clock.now_ns += sleep_ns;
    CHECK_EQ(stats_of(&script).asleep_ns, sleep_ns); /* asked while it sleeps */
    CHECK_EQ(smf_core_arm(script.core), SMF_WAIT_FOREVER);
    script.clock.now_ns += sleep_ns;
    smf_core_turn(script.core)->send_count = 1;
    CHECK_EQ(smf_core_arm(script.core), 0);
    CHECK_EQ(stats_of(&script).asleep_ns, 2 * sleep_ns);
    script.clock.now_ns += HANDLE_NS;
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 1);
    stats = stats_of(&script);
    CHECK_EQ(stats.asleep_ns, 2 * sleep_ns);
    CHECK_EQ(stats.waits, 2);
    CHECK_EQ(stats.busy_ns, LOOK_NS + HANDLE_NS + HANDLE_NS + LOOK_NS);
    CHECK_EQ(stats.busy_ns + stats.spinning_ns + stats.asleep_ns, script.clock.now_ns - 5000);
    smf_core_turn(script.core)->event_count = 0;
    CHECK_EQ(smf_core_arm(script.core), SMF_WAIT_FOREVER);
    script.clock.now_ns += sleep_ns;
    smf_core_turn(script.core)->send_count = 1; /* without another attempt to arm */
    CHECK_EQ(smf_core_poll(script.core, SMF_WAIT_NONE), 1);
    CHECK_EQ(stats_of(&script).busy_ns, stats.busy_ns + LOOK_NS);
    CHECK_EQ(stats_of(&script).asleep_ns, 3 * sleep_ns);
    smf__core_close(script.core);
}

/* Others read while the driver counts: nothing ever goes back. */

#define TURNS 30000

static void *drive(void *context)
{
    struct script *script = context;

    for (int i = 0; i < TURNS; i++) {
        CHECK(smf_core_poll(script->core, 50) >= 0);
        smf_tally_answered(script->core, script->core->counts.tallies, i % 3 == 0);
    }
    return NULL;
}

static void others_read_meanwhile(void)
{
    static const int found[] = {1, 0, 0, 0, 1, 0, 0, 5, ALL_AGAIN};
    struct smf_core_stats last = {0}, now;
    struct smf_tally *tally;
    struct script script;
    pthread_t driver;
    uint64_t succeeded = 0;

    script_open(&script, found, 1);
    CHECK_EQ(smf_core_tallies(script.core, 1, &tally), SMF_OK);
    CHECK_EQ(pthread_create(&driver, NULL, drive, &script), 0);
    do {
        uint64_t good = __atomic_load_n(&tally->succeeded, __ATOMIC_RELAXED);

        now = stats_of(&script);
        CHECK_LE(succeeded, good);
        CHECK_LE(last.events, now.events);
        CHECK_LE(last.busy_ns, now.busy_ns);
        CHECK_LE(last.spinning_ns, now.spinning_ns);
        CHECK_LE(last.asleep_ns, now.asleep_ns);
        last = now;
        succeeded = good;
    } while (now.turns < TURNS);
    CHECK_EQ(pthread_join(driver, NULL), 0);
    smf__core_close(script.core);
}

static const struct test tests[] = {
    TEST(buckets_hold_what_they_say),
    TEST(answers_are_counted_when_they_leave),
    TEST(late_answers_count_from_their_own_turn),
    TEST(no_answer_is_lost_when_there_are_many),
    TEST(tallies_are_given_once),
    TEST(batches_are_counted_by_size),
    TEST(time_goes_somewhere),
    TEST(waking_and_stopping_keep_errno),
    TEST(letters_are_work),
    TEST(sleep_outside_of_a_poll_is_sleep),
    TEST(others_read_meanwhile),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
