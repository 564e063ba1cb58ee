#include "time/time_random.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "time/time_clock.h"

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

/* splitmix64: spreads one number over a generator's whole state, which must not be all zero. */
static uint64_t split_mix(uint64_t *state)
{
    uint64_t value = *state += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

void smf__random_seed(struct smf__random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        random->state[i] = split_mix(&seed);
}

void smf__random_seed_system(struct smf__random *random)
{
    uint64_t seed;
    ssize_t got;
    do {
        got = getrandom(&seed, sizeof(seed), 0);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof(seed)) {
        /* A sandbox may forbid the call. Jitter does not need more than "not the same as the
         * process next door". */
        struct smf__clock clock = smf__clock_monotonic();
        seed = smf__clock_now_ns(&clock) ^ (uint64_t)getpid() << 32 ^ (uintptr_t)random;
    }
    smf__random_seed(random, seed);
}

uint64_t smf__random_next(struct smf__random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* The high word of number * bound is nearly uniform; it is exactly so once the numbers whose low word
 * is below 2^64 mod bound are thrown away. */
uint64_t smf__random_below(struct smf__random *random, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)smf__random_next(random) * bound;
    if ((uint64_t)product < bound) {
        uint64_t unfair = -bound % bound;
        while ((uint64_t)product < unfair)
            product = (wide)smf__random_next(random) * bound;
    }
    return (uint64_t)(product >> 64);
}
