// Package conformance is the service of the conformance suite, generated from conformance.fbs and
// streams.fbs. What is called
// of it, and what has to come of it, is in rows.txt; what is sent to its servers byte by byte, in raw.txt.
package conformance

//go:generate go run github.com/smf-go/smf/go/cmd/smfc conformance.fbs streams.fbs
