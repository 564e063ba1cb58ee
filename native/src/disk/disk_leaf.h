/* What the implementations that end in a disk have in common: looking at operations before they start,
 * the files that are open, and the list of operations that are done. */
#ifndef SMF_DISK_DISK_LEAF_H
#define SMF_DISK_DISK_LEAF_H

#include "disk/disk.h"

/* Of the file system of the probe's folder. */
struct smf__disk_known {
    int valid;
    uint64_t device;
    uint32_t offset_align_bytes, memory_align_bytes;
};

/* A list of operations, in order. */
struct smf__disk_list {
    struct smf__disk_op *first, *last;
};

struct smf__disk_leaf {
    struct smf__disk base;
    struct smf__disk_counts counts;
    struct smf__disk_options options;
    struct smf__disk_file *files; /* all that there are */
    struct smf__disk_file *free_files;
    struct smf__disk_list ready;
    uint32_t in_flight; /* operations that were admitted and are not finished */
    uint32_t durable_by;
    struct smf__disk_known known;
    char why[160]; /* that nothing better was taken, or empty */
    char probed[128];
};

static inline void smf__disk_list_push(struct smf__disk_list *list, struct smf__disk_op *op)
{
    op->next = NULL;
    if (list->last != NULL)
        list->last->next = op;
    else
        list->first = op;
    list->last = op;
}

static inline struct smf__disk_op *smf__disk_list_pop(struct smf__disk_list *list)
{
    struct smf__disk_op *op = list->first;

    if (op != NULL) {
        list->first = op->next;
        if (list->first == NULL)
            list->last = NULL;
    }
    return op;
}

/* Returns 0 or a status. options are checked and completed. */
int smf__disk_leaf_open(struct smf__disk_leaf *leaf, const struct smf__disk_ops *ops,
                        const struct smf__disk_options *options, struct smf_error *error_out);
void smf__disk_leaf_close(struct smf__disk_leaf *leaf);

/* Closes descriptors that are still open; before leaf_close. */
void smf__disk_close_files(struct smf__disk_leaf *leaf);

/* Looks at an operation. Returns 1 when it may start; otherwise it is finished with its error. Gives an
 * OPEN its file. */
int smf__disk_admit(struct smf__disk_leaf *leaf, struct smf__disk_op *op);

/* It is done: result >= 0 bytes, or -errno. */
void smf__disk_finish(struct smf__disk_leaf *leaf, struct smf__disk_op *op, int64_t result);

/* Takes finished operations out. */
uint32_t smf__disk_take(struct smf__disk_leaf *leaf, struct smf__disk_op **ops_out,
                        uint32_t capacity);

void smf__disk_leaf_describe(const struct smf__disk *disk, char *text_out, size_t size);

/* The status for an errno. */
int smf__disk_status(int os_errno);

/* Finds out, with a file in the options' folder, the alignment of its file system and which kind of
 * durable write is cheaper. Returns 0 or a status. Nothing else is under way. */
int smf__disk_probe(struct smf__disk_leaf *leaf, struct smf_error *error_out);

/* Both return 0 or a status, with *error_out filled. */
int smf__disk_uring_open(struct smf__disk **disk_out, const struct smf__disk_options *options,
                         struct smf_error *error_out);
int smf__disk_posix_open(struct smf__disk **disk_out, const struct smf__disk_options *options,
                         const char *why, struct smf_error *error_out);

#endif
