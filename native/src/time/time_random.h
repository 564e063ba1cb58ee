/* The randomness wall: real cores are seeded by the kernel, simulations by a number that the test
 * prints. xoshiro256** (Blackman, Vigna); not for secrets. */
#ifndef SMF_TIME_RANDOM_H
#define SMF_TIME_RANDOM_H

#include <stdint.h>

struct smf__random {
    uint64_t state[4];
};

/* The same seed gives the same numbers on every machine. */
void smf__random_seed(struct smf__random *random, uint64_t seed);

/* Seeds with 64 bits of getrandom(2), or of the clock and the process id where that is forbidden. */
void smf__random_seed_system(struct smf__random *random);

uint64_t smf__random_next(struct smf__random *random);

/* Uniform in [0, bound); bound > 0. */
uint64_t smf__random_below(struct smf__random *random, uint64_t bound);

#endif
