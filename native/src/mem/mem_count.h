/* Counters that one thread writes and any thread may read: aligned words that are stored whole. They
 * cost what a plain addition costs. */
#ifndef SMF_MEM_COUNT_H
#define SMF_MEM_COUNT_H

/* The owner only. */
#define smf__count(counter, n) __atomic_store_n(&(counter), (counter) + (n), __ATOMIC_RELAXED)
#define smf__uncount(counter, n) __atomic_store_n(&(counter), (counter) - (n), __ATOMIC_RELAXED)

/* Any thread. */
#define smf__counted(counter) __atomic_load_n(&(counter), __ATOMIC_RELAXED)

#endif
