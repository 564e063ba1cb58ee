#include "disk/disk.h"

#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "disk/disk_leaf.h"

int smf__disk_open(struct smf__disk **disk_out, const struct smf__disk_options *options,
                   struct smf_error *error_out)
{
    struct smf_error why = {0};
    int status;

    if (options->backend == SMF__DISK_POSIX)
        return smf__disk_posix_open(disk_out, options, "", error_out);
    status = smf__disk_uring_open(disk_out, options, &why);
    if (status == SMF_EUNSUPPORTED && options->backend == SMF__DISK_AUTO)
        return smf__disk_posix_open(disk_out, options, why.text, error_out);
    if (status != SMF_OK && error_out != NULL)
        *error_out = why;
    return status;
}

int smf__disk_run(struct smf__disk *disk, struct smf__disk_op *op)
{
    struct smf__disk_op *done;

    disk->ops->queue(disk, op);
    disk->ops->submit(disk);
    while (disk->ops->poll(disk, &done, 1) == 0)
        disk->ops->wait(disk, -1);
    smf__check(done == op); /* nothing else was under way */
    return op->status;
}

static const char *const kind_names[SMF__DISK_KINDS] = {
    [SMF__DISK_OPEN] = "open",
    [SMF__DISK_CLOSE] = "close",
    [SMF__DISK_READ] = "read",
    [SMF__DISK_WRITE] = "write",
    [SMF__DISK_FLUSH] = "flush",
    [SMF__DISK_ZERO] = "make room in",
    [SMF__DISK_TRUNCATE] = "shorten",
    [SMF__DISK_RECYCLE] = "recycle",
    [SMF__DISK_STAT] = "look at",
    [SMF__DISK_LIST] = "list",
    [SMF__DISK_RENAME] = "rename",
    [SMF__DISK_UNLINK] = "remove",
    [SMF__DISK_MAKE_FOLDER] = "make the folder",
    [SMF__DISK_DROP_FOLDER] = "remove the folder",
    [SMF__DISK_SYNC_FOLDER] = "flush the folder",
};

const char *smf__disk_kind_name(uint32_t kind)
{
    return kind < SMF__DISK_KINDS && kind_names[kind] != NULL ? kind_names[kind] : "?";
}

static const char *advice(const struct smf__disk_op *op)
{
    switch (op->status) {
    case SMF_ENOSPACE:
        return "; free some space on this file system";
    case SMF_EQUOTA:
        return "; free some space, or have the quota raised";
    case SMF_EREADONLY:
        return "; mount the file system for writing, or open for reading only";
    case SMF_EPERMISSION:
        return "; give this user the rights to the folder and its files";
    case SMF_EIO:
        return "; look into the kernel's log, the device may be failing";
    case SMF_ELOCKED:
        return "; stop the other process, or open for reading only";
    case SMF_ELIMIT:
        return op->kind == SMF__DISK_OPEN ? "; raise the limit on open files (ulimit -n)" : "";
    default:
        return "";
    }
}

int smf__disk_explain(const struct smf__disk_op *op, const char *path, struct smf_error *error_out)
{
    const char *name = path != NULL ? path : op->path != NULL ? op->path : "a file";
    const char *what = op->status == SMF_ELOCKED ? "it is in use"
                       : op->os_errno != 0       ? strerror(op->os_errno)
                                                 : smf_status_name(op->status);

    if (error_out == NULL)
        return op->status;
    error_out->status = op->status;
    error_out->os_errno = op->os_errno;
    snprintf(error_out->text, sizeof error_out->text, "cannot %s %.120s: %s%s",
             smf__disk_kind_name(op->kind), name, what, advice(op));
    return op->status;
}
