/* Clock, randomness and timers. The timers run against a model: an array of deadlines. */
#include "time/time_clock.h"
#include "time/time_random.h"
#include "time/time_timers.h"

#include <smf/status.h>

#include "test.h"

#define SLOT SMF__TIMER_SLOT_NS
#define TURN (SLOT * SMF__TIMER_SLOTS)

static void monotonic_clock_never_goes_back(void)
{
    struct smf__clock clock = smf__clock_monotonic();
    uint64_t before = smf__clock_now_ns(&clock);
    CHECK_GT(before, 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = smf__clock_now_ns(&clock);
        CHECK_GE(now, before);
        before = now;
    }
    struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
    CHECK_GE(smf__clock_now_ns(&clock) - before, 2000000);
}

static void manual_clock_stands_still(void)
{
    struct smf__clock_manual manual = {.now_ns = 7};
    struct smf__clock clock = smf__clock_from_manual(&manual);
    CHECK_EQ(smf__clock_now_ns(&clock), 7);
    CHECK_EQ(smf__clock_now_ns(&clock), 7);
    manual.now_ns = 1000;
    CHECK_EQ(smf__clock_now_ns(&clock), 1000);
}

/* The published numbers of the two algorithms. */
static void random_numbers_are_the_known_ones(void)
{
    struct smf__random random = {.state = {1, 2, 3, 4}};
    static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240u};
    for (size_t i = 0; i < TEST_COUNT(expected); i++)
        CHECK_EQ(smf__random_next(&random), expected[i]);
    smf__random_seed(&random, 1234567);
    CHECK_EQ(random.state[0], 6457827717110365317u);
    CHECK_EQ(random.state[1], 3203168211198807973u);
    CHECK_EQ(random.state[2], 9817491932198370423u);
}

static void same_seed_same_numbers(void)
{
    struct smf__random one, two, other;
    smf__random_seed(&one, test_seed());
    smf__random_seed(&two, test_seed());
    smf__random_seed(&other, test_seed() + 1);
    int different = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t number = smf__random_next(&one);
        CHECK_EQ(number, smf__random_next(&two));
        different += number != smf__random_next(&other);
    }
    CHECK_GT(different, 90);
    smf__random_seed_system(&one);
    smf__random_seed_system(&two);
    CHECK_NE(smf__random_next(&one), smf__random_next(&two));
    smf__random_seed(&one, 0); /* whose own state would be all zero */
    CHECK_NE(one.state[0] | one.state[1] | one.state[2] | one.state[3], 0);
}

static void below_is_fair(void)
{
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    static const uint64_t bounds[] = {1, 2, 3, 10, 1000, 1ull << 32, (1ull << 63) + 1, UINT64_MAX};
    for (size_t b = 0; b < TEST_COUNT(bounds); b++) {
        for (int i = 0; i < 1000; i++)
            CHECK(smf__random_below(&random, bounds[b]) < bounds[b]);
    }
    /* A plain remainder would send half of all numbers to the lowest third, a plain product half of
     * them to the multiples of 3. */
    int thirds[3] = {0}, remainders[3] = {0};
    for (int i = 0; i < 30000; i++) {
        uint64_t number = smf__random_below(&random, 3ull << 62);
        thirds[number >> 62]++;
        remainders[number % 3]++;
    }
    for (int i = 0; i < 3; i++) {
        CHECK_GT(thirds[i], 9500); /* six sigma */
        CHECK_LT(thirds[i], 10500);
        CHECK_GT(remainders[i], 9500);
        CHECK_LT(remainders[i], 10500);
    }
}

struct alarm {
    struct smf__timer timer; /* first: the timer is the alarm */
    struct smf__timers *timers;
    uint64_t *now_ns;
    uint64_t started_ns;
    uint64_t fired_ns;
    int fired;
};

static void ring(struct smf__timer *timer)
{
    struct alarm *alarm = (struct alarm *)timer;
    CHECK(!smf__timer_running(timer));
    CHECK_GE(*alarm->now_ns, timer->deadline_ns);
    alarm->fired++;
    alarm->fired_ns = *alarm->now_ns;
}

static struct alarm alarm_of(struct smf__timers *timers, uint64_t *now_ns)
{
    return (struct alarm){.timer = {.fire = ring}, .timers = timers, .now_ns = now_ns};
}

static struct smf__timers *open_timers(uint64_t now_ns)
{
    struct smf__timers *timers = NULL;
    CHECK_EQ(smf__timers_open(&timers, now_ns), SMF_OK);
    return timers;
}

