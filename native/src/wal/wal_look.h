/* Looking into a log's folder while it is opened: operations that block, with one line for what fails, and
 * files that are read from front to back. Part of wal_recover.c and its neighbours.
 *
 * Threads: the core's driver. */
#ifndef SMF_WAL_LOOK_H
#define SMF_WAL_LOOK_H

#include "wal/wal_log.h"

#define SMF__WAL_LOOK_BYTES (8u << 20)    /* of a file, in memory at a time */
#define SMF__WAL_LOOK_READS 8u            /* under way */
#define SMF__WAL_FOLDER_BYTES (64u << 10) /* of names, for the first try */

/* Runs an operation. Returns its status; *error_out, when it is not NULL, says what failed with which
 * path, and what to do. */
int smf__wal_do(struct smf__wal *wal, struct smf__disk_op *op, const char *path,
                struct smf_error *error_out);

/* The same, for those that need nothing but a path. */
int smf__wal_do_path(struct smf__wal *wal, uint32_t kind, const char *path,
                     struct smf_error *error_out);

/* Opens a file that is there: for writing, too, unless the log is read_only. */
int smf__wal_do_open(struct smf__wal *wal, const char *path, struct smf__disk_file **file_out,
                     struct smf_error *error_out);
void smf__wal_do_close(struct smf__wal *wal, struct smf__disk_file **file);

/* Writes "folder/name". Returns 0 or SMF_EINVAL when it would be too long. */
int smf__wal_join(char *path_out, const char *folder, const char *name);

/* Fills *error_out with a line of the caller's. Returns the status. */
int smf__wal_say(struct smf_error *error_out, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The names in a folder, one behind the other; free(3). */
int smf__wal_list(struct smf__wal *wal, const char *path, char **names_out, uint64_t *size_out,
                  struct smf_error *error_out);

/* Memory that every file of this disk can be read into and written from; free(3). NULL: there is none. */
void *smf__wal_aligned(const struct smf__disk_file *file, uint64_t size_bytes);

/* A file, and what of it is in memory. Zeroed, then file and size_bytes filled. */
struct smf__wal_look {
    struct smf__wal *wal;
    struct smf__disk_file *file;
    uint64_t size_bytes;
    uint8_t *bytes;
    uint64_t capacity;
    struct smf__wal_window window;
    struct smf_error error; /* of a read that failed */
};

void smf__wal_look_begin(struct smf__wal_look *look, struct smf__disk_file *file);
void smf__wal_look_end(struct smf__wal_look *look);

/* Forgets what is in memory: what is looked at next is read again. */
static inline void smf__wal_look_again(struct smf__wal_look *look)
{
    look->window.size = 0;
}

/* Makes so many bytes from a position on part of the window, or as many as the file has. */
int smf__wal_look_at(struct smf__wal_look *look, uint64_t position, uint64_t size);

/* smf__wal_scan_next, with windows as it needs them. TRUNCATED: the file ends. Negative: a read failed. */
int smf__wal_look_next(struct smf__wal_look *look, struct smf__wal_scan *scan,
                       struct smf__wal_batch *batch_out, uint64_t *position_out);

/* smf__wal_later_add to the end of the file. Returns 0, or the status of a read. */
int smf__wal_look_later(struct smf__wal_look *look, const struct smf__wal_scan *scan,
                        struct smf__wal_later *later);

/* Finds the batch that ends at a position and has this header crc, without what is before it: from the back, as
 * far as the longest batch may reach. Returns 0 with *found_out, or the status of a read. What it reads ends
 * where the batch does. Bodies are not looked at. */
int smf__wal_look_back(struct smf__wal_look *look, const struct smf__wal_file *file, uint64_t end,
                       uint32_t crc, struct smf__wal_batch *batch_out, int *found_out);

/* Is everything from a position on zero? Returns 0 with *zero_out, or the status of a read. */
int smf__wal_look_zero(struct smf__wal_look *look, uint64_t position, int *zero_out);

/* --- shared by wal_log.c, wal_topic.c, wal_meta.c, wal_meta_read.c and wal_recover.c --- */

#define SMF__WAL_META_NAME "META"
#define SMF__WAL_META_NEW_NAME "META.new"
#define SMF__WAL_LOCK_NAME "LOCK"

int smf__wal_name_is_new(const char *name); /* does it end with ".new"? */

/* A random number that is not 0. */
uint64_t smf__wal_random_id(struct smf__wal *wal);

/* A segment that nobody holds: its file is closed, its memory freed. */
void smf__wal_segment_free(struct smf__wal_segment *segment);

/* A topic with its partitions, empty and not in wal->topics. NULL: no memory. */
struct smf__wal_topic_info *smf__wal_topic_new(struct smf__wal *wal,
                                               const struct smf__wal_topic *config);
/* Takes a later configuration. Returns 0, SMF_ENOMEM, or SMF_EINVAL for fewer partitions, or another name. */
int smf__wal_topic_change(struct smf__wal *wal, struct smf__wal_topic_info *topic,
                          const struct smf__wal_topic *config);
void smf__wal_topic_free(struct smf__wal_topic_info *topic);
struct smf__wal_topic_info *smf__wal_topic_by_id(const struct smf__wal *wal, uint64_t topic_id);
void smf__wal_topic_append(struct smf__wal *wal, struct smf__wal_topic_info *topic);

/* Notes in wal->topics what items say that smf__wal_meta_write has taken. */
void smf__wal_meta_take(struct smf__wal *wal, const uint8_t *items, uint32_t size_bytes);

/* The bytes of all items that count. */
uint32_t smf__wal_meta_live(struct smf__wal *wal);

#endif
