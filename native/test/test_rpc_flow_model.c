/* The rules of a session, in all states that two ends can reach. See test_flow_explore.h. */
#include "test_flow_explore.h"

struct counts {
    uint32_t moves, longest;
};

/* A trace is what it says: done again, it ends, and each of its moves could be made. */
static void replay(const struct model_trace *trace, void *context)
{
    struct counts *counts = context;
    struct model_state state;
    struct smf__flow_step step;

    model_begin(trace->script, &state);
    for (uint32_t i = 0; i < trace->count; i++) {
        CHECK(model_do(trace->script, &state, trace->moves[i], &step));
        model_check(trace->script, &state);
    }
    CHECK(model_is_final(&state));
    counts->moves += trace->count;
    if (trace->count > counts->longest)
        counts->longest = trace->count;
}

static void every_state_of_two_ends(void)
{
    static struct model_search search;
    uint64_t states = 0, transitions = 0;

    for (uint32_t i = 0; i < MODEL_SCRIPTS; i++) {
        struct counts counts = {0};
        uint32_t traces;

        model_explore(&search, &model_scripts[i]);
        CHECK_GT(search.finals, 0);
        traces = model_traces(&search, replay, &counts);
        test_note("%s: %u states, %" PRIu64
                  " transitions of %u kinds, %u ends; %u traces, the longest of %u",
                  model_scripts[i].name, search.count, search.transitions, search.kind_count,
                  search.finals, traces, counts.longest);
        states += search.count;
        transitions += search.transitions;
        model_forget(&search);
    }
    test_note("%" PRIu64 " states, %" PRIu64 " transitions", states, transitions);
}

/* Sizes on both sides of every edge, in windows that don't divide evenly. */
static void every_pair_of_sizes(void)
{
    static struct model_search search;
    uint64_t states = 0;
    uint32_t scripts = 0, step = test_slowed() ? 7 : 3;

    for (uint8_t window = 16; window <= 21; window++) {
        for (uint32_t pair = 0; pair < 26 * 26; pair += step) {
            uint8_t there = (uint8_t)(1 + pair / 26), back = (uint8_t)(1 + pair % 26);
            struct model_script script = {.name = "a pair of sizes",
                                          .window = window,
                                          .channel = 2,
                                          .stream = 1,
                                          .fin_with_last = pair % 2,
                                          .counts = {2, 1},
                                          .sizes = {{there, back}, {back}},
                                          .last_size = there,
                                          .may_cancel = pair % 5 == 0};

            model_explore(&search, &script);
            states += search.count;
            scripts++;
            model_forget(&search);
        }
    }
    test_note("%u scripts, %" PRIu64 " states", scripts, states);
}

static const struct test tests[] = {TEST(every_state_of_two_ends), TEST(every_pair_of_sizes)};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
