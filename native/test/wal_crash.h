/* The log under power cuts: a disk that stops after every step, a model of what was appended, and the
 * promises of the log as functions over the two.
 *
 *   wal_model.c   what was appended, acknowledged, given up; is that what a log has to say for itself?
 *   wal_disk.c    the disk under a log that is to crash; memory that fails
 *   wal_cores.c     a log that is opened by several cores, each with a disk of its own on the same world
 *   wal_workload.c  what is done next, drawn from a seed
 *   wal_crash.c   what is done to a log, cuts, and what is looked at afterwards
 *
 * A workload runs once. After every step of its disk (an operation that changes something starts, or ends)
 * the world may be cut and opened by a second log, which is held against the model as it is at that moment;
 * so is the recovery of that one, at every step, and what it appends afterwards.
 *
 * A promise that is broken ends the program, with its name, the seed, and how to run that seed again. */
#ifndef SMF_WAL_CRASH_H
#define SMF_WAL_CRASH_H

#include "disk/disk_sim.h"
#include "wal/wal_log.h"
#include "wal/wal_office.h"

#define CRASH_TOPICS_MAX 4u
#define CRASH_PARTITIONS_MAX 3u
#define CRASH_PARTS_MAX (CRASH_TOPICS_MAX * CRASH_PARTITIONS_MAX)
#define CRASH_CORES_MAX 4u
#define CRASH_FILES_MAX 512u /* open at a time */
#define CRASH_KILLED_MAX 1024u
#define CRASH_FOLDER "/log"
#define CRASH_EXHAUSTIVE_MAX 10u /* unflushed things, of which all subsets are tried */
#define CRASH_SUBSETS 1000u      /* of more than that */

/* --- the model --- */

/* The body of a batch, shared by copies of a model. */
struct crash_body {
    uint32_t refs, bytes, count;
    int64_t base_us, max_us;
    uint8_t *data;
};

struct crash_batch {
    struct crash_body *body;
    uint64_t first, end; /* offsets; a cut of the tail moves end */
    uint64_t user;
    uint32_t ack;
    int acked;
};

struct crash_part {
    struct crash_batch *batches;
    uint32_t count, capacity;
    uint64_t head, head_to; /* head_to: while it is being moved; else the same */
    uint64_t tail_to;       /* while it is being cut; else UINT64_MAX */
    uint64_t next;          /* offset of the next append */
    /* Offsets that no longer go away: by a power cut, by the end of the process. */
    uint64_t durable, written;
    uint64_t acked_end[SMF__WAL_ACKS]; /* of the last append that was acknowledged this way */
    int lame; /* an operation on it failed: it is left alone until the log is opened again */
};

enum crash_made { CRASH_NONE = 0, CRASH_MAKING, CRASH_MADE };

struct crash_topic {
    int made;
    uint32_t partitions;
    uint64_t segment_bytes;
    char name[8];
    struct crash_part parts[CRASH_PARTITIONS_MAX];
};

struct crash_model {
    struct crash_topic topics[CRASH_TOPICS_MAX];
    uint64_t users;
    int opened; /* an open has succeeded: there has to be a log */
};

void crash_model_copy(struct crash_model *to, const struct crash_model *from);
void crash_model_drop(struct crash_model *model);

/* A body of so many records, of up to value_max bytes each. */
struct crash_body *crash_body_make(struct smf__random *random, uint32_t count, uint32_t value_max,
                                   int64_t now_us);
/* Takes the body over. */
struct crash_batch *crash_batch_add(struct crash_part *part, struct crash_body *body, uint32_t ack,
                                    uint64_t user);
void crash_batch_drop_last(struct crash_part *part);
/* Records from offset on are gone. */
void crash_tail_cut(struct crash_part *part, uint64_t offset);
struct crash_batch *crash_batch_find(struct crash_model *model, uint64_t user,
                                     struct crash_part **part_out);

/* --- the disk --- */

struct crash;

/* In front of disk_sim: tells of every step, and counts. */
struct crash_disk {
    struct smf__disk base;
    struct smf__disk *inner;
    struct smf__disk_world *world;
    struct smf__random random;
    uint32_t land_percent; /* how likely one more operation completes in a poll */
    void (*step)(void *context);
    void *context;
    uint32_t writes, writes_most; /* under way */
    uint32_t under_way;           /* operations */
    int dead;                     /* the process has ended: nothing reaches the world any more */
    struct smf__disk_op *killed[CRASH_KILLED_MAX]; /* that nobody waits for */
    uint32_t killed_count;
    uint64_t read_bytes;                                    /* of segments */
    const struct smf__disk_file *segments[CRASH_FILES_MAX]; /* that are open */
    struct smf__clock_manual *clock;                        /* goes on with every poll */
    uint64_t ended[SMF__DISK_KINDS];                        /* operations */
    uint64_t failed;
    int flush_failed;
};

