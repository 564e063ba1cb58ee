/* What the disk does when nobody is in the way: one thread, io_uring, O_DIRECT, a file whose blocks were all
 * written before. The bar for logs.
 *
 *   smf-bench-wal-probe --dir FOLDER --do durable|plain|read --size BYTES --depth N [--seconds S]
 *                       [--warmup S] [--file-mib M]
 *
 * Prints a measurement as the logs' programs do: a record is an operation. The file has no name, and
 * is gone with the program. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "bench_histogram.h"
#include "bench_program.h"
#include "disk/disk_ring.h"

#define DEPTH_MAX 64u
#define BLOCK_BYTES 4096u
#define FILL_BYTES (1u << 20)
#define HUGE_PAGE_BYTES (2u << 20)

struct probe {
    const char *folder, *what;
    int reads;
    __kernel_rwf_t flags; /* of a write */
    uint64_t size_bytes, file_bytes;
    uint32_t depth;
    double seconds, warmup;

    int fd;
    struct smf__disk_ring ring;
    struct iovec memory[DEPTH_MAX];
    uint64_t started_ns[DEPTH_MAX];
    uint64_t offset; /* of the next operation */
    uint64_t operations;
    struct bench_histogram latencies;
};

static void parse(struct probe *probe, int count, char **words)
{
    for (int i = 1; i < count; i += 2) {
        const char *option = words[i];
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(option, "--dir") == 0) {
            probe->folder = value;
        } else if (strcmp(option, "--do") == 0) {
            probe->what = value;
        } else if (strcmp(option, "--size") == 0) {
            probe->size_bytes = (uint64_t)bench_number(option, value, BLOCK_BYTES, 16 << 20);
        } else if (strcmp(option, "--depth") == 0) {
            probe->depth = (uint32_t)bench_number(option, value, 1, DEPTH_MAX);
        } else if (strcmp(option, "--file-mib") == 0) {
            probe->file_bytes = (uint64_t)bench_number(option, value, 1, 1 << 20) << 20;
        } else if (strcmp(option, "--seconds") == 0) {
            probe->seconds = strtod(value, NULL);
        } else if (strcmp(option, "--warmup") == 0) {
            probe->warmup = strtod(value, NULL);
        } else {
            bench_fail("unknown option %s", option);
        }
    }
    if (probe->folder == NULL || probe->what == NULL) {
        bench_fail("--dir and --do are needed");
    }
    probe->reads = strcmp(probe->what, "read") == 0;
    if (strcmp(probe->what, "durable") == 0) {
        probe->flags = RWF_DSYNC;
    } else if (!probe->reads && strcmp(probe->what, "plain") != 0) {
        bench_fail("--do %s: there are durable, plain and read", probe->what);
    }
    if (probe->size_bytes % BLOCK_BYTES != 0) {
        bench_fail("--size has to be a multiple of %u", BLOCK_BYTES);
    }
    if (probe->depth * probe->size_bytes > probe->file_bytes) {
        bench_fail("--file-mib is less than what is under way at once");
    }
    if (!(probe->seconds > 0) || !(probe->warmup >= 0)) {
        bench_fail("--seconds has to be above 0, --warmup not below");
    }
}

/* Makes a file without a name and writes all of it: the first write to a block is another matter than the
 * later ones. */
