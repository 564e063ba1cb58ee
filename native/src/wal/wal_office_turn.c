/* What the cores of a log do for its office in their turns. */
#include "wal/wal_office.h"

int smf__wal_office_enter(struct smf__wal_office *office, int block)
{
    if (block)
        return pthread_mutex_lock(&office->mutex) == 0;
    return pthread_mutex_trylock(&office->mutex) == 0;
}

/* Says how far META is, and wakes who waits for that; core: whose thread this is. With the mutex. */
static void publish(struct smf__wal_office *office, uint64_t due_ns, uint32_t core)
{
    struct smf__wal_part *meta = &office->log->meta;
    uint64_t due_before_ns = office->due_ns;
    int begins = office->under_way == 0 && office->log->under_way != 0;
    __atomic_store_n(&office->status, meta->status, __ATOMIC_SEQ_CST);
    __atomic_store_n(&office->durable_place, meta->durable.place, __ATOMIC_SEQ_CST);
    __atomic_store_n(&office->under_way, office->log->under_way, __ATOMIC_SEQ_CST);
    __atomic_store_n(&office->due_ns, due_ns, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < office->cores; i++) {
        struct smf__wal_seat *seat = &office->seats[i];
        uint64_t awaited = __atomic_load_n(&seat->awaited, __ATOMIC_SEQ_CST);
        int wakes = awaited != 0 && (awaited <= meta->durable.place || meta->status != SMF_OK);
        if (wakes)
            __atomic_store_n(&seat->awaited, 0, __ATOMIC_SEQ_CST);
        wakes |= i == office->keeper && (due_ns < due_before_ns || begins);
        if (wakes && i != core && seat->wake != NULL)
            seat->wake(seat->context);
    }
}

void smf__wal_office_drive(struct smf__wal_office *office, uint32_t core)
{
    publish(office, smf__wal_turn(office->log), core);
}

uint64_t smf__wal_meta_end(const struct smf__wal *wal)
{
    return wal->office != NULL ? wal->meta_end : wal->meta.buffered.place;
}

int smf__wal_meta_reached(struct smf__wal *wal, uint64_t place)
{
    struct smf__wal_office *office = wal->office;
    if (office == NULL)
        return wal->meta.status != SMF_OK ? wal->meta.status : wal->meta.durable.place >= place;
    int status = __atomic_load_n(&office->status, __ATOMIC_SEQ_CST);
    if (status != SMF_OK || __atomic_load_n(&office->durable_place, __ATOMIC_SEQ_CST) >= place)
        return status != SMF_OK ? status : 1;
    /* Whoever gets there meanwhile does not see it: that is why this core looks, too. The first of several
     * places: when it is reached all who wait come again, and ask for theirs. */
    if (wal->awaited == 0 || place < wal->awaited) {
        wal->awaited = place;
        __atomic_store_n(&office->seats[wal->core].awaited, place, __ATOMIC_SEQ_CST);
    }
    return 0;
}

int smf__wal_office_has_news(const struct smf__wal *wal)
{
    return wal->office != NULL &&
           __atomic_load_n(&wal->office->topic_count, __ATOMIC_SEQ_CST) != wal->topics_taken;
}

static int has_work(const struct smf__wal_office *office, uint64_t now_ns)
{
    return __atomic_load_n(&office->under_way, __ATOMIC_SEQ_CST) > 0 ||
           __atomic_load_n(&office->due_ns, __ATOMIC_SEQ_CST) <= now_ns;
}

uint64_t smf__wal_office_turn(struct smf__wal *wal, uint64_t due_ns)
{
    struct smf__wal_office *office = wal->office;
    uint64_t later_ns = wal->now_ns + SMF__WAL_OFFICE_LOOK_NS, office_ns;
    int keeps = __atomic_load_n(&office->keeper, __ATOMIC_SEQ_CST) == wal->core;
    if ((keeps || wal->awaited != 0) && has_work(office, wal->now_ns) &&
        smf__wal_office_enter(office, 0)) {
        smf__wal_office_drive(office, wal->core);
        pthread_mutex_unlock(&office->mutex);
    }
    if (wal->awaited != 0 && smf__wal_meta_reached(wal, wal->awaited) != 0) {
        wal->awaited = 0;
        wal->ended++; /* who was told to come again may */
    }
    if (wal->awaited != 0 ||
        (keeps && !wal->meta_watched && __atomic_load_n(&office->under_way, __ATOMIC_SEQ_CST) > 0))
        due_ns = later_ns < due_ns ? later_ns : due_ns;
    if (!keeps)
        return due_ns;
    office_ns = __atomic_load_n(&office->due_ns, __ATOMIC_SEQ_CST);
    if (office_ns <= wal->now_ns)
        office_ns = later_ns; /* somebody else is at it */
    return office_ns < due_ns ? office_ns : due_ns;
}
