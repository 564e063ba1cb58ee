/* What io_uring can answer beside "done": compiled with a stand-in that changes results on their way; and
 * what happens where it is forbidden. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "mem/mem_count.h"
#include "test_disk.h"

#include "disk/disk_ring.h"

/* What happens to the results to come. */
static struct {
    uint32_t times;   /* so many of them */
    int32_t result;   /* they become this; 0: see most */
    int32_t most;     /* a transfer has moved so much at most */
    int cancels_next; /* what is linked to a short write is not done */
} script;

static const struct io_uring_cqe *fake_peek(const struct smf__disk_ring *ring)
{
    static struct io_uring_cqe fake;
    const struct io_uring_cqe *cqe = smf__disk_ring_peek(ring);
    int is_flush;

    if (cqe == NULL || (script.times == 0 && !script.cancels_next) || cqe->user_data == 0)
        return cqe;
    fake = *cqe;
    is_flush = (cqe->user_data & 1) != 0;
    if (is_flush && script.cancels_next) {
        script.cancels_next = 0;
        fake.res = -ECANCELED;
    } else if (script.times > 0 && script.result != 0) {
        script.times--;
        fake.res = script.result;
        script.cancels_next = !is_flush;
    } else if (script.times > 0 && cqe->res > script.most && !is_flush) {
        script.times--;
        fake.res = script.most;
        script.cancels_next = 1;
    }
    return &fake;
}

/* What the system call does that starts requests. */
static struct {
    uint32_t refuses; /* so often */
    int os_errno;     /* with this */
    uint32_t takes;   /* requests at most; 0: all */
    uint32_t calls;
} enter;

/* What rings were asked for, and what nobody may ask for: completions wait then until the thread that submitted
 * enters the kernel, which one that computes does with the next tick of the clock at best; or only one thread
 * may use the ring. A test of a computing handler does not see it: the tick comes soon enough for that. */
#define WAITS_FOR_ITS_THREAD                                                                       \
    ((1u << 8) | (1u << 12) | (1u << 13)) /* COOP_, SINGLE_ISSUER, DEFER_ */
static struct {
    uint32_t rings, flags;
} asked;

static long fake_syscall(long number, unsigned first, unsigned long second, ...)
{
    if (number == SYS_io_uring_setup) {
        asked.rings++;
        asked.flags |= ((const struct io_uring_params *)(uintptr_t)second)->flags;
        return syscall(number, first, second);
    }
    CHECK_EQ(number, SYS_io_uring_enter);
    enter.calls++;
    if (enter.refuses > 0) {
        enter.refuses--;
        errno = enter.os_errno;
        return -1;
    }
    if (enter.takes > 0 && second > enter.takes)
        second = enter.takes;
    return syscall(number, first, second, 0, 0, NULL, 0);
}

#define syscall(number, first, ...) fake_syscall(number, first, (unsigned long)__VA_ARGS__)
#include "disk/disk_ring.c"
#undef syscall

#define smf__disk_ring_peek(ring) fake_peek(ring)
#include "disk/disk_uring.c"
#undef smf__disk_ring_peek

#define FILE_BYTES (16 * DISK_BLOCK)

static int open_rig(struct rig *rig, struct smf__disk_file **file_out, uint32_t durable_by)
{
    memset(&script, 0, sizeof script);
    memset(&enter, 0, sizeof enter);
    if (!rig_open(
            rig, ".",
            &(struct smf__disk_options){.backend = SMF__DISK_URING, .durable_by = durable_by}))
        return 0;
    *file_out = make_file(rig->disk, rig_path(rig, "a"), FILE_BYTES);
    return 1;
}

static int is_linked(uint32_t flags, uint32_t durable_by)
{
    return flags == SMF__DISK_DURABLE && durable_by == SMF__DISK_BY_FLUSH;
}

static void completions_wait_for_no_thread(void)
{
    struct smf__disk_file *file;
    struct rig rig;

    memset(&asked, 0, sizeof asked);
    if (!open_rig(&rig, &file, SMF__DISK_BY_FLUSH))
        return;
    CHECK_GE(asked.rings, 1);
    CHECK_EQ(asked.flags & WAITS_FOR_ITS_THREAD, 0);
    close_file(rig.disk, file);
    rig_close(&rig);
}

/* Returns how often something was done again. */
static uint64_t write_under(struct rig *rig, struct smf__disk_file *file, uint32_t flags,
                            int status)
{
    static uint8_t byte;
    uint64_t before = smf__counted(rig->disk->counts->retries);
    uint8_t *data = aligned_bytes(FILE_BYTES), *read = aligned_bytes(FILE_BYTES);

    memset(data, ++byte, FILE_BYTES);
    CHECK_EQ(write_with(rig->disk, file, 0, data, FILE_BYTES, flags), status);
    script.times = 0;
    script.cancels_next = 0;
    if (status == SMF_OK) {
        CHECK_EQ(read_from(rig->disk, file, 0, read, FILE_BYTES), FILE_BYTES);
        CHECK_MEM(read, data, FILE_BYTES);
    }
    free(data);
    free(read);
    return smf__counted(rig->disk->counts->retries) - before;
}