void crash_disk_open(struct crash_disk *disk, struct smf__disk_world *world, uint32_t align_bytes,
                     uint64_t seed, struct smf__clock_manual *clock);
void crash_disk_close(struct crash_disk *disk);
/* What is under way ends; from then on every operation is refused, and changes nothing. */
void crash_disk_kill(struct crash_disk *disk);

/* Of malloc and its kin in the log: the nth from now on fails, once. 0: none does. */
void crash_malloc_fail(uint64_t nth);
int crash_malloc_failed(void);      /* since then */
int64_t crash_malloc_bytes(void);   /* what the log has got and not given back */
int crash_malloc_enter(int is_log); /* who is at work from here on? Returns who was */

/* --- a run --- */

struct crash_options {
    uint32_t align_bytes; /* 0: drawn */
    uint32_t steps;       /* 0: drawn */
    uint32_t check_in;    /* one step of so many is looked at; 0: none, 1: all */
    int exhaustive;       /* all subsets at each of them */
    int faulty;           /* operations may fail */
    int no_reopen;
    int small;                     /* no batch of several buffers */
    uint32_t cores_min, cores_max; /* each open has so many cores, drawn; 0: 1 */
    uint32_t generation;           /* of crashes before this one */
    const char *story;             /* the test's name */
};

/* A reader that stays open while a workload goes on. */
struct crash_follow {
    struct smf__wal_reader *reader; /* NULL: none */
    uint32_t topic, partition, view;
    uint64_t at;
    int cut;                  /* what it reads was given up */
    struct smf__wal_run lent; /* batches 0: nothing */
    uint64_t lent_from;
};

/* A core of a log behind the first one, which is the run's own disk and wal. */
struct crash_core {
    struct crash_disk disk;
    struct smf__wal *wal; /* NULL: not open */
};

struct crash {
    uint64_t seed;
    struct crash_options options;
    struct smf__random random;
    struct smf__disk_world *world;
    struct crash_disk disk;
    struct smf__clock_manual clock;
    int64_t wall_us;
    struct smf__wal_options wal_options;
    struct smf__wal *wal;
    struct crash_core others[CRASH_CORES_MAX - 1];
    struct crash_disk office_disk;
    struct smf__wal_office *office; /* NULL: the log is open on one core */
    struct crash_model model;
    uint64_t retries; /* how often a log said that what was refused may be tried again */
    uint32_t burst;   /* appends in a row without waiting */
    uint32_t value_max;
    struct crash_follow follow;
    int spread;        /* it was open on several cores */
    int quiet;         /* no cuts now */
    int outcomes_late; /* the log is being closed: outcomes may be failures */
};

/* What all runs came to. */
struct crash_counts {
    uint64_t runs, crowded; /* runs; those with at least 4 writes under way */
    uint64_t steps, cuts, opens, recoveries_cut, generations;
    uint64_t appends, reads, damages, faults;
    uint64_t spread;          /* runs that had several cores at some time */
    uint64_t files, recycled; /* that became part of a log; with blocks that had been used */
};
extern struct crash_counts crash_counts;
extern const char *crash_program; /* for the line that says how to run it again */
extern char crash_note[200];      /* what was about to be broken, for the same; or empty */

/* --- wal_cores.c --- */

/* Opens and closes the disks of all cores but the first; what they do is told to step. */
void crash_cores_attach(struct crash *run, void (*step)(void *context));
void crash_cores_detach(struct crash *run);
void crash_cores_kill(struct crash *run);

/* Opens the log, on one core or more. Status, with *error_out filled; then all of it is closed. */
int crash_cores_open(struct crash *run, struct smf_error *error_out);
/* Closes it, its cores in an order that is drawn. Returns the first error. */
int crash_cores_close(struct crash *run);

/* The log of the index-th core; NULL: there are not so many. */
struct smf__wal *crash_cores_log(const struct crash *run, uint32_t index);
/* Operations of a kind that have ended; that are under way. Those for META are among them. */
uint64_t crash_cores_ended(const struct crash *run, uint32_t kind);
uint32_t crash_cores_under_way(const struct crash *run);
uint64_t crash_cores_turn(struct crash *run);
/* Waits for one of those that have something under way. */
void crash_cores_wait(struct crash *run);

