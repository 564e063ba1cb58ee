/* Where the log of a partition ends: logs written by hand into a simulated disk, and opened. */
#include "test_wal_written.h"

#include <errno.h>

/* What a partition looks like after it was opened. */
static void check_end(struct rig *rig, const struct smf__wal_mark *end, int status)
{
    struct smf__wal_part *part = orders(rig);
    if (part->status != status)
        test_fail(__FILE__, __LINE__, "status %s: %s", smf_status_name(part->status),
                  part->status_text);
    CHECK_EQ(part->durable.place, end->place);
    CHECK_EQ(part->buffered.place, end->place);
    CHECK_EQ(part->durable.offset, end->offset);
    CHECK_EQ(part->next_offset, end->offset);
    CHECK_EQ(part->prev_crc, end->crc);
    CHECK(part->last != NULL);
    CHECK_EQ(part->last->header.number, smf__wal_place_number(end->place));
    CHECK_EQ(part->last->end, smf__wal_place_position(end->place));
    CHECK_EQ(part->last->end_offset, end->offset);
    CHECK_EQ(part->damage.place, status == SMF_EIO ? part->damage.place : 0);
}

static void check_damage(struct rig *rig, const struct smf__wal_mark *end)
{
    check_end(rig, end, SMF_EIO);
    struct smf__wal_part *part = orders(rig);
    CHECK_EQ(part->damage.place, end->place);
    CHECK_EQ(part->damage.offset, end->offset);
    CHECK(strstr(part->status_text, "smf log verify") != NULL);
    CHECK(strstr(part->status_text, "orders/0/00000") != NULL);
}

/* A first segment: state, 3 records, 4 records, 5 records. Marks behind each. */
struct first {
    struct draft draft;
    struct smf__wal_mark ends[4];
};

static void first_begin(struct first *first, uint64_t topic_id, uint64_t last_durable_before)
{
    draft_begin(&first->draft, topic_id, 1, NULL);
    for (uint32_t i = 0; i < 4; i++) {
        draft_add(&first->draft, i > 0 ? i + 2 : 0, i == 3 ? last_durable_before : 0);
        first->ends[i] = first->draft.end;
    }
}

static void whole_log_is_read_to_its_end(void)
{
    struct rig rig;
    struct first first;
    first_begin(&first, rig_with_orders(&rig), 0);
    draft_put(&rig, &first.draft);
    rig_open(&rig);
    check_end(&rig, &first.ends[3], SMF_OK);
    struct smf__wal_part *part = orders(&rig);
    CHECK_EQ(part->cut_bytes, 0);
    CHECK_EQ(part->last->waypoint_count, 1);
    CHECK_EQ(part->last->max_us, 1000);
    CHECK_EQ(part->last->known_from, BLOCK);
    CHECK(part->last->sealed); /* nobody said that it was closed */
    CHECK_EQ(part->next_number, 2);
    rig_close(&rig);
    rig_end(&rig);
}

static void a_file_that_begins_behind_its_follower_is_damage(void)
{
    struct rig rig;
    static struct draft first, second;
    uint64_t topic_id = rig_with_orders(&rig);
    struct smf__wal_mark nowhere = {.offset = 32};
    draft_begin(&first, topic_id, 1, &nowhere);
    draft_add(&first, 0, 0);
    draft_add(&first, 3, 0);
    struct smf__wal_mark end = first.end;
    end.offset = 6;
    draft_begin(&second, topic_id, 2, &end);
    draft_add(&second, 0, 0);
    draft_put(&rig, &first);
    draft_put(&rig, &second);
    rig_open(&rig);
    CHECK_EQ(orders(&rig)->status, SMF_EIO);
    CHECK(strstr(orders(&rig)->status_text, "out of range") != NULL);
    CHECK_EQ(orders(&rig)->damage.offset, 6);
    rig_close(&rig);
    rig_end(&rig);
}

