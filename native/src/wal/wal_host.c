#include "wal/wal_host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/core_settings.h"
#include "disk/disk_slow.h"

#define CONFIG_NAME "smf_wal_config"
#define CONFIG_SIZE_MIN_BYTES 32u /* of SMF_ABI_VERSION 1 when it began; never changes */
#define FLAGS (SMF_WAL_READ_ONLY | SMF_WAL_CREATE | SMF_WAL_PAGE_CACHE)
#define LINGER_MAX_US 60000000u
#define DELAY_MAX_US 60000000u

int smf__wal_host_error(struct smf_error *error_out, int status, const char *format, ...)
{
    va_list arguments;

    if (error_out == NULL)
        return status;
    error_out->status = status;
    error_out->os_errno = 0;
    va_start(arguments, format);
    vsnprintf(error_out->text, sizeof error_out->text, format, arguments);
    va_end(arguments);
    return status;
}

/* --- topics --------------------------------------------------------------------------------------- */

struct smf__wal_part *smf__wal_host_part(const struct smf_wal *wal, uint64_t partition)
{
    uint64_t index = (partition >> 32) - 1; /* 0, which is no handle, becomes the greatest */
    uint32_t number = (uint32_t)partition;

    if (index >= wal->topic_count || number >= wal->topics[index]->config.partitions)
        return NULL;
    return wal->topics[index]->parts[number];
}

static uint64_t handle_of(const struct smf__wal_part *part)
{
    return ((uint64_t)part->topic->index + 1) << 32 | part->number;
}

static int is_known(const struct smf_wal *wal, const struct smf__wal_topic_info *topic)
{
    return topic->index < wal->topic_count && wal->topics[topic->index] == topic;
}

int smf__wal_host_topics(struct smf_wal *wal)
{
    struct smf__wal_topic_info **topics;
    uint32_t count = 0;

    for (struct smf__wal_topic_info *topic = wal->log->topics; topic != NULL; topic = topic->next)
        count++;
    topics = realloc(wal->topics, (count + 1) * sizeof(struct smf__wal_topic_info *));
    if (topics == NULL)
        return SMF_ENOMEM;
    wal->topics = topics;
    for (struct smf__wal_topic_info *topic = wal->log->topics; topic != NULL; topic = topic->next) {
        if (is_known(wal, topic))
            continue;
        topic->index = wal->topic_count;
        topics[wal->topic_count++] = topic;
    }
    return SMF_OK;
}

int smf__wal_host_news(struct smf_wal *wal, int block)
{
    int status = SMF_OK;

    if (smf__wal_office_has_news(wal->log))
        status = smf__wal_office_topics(wal->log, block);
    return status == SMF_OK ? smf__wal_host_topics(wal) : status;
}

/* --- what is told --------------------------------------------------------------------------------- */

static void take_outcome(void *context, const struct smf__wal_outcome *outcome)
{
    struct smf_wal *wal = context;

    if (outcome->part->topic == NULL) /* of META: nobody outside has appended that */
        return;
    smf__check(wal->told_count < wal->owed);
    wal->told[wal->told_count++] = (struct smf_wal_done){.user = outcome->user,
                                                         .partition = handle_of(outcome->part),
                                                         .first_offset = outcome->first_offset,
                                                         .status = outcome->status,
                                                         .kind = SMF_WAL_APPENDED};
}

static void take_retry(void *context)
{
    ((struct smf_wal *)context)->retry = 1;
}

static void make_readable(struct smf_wal *wal, struct smf_wal_reader *reader)
{
    if (reader->is_readable)
        return;
    reader->is_readable = 1;
    reader->next_readable = NULL;
    if (wal->readable_first == NULL)
        wal->readable_first = reader;
    else
        wal->readable_last->next_readable = reader;
    wal->readable_last = reader;
}

static void take_readable(void *context, struct smf__wal_reader *inner)
{
    struct smf_wal_reader *reader = (void *)(uintptr_t)smf__wal_reader_user(inner);

    if (reader != NULL) /* else one of the log itself, that looks for a time */
        make_readable(context, reader);
}

static struct smf_wal_reader *pop_readable(struct smf_wal *wal)
{
    struct smf_wal_reader *reader = wal->readable_first;

    wal->readable_first = reader->next_readable;
    reader->is_readable = 0;
    return reader;
}

void smf__wal_host_forget(struct smf_wal_reader *reader)
{
    struct smf_wal *wal = reader->wal;
    struct smf_wal_reader **link = &wal->readable_first, *before = NULL;

    if (!reader->is_readable)
        return;
    reader->is_readable = 0;
    for (; *link != reader; link = &before->next_readable)
        before = *link;
    *link = reader->next_readable;
    if (wal->readable_last == reader)
        wal->readable_last = before;
}

