/* Whether this is the process that opened an engine, or a child that a fork left a copy in.
 *
 * A child shares its parent's sockets and epoll instances: what it did with them, it would do to the
 * parent. So what would touch them asks first, at the cost of two loads. The C library counts: a handler
 * that runs in the child (pthread_atfork). The kernel could, too (MADV_WIPEONFORK), but there are
 * emulators that say yes to that and do nothing. */
#ifndef SMF_CORE_FORK_H
#define SMF_CORE_FORK_H

#include <stdint.h>

#define SMF__FORK_ADVICE                                                                           \
    "this engine belongs to the process that forked this one; open another one after the fork"

/* The forks between the first process that opened an engine and this one. Written in a child that has
 * one thread. */
extern uint32_t smf__forks;

/* Has forks counted from now on. Any thread, any number of times. Returns 0 or SMF_ENOMEM. */
int smf__forks_count(void);

#endif