static void behind_the_highest_number_nothing_is_appended(void)
{
    struct rig rig;
    static struct draft draft;
    draft_begin(&draft, rig_with_orders(&rig), UINT32_MAX, NULL);
    draft_add(&draft, 0, 0);
    draft_add(&draft, 3, 0);
    draft_put(&rig, &draft);
    CHECK_EQ(rig_open_as(&rig, 1), SMF_OK);
    check_end(&rig, &draft.end, SMF_OK);
    rig_close(&rig);
    rig_open(&rig);
    check_end(&rig, &draft.end, SMF_EUNSUPPORTED);
    CHECK(strstr(orders(&rig)->status_text, "highest number") != NULL);
    CHECK_EQ(smf__wal_close(rig.wal), SMF_EUNSUPPORTED);
    rig_end(&rig);
}

static void a_batch_torn_at_any_byte_is_cut(void)
{
    struct rig rig;
    struct first first;
    first_begin(&first, rig_with_orders(&rig), 0);
    char path[128];
    uint64_t from = first.draft.position;
    uint64_t size = smf__wal_place_position(first.ends[3].place) - from;
    draft_path(&first.draft, path);
    for (uint64_t kept = 0; kept <= size; kept++) {
        struct draft torn = first.draft;
        memset(torn.bytes + from + kept, 0xee, size - kept);
        CHECK(kept == 0 || run_path(&rig, SMF__DISK_UNLINK, path) == SMF_OK);
        draft_put(&rig, &torn);
        rig_open(&rig);
        check_end(&rig, &first.ends[kept == size ? 3 : 2], SMF_OK);
        int header_is_whole = kept >= SMF__WAL_BATCH_HEADER_BYTES && kept < size;
        CHECK_EQ(orders(&rig)->cut_bytes,
                 header_is_whole
                     ? smf__round_up(smf__wal_place_position(first.ends[2].place), BLOCK) + size -
                           smf__wal_place_position(first.ends[2].place)
                     : 0);
        rig_close(&rig);
        put_checkpoint(&rig, &first.ends[0], 0); /* the close has left one that is further */
    }
    rig_end(&rig);
}

/* The second batch of records is missing; the third is there. */
static void open_with_hole(struct rig *rig, struct first *first, uint64_t durable_before)
{
    first_begin(first, rig_with_orders(rig), durable_before);
    uint64_t hole = smf__round_up(smf__wal_place_position(first->ends[1].place), BLOCK);
    memset(first->draft.bytes + hole, 0, BLOCK);
    draft_put(rig, &first->draft);
}

static void a_hole_that_nobody_vouched_for_is_cut(void)
{
    struct rig rig;
    struct first first;
    struct smf__wal_mark before;
    open_with_hole(&rig, &first, 0);
    before = first.ends[1];
    rig_open(&rig);
    check_end(&rig, &before, SMF_OK);
    CHECK_EQ(orders(&rig)->cut_bytes, first.ends[3].place - before.place);
    rig_close(&rig);
    rig_end(&rig);
}

static void durable_before_at_the_hole_is_no_damage(void)
{
    struct rig rig;
    struct first first;
    uint64_t topic_id = rig_with_orders(&rig);
    first_begin(&first, topic_id, 0);
    struct smf__wal_mark before = first.ends[1];
    first_begin(&first, topic_id, before.place);
    memset(first.draft.bytes + smf__round_up(smf__wal_place_position(before.place), BLOCK), 0,
           BLOCK);
    draft_put(&rig, &first.draft);
    rig_open(&rig);
    check_end(&rig, &before, SMF_OK);
    rig_close(&rig);
    rig_end(&rig);
}

