/* META, LOCK and the list of topics of a log that several cores serve (docs/decisions/0012).
 *
 * Each core has a struct smf__wal of its own, with its disk, its buffers and the partitions that it owns;
 * nothing of these is shared. What they share is the office: one more struct smf__wal, that has META and
 * no partition's files, and a disk of its own. Whoever wants something of META does it himself, under the
 * office's mutex, and never waits for another core to be driven: so one thread may drive all cores.
 *
 *   blocks: takes the mutex, drives the office's disk until it is done
 *   the rest: tries the mutex, and comes again after a turn when somebody else has it
 *
 * One core, the keeper, sees that what is under way in META comes to its end: the first one that is there.
 * How far META is durable is published; a core that waits for that is woken, and looks itself, too.
 *
 * Topics' partitions in the office's log are a table: their heads and checkpoints as META has them.
 *
 * Threads: any, unless a function says otherwise; one at a time for each struct smf__wal. Locks: one; what
 * is called with it calls nothing of a core's. */
#ifndef SMF_WAL_OFFICE_H
#define SMF_WAL_OFFICE_H

#include <pthread.h>

#include "wal/wal_log.h"

#define SMF__WAL_CORES_MAX 256u
#define SMF__WAL_OFFICE_LOOK_NS                                                                    \
    1000000ull /* between two looks of who waits for META, or keeps it without a descriptor */

/* One core's. */
struct smf__wal_seat {
    int taken;
    uint64_t awaited;            /* atomic: a place in META, or 0 */
    void (*wake)(void *context); /* any thread; NULL: nobody sleeps */
    void *context;
};

struct smf__wal_office {
    pthread_mutex_t mutex;
    struct smf__wal *log; /* NULL: the log is read only, and every core reads META for itself */
    uint32_t cores;
    struct smf__wal_seat seats[SMF__WAL_CORES_MAX];

    /* Atomic, written with the mutex. */
    uint64_t durable_place;
    int status; /* of META: 0, or it is fenced */
    uint32_t topic_count;
    uint32_t under_way; /* operations */
    uint64_t due_ns;    /* when it wants to be looked at */
    uint32_t keeper;    /* the lowest core that is there */
};

/* Opens META of a log (of options.disk, which nobody else uses), takes LOCK. Blocks. As smf__wal_open. */
int smf__wal_office_open(struct smf__wal_office **office_out,
                         const struct smf__wal_options *options, uint32_t cores,
                         struct smf_error *error_out);

/* When no core is there any more. Blocks. */
int smf__wal_office_close(struct smf__wal_office *office);

/* Takes the lowest core that nobody has. Returns it, or SMF_EEXIST. Before the smf__wal_open with it. */
int smf__wal_office_claim(struct smf__wal_office *office);

/* How that core is woken, from any thread and with the mutex. NULL: not any more. */
void smf__wal_office_wake(struct smf__wal_office *office, uint32_t core, void (*wake)(void *),
                          void *context);

/* Gives a core back, behind its smf__wal_close. Returns how many others are there. */
uint32_t smf__wal_office_leave(struct smf__wal_office *office, uint32_t core);

/* --- for the cores' logs: the driver, with wal->office --- */

/* As smf__wal_meta_write. What was written is in the table, too. Without block also SMF_ELIMIT when
 * somebody else has the mutex. */
int smf__wal_office_write(struct smf__wal *wal, const uint8_t *items, uint32_t size_bytes,
                          int block);

/* As smf__wal_topic_create. */
int smf__wal_office_create(struct smf__wal *wal, const struct smf__wal_topic *config,
                           struct smf__wal_topic_info **topic_out, struct smf_error *error_out);

/* Does the office know topics that this core does not? Cost: a load. */
int smf__wal_office_has_news(const struct smf__wal *wal);

/* Takes them. Returns 0, SMF_ENOMEM, or without block SMF_ELIMIT when somebody else has the mutex. */
int smf__wal_office_topics(struct smf__wal *wal, int block);

/* In each turn: does for the office what this core has to, and returns when it has to look again, with
 * what the log itself has said. Cost with nothing to do: some loads. */
uint64_t smf__wal_office_turn(struct smf__wal *wal, uint64_t due_ns);

/* --- shared by wal_office.c and wal_office_turn.c --- */

/* Takes the mutex. Returns 0 when somebody else has it, without block. */
int smf__wal_office_enter(struct smf__wal_office *office, int block);

/* Takes what has completed, starts what was queued, says how far META is and wakes who waits for that; core:
 * whose thread this is. With the mutex. */
void smf__wal_office_drive(struct smf__wal_office *office, uint32_t core);

#endif
