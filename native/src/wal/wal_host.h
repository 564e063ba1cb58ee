/* A log on its core: what smf/wal.h shows to programs stands on this.
 *
 *   wal_host.c     opening, closing, a turn, what is told
 *   wal_join.c     what the cores of one log share, beside the office
 *   wal_api.c      topics, partitions, appending, cutting
 *   wal_api_read.c batches and runs in the caller's memory, readers
 *
 * Threads: the core's driver. */
#ifndef SMF_WAL_HOST_H
#define SMF_WAL_HOST_H

#include <smf/wal.h>

#include "wal/wal_office.h"

/* Told in one event. Appends that are not told of are never more than SMF__WAL_APPENDS_MAX: then nothing
 * is taken. One is SMF_WAL_RETRY. The rest is for readers; what of them does not fit waits for the next turn. */
#define SMF__WAL_TOLD_READERS_MAX 1024u
#define SMF__WAL_TOLD_MAX (SMF__WAL_APPENDS_MAX + 1u + SMF__WAL_TOLD_READERS_MAX)

/* Between two looks at what another process has written to a log that is only read here, while somebody
 * waits for it. */
#define SMF__WAL_FOLLOW_NS 20000000ull

#define SMF__WAL_SCRATCH_BYTES 65536u /* a record that is put alone is built in it, if it fits */

struct smf_wal_reader {
    struct smf__wal_reader *inner;
    struct smf_wal *wal;
    uint64_t partition;
    uint64_t user;
    struct smf_wal_reader *next, *previous; /* of the log's */
    struct smf_wal_reader *next_readable;
    int is_readable;        /* it is in that list */
    struct smf_error error; /* of a look at what another process has written */
};

/* Of a log on several cores; it goes with the last of them. */
struct smf__wal_shared {
    struct smf__wal_office *office;
    struct smf__disk *disk; /* the office's; NULL: read only */
    struct smf_wal_config
        config; /* that the first core was opened with; folder is the next field */
    char folder[SMF__DISK_PATH_MAX_BYTES];
};

struct smf_wal {
    struct smf__wal_shared *shared; /* NULL: the log has this core alone */
    uint32_t index;                 /* of its cores */
    struct smf__wal *log;
    struct smf__disk *disk;
    struct smf_core *core;
    uint32_t flags;

    struct smf__wal_topic_info *
        *topics; /* [topic_count]; a handle's upper half is the index, plus 1 */
    uint32_t topic_count;

    /* What came of appends: one array is filled, the other one is lent until the next turn. */
    struct smf_wal_done *told, *lent;
    uint32_t told_count;
    uint32_t owed; /* appends whose event was not handed out yet; at most SMF__WAL_APPENDS_MAX */

    int retry;          /* to be told: what was refused may be tried again */
    int full;           /* likewise with the next that are told: there were too many of them */
    uint64_t follow_ns; /* when to look next at what another process has written */

    struct smf_wal_reader *readers;
    struct smf_wal_reader *readable_first, *readable_last;

    uint8_t *scratch; /* [SMF__WAL_SCRATCH_BYTES] */
    char description[2 * SMF_ERROR_TEXT_SIZE_BYTES];
};

/* Opens a log, or a share of it (that core was claimed for it, and is given back when it fails). */
int smf__wal_host_open(struct smf_core *core, const struct smf_wal_config *config,
                       struct smf__wal_shared *shared, uint32_t index, struct smf_wal **wal_out,
                       struct smf_error *error_out);

/* Refuses a core that can't have a log. */
int smf__wal_host_check_core(const struct smf_core *core, struct smf_error *error_out);

/* The way to the disk that the settings want; folder: for its probe, or NULL; threads: 0 for the default. */
int smf__wal_host_disk(const struct smf_wal_config *config, const char *folder, uint32_t threads,
                       struct smf__disk **disk_out, struct smf_error *error_out);

/* Opens what cores share, and the first one's share. */
int smf__wal_shared_open(struct smf_core *core, const struct smf_wal_config *config,
                         struct smf_wal **wal_out, struct smf_error *error_out);

/* A share that is on its core, and polled, from now on; not any more. */
void smf__wal_shared_enter(struct smf_wal *wal);
void smf__wal_shared_quit(struct smf_wal *wal);

/* Gives a core back, and closes what is shared behind the last one. Returns what that came to. */
int smf__wal_shared_leave(struct smf__wal_shared *shared, uint32_t index);

/* Takes up the topics that other cores have made. Returns 0, or as smf__wal_office_topics. */
int smf__wal_host_news(struct smf_wal *wal, int block);

/* The partition of a handle, or NULL. */
struct smf__wal_part *smf__wal_host_part(const struct smf_wal *wal, uint64_t partition);

/* Takes up the topics that are new. 0 or SMF_ENOMEM. */
int smf__wal_host_topics(struct smf_wal *wal);

/* There is something that only a turn does: the core is not to sleep before. */
static inline void smf__wal_host_worked(struct smf_wal *wal)
{
    wal->core->busy = 1;
}

/* A reader is not waited for any more. */
void smf__wal_host_forget(struct smf_wal_reader *reader);

/* Closes a reader and frees it. */
void smf__wal_host_close_reader(struct smf_wal_reader *reader);

/* Fills *error_out, with printf's arguments. Returns status. */
int smf__wal_host_error(struct smf_error *error_out, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