static void opening_and_closing_again_changes_nothing(void)
{
    struct rig rig;
    struct first first;
    first_begin(&first, rig_with_orders(&rig), 0);
    draft_put(&rig, &first.draft);
    rig_open(&rig);
    rig_close(&rig); /* leaves a checkpoint */
    rig_open(&rig);
    CHECK_EQ(orders(&rig)->checkpoint.end, first.ends[3].place);
    CHECK(!orders(&rig)->checkpoint.clean); /* an append must begin another file, then as well */
    CHECK_EQ(orders(&rig)->last->waypoint_count, 0);
    CHECK(orders(&rig)->last->sealed);
    uint64_t end = rig.wal->meta.last->end;
    rig_close(&rig);
    rig_open(&rig);
    CHECK_EQ(rig.wal->meta.last->end, end);
    rig_close(&rig);
    rig_end(&rig);
}

static void what_was_found_stays_after_a_power_cut(void)
{
    static const uint8_t nothing_kept[64];
    struct rig rig;
    struct first first;
    struct smf__disk_cut cut = {.kept = nothing_kept};
    char path[128];
    first_begin(&first, rig_with_orders(&rig), 0);
    put_file(&rig, "/log/orders/0/a.new", first.draft.bytes, FILE_BYTES);
    draft_path(&first.draft, path);
    struct smf__disk_op op = {
        .kind = SMF__DISK_RENAME, .path = "/log/orders/0/a.new", .path_to = path};
    CHECK_EQ(smf__disk_run(rig.disk, &op), SMF_OK); /* its folder was not flushed: kill -9 */
    rig_open(&rig);
    check_end(&rig, &first.ends[3], SMF_OK);
    rig_close(&rig);
    CHECK_LE(smf__disk_world_unflushed(rig.world), 64);
    struct smf__disk_world *after = smf__disk_world_cut(rig.world, &cut);
    rig_end(&rig);
    rig_start(&rig, after);
    rig_open(&rig);
    check_end(&rig, &first.ends[3], SMF_OK);
    rig_close(&rig);
    rig_end(&rig);
}

static void a_hole_that_was_durable_is_damage(void)
{
    struct rig rig;
    struct first first;
    uint64_t topic_id = rig_with_orders(&rig);
    first_begin(&first, topic_id, 0);
    first_begin(&first, topic_id, first.ends[2].place);
    memset(first.draft.bytes + smf__round_up(smf__wal_place_position(first.ends[1].place), BLOCK),
           0, BLOCK);
    draft_put(&rig, &first.draft);
    for (int read_only = 0; read_only < 2; read_only++) {
        CHECK_EQ(rig_open_as(&rig, read_only), SMF_OK);
        check_damage(&rig, &first.ends[1]);
        CHECK_EQ(orders(&rig)->cut_bytes, 0);
        rig_close(&rig);
    }
    rig_end(&rig);
}

static void a_checkpoint_behind_the_end_is_damage(void)
{
    struct rig rig;
    struct first first;
    struct smf__wal_mark claimed;
    uint64_t topic_id = rig_with_orders(&rig);
    first_begin(&first, topic_id, 0);
    claimed = first.ends[3];
    put_checkpoint(&rig, &claimed, 0);
    char path[128];
    draft_path(&first.draft, path);
    /* The file has lost its tail: the checkpoint is not in it any more. */
    put_file(&rig, path, first.draft.bytes, first.draft.position);
    rig_open(&rig);
    check_damage(&rig, &first.ends[2]);
    rig_close(&rig);
    rig_end(&rig);
}

/* Reads what is there, then the error. */
static void check_reads(struct rig *rig, uint64_t end)
{
    struct smf__wal_reader *reader;
    struct smf__wal_run run;
    struct smf_error error = {0};
    uint64_t at = 0;
    int status;
    CHECK_EQ(smf__wal_reader_open(orders(rig), 0, SMF__WAL_DURABLE, 0, 1, &reader, &error), SMF_OK);
    while ((status = smf__wal_reader_next(reader, &run, &error)) >= 0) {
        if (status == 1)
            at = run.end_offset;
        else
            smf__wal_wait(rig->wal);
    }
    CHECK_EQ(status, SMF_EIO);
    CHECK(error.text[0] != 0);
    CHECK_EQ(at, end);
    smf__wal_reader_close(reader);
}

