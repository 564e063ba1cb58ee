/* Tallies: smf/tally.h. */
#include <smf/tally.h>

#include <stdlib.h>

#include "core/core.h"
#include "mem/mem_count.h"

#define FIRST_SHIFT 8u /* the first bucket ends at 256 ns, */
#define LAST_SHIFT 36u /* the last but one at 2^36 ns */
#define PARTS_SHIFT 2u /* four buckets for each doubling */

_Static_assert(SMF_TALLY_BUCKETS == ((LAST_SHIFT - FIRST_SHIFT) << PARTS_SHIFT) + 2,
               "as documented");
_Static_assert(sizeof(struct smf_tally) == 944, "as documented");

uint32_t smf_tally_bucket(uint64_t latency_ns)
{
    uint64_t below = latency_ns - 1;
    uint32_t shift;

    if (latency_ns <= 1u << FIRST_SHIFT)
        return 0;
    shift = 63u - (uint32_t)__builtin_clzll(below);
    if (shift >= LAST_SHIFT)
        return SMF_TALLY_BUCKETS - 1;
    return 1 + ((shift - FIRST_SHIFT) << PARTS_SHIFT) +
           ((uint32_t)(below >> (shift - PARTS_SHIFT)) & ((1u << PARTS_SHIFT) - 1));
}

uint64_t smf_tally_bound_ns(uint32_t bucket)
{
    uint64_t parts = (1u << PARTS_SHIFT) + bucket % (1u << PARTS_SHIFT);

    if (bucket >= SMF_TALLY_BUCKETS - 1)
        return UINT64_MAX;
    return parts << (FIRST_SHIFT - PARTS_SHIFT) << (bucket >> PARTS_SHIFT);
}

int smf_core_tallies(struct smf_core *core, uint32_t count, struct smf_tally **tallies_out)
{
    struct smf_turn *turn;

    if (core == NULL || tallies_out == NULL || count == 0 || core->counts.tallies != NULL)
        return SMF_EINVAL;
    turn = &core->turn;
    core->counts.tallies = calloc(count, sizeof *core->counts.tallies);
    turn->tallied = calloc((size_t)count + SMF_TALLIED_LATE_MAX, sizeof *turn->tallied);
    if (core->counts.tallies == NULL || turn->tallied == NULL) {
        smf__tallies_close(core);
        return SMF_ENOMEM;
    }
    *tallies_out = core->counts.tallies;
    return SMF_OK;
}

void smf__tallies_close(struct smf_core *core)
{
    free(core->counts.tallies);
    free(core->turn.tallied);
    core->counts.tallies = NULL;
    core->turn.tallied = NULL;
}

static void add(struct smf_tally *tally, uint64_t latency_ns, uint32_t answered, uint32_t failed)
{
    uint64_t *bucket = &tally->buckets[smf_tally_bucket(latency_ns)];

    smf__count(*bucket, answered);
    smf__count(tally->latency_ns, latency_ns * answered);
    smf__count(tally->succeeded, answered - failed);
}

void smf__tallies_settle(struct smf_core *core, uint64_t handed_ns)
{
    struct smf_turn *turn = &core->turn;

    for (uint32_t i = 0; i < turn->tallied_count; i++) {
        const struct smf_tallied *tallied = &turn->tallied[i];
        struct smf_tally *tally = tallied->tally;

        if (tallied->since_ns != 0) {
            add(tally, turn->now_ns - tallied->since_ns, 1, tallied->failed);
            continue;
        }
        add(tally, turn->now_ns - handed_ns, tally->turn_answered, tally->turn_failed);
        tally->turn_answered = tally->turn_failed = 0;
    }
    turn->tallied_count = 0;
}

/* There is room: the list has one place for each tally, beside those for late answers. */
void smf_tally_answered(struct smf_core *core, struct smf_tally *tally, int failed)
{
    struct smf_turn *turn = &core->turn;

    if (tally->turn_answered++ == 0)
        turn->tallied[turn->tallied_count++] = (struct smf_tallied){.tally = tally};
    tally->turn_failed += failed != 0;
}

void smf_tally_answered_late(struct smf_core *core, struct smf_tally *tally, uint64_t since_ns,
                             int failed)
{
    struct smf_turn *turn = &core->turn;

    if (turn->tallied_count >= SMF_TALLIED_LATE_MAX) {
        add(tally, smf__clock_now_ns(&core->clock) - since_ns, 1, failed != 0);
        return;
    }
    turn->tallied[turn->tallied_count++] =
        (struct smf_tallied){.tally = tally, .since_ns = since_ns, .failed = failed != 0};
}