/* Calls into the log; what it allocates meanwhile is its own. */
#define CRASH_IN_LOG(result, call)                                                                 \
    do {                                                                                           \
        int in_log_was = crash_malloc_enter(1);                                                    \
        (result) = (call);                                                                         \
        crash_malloc_enter(in_log_was);                                                            \
    } while (0)

/* A disk and options on a world that is there already. */
void crash_attach(struct crash *run, struct smf__disk_world *world, uint64_t seed);
/* World, disk, options; not the log. */
void crash_begin(struct crash *run, uint64_t seed, const struct crash_options *options);
void crash_end(struct crash *run);

/* Status, or 0. When it may not fail, it does not return. */
int crash_log_open(struct crash *run);
int crash_log_close(struct crash *run);
/* As if the process had ended: nothing more reaches the disk, nobody is told anything. */
void crash_log_abandon(struct crash *run);
/* The process ends, and another one opens the log: what was not flushed is still in a cache. */
int crash_log_kill(struct crash *run);

void crash_workload(struct crash *run);
uint64_t crash_turn(struct crash *run);
void crash_wait(struct crash *run);
/* One append of that many records. Returns the log's status, after waiting while it has no memory. */
int crash_append(struct crash *run, uint32_t topic, uint32_t partition, uint32_t count,
                 uint32_t value_max, uint32_t ack);
int crash_topic(struct crash *run, uint32_t topic, uint32_t partitions, uint64_t segment_bytes);
int crash_sync(struct crash *run, uint32_t topic, uint32_t partition);
int crash_truncate_head(struct crash *run, uint32_t topic, uint32_t partition, uint64_t offset);
int crash_truncate_tail(struct crash *run, uint32_t topic, uint32_t partition, uint64_t offset);
/* Turns and completions until nothing is under way and nothing wants to happen. */
void crash_settle(struct crash *run);
/* So much time goes by, with everything that happens in it. */
void crash_rest(struct crash *run, uint64_t span_ns);
struct smf__wal_part *crash_part_of(struct smf__wal *wal, const struct crash_model *model,
                                    uint32_t topic, uint32_t partition);
/* The same, on whichever core it is. */
struct smf__wal_part *crash_live(const struct crash *run, uint32_t topic, uint32_t partition);
/* A partition of a topic that is there. */
struct smf__wal_part *crash_named(const struct crash *run, const char *topic, uint32_t partition);

/* What the marks say now is promised, too: into the model. */
void crash_note_marks(struct crash *run);

/* Cuts the world as it is now in ways drawn from the seed (exhaustive: in all ways), and verifies. */
void crash_cut_now(struct crash *run);

/* Opens a world that a crash left, and holds it against the model. after_power: what was only written may
 * be gone. *model_out (or NULL) is what is there now. */
void crash_verify(const struct crash *run, struct smf__disk_world *world, int after_power,
                  struct crash_model *model_out);

/* One whole run with its checks. */
void crash_run(uint64_t seed, const struct crash_options *options);

/* --- promises --- */

/* Ends the program. */
__attribute__((noreturn, format(printf, 3, 4))) void
crash_broken(const struct crash *run, const char *promise, const char *format, ...);

#define CRASH_PROMISE(run, promise, condition, ...)                                                \
    do {                                                                                           \
        if (!(condition))                                                                          \
            crash_broken((run), (promise), __VA_ARGS__);                                           \
    } while (0)

/* What the model allows of a partition that a crash has ended, and what it holds now. *part_model is made
 * to say what is there. */
void crash_check_part(const struct crash *run, struct smf__wal_part *part,
                      struct crash_part *part_model, int after_power);
void crash_check_topics(const struct crash *run, struct smf__wal *wal, struct crash_model *model,
                        int after_power);
void crash_check_marks(const struct crash *run, const struct smf__wal_part *part);

/* Reads everything from an offset up to a view's mark, and compares. Returns the offset behind the last
 * record; *status_out is why it ended before the mark, or 0. */
uint64_t crash_check_read(const struct crash *run, struct smf__wal_part *part,
                          const struct crash_part *part_model, uint64_t from, uint32_t view,
                          int *status_out, char *text_out);
/* The records of a run are those from this offset on. Returns the offset behind them. */
uint64_t crash_check_run(const struct crash *run, const struct crash_part *part_model,
                         const struct smf__wal_run *read, uint64_t from);
void crash_check_time(const struct crash *run, struct smf__wal_part *part,
                      const struct crash_part *part_model, int64_t time_us);

#endif