static void timer_fires_once_and_not_early(void)
{
    static const uint64_t delays[] = {0,        1,        SLOT - 1, SLOT,        SLOT + 1,
                                      5 * SLOT, TURN - 1, TURN,     TURN + SLOT, 3 * TURN + 12345};
    for (size_t i = 0; i < TEST_COUNT(delays); i++) {
        uint64_t now = 1000 * TURN + 777, start = now;
        struct smf__timers *timers = open_timers(now);
        struct alarm alarm = alarm_of(timers, &now);
        smf__timer_start(timers, &alarm.timer, start + delays[i]);
        CHECK(smf__timer_running(&alarm.timer));
        for (; now < start + delays[i] + 2 * SLOT; now += SLOT / 3) {
            int before = alarm.fired;
            CHECK_EQ(smf__timers_run(timers, now), alarm.fired - before);
        }
        CHECK_EQ(alarm.fired, 1);
        CHECK_GE(alarm.fired_ns, start + delays[i]);
        CHECK_LE(alarm.fired_ns, start + delays[i] + SLOT + SLOT / 3);
        CHECK_EQ(smf__timers_next_ns(timers), UINT64_MAX);
        smf__timers_close(timers);
    }
}

static void stopped_timer_does_not_fire(void)
{
    uint64_t now = 5;
    struct smf__timers *timers = open_timers(now);
    struct alarm one = alarm_of(timers, &now), two = alarm_of(timers, &now);
    smf__timer_stop(timers, &one.timer); /* never started */
    smf__timer_start(timers, &one.timer, 3 * SLOT);
    smf__timer_start(timers, &two.timer, 3 * SLOT);
    smf__timer_stop(timers, &one.timer);
    smf__timer_stop(timers, &one.timer);
    CHECK(!smf__timer_running(&one.timer));
    now = 10 * SLOT;
    CHECK_EQ(smf__timers_run(timers, now), 1);
    CHECK_EQ(one.fired, 0);
    CHECK_EQ(two.fired, 1);
    smf__timers_close(timers);
}

static void started_timer_moves(void)
{
    uint64_t now = 0;
    struct smf__timers *timers = open_timers(now);
    struct alarm alarm = alarm_of(timers, &now);
    smf__timer_start(timers, &alarm.timer, 3 * SLOT);
    smf__timer_start(timers, &alarm.timer, 9 * SLOT);
    now = 8 * SLOT;
    CHECK_EQ(smf__timers_run(timers, now), 0);
    smf__timer_start(timers, &alarm.timer, 20 * SLOT);
    smf__timer_start(timers, &alarm.timer, 9 * SLOT);
    now = 9 * SLOT;
    CHECK_EQ(smf__timers_run(timers, now), 1);
    now = 30 * SLOT;
    CHECK_EQ(smf__timers_run(timers, now), 0);
    smf__timers_close(timers);
}

static void ring_again_at_once(struct smf__timer *timer)
{
    struct alarm *alarm = (struct alarm *)timer;
    ring(timer);
    smf__timer_start(alarm->timers, timer, 0); /* long past: must wait for the next slot */
}

static void callback_can_start_its_timer(void)
{
    uint64_t now = 100 * SLOT;
    struct smf__timers *timers = open_timers(now);
    struct alarm alarm = alarm_of(timers, &now);
    alarm.timer.fire = ring_again_at_once;
    smf__timer_start(timers, &alarm.timer, 0);
    CHECK_EQ(smf__timers_run(timers, now), 0);
    for (int i = 1; i <= 2000; i++) {
        now += SLOT;
        CHECK_EQ(smf__timers_run(timers, now), 1);
        CHECK_EQ(smf__timers_run(timers, now), 0);
    }
    now += 5 * TURN; /* a long sleep is still one shot */
    CHECK_EQ(smf__timers_run(timers, now), 1);
    CHECK_EQ(alarm.fired, 2001);
    smf__timers_close(timers);
    CHECK(!smf__timer_running(&alarm.timer));
}

static struct alarm siblings[3];

static void ring_and_stop_siblings(struct smf__timer *timer)
{
    ring(timer);
    for (int i = 0; i < 3; i++)
        smf__timer_stop(siblings[i].timers, &siblings[i].timer);
}