/* Hands out what has come, once in a turn: the array that the last turn has lent is free again. */
static void hand_out(struct smf_wal *wal)
{
    struct smf_turn *turn = &wal->core->turn;
    uint32_t appends = wal->told_count, count = appends;
    struct smf_wal_done *told = wal->told;
    int retry = wal->retry || (wal->full && appends > 0);

    if ((appends == 0 && !retry && wal->readable_first == NULL) ||
        turn->event_count == turn->event_capacity)
        return;
    if (retry) {
        told[count++] = (struct smf_wal_done){.kind = SMF_WAL_RETRY};
        wal->retry = wal->full = 0;
    }
    while (wal->readable_first != NULL && count < SMF__WAL_TOLD_MAX) {
        const struct smf_wal_reader *reader = pop_readable(wal);

        told[count++] = (struct smf_wal_done){
            .user = reader->user, .partition = reader->partition, .kind = SMF_WAL_READABLE};
    }
    wal->told = wal->lent;
    wal->lent = told;
    wal->told_count = 0;
    wal->owed -= appends;
    turn->events[turn->event_count++] =
        (struct smf_event){.kind = SMF_EVENT_WAL,
                           .meta = count,
                           .size_bytes = count * (uint32_t)sizeof *told,
                           .payload = (const uint8_t *)told,
                           .user = (uint64_t)(uintptr_t)wal};
    if (wal->readable_first != NULL)
        wal->core->hurry = 1;
}

/* Looks, now and then, for what another process has written, where a reader has nothing else to read.
 * Returns when to look next. */
static uint64_t follow(struct smf_wal *wal)
{
    uint64_t now_ns = smf__clock_now_ns(&wal->core->clock);

    if (wal->readers == NULL)
        return UINT64_MAX;
    if (now_ns < wal->follow_ns)
        return wal->follow_ns;
    for (struct smf_wal_reader *reader = wal->readers; reader != NULL; reader = reader->next) {
        if (reader->error.status == SMF_OK && smf__wal_reader_at_end(reader->inner) &&
            smf__wal_reader_look(reader->inner, &reader->error) != SMF_OK)
            make_readable(wal, reader); /* the next call says why */
    }
    wal->follow_ns = smf__clock_now_ns(&wal->core->clock) + SMF__WAL_FOLLOW_NS;
    return wal->follow_ns;
}

static uint64_t host_poll(void *context)
{
    struct smf_wal *wal = context;
    uint64_t next_ns = smf__wal_turn(wal->log);

    if (wal->flags & SMF_WAL_READ_ONLY) {
        uint64_t follow_ns = follow(wal);

        next_ns = follow_ns < next_ns ? follow_ns : next_ns;
    }

    if (smf__wal_office_has_news(wal->log))
        (void)smf__wal_host_news(wal, 0); /* or in a later turn */
    hand_out(wal);
    return next_ns;
}

static uint64_t host_expects(void *context)
{
    const struct smf_wal *wal = context;

    return smf__wal_expects(wal->log);
}

/* --- closing -------------------------------------------------------------------------------------- */

static int free_host(struct smf_wal *wal)
{
    int status = SMF_OK, left = SMF_OK;

    while (wal->readers != NULL)
        smf__wal_host_close_reader(wal->readers);
    if (wal->log != NULL)
        status = smf__wal_close(wal->log);
    if (wal->disk != NULL)
        wal->disk->ops->close(wal->disk);
    if (wal->shared != NULL)
        left = smf__wal_shared_leave(wal->shared, wal->index);
    free(wal->topics);
    free(wal->told);
    free(wal->lent);
    free(wal->scratch);
    free(wal);
    return status != SMF_OK ? status : left;
}

/* Nothing is polled from now on. */
static void leave_core(struct smf_wal *wal)
{
    if (wal->shared != NULL)
        smf__wal_shared_quit(wal);
    smf__core_leave_side(wal->core);
}

/* An event of this turn that the program has not come to yet points to what is about to be freed. */
static void empty_events(struct smf_wal *wal)
{
    struct smf_turn *turn = &wal->core->turn;

    for (uint32_t i = 0; i < turn->event_count; i++) {
        struct smf_event *event = &turn->events[i];

        if (event->kind == SMF_EVENT_WAL && event->user == (uint64_t)(uintptr_t)wal) {
            event->meta = event->size_bytes = 0;
            event->payload = NULL;
        }
    }
}

static void host_close(void *context)
{
    struct smf_wal *wal = context;

    leave_core(wal);
    (void)free_host(wal);
}