/* META is whole, and says what a program with a fault has written: the files hold something else. */
static void a_checkpoint_that_the_files_contradict_is_damage(void)
{
    for (uint32_t lie = 0; lie < 12; lie++) {
        struct rig rig;
        struct first first;
        first_begin(&first, rig_with_orders(&rig), 0);
        struct smf__wal_mark mark = first.ends[lie % 2 == 0 ? 3 : 2];
        uint32_t kind = lie / 4;
        if (kind == 0) { /* more than there is, in a file that has the room */
            mark.place += 4 * BLOCK;
            mark.offset += 7;
        } else if (kind == 1) { /* another batch */
            mark.crc ^= 1;
        } else { /* other records */
            mark.offset += 1;
        }
        put_checkpoint(&rig, &mark, lie % 4 >= 2);
        draft_put(&rig, &first.draft);
        CHECK_EQ(rig_open_as(&rig, 1), SMF_OK);
        check_damage(&rig, &first.ends[3]);
        check_reads(&rig, 12);
        rig_close(&rig);
        rig_open(&rig);
        check_damage(&rig, &first.ends[3]);
        check_reads(&rig, 12);
        rig_close(&rig);
        rig_end(&rig);
    }
}

static void a_scan_begins_at_the_checkpoint(void)
{
    struct rig rig;
    struct first first;
    first_begin(&first, rig_with_orders(&rig), 0);
    put_checkpoint(&rig, &first.ends[2], 0);
    draft_put(&rig, &first.draft);
    rig_open(&rig);
    check_end(&rig, &first.ends[3], SMF_OK);
    CHECK_EQ(orders(&rig)->last->waypoint_count, 1);
    CHECK_EQ(orders(&rig)->last->known_from, smf__wal_place_position(first.ends[2].place));
    CHECK(orders(&rig)->last->sealed);
    rig_close(&rig);
    rig_end(&rig);
}

static void a_clean_end_is_believed_and_gone_on_from(void)
{
    struct rig rig;
    struct first first;
    first_begin(&first, rig_with_orders(&rig), 0);
    put_checkpoint(&rig, &first.ends[3], 1);
    draft_put(&rig, &first.draft);
    for (int i = 0; i < 2; i++) { /* closing without an append keeps it */
        rig_open(&rig);
        check_end(&rig, &first.ends[3], SMF_OK);
        struct smf__wal_part *part = orders(&rig);
        CHECK_EQ(part->last->waypoint_count, 0);
        CHECK(!part->last->sealed);
        CHECK(part->last->file == NULL); /* until there is something to do in it */
        CHECK(part->clean);
        rig_close(&rig);
    }
    CHECK_EQ(rig_open_as(&rig, 1), SMF_OK);
    check_end(&rig, &first.ends[3], SMF_OK);
    CHECK(orders(&rig)->last->file == NULL);
    rig_close(&rig);
    rig_open(&rig);
    CHECK_EQ(smf__wal_meta_checkpoint(orders(&rig), 0, 1),
             SMF_OK); /* revoked, then the power fails */
    CHECK(!orders(&rig)->clean);
    orders(&rig)->status = SMF_EIO;
    CHECK_EQ(smf__wal_close(rig.wal), SMF_EIO);
    rig_open(&rig);
    CHECK(!orders(&rig)->clean);
    CHECK(orders(&rig)->last->sealed);
    rig_close(&rig);
    rig_end(&rig);
}

