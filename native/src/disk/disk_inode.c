#include "disk/disk_inode.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR SMF__DISK_SECTOR_BYTES

static void record_free(struct smf__disk_record *record)
{
    free(record->bytes);
    free(record->alive);
    free(record);
}

void smf__disk_inode_drop(struct smf__disk_inode *inode)
{
    while (inode->first != NULL) {
        struct smf__disk_record *record = inode->first;

        inode->first = record->next;
        record_free(record);
    }
    smf__disk_image_drop(&inode->live);
    smf__disk_image_drop(&inode->durable);
    smf__disk_image_drop(&inode->before);
    free(inode->acked);
    free(inode);
}

static struct smf__disk_record *add(struct smf__disk_inode *inode, uint32_t kind, uint64_t offset,
                                    uint64_t size)
{
    struct smf__disk_record *record = smf__disk_must(calloc(1, sizeof *record));

    record->kind = kind;
    record->offset = offset;
    record->size = size;
    if (inode->last != NULL)
        inode->last->next = record;
    else
        inode->first = record;
    inode->last = record;
    return record;
}

struct smf__disk_record *smf__disk_inode_write(struct smf__disk_inode *inode, uint64_t offset,
                                               uint64_t size, const uint8_t *bytes)
{
    struct smf__disk_record *record = add(inode, SMF__DISK_RECORD_DATA, offset, size);

    record->alive = smf__disk_must(malloc(size / SECTOR));
    memset(record->alive, 1, size / SECTOR);
    if (bytes != NULL) {
        record->bytes = smf__disk_must(malloc(size));
        memcpy(record->bytes, bytes, size);
    }
    record->acknowledges = bytes != NULL;
    return record;
}

void smf__disk_inode_resize(struct smf__disk_inode *inode, uint64_t size, uint64_t ordinal)
{
    add(inode, SMF__DISK_RECORD_SIZE, 0, size)->ended = ordinal;
    inode->live_size = size;
    smf__disk_image_cut(&inode->live, size);
    if (size / SECTOR < inode->acked_sectors)
        memset(inode->acked + size / SECTOR, 0, inode->acked_sectors - size / SECTOR);
}

void smf__disk_inode_seen(struct smf__disk_inode *inode, struct smf__disk_record *record,
                          uint64_t ordinal)
{
    record->ended = ordinal;
    smf__disk_image_write(&inode->live, record->offset, record->size, record->bytes);
}

static const uint8_t *sector_of(const struct smf__disk_record *record, uint64_t sector)
{
    return record->bytes != NULL ? record->bytes + sector * SECTOR : NULL;
}

/* What is on the disk changes; what was there is remembered, to come back as a stale sector. */
static void apply_sector(struct smf__disk_inode *inode, uint64_t offset, const uint8_t *bytes)
{
    uint8_t old[SECTOR];

    smf__disk_image_read(&inode->durable, offset, SECTOR, old);
    smf__disk_image_write(&inode->before, offset, SECTOR, old);
    smf__disk_image_write(&inode->durable, offset, SECTOR, bytes);
}

void smf__disk_inode_apply(struct smf__disk_inode *inode, const struct smf__disk_record *record,
                           struct smf__random *torn)
{
    if (record->kind == SMF__DISK_RECORD_SIZE) {
        inode->durable_size = record->size;
        smf__disk_image_cut(&inode->durable, record->size);
        return;
    }
    for (uint64_t i = 0; i < record->size / SECTOR; i++) {
        int kept = torn == NULL || smf__random_below(torn, 2) != 0;

        if (record->alive[i] && kept)
            apply_sector(inode, record->offset + i * SECTOR, sector_of(record, i));
    }
}

/* What comes later in time has taken the place of this, where they meet: it must not come back. */
static void supersede(struct smf__disk_record *older, const struct smf__disk_record *newer)
{
    uint64_t from, to;

    if (older->kind != SMF__DISK_RECORD_DATA)
        return;
    if (newer->kind == SMF__DISK_RECORD_SIZE) {
        from = newer->size > older->offset ? newer->size - older->offset : 0;
        if (from < older->size)
            memset(older->alive + from / SECTOR, 0, (older->size - from) / SECTOR);
        return;
    }
    from = older->offset > newer->offset ? older->offset : newer->offset;
    to = older->offset + older->size < newer->offset + newer->size ? older->offset + older->size
                                                                   : newer->offset + newer->size;
    for (; from < to; from += SECTOR) {
        if (newer->alive[(from - newer->offset) / SECTOR])
            older->alive[(from - older->offset) / SECTOR] = 0;
    }
}

