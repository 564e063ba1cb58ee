/* The log's promises under crashes: workloads from seeds, cut at their steps. SMF_WORKLOADS says how many
 * (1 with --seed N: that one again); every seed is a whole story by itself. */
#include "test.h"
#include "wal_crash.h"

#define WORKLOADS 60u
#define WORKLOADS_SLOWED 12u /* where an emulator or a sanitizer runs them */
#define LOOK_IN 150u         /* one of so many steps, in workloads of any length */
#define LONG_STEPS 400u
#define CROWDED_FROM 40u /* workloads, to say something of their share */

static uint64_t workloads(void)
{
    const char *text = getenv("SMF_WORKLOADS");

    if (text != NULL)
        return strtoull(text, NULL, 0);
    return test_slowed() ? WORKLOADS_SLOWED : WORKLOADS;
}

static void run_all(const char *story, const struct crash_options *options, uint64_t count)
{
    struct crash_counts before = crash_counts;

    for (uint64_t i = 0; i < count; i++) {
        struct crash_options of_one = *options;

        of_one.story = story;
        crash_run(test_seed() + i, &of_one);
    }
    test_note("%" PRIu64 " workloads, %" PRIu64 " with 4 writes under way; %" PRIu64
              " disk steps, %" PRIu64 " cuts, %" PRIu64 " recoveries cut, %" PRIu64
              " went on; %" PRIu64 " appends, %" PRIu64 " reads, %" PRIu64 " files, %" PRIu64
              " of them used again",
              crash_counts.runs - before.runs, crash_counts.crowded - before.crowded,
              crash_counts.steps - before.steps, crash_counts.cuts - before.cuts,
              crash_counts.recoveries_cut - before.recoveries_cut,
              crash_counts.generations - before.generations, crash_counts.appends - before.appends,
              crash_counts.reads - before.reads, crash_counts.files - before.files,
              crash_counts.recycled - before.recycled);
    if (count >= CROWDED_FROM && options->steps == 0 && options->cores_max < 2)
        CHECK_GE(2 * (crash_counts.crowded - before.crowded), count);
}

/* Appends, cuts of both ends, reads, reopenings: without a crash first. */
static void without_a_crash(void)
{
    run_all("without_a_crash", &(struct crash_options){0}, workloads());
}

static void sampled_steps(void)
{
    run_all("sampled_steps", &(struct crash_options){.check_in = LOOK_IN}, workloads());
}

static void every_step(void)
{
    run_all("every_step", &(struct crash_options){.check_in = 1, .steps = 10, .small = 1},
            (workloads() + 9) / 10);
}

/* Up to 10 unflushed things: every subset of them; 1,000 random ones of more. */
static void every_subset(void)
{
    run_all("every_subset",
            &(struct crash_options){.check_in = 25, .steps = 8, .small = 1, .exhaustive = 1},
            (workloads() + 9) / 10);
}

/* What piles up over time. */
static void long_ones(void)
{
    run_all("long_ones", &(struct crash_options){.check_in = 2000, .steps = LONG_STEPS},
            (workloads() + 9) / 10);
}

/* Each open on another number of cores: what one has written another one opens. Half as many: each core is a
 * log of its own to be opened. */
static void on_several_cores(void)
{
    uint64_t spread = crash_counts.spread, count = (workloads() + 1) / 2;

    run_all("on_several_cores", &(struct crash_options){.cores_max = CRASH_CORES_MAX}, count);
    run_all("on_several_cores",
            &(struct crash_options){.cores_max = CRASH_CORES_MAX, .check_in = 2 * LOOK_IN}, count);
    CHECK(count < CROWDED_FROM / 2 || crash_counts.spread - spread > count);
}

static void on_several_cores_every_step(void)
{
    run_all("on_several_cores_every_step",
            &(struct crash_options){
                .cores_max = CRASH_CORES_MAX, .check_in = 1, .steps = 8, .small = 1},
            (workloads() + 19) / 20);
}

static const struct test tests[] = {
    TEST(without_a_crash),
    TEST(sampled_steps),
    TEST(every_step),
    TEST(every_subset),
    TEST(long_ones),
    TEST(on_several_cores),
    TEST(on_several_cores_every_step),
};

int main(int argc, char **argv)
{
    crash_program = argv[0];
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