/* Opened by whoever comes first: a reader, or the append. */
static void a_clean_file_is_gone_on_in(void)
{
    for (int reads = 0; reads < 2; reads++) {
        struct rig rig;
        rig_with_orders(&rig);
        for (uint32_t round = 0; round < 4; round++) {
            _Alignas(8) uint8_t body[64];
            struct smf__wal_record record = {.time_us = 1};
            struct smf__wal_append append = {.body = body, .count = 1, .base_us = 1, .max_us = 1};
            struct smf__wal_run run = {0};
            struct smf__wal_reader *reader;
            uint64_t offset;
            int status;
            smf__wal_record_write(&record, 1, body);
            append.body_bytes = smf__wal_record_bytes(&record, 1);
            append.kind = SMF__WAL_RECORDS;
            rig_open(&rig);
            if (reads && round > 0) {
                CHECK_EQ(smf__wal_reader_open(orders(&rig), 0, SMF__WAL_DURABLE, 0, 1, &reader,
                                              &rig.error),
                         SMF_OK);
                while ((status = smf__wal_reader_next(reader, &run, &rig.error)) == 0)
                    smf__wal_wait(rig.wal);
                CHECK_EQ(status, 1);
                smf__wal_reader_close(reader);
            }
            while ((status = smf__wal_append(orders(&rig), &append, &offset)) == SMF_ENOMEM)
                smf__wal_wait(rig.wal);
            CHECK_EQ(status, SMF_OK);
            CHECK_EQ(offset, round);
            CHECK_EQ(orders(&rig)->last->header.number, 1);
            rig_close(&rig);
        }
        rig_end(&rig);
    }
}

/* --- several files --- */

static void a_chain_is_followed_and_what_is_between_goes(void)
{
    struct rig rig;
    struct first first;
    static struct draft second, third;
    uint64_t topic_id = rig_with_orders(&rig);
    first_begin(&first, topic_id, 0);
    draft_begin(&second, topic_id, 2, &first.ends[3]);
    draft_add(&second, 0, 0);
    draft_begin(&third, topic_id, 3, &first.ends[2]); /* cuts what the second one followed */
    draft_add(&third, 0, first.ends[2].place);
    draft_add(&third, 2, 0);
    draft_put(&rig, &first.draft);
    draft_put(&rig, &second);
    draft_put(&rig, &third);
    put_file(&rig, "/log/orders/0/0000000009.new", first.draft.bytes, BLOCK);
    put_file(&rig, "/log/orders/0/notes", first.draft.bytes, BLOCK);
    CHECK_EQ(rig_open_as(&rig, 1), SMF_OK);
    check_end(&rig, &third.end, SMF_OK);
    rig_close(&rig);
    CHECK(draft_is_there(&rig, &second)); /* nothing is touched for reading */
    CHECK(is_there(&rig, "/log/orders/0/0000000009.new"));
    rig_open(&rig);
    check_end(&rig, &third.end, SMF_OK);
    struct smf__wal_part *part = orders(&rig);
    CHECK_EQ(part->first->header.number, 1);
    CHECK(part->first->next == part->last && part->last->previous == part->first);
    CHECK_EQ(part->first->end, smf__wal_place_position(first.ends[2].place));
    CHECK_EQ(part->first->end_offset, 7);
    CHECK_EQ(part->next_number, 4);
    rig_close(&rig);
    CHECK(!draft_is_there(&rig, &second));
    CHECK(draft_is_there(&rig, &first.draft));
    CHECK(!is_there(&rig, "/log/orders/0/0000000009.new"));
    CHECK(is_there(&rig, "/log/orders/0/notes"));
    rig_end(&rig);
}

static void files_that_are_known_to_be_whole_are_not_scanned(void)
{
    struct rig rig;
    struct first first;
    static struct draft second;
    uint64_t topic_id = rig_with_orders(&rig);
    first_begin(&first, topic_id, 0);
    draft_begin(&second, topic_id, 2, &first.ends[3]);
    second.file.durable_before = first.ends[3].place;
    CHECK_EQ(smf__wal_file_encode(&second.file, second.bytes), SMF__WAL_GOOD);
    draft_add(&second, 0, 0);
    draft_put(&rig, &first.draft);
    draft_put(&rig, &second);
    rig_open(&rig);
    check_end(&rig, &second.end, SMF_OK);
    CHECK_EQ(orders(&rig)->first->waypoint_count, 0);
    CHECK_EQ(orders(&rig)->first->scan.end, BLOCK);
    CHECK_EQ(orders(&rig)->first->end_offset, 12);
    CHECK_EQ(orders(&rig)->last->waypoint_count, 1);
    rig_close(&rig);
    rig_end(&rig);
}

