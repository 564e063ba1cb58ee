/* What drives a log: operations that have completed, partitions that have something to do, times that
 * have come. */
#include <time.h>

#include "wal/wal_office.h"

#define COLLECT 64u /* operations that are taken at once */
#define ROUNDS 4u   /* over partitions that touch each other, in one turn */
#define US_PER_SECOND 1000000
#define NS_PER_US 1000

int64_t smf__wal_wall_us(const struct smf__wal *wal)
{
    struct timespec now;
    if (wal->options.wall_us != NULL)
        return wal->options.wall_us(wal->options.wall_context);
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / NS_PER_US;
}

void smf__wal_touch(struct smf__wal_part *part)
{
    if (part->dirty)
        return;
    part->dirty = 1;
    part->next_dirty = part->wal->dirty;
    part->wal->dirty = part;
}

void smf__wal_queue(struct smf__wal *wal, struct smf__wal_io *io)
{
    io->op.context = io;
    smf__wal_expect(wal, io);
    wal->under_way++;
    wal->disk->ops->queue(wal->disk, &io->op);
}

static void collect(struct smf__wal *wal)
{
    struct smf__disk_op *ops[COLLECT];
    uint32_t found;
    do {
        found = wal->disk->ops->poll(wal->disk, ops, COLLECT);
        for (uint32_t i = 0; i < found; i++) {
            struct smf__wal_io *io = ops[i]->context;
            wal->under_way--;
            wal->ended += !io->quiet;
            smf__wal_expected(wal, io);
            io->done(io);
        }
    } while (found == COLLECT);
}

static void note_due(struct smf__wal_part *part, uint64_t due_ns)
{
    struct smf__wal *wal = part->wal;
    part->due_ns = due_ns;
    if (due_ns == UINT64_MAX)
        return;
    if (!part->timed) {
        part->timed = 1;
        part->next_timed = wal->timed;
        wal->timed = part;
    }
    if (due_ns < wal->due_ns)
        wal->due_ns = due_ns;
}

/* Touches those whose time has come. The list is walked over only when there is one. */
static void look_at_time(struct smf__wal *wal)
{
    struct smf__wal_part **place = &wal->timed;
    if (wal->now_ns < wal->due_ns)
        return;
    wal->due_ns = UINT64_MAX;
    while (*place != NULL) {
        struct smf__wal_part *part = *place;
        if (part->due_ns <= wal->now_ns)
            smf__wal_touch(part);
        if (part->due_ns <= wal->now_ns || part->due_ns == UINT64_MAX) {
            part->timed = 0;
            *place = part->next_timed;
            continue;
        }
        if (part->due_ns < wal->due_ns)
            wal->due_ns = part->due_ns;
        place = &part->next_timed;
    }
}

static void look_at_dirty(struct smf__wal *wal)
{
    struct smf__wal_part *list = wal->dirty;
    wal->dirty = NULL;
    while (list != NULL) {
        struct smf__wal_part *part = list;
        list = part->next_dirty;
        part->dirty = 0;
        note_due(part, smf__wal_part_turn(part));
    }
}

void smf__wal_refused(struct smf__wal *wal, int status)
{
    if (wal->refused == 0)
        wal->refused_ended = wal->ended; /* of the first one: others come again with it */
    if (wal->refused != SMF_ELIMIT)
        wal->refused = status;
}

/* Calls those who were refused if another try may end differently; else returns when to look again. Nothing
 * can get lost: what an append waits for ends in a turn, and is counted there; it was refused between two. */
static uint64_t look_at_refused(struct smf__wal *wal, uint64_t due_ns)
{
    int waits = wal->refused == SMF_ENOMEM && (wal->under_way > 0 || wal->awaited != 0);
    if (wal->retry_ns == 0 && !waits)
        wal->retry_ns = wal->now_ns + SMF__WAL_RETRY_NS;
    int is_due = wal->retry_ns != 0 && wal->retry_ns <= wal->now_ns;
    if (wal->ended == wal->refused_ended && !is_due)
        return wal->retry_ns != 0 && wal->retry_ns < due_ns ? wal->retry_ns : due_ns;
    wal->refused = SMF_OK;
    wal->retry_ns = 0;
    if (wal->retry != NULL)
        wal->retry(wal->told_context);
    return due_ns;
}

uint64_t smf__wal_turn(struct smf__wal *wal)
{
    smf__check(!wal->turning); /* what blocks is not called by those who are told of something */
    wal->turning = 1;
    wal->now_ns = smf__clock_now_ns(&wal->options.clock);
    collect(wal);
    look_at_time(wal);
    for (uint32_t round = 0; round < ROUNDS && wal->dirty != NULL; round++)
        look_at_dirty(wal);
    if (wal->at_turn != NULL)
        wal->at_turn(wal);
    wal->disk->ops->submit(wal->disk);
    wal->turning = 0;
    uint64_t due_ns = wal->dirty != NULL ? wal->now_ns : wal->due_ns;
    if (wal->office != NULL)
        due_ns = smf__wal_office_turn(wal, due_ns);
    return wal->refused == SMF_OK ? due_ns : look_at_refused(wal, due_ns);
}

void smf__wal_wait(struct smf__wal *wal)
{
    if (wal->dirty == NULL && wal->under_way > 0) {
        uint64_t now_ns = smf__clock_now_ns(&wal->options.clock);
        int64_t timeout_ns = -1;
        if (wal->timed != NULL)
            timeout_ns = wal->due_ns > now_ns ? (int64_t)(wal->due_ns - now_ns) : 0;
        wal->disk->ops->submit(wal->disk);
        wal->disk->ops->wait(wal->disk, timeout_ns);
    }
    (void)smf__wal_turn(wal);
}

struct run {
    struct smf__wal_io io;
    int ended;
};

static void run_done(struct smf__wal_io *io)
{
    ((struct run *)io->owner)->ended = 1;
}

int smf__wal_run(struct smf__wal *wal, struct smf__disk_op *op)
{
    struct run run = {.io = {.op = *op, .done = run_done, .owner = &run}};
    void *context = op->context;
    smf__wal_queue(wal, &run.io);
    while (!run.ended)
        smf__wal_wait(wal);
    *op = run.io.op;
    op->context = context;
    return op->status;
}
