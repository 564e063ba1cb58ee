/* What the Go border mirrors, in the order in which smf_layout reports it. Whoever changes a structure
 * sees the border refuse to open until both sides agree. It asks for equality, so a Go program needs
 * exactly the library of its commit; what may grow within one SMF_ABI_VERSION (docs/c-api.md) is for C
 * programs. */
#ifndef SMF_LAYOUT_H
#define SMF_LAYOUT_H

#include <stddef.h>

#include <smf/baton.h>
#include <smf/core.h>
#include <smf/engine.h>
#include <smf/level2.h>
#include <smf/tally.h>
#include <smf/wal.h>

/* X(value): sizes and offsets in bytes. */
#define SMF_LAYOUT(X)                                                                              \
    X(sizeof(struct smf_event))                                                                    \
    X(offsetof(struct smf_event, flags))                                                           \
    X(offsetof(struct smf_event, level))                                                           \
    X(offsetof(struct smf_event, session))                                                         \
    X(offsetof(struct smf_event, metadata_size_bytes))                                             \
    X(offsetof(struct smf_event, meta))                                                            \
    X(offsetof(struct smf_event, size_bytes))                                                      \
    X(offsetof(struct smf_event, conn))                                                            \
    X(offsetof(struct smf_event, payload))                                                         \
    X(offsetof(struct smf_event, buffer))                                                          \
    X(offsetof(struct smf_event, user))                                                            \
    X(sizeof(struct smf_send))                                                                     \
    X(offsetof(struct smf_send, frames))                                                           \
    X(offsetof(struct smf_send, size_bytes))                                                       \
    X(offsetof(struct smf_send, frame_count))                                                      \
    X(offsetof(struct smf_send, buffer))                                                           \
    X(sizeof(struct smf_turn))                                                                     \
    X(offsetof(struct smf_turn, event_count))                                                      \
    X(offsetof(struct smf_turn, sends))                                                            \
    X(offsetof(struct smf_turn, send_count))                                                       \
    X(offsetof(struct smf_turn, send_capacity))                                                    \
    X(offsetof(struct smf_turn, loan))                                                             \
    X(offsetof(struct smf_turn, loan_top))                                                         \
    X(offsetof(struct smf_turn, loan_buffer))                                                      \
    X(offsetof(struct smf_turn, now_ns))                                                           \
    X(offsetof(struct smf_turn, in_flight))                                                        \
    X(offsetof(struct smf_turn, unsent))                                                           \
    X(offsetof(struct smf_turn, pending))                                                          \
    X(offsetof(struct smf_turn, sleeping))                                                         \
    X(offsetof(struct smf_turn, tallied))                                                          \
    X(offsetof(struct smf_turn, tallied_count))                                                    \
    X(sizeof(struct smf_tally))                                                                    \
    X(offsetof(struct smf_tally, turn_failed))                                                     \
    X(offsetof(struct smf_tally, succeeded))                                                       \
    X(offsetof(struct smf_tally, latency_ns))                                                      \
    X(offsetof(struct smf_tally, buckets))                                                         \
    X(sizeof(struct smf_tallied))                                                                  \
    X(offsetof(struct smf_tallied, since_ns))                                                      \
    X(offsetof(struct smf_tallied, failed))                                                        \
    X(sizeof(struct smf_baton))                                                                    \
    X(offsetof(struct smf_baton, cursor))                                                          \
    X(offsetof(struct smf_baton, fences))                                                          \
    X(offsetof(struct smf_baton, watchers_asleep))                                                 \
    X(sizeof(struct smf_engine_config))                                                            \
    X(sizeof(struct smf_core_stats))                                                               \
    X(sizeof(struct smf_level))                                                                    \
    X(sizeof(struct smf_wal_config))                                                               \
    X(sizeof(struct smf_wal_topic))                                                                \
    X(sizeof(struct smf_wal_record))                                                               \
    X(sizeof(struct smf_wal_batch))                                                                \
    X(sizeof(struct smf_wal_done))                                                                 \
    X(offsetof(struct smf_wal_done, partition))                                                    \
    X(offsetof(struct smf_wal_done, first_offset))                                                 \
    X(offsetof(struct smf_wal_done, status))                                                       \
    X(offsetof(struct smf_wal_done, kind))                                                         \
    X(sizeof(struct smf_wal_info))                                                                 \
    X(sizeof(struct smf_wal_run))                                                                  \
    X(sizeof(struct smf_error))

#endif