/* The last batch of the first file is missing, and the second file follows it. */
static void two_files(struct rig *rig, struct first *first, struct draft *second, int vouched)
{
    uint64_t topic_id = rig_with_orders(rig);
    first_begin(first, topic_id, 0);
    draft_begin(second, topic_id, 2, &first->ends[3]);
    draft_add(second, 0, 0);
    draft_add(second, 6, vouched ? first->ends[3].place : first->ends[2].place);
    memset(first->draft.bytes + first->draft.position, 0, BLOCK);
    draft_put(rig, &first->draft);
    draft_put(rig, second);
}

static void a_torn_file_leaves_the_next_one_behind(void)
{
    struct rig rig;
    struct first first;
    static struct draft second, third;
    two_files(&rig, &first, &second, 0);
    for (int i = 0; i < 2; i++) {
        rig_open(&rig);
        check_end(&rig, &first.ends[2], SMF_OK);
        CHECK_EQ(orders(&rig)->next_number, 3);
        CHECK(orders(&rig)->cut_bytes > 0);
        CHECK(orders(&rig)->last->sealed);
        rig_close(&rig);
        CHECK(draft_is_there(&rig, &second)); /* so that no number is used twice */
    }
    draft_begin(&third, first.draft.file.topic_id, 3, &first.ends[2]);
    draft_add(&third, 0, first.ends[2].place);
    draft_put(&rig, &third);
    rig_open(&rig);
    check_end(&rig, &third.end, SMF_OK);
    rig_close(&rig);
    CHECK(!draft_is_there(&rig, &second));
    rig_end(&rig);
}

static void a_later_file_that_vouches_makes_it_damage(void)
{
    struct rig rig;
    struct first first;
    static struct draft second;
    two_files(&rig, &first, &second, 1);
    rig_open(&rig);
    check_damage(&rig, &first.ends[2]);
    CHECK_EQ(smf__wal_close(rig.wal), SMF_OK);
    CHECK(draft_is_there(&rig, &second));
    rig_end(&rig);
}

static void a_next_file_that_follows_another_batch_is_damage(void)
{
    struct rig rig;
    struct first first;
    static struct draft second;
    uint64_t topic_id = rig_with_orders(&rig);
    first_begin(&first, topic_id, 0);
    struct smf__wal_mark other = first.ends[3];
    other.crc ^= 1;
    draft_begin(&second, topic_id, 2, &other);
    draft_add(&second, 0, 0);
    draft_put(&rig, &first.draft);
    draft_put(&rig, &second);
    rig_open(&rig);
    check_damage(&rig, &first.ends[3]);
    rig_close(&rig);
    rig_end(&rig);
}

static void a_file_that_is_missing_is_damage_unless_the_head_is_behind(void)
{
    struct rig rig;
    struct first first;
    static struct draft second, third;
    uint64_t topic_id = rig_with_orders(&rig);
    first_begin(&first, topic_id, 0);
    draft_begin(&second, topic_id, 2, &first.ends[3]);
    draft_add(&second, 6, 0);
    draft_begin(&third, topic_id, 3, &second.end);
    draft_add(&third, 0, 0);
    draft_put(&rig, &first.draft);
    draft_put(&rig, &third);
    rig_open(&rig);
    check_end(&rig, &first.ends[3], SMF_EIO);
    CHECK_EQ(smf__wal_place_number(orders(&rig)->damage.place), 2);
    CHECK(strstr(orders(&rig)->status_text, "not there") != NULL);
    rig_close(&rig);
    put_head(&rig, 18);
    rig_open(&rig);
    check_end(&rig, &third.end, SMF_OK);
    CHECK_EQ(orders(&rig)->head, 18);
    CHECK(orders(&rig)->first == orders(&rig)->last);
    rig_close(&rig);
    CHECK(!draft_is_there(&rig, &first.draft)); /* it was dropped, and came back */
    rig_end(&rig);
}

