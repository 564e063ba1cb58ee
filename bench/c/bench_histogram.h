/* A log-linear histogram of nanoseconds: 128 buckets per power of two, so a percentile is at most
 * 0.8 % below the true value. Own code because that is all we need of one: an increment on the path,
 * and one system package less to install. One thread. */
#ifndef SMF_BENCH_HISTOGRAM_H
#define SMF_BENCH_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

#define BENCH_HISTOGRAM_BITS 7u
#define BENCH_HISTOGRAM_STEP (1u << BENCH_HISTOGRAM_BITS)
#define BENCH_HISTOGRAM_BUCKETS ((64u - BENCH_HISTOGRAM_BITS + 1u) << BENCH_HISTOGRAM_BITS)

struct bench_histogram {
    uint64_t counts[BENCH_HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max;
};

static inline uint32_t bench_histogram_bucket(uint64_t value)
{
    if (value < BENCH_HISTOGRAM_STEP) {
        return (uint32_t)value;
    }
    const uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - BENCH_HISTOGRAM_BITS;
    return ((shift + 1) << BENCH_HISTOGRAM_BITS) +
           (uint32_t)((value >> shift) & (BENCH_HISTOGRAM_STEP - 1));
}

/* The smallest value that falls into a bucket. */
static inline uint64_t bench_histogram_floor(uint32_t bucket)
{
    if (bucket < BENCH_HISTOGRAM_STEP) {
        return bucket;
    }
    const uint32_t shift = (bucket >> BENCH_HISTOGRAM_BITS) - 1;
    return (uint64_t)((bucket & (BENCH_HISTOGRAM_STEP - 1)) | BENCH_HISTOGRAM_STEP) << shift;
}

static inline void bench_histogram_add(struct bench_histogram *histogram, uint64_t value)
{
    histogram->counts[bench_histogram_bucket(value)]++;
    histogram->total++;
    if (value > histogram->max) {
        histogram->max = value;
    }
}

/* The value that `percent` (0 to 100) of what was added does not exceed; 0 when nothing was added. */
static inline uint64_t bench_histogram_percentile(const struct bench_histogram *histogram,
                                                  double percent)
{
    if (histogram->total == 0) {
        return 0;
    }
    const double exact = percent / 100.0 * (double)histogram->total;
    uint64_t rank = (uint64_t)exact;
    if (rank == 0 || (double)rank < exact) {
        rank++;
    }
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket < BENCH_HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen >= rank) {
            return bench_histogram_floor(bucket);
        }
    }
    return histogram->max;
}

#endif
