/* A log on several cores (smf/wal.h): what they share, and how one wakes the other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_host.h"

#define OFFICE_THREADS 2u /* META is one file, and little happens to it */

/* What it is woken for, its turn finds out. */
static void take_letter(struct smf_core *core, void *context)
{
    (void)context;
    core->busy = 1;
}

static void wake(void *context)
{
    struct smf_core *core = context;

    if (smf_core_post(core, take_letter, NULL) == SMF_ELIMIT)
        smf_core_wake(core);
}

void smf__wal_shared_enter(struct smf_wal *wal)
{
    const struct smf__wal_shared *shared = wal->shared;
    struct smf_core *core = wal->core;

    /* The first one sleeps on what the office's disk tells; who can't, or is left alone, looks. */
    if (wal->index == 0 && shared->disk != NULL)
        wal->log->meta_watched =
            core->room.watch(core->room.context, shared->disk->ops->fd(shared->disk)) == SMF_OK;
    smf__wal_office_wake(shared->office, wal->index, wake, core);
}

void smf__wal_shared_quit(struct smf_wal *wal)
{
    const struct smf__wal_shared *shared = wal->shared;
    struct smf_core *core = wal->core;

    smf__wal_office_wake(shared->office, wal->index, NULL, NULL);
    if (wal->log->meta_watched)
        core->room.unwatch(core->room.context, shared->disk->ops->fd(shared->disk));
    wal->log->meta_watched = 0;
}

static int shared_close(struct smf__wal_shared *shared)
{
    int status = SMF_OK;

    if (shared->office != NULL)
        status = smf__wal_office_close(shared->office);
    if (shared->disk != NULL)
        shared->disk->ops->close(shared->disk);
    free(shared);
    return status;
}

int smf__wal_shared_leave(struct smf__wal_shared *shared, uint32_t index)
{
    if (smf__wal_office_leave(shared->office, index) > 0)
        return SMF_OK;
    return shared_close(shared);
}

static int open_share(struct smf_core *core, struct smf__wal_shared *shared,
                      struct smf_wal **wal_out, struct smf_error *error_out)
{
    int index = smf__wal_office_claim(shared->office);

    if (index < 0)
        return smf__wal_host_error(error_out, index,
                                   "all %u cores of the log are there: say more of them in the "
                                   "settings of smf_wal_open",
                                   shared->office->cores);
    return smf__wal_host_open(core, &shared->config, shared, (uint32_t)index, wal_out, error_out);
}

int smf__wal_shared_open(struct smf_core *core, const struct smf_wal_config *config,
                         struct smf_wal **wal_out, struct smf_error *error_out)
{
    struct smf__wal_shared *shared = calloc(1, sizeof *shared);
    struct smf__wal_options options = {.clock = core->clock};
    int status = SMF_OK;

    if (shared == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a log");
    snprintf(shared->folder, sizeof shared->folder, "%s", config->folder);
    shared->config = *config;
    shared->config.folder = options.folder = shared->folder;
    options.read_only = (config->flags & SMF_WAL_READ_ONLY) != 0;
    options.create = (config->flags & SMF_WAL_CREATE) != 0;
    if (!options.read_only)
        status = smf__wal_host_disk(config, NULL, OFFICE_THREADS, &shared->disk, error_out);
    options.disk = shared->disk;
    if (status == SMF_OK)
        status = smf__wal_office_open(&shared->office, &options, config->cores, error_out);
    if (status != SMF_OK) {
        (void)shared_close(shared);
        return status;
    }
    return open_share(core, shared, wal_out, error_out);
}

int smf_wal_join(struct smf_core *core, struct smf_wal *first, struct smf_wal **wal_out,
                 struct smf_error *error_out)
{
    int status;

    if (core == NULL || first == NULL || wal_out == NULL)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "smf_wal_join: the core, first or wal_out is NULL");
    if (!smf__core_is_ours(first->core))
        return smf__error(error_out, SMF_ECLOSED, 0, SMF__FORK_ADVICE);
    if (first->shared == NULL)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "the log was opened on one core: say cores in the settings of "
                          "smf_wal_open");
    status = smf__wal_host_check_core(core, error_out);
    if (status != SMF_OK)
        return status;
    return open_share(core, first->shared, wal_out, error_out);
}