static void a_partition_without_its_files_is_damage(void)
{
    struct rig rig;
    struct smf__wal_mark mark = {.place = smf__wal_place(4, 1024), .offset = 3, .crc = 5};
    (void)rig_with_orders(&rig);
    rig_open(&rig);
    CHECK_EQ(orders(&rig)->status, SMF_OK);
    rig_close(&rig);
    put_checkpoint(&rig, &mark, 1);
    rig_open(&rig);
    CHECK_EQ(orders(&rig)->status, SMF_EIO);
    CHECK(orders(&rig)->last == NULL);
    CHECK_EQ(orders(&rig)->next_number, 5);
    rig_close(&rig);
    rig_end(&rig);
}

static void a_head_may_be_ahead_of_the_end(void)
{
    struct rig rig;
    struct first first;
    first_begin(&first, rig_with_orders(&rig), 0);
    put_head(&rig, 20);
    draft_put(&rig, &first.draft);
    rig_open(&rig);
    CHECK_EQ(orders(&rig)->next_offset, 20);
    CHECK_EQ(orders(&rig)->durable.offset, 20);
    CHECK_EQ(orders(&rig)->last->end_offset, 12);
    CHECK(orders(&rig)->last->sealed);
    rig_close(&rig);
    rig_end(&rig);
}

/* --- block 0 --- */

/* What makes a first block bad, and what the partition says then. */
static void check_bad_block(void (*spoil)(struct draft *draft), int status, const char *says)
{
    struct rig rig;
    struct first first;
    static struct draft second;
    uint64_t topic_id = rig_with_orders(&rig);
    first_begin(&first, topic_id, 0);
    draft_begin(&second, topic_id, 2, &first.ends[3]);
    draft_add(&second, 0, 0);
    spoil(&second);
    draft_put(&rig, &first.draft);
    draft_put(&rig, &second);
    rig_open(&rig);
    struct smf__wal_part *part = orders(&rig);
    CHECK_EQ(part->status, status);
    if (strstr(part->status_text, says) == NULL)
        test_fail(__FILE__, __LINE__, "no \"%s\" in: %s", says, part->status_text);
    CHECK_EQ(part->last->header.number, 1); /* what is before it can be read */
    CHECK_EQ(part->durable.offset, 12);
    CHECK_EQ(smf__wal_place_number(part->damage.place), 2);
    rig_close(&rig);
    CHECK(draft_is_there(&rig, &second));
    rig_end(&rig);
}

static void flip(struct draft *draft)
{
    draft->bytes[100] ^= 1;
}

static void wipe(struct draft *draft)
{
    memset(draft->bytes, 0, BLOCK);
}

static void age(struct draft *draft)
{
    draft->bytes[8] = 2; /* version; then its checksum, which is of everything but itself */
    uint32_t crc = smf__crc32c(0, draft->bytes, 12);
    smf__put_u32(draft->bytes + 12, smf__crc32c(crc, draft->bytes + 16, 512 - 16));
}

static void mix_up(struct draft *draft)
{
    struct smf__wal_file file = draft->file;
    file.partition = 1;
    CHECK_EQ(smf__wal_file_encode(&file, draft->bytes), SMF__WAL_GOOD);
}

static void a_first_block_that_does_not_verify_is_damage(void)
{
    check_bad_block(flip, SMF_EIO, "damaged header");
    check_bad_block(wipe, SMF_EIO, "not ours");
    check_bad_block(mix_up, SMF_EIO, "misplaced");
}

static void a_first_block_from_the_future_is_unsupported(void)
{
    check_bad_block(age, SMF_EUNSUPPORTED,
                    "is in version 2 of the log's format, this program reads "
                    "versions up to 1");
}

/* --- when recovery itself is cut off --- */