static void in_every_way(void (*run)(struct rig *rig, struct smf__disk_file *file, uint32_t flags,
                                     int linked))
{
    for (uint32_t way = SMF__DISK_BY_DSYNC; way <= SMF__DISK_BY_FLUSH; way++) {
        for (uint32_t flags = 0; flags <= SMF__DISK_DURABLE; flags++) {
            struct rig rig;
            struct smf__disk_file *file;

            if (!open_rig(&rig, &file, way))
                return;
            run(&rig, file, flags, is_linked(flags, way));
            close_file(rig.disk, file);
            rig_close(&rig);
        }
    }
}

static void short_writes(struct rig *rig, struct smf__disk_file *file, uint32_t flags, int linked)
{
    (void)linked;
    script.times = 5;
    script.most = DISK_BLOCK;
    CHECK_EQ(write_under(rig, file, flags, SMF_OK), 5);
    script.times = 3;
    script.most = 2 * DISK_BLOCK + 100; /* the rest of a block is written again with the whole */
    CHECK_EQ(write_under(rig, file, flags, SMF_OK), 3);
    script.times = 100;
    script.most = 100;
    CHECK_EQ(write_under(rig, file, flags, SMF_EIO), SMF__DISK_RETRIES_MAX);
}

static void short_writes_go_on(void)
{
    in_every_way(short_writes);
}

static void untried(struct rig *rig, struct smf__disk_file *file, uint32_t flags, int linked)
{
    const int32_t results[] = {-ECANCELED, -EAGAIN, -EFAULT, -EINTR};

    (void)linked;
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        script.times = 1;
        script.result = results[i];
        CHECK_EQ(write_under(rig, file, flags, SMF_OK), 1);
        script.times = 100;
        CHECK_EQ(write_under(rig, file, flags, SMF_ESYSTEM), SMF__DISK_RETRIES_MAX);
    }
}

static void what_was_not_tried_is_done_again(void)
{
    in_every_way(untried);
}

static void failed(struct rig *rig, struct smf__disk_file *file, uint32_t flags, int linked)
{
    (void)linked;
    script.times = 1;
    script.result = -EIO;
    CHECK_EQ(write_under(rig, file, flags, SMF_EIO), 0);
    script.times = 1;
    script.result = -ENOSPC;
    CHECK_EQ(write_under(rig, file, flags, SMF_ENOSPACE), 0);
    CHECK_EQ(write_under(rig, file, flags, SMF_OK), 0);
}

static void failures_are_final(void)
{
    in_every_way(failed);
}

/* The write is whole, and the flush behind it was sent back: it alone is done again. */
static void linked_flush(struct rig *rig, struct smf__disk_file *file, uint32_t flags, int linked)
{
    if (!linked)
        return;
    script.cancels_next = 1;
    CHECK_EQ(write_under(rig, file, flags, SMF_OK), 1);
    CHECK_EQ(smf__counted(rig->disk->counts->writes), 1);
}

static void a_flush_that_was_cancelled_is_done_again(void)
{
    in_every_way(linked_flush);
}

static void flushes_that_fail_are_not_repeated(void)
{
    const int32_t results[] = {-EIO, -EINTR, -ENOSPC};
    const int statuses[] = {SMF_EIO, SMF_ESYSTEM, SMF_ENOSPACE};
    struct rig rig;
    struct smf__disk_file *file;

    if (!open_rig(&rig, &file, SMF__DISK_BY_FLUSH))
        return;
    for (int i = 0; i < 3; i++) {
        script.times = 1;
        script.result = results[i];
        CHECK_EQ(run_file(rig.disk, SMF__DISK_FLUSH, file, 0, 0), statuses[i]);
        script.cancels_next = 0;
    }
    CHECK_EQ(smf__counted(rig.disk->counts->retries), 0);
    rig_close(&rig);
}

static void short_reads_go_on(void)
{
    struct rig rig;
    struct smf__disk_file *file;
    uint8_t *data = aligned_bytes(FILE_BYTES);

    if (!open_rig(&rig, &file, SMF__DISK_BY_DSYNC))
        return;
    script.times = 6;
    script.most = DISK_BLOCK;
    CHECK_EQ(read_from(rig.disk, file, 0, data, FILE_BYTES), FILE_BYTES);
    CHECK_EQ(smf__counted(rig.disk->counts->retries), 6);
    rig_close(&rig);
    free(data);
}

/* --- requests --- */

/* The request that was filled last but that many. */
static const struct io_uring_sqe *filled(const struct disk_uring *uring, uint32_t before)
{
    return &uring->ring.sqes[(uring->ring.sq_tail - 1 - before) & uring->ring.sq_mask];
}

