// Package demo is the demo service of smf, generated from smf_demo.fbs.
package demo

//go:generate go run github.com/smf-go/smf/go/cmd/smfc smf_demo.fbs