static void acknowledge(struct smf__disk_inode *inode, const struct smf__disk_record *record)
{
    uint64_t end = (record->offset + record->size) / SECTOR;

    if (!record->acknowledges)
        return;
    if (end > inode->acked_sectors) {
        inode->acked = smf__disk_must(realloc(inode->acked, end));
        memset(inode->acked + inode->acked_sectors, 0, end - inode->acked_sectors);
        inode->acked_sectors = end;
    }
    memset(inode->acked + record->offset / SECTOR, 1, record->size / SECTOR);
}

/* Takes a record out of the list; previous: in front of it, or NULL. */
static void unlink_record(struct smf__disk_inode *inode, struct smf__disk_record *record,
                          struct smf__disk_record *previous)
{
    if (previous != NULL)
        previous->next = record->next;
    else
        inode->first = record->next;
    if (inode->last == record)
        inode->last = previous;
    record_free(record);
}

/* Makes durable what ended before the ordinal; or only this one, and the sizes before it. */
static void make_durable(struct smf__disk_inode *inode, uint64_t ordinal,
                         const struct smf__disk_record *only)
{
    struct smf__disk_record *previous = NULL, *next;
    int passed = 0; /* only */

    for (struct smf__disk_record *record = inode->first; record != NULL; record = next) {
        int covered = record->ended != 0 && record->ended < ordinal && !record->abandoned;
        int chosen = only == NULL ? covered
                                  : record == only || (record->kind == SMF__DISK_RECORD_SIZE &&
                                                       covered && !passed);

        next = record->next;
        passed |= record == only;
        if (!chosen) {
            previous = record;
            continue;
        }
        for (struct smf__disk_record *older = inode->first; older != record; older = older->next)
            supersede(older, record);
        smf__disk_inode_apply(inode, record, NULL);
        if (record->kind == SMF__DISK_RECORD_DATA)
            acknowledge(inode, record);
        unlink_record(inode, record, previous);
    }
}

void smf__disk_inode_flush(struct smf__disk_inode *inode, uint64_t ordinal)
{
    make_durable(inode, ordinal, NULL);
}

void smf__disk_inode_settle(struct smf__disk_inode *inode, struct smf__disk_record *record)
{
    make_durable(inode, UINT64_MAX, record);
}

void smf__disk_inode_abandon(struct smf__disk_inode *inode, uint64_t ordinal)
{
    for (struct smf__disk_record *record = inode->first; record != NULL; record = record->next)
        record->abandoned |= record->ended != 0 && record->ended < ordinal;
}

int smf__disk_inode_acked(const struct smf__disk_inode *inode, uint64_t offset, uint64_t size)
{
    for (uint64_t i = offset / SECTOR; i < (offset + size) / SECTOR && i < inode->acked_sectors;
         i++) {
        if (inode->acked[i])
            return 1;
    }
    return 0;
}

void smf__disk_inode_recycle(struct smf__disk_inode *inode)
{
    if (inode->acked_sectors > 0)
        memset(inode->acked, 0, inode->acked_sectors);
}

static void show_some(const struct smf__disk_record *record, uint64_t offset, uint64_t size,
                      uint8_t *bytes_out, struct smf__random *random)
{
    for (uint64_t i = 0; i < record->size / SECTOR; i++) {
        uint64_t at = record->offset + i * SECTOR;
        const uint8_t *bytes = sector_of(record, i);

        if (at < offset || at + SECTOR > offset + size || smf__random_below(random, 2) == 0)
            continue;
        if (bytes != NULL)
            memcpy(bytes_out + (at - offset), bytes, SECTOR);
        else
            memset(bytes_out + (at - offset), 0, SECTOR);
    }
}

void smf__disk_inode_read(const struct smf__disk_inode *inode, uint64_t offset, uint64_t size,
                          uint8_t *bytes_out, struct smf__random *random)
{
    smf__disk_image_read(&inode->live, offset, size, bytes_out);
    for (const struct smf__disk_record *record = inode->first; record != NULL;
         record = record->next) {
        if (record->kind == SMF__DISK_RECORD_DATA && record->ended == 0)
            show_some(record, offset, size, bytes_out, random);
    }
}