static void make_file(struct probe *probe)
{
    probe->fd = open(probe->folder, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
    if (probe->fd < 0) {
        bench_fail("cannot make a file with O_DIRECT in %s: %m", probe->folder);
    }
    uint8_t *noise = aligned_alloc(BLOCK_BYTES, FILL_BYTES);
    if (noise == NULL) {
        bench_fail("out of memory");
    }
    for (uint32_t i = 0; i < FILL_BYTES; i++) {
        noise[i] = (uint8_t)((i * 2654435761u) >> 24);
    }
    for (uint64_t at = 0; at < probe->file_bytes; at += FILL_BYTES) {
        if (pwrite(probe->fd, noise, FILL_BYTES, (off_t)at) != FILL_BYTES) {
            bench_fail("cannot write in %s: %m", probe->folder);
        }
    }
    if (fsync(probe->fd) != 0) {
        bench_fail("fsync: %m");
    }
    free(noise);
}

/* In huge pages, as the log's: a disk takes so many pieces of memory with a request, and a small page is one. */
static void make_memory(struct probe *probe)
{
    size_t bytes = (size_t)probe->depth * probe->size_bytes;
    bytes = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    uint8_t *memory = aligned_alloc(HUGE_PAGE_BYTES, bytes);
    if (memory == NULL) {
        bench_fail("out of memory");
    }
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    for (uint32_t i = 0; i < probe->depth; i++, memory += probe->size_bytes) {
        memset(memory, (int)i + 1, probe->size_bytes);
        probe->memory[i] = (struct iovec){.iov_base = memory, .iov_len = probe->size_bytes};
    }
}

static void start(struct probe *probe, uint32_t slot)
{
    if (probe->offset + probe->size_bytes > probe->file_bytes) {
        probe->offset = 0;
    }
    struct io_uring_sqe *request = smf__disk_ring_next(&probe->ring);
    request->opcode = probe->reads ? IORING_OP_READV : IORING_OP_WRITEV;
    request->fd = probe->fd;
    request->off = probe->offset;
    request->addr = (uint64_t)(uintptr_t)&probe->memory[slot];
    request->len = 1;
    request->rw_flags = probe->flags;
    request->user_data = slot;
    probe->offset += probe->size_bytes;
    probe->started_ns[slot] = bench_now_ns();
}

static void submit_and_wait(struct probe *probe)
{
    const int status = smf__disk_ring_submit(&probe->ring);
    if (status != 0 && status != -EAGAIN && status != -EINTR) {
        bench_fail("io_uring_enter: %s", strerror(-status));
    }
    if (smf__disk_ring_peek(&probe->ring) != NULL) {
        return;
    }
    if (syscall(__NR_io_uring_enter, probe->ring.fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0 &&
        errno != EINTR) {
        bench_fail("io_uring_enter: %m");
    }
}

/* Keeps depth operations under way for so long; counts and times them. */
static void turn(struct probe *probe, double seconds, int counts)
{
    const uint64_t end = bench_now_ns() + (uint64_t)(seconds * 1e9);
    uint32_t under_way = probe->depth;
    for (uint32_t i = 0; i < probe->depth; i++) {
        start(probe, i);
    }
    while (under_way != 0) {
        submit_and_wait(probe);
        const struct io_uring_cqe *result;
        while ((result = smf__disk_ring_peek(&probe->ring)) != NULL) {
            const uint32_t slot = (uint32_t)result->user_data;
            if (result->res != (int)probe->size_bytes) {
                bench_fail("%s of %llu bytes: %s", probe->what,
                           (unsigned long long)probe->size_bytes,
                           result->res < 0 ? strerror(-result->res) : "short");
            }
            smf__disk_ring_pop(&probe->ring);
            const uint64_t now = bench_now_ns();
            if (counts && now <= end) {
                probe->operations++;
                bench_histogram_add(&probe->latencies, now - probe->started_ns[slot]);
            }
            if (now < end) {
                start(probe, slot);
            } else {
                under_way--;
            }
        }
    }
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int count, char **words)
{
    static struct probe probe = {.file_bytes = 256u << 20,
                                 .size_bytes = BLOCK_BYTES,
                                 .depth = 1,
                                 .seconds = 0.5,
                                 .warmup = 0.1};
    parse(&probe, count, words);
    make_file(&probe);
    make_memory(&probe);
    const int status = smf__disk_ring_open(&probe.ring, DEPTH_MAX);
    if (status != 0) {
        bench_fail("io_uring is not to be had here: %s", strerror(-status));
    }
    turn(&probe, probe.warmup, 0);
    const double cpu = cpu_seconds();
    turn(&probe, probe.seconds, 1);
    const double cpu_us = (cpu_seconds() - cpu) * 1e6;
    smf__disk_ring_close(&probe.ring);

    const struct bench_histogram *all = &probe.latencies;
    const double rate = (double)probe.operations / probe.seconds;
    printf("{\"calls_per_second\":%.1f,\"first\":{\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,"
           "\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}},",
           rate, (double)bench_histogram_percentile(all, 50) / 1e3,
           (double)bench_histogram_percentile(all, 90) / 1e3,
           (double)bench_histogram_percentile(all, 99) / 1e3,
           (double)bench_histogram_percentile(all, 99.9) / 1e3, (double)all->max / 1e3);
    printf("\"wal\":{\"mib_per_second\":%.1f,\"cpu_us_per_record\":%.2f,\"written_per_byte\":-1,"
           "\"device_per_byte\":-1}}\n",
           rate * (double)probe.size_bytes / (1 << 20),
           probe.operations != 0 ? cpu_us / (double)probe.operations : 0);
    return 0;
}
