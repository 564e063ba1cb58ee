/* The inside of the baton: the threads that look after a driver. See smf/baton.h. */
#ifndef SMF_CORE_BATON_H
#define SMF_CORE_BATON_H

#include <smf/baton.h>

struct smf__baton;
struct smf__pin;

int smf__baton_open(struct smf__baton **baton_out, struct smf__pin *pin);

/* Any thread: the stand-in that waits returns SMF_BATON_CLOSED, the watchers end. */
void smf__baton_stop(struct smf__baton *baton);

/* Stops, waits for the watchers, frees. No stand-in may wait any more. */
void smf__baton_close(struct smf__baton *baton);

/* The driver tells where it runs, so that the watcher follows. */
void smf__baton_note_cpu(struct smf__baton *baton);

/* How many drivers the watcher has deposed, not the monitor; a little late. */
uint64_t smf__baton_watcher_won(const struct smf__baton *baton);

void smf__baton_stats(const struct smf__baton *baton, struct smf_core_stats *stats);

#endif