static void callback_can_stop_others(void)
{
    uint64_t now = 0;
    struct smf__timers *timers = open_timers(now);
    for (int i = 0; i < 3; i++) {
        siblings[i] = alarm_of(timers, &now);
        siblings[i].timer.fire = ring_and_stop_siblings;
        smf__timer_start(timers, &siblings[i].timer, SLOT);
    }
    now = 2 * SLOT;
    CHECK_EQ(smf__timers_run(timers, now), 1);
    CHECK_EQ(siblings[0].fired, 1); /* one slot: in the order of their start */
    CHECK_EQ(smf__timers_next_ns(timers), UINT64_MAX);
    smf__timers_close(timers);
}

static void far_timers_do_not_wake_the_loop(void)
{
    enum { COUNT = 2000 };
    static struct alarm alarms[COUNT];
    uint64_t now = 12345;
    struct smf__timers *timers = open_timers(now);
    for (int i = 0; i < COUNT; i++) {
        alarms[i] = alarm_of(timers, &now);
        smf__timer_start(timers, &alarms[i].timer, 20 * TURN + (uint64_t)i * SLOT);
    }
    CHECK_GE(smf__timers_next_ns(timers), 20 * TURN);
    CHECK_LE(smf__timers_next_ns(timers), 20 * TURN + SLOT);
    CHECK_EQ(smf__timers_run(timers, 19 * TURN), 0);
    CHECK_GE(smf__timers_next_ns(timers), 20 * TURN);
    smf__timers_close(timers);
}

static void stopped_timers_wake_the_loop_once(void)
{
    enum { COUNT = 100 };
    static struct alarm alarms[COUNT];
    uint64_t now = 0, last = 300 * SLOT;
    struct smf__timers *timers = open_timers(now);
    for (uint64_t i = 0; i < COUNT; i++) {
        alarms[i] = alarm_of(timers, &now);
        smf__timer_start(timers, &alarms[i].timer, last - (COUNT - 1 - i) * 3 * SLOT);
    }
    for (int i = 0; i < COUNT - 1; i++)
        smf__timer_stop(timers, &alarms[i].timer);
    int wakes = 0;
    while (smf__timers_next_ns(timers) != UINT64_MAX) {
        now = smf__timers_next_ns(timers);
        smf__timers_run(timers, now);
        CHECK_LE(++wakes, 2);
    }
    CHECK_EQ(alarms[COUNT - 1].fired, 1);
    CHECK_EQ(now, last);
    smf__timers_close(timers);
}

static void long_sleep_skips_no_slot(void)
{
    static struct alarm alarms[SMF__TIMER_SLOTS];
    const uint64_t turn = SMF__TIMER_SLOTS;
    for (uint64_t sleep = turn; sleep <= 3 * turn; sleep++) {
        uint64_t now = 17 * SLOT;
        struct smf__timers *timers = open_timers(now);
        for (uint64_t i = 0; i < SMF__TIMER_SLOTS; i++) {
            alarms[i] = alarm_of(timers, &now);
            smf__timer_start(timers, &alarms[i].timer, now + (i + 1) * SLOT);
        }
        now += sleep * SLOT;
        CHECK_EQ(smf__timers_run(timers, now), SMF__TIMER_SLOTS);
        smf__timers_close(timers);
    }
}

/* A loop that sleeps until smf__timers_next_ns each time fires every timer in time, never stands
 * still, and wakes up in vain once for each stopped timer at most. */
static void sleeping_until_next_is_enough(void)
{
    enum { COUNT = 500 };
    static struct alarm alarms[COUNT];
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    uint64_t now = smf__random_below(&random, TURN);
    struct smf__timers *timers = open_timers(now);
    for (int i = 0; i < COUNT; i++) {
        alarms[i] = alarm_of(timers, &now);
        smf__timer_start(timers, &alarms[i].timer, now + smf__random_below(&random, 3 * TURN));
    }
    for (int i = 0; i < COUNT; i += 5)
        smf__timer_stop(timers, &alarms[i].timer);
    int fired = 0, wakes = 0;
    while (smf__timers_next_ns(timers) != UINT64_MAX) {
        CHECK_GT(smf__timers_next_ns(timers), now);
        now = smf__timers_next_ns(timers);
        fired += smf__timers_run(timers, now);
        CHECK_LE(++wakes, COUNT);
    }
    CHECK_EQ(fired, COUNT - COUNT / 5);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(alarms[i].fired, i % 5 != 0);
        if (i % 5 != 0)
            CHECK_LE(alarms[i].fired_ns, alarms[i].timer.deadline_ns + SLOT);
    }
    smf__timers_close(timers);
}

