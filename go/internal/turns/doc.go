// Package turns drives a native core whose users wait for it, as clients do: whoever waits for an answer
// drives the loop until it is there, and nobody drives when nobody waits.
//
// There is one token. Its holder is the driver: it alone uses the core. A caller that finds the token
// free takes it, sends what it has queued, and looks for the answer itself, for as long as looking is
// worth it; no goroutine is woken for a call that is alone. It leaves the loop
//
//   - when its answer is there and others still wait, or come just then: to a goroutine that drives for
//     all of them (crew), until nobody waits any more,
//   - when nothing came for a while: to Go's own poller (gate), which starts a goroutine (watch) when the
//     core has something,
//   - when nobody waits: to nobody. A timer looks after a while whether it has stayed so, and leaves the
//     loop to the poller then, which sees connections end.
//
// A loop that was opened with OpenSleeping sleeps in the core before it is left to the poller: for answers
// that come for certain and soon, as a disk's do.
//
// A caller that finds the token taken has its frames in a queue and the core's pending flag set: the
// driver comes back from polling and sends them. docs/decisions/0005-the-caller-drives.md tells why it is
// made so.
package turns