int smf_wal_close(struct smf_wal *wal, struct smf_error *error_out)
{
    char folder[128];
    int status;

    if (wal == NULL)
        return SMF_OK;
    if (!smf__core_is_ours(wal->core))
        return smf__error(error_out, SMF_ECLOSED, 0, SMF__FORK_ADVICE);
    snprintf(folder, sizeof folder, "%.120s", wal->log->folder);
    empty_events(wal);
    leave_core(wal);
    status = free_host(wal);
    if (status != SMF_OK)
        (void)smf__wal_host_error(
            error_out, status, "%s is closed, but not all that was appended could be written: %s",
            folder, smf_status_name(status));
    return status;
}

/* --- opening -------------------------------------------------------------------------------------- */

static int check_config(const struct smf_wal_config *config, struct smf_error *error_out)
{
    if (config->folder == NULL || config->folder[0] == '\0')
        return smf__error(error_out, SMF_EINVAL, 0, "folder: where the log is, or is to be");
    if (strlen(config->folder) >= SMF__DISK_PATH_MAX_BYTES / 2)
        return smf__error(error_out, SMF_EINVAL, 0, "folder: a path of less than 2048 bytes");
    if (config->flags & ~(uint32_t)FLAGS)
        return smf__settings_unknown(CONFIG_NAME, error_out);
    if ((config->flags & SMF_WAL_READ_ONLY) && (config->flags & SMF_WAL_CREATE))
        return smf__error(error_out, SMF_EINVAL, 0,
                          "flags: SMF_WAL_CREATE or SMF_WAL_READ_ONLY, not both");
    if (config->linger_us > LINGER_MAX_US)
        return smf__error(error_out, SMF_EINVAL, 0, "linger_us: at most 60000000, a minute");
    if (config->cores > SMF__WAL_CORES_MAX)
        return smf__error(error_out, SMF_EINVAL, 0, "cores: at most 256");
    if (config->reserved != 0)
        return smf__settings_unknown(CONFIG_NAME, error_out);
    if (config->disk > SMF_WAL_DISK_POSIX)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "disk: this build knows SMF_WAL_DISK_AUTO, _URING and _POSIX");
    if (config->flush_delay_us > DELAY_MAX_US || config->write_delay_us > DELAY_MAX_US)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "flush_delay_us, write_delay_us: at most 60000000, a minute");
    return SMF_OK;
}

/* A folder of the log's file system that can be written to, to try out what is fastest there: the log's,
 * or the one that it will be made in. NULL: none. */
static const char *probe_folder(const struct smf_wal_config *config, char *parent)
{
    char *end;

    if (config->flags & SMF_WAL_READ_ONLY)
        return NULL; /* nothing in it is changed, not for a moment */
    if (access(config->folder, F_OK) == 0)
        return config->folder;
    snprintf(parent, SMF__DISK_PATH_MAX_BYTES, "%s", config->folder);
    end = parent + strlen(parent);
    while (end > parent && end[-1] == '/')
        end--;
    while (end > parent && end[-1] != '/')
        end--;
    snprintf(end, 2, "%s", end == parent ? "." : "");
    return (config->flags & SMF_WAL_CREATE) && access(parent, F_OK) == 0 ? parent : NULL;
}

static int slow_down(struct smf__disk **disk, const struct smf_wal_config *config,
                     struct smf_error *error_out)
{
    const struct smf__disk_slow_options delays = {.flush_delay_us = config->flush_delay_us,
                                                  .write_delay_us = config->write_delay_us};

    if (delays.flush_delay_us == 0 && delays.write_delay_us == 0)
        return SMF_OK;
    return smf__disk_slow_open(disk, *disk, &delays, error_out);
}

int smf__wal_host_disk(const struct smf_wal_config *config, const char *folder, uint32_t threads,
                       struct smf__disk **disk_out, struct smf_error *error_out)
{
    static const uint32_t backends[] = {[SMF_WAL_DISK_AUTO] = SMF__DISK_AUTO,
                                        [SMF_WAL_DISK_URING] = SMF__DISK_URING,
                                        [SMF_WAL_DISK_POSIX] = SMF__DISK_POSIX};
    struct smf__disk_options options = {.backend = backends[config->disk],
                                        .folder = folder,
                                        .threads = threads,
                                        .plain = (config->flags & SMF_WAL_PAGE_CACHE) != 0};

    int status = smf__disk_open(disk_out, &options, error_out);

    return status == SMF_OK ? slow_down(disk_out, config, error_out) : status;
}

static int open_disk(struct smf_wal *wal, const struct smf_wal_config *config,
                     struct smf_error *error_out)
{
    char parent[SMF__DISK_PATH_MAX_BYTES];

    return smf__wal_host_disk(config, probe_folder(config, parent), 0, &wal->disk, error_out);
}

