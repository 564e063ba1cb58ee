#include "wal/wal_spread.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <smf/wal.h>

#define STEP 2862933555777941757ull /* of a linear congruential generator, whose state the key is */

/* J. Lamping, E. Veach: A Fast, Minimal Memory, Consistent Hash Algorithm. The key draws at which numbers
 * of cores its partition moves to the one that was added last; the last such number counts. */
uint32_t smf__wal_core_of(const char *topic, uint32_t size, uint32_t partition, uint32_t cores)
{
    uint64_t key = XXH64(topic, size, partition);
    uint64_t core = 0, next = 0;

    while (next < cores) {
        core = next;
        key = key * STEP + 1;
        next = (uint64_t)((double)(core + 1) * ((double)(1u << 31) / (double)((key >> 33) + 1)));
    }
    return (uint32_t)core;
}

uint32_t smf_wal_core_of(const char *topic, uint32_t partition, uint32_t cores)
{
    if (topic == NULL || cores < 2)
        return 0;
    return smf__wal_core_of(topic, (uint32_t)strlen(topic), partition, cores);
}
