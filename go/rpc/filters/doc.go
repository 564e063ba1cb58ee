// Package filters holds the filters that smf ships, each in a package of its own, so that a program links
// what it uses and nothing else: importing go/rpc brings none of them.
//
//	compress     payloads as zstd or lz4, and back, within bounds
//	deadline     a time limit of a method, never longer than the caller's
//	concurrency  how many calls of a method run at once
//	ratelimit    how many calls of a method begin in a second
//	retry        another attempt for calls that bear it, within a budget
//	recovery     panics become errors that other filters see
//	accesslog    a line for calls: all that failed or were slow, and a sample of the rest
//	bearer       tokens: sent by clients, asked for by servers
//	tracing      OpenTelemetry spans on both sides
//
// See docs/filters-shipped.md for what each of them is for, and what it costs.
package filters