static int open_log(struct smf_wal *wal, const struct smf_wal_config *config,
                    struct smf_error *error_out)
{
    struct smf__wal_options options = {.folder = config->folder,
                                       .disk = wal->disk,
                                       .clock = wal->core->clock,
                                       .memory_bytes = config->memory_bytes,
                                       .linger_us = config->linger_us,
                                       .read_only = (config->flags & SMF_WAL_READ_ONLY) != 0,
                                       .create = (config->flags & SMF_WAL_CREATE) != 0,
                                       .office = wal->shared != NULL ? wal->shared->office : NULL,
                                       .core = wal->index};
    int status = smf__wal_open(&wal->log, &options, error_out);

    if (status != SMF_OK) {
        wal->log = NULL;
        return status;
    }
    wal->log->told = take_outcome;
    wal->log->readable = take_readable;
    wal->log->retry = take_retry;
    wal->log->told_context = wal;
    return SMF_OK;
}

static int open_memory(struct smf_wal *wal, struct smf_error *error_out)
{
    wal->told = calloc(SMF__WAL_TOLD_MAX, sizeof *wal->told); /* pages come when touched */
    wal->lent = calloc(SMF__WAL_TOLD_MAX, sizeof *wal->lent);
    wal->scratch = malloc(SMF__WAL_SCRATCH_BYTES);
    if (wal->told == NULL || wal->lent == NULL || wal->scratch == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a log");
    return SMF_OK;
}

static int join_core(struct smf_wal *wal, struct smf_error *error_out)
{
    struct smf__side side = {.context = wal,
                             .fd = wal->disk->ops->fd(wal->disk),
                             .poll = host_poll,
                             .expects = host_expects,
                             .close = host_close};
    int status = smf__core_furnish_side(wal->core, &side);

    if (status == SMF_OK && wal->shared != NULL)
        smf__wal_shared_enter(wal);
    if (status == SMF_OK)
        return SMF_OK;
    return smf__error(error_out, status, 0,
                      "the core can't wait for a disk; raise the limit on watches "
                      "(fs.epoll.max_user_watches)");
}

static void describe(struct smf_wal *wal)
{
    char disk[SMF_ERROR_TEXT_SIZE_BYTES];

    smf__disk_describe(wal->disk, disk, sizeof disk);
    snprintf(wal->description, sizeof wal->description, "%.200s: %s%s", wal->log->folder, disk,
             (wal->flags & SMF_WAL_READ_ONLY) ? ", read only" : "");
    if (wal->shared != NULL)
        snprintf(wal->description + strlen(wal->description),
                 sizeof wal->description - strlen(wal->description), ", on %u cores",
                 wal->shared->office->cores);
}

int smf__wal_host_check_core(const struct smf_core *core, struct smf_error *error_out)
{
    if (!smf__core_is_ours(core))
        return smf__error(error_out, SMF_ECLOSED, 0, SMF__FORK_ADVICE);
    if (core->side.poll != NULL)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "this core has a log already: close that one, or take another core");
    return SMF_OK;
}

int smf__wal_host_open(struct smf_core *core, const struct smf_wal_config *config,
                       struct smf__wal_shared *shared, uint32_t index, struct smf_wal **wal_out,
                       struct smf_error *error_out)
{
    struct smf_wal *wal = calloc(1, sizeof *wal);
    int status;

    if (wal == NULL) {
        if (shared != NULL)
            (void)smf__wal_shared_leave(shared, index);
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a log");
    }
    wal->core = core;
    wal->flags = config->flags;
    wal->shared = shared;
    wal->index = index;
    status = open_memory(wal, error_out);
    if (status == SMF_OK)
        status = open_disk(wal, config, error_out);
    if (status == SMF_OK)
        status = open_log(wal, config, error_out);
    if (status == SMF_OK && smf__wal_host_topics(wal) != SMF_OK)
        status = smf__error(error_out, SMF_ENOMEM, 0, "no memory for a log's topics");
    if (status == SMF_OK)
        status = join_core(wal, error_out);
    if (status != SMF_OK) {
        (void)free_host(wal);
        return status;
    }
    describe(wal);
    *wal_out = wal;
    return SMF_OK;
}

int smf_wal_open(struct smf_core *core, const struct smf_wal_config *given,
                 struct smf_wal **wal_out, struct smf_error *error_out)
{
    struct smf_wal_config config;
    int status;

    if (core == NULL || given == NULL || wal_out == NULL)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "smf_wal_open: the core, config or wal_out is NULL");
    status = smf__settings_read(&config, sizeof config, given, CONFIG_SIZE_MIN_BYTES, CONFIG_NAME,
                                error_out);
    if (status == SMF_OK)
        status = check_config(&config, error_out);
    if (status == SMF_OK)
        status = smf__wal_host_check_core(core, error_out);
    if (status != SMF_OK)
        return status;
    if (config.cores > 1)
        return smf__wal_shared_open(core, &config, wal_out, error_out);
    return smf__wal_host_open(core, &config, NULL, 0, wal_out, error_out);
}

const char *smf_wal_describe(const struct smf_wal *wal)
{
    return wal->description;
}
