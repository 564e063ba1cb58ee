/* Which core of a log a partition is on. */
#ifndef SMF_WAL_SPREAD_H
#define SMF_WAL_SPREAD_H

#include <stdint.h>

/* A consistent hash of the topic's name and the partition's number: from cores to cores + 1 about one
 * partition of cores + 1 moves, and those that do move to the new core. Nothing in a file depends on it.
 * cores is at least 1. */
uint32_t smf__wal_core_of(const char *topic, uint32_t size, uint32_t partition, uint32_t cores);

#endif
