// Package pages has the tests of what the pages in docs promise: their programs run, and their tables
// are complete.
package pages
