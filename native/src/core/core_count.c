/* Counters of a core: how they are made, and how others read them. */
#include "core/core_count.h"

#include <string.h>

#include "core/core.h"
#include "core/core_baton.h"
#include "mem/mem_count.h"

#define ASLEEP (1ull << 63)

static uint32_t batch_size(uint32_t events)
{
    return events == 0 ? 0 : 32u - (uint32_t)__builtin_clz(events);
}

_Static_assert(SMF__CORE_EVENTS_MAX < 1u << (SMF_BATCH_SIZES - 1), "the largest batch has a place");

void smf__count_turn(struct smf_core *core, uint64_t handed_ns)
{
    struct smf__core_counts *counts = &core->counts;
    uint32_t events = core->turn.event_count;
    uint64_t slept_ns;

    smf__count_unarmed(core, core->turn.now_ns);
    slept_ns = counts->armed_ns;
    counts->armed_ns = 0;
    counts->worked = core->turn.send_count != 0;
    smf__count(counts->batches[batch_size(events)], 1);
    if (events == 0 && !counts->worked)
        return;
    smf__count(counts->events, events);
    smf__count(counts->busy_ns, core->turn.now_ns - handed_ns - slept_ns);
}

void smf__count_look(struct smf_core *core, uint64_t from_ns)
{
    struct smf__core_counts *counts = &core->counts;
    uint64_t spent_ns = core->turn.now_ns - from_ns;

    if (core->turn.event_count != 0 || counts->worked) {
        smf__count(counts->busy_ns, spent_ns);
        counts->worked = 0;
        return;
    }
    smf__count(counts->spins, 1);
    smf__count(counts->spinning_ns, spent_ns);
}

void smf__count_sleep(struct smf_core *core, uint64_t now_ns)
{
    __atomic_store_n(&core->counts.asleep, ASLEEP | (now_ns - core->counts.asleep),
                     __ATOMIC_RELEASE);
}

void smf__count_wake(struct smf_core *core, uint64_t now_ns)
{
    __atomic_store_n(&core->counts.asleep, now_ns - (core->counts.asleep & ~ASLEEP),
                     __ATOMIC_RELEASE);
}

void smf__count_armed(struct smf_core *core, uint64_t now_ns)
{
    core->counts.armed_at_ns = now_ns;
    smf__count_sleep(core, now_ns);
}

void smf__count_unarmed(struct smf_core *core, uint64_t now_ns)
{
    if (!smf__counts_asleep(core))
        return;
    core->counts.armed_ns += now_ns - core->counts.armed_at_ns;
    smf__count_wake(core, now_ns);
}

int smf__counts_asleep(const struct smf_core *core)
{
    return (core->counts.asleep & ASLEEP) != 0;
}

/* A core may sleep for hours, and is asked meanwhile. The word is looked at again after the clock: else
 * a reader that was held up would count what came after the sleep. */
static uint64_t asleep_now_ns(const struct smf_core *core)
{
    for (;;) {
        uint64_t word = __atomic_load_n(&core->counts.asleep, __ATOMIC_ACQUIRE), now_ns;

        if (!(word & ASLEEP))
            return word;
        now_ns = smf__clock_now_ns(&core->clock);
        if (__atomic_load_n(&core->counts.asleep, __ATOMIC_ACQUIRE) == word)
            return now_ns - (word & ~ASLEEP);
    }
}

/* The driver says that it is awake a moment after it read the clock: who asks in between is told too
 * much. Then others are told the same until it is true, for a counter never goes back. */
static uint64_t asleep_ns(struct smf_core *core)
{
    uint64_t asleep = asleep_now_ns(core);
    uint64_t told = __atomic_load_n(&core->counts.asleep_told, __ATOMIC_RELAXED);

    while (told < asleep) {
        if (__atomic_compare_exchange_n(&core->counts.asleep_told, &told, asleep, 0,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return asleep;
    }
    return told;
}

void smf_core_read_stats(const struct smf_core *core, struct smf_core_stats *stats_out,
                         size_t size_bytes)
{
    const struct smf__core_counts *counts = &core->counts;
    struct smf_core_stats stats;
    struct smf__pool_stats pool;

    memset(&stats, 0, sizeof stats);
    stats.turns = smf__counted(core->turns);
    stats.waits = smf__counted(core->waits);
    stats.wakes = smf__counted(core->wakes);
    smf__pool_stats(core->pool, &pool);
    stats.memory_budget_bytes = pool.budget_bytes;
    stats.memory_used_bytes = pool.used_bytes;
    stats.memory_used_bytes_max = pool.used_bytes_max;
    stats.memory_refused = pool.refused;
    stats.events = smf__counted(counts->events);
    for (uint32_t i = 0; i < SMF_BATCH_SIZES; i++)
        stats.batches[i] = smf__counted(counts->batches[i]);
    stats.spins = smf__counted(counts->spins);
    stats.busy_ns = smf__counted(counts->busy_ns);
    stats.spinning_ns = smf__counted(counts->spinning_ns);
    stats.asleep_ns = asleep_ns((struct smf_core *)core); /* a reader's own field */
    stats.in_flight = smf__counted(core->turn.in_flight);
    stats.connections_unsent = smf__counted(core->turn.unsent);
    if (core->room.stats != NULL)
        core->room.stats(core->room.context, &stats);
    if (core->baton != NULL)
        smf__baton_stats(core->baton, &stats);
    memset(stats_out, 0, size_bytes);
    memcpy(stats_out, &stats, size_bytes < sizeof stats ? size_bytes : sizeof stats);
}
