// Package sample is generated code for the verifier's tests.
package sample

//go:generate go run github.com/smf-go/smf/go/cmd/smfc sample.fbs
