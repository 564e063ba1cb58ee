// Package native is the border between Go and the native engine: the only package of the module that
// imports "C". Batches cross it, one call each; C never calls Go and never keeps a Go pointer.
//
// There is no compatibility promise: import github.com/smf-go/smf/go/rpc instead.
package native