/* Nothing but the device tells whether a write was durable: so look at what is asked for. */
static void requests(struct rig *rig, struct smf__disk_file *file, uint32_t flags, int linked)
{
    struct disk_uring *uring = uring_of(rig->disk);
    uint8_t *data = aligned_bytes(DISK_BLOCK);
    struct smf__disk_op op = {
        .kind = SMF__DISK_WRITE, .flags = flags, .file = file, .size = DISK_BLOCK, .data = data};
    int by_dsync = flags == SMF__DISK_DURABLE && !linked;

    rig->disk->ops->queue(rig->disk, &op);
    start_queued(uring);
    CHECK_EQ(uring->ring.unsubmitted, linked ? 2 : 1);
    CHECK_EQ(filled(uring, linked)->opcode, IORING_OP_WRITE);
    CHECK_EQ(filled(uring, linked)->rw_flags, by_dsync ? RWF_DSYNC : 0);
    CHECK_EQ(filled(uring, linked)->flags, linked ? IOSQE_IO_LINK : 0);
    if (linked) {
        CHECK_EQ(filled(uring, 0)->opcode, IORING_OP_FSYNC);
        CHECK_EQ(filled(uring, 0)->fsync_flags, IORING_FSYNC_DATASYNC);
    }
    rig->disk->ops->submit(rig->disk);
    await_ops(rig->disk, 1);
    free(data);
}

static void durable_writes_are_asked_for(void)
{
    in_every_way(requests);
}

static void some(struct rig *rig, struct smf__disk_file *file, uint32_t flags, int linked)
{
    struct smf__disk_op ops[8] = {0};
    uint8_t *data = aligned_bytes(DISK_BLOCK);

    enter.takes = 3;
    enter.refuses = 5;
    enter.os_errno = linked ? EAGAIN : EBUSY;
    enter.calls = 0;
    for (uint32_t i = 0; i < 8; i++) {
        ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                       .flags = flags,
                                       .file = file,
                                       .offset = i * DISK_BLOCK,
                                       .size = DISK_BLOCK,
                                       .data = data};
        rig->disk->ops->queue(rig->disk, &ops[i]);
    }
    rig->disk->ops->submit(rig->disk);
    await_ops(rig->disk, 8);
    for (uint32_t i = 0; i < 8; i++)
        CHECK_EQ(ops[i].status, SMF_OK);
    CHECK_GE(enter.calls, 5 + (linked ? 6 : 3));
    enter.refuses = 3;
    enter.os_errno = EINTR;
    CHECK_EQ(write_under(rig, file, flags, SMF_OK), 0);
    free(data);
}

static void the_kernel_takes_some_and_refuses_some(void)
{
    in_every_way(some);
}

/* --- forbidden --- */

/* From now on this process may not make that system call. */
static void forbid(long number, int os_errno)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)os_errno),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};

    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

struct ban {
    long number;
    int os_errno;
    const char *says;
};

static void live_without(void *context)
{
    const struct ban *ban = context;
    struct smf__disk_options options = {0};
    struct smf_error error = {0};
    struct smf__disk_op op = {.kind = SMF__DISK_STAT, .path = "."};
    struct smf__disk *disk;
    char text[512];

    forbid(ban->number, ban->os_errno);
    CHECK_EQ(smf__disk_open(&disk, &options, &error), SMF_OK);
    CHECK_STR(disk->ops->name, "posix");
    smf__disk_describe(disk, text, sizeof text);
    CHECK(strstr(text, ban->says) != NULL);
    CHECK(strchr(text, '\n') == NULL);
    CHECK_EQ(smf__disk_run(disk, &op), SMF_OK);
    disk->ops->close(disk);
    options.backend = SMF__DISK_URING; /* nothing else will do */
    CHECK_EQ(smf__disk_open(&disk, &options, &error), SMF_EUNSUPPORTED);
    CHECK(strstr(error.text, ban->says) != NULL);
}

static void threads_do_where_it_is_forbidden(void)
{
    struct ban bans[] = {
        {SYS_io_uring_setup, EPERM, "io_uring is forbidden here"},
        {SYS_io_uring_setup, ENOSYS, "no io_uring on this kernel"},
        {SYS_io_uring_setup, ENOMEM, "ulimit -l"},
        {SYS_io_uring_enter, EPERM, "io_uring is forbidden here"},
        {SYS_io_uring_enter, ENOSYS, "no io_uring on this kernel"},
    };
    size_t count = sizeof bans / sizeof bans[0];

    if (test_emulated()) {
        test_note("an emulator has no filters for system calls");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char text[1024];
        int status = test_in_child(live_without, &bans[i], text, sizeof text);

        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            test_fail(__FILE__, __LINE__, "ban %zu: %s", i, text);
    }
}

static const struct test tests[] = {
    TEST(completions_wait_for_no_thread),
    TEST(short_writes_go_on),
    TEST(what_was_not_tried_is_done_again),
    TEST(failures_are_final),
    TEST(a_flush_that_was_cancelled_is_done_again),
    TEST(flushes_that_fail_are_not_repeated),
    TEST(short_reads_go_on),
    TEST(durable_writes_are_asked_for),
    TEST(the_kernel_takes_some_and_refuses_some),
    TEST(threads_do_where_it_is_forbidden),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
