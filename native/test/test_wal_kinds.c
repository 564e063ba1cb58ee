/* Batches of kinds that nobody knows, in segments that are written by hand. */
#include "test_wal_written.h"

/* Adds a batch of a kind that may be ignored, which takes so many offsets. It is whole as it is written as
 * a control batch: its count is put in behind the encoder's back, which refuses it. */
static void draft_add_skipped(struct draft *draft, uint32_t count)
{
    uint64_t position = smf__round_up(smf__wal_place_position(draft->end.place), BLOCK);
    uint8_t *at = draft->bytes + position, seed[16];
    struct smf__wal_batch batch = {.kind = SMF__WAL_KIND_MAY_SKIP + 1,
                                   .prev_crc = draft->end.crc,
                                   .first_offset = draft->end.offset};
    CHECK_EQ(smf__wal_batch_encode(&batch, &draft->file, position, at), SMF__WAL_GOOD);
    smf__put_u64(seed, draft->file.id);
    smf__put_u64(seed + 8, position);
    smf__put_u32(at + 20, count);
    smf__put_u32(at, smf__crc32c(smf__crc32c(0, seed, 16), at + 4, batch.header_bytes - 4));
    draft->end = (struct smf__wal_mark){
        .place = smf__wal_place(draft->file.number, position + smf__wal_batch_bytes(&batch)),
        .offset = draft->end.offset + count,
        .crc = smf__get_u32(at)};
}

/* Reads from offset 0. Returns the status that ended it (0: the end), and how far it came, without gaps. */
static int read_some(struct rig *rig, uint64_t *end_out)
{
    struct smf__wal_reader *reader;
    struct smf__wal_run run;
    uint64_t end = 0;
    int status = smf__wal_reader_open(orders(rig), 0, SMF__WAL_DURABLE, 0, 1, &reader, &rig->error);
    CHECK_EQ(status, SMF_OK);
    for (;;) {
        status = smf__wal_reader_next(reader, &run, &rig->error);
        if (status < 0 || (status == 0 && smf__wal_reader_at_end(reader)))
            break;
        if (status == 1) {
            CHECK_EQ(run.first_offset, end);
            end = run.end_offset;
            continue;
        }
        smf__wal_turn(rig->wal);
        rig->disk->ops->submit(rig->disk);
        rig->disk->ops->wait(rig->disk, 0);
    }
    smf__wal_reader_close(reader);
    *end_out = end;
    return status;
}

/* What may be ignored is passed over. Where it takes offsets nobody can: records would be missing in
 * the middle, and nothing would say so. Nothing is cut for it, and nothing appended. */
static void what_may_be_ignored_takes_no_offsets(void)
{
    for (uint32_t count = 0; count < 2; count++) {
        static struct draft draft;
        struct rig rig;
        uint64_t end;
        draft_begin(&draft, rig_with_orders(&rig), 1, NULL);
        draft_add(&draft, 0, 0);
        draft_add(&draft, 2, 0);
        draft_add_skipped(&draft, count);
        draft_add(&draft, 3, 0);
        draft_put(&rig, &draft);
        for (int read_only = 1; read_only >= 0; read_only--) {
            CHECK_EQ(rig_open_as(&rig, read_only), SMF_OK);
            CHECK_EQ(orders(&rig)->status, count > 0 ? SMF_EUNSUPPORTED : SMF_OK);
            CHECK_EQ(orders(&rig)->durable.place, draft.end.place);
            CHECK_EQ(orders(&rig)->next_offset, 5 + count);
            CHECK_EQ(orders(&rig)->cut_bytes, 0);
            CHECK_EQ(read_some(&rig, &end), count > 0 ? SMF_EUNSUPPORTED : SMF_OK);
            CHECK_EQ(end, count > 0 ? 2 : 5);
            CHECK_EQ(smf__wal_close(rig.wal), count > 0 && !read_only ? SMF_EUNSUPPORTED : SMF_OK);
        }
        rig_end(&rig);
    }
}

static const struct test tests[] = {
    TEST(what_may_be_ignored_takes_no_offsets),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