static void time_that_goes_back_is_ignored(void)
{
    uint64_t now = 50 * SLOT;
    struct smf__timers *timers = open_timers(now);
    struct alarm alarm = alarm_of(timers, &now);
    smf__timer_start(timers, &alarm.timer, 51 * SLOT);
    CHECK_EQ(smf__timers_run(timers, 10 * SLOT), 0);
    CHECK_EQ(smf__timers_run(timers, 0), 0);
    now = 51 * SLOT;
    CHECK_EQ(smf__timers_run(timers, now), 1);
    smf__timers_close(timers);
}

static void end_of_time_is_far(void)
{
    uint64_t now = 0;
    struct smf__timers *timers = open_timers(now);
    struct alarm never = alarm_of(timers, &now), soon = alarm_of(timers, &now);
    smf__timer_start(timers, &never.timer, UINT64_MAX);
    smf__timer_start(timers, &soon.timer, 10 * SLOT);
    now = 1000 * TURN;
    CHECK_EQ(smf__timers_run(timers, now), 1);
    CHECK(smf__timer_running(&never.timer));
    CHECK_GT((int64_t)(smf__timers_next_ns(timers) >> 1), (int64_t)now);
    smf__timer_stop(timers, &never.timer);
    smf__timers_close(timers);
    smf__timers_close(NULL);
}

/* After a run: an alarm that runs on is not late yet, and one that does not has rung if it ran. That
 * it is never early is checked when it rings. */
static void check_alarm(const struct alarm *alarm, uint64_t now, int expected)
{
    uint64_t deadline = alarm->timer.deadline_ns;
    uint64_t from = deadline > alarm->started_ns ? deadline : alarm->started_ns;
    if (smf__timer_running(&alarm->timer))
        CHECK_GT(from + SLOT, now);
    else
        CHECK_EQ(alarm->fired, expected);
}

/* Starts, moves, stops and runs at random. */
static void random_use_matches_the_model(void)
{
    enum { COUNT = 300, STEPS = 100000 };
    static struct alarm alarms[COUNT];
    static int expected[COUNT]; /* rings, if each that runs rings now */
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    uint64_t now = smf__random_below(&random, 1ull << 40);
    struct smf__timers *timers = open_timers(now);
    for (int i = 0; i < COUNT; i++)
        alarms[i] = alarm_of(timers, &now);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)smf__random_below(&random, COUNT);
        uint64_t roll = smf__random_below(&random, 10);
        if (roll < 4) {
            uint64_t reach = SLOT << smf__random_below(&random, 13);
            uint64_t deadline = now + smf__random_below(&random, reach);
            deadline -= smf__random_below(&random, 2) * smf__random_below(&random, SLOT);
            alarms[i].started_ns = now;
            smf__timer_start(timers, &alarms[i].timer, deadline);
        } else if (roll < 5) {
            smf__timer_stop(timers, &alarms[i].timer);
        } else {
            now += smf__random_below(&random, SLOT << smf__random_below(&random, 4));
            if (smf__random_below(&random, 1000) == 0)
                now += smf__random_below(&random, 3 * TURN);
            for (int k = 0; k < COUNT; k++)
                expected[k] = alarms[k].fired + smf__timer_running(&alarms[k].timer);
            smf__timers_run(timers, now);
            for (int k = 0; k < COUNT; k++)
                check_alarm(&alarms[k], now, expected[k]);
        }
    }
    smf__timers_close(timers);
    for (int i = 0; i < COUNT; i++)
        CHECK(!smf__timer_running(&alarms[i].timer));
}

static const struct test tests[] = {
    TEST(monotonic_clock_never_goes_back),
    TEST(manual_clock_stands_still),
    TEST(random_numbers_are_the_known_ones),
    TEST(same_seed_same_numbers),
    TEST(below_is_fair),
    TEST(timer_fires_once_and_not_early),
    TEST(stopped_timer_does_not_fire),
    TEST(started_timer_moves),
    TEST(callback_can_start_its_timer),
    TEST(callback_can_stop_others),
    TEST(far_timers_do_not_wake_the_loop),
    TEST(stopped_timers_wake_the_loop_once),
    TEST(long_sleep_skips_no_slot),
    TEST(sleeping_until_next_is_enough),
    TEST(time_that_goes_back_is_ignored),
    TEST(end_of_time_is_far),
    TEST(random_use_matches_the_model),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