static void opening_may_be_cut_off_anywhere(void)
{
    struct rig rig;
    struct first first;
    static struct draft second;
    two_files(&rig, &first, &second, 0);
    struct smf__disk_world *whole = rig.world;
    struct smf__disk_cut nothing_lost = {.seed = 1};
    rig.disk->ops->close(rig.disk);
    for (uint64_t step = 1;; step++) {
        struct smf__disk_world *world = smf__disk_world_cut(whole, &nothing_lost);
        struct smf__disk_cut cut = {.seed = test_seed() + step, .torn = 1};
        rig_start(&rig, world);
        smf__disk_world_halt_at(world, smf__disk_world_steps(world) + step);
        int status = rig_open_as(&rig, 0);
        if (status == SMF_OK)
            (void)smf__wal_close(rig.wal);
        int halted = smf__disk_world_halted(world);
        struct smf__disk_world *after = smf__disk_world_cut(world, &cut);
        rig_end(&rig);
        rig_start(&rig, after);
        rig_open(&rig);
        check_end(&rig, &first.ends[2], SMF_OK);
        rig_close(&rig);
        rig_end(&rig);
        if (!halted)
            break;
        CHECK_LT(step, 1000);
    }
    smf__disk_world_close(whole);
}

static void a_disk_that_cannot_read_is_damage(void)
{
    struct rig rig;
    struct first first;
    first_begin(&first, rig_with_orders(&rig), 0);
    draft_put(&rig, &first.draft);
    rig_open(&rig);
    rig_close(&rig);
    smf__disk_world_fail(rig.world, SMF__DISK_READ, 3, 100, EIO); /* behind META's, and block 0's */
    rig_open(&rig);
    CHECK_EQ(orders(&rig)->status, SMF_EIO);
    CHECK(strstr(orders(&rig)->status_text, "the disk can't read it") != NULL);
    smf__disk_world_heal(rig.world);
    rig_close(&rig);
    rig_open(&rig);
    check_end(&rig, &first.ends[3], SMF_OK);
    rig_close(&rig);
    smf__disk_world_fail(rig.world, SMF__DISK_FLUSH, 2, 1, EIO); /* META's first */
    rig_open(&rig);
    check_end(&rig, &first.ends[3], SMF_EIO);
    CHECK(strstr(orders(&rig)->status_text, "durable") != NULL);
    CHECK_EQ(smf__wal_close(rig.wal), SMF_EIO);
    rig_end(&rig);
}

static const struct test tests[] = {
    TEST(whole_log_is_read_to_its_end),
    TEST(a_file_that_begins_behind_its_follower_is_damage),
    TEST(behind_the_highest_number_nothing_is_appended),
    TEST(a_batch_torn_at_any_byte_is_cut),
    TEST(a_hole_that_nobody_vouched_for_is_cut),
    TEST(durable_before_at_the_hole_is_no_damage),
    TEST(opening_and_closing_again_changes_nothing),
    TEST(what_was_found_stays_after_a_power_cut),
    TEST(a_hole_that_was_durable_is_damage),
    TEST(a_checkpoint_behind_the_end_is_damage),
    TEST(a_checkpoint_that_the_files_contradict_is_damage),
    TEST(a_scan_begins_at_the_checkpoint),
    TEST(a_clean_end_is_believed_and_gone_on_from),
    TEST(a_clean_file_is_gone_on_in),
    TEST(a_chain_is_followed_and_what_is_between_goes),
    TEST(files_that_are_known_to_be_whole_are_not_scanned),
    TEST(a_torn_file_leaves_the_next_one_behind),
    TEST(a_later_file_that_vouches_makes_it_damage),
    TEST(a_next_file_that_follows_another_batch_is_damage),
    TEST(a_file_that_is_missing_is_damage_unless_the_head_is_behind),
    TEST(a_partition_without_its_files_is_damage),
    TEST(a_head_may_be_ahead_of_the_end),
    TEST(a_first_block_that_does_not_verify_is_damage),
    TEST(a_first_block_from_the_future_is_unsupported),
    TEST(opening_may_be_cut_off_anywhere),
    TEST(a_disk_that_cannot_read_is_damage),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
