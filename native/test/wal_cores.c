#include "wal_crash.h"

#include <string.h>

/* A log on several cores, driven by one thread: each has a disk of its own, and so has META. */

static struct crash_disk *disk_of(struct crash *run, uint32_t index)
{
    return index == CRASH_CORES_MAX - 1 ? &run->office_disk : &run->others[index].disk;
}

void crash_cores_attach(struct crash *run, void (*step)(void *context))
{
    for (uint32_t i = 0; i < CRASH_CORES_MAX; i++) {
        struct crash_disk *disk = disk_of(run, i);

        crash_disk_open(disk, run->world, run->options.align_bytes, smf__random_next(&run->random),
                        &run->clock);
        disk->step = step;
        disk->context = run;
    }
}

void crash_cores_detach(struct crash *run)
{
    for (uint32_t i = 0; i < CRASH_CORES_MAX; i++) {
        struct crash_disk *disk = disk_of(run, i);

        if (disk->inner != NULL)
            crash_disk_close(disk);
        disk->inner = NULL;
    }
}

void crash_cores_kill(struct crash *run)
{
    for (uint32_t i = 0; i < CRASH_CORES_MAX; i++) {
        if (disk_of(run, i)->inner != NULL)
            crash_disk_kill(disk_of(run, i));
    }
}

static struct smf__wal **log_at(struct crash *run, uint32_t core)
{
    return core == 0 ? &run->wal : &run->others[core - 1].wal;
}

struct smf__wal *crash_cores_log(const struct crash *run, uint32_t index)
{
    if (index == 0)
        return run->wal;
    return index < CRASH_CORES_MAX ? run->others[index - 1].wal : NULL;
}

static int open_core(struct crash *run, struct smf_error *error_out)
{
    struct smf__wal_options options = run->wal_options;
    int core = smf__wal_office_claim(run->office), status;

    options.office = run->office;
    options.core = (uint32_t)core;
    if (core > 0)
        options.disk = &run->others[core - 1].disk.base;
    options.random_seed = smf__random_next(&run->random) | 1;
    status = smf__wal_open(log_at(run, (uint32_t)core), &options, error_out);
    if (status == SMF_OK)
        return SMF_OK;
    *log_at(run, (uint32_t)core) = NULL;
    (void)smf__wal_office_leave(run->office, (uint32_t)core);
    return status;
}

int crash_cores_open(struct crash *run, struct smf_error *error_out)
{
    struct smf__wal_options options = run->wal_options;
    uint32_t cores = 1, opened = 0;
    int status;

    if (run->options.cores_min > 1)
        cores = run->options.cores_min;
    if (run->options.cores_max > cores)
        cores += (uint32_t)smf__random_below(&run->random, run->options.cores_max - cores + 1);
    if (cores == 1)
        return smf__wal_open(&run->wal, &options, error_out);
    run->spread = 1;
    options.disk = &run->office_disk.base;
    status = smf__wal_office_open(&run->office, &options, cores, error_out);
    while (status == SMF_OK && opened++ < cores)
        status = open_core(run, error_out);
    if (status != SMF_OK && run->office != NULL)
        (void)crash_cores_close(run);
    return status;
}

int crash_cores_close(struct crash *run)
{
    uint32_t first = 0;
    int status = SMF_OK, ended;

    if (run->office == NULL) {
        status = smf__wal_close(run->wal);
        run->wal = NULL;
        return status;
    }
    if (crash_cores_log(run, 1) != NULL)
        first = (uint32_t)smf__random_below(&run->random, run->office->cores);
    for (uint32_t i = 0; i < run->office->cores; i++) {
        uint32_t core = (first + i) % run->office->cores;

        if (*log_at(run, core) == NULL)
            continue;
        ended = smf__wal_close(*log_at(run, core));
        *log_at(run, core) = NULL;
        (void)smf__wal_office_leave(run->office, core);
        status = status != SMF_OK ? status : ended;
    }
    ended = smf__wal_office_close(run->office);
    run->office = NULL;
    return status != SMF_OK ? status : ended;
}

uint64_t crash_cores_ended(const struct crash *run, uint32_t kind)
{
    uint64_t ended = run->disk.ended[kind] + run->office_disk.ended[kind];

    for (uint32_t i = 0; i < CRASH_CORES_MAX - 1; i++)
        ended += run->others[i].disk.ended[kind];
    return ended;
}

uint32_t crash_cores_under_way(const struct crash *run)
{
    uint32_t under_way = 0;

    for (uint32_t i = 0; crash_cores_log(run, i) != NULL; i++)
        under_way += crash_cores_log(run, i)->under_way;
    if (run->office != NULL && run->office->log != NULL)
        under_way += run->office->log->under_way;
    return under_way;
}

/* Mostly all of them, beginning with any; sometimes only one. */
uint64_t crash_cores_turn(struct crash *run)
{
    uint64_t next_ns = UINT64_MAX;
    uint32_t first, cores;

    if (run->office == NULL)
        return smf__wal_turn(run->wal);
    cores = run->office->cores;
    first = (uint32_t)smf__random_below(&run->random, cores);
    if (smf__random_below(&run->random, 4) == 0) {
        (void)smf__wal_turn(*log_at(run, first));
        return run->clock.now_ns;
    }
    for (uint32_t i = 0; i < cores; i++) {
        uint64_t due_ns = smf__wal_turn(*log_at(run, (first + i) % cores));

        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    return next_ns;
}

void crash_cores_wait(struct crash *run)
{
    uint32_t first, cores;

    if (run->office == NULL) {
        smf__wal_wait(run->wal);
        return;
    }
    cores = run->office->cores + 1;
    first = (uint32_t)smf__random_below(&run->random, cores);
    for (uint32_t i = 0; i < cores; i++) {
        uint32_t core = (first + i) % cores;
        struct smf__wal *wal = core < cores - 1 ? *log_at(run, core) : run->office->log;

        if (wal != NULL && wal->under_way > 0) {
            smf__wal_wait(wal);
            return;
        }
    }
}
