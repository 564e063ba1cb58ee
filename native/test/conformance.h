/* The peers of the conformance suite in C (go/internal/conformance): a server of schema/conformance, and a
 * client that runs the rows of rows.txt, on the kernel's sockets or on the simulated network. */
#ifndef SMF_TEST_CONFORMANCE_H
#define SMF_TEST_CONFORMANCE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/client.h>
#include <smf/engine.h>
#include <smf/filter.h>
#include <smf/stream.h>

#include "conformance.smf.h"

#define CONFORMANCE_IN_FLIGHT_MAX 8u
#define CONFORMANCE_MESSAGE_BYTES_MAX (4u << 20)
#define CONFORMANCE_PATIENCE_NS 10000000000ull /* of a step that has no timeout of its own */

/* Ends the program: a peer that can't go on is an error of the suite. */
_Noreturn void conformance_fail(const char *what, const char *why);

/* A long text in which every part is known by its place; the caller frees it. */
char *conformance_pattern(size_t size);

/* A filter that compresses so, "zstd" or "lz4", and reads both. It lives as long as the program. */
const struct smf_filter *conformance_filter(const char *compression);

/* Adds the conformance service, and that of the golden frames. The handlers live as long as the program. */
void conformance_serve(struct smf_router *router);

void conformance_serve_streams(struct smf_router *router);

/* A Hold has its name: Told says that it waits, and Release lets it go on. Its end is told, too. */
struct conformance_named;
struct conformance_named *conformance_hold_begins(struct smf_flat_string name,
                                                  struct smf_stream *stream);
void conformance_hold_ends(struct conformance_named *named, uint32_t code);

/* Where a client is: its core, and what makes time pass. */
struct conformance_place {
    struct smf_core *core;
    void (*step)(struct conformance_place *place); /* polls once; events reach conformance_event */
    void *context;
};

/* An event of the client's core. */
void conformance_event(const struct smf_event *event);

/* Runs a row, "LEVEL ADDRESS STEPS", and prints what came of it in one line. */
void conformance_row(struct conformance_place *place, char *line);

#endif
